//! Where each value of a config stands in its text, and how deeply the text is nested.
//!
//! The parser tells the place of a syntax error only. This looks at the text once more, just closely enough to find
//! where keys and values begin; what it makes of a text that is no JSON5 does not matter.

/// A line and a column, in characters, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

/// Where every value of a text stands.
#[derive(Debug)]
pub struct Positions<'a> {
    text: &'a str,
    /// By the number of the value (`Node::id`): the offsets of its key, or of itself in a list, and of itself.
    places: Vec<(usize, usize)>,
    /// The offset of the first character of each line.
    lines: Vec<usize>,
}

impl<'a> Positions<'a> {
    /// Finds the values of a text that the parser has accepted.
    pub fn of(text: &'a str) -> Self {
        Self { text, places: places(text), lines: lines(text) }
    }

    /// Where the key of a value begins; of a list's item, the value.
    pub fn of_key(&self, id: usize) -> Option<Position> {
        self.places.get(id).map(|(key, _)| self.at(*key))
    }

    /// Where each value begins, in bytes, by its number.
    pub fn value_offsets(&self) -> Vec<usize> {
        self.places.iter().map(|(_, value)| *value).collect()
    }

    /// Where a value begins.
    pub fn of_value(&self, id: usize) -> Option<Position> {
        self.places.get(id).map(|(_, value)| self.at(*value))
    }

    fn at(&self, offset: usize) -> Position {
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = self.lines.get(line.wrapping_sub(1)).copied().unwrap_or(0);
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count());
        Position { line: line.max(1), column: column + 1 }
    }
}

/// The position of an offset in a text.
pub fn position(text: &str, offset: usize) -> Position {
    Positions { text, places: Vec::new(), lines: lines(text) }.at(offset)
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

/// The lines that JSON5 counts: also ended by U+2028 and U+2029.
fn lines(text: &str) -> Vec<usize> {
    let mut lines = vec![0];
    for (offset, c) in text.char_indices() {
        let ends = match c {
            '\n' | '\u{2028}' | '\u{2029}' => true,
            '\r' => text.as_bytes().get(offset + 1) != Some(&b'\n'),
            _ => false,
        };
        if ends {
            lines.push(offset + c.len_utf8());
        }
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
        let positions = Positions::of(text);
        let at = |line, column| Some(Position { line, column });
        let found: Vec<_> = (0..7).map(|id| (positions.of_key(id), positions.of_value(id))).collect();
        assert_eq!(found[0], (at(2, 1), at(2, 1)));
        assert_eq!(found[1], (at(2, 3), at(2, 6)));
        assert_eq!(found[2], (at(2, 9), at(2, 16)));
        assert_eq!(found[3], (at(2, 18), at(2, 18)));
        assert_eq!(found[4], (at(2, 31), at(2, 31)));
        assert_eq!(found[5], (at(2, 32), at(2, 35)));
        assert_eq!(found[6], (at(3, 3), at(3, 10)));
        assert_eq!(positions.of_value(7), None);
    }

    #[test]
    fn columns_count_characters_and_lines_every_ending() {
        let positions = Positions::of("[\r\n'é日🚀', 1,\r2,\u{2028}3]");
        assert_eq!(positions.of_value(2), Some(Position { line: 2, column: 8 }));
        assert_eq!(positions.of_value(3), Some(Position { line: 3, column: 1 }));
        assert_eq!(positions.of_value(4), Some(Position { line: 4, column: 1 }));
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
        let positions = Positions::of(text);
        assert!(positions.of_value(last(&node)).is_some());
        assert_eq!(positions.of_value(last(&node) + 1), None);
    }
}
