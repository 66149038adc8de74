//! The names of jobs and watches: unique, and made of letters, digits and little else.

use std::collections::HashMap;

use crate::config::lower_v3::is_service_name;
use crate::config::unrendered::{Guard, exclude};

/// Those that are taken, and by what: of two that are never there together both can have a name.
#[derive(Default)]
pub struct Names(HashMap<String, Vec<Vec<Guard>>>);

impl Names {
    /// Takes the first name that is free within these blocks of the template, or else the first one with a number.
    pub fn take(&mut self, wanted: &[String], guards: &[Guard]) -> String {
        self.take_unless(wanted, guards, |other| !exclude(other, guards))
    }

    /// The same for what has this name in the catalog: another name only if one that has it is there whenever this one is.
    pub fn take_registered(&mut self, wanted: &str, guards: &[Guard]) -> String {
        self.take_unless(&[wanted.to_owned()], guards, |other| guards.starts_with(other))
    }

    fn take_unless(&mut self, wanted: &[String], guards: &[Guard], takes: impl Fn(&[Guard]) -> bool) -> String {
        let first = wanted.first().map_or("", String::as_str);
        let numbered = (2..).map(|number| format!("{first}-{number}"));
        let mut names = wanted.iter().cloned().chain(numbered);
        let is_free = |name: &String| !self.0.get(name).into_iter().flatten().any(|other| takes(other));
        let name = names.find(is_free).unwrap_or_default();
        self.0.entry(name.clone()).or_default().push(guards.to_vec());
        name
    }
}

/// The text with a hyphen for each run of what a name of a job better has not.
pub fn as_name(text: &str, otherwise: &str) -> String {
    let mut name = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') {
            name.push(c);
        } else if !name.ends_with('-') {
            name.push('-');
        }
    }
    let name = name.trim_matches('-');
    if name.is_empty() { otherwise.to_owned() } else { name.to_owned() }
}

/// The same for a name that every catalog takes.
pub fn as_service_name(text: &str) -> String {
    if is_service_name(text) {
        return text.to_owned();
    }
    let name = as_name(&text.to_lowercase().replace(['.', '_'], "-"), "service");
    if is_service_name(&name) { name } else { format!("service-{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_name_stays_as_it_is() {
        for (text, name, service) in [
            ("app", "app", "app"),
            ("my-App", "my-App", "my-App"),
            ("worker_2.sh", "worker_2.sh", "worker-2-sh"),
            ("my  worker!", "my-worker", "my-worker"),
            ("/a/b", "a-b", "a-b"),
            ("7up", "7up", "service-7up"),
            ("Größe", "Gr-e", "gr-e"),
            ("x", "x", "service-x"),
            ("--", "task", "service"),
            ("", "task", "service"),
        ] {
            assert_eq!((as_name(text, "task").as_str(), as_service_name(text).as_str()), (name, service), "{text}");
            assert!(is_service_name(service), "{service}");
        }
    }

    #[test]
    fn names_are_taken_once() {
        let mut names = Names::default();
        let wanted = ["a".to_owned(), "a-b".to_owned()];
        let taken: Vec<String> = (0..4).map(|_| names.take(&wanted, &[])).collect();
        assert_eq!(taken, ["a", "a-b", "a-2", "a-3"]);
    }
}
