//! Those who follow a job or a check. They share what is said, may let so much of it wait, and are waited for by nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::lines::without_cr;
use super::tail::{Origin, TailLine};

/// How many bytes may wait for a follower, unless it is one piece of output alone.
const MOST_BYTES: usize = 128 * 1024;
/// How many pieces of output may wait.
const MOST_PIECES: usize = 1024;
/// What a piece takes besides its text, more or less.
const OVERHEAD: usize = 64;

/// What somebody who follows a job is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Followed {
    /// The next line.
    Line(TailLine),
    /// So many lines are missing here: the follower was too slow.
    Lost(u64),
}

/// Whole lines with a newline between each two.
#[derive(Clone, Debug)]
struct Piece {
    origin: Origin,
    text: Arc<[u8]>,
}

impl Piece {
    fn size(&self) -> usize {
        self.text.len() + OVERHEAD
    }
}

#[derive(Debug)]
enum Sent {
    Said(Piece),
    Lost(u64),
}

#[derive(Debug, Default)]
struct State {
    /// How many bytes wait.
    waiting: AtomicUsize,
    /// How many lines are missing behind those that wait.
    lost: AtomicU64,
}

/// Where a follower gets its lines from.
#[derive(Debug)]
pub struct Lines {
    pieces: mpsc::Receiver<Sent>,
    state: Arc<State>,
    /// The piece that is being told, and where its next line begins.
    current: Option<(Piece, usize)>,
}

