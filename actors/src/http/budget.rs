//! How much memory the clients of one server may take together.

use std::cell::Cell;
use std::rc::Rc;

use super::MOST_CLIENTS;

/// What each client may hold, however much the others do: an ordinary request, and a short answer.
const FREE: usize = 4 * 1024;

/// What all clients hold by now, and what they may.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    held: Rc<Cell<usize>>,
    most: usize,
}

impl Budget {
    /// Of this much all that clients may hold anyway is set aside.
    pub(super) fn new(together: usize) -> Self {
        Self { held: Rc::default(), most: together.saturating_sub(MOST_CLIENTS * FREE) }
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
        let size = size.saturating_sub(FREE);
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
        let budget = Budget::new(MOST_CLIENTS * FREE + 10);
        let (mut one, mut other) = (budget.share(), budget.share());
        assert!(one.resize(FREE + 6) && other.resize(FREE + 4) && !other.resize(FREE + 5));
        assert!(one.resize(FREE + 5) && other.resize(FREE + 5) && !one.resize(FREE + 6));
        assert!(budget.share().resize(FREE), "what everybody may hold");
        drop(other);
        assert!(one.resize(FREE + 10) && one.resize(FREE + 11) && one.resize(0));
        drop(one);
        assert_eq!(budget.held.get(), 0);
    }
}
