//! A line that is a JSON object, of a job with `logging: {json: true}`: whether it is one, its level and its time.
//!
//! Such a line becomes part of a record as it is, byte for byte, so it must be JSON by its grammar (RFC 8259), in UTF-8. What a
//! value is worth is its reader's business: numbers may be larger than a double, surrogates may stand alone, and keys may come
//! twice. Nothing is built of it.

use super::loggers::{self, Keys, Time, Value};
use crate::spec::LogLevel;

/// How deep objects and lists may lie in each other, within the object that is the line.
const DEEPEST: usize = 512;

/// What an object says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Said<'a> {
    /// Its level, if it has one that we know.
    pub level: Option<LogLevel>,
    /// Its time, if it has one that exists.
    pub time: Option<Time<'a>>,
}

/// What an object says under these keys; `None` if the line is anything else.
pub fn inspect<'a>(line: &'a [u8], keys: &Keys<'_>) -> Option<Said<'a>> {
    let mut reader = Reader { rest: line };
    reader.skip_blanks();
    if reader.rest.first() != Some(&b'{') || std::str::from_utf8(line).is_err() {
        return None;
    }
    let (mut level, mut time) = (Best::default(), Best::default());
    reader.members(|key, value| {
        if let Some(rank) = keys.rank_of_level(key) {
            level.offer(rank, || loggers::level(&value));
        }
        if let Some(rank) = keys.rank_of_time(key) {
            time.offer(rank, || loggers::time(&value));
        }
    })?;
    reader.skip_blanks();
    reader.rest.is_empty().then_some(Said { level: level.value(), time: time.value() })
}

/// The value of the key that comes first in the order of keys.
struct Best<T>(Option<(usize, T)>);

impl<T> Default for Best<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Best<T> {
    /// Of equal keys the last one counts, as it does for most readers of JSON.
    fn offer(&mut self, rank: usize, value: impl FnOnce() -> Option<T>) {
        if self.0.as_ref().is_none_or(|(best, _)| rank <= *best)
            && let Some(value) = value()
        {
            self.0 = Some((rank, value));
        }
    }

    fn value(self) -> Option<T> {
        self.0.map(|(_, value)| value)
    }
}

/// Reads JSON that is UTF-8. Whatever is invalid ends it.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn skip_blanks(&mut self) {
        while let Some((b' ' | b'\t' | b'\n' | b'\r', rest)) = self.rest.split_first() {
            self.rest = rest;
        }
    }

    /// Takes this, if it comes next.
    fn takes(&mut self, byte: u8) -> bool {
        match self.rest.split_first() {
            Some((first, rest)) if *first == byte => {
                self.rest = rest;
                true
            }
            Some(_) | None => false,
        }
    }

    fn expects(&mut self, byte: u8) -> Option<()> {
        self.takes(byte).then_some(())
    }

    /// An object, from its `{`.
    fn members(&mut self, mut each: impl FnMut(&[u8], Value<'a>)) -> Option<()> {
        self.expects(b'{')?;
        self.skip_blanks();
        if self.takes(b'}') {
            return Some(());
        }
        loop {
            let key = self.key()?;
            let value = match self.rest.first()? {
                b'{' | b'[' => self.nested().map(|()| Value::Other)?,
                _ => self.scalar()?,
            };
            each(key, value);
            self.skip_blanks();
            if self.takes(b'}') {
                return Some(());
            }
            self.expects(b',')?;
            self.skip_blanks();
        }
    }

    /// A key and its colon, up to its value.
    fn key(&mut self) -> Option<&'a [u8]> {
        let key = self.text()?;
        self.skip_blanks();
        self.expects(b':')?;
        self.skip_blanks();
        Some(key)
    }

    /// An object or a list with all that is in it. Without recursion, for the stack of a thread is small.
    fn nested(&mut self) -> Option<()> {
        let mut open = Open::default();
        loop {
            match self.rest.split_first()? {
                (bracket @ (b'{' | b'['), rest) => {
                    self.rest = rest;
                    open.push(*bracket == b'{')?;
                    self.skip_blanks();
                    if !self.takes(open.end()) {
                        if open.is_object() {
                            self.key()?;
                        }
                        continue;
                    }
                    open.pop();
                }
                _ => drop(self.scalar()?),
            }
            // What may follow a value.
            loop {
                if open.depth == 0 {
                    return Some(());
                }
                self.skip_blanks();
                if self.takes(b',') {
                    self.skip_blanks();
                    if open.is_object() {
                        self.key()?;
                    }
                    break;
                }
                self.expects(open.end())?;
                open.pop();
            }
        }
    }

    fn scalar(&mut self) -> Option<Value<'a>> {
        match self.rest.first()? {
            b'"' => self.text().map(Value::Text),
            b'-' | b'0'..=b'9' => self.number().map(Value::Number),
            _ => {
                let words: [&[u8]; 3] = [b"true", b"false", b"null"];
                self.rest = words.iter().find_map(|word| self.rest.strip_prefix(*word))?;
                Some(Value::Other)
            }
        }
    }

    /// A string, without its quotes.
    fn text(&mut self) -> Option<&'a [u8]> {
        self.expects(b'"')?;
        let text = self.rest;
        loop {
            let plain = self.rest.iter().position(|byte| matches!(byte, 0..0x20 | b'"' | b'\\'))?;
            let special = &self.rest[plain..];
            if special[0] == b'"' {
                self.rest = &special[1..];
                return Some(&text[..text.len() - special.len()]);
            }
            self.rest = special.get(escape_length(special)?..)?;
        }
    }

    fn number(&mut self) -> Option<&'a [u8]> {
        let text = self.rest;
        self.takes(b'-');
        if !self.takes(b'0') {
            self.digits()?;
        }
        if self.takes(b'.') {
            self.digits()?;
        }
        if self.takes(b'e') || self.takes(b'E') {
            if !self.takes(b'+') {
                self.takes(b'-');
            }
            self.digits()?;
        }
        Some(&text[..text.len() - self.rest.len()])
    }

    fn digits(&mut self) -> Option<()> {
        let before = self.rest.len();
        while let Some((b'0'..=b'9', rest)) = self.rest.split_first() {
            self.rest = rest;
        }
        (self.rest.len() < before).then_some(())
    }
}

