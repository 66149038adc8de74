//! Validated descriptions of what to run: what `src/config` makes of a config and the runtime starts from.
//!
//! No serde, no parsing: a spec is right by the time it exists. `PartialEq` is what a reload compares.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::event::{Event, JobName, WatchName};
use crate::policy::remainder::Grace;

/// The whole config.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// In the config's order; names are unique, at most one is `main`.
    pub jobs: Vec<JobSpec>,
    /// In the config's order; several may watch one name, with other tags or datacenters.
    pub watches: Vec<WatchSpec>,
    /// The window W of a shutdown: from TERM to KILL, 5 s by default. Zero: there is no TERM, but a KILL at once.
    pub stop_timeout: Duration,
    /// Whether we stay up when no job is left.
    pub stay_up: bool,
    /// What Unix signals mean.
    pub signals: SignalSpec,
    /// Where services are registered and watches look; none is fine.
    pub catalog: Option<CatalogSpec>,
    /// The metrics server, if configured.
    pub telemetry: Option<TelemetrySpec>,
    /// The control socket, if there is to be one.
    pub control: Option<ControlSpec>,
    /// How and where we log.
    pub logging: LoggingSpec,
    /// What is worth a warning at start-up and an error in `-validate`.
    pub warnings: Vec<String>,
    /// What is worth an error at start-up, but keeps nothing from running.
    pub errors: Vec<String>,
}

impl Default for Spec {
    /// Nothing to do, nobody to tell, 3.8's window.
    fn default() -> Self {
        Self {
            jobs: Vec::new(),
            watches: Vec::new(),
            stop_timeout: Self::STOP_TIMEOUT,
            stay_up: false,
            signals: SignalSpec::default(),
            catalog: None,
            telemetry: None,
            control: None,
            logging: LoggingSpec::default(),
            warnings: Vec::new(),
            errors: Vec::new(),
        }
    }
}

impl Spec {
    /// 3.8's window between TERM and KILL.
    pub const STOP_TIMEOUT: Duration = Duration::from_secs(5);

    /// How much time a stop grants.
    pub fn grace(&self) -> Grace {
        if self.stop_timeout.is_zero() { Grace::KillAtOnce } else { Grace::Term(self.stop_timeout) }
    }

    /// The environment variables that tell where services are.
    pub fn address_variables(&self) -> Vec<(OsString, OsString)> {
        let services = self.jobs.iter().filter_map(|job| job.service.as_ref());
        let telemetry = self.telemetry.as_ref().map(|telemetry| &telemetry.service);
        let variable = |service: &ServiceSpec| (service.address_variable(), service.address.to_string().into());
        services.chain(telemetry).map(variable).collect()
    }
}

