//! Which blocks of the template each value of a config belongs to, and how they are laid out around it anew.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::control::{Action, Control, Keyword, Kind, names, set_by};
use super::scan::{Fault, Scan};
use crate::config::node::{Node, Value};
use crate::config::writer::{Doc, Part};

/// A block, and a branch of it.
pub type Guard = (usize, usize);

/// What prints nothing.
#[derive(Clone, Debug)]
struct Silent {
    at: usize,
    text: String,
    is_comment: bool,
    guards: Vec<Guard>,
}

/// The blocks around values.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// The text and its actions.
    pub control: Control,
    structural: Vec<bool>,
    silent: Vec<Silent>,
    /// The numbers of those that stand directly in a branch.
    silent_in: HashMap<Vec<Guard>, Vec<usize>>,
    /// Whether each action is silent, or a part of something that is.
    is_silent: Vec<bool>,
    /// The blocks that each value stands in, by its number.
    guards: Vec<Vec<Guard>>,
    /// Where each value begins, by its number, in characters.
    places: Vec<usize>,
    /// Where what begins at a bracket ends.
    ends: HashMap<usize, usize>,
    /// What stays with an item of a list, by its number: comments, and variables that only it names.
    attached: HashMap<usize, Vec<Silent>>,
    attached_at: HashSet<usize>,
}

impl Layout {
    /// That of a text whose values begin at these places.
    pub fn new(control: Control, scan: &Scan, places: Vec<usize>) -> Self {
        let starts: Vec<usize> = scan.silent.iter().map(|span| span.start).collect();
        let guards = control.around(&starts, &scan.structural);
        let mut is_silent = vec![false; control.actions.len()];
        let (mut silent, mut silent_in) = (Vec::new(), HashMap::<Vec<Guard>, Vec<usize>>::new());
        for (span, guards) in scan.silent.iter().zip(guards) {
            let within: Vec<&Action> = control.within(span).collect();
            // What is defined holds text, which counts.
            let is_definition = within.first().is_some_and(|action| action.kind == Kind::Open(Keyword::Define));
            let is_comment = within.iter().all(|action| action.kind == Kind::Comment);
            let first = control.actions.partition_point(|action| action.span.start < span.start);
            is_silent[first..first + within.len()].fill(true);
            let actions = within.iter().map(|action| control.text(&action.span)).collect();
            let text = if is_definition { control.text(span) } else { actions };
            silent_in.entry(guards.clone()).or_default().push(silent.len());
            silent.push(Silent { at: span.start, text, is_comment, guards });
        }
        // Values are numbered in the order of the text.
        let guards = control.around(&places, &scan.structural);
        Self {
            structural: scan.structural.clone(),
            silent,
            silent_in,
            is_silent,
            guards,
            places,
            ends: scan.ends.clone(),
            attached: HashMap::new(),
            attached_at: HashSet::new(),
            control,
        }
    }

    /// Where a value begins.
    pub fn place(&self, id: usize) -> usize {
        self.places.get(id).copied().unwrap_or_default()
    }

    /// The blocks that a value stands in, the outermost first.
    pub fn guards(&self, id: usize) -> Vec<Guard> {
        self.guards.get(id).cloned().unwrap_or_default()
    }

    /// Whether a value stands in blocks that what holds it does not stand in.
    pub fn is_guarded(&self, id: usize, holder: usize) -> bool {
        self.guards(id).len() > self.guards(holder).len()
    }

    /// Whether a value is there several times.
    pub fn is_repeated(&self, id: usize) -> bool {
        self.guards(id).iter().any(|(block, _)| self.control.blocks[*block].keyword == Keyword::Range)
    }

    /// Whether anything within a value is there only now and then.
    pub fn has_guarded(&self, node: &Node) -> bool {
        inner(node).any(|part| self.is_guarded(part.id, node.id) || self.has_guarded(part))
    }

    /// The most ways that there are through a block.
    pub fn ways(&self) -> usize {
        let blocks = (0..self.control.blocks.len()).filter(|block| self.structural[*block]);
        blocks.map(|block| self.control.ways(block)).max().unwrap_or(1)
    }

    /// Whether a value is there if each block takes its `way`.
    pub fn is_there(&self, id: usize, way: usize) -> bool {
        self.guards(id).iter().all(|(block, branch)| way.min(self.control.ways(*block) - 1) == *branch)
    }

