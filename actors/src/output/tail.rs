//! The last lines of one job or check, kept in memory, and those who follow it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::encode::{Stream, stamp_of};
use super::lines::without_cr;

/// How many lines are kept.
const LINES: usize = 100;
/// How many bytes of them are kept.
const BYTES: usize = 16 * 1024;
/// Of a longer line only its beginning is kept, so that it leaves room for others.
const LINE: usize = 4096;
/// How many lines may wait for a follower.
const MOST_LINES: usize = 1024;
/// How many bytes of them, unless it is one line alone.
const MOST_BYTES: usize = 128 * 1024;
/// What a line that waits takes besides its text, more or less.
const OVERHEAD: usize = 64;

/// A line as its job wrote it, without its newline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TailLine {
    /// When we read it: RFC 3339 in UTC with nanoseconds.
    pub time: String,
    /// The process whose pipe it came from.
    pub pid: i32,
    /// Which pipe.
    pub stream: Stream,
    /// Any bytes but LF; not always UTF-8.
    pub text: Vec<u8>,
}

/// What somebody who follows a job is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Followed {
    /// The next line.
    Line(TailLine),
    /// So many lines are missing here: the follower was too slow.
    Lost(u64),
}

/// What all lines of one piece of output have in common.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// Nanoseconds since 1970.
    pub at: u64,
    pub pid: i32,
    pub stream: Stream,
}

impl Followed {
    fn size(&self) -> usize {
        match self {
            Self::Line(line) => Self::size_of(line),
            Self::Lost(_) => 0,
        }
    }

    fn size_of(line: &TailLine) -> usize {
        line.text.len() + OVERHEAD
    }
}

/// Where somebody who follows a job gets its lines from. What waits in it is bounded.
#[derive(Debug)]
pub struct Lines {
    lines: mpsc::Receiver<Followed>,
    state: Arc<FollowState>,
}

#[derive(Debug, Default)]
struct FollowState {
    /// How many bytes wait.
    waiting: AtomicUsize,
    /// How many lines are missing behind those that wait.
    lost: AtomicU64,
}

impl Lines {
    /// The next line, or that some are missing. None when there is no pump any more.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Followed>> {
        if let Poll::Ready(next) = self.lines.poll_recv(cx) {
            let size = next.as_ref().map_or(0, Followed::size);
            self.state.waiting.fetch_sub(size, Ordering::Relaxed);
            return Poll::Ready(next);
        }
        // The job may be silent for long.
        if self.lines.is_empty() {
            let lost = self.state.lost.swap(0, Ordering::Relaxed);
            if lost > 0 {
                return Poll::Ready(Some(Followed::Lost(lost)));
            }
        }
        Poll::Pending
    }

    /// See `poll_next`.
    pub async fn next(&mut self) -> Option<Followed> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }
}

/// The pump's end of it.
#[derive(Debug)]
pub struct Follower {
    lines: mpsc::Sender<Followed>,
    state: Arc<FollowState>,
}

impl Follower {
    /// Both ends.
    pub fn new() -> (Self, Lines) {
        let (sender, receiver) = mpsc::channel(MOST_LINES);
        let state = Arc::new(FollowState::default());
        (Self { lines: sender, state: state.clone() }, Lines { lines: receiver, state })
    }
}

/// See the module. Takes no memory per line once it is full.
#[derive(Debug, Default)]
pub struct Tail {
    lines: VecDeque<(Origin, usize)>,
    bytes: VecDeque<u8>,
    followers: Vec<Follower>,
}

impl Tail {
    /// Takes a piece of output. `begun` is the beginning of its first line; what follows the last newline is left for later.
    pub fn take(&mut self, origin: Origin, begun: &[u8], chunk: &[u8]) {
        let Some(end) = memchr::memrchr(b'\n', chunk) else { return };
        let whole = &chunk[..end];
        let start = if self.followers.is_empty() { last_lines(whole) } else { 0 };
        let mut begun = if start == 0 { begun } else { b"" };
        let mut rest = &whole[start..];
        loop {
            let at = memchr::memchr(b'\n', rest);
            self.push(origin, begun, without_cr(&rest[..at.unwrap_or(rest.len())]));
            let Some(at) = at else { return };
            (begun, rest) = (b"", &rest[at + 1..]);
        }
    }

    /// Takes one line, in two pieces.
    pub fn push(&mut self, origin: Origin, begun: &[u8], line: &[u8]) {
        let first = &begun[..begun.len().min(LINE)];
        let second = &line[..line.len().min(LINE - first.len())];
        let size = first.len() + second.len();
        while self.lines.len() >= LINES || self.bytes.len() + size > BYTES {
            let Some((_, oldest)) = self.lines.pop_front() else { break };
            self.bytes.drain(..oldest);
        }
        self.bytes.extend(first);
        self.bytes.extend(second);
        self.lines.push_back((origin, size));
        if !self.followers.is_empty() {
            self.tell(&line_of(origin, [begun, line].concat()));
        }
    }

    /// The last `count` lines, the oldest first; fewer if no more are kept.
    pub fn last(&self, count: usize) -> Vec<TailLine> {
        let skipped = self.lines.len().saturating_sub(count);
        let mut at: usize = self.lines.iter().take(skipped).map(|(_, size)| size).sum();
        let mut last = Vec::with_capacity(self.lines.len() - skipped);
        for (origin, size) in self.lines.iter().skip(skipped) {
            last.push(line_of(*origin, self.bytes.range(at..at + size).copied().collect()));
            at += size;
        }
        last
    }

    /// Sends the last `count` lines and all that follow.
    pub fn follow(&mut self, count: usize, mut follower: Follower) {
        self.followers.retain(|follower| !follower.lines.is_closed());
        if self.last(count).iter().all(|line| follower.tell(line)) {
            self.followers.push(follower);
        }
    }