/// The objects and lists that are open, one bit for each: whether it is an object.
#[derive(Default)]
struct Open {
    objects: [u64; DEEPEST / 64],
    depth: usize,
}

impl Open {
    fn push(&mut self, is_object: bool) -> Option<()> {
        let (word, bit) = (self.objects.get_mut(self.depth / 64)?, 1 << (self.depth % 64));
        if is_object {
            *word |= bit;
        } else {
            *word &= !bit;
        }
        self.depth += 1;
        Some(())
    }

    fn pop(&mut self) {
        self.depth -= 1;
    }

    /// Whether the innermost one is an object.
    fn is_object(&self) -> bool {
        let at = self.depth - 1;
        self.objects[at / 64] >> (at % 64) & 1 == 1
    }

    fn end(&self) -> u8 {
        if self.is_object() { b'}' } else { b']' }
    }
}

/// How long an escape is. None of what is no escape, as a control character.
fn escape_length(text: &[u8]) -> Option<usize> {
    match text.strip_prefix(b"\\")?.first()? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        // Half a surrogate pair is what JavaScript's and Python's encoders make of a text that was cut.
        b'u' => text.get(2..6)?.iter().all(u8::is_ascii_hexdigit).then_some(6),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_object(line: &[u8]) -> bool {
        inspect(line, &Keys::default()).is_some()
    }

    #[test]
    fn objects_are_those_of_the_grammar() {
        for line in [
            "{}",
            r#" {"a": [1, {"b": null}, "é"], "c": -1.5e3} "#,
            r#"{"a":"\ud83d\ude80"}"#,
            r#"{"a":"cut \ud83d","b":"\udc00"}"#,
            r#"{"a":1e400,"b":-1E+999,"c":12345678901234567890123}"#,
            r#"{"a":1,"a":2}"#,
        ] {
            assert!(is_object(line.as_bytes()), "{line}");
        }
        for line in [
            r#"{"a":"\u12g4"}"#,
            r#"{"a":"\u12"}"#,
            r#"{"a":"\x"}"#,
            r#"{"a" 1}"#,
            r#"{"a":1,}"#,
            r#"{,}"#,
            r#"{"a":.5}"#,
            r#"{"a":1.}"#,
            r#"{"a":1e}"#,
            r#"{"a":+1}"#,
            r#"{"a":-}"#,
            r#"{"a":nul}"#,
            r#"{"a":[1 2]}"#,
            r#"{1:2}"#,
            "",
            "[1]",
            "1",
            "null",
            "{",
            "{}}",
            "{} {}",
            "{a: 1}",
            r#"{"a":01}"#,
            "{\"a\":\"\n\"}",
        ] {
            assert!(!is_object(line.as_bytes()), "{line}");
        }
        assert!(!is_object(b"{\"a\":\"\xff\"}"));
        let deep = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
        assert!(!is_object(deep.as_bytes()));
    }

    #[test]
    fn what_is_an_object_is_what_serde_json_takes_for_one() {
        const PIECES: [&[u8]; 40] = [
            b"{",
            b"}",
            b"[",
            b"]",
            b":",
            b",",
            b"\"",
            b"\\",
            b" ",
            b"\t",
            b"\"a\"",
            b"\"a\":",
            b"\"level\":\"warn\"",
            b"\"time\":1",
            b"true",
            b"false",
            b"null",
            b"0",
            b"-",
            b"-0",
            b"12",
            b".5",
            b"e",
            b"E+2",
            b"1e308",
            b"1e309",
            b"\\u0041",
            b"\\ud83d",
            b"\\ude80",
            b"\\ud83d\\ude80",
            b"\\n",
            b"\\x",
            b"\x1f",
            b"\x7f",
            b"\xc3\xa9",
            b"\xc3",
            b"\xff",
            b"{\"a\":[1,{}]}",
            b"\"\\u00e9\"",
            b"1.5e-3",
        ];
        let seed = crate::random::entropy();
        println!("seed {seed}");
        let mut random = crate::random::Random::from_seed(seed);
        let mut random = |length| random.index(length);
        let whole = br#" {"a": [1, -2.5e3, {"b": null}], "c\u0041": "\ud83d\ude80 \"", "d": {}, "e": [true, false], "f": "" } "#;
        let mut objects = 0;
        for _ in 0..100_000 {
            let mut line = Vec::new();
            if random(2) == 0 {
                // An object with something else in a place or two.
                line.extend_from_slice(whole);
                for _ in 0..random(3) {
                    let (at, gone) = (random(line.len()), random(3));
                    let end = line.len().min(at + gone);
                    line.splice(at..end, PIECES[random(PIECES.len())].iter().copied());
                }
            } else {
                line.push(b'{');
                for _ in 0..random(8) {
                    line.extend_from_slice(PIECES[random(PIECES.len())]);
                }
                line.push(b'}');
            }
            let text = std::str::from_utf8(&line).unwrap_or_default();
            // What serde_json skips is checked by the grammar alone.
            let is_json = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
            let theirs = is_json && text.trim_ascii_start().starts_with('{');
            assert_eq!(is_object(&line), theirs, "seed {seed}: {}", String::from_utf8_lossy(&line));
            objects += usize::from(theirs);
        }
        assert!(objects > 10_000, "{objects}");
    }

    #[test]
    fn an_object_may_be_512_levels_deep() {
        let lists = |depth| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        let objects = |depth| format!("{{\"a\":{}1{}}}", "{\"a\":".repeat(depth), "}".repeat(depth));
        assert!(is_object(lists(512).as_bytes()) && !is_object(lists(513).as_bytes()));
        assert!(is_object(objects(512).as_bytes()) && !is_object(objects(513).as_bytes()));
        let mixed = "{\"a\":[".repeat(255) + "{}, [1, {\"b\": []}]" + &"]}".repeat(255);
        assert!(is_object(mixed.as_bytes()));
        assert!(!is_object(mixed.replacen("]}", "}]", 1).as_bytes()), "brackets have to match");
    }

    #[test]
    fn the_first_key_that_has_a_value_counts_and_of_equal_ones_the_last() {
        let level = |line: &str| inspect(line.as_bytes(), &Keys::default()).unwrap().level;
        assert_eq!(level(r#"{"severity":"error","level":"warn"}"#), Some(LogLevel::Warn));
        assert_eq!(level(r#"{"level":{"a":"x"},"@level":"error"}"#), Some(LogLevel::Error));
        assert_eq!(level(r#"{"level":"warn","level":"error"}"#), Some(LogLevel::Error));
        assert_eq!(level(r#"{"a":{"level":"error"},"b":["level"]}"#), None);
    }
}
