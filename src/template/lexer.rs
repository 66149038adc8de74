//! Cuts a template into tokens: the text between actions, and the words, constants and signs within them.
//! Not here: what a constant is worth (`literal`), and whether the tokens make sense together (`parser`).

use std::ops::Range;

use super::text;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Text outside of actions, already trimmed.
    Text,
    /// `{{`, with its trim marker
    Open,
    /// `}}`, with its trim marker
    Close,
    /// White space within an action: it parts arguments, so it counts.
    Space,
    /// A lone `.`
    Dot,
    /// `.name`
    Field,
    /// `$name`
    Variable,
    /// A function's name, a keyword, `true`, `false` or `nil`.
    Word,
    /// A number
    Number,
    /// `'c'`
    Character,
    /// `"..."` or a raw string
    String,
    /// `=`
    Assign,
    /// `:=`
    Declare,
    /// `|`
    Pipe,
    /// `(`
    Left,
    /// `)`
    Right,
    /// Any other printable ASCII character
    Sign,
    /// The end of the template
    End,
    /// The lexer could not go on.
    Bad,
}

/// A piece of the template.
#[derive(Clone, Copy, Debug)]
pub struct Token<'t> {
    /// What it is.
    pub kind: Kind,
    /// Where it begins, in bytes.
    pub at: usize,
    /// How it is written.
    pub text: &'t [u8],
}

/// All tokens, the last being `End` or `Bad`, and what was bad: where, and why.
#[derive(Debug)]
pub struct Tokens<'t> {
    /// In the order of the text.
    pub list: Vec<Token<'t>>,
    /// Where actions and comments are, braces included.
    pub actions: Vec<Range<usize>>,
    /// Set if the last token is `Bad`.
    pub error: Option<(usize, String)>,
}

type Lexed = Result<(), (usize, String)>;

/// Cuts the whole template.
pub fn lex(source: &[u8]) -> Tokens<'_> {
    let mut lexer = Lexer { source, at: 0, tokens: Vec::new(), actions: Vec::new() };
    let error = lexer.template().err();
    let (kind, at) = error.as_ref().map_or((Kind::End, source.len()), |(at, _)| (Kind::Bad, *at));
    lexer.tokens.push(Token { kind, at, text: b"" });
    Tokens { list: lexer.tokens, actions: lexer.actions, error }
}

struct Lexer<'t> {
    source: &'t [u8],
    at: usize,
    tokens: Vec<Token<'t>>,
    actions: Vec<Range<usize>>,
}

impl<'t> Lexer<'t> {
    fn template(&mut self) -> Lexed {
        let mut trim = false;
        loop {
            if trim {
                self.at += spaces(self.rest());
            }
            let length = find(self.rest(), b"{{").unwrap_or(self.rest().len());
            let open = self.at + length;
            let trims = trims_left(&self.source[open..]);
            let text = &self.rest()[..length];
            let text = if trims { trim_end(text) } else { text };
            if !text.is_empty() {
                self.tokens.push(Token { kind: Kind::Text, at: self.at, text });
            }
            self.at = open;
            if self.rest().is_empty() {
                return Ok(());
            }
            let width = if trims { 4 } else { 2 };
            trim = if self.rest()[width..].starts_with(b"/*") {
                self.at += width;
                self.comment(open)?
            } else {
                // The space that makes the marker is left for the action, where it does not matter.
                self.push(Kind::Open, if trims { 3 } else { 2 });
                self.action(open).map_err(|error| unclosed(self.source, open).unwrap_or(error))?
            };
            self.actions.push(open..self.at);
        }
    }

    /// Skips a comment; says whether the text after it is trimmed.
    fn comment(&mut self, open: usize) -> Result<bool, (usize, String)> {
        // The star that it begins with cannot end it, too.
        let Some(length) = find(&self.rest()[2..], b"*/") else {
            return Err((open, "the comment is not closed".into()));
        };
        self.at += 2 + length + 2;
        let Some((width, trims)) = closes(self.rest()) else {
            return Err((open, "the comment must end right before its action does".into()));
        };
        self.at += width;
        Ok(trims)
    }

