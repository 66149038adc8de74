//! `regexReplaceAll`: Go's regular expressions (RE2) and replacement texts on top of the `regex` crate.
//!
//! Both speak nearly the same language, but not quite: in Go `\d`, `\w`, `\s` and `\b` are ASCII, `\Q...\E` quotes, a `{` that
//! counts nothing is itself, and some things that Rust knows are errors. So an expression is read as Go reads it and
//! written anew, every literal escaped. Not here: matching, which `regex` does in time linear in the text.

use regex::{Captures, Regex, RegexBuilder};

use super::text;

/// Go's limit for a repetition count, and for the product of nested ones.
const MAX_REPEAT: u32 = 1000;
const NEST_LIMIT: u32 = 250;
/// How many bytes an expression takes at most when it has been read: making one is work, too.
const SIZE_LIMIT: usize = 4 << 20;

const POSIX: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word",
    "xdigit",
];
const DIGIT: &str = "0-9";
const SPACE: &str = r"\t\n\x0C\r ";
const WORD: &str = "0-9A-Za-z_";

/// A regular expression of Go's.
#[derive(Debug)]
pub struct Pattern {
    regex: Regex,
    /// The names of its groups with their numbers: of several with one name, the first that matches counts.
    names: Vec<(String, usize)>,
    /// About how many states it has.
    size: u64,
}

impl Pattern {
    /// What reading one counts, which takes some milliseconds at most.
    pub const STEPS: u64 = 20_000;

    /// Reads an expression.
    pub fn read(written: &[u8]) -> Result<Self, String> {
        let pattern = std::str::from_utf8(written).map_err(|_| "the regular expression is not UTF-8".to_owned())?;
        compile(pattern).map_err(|why| format!("cannot understand the regular expression `{pattern}`: {why}"))
    }

    /// What it counts to look for it in so many bytes: at worst each state meets each byte.
    pub fn steps(&self, bytes: usize) -> u64 {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        1 + bytes.saturating_mul(8 + self.size / 8) / 2
    }

    /// `value` with every match replaced by `to`, in which `$1` and `${name}` stand for groups. What takes more bytes than
    /// there is room for is cut off somewhere beyond that.
    pub fn replace_all(&self, to: &[u8], value: &[u8], room: usize) -> Vec<u8> {
        let subject = Subject::new(value);
        let mut out = Vec::with_capacity(value.len());
        let mut end = 0;
        for captures in self.regex.captures_iter(&subject.text) {
            let Some((start, stop)) = subject.group(&captures, 0) else {
                continue;
            };
            out.extend(&value[end..start]);
            self.expand(&mut out, to, &captures, &subject, room);
            end = stop;
            if out.len() > room {
                break;
            }
        }
        out.extend(&value[end..]);
        out
    }

    /// Appends a replacement text.
    fn expand(&self, out: &mut Vec<u8>, mut to: &[u8], captures: &Captures<'_>, subject: &Subject<'_>, room: usize) {
        while let Some(at) = to.iter().position(|&byte| byte == b'$').filter(|_| out.len() <= room) {
            out.extend(&to[..at]);
            to = &to[at + 1..];
            if let Some(rest) = to.strip_prefix(b"$") {
                out.push(b'$');
                to = rest;
                continue;
            }
            let Some((name, rest)) = reference(to) else {
                out.push(b'$');
                continue;
            };
            to = rest;
            let group = match number(name) {
                Some(index) => subject.group(captures, index),
                None => {
                    let of_name = self.names.iter().filter(|(known, _)| known.as_bytes() == name);
                    of_name.map(|(_, index)| *index).find_map(|index| subject.group(captures, index))
                }
            };
            if let Some((start, end)) = group {
                out.extend(&subject.bytes[start..end]);
            }
        }
        out.extend(to);
    }
}

fn compile(pattern: &str) -> Result<Pattern, String> {
    let Translated { text, names, size } = Translator::new(pattern).translate()?;
    let compiled = RegexBuilder::new(&text).nest_limit(NEST_LIMIT).size_limit(SIZE_LIMIT).build();
    // Of an error that spans lines, the last one says what it is; the others show our translation.
    let regex = compiled.map_err(|error| {
        error.to_string().lines().last().unwrap_or("it is not valid").trim_start_matches("error: ").to_owned()
    })?;
    Ok(Pattern { regex, names, size })
}

/// A value as UTF-8. As in Go, a byte that is not UTF-8 is matched as a replacement character.
struct Subject<'v> {
    bytes: &'v [u8],
    text: String,
    /// Where in `text` the replacement characters end, each two bytes longer than what it stands for.
    broken: Vec<usize>,
}

