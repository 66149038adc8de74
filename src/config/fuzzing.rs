//! Entry points for fuzz targets (`fuzz/`) to what is private otherwise. Built by cargo-fuzz only.

use super::node::{Node, Value};
use super::positions::{Position, Positions};

/// Every value of a text that can be parsed stands where it is said to.
pub fn positions(text: &str) {
    let Ok(root) = super::parse_json5("fuzz", text) else { return };
    check(&root, text, &Positions::of(text));
}

fn check(node: &Node, text: &str, positions: &Positions<'_>) {
    let place = positions.of_value(node.id).expect("each value has a place");
    let first = at(text, place);
    let begins_so = |those: &str| first.is_some_and(|first| those.contains(first));
    let is_right = match &node.value {
        Value::Null => begins_so("n"),
        Value::Bool(_) => begins_so("tf"),
        Value::Integer(_) | Value::Float(_) => begins_so("0123456789.+-IN"),
        Value::String(_) => begins_so("\"'"),
        Value::List(_) => begins_so("["),
        Value::Object(_) => begins_so("{"),
    };
    assert!(is_right, "{place:?} is no place of {}: {first:?}", node.kind());
    match &node.value {
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::String(_) => {}
        Value::List(items) => items.iter().for_each(|item| check(item, text, positions)),
        Value::Object(entries) => entries.iter().for_each(|(_, value)| check(value, text, positions)),
    }
}

/// The character at a position.
fn at(text: &str, Position { line, column }: Position) -> Option<char> {
    let mut here = Position { line: 1, column: 1 };
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if here == (Position { line, column }) {
            return Some(character);
        }
        let ends = match character {
            '\n' | '\u{2028}' | '\u{2029}' => true,
            '\r' => characters.peek() != Some(&'\n'),
            _ => false,
        };
        here = if ends {
            Position { line: here.line + 1, column: 1 }
        } else {
            Position { column: here.column + 1, ..here }
        };
    }
    None
}

/// A duration that is not negative.
pub fn duration(text: &str) -> Option<std::time::Duration> {
    super::duration::parse(text)?.positive()
}
