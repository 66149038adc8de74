//! Whole configs: what they become, and how their mistakes are told.

use super::*;

use std::time::Duration;

use containerpilot_actors::addresses::InterfaceAddress;
use containerpilot_actors::event::{Event, EventCode, JobName, SignalSource, Source as EventSource};
use containerpilot_actors::spec::{
    Budget, CatalogSpec, ConsulSpec, LogFormat, LogLevel, RateLimit, StartRule, TaggedAddress, Weights,
};
#[cfg(feature = "etcd")]
use containerpilot_actors::spec::{EtcdApi, EtcdEndpoint, EtcdLogin, EtcdSpec, TlsSpec};

fn host() -> Host {
    let address = |interface: &str, address: &str| InterfaceAddress {
        interface: interface.to_owned(),
        address: address.parse().unwrap(),
    };
    Host { name: "box".to_owned(), addresses: vec![address("lo", "127.0.0.1"), address("eth0", "10.2.0.1")] }
}

fn loaded_in(text: &str, environment: &[(&str, &str)]) -> Result<Loaded, String> {
    let environment: Environment = environment.iter().copied().collect();
    parse("app.json5", text, &[], None, Surroundings { environment: &environment, host: &host() })
        .map_err(|e| e.to_string())
}

fn loaded(text: &str) -> Loaded {
    loaded_in(text, &[]).unwrap()
}

fn job(fields: &str) -> containerpilot_actors::spec::JobSpec {
    loaded(&format!("{{ jobs: [ {{ name: 'app', exec: 'true', {fields} }} ] }}")).spec.jobs.remove(0)
}

fn refused(text: &str) -> String {
    loaded_in(text, &[]).unwrap_err()
}

fn refused_job(fields: &str) -> String {
    refused(&format!("{{ jobs: [ {{ name: 'app', exec: 'true', {fields} }} ] }}"))
}

#[test]
fn an_empty_config_has_3_8s_defaults() {
    let Loaded { spec, notes, .. } = loaded("{}");
    assert_eq!(spec.stop_timeout, Duration::from_secs(5));
    assert_eq!(spec.control.unwrap().socket.to_str(), Some("/var/run/containerpilot.socket"));
    assert!(spec.jobs.is_empty() && spec.catalog.is_none() && spec.warnings.is_empty() && notes.is_empty());
}

#[test]
fn a_job_starts_at_startup_once_by_default() {
    let job = job("");
    assert_eq!((job.start, job.restarts), (StartRule::Once(Event::STARTUP), Budget::Limited(0)));
    assert!(job.backoff.is_some() && job.timeout.is_none() && !job.main);
}

#[test]
fn when_becomes_a_start_rule() {
    let event = |code, name: &str| Event::job(code, &JobName::new(name));
    for (when, rule) in [
        ("{ source: 'a', once: 'healthy' }", StartRule::Once(event(EventCode::StatusHealthy, "a"))),
        ("{ source: 'a', each: 'exitFailed' }", StartRule::Each(event(EventCode::ExitFailed, "a"))),
        ("{ source: 'check.a', each: 'exitFailed' }", {
            StartRule::Each(Event::new(EventCode::ExitFailed, EventSource::Check(JobName::new("a"))))
        }),
        ("{ source: 'SIGHUP' }", StartRule::Each(Event::signal(SignalSource::Hup))),
        ("{ source: 'SIGUSR2', once: 'SIGUSR2' }", StartRule::Each(Event::signal(SignalSource::Usr2))),
        ("{ once: 'shutdown' }", StartRule::Once(Event::SHUTDOWN)),
        ("{ source: 'global', each: 'enterMaintenance' }", StartRule::Each(Event::ENTER_MAINTENANCE)),
        ("{ interval: '1500ms' }", StartRule::Interval(Duration::from_millis(1500))),
        ("{ source: 'a' }", StartRule::Never),
        ("null", StartRule::Once(Event::STARTUP)),
    ] {
        let config = format!("{{ jobs: [ {{ name: 'app', when: {when} }}, {{ name: 'a' }} ] }}");
        assert_eq!(loaded(&config).spec.jobs[0].start, rule, "{when}");
    }
}

#[test]
fn an_interval_is_the_default_of_timeout_and_makes_restarts_unlimited() {
    let interval = Some(Duration::from_secs(2));
    let periodic = job("when: { interval: 2 }");
    assert_eq!((periodic.timeout, periodic.restarts), (interval, Budget::Unlimited));
    assert_eq!(job("when: { interval: 2 }, restarts: 'never'").restarts, Budget::Limited(0));
    assert_eq!(job("when: { interval: 2 }, timeout: 'none'").timeout, None);
}

