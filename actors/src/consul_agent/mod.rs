//! The services of this process in a Consul agent: asks each service's policy what news mean, and makes its requests.
//!
//! Not here: what is sent when (`policy::service`), and watches (`watch`), which share the client.

mod client;
mod connect;
mod dns;
mod tls;
mod wire;

use std::collections::HashMap;
use std::time::Duration;

use actix::prelude::*;
use awc::http::Method;
use slog::{Logger, debug, info, o, warn};

pub use client::{ClientError, ConsulClient, RequestError};
pub use tls::{TlsError, client_config};
pub use wire::percent_encode;

use crate::event::JobName;
use crate::guard::PanicGuard;
use crate::messages::{CatalogCommand, CatalogContact, CatalogFinished};
use crate::policy::contact::{Contacts, Notice};
use crate::policy::job::Report;
use crate::policy::service::{Action, Answer, Request, RequestId, ServicePolicy, Timer};
use crate::random::Random;
use crate::spec::ServiceSpec;

#[derive(Debug)]
struct Service {
    spec: ServiceSpec,
    policy: ServicePolicy,
    under_way: Option<(RequestId, SpawnHandle)>,
    timers: HashMap<Timer, SpawnHandle>,
    /// Consul's hash of the entry that was last found to be as registered.
    good_hash: Option<String>,
    /// For a service without a job: its heart beats by itself.
    beats: Option<SpawnHandle>,
}

/// See the module.
#[derive(Debug)]
pub struct ConsulAgent {
    client: ConsulClient,
    services: HashMap<JobName, Service>,
    maintenance: bool,
    inherited: bool,
    finish: Option<Recipient<CatalogFinished>>,
    contacts: Contacts,
    random: Random,
    log: Logger,
    _guard: Option<PanicGuard>,
}