/// One job.
#[derive(Clone, Debug, PartialEq)]
pub struct JobSpec {
    /// Unique among the jobs.
    pub name: JobName,
    /// The name in the config, if several jobs have it. All of them emit its events.
    pub twin_of: Option<JobName>,
    /// The command; a job without one starts and never ends by itself.
    pub exec: Option<Exec>,
    /// When it starts.
    pub start: StartRule,
    /// Whether start events that come during a run make one more run, rather than one each.
    pub merges: bool,
    /// Of an interval job: the first run comes so long after start-up, not at once.
    pub delay: Option<Duration>,
    /// Whether it runs before everything else, alone and once: what is not `init` starts when all that is has succeeded.
    pub init: bool,
    /// How long to wait for the start event before giving up (`when.timeout`).
    pub wait_timeout: Option<Duration>,
    /// Restarts in the whole life of the job; for an interval job the beats after the first run.
    pub restarts: Budget,
    /// How long a run may take before its group is killed.
    pub timeout: Option<Duration>,
    /// What that was written as, if messages have it so.
    pub timeout_text: Option<String>,
    /// How long a stop waits for the jobs that watch its `stopping`.
    pub stop_timeout: Option<Duration>,
    /// The pauses between restarts of a job that ends quickly; `None` for `backoff: "none"`. What cannot even be started pauses
    /// all the same.
    pub backoff: Option<Backoff>,
    /// The status of a run that cannot be started, if not a shell's: 127 for what is not found, 126 for the rest.
    pub not_started: Option<u8>,
    /// Whether its completion ends everything, with its status.
    pub main: bool,
    /// Whether its failure, when no restart is left, ends everything, with its status.
    pub required: bool,
    /// Whether it is stopped only when all others have stopped.
    pub last: Last,
    /// What a reload means to it.
    pub on_reload: OnReload,
    /// Whether no run of it begins in maintenance; a start event that comes then counts afterwards, once.
    pub pauses: bool,
    /// Where its stdin comes from.
    pub stdin: Stdin,
    /// Whether a TERM goes to its process alone, rather than to the group.
    pub term_process: bool,
    /// Whether what a run that ended by itself leaves in its group goes on, as in version 2: until the next run, an order, or the
    /// end of everything. `init` jobs have that for a run that succeeded.
    pub keeps_daemons: bool,
    /// The metric that a successful run's stdout is a value of. Then its stderr is ours.
    pub metric: Option<String>,
    /// The environment variables that hold the pid of its process as long as it runs.
    pub pid_variables: Vec<OsString>,
    /// What becomes of its output.
    pub output: OutputSpec,
    /// Changes to the environment of its processes, checks included: `None` takes a variable out.
    pub env: Vec<(OsString, Option<OsString>)>,
    /// How its health is found out.
    pub health: Option<HealthSpec>,
    /// How it is advertised in the catalog.
    pub service: Option<ServiceSpec>,
}

impl JobSpec {
    /// The name in the config, whose events it emits.
    pub fn configured_name(&self) -> &JobName {
        self.twin_of.as_ref().unwrap_or(&self.name)
    }

    /// A job without a command: it starts at start-up, once, and never ends by itself.
    pub fn new(name: JobName) -> Self {
        Self {
            name,
            twin_of: None,
            exec: None,
            start: StartRule::Once(Event::STARTUP),
            merges: false,
            delay: None,
            init: false,
            wait_timeout: None,
            restarts: Budget::Limited(0),
            timeout: None,
            timeout_text: None,
            stop_timeout: None,
            backoff: Some(Backoff::default()),
            not_started: None,
            main: false,
            required: false,
            last: Last::No,
            on_reload: OnReload::IfChanged,
            pauses: false,
            stdin: Stdin::Empty,
            term_process: false,
            keeps_daemons: false,
            metric: None,
            pid_variables: Vec::new(),
            output: OutputSpec::default(),
            env: Vec::new(),
            health: None,
            service: None,
        }
    }
}

/// Where the stdin of a process comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stdin {
    /// There is none.
    #[default]
    Empty,
    /// It is ours. If that is a terminal, the process is in the foreground.
    Ours,
    /// The same; and when the process is stopped, as by Ctrl-Z, so are we, and it goes on when we do.
    OursWithJobControl,
}

/// What a reload means to a job that is in the new config too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnReload {
    /// Its definition decides: it is stopped and started anew if that has changed.
    IfChanged,
    /// It is stopped and started anew.
    Restart,
    /// It is killed, and started anew.
    Replace,
    /// It goes on as it is, whatever its definition.
    Keep,
}

/// What Unix signals mean. SIGTERM, SIGINT and SIGQUIT always end everything, unless all are passed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignalSpec {
    /// SIGHUP reads the config again; else it is an event.
    pub hup_reloads: bool,
    /// SIGUSR1 enters maintenance, or leaves it; else it reopens the log.
    pub usr1_maintains: bool,
    /// Every signal goes to the main job's process, and to nobody else.
    pub passed_on: bool,
}

/// A command line: never empty, no NUL in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exec {
    /// A path, or a name that is looked up in the PATH of the child's environment.
    pub program: OsString,
    /// The arguments after the program's name.
    pub args: Vec<OsString>,
}

