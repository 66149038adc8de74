//! A line that is a JSON object, of a job with `logging: {json: true}`: whether it is one, its level and its time.
//!
//! Such a line becomes part of a record as it is, so it must be one that every consumer can read: UTF-8, numbers that are
//! finite, whole surrogate pairs, no deeper than 128. Nothing is built of it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::encode::stamp_of;
use crate::spec::LogLevel;

/// What an object says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Its `level`, if it is one that we know.
    pub level: Option<LogLevel>,
    /// Its `time`, in RFC 3339, if it is a time.
    pub time: Option<String>,
}

/// What an object says; none if the line is anything else.
pub fn inspect(line: &[u8]) -> Option<Said> {
    if line.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    let mut json = serde_json::Deserializer::from_slice(line);
    let said = Said::deserialize(&mut json).ok()?;
    json.end().ok()?;
    Some(said)
}

impl<'de> Deserialize<'de> for Said {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Said;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Said, A::Error> {
                let mut said = Said::default();
                while let Some(key) = map.next_key::<Key>()? {
                    match key {
                        Key::Level => said.level = level(&map.next_value()?),
                        Key::Time => said.time = time(&map.next_value()?),
                        Key::Other => drop(map.next_value::<Checked>()?),
                    }
                }
                Ok(said)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

enum Key {
    Level,
    Time,
    Other,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_str<E>(self, name: &str) -> Result<Key, E> {
                Ok(match name {
                    "level" => Key::Level,
                    "time" => Key::Time,
                    _ => Key::Other,
                })
            }
        }
        deserializer.deserialize_str(Name)
    }
}

/// Any value. Only what may be a level or a time is kept.
enum Checked {
    Text(String),
    Whole(u64),
    Fraction(f64),
    Other,
}

/// Any value whose text nobody wants.
struct Unwanted;

struct Any<const KEPT: bool>;

impl<'de, const KEPT: bool> Visitor<'de> for Any<KEPT> {
    type Value = Checked;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Checked, E> {
        Ok(if KEPT { Checked::Text(text.to_owned()) } else { Checked::Other })
    }

