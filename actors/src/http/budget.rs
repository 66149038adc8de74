//! How much memory the clients of one server may take together.

use std::cell::Cell;
use std::rc::Rc;

/// What all clients hold by now, and what they may.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    held: Rc<Cell<usize>>,
    most: usize,
}

impl Budget {
    pub(super) fn new(most: usize) -> Self {
        Self { held: Rc::default(), most }
    }

    /// The share of a client that holds nothing yet.
    pub(super) fn share(&self) -> Share {
        Share { budget: self.clone(), size: 0 }
    }
}

/// What one client holds; given back with it.
#[derive(Debug)]
pub(super) struct Share {
    budget: Budget,
    size: usize,
}

impl Share {
    /// Holds this much from now on; false, and the share stays as it is, if that is more than there is left. Who is alone may hold
    /// more: a large answer is one all the same.
    #[must_use]
    pub(super) fn resize(&mut self, size: usize) -> bool {
        let others = self.budget.held.get() - self.size;
        if size > self.size && others > 0 && others + size > self.budget.most {
            return false;
        }
        self.budget.held.set(others + size);
        self.size = size;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.held.set(self.budget.held.get() - self.size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_hold_no_more_than_all_of_them_may() {
        let budget = Budget::new(10);
        let (mut one, mut other) = (budget.share(), budget.share());
        assert!(one.resize(6) && other.resize(4) && !other.resize(5));
        assert!(one.resize(5) && other.resize(5) && !one.resize(6));
        drop(other);
        assert!(one.resize(10) && one.resize(11) && one.resize(0));
        drop(one);
        assert_eq!(budget.held.get(), 0);
    }
}
