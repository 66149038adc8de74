//! Bytes as they are read, cut into lines, and lines that are too long into pieces.

use std::cell::RefCell;

/// More memory than this is not kept for the beginning of the next line of a stream.
const KEPT: usize = 4096;
/// And no more than this for the next long line of any stream.
const SPARE: usize = 256 * 1024;

/// Which part of a line it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Whether the line begins with it.
    pub first: bool,
    /// Whether it is the end of the line, which is then taken as a whole; otherwise more is there than fits into one record,
    /// and whoever gets it takes as much as they like.
    pub last: bool,
}

impl Piece {
    /// All of a line.
    pub const WHOLE: Self = Self { first: true, last: true };
}

/// The limit, and what all streams share.
#[derive(Debug)]
pub struct Limit {
    /// No record is longer, so no more of a line than this is waited for: `logging.maxLine`.
    pub longest: usize,
    /// The buffer of whoever had a long line last, for who has the next one; meanwhile it has theirs, which is small. So a
    /// flood of long lines takes no memory for each of them, nor does every stream keep as much as its longest line.
    spare: RefCell<Vec<u8>>,
}

impl Limit {
    pub fn new(longest: usize) -> Self {
        Self { longest, spare: RefCell::default() }
    }
}

/// Something that grows until it is whole, or so long that pieces of it have to go.
#[derive(Debug, Default)]
pub struct Gathered {
    bytes: Vec<u8>,
    /// Whether pieces have gone and more will come.
    split: bool,
}

impl Gathered {
    /// What is there and has not gone.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether nothing has begun.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && !self.split
    }

    /// Whether pieces have gone and more will come.
    pub fn is_split(&self) -> bool {
        self.split
    }

    /// Adds bytes; pieces that are longer than the limit allows go.
    pub fn add(&mut self, bytes: &[u8], limit: &Limit, each: &mut impl FnMut(&[u8], Piece) -> usize) {
        if self.bytes.len() + bytes.len() > KEPT && self.bytes.capacity() <= KEPT {
            let mut large = limit.spare.take();
            large.extend_from_slice(&self.bytes);
            self.bytes.clear();
            *limit.spare.borrow_mut() = std::mem::replace(&mut self.bytes, large);
        }
        self.bytes.extend_from_slice(bytes);
        let mut gone = 0;
        loop {
            // The CR of the line's end must not make a piece of its own.
            let rest = without_cr(&self.bytes[gone..]);
            if rest.len() <= limit.longest {
                break;
            }
            gone += each(rest, Piece { first: !self.split, last: false });
            self.split = true;
        }
        self.bytes.drain(..gone);
    }

    /// What is left is the end.
    pub fn finish(&mut self, limit: &Limit, each: &mut impl FnMut(&[u8], Piece) -> usize) {
        let first = !std::mem::take(&mut self.split);
        each(&self.bytes, Piece { first, last: true });
        self.bytes.clear();
        if self.bytes.capacity() > KEPT {
            let large = std::mem::replace(&mut self.bytes, limit.spare.take());
            // Two streams may have been in the middle of long lines at once, and a very long one is not remembered for ever.
            if self.bytes.capacity() > KEPT {
                self.bytes = Vec::new();
            }
            if large.capacity() <= SPARE {
                *limit.spare.borrow_mut() = large;
            }
        }
    }
}

/// Cuts one stream into lines.
#[derive(Debug, Default)]
pub struct Cutter {
    /// The beginning of a line whose end has not come.
    line: Gathered,
}

impl Cutter {
    /// The beginning of a line whose end has not come, without the pieces that have gone.
    pub fn begun(&self) -> &Gathered {
        &self.line
    }

