//! What runs before everything else, one after the other (v2-compat section 2).
//!
//! ```text
//! Closed(first, second, ...) --first succeeded--> Closed(second, ...) --> ... --> Open
//! ```
//!
//! While it is closed nobody is told of `startup`, nothing is watched and nothing is measured. A job that fails keeps it
//! closed; that it is `required` ends everything then (`policy::shutdown`).

use std::collections::VecDeque;

use crate::event::JobName;
use crate::policy::job::Completion;
use crate::spec::JobSpec;

/// What the supervisor has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Have this job run.
    Begin(JobName),
    /// Everything else starts.
    Open,
}

/// The jobs that have to succeed before anything else starts.
#[derive(Debug)]
pub struct InitPolicy {
    /// In the config's order; the first of them runs.
    pending: VecDeque<JobName>,
}

impl InitPolicy {
    /// Nothing runs yet.
    pub fn new(jobs: &[JobSpec]) -> Self {
        Self { pending: jobs.iter().filter(|job| job.init).map(|job| job.name.clone()).collect() }
    }

    /// Whether everything else may start.
    pub fn is_open(&self) -> bool {
        self.pending.is_empty()
    }

    /// What comes next; asked for at the start.
    pub fn next(&self) -> Action {
        self.pending.front().cloned().map_or(Action::Open, Action::Begin)
    }

    /// A job has completed.
    pub fn completed(&mut self, name: &JobName, completion: Completion) -> Option<Action> {
        let succeeded = completion.by_itself && completion.code == Some(0);
        self.pending.pop_front_if(|first| succeeded && *first == *name)?;
        Some(self.next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::job::Leaves;
    use crate::testing::job;

    const WELL: Completion = Completion { code: Some(0), by_itself: true, gave_up: false, leaves: Leaves::Nothing };

    fn policy() -> InitPolicy {
        let init = |name| JobSpec { init: true, ..job(name) };
        InitPolicy::new(&[init("a"), job("app"), init("b")])
    }

    #[test]
    fn one_runs_after_the_other_and_then_everything_else() {
        let (mut policy, [a, b, app]) = (policy(), ["a", "b", "app"].map(JobName::new));
        assert_eq!(policy.next(), Action::Begin(a.clone()));
        assert_eq!(policy.completed(&app, WELL), None);
        assert_eq!(policy.completed(&a, WELL), Some(Action::Begin(b.clone())));
        assert!(!policy.is_open());
        assert_eq!(policy.completed(&b, WELL), Some(Action::Open));
        assert!(policy.is_open());
        assert_eq!(policy.completed(&b, WELL), None);
    }

    #[test]
    fn a_failure_or_a_stop_opens_nothing() {
        let mut policy = policy();
        for completion in [
            Completion { code: Some(1), ..WELL },
            Completion { by_itself: false, ..WELL },
            Completion { code: None, ..WELL },
        ] {
            assert_eq!(policy.completed(&JobName::new("a"), completion), None);
        }
        assert!(!policy.is_open());
    }

    #[test]
    fn without_such_jobs_everything_starts_at_once() {
        let policy = InitPolicy::new(&[job("app")]);
        assert!(policy.is_open());
        assert_eq!(policy.next(), Action::Open);
    }
}
