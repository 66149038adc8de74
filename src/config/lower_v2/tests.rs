//! Version 2 configs: what each key becomes, and how its mistakes are told.

use containerpilot_actors::addresses::{Host, InterfaceAddress};
use containerpilot_actors::spec::{CatalogSpec, MetricKind};

use super::*;
use crate::config::{Loaded, Version, Written, parse};

fn host() -> Host {
    let address = |interface: &str, address: &str| InterfaceAddress {
        interface: interface.to_owned(),
        address: address.parse().unwrap(),
    };
    Host { name: "box".to_owned(), addresses: vec![address("lo", "127.0.0.1"), address("eth0", "10.2.0.1")] }
}

fn tried(text: &str, command: &[&str], environment: &[(&str, &str)]) -> Result<Loaded, String> {
    tried_after(None, text, command, environment)
}

fn tried_after(
    spoken: Option<Version>,
    text: &str,
    command: &[&str],
    environment: &[(&str, &str)],
) -> Result<Loaded, String> {
    let environment: Environment = environment.iter().copied().collect();
    let command: Vec<OsString> = command.iter().map(Into::into).collect();
    let surroundings = Surroundings { environment: &environment, host: &host() };
    parse(&Written::plain("cp.json", text), &[], &command, spoken, surroundings).map_err(|error| error.to_string())
}

/// The spec of a config beside an application.
fn spec(text: &str) -> Spec {
    tried(text, &["app"], &[]).unwrap_or_else(|says| panic!("{text}: {says}")).spec
}

fn refused(text: &str) -> String {
    match tried(text, &["app"], &[]) {
        Ok(loaded) => panic!("{text} became {:?}", loaded.spec),
        Err(says) => says,
    }
}

#[track_caller]
fn job<'a>(spec: &'a Spec, name: &str) -> &'a JobSpec {
    let names: Vec<&str> = spec.jobs.iter().map(|job| job.name.as_str()).collect();
    spec.jobs.iter().find(|job| job.name.as_str() == name).unwrap_or_else(|| panic!("no `{name}` among {names:?}"))
}

