//! Promises of version 2's pages that no other test keeps. docs/v2.md names the test of each.

use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::consul::Consul;
use crate::container::{ADDRESSES, CONTAINER, Machine, passes_every_byte};
use crate::pilot::{Pilot, children, containerpilot, state, until};

const BINARY: &str = env!("CARGO_BIN_EXE_containerpilot");
/// Says when it is up and when it is told to stop.
const APP: &str = "trap 'echo told; exit 3' TERM; echo up $$; while :; do sleep 0.02; done";
/// Goes on until there is a file `go`.
const UNTIL_GO: &str = "until [ -e @/go ]; do sleep 0.02; done";

fn pilot(config: &str) -> Pilot {
    Pilot::of_command(config, &["sh", "-c", APP])
}

fn write(pilot: &Pilot, name: &str) {
    std::fs::write(pilot.folder.join(name), "").unwrap();
}

fn number(line: &str) -> i32 {
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// How often these words are a line of the file `runs`.
fn runs(pilot: &Pilot, words: &str) -> usize {
    let text = std::fs::read_to_string(pilot.folder.join("runs")).unwrap_or_default();
    text.lines().filter(|line| *line == words).count()
}

/// The child that runs this program.
fn child(pilot: &Pilot, program: &str) -> Option<i32> {
    let name = |pid: &i32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    children(pilot.pid()).into_iter().find(|pid| name(pid).trim() == program)
}

#[test]
fn the_applications_status_is_the_containers() {
    for (script, status) in
        [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -KILL $$", 137), ("kill -TERM $$", 143)]
    {
        let command = [BINARY, "-config", "{}", "sh", "-c", script];
        let output = Command::new(CONTAINER[0]).args(&CONTAINER[1..]).args(command).output().unwrap();
        assert_eq!(output.status.code(), Some(status), "as PID 1: {script}");
        assert_eq!(containerpilot(&command[1..]).status.code(), Some(status), "{script}");
    }
}

#[test]
fn every_byte_of_the_application_comes_and_goes_as_it_is() {
    let config =
        "{ preStart: 'cat', coprocesses: [ { command: 'cat' } ], logging: { format: 'json', level: 'FATAL' } }";
    passes_every_byte(&["-config", config]);
}

#[test]
fn the_application_is_never_restarted() {
    let config = |side: &str| format!("{{ coprocesses: [ {{ command: 'echo {side}' }} ] }}");
    let mut pilot = pilot(&config("old"));
    let app = number(&pilot.says("up "));
    pilot.reload(&config("new"));
    pilot.says(" new");
    kill(Pid::from_raw(app), Signal::SIGKILL).unwrap();
    let (status, lines) = pilot.end();
    assert_eq!(status, Some(137));
    assert_eq!(lines.iter().filter(|line| line.starts_with("up ")).count(), 1, "{lines:?}");
    assert!(!lines.contains(&"told".to_owned()), "{lines:?}");
}

#[test]
fn a_daemon_beside_us_may_end_and_we_go_on() {
    // As an old server does it: the process that was started ends at once, and leaves another one.
    let config =
        "{ preStart: ['sh', '-c', 'sleep 1000 >&- 2>&- &'], tasks: [ { command: 'echo tick', frequency: '20ms' } ] }";
    for mut pilot in [Pilot::of(config), Pilot::contained(&CONTAINER, &["-config", config])] {
        pilot.says(" tick");
        until(|| child(&pilot, "sleep").is_some());
        let daemon = child(&pilot, "sleep").unwrap();
        kill(Pid::from_raw(daemon), Signal::SIGKILL).unwrap();
        until(|| state(daemon).is_none());
        pilot.says_then(" tick");
        assert_eq!(pilot.stop().0, Some(0));
    }
}

#[test]
fn coprocesses_start_between_pre_start_and_the_application_which_waits_for_none() {
    let side = |name: &str| {
        let script = format!("echo {name} $$; until [ -e @/up ]; do sleep 0.02; done; echo {name} is live");
        format!("{{ name: '{name}', command: ['sh', '-c', '{script}'] }}")
    };
    let config = format!(
        "{{ preStart: ['sh', '-c', 'echo preparing $$'], coprocesses: [ {}, {} ],
            tasks: [ {{ name: 'task', command: ['sh', '-c', 'echo task $$'], frequency: '1ms', timeout: '1h' }} ] }}",
        side("one"),
        side("two")
    );
    let app = "echo up $$; touch @/up; while :; do sleep 0.02; done";
    // In a place of their own, processes are numbered as they are started.
    let mut pilot = Pilot::contained(&CONTAINER, &["-config", &config, "sh", "-c", app]);
    let pids = ["preparing ", " one ", " two ", "up "].map(|words| number(&pilot.says(words)));
    assert!(pids.is_sorted(), "{pids:?}");
    assert!(number(&pilot.says(" task ")) > pids[2]);
    pilot.says("one is live");
    pilot.says("two is live");
    assert_eq!(pilot.stop().0, Some(143));
}

