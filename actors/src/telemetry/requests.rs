//! What each path of the telemetry port means.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;
use std::time::Duration;

use actix::prelude::*;
use serde::Serialize;
use tokio::sync::Semaphore;

use super::TelemetryNeighbours;
use super::process::{self, Figures};
use crate::control::{LogSource, log_events};
use crate::event::Event;
use crate::http::{ALLOW_GET, JSON, Reply, Request};
use crate::messages::{CatalogStatus, EventCounts, MetricsText, Serves};
use crate::metrics::{CONTENT_TYPE, Exposition};
use crate::output::{Counts, LogCounts};
use crate::overview::{self, CatalogReport, JobReport, NoAnswer, Report};
use crate::policy::job::{Health, State};
use crate::process_stats::Units;
use crate::runtime::blocking::Lane;
use crate::spec::ServiceSpec;
use crate::status;

const PAGE: &str = include_str!("page.html");
const HTML: &str = "text/html; charset=utf-8";
/// Nobody frames the page; what it may load, it says itself.
const PAGE_HEADERS: &str = "Cache-Control: no-cache\r\nX-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\n";
const NOT_MEANT: &str = "the page is served by its address, as `localhost`, and by the names in `telemetry: { hosts: [...] }`, and this is none of them";
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the pump may take, which waits for the reader of the log: its counts are left out rather than waited for.
const PUMP_PATIENCE: Duration = Duration::from_millis(500);

/// How long reading /proc may take: what it tells is left out rather than waited for.
const PROC_PATIENCE: Duration = Duration::from_secs(1);
/// How many scrapes may read it at a time.
const MOST_READERS: usize = 4;

static READERS: LazyLock<Lane> = LazyLock::new(|| Lane::new(MOST_READERS));

pub(super) async fn answer(
    request: Request,
    serves: &Serves,
    reports: &Semaphore,
    neighbours: &TelemetryNeighbours,
) -> Reply {
    let is_report = matches!(request.path.as_str(), "/metrics" | "/status" | "/page/status");
    let _turn = match is_report {
        true => match actix::clock::timeout(PATIENCE, reports.acquire()).await {
            Ok(turn) => turn.ok(),
            Err(_) => return Reply::status_only(503),
        },
        false => None,
    };
    let is_get = matches!(request.method.as_str(), "GET" | "HEAD");
    match request.path.as_str() {
        "/metrics" => metrics(neighbours).await.unwrap_or_else(|NoAnswer| Reply::status_only(503)),
        "/status" if !is_get => Reply::not_allowed(ALLOW_GET),
        "/status" => status(neighbours).await.unwrap_or_else(|NoAnswer| Reply::status_only(503)),
        _ if !serves.page => Reply::status_only(404),
        path if is_page(path) && !is_meant(&request, &serves.hosts) => Reply::refused(403, NOT_MEANT),
        path => page_part(path, is_get, &request, neighbours).await,
    }
}

fn is_page(path: &str) -> bool {
    path == "/" || path.starts_with("/page/")
}