fn words(job: &JobSpec) -> Vec<&str> {
    let exec = job.exec.as_ref().unwrap();
    std::iter::once(&exec.program).chain(&exec.args).map(|word| word.to_str().unwrap()).collect()
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn fields(output: &OutputSpec) -> Vec<(&str, &str)> {
    output.fields.iter().map(|(name, value)| (&**name, &**value)).collect()
}

const SERVICE: &str = "name: 'web', port: 80, poll: 2, ttl: 5";

fn service(more: &str) -> Spec {
    spec(&format!("{{ services: [ {{ {SERVICE}, {more} }} ] }}"))
}

#[test]
fn an_api_of_etcd_that_nobody_chose_is_looked_at() {
    for (etcd, warns) in [
        ("{ endpoints: 'e:1' }", true),
        ("{ endpoints: 'e:1', api: null }", true),
        ("{ endpoints: 'e:1', api: 3 }", false),
        ("{ endpoints: 'e:1', API: '2' }", false),
    ] {
        let Some(CatalogSpec::Etcd(found)) = spec(&format!("{{ etcd: {etcd} }}")).catalog else { panic!("no etcd") };
        assert_eq!(found.warns_of_api2, warns, "{etcd}");
    }
}

#[test]
fn the_application_is_the_main_job() {
    let spec = spec("{}");
    let [main] = &*spec.jobs else { panic!("{:?}", spec.jobs) };
    assert_eq!(words(main), ["app"]);
    assert!(main.main && main.output.raw && main.term_process);
    assert_eq!((main.stdin, main.on_reload, main.not_started), (Stdin::Ours, OnReload::Keep, Some(127)));
    assert_eq!((main.restarts, main.timeout), (Budget::Limited(0), None));
    assert_eq!(main.pid_variables, ["CONTAINERPILOT_APP_PID"]);
    assert_eq!(spec.signals, SignalSpec { hup_reloads: true, usr1_maintains: true, passed_on: false });
    assert!(!spec.stay_up && spec.control.is_none() && spec.catalog.is_none());
    assert_eq!((spec.stop_timeout, spec.logging.format), (secs(5), LogFormat::Stamp));
}

#[test]
fn without_an_application_it_stays_up() {
    let spec = tried("{ preStop: 'a', postStop: 'b' }", &[], &[]).unwrap().spec;
    let main = job(&spec, MAIN);
    assert!(spec.stay_up && main.exec.is_none() && !main.main);
    assert!(spec.jobs.iter().all(|job| job.name.as_str() != "postStop"), "nothing ends that it could follow");
    assert_eq!(job(&spec, "preStop").start, StartRule::Once(Event::job(EventCode::Terminating, &main.name)));
}

#[test]
fn without_a_config_every_signal_is_passed_on_and_nothing_is_said() {
    let spec = only_command(&["app".into(), "{{ .X }}".into()]);
    assert_eq!(words(&spec.jobs[0]), ["app", "{{ .X }}"]);
    assert_eq!((spec.jobs[0].stdin, spec.jobs[0].not_started), (Stdin::OursWithJobControl, None));
    assert!(spec.signals.passed_on && spec.jobs[0].main && spec.jobs.len() == 1);
    assert_eq!((spec.logging.level, &spec.logging.output), (LogLevel::Error, &LogOutput::Stderr));
}

#[test]
fn each_word_of_the_command_is_a_template_or_none_is() {
    let environment = [("PORT", "80"), ("CONTAINERPILOT_WEB_IP", "1.1.1.1")];
    let config = format!("{{ services: [ {{ {SERVICE} }} ] }}");
    let of = |command: &[&str]| tried(&config, command, &environment).unwrap().spec;
    let spec = of(&["app", "{{ .PORT }}{{ .NONE }}", "{{ .CONTAINERPILOT_WEB_IP }}"]);
    assert_eq!((words(job(&spec, MAIN)), &*spec.errors), (vec!["app", "80", "10.2.0.1"], &[][..]));
    let spec = of(&["app", "{{ .PORT }}", "{{ .PORT }"]);
    assert_eq!(words(job(&spec, MAIN)), ["app", "{{ .PORT }}", "{{ .PORT }"]);
    assert!(spec.errors[0].contains("used as it is written"), "{:?}", spec.errors);
}

#[test]
fn hooks_run_around_the_application() {
    let spec = spec("{ preStart: 'a b', preStop: ['c', 1, true], postStop: 'd' }");
    for (name, command, variable) in [
        ("preStart", vec!["a", "b"], "CONTAINERPILOT_PRESTART_PID"),
        ("preStop", vec!["c", "1", "true"], "CONTAINERPILOT_PRESTOP_PID"),
        ("postStop", vec!["d"], "CONTAINERPILOT_POSTSTOP_PID"),
    ] {
        let hook = job(&spec, name);
        assert_eq!((words(hook), &*hook.pid_variables), (command, &[variable.into()][..]));
        assert!(hook.output.raw && hook.stdin == Stdin::Empty && hook.not_started == Some(127));
    }
    let at = |code| StartRule::Once(Event::job(code, &JobName::new(MAIN)));
    assert!(job(&spec, "preStart").init && job(&spec, "preStart").required);
    assert_eq!((&job(&spec, "preStop").start, job(&spec, "preStop").required), (&at(EventCode::Terminating), false));
    assert_eq!((&job(&spec, "postStop").start, job(&spec, "postStop").required), (&at(EventCode::Ended), true));
}

#[test]
fn on_start_is_an_old_name_and_pre_start_wins() {
    assert_eq!(words(job(&spec("{ onStart: 'old' }"), "preStart")), ["old"]);
    assert_eq!(words(job(&spec("{ onStart: 'old', preStart: 'new' }"), "preStart")), ["new"]);
}

#[test]
fn no_two_jobs_have_one_name() {
    let services = ["preStart", "preStop", "postStop", "main"]
        .map(|name| format!("{{ name: '{name}', port: 1, poll: 1, ttl: 1 }}"))
        .join(", ");
    let coprocesses = "{ name: 'x', command: 'a' }, { name: 'x', command: 'b' }";
    let tasks = "{ name: 'x', command: 'a', frequency: 1 }, { name: 'x', command: 'b', frequency: 1 }";
    let backends = "{ name: 'db', poll: 1, onChange: 'a' }, { name: 'db', poll: 1, onChange: 'b' }";
    let config = format!(
        "{{ preStart: 'a', preStop: 'b', postStop: 'c', services: [{services}], coprocesses: [{coprocesses}],
            tasks: [{tasks}], backends: [{backends}] }}"
    );
    let spec = spec(&config);
    let names: std::collections::BTreeSet<&str> = spec.jobs.iter().map(|job| job.name.as_str()).collect();
    assert_eq!(names.len(), spec.jobs.len(), "{names:?}");
    // A service is found by its name; and the application must not be another job after a reload that adds one.
    assert!(["preStart", "main", MAIN].iter().all(|name| names.contains(name)), "{names:?}");
    assert_ne!(spec.watches[0].name, spec.watches[1].name);
}

