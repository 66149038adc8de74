//! Every config sample is valid, and the quickstart and those of version 2 do what they say.

use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::container::{ADDRESSES, Machine};
use crate::pilot::{Pilot, children, containerpilot, said, until};

#[test]
fn every_sample_is_valid() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("config-samples");
    let mut count = 0;
    for entry in std::fs::read_dir(samples).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json5") {
            let output = containerpilot(&["-validate", "-config", path.to_str().unwrap()]);
            assert!(output.status.success(), "{path:?}: {}", String::from_utf8_lossy(&output.stderr));
            count += 1;
        }
    }
    assert!(count >= 6);
}

#[test]
fn the_quickstart_starts_checks_and_stops_in_order() {
    let sample = include_str!("../../config-samples/quickstart.json5");
    // Two of them at once must not share a folder.
    let mut pilot = Pilot::of(&sample.replace("/tmp/", "@/"));
    pilot.says("the app is healthy");
    let (status, lines) = pilot.stop();
    assert_eq!(status, Some(0));
    assert_eq!(said(&lines), ["preparing", "serving", "the app is healthy", "goodbye", "cleaning up"]);
}

/// Where a sample is.
macro_rules! sample {
    ($name:literal) => {
        concat!(env!("CARGO_MANIFEST_DIR"), "/config-samples/", $name)
    };
}

#[test]
fn nginx_of_version_2_follows_its_backend() {
    let machine = Machine::new();
    let [here, there] = ADDRESSES;
    assert!(machine.run(&["cp", sample!("v2-nginx.conf"), "/etc/nginx/nginx.conf.tmpl"]).status.success());
    let _consul = machine.start(&["consul", "agent", "-dev", "-bind=127.0.0.1"]);
    let _hello = machine.start(&["python3", "-m", "http.server", "--bind", there, "--directory", sample!(""), "8000"]);
    let mut pilot = machine.pilot(
        "CONSUL=127.0.0.1",
        &["-config", concat!("file://", sample!("v2-nginx.json5")), "nginx", "-g", "daemon off;"],
    );
    let consul = |path: &str| machine.get(&format!("http://localhost:8500/v1/{path}"));
    let nginx = || machine.get(&format!("http://{here}/"));
    until(|| consul("health/service/nginx?passing").contains(here));
    assert_eq!(nginx(), "nobody there\n");
    let instance = format!("{{\"Name\": \"hello\", \"Address\": \"{there}\", \"Port\": 8000}}");
    machine.run(&["curl", "-s", "-X", "PUT", "-d", &instance, "http://localhost:8500/v1/agent/service/register"]);
    until(|| nginx().contains("v2-nginx.json5"));
    until(|| machine.get(&format!("http://{here}:9090/metrics")).contains("\nnginx_connections_active 1\n"));
    machine.run(&["curl", "-s", "-X", "PUT", "http://localhost:8500/v1/agent/service/deregister/hello"]);
    until(|| nginx() == "nobody there\n");
    // nginx's own access log is on the same stdout.
    pilot.says("\"GET / HTTP/1.1\" 503");
    let (status, lines) = pilot.stop();
    assert_eq!((status, lines.last().unwrap().as_str()), (Some(0), "nginx is gone"), "{lines:?}");
    assert!(!consul("agent/services").contains("nginx"));
}

#[test]
fn the_consul_agent_of_version_2_joins_registers_its_app_and_leaves() {
    let machine = Machine::new();
    let [here, there] = ADDRESSES;
    let bind = [format!("-bind={there}"), format!("-client={there}")];
    let server = ["consul", "agent", "-server", "-bootstrap", "-node=server", "-data-dir=/run/server", "-dns-port=-1"];
    let _server = machine.start(&[&server[..], &[&bind[0], &bind[1]]].concat());
    let config = concat!("file://", sample!("v2-consul-coprocess.json5"));
    let pilot = machine.pilot(&format!("CONSUL={there}"), &["-config", config, "python3", "-m", "http.server", "8000"]);
    let consul = |path: &str| machine.get(&format!("http://{there}:8500/v1/{path}"));
    until(|| consul("health/service/hello?passing").contains(here));
    let agent = || {
        let name = |pid: &i32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        children(pilot.pid()).into_iter().find(|pid| name(pid) == "consul\n")
    };
    let first = agent().unwrap();
    kill(Pid::from_raw(first), Signal::SIGKILL).unwrap();
    until(|| agent().is_some_and(|agent| agent != first));
    until(|| machine.get("http://localhost:8500/v1/agent/health/service/name/hello?format=text") == "passing");
    // Python says nothing at its TERM.
    assert_eq!(pilot.stop().0, Some(143));
    // The server hears of it by and by.
    const LEFT: i64 = 3;
    let members = || serde_json::from_str::<Vec<Value>>(&consul("agent/members")).unwrap();
    until(|| members().iter().any(|member| member["Addr"] == here && member["Status"] == LEFT));
    until(|| consul("catalog/service/hello").trim() == "[]");
}
