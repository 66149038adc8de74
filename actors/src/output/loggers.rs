//! How loggers write the level and the time of what they log in JSON: the names of the keys, words, numbers.

use crate::spec::{JsonKeys, LogLevel};

/// Those of slog, pino, bunyan, zap and zerolog; of hclog (Consul, Nomad, Vault); of Google Cloud; of ECS; of log15; of Python's
/// and Monolog's, whose `level` is another number; and of Serilog. In any case: .NET writes `Level`.
const LEVEL_KEYS: [&str; 10] =
    ["level", "@level", "severity", "log.level", "lvl", "levelname", "level_name", "loglevel", "log_level", "@l"];
const TIME_KEYS: [&str; 6] = ["time", "@timestamp", "timestamp", "ts", "@t", "datetime"];

/// Numbers below this are a duration or a time since the start, whatever their unit: it is 1973, in seconds.
const FIRST_TIME: f64 = 1e8;

/// A value, as written.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// Without its quotes, its escapes as they are.
    Text(&'a [u8]),
    /// A number by the grammar of JSON.
    Number(&'a [u8]),
    /// Anything else.
    Other,
}

/// Under which keys level and time are looked for: those of the job, those of all jobs, the usual ones.
#[derive(Clone, Copy, Debug)]
pub struct Keys<'a> {
    pub own: &'a JsonKeys,
    pub common: &'a JsonKeys,
}

#[cfg(any(test, fuzzing))]
impl Default for Keys<'_> {
    fn default() -> Self {
        static NONE: JsonKeys = JsonKeys { level: Vec::new(), time: Vec::new() };
        Self { own: &NONE, common: &NONE }
    }
}

impl Keys<'_> {
    /// The place of a key among those of a level.
    pub fn rank_of_level(&self, key: &[u8]) -> Option<usize> {
        rank(key, &self.own.level, &self.common.level, &LEVEL_KEYS)
    }

    /// The place of a key among those of a time.
    pub fn rank_of_time(&self, key: &[u8]) -> Option<usize> {
        rank(key, &self.own.time, &self.common.time, &TIME_KEYS)
    }
}

fn rank(key: &[u8], own: &[String], common: &[String], usual: &[&str]) -> Option<usize> {
    let named = own.iter().chain(common).position(|name| name.as_bytes() == key);
    named.or_else(|| {
        let place = usual.iter().position(|name| key.eq_ignore_ascii_case(name.as_bytes()))?;
        Some(own.len() + common.len() + place)
    })
}

/// The level that a value stands for.
pub fn level(value: &Value<'_>) -> Option<LogLevel> {
    match value {
        Value::Text(text) => {
            let text = text.trim_ascii();
            level_of_word(text).or_else(|| level_of_number(text))
        }
        Value::Number(number) => level_of_number(number),
        Value::Other => None,
    }
}

fn level_of_word(text: &[u8]) -> Option<LogLevel> {
    const WORDS: [(&str, LogLevel); 40] = [
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
        ("warn", LogLevel::Warn),
        ("warning", LogLevel::Warn),
        ("error", LogLevel::Error),
        ("fatal", LogLevel::Fatal),
        ("panic", LogLevel::Panic),
        ("trace", LogLevel::Debug),
        ("trce", LogLevel::Debug),
        ("dbug", LogLevel::Debug),
        ("verbose", LogLevel::Debug),
        ("config", LogLevel::Debug),
        ("fine", LogLevel::Debug),
        ("finer", LogLevel::Debug),
        ("finest", LogLevel::Debug),
        ("information", LogLevel::Info),
        ("informational", LogLevel::Info),
        ("notice", LogLevel::Info),
        ("err", LogLevel::Error),
        ("fail", LogLevel::Error),
        ("severe", LogLevel::Error),
        ("dpanic", LogLevel::Panic),
        ("critical", LogLevel::Fatal),
        ("crit", LogLevel::Fatal),
        ("alert", LogLevel::Fatal),
        ("emerg", LogLevel::Fatal),
        ("emergency", LogLevel::Fatal),
        // MongoDB's and other loggers' letters.
        ("t", LogLevel::Debug),
        ("d", LogLevel::Debug),
        ("d1", LogLevel::Debug),
        ("d2", LogLevel::Debug),
        ("d3", LogLevel::Debug),
        ("d4", LogLevel::Debug),
        ("d5", LogLevel::Debug),
        ("v", LogLevel::Debug),
        ("i", LogLevel::Info),
        ("w", LogLevel::Warn),
        ("e", LogLevel::Error),
        ("c", LogLevel::Fatal),
        ("f", LogLevel::Fatal),
    ];
    // Go's slog writes a level between two names as the lower one and a number: `ERROR+4`.
    let word = match text.iter().position(|byte| matches!(byte, b'+' | b'-')) {
        Some(at) if at + 1 < text.len() && text[at + 1..].iter().all(u8::is_ascii_digit) => &text[..at],
        Some(_) | None => text,
    };
    WORDS.iter().find(|(known, _)| word.eq_ignore_ascii_case(known.as_bytes())).map(|(_, level)| *level)
}