impl Lines {
    /// The next line, or that some are missing. None when there is no pump any more.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Followed>> {
        loop {
            if let Some(line) = self.line() {
                return Poll::Ready(Some(Followed::Line(line)));
            }
            match self.pieces.poll_recv(cx) {
                Poll::Ready(Some(Sent::Said(piece))) => self.current = Some((piece, 0)),
                Poll::Ready(Some(Sent::Lost(count))) => return Poll::Ready(Some(Followed::Lost(count))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => break,
            }
        }
        // The job may be silent for long.
        if self.pieces.is_empty() {
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

    /// The next line of the current piece.
    fn line(&mut self) -> Option<TailLine> {
        let (piece, at) = self.current.as_mut()?;
        let rest = &piece.text[*at..];
        let end = memchr::memchr(b'\n', rest);
        let line = piece.origin.line(without_cr(&rest[..end.unwrap_or(rest.len())]).to_vec());
        match end {
            Some(end) => *at += end + 1,
            None => {
                self.state.waiting.fetch_sub(piece.size(), Ordering::Relaxed);
                self.current = None;
            }
        }
        Some(line)
    }
}

/// The pump's end of it.
#[derive(Debug)]
pub struct Follower {
    pieces: mpsc::Sender<Sent>,
    state: Arc<State>,
}

impl Follower {
    /// Both ends.
    pub fn new() -> (Self, Lines) {
        let (sender, receiver) = mpsc::channel(MOST_PIECES);
        let state = Arc::new(State::default());
        (Self { pieces: sender, state: state.clone() }, Lines { pieces: receiver, state, current: None })
    }

    /// False if nobody is there any more.
    fn tell(&self, piece: &Piece, lines: u64) -> bool {
        let State { waiting, lost } = &*self.state;
        let (size, full) = (piece.size(), waiting.load(Ordering::Relaxed));
        if full > 0 && full + size > MOST_BYTES {
            lost.fetch_add(lines, Ordering::Relaxed);
            return !self.pieces.is_closed();
        }
        let missing = lost.swap(0, Ordering::Relaxed);
        if missing > 0
            && let Err(cause) = self.pieces.try_send(Sent::Lost(missing))
        {
            lost.fetch_add(missing + lines, Ordering::Relaxed);
            return matches!(cause, TrySendError::Full(_));
        }
        waiting.fetch_add(size, Ordering::Relaxed);
        let Err(cause) = self.pieces.try_send(Sent::Said(piece.clone())) else { return true };
        waiting.fetch_sub(size, Ordering::Relaxed);
        lost.fetch_add(lines, Ordering::Relaxed);
        matches!(cause, TrySendError::Full(_))
    }
}

/// All who follow one job or check.
#[derive(Debug, Default)]
pub struct Followers(Vec<Follower>);

impl Followers {
    /// One more, who begins with these lines.
    pub fn add(&mut self, follower: Follower, last: impl Iterator<Item = (Origin, Vec<u8>)>) {
        self.0.retain(|follower| !follower.pieces.is_closed());
        let mut pieces = last.map(|(origin, text)| Piece { origin, text: text.into() });
        if pieces.all(|piece| follower.tell(&piece, 1)) {
            self.0.push(follower);
        }
    }

    /// Tells them whole lines, without the last newline. `begun` is the beginning of the first one.
    pub fn tell(&mut self, origin: Origin, begun: &[u8], lines: &[u8]) {
        if self.0.is_empty() {
            return;
        }
        let text: Arc<[u8]> = if begun.is_empty() { lines.into() } else { [begun, lines].concat().into() };
        let count = 1 + memchr::memchr_iter(b'\n', lines).count();
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let piece = Piece { origin, text };
        self.0.retain(|follower| follower.tell(&piece, count));
    }

    /// Whether nobody is left, as far as is known.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::output::Stream;

    const ORIGIN: Origin = Origin { at: 0, pid: 1, stream: Stream::Stdout };

    fn followed() -> (Followers, Lines) {
        let mut followers = Followers::default();
        let (follower, lines) = Follower::new();
        followers.add(follower, [(ORIGIN, b"before".to_vec())].into_iter());
        (followers, lines)
    }

    /// What waits; nothing is an empty text.
    fn next(lines: &mut Lines) -> String {
        match lines.poll_next(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(Followed::Line(line))) => String::from_utf8(line.text).unwrap(),
            Poll::Ready(Some(Followed::Lost(count))) => format!("lost {count}"),
            Poll::Ready(None) | Poll::Pending => String::new(),
        }
    }

    #[test]
    fn lines_are_whole_whatever_the_pieces() {
        let (mut followers, mut lines) = followed();
        followers.tell(ORIGIN, b"be", b"gun\r\n2\r");
        followers.tell(ORIGIN, b"", b"3");
        let said = [next(&mut lines), next(&mut lines), next(&mut lines), next(&mut lines), next(&mut lines)];
        assert_eq!(said, ["before", "begun", "2", "3", ""]);
        assert_eq!(lines.state.waiting.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_slow_follower_is_told_what_it_missed_in_its_place() {
        let (mut followers, mut lines) = followed();
        let long = "x".repeat(MOST_BYTES);
        // What is longer than all that may wait comes all the same, if it is alone.
        assert_eq!(next(&mut lines), "before");
        followers.tell(ORIGIN, b"", long.as_bytes());
        followers.tell(ORIGIN, b"", b"a\nb");
        assert_eq!([next(&mut lines), next(&mut lines), next(&mut lines)], [long.as_str(), "lost 2", ""]);
        for number in 0..MOST_PIECES + 3 {
            followers.tell(ORIGIN, b"", number.to_string().as_bytes());
        }
        assert_eq!(next(&mut lines), "0");
        followers.tell(ORIGIN, b"", b"on");
        for number in 1..MOST_PIECES {
            assert_eq!(next(&mut lines), number.to_string());
        }
        assert_eq!([next(&mut lines), next(&mut lines), next(&mut lines)], ["lost 3", "lost 1", ""]);
        followers.tell(ORIGIN, b"", b"on");
        assert_eq!(next(&mut lines), "on");
    }

    #[test]
    fn who_is_gone_is_forgotten() {
        let (mut followers, lines) = followed();
        drop(lines);
        followers.tell(ORIGIN, b"", b"gone");
        assert!(followers.is_empty());
    }
}
