//! From the name of a config to what the runtime starts from: read, render, parse, lower.
//!
//! The environment and the machine's addresses are arguments; the file is read each time, for reloads.

mod discovery;
mod duration;
mod etcd;
mod exec;
#[cfg(fuzzing)]
pub mod fuzzing;
mod interfaces;
mod job;
mod logging;
mod lower_v2;
mod lower_v3;
mod migrate;
mod node;
mod positions;
mod problem;
mod raw_v2;
mod raw_v3;
mod reader;
mod shell;
mod starts;
mod syntax;
#[cfg(test)]
mod tests;
mod twice;
mod unrendered;
mod writer;
mod written;
mod zookeeper;

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use containerpilot_actors::addresses::Host;
use containerpilot_actors::spec::Spec;

use crate::template::{self, Environment, TemplateError, Unset};
use lower_v3::Surroundings;
use node::Node;
use reader::Reader;
use written::Written;

pub use discovery::pick_address;
pub use lower_v2::only_command;
pub use migrate::{Migrated, migrate};
pub use problem::Finding;
pub use reader::go_boolean;

/// The largest config that is read. Real ones have some kilobytes; `/dev/zero` has no end.
const MOST_TEXT: usize = 16 << 20;

/// Where the config is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// In a file, or what can be read like one.
    File(PathBuf),
    /// Here.
    Text {
        /// Where the user wrote it, for messages.
        place: &'static str,
        /// What.
        text: Vec<u8>,
    },
}

impl Source {
    /// What was written at `place`: `file://` and a path, the config itself if it begins with a `{`, or a path.
    pub fn parse(place: &'static str, written: OsString) -> Self {
        let bytes = written.as_bytes();
        if let Some(path) = bytes.strip_prefix(b"file://") {
            return Self::File(OsStr::from_bytes(path).into());
        }
        if bytes.trim_ascii_start().starts_with(b"{") {
            return Self::Text { place, text: written.into_vec() };
        }
        Self::File(written.into())
    }

    fn name(&self) -> String {
        match self {
            Self::File(path) => path.to_string_lossy().into_owned(),
            Self::Text { place, .. } => (*place).to_owned(),
        }
    }

    fn text(&self) -> Result<Cow<'_, [u8]>, ConfigError> {
        match self {
            Self::File(path) => match read(path) {
                Ok(text) if text.len() > MOST_TEXT => Err(ConfigError::TooLarge { path: self.name() }),
                Ok(text) => Ok(text.into()),
                Err(source) => Err(ConfigError::Read { path: self.name(), source }),
            },
            Self::Text { text, .. } => Ok(text.into()),
        }
    }
}

/// Reads a file, or of one without an end a byte more than a config may have.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(MOST_TEXT as u64 + 1).read_to_end(&mut text)?;
    Ok(text)
}

/// A config that can be used.
#[derive(Debug, PartialEq)]
pub struct Loaded {
    /// What to start from.
    pub spec: Spec,
    /// What `-validate` says of it.
    pub findings: Vec<Finding>,
    /// Which language it was written in.
    pub version: Version,
}

/// Why a config cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the config `{path}`")]
    Read {
        /// As the user named it.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The file is no config, or never ends.
    #[error("cannot read the config `{path}`: it is larger than {} MiB", MOST_TEXT >> 20)]
    TooLarge {
        /// As the user named it.
        path: String,
    },
    /// The template cannot be rendered.
    #[error(transparent)]
    Render(#[from] TemplateError),
    /// The text is no JSON5.
    #[error("{path}:{line}:{column}: {says}")]
    Syntax {
        /// As the user named it.
        path: String,
        /// From 1.
        line: usize,
        /// In characters, from 1.
        column: usize,
        /// What the parser wants.
        says: String,
    },
    /// `-migrate` keeps templates as they are, and so has to read the text without rendering it.
    #[error(
        "{path}:{line}:{column}: {says}: this template cannot be migrated as it is; render it first, with the environment \
         that it is for: containerpilot -config {path} -template -out RENDERED"
    )]
    Unrendered {
        /// As the user named it.
        path: String,
        /// From 1.
        line: usize,
        /// In characters, from 1.
        column: usize,
        /// What is in the way.
        says: String,
    },
    /// There is nothing to migrate.
    #[error("{path}: this is a config of version 3 already (what else says version 2: a command after `--`)")]
    NotTwo {
        /// As the user named it.
        path: String,
    },
    /// All that is wrong with its fields, in the order of the text.
    #[error("{}", .0.join("\n"))]
    Invalid(Vec<String>),
}

/// Reads and renders a config, and does no more: `-template`.
pub fn render(source: &Source, environment: &Environment) -> Result<Vec<u8>, ConfigError> {
    Ok(template::render(&source.name(), &source.text()?, environment)?)
}

/// Loads a config, for a command line that ends with this command. What is doubtful is in `spec.warnings`. In a reload it must
/// be of the version that has been `spoken` so far: that of what runs.
pub fn load(
    source: &Source,
    command: &[OsString],
    spoken: Option<Version>,
    environment: &Environment,
    host: &Host,
) -> Result<Loaded, ConfigError> {
    let (name, text) = (source.name(), source.text()?);
    let mut rendered = template::render_traced(&name, &text, environment)?;
    let unset = std::mem::take(&mut rendered.unset);
    let written = Written::rendered(&name, text, rendered);
    parse(&written, &unset, command, spoken, Surroundings { environment, host })
}