    /// The inside of an action up to its end; says whether the text after it is trimmed.
    fn action(&mut self, open: usize) -> Result<bool, (usize, String)> {
        let mut depth = 0usize;
        loop {
            if let Some((width, trims)) = closes(self.rest()) {
                if depth > 0 {
                    return Err((self.at, "a left parenthesis is not closed".into()));
                }
                self.push(Kind::Close, width);
                return Ok(trims);
            }
            let Some(&byte) = self.rest().first() else {
                return Err((open, format!("this `{{{{` has no `}}}}` up to {}", last_line(self.source))));
            };
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => self.space(),
                b'=' => self.push(Kind::Assign, 1),
                b':' if self.rest().starts_with(b":=") => self.push(Kind::Declare, 2),
                b':' => return Err((self.at, "`:` must be followed by `=`".into())),
                b'|' => self.push(Kind::Pipe, 1),
                b'"' | b'\'' => self.quoted(byte)?,
                b'`' => self.raw_string()?,
                b'$' => self.name(Kind::Variable, Kind::Variable)?,
                b'.' if !self.rest().get(1).is_some_and(u8::is_ascii_digit) => self.name(Kind::Field, Kind::Dot)?,
                b'.' | b'+' | b'-' | b'0'..=b'9' => self.number()?,
                b'(' => {
                    depth += 1;
                    self.push(Kind::Left, 1);
                }
                b')' => {
                    depth = depth.checked_sub(1).ok_or_else(|| (self.at, "unexpected right parenthesis".into()))?;
                    self.push(Kind::Right, 1);
                }
                _ if word_length(self.rest()) > 0 => self.name(Kind::Word, Kind::Word)?,
                b'!'..=b'~' => self.push(Kind::Sign, 1),
                _ => {
                    return Err((
                        self.at,
                        format!("unrecognized character {:?} in an action", text::rune(self.rest()).0),
                    ));
                }
            }
        }
    }

    fn space(&mut self) {
        let mut width = spaces(self.rest());
        // The last space may belong to a trim marker.
        if closes(&self.rest()[width - 1..]).is_some() {
            width -= 1;
        }
        if width > 0 {
            self.push(Kind::Space, width);
        }
    }

    /// A string or character constant, which must end on its line.
    fn quoted(&mut self, quote: u8) -> Lexed {
        let mut width = 1;
        loop {
            match self.rest().get(width) {
                None | Some(b'\n') => return Err((self.at, "the quoted constant is not closed".into())),
                Some(b'\\') if self.rest().get(width + 1).is_some_and(|&byte| byte != b'\n') => width += 2,
                Some(&byte) if byte == quote => break,
                Some(_) => width += 1,
            }
        }
        self.push(if quote == b'"' { Kind::String } else { Kind::Character }, width + 1);
        Ok(())
    }

    fn raw_string(&mut self) -> Lexed {
        let Some(length) = find(&self.rest()[1..], b"`") else {
            return Err((self.at, "the raw string is not closed".into()));
        };
        self.push(Kind::String, length + 2);
        Ok(())
    }

    /// A word, or a sign with a word after it; `alone` if there is none.
    fn name(&mut self, kind: Kind, alone: Kind) -> Lexed {
        let sign = usize::from(kind != Kind::Word);
        let width = sign + word_length(&self.rest()[sign..]);
        let after = &self.rest()[width..];
        let ends = matches!(
            after.first(),
            None | Some(b' ' | b'\t' | b'\r' | b'\n' | b'.' | b',' | b'|' | b':' | b'(' | b')')
        );
        if !ends && !after.starts_with(b"}}") {
            return Err((self.at + width, format!("bad character {:?} after a name", text::rune(after).0)));
        }
        self.push(if width == sign { alone } else { kind }, width);
        Ok(())
    }

    fn number(&mut self) -> Lexed {
        let first = number_length(self.rest());
        let second = match self.rest().get(first.unwrap_or(0)) {
            // A second sign makes a complex number, which must end in `i`.
            Some(b'+' | b'-') => number_length(&self.rest()[first.unwrap_or(0)..]),
            _ => Some(0),
        };
        let Some(width) = first.zip(second).map(|(a, b)| a + b) else {
            return Err((self.at, "bad number syntax".into()));
        };
        if second != Some(0) && self.rest()[width - 1] != b'i' {
            return Err((self.at, "a complex number must end in `i`".into()));
        }
        self.push(Kind::Number, width);
        Ok(())
    }

    fn push(&mut self, kind: Kind, width: usize) {
        self.tokens.push(Token { kind, at: self.at, text: &self.rest()[..width] });
        self.at += width;
    }

    fn rest(&self) -> &'t [u8] {
        &self.source[self.at..]
    }
}

/// What is wrong with an action that cannot be read, if that is because it has no end: there is none, or another action or
/// a brace of the text comes before it.
pub fn unclosed(source: &[u8], open: usize) -> Option<(usize, String)> {
    let inside = source.get(open + 2..)?;
    let is_closed = find(inside, b"}}").is_some_and(|end| !has_brace(&inside[..end]));
    let says = "this `{{` has no `}}`, which ends an action of the template";
    (!is_closed).then(|| (open, says.to_owned()))
}

