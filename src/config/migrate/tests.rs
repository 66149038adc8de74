//! What is written of version 2 configs, and that it means the same.

mod templates;

use super::*;

use containerpilot_actors::addresses::InterfaceAddress;
use containerpilot_actors::event::{Event, JobName, Source as EventSource, WatchName};
use containerpilot_actors::spec::{
    CatalogSpec, JobSpec, Last, LogFormat, OnReload, OutputSpec, Spec, StartRule, Stdin,
};

use crate::config::{Loaded, parse};
use crate::template;

const ENVIRONMENT: [(&str, &str); 3] = [("PORT", "8080"), ("WHO", "blue"), ("SECONDS", "7")];

fn host() -> Host {
    let address = |interface: &str, address: &str| InterfaceAddress {
        interface: interface.to_owned(),
        address: address.parse().unwrap(),
    };
    Host { name: "box".to_owned(), addresses: vec![address("lo", "127.0.0.1"), address("eth0", "10.2.0.1")] }
}

fn words(command: &[&str]) -> Vec<OsString> {
    command.iter().map(OsString::from).collect()
}

fn migrated(text: &str, command: &[&str]) -> Result<Migrated, String> {
    let source = Source::Text { place: "app.json", text: text.into() };
    migrate(&source, &words(command), &host()).map_err(|error| error.to_string())
}

/// The new config without its comments on the whole.
fn text(text: &str, command: &[&str]) -> String {
    let written = migrated(text, command).unwrap().text;
    let lines: Vec<&str> = written.lines().skip_while(|line| line.starts_with("//")).collect();
    lines.join("\n")
}

fn loaded(text: &str, command: &[&str]) -> Result<Loaded, String> {
    loaded_in(text, command, &ENVIRONMENT.into_iter().collect())
}

fn loaded_in(text: &str, command: &[&str], environment: &Environment) -> Result<Loaded, String> {
    let text = template::render("app.json", text.as_bytes(), environment).map_err(|error| error.to_string())?;
    let surroundings = Surroundings { environment, host: &host() };
    parse(&Written::plain("app.json", std::str::from_utf8(&text).unwrap()), &[], &words(command), None, surroundings)
        .map_err(|error| error.to_string())
}

/// A spec as far as it decides what happens: names that nobody asks for are gone.
fn essence(spec: Spec) -> Spec {
    let watches: Vec<WatchName> = spec.watches.iter().map(|watch| watch.name.clone()).collect();
    let numbered = |number: usize| WatchName::new(format!("watch {number}"));
    let event = |event: Event| match &event.source {
        EventSource::Watch(name) => {
            let number = watches.iter().position(|other| other == name).unwrap();
            Event { source: EventSource::Watch(numbered(number)), ..event }
        }
        // Nobody but the main application is waited for.
        EventSource::Job(_) => Event { source: EventSource::Job(JobName::new("main")), ..event },
        EventSource::Global | EventSource::Check(_) | EventSource::Signal(_) | EventSource::Reason(_) => event,
    };
    let shows_fields = spec.logging.format != LogFormat::Stamp;
    let output = |output: OutputSpec| {
        let mut fields = output.fields;
        // It holds the name of the host, which a config does not know.
        fields.retain(|(name, _)| shows_fields && name != "serviceID");
        fields.sort();
        OutputSpec { fields, ..output }
    };
    let mut jobs: Vec<JobSpec> = spec.jobs.into_iter().flat_map(apart).collect();
    // What only waits to be asked to stop does nothing.
    let checks = |job: &JobSpec| job.health.as_ref().is_some_and(|health| health.exec.is_some());
    jobs.retain(|job| job.exec.is_some() || job.service.is_some() || checks(job));
    for job in &mut jobs {
        job.name = JobName::new(if job.main { "main" } else { "" });
        // Its service tells with which others it shares a name.
        job.twin_of = None;
        // Each job has one in version 3.
        job.pid_variables
            .retain(|variable| if job.main { variable == "CONTAINERPILOT_APP_PID" } else { job.output.raw });
        job.start = match job.start.clone() {
            StartRule::Once(start) => StartRule::Once(event(start)),
            StartRule::Each(start) => StartRule::Each(event(start)),
            rule @ (StartRule::Interval(_) | StartRule::Never) => rule,
        };
        job.output = output(job.output.clone());
        // These are told of above the new config.
        job.not_started = None;
        job.timeout_text = None;
        if let Some(service) = &mut job.service {
            service.check_id = None;
        }
        if let Some(health) = &mut job.health {
            health.output = output(health.output.clone());
            health.timeout_text = None;
            // A service without a check has nothing to limit or to log.
            if health.exec.is_none() {
                health.timeout = None;
                health.output.fields.clear();
            }
        }
    }
    jobs.sort_by_key(|job| format!("{job:?}"));
    let watches = spec.watches.into_iter().enumerate();
    let watches =
        watches.map(|(number, watch)| containerpilot_actors::spec::WatchSpec { name: numbered(number), ..watch });
    let mut catalog = spec.catalog;
    if let Some(CatalogSpec::Etcd(etcd)) = &mut catalog {
        // The new config says which API it is, with a comment.
        etcd.warns_of_api2 = false;
    }
    let mut telemetry = spec.telemetry;
    if let Some(telemetry) = &mut telemetry {
        telemetry.service.check_id = None;
    }
    Spec {
        jobs,
        watches: watches.collect(),
        catalog,
        telemetry,
        control: None,
        warnings: Vec::new(),
        errors: Vec::new(),
        ..spec
    }
}

