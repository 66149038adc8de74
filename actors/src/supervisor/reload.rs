//! Reloads: one at a time, first validated, then performed. What changes is decided in `policy::reload`.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsString;
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use actix::prelude::*;
use slog::{debug, error, info, warn};
use tokio::sync::oneshot;

use super::Supervisor;
use super::summary::Summary;
use crate::control::Socket;
use crate::event::{JobName, Owner};
use crate::messages::{
    BusCommand, ControlCommand, JobCommand, JobUpdate, MetricCommand, ReaperCommand, Reload, ReloadError,
    TelemetryCommand,
};
use crate::output::Sink;
use crate::policy::reload::{Diff, ReloadPolicy, Step};
use crate::signal_handler::SignalsMean;
use crate::spec::{JobSpec, OnReload, Spec};
use crate::watch::variable;

/// Reads the config as it is now, with the environment of now; the text of an error is for people. May block.
pub type Loader = Arc<dyn Fn(&[(OsString, OsString)]) -> Result<Spec, String> + Send + Sync>;

type Answer = oneshot::Sender<Result<Diff, ReloadError>>;

/// The reloads that have been asked for.
#[derive(Debug, Default)]
pub(super) struct Reloads {
    pub(super) policy: ReloadPolicy,
    under_way: bool,
    asked: VecDeque<(Reload, Answer)>,
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
        let loading = tokio::task::spawn_blocking(move || {
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
            let loaded = loaded.unwrap_or_else(|error| Err(format!("the config could not be read: {error}")));
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
        loaded: Result<Loaded, String>,
        reload: Reload,
        ctx: &mut Context<Self>,
    ) -> Result<Diff, ReloadError> {
        if self.is_ending() {
            return Err(ReloadError::Ending);
        }
        let Loaded { spec, fresh } = loaded.map_err(|reason| {
            if !reload.dry_run {
                error!(self.log, "cannot reload: {}", reason);
            }
            ReloadError::Refused(reason)
        })?;
        self.adopt_addresses(&spec);
        let diff = Diff::between(&self.spec, &spec);
        if !reload.dry_run {
            info!(self.log, "reloading"; "changed" => diff.changed.join(","), "restarted" => diff.restarted.join(","),
                "added" => diff.added.join(","), "removed" => diff.removed.join(","), "unchanged" => diff.unchanged.len(),
                "settings" => diff.settings.join(","));
            debug!(self.log, "loaded config: {}", Summary(&spec));
            self.change_to(spec, fresh, ctx);
        }
        Ok(diff)
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
        let policy = &self.policy;
        let step = self.reloads.policy.change(&old, &self.spec, |name| policy.has_stopped(name));
        self.change_control(socket, ctx);
        self.policy.stay_up(self.spec.stay_up);
        if let Some(core) = &self.core {
            core.signals.do_send(SignalsMean(self.spec.signals));
        }
        self.change_addresses(&old);
        self.watch_addresses(ctx);
        self.change_telemetry();
        self.change_catalog(&old, ctx);
        self.perform_step(step, ctx);
        self.update_jobs(true);
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
        for (name, start_may_come) in step.stop {
            self.policy.leave(&name);
            self.tell(&name, super::leave_command(start_may_come));
        }
        for name in step.kill {
            self.policy.leave(&name);
            self.tell(&name, JobCommand::Kill);
        }
        for name in &step.discard {
            self.discard(name);
        }
        let started: Vec<JobName> = step.start.iter().map(|job| job.name.clone()).collect();
        for job in step.start {
            self.policy.add(&job);
            self.start_job(&job, ctx);
        }
        for name in step.discard.iter().filter(|name| !started.contains(name)) {
            if self.spec.jobs.iter().any(|job| job.name == *name) {
                self.policy.stay_away(name);
            } else {
                let actions = self.policy.remove(name);
                self.perform(actions, ctx);
            }
        }
        for name in &step.discard {
            self.forget_output(name);
        }
        if self.init.is_open() {
            for name in &started {
                self.begin(name);
            }
        }
        if !started.is_empty() {
            self.update_jobs(false);
        }
    }

    /// What a job or a check that the config has no more has written is kept no longer.
    fn forget_output(&self, name: &JobName) {
        let job = self.spec.jobs.iter().find(|job| job.name == *name);
        if job.is_none_or(|job| job.health.is_none()) {
            self.pump.forget(Owner::Check(name.clone()));
        }
        if job.is_none() {
            self.pump.forget(Owner::Job(name.clone()));
        }
    }

    /// Forgets a job that has stopped, and kills what it may have left.
    fn discard(&mut self, name: &JobName) {
        self.jobs.remove(name);
        self.checks.remove(name);
        let Some(core) = &self.core else { return };
        for owner in [Owner::Job(name.clone()), Owner::Check(name.clone())] {
            core.bus.do_send(BusCommand::Unsubscribe(owner.clone()));
            core.reaper.do_send(ReaperCommand::Disown(owner));
        }
    }

    /// Tells the jobs that stay whom they have beside them by now.
    fn update_jobs(&self, renew: bool) {
        let Some(core) = &self.core else { return };
        for job in &self.spec.jobs {
            let Some(address) = self.jobs.get(&job.name) else { continue };
            if self.reloads.policy.is_leaving(&job.name) {
                continue;
            }
            let update = JobUpdate { around: self.surroundings(job), renew };
            let subscriber = Owner::Job(job.name.clone());
            let events = crate::policy::job::JobPolicy::new(job, update.around.clone()).interests();
            core.bus.do_send(BusCommand::Unsubscribe(subscriber.clone()));
            core.bus.do_send(BusCommand::Subscribe { subscriber, events, to: address.clone().recipient() });
            address.do_send(update);
        }
    }

    pub(super) fn put_env(&mut self, changes: Vec<(OsString, Option<OsString>)>) {
        for (name, value) in &changes {
            match value {
                Some(value) => self.environment.insert(name.clone(), value.clone()),
                None => self.environment.remove(name),
            };
        }
        if let Some(core) = &self.core {
            core.reaper.do_send(ReaperCommand::PutEnv(changes));
        }
    }
}

impl Handler<Reload> for Supervisor {
    type Result = ResponseFuture<Result<Diff, ReloadError>>;

    fn handle(&mut self, reload: Reload, ctx: &mut Self::Context) -> Self::Result {
        let (answer, answered) = oneshot::channel();
        self.reloads.asked.push_back((reload, answer));
        self.next_reload(ctx);
        Box::pin(async move { answered.await.unwrap_or(Err(ReloadError::Ending)) })
    }
}
