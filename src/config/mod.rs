//! From the name of a config to what the runtime starts from: read, render, parse, lower.
//!
//! The environment and the machine's addresses are arguments; the file is read each time, for reloads.

mod discovery;
mod duration;
mod exec;
mod interfaces;
mod job;
mod logging;
mod lower_v3;
mod node;
mod positions;
mod problem;
mod raw_v3;
mod reader;
mod starts;
#[cfg(test)]
mod tests;
mod zookeeper;

use std::path::PathBuf;

use containerpilot_actors::addresses::Host;
use containerpilot_actors::spec::Spec;

use crate::template::{self, Environment, TemplateError};
use lower_v3::Surroundings;
use node::Node;
use positions::Position;
use reader::Reader;

pub use discovery::pick_address;
pub use reader::go_boolean;

/// A config has six levels; whoever has more than these has made a mistake, or wants our stack to overflow.
const DEEPEST: usize = 100;

/// Where the config is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// A file, or what can be read like one.
    pub path: PathBuf,
}

/// A config that can be used.
#[derive(Debug, PartialEq)]
pub struct Loaded {
    /// What to start from.
    pub spec: Spec,
    /// What `-validate` speaks of although nothing is wrong with it.
    pub notes: Vec<String>,
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
        source: std::io::Error,
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
    /// All that is wrong with its fields, in the order of the text.
    #[error("{}", .0.join("\n"))]
    Invalid(Vec<String>),
}

/// Reads and renders a config, and does no more: `-template`.
pub fn render(source: &Source, environment: &Environment) -> Result<Vec<u8>, ConfigError> {
    let name = source.path.to_string_lossy();
    let text =
        std::fs::read(&source.path).map_err(|source| ConfigError::Read { path: name.clone().into_owned(), source })?;
    Ok(template::render(&name, &text, environment)?)
}

/// Loads a config. What is doubtful is in `spec.warnings`.
pub fn load(source: &Source, environment: &Environment, host: &Host) -> Result<Loaded, ConfigError> {
    let rendered = render(source, environment)?;
    // 3.8 takes bytes that are no UTF-8, too: in a comment they do no harm.
    let text = String::from_utf8_lossy(&rendered);
    parse(&source.path.to_string_lossy(), &text, Surroundings { environment, host })
}

fn parse(name: &str, text: &str, surroundings: Surroundings<'_>) -> Result<Loaded, ConfigError> {
    let root = parse_json5(name, text)?;
    let mut reader = Reader::default();
    let spec = lower_v3::lower(&root, surroundings, &mut reader);
    let told = |problems: &[problem::Problem]| problem::tell(problems, name, text);
    match spec {
        Some(spec) if reader.problems.is_empty() => {
            Ok(Loaded { spec: Spec { warnings: told(&reader.warnings), ..spec }, notes: told(&reader.notes) })
        }
        Some(_) | None => Err(ConfigError::Invalid(told(&reader.problems))),
    }
}

fn parse_json5(name: &str, text: &str) -> Result<Node, ConfigError> {
    let error = |Position { line, column }: Position, says: String| ConfigError::Syntax {
        path: name.to_owned(),
        line,
        column,
        says,
    };
    if let Some(offset) = positions::nested_deeper_than(text, DEEPEST) {
        return Err(error(
            positions::position(text, offset),
            format!("objects and lists are nested deeper than {DEEPEST} levels"),
        ));
    }
    let root: Node = json5::from_str(text).map_err(|cause| {
        let position = match cause.position() {
            // Of what ends too early, the parser tells the place only where a bracket is not closed.
            Some(json5::Position { line, column }) if !ends_within_a_value(&cause) => {
                Position { line: line + 1, column: column + 1 }
            }
            Some(_) | None => positions::position(text, text.len()),
        };
        error(position, syntax_message(&cause))
    })?;
    Ok(root.numbered())
}

/// Whether the text ends, but not just for want of a closing bracket.
fn ends_within_a_value(cause: &json5::Error) -> bool {
    use json5::ErrorCode::{EofParsingArray, EofParsingObject};
    let code = cause.code();
    code.is_some_and(|code| !matches!(code, EofParsingArray | EofParsingObject) && eof(&code.to_string()).is_some())
}

/// What a text ends within, if that is what the parser says.
fn eof(says: &str) -> Option<&str> {
    says.strip_prefix("EOF parsing ")
}

/// What the parser says, without the place.
fn syntax_message(cause: &json5::Error) -> String {
    let says = match cause.code() {
        Some(code) => code.to_string(),
        None => cause.to_string().split(" at line ").next().unwrap_or("not JSON5").to_owned(),
    };
    match eof(&says) {
        Some("object") => "this `{` has no `}`".to_owned(),
        Some("array") => "this `[` has no `]`".to_owned(),
        Some("value") => "the file ends where a value should be".to_owned(),
        Some(what) => format!("the file ends within: {what}"),
        None => says,
    }
}
