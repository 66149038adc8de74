//! When a health check runs, and when it has taken too long (job-semantics section 5).
//!
//! ```text
//! Off --begin--> On(no run) --beat--> On(run) --ended--> On(no run)
//!  ^----pause----+      (a beat during a run is dropped: checks never pile up)
//!  any --end--> Over
//! ```
//!
//! Not here: what a result means to the job; that is `policy::job`.

use std::time::{Duration, Instant};

use crate::event::{EventCode, RunEnd, RunId};
use crate::policy::job::{CheckControl, Checked};
use crate::spec::HealthSpec;

/// How long the last words of a failed run are waited for: they come by way of the pump, which a slow reader may hold up.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// A timer of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timer {
    /// `health.interval`
    Beat,
    /// `health.timeout` of a run.
    Run(RunId),
    /// The wait for the last words of a run that failed.
    LastWords(RunId),
}

/// What the actor has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Run the command.
    Spawn(RunId),
    /// TERM to the process group.
    Terminate(RunId),
    /// KILL to the process group, and a warning that the check took too long.
    TimedOut(RunId),
    /// Emit the exit events of the check.
    Publish(RunEnd),
    /// Tell the job.
    Tell(Checked),
    /// Wake up after this time.
    Arm(Timer, Duration),
    /// Never mind.
    Disarm(Timer),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Off,
    On,
    Over,
}

/// The life of one health check.
#[derive(Debug)]
pub struct CheckPolicy {
    has_exec: bool,
    interval: Duration,
    timeout: Option<Duration>,
    phase: Phase,
    /// Whether the job has ever started.
    begun: bool,
    maintenance: bool,
    running: Option<RunId>,
    /// Whether a failure is told with the last words of its run.
    tells_last_words: bool,
    /// Of a run whose end has not come yet.
    heard: Option<(RunId, String)>,
    /// A failure whose last words have not come yet, and what is told if they never do.
    unheard: Option<(RunId, String)>,
    timed_out: Option<RunId>,
    last_run: RunId,
    last_passed: Option<bool>,
    next_beat: Option<Instant>,
}

impl CheckPolicy {
    /// A check of a job that has not started.
    pub fn new(spec: &HealthSpec, maintenance: bool) -> Self {
        Self {
            has_exec: spec.exec.is_some(),
            interval: spec.interval,
            timeout: spec.timeout,
            phase: Phase::Off,
            begun: false,
            maintenance,
            running: None,
            tells_last_words: spec.failures.is_some() && !spec.output.raw,
            heard: None,
            unheard: None,
            timed_out: None,
            last_run: RunId(0),
            last_passed: None,
            next_beat: None,
        }
    }

    /// Everything starts: beats are counted from here, not from the start of the job (3.8).
    pub fn startup(&mut self, now: Instant) -> Vec<Action> {
        self.next_beat = Some(now + self.interval);
        vec![Action::Arm(Timer::Beat, self.interval)]
    }

    /// The job says what to do.
    pub fn control(&mut self, control: CheckControl) -> Vec<Action> {
        match control {
            CheckControl::Begin => self.begun = true,
            CheckControl::Pause => self.maintenance = true,
            CheckControl::Resume => self.maintenance = false,
            CheckControl::End => {
                self.phase = Phase::Over;
                let mut actions = vec![Action::Disarm(Timer::Beat)];
                actions.extend(self.running.map(Action::Terminate));
                return actions;
            }
        }
        self.phase = match self.phase {
            Phase::Off | Phase::On if self.begun && !self.maintenance => Phase::On,
            Phase::Off | Phase::On => Phase::Off,
            Phase::Over => Phase::Over,
        };
        Vec::new()
    }

    /// A timer went off, perhaps one that no longer matters.
    pub fn elapsed(&mut self, timer: Timer, now: Instant) -> Vec<Action> {
        match timer {
            Timer::Beat => self.beat(now),
            // One that outlives its job is killed in silence, by the deadline of its TERM.
            Timer::Run(run) if self.running == Some(run) && self.phase != Phase::Over => {
                self.timed_out = Some(run);
                vec![Action::TimedOut(run)]
            }
            Timer::Run(_) => Vec::new(),
            Timer::LastWords(run) => self.hear(run, ""),
        }
    }