#[test]
fn stop_timeout_has_every_form() {
    for (written, want) in
        [("null", 5), ("0", 5), ("'0'", 5), ("7", 7), ("'7'", 7), ("7.9", 7), ("-1", 0), ("'-1'", 0), ("-30", 0)]
    {
        assert_eq!(spec(&format!("{{ stopTimeout: {written} }}")).stop_timeout, secs(want), "{written}");
    }
    for written in ["'5s'", "''", "[5]", "{}"] {
        assert!(refused(&format!("{{ stopTimeout: {written} }}")).contains("stopTimeout"), "{written}");
    }
}

#[test]
fn a_coprocess_stops_last_and_is_restarted_by_every_reload() {
    let spec = spec("{ coprocesses: [ { name: 'my-side', command: ['a', 'b c'], restarts: 2 } ] }");
    let side = job(&spec, "coprocess[my-side]");
    assert_eq!(words(side), ["a", "b c"]);
    assert!(side.last == Last::Yes && !side.pauses && !side.output.raw && !side.required);
    assert_eq!((side.on_reload, side.restarts), (OnReload::Restart, Budget::Limited(2)));
    assert_eq!(side.pid_variables, ["CONTAINERPILOT_MY_SIDE_PID"]);
    assert_eq!(fields(&side.output), [("process", "coprocess"), ("coprocess", "my-side")]);
    assert_eq!(side.start, StartRule::Once(Event::STARTUP));
}

#[test]
fn a_coprocess_without_a_name_is_called_like_its_command() {
    let spec = spec("{ coprocesses: [ { command: '/usr/bin/consul-template -config /etc/x.hcl' } ] }");
    let side = job(&spec, "coprocess[/usr/bin/consul-template -config /etc/x.hcl]");
    assert_eq!(side.pid_variables, ["CONTAINERPILOT_CONSUL_TEMPLATE_PID"]);
    assert_eq!(fields(&side.output)[1].1, "/usr/bin/consul-template -config /etc/x.hcl");
}

#[test]
fn restarts_of_a_coprocess_have_every_form() {
    let with = |written: &str| format!("{{ coprocesses: [ {{ name: 'c', command: 'a', restarts: {written} }} ] }}");
    for (written, want) in [
        ("null", Budget::Limited(0)),
        ("'never'", Budget::Limited(0)),
        ("0", Budget::Limited(0)),
        ("3", Budget::Limited(3)),
        ("3.9", Budget::Limited(3)),
        ("'3'", Budget::Limited(3)),
        ("'unlimited'", Budget::Unlimited),
    ] {
        let spec = spec(&with(written));
        let side = job(&spec, "coprocess[c]");
        assert_eq!(side.restarts, want, "{written}");
        // Those that come to an end are at once; those that do not, must not spin.
        assert_eq!(side.backoff.is_none(), matches!(want, Budget::Limited(1..)), "{written}");
    }
    for written in ["-1", "'often'", "true", "'3.9'", "[1]"] {
        assert!(refused(&with(written)).contains("coprocess[c].restarts"), "{written}");
    }
}

