//! A v3 config as written: which fields each block may have, every one optional and not looked at yet.
//!
//! serde has brought the text as far as `Node`; its derived structs would stop at the first problem, and know neither
//! the places of values nor that 3.8 takes the names of fields in any case.

use super::node::Node;

/// A field of a block.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// Its name.
    pub name: &'static str,
    /// Its value; none if it is left out or `null`.
    pub node: Option<&'a Node>,
}

/// A name that is taken and ignored.
#[derive(Clone, Copy, Debug)]
pub struct Ignored {
    /// The name, in any case.
    pub name: &'static str,
    /// The field that may be meant; empty if there is none.
    pub instead: &'static str,
}

/// An object with known fields.
pub trait Block<'a> {
    /// What it describes, for messages.
    const WHAT: &'static str;
    /// The names of its fields.
    const FIELDS: &'static [&'static str];
    /// 3.8: of the top level's fields only.
    const CASE_MATTERS: bool = false;
    /// The names that its predecessor takes and ignores, for they are those of the private fields of its own struct; and what
    /// to write instead.
    const IGNORED: &'static [Ignored] = &[];

    /// A block without any field.
    fn empty() -> Self;

    /// Sets the field of exactly this name.
    fn set(&mut self, name: &str, node: Option<&'a Node>);
}

/// Defines the struct of a block and its fields.
macro_rules! block {
    (
        $(#[$doc:meta])* $block:ident, $what:literal $(, case matters: $case:literal)?;
        $($field:ident: $name:literal),+ $(,)?
        $(; ignored: $($ignored:literal: $instead:literal),+ $(,)?)?
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $block<'a> {
            $(#[doc = concat!("`", $name, "`")] pub $field: Field<'a>,)+
        }

        impl<'a> Block<'a> for $block<'a> {
            const WHAT: &'static str = $what;
            const FIELDS: &'static [&'static str] = &[$($name),+];
            $(const CASE_MATTERS: bool = $case;)?
            $(const IGNORED: &'static [$crate::config::raw_v3::Ignored] =
                &[$($crate::config::raw_v3::Ignored { name: $ignored, instead: $instead }),+];)?

            fn empty() -> Self {
                Self { $($field: Field { name: $name, node: None }),+ }
            }

            fn set(&mut self, name: &str, node: Option<&'a Node>) {
                match name {
                    $($name => self.$field.node = node,)+
                    _ => {}
                }
            }
        }
    };
}

pub(super) use block;

block! {
    /// The whole config.
    Config, "a config", case matters: true;
    consul: "consul", etcd: "etcd", zookeeper: "zookeeper", logging: "logging", stop_timeout: "stopTimeout", jobs: "jobs", watches: "watches",
    telemetry: "telemetry", control: "control", signals: "signals", stay_up: "stayUp",
    keep_daemons: "keepDaemons",
}

block! {
    /// One of `jobs`.
    Job, "a job";
    name: "name", exec: "exec", when: "when", timeout: "timeout", stop_timeout: "stopTimeout", restarts: "restarts",
    backoff: "backoff", main: "main", env: "env", logging: "logging", health: "health", port: "port",
    initial_status: "initial_status", interfaces: "interfaces", tags: "tags", meta: "meta", weights: "weights",
    tagged_addresses: "taggedAddresses", consul: "consul", init: "init", required: "required", stop_last: "stopLast",
    restart_on_reload: "restartOnReload", pause_in_maintenance: "pauseInMaintenance", stdin: "stdin",
    term_group: "termGroup", metric: "metric";
    ignored: "serviceDefinition": "", "healthCheckExec": "health.exec", "heartbeatInterval": "health.interval",
    "ttl": "health.ttl", "execTimeout": "timeout", "stoppingTimeout": "stopTimeout", "restartLimit": "restarts",
    "freqInterval": "when.interval", "whenEvent": "when", "whenTimeout": "when.timeout", "whenStartsLimit": "restarts",
    "stoppingWaitEvent": "when",
}

