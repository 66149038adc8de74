//! A config as it is before its template is rendered: its actions stand within strings, in the place of values and around
//! fields and items, and pass through as they are.
//!
//! In strings an action is a mark, one private character, and so is a value that only rendering gives. What stands in blocks
//! of the template is in the tree as if it were always there; `layout` knows when it is.

mod control;
mod layout;
mod scan;

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::migrate::copy;
use super::node::{Node, Value};
use super::positions::{Places, Position, position};
use super::writer::{Doc, Quotes, one_line};
use super::written::Written;
use super::{ConfigError, syntax};
use crate::template::{self, TemplateError};
use control::{Block, Control, Keyword, WHITE, trims};
pub use layout::{Guard, Layout, exclude};
use layout::{inner, place_of, starts};
use scan::{Fault, PAD, scan};

/// The mark of the first action; the others follow.
const FIRST: u32 = 0xF_0000;
/// The most actions that a config can have.
const MOST: usize = 40_000;
/// The most characters of a value that depends on blocks of the template: each way through them is a copy.
const LONGEST: usize = 64 * 1024;
/// Why a text cannot be migrated.
pub const PRIVATE: &str = "has a private character of Unicode, which a migration has a use of its own for";
/// Fields whose values are only ever a part of a text, so that an empty one is the same as none.
const TEXTS: [&str; 6] = ["name", "tag", "namespace", "subsystem", "level", "format"];
/// The lists of a config of which each item becomes a job.
const LISTS: [&str; 5] = ["services", "backends", "tasks", "coprocesses", "sensors"];
/// What becomes something else: each value that there may be is looked at.
const CHANGED: [&str; 8] = ["telemetry", "logging", "etcd", "preStart", "onStart", "preStop", "postStop", "restarts"];

/// What a mark stands for.
#[derive(Debug)]
struct Mark {
    written: String,
    /// Whether it is a value, and so cannot stand within quotes.
    is_bare: bool,
}

/// The actions of a config and of a command line, by their marks; the same one has the same mark everywhere.
#[derive(Debug, Default)]
pub struct Actions {
    written: Vec<Mark>,
    marks: HashMap<String, char>,
    /// The blocks around values.
    pub layout: Layout,
    /// The values of which a field has one now and another one then, by the number of the first.
    choices: HashMap<usize, Vec<Node>>,
    /// What the config is called in messages.
    name: String,
}

/// A config with marks in its strings.
#[derive(Debug)]
pub struct Unrendered {
    /// Its values, with all that are there only now and then.
    pub root: Node,
    /// The text that the places of `root` are those of.
    pub text: String,
}

impl Actions {
    /// Parses a config.
    pub fn parse(&mut self, name: &str, text: &str) -> Result<Unrendered, ConfigError> {
        if let Some(at) = text.find(is_private) {
            let Position { line, column } = position(text, at);
            return Err(ConfigError::Invalid(vec![format!("{name}:{line}:{column}: {PRIVATE}")]));
        }
        name.clone_into(&mut self.name);
        let found = self.found(name, text)?;
        let control = Control::of(text, &found);
        let refused = |chars: &[char], fault: Fault| {
            let (line, column) = place_of(chars, fault.at);
            ConfigError::Unrendered { path: name.to_owned(), line, column, says: fault.says }
        };
        let scanned = scan(&control).map_err(|fault| refused(&control.chars, fault))?;
        let marked: String = scanned.text.iter().collect();
        let root = match syntax::parse(&Written::plain(name, &marked)) {
            Err(ConfigError::Syntax { path, line, column, says }) if !found.is_empty() => {
                return Err(ConfigError::Unrendered { path, line, column, says });
            }
            parsed => parsed?,
        };
        let places = starts(&marked, &Places::of(&marked).value_offsets());
        self.layout = Layout::new(control, &scanned, places);
        let root = self.marked(root, &scanned).map_err(|fault| refused(&self.layout.control.chars, fault))?;
        self.attach(&root);
        self.layout.check_variables().map_err(|fault| refused(&self.layout.control.chars, fault))?;
        Ok(Unrendered { root, text: marked })
    }

