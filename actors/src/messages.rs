//! What crosses from one actor to another: commands, facts and queries. Plain values and recipients, no policy.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::sync::mpsc;

use crate::catalog::RequestError;
use crate::control::Socket;
use crate::event::{Event, EventCode, JobName, Owner, RunEnd, RunId, WatchName};
use crate::metrics::Histogram;
use crate::policy::contact::Contact;
use crate::policy::job::{CheckControl, Checked, Completion, Health, Report, State, Surroundings};
use crate::policy::reload::Diff;
use crate::policy::remainder::Grace;
use crate::policy::service::Registration;
use crate::policy::watch::Instance;
use crate::spec::{ControlSpec, Exec, MetricSpec, OutputSpec, ServiceSpec, StartRule, Stdin};

impl Message for Event {
    type Result = ();
}

/// What the event bus does.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum BusCommand {
    /// Deliver these events to this job from now on.
    Subscribe {
        /// Whose subscription it is, for `Unsubscribe`.
        subscriber: Owner,
        /// Exactly these.
        events: Vec<Event>,
        /// Where they go.
        to: Recipient<Event>,
    },
    /// Deliver nothing more to this subscriber.
    Unsubscribe(Owner),
    /// Deliver every event of these codes, whatever its source, to this one from now on.
    Tap {
        /// None for all codes.
        codes: &'static [EventCode],
        /// Where they go.
        to: Recipient<Event>,
    },
    /// Deliver the events of stops with the name of the job that emits them, which need not be the one in the event.
    Oversee(Recipient<JobAnnounced>),
    /// This happened.
    Publish(Event),
    /// This happened to a job.
    Announce(JobAnnounced),
}

/// A job has emitted an event.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct JobAnnounced {
    /// Which, by its unique name.
    pub job: JobName,
    /// What; of jobs that share a name in the config it tells that.
    pub event: Event,
}

/// How often each event has happened, for metrics.
#[derive(Debug, Message)]
#[rtype(result = "Vec<(Event, u64)>")]
pub struct EventCounts;

/// What to run.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The command.
    pub exec: Exec,
    /// Changes to the environment: `None` takes a variable out.
    pub env: Arc<[(OsString, Option<OsString>)]>,
    /// What becomes of its output.
    pub output: OutputSpec,
    /// What it is to report of its last words, unless they are raw.
    pub last_words: LastWords,
    /// Where its stdin comes from.
    pub stdin: Stdin,
    /// Whether its stdout is a value, to be reported whole, and its stderr is ours.
    pub prints_value: bool,
    /// The environment variables that hold its pid as long as it runs.
    pub pid_variables: Vec<OsString>,
    /// Its status if it cannot be started, if not a shell's.
    pub not_started: Option<u8>,
    /// Whether a check that ended may leave a daemon. Jobs decide that themselves.
    pub keeps_daemons: bool,
}

impl Launch {
    /// A command, and nothing special.
    pub fn new(exec: Exec) -> Self {
        Self {
            exec,
            env: [].into(),
            output: OutputSpec::default(),
            last_words: LastWords::OfFailure,
            stdin: Stdin::Empty,
            prints_value: false,
            pid_variables: Vec::new(),
            not_started: None,
            keeps_daemons: false,
        }
    }
}

/// Which last words of a run are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastWords {
    /// Those to either stream, however it ended.
    OfAny,
    /// Those to stderr, if it failed.
    OfFailure,
}

