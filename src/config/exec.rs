//! Command lines: a string that is split at white space, or a list that is taken as it is.

use containerpilot_actors::spec::Exec;

use super::node::{Node, Value};
use super::shell;

/// What `exec` accepts, for messages.
const ACCEPTED: &str = "a command line (a string, or a list of the program and its arguments)";

/// The command of an `exec`, or what is wrong with it.
pub fn parse(node: &Node) -> Result<Exec, String> {
    let words: Vec<String> = match &node.value {
        // 3.8 splits at single spaces, so that two of them make an empty argument.
        Value::String(text) => text.split_ascii_whitespace().map(str::to_owned).collect(),
        Value::List(items) => items.iter().map(Node::go_text).collect(),
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::Object(_) => {
            return Err(format!("`{}` is {}, not {ACCEPTED}", node.shown(), node.kind()));
        }
    };
    if words.iter().any(|word| word.contains('\0')) {
        return Err("no argument of a process can hold a NUL".to_owned());
    }
    let mut words = words.into_iter();
    match words.next() {
        Some(program) if !program.is_empty() => {
            Ok(Exec { program: program.into(), args: words.map(Into::into).collect() })
        }
        Some(_) | None => Err(format!("`{}` has no program, it must be {ACCEPTED}", node.shown())),
    }
}

/// A command line as one text.
pub fn joined(exec: &Exec) -> String {
    let words = std::iter::once(&exec.program).chain(&exec.args);
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// What is for a shell in a string, which has none.
pub fn shell_signs(node: &Node) -> Vec<String> {
    if let Value::String(text) = &node.value { shell::signs(text) } else { Vec::new() }
}

/// The list that does with a shell what a string says.
pub fn with_shell(node: &Node) -> String {
    if let Value::String(text) = &node.value { shell::list(text) } else { String::new() }
}

/// Whether quotes are in a string, which its author may think to be those of a shell.
pub fn has_quotes(node: &Node) -> bool {
    matches!(&node.value, Value::String(text) if text.contains(['"', '\'']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Result<Vec<String>, String> {
        let exec = parse(&json5::from_str::<Node>(text).unwrap())?;
        let words = std::iter::once(exec.program).chain(exec.args);
        Ok(words.map(|word| word.into_string().unwrap()).collect())
    }

    #[test]
    fn a_string_is_split_at_runs_of_white_space() {
        assert_eq!(words("'  sh  -c\\t$HOME\\n\"a b\" '").unwrap(), ["sh", "-c", "$HOME", "\"a", "b\""]);
    }

    #[test]
    fn a_list_is_taken_as_it_is() {
        assert_eq!(words("['a b', '', 1, 2.5, true, 0x10]").unwrap(), ["a b", "", "1", "2.5", "true", "16"]);
    }

    #[test]
    fn a_command_without_a_program_is_refused() {
        for text in ["''", "'   '", "[]", "['']", "5", "true", "{command: 'x'}", "['a\\0b']"] {
            assert!(words(text).is_err(), "{text}");
        }
    }

    #[test]
    fn quotes_in_a_string_are_noticed() {
        let quotes = |text: &str| has_quotes(&json5::from_str::<Node>(text).unwrap());
        assert!(quotes("\"sh -c 'x'\""));
        assert!(!quotes("['sh', '\"']"));
        assert!(!quotes("'sh x'"));
    }
}