    /// The tree with marks for its stand-ins.
    fn marked(&mut self, node: Node, scanned: &scan::Scan) -> Result<Node, Fault> {
        let place = self.layout.place(node.id);
        let value = match node.value {
            Value::String(_) if scanned.bare.contains_key(&place) => {
                let span = scanned.bare[&place].clone().filter(|at| !scanned.commas.contains(at));
                let text: String = span.map(|at| self.layout.control.chars[at]).collect();
                Value::String(self.mark(&text, true).to_string())
            }
            Value::String(_) if scanned.strings.contains_key(&place) => {
                Value::String(self.string(&scanned.strings[&place])?)
            }
            Value::List(items) => {
                Value::List(items.into_iter().map(|item| self.marked(item, scanned)).collect::<Result<_, _>>()?)
            }
            Value::Object(entries) => {
                let mut marked: Vec<(String, Node)> = Vec::with_capacity(entries.len());
                for (key, value) in entries {
                    // Another value of the key before it.
                    let is_further = key.chars().eq([PAD]);
                    let key = marked.last().filter(|_| is_further).map_or(key, |(before, _)| before.clone());
                    marked.push((key, self.marked(value, scanned)?));
                }
                Value::Object(marked)
            }
            value @ (Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::String(_)) => value,
        };
        Ok(Node { id: node.id, value })
    }

    /// A string with marks for its actions.
    fn string(&mut self, span: &Range<usize>) -> Result<String, Fault> {
        let (mut literal, mut at) = (String::new(), span.start);
        let actions: Vec<Range<usize>> = self.layout.control.within(span).map(|action| action.span.clone()).collect();
        let keep = |from: usize, to: usize, layout: &Layout| -> String {
            (from..to).filter(|at| !layout.control.trimmed[*at]).map(|at| layout.control.chars[at]).collect()
        };
        for action in actions {
            literal.push_str(&keep(at, action.start, &self.layout));
            let written = self.layout.control.text(&action);
            literal.push(self.mark(&written, false));
            at = action.end;
        }
        literal.push_str(&keep(at, span.end, &self.layout));
        match json5::from_str::<Node>(&literal).map(|node| node.value) {
            Ok(Value::String(text)) => Ok(text),
            Ok(_) | Err(_) => Err(Fault { at: span.start, says: "this is no string without its actions".to_owned() }),
        }
    }

    /// A word of a command line with marks in it, if it is a template.
    pub fn parse_word(&mut self, word: &str) -> Result<String, TemplateError> {
        let (mut marked, mut at, mut trims_after) = (String::new(), 0, false);
        for action in self.found("command line", word)? {
            let (before, written) = (&word[at..action.start], &word[action.clone()]);
            let (trims_before, trims_next) = trims(written);
            marked.push_str(trimmed(before, trims_after, trims_before));
            marked.push(self.mark(written, false));
            trims_after = trims_next;
            at = action.end;
        }
        marked.push_str(trimmed(&word[at..], trims_after, false));
        Ok(marked)
    }

    fn found(&self, name: &str, text: &str) -> Result<Vec<Range<usize>>, TemplateError> {
        let found = template::actions(name, text.as_bytes())?;
        if self.written.len() + 2 * found.len() > MOST / 2 {
            let message = format!("there are more than {} actions", MOST / 4);
            return Err(TemplateError { name: name.to_owned(), line: 1, column: 1, message });
        }
        Ok(found)
    }

    fn mark(&mut self, written: &str, is_bare: bool) -> char {
        let key = if is_bare { format!("bare {written}") } else { written.to_owned() };
        if let Some(mark) = self.marks.get(&key) {
            return *mark;
        }
        let number = u32::try_from(self.written.len()).unwrap_or(u32::MAX);
        // A config has fewer actions than there are marks, and hardly more values than actions.
        let mark = char::from_u32(FIRST.saturating_add(number)).unwrap_or(PAD);
        self.written.push(Mark { written: written.to_owned(), is_bare });
        self.marks.insert(key, mark);
        mark
    }

    fn found_mark(&self, mark: char) -> Option<&Mark> {
        let number = u32::from(mark).checked_sub(FIRST)?;
        self.written.get(usize::try_from(number).ok()?)
    }