/// What the reaper does. Commands for runs that have ended are ignored.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum ReaperCommand {
    /// Start a process in a group of its own.
    Spawn {
        /// Whose.
        owner: Owner,
        /// Which run of the owner.
        run: RunId,
        /// What.
        launch: Arc<Launch>,
        /// Who is told how it goes.
        report: Recipient<RunReport>,
    },
    /// The stop's TERM to a run.
    Stop {
        /// Whose.
        owner: Owner,
        /// Which run of the owner.
        run: RunId,
        /// Whether it is for the whole process group, rather than for the leader alone.
        whole_group: bool,
    },
    /// What a run has left behind ends, each process with one TERM; `RunFact::Gone` follows.
    EndRemainder {
        /// Whose.
        owner: Owner,
        /// Which run of the owner.
        run: RunId,
        /// Whether with a KILL at once.
        kill: bool,
    },
    /// How much time stops grant from now on.
    Grant(Grace),
    /// Everything is about to stop: escapees end with their jobs, whatever `termGroup` says.
    Closing,
    /// A signal to the whole process group of a run.
    SignalGroup {
        /// Whose.
        owner: Owner,
        /// Which run of the owner.
        run: RunId,
        /// Which signal.
        signal: GroupSignal,
    },
    /// A signal to the process of a run alone.
    SignalProcess {
        /// Whose.
        owner: Owner,
        /// Which run of the owner.
        run: RunId,
        /// Its number.
        signal: i32,
    },
    /// Changes to the environment of every process started from now on: `None` takes a variable out.
    PutEnv(Vec<(OsString, Option<OsString>)>),
    /// An actor died: what it ran is killed, and forgotten. No later run of the owner begins beside it.
    Disown {
        /// Whose.
        owner: Owner,
        /// Is told once nothing is left of it.
        done: Option<Recipient<Disowned>>,
    },
    /// An owner has stopped for good: what it has still at work, which has had its TERM, ends without a report.
    Forget(Owner),
    /// Children may have ended.
    Reap,
    /// All jobs have stopped: everything that is left below us ends, and is reported when it is gone.
    EndAll {
        /// When the stop began.
        since: Instant,
        /// Gets the report.
        done: Recipient<AllEnded>,
    },
}

/// The signals that we send to process groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupSignal {
    /// `SIGTERM`
    Terminate,
    /// `SIGKILL`
    Kill,
    /// Any other, by number, because a user asked for it.
    Number(i32),
}

/// What became of a run.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct RunReport {
    /// Which run.
    pub run: RunId,
    /// What happened.
    pub fact: RunFact,
}

/// What happened to a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunFact {
    /// Its process runs under this pid.
    Started(i32),
    /// Its process has ended and leaves others behind; its end follows.
    Remains {
        /// Whether they hold the job's stdout or stderr.
        writes: bool,
    },
    /// It is over.
    Ended(RunEnd),
    /// Nothing is left of it any more.
    Gone,
    /// The last that it wrote; comes about when its end does.
    Said(String),
    /// What it printed, if that is a value; comes before its end.
    Printed(String),
}

/// No process below us is left.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct AllEnded;

/// What a job does when it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub enum JobCommand {
    /// Everything stops.
    ShutDown {
        /// Whether the stop of another job that it waits for is still to be announced.
        start_may_come: bool,
    },
    /// What it waits for will never come.
    StandDown,
    /// Stop for good.
    Stop,
    /// Stop for good, with a KILL.
    Kill,
    /// Run now, whatever it waits for; nothing if it runs.
    Start,
    /// A signal to its process group, if it has one.
    Signal(i32),
    /// A signal to its process alone, if it has one.
    PassOn(i32),
    /// Begin nothing new: the stop comes when the other jobs have stopped.
    Linger,
    /// What it waits for may happen again.
    SourceBack,
}

/// What a waiting job waits for can no longer happen.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct SourceLost {
    /// Why, for people.
    pub why: String,
    /// Whether the job is worth nothing without it.
    pub needed: bool,
}

/// Sends this event to a job that has just been started, if it is a fact that stands; or says why it will never be.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct TellFact {
    /// An event of the one that is asked.
    pub event: Event,
    /// Gets it.
    pub to: Recipient<Event>,
    /// Is told if it can no longer happen.
    pub otherwise: Recipient<SourceLost>,
}

/// Whether an event of this code is a fact that stands.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "bool")]
pub struct FactQuery(pub EventCode);

/// A health check has found something.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct CheckReport(pub Checked);

/// What the health check of a job shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct CheckCommand(pub CheckControl);

/// What the supervisor hears from jobs.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub enum JobFact {
    /// In a shutdown: it waits for another one's stop.
    StandingBy(JobName),
    /// It has stopped for good; its `stopped` follows.
    Completed(JobName, Completion),
    /// What it had left behind when it stopped is gone.
    Released(JobName),
    /// What it waits for can no longer happen.
    Blocked(JobName),
    /// Its first run has begun.
    Begun(JobName),
}

/// Nothing is left of what an actor that died had run.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct Disowned(pub Owner);

/// The instances that a watch has seen last, for the actor that takes its place.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct WatchSaw(pub u64, pub Vec<Instance>);

/// What the supervisor hears from outside.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub enum SupervisorCommand {
    /// A signal asks for the end of everything.
    ShutDown {
        /// Its name, for the log.
        signal: &'static str,
    },
    /// Enter maintenance, or leave it.
    Maintenance(bool),
    /// Enter maintenance, or leave it if we are in it.
    ToggleMaintenance,
    /// Read the config again, and become what it says; nobody waits for an answer.
    Reload,
    /// A signal for the main job's process.
    PassOn(i32),
}

