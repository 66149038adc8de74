//! How everything is, in JSON and in a sentence: the same for the control socket, the command line and the page.

use serde::Serialize;

use crate::event::{Event, EventCode, Exit, RunEnd, Source};
use crate::messages::{JobStatus, ServiceStatus};
use crate::overview::{CatalogReport, JobReport, Report};
use crate::policy::job::{Checked, State};
use crate::policy::service::Registration;
use crate::spec::{ServiceSpec, StartRule};

/// How much of what a check says is told in a sentence.
const LONGEST_LINE: usize = 200;

/// Everything.
#[derive(Debug, Serialize)]
pub struct StatusBody {
    version: &'static str,
    pid: u32,
    maintenance: bool,
    ending: bool,
    /// In the config's order.
    pub jobs: Vec<JobBody>,
    watches: Vec<WatchBody>,
    /// The service that the telemetry port is.
    telemetry: Option<ServiceBody>,
}

/// A job.
#[derive(Debug, Serialize)]
pub struct JobBody {
    /// As configured.
    pub name: String,
    /// In a word.
    pub state: &'static str,
    since_seconds: f64,
    main: bool,
    required: bool,
    pid: Option<i32>,
    uptime_seconds: Option<f64>,
    runs: u64,
    restarts: u64,
    last_exit: Option<ExitBody>,
    /// Whether its output goes to ours as it is, so that there are no lines of it.
    raw: bool,
    /// Whether there is anything to be checked.
    checked: bool,
    /// In a word.
    pub health: &'static str,
    check: Option<CheckBody>,
    service: Option<ServiceBody>,
    starts: String,
    /// The job at whose events this one starts, for a drawing.
    depends_on: Option<String>,
    waiting_for: Option<String>,
    explanation: String,
}

#[derive(Debug, Serialize)]
struct ExitBody {
    status: u8,
    reason: String,
    /// The last lines that it wrote to stderr, if it failed.
    stderr: String,
}

#[derive(Debug, Serialize)]
struct CheckBody {
    passed: bool,
    result: String,
    /// What it wrote last.
    output: String,
    failures_in_a_row: u32,
    seconds_ago: f64,
}

#[derive(Debug, Serialize)]
struct ServiceBody {
    name: String,
    address: String,
    port: u16,
    tags: Vec<String>,
    registration: RegistrationBody,
}

