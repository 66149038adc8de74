//! What a new config changes, and in which order (discovery-semantics section 7).
//!
//! ```text
//! live --changed--> leaving --stopped--> awaits none --> starts as new
//! live --removed--> leaving --stopped--> gone
//! live --stopped by hand--> leaving --stopped--> held --order, changed--> starts as new
//!      new --------------------------> awaits none --> starts
//! ```
//!
//! What a reload starts waits for the old runs of the job itself, of every job that is removed (a renamed one is one of them), and of
//! its own source. What its source has said before counts then, if the source is unchanged (`policy::job`, standing facts).
//! Not here: how a job stops; that is `policy::job`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::event::{Event, EventCode, JobName, Source};
use crate::spec::{CatalogSpec, JobSpec, OnReload, Spec};

/// What becomes of what is in two configs, by name: jobs, and watches as `watch.NAME`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// In both, but not the same.
    pub changed: Vec<String>,
    /// The same in both, but started anew by every reload.
    pub restarted: Vec<String>,
    /// In the new one only.
    pub added: Vec<String>,
    /// In the old one only.
    pub removed: Vec<String>,
    /// In both, and goes on as it is.
    pub unchanged: Vec<String>,
    /// The parts of the config other than jobs and watches that are not the same.
    pub settings: Vec<&'static str>,
}

impl Diff {
    /// Compares definitions; their order does not matter.
    pub fn between(old: &Spec, new: &Spec) -> Self {
        let mut diff = Self::default();
        diff.compare(&old.jobs, &new.jobs, |job| job.name.to_string(), is_left_alone);
        diff.compare(&old.watches, &new.watches, |watch| format!("watch.{}", watch.name), |old, new| old == new);
        let catalog = new.catalog.as_ref().or(old.catalog.as_ref());
        let settings = [
            (catalog.map_or("consul", CatalogSpec::word), old.catalog != new.catalog),
            ("control", old.control != new.control),
            ("logging", old.logging != new.logging),
            ("stopTimeout", old.stop_timeout != new.stop_timeout),
            ("telemetry", old.telemetry != new.telemetry),
        ];
        diff.settings.extend(settings.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name));
        diff
    }

    fn compare<T: PartialEq>(
        &mut self,
        old: &[T],
        new: &[T],
        name: impl Fn(&T) -> String,
        goes_on: impl Fn(&T, &T) -> bool,
    ) {
        let before: BTreeMap<String, &T> = old.iter().map(|item| (name(item), item)).collect();
        for item in new {
            let list = match before.get(&name(item)) {
                None => &mut self.added,
                Some(before) if goes_on(before, item) => &mut self.unchanged,
                Some(before) if *before == item => &mut self.restarted,
                Some(_) => &mut self.changed,
            };
            list.push(name(item));
        }
        let after: BTreeSet<String> = new.iter().map(&name).collect();
        self.removed.extend(before.into_keys().filter(|name| !after.contains(name)));
    }
}

/// Gives jobs that share a name in the config the unique names of those in the old one that they are: those of equal definition
/// first, then in order. So a twin that is the same goes on when the other one changes or goes.
pub fn pair_twins(old: &Spec, new: &mut Spec) {
    let shared: BTreeSet<JobName> = old.jobs.iter().chain(&new.jobs).filter_map(|job| job.twin_of.clone()).collect();
    for name in shared {
        let mut before: Vec<&JobSpec> = old.jobs.iter().filter(|job| *job.configured_name() == name).collect();
        let places: Vec<usize> =
            (0..new.jobs.len()).filter(|place| *new.jobs[*place].configured_name() == name).collect();
        let same = |old: &JobSpec, new: &JobSpec| {
            *old == JobSpec { name: old.name.clone(), twin_of: old.twin_of.clone(), ..new.clone() }
        };
        let mut names: Vec<Option<JobName>> = vec![None; places.len()];
        for (place, paired) in places.iter().zip(&mut names) {
            let found = before.iter().position(|old| same(old, &new.jobs[*place]));
            *paired = found.map(|at| before.remove(at).name.clone());
        }
        let mut left = before.into_iter().map(|job| job.name.clone());
        for paired in &mut names {
            *paired = paired.take().or_else(|| left.next());
        }
        let others = new.jobs.iter().filter(|job| *job.configured_name() != name).map(|job| job.name.clone());
        let mut taken: BTreeSet<JobName> = others.chain(names.iter().flatten().cloned()).collect();
        for (place, paired) in places.into_iter().zip(names) {
            let unpaired = || {
                if taken.contains(&name) {
                    free_twin(&name, FIRST_TWIN, |name| taken.contains(name)).0
                } else {
                    name.clone()
                }
            };
            let given = paired.unwrap_or_else(unpaired);
            taken.insert(given.clone());
            new.jobs[place].twin_of = Some(name.clone());
            new.jobs[place].name = given;
        }
    }
}

/// The number of the first twin of a job.
pub const FIRST_TWIN: u64 = 2;

