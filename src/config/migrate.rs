//! From a version 2 config and command line to the version 3 config that does the same, as a text (v2-compat section 11).
//!
//! It moves what is written, rather than what it means: templates stay as they are. `lower_v2` checks it first, so that
//! nothing here has to tell of problems. What changes, or has no equal, is noted in the new config and told.

mod draft;
mod jobs;
mod names;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::ffi::OsString;

use containerpilot_actors::addresses::Host;

use super::lower_v3::Surroundings;
use super::node::{Node, Value};
use super::problem::Problem;
use super::raw_v2::Config;
use super::raw_v3::{Field, Logging};
use super::reader::{Reader, Scope};
use super::unrendered::{Actions, Guard, PRIVATE, Unrendered, is_private};
use super::writer::{Doc, Part, write};
use super::written::Written;
use super::{ConfigError, Source, Version, problem};
use crate::template::{self, Environment};
use draft::Draft;
pub(super) use draft::copy;
use names::Names;

/// A config of version 3.
#[derive(Debug)]
pub struct Migrated {
    /// JSON5 with comments.
    pub text: String,
    /// What changes, or has no equal; the same as the comments, with the places in the old config.
    pub notes: Vec<String>,
}

/// Writes a version 2 config for a command line that ends with this command as a version 3 config.
pub fn migrate(source: &Source, command: &[OsString], host: &Host) -> Result<Migrated, ConfigError> {
    let name = source.name();
    let written = source.text()?;
    let mut actions = Actions::default();
    let Unrendered { root, text } = actions.parse(&name, &String::from_utf8_lossy(&written))?;
    check(&name, &text, &root, &actions, command, host)?;
    let command = words(command, &mut actions)?;
    let root = actions.folded(&root)?;
    let mut migration = Migration::new(&actions);
    let config = migration.config(&root, &command);
    if let Some(refused) = migration.refused {
        return Err(refused);
    }
    let doubtful = migration.reader.warnings.iter().chain(&migration.reader.doubts);
    let notes = problem::tell(doubtful, &Written::plain(&name, &text));
    let misplaced = RefCell::new(None);
    let text = write(&migration.head, &actions.layout.head(), &config, |text| {
        if let Some(written) = actions.misplaced(text) {
            misplaced.replace(Some(written.to_owned()));
        }
        actions.quotes(text)
    });
    let refused = |says| ConfigError::Unrendered { path: name.clone(), line: 1, column: 1, says };
    if let Some(written) = misplaced.take() {
        let says = format!("`{written}` becomes a part of a text, and so has to stand in quotes");
        return Err(refused(says));
    }
    let text = actions.restored(&text);
    // Whatever is moved has to find its variables at its new place.
    template::actions(&name, text.as_bytes())
        .map_err(|cause| refused(format!("an action depends on others: {}", cause.message)))?;
    Ok(Migrated { text, notes: notes.iter().map(|note| actions.restored(note)).collect() })
}

/// Tells what is wrong with the config: not with what only the rendered template has, nor with this machine.
fn check(
    name: &str,
    text: &str,
    root: &Node,
    actions: &Actions,
    command: &[OsString],
    host: &Host,
) -> Result<(), ConfigError> {
    let mut reader = Reader::default();
    let version = Version::of(root, Version::usual(command), &mut reader);
    if version == Version::Three && reader.problems.is_empty() {
        return Err(ConfigError::NotTwo { path: name.to_owned() });
    }
    let environment = Environment::default();
    let (configs, unknown) = actions.stand_ins(root);
    let mut problems = std::mem::take(&mut reader.problems);
    for config in configs {
        super::lower(&config, version, command, Surroundings { environment: &environment, host }, &mut reader);
        problems.append(&mut reader.problems);
        problems.append(&mut reader.faults);
    }
    let mut told: Vec<Problem> = Vec::new();
    for problem in problems {
        let is_known = problem.value_id().is_none_or(|id| !unknown.contains(&id));
        if is_known && !problem.is_of_machine() && !told.contains(&problem) {
            told.push(problem);
        }
    }
    if told.is_empty() { Ok(()) } else { Err(ConfigError::Invalid(problem::tell(&told, &Written::plain(name, text)))) }
}

/// The main application's command line.
#[derive(Debug, Default)]
struct Command {
    words: Vec<String>,
    /// What is to be said of it.
    notes: Vec<&'static str>,
}