#[test]
fn restarts_take_every_form_of_3_8() {
    for (written, budget) in [
        ("3", Budget::Limited(3)),
        ("1.9", Budget::Limited(1)),
        ("'2'", Budget::Limited(2)),
        ("'never'", Budget::Limited(0)),
        ("'unlimited'", Budget::Unlimited),
        ("0x10", Budget::Limited(16)),
    ] {
        assert_eq!(job(&format!("restarts: {written}")).restarts, budget, "{written}");
    }
    for written in ["-1", "'-1'", "'1.5'", "true", "[3]", "{}", "''", "'Unlimited'", "NaN"] {
        assert!(refused_job(&format!("restarts: {written}")).contains("job[app].restarts"), "{written}");
    }
}

#[test]
fn backoff_fills_in_what_is_left_out() {
    assert_eq!(job("backoff: 'none'").backoff, None);
    let given = job("backoff: { initial: '20s', factor: '3', jitter: 0, resetAfter: '1m' }").backoff.unwrap();
    assert_eq!((given.initial, given.max, given.factor), (Duration::from_secs(20), Duration::from_secs(20), 3.0));
    for wrong in ["'some'", "{ factor: 0.5 }", "{ jitter: 2 }", "{ initial: '2s', max: '1s' }", "{ inital: 1 }", "5"] {
        assert!(refused_job(&format!("backoff: {wrong}")).contains("job[app].backoff"), "{wrong}");
    }
}

#[test]
fn logging_of_a_job_and_of_its_check_is_read() {
    let logging = "logging: { format: 'JSON', level: 'Warn', fields: { team: 'db', shard: 3, b: true }, json: true, \
                   multiline: { start: '^\\\\d{4}-' }, rateLimit: { lines: 10, per: '2s' } }";
    let job = job(&format!("{logging}, health: {{ exec: 'true', interval: 1, ttl: 2, {logging} }}"));
    let spec = job.output;
    assert_eq!((spec.format, spec.level, spec.json, spec.raw), (Some(LogFormat::Json), LogLevel::Warn, true, false));
    let fields: Vec<(&str, &str)> = spec.fields.iter().map(|(name, value)| (&name[..], &value[..])).collect();
    assert_eq!(fields, [("b", "true"), ("shard", "3"), ("team", "db")]);
    assert_eq!(spec.rate_limit, Some(RateLimit { lines: 10, per: Duration::from_secs(2) }));
    let start = spec.multiline.clone().unwrap();
    assert!(start.matches(b"2026-11-21 \xff") && !start.matches(b"  at main()"));
    assert_eq!(job.health.unwrap().output, spec, "a reload compares specs");
    assert_eq!(loaded("{ logging: { maxLine: '16k' } }").spec.logging.max_line, 16384);
    assert_eq!(loaded("{}").spec.logging.max_line, 65536);
    assert_eq!(loaded("{ logging: { format: 'stamp' } }").spec.logging.format, LogFormat::Stamp);
    assert_eq!(loaded("{ jobs: [ { name: 'a', logging: { raw: true, json: true } } ] }").spec.warnings.len(), 1);
    let warnings = loaded("{ logging: { output: 'sdtout' } }").spec.warnings;
    assert!(format!("{warnings:?}").contains("`sdtout` is a file, perhaps `stdout` was meant"), "{warnings:?}");
}

#[test]
fn mistakes_in_logging_are_told_with_their_place() {
    for (logging, says) in [
        (
            "{ multilin: {} }",
            "app.json5:1:51: job[app].logging.multilin: `multilin` is not a field of a job's `logging`, perhaps `multiline`",
        ),
        ("{ multiline: {} }", "job[app].logging.multiline.start: is missing"),
        (
            "{ multiline: { start: '(a' } }",
            "app.json5:1:71: job[app].logging.multiline.start: `(a` is not a regular expression: unclosed group",
        ),
        ("{ level: 'loud' }", "job[app].logging.level: `loud` is not one of debug, info"),
        ("{ format: 'jsn' }", "perhaps `json`"),
        ("{ fields: { msg: 'x' } }", "job[app].logging.fields.msg: is a field of every record"),
        ("{ fields: { 'a b': 'x' } }", "is no name of a field"),
        ("{ fields: { a: [] } }", "job[app].logging.fields.a: is a list, not a string"),
        ("{ fields: 'a' }", "job[app].logging.fields: is a string"),
        ("{ rateLimit: {} }", "job[app].logging.rateLimit.lines: is missing, it must be a number of lines"),
        ("{ rateLimit: { lines: 0 } }", "`0` is not a number of lines, at least 1"),
        ("{ rateLimit: { lines: 1, per: '0' } }", "job[app].logging.rateLimit.per"),
        ("{ json: 'maybe' }", "is not true or false"),
    ] {
        let told = refused_job(&format!("logging: {logging}"));
        assert!(told.contains(says), "{told}");
    }
    for size in ["255", "'17MiB'", "'16kb'", "-1", "[]"] {
        assert!(refused(&format!("{{ logging: {{ maxLine: {size} }} }}")).contains("logging.maxLine"), "{size}");
    }
}

