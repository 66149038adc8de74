//! The actions of a config by what they do: which print, which only set something, and how blocks enclose each other.

use std::ops::Range;

/// What an action trims beside it.
pub const WHITE: [char; 4] = [' ', '\t', '\r', '\n'];

/// What an action does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Prints a value.
    Print,
    /// Prints nothing: a variable, `break`, `continue`.
    Silent,
    /// A comment of the template.
    Comment,
    /// Begins a block.
    Open(Keyword),
    /// Begins another branch of a block.
    Else,
    /// Ends a block.
    End,
}

/// What a block begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keyword {
    /// `if`
    If,
    /// `with`
    With,
    /// `range`
    Range,
    /// `define`, which prints nothing.
    Define,
    /// `block`
    Block,
}

/// An action with its place, in characters.
#[derive(Clone, Debug)]
pub struct Action {
    /// Braces included.
    pub span: Range<usize>,
    /// What it does.
    pub kind: Kind,
    /// The block that it begins, continues or ends.
    pub block: Option<usize>,
    /// Whether it trims the text before it, and the text after it.
    pub trims: (bool, bool),
}

/// A block.
#[derive(Clone, Debug)]
pub struct Block {
    /// What it begins with.
    pub keyword: Keyword,
    /// The numbers of its actions: the first one, that of each further branch, and `end`.
    pub actions: Vec<usize>,
    /// Whether its last branch is for all other cases.
    pub has_else: bool,
}

/// A config's characters and its actions.
#[derive(Clone, Debug, Default)]
pub struct Control {
    /// The config.
    pub chars: Vec<char>,
    /// In the order of the text.
    pub actions: Vec<Action>,
    /// In the order of their beginnings.
    pub blocks: Vec<Block>,
    /// Which characters are white space that an action trims.
    pub trimmed: Vec<bool>,
}

impl Control {
    /// Finds the blocks of a template that can be parsed, so that each has its end.
    pub fn of(text: &str, found: &[Range<usize>]) -> Self {
        let chars: Vec<char> = text.chars().collect();
        let (mut actions, mut blocks, mut open) = (Vec::new(), Vec::<Block>::new(), Vec::<usize>::new());
        let (mut bytes, mut at) = (0, 0);
        for range in found {
            at += text[bytes..range.start].chars().count();
            let written = &text[range.clone()];
            let span = at..at + written.chars().count();
            (bytes, at) = (range.end, span.end);
            let number = actions.len();
            let kind = kind_of(written);
            let block = match kind {
                Kind::Open(keyword) => {
                    open.push(blocks.len());
                    blocks.push(Block { keyword, actions: vec![number], has_else: false });
                    open.last().copied()
                }
                Kind::Else => open.last().copied(),
                Kind::End => open.pop(),
                Kind::Print | Kind::Silent | Kind::Comment => None,
            };
            if let (Kind::Else | Kind::End, Some(block)) = (kind, block) {
                blocks[block].actions.push(number);
                blocks[block].has_else |= kind == Kind::Else && words(written) == "else";
            }
            actions.push(Action { span, kind, block, trims: trims(written) });
        }
        let mut control = Self { chars, actions, blocks, trimmed: Vec::new() };
        control.trimmed = control.find_trimmed();
        control
    }

    /// A part of the text.
    pub fn text(&self, span: &Range<usize>) -> String {
        self.chars[span.clone()].iter().collect()
    }

    /// An action as it is written.
    pub fn written(&self, action: usize) -> String {
        self.text(&self.actions[action].span)
    }

    /// A block from its first brace to its last.
    pub fn span(&self, block: usize) -> Range<usize> {
        let actions = &self.blocks[block].actions;
        let end = actions.last().map_or(self.chars.len(), |end| self.actions[*end].span.end);
        actions.first().map_or(end, |first| self.actions[*first].span.start)..end
    }

    /// How many ways there are through a block, that past it included.
    pub fn ways(&self, block: usize) -> usize {
        let block = &self.blocks[block];
        block.actions.len() - 1 + usize::from(!block.has_else)
    }

    /// The blocks that begin in a part of the text.
    pub fn blocks_in(&self, span: &Range<usize>) -> Range<usize> {
        let before = |place: usize| self.blocks_before(place);
        before(span.start)..before(span.end)
    }

    fn blocks_before(&self, place: usize) -> usize {
        self.blocks
            .partition_point(|block| block.actions.first().is_some_and(|first| self.actions[*first].span.start < place))
    }

    /// Of each place, which must be in order, the blocks that it stands in and of them the branches, the outermost first.
    pub fn around(&self, places: &[usize], counts: &[bool]) -> Vec<Vec<(usize, usize)>> {
        let (mut all, mut around, mut next) = (Vec::with_capacity(places.len()), Vec::<(usize, usize)>::new(), 0);
        for place in places {
            while let Some(action) = self.actions.get(next).filter(|action| action.span.end <= *place) {
                next += 1;
                match (action.kind, action.block) {
                    (Kind::Open(_), Some(block)) if counts[block] => around.push((block, 0)),
                    (Kind::Else, Some(block)) if counts[block] => around.iter_mut().for_each(|(other, branch)| {
                        *branch += usize::from(*other == block);
                    }),
                    (Kind::End, Some(block)) => around.retain(|(other, _)| *other != block),
                    (Kind::Open(_) | Kind::Else | Kind::End | Kind::Print | Kind::Silent | Kind::Comment, _) => {}
                }
            }
            all.push(around.clone());
        }
        all
    }

