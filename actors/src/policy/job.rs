//! When a job starts, restarts, times out and stops (job-semantics sections 2 to 7).
//!
//! ```text
//! Waiting --start event--> Running --exit--> Running   (restart at once, or next in line)
//!    |                        |      exit--> Pausing --pause over--> Running
//!    |                        |      exit--> Idle --start event, beat--> Running
//!    |                        |      exit, nothing left-+
//!    +--gave up, shutdown-----+--shutdown, stop---------+--> Stopping --watchers done--> Ending --exit--> Stopped
//!                                                              (no process: Stopping --watchers done--> Stopped)
//! ```
//!
//! What a run leaves in its process group ends before the next run begins and before the job has stopped: a run that is due waits
//! in `Pausing`, a stop in `Clearing`, until `gone`. A daemon, or processes that still write to the log of a job that is complete,
//! may go on until a stop, an order or the end of everything.
//!
//! Not here: who is told to shut down when (`policy::shutdown`), and when a check runs (`policy::health`).

use std::time::{Duration, Instant};

use crate::event::{Event, EventCode, JobName, RunEnd, RunId, Source};
use crate::policy::restart::RestartPolicy;
use crate::policy::waits;
use crate::spec::{JobSpec, StartRule};

/// How long a killed process may take to be gone before we stop waiting for it: one in an uninterruptible sleep may never be.
const ABANDON: Duration = crate::policy::remainder::GIVE_UP;
/// The status of a run that a SIGKILL has ended: nothing that it leaves behind is meant to go on.
const KILLED: u8 = 128 + 9;

/// What a job's policy knows of the other jobs and of the process as a whole.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The other jobs whose start event is this one's `stopping` or `terminating`.
    pub watchers: Vec<Watcher>,
    /// Whether another job starts at this one's `ended`.
    pub has_successors: bool,
    /// W: from TERM to KILL, and the time that jobs at the stop of others have.
    pub window: Duration,
    /// Whether there is no TERM, but a KILL at once.
    pub kills_at_once: bool,
    /// How long a run that is started in a shutdown may take; none for as long as it wants.
    pub closing_window: Option<Duration>,
    /// Whether the process is in maintenance.
    pub maintenance: bool,
}

/// A job that starts at another one's `stopping` or `terminating`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watcher {
    /// Its name.
    pub name: JobName,
    /// Whether it is `terminating`: then the other one must have been asked to stop, and waits without a limit of its own.
    pub terminating: bool,
    /// Whether it starts at `each`: then the end of its run is the end of the wait.
    pub each: bool,
}

/// A timer of a job. Those of a run carry its id, so that a late one is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timer {
    /// `when.timeout`
    Wait,
    /// `timeout` of a run.
    Run(RunId),
    /// The time that a job at another one's stop has in a shutdown.
    Window(RunId),
    /// The pause after a run.
    Restart(RunId),
    /// `when.interval`
    Beat,
    /// `stopTimeout` of the job: the wait for its watchers.
    StopWait,
    /// From TERM to KILL.
    Kill(RunId),
    /// From KILL to no longer waiting.
    Abandon(RunId),
}

/// What the health check of a job shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckControl {
    /// The job has started: check it.
    Begin,
    /// Maintenance: no checks.
    Pause,
    /// Maintenance is over.
    Resume,
    /// The job stops.
    End,
}

/// What one health check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// Its command succeeded.
    Passed,
    /// Its command failed, timed out or could not be started; in words.
    Failed(String),
    /// There is no command, so the service is well.
    Assumed,
}

/// What the catalog has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// A check passed.
    Passed,
    /// A check failed. `critical` is set at the N-th failure in a row with `health.failures: N`.
    Failed {
        /// Whether to say so at once.
        critical: bool,
        /// Why.
        reason: String,
    },
    /// The job stops: take its service out.
    Withdraw,
}

/// How a job ended, for the exit status of the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Completion {
    /// The status of its last run, if it ever ran.
    pub code: Option<u8>,
    /// Whether it ended by itself rather than by being stopped.
    pub by_itself: bool,
    /// Whether it has given up its wait.
    pub gave_up: bool,
    /// What it leaves behind.
    pub leaves: Leaves,
}

/// What a job that has stopped leaves behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leaves {
    /// Nothing, or nothing that matters.
    #[default]
    Nothing,
    /// Daemons: they end with everything, an order, or a reload that concerns the job.
    Daemons,
    /// Processes that still write to its log. As long as they do, it is not over for the end of everything.
    Writers,
}

