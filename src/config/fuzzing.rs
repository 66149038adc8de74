//! Entry points for fuzz targets (`fuzz/`) to what is private otherwise. Built by cargo-fuzz only.

use super::node::{Node, Value};
use super::positions::Places;
use super::syntax;
use super::written::Written;

/// Every value of a text that can be parsed stands where it is said to.
pub fn positions(text: &str) {
    let Ok(root) = syntax::parse(&Written::plain("fuzz", text)) else { return };
    check(&root, text, &Places::of(text));
}

fn check(node: &Node, text: &str, places: &Places<'_>) {
    let place = places.of_value(node.id).expect("each value has a place");
    let first = text.get(place..).and_then(|rest| rest.chars().next());
    let begins_so = |those: &str| first.is_some_and(|first| those.contains(first));
    let is_right = match &node.value {
        Value::Null => begins_so("n"),
        Value::Bool(_) => begins_so("tf"),
        Value::Integer(_) | Value::Float(_) => begins_so("0123456789.+-IN"),
        Value::String(_) => begins_so("\"'"),
        Value::List(_) => begins_so("["),
        Value::Object(_) => begins_so("{"),
    };
    assert!(is_right, "{place} is no place of {}: {first:?}", node.kind());
    match &node.value {
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::String(_) => {}
        Value::List(items) => items.iter().for_each(|item| check(item, text, places)),
        Value::Object(entries) => entries.iter().for_each(|(_, value)| check(value, text, places)),
    }
}

/// A duration that is not negative.
pub fn duration(text: &str) -> Option<std::time::Duration> {
    super::duration::parse(text)?.positive()
}
