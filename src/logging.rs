//! Our own log records: slog drains for the three formats, all of which end in the output pump.
//!
//! Not here: children's lines, which take a faster path to the same formats (`containerpilot_actors::output`).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::io;

use containerpilot_actors::output::{Pump, encode_text_value, stamp_go_log, stamp_nanos, stamp_seconds};
use containerpilot_actors::spec::{LogFormat, LogLevel};
use serde_json::Value;
use slog::{Drain, FnValue, KV, Key, Level, Logger, Never, OwnedKVList, PushFnValue, Record, Serializer, o};

/// The root logger, which writes through the pump, and as the pump is configured.
pub fn logger(pump: Pump) -> Logger {
    Logger::root(PumpDrain(pump), o!())
}

struct PumpDrain(Pump);

impl Drain for PumpDrain {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        if !self.0.shows(level(record.level())) {
            return Ok(());
        }
        let line = bounded(self.0.format(), self.0.longest(), record, values)
            .unwrap_or_else(|cause| format!("{} cannot format a log record: {cause}\n", stamp_nanos()).into_bytes());
        self.0.record(line);
        Ok(())
    }
}

/// A record of at most this length: texts in it that make it longer are cut.
fn bounded(format: LogFormat, longest: usize, record: &Record<'_>, values: &OwnedKVList) -> io::Result<Vec<u8>> {
    let mut line = Vec::with_capacity(256);
    match format {
        LogFormat::Default => plain(&mut line, &stamp_nanos(), record, values)?,
        LogFormat::Stamp => plain(&mut line, &stamp_go_log(), record, values)?,
        LogFormat::Text => text(&mut line, record, values, usize::MAX)?,
        LogFormat::Json => json(&mut line, record, values)?,
    }
    match format {
        _ if line.len() <= longest => {}
        LogFormat::Default | LogFormat::Stamp => {
            let text = String::from_utf8_lossy(&line).into_owned();
            line = format!("{}{CUT}\n", &text[..text.floor_char_boundary(longest - CUT.len() - 1)]).into_bytes();
        }
        LogFormat::Text => {
            let mut most = longest;
            while line.len() > longest && most > 0 {
                most /= 2;
                line.clear();
                text(&mut line, record, values, most)?;
            }
        }
        LogFormat::Json => {
            let whole: BTreeMap<String, Value> = serde_json::from_slice(&line)?;
            let mut most = longest;
            while line.len() > longest && most > 0 {
                most /= 2;
                let cut = |value: &Value| value.as_str().map_or(value.clone(), |text| at_most(text, most).into());
                let short: BTreeMap<&String, Value> = whole.iter().map(|(key, value)| (key, cut(value))).collect();
                line = serde_json::to_vec(&short)?;
                line.push(b'\n');
            }
        }
    }
    Ok(line)
}

/// What stands for the rest of a text.
const CUT: &str = "...";

/// A text, or its beginning. What is as short as a time is never cut.
fn at_most(text: &str, most: usize) -> Cow<'_, str> {
    const SHORT: usize = 40;
    if text.len() <= most.max(SHORT) {
        return text.into();
    }
    format!("{}{CUT}", &text[..text.floor_char_boundary(most)]).into()
}

fn level(level: Level) -> LogLevel {
    match level {
        Level::Critical | Level::Error => LogLevel::Error,
        Level::Warning => LogLevel::Warn,
        Level::Info => LogLevel::Info,
        Level::Debug | Level::Trace => LogLevel::Debug,
    }
}

/// 3.8's words.
fn word(level: Level) -> &'static str {
    match level {
        Level::Critical | Level::Error => "error",
        Level::Warning => "warning",
        Level::Info => "info",
        Level::Debug | Level::Trace => "debug",
    }
}

fn json(line: &mut Vec<u8>, record: &Record<'_>, values: &OwnedKVList) -> io::Result<()> {
    let drain = slog_json::Json::new(line)
        .add_key_value(o!(
            "level" => FnValue(|record: &Record<'_>| word(record.level())),
            "msg" => PushFnValue(|record: &Record<'_>, value| value.emit(record.msg())),
            "time" => FnValue(|_: &Record<'_>| stamp_nanos()),
        ))
        .build();
    drain.log(record, values)
}

/// The values of a record, as text.
#[derive(Default)]
struct Values(Vec<(String, String)>);

impl Values {
    fn of(record: &Record<'_>, values: &OwnedKVList) -> Result<Self, slog::Error> {
        let mut found = Self::default();
        record.kv().serialize(record, &mut found)?;
        values.serialize(record, &mut found)?;
        found.0.sort();
        Ok(found)
    }
}

impl Serializer for Values {
    fn emit_arguments(&mut self, key: Key, value: &fmt::Arguments<'_>) -> slog::Result {
        self.0.push((key.to_string(), value.to_string()));
        Ok(())
    }
}

fn plain(line: &mut Vec<u8>, stamp: &str, record: &Record<'_>, values: &OwnedKVList) -> io::Result<()> {
    let message = record.msg().to_string();
    line.extend_from_slice(stamp.as_bytes());
    line.push(b' ');
    line.extend_from_slice(visible(&message).as_bytes());
    for (key, value) in Values::of(record, values)?.0 {
        // Most messages name their job already.
        if matches!(key.as_str(), "job" | "check") && message.contains(&value) {
            continue;
        }
        line.extend_from_slice(format!(" {key}=").as_bytes());
        encode_text_value(line, without_c1(&value).as_bytes());
    }
    line.push(b'\n');
    Ok(())
}

/// What others have put into our sentences, with escapes for control characters: the log may be a terminal.
fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return text.into();
    }
    let shown = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}

/// The same for those that a value of the text format may have: of the second set.
fn without_c1(text: &str) -> Cow<'_, str> {
    let is_c1 = |c: char| ('\u{7f}'..='\u{9f}').contains(&c);
    if text.contains(is_c1) { visible(text) } else { text.into() }
}

