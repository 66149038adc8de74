//! Starts everything, ends everything, and notices actors that died. What is due when is decided in `policy::shutdown`.

mod catalog_change;
mod ending;
mod environment;
mod orders;
#[cfg(any(test, feature = "testing"))]
mod provoked;
mod reload;
mod revival;
mod summary;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::ffi::OsString;
use std::fs::File;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use actix::prelude::*;
use slog::{Logger, debug, error, info, warn};
use summary::Summary;
use tokio::sync::oneshot;

use crate::address_watcher::{AddressWatcher, PickAddress, WatchAddresses};
use crate::bus::EventBus;
use crate::catalog::{Beginning, Catalog};
use crate::control::{ControlNeighbours, ControlServer};
use crate::event::{Event, EventCode, JobName, Owner, Source};
use crate::guard::PanicGuard;
use crate::health_check::{HealthCheckActor, ReportTo};
use crate::job::{JobActor, JobNeighbours};
use crate::journal::Journal;
use crate::messages::{
    ActorId, AddressChanged, BusCommand, CatalogCommand, CatalogEntry, CheckCommand, JobAnnounced, JobCommand,
    JobEntry, JobFact, Maintain, MetricCommand, Overview, OverviewQuery, ReaperCommand, Serves, SourceLost,
    StopWatching, SupervisorCommand, TelemetryCommand, WatchEntry,
};
use crate::metrics::Metrics;
use crate::output::Pump;
use crate::policy::init::{self, InitPolicy};
use crate::policy::job::{Completion, JobPolicy, Report, Surroundings, Watcher};
use crate::policy::remainder::Grace;
use crate::policy::shutdown::{Action, ShutdownPolicy, Why};
use crate::policy::waits::{self, Waits};
use crate::policy::watch::Instance;
use crate::reaper::{self, Environment, Reaper};
use crate::signal_handler::{SignalHandler, SignalNeighbours};
use crate::spec::{JobSpec, ServiceSpec, Spec, StartRule, TelemetrySpec, WatchSpec};
use crate::sys::SignalFd;
use crate::telemetry::{TelemetryNeighbours, TelemetryServer};
use crate::timers;
use crate::watch::{WatchActor, WatchNeighbours};

use ending::Ending;
use orders::Orders;
pub use reload::Loader;
use reload::Reloads;
use revival::Revivals;

/// The status when something broke that everything depends on (EX_SOFTWARE of sysexits.h).
pub const BROKEN: u8 = 70;

/// After this time a stop says whom it waits for.
const LATE: Duration = Duration::from_secs(1);

/// How many jobs that have stopped are served in one turn.
const DEPARTURES_AT_ONCE: usize = 32;
/// When the next turn comes.
const NEXT_TURN: Duration = Duration::from_millis(1);

/// The exit status, once all is over. If something broke that everything depends on, nobody is left who could end things in
/// order: what runs gets a TERM and this grace here, so that it does not outlive us.
pub async fn outcome(finished: oneshot::Receiver<u8>, grace: Grace) -> u8 {
    let status = finished.await.unwrap_or(BROKEN);
    if status == BROKEN {
        reaper::end_what_is_left(grace);
    }
    status
}

/// What a supervisor is given.
pub struct Resources {
    /// Reads the config again.
    pub load: Loader,
    /// The environment of children.
    pub environment: Vec<(OsString, OsString)>,
    /// /dev/null, the stdin of every child.
    pub nothing: File,
    /// Where children's output goes.
    pub pump: Pump,
    /// Our signals.
    pub signals: SignalFd,
    /// Our own log.
    pub log: Logger,
    /// Told the exit status once everything is over.
    pub finished: oneshot::Sender<u8>,
    /// Knows what interface specs mean.
    pub pick_address: PickAddress,
}

struct ForCore {
    environment: Environment,
    nothing: File,
    signals: SignalFd,
}

impl std::fmt::Debug for Resources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resources").finish_non_exhaustive()
    }
}

struct Core {
    #[cfg(any(test, feature = "testing"))]
    panics: provoked::CorePanics,
    bus: Addr<EventBus>,
    reaper: Recipient<ReaperCommand>,
    metrics: Addr<Metrics>,
    journal: Addr<Journal>,
    signals: Addr<SignalHandler>,
}

