//! The lines of a job, as JSON: the last ones, and on request those that come.

use std::borrow::Cow;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix::prelude::*;
use serde::Serialize;

use super::jobs::{no_such_job, refused};
use crate::event::Owner;
use crate::http::{EVENT_STREAM, JSON_LINES, Reply, Request, Source};
use crate::messages::OverviewQuery;
use crate::output::{Followed, Lines, Pump, TailLine};
use crate::overview::{self, NoAnswer};

/// How long the pump may take, which waits for the reader of our log.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where lines come from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogSource<'a> {
    /// Knows the jobs.
    pub supervisor: &'a Recipient<OverviewQuery>,
    /// Knows their lines.
    pub pump: &'a Pump,
}

#[derive(Serialize)]
struct LineBody<'a> {
    time: &'a str,
    pid: i32,
    stream: &'static str,
    msg: Cow<'a, str>,
}

#[derive(Serialize)]
struct LostBody {
    lost: u64,
}

/// What stands around each object.
#[derive(Clone, Copy, Debug)]
enum Framing {
    Lines,
    Events,
}

/// A JSON object a line: as many of the last lines as asked for (`lines`), and those that come (`follow`).
pub(super) async fn logs(name: &str, request: &Request, source: LogSource<'_>) -> Reply {
    let (owner, count) = match wanted(name, request, source).await {
        Ok(wanted) => wanted,
        Err(reply) => return *reply,
    };
    if request.has("follow") {
        return Reply::stream(JSON_LINES, Bodies { lines: source.pump.follow(owner, count), framing: Framing::Lines });
    }
    match actix::clock::timeout(PATIENCE, source.pump.tail(owner, count)).await {
        Ok(lines) => {
            let mut body = Vec::new();
            for line in lines {
                append(&Followed::Line(line), Framing::Lines, &mut body);
            }
            Reply::new(200, JSON_LINES, body)
        }
        Err(_) => refused(504, "no answer in time: whoever reads our log is slow, and this answer waits for it, too"),
    }
}

/// The same as server-sent events, which go on and on.
pub(crate) async fn log_events(name: &str, request: &Request, source: LogSource<'_>) -> Reply {
    match wanted(name, request, source).await {
        Ok((owner, count)) => {
            let lines = source.pump.follow(owner, count);
            Reply::stream(EVENT_STREAM, Bodies { lines, framing: Framing::Events })
        }
        Err(reply) => *reply,
    }
}

/// Whose lines, and how many.
async fn wanted(name: &str, request: &Request, source: LogSource<'_>) -> Result<(Owner, usize), Box<Reply>> {
    let count = match request.parameter("lines").map(|count| count.parse()) {
        None => usize::MAX,
        Some(Ok(count)) => count,
        Some(Err(_)) => return Err(Box::new(refused(400, "`lines` has to be a number"))),
    };
    let jobs = overview::entries(source.supervisor).await;
    let jobs = jobs.map_err(|error @ NoAnswer| Box::new(refused(504, &error.to_string())))?;
    let job = jobs.iter().find(|job| job.name.as_str() == name);
    // As the log itself names checks.
    let checked = || jobs.iter().find(|job| job.checked && name.strip_prefix("check.") == Some(job.name.as_str()));
    let (owner, raw) = match (job, job.map_or_else(checked, |_| None)) {
        (Some(job), _) => (Owner::Job(job.name.clone()), job.raw),
        (None, Some(job)) => (Owner::Check(job.name.clone()), job.raw_checks),
        (None, None) => return Err(Box::new(no_such_job(name, &jobs))),
    };
    if raw {
        let why = format!("`{name}` is raw: it writes to our own output, and its lines are not seen here");
        return Err(Box::new(refused(409, &why)));
    }
    Ok((owner, count))
}

/// Lines as they come.
#[derive(Debug)]
struct Bodies {
    lines: Lines,
    framing: Framing,
}

impl Source for Bodies {
    fn poll_append(&mut self, cx: &mut Context<'_>, piece: &mut Vec<u8>) -> Poll<bool> {
        let next = ready!(self.lines.poll_next(cx));
        Poll::Ready(next.inspect(|next| append(next, self.framing, piece)).is_some())
    }
}

fn append(next: &Followed, framing: Framing, piece: &mut Vec<u8>) {
    let (before, after): (&[u8], &[u8]) = match framing {
        Framing::Lines => (b"", b"\n"),
        Framing::Events => (b"data: ", b"\n\n"),
    };
    piece.extend_from_slice(before);
    let written = match next {
        Followed::Line(TailLine { time, pid, stream, text }) => {
            let msg = String::from_utf8_lossy(text);
            serde_json::to_writer(&mut *piece, &LineBody { time, pid: *pid, stream: stream.word(), msg })
        }
        Followed::Lost(count) => serde_json::to_writer(&mut *piece, &LostBody { lost: *count }),
    };
    written.expect("plain structs of text and numbers are always JSON, and memory takes them");
    piece.extend_from_slice(after);
}
