//! Prometheus' text format, version 0.0.4.

use std::fmt::Write;

/// The content type.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Gathers samples, family by family.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
}

impl Exposition {
    /// Begins a family of samples; nothing of another family may come before its last sample.
    pub fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.text.push_str("# HELP ");
        self.text.push_str(name);
        self.text.push(' ');
        escape(&mut self.text, help, false);
        self.text.push_str("\n# TYPE ");
        self.text.push_str(name);
        self.text.push(' ');
        self.text.push_str(kind);
        self.text.push('\n');
    }

    /// One sample of the family that has begun.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.text.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            self.text.push(if index == 0 { '{' } else { ',' });
            self.text.push_str(label);
            self.text.push_str("=\"");
            escape(&mut self.text, text, true);
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        self.text.push(' ');
        push_number(&mut self.text, value);
        self.text.push('\n');
    }

    /// All of it.
    pub fn finish(self) -> String {
        self.text
    }
}

fn escape(text: &mut String, raw: &str, quotes: bool) {
    if !raw.contains(['\\', '\n', '"']) {
        text.push_str(raw);
        return;
    }
    for letter in raw.chars() {
        match letter {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '"' if quotes => text.push_str("\\\""),
            other => text.push(other),
        }
    }
}

/// A number as Prometheus reads it, as short as it can be without loss.
pub fn number(value: f64) -> String {
    let mut text = String::new();
    push_number(&mut text, value);
    text
}

fn push_number(text: &mut String, value: f64) {
    if value.is_nan() {
        return text.push_str("NaN");
    }
    if value.is_infinite() {
        return text.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    }
    let size = value.abs();
    // Writing to a string does not fail.
    let written =
        if size != 0.0 && !(1e-4..1e21).contains(&size) { write!(text, "{value:e}") } else { write!(text, "{value}") };
    debug_assert!(written.is_ok(), "strings take all");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_escaped() {
        let mut exposition = Exposition::default();
        exposition.family("a", "gauge", "one \\ \"two\"\nthree");
        exposition.sample("a", &[], 1.0);
        exposition.sample("a", &[("x", "say \"hi\" \\ back\n"), ("y", "")], 0.25);
        assert_eq!(
            exposition.finish(),
            "# HELP a one \\\\ \"two\"\\nthree\n# TYPE a gauge\na 1\na{x=\"say \\\"hi\\\" \\\\ back\\n\",y=\"\"} 0.25\n"
        );
    }

    #[test]
    fn numbers_are_short_and_exact() {
        let cases = [(0.0, "0"), (-3.0, "-3"), (1e300, "1e300"), (0.1 + 0.2, "0.30000000000000004"), (1e-9, "1e-9")];
        for (value, text) in cases {
            assert_eq!((number(value).as_str(), text.parse()), (text, Ok(value)));
        }
        assert_eq!([number(f64::NAN), number(f64::INFINITY), number(-f64::INFINITY)], ["NaN", "+Inf", "-Inf"]);
    }
}