/// The application and its service as the two jobs that they are in version 2.
fn apart(job: JobSpec) -> Vec<JobSpec> {
    if !job.main || job.service.is_none() {
        return vec![job];
    }
    let service = JobSpec {
        exec: None,
        main: false,
        // That it leaves the catalog with the application is told.
        last: Last::UnlessAsked,
        on_reload: OnReload::Restart,
        stdin: Stdin::Empty,
        term_process: false,
        output: OutputSpec::default(),
        ..job.clone()
    };
    vec![service, JobSpec { health: None, service: None, ..job }]
}

#[track_caller]
fn means_the_same(config: &str, command: &[&str]) {
    means_the_same_in(config, command, &ENVIRONMENT.into_iter().collect());
}

#[track_caller]
fn means_the_same_in(config: &str, command: &[&str], environment: &Environment) {
    let new = migrated(config, command).unwrap_or_else(|error| panic!("{error}\n{config}"));
    let old = loaded_in(config, command, environment).unwrap_or_else(|error| panic!("{error}\n{config}"));
    let written = new.text;
    let new = loaded_in(&written, &[], environment).unwrap_or_else(|error| panic!("{error}\n{config}\n{written}"));
    assert!(new.findings.iter().all(|finding| finding.is_warning), "{:?}\n{written}", new.findings);
    let (new, old) = (essence(new.spec), essence(old.spec));
    for (new, old) in new.jobs.iter().zip(&old.jobs) {
        assert_eq!(new, old, "{config}\n{written}");
    }
    assert_eq!(new, old, "{config}\n{written}");
}

