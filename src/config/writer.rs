//! Writes JSON5 to be read by people: two spaces, short values on one line, comments above what they speak of.

/// How wide a line gets.
const WIDTH: usize = 110;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Doc {
    /// What is written as it is: a number, a boolean, `null`.
    Word(String),
    /// A string.
    Text(String),
    /// `[...]`
    List(Vec<Part>),
    /// `{...}`
    Object(Vec<Part>),
    /// `{...}`, on several lines even if it is short.
    Block(Vec<Part>),
    /// An action of a template between parts, on a line of its own.
    Line(String),
}

/// Which quotes a string can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quotes {
    /// Whichever kind is not in it.
    Either,
    /// Double ones: there may be others in it when it has been rendered.
    Double,
    /// None: it has its own, or is no string when it has been rendered.
    None,
}

/// A part of a list or of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// What stands above it.
    pub comments: Vec<String>,
    /// Its key in an object.
    pub key: Option<String>,
    /// Its value.
    pub value: Doc,
    /// The number of the value in an old config that it is made of.
    pub id: Option<usize>,
}

impl Part {
    /// An item of a list.
    pub fn item(value: Doc) -> Self {
        Self { comments: Vec::new(), key: None, value, id: None }
    }

    /// An entry of an object.
    pub fn entry(key: &str, value: Doc) -> Self {
        Self { comments: Vec::new(), key: Some(key.to_owned()), value, id: None }
    }
}

impl From<&str> for Doc {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<bool> for Doc {
    fn from(value: bool) -> Self {
        Self::Word(value.to_string())
    }
}

/// The text of a value with comments and these lines above it. `quotes` tells how each string is quoted.
pub fn write(comments: &[String], lines: &[String], doc: &Doc, quotes: impl Fn(&str) -> Quotes) -> String {
    let mut writer = Writer { text: String::new(), quotes };
    let trims = lines.first().is_some_and(|line| trims_before(line));
    writer.comments(comments, 0, trims);
    for line in lines {
        writer.text.push_str(line);
        writer.text.push('\n');
    }
    writer.value(doc, 0, 0);
    writer.text.push('\n');
    writer.text
}

/// A value on one line, or on several if it has comments.
pub fn one_line(doc: &Doc, quotes: impl Fn(&str) -> Quotes) -> String {
    let mut writer = Writer { text: String::new(), quotes };
    if let Some(line) = writer.one_line(doc) {
        return line;
    }
    writer.value(doc, 0, 0);
    writer.text
}

/// Whether an action trims the text before it.
fn trims_before(line: &str) -> bool {
    line.strip_prefix("{{-").is_some_and(|rest| rest.starts_with(char::is_whitespace))
}

struct Writer<F> {
    text: String,
    quotes: F,
}

impl<F: Fn(&str) -> Quotes> Writer<F> {
    /// A value at this depth, behind `before` characters of its line.
    fn value(&mut self, doc: &Doc, depth: usize, before: usize) {
        if let Some(line) = self.one_line(doc)
            && 2 * depth + before + line.chars().count() < WIDTH
        {
            self.text.push_str(&line);
            return;
        }
        let (open, parts, close) = match doc {
            Doc::Word(word) => return self.text.push_str(word),
            Doc::Text(text) => return self.text.push_str(&self.quoted(text)),
            Doc::Line(line) => return self.text.push_str(line),
            Doc::List(parts) => ("[\n", parts, ']'),
            Doc::Object(parts) | Doc::Block(parts) => ("{\n", parts, '}'),
        };
        self.text.push_str(open);
        for part in parts {
            self.comments(&part.comments, depth + 1, false);
            self.indent(depth + 1);
            let start = self.key(part);
            self.text.push_str(&start);
            self.value(&part.value, depth + 1, start.len());
            self.text.push_str(if matches!(part.value, Doc::Line(_)) { "\n" } else { ",\n" });
        }
        self.indent(depth);
        self.text.push(close);
    }

    /// The value on one line, if it can be there.
    fn one_line(&self, doc: &Doc) -> Option<String> {
        let (open, parts, close) = match doc {
            Doc::Word(word) => return Some(word.clone()),
            Doc::Text(text) => return Some(self.quoted(text)),
            Doc::Block(_) | Doc::Line(_) => return None,
            Doc::List(parts) => ("[", parts, "]"),
            Doc::Object(parts) if parts.is_empty() => return Some("{}".to_owned()),
            Doc::Object(parts) => ("{ ", parts, " }"),
        };
        let written = parts.iter().map(|part| {
            let value = self.one_line(&part.value).filter(|_| part.comments.is_empty())?;
            Some(format!("{}{value}", self.key(part)))
        });
        let written: Option<Vec<String>> = written.collect();
        Some(format!("{open}{}{close}", written?.join(", ")))
    }

