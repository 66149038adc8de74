//! How what is left of a run ends, once its leader has (life-cycle section 1).
//!
//! The *leader* is the process that was spawned, the *remainder* what its process group still holds after it. *Escapees* are
//! descendants of the leader in other groups, remembered from the moment of the stop's TERM; they matter only in a stop.
//!
//! - `Kept`: the leader has ended, and its remainder may go on. Entered at the leader's end, left by `end`, or when nothing is left.
//! - `Ending`: the processes of the group have had their one TERM, and have until `kill_at`. Those that one of them has started since,
//!   a helper of its clean end, have theirs when they are alone. Entered by `end`, left when the group is empty, or by a KILL at
//!   `kill_at`.
//! - `EndingEscapees`: the group is empty, the escapees have had their TERM, and have until `kill_at`.
//! - `Killed`: the KILL is out, and is repeated at each look, because a process may fork while it is killed. Whatever is left at
//!   `give_up_at` (in an uninterruptible sleep, or another user's) counts as gone.
//! - `Gone`: nothing is left. Final.
//!
//! The same machine ends what is left below us at the end of everything: there the group is every descendant.
//!
//! Not here: whether a remainder may go on, which `policy::job` knows, and how processes are found and signalled.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// What a leader's end, or a TERM of an escapee, leaves at least for a clean end.
const AT_LEAST: Duration = Duration::from_secs(1);
/// How long a process may take to be gone after its KILL.
pub const GIVE_UP: Duration = Duration::from_secs(1);

/// A process, by its pid and the time of its start: a pid alone may be another process by the next look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// When it started, in the kernel's ticks since the system did.
    pub started: u64,
}

/// What a look finds alive; zombies do not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Members of the process group.
    pub group: Vec<Process>,
    /// Remembered descendants in other groups.
    pub escapees: Vec<Process>,
}

impl Left {
    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.group.is_empty() && self.escapees.is_empty()
    }
}

/// How much time a stop grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grace {
    /// From TERM to KILL.
    Term(Duration),
    /// A KILL at once (`stopTimeout: -1`).
    KillAtOnce,
}

/// What the reaper has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// TERM to these, and CONT: a stopped process has to act on it.
    Terminate(Vec<Process>),
    /// KILL to these.
    Kill(Vec<Process>),
    /// Nothing is left, or what is left counts as gone.
    Gone {
        /// Those that their KILL has not ended.
        survivors: Vec<Process>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Kept,
    Ending { kill_at: Instant },
    EndingEscapees { kill_at: Instant },
    Killed { give_up_at: Instant },
    Gone,
}

/// What is left of one run.
#[derive(Debug)]
pub struct Remainder {
    phase: Phase,
    /// When the TERM that began the stop was sent, if there was one before the leader's end.
    asked_at: Option<Instant>,
    leader_ended_at: Instant,
    /// Those that have had a TERM in this stop.
    reached: BTreeSet<Process>,
    /// Those that a process which has had its TERM, and lives, has started since: they may be what its clean end needs.
    helpers: BTreeSet<Process>,
    escapees_asked: bool,
    /// Those that have survived their KILL.
    given_up: BTreeSet<Process>,
}

impl Remainder {
    /// The leader has ended. `asked`: when the stop's TERM was sent before that, and whom it reached.
    pub fn new(asked: Option<(Instant, BTreeSet<Process>)>, now: Instant) -> Self {
        let (asked_at, reached) = asked.unzip();
        let reached = reached.unwrap_or_default();
        Self {
            phase: Phase::Kept,
            asked_at,
            leader_ended_at: now,
            reached,
            helpers: BTreeSet::new(),
            escapees_asked: false,
            given_up: BTreeSet::new(),
        }
    }

    /// These were started by processes that the stop's TERM has reached, and that still live: they are asked when they are alone.
    pub fn helped_by(&mut self, helpers: BTreeSet<Process>) {
        self.helpers = helpers;
    }

