//! What each path of the control socket means.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::pin::Pin;

use actix::prelude::*;
use serde::Serialize;
use serde_json::Value;
use slog::debug;

use super::logs::{self, LogSource};
use super::{ACTOR_PATIENCE, ControlNeighbours, RELOAD_PATIENCE, jobs};
use crate::event::{Event, JobName};
use crate::http::{ALLOW_GET, ALLOW_POST, EVENT_STREAM, JSON, Reply, Request};
use crate::messages::{
    FactQuery, Follow, PutEnvironment, RecordMetrics, Reload, ReloadError, Reloaded, Starts, SupervisorCommand,
};
use crate::metrics;
use crate::policy::reload::Diff;
use crate::status::event_in_words;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route<'a> {
    Ping,
    PutEnv,
    PutMetric,
    Reload,
    Maintenance(bool),
    Status,
    Job(&'a str),
    Order(&'a str, &'a str),
    Events,
    Logs(&'a str),
    OpenApi,
}

/// How a path may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Any,
    Get,
    Post,
}

/// The route of a path, how it may be asked for, and its name in metrics.
fn route(path: &str) -> Option<(Route<'_>, Method, &'static str)> {
    Some(match path {
        "/v3/ping" => (Route::Ping, Method::Any, "/v3/ping"),
        "/v3/environ" => (Route::PutEnv, Method::Post, "/v3/environ"),
        // 3.8's documentation has this one, its server the other.
        "/v3/env" => (Route::PutEnv, Method::Post, "/v3/env"),
        "/v3/metric" => (Route::PutMetric, Method::Post, "/v3/metric"),
        "/v3/reload" => (Route::Reload, Method::Post, "/v3/reload"),
        "/v3/maintenance/enable" => (Route::Maintenance(true), Method::Post, "/v3/maintenance/enable"),
        "/v3/maintenance/disable" => (Route::Maintenance(false), Method::Post, "/v3/maintenance/disable"),
        "/v3/status" => (Route::Status, Method::Get, "/v3/status"),
        "/v3/events" => (Route::Events, Method::Get, "/v3/events"),
        "/v3/openapi.json" => (Route::OpenApi, Method::Get, "/v3/openapi.json"),
        _ => match path.strip_prefix("/v3/logs/") {
            Some("") => return None,
            Some(name) => (Route::Logs(name), Method::Get, "/v3/logs/{name}"),
            None => return job_route(path.strip_prefix("/v3/jobs/")?),
        },
    })
}

/// A name may have slashes in it; the order is what follows the last one.
fn job_route(rest: &str) -> Option<(Route<'_>, Method, &'static str)> {
    let order = rest.rsplit_once('/').filter(|(name, order)| !name.is_empty() && ORDERS.contains(order));
    match order {
        Some((name, order)) => Some((Route::Order(name, order), Method::Post, "/v3/jobs/{name}/{order}")),
        None if rest.is_empty() => None,
        None => Some((Route::Job(rest), Method::Get, "/v3/jobs/{name}")),
    }
}

const ORDERS: [&str; 4] = ["start", "stop", "restart", "signal"];

/// Answers a request; also says what it counts as, if its path is a known one.
///
/// What is asked for most is answered at once. The rest is boxed, so that it is no part of every client's task.
pub(super) async fn answer(request: Request, neighbours: &ControlNeighbours) -> (Option<&'static str>, Reply) {
    let Some((route, method, path)) = route(&request.path) else { return (None, Reply::status_only(404)) };
    let allowed = match method {
        Method::Any => true,
        Method::Get => matches!(request.method.as_str(), "GET" | "HEAD"),
        Method::Post => request.method == "POST",
    };
    if !allowed {
        let allow = if method == Method::Get { ALLOW_GET } else { ALLOW_POST };
        return (Some(path), Reply::not_allowed(allow));
    }
    let reply: Pin<Box<dyn Future<Output = Reply> + '_>> = match route {
        Route::Ping => return (Some(path), Reply::done()),
        Route::OpenApi => return (Some(path), Reply::new(200, JSON, include_bytes!("openapi.json").as_slice())),
        Route::PutEnv => Box::pin(put_env(&request.body, neighbours)),
        Route::PutMetric => Box::pin(put_metric(&request.body, neighbours)),
        Route::Reload => Box::pin(reload(&request, neighbours)),
        Route::Maintenance(on) => Box::pin(tell(&neighbours.supervisor, SupervisorCommand::Maintenance(on))),
        Route::Status => Box::pin(jobs::status(neighbours)),
        Route::Job(name) => Box::pin(jobs::job_status(name, neighbours)),
        Route::Order(name, order) => Box::pin(jobs::order(name, order, &request, neighbours)),
        Route::Events => Box::pin(events(&request, &neighbours.journal)),
        Route::Logs(name) => {
            let source = LogSource { supervisor: &neighbours.overview, pump: &neighbours.pump };
            Box::pin(logs::logs(name, &request, source))
        }
    };
    (Some(path), reply.await)
}