    /// An action that begins a branch, or ends a block.
    pub fn action(&self, block: usize, branch: usize) -> String {
        self.control.written(self.control.blocks[block].actions[branch])
    }

    fn end(&self, block: usize) -> String {
        self.action(block, self.control.blocks[block].actions.len() - 1)
    }

    /// What prints nothing directly in a branch, in the order of the text.
    fn silent_in(&self, guards: &[Guard]) -> impl Iterator<Item = &Silent> {
        self.silent_in.get(guards).into_iter().flatten().map(|number| &self.silent[*number])
    }

    /// The same as it is written.
    pub fn silent_of(&self, guards: &[Guard]) -> Vec<String> {
        self.silent_in(guards).map(|silent| silent.text.clone()).collect()
    }

    /// A value as it is written.
    pub fn written(&self, id: usize) -> String {
        let start = self.place(id);
        let end = self.ends.get(&start).copied().unwrap_or(start);
        self.control.text(&(start..end))
    }

    /// What prints nothing, anywhere.
    pub fn all_silent(&self) -> Vec<String> {
        self.silent.iter().map(|silent| silent.text.clone()).collect()
    }

    /// Comments outside of blocks stay with the item of the list that they are before or in, and so do variables that only
    /// this item names.
    pub fn attach(&mut self, list: &Node) {
        let mut start = self.place(list.id);
        for item in inner(list) {
            let place = self.place(item.id);
            let end = self.ends.get(&place).copied().unwrap_or(place);
            let stays = |silent: &Silent| {
                (start..end).contains(&silent.at) && (silent.is_comment || self.is_named_within(silent, place, end))
            };
            let stay: Vec<Silent> = self.silent_in(&[]).filter(|silent| stays(silent)).cloned().collect();
            self.attached_at.extend(stay.iter().map(|silent| silent.at));
            self.attached.insert(item.id, stay);
            start = end;
        }
    }

    /// Whether the variable that is declared here is named in this part of the text alone, until it is declared anew.
    fn is_named_within(&self, silent: &Silent, start: usize, end: usize) -> bool {
        let Some((variable, true)) = set_by(&silent.text) else { return false };
        let named = self.control.actions.iter().filter(|action| action.span.start > silent.at);
        let mut named = named.filter(|action| names(&self.control.text(&action.span), variable));
        let outside = named.find(|action| action.span.start < start || action.span.start >= end);
        let is_declared = |action: &Action| set_by(&self.control.text(&action.span)) == Some((variable, true));
        outside.is_none_or(|action| action.span.start >= end && is_declared(action))
    }

    fn is_attached(&self, at: usize) -> bool {
        self.attached_at.contains(&at)
    }

    /// What sets variables for the whole config, and comments that no item has.
    pub fn head(&self) -> Vec<String> {
        let ours = self.silent_in(&[]).filter(|silent| !self.is_attached(silent.at));
        ours.map(|silent| silent.text.clone()).collect()
    }

    /// Moving things around must not change what variables are when they are used.
    pub fn check_variables(&self) -> Result<(), Fault> {
        for (number, action) in self.control.actions.iter().enumerate() {
            if !self.is_silent[number] || self.is_attached(action.span.start) {
                continue;
            }
            let written = self.control.text(&action.span);
            let Some((variable, declares)) = set_by(&written) else { continue };
            // A part of a block that prints nothing belongs to what is around that block.
            let around = self.silent.partition_point(|silent| silent.at <= action.span.start);
            let guards = around.checked_sub(1).map_or(&[][..], |number| &self.silent[number].guards);
            let uses = |actions: Range<usize>| {
                let mut used = actions.filter(|other| !self.is_silent[*other]);
                used.any(|other| names(&self.control.written(other), variable))
            };
            let is_own =
                |silent: &Silent| set_by(&silent.text).is_some_and(|(name, declares)| declares && name == variable);
            let changes = if guards.is_empty() {
                uses(0..number)
            } else {
                !declares && !self.silent_in(guards).any(is_own) && uses(0..self.control.actions.len())
            };
            if changes {
                let says = format!("the variable `${variable}` is set anew after it has been used");
                return Err(Fault { at: action.span.start, says });
            }
        }
        Ok(())
    }

