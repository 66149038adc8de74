//! An object of the new config while it is being written.

use std::time::Duration;

use crate::config::duration::{self, Signed};
use crate::config::node::{Node, Value};
use crate::config::raw_v3::Field;
use crate::config::reader::text;
use crate::config::unrendered::Actions;
use crate::config::writer::{Doc, Part};

/// Its fields so far, and what is said above it.
#[derive(Default)]
pub struct Draft {
    comments: Vec<String>,
    fields: Vec<Part>,
    /// The number of the value that it is made of.
    id: Option<usize>,
}

impl Draft {
    /// A job.
    pub fn job(name: &str) -> Self {
        Self::default().with("name", name)
    }

    /// A field with this value.
    pub fn with(mut self, key: &str, value: impl Into<Doc>) -> Self {
        self.fields.push(Part::entry(key, value.into()));
        self
    }

    /// A field as it is written, if it is.
    pub fn written(self, key: &str, field: Field<'_>) -> Self {
        match field.node {
            Some(node) => self.with(key, copy(node)),
            None => self,
        }
    }

    /// A field of a text as it is written, unless that is empty.
    pub fn filled(self, key: &str, field: Field<'_>) -> Self {
        if written_text(field).is_some() { self.written(key, field) } else { self }
    }

    /// A `timeout` as it is written, or else what says that there is none, if that has to be said.
    pub fn limited(self, field: Field<'_>, unlimited: Option<&str>) -> Self {
        let is_zero = |text: &String| duration::parse(text).and_then(Signed::positive) == Some(Duration::ZERO);
        if written_text(field).is_some_and(|text| !is_zero(&text)) {
            return self.written("timeout", field);
        }
        match unlimited {
            Some(word) => self.with("timeout", word),
            None => self,
        }
    }

    /// A field of a list, of which version 2 takes the only item too.
    pub fn list(self, key: &str, field: Field<'_>, actions: &Actions) -> Self {
        match field.node {
            Some(node @ Node { value: Value::String(text), .. })
                if !actions.is_bare(text) || actions.is_one_text(text) =>
            {
                self.with(key, Doc::List(vec![Part::item(copy(node))]))
            }
            Some(_) | None => self.written(key, field),
        }
    }

    /// Fields as they are written.
    pub fn entries<'a>(entries: impl IntoIterator<Item = &'a (String, Node)>) -> Self {
        let fields = entries.into_iter().map(|(key, value)| Part::entry(key, copy(value))).collect();
        Self { fields, ..Self::default() }
    }

    /// The same as made of a value of the old config.
    pub fn of(self, node: &Node) -> Self {
        Self { id: Some(node.id), ..self }
    }

    /// A comment above the field that has been added last.
    pub fn noted(mut self, comment: String) -> Self {
        if let Some(last) = self.fields.last_mut() {
            last.comments.push(comment);
        }
        self
    }

    /// A comment above the whole.
    pub fn said(mut self, comments: impl IntoIterator<Item = String>) -> Self {
        self.comments.extend(comments);
        self
    }

    /// A job that runs at this pace, the first time after as long.
    pub fn every(self, interval: Doc) -> Self {
        self.with("when", Self::default().with("interval", interval.clone()).with("delay", interval).object())
    }

    /// A job that starts at this event.
    pub fn at(self, source: &str, how: &str, event: &str) -> Self {
        self.with("when", Self::default().with("source", source).with(how, event).object())
    }

    /// A job that runs at each change of a watch, once for all of those that come meanwhile.
    pub fn at_changes(self, watch: &str) -> Self {
        let when = Self::default().with("source", format!("watch.{watch}").as_str());
        self.with("when", when.with("each", "changed").with("merge", true).object())
    }

    /// A job that serves the application: it lives as long as hooks may need it, and begins anew with a reload.
    pub fn beside(self) -> Self {
        self.with("stopLast", true).with("restartOnReload", true)
    }

    /// The same for one that only runs now and then: a reload does not wait for it.
    pub fn now_and_then(self) -> Self {
        self.with("stopLast", true).with("restartOnReload", "kill").with("pauseInMaintenance", true)
    }

    /// A job that has our own stdout and stderr.
    pub fn raw(self) -> Self {
        self.with("logging", Self::default().with("raw", true).object())
    }

    /// It as a value.
    pub fn object(self) -> Doc {
        Doc::Object(self.fields)
    }

    /// It as a value with a line for each field.
    pub fn block(self) -> Doc {
        Doc::Block(self.fields)
    }

    /// It as a job among others.
    pub fn item(self) -> Part {
        Part { comments: self.comments, id: self.id, ..Part::item(Doc::Block(self.fields)) }
    }
}

fn written_text(field: Field<'_>) -> Option<String> {
    field.node.and_then(text).filter(|text| !text.is_empty())
}

/// A value as it is.
pub fn copy(node: &Node) -> Doc {
    match &node.value {
        Value::Null => Doc::Word("null".to_owned()),
        Value::Float(number) if number.is_infinite() => {
            Doc::Word(if *number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned())
        }
        Value::Bool(_) | Value::Integer(_) | Value::Float(_) => Doc::Word(node.go_text()),
        Value::String(text) => Doc::Text(text.clone()),
        Value::List(items) => Doc::List(items.iter().map(|item| Part::item(copy(item))).collect()),
        Value::Object(entries) => Draft::entries(entries).object(),
    }
}