#[test]
fn a_jobs_environment_sets_and_takes_out() {
    let env = job("env: { A: 'x', B: null, N: 8080, A: 'y' }").env;
    assert_eq!(env, [("B".into(), None), ("N".into(), Some("8080".into())), ("A".into(), Some("y".into()))]);
    for wrong in ["{ 'A=B': 'secret' }", "{ '': 'secret' }", "{ A: ['secret'] }", "['secret']", "{ A: 'secret\\0' }"] {
        let says = refused_job(&format!("env: {wrong}"));
        assert!(says.contains("job[app].env") && !says.contains("secret"), "{says}");
    }
}

#[test]
fn a_service_is_the_jobs_own() {
    let service = job("port: '0x1F90', health: { interval: 1, ttl: '7' }, tags: [1, 'b'], initial_status: 'warning'");
    let service = service.service.unwrap();
    assert_eq!((service.id.as_str(), service.port, service.ttl), ("app-box", 8080, Duration::from_secs(7)));
    assert_eq!(
        (service.address.to_string(), service.tags),
        ("10.2.0.1".to_owned(), vec!["1".to_owned(), "b".to_owned()])
    );
}

#[test]
fn the_environment_goes_before_the_config_for_consul() {
    let environment =
        [("CONSUL_HTTP_TOKEN", "env"), ("CONSUL_HTTP_ADDR", "https://c:1"), ("CONSUL_HTTP_SSL_VERIFY", "0")];
    let consul = |text: &str| -> ConsulSpec {
        match loaded_in(text, &environment).unwrap().spec.catalog.unwrap() {
            CatalogSpec::Consul(consul) => consul,
            other @ (CatalogSpec::Etcd(_) | CatalogSpec::ZooKeeper(_)) => panic!("{other:?}"),
        }
    };
    let from_environment = consul("{ consul: { token: 'file', tls: { verify: true } } }");
    assert_eq!((from_environment.address.as_str(), from_environment.https), ("c:1", true));
    assert_eq!((from_environment.token.as_deref(), from_environment.tls.verify), (Some("env"), false));
    assert_eq!(consul("{ consul: 'here:2' }").address, "here:2");
    assert_eq!(loaded_in("{}", &environment).unwrap().spec.catalog, None);
}

#[test]
fn a_service_says_more_of_itself_than_3_8_could() {
    let job = job(
        "port: 80, interfaces: 'static:10.1.2.3', health: { interval: 4, ttl: 9 }, meta: { version: 4, k_1: 'x', k_1: 'y' }, \
         weights: { passing: '10' }, taggedAddresses: { wan: '198.51.100.7', lan: { address: 'web.lan', port: 81 } }",
    );
    let service = job.service.unwrap();
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(service.meta, [pair("version", "4"), pair("k_1", "y")]);
    assert_eq!(service.weights, Some(Weights { passing: 10, warning: 1 }));
    let place = |address: &str, port| TaggedAddress { address: address.to_owned(), port };
    let places = [("wan".to_owned(), place("198.51.100.7", 80)), ("lan".to_owned(), place("web.lan", 81))];
    assert_eq!((service.tagged_addresses.as_slice(), service.interval), (&places[..], Duration::from_secs(4)));
    for (wrong, path) in [
        ("meta: 'x'", "job[app].meta"),
        ("meta: { 'a b': 'x' }", "job[app].meta.a b"),
        ("meta: { a: ['x'] }", "job[app].meta.a"),
        ("weights: { passing: 70000 }", "job[app].weights.passing"),
        ("weights: { pasing: 1 }", "job[app].weights"),
        ("taggedAddresses: ['x']", "job[app].taggedAddresses"),
        ("taggedAddresses: { wan: { port: 1 } }", "job[app].taggedAddresses.wan.address"),
        ("taggedAddresses: { wan: { address: 'x', port: 0 } }", "job[app].taggedAddresses.wan.port"),
    ] {
        let says = refused_job(&format!("port: 80, interfaces: 'lo', health: {{ interval: 4, ttl: 9 }}, {wrong}"));
        assert!(says.contains(path), "{wrong}: {says}");
    }
    let long = format!("meta: {{ a: '{}' }}", "x".repeat(513));
    assert!(refused_job(&long).contains("job[app].meta.a"));
}

