//! Who may wait for news: the places that `policy::places` counts, and the wait for what has no place.

use std::cell::RefCell;
use std::rc::Rc;

use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use crate::catalog::client::HttpClient;
use crate::policy::places::Places;
use crate::timers;

/// How many watches without a place ask at a time.
const TURNS: usize = 2;

/// What all watches of a client share.
#[derive(Debug)]
pub struct Waits {
    /// It is replaced when there are too many connections, so that those end that are not in use.
    http: RefCell<HttpClient>,
    places: RefCell<Places>,
    /// There are fewer places.
    cut: Notify,
    turns: Semaphore,
}

impl Waits {
    /// Everybody may wait.
    pub fn new(http: HttpClient) -> Self {
        let places = RefCell::new(Places::new(timers::now()));
        Self { http: RefCell::new(http), places, cut: Notify::new(), turns: Semaphore::new(TURNS) }
    }

    /// What watches ask with.
    pub fn http(&self) -> HttpClient {
        self.http.borrow().clone()
    }

    /// Lets the connections end that are not in use.
    pub fn replace(&self, fresh: HttpClient) {
        self.http.replace(fresh);
    }

    /// A connection has been refused. Returns whether there are fewer places now.
    pub fn refused(&self) -> bool {
        let is_cut = self.places.borrow_mut().refused(timers::now());
        if is_cut {
            self.cut.notify_waiters();
        }
        is_cut
    }

    /// Whether some watches have no place.
    pub fn are_limited(&self) -> bool {
        self.places.borrow().are_limited()
    }

    /// Whether there is a place for one who wants it.
    pub fn have_room(&self) -> bool {
        self.places.borrow_mut().have_room(timers::now())
    }

    /// A place, if there is one.
    pub fn take(self: &Rc<Self>) -> Option<Place> {
        let taken = self.places.borrow_mut().take(timers::now());
        taken.then(|| Place { waits: self.clone(), held: true })
    }

    /// One's turn to ask, without a wait as long as there are connections for all.
    pub async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        if self.are_limited() { self.turns.acquire().await.ok() } else { None }
    }
}

/// A place, until it is given back or dropped.
#[derive(Debug)]
pub struct Place {
    waits: Rc<Waits>,
    held: bool,
}

impl Place {
    /// Waits until there are more places held than there are.
    pub async fn is_lost(&self) {
        loop {
            let cut = self.waits.cut.notified();
            if self.waits.places.borrow().are_too_many() {
                return;
            }
            cut.await;
        }
    }

    /// Gives it back. Returns whether somebody else has to have a turn.
    pub fn give_back(mut self) -> bool {
        self.held = false;
        self.waits.places.borrow_mut().give_back()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.held {
            self.waits.places.borrow_mut().give_back();
        }
    }
}
