//! One line of a child as one record, in each of the formats.
//!
//! They are 3.8's: `default` is `TIME JOB PID LINE`, `text` is logrus' text, `json` is logrus' JSON plus `stream`; and
//! 2.7's default, `TIME LINE`.

use std::fmt;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use super::escape::{encode_json_string, encode_text_value, encode_utf8, escape_json};
use super::lines::Part;
use super::loggers::Time;
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

/// Writes records, with a clock that is read once per batch. Its buffers are kept, so that no record takes memory.
#[derive(Debug, Default)]
pub struct Encoder {
    clock: Clock,
    stamp: String,
    /// The clock of those that say themselves when it is.
    told: Clock,
    told_stamp: String,
    is: Option<LogFormat>,
    name: String,
    prefix: Vec<u8>,
    suffix: Vec<u8>,
    /// Where the level begins in a JSON prefix, and the time in a JSON suffix.
    level_at: usize,
    time_at: usize,
}

/// Between the head of a JSON record and the text of its message. The quote after that is the first byte of what follows.
const MESSAGE: &[u8] = b",\"msg\":\"";

impl Encoder {
    /// Reads the clock: nanoseconds since 1970.
    pub fn tick(&mut self) -> u64 {
        self.clock.read();
        self.clock.at
    }

    /// Makes what is the same for all lines of a batch: who, which stream, when; as of the last tick, unless told otherwise.
    pub fn begin(&mut self, look: &Look<'_>, time: Option<&str>) {
        use std::fmt::Write;
        let Look { owner, pid, stream, format, level, fields } = *look;
        self.is = Some(format);
        self.stamp.clear();
        match (time, format) {
            (Some(time), _) => self.stamp.push_str(time),
            (None, LogFormat::Text) => self.clock.seconds(&mut self.stamp),
            (None, LogFormat::Default | LogFormat::Json) => self.clock.nanos(&mut self.stamp),
            (None, LogFormat::Stamp) => self.clock.go_log(&mut self.stamp),
        }
        self.name.clear();
        write!(self.name, "{owner}").expect("a string takes whatever comes");
        let (prefix, suffix) = (&mut self.prefix, &mut self.suffix);
        prefix.clear();
        suffix.clear();
        match format {
            LogFormat::Stamp => {
                prefix.extend_from_slice(self.stamp.as_bytes());
                prefix.push(b' ');
                // A check's line stands beside those of its service and of others.
                if let Owner::Check(_) = owner {
                    prefix.extend_from_slice(self.name.as_bytes());
                    prefix.extend_from_slice(b": ");
                }
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
                owner_of_text(suffix, owner, &self.name);
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
                head_of_json(prefix, Some((owner, &self.name)));
                self.level_at = prefix.len();
                level_of_json(prefix, level);
                prefix.extend_from_slice(MESSAGE);
                number(suffix, b"\",\"pid\":", pid);
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
                self.time_at = suffix.len();
                end_of_json(suffix, &self.stamp);
            }
        }
    }

    /// Appends the record of one line, which is without its newline, or of a part of one.
    pub fn line(&self, out: &mut Vec<u8>, line: &[u8], part: Option<Part>) {
        let Some(format) = self.is else { return };
        let mut suffix = self.suffix.as_slice();
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
            LogFormat::Json => escape_json(out, line),
        }
        if let Some(part) = part {
            partial(out, format, part);
            suffix = suffix.strip_prefix(b"\"").unwrap_or(suffix);
        }
        out.extend_from_slice(suffix);
    }

    /// Appends a line that is a JSON object, with a level and perhaps a time of its own: as such in JSON, as a line in the
    /// other formats. Newlines between its tokens become blanks.
    pub fn object(&mut self, out: &mut Vec<u8>, look: &Look<'_>, line: &[u8], level: LogLevel, time: Option<Time<'_>>) {
        let mut stamp = std::mem::take(&mut self.told_stamp);
        stamp.clear();
        match time {
            Some(Time::Text(moment)) => moment.append(&mut stamp),
            Some(Time::At(at)) => {
                self.told.set(at);
                self.told.nanos(&mut stamp);
            }
            None => {}
        }
        let time = time.is_some().then_some(stamp.as_str());
        if self.is == Some(LogFormat::Json) {
            self.data(out, line, level, time);
        } else {
            self.begin(&Look { level, ..*look }, time);
            self.line(out, line, None);
            self.begin(look, None);
        }
        self.told_stamp = stamp;
    }

    /// The record of an object, in JSON.
    fn data(&self, out: &mut Vec<u8>, line: &[u8], level: LogLevel, time: Option<&str>) {
        out.extend_from_slice(b"{\"data\":");
        let start = out.len();
        out.extend_from_slice(line);
        // In a string they would be escaped.
        while let Some(at) = memchr::memchr2(b'\n', b'\r', &out[start..]) {
            out[start + at] = b' ';
        }
        out.push(b',');
        out.extend_from_slice(&self.prefix[1..self.level_at]);
        level_of_json(out, level);
        out.extend_from_slice(&self.suffix[1..self.time_at]);
        end_of_json(out, time.unwrap_or(&self.stamp));
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
                    append(out, format_args!("{owner}: "));
                }
                out.extend_from_slice(message.as_bytes());
                out.push(b'\n');
            }
            LogFormat::Text => {
                self.clock.seconds(&mut self.stamp);
                head_of_text(out, &self.stamp, LogLevel::Warn);
                out.extend_from_slice(b"msg=");
                encode_text_value(out, message.as_bytes());
                append(out, format_args!(" dropped={count}"));
                if let Some(owner) = owner {
                    out.push(b' ');
                    owner_of_text(out, owner, &owner.to_string());
                }
                out.push(b'\n');
            }
            LogFormat::Json => {
                self.clock.nanos(&mut self.stamp);
                let name = owner.map(Owner::to_string).unwrap_or_default();
                head_of_json(out, owner.map(|owner| (owner, name.as_str())));
                level_of_json(out, LogLevel::Warn);
                out.extend_from_slice(MESSAGE);
                escape_json(out, message.as_bytes());
                append(out, format_args!("\",\"dropped\":{count}"));
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

fn head_of_json(out: &mut Vec<u8>, owner: Option<(&Owner, &str)>) {
    out.push(b'{');
    if let Some((owner, name)) = owner {
        out.push(b'"');
        out.extend_from_slice(label(owner).as_bytes());
        out.extend_from_slice(b"\":");
        encode_json_string(out, name.as_bytes());
        out.push(b',');
    }
}

fn level_of_json(out: &mut Vec<u8>, level: LogLevel) {
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
    match format {
        LogFormat::Default | LogFormat::Stamp => {}
        LogFormat::Text => append(
            out,
            format_args!("partial_id={id:016x} partial_last={last} partial_message=true partial_ordinal={ordinal} "),
        ),
        LogFormat::Json => append(
            out,
            format_args!(
                "\",\"partial_id\":\"{id:016x}\",\"partial_last\":{last},\"partial_message\":true,\"partial_ordinal\":{ordinal}"
            ),
        ),
    }
}

fn label(owner: &Owner) -> &'static str {
    match owner {
        Owner::Job(_) => "job",
        Owner::Check(_) => "check",
    }
}

