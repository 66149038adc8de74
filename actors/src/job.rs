//! One actor per job: asks its policy what everything that happens means, and performs the answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::clock::Instant;
use actix::prelude::*;
use slog::{Logger, debug, error, info, o, warn};

use crate::event::{Event, EventCode, Exit, JobName, Owner, RunEnd, RunId, Source};
use crate::guard::PanicGuard;
use crate::messages::{
    BusCommand, CatalogCommand, CheckCommand, CheckReport, FactQuery, GroupSignal, JobAnnounced, JobCommand, JobFact,
    JobStatus, JobStatusQuery, JobUpdate, Launch, MetricCommand, ReaperCommand, RunFact, RunReport, SourceLost,
    TellFact,
};
use crate::policy::job::{Action, Checked, Completion, JobPolicy, Report, State, Surroundings, Timer};
use crate::policy::waits;
use crate::random::Random;
use crate::spec::{JobSpec, StartRule, Stdin};
use crate::timers::{self, TimerElapsed, Timers};

/// So many characters of what is no number are shown.
const SHOWN: usize = 100;

/// Whom a job talks to.
#[derive(Clone, Debug)]
pub struct JobNeighbours {
    /// Starts and signals its processes.
    pub reaper: Recipient<ReaperCommand>,
    /// Takes its events.
    pub bus: Recipient<BusCommand>,
    /// Hears of its end.
    pub supervisor: Recipient<JobFact>,
    /// Its health check, if it has one.
    pub check: Option<Recipient<CheckCommand>>,
    /// The catalog, if the job has a service and there is a catalog.
    pub catalog: Option<Recipient<CatalogCommand>>,
    /// Takes what it measures.
    pub metrics: Recipient<MetricCommand>,
}

/// See the module.
#[derive(Debug)]
pub struct JobActor {
    name: JobName,
    configured_name: JobName,
    is_twin: bool,
    launch: Option<Arc<Launch>>,
    term_process: bool,
    metric: Option<String>,
    /// What the current run has printed, if that is a value.
    printed: Option<String>,
    /// As messages have it.
    timeout: String,
    policy: JobPolicy,
    neighbours: JobNeighbours,
    timers: Timers<Timer>,
    random: Random,
    log: Logger,
    /// The same without the job's name as a field: by that, readers find what the job itself has written.
    nameless: Logger,
    pid: Option<i32>,
    runs: u64,
    last_end: Option<(RunId, RunEnd)>,
    /// What a run wrote last that failed; may come before its end does.
    last_words: Option<(RunId, String)>,
    /// At most one for each status and signal, so bounded.
    ends: BTreeMap<String, u64>,
    began: Option<Instant>,
    last_check: Option<(Checked, Instant)>,
    since: Instant,
    start: StartRule,
    wait_timeout: Option<Duration>,
    /// Why it is blocked or gave up.
    why: Option<String>,
    /// How many restarts there had been at the last start that was logged.
    announced: Option<u64>,
    _guard: Option<PanicGuard>,
}

impl JobActor {
    /// A job that has not started.
    pub fn new(
        spec: &JobSpec,
        around: Surroundings,
        neighbours: JobNeighbours,
        log: &Logger,
        guard: Option<PanicGuard>,
    ) -> Self {
        let launch = |exec| {
            Arc::new(Launch {
                env: spec.env.clone().into(),
                output: spec.output.clone(),
                stdin: spec.stdin,
                prints_value: spec.metric.is_some(),
                pid_variables: spec.pid_variables.clone(),
                not_started: spec.not_started,
                ..Launch::new(exec)
            })
        };
        Self {
            name: spec.name.clone(),
            configured_name: spec.configured_name().clone(),
            is_twin: spec.twin_of.is_some(),
            launch: spec.exec.clone().map(launch),
            term_process: spec.term_process,
            metric: spec.metric.clone(),
            printed: None,
            timeout: crate::duration::told(spec.timeout, spec.timeout_text.as_deref()),
            policy: JobPolicy::new(spec, around),
            neighbours,
            timers: Timers::default(),
            random: Random::from_entropy(),
            log: log.new(o!("job" => spec.name.to_string())),
            nameless: log.clone(),
            pid: None,
            runs: 0,
            last_end: None,
            last_words: None,
            ends: BTreeMap::new(),
            began: None,
            last_check: None,
            since: Instant::now(),
            start: spec.start.clone(),
            wait_timeout: spec.wait_timeout,
            why: None,
            announced: None,
            _guard: guard,
        }
    }

