//! Start events that cannot come: sources that name nothing, and jobs that wait for each other (D7).
//!
//! 3.8 says nothing, and the job never runs. A warning, since the rest of the config may do.

use std::collections::{HashMap, HashSet};

use containerpilot_actors::event::{Event, EventCode, Source};
use containerpilot_actors::spec::{JobSpec, StartRule, WatchSpec};

use super::node::shortened;
use super::problem::nearest;
use super::raw_v3::Field;
use super::reader::{Reader, Scope};

/// How the start of a job is written.
#[derive(Clone, Debug)]
pub struct Start<'a> {
    /// The job.
    pub job: Scope,
    /// Its `health`.
    pub health: Field<'a>,
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
        let left_out = |name| Field { name, node: None };
        let (health, source) = (left_out("health"), left_out("source"));
        Self { job: scope.clone(), health, when: scope, source, each: false, merges: false, has_event: false }
    }
}

/// The name of the job that telemetry is in 3.8.
const TELEMETRY: &str = "containerpilot";

/// Warns of start events that cannot come. `starts` are those of `jobs`.
pub fn check(jobs: &[JobSpec], watches: &[WatchSpec], telemetry: bool, starts: &[Start<'_>], reader: &mut Reader) {
    let mut known = Known {
        jobs: jobs.iter().map(|job| (job.configured_name().as_str(), has_check(job))).collect(),
        watches: watches.iter().map(|watch| watch.name.as_str()).collect(),
    };
    for job in jobs.iter().filter(|job| has_check(job)) {
        // Of several jobs with one name, one check will do.
        known.jobs.insert(job.configured_name().as_str(), true);
    }
    if telemetry {
        known.jobs.entry(TELEMETRY).or_insert(true);
    }
    let mut never: HashSet<usize> = HashSet::new();
    for (index, (job, start)) in jobs.iter().zip(starts).enumerate() {
        if job.start == StartRule::Never {
            never.insert(index);
        }
        if let Some(event) = job.start.event()
            && start.has_event
            && let Some(says) = never_comes(event, &known)
        {
            reader.warning(&start.when, start.source, format!("{says}, so that `{}` never starts", job.name));
            never.insert(index);
        }
    }
    cycles(jobs, starts, &mut never, reader);
    consequences(jobs, starts, never, reader);
}

/// Whether a job can be healthy: without a program nothing is checked.
fn has_check(job: &JobSpec) -> bool {
    job.health.as_ref().is_some_and(|health| health.exec.is_some())
}

/// What start events can name.
struct Known<'a> {
    /// The jobs, and whether each has a check.
    jobs: HashMap<&'a str, bool>,
    watches: HashSet<&'a str>,
}

/// Warns of what follows if these jobs never start: others wait for them, and checks are never made.
fn consequences(jobs: &[JobSpec], starts: &[Start<'_>], mut never: HashSet<usize>, reader: &mut Reader) {
    let of_a_run = |code| {
        use EventCode::{ExitFailed, ExitSuccess, StatusHealthy, StatusUnhealthy};
        matches!(code, ExitFailed | ExitSuccess | StatusHealthy | StatusUnhealthy)
    };
    // How many jobs of each name may start, and who waits for a run of one.
    let mut starters: HashMap<&str, usize> = HashMap::new();
    let mut waiting: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, job) in jobs.iter().enumerate() {
        *starters.entry(job.configured_name().as_str()).or_default() += 1;
        if let Some(Event { code, source: Source::Job(name) | Source::Check(name) }) = job.start.event()
            && of_a_run(*code)
            && job.wait_timeout.is_none()
        {
            waiting.entry(name.as_str()).or_default().push(at);
        }
    }
    let mut found: Vec<usize> = never.iter().copied().collect();
    while let Some(at) = found.pop() {
        let name = jobs[at].configured_name().as_str();
        let left = starters.entry(name).or_default();
        *left = left.saturating_sub(1);
        if *left > 0 {
            continue;
        }
        for at in waiting.remove(name).unwrap_or_default() {
            if never.insert(at) {
                let (name, its_own) = (shortened(name), shortened(jobs[at].name.as_str()));
                let says = format!("`{name}` never starts, so that `{its_own}` never starts either");
                reader.doubt(&starts[at].when, starts[at].source, says);
                found.push(at);
            }
        }
    }
    for at in never {
        if jobs[at].health.is_some() && starts[at].health.node.is_some() {
            let name = shortened(jobs[at].name.as_str());
            let says = format!("`{name}` never starts, so that it is never checked");
            reader.doubt(&starts[at].job, starts[at].health, says);
        }
    }
}