fn owner_of_text(out: &mut Vec<u8>, owner: &Owner, name: &str) {
    out.extend_from_slice(label(owner).as_bytes());
    out.push(b'=');
    encode_text_value(out, name.as_bytes());
}

fn number(out: &mut Vec<u8>, before: &[u8], number: i32) {
    out.extend_from_slice(before);
    append(out, format_args!("{number}"));
}

/// Appends text, without a string of its own.
fn append(out: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a vector takes whatever comes");
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
            self.text.clear();
            date(&mut self.text, second);
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
fn date(out: &mut String, seconds: u64) {
    use std::fmt::Write;
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
    write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
        .expect("a string takes whatever comes");
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

/// Now, as HTTP has it: `Sat, 21 Nov 2026 12:00:00 GMT`.
pub fn stamp_http() -> String {
    let mut clock = Clock::default();
    clock.read();
    http_date(clock.at / 1_000_000_000)
}

fn http_date(seconds: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut text = String::new();
    date(&mut text, seconds);
    let weekday = DAYS.into_iter().cycle().nth(usize::try_from(seconds / 86400 % 7).unwrap_or(0)).unwrap_or_default();
    let mut parts = text.split(['-', 'T']);
    let mut next = || parts.next().unwrap_or_default();
    let (year, month, day, time) = (next(), next(), next(), next());
    let month = month.parse().ok().and_then(|month: usize| MONTHS.get(month.wrapping_sub(1))).unwrap_or(&"");
    format!("{weekday}, {day} {month} {year} {time} GMT")
}

/// Writes a record to stderr, for what must be said when no log is open.
pub fn last_words(text: &str) {
    // Nobody is left to be told of a failure.
    drop(writeln!(std::io::stderr(), "{text}"));
}

#[cfg(test)]
mod tests {
    use super::super::loggers;
    use super::*;
    use crate::event::JobName;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00"),
            (951_782_400, "2000-02-29T00:00:00"),
            (1_709_251_199, "2024-02-29T23:59:59"),
            (1_709_251_200, "2024-03-01T00:00:00"),
            (4_102_444_799, "2099-12-31T23:59:59"),
        ] {
            let mut date_of = String::new();
            date(&mut date_of, seconds);
            assert_eq!(date_of, text);
        }
    }

    #[test]
    fn dates_of_http_have_names() {
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(http_date(1_709_251_199), "Thu, 29 Feb 2024 23:59:59 GMT");
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
        assert_eq!(record(LogFormat::Stamp, &fields, hello), "T check.app: hello\n");
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
        let object = |format| {
            let owner = Owner::Check(JobName::new("app"));
            let look =
                Look { owner: &owner, pid: 7, stream: Stream::Stderr, format, level: LogLevel::Info, fields: &[] };
            let (mut encoder, mut out) = (Encoder::default(), Vec::new());
            encoder.begin(&look, None);
            let time = loggers::time(&loggers::Value::Text(b"2026-11-21T13:20:00+0100"));
            encoder.object(&mut out, &look, b"{\"a\":\n1}", LogLevel::Warn, time);
            String::from_utf8(out).unwrap()
        };
        let json = "{\"data\":{\"a\": 1},\"check\":\"check.app\",\"level\":\"warning\",\"pid\":7,\"stream\":\"stderr\",\"time\":\"2026-11-21T13:20:00+01:00\"}\n";
        assert_eq!(object(LogFormat::Json), json);
        assert_eq!(object(LogFormat::Default), "2026-11-21T13:20:00+01:00 7 {\"a\":\n1}\n");
    }
}