#[test]
fn arguments_of_coprocesses_are_templates() {
    let mut pilot = pilot(
        "{ coprocesses: [ { command: 'echo {{ .NOPE | default \"words\" }} of {{ .CONTAINERPILOT_PID }}' },
                          { name: 'list', command: ['echo', 'and {{ .NOPE | default \"more\" }}'] } ] }",
    );
    let words = format!(" words of {}", pilot.pid());
    pilot.says(&words);
    pilot.says(" and more");
    pilot.says("up");
    assert_eq!(pilot.stop().0, Some(3));
}

#[test]
fn a_coprocess_is_restarted_as_often_as_it_may_and_its_end_is_not_ours() {
    for status in [0, 1] {
        let cases =
            [("", 1), (", restarts: 'never'", 1), (", restarts: 0", 1), (", restarts: 1", 2), (", restarts: '2'", 3)];
        let coprocesses = cases.iter().enumerate().map(|(index, (restarts, _))| {
            format!("{{ command: ['sh', '-c', 'echo {index} >>@/runs; exit {status}'] {restarts} }}")
        });
        let more = format!("{{ command: ['sh', '-c', 'echo more >>@/runs; exit {status}'], restarts: 'unlimited' }}");
        let coprocesses = coprocesses.chain([more]).collect::<Vec<_>>().join(", ");
        let config = format!("{{ coprocesses: [ {coprocesses} ] }}");
        let pilot = Pilot::of_command(&config, &["sh", "-c", &format!("{UNTIL_GO}; exit 4")]);
        let counts = || (0..cases.len()).map(|index| runs(&pilot, &index.to_string())).collect::<Vec<usize>>();
        // By the time of the last ones, those that stop earlier would have gone on, too.
        until(|| runs(&pilot, "more") >= 5);
        until(|| counts() == cases.map(|(_, count)| count));
        write(&pilot, "go");
        assert_eq!(pilot.end().0, Some(4));
    }
}

#[test]
fn coprocesses_end_with_the_application() {
    let side = |name: &str, trap: &str| {
        let script = format!("{trap}; printf '{name}%s%s\\\\n' ' is ' $$; while :; do sleep 0.02; done");
        format!("{{ command: ['sh', '-c', \"{script}\"], restarts: 'unlimited' }}")
    };
    let sides = [side("obeys", "trap 'echo obeyed; exit 0' TERM"), side("ignores", "trap : TERM")].join(", ");
    let config = format!("{{ stopTimeout: 1, coprocesses: [ {sides} ] }}");
    let mut pilot = Pilot::of_command(&config, &["sh", "-c", &format!("{UNTIL_GO}; exit 7")]);
    let pids = [" obeys is ", " ignores is "].map(|words| number(&pilot.says(words)));
    write(&pilot, "go");
    pilot.says("obeyed");
    let (status, lines) = pilot.end();
    assert_eq!((status, pids.map(state)), (Some(7), [None; 2]));
    assert_eq!(lines.iter().filter(|line| line.contains(" obeys is ")).count(), 1, "{lines:?}");
}

