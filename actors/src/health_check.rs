//! One actor per health check: runs the command at its pace, and tells the job what came of it.

use std::sync::Arc;

use actix::clock::Instant;
use actix::prelude::*;
use slog::{Logger, error, o, warn};

use crate::event::{Event, EventCode, Owner, RunEnd, RunId, Source};
use crate::guard::PanicGuard;
use crate::messages::{
    BusCommand, CheckCommand, CheckReport, CheckStatus, CheckStatusQuery, FactQuery, GroupSignal, LastWords, Launch,
    ReaperCommand, RunFact, RunReport, TellFact,
};
use crate::policy::health::{Action, CheckPolicy, Timer};
use crate::policy::job::Checked;
use crate::spec::{HealthSpec, JobSpec};
use crate::timers::{self, TimerElapsed, Timers};

/// See the module.
#[derive(Debug)]
pub struct HealthCheckActor {
    owner: Owner,
    /// The source of its events.
    source: Source,
    launch: Option<Arc<Launch>>,
    /// As messages have it.
    timeout: String,
    policy: CheckPolicy,
    reaper: Recipient<ReaperCommand>,
    bus: Recipient<BusCommand>,
    /// Known once the job's actor runs: the two need each other.
    job: Option<Recipient<CheckReport>>,
    timers: Timers<Timer>,
    began: Option<Instant>,
    seen: CheckStatus,
    log: Logger,
    _guard: Option<PanicGuard>,
}

/// Introduces the job to its check.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ReportTo(pub Recipient<CheckReport>);

impl HealthCheckActor {
    /// A check of a job that has not started.
    pub fn new(
        job: &JobSpec,
        health: &HealthSpec,
        maintenance: bool,
        reaper: Recipient<ReaperCommand>,
        bus: Recipient<BusCommand>,
        log: &Logger,
        guard: Option<PanicGuard>,
    ) -> Self {
        let launch = |exec| {
            let (env, output) = (job.env.clone().into(), health.output.clone());
            let keeps_daemons = job.keeps_daemons;
            Arc::new(Launch { env, output, keeps_daemons, last_words: LastWords::OfAny, ..Launch::new(exec) })
        };
        let owner = Owner::Check(job.name.clone());
        Self {
            launch: health.exec.clone().map(launch),
            timeout: crate::duration::told(health.timeout, health.timeout_text.as_deref()),
            policy: CheckPolicy::new(health, maintenance),
            reaper,
            bus,
            job: None,
            timers: Timers::default(),
            began: None,
            seen: CheckStatus::default(),
            log: log.new(o!("check" => owner.to_string())),
            source: Source::Check(job.configured_name().clone()),
            owner,
            _guard: guard,
        }
    }

    fn perform(&mut self, actions: Vec<Action>, ctx: &mut Context<Self>) {
        for action in actions {
            match action {
                Action::Spawn(run) => self.spawn(run, ctx),
                Action::Terminate(run) => {
                    let owner = self.owner.clone();
                    self.reaper.do_send(ReaperCommand::Stop { owner, run, whole_group: true });
                }
                Action::TimedOut(run) => {
                    let after = &self.timeout;
                    warn!(self.log, "{} timeout after {}", self.owner, after);
                    self.signal(run, GroupSignal::Kill);
                }
                Action::Publish(end) => self.publish(&end),
                Action::Tell(checked) => self.tell(checked),
                Action::Arm(timer @ Timer::Run(_), after) => self.timers.arm_deadline(timer, after, ctx),
                Action::Arm(timer, after) => self.timers.arm(timer, after, ctx),
                Action::Disarm(timer) => self.timers.disarm(timer, ctx),
            }
        }
    }

    fn spawn(&mut self, run: RunId, ctx: &mut Context<Self>) {
        let Some(launch) = self.launch.clone() else { return };
        let report = ctx.address().recipient();
        self.reaper.do_send(ReaperCommand::Spawn { owner: self.owner.clone(), run, launch, report });
    }

    fn signal(&self, run: RunId, signal: GroupSignal) {
        self.reaper.do_send(ReaperCommand::SignalGroup { owner: self.owner.clone(), run, signal });
    }

    fn publish(&self, end: &RunEnd) {
        let publish = |code, source| self.bus.do_send(BusCommand::Publish(Event::new(code, source)));
        if end.is_success() {
            publish(EventCode::ExitSuccess, self.source.clone());
            return;
        }
        error!(self.log, "{} exited with error: {}", self.owner, end);
        publish(EventCode::ExitFailed, self.source.clone());
        publish(EventCode::Error, Source::Reason(format!("{}: {end}", self.owner).into()));
    }

    fn tell(&self, checked: Checked) {
        if let Some(job) = &self.job {
            job.do_send(CheckReport(checked));
        }
    }
}

impl Actor for HealthCheckActor {
    type Context = Context<Self>;
}

impl Handler<ReportTo> for HealthCheckActor {
    type Result = ();

    fn handle(&mut self, msg: ReportTo, _ctx: &mut Self::Context) {
        self.job = Some(msg.0);
    }
}

impl Handler<Event> for HealthCheckActor {
    type Result = ();

    fn handle(&mut self, event: Event, ctx: &mut Self::Context) {
        if event == Event::STARTUP {
            let actions = self.policy.startup(timers::now());
            self.perform(actions, ctx);
        }
    }
}

impl Handler<CheckCommand> for HealthCheckActor {
    type Result = ();

    fn handle(&mut self, command: CheckCommand, ctx: &mut Self::Context) {
        let actions = self.policy.control(command.0);
        self.perform(actions, ctx);
    }
}

impl Handler<RunReport> for HealthCheckActor {
    type Result = ();

    fn handle(&mut self, report: RunReport, ctx: &mut Self::Context) {
        match report.fact {
            RunFact::Started(_) => self.began = Some(Instant::now()),
            RunFact::Said(words) => {
                self.seen.said.clone_from(&words);
                let actions = self.policy.said(report.run, words);
                self.perform(actions, ctx);
            }
            // The reaper ends what a check leaves behind.
            RunFact::Printed(_) | RunFact::Remains { .. } | RunFact::Gone => {}
            RunFact::Ended(end) => {
                if let Some(began) = self.began.take() {
                    self.seen.durations.record(began.elapsed().as_secs_f64());
                }
                let actions = self.policy.ended(report.run, end);
                self.perform(actions, ctx);
            }
        }
    }
}

impl Handler<CheckStatusQuery> for HealthCheckActor {
    type Result = CheckStatus;

    fn handle(&mut self, _query: CheckStatusQuery, _ctx: &mut Self::Context) -> Self::Result {
        self.seen.clone()
    }
}

/// How the last check ended already counts for a job that a reload has just started.
impl Handler<TellFact> for HealthCheckActor {
    type Result = ();

    fn handle(&mut self, ask: TellFact, _ctx: &mut Self::Context) {
        if self.policy.is_fact(ask.event.code) {
            ask.to.do_send(ask.event);
        }
    }
}

impl Handler<FactQuery> for HealthCheckActor {
    type Result = bool;

    fn handle(&mut self, query: FactQuery, _ctx: &mut Self::Context) -> bool {
        self.policy.is_fact(query.0)
    }
}

impl Handler<TimerElapsed<Timer>> for HealthCheckActor {
    type Result = ();

    fn handle(&mut self, elapsed: TimerElapsed<Timer>, ctx: &mut Self::Context) {
        if !self.timers.elapsed(elapsed.0, ctx) {
            return;
        }
        let actions = self.policy.elapsed(elapsed.0, timers::now());
        self.perform(actions, ctx);
    }
}
