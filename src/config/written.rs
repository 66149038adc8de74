//! A config as parsed, and where each piece of it stands in the file as written: its template may have left lines out, or
//! put some in.

use std::borrow::Cow;

use super::positions::{Position, lines, position_in};
use crate::template::{Origins, Rendered};

/// A text, and where it comes from.
#[derive(Debug)]
pub struct Written<'a> {
    /// The file, as the user named it.
    pub name: &'a str,
    /// The text that is parsed.
    pub text: Cow<'a, str>,
    /// What the text was rendered from.
    source: Cow<'a, [u8]>,
    /// Where the lines of `source` begin.
    lines: Vec<usize>,
    rendering: Option<Rendering>,
}

/// How the text was rendered.
#[derive(Debug)]
struct Rendering {
    origins: Origins,
    /// The length of the rendered text.
    length: usize,
    /// The ends of what was no UTF-8: in `text`, where each is one character, and in the rendered text.
    broken: Vec<(usize, usize)>,
}

impl<'a> Written<'a> {
    /// A text that is parsed as it is written.
    pub fn plain(name: &'a str, text: &'a str) -> Self {
        let source = Cow::Borrowed(text.as_bytes());
        Self { name, text: text.into(), lines: lines(&source), source, rendering: None }
    }

    /// The text that was rendered from a file.
    pub fn rendered(name: &'a str, source: Cow<'a, [u8]>, Rendered { text, origins, .. }: Rendered) -> Self {
        let length = text.len();
        // 3.8 takes bytes that are no UTF-8, too: in a comment they do no harm.
        let (text, broken) = match String::from_utf8(text) {
            Ok(text) => (text, Vec::new()),
            Err(error) => mended(error.as_bytes()),
        };
        let rendering = Some(Rendering { origins, length, broken });
        Self { name, text: text.into(), lines: lines(&source), source, rendering }
    }

    /// Where a place of the text, in bytes, is in the file.
    pub fn position(&self, at: usize) -> Position {
        self.position_in_source(self.origin(at))
    }

    /// The place in the file of a place of the text, both in bytes.
    pub fn origin(&self, at: usize) -> usize {
        match &self.rendering {
            Some(rendering) => rendering.origins.of(rendering.unmended(at), rendering.length),
            None => at,
        }
    }

    /// The position of a place of the file, in bytes.
    pub fn position_in_source(&self, at: usize) -> Position {
        position_in(&self.source, &self.lines, at)
    }

    /// Whether an action of the template has made what stands at a place of the text.
    pub fn is_made(&self, at: usize) -> bool {
        self.rendering.as_ref().is_some_and(|rendering| rendering.origins.is_made(rendering.unmended(at)))
    }

    /// The position of the action of the template that stands right before a place of the text and has printed nothing.
    pub fn empty_action(&self, at: usize) -> Option<Position> {
        let rendering = self.rendering.as_ref()?;
        let before = self.text.get(..at)?.trim_end().len();
        let action = rendering.origins.empty_action(rendering.unmended(before), rendering.unmended(at))?;
        Some(self.position_in_source(action))
    }

    /// Whether an action of the template has made any of what stands between two places of the text.
    pub fn any_made(&self, from: usize, to: usize) -> bool {
        self.rendering
            .as_ref()
            .is_some_and(|rendering| rendering.origins.any_made(rendering.unmended(from), rendering.unmended(to)))
    }
}

impl Rendering {
    /// The place in the rendered text of a place in the text that is parsed.
    fn unmended(&self, at: usize) -> usize {
        let before = self.broken.partition_point(|(mended, _)| *mended <= at);
        match before.checked_sub(1).and_then(|last| self.broken.get(last)) {
            Some((mended, rendered)) => rendered + (at - mended),
            None => at,
        }
    }
}

/// Bytes as a text, and where the two differ in length.
fn mended(bytes: &[u8]) -> (String, Vec<(usize, usize)>) {
    let (mut text, mut broken, mut at) = (String::with_capacity(bytes.len()), Vec::new(), 0);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        at += chunk.valid().len();
        if !chunk.invalid().is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
            at += chunk.invalid().len();
            broken.push((text.len(), at));
        }
    }
    (text, broken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::{Environment, render_traced};

    /// Where the first of these words of the rendered text is in the template.
    #[track_caller]
    fn place(template: impl AsRef<[u8]>, word: &str) -> String {
        let template = template.as_ref();
        let environment: Environment =
            [("A", &b"x"[..]), ("LIST", b"one,two"), ("LINES", b"1\n2\n3"), ("RAW", b"\xff\xfe")].into_iter().collect();
        let rendered = render_traced("f", template, &environment).unwrap();
        let written = Written::rendered("f", template.into(), rendered);
        let at = written.text.find(word).unwrap_or_else(|| panic!("no {word} in {}", written.text));
        written.position(at).to_string()
    }

    #[test]
    fn what_is_left_out_or_put_in_moves_nothing() {
        assert_eq!(place("{{ if .NO }}\na\nb\n{{ end }}\n here", "here"), "5:2");
        assert_eq!(place("{{ if .NO }}\na\n{{ else }} b\n\n{{ end -}}\n\n c here", "here"), "7:4");
        assert_eq!(place("{{ .LINES }}\n{{ .LINES }} here", "here"), "2:14");
        assert_eq!(place("a\n\n{{- /* c\n */ -}} \n here", "here"), "5:2");
        assert_eq!(place("{{ range split \",\" .LIST }}\n[{{ . }}] here\n{{ end }}", "here"), "2:11");
        assert_eq!(place("{{ range loop 3 }}\n{{ . }}{{ end }}\n here", "here"), "3:2");
        assert_eq!(place("{{ define \"t\" }}\n in {{ .A }}\n{{ end }}\n{{ template \"t\" . }} here", "in"), "2:2");
        assert_eq!(place("{{ define \"t\" }}\n in {{ .A }}\n{{ end }}\n{{ template \"t\" . }} here", "here"), "4:22");
    }

    #[test]
    fn what_an_action_has_made_is_where_the_action_is() {
        assert_eq!(place("a\n {{ .LINES }} here", "1"), "2:2");
        assert_eq!(place("a\n {{ .LINES }} here", "3"), "2:2");
        assert_eq!(place("a {{- .A }}", "x"), "1:3");
        assert_eq!(place("{{ range split \",\" .LIST }}\n\n {{ . }}{{ end }}", "two"), "3:2");
        assert_eq!(place("{{ .NO }}{{ .A }}", "x"), "1:10");
    }

    #[test]
    fn bytes_that_are_no_text_count_as_one_character_each() {
        assert_eq!(place(b"\xff\xfe {{ .RAW }}\n{{ .RAW }} here", "here"), "2:12");
        assert_eq!(place(b"\xff\xfe here", "here"), "1:4");
    }
}