#[derive(Debug, Serialize)]
struct RegistrationBody {
    state: &'static str,
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct WatchBody {
    name: String,
    instances: Option<usize>,
}

impl StatusBody {
    /// From what the actors say.
    pub fn new(report: &Report) -> Self {
        let overview = &report.overview;
        let body = |job| JobBody::new(job, report);
        Self {
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            maintenance: overview.maintenance,
            ending: overview.ending,
            jobs: report.jobs.iter().map(body).collect(),
            watches: report
                .watches
                .iter()
                .map(|(name, instances)| WatchBody { name: name.to_string(), instances: *instances })
                .collect(),
            telemetry: overview.telemetry.as_ref().map(|service| ServiceBody::new(service, &report.catalog)),
        }
    }
}

impl JobBody {
    fn new(job: &JobReport, report: &Report) -> Self {
        let status = job.status.as_ref();
        let waits =
            matches!(status.map(|status| status.state), Some(State::Waiting | State::Blocked | State::NotNeeded));
        Self {
            name: job.entry.name.to_string(),
            state: job.state(),
            since_seconds: status.map_or(0.0, |status| status.since.as_secs_f64()),
            main: job.entry.main,
            required: job.entry.required,
            pid: status.and_then(|status| status.pid),
            uptime_seconds: status.and_then(|status| Some(status.uptime?.as_secs_f64())),
            runs: status.map_or(0, |status| status.runs),
            restarts: status.map_or(0, |status| status.restarts),
            last_exit: status.and_then(|status| {
                let end = status.last_end.as_ref()?;
                Some(ExitBody { status: end.code(), reason: end.to_string(), stderr: status.last_words.clone() })
            }),
            raw: job.entry.raw,
            checked: job.entry.checked,
            health: job.health(report.overview.maintenance),
            check: status.and_then(|status| {
                let (checked, ago) = status.last_check.as_ref()?;
                Some(CheckBody {
                    passed: !matches!(checked, Checked::Failed(_)),
                    result: result(checked).to_owned(),
                    output: said(job).to_owned(),
                    failures_in_a_row: status.failures_in_a_row,
                    seconds_ago: ago.as_secs_f64(),
                })
            }),
            service: job.entry.service.as_ref().map(|service| ServiceBody::new(service, &report.catalog)),
            starts: starts(&job.entry.start),
            depends_on: source_job(&job.entry.start),
            waiting_for: waits.then(|| awaited(&job.entry.start)),
            explanation: explain(job, report),
        }
    }
}

impl ServiceBody {
    fn new(service: &ServiceSpec, catalog: &CatalogReport) -> Self {
        let standing = Standing::of(service, catalog);
        Self {
            name: service.name.clone(),
            address: service.address.to_string(),
            port: service.port,
            tags: service.tags.clone(),
            registration: RegistrationBody { state: standing.word(), error: standing.error().map(str::to_owned) },
        }
    }
}

/// How the registration of a service stands.
#[derive(Clone, Copy, Debug)]
enum Standing<'a> {
    NotConfigured,
    /// The catalog's actor does not answer.
    Unknown,
    Failing(&'a str),
    Known(Registration),
}

impl<'a> Standing<'a> {
    fn of(service: &ServiceSpec, catalog: &'a CatalogReport) -> Self {
        match catalog {
            CatalogReport::NotConfigured => Self::NotConfigured,
            CatalogReport::Unusable(reason) => Self::Failing(reason),
            CatalogReport::Silent => Self::Unknown,
            CatalogReport::Known(status) => match status.services.get(&*service.name) {
                Some(ServiceStatus { error: Some(error), .. }) => Self::Failing(error),
                Some(service) => Self::Known(service.registration),
                // Withdrawn, and gone.
                None => Self::Known(Registration::Absent),
            },
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::NotConfigured => "not configured",
            Self::Unknown => "unknown",
            Self::Failing(_) => "failing",
            Self::Known(Registration::Absent) => "absent",
            Self::Known(Registration::Pending) => "pending",
            Self::Known(Registration::Registered) => "registered",
            Self::Known(Registration::Leaving) => "leaving",
        }
    }

    fn error(self) -> Option<&'a str> {
        match self {
            Self::Failing(error) => Some(error),
            Self::NotConfigured | Self::Unknown | Self::Known(_) => None,
        }
    }

    fn sentence(self) -> String {
        let sentence = match self {
            Self::NotConfigured => "there is no catalog to register it in",
            Self::Unknown => "whether it is registered is not known",
            Self::Failing(error) => {
                return format!("its registration fails: {}", last_line(error).unwrap_or_default());
            }
            Self::Known(Registration::Absent) => "it is not registered",
            Self::Known(Registration::Pending) => "it is being registered",
            Self::Known(Registration::Registered) => "it is registered",
            Self::Known(Registration::Leaving) => "it is being taken out of the catalog",
        };
        sentence.to_owned()
    }
}

fn result(checked: &Checked) -> &str {
    match checked {
        Checked::Passed => "passed",
        Checked::Assumed => "no check: assumed healthy",
        Checked::Failed(reason) => reason,
    }
}

/// What the last check wrote last.
fn said(job: &JobReport) -> &str {
    job.checks.as_ref().map_or("", |checks| &checks.said)
}

/// The last line of it, as much as belongs into a sentence.
fn last_line(text: &str) -> Option<String> {
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    Some(line.chars().take(LONGEST_LINE).collect())
}

