//! When everything ends, in which order, and with which exit status (job-semantics sections 7 and 8).
//!
//! ```text
//! Up --signal; main complete; all complete but those that wait for the shutdown--> Closing --all stopped--> Done
//! ```
//!
//! Not here: how one job stops; that is `policy::job`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::event::{Event, EventCode, JobName, Source};
use crate::policy::job::{Completion, Leaves};
use crate::spec::{JobSpec, Last};

/// What the supervisor has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Emit `shutdown`.
    PublishShutdown,
    /// Tell a job to shut down.
    ShutDown {
        /// Which.
        job: JobName,
        /// Whether the stop that it waits for is still to be announced.
        start_may_come: bool,
    },
    /// Tell a job that what it waits for will never come.
    StandDown(JobName),
    /// Tell a job that its own stop comes when the others have stopped.
    Linger(JobName),
    /// All is over: end with this status.
    Finish(u8),
}

/// Why everything ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// It was asked for.
    Asked,
    /// The main job has ended.
    MainEnded(JobName),
    /// A job that is required has failed.
    RequiredFailed(JobName),
    /// A job that everything is for can never start, or gave up.
    NeverStarts(JobName),
    /// All jobs are complete.
    Complete,
}

#[derive(Debug)]
struct Tracked {
    /// The one event that starts it.
    start: Option<Event>,
    main: bool,
    required: bool,
    last: Last,
    stopped: bool,
    standing_by: bool,
    /// Told to stop while everything else goes on: its end completes nothing.
    leaving: bool,
    /// Has left, but may come back.
    away: bool,
    /// What it has left behind when it stopped.
    leaves: Leaves,
    /// How it has stopped, if it has.
    completion: Option<Completion>,
}

impl Tracked {
    /// Whether the end of everything does not wait for it: processes that still write to its log count, daemons do not.
    fn is_over(&self) -> bool {
        self.stopped && self.leaves != Leaves::Writers
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Up,
    /// Jobs that are `last` linger, unless it is their turn.
    Closing {
        asked: bool,
        turn_of_last: bool,
    },
    Done,
}

/// The end of everything.
#[derive(Debug)]
pub struct ShutdownPolicy {
    phase: Phase,
    jobs: BTreeMap<JobName, Tracked>,
    /// Those that start at the event of a stop, by that event.
    starting: HashMap<Event, BTreeSet<JobName>>,
    /// The `stopping` and `stopped` that have been emitted.
    announced: BTreeSet<Event>,
    had_jobs: bool,
    stays_up: bool,
    required_failure: Option<u8>,
    main_code: Option<u8>,
    first_failure: Option<u8>,
    /// The status if the job that everything is for could never start.
    blocked_code: Option<u8>,
    why: Option<Why>,
}

impl ShutdownPolicy {
    /// Nothing has started yet.
    pub fn new(jobs: &[JobSpec]) -> Self {
        let mut policy = Self {
            phase: Phase::Up,
            jobs: BTreeMap::new(),
            starting: HashMap::new(),
            announced: BTreeSet::new(),
            had_jobs: false,
            stays_up: false,
            required_failure: None,
            main_code: None,
            first_failure: None,
            blocked_code: None,
            why: None,
        };
        for job in jobs {
            policy.add(job);
        }
        policy
    }

    /// A job begins its life, at the start or with a reload.
    pub fn add(&mut self, job: &JobSpec) {
        let start = job.start.event().cloned();
        self.forget_announced(&job.name);
        self.had_jobs = true;
        let tracked = Tracked {
            start,
            main: job.main,
            required: job.required,
            last: job.last,
            stopped: false,
            standing_by: false,
            leaving: false,
            away: false,
            leaves: Leaves::Nothing,
            completion: None,
        };
        self.forget_start(&job.name);
        if let Some(start) = tracked.start.as_ref().filter(|start| EventCode::OF_A_STOP.contains(&start.code)) {
            self.starting.entry(start.clone()).or_default().insert(job.name.clone());
        }
        self.jobs.insert(job.name.clone(), tracked);
    }

    fn forget_start(&mut self, name: &JobName) {
        let Some(start) = self.jobs.get(name).and_then(|job| job.start.as_ref()) else { return };
        if let Some(starting) = self.starting.get_mut(start) {
            starting.remove(name);
            if starting.is_empty() {
                self.starting.remove(start);
            }
        }
    }

    fn forget_announced(&mut self, name: &JobName) {
        for code in EventCode::OF_A_STOP {
            self.announced.remove(&Event::job(code, name));
        }
    }

    /// Whether the end of all jobs is not the end.
    pub fn stay_up(&mut self, stays_up: bool) {
        self.stays_up = stays_up;
    }

    /// A job is told to stop, while everything else goes on.
    pub fn leave(&mut self, name: &JobName) {
        if let Some(job) = self.jobs.get_mut(name) {
            job.leaving = true;
        }
    }

