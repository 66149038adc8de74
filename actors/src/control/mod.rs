//! The control socket: requests become messages to the actors concerned, and their answers replies.
//!
//! Nothing here decides about jobs. A request waits for an actor at most `ACTOR_PATIENCE`; no actor ever waits for a
//! request.

mod jobs;
mod logs;
mod requests;
mod socket;

use std::cell::Cell;
use std::os::unix::net::UnixListener;
use std::rc::Rc;
use std::time::Duration;

use actix::prelude::*;
use slog::{Logger, error, info, warn};
use tokio::io::unix::AsyncFd;

use crate::control::socket::bind_as_configured;
use crate::guard::PanicGuard;
use crate::http::{Limits, Listener, Reply, Request, Server};
use crate::messages::{
    ControlClosed, ControlCommand, Follow, JobOrder, MetricCommand, OverviewQuery, PutEnvironment, RecordMetrics,
    Reload, SupervisorCommand,
};
use crate::output::Pump;
use crate::spec::ControlSpec;
use crate::sys;

pub(crate) use logs::{LogSource, log_events};
pub(crate) use requests::events;
pub use socket::{Socket, SocketError, fallback_path, where_it_answers};

/// How long to wait until a socket that could not be made is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How long a request waits for an actor.
const ACTOR_PATIENCE: Duration = Duration::from_secs(5);
/// How long it waits for a config to be read.
const RELOAD_PATIENCE: Duration = Duration::from_secs(60);
/// How long the answers that are due may take at the end.
const LAST_ANSWERS: Duration = Duration::from_millis(500);
/// What clients may send and have sent.
const LIMITS: Limits = Limits { head: 16 * 1024, body: 1024 * 1024, together: 8 * 1024 * 1024 };
/// How often it is looked whether they have been given.
const LOOK: Duration = Duration::from_millis(5);

/// Whom requests concern.
#[derive(Clone, Debug)]
pub struct ControlNeighbours {
    /// Logs what has been asked for here.
    pub log: Logger,
    /// Maintenance.
    pub supervisor: Recipient<SupervisorCommand>,
    /// Changes to the environment.
    pub environment: Recipient<PutEnvironment>,
    /// Reloads.
    pub reloads: Recipient<Reload>,
    /// How everything is.
    pub overview: Recipient<OverviewQuery>,
    /// Orders to single jobs.
    pub orders: Recipient<JobOrder>,
    /// What happens.
    pub journal: Recipient<Follow>,
    /// Requests that were answered.
    pub metrics: Recipient<MetricCommand>,
    /// Values of metrics.
    pub values: Recipient<RecordMetrics>,
    /// What jobs write.
    pub pump: Pump,
}

#[derive(Debug)]
struct Bound {
    _socket: Socket,
    _server: Server,
}

/// See the module.
#[derive(Debug)]
pub struct ControlServer {
    spec: ControlSpec,
    bound: Option<Bound>,
    complained: bool,
    closing: bool,
    neighbours: Rc<ControlNeighbours>,
    /// How many answers are being made.
    due: Rc<Cell<usize>>,
    log: Logger,
    _guard: Option<PanicGuard>,
}

impl ControlServer {
    /// Makes its socket when it starts, or as soon as that is possible.
    pub fn new(spec: ControlSpec, neighbours: ControlNeighbours, log: Logger, guard: Option<PanicGuard>) -> Self {
        let (due, neighbours) = (Rc::new(Cell::new(0)), Rc::new(neighbours));
        Self { spec, bound: None, complained: false, closing: false, neighbours, due, log, _guard: guard }
    }

    fn bind(&mut self, ctx: &mut Context<Self>) {
        if self.bound.is_some() || self.closing {
            return;
        }
        let bound = bind_as_configured(&self.spec).and_then(|(socket, listener, first)| {
            if let Some(first) = first {
                let instead = socket.path().display().to_string();
                warn!(self.log, "{}", first; "instead" => instead);
            }
            let refused = |cause| SocketError::Refused { path: socket.path().to_owned(), cause };
            let listener = sys::watch_listener(listener).map_err(refused)?;
            Ok((socket, listener))
        });
        match bound {
            Ok((socket, listener)) => self.serve(socket, listener),
            Err(error) => {
                // One word about it; it goes on being true.
                if !std::mem::replace(&mut self.complained, true) {
                    error!(self.log, "{}", error);
                }
                ctx.run_later(RETRY, Self::bind);
            }
        }
    }

    fn serve(&mut self, socket: Socket, listener: AsyncFd<UnixListener>) {
        let path = socket.path().display().to_string();
        self.complained = false;
        // 3.8: these words, which scripts look for
        info!(self.log, "control: serving at {}", path);
        let (neighbours, due) = (self.neighbours.clone(), self.due.clone());
        let server = Server::start(Listener::Unix(listener), LIMITS, move |request| {
            answer(request, neighbours.clone(), Due::new(&due))
        });
        self.bound = Some(Bound { _socket: socket, _server: server });
    }

    fn close(&mut self, done: Recipient<ControlClosed>, tries: u32, ctx: &mut Context<Self>) {
        if self.due.get() == 0 || LOOK * tries > LAST_ANSWERS {
            done.do_send(ControlClosed);
            return;
        }
        ctx.run_later(LOOK, move |this, ctx| this.close(done, tries + 1, ctx));
    }
}

/// Counts an answer that is being made.
#[derive(Debug)]
struct Due(Rc<Cell<usize>>);

impl Due {
    fn new(count: &Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        Self(count.clone())
    }
}

impl Drop for Due {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

async fn answer(request: Request, neighbours: Rc<ControlNeighbours>, due: Due) -> Reply {
    let (path, reply) = requests::answer(request, &neighbours).await;
    if let Some(path) = path {
        neighbours.metrics.do_send(MetricCommand::ControlServed { path, status: reply.status });
    }
    drop(due);
    reply
}

impl Actor for ControlServer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.bind(ctx);
    }
}

impl Handler<ControlCommand> for ControlServer {
    type Result = ();

    fn handle(&mut self, command: ControlCommand, ctx: &mut Self::Context) {
        match command {
            ControlCommand::Move { spec, socket, listener } => {
                self.spec = spec;
                self.complained = false;
                self.bound = None;
                match sys::watch_listener(listener) {
                    Ok(listener) => self.serve(socket, listener),
                    Err(cause) => {
                        error!(self.log, "cannot listen at the control socket"; "error" => %cause);
                        drop(socket);
                        self.bind(ctx);
                    }
                }
            }
            ControlCommand::Close(done) => {
                self.closing = true;
                self.bound = None;
                self.close(done, 0, ctx);
            }
        }
    }
}