/// A start rule in words.
fn starts(rule: &StartRule) -> String {
    match rule {
        StartRule::Once(event) if *event == Event::STARTUP => "at start-up".to_owned(),
        StartRule::Once(event) => format!("once {}", event_in_words(event)),
        StartRule::Each(event) => format!("each time {}", event_in_words(event)),
        StartRule::Interval(interval) => format!("every {}", crate::duration::go_format(*interval)),
        StartRule::Never => "never by itself".to_owned(),
    }
}

fn source_job(rule: &StartRule) -> Option<String> {
    let event = rule.event()?;
    match &event.source {
        Source::Job(name) | Source::Check(name) => Some(name.to_string()),
        Source::Watch(name) => Some(format!("watch.{name}")),
        Source::Global | Source::Signal(_) | Source::Reason(_) => None,
    }
}

/// `db healthy`
fn awaited(rule: &StartRule) -> String {
    match rule {
        StartRule::Once(event) | StartRule::Each(event) => event_in_words(event),
        StartRule::Interval(_) => "start-up".to_owned(),
        StartRule::Never => "nothing: its `when` names no event".to_owned(),
    }
}

/// `db healthy`
pub(crate) fn event_in_words(event: &Event) -> String {
    let word = EventCode::WORDS.iter().find(|(_, code)| *code == event.code).map_or("", |(word, _)| *word);
    match &event.source {
        Source::Global => word.to_owned(),
        Source::Signal(signal) => signal.to_string(),
        Source::Job(_) | Source::Check(_) | Source::Watch(_) | Source::Reason(_) => {
            format!("{} {word}", event.source)
        }
    }
}

/// Why a job is in its state, in one sentence.
pub fn explain(job: &JobReport, report: &Report) -> String {
    let name = &job.entry.name;
    let Some(status) = &job.status else { return format!("{name} was stopped by hand, or is about to start anew") };
    let since = ago(status.since.as_secs());
    match status.state {
        State::Waiting => {
            let why = awaited_job(job, report).map(|why| format!("; {why}")).unwrap_or_default();
            format!("{name} waits for {}{why}; {since}", awaited(&job.entry.start))
        }
        State::Blocked => {
            let why = status.why.as_deref().unwrap_or("what it waits for can no longer happen");
            format!("{name} can no longer start: {why}; {since}")
        }
        State::NotNeeded => {
            let awaited = awaited(&job.entry.start);
            format!("{name} is not needed: it waits for {awaited}, which can no longer happen; {since}")
        }
        State::GaveUp => {
            let why = status.why.as_deref().unwrap_or("what it waited for has not happened in time");
            format!("{name} gave up: {why}; {since}")
        }
        State::Running(_) => {
            let health = health_sentence(job, report).map(|health| format!("; {health}")).unwrap_or_default();
            let restarts = match status.runs {
                0 | 1 => String::new(),
                runs => format!(", run {runs}"),
            };
            let last = end_in_words(status).map(|end| format!("; its last run ended: {end}")).unwrap_or_default();
            let service = job.entry.service.as_ref().map(|service| Standing::of(service, &report.catalog).sentence());
            let service = service.map(|sentence| format!("; {sentence}")).unwrap_or_default();
            format!("{name} runs{restarts}{health}{service}{last}; {since}")
        }
        State::Pausing => {
            format!("{name} pauses before its next run, because its last one ended too soon{}; {since}", last_end(job))
        }
        State::Idle if status.runs == 0 => format!("{name} has no process of its own and has started; {since}"),
        State::Idle => {
            format!("{name} starts {} and has no process now{}; {since}", starts(&job.entry.start), last_end(job))
        }
        State::Stopping => format!("{name} stops, once the jobs that start at its stopping are done; {since}"),
        State::Ending => format!("{name} was told to end and has not ended yet; {since}"),
        State::Stopped if status.runs == 0 => format!("{name} has stopped without a run; {since}"),
        State::Stopped if job.state() == "failed" => format!("{name} has failed{}; {since}", last_end(job)),
        State::Stopped => format!("{name} has completed{}; {since}", last_end(job)),
    }
}