/// What the actor has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start a process.
    Spawn(RunId),
    /// TERM to the process group.
    Terminate(RunId),
    /// KILL to the process group, and a warning that the run took too long.
    TimedOut(RunId),
    /// Its grace is over, and a KILL follows: that deserves a warning.
    Overdue,
    /// KILL to the process group.
    Kill(RunId),
    /// The process has survived its KILL, and is no longer waited for.
    Abandon(RunId),
    /// What the run has left behind ends. With the flag: by a KILL.
    EndRemainder(RunId, bool),
    /// What the run has left behind goes on, and that deserves a warning.
    KeepWriters,
    /// What was left behind is gone, after the job has stopped.
    Released,
    /// It waits for what can no longer happen.
    Block(String),
    /// It has waited long enough.
    GiveUp,
    /// Emit an event of this job.
    Publish(EventCode),
    /// Tell why a run failed: a log record and an `Error` event.
    Fail(RunEnd),
    /// Wake up after this time.
    Arm(Timer, Duration),
    /// Never mind.
    Disarm(Timer),
    /// Tell the health check.
    Check(CheckControl),
    /// Tell the catalog.
    Tell(Report),
    /// In a shutdown: this job waits for the stop of another.
    StandBy,
    /// The job has stopped for good.
    Complete(Completion),
}

/// What a job does at present, for status reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Never started.
    Waiting,
    /// A process runs.
    Running(RunId),
    /// Between two runs, until its pause is over.
    Pausing,
    /// No process, but it may start again.
    Idle,
    /// `stopping` is out, the process may still run.
    Stopping,
    /// TERM is out, or what the last run has left behind still ends.
    Ending,
    /// Over.
    Stopped,
    /// It waits for what can no longer happen.
    Blocked,
    /// It waits for something bad that can no longer happen.
    NotNeeded,
    /// Over: it has waited long enough.
    GaveUp,
}

/// What is known of a job's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// The job never started.
    Idle,
    /// Not checked since it started.
    Unknown,
    /// The last check passed.
    Healthy,
    /// The last check failed.
    Unhealthy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waiting,
    Running(RunId),
    Pausing(RunId),
    Idle,
    Stopping(Option<RunId>),
    Ending(RunId),
    /// The process has ended, what it left behind has not.
    Clearing,
    Stopped,
}

/// What the last run has left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remains {
    Nothing,
    /// It ends, and is waited for.
    Ending(RunId),
    /// Daemons that may go on.
    Daemons(RunId),
    /// Processes of a complete job that still write to its log.
    Writers(RunId),
}

impl Remains {
    fn run(self) -> Option<RunId> {
        match self {
            Self::Nothing => None,
            Self::Ending(run) | Self::Daemons(run) | Self::Writers(run) => Some(run),
        }
    }
}

/// What is known of the event that a waiting job waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prospect {
    /// It may come.
    Open,
    /// It can no longer come, and the job is worth nothing without it.
    Blocked,
    /// It can no longer come, and that is well.
    NotNeeded,
}

/// The life of one job.
#[derive(Debug)]
pub struct JobPolicy {
    has_exec: bool,
    start: StartRule,
    merges: bool,
    delay: Option<Duration>,
    pauses: bool,
    wait_timeout: Option<Duration>,
    timeout: Option<Duration>,
    stop_timeout: Option<Duration>,
    critical_after: Option<u32>,
    window: Duration,
    kills_at_once: bool,
    closing_window: Option<Duration>,
    phase: Phase,
    restarts: RestartPolicy,
    /// Watchers of `stopping` that may still run.
    watchers: Vec<Watcher>,
    has_successors: bool,
    /// Start events that came during a run.
    in_line: u64,
    /// A start event that came in maintenance.
    held: bool,
    /// All that runs goes on, but nothing new begins.
    lingering: bool,
    beat_due: bool,
    next_beat: Option<Instant>,
    last_run: RunId,
    last_began: Option<Instant>,
    last_code: Option<u8>,
    by_itself: bool,
    closing: bool,
    /// Told to stop while everything else goes on.
    told: bool,
    maintenance: bool,
    health: Health,
    failures_in_a_row: u32,
    keeps_daemons: bool,
    init: bool,
    remains: Remains,
    /// What a run has left whose end is just being told; whether it holds the job's pipes.
    left: Option<(RunId, bool)>,
    /// A run that begins when nothing is left of the last one.
    due: bool,
    prospect: Prospect,
    gave_up: bool,
    /// The next run follows an end of the job's own.
    restarting: bool,
    /// How many such runs there were.
    restarted: u64,
}

impl JobPolicy {
    /// A job that has not started.
    pub fn new(spec: &JobSpec, around: Surroundings) -> Self {
        Self {
            has_exec: spec.exec.is_some(),
            start: spec.start.clone(),
            merges: spec.merges,
            delay: spec.delay,
            pauses: spec.pauses,
            wait_timeout: spec.wait_timeout,
            timeout: spec.timeout,
            stop_timeout: spec.stop_timeout,
            critical_after: spec.health.as_ref().and_then(|health| health.failures),
            window: around.window,
            kills_at_once: around.kills_at_once,
            closing_window: around.closing_window,
            phase: Phase::Waiting,
            restarts: RestartPolicy::new(spec.restarts, spec.backoff),
            watchers: around.watchers,
            has_successors: around.has_successors,
            in_line: 0,
            held: false,
            lingering: false,
            beat_due: false,
            next_beat: None,
            last_run: RunId(0),
            last_began: None,
            last_code: None,
            by_itself: false,
            closing: false,
            told: false,
            maintenance: around.maintenance,
            health: Health::Idle,
            failures_in_a_row: 0,
            keeps_daemons: spec.keeps_daemons,
            init: spec.init,
            remains: Remains::Nothing,
            left: None,
            due: false,
            prospect: Prospect::Open,
            gave_up: false,
            restarting: false,
            restarted: 0,
        }
    }

