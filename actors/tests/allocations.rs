//! A flood takes no memory line by line: once the buffers of the pump have their size, lines pass through them.
//!
//! A test binary of its own, with one test: it counts what the whole process allocates.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has to stop")]

use std::alloc::System;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use actix::Arbiter;
use containerpilot_actors::event::{JobName, Owner, RunId};
use containerpilot_actors::output::{Captured, Pump, Sink};
use containerpilot_actors::spec::{LinePattern, LogFormat, LogOutput, LoggingSpec, OutputSpec, RateLimit};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes of a flood, and of one before it, in which buffers grow.
const FLOOD: usize = 1 << 20;
/// How often memory may be taken however many lines there are: for a question to the pump, and for buffers that find their size.
const FEW: usize = 30;

/// A pipe that is non-blocking for its reader only.
fn pipe() -> (OwnedFd, File) {
    let (reader, writer) = nix::unistd::pipe().unwrap();
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    (reader, writer.into())
}

/// How often memory is taken while this line is written again and again, and how many lines that are.
async fn flood(spec: &LoggingSpec, output: &OutputSpec, line: &str) -> (usize, usize) {
    let arbiter = Arbiter::new();
    let sink = Sink::open(&LogOutput::File("/dev/null".into())).unwrap();
    let pump = Pump::start(&arbiter.handle(), sink, spec).unwrap();
    let ((stdout, mut writer), (stderr, silent)) = (pipe(), pipe());
    let owner = Owner::Job(JobName::new("app"));
    let (run, output, token) = (RunId(1), output.clone(), Arc::new(()));
    pump.attach(Captured { owner: owner.clone(), run, pid: 7, stdout, stderr, output, token }).unwrap();
    let text = line.repeat(FLOOD / line.len());
    writer.write_all(text.as_bytes()).unwrap();
    pump.counts().await.unwrap();
    let region = Region::new(ALLOCATOR);
    // Not a divisor of what the pump reads at once, so that lines are cut anywhere.
    for piece in text.as_bytes().chunks(4099) {
        writer.write_all(piece).unwrap();
    }
    // What has been written when a run ends has been read by the next question.
    pump.ended(owner, run);
    let counts = pump.counts().await.unwrap();
    let taken = region.change();
    drop((writer, silent));
    assert!(pump.close(Duration::from_secs(10)).await);
    arbiter.stop();
    let lines = text.bytes().filter(|byte| *byte == b'\n').count();
    assert_eq!(counts.of_owners[0].1.lines, 2 * u64::try_from(lines).unwrap());
    (taken.allocations + taken.reallocations, lines)
}

#[actix::test]
async fn no_line_of_a_flood_takes_memory() {
    let json = LoggingSpec { format: LogFormat::Json, ..LoggingSpec::default() };
    let text = LoggingSpec { format: LogFormat::Text, ..LoggingSpec::default() };
    let plain = OutputSpec::default();
    let fields = OutputSpec { fields: vec![("team".to_owned(), "db".to_owned())], ..OutputSpec::default() };
    let objects = OutputSpec { json: true, ..OutputSpec::default() };
    let limit = RateLimit { lines: u64::MAX, per: Duration::from_secs(3600) };
    let limited = OutputSpec { rate_limit: Some(limit), ..OutputSpec::default() };
    let joined = OutputSpec {
        multiline: Some(LinePattern::new("^[^ ]", |line| !line.starts_with(b" "))),
        ..OutputSpec::default()
    };
    let line = "10.0.0.1 - - \"GET /a/b?c=d HTTP/1.1\" 200 1234 \u{e9}\n";
    let parted = LoggingSpec { max_line: 256, ..json.clone() };
    let long = format!("{}\n", "x".repeat(8000));
    let object = "{\"level\":\"warn\",\"time\":\"2026-01-01T00:00:00Z\",\"a\":[1,2]}\n";
    let counted = "{\"level\":40,\"time\":1767225600000,\"a\":[1,2]}\n";
    for (name, spec, output, line) in [
        ("default", &LoggingSpec::default(), &plain, line),
        ("text", &text, &plain, line),
        ("JSON", &json, &plain, line),
        ("fields", &json, &fields, line),
        ("long lines", &json, &plain, &long),
        ("lines in parts", &parted, &plain, &long),
        ("objects", &json, &objects, object),
        ("objects with numbers", &json, &objects, counted),
        ("objects as text", &text, &objects, object),
        ("a limit", &json, &limited, line),
        ("several lines", &json, &joined, "one\n two\n  three\n"),
    ] {
        let (taken, lines) = flood(spec, output, line).await;
        assert!(taken <= FEW, "{name}: memory is taken {taken} times for {lines} lines");
    }
}