/// `NAME#2`, or with the first number from `from` on that no other job has; and that number.
pub fn free_twin(name: &JobName, from: u64, taken: impl Fn(&JobName) -> bool) -> (JobName, u64) {
    let mut names = (from..u64::MAX).map(|number| (JobName::new(format!("{name}#{number}")), number));
    names.find(|(name, _)| !taken(name)).unwrap_or_else(|| (name.clone(), from))
}

/// What the supervisor has to do, in this order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// These stop. With the flag: they start at the stop of another one that is still to be announced, and may.
    pub stop: Vec<(JobName, bool)>,
    /// These are killed.
    pub kill: Vec<JobName>,
    /// These have stopped, and are forgotten.
    pub discard: Vec<JobName>,
    /// These start as new, once all of them are subscribed.
    pub start: Vec<JobSpec>,
}

#[derive(Clone, Debug)]
struct Pending {
    job: Box<JobSpec>,
    /// The old jobs that have to stop before: its own old self, and that of the job at whose event it starts.
    awaits: BTreeSet<JobName>,
    /// Whether a reload starts it. Then it also waits for every job that reloads have removed.
    by_reload: bool,
}

/// A change that is under way.
#[derive(Debug, Default)]
pub struct ReloadPolicy {
    /// Told to stop, not stopped yet.
    leaving: BTreeSet<JobName>,
    /// Those of them that the config has no more.
    removed: BTreeSet<JobName>,
    /// Stopped by hand: they stay so until an order, or a reload that changes them.
    held: BTreeSet<JobName>,
    /// To be started, in the config's order.
    pending: BTreeMap<usize, Pending>,
    /// Which of them await the stop of a job.
    awaited_by: HashMap<JobName, Vec<usize>>,
    next: usize,
}

impl ReloadPolicy {
    /// From one config to the next, also while the change before is under way. `is_over` tells of jobs that have stopped and left
    /// nothing behind.
    pub fn change(&mut self, old: &Spec, new: &Spec, is_over: impl Fn(&JobName) -> bool) -> Step {
        let mut step = Step::default();
        let mut kept = BTreeSet::new();
        let mut stopping = Vec::new();
        let successors: HashMap<&JobName, &JobSpec> = new.jobs.iter().map(|job| (&job.name, job)).collect();
        // What was removed before, and is back, is the old self of the new one.
        self.removed.retain(|name| !successors.contains_key(name));
        let pending: HashSet<JobName> = self.pending.values().map(|pending| pending.job.name.clone()).collect();
        for job in &old.jobs {
            let successor = successors.get(&job.name);
            let stays = job.init || successor.is_some_and(|new| is_left_alone(job, new));
            if !stays {
                self.held.remove(&job.name);
            }
            if self.leaving.contains(&job.name) {
                if successor.is_none() {
                    self.removed.insert(job.name.clone());
                }
            } else if pending.contains(&job.name) {
                // It has not started: the new definition takes its place.
            } else if stays {
                kept.insert(job.name.clone());
            } else if is_over(&job.name) {
                step.discard.push(job.name.clone());
            } else {
                stopping.push(job);
            }
        }
        self.leaving.extend(stopping.iter().map(|job| job.name.clone()));
        let gone = stopping.iter().filter(|job| !successors.contains_key(&job.name));
        self.removed.extend(gone.map(|job| job.name.clone()));
        let (killed, stopping): (Vec<_>, Vec<_>) =
            stopping.into_iter().partition(|job| job.on_reload == OnReload::Replace);
        step.kill = killed.into_iter().map(|job| job.name.clone()).collect();
        step.stop = in_stop_order(&stopping);
        let starting =
            new.jobs.iter().filter(|job| !job.init && !kept.contains(&job.name) && !self.held.contains(&job.name));
        let starting: Vec<Pending> = starting.map(|job| self.pending_of(job)).collect();
        self.pending.clear();
        self.awaited_by.clear();
        for pending in starting {
            self.add(pending);
        }
        step.start = self.ready();
        step
    }

    fn add(&mut self, pending: Pending) {
        for name in &pending.awaits {
            self.awaited_by.entry(name.clone()).or_default().push(self.next);
        }
        self.pending.insert(self.next, pending);
        self.next += 1;
    }

    fn pending_of(&self, job: &JobSpec) -> Pending {
        let awaited = [Some(&job.name), source(job)].into_iter().flatten();
        let awaits = awaited.filter(|name| self.leaving.contains(*name)).cloned().collect();
        Pending { job: Box::new(job.clone()), awaits, by_reload: true }
    }

    /// A job is stopped by hand, perhaps to be started anew. None if a stop of it is under way.
    pub fn replace(&mut self, job: &JobSpec, again: bool) -> Option<Step> {
        if !self.leaving.insert(job.name.clone()) {
            return None;
        }
        if again {
            let awaits = BTreeSet::from([job.name.clone()]);
            self.add(Pending { job: Box::new(job.clone()), awaits, by_reload: false });
        } else {
            self.held.insert(job.name.clone());
        }
        Some(Step { stop: vec![(job.name.clone(), false)], ..Step::default() })
    }