#[test]
fn a_watch_can_be_more_choosy_than_3_8s() {
    let watch = |fields: &str| {
        loaded(&format!("{{ watches: [ {{ name: 'db', interval: 2, {fields} }} ] }}")).spec.watches.remove(0)
    };
    let plain = watch("tag: 'rw', dc: 'dc2'");
    assert_eq!((plain.tags, plain.dc.as_deref()), (vec!["rw".to_owned()], Some("dc2")));
    assert_eq!((plain.stale, plain.min_instances, plain.debounce), (false, 1, Duration::ZERO));
    let choosy = watch("tags: ['rw', 'blue'], stale: true, minInstances: 3, debounce: '500ms'");
    assert_eq!(choosy.tags, ["rw", "blue"]);
    assert_eq!((choosy.stale, choosy.min_instances, choosy.debounce), (true, 3, Duration::from_millis(500)));
    let renamed = loaded("{ watches: [ { name: 'db-ro', interval: 2, service: 'DB_1' } ] }").spec;
    assert_eq!((renamed.watches[0].service.as_str(), renamed.warnings.len()), ("DB_1", 1));
    for wrong in
        ["tags: [['x']]", "tags: 'x'", "minInstances: 0", "debounce: 'soon'", "debounce: '-1s'", "stale: 'no?'"]
    {
        let says = refused(&format!("{{ watches: [ {{ name: 'db', interval: 2, {wrong} }} ] }}"));
        assert!(says.contains("watch[db]."), "{wrong}: {says}");
    }
}

#[test]
fn a_token_may_be_in_a_file() {
    let consul = |text: &str, environment: &[(&str, &str)]| match loaded_in(text, environment)?.spec.catalog {
        Some(CatalogSpec::Consul(consul)) => Ok(consul),
        other => Err(format!("{other:?}")),
    };
    let file = consul("{ consul: { tokenFile: '/dev/null' } }", &[]).unwrap();
    assert_eq!((file.token, file.token_file), (None, Some("/dev/null".into())));
    let file = consul("{ consul: { token: 'x' } }", &[("CONSUL_HTTP_TOKEN_FILE", "/dev/null")]).unwrap();
    assert_eq!((file.token, file.token_file), (None, Some("/dev/null".into())));
    let token = consul("{ consul: { tokenFile: '/dev/null' } }", &[("CONSUL_HTTP_TOKEN", "x")]).unwrap();
    assert_eq!((token.token.as_deref(), token.token_file), (Some("x"), None));
    for wrong in ["{ tokenFile: '/nosuch' }", "{ token: 'x', tokenFile: '/dev/null' }"] {
        assert!(consul(&format!("{{ consul: {wrong} }}"), &[]).unwrap_err().contains("consul.tokenFile"), "{wrong}");
    }
}

#[cfg(feature = "etcd")]
fn etcd(text: &str) -> EtcdSpec {
    match loaded(&format!("{{ etcd: {text} }}")).spec.catalog {
        Some(CatalogSpec::Etcd(etcd)) => etcd,
        other => panic!("{other:?}"),
    }
}

#[cfg(not(feature = "etcd"))]
#[test]
fn a_catalog_that_has_been_left_out_is_said_to_be() {
    let says = refused("{ etcd: { endpoints: 'h' } }");
    assert!(says.contains("etcd: cannot be used, this binary has been built without etcd"), "{says}");
}

