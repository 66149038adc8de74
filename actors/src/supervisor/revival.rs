//! Actors that died of a panic start anew, and find everything as it was. How soon is decided in `policy::revival`.
//!
//! What a job's actor ran is killed first: the reaper lets nothing of the job begin beside it. A job that was to stop has stopped
//! then; one that was complete stays so; any other starts from its spec and is told what its predecessor knew.

use std::collections::{HashMap, HashSet};

use actix::prelude::*;
use slog::error;

use super::{BROKEN, Supervisor};
use crate::event::{Event, EventCode, JobName, Owner, Source};
use crate::health_check::ReportTo;
use crate::job::ReplaceCheck;
use crate::messages::{
    ActorId, ActorPanicked, BusCommand, CatalogCommand, CheckCommand, Disowned, JobAnnounced, JobCommand,
    ReaperCommand, WatchSaw,
};
use crate::policy::init;
use crate::policy::job::{CheckControl, Completion, Leaves, Report};
use crate::policy::revival::RevivalPolicy;
use crate::policy::waits;
use crate::spec::{JobSpec, ServiceSpec, StartRule};
use crate::timers;
use crate::watch::{Inherit, ReplaceContacts};

/// Actors that have died, and what those that replace them have to know.
#[derive(Debug, Default)]
pub(super) struct Revivals {
    policy: RevivalPolicy<ActorId>,
    /// Those that start anew after a pause, each with the pause's number.
    pausing: HashMap<ActorId, u64>,
    last_pause: u64,
    /// Jobs that have stopped once the reaper has ended what their actors had run.
    vanishing: HashSet<JobName>,
    /// Jobs whose first run has begun.
    begun: HashSet<JobName>,
}

impl Revivals {
    pub(super) fn begun(&mut self, name: JobName) {
        self.begun.insert(name);
    }

    /// A job is none any more, or another one.
    pub(super) fn forget(&mut self, name: &JobName) {
        self.begun.remove(name);
        self.vanishing.remove(name);
        for actor in [ActorId::Job(name.clone()), ActorId::Check(name.clone())] {
            self.pausing.remove(&actor);
        }
    }
}

impl Supervisor {
    /// Whether it is one of ours that has died, rather than one that had been replaced or let go.
    fn is_lost(&self, actor: &ActorId) -> bool {
        match actor {
            ActorId::Job(name) => self.jobs.get(name).is_some_and(|job| !job.connected()),
            ActorId::Check(name) => self.checks.get(name).is_some_and(|check| !check.connected()),
            ActorId::Watch(id) => self.watches.iter().any(|(other, watch)| other == id && !watch.connected()),
            ActorId::Catalog => self.catalog.as_ref().is_some_and(|catalog| !catalog.agent.connected()),
            ActorId::Control => self.control.as_ref().is_some_and(|control| !control.connected()),
            ActorId::Telemetry => self.telemetry.as_ref().is_some_and(|telemetry| !telemetry.connected()),
            ActorId::Addresses => self.addresses.as_ref().is_some_and(|addresses| !addresses.connected()),
            ActorId::Core(_) => true,
        }
    }

    /// What it ran is killed, and no event waits for it.
    fn bury(&mut self, actor: &ActorId, ctx: &Context<Self>) {
        match actor {
            ActorId::Job(name) => {
                if let Some(check) = self.checks.remove(name) {
                    check.do_send(CheckCommand(CheckControl::End));
                }
                self.jobs.remove(name);
                self.interests.remove(name);
                // What a job that is complete has left to itself goes on, unless the job is still up for its sake.
                let goes_on = self.past_of(name).is_some();
                self.disown(Owner::Job(name.clone()), goes_on, None);
                self.disown(Owner::Check(name.clone()), false, None);
            }
            ActorId::Check(name) => self.disown(Owner::Check(name.clone()), false, None),
            // At the end somebody waits for it.
            ActorId::Control if self.control_closes => self.finish(),
            ActorId::Core(_) => {
                self.code = BROKEN;
                self.finish();
            }
            ActorId::Catalog if self.waits_for_catalog() => self.revive_catalog(ctx),
            ActorId::Watch(_) | ActorId::Catalog | ActorId::Control | ActorId::Telemetry | ActorId::Addresses => {}
        }
    }

    fn disown(&self, owner: Owner, goes_on: bool, done: Option<Recipient<Disowned>>) {
        let Some(core) = &self.core else { return };
        core.bus.do_send(BusCommand::Unsubscribe(owner.clone()));
        core.reaper.do_send(if goes_on { ReaperCommand::Forget(owner) } else { ReaperCommand::Disown { owner, done } });
    }

