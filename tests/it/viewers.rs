//! Those who look and do not read, who begin and do not end, who send too much or all at once: nothing waits for them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::Value;

use crate::http::{free_port, local, remote};
use crate::pilot::{Pilot, until};

const EACH: usize = 100;
/// Several times what they cost.
const MOST_GROWTH: u64 = 48 << 20;

fn resident(status: &Value) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", status["pid"])).unwrap();
    let kib =
        text.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap() * 1024
}

#[test]
fn a_hundred_viewers_of_each_kind_who_do_not_read_cost_little() {
    let port = free_port();
    let pilot = Pilot::of(&format!(
        "{{ control: {{ socket: '@/socket' }}, stopTimeout: 1, logging: {{ output: '/dev/null' }},
            telemetry: {{ port: {port}, interfaces: ['lo'] }},
            jobs: [ {{ name: 'flood', exec: ['sh', '-c', 'while :; do seq -f \"line %.0f of too many for anybody\" 200; sleep 0.02; done'] }},
                    {{ name: 'beat', exec: ['sh', '-c', 'echo x >> @/beats'], when: {{ interval: '50ms' }} }} ] }}"
    ));
    let socket = pilot.folder.join("socket");
    until(|| crate::http::listens(&socket) && TcpStream::connect(("127.0.0.1", port)).is_ok());
    let status = || serde_json::from_str::<Value>(&local(&socket, "GET", "/v3/status", "").1).unwrap();
    let before = resident(&status());
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: c\r\n\r\n");
    let mut viewers: Vec<OwnedFd> = Vec::new();
    for _ in 0..EACH {
        for target in ["/v3/events?replay=all", "/v3/logs/flood?follow"] {
            let mut viewer = UnixStream::connect(&socket).unwrap();
            viewer.write_all(get(target).as_bytes()).unwrap();
            viewers.push(viewer.into());
        }
        let mut viewer = TcpStream::connect(("127.0.0.1", port)).unwrap();
        viewer.write_all(get("/page/events?replay=200").as_bytes()).unwrap();
        viewers.push(viewer.into());
    }
    // More events than sockets hold.
    for _ in 0..400 {
        assert_eq!(local(&socket, "POST", "/v3/maintenance/enable", "").0, 200);
        assert_eq!(local(&socket, "POST", "/v3/maintenance/disable", "").0, 200);
    }
    let growth = resident(&status()).saturating_sub(before);
    assert!(growth < MOST_GROWTH, "{growth}");
    // Supervision goes on, and so does everything else.
    let beats = || std::fs::read(pilot.folder.join("beats")).unwrap_or_default().len();
    let so_far = beats();
    until(|| beats() > so_far + 10);
    assert_eq!(remote(port, "GET", "/metrics", "", "").0, 200);
    assert_eq!(status()["jobs"][0]["state"], "running");
    drop(viewers);
    let pid = status()["pid"].clone();
    let descriptors = || std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    until(|| descriptors() < EACH);
    // One for whom much waits, and who has not read for long, is let go.
    let mut viewer = UnixStream::connect(&socket).unwrap();
    viewer.write_all(get("/v3/logs/flood?follow").as_bytes()).unwrap();
    let is_gone = || {
        let mut ends = [PollFd::new(viewer.as_fd(), PollFlags::empty())];
        poll(&mut ends, PollTimeout::ZERO).unwrap() > 0
    };
    until(is_gone);
    assert_eq!(pilot.stop().0, Some(0));
}

#[test]
fn half_requests_and_huge_ones_hold_up_nobody() {
    let pilot = Pilot::of_jobs("{ name: 'a', exec: 'sleep 1000' }");
    let socket = pilot.folder.join("socket");
    until(|| crate::http::listens(&socket));
    let begun = |text: &str| {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream
    };
    let halves: Vec<UnixStream> = (0..EACH)
        .flat_map(|_| {
            [begun("POST /v3/env"), begun("POST /v3/environ HTTP/1.1\r\nHost: c\r\nContent-Length: 9\r\n\r\n{")]
        })
        .collect();
    let huge = "x".repeat(10 << 20);
    let clients: Vec<_> = (0..EACH)
        .map(|number| {
            let (socket, huge) = (socket.clone(), if number % 25 == 0 { huge.clone() } else { String::new() });
            std::thread::spawn(move || {
                if huge.is_empty() {
                    return (200, local(&socket, "GET", "/v3/status", "").0);
                }
                let mut stream = UnixStream::connect(&socket).unwrap();
                let head = format!("POST /v3/environ HTTP/1.1\r\nHost: c\r\nContent-Length: {}\r\n\r\n", huge.len());
                // It may be refused before all of it has been sent.
                stream.write_all((head + &huge).as_bytes()).unwrap_or_default();
                let mut answer = [0; 12];
                stream.read_exact(&mut answer).unwrap();
                (413, std::str::from_utf8(&answer[9..]).unwrap().parse().unwrap())
            })
        })
        .collect();
    for client in clients {
        let (expected, status) = client.join().unwrap();
        assert_eq!(status, expected);
    }
    // A half request that ends is refused.
    for mut half in halves.into_iter().rev().take(2) {
        half.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        half.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("Bad Request\n"), "{answer}");
    }
    assert_eq!(pilot.stop().0, Some(0));
}
