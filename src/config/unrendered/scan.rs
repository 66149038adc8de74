//! Reads the text of a config around its actions, and makes JSON5 of it that the parser takes: without actions, with just the
//! commas that it needs, and with stand-ins for the values that only rendering gives. Every character keeps its place.
//!
//! What it makes of a text that is no JSON5 does not matter: the parser says so.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::control::{Control, Keyword, Kind};

/// The key of a further value of the key before it, and what stand-ins are made of.
pub const PAD: char = '\u{10_FFFD}';
/// The same for the end of a line: JSON5 lets it stand in a string, and lines are counted by it.
const LINE: char = '\u{2028}';

/// What has been read.
#[derive(Debug, Default)]
pub struct Scan {
    /// The text for the parser.
    pub text: Vec<char>,
    /// Strings with actions in them, by where they begin, quotes included.
    pub strings: HashMap<usize, Range<usize>>,
    /// Values that are actions as a whole or in part, by where they begin.
    pub bare: HashMap<usize, Range<usize>>,
    /// Where what begins at a bracket ends.
    pub ends: HashMap<usize, usize>,
    /// Of each block, whether it holds whole fields, items or values.
    pub structural: Vec<bool>,
    /// What prints nothing, outside of values.
    pub silent: Vec<Range<usize>>,
    /// Commas after the only value of a branch.
    pub commas: HashSet<usize>,
}

/// Why a text cannot be read, and where.
#[derive(Debug, PartialEq)]
pub struct Fault {
    /// In characters.
    pub at: usize,
    /// Why.
    pub says: String,
}

type Scanned<T> = Result<T, Fault>;

/// Reads a whole config.
pub fn scan(control: &Control) -> Scanned<Scan> {
    let scan = Scan { text: control.chars.clone(), structural: vec![false; control.blocks.len()], ..Scan::default() };
    let mut scanner = Scanner {
        control,
        scan,
        at: 0,
        next: 0,
        place: Place::Json,
        frames: Vec::new(),
        blocks: Vec::new(),
        word: None,
    };
    scanner.run()?;
    Ok(scanner.scan)
}

/// What the next character belongs to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Json,
    /// `// ...`
    Line,
    /// One or the other, as a block before it has it.
    PerhapsLine,
    /// `/* ... */`
    Comment,
    /// A string, and whether it is a key.
    Text {
        quote: char,
        start: usize,
        is_key: bool,
        has_actions: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    Object,
    List,
    /// A branch of a block that stands for a value.
    Branch,
}

/// What an object waits for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Between,
    Colon,
    Value,
}

/// What was read last in an object or list.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Last {
    Nothing,
    Comma,
    Value,
}

#[derive(Debug)]
struct Frame {
    shape: Shape,
    open: usize,
    phase: Phase,
    last: Last,
    /// An action after that.
    action: Option<usize>,
    /// Of the branches of a block: how many values each has, and whether one is a list or an object.
    values: Vec<usize>,
    has_container: bool,
}

impl Frame {
    fn new(shape: Shape, open: usize) -> Self {
        let values = vec![0];
        Self { shape, open, phase: Phase::Between, last: Last::Nothing, action: None, values, has_container: false }
    }
}

/// A block that has begun.
#[derive(Debug)]
struct Open {
    block: usize,
    /// What it began in.
    place: Place,
    /// How many frames there were, and where the last one began.
    frames: (usize, Option<usize>),
    /// Where its branches end.
    exits: Vec<Place>,
}

/// A value that is no string, list or object.
#[derive(Clone, Copy, Debug)]
struct Word {
    start: usize,
    end: usize,
    has_actions: bool,
}

struct Scanner<'a> {
    control: &'a Control,
    scan: Scan,
    at: usize,
    /// The number of the next action.
    next: usize,
    place: Place,
    frames: Vec<Frame>,
    blocks: Vec<Open>,
    word: Option<Word>,
}

fn fault<T>(at: usize, says: &str) -> Scanned<T> {
    Err(Fault { at, says: says.to_owned() })
}

