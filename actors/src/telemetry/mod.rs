//! The port for Prometheus and for people: metrics, status. Read-only: steering is for the control socket.

mod process;
mod requests;

use std::rc::Rc;
use std::time::Duration;

use actix::prelude::*;
use slog::{Logger, info, warn};
use tokio::sync::Semaphore;

use crate::guard::PanicGuard;
use crate::http::{Limits, Listener, Server};
use crate::messages::{EventCounts, Follow, MetricsText, OverviewQuery, Serves, TelemetryCommand};
use crate::output::Pump;

/// Nothing here takes a body. Requests of the largest number of clients leave room for answers.
const LIMITS: Limits = Limits { head: 8 * 1024, body: 4 * 1024, together: 4 * 1024 * 1024 };
/// How many reports are made at a time: each tells of all jobs.
const REPORTS: usize = 4;
/// How long to wait until a port that is taken is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Whom requests concern.
#[derive(Clone, Debug)]
pub struct TelemetryNeighbours {
    /// Knows the jobs.
    pub supervisor: Recipient<OverviewQuery>,
    /// Knows how often what happened.
    pub bus: Recipient<EventCounts>,
    /// Knows what happens.
    pub journal: Recipient<Follow>,
    /// Knows what was measured.
    pub metrics: Recipient<MetricsText>,
    /// Knows what jobs write, and how much.
    pub pump: Pump,
}

/// See the module.
#[derive(Debug)]
pub struct TelemetryServer {
    serves: Option<Serves>,
    server: Option<Server>,
    retry: Option<SpawnHandle>,
    complained: bool,
    neighbours: TelemetryNeighbours,
    log: Logger,
    _guard: Option<PanicGuard>,
}

impl TelemetryServer {
    /// Listens as soon as that is possible, if at all.
    pub fn new(
        serves: Option<Serves>,
        neighbours: TelemetryNeighbours,
        log: Logger,
        guard: Option<PanicGuard>,
    ) -> Self {
        Self { serves, server: None, retry: None, complained: false, neighbours, log, _guard: guard }
    }

    fn bind(&mut self, ctx: &mut Context<Self>) {
        let Some(serves) = self.serves.clone() else { return };
        let address = serves.address;
        let bound = std::net::TcpListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            tokio::net::TcpListener::from_std(listener)
        });
        match bound {
            Ok(listener) => {
                // 3.8: these words
                info!(self.log, "telemetry: serving at {}", address);
                self.complained = false;
                let neighbours = self.neighbours.clone();
                let shared = Rc::new((serves, Semaphore::new(REPORTS)));
                let handler = move |request| {
                    let (neighbours, shared) = (neighbours.clone(), shared.clone());
                    async move { requests::answer(request, &shared.0, &shared.1, &neighbours).await }
                };
                self.server = Some(Server::start(Listener::Tcp(listener), LIMITS, handler));
            }
            Err(cause) => {
                // One word about it; it goes on being true.
                if !std::mem::replace(&mut self.complained, true) {
                    warn!(self.log, "cannot serve telemetry at {}: {}", address, cause);
                }
                self.retry = Some(ctx.run_later(RETRY, Self::bind));
            }
        }
    }
}

impl Actor for TelemetryServer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.bind(ctx);
    }
}

impl Handler<TelemetryCommand> for TelemetryServer {
    type Result = ();

    fn handle(&mut self, command: TelemetryCommand, ctx: &mut Self::Context) {
        match command {
            TelemetryCommand::Serve(serves) if serves == self.serves => {}
            TelemetryCommand::Serve(serves) => {
                self.serves = serves;
                self.server = None;
                self.complained = false;
                if let Some(retry) = self.retry.take() {
                    ctx.cancel_future(retry);
                }
                self.bind(ctx);
            }
        }
    }
}
