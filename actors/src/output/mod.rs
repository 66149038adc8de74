//! Children's stdout and stderr, and our own records, as log lines: pumped on an arbiter of its own.
//!
//! The pump alone writes the log. If the reader of the log is slow, the pump blocks, pipes fill up, and the children
//! that write slow down; events and signals never notice. Not here: what our own records look like (`src/logging.rs`).

mod encode;
mod escape;
mod follow;
pub(crate) mod lines;
pub(crate) mod loggers;
pub(crate) mod object;
mod pump;
mod records;
mod sink;
mod tail;

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use actix::Recipient;
use tokio::sync::{mpsc, oneshot};

pub use encode::{Stream, stamp_go_log, stamp_http, stamp_nanos, stamp_seconds};
pub use escape::{encode_json_string, encode_text_value};
pub use follow::{Followed, Lines};
pub use sink::{OpenError, Sink};
pub use tail::TailLine;

use crate::event::{Owner, RunId};
use crate::messages::RunReport;
use crate::spec::{LogFormat, LogLevel, LoggingSpec, OutputSpec};
use crate::sys::{Errno, PipePoll};

/// How many bytes of our own records may wait for a slow reader; more are dropped, and counted.
const MOST_WAITING: usize = 1 << 20;

/// How often, at the end, the reader of the log may go on to be slow.
const LAST_LOOKS: u32 = 5;

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
    /// What becomes of it.
    pub output: OutputSpec,
    /// Let go once the pump has looked at this.
    pub token: Arc<()>,
}

/// Who wants to know the last words of a run.
#[derive(Debug)]
pub struct Asked {
    /// The process of the run.
    pub pid: i32,
    /// Only those to this stream.
    pub stream: Option<Stream>,
    /// Is told, once they have been read.
    pub report: Recipient<RunReport>,
}

/// How much a job or a check has written, over all its runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines, whether they were shown or not.
    pub lines: u64,
    /// Bytes, newlines included.
    pub bytes: u64,
    /// Lines that were dropped because of a rate limit; a record of several lines counts as one.
    pub dropped: u64,
}

/// How much has been logged and lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogCounts {
    /// By whose output it is; in no order. Raw output is not counted: we never see it.
    pub of_owners: Vec<(Owner, Counts)>,
    /// Records that are lost because the log could not be written: a full disk, a reader that is gone.
    pub lost: u64,
}

/// What wakes the pump.
#[derive(Debug)]
enum Command {
    Record(Vec<u8>),
    /// From here on the log is another one; where it goes stays without a sink.
    Configure(LoggingSpec, Option<Sink>),
    Reopen,
    /// Too much news waits.
    Look,
    Tail(Owner, usize, oneshot::Sender<Vec<TailLine>>),
    Follow(Owner, usize, follow::Follower),
    Counts(oneshot::Sender<LogCounts>),
    /// Say when all that came before is written.
    Flush(oneshot::Sender<()>),
    Close(oneshot::Sender<()>),
}

/// What the pump looks for whenever it is awake. A pipe that has something to say wakes it, and so does its end, so a run
/// that comes and goes costs one awakening instead of three.
#[derive(Debug)]
enum News {
    Attached(Captured, [u64; 2]),
    Ended(Owner, RunId, Option<Asked>),
    Forgotten(Owner),
}

/// So much news may wait until the pump is woken for it: pipes that are held in silence wake nobody.
const MUCH_NEWS: usize = 32;

/// How our own records look by now. They are made by whoever has something to say, so that the pump gets bytes only.
#[derive(Debug)]
struct Manner {
    format: AtomicU8,
    least: AtomicU8,
}

impl Manner {
    fn new(spec: &LoggingSpec) -> Self {
        Self { format: AtomicU8::new(spec.format as u8), least: AtomicU8::new(spec.level as u8) }
    }

    fn set(&self, spec: &LoggingSpec) {
        self.format.store(spec.format as u8, Ordering::Relaxed);
        self.least.store(spec.level as u8, Ordering::Relaxed);
    }
}