    /// The job has stopped before this actor's time: all that is left to it is to know how.
    pub fn has_stopped(&mut self, completion: Completion) {
        let Completion { code, by_itself, gave_up, leaves: _ } = completion;
        self.phase = Phase::Stopped;
        self.last_code = code;
        self.by_itself = by_itself;
        self.gave_up = gave_up;
        self.last_run = RunId(code.is_some().into());
        self.health = if self.has_begun() { Health::Unknown } else { Health::Idle };
    }

    /// Whether a run has ever begun.
    pub fn has_begun(&self) -> bool {
        self.last_run > RunId(0)
    }

    /// The events that a job must be told of: no other ever concerns it.
    pub fn interests_of(spec: &JobSpec, watchers: &[Watcher]) -> Vec<Event> {
        let mut events = Vec::new();
        match &spec.start {
            StartRule::Once(event) | StartRule::Each(event) => events.push(event.clone()),
            StartRule::Interval(_) => events.push(Event::STARTUP),
            StartRule::Never => {}
        }
        if spec.wait_timeout.is_some() {
            events.push(Event::STARTUP);
        }
        for watcher in watchers {
            events.push(Event::job(EventCode::Stopped, &watcher.name));
            if watcher.each {
                events.push(Event::job(EventCode::ExitSuccess, &watcher.name));
                events.push(Event::job(EventCode::ExitFailed, &watcher.name));
            }
        }
        events.extend([Event::ENTER_MAINTENANCE, Event::EXIT_MAINTENANCE]);
        events.sort();
        events.dedup();
        events
    }

    /// What it does at present.
    pub fn state(&self) -> State {
        match self.phase {
            Phase::Waiting => match self.prospect {
                Prospect::Open => State::Waiting,
                Prospect::Blocked => State::Blocked,
                Prospect::NotNeeded => State::NotNeeded,
            },
            Phase::Running(run) => State::Running(run),
            Phase::Pausing(_) => State::Pausing,
            Phase::Idle => State::Idle,
            Phase::Stopping(_) => State::Stopping,
            Phase::Ending(_) | Phase::Clearing => State::Ending,
            Phase::Stopped if self.gave_up => State::GaveUp,
            Phase::Stopped => State::Stopped,
        }
    }

    /// How often it was restarted after an end of its own.
    pub fn restarted(&self) -> u64 {
        self.restarted
    }

    /// How many health checks in a row have failed.
    pub fn failures_in_a_row(&self) -> u32 {
        self.failures_in_a_row
    }

    /// What is known of its health.
    pub fn health(&self) -> Health {
        self.health
    }

    /// What a new health check has to be told, having missed everything.
    pub fn check_control(&self) -> Option<CheckControl> {
        match self.phase {
            Phase::Waiting => None,
            Phase::Running(_) | Phase::Pausing(_) | Phase::Idle => Some(CheckControl::Begin),
            Phase::Stopping(_) | Phase::Ending(_) | Phase::Clearing | Phase::Stopped => Some(CheckControl::End),
        }
    }

    /// What a new catalog has to be told, which knows nothing of the last check: the next one may be far away.
    pub fn last_report(&self) -> Option<Report> {
        match self.health {
            Health::Healthy if !self.maintenance => Some(Report::Passed),
            Health::Idle | Health::Unknown | Health::Healthy | Health::Unhealthy => None,
        }
    }

    /// Something happened, to whomever.
    pub fn event(&mut self, event: &Event, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        if *event == Event::STARTUP {
            actions.extend(self.startup(now));
        }
        let starts = match &self.start {
            StartRule::Once(start) | StartRule::Each(start) => start == event,
            StartRule::Interval(_) => *event == Event::STARTUP && self.delay.is_none(),
            StartRule::Never => false,
        };
        if starts {
            actions.extend(self.start_event(now));
        }
        if *event == Event::ENTER_MAINTENANCE {
            self.maintenance = true;
            if self.pauses {
                self.held = std::mem::take(&mut self.in_line) > 0;
                self.beat_due = false;
            }
            actions.push(Action::Check(CheckControl::Pause));
        } else if *event == Event::EXIT_MAINTENANCE {
            self.maintenance = false;
            self.health = if self.last_run == RunId(0) { Health::Idle } else { Health::Unknown };
            self.failures_in_a_row = 0;
            actions.push(Action::Check(CheckControl::Resume));
            if std::mem::take(&mut self.held) {
                actions.extend(self.start_event(now));
            }
        } else if let Source::Job(name) = &event.source {
            actions.extend(self.watcher_event(event.code, name));
        }
        actions
    }

