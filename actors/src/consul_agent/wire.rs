//! What Consul reads and writes: bodies of requests and answers, as private structs between specs and JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize};

use crate::duration::go_format;
use crate::policy::service::Status;
use crate::policy::watch::Instance;
use crate::spec::ServiceSpec;

/// One instance takes about 1 KiB; this is what no sane one does.
const LARGEST_INSTANCE: usize = 1 << 20;
/// So many instances of one service are more than we take.
const MOST_INSTANCES: usize = 100_000;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Registration<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    tags: &'a [String],
    port: u16,
    address: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tagged_addresses: BTreeMap<&'a str, Place<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    meta: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weights: Option<WeightsBody>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    enable_tag_override: bool,
    check: CheckBody<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Place<'a> {
    address: &'a str,
    port: u16,
}

#[derive(Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase")]
struct WeightsBody {
    passing: u16,
    warning: u16,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CheckBody<'a> {
    #[serde(rename = "CheckID", skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(rename = "TTL")]
    ttl: String,
    status: &'static str,
    notes: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    deregister_critical_service_after: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Update<'a> {
    status: &'static str,
    output: &'a str,
}

/// The body that registers a service.
pub fn registration(spec: &ServiceSpec, status: Status) -> serde_json::Result<Vec<u8>> {
    let weights = spec.weights.map(|weights| WeightsBody { passing: weights.passing, warning: weights.warning });
    let places =
        spec.tagged_addresses.iter().map(|(tag, place)| (&**tag, Place { address: &place.address, port: place.port }));
    // 3.8: whole seconds, as `90s`
    let ttl = if spec.ttl.subsec_nanos() == 0 { format!("{}s", spec.ttl.as_secs()) } else { go_format(spec.ttl) };
    serde_json::to_vec(&Registration {
        id: &spec.id,
        name: &spec.name,
        tags: &spec.tags,
        port: spec.port,
        address: spec.address.to_string(),
        tagged_addresses: places.collect(),
        meta: spec.meta.iter().map(|(key, value)| (&**key, &**value)).collect(),
        weights,
        enable_tag_override: spec.enable_tag_override,
        check: CheckBody {
            id: spec.check_id.as_deref(),
            name: spec.check_id.as_deref(),
            ttl,
            status: status.word(),
            notes: format!("TTL for {} set by containerpilot", spec.name),
            deregister_critical_service_after: spec.deregister_critical_after.as_deref(),
        },
    })
}

/// The body that updates a service's check.
pub fn update(status: Status, output: &str) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&Update { status: status.word(), output })
}

/// Text that may be null: then it is empty. Borrowed unless it holds escapes.
#[derive(Default)]
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or null")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Text::default())
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_any(TextVisitor)
    }
}

/// What an agent has under an id. What it leaves out or has as null cannot differ.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AgentService<'a> {
    #[serde(borrow)]
    service: Option<Text<'a>>,
    #[serde(borrow)]
    tags: Option<Vec<Text<'a>>>,
    port: Option<i64>,
    #[serde(borrow)]
    address: Option<Text<'a>>,
    #[serde(borrow)]
    meta: Option<BTreeMap<Cow<'a, str>, Text<'a>>>,
    weights: Option<WeightsBody>,
    enable_tag_override: Option<bool>,
    #[serde(borrow)]
    tagged_addresses: Option<BTreeMap<Cow<'a, str>, OwnedPlace<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OwnedPlace<'a> {
    #[serde(borrow)]
    address: Text<'a>,
    port: i64,
}

