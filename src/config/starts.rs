//! Start events that cannot come: sources that name nothing, and jobs that wait for each other (D7).
//!
//! 3.8 says nothing, and the job never runs. A warning, since the rest of the config may do.

use std::collections::{HashMap, HashSet};

use containerpilot_actors::event::{Event, EventCode, Source};
use containerpilot_actors::spec::{JobSpec, WatchSpec};

use super::problem::nearest;
use super::raw_v3::Field;
use super::reader::{Reader, Scope};

/// How the start of a job is written.
#[derive(Clone, Debug)]
pub struct Start<'a> {
    /// The job's `when`, or the job.
    pub when: Scope,
    /// `when.source`
    pub source: Field<'a>,
    /// Whether `when.each` is set.
    pub each: bool,
    /// `when.merge`
    pub merges: bool,
    /// Whether `when` names an event, rather than an interval.
    pub has_event: bool,
}

impl<'a> Start<'a> {
    /// A job without a `when`.
    pub fn none(scope: Scope) -> Self {
        Self { when: scope, source: Field { name: "source", node: None }, each: false, merges: false, has_event: false }
    }
}

/// The name of the job that telemetry is in 3.8.
const TELEMETRY: &str = "containerpilot";

/// Warns of start events that cannot come. `starts` are those of `jobs`.
pub fn check(jobs: &[JobSpec], watches: &[WatchSpec], telemetry: bool, starts: &[Start<'_>], reader: &mut Reader) {
    let mut names: HashSet<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
    if telemetry {
        names.insert(TELEMETRY);
    }
    let watch_names: HashSet<&str> = watches.iter().map(|watch| watch.name.as_str()).collect();
    for (job, start) in jobs.iter().zip(starts) {
        if let Some(event) = job.start.event()
            && start.has_event
            && let Some(says) = never_comes(event, &names, &watch_names)
        {
            reader.warning(&start.when, start.source, format!("{says}, so that `{}` never starts", job.name));
        }
    }
    cycles(jobs, starts, reader);
}

fn never_comes(event: &Event, jobs: &HashSet<&str>, watches: &HashSet<&str>) -> Option<String> {
    let unknown = |what: &str, name: &str, names: &HashSet<&str>| {
        let mut names: Vec<&str> = names.iter().copied().collect();
        names.sort_unstable();
        let hint = nearest(name, names).map(|name| format!(" (perhaps `{name}`)")).unwrap_or_default();
        Some(format!("`{}` names no {what}{hint}", super::node::shortened(name)))
    };
    match &event.source {
        Source::Job(name) if !jobs.contains(name.as_str()) => unknown("job", name.as_str(), jobs),
        Source::Check(name) if !jobs.contains(name.as_str()) => unknown("job with a check", name.as_str(), jobs),
        Source::Watch(name) if !watches.contains(name.as_str()) => unknown("watch", name.as_str(), watches),
        Source::Job(_) | Source::Check(_) | Source::Watch(_) if event.code.is_global() => {
            Some("the event is one of the whole process, it needs the source `global` or none".to_owned())
        }
        Source::Global if !event.code.is_global() => {
            Some("the event needs a source: a job, a watch or a signal".to_owned())
        }
        Source::Global
        | Source::Job(_)
        | Source::Check(_)
        | Source::Watch(_)
        | Source::Signal(_)
        | Source::Reason(_) => None,
    }
}

/// Each job waits for one other at most, so that following the sources finds every cycle.
fn cycles(jobs: &[JobSpec], starts: &[Start<'_>], reader: &mut Reader) {
    let indices: HashMap<&str, usize> = jobs.iter().enumerate().map(|(i, job)| (job.name.as_str(), i)).collect();
    let next = |job: usize| {
        let event = jobs[job].start.event()?;
        // A job that gives up its wait tells so without ever having run.
        let name = match &event.source {
            Source::Job(name) | Source::Check(name) if event.code != EventCode::TimerExpired => name,
            Source::Job(_)
            | Source::Check(_)
            | Source::Global
            | Source::Watch(_)
            | Source::Signal(_)
            | Source::Reason(_) => {
                return None;
            }
        };
        indices.get(name.as_str()).copied()
    };
    let mut seen = vec![false; jobs.len()];
    for first in 0..jobs.len() {
        let mut way = Vec::new();
        let mut job = Some(first);
        while let Some(at) = job.filter(|at| !seen[*at]) {
            seen[at] = true;
            way.push(at);
            job = next(at);
        }
        let Some(start) = job.and_then(|at| way.iter().position(|visited| *visited == at)) else { continue };
        let cycle = &way[start..];
        if can_begin(cycle, jobs) {
            continue;
        }
        let names: Vec<String> = cycle.iter().map(|at| format!("`{}`", jobs[*at].name)).collect();
        let says = match names.as_slice() {
            [name] => format!("{name} waits for an event of its own, so that it never starts"),
            names => format!("{} wait for each other in a cycle, so that they never start", names.join(", ")),
        };
        reader.warning(&starts[cycle[0]].when, starts[cycle[0]].source, says);
    }
}

/// A job that gives up its wait stops, which starts those that wait for its stop.
fn can_begin(cycle: &[usize], jobs: &[JobSpec]) -> bool {
    let waits_for_stop = |at: usize| {
        jobs[at].start.event().is_some_and(|event| matches!(event.code, EventCode::Stopping | EventCode::Stopped))
    };
    cycle.iter().any(|at| waits_for_stop(*at)) && cycle.iter().any(|at| jobs[*at].wait_timeout.is_some())
}
