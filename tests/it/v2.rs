//! Version 2: a main application, and what is kept around it. The promises are those of docs/v2.md.

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::consul::Consul;
use crate::http::{free_port, remote};
use crate::pilot::{Folder, Pilot, containerpilot, state, until};

/// Says when it is up and when it is told to stop.
const APP: &str = "trap 'echo told; exit 3' TERM; echo up; while :; do sleep 0.02; done";
/// The same for a coprocess or hook called `NAME`; it stays until there is a file of its name.
const STAYS: &str = "echo NAME; until [ -e @/NAME ]; do sleep 0.02; done";

fn pilot(config: &str) -> Pilot {
    Pilot::of_command(config, &["sh", "-c", APP])
}

/// A command that stays until `go` is asked for this name.
fn stays(name: &str) -> String {
    format!("['sh', '-c', '{}']", STAYS.replace("NAME", name))
}

fn go(pilot: &Pilot, name: &str) {
    std::fs::write(pilot.folder.join(name), "").unwrap();
}

/// What the application and its hooks said; our own log's lines begin with the year. `Terminated` is what a shell remarks of the
/// `sleep` that it waited for.
fn said(lines: &[String]) -> Vec<&str> {
    lines.iter().map(String::as_str).filter(|line| !line.starts_with("20") && *line != "Terminated").collect()
}

fn number(line: &str) -> i32 {
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_life_has_its_order_and_coprocesses_outlive_the_hooks() {
    let side = "trap \\\"echo side ends >>@/log; exit\\\" TERM; echo side; while :; do sleep 0.02; done";
    let mut pilot = pilot(&format!(
        "{{ preStart: 'echo preparing', preStop: 'echo draining',
            postStop: ['sh', '-c', 'kill -0 $CONTAINERPILOT_SIDE_PID && echo archiving; ls @'],
            coprocesses: [ {{ name: 'side', command: ['sh', '-c', \"{side}\"] }} ] }}"
    ));
    pilot.says("up");
    pilot.says("side");
    let log = pilot.folder.join("log");
    let (status, lines) = {
        pilot.send(Signal::SIGTERM);
        pilot.says("archiving");
        until(|| log.exists());
        pilot.end()
    };
    assert_eq!(status, Some(3));
    assert_eq!(said(&lines), ["preparing", "up", "draining", "told", "archiving", "app.json5"]);
}

#[test]
fn signals_change_nothing_in_any_phase_of_the_end() {
    let [pre, post] = [stays("draining"), stays("archiving")];
    let mut pilot = Pilot::of_command(
        &format!("{{ preStop: {pre}, postStop: {post}, coprocesses: [ {{ command: 'echo side' }} ] }}"),
        &[
            "sh",
            "-c",
            "trap 'echo told; until [ -e @/app ]; do sleep 0.02; done; exit 3' TERM; echo up; while :; do sleep 0.02; done",
        ],
    );
    pilot.says("side");
    pilot.says("up");
    pilot.send(Signal::SIGTERM);
    for (phase, ends) in [("draining", "draining"), ("told", "app"), ("archiving", "archiving")] {
        pilot.says(phase);
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2] {
            pilot.send(signal);
        }
        go(&pilot, ends);
    }
    let (status, lines) = pilot.end();
    assert_eq!((status, said(&lines)), (Some(3), vec!["up", "draining", "told", "archiving"]));
    assert_eq!(lines.iter().filter(|line| line.ends_with(" side")).count(), 1);
}

#[test]
fn signals_while_it_prepares_act_afterwards() {
    let config = |side: &str, post: &str| {
        format!(
            "{{ preStart: {}, postStop: 'echo {post}', coprocesses: [ {{ command: 'echo {side}' }} ],
                tasks: [ {{ command: 'echo task', frequency: '1ms' }} ] }}",
            stays("preparing")
        )
    };
    let mut pilot = pilot(&config("old", "a"));
    pilot.says("preparing");
    pilot.send(Signal::SIGUSR1);
    pilot.reload(&config("new", "b"));
    pilot.says("reloading");
    go(&pilot, "preparing");
    pilot.says(" new");
    pilot.says("up");
    pilot.send(Signal::SIGUSR2);
    let (status, lines) = pilot.stop();
    assert_eq!((status, said(&lines)), (Some(3), vec!["preparing", "up", "told", "b"]));
    assert!(lines.iter().all(|line| !line.ends_with(" old") && !line.ends_with(" task")), "{lines:?}");
}

#[test]
fn asked_to_stop_while_it_prepares_it_starts_nothing() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let pre = "trap \\\"echo told; exit 9\\\" TERM; echo preparing; while :; do sleep 0.02; done";
        let mut pilot = pilot(&format!(
            "{{ preStart: ['sh', '-c', \"{pre}\"], preStop: 'echo pre', postStop: 'echo post', coprocesses: [ {{ command: 'echo side' }} ] }}"
        ));
        pilot.says("preparing");
        pilot.send(signal);
        let (status, lines) = pilot.end();
        assert_eq!((status, said(&lines)), (Some(0), vec!["preparing", "told"]));
        assert!(!lines.iter().any(|line| line.ends_with("side")), "{lines:?}");
    }
}