/// Whether a request is for us by a name that cannot be made to mean us. A page of a stranger's whose own name has come to mean our
/// address could read all of ours in a browser (DNS rebinding): an address cannot be given away, and neither can `localhost`.
fn is_meant(request: &Request, hosts: &[String]) -> bool {
    // Browsers always say whom they ask.
    let Some(host) = &request.host else { return true };
    if let Some(v6) = host.strip_prefix('[') {
        return v6.split(']').next().is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    let name = host.split(':').next().unwrap_or_default().to_ascii_lowercase();
    let name = name.strip_suffix('.').unwrap_or(&name);
    name == "localhost" || name.parse::<Ipv4Addr>().is_ok() || hosts.iter().any(|host| host == name)
}

/// What the page is made of. 3.8 has nothing at `/`, and so it is for whoever does not ask for HTML.
async fn page_part(path: &str, is_get: bool, request: &Request, neighbours: &TelemetryNeighbours) -> Reply {
    match path {
        "/" if !request.accept.contains("text/html") => Reply::status_only(404),
        "/" | "/page/status" | "/page/events" if !is_get => Reply::not_allowed(ALLOW_GET),
        "/" => Reply { headers: PAGE_HEADERS, ..Reply::new(200, HTML, PAGE.as_bytes()) },
        "/page/status" => match overview::report(&neighbours.supervisor, |_| true).await {
            Ok(report) => as_json(&status::StatusBody::new(&report)),
            Err(NoAnswer) => Reply::status_only(503),
        },
        "/page/events" => crate::control::events(request, &neighbours.journal).await,
        _ => match path.strip_prefix("/page/logs/") {
            None | Some("") => Reply::status_only(404),
            Some(_) if !is_get => Reply::not_allowed(ALLOW_GET),
            Some(name) => {
                let source = LogSource { supervisor: &neighbours.supervisor, pump: &neighbours.pump };
                log_events(name, request, source).await
            }
        },
    }
}

fn as_json(body: &impl Serialize) -> Reply {
    match serde_json::to_vec(body) {
        Ok(bytes) => Reply::new(200, JSON, bytes),
        Err(error) => Reply::refused(500, &error.to_string()),
    }
}

async fn metrics(neighbours: &TelemetryNeighbours) -> Result<Reply, NoAnswer> {
    let asked = actix::clock::Instant::now().into_std();
    let counts = patient(neighbours.bus.send(EventCounts)).await?;
    let lag = asked.elapsed();
    let measured = patient(neighbours.metrics.send(MetricsText)).await?;
    let report = overview::report(&neighbours.supervisor, |_| true).await?;
    let logged = actix::clock::timeout(PUMP_PATIENCE, neighbours.pump.counts()).await.ok().flatten();
    let pids = report.jobs.iter().map(|job| job.status.as_ref().and_then(|status| status.pid)).collect();
    // Files of /proc may keep one waiting.
    let reading = READERS.run(PROC_PATIENCE, move || {
        let units = Units::of_system();
        (process::of_jobs(pids, units), process::own(units))
    });
    // Without a thread, or behind a process that hangs in the kernel, the rest is told all the same.
    let (figures, own) = reading.await.map_or_else(|_| (Vec::new(), None), |(figures, own)| (figures, Some(own)));
    let mut exposition = Exposition::default();
    events(counts, &mut exposition);
    watches(&report, &mut exposition);
    jobs(&report, &figures, &mut exposition);
    catalog(&report.catalog, &mut exposition);
    logs(logged, neighbours.pump.dropped(), &mut exposition);
    let name = "containerpilot_event_loop_lag_seconds";
    exposition.family(name, "gauge", "how long the last scrape waited for the event loop to answer");
    exposition.sample(name, &[], lag.as_secs_f64());
    if let Some(own) = own {
        own.expose(&mut exposition);
    }
    let mut text = exposition.finish();
    text.push_str(&measured);
    Ok(Reply::new(200, CONTENT_TYPE, text.into_bytes()))
}

async fn patient<T>(request: impl Future<Output = Result<T, MailboxError>>) -> Result<T, NoAnswer> {
    match actix::clock::timeout(PATIENCE, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) | Err(_) => Err(NoAnswer),
    }
}

fn events(mut counts: Vec<(Event, u64)>, exposition: &mut Exposition) {
    let name = "containerpilot_events";
    // 3.8: these words
    exposition.family(name, "counter", "count of ContainerPilot events, partitioned by type and source");
    counts.sort();
    for (event, count) in counts {
        let (code, source) = (event.code.to_string(), event.source.to_string());
        exposition.sample(name, &[("code", &code), ("source", &source)], count as f64);
    }
}

type Sample = fn(&JobReport, Option<&Figures>) -> Option<f64>;

/// The label is `name`, since `job` is what Prometheus calls a scrape. One sample a job each: its name, type, help, and where the value comes from.
const OF_JOBS: [(&str, &str, &str, Sample); 8] = [
    ("containerpilot_job_runs_total", "counter", "runs of the job, whatever started them", |job, _| {
        job.status.as_ref().map(|status| status.runs as f64)
    }),
    ("containerpilot_job_restarts_total", "counter", "runs of a job that followed an end of its own", |job, _| {
        job.status.as_ref().map(|status| status.restarts as f64)
    }),
    ("containerpilot_job_blocked", "gauge", "whether what the job waits for can no longer happen", |job, _| {
        job.status.as_ref().map(|status| if status.state == State::Blocked { 1.0 } else { 0.0 })
    }),
    ("containerpilot_job_up", "gauge", "whether a process of the job runs", |job, _| {
        Some(if job.status.as_ref().is_some_and(|status| status.pid.is_some()) { 1.0 } else { 0.0 })
    }),
    ("containerpilot_job_uptime_seconds", "gauge", "how long the job's process has run", |job, _| {
        job.status.as_ref()?.uptime.map(|uptime| uptime.as_secs_f64())
    }),
    ("containerpilot_job_healthy", "gauge", "what the job's last health check found: 1 healthy, 0 not", |job, _| {
        match job.status.as_ref()?.health {
            Health::Healthy => Some(1.0),
            Health::Unhealthy => Some(0.0),
            Health::Idle | Health::Unknown => None,
        }
    }),
    ("containerpilot_job_cpu_seconds_total", "counter", "CPU time of the job's process", |_, figures| {
        figures.map(|figures| figures.cpu_seconds)
    }),
    ("containerpilot_job_resident_memory_bytes", "gauge", "resident memory of the job's process", |_, figures| {
        figures.map(|figures| figures.resident_bytes)
    }),
];

