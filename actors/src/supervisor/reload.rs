//! Reloads: one at a time, first validated, then performed. What changes is decided in `policy::reload`.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::ffi::OsString;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use slog::{debug, error, info, warn};
use tokio::sync::oneshot;

use super::Supervisor;
use super::summary::Summary;
use crate::control::Socket;
use crate::event::{Event, EventCode, JobName, Owner, Source};
use crate::messages::{
    BusCommand, ControlCommand, JobCommand, JobUpdate, MetricCommand, ReaperCommand, Reload, ReloadError, Reloaded,
    Starts, TelemetryCommand, TellFact,
};
use crate::output::Sink;
use crate::policy::job::JobPolicy;
use crate::policy::reload::{Diff, ReloadPolicy, Step};
use crate::policy::waits::{self, Waits};
use crate::runtime::blocking::{BlockingError, Lane};
use crate::signal_handler::SignalsMean;
use crate::spec::{JobSpec, OnReload, Spec, StartRule};
use crate::watch::variable;

/// Reads the config as it is now, with the environment of now; the text of an error is for people. May block.
pub type Loader = Arc<dyn Fn(&[(OsString, OsString)]) -> Result<Spec, String> + Send + Sync>;

/// How long reading a config may take, its template included.
const READING: Duration = Duration::from_secs(10);

type Answer = oneshot::Sender<Result<Reloaded, ReloadError>>;

/// The reloads that have been asked for.
#[derive(Debug, Default)]
pub(super) struct Reloads {
    pub(super) policy: ReloadPolicy,
    under_way: bool,
    asked: VecDeque<(Reload, Answer)>,
    reader: Reader,
}

/// Reads configs, one at a time: one that hangs keeps its thread until it ends.
#[derive(Debug)]
struct Reader(Lane);

impl Default for Reader {
    fn default() -> Self {
        Self(Lane::new(1))
    }
}

impl Reader {
    async fn read(self, work: impl FnOnce() -> Result<Loaded, String> + Send + 'static) -> Result<Loaded, ReloadError> {
        let unreadable = |error: BlockingError| {
            let reason = match error {
                BlockingError::Busy => "the last reading still hangs".to_owned(),
                BlockingError::NoThread(cause) => format!("no thread can be started: {cause}"),
                BlockingError::Late(_) => {
                    let reason = format!("cannot read the config within {} s", READING.as_secs());
                    return ReloadError::Refused(reason);
                }
                BlockingError::Panicked => return ReloadError::Refused("the config could not be read".to_owned()),
            };
            ReloadError::Unreadable(reason)
        };
        self.0.run(READING, work).await.map_err(unreadable)?.map_err(ReloadError::Refused)
    }
}

/// A config that can be had.
struct Loaded {
    spec: Spec,
    fresh: Fresh,
}

/// What a config needs that is not there yet: had before anything changes, so that the lack of it changes nothing.
struct Fresh {
    /// The control socket, if it moves.
    socket: Option<(Socket, UnixListener)>,
    /// The log, if it goes elsewhere.
    sink: Option<Sink>,
}

impl Supervisor {
    fn next_reload(&mut self, ctx: &mut Context<Self>) {
        if self.reloads.under_way {
            return;
        }
        let Some((reload, answer)) = self.reloads.asked.pop_front() else { return };
        self.reloads.under_way = true;
        let (load, environment) = (self.load.clone(), self.environment.clone());
        let old_socket = self.spec.control.as_ref().map(|control| control.socket.clone());
        let old_output = self.spec.logging.output.clone();
        let loading = Reader(self.reloads.reader.0.clone()).read(move || {
            let environment: Vec<_> = environment.into_iter().collect();
            let spec = load(&environment)?;
            let new_socket = spec.control.as_ref().map(|control| &control.socket);
            let moved = new_socket.filter(|new| old_socket.as_ref() != Some(*new));
            let socket = moved.map(|path| Socket::bind(path)).transpose();
            let socket = socket.map_err(|error| error.to_string())?;
            // Opening makes the file, which only asking must not.
            let goes_elsewhere = spec.logging.output != old_output && !reload.dry_run;
            let sink = goes_elsewhere.then(|| Sink::open(&spec.logging.output)).transpose();
            let sink = sink.map_err(|error| error.to_string())?;
            Ok(Loaded { spec, fresh: Fresh { socket, sink } })
        });
        let loaded = loading.into_actor(self).map(move |loaded, this, ctx| {
            this.reloads.under_way = false;
            let result = this.loaded(loaded, reload, ctx);
            if let (Some(core), false) = (&this.core, reload.dry_run) {
                core.metrics.do_send(MetricCommand::Reloaded { accepted: result.is_ok() });
            }
            // Whoever asked may have gone; the reload counts all the same.
            drop(answer.send(result));
            this.next_reload(ctx);
        });
        ctx.spawn(loaded);
    }