/// See the module.
pub struct Supervisor {
    spec: Spec,
    policy: ShutdownPolicy,
    init: InitPolicy,
    /// Until the core has started, which takes them.
    for_core: Option<ForCore>,
    pump: Pump,
    log: Logger,
    finished: Option<oneshot::Sender<u8>>,
    code: u8,
    core: Option<Core>,
    pick_address: PickAddress,
    catalog: Option<Catalog>,
    /// Why there is none although one is configured.
    unusable_catalog: Option<String>,
    addresses: Option<Addr<AddressWatcher>>,
    jobs: HashMap<JobName, Addr<JobActor>>,
    checks: HashMap<JobName, Addr<HealthCheckActor>>,
    /// In the config's order, as long as there is a catalog; each with a number of its own.
    watches: Vec<(u64, Addr<WatchActor>)>,
    last_watch: u64,
    control: Option<Addr<ControlServer>>,
    telemetry: Option<Addr<TelemetryServer>>,
    maintenance: bool,
    load: Loader,
    /// Ours, with the changes made so far: the config is rendered with it.
    environment: BTreeMap<OsString, OsString>,
    reloads: Reloads,
    orders: Orders,
    /// Where each job is in the config.
    places: HashMap<JobName, usize>,
    /// Which jobs start at the stop of which.
    watchers: WatcherIndex,
    /// The events that each job is told of.
    interests: HashMap<JobName, Vec<Event>>,
    waits: Waits,
    departures: Departures,
    /// Asked to end, and waiting for the catalog to know it.
    taking_leave: bool,
    /// When the end of everything began.
    closing_since: Option<Instant>,
    ending: Option<Ending>,
    /// The control socket's actor has been told to close, and is waited for.
    control_closes: bool,
    revivals: Revivals,
    /// The instances that each watch has seen last, by its number.
    seen: HashMap<u64, Vec<Instance>>,
    /// The services that the catalog's actor may have registered.
    advertised: HashMap<String, ServiceSpec>,
}

