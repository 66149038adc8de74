//! A line that is a JSON object, of a job with `logging: {json: true}`: whether it is one, its level and its time.
//!
//! Such a line becomes part of a record as it is, so it must be one that every consumer can read: UTF-8, numbers that are
//! finite, whole surrogate pairs, no deeper than 126. Nothing is built of it.

use crate::spec::LogLevel;

/// How deep objects and lists may lie in each other: serde_json and readers like it go to 127, and our record is one more.
const DEEPEST: usize = 126;

/// What an object says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Said<'a> {
    /// Its `level`, if it is one that we know.
    pub level: Option<LogLevel>,
    /// Its `time`, if it is one.
    pub time: Option<Time<'a>>,
}

/// When something was, as an object says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time<'a> {
    /// RFC 3339.
    Text(&'a str),
    /// Nanoseconds since 1970.
    At(u64),
}

/// What an object says; none if the line is anything else.
pub fn inspect(line: &[u8]) -> Option<Said<'_>> {
    let mut reader = Reader { rest: line };
    reader.skip_blanks();
    if reader.rest.first() != Some(&b'{') || std::str::from_utf8(line).is_err() {
        return None;
    }
    let mut said = Said::default();
    reader.members(DEEPEST, |key, value| match key {
        b"level" => said.level = level(&value),
        b"time" => said.time = time(&value),
        _ => {}
    })?;
    reader.skip_blanks();
    reader.rest.is_empty().then_some(said)
}

/// A value, as written.
enum Value<'a> {
    /// Without its quotes, its escapes as they are.
    Text(&'a [u8]),
    Number(&'a str),
    Other,
}

/// Reads JSON that is UTF-8. Whatever is none ends it.
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
    fn members(&mut self, deepest: usize, mut each: impl FnMut(&[u8], Value<'a>)) -> Option<()> {
        self.items(b'{', b'}', |reader| {
            let key = reader.text()?;
            reader.skip_blanks();
            reader.expects(b':')?;
            reader.skip_blanks();
            each(key, reader.value(deepest.checked_sub(1)?)?);
            Some(())
        })
    }

    fn items(&mut self, begin: u8, end: u8, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.expects(begin)?;
        self.skip_blanks();
        if self.takes(end) {
            return Some(());
        }
        loop {
            item(self)?;
            self.skip_blanks();
            if self.takes(end) {
                return Some(());
            }
            self.expects(b',')?;
            self.skip_blanks();
        }
    }

    fn value(&mut self, deepest: usize) -> Option<Value<'a>> {
        match self.rest.first()? {
            b'"' => return self.text().map(Value::Text),
            b'-' | b'0'..=b'9' => return self.number().map(Value::Number),
            b'{' => self.members(deepest, |_, _| {})?,
            b'[' => self.items(b'[', b']', |reader| reader.value(deepest.checked_sub(1)?).map(|_| ()))?,
            _ => {
                let words: [&[u8]; 3] = [b"true", b"false", b"null"];
                self.rest = words.iter().find_map(|word| self.rest.strip_prefix(*word))?;
            }
        }
        Some(Value::Other)
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

    fn number(&mut self) -> Option<&'a str> {
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
        let number = std::str::from_utf8(&text[..text.len() - self.rest.len()]).ok()?;
        // Nothing shorter is too large, unless it has an exponent.
        let may_be_infinite = number.len() > 300 || number.bytes().any(|byte| matches!(byte, b'e' | b'E'));
        (!may_be_infinite || number.parse::<f64>().ok()?.is_finite()).then_some(number)
    }

    fn digits(&mut self) -> Option<()> {
        let before = self.rest.len();
        while let Some((b'0'..=b'9', rest)) = self.rest.split_first() {
            self.rest = rest;
        }
        (self.rest.len() < before).then_some(())
    }
}

/// How long an escape is, which has to be one that stands for a character. None of what is no escape, as a control character.
fn escape_length(text: &[u8]) -> Option<usize> {
    let unit = |text: &[u8]| {
        let digits = text.strip_prefix(b"\\u")?.get(..4)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    match text.strip_prefix(b"\\")?.first()? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => match unit(text)? {
            // The two halves of a pair have to come together.
            0xd800..=0xdbff => matches!(unit(text.get(6..)?)?, 0xdc00..=0xdfff).then_some(12),
            0xdc00..=0xdfff => None,
            _ => Some(6),
        },
        _ => None,
    }
}

/// Words as most loggers write them, and the numbers of bunyan and pino.
fn level(value: &Value<'_>) -> Option<LogLevel> {
    const WORDS: [(&str, LogLevel); 15] = [
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
        ("trace", LogLevel::Debug),
        ("information", LogLevel::Info),
        ("notice", LogLevel::Info),
        ("warn", LogLevel::Warn),
        ("warning", LogLevel::Warn),
        ("error", LogLevel::Error),
        ("err", LogLevel::Error),
        ("fatal", LogLevel::Fatal),
        ("critical", LogLevel::Fatal),
        ("crit", LogLevel::Fatal),
        ("alert", LogLevel::Fatal),
        ("emerg", LogLevel::Fatal),
        ("panic", LogLevel::Panic),
    ];
    match value {
        Value::Text(text) => {
            WORDS.iter().find(|(word, _)| text.eq_ignore_ascii_case(word.as_bytes())).map(|(_, level)| *level)
        }
        Value::Number("10" | "20") => Some(LogLevel::Debug),
        Value::Number("30") => Some(LogLevel::Info),
        Value::Number("40") => Some(LogLevel::Warn),
        Value::Number("50") => Some(LogLevel::Error),
        Value::Number("60") => Some(LogLevel::Fatal),
        Value::Number(_) | Value::Other => None,
    }
}