fn last_end(job: &JobReport) -> String {
    let Some(status) = &job.status else { return String::new() };
    match (&status.last_end, end_in_words(status)) {
        (Some(RunEnd::Exited(Exit::Status(0))), _) => ": its last run ended well".to_owned(),
        (_, Some(end)) => format!(": its last run ended: {end}"),
        (_, None) => String::new(),
    }
}

/// How the last run ended, and what it said last if it failed.
fn end_in_words(status: &JobStatus) -> Option<String> {
    let end = status.last_end.as_ref()?;
    let words = last_line(&status.last_words).map(|line| format!(" (stderr: {line})")).unwrap_or_default();
    Some(format!("{end}{words}"))
}

/// What is the matter with the job that another one waits for.
fn awaited_job(job: &JobReport, report: &Report) -> Option<String> {
    let event = job.entry.start.event()?;
    let (Source::Job(name) | Source::Check(name)) = &event.source else { return None };
    let Some(source) = report.jobs.iter().find(|other| other.entry.name == *name) else {
        return Some(format!("there is no job {name}"));
    };
    let health = matches!(event.code, EventCode::StatusHealthy | EventCode::StatusUnhealthy);
    if health && let Some(sentence) = health_sentence(source, report) {
        return Some(sentence);
    }
    let last = last_end(source);
    Some(format!("{name} is {}{last}", source.state()))
}

fn health_sentence(job: &JobReport, report: &Report) -> Option<String> {
    let name = &job.entry.name;
    if !job.entry.checked {
        return None;
    }
    if report.overview.maintenance {
        return Some(format!("{name} is not checked in maintenance"));
    }
    let status = job.status.as_ref()?;
    match status.last_check.as_ref() {
        Some((Checked::Failed(reason), _)) => {
            let times = status.failures_in_a_row;
            let times = if times == 1 { "once".to_owned() } else { format!("{times} times") };
            let last = last_line(said(job)).unwrap_or_else(|| last_line(reason).unwrap_or_default());
            Some(format!("{name}'s check failed {times}, last: {last}"))
        }
        Some((Checked::Passed | Checked::Assumed, _)) => Some(format!("{name} is healthy")),
        None => Some(format!("{name} has not been checked yet")),
    }
}