#[cfg(feature = "etcd")]
#[test]
fn etcd_is_found_at_one_endpoint_or_several() {
    let endpoint = |address: &str, https| EtcdEndpoint { address: address.to_owned(), https };
    let plain = etcd("{ endpoints: 'http://etcd:1' }");
    let want = EtcdSpec {
        endpoints: vec![endpoint("etcd:1", false)],
        prefix: "/containerpilot".to_owned(),
        api: EtcdApi::Three,
        warns_of_api2: false,
        login: None,
        tls: TlsSpec::default(),
    };
    assert_eq!(plain, want);
    let several =
        etcd("{ endpoints: ['a', 'https://b:2', '[::1]:3'], prefix: 'p/q//', api: '2', username: '', password: '' }");
    assert_eq!(several.endpoints, [endpoint("a:2379", false), endpoint("b:2", true), endpoint("[::1]:3", false)]);
    assert_eq!((several.prefix.as_str(), several.api, several.login), ("p/q", EtcdApi::Two, None));
    let locked = etcd(
        "{ endpoints: ['a', 'http://b'], prefix: '/', username: 'cp', password: 's3cr3t', tls: { servername: 'x' } }",
    );
    assert_eq!(locked.endpoints, [endpoint("a:2379", true), endpoint("b:2379", false)]);
    assert_eq!((locked.prefix.as_str(), locked.tls.server_name.as_deref()), ("", Some("x")));
    assert_eq!(locked.login, Some(EtcdLogin { username: "cp".to_owned(), password: "s3cr3t".to_owned() }));
    assert!(!format!("{locked:?}").contains("s3cr3t"));
}

#[cfg(feature = "etcd")]
#[test]
fn what_is_wrong_with_etcd_is_named_without_secrets() {
    for (wrong, path) in [
        ("'s3cr3t'", "etcd: is a string"),
        ("{}", "etcd.endpoints: is missing"),
        ("{ endpoints: [] }", "etcd.endpoints: is missing"),
        ("{ endpoints: 'http://u:s3cr3t@h:1' }", "etcd.endpoints"),
        ("{ endpoints: ['h', 'u:s3cr3t@h'] }", "etcd.endpoints[1]"),
        ("{ endpoints: [['s3cr3t']] }", "etcd.endpoints[0]: is a list"),
        ("{ endpoints: 'h', api: 4 }", "etcd.api: `4` is not 2 or 3"),
        ("{ endpoints: 'h', username: 'u' }", "etcd: has a `username`"),
        ("{ endpoints: 'h', password: 's3cr3t' }", "etcd: has a `password`"),
        ("{ endpoints: 'h', username: 'u', password: ['s3cr3t'] }", "etcd.password: is a list"),
        ("{ endpoints: 'h', bogus: 's3cr3t' }", "`bogus` is not a field of `etcd`"),
        ("{ endpoints: 'h', tls: { cafile: '/nosuch' } }", "etcd.tls.cafile"),
        ("{ endpoints: 'h', tls: { clientcert: '/nosuch' } }", "etcd.tls: has a `clientcert` but no `clientkey`"),
    ] {
        let says = refused(&format!("{{ etcd: {wrong} }}"));
        assert!(says.contains(path) && !says.contains("s3cr3t"), "{wrong}: {says}");
    }
    let says = refused("{ consul: 'c:1', etcd: { endpoints: 'h' } }");
    assert!(says.contains("etcd: `consul` and `etcd` are two catalogs, there is one at most"), "{says}");
}

#[cfg(feature = "etcd")]
#[test]
fn what_only_consul_knows_is_ignored_elsewhere_with_a_warning() {
    let text = "jobs: [ { name: 'web', exec: 'true', port: 80, interfaces: 'lo', health: { interval: 1, ttl: 2 }, meta: { a: 'b' }, \
                consul: { enableTagOverride: true } } ], watches: [ { name: 'db', interval: 1, dc: 'east', stale: true } ]";
    let warnings = loaded(&format!("{{ etcd: {{ endpoints: 'h' }}, {text} }}")).spec.warnings;
    for path in ["job[web].consul", "job[web].meta", "watch[db].dc", "watch[db].stale"] {
        assert!(warnings.iter().any(|warning| warning.contains(&format!("{path}: is for Consul"))), "{warnings:?}");
    }
    assert_eq!(warnings.len(), 4, "{warnings:?}");
    assert_eq!(loaded(&format!("{{ consul: 'h:1', {text} }}")).spec.warnings, Vec::<String>::new());
}