    /// A job that left has stopped, and belongs to the config still: it may be started again.
    pub fn stay_away(&mut self, name: &JobName) {
        if let Some(job) = self.jobs.get_mut(name) {
            job.away = true;
            job.stopped = false;
        }
    }

    /// A job is none any more.
    pub fn remove(&mut self, name: &JobName) -> Vec<Action> {
        self.forget_start(name);
        self.jobs.remove(name);
        self.forget_announced(name);
        // A config without jobs stays up.
        self.had_jobs = !self.jobs.is_empty();
        match self.phase {
            Phase::Up if self.only_waits_for_the_end() => self.close(Why::Complete),
            Phase::Up | Phase::Closing { .. } | Phase::Done => Vec::new(),
        }
    }

    /// Whether a job has announced such an event of its stop.
    pub fn is_announced(&self, event: &Event) -> bool {
        self.announced.contains(event)
    }

    /// The jobs that the end waits for.
    pub fn live(&self) -> impl Iterator<Item = &JobName> {
        self.jobs.iter().filter(|(_, job)| !job.is_over() && !job.away).map(|(name, _)| name)
    }

    /// The status of the last run of a job that has stopped.
    pub fn last_code(&self, name: &JobName) -> Option<u8> {
        self.jobs.get(name)?.completion?.code
    }

    /// How a job has stopped.
    pub fn completion(&self, name: &JobName) -> Option<Completion> {
        self.jobs.get(name)?.completion
    }

    /// Whether a job may still do something.
    pub fn is_live(&self, name: &JobName) -> bool {
        self.jobs.get(name).is_some_and(|job| !job.stopped && !job.away)
    }

    /// Whether a job has stopped for good, by itself or by hand, and has left nothing behind.
    pub fn is_over(&self, name: &JobName) -> bool {
        self.jobs.get(name).is_some_and(|job| (job.stopped && job.leaves == Leaves::Nothing) || job.away)
    }

    /// Whether a job was stopped by hand.
    pub fn is_away(&self, name: &JobName) -> bool {
        self.jobs.get(name).is_some_and(|job| job.away)
    }

    /// Whether a job that has stopped has left something behind.
    pub fn leaves_something(&self, name: &JobName) -> bool {
        self.jobs.get(name).is_some_and(|job| job.stopped && job.leaves != Leaves::Nothing)
    }

    /// What a job left behind is gone.
    pub fn released(&mut self, name: &JobName) -> Vec<Action> {
        let Some(job) = self.jobs.get_mut(name) else { return Vec::new() };
        job.leaves = Leaves::Nothing;
        if job.leaving && self.phase == Phase::Up {
            return Vec::new();
        }
        self.over(name)
    }

    /// A job can never start, or has given up its wait: with it goes everything, if it is what everything is for.
    pub fn blocked(&mut self, name: &JobName) -> Vec<Action> {
        let Some(job) = self.jobs.get(name) else { return Vec::new() };
        if self.phase != Phase::Up || job.leaving || job.away || !(job.main || job.required) {
            return Vec::new();
        }
        self.blocked_code = Some(self.failed_source(name).unwrap_or(1));
        self.close(Why::NeverStarts(name.clone()))
    }

    /// The status of the last run of the job that this one waits for, if that failed.
    fn failed_source(&self, name: &JobName) -> Option<u8> {
        match &self.jobs.get(name)?.start.as_ref()?.source {
            Source::Job(source) | Source::Check(source) => self.last_code(source).filter(|code| *code != 0),
            Source::Global | Source::Watch(_) | Source::Signal(_) | Source::Reason(_) => None,
        }
    }

    /// Whether the end is under way.
    pub fn is_closing(&self) -> bool {
        self.phase != Phase::Up
    }

    /// SIGTERM or SIGINT came. Further ones change nothing.
    pub fn asked(&mut self) -> Vec<Action> {
        match self.phase {
            Phase::Up => self.close(Why::Asked),
            Phase::Closing { .. } | Phase::Done => Vec::new(),
        }
    }

    /// Why everything ends, once it does.
    pub fn why(&self) -> Option<&Why> {
        self.why.as_ref()
    }

    fn close(&mut self, why: Why) -> Vec<Action> {
        let asked = why == Why::Asked;
        self.why = Some(why);
        self.phase = Phase::Closing { asked, turn_of_last: false };
        self.jobs.retain(|_, job| !job.away);
        let mut actions = vec![Action::PublishShutdown];
        for (name, job) in &self.jobs {
            if job.last.counts(asked) && !job.stopped {
                actions.push(Action::Linger(name.clone()));
            }
        }
        actions.extend(self.shut_down(asked, false));
        actions.extend(self.settle());
        actions
    }

    /// The jobs that are `last`, or those that are not.
    fn shut_down(&self, asked: bool, last: bool) -> Vec<Action> {
        let concerned = self.jobs.iter().filter(|(_, job)| !job.is_over() && job.last.counts(asked) == last);
        let command = |(name, job): (&JobName, &Tracked)| {
            let start_may_come = self.start_may_come(name, job);
            Action::ShutDown { job: name.clone(), start_may_come }
        };
        concerned.map(command).collect()
    }