    /// Whether it has a deadline, so that it has to be looked at until it is gone.
    pub fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Ending { .. } | Phase::EndingEscapees { .. } | Phase::Killed { .. })
    }

    /// The group as a whole has had a KILL, which its members may not have died of yet.
    pub fn killed(&mut self, now: Instant) {
        self.phase = Phase::Killed { give_up_at: now + GIVE_UP };
    }

    /// The remainder is to end. Nothing changes for one that does already.
    pub fn end(&mut self, grace: Grace, left: &Left, now: Instant) -> Vec<Action> {
        let grace = match grace {
            Grace::Term(grace) => grace,
            Grace::KillAtOnce => return self.kill(left, now),
        };
        let kill_at = (self.asked_at.unwrap_or(now) + grace).max(self.leader_ended_at + AT_LEAST);
        self.end_by(kill_at, left, now)
    }

    /// The same, with the deadline itself.
    pub fn end_by(&mut self, kill_at: Instant, left: &Left, now: Instant) -> Vec<Action> {
        match self.phase {
            Phase::Kept if left.is_empty() => self.gone(),
            Phase::Kept => {
                self.phase = Phase::Ending { kill_at };
                let asked: Vec<Process> =
                    left.group.iter().copied().filter(|process| !self.helpers.contains(process)).collect();
                let mut actions = self.terminate(&asked);
                actions.extend(self.looked(left, now));
                actions
            }
            Phase::Ending { .. } | Phase::EndingEscapees { .. } | Phase::Killed { .. } | Phase::Gone => Vec::new(),
        }
    }

    /// A KILL is due now, whatever the deadline.
    pub fn kill(&mut self, left: &Left, now: Instant) -> Vec<Action> {
        match self.phase {
            Phase::Kept | Phase::Ending { .. } | Phase::EndingEscapees { .. } if left.is_empty() => self.gone(),
            Phase::Kept | Phase::Ending { .. } | Phase::EndingEscapees { .. } => {
                self.escapees_asked = true;
                self.kill_now(left, now)
            }
            Phase::Killed { .. } | Phase::Gone => Vec::new(),
        }
    }

    /// What a look has found.
    pub fn looked(&mut self, left: &Left, now: Instant) -> Vec<Action> {
        let left = &self.without_given_up(left);
        match self.phase {
            Phase::Gone => Vec::new(),
            Phase::Kept | Phase::Ending { .. } | Phase::EndingEscapees { .. } | Phase::Killed { .. }
                if left.is_empty() =>
            {
                self.gone()
            }
            Phase::Kept => Vec::new(),
            Phase::Ending { kill_at } => self.ending(kill_at, left, now),
            Phase::EndingEscapees { kill_at } if now < kill_at => Vec::new(),
            Phase::EndingEscapees { .. } => self.kill_now(left, now),
            Phase::Killed { give_up_at } if now >= give_up_at => {
                self.given_up.extend(self.targets(left));
                if self.escapees_asked || left.escapees.is_empty() {
                    return self.gone();
                }
                self.end_escapees(left, now, now)
            }
            Phase::Killed { .. } if left.group.is_empty() && !self.escapees_asked => self.end_escapees(left, now, now),
            Phase::Killed { .. } => vec![Action::Kill(self.targets(left))],
        }
    }

    fn ending(&mut self, kill_at: Instant, left: &Left, now: Instant) -> Vec<Action> {
        if left.group.is_empty() {
            return self.end_escapees(left, kill_at, now);
        }
        if now >= kill_at {
            return self.kill_now(left, now);
        }
        // Those that had a TERM may have started others to end cleanly, which go on until they are alone.
        if left.group.iter().any(|process| self.reached.contains(process)) {
            return Vec::new();
        }
        self.terminate(&left.group)
    }

    fn end_escapees(&mut self, left: &Left, kill_at: Instant, now: Instant) -> Vec<Action> {
        self.phase = Phase::EndingEscapees { kill_at: kill_at.max(now + AT_LEAST) };
        self.escapees_asked = true;
        self.terminate(&left.escapees)
    }

    /// A TERM to those of them that have had none.
    fn terminate(&mut self, processes: &[Process]) -> Vec<Action> {
        let fresh: Vec<Process> = processes.iter().copied().filter(|process| self.reached.insert(*process)).collect();
        if fresh.is_empty() { Vec::new() } else { vec![Action::Terminate(fresh)] }
    }

    fn kill_now(&mut self, left: &Left, now: Instant) -> Vec<Action> {
        self.phase = Phase::Killed { give_up_at: now + GIVE_UP };
        vec![Action::Kill(self.targets(left))]
    }

    /// Those that a KILL is for: escapees only after their TERM.
    fn targets(&self, left: &Left) -> Vec<Process> {
        let escapees = left.escapees.iter().filter(|_| self.escapees_asked);
        left.group.iter().chain(escapees).copied().collect()
    }

    fn without_given_up(&self, left: &Left) -> Left {
        let still = |processes: &[Process]| {
            processes.iter().copied().filter(|process| !self.given_up.contains(process)).collect()
        };
        Left { group: still(&left.group), escapees: still(&left.escapees) }
    }

    fn gone(&mut self) -> Vec<Action> {
        self.phase = Phase::Gone;
        vec![Action::Gone { survivors: self.given_up.iter().copied().collect() }]
    }
}

#[cfg(test)]
mod tests;