impl<'v> Subject<'v> {
    fn new(bytes: &'v [u8]) -> Self {
        let mut text = String::with_capacity(bytes.len());
        let mut broken = Vec::new();
        for (c, raw) in text::runes(bytes) {
            text.push(c);
            if text::is_broken(c, raw) {
                broken.push(text.len());
            }
        }
        Subject { bytes, text, broken }
    }

    /// Where a group matched, in the value.
    fn group(&self, captures: &Captures<'_>, index: usize) -> Option<(usize, usize)> {
        let place = |at: usize| at - 2 * self.broken.partition_point(|end| *end <= at);
        captures.get(index).map(|found| (place(found.start()), place(found.end())))
    }
}

/// A group's name after a dollar sign, with or without braces, and what follows it.
fn reference(to: &[u8]) -> Option<(&[u8], &[u8])> {
    let braced = to.strip_prefix(b"{");
    let source = braced.unwrap_or(to);
    let word = text::runes(source).take_while(|(c, _)| c.is_alphanumeric() || *c == '_');
    let width = word.map(|(_, raw)| raw.len()).sum();
    let (name, rest) = source.split_at(width);
    if name.is_empty() {
        return None;
    }
    match braced {
        Some(_) => Some((name, rest.strip_prefix(b"}")?)),
        None => Some((name, rest)),
    }
}

/// A group's number; what begins with a zero is a name.
fn number(name: &[u8]) -> Option<usize> {
    let digits = std::str::from_utf8(name).ok().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))?;
    if digits.len() > 1 && digits.starts_with('0') {
        return None;
    }
    digits.parse().ok()
}

/// What was read last, for the repetition that may follow.
#[derive(Clone, Copy, PartialEq)]
enum Last {
    Nothing,
    /// With the largest product of repetitions within it.
    Atom(u32),
    /// With the same of all that is repeated.
    Repetition(u32),
}

/// An expression as Rust has it.
struct Translated {
    text: String,
    names: Vec<(String, usize)>,
    size: u64,
}

struct Translator<'p> {
    rest: &'p str,
    out: String,
    /// How many groups there are so far that capture.
    groups: usize,
    names: Vec<(String, usize)>,
    last: Last,
    /// Where flags begin that come right after that.
    flags_at: Option<usize>,
    /// The largest product of repetitions so far, for each open group.
    weights: Vec<u32>,
}

impl<'p> Translator<'p> {
    fn new(pattern: &'p str) -> Self {
        Translator {
            rest: pattern,
            out: String::with_capacity(2 * pattern.len()),
            groups: 0,
            names: Vec::new(),
            last: Last::Nothing,
            flags_at: None,
            weights: vec![1],
        }
    }

    fn translate(mut self) -> Result<Translated, String> {
        while let Some(c) = self.take() {
            if !matches!(c, '(' | '*' | '+' | '?' | '{') {
                self.flags_at = None;
            }
            match c {
                '(' => self.open()?,
                ')' => self.close()?,
                '|' => {
                    self.out.push('|');
                    self.last = Last::Nothing;
                }
                '.' | '^' | '$' => self.atom(c.encode_utf8(&mut [0; 4])),
                '[' => self.class()?,
                '*' | '+' | '?' => self.repeat(c.encode_utf8(&mut [0; 4]), 1)?,
                '{' => self.count()?,
                '\\' => self.escape()?,
                c => self.literal(c),
            }
        }
        let weight = self.weights.iter().copied().max().unwrap_or(1);
        let size = u64::try_from(self.out.len()).unwrap_or(u64::MAX).saturating_mul(weight.into());
        Ok(Translated { text: self.out, names: self.names, size })
    }