impl Scanner<'_> {
    fn run(&mut self) -> Scanned<()> {
        while self.at < self.control.chars.len() {
            if self.control.actions.get(self.next).is_some_and(|action| action.span.start == self.at) {
                self.action()?;
                continue;
            }
            let c = self.control.chars[self.at];
            if self.control.trimmed[self.at] {
                self.at += 1;
                continue;
            }
            match self.place {
                Place::Json => self.json(c)?,
                Place::Line if is_line_end(c) => self.place = Place::Json,
                Place::Line => self.blank(self.at..self.at + 1),
                Place::PerhapsLine if is_line_end(c) => self.place = Place::Json,
                Place::PerhapsLine if c.is_whitespace() => {}
                Place::PerhapsLine if c == '/' && self.peek(1) == Some('/') => self.place = Place::Line,
                Place::PerhapsLine => {
                    return fault(self.at, "whether this is part of the comment before it depends on a block");
                }
                Place::Comment if c == '*' && self.peek(1) == Some('/') => {
                    self.blank(self.at..self.at + 2);
                    self.at += 1;
                    self.place = Place::Json;
                }
                Place::Comment => self.blank(self.at..self.at + 1),
                Place::Text { quote, .. } if c == quote => self.end_text()?,
                Place::Text { .. } if c == '\\' && self.next_start() > self.at + 1 => self.at += 1,
                Place::Text { .. } => {}
            }
            self.at += 1;
        }
        self.end_word();
        Ok(())
    }

    fn peek(&self, by: usize) -> Option<char> {
        self.control.chars.get(self.at + by).copied().filter(|_| self.next_start() > self.at + by)
    }

    /// Where the next action begins.
    fn next_start(&self) -> usize {
        self.control.actions.get(self.next).map_or(usize::MAX, |action| action.span.start)
    }

    fn blank(&mut self, span: Range<usize>) {
        let end = span.end.min(self.scan.text.len());
        self.scan.text[span.start..end].iter_mut().filter(|c| !is_line_end(**c)).for_each(|c| *c = ' ');
    }

    fn json(&mut self, c: char) -> Scanned<()> {
        match c {
            _ if c.is_whitespace() || c == '\u{feff}' => {}
            '/' if matches!(self.peek(1), Some('/' | '*')) => {
                self.end_word();
                self.place = if self.peek(1) == Some('/') { Place::Line } else { Place::Comment };
                self.blank(self.at..self.at + 2);
                self.at += 1;
            }
            '"' | '\'' => {
                if self.word.is_some_and(|word| word.has_actions) {
                    return fault(self.at, "a value is partly in quotes, and partly an action");
                }
                self.end_word();
                let is_key = self.is_before_key();
                self.begin(self.at)?;
                self.place = Place::Text { quote: c, start: self.at, is_key, has_actions: false };
            }
            '{' | '[' => {
                self.end_word();
                self.begin(self.at)?;
                self.frames.push(Frame::new(if c == '{' { Shape::Object } else { Shape::List }, self.at));
            }
            '}' | ']' => {
                self.end_word();
                if let Some(frame) = self.frames.pop_if(|frame| frame.shape != Shape::Branch) {
                    self.scan.ends.insert(frame.open, self.at + 1);
                    self.ended(true);
                }
            }
            ':' => {
                self.end_word();
                if let Some(frame) = self.frames.last_mut().filter(|frame| frame.phase == Phase::Colon) {
                    frame.phase = Phase::Value;
                }
            }
            ',' => {
                self.end_word();
                self.comma();
            }
            _ => self.word_char()?,
        }
        Ok(())
    }

    /// Whether what comes next is the name of a field.
    fn is_before_key(&self) -> bool {
        self.frames.last().is_some_and(|frame| frame.shape == Shape::Object && frame.phase == Phase::Between)
    }

    fn word_char(&mut self) -> Scanned<()> {
        let end = self.at + 1;
        match &mut self.word {
            Some(word) => word.end = end,
            None => {
                self.begin(self.at)?;
                self.word = Some(Word { start: self.at, end, has_actions: false });
            }
        }
        Ok(())
    }

    /// A key, an item or a value begins: there is a comma before it if there has to be one.
    fn begin(&mut self, at: usize) -> Scanned<()> {
        let Some(frame) = self.frames.last_mut() else { return Ok(()) };
        match (frame.shape, frame.phase) {
            (Shape::Branch, _) => {
                let count = frame.values.last_mut().expect("a block has a branch");
                *count += 1;
                if *count > 1 {
                    return fault(at, "a branch of a block in the place of a value holds more than that value");
                }
            }
            (Shape::Object | Shape::List, Phase::Between) => {
                if let (Last::Value, Some(action)) = (frame.last, frame.action.take()) {
                    self.scan.text[action] = ',';
                }
                frame.last = Last::Value;
                if frame.shape == Shape::Object {
                    frame.phase = Phase::Colon;
                }
            }
            (Shape::Object | Shape::List, Phase::Colon | Phase::Value) => {}
        }
        Ok(())
    }

    /// A key, an item or a value has ended.
    fn ended(&mut self, is_container: bool) {
        let Some(frame) = self.frames.last_mut() else { return };
        frame.has_container |= is_container;
        if frame.phase == Phase::Value {
            frame.phase = Phase::Between;
        }
        frame.action = None;
    }

    fn comma(&mut self) {
        let at = self.at;
        let Some(frame) = self.frames.last_mut() else { return };
        let is_extra = match frame.shape {
            Shape::Branch => true,
            Shape::Object | Shape::List => frame.last != Last::Value && frame.action.is_some(),
        };
        frame.last = Last::Comma;
        if frame.shape == Shape::Branch {
            self.scan.commas.insert(at);
        }
        if is_extra {
            self.blank(at..at + 1);
        } else {
            frame.action = None;
        }
    }

    fn end_text(&mut self) -> Scanned<()> {
        let Place::Text { start, is_key, has_actions, .. } = self.place else { return Ok(()) };
        self.place = Place::Json;
        if has_actions {
            if is_key {
                return fault(start, "the name of a field is an action");
            }
            self.stand_in(start..self.at + 1);
            self.scan.strings.insert(start, start..self.at + 1);
        }
        self.ended(false);
        Ok(())
    }

    fn end_word(&mut self) {
        let Some(word) = self.word.take() else { return };
        if word.has_actions {
            self.bare(word.start..word.end);
        }
        self.ended(false);
    }

    /// A value that only rendering gives.
    fn bare(&mut self, span: Range<usize>) {
        self.stand_in(span.clone());
        let outside = self.scan.silent.partition_point(|silent| silent.start < span.start);
        self.scan.silent.truncate(outside);
        for block in self.control.blocks_in(&span) {
            self.scan.structural[block] = false;
        }
        self.scan.bare.insert(span.start, span);
    }

    fn stand_in(&mut self, span: Range<usize>) {
        for at in span.clone() {
            self.scan.text[at] = if is_line_end(self.control.chars[at]) { LINE } else { PAD };
        }
        self.scan.text[span.start] = '"';
        self.scan.text[span.end - 1] = '"';
    }

    fn action(&mut self) -> Scanned<()> {
        let control = self.control;
        let action = &control.actions[self.next];
        let span = action.span.clone();
        self.blank(span.clone());
        if let Place::Text { has_actions, .. } = &mut self.place {
            *has_actions = true;
        }
        match (action.kind, action.block) {
            (Kind::Print, _) => self.print(&span)?,
            (Kind::Silent | Kind::Comment, _) => self.silent(span.clone()),
            (Kind::Open(keyword), Some(block)) => return self.open(block, keyword, &span),
            (Kind::Else, Some(_)) => self.branch(&span)?,
            (Kind::End, Some(_)) => self.close(&span)?,
            (Kind::Open(_) | Kind::Else | Kind::End, None) => {}
        }
        self.pass(span.end);
        Ok(())
    }

    fn pass(&mut self, end: usize) {
        self.at = end;
        self.next = self.control.actions.partition_point(|action| action.span.start < end);
    }

    fn print(&mut self, span: &Range<usize>) -> Scanned<()> {
        match self.place {
            Place::Text { .. } | Place::Line | Place::Comment => return Ok(()),
            Place::PerhapsLine => {
                return fault(span.start, "whether this is part of the comment before it depends on a block");
            }
            Place::Json => {}
        }
        if let Some(word) = &mut self.word {
            (word.end, word.has_actions) = (span.end, true);
            if self.frames.last().is_some_and(|frame| frame.phase == Phase::Colon) {
                return fault(word.start, "the name of a field is an action");
            }
            return Ok(());
        }
        match self.frames.last() {
            None => return fault(span.start, "an action stands for the config, or for something beside it"),
            Some(frame) if frame.shape == Shape::Object && frame.phase != Phase::Value => {
                return fault(span.start, "an action stands for the name of a field, or for whole fields");
            }
            Some(_) => {}
        }
        self.begin(span.start)?;
        self.word = Some(Word { start: span.start, end: span.end, has_actions: true });
        Ok(())
    }

    fn silent(&mut self, span: Range<usize>) {
        if matches!(self.place, Place::Text { .. }) {
            return;
        }
        self.end_word();
        self.mark_action(span.start);
        self.scan.silent.push(span);
    }

    fn mark_action(&mut self, at: usize) {
        if let Some(frame) = self.frames.last_mut() {
            frame.action = Some(at);
        }
    }

    fn open(&mut self, block: usize, keyword: Keyword, span: &Range<usize>) -> Scanned<()> {
        let whole = self.control.span(block);
        let is_text = matches!(self.place, Place::Text { .. });
        if !is_text && self.control.is_silent(block) {
            self.blank(whole.clone());
            self.silent(whole.clone());
            self.pass(whole.end);
            return Ok(());
        }
        let before_value = |frame: &Frame| frame.phase == Phase::Value || frame.shape == Shape::Branch;
        let is_value = self.place == Place::Json && self.frames.last().is_some_and(before_value);
        let is_key = self.frames.last().is_some_and(|frame| frame.phase == Phase::Colon);
        if self.place == Place::Json && !is_key && (is_value || self.word.is_some()) && self.control.is_word(block) {
            if self.word.is_none() {
                self.begin(span.start)?;
            }
            let start = self.word.map_or(span.start, |word| word.start);
            self.word = Some(Word { start, end: whole.end, has_actions: true });
            self.blank(whole.clone());
            self.pass(whole.end);
            return Ok(());
        }
        if self.place == Place::Json {
            self.end_word();
        }
        let place = self.place;
        if is_value {
            self.begin(span.start)?;
            self.frames.push(Frame::new(Shape::Branch, span.start));
        } else if !is_text {
            let is_between = self.frames.last().is_some_and(|frame| frame.phase == Phase::Between);
            if !is_between || keyword == Keyword::Block {
                return fault(span.start, "this block does not hold whole fields, items or values");
            }
            self.scan.structural[block] = true;
            self.mark_action(span.start);
        }
        let frames = (self.frames.len(), self.frames.last().map(|frame| frame.open));
        self.blocks.push(Open { block, place, frames, exits: Vec::new() });
        self.pass(span.end);
        Ok(())
    }

    /// The end of a branch: everything that began in it has ended, and nothing else has.
    fn exit(&mut self) -> Scanned<()> {
        if self.place == Place::Json {
            self.end_word();
        }
        let Some(open) = self.blocks.last_mut() else { return Ok(()) };
        let start = self.control.span(open.block).start;
        let frames = (self.frames.len(), self.frames.last().map(|frame| frame.open));
        let is_between = self.frames.last().is_some_and(|frame| frame.phase == Phase::Between);
        let same_text = match (open.place, self.place) {
            (Place::Text { start, .. }, Place::Text { start: now, .. }) => start == now,
            (Place::Text { .. }, _) | (_, Place::Text { .. }) => false,
            (_, _) => is_between,
        };
        if frames != open.frames || !same_text {
            return fault(start, "this block does not hold whole fields, items or values");
        }
        open.exits.push(self.place);
        Ok(())
    }

    fn branch(&mut self, span: &Range<usize>) -> Scanned<()> {
        self.exit()?;
        let Some(open) = self.blocks.last() else { return Ok(()) };
        if !matches!(self.place, Place::Text { .. }) {
            self.place = open.place;
        }
        self.mark_action(span.start);
        if let Some(frame) = self.frames.last_mut().filter(|frame| frame.shape == Shape::Branch) {
            frame.values.push(0);
        }
        Ok(())
    }

    fn close(&mut self, span: &Range<usize>) -> Scanned<()> {
        self.exit()?;
        let Some(mut open) = self.blocks.pop() else { return Ok(()) };
        if matches!(self.place, Place::Text { .. }) {
            return Ok(());
        }
        if let Some(frame) = self
            .frames
            .pop_if(|frame| frame.shape == Shape::Branch && frame.open == self.control.span(open.block).start)
        {
            self.close_value(&open, &frame, span.end);
            return Ok(());
        }
        self.mark_action(span.start);
        if !self.control.blocks[open.block].has_else {
            open.exits.push(open.place);
        }
        let is = |wanted: Place| open.exits.iter().all(|exit| *exit == wanted);
        self.place = match open.exits.first() {
            Some(first) if is(*first) => *first,
            _ if open.exits.iter().all(|exit| *exit != Place::Comment) => Place::PerhapsLine,
            _ => return fault(self.control.span(open.block).start, "a comment begins or ends in one case only"),
        };
        Ok(())
    }

    /// A block in the place of a value: either each branch is a value of its own, with the key before it, or all that is
    /// known is the text.
    fn close_value(&mut self, open: &Open, frame: &Frame, end: usize) {
        let block = &self.control.blocks[open.block];
        let is_choice = frame.has_container
            && matches!(block.keyword, Keyword::If | Keyword::With)
            && frame.values.iter().all(|count| *count == 1)
            && open.exits.iter().all(|exit| *exit == Place::Json);
        if !is_choice {
            self.bare(frame.open..end);
            self.place = Place::Json;
            self.ended(false);
            if frame.last == Last::Comma {
                // Its commas are not its value's: there is room for one.
                self.scan.text[end - 2] = '"';
                self.blank(end - 1..end);
                self.mark_action(end - 1);
            }
            return;
        }
        self.scan.structural[open.block] = true;
        for number in &block.actions[1..block.actions.len() - 1] {
            let start = self.control.actions[*number].span.start;
            for (at, c) in [',', '"', PAD, '"', ':'].into_iter().enumerate() {
                self.scan.text[start + at] = c;
            }
        }
        self.ended(true);
        self.mark_action(end - 1);
    }
}

fn is_line_end(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{2028}' | '\u{2029}')
}