    /// Whether nothing but comments of the template is in a text.
    pub fn are_comments(&self, text: &str) -> bool {
        let is_comment =
            |action: &str| action.trim_start_matches("{{").trim_start_matches(['-', ' ']).starts_with("/*");
        self.are_in(text) && text.chars().all(|c| is_private(c) || c.is_whitespace()) && self.of(text).all(is_comment)
    }

    /// Whether a text is known only when it has been rendered.
    pub fn are_in(&self, text: &str) -> bool {
        text.chars().any(|c| self.found_mark(c).is_some())
    }

    /// Whether a text is a value that is written without quotes of ours, whatever it is.
    pub fn is_bare(&self, text: &str) -> bool {
        let mut chars = text.chars();
        let mark = chars.next().and_then(|c| self.found_mark(c));
        mark.is_some_and(|mark| mark.is_bare) && chars.next().is_none()
    }

    /// How a text is quoted.
    pub fn quotes(&self, text: &str) -> Quotes {
        if self.is_bare(text) {
            Quotes::None
        } else if self.are_in(text) {
            Quotes::Double
        } else {
            Quotes::Either
        }
    }

    /// A value without quotes that would have to stand within some.
    pub fn misplaced<'a>(&'a self, text: &str) -> Option<&'a str> {
        let mark = text.chars().filter_map(|c| self.found_mark(c)).find(|mark| mark.is_bare);
        mark.filter(|_| !self.is_bare(text)).map(|mark| &*mark.written)
    }

    /// The actions of a text.
    pub fn of<'a>(&'a self, text: &'a str) -> impl Iterator<Item = &'a str> {
        text.chars().filter_map(|c| self.found_mark(c)).map(|mark| &*mark.written)
    }

    /// The marks of a text.
    pub fn marks_in(&self, text: &str) -> impl Iterator<Item = char> {
        text.chars().filter(|c| self.found_mark(*c).is_some())
    }

    /// A text with the actions in their places. A brace before one is escaped, as JSON5 has it, lest it be taken for a part
    /// of the action.
    pub fn restored(&self, text: &str) -> String {
        let mut restored = String::with_capacity(text.len());
        for c in text.chars() {
            match self.found_mark(c) {
                Some(mark) if mark.is_bare => restored.push_str(&self.restored(&mark.written)),
                Some(mark) => {
                    if restored.ends_with('{') {
                        restored.pop();
                        restored.push_str("\\u007B");
                    }
                    restored.push_str(&mark.written);
                }
                None => restored.push(c),
            }
        }
        restored
    }

    /// The configs that there are if each block of the template takes its first way, its second one, and so on, with plain
    /// words in place of actions, and the numbers of the values of which only rendering tells.
    pub fn stand_ins(&self, root: &Node) -> (Vec<Node>, HashSet<usize>) {
        let mut unknown = HashSet::new();
        self.note_unknown(root, &mut unknown);
        for entry in inner(root).filter(|entry| self.layout.is_guarded(entry.id, root.id)) {
            unknown.insert(entry.id);
        }
        let stand_in = |c: char| match self.found_mark(c) {
            Some(_) => format!("TEMPLATE{}", u32::from(c) - FIRST + 1),
            None => c.to_string(),
        };
        let plain = map_texts(root, &|text| text.chars().map(stand_in).collect());
        let configs = (0..self.layout.ways()).filter_map(|way| self.on_the_way(&plain, way));
        (configs.collect(), unknown)
    }

    fn on_the_way(&self, node: &Node, way: usize) -> Option<Node> {
        if !self.layout.is_there(node.id, way) {
            return None;
        }
        let value = match &node.value {
            Value::List(items) => Value::List(items.iter().filter_map(|item| self.on_the_way(item, way)).collect()),
            Value::Object(entries) => {
                let there = |(key, value): &(String, Node)| Some((key.clone(), self.on_the_way(value, way)?));
                Value::Object(entries.iter().filter_map(there).collect())
            }
            Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::String(_) => node.value.clone(),
        };
        Some(Node { id: node.id, value })
    }

    /// Strings with actions, and what holds such items or blocks of the template.
    fn note_unknown(&self, node: &Node, unknown: &mut HashSet<usize>) {
        let is_unknown = match &node.value {
            Value::String(text) => self.are_in(text),
            Value::List(items) => {
                items.iter().for_each(|item| self.note_unknown(item, unknown));
                items.iter().any(|item| unknown.contains(&item.id) || self.layout.is_guarded(item.id, node.id))
            }
            Value::Object(entries) => {
                entries.iter().for_each(|(_, value)| self.note_unknown(value, unknown));
                entries.iter().any(|(_, value)| self.layout.is_guarded(value.id, node.id))
            }
            Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) => false,
        };
        if is_unknown {
            unknown.insert(node.id);
        }
    }

    /// The values that a field has in turn; the only one as a rule.
    pub fn choices<'a>(&'a self, node: &'a Node) -> &'a [Node] {
        self.choices.get(&node.id).map_or(std::slice::from_ref(node), Vec::as_slice)
    }

    /// The tree with one value for each field: where blocks of the template decide, one of all that it may be. What is copied
    /// is written as it was.
    pub fn folded(&mut self, node: &Node) -> Result<Node, ConfigError> {
        self.folded_item(node, "")
    }

    /// The same of an item that is called this without a name.
    fn folded_item(&mut self, node: &Node, unnamed: &str) -> Result<Node, ConfigError> {
        let Value::Object(entries) = &node.value else { return Ok(node.clone()) };
        let mut folded: Vec<(String, Node)> = Vec::new();
        for (key, value) in entries {
            if folded.iter().any(|(known, _)| known.eq_ignore_ascii_case(key)) {
                let of_key = entries.iter().filter(|(other, _)| other.eq_ignore_ascii_case(key));
                if of_key.clone().any(|(_, value)| self.layout.is_guarded(value.id, node.id)) {
                    continue;
                }
            }
            let of_key = entries.iter().filter(|(other, _)| other.eq_ignore_ascii_case(key)).map(|(_, value)| value);
            let values: Vec<&Node> = of_key.collect();
            let is_guarded = values.iter().any(|value| self.layout.is_guarded(value.id, node.id));
            let unnamed = if key.eq_ignore_ascii_case("name") { unnamed } else { "" };
            let one =
                if is_guarded { self.chosen(node, (key, unnamed), &values)? } else { self.folded_value(key, value)? };
            folded.push((key.clone(), one));
        }
        Ok(Node { id: node.id, value: Value::Object(folded) })
    }

    /// A value of which the field is known.
    fn folded_value(&mut self, key: &str, node: &Node) -> Result<Node, ConfigError> {
        let is_list = LISTS.iter().any(|name| name.eq_ignore_ascii_case(key));
        match &node.value {
            Value::List(items) if is_list => {
                let unnamed = match key {
                    "coprocesses" => "coprocess",
                    "tasks" => "task",
                    _ => "",
                };
                let items = items.iter().map(|item| self.folded_item(item, unnamed)).collect::<Result<_, _>>()?;
                Ok(Node { id: node.id, value: Value::List(items) })
            }
            Value::Object(_) if ["telemetry", "logging", "etcd"].contains(&key) => self.folded(node),
            Value::List(_) | Value::Object(_) if self.layout.has_guarded(node) => {
                let written = self.layout.written(node.id);
                Ok(Node { id: node.id, value: Value::String(self.mark(&written, true).to_string()) })
            }
            Value::Null
            | Value::Bool(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::String(_)
            | Value::List(_)
            | Value::Object(_) => Ok(node.clone()),
        }
    }

    /// One value for those of which blocks of the template choose.
    fn chosen(&mut self, holder: &Node, (key, unnamed): (&str, &str), values: &[&Node]) -> Result<Node, ConfigError> {
        let id = values.first().map_or(holder.id, |value| value.id);
        let is = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(key));
        let values: Vec<Node> = values.iter().map(|value| self.folded_value(key, value)).collect::<Result<_, _>>()?;
        let all_lists = values.iter().all(|value| matches!(value.value, Value::List(_)));
        if is(&LISTS) && all_lists {
            let items = values.iter().flat_map(inner).cloned().collect();
            return Ok(Node { id, value: Value::List(items) });
        }
        // Version 2 takes the only tag, too.
        let is_tag = |node: &Node| matches!(&node.value, Value::String(text) if !self.is_bare(text));
        let list = |node: Node| {
            let is_only = is(&["tags"]) && is_tag(&node);
            if is_only { Node { id: node.id, value: Value::List(vec![node]) } } else { node }
        };
        let values: Vec<Node> = values.into_iter().map(list).collect();
        let depth = self.layout.guards(holder.id).len();
        let is_scalar = |node: &Node| {
            let is_part = !matches!(node.value, Value::List(_) | Value::Object(_) | Value::Null);
            is_part && !matches!(&node.value, Value::String(text) if self.misplaced(&format!("{text} ")).is_some())
        };
        let as_text = is(&TEXTS) && values.iter().all(is_scalar);
        if as_text {
            self.mark_blocks();
        }
        let leaves: Vec<&Node> = values.iter().collect();
        let text = if as_text {
            let leaf = |node: &Node| node.go_text();
            Choosing { actions: self, otherwise: unnamed, leaf: &leaf, as_text }.text(&leaves, depth, unnamed)?
        } else {
            let leaf = |node: &Node| one_line(&copy(node), |text| self.quotes(text));
            Choosing { actions: self, otherwise: NULL, leaf: &leaf, as_text }.text(&leaves, depth, NULL)?
        };
        let text = if as_text { text } else { self.mark(&text, true).to_string() };
        if is(&CHANGED) {
            self.choices.insert(id, values);
        }
        Ok(Node { id, value: Value::String(text) })
    }

    /// Actions that blocks begin and end with get marks, to stand in texts.
    fn mark_blocks(&mut self) {
        if self.marks.contains_key(ELSE) {
            return;
        }
        let blocks = 0..self.layout.control.blocks.len();
        let of = |block: usize| (0..self.layout.control.blocks[block].actions.len()).map(move |branch| (block, branch));
        let written: Vec<String> =
            blocks.flat_map(of).map(|(block, branch)| self.layout.action(block, branch)).collect();
        for written in written.into_iter().chain(self.layout.all_silent()).chain([ELSE.to_owned()]) {
            self.mark(&written, false);
        }
    }

    /// A value of which blocks of the template choose, with what each choice has become; `otherwise` there is this one.
    pub fn choice(&self, docs: &[(Node, Doc)], within: &[Guard], otherwise: &Doc) -> Result<Doc, ConfigError> {
        let quotes = |text: &str| self.quotes(text);
        let otherwise = one_line(otherwise, quotes);
        let leaf = |node: &Node| {
            let doc = docs.iter().find(|(known, _)| known.id == node.id).map(|(_, doc)| one_line(doc, quotes));
            doc.unwrap_or_else(|| otherwise.clone())
        };
        let nodes: Vec<&Node> = docs.iter().map(|(node, _)| node).collect();
        let choosing = Choosing { actions: self, otherwise: &otherwise, leaf: &leaf, as_text: false };
        Ok(Doc::Word(choosing.text(&nodes, within.len(), &otherwise)?))
    }

    /// Comments of the template, and variables, stay with the items of lists that they are for.
    fn attach(&mut self, node: &Node) {
        let Value::Object(entries) = &node.value else { return };
        for (key, value) in entries {
            if LISTS.iter().any(|name| name.eq_ignore_ascii_case(key)) {
                self.layout.attach(value);
            } else if key == "telemetry" {
                self.attach(value);
            }
        }
    }

    /// Whether a bare value is one string, rather than a list.
    pub fn is_one_text(&self, text: &str) -> bool {
        let written = self.restored(text);
        let outside: String =
            written.split("{{").map(|part| part.split_once("}}").map_or(part, |(_, after)| after)).collect();
        outside.contains(['"', '\'']) && !outside.contains('[')
    }

    /// Why a value cannot be migrated.
    pub fn refused(&self, at: usize, says: &str) -> ConfigError {
        let (line, column) = place_of(&self.layout.control.chars, at);
        ConfigError::Unrendered { path: self.name.clone(), line, column, says: says.to_owned() }
    }
}