/// The numbers of bunyan and pino, from 10 to 60, and of Monolog, from 100 to 600, with those between them.
fn level_of_number(text: &[u8]) -> Option<LogLevel> {
    let number: u32 = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(match number {
        10..30 | 100..200 => LogLevel::Debug,
        30..40 | 200..300 => LogLevel::Info,
        40..50 | 300..400 => LogLevel::Warn,
        50..60 | 400..500 => LogLevel::Error,
        60..100 | 500..=600 => LogLevel::Fatal,
        _ => return None,
    })
}

/// When something was, as an object says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time<'a> {
    /// A date with its offset from UTC.
    Text(Moment<'a>),
    /// Nanoseconds since 1970.
    At(u64),
}

/// A time as written that exists, in the pieces of RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment<'a> {
    /// `2026-11-21`
    date: &'a str,
    /// `13:20:00`
    clock: &'a str,
    /// The digits of the second's fraction.
    fraction: &'a str,
    /// Sign, hours and minutes; `None` is UTC.
    offset: Option<[&'a str; 3]>,
}

impl Moment<'_> {
    /// Appends it as RFC 3339, which is as it was written unless that was ISO 8601 in another way.
    pub fn append(&self, out: &mut String) {
        out.extend([self.date, "T", self.clock]);
        if !self.fraction.is_empty() {
            out.extend([".", self.fraction]);
        }
        match self.offset {
            Some([sign, hours, minutes]) => out.extend([sign, hours, ":", minutes]),
            None => out.push('Z'),
        }
    }
}

/// RFC 3339, also with `+0100`; or a number of seconds, milli-, micro- or nanoseconds since 1970, by its size.
pub fn time<'a>(value: &Value<'a>) -> Option<Time<'a>> {
    match value {
        Value::Text(text) => {
            let text = std::str::from_utf8(text).ok()?;
            moment(text).map(Time::Text).or_else(|| number_time(text))
        }
        Value::Number(number) => number_time(std::str::from_utf8(number).ok()?),
        Value::Other => None,
    }
}

fn number_time(text: &str) -> Option<Time<'static>> {
    // Rust's numbers may be `inf`.
    if !text.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    match text.parse::<u64>() {
        Ok(whole) => whole_time(whole),
        Err(_) => fraction_time(text.parse().ok()?),
    }
    .map(Time::At)
}

fn whole_time(number: u64) -> Option<u64> {
    let unit = match number {
        0..100_000_000 => return None,
        100_000_000..100_000_000_000 => 1_000_000_000,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1000,
        _ => 1,
    };
    number.checked_mul(unit)
}

fn fraction_time(number: f64) -> Option<u64> {
    let seconds = match number {
        ..1e11 => number,
        1e11..1e14 => number / 1e3,
        1e14..1e17 => number / 1e6,
        _ => number / 1e9,
    };
    // More digits than those of microseconds are noise in a number of this size; 64 bits end in 2554.
    #[expect(clippy::cast_possible_truncation, reason = "the size is checked")]
    #[expect(clippy::cast_sign_loss, reason = "the sign is checked")]
    (FIRST_TIME..1.8e10).contains(&seconds).then(|| (seconds * 1e6).round() as u64 * 1000)
}