    fn key(&self, part: &Part) -> String {
        match &part.key {
            None => String::new(),
            Some(key) if is_identifier(key) => format!("{key}: "),
            Some(key) => format!("{}: ", self.quoted(key)),
        }
    }

    fn indent(&mut self, depth: usize) {
        self.text.push_str(&"  ".repeat(depth));
    }

    /// Comments. What comes after them may trim the end of their line.
    fn comments(&mut self, comments: &[String], depth: usize, trims: bool) {
        if trims && !comments.is_empty() {
            let text = comments.join("\n   ").replace("{{", "{ {").replace("*/", "* /");
            self.text.push_str(&format!("/* {text} */\n"));
            return;
        }
        for comment in comments {
            let mut line = String::new();
            // Not to be taken for an action when the config is rendered.
            for word in comment.replace("{{", "{ {").split_whitespace() {
                if 2 * depth + "// ".len() + line.chars().count() + word.chars().count() > WIDTH {
                    self.comment_line(&line, depth);
                    line.clear();
                }
                line.push(' ');
                line.push_str(word);
            }
            self.comment_line(&line, depth);
        }
    }

    fn comment_line(&mut self, line: &str, depth: usize) {
        self.indent(depth);
        self.text.push_str("//");
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// A string in quotes, of the other kind if there are some in it.
    fn quoted(&self, text: &str) -> String {
        let quotes = (self.quotes)(text);
        if quotes == Quotes::None {
            return text.to_owned();
        }
        let single = text.contains('"') && !text.contains('\'') && quotes == Quotes::Either;
        let quote = if single { '\'' } else { '"' };
        let mut quoted = quote.to_string();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\n' => quoted.push_str("\\n"),
                '\r' => quoted.push_str("\\r"),
                '\t' => quoted.push_str("\\t"),
                // Not to be taken for an action when the config is rendered.
                '{' if chars.peek() == Some(&'{') => quoted.push_str("\\u007B"),
                '\u{2028}' | '\u{2029}' => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
                c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
                c => {
                    if c == quote || c == '\\' {
                        quoted.push('\\');
                    }
                    quoted.push(c);
                }
            }
        }
        quoted.push(quote);
        quoted
    }
}

fn is_identifier(key: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_' || c == '$';
    key.starts_with(is_letter) && key.chars().all(|c| is_letter(c) || c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::super::node::{Node, Value};
    use super::*;

    fn written(doc: &Doc) -> String {
        write(&[], &[], doc, |_| Quotes::Either)
    }

    #[test]
    fn short_values_share_a_line_and_comments_do_not() {
        let list = Doc::List(vec![Part::item("sh".into()), Part::item("echo \"x\"".into())]);
        let noted = Part { comments: vec!["why {{ x }}".to_owned()], ..Part::entry("b-c", Doc::Word("1".into())) };
        let doc = Doc::Object(vec![Part::entry("exec", list), noted]);
        assert_eq!(written(&doc), "{\n  exec: [\"sh\", 'echo \"x\"'],\n  // why { { x }}\n  \"b-c\": 1,\n}\n");
        let short = vec![Part::entry("a", true.into())];
        assert_eq!(written(&Doc::Object(short.clone())), "{ a: true }\n");
        assert_eq!(written(&Doc::Block(short)), "{\n  a: true,\n}\n");
        assert_eq!(written(&Doc::List(vec![Part::item(Doc::Object(Vec::new()))])), "[{}]\n");
    }

    #[test]
    fn long_values_and_comments_are_broken() {
        let items = Doc::List((0..30).map(|number| Part::item(Doc::Text(format!("word {number}")))).collect());
        let text = write(&["word ".repeat(50)], &[], &items, |_| Quotes::Either);
        assert!(text.starts_with("// word ") && text.contains("\n[\n  \"word 0\",\n"), "{text}");
        assert!(text.lines().all(|line| line.len() <= WIDTH), "{text}");
    }

    #[test]
    fn strings_read_as_they_were() {
        let every: String = (0..0x300).chain(0x2020..0x2030).filter_map(char::from_u32).collect();
        for text in
            [every.as_str(), "", "'", "\"", "\"'", "\\", "{{ .A }}", "{{{", "}}", "é\u{1f680}", "// x", "\r\n\t\0"]
        {
            let quoted = written(&text.into());
            let read: Node = json5::from_str(&quoted).unwrap();
            assert_eq!(read.value, Value::String(text.to_owned()), "{quoted}");
            assert!(!quoted.contains("{{"), "{quoted}");
        }
        assert_eq!(write(&[], &[], &"a \" b".into(), |_| Quotes::Double), "\"a \\\" b\"\n");
    }
}
