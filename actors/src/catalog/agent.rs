//! The services of this process in a catalog: asks each service's policy what news mean, and has its requests made.
//!
//! Not here: what is sent when (`policy::service`), how requests are made (`Registry`), and watches (`watch`).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use actix::prelude::*;
use slog::{Logger, debug, info, o, warn};

use super::client::Found;
use super::{Beginning, Outcome, Registry, RequestError};
use crate::event::JobName;
use crate::guard::PanicGuard;
use crate::messages::{
    CatalogCommand, CatalogContact, CatalogFinished, CatalogStatus, CatalogStatusQuery, RequestCounts, ServiceStatus,
};
use crate::policy::contact::{Contact, Contacts, Notice};
use crate::policy::job::Report;
use crate::policy::service::{Action, Answer, Request, RequestId, ServicePolicy, Timer};
use crate::random::Random;
use crate::spec::ServiceSpec;
use crate::timers;

#[derive(Debug)]
struct Service<M> {
    spec: ServiceSpec,
    policy: ServicePolicy,
    under_way: Option<(RequestId, SpawnHandle)>,
    timers: HashMap<Timer, SpawnHandle>,
    /// What the registry wants to know when it is asked again.
    memory: Option<M>,
    /// Why its last request failed, if it did.
    error: Option<String>,
    /// The jobs that are the service, if there are several.
    shared_by: BTreeSet<JobName>,
    /// For a service without a job: its heart beats by itself.
    beats: Option<SpawnHandle>,
}

/// A request that is under way.
#[derive(Debug)]
struct Asked {
    service: JobName,
    id: RequestId,
    operation: &'static str,
    at: Instant,
}

/// See the module.
#[derive(Debug)]
pub struct CatalogAgent<R: Registry> {
    registry: R,
    services: HashMap<JobName, Service<R::Memory>>,
    maintenance: bool,
    inherited: bool,
    finish: Option<Recipient<CatalogFinished>>,
    contacts: Contacts,
    requests: BTreeMap<&'static str, RequestCounts>,
    random: Random,
    log: Logger,
    _guard: Option<PanicGuard>,
}

impl<R: Registry> CatalogAgent<R> {
    /// Without services.
    pub fn new(registry: R, beginning: Beginning<'_>) -> Self {
        Self {
            registry,
            services: HashMap::new(),
            maintenance: beginning.maintenance,
            inherited: beginning.inherited,
            finish: None,
            contacts: Contacts::default(),
            requests: BTreeMap::new(),
            random: Random::from_entropy(),
            log: beginning.log.new(o!("catalog" => R::NAME)),
            _guard: beginning.guard,
        }
    }

    fn advertise(&mut self, spec: ServiceSpec, ctx: &mut Context<Self>) -> JobName {
        let name = JobName::new(&*spec.name);
        let (maintenance, inherited) = (self.maintenance, self.inherited);
        let service = self.services.entry(name.clone()).or_insert_with(|| Service {
            policy: ServicePolicy::new(&spec, maintenance, inherited),
            spec: spec.clone(),
            under_way: None,
            timers: HashMap::new(),
            memory: None,
            error: None,
            shared_by: BTreeSet::new(),
            beats: None,
        });
        let actions = service.policy.advertise(&spec, maintenance);
        service.spec = spec;
        self.perform(&name, actions, ctx);
        name
    }

    fn ask_policy(
        &mut self,
        name: &JobName,
        ctx: &mut Context<Self>,
        question: impl FnOnce(&mut ServicePolicy) -> Vec<Action>,
    ) {
        let Some(service) = self.services.get_mut(name) else { return };
        let actions = question(&mut service.policy);
        self.perform(name, actions, ctx);
    }

    fn ask_all(&mut self, ctx: &mut Context<Self>, question: impl Fn(&mut ServicePolicy) -> Vec<Action>) {
        let names: Vec<JobName> = self.services.keys().cloned().collect();
        for name in names {
            self.ask_policy(&name, ctx, &question);
        }
    }

    fn perform(&mut self, name: &JobName, actions: Vec<Action>, ctx: &mut Context<Self>) {
        for action in actions {
            match action {
                Action::Send(id, request) => self.send(name, id, request, ctx),
                Action::Cancel(id) => self.cancel(name, id, ctx),
                Action::Arm(timer, after) => self.arm(name, timer, after, ctx),
                Action::Disarm(timer) => self.disarm(name, timer, ctx),
            }
        }
        self.tidy(name, ctx);
    }

