//! Requests to the control socket of a running instance: HTTP/1.1, one request to a connection, blocking.
//!
//! The answer is looked at: 3.8 takes almost any for success.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use crate::cli::{Order, Query, Request};
use containerpilot_actors::http::percent_encode;

/// How long the whole of a request may take.
const LIMIT: Duration = Duration::from_secs(10);
/// How long a reload may take: reading the config has a deadline of its own, which is to be told.
const RELOAD_LIMIT: Duration = Duration::from_secs(20);
/// How long a job may take to do what it is told.
const ORDER_LIMIT: Duration = Duration::from_secs(620);
/// The longest answer that is read.
const LONGEST: u64 = 1 << 24;
/// The longest beginning of an answer that goes on and on.
const LONGEST_HEAD: usize = 1 << 16;

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens, or not for us.
    #[error("{flag}: cannot reach the control socket `{socket}`")]
    Unreachable {
        /// The subcommand.
        flag: &'static str,
        /// The socket's path.
        socket: String,
        /// Why.
        source: io::Error,
    },
    /// What came back is no HTTP.
    #[error("{flag}: cannot understand the answer at the control socket `{socket}`: {says}")]
    Garbled {
        /// The subcommand.
        flag: &'static str,
        /// The socket's path.
        socket: String,
        /// Why.
        says: String,
    },
    /// The other side says no, and why.
    #[error("{flag}: refused at the control socket `{socket}` with status {status}: {body}")]
    Refused {
        /// The subcommand.
        flag: &'static str,
        /// The socket's path.
        socket: String,
        /// The HTTP status.
        status: u16,
        /// What the other side says.
        body: String,
    },
}

/// An answer, as far as it has come.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    body: Vec<u8>,
    /// Whether its length says that nothing is missing.
    is_whole: bool,
}

/// Sends a request and waits until it is carried out; what the other side has to say to it.
pub fn send(request: &Request, socket: &Path) -> Result<Vec<u8>, ClientError> {
    let (flag, message) = message(request);
    let limit = match request {
        Request::Order { .. } => ORDER_LIMIT,
        Request::Reload | Request::DryRun { .. } => RELOAD_LIMIT,
        Request::Maintenance { .. } | Request::PutEnv(_) | Request::PutMetric(_) | Request::Ping => LIMIT,
    };
    carried_out(flag, message, socket, limit)
}

/// Everything about everything, as JSON.
pub fn status(query: &Query, socket: &Path) -> Result<Vec<u8>, ClientError> {
    carried_out(flag_of(query), bytes_of("GET", "/v3/status", ""), socket, LIMIT)
}

fn flag_of(query: &Query) -> &'static str {
    match query {
        Query::Status { .. } => "-status",
        Query::Explain(_) => "-explain",
        Query::Healthy(_) => "-healthy",
        Query::Events => "-events",
        Query::Logs { .. } => "-logs",
    }
}

fn carried_out(flag: &'static str, message: Vec<u8>, socket: &Path, limit: Duration) -> Result<Vec<u8>, ClientError> {
    let name = socket.to_string_lossy().into_owned();
    let unreachable = |source| ClientError::Unreachable { flag, socket: name.clone(), source };
    let bytes = exchange(socket.to_owned(), message, limit).map_err(unreachable)?;
    let answer =
        parse(&bytes).map_err(|says| ClientError::Garbled { flag, socket: name.clone(), says: says.to_owned() })?;
    if (200..300).contains(&answer.status) {
        return Ok(answer.body);
    }
    let body = reason(&answer.body);
    Err(ClientError::Refused { flag, socket: name, status: answer.status, body })
}

/// What a refusal says, be it text or JSON.
fn reason(body: &[u8]) -> String {
    let json = serde_json::from_slice::<serde_json::Value>(body).ok();
    let error = json.as_ref().and_then(|json| json.get("error")?.as_str());
    error.map_or_else(|| String::from_utf8_lossy(body).trim_end().to_owned(), str::to_owned)
}

/// Shows each event as it comes, after all that are remembered, until the other side or whoever reads them is gone.
pub fn events(socket: &Path, mut show: impl FnMut(&str) -> io::Result<()>) -> Result<(), ClientError> {
    let show = |line: &str| line.strip_prefix("data: ").map_or(Ok(()), &mut show);
    follow(flag_of(&Query::Events), "/v3/events?replay=all", socket, show)
}