/// Whether what an agent has is what we registered.
pub fn is_as_registered(body: &[u8], spec: &ServiceSpec) -> serde_json::Result<bool> {
    let has: AgentService<'_> = serde_json::from_slice(body)?;
    let same = has.service.is_none_or(|name| name.0 == *spec.name)
        && has.port.is_none_or(|port| port == i64::from(spec.port))
        && has.address.is_none_or(|address| address.0 == *spec.address.to_string())
        && has.enable_tag_override.is_none_or(|on| on == spec.enable_tag_override)
        // Whoever may override the tags may have done so.
        && (spec.enable_tag_override
            || has.tags.is_none_or(|tags| tags.iter().map(|tag| &*tag.0).eq(spec.tags.iter().map(|tag| &**tag))))
        && has.meta.is_none_or(|meta| {
            meta.len() == spec.meta.len()
                && spec.meta.iter().all(|(key, value)| meta.get(&**key).is_some_and(|has| has.0 == **value))
        })
        && has.weights.is_none_or(|has| {
            let ours = spec.weights.map_or((1, 1), |weights| (weights.passing, weights.warning));
            (has.passing, has.warning) == ours
        })
        // Agents add some of their own.
        && has.tagged_addresses.is_none_or(|places| {
            spec.tagged_addresses.iter().all(|(tag, place)| {
                places
                    .get(&**tag)
                    .is_some_and(|has| has.address.0 == *place.address && has.port == i64::from(place.port))
            })
        });
    Ok(same)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry<'a> {
    #[serde(borrow, default)]
    node: Option<EntryNode<'a>>,
    #[serde(borrow, default)]
    service: Option<EntryService<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EntryNode<'a> {
    #[serde(borrow, default)]
    address: Text<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EntryService<'a> {
    #[serde(borrow, default)]
    address: Text<'a>,
    #[serde(default)]
    port: Option<i64>,
}

/// Why an answer is not a list of instances.
#[derive(Debug, thiserror::Error)]
pub enum InstancesError {
    /// Not the JSON that a health query is answered with.
    #[error("not a list of instances: {0}")]
    Json(#[from] serde_json::Error),
    /// Not a list, or cut off.
    #[error("not a list of instances")]
    NotAList,
    /// More than we take.
    #[error("too many instances, or too large ones")]
    TooMuch,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Start,
    Between,
    Inside,
    End,
}

/// Reads the answer to a health query piece by piece: at any time no more than one instance of it is kept as text, and
/// what is within one piece is not copied at all.
#[derive(Debug)]
pub struct InstanceReader {
    at: At,
    depth: u32,
    in_string: bool,
    escaped: bool,
    /// The beginning of an instance that the pieces so far have not completed.
    partial: Vec<u8>,
    found: Vec<Instance>,
}

impl InstanceReader {
    /// Nothing read yet.
    pub fn new() -> Self {
        let (partial, found) = (Vec::new(), Vec::new());
        Self { at: At::Start, depth: 0, in_string: false, escaped: false, partial, found }
    }

    /// The next piece.
    pub fn feed(&mut self, piece: &[u8]) -> Result<(), InstancesError> {
        let mut begin = 0;
        for (index, byte) in piece.iter().enumerate() {
            match self.at {
                At::Start | At::Between | At::End if byte.is_ascii_whitespace() => {}
                At::Start if *byte == b'[' => self.at = At::Between,
                At::Between if *byte == b',' => {}
                At::Between if *byte == b']' => self.at = At::End,
                At::Between if *byte == b'{' => {
                    (self.at, self.depth, begin) = (At::Inside, 1, index);
                }
                At::Start | At::Between | At::End => return Err(InstancesError::NotAList),
                At::Inside => {
                    self.step(*byte);
                    if self.depth == 0 {
                        self.at = At::Between;
                        self.take(&piece[begin..=index])?;
                    }
                }
            }
        }
        if self.at == At::Inside {
            if self.partial.len() + piece.len() - begin > LARGEST_INSTANCE {
                return Err(InstancesError::TooMuch);
            }
            self.partial.extend_from_slice(&piece[begin..]);
        }
        Ok(())
    }

    fn step(&mut self, byte: u8) {
        match (self.in_string, byte) {
            (true, _) if self.escaped => self.escaped = false,
            (true, b'\\') => self.escaped = true,
            (_, b'"') => self.in_string = !self.in_string,
            (false, b'{' | b'[') => self.depth += 1,
            (false, b'}' | b']') => self.depth -= 1,
            _ => {}
        }
    }