    /// Forgets a service that is gone, and says so when it was the last.
    fn tidy(&mut self, name: &JobName, ctx: &mut Context<Self>) {
        if self.services.get(name).is_some_and(|service| service.policy.is_gone())
            && let Some(mut gone) = self.services.remove(name)
        {
            for handle in gone.timers.drain().map(|(_, handle)| handle).chain(gone.beats) {
                ctx.cancel_future(handle);
            }
            self.contacts.forget(name.as_str());
        }
        self.take_leave(ctx);
    }

    /// Nothing is registered any more, and nothing will be.
    fn take_leave(&mut self, ctx: &mut Context<Self>) {
        if self.services.is_empty()
            && let Some(finish) = self.finish.take()
        {
            let leaving = fut::wrap_future(self.registry.close());
            ctx.spawn(leaving.map(move |(), _: &mut Self, _| finish.do_send(CatalogFinished)));
        }
    }

    fn arm(&mut self, name: &JobName, timer: Timer, after: Duration, ctx: &mut Context<Self>) {
        let Some(service) = self.services.get_mut(name) else { return };
        let handle = ctx.notify_later(TimerElapsed(name.clone(), timer), after);
        if let Some(older) = service.timers.insert(timer, handle) {
            ctx.cancel_future(older);
        }
    }

    fn disarm(&mut self, name: &JobName, timer: Timer, ctx: &mut Context<Self>) {
        let Some(service) = self.services.get_mut(name) else { return };
        if let Some(handle) = service.timers.remove(&timer) {
            ctx.cancel_future(handle);
        }
    }

    fn cancel(&mut self, name: &JobName, id: RequestId, ctx: &mut Context<Self>) {
        let Some(service) = self.services.get_mut(name) else { return };
        if let Some((_, handle)) = service.under_way.take_if(|(under_way, _)| *under_way == id) {
            ctx.cancel_future(handle);
        }
    }

    fn send(&mut self, name: &JobName, id: RequestId, request: Request, ctx: &mut Context<Self>) {
        let Some(service) = self.services.get_mut(name) else { return };
        debug!(self.log, "asking"; "service" => %name, "request" => ?request);
        if request == Request::Deregister {
            // 3.8: these words
            debug!(self.log, "deregistering: {}", service.spec.id);
        }
        let asked = Asked { service: name.clone(), id, operation: request.word(), at: timers::now() };
        let work = fut::wrap_future(self.registry.make(service.spec.clone(), service.memory.clone(), request));
        let handle = ctx.spawn(work.map(move |outcome, actor: &mut Self, ctx| actor.answered(&asked, outcome, ctx)));
        service.under_way = Some((id, handle));
    }

    fn answered(&mut self, asked: &Asked, outcome: Outcome<R::Memory>, ctx: &mut Context<Self>) {
        let Asked { service: name, id, operation, at } = asked;
        let Some(service) = self.services.get_mut(name) else { return };
        if service.under_way.take_if(|(under_way, _)| under_way == id).is_none() {
            return;
        }
        service.memory = outcome.memory;
        service.error = outcome.error.as_ref().map(RequestError::to_string);
        if *operation == Request::REGISTER && outcome.answer == Answer::Done {
            // 3.8 and 2.7: these words, which scripts look for
            info!(self.log, "Service registered: {}", service.spec.name);
        }
        let took = timers::now().duration_since(*at);
        self.tell(&CatalogContact::new(name.as_str(), operation, Some(took), outcome.error.as_ref()));
        let random = self.random.fraction();
        let pause = outcome.error.as_ref().and_then(RequestError::retry_after).unwrap_or_default();
        self.ask_policy(name, ctx, |policy| {
            policy.hold_back(pause);
            policy.answered(*id, outcome.answer, random)
        });
    }

    fn tell(&mut self, contact: &CatalogContact) {
        let (who, reason) = (&*contact.who, &*contact.reason);
        let counts = self.requests.entry(contact.operation).or_default();
        if let Some(took) = contact.took {
            counts.durations.record(took.as_secs_f64());
        }
        counts.errors += u64::from(contact.contact != Contact::Good);
        if !reason.is_empty() {
            debug!(self.log, "a request failed"; "for" => who, "reason" => reason);
        }
        match self.contacts.had(who, contact.contact) {
            Some(Notice::Away) => {
                warn!(self.log, "{} is away, trying again", R::NAME; "for" => who, "reason" => reason)
            }
            Some(Notice::Back) => info!(self.log, "{} is back", R::NAME),
            Some(Notice::Refuses) => {
                warn!(self.log, "{} refuses a request, trying again", R::NAME; "for" => who, "reason" => reason);
            }
            Some(Notice::Accepts) => info!(self.log, "{} no longer refuses", R::NAME; "for" => who),
            None => {}
        }
    }
}