#[test]
fn a_task_runs_after_each_period() {
    let spec = spec("{ tasks: [ { name: 't', command: 'a', frequency: '1500ms' } ] }");
    let task = job(&spec, "task[t]");
    let period = Duration::from_millis(1500);
    assert_eq!((&task.start, task.delay, task.timeout), (&StartRule::Interval(period), Some(period), Some(period)));
    assert!(task.last == Last::Yes && task.pauses && task.restarts == Budget::Unlimited);
    assert_eq!(task.on_reload, OnReload::Replace);
    assert_eq!(fields(&task.output), [("process", "task"), ("task", "t")]);
}

#[test]
fn the_times_of_a_task_have_every_form() {
    let with = |times: &str| format!("{{ tasks: [ {{ name: 't', command: 'a', {times} }} ] }}");
    for (times, frequency, timeout) in [
        ("frequency: 2", 2000, 2000),
        ("frequency: '2'", 2000, 2000),
        ("frequency: '1m', timeout: '1.5s'", 60_000, 1500),
        ("frequency: '1ms', timeout: 3", 1, 3000),
    ] {
        let spec = spec(&with(times));
        let task = job(&spec, "task[t]");
        assert_eq!(task.start, StartRule::Interval(Duration::from_millis(frequency)), "{times}");
        assert_eq!(task.timeout, Some(Duration::from_millis(timeout)), "{times}");
    }
    for (times, field) in [
        ("timeout: 1", "frequency"),
        ("frequency: ''", "frequency"),
        ("frequency: '10us'", "frequency"),
        ("frequency: 0", "frequency"),
        ("frequency: 'soon'", "frequency"),
        ("frequency: -1", "frequency"),
        ("frequency: 1, timeout: '10us'", "timeout"),
        ("frequency: 1, timeout: 0", "timeout"),
    ] {
        assert!(refused(&with(times)).contains(&format!("task[t].{field}")), "{times}");
    }
}

#[test]
fn a_service_is_a_job_that_is_checked() {
    let spec = service(
        "health: 'check it', timeout: '1s', tags: ['a'], interfaces: 'static:10.9.9.9', consul: {
        enableTagOverride: true, deregisterCriticalServiceAfter: '90m' }",
    );
    let web = job(&spec, "web");
    let advertised = web.service.as_ref().unwrap();
    assert_eq!((&*advertised.id, &*advertised.name, advertised.port), ("web-box", "web", 80));
    assert_eq!(advertised.check_id.as_deref(), Some("web-box"));
    assert_eq!((advertised.address.to_string(), &*advertised.tags), ("10.9.9.9".to_owned(), &["a".to_owned()][..]));
    assert_eq!((advertised.ttl, advertised.interval), (secs(5), secs(2)));
    assert!(advertised.enable_tag_override && advertised.initial_status.is_none());
    assert_eq!(advertised.deregister_critical_after.as_deref(), Some("90m"));
    let health = web.health.as_ref().unwrap();
    assert_eq!((health.interval, health.timeout, health.failures), (secs(2), Some(secs(1)), None));
    let want = [("process", "health"), ("serviceName", "web"), ("serviceID", "web-box")];
    assert_eq!(fields(&health.output), want);
    assert!(web.exec.is_none() && web.on_reload == OnReload::Restart);
}

#[test]
fn a_service_without_a_check_is_always_well() {
    let spec = service("");
    let health = job(&spec, "web").health.as_ref().unwrap();
    assert!(health.exec.is_none() && health.timeout.is_none());
    assert_eq!(job(&spec, "web").service.as_ref().unwrap().address.to_string(), "10.2.0.1");
}

#[test]
fn a_timeout_of_0_is_none() {
    for written in ["0", "'0'", "'0s'", "''", "null"] {
        let spec = service(&format!("timeout: {written}"));
        assert_eq!(job(&spec, "web").health.as_ref().unwrap().timeout, None, "{written}");
    }
    assert!(refused(&format!("{{ services: [ {{ {SERVICE}, timeout: 'x' }} ] }}")).contains("service[web].timeout"));
}