    /// How a job has stopped, if nothing is to be done for it any more.
    fn past_of(&self, name: &JobName) -> Option<Completion> {
        self.policy.completion(name).filter(|past| past.leaves != Leaves::Writers)
    }

    fn revive(&mut self, actor: &ActorId, ctx: &mut Context<Self>) {
        match actor {
            ActorId::Job(name) => self.revive_job(name, ctx),
            ActorId::Check(name) => self.revive_check(name, ctx),
            // Those that have been stopped stay so.
            ActorId::Watch(id) => {
                let place = self.watches.iter().position(|(other, _)| other == id);
                if let Some((place, spec)) = place.and_then(|place| Some((place, self.spec.watches.get(place)?)))
                    && let Some(watch) = self.watch_anew(*id, spec, ctx)
                {
                    if let Some(instances) = self.seen.get(id) {
                        watch.1.do_send(Inherit(instances.clone()));
                    }
                    self.watches[place] = watch;
                }
            }
            ActorId::Catalog => self.revive_catalog(ctx),
            ActorId::Control => self.start_control(ctx),
            ActorId::Telemetry => self.start_telemetry(ctx),
            ActorId::Addresses => {
                self.addresses = None;
                self.watch_addresses(ctx);
            }
            ActorId::Core(_) => {}
        }
    }

    fn revive_job(&mut self, name: &JobName, ctx: &mut Context<Self>) {
        if self.jobs.contains_key(name) {
            return;
        }
        if self.policy.is_closing() || self.reloads.policy.is_leaving(name) {
            self.vanish(name, ctx);
            return;
        }
        let Some(job) = self.find(name).cloned() else { return };
        let around = self.surroundings(&job);
        if let Some(past) = self.past_of(name) {
            self.start_job(&job, around, Some(past), ctx);
            return;
        }
        if self.policy.completion(name).is_some() {
            // It was complete but for what still wrote to its log, and starts from the beginning.
            self.policy.add(&job);
            self.source_is_back(name);
        }
        let begun = self.revivals.begun.contains(name);
        self.start_job(&job, around, None, ctx);
        if self.init.is_open() || self.init.next() == init::Action::Begin(name.clone()) {
            self.begin(name);
        }
        if !self.init.is_open() {
            return;
        }
        self.tell_fact(&job);
        self.tell_of_stop(&job);
        if begun && !matches!(job.start, StartRule::Each(_)) {
            self.tell(name, JobCommand::Start);
        } else {
            self.tell_lost(&job);
        }
    }

    /// A job at the stop of another one, which has been announced: that waits for it.
    fn tell_of_stop(&self, job: &JobSpec) {
        let (Some(event), Some(to)) = (job.start.event(), self.jobs.get(&job.name)) else { return };
        let Source::Job(source) = &event.source else { return };
        let waits = self.policy.is_live(source) && event.code != EventCode::Stopped;
        if self.policy.is_announced(event) && (waits || matches!(job.start, StartRule::Once(_))) {
            to.do_send(event.clone());
        }
    }

    /// A job that waits for what can no longer happen learns that again.
    fn tell_lost(&mut self, job: &JobSpec) {
        let mut actions = self.waits.hopeless(&self.spec);
        if let (StartRule::Once(event), Some(source)) = (&job.start, super::source_of(job))
            && !self.named(source).any(|source| self.policy.is_live(&source.name))
            && !self.is_fact_of_the_absent(source, event.code)
            && let Some(completion) = self.policy.completion(source)
        {
            actions.extend(self.waits.completed(source, completion));
        }
        actions.extend(self.waits.still_blocked());
        actions.retain(|action| matches!(action, waits::Action::Lost { job: lost, .. } if *lost == job.name));
        self.perform_waits(actions);
    }

    /// A job has no actor, and is to stop: it has, once what the last one ran is gone.
    pub(super) fn vanish(&mut self, name: &JobName, ctx: &Context<Self>) {
        self.revivals.pausing.remove(&ActorId::Job(name.clone()));
        self.revivals.vanishing.insert(name.clone());
        self.disown(Owner::Job(name.clone()), false, Some(ctx.address().recipient()));
    }

    /// A job is told to stop.
    pub(super) fn tell_to_stop(&mut self, name: &JobName, command: JobCommand, ctx: &Context<Self>) {
        if self.revivals.pausing.contains_key(&ActorId::Job(name.clone())) {
            self.vanish(name, ctx);
        } else {
            self.tell(name, command);
        }
    }

    /// A job is told to start; one whose actor starts anew soon will.
    pub(super) fn tell_to_start(&mut self, name: &JobName) {
        if self.revivals.pausing.contains_key(&ActorId::Job(name.clone())) {
            self.revivals.begun(name.clone());
        } else {
            self.tell(name, JobCommand::Start);
        }
    }