/// `41 s`
fn ago(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::event::{JobName, RunId};
    use crate::messages::{CatalogEntry, CatalogStatus, CheckStatus, JobEntry, Overview};
    use crate::policy::job::Health;

    fn report(jobs: Vec<JobReport>) -> Report {
        let overview = Overview {
            jobs: Vec::new(),
            watches: Vec::new(),
            telemetry: None,
            catalog: CatalogEntry::NotConfigured,
            maintenance: false,
            ending: false,
        };
        Report { overview, jobs, watches: Vec::new(), catalog: CatalogReport::NotConfigured }
    }

    fn job(name: &str, start: StartRule, state: State) -> JobReport {
        let name = JobName::new(name);
        let status = JobStatus {
            name: name.clone(),
            state,
            health: Health::Unknown,
            pid: None,
            runs: 1,
            ends: Vec::new(),
            uptime: None,
            failures_in_a_row: 0,
            last_check: None,
            last_end: None,
            last_words: String::new(),
            since: Duration::from_secs(41),
            restarts: 0,
            why: None,
        };
        let entry = JobEntry {
            name,
            start,
            main: false,
            required: false,
            raw: false,
            checked: false,
            raw_checks: false,
            service: None,
            job: None,
            check: None,
        };
        JobReport { entry, status: Some(status), checks: None }
    }

    fn once(code: EventCode, source: &str) -> StartRule {
        StartRule::Once(Event::job(code, &JobName::new(source)))
    }

    fn failing_db() -> JobReport {
        let mut db = job("db", StartRule::Once(Event::STARTUP), State::Running(RunId(1)));
        db.entry.checked = true;
        let status = db.status.as_mut().unwrap();
        status.failures_in_a_row = 2;
        status.last_check = Some((Checked::Failed("exit status 1".into()), Duration::ZERO));
        let said = "trying\nconnection refused\n\n".to_owned();
        db.checks = Some(CheckStatus { said, ..CheckStatus::default() });
        db
    }

    fn sentence(job: JobReport, others: Vec<JobReport>) -> String {
        explain(&job, &report(others))
    }

    #[test]
    fn a_waiting_job_is_explained_by_what_it_waits_for() {
        let app = || job("app", once(EventCode::StatusHealthy, "db"), State::Waiting);
        let said = "app waits for db healthy; db's check failed 2 times, last: connection refused; 41 s";
        assert_eq!(sentence(app(), vec![failing_db()]), said);
        assert_eq!(sentence(app(), vec![]), "app waits for db healthy; there is no job db; 41 s");
        let late = job("late", once(EventCode::ExitSuccess, "setup"), State::Waiting);
        let setup = job("setup", StartRule::Never, State::Waiting);
        assert_eq!(sentence(late, vec![setup]), "late waits for setup exitSuccess; setup is waiting; 41 s");
    }

    #[test]
    fn a_job_that_has_ended_is_explained_by_how() {
        let ended = |end, words: &str| {
            let mut job = job("a", StartRule::Never, State::Stopped);
            let status = job.status.as_mut().unwrap();
            (status.last_end, status.last_words) = (Some(RunEnd::Exited(end)), words.to_owned());
            sentence(job, vec![])
        };
        assert_eq!(ended(Exit::Status(0), ""), "a has completed: its last run ended well; 41 s");
        assert_eq!(ended(Exit::Signal(9), ""), "a has failed: its last run ended: signal: killed; 41 s");
        let said = "a has failed: its last run ended: exit status 3 (stderr: no such file); 41 s";
        assert_eq!(ended(Exit::Status(3), "trying\nno such file"), said);
    }

    #[test]
    fn a_service_is_explained_by_how_its_registration_stands() {
        let service = |standing| {
            let mut web = job("web", StartRule::Once(Event::STARTUP), State::Running(RunId(1)));
            web.entry.service = Some(crate::testing::service("web"));
            explain(&web, &Report { catalog: standing, ..report(vec![]) })
        };
        let known = |registration, error: Option<&str>| {
            let status = ServiceStatus { registration, error: error.map(str::to_owned) };
            let services = [(JobName::new("web"), status)].into();
            CatalogReport::Known(CatalogStatus { catalog: "consul", services, requests: Default::default() })
        };
        for (standing, sentence) in [
            (CatalogReport::NotConfigured, "there is no catalog to register it in"),
            (CatalogReport::Silent, "whether it is registered is not known"),
            (CatalogReport::Unusable("no such file".into()), "its registration fails: no such file"),
            (known(Registration::Registered, None), "it is registered"),
            (known(Registration::Absent, Some("403: no")), "its registration fails: 403: no"),
        ] {
            assert_eq!(service(standing), format!("web runs; {sentence}; 41 s"));
        }
    }

    #[test]
    fn everything_is_there_in_json() {
        let app = job("app", once(EventCode::StatusHealthy, "db"), State::Waiting);
        let body = serde_json::to_value(StatusBody::new(&report(vec![failing_db(), app]))).unwrap();
        assert_eq!(body["jobs"][0]["check"]["failures_in_a_row"], 2);
        assert_eq!(body["jobs"][1]["waiting_for"], "db healthy");
        assert_eq!(body["jobs"][1]["depends_on"], "db");
    }
}