/// Each word is a template, or else all are what they are, as in `lower_v2`.
fn words(command: &[OsString], actions: &mut Actions) -> Result<Command, ConfigError> {
    let refused = |word: &OsString, says: &str| {
        Err(ConfigError::Invalid(vec![format!("command line: `{}` {says}", word.to_string_lossy())]))
    };
    let mut words = Vec::new();
    for word in command {
        match word.to_str() {
            None => return refused(word, "is no UTF-8, which a config has to be"),
            Some(text) if text.contains(is_private) => return refused(word, PRIVATE),
            Some(text) => words.push(text.to_owned()),
        }
    }
    if let Some(program) = command.first().filter(|program| program.is_empty()) {
        return refused(program, "is no name of a program");
    }
    let marked: Result<Vec<String>, _> = words.iter().map(|word| actions.parse_word(word)).collect();
    Ok(match marked {
        Err(_) => Command { words, notes: vec!["not all words are templates, so that all are taken as they are"] },
        Ok(marked) => {
            let of_all = || marked.iter().flat_map(|word| actions.of(word));
            let mut notes = Vec::new();
            if of_all().next().is_some() {
                notes.push(
                    "is rendered as a part of the config now: an action whose value may have quotes or backslashes in it \
                     has to end in `| js`",
                );
            }
            if of_all().any(|action| action.contains("CONTAINERPILOT_") && action.contains("_IP")) {
                notes.push(
                    "CONTAINERPILOT_..._IP is unknown when the config is rendered; the application, or a shell around it, \
                     finds it in its environment",
                );
            }
            Command { words: marked, notes }
        }
    })
}

/// What is the same but in cases that few will meet.
const STATUS: &str =
    "A program that is there but cannot be run has status 126, as in a shell; in version 2 that was 127, too.";
const CHECKS: &str = "The check of a service has Consul's own id, service:ID; in version 2 it was that of the service.";

/// The new config as far as it is written.
struct Migration<'a> {
    actions: &'a Actions,
    /// Reads what has been checked before. Its warnings are the notes.
    reader: Reader,
    /// What is said above it all.
    head: Vec<String>,
    /// Of jobs.
    names: Names,
    /// Whether records show their fields.
    shows_fields: bool,
    /// The first thing that cannot be migrated.
    refused: Option<ConfigError>,
}

impl<'a> Migration<'a> {
    fn new(actions: &'a Actions) -> Self {
        let head = vec!["Written by `containerpilot -migrate` from a config of version 2.".to_owned()];
        Self { actions, reader: Reader::default(), head, names: Names::default(), shows_fields: false, refused: None }
    }

    fn config(&mut self, root: &Node, command: &Command) -> Doc {
        let scope = Scope::new("", root);
        let Some(raw) = self.reader.read::<Config<'_>>(&scope, root) else { return Draft::default().block() };
        let logging = self.logging(&scope, raw.logging);
        let mut jobs = self.jobs(&scope, &raw, command);
        let (watches, handlers) = self.backends(&scope, raw.backends);
        let (telemetry, sensors) = self.telemetry(&scope, raw.telemetry);
        jobs.extend(handlers);
        jobs.extend(sensors);
        if raw.control.node.is_none() {
            let says = "version 2 opened no control socket; this config opens the default one, or that of `control`";
            let comment = self.note_of(&scope, says);
            self.head.push(comment);
        }
        self.head.push(STATUS.to_owned());
        if raw.consul.node.is_some() {
            self.head.push(CHECKS.to_owned());
        }
        let signals = Draft::default().with("SIGHUP", "reload").with("SIGUSR1", "maintenance");
        let mut config = Draft::default().written("consul", raw.consul);
        config = self.etcd(&scope, raw.etcd, config).written("zookeeper", raw.zookeeper);
        config = config.with("logging", logging).written("control", raw.control);
        config = config.written("stopTimeout", raw.stop_timeout).with("signals", signals.object());
        config = config.with("keepDaemons", true);
        if command.words.is_empty() {
            config = config.with("stayUp", true);
        }
        let laid_out = |parts: Vec<Part>| Doc::List(self.actions.layout.laid_out(parts, &[]));
        config = config.with("jobs", laid_out(jobs.into_iter().map(Draft::item).collect()));
        if !watches.is_empty() {
            config = config.with("watches", laid_out(watches));
        }
        if let Some(telemetry) = telemetry {
            config = config.with("telemetry", telemetry);
        }
        config.block()
    }

    /// Says something of a field to the user; the same as a comment.
    fn note(&mut self, scope: &Scope, field: Field<'_>, says: &str) -> String {
        self.reader.warning(scope, field, says);
        self.comment(&scope.path_of(field), says)
    }

    /// The same of a block.
    fn note_of(&mut self, scope: &Scope, says: &str) -> String {
        self.reader.warning_of(scope, says);
        self.comment(scope.path(), says)
    }

    /// With its actions: the writer keeps those in comments from being rendered.
    fn comment(&self, path: &str, says: &str) -> String {
        self.actions.restored(&if path.is_empty() { says.to_owned() } else { format!("{path}: {says}") })
    }

