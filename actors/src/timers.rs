//! The timers of an actor, by what they are for: arming one anew replaces it, and each goes off as a message.
//!
//! A *deadline* is a timer that time in which this process was frozen does not count against: what it is for could not happen then.
//! While one is armed, a tick each second notices such gaps.
//!
//! actix may still deliver a timer that was disarmed a moment ago: cancelling saves work, and policies recognise a stale one.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::time::Duration;

use actix::prelude::*;

use crate::policy::frozen::{FrozenTime, TICK};

/// A timer went off.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct TimerElapsed<T: 'static>(pub T);

#[derive(Debug)]
struct Armed {
    handle: SpawnHandle,
    deadline: Option<Deadline>,
}

/// The armed timers of one actor.
#[derive(Debug)]
pub struct Timers<T>(HashMap<T, Armed>);

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Copy + Eq + Hash + 'static> Timers<T> {
    /// Has the actor told after this time.
    pub fn arm<A>(&mut self, timer: T, after: Duration, ctx: &mut Context<A>)
    where
        A: Actor<Context = Context<A>> + Handler<TimerElapsed<T>>,
    {
        self.arm_as(timer, after, None, ctx);
    }

    /// The same, but time in which we are frozen does not count.
    pub fn arm_deadline<A>(&mut self, timer: T, after: Duration, ctx: &mut Context<A>)
    where
        A: Actor<Context = Context<A>> + Handler<TimerElapsed<T>>,
    {
        self.arm_as(timer, after, Some(Deadline::new()), ctx);
    }

    fn arm_as<A>(&mut self, timer: T, after: Duration, deadline: Option<Deadline>, ctx: &mut Context<A>)
    where
        A: Actor<Context = Context<A>> + Handler<TimerElapsed<T>>,
    {
        let handle = ctx.notify_later(TimerElapsed(timer), after);
        if let Some(older) = self.0.insert(timer, Armed { handle, deadline }) {
            ctx.cancel_future(older.handle);
        }
    }

    /// Never mind.
    pub fn disarm<A: Actor<Context = Context<A>>>(&mut self, timer: T, ctx: &mut Context<A>) {
        if let Some(armed) = self.0.remove(&timer) {
            ctx.cancel_future(armed.handle);
        }
    }

    /// One went off. False if it is a deadline that is put off, because we were frozen meanwhile.
    pub fn elapsed<A>(&mut self, timer: T, ctx: &mut Context<A>) -> bool
    where
        A: Actor<Context = Context<A>> + Handler<TimerElapsed<T>>,
    {
        let frozen = self.0.remove(&timer).and_then(|armed| armed.deadline).map(|deadline| deadline.frozen());
        match frozen.filter(|frozen| !frozen.is_zero()) {
            Some(frozen) => {
                self.arm_deadline(timer, frozen, ctx);
                false
            }
            None => true,
        }
    }
}

/// The time for a policy, of the clock that tests can pause.
pub fn now() -> std::time::Instant {
    actix::clock::Instant::now().into_std()
}

/// What all deadlines of this thread share: they have one clock, and so one tick.
#[derive(Default)]
struct Ticker {
    frozen: FrozenTime,
    armed: usize,
    task: Option<tokio::task::AbortHandle>,
}

thread_local! {
    static TICKER: RefCell<Ticker> = RefCell::default();
}

/// Keeps the tick alive.
#[derive(Debug)]
struct Deadline {
    /// How long we had been frozen when it was armed.
    before: Duration,
}

impl Deadline {
    fn new() -> Self {
        TICKER.with_borrow_mut(|ticker| {
            ticker.armed += 1;
            if ticker.armed == 1 {
                ticker.frozen.begin(now());
                ticker.task = Some(actix::spawn(tick()).abort_handle());
            } else {
                ticker.frozen.tick(now());
            }
            Self { before: ticker.frozen.total() }
        })
    }

    /// How long we were frozen since.
    fn frozen(&self) -> Duration {
        TICKER.with_borrow_mut(|ticker| {
            ticker.frozen.tick(now());
            ticker.frozen.total().saturating_sub(self.before)
        })
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        // At the end of the thread it may be gone already.
        let dropped = TICKER.try_with(|ticker| {
            let mut ticker = ticker.borrow_mut();
            ticker.armed = ticker.armed.saturating_sub(1);
            if ticker.armed == 0 {
                ticker.frozen.end();
                ticker.task.take()
            } else {
                None
            }
        });
        if let Ok(Some(task)) = dropped {
            task.abort();
        }
    }
}

async fn tick() {
    loop {
        actix::clock::sleep(TICK).await;
        TICKER.with_borrow_mut(|ticker| ticker.frozen.tick(now()));
    }
}
