//! What a new config changes, and in which order (discovery-semantics section 7).
//!
//! ```text
//! live --changed--> leaving --stopped--> awaited by none --> starts as new
//! live --removed--> leaving --stopped--> gone
//!      new --------------------------> awaited by none --> starts
//! ```
//!
//! A job starts once its old self has stopped, and those of the jobs that start at one of its events: they would miss it.
//! Not here: how a job stops; that is `policy::job`.

use std::collections::{BTreeMap, BTreeSet};

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
    job: JobSpec,
    /// The old jobs that have to stop before.
    awaits: BTreeSet<JobName>,
}

/// A change that is under way.
#[derive(Debug, Default)]
pub struct ReloadPolicy {
    /// Told to stop, not stopped yet.
    leaving: BTreeSet<JobName>,
    /// To be started.
    pending: Vec<Pending>,
}

impl ReloadPolicy {
    /// From one config to the next, also while the change before is under way. `has_stopped` tells of completed jobs.
    pub fn change(&mut self, old: &Spec, new: &Spec, has_stopped: impl Fn(&JobName) -> bool) -> Step {
        let mut step = Step::default();
        let mut kept = BTreeSet::new();
        let mut stopping = Vec::new();
        for job in &old.jobs {
            if self.leaving.contains(&job.name) || self.is_pending(&job.name) {
                continue;
            }
            if stays(job, new) {
                kept.insert(job.name.clone());
            } else if has_stopped(&job.name) {
                step.discard.push(job.name.clone());
            } else {
                stopping.push(job);
            }
        }
        self.leaving.extend(stopping.iter().map(|job| job.name.clone()));
        let (killed, stopping): (Vec<_>, Vec<_>) =
            stopping.into_iter().partition(|job| job.on_reload == OnReload::Replace);
        step.kill = killed.into_iter().map(|job| job.name.clone()).collect();
        step.stop = in_stop_order(&stopping);
        let starting: Vec<&JobSpec> = new.jobs.iter().filter(|job| !job.init && !kept.contains(&job.name)).collect();
        self.pending = self.pending_of(&starting);
        step.start = self.ready();
        step
    }

    /// A job is stopped by hand, perhaps to be started anew. None if a stop of it is under way.
    pub fn replace(&mut self, job: &JobSpec, again: bool) -> Option<Step> {
        if !self.leaving.insert(job.name.clone()) {
            return None;
        }
        if again {
            let awaits = BTreeSet::from([job.name.clone()]);
            self.pending.push(Pending { job: job.clone(), awaits });
        }
        Some(Step { stop: vec![(job.name.clone(), false)], ..Step::default() })
    }

    /// Whether a job has been told to stop, so that its end is no completion.
    pub fn is_leaving(&self, name: &JobName) -> bool {
        self.leaving.contains(name)
    }

    fn is_pending(&self, name: &JobName) -> bool {
        self.pending.iter().any(|pending| pending.job.name == *name)
    }

    /// A job has stopped.
    pub fn stopped(&mut self, name: &JobName) -> Step {
        if !self.leaving.remove(name) {
            return Step::default();
        }
        for pending in &mut self.pending {
            pending.awaits.remove(name);
        }
        Step { discard: vec![name.clone()], start: self.ready(), ..Step::default() }
    }

    /// Everything ends: nothing starts any more.
    pub fn abandon(&mut self) {
        self.leaving.clear();
        self.pending.clear();
    }

    fn ready(&mut self) -> Vec<JobSpec> {
        let (ready, pending) = std::mem::take(&mut self.pending).into_iter().partition(|job| job.awaits.is_empty());
        self.pending = pending;
        let ready: Vec<Pending> = ready;
        ready.into_iter().map(|pending| pending.job).collect()
    }

    /// Who awaits whose stop: each its own old self, and whoever its dependants await.
    fn pending_of(&self, starting: &[&JobSpec]) -> Vec<Pending> {
        let own = |job: &&JobSpec| self.leaving.get(&job.name).cloned().into_iter().collect();
        let mut pending: Vec<Pending> =
            starting.iter().map(|job| Pending { job: (*job).clone(), awaits: own(job) }).collect();
        loop {
            let mut inherited: BTreeMap<JobName, BTreeSet<JobName>> = BTreeMap::new();
            for Pending { job, awaits } in &pending {
                if let Some(source) = source(job) {
                    inherited.entry(source.clone()).or_default().extend(awaits.iter().cloned());
                }
            }
            let mut grew = false;
            for Pending { job, awaits } in &mut pending {
                let before = awaits.len();
                awaits.extend(inherited.get(&job.name).into_iter().flatten().cloned());
                grew |= awaits.len() > before;
            }
            if !grew {
                return pending;
            }
        }
    }
}

/// Whether a job goes on as it is.
fn stays(job: &JobSpec, new: &Spec) -> bool {
    job.init || new.jobs.iter().any(|other| other.name == job.name && is_left_alone(job, other))
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
    let at_stop_of = |job: &JobSpec| match job.start.event() {
        Some(Event { code, source: Source::Job(name) }) if EventCode::OF_A_STOP.contains(code) => {
            stopping.iter().any(|other| other.name == *name).then(|| name.clone())
        }
        Some(_) | None => None,
    };
    let mut will_stop: BTreeSet<&JobName> = BTreeSet::new();
    let mut waiting: Vec<(&JobSpec, Option<JobName>)> = stopping.iter().map(|job| (*job, at_stop_of(job))).collect();
    loop {
        let before = waiting.len();
        waiting.retain(|(job, source)| {
            let settled = source.as_ref().is_none_or(|source| will_stop.contains(source));
            if settled {
                will_stop.insert(&job.name);
            }
            !settled
        });
        if waiting.len() == before {
            break;
        }
    }
    let in_circle: BTreeSet<&JobName> = waiting.iter().map(|(job, _)| &job.name).collect();
    let may_start = |job: &JobSpec| at_stop_of(job).is_some() && !in_circle.contains(&job.name);
    // Whoever waits is told first, so that it knows by the time of the event.
    let mut order: Vec<(JobName, bool)> = stopping.iter().map(|job| (job.name.clone(), may_start(job))).collect();
    order.sort_by_key(|(_, may_start)| !may_start);
    order
}

#[cfg(test)]
mod tests;
