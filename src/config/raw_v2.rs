//! A version 2 config as written: which fields each block may have. How they are read is in `raw_v3`.

use super::node::Node;
use super::raw_v3::{Block, Field, block};

block! {
    /// The whole config.
    Config, "a version 2 config", case matters: true;
    consul: "consul", etcd: "etcd", zookeeper: "zookeeper", logging: "logging", stop_timeout: "stopTimeout",
    services: "services", backends: "backends", tasks: "tasks", coprocesses: "coprocesses", pre_start: "preStart",
    on_start: "onStart", pre_stop: "preStop", post_stop: "postStop", telemetry: "telemetry", control: "control",
}

block! {
    /// One of `services`.
    Service, "a service";
    name: "name", port: "port", poll: "poll", ttl: "ttl", health: "health", timeout: "timeout",
    interfaces: "interfaces", tags: "tags", consul: "consul";
    ignored: "id": "name", "ipAddress": "interfaces", "healthCheckCmd": "health", "discoveryService": "", "definition": "",
}

block! {
    /// One of `backends`.
    Backend, "a backend";
    name: "name", poll: "poll", on_change: "onChange", tag: "tag", timeout: "timeout";
    ignored: "discoveryService": "", "lastState": "", "onChangeCmd": "onChange",
}

block! {
    /// One of `tasks`.
    Task, "a task";
    name: "name", command: "command", frequency: "frequency", timeout: "timeout";
    ignored: "freqDuration": "frequency", "cmd": "command",
}

block! {
    /// One of `coprocesses`.
    Coprocess, "a coprocess";
    name: "name", command: "command", restarts: "restarts";
    ignored: "restart": "restarts", "restartLimit": "restarts", "restartsRemain": "restarts", "cmd": "command",
}

block! {
    /// `telemetry`.
    Telemetry, "`telemetry`";
    port: "port", interfaces: "interfaces", tags: "tags", sensors: "sensors";
    ignored: "mux": "", "lock": "", "addr": "interfaces", "listening": "",
}

block! {
    /// One of the `sensors` of `telemetry`.
    Sensor, "a sensor";
    namespace: "namespace", subsystem: "subsystem", name: "name", help: "help", kind: "type", poll: "poll",
    check: "check", timeout: "timeout";
    ignored: "checkCmd": "check", "collector": "",
}