fn text(line: &mut Vec<u8>, record: &Record<'_>, values: &OwnedKVList, most: usize) -> io::Result<()> {
    let head = format!("time=\"{}\" level={} msg=", stamp_seconds(), word(record.level()));
    line.extend_from_slice(head.as_bytes());
    encode_text_value(line, at_most(&without_c1(&record.msg().to_string()), most).as_bytes());
    for (key, value) in Values::of(record, values)?.0 {
        line.extend_from_slice(format!(" {key}=").as_bytes());
        encode_text_value(line, at_most(&without_c1(&value), most).as_bytes());
    }
    line.push(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use containerpilot_actors::output::encode_json_string;

    use super::*;

    /// Pieces of which most lines consist, and those that are hard.
    const PIECES: [&[u8]; 16] = [
        b"plain text",
        b"\"",
        b"\\",
        b"\0",
        b"\x1b[31m",
        b"\x7f",
        b"\t\r\x08\x0c",
        "\u{e9}\u{2028}".as_bytes(),
        "\u{1f680}".as_bytes(),
        b"\xff",
        b"\xc3",
        b"\xed\xa0\x80",
        b"\xf0\x9f\x9a",
        b"\xc0\x80",
        b"</script>&",
        b"\\u0000",
    ];

    /// Proves that a child's line and a field of it come out as slog-json would have written them: the same bytes, which
    /// stand for the same text.
    fn assert_alike(line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let mut ours = Vec::new();
        encode_json_string(&mut ours, line);
        let mut record = Vec::new();
        let values = OwnedKVList::from(o!("field" => text.clone().into_owned()));
        json(&mut record, &slog::record!(Level::Info, "", &format_args!("{text}"), slog::b!()), &values).unwrap();
        for name in ["\"msg\":", "\"field\":"] {
            // The first one cannot stand in a string, where its quotes would be escaped.
            let at = record.windows(name.len()).position(|window| window == name.as_bytes()).unwrap() + name.len();
            assert!(
                record[at..].starts_with(&ours),
                "{line:?}: {} is not in {}",
                String::from_utf8_lossy(&ours),
                String::from_utf8_lossy(&record)
            );
        }
        let read: String = serde_json::from_slice(&ours).unwrap_or_else(|error| panic!("{line:?}: {error}"));
        assert_eq!(read, text, "{line:?}");
    }

    #[test]
    fn a_childs_line_and_our_own_record_have_the_same_message() {
        let seed = containerpilot_actors::random::entropy();
        println!("seed {seed}");
        let mut random = containerpilot_actors::random::Random::from_seed(seed);
        let mut random = |length| random.index(length);
        for _ in 0..20_000 {
            let mut line = Vec::new();
            for _ in 0..random(8) {
                match random(2) {
                    0 => line.extend_from_slice(PIECES[random(PIECES.len())]),
                    _ => line.extend((0..random(40)).map(|_| u8::try_from(random(256)).unwrap())),
                }
            }
            assert_alike(&line);
        }
    }

    /// Lines are looked at in blocks of 32 bytes. So each byte has been at each place of a block and of what is left behind
    /// blocks, in lines of all lengths up to two of them; alone, and beside what keeps a line from being ASCII.
    #[test]
    fn a_record_of_our_own_is_no_longer_than_it_may_be() {
        for (format, unit) in
            LogFormat::ALL.into_iter().flat_map(|format| ["x", "\u{1}", "\"é"].map(|unit| (format, unit)))
        {
            let values = OwnedKVList::from(o!("field" => unit.repeat(500), "pid" => 7));
            for length in [10, 150, 5000] {
                let message = unit.repeat(length);
                let message = format_args!("{message}");
                let record = slog::record!(Level::Info, "", &message, slog::b!());
                let line = bounded(format, 512, &record, &values).unwrap();
                assert!(line.len() <= 512 && line.ends_with(b"\n"), "{format:?}: {}", String::from_utf8_lossy(&line));
                if format == LogFormat::Json {
                    let read: Value = serde_json::from_slice(&line).unwrap();
                    assert_eq!((&read["level"], &read["pid"]), (&"info".into(), &7.into()));
                }
            }
        }
    }

    #[test]
    fn no_byte_has_a_place_where_the_message_differs() {
        const SPECIAL: [u8; 9] = [0, 0x1f, b' ', b'"', b'\\', 0x7f, 0x80, 0xc3, 0xff];
        let whole = |length| matches!(length, 33 | 65);
        for length in 0..=66 {
            for at in 0..length {
                let with = |byte| {
                    let mut line = vec![b'x'; length];
                    line[at] = byte;
                    line
                };
                for byte in (0..=u8::MAX).filter(|byte| whole(length) || SPECIAL.contains(byte)) {
                    assert_alike(&with(byte));
                }
                for byte in SPECIAL.into_iter().filter(|_| whole(length)) {
                    for (before, after) in [("\u{e9}", ""), ("", "\u{1f680}"), ("\u{e9}", "\u{2028}")] {
                        assert_alike(&[before.as_bytes(), &with(byte), after.as_bytes()].concat());
                    }
                }
            }
        }
    }
}
