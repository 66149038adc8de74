//! Where each value of a config stands in its text as parsed, and which brackets are open where.
//!
//! The parser tells the place of a syntax error only. This looks at the text once more, just closely enough to find
//! where keys and values begin; what it makes of a text that is no JSON5 does not matter. Where the same place is in the
//! file as written, is for `written`.

use std::fmt;
use std::ops::Range;

/// A line and a column, in characters, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Where every value of a text stands, by its number (`Node::id`).
#[derive(Debug)]
pub struct Places<'a> {
    text: &'a str,
    /// The offsets of its key, or of itself in a list, and of itself.
    places: Vec<(usize, usize)>,
}

impl<'a> Places<'a> {
    /// Finds the values of a text that the parser has accepted.
    pub fn of(text: &'a str) -> Self {
        Self { text, places: places(text) }
    }

    /// The offset where the key of a value begins; of a list's item, the value.
    pub fn of_key(&self, id: usize) -> Option<usize> {
        self.places.get(id).map(|(key, _)| *key)
    }

    /// The offset where each value begins, by its number.
    pub fn value_offsets(&self) -> Vec<usize> {
        self.places.iter().map(|(_, value)| *value).collect()
    }

    /// The offset where a value begins.
    pub fn of_value(&self, id: usize) -> Option<usize> {
        self.places.get(id).map(|(_, value)| *value)
    }

    /// The offset where a value ends, if it is a string.
    pub fn end_of_string(&self, id: usize) -> Option<usize> {
        let start = self.of_value(id)?;
        let quote = self.text.get(start..)?.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let mut tokens = Tokens { text: self.text, next: start };
        tokens.skip_string(quote);
        Some(tokens.next)
    }
}

/// The position of an offset in a text.
pub fn position(text: &str, offset: usize) -> Position {
    let lines = lines(text.as_bytes());
    position_in(text.as_bytes(), &lines, offset)
}

/// The position of an offset in a text with these lines.
pub fn position_in(text: &[u8], lines: &[usize], offset: usize) -> Position {
    let line = lines.partition_point(|start| *start <= offset);
    let start = lines.get(line.wrapping_sub(1)).copied().unwrap_or(0);
    let column = text.get(start..offset).map_or(0, |before| String::from_utf8_lossy(before).chars().count());
    Position { line: line.max(1), column: column + 1 }
}

/// The offset of a position of the parser's, which counts lines and columns from 0.
pub fn offset(text: &str, line: usize, column: usize) -> usize {
    let start = lines(text.as_bytes()).get(line).copied().unwrap_or(text.len());
    let line = text.get(start..).unwrap_or("");
    start + line.char_indices().nth(column).map_or(line.len(), |(at, _)| at)
}

/// The brackets that are open at an offset of a text, the innermost last: which, and where each was opened.
pub fn open_at(text: &str, offset: usize) -> Vec<(char, usize)> {
    let mut open = Vec::new();
    for token in (Tokens { text: text.get(..offset).unwrap_or(text), next: 0 }) {
        match token {
            Token::Open(at, is_object) => open.push((if is_object { '{' } else { '[' }, at)),
            Token::Close => {
                open.pop();
            }
            Token::Colon | Token::Comma | Token::Text(_) => {}
        }
    }
    open
}

/// The offset of the first thing in a text that is neither space nor comment, or its end.
pub fn first(text: &str) -> usize {
    let mut tokens = Tokens { text, next: 0 };
    match tokens.next() {
        Some(Token::Open(at, _) | Token::Text(at)) => at,
        Some(Token::Close | Token::Colon | Token::Comma) => tokens.next.saturating_sub(1),
        None => text.len(),
    }
}

/// The strings of a text, quotes included.
pub fn strings(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut tokens = Tokens { text, next: 0 };
    std::iter::from_fn(move || {
        loop {
            if let Token::Text(at) = tokens.next()?
                && text[at..].starts_with(['"', '\''])
            {
                return Some(at..tokens.next);
            }
        }
    })
}

