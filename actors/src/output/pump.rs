//! The loop of the pump: reads what is ready, a bounded piece from each pipe in turn, and writes it as records.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{mpsc, oneshot};

use super::encode::{Encoder, Stream};
use super::{Captured, Command, News, Sink};
use crate::event::{Owner, RunId};
use crate::messages::{RunFact, RunReport};
use crate::output::encode::last_words;
use crate::spec::{LogFormat, LogLevel};
use crate::sys::PipePoll;

/// What one turn reads from a pipe at most: a whole pipe by default, and no reason for the others to wait long.
const CHUNK: usize = 64 * 1024;
/// A longer line becomes several records.
const LONGEST_LINE: usize = 64 * 1024;
/// So much is gathered before it is written.
const BATCH: usize = 128 * 1024;
/// So much of what a check has written is reported with its failure.
const LAST_WORDS: usize = 1024;
/// How many ended runs of one owner may leave children behind that hold their pipes; the oldest is let go.
const MOST_HELD: usize = 8;

#[derive(Debug)]
struct Source {
    pipe: File,
    owner: Owner,
    run: RunId,
    pid: i32,
    stream: Stream,
    /// The beginning of a line whose end has not come.
    partial: Vec<u8>,
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
    /// The last words of the runs that are asked for them at their end.
    last_words: HashMap<(Owner, RunId), Vec<u8>>,
    encoder: Encoder,
    shows_lines: bool,
    out: Vec<u8>,
    chunk: Vec<u8>,
    sink: Sink,
    sink_failed: bool,
    waiting: Arc<AtomicUsize>,
}

pub(super) async fn run(inbox: Inbox, poll: Arc<PipePoll>, sink: Sink, format: LogFormat, level: LogLevel) {
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
        last_words: HashMap::new(),
        encoder: Encoder::new(format),
        shows_lines: level <= LogLevel::Info,
        out: Vec::new(),
        chunk: vec![0; CHUNK],
        sink,
        sink_failed: false,
        waiting,
    };
    loop {
        let mut closing = None;
        tokio::select! {
            biased;
            command = commands.recv() => {
                let Some(command) = command else { return };
                closing = this.command(command);
                while closing.is_none() && let Ok(command) = commands.try_recv() {
                    closing = this.command(command);
                }
                this.look();
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
            }
        }
        if let Some(done) = closing {
            this.close();
            // Whoever asked may have given up waiting.
            done.send(()).unwrap_or_default();
            return;
        }
        this.flush();
    }
}

impl Loop {
    fn command(&mut self, command: Command) -> Option<oneshot::Sender<()>> {
        match command {
            Command::Record(bytes) => {
                self.waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
                self.out.extend_from_slice(&bytes);
                self.flush_if_full();
            }
            Command::Reopen => {
                self.flush();
                self.sink_failed = false;
                if let Err(cause) = self.sink.reopen() {
                    last_words(&format!("cannot reopen the log: {cause}"));
                }
            }
            Command::Look => {}
            Command::Flush(done) => {
                self.flush();
                // Whoever asked may have given up waiting.
                done.send(()).unwrap_or_default();
            }
            Command::Close(done) => return Some(done),
        }
        None
    }

    fn look(&mut self) {
        self.unseen.store(0, Ordering::Relaxed);
        while let Ok(news) = self.news.try_recv() {
            match news {
                News::Attached(captured, keys) => self.attach(captured, keys),
                News::Ended(owner, run, report) => {
                    let of_run = (owner.clone(), run);
                    self.run_ended(owner, run);
                    let words = self.last_words.remove(&of_run).unwrap_or_default();
                    if let Some(report) = report {
                        report.do_send(RunReport { run, fact: RunFact::Said(readable(&words)) });
                    }
                }
            }
        }
    }

    fn attach(&mut self, captured: Captured, keys: [u64; 2]) {
        let Captured { owner, run, pid, stdout, stderr, keeps_last_words } = captured;
        if keeps_last_words {
            self.last_words.insert((owner.clone(), run), Vec::new());
        }
        for (pipe, stream, key) in [(stdout, Stream::Stdout, keys[0]), (stderr, Stream::Stderr, keys[1])] {
            let source = Source { pipe: pipe.into(), owner: owner.clone(), run, pid, stream, partial: Vec::new() };
            self.sources.insert(key, source);
        }
        self.by_run.insert((owner, run), keys.to_vec());
    }

    /// Reads one piece of what a pipe holds.
    fn read(&mut self, key: u64) {
        let Some(source) = self.sources.get_mut(&key) else { return };
        match source.pipe.read(&mut self.chunk) {
            Ok(0) => self.remove(key),
            Ok(count) => {
                keep_last(&mut self.last_words, source, &self.chunk[..count]);
                if self.shows_lines {
                    self.encoder.begin(&source.owner, source.pid, source.stream);
                    lines(&self.encoder, &mut self.out, &mut source.partial, &self.chunk[..count]);
                    self.flush_if_full();
                }
            }
            Err(cause) if matches!(cause.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => self.remove(key),
        }
    }

    /// The end of a stream: what has no newline is a line all the same.
    fn remove(&mut self, key: u64) {
        let Some(source) = self.sources.remove(&key) else { return };
        if let Err(errno) = self.poll.remove(&source.pipe) {
            last_words(&format!("cannot let go of the output of {}: {errno}", source.owner));
        }
        if !source.partial.is_empty() && self.shows_lines {
            self.encoder.begin(&source.owner, source.pid, source.stream);
            self.encoder.line(&mut self.out, without_cr(&source.partial));
            self.flush_if_full();
        }
        let of_run = (source.owner, source.run);
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
            let Some(source) = self.sources.get_mut(&key) else { return };
            match source.pipe.read(&mut self.chunk) {
                Ok(count) if count > 0 => {
                    keep_last(&mut self.last_words, source, &self.chunk[..count]);
                    if self.shows_lines {
                        self.encoder.begin(&source.owner, source.pid, source.stream);
                        lines(&self.encoder, &mut self.out, &mut source.partial, &self.chunk[..count]);
                        self.flush_if_full();
                    }
                }
                Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                Err(cause) if cause.kind() == ErrorKind::WouldBlock => return,
                Ok(_) | Err(_) => return self.remove(key),
            }
        }
    }

