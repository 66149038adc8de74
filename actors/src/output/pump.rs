//! The loop of the pump: reads what is ready, a bounded piece from each pipe in turn, and writes it as records.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::encode::{Stream, last_words};
use super::records::{Account, BATCH, Flow, Recorder, Who};
use super::{Asked, Captured, Command, LogCounts, News, Sink};
use crate::event::{Owner, RunId};
use crate::messages::{RunFact, RunReport};
use crate::spec::LoggingSpec;
use crate::sys::PipePoll;

/// What one turn reads from a pipe at most: a whole pipe by default, and no reason for the others to wait long.
const CHUNK: usize = 64 * 1024;
/// So much of what a run has written last is reported at its end.
const LAST_WORDS: usize = 1024;
/// How many ended runs of one owner may leave children behind that hold their pipes; the oldest is let go.
const MOST_HELD: usize = 8;

/// How often it is said on stderr, at most, that the log cannot be written.
const COMPLAINTS: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Source {
    pipe: File,
    flow: Flow,
}

/// What comes to the pump from outside.
#[derive(Debug)]
pub(super) struct Inbox {
    pub commands: mpsc::UnboundedReceiver<Command>,
    pub news: std::sync::mpsc::Receiver<News>,
    pub unseen: Arc<AtomicUsize>,
    pub waiting: Arc<AtomicUsize>,
}

struct Loop {
    poll: Arc<PipePoll>,
    news: std::sync::mpsc::Receiver<News>,
    unseen: Arc<AtomicUsize>,
    sources: HashMap<u64, Source>,
    by_run: HashMap<(Owner, RunId), Vec<u64>>,
    held: HashMap<Owner, VecDeque<RunId>>,
    accounts: HashMap<Owner, Account>,
    recorder: Recorder,
    chunk: Vec<u8>,
    outlet: Outlet,
    waiting: Arc<AtomicUsize>,
}

/// Where records go, and what has been said of it.
struct Outlet {
    sink: Sink,
    /// Why the log cannot be written at present.
    failure: Option<std::io::Error>,
    /// Why it could not, if it can again and nobody has been told.
    recovered: Option<std::io::Error>,
    complained: Option<Instant>,
}

impl Outlet {
    /// Writes what has been gathered; blocks as long as the reader does.
    fn write(&mut self, out: &mut Vec<u8>) {
        let written = self.sink.write(out);
        out.clear();
        // A burst must not be remembered for ever.
        out.shrink_to(BATCH * 2);
        match written {
            Ok(()) => self.recovered = self.failure.take().or(self.recovered.take()),
            // The reader is gone or the disk is full: supervision goes on.
            Err(cause) => {
                let now = Instant::now();
                if self.complained.is_none_or(|last| now.duration_since(last) > COMPLAINTS) {
                    self.complained = Some(now);
                    last_words(&format!("cannot write the log, records are lost: {cause}"));
                }
                self.failure = Some(cause);
            }
        }
    }
}

pub(super) async fn run(inbox: Inbox, poll: Arc<PipePoll>, sink: Sink, spec: LoggingSpec) {
    let Inbox { mut commands, news, unseen, waiting } = inbox;
    let pipes = match poll.clone().watch() {
        Ok(pipes) => pipes,
        Err(cause) => return last_words(&format!("cannot read the output of jobs: {cause}")),
    };
    let mut this = Loop {
        poll,
        news,
        unseen,
        sources: HashMap::new(),
        by_run: HashMap::new(),
        held: HashMap::new(),
        accounts: HashMap::new(),
        recorder: Recorder::new(&spec),
        chunk: vec![0; CHUNK],
        outlet: Outlet { sink, failure: None, recovered: None, complained: None },
        waiting,
    };
    loop {
        let mut closing = None;
        tokio::select! {
            biased;
            command = commands.recv() => {
                let Some(command) = command else { return };
                // Whoever asks for the last lines means those of runs that have ended by now, too.
                this.look();
                closing = this.command(command);
                while closing.is_none() && let Ok(command) = commands.try_recv() {
                    this.look();
                    closing = this.command(command);
                }
            }
            ready = pipes.readable() => match ready {
                Ok(mut ready) => {
                    let mut keys = this.poll.ready().peekable();
                    if keys.peek().is_none() {
                        ready.clear_ready();
                    }
                    drop(ready);
                    this.look();
                    for key in keys {
                        this.read(key);
                    }
                }
                Err(cause) => return last_words(&format!("cannot read the output of jobs: {cause}")),
            },
            () = until(this.recorder.wake()) => {}
        }
        if let Some(done) = closing {
            this.close();
            // Whoever asked may have given up waiting.
            done.send(()).unwrap_or_default();
            return;
        }
        // Not in the branch above: it gets no turn while another job floods.
        if this.recorder.wake().is_some_and(|at| at <= Instant::now()) {
            this.pause();
        }
        this.flush();
    }
}