/// What makes a job start (job-semantics section 2).
#[derive(Clone, Debug, PartialEq)]
pub enum StartRule {
    /// The first time this happens; `Event::STARTUP` where the config has no `when`.
    Once(Event),
    /// Every time this happens.
    Each(Event),
    /// At start-up and then at this pace.
    Interval(Duration),
    /// Never: `source` without `once` or `each`.
    Never,
}

impl StartRule {
    /// What it waits for, if that is an event.
    pub fn event(&self) -> Option<&Event> {
        match self {
            Self::Once(event) | Self::Each(event) => Some(event),
            Self::Interval(_) | Self::Never => None,
        }
    }
}

/// Whether a job is stopped only when all that are not `last` have stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// It stops with all others.
    No,
    /// It stops after them.
    Yes,
    /// It stops after them, unless we were asked to end.
    UnlessAsked,
}

impl Last {
    /// Whether it is one of the last in this end.
    pub fn counts(self, asked: bool) -> bool {
        match self {
            Self::No => false,
            Self::Yes => true,
            Self::UnlessAsked => !asked,
        }
    }
}

/// How often something may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// So many times.
    Limited(u64),
    /// Without end.
    Unlimited,
}

/// Pauses between restarts (product.md section 5).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// The first pause, 100 ms by default.
    pub initial: Duration,
    /// Each pause is so many times the one before, 2 by default.
    pub factor: f64,
    /// The longest pause, 10 s by default.
    pub max: Duration,
    /// How far a pause may differ at random, as a part of it: 0.1 by default.
    pub jitter: f64,
    /// A run of at least this length resets the pause, 10 s by default.
    pub reset_after: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            initial: Duration::from_millis(100),
            factor: 2.0,
            max: Duration::from_secs(10),
            jitter: 0.1,
            reset_after: Duration::from_secs(10),
        }
    }
}

/// What becomes of a process's stdout and stderr.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputSpec {
    /// The process gets our own stdout and stderr; its lines are not wrapped, and nothing else here matters.
    pub raw: bool,
    /// How its records look, if not as all others do.
    pub format: Option<LogFormat>,
    /// The level of its lines.
    pub level: LogLevel,
    /// More fields of each record, by name. None has the name of a field that we write.
    pub fields: Vec<(String, String)>,
    /// Lines that this matches begin a record, the others go on with it.
    pub multiline: Option<LinePattern>,
    /// Lines that are JSON objects are put into the record as such.
    pub json: bool,
    /// Under which keys of theirs level and time are looked for first.
    pub json_keys: JsonKeys,
    /// How many lines are taken.
    pub rate_limit: Option<RateLimit>,
}

impl Default for OutputSpec {
    fn default() -> Self {
        Self {
            raw: false,
            format: None,
            level: LogLevel::Info,
            fields: Vec::new(),
            multiline: None,
            json: false,
            json_keys: JsonKeys::default(),
            rate_limit: None,
        }
    }
}

/// Names of keys of JSON objects, before those that most loggers use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JsonKeys {
    /// Of the level.
    pub level: Vec<String>,
    /// Of the time.
    pub time: Vec<String>,
}

type Matches = dyn Fn(&[u8]) -> bool + Send + Sync;

/// A question that can be asked of a line, such as a compiled regular expression. Equal if the text is.
#[derive(Clone)]
pub struct LinePattern {
    text: String,
    matches: Arc<Matches>,
}

impl LinePattern {
    /// `matches` as `text` says it.
    pub fn new(text: impl Into<String>, matches: impl Fn(&[u8]) -> bool + Send + Sync + 'static) -> Self {
        Self { text: text.into(), matches: Arc::new(matches) }
    }

    /// The answer for a line, which is without its newline.
    pub fn matches(&self, line: &[u8]) -> bool {
        (self.matches)(line)
    }
}

impl PartialEq for LinePattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl std::fmt::Debug for LinePattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LinePattern").field(&self.text).finish()
    }
}

/// At most so many lines in each span of time; the others are dropped and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// At least 1.
    pub lines: u64,
    /// How long a span is; it begins with a line.
    pub per: Duration,
}