/// Values of each key of version 2.
const VALUES: [(&str, &[&str]); 13] = [
    (
        "services",
        &[
            "[]",
            "[{ name: 'web', port: 80, poll: 5, ttl: 15, health: '/bin/check -x', timeout: '3s', interfaces: ['eth0', 'lo'],
                tags: ['a', 'b'], consul: { enableTagOverride: true, deregisterCriticalServiceAfter: '10m' } }]",
            "[{ name: 'web', port: '0x1F90', poll: '5', ttl: 10.9 }]",
            "[{ NAME: 'app', Port: 80, poll: 1, ttl: 2, health: ['sh', '-c', 'exit \"0\"', 7], tags: 'one', interfaces: 'lo', timeout: '' }]",
            "[{ name: 'app', port: 80, poll: 1, ttl: 2, health: 'true' }, null, { name: 'admin', port: 81, poll: 3, ttl: 9, timeout: 2 }]",
            "[{ name: 'aa', port: 80, poll: 1, ttl: 2 }, { name: 'aa', port: 81, poll: 1, ttl: 2, health: 'x' }, { name: 'aa', port: 1, poll: 1, ttl: 1 }]",
            "[{ name: \"{{ .WHO | default \"red\" }}\", port: '{{ .PORT }}', poll: '{{ .SECONDS }}', ttl: 9, health: '/bin/{{ .WHO }} x' }]",
        ],
    ),
    (
        "backends",
        &[
            "{}",
            "[{ name: 'db', poll: 3, onChange: '/bin/reload now', tag: 'rw', timeout: '10s' }]",
            "[{ name: 'db', poll: '3', onChange: ['/bin/reload', 'now'] }, { name: 'db', poll: 2.5, onChange: 'x', tag: 'ro' },
              { name: 'db', poll: 2, onChange: 'x', tag: 'ro' }, { name: 'cache', poll: 2, onChange: 'x', tag: 'a b', timeout: '' }]",
            "[{ name: '{{ .WHO }}', poll: '{{ .SECONDS }}', onChange: '{{ .WHO }}', tag: '{{ .NONE }}' }]",
        ],
    ),
    (
        "tasks",
        &[
            "[{ name: 'clean', command: '/bin/clean  all', frequency: '1h30m' }]",
            "[{ name: 'same', command: 'x', frequency: 5 }, { name: 'same', command: 'y', frequency: '5', timeout: '1500ms' },
              { name: 'my task!', command: ['/usr/bin/z', 'a b'], frequency: '5s', timeout: 2 }, { command: '/usr/bin/z', frequency: '9s' }]",
            "[{ name: 'app', command: ['{{ .WHO }}', 1], frequency: '{{ .SECONDS }}s', timeout: '' }, { command: '{{ .WHO }} x', frequency: 1 }]",
        ],
    ),
    (
        "coprocesses",
        &[
            "[{ name: 'side', command: '/bin/side', restarts: 'unlimited' }]",
            "[{ command: ['/bin/side', '-x'] }, { command: '/bin/side', restarts: 3 }, { name: 'preStart', command: 'x', restarts: '2' },
              { name: 'consul agent', command: 'x', restarts: 1.9 }, { name: '!', command: 'x', restarts: 'never' }, { name: 5, command: 'x' }]",
            "[{ name: '{{ .WHO }}-side', command: '{{ .WHO }}' }]",
        ],
    ),
    ("preStart", &["'/bin/pre  start'", "['/bin/pre', '{ {', 1]", "\"{{ .PRE | default \"/bin/pre\" }} x\""]),
    ("onStart", &["'/bin/on-start'"]),
    ("preStop", &["'/bin/pre-stop'", "['sh', '-c', \"echo '\\u007B{ .X }}'\"]"]),
    ("postStop", &["'/bin/post-stop x'"]),
    ("stopTimeout", &["10", "0", "-1", "'7'", "'{{ .SECONDS }}'"]),
    (
        "telemetry",
        &[
            "{}",
            "{ port: 9000, interfaces: 'lo', tags: 'x', sensors: [
                { namespace: 'a', subsystem: 'b', name: 'c', help: 'h', type: 'gauge', poll: 5, check: '/bin/measure' },
                { name: 'd', help: 'h', type: 'counter', poll: 2.5, check: ['/bin/measure', 'd'], timeout: '1s' } ] }",
            "{ port: '{{ .PORT }}', tags: ['{{ .WHO }}'], sensors: [
                { namespace: '{{ .WHO }}', name: 'c', help: 'h', type: 'gauge', poll: '{{ .SECONDS }}', check: 'x', timeout: '' } ] }",
        ],
    ),
    (
        "logging",
        &["{}", "{ level: 'DEBUG' }", "{ format: 'Default', output: 'stderr' }", "{ format: 'text' }", "{ FORMAT: 'JSON', maxLine: '16k' }"],
    ),
    ("consul", &["'localhost:8500'", "{ address: 'c:1', scheme: 'http', token: '{{ .WHO }}', tls: { verify: false } }"]),
    ("control", &["{ socket: '/tmp/{{ .WHO }}.socket' }"]),
];