    /// Everything that was written before this is out after it: all processes have ended.
    fn close(&mut self) {
        let mut keys: Vec<u64> = self.sources.keys().copied().collect();
        keys.sort_unstable();
        for key in keys {
            self.drain(key);
            self.remove(key);
        }
        self.flush();
    }

    fn flush_if_full(&mut self) {
        if self.out.len() >= BATCH {
            self.flush();
        }
    }

    /// Writes what has been gathered; blocks as long as the reader does.
    fn flush(&mut self) {
        if self.out.is_empty() {
            return;
        }
        if let Err(cause) = self.sink.write(&self.out) {
            // The reader is gone or the disk is full: supervision goes on. It is said once, where it can be seen.
            if !std::mem::replace(&mut self.sink_failed, true) {
                last_words(&format!("cannot write the log: {cause}"));
            }
        } else {
            self.sink_failed = false;
        }
        self.out.clear();
        // A burst must not be remembered for ever.
        self.out.shrink_to(BATCH * 2);
    }
}

/// Cuts bytes into lines. What has no newline yet goes to `partial`, unless it is too long for that.
/// Keeps the end of what a run has written, if somebody will ask for it.
fn keep_last(words: &mut HashMap<(Owner, RunId), Vec<u8>>, source: &Source, chunk: &[u8]) {
    if words.is_empty() {
        return;
    }
    if let Some(words) = words.get_mut(&(source.owner.clone(), source.run)) {
        words.extend_from_slice(&chunk[chunk.len().saturating_sub(LAST_WORDS)..]);
        words.drain(..words.len().saturating_sub(LAST_WORDS));
    }
}

/// As text, without the line that has been cut off at its beginning.
fn readable(words: &[u8]) -> String {
    let text = String::from_utf8_lossy(words);
    let whole = if words.len() < LAST_WORDS { &text } else { text.split_once('\n').map_or(&*text, |(_, rest)| rest) };
    whole.trim().to_owned()
}

fn lines(encoder: &Encoder, out: &mut Vec<u8>, partial: &mut Vec<u8>, mut bytes: &[u8]) {
    while let Some(at) = memchr::memchr(b'\n', bytes) {
        let (line, rest) = (&bytes[..at], &bytes[at + 1..]);
        if partial.is_empty() {
            long_line(encoder, out, line);
        } else {
            partial.extend_from_slice(line);
            long_line(encoder, out, partial);
            // Its memory is given back: long lines are rare.
            *partial = Vec::new();
        }
        bytes = rest;
    }
    partial.extend_from_slice(bytes);
    while partial.len() > LONGEST_LINE {
        let piece = piece_length(partial);
        encoder.line(out, &partial[..piece]);
        partial.drain(..piece);
    }
}

fn long_line(encoder: &Encoder, out: &mut Vec<u8>, line: &[u8]) {
    let mut line = without_cr(line);
    while line.len() > LONGEST_LINE {
        let piece = piece_length(line);
        encoder.line(out, &line[..piece]);
        line = &line[piece..];
    }
    encoder.line(out, line);
}

/// How much of a long line one record takes: no character is cut in two.
fn piece_length(line: &[u8]) -> usize {
    let is_inside = |at: usize| line.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
    (LONGEST_LINE - 3..=LONGEST_LINE).rev().find(|at| !is_inside(*at)).unwrap_or(LONGEST_LINE)
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::JobName;

    fn messages(pieces: &[&[u8]]) -> Vec<String> {
        let mut encoder = Encoder::new(LogFormat::Default);
        encoder.begin(&Owner::Job(JobName::new("a")), 1, Stream::Stdout);
        let (mut out, mut partial) = (Vec::new(), Vec::new());
        for piece in pieces {
            lines(&encoder, &mut out, &mut partial, piece);
        }
        let text = String::from_utf8(out).unwrap();
        text.lines().map(|line| line.splitn(4, ' ').nth(3).unwrap().to_owned()).collect()
    }

    #[test]
    fn pieces_make_lines() {
        assert_eq!(messages(&[b"par", b"ti", b"al\nwhole\n\nend\r\nrest"]), ["partial", "whole", "", "end"]);
    }

    #[test]
    fn a_line_of_any_length_is_whole_in_pieces() {
        let long = "é".repeat(100_000);
        let got = messages(&[long.as_bytes(), b"\nafter\n"]);
        assert_eq!(got[..got.len() - 1].concat(), long);
        assert_eq!(got[got.len() - 1], "after");
        assert!(got.iter().all(|piece| piece.len() <= LONGEST_LINE && !piece.contains('\u{fffd}')));
    }
}