fn parse(
    written: &Written<'_>,
    unset: &[Unset],
    command: &[OsString],
    spoken: Option<Version>,
    surroundings: Surroundings<'_>,
) -> Result<Loaded, ConfigError> {
    let root = syntax::parse(written)?;
    let mut reader = Reader::default();
    let unset: Vec<problem::Problem> = unset.iter().map(is_empty).collect();
    reader.doubts.extend(unset.iter().cloned());
    reader.doubts.extend(twice::find(&root));
    let version = Version::of(&root, spoken.unwrap_or(Version::usual(command)), &mut reader);
    if spoken.is_some_and(|spoken| spoken != version) {
        let says = format!("is written for version {version} now, which takes a new start of containerpilot");
        reader.problem_with(&reader::Scope::new("", &root), says);
    }
    let spec = lower(&root, version, command, surroundings, &mut reader);
    if spoken.is_some() {
        // What runs is better than what cannot work.
        reader.problems.append(&mut reader.faults);
    }
    match spec {
        Some(spec) if reader.problems.is_empty() => Ok(found(spec, version, reader, written)),
        // What is wrong may be wrong for want of a variable. Other doubts mean little beside problems.
        Some(_) | None => {
            let problems = reader.problems.iter().map(|problem| (problem, false));
            let findings = problem::find(problems.chain(unset.iter().map(|doubt| (doubt, true))), written);
            Err(ConfigError::Invalid(findings.into_iter().map(|finding| finding.says).collect()))
        }
    }
}

/// A doubt about a variable that is not set.
fn is_empty(unset: &Unset) -> problem::Problem {
    problem::Problem::in_file(unset.at, says_empty(unset))
}

/// What is said of a variable that is not set.
fn says_empty(Unset { name, .. }: &Unset) -> String {
    let name = node::shortened(name);
    format!(
        "`{name}` is not set, so that this is empty; `default` gives it a value, `required \"{name}\"` makes it an error"
    )
}

/// A config that can be used, and what there is to say of it.
fn found(spec: Spec, version: Version, reader: Reader, written: &Written<'_>) -> Loaded {
    let Reader { faults, warnings, doubts, notes, errors, remarks, .. } = reader;
    let serious = faults.iter().chain(&warnings).map(|problem| (problem, false));
    let doubtful = doubts.iter().chain(&notes).map(|problem| (problem, true));
    let mut findings = problem::find(serious.chain(doubtful), written);
    findings.extend(errors.iter().map(|says| Finding { says: says.clone(), is_warning: false }));
    findings.extend(remarks.iter().map(|says| Finding { says: says.clone(), is_warning: true }));
    let mut all_errors = errors;
    if !faults.is_empty() {
        let says = problem::tell(&faults, written).join("; ");
        all_errors.push(format!("{says}; everything runs without a catalog"));
    }
    let mut all_warnings = problem::tell(warnings.iter().chain(&doubts), written);
    all_warnings.extend(remarks);
    Loaded { spec: Spec { warnings: all_warnings, errors: all_errors, ..spec }, findings, version }
}

fn lower(
    root: &Node,
    version: Version,
    command: &[OsString],
    surroundings: Surroundings<'_>,
    reader: &mut Reader,
) -> Option<Spec> {
    match version {
        Version::Two => lower_v2::lower(root, command, surroundings, reader),
        Version::Three => {
            if let [program, ..] = command {
                let says = format!(
                    "`{}` is not run: beside a config of version 3 there is no main application",
                    program.to_string_lossy()
                );
                reader.warning_of(&reader::Scope::new("", root), says);
            }
            lower_v3::lower(root, surroundings, reader)
        }
    }
}

/// The language of a config.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// ContainerPilot 2's.
    Two,
    /// ContainerPilot 3's.
    Three,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Two => "2",
            Self::Three => "3",
        })
    }
}

impl Version {
    /// That of a config whose keys do not tell: only version 2 has a command on its command line.
    fn usual(command: &[OsString]) -> Self {
        if command.is_empty() { Self::Three } else { Self::Two }
    }

    /// Tells by the keys, or else it is the usual one. That both languages are spoken is a problem.
    fn of(root: &Node, usual: Self, reader: &mut Reader) -> Self {
        const TWO: [&str; 8] =
            ["services", "backends", "tasks", "coprocesses", "preStart", "onStart", "preStop", "postStop"];
        const THREE: [&str; 4] = ["jobs", "watches", "signals", "stayUp"];
        let scope = reader::Scope::new("", root);
        let entries = entries(root);
        let telemetry = entries.iter().filter(|(key, _)| key == "telemetry").flat_map(|(_, node)| self::entries(node));
        let inner: Vec<String> = telemetry.map(|(key, _)| format!("telemetry.{}", key.to_lowercase())).collect();
        let keys: Vec<&str> = entries.iter().map(|(key, _)| &**key).chain(inner.iter().map(|key| &**key)).collect();
        let find = |known: &[&str], inner: &str| keys.iter().copied().find(|key| known.contains(key) || *key == inner);
        match (find(&TWO, "telemetry.sensors"), find(&THREE, "telemetry.metrics")) {
            (Some(two), Some(three)) => {
                let says = format!(
                    "`{two}` belongs to version 2 of the config, and `{three}` to version 3: there can be only one of them"
                );
                reader.problem_with(&scope, says);
                Self::Three
            }
            (Some(_), None) => Self::Two,
            (None, Some(_)) => Self::Three,
            (None, None) => usual,
        }
    }
}

fn entries(node: &Node) -> &[(String, Node)] {
    match &node.value {
        node::Value::Object(entries) => entries,
        node::Value::Null
        | node::Value::Bool(_)
        | node::Value::Integer(_)
        | node::Value::Float(_)
        | node::Value::String(_)
        | node::Value::List(_) => &[],
    }
}