/// The event that a word of `when` names.
pub fn event_code(scope: &Scope, field: Field<'_>, word: &str, reader: &mut Reader) -> Option<EventCode> {
    if let Some(code) = EventCode::from_word(word) {
        return Some(code);
    }
    if let Some(says) = other_signal(word) {
        reader.problem(scope, field, says);
        return None;
    }
    let lower = word.to_lowercase();
    let names = || EventCode::WORDS.iter().map(|(name, _)| *name);
    let meant: Vec<&str> = match lower.as_str() {
        "done" | "ok" | "complete" | "completed" | "finished" | "succeeded" => vec!["exitSuccess"],
        "fail" | "failure" | "crashed" | "exit_failed" => vec!["exitFailed"],
        "ready" | "up" | "passing" => vec!["healthy"],
        "down" | "critical" | "failing" => vec!["unhealthy"],
        "start" | "started" | "boot" => vec!["startup"],
        "timeout" | "timedout" | "expired" => vec!["timerExpired"],
        _ => match nearest(word, names()) {
            Some(name) => vec![name],
            None if lower.len() > 2 => names().filter(|name| name.to_lowercase().contains(&lower)).collect(),
            None => Vec::new(),
        },
    };
    let hint = if meant.is_empty() { String::new() } else { format!(", perhaps `{}`", meant.join("` or `")) };
    reader.refuse(scope, field, &format!("one of {}{hint}", names().collect::<Vec<_>>().join(", ")));
    None
}

/// What there is to say of the name of a signal at which no job can start.
pub fn other_signal(name: &str) -> Option<String> {
    const OTHERS: [&str; 17] = [
        "TERM", "INT", "QUIT", "KILL", "USR1", "CHLD", "ALRM", "STOP", "CONT", "TSTP", "PIPE", "ABRT", "WINCH", "PWR",
        "TTIN", "TTOU", "SEGV",
    ];
    let upper = name.to_uppercase();
    let (short, has_prefix) = match upper.strip_prefix("SIG") {
        Some(short) => (short, true),
        None => (upper.as_str(), false),
    };
    let shown = shortened(name);
    match short {
        "TERM" | "INT" | "QUIT" if has_prefix => Some(format!(
            "`{shown}` stops everything and is no source (`once: \"shutdown\"` without one comes then; `SIGHUP` and `SIGUSR2` are sources)"
        )),
        "HUP" | "USR2" if name != format!("SIG{short}") && (has_prefix || short == "USR2") => {
            Some(format!("`{shown}` is no source, perhaps `SIG{short}`"))
        }
        _ if has_prefix && OTHERS.contains(&short) => {
            Some(format!("`{shown}` is no source, of the signals only `SIGHUP` and `SIGUSR2` are"))
        }
        _ => None,
    }
}