    fn take(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn skip(&mut self, prefix: &str) -> bool {
        let rest = self.rest.strip_prefix(prefix);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn atom(&mut self, text: &str) {
        self.out.push_str(text);
        self.last = Last::Atom(1);
    }

    fn literal(&mut self, c: char) {
        push_literal(&mut self.out, c);
        self.last = Last::Atom(1);
    }

    fn open(&mut self) -> Result<(), String> {
        if self.skip("?P<") {
            let name = self.rest.split('>').next().unwrap_or_default();
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                return Err("a group's name is not valid".into());
            }
            // Go's names may begin with a digit and come several times, Rust's may not.
            self.groups += 1;
            self.names.push((name.to_owned(), self.groups));
            self.out.push('(');
            self.rest = self.rest[name.len()..].strip_prefix('>').ok_or("a group's name is not closed")?;
        } else if self.skip("?") {
            let before = self.flags_at.unwrap_or(self.out.len());
            if self.flags().ok_or("`(?` must be followed by flags, `:` or `P<name>`")? {
                self.flags_at = Some(before);
                if let Last::Repetition(weight) = self.last {
                    self.last = Last::Atom(weight);
                }
                return Ok(());
            }
        } else {
            self.groups += 1;
            self.out.push('(');
        }
        self.flags_at = None;
        self.weights.push(1);
        self.last = Last::Nothing;
        Ok(())
    }

    /// Flags up to a colon or the closing parenthesis; whether it was that. Go takes a flag twice, and none at all, and of
    /// one that is set and cleared the latter counts.
    fn flags(&mut self) -> Option<bool> {
        let (mut set, mut cleared, mut clears) = (String::new(), String::new(), false);
        loop {
            match self.take()? {
                c @ ('i' | 'm' | 's' | 'U') => {
                    let flags = if clears { &mut cleared } else { &mut set };
                    if !flags.contains(c) {
                        flags.push(c);
                    }
                }
                '-' if !clears => clears = true,
                end @ (':' | ')') if !clears || !cleared.is_empty() => {
                    set.retain(|c| !cleared.contains(c));
                    let minus = if clears { "-" } else { "" };
                    let is_closed = end == ')';
                    if !is_closed || !set.is_empty() || clears {
                        self.out.extend(["(?", &set, minus, &cleared]);
                        self.out.push(end);
                    }
                    return Some(is_closed);
                }
                _ => return None,
            }
        }
    }

    fn close(&mut self) -> Result<(), String> {
        let weight = self.weights.pop().filter(|_| !self.weights.is_empty()).ok_or("unexpected `)`")?;
        self.out.push(')');
        self.last = Last::Atom(weight);
        self.weigh(weight);
        Ok(())
    }

    fn weigh(&mut self, weight: u32) {
        if let Some(group) = self.weights.last_mut() {
            *group = weight.max(*group);
        }
    }

    /// `count` is what the repetition multiplies the size of the expression with.
    fn repeat(&mut self, operator: &str, count: u32) -> Result<(), String> {
        let weight = match self.last {
            Last::Nothing => return Err(format!("`{operator}` repeats nothing")),
            Last::Repetition(_) => return Err(format!("`{operator}` repeats a repetition")),
            Last::Atom(weight) => weight.saturating_mul(count.max(1)),
        };
        if count > 1 && weight > MAX_REPEAT {
            return Err(format!("`{operator}` repeats too often"));
        }
        self.weigh(weight);
        // A question mark after a repetition would make that a lazy one.
        let is_apart = self.flags_at.is_some() && operator == "?";
        let mut operator = if is_apart { "{0,1}" } else { operator }.to_owned();
        if self.skip("?") {
            operator.push('?');
        }
        // Flags in between are no matter to Go: what is before them is repeated.
        let at = self.flags_at.take().unwrap_or(self.out.len());
        self.out.insert_str(at, &operator);
        self.last = Last::Repetition(weight);
        Ok(())
    }

    /// `{n}`, `{n,}` or `{n,m}`; any other brace is itself.
    fn count(&mut self) -> Result<(), String> {
        let number = |digits: &str| {
            let plain =
                digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits.len() == 1 || !digits.starts_with('0'));
            // Too many digits are too large a number, not no number.
            (plain && !digits.is_empty()).then(|| digits.parse::<u32>().unwrap_or(u32::MAX))
        };
        let inner = self.rest.split_once('}').map(|(inner, _)| inner);
        let bounds = inner.and_then(|inner| match inner.split_once(',') {
            None => number(inner).map(|n| (n, Some(n))),
            Some((least, "")) => number(least).map(|n| (n, None)),
            Some((least, most)) => number(least).zip(number(most).map(Some)),
        });
        let (Some(inner), Some((least, most))) = (inner, bounds) else {
            self.flags_at = None;
            self.literal('{');
            return Ok(());
        };
        let operator = format!("{{{inner}}}");
        let largest = most.unwrap_or(least);
        if largest > MAX_REPEAT || least > largest {
            return Err(format!("`{operator}` is not a valid repetition"));
        }
        self.rest = &self.rest[inner.len() + 1..];
        self.repeat(&operator, largest)
    }

    fn escape(&mut self) -> Result<(), String> {
        if self.skip("Q") {
            let (quoted, rest) = self.rest.split_once(r"\E").unwrap_or((self.rest, ""));
            quoted.chars().for_each(|c| self.literal(c));
            self.rest = rest;
            return Ok(());
        }
        for (escape, translated) in [("A", r"\A"), ("z", r"\z"), ("b", r"(?-u:\b)"), ("B", r"(?-u:\B)")] {
            if self.skip(escape) {
                self.atom(translated);
                return Ok(());
            }
        }
        match self.set()? {
            Some(set) => self.atom(&set),
            None => {
                let c = self.escaped_character()?;
                self.literal(c);
            }
        }
        Ok(())
    }

