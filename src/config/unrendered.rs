//! A config as it is before its template is rendered: its actions stand within strings, and pass through as they are.
//!
//! The parser sees a mark for each action: one private character, and padding, so that everything else keeps its place.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::node::{Node, Value};
use super::positions::{Places, Position, position};
use super::written::Written;
use super::{ConfigError, syntax};
use crate::template::{self, TemplateError};

/// The mark of the first action; the others follow.
const FIRST: u32 = 0xF_0000;
/// So many there are at least.
const MOST: usize = 100_000;
/// Fills up a mark to the length of its action.
const PAD: char = '\u{10_FFFD}';
/// The same for the end of a line: JSON5 lets it stand in a string, and lines are counted by it.
const LINE: char = '\u{2028}';
/// Why a text cannot be migrated.
pub const PRIVATE: &str = "has a private character of Unicode, which a migration has a use of its own for";
/// What an action trims beside it.
const WHITE: [char; 4] = [' ', '\t', '\r', '\n'];

/// The actions of a config and of a command line, by their marks; the same one has the same mark everywhere.
#[derive(Debug, Default)]
pub struct Actions {
    written: Vec<String>,
    marks: HashMap<String, char>,
}

/// A config with marks in its strings.
#[derive(Debug)]
pub struct Unrendered {
    /// Its values.
    pub root: Node,
    /// The text that the places of `root` are those of.
    pub text: String,
}

impl Actions {
    /// Parses a config, if it is JSON5 without being rendered.
    pub fn parse(&mut self, name: &str, text: &str) -> Result<Unrendered, ConfigError> {
        if let Some(at) = text.find(is_private) {
            let Position { line, column } = position(text, at);
            return Err(ConfigError::Invalid(vec![format!("{name}:{line}:{column}: {PRIVATE}")]));
        }
        let mut marked = String::with_capacity(text.len());
        let mut at = 0;
        for action in self.found(name, text)? {
            marked.push_str(&text[at..action.start]);
            at = action.end;
            let action = &text[action];
            marked.push(self.mark(action));
            marked.extend(action.chars().skip(1).map(|c| if c == '\n' { LINE } else { PAD }));
        }
        marked.push_str(&text[at..]);
        let root = match syntax::parse(&Written::plain(name, &marked)) {
            Err(ConfigError::Syntax { path, line, column, says }) if !self.written.is_empty() => {
                return Err(ConfigError::Unrendered { path, line, column, says });
            }
            parsed => parsed?,
        };
        let root = map_texts(&root, &|text| self.without_padding(text));
        self.check(&root).map_err(|(id, says)| {
            let place = position(&marked, Places::of(&marked).of_value(id).unwrap_or(0));
            ConfigError::Unrendered { path: name.to_owned(), line: place.line, column: place.column, says }
        })?;
        Ok(Unrendered { root, text: marked })
    }

    /// A word of a command line with marks in it, if it is a template.
    pub fn parse_word(&mut self, word: &str) -> Result<String, TemplateError> {
        let (mut marked, mut at, mut trims) = (String::new(), 0, false);
        for action in self.found("command line", word)? {
            let (before, written) = (&word[at..action.start], &word[action.clone()]);
            // The marker of a trim is a minus sign with white space on its inner side.
            let trims_before = written[2..].starts_with('-') && written[3..].starts_with(WHITE);
            marked.push_str(trimmed(before, trims, trims_before));
            marked.push(self.mark(written));
            trims = written.ends_with("-}}") && written[..written.len() - 3].ends_with(WHITE);
            at = action.end;
        }
        marked.push_str(trimmed(&word[at..], trims, false));
        Ok(marked)
    }

    fn found(&self, name: &str, text: &str) -> Result<Vec<Range<usize>>, TemplateError> {
        let found = template::actions(name, text.as_bytes())?;
        if self.written.len() + found.len() > MOST {
            let message = format!("there are more than {MOST} actions");
            return Err(TemplateError { name: name.to_owned(), line: 1, column: 1, message });
        }
        Ok(found)
    }