    fn tell(&mut self, line: &TailLine) {
        self.followers.retain_mut(|follower| follower.tell(line));
    }
}

impl Follower {
    /// False if nobody is there any more.
    fn tell(&mut self, line: &TailLine) -> bool {
        let FollowState { waiting, lost } = &*self.state;
        let size = Followed::size_of(line);
        let full = waiting.load(Ordering::Relaxed);
        if full > 0 && full + size > MOST_BYTES {
            lost.fetch_add(1, Ordering::Relaxed);
            return !self.lines.is_closed();
        }
        let missing = lost.swap(0, Ordering::Relaxed);
        if missing > 0
            && let Err(cause) = self.lines.try_send(Followed::Lost(missing))
        {
            lost.fetch_add(missing + 1, Ordering::Relaxed);
            return matches!(cause, TrySendError::Full(_));
        }
        waiting.fetch_add(size, Ordering::Relaxed);
        let Err(cause) = self.lines.try_send(Followed::Line(line.clone())) else { return true };
        waiting.fetch_sub(size, Ordering::Relaxed);
        lost.fetch_add(1, Ordering::Relaxed);
        matches!(cause, TrySendError::Full(_))
    }
}

fn line_of(origin: Origin, text: Vec<u8>) -> TailLine {
    TailLine { time: stamp_of(origin.at), pid: origin.pid, stream: origin.stream, text }
}

/// Where the lines begin that are worth keeping.
fn last_lines(whole: &[u8]) -> usize {
    let window = whole.len().saturating_sub(BYTES);
    if let Some(at) = memchr::memrchr_iter(b'\n', &whole[window..]).nth(LINES - 1) {
        return window + at + 1;
    }
    if window == 0 {
        return 0;
    }
    // The first line in the window is cut, unless it is the only one.
    match memchr::memchr(b'\n', &whole[window..]) {
        Some(at) => window + at + 1,
        None => memchr::memrchr(b'\n', &whole[..window]).map_or(0, |at| at + 1),
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    const ORIGIN: Origin = Origin { at: 0, pid: 1, stream: Stream::Stdout };

    fn texts(tail: &Tail, count: usize) -> Vec<String> {
        tail.last(count).into_iter().map(|line| String::from_utf8(line.text).unwrap()).collect()
    }

    fn numbers(range: std::ops::Range<u32>) -> String {
        range.map(|number| format!("{number}\n")).collect()
    }

    #[test]
    fn the_last_lines_are_kept_whatever_the_pieces() {
        for chunk in [1, 3, 64, 100_000] {
            let mut tail = Tail::default();
            let text = numbers(0..20_000);
            let mut begun = Vec::new();
            for piece in text.as_bytes().chunks(chunk) {
                tail.take(ORIGIN, &begun, piece);
                match memchr::memrchr(b'\n', piece) {
                    Some(at) => begun = piece[at + 1..].to_vec(),
                    None => begun.extend_from_slice(piece),
                }
            }
            assert_eq!(texts(&tail, 1000), numbers(19_900..20_000).lines().collect::<Vec<_>>(), "{chunk}");
            assert_eq!(texts(&tail, 2), ["19998", "19999"]);
        }
    }

    #[test]
    fn long_lines_are_bounded() {
        let mut tail = Tail::default();
        for letter in ["a", "b", "c", "d", "e", "f"] {
            tail.take(ORIGIN, b"", format!("{}\n", letter.repeat(100_000)).as_bytes());
        }
        assert_eq!(texts(&tail, 100), ["c", "d", "e", "f"].map(|letter| letter.repeat(LINE)));
        assert!(tail.bytes.capacity() <= 2 * BYTES);
    }

    #[test]
    fn a_slow_follower_is_told_what_it_missed() {
        let mut tail = Tail::default();
        tail.take(ORIGIN, b"", b"before\n");
        let (follower, mut lines) = Follower::new();
        tail.follow(10, follower);
        tail.take(ORIGIN, b"", numbers(0..1026).as_bytes());
        assert_eq!([next(&mut lines), next(&mut lines)], ["before", "0"]);
        tail.take(ORIGIN, b"", b"on\n");
        for number in 1..1023 {
            assert_eq!(next(&mut lines), number.to_string());
        }
        assert_eq!([next(&mut lines), next(&mut lines), next(&mut lines)], ["lost 3", "on", ""]);
        drop(lines);
        tail.take(ORIGIN, b"", b"gone\n");
        assert!(tail.followers.is_empty());
    }

    #[test]
    fn what_waits_for_a_follower_is_bounded_in_bytes() {
        let mut tail = Tail::default();
        let (follower, mut lines) = Follower::new();
        tail.follow(0, follower);
        let long = "x".repeat(MOST_BYTES);
        tail.take(ORIGIN, b"", format!("{long}\n{long}\nshort\n").as_bytes());
        // A line that is longer than what may wait comes all the same, if it is alone.
        assert_eq!([next(&mut lines), next(&mut lines), next(&mut lines)], [long.as_str(), "lost 2", ""]);
        tail.take(ORIGIN, b"", b"on\n");
        assert_eq!([next(&mut lines), next(&mut lines)], ["on", ""]);
        assert_eq!(lines.state.waiting.load(Ordering::Relaxed), 0);
    }

    /// What waits; nothing is an empty text.
    fn next(lines: &mut Lines) -> String {
        match lines.poll_next(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(Followed::Line(line))) => String::from_utf8(line.text).unwrap(),
            Poll::Ready(Some(Followed::Lost(count))) => format!("lost {count}"),
            Poll::Ready(None) | Poll::Pending => String::new(),
        }
    }
}
