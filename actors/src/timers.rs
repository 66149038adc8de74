//! The timers of an actor, by what they are for: arming one anew replaces it, and each goes off as a message.
//!
//! actix may still deliver a timer that was disarmed a moment ago: cancelling saves work, and policies recognise a stale one.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::time::Duration;

use actix::prelude::*;

/// A timer went off.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct TimerElapsed<T: 'static>(pub T);

/// See the module.
#[derive(Debug)]
pub struct Timers<T>(HashMap<T, SpawnHandle>);

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
        let handle = ctx.notify_later(TimerElapsed(timer), after);
        if let Some(older) = self.0.insert(timer, handle) {
            ctx.cancel_future(older);
        }
    }

    /// Never mind.
    pub fn disarm<A: Actor<Context = Context<A>>>(&mut self, timer: T, ctx: &mut Context<A>) {
        if let Some(handle) = self.0.remove(&timer) {
            ctx.cancel_future(handle);
        }
    }

    /// Forgets one that went off.
    pub fn elapsed(&mut self, timer: T) {
        self.0.remove(&timer);
    }
}

/// The time for a policy, of the clock that tests can pause.
pub fn now() -> std::time::Instant {
    actix::clock::Instant::now().into_std()
}
