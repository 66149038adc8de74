//! `logging`, of the whole and of each job and check: from the block as written to its spec.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use containerpilot_actors::spec::{
    JsonKeys, LinePattern, LogFormat, LogLevel, LogOutput, LoggingSpec, OutputSpec, RateLimit,
};
use regex::bytes::RegexBuilder;

use super::node::Value;
use super::problem::{Problem, nearest};
use super::raw_v3::{self, Field, Logging, Multiline, Output};
use super::reader::{Reader, Scope, text};

const LEVELS: [(&str, LogLevel); 7] = [
    ("debug", LogLevel::Debug),
    ("info", LogLevel::Info),
    ("warn", LogLevel::Warn),
    ("warning", LogLevel::Warn),
    ("error", LogLevel::Error),
    ("fatal", LogLevel::Fatal),
    ("panic", LogLevel::Panic),
];
const FORMATS: [(&str, LogFormat); 4] = [
    ("default", LogFormat::Default),
    ("text", LogFormat::Text),
    ("json", LogFormat::Json),
    // Version 2's default under a name of its own.
    ("stamp", LogFormat::Stamp),
];
/// The fields of records that are ours.
const TAKEN: [&str; 9] = ["check", "data", "dropped", "job", "level", "msg", "pid", "stream", "time"];
/// What pieces of long lines have in addition.
const OF_PIECES: &str = "partial_";
/// A piece must hold a character, and a record some of a line.
const SHORTEST_LINE: u64 = 256;
/// Every pipe may have such a line in memory.
const LONGEST_LINE: u64 = 16 << 20;
/// The shortest span of a rate limit.
const SHORTEST_SPAN: Duration = Duration::from_millis(1);

/// `logging` of the whole.
pub fn logging(scope: &Scope, field: Field<'_>, reader: &mut Reader) -> LoggingSpec {
    let mut spec = LoggingSpec::default();
    let Some((scope, raw)) = reader.block::<Logging<'_>>(scope, field) else { return spec };
    spec.level = level(&scope, raw.level, reader).unwrap_or(spec.level);
    spec.format = format(&scope, raw.format, reader).unwrap_or(spec.format);
    if let Some(output) = reader.string(&scope, raw.output) {
        spec.output = match output.to_lowercase().as_str() {
            "stdout" => LogOutput::Stdout,
            "stderr" => LogOutput::Stderr,
            _ => LogOutput::File(PathBuf::from(&output)),
        };
        if let LogOutput::File(path) = &spec.output
            && let Err(cause) = can_be_logged_to(path)
        {
            let says = format!("cannot write to `{}`: {cause}", super::node::shortened(&output));
            reader.machine_problem(&scope, raw.output, says);
        }
        if let LogOutput::File(_) = &spec.output
            && let Some(meant) = nearest(&output, ["stdout", "stderr"])
        {
            reader.warning(&scope, raw.output, format!("`{output}` is a file, perhaps `{meant}` was meant"));
        }
    }
    if let Some(written) = reader.string(&scope, raw.max_line) {
        match size(&written).filter(|size| (SHORTEST_LINE..=LONGEST_LINE).contains(size)).map(usize::try_from) {
            Some(Ok(size)) => spec.max_line = size,
            Some(Err(_)) | None => {
                reader.refuse(
                    &scope,
                    raw.max_line,
                    "a size from 256 bytes to 16MiB (a number of bytes, or one with k, KiB or MiB)",
                );
            }
        }
    }
    spec.json_keys = json_keys(&scope, raw.json_keys, reader);
    spec
}

/// `logging` of a job or of its check.
pub fn output(scope: &Scope, field: Field<'_>, reader: &mut Reader) -> OutputSpec {
    let mut spec = OutputSpec::default();
    let Some((scope, raw)) = reader.block::<Output<'_>>(scope, field) else { return spec };
    spec.raw = reader.boolean(&scope, raw.raw).unwrap_or(false);
    spec.format = format(&scope, raw.format, reader);
    spec.level = level(&scope, raw.level, reader).unwrap_or(spec.level);
    spec.fields = fields(&scope, raw.fields, reader);
    spec.multiline = multiline(&scope, raw.multiline, reader);
    spec.json = reader.boolean(&scope, raw.json).unwrap_or(false);
    spec.json_keys = json_keys(&scope, raw.json_keys, reader);
    spec.rate_limit = rate_limit(&scope, raw.rate_limit, reader);
    if raw.json_keys.node.is_some() && !spec.json && !spec.raw {
        reader.warning(&scope, raw.json_keys, "means nothing without `json: true`");
    }
    if spec.raw {
        for other in [raw.format, raw.level, raw.fields, raw.multiline, raw.json, raw.json_keys, raw.rate_limit] {
            if other.node.is_some() {
                reader.warning(&scope, other, "means nothing beside `raw`, whose output never comes to the log");
            }
        }
    }
    spec
}

fn level(scope: &Scope, field: Field<'_>, reader: &mut Reader) -> Option<LogLevel> {
    let word = reader.string(scope, field)?;
    reader.word(scope, field, &word.to_lowercase(), &LEVELS)
}