/// The offset of the first bracket that opens more than `limit` levels, if any.
pub fn nested_deeper_than(text: &str, limit: usize) -> Option<usize> {
    let mut depth = 0usize;
    for token in (Tokens { text, next: 0 }) {
        match token {
            Token::Open(offset, _) => {
                depth += 1;
                if depth > limit {
                    return Some(offset);
                }
            }
            Token::Close => depth = depth.saturating_sub(1),
            Token::Colon | Token::Comma | Token::Text(_) => {}
        }
    }
    None
}

/// Where the lines that JSON5 counts begin: they are also ended by U+2028 and U+2029.
pub fn lines(text: &[u8]) -> Vec<usize> {
    let mut lines = vec![0];
    for (offset, byte) in text.iter().enumerate() {
        let width = match (byte, text.get(offset + 1..)) {
            (b'\n', _) => 1,
            (b'\r', after) if after.and_then(|after| after.first()) != Some(&b'\n') => 1,
            (0xe2, Some([0x80, 0xa8 | 0xa9, ..])) => 3,
            _ => continue,
        };
        lines.push(offset + width);
    }
    lines
}

/// What contains the values that come next.
enum Container {
    List,
    /// The key read last, and whether its colon has been seen.
    Object(usize, bool),
}

fn places(text: &str) -> Vec<(usize, usize)> {
    let mut places = Vec::new();
    let mut inside: Vec<Container> = Vec::new();
    for token in (Tokens { text, next: 0 }) {
        match token {
            Token::Text(offset) => match inside.last_mut() {
                Some(Container::Object(key, false)) => *key = offset,
                Some(Container::Object(key, true)) => places.push((*key, offset)),
                Some(Container::List) | None => places.push((offset, offset)),
            },
            Token::Open(offset, is_object) => {
                let key = if let Some(Container::Object(key, _)) = inside.last() { *key } else { offset };
                places.push((key, offset));
                inside.push(if is_object { Container::Object(offset, false) } else { Container::List });
            }
            Token::Close => {
                inside.pop();
            }
            Token::Colon | Token::Comma => {
                if let Some(Container::Object(_, has_colon)) = inside.last_mut() {
                    *has_colon = matches!(token, Token::Colon);
                }
            }
        }
    }
    places
}

/// The offset of what has one.
#[derive(Clone, Copy)]
enum Token {
    /// A bracket, and whether it is that of an object.
    Open(usize, bool),
    Close,
    Colon,
    Comma,
    /// A string, a name, a number or another word.
    Text(usize),
}

struct Tokens<'a> {
    text: &'a str,
    next: usize,
}

impl Tokens<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.next..).unwrap_or("")
    }

    /// Goes on after the first place where a pattern matches, or to the end.
    fn skip_past(&mut self, end: &str) {
        self.next = self.rest().find(end).map_or(self.text.len(), |at| self.next + at + end.len());
    }

    fn skip_line(&mut self) {
        let ends = ['\n', '\r', '\u{2028}', '\u{2029}'];
        self.next = self.rest().find(ends).map_or(self.text.len(), |at| self.next + at);
    }

    fn skip_string(&mut self, quote: char) {
        let mut escaped = false;
        for (at, c) in self.text.get(self.next..).unwrap_or("").char_indices().skip(1) {
            if escaped {
                escaped = false;
            } else if c == '\\' {
                escaped = true;
            } else if c == quote {
                self.next += at + 1;
                return;
            }
        }
        self.next = self.text.len();
    }

    fn skip_word(&mut self) {
        let ends = |c: char| is_space(c) || matches!(c, '{' | '}' | '[' | ']' | ',' | ':' | '/' | '"' | '\'');
        self.next = self.rest().find(ends).map_or(self.text.len(), |at| self.next + at);
    }
}

