//! One line of a child as one record, in each of the formats.
//!
//! They are 3.8's: `default` is `TIME JOB PID LINE`, `text` is logrus' text, `json` is logrus' JSON plus `stream`; and
//! 2.7's default, `TIME LINE`.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use super::lines::Part;
use crate::event::Owner;
use crate::spec::{LogFormat, LogLevel};

/// Which of a child's two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// `stdout`
    Stdout,
    /// `stderr`
    Stderr,
}

impl Stream {
    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// Whose lines, and how their records look.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    pub owner: &'a Owner,
    pub pid: i32,
    pub stream: Stream,
    pub format: LogFormat,
    pub level: LogLevel,
    /// More fields of each record, by name.
    pub fields: &'a [(String, String)],
}

/// Writes records, with a clock that is read once per batch.
#[derive(Debug, Default)]
pub struct Encoder {
    clock: Clock,
    stamp: String,
    is: Option<LogFormat>,
    prefix: Vec<u8>,
    suffix: Vec<u8>,
}

/// Between the head of a JSON record and its message.
const MESSAGE: &[u8] = b",\"msg\":";

impl Encoder {
    /// Reads the clock: nanoseconds since 1970.
    pub fn tick(&mut self) -> u64 {
        self.clock.read();
        self.clock.at
    }

    /// Makes what is the same for all lines of a batch: who, which stream, when; as of the last tick, unless told otherwise.
    pub fn begin(&mut self, look: &Look<'_>, time: Option<&str>) {
        let Look { owner, pid, stream, format, level, fields } = *look;
        self.is = Some(format);
        self.stamp.clear();
        match (time, format) {
            (Some(time), _) => self.stamp.push_str(time),
            (None, LogFormat::Text) => self.clock.seconds(&mut self.stamp),
            (None, LogFormat::Default | LogFormat::Json) => self.clock.nanos(&mut self.stamp),
            (None, LogFormat::Stamp) => self.clock.go_log(&mut self.stamp),
        }
        let (prefix, suffix) = (&mut self.prefix, &mut self.suffix);
        prefix.clear();
        suffix.clear();
        match format {
            LogFormat::Stamp => {
                prefix.extend_from_slice(self.stamp.as_bytes());
                prefix.push(b' ');
                suffix.push(b'\n');
            }
            LogFormat::Default => {
                prefix.extend_from_slice(self.stamp.as_bytes());
                if let Owner::Job(name) = owner {
                    prefix.push(b' ');
                    prefix.extend_from_slice(name.as_str().as_bytes());
                }
                number(prefix, b" ", pid);
                prefix.push(b' ');
                suffix.push(b'\n');
            }
            LogFormat::Text => {
                head_of_text(prefix, &self.stamp, level);
                suffix.extend_from_slice(label(owner).as_bytes());
                suffix.push(b'=');
                encode_text_value(suffix, owner.to_string().as_bytes());
                number(suffix, b" pid=", pid);
                for (name, value) in fields {
                    suffix.push(b' ');
                    suffix.extend_from_slice(name.as_bytes());
                    suffix.push(b'=');
                    encode_text_value(suffix, value.as_bytes());
                }
                suffix.push(b'\n');
            }
            LogFormat::Json => {
                head_of_json(prefix, Some(owner), level);
                prefix.extend_from_slice(MESSAGE);
                number(suffix, b",\"pid\":", pid);
                suffix.extend_from_slice(match stream {
                    Stream::Stdout => b",\"stream\":\"stdout\"",
                    Stream::Stderr => b",\"stream\":\"stderr\"",
                });
                for (name, value) in fields {
                    suffix.push(b',');
                    encode_json_string(suffix, name.as_bytes());
                    suffix.push(b':');
                    encode_json_string(suffix, value.as_bytes());
                }
                end_of_json(suffix, &self.stamp);
            }
        }
    }

    /// Appends the record of one line, which is without its newline, or of a part of one.
    pub fn line(&self, out: &mut Vec<u8>, line: &[u8], part: Option<Part>) {
        let Some(format) = self.is else { return };
        out.extend_from_slice(&self.prefix);
        match format {
            LogFormat::Default | LogFormat::Stamp => encode_utf8(out, line),
            // logrus leaves out an empty message
            LogFormat::Text if line.is_empty() => {}
            LogFormat::Text => {
                out.extend_from_slice(b"msg=");
                encode_text_value(out, line);
                out.push(b' ');
            }
            LogFormat::Json => encode_json_string(out, line),
        }
        if let Some(part) = part {
            partial(out, format, part);
        }
        out.extend_from_slice(&self.suffix);
    }