    fn startup(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        if let (Some(wait), Phase::Waiting) = (self.wait_timeout, self.phase) {
            actions.push(Action::Arm(Timer::Wait, wait));
        }
        if let StartRule::Interval(interval) = self.start {
            let first = self.delay.unwrap_or(interval);
            self.next_beat = Some(now + first);
            actions.push(Action::Arm(Timer::Beat, first));
        }
        actions
    }

    fn start_event(&mut self, now: Instant) -> Vec<Action> {
        if self.rests() {
            self.held = !self.lingering;
            return Vec::new();
        }
        let unlimited = matches!(self.start, StartRule::Each(_));
        match self.phase {
            Phase::Waiting => self.begin(now),
            Phase::Idle if unlimited => self.begin(now),
            Phase::Running(_) | Phase::Pausing(_) => {
                if unlimited && !self.closing {
                    self.in_line = if self.merges { 1 } else { self.in_line.saturating_add(1) };
                }
                Vec::new()
            }
            Phase::Idle | Phase::Stopping(_) | Phase::Ending(_) | Phase::Clearing | Phase::Stopped => Vec::new(),
        }
    }

    /// Whether nothing begins at present, whatever happens.
    fn rests(&self) -> bool {
        self.lingering || (self.pauses && self.maintenance)
    }

    /// A watcher of our stop has done what it had to, or will never do it.
    fn watcher_event(&mut self, code: EventCode, name: &JobName) -> Vec<Action> {
        let over = |watcher: &Watcher, closing: bool, waiting: bool| {
            watcher.name == *name && (code == EventCode::Stopped || (watcher.each && waiting && !closing))
        };
        let waiting = matches!(self.phase, Phase::Stopping(_));
        let before = self.watchers.len();
        let closing = self.closing;
        self.watchers.retain(|watcher| !over(watcher, closing, waiting));
        if waiting && before > 0 && self.watchers.is_empty() { self.end() } else { Vec::new() }
    }

    /// A run begins, once nothing is left of the one before.
    fn begin(&mut self, now: Instant) -> Vec<Action> {
        if self.remains != Remains::Nothing {
            self.due = true;
            self.phase = Phase::Pausing(self.last_run);
            return self.end_remains();
        }
        let mut actions = Vec::new();
        self.due = false;
        self.restarted += u64::from(std::mem::take(&mut self.restarting));
        let first = self.last_run == RunId(0);
        if first && self.wait_timeout.is_some() {
            actions.push(Action::Disarm(Timer::Wait));
        }
        let run = RunId(self.last_run.0 + 1);
        self.last_run = run;
        self.last_began = Some(now);
        self.health = Health::Unknown;
        if self.has_exec {
            self.phase = Phase::Running(run);
            actions.push(Action::Spawn(run));
            actions.extend(self.timeout.map(|timeout| Action::Arm(Timer::Run(run), timeout)));
            let window = self.closing_window.filter(|_| self.closing);
            actions.extend(window.map(|window| Action::Arm(Timer::Window(run), window)));
        } else {
            self.phase = Phase::Idle;
        }
        if first {
            actions.push(Action::Check(CheckControl::Begin));
        }
        actions
    }

    /// A run of this job ended. `random` is in 0.0..1.0.
    pub fn ended(&mut self, run: RunId, end: RunEnd, now: Instant, random: f64) -> Vec<Action> {
        let success = end.is_success();
        if matches!(end, RunEnd::NotStarted { .. }) {
            self.last_began = None;
        }
        let left = self.left.take_if(|(of, _)| *of == run);
        let by_itself = matches!(self.phase, Phase::Running(_)) && end.code() != KILLED;
        let next: fn(&mut Self, bool, Instant, f64) -> Vec<Action> = match self.phase {
            Phase::Running(current) if current == run => {
                self.phase = Phase::Idle;
                Self::after_run
            }
            Phase::Stopping(Some(current)) if current == run => |policy, _, _, _| {
                policy.phase = Phase::Stopping(None);
                Vec::new()
            },
            Phase::Ending(current) if current == run => |policy, _, _, _| policy.clear(),
            // A run that we gave up on has ended at last.
            Phase::Waiting
            | Phase::Running(_)
            | Phase::Pausing(_)
            | Phase::Idle
            | Phase::Stopping(_)
            | Phase::Ending(_)
            | Phase::Clearing
            | Phase::Stopped => return left.map(|_| Action::EndRemainder(run, false)).into_iter().collect(),
        };
        self.last_code = Some(end.code());
        let mut actions = Vec::new();
        if let Some((_, writes)) = left {
            self.remains = self.remains_of(run, by_itself, success, writes);
            match self.remains {
                Remains::Ending(run) => actions.push(Action::EndRemainder(run, self.kills_at_once)),
                Remains::Writers(_) => actions.push(Action::KeepWriters),
                Remains::Daemons(_) | Remains::Nothing => {}
            }
        }
        if self.timeout.is_some() {
            actions.push(Action::Disarm(Timer::Run(run)));
        }
        if success {
            actions.push(Action::Publish(EventCode::ExitSuccess));
        } else {
            actions.push(Action::Publish(EventCode::ExitFailed));
            actions.push(Action::Fail(end));
        }
        actions.extend(next(self, success, now, random));
        actions
    }

