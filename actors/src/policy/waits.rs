//! Which waits of jobs can no longer end (life-cycle section 3).
//!
//! A job that waits `once` for an event of another one is in one of three states here: *open*, as long as the event may come;
//! *blocked*, when it was an event that the job needs (`exitSuccess`, `healthy`, `changed`, `startup`) and its source is complete
//! without it, gone, or blocked itself; *not needed*, when it was any other: such a job is a handler of what did not happen. Each
//! leaves its state when its source comes back: by a reload, or by an order.
//!
//! Only the job itself knows whether it still waits, so what is said here is for it to judge; it tells when it is blocked.
//!
//! Not here: what a blocked job means to the whole (`policy::shutdown`), and waits with a deadline, which give up by themselves.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::event::{EventCode, Exit, JobName, Source};
use crate::policy::job::Completion;
use crate::spec::{JobSpec, Spec, StartRule};

/// What the supervisor has to tell a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// What it waits for can no longer happen.
    Lost {
        /// Which job.
        job: JobName,
        /// Why, for people.
        why: String,
        /// Whether the job is worth nothing without it.
        needed: bool,
    },
    /// What it waits for may happen again.
    Back(JobName),
}

/// Who waits for whom.
#[derive(Debug, Default)]
pub struct Waits {
    /// By the job whose event they wait for.
    waiting: HashMap<JobName, BTreeMap<JobName, EventCode>>,
    blocked: BTreeSet<JobName>,
}

impl Waits {
    /// As the config has it. Those that are blocked stay so until their source comes back.
    pub fn of(&mut self, spec: &Spec) {
        self.waiting.clear();
        for job in &spec.jobs {
            if let Some((source, code)) = awaited(job) {
                self.waiting.entry(source.clone()).or_default().insert(job.name.clone(), code);
            }
        }
        self.blocked.retain(|name| spec.jobs.iter().any(|job| job.name == *name));
    }

    /// Everything starts: these wait for what is not there, or for each other.
    pub fn hopeless(&self, spec: &Spec) -> Vec<Action> {
        let places: HashMap<&JobName, usize> =
            spec.jobs.iter().enumerate().map(|(place, job)| (&job.name, place)).collect();
        let in_circle = circles(&spec.jobs, &places);
        let mut actions = Vec::new();
        for (job, is_in_circle) in spec.jobs.iter().zip(in_circle) {
            let missing = Self::without_source(job, |name| places.contains_key(name), spec);
            let why = missing.or_else(|| {
                let (source, _) = awaited(job).filter(|_| is_in_circle)?;
                Some(format!("it waits for {source}, which waits for it"))
            });
            let lost = why.zip(job.start.event());
            actions.extend(lost.map(|(why, start)| Action::Lost {
                job: job.name.clone(),
                why,
                needed: needs(start.code),
            }));
        }
        actions
    }

    /// What a job waits for in vain because it is not there.
    pub fn without_source(job: &JobSpec, is_job: impl Fn(&JobName) -> bool, spec: &Spec) -> Option<String> {
        let StartRule::Once(event) = &job.start else { return None };
        match &event.source {
            Source::Job(source) | Source::Check(source) if !is_job(source) => {
                Some(format!("there is no job `{source}`"))
            }
            Source::Watch(source) if !spec.watches.iter().any(|watch| watch.name == *source) => {
                Some(format!("there is no watch `{source}`"))
            }
            Source::Job(_)
            | Source::Check(_)
            | Source::Watch(_)
            | Source::Global
            | Source::Signal(_)
            | Source::Reason(_) => None,
        }
    }

    /// A job is complete, and has not been told to stop.
    pub fn completed(&self, name: &JobName, completion: Completion) -> Vec<Action> {
        self.lost(name, &ended(name, completion.code, completion.gave_up), |_| true)
    }

    /// A reload has taken a job out.
    pub fn removed(&mut self, name: &JobName) -> Vec<Action> {
        self.blocked.remove(name);
        self.lost(name, &format!("there is no job `{name}` any more"), |_| true)
    }

    /// A job has found itself blocked: so are those that need it to run.
    pub fn blocked(&mut self, name: &JobName) -> Vec<Action> {
        self.blocked.insert(name.clone());
        self.lost(name, &format!("{name} can no longer start"), needs)
    }

    /// What those have been told that wait for a job that is blocked.
    pub fn still_blocked(&self) -> Vec<Action> {
        let blocked = self.blocked.iter();
        blocked.flat_map(|name| self.lost(name, &format!("{name} can no longer start"), needs)).collect()
    }

    fn lost(&self, source: &JobName, why: &str, concerns: impl Fn(EventCode) -> bool) -> Vec<Action> {
        let waiting = self.waiting.get(source).into_iter().flatten().filter(|(_, code)| concerns(**code));
        let lost = |(job, code): (&JobName, &EventCode)| Action::Lost {
            job: job.clone(),
            why: why.to_owned(),
            needed: needs(*code),
        };
        waiting.map(lost).collect()
    }

    /// A job starts anew, or for the first time: what it announces may come again.
    pub fn back(&mut self, name: &JobName) -> Vec<Action> {
        self.blocked.remove(name);
        let (mut actions, mut sources) = (Vec::new(), vec![name.clone()]);
        while let Some(source) = sources.pop() {
            for job in self.waiting.get(&source).into_iter().flat_map(BTreeMap::keys) {
                actions.push(Action::Back(job.clone()));
                if self.blocked.remove(job) {
                    sources.push(job.clone());
                }
            }
        }
        actions
    }
}