/// A handle to the pump. Nothing here ever blocks.
#[derive(Clone, Debug)]
pub struct Pump {
    commands: mpsc::UnboundedSender<Command>,
    news: std::sync::mpsc::Sender<News>,
    poll: Arc<PipePoll>,
    next_key: Arc<AtomicU64>,
    /// How much news nobody has looked at.
    unseen: Arc<AtomicUsize>,
    waiting: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
    /// Bytes that are in the log.
    written: Arc<AtomicU64>,
    manner: Arc<Manner>,
}

impl Pump {
    /// Starts a pump on an arbiter. `sink` is `spec`'s output, opened.
    pub fn start(arbiter: &actix::ArbiterHandle, sink: Sink, spec: &LoggingSpec) -> std::io::Result<Self> {
        let (commands, receiver) = mpsc::unbounded_channel();
        let (news, newsreader) = std::sync::mpsc::channel();
        let pump = Self {
            commands,
            news,
            poll: Arc::new(PipePoll::new()?),
            next_key: Arc::default(),
            unseen: Arc::default(),
            waiting: Arc::default(),
            dropped: Arc::default(),
            written: sink.written(),
            manner: Arc::new(Manner::new(spec)),
        };
        let inbox = pump::Inbox {
            commands: receiver,
            news: newsreader,
            unseen: pump.unseen.clone(),
            waiting: pump.waiting.clone(),
        };
        let (poll, spec) = (pump.poll.clone(), spec.clone());
        // The arbiter refuses only when it has ended, and then so have we.
        arbiter.spawn_fn(move || {
            actix::spawn(pump::run(inbox, poll, sink, spec));
        });
        Ok(pump)
    }

    fn send(&self, command: Command) -> bool {
        self.commands.send(command).is_ok()
    }

    fn tell(&self, news: News) {
        // It fails only when the pump has ended, and then nobody reads anything.
        if self.news.send(news).is_ok() && self.unseen.fetch_add(1, Ordering::Relaxed) + 1 == MUCH_NEWS {
            self.send(Command::Look);
        }
    }

    /// Reads these pipes from now on.
    pub fn attach(&self, captured: Captured) -> Result<(), Errno> {
        let first = self.next_key.fetch_add(2, Ordering::Relaxed);
        let keys = [first, first + 1];
        self.poll.add(&captured.stdout, keys[0])?;
        self.poll.add(&captured.stderr, keys[1])?;
        self.tell(News::Attached(captured, keys));
        Ok(())
    }

    /// The process of a run has ended; others may still hold its pipes.
    pub fn ended(&self, owner: Owner, run: RunId) {
        self.tell(News::Ended(owner, run, None));
    }

    /// The same, and its last words are reported.
    pub fn ended_and_said(&self, owner: Owner, run: RunId, asked: Asked) {
        self.tell(News::Ended(owner, run, Some(asked)));
        self.send(Command::Look);
    }

    /// Whether our own records of this level are written.
    pub fn shows(&self, level: LogLevel) -> bool {
        level as u8 >= self.manner.least.load(Ordering::Relaxed)
    }

    /// How our own records have to look.
    pub fn format(&self) -> LogFormat {
        let now = self.manner.format.load(Ordering::Relaxed);
        LogFormat::ALL.into_iter().find(|format| *format as u8 == now).unwrap_or(LogFormat::Default)
    }

    /// Logs as `spec` says from now on: what has been written so far is in the log as it was, what comes later in the new
    /// one. `sink` is `spec`'s output, opened; without it the log goes on where it is.
    pub fn configure(&self, spec: &LoggingSpec, sink: Option<Sink>) {
        self.send(Command::Configure(spec.clone(), sink));
        self.manner.set(spec);
    }

