//! How soon an actor that a panic has ended is started anew.
//!
//! At once, unless it has panicked within a second of its last start: then after a pause that doubles from 100 ms to 10 s, so that
//! what panics at its start again and again costs next to nothing. An actor that has lived for a second begins anew with no pause.
//!
//! Not here: what the new actor has to be told, which the supervisor knows.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// An actor that has lived that long has started well.
const WELL: Duration = Duration::from_secs(1);
/// The first pause.
const FIRST: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug)]
struct Revival {
    starts_at: Instant,
    pause: Duration,
}

/// The panics of actors, each known by its `K`.
#[derive(Debug)]
pub struct RevivalPolicy<K> {
    /// Of those whose last start is not long ago.
    recent: HashMap<K, Revival>,
}

impl<K> Default for RevivalPolicy<K> {
    fn default() -> Self {
        Self { recent: HashMap::new() }
    }
}

impl<K: Eq + Hash> RevivalPolicy<K> {
    /// An actor has panicked. Returns the pause after which it starts anew.
    pub fn panicked(&mut self, actor: K, now: Instant) -> Duration {
        self.recent.retain(|_, revival| now < revival.starts_at + WELL);
        let pause = self.recent.get(&actor).map_or(Duration::ZERO, |last| (last.pause * 2).clamp(FIRST, LONGEST));
        self.recent.insert(actor, Revival { starts_at: now + pause, pause });
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn the_first_panic_costs_no_pause() {
        let mut policy = RevivalPolicy::default();
        assert_eq!(policy.panicked("app", actix::clock::Instant::now().into_std()), Duration::ZERO);
    }

    #[test]
    fn an_actor_that_panics_at_each_start_pauses_longer_each_time_up_to_ten_seconds() {
        let mut policy = RevivalPolicy::default();
        let mut now = actix::clock::Instant::now().into_std();
        let pauses: Vec<u128> = (0..10)
            .map(|_| {
                let pause = policy.panicked("app", now);
                now += pause;
                pause.as_millis()
            })
            .collect();
        assert_eq!(pauses, [0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    }

    #[test]
    fn an_actor_that_has_lived_for_a_second_starts_at_once_again() {
        let mut policy = RevivalPolicy::default();
        let start = actix::clock::Instant::now().into_std();
        policy.panicked("app", start);
        assert_eq!(policy.panicked("app", start + millis(999)), millis(100));
        let started = start + millis(1099);
        assert_eq!(policy.panicked("app", started + millis(1000)), Duration::ZERO);
    }

    #[test]
    fn the_panics_of_one_actor_delay_no_other_and_are_forgotten() {
        let mut policy = RevivalPolicy::default();
        let start = actix::clock::Instant::now().into_std();
        for _ in 0..5 {
            policy.panicked("app", start);
        }
        assert_eq!(policy.panicked("web", start), Duration::ZERO);
        policy.panicked("db", start + Duration::from_secs(60));
        assert_eq!(policy.recent.len(), 1);
    }
}