/// A health check.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthSpec {
    /// The command; without one a service is sent a heartbeat each interval.
    pub exec: Option<Exec>,
    /// The pace, at least 1 s.
    pub interval: Duration,
    /// How long the catalog believes a heartbeat.
    pub ttl: Duration,
    /// How long a check may take before its group is killed; the interval by default.
    pub timeout: Option<Duration>,
    /// What that was written as, if messages have it so.
    pub timeout_text: Option<String>,
    /// So many failures in a row are told to the catalog at once as critical; without it the TTL lapses.
    pub failures: Option<u32>,
    /// What becomes of the check's output.
    pub output: OutputSpec,
}

/// The status that a service has before its first check (`initial_status`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitialStatus {
    /// `passing`
    Passing,
    /// `warning`
    Warning,
    /// `critical`
    Critical,
}

/// A job in the catalog.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceSpec {
    /// `NAME-HOSTNAME`
    pub id: String,
    /// The id and the name of its check in Consul, if not Consul's own for it.
    pub check_id: Option<String>,
    /// The job's name.
    pub name: String,
    /// The advertised port.
    pub port: u16,
    /// The advertised address, chosen by `interfaces`.
    pub address: IpAddr,
    /// The interface specs as written, to look again when addresses change.
    pub interfaces: Vec<String>,
    /// In the config's order.
    pub tags: Vec<String>,
    /// Registered with this at once, if any.
    pub initial_status: Option<InitialStatus>,
    /// How long the catalog believes a heartbeat.
    pub ttl: Duration,
    /// The pace of the check, and so of heartbeats; also the longest pause after a failed request.
    pub interval: Duration,
    /// Whether others may change the tags.
    pub enable_tag_override: bool,
    /// Go's words for the time after which Consul drops a critical service.
    pub deregister_critical_after: Option<String>,
    /// Consul's `Meta`, by key.
    pub meta: Vec<(String, String)>,
    /// Consul's `Weights`.
    pub weights: Option<Weights>,
    /// Consul's `TaggedAddresses`, by tag.
    pub tagged_addresses: Vec<(String, TaggedAddress)>,
}

impl ServiceSpec {
    /// A service of this name that is nowhere yet.
    pub fn new(name: &str) -> Self {
        Self {
            id: String::new(),
            check_id: None,
            name: name.to_owned(),
            port: 0,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            interfaces: Vec::new(),
            tags: Vec::new(),
            initial_status: None,
            ttl: Duration::from_secs(1),
            interval: Duration::from_secs(1),
            enable_tag_override: false,
            deregister_critical_after: None,
            meta: Vec::new(),
            weights: None,
            tagged_addresses: Vec::new(),
        }
    }

    /// The name of the variable that tells its address. 3.8: upper case, and `-` as `_`.
    pub fn address_variable(&self) -> OsString {
        format!("CONTAINERPILOT_{}_IP", self.name.to_uppercase().replace('-', "_")).into()
    }
}

/// How much DNS answers prefer a service, by its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weights {
    /// While it passes.
    pub passing: u16,
    /// While it warns.
    pub warning: u16,
}

/// One more address of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaggedAddress {
    /// An address or a name.
    pub address: String,
    /// The service's port, unless it differs there.
    pub port: u16,
}

/// A watch for changes of a service.
#[derive(Clone, Debug, PartialEq)]
pub struct WatchSpec {
    /// Its events' source is `watch.NAME`.
    pub name: WatchName,
    /// The name of the service that is looked up.
    pub service: String,
    /// How long after start-up it looks for the first time.
    pub delay: Duration,
    /// The longest time between two looks.
    pub interval: Duration,
    /// Only instances with all of these tags.
    pub tags: Vec<String>,
    /// Consul's datacenter.
    pub dc: Option<String>,
    /// Whether any server may answer, not the leader alone: one that lags behind may answer with old news.
    pub stale: bool,
    /// So many instances are `healthy`, fewer are `unhealthy`; 1 by default.
    pub min_instances: usize,
    /// Changes that follow each other faster than this are one change.
    pub debounce: Duration,
    /// Whether it looks at nothing in maintenance, and a look afterwards, or one after a reload, is compared with the last one
    /// before, as in version 2.
    pub pauses: bool,
}