#[test]
fn numbers_may_be_texts_texts_may_be_lists_and_keys_have_any_case() {
    let spec = spec("{ services: [ { NAME: 'web', Port: '80', poll: '2', tTl: '5', TAGS: 'x', Interfaces: 'lo' } ] }");
    let advertised = job(&spec, "web").service.clone().unwrap();
    assert_eq!((advertised.port, advertised.interval, advertised.ttl), (80, secs(2), secs(5)));
    assert_eq!((advertised.tags, advertised.address.to_string()), (vec!["x".to_owned()], "127.0.0.1".to_owned()));
}

#[test]
fn what_is_wrong_with_a_service_is_told() {
    let with = |field: &str, written: &str| {
        let mut all: Vec<(&str, &str)> = vec![("name", "'web'"), ("port", "80"), ("poll", "2"), ("ttl", "5")];
        all.retain(|(name, _)| *name != field);
        all.push((field, written));
        let all: Vec<String> = all.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        format!("{{ services: [ {{ {} }} ] }}", all.join(", "))
    };
    for (field, values) in [
        ("port", &["null", "0", "-1", "65536", "'http'", "[]"][..]),
        ("poll", &["null", "0", "-1", "'2s'", "[]"]),
        ("ttl", &["null", "0", "'x'"]),
        ("health", &["''", "[]", "['']", "5", "{}"]),
        ("interfaces", &["'eth7'", "['x y']", "5"]),
        ("tags", &["{ x: 1 }", "[[]]"]),
        ("consul", &["5", "{ x: 1 }", "{ deregisterCriticalServiceAfter: 'x' }"]),
        ("nam", &["'x'"]),
    ] {
        for value in values {
            let says = refused(&with(field, value));
            assert!(says.starts_with("cp.json:1:") && says.contains("service[web]") && says.contains(field), "{says}");
        }
    }
    assert!(refused(&with("name", "''")).contains("services[0].name"));
    assert!(refused("{ services: [ 5 ] }").contains("services[0]"));
    assert!(refused("{ services: 'web' }").contains("services"));
}

#[test]
fn an_unusual_name_is_only_warned_of() {
    for name in ["My_App", "a", "x y", "9"] {
        let spec = spec(&format!("{{ consul: 'h', services: [ {{ name: '{name}', port: 1, poll: 1, ttl: 2 }} ] }}"));
        assert!(spec.warnings[0].contains("services[0].name: is an unusual name"), "{:?}", spec.warnings);
    }
    let usual = spec(&format!("{{ consul: 'h', services: [ {{ {SERVICE} }} ] }}"));
    assert_eq!(usual.warnings, Vec::<String>::new());
}

#[test]
fn two_services_of_one_name_are_two_jobs_of_one_name() {
    let spec = spec(&format!("{{ consul: 'h', services: [ {{ {SERVICE} }}, {{ {SERVICE}, health: 'x' }} ] }}"));
    for name in ["web", "web#2"] {
        assert!(job(&spec, name).service.is_some() && job(&spec, name).configured_name().as_str() == "web");
    }
    assert!(spec.warnings[0].contains("services[1].name") && spec.warnings[0].contains("services[0]"));
}

#[test]
fn a_backend_is_a_watch_and_a_job() {
    let spec = spec("{ backends: [ { name: 'db', poll: 3, onChange: 'a b', tag: 'rw', timeout: '9s' } ] }");
    let [watch] = &*spec.watches else { panic!("{:?}", spec.watches) };
    assert_eq!((watch.name.as_str(), &*watch.service, &*watch.tags), ("db.rw", "db", &["rw".to_owned()][..]));
    assert_eq!((watch.interval, watch.delay, watch.pauses), (secs(3), secs(3), true));
    let handler = job(&spec, "backend[db.rw]");
    let changed = Event::watch(EventCode::StatusChanged, &watch.name);
    assert_eq!((words(handler), &handler.start), (vec!["a", "b"], &StartRule::Each(changed)));
    assert_eq!((handler.timeout, handler.restarts), (Some(secs(9)), Budget::Limited(0)));
    assert!(handler.merges && handler.pauses && handler.last == Last::Yes && handler.on_reload == OnReload::Replace);
    assert_eq!(fields(&handler.output), [("process", "onChange"), ("backend", "db")]);
}