fn format(scope: &Scope, field: Field<'_>, reader: &mut Reader) -> Option<LogFormat> {
    let word = reader.string(scope, field)?;
    reader.word(scope, field, &word.to_lowercase(), &FORMATS)
}

/// The fields in the order of their names.
fn fields(scope: &Scope, field: Field<'_>, reader: &mut Reader) -> Vec<(String, String)> {
    let Some(node) = field.node else { return Vec::new() };
    let Value::Object(entries) = &node.value else {
        reader.problem(scope, field, format!("is {}, not an object of names and values", node.kind()));
        return Vec::new();
    };
    let mut fields: Vec<(String, String)> = Vec::new();
    for (name, value) in entries {
        let path = format!("{}.{}", scope.path_of(field), super::node::shortened(name));
        let is_name = !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
        if !is_name {
            let says = "is no name of a field (letters, digits, `_`, `-` and `.`)";
            reader.problems.push(Problem::key(value, path, says));
        } else if TAKEN.contains(&name.as_str()) || name.starts_with(OF_PIECES) {
            let says = format!(
                "is a field of every record, choose another name (ours are {} and {OF_PIECES}...)",
                TAKEN.join(", ")
            );
            reader.problems.push(Problem::key(value, path, says));
        } else if let Some(text) = text(value).filter(|_| !value.is_null()) {
            // The last of equal names counts, as everywhere.
            fields.retain(|(other, _)| other != name);
            // mapstructure's `1` for `true` is not what a reader of the log expects.
            let text = if let Value::Bool(value) = value.value { value.to_string() } else { text };
            fields.push((name.clone(), text));
        } else if !value.is_null() {
            reader.problems.push(Problem::value(value, path, format!("is {}, not a string", value.kind())));
        }
    }
    fields.sort();
    fields
}

fn multiline(scope: &Scope, field: Field<'_>, reader: &mut Reader) -> Option<LinePattern> {
    let (scope, raw) = reader.block::<Multiline<'_>>(scope, field)?;
    let Some(pattern) = reader.string(&scope, raw.start) else {
        reader.problem(&scope, raw.start, "is missing, it must be a regular expression that first lines match");
        return None;
    };
    // Lines are bytes: classes such as \d are those of ASCII.
    match RegexBuilder::new(&pattern).unicode(false).build() {
        Ok(regex) => Some(LinePattern::new(pattern, move |line| regex.is_match(line))),
        Err(error) => {
            // The lines before the last one repeat the expression.
            let error = error.to_string();
            let why = error.lines().last().unwrap_or("it is not valid").trim_start_matches("error: ");
            let says = format!("`{}` is not a regular expression: {why}", super::node::shortened(&pattern));
            reader.problem(&scope, raw.start, says);
            None
        }
    }
}

/// Where level and time of JSON objects are: a name, or several in the order in which they are looked for.
fn json_keys(scope: &Scope, field: Field<'_>, reader: &mut Reader) -> JsonKeys {
    let Some((scope, raw)) = reader.block::<raw_v3::JsonKeys<'_>>(scope, field) else { return JsonKeys::default() };
    let mut names = |field| {
        let names = reader.one_or_more(&scope, field);
        if names.iter().any(String::is_empty) {
            reader.problem(&scope, field, "has an empty name, each must be a key of the objects that a job writes");
        }
        names
    };
    JsonKeys { level: names(raw.level), time: names(raw.time) }
}

fn rate_limit(scope: &Scope, field: Field<'_>, reader: &mut Reader) -> Option<RateLimit> {
    const LINES: &str = "a number of lines, at least 1";
    let (scope, raw) = reader.block::<raw_v3::RateLimit<'_>>(scope, field)?;
    if raw.lines.node.is_none() {
        reader.refuse(&scope, raw.lines, LINES);
    }
    let lines = reader.count(&scope, raw.lines, LINES);
    let per = reader.duration(&scope, raw.per, SHORTEST_SPAN).unwrap_or(Duration::from_secs(1));
    Some(RateLimit { lines: lines?.into(), per })
}

/// A number of bytes: `16384`, `16k`, `16KiB`, `1MiB`.
fn size(written: &str) -> Option<u64> {
    let digits = written.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = written.split_at(digits);
    let unit = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// Tells what opening the file would say, as far as that can be told without making it.
fn can_be_logged_to(path: &Path) -> io::Result<()> {
    if path.metadata().is_ok_and(|found| found.file_type().is_fifo()) {
        // That would wait for whoever reads it, who would see us come and go.
        return Ok(());
    }
    match OpenOptions::new().append(true).open(path) {
        Ok(_) => Ok(()),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.unwrap_or(Path::new("."));
            if folder.metadata()?.is_dir() { Ok(()) } else { Err(cause) }
        }
        Err(cause) => Err(cause),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_numbers_with_or_without_a_unit() {
        for (written, want) in [
            ("16384", Some(16384)),
            ("16k", Some(16384)),
            ("16 KiB", Some(16384)),
            ("1MiB", Some(1 << 20)),
            ("16kb", None),
            ("k", None),
            ("-1", None),
            ("1.5k", None),
            ("99999999999999999999", None),
            ("99999999999999999m", None),
        ] {
            assert_eq!(size(written), want, "{written}");
        }
    }
}
