//! What is written of an instance: one line of JSON, the same in all catalogs without a form of their own.

use serde::{Deserialize, Serialize};

use crate::policy::watch::Instance;
use crate::spec::ServiceSpec;

#[derive(Serialize)]
struct Written<'a> {
    id: &'a str,
    name: &'a str,
    address: String,
    port: u16,
    tags: &'a [String],
}

/// What others need to know of an instance, whoever wrote it.
#[derive(Deserialize)]
struct Read {
    address: String,
    port: u16,
    #[serde(default)]
    tags: Option<Vec<String>>,
}

/// Why a value describes no instance.
#[derive(Debug, thiserror::Error)]
pub enum ValueError {
    /// It is not JSON with an address and a port.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// Its address is empty, or nothing that a list in a variable could tell.
    #[error("`{}` is not an address", .0.escape_debug())]
    Address(String),
}

/// The value of a service of ours.
pub fn value(spec: &ServiceSpec) -> Vec<u8> {
    let written = Written {
        id: &spec.id,
        name: &spec.name,
        address: spec.address.to_string(),
        port: spec.port,
        tags: &spec.tags,
    };
    serde_json::to_vec(&written).expect("a plain struct of text and numbers is always JSON")
}

/// The instance that a value describes if it has all these tags.
pub fn instance(value: &[u8], tags: &[String]) -> Result<Option<Instance>, ValueError> {
    let Read { address, port, tags: has } = serde_json::from_slice(value)?;
    let has = has.unwrap_or_default();
    let instance = Instance::of(&address, port).ok_or(ValueError::Address(address))?;
    Ok(tags.iter().all(|tag| has.contains(tag)).then_some(instance))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_one_line() {
        let spec = ServiceSpec { tags: vec!["a\nb".to_owned()], ..crate::testing::service("web") };
        let value = value(&spec);
        let want = r#"{"id":"web-host","name":"web","address":"10.1.2.3","port":8000,"tags":["a\nb"]}"#;
        assert_eq!(String::from_utf8(value.clone()).unwrap(), want);
        let here = Instance { address: "10.1.2.3".into(), port: 8000 };
        assert_eq!(instance(&value, &["a\nb".to_owned()]).unwrap(), Some(here));
        assert_eq!(instance(&value, &["a".to_owned()]).unwrap(), None);
    }

    #[test]
    fn what_others_write_need_not_be_complete() {
        for value in [r#"{"address":"h","port":1}"#, r#"{"address":"h","port":1,"tags":null,"more":{}}"#] {
            let here = Instance { address: "h".into(), port: 1 };
            assert_eq!(instance(value.as_bytes(), &[]).unwrap(), Some(here), "{value}");
        }
        for junk in [
            "",
            "not JSON",
            "[]",
            "{}",
            r#"{"address":"h"}"#,
            r#"{"address":"h","port":70000}"#,
            r#"{"address":"h","port":"1"}"#,
            r#"{"address":"h","port":1,"tags":"a"}"#,
            r#"{"address":"h","port":1} {}"#,
            r#"{"address":"","port":1}"#,
            r#"{"address":"a,b","port":1}"#,
            r#"{"address":"a b","port":1}"#,
            r#"{"address":"a\u0000b","port":1}"#,
            "\u{0}\u{1}",
        ] {
            assert!(instance(junk.as_bytes(), &[]).is_err(), "{junk}");
        }
        assert!(instance(b"\xff\xfe", &[]).is_err());
    }
}