#[test]
fn the_application_may_end_while_it_is_being_drained() {
    let mut pilot = Pilot::of_command(
        &format!("{{ preStop: {}, postStop: 'echo post' }}", stays("draining")),
        &["sh", "-c", "echo up; until [ -e @/app ]; do sleep 0.02; done; echo gone; exit 6"],
    );
    pilot.says("up");
    pilot.send(Signal::SIGTERM);
    pilot.says("draining");
    go(&pilot, "app");
    pilot.says("exited with error: exit status 6");
    go(&pilot, "draining");
    let (status, lines) = pilot.end();
    assert_eq!((status, said(&lines)), (Some(6), vec!["up", "draining", "gone", "post"]));
}

#[test]
fn a_check_at_work_may_end_by_itself_and_is_killed_if_it_does_not() {
    let service = |told: &str| {
        format!(
            "services: [ {{ name: 'app', port: 1, poll: 1, ttl: 9, interfaces: 'static:10.1.2.3', health: ['sh', '-c', \
             \"trap '{told}' TERM; echo checking; while :; do sleep 0.02; done\"] }} ]"
        )
    };
    // Whether we were asked to end, or the application ended by itself.
    for signal in [Some(Signal::SIGTERM), None] {
        let told = "echo told; until [ -e @/check ]; do sleep 0.02; done; echo checked; exit";
        let app = "until [ -e @/app ]; do sleep 0.02; done; exit 3";
        let config = format!("{{ stopTimeout: 3600, {} }}", service(told));
        let mut pilot = Pilot::of_command(&config, &["sh", "-c", app]);
        pilot.says("checking");
        match signal {
            Some(signal) => pilot.send(signal),
            None => go(&pilot, "app"),
        }
        pilot.says("told");
        go(&pilot, "check");
        pilot.says("checked");
        assert_eq!(pilot.end().0, Some(if signal.is_some() { 128 + 15 } else { 3 }));
    }
    let mut pilot = pilot(&format!("{{ stopTimeout: 1, {} }}", service(":")));
    pilot.says("checking");
    assert_eq!(pilot.stop().0, Some(3));
}

#[test]
fn who_cannot_be_started_has_2_7s_status() {
    for command in ["/no/such/program", "/etc/passwd", "/"] {
        assert_eq!(Pilot::of_command("{}", &[command]).end().0, Some(127), "{command}");
        assert_eq!(pilot(&format!("{{ preStart: '{command}' }}")).end().0, Some(127), "{command}");
        let config = format!("{{ postStop: '{command}' }}");
        assert_eq!(Pilot::of_command(&config, &["sh", "-c", "exit 3"]).end().0, Some(127), "{command}");
    }
}

#[test]
fn a_child_that_holds_the_applications_stdout_holds_up_nothing() {
    let mut pilot = Pilot::of_command("{}", &["sh", "-c", "setsid sleep 1000 & echo child $!; exit 4"]);
    let child = number(&pilot.says("child"));
    assert_eq!(pilot.end().0, Some(4));
    until(|| state(child).is_none());
}

#[test]
fn config_and_command_know_our_pid() {
    let pilot = Pilot::of_command(
        "{ preStart: 'echo {{ .CONTAINERPILOT_PID }}' }",
        &["sh", "-c", "echo {{ .CONTAINERPILOT_PID }} $CONTAINERPILOT_PID"],
    );
    let pid = pilot.pid();
    let (_, lines) = pilot.end();
    assert_eq!(said(&lines), [pid.to_string(), format!("{pid} {pid}")]);
}