    fn mark(&mut self, action: &str) -> char {
        if let Some(mark) = self.marks.get(action) {
            return *mark;
        }
        let number = u32::try_from(self.written.len()).unwrap_or(u32::MAX);
        let mark = char::from_u32(FIRST.saturating_add(number)).expect("there are not more actions than marks");
        self.written.push(action.to_owned());
        self.marks.insert(action.to_owned(), mark);
        mark
    }

    fn action(&self, mark: char) -> Option<&str> {
        let number = u32::from(mark).checked_sub(FIRST)?;
        self.written.get(usize::try_from(number).ok()?).map(String::as_str)
    }

    fn without_padding(&self, text: &str) -> String {
        let mut padding = 0;
        let keep = |c: char| {
            if padding > 0 {
                padding -= 1;
                return None;
            }
            padding = self.action(c).map_or(0, |action| action.chars().count() - 1);
            Some(c)
        };
        text.chars().filter_map(keep).collect()
    }

    /// Whether a text is known only when it has been rendered.
    pub fn are_in(&self, text: &str) -> bool {
        text.chars().any(|c| self.action(c).is_some())
    }

    /// The actions of a text.
    pub fn of<'a>(&'a self, text: &'a str) -> impl Iterator<Item = &'a str> {
        text.chars().filter_map(|c| self.action(c))
    }

    /// A text with the actions in their places. A brace before one is escaped, as JSON5 has it, lest it be taken for a part
    /// of the action.
    pub fn restored(&self, text: &str) -> String {
        let mut restored = String::with_capacity(text.len());
        for c in text.chars() {
            match self.action(c) {
                Some(action) => {
                    if restored.ends_with('{') {
                        restored.pop();
                        restored.push_str("\\u007B");
                    }
                    restored.push_str(action);
                }
                None => restored.push(c),
            }
        }
        restored
    }

    /// The config with plain words in place of the actions, and the numbers of the values that have some: what is said of
    /// those says nothing.
    pub fn stand_ins(&self, root: &Node) -> (Node, HashSet<usize>) {
        let mut unknown = HashSet::new();
        self.note_unknown(root, &mut unknown);
        let stand_in = |c: char| match self.action(c) {
            Some(_) => format!("TEMPLATE{}", u32::from(c) - FIRST + 1),
            None => c.to_string(),
        };
        (map_texts(root, &|text| text.chars().map(stand_in).collect()), unknown)
    }

    /// Strings with actions, and lists with such items.
    fn note_unknown(&self, node: &Node, unknown: &mut HashSet<usize>) {
        match &node.value {
            Value::String(text) => {
                if self.are_in(text) {
                    unknown.insert(node.id);
                }
            }
            Value::List(items) => {
                items.iter().for_each(|item| self.note_unknown(item, unknown));
                if items.iter().any(|item| unknown.contains(&item.id)) {
                    unknown.insert(node.id);
                }
            }
            Value::Object(entries) => entries.iter().for_each(|(_, value)| self.note_unknown(value, unknown)),
            Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) => {}
        }
    }

    /// Each string is a template of its own, or else: the number of what is none, and why.
    fn check(&self, node: &Node) -> Result<(), (usize, String)> {
        match &node.value {
            Value::String(text) => {
                let text = self.restored(text);
                let parsed = template::actions("", text.as_bytes());
                parsed.map(drop).map_err(|cause| (node.id, format!("an action depends on others: {}", cause.message)))
            }
            Value::List(items) => items.iter().try_for_each(|item| self.check(item)),
            Value::Object(entries) => entries.iter().try_for_each(|(key, value)| {
                if self.are_in(key) {
                    return Err((value.id, "the name of the field is an action".to_owned()));
                }
                self.check(value)
            }),
            Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) => Ok(()),
        }
    }
}

fn trimmed(text: &str, start: bool, end: bool) -> &str {
    let text = if start { text.trim_start_matches(WHITE) } else { text };
    if end { text.trim_end_matches(WHITE) } else { text }
}