    /// Whether the stop that a job waits for is still to be announced: not by itself, nor by a job that is missing or gone.
    fn start_may_come(&self, name: &JobName, job: &Tracked) -> bool {
        let Some(Event { code, source: Source::Job(source) }) = &job.start else { return false };
        if !EventCode::OF_A_STOP.contains(code) {
            return false;
        }
        let announced = job.start.as_ref().is_some_and(|start| self.announced.contains(start));
        source != name && !announced && self.jobs.get(source).is_some_and(|source| !source.stopped)
    }

    /// A job that waits for another one's stop says so.
    pub fn standing_by(&mut self, name: &JobName) -> Vec<Action> {
        let announced = &self.announced;
        if let Some(job) = self.jobs.get_mut(name) {
            // Its start event may have overtaken its word: then it runs by now.
            job.standing_by = !job.start.as_ref().is_some_and(|start| announced.contains(start));
        }
        self.settle()
    }

    /// How a job ended. Its `stopped` follows.
    pub fn completed(&mut self, name: &JobName, completion: Completion) {
        let Some(job) = self.jobs.get_mut(name) else { return };
        job.leaves = completion.leaves;
        job.completion = Some(completion);
        if job.leaving && self.phase == Phase::Up {
            return;
        }
        let code = completion.code.unwrap_or(0);
        if completion.gave_up && (job.main || job.required) && self.phase == Phase::Up {
            self.blocked_code = Some(self.failed_source(name).unwrap_or(1));
            return;
        }
        if job.main {
            self.main_code = Some(code);
        }
        if job.required && completion.by_itself && code != 0 && self.required_failure.is_none() {
            self.required_failure = Some(code);
        }
        if completion.by_itself && code != 0 && self.first_failure.is_none() {
            self.first_failure = Some(code);
        }
    }

    /// A job told of its stop. Jobs that share a name in the config emit events of that.
    pub fn event(&mut self, name: &JobName, event: &Event) -> Vec<Action> {
        if !EventCode::OF_A_STOP.contains(&event.code) {
            return Vec::new();
        }
        self.announced.insert(event.clone());
        for starts in self.starting.get(event).into_iter().flatten() {
            if let Some(job) = self.jobs.get_mut(starts) {
                job.standing_by = false;
            }
        }
        if event.code != EventCode::Stopped {
            return self.settle();
        }
        let Some(job) = self.jobs.get_mut(name) else { return Vec::new() };
        if job.leaving && self.phase == Phase::Up {
            return Vec::new();
        }
        job.stopped = true;
        self.over(name)
    }

    /// A job has stopped, and perhaps nothing is left of it.
    fn over(&mut self, name: &JobName) -> Vec<Action> {
        let main = self.jobs.get(name).is_some_and(|job| job.main && job.is_over());
        match self.phase {
            Phase::Up if self.blocked_code.is_some() => self.close(Why::NeverStarts(name.clone())),
            Phase::Up if main => self.close(Why::MainEnded(name.clone())),
            Phase::Up if self.required_failure.is_some() => self.close(Why::RequiredFailed(name.clone())),
            Phase::Up if self.only_waits_for_the_end() => self.close(Why::Complete),
            Phase::Up | Phase::Closing { .. } | Phase::Done => self.settle(),
        }
    }

    /// Whether every job is complete but those that wait for the shutdown.
    fn only_waits_for_the_end(&self) -> bool {
        let done = |job: &Tracked| job.is_over() || job.start.as_ref() == Some(&Event::SHUTDOWN);
        self.had_jobs && !self.stays_up && self.jobs.values().all(done)
    }

    /// Ends it if all jobs have stopped, or sends home those that wait for each other.
    fn settle(&mut self) -> Vec<Action> {
        let Phase::Closing { asked, turn_of_last } = self.phase else { return Vec::new() };
        let live = self.jobs.iter().filter(|(_, job)| !job.is_over() && (turn_of_last || !job.last.counts(asked)));
        let live: Vec<(&JobName, &Tracked)> = live.collect();
        if live.is_empty() && !turn_of_last {
            self.phase = Phase::Closing { asked, turn_of_last: true };
            let mut actions = self.shut_down(asked, true);
            actions.extend(self.settle());
            return actions;
        }
        if live.is_empty() {
            self.phase = Phase::Done;
            return vec![Action::Finish(self.exit_code(asked))];
        }
        if live.iter().all(|(_, job)| job.standing_by) {
            return live.iter().map(|(name, _)| Action::StandDown((*name).clone())).collect();
        }
        Vec::new()
    }

    fn exit_code(&self, asked: bool) -> u8 {
        if let Some(code) = self.required_failure.or(self.blocked_code) {
            return code;
        }
        if self.jobs.values().any(|job| job.main) {
            return self.main_code.unwrap_or(0);
        }
        if asked { 0 } else { self.first_failure.unwrap_or(0) }
    }
}

#[cfg(test)]
mod tests;