    /// A job that is to be started is started by hand, without waiting for others; also one that was stopped by hand.
    pub fn start_now(&mut self, job: &JobSpec) -> Step {
        self.held.remove(&job.name);
        self.pending.retain(|_, pending| pending.job.name != job.name);
        Step { discard: vec![job.name.clone()], start: vec![job.clone()], ..Step::default() }
    }

    /// A job that is to be started is not, until it is started by hand. False if it was not to be.
    pub fn hold(&mut self, name: &JobName) -> bool {
        let before = self.pending.len();
        self.pending.retain(|_, pending| pending.job.name != *name);
        let was_pending = self.pending.len() < before;
        if was_pending {
            self.held.insert(name.clone());
        }
        was_pending
    }

    /// Whether a job has been told to stop, so that its end is no completion.
    pub fn is_leaving(&self, name: &JobName) -> bool {
        self.leaving.contains(name)
    }

    /// A job has stopped, and nothing is left of it.
    pub fn stopped(&mut self, name: &JobName) -> Step {
        if !self.leaving.remove(name) {
            return Step::default();
        }
        let all_removed_are_gone = self.removed.remove(name) && self.removed.is_empty();
        let waited = self.awaited_by.remove(name).unwrap_or_default();
        for place in &waited {
            if let Some(pending) = self.pending.get_mut(place) {
                pending.awaits.remove(name);
            }
        }
        // Of thousands, one stop frees a few.
        let start = if all_removed_are_gone { self.ready() } else { self.ready_of(waited) };
        Step { discard: vec![name.clone()], start, ..Step::default() }
    }

    /// Everything ends: nothing starts any more.
    pub fn abandon(&mut self) {
        *self = Self::default();
    }

    fn ready(&mut self) -> Vec<JobSpec> {
        self.ready_of(self.pending.keys().copied().collect())
    }

    fn ready_of(&mut self, places: Vec<usize>) -> Vec<JobSpec> {
        let free = self.removed.is_empty();
        let mut ready = Vec::new();
        for place in places {
            let is_ready = |pending: &Pending| pending.awaits.is_empty() && (free || !pending.by_reload);
            if self.pending.get(&place).is_some_and(is_ready) {
                ready.extend(self.pending.remove(&place).map(|pending| *pending.job));
            }
        }
        ready
    }
}

/// Whether a job goes on as it is, now that its config has become this one.
fn is_left_alone(old: &JobSpec, new: &JobSpec) -> bool {
    let is_left = match new.on_reload {
        OnReload::IfChanged => new == old,
        OnReload::Restart | OnReload::Replace => false,
        OnReload::Keep => true,
    };
    old.init || is_left
}

/// The job at whose events this one starts.
fn source(job: &JobSpec) -> Option<&JobName> {
    let event = job.start.event()?;
    match &event.source {
        Source::Job(name) | Source::Check(name) => Some(name),
        Source::Global | Source::Watch(_) | Source::Signal(_) | Source::Reason(_) => None,
    }
}

/// Jobs at the stop of others that leave, too, still do their work; but not those that wait for each other.
fn in_stop_order(stopping: &[&JobSpec]) -> Vec<(JobName, bool)> {
    let by_name: HashMap<&JobName, usize> = stopping.iter().enumerate().map(|(at, job)| (&job.name, at)).collect();
    let source_of = |job: &JobSpec| match job.start.event() {
        Some(Event { code, source: Source::Job(name) }) if EventCode::OF_A_STOP.contains(code) => {
            by_name.get(name).copied()
        }
        Some(_) | None => None,
    };
    let sources: Vec<Option<usize>> = stopping.iter().map(|job| source_of(job)).collect();
    // Each waits for one at most, so that every chain is followed once: what has been seen in an earlier one is known.
    let mut will_stop: Vec<Option<bool>> = vec![None; stopping.len()];
    for first in 0..stopping.len() {
        let (mut chain, mut at) = (Vec::new(), Some(first));
        let end = loop {
            match at {
                None => break true,
                Some(at) if will_stop[at].is_some_and(|known| known) => break true,
                // Known not to, or met again.
                Some(at) if will_stop[at].is_some() => break false,
                Some(place) => {
                    will_stop[place] = Some(false);
                    chain.push(place);
                    at = sources[place];
                }
            }
        };
        for place in chain {
            will_stop[place] = Some(end);
        }
    }
    let may_start = |at: usize| sources[at].is_some() && will_stop[at] == Some(true);
    // Whoever waits is told first, so that it knows by the time of the event.
    let mut order: Vec<(JobName, bool)> =
        stopping.iter().enumerate().map(|(at, job)| (job.name.clone(), may_start(at))).collect();
    order.sort_by_key(|(_, may_start)| !may_start);
    order
}

#[cfg(test)]
mod tests;