    fn loaded(
        &mut self,
        loaded: Result<Loaded, ReloadError>,
        reload: Reload,
        ctx: &mut Context<Self>,
    ) -> Result<Reloaded, ReloadError> {
        if self.is_ending() {
            return Err(ReloadError::Ending);
        }
        let Loaded { spec, fresh } = loaded.inspect_err(|error| {
            if !reload.dry_run {
                error!(self.log, "cannot reload: {}", error);
            }
        })?;
        let mut spec = spec;
        crate::policy::reload::pair_twins(&self.spec, &mut spec);
        self.adopt_addresses(&spec);
        let diff = Diff::between(&self.spec, &spec);
        if !reload.dry_run {
            info!(self.log, "reloading"; "changed" => diff.changed.join(","), "restarted" => diff.restarted.join(","),
                "added" => diff.added.join(","), "removed" => diff.removed.join(","), "unchanged" => diff.unchanged.len(),
                "settings" => diff.settings.join(","));
            debug!(self.log, "loaded config: {}", Summary(&spec));
            self.change_to(spec, fresh, ctx);
            return Ok(Reloaded { diff, starts: Vec::new() });
        }
        let starts = self.starts(&spec, &diff);
        Ok(Reloaded { diff, starts })
    }

    /// When the jobs would start that a reload adds or changes.
    fn starts(&self, new: &Spec, diff: &Diff) -> Vec<(JobName, Starts)> {
        let listed = |lists: &[&Vec<String>]| -> HashSet<String> { lists.iter().copied().flatten().cloned().collect() };
        let starting = listed(&[&diff.added, &diff.changed, &diff.restarted]);
        let unchanged = listed(&[&diff.unchanged]);
        let jobs = new.jobs.iter().filter(|job| starting.contains(job.name.as_str()) && !job.init);
        let starts = jobs.map(|job| {
            let starts = match &job.start {
                StartRule::Once(event) if *event == Event::STARTUP => Starts::Now,
                // Only what is left alone has said something that stands.
                StartRule::Once(event)
                    if unchanged.contains(&event.source.to_string()) || is_of_check(event, &unchanged) =>
                {
                    self.if_fact(event)
                }
                StartRule::Once(event) | StartRule::Each(event) => Starts::After(event.clone()),
                StartRule::Interval(_) => job.delay.map_or(Starts::Now, Starts::Later),
                StartRule::Never => Starts::Never,
            };
            (job.name.clone(), starts)
        });
        starts.collect()
    }

    fn if_fact(&self, event: &Event) -> Starts {
        match &event.source {
            Source::Job(source) if self.policy.is_away(source) => {
                let is_fact = self.is_fact_of_the_absent(source, event.code);
                if is_fact { Starts::Now } else { Starts::After(event.clone()) }
            }
            Source::Job(source) => {
                let asked = self.named(source).filter_map(|job| self.jobs.get(&job.name));
                Starts::IfFact(event.clone(), asked.map(|job| job.clone().recipient()).collect())
            }
            Source::Check(source) => {
                let asked = self.named(source).filter_map(|job| self.checks.get(&job.name));
                Starts::IfFact(event.clone(), asked.map(|check| check.clone().recipient()).collect())
            }
            Source::Watch(source) => {
                let watches = self.spec.watches.iter().zip(&self.watches).filter(|(spec, _)| spec.name == *source);
                Starts::IfFact(event.clone(), watches.map(|(_, (_, watch))| watch.clone().recipient()).collect())
            }
            Source::Global | Source::Signal(_) | Source::Reason(_) => Starts::After(event.clone()),
        }
    }