const COMMANDS: [&[&str]; 5] = [
    &[],
    &["nginx", "-g", "daemon off;"],
    &["sh", "-c", "echo \"a\" 'b' \\ {{ .WHO }}\n{{- if .NONE }}\nx {{ end }}", "", "{ {{ .PORT | default \"x\" }}}"],
    &["app", "{{ .WHO }", "{{ .WHO }}", "\u{7}\u{2028}é"],
    &["app"],
];

#[test]
fn every_value_of_every_key_means_the_same() {
    for (key, values) in VALUES {
        for value in values {
            means_the_same(&format!("{{ {key}: {value} }}"), &["app"]);
        }
    }
    for etcd in [
        "{ endpoints: ['http://e:1', '{{ .WHO }}'], prefix: '/x' }",
        "{ endpoints: 'e:1', API: 2, username: 'u', password: 'p' }",
    ] {
        means_the_same(&format!("{{ etcd: {etcd} }}"), &["app"]);
    }
    for command in &COMMANDS[1..] {
        means_the_same("{}", command);
    }
}

/// Numbers below a limit, as a printed seed has it.
fn random() -> impl FnMut(usize) -> usize {
    let seed = containerpilot_actors::random::entropy();
    println!("seed {seed}");
    let mut random = containerpilot_actors::random::Random::from_seed(seed);
    move |length| random.index(length)
}

#[test]
fn random_configs_mean_the_same() {
    let mut random = random();
    for _ in 0..300 {
        let chosen = VALUES.iter().filter_map(|(key, values)| {
            let value = values.get(random(values.len() + 2))?;
            Some(format!("{key}: {value},\n"))
        });
        // Without a command only the keys tell the version.
        let config = format!("{{ tasks: [],\n {} }}", chosen.collect::<String>());
        means_the_same(&config, COMMANDS[random(COMMANDS.len())]);
    }
}

/// Configs that are broken somewhere: no result is wrong, but a panic is, and so is a new config that is none.
#[test]
fn no_text_makes_a_migration_panic() {
    const PIECES: [&str; 24] = [
        "{{",
        "}}",
        "{{ .WHO }}",
        "{{- .WHO -}}",
        "{{/* */}}",
        "{{ if .WHO }}",
        "{{ end }}",
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "'",
        "\"",
        "\\",
        "\n",
        "null",
        "0",
        "''",
        "é",
        "\u{2028}",
        "\u{F0000}",
        "name",
    ];
    let mut random = random();
    for _ in 0..5000 {
        let (key, values) = VALUES[random(VALUES.len())];
        let mut config = format!("{{ preStart: 'x', {key}: {} }}", values[random(values.len())]);
        for _ in 0..=random(3) {
            let boundaries: Vec<usize> = config.char_indices().map(|(at, _)| at).chain([config.len()]).collect();
            let from = boundaries[random(boundaries.len())];
            let to = *boundaries.iter().find(|at| **at >= from + random(4)).unwrap_or(&config.len());
            config.replace_range(from..to, PIECES[random(PIECES.len())]);
        }
        let command = COMMANDS[random(COMMANDS.len())];
        match std::panic::catch_unwind(|| migrated(&config, command)) {
            Err(_) => panic!("it panics: {config:?}"),
            Ok(Err(_)) => {}
            // What is rendered may be no config, but it was none before, either. Only names have to be better ones.
            Ok(Ok(new)) => {
                let (old, loaded) = (loaded(&config, command), loaded(&new.text, &[]));
                let is_fine = loaded
                    .as_ref()
                    .err()
                    .is_none_or(|error| error.contains(".name: `") || error.contains(".metric: `"));
                assert!(old.is_err() || is_fine, "{loaded:?}\n{config}\n{}", new.text);
            }
        }
    }
}

#[test]
fn a_name_that_is_a_comment_of_the_template_is_none() {
    means_the_same("{ tasks: [{ name: '{{/* later */}}', command: '/bin/clean x', frequency: 1 }] }", &["app"]);
    means_the_same("{ coprocesses: [{ name: ' {{- /* later */ -}} ', command: '/bin/helper' }] }", &["app"]);
}