fn never_comes(event: &Event, known: &Known<'_>) -> Option<String> {
    let hint = |name: &str, names: Vec<&str>| {
        let mut names = names;
        names.sort_unstable();
        nearest(name, names).map(|name| format!(" (perhaps `{name}`)")).unwrap_or_default()
    };
    let jobs = || known.jobs.keys().copied().collect::<Vec<_>>();
    let watches = || known.watches.iter().copied().collect::<Vec<_>>();
    let shown = shortened;
    match &event.source {
        Source::Job(_) | Source::Check(_) | Source::Watch(_) if event.code.is_global() => {
            Some("the event is one of the whole process, it needs the source `global` or none".to_owned())
        }
        Source::Job(name) => match known.jobs.get(name.as_str()) {
            None if known.watches.contains(name.as_str()) => {
                let name = shown(name.as_str());
                Some(format!("`{name}` names no job, but a watch, which is `watch.{name}` here"))
            }
            None => match other_signal(name.as_str()) {
                Some(says) => Some(says),
                None => Some(format!("`{}` names no job{}", shown(name.as_str()), hint(name.as_str(), jobs()))),
            },
            Some(has_check) => of_a_job(name.as_str(), event.code, *has_check, known),
        },
        Source::Check(name) => match known.jobs.get(name.as_str()) {
            None => {
                Some(format!("`{}` names no job with a check{}", shown(name.as_str()), hint(name.as_str(), jobs())))
            }
            Some(false) => Some(format!("the job `{}` has no check (`health` with `exec`)", shown(name.as_str()))),
            Some(true) => None,
        },
        Source::Watch(name) if !known.watches.contains(name.as_str()) => {
            let name = name.as_str();
            let but = if known.jobs.contains_key(name) {
                format!(", but a job, which is `{}` here", shown(name))
            } else {
                String::new()
            };
            let hint = if but.is_empty() { hint(name, watches()) } else { but };
            Some(format!("`{}` names no watch{hint}", shown(name)))
        }
        Source::Watch(_) if !is_of_a_watch(event.code) => {
            Some("a watch has the events `changed`, `healthy` and `unhealthy` only".to_owned())
        }
        Source::Global if !event.code.is_global() => {
            Some("the event needs a source: a job, a watch or a signal".to_owned())
        }
        Source::Global | Source::Watch(_) | Source::Signal(_) | Source::Reason(_) => None,
    }
}

/// Why a job that there is cannot have an event.
fn of_a_job(name: &str, code: EventCode, has_check: bool, known: &Known<'_>) -> Option<String> {
    let shown = shortened(name);
    let is_watched = known.watches.contains(name);
    let watch = if is_watched { format!("; the watch is `watch.{shown}` here") } else { String::new() };
    if code == EventCode::StatusChanged {
        return Some(format!("`changed` is an event of watches, and `{shown}` is a job{watch}"));
    }
    let is_lacking = !has_check && matches!(code, EventCode::StatusHealthy | EventCode::StatusUnhealthy);
    is_lacking.then(|| format!("the job `{shown}` has no check (`health` with `exec`) that could say so{watch}"))
}

fn is_of_a_watch(code: EventCode) -> bool {
    use EventCode::{StatusChanged, StatusHealthy, StatusUnhealthy};
    matches!(code, StatusChanged | StatusHealthy | StatusUnhealthy)
}

/// Each job waits for one other at most, so that following the sources finds every cycle.
fn cycles(jobs: &[JobSpec], starts: &[Start<'_>], never: &mut HashSet<usize>, reader: &mut Reader) {
    let mut indices: HashMap<&str, Option<usize>> = HashMap::new();
    for (index, job) in jobs.iter().enumerate() {
        // An event of any of several jobs with one name will do: that is no cycle.
        indices.entry(job.configured_name().as_str()).and_modify(|only| *only = None).or_insert(Some(index));
    }
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
        indices.get(name.as_str()).copied().flatten()
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
        never.extend(cycle);
    }
}

/// A job that gives up its wait stops, which starts those that wait for its stop.
fn can_begin(cycle: &[usize], jobs: &[JobSpec]) -> bool {
    let waits_for_stop = |at: usize| {
        jobs[at].start.event().is_some_and(|event| matches!(event.code, EventCode::Stopping | EventCode::Stopped))
    };
    cycle.iter().any(|at| waits_for_stop(*at)) && cycle.iter().any(|at| jobs[*at].wait_timeout.is_some())
}