#[test]
fn no_name_of_a_service_takes_the_place_of_the_application_or_a_hook() {
    let hooks = "preStop: 'echo draining', postStop: 'echo archiving'";
    let services = ["main", "preStop", "postStop"]
        .map(|name| format!("{{ name: '{name}', port: 1, poll: 1, ttl: 9, interfaces: 'static:10.0.0.1' }}"))
        .join(", ");
    let mut pilot = pilot(&format!("{{ {hooks} }}"));
    pilot.says("up");
    pilot.reload(&format!("{{ {hooks}, services: [ {services} ], coprocesses: [ {{ command: 'echo reloaded' }} ] }}"));
    pilot.says(" reloaded");
    let (status, lines) = pilot.stop();
    assert_eq!((status, said(&lines)), (Some(3), vec!["up", "draining", "told", "archiving"]));
}

#[test]
fn a_reload_kills_tasks_at_work_and_waits_for_coprocesses() {
    let task = |script: &str| {
        format!("tasks: [ {{ name: 't', command: ['sh', '-c', '{script}'], frequency: '20ms', timeout: '1h' }} ]")
    };
    // Were it told first, it would have this long.
    let window = "stopTimeout: 3600";
    let side = "trap \\\"echo side ends; exit\\\" TERM; echo side $$; while :; do sleep 0.02; done";
    let sides = format!("coprocesses: [ {{ name: 'helper', command: ['sh', '-c', \"{side}\"] }} ]");
    let mut pilot = pilot(&format!("{{ {window}, {sides}, {} }}", task("trap : TERM; echo task $$; exec sleep 1000")));
    let at_work = number(&pilot.says("task "));
    let first = number(&pilot.says("side "));
    pilot.reload(&format!("{{ {window}, {sides}, {} }}", task("echo another")));
    pilot.says("side ends");
    assert_ne!(number(&pilot.says_then("side ")), first);
    pilot.says(" another");
    until(|| state(at_work).is_none());
    assert_eq!(pilot.stop().0, Some(3));
}

#[test]
fn a_reload_to_another_version_is_refused_and_one_that_tells_none_is_not() {
    let mut pilot = Pilot::of_command("{ tasks: [ { command: 'echo task', frequency: '20ms' } ] }", &[]);
    pilot.says(" task");
    pilot.reload("{ jobs: [ { name: 'a', exec: 'echo version 3' } ] }");
    pilot.says("is written for version 3 now");
    pilot.says_then(" task");
    pilot.reload("{}");
    pilot.says("reloading");
    pilot.reload("{ tasks: [ { command: 'echo again', frequency: '20ms' } ] }");
    pilot.says(" again");
    assert_eq!(pilot.stop().0, Some(0));
}

fn metric(port: u16, name: &str) -> Option<f64> {
    std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
    let text = remote(port, "GET", "/metrics", "", "").1;
    text.lines().find_map(|line| line.strip_prefix(&format!("{name} "))?.parse().ok())
}

fn sensor(name: &str, kind: &str, poll: u32, script: &str) -> String {
    format!("{{ name: '{name}', help: 'h', type: '{kind}', poll: {poll}, check: ['sh', '-c', '{script}'] }}")
}

#[test]
fn sensors_start_anew_with_a_reload() {
    let port = free_port();
    let config = |poll| {
        let sensor = sensor("beats", "counter", poll, "echo 1");
        format!("{{ telemetry: {{ port: {port}, interfaces: 'lo', sensors: [ {sensor} ] }} }}")
    };
    let pilot = pilot(&config(1));
    until(|| metric(port, "beats").is_some_and(|beats| beats >= 2.0));
    pilot.reload(&config(1000));
    until(|| metric(port, "beats") == Some(0.0));
    assert_eq!(pilot.stop().0, Some(3));
}

#[test]
fn every_reading_that_cannot_be_is_an_error_and_the_next_one_counts() {
    let port = free_port();
    let sensors = [
        sensor("down", "counter", 1, "test -e @/well && echo 3 || echo -5"),
        sensor("junk", "gauge", 1, "echo 12 apples; echo aside >&2"),
        sensor("none", "gauge", 1, ":"),
        sensor("bad", "gauge", 1, "echo 5; exit 1"),
    ]
    .join(", ");
    let mut pilot = pilot(&format!(
        "{{ logging: {{ level: 'ERROR' }}, telemetry: {{ port: {port}, interfaces: 'lo', sensors: [ {sensors} ] }} }}"
    ));
    for words in [
        "a counter cannot go down metric=down",
        "sensor[junk] has printed no number",
        "sensor[none] has printed no number",
        "sensor[bad] exited with error: exit status 1",
        "aside",
    ] {
        pilot.says(words);
        pilot.says_then(words);
    }
    go(&pilot, "well");
    until(|| metric(port, "down").is_some_and(|value| value >= 3.0));
    assert_eq!((metric(port, "junk"), metric(port, "none"), metric(port, "bad")), (Some(0.0), Some(0.0), Some(0.0)));
    assert_eq!(pilot.stop().0, Some(3));
}