    fn visit_u64<E>(self, number: u64) -> Result<Checked, E> {
        Ok(Checked::Whole(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Checked, E> {
        Ok(Checked::Other)
    }

    fn visit_f64<E>(self, number: f64) -> Result<Checked, E> {
        Ok(Checked::Fraction(number))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Checked, E> {
        Ok(Checked::Other)
    }

    fn visit_unit<E>(self) -> Result<Checked, E> {
        Ok(Checked::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Checked, A::Error> {
        while seq.next_element::<Unwanted>()?.is_some() {}
        Ok(Checked::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Checked, A::Error> {
        while map.next_entry::<Unwanted, Unwanted>()?.is_some() {}
        Ok(Checked::Other)
    }
}

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any::<true>)
    }
}

impl<'de> Deserialize<'de> for Unwanted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any::<false>).map(|_| Self)
    }
}

/// Words as most loggers write them, and the numbers of bunyan and pino.
fn level(value: &Checked) -> Option<LogLevel> {
    match value {
        Checked::Text(word) => match word.to_ascii_lowercase().as_str() {
            "trace" | "debug" => Some(LogLevel::Debug),
            "info" | "information" | "notice" => Some(LogLevel::Info),
            "warn" | "warning" => Some(LogLevel::Warn),
            "error" | "err" => Some(LogLevel::Error),
            "fatal" | "critical" | "crit" | "alert" | "emerg" => Some(LogLevel::Fatal),
            "panic" => Some(LogLevel::Panic),
            _ => None,
        },
        Checked::Whole(10 | 20) => Some(LogLevel::Debug),
        Checked::Whole(30) => Some(LogLevel::Info),
        Checked::Whole(40) => Some(LogLevel::Warn),
        Checked::Whole(50) => Some(LogLevel::Error),
        Checked::Whole(60) => Some(LogLevel::Fatal),
        Checked::Whole(_) | Checked::Fraction(_) | Checked::Other => None,
    }
}

/// RFC 3339 as it is; a number as seconds, milli-, micro- or nanoseconds since 1970, by its size.
fn time(value: &Checked) -> Option<String> {
    match value {
        Checked::Text(text) => is_rfc3339(text.as_bytes()).then(|| text.clone()),
        Checked::Whole(number) => {
            let unit = match *number {
                0..100_000_000_000 => 1_000_000_000,
                100_000_000_000..100_000_000_000_000 => 1_000_000,
                100_000_000_000_000..100_000_000_000_000_000 => 1000,
                _ => 1,
            };
            number.checked_mul(unit).map(stamp_of)
        }
        Checked::Fraction(number) => {
            let seconds = if *number < 1e11 { *number } else { number / 1e3 };
            // More digits than those of microseconds are noise in a number of this size; 64 bits end in 2554.
            #[expect(clippy::cast_possible_truncation, reason = "the size is checked")]
            #[expect(clippy::cast_sign_loss, reason = "the sign is checked")]
            (0.0..1.8e10).contains(&seconds).then(|| stamp_of((seconds * 1e6).round() as u64 * 1000))
        }
        Checked::Other => None,
    }
}

fn is_rfc3339(text: &[u8]) -> bool {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00";
    let fits = |text: &[u8], shape: &[u8]| {
        text.len() == shape.len()
            && text.iter().zip(shape).all(|(byte, of)| if *of == b'0' { byte.is_ascii_digit() } else { byte == of })
    };
    let Some((head, rest)) = text.split_at_checked(SHAPE.len()) else { return false };
    let rest = match rest.strip_prefix(b".") {
        Some(fraction) => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if !(1..=9).contains(&digits) {
                return false;
            }
            &fraction[digits..]
        }
        None => rest,
    };
    fits(head, SHAPE) && (rest == b"Z" || fits(rest, b"+00:00") || fits(rest, b"-00:00"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_objects_that_everybody_can_read_are_objects() {
        for line in [r"{}", r#" {"a": [1, {"b": null}, "é"], "c": -1.5e3} "#, r#"{"a":"\ud83d\ude80"}"#] {
            assert!(inspect(line.as_bytes()).is_some(), "{line}");
        }
        for line in [
            "",
            "[1]",
            "1",
            "null",
            "{",
            "{}}",
            "{} {}",
            "{a: 1}",
            r#"{"a":"\ud83d"}"#,
            r#"{"a":1e999}"#,
            r#"{"a":01}"#,
            "{\"a\":\"\n\"}",
        ] {
            assert_eq!(inspect(line.as_bytes()), None, "{line}");
        }
        assert_eq!(inspect(b"{\"a\":\"\xff\"}"), None);
        let deep = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
        assert_eq!(inspect(deep.as_bytes()), None);
    }

    #[test]
    fn levels_are_those_of_most_loggers() {
        for (written, level) in [
            ("\"WARN\"", Some(LogLevel::Warn)),
            ("\"trace\"", Some(LogLevel::Debug)),
            ("50", Some(LogLevel::Error)),
            ("\"critical\"", Some(LogLevel::Fatal)),
            ("\"loud\"", None),
            ("{\"a\":1}", None),
        ] {
            assert_eq!(inspect(format!("{{\"level\":{written}}}").as_bytes()).unwrap().level, level, "{written}");
        }
    }

    #[test]
    fn times_are_rfc_3339_or_numbers() {
        for (written, time) in [
            ("\"2026-11-21T13:20:00.5+01:00\"", Some("2026-11-21T13:20:00.5+01:00")),
            ("\"2026-11-21T13:20:00Z\"", Some("2026-11-21T13:20:00Z")),
            ("\"2026-11-21 13:20:00\"", None),
            ("\"2026-11-21T13:20:00.Z\"", None),
            ("\"2026-11-21T13:20:00\"", None),
            ("951782400", Some("2000-02-29T00:00:00.000000000Z")),
            ("951782400.25", Some("2000-02-29T00:00:00.250000000Z")),
            ("951782400250", Some("2000-02-29T00:00:00.250000000Z")),
            ("951782400250000001", Some("2000-02-29T00:00:00.250000001Z")),
            ("-1", None),
            ("true", None),
        ] {
            let said = inspect(format!("{{\"time\":{written}}}").as_bytes()).unwrap();
            assert_eq!(said.time.as_deref(), time, "{written}");
        }
    }
}