impl std::fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Supervisor").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl Supervisor {
    /// Nothing has started; that happens when the actor does.
    pub fn new(spec: Spec, resources: Resources) -> Self {
        let Resources { load, mut environment, nothing, pump, signals, log, finished, pick_address } = resources;
        environment.push(("CONTAINERPILOT_PID".into(), std::process::id().to_string().into()));
        let own_environment = environment.iter().cloned().collect();
        environment.extend(spec.address_variables());
        Self {
            policy: ShutdownPolicy::new(&spec.jobs),
            init: InitPolicy::new(&spec.jobs),
            for_core: Some(ForCore { environment: Environment::new(environment), nothing, signals }),
            spec,
            pump,
            log,
            finished: Some(finished),
            code: 0,
            core: None,
            pick_address,
            catalog: None,
            unusable_catalog: None,
            addresses: None,
            jobs: HashMap::new(),
            checks: HashMap::new(),
            watches: Vec::new(),
            last_watch: 0,
            control: None,
            telemetry: None,
            maintenance: false,
            load,
            environment: own_environment,
            reloads: Reloads::default(),
            orders: Orders::default(),
            places: HashMap::new(),
            watchers: WatcherIndex::default(),
            interests: HashMap::new(),
            waits: Waits::default(),
            departures: Departures::default(),
            taking_leave: false,
            closing_since: None,
            ending: None,
            control_closes: false,
            revivals: Revivals::default(),
            seen: HashMap::new(),
            advertised: HashMap::new(),
        }
    }

    /// A job as the config has it.
    fn find(&self, name: &JobName) -> Option<&JobSpec> {
        // Where it was when the config was read; jobs do not move.
        self.places.get(name).and_then(|place| self.spec.jobs.get(*place))
    }

    fn note_places(&mut self) {
        let places = self.spec.jobs.iter().enumerate();
        self.places = places.map(|(place, job)| (job.name.clone(), place)).collect();
        self.watchers = WatcherIndex::of(&self.spec);
    }

    fn guard(id: ActorId, ctx: &Context<Self>) -> Option<PanicGuard> {
        Some(PanicGuard::new(id, ctx.address().recipient()))
    }

    fn start_core(&mut self, ctx: &Context<Self>) {
        let Some(ForCore { environment, nothing, signals }) = self.for_core.take() else { return };
        let bus = EventBus::new(self.log.clone(), Self::guard(ActorId::Core("event bus"), ctx)).start();
        let guard = Self::guard(ActorId::Core("reaper"), ctx);
        let reaper = Reaper::new(environment, nothing, self.pump.clone(), self.log.clone(), guard).start();
        #[cfg(any(test, feature = "testing"))]
        let reaper_panics = reaper.clone().recipient();
        let reaper = reaper.recipient();
        let neighbours = SignalNeighbours {
            supervisor: ctx.address().recipient(),
            bus: bus.clone().recipient(),
            reaper: reaper.clone(),
            pump: self.pump.clone(),
        };
        let guard = Self::guard(ActorId::Core("signal handler"), ctx);
        let signals = SignalHandler::new(signals, self.spec.signals, neighbours, self.log.clone(), guard).start();
        bus.do_send(BusCommand::Oversee(ctx.address().recipient()));
        let guard = Self::guard(ActorId::Core("metrics"), ctx);
        let metrics = Metrics::new(self.log.clone(), guard).start();
        let telemetry = self.spec.telemetry.as_ref();
        metrics.do_send(MetricCommand::Define(telemetry.map(|spec| spec.metrics.clone()).unwrap_or_default()));
        let journal = Journal::new(Self::guard(ActorId::Core("journal"), ctx)).start();
        bus.do_send(BusCommand::Tap { codes: &[], to: journal.clone().recipient() });
        self.core = Some(Core {
            #[cfg(any(test, feature = "testing"))]
            panics: provoked::CorePanics { reaper: reaper_panics },
            bus,
            reaper,
            metrics,
            journal,
            signals,
        });
    }

    fn start_control(&mut self, ctx: &Context<Self>) {
        let (Some(core), Some(spec)) = (&self.core, self.spec.control.clone()) else { return };
        let neighbours = ControlNeighbours {
            log: self.log.clone(),
            supervisor: ctx.address().recipient(),
            environment: ctx.address().recipient(),
            reloads: ctx.address().recipient(),
            overview: ctx.address().recipient(),
            orders: ctx.address().recipient(),
            journal: core.journal.clone().recipient(),
            metrics: core.metrics.clone().recipient(),
            pump: self.pump.clone(),
        };
        let guard = Self::guard(ActorId::Control, ctx);
        let control = ControlServer::new(spec, neighbours, self.log.clone(), guard);
        self.control = Some(control.start());
    }

    fn start_telemetry(&mut self, ctx: &Context<Self>) {
        let Some(core) = &self.core else { return };
        let neighbours = TelemetryNeighbours {
            supervisor: ctx.address().recipient(),
            bus: core.bus.clone().recipient(),
            journal: core.journal.clone().recipient(),
            metrics: core.metrics.clone().recipient(),
            pump: self.pump.clone(),
        };
        let guard = Self::guard(ActorId::Telemetry, ctx);
        let serves = self.spec.telemetry.as_ref().filter(|_| self.init.is_open()).map(serves);
        self.telemetry = Some(TelemetryServer::new(serves, neighbours, self.log.clone(), guard).start());
    }

    fn surroundings(&self, job: &JobSpec) -> Surroundings {
        let index = &self.watchers;
        let configured = job.configured_name();
        let at_our_stop = index.at_the_stop_of.get(configured).into_iter().flatten();
        let is_there = |(name, _): &&(JobName, Watcher)| *name != job.name && self.policy.is_live(name);
        Surroundings {
            watchers: at_our_stop.filter(is_there).map(|(_, watcher)| watcher.clone()).collect(),
            has_successors: index.with_successors.contains(configured),
            window: self.window(),
            kills_at_once: self.spec.stop_timeout.is_zero(),
            closing_window: self.closing_window(job),
            maintenance: self.maintenance,
        }
    }

    /// The time that jobs at the stop of others have.
    fn window(&self) -> Duration {
        Some(self.spec.stop_timeout).filter(|window| !window.is_zero()).unwrap_or(Spec::STOP_TIMEOUT)
    }

    /// The time that a job has which runs in a shutdown: at least as long as the job waits whose stop it precedes.
    fn closing_window(&self, job: &JobSpec) -> Option<Duration> {
        let window = self.window();
        let Some(start) = job.start.event() else { return Some(window) };
        if matches!(start.code, EventCode::Terminating | EventCode::Ended) {
            return None;
        }
        let stopping = match &start.source {
            Source::Job(other) if start.code == EventCode::Stopping => self.find(other),
            Source::Job(_)
            | Source::Check(_)
            | Source::Watch(_)
            | Source::Global
            | Source::Signal(_)
            | Source::Reason(_) => None,
        };
        Some(stopping.and_then(|other| other.stop_timeout).map_or(window, |limit| limit.max(window)))
    }

    /// Starts the actors of a job; its process waits for its start event.
    /// `past`: how it has stopped, before the actor's time.
    fn start_job(&mut self, job: &JobSpec, around: Surroundings, past: Option<Completion>, ctx: &Context<Self>) {
        if past.is_none() {
            self.advertise(job);
        }
        let check = self.start_check(job, ctx);
        let Some(core) = &self.core else { return };
        let neighbours = JobNeighbours {
            reaper: core.reaper.clone(),
            bus: core.bus.clone().recipient(),
            supervisor: ctx.address().recipient(),
            check: check.as_ref().map(|check| check.clone().recipient::<CheckCommand>()),
            catalog: self.catalog.as_ref().filter(|_| job.service.is_some()).map(|catalog| catalog.agent.clone()),
            metrics: core.metrics.clone().recipient(),
        };
        let guard = Self::guard(ActorId::Job(job.name.clone()), ctx);
        let events = JobPolicy::interests_of(job, &around.watchers);
        let actor = JobActor::new(job, around, neighbours, &self.log, guard);
        let address = match past {
            Some(past) => actor.has_stopped(past).start(),
            None => actor.start(),
        };
        let (subscriber, to) = (Owner::Job(job.name.clone()), address.clone().recipient());
        core.bus.do_send(BusCommand::Subscribe { subscriber, events: events.clone(), to });
        self.interests.insert(job.name.clone(), events);
        if let Some(check) = check {
            check.do_send(ReportTo(address.clone().recipient()));
        }
        self.jobs.insert(job.name.clone(), address);
    }

    fn start_check(&mut self, job: &JobSpec, ctx: &Context<Self>) -> Option<Addr<HealthCheckActor>> {
        let (core, health) = (self.core.as_ref()?, job.health.as_ref()?);
        let guard = Self::guard(ActorId::Check(job.name.clone()), ctx);
        let bus = core.bus.clone().recipient();
        let reaper = core.reaper.clone();
        let address = HealthCheckActor::new(job, health, self.maintenance, reaper, bus, &self.log, guard).start();
        let subscriber = Owner::Check(job.name.clone());
        let (events, to) = (vec![Event::STARTUP], address.clone().recipient());
        core.bus.do_send(BusCommand::Subscribe { subscriber, events, to });
        self.checks.insert(job.name.clone(), address.clone());
        Some(address)
    }

    /// Without a catalog, or with one that cannot be asked, jobs run all the same.
    fn start_catalog(&mut self, inherited: bool, ctx: &Context<Self>) {
        self.unusable_catalog = None;
        let Some(spec) = &self.spec.catalog else { return };
        let guard = Self::guard(ActorId::Catalog, ctx);
        let beginning = Beginning { maintenance: self.maintenance, inherited, log: &self.log, guard };
        let catalog = match Catalog::start(spec, beginning) {
            Ok(catalog) => catalog,
            Err(reason) => {
                error!(self.log, "cannot ask the catalog, services are not registered"; "reason" => &reason);
                self.unusable_catalog = Some(reason);
                return;
            }
        };
        self.catalog = Some(catalog);
    }

    /// Of jobs that share a name the last one defines the service.
    fn advertise(&mut self, job: &JobSpec) {
        let twins = self.spec.jobs.iter().rev().filter(|other| job.twin_of.is_some() && other.twin_of == job.twin_of);
        let service = twins.filter_map(|twin| twin.service.as_ref()).next().or(job.service.as_ref());
        let (Some(catalog), Some(service), true) = (&self.catalog, service, job.service.is_some()) else { return };
        catalog.agent.do_send(CatalogCommand::Advertise(service.clone()));
        self.advertised.insert(service.name.clone(), service.clone());
        if let Some(name) = &job.twin_of {
            catalog.agent.do_send(CatalogCommand::Share(name.clone(), job.name.clone()));
        }
    }

    /// Telemetry is well as long as we are, but it is none before the rest starts.
    fn advertise_telemetry(&self) {
        let service = telemetry_service(&self.spec).filter(|_| self.init.is_open());
        if let (Some(catalog), Some(service)) = (&self.catalog, service) {
            catalog.agent.do_send(CatalogCommand::AdvertiseAlways(service));
        }
    }

    fn withdraw_telemetry(&self) {
        if let (Some(catalog), Some(service)) = (&self.catalog, telemetry_service(&self.spec)) {
            catalog.agent.do_send(CatalogCommand::News(JobName::new(service.name), Report::Withdraw));
        }
    }

    /// Has the addresses of all services followed; the one that telemetry listens at stays.
    fn watch_addresses(&mut self, ctx: &Context<Self>) {
        let services = self.spec.jobs.iter().filter_map(|job| job.service.clone()).collect();
        let (pick, log) = (self.pick_address, &self.log);
        let guard = || Self::guard(ActorId::Addresses, ctx);
        let start = || AddressWatcher::new(pick, ctx.address().recipient(), log, guard()).start();
        self.addresses.get_or_insert_with(start).do_send(WatchAddresses(services));
    }

    /// The definition of a job stays what it was when only its address is another one.
    fn readdress(&mut self, name: &JobName, address: IpAddr) {
        let job = self.spec.jobs.iter_mut().find(|job| job.name == *name);
        let Some(service) = job.and_then(|job| job.service.as_mut()) else { return };
        service.address = address;
        let service_name = JobName::new(&*service.name);
        let change = (service.address_variable(), Some(address.to_string().into()));
        if let Some(core) = &self.core {
            core.reaper.do_send(ReaperCommand::PutEnv(vec![change]));
        }
        if let Some(catalog) = &self.catalog {
            catalog.agent.do_send(CatalogCommand::Readdress(service_name, address));
        }
    }

    fn start_watch(&mut self, spec: &WatchSpec, ctx: &Context<Self>) -> Option<(u64, Addr<WatchActor>)> {
        self.last_watch += 1;
        self.watch_anew(self.last_watch, spec, ctx)
    }

    fn watch_anew(&self, id: u64, spec: &WatchSpec, ctx: &Context<Self>) -> Option<(u64, Addr<WatchActor>)> {
        let (core, catalog) = (self.core.as_ref()?, self.catalog.as_ref()?);
        let neighbours = WatchNeighbours {
            reaper: core.reaper.clone(),
            bus: core.bus.clone().recipient(),
            contacts: catalog.contacts.clone(),
            memory: (id, ctx.address().recipient()),
        };
        let guard = Self::guard(ActorId::Watch(id), ctx);
        let watch = WatchActor::new(spec, catalog.source(spec), neighbours, &self.log, guard).start();
        watch.do_send(Maintain(self.maintenance));
        Some((id, watch))
    }

    fn stop_watches(&mut self) {
        for (_, watch) in self.watches.drain(..) {
            watch.do_send(StopWatching);
        }
        self.seen.clear();
    }

    fn maintain(&mut self, on: bool) {
        if on == self.maintenance {
            return;
        }
        self.maintenance = on;
        if let Some(catalog) = &self.catalog {
            catalog.agent.do_send(CatalogCommand::Maintenance(on));
        }
        for (_, watch) in &self.watches {
            watch.do_send(Maintain(on));
        }
        self.publish(if on { Event::ENTER_MAINTENANCE } else { Event::EXIT_MAINTENANCE });
    }

    /// A job has stopped, or what it had left behind is gone: whoever waited for that is served.
    fn left(&mut self, name: &JobName, ctx: &mut Context<Self>) {
        if !self.policy.leaves_something(name) {
            self.departures.waiting.push_back(name.clone());
            self.serve_departures(ctx);
        }
    }

    /// Serves a few at once and the rest in later turns: when thousands of jobs leave together, events and requests come in between.
    fn serve_departures(&mut self, ctx: &mut Context<Self>) {
        while self.departures.served < DEPARTURES_AT_ONCE
            && let Some(name) = self.departures.waiting.pop_front()
        {
            self.departures.served += 1;
            let step = self.reloads.policy.stopped(&name);
            self.perform_step(step, ctx);
            self.ordered_job_stopped(&name);
        }
        if self.departures.served == 0 || self.departures.pauses {
            return;
        }
        self.departures.pauses = true;
        ctx.run_later(NEXT_TURN, |supervisor, ctx| {
            supervisor.departures.pauses = false;
            supervisor.departures.served = 0;
            supervisor.serve_departures(ctx);
        });
    }

    fn publish(&self, event: Event) {
        if let Some(core) = &self.core {
            core.bus.do_send(BusCommand::Publish(event));
        }
    }

    fn perform(&mut self, actions: Vec<Action>, ctx: &mut Context<Self>) {
        for action in actions {
            match action {
                Action::PublishShutdown => {
                    self.say_why();
                    self.closing_since = Some(timers::now());
                    ctx.run_later(LATE, |supervisor, _| supervisor.name_the_late());
                    if let Some(core) = &self.core {
                        core.reaper.do_send(ReaperCommand::Closing);
                    }
                    self.reloads.policy.abandon();
                    self.publish(Event::SHUTDOWN);
                    self.stop_watches();
                    self.withdraw_telemetry();
                }
                Action::ShutDown { job, start_may_come } => {
                    self.tell_to_stop(&job, JobCommand::ShutDown { start_may_come }, ctx);
                }
                Action::StandDown(job) => self.tell(&job, JobCommand::StandDown),
                Action::Linger(job) => self.tell(&job, JobCommand::Linger),
                Action::Finish(code) => {
                    debug!(self.log, "all jobs have stopped"; "status" => code);
                    self.code = code;
                    self.end(ctx);
                }
            }
        }
    }

    fn perform_init(&mut self, action: init::Action, ctx: &Context<Self>) {
        match action {
            init::Action::Begin(job) => self.begin(&job),
            init::Action::Open => self.open(ctx),
        }
    }

    /// A signal has been told of when it came.
    fn say_why(&self) {
        // A plain init says nothing of its own.
        if self.spec.signals.passed_on {
            return;
        }
        match self.policy.why() {
            Some(Why::MainEnded(job)) => info!(self.log, "everything stops: {}, the main job, has ended", job),
            Some(Why::RequiredFailed(job)) => {
                info!(self.log, "everything stops: {}, which is required, has failed", job)
            }
            Some(Why::NeverStarts(job)) => info!(self.log, "everything stops: {} can never start", job),
            Some(Why::Complete) => debug!(self.log, "everything stops: all jobs are complete"),
            Some(Why::Asked) | None => {}
        }
    }

    fn perform_waits(&self, actions: Vec<waits::Action>) {
        if self.is_ending() {
            return;
        }
        for action in actions {
            match action {
                waits::Action::Lost { job, why, needed } => {
                    if let Some(address) = self.jobs.get(&job) {
                        address.do_send(SourceLost { why, needed });
                    }
                }
                waits::Action::Back(job) => self.tell(&job, JobCommand::SourceBack),
            }
        }
    }

    /// A job starts, perhaps anew: those that wait for it may hope again.
    fn source_is_back(&mut self, name: &JobName) {
        let actions = self.waits.back(name);
        self.perform_waits(actions);
    }

    /// A job is complete: those that wait for anything else of it wait in vain.
    fn source_is_complete(&mut self, name: &JobName) {
        // One that was told to stop may be started again.
        if self.is_ending() || self.reloads.policy.is_leaving(name) {
            return;
        }
        let twin_of = self.find(name).and_then(|job| job.twin_of.as_ref());
        let another_lives = |twin_of: &JobName| {
            self.spec.jobs.iter().any(|job| job.twin_of.as_ref() == Some(twin_of) && self.policy.is_live(&job.name))
        };
        if twin_of.is_some_and(another_lives) {
            return;
        }
        if let Some(completion) = self.policy.completion(name) {
            let actions = self.waits.completed(twin_of.unwrap_or(name), completion);
            self.perform_waits(actions);
        }
    }

    /// How much time stops grant from now on.
    fn grant(&self) {
        if let Some(core) = &self.core {
            core.reaper.do_send(ReaperCommand::Grant(self.spec.grace()));
        }
    }

    /// What has to run before everything else has succeeded.
    fn open(&mut self, ctx: &Context<Self>) {
        self.publish(Event::STARTUP);
        let actions = self.waits.hopeless(&self.spec);
        self.perform_waits(actions);
        self.advertise_telemetry();
        if let Some(server) = &self.telemetry {
            server.do_send(TelemetryCommand::Serve(self.spec.telemetry.as_ref().map(serves)));
        }
        for watch in self.spec.watches.clone() {
            let started = self.start_watch(&watch, ctx);
            self.watches.extend(started);
        }
    }

    /// Has a job, which may have come late, start up.
    fn begin(&self, name: &JobName) {
        if let Some(address) = self.jobs.get(name) {
            address.do_send(Event::STARTUP);
        }
        if let Some(address) = self.checks.get(name) {
            address.do_send(Event::STARTUP);
        }
    }

    fn tell(&self, job: &JobName, command: JobCommand) {
        if let Some(address) = self.jobs.get(job) {
            address.do_send(command);
        }
    }
}