    /// The process of a run has ended and leaves others behind; its end follows. `writes`: they hold the job's stdout or stderr.
    pub fn remains(&mut self, run: RunId, writes: bool) {
        self.left = Some((run, writes));
    }

    /// What becomes of those that the process of a run has left behind.
    fn remains_of(&self, run: RunId, by_itself: bool, success: bool, writes: bool) -> Remains {
        if by_itself && (self.keeps_daemons || (self.init && success)) {
            return Remains::Daemons(run);
        }
        // 3.8: it is up as long as somebody holds the pipes of a job.
        if by_itself && success && writes && !self.closing && !self.goes_on() {
            return Remains::Writers(run);
        }
        Remains::Ending(run)
    }

    /// Whether a run that ended by itself may be followed by another.
    fn goes_on(&self) -> bool {
        let is_unlimited = matches!(self.start, StartRule::Each(_));
        self.restarts.any_left() || self.in_line > 0 || is_unlimited
    }

    /// Nothing is left of a run any more.
    pub fn gone(&mut self, run: RunId, now: Instant) -> Vec<Action> {
        self.left.take_if(|(of, _)| *of == run);
        if self.remains.run() != Some(run) {
            return Vec::new();
        }
        self.remains = Remains::Nothing;
        match self.phase {
            Phase::Pausing(_) if self.due => self.begin(now),
            Phase::Clearing => self.stopped(),
            Phase::Stopped => vec![Action::Released],
            Phase::Waiting
            | Phase::Running(_)
            | Phase::Pausing(_)
            | Phase::Idle
            | Phase::Stopping(_)
            | Phase::Ending(_) => Vec::new(),
        }
    }

    /// Whatever the last run has left behind ends now.
    fn end_remains(&mut self) -> Vec<Action> {
        match self.remains {
            Remains::Daemons(run) | Remains::Writers(run) => {
                self.remains = Remains::Ending(run);
                vec![Action::EndRemainder(run, self.kills_at_once)]
            }
            Remains::Nothing | Remains::Ending(_) => Vec::new(),
        }
    }

    /// No process of the job's own runs any more, and nobody is waited for: it has stopped, unless something is left that must end.
    fn clear(&mut self) -> Vec<Action> {
        let may_stay = match self.remains {
            Remains::Nothing => true,
            // In a shutdown they end with everything.
            Remains::Daemons(_) => !self.told,
            Remains::Writers(_) => !self.told && !self.closing,
            Remains::Ending(_) => false,
        };
        if may_stay {
            return self.stopped();
        }
        self.phase = Phase::Clearing;
        self.end_remains()
    }

    fn after_run(&mut self, success: bool, now: Instant, random: f64) -> Vec<Action> {
        if self.closing {
            return self.complete();
        }
        if let StartRule::Interval(_) = self.start {
            return self.after_beat(now);
        }
        if self.restarts.spend() {
            self.restarting = true;
            let ran = self.last_began.map(|began| now.saturating_duration_since(began));
            let pause = self.restarts.pause(success, ran, random);
            if pause.is_zero() {
                return self.begin(now);
            }
            self.phase = Phase::Pausing(self.last_run);
            return vec![Action::Arm(Timer::Restart(self.last_run), pause)];
        }
        if self.in_line > 0 {
            self.in_line -= 1;
            return self.begin(now);
        }
        if matches!(self.start, StartRule::Each(_)) {
            self.phase = Phase::Idle;
            return Vec::new();
        }
        self.complete()
    }

    /// The end of a run of an interval job starts nothing, unless a beat fell into it.
    fn after_beat(&mut self, now: Instant) -> Vec<Action> {
        if !self.restarts.any_left() {
            return self.complete();
        }
        self.phase = Phase::Idle;
        if std::mem::take(&mut self.beat_due) { self.spend_beat(now) } else { Vec::new() }
    }

    fn spend_beat(&mut self, now: Instant) -> Vec<Action> {
        if self.restarts.spend() { self.begin(now) } else { Vec::new() }
    }