#[test]
fn a_usual_config_reads_well() {
    let config = r#"{
      "consul": "{{ .CONSUL | default "localhost" }}:8500",
      "preStart": "/bin/prepare.sh",
      "preStop": ["/bin/drain.sh", "--wait"],
      "postStop": "/bin/cleanup.sh",
      "services": [{ "name": "nginx", "port": 80, "health": "curl --fail -s http://localhost/health", "poll": 10, "ttl": 25 }],
      "backends": [{ "name": "app", "poll": 7, "onChange": "nginx -s reload" }],
      "coprocesses": [{ "name": "consul agent", "command": ["/bin/consul", "agent"], "restarts": "unlimited" }],
      "tasks": [{ "name": "clean", "command": "/bin/clean", "frequency": "1h" }],
      "telemetry": { "port": 9090, "sensors": [
        { "namespace": "nginx", "name": "connections", "help": "of now", "type": "gauge", "poll": 5, "check": "/bin/sensor" } ] }
    }"#;
    let Migrated { text, notes } = migrated(config, &["nginx", "-g", "daemon off;"]).unwrap();
    assert_eq!(text, include_str!("usual.json5"));
    let places = ["8:33: coprocesses[0].name: ", "6:20: services[0]: ", "1:1: version 2 opened no control socket"];
    assert_eq!(notes.len(), places.len(), "{notes:#?}");
    for place in places {
        assert!(notes.iter().any(|note| note.starts_with(&format!("app.json:{place}"))), "{place}: {notes:#?}");
    }
}

#[test]
fn what_changes_is_told_and_written_at_its_place() {
    for (config, command, says) in [
        (
            "{ tasks: [{ name: 'a b', command: 'x', frequency: 1 }] }",
            &["app"][..],
            "tasks[0].name: `a b` is no name for a job",
        ),
        (
            "{ coprocesses: [{ name: 'a/b', command: 'x' }] }",
            &["app"],
            "it is `a-b` here, and its pid is in CONTAINERPILOT_A_B_PID",
        ),
        ("{ coprocesses: [{ name: 'a b', command: 'x' }] }", &["app"], "it is `a-b` here\n"),
        (
            "{ services: [{ name: 'My_App', port: 1, poll: 1, ttl: 1 }] }",
            &["app"],
            "it is `my-app` here, and in the catalog",
        ),
        (
            "{ services: [{ name: 'app', port: 1, poll: 1, ttl: 1 }] }",
            &["app"],
            "services[0]: is one job with the application: no reload touches it, and it leaves the catalog with it",
        ),
        (
            "{ coprocesses: [{ name: 'a', command: 'x', restarts: '{{ .N }}' }] }",
            &["app"],
            "coprocesses[0].restarts: if this is a number, add `backoff: \"none\"`",
        ),
        ("{ preStart: 'x', onStart: 'y' }", &["app"], "onStart: is left out"),
        ("{ postStop: 'x' }", &[], "postStop: is left out"),
        ("{ etcd: { endpoints: 'e:1' } }", &["app"], "etcd: ContainerPilot 2.7 spoke etcd's API 2"),
        (
            "{ logging: { format: '{{ .FORMAT }}' } }",
            &["app"],
            "logging.format: the format that was `default` is `stamp` here",
        ),
        (
            "{ logging: { format: 'json' }, services: [{ name: 'web', port: 1, poll: 1, ttl: 1, health: 'x' }] }",
            &["app"],
            "services[0].health: records of its checks have no field `serviceID` any more",
        ),
        ("{}", &["app", "{{ .X }}"], "has to end in `| js`"),
        (
            "{}",
            &["app", "{{ .CONTAINERPILOT_WEB_IP }}"],
            "CONTAINERPILOT_..._IP is unknown when the config is rendered",
        ),
        ("{}", &["app", "{{ .X }"], "not all words are templates"),
        ("{}", &["app"], "version 2 opened no control socket"),
        (
            "{ tasks: [{ name: '{{ .X }}', command: 'x', frequency: 1 }, { name: '{{ .X }}', command: 'x', frequency: 1 }] }",
            &["app"],
            "tasks[1].name: `{{ .X }}` is the name of another job: it is `{{ .X }}-2` here",
        ),
    ] {
        let Migrated { text, notes } = migrated(config, command).unwrap();
        let told: String = notes.iter().map(|note| format!("{note}\n")).collect();
        assert!(told.contains(says), "{says}:\n{told}");
        let comments: Vec<&str> = text.lines().filter_map(|line| line.trim_start().strip_prefix("// ")).collect();
        assert!(comments.join(" ").contains(says.trim_end().replace("{{", "{ {").as_str()), "{says}:\n{text}");
    }
    assert_eq!(migrated("{ control: {} }", &["app"]).unwrap().notes, Vec::<String>::new());
}