/// Shows the last lines of a job, each a JSON object, and perhaps those that come, until somebody is gone.
pub fn logs(
    job: &str,
    follows: bool,
    socket: &Path,
    mut show: impl FnMut(&str) -> io::Result<()>,
) -> Result<(), ClientError> {
    let flag = flag_of(&Query::Logs { job: job.to_owned(), follow: follows });
    let path = format!("/v3/logs/{}", percent_encode(job));
    if follows {
        return follow(flag, &format!("{path}?follow"), socket, show);
    }
    let answer = carried_out(flag, bytes_of("GET", &path, ""), socket, LIMIT)?;
    for line in String::from_utf8_lossy(&answer).lines() {
        if show(line).is_err() {
            break;
        }
    }
    Ok(())
}

/// Shows an answer line by line as it comes. Its beginning has to come in time.
fn follow(
    flag: &'static str,
    path: &str,
    socket: &Path,
    mut show: impl FnMut(&str) -> io::Result<()>,
) -> Result<(), ClientError> {
    let name = socket.to_string_lossy().into_owned();
    let unreachable = |source| ClientError::Unreachable { flag, socket: name.clone(), source };
    let mut stream = UnixStream::connect(socket).map_err(unreachable)?;
    stream.set_read_timeout(Some(LIMIT)).map_err(unreachable)?;
    stream.write_all(&bytes_of("GET", path, "")).map_err(unreachable)?;
    let mut stream = BufReader::new(stream);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < LONGEST_HEAD {
        let room = u64::try_from(LONGEST_HEAD).unwrap_or(u64::MAX);
        if stream.by_ref().take(room).read_until(b'\n', &mut head).map_err(unreachable)? == 0 {
            break;
        }
    }
    let garbled = |says: &str| ClientError::Garbled { flag, socket: name.clone(), says: says.to_owned() };
    let status = parse(&head).map_err(garbled)?.status;
    if !(200..300).contains(&status) {
        let mut body = Vec::new();
        stream.take(LONGEST).read_to_end(&mut body).map_err(unreachable)?;
        return Err(ClientError::Refused { flag, socket: name, status, body: reason(&body) });
    }
    stream.get_ref().set_read_timeout(None).map_err(unreachable)?;
    for line in stream.lines() {
        // Nobody reads on: as with any other tool, that is no error.
        if show(&line.map_err(unreachable)?).is_err() {
            break;
        }
    }
    Ok(())
}

/// The flag that asks for it, and the bytes to send.
fn message(request: &Request) -> (&'static str, Vec<u8>) {
    let json = |values: &BTreeMap<String, String>| {
        serde_json::to_string(values).expect("a map of strings to strings is always JSON")
    };
    let of_job = |job: &str, order: &str| format!("/v3/jobs/{}/{order}", percent_encode(job));
    let (flag, method, path, body) = match request {
        Request::Reload => ("-reload", "POST", "/v3/reload".to_owned(), String::new()),
        Request::DryRun { .. } => ("-reload", "POST", "/v3/reload?dry-run".to_owned(), String::new()),
        Request::Maintenance { enable } => {
            let word = if *enable { "enable" } else { "disable" };
            ("-maintenance", "POST", format!("/v3/maintenance/{word}"), String::new())
        }
        Request::PutEnv(variables) => ("-putenv", "POST", "/v3/environ".to_owned(), json(variables)),
        Request::PutMetric(metrics) => ("-putmetric", "POST", "/v3/metric".to_owned(), json(metrics)),
        Request::Ping => ("-ping", "GET", "/v3/ping".to_owned(), String::new()),
        Request::Order { job, order: Order::Start } => ("-start", "POST", of_job(job, "start"), String::new()),
        Request::Order { job, order: Order::Stop } => ("-stop", "POST", of_job(job, "stop"), String::new()),
        Request::Order { job, order: Order::Restart } => ("-restart", "POST", of_job(job, "restart"), String::new()),
        Request::Order { job, order: Order::Signal(signal) } => {
            let body = json(&[("signal".to_owned(), signal.clone())].into());
            ("-signal", "POST", of_job(job, "signal"), body)
        }
    };
    (flag, bytes_of(method, &path, &body))
}

fn bytes_of(method: &str, path: &str, body: &str) -> Vec<u8> {
    let length = if method == "GET" { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: control\r\nConnection: close\r\nContent-Type: application/json\r\n{length}\r\n"
    );
    (head + body).into_bytes()
}