    fn beat(&mut self, now: Instant) -> Vec<Action> {
        let Some(due) = self.next_beat else { return Vec::new() };
        let checks = match self.phase {
            Phase::On => self.check(),
            Phase::Off => Vec::new(),
            Phase::Over => return Vec::new(),
        };
        let mut next = due + self.interval;
        if next <= now {
            next = now + self.interval;
        }
        self.next_beat = Some(next);
        let mut actions = vec![Action::Arm(Timer::Beat, next.saturating_duration_since(now))];
        actions.extend(checks);
        actions
    }

    fn check(&mut self) -> Vec<Action> {
        if !self.has_exec {
            return vec![Action::Tell(Checked::Assumed)];
        }
        if self.running.is_some() {
            return Vec::new();
        }
        let run = RunId(self.last_run.0 + 1);
        self.last_run = run;
        self.running = Some(run);
        self.heard = None;
        let mut actions = vec![Action::Spawn(run)];
        actions.extend(self.timeout.map(|timeout| Action::Arm(Timer::Run(run), timeout)));
        actions
    }

    /// The last that a run wrote, shortly before its end is told or after.
    pub fn said(&mut self, run: RunId, words: String) -> Vec<Action> {
        if self.running == Some(run) {
            self.heard = Some((run, words));
            return Vec::new();
        }
        let mut actions = self.hear(run, &words);
        if !actions.is_empty() {
            actions.push(Action::Disarm(Timer::LastWords(run)));
        }
        actions
    }

    /// Tells of a failure, once.
    fn hear(&mut self, run: RunId, words: &str) -> Vec<Action> {
        let Some((_, reason)) = self.unheard.take_if(|(of, _)| *of == run) else { return Vec::new() };
        match self.phase {
            Phase::On if words.is_empty() => vec![Action::Tell(Checked::Failed(reason))],
            Phase::On => vec![Action::Tell(Checked::Failed(words.to_owned()))],
            Phase::Off | Phase::Over => Vec::new(),
        }
    }

    /// Whether an event of this check is a fact that stands: no run is at work, and the last one ended so.
    pub fn is_fact(&self, code: EventCode) -> bool {
        let passed = self.last_passed.filter(|_| self.running.is_none());
        (code == EventCode::ExitSuccess && passed == Some(true))
            || (code == EventCode::ExitFailed && passed == Some(false))
    }

    /// A run of the check ended.
    pub fn ended(&mut self, run: RunId, end: RunEnd) -> Vec<Action> {
        if self.running != Some(run) {
            return Vec::new();
        }
        self.running = None;
        self.last_passed = Some(end.is_success());
        let mut actions = Vec::new();
        if self.phase != Phase::Over {
            actions.push(Action::Publish(end.clone()));
        }
        if self.timeout.is_some() {
            actions.push(Action::Disarm(Timer::Run(run)));
        }
        match self.phase {
            Phase::On if end.is_success() => actions.push(Action::Tell(Checked::Passed)),
            Phase::On => {
                let late = self.timed_out == Some(run);
                let reason = if late { format!("no answer in time: {end}") } else { end.to_string() };
                let heard = self.heard.take_if(|(of, _)| *of == run).map(|(_, words)| words);
                self.unheard = Some((run, reason));
                match heard {
                    Some(words) => actions.extend(self.hear(run, &words)),
                    None if self.tells_last_words => actions.push(Action::Arm(Timer::LastWords(run), LAST_WORDS)),
                    None => actions.extend(self.hear(run, "")),
                }
            }
            // Maintenance and a stopping job do not want to know.
            Phase::Off | Phase::Over => {}
        }
        actions
    }
}

#[cfg(test)]
mod tests;
