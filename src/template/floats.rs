//! The digits of floats as Go's `strconv.FormatFloat` and `fmt` write them, without sign and padding.
//! Not here: widths and signs (`verbs`).

/// No float64 has more digits than that; further ones are zeros, and Rust's formatter does not take any number.
const MAX_DIGITS: usize = 1100;

/// A number, which is not negative, for the verb of a format. Without a precision `%e` and `%f` have six digits, the others as
/// many as tell the number from all others.
pub fn format(number: f64, verb: char, precision: Option<usize>, sharp: bool) -> String {
    let lower = match verb {
        'e' | 'E' => exponential(number, precision.unwrap_or(6)),
        'f' | 'F' => fixed(number, precision.unwrap_or(6)),
        'x' | 'X' => hexadecimal(number, precision),
        'b' => binary(number),
        _ => general(number, precision),
    };
    let lower = if sharp && verb != 'b' { with_point(&lower, verb, precision) } else { lower };
    if verb.is_ascii_uppercase() { lower.to_ascii_uppercase() } else { lower }
}

/// The decimal digits of a number, and its exponent.
fn digits(number: f64, count: Option<usize>) -> (String, i32) {
    let shown = match count {
        Some(count) => format!("{number:.*e}", count.saturating_sub(1).min(MAX_DIGITS)),
        None => format!("{number:e}"),
    };
    let (mantissa, exponent) = shown.split_once('e').unwrap_or((&shown, "0"));
    (mantissa.replace('.', ""), exponent.parse().unwrap_or(0))
}

fn exponential(number: f64, precision: usize) -> String {
    let (digits, exponent) = digits(number, Some(precision + 1));
    let zeros = (precision + 1).saturating_sub(digits.len());
    let (first, rest) = digits.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    format!("{first}{point}{rest}{}{}", "0".repeat(zeros), signed('e', exponent))
}

fn fixed(number: f64, precision: usize) -> String {
    let shown = format!("{number:.*}", precision.min(MAX_DIGITS));
    shown + &"0".repeat(precision.saturating_sub(MAX_DIGITS))
}

/// `%g`: with an exponent if that is below -4 or not below the precision.
fn general(number: f64, precision: Option<usize>) -> String {
    let (digits, exponent) = digits(number, precision.map(|precision| precision.max(1)));
    let digits = digits.trim_end_matches('0');
    // No float64 has so many digits that this could fail, and cutting the precision to the like changes nothing.
    let whole = |number: usize| i32::try_from(number.min(MAX_DIGITS)).unwrap_or(0);
    let count = if number == 0.0 { 1 } else { digits.len() };
    let threshold = match precision {
        None => 6,
        Some(precision) if precision > count && whole(count) > exponent => count,
        Some(precision) => precision.max(1),
    };
    if exponent < -4 || exponent >= whole(threshold) {
        return exponential(number, count - 1);
    }
    fixed(number, usize::try_from(whole(count) - 1 - exponent).unwrap_or(0))
}

/// `%x`: the bits of the number, rounded to so many hexadecimal places.
fn hexadecimal(number: f64, precision: Option<usize>) -> String {
    let (mut mantissa, mut exponent) = parts(number);
    // The leading bit goes to bit 60.
    mantissa <<= 8;
    while mantissa != 0 && mantissa < 1 << 60 {
        mantissa <<= 1;
        exponent -= 1;
    }
    exponent += 52;
    if let Some(places) = precision.filter(|places| *places < 15) {
        let shift = 60 - 4 * places;
        let extra = mantissa & ((1 << shift) - 1);
        mantissa >>= shift;
        if extra | (mantissa & 1) > 1 << (shift - 1) {
            mantissa += 1;
        }
        mantissa <<= shift;
        if mantissa >= 1 << 61 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let places = format!("{:015x}", mantissa & ((1 << 60) - 1));
    let places = match precision {
        Some(count) if count < places.len() => places[..count].to_owned(),
        Some(count) => places.clone() + &"0".repeat(count - places.len()),
        None => places.trim_end_matches('0').to_owned(),
    };
    let point = if places.is_empty() { "" } else { "." };
    format!("0x{}{point}{places}{}", mantissa >> 60, signed('p', if number == 0.0 { 0 } else { exponent }))
}

/// `%b`: an integer times a power of two.
fn binary(number: f64) -> String {
    let (mantissa, exponent) = parts(number);
    format!("{mantissa}p{exponent:+}")
}

/// The mantissa as an integer, and the power of two it is multiplied with.
fn parts(number: f64) -> (u64, i32) {
    let bits = number.to_bits();
    let mantissa = bits & ((1 << 52) - 1);
    let exponent = i32::try_from((bits >> 52) & 0x7ff).unwrap_or(0);
    if exponent == 0 { (mantissa, -1074) } else { (mantissa | 1 << 52, exponent - 1075) }
}

/// An exponent of at least two digits.
fn signed(letter: char, exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{letter}{sign}{:02}", exponent.unsigned_abs())
}

/// The `#` flag: always a point, and for `%g` the zeros that its precision asks for.
fn with_point(shown: &str, verb: char, precision: Option<usize>) -> String {
    let end = match verb {
        'x' | 'X' => shown.find('p'),
        _ => shown.find('e'),
    };
    let (mantissa, tail) = shown.split_at(end.unwrap_or(shown.len()));
    let mut mantissa = mantissa.to_owned();
    // Go counts the x of the prefix as a digit, and a zero only if it is alone or behind another digit.
    let counted = match mantissa.strip_prefix("0x") {
        Some(digits) => 1 + digits.bytes().filter(u8::is_ascii_hexdigit).count(),
        None if mantissa == "0" => 1,
        None => mantissa.trim_start_matches(['0', '.']).bytes().filter(u8::is_ascii_digit).count(),
    };
    if !mantissa.contains('.') {
        mantissa.push('.');
    }
    if matches!(verb, 'v' | 'g' | 'G' | 'x') {
        mantissa.push_str(&"0".repeat(precision.unwrap_or(6).saturating_sub(counted)));
    }
    mantissa + tail
}