/// Whether there is a brace outside of quotes.
fn has_brace(text: &[u8]) -> bool {
    let mut quote = None;
    for &byte in text {
        match (quote, byte) {
            (None, b'"' | b'\'' | b'`') => quote = Some(byte),
            (None, b'{' | b'}') => return true,
            // What is quoted ends with its line, unless it is raw.
            (Some(b'"' | b'\''), b'\n') => quote = None,
            (Some(open), byte) if open == byte => quote = None,
            (None | Some(_), _) => {}
        }
    }
    false
}

/// Where a template ends, for what should have ended before.
pub fn last_line(source: &[u8]) -> String {
    format!("line {}", 1 + source.iter().filter(|&&byte| byte == b'\n').count())
}

/// The length of a number at the start; none if a letter or digit that cannot belong to it follows.
fn number_length(source: &[u8]) -> Option<usize> {
    let mut at = 0;
    let one_of = |at: &mut usize, set: &[u8]| {
        let found = source.get(*at).is_some_and(|byte| set.contains(byte));
        *at += usize::from(found);
        found
    };
    one_of(&mut at, b"+-");
    let mut digits: &[u8] = b"0123456789_";
    if one_of(&mut at, b"0") {
        if one_of(&mut at, b"xX") {
            digits = b"0123456789abcdefABCDEF_";
        } else if one_of(&mut at, b"oO") {
            digits = b"01234567_";
        } else if one_of(&mut at, b"bB") {
            digits = b"01_";
        }
    }
    while one_of(&mut at, digits) {}
    if one_of(&mut at, b".") {
        while one_of(&mut at, digits) {}
    }
    let exponent: &[u8] = match digits.len() {
        11 => b"eE",
        23 => b"pP",
        _ => b"",
    };
    if one_of(&mut at, exponent) {
        one_of(&mut at, b"+-");
        while one_of(&mut at, b"0123456789_") {}
    }
    one_of(&mut at, b"i");
    (word_length(&source[at..]) == 0).then_some(at)
}

/// Whether an action that begins here trims the text before it.
fn trims_left(source: &[u8]) -> bool {
    matches!(source, [b'{', b'{', b'-', b' ' | b'\t' | b'\r' | b'\n', ..])
}

/// The end of an action, if it is here: its width, and whether it trims the text after it.
fn closes(source: &[u8]) -> Option<(usize, bool)> {
    match source {
        [b'}', b'}', ..] => Some((2, false)),
        [b' ' | b'\t' | b'\r' | b'\n', b'-', b'}', b'}', ..] => Some((4, true)),
        _ => None,
    }
}

/// The length of the letters, digits and underscores at the start.
fn word_length(source: &[u8]) -> usize {
    let word = text::runes(source).take_while(|(c, _)| *c == '_' || c.is_alphanumeric());
    word.map(|(_, raw)| raw.len()).sum()
}

fn spaces(source: &[u8]) -> usize {
    source.iter().take_while(|byte| b" \t\r\n".contains(byte)).count()
}

fn find(source: &[u8], word: &[u8]) -> Option<usize> {
    source.windows(word.len()).position(|window| window == word)
}

fn trim_end(text: &[u8]) -> &[u8] {
    let kept = text.iter().rposition(|byte| !b" \t\r\n".contains(byte)).map_or(0, |last| last + 1);
    &text[..kept]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(source: &str) -> Vec<Kind> {
        lex(source.as_bytes()).list.iter().map(|token| token.kind).collect()
    }

    fn error(source: &str) -> (usize, String) {
        lex(source.as_bytes()).error.expect("an error")
    }

    #[test]
    fn signs_and_words_are_told_apart() {
        use Kind::*;
        assert_eq!(kinds("a{{.}}"), [Text, Open, Dot, Close, End]);
        assert_eq!(
            kinds("{{$x:=.A.b|f 1 'c'}}"),
            [Open, Variable, Declare, Field, Field, Pipe, Word, Space, Number, Space, Character, Close, End]
        );
        assert_eq!(kinds("{{-3}}"), [Open, Number, Close, End]);
    }

    #[test]
    fn trim_markers_take_the_space_around_actions() {
        let tokens = lex(b"a \n{{- 1 -}} \t b");
        let texts: Vec<_> =
            tokens.list.iter().filter(|token| token.kind == Kind::Text).map(|token| token.text).collect();
        assert_eq!(texts, [b"a", b"b"]);
    }

    #[test]
    fn what_is_not_closed_is_reported_where_it_opens() {
        assert_eq!(error("a\n{{/* b").0, 2);
        assert_eq!(error("a{{ .B\n\n").0, 1);
        assert_eq!(error("{{ `a\nb }}").0, 3);
        assert_eq!(error("{{ (1 }}").1, "a left parenthesis is not closed");
    }
}