/// What happens, as it happens, after as many of the last events as asked for.
pub(crate) async fn events(request: &Request, journal: &Recipient<Follow>) -> Reply {
    let replay = match request.parameter("replay") {
        None => 0,
        Some(all) if matches!(all.as_str(), "" | "true" | "all") => usize::MAX,
        Some(count) => match count.parse() {
            Ok(count) => count,
            Err(_) => return jobs::refused(400, "`replay` has to be a number, or `all`"),
        },
    };
    // A browser that comes back says what it has seen last.
    let after = request.last_event_id.parse().ok();
    let replay = if after.is_some() { usize::MAX } else { replay };
    let follow = Follow { replay, after: after.unwrap_or(0) };
    match actix::clock::timeout(ACTOR_PATIENCE, journal.send(follow)).await {
        Ok(Ok(followed)) => Reply::stream(EVENT_STREAM, followed),
        Ok(Err(_)) => Reply::status_only(503),
        Err(_) => Reply::status_only(504),
    }
}

/// Tells an actor, and confirms when it has heard.
async fn tell<M>(to: &Recipient<M>, message: M) -> Reply
where
    M: Message<Result = ()> + Send + 'static,
{
    match actix::clock::timeout(ACTOR_PATIENCE, to.send(message)).await {
        Ok(Ok(())) => Reply::done(),
        Ok(Err(_)) => Reply::status_only(503),
        Err(_) => Reply::status_only(504),
    }
}

/// 3.8's users get an empty line; who asks for JSON, or only for what would happen, gets the difference.
async fn reload(request: &Request, neighbours: &ControlNeighbours) -> Reply {
    let dry_run = request.has("dry-run");
    // 3.8: these words, and those below
    if !dry_run {
        debug!(neighbours.log, "control: reloading app via control plane");
    }
    let answer = actix::clock::timeout(RELOAD_PATIENCE, neighbours.reloads.send(Reload { dry_run })).await;
    if !dry_run && matches!(answer, Ok(Ok(Ok(_)))) {
        debug!(neighbours.log, "control: reloaded app via control plane");
    }
    match answer {
        Ok(Ok(Ok(Reloaded { diff, starts }))) if dry_run => {
            let starts = Some(starts_in_words(starts).await);
            jobs::json(200, &DiffBody { starts, ..DiffBody::from(&diff) })
        }
        Ok(Ok(Ok(reloaded))) if request.wants_json() => jobs::json(200, &DiffBody::from(&reloaded.diff)),
        Ok(Ok(Ok(_))) => Reply::done(),
        Ok(Ok(Err(ReloadError::Refused(reason)))) => Reply::refused(422, &reason),
        Ok(Ok(Err(error @ (ReloadError::Unreadable(_) | ReloadError::Ending)))) => {
            Reply::refused(503, &error.to_string())
        }
        Ok(Err(_)) => Reply::status_only(503),
        Err(_) => Reply::status_only(504),
    }
}

#[derive(Serialize)]
struct DiffBody<'a> {
    changed: &'a [String],
    restarted: &'a [String],
    added: &'a [String],
    removed: &'a [String],
    unchanged: &'a [String],
    settings: &'a [&'static str],
    /// By job: `now`, or what it will wait for.
    #[serde(skip_serializing_if = "Option::is_none")]
    starts: Option<BTreeMap<String, String>>,
}

/// When jobs start, in words: those at whose events they start are asked whether these stand.
async fn starts_in_words(starts: Vec<(JobName, Starts)>) -> BTreeMap<String, String> {
    let mut words = BTreeMap::new();
    for (job, starts) in starts {
        let when = match starts {
            Starts::Now => "now".to_owned(),
            Starts::After(event) => format!("waits for {}", event_in_words(&event)),
            Starts::IfFact(event, known_by) => {
                if is_fact(&event, &known_by).await {
                    "now".to_owned()
                } else {
                    format!("waits for {}", event_in_words(&event))
                }
            }
            Starts::Later(delay) => format!("after {}", crate::duration::go_format(delay)),
            Starts::Never => "never by itself".to_owned(),
        };
        words.insert(job.to_string(), when);
    }
    words
}

async fn is_fact(event: &Event, known_by: &[Recipient<FactQuery>]) -> bool {
    for source in known_by {
        let answer = actix::clock::timeout(ACTOR_PATIENCE, source.send(FactQuery(event.code))).await;
        if matches!(answer, Ok(Ok(true))) {
            return true;
        }
    }
    false
}

