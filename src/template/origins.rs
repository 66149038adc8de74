//! Which piece of a template each piece of the rendered text comes from.
//! Not here: lines and columns, which are for whoever shows a place.

/// Where the pieces of a rendered text begin, and what they are.
#[derive(Clone, Debug)]
pub struct Origins {
    /// In the order of the rendered text. A piece ends where the next one begins.
    pieces: Vec<Piece>,
    /// Actions that have printed nothing: the place in the rendered text where that was, and the action.
    empty: Vec<(usize, usize)>,
    /// The length of the template, in bytes.
    length: usize,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    /// Where it begins in the rendered text, in bytes.
    at: usize,
    /// Where the template has it, or the action that made it.
    origin: usize,
    /// Whether it is text of the template rather than an action's.
    copied: bool,
}

impl Origins {
    /// Those of an empty text, of a template of this length.
    pub fn new(length: usize) -> Self {
        Self { pieces: Vec::new(), empty: Vec::new(), length }
    }

    /// Notes that what comes next is text of the template.
    pub fn copied(&mut self, at: usize, origin: usize) {
        self.add(Piece { at, origin, copied: true });
    }

    /// Notes that what comes next is made by the action at `origin`.
    pub fn made(&mut self, at: usize, origin: usize) {
        self.add(Piece { at, origin, copied: false });
    }

    fn add(&mut self, piece: Piece) {
        if let Some(last) = self.pieces.pop_if(|last| last.at == piece.at)
            && !last.copied
        {
            self.empty.push((last.at, last.origin));
        }
        self.pieces.push(piece);
    }

    /// The place in the template of what stands at this place of the rendered text, in bytes; `length` is that of the latter.
    /// What an action has made has the place of the action.
    pub fn of(&self, at: usize, length: usize) -> usize {
        if at >= length {
            return self.length;
        }
        match self.piece(at) {
            Some(piece) if piece.copied => piece.origin + (at - piece.at),
            Some(piece) => piece.origin,
            None => at,
        }
    }

    /// Whether an action has made what stands at this place of the rendered text.
    pub fn is_made(&self, at: usize) -> bool {
        self.piece(at).is_some_and(|piece| !piece.copied)
    }

    /// Whether an action has made any of what stands between these places of the rendered text.
    pub fn any_made(&self, from: usize, to: usize) -> bool {
        let first = self.pieces.partition_point(|piece| piece.at <= from).saturating_sub(1);
        let pieces = self.pieces.get(first..).unwrap_or_default();
        pieces.iter().take_while(|piece| piece.at < to).any(|piece| !piece.copied)
    }

    /// The last action that has printed nothing between these places of the rendered text, both included.
    pub fn empty_action(&self, from: usize, to: usize) -> Option<usize> {
        let before = self.empty.partition_point(|(at, _)| *at <= to);
        self.empty.get(before.checked_sub(1)?).filter(|(at, _)| *at >= from).map(|(_, action)| *action)
    }

    fn piece(&self, at: usize) -> Option<&Piece> {
        let next = self.pieces.partition_point(|piece| piece.at <= at);
        self.pieces.get(next.checked_sub(1)?)
    }
}