#[test]
fn a_taken_port_of_telemetry_starts_nothing() {
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let (status, lines) =
        pilot(&format!("{{ preStart: 'echo preparing', telemetry: {{ port: {port}, interfaces: 'lo' }} }}")).end();
    assert_eq!((status, lines.len()), (Some(1), 1));
    assert!(lines[0].contains(&format!("cannot serve telemetry at 127.0.0.1:{port}")), "{lines:?}");
}

#[test]
fn telemetry_moves_with_a_reload() {
    let [old, new] = [free_port(), free_port()];
    let config = |port| format!("{{ telemetry: {{ port: {port}, interfaces: 'lo' }} }}");
    let mut pilot = pilot(&config(old));
    pilot.says("up");
    until(|| metric(old, "process_open_fds").is_some());
    pilot.reload(&config(new));
    until(|| metric(new, "process_open_fds").is_some() && metric(old, "process_open_fds").is_none());
    assert_eq!(pilot.stop().0, Some(3));
}

/// What all the commands of a config say, in the log.
fn chatter(format: &str) -> (Pilot, Consul) {
    let consul = Consul::start();
    consul.register("db-1", 5432);
    let pilot = pilot(&format!(
        "{{ consul: '{}', logging: {{ format: '{format}' }},
            coprocesses: [ {{ name: 'side', command: ['sh', '-c', 'echo of side >&2'] }} ],
            tasks: [ {{ name: 'tick', command: 'echo of task', frequency: '100ms' }} ],
            services: [ {{ name: 'web', port: 80, poll: 1, ttl: 9, health: 'echo of check', interfaces: 'lo' }} ],
            backends: [ {{ name: 'db', poll: 1, onChange: 'echo of handler' }} ] }}",
        consul.address()
    ));
    (pilot, consul)
}

#[test]
fn the_log_tells_whose_lines_they_are() {
    let (mut pilot, _consul) = chatter("json");
    let host = containerpilot(&["hostname"]);
    let id = format!("web-{}", String::from_utf8_lossy(&host.stdout).trim());
    let cases: [(&str, &[(&str, &str)]); 4] = [
        ("of side", &[("process", "coprocess"), ("coprocess", "side")]),
        ("of task", &[("process", "task"), ("task", "tick")]),
        ("of check", &[("process", "health"), ("serviceName", "web"), ("serviceID", &id)]),
        ("of handler", &[("process", "onChange"), ("backend", "db")]),
    ];
    for (words, fields) in cases {
        let line = pilot.says(words);
        let record: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&record["msg"], &record["level"]), (&words.into(), &"info".into()), "{line}");
        for (name, value) in fields {
            assert_eq!(record[name], *value, "{line}");
        }
    }
    pilot.says("up");
    assert_eq!(pilot.stop().0, Some(3));
    let (mut pilot, _consul) = chatter("text");
    let line = pilot.says("of check");
    assert!(line.contains("level=info msg=\"of check\" check=check.web"), "{line}");
    assert!(line.contains(&format!("process=health serviceName=web serviceID={id}")), "{line}");
}

#[test]
fn by_default_the_log_looks_like_gos() {
    let mut pilot = pilot("{ coprocesses: [ { name: 'side', command: 'echo words' } ] }");
    // A child's line, and a record of our own.
    for (words, looks) in [(" words", "words"), ("starts jobs=", "ContainerPilot 0.0.0 starts jobs=0")] {
        let line = pilot.says(words);
        let digits: String = line.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(digits, format!("0000/00/00 00:00:00 {looks}"));
    }
}