fn moment(text: &str) -> Option<Moment<'_>> {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00";
    // Pieces are cut where ASCII is, by `get`, which looks.
    let (head, rest) = (text.get(..SHAPE.len())?, text.get(SHAPE.len()..)?);
    let fits = head.bytes().zip(SHAPE).all(|(byte, of)| match of {
        b'0' => byte.is_ascii_digit(),
        b'T' => matches!(byte, b'T' | b't' | b' '),
        _ => byte == *of,
    });
    if !fits {
        return None;
    }
    let (date, clock) = (&head[..10], &head[11..]);
    let (fraction, offset) = match rest.strip_prefix(['.', ',']) {
        Some(rest) => {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (fraction, offset) = rest.split_at(digits);
            // Less than a nanosecond is more than readers take.
            (Some(&fraction[..digits.min(9)]).filter(|fraction| !fraction.is_empty())?, offset)
        }
        None => ("", rest),
    };
    let exists = is_date(date) && number(&clock[..2]) < 24 && number(&clock[3..5]) < 60 && number(&clock[6..]) < 60;
    exists.then_some(Moment { date, clock, fraction, offset: offset_of(offset)? })
}

/// `Z`, `+01:00`, `+0100` or `+01`, perhaps after a blank. The outer option is whether it is one.
#[expect(clippy::option_option, reason = "UTC has none")]
fn offset_of(text: &str) -> Option<Option<[&str; 3]>> {
    let text = text.strip_prefix(' ').unwrap_or(text);
    if matches!(text, "Z" | "z" | "UTC") {
        return Some(None);
    }
    let (sign, rest) = (text.get(..1)?, text.get(1..)?);
    let (hours, minutes) = (rest.get(..2)?, rest.get(2..)?);
    let minutes = if minutes.is_empty() { "00" } else { minutes.strip_prefix(':').unwrap_or(minutes) };
    let are_digits = minutes.len() == 2 && hours.bytes().chain(minutes.bytes()).all(|byte| byte.is_ascii_digit());
    let exists = matches!(sign, "+" | "-") && are_digits && number(hours) < 24 && number(minutes) < 60;
    exists.then_some(Some([sign, hours, minutes]))
}

/// Whether the calendar has such a day. Readers know no year 0.
fn is_date(date: &str) -> bool {
    let (year, month, day) = (number(&date[..4]), number(&date[5..7]), number(&date[8..]));
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(is_leap),
        _ => 0,
    };
    year > 0 && (1..=days).contains(&day)
}

/// Digits as a number.
fn number(digits: &str) -> u32 {
    digits.bytes().fold(0, |number, digit| number * 10 + u32::from(digit - b'0'))
}

#[cfg(test)]
mod tests {
    use super::super::encode::stamp_of;
    use super::*;

