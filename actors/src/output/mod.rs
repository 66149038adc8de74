//! Children's stdout and stderr, and our own records, as log lines: pumped on an arbiter of its own.
//!
//! The pump alone writes the log. If the reader of the log is slow, the pump blocks, pipes fill up, and the children
//! that write slow down; events and signals never notice. Not here: what our own records look like (`src/logging.rs`).

mod encode;
mod pump;
mod sink;

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

pub use encode::{Stream, encode_json_string, encode_text_value, stamp_nanos, stamp_seconds};
pub use sink::Sink;

use crate::event::{Owner, RunId};
use crate::spec::{LogFormat, LogLevel};

/// How many bytes of our own records may wait for a slow reader; more are dropped, and counted.
const MOST_WAITING: usize = 1 << 20;

/// The output of a run.
#[derive(Debug)]
pub struct Captured {
    /// Whose.
    pub owner: Owner,
    /// Which run of the owner.
    pub run: RunId,
    /// Its process.
    pub pid: i32,
    /// The ends for reading, non-blocking.
    pub stdout: OwnedFd,
    /// See `stdout`.
    pub stderr: OwnedFd,
}

#[derive(Debug)]
enum Command {
    Attach(Captured),
    Ended(Owner, RunId),
    Record(Vec<u8>),
    Reopen,
    Close(oneshot::Sender<()>),
}

/// A handle to the pump. Nothing here ever blocks.
#[derive(Clone, Debug)]
pub struct Pump {
    commands: mpsc::UnboundedSender<Command>,
    waiting: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
}

impl Pump {
    /// Starts a pump on an arbiter. `level` is the least that is written; children's lines are `info`.
    pub fn start(arbiter: &actix::ArbiterHandle, sink: Sink, format: LogFormat, level: LogLevel) -> Self {
        let (commands, receiver) = mpsc::unbounded_channel();
        let (waiting, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let shared = waiting.clone();
        // The arbiter refuses only when it has ended, and then so have we.
        arbiter.spawn_fn(move || {
            actix::spawn(pump::run(receiver, sink, format, level, shared));
        });
        Self { commands, waiting, dropped }
    }

    fn send(&self, command: Command) -> bool {
        self.commands.send(command).is_ok()
    }

    /// Reads these pipes from now on.
    pub fn attach(&self, captured: Captured) {
        self.send(Command::Attach(captured));
    }

    /// The process of a run has ended; others may still hold its pipes.
    pub fn ended(&self, owner: Owner, run: RunId) {
        self.send(Command::Ended(owner, run));
    }

    /// Writes a record of our own, which ends in a newline. Dropped if too much waits already.
    pub fn record(&self, bytes: Vec<u8>) {
        let size = bytes.len();
        if self.waiting.load(Ordering::Relaxed) + size > MOST_WAITING {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.waiting.fetch_add(size, Ordering::Relaxed);
        self.send(Command::Record(bytes));
    }

    /// How many of our own records have been dropped because the reader of the log was slow.
    pub fn dropped(&self) -> usize {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Opens the log file anew, if the log is a file.
    pub fn reopen(&self) {
        self.send(Command::Reopen);
    }

    /// Writes out everything that is left, for at most this long. True if all of it was written.
    pub async fn close(&self, limit: Duration) -> bool {
        let (done, closed) = oneshot::channel();
        self.send(Command::Close(done)) && matches!(tokio::time::timeout(limit, closed).await, Ok(Ok(())))
    }
}