#[test]
fn what_is_wrong_with_a_backend_is_told() {
    for (backend, field) in [
        ("poll: 1, onChange: 'a'", "backends[0].name"),
        ("name: 'db', onChange: 'a'", "backend[db].poll"),
        ("name: 'db', poll: 0, onChange: 'a'", "backend[db].poll"),
        ("name: 'db', poll: 1", "backend[db].onChange"),
        ("name: 'db', poll: 1, onChange: []", "backend[db].onChange"),
        ("name: 'db', poll: 1, onChange: 'a', tag: []", "backend[db].tag"),
        ("name: 'db', poll: 1, onChange: 'a', tags: ['x']", "`tags` is not a field of a backend"),
    ] {
        let says = refused(&format!("{{ backends: [ {{ {backend} }} ] }}"));
        assert!(says.contains(field), "{says}");
    }
}

const SENSOR: &str = "namespace: 'ns', subsystem: 'sub', name: 'n', help: 'h', type: 'gauge', poll: 4, check: 'a'";

#[test]
fn telemetry_is_a_service_with_sensors() {
    let text =
        format!("{{ telemetry: {{ interfaces: 'lo', tags: 'x', sensors: [ {{ {SENSOR}, timeout: '2s' }} ] }} }}");
    let spec = spec(&text);
    let telemetry = spec.telemetry.clone().unwrap();
    assert_eq!((telemetry.address.to_string(), telemetry.must_listen), ("127.0.0.1:9090".to_owned(), true));
    let advertised = &telemetry.service;
    assert_eq!((&*advertised.name, advertised.ttl, advertised.interval), ("containerpilot", secs(15), secs(5)));
    assert_eq!((&*advertised.tags[0], advertised.check_id.as_deref()), ("x", Some("containerpilot-box")));
    assert_eq!((&*telemetry.metrics[0].full_name, telemetry.metrics[0].kind), ("ns_sub_n", MetricKind::Gauge));
    let sensor = job(&spec, "sensor[ns_sub_n]");
    assert_eq!((sensor.metric.as_deref(), sensor.timeout), (Some("ns_sub_n"), Some(secs(2))));
    assert_eq!((&sensor.start, sensor.delay), (&StartRule::Interval(secs(4)), Some(secs(4))));
    assert!(sensor.pauses && sensor.last == Last::Yes && sensor.on_reload == OnReload::Replace);
}

#[test]
fn what_is_wrong_with_a_sensor_is_told() {
    let with = |field: &str, written: &str| {
        let parts: Vec<&str> = SENSOR.split(", ").filter(|part| !part.starts_with(&format!("{field}:"))).collect();
        format!("{{ telemetry: {{ interfaces: 'lo', sensors: [ {{ {}, {field}: {written} }} ] }} }}", parts.join(", "))
    };
    for (field, values) in [
        ("name", &["null", "'a b'"][..]),
        ("help", &["null"]),
        ("type", &["null", "'nonsense'"]),
        ("poll", &["null", "0", "'1s'"]),
        ("check", &["null", "''", "[]"]),
        ("timeout", &["'x'"]),
        ("metric", &["'x'"]),
    ] {
        for value in values {
            let says = refused(&with(field, value));
            assert!(says.contains("telemetry.sensors[0]") && says.contains(field), "{says}");
        }
    }
    assert!(refused("{ telemetry: { interfaces: 'lo', port: 70000, sensors: [] } }").contains("telemetry.port"));
}

#[test]
fn logging_is_that_of_2_7() {
    for (written, format) in
        [("{}", LogFormat::Stamp), ("{ format: 'Default' }", LogFormat::Stamp), ("{ format: 'TEXT' }", LogFormat::Text)]
    {
        assert_eq!(spec(&format!("{{ logging: {written} }}")).logging.format, format, "{written}");
    }
    let logging = spec("{ logging: { Level: 'ERROR', format: 'json', output: 'STDERR' } }").logging;
    assert_eq!((logging.level, logging.format, logging.output), (LogLevel::Error, LogFormat::Json, LogOutput::Stderr));
    for wrong in ["{ level: 'LOUD' }", "{ format: 'xml' }", "{ output: '/no/such/folder/log' }", "{ lines: 5 }", "5"] {
        assert!(refused(&format!("{{ logging: {wrong} }}")).contains("logging"), "{wrong}");
    }
}