impl WatchSpec {
    /// Whether it looks at the same as another one, however often.
    pub fn sees_what(&self, other: &Self) -> bool {
        (&self.name, &self.service, &self.tags, &self.dc) == (&other.name, &other.service, &other.tags, &other.dc)
    }
}

/// Which catalog, and how to reach it.
#[derive(Clone, Debug, PartialEq)]
pub enum CatalogSpec {
    /// Consul.
    Consul(ConsulSpec),
    /// etcd.
    Etcd(EtcdSpec),
    /// ZooKeeper.
    ZooKeeper(ZooKeeperSpec),
}

impl CatalogSpec {
    /// Its field in a config.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Consul(_) => "consul",
            Self::Etcd(_) => "etcd",
            Self::ZooKeeper(_) => "zookeeper",
        }
    }
}

/// How to reach Consul. Debug output leaves the token out.
#[derive(Clone, PartialEq)]
pub struct ConsulSpec {
    /// `host:port`, `[v6]:port` or `unix:///path`, without a scheme.
    pub address: String,
    /// Whether to speak TLS.
    pub https: bool,
    /// Sent as `X-Consul-Token`.
    pub token: Option<String>,
    /// Where the token is read from, again whenever it is refused; used if there is no `token`.
    pub token_file: Option<PathBuf>,
    /// How TLS is done.
    pub tls: TlsSpec,
}

impl std::fmt::Debug for ConsulSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConsulSpec")
            .field("address", &self.address)
            .field("https", &self.https)
            .field("token", &self.token.as_ref().map(|_| "(secret)"))
            .field("token_file", &self.token_file)
            .field("tls", &self.tls)
            .finish()
    }
}

/// How to reach etcd.
#[derive(Clone, Debug, PartialEq)]
pub struct EtcdSpec {
    /// At least one; they are tried in this order.
    pub endpoints: Vec<EtcdEndpoint>,
    /// What all keys begin with, without a slash at the end.
    pub prefix: String,
    /// Which of its interfaces is spoken.
    pub api: EtcdApi,
    /// Whether a warning is due if there are entries of API 2: nobody has chosen an API, and 2.7 spoke that one.
    pub warns_of_api2: bool,
    /// Who we are, if anybody asks.
    pub login: Option<EtcdLogin>,
    /// How TLS is done.
    pub tls: TlsSpec,
}

/// Where a member of an etcd cluster listens.
#[derive(Clone, Debug, PartialEq)]
pub struct EtcdEndpoint {
    /// `host:port`, `[v6]:port` or `unix:///path`, without a scheme.
    pub address: String,
    /// Whether to speak TLS.
    pub https: bool,
}

/// An interface of etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EtcdApi {
    /// Keys and directories, as ContainerPilot 2.7 wrote them.
    Two,
    /// Keys with leases.
    Three,
}

/// A user of etcd. Debug output leaves the password out.
#[derive(Clone, PartialEq)]
pub struct EtcdLogin {
    /// The name.
    pub username: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for EtcdLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EtcdLogin").field("username", &self.username).finish_non_exhaustive()
    }
}

/// How to reach ZooKeeper. Debug output leaves the password out.
#[derive(Clone, PartialEq)]
pub struct ZooKeeperSpec {
    /// Hosts, each with its port: names, or addresses without brackets. One that answers is enough.
    pub hosts: Vec<(String, u16)>,
    /// The path of all that is ours; it begins with `/` and does not end with it. Empty for the root.
    pub prefix: String,
    /// `user:password`, to whom all belongs that we make.
    pub digest: Option<String>,
    /// How long the servers take us for alive without a word of ours: as long as the shortest `ttl` of our services.
    pub session_timeout: Duration,
}

impl std::fmt::Debug for ZooKeeperSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ZooKeeperSpec")
            .field("hosts", &self.hosts)
            .field("prefix", &self.prefix)
            .field("digest", &self.digest.as_ref().map(|_| "(secret)"))
            .field("session_timeout", &self.session_timeout)
            .finish()
    }
}

