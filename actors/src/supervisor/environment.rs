//! Changes to the environment of all that starts later, made while we run. One that no process could be started with is refused: it would
//! make every later start of every job fail.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use actix::prelude::*;

use super::Supervisor;
use crate::messages::{EnvironmentError, PutEnvironment, ReaperCommand};
use crate::spec::{Exec, JobSpec, Spec};
use crate::sys::{self, ExecLimits};

/// What is left for what the kernel and we ourselves add: the program's path, pids of jobs, addresses, short lists of instances.
const RESERVE: usize = 16 * 1024;
/// How much of a name is shown.
const SHOWN: usize = 64;

type Changes = Vec<(OsString, Option<OsString>)>;

/// What a variable takes of the room that an exec has: `NAME=VALUE`, its NUL, and a pointer to it.
fn room_of(name: &OsStr, value: &OsStr) -> usize {
    name.len() + 1 + value.len() + 1 + size_of::<usize>()
}

fn room_of_exec(exec: &Exec) -> usize {
    let words = std::iter::once(&exec.program).chain(&exec.args);
    words.map(|word| word.len() + 1 + size_of::<usize>()).sum()
}

/// What the largest command line of a job or a check takes, its own variables included.
fn room_of_commands(spec: &Spec) -> usize {
    let of_job = |job: &JobSpec| {
        let check = job.health.as_ref().and_then(|health| health.exec.as_ref());
        let command = job.exec.iter().chain(check).map(room_of_exec).max().unwrap_or(0);
        let own = job.env.iter().filter_map(|(name, value)| Some(room_of(name, value.as_deref()?)));
        command + own.sum::<usize>()
    };
    spec.jobs.iter().map(of_job).max().unwrap_or(0)
}

/// Whether processes can be started after these changes. Those that make less of it are always taken.
fn check(
    now: &BTreeMap<OsString, OsString>,
    changes: &Changes,
    commands: usize,
    limits: ExecLimits,
) -> Result<(), EnvironmentError> {
    let mut then = now.clone();
    for (name, value) in changes {
        let Some(value) = value else {
            then.remove(name);
            continue;
        };
        let size = name.len() + 1 + value.len();
        if size >= limits.string {
            let name = name.to_string_lossy().chars().take(SHOWN).flat_map(char::escape_debug).collect();
            return Err(EnvironmentError::TooLong { name, size, most: limits.string - 1 });
        }
        then.insert(name.clone(), value.clone());
    }
    let room = |variables: &BTreeMap<OsString, OsString>| -> usize {
        variables.iter().map(|(name, value)| room_of(name, value)).sum()
    };
    let (before, after) = (room(now), room(&then));
    let most = limits.all.saturating_sub(commands + RESERVE);
    if after > most && after > before { Err(EnvironmentError::TooMuch { size: after, most }) } else { Ok(()) }
}

impl Handler<PutEnvironment> for Supervisor {
    type Result = Result<(), EnvironmentError>;

    fn handle(&mut self, PutEnvironment(changes): PutEnvironment, _ctx: &mut Self::Context) -> Self::Result {
        check(&self.environment, &changes, room_of_commands(&self.spec), sys::exec_limits())?;
        for (name, value) in &changes {
            match value {
                Some(value) => self.environment.insert(name.clone(), value.clone()),
                None => self.environment.remove(name),
            };
        }
        if let Some(core) = &self.core {
            core.reaper.do_send(ReaperCommand::PutEnv(changes));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ExecLimits = ExecLimits { string: 1000, all: 2000 + RESERVE };

    fn put(now: &[(&str, usize)], changes: &[(&str, Option<usize>)]) -> Result<(), EnvironmentError> {
        let text = |size: usize| OsString::from("x".repeat(size));
        let now = now.iter().map(|(name, size)| (OsString::from(name), text(*size))).collect();
        let changes = changes.iter().map(|(name, size)| (OsString::from(name), size.map(text))).collect();
        check(&now, &changes, 100, LIMITS)
    }

    #[test]
    fn the_longest_variable_is_taken_and_a_longer_one_refused() {
        assert_eq!(put(&[], &[("A", Some(997))]), Ok(()));
        let refused = put(&[], &[("B", Some(1)), ("A", Some(998))]);
        assert_eq!(refused, Err(EnvironmentError::TooLong { name: "A".into(), size: 1000, most: 999 }));
    }

    #[test]
    fn all_together_have_a_bound_and_less_is_always_taken() {
        assert_eq!(put(&[("A", 900)], &[("B", Some(900))]), Ok(()));
        let full = [("A", 900), ("B", 900)];
        let refused = put(&full, &[("C", Some(900))]);
        assert_eq!(refused, Err(EnvironmentError::TooMuch { size: 3 * 911, most: 1900 }));
        assert_eq!(put(&full, &[("A", Some(900)), ("B", Some(899))]), Ok(()));
        let beyond = [("A", 900), ("B", 900), ("C", 900)];
        assert_eq!(put(&beyond, &[("A", None)]), Ok(()));
        assert_eq!(put(&beyond, &[("A", Some(899))]), Ok(()));
        assert!(put(&beyond, &[("A", Some(901))]).is_err());
    }

    #[test]
    fn a_name_is_shown_without_what_a_terminal_would_act_upon() {
        let EnvironmentError::TooLong { name, .. } = put(&[], &[("\x1b[2J", Some(2000))]).unwrap_err() else {
            panic!("it is too long")
        };
        assert_eq!(name, "\\u{1b}[2J");
    }
}