    /// A timer went off, perhaps one that no longer matters.
    pub fn elapsed(&mut self, timer: Timer, now: Instant) -> Vec<Action> {
        match timer {
            Timer::Wait => self.gave_up(),
            Timer::Run(run) => self.ran_too_long(run),
            Timer::Beat => self.beat(now),
            Timer::Window(run) if self.phase == Phase::Running(run) => vec![Action::Overdue, Action::Kill(run)],
            Timer::Restart(run) if self.phase == Phase::Pausing(run) => self.begin(now),
            Timer::StopWait if matches!(self.phase, Phase::Stopping(_)) => self.end(),
            Timer::Kill(run) if self.phase == Phase::Ending(run) => {
                vec![Action::Overdue, Action::Kill(run), Action::Arm(Timer::Abandon(run), ABANDON)]
            }
            Timer::Abandon(run) if self.phase == Phase::Ending(run) => {
                let mut actions = vec![Action::Abandon(run)];
                actions.extend(self.clear());
                actions
            }
            // It came too late: the phase that it was for is over.
            Timer::Window(_) | Timer::Restart(_) | Timer::StopWait | Timer::Kill(_) | Timer::Abandon(_) => Vec::new(),
        }
    }

    fn gave_up(&mut self) -> Vec<Action> {
        // In a shutdown only the stop of another job decides.
        if self.phase != Phase::Waiting || self.closing {
            return Vec::new();
        }
        self.gave_up = true;
        let mut actions = vec![Action::GiveUp, Action::Publish(EventCode::TimerExpired)];
        actions.extend(self.complete());
        actions
    }

    /// What it waits for can no longer happen; why. `needed`: it is worth nothing without that.
    pub fn source_lost(&mut self, why: String, needed: bool) -> Vec<Action> {
        let waits = self.phase == Phase::Waiting && matches!(self.start, StartRule::Once(_));
        // One with a deadline gives up when that is over.
        if !waits || self.closing || self.wait_timeout.is_some() || self.prospect == Prospect::Blocked {
            return Vec::new();
        }
        if needed {
            self.prospect = Prospect::Blocked;
            return vec![Action::Block(why)];
        }
        self.prospect = Prospect::NotNeeded;
        Vec::new()
    }

    /// What it waits for may happen again.
    pub fn source_back(&mut self) {
        self.prospect = Prospect::Open;
    }

    /// Why no event of this code will come of this job any more, if so.
    pub fn never_comes(&self, code: EventCode, name: &JobName) -> Option<String> {
        match self.phase {
            Phase::Stopped if !self.told => Some(waits::ended(name, self.last_code, self.gave_up)),
            Phase::Waiting if self.prospect == Prospect::Blocked && waits::needs(code) => {
                Some(format!("{name} can no longer start"))
            }
            Phase::Waiting
            | Phase::Running(_)
            | Phase::Pausing(_)
            | Phase::Idle
            | Phase::Stopping(_)
            | Phase::Ending(_)
            | Phase::Clearing
            | Phase::Stopped => None,
        }
    }

    /// Whether an event of this job is a fact that stands: it happened last, and nothing has changed since.
    pub fn is_fact(&self, code: EventCode) -> bool {
        let rests = !matches!(self.phase, Phase::Running(_) | Phase::Stopping(Some(_)) | Phase::Ending(_));
        match code {
            EventCode::ExitSuccess => rests && self.last_code == Some(0),
            EventCode::ExitFailed => rests && self.last_code.is_some_and(|code| code != 0),
            EventCode::Stopped => self.phase == Phase::Stopped,
            EventCode::Ended => self.phase == Phase::Stopped && self.last_run > RunId(0),
            EventCode::StatusHealthy => self.health == Health::Healthy && !self.maintenance,
            EventCode::StatusUnhealthy => self.health == Health::Unhealthy && !self.maintenance,
            EventCode::Stopping
            | EventCode::Terminating
            | EventCode::StatusChanged
            | EventCode::TimerExpired
            | EventCode::EnterMaintenance
            | EventCode::ExitMaintenance
            | EventCode::Error
            | EventCode::Quit
            | EventCode::Metric
            | EventCode::Startup
            | EventCode::Shutdown
            | EventCode::Signal => false,
        }
    }

    fn ran_too_long(&mut self, run: RunId) -> Vec<Action> {
        match self.phase {
            Phase::Running(current) | Phase::Stopping(Some(current)) | Phase::Ending(current) if current == run => {
                vec![Action::TimedOut(run)]
            }
            Phase::Waiting
            | Phase::Running(_)
            | Phase::Pausing(_)
            | Phase::Idle
            | Phase::Stopping(_)
            | Phase::Ending(_)
            | Phase::Clearing
            | Phase::Stopped => Vec::new(),
        }
    }

    fn beat(&mut self, now: Instant) -> Vec<Action> {
        let (StartRule::Interval(interval), Some(due)) = (&self.start, self.next_beat) else { return Vec::new() };
        let interval = *interval;
        let starts = match self.phase {
            Phase::Waiting | Phase::Running(_) | Phase::Pausing(_) | Phase::Idle if self.rests() => Vec::new(),
            Phase::Running(_) => {
                self.beat_due = true;
                Vec::new()
            }
            Phase::Idle => self.spend_beat(now),
            Phase::Waiting if self.delay.is_some() => self.begin(now),
            Phase::Waiting | Phase::Pausing(_) => Vec::new(),
            Phase::Stopping(_) | Phase::Ending(_) | Phase::Clearing | Phase::Stopped => return Vec::new(),
        };
        // Start to start: a late beat does not move the ones after it.
        let mut next = due + interval;
        if next <= now {
            next = now + interval;
        }
        self.next_beat = Some(next);
        let mut actions = vec![Action::Arm(Timer::Beat, next.saturating_duration_since(now))];
        actions.extend(starts);
        actions
    }