fn jobs(report: &Report, figures: &[Option<Figures>], exposition: &mut Exposition) {
    for (name, kind, help, value) in OF_JOBS {
        exposition.family(name, kind, help);
        let mut figures = figures.iter();
        for job in &report.jobs {
            if let Some(value) = value(job, figures.next().and_then(Option::as_ref)) {
                exposition.sample(name, &[("name", job.entry.name.as_str())], value);
            }
        }
    }
    let name = "containerpilot_job_exits_total";
    exposition.family(name, "counter", "ends of the job's process by status");
    for job in &report.jobs {
        for (status, count) in job.status.iter().flat_map(|status| &status.ends) {
            exposition.sample(name, &[("name", job.entry.name.as_str()), ("status", status)], *count as f64);
        }
    }
    let name = "containerpilot_check_duration_seconds";
    exposition.family(name, "histogram", "how long health checks take");
    for job in &report.jobs {
        if let Some(checks) =
            job.checks.as_ref().map(|checks| &checks.durations).filter(|durations| !durations.is_empty())
        {
            checks.expose(exposition, name, &[("name", job.entry.name.as_str())]);
        }
    }
}

type LogSample = fn(&Counts) -> u64;

const OF_LOGS: [(&str, &str, LogSample); 3] = [
    ("containerpilot_log_lines_total", "lines that a job or a check has written, shown or not", |counts| counts.lines),
    ("containerpilot_log_bytes_total", "bytes that a job or a check has written", |counts| counts.bytes),
    ("containerpilot_log_dropped_total", "records of a job or a check beyond its rate limit", |counts| counts.dropped),
];

/// `name` is that of a job, or `check.` and that of a job.
fn logs(logged: Option<LogCounts>, dropped: usize, exposition: &mut Exposition) {
    let mut lost = vec![("backlog", dropped as f64)];
    if let Some(LogCounts { of_owners, lost: unwritten }) = logged {
        let of_owners: BTreeMap<String, Counts> =
            of_owners.into_iter().map(|(owner, counts)| (owner.to_string(), counts)).collect();
        for (name, help, value) in OF_LOGS {
            exposition.family(name, "counter", help);
            for (owner, counts) in &of_owners {
                exposition.sample(name, &[("name", owner)], value(counts) as f64);
            }
        }
        lost.push(("unwritten", unwritten as f64));
    }
    let name = "containerpilot_log_lost_total";
    exposition.family(name, "counter", "records lost: our own behind a slow reader, any that could not be written");
    for (reason, count) in lost {
        exposition.sample(name, &[("reason", reason)], count);
    }
}

/// Two watches may look at one service, with different tags; a sample is there once.
fn watches(report: &Report, exposition: &mut Exposition) {
    let name = "containerpilot_watch_instances";
    let seen: BTreeMap<&str, usize> =
        report.watches.iter().rev().filter_map(|(watch, count)| Some((watch.as_str(), (*count)?))).collect();
    if seen.is_empty() {
        return;
    }
    exposition.family(name, "gauge", "gauge of instances found for each ContainerPilot watch, partitioned by service");
    for (watch, count) in seen {
        exposition.sample(name, &[("service", watch)], count as f64);
    }
}

/// What a catalog was asked: its name and the operations are words of ours, so there are few of them.
fn catalog(report: &CatalogReport, exposition: &mut Exposition) {
    let CatalogReport::Known(CatalogStatus { catalog, requests, .. }) = report else { return };
    let name = "containerpilot_catalog_request_duration_seconds";
    exposition.family(name, "histogram", "how long requests to the catalog take, but for those that wait for news");
    for (operation, counts) in requests.iter().filter(|(_, counts)| !counts.durations.is_empty()) {
        counts.durations.expose(exposition, name, &[("catalog", catalog), ("operation", operation)]);
    }
    let name = "containerpilot_catalog_request_errors_total";
    exposition.family(name, "counter", "requests to the catalog that failed, or were not answered");
    for (operation, counts) in requests {
        exposition.sample(name, &[("catalog", catalog), ("operation", operation)], counts.errors as f64);
    }
}

/// 3.8's words.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct StatusBody<'a> {
    version: &'static str,
    jobs: Vec<JobBody<'a>>,
    services: Vec<ServiceBody<'a>>,
    watches: Vec<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct JobBody<'a> {
    name: &'a str,
    status: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ServiceBody<'a> {
    name: &'a str,
    address: String,
    port: u16,
    status: &'static str,
}

impl<'a> ServiceBody<'a> {
    fn new(service: &'a ServiceSpec, status: &'static str) -> Self {
        Self { name: &service.name, address: service.address.to_string(), port: service.port, status }
    }
}

async fn status(neighbours: &TelemetryNeighbours) -> Result<Reply, NoAnswer> {
    let Report { overview, jobs, watches, .. } = overview::report(&neighbours.supervisor, |_| true).await?;
    let mut body = StatusBody {
        version: env!("CARGO_PKG_VERSION"),
        jobs: Vec::new(),
        services: Vec::new(),
        watches: watches.iter().map(|(name, _)| name.as_str()).collect(),
    };
    for job in &jobs {
        let status = job.health(overview.maintenance);
        match &job.entry.service {
            Some(service) => body.services.push(ServiceBody::new(service, status)),
            None => body.jobs.push(JobBody { name: job.entry.name.as_str(), status }),
        }
    }
    body.services.extend(overview.telemetry.as_ref().map(|service| ServiceBody::new(service, "healthy")));
    let bytes = serde_json::to_vec(&body).map_err(|_| NoAnswer)?;
    Ok(Reply::new(200, JSON, bytes))
}