    fn change_to(&mut self, new: Spec, fresh: Fresh, ctx: &mut Context<Self>) {
        let Fresh { socket, sink } = fresh;
        if new.logging != self.spec.logging {
            self.pump.configure(&new.logging, sink);
        }
        for warning in &new.warnings {
            warn!(self.log, "{}", warning);
        }
        let old = std::mem::replace(&mut self.spec, new);
        self.note_places();
        // One without an actor was held by hand before it ever started: there is nothing to stop.
        let (policy, jobs) = (&self.policy, &self.jobs);
        let is_over = |name: &JobName| policy.is_over(name) || !jobs.contains_key(name);
        let step = self.reloads.policy.change(&old, &self.spec, is_over);
        self.change_control(socket, ctx);
        self.policy.stay_up(self.spec.stay_up);
        if let Some(core) = &self.core {
            core.signals.do_send(SignalsMean(self.spec.signals));
        }
        self.change_addresses(&old);
        self.watch_addresses(ctx);
        self.change_telemetry();
        self.change_catalog(&old, ctx);
        self.grant();
        self.waits.of(&self.spec);
        let gone: Vec<JobName> =
            old.jobs.iter().map(|job| &job.name).filter(|name| self.find(name).is_none()).cloned().collect();
        self.perform_step(step, ctx);
        self.update_jobs(true);
        for name in gone {
            let actions = self.waits.removed(&name);
            self.perform_waits(actions);
        }
    }

    fn change_control(&mut self, socket: Option<(Socket, UnixListener)>, ctx: &Context<Self>) {
        match (&self.spec.control, &self.control, socket) {
            (Some(spec), Some(control), Some((socket, listener))) => {
                control.do_send(ControlCommand::Move { spec: spec.clone(), socket, listener });
            }
            (Some(_), None, socket) => {
                // It makes the socket itself, now that it is known to be possible.
                drop(socket);
                self.start_control(ctx);
            }
            (None, _, _) => self.control = None,
            (Some(_), Some(_), None) => {}
        }
    }

    /// Nobody waits for an answer; one such reload in line does for all.
    pub(super) fn reload_by_signal(&mut self, ctx: &mut Context<Self>) {
        if self.reloads.asked.iter().any(|(_, answer)| answer.is_closed()) {
            return;
        }
        let (answer, _) = oneshot::channel();
        self.reloads.asked.push_back((Reload { dry_run: false }, answer));
        self.next_reload(ctx);
    }

    /// Whoever is told what is as before does nothing.
    fn change_telemetry(&self) {
        let telemetry = self.spec.telemetry.as_ref();
        if let Some(core) = &self.core {
            let metrics = telemetry.map(|telemetry| telemetry.metrics.clone()).unwrap_or_default();
            // What is measured anew starts anew.
            let is_replaced = |job: &JobSpec| job.on_reload == OnReload::Replace;
            let replaced: Vec<&str> =
                self.spec.jobs.iter().filter(|job| is_replaced(job)).filter_map(|job| job.metric.as_deref()).collect();
            let kept = metrics.iter().filter(|metric| !replaced.contains(&&*metric.full_name)).cloned().collect();
            core.metrics.do_send(MetricCommand::Define(kept));
            core.metrics.do_send(MetricCommand::Define(metrics));
        }
        if let (Some(server), true) = (&self.telemetry, self.init.is_open()) {
            server.do_send(TelemetryCommand::Serve(telemetry.map(super::serves)));
        }
    }

    /// An interface may have got another address since we last looked: that is no change of the config.
    fn adopt_addresses(&mut self, new: &Spec) {
        for job in &new.jobs {
            let is_same = |old: &&JobSpec| old.name == job.name;
            let old = self.spec.jobs.iter().find(is_same).and_then(|old| old.service.as_ref());
            if let (Some(old), Some(new)) = (old, &job.service)
                && old.interfaces == new.interfaces
                && old.address != new.address
            {
                self.readdress(&job.name, new.address);
            }
        }
    }