    /// Takes the place of the actor of a job that has stopped.
    pub fn has_stopped(mut self, completion: Completion) -> Self {
        self.policy.has_stopped(completion);
        self.why = completion.gave_up.then(|| self.gives_up());
        let exited = |code| (RunId(1), RunEnd::Exited(Exit::from_code(code)));
        self.last_end = completion.code.map(exited);
        self
    }

    fn perform(&mut self, actions: Vec<Action>, ctx: &mut Context<Self>) {
        for action in actions {
            match action {
                Action::Spawn(run) => self.spawn(run, ctx),
                Action::Terminate(run) => {
                    let (owner, whole_group) = (Owner::Job(self.name.clone()), !self.term_process);
                    self.neighbours.reaper.do_send(ReaperCommand::Stop { owner, run, whole_group });
                }
                Action::Overdue => warn!(self.log, "{} has not ended within its grace and is killed", self.name),
                Action::Kill(run) => self.signal(run, GroupSignal::Kill),
                Action::Abandon(_) => warn!(self.log, "{} has survived a KILL and is no longer waited for", self.name),
                Action::EndRemainder(run, kill) => {
                    let owner = Owner::Job(self.name.clone());
                    self.neighbours.reaper.do_send(ReaperCommand::EndRemainder { owner, run, kill });
                }
                Action::KeepWriters => {
                    let advice = "end it with exec or wait";
                    warn!(self.log, "{} left processes that still write to its log; {}", self.name, advice);
                }
                Action::Released => self.neighbours.supervisor.do_send(JobFact::Released(self.name.clone())),
                Action::Block(why) => {
                    warn!(self.log, "{} can no longer start: {}", self.name, why);
                    self.why = Some(why);
                    self.neighbours.supervisor.do_send(JobFact::Blocked(self.name.clone()));
                }
                Action::GiveUp => {
                    let why = self.gives_up();
                    warn!(self.log, "{} gives up: {}", self.name, why);
                    self.why = Some(why);
                }
                Action::TimedOut(run) => {
                    // 3.8: these words
                    let after = &self.timeout;
                    warn!(self.log, "{} timeout after {}: '{}'", self.name, after, self.program());
                    self.signal(run, GroupSignal::Kill);
                }
                Action::Publish(code) => {
                    let (job, event) = (self.name.clone(), Event::job(code, &self.configured_name));
                    self.neighbours.bus.do_send(BusCommand::Announce(JobAnnounced { job, event }));
                }
                Action::Fail(end) => self.tell_failure(&end),
                Action::Arm(timer @ (Timer::Run(_) | Timer::Wait), after) => {
                    self.timers.arm_deadline(timer, after, ctx)
                }
                Action::Arm(timer, after) => self.timers.arm(timer, after, ctx),
                Action::Disarm(timer) => self.timers.disarm(timer, ctx),
                Action::Check(control) => {
                    if let Some(check) = &self.neighbours.check {
                        check.do_send(CheckCommand(control));
                    }
                }
                Action::Tell(report) => {
                    if let Some(catalog) = &self.neighbours.catalog {
                        catalog.do_send(self.news(report));
                    }
                }
                Action::StandBy => self.neighbours.supervisor.do_send(JobFact::StandingBy(self.name.clone())),
                Action::Complete(completion) => {
                    self.neighbours.supervisor.do_send(JobFact::Completed(self.name.clone(), completion));
                }
            }
        }
    }

