//! How many watches may wait for news at once, each on a connection of its own, when a server gives us few connections.
//!
//! Consul gives an address 200 connections, which all containers on the host's network share. At first every watch waits. When connections are
//! refused although some are held, only a few may go on; they take turns, and the others ask once an interval. Room is tried for again later,
//! ever more rarely as long as it is refused.

use std::time::{Duration, Instant};

/// How many go on waiting when connections are refused for the first time.
const FEW: usize = 4;
/// What is refused within this time is refused for the same reason.
const SETTLES: Duration = Duration::from_secs(2);
/// How long it takes at first until more may wait again, and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// A refusal within this many pauses after more were let in is the answer to that.
const PROBATION: u32 = 2;
/// So many may as well be all.
const MANY: usize = 256;

/// The places of those who wait.
#[derive(Debug)]
pub struct Places {
    /// None as long as all may wait.
    limit: Option<usize>,
    held: usize,
    /// Whether a place has been refused to a watch that is still without one.
    wanted: bool,
    /// When the limit was changed.
    changed: Instant,
    pause: Duration,
}

impl Places {
    /// As many as are wanted.
    pub fn new(now: Instant) -> Self {
        Self { limit: None, held: 0, wanted: false, changed: now, pause: FIRST_PAUSE }
    }

    /// Whether there is a limit.
    pub fn are_limited(&self) -> bool {
        self.limit.is_some()
    }

    /// Whether there is a place for one who wants it.
    pub fn have_room(&mut self, now: Instant) -> bool {
        self.grow(now);
        let is_free = self.limit.is_none_or(|limit| self.held < limit);
        self.wanted = !is_free;
        is_free
    }

    /// Takes a place, if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        let is_free = self.have_room(now);
        self.held += usize::from(is_free);
        is_free
    }

    /// A place is free again. Returns whether somebody else has to have a turn.
    pub fn give_back(&mut self) -> bool {
        self.held = self.held.saturating_sub(1);
        self.limit.is_some() && self.wanted
    }

    /// Whether more places are held than there are.
    pub fn are_too_many(&self) -> bool {
        self.limit.is_some_and(|limit| self.held > limit)
    }

    /// A connection was refused, or cut off at once. Without a place that is held it is not our number of connections that is the reason.
    /// Returns whether there are fewer places now.
    pub fn refused(&mut self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.changed);
        if self.held == 0 || (self.limit.is_some() && since < SETTLES) {
            return false;
        }
        self.pause = match self.limit {
            Some(_) if since < self.pause * PROBATION => (self.pause * 2).min(LONGEST_PAUSE),
            Some(_) | None => FIRST_PAUSE,
        };
        self.limit = Some(self.limit.map_or(FEW.min(self.held.saturating_sub(1)), |limit| limit.min(self.held) / 2));
        self.changed = now;
        true
    }

    fn grow(&mut self, now: Instant) {
        let Some(limit) = self.limit else { return };
        if now.saturating_duration_since(self.changed) < self.pause {
            return;
        }
        self.changed = now;
        self.limit = Some(limit * 2 + 1).filter(|limit| *limit < MANY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix::clock::Instant as Clock;

    fn now() -> Instant {
        Clock::now().into_std()
    }

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// With so many places held.
    fn held(count: usize, at: Instant) -> Places {
        let mut places = Places::new(at);
        assert!((0..count).all(|_| places.take(at)));
        places
    }

    /// As many as have to go do so.
    fn cut(places: &mut Places) -> usize {
        while places.are_too_many() {
            places.give_back();
        }
        places.held
    }

    #[test]
    fn everybody_waits_until_connections_are_refused() {
        let at = now();
        let mut places = held(100, at);
        assert!(!places.are_too_many() && !places.are_limited());
        places.refused(at);
        assert_eq!(cut(&mut places), 4);
        assert!(!places.take(at));
        places.refused(at + secs(1));
        assert_eq!(cut(&mut places), 4, "the same crowd");
        for (seconds, left) in [(3, 2), (6, 1), (9, 0)] {
            places.refused(at + secs(seconds));
            assert_eq!(cut(&mut places), left);
        }
    }

    #[test]
    fn without_a_place_that_is_held_a_refusal_is_an_outage() {
        let at = now();
        let mut places = Places::new(at);
        places.refused(at);
        assert!(!places.are_limited());
    }

    #[test]
    fn one_who_had_a_turn_makes_room_for_one_who_had_none() {
        let at = now();
        let mut places = held(9, at);
        assert!(!places.give_back(), "there is room for all");
        places.refused(at);
        cut(&mut places);
        assert!(!places.give_back(), "nobody has asked for it");
        assert!(places.take(at) && !places.take(at));
        assert!(places.give_back());
        assert!(places.take(at));
    }

    #[test]
    fn room_grows_back_and_is_tried_for_ever_more_rarely_where_it_is_refused() {
        let at = now();
        let mut places = held(9, at);
        places.refused(at);
        cut(&mut places);
        assert!(!places.take(at + secs(9)));
        let mut time = at + secs(10);
        assert!((0..5).all(|_| places.take(time)) && !places.take(time), "nine of nine");
        time += secs(3);
        places.refused(time);
        assert_eq!(cut(&mut places), 4);
        assert!(!places.take(time + secs(19)));
        assert!(places.take(time + secs(20)), "after twice the time");
        for _ in 0..8 {
            time += secs(60);
            places.take(time);
        }
        assert!(!places.are_limited());
    }
}
