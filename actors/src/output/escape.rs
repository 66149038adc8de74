//! Text as a JSON string, or as a value of the text format. Long lines are nearly all of what a log holds, so this is where
//! the time goes: what needs no escape is found thirty-two bytes at a time, and copied in runs.

use wide::{i8x32, u8x32};

use crate::spec::LogFormat;

/// How many bytes are looked at at once.
const BLOCK: usize = 32;

/// Appends text; bytes that are no UTF-8 become U+FFFD.
pub fn encode_utf8(out: &mut Vec<u8>, text: &[u8]) {
    if is_ascii(text) {
        out.extend_from_slice(text);
    } else {
        each_valid(out, text, |out, valid| out.extend_from_slice(valid));
    }
}

/// Appends text as a JSON string, with its quotes, escaped as serde_json does. Bytes that are no UTF-8 become U+FFFD.
pub fn encode_json_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    escape_json(out, text);
    out.push(b'"');
}

/// What stands between the quotes.
pub fn escape_json(out: &mut Vec<u8>, text: &[u8]) {
    escape::<Json>(out, text);
}

/// Appends a value of the text format: bare if it is a word of letters, digits, `-` and `.`, else in quotes.
pub fn encode_text_value(out: &mut Vec<u8>, value: &[u8]) {
    let bare = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    if !value.is_empty() && value.iter().all(bare) {
        out.extend_from_slice(value);
        return;
    }
    out.push(b'"');
    // 3.8 does not escape, so that a job can forge fields.
    escape::<Text>(out, value);
    out.push(b'"');
}

/// How many bytes a character takes in a format.
pub fn escaped_length(format: LogFormat, character: char) -> usize {
    let control = match format {
        LogFormat::Default | LogFormat::Stamp => return character.len_utf8(),
        LogFormat::Text => 4,
        LogFormat::Json => 6,
    };
    match character {
        '"' | '\\' | '\n' | '\r' | '\t' => 2,
        '\u{8}' | '\u{c}' if format == LogFormat::Json => 2,
        '\u{7f}' if format == LogFormat::Json => 1,
        '\0'..' ' | '\u{7f}' => control,
        _ => character.len_utf8(),
    }
}

fn is_ascii(text: &[u8]) -> bool {
    let (blocks, rest) = text.as_chunks::<BLOCK>();
    let all = blocks.iter().fold(u8x32::ZERO, |all, block| all | u8x32::new(*block));
    all.to_bitmask() == 0 && rest.is_ascii()
}

