//! One line of a child as one record, in each of the three formats.
//!
//! The formats are 3.8's: `default` is `TIME JOB PID LINE`, `text` is logrus' text, `json` is logrus' JSON plus `stream`.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::event::Owner;
use crate::spec::LogFormat;

/// Which of a child's two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// `stdout`
    Stdout,
    /// `stderr`
    Stderr,
}

/// Writes records of one format, with a clock that is read once per batch.
#[derive(Debug)]
pub struct Encoder {
    format: LogFormat,
    clock: Clock,
    stamp: String,
    prefix: Vec<u8>,
    suffix: Vec<u8>,
}

impl Encoder {
    pub fn new(format: LogFormat) -> Self {
        Self { format, clock: Clock::default(), stamp: String::new(), prefix: Vec::new(), suffix: Vec::new() }
    }

    /// Makes what is the same for all lines of a batch: who, which stream, when.
    pub fn begin(&mut self, owner: &Owner, pid: i32, stream: Stream) {
        self.stamp.clear();
        let (prefix, suffix) = (&mut self.prefix, &mut self.suffix);
        prefix.clear();
        suffix.clear();
        match self.format {
            LogFormat::Default => {
                self.clock.nanos(&mut self.stamp);
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
                self.clock.seconds(&mut self.stamp);
                prefix.extend_from_slice(b"time=\"");
                prefix.extend_from_slice(self.stamp.as_bytes());
                prefix.extend_from_slice(b"\" level=info ");
                suffix.extend_from_slice(label(owner).as_bytes());
                suffix.push(b'=');
                encode_text_value(suffix, owner.to_string().as_bytes());
                number(suffix, b" pid=", pid);
                suffix.push(b'\n');
            }
            LogFormat::Json => {
                self.clock.nanos(&mut self.stamp);
                prefix.extend_from_slice(b"{\"");
                prefix.extend_from_slice(label(owner).as_bytes());
                prefix.extend_from_slice(b"\":");
                encode_json_string(prefix, owner.to_string().as_bytes());
                prefix.extend_from_slice(b",\"level\":\"info\",\"msg\":");
                number(suffix, b",\"pid\":", pid);
                suffix.extend_from_slice(match stream {
                    Stream::Stdout => b",\"stream\":\"stdout\",\"time\":\"",
                    Stream::Stderr => b",\"stream\":\"stderr\",\"time\":\"",
                });
                suffix.extend_from_slice(self.stamp.as_bytes());
                suffix.extend_from_slice(b"\"}\n");
            }
        }
    }

    /// Appends the record of one line, which is without its newline.
    pub fn line(&self, out: &mut Vec<u8>, line: &[u8]) {
        out.extend_from_slice(&self.prefix);
        match self.format {
            LogFormat::Default => encode_utf8(out, line),
            // logrus leaves out an empty message
            LogFormat::Text if line.is_empty() => {}
            LogFormat::Text => {
                out.extend_from_slice(b"msg=");
                encode_text_value(out, line);
                out.push(b' ');
            }
            LogFormat::Json => encode_json_string(out, line),
        }
        out.extend_from_slice(&self.suffix);
    }
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

/// Appends text as a JSON string, with its quotes. Bytes that are no UTF-8 become U+FFFD.
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
    while let Some(at) = rest.iter().position(|byte| *byte < 0x20 || *byte == b'"' || *byte == b'\\' || *byte == 0x7f) {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => hex(out, b"\\u00", control),
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
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
    second: Option<u64>,
    text: String,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "this is logging, which is what the wall clock is for")]
    fn read(&mut self) -> u32 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.second != Some(now.as_secs()) {
            self.second = Some(now.as_secs());
            self.text = date(now.as_secs());
        }
        now.subsec_nanos()
    }

    fn nanos(&mut self, out: &mut String) {
        use std::fmt::Write;
        let nanos = self.read();
        out.push_str(&self.text);
        if write!(out, ".{nanos:09}Z").is_err() {
            out.push('Z');
        }
    }

    fn seconds(&mut self, out: &mut String) {
        self.read();
        out.push_str(&self.text);
        out.push('Z');
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
    let mut text = String::new();
    Clock::default().nanos(&mut text);
    text
}

/// Now, in seconds, as in the text format.
pub fn stamp_seconds() -> String {
    let mut text = String::new();
    Clock::default().seconds(&mut text);
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
        assert_eq!(json(b"q\" b\\ \t\r\x01\x7f"), r#""q\" b\\ \t\r\u0001\u007f""#);
        assert_eq!(json(b"bad[\xff\xfe\xc3]"), "\"bad[\u{fffd}\u{fffd}\u{fffd}]\"");
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

    #[test]
    fn a_json_record_is_one_object() {
        let mut encoder = Encoder::new(LogFormat::Json);
        encoder.begin(&Owner::Check(JobName::new("app")), 7, Stream::Stderr);
        let mut out = Vec::new();
        encoder.line(&mut out, b"hello");
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.starts_with(r#"{"check":"check.app","level":"info","msg":"hello","pid":7,"stream":"stderr","time":""#)
        );
        assert!(text.ends_with("\"}\n"));
    }
}
