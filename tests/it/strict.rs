//! HTTP as strict clients and proxies expect it, and as strangers may not abuse it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::http::{free_port, listens};
use crate::pilot::{Pilot, until};

const LIMIT: Duration = Duration::from_secs(30);

/// One with a control socket, telemetry at this port, and a job that keeps writing.
fn pilot(port: u16, telemetry: &str) -> Pilot {
    let mut pilot = Pilot::of(&format!(
        "{{ control: {{ socket: '@/socket' }}, stopTimeout: 1,
            telemetry: {{ port: {port}, interfaces: ['static:127.0.0.1'], {telemetry} }},
            jobs: [ {{ name: 'app', exec: ['sh', '-c', 'while :; do echo tick; sleep 0.1; done'] }} ] }}"
    ));
    pilot.says("telemetry: serving");
    pilot.says("tick");
    until(|| listens(&pilot.folder.join("socket")));
    pilot
}

/// All that a server sends, or for a stream its beginning.
fn answer(mut stream: impl Read + Write, request: &str) -> String {
    stream.write_all(request.as_bytes()).unwrap();
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    while !String::from_utf8_lossy(&bytes).contains("tick") {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => break,
            Ok(count) => bytes.extend_from_slice(&piece[..count]),
        }
    }
    String::from_utf8(bytes).unwrap()
}

fn local(socket: &Path, request: &str) -> String {
    let stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    answer(stream, request)
}

fn remote(port: u16, request: &str) -> String {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    answer(stream, request)
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

#[test]
fn proxies_and_strict_clients_get_what_they_expect() {
    let port = free_port();
    let pilot = pilot(port, "");
    let socket = pilot.folder.join("socket");

    let stream = local(&socket, "GET /v3/logs/app?follow HTTP/1.0\r\n\r\n");
    for header in ["\r\nX-Accel-Buffering: no\r\n", "\r\nCache-Control: no-cache\r\n", "\r\nDate: "] {
        assert!(stream.contains(header), "{header:?}: {stream}");
    }
    let stream = remote(port, "GET /page/logs/app HTTP/1.0\r\n\r\n");
    assert!(stream.contains("\r\nX-Accel-Buffering: no\r\n"), "{stream}");

    for (method, path, allow) in [
        ("GET", "/v3/reload", "POST"),
        ("PUT", "/v3/environ", "POST"),
        ("GET", "/v3/jobs/app/stop", "POST"),
        ("POST", "/v3/status", "GET, HEAD"),
        ("DELETE", "/v3/logs/app", "GET, HEAD"),
    ] {
        let answer = local(&socket, &format!("{method} {path} HTTP/1.1\r\nHost: c\r\n\r\n"));
        assert!(status(&answer) == "405" && answer.contains(&format!("\r\nAllow: {allow}\r\n")), "{answer}");
    }
    for path in ["/status", "/", "/page/status", "/page/events", "/page/logs/app"] {
        let answer = remote(port, &format!("POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/html\r\n\r\n"));
        assert!(status(&answer) == "405" && answer.contains("\r\nAllow: GET, HEAD\r\n"), "{path}: {answer}");
    }

    let body = "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    let mut old = UnixStream::connect(&socket).unwrap();
    old.write_all(format!("POST /v3/environ HTTP/1.0\r\n{body}").as_bytes()).unwrap();
    let answered = answer(old, "{}");
    assert!(answered.starts_with("HTTP/1.1 200 OK\r\n"), "{answered}");
    let mut current = UnixStream::connect(&socket).unwrap();
    current.write_all(format!("POST /v3/environ HTTP/1.1\r\nHost: c\r\n{body}").as_bytes()).unwrap();
    let answered = answer(current, "{}");
    assert!(answered.contains("HTTP/1.1 200 OK\r\n"), "{answered}");

    let head = local(&socket, "HEAD /v3/ping HTTP/1.1\r\nHost: c\r\n\r\n");
    assert!(head.contains("\r\nContent-Length: 1\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    assert_eq!(pilot.stop().0, Some(0));
}

#[test]
fn the_page_is_for_those_who_ask_for_us() {
    let port = free_port();
    let pilot = pilot(port, "hosts: ['App.Example']");
    let asked = |path: &str, host: &str| {
        let answer = remote(port, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\n\r\n"));
        status(&answer).to_owned()
    };
    for path in ["/", "/page/status", "/page/logs/app", "/page/events?replay=all"] {
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "app.example.org", ""] {
            assert_eq!(asked(path, host), "403", "{path} {host}");
        }
    }
    for host in ["127.0.0.1", "127.0.0.1:1", "[::1]:80", "10.0.0.7", "localhost", "LOCALHOST:9090", "app.example:80"] {
        assert_eq!(asked("/page/status", host), "200", "{host}");
    }
    // These are 3.8's.
    assert_eq!((asked("/metrics", "evil.example"), asked("/status", "evil.example")), ("200".into(), "200".into()));
    let whole = remote(port, "GET http://evil.example/page/status HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(status(&whole), "403");
    assert_eq!(pilot.stop().0, Some(0));
}

#[test]
fn bodies_of_strangers_are_not_taken() {
    let port = free_port();
    let pilot = pilot(port, "");
    let post = |size: usize| {
        let head = format!("POST /metrics HTTP/1.1\r\nHost: c\r\nContent-Length: {size}\r\n\r\n");
        status(&remote(port, &(head + &" ".repeat(size)))).to_owned()
    };
    assert_eq!((post(4096), post(4097), post(1 << 20)), ("200".into(), "413".into(), "413".into()));
    let chunked = "POST /metrics HTTP/1.1\r\nHost: c\r\nTransfer-Encoding: chunked\r\n\r\n1001\r\n";
    assert_eq!(status(&remote(port, chunked)), "413");
    assert_eq!(pilot.stop().0, Some(0));
}

#[test]
fn all_clients_of_the_socket_together_hold_a_bounded_amount() {
    let pilot = pilot(free_port(), "");
    let socket = pilot.folder.join("socket");
    let unfinished = "POST /v3/environ HTTP/1.1\r\nHost: c\r\nContent-Length: 1048576\r\n\r\n".to_owned()
        + &" ".repeat((1 << 20) - 1);
    let held: Vec<UnixStream> = (0..32)
        .map(|_| {
            let mut stream = UnixStream::connect(&socket).unwrap();
            // Some are refused while they send.
            stream.write_all(unfinished.as_bytes()).unwrap_or_default();
            stream
        })
        .collect();
    let peak = std::fs::read_to_string(format!("/proc/{}/status", pilot.pid())).unwrap();
    let peak = peak.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    // Of all of them 32 MiB would be held.
    assert!(kilobytes < 40_000, "{kilobytes} kB");
    let ping = local(&socket, "GET /v3/ping HTTP/1.1\r\nHost: c\r\n\r\n");
    assert_eq!(status(&ping), "200");
    drop(held);
    assert_eq!(pilot.stop().0, Some(0));
}

#[test]
fn a_scrape_is_answered_while_strangers_hold_all_that_they_may() {
    let port = free_port();
    let pilot = pilot(port, "");
    // No line has ended, so that all of it is kept.
    let unfinished = "GET /".to_owned() + &"x".repeat(8000);
    let held: Vec<TcpStream> = (0..300)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream.write_all(unfinished.as_bytes()).unwrap_or_default();
            stream
        })
        .collect();
    assert_eq!(status(&remote(port, "GET /metrics HTTP/1.1\r\nHost: c\r\n\r\n")), "200");
    drop(held);
    assert_eq!(pilot.stop().0, Some(0));
}
