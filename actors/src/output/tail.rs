//! The last lines of one job or check, kept in memory, and those who follow it.

use std::collections::VecDeque;

use super::encode::{Stream, stamp_of};
use super::follow::{Follower, Followers};
use super::lines::without_cr;

/// How many lines are kept.
const LINES: usize = 100;
/// How many bytes of them are kept.
const BYTES: usize = 16 * 1024;
/// Of a longer line only its beginning is kept, so that it leaves room for others.
const LINE: usize = 4096;

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

/// What all lines of one piece of output have in common.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// Nanoseconds since 1970.
    pub at: u64,
    pub pid: i32,
    pub stream: Stream,
}

impl Origin {
    /// A line of this piece.
    pub fn line(self, text: Vec<u8>) -> TailLine {
        TailLine { time: stamp_of(self.at), pid: self.pid, stream: self.stream, text }
    }
}

/// See the module. Takes no memory per line once it is full.
#[derive(Debug, Default)]
pub struct Tail {
    lines: VecDeque<(Origin, usize)>,
    bytes: VecDeque<u8>,
    followers: Followers,
}

impl Tail {
    /// Takes a piece of output. `begun` is the beginning of its first line; what follows the last newline is left for later.
    pub fn take(&mut self, origin: Origin, begun: &[u8], chunk: &[u8]) {
        let Some(end) = memchr::memrchr(b'\n', chunk) else { return };
        let whole = &chunk[..end];
        self.followers.tell(origin, begun, whole);
        let start = last_lines(whole);
        let mut begun = if start == 0 { begun } else { b"" };
        let mut rest = &whole[start..];
        loop {
            let at = memchr::memchr(b'\n', rest);
            self.keep(origin, begun, without_cr(&rest[..at.unwrap_or(rest.len())]));
            let Some(at) = at else { return };
            (begun, rest) = (b"", &rest[at + 1..]);
        }
    }

    /// Takes a line that no newline ends.
    pub fn push(&mut self, origin: Origin, line: &[u8]) {
        self.followers.tell(origin, b"", line);
        self.keep(origin, b"", line);
    }

    /// Keeps a line, which comes in two pieces.
    fn keep(&mut self, origin: Origin, begun: &[u8], line: &[u8]) {
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
    }

    /// The last `count` lines, the oldest first; fewer if no more are kept.
    pub fn last(&self, count: usize) -> Vec<TailLine> {
        self.kept(count).map(|(origin, text)| origin.line(text)).collect()
    }

    fn kept(&self, count: usize) -> impl Iterator<Item = (Origin, Vec<u8>)> {
        let skipped = self.lines.len().saturating_sub(count);
        let mut at: usize = self.lines.iter().take(skipped).map(|(_, size)| size).sum();
        self.lines.iter().skip(skipped).map(move |(origin, size)| {
            let text = self.bytes.range(at..at + size).copied().collect();
            at += size;
            (*origin, text)
        })
    }

    /// What a process wrote last, to either stream or to one: whole lines as text, of no more than `most` bytes together; of
    /// a line that alone has more its beginning.
    pub fn last_words(&self, pid: i32, stream: Option<Stream>, most: usize) -> String {
        let (mut end, mut left) = (self.bytes.len(), most);
        let mut lines = Vec::new();
        for (origin, size) in self.lines.iter().rev() {
            let start = end - size;
            if origin.pid == pid && stream.is_none_or(|stream| stream == origin.stream) {
                if *size > left && !lines.is_empty() {
                    break;
                }
                let line: Vec<u8> = self.bytes.range(start..end).take(left).copied().collect();
                lines.push(String::from_utf8_lossy(&line).into_owned());
                left = left.saturating_sub(size + 1);
            }
            end = start;
        }
        lines.reverse();
        lines.join("\n").trim().to_owned()
    }

    /// Sends the last `count` lines and all that follow.
    pub fn follow(&mut self, count: usize, follower: Follower) {
        let mut followers = std::mem::take(&mut self.followers);
        followers.add(follower, self.kept(count));
        self.followers = followers;
    }
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
    fn last_words_are_those_of_one_process() {
        let mut tail = Tail::default();
        let stderr = |pid| Origin { pid, stream: Stream::Stderr, ..ORIGIN };
        tail.take(stderr(2), b"", b"another one's\n");
        tail.take(ORIGIN, b"", b"trying\n");
        tail.take(stderr(1), b"", b"no such file\n\xff\n\n");
        tail.take(ORIGIN, b"", b"bye\n");
        assert_eq!(tail.last_words(1, Some(Stream::Stderr), 100), "no such file\n\u{fffd}");
        assert_eq!(tail.last_words(1, None, 100), "trying\nno such file\n\u{fffd}\n\nbye");
        assert_eq!(tail.last_words(1, None, 16), "\u{fffd}\n\nbye", "no half of a line");
        assert_eq!(tail.last_words(3, None, 100), "");
        tail.take(stderr(1), b"", b"a long line\n");
        assert_eq!(tail.last_words(1, Some(Stream::Stderr), 6), "a long", "unless there is no other");
    }
}