/// Jobs that have stopped, and may make room for others.
#[derive(Default)]
struct Departures {
    waiting: VecDeque<JobName>,
    /// How many have been served in this turn.
    served: usize,
    /// Whether the next turn is to come.
    pauses: bool,
}

/// Which jobs start at the stop of which, looked up once for many.
#[derive(Default)]
struct WatcherIndex {
    /// By the name in the config, each with its own unique one.
    at_the_stop_of: HashMap<JobName, Vec<(JobName, Watcher)>>,
    with_successors: HashSet<JobName>,
}

impl WatcherIndex {
    fn of(spec: &Spec) -> Self {
        let mut index = Self::default();
        for job in &spec.jobs {
            let (Some(source), Some(start)) = (source_of(job), job.start.event()) else { continue };
            let terminating = start.code == EventCode::Terminating;
            if terminating || start.code == EventCode::Stopping {
                let each = matches!(job.start, StartRule::Each(_));
                let watcher = Watcher { name: job.configured_name().clone(), terminating, each };
                index.at_the_stop_of.entry(source.clone()).or_default().push((job.name.clone(), watcher));
            } else if start.code == EventCode::Ended && *source != job.name {
                index.with_successors.insert(source.clone());
            }
        }
        index
    }
}

/// The job at whose event a job starts.
fn source_of(job: &JobSpec) -> Option<&JobName> {
    match &job.start.event()?.source {
        Source::Job(name) => Some(name),
        Source::Check(_) | Source::Global | Source::Watch(_) | Source::Signal(_) | Source::Reason(_) => None,
    }
}