#[test]
#[cfg(feature = "zookeeper")]
fn zookeeper_is_a_catalog() {
    let zookeeper = |text: &str| match loaded(text).spec.catalog {
        Some(CatalogSpec::ZooKeeper(zookeeper)) => zookeeper,
        other => panic!("{other:?}"),
    };
    let plain = zookeeper("{ zookeeper: { hosts: 'h1' } }");
    assert_eq!((plain.hosts, plain.prefix.as_str()), (vec![("h1".to_owned(), 2181)], "/containerpilot"));
    assert_eq!((plain.digest, plain.session_timeout), (None, Duration::from_secs(10)));
    let service = |ttl: u32| {
        format!("{{ name: 's{ttl}', port: 1, interfaces: 'lo', health: {{ exec: 'true', interval: 1, ttl: {ttl} }} }}")
    };
    let other = zookeeper(&format!(
        "{{ zookeeper: {{ hosts: 'h1:1, [::1]:2', prefix: '/a/b//', digest: 'user:pass:word' }}, telemetry: {{ interfaces: 'lo' }}, jobs: [{}, {}] }}",
        service(30),
        service(7)
    ));
    assert_eq!(
        (other.hosts.len(), other.prefix.as_str(), other.digest.as_deref()),
        (2, "/a/b", Some("user:pass:word"))
    );
    assert_eq!(other.session_timeout, Duration::from_secs(7), "no node lives longer than its service's ttl");
    assert!(!format!("{other:?}").contains("pass"), "{other:?}");
    assert_eq!(zookeeper("{ zookeeper: { hosts: 'h1', prefix: '/' } }").prefix, "");
    for (wrong, field) in [
        ("{}", "hosts"),
        ("{ hosts: '' }", "hosts"),
        ("{ hosts: 'h1:2181/secret' }", "hosts"),
        ("{ hosts: 'h1,,h2' }", "hosts"),
        ("{ hosts: 'user:hidden@h1' }", "hosts"),
        ("{ hosts: 'h1', prefix: 'relative' }", "prefix"),
        ("{ hosts: 'h1', prefix: '/a//b' }", "prefix"),
        ("{ hosts: 'h1', prefix: '/a/../b' }", "prefix"),
        ("{ hosts: 'h1', digest: 'secret' }", "digest"),
        ("{ hosts: 'h1', digest: ':secret' }", "digest"),
        ("{ hosts: 'h1', digest: ['secret'] }", "digest"),
    ] {
        let says = refused(&format!("{{ zookeeper: {wrong} }}"));
        assert!(says.contains(&format!("zookeeper.{field}: ")), "{wrong}: {says}");
        assert!(field != "digest" || !says.contains("secret"), "{says}");
        assert!(!says.contains("hidden"), "{says}");
    }
    assert!(refused("{ zookeeper: 'secret' }").contains("zookeeper: is a string"));
    assert!(refused("{ zookeeper: { hosts: 'h', bogus: 1 } }").contains("zookeeper.bogus: "));
}

#[test]
fn there_is_one_catalog_at_most() {
    let says = refused("{ zookeeper: { hosts: 'h' }, consul: 'c:1' }");
    assert!(says.contains("zookeeper: `consul` and `zookeeper` are two catalogs, there is one at most"), "{says}");
}

#[test]
#[cfg(feature = "zookeeper")]
fn what_is_for_consul_alone_is_warned_of_beside_another_catalog() {
    let config = |catalog: &str| {
        loaded(&format!(
            "{{ {catalog}, jobs: [ {{ name: 'app', port: 1, interfaces: 'lo', health: {{ interval: 1, ttl: 2 }}, consul: {{}}, meta: {{}} }} ], \
             watches: [ {{ name: 'db', interval: 1, dc: 'east', tags: ['x'] }} ] }}"
        ))
        .spec
        .warnings
    };
    assert_eq!(config("consul: 'c:1'"), Vec::<String>::new());
    let told = config("zookeeper: { hosts: 'h' }");
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].contains("job[app].consul: is for Consul, zookeeper ignores it"), "{told:?}");
    assert!(told[2].contains("watch[db].dc: "), "{told:?}");
}

#[test]
fn interfaces_are_looked_at_again_as_at_the_start() {
    let here = host().addresses;
    let pick = |specs: &[&str]| {
        let written: Vec<String> = specs.iter().map(|spec| (*spec).to_owned()).collect();
        pick_address(&written, &here).map(|address| address.to_string())
    };
    assert_eq!(pick(&[]).as_deref(), Some("10.2.0.1"));
    assert_eq!(pick(&["eth1", "lo"]).as_deref(), Some("127.0.0.1"));
    assert_eq!(pick(&["eth1"]), None);
}