#[test]
fn changes_during_a_run_of_a_handler_make_one_more_run() {
    let consul = Consul::start();
    let handler = format!("backends: [ {{ name: 'db', poll: 1, onChange: {} }} ]", stays("changed"));
    let mut pilot = pilot(&format!(
        "{{ consul: '{}', {handler}, control: {{ socket: '@/socket' }}, logging: {{ level: 'DEBUG' }} }}",
        consul.address()
    ));
    pilot.says("up");
    consul.register("db-1", 5000);
    pilot.says(" changed");
    pilot.says("event: {StatusChanged watch.db}");
    for port in 5001..5005 {
        consul.register("db-1", port);
        pilot.says_then("event: {StatusChanged watch.db}");
    }
    go(&pilot, "changed");
    for _ in 0..2 {
        pilot.says_then("event: {ExitSuccess backend[db]}");
    }
    consul.register("db-2", 1);
    pilot.says_then("event: {StatusChanged watch.db}");
    pilot.says_then("event: {ExitSuccess backend[db]}");
    let (status, lines) = pilot.stop();
    assert_eq!(status, Some(3));
    assert_eq!(lines.iter().filter(|line| line.contains("{ExitSuccess backend[db]}")).count(), 3);
}

/// How often the handler of `db` has run.
fn runs(pilot: &Pilot) -> usize {
    std::fs::read_to_string(pilot.folder.join("runs")).map_or(0, |runs| runs.lines().count())
}

#[test]
fn what_a_backend_saw_outlives_reloads_and_maintenance() {
    let consul = Consul::start();
    consul.register("db-1", 5000);
    let config = |address: &str, poll: u32, side: &str| {
        format!(
            "{{ consul: '{address}', logging: {{ level: 'DEBUG' }}, coprocesses: [ {{ command: 'echo {side}' }} ],
                backends: [ {{ name: 'db', poll: {poll}, onChange: ['sh', '-c', 'echo run >>@/runs'] }} ] }}"
        )
    };
    let here = consul.address();
    let mut pilot = pilot(&config(&here, 1, "first"));
    until(|| runs(&pilot) == 1);
    // Another poll, and another name of the catalog: the same instances.
    for (address, side) in [(here.clone(), "second"), (here.replace("127.0.0.1", "localhost"), "third")] {
        pilot.reload(&config(&address, 2, side));
        pilot.says(&format!(" {side}"));
        // A change shows that the instances have been looked at since.
        consul.register(side, 1);
        let seen = runs(&pilot);
        until(|| runs(&pilot) > seen);
    }
    assert_eq!(runs(&pilot), 3);
    // There and back in maintenance is no change; and a reload does not end it.
    pilot.send(Signal::SIGUSR1);
    pilot.says("event: {EnterMaintenance global}");
    consul.register("db-2", 1);
    pilot.reload(&config(&here, 1, "fourth"));
    pilot.says(" fourth");
    consul.register("db-3", 1);
    pilot.send(Signal::SIGUSR1);
    pilot.says("event: {ExitMaintenance global}");
    until(|| runs(&pilot) == 4);
    // What comes next is the fifth run, not one for a change of before.
    consul.register("db-4", 1);
    until(|| runs(&pilot) == 5);
    // Who is not asked for any more is not told of either.
    let side = |backends: &str| {
        let script = "echo seen by then: ${CONTAINERPILOT_WATCH_DB-none}";
        format!(
            "{{ consul: '{here}', coprocesses: [ {{ name: 's', command: ['sh', '-c', '{script}'] }} ] {backends} }}"
        )
    };
    pilot.reload(&side(", backends: [ { name: 'db', poll: 1, onChange: 'true' } ]"));
    assert!(pilot.says(" seen by then: ").contains(":5000"));
    pilot.reload(&side(""));
    pilot.says(" seen by then: none");
    assert_eq!(pilot.stop().0, Some(3));
}

#[test]
fn a_service_is_known_to_consul_as_2_7_made_it_known() {
    let (consul, port) = (Consul::start(), free_port());
    let mut pilot = pilot(&format!(
        "{{ consul: '{}', preStop: {}, telemetry: {{ port: {port}, interfaces: 'lo' }},
            services: [ {{ name: 'web', port: 80, poll: 1, ttl: 9, interfaces: 'static:10.0.0.1' }} ] }}",
        consul.address(),
        stays("draining")
    ));
    pilot.says("up");
    until(|| consul.has_passing("web") && consul.has_passing("containerpilot"));
    let checks = consul.get("/v1/agent/checks");
    let check = checks.as_object().unwrap().values().find(|check| check["ServiceName"] == "web").unwrap().clone();
    assert_eq!((&check["CheckID"], &check["Name"]), (&check["ServiceID"], &check["ServiceID"]));
    assert!(check["ServiceID"].as_str().unwrap().starts_with("web-"), "{check}");
    // Nobody is sent here while the application is being drained.
    pilot.send(Signal::SIGTERM);
    pilot.says("draining");
    assert!(!consul.has_passing("web") && !consul.has_passing("containerpilot"));
    go(&pilot, "draining");
    assert_eq!(pilot.end().0, Some(3));
}