    /// Appends a line that is a JSON object: as such in JSON, as a line in the other formats. Newlines between its tokens
    /// become blanks.
    pub fn object(&self, out: &mut Vec<u8>, line: &[u8]) {
        if self.is != Some(LogFormat::Json) {
            return self.line(out, line, None);
        }
        out.extend_from_slice(b"{\"data\":");
        let start = out.len();
        out.extend_from_slice(line);
        for byte in &mut out[start..] {
            // In a string they would be escaped.
            if matches!(*byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
        out.push(b',');
        out.extend_from_slice(&self.prefix[1..self.prefix.len() - MESSAGE.len()]);
        out.extend_from_slice(&self.suffix);
    }

    /// Appends a warning of our own, which counts something.
    pub fn warning(&mut self, out: &mut Vec<u8>, format: LogFormat, owner: Option<&Owner>, message: &str, count: u64) {
        self.tick();
        self.stamp.clear();
        match format {
            LogFormat::Default | LogFormat::Stamp => {
                match format {
                    LogFormat::Stamp => self.clock.go_log(&mut self.stamp),
                    LogFormat::Default | LogFormat::Text | LogFormat::Json => self.clock.nanos(&mut self.stamp),
                }
                out.extend_from_slice(self.stamp.as_bytes());
                out.push(b' ');
                if let Some(owner) = owner {
                    out.extend_from_slice(format!("{owner}: ").as_bytes());
                }
                out.extend_from_slice(message.as_bytes());
                out.push(b'\n');
            }
            LogFormat::Text => {
                self.clock.seconds(&mut self.stamp);
                head_of_text(out, &self.stamp, LogLevel::Warn);
                out.extend_from_slice(b"msg=");
                encode_text_value(out, message.as_bytes());
                out.extend_from_slice(format!(" dropped={count}").as_bytes());
                if let Some(owner) = owner {
                    out.extend_from_slice(format!(" {}=", label(owner)).as_bytes());
                    encode_text_value(out, owner.to_string().as_bytes());
                }
                out.push(b'\n');
            }
            LogFormat::Json => {
                self.clock.nanos(&mut self.stamp);
                head_of_json(out, owner, LogLevel::Warn);
                out.extend_from_slice(MESSAGE);
                encode_json_string(out, message.as_bytes());
                out.extend_from_slice(format!(",\"dropped\":{count}").as_bytes());
                end_of_json(out, &self.stamp);
            }
        }
    }
}

fn head_of_text(out: &mut Vec<u8>, stamp: &str, level: LogLevel) {
    out.extend_from_slice(b"time=\"");
    out.extend_from_slice(stamp.as_bytes());
    out.extend_from_slice(b"\" level=");
    out.extend_from_slice(level.word().as_bytes());
    out.push(b' ');
}

fn head_of_json(out: &mut Vec<u8>, owner: Option<&Owner>, level: LogLevel) {
    out.push(b'{');
    if let Some(owner) = owner {
        out.push(b'"');
        out.extend_from_slice(label(owner).as_bytes());
        out.extend_from_slice(b"\":");
        encode_json_string(out, owner.to_string().as_bytes());
        out.push(b',');
    }
    out.extend_from_slice(b"\"level\":\"");
    out.extend_from_slice(level.word().as_bytes());
    out.push(b'"');
}

fn end_of_json(out: &mut Vec<u8>, stamp: &str) {
    out.extend_from_slice(b",\"time\":\"");
    out.extend_from_slice(stamp.as_bytes());
    out.extend_from_slice(b"\"}\n");
}

/// The fields of a part of a line. The default format has no room for them.
fn partial(out: &mut Vec<u8>, format: LogFormat, part: Part) {
    let Part { id, ordinal, last } = part;
    let text = match format {
        LogFormat::Default | LogFormat::Stamp => return,
        LogFormat::Text => {
            format!("partial_id={id:016x} partial_last={last} partial_message=true partial_ordinal={ordinal} ")
        }
        LogFormat::Json => format!(
            ",\"partial_id\":\"{id:016x}\",\"partial_last\":{last},\"partial_message\":true,\"partial_ordinal\":{ordinal}"
        ),
    };
    out.extend_from_slice(text.as_bytes());
}

fn label(owner: &Owner) -> &'static str {
    match owner {
        Owner::Job(_) => "job",
        Owner::Check(_) => "check",
    }
}

fn number(out: &mut Vec<u8>, before: &[u8], number: i32) {
    out.extend_from_slice(before);
    out.extend_from_slice(number.to_string().as_bytes());
}

/// Appends text; bytes that are no UTF-8 become U+FFFD.
fn encode_utf8(out: &mut Vec<u8>, text: &[u8]) {
    if text.is_ascii() {
        out.extend_from_slice(text);
        return;
    }
    for chunk in text.utf8_chunks() {
        out.extend_from_slice(chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

/// Appends text as a JSON string, with its quotes, escaped as serde_json does. Bytes that are no UTF-8 become U+FFFD.
pub fn encode_json_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    if text.is_ascii() {
        escape_json(out, text);
    } else {
        for chunk in text.utf8_chunks() {
            escape_json(out, chunk.valid().as_bytes());
            if !chunk.invalid().is_empty() {
                out.extend_from_slice("\u{fffd}".as_bytes());
            }
        }
    }
    out.push(b'"');
}

fn escape_json(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some(at) = first_special(rest) {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            control => hex(out, b"\\u00", control),
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

/// Where the first byte is that a JSON string must not hold as it is. Looks at eight bytes at a time: long lines are
/// nearly all of what a log holds.
fn first_special(text: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
    /// The high bit of each byte that is less than `least`, none of which is above 0x80. A borrow may set it wrongly in the
    /// bytes after such a one, but never before it.
    const fn below(word: u64, least: u8) -> u64 {
        word.wrapping_sub(ONES * (least as u64)) & !word & HIGH
    }
    const QUOTES: u64 = ONES * (b'"' as u64);
    const BACKSLASHES: u64 = ONES * (b'\\' as u64);
    let (words, rest) = text.as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = below(word, 0x20) | below(word ^ QUOTES, 1) | below(word ^ BACKSLASHES, 1);
        if found != 0 {
            return Some(i * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let at = rest.iter().position(|byte| *byte < 0x20 || *byte == b'"' || *byte == b'\\');
    at.map(|at| words.len() * 8 + at)
}

fn hex(out: &mut Vec<u8>, before: &[u8], byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(before);
    out.push(DIGITS[usize::from(byte >> 4)]);
    out.push(DIGITS[usize::from(byte & 0xf)]);
}

/// Appends a value of the text format: bare if it is a word of letters, digits, `-` and `.`, else in quotes.
pub fn encode_text_value(out: &mut Vec<u8>, value: &[u8]) {
    let bare = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    if !value.is_empty() && value.iter().all(bare) {
        out.extend_from_slice(value);
        return;
    }
    out.push(b'"');
    for chunk in value.utf8_chunks() {
        for byte in chunk.valid().bytes() {
            match byte {
                // 3.8 does not escape, so that a job can forge fields.
                b'"' => out.extend_from_slice(b"\\\""),
                b'\\' => out.extend_from_slice(b"\\\\"),
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                b'\t' => out.extend_from_slice(b"\\t"),
                0..0x20 | 0x7f => hex(out, b"\\x", byte),
                _ => out.push(byte),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    out.push(b'"');
}

/// The wall clock as RFC 3339 in UTC; the part down to seconds is kept, since it seldom changes.
#[derive(Debug, Default)]
struct Clock {
    /// Nanoseconds since 1970 when it was read last.
    at: u64,
    second: Option<u64>,
    text: String,
}

impl Clock {
    fn of(at: u64) -> Self {
        let mut clock = Self::default();
        clock.set(at);
        clock
    }

    #[expect(clippy::disallowed_methods, reason = "this is logging, which is what the wall clock is for")]
    fn read(&mut self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // 64 bits last until the year 2554.
        self.set(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX));
    }

    fn set(&mut self, at: u64) {
        self.at = at;
        let second = at / 1_000_000_000;
        if self.second != Some(second) {
            self.second = Some(second);
            self.text = date(second);
        }
    }

    fn nanos(&self, out: &mut String) {
        use std::fmt::Write;
        out.push_str(&self.text);
        if write!(out, ".{:09}Z", self.at % 1_000_000_000).is_err() {
            out.push('Z');
        }
    }

    fn seconds(&self, out: &mut String) {
        out.push_str(&self.text);
        out.push('Z');
    }

    /// As Go's `log` package writes it.
    fn go_log(&self, out: &mut String) {
        out.push_str(&self.text.replace('-', "/").replace('T', " "));
    }
}

/// `2026-11-21T12:00:00` for seconds since 1970.
fn date(seconds: u64) -> String {
    let days = seconds / 86400;
    // Civil from days: years that begin in March have their leap day at their end.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

/// Now, with nanoseconds, as in the default and JSON formats.
pub fn stamp_nanos() -> String {
    let mut clock = Clock::default();
    clock.read();
    stamp_of(clock.at)
}

/// Nanoseconds since 1970, as in the default and JSON formats.
pub fn stamp_of(at: u64) -> String {
    let mut text = String::new();
    Clock::of(at).nanos(&mut text);
    text
}

/// Now, in seconds, as in the text format.
pub fn stamp_seconds() -> String {
    let (mut clock, mut text) = (Clock::default(), String::new());
    clock.read();
    clock.seconds(&mut text);
    text
}

/// Now, as version 2's default format has it: `2006/01/02 15:04:05`.
pub fn stamp_go_log() -> String {
    let (mut clock, mut text) = (Clock::default(), String::new());
    clock.read();
    clock.go_log(&mut text);
    text
}

/// Writes a record to stderr, for what must be said when no log is open.
pub fn last_words(text: &str) {
    // Nobody is left to be told of a failure.
    drop(writeln!(std::io::stderr(), "{text}"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::JobName;

    fn json(text: &[u8]) -> String {
        let mut out = Vec::new();
        encode_json_string(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00"),
            (951_782_400, "2000-02-29T00:00:00"),
            (1_709_251_199, "2024-02-29T23:59:59"),
            (1_709_251_200, "2024-03-01T00:00:00"),
            (4_102_444_799, "2099-12-31T23:59:59"),
        ] {
            assert_eq!(date(seconds), text);
        }
    }

    #[test]
    fn json_strings_escape_what_they_must() {
        assert_eq!(json(b"plain"), r#""plain""#);
        assert_eq!(json(b"q\" b\\ \t\r\x08\x0c\x01\x7f"), "\"q\\\" b\\\\ \\t\\r\\b\\f\\u0001\x7f\"");
        assert_eq!(json(b"bad[\xff\xfe\xc3]"), "\"bad[\u{fffd}\u{fffd}\u{fffd}]\"");
    }

    #[test]
    fn the_first_special_byte_is_found_wherever_it_stands() {
        for special in (0..=u8::MAX).filter(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\')) {
            for at in 0..20 {
                for around in [b' ', b'!', b'#', b'[', b']', 0x7f, 0x80, 0xa2, 0xdc, 0xff] {
                    let mut text = [around; 20];
                    assert_eq!(first_special(&text), None, "{around}");
                    text[at] = special;
                    assert_eq!(first_special(&text), Some(at), "{special} in {around}");
                    text[19] = special;
                    assert_eq!(first_special(&text), Some(at), "{special} in {around}");
                }
            }
        }
    }

    #[test]
    fn text_values_are_bare_or_quoted_and_escaped() {
        let text = |value: &[u8]| {
            let mut out = Vec::new();
            encode_text_value(&mut out, value);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(b"1.5-x"), "1.5-x");
        assert_eq!(text(b"a=b"), r#""a=b""#);
        assert_eq!(text(b"say \"hi\" back\\slash"), r#""say \"hi\" back\\slash""#);
    }

    fn record(format: LogFormat, fields: &[(String, String)], write: impl Fn(&Encoder, &mut Vec<u8>)) -> String {
        let owner = Owner::Check(JobName::new("app"));
        let look = Look { owner: &owner, pid: 7, stream: Stream::Stderr, format, level: LogLevel::Warn, fields };
        let (mut encoder, mut out) = (Encoder::default(), Vec::new());
        encoder.begin(&look, Some("T"));
        write(&encoder, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_record_has_the_fields_of_its_stream() {
        let fields = [("team".to_owned(), "d\"b".to_owned())];
        let hello = |encoder: &Encoder, out: &mut Vec<u8>| encoder.line(out, b"hello", None);
        assert_eq!(
            record(LogFormat::Json, &fields, hello),
            r#"{"check":"check.app","level":"warning","msg":"hello","pid":7,"stream":"stderr","team":"d\"b","time":"T"}"#
                .to_owned()
                + "\n"
        );
        let text = "time=\"T\" level=warning msg=hello check=check.app pid=7 team=\"d\\\"b\"\n";
        assert_eq!(record(LogFormat::Text, &fields, hello), text);
        assert_eq!(record(LogFormat::Default, &fields, hello), "T 7 hello\n");
    }

    #[test]
    fn a_part_of_a_line_says_which() {
        let part = |encoder: &Encoder, out: &mut Vec<u8>| {
            encoder.line(out, b"pie", Some(Part { id: 10, ordinal: 2, last: true }));
        };
        let json = record(LogFormat::Json, &[], part);
        let fields = r#""msg":"pie","partial_id":"000000000000000a","partial_last":true,"partial_message":true,"partial_ordinal":2,"pid":7"#;
        assert!(json.contains(fields), "{json}");
        let text = record(LogFormat::Text, &[], part);
        let fields =
            "msg=pie partial_id=000000000000000a partial_last=true partial_message=true partial_ordinal=2 check=";
        assert!(text.contains(fields), "{text}");
        assert_eq!(record(LogFormat::Default, &[], part), "T 7 pie\n");
    }

    #[test]
    fn an_object_stays_one_in_json_only() {
        let object = |encoder: &Encoder, out: &mut Vec<u8>| encoder.object(out, b"{\"a\":\n1}");
        let json = "{\"data\":{\"a\": 1},\"check\":\"check.app\",\"level\":\"warning\",\"pid\":7,\"stream\":\"stderr\",\"time\":\"T\"}\n";
        assert_eq!(record(LogFormat::Json, &[], object), json);
        assert_eq!(record(LogFormat::Default, &[], object), "T 7 {\"a\":\n1}\n");
    }
}