    /// Parts of a list with the blocks around them that they stand in.
    pub fn laid_out(&self, parts: Vec<Part>, within: &[Guard]) -> Vec<Part> {
        let mut laying = Laying { layout: self, within, open: Vec::new(), parts: Vec::new(), at: 0 };
        for part in parts {
            laying.part(part);
        }
        laying.close_to(0);
        laying.parts
    }
}

/// A block that is being laid out.
struct Around {
    guard: Guard,
    /// How many of the silent actions of the branch have been written.
    silent: usize,
}

struct Laying<'a> {
    layout: &'a Layout,
    /// The blocks around the list.
    within: &'a [Guard],
    open: Vec<Around>,
    parts: Vec<Part>,
    /// Where the last part was in the old text.
    at: usize,
}

impl Laying<'_> {
    fn part(&mut self, part: Part) {
        let Some(id) = part.id else {
            self.close_to(0);
            self.parts.push(part);
            return;
        };
        let at = self.layout.place(id);
        let guards = self.layout.guards(id);
        let guards = &guards[self.within.len().min(guards.len())..];
        let mut same = self.open.iter().zip(guards).take_while(|(open, guard)| open.guard == **guard).count();
        if at < self.at {
            same = 0;
        }
        let next_branch = match (self.open.get(same), guards.get(same)) {
            (Some(open), Some(guard)) if at >= self.at => {
                (open.guard.0 == guard.0 && open.guard.1 < guard.1).then_some(open.guard.1)
            }
            _ => None,
        };
        if let Some(branch) = next_branch {
            self.close_to(same + 1);
            self.silent_before(usize::MAX);
            self.open.pop();
            self.begin(guards[same], branch + 1);
            same += 1;
        } else {
            self.close_to(same);
        }
        for guard in &guards[same..] {
            self.silent_before(at);
            self.begin(*guard, 0);
        }
        self.silent_before(at);
        self.at = at;
        for silent in self.layout.attached.get(&id).into_iter().flatten() {
            self.line(silent.text.clone());
        }
        self.parts.push(part);
    }

    /// Begins a branch, and those before it from the given one on.
    fn begin(&mut self, guard: Guard, from: usize) {
        for branch in from..=guard.1 {
            self.line(self.layout.action(guard.0, branch));
        }
        self.open.push(Around { guard, silent: 0 });
    }

    fn close_to(&mut self, depth: usize) {
        while self.open.len() > depth {
            self.silent_before(usize::MAX);
            if let Some(around) = self.open.pop() {
                self.line(self.layout.end(around.guard.0));
            }
        }
    }

    /// Writes what prints nothing in the innermost branch and stands before a place.
    fn silent_before(&mut self, at: usize) {
        let guards: Vec<Guard> = self.within.iter().copied().chain(self.open.iter().map(|open| open.guard)).collect();
        let Some(around) = self.open.last_mut() else { return };
        let silent = self.layout.silent_in(&guards).skip(around.silent).take_while(|silent| silent.at < at);
        let lines: Vec<String> = silent.map(|silent| silent.text.clone()).collect();
        around.silent += lines.len();
        for line in lines {
            self.line(line);
        }
    }

    fn line(&mut self, text: String) {
        self.parts.push(Part::item(Doc::Line(text)));
    }
}

/// What a value holds.
pub fn inner(node: &Node) -> Box<dyn Iterator<Item = &Node> + '_> {
    match &node.value {
        Value::List(items) => Box::new(items.iter()),
        Value::Object(entries) => Box::new(entries.iter().map(|(_, value)| value)),
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::String(_) => {
            Box::new(std::iter::empty())
        }
    }
}

/// Whether two values are never there together.
pub fn exclude(a: &[Guard], b: &[Guard]) -> bool {
    let differs = a.iter().zip(b).find(|(a, b)| a != b);
    differs.is_some_and(|(a, b)| a.0 == b.0)
}

/// A range of characters as one of the places of values.
pub fn starts(text: &str, offsets: &[usize]) -> Vec<usize> {
    let bytes: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    offsets.iter().map(|offset| bytes.partition_point(|at| at < offset)).collect()
}

/// The line and column of a character.
pub fn place_of(chars: &[char], at: usize) -> (usize, usize) {
    let before: Range<usize> = 0..at.min(chars.len());
    let lines = chars[before.clone()].iter().filter(|c| **c == '\n').count();
    let column = chars[before].iter().rev().take_while(|c| **c != '\n').count();
    (lines + 1, column + 1)
}