    /// The addresses that jobs are told of: our own, and what watches have seen that are none any more.
    fn change_addresses(&self, old: &Spec) {
        let Some(core) = &self.core else { return };
        let after = self.spec.address_variables();
        let gone = old.address_variables().into_iter().map(|(name, _)| (name, None));
        let mut changes: Vec<(OsString, Option<OsString>)> =
            gone.filter(|(name, _)| !after.iter().any(|(other, _)| other == name)).collect();
        changes.extend(after.into_iter().map(|(name, value)| (name, Some(value))));
        let watched = |spec: &Spec| -> BTreeSet<_> { spec.watches.iter().map(|watch| variable(&watch.name)).collect() };
        let unwatched = watched(old).difference(&watched(&self.spec)).cloned().collect::<Vec<_>>();
        changes.extend(unwatched.into_iter().map(|name| (name, None)));
        core.reaper.do_send(ReaperCommand::PutEnv(changes));
    }

    pub(super) fn perform_step(&mut self, step: Step, ctx: &mut Context<Self>) {
        let leaving: Vec<JobName> = step.stop.iter().map(|(name, _)| name.clone()).collect();
        if !leaving.is_empty() {
            ctx.run_later(super::LATE, move |supervisor, _| supervisor.name_those_leaving(&leaving));
        }
        for (name, start_may_come) in step.stop {
            self.policy.leave(&name);
            self.tell_to_stop(&name, super::leave_command(start_may_come), ctx);
        }
        for name in step.kill {
            self.policy.leave(&name);
            self.tell_to_stop(&name, JobCommand::Kill, ctx);
        }
        let started: HashSet<JobName> = step.start.iter().map(|job| job.name.clone()).collect();
        let mut concerned: HashSet<JobName> = HashSet::new();
        for name in &step.discard {
            concerned.extend(self.watched_by(name));
            self.discard(name);
        }
        for job in &step.start {
            self.policy.add(job);
        }
        for job in &step.start {
            self.start_job(job, self.surroundings(job), None, ctx);
            concerned.extend(super::source_of(job).cloned());
        }
        for name in step.discard.iter().filter(|name| !started.contains(*name)) {
            if self.find(name).is_some() {
                self.policy.stay_away(name);
            } else {
                let actions = self.policy.remove(name);
                self.perform(actions, ctx);
            }
        }
        for name in &step.discard {
            self.forget_output(name);
        }
        for name in &concerned {
            self.update_job(name, false);
        }
        for job in &step.start {
            self.source_is_back(&job.name);
            if self.init.is_open() {
                self.begin(&job.name);
                self.tell_fact(job);
            }
        }
    }

    /// Says whom an order or a reload still waits for.
    fn name_those_leaving(&self, names: &[JobName]) {
        let late: Vec<String> =
            names.iter().filter(|name| self.reloads.policy.is_leaving(name)).map(ToString::to_string).collect();
        if !late.is_empty() && !self.is_ending() {
            info!(self.log, "the stop waits for {}", late.join(", "));
        }
    }

    /// What has happened already counts for a job that starts late, if it stands.
    pub(super) fn tell_fact(&self, job: &JobSpec) {
        let (StartRule::Once(event), Some(to)) = (&job.start, self.jobs.get(&job.name)) else { return };
        let otherwise = to.clone().recipient();
        let tell = TellFact { event: event.clone(), to: to.clone().recipient(), otherwise };
        if let Some(why) = Waits::without_source(job, |name| self.find(name).is_some(), &self.spec) {
            let needed = waits::needs(event.code);
            self.perform_waits(vec![waits::Action::Lost { job: job.name.clone(), why, needed }]);
        }
        match &event.source {
            Source::Job(source) if self.policy.is_away(source) => {
                if self.is_fact_of_the_absent(source, event.code) {
                    to.do_send(event.clone());
                }
            }
            Source::Job(source) => {
                for source in self.named(source).filter_map(|job| self.jobs.get(&job.name)) {
                    source.do_send(tell.clone());
                }
            }
            Source::Check(source) => {
                for source in self.named(source).filter_map(|job| self.checks.get(&job.name)) {
                    source.do_send(tell.clone());
                }
            }
            Source::Watch(source) => {
                let watches = self.spec.watches.iter().zip(&self.watches);
                for (_, (_, watch)) in watches.filter(|(spec, _)| spec.name == *source) {
                    watch.do_send(tell.clone());
                }
            }
            Source::Global | Source::Signal(_) | Source::Reason(_) => {}
        }
    }

