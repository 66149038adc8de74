//! Reads fields into plain values and gathers what is wrong with them, so that one bad field hides no other.
//!
//! The types are weak, as 3.8's are (mapstructure's): digits in quotes are a number, a number is a text, `1` and `"t"`
//! are true.

use std::time::Duration;

use super::duration;
use super::node::{Node, Value};
use super::problem::{Problem, nearest};
use super::raw_v3::{Block, Field, Ignored};

/// Where a block is: its path, for messages, and its number.
#[derive(Clone, Debug)]
pub struct Scope {
    path: String,
    id: usize,
}

impl Scope {
    /// The block `path`.
    pub fn new(path: impl Into<String>, node: &Node) -> Self {
        Self { path: path.into(), id: node.id }
    }

    /// Its path; empty for the whole config.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The path of a field.
    pub fn path_of(&self, field: Field<'_>) -> String {
        if self.path.is_empty() { field.name.to_owned() } else { format!("{}.{}", self.path, field.name) }
    }

    /// A block in a field.
    pub fn inner(&self, field: Field<'_>, node: &Node) -> Self {
        Self::new(self.path_of(field), node)
    }
}

/// What has been found so far.
#[derive(Debug, Default)]
pub struct Reader {
    /// What keeps the config from being used.
    pub problems: Vec<Problem>,
    /// What start-up calls an error and copes with; `-validate` and a reload refuse it.
    pub faults: Vec<Problem>,
    /// What start-up warns of and `-validate` refuses.
    pub warnings: Vec<Problem>,
    /// What start-up and `-validate` warn of.
    pub doubts: Vec<Problem>,
    /// What only `-validate` speaks of.
    pub notes: Vec<Problem>,
    /// What start-up calls an error, although it is none of the config's.
    pub errors: Vec<String>,
    /// What start-up and `-validate` warn of, although it is not in the config.
    pub remarks: Vec<String>,
}

impl Reader {
    /// A problem with the value of a field, or with its block where it is left out.
    pub fn problem(&mut self, scope: &Scope, field: Field<'_>, says: impl Into<String>) {
        let id = field.node.map_or(scope.id, |node| node.id);
        self.problems.push(Problem::at_value(id, scope.path_of(field), says));
    }

    /// A problem with the value of a field on this machine, which may be right on another one.
    pub fn machine_problem(&mut self, scope: &Scope, field: Field<'_>, says: impl Into<String>) {
        let id = field.node.map_or(scope.id, |node| node.id);
        self.problems.push(Problem::at_value(id, scope.path_of(field), says).of_machine());
    }

    /// A problem with a block.
    pub fn problem_with(&mut self, scope: &Scope, says: impl Into<String>) {
        self.problems.push(Problem::at_value(scope.id, scope.path.clone(), says));
    }

    /// A fault of the value of a field.
    pub fn fault(&mut self, scope: &Scope, field: Field<'_>, says: impl Into<String>) {
        let id = field.node.map_or(scope.id, |node| node.id);
        self.faults.push(Problem::at_value(id, scope.path_of(field), says));
    }

    /// A doubt about the value of a field, or about its block where it is left out.
    pub fn doubt(&mut self, scope: &Scope, field: Field<'_>, says: impl Into<String>) {
        let id = field.node.map_or(scope.id, |node| node.id);
        self.doubts.push(Problem::at_value(id, scope.path_of(field), says));
    }

    /// A doubt about a block.
    pub fn doubt_of(&mut self, scope: &Scope, says: impl Into<String>) {
        self.doubts.push(Problem::at_value(scope.id, scope.path.clone(), says));
    }

    /// A warning about a block.
    pub fn warning_of(&mut self, scope: &Scope, says: impl Into<String>) {
        self.warnings.push(Problem::at_value(scope.id, scope.path.clone(), says));
    }

    /// A warning about the value of a field.
    pub fn warning(&mut self, scope: &Scope, field: Field<'_>, says: impl Into<String>) {
        let id = field.node.map_or(scope.id, |node| node.id);
        self.warnings.push(Problem::at_value(id, scope.path_of(field), says));
    }