#[test]
fn a_service_leaves_consul_after_the_last_hook_of_an_application_that_ended() {
    let consul = Consul::start();
    let config = format!(
        "{{ consul: '{}', postStop: {},
            services: [ {{ name: 'web', port: 80, poll: 1, ttl: 9, interfaces: 'static:10.0.0.1' }} ] }}",
        consul.address(),
        stays("cleaning")
    );
    let mut pilot = Pilot::of_command(&config, &["sh", "-c", "echo up; until [ -e @/go ]; do sleep 0.01; done"]);
    pilot.says("up");
    until(|| consul.has_passing("web"));
    std::fs::write(pilot.folder.join("go"), "").unwrap();
    pilot.says("cleaning");
    assert!(consul.has_passing("web"));
    go(&pilot, "cleaning");
    assert_eq!(pilot.end().0, Some(0));
    assert!(!consul.has_passing("web"));
}

#[test]
fn a_command_beside_version_3_is_not_run_but_warned_of() {
    let (status, lines) =
        Pilot::of_command("{ jobs: [ { name: 'a', exec: 'echo version 3' } ] }", &["echo", "version 2"]).end();
    assert_eq!(status, Some(0));
    assert!(lines.iter().any(|line| line.ends_with(" version 3")) && !lines.contains(&"version 2".to_owned()));
    assert!(lines.iter().any(|line| line.contains("`echo` is not run")), "{lines:?}");
}

#[test]
fn problems_of_an_inline_config_have_their_places_too() {
    let config = "{\n  services: [ { name: 'web', port: 'x', poll: 1, ttl: 1, interfaces: 'lo' } ],\n  preStop: '' }";
    let output = containerpilot(&["-config", config, "true"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    let places: Vec<&str> = said.lines().map(|line| line.split(": `").next().unwrap()).collect();
    assert_eq!(places, ["-config:2:36: service[web].port", "-config:3:12: preStop"]);
    let output = containerpilot(&["-config", "{ tasks: [ }", "true"]);
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("-config:1:12: "), "{output:?}");
}

#[test]
fn a_template_is_rendered_to_wherever_2_7_would() {
    let folder = Folder::new();
    let file = folder.0.join("out.json");
    let url = format!("file://{}", file.display());
    let config = "{ preStop: '{{ .NOPE | default \"x\" }}' }";
    assert!(containerpilot(&["-template", "-out", &url, "-config", config, "nginx"]).status.success());
    assert_eq!(std::fs::read_to_string(file).unwrap(), "{ preStop: 'x' }");
    assert_eq!(containerpilot(&["-template", "-out", "-", "-config", config]).stdout, b"{ preStop: 'x' }");
}

#[test]
fn limits_are_told_as_they_were_written_and_checks_say_whose_they_are() {
    let mut pilot = Pilot::of_command(
        "{ control: { socket: '@/socket' }, logging: { level: 'DEBUG' },
           tasks: [{ name: 't', command: 'sleep 1000', frequency: '1500ms' }, { name: 'u', command: 'sleep 1000', frequency: '1s', timeout: '0.20s' }],
           services: [{ name: 'web', port: 80, poll: 1, ttl: 3, interfaces: 'lo', health: ['sh', '-c', 'echo checking; sleep 1000'], timeout: '500ms' }] }",
        &["sleep", "1000"],
    );
    pilot.says("loaded config: {");
    pilot.says(&format!("control: serving at {}/socket", pilot.folder.display()));
    pilot.says("check.web: checking");
    for words in ["task[u] timeout after 0.20s: '", "task[t] timeout after 1500ms: '", "check.web timeout after 500ms"]
    {
        pilot.says(words);
    }
    let config = pilot.folder.join("app.json5");
    let output = containerpilot(&["-reload", "-config", config.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    pilot.says("control: reloaded app via control plane");
}