    fn take(&mut self, rest: &[u8]) -> Result<(), InstancesError> {
        if self.found.len() >= MOST_INSTANCES {
            return Err(InstancesError::TooMuch);
        }
        let instance = if self.partial.is_empty() {
            instance(rest)?
        } else {
            self.partial.extend_from_slice(rest);
            let instance = instance(&self.partial)?;
            self.partial.clear();
            instance
        };
        self.found.extend(instance);
        Ok(())
    }

    /// All pieces have been read.
    pub fn finish(self) -> Result<Vec<Instance>, InstancesError> {
        if self.at == At::End { Ok(self.found) } else { Err(InstancesError::NotAList) }
    }
}

fn instance(text: &[u8]) -> Result<Option<Instance>, InstancesError> {
    let entry: Entry<'_> = serde_json::from_slice(text)?;
    let Some(service) = entry.service else { return Ok(None) };
    let node = entry.node.map(|node| node.address).unwrap_or_default();
    let address = if service.address.0.is_empty() { node } else { service.address };
    // Consul takes any number for a port. Nobody reaches such an instance, but the others are there.
    let port = u16::try_from(service.port.unwrap_or(0)).ok();
    Ok(port.and_then(|port| Instance::of(&address.0, port)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use crate::spec::{TaggedAddress, Weights};
    use std::time::Duration;

    fn spec() -> ServiceSpec {
        let tags = vec!["a".to_owned(), "ü".to_owned()];
        ServiceSpec { port: 80, tags, ttl: Duration::from_secs(90), ..crate::testing::service("web") }
    }

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_registration_leaves_out_what_is_not_said() {
        assert_eq!(
            text(registration(&spec(), Status::Passing).unwrap()),
            r#"{"ID":"web-host","Name":"web","Tags":["a","ü"],"Port":80,"Address":"10.1.2.3","Check":{"TTL":"90s","Status":"passing","Notes":"TTL for web set by containerpilot"}}"#
        );
    }

    #[test]
    fn a_registration_says_all_that_is_configured() {
        let spec = ServiceSpec {
            tags: Vec::new(),
            enable_tag_override: true,
            deregister_critical_after: Some("10m".to_owned()),
            meta: vec![("version".to_owned(), "4".to_owned())],
            weights: Some(Weights { passing: 10, warning: 1 }),
            tagged_addresses: vec![("wan".to_owned(), TaggedAddress { address: "198.51.100.7".to_owned(), port: 81 })],
            ..spec()
        };
        assert_eq!(
            text(registration(&spec, Status::Critical).unwrap()),
            r#"{"ID":"web-host","Name":"web","Port":80,"Address":"10.1.2.3","TaggedAddresses":{"wan":{"Address":"198.51.100.7","Port":81}},"Meta":{"version":"4"},"Weights":{"Passing":10,"Warning":1},"EnableTagOverride":true,"Check":{"TTL":"90s","Status":"critical","Notes":"TTL for web set by containerpilot","DeregisterCriticalServiceAfter":"10m"}}"#
        );
    }

    #[test]
    fn a_check_may_have_an_id_of_ours() {
        let spec = ServiceSpec { check_id: Some("web-host".to_owned()), ..spec() };
        let body = text(registration(&spec, Status::Passing).unwrap());
        assert!(body.contains(r#""Check":{"CheckID":"web-host","Name":"web-host","TTL":"90s""#), "{body}");
    }

    #[test]
    fn an_edited_entry_differs_unless_we_allow_it() {
        let cases = [
            (r#"{}"#, true),
            (r#"{"ID": "web-host", "Service": "web"}"#, true),
            (r#"{"Service": "web", "Tags": ["a", "\u00fc"], "Port": 80, "Address": "10.1.2.3", "Meta": {}}"#, true),
            // Of a real agent, version 1.8.7.
            (
                r#"{"ID":"web-host","Service":"web","Tags":["a","ü"],"Meta":{},"Port":80,"Address":"10.1.2.3","TaggedAddresses":{"lan_ipv4":{"Address":"10.1.2.3","Port":80},"wan_ipv4":{"Address":"10.1.2.3","Port":80}},"Weights":{"Passing":1,"Warning":1},"EnableTagOverride":false,"ContentHash":"9beec7c482c4f69e"}"#,
                true,
            ),
            (r#"{"Tags": ["a"]}"#, false),
            (r#"{"Tags": []}"#, false),
            (
                r#"{"Tags": null, "Meta": null, "TaggedAddresses": {"lan_ipv4": {"Address": "10.1.2.3", "Port": 80}}}"#,
                true,
            ),
            (r#"{"Port": 81}"#, false),
            (r#"{"Address": "10.1.2.4"}"#, false),
            (r#"{"Meta": {"x": "y"}}"#, false),
            (r#"{"Weights": {"Passing": 1, "Warning": 1}}"#, true),
            (r#"{"Weights": {"Passing": 2, "Warning": 1}}"#, false),
            (r#"{"EnableTagOverride": true}"#, false),
        ];
        for (body, same) in cases {
            assert_eq!(is_as_registered(body.as_bytes(), &spec()).unwrap(), same, "{body}");
        }
        let theirs = ServiceSpec { enable_tag_override: true, ..spec() };
        assert!(is_as_registered(br#"{"Tags": ["b"]}"#, &theirs).unwrap());
        assert!(is_as_registered(b"oops", &spec()).is_err());
    }

    const ANSWER: &str = r#" [ {"Node": {"Address": "10.0.0.9", "Meta": {"x": "}]\"\\"}},
        "Service": {"ID": "a", "Address": "10.0.0.1", "Port": 80, "Tags": ["{", "\\"]}, "Checks": [{"Output": "[\"]"}]},
        {"Node": {"Address": "10.0.0.9"}, "Service": {"Address": "", "Port": 81}},
        {"Node": null, "Service": {"Address": "\u0066e80::1", "Port": null}}, {"Service": null}, {"x": 1},
        {"Service": {"Address": "10.0.0.3", "Port": 70000}} ]
"#;

    fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Instance>, InstancesError> {
        let mut reader = InstanceReader::new();
        for piece in pieces {
            reader.feed(piece)?;
        }
        reader.finish()
    }

    #[test]
    fn an_answer_is_read_the_same_however_it_is_cut() {
        let want: Vec<String> = ["10.0.0.1:80", "10.0.0.9:81", "[fe80::1]:0"].map(str::to_owned).to_vec();
        let show = |found: Vec<Instance>| found.iter().map(Instance::to_string).collect::<Vec<_>>();
        assert_eq!(show(read([ANSWER.as_bytes()]).unwrap()), want);
        for size in 1..ANSWER.len() {
            assert_eq!(show(read(ANSWER.as_bytes().chunks(size)).unwrap()), want, "in pieces of {size}");
        }
        assert_eq!(read([&b"[]"[..]]).unwrap(), []);
    }

    #[test]
    fn what_is_no_answer_is_refused_and_never_panics() {
        for text in ["", "null", "{}", "[", "[{}", "[{]}", "[] x", "[1]", "[}", "oops"] {
            assert!(read([text.as_bytes()]).is_err(), "{text}");
        }
        for end in 0..ANSWER.trim_end().len() {
            assert!(read([&ANSWER.as_bytes()[..end]]).is_err(), "cut at {end}");
        }
        let mut random = Random::from_seed(1);
        for _ in 0..20_000 {
            let mut text = ANSWER.as_bytes().to_vec();
            for _ in 0..3 {
                let at = random.below(u32::try_from(text.len()).unwrap()) as usize;
                text[at] = b"[]{}\",\\: 1"[random.below(10) as usize];
            }
            if read([&text[..]]).is_err() {}
        }
    }
}