impl ConsulAgent {
    /// Without services. `inherited`: it takes over from one that died.
    pub fn new(
        client: ConsulClient,
        maintenance: bool,
        inherited: bool,
        log: &Logger,
        guard: Option<PanicGuard>,
    ) -> Self {
        Self {
            client,
            services: HashMap::new(),
            maintenance,
            inherited,
            finish: None,
            contacts: Contacts::default(),
            random: Random::from_entropy(),
            log: log.new(o!("catalog" => "consul")),
            _guard: guard,
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
            good_hash: None,
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
        if self.services.is_empty()
            && let Some(finish) = self.finish.take()
        {
            finish.do_send(CatalogFinished);
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
        debug!(self.log, "asking consul"; "service" => %name, "request" => ?request);
        if matches!(request, Request::Register(_)) {
            service.good_hash = None;
        }
        let work = make(self.client.clone(), service.spec.clone(), service.good_hash.clone(), request);
        let of = name.clone();
        let work = fut::wrap_future(work);
        let handle = ctx.spawn(work.map(move |outcome, actor: &mut Self, ctx| actor.answered(&of, id, outcome, ctx)));
        service.under_way = Some((id, handle));
    }

    fn answered(&mut self, name: &JobName, id: RequestId, outcome: Outcome, ctx: &mut Context<Self>) {
        let Some(service) = self.services.get_mut(name) else { return };
        if service.under_way.take_if(|(under_way, _)| *under_way == id).is_none() {
            return;
        }
        if outcome.hash.is_some() {
            service.good_hash = outcome.hash;
        }
        self.tell(&CatalogContact::new(name.as_str(), outcome.error.as_ref()));
        let random = self.random.fraction();
        self.ask_policy(name, ctx, |policy| policy.answered(id, outcome.answer, random));
    }

    fn tell(&mut self, contact: &CatalogContact) {
        let (who, reason) = (&*contact.who, &*contact.reason);
        if !reason.is_empty() {
            debug!(self.log, "a request failed"; "for" => who, "reason" => reason);
        }
        match self.contacts.had(who, contact.contact) {
            Some(Notice::Away) => warn!(self.log, "consul is away, trying again"; "for" => who, "reason" => reason),
            Some(Notice::Back) => info!(self.log, "consul is back"),
            Some(Notice::Refuses) => {
                warn!(self.log, "consul refuses a request, trying again"; "for" => who, "reason" => reason);
            }
            Some(Notice::Accepts) => info!(self.log, "consul no longer refuses"; "for" => who),
            None => {}
        }
    }
}

/// What came of a request.
struct Outcome {
    answer: Answer,
    error: Option<RequestError>,
    hash: Option<String>,
}

impl Outcome {
    fn of(answer: Answer) -> Self {
        Self { answer, error: None, hash: None }
    }
}

/// How long an answer may take: half the time that the agent believes the last heartbeat.
fn patience(spec: &ServiceSpec) -> Duration {
    (spec.ttl / 2).clamp(Duration::from_secs(1), Duration::from_secs(10))
}

async fn make(client: ConsulClient, spec: ServiceSpec, good_hash: Option<String>, request: Request) -> Outcome {
    let id = percent_encode(&spec.id);
    let (method, path, body) = match &request {
        Request::Look => (Method::GET, format!("/v1/agent/service/{id}"), Ok(Vec::new())),
        Request::Register(status) => {
            (Method::PUT, "/v1/agent/service/register".to_owned(), wire::registration(&spec, *status))
        }
        Request::Heartbeat(status, output) => {
            (Method::PUT, format!("/v1/agent/check/update/service:{id}"), wire::update(*status, output))
        }
        Request::Deregister => (Method::PUT, format!("/v1/agent/service/deregister/{id}"), Ok(Vec::new())),
    };
    let body = body.expect("plain structs of text and numbers are always JSON");
    let reply = match client.ask(method, &path, &body, patience(&spec)).await {
        Ok(reply) => reply,
        Err(error) => {
            let unsent = matches!(error, RequestError::Unsent(_));
            let answer = if unsent { Answer::Unsent } else { Answer::Failed };
            return Outcome { answer, error: Some(error), hash: None };
        }
    };
    let unknown = reply.status == 404 || (!reply.is_success() && says_unknown(&reply.text()));
    match request {
        Request::Register(_) if unknown => {}
        _ if unknown => return Outcome::of(Answer::Unknown),
        Request::Look if reply.is_success() => {
            if reply.hash.is_some() && reply.hash == good_hash {
                return Outcome::of(Answer::Done);
            }
            return match wire::is_as_registered(&reply.body, &spec) {
                Ok(true) => Outcome { hash: reply.hash, ..Outcome::of(Answer::Done) },
                Ok(false) => Outcome::of(Answer::Differs),
                Err(cause) => {
                    let error = RequestError::Broken(format!("the answer makes no sense: {cause}"));
                    Outcome { answer: Answer::Failed, error: Some(error), hash: None }
                }
            };
        }
        Request::Look | Request::Register(_) | Request::Heartbeat(..) | Request::Deregister => {}
    }
    if reply.is_success() {
        return Outcome::of(Answer::Done);
    }
    Outcome { answer: Answer::Failed, error: Some(reply.refusal()), hash: None }
}

/// Consul's words, of old versions with a 500 before them, for what it has never heard of.
fn says_unknown(text: &str) -> bool {
    ["does not have associated TTL", "Unknown check", "unknown check", "Unknown service", "unknown service"]
        .iter()
        .any(|words| text.contains(words))
}

impl Actor for ConsulAgent {
    type Context = Context<Self>;
}

impl Handler<CatalogCommand> for ConsulAgent {
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
            CatalogCommand::Maintenance(on) => {
                self.maintenance = on;
                self.ask_all(ctx, |policy| policy.maintenance(on));
            }
            CatalogCommand::Abandon => ctx.stop(),
            CatalogCommand::Finish(done) => {
                self.finish = Some(done);
                self.ask_all(ctx, ServicePolicy::finish);
                if self.services.is_empty()
                    && let Some(finish) = self.finish.take()
                {
                    finish.do_send(CatalogFinished);
                }
            }
        }
    }
}

impl Handler<CatalogContact> for ConsulAgent {
    type Result = ();

    fn handle(&mut self, contact: CatalogContact, _ctx: &mut Self::Context) {
        self.tell(&contact);
    }
}

#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
struct Beat(JobName);

impl Handler<Beat> for ConsulAgent {
    type Result = ();

    fn handle(&mut self, beat: Beat, ctx: &mut Self::Context) {
        self.ask_policy(&beat.0, ctx, |policy| policy.report(Report::Passed));
    }
}

#[derive(Debug, Message)]
#[rtype(result = "()")]
struct TimerElapsed(JobName, Timer);

impl Handler<TimerElapsed> for ConsulAgent {
    type Result = ();

    fn handle(&mut self, elapsed: TimerElapsed, ctx: &mut Self::Context) {
        let TimerElapsed(name, timer) = elapsed;
        if let Some(service) = self.services.get_mut(&name) {
            service.timers.remove(&timer);
        }
        self.ask_policy(&name, ctx, |policy| policy.elapsed(timer));
    }
}