#[test]
fn a_catalog_and_a_control_socket_are_had_for_the_asking() {
    let spec = spec("{ consul: 'http://consul:8500', control: { socket: '/x' } }");
    let Some(CatalogSpec::Consul(consul)) = &spec.catalog else { panic!("{:?}", spec.catalog) };
    assert_eq!((&*consul.address, consul.https), ("consul:8500", false));
    assert_eq!(spec.control.unwrap().socket.to_str(), Some("/x"));
}

#[test]
fn an_unknown_key_is_an_error_anywhere() {
    for (text, says) in [
        ("{ bogus: 1 }", "cp.json:1:3: `bogus` is not a field of a version 2 config"),
        ("{ Tasks: [], services: [] }", "`Tasks` is not a field of a version 2 config, perhaps `tasks`"),
        ("{ tasks: [ { command: 'a', frequency: 1, retry: 1 } ] }", "`retry` is not a field of a task"),
        (
            "{ coprocesses: [ { command: 'a', restrats: 1 } ] }",
            "`restrats` is not a field of a coprocess, perhaps `restarts`",
        ),
        ("{ telemetry: { interfaces: 'lo', sensors: [], path: '/' } }", "`path` is not a field of `telemetry`"),
    ] {
        let refusal = refused(text);
        assert!(refusal.contains(says), "{refusal}");
    }
}

#[test]
fn all_problems_are_told_in_their_order_with_their_places() {
    let text =
        "{\n  stopTimeout: 'x',\n  services: [ {name: 'web', port: 0,\n    poll: 1, ttl: 1} ],\n  preStop: ''\n}";
    let says = refused(text);
    let places: Vec<&str> = says.lines().map(|line| line.split(": `").next().unwrap()).collect();
    assert_eq!(places, ["cp.json:2:16: stopTimeout", "cp.json:3:35: service[web].port", "cp.json:5:12: preStop"]);
}

#[test]
fn a_command_that_is_missing_or_empty_is_told() {
    for (text, field) in [
        ("{ preStart: '' }", "preStart"),
        ("{ preStop: [] }", "preStop"),
        ("{ postStop: 5 }", "postStop"),
        ("{ coprocesses: [ { name: 'c' } ] }", "coprocess[c].command"),
        ("{ coprocesses: [ { command: '  ' } ] }", "coprocesses[0].command"),
        ("{ tasks: [ { name: 't', frequency: 1 } ] }", "task[t].command"),
    ] {
        assert!(refused(text).contains(field), "{text}");
    }
}

#[test]
fn what_is_null_is_left_out() {
    let spec = spec(
        "{ preStart: null, services: null, tasks: [ null ], coprocesses: {}, telemetry: null, logging: null, consul: null }",
    );
    assert_eq!(spec.jobs.len(), 1);
    assert!(spec.telemetry.is_none() && spec.catalog.is_none());
}

#[test]
fn keys_tell_the_version_or_else_the_command_does() {
    let two = |text: &str, command: &[&str]| tried(text, command, &[]).map(|loaded| loaded.spec.signals.hup_reloads);
    for (text, command, want) in [
        ("{}", &["app"][..], true),
        ("{}", &[], false),
        ("{ consul: 'x:1', logging: {}, stopTimeout: 1, control: {} }", &[], false),
        ("{ consul: 'x:1', logging: {}, stopTimeout: 1, control: {} }", &["app"], true),
        ("{ telemetry: { interfaces: 'lo' } }", &["app"], true),
        ("{ telemetry: { interfaces: 'lo', Sensors: [] } }", &[], true),
        ("{ telemetry: { interfaces: 'lo', metrics: [] } }", &["app"], false),
        ("{ preStop: 'a' }", &[], true),
        ("{ jobs: [] }", &["app"], false),
        ("{ watches: [] }", &[], false),
    ] {
        assert_eq!(two(text, command), Ok(want), "{text} {command:?}");
    }
    for (text, names) in [
        ("{ jobs: [], tasks: [] }", ["`tasks`", "`jobs`"]),
        ("{ postStop: 'a', telemetry: { metrics: [] } }", ["`postStop`", "`telemetry.metrics`"]),
        ("{ watches: [], telemetry: { sensors: [] } }", ["`telemetry.sensors`", "`watches`"]),
    ] {
        let says = refused(text);
        assert!(names.iter().all(|name| says.contains(name)), "{says}");
    }
}