/// Changes to the environment of all that starts from now on, and of later readings of the config: `None` takes a
/// variable out. All or none of them.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "Result<(), EnvironmentError>")]
pub struct PutEnvironment(pub Vec<(OsString, Option<OsString>)>);

/// Why an environment cannot be changed: no process could be started with it any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// A variable is longer than the kernel takes.
    #[error(
        "cannot set `{name}`: with its name it has {size} bytes, and no process can be started with more than {most}"
    )]
    TooLong {
        /// Its name, or the beginning of it.
        name: String,
        /// Bytes of `NAME=VALUE`.
        size: usize,
        /// How many it may have.
        most: usize,
    },
    /// All together are.
    #[error(
        "cannot set this: the whole environment would take {size} bytes, and no process can be started with more than {most}"
    )]
    TooMuch {
        /// Bytes that they take, pointers included.
        size: usize,
        /// How many they may take beside the largest command line.
        most: usize,
    },
}

/// What the control socket does.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum ControlCommand {
    /// Answer here from now on.
    Move {
        /// Where, as configured.
        spec: ControlSpec,
        /// The socket that has been made there.
        socket: Socket,
        /// See `socket`.
        listener: UnixListener,
    },
    /// The end: take the socket away, and say so once the answers that are due have been given, or it took too long.
    Close(Recipient<ControlClosed>),
}

/// The control socket is gone.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct ControlClosed;

/// Read the config again, and become what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "Result<Reloaded, ReloadError>")]
pub struct Reload {
    /// Only say what would change.
    pub dry_run: bool,
}

/// What a reload changes.
#[derive(Clone, Debug)]
pub struct Reloaded {
    /// What differs.
    pub diff: Diff,
    /// When the jobs start that it adds or changes, in the config's order; told of a dry run only.
    pub starts: Vec<(JobName, Starts)>,
}

/// When a job starts that a reload adds or changes, once the old runs that it waits for have ended.
#[derive(Clone, Debug)]
pub enum Starts {
    /// At once.
    Now,
    /// When this happens.
    After(Event),
    /// At once if this event is a fact that stands, as one of these knows.
    IfFact(Event, Vec<Recipient<FactQuery>>),
    /// At this pace, for the first time after so long.
    Later(Duration),
    /// Never by itself.
    Never,
}

/// Why a reload was none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReloadError {
    /// The config says what cannot be, or what it asks for cannot be had. Nothing has changed.
    #[error("{0}")]
    Refused(String),
    /// The config cannot be read now, whatever it says. Nothing has changed.
    #[error("cannot read the config: {0}")]
    Unreadable(String),
    /// Everything ends.
    #[error("containerpilot is about to end")]
    Ending,
}

/// What somebody asks of a job.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "Result<(), OrderError>")]
pub struct JobOrder {
    /// Of which.
    pub job: JobName,
    /// What.
    pub order: Order,
}

/// What somebody asks of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Run now, whatever it waits for.
    Start,
    /// Stop, until it is started by hand or a reload changes it.
    Stop,
    /// Stop, and run anew.
    Restart,
    /// A signal to its process group.
    Signal(i32),
}

/// Why an order was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// There is no such job.
    #[error("there is no such job")]
    Unknown,
    /// It is just being stopped.
    #[error("it is being stopped")]
    Stopping,
    /// Everything ends.
    #[error("containerpilot is about to end")]
    Ending,
}

/// Show me what happens from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "Followed")]
pub struct Follow {
    /// How many of the last events to begin with.
    pub replay: usize,
    /// Only events with a larger number.
    pub after: u64,
}

/// Events as they happen, ready to be sent to a viewer.
#[derive(Debug)]
pub struct Followed(pub mpsc::Receiver<Arc<[u8]>>);

/// The other jobs are others now.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct JobUpdate {
    /// What a job knows of them.
    pub around: Surroundings,
    /// Whether restarts are granted anew.
    pub renew: bool,
}

/// What the telemetry port does.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub enum TelemetryCommand {
    /// Serve this from now on; nothing without it.
    Serve(Option<Serves>),
}

/// What the telemetry port serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serves {
    /// Where.
    pub address: SocketAddr,
    /// Whether people are served, too.
    pub page: bool,
    /// By which names they may ask for us, besides addresses and `localhost`.
    pub hosts: Vec<String>,
}