/// How TLS is done.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsSpec {
    /// A file of CA certificates.
    pub ca_file: Option<PathBuf>,
    /// A folder of CA certificates.
    pub ca_path: Option<PathBuf>,
    /// Our certificate and its key; both or none.
    pub client: Option<(PathBuf, PathBuf)>,
    /// The name to ask for and to verify instead of the host's.
    pub server_name: Option<String>,
    /// Whether the server's certificate is verified: yes, unless told otherwise.
    pub verify: bool,
}

impl Default for TlsSpec {
    fn default() -> Self {
        Self { ca_file: None, ca_path: None, client: None, server_name: None, verify: true }
    }
}

/// The metrics server.
#[derive(Clone, Debug, PartialEq)]
pub struct TelemetrySpec {
    /// Where it listens: the address chosen by `interfaces`, port 9090 by default; 0 for any, and then no service.
    pub address: SocketAddr,
    /// The service `containerpilot`, as advertised.
    pub service: ServiceSpec,
    /// The users' own metrics.
    pub metrics: Vec<MetricSpec>,
    /// Whether a page for people is served too: unless the config says so, on the loopback interface only.
    pub page: bool,
    /// The names, besides addresses and `localhost`, by which a browser may ask for the page; in lower case.
    pub hosts: Vec<String>,
    /// Whether nothing is started if somebody else has the port, as in version 2.
    pub must_listen: bool,
}

/// What kind of metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// `counter`
    Counter,
    /// `gauge`
    Gauge,
    /// `histogram`
    Histogram,
    /// `summary`
    Summary,
}

/// A user's metric.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricSpec {
    /// The non-empty parts joined with `_`.
    pub full_name: String,
    /// The help text.
    pub help: String,
    /// Its type.
    pub kind: MetricKind,
}

/// The control socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlSpec {
    /// Its path, `/var/run/containerpilot.socket` by default.
    pub socket: PathBuf,
    /// Whether the path is the default one.
    pub is_default: bool,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Every message and transition.
    Debug,
    /// Life cycle and children's lines.
    Info,
    /// We coped.
    Warn,
    /// Someone must act.
    Error,
    /// 3.8's word; nothing of ours is logged at it.
    Fatal,
    /// 3.8's word; nothing of ours is logged at it.
    Panic,
}

impl LogLevel {
    /// Its name in records.
    pub fn word(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warning",
            Self::Error => "error",
            Self::Fatal => "fatal",
            Self::Panic => "panic",
        }
    }
}

/// How a record looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// `TIME [JOB] [PID] MESSAGE`
    Default,
    /// `YEAR/MONTH/DAY TIME MESSAGE`, version 2's default.
    Stamp,
    /// logrus' `key=value` text
    Text,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// All of them.
    pub const ALL: [LogFormat; 4] = [Self::Default, Self::Stamp, Self::Text, Self::Json];
}

/// Where records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogOutput {
    /// Our stdout.
    Stdout,
    /// Our stderr.
    Stderr,
    /// A file, appended to and reopened on SIGUSR1.
    File(PathBuf),
}

impl std::fmt::Display for LogOutput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stdout => f.write_str("stdout"),
            Self::Stderr => f.write_str("stderr"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// Logging as configured at the top level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggingSpec {
    /// The least level that is written.
    pub level: LogLevel,
    /// How records look.
    pub format: LogFormat,
    /// Where they go.
    pub output: LogOutput,
    /// Of children's lines, no record holds more bytes; a longer line becomes several.
    pub max_line: usize,
    /// Keys of JSON objects, of whatever job, after those of the job's own.
    pub json_keys: JsonKeys,
}

impl Default for LoggingSpec {
    fn default() -> Self {
        Self {
            level: LogLevel::Info,
            format: LogFormat::Default,
            output: LogOutput::Stdout,
            max_line: 64 * 1024,
            json_keys: JsonKeys::default(),
        }
    }
}