    fn has_vanished(&mut self, name: &JobName, ctx: &mut Context<Self>) {
        if self.policy.leaves_something(name) {
            let actions = self.policy.released(name);
            self.perform(actions, ctx);
            self.left(name, ctx);
            return;
        }
        if !self.policy.is_live(name) {
            return;
        }
        let stopped = Completion { code: Some(BROKEN), ..Completion::default() };
        self.policy.completed(name, self.policy.completion(name).unwrap_or(stopped));
        let configured = self.find(name).map_or(name, JobSpec::configured_name).clone();
        let Some(core) = &self.core else { return };
        let stopping = Event::job(EventCode::Stopping, &configured);
        let events = [
            Some(stopping).filter(|event| !self.policy.is_announced(event)),
            Some(Event::job(EventCode::Stopped, &configured)),
        ];
        for event in events.into_iter().flatten() {
            core.bus.do_send(BusCommand::Announce(JobAnnounced { job: name.clone(), event }));
        }
    }

    /// The new actor is told of all services again, and jobs and watches of it. At the end it takes out what the old one has not.
    fn revive_catalog(&mut self, ctx: &Context<Self>) {
        self.start_catalog(true, ctx);
        let Some(catalog) = &self.catalog else { return };
        let catalog = catalog.clone();
        let before = std::mem::take(&mut self.advertised);
        self.advertise_all();
        for (name, service) in before {
            // Its job has stopped, and may have had nobody to tell.
            if !self.advertised.contains_key(&name) {
                let service = ServiceSpec { initial_status: None, ..service };
                catalog.agent.do_send(CatalogCommand::Advertise(service));
                catalog.agent.do_send(CatalogCommand::News(JobName::new(name), Report::Withdraw));
            }
        }
        if self.policy.is_closing() {
            self.withdraw_telemetry();
        }
        if self.waits_for_catalog() {
            catalog.agent.do_send(CatalogCommand::Finish(ctx.address().recipient()));
        }
        for (_, watch) in &self.watches {
            watch.do_send(ReplaceContacts(catalog.contacts.clone()));
        }
    }

    fn revive_check(&mut self, name: &JobName, ctx: &Context<Self>) {
        let Some(job) = self.find(name).filter(|_| self.jobs.contains_key(name)).cloned() else { return };
        if let (Some(check), Some(address)) = (self.start_check(&job, ctx), self.jobs.get(name)) {
            check.do_send(ReportTo(address.clone().recipient()));
            check.do_send(Event::STARTUP);
            address.do_send(ReplaceCheck(check.recipient()));
        }
    }
}

impl Handler<ActorPanicked> for Supervisor {
    type Result = ();

    fn handle(&mut self, ActorPanicked(actor): ActorPanicked, ctx: &mut Self::Context) {
        let pause = self.revivals.policy.panicked(actor.clone(), timers::now());
        error!(self.log, "an actor died of a panic"; "actor" => ?actor, "pause" => crate::duration::go_format(pause));
        if !self.is_lost(&actor) {
            // At the end somebody waits for the control socket's.
            if actor == ActorId::Control && self.control_closes {
                self.finish();
            }
            return;
        }
        self.bury(&actor, ctx);
        if pause.is_zero() {
            self.revive(&actor, ctx);
            return;
        }
        self.revivals.last_pause += 1;
        let number = self.revivals.last_pause;
        self.revivals.pausing.insert(actor.clone(), number);
        if let ActorId::Job(name) = &actor
            && (self.policy.is_closing() || self.reloads.policy.is_leaving(name))
        {
            self.vanish(name, ctx);
            return;
        }
        ctx.run_later(pause, move |supervisor, ctx| {
            if supervisor.revivals.pausing.get(&actor) == Some(&number) {
                supervisor.revivals.pausing.remove(&actor);
                supervisor.revive(&actor, ctx);
            }
        });
    }
}

impl Handler<Disowned> for Supervisor {
    type Result = ();

    fn handle(&mut self, Disowned(owner): Disowned, ctx: &mut Self::Context) {
        let (Owner::Job(name) | Owner::Check(name)) = owner;
        if self.revivals.vanishing.remove(&name) {
            self.has_vanished(&name, ctx);
        }
    }
}

impl Handler<WatchSaw> for Supervisor {
    type Result = ();

    fn handle(&mut self, WatchSaw(id, instances): WatchSaw, _ctx: &mut Self::Context) {
        if self.watches.iter().any(|(other, _)| *other == id) {
            self.seen.insert(id, instances);
        }
    }
}