/// Everything that comes back. On a thread of its own, since nothing else limits the time that a connect takes.
fn exchange(socket: PathBuf, message: Vec<u8>, limit: Duration) -> io::Result<Vec<u8>> {
    let (done, answer) = mpsc::channel();
    std::thread::Builder::new().spawn(move || {
        // Nobody waits for it any more: the time is up.
        drop(done.send(talk(&socket, &message)));
    })?;
    match answer.recv_timeout(limit) {
        Ok(answer) => answer,
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", limit.as_secs())))
        }
    }
}

fn talk(socket: &Path, message: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    // A refusal may come before all has been sent.
    let sent = stream.write_all(message);
    let mut bytes = Vec::new();
    let mut part = [0; 8192];
    loop {
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(&part[..count]),
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) if bytes.is_empty() => return Err(cause),
            Err(_) => break,
        }
        // Not everybody closes the connection when asked to.
        let is_long = u64::try_from(bytes.len()).is_ok_and(|length| length > LONGEST);
        if is_long || parse(&bytes).is_ok_and(|answer| answer.is_whole) {
            break;
        }
    }
    if bytes.is_empty() {
        sent?;
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was closed without an answer"));
    }
    Ok(bytes)
}

/// Reads an answer; without a length it goes on until the connection closes.
fn parse(bytes: &[u8]) -> Result<Answer, &'static str> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut headers);
    let body_at = match head.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Err("it ends within its head"),
        Err(_) => return Err("it is not HTTP"),
    };
    let header = |name: &str| {
        let found = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.and_then(|header| std::str::from_utf8(header.value).ok())
    };
    let status = head.code.ok_or("it has no status")?;
    let rest = bytes.get(body_at..).unwrap_or(&[]);
    if header("transfer-encoding").is_some_and(|value| value.to_ascii_lowercase().contains("chunked")) {
        let (body, is_whole) = unchunk(rest);
        return Ok(Answer { status, body, is_whole });
    }
    let length = header("content-length").and_then(|length| length.trim().parse::<usize>().ok());
    let body = rest.get(..length.unwrap_or(rest.len())).unwrap_or(rest).to_vec();
    Ok(Answer { status, is_whole: length.is_some_and(|length| rest.len() >= length), body })
}

/// The chunks that are there, and whether the last one is.
fn unchunk(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Ok(httparse::Status::Complete((start, size))) = httparse::parse_chunk_size(rest) {
        if size == 0 {
            return (body, true);
        }
        let end = usize::try_from(size).ok().and_then(|size| size.checked_add(start));
        let Some(end) = end.filter(|end| *end <= rest.len()) else {
            body.extend_from_slice(&rest[start..]);
            break;
        };
        body.extend_from_slice(&rest[start..end]);
        rest = rest.get(end + 2..).unwrap_or(&[]);
    }
    (body, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str, is_whole: bool) -> Result<Answer, &'static str> {
        Ok(Answer { status, body: body.as_bytes().to_vec(), is_whole })
    }

    #[test]
    fn a_request_names_its_path_and_length() {
        let (flag, bytes) = message(&Request::PutEnv([("A".to_owned(), "é\"".to_owned())].into()));
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(flag, "-putenv");
        assert!(text.starts_with("POST /v3/environ HTTP/1.1\r\n"), "{text}");
        assert!(text.contains("\r\nContent-Length: 12\r\n") && text.ends_with("\r\n\r\n{\"A\":\"é\\\"\"}"), "{text}");
    }

    #[test]
    fn an_answer_ends_where_its_length_says() {
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n\nmore"), answer(200, "\n", true));
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n12"), answer(200, "12", false));
        assert_eq!(parse(b"HTTP/1.0 422 No\r\n\r\nwhy"), answer(422, "why", false));
    }

    #[test]
    fn chunks_are_put_together() {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let parsed = |chunks: &str| parse(format!("{head}{chunks}").as_bytes());
        assert_eq!(parsed("2\r\nab\r\n1;x\r\nc\r\n0\r\n\r\n"), answer(200, "abc", true));
        assert_eq!(parsed("2\r\nab\r\n5\r\nc"), answer(200, "abc", false));
        assert_eq!(parsed("ffffffffffffffff\r\nc"), answer(200, "c", false));
    }

    #[test]
    fn what_is_no_answer_is_told() {
        assert!(parse(b"").is_err());
        assert!(parse(b"HTTP/1.1 200").is_err());
        assert!(parse(b"hello\r\n\r\n").is_err());
    }
}