#[test]
fn names_are_those_of_services_and_programs() {
    let jobs = |config: &str, command: &[&str]| -> Vec<String> {
        let spec = loaded(&migrated(config, command).unwrap().text, &[]).unwrap().spec;
        spec.jobs.iter().map(|job| job.name.to_string()).collect()
    };
    let service = |name: &str| format!("{{ name: '{name}', port: 80, poll: 1, ttl: 2 }}");
    assert_eq!(jobs("{}", &["nginx"]), ["app"]);
    assert_eq!(jobs(&format!("{{ services: [{}] }}", service("web")), &["nginx"]), ["web"]);
    assert_eq!(
        jobs(&format!("{{ services: [{}, {}] }}", service("web"), service("app")), &["x"]),
        ["web", "app", "app-2"]
    );
    assert_eq!(
        jobs(&format!("{{ services: [{}], preStop: 'x' }}", service("web")), &[]),
        ["web", "side-by-side", "preStop"]
    );
    assert_eq!(
        jobs("{ coprocesses: [{ name: 'app', command: 'x' }, { command: ['/bin/x.sh'] }] }", &["x"]),
        ["app-2", "x.sh", "app"]
    );
    assert_eq!(
        jobs(
            "{ tasks: [{ name: 'preStop', command: 'x', frequency: 1 }, { command: '{{ .WHO }}', frequency: 1 }], preStop: 'x' }",
            &["x"]
        ),
        ["app", "preStop", "preStop-2", "task"]
    );
    assert_eq!(
        jobs("{ backends: [{ name: 'Db', poll: 1, onChange: 'x' }, { name: '7.x', poll: 1, onChange: 'x' }] }", &["x"]),
        ["app", "db-changed", "service-7-x-changed"]
    );
}

#[test]
fn a_service_that_the_catalog_has_under_an_odd_name_is_looked_up_under_it() {
    let text = text("{ backends: [{ name: 'Db_1', poll: 1, onChange: 'x' }] }", &["app"]);
    assert!(
        text.contains(
            "watches: [{ name: \"db-1\", service: \"Db_1\", interval: 1, delay: 1, pauseInMaintenance: true }]"
        ),
        "{text}"
    );
    assert_eq!(loaded(&text, &[]).unwrap().spec.watches[0].service, "Db_1");
    let text = self::text("{ backends: [{ name: '{{ .WHO }}', poll: 1, onChange: 'x' }] }", &["app"]);
    assert!(
        text.contains(
            "watches: [{ name: \"backend\", service: \"{{ .WHO }}\", interval: 1, delay: 1, pauseInMaintenance: true }]"
        ),
        "{text}"
    );
}

#[test]
fn catalogs_pass_through() {
    let text = text(
        "{ etcd: { endpoints: ['http://e:1'], tls: { cafile: '/ca-{{ .WHO }}', servername: null } }, preStart: 'x' }",
        &["app"],
    );
    assert!(
        text.contains(
            "endpoints: [\"http://e:1\"],\n    tls: { cafile: \"/ca-{{ .WHO }}\", servername: null },\n    // etcd: "
        ),
        "{text}"
    );
    assert!(text.contains("    api: 3,\n"), "{text}");
    let text = self::text("{ etcd: { endpoints: 'e:1', API: 2 } }", &["app"]);
    assert!(text.contains("etcd: { endpoints: \"e:1\", API: 2 }"), "{text}");
    let text = self::text("{ zookeeper: { hosts: 'a:1,b:2', digest: 'u:p' } }", &["app"]);
    assert!(text.contains("zookeeper: { hosts: \"a:1,b:2\", digest: \"u:p\" }"), "{text}");
}