block! {
    /// `when` of a job.
    When, "`when`";
    source: "source", once: "once", each: "each", interval: "interval", timeout: "timeout", delay: "delay",
    merge: "merge",
}

block! {
    /// `backoff` of a job.
    Backoff, "`backoff`";
    initial: "initial", factor: "factor", max: "max", jitter: "jitter", reset_after: "resetAfter",
}

block! {
    /// `health` of a job.
    Health, "a health check";
    exec: "exec", interval: "interval", ttl: "ttl", timeout: "timeout", failures: "failures", logging: "logging",
}

block! {
    /// `logging` of a job or of its health check.
    Output, "a job's `logging`";
    raw: "raw", format: "format", level: "level", fields: "fields", multiline: "multiline", json: "json",
    json_keys: "jsonKeys", rate_limit: "rateLimit",
}

block! {
    /// `multiline` of a job's `logging`.
    Multiline, "`multiline`";
    start: "start",
}

block! {
    /// `jsonKeys` of `logging`.
    JsonKeys, "`jsonKeys`";
    level: "level", time: "time",
}

block! {
    /// `rateLimit` of a job's `logging`.
    RateLimit, "`rateLimit`";
    lines: "lines", per: "per",
}

block! {
    /// `consul` of a job.
    JobConsul, "a job's `consul`";
    enable_tag_override: "enableTagOverride", deregister_critical_after: "deregisterCriticalServiceAfter",
}

block! {
    /// `weights` of a job.
    Weights, "`weights`";
    passing: "passing", warning: "warning",
}

block! {
    /// One of `taggedAddresses` of a job.
    TaggedAddress, "a tagged address";
    address: "address", port: "port",
}

block! {
    /// One of `watches`.
    Watch, "a watch";
    name: "name", interval: "interval", tag: "tag", tags: "tags", dc: "dc", stale: "stale",
    min_instances: "minInstances", debounce: "debounce", service: "service", delay: "delay",
    pause_in_maintenance: "pauseInMaintenance";
    ignored: "serviceName": "service", "discoveryService": "",
}

block! {
    /// `signals`.
    Signals, "`signals`";
    hup: "SIGHUP", usr1: "SIGUSR1",
}

block! {
    /// `control`.
    Control, "`control`";
    socket: "socket",
}

block! {
    /// `logging` of the whole.
    Logging, "`logging`";
    level: "level", format: "format", output: "output", max_line: "maxLine",
    json_keys: "jsonKeys",
}

block! {
    /// `telemetry`.
    Telemetry, "`telemetry`";
    port: "port", interfaces: "interfaces", tags: "tags", metrics: "metrics", page: "page", hosts: "hosts",
    required: "required";
    ignored: "metricConfigs": "metrics", "jobConfig": "", "addr": "interfaces",
}

block! {
    /// One of the `metrics` of `telemetry`.
    Metric, "a metric";
    namespace: "namespace", subsystem: "subsystem", name: "name", help: "help", kind: "type";
    ignored: "fullName": "name", "metricType": "type", "collector": "",
}

block! {
    /// `consul` of the whole.
    Consul, "`consul`";
    address: "address", scheme: "scheme", token: "token", token_file: "tokenFile", tls: "tls",
}

block! {
    /// `etcd` of the whole.
    Etcd, "`etcd`";
    endpoints: "endpoints", prefix: "prefix", api: "api", username: "username", password: "password", tls: "tls",
}

block! {
    /// `zookeeper` of the whole.
    ZooKeeper, "`zookeeper`";
    hosts: "hosts", prefix: "prefix", digest: "digest",
}

block! {
    /// `tls` of a catalog.
    Tls, "`tls`";
    ca_file: "cafile", ca_path: "capath", client_cert: "clientcert", client_key: "clientkey", server_name: "servername",
    verify: "verify",
}
