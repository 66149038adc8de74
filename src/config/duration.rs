//! Go's durations, as `time.ParseDuration` reads them, and 3.8's addition: a bare whole number is seconds.

use std::time::Duration;

/// What a field of this kind accepts, for messages.
pub const ACCEPTED: &str = "a duration (a number with ns, us, ms, s, m or h)";

/// A Go duration or a whole number of seconds. `None` for what is neither, or does not fit Go's 64 bits of nanoseconds.
/// Negative durations are returned as such: whether they make sense is the field's business.
pub fn parse(text: &str) -> Option<Signed> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        return parse_go(&format!("{text}s"));
    }
    parse_go(text)
}

/// A duration with its sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed {
    nanoseconds: i64,
}

impl Signed {
    /// The duration, unless it is negative.
    pub fn positive(self) -> Option<Duration> {
        u64::try_from(self.nanoseconds).ok().map(Duration::from_nanos)
    }
}

/// Exactly what `time.ParseDuration` accepts: every number but 0 needs a unit.
pub fn parse_go(text: &str) -> Option<Signed> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(Signed { nanoseconds: 0 });
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let (whole, after) = split_digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => split_digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let unit = nanoseconds(unit)?;
        let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let part = whole.checked_mul(unit)?.checked_add(fraction_of(fraction, unit))?;
        total = total.checked_add(part)?;
        rest = after;
    }
    Some(Signed { nanoseconds: if negative { -total } else { total } })
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

fn nanoseconds(unit: &str) -> Option<i64> {
    Some(match unit {
        "ns" => 1,
        // U+00B5, the micro sign, and U+03BC, the Greek letter
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// The digits after the point as a part of the unit, cut off below a nanosecond.
fn fraction_of(digits: &str, unit: i64) -> i64 {
    // 18 digits tell a nanosecond of an hour apart, and fit 128 bits together with the unit.
    let digits = digits.get(..18).unwrap_or(digits);
    let Ok(value) = digits.parse::<i128>() else { return 0 };
    let scale = digits.bytes().fold(1i128, |scale, _| scale * 10);
    i64::try_from(value * i128::from(unit) / scale).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanos(text: &str) -> Option<i64> {
        parse(text).map(|signed| signed.nanoseconds)
    }

    #[test]
    fn go_durations_are_read() {
        for (text, want) in [
            ("1s", 1_000_000_000),
            ("0s", 0),
            ("0", 0),
            ("+300ms", 300_000_000),
            ("0.3s", 300_000_000),
            ("300000us", 300_000_000),
            ("300000µs", 300_000_000),
            ("2000μs", 2_000_000),
            ("0h0.3s", 300_000_000),
            ("1h2m3.5s", 3_723_500_000_000),
            ("-1.5h", -5_400_000_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("1ns", 1),
            ("0.1ns", 0),
            ("1ms2ms", 3_000_000),
        ] {
            assert_eq!(nanos(text), Some(want), "{text}");
        }
    }

    #[test]
    fn a_bare_whole_number_is_seconds() {
        assert_eq!(nanos("10"), Some(10_000_000_000));
        assert_eq!(nanos("-1"), Some(-1_000_000_000));
        assert_eq!(nanos("+2"), Some(2_000_000_000));
        assert_eq!(parse_go("10"), None);
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "s",
            "1.5",
            "1d",
            "1 s",
            " 1s",
            "1s ",
            "1 minute",
            "often",
            "1S",
            "--1s",
            "+",
            ".s",
            ".",
            "1..5s",
            "0x10",
            "9223372037s",
            "99999999999999999999",
            "1e3s",
            "日",
            "1日",
        ] {
            assert_eq!(nanos(text), None, "{text}");
        }
    }
}
