//! The runtime without any config text: two jobs, described in Rust, the second of which waits for the first.
//!
//!     cargo run --example embed
#![expect(clippy::print_stderr, reason = "it is a program of its own")]

use std::ffi::OsString;
use std::fs::File;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use actix::Actor;
use containerpilot_actors::addresses::InterfaceAddress;
use containerpilot_actors::event::{Event, EventCode, JobName};
use containerpilot_actors::output::{Pump, Sink};
use containerpilot_actors::runtime;
use containerpilot_actors::spec::{Exec, JobSpec, LogOutput, Spec, StartRule};
use containerpilot_actors::supervisor::{Resources, Supervisor};
use containerpilot_actors::sys;
use slog::{Discard, Logger, o};

fn job(name: &str, words: &[&str], start: Event) -> JobSpec {
    JobSpec {
        exec: Some(Exec { program: "echo".into(), args: words.iter().map(Into::into).collect() }),
        start: StartRule::Once(start),
        timeout: Some(Duration::from_secs(10)),
        ..JobSpec::new(JobName::new(name))
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(status) => status.into(),
        Err(cause) => {
            eprintln!("{cause}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> std::io::Result<u8> {
    sys::prepare_process()?;
    let first = JobName::new("first");
    let spec = Spec {
        jobs: vec![
            job("first", &["hello"], Event::STARTUP),
            job("second", &["and goodbye"], Event::job(EventCode::ExitSuccess, &first)),
        ],
        ..Spec::default()
    };
    let sink = Sink::open(&LogOutput::Stdout).map_err(std::io::Error::other)?;
    let (nothing, signals) = (File::open("/dev/null")?, sys::signal_fd(false)?);
    runtime::event_loop()?.block_on(async move {
        let pump = Pump::start(&runtime::arbiter_of_pump().0, sink, &spec.logging)?;
        let (finished, status) = tokio::sync::oneshot::channel();
        let environment = std::env::vars_os().collect();
        let log = Logger::root(Discard, o!());
        // Its jobs are no services, whose addresses could change.
        let pick_address = |_: &[String], _: &[InterfaceAddress]| None;
        // There is no config to read again: a reload finds this one.
        let load = {
            let spec = spec.clone();
            Arc::new(move |_: &[(OsString, OsString)]| Ok(spec.clone()))
        };
        let pump_of_jobs = pump.clone();
        let resources =
            Resources { load, environment, nothing, pump: pump_of_jobs, signals, log, finished, pick_address };
        Supervisor::new(spec, resources).start();
        let status = status.await.unwrap_or(1);
        pump.close(Duration::from_secs(1)).await;
        Ok(status)
    })
}