#[test]
fn a_reload_speaks_the_language_of_what_runs() {
    let after = |spoken, text: &str| tried_after(Some(spoken), text, &[], &[]).map(|loaded| loaded.version);
    assert_eq!(after(Version::Two, "{ consul: 'x:1' }"), Ok(Version::Two), "the last of its keys is gone");
    assert_eq!(after(Version::Three, "{}"), Ok(Version::Three));
    let says = after(Version::Two, "{ jobs: [] }").unwrap_err();
    assert!(says.contains("is written for version 3 now"), "{says}");
    assert!(after(Version::Three, "{ preStop: 'a' }").is_err());
}

#[test]
fn a_command_beside_version_3_is_warned_of() {
    let spec = tried("{ jobs: [ { name: 'a', exec: 'b' } ] }", &["nginx", "-g"], &[]).unwrap().spec;
    assert_eq!(spec.jobs.len(), 1);
    assert!(spec.warnings[0].contains("`nginx` is not run"), "{:?}", spec.warnings);
}

#[test]
fn names_that_2_7_takes_and_ignores_are_warned_of() {
    let warnings = spec(
        "{ consul: 'h:1', services: [ { name: 'web', port: 80, health: 'true', poll: 1, ttl: 2, ID: 'x', healthCheckCmd: 1 } ], \
         backends: [ { name: 'db', poll: 1, onChange: 'true', lastState: 1 } ], tasks: [ { command: 'true', frequency: '1s', cmd: 1 } ], \
         coprocesses: [ { command: 'true', restartLimit: 1 } ], telemetry: { listening: true, sensors: [ { name: 's', help: 'h', \
         type: 'gauge', poll: 1, check: 'true', checkCmd: 1 } ] } }",
    )
    .warnings;
    assert_eq!(warnings.len(), 7, "{warnings:?}");
    assert!(warnings.iter().all(|says| says.contains("has no effect, as in earlier versions")), "{warnings:?}");
}

#[test]
fn what_is_doubtful_is_warned_of_as_in_version_3() {
    let warnings = |text: &str| spec(text).warnings;
    let told = warnings("{ services: [ { name: 'web', port: 80, health: 'a && b', poll: 5, ttl: 5 } ] }");
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].starts_with("cp.json:1:13: services: there is no catalog"), "{told:?}");
    assert!(told[1].contains("service[web].health: there is no shell for `&&`"), "{told:?}");
    assert!(told[2].contains("service[web].ttl: `5` is not above `poll`, which is 5"), "{told:?}");
    let told = warnings("{ backends: [ { name: 'db', poll: 1, onChange: 'x' } ] }");
    assert!(told.len() == 1 && told[0].starts_with("cp.json:1:13: backends: there is no catalog"), "{told:?}");
    let told = warnings("{ preStart: 'a; b', tasks: [ { command: 'x', command: 'y', frequency: 1 } ] }");
    assert!(told.len() == 2 && told[0].contains("preStart: there is no shell for `;`"), "{told:?}");
    assert!(told[1].contains("tasks[0].command: `command` is given twice"), "{told:?}");
    let told = tried("{}", &["app", "-h", "{{ .HOST }}"], &[]).unwrap().spec.warnings;
    assert!(told.len() == 1 && told[0].starts_with("command line:1:4: `HOST` is not set"), "{told:?}");
    let idle = tried("{ services: [] }", &[], &[]).unwrap().spec.warnings;
    assert!(idle.len() == 1 && idle[0].contains("there is nothing to run"), "{idle:?}");
    assert_eq!(warnings("{}"), Vec::<String>::new());
}