    /// The jobs of this name in the config: one, unless several share it.
    pub(super) fn named(&self, name: &JobName) -> impl Iterator<Item = &JobSpec> {
        let first = self.find(name);
        let twins = first.is_some_and(|job| job.twin_of.is_some());
        let others =
            self.spec.jobs.iter().filter(move |job| twins && job.name != *name && job.configured_name() == name);
        first.into_iter().chain(others)
    }

    /// What stands of a job that was stopped by hand.
    pub(super) fn is_fact_of_the_absent(&self, source: &JobName, code: EventCode) -> bool {
        let last = self.policy.last_code(source);
        match code {
            EventCode::Stopped => true,
            EventCode::Ended => last.is_some(),
            EventCode::ExitSuccess => last == Some(0),
            EventCode::ExitFailed => last.is_some_and(|code| code != 0),
            EventCode::Stopping
            | EventCode::Terminating
            | EventCode::StatusHealthy
            | EventCode::StatusUnhealthy
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

    /// What a job or a check that the config has no more has written is kept no longer.
    fn forget_output(&self, name: &JobName) {
        let job = self.find(name);
        if job.is_none_or(|job| job.health.is_none()) {
            self.pump.forget(Owner::Check(name.clone()));
        }
        if job.is_none() {
            self.pump.forget(Owner::Job(name.clone()));
        }
    }

    /// Forgets a job that has stopped. A check that is still at work has had its TERM and ends by itself.
    fn discard(&mut self, name: &JobName) {
        self.jobs.remove(name);
        self.checks.remove(name);
        self.interests.remove(name);
        self.revivals.forget(name);
        let Some(core) = &self.core else { return };
        for owner in [Owner::Job(name.clone()), Owner::Check(name.clone())] {
            core.bus.do_send(BusCommand::Unsubscribe(owner.clone()));
            core.reaper.do_send(ReaperCommand::Forget(owner));
        }
    }

    /// The job whose stop this one is at.
    fn watched_by(&self, name: &JobName) -> Option<JobName> {
        self.find(name).and_then(super::source_of).cloned()
    }

    /// Tells the jobs that stay whom they have beside them by now.
    fn update_jobs(&mut self, renew: bool) {
        let names: Vec<JobName> = self.spec.jobs.iter().map(|job| job.name.clone()).collect();
        for name in names {
            self.update_job(&name, renew);
        }
    }

    fn update_job(&mut self, name: &JobName, renew: bool) {
        let (Some(core), Some(job), Some(address)) = (&self.core, self.find(name), self.jobs.get(name)) else { return };
        if self.reloads.policy.is_leaving(name) {
            return;
        }
        let update = JobUpdate { around: self.surroundings(job), renew };
        let events = JobPolicy::interests_of(job, &update.around.watchers);
        address.do_send(update);
        if self.interests.get(name) != Some(&events) {
            let (subscriber, to) = (Owner::Job(name.clone()), address.clone().recipient());
            core.bus.do_send(BusCommand::Unsubscribe(subscriber.clone()));
            core.bus.do_send(BusCommand::Subscribe { subscriber, events: events.clone(), to });
            self.interests.insert(name.clone(), events);
        }
    }
}

/// Whether an event is one of the check of such a job.
fn is_of_check(event: &Event, jobs: &HashSet<String>) -> bool {
    matches!(&event.source, Source::Check(job) if jobs.contains(job.as_str()))
}

impl Handler<Reload> for Supervisor {
    type Result = ResponseFuture<Result<Reloaded, ReloadError>>;

    fn handle(&mut self, reload: Reload, ctx: &mut Self::Context) -> Self::Result {
        let (answer, answered) = oneshot::channel();
        self.reloads.asked.push_back((reload, answer));
        self.next_reload(ctx);
        Box::pin(async move { answered.await.unwrap_or(Err(ReloadError::Ending)) })
    }
}
