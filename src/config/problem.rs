//! What is wrong with a config, told so that it can be mended: where, which field, what it says, what it may say.

use std::fmt;

pub use containerpilot_actors::nearest::nearest;

use super::node::Node;
use super::positions::{Places, Position};
use super::written::Written;

/// More than these would help nobody.
const TOLD: usize = 100;
/// What to write instead is shown up to so many characters.
const LONGEST_INSTEAD: usize = 400;

/// Something wrong, or worth a word, at one field.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    place: Place,
    /// `job[app].health.timeout`; empty for the whole config.
    path: String,
    /// What is wrong, with the value where it is no secret.
    says: String,
    /// What is told with it.
    with: Option<With>,
    /// Whether it may be right elsewhere: with other files or network interfaces.
    of_machine: bool,
}

/// What can be told only when the places are known.
#[derive(Clone, Debug, PartialEq)]
enum With {
    /// The position of the key of the value with this number.
    Key(usize),
    /// What to write instead, and what to show where the template has put in a part of the value, which may be a secret.
    Instead { whole: String, masked: &'static str },
}

/// What a problem points at.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    /// The key of the value with this number.
    Key(usize),
    /// The value with this number.
    Value(usize),
    /// A place of the file, in bytes.
    File(usize),
}

impl Problem {
    /// A problem with a value.
    pub fn value(node: &Node, path: impl Into<String>, says: impl Into<String>) -> Self {
        Self::at_value(node.id, path, says)
    }

    /// A problem with the value of this number.
    pub fn at_value(id: usize, path: impl Into<String>, says: impl Into<String>) -> Self {
        Self { place: Place::Value(id), path: path.into(), says: says.into(), with: None, of_machine: false }
    }

    /// A problem with the key of a value.
    pub fn key(node: &Node, path: impl Into<String>, says: impl Into<String>) -> Self {
        Self { place: Place::Key(node.id), path: path.into(), says: says.into(), with: None, of_machine: false }
    }

    /// A problem at a place of the file as written, in bytes.
    pub fn in_file(at: usize, says: impl Into<String>) -> Self {
        Self { place: Place::File(at), path: String::new(), says: says.into(), with: None, of_machine: false }
    }

    /// The same as a problem of this machine rather than of the config.
    pub fn of_machine(self) -> Self {
        Self { of_machine: true, ..self }
    }

    /// The same, which ends with the position of the key of the value with this number.
    pub fn with_key(self, id: usize) -> Self {
        Self { with: Some(With::Key(id)), ..self }
    }

    /// The same, which ends with what to write instead; `masked` says it without the value.
    pub fn with_instead(self, whole: String, masked: &'static str) -> Self {
        Self { with: Some(With::Instead { whole, masked }), ..self }
    }

    /// Whether it is one of this machine.
    pub fn is_of_machine(&self) -> bool {
        self.of_machine
    }

    /// The number of the value that is wrong, unless it is the key.
    pub fn value_id(&self) -> Option<usize> {
        match self.place {
            Place::Value(id) => Some(id),
            Place::Key(_) | Place::File(_) => None,
        }
    }

    /// The place in the file that it points at, in bytes.
    fn origin(&self, written: &Written<'_>, places: &Places<'_>) -> Option<usize> {
        match self.place {
            Place::Key(id) => places.of_key(id).map(|at| written.origin(at)),
            Place::Value(id) => places.of_value(id).map(|at| written.origin(at)),
            Place::File(at) => Some(at),
        }
    }

    /// What is told at the end.
    fn rest(&self, written: &Written<'_>, places: &Places<'_>) -> String {
        match &self.with {
            None => String::new(),
            Some(With::Key(id)) => {
                places.of_key(*id).map(|at| format!(" {}", written.position(at))).unwrap_or_default()
            }
            Some(With::Instead { whole, masked }) => {
                let ends = self.value_id().and_then(|id| places.of_value(id).zip(places.end_of_string(id)));
                let is_made = ends.is_some_and(|(start, end)| written.any_made(start, end));
                let is_shown = !is_made && whole.chars().count() <= LONGEST_INSTEAD;
                format!(" {}", if is_shown { whole.as_str() } else { masked })
            }
        }
    }
}

/// What `-validate` says of a config that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The message.
    pub says: String,
    /// Whether it is no more than a warning.
    pub is_warning: bool,
}

/// The messages for problems, in the order of the file.
pub fn tell<'p>(problems: impl IntoIterator<Item = &'p Problem>, written: &Written<'_>) -> Vec<String> {
    let findings = find(problems.into_iter().map(|problem| (problem, false)), written);
    findings.into_iter().map(|finding| finding.says).collect()
}

/// The findings for problems, each with whether it is no more than a warning, in the order of the file.
pub fn find<'p>(problems: impl IntoIterator<Item = (&'p Problem, bool)>, written: &Written<'_>) -> Vec<Finding> {
    let mut problems = problems.into_iter().peekable();
    if problems.peek().is_none() {
        return Vec::new();
    }
    let places = Places::of(&written.text);
    let mut found: Vec<(Option<usize>, &Problem, bool)> =
        problems.map(|(problem, is_warning)| (problem.origin(written, &places), problem, is_warning)).collect();
    found.sort_by_key(|(origin, ..)| *origin);
    // To find a column takes the longer, the longer a line is: only those that are told need one.
    let mut findings: Vec<Finding> = found
        .iter()
        .take(TOLD)
        .map(|(origin, problem, is_warning)| {
            let told = Told {
                file: written.name.to_owned(),
                position: origin.map(|at| written.position_in_source(at)),
                path: problem.path.clone(),
                says: format!("{}{}", problem.says, problem.rest(written, &places)),
                is_warning: *is_warning,
            };
            Finding { says: told.to_string(), is_warning: *is_warning }
        })
        .collect();
    if let Some(more) = found.get(TOLD..).filter(|more| !more.is_empty()) {
        let is_warning = more.iter().all(|(.., is_warning)| *is_warning);
        let says = format!("{}: and {} more problems", written.name, more.len());
        findings.push(Finding { says, is_warning });
    }
    findings
}

/// A problem with its place.
struct Told {
    file: String,
    position: Option<Position>,
    path: String,
    says: String,
    is_warning: bool,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if let Some(position) = self.position {
            write!(f, "{position}:")?;
        }
        if self.is_warning {
            f.write_str(" warning:")?;
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
        assert_eq!(tell(&problems, &Written::plain("f", text)), ["f:1:6: a: first", "f:2:6: b: second"]);
    }
}