/// What is valid in a text, with U+FFFD for what lies between.
fn each_valid(out: &mut Vec<u8>, text: &[u8], append: impl Fn(&mut Vec<u8>, &[u8])) {
    if std::str::from_utf8(text).is_ok() {
        return append(out, text);
    }
    for chunk in text.utf8_chunks() {
        append(out, chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

/// Which bytes are escaped how.
trait Escape {
    /// Those of a block that are, beside control characters, `"` and `\`.
    fn others(block: u8x32) -> u8x32;
    fn append(out: &mut Vec<u8>, byte: u8);
}

fn escape<E: Escape>(out: &mut Vec<u8>, text: &[u8]) {
    // Nearly all text is ASCII, and need not be looked at twice to be known as such.
    let ascii = escape_valid::<E, true>(out, text);
    if ascii < text.len() {
        each_valid(out, &text[ascii..], |out, valid| {
            escape_valid::<E, false>(out, valid);
        });
    }
}

/// Appends valid text; if it has to be ASCII, up to the first byte that is not. How far it came.
fn escape_valid<E: Escape, const ASCII: bool>(out: &mut Vec<u8>, text: &[u8]) -> usize {
    let (blocks, rest) = text.as_chunks::<BLOCK>();
    let mut last = [b' '; BLOCK];
    last[..rest.len()].copy_from_slice(rest);
    let mut copied = 0;
    for (number, block) in blocks.iter().chain([&last]).enumerate() {
        let mut found = special::<E, ASCII>(block);
        while found != 0 {
            let at = number * BLOCK + found.trailing_zeros() as usize;
            out.extend_from_slice(&text[copied..at]);
            if ASCII && !text[at].is_ascii() {
                return at;
            }
            E::append(out, text[at]);
            copied = at + 1;
            found &= found - 1;
        }
    }
    out.extend_from_slice(&text[copied..]);
    text.len()
}

/// The bytes of a block that cannot be copied as they are, the first one in the lowest bit.
fn special<E: Escape, const ASCII: bool>(block: &[u8; BLOCK]) -> u32 {
    let bytes = u8x32::new(*block);
    let others = bytes.simd_eq(u8x32::splat(b'"')) | bytes.simd_eq(u8x32::splat(b'\\')) | E::others(bytes);
    if ASCII {
        // As numbers with a sign, those that are not ASCII are the least.
        let low = i8x32::new(block.map(u8::cast_signed)).simd_lt(i8x32::splat(0x20));
        low.to_bitmask() | others.to_bitmask()
    } else {
        (bytes.min(u8x32::splat(0x1f)).simd_eq(bytes) | others).to_bitmask()
    }
}

struct Json;

impl Escape for Json {
    fn others(_: u8x32) -> u8x32 {
        u8x32::ZERO
    }

    fn append(out: &mut Vec<u8>, byte: u8) {
        json_escape(out, byte);
    }
}

struct Text;

impl Escape for Text {
    fn others(block: u8x32) -> u8x32 {
        block.simd_eq(u8x32::splat(0x7f))
    }

    fn append(out: &mut Vec<u8>, byte: u8) {
        text_escape(out, byte);
    }
}

fn json_escape(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        control => return hex(out, b"\\u00", control),
    };
    out.extend_from_slice(&[b'\\', short]);
}

fn text_escape(out: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' => json_escape(out, byte),
        control => hex(out, b"\\x", control),
    }
}

fn hex(out: &mut Vec<u8>, before: &[u8], byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(before);
    out.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0xf)]]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &[u8]) -> String {
        let mut out = Vec::new();
        encode_json_string(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    fn text(value: &[u8]) -> String {
        let mut out = Vec::new();
        encode_text_value(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_strings_escape_what_they_must() {
        assert_eq!(json(b"plain"), r#""plain""#);
        assert_eq!(json(b"q\" b\\ \t\r\x08\x0c\x01\x7f"), "\"q\\\" b\\\\ \\t\\r\\b\\f\\u0001\x7f\"");
        assert_eq!(json(b"bad[\xff\xfe\xc3]"), "\"bad[\u{fffd}\u{fffd}\u{fffd}]\"");
    }

    #[test]
    fn each_special_byte_is_found_wherever_it_stands() {
        for special in (0..=0x7f).filter(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\' | 0x7f)) {
            for at in 0..40 {
                for around in [' ', '!', '#', '[', ']', '\u{80}', '\u{a2}', '\u{700}', '\u{1f680}'] {
                    let before: String = std::iter::repeat_n(around, at).collect();
                    let whole = format!("{before}{}{before}", char::from(special));
                    let read: String = serde_json::from_str(&json(whole.as_bytes())).unwrap();
                    assert_eq!(read, whole, "{special} at {at} in {around}");
                    let mut sign = Vec::new();
                    text_escape(&mut sign, special);
                    let sign = String::from_utf8(sign).unwrap();
                    assert_eq!(text(whole.as_bytes()), format!("\"{before}{sign}{before}\""), "{special} at {at}");
                }
            }
        }
    }

    #[test]
    fn lengths_are_those_that_are_written() {
        for character in ('\0'..='\u{ff}').chain(['\u{2028}', '\u{1f680}']) {
            let written = character.to_string();
            let of = |format| escaped_length(format, character);
            assert_eq!(of(LogFormat::Json), json(written.as_bytes()).len() - 2, "{character:?}");
            // Beside a blank it is in quotes.
            assert_eq!(of(LogFormat::Text), text(format!(" {written}").as_bytes()).len() - 3, "{character:?}");
            assert_eq!(of(LogFormat::Default), written.len());
        }
    }

    #[test]
    fn text_values_are_bare_or_quoted_and_escaped() {
        assert_eq!(text(b"1.5-x"), "1.5-x");
        assert_eq!(text(b"a=b"), r#""a=b""#);
        assert_eq!(text(b"say \"hi\" back\\slash"), r#""say \"hi\" back\\slash""#);
        assert_eq!(text(b"\n\r\t\x1b[31m\x7f\xff"), "\"\\n\\r\\t\\x1b[31m\\x7f\u{fffd}\"");
    }
}
