//! How often a job restarts, and how long it pauses before (product.md section 5).
//!
//! Not here: when a run is over and what else its end means; that is `policy::job`.

use std::time::Duration;

use crate::spec::{Backoff, Budget};

/// The restart budget of a job, and the pauses that its quick failures have earned it.
#[derive(Clone, Debug)]
pub struct RestartPolicy {
    budget: Budget,
    left: Budget,
    backoff: Option<Backoff>,
    /// How many runs in a row failed sooner than `reset_after`.
    quick_failures: u32,
}

impl RestartPolicy {
    /// A whole budget, and no failure yet.
    pub fn new(budget: Budget, backoff: Option<Backoff>) -> Self {
        Self { budget, left: budget, backoff, quick_failures: 0 }
    }

    /// A whole budget again.
    pub fn renew(&mut self) {
        self.left = self.budget;
    }

    /// Whether a restart is left.
    pub fn any_left(&self) -> bool {
        self.left != Budget::Limited(0)
    }

    /// Takes one restart off the budget; false if none is left.
    pub fn spend(&mut self) -> bool {
        match &mut self.left {
            Budget::Unlimited => true,
            Budget::Limited(0) => false,
            Budget::Limited(left) => {
                *left -= 1;
                true
            }
        }
    }

    /// The pause before the next run of a job whose run took `ran`, or could not be started. `random` is in 0.0..1.0.
    pub fn pause(&mut self, success: bool, ran: Option<Duration>, random: f64) -> Duration {
        // Nothing slows down what is not even started: that would be a loop of ours.
        let unless_started = ran.is_none().then(Backoff::default);
        let Some(backoff) = self.backoff.or(unless_started) else { return Duration::ZERO };
        let ran = ran.unwrap_or_default();
        if success {
            self.quick_failures = 0;
            // Success at once, over and over, would spin just as well.
            return backoff.initial.saturating_sub(ran);
        }
        if ran >= backoff.reset_after {
            self.quick_failures = 0;
            return Duration::ZERO;
        }
        self.quick_failures = self.quick_failures.saturating_add(1);
        let Some(growths) = self.quick_failures.checked_sub(2) else { return Duration::ZERO };
        let growths = i32::try_from(growths).unwrap_or(i32::MAX);
        let grown = backoff.initial.as_secs_f64() * backoff.factor.powi(growths);
        let pause = grown.min(backoff.max.as_secs_f64());
        Duration::from_secs_f64(pause * (1.0 + backoff.jitter * (2.0 * random - 1.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Option<Duration> = Some(Duration::from_millis(3));
    const LATE: Option<Duration> = Some(Duration::from_secs(11));

    fn policy() -> RestartPolicy {
        RestartPolicy::new(Budget::Unlimited, Some(Backoff::default()))
    }

    fn pauses(policy: &mut RestartPolicy, count: usize) -> Vec<u128> {
        (0..count).map(|_| policy.pause(false, SOON, 0.5).as_millis()).collect()
    }

    #[test]
    fn quick_failures_pause_ever_longer_up_to_the_maximum() {
        assert_eq!(pauses(&mut policy(), 10), [0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    }

    #[test]
    fn a_long_run_resets_the_pause() {
        let mut policy = policy();
        pauses(&mut policy, 5);
        assert_eq!(policy.pause(false, LATE, 0.5), Duration::ZERO);
        assert_eq!(pauses(&mut policy, 2), [0, 100]);
    }

    #[test]
    fn a_success_resets_the_pause() {
        let mut policy = policy();
        pauses(&mut policy, 5);
        assert_eq!(policy.pause(true, Some(Duration::from_secs(1)), 0.5), Duration::ZERO);
        assert_eq!(pauses(&mut policy, 2), [0, 100]);
    }

    #[test]
    fn success_at_once_restarts_at_most_every_hundred_milliseconds() {
        assert_eq!(policy().pause(true, SOON, 0.5), Duration::from_millis(97));
    }

    #[test]
    fn the_jitter_is_ten_percent_either_way() {
        let at = |random| {
            let mut policy = policy();
            policy.pause(false, SOON, 0.5);
            policy.pause(false, SOON, random).as_millis()
        };
        assert_eq!((at(0.0), at(1.0)), (90, 110));
    }

    #[test]
    fn without_back_off_nothing_is_ever_paused() {
        let mut policy = RestartPolicy::new(Budget::Unlimited, None);
        assert_eq!(pauses(&mut policy, 3), [0, 0, 0]);
        assert_eq!(policy.pause(true, SOON, 0.5), Duration::ZERO);
    }

    #[test]
    fn what_cannot_be_started_pauses_in_any_case() {
        let mut policy = RestartPolicy::new(Budget::Unlimited, None);
        let pauses: Vec<u128> = (0..3).map(|_| policy.pause(false, None, 0.5).as_millis()).collect();
        assert_eq!(pauses, [0, 100, 200]);
    }

    #[test]
    fn absurd_factors_stay_within_the_maximum() {
        let backoff = Backoff { factor: 1e300, ..Backoff::default() };
        let mut policy = RestartPolicy::new(Budget::Unlimited, Some(backoff));
        assert_eq!(pauses(&mut policy, 5).last(), Some(&10_000));
    }

    #[test]
    fn a_budget_is_spent_once_each() {
        let mut policy = RestartPolicy::new(Budget::Limited(2), None);
        assert_eq!([policy.spend(), policy.spend(), policy.spend()], [true, true, false]);
        assert!(!policy.any_left());
    }

    #[test]
    fn a_renewed_budget_is_whole() {
        let mut policy = RestartPolicy::new(Budget::Limited(1), None);
        assert_eq!([policy.spend(), policy.spend()], [true, false]);
        policy.renew();
        assert_eq!([policy.spend(), policy.spend()], [true, false]);
    }
}