/// How a job has ended, for those who wait for it in vain.
pub fn ended(name: &JobName, code: Option<u8>, gave_up: bool) -> String {
    match code {
        _ if gave_up => format!("{name} has given up"),
        None => format!("{name} has stopped without a run"),
        Some(0) => format!("{name} has ended"),
        Some(code) => format!("{name} has failed ({})", Exit::from_code(code)),
    }
}

/// The job whose event a job waits for, once.
fn awaited(job: &JobSpec) -> Option<(&JobName, EventCode)> {
    let StartRule::Once(event) = &job.start else { return None };
    match &event.source {
        Source::Job(name) | Source::Check(name) => Some((name, event.code)),
        Source::Global | Source::Watch(_) | Source::Signal(_) | Source::Reason(_) => None,
    }
}

/// Whether a job that waits for such an event is worth nothing without it. One for the rest is a handler.
pub fn needs(code: EventCode) -> bool {
    match code {
        EventCode::ExitSuccess | EventCode::StatusHealthy | EventCode::StatusChanged | EventCode::Startup => true,
        EventCode::ExitFailed
        | EventCode::Stopping
        | EventCode::Terminating
        | EventCode::Ended
        | EventCode::Stopped
        | EventCode::StatusUnhealthy
        | EventCode::TimerExpired
        | EventCode::EnterMaintenance
        | EventCode::ExitMaintenance
        | EventCode::Error
        | EventCode::Quit
        | EventCode::Metric
        | EventCode::Shutdown
        | EventCode::Signal => false,
    }
}

/// Which jobs wait for each other: a chain of waits without a deadline, each for what needs a run, leads back to them.
fn circles(jobs: &[JobSpec], places: &HashMap<&JobName, usize>) -> Vec<bool> {
    let next = |place: usize| {
        let job = &jobs[place];
        let (source, _) = awaited(job).filter(|(_, code)| needs(*code) && job.wait_timeout.is_none())?;
        places.get(source).copied()
    };
    let mut in_circle = vec![false; jobs.len()];
    // The number of the chain in which each was met first: each job is walked over once.
    let mut met: Vec<Option<usize>> = vec![None; jobs.len()];
    for first in 0..jobs.len() {
        let (mut chain, mut at) = (Vec::new(), Some(first));
        while let Some(place) = at.filter(|place| met[*place].is_none()) {
            met[place] = Some(first);
            chain.push(place);
            at = next(place);
        }
        // Met in this very chain: from there on it is a circle.
        if let Some(begin) = at.filter(|place| met[*place] == Some(first))
            && let Some(from) = chain.iter().position(|place| *place == begin)
        {
            for place in &chain[from..] {
                in_circle[*place] = true;
            }
        }
    }
    in_circle
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::testing::{config, job, secs};

    fn name(text: &str) -> JobName {
        JobName::new(text)
    }

    fn at(job_name: &str, code: EventCode, source: &str) -> JobSpec {
        JobSpec { start: StartRule::Once(Event::job(code, &name(source))), ..job(job_name) }
    }

    fn waits(jobs: Vec<JobSpec>) -> Waits {
        let mut waits = Waits::default();
        waits.of(&config(jobs));
        waits
    }

    fn lost(job: &str, why: &str, needed: bool) -> Action {
        Action::Lost { job: name(job), why: why.to_owned(), needed }
    }

    fn ended(code: u8) -> Completion {
        Completion { code: Some(code), by_itself: true, ..Completion::default() }
    }

    #[test]
    fn a_source_that_has_failed_blocks_those_that_need_it_and_is_nothing_to_a_handler() {
        let waits = waits(vec![
            job("setup"),
            at("app", EventCode::ExitSuccess, "setup"),
            at("cleanup", EventCode::Stopped, "app"),
            at("alarm", EventCode::TimerExpired, "setup"),
        ]);
        let why = "setup has failed (exit status 1)";
        assert_eq!(waits.completed(&name("setup"), ended(1)), [lost("alarm", why, false), lost("app", why, true)]);
        let why = "setup has failed (signal: killed)";
        assert_eq!(waits.completed(&name("setup"), ended(137))[1], lost("app", why, true));
    }

    #[test]
    fn what_a_blocked_job_would_have_said_blocks_in_turn() {
        let mut waits = waits(vec![
            job("a"),
            at("b", EventCode::ExitSuccess, "a"),
            at("c", EventCode::StatusHealthy, "b"),
            at("d", EventCode::Stopped, "b"),
        ]);
        assert_eq!(waits.blocked(&name("b")), [lost("c", "b can no longer start", true)]);
        assert_eq!(waits.blocked(&name("c")), []);
        assert_eq!(
            waits.back(&name("a")),
            ["b", "c", "d"].map(|job| Action::Back(name(job))),
            "and all are free once the source is back"
        );
    }

    #[test]
    fn a_missing_source_and_a_circle_are_known_at_the_start() {
        let patient = JobSpec { wait_timeout: Some(secs(1)), ..at("y", EventCode::ExitSuccess, "x") };
        let spec = config(vec![
            at("a", EventCode::ExitSuccess, "b"),
            at("b", EventCode::StatusHealthy, "a"),
            at("c", EventCode::ExitSuccess, "b"),
            at("lonely", EventCode::Stopped, "nothing"),
            at("x", EventCode::ExitSuccess, "y"),
            patient,
        ]);
        let actions = Waits::default().hopeless(&spec);
        let circle = |job, source| lost(job, &format!("it waits for {source}, which waits for it"), true);
        assert_eq!(actions, [circle("a", "b"), circle("b", "a"), lost("lonely", "there is no job `nothing`", false)]);
    }
}