/// What is measured.
#[derive(Clone, Debug, PartialEq, Message)]
#[rtype(result = "()")]
pub enum MetricCommand {
    /// The metrics that the config defines: those that are as before keep their values.
    Define(Vec<MetricSpec>),
    /// Values of metrics that the config defines; without a number what was sent as one is none.
    Record(Vec<(String, Option<f64>)>),
    /// What a job of ours has measured.
    Measure(String, f64),
    /// A reload was asked for.
    Reloaded {
        /// Whether the config was one that could be.
        accepted: bool,
    },
    /// A request to the control socket was answered.
    ControlServed {
        /// Which path, as documented.
        path: &'static str,
        /// With which status.
        status: u16,
    },
}

/// What is measured, as Prometheus reads it.
#[derive(Debug, Message)]
#[rtype(result = "String")]
pub struct MetricsText;

/// An actor died of a panic.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct ActorPanicked(pub ActorId);

/// Which actor.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ActorId {
    /// That of a job.
    Job(JobName),
    /// That of a health check.
    Check(JobName),
    /// That of a watch, by its number.
    Watch(u64),
    /// That of the catalog.
    Catalog,
    /// The control socket's.
    Control,
    /// The telemetry port's.
    Telemetry,
    /// The one that follows the addresses of services.
    Addresses,
    /// One that everything depends on.
    Core(&'static str),
}

/// What a job does at present.
#[derive(Debug, Message)]
#[rtype(result = "JobStatus")]
pub struct JobStatusQuery;

/// What a job does at present.
#[derive(Clone, Debug, MessageResponse)]
pub struct JobStatus {
    /// Which job.
    pub name: JobName,
    /// What it does.
    pub state: State,
    /// What is known of its health.
    pub health: Health,
    /// Its process, if one runs.
    pub pid: Option<i32>,
    /// How often it has run.
    pub runs: u64,
    /// How often its runs ended in which way, as text: a status, `signal: ...` or `not started`.
    pub ends: Vec<(String, u64)>,
    /// How long its process has run, if one runs.
    pub uptime: Option<Duration>,
    /// How many health checks in a row have failed.
    pub failures_in_a_row: u32,
    /// What the last health check found, and how long ago.
    pub last_check: Option<(Checked, Duration)>,
    /// How its last run ended.
    pub last_end: Option<RunEnd>,
    /// If that failed, the last lines that it wrote to stderr, unless they are raw; they come a moment after the end.
    pub last_words: String,
    /// How long it has been in its state.
    pub since: Duration,
    /// How often it was restarted after an end of its own.
    pub restarts: u64,
    /// Why it is blocked or gave up, if so.
    pub why: Option<String>,
}

/// What a health check has seen.
#[derive(Debug, Message)]
#[rtype(result = "CheckStatus")]
pub struct CheckStatusQuery;

/// What a health check has seen.
#[derive(Clone, Debug, Default, MessageResponse)]
pub struct CheckStatus {
    /// How long its runs took.
    pub durations: Histogram,
    /// What its last run wrote last, unless it is raw.
    pub said: String,
}

/// What everything looks like from above.
#[derive(Debug, Message)]
#[rtype(result = "Overview")]
pub struct OverviewQuery;

/// What everything looks like from above.
#[derive(Debug, MessageResponse)]
pub struct Overview {
    /// In the config's order.
    pub jobs: Vec<JobEntry>,
    /// In the config's order.
    pub watches: Vec<WatchEntry>,
    /// The service of the metrics port, if there is one.
    pub telemetry: Option<ServiceSpec>,
    /// Where services are registered.
    pub catalog: CatalogEntry,
    /// Whether the process is in maintenance.
    pub maintenance: bool,
    /// Whether everything is about to end.
    pub ending: bool,
}

/// A catalog, and whom to ask about it.
#[derive(Clone, Debug)]
pub enum CatalogEntry {
    /// The config names none.
    NotConfigured,
    /// It cannot be asked as configured; why.
    Unusable(String),
    /// It is there.
    Known(Recipient<CatalogStatusQuery>),
}

/// A watch, and whom to ask about it.
#[derive(Clone, Debug)]
pub struct WatchEntry {
    /// Which.
    pub name: WatchName,
    /// Knows what it has seen; nobody without a catalog.
    pub watch: Option<Recipient<WatchStatusQuery>>,
}