    /// A problem with a value that is not what it should be, which is shown.
    pub fn refuse(&mut self, scope: &Scope, field: Field<'_>, accepted: &str) {
        match field.node {
            Some(node) => self.problem(scope, field, format!("`{}` is not {accepted}", node.shown())),
            None => self.problem(scope, field, format!("is missing, it must be {accepted}")),
        }
    }

    /// The block in a field; none if it is left out, or wrong as a whole.
    pub fn block<'a, B: Block<'a>>(&mut self, scope: &Scope, field: Field<'a>) -> Option<(Scope, B)> {
        let node = field.node?;
        let inner = scope.inner(field, node);
        let block = self.read(&inner, node)?;
        Some((inner, block))
    }

    /// A value as a block.
    pub fn read<'a, B: Block<'a>>(&mut self, scope: &Scope, node: &'a Node) -> Option<B> {
        let Value::Object(entries) = &node.value else {
            let says =
                format!("is {}, not an object with the fields of {}: {}", node.kind(), B::WHAT, B::FIELDS.join(", "));
            self.problem_with(scope, says);
            return None;
        };
        let mut block = B::empty();
        let mut before: Vec<(&str, &str, usize)> = Vec::new();
        for (key, value) in entries {
            match field_of::<B>(key, entries) {
                Some(name) => {
                    // The same key again is found by `twice`.
                    let other = before.iter().rev().find(|(field, other, _)| *field == name && *other != key);
                    if let Some((_, other, first)) = other {
                        let other = super::node::shortened(other);
                        let says =
                            format!("this is `{name}`, as is `{other}`, and only the last one counts; that is at");
                        let path = format!("{}.{}", scope.path, super::node::shortened(key));
                        self.doubts.push(Problem::key(value, path, says).with_key(*first));
                    }
                    before.push((name, key, value.id));
                    block.set(name, Some(value).filter(|value| !value.is_null()));
                }
                None => match B::IGNORED.iter().find(|ignored| ignored.name.eq_ignore_ascii_case(key)) {
                    Some(ignored) => self.doubts.push(without_effect(scope, key, value, *ignored)),
                    None => self.problems.push(unknown::<B>(scope, key, value)),
                },
            }
        }
        Some(block)
    }

