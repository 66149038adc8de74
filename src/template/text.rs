//! Go's view of bytes as text: runes, quoting, and the escapes of `html`, `js` and `urlquery`.
//! Not here: reading quoted constants (`literal`).

use std::fmt::Write as _;

/// The first rune and its width in bytes. As in Go, a byte that is not UTF-8 is a replacement character of width 1.
pub fn rune(bytes: &[u8]) -> (char, usize) {
    let width = match bytes.first() {
        None | Some(0..=0x7f) => 1,
        Some(0x80..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..) => 4,
    };
    let decoded = bytes.get(..width).and_then(|head| std::str::from_utf8(head).ok());
    match decoded.and_then(|text| text.chars().next()) {
        Some(c) => (c, width),
        None => (char::REPLACEMENT_CHARACTER, 1),
    }
}

/// Every rune with the bytes it came from.
pub fn runes(mut bytes: &[u8]) -> impl Iterator<Item = (char, &[u8])> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let (c, width) = rune(bytes);
        let (head, tail) = bytes.split_at(width);
        bytes = tail;
        Some((c, head))
    })
}

/// Whether a rune came from a byte that is not UTF-8.
pub fn is_broken(c: char, bytes: &[u8]) -> bool {
    c == char::REPLACEMENT_CHARACTER && bytes.len() == 1
}

/// Go's `unicode.IsPrint`: letters, marks, numbers, punctuation, symbols, and of the spaces only the ASCII one.
pub fn is_print(c: char) -> bool {
    if c.is_ascii() {
        return c == ' ' || c.is_ascii_graphic();
    }
    // The standard library has the table, but shows it only so. A mark is escaped at the start of a string: hence the `a`.
    let mut buffer = [0; 5];
    buffer[0] = b'a';
    let width = c.encode_utf8(&mut buffer[1..]).len();
    std::str::from_utf8(&buffer[..=width]).is_ok_and(|text| text.escape_debug().count() == 2)
}

/// Go's `strconv.Quote` with any quote; with `ascii` only ASCII stays as it is.
pub fn quote(bytes: &[u8], quote: char, ascii: bool) -> String {
    let mut out = String::from(quote);
    for (c, raw) in runes(bytes) {
        if is_broken(c, raw) {
            push(&mut out, format_args!("\\x{:02x}", raw[0]));
            continue;
        }
        match c {
            '\\' => out.push_str("\\\\"),
            c if c == quote => out.extend(['\\', c]),
            c if is_print(c) && (c.is_ascii() || !ascii) => out.push(c),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            '\0'..='\x7f' => push(&mut out, format_args!("\\x{:02x}", u32::from(c))),
            '\u{80}'..='\u{ffff}' => push(&mut out, format_args!("\\u{:04x}", u32::from(c))),
            '\u{10000}'.. => push(&mut out, format_args!("\\U{:08x}", u32::from(c))),
        }
    }
    out.push(quote);
    out
}

/// Whether the bytes can stand between backquotes as they are.
pub fn can_backquote(bytes: &[u8]) -> bool {
    runes(bytes)
        .all(|(c, raw)| !is_broken(c, raw) && c != '\u{feff}' && c != '`' && c != '\x7f' && (c >= ' ' || c == '\t'))
}

/// The `html` function: safe in an element or an attribute.
pub fn html(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            0 => out.extend("\u{fffd}".as_bytes()),
            b'"' => out.extend(b"&#34;"),
            b'\'' => out.extend(b"&#39;"),
            b'&' => out.extend(b"&amp;"),
            b'<' => out.extend(b"&lt;"),
            b'>' => out.extend(b"&gt;"),
            _ => out.push(byte),
        }
    }
    out
}

/// The `js` function: safe in a quoted JavaScript string.
pub fn js(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for (c, raw) in runes(bytes) {
        match c {
            '\\' | '\'' | '"' => out.extend([b'\\', raw[0]]),
            '<' | '>' | '&' | '=' | '\0'..='\x1f' => out.extend(format!("\\u{:04X}", u32::from(c)).as_bytes()),
            // Go passes DEL on, though it cannot be printed.
            ' '..='\x7f' => out.extend(raw),
            c if is_print(c) => out.extend(raw),
            c => out.extend(format!("\\u{:04X}", u32::from(c)).as_bytes()),
        }
    }
    out
}

/// The `urlquery` function: safe as a value in the query of a URL.
pub fn urlquery(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte),
            b' ' => out.push(b'+'),
            _ => out.extend(format!("%{byte:02X}").as_bytes()),
        }
    }
    out
}

fn push(out: &mut String, args: std::fmt::Arguments<'_>) {
    out.write_fmt(args).expect("a string takes any text");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_bytes_are_runes_of_width_one() {
        let widths: Vec<_> = runes(b"a\xff\xc3\xa9\xe6\x97").map(|(c, raw)| (c, raw.len())).collect();
        let broken = (char::REPLACEMENT_CHARACTER, 1);
        assert_eq!(widths, [('a', 1), broken, ('é', 2), broken, broken]);
    }

    #[test]
    fn printable_is_what_go_says() {
        assert!(['a', ' ', 'é', '日', '🚀', '\u{301}', '\u{fffd}'].into_iter().all(is_print));
        assert!(!['\n', '\x7f', '\u{a0}', '\u{ad}', '\u{200b}', '\u{2028}', '\u{feff}'].into_iter().any(is_print));
    }

    #[test]
    fn quoting_shows_every_byte() {
        assert_eq!(
            quote("a\"'\\\n\u{1}é\u{200b}\u{e0001}".as_bytes(), '"', false),
            r#""a\"'\\\n\x01é\u200b\U000e0001""#
        );
        assert_eq!(quote(b"\xff\xc3\xa9", '"', true), r#""\xff\u00e9""#);
    }
}
