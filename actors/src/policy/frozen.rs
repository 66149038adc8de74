//! Time in which this process was frozen: `docker pause`, `docker commit`, SIGSTOP, a virtual machine that stood still.
//!
//! - *Off*: nothing is waited for that a frozen process could not have done; there are no ticks.
//! - *Ticking*: a tick is due each second. One that comes more than five seconds late is the end of a gap. A busy or throttled
//!   machine stays below that. Entered by `begin`, left by `end`.
//!
//! Not here: which deadlines are put off by that time (`timers`).

use std::time::{Duration, Instant};

/// From tick to tick.
pub const TICK: Duration = Duration::from_secs(1);
/// A tick that is late by no more is late because the machine is busy.
const LATE: Duration = Duration::from_secs(5);

/// How long we were frozen so far.
#[derive(Debug, Default)]
pub struct FrozenTime {
    last_tick: Option<Instant>,
    total: Duration,
}

impl FrozenTime {
    /// Ticks come from now on.
    pub fn begin(&mut self, now: Instant) {
        self.last_tick = Some(now);
    }

    /// They come no more.
    pub fn end(&mut self) {
        self.last_tick = None;
    }

    /// A tick, or anything else that is just happening: after a gap nobody knows what happens first.
    pub fn tick(&mut self, now: Instant) {
        let Some(last) = self.last_tick.replace(now) else {
            self.last_tick = None;
            return;
        };
        let late = now.saturating_duration_since(last).saturating_sub(TICK);
        if late > LATE {
            self.total += late;
        }
    }

    /// How long all gaps were together.
    pub fn total(&self) -> Duration {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{millis, secs};

    #[expect(clippy::disallowed_methods, reason = "any instant does; it is only added to")]
    fn t0() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_late_tick_is_a_gap_only_if_it_is_very_late() {
        let (mut frozen, t0) = (FrozenTime::default(), t0());
        frozen.begin(t0);
        frozen.tick(t0 + secs(1));
        frozen.tick(t0 + secs(7));
        assert_eq!(frozen.total(), Duration::ZERO, "five seconds late, and no more");
        frozen.tick(t0 + millis(13_001));
        assert_eq!(frozen.total(), millis(5001));
        frozen.tick(t0 + millis(13_002));
        assert_eq!(frozen.total(), millis(5001), "each gap counts once");
    }

    #[test]
    fn without_ticks_no_time_is_known_to_be_frozen() {
        let (mut frozen, t0) = (FrozenTime::default(), t0());
        frozen.tick(t0);
        frozen.tick(t0 + secs(1000));
        frozen.begin(t0 + secs(1000));
        frozen.end();
        frozen.begin(t0 + secs(3000));
        frozen.tick(t0 + secs(3001));
        assert_eq!(frozen.total(), Duration::ZERO);
    }
}
