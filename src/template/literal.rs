//! Reads Go's constants: quoted and raw strings, characters, numbers in all their bases.
//! Not here: where a constant begins and ends (`lexer`).

use super::{text, value::Value};

/// The bytes of a quoted (`"..."`) or raw string constant with its quotes; none if an escape is wrong.
pub fn string(source: &[u8]) -> Option<Vec<u8>> {
    let (&quote, rest) = source.split_first()?;
    let mut rest = rest.strip_suffix(&[quote])?;
    if quote == b'`' {
        // Go drops carriage returns from raw strings, so that a file's line ends do not change its meaning.
        return Some(rest.iter().copied().filter(|&byte| byte != b'\r').collect());
    }
    let mut out = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let (unit, tail) = unescape(rest, quote)?;
        match unit {
            Unit::Byte(byte) => out.push(byte),
            Unit::Rune(c) => out.extend(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        rest = tail;
    }
    Some(out)
}

/// The code of a character constant with its quotes.
pub fn character(source: &[u8]) -> Option<i64> {
    match unescape(source.strip_prefix(b"'")?, b'\'')? {
        (Unit::Byte(byte), b"'") => Some(i64::from(byte)),
        (Unit::Rune(c), b"'") => Some(i64::from(u32::from(c))),
        (Unit::Byte(_) | Unit::Rune(_), _) => None,
    }
}

/// The value of a number: an int, a float64 if it has a point or an exponent, a complex128 if it ends in `i`.
pub fn number(source: &str) -> Result<Value<'static>, String> {
    if let Some(imaginary) = source.strip_suffix('i') {
        // A complex number has a second sign, which is not that of an exponent.
        let second =
            imaginary.rfind(['+', '-']).filter(|&at| at > 0 && !imaginary[..at].ends_with(['e', 'E', 'p', 'P']));
        let (re, im) = imaginary.split_at(second.unwrap_or(0));
        let re = if re.is_empty() { Some(0.0) } else { float(re) };
        return re.zip(float(im)).map(|(re, im)| Value::Complex(re, im)).ok_or_else(|| bad(source));
    }
    if let Some(number) = integer(source) {
        return i64::try_from(number).map(Value::Int).map_err(|_| format!("the number `{source}` overflows an int"));
    }
    if !source.contains(['.', 'e', 'E', 'p', 'P']) {
        return Err(bad(source));
    }
    float(source).map(Value::Float).ok_or_else(|| bad(source))
}

fn bad(source: &str) -> String {
    format!("`{source}` is not a number, or too large for one")
}

enum Unit {
    /// Written as a byte (`\xff`, `\377`): it need not be UTF-8.
    Byte(u8),
    Rune(char),
}

/// The first character of a quoted text, and what follows it.
fn unescape(source: &[u8], quote: u8) -> Option<(Unit, &[u8])> {
    let (c, width) = text::rune(source);
    if source.is_empty() || c == char::from(quote) {
        return None;
    }
    if c != '\\' {
        return Some((Unit::Rune(c), &source[width..]));
    }
    let (&escape, rest) = source[1..].split_first()?;
    let digits = |count: usize, rest: &'_ [u8]| {
        let digits = std::str::from_utf8(rest.get(..count)?).ok()?;
        digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
    };
    let unit = match escape {
        b'a' => Unit::Byte(7),
        b'b' => Unit::Byte(8),
        b'f' => Unit::Byte(12),
        b'n' => Unit::Byte(b'\n'),
        b'r' => Unit::Byte(b'\r'),
        b't' => Unit::Byte(b'\t'),
        b'v' => Unit::Byte(11),
        b'\\' => Unit::Byte(b'\\'),
        b'\'' | b'"' if escape == quote => Unit::Byte(quote),
        b'x' => return Some((Unit::Byte(u8::try_from(digits(2, rest)?).ok()?), &rest[2..])),
        b'u' => return Some((Unit::Rune(char::from_u32(digits(4, rest)?)?), &rest[4..])),
        b'U' => return Some((Unit::Rune(char::from_u32(digits(8, rest)?)?), &rest[8..])),
        b'0'..=b'7' => {
            let octal = std::str::from_utf8(source.get(1..4)?).ok()?;
            return Some((Unit::Byte(u8::from_str_radix(octal, 8).ok()?), &source[4..]));
        }
        _ => return None,
    };
    Some((unit, rest))
}