    /// Lets the policy speak, and notes when that changes the job's state.
    fn ask(&mut self, ctx: &mut Context<Self>, question: impl FnOnce(&mut JobPolicy) -> Vec<Action>) {
        let before = self.policy.state();
        let had_begun = self.policy.has_begun();
        let actions = question(&mut self.policy);
        if !had_begun && self.policy.has_begun() {
            self.neighbours.supervisor.do_send(JobFact::Begun(self.name.clone()));
        }
        let after = self.policy.state();
        if before != after {
            self.since = Instant::now();
            debug!(self.log, "state changed"; "from" => ?before, "to" => ?after);
        }
        self.perform(actions, ctx);
    }

    /// Logs that a start event, or an order, has started it: not every restart, nor every tick of an interval.
    fn announce(&mut self, pid: i32) {
        let restarts = self.policy.restarted();
        let is_routine = match self.announced.replace(restarts) {
            Some(before) => before != restarts || matches!(self.start, StartRule::Interval(_)),
            None => false,
        };
        // The stream of a raw job is its own: our line could land in the middle of one of its.
        let is_raw = self.launch.as_ref().is_some_and(|launch| launch.output.raw);
        if is_routine || is_raw {
            debug!(self.log, "{} starts", self.name; "process" => pid);
        } else {
            info!(self.nameless, "{} starts", self.name; "process" => pid);
        }
    }

    /// What it has waited for in vain.
    fn gives_up(&self) -> String {
        let within = self.wait_timeout.map(crate::duration::go_format).unwrap_or_default();
        let Some(Event { code, source }) = self.start.event() else {
            return format!("nothing happened within {within}");
        };
        match code {
            EventCode::StatusHealthy => format!("{source} was not healthy within {within}"),
            EventCode::StatusUnhealthy => format!("{source} was not unhealthy within {within}"),
            EventCode::StatusChanged => format!("{source} has not changed within {within}"),
            EventCode::ExitSuccess => format!("{source} has not succeeded within {within}"),
            EventCode::ExitFailed => format!("{source} has not failed within {within}"),
            EventCode::Stopped | EventCode::Ended => format!("{source} has not stopped within {within}"),
            EventCode::Stopping
            | EventCode::Terminating
            | EventCode::TimerExpired
            | EventCode::EnterMaintenance
            | EventCode::ExitMaintenance
            | EventCode::Error
            | EventCode::Quit
            | EventCode::Metric
            | EventCode::Startup
            | EventCode::Shutdown
            | EventCode::Signal => format!("{code} of {source} has not come within {within}"),
        }
    }

    fn program(&self) -> String {
        self.launch.as_ref().map(|launch| launch.exec.program.to_string_lossy().into_owned()).unwrap_or_default()
    }

    fn spawn(&mut self, run: RunId, ctx: &mut Context<Self>) {
        let Some(launch) = &self.launch else { return };
        self.runs += 1;
        self.neighbours.reaper.do_send(ReaperCommand::Spawn {
            owner: Owner::Job(self.name.clone()),
            run,
            launch: launch.clone(),
            report: ctx.address().recipient(),
        });
    }

    fn signal(&self, run: RunId, signal: GroupSignal) {
        let owner = Owner::Job(self.name.clone());
        self.neighbours.reaper.do_send(ReaperCommand::SignalGroup { owner, run, signal });
    }

    fn is_plain(&self) -> bool {
        self.launch.as_ref().is_some_and(|launch| launch.stdin == Stdin::OursWithJobControl)
    }

    fn signal_process(&self, run: RunId, signal: i32) {
        let owner = Owner::Job(self.name.clone());
        self.neighbours.reaper.do_send(ReaperCommand::SignalProcess { owner, run, signal });
    }

    /// What a run printed is a value if it went well.
    fn record(&mut self, end: &RunEnd) {
        let printed = self.printed.take();
        if let (Some(metric), Some(printed), true) = (&self.metric, printed, end.is_success()) {
            match crate::metrics::number(&printed) {
                Some(value) => self.neighbours.metrics.do_send(MetricCommand::Measure(metric.clone(), value)),
                None => {
                    let shown: String = printed.trim().chars().take(SHOWN).collect();
                    error!(self.log, "{} has printed no number", self.name; "printed" => shown);
                }
            }
        }
    }