    /// The items of a list that are not `null`, with their numbers; 3.8 takes `{}` for an empty one.
    pub fn list<'a>(&mut self, scope: &Scope, field: Field<'a>) -> Vec<(usize, &'a Node)> {
        let Some(node) = field.node else { return Vec::new() };
        match &node.value {
            Value::List(items) => items.iter().enumerate().filter(|(_, item)| !item.is_null()).collect(),
            Value::Object(entries) if entries.is_empty() => Vec::new(),
            Value::Null
            | Value::Bool(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::String(_)
            | Value::Object(_) => {
                self.problem(scope, field, format!("is {}, not a list", node.kind()));
                Vec::new()
            }
        }
    }

    /// A list of texts.
    pub fn strings(&mut self, scope: &Scope, field: Field<'_>) -> Vec<String> {
        let Some(node) = field.node else { return Vec::new() };
        let mut texts = Vec::new();
        let items = match &node.value {
            Value::List(items) => items,
            Value::Null
            | Value::Bool(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::String(_)
            | Value::Object(_) => {
                self.list(scope, field);
                return texts;
            }
        };
        for (i, item) in items.iter().enumerate() {
            match text(item) {
                Some(text) => texts.push(text),
                None => {
                    let path = format!("{}[{i}]", scope.path_of(field));
                    self.problems.push(Problem::value(item, path, format!("is {}, not a string", item.kind())));
                }
            }
        }
        texts
    }

    /// A list of texts, or the only one of them.
    pub fn one_or_more(&mut self, scope: &Scope, field: Field<'_>) -> Vec<String> {
        match field.node.map(|node| &node.value) {
            Some(Value::String(text)) => vec![text.clone()],
            _ => self.strings(scope, field),
        }
    }

    /// A text; an empty one counts as left out.
    pub fn string(&mut self, scope: &Scope, field: Field<'_>) -> Option<String> {
        let found = text(field.node?);
        if found.is_none() {
            self.refuse(scope, field, "a string");
        }
        found.filter(|text| !text.is_empty())
    }

    /// A whole number; fractions are cut off.
    pub fn integer(&mut self, scope: &Scope, field: Field<'_>, accepted: &str) -> Option<i64> {
        let found = whole_number(field.node?);
        if found.is_none() {
            self.refuse(scope, field, accepted);
        }
        found
    }

    /// A number of things, at least 1.
    pub fn count(&mut self, scope: &Scope, field: Field<'_>, accepted: &str) -> Option<u32> {
        let found = whole_number(field.node?).and_then(|number| u32::try_from(number).ok()).filter(|count| *count > 0);
        if found.is_none() {
            self.refuse(scope, field, accepted);
        }
        found
    }

    /// Whole seconds, at least 1; it must be there.
    pub fn seconds(&mut self, scope: &Scope, field: Field<'_>) -> Option<Duration> {
        const ACCEPTED: &str = "a whole number of seconds, at least 1";
        if field.node.is_none() {
            self.refuse(scope, field, ACCEPTED);
        }
        self.count(scope, field, ACCEPTED).map(|count| Duration::from_secs(count.into()))
    }

    /// True or false; an empty text is false.
    pub fn boolean(&mut self, scope: &Scope, field: Field<'_>) -> Option<bool> {
        let found = truth(field.node?);
        if found.is_none() {
            self.refuse(scope, field, "true or false");
        }
        found
    }

    /// A duration of at least `least`; an empty text counts as left out.
    pub fn duration(&mut self, scope: &Scope, field: Field<'_>, least: Duration) -> Option<Duration> {
        let text = self.string(scope, field)?;
        let Some(found) = duration::parse(&text) else {
            self.refuse(scope, field, duration::ACCEPTED);
            return None;
        };
        let found = found.positive().filter(|found| *found >= least);
        if found.is_none() {
            let least =
                if least.is_zero() { "0".to_owned() } else { containerpilot_actors::duration::go_format(least) };
            self.refuse(scope, field, &format!("at least {least}"));
        }
        found
    }

    /// A duration of which 0 is the same as none, as in 3.8 and in 2.7.
    pub fn limit(&mut self, scope: &Scope, field: Field<'_>) -> Option<Duration> {
        self.duration(scope, field, Duration::ZERO).filter(|limit| !limit.is_zero())
    }

    /// One of several words.
    pub fn word<T: Copy>(&mut self, scope: &Scope, field: Field<'_>, text: &str, words: &[(&str, T)]) -> Option<T> {
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        if found.is_none() {
            let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let hint =
                nearest(text, names.iter().copied()).map(|name| format!(", perhaps `{name}`")).unwrap_or_default();
            self.refuse(scope, field, &format!("one of {}{hint}", names.join(", ")));
        }
        found
    }
}

/// The field that a key means. One that is written exactly goes before one in another case.
fn field_of<'a, B: Block<'a>>(key: &str, entries: &[(String, Node)]) -> Option<&'static str> {
    if let Some(name) = B::FIELDS.iter().find(|name| **name == key) {
        return Some(name);
    }
    if B::CASE_MATTERS {
        return None;
    }
    let name = B::FIELDS.iter().find(|name| name.eq_ignore_ascii_case(key))?;
    let is_there = entries.iter().any(|(other, _)| other == name);
    (!is_there).then_some(*name)
}

fn unknown<'a, B: Block<'a>>(scope: &Scope, key: &str, value: &Node) -> Problem {
    let key = super::node::shortened(key);
    let hint = nearest(&key, B::FIELDS.iter().copied()).map(|name| format!(", perhaps `{name}`")).unwrap_or_default();
    let says = format!("`{key}` is not a field of {}{hint} (they are {})", B::WHAT, B::FIELDS.join(", "));
    let path = if scope.path.is_empty() { String::new() } else { format!("{}.{key}", scope.path) };
    Problem::key(value, path, says)
}

fn without_effect(scope: &Scope, key: &str, value: &Node, ignored: Ignored) -> Problem {
    let path = if scope.path.is_empty() { key.to_owned() } else { format!("{}.{key}", scope.path) };
    let hint = match ignored.instead {
        "" => String::new(),
        field => format!(", perhaps `{field}` was meant"),
    };
    Problem::key(value, path, format!("`{key}` has no effect, as in earlier versions{hint}"))
}