/// An integer with an optional sign and base prefix; a leading 0 alone means octal.
fn integer(source: &str) -> Option<i128> {
    let (negative, digits) = sign(source);
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, &lower[..]),
    };
    // An underscore may stand between digits and after the prefix.
    let prefixed = radix != 10;
    if digits.contains("__") || digits.ends_with('_') || (digits.starts_with('_') && !prefixed) {
        return None;
    }
    let digits = digits.replace('_', "");
    if digits.starts_with(['+', '-']) {
        return None;
    }
    // Cut, not refused: so many digits are out of range whatever they are.
    let value = match i128::from_str_radix(&digits, radix) {
        Ok(value) => value,
        Err(error) if *error.kind() == std::num::IntErrorKind::PosOverflow => i128::MAX,
        Err(_) => return None,
    };
    Some(if negative { -value } else { value })
}

/// A decimal or hexadecimal (`0x1p-2`) float.
fn float(source: &str) -> Option<f64> {
    let (negative, digits) = sign(source);
    let apart =
        |part: &str| part.starts_with(|c: char| c.is_ascii_digit()) && part.ends_with(|c: char| c.is_ascii_digit());
    if digits.contains('_') && !digits.split('_').all(apart) {
        return None;
    }
    let digits = &digits.replace('_', "");
    let value = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => hex_float(hex)?,
        // What Rust accepts beyond Go, such as `inf`, the lexer takes for something else.
        None => digits.parse::<f64>().ok()?,
    };
    value.is_finite().then_some(if negative { -value } else { value })
}

fn hex_float(source: &str) -> Option<f64> {
    let source = source.to_ascii_lowercase();
    let (mantissa, exponent) = source.split_once('p')?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    // Sixteen digits hold all bits of a float64; more would need rounding to the bit, which nobody asks of a config.
    if digits.is_empty() || digits.len() > 16 {
        return None;
    }
    let bits = u64::from_str_radix(&digits, 16).ok()?;
    let scale = exponent.parse::<i32>().ok()?.checked_sub(4 * i32::try_from(fraction.len()).ok()?)?;
    #[expect(clippy::cast_precision_loss, reason = "rounding to the nearest is what a float constant means")]
    let value = bits as f64;
    // In two steps, so that neither factor overflows alone.
    let half = scale.clamp(-2200, 2200) / 2;
    Some(value * 2f64.powi(half) * 2f64.powi(scale.clamp(-2200, 2200) - half))
}

fn sign(source: &str) -> (bool, &str) {
    match source.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, source.strip_prefix('+').unwrap_or(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_may_hold_any_byte() {
        assert_eq!(string(br#""a\x41\101\u00e9\xff\"""#).expect("valid"), b"aAA\xc3\xa9\xff\"");
        assert_eq!(string(b"`a\\n\r\nb`").expect("valid"), b"a\\n\nb");
        for wrong in [r#""\q""#, r#""\'""#, r#""\400""#, r#""\x4""#, r#""\ud800""#, r#""\18 ""#] {
            assert_eq!(string(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn characters_are_one_rune() {
        assert_eq!(character("'日'".as_bytes()), Some(0x65e5));
        assert_eq!(character(br"'\''"), Some(39));
        for wrong in ["''", "'ab'", r"'\'", r#"'\"'"#] {
            assert_eq!(character(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn numbers_have_bases_signs_and_kinds() {
        let show = |source| number(source).map(|value| format!("{value:?}")).unwrap_or_else(|_| "error".into());
        for (source, value) in [
            ("0x1F", "Int(31)"),
            ("-017", "Int(-15)"),
            ("0b1_01", "Int(5)"),
            ("1_000", "Int(1000)"),
            ("1e3", "Float(1000.0)"),
            ("-.5", "Float(-0.5)"),
            ("0x1p-2", "Float(0.25)"),
            ("1+2i", "Complex(1.0, 2.0)"),
            ("1e-2i", "Complex(0.0, 0.01)"),
            ("-9223372036854775808", "Int(-9223372036854775808)"),
            ("9223372036854775808", "error"),
            ("1__0", "error"),
            ("08", "error"),
            ("1e999", "error"),
        ] {
            assert_eq!(show(source), value, "{source}");
        }
    }
}
