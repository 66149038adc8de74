//! Go templates, as ContainerPilot 3.8 renders its config: the language of Go 1.19's `text/template` over the environment,
//! with the functions `default`, `env`, `split`, `join`, `replaceAll`, `regexReplaceAll` and `loop`, and `required` of our own.
//!
//! Pure: a text and an environment in, a text or a positioned error out. Not here: reading files or the real environment,
//! and any notion of what the text is good for.

mod eval;
mod floats;
mod funcs;
mod lexer;
mod literal;
mod origins;
mod parser;
mod pattern;
mod text;
mod value;
mod verbs;
mod work;

use std::collections::BTreeMap;
use std::ops::Range;

pub use origins::Origins;

/// Environment variables as templates see them: bytes, sorted by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Environment(BTreeMap<Vec<u8>, Vec<u8>>);

impl Environment {
    /// The value of a variable that is set.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.0.get(name).map(Vec::as_slice)
    }

    /// How many variables are set.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Names and values in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_slice(), value.as_slice()))
    }
}

/// From names and values, for example those of `std::env::vars_os`. The first of equal names counts, as for `getenv`.
impl<N: Into<Vec<u8>>, V: Into<Vec<u8>>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let mut env = BTreeMap::new();
        for (name, value) in variables {
            env.entry(name.into()).or_insert_with(|| value.into());
        }
        Environment(env)
    }
}

/// Why a template cannot be rendered, and where.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{name}:{line}:{column}: cannot render the template: {message}")]
pub struct TemplateError {
    /// The file, as the caller named it.
    pub name: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong. It never holds the value of a variable.
    pub message: String,
}

/// A rendered text.
#[derive(Debug)]
pub struct Rendered {
    /// The text.
    pub text: Vec<u8>,
    /// Which piece of the template each piece of it comes from.
    pub origins: Origins,
    /// The variables that were printed, although they are not set: each where that happened first.
    pub unset: Vec<Unset>,
}

/// A variable that is not set.
#[derive(Clone, Debug, PartialEq)]
pub struct Unset {
    /// Where the template names it, in bytes.
    pub at: usize,
    /// Its name.
    pub name: String,
}

/// Renders `text` with `env` as its data; `name` is the file for messages.
pub fn render(name: &str, text: &[u8], env: &Environment) -> Result<Vec<u8>, TemplateError> {
    render_traced(name, text, env).map(|rendered| rendered.text)
}

/// The same, with the origin of each piece of the text.
pub fn render_traced(name: &str, text: &[u8], env: &Environment) -> Result<Rendered, TemplateError> {
    let rendered = parser::parse(text).and_then(|programs| eval::run(text, &programs, env));
    rendered.map_err(|fault| fault.located(name, text))
}

/// Where the actions and comments of a template are, braces included, in bytes: of one that can be parsed.
pub fn actions(name: &str, text: &[u8]) -> Result<Vec<Range<usize>>, TemplateError> {
    parser::parse(text).map_err(|fault| fault.located(name, text))?;
    Ok(lexer::lex(text).actions)
}

/// A mistake at a place of the template, in bytes from its start.
#[derive(Debug)]
struct Fault {
    at: usize,
    message: String,
}

impl Fault {
    fn new(at: usize, message: impl Into<String>) -> Self {
        Fault { at, message: message.into() }
    }

    fn located(self, name: &str, text: &[u8]) -> TemplateError {
        let before = &text[..self.at.min(text.len())];
        let line_start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        TemplateError {
            name: name.to_owned(),
            line: before.iter().filter(|&&byte| byte == b'\n').count() + 1,
            column: text::runes(&before[line_start..]).count() + 1,
            message: self.message,
        }
    }
}

#[cfg(test)]
mod tests;
