//! Go's `fmt` for our few types: `print`, `println`, `printf` with all verbs and flags, and how values look in the output.
//! What takes more bytes than there is room for is cut off somewhere beyond that: the caller refuses it.
//! Not here: how the digits of a float are found (`floats`), and quoting (`text`).

use super::{floats, text, value::Value};

/// Go's limit for widths and precisions.
const MAX_WIDTH: i64 = 1_000_000;

/// Prints a value that a pipeline gave.
pub fn print(value: &Value<'_>, room: usize) -> Vec<u8> {
    if let Value::Nil = value { b"<no value>".to_vec() } else { sprint(std::slice::from_ref(value), room) }
}

/// Values one after the other, with a space between two that are no strings.
pub fn sprint(values: &[Value<'_>], room: usize) -> Vec<u8> {
    let mut printer = Printer::new(room);
    let mut after_text = true;
    for value in values {
        if printer.is_full() {
            break;
        }
        let text = matches!(value, Value::Text(_));
        if !text && !after_text {
            printer.out.push(b' ');
        }
        after_text = text;
        printer.value(value, 'v');
    }
    printer.out
}

/// Values with a space between any two, and a line end.
pub fn sprintln(values: &[Value<'_>], room: usize) -> Vec<u8> {
    let mut printer = Printer::new(room);
    for (index, value) in values.iter().enumerate() {
        if printer.is_full() {
            break;
        }
        if index > 0 {
            printer.out.push(b' ');
        }
        printer.value(value, 'v');
    }
    printer.out.push(b'\n');
    printer.out
}

/// A format with its values. Whatever does not fit shows in the output, as in Go: there are no errors.
pub fn sprintf(format: &[u8], values: &[Value<'_>], room: usize) -> Vec<u8> {
    let mut call = Call { format, at: 0, values, next: 0, reordered: false, indexed: false, good_index: true };
    let mut printer = Printer::new(room);
    while let Some(length) = format[call.at..].iter().position(|&byte| byte == b'%').filter(|_| !printer.is_full()) {
        printer.out.extend(&format[call.at..call.at + length]);
        call.at += length + 1;
        call.directive(&mut printer);
    }
    printer.out.extend(&format[call.at..]);
    if !call.reordered && call.next < values.len() {
        printer.flags = Flags::default();
        printer.out.extend(b"%!(EXTRA ");
        for (index, value) in values[call.next..].iter().enumerate() {
            if index > 0 {
                printer.out.extend(b", ");
            }
            printer.typed(value);
            if printer.is_full() {
                break;
            }
        }
        printer.out.push(b')');
    }
    printer.out
}

/// What stands between the percent sign and the verb.
#[derive(Clone, Default)]
struct Flags {
    plus: bool,
    minus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    /// `%#v`
    go_syntax: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// A format that is being worked through.
struct Call<'f, 'v, 'e> {
    format: &'f [u8],
    at: usize,
    values: &'v [Value<'e>],
    next: usize,
    /// An index like `[2]` was used: then it is no matter if values are left over.
    reordered: bool,
    /// The last thing read was an index.
    indexed: bool,
    good_index: bool,
}

impl Call<'_, '_, '_> {
    /// One verb with its flags.
    fn directive(&mut self, printer: &mut Printer) {
        printer.flags = Flags::default();
        self.good_index = true;
        self.indexed = false;
        self.flags(&mut printer.flags);
        self.index();
        self.width(printer);
        // Go 1.19 takes the last byte of a format for a verb, whatever it is.
        if self.peek() == Some(b'.') && self.at + 1 < self.format.len() {
            self.at += 1;
            self.precision(printer);
        }
        if !self.indexed {
            self.index();
        }
        if self.at >= self.format.len() {
            printer.out.extend(b"%!(NOVERB)");
            return;
        }
        let (verb, width) = text::rune(&self.format[self.at..]);
        self.at += width;
        if verb == '%' {
            printer.out.push(b'%');
        } else if !self.good_index {
            printer.complain(verb, b"(BADINDEX)");
        } else if let Some(value) = self.values.get(self.next) {
            self.next += 1;
            let flags = &mut printer.flags;
            if verb == 'v' {
                (flags.go_syntax, flags.sharp) = (flags.sharp, false);
                flags.plus = false;
            }
            printer.value(value, verb);
        } else {
            printer.complain(verb, b"(MISSING)");
        }
    }

    fn flags(&mut self, flags: &mut Flags) {
        while let Some(byte) = self.peek() {
            match byte {
                b'#' => flags.sharp = true,
                b'+' => flags.plus = true,
                b' ' => flags.space = true,
                // Zeros only pad on the left.
                b'0' => flags.zero = !flags.minus,
                b'-' => (flags.minus, flags.zero) = (true, false),
                _ => return,
            }
            self.at += 1;
        }
    }

    fn width(&mut self, printer: &mut Printer) {
        if self.peek() != Some(b'*') {
            printer.flags.width = self.number();
            if self.indexed && printer.flags.width.is_some() {
                self.good_index = false;
            }
            return;
        }
        match self.star() {
            Some(width) => {
                if width < 0 {
                    (printer.flags.minus, printer.flags.zero) = (true, false);
                }
                printer.flags.width = usize::try_from(width.unsigned_abs()).ok();
            }
            None => printer.out.extend(b"%!(BADWIDTH)"),
        }
    }

    fn precision(&mut self, printer: &mut Printer) {
        if self.indexed {
            self.good_index = false;
        }
        self.index();
        if self.peek() != Some(b'*') {
            printer.flags.precision = Some(self.number().unwrap_or(0));
            return;
        }
        let precision = self.star();
        printer.flags.precision = precision.and_then(|precision| usize::try_from(precision).ok());
        if printer.flags.precision.is_none() {
            printer.out.extend(b"%!(BADPREC)");
        }
    }

    /// `*`: the next value, if it is a number within bounds.
    fn star(&mut self) -> Option<i64> {
        self.at += 1;
        self.indexed = false;
        let value = self.values.get(self.next)?;
        self.next += 1;
        value.whole().filter(|number| (-MAX_WIDTH..=MAX_WIDTH).contains(number))
    }

    /// `[n]`: which value comes next.
    fn index(&mut self) {
        self.indexed = false;
        if self.peek() != Some(b'[') {
            return;
        }
        self.reordered = true;
        let rest = &self.format[self.at + 1..];
        let Some(length) = rest.iter().position(|&byte| byte == b']') else {
            self.good_index = false;
            self.at += 1;
            return;
        };
        self.at += length + 2;
        let number =
            std::str::from_utf8(&rest[..length]).ok().filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
        let number = number.and_then(|digits| digits.parse::<usize>().ok());
        match number {
            Some(number) if (1..=self.values.len()).contains(&number) => {
                self.next = number - 1;
                self.indexed = true;
            }
            Some(_) => {
                self.good_index = false;
                self.indexed = true;
            }
            None => self.good_index = false,
        }
    }

    fn number(&mut self) -> Option<usize> {
        let mut number = None;
        while let Some(digit) = self.peek().filter(u8::is_ascii_digit) {
            let before = number.unwrap_or(0i64);
            if before > MAX_WIDTH {
                // Go gives up on the rest of the format, too.
                self.at = self.format.len();
                return None;
            }
            number = Some(before * 10 + i64::from(digit - b'0'));
            self.at += 1;
        }
        number.and_then(|number| usize::try_from(number).ok())
    }

    fn peek(&self) -> Option<u8> {
        self.format.get(self.at).copied()
    }
}

struct Printer {
    out: Vec<u8>,
    flags: Flags,
    room: usize,
}

impl Printer {
    fn new(room: usize) -> Self {
        Self { out: Vec::new(), flags: Flags::default(), room }
    }

    fn is_full(&self) -> bool {
        self.out.len() > self.room
    }

    fn value(&mut self, value: &Value<'_>, verb: char) {
        if verb == 'T' {
            if let Value::Nil = value {
                return self.pad(b"<nil>");
            }
            return self.text(value.type_name().as_bytes(), 's', value);
        }
        match value {
            Value::Nil if verb == 'v' => self.pad(b"<nil>"),
            Value::Nil => self.bad_verb(value, verb),
            Value::Bool(truth) => match verb {
                't' | 'v' => self.pad(if *truth { b"true" } else { b"false" }),
                _ => self.bad_verb(value, verb),
            },
            Value::Int(number) => self.integer(number.unsigned_abs(), *number < 0, verb, value),
            Value::Byte(number) if verb == 'v' && self.flags.go_syntax => {
                let sharp = std::mem::replace(&mut self.flags.sharp, true);
                self.integer(u64::from(*number), false, 'x', value);
                self.flags.sharp = sharp;
            }
            Value::Byte(number) => self.integer(u64::from(*number), false, verb, value),
            Value::Float(number) => match verb {
                'v' | 'b' | 'g' | 'G' | 'x' | 'X' | 'f' | 'F' | 'e' | 'E' => self.float(*number, verb),
                _ => self.bad_verb(value, verb),
            },
            Value::Complex(re, im) => match verb {
                'v' | 'b' | 'g' | 'G' | 'x' | 'X' | 'f' | 'F' | 'e' | 'E' => {
                    self.out.push(b'(');
                    self.float(*re, verb);
                    let plus = std::mem::replace(&mut self.flags.plus, true);
                    self.float(*im, verb);
                    self.flags.plus = plus;
                    self.out.extend(b"i)");
                }
                _ => self.bad_verb(value, verb),
            },
            Value::Text(text) => self.text(text, verb, value),
            // Go would print an address, or wants an error.
            Value::Texts(_) | Value::Ints(_) | Value::Env(_) if matches!(verb, 'p' | 'w') => self.bad_verb(value, verb),
            Value::Texts(_) | Value::Ints(_) => self.list(value, verb),
            Value::Env(env) => {
                let pairs = env.iter().map(|(name, value)| (Value::text(name), Value::text(value)));
                let (open, part, close) = self.brackets(value, "map[", "]");
                self.out.extend(open.as_bytes());
                for (index, (name, value)) in pairs.enumerate() {
                    if self.is_full() {
                        break;
                    }
                    if index > 0 {
                        self.out.extend(part);
                    }
                    self.value(&name, verb);
                    self.out.push(b':');
                    self.value(&value, verb);
                }
                self.out.extend(close.as_bytes());
            }
        }
    }

    fn list(&mut self, list: &Value<'_>, verb: char) {
        let (open, part, close) = self.brackets(list, "[", "]");
        self.out.extend(open.as_bytes());
        for (index, item) in (0..).map_while(|index| list.element(index)).enumerate() {
            if self.is_full() {
                break;
            }
            if index > 0 {
                self.out.extend(part);
            }
            self.value(&item, verb);
        }
        self.out.extend(close.as_bytes());
    }

    fn brackets(&self, value: &Value<'_>, open: &str, close: &'static str) -> (String, &'static [u8], &'static str) {
        match self.flags.go_syntax {
            true => (format!("{}{{", value.type_name()), b", ", "}"),
            false => (open.to_owned(), b" ", close),
        }
    }

    fn text(&mut self, text: &[u8], verb: char, value: &Value<'_>) {
        match verb {
            'v' if self.flags.go_syntax => self.quoted(text),
            'v' | 's' => {
                let text = self.truncated(text);
                self.pad(text);
            }
            'q' => self.quoted(text),
            'x' | 'X' => self.hexadecimal(text, verb == 'X'),
            _ => self.bad_verb(value, verb),
        }
    }

    /// The precision of a string is how many runes of it are shown.
    fn truncated<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        match self.flags.precision {
            Some(count) => &text[..text::runes(text).take(count).map(|(_, raw)| raw.len()).sum()],
            None => text,
        }
    }

    fn quoted(&mut self, text: &[u8]) {
        let text = self.truncated(text);
        if self.flags.sharp && text::can_backquote(text) {
            return self.pad(&[b"`", text, b"`"].concat());
        }
        let quoted = text::quote(text, '"', self.flags.plus);
        self.pad(quoted.as_bytes());
    }

    fn hexadecimal(&mut self, text: &[u8], upper: bool) {
        let text = &text[..self.flags.precision.unwrap_or(text.len()).min(text.len())];
        let prefix = match (self.flags.sharp, upper) {
            (false, _) => "",
            (true, false) => "0x",
            (true, true) => "0X",
        };
        let mut shown = String::with_capacity(2 * text.len());
        for (index, byte) in text.iter().enumerate() {
            if self.flags.space && index > 0 {
                shown.push(' ');
            }
            if self.flags.space || index == 0 {
                shown.push_str(prefix);
            }
            shown.push_str(&if upper { format!("{byte:02X}") } else { format!("{byte:02x}") });
        }
        self.pad(shown.as_bytes());
    }

    fn integer(&mut self, number: u64, negative: bool, verb: char, value: &Value<'_>) {
        let rune = || match negative {
            true => char::REPLACEMENT_CHARACTER,
            false => u32::try_from(number).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER),
        };
        let (digits, prefix) = match verb {
            'v' | 'd' => (number.to_string(), ""),
            'b' => (format!("{number:b}"), "0b"),
            'o' => (format!("{number:o}"), "0"),
            'O' => (format!("{number:o}"), "0o"),
            'x' => (format!("{number:x}"), "0x"),
            'X' => (format!("{number:X}"), "0X"),
            'c' => return self.pad(rune().encode_utf8(&mut [0; 4]).as_bytes()),
            'q' => {
                let quoted = text::quote(rune().encode_utf8(&mut [0; 4]).as_bytes(), '\'', self.flags.plus);
                return self.pad(quoted.as_bytes());
            }
            'U' => {
                // A negative number is shown in its two's complement.
                let code = if negative { number.wrapping_neg() } else { number };
                return self.unicode(code);
            }
            _ => return self.bad_verb(value, verb),
        };
        let flags = self.flags.clone();
        if flags.precision == Some(0) && number == 0 {
            // Nothing but padding, and that of spaces.
            self.flags.zero = false;
            self.pad(b"");
            self.flags = flags;
            return;
        }
        let sign = self.sign(negative);
        let least = match (flags.precision, flags.width) {
            (Some(precision), _) => precision,
            (None, Some(width)) if flags.zero => width.saturating_sub(sign.len()),
            (None, _) => 0,
        };
        let zeros = "0".repeat(least.saturating_sub(digits.len()));
        let has_zero = zeros.starts_with('0') || digits.starts_with('0');
        let prefix = match (flags.sharp, verb) {
            (true, 'O') if !has_zero => "0o0",
            (_, 'O') => prefix,
            (true, 'o') if has_zero => "",
            (true, _) => prefix,
            (false, _) => "",
        };
        // The zeros are there already, or a precision overrides them.
        self.flags.zero = false;
        self.pad([sign, prefix, &zeros, &digits].concat().as_bytes());
        self.flags = flags;
    }

    fn sign(&self, negative: bool) -> &'static str {
        match (negative, self.flags.plus, self.flags.space) {
            (true, _, _) => "-",
            (false, true, _) => "+",
            (false, false, true) => " ",
            (false, false, false) => "",
        }
    }

    /// `%U`, and with `#` the character itself.
    fn unicode(&mut self, code: u64) {
        let digits = self.flags.precision.unwrap_or(4).max(4);
        let bare = format!("{code:X}");
        let mut shown = format!("U+{}{bare}", "0".repeat(digits.saturating_sub(bare.len())));
        let c = u32::try_from(code).ok().and_then(char::from_u32).filter(|c| text::is_print(*c));
        if let Some(c) = c.filter(|_| self.flags.sharp) {
            shown.push_str(&format!(" '{c}'"));
        }
        let zero = std::mem::replace(&mut self.flags.zero, false);
        self.pad(shown.as_bytes());
        self.flags.zero = zero;
    }

    fn float(&mut self, number: f64, verb: char) {
        let digits = floats::format(number.abs(), verb, self.flags.precision, self.flags.sharp);
        let sign = self.sign(number.is_sign_negative());
        match self.flags.width {
            // Zeros go between the sign and the digits.
            Some(width) if self.flags.zero => {
                let zeros = "0".repeat(width.saturating_sub(sign.len() + digits.len()));
                self.out.extend([sign, &zeros, &digits].concat().as_bytes());
            }
            _ => self.pad([sign, &digits].concat().as_bytes()),
        }
    }

    fn pad(&mut self, shown: &[u8]) {
        let missing = self.flags.width.map_or(0, |width| width.saturating_sub(text::runes(shown).count()));
        let padding = std::iter::repeat_n(if self.flags.zero { b'0' } else { b' ' }, missing);
        if self.flags.minus {
            self.out.extend(shown);
            self.out.extend(padding);
        } else {
            self.out.extend(padding);
            self.out.extend(shown);
        }
    }

    /// `%!d(string=x)`
    fn bad_verb(&mut self, value: &Value<'_>, verb: char) {
        self.complain(verb, b"(");
        self.typed(value);
        self.out.push(b')');
    }

    fn complain(&mut self, verb: char, what: &[u8]) {
        self.out.extend(b"%!");
        self.out.extend(verb.encode_utf8(&mut [0; 4]).as_bytes());
        self.out.extend(what);
    }

    fn typed(&mut self, value: &Value<'_>) {
        if let Value::Nil = value {
            self.out.extend(b"<nil>");
            return;
        }
        self.out.extend(value.type_name().as_bytes());
        self.out.push(b'=');
        self.value(value, 'v');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn prints(format: &str, value: Value<'_>, out: &str) {
        assert_eq!(String::from_utf8_lossy(&sprintf(format.as_bytes(), &[value], 1 << 20)), out, "{format}");
    }

    #[test]
    fn floats_have_the_digits_of_go() {
        for (format, number, out) in [
            ("%v", 1e6, "1e+06"),
            ("%v", 123456.0, "123456"),
            ("%v", 1e-5, "1e-05"),
            ("%.3g", 100.0, "100"),
            ("%.10g", 1e6, "1000000"),
            ("%#g", 1.0, "1.00000"),
            ("%#x", 1.5, "0x1.8000p+00"),
            ("%.1x", 1.99, "0x1.0p+01"),
            ("%b", 1.0, "4503599627370496p-52"),
            ("%08.2f", -2.55, "-0002.55"),
            ("%.2000f|", 0.5, &format!("0.5{}|", "0".repeat(1999))),
        ] {
            prints(format, Value::Float(number), out);
        }
    }

    #[test]
    fn flags_shape_integers() {
        for (format, out) in
            [("%08.5d", "  -00042"), ("%#O", "-0o052"), ("% x", "-2a"), ("%-6d|", "-42   |"), ("%+.0d", "-42")]
        {
            prints(format, Value::Int(-42), out);
        }
        prints("%#U", Value::Int(0x1f600), "U+1F600 '😀'");
        prints("%.0d|", Value::Int(0), "|");
    }

    #[test]
    fn what_does_not_fit_shows() {
        prints("%d", Value::text(&b"x"[..]), "%!d(string=x)");
        prints("%[2]d", Value::Int(1), "%!d(BADINDEX)");
        prints("%*d", Value::Bool(true), "%!(BADWIDTH)%!d(MISSING)");
        prints("%d %s", Value::Int(1), "1 %!s(MISSING)");
        prints("", Value::Nil, "%!(EXTRA <nil>)");
        prints("%w", Value::Ints([1, 2].into()), "%!w([]int=[1 2])");
    }
}
