//! The config as parsed: JSON5 values in their order, each numbered so that `positions` can tell where it stands.
//!
//! Not typed yet: that is for `weak`, which knows the field that a value is meant for.

use std::fmt::{self, Write as _};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A value, and its number in the order of the text: a container comes before what is in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// From 0; the same numbers as in `positions::Positions`.
    pub id: usize,
    /// What was written.
    pub value: Value,
}

/// What was written.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number without fraction or exponent.
    Integer(i128),
    /// Any other number, `Infinity` and `NaN` included.
    Float(f64),
    /// Text in quotes of either kind.
    String(String),
    /// `[...]`
    List(Vec<Node>),
    /// `{...}`, keys written twice included.
    Object(Vec<(String, Node)>),
}

/// How much of a value a message shows, in characters.
const SHOWN: usize = 80;
/// How much of a name it shows: a path is of little use in part.
const NAMED: usize = 1024;

impl Node {
    /// Gives every value its number.
    pub fn numbered(mut self) -> Self {
        let mut next = 0;
        self.number(&mut next);
        self
    }

    fn number(&mut self, next: &mut usize) {
        self.id = *next;
        *next += 1;
        match &mut self.value {
            Value::List(items) => items.iter_mut().for_each(|item| item.number(next)),
            Value::Object(entries) => entries.iter_mut().for_each(|(_, item)| item.number(next)),
            Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::String(_) => {}
        }
    }

    /// Whether it is `null`, which is the same as leaving it out.
    pub fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    /// What kind of value it is, with its article.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Integer(_) | Value::Float(_) => "a number",
            Value::String(_) => "a string",
            Value::List(_) => "a list",
            Value::Object(_) => "an object",
        }
    }

    /// The value for a message: one line, cut where it gets long.
    pub fn shown(&self) -> String {
        let mut text = String::new();
        self.show(&mut text, true);
        visible(&text, SHOWN)
    }

    fn show(&self, text: &mut String, outermost: bool) {
        // More would be cut off anyway, and the value may be huge.
        if text.len() > 4 * SHOWN {
            return;
        }
        match &self.value {
            Value::Null => text.push_str("null"),
            Value::Bool(_) | Value::Integer(_) | Value::Float(_) => text.push_str(&self.go_text()),
            Value::String(string) if outermost => text.extend(string.chars().take(2 * SHOWN)),
            Value::String(string) => {
                text.push('"');
                text.extend(string.chars().take(2 * SHOWN));
                text.push('"');
            }
            Value::List(items) => {
                text.push('[');
                for (i, item) in items.iter().enumerate() {
                    text.push_str(if i == 0 { "" } else { ", " });
                    item.show(text, false);
                }
                text.push(']');
            }
            Value::Object(entries) => {
                text.push('{');
                for (i, (key, item)) in entries.iter().enumerate() {
                    text.push_str(if i == 0 { "" } else { ", " });
                    text.extend(key.chars().take(SHOWN));
                    text.push_str(": ");
                    item.show(text, false);
                }
                text.push('}');
            }
        }
    }

    /// The value as text, as Go's `%v` has it, so that an argument reaches a process as under 3.8.
    pub fn go_text(&self) -> String {
        match &self.value {
            Value::Null => "<nil>".to_owned(),
            Value::Bool(value) => value.to_string(),
            Value::Integer(value) => value.to_string(),
            Value::Float(value) => float_text(*value),
            Value::String(text) => text.clone(),
            Value::List(items) => {
                let items: Vec<String> = items.iter().map(Node::go_text).collect();
                format!("[{}]", items.join(" "))
            }
            Value::Object(entries) => {
                let entries: Vec<String> =
                    entries.iter().map(|(key, item)| format!("{key}:{}", item.go_text())).collect();
                format!("map[{}]", entries.join(" "))
            }
        }
    }
}

/// A name or a path for a message: without control characters, cut where no name is that long.
pub fn shortened(text: &str) -> String {
    visible(text, NAMED)
}

fn visible(text: &str, limit: usize) -> String {
    let mut short = String::new();
    for (i, c) in text.chars().enumerate() {
        if i == limit {
            short.push('…');
            break;
        }
        match c {
            '\u{2028}' | '\u{2029}' => short.push_str(&c.escape_unicode().to_string()),
            c if c.is_control() => short.push_str(&c.escape_default().to_string()),
            c => short.push(c),
        }
    }
    short
}

/// 3.8 writes 1e+06 for a million; we keep to the digits up to the 21 that JavaScript keeps to.
fn float_text(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let size = value.abs();
    if size == 0.0 || (1e-4..1e21).contains(&size) {
        return value.to_string();
    }
    let text = format!("{value:e}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    let (sign, exponent) = exponent.strip_prefix('-').map_or(("+", exponent), |rest| ("-", rest));
    let mut text = format!("{digits}e{sign}");
    if exponent.len() < 2 {
        text.push('0');
    }
    match write!(text, "{exponent}") {
        Ok(()) | Err(fmt::Error) => text,
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor).map(|value| Self { id: 0, value })
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Value::Object(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(text: &str) -> Node {
        json5::from_str::<Node>(text).unwrap().numbered()
    }

    #[test]
    fn numbers_read_as_they_were_written() {
        for (written, text) in [
            ("1", "1"),
            ("-7", "-7"),
            ("2.5", "2.5"),
            ("0x10", "16"),
            ("1.0", "1"),
            ("1000000", "1000000"),
            ("1e6", "1000000"),
            ("1e21", "1e+21"),
            ("0.00001", "1e-05"),
            ("Infinity", "+Inf"),
            ("-Infinity", "-Inf"),
            ("NaN", "NaN"),
            ("null", "<nil>"),
            ("['a', 1]", "[a 1]"),
            ("{a: 1}", "map[a:1]"),
        ] {
            assert_eq!(node(written).go_text(), text, "{written}");
        }
    }

    #[test]
    fn a_container_is_numbered_before_what_is_in_it() {
        let Value::Object(entries) = node("{a: [1, 2], b: 3}").value else { panic!("no object") };
        assert_eq!((entries[0].1.id, entries[1].1.id), (1, 4));
    }

    #[test]
    fn a_long_value_is_shown_in_part() {
        let shown = node(&format!("['{}']", "x".repeat(1000))).shown();
        assert!(shown.chars().count() < 100, "{shown}");
        assert_eq!(node("'a\\nb\\u0007'").shown(), "a\\nb\\u{7}");
    }
}