    /// What the catalog is told of the service, which other jobs may be, too.
    fn news(&self, report: Report) -> CatalogCommand {
        let service = self.configured_name.clone();
        if self.is_twin {
            CatalogCommand::SharedNews { service, by: self.name.clone(), report }
        } else {
            CatalogCommand::News(service, report)
        }
    }

    fn publish(&self, event: Event) {
        self.neighbours.bus.do_send(BusCommand::Publish(event));
    }

    fn tell_failure(&self, end: &RunEnd) {
        match end {
            // 3.8: these words
            // Whoever started us as a plain init expects our exit status, and not a word.
            RunEnd::Exited(_) if self.is_plain() => debug!(self.log, "{} exited with error: {}", self.name, end),
            RunEnd::Exited(_) => error!(self.log, "{} exited with error: {}", self.name, end),
            RunEnd::NotStarted { .. } => error!(self.log, "unable to start {}: {}", self.name, end),
        }
        let reason = format!("{}: {end}", self.name);
        self.publish(Event::new(EventCode::Error, Source::Reason(reason.into())));
    }
}

impl Actor for JobActor {
    type Context = Context<Self>;
}

impl Handler<Event> for JobActor {
    type Result = ();

    fn handle(&mut self, event: Event, ctx: &mut Self::Context) {
        self.ask(ctx, |policy| policy.event(&event, timers::now()));
    }
}

impl Handler<RunReport> for JobActor {
    type Result = ();

    fn handle(&mut self, report: RunReport, ctx: &mut Self::Context) {
        match report.fact {
            RunFact::Said(words) => self.last_words = Some((report.run, words)),
            RunFact::Printed(text) => self.printed = Some(text),
            RunFact::Started(pid) => {
                self.pid = Some(pid);
                self.began = Some(Instant::now());
                self.announce(pid);
            }
            RunFact::Remains { writes } => self.policy.remains(report.run, writes),
            RunFact::Gone => self.ask(ctx, |policy| policy.gone(report.run, timers::now())),
            RunFact::Ended(end) => {
                self.pid = None;
                *self.ends.entry(end_word(&end)).or_default() += 1;
                self.record(&end);
                self.last_end = Some((report.run, end.clone()));
                let random = self.random.fraction();
                self.ask(ctx, |policy| policy.ended(report.run, end, timers::now(), random));
            }
        }
    }
}

impl Handler<CheckReport> for JobActor {
    type Result = ();

    fn handle(&mut self, report: CheckReport, ctx: &mut Self::Context) {
        self.last_check = Some((report.0.clone(), Instant::now()));
        self.ask(ctx, |policy| policy.checked(report.0));
    }
}

impl Handler<JobCommand> for JobActor {
    type Result = ();

    fn handle(&mut self, command: JobCommand, ctx: &mut Self::Context) {
        match (command, self.policy.current_run()) {
            (JobCommand::Signal(number), Some(run)) => self.signal(run, GroupSignal::Number(number)),
            (JobCommand::PassOn(number), Some(run)) => self.signal_process(run, number),
            (_, _) => {}
        }
        self.ask(ctx, |policy| match command {
            JobCommand::Signal(_) | JobCommand::PassOn(_) => Vec::new(),
            JobCommand::Linger => policy.linger(),
            JobCommand::Start => policy.start_now(timers::now()),
            JobCommand::ShutDown { start_may_come } => policy.shutdown(start_may_come, timers::now()),
            JobCommand::StandDown => policy.stand_down(),
            JobCommand::Stop => policy.stop(),
            JobCommand::Kill => policy.kill(),
            JobCommand::SourceBack => {
                policy.source_back();
                Vec::new()
            }
        });
    }
}

impl Handler<JobUpdate> for JobActor {
    type Result = ();