    /// After a backslash: the class of `\d` and its like or of `\p{...}`, as a class of its own.
    fn set(&mut self) -> Result<Option<String>, String> {
        for (lower, upper, set) in [("d", "D", DIGIT), ("s", "S", SPACE), ("w", "W", WORD)] {
            if self.skip(lower) {
                return Ok(Some(format!("[{set}]")));
            }
            if self.skip(upper) {
                return Ok(Some(format!("[^{set}]")));
            }
        }
        let mut negative = self.rest.starts_with('P');
        if !self.skip("p") && !self.skip("P") {
            return Ok(None);
        }
        let name = if self.skip("{") {
            let (name, rest) = self.rest.split_once('}').ok_or("`\\p{` is not closed")?;
            self.rest = rest;
            name
        } else {
            let width = self.rest.chars().next().map_or(0, char::len_utf8);
            let (name, rest) = self.rest.split_at(width);
            self.rest = rest;
            name
        };
        let bare = name.strip_prefix('^').unwrap_or(name);
        negative ^= bare.len() != name.len();
        // Go knows general categories of one or two letters, scripts, and `Any`.
        let kind = match bare.len() {
            _ if bare == "Any" => "",
            1 | 2 => "gc=",
            _ => "sc=",
        };
        if bare.is_empty() || !bare.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_') {
            return Err(format!("`{name}` is not a class of characters"));
        }
        Ok(Some(format!(r"\{}{{{kind}{bare}}}", if negative { 'P' } else { 'p' })))
    }

    /// After a backslash: the character that is meant.
    fn escaped_character(&mut self) -> Result<char, String> {
        let c = self.take().ok_or("a backslash at the end")?;
        Ok(match c {
            'a' => '\x07',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0b',
            'x' => return self.hexadecimal().ok_or_else(|| r"`\x` without a code".into()),
            // A digit from 1 on is octal only if another octal digit follows; else it would be a back reference.
            '0'..='7' if c == '0' || self.rest.starts_with(|c: char| ('0'..='7').contains(&c)) => {
                let mut code = c.to_digit(8).unwrap_or(0);
                for _ in 0..2 {
                    if let Some(digit) = self.rest.chars().next().and_then(|c| c.to_digit(8)) {
                        code = code * 8 + digit;
                        self.rest = &self.rest[1..];
                    }
                }
                char::from_u32(code).ok_or("an octal code out of range")?
            }
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => c,
            c => return Err(format!(r"`\{c}` is not supported")),
        })
    }

    /// `41` or `{1F680}`.
    fn hexadecimal(&mut self) -> Option<char> {
        let digits = if self.skip("{") {
            let (digits, rest) = self.rest.split_once('}')?;
            self.rest = rest;
            digits
        } else {
            let (digits, rest) = self.rest.split_at_checked(2)?;
            self.rest = rest;
            digits
        };
        let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        plain.then(|| u32::from_str_radix(digits, 16).ok())?.and_then(char::from_u32)
    }

    /// What stands between brackets. Rust gives `&&`, `--` and `[` a meaning there; escaped, they have none.
    fn class(&mut self) -> Result<(), String> {
        self.out.push('[');
        if self.skip("^") {
            self.out.push('^');
        }
        let mut first = true;
        while first || !self.rest.starts_with(']') {
            first = false;
            if self.rest.is_empty() {
                return Err("a bracket is not closed".into());
            }
            if let Some(end) = self.rest.strip_prefix("[:").and_then(|rest| rest.find(":]")) {
                let name = &self.rest[2..end + 2];
                if !POSIX.contains(&name.strip_prefix('^').unwrap_or(name)) {
                    return Err(format!("`[:{name}:]` is not a class of characters"));
                }
                self.out.push_str(&self.rest[..end + 4]);
                self.rest = &self.rest[end + 4..];
                continue;
            }
            let whole = self.rest;
            if self.skip("\\") {
                if let Some(set) = self.set()? {
                    self.out.push_str(&set);
                    continue;
                }
                self.rest = whole;
            }
            let from = self.class_character()?;
            let mut to = from;
            if self.rest.starts_with('-') && !self.rest.starts_with("-]") && self.rest.len() > 1 {
                self.skip("-");
                to = self.class_character()?;
            }
            if to < from {
                return Err(format!("the range `{from}-{to}` is empty"));
            }
            push_literal(&mut self.out, from);
            self.out.push('-');
            push_literal(&mut self.out, to);
        }
        self.skip("]");
        self.atom("]");
        Ok(())
    }

    fn class_character(&mut self) -> Result<char, String> {
        if self.skip("\\") {
            self.escaped_character()
        } else {
            self.take().ok_or_else(|| "a bracket is not closed".into())
        }
    }
}