/// A job, and whom to ask about it.
#[derive(Clone, Debug)]
pub struct JobEntry {
    /// Which.
    pub name: JobName,
    /// When it starts.
    pub start: StartRule,
    /// Whether its end ends everything.
    pub main: bool,
    /// Whether its failure ends everything.
    pub required: bool,
    /// Whether its output goes to ours as it is.
    pub raw: bool,
    /// Whether it is checked.
    pub checked: bool,
    /// See `raw`: that of its checks.
    pub raw_checks: bool,
    /// Its service, if it is one.
    pub service: Option<ServiceSpec>,
    /// Knows its state; nobody while it has stopped to be started anew.
    pub job: Option<Recipient<JobStatusQuery>>,
    /// Knows how long checks take, and what they say.
    pub check: Option<Recipient<CheckStatusQuery>>,
}

/// What a catalog is told of services. One request of each is enough: newer news of a service replaces older.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum CatalogCommand {
    /// A job with a service exists; register it at once if it has an initial status.
    Advertise(ServiceSpec),
    /// A service without a job exists, which is well as long as we are.
    AdvertiseAlways(ServiceSpec),
    /// The address of this service is another one now.
    Readdress(JobName, IpAddr),
    /// News of the service of this job.
    News(JobName, Report),
    /// This job is one of several that are the service. It is taken out when the last of them has stopped.
    Share(JobName, JobName),
    /// News of a service that several jobs are, from one of them.
    SharedNews {
        /// Of which service.
        service: JobName,
        /// From which job.
        by: JobName,
        /// What.
        report: Report,
    },
    /// The process enters maintenance, or leaves it.
    Maintenance(bool),
    /// Look whether the files of TLS have changed, and say what was found.
    LookAtTls,
    /// Take everything out, and say when it is gone.
    Finish(Recipient<CatalogFinished>),
    /// Do nothing more.
    Abandon,
}

/// The interfaces of a service have another address now.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct AddressChanged(pub JobName, pub IpAddr);

/// The catalog has nothing of us any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct CatalogFinished;

/// How a request to the catalog went, for those who keep the log of its outages, and count.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct CatalogContact {
    /// Whose request: a service, or a watch as `watch.NAME`.
    pub who: String,
    /// What was asked, in a word of ours.
    pub operation: &'static str,
    /// How long it took, if it was to be answered at once.
    pub took: Option<Duration>,
    /// How it went.
    pub contact: Contact,
    /// Why it failed; empty if it did not.
    pub reason: String,
}

impl CatalogContact {
    /// From what became of a request.
    pub fn new(who: &str, operation: &'static str, took: Option<Duration>, error: Option<&RequestError>) -> Self {
        let contact = match error {
            None => Contact::Good,
            Some(error) if error.is_refusal() => Contact::Refused,
            Some(_) => Contact::Lost,
        };
        let reason = error.map(RequestError::to_string).unwrap_or_default();
        Self { who: who.to_owned(), operation, took, contact, reason }
    }
}

/// What the actor of a catalog knows.
#[derive(Debug, Message)]
#[rtype(result = "CatalogStatus")]
pub struct CatalogStatusQuery;

/// What the actor of a catalog knows.
#[derive(Clone, Debug, MessageResponse)]
pub struct CatalogStatus {
    /// The catalog's name.
    pub catalog: &'static str,
    /// How the registration of each service stands.
    pub services: HashMap<JobName, ServiceStatus>,
    /// Its requests so far, by operation, those of watches included.
    pub requests: BTreeMap<&'static str, RequestCounts>,
}

/// How the registration of a service stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceStatus {
    /// What the catalog has of it, as far as we know.
    pub registration: Registration,
    /// Why its last request failed, if it did.
    pub error: Option<String>,
}

/// How requests to a catalog went.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestCounts {
    /// How long they took, but for those that wait for news.
    pub durations: Histogram,
    /// How many failed.
    pub errors: u64,
}

/// Stop watching: whatever is under way is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct StopWatching;

/// The process enters maintenance, or leaves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct Maintain(pub bool);

/// What a watch has seen.
#[derive(Debug, Message)]
#[rtype(result = "WatchStatus")]
pub struct WatchStatusQuery;

/// What a watch has seen.
#[derive(Clone, Debug, PartialEq, Eq, MessageResponse)]
pub struct WatchStatus {
    /// Which watch.
    pub name: WatchName,
    /// The instances of its last good answer, in order; `None` before the first.
    pub instances: Option<Vec<Instance>>,
}