#[test]
fn hup_and_usr1_are_forwarded_to_nobody() {
    let traps = "trap 'echo heard HUP' HUP; trap 'echo heard USR1' USR1; trap 'echo told; exit 3' TERM";
    let stays = |name: &str| format!("{traps}; echo {name} at $$; while :; do sleep 0.02; done");
    let config = |marker: &str| {
        format!(
            "{{ logging: {{ level: 'DEBUG' }},
                coprocesses: [ {{ name: 'side', command: ['sh', '-c', \"{}\"] }}, {{ name: 'marker', command: 'echo {marker}' }} ] }}",
            stays("side")
        )
    };
    let mut pilot = Pilot::of_command(&config("first"), &["sh", "-c", &stays("app")]);
    pilot.says("app at ");
    let side = number(&pilot.says(" side at "));
    for event in ["EnterMaintenance", "ExitMaintenance"] {
        pilot.send(Signal::SIGUSR1);
        pilot.says(&format!("event: {{{event} global}}"));
    }
    assert!(state(side).is_some());
    pilot.reload(&config("second"));
    pilot.says(" second");
    let (status, lines) = pilot.stop();
    assert_eq!(status, Some(3));
    assert!(!lines.iter().any(|line| line.contains("heard")), "{lines:?}");
}

#[test]
fn a_reload_replaces_all_coprocesses_and_grants_their_restarts_anew() {
    let same = "{ name: 'same', command: ['sh', '-c', 'echo same >>@/runs; exit 1'], restarts: 1 }";
    let stays = |name: &str| {
        let script = format!("echo {name} $$; while :; do sleep 0.02; done");
        format!("{{ name: '{name}', command: ['sh', '-c', '{script}'], restarts: 'unlimited' }}")
    };
    let config = |more: &str| format!("{{ coprocesses: [ {same}, {}, {more} ] }}", stays("kept"));
    let mut pilot = pilot(&config(&stays("old")));
    let old = [" old ", " kept "].map(|words| number(&pilot.says(words)));
    until(|| runs(&pilot, "same") == 2);
    pilot.reload(&config(&stays("new")));
    pilot.says(" new ");
    until(|| runs(&pilot, "same") == 4);
    pilot.says(" kept ");
    pilot.says_then(" kept ");
    assert_eq!(old.map(state), [None; 2]);
    let (status, lines) = pilot.stop();
    assert_eq!((status, lines.iter().filter(|line| line.starts_with("up ")).count()), (Some(3), 1));
}

#[test]
fn without_consul_only_the_catalog_stands_still() {
    let consul = Consul::start();
    let mut pilot = pilot(&format!(
        "{{ consul: '{}', tasks: [ {{ command: 'echo tick', frequency: '20ms' }} ],
            services: [ {{ name: 'web', port: 80, poll: 1, ttl: 9, interfaces: 'lo' }} ] }}",
        consul.address()
    ));
    until(|| consul.has_passing("web"));
    drop(consul);
    pilot.says("up");
    pilot.says("consul is away");
    pilot.says_then(" tick");
    let (status, lines) = pilot.stop();
    assert_eq!(status, Some(3));
    assert!(lines.contains(&"told".to_owned()), "{lines:?}");
}

#[test]
fn one_container_may_offer_several_services_on_either_ip() {
    let consul = Consul::start();
    let service = |name: &str, address: &str| {
        format!("{{ name: '{name}', port: 80, poll: 1, ttl: 9, interfaces: 'static:{address}' }}")
    };
    let services = [service("web", "10.0.0.1"), service("admin", "fd00::5")].join(", ");
    let pilot = pilot(&format!("{{ consul: '{}', services: [ {services} ] }}", consul.address()));
    until(|| consul.has_passing("web") && consul.has_passing("admin"));
    let services = consul.get("/v1/agent/services");
    let address =
        |name: &str| services.as_object().unwrap().values().find(|s| s["Service"] == name).unwrap()["Address"].clone();
    assert_eq!((address("web"), address("admin")), ("10.0.0.1".into(), "fd00::5".into()));
    assert_eq!(pilot.stop().0, Some(3));
    assert_eq!(consul.get("/v1/agent/services"), serde_json::json!({}));
}

#[test]
fn etcd_needs_no_agent_beside_the_application() {
    let machine = Machine::new();
    let [_, there] = ADDRESSES;
    let urls = [2379, 2380].map(|port| format!("http://{there}:{port}"));
    let _etcd = machine.start(&[
        "etcd",
        "--data-dir=/run/etcd",
        "--listen-client-urls",
        &urls[0],
        "--advertise-client-urls",
        &urls[0],
        "--listen-peer-urls",
        &urls[1],
    ]);
    let etcd = || {
        let words =
            ["etcdctl", "--endpoints", &urls[0], "get", "--prefix", "/containerpilot/web/", "--print-value-only"];
        let words = [&["env", "ETCDCTL_API=3"], &words[..]].concat();
        String::from_utf8(machine.run(&words).stdout).unwrap()
    };
    let config = format!(
        "{{ etcd: {{ endpoints: '{}' }}, services: [ {{ name: 'web', port: 80, poll: 1, ttl: 9, interfaces: 'eth0' }} ] }}",
        urls[0]
    );
    let pilot = machine.pilot("", &["-config", &config, "sh", "-c", APP]);
    until(|| etcd().contains("\"name\":\"web\""));
    assert_eq!(pilot.stop().0, Some(3));
    assert_eq!(etcd(), "");
}