impl Loop {
    fn command(&mut self, command: Command) -> Option<oneshot::Sender<()>> {
        match command {
            Command::Record(bytes) => {
                self.waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
                self.recorder.out.extend_from_slice(&bytes);
                self.flush_if_full();
            }
            Command::Configure(spec, sink) => self.configure(&spec, sink),
            Command::Reopen => {
                self.flush();
                if let Err(cause) = self.outlet.sink.reopen() {
                    last_words(&format!("cannot reopen the log: {cause}"));
                }
            }
            Command::Look => {}
            // Whoever asked may have given up waiting.
            Command::Tail(owner, count, reply) => {
                let lines = self.accounts.get(&owner).map(|account| account.tail.last(count));
                reply.send(lines.unwrap_or_default()).unwrap_or_default();
            }
            Command::Follow(owner, count, follower) => {
                self.accounts.entry(owner).or_default().tail.follow(count, follower)
            }
            Command::Counts(reply) => {
                let of_owners = self.accounts.iter().map(|(owner, account)| (owner.clone(), account.counts));
                let counts = LogCounts { of_owners: of_owners.collect(), lost: self.outlet.sink.lost() };
                reply.send(counts).unwrap_or_default();
            }
            Command::Flush(done) => {
                self.flush();
                // Whoever asked may have given up waiting.
                done.send(()).unwrap_or_default();
            }
            Command::Close(done) => return Some(done),
        }
        None
    }

    /// What has been written by now still goes the old way.
    fn configure(&mut self, spec: &LoggingSpec, sink: Option<Sink>) {
        self.drain_all();
        self.flush();
        self.recorder.configure(spec);
        if let Some(sink) = sink {
            self.outlet.sink.replace(sink);
        }
    }

    fn look(&mut self) {
        self.unseen.store(0, Ordering::Relaxed);
        while let Ok(news) = self.news.try_recv() {
            match news {
                News::Attached(captured, keys) => self.attach(captured, keys),
                News::Forgotten(owner) => {
                    if let Some(account) = self.accounts.get_mut(&owner) {
                        account.forget();
                    }
                    self.let_go(&owner);
                }
                News::Ended(owner, run, asked) => {
                    self.run_ended(owner.clone(), run);
                    if let Some(Asked { pid, stream, report }) = asked {
                        let account = self.accounts.get(&owner);
                        let words = account.map(|account| account.tail.last_words(pid, stream, LAST_WORDS));
                        report.do_send(RunReport { run, fact: RunFact::Said(words.unwrap_or_default()) });
                    }
                }
            }
        }
    }

    fn attach(&mut self, captured: Captured, keys: [u64; 2]) {
        let Captured { owner, run, pid, stdout, stderr, output, token: _ } = captured;
        let output = Arc::new(output);
        let account = self.accounts.entry(owner.clone()).or_default();
        for (pipe, stream, key) in [(stdout, Stream::Stdout, keys[0]), (stderr, Stream::Stderr, keys[1])] {
            account.open(output.rate_limit);
            let who = Who { owner: owner.clone(), run, pid, stream, output: output.clone() };
            self.sources.insert(key, Source { pipe: pipe.into(), flow: Flow::new(who) });
        }
        self.by_run.insert((owner, run), keys.to_vec());
    }

    /// Reads one piece of what a pipe holds.
    fn read(&mut self, key: u64) -> Got {
        let Some(source) = self.sources.get_mut(&key) else { return Got::End };
        match source.pipe.read(&mut self.chunk) {
            Ok(count) if count > 0 => {
                if let Some(account) = self.accounts.get_mut(&source.flow.who.owner) {
                    let full = &mut |out: &mut Vec<u8>| self.outlet.write(out);
                    self.recorder.take(&mut source.flow, account, &self.chunk[..count], full);
                }
                Got::Something
            }
            Err(cause) if cause.kind() == ErrorKind::Interrupted => Got::Something,
            Err(cause) if cause.kind() == ErrorKind::WouldBlock => Got::Nothing,
            Ok(_) | Err(_) => {
                self.remove(key);
                Got::End
            }
        }
    }