    /// The actions within a part of the text.
    pub fn within<'a>(&'a self, span: &'a Range<usize>) -> impl Iterator<Item = &'a Action> {
        let first = self.actions.partition_point(|action| action.span.start < span.start);
        self.actions[first..].iter().take_while(|action| action.span.end <= span.end)
    }

    /// The characters of a part of the text that are outside of actions.
    pub fn outside<'a>(&'a self, span: &'a Range<usize>) -> impl Iterator<Item = char> + 'a {
        let mut actions = self.within(span).peekable();
        let mut at = span.start;
        std::iter::from_fn(move || {
            while let Some(action) = actions.next_if(|action| action.span.start <= at) {
                at = action.span.end;
            }
            let c = (at < span.end).then(|| self.chars[at])?;
            at += 1;
            Some(c)
        })
    }

    /// Whether a block prints nothing but, perhaps, commas.
    pub fn is_silent(&self, block: usize) -> bool {
        if self.blocks[block].keyword == Keyword::Define {
            return true;
        }
        let span = self.span(block);
        let prints = |action: &Action| matches!(action.kind, Kind::Print | Kind::Open(Keyword::Block));
        !self.within(&span).any(prints) && self.outside(&span).all(|c| c.is_whitespace() || c == ',')
    }

    /// Whether a block prints a word or a part of one in each of its branches.
    pub fn is_word(&self, block: usize) -> bool {
        let is_part = |c: char| !matches!(c, ',' | ':' | '"' | '\'' | '{' | '}' | '[' | ']' | '/');
        self.outside(&self.span(block)).all(is_part) && !self.is_silent(block)
    }

    fn find_trimmed(&self) -> Vec<bool> {
        let mut trimmed = vec![false; self.chars.len()];
        for (number, action) in self.actions.iter().enumerate() {
            let floor = number.checked_sub(1).map_or(0, |before| self.actions[before].span.end);
            let ceiling = self.actions.get(number + 1).map_or(self.chars.len(), |next| next.span.start);
            let is_white = |at: &usize| WHITE.contains(&self.chars[*at]);
            if action.trims.0 {
                (floor..action.span.start).rev().take_while(is_white).for_each(|at| trimmed[at] = true);
            }
            if action.trims.1 {
                (action.span.end..ceiling).take_while(is_white).for_each(|at| trimmed[at] = true);
            }
        }
        trimmed
    }
}

/// Whether an action trims the text before it, and the text after it: a minus sign with white space on its inner side.
pub fn trims(written: &str) -> (bool, bool) {
    let inner = &written[2..written.len() - 2];
    let before = inner.strip_prefix('-').is_some_and(|rest| rest.starts_with(WHITE));
    let after = inner.strip_suffix('-').is_some_and(|rest| rest.ends_with(WHITE));
    (before, after)
}

/// What is between the braces and their markers.
fn words(written: &str) -> &str {
    let (before, after) = trims(written);
    let inner = &written[2 + usize::from(before)..written.len() - 2 - usize::from(after)];
    inner.trim_matches(WHITE)
}

fn kind_of(written: &str) -> Kind {
    let words = words(written);
    if words.starts_with("/*") {
        return Kind::Comment;
    }
    if words.starts_with('$') {
        return if sets(words).is_some() { Kind::Silent } else { Kind::Print };
    }
    let end = words.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(words.len());
    match &words[..end] {
        "if" => Kind::Open(Keyword::If),
        "with" => Kind::Open(Keyword::With),
        "range" => Kind::Open(Keyword::Range),
        "define" => Kind::Open(Keyword::Define),
        "block" => Kind::Open(Keyword::Block),
        "else" => Kind::Else,
        "end" => Kind::End,
        "break" | "continue" => Kind::Silent,
        _ => Kind::Print,
    }
}

/// The variable that an action sets, and whether it declares it.
pub fn set_by(written: &str) -> Option<(&str, bool)> {
    sets(words(written))
}

fn sets(words: &str) -> Option<(&str, bool)> {
    let name = words.strip_prefix('$')?;
    let end = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len());
    let rest = name[end..].trim_start_matches(WHITE);
    let declares = rest.starts_with(":=");
    (declares || rest.starts_with('=')).then(|| (&name[..end], declares))
}

/// Whether an action names a variable.
pub fn names(written: &str, variable: &str) -> bool {
    written.match_indices('$').any(|(at, _)| {
        let rest = &written[at + 1..];
        rest.strip_prefix(variable).is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_told_apart() {
        for (written, kind) in [
            ("{{ .A }}", Kind::Print),
            ("{{if .A}}", Kind::Open(Keyword::If)),
            ("{{- range $i, $e := split \",\" .A -}}", Kind::Open(Keyword::Range)),
            ("{{ else if .B }}", Kind::Else),
            ("{{- end -}}", Kind::End),
            ("{{/* if */}}", Kind::Comment),
            ("{{- /* if */ -}}", Kind::Comment),
            ("{{ $x := .A }}", Kind::Silent),
            ("{{$x=.A}}", Kind::Silent),
            ("{{ $x }}", Kind::Print),
            ("{{ $x | default \"=\" }}", Kind::Print),
            ("{{ ifs }}", Kind::Print),
            ("{{ continue }}", Kind::Silent),
            ("{{ template \"if\" }}", Kind::Print),
        ] {
            assert_eq!(kind_of(written), kind, "{written}");
        }
        assert_eq!(set_by("{{- $port := 1 }}"), Some(("port", true)));
        assert!(names("{{ $xy | f $x }}", "x") && !names("{{ $xy }}", "x"));
    }
}