    /// Nobody asks for this owner's lines and counts any more: they go as soon as no process of its holds a pipe, and so do
    /// those who follow it.
    pub fn forget(&self, owner: Owner) {
        self.tell(News::Forgotten(owner));
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

    /// The last lines of a job or a check, over all its runs, the oldest first: up to `count`, but no more than the last 100
    /// and 16 KiB; of a line its first 4 KiB. They are as they were written, whether they were shown or not. None for raw
    /// output, and for whoever has written nothing.
    ///
    /// As with every question to the pump, the answer waits for as long as the reader of the log does: ask with a time limit.
    pub async fn tail(&self, owner: Owner, count: usize) -> Vec<TailLine> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Tail(owner, count, reply));
        // There is no answer when the pump has ended.
        answer.await.unwrap_or_default()
    }

    /// The last lines as from `tail`, and then each line when it is written, whole, until they are dropped. It goes on
    /// over restarts, and may begin before the first run. Nobody waits for a slow follower: it loses lines, and is told how
    /// many. They end with the pump, or when the owner is forgotten.
    pub fn follow(&self, owner: Owner, count: usize) -> Lines {
        let (follower, lines) = follow::Follower::new();
        self.send(Command::Follow(owner, count, follower));
        lines
    }

    /// How much everybody has written and what was lost of it. For the time that it takes see `tail`; none when the pump has
    /// ended.
    pub async fn counts(&self) -> Option<LogCounts> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Counts(reply));
        answer.await.ok()
    }

    /// Opens the log file anew, if the log is a file.
    pub fn reopen(&self) {
        self.send(Command::Reopen);
    }

    /// Waits, for at most this long, until all records that came before are written. True if they are.
    pub async fn flushed(&self, limit: Duration) -> bool {
        let (done, flushed) = oneshot::channel();
        self.send(Command::Flush(done)) && matches!(tokio::time::timeout(limit, flushed).await, Ok(Ok(())))
    }

    /// Writes out everything that is left. It gives up when the reader of the log has taken nothing for this long, or not
    /// all in five times this long. True if all of it was written.
    pub async fn close(&self, patience: Duration) -> bool {
        let (done, closed) = oneshot::channel();
        self.send(Command::Close(done))
            && with_patience(closed, patience, || self.written.load(Ordering::Relaxed)).await
    }
}

/// Waits as long as there is progress, within reason.
async fn with_patience(mut closed: oneshot::Receiver<()>, patience: Duration, written: impl Fn() -> u64) -> bool {
    let mut before = written();
    for _ in 0..LAST_LOOKS {
        if let Ok(closed) = tokio::time::timeout(patience, &mut closed).await {
            return closed.is_ok();
        }
        let now = written();
        if now == before {
            return false;
        }
        before = now;
    }
    false
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Whether a log is closed that takes so long, with a reader that stops after so long, and how long that took, in seconds.
    async fn closed(takes: u64, stops: u64) -> (bool, u64) {
        let (done, closed) = oneshot::channel();
        let begun = tokio::time::Instant::now();
        let count = Cell::new(0);
        let written = || {
            if begun.elapsed() <= Duration::from_secs(stops) {
                count.set(count.get() + 1);
            }
            count.get()
        };
        let all_is_written = async {
            tokio::time::sleep(Duration::from_millis(takes * 1000 - 500)).await;
            // Nobody may wait any more.
            done.send(()).unwrap_or_default();
        };
        let waits = async {
            let is_closed = with_patience(closed, Duration::from_secs(1), written).await;
            (is_closed, begun.elapsed().as_secs())
        };
        tokio::join!(waits, all_is_written).0
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_gets_the_last_lines_and_one_that_stands_still_is_left() {
        assert_eq!(closed(1, 0).await, (true, 0));
        assert_eq!(closed(4, 10).await, (true, 3), "it goes on to take something");
        assert_eq!(closed(4, 0).await, (false, 1));
        assert_eq!(closed(4, 2).await, (false, 3));
        assert_eq!(closed(10, 10).await, (false, 5), "there is an end to it");
    }
}