#[test]
fn what_is_wrong_is_told_as_when_the_config_is_run() {
    for config in [
        "{ bogus: 1 }",
        "{ services: [{ nam: 'x' }] }",
        "{ services: [{ name: '', port: 0, poll: 0, ttl: 'x' }], tasks: [{ name: 't' }], coprocesses: [{}] }",
        "{ jobs: [], services: [] }",
        "{ backends: [{ name: 'db' }] }",
        "{ coprocesses: [{ command: 'x', restarts: -1 }, 5] }",
        "{ telemetry: { sensors: [{ name: 'n', type: 'nonsense' }] } }",
        "{ logging: { level: 'LOUD' } }",
        "{ preStart: '' }",
        "{ consul: 'c:1', etcd: { endpoints: 'e:1' } }",
        "{ preStart: }",
        "[]",
        "",
        "{ preStart: '{{ .X }' }",
    ] {
        assert_eq!(migrated(config, &["app"]).unwrap_err(), loaded(config, &["app"]).unwrap_err(), "{config}");
    }
}

#[test]
fn of_templates_the_structure_is_checked() {
    let says = migrated(
        "{ services: [{ name: \"{{ .A | default \"x\" }}\", port: '{{ .B }}',\n poll: '{{ .C }}', ttl: '{{ .D }}', ttx: 1, tags: ['{{ .E }}', []] },\n \
         { name: '{{ .F }}' }], telemetry: { interfaces: '{{ .I }}', sensors: [\n { namespace: '{{ .G }}', name: 'n', help: '{{ .H }}' }] } }",
        &["app"],
    )
    .unwrap_err();
    let told: Vec<&str> = says.lines().map(|line| line.split(" (").next().unwrap()).collect();
    assert_eq!(
        told,
        [
            "app.json:2:37: service[TEMPLATE1].ttx: `ttx` is not a field of a service, perhaps `ttl`",
            "app.json:2:64: service[TEMPLATE1].tags[1]: is a list, not a string",
            "app.json:3:2: service[TEMPLATE6].port: is missing, it must be a port",
            "app.json:3:2: service[TEMPLATE6].poll: is missing, it must be a whole number of seconds, at least 1",
            "app.json:3:2: service[TEMPLATE6].ttl: is missing, it must be a whole number of seconds, at least 1",
            "app.json:4:2: telemetry.sensors[0].type: is missing, it must be one of counter, gauge, histogram, summary",
            "app.json:4:2: telemetry.sensors[0].poll: is missing, it must be a whole number of seconds, at least 1",
            "app.json:4:2: telemetry.sensors[0].check: is missing, it must be a command line",
        ],
        "{says}"
    );
}

#[test]
fn a_config_for_another_machine_is_no_mistake() {
    means_nothing_wrong("{ services: [{ name: 'web', port: 80, poll: 1, ttl: 2, interfaces: 'eth7' }] }");
    means_nothing_wrong("{ logging: { output: '/no/such/folder/log' } }");
    means_nothing_wrong("{ consul: { address: 'https://c:1', tls: { cafile: '/no/such/file' } } }");
}

fn means_nothing_wrong(config: &str) {
    assert!(loaded(config, &["app"]).is_err(), "{config}");
    migrated(config, &["app"]).unwrap();
}

#[test]
fn what_cannot_be_migrated_is_refused() {
    for (config, command, says) in [
        ("{ jobs: [] }", &["app"][..], "app.json: this is a config of version 3 already"),
        ("{}", &[], "app.json: this is a config of version 3 already"),
        ("{}", &["", "x"], "command line: `` is no name of a program"),
        ("{}", &["app", "\u{F0001}"], "command line: `\u{F0001}` has a private character"),
    ] {
        let refused = migrated(config, command).unwrap_err();
        assert!(refused.starts_with(says), "{config}: {refused}");
    }
    let source = Source::File("/no/such/file".into());
    assert!(migrate(&source, &[], &host()).unwrap_err().to_string().contains("/no/such/file"));
}