/// Telemetry as a service; at a port that nobody knows beforehand it is none.
fn telemetry_service(spec: &Spec) -> Option<ServiceSpec> {
    spec.telemetry.as_ref().map(|telemetry| telemetry.service.clone()).filter(|service| service.port > 0)
}

fn serves(telemetry: &TelemetrySpec) -> Serves {
    let TelemetrySpec { address, page, hosts, .. } = telemetry;
    Serves { address: *address, page: *page, hosts: hosts.clone() }
}

/// How a job is told to stop while others go on.
fn leave_command(start_may_come: bool) -> JobCommand {
    if start_may_come { JobCommand::ShutDown { start_may_come } } else { JobCommand::Stop }
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.policy.stay_up(self.spec.stay_up);
        self.note_places();
        self.waits.of(&self.spec);
        self.start_core(ctx);
        self.grant();
        // 3.8: these words
        debug!(self.log, "loaded config: {}", Summary(&self.spec));
        for warning in &self.spec.warnings {
            warn!(self.log, "{}", warning);
        }
        for says in &self.spec.errors {
            error!(self.log, "{}", says);
        }
        self.start_catalog(false, ctx);
        for job in self.spec.jobs.clone() {
            let around = self.surroundings(&job);
            self.start_job(&job, around, None, ctx);
        }
        self.start_control(ctx);
        self.start_telemetry(ctx);
        self.watch_addresses(ctx);
        self.perform_init(self.init.next(), ctx);
    }
}