    fn text(text: &str) -> Value<'_> {
        Value::Text(text.as_bytes())
    }

    #[test]
    fn keys_are_those_of_the_job_then_of_all_jobs_then_the_usual_ones() {
        let keys =
            |level: &[&str]| JsonKeys { level: level.iter().map(|key| (*key).to_owned()).collect(), time: vec![] };
        let (own, common) = (keys(&["s"]), keys(&["LEVEL", "x"]));
        let keys = Keys { own: &own, common: &common };
        let ranks = ["s", "LEVEL", "x", "level", "Severity", "S", "time"].map(|key| keys.rank_of_level(key.as_bytes()));
        assert_eq!(ranks, [Some(0), Some(1), Some(2), Some(3), Some(5), None, None]);
        assert_eq!(keys.rank_of_time(b"Timestamp"), Some(2));
    }

    #[test]
    fn levels_are_those_of_most_loggers() {
        for (written, level) in [
            ("WARN", Some(LogLevel::Warn)),
            ("trace", Some(LogLevel::Debug)),
            ("critical", Some(LogLevel::Fatal)),
            ("ERROR+4", Some(LogLevel::Error)),
            ("DEBUG-4", Some(LogLevel::Debug)),
            ("ERROR ", Some(LogLevel::Error)),
            ("50", Some(LogLevel::Error)),
            ("ERROR+", None),
            ("loud", None),
            ("", None),
        ] {
            assert_eq!(super::level(&text(written)), level, "{written}");
        }
        for (written, level) in [
            ("10", Some(LogLevel::Debug)),
            ("30", Some(LogLevel::Info)),
            ("35", Some(LogLevel::Info)),
            ("60", Some(LogLevel::Fatal)),
            ("400", Some(LogLevel::Error)),
            ("550", Some(LogLevel::Fatal)),
            ("3", None),
            ("-4", None),
            ("50.5", None),
            ("99999999999", None),
        ] {
            assert_eq!(super::level(&Value::Number(written.as_bytes())), level, "{written}");
        }
    }

    fn told(value: &Value<'_>) -> Option<String> {
        Some(match time(value)? {
            Time::Text(moment) => {
                let mut out = String::new();
                moment.append(&mut out);
                out
            }
            Time::At(at) => stamp_of(at),
        })
    }

    #[test]
    fn times_exist_and_know_their_offset() {
        for (written, time) in [
            ("2026-11-21T13:20:00.5+01:00", "2026-11-21T13:20:00.5+01:00"),
            ("2026-11-21T13:20:00Z", "2026-11-21T13:20:00Z"),
            ("2026-11-21T13:20:00.123+0100", "2026-11-21T13:20:00.123+01:00"),
            ("2026-11-21 13:20:00,123 -0730", "2026-11-21T13:20:00.123-07:30"),
            ("2026-11-21 13:20:00+01", "2026-11-21T13:20:00+01:00"),
            ("2026-11-21t13:20:00.1234567890123z", "2026-11-21T13:20:00.123456789Z"),
            ("2024-02-29T23:59:59-00:00", "2024-02-29T23:59:59-00:00"),
            ("2000-02-29T00:00:00Z", "2000-02-29T00:00:00Z"),
            ("951782400.25", "2000-02-29T00:00:00.250000000Z"),
        ] {
            assert_eq!(told(&text(written)).as_deref(), Some(time), "{written}");
        }
        for written in [
            "2026-11-21 13:20:00",
            "2026-11-21T13:20:00.Z",
            "2026-11-21T13:20:00",
            "2026-13-21T13:20:00Z",
            "2026-00-21T13:20:00Z",
            "2026-11-31T13:20:00Z",
            "2026-11-00T13:20:00Z",
            "2026-02-29T13:20:00Z",
            "1900-02-29T13:20:00Z",
            "0000-01-01T00:00:00Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T13:60:00Z",
            "2026-11-21T13:20:60Z",
            "2026-11-21T13:20:00+24:00",
            "2026-11-21T13:20:00+01:60",
            "2026-11-21T13:20:00+1:00",
            "2026-11-21T13:20:00*01:00",
            "2026-11-21T13:20:00+01:00x",
            "2026-11-21T13:20:00+01:é",
            "2026-11-21T13:20:é0Z",
            "inf",
            "now",
            "",
        ] {
            assert_eq!(told(&text(written)), None, "{written}");
        }
    }

    #[test]
    fn numbers_are_times_by_their_size() {
        for (written, time) in [
            ("951782400", Some("2000-02-29T00:00:00.000000000Z")),
            ("951782400.25", Some("2000-02-29T00:00:00.250000000Z")),
            ("9.5178240025e8", Some("2000-02-29T00:00:00.250000000Z")),
            ("951782400250", Some("2000-02-29T00:00:00.250000000Z")),
            ("951782400250.5", Some("2000-02-29T00:00:00.250500000Z")),
            ("951782400250001", Some("2000-02-29T00:00:00.250001000Z")),
            ("951782400250000001", Some("2000-02-29T00:00:00.250000001Z")),
            ("0.002", None),
            ("12", None),
            ("-951782400", None),
            ("1e400", None),
            ("99999999999999999999999", None),
        ] {
            assert_eq!(told(&Value::Number(written.as_bytes())).as_deref(), time, "{written}");
        }
        assert_eq!(told(&Value::Other), None);
    }
}
