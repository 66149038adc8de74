//! What is wrong with a config, told so that it can be mended: where, which field, what it says, what it may say.

use std::fmt;

pub use containerpilot_actors::nearest::nearest;

use super::node::Node;
use super::positions::{Position, Positions};

/// More than these would help nobody.
const TOLD: usize = 100;

/// Something wrong, or worth a word, at one field.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    place: Place,
    /// `job[app].health.timeout`; empty for the whole config.
    path: String,
    /// What is wrong, with the value where it is no secret.
    says: String,
    /// Whether it may be right elsewhere: with other files or network interfaces.
    of_machine: bool,
}

/// What a problem points at.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Key(usize),
    Value(usize),
}

impl Problem {
    /// A problem with a value.
    pub fn value(node: &Node, path: impl Into<String>, says: impl Into<String>) -> Self {
        Self::at_value(node.id, path, says)
    }

    /// A problem with the value of this number.
    pub fn at_value(id: usize, path: impl Into<String>, says: impl Into<String>) -> Self {
        Self { place: Place::Value(id), path: path.into(), says: says.into(), of_machine: false }
    }

    /// A problem with the key of a value.
    pub fn key(node: &Node, path: impl Into<String>, says: impl Into<String>) -> Self {
        Self { place: Place::Key(node.id), path: path.into(), says: says.into(), of_machine: false }
    }

    /// The same as a problem of this machine rather than of the config.
    pub fn of_machine(self) -> Self {
        Self { of_machine: true, ..self }
    }

    /// Whether it is one of this machine.
    pub fn is_of_machine(&self) -> bool {
        self.of_machine
    }

    /// The number of the value that is wrong, unless it is the key.
    pub fn value_id(&self) -> Option<usize> {
        match self.place {
            Place::Value(id) => Some(id),
            Place::Key(_) => None,
        }
    }

    /// The problem as a message; `file` as the user named it.
    fn told(&self, file: &str, positions: &Positions<'_>) -> Told {
        let position = match self.place {
            Place::Key(id) => positions.of_key(id),
            Place::Value(id) => positions.of_value(id),
        };
        Told { file: file.to_owned(), position, path: self.path.clone(), says: self.says.clone() }
    }
}

/// The messages for problems, in the order of the text.
pub fn tell(problems: &[Problem], file: &str, text: &str) -> Vec<String> {
    if problems.is_empty() {
        return Vec::new();
    }
    let positions = Positions::of(text);
    let mut told: Vec<Told> = problems.iter().map(|problem| problem.told(file, &positions)).collect();
    told.sort_by_key(|told| told.position);
    let mut messages: Vec<String> = told.iter().take(TOLD).map(Told::to_string).collect();
    if told.len() > TOLD {
        messages.push(format!("{file}: and {} more problems", told.len() - TOLD));
    }
    messages
}

/// A problem with its place.
struct Told {
    file: String,
    position: Option<Position>,
    path: String,
    says: String,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if let Some(Position { line, column }) = self.position {
            write!(f, "{line}:{column}:")?;
        }
        if !self.path.is_empty() {
            write!(f, " {}:", self.path)?;
        }
        write!(f, " {}", self.says)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_told_in_the_order_of_the_text() {
        let text = "{ a: 1,\n  b: 2 }";
        let problems = [Problem::at_value(2, "b", "second"), Problem::at_value(1, "a", "first")];
        assert_eq!(tell(&problems, "f", text), ["f:1:6: a: first", "f:2:6: b: second"]);
    }
}