impl Handler<AddressChanged> for Supervisor {
    type Result = ();

    fn handle(&mut self, changed: AddressChanged, _ctx: &mut Self::Context) {
        self.readdress(&changed.0, changed.1);
    }
}

impl Handler<SupervisorCommand> for Supervisor {
    type Result = ();

    fn handle(&mut self, command: SupervisorCommand, ctx: &mut Self::Context) {
        match command {
            SupervisorCommand::ShutDown { signal } => {
                if !self.is_ending() {
                    info!(self.log, "everything stops: {}", signal);
                }
                self.asked(ctx);
            }
            SupervisorCommand::PassOn(signal) => {
                if let Some(main) = self.spec.jobs.iter().find(|job| job.main) {
                    self.tell(&main.name, JobCommand::PassOn(signal));
                }
            }
            SupervisorCommand::Reload => self.reload_by_signal(ctx),
            SupervisorCommand::ToggleMaintenance => self.maintain(!self.maintenance),
            SupervisorCommand::Maintenance(on) => self.maintain(on),
        }
    }
}

impl Handler<JobAnnounced> for Supervisor {
    type Result = ();

    fn handle(&mut self, JobAnnounced { job, event }: JobAnnounced, ctx: &mut Self::Context) {
        let actions = self.policy.event(&job, &event);
        self.perform(actions, ctx);
        if event.code == EventCode::Stopped {
            self.source_is_complete(&job);
            self.left(&job, ctx);
        }
    }
}