fn is_space(c: char) -> bool {
    c.is_whitespace() || c == '\u{feff}'
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        loop {
            let at = self.next;
            let c = self.rest().chars().next()?;
            if is_space(c) {
                self.next += c.len_utf8();
                continue;
            }
            if self.rest().starts_with("//") {
                self.skip_line();
                continue;
            }
            if self.rest().starts_with("/*") {
                self.next += 2;
                self.skip_past("*/");
                continue;
            }
            if matches!(c, '"' | '\'') {
                self.skip_string(c);
                return Some(Token::Text(at));
            }
            self.next += c.len_utf8();
            return Some(match c {
                '{' => Token::Open(at, true),
                '[' => Token::Open(at, false),
                '}' | ']' => Token::Close,
                ':' => Token::Colon,
                ',' => Token::Comma,
                _ => {
                    self.skip_word();
                    Token::Text(at)
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::node::{Node, Value};
    use super::*;

    #[test]
    fn every_value_and_its_key_are_found() {
        let text = "// a { comment\n{ a: 1, 'b }': [ 'x', /* [ */ {c: null,} ],\n  \"d\\\"\": -2.5 } ";
        let places = Places::of(text);
        let at = |line, column| Some(Position { line, column });
        let found: Vec<_> = (0..7)
            .map(|id| (places.of_key(id), places.of_value(id)))
            .map(|(key, value)| (key.map(|at| position(text, at)), value.map(|at| position(text, at))))
            .collect();
        assert_eq!(found[0], (at(2, 1), at(2, 1)));
        assert_eq!(found[1], (at(2, 3), at(2, 6)));
        assert_eq!(found[2], (at(2, 9), at(2, 16)));
        assert_eq!(found[3], (at(2, 18), at(2, 18)));
        assert_eq!(found[4], (at(2, 31), at(2, 31)));
        assert_eq!(found[5], (at(2, 32), at(2, 35)));
        assert_eq!(found[6], (at(3, 3), at(3, 10)));
        assert_eq!(places.of_value(7), None);
    }

    #[test]
    fn columns_count_characters_and_lines_every_ending() {
        let text = "[\r\n'é日🚀', 1,\r2,\u{2028}3]";
        let places = Places::of(text);
        let at = |id| position(text, places.of_value(id).unwrap());
        assert_eq!(at(2), Position { line: 2, column: 8 });
        assert_eq!(at(3), Position { line: 3, column: 1 });
        assert_eq!(at(4), Position { line: 4, column: 1 });
        for id in 0..5 {
            let (at, place) = (at(id), places.of_value(id).unwrap());
            assert_eq!(offset(text, at.line - 1, at.column - 1), place);
        }
    }

    #[test]
    fn depth_counts_brackets_outside_of_strings_and_comments() {
        assert_eq!(nested_deeper_than("[[ '[[[[' /* [[[ */ ]]", 2), None);
        assert_eq!(nested_deeper_than("[{a: [1]}]", 2), Some(5));
        assert_eq!(nested_deeper_than(&"[".repeat(100_000), 100), Some(100));
    }

    #[test]
    fn it_agrees_with_the_parser_about_how_many_values_there_are() {
        let text = "{a: {b: [1, 'two', [], {}], 'c': null}, d: Infinity, e: +.5, $f_: \"\\\"\", g: 'a\\\nb'}";
        let node = json5::from_str::<Node>(text).unwrap().numbered();
        fn last(node: &Node) -> usize {
            match &node.value {
                Value::List(items) => items.iter().map(last).max().unwrap_or(node.id),
                Value::Object(entries) => entries.iter().map(|(_, item)| last(item)).max().unwrap_or(node.id),
                Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::String(_) => node.id,
            }
        }
        let places = Places::of(text);
        assert!(places.of_value(last(&node)).is_some());
        assert_eq!(places.of_value(last(&node) + 1), None);
    }
}
