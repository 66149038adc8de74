//! From a text to its values, or to what is wrong with its syntax, in words for whoever wrote it.

use std::borrow::Cow;

use json5::ErrorCode;

use super::ConfigError;
use super::node::Node;
use super::positions::{self, Position};
use super::written::Written;

/// A config has six levels. Deeper nesting is a mistake, or an attempt to overflow our stack.
const DEEPEST: usize = 100;

/// The values of a text, numbered.
pub fn parse(written: &Written<'_>) -> Result<Node, ConfigError> {
    let text = &*written.text;
    if let Some(at) = positions::nested_deeper_than(text, DEEPEST) {
        return Err(error(written, at, None, format!("objects and lists are nested deeper than {DEEPEST} levels")));
    }
    let root: Node = json5::from_str(&without_lone_surrogates(text)).map_err(|cause| {
        let (at, says) = explain(written, &cause);
        let wants_more = matches!(cause.code(), Some(ErrorCode::ExpectedValue | ErrorCode::ExpectedIdentifier));
        let gap = if wants_more { written.empty_action(at) } else { None };
        error(written, at, gap, says)
    })?;
    Ok(root.numbered())
}

/// The error at a place of the text, or where an action stands that has filled no gap.
fn error(written: &Written<'_>, at: usize, gap: Option<Position>, mut says: String) -> ConfigError {
    if gap.is_some() || written.is_made(at) {
        let rendered = positions::position(&written.text, at);
        let what = if gap.is_some() { "an action that is empty stands here" } else { "an action has made this" };
        says.push_str(&format!("; {what}, which -template shows at {rendered}"));
    }
    let Position { line, column } = gap.unwrap_or_else(|| written.position(at));
    ConfigError::Syntax { path: written.name.to_owned(), line, column, says }
}

/// Where the mistake is, and what it is.
fn explain(written: &Written<'_>, cause: &json5::Error) -> (usize, String) {
    let text = &*written.text;
    let first = positions::first(text);
    if first == text.len() && cause.code() == Some(ErrorCode::EofParsingValue) {
        return (first, "the config is empty, it must be an object: { jobs: [ ... ] }".to_owned());
    }
    if is_yaml(text) {
        let says = "this looks like YAML, a config is JSON5: an object in braces, { consul: \"...\", jobs: [ ... ] }";
        return (first, says.to_owned());
    }
    let position = cause.position().filter(|_| !ends_within_a_value(cause));
    // Of what ends too early, the parser tells the place only where a bracket is not closed.
    let at = position.map_or(text.len(), |position| positions::offset(text, position.line, position.column));
    let is_missing_value = text.trim_end().ends_with(':');
    if cause.code() == Some(ErrorCode::EofParsingValue)
        && !is_missing_value
        && let Some((bracket, opened)) = positions::open_at(text, text.len()).pop()
    {
        return (opened, unclosed(written, bracket, opened));
    }
    let next = text.get(at..).and_then(|rest| rest.chars().next());
    let open = positions::open_at(text, at);
    let innermost = open.last().map(|(bracket, opened)| Open {
        bracket: *bracket,
        closer: closer(*bracket),
        position: written.position(*opened),
    });
    let says = match (next, innermost) {
        (Some('#'), _) => {
            "`#` begins no comment: a comment begins with `//`, or stands between `/*` and `*/`".to_owned()
        }
        (Some(next @ ('}' | ']')), None) => format!("this `{next}` closes nothing"),
        (Some(next @ ('}' | ']')), Some(open)) if open.closer != next => {
            let Open { bracket, closer, position } = open;
            format!("this `{next}` comes before the `{closer}` of the `{bracket}` at {position}")
        }
        (_, innermost) => complaint(written, at, cause, innermost),
    };
    (at, says)
}

/// A text ends too early: what is said of its innermost open bracket, and of the others.
fn unclosed(written: &Written<'_>, bracket: char, opened: usize) -> String {
    let mut says = format!("this `{bracket}` has no `{}`", closer(bracket));
    let others = positions::open_at(&written.text, written.text.len()).into_iter().rev();
    for (bracket, at) in others.filter(|(_, at)| *at != opened) {
        says.push_str(&format!(", nor has the `{bracket}` at {} its `{}`", written.position(at), closer(bracket)));
    }
    says
}

fn closer(bracket: char) -> char {
    if bracket == '{' { '}' } else { ']' }
}

/// The innermost bracket that is open.
struct Open {
    bracket: char,
    closer: char,
    position: Position,
}