/// What stands for a field that is not there.
const NULL: &str = "null";
/// The branch for all other cases.
const ELSE: &str = "{{ else }}";

/// Writes a value of which blocks of the template choose.
struct Choosing<'a> {
    actions: &'a Actions,
    /// What there is without any of the values.
    otherwise: &'a str,
    leaf: &'a dyn Fn(&Node) -> String,
    /// Within quotes, where each value is a part of a text.
    as_text: bool,
}

impl Choosing<'_> {
    /// Of several values the last one counts that is there.
    fn text(&self, values: &[&Node], depth: usize, otherwise: &str) -> Result<String, ConfigError> {
        let Some(last) = values.last() else { return Ok(otherwise.to_owned()) };
        let layout = &self.actions.layout;
        let Some((block, _)) = layout.guards(last.id).get(depth).copied() else { return Ok((self.leaf)(last)) };
        let guard = |node: &Node| layout.guards(node.id).get(depth).copied();
        let in_block = |node: &&&Node| guard(node).is_some_and(|(other, _)| other == block);
        let count = values.iter().rev().take_while(in_block).count();
        let (before, within) = values.split_at(values.len() - count);
        let before = self.text(before, depth, otherwise)?;
        let Block { keyword, ref actions, has_else } = layout.control.blocks[block];
        let end = actions.len() - 1;
        let mut text = String::new();
        for branch in 0..end {
            let values: Vec<&Node> =
                within.iter().filter(|node| guard(node) == Some((block, branch))).copied().collect();
            let changes_dot = keyword == Keyword::With && branch == 0 && values.is_empty() && before != self.otherwise;
            if keyword == Keyword::Range || changes_dot {
                let says = "a field in this kind of block cannot be told apart from others of its name";
                return Err(self.actions.refused(layout.place(last.id), says));
            }
            self.action(&mut text, &layout.action(block, branch));
            let guards = [&layout.guards(last.id)[..depth], &[(block, branch)]].concat();
            layout.silent_of(&guards).iter().for_each(|silent| self.action(&mut text, silent));
            text.push_str(&self.text(&values, depth + 1, &before)?);
            if text.len() > LONGEST {
                let says = "the blocks around this field make too many cases";
                return Err(self.actions.refused(layout.place(last.id), says));
            }
        }
        let is_nothing = self.as_text && before.is_empty();
        if !has_else && !is_nothing {
            self.action(&mut text, ELSE);
            text.push_str(&before);
        }
        self.action(&mut text, &layout.action(block, end));
        Ok(text)
    }

    fn action(&self, text: &mut String, written: &str) {
        match self.actions.marks.get(written).filter(|_| self.as_text) {
            Some(mark) => text.push(*mark),
            None => text.push_str(written),
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
        assert_eq!(plain[0].go_text(), "map[a:x TEMPLATE1 b:[TEMPLATE2 c]]");
        assert_eq!(unknown, HashSet::from([1, 2, 3]));
        let at = Places::of(&config.text).of_value(4).unwrap();
        assert_eq!(position(&config.text, at), Position { line: 2, column: 9 });
    }

    #[test]
    fn what_cannot_be_told_before_rendering_is_refused() {
        for (text, place) in [
            ("{ a: 1, {{ .B }} }", "1:9"),
            ("{ {{ .A }}: 1 }", "1:3"),
            ("{ a{{ .A }}: 1 }", "1:3"),
            ("{ \"{{ .A }}\": 1 }", "1:3"),
            ("{ a: '{{ if .A }}',\n b: '{{ end }}' }", "1:7"),
            ("{ a: \"{{ if .A }}x\", {{ else }}y\" {{ end }} }", "1:7"),
            ("{ a: {{ if .A }} 1, b: {{ else }} 2, b: {{ end }} 3 }", "1:21"),
            ("{ a: [ {{ if .A }} 1 ], b: [ {{ end }} 2 ] }", "1:8"),
            ("{{ if .A }}{ a: 1 }{{ else }}{ a: 2 }{{ end }}", "1:1"),
            ("{ a: [ // {{ if .A }}\n 1,\n {{ end }} 2 ] }", "3:12"),
            ("{ a: [ {{ if .A }}/*{{ end }} 1 {{ if .A }}*/{{ end }} ] }", "1:8"),
            ("{ {{ $x := 1 }} a: {{ $x }}, {{ $x = 2 }} b: {{ $x }} }", "1:30"),
            ("{ {{ block \"x\" . }} a: 1 {{ end }} }", "1:3"),
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
