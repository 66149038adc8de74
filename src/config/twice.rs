//! Keys that are given twice in one object: only the last one counts, as in 3.8, and the others are lost in silence.

use std::collections::HashMap;

use super::node::{Node, Value, shortened};
use super::problem::Problem;
use super::reader::Scope;

/// A doubt for each key that its object has had before.
pub fn find(root: &Node) -> Vec<Problem> {
    let mut found = Vec::new();
    look(root, "", &mut found);
    found
}

fn look(node: &Node, path: &str, found: &mut Vec<Problem>) {
    match &node.value {
        Value::Object(entries) => {
            let mut before: HashMap<&str, usize> = HashMap::new();
            for (key, value) in entries {
                let key_path = if path.is_empty() { shortened(key) } else { format!("{path}.{}", shortened(key)) };
                if let Some(first) = before.insert(key, value.id) {
                    let says =
                        format!("`{}` is given twice, only the last one counts; the one before is at", shortened(key));
                    found.push(Problem::key(value, key_path.as_str(), says).with_key(first));
                }
                look(value, &key_path, found);
            }
        }
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                look(item, &item_path(path, index, item), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::String(_) => {}
    }
}

/// `job[NAME]` and its like, as for all that is said of them.
fn item_path(list: &str, index: usize, item: &Node) -> String {
    let unnamed = Scope::new(format!("{list}[{index}]"), item);
    let kind = match list {
        "jobs" => "job",
        "watches" => "watch",
        "services" => "service",
        "backends" => "backend",
        "tasks" => "task",
        "coprocesses" => "coprocess",
        _ => return unnamed.path().to_owned(),
    };
    super::lower_v3::named_scope(kind, &unnamed, item).path().to_owned()
}