/// What the parser says, with the place of what has not been closed.
fn complaint(written: &Written<'_>, at: usize, cause: &json5::Error, open: Option<Open>) -> String {
    let Some(code) = cause.code() else {
        return cause.to_string().split(" at line ").next().unwrap_or("not JSON5").to_owned();
    };
    let string = || {
        let begins =
            positions::strings(&written.text).map(|string| string.start).take_while(|start| *start < at).last();
        written.position(begins.unwrap_or(at))
    };
    let or_closer = |open: Option<Open>| {
        let or = |Open { bracket, closer, position }| format!(", or the `{closer}` of the `{bracket}` at {position}");
        open.map(or).unwrap_or_default()
    };
    match code {
        ErrorCode::EofParsingObject => unclosed(written, '{', at),
        ErrorCode::EofParsingArray => unclosed(written, '[', at),
        ErrorCode::EofParsingValue
        | ErrorCode::EofParsingBool
        | ErrorCode::EofParsingNull
        | ErrorCode::EofParsingNumber
        | ErrorCode::EofParsingIdentifier => "the file ends where a value should be".to_owned(),
        ErrorCode::EofParsingString | ErrorCode::EofParsingEscapeSequence => {
            format!("the file ends within the string that begins at {}", string())
        }
        ErrorCode::EofParsingComment => "the file ends within a comment, whose `*/` is missing".to_owned(),
        ErrorCode::LineTerminatorInString => format!("the line ends within the string that begins at {}", string()),
        ErrorCode::ExpectedComma | ErrorCode::ExpectedClosingBrace | ErrorCode::ExpectedClosingBracket => {
            format!("expected a comma{}", or_closer(open))
        }
        ErrorCode::ExpectedIdentifier => format!("expected the name of a field{}", or_closer(open)),
        ErrorCode::ExpectedColon => "expected a colon after the name of a field".to_owned(),
        ErrorCode::ExpectedValue
        | ErrorCode::ExpectedBool
        | ErrorCode::ExpectedNull
        | ErrorCode::ExpectedStringOrObject => "expected a value (a string stands in quotes)".to_owned(),
        ErrorCode::TrailingCharacters => "there is more after the end of the config".to_owned(),
        ErrorCode::ExpectedComment
        | ErrorCode::ExpectedNumber
        | ErrorCode::ExpectedOpeningBrace
        | ErrorCode::ExpectedOpeningBracket
        | ErrorCode::ExpectedString
        | ErrorCode::InvalidBytes
        | ErrorCode::InvalidEscapeSequence
        | ErrorCode::InvalidKey
        | ErrorCode::LeadingZero
        | ErrorCode::OverflowParsingNumber => code.to_string(),
    }
}

/// Whether the text ends, but not just for want of a closing bracket.
fn ends_within_a_value(cause: &json5::Error) -> bool {
    use ErrorCode::{EofParsingArray, EofParsingObject};
    let ends = |code: ErrorCode| code.to_string().starts_with("EOF parsing ");
    cause.code().is_some_and(|code| !matches!(code, EofParsingArray | EofParsingObject) && ends(code))
}

/// Whether the first line that says something is one of YAML.
fn is_yaml(text: &str) -> bool {
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim_end);
    let mut lines = lines.filter(|line| !line.trim_start().is_empty() && !line.trim_start().starts_with('#'));
    let Some(line) = lines.next() else { return false };
    let is_key = |key: &str| {
        let key = key.trim_matches(['"', '\'']);
        key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
    };
    let is_entry = |line: &str| {
        line.split_once(':')
            .is_some_and(|(key, rest)| is_key(key) && (rest.is_empty() || rest.starts_with([' ', '\t'])))
    };
    line == "---" || line.starts_with("--- ") || line.starts_with("- ") || line.starts_with("%YAML") || is_entry(line)
}

/// The text with U+FFFD for each escape of half a pair of UTF-16, as 3.8 reads it. All else keeps its place.
fn without_lone_surrogates(text: &str) -> Cow<'_, str> {
    const REPLACEMENT: &[u8] = b"\\ufffd";
    let unit = |bytes: &[u8]| -> Option<u32> {
        let digits = bytes.strip_prefix(b"\\u")?.get(..4).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let mut lone = Vec::new();
    for string in positions::strings(text) {
        let (bytes, mut at) = (&text.as_bytes()[..string.end], string.start);
        while let Some(escape) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            at += match (unit(escape), escape.get(6..).and_then(unit)) {
                (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 2 * REPLACEMENT.len(),
                (Some(0xd800..=0xdfff), _) => {
                    lone.push(at);
                    REPLACEMENT.len()
                }
                (Some(_) | None, _) => 1 + usize::from(escape[0] == b'\\'),
            };
        }
    }
    if lone.is_empty() {
        return text.into();
    }
    let mut bytes = text.as_bytes().to_vec();
    for at in lone {
        bytes[at..at + REPLACEMENT.len()].copy_from_slice(REPLACEMENT);
    }
    // Nothing but ASCII took the place of ASCII.
    String::from_utf8(bytes).map_or(text.into(), Cow::Owned)
}