impl<R: Registry> Actor for CatalogAgent<R> {
    type Context = Context<Self>;
}

impl<R: Registry> Handler<CatalogCommand> for CatalogAgent<R> {
    type Result = ();

    fn handle(&mut self, command: CatalogCommand, ctx: &mut Self::Context) {
        match command {
            CatalogCommand::Advertise(spec) => {
                self.advertise(spec, ctx);
            }
            CatalogCommand::AdvertiseAlways(spec) => {
                let interval = spec.interval;
                let name = self.advertise(spec, ctx);
                let beat = Beat(name.clone());
                let beats = ctx.run_interval(interval, move |_, ctx| ctx.notify(beat.clone()));
                if let Some(service) = self.services.get_mut(&name)
                    && let Some(older) = service.beats.replace(beats)
                {
                    ctx.cancel_future(older);
                }
                ctx.notify(Beat(name));
            }
            CatalogCommand::Readdress(name, address) => {
                let Some(service) = self.services.get_mut(&name) else { return };
                service.spec.address = address;
                self.ask_policy(&name, ctx, ServicePolicy::changed);
            }
            CatalogCommand::News(name, report) => self.ask_policy(&name, ctx, |policy| policy.report(report)),
            CatalogCommand::Share(name, by) => {
                if let Some(service) = self.services.get_mut(&name) {
                    service.shared_by.insert(by);
                }
            }
            CatalogCommand::SharedNews { service: name, by, report } => {
                let Some(service) = self.services.get_mut(&name) else { return };
                if report == Report::Withdraw {
                    service.shared_by.remove(&by);
                    if !service.shared_by.is_empty() {
                        return;
                    }
                }
                self.ask_policy(&name, ctx, |policy| policy.report(report));
            }
            CatalogCommand::Maintenance(on) => {
                self.maintenance = on;
                self.ask_all(ctx, |policy| policy.maintenance(on));
            }
            CatalogCommand::LookAtTls => {
                let looking = fut::wrap_future(self.registry.look_at_tls());
                ctx.spawn(looking.map(|found, actor: &mut Self, _| match found {
                    Some(Found::Unchanged) => info!(actor.log, "the TLS files have not changed"),
                    // Told by those who found it.
                    Some(Found::Changed | Found::Unusable(_)) | None => {}
                }));
            }
            CatalogCommand::Abandon => ctx.stop(),
            CatalogCommand::Finish(done) => {
                self.finish = Some(done);
                self.ask_all(ctx, ServicePolicy::finish);
                self.take_leave(ctx);
            }
        }
    }
}

impl<R: Registry> Handler<CatalogContact> for CatalogAgent<R> {
    type Result = ();

    fn handle(&mut self, contact: CatalogContact, _ctx: &mut Self::Context) {
        self.tell(&contact);
    }
}

impl<R: Registry> Handler<CatalogStatusQuery> for CatalogAgent<R> {
    type Result = CatalogStatus;

    fn handle(&mut self, _query: CatalogStatusQuery, _ctx: &mut Self::Context) -> CatalogStatus {
        let status = |service: &Service<R::Memory>| ServiceStatus {
            registration: service.policy.registration(),
            error: service.error.clone(),
        };
        let services = self.services.iter().map(|(name, service)| (name.clone(), status(service))).collect();
        CatalogStatus { catalog: R::NAME, services, requests: self.requests.clone() }
    }
}

#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
struct Beat(JobName);

impl<R: Registry> Handler<Beat> for CatalogAgent<R> {
    type Result = ();

    fn handle(&mut self, beat: Beat, ctx: &mut Self::Context) {
        self.ask_policy(&beat.0, ctx, |policy| policy.report(Report::Passed));
    }
}

#[derive(Debug, Message)]
#[rtype(result = "()")]
struct TimerElapsed(JobName, Timer);

impl<R: Registry> Handler<TimerElapsed> for CatalogAgent<R> {
    type Result = ();

    fn handle(&mut self, elapsed: TimerElapsed, ctx: &mut Self::Context) {
        let TimerElapsed(name, timer) = elapsed;
        if let Some(service) = self.services.get_mut(&name) {
            service.timers.remove(&timer);
        }
        self.ask_policy(&name, ctx, |policy| policy.elapsed(timer));
    }
}