impl Handler<OverviewQuery> for Supervisor {
    type Result = Overview;

    fn handle(&mut self, _query: OverviewQuery, _ctx: &mut Self::Context) -> Overview {
        let entry = |job: &JobSpec| JobEntry {
            name: job.name.clone(),
            start: job.start.clone(),
            main: job.main,
            required: job.required,
            raw: job.output.raw,
            checked: job.health.is_some(),
            raw_checks: job.health.as_ref().is_some_and(|health| health.output.raw),
            service: job.service.clone(),
            job: self.jobs.get(&job.name).map(|job| job.clone().recipient()),
            check: self.checks.get(&job.name).map(|check| check.clone().recipient()),
        };
        let watches = self.spec.watches.iter().enumerate().map(|(place, watch)| WatchEntry {
            name: watch.name.clone(),
            watch: self.watches.get(place).map(|(_, watch)| watch.clone().recipient()),
        });
        Overview {
            jobs: self.spec.jobs.iter().map(entry).collect(),
            watches: watches.collect(),
            telemetry: self.spec.telemetry.as_ref().map(|telemetry| telemetry.service.clone()),
            catalog: match (&self.catalog, &self.unusable_catalog) {
                (Some(catalog), _) => CatalogEntry::Known(catalog.status.clone()),
                (None, Some(reason)) => CatalogEntry::Unusable(reason.clone()),
                (None, None) => CatalogEntry::NotConfigured,
            },
            maintenance: self.maintenance,
            ending: self.is_ending(),
        }
    }
}

impl Handler<JobFact> for Supervisor {
    type Result = ();

    fn handle(&mut self, fact: JobFact, ctx: &mut Self::Context) {
        match fact {
            JobFact::StandingBy(job) => {
                let actions = self.policy.standing_by(&job);
                self.perform(actions, ctx);
            }
            JobFact::Completed(job, completion) => {
                self.policy.completed(&job, completion);
                if let Some(action) = self.init.completed(&job, completion) {
                    self.perform_init(action, ctx);
                }
            }
            JobFact::Begun(job) => self.revivals.begun(job),
            JobFact::Released(job) => {
                let actions = self.policy.released(&job);
                self.perform(actions, ctx);
                self.left(&job, ctx);
            }
            JobFact::Blocked(job) => {
                let actions = self.waits.blocked(&job);
                self.perform_waits(actions);
                let actions = self.policy.blocked(&job);
                self.perform(actions, ctx);
            }
        }
    }
}