fn push_literal(out: &mut String, c: char) {
    if c.is_ascii_alphanumeric() || !c.is_ascii() {
        out.push(c);
    } else {
        out.push_str(&format!("\\x{:02X}", u32::from(c)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(pattern: &str, to: &str, value: &[u8]) -> String {
        match Pattern::read(pattern.as_bytes()).map(|pattern| pattern.replace_all(to.as_bytes(), value, 1 << 20)) {
            Ok(out) => String::from_utf8_lossy(&out).into_owned(),
            Err(message) => format!("error: {message}"),
        }
    }

    #[test]
    fn syntax_is_that_of_go() {
        for (pattern, value, out) in [
            (r"\d", "1٣", "x٣"),
            (r"(?i)straße", "STRASSE Straße", "STRASSE x"),
            (r"(?i)k", "kK\u{212a}", "xxx"),
            (r"\bé", "aé é", "ax é"),
            (r"\Q.*\E+", "a.***", "ax"),
            ("a{,2}", "aaa{,2}", "aax"),
            ("[a&&b]", "a&b", "xxx"),
            ("[[a]", "[a]", "xx]"),
            ("[]a]", "]a[", "xx["),
            ("[a-]", "a-b", "xxb"),
            (r"[\]\-]", "]-a", "xxa"),
            (r"[^\W]", "a-b", "x-x"),
            (r"\pL+", "日本-1", "x-1"),
            (r"\p{^Greek}", "αa", "αx"),
            (r"\x{e9}\x41\101", "éAA", "x"),
            ("a b#c", "a b#c", "x"),
            ("(?U)a+", "aa", "xx"),
            ("(?)a", "aA", "xA"),
            ("(?ii)a", "aA", "xx"),
            ("(?i-i)a", "aA", "xA"),
            ("(?is-is:a)", "aA", "xA"),
            ("a(?:)b", "ab", "x"),
            ("a(?i){2}b", "aaB", "x"),
            ("a*(?)?b", "aab", "x"),
            ("a?(?)?", "aa", "xx"),
        ] {
            assert_eq!(replaced(pattern, "x", value.as_bytes()), out, "{pattern}");
        }
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for pattern in [
            "(",
            ")",
            "[a",
            "a**",
            "*a",
            "|*",
            "a{1001}",
            "a{2,1}",
            "(a{40}){40}",
            "(?=a)",
            "(?<!a)",
            r"(a)\1",
            r"\C",
            r"\y",
            "(?x)a",
            "(?-)a",
            "(?i-)a",
            "(?i--s)a",
            "(?i",
            "(?)*",
            "[b-a]",
            "[[:nope:]]",
            r"\pX",
            r"\p{Nope}",
            "(?P<a-b>x)",
            r"\",
        ] {
            assert!(replaced(pattern, "x", b"").starts_with("error: "), "{pattern}");
        }
    }

    #[test]
    fn replacements_name_groups() {
        for (to, out) in [
            ("$1x", ""),
            ("${1}x", "bx"),
            ("$$1", "$1"),
            ("$", "$"),
            ("${1", "${1"),
            ("$-", "$-"),
            ("$n", "b"),
            ("$01", ""),
            ("$9", ""),
        ] {
            assert_eq!(replaced("a(?P<n>b)", to, b"ab"), out, "{to}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_kept() {
        let pattern = Pattern::read(b"(.)b").expect("valid");
        let out = pattern.replace_all(b"<$1>", b"\xff\xfeb\xc3\xa9b\xff", 100);
        assert_eq!(out, b"\xff<\xfe><\xc3\xa9>\xff");
    }

    #[test]
    fn hostile_expressions_end() {
        let text = [vec![b'a'; 5000], vec![b'!']].concat();
        for pattern in ["^(a+)+$", "(a*)*$", "(a|a)*$", "(a|aa)+$"] {
            assert!(
                Pattern::read(pattern.as_bytes()).unwrap().replace_all(b"x", &text, 100_000).len() > 1,
                "{pattern}"
            );
        }
        assert!(Pattern::read("(".repeat(100_000).as_bytes()).is_err());
        assert!(Pattern::read(["(".repeat(5000), ")*".repeat(5000)].concat().as_bytes()).is_err());
    }
}