    /// The health check found something.
    pub fn checked(&mut self, checked: Checked) -> Vec<Action> {
        match self.phase {
            Phase::Running(_) | Phase::Pausing(_) | Phase::Idle if !self.maintenance => {}
            Phase::Waiting
            | Phase::Running(_)
            | Phase::Pausing(_)
            | Phase::Idle
            | Phase::Stopping(_)
            | Phase::Ending(_)
            | Phase::Clearing
            | Phase::Stopped => return Vec::new(),
        }
        match checked {
            Checked::Passed => {
                self.health = Health::Healthy;
                self.failures_in_a_row = 0;
                vec![Action::Publish(EventCode::StatusHealthy), Action::Tell(Report::Passed)]
            }
            Checked::Failed(reason) => {
                self.health = Health::Unhealthy;
                self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
                let critical = self.critical_after == Some(self.failures_in_a_row);
                vec![Action::Publish(EventCode::StatusUnhealthy), Action::Tell(Report::Failed { critical, reason })]
            }
            // 3.8: a check without a command is a heartbeat, not an event.
            Checked::Assumed => vec![Action::Tell(Report::Passed)],
        }
    }

    /// Everything stops. `start_may_come`: the job waits for another one's stop, which has not been announced yet.
    pub fn shutdown(&mut self, start_may_come: bool, now: Instant) -> Vec<Action> {
        if self.closing {
            return Vec::new();
        }
        self.closing = true;
        self.in_line = 0;
        let at_a_stop = self.starts_at(&EventCode::OF_A_STOP);
        let at_shutdown = self.starts_at(&[EventCode::Shutdown]);
        match self.phase {
            Phase::Waiting | Phase::Idle if at_a_stop && start_may_come => vec![Action::StandBy],
            Phase::Waiting if at_shutdown => self.begin(now),
            Phase::Running(run) if at_a_stop || at_shutdown => {
                let window = self.closing_window.map(|_| Action::Arm(Timer::Window(run), self.window));
                window.into_iter().collect()
            }
            Phase::Waiting | Phase::Running(_) | Phase::Pausing(_) | Phase::Idle => self.begin_stop(),
            Phase::Stopping(_) if self.stop_timeout.is_none() && !self.is_patient() => {
                vec![Action::Arm(Timer::StopWait, self.window)]
            }
            Phase::Stopped if matches!(self.remains, Remains::Writers(_)) => self.end_remains(),
            Phase::Stopping(_) | Phase::Ending(_) | Phase::Clearing | Phase::Stopped => Vec::new(),
        }
    }

    /// Everything but the jobs that are `last` stops first: what runs goes on, but no beat and no event begins a run.
    pub fn linger(&mut self) -> Vec<Action> {
        self.lingering = true;
        self.in_line = 0;
        self.beat_due = false;
        vec![Action::Disarm(Timer::Beat)]
    }

    /// Whether those that it waits for may take as long as they want.
    fn is_patient(&self) -> bool {
        self.watchers.iter().any(|watcher| watcher.terminating)
    }

    fn starts_at(&self, codes: &[EventCode]) -> bool {
        self.start.event().is_some_and(|event| codes.contains(&event.code))
    }

    /// In a shutdown: what this job waits for will never come. It stops without running, and nobody is waited for,
    /// because its watchers are in the same position.
    pub fn stand_down(&mut self) -> Vec<Action> {
        match self.phase {
            Phase::Waiting | Phase::Idle => {
                self.watchers.clear();
                self.begin_stop()
            }
            Phase::Running(_)
            | Phase::Pausing(_)
            | Phase::Stopping(_)
            | Phase::Ending(_)
            | Phase::Clearing
            | Phase::Stopped => Vec::new(),
        }
    }

    /// Someone asked for a run.
    pub fn start_now(&mut self, now: Instant) -> Vec<Action> {
        match self.phase {
            Phase::Waiting | Phase::Pausing(_) | Phase::Idle if !self.closing => {
                self.restarting = false;
                self.begin(now)
            }
            Phase::Waiting
            | Phase::Running(_)
            | Phase::Pausing(_)
            | Phase::Idle
            | Phase::Stopping(_)
            | Phase::Ending(_)
            | Phase::Clearing
            | Phase::Stopped => Vec::new(),
        }
    }

