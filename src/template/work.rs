//! How much one rendering may do and make. It counts steps rather than time, so that a template that one machine renders is
//! rendered by every other.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use super::Environment;
use super::pattern::Pattern;

/// The most steps of one rendering: a thousand times what the largest config known to us takes, and some seconds at most.
pub const MOST_STEPS: u64 = 20_000_000;
/// The most bytes that one rendering, or one value in it, can have.
pub const MOST_BYTES: usize = 64 << 20;
/// How many bytes are handled in a step.
const BYTES: u64 = 8;

/// What functions know of the rendering that they are called in.
#[derive(Debug)]
pub struct Context<'e> {
    /// The data.
    pub env: &'e Environment,
    /// Steps that are left.
    left: Cell<u64>,
    /// Regular expressions that have been read before.
    patterns: RefCell<HashMap<Vec<u8>, Rc<Pattern>>>,
}

impl<'e> Context<'e> {
    /// That of a rendering that begins.
    pub fn new(env: &'e Environment) -> Self {
        Self { env, left: Cell::new(MOST_STEPS), patterns: RefCell::default() }
    }

    /// Counts steps; an error if there are too many.
    pub fn spend(&self, steps: u64) -> Result<(), String> {
        match self.left.get().checked_sub(steps) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => {
                // Whatever comes after it is refused, too.
                self.left.set(0);
                Err(format!("rendering takes more than {MOST_STEPS} steps"))
            }
        }
    }

    /// Counts what is done with bytes, or with other things of which each costs as much as some.
    pub fn handle(&self, bytes: usize) -> Result<(), String> {
        self.spend(1 + u64::try_from(bytes).unwrap_or(u64::MAX) / BYTES)
    }

    /// Counts bytes that are made, before or after that.
    pub fn make(&self, bytes: usize) -> Result<(), String> {
        self.fits(bytes)?;
        self.handle(bytes)
    }

    /// Refuses what is too long.
    pub fn fits(&self, bytes: usize) -> Result<(), String> {
        let fits = bytes <= MOST_BYTES;
        fits.then_some(()).ok_or_else(|| format!("rendering makes more than {} MB", MOST_BYTES >> 20))
    }

    /// How many bytes can be made at most: one more cannot.
    pub fn room(&self) -> usize {
        usize::try_from(self.left.get().saturating_mul(BYTES)).unwrap_or(usize::MAX).min(MOST_BYTES)
    }

    /// Takes what was made for a value, if there was room for it.
    pub fn made(&self, bytes: Vec<u8>) -> Result<Vec<u8>, String> {
        self.make(bytes.len())?;
        Ok(bytes)
    }

    /// A regular expression, which is read once.
    pub fn pattern(&self, written: &[u8]) -> Result<Rc<Pattern>, String> {
        if let Some(known) = self.patterns.borrow().get(written) {
            return Ok(known.clone());
        }
        self.spend(Pattern::STEPS)?;
        let pattern = Rc::new(Pattern::read(written)?);
        self.patterns.borrow_mut().insert(written.to_vec(), pattern.clone());
        Ok(pattern)
    }
}