    fn handle(&mut self, update: JobUpdate, _ctx: &mut Self::Context) {
        self.policy.surrounded(update.around, update.renew);
    }
}

impl Handler<JobStatusQuery> for JobActor {
    type Result = JobStatus;

    fn handle(&mut self, _query: JobStatusQuery, _ctx: &mut Self::Context) -> JobStatus {
        let (last_run, last_end) = self.last_end.clone().unzip();
        let last_words = self.last_words.clone().filter(|(run, _)| Some(*run) == last_run);
        JobStatus {
            name: self.name.clone(),
            state: self.policy.state(),
            health: self.policy.health(),
            pid: self.pid,
            runs: self.runs,
            ends: self.ends.iter().map(|(word, count)| (word.clone(), *count)).collect(),
            uptime: self.pid.and(self.began).map(|began| began.elapsed()),
            failures_in_a_row: self.policy.failures_in_a_row(),
            last_check: self.last_check.clone().map(|(checked, at)| (checked, at.elapsed())),
            last_end,
            last_words: last_words.map(|(_, words)| words).unwrap_or_default(),
            since: self.since.elapsed(),
            restarts: self.policy.restarted(),
            why: self.why.clone().filter(|_| matches!(self.policy.state(), State::Blocked | State::GaveUp)),
        }
    }
}

/// An end in a word, for metrics: no text from outside.
fn end_word(end: &RunEnd) -> String {
    match end {
        RunEnd::Exited(Exit::Status(status)) => status.to_string(),
        RunEnd::Exited(exit @ (Exit::Signal(_) | Exit::OutOfMemory)) => exit.to_string(),
        RunEnd::NotStarted { .. } => "not started".to_owned(),
    }
}

impl Handler<SourceLost> for JobActor {
    type Result = ();

    fn handle(&mut self, lost: SourceLost, ctx: &mut Self::Context) {
        self.ask(ctx, |policy| policy.source_lost(lost.why, lost.needed));
    }
}

/// What has happened already counts for a job that a reload has just started.
impl Handler<TellFact> for JobActor {
    type Result = ();

    fn handle(&mut self, ask: TellFact, _ctx: &mut Self::Context) {
        let code = ask.event.code;
        if self.policy.is_fact(code) {
            ask.to.do_send(ask.event);
        } else if let Some(why) = self.policy.never_comes(code, &self.configured_name).filter(|_| !self.is_twin) {
            ask.otherwise.do_send(SourceLost { why, needed: waits::needs(code) });
        }
    }
}

impl Handler<FactQuery> for JobActor {
    type Result = bool;

    fn handle(&mut self, query: FactQuery, _ctx: &mut Self::Context) -> bool {
        self.policy.is_fact(query.0)
    }
}

/// The health check's actor died, and this is the new one.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ReplaceCheck(pub Recipient<CheckCommand>);

impl Handler<ReplaceCheck> for JobActor {
    type Result = ();

    fn handle(&mut self, msg: ReplaceCheck, _ctx: &mut Self::Context) {
        if let Some(control) = self.policy.check_control() {
            msg.0.do_send(CheckCommand(control));
        }
        self.neighbours.check = Some(msg.0);
    }
}

/// The catalog's actor died, or a reload has changed the catalog, and this is the new one.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ReplaceCatalog(pub Recipient<CatalogCommand>);

impl Handler<ReplaceCatalog> for JobActor {
    type Result = ();

    fn handle(&mut self, msg: ReplaceCatalog, _ctx: &mut Self::Context) {
        if let Some(report) = self.policy.last_report() {
            msg.0.do_send(self.news(report));
        }
        self.neighbours.catalog = Some(msg.0);
    }
}

impl Handler<TimerElapsed<Timer>> for JobActor {
    type Result = ();

    fn handle(&mut self, elapsed: TimerElapsed<Timer>, ctx: &mut Self::Context) {
        if !self.timers.elapsed(elapsed.0, ctx) {
            return;
        }
        self.ask(ctx, |policy| policy.elapsed(elapsed.0, timers::now()));
    }
}