/// RFC 3339 as it is; a number as seconds, milli-, micro- or nanoseconds since 1970, by its size.
fn time<'a>(value: &Value<'a>) -> Option<Time<'a>> {
    match value {
        Value::Text(text) => {
            if is_rfc3339(text) {
                std::str::from_utf8(text).ok().map(Time::Text)
            } else {
                None
            }
        }
        Value::Number(number) => match number.parse::<u64>() {
            Ok(whole) => whole_time(whole).map(Time::At),
            Err(_) => fraction_time(number.parse().ok()?).map(Time::At),
        },
        Value::Other => None,
    }
}

fn whole_time(number: u64) -> Option<u64> {
    let unit = match number {
        0..100_000_000_000 => 1_000_000_000,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1000,
        _ => 1,
    };
    number.checked_mul(unit)
}

fn fraction_time(number: f64) -> Option<u64> {
    let seconds = if number < 1e11 { number } else { number / 1e3 };
    // More digits than those of microseconds are noise in a number of this size; 64 bits end in 2554.
    #[expect(clippy::cast_possible_truncation, reason = "the size is checked")]
    #[expect(clippy::cast_sign_loss, reason = "the sign is checked")]
    (0.0..1.8e10).contains(&seconds).then(|| (seconds * 1e6).round() as u64 * 1000)
}

fn is_rfc3339(text: &[u8]) -> bool {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00";
    let fits = |text: &[u8], shape: &[u8]| {
        text.len() == shape.len()
            && text.iter().zip(shape).all(|(byte, of)| if *of == b'0' { byte.is_ascii_digit() } else { byte == of })
    };
    let Some((head, rest)) = text.split_at_checked(SHAPE.len()) else { return false };
    let rest = match rest.strip_prefix(b".") {
        Some(fraction) => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if !(1..=9).contains(&digits) {
                return false;
            }
            &fraction[digits..]
        }
        None => rest,
    };
    fits(head, SHAPE) && (rest == b"Z" || fits(rest, b"+00:00") || fits(rest, b"-00:00"))
}

#[cfg(test)]
mod tests {
    use super::super::encode::stamp_of;
    use super::*;

    #[test]
    fn only_objects_that_everybody_can_read_are_objects() {
        for line in [r"{}", r#" {"a": [1, {"b": null}, "é"], "c": -1.5e3} "#, r#"{"a":"\ud83d\ude80"}"#] {
            assert!(inspect(line.as_bytes()).is_some(), "{line}");
        }
        for line in [
            r#"{"a":"\u12g4"}"#,
            r#"{"a":"\udc00"}"#,
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
            r#"{"a":"\ud83d"}"#,
            r#"{"a":1e999}"#,
            r#"{"a":01}"#,
            "{\"a\":\"\n\"}",
        ] {
            assert_eq!(inspect(line.as_bytes()), None, "{line}");
        }
        assert_eq!(inspect(b"{\"a\":\"\xff\"}"), None);
        let deep = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
        assert_eq!(inspect(deep.as_bytes()), None);
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
            let theirs = serde_json::from_slice::<serde_json::Value>(&line);
            let is_object = theirs.is_ok_and(|value| value.is_object());
            assert_eq!(inspect(&line).is_some(), is_object, "seed {seed}: {}", String::from_utf8_lossy(&line));
            objects += usize::from(is_object);
        }
        assert!(objects > 10_000, "{objects}");
    }

    #[test]
    fn an_object_is_no_deeper_than_readers_of_the_record_can_go() {
        let deep = |depth| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        assert!(inspect(deep(126).as_bytes()).is_some() && inspect(deep(127).as_bytes()).is_none());
        let record = |depth| serde_json::from_str::<serde_json::Value>(&format!("{{\"data\":{}}}", deep(depth)));
        assert!(record(126).is_ok() && record(127).is_err());
    }

    #[test]
    fn levels_are_those_of_most_loggers() {
        for (written, level) in [
            ("\"WARN\"", Some(LogLevel::Warn)),
            ("\"trace\"", Some(LogLevel::Debug)),
            ("50", Some(LogLevel::Error)),
            ("\"critical\"", Some(LogLevel::Fatal)),
            ("\"loud\"", None),
            ("{\"a\":1}", None),
        ] {
            assert_eq!(inspect(format!("{{\"level\":{written}}}").as_bytes()).unwrap().level, level, "{written}");
        }
    }

    #[test]
    fn times_are_rfc_3339_or_numbers() {
        for (written, time) in [
            ("\"2026-11-21T13:20:00.5+01:00\"", Some("2026-11-21T13:20:00.5+01:00")),
            ("\"2026-11-21T13:20:00Z\"", Some("2026-11-21T13:20:00Z")),
            ("\"2026-11-21 13:20:00\"", None),
            ("\"2026-11-21T13:20:00.Z\"", None),
            ("\"2026-11-21T13:20:00\"", None),
            ("951782400", Some("2000-02-29T00:00:00.000000000Z")),
            ("951782400.25", Some("2000-02-29T00:00:00.250000000Z")),
            ("951782400250", Some("2000-02-29T00:00:00.250000000Z")),
            ("951782400250000001", Some("2000-02-29T00:00:00.250000001Z")),
            ("-1", None),
            ("true", None),
        ] {
            let line = format!("{{\"time\":{written}}}");
            let said = inspect(line.as_bytes()).unwrap();
            let told = said.time.map(|time| match time {
                Time::Text(text) => text.to_owned(),
                Time::At(at) => stamp_of(at),
            });
            assert_eq!(told.as_deref(), time, "{written}");
        }
    }
}