#[test]
fn all_problems_are_told_with_their_places_in_the_order_of_the_text() {
    let says = refused(
        "{\n  jobs: [\n    { name: 'app', timeout: '10x', health: { ttl: 1 } },\n    { exec: [], wehn: 1 },\n  ],\n  stopTimeout: [5],\n}",
    );
    let told: Vec<&str> = says.lines().collect();
    assert_eq!(told.len(), 6, "{says}");
    assert_eq!(
        told[0],
        "app.json5:3:29: job[app].timeout: `10x` is not a duration (a number with ns, us, ms, s, m or h)"
    );
    assert!(told[1].starts_with("app.json5:3:44: job[app].health.interval: is missing"), "{says}");
    assert!(told[2].starts_with("app.json5:4:5: jobs[1].name: is blank"), "{says}");
    assert!(told[3].starts_with("app.json5:4:13: jobs[1].exec: "), "{says}");
    assert!(
        told[4].starts_with("app.json5:4:17: jobs[1].wehn: `wehn` is not a field of a job, perhaps `when` ("),
        "{says}"
    );
    assert!(told[5].starts_with("app.json5:6:16: stopTimeout: `[5]` is not a whole number"), "{says}");
}

#[test]
fn two_jobs_cannot_share_a_name_or_be_main() {
    let says = refused("{ jobs: [ { name: 'a', main: true }, { name: 'a' }, { name: 'b', main: 1 } ] }");
    assert!(says.contains("jobs[1].name: `a` is the name of jobs[0] too"), "{says}");
    assert!(says.contains("job[b].main: `a` is the main job already"), "{says}");
}

#[test]
fn a_long_path_is_told_whole() {
    let path = format!("/nosuch/{}/log", "x".repeat(200));
    assert!(refused(&format!("{{ logging: {{ output: '{path}' }} }}")).contains(&path));
}

#[test]
fn no_token_is_ever_told() {
    for consul in
        ["{ token: ['s3cr3t'], nosuch: 's3cr3t' }", "['s3cr3t']", "'http://u:s3cr3t@h:1'", "{ token: 's3cr3t\\n2' }"]
    {
        let says = refused(&format!("{{ consul: {consul} }}"));
        assert!(!says.contains("s3cr3t"), "{says}");
    }
}

#[test]
fn starts_that_cannot_be_are_warned_of() {
    let warnings = |jobs: &str| {
        loaded(&format!("{{ watches: [ {{ name: 'db', interval: 1 }} ], jobs: [ {jobs} ] }}")).spec.warnings
    };
    for (jobs, words) in [
        ("{ name: 'a', when: { source: 'nobody', once: 'healthy' } }", vec!["job[a].when.source", "nobody"]),
        ("{ name: 'a', when: { source: 'watch.bd', each: 'changed' } }", vec!["bd", "perhaps `db`"]),
        ("{ name: 'a', when: { once: 'healthy' } }", vec!["needs a source"]),
        ("{ name: 'a', when: { source: 'a', once: 'healthy' } }", vec!["`a` waits for an event of its own"]),
        ("{ name: 'a', when: { interval: 1, source: 'x', timeout: 1 } }", vec!["`source`"]),
        ("{ name: 'a', when: {} }", vec!["the job never starts"]),
    ] {
        let told = warnings(jobs);
        assert!(words.iter().all(|word| told[0].contains(word)), "{told:?}");
    }
    let cycle = warnings(
        "{ name: 'hen', when: { source: 'egg', once: 'exitSuccess' } }, { name: 'egg', when: { source: 'hen', once: 'exitSuccess' } }",
    );
    assert_eq!(cycle.len(), 1);
    assert!(cycle[0].contains("hen") && cycle[0].contains("egg"), "{cycle:?}");
    for fine in [
        "{ name: 'a' }, { name: 'b', when: { source: 'a', once: 'stopping' } }, { name: 'c', when: { source: 'b', once: 'stopped' } }",
        "{ name: 'a', when: { source: 'b', once: 'healthy', timeout: 1 } }, { name: 'b', when: { source: 'a', once: 'timerExpired' } }",
        "{ name: 'a', when: { source: 'watch.db', each: 'changed' } }, { name: 'b', when: { source: 'check.a', each: 'exitFailed' } }",
        "{ name: 'a', when: { once: 'startup' } }",
    ] {
        assert_eq!(warnings(fine), Vec::<String>::new(), "{fine}");
    }
}

#[test]
fn quotes_in_a_string_exec_are_noted_only() {
    let loaded = loaded("{ jobs: [ { name: 'a', exec: 'sh -c \"echo x\"' } ] }");
    assert!(loaded.spec.warnings.is_empty());
    assert!(loaded.notes[0].starts_with("app.json5:1:30: job[a].exec: "), "{:?}", loaded.notes);
}