    /// The fields of its records, if they are seen.
    fn logged(&self, job: Draft, fields: &[(&str, &str)]) -> Draft {
        if !self.shows_fields {
            return job;
        }
        let fields = fields.iter().fold(Draft::default(), |all, (name, value)| all.with(name, *value));
        job.with("logging", Draft::default().with("fields", fields.object()).object())
    }

    /// Remembers why a value cannot be migrated.
    fn refuse(&mut self, node: &Node, says: &str) {
        let place = self.actions.layout.place(node.id);
        self.refused.get_or_insert_with(|| self.actions.refused(place, says));
    }

    /// The items of a list, of which each becomes something else.
    fn items<'n>(&mut self, scope: &Scope, field: Field<'n>) -> Vec<(usize, &'n Node)> {
        let is_bare = |node: &Node| matches!(&node.value, Value::String(text) if self.actions.are_in(text));
        if let Some(node) = field.node.filter(|node| is_bare(node)) {
            self.refuse(node, &format!("only rendering tells what is in `{}`", scope.path_of(field)));
            return Vec::new();
        }
        let items = self.reader.list(scope, field);
        if let Some((index, item)) = items.iter().find(|(_, item)| is_bare(item)) {
            self.refuse(item, &format!("only rendering tells what `{}[{index}]` is", scope.path_of(field)));
        }
        items
    }

    /// What becomes of a value, or of each one that it may be.
    fn each_choice(
        &mut self,
        field: Field<'_>,
        within: &[Guard],
        mut become_of: impl FnMut(&mut Self, Field<'_>) -> Option<Doc>,
    ) -> Option<Doc> {
        let node = field.node?;
        let choices = self.actions.choices(node);
        let is_bare = |node: &Node| matches!(&node.value, Value::String(text) if self.actions.is_bare(text));
        if let Some(bare) = choices.iter().find(|choice| is_bare(choice)) {
            self.refuse(bare, &format!("only rendering tells what is in `{}`", field.name));
            return None;
        }
        if let [only] = choices
            && self.actions.layout.guards(only.id).len() == within.len()
        {
            return become_of(self, field);
        }
        let mut docs = Vec::new();
        for choice in choices {
            docs.push((choice.clone(), become_of(self, Field { node: Some(choice), ..field })?));
        }
        let otherwise = become_of(self, Field { node: None, ..field }).unwrap_or(Doc::Word("null".to_owned()));
        match self.actions.choice(&docs, within, &otherwise) {
            Ok(doc) => Some(doc),
            Err(refused) => {
                self.refused.get_or_insert(refused);
                None
            }
        }
    }

    /// Version 2's own default has a name in version 3.
    fn logging(&mut self, scope: &Scope, field: Field<'_>) -> Doc {
        let logging = self.each_choice(field, &[], |migration, field| Some(migration.one_logging(scope, field)));
        logging.unwrap_or_else(|| self.one_logging(scope, Field { node: None, ..field }))
    }

    fn one_logging(&mut self, scope: &Scope, field: Field<'_>) -> Doc {
        const STAMP: &str = "stamp";
        let Some((scope, raw)) = self.reader.block::<Logging<'_>>(scope, field) else {
            return Draft::default().with("format", STAMP).object();
        };
        let format = self.reader.string(&scope, raw.format).unwrap_or_else(|| "default".to_owned());
        let shows_fields = !format.eq_ignore_ascii_case("default");
        self.shows_fields |= shows_fields;
        let others = entries(field).iter().filter(|(key, _)| !key.eq_ignore_ascii_case(raw.format.name));
        let logging = Draft::entries(others);
        if !shows_fields {
            return logging.with("format", STAMP).object();
        }
        let logging = logging.written("format", raw.format);
        if !self.actions.are_in(&format) {
            return logging.object();
        }
        let says = format!("the format that was `default` is `{STAMP}` here");
        logging.noted(self.note(&scope, raw.format, &says)).object()
    }

    fn etcd(&mut self, scope: &Scope, field: Field<'_>, config: Draft) -> Draft {
        let etcd = self.each_choice(field, &[], |migration, field| {
            field.node?;
            let mut etcd = Draft::entries(entries(field));
            if !entries(field).iter().any(|(key, _)| key.eq_ignore_ascii_case("api")) {
                let says =
                    "ContainerPilot 2.7 spoke etcd's API 2; others that still run it are found with `api: 2` only";
                etcd = etcd.with("api", Doc::Word("3".to_owned())).noted(migration.note(scope, field, says));
            }
            Some(etcd.object())
        });
        match etcd {
            Some(etcd) => config.with("etcd", etcd),
            None => config,
        }
    }
}

/// What is in an object.
fn entries(field: Field<'_>) -> &[(String, Node)] {
    field.node.map_or(&[], super::entries)
}
