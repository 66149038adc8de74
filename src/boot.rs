//! From a config to a running supervisor, and from its end to our exit status.

use std::ffi::OsString;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use containerpilot_actors::output::{OpenError, Pump, Sink};
use containerpilot_actors::runtime;
use containerpilot_actors::spec::Spec;
use containerpilot_actors::supervisor::{self, Resources, Supervisor};
use containerpilot_actors::sys;

use actix::Actor;
use slog::{info, warn};

/// How long the first log line may take to be written: nobody may be reading yet.
const FIRST_LINE: Duration = Duration::from_millis(20);
/// How long after the start what only that needed is let go.
const SETTLED: Duration = Duration::from_secs(1);
/// How long the reader of the last log lines may take nothing of them, once everything else is over.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Why nothing could be started.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The config says what cannot be.
    #[error("{0}")]
    Config(String),
    /// The log cannot be written.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// Somebody else has the port of telemetry, perhaps.
    #[error("cannot serve telemetry at {address}: {cause}")]
    Telemetry {
        /// Where.
        address: std::net::SocketAddr,
        /// Why.
        cause: std::io::Error,
    },
    /// The operating system refused something that we cannot do without.
    #[error("cannot {what}: {cause}")]
    System {
        /// What.
        what: &'static str,
        /// Why.
        cause: std::io::Error,
    },
}

fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> BootError {
    move |cause| BootError::System { what, cause }
}

/// Supervises until the end; the exit status. `load` reads the config, now and at reloads, with the environment of then.
/// It may block: stop signals end it.
pub fn run(
    load: impl Fn(&[(OsString, OsString)]) -> Result<Spec, String> + Send + Sync + 'static,
) -> Result<u8, BootError> {
    sys::prepare_process().map_err(system("prepare the process"))?;
    // The config may use it; of equal names the first one counts there.
    let pid = ("CONTAINERPILOT_PID".into(), std::process::id().to_string().into());
    let environment: Vec<(OsString, OsString)> = std::iter::once(pid).chain(std::env::vars_os()).collect();
    let loaded = sys::stoppable(|| load(&environment)).map_err(system("handle signals"))?;
    let spec = loaded.map_err(BootError::Config)?;
    if let Some(telemetry) = spec.telemetry.as_ref().filter(|telemetry| telemetry.must_listen) {
        let listening = std::net::TcpListener::bind(telemetry.address);
        listening.map_err(|cause| BootError::Telemetry { address: telemetry.address, cause })?;
    }
    let sink = Sink::open(&spec.logging.output)?;
    let signals = sys::signal_fd(spec.signals.passed_on).map_err(system("listen to signals"))?;
    let nothing = File::open("/dev/null").map_err(system("open /dev/null"))?;
    let event_loop = runtime::event_loop().map_err(system("start the event loop"))?;
    event_loop.block_on(async move {
        let (arbiter, without_thread) = runtime::arbiter_of_pump();
        let pump = Pump::start(&arbiter, sink, &spec.logging).map_err(system("watch the output of jobs"))?;
        let log = crate::logging::logger(pump.clone());
        info!(log, "ContainerPilot {} starts", env!("CARGO_PKG_VERSION"); "jobs" => spec.jobs.len());
        if let Some(cause) = without_thread {
            warn!(log, "the log has no thread of its own, a reader that is slow delays everything: {}", cause);
        }
        // A raw job writes to the same stream: our line is not to land in the middle of one of its own.
        pump.flushed(FIRST_LINE).await;
        let (finished, status) = tokio::sync::oneshot::channel();
        let grace = spec.grace();
        let resources = Resources {
            load: Arc::new(load),
            environment,
            nothing,
            pump: pump.clone(),
            signals,
            log,
            finished,
            pick_address: crate::config::pick_address,
        };
        Supervisor::new(spec, resources).start();
        actix::spawn(async {
            actix::clock::sleep(SETTLED).await;
            sys::forget_start_up();
        });
        let status = supervisor::outcome(status, grace).await;
        pump.close(LAST_LINES).await;
        Ok(status)
    })
}