#[test]
fn metrics_are_named_by_their_parts() {
    let metrics = |metrics: &str| format!("{{ telemetry: {{ metrics: [ {metrics} ] }} }}");
    let spec = loaded(&metrics("{ subsystem: 's', name: 'n', help: 'h', type: 'gauge' }")).spec.telemetry.unwrap();
    assert_eq!((spec.metrics[0].full_name.as_str(), spec.address.to_string().as_str()), ("s_n", "10.2.0.1:9090"));
    assert!(spec.page);
    assert!(!spec.must_listen);
    let spec = loaded("{ telemetry: { page: false, required: true } }").spec.telemetry.unwrap();
    assert!(!spec.page && spec.must_listen);
    for wrong in [
        "{ name: 'a.b', help: 'h', type: 'gauge' }",
        "{ name: 'n', help: 'h', type: 'Gauge' }",
        "{ name: 'n', type: 'gauge' }",
        "{ help: 'h', type: 'gauge' }",
        "{ name: 'n', help: 'h', type: 'gauge' }, { name: 'n', help: 'other', type: 'gauge' }",
        "{ name: 'containerpilot_events', help: 'h', type: 'counter' }",
    ] {
        assert!(refused(&metrics(wrong)).contains("telemetry.metrics["), "{wrong}");
    }
}

#[test]
fn deep_nesting_is_refused() {
    for text in ["[".repeat(100_000), format!("{{ a: {}1{} }}", "{a:".repeat(100_000), "}".repeat(100_000))] {
        assert!(refused(&text).contains("deeper"));
    }
}

#[test]
fn a_text_that_ends_early_says_so() {
    for (text, says) in [
        ("", "1:1: the file ends where a value should be"),
        ("{ a: 1,\n", "1:1: this `{` has no `}`"),
        ("{ jobs: [\n { name: 'a' }, {} \n", "1:9: this `[` has no `]`"),
        ("{ jobs: [ { name:\n", "2:1: the file ends where a value should be"),
        ("{ consul: 'x\\\n y", "2:3: the file ends within: string"),
        ("{ a: 1, /* never }", "1:19: the file ends within: comment"),
    ] {
        assert_eq!(refused(text), format!("app.json5:{says}"), "{text}");
    }
}

/// Random texts made of what configs are made of: no result is wrong, but a panic is.
#[test]
fn no_text_makes_loading_panic() {
    const PIECES: [&str; 48] = [
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "jobs",
        "name",
        "exec",
        "when",
        "health",
        "interval",
        "ttl",
        "port",
        "restarts",
        "consul",
        "telemetry",
        "watches",
        "metrics",
        "interfaces",
        "tags",
        "env",
        "backoff",
        "logging",
        "control",
        "'",
        "\"",
        "\\",
        "//",
        "/*",
        "*/",
        "\n",
        " ",
        "0",
        "-1",
        "1e400",
        "NaN",
        "null",
        "true",
        "'a'",
        "'10s'",
        "'source'",
        "é",
        "\u{2028}",
        "🚀",
        "\u{0}",
        "\\u12",
        "0x",
    ];
    let seed = containerpilot_actors::random::entropy();
    println!("seed {seed}");
    let mut random = containerpilot_actors::random::Random::from_seed(seed);
    let mut random = |length| random.index(length);
    let whole = "{ consul: { tls: {} }, etcd: { endpoints: [''] }, jobs: [ { name: 'a', exec: 'true', port: 80, when: { interval: 1 }, health: { interval: 1, ttl: 1 }, \
                 env: { A: null }, backoff: { factor: 2 } } ], watches: [ { name: 'db', interval: 1 } ], telemetry: { metrics: [ {} ] } }";
    for round in 0..20_000 {
        let mut text = if round % 2 == 0 { String::new() } else { whole.to_owned() };
        for _ in 0..=random(12) {
            let boundaries: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            let (from, piece) = (boundaries[random(boundaries.len())], PIECES[random(PIECES.len())]);
            let to = *boundaries.iter().find(|at| **at >= from + random(8)).unwrap_or(&text.len());
            text.replace_range(from..to, piece);
        }
        let result = std::panic::catch_unwind(|| drop(loaded_in(&text, &[])));
        assert!(result.is_ok(), "seed {seed}: {text:?}");
    }
}