    /// Finishes the records that wait for more lines, and tells what limits have dropped, where it is time.
    fn pause(&mut self) {
        self.recorder.woken();
        for source in self.sources.values_mut() {
            if let Some(account) = self.accounts.get_mut(&source.flow.who.owner) {
                self.recorder.pause(&mut source.flow, account, &mut |out| self.outlet.write(out));
            }
        }
    }

    /// The end of a stream: what has no newline is a line all the same.
    fn remove(&mut self, key: u64) {
        let Some(Source { pipe, mut flow }) = self.sources.remove(&key) else { return };
        if let Err(errno) = self.poll.remove(&pipe) {
            last_words(&format!("cannot let go of the output of {}: {errno}", flow.who.owner));
        }
        if let Some(account) = self.accounts.get_mut(&flow.who.owner) {
            self.recorder.end(&mut flow, account, &mut |out| self.outlet.write(out));
        }
        self.let_go(&flow.who.owner);
        let of_run = (flow.who.owner, flow.who.run);
        if let Some(keys) = self.by_run.get_mut(&of_run) {
            keys.retain(|other| *other != key);
            if keys.is_empty() {
                self.by_run.remove(&of_run);
                if let Some(held) = self.held.get_mut(&of_run.0) {
                    held.retain(|run| *run != of_run.1);
                    if held.is_empty() {
                        self.held.remove(&of_run.0);
                    }
                }
            }
        }
    }

    /// Forgets what has been written by whom nobody will ask for.
    fn let_go(&mut self, owner: &Owner) {
        if self.accounts.get(owner).is_some_and(Account::is_over) {
            self.accounts.remove(owner);
        }
    }

    /// Reads what a run has written before its end, and no longer waits for its pipes if too many runs hold theirs.
    fn run_ended(&mut self, owner: Owner, run: RunId) {
        let of_run = (owner, run);
        for key in self.by_run.get(&of_run).cloned().unwrap_or_default() {
            self.drain(key);
        }
        if !self.by_run.contains_key(&of_run) {
            return;
        }
        let held = self.held.entry(of_run.0.clone()).or_default();
        held.push_back(run);
        if held.len() > MOST_HELD
            && let Some(oldest) = held.pop_front()
        {
            for key in self.by_run.get(&(of_run.0, oldest)).cloned().unwrap_or_default() {
                self.drain(key);
                self.remove(key);
            }
        }
    }

    /// Reads what a pipe holds by now: a bounded amount, for somebody may go on writing.
    fn drain(&mut self, key: u64) {
        for _ in 0..16 {
            if self.read(key) != Got::Something {
                return;
            }
        }
    }

    /// The same for all pipes, in the order in which they came.
    fn drain_all(&mut self) -> Vec<u64> {
        let mut keys: Vec<u64> = self.sources.keys().copied().collect();
        keys.sort_unstable();
        for key in &keys {
            self.drain(*key);
        }
        keys
    }

    /// Everything that was written before this is out after it: all processes have ended.
    fn close(&mut self) {
        for key in self.drain_all() {
            self.remove(key);
        }
        self.flush();
    }

    fn flush_if_full(&mut self) {
        if self.recorder.out.len() >= BATCH {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if !self.recorder.out.is_empty() {
            self.outlet.write(&mut self.recorder.out);
        }
        if let Some(cause) = self.outlet.recovered.take() {
            self.tell_lost(&cause);
        }
    }

    /// Tells in the log what is missing there.
    fn tell_lost(&mut self, cause: &std::io::Error) {
        let lost = self.outlet.sink.told_lost();
        if lost > 0 {
            let Recorder { encoder, out, format, .. } = &mut self.recorder;
            let message = format!("{lost} records are lost, the log could not be written: {cause}");
            encoder.warning(out, *format, None, &message, lost);
            self.outlet.write(out);
        }
    }
}

/// What reading a piece of a pipe came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Got {
    Something,
    Nothing,
    End,
}

async fn until(wake: Option<Instant>) {
    match wake {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
