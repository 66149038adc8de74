//! Text for a terminal: whatever others have put into our sentences neither moves its cursor nor changes its title.
//!
//! Not here: `-logs` and the log, whose lines are shown as jobs wrote them.

use std::fmt::Write as _;

/// Whether a terminal, or whoever reads it, might take a character for more than a character: control characters of both
/// sets, line ends that are none to most tools, and what turns the direction of the text.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// One line: what might harm is shown as `?`, line ends included.
pub fn line(text: &str) -> String {
    text.chars().map(|c| if is_harmful(c) { '?' } else { c }).collect()
}

/// Several lines of ours.
pub fn lines(text: &str) -> String {
    text.chars().map(|c| if c != '\n' && is_harmful(c) { '?' } else { c }).collect()
}

/// JSON that means the same, with escapes for what might harm: such characters stand in strings only.
pub fn json(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match u32::from(c) {
            code if c != '\n' && is_harmful(c) => {
                write!(shown, "\\u{code:04x}").expect("a string takes any text");
            }
            _ => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Control characters of both sets, and what else might harm.
    const HARMFUL: &str = "a\u{1b}]0;x\u{7}\u{9b}2J\u{7f}\r\t\u{85}\u{2028}\u{202e}b\u{0}";

    #[test]
    fn nothing_harmful_is_left() {
        for shown in [line(HARMFUL), lines(HARMFUL), json(HARMFUL)] {
            assert!(!shown.chars().any(is_harmful), "{shown:?}");
        }
        assert_eq!(line("a\nb\u{1b}[2J é🚀"), "a?b?[2J é🚀");
        assert_eq!(lines("a\nb\u{9b}2J"), "a\nb?2J");
    }

    #[test]
    fn json_means_the_same() {
        let value = serde_json::json!({ "x": HARMFUL, "y": ["\u{80}"] });
        let shown = json(&value.to_string());
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }
}