    /// The run whose process may be there.
    pub fn current_run(&self) -> Option<RunId> {
        match self.phase {
            Phase::Running(run) | Phase::Ending(run) => Some(run),
            Phase::Stopping(run) => run,
            Phase::Waiting | Phase::Pausing(_) | Phase::Idle | Phase::Clearing | Phase::Stopped => self.remains.run(),
        }
    }

    /// The other jobs are others now. With `renew` the restart budget is whole again.
    pub fn surrounded(&mut self, around: Surroundings, renew: bool) {
        self.window = around.window;
        self.kills_at_once = around.kills_at_once;
        self.closing_window = around.closing_window;
        self.has_successors = around.has_successors;
        if renew {
            self.restarts.renew();
        }
        match self.phase {
            Phase::Waiting | Phase::Running(_) | Phase::Pausing(_) | Phase::Idle => self.watchers = around.watchers,
            // Whom it waits for is settled.
            Phase::Stopping(_) | Phase::Ending(_) | Phase::Clearing | Phase::Stopped => {}
        }
    }

    /// Someone asked for this job's stop.
    pub fn stop(&mut self) -> Vec<Action> {
        self.told = true;
        match self.phase {
            Phase::Waiting | Phase::Running(_) | Phase::Pausing(_) | Phase::Idle => self.begin_stop(),
            Phase::Stopped => self.end_remains(),
            Phase::Stopping(_) | Phase::Ending(_) | Phase::Clearing => Vec::new(),
        }
    }

    /// The same, and its process gets no time for it.
    pub fn kill(&mut self) -> Vec<Action> {
        self.kills_at_once = true;
        let mut actions = self.stop();
        if let Remains::Ending(run) = self.remains {
            actions.push(Action::EndRemainder(run, true));
        }
        actions
    }

    fn complete(&mut self) -> Vec<Action> {
        self.by_itself = true;
        self.begin_stop()
    }

    fn begin_stop(&mut self) -> Vec<Action> {
        let (run, has_started) = match self.phase {
            Phase::Running(run) => (Some(run), true),
            Phase::Pausing(_) | Phase::Idle => (None, true),
            Phase::Waiting => (None, false),
            Phase::Stopping(_) | Phase::Ending(_) | Phase::Clearing | Phase::Stopped => return Vec::new(),
        };
        self.phase = Phase::Stopping(run);
        self.in_line = 0;
        let mut actions = Vec::new();
        if !has_started || self.by_itself {
            self.watchers.retain(|watcher| !watcher.terminating);
        } else if self.is_patient() {
            // Nobody is to be sent here while the preparations go on.
            actions.extend([Action::Check(CheckControl::End), Action::Tell(Report::Withdraw)]);
            actions.push(Action::Publish(EventCode::Terminating));
        }
        actions.extend([
            Action::Publish(EventCode::Stopping),
            Action::Disarm(Timer::Wait),
            Action::Disarm(Timer::Beat),
        ]);
        if self.watchers.is_empty() {
            actions.extend(self.end());
            return actions;
        }
        let limited = (self.closing || self.told) && !self.is_patient();
        let limit = self.stop_timeout.or(limited.then_some(self.window));
        actions.extend(limit.map(|limit| Action::Arm(Timer::StopWait, limit)));
        actions
    }

    /// The watchers have been waited for.
    fn end(&mut self) -> Vec<Action> {
        match self.phase {
            Phase::Stopping(Some(run)) => {
                self.phase = Phase::Ending(run);
                let mut actions = if self.kills_at_once {
                    vec![Action::Kill(run), Action::Arm(Timer::Abandon(run), ABANDON)]
                } else {
                    vec![Action::Terminate(run), Action::Arm(Timer::Kill(run), self.window)]
                };
                actions.extend([Action::Check(CheckControl::End), Action::Tell(Report::Withdraw)]);
                actions
            }
            Phase::Stopping(None) => {
                let mut actions = vec![Action::Check(CheckControl::End), Action::Tell(Report::Withdraw)];
                actions.extend(self.clear());
                actions
            }
            Phase::Waiting
            | Phase::Running(_)
            | Phase::Pausing(_)
            | Phase::Idle
            | Phase::Ending(_)
            | Phase::Clearing
            | Phase::Stopped => Vec::new(),
        }
    }

    fn stopped(&mut self) -> Vec<Action> {
        self.phase = Phase::Stopped;
        let leaves = match self.remains {
            Remains::Nothing | Remains::Ending(_) => Leaves::Nothing,
            Remains::Daemons(_) => Leaves::Daemons,
            Remains::Writers(_) => Leaves::Writers,
        };
        let (code, by_itself, gave_up) = (self.last_code, self.by_itself, self.gave_up);
        let completion = Completion { code, by_itself, gave_up, leaves };
        let mut actions = vec![Action::Complete(completion)];
        if self.has_successors && self.last_run > RunId(0) {
            actions.push(Action::Publish(EventCode::Ended));
        }
        actions.push(Action::Publish(EventCode::Stopped));
        actions
    }
}

#[cfg(test)]
mod tests;