/// Those of planes 15 and 16.
pub fn is_private(c: char) -> bool {
    u32::from(c) >= FIRST
}

fn map_texts(node: &Node, change: &impl Fn(&str) -> String) -> Node {
    let value = match &node.value {
        Value::String(text) => Value::String(change(text)),
        Value::List(items) => Value::List(items.iter().map(|item| map_texts(item, change)).collect()),
        Value::Object(entries) => {
            let changed = |(key, value): &(String, Node)| (change(key), map_texts(value, change));
            Value::Object(entries.iter().map(changed).collect())
        }
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) => node.value.clone(),
    };
    Node { id: node.id, value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<(Actions, Unrendered), String> {
        let mut actions = Actions::default();
        let unrendered = actions.parse("f", text).map_err(|error| error.to_string())?;
        Ok((actions, unrendered))
    }

    #[test]
    fn actions_in_strings_are_marked_and_restored() {
        let (actions, config) = parsed("{ a: \"x {{ .A | default \"y\" }}\", b: ['{{\n.B }}', 'c'] }").unwrap();
        let Value::Object(entries) = &config.root.value else { panic!("no object") };
        let Value::String(a) = &entries[0].1.value else { panic!("no string") };
        assert_eq!((a.chars().count(), actions.are_in(a)), (3, true));
        assert_eq!(actions.restored(a), "x {{ .A | default \"y\" }}");
        assert_eq!(actions.of(a).collect::<Vec<_>>(), ["{{ .A | default \"y\" }}"]);
        let (plain, unknown) = actions.stand_ins(&config.root);
        assert_eq!(plain.go_text(), "map[a:x TEMPLATE1 b:[TEMPLATE2 c]]");
        assert_eq!(unknown, HashSet::from([1, 2, 3]));
        let at = Places::of(&config.text).of_value(4).unwrap();
        assert_eq!(position(&config.text, at), Position { line: 2, column: 9 });
    }

    #[test]
    fn what_is_json_only_after_rendering_is_refused() {
        for (text, place) in [
            ("{ port: {{ .PORT }} }", "1:9"),
            ("{ a: 1, {{ if .B }} b: 2 {{ end }} }", "1:9"),
            ("{ \"{{ .A }}\": 1 }", "1:15"),
            ("{ a: '{{ if .A }}',\n b: '{{ end }}' }", "1:6"),
            ("{ a: '{{ $x := .A }}', b: '{{ $x }}' }", "1:27"),
        ] {
            let says = parsed(text).unwrap_err();
            assert!(says.starts_with(&format!("f:{place}: ")) && says.contains("-template"), "{text}: {says}");
        }
        assert!(parsed("{ a: '{{ .A }' }").unwrap_err().contains("cannot render the template"));
        assert!(parsed("{ a: ").unwrap_err().starts_with("f:1:6: "));
        assert!(parsed("{ a: '\u{F0000}' }").unwrap_err().contains("f:1:7: has a private character"));
    }

    #[test]
    fn a_brace_before_an_action_is_escaped() {
        let (actions, config) = parsed("{ a: '\\u007B{{ .A }}' }").unwrap();
        let Value::Object(entries) = &config.root.value else { panic!("no object") };
        let Value::String(a) = &entries[0].1.value else { panic!("no string") };
        assert_eq!(actions.restored(a), "\\u007B{{ .A }}");
    }

    #[test]
    fn words_are_trimmed_as_their_actions_want_it() {
        let mut actions = Actions::default();
        let word = actions.parse_word("a\n{{- .A -}}\n b {{ .B }} c {{-3}}").unwrap();
        assert_eq!(actions.restored(&word), "a{{- .A -}}b {{ .B }} c {{-3}}");
        assert_eq!(actions.parse_word("plain { } ").unwrap(), "plain { } ");
        assert!(Actions::default().parse_word("{{ .A }").is_err());
    }
}