/// The value as a text, as mapstructure makes one.
pub fn text(node: &Node) -> Option<String> {
    match &node.value {
        Value::Null => Some(String::new()),
        Value::Bool(value) => Some(if *value { "1" } else { "0" }.to_owned()),
        Value::Integer(_) | Value::String(_) => Some(node.go_text()),
        Value::Float(value) if value.is_finite() => Some(value.to_string()),
        Value::Float(_) => Some(node.go_text()),
        Value::List(_) | Value::Object(_) => None,
    }
}

fn whole_number(node: &Node) -> Option<i64> {
    match &node.value {
        Value::Null => Some(0),
        Value::Bool(value) => Some(i64::from(*value)),
        Value::Integer(value) => i64::try_from(*value).ok(),
        Value::Float(value) => whole_part(*value),
        Value::String(text) => go_integer(text),
        Value::List(_) | Value::Object(_) => None,
    }
}

/// A number without its fraction, if 64 bits hold it.
pub fn whole_part(value: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "cutting off the fraction is the purpose, the size is checked")]
    (value.abs() < 9.0e18).then_some(value as i64)
}

/// Go's `strconv.ParseInt(text, 0, 64)`: a leading `0x` is hexadecimal, a leading `0` octal.
fn go_integer(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, radix) = if let Some(digits) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        (digits, 16)
    } else if digits.len() > 1 && digits.starts_with('0') {
        (digits, 8)
    } else {
        (digits, 10)
    };
    // `from_str_radix` would take another sign.
    if !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    i64::try_from(i128::from_str_radix(digits, radix).ok()? * sign).ok()
}

pub fn truth(node: &Node) -> Option<bool> {
    match &node.value {
        Value::Null => Some(false),
        Value::Bool(value) => Some(*value),
        Value::Integer(value) => Some(*value != 0),
        Value::Float(value) => Some(*value != 0.0),
        Value::String(text) if text.is_empty() => Some(false),
        Value::String(text) => go_boolean(text),
        Value::List(_) | Value::Object(_) => None,
    }
}

/// Go's `strconv.ParseBool`.
pub fn go_boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(text: &str) -> Node {
        json5::from_str::<Node>(text).unwrap().numbered()
    }

    #[test]
    fn whole_numbers_are_weakly_typed() {
        for (written, want) in [
            ("5", Some(5)),
            ("5.9", Some(5)),
            ("-5.9", Some(-5)),
            ("'5'", Some(5)),
            ("'0x10'", Some(16)),
            ("'010'", Some(8)),
            ("'-3'", Some(-3)),
            ("true", Some(1)),
            ("''", None),
            ("'5.0'", None),
            ("'08'", None),
            ("'+-5'", None),
            ("'five'", None),
            ("[5]", None),
            ("1e30", None),
            ("NaN", None),
        ] {
            assert_eq!(whole_number(&node(written)), want, "{written}");
        }
    }

    #[test]
    fn truth_is_weakly_typed() {
        for (written, want) in [
            ("true", Some(true)),
            ("0", Some(false)),
            ("2.5", Some(true)),
            ("'T'", Some(true)),
            ("''", Some(false)),
            ("'yes'", None),
            ("[]", None),
        ] {
            assert_eq!(truth(&node(written)), want, "{written}");
        }
    }

    #[test]
    fn texts_are_weakly_typed() {
        for (written, want) in [
            ("'x'", Some("x")),
            ("7", Some("7")),
            ("2.50", Some("2.5")),
            ("1.0", Some("1")),
            ("true", Some("1")),
            ("{}", None),
        ] {
            assert_eq!(text(&node(written)).as_deref(), want, "{written}");
        }
    }

    #[test]
    fn an_exact_name_goes_before_one_in_another_case() {
        let node = node("{ NAME: 'a', name: 'b', Socket: 'c' }");
        let mut reader = Reader::default();
        let job: crate::config::raw_v3::Job<'_> = reader.read(&Scope::new("jobs[0]", &node), &node).unwrap();
        assert_eq!(job.name.node.and_then(text).as_deref(), Some("b"));
        assert_eq!(reader.problems.len(), 2);
    }
}