impl<'a> From<&'a Diff> for DiffBody<'a> {
    fn from(diff: &'a Diff) -> Self {
        let Diff { changed, restarted, added, removed, unchanged, settings } = diff;
        Self { changed, restarted, added, removed, unchanged, settings, starts: None }
    }
}

async fn put_env(body: &[u8], neighbours: &ControlNeighbours) -> Reply {
    let Some(changes) = environment(body) else { return Reply::status_only(422) };
    match actix::clock::timeout(ACTOR_PATIENCE, neighbours.environment.send(PutEnvironment(changes))).await {
        Ok(Ok(Ok(()))) => Reply::done(),
        Ok(Ok(Err(error))) => Reply::refused(422, &error.to_string()),
        Ok(Err(_)) => Reply::status_only(503),
        Err(_) => Reply::status_only(504),
    }
}

/// All or nothing: what cannot be in an environment spoils the rest.
fn environment(body: &[u8]) -> Option<Vec<(OsString, Option<OsString>)>> {
    let wanted: BTreeMap<String, Option<String>> = serde_json::from_slice(body).ok()?;
    let possible = |(name, value): (&String, &Option<String>)| {
        !name.is_empty() && !name.contains(['=', '\0']) && !value.as_ref().is_some_and(|value| value.contains('\0'))
    };
    if !wanted.iter().all(possible) {
        return None;
    }
    Some(wanted.into_iter().map(|(name, value)| (name.into(), value.map(OsString::from))).collect())
}

/// What can be taken is, whatever stands beside it, as in 3.8; what cannot be is told.
async fn put_metric(body: &[u8], neighbours: &ControlNeighbours) -> Reply {
    let values = match measurements(body) {
        Ok(values) => values,
        Err(error) => return Reply::refused(422, &format!("invalid JSON object of numbers: {error}")),
    };
    match actix::clock::timeout(ACTOR_PATIENCE, neighbours.values.send(RecordMetrics(values))).await {
        Ok(Ok(refused)) if refused.is_empty() => Reply::done(),
        Ok(Ok(refused)) => Reply::refused(422, &refused.join("; ")),
        Ok(Err(_)) => Reply::status_only(503),
        Err(_) => Reply::status_only(504),
    }
}

/// The values in a body that is a JSON object; of those that are not numbers what was sent.
fn measurements(body: &[u8]) -> serde_json::Result<Vec<(String, Result<f64, String>)>> {
    /// So much of what is not a number is shown.
    const SHOWN: usize = 40;
    let values: BTreeMap<String, Value> = serde_json::from_slice(body)?;
    let number = |value: Value| {
        match &value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => metrics::number(text),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
        .ok_or_else(|| format!("`{}`", value.to_string().trim_matches('"').chars().take(SHOWN).collect::<String>()))
    };
    Ok(values.into_iter().map(|(name, value)| (name, number(value))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_is_an_object_of_strings() {
        let change = |name: &str, value: Option<&str>| (OsString::from(name), value.map(OsString::from));
        assert_eq!(
            environment(br#"{"A": "b=c", "B": "", "C": null}"#),
            Some(vec![change("A", Some("b=c")), change("B", Some("")), change("C", None),])
        );
        assert_eq!(environment(b"{}"), Some(vec![]));
        let refused: [&[u8]; 12] = [
            b"",
            b"null",
            b"[]",
            b"7",
            b"{",
            br#"{"A": 1}"#,
            br#"{"A": true, "B": "x"}"#,
            br#"{"A": "b"} x"#,
            br#"{"": "x"}"#,
            br#"{"A=B": "x"}"#,
            br#"{"A\u0000B": "x"}"#,
            br#"{"A": "x\u0000"}"#,
        ];
        for body in refused {
            assert_eq!(environment(body), None, "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn a_measurement_is_a_number_or_one_in_text() {
        let body = br#"{"a": 1, "b": " 2.5 ", "c": "x", "d": true, "e": "1e-9", "f": "+Inf", "g": "1e400", "h": [1]}"#;
        let refused = |sent: &str| Err(sent.to_owned());
        let expected = [
            ("a", Ok(1.0)),
            ("b", Ok(2.5)),
            ("c", refused("`x`")),
            ("d", refused("`true`")),
            ("e", Ok(1e-9)),
            ("f", Ok(f64::INFINITY)),
            ("g", refused("`1e400`")),
            ("h", refused("`[1]`")),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value)).to_vec();
        assert_eq!(measurements(body).unwrap(), expected);
        for body in [b"[1]".as_slice(), br#"{"a": 1e400}"#, &[b'{'; 5000]] {
            assert!(measurements(body).is_err());
        }
    }
}