    /// Takes what was read next. `each` gets lines without LF or CR LF, or pieces of them.
    pub fn take(&mut self, mut bytes: &[u8], limit: &Limit, each: &mut impl FnMut(&[u8], Piece) -> usize) {
        while let Some(at) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = (&bytes[..at], &bytes[at + 1..]);
            if at <= limit.longest && self.line.is_empty() {
                each(without_cr(line), Piece::WHOLE);
            } else {
                self.line.add(line, limit, each);
                self.end_line(limit, each);
            }
            bytes = rest;
        }
        if !bytes.is_empty() {
            self.line.add(bytes, limit, each);
        }
    }

    /// The end of the stream: what has no newline is a line all the same.
    pub fn end(&mut self, limit: &Limit, each: &mut impl FnMut(&[u8], Piece) -> usize) {
        if !self.line.is_empty() {
            self.end_line(limit, each);
        }
    }

    fn end_line(&mut self, limit: &Limit, each: &mut impl FnMut(&[u8], Piece) -> usize) {
        let length = without_cr(&self.line.bytes).len();
        self.line.bytes.truncate(length);
        self.line.finish(limit, each);
    }
}

/// How much of a line that is longer than this makes a piece of at most this length: no character is cut in two.
pub fn piece_length(line: &[u8], longest: usize) -> usize {
    let is_inside = |at: usize| line.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
    (longest - 3..=longest).rev().find(|at| !is_inside(*at)).unwrap_or(longest)
}

/// A line without the CR that belongs to its end.
pub fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: usize = 64 * 1024;

    /// The pieces of lines, each with whether it is the first and the last one.
    fn cut(pieces: &[&[u8]], longest: usize) -> Vec<(String, [bool; 2])> {
        let (mut cutter, limit, mut got) = (Cutter::default(), Limit::new(longest), Vec::new());
        let mut each = |line: &[u8], piece: Piece| {
            let taken = if piece.last { line.len() } else { piece_length(line, longest) };
            got.push((String::from_utf8(line[..taken].to_vec()).unwrap(), [piece.first, piece.last]));
            taken
        };
        for piece in pieces {
            cutter.take(piece, &limit, &mut each);
        }
        cutter.end(&limit, &mut each);
        got
    }

    fn texts(pieces: &[&[u8]], longest: usize) -> Vec<String> {
        cut(pieces, longest).into_iter().map(|(text, _)| text).collect()
    }

    #[test]
    fn pieces_make_lines() {
        let got = texts(&[b"par", b"ti", b"al\nwhole\n\nend\r\nrest"], LONGEST);
        assert_eq!(got, ["partial", "whole", "", "end", "rest"]);
    }

    #[test]
    fn a_line_of_any_length_is_whole_in_pieces() {
        let long = "é".repeat(100_000);
        let got = texts(&[long.as_bytes(), b"\nafter\n"], LONGEST);
        assert_eq!(got[..got.len() - 1].concat(), long);
        assert_eq!(got[got.len() - 1], "after");
        assert!(got.iter().all(|piece| piece.len() <= LONGEST));
    }

    #[test]
    fn pieces_say_which_is_the_first_and_which_the_last_one() {
        for chunk in [1, 7, 1000] {
            let text = format!("{}\r\nshort\n{}", "x".repeat(1000), "y".repeat(257));
            let chunks: Vec<&[u8]> = text.as_bytes().chunks(chunk).collect();
            let got = cut(&chunks, 256);
            let pieces: Vec<_> = got.iter().map(|(_, piece)| *piece).collect();
            let long = [[true, false], [false, false], [false, false], [false, true]];
            assert_eq!(pieces, [&long[..], &[[true, true], [true, false], [false, true]]].concat());
            assert_eq!(got[..4].iter().map(|(text, _)| text.as_str()).collect::<String>(), "x".repeat(1000));
        }
    }

    #[test]
    fn a_line_as_long_as_the_limit_is_whole() {
        let text = format!("{}\r\n", "x".repeat(256));
        for chunk in [1, 255, 256, 257, 258] {
            let chunks: Vec<&[u8]> = text.as_bytes().chunks(chunk).collect();
            assert_eq!(cut(&chunks, 256), [("x".repeat(256), [true, true])]);
        }
    }
}
