//! Whole configs: what they become, and how their mistakes are told.

use super::*;

use std::time::Duration;

use containerpilot_actors::addresses::InterfaceAddress;
use containerpilot_actors::event::{Event, EventCode, JobName, SignalSource, Source as EventSource};
use containerpilot_actors::spec::{
    Budget, CatalogSpec, ConsulSpec, JsonKeys, LogFormat, LogLevel, RateLimit, StartRule, TaggedAddress, Weights,
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
    let source = Source::Text { place: "app.json5", text: text.into() };
    load(&source, &[], None, &environment, &host()).map_err(|e| e.to_string())
}

fn loaded(text: &str) -> Loaded {
    loaded_in(text, &[]).unwrap()
}

fn job(fields: &str) -> containerpilot_actors::spec::JobSpec {
    loaded(&format!("{{ jobs: [ {{ name: 'app', exec: 'true', {fields} }} ] }}")).spec.jobs.remove(0)
}

/// What `-validate` warns of.
fn doubts(loaded: &Loaded) -> Vec<&str> {
    loaded.findings.iter().filter(|finding| finding.is_warning).map(|finding| finding.says.as_str()).collect()
}

fn refused(text: &str) -> String {
    loaded_in(text, &[]).unwrap_err()
}

/// What is wrong with a config, whether or not it can be used.
fn mistakes(text: &str) -> String {
    match loaded_in(text, &[]) {
        Err(says) => says,
        Ok(loaded) => {
            let mistakes = loaded.findings.into_iter().filter(|finding| !finding.is_warning);
            mistakes.map(|finding| finding.says).collect::<Vec<_>>().join("\n")
        }
    }
}

fn refused_job(fields: &str) -> String {
    refused(&format!("{{ jobs: [ {{ name: 'app', exec: 'true', {fields} }} ] }}"))
}

#[test]
fn an_empty_config_has_3_8s_defaults() {
    let loaded = loaded("{}");
    assert_eq!(doubts(&loaded), ["app.json5:1:1: warning: jobs: there are no jobs, so that nothing is run"]);
    let Loaded { spec, .. } = loaded;
    assert_eq!(spec.stop_timeout, Duration::from_secs(5));
    assert_eq!(spec.control.unwrap().socket.to_str(), Some("/var/run/containerpilot.socket"));
    assert!(spec.jobs.is_empty() && spec.catalog.is_none() && spec.errors.is_empty());
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
                   jsonKeys: { level: ['s', 'sev'], time: 't' }, multiline: { start: '^\\\\d{4}-' }, rateLimit: { lines: 10, per: '2s' } }";
    let job = job(&format!("{logging}, health: {{ exec: 'true', interval: 1, ttl: 2, {logging} }}"));
    let spec = job.output;
    assert_eq!((spec.format, spec.level, spec.json, spec.raw), (Some(LogFormat::Json), LogLevel::Warn, true, false));
    let fields: Vec<(&str, &str)> = spec.fields.iter().map(|(name, value)| (&name[..], &value[..])).collect();
    assert_eq!(fields, [("b", "true"), ("shard", "3"), ("team", "db")]);
    assert_eq!(spec.rate_limit, Some(RateLimit { lines: 10, per: Duration::from_secs(2) }));
    let keys = JsonKeys { level: vec!["s".into(), "sev".into()], time: vec!["t".into()] };
    assert_eq!(spec.json_keys, keys);
    let start = spec.multiline.clone().unwrap();
    assert!(start.matches(b"2026-11-21 \xff") && !start.matches(b"  at main()"));
    assert_eq!(job.health.unwrap().output, spec, "a reload compares specs");
    assert_eq!(loaded("{ logging: { maxLine: '16k' } }").spec.logging.max_line, 16384);
    assert_eq!(loaded("{}").spec.logging.max_line, 65536);
    assert_eq!(loaded("{ logging: { format: 'stamp' } }").spec.logging.format, LogFormat::Stamp);
    assert_eq!(
        loaded("{ jobs: [ { name: 'a', exec: 'b', logging: { raw: true, json: true } } ] }").spec.warnings.len(),
        1
    );
    assert_eq!(loaded("{ logging: { jsonKeys: { time: ['t'] } } }").spec.logging.json_keys.time, ["t"]);
    let pointless = "{ jobs: [ { name: 'a', exec: 'b', logging: { jsonKeys: { level: 's' } } } ] }";
    assert!(format!("{:?}", loaded(pointless).spec.warnings).contains("means nothing without `json: true`"));
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
        ("{ json: true, jsonKeys: { levels: ['s'] } }", "perhaps `level`"),
        ("{ json: true, jsonKeys: { level: [''] } }", "job[app].logging.jsonKeys.level: has an empty name"),
        ("{ json: true, jsonKeys: { time: [{}] } }", "job[app].logging.jsonKeys.time[0]: is an object, not a string"),
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
    let renamed = loaded("{ consul: 'h', jobs: [ { name: 'a', exec: 'b' } ], watches: [ { name: 'db-ro', interval: 2, service: 'DB_1' } ] }").spec;
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
        let says = mistakes(&format!("{{ etcd: {wrong} }}"));
        assert!(says.contains(path) && !says.contains("s3cr3t"), "{wrong}: {says}");
    }
    let says = mistakes("{ consul: 'c:1', etcd: { endpoints: 'h' } }");
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
        let says = mistakes(&format!("{{ zookeeper: {wrong} }}"));
        assert!(says.contains(&format!("zookeeper.{field}: ")), "{wrong}: {says}");
        assert!(field != "digest" || !says.contains("secret"), "{says}");
        assert!(!says.contains("hidden"), "{says}");
    }
    assert!(mistakes("{ zookeeper: 'secret' }").contains("zookeeper: is a string"));
    assert!(mistakes("{ zookeeper: { hosts: 'h', bogus: 1 } }").contains("zookeeper.bogus: "));
}

#[test]
fn an_address_that_cannot_be_costs_the_catalog_and_refuses_a_reload() {
    let environment = Environment::default();
    let mut cases = vec![
        ("consul: 'http://'", "consul: `http://` is not an address"),
        ("consul: { address: 'h:70000', tls: { verify: true } }", "consul.address: `h:70000` is not an address"),
    ];
    if cfg!(feature = "etcd") {
        cases.push(("etcd: { endpoints: ['h', 'h h'] }", "etcd.endpoints[1]: `h h` is not an address"));
        cases.push(("etcd: { endpoints: '' }", "etcd.endpoints: `` is not an address"));
    }
    if cfg!(feature = "zookeeper") {
        cases.push(("zookeeper: { hosts: 'h:x,[::g]' }", "zookeeper.hosts: `h:x` is not one of hosts"));
    }
    for (catalog, says) in cases {
        let text = format!("{{ {catalog}, jobs: [ {{ name: 'app', exec: 'true' }} ] }}");
        let spec = loaded(&text).spec;
        assert_eq!((spec.catalog, spec.jobs.len(), spec.errors.len()), (None, 1, 1), "{:?}", spec.errors);
        assert!(spec.errors[0].contains(says) && spec.errors[0].ends_with("; everything runs without a catalog"));
        assert!(mistakes(&text).contains(says), "{}", mistakes(&text));
        let source = Source::Text { place: "app.json5", text: text.into() };
        let reloaded = load(&source, &[], Some(Version::Three), &environment, &host());
        assert!(reloaded.unwrap_err().to_string().contains(says));
    }
    let environment: Environment = [("CONSUL_HTTP_ADDR", "h:x")].into_iter().collect();
    let source = Source::Text { place: "app.json5", text: "{ consul: {} }".into() };
    let errors = load(&source, &[], None, &environment, &host()).unwrap().spec.errors;
    assert!(errors[0].starts_with("app.json5:1:11: consul.address: CONSUL_HTTP_ADDR `h:x` is not"), "{errors:?}");
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
fn an_event_of_one_of_two_jobs_with_one_name_will_do() {
    let told = doubted_jobs(
        "{ name: 'a', exec: 'x' }, { name: 'a', exec: 'x', when: { source: 'a', once: 'exitSuccess' } }, \
         { name: 'b', exec: 'x', when: { source: 'c', once: 'healthy' } }, { name: 'c', exec: 'x' }, \
         { name: 'c', exec: 'x', health: { exec: 'x', interval: 1, ttl: 2 } }",
    );
    assert!(told.len() == 2 && told.iter().all(|says| says.contains("too: both run")), "{told:?}");
}

#[test]
fn two_jobs_may_share_a_name_but_not_be_main() {
    let jobs = "{ jobs: [ { name: 'a' }, { name: 'a#2' }, { name: 'a' }, { name: 'a' } ] }";
    assert_eq!(mistakes(jobs), "");
    let spec = loaded(jobs).spec;
    let names: Vec<_> = spec.jobs.iter().map(|job| (job.name.as_str(), job.configured_name().as_str())).collect();
    assert_eq!(names, [("a", "a"), ("a#2", "a#2"), ("a#3", "a"), ("a#4", "a")]);
    assert!(spec.warnings.iter().any(|says| says.contains("jobs[2].name: `a` is the name of jobs[0] too")));
    let says = refused("{ jobs: [ { name: 'a', main: true }, { name: 'b', main: 1 } ] }");
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
        let says = mistakes(&format!("{{ consul: {consul} }}"));
        assert!(!says.contains("s3cr3t"), "{says}");
    }
}

#[test]
fn starts_that_cannot_be_are_warned_of() {
    let warnings = |jobs: &str| -> Vec<String> {
        let told = mistakes(&format!("{{ watches: [ {{ name: 'db', interval: 1 }} ], jobs: [ {jobs} ] }}"));
        told.lines().map(str::to_owned).collect()
    };
    for (jobs, words) in [
        ("{ name: 'a', when: { source: 'nobody', once: 'healthy' } }", vec!["job[a].when.source", "nobody"]),
        ("{ name: 'a', when: { source: 'watch.bd', each: 'changed' } }", vec!["bd", "perhaps `db`"]),
        ("{ name: 'a', when: { once: 'healthy' } }", vec!["needs a source"]),
        ("{ name: 'a', when: { source: 'a', once: 'exitSuccess' } }", vec!["`a` waits for an event of its own"]),
        (
            "{ name: 'a', when: { source: 'b', once: 'healthy' } }, { name: 'b' }",
            vec!["`b` has no check", "`a` never starts"],
        ),
        (
            "{ name: 'a', when: { source: 'b', each: 'unhealthy' } }, { name: 'b', health: { interval: 1, ttl: 2 } }",
            vec!["`b` has no check"],
        ),
        ("{ name: 'a', when: { source: 'check.b', each: 'exitFailed' } }, { name: 'b' }", vec!["`b` has no check"]),
        (
            "{ name: 'a', when: { source: 'db', once: 'healthy' } }",
            vec!["`db` names no job, but a watch, which is `watch.db` here"],
        ),
        (
            "{ name: 'a', when: { source: 'watch.b', once: 'healthy' } }, { name: 'b' }",
            vec!["names no watch, but a job, which is `b` here"],
        ),
        (
            "{ name: 'a', when: { source: 'b', each: 'changed' } }, { name: 'b' }",
            vec!["`changed` is an event of watches"],
        ),
        ("{ name: 'a', when: { source: 'watch.db', once: 'exitSuccess' } }", vec!["a watch has the events"]),
        (
            "{ name: 'a', when: { source: 'SIGTERM', once: 'stopped' } }",
            vec!["`SIGTERM` stops everything and is no source"],
        ),
        ("{ name: 'a', when: { source: 'SIGTERM' } }", vec!["job[a].when.source", "`SIGTERM` stops everything"]),
        ("{ name: 'a', when: { source: 'sighup' } }", vec!["`sighup` is no source, perhaps `SIGHUP`"]),
        ("{ name: 'a', when: { source: 'SIGUSR1', each: 'healthy' } }", vec!["only `SIGHUP` and `SIGUSR2` are"]),
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
        "{ name: 'a', when: { source: 'b', once: 'exitSuccess', timeout: 1 } }, { name: 'b', when: { source: 'a', once: 'timerExpired' } }",
        "{ name: 'a', when: { source: 'watch.db', each: 'changed' }, health: { exec: 'x', interval: 1, ttl: 2 } }, { name: 'b', when: { source: 'check.a', each: 'exitFailed' } }, { name: 'c', when: { source: 'a', once: 'unhealthy' } }",
        "{ name: 'a', when: { once: 'startup' } }",
    ] {
        assert_eq!(warnings(fine), Vec::<String>::new(), "{fine}");
    }
}

/// What `-validate` warns of, without the file and the word.
fn doubted(text: &str, environment: &[(&str, &str)]) -> Vec<String> {
    let loaded = loaded_in(text, environment).unwrap_or_else(|says| panic!("{text}: {says}"));
    let short = |says: &str| says.replacen("app.json5:", "", 1).replacen(" warning:", "", 1);
    doubts(&loaded).into_iter().map(short).collect()
}

/// What there is to doubt about jobs beside a catalog.
fn doubted_jobs(jobs: &str) -> Vec<String> {
    doubted(&format!("{{ consul: 'h:1', jobs: [ {jobs} ] }}"), &[])
}

#[test]
fn what_beginners_get_silently_wrong_is_warned_of() {
    for (jobs, says) in [
        (
            "{ name: 'a', exec: 'setup && exec run $HOME' }",
            "1:45: job[a].exec: there is no shell for `&&`, `$HOME`, which the program gets as it is; a list names one: \
             [\"sh\", \"-c\", \"setup && exec run $HOME\"]",
        ),
        (
            "{ name: 'a', exec: 'x', health: { exec: 'a | b', interval: 1, ttl: 2 } }",
            "1:66: job[a].health.exec: there is no shell for `|`",
        ),
        (
            "{ name: 'ab', port: 1, interfaces: 'lo', health: { interval: 5, ttl: 5 } }",
            "job[ab].health.ttl: `5` is not above `interval`, which is 5",
        ),
        ("{ name: 'a', health: { exec: 'x', interval: 5, ttl: 3 } }", "job[a].health.ttl: `3` is not above `interval`"),
        (
            "{ name: 'a', when: { source: 'SIGHUP' } }",
            "1:26: job[a]: does nothing: it has neither `exec` nor `port` nor `health`",
        ),
        (
            "{ name: 'a', exec: 'x', when: { source: 'b', once: 'exitSuccess' } }, { name: 'b', exec: 'x', when: {} }",
            "job[a].when.source: `b` never starts, so that `a` never starts either",
        ),
        (
            "{ name: 'a', exec: 'x', when: { source: 'b', once: 'stopped' }, health: { exec: 'x', interval: 1, ttl: 2 } }",
            "job[a].health: `a` never starts, so that it is never checked",
        ),
        (
            "{ name: 'a', exec: 'x', exec: 'y' }",
            "1:50: job[a].exec: `exec` is given twice, only the last one counts; the one before is at 1:39",
        ),
        (
            "{ name: 'a', exec: 'x', env: { A: 1, B: 2, A: 3 } }",
            "1:69: job[a].env.A: `A` is given twice, only the last one counts; the one before is at 1:57",
        ),
    ] {
        let told = doubted_jobs(jobs);
        assert!(told.len() == 1 && told[0].contains(says), "{jobs}: {told:?}");
    }
    let cases = "{ name: 'a', exec: 'x', Restarts: 1, RESTARTS: 2 }";
    let says =
        "1:63: job[a].RESTARTS: this is `restarts`, as is `Restarts`, and only the last one counts; that is at 1:50";
    assert_eq!(doubted_jobs(cases), [says]);
    let twice = "{\n jobs: [ { name: 'lost', exec: 'x' } ],\n\n jobs: [ { name: 'a', exec: 'x' } ] }";
    let says = "4:2: jobs: `jobs` is given twice, only the last one counts; the one before is at 2:2";
    assert_eq!(doubted(twice, &[]), [says]);
    assert_eq!(doubted("{ jobs: [] }", &[]), ["1:9: jobs: there are no jobs, so that nothing is run"]);
    let alone = "{ jobs: [ { name: 'ab', port: 1, interfaces: 'lo', health: { interval: 1, ttl: 2 } } ], watches: [ { name: 'db', interval: 1 } ] }";
    let told = doubted(alone, &[]);
    assert!(told[0].starts_with("1:31: job[ab].port: there is no catalog") && told.len() == 2, "{told:?}");
    assert!(told[1].starts_with("1:98: watches: there is no catalog"), "{told:?}");
    // There is one, if a wrong one.
    assert_eq!(doubted(&alone.replacen('{', "{ consul: 'h:x', ", 1), &[]), Vec::<String>::new());
}

#[test]
fn what_real_configs_do_on_purpose_is_not_warned_of() {
    for jobs in [
        "{ name: 'a', exec: ['sh', '-c', 'a && b | c > $HOME; `d`'], env: { A: '$B && c' } }",
        "{ name: 'a', exec: '/bin/app --url=http://h/?a=1&b=2;c' }",
        "{ name: 'ab', port: 80, interfaces: 'lo', health: { interval: 5, ttl: 10 } }",
        "{ name: 'a', exec: 'x', health: { exec: 'x', interval: 1, ttl: 5 } }, { name: 'b', exec: 'x', when: { source: 'a', once: 'healthy' } }",
        "{ name: 'a', exec: 'x' }, { name: 'b', exec: 'x', when: { source: 'a', once: 'stopped' } }, { name: 'c', exec: 'x', when: { source: 'b', once: 'exitSuccess' } }",
        "{ name: 'a', exec: 'x', when: { source: 'b', once: 'exitSuccess', timeout: '1s' } }, { name: 'b', exec: 'x', when: { source: 'SIGHUP' } }",
    ] {
        assert_eq!(doubted_jobs(jobs), Vec::<String>::new(), "{jobs}");
    }
}

#[test]
fn a_variable_that_is_not_set_is_warned_of_unless_the_template_cares() {
    let told = |text: &str| {
        doubted(
            &format!("{{ consul: 'h', jobs: [ {{ name: 'a', exec: ['x', '{text}'] }} ] }}"),
            &[("SET", "s"), ("EMPTY", "")],
        )
    };
    for (text, place, name) in [
        ("{{ .A }}", "1:53", "A"),
        ("x{{- $.A -}}", "1:55", "A"),
        ("{{ env `A` }}", "1:53", "A"),
        ("{{ printf `%s:1` .A }}", "1:67", "A"),
        ("{{ .A | split `,` | join `;` }}", "1:53", "A"),
        ("{{ if .SET }}{{ .A }}{{ end }}", "1:66", "A"),
        ("{{ with .SET }}{{ $.A }}{{ $.A }}{{ end }}", "1:68", "A"),
        ("{{ .SET }}{{ .EMPTY }}{{ .A_B }}", "1:75", "A_B"),
    ] {
        let says = format!("{place}: `{name}` is not set, so that this is empty; ");
        let told = told(text);
        assert!(told.len() == 1 && told[0].starts_with(&says), "{text}: {told:?}");
    }
    for text in [
        "{{ .A | default `x` }}",
        "{{ .A | default `` }}",
        "{{ if .A }}{{ .A }}{{ else }}y{{ end }}",
        "{{ if not .A }}y{{ end }}{{ with .A }}{{ . }}{{ end }}",
        "{{ if eq .A `x` }}y{{ end }}",
        "{{ or .A .SET }}",
        "{{ or .A .B }}",
        "{{ $x := .A }}{{ if $x }}{{ $x }}{{ end }}",
        "{{ range split `,` .A }}{{ . }}{{ end }}",
        "{{ printf `%s:1` (.A | default `h`) }}",
        "{{ index . `EMPTY` }}{{ .EMPTY }}{{ .SET }}",
        "{{/* .A */}}",
    ] {
        assert_eq!(told(text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn a_variable_that_is_not_set_may_be_what_is_wrong() {
    let told = refused("{ jobs: [ { name: 'a', timeout: 'x{{ .A }}' } ] }");
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 2, "{told}");
    assert!(lines[0].starts_with("app.json5:1:33: job[a].timeout: `x` is not"), "{told}");
    assert!(lines[1].starts_with("app.json5:1:38: warning: `A` is not set"), "{told}");
}

#[test]
fn the_list_to_write_instead_does_not_tell_what_the_template_has_put_in() {
    let told = doubted("{ jobs: [ { name: 'a', exec: 'a && curl {{ .TOKEN }}' } ] }", &[("TOKEN", "s3cr3t")]);
    assert!(told.len() == 1 && told[0].ends_with("[\"sh\", \"-c\", \"...\"]"), "{told:?}");
}

#[test]
fn other_words_for_what_is_meant_are_recognised() {
    for (fields, says) in [
        (
            "restarts: 'always'",
            "`always` is not a number that is not negative, \"unlimited\" or \"never\", perhaps \"unlimited\"",
        ),
        ("restarts: 'Unlimited'", "perhaps \"unlimited\""),
        ("restarts: 'no'", "perhaps \"never\""),
        ("restarts: true", "perhaps \"unlimited\""),
        ("restarts: -1", "perhaps \"unlimited\""),
        ("when: { source: 'b', once: 'success' }", "`success` is not one of exitSuccess, "),
        ("when: { source: 'b', once: 'success' }", ", perhaps `exitSuccess`"),
        ("when: { source: 'b', each: 'failed' }", ", perhaps `exitFailed`"),
        ("when: { source: 'b', once: 'exit' }", ", perhaps `exitSuccess` or `exitFailed`"),
        ("when: { source: 'b', once: 'done' }", ", perhaps `exitSuccess`"),
        ("when: { source: 'b', once: 'heathly' }", ", perhaps `healthy`"),
        (
            "when: { source: 'SIGTERM', once: 'SIGTERM' }",
            "job[app].when.once: `SIGTERM` stops everything and is no source",
        ),
        ("backoff: { factor: 2000000 }", "`2000000` is not a number from 1 to 1000000"),
        ("backoff: { factor: 0 }", "`0` is not a number from 1 to 1000000"),
    ] {
        let told = refused_job(fields);
        assert!(told.contains(says), "{fields}: {told}");
    }
    let short = refused("{ jobs: [ { name: 'a', port: 1, health: { interval: 1, ttl: 2 } } ] }");
    assert!(
        short.contains("jobs[0].name: `a` is not a service's name (a lower-case letter, then one or more letters"),
        "{short}"
    );
}

#[test]
fn quotes_in_a_string_exec_are_noted_only() {
    let loaded = loaded("{ jobs: [ { name: 'a', exec: 'sh -c \"echo x\"' } ] }");
    assert!(loaded.spec.warnings.is_empty());
    assert!(doubts(&loaded)[0].starts_with("app.json5:1:30: warning: job[a].exec: "), "{:?}", loaded.findings);
}

#[test]
fn the_page_is_for_this_machine_unless_it_is_asked_for() {
    let page = |telemetry: &str| {
        let spec = loaded(&format!("{{ telemetry: {{ {telemetry} }} }}")).spec.telemetry.unwrap();
        (spec.page, spec.hosts)
    };
    for (telemetry, expected) in [
        ("", false),
        ("interfaces: 'static:127.0.0.1'", true),
        ("interfaces: 'static:127.1.2.3'", true),
        ("interfaces: 'static:::1'", true),
        ("interfaces: 'static:0.0.0.0'", false),
        ("page: true", true),
        ("page: false, interfaces: 'static:127.0.0.1'", false),
    ] {
        assert_eq!(page(telemetry), (expected, Vec::new()), "{telemetry}");
    }
    assert_eq!(page("hosts: ['App.Example.', 'b']"), (false, vec!["app.example".to_owned(), "b".to_owned()]));
    for wrong in ["'http://a'", "'a:80'", "''", "'*.a'"] {
        let says = refused(&format!("{{ telemetry: {{ hosts: [{wrong}] }} }}"));
        assert!(says.contains("telemetry.hosts: ") && says.contains("is not a host name"), "{says}");
    }
}

#[test]
fn names_that_3_8_takes_and_ignores_are_warned_of() {
    let text = "{ jobs: [ { name: 'a', exec: 'true', restartLimit: 0, execTimeout: 'x', stoppingTimeout: [], freqInterval: {}, \
                whenTimeout: 1, whenStartsLimit: 1, whenEvent: 1, stoppingWaitEvent: 1, TTL: 5, heartbeatInterval: 1, healthCheckExec: 1, \
                serviceDefinition: {} } ], watches: [ { name: 'db', interval: 1, serviceName: 'x', discoveryService: 1 } ], consul: 'h:1', \
                telemetry: { addr: 'x', MetricConfigs: [], JobConfig: {}, metrics: [ { name: 'm', help: 'h', type: 'gauge', \
                fullname: 'x', metricType: 1, collector: 1 } ] } }";
    let loaded = loaded(text);
    let doubts = doubts(&loaded);
    assert_eq!((loaded.findings.len(), doubts.len(), loaded.spec.warnings.len()), (20, 20, 20), "{doubts:?}");
    let first = "app.json5:1:38: job[a].restartLimit: `restartLimit` has no effect, as in earlier versions, perhaps `restarts` was meant";
    assert_eq!(loaded.spec.warnings[0], first);
    for path in ["job[a].TTL: ", "watch[db].serviceName: ", "telemetry.JobConfig: ", "telemetry.metrics[0].fullname: "]
    {
        assert!(doubts.iter().any(|says| says.contains(path)), "{doubts:?}");
    }
    assert!(refused("{ restartLimit: 1 }").contains("`restartLimit` is not a field of a config"));
    assert!(
        refused_job("health: { interval: 1, ttl: 2, heartbeatInterval: 1 }")
            .contains("is not a field of a health check")
    );
}

#[test]
fn metrics_are_named_by_their_parts() {
    let metrics = |metrics: &str| format!("{{ telemetry: {{ metrics: [ {metrics} ] }} }}");
    let spec = loaded(&metrics("{ subsystem: 's', name: 'n', help: 'h', type: 'gauge' }")).spec.telemetry.unwrap();
    assert_eq!((spec.metrics[0].full_name.as_str(), spec.address.to_string().as_str()), ("s_n", "10.2.0.1:9090"));
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
        ("", "1:1: the config is empty, it must be an object: { jobs: [ ... ] }"),
        ("// nothing\n", "2:1: the config is empty, it must be an object: { jobs: [ ... ] }"),
        ("{ a: 1,\n", "1:1: this `{` has no `}`"),
        ("{ jobs: [\n { name: 'a' }, {} \n", "1:9: this `[` has no `]`, nor has the `{` at 1:1 its `}`"),
        ("{ jobs: [\n", "1:9: this `[` has no `]`, nor has the `{` at 1:1 its `}`"),
        ("{ jobs: [ { name:\n", "2:1: the file ends where a value should be"),
        ("{ consul: 'x\\\n y", "2:3: the file ends within the string that begins at 1:11"),
        ("{ a: 1, /* never }", "1:19: the file ends within a comment, whose `*/` is missing"),
    ] {
        assert_eq!(refused(text), format!("app.json5:{says}"), "{text}");
    }
}

#[test]
fn mistakes_of_syntax_are_told_in_plain_words() {
    for (text, says) in [
        ("{\n  jobs: [\n    { name: 'a',\n  ],\n}", "4:3: this `]` comes before the `}` of the `{` at 3:5"),
        ("{ jobs: [ { name: 'a' } }", "1:25: this `}` comes before the `]` of the `[` at 1:9"),
        ("{ a: 1 } }", "1:10: this `}` closes nothing"),
        ("{\n  jobs: [ { name: 'a'\n    { name: 'b' } ] }", "3:5: expected a comma, or the `}` of the `{` at 2:11"),
        (
            "{ jobs: [ { name: 'a',\n { name: 'b' } ] }",
            "2:2: expected the name of a field, or the `}` of the `{` at 1:11",
        ),
        ("{ # jobs\n }", "1:3: `#` begins no comment: a comment begins with `//`, or stands between `/*` and `*/`"),
        ("{ a: 1, # jobs\n }", "1:9: `#` begins no comment"),
        ("# jobs\n{ a: 1 }", "1:1: `#` begins no comment"),
        ("{ a: 'x\n' }", "1:8: the line ends within the string that begins at 1:6"),
        ("{ a: localhost }", "1:6: expected a value (a string stands in quotes)"),
        ("{ a 1 }", "1:5: expected a colon after the name of a field"),
        ("{} {}", "1:4: there is more after the end of the config"),
        ("consul: localhost:8500\njobs:\n  - name: a\n", "1:1: this looks like YAML, a config is JSON5"),
        ("# YAML\n---\njobs: []\n", "1:1: this looks like YAML"),
        ("\njobs:\n  - name: a\n", "2:1: this looks like YAML"),
        ("\"jobs\": [],\n\"consul\": 'c'\n", "1:1: this looks like YAML"),
    ] {
        let told = refused(text);
        assert!(told.starts_with(&format!("app.json5:{says}")), "{text}: {told}");
    }
}

#[test]
fn mistakes_of_templates_are_told_in_plain_words() {
    for (text, says) in [
        ("{\n consul: '{{ .CONSUL }:8500', jobs: [] }", "2:11: cannot render the template: this `{{` has no `}}`"),
        ("{\n consul: '{{ .CONSUL', jobs: [\n] }", "2:11: cannot render the template: this `{{` has no `}}`"),
        (
            "{ consul: '{{ .CONSUL }', control: { socket: '{{ .S }}' } }",
            "1:12: cannot render the template: this `{{` has",
        ),
        ("{ consul: '{{ .CONSUL }, { {{ .S }}' }", "1:12: cannot render the template: this `{{` has no `}}`"),
        (
            "{{ .A | defualt \"x\" }}",
            "1:9: cannot render the template: the function `defualt` is not defined, perhaps `default`",
        ),
        ("{{ iff .A }}{{ end }}", "1:4: cannot render the template: the function `iff` is not defined, perhaps `if`"),
        (
            "{{ CONSUL }}",
            "1:4: cannot render the template: the function `CONSUL` is not defined, perhaps the variable `.CONSUL`",
        ),
        ("{{ nosuch }}", "1:4: cannot render the template: the function `nosuch` is not defined"),
        (
            "{ jobs: [ {{ name: 'a', exec: 'x' }, { name: 'b' } ] }",
            "1:11: cannot render the template: this `{{` has no `}}`",
        ),
        ("{ a: '{{ .B | nosuch\n }}' }", "1:15: cannot render the template: the function `nosuch` is not defined"),
        ("{ a: '{{ .B |\n index ~ }}' }", "2:8: cannot render the template: unexpected `~` in an action"),
        ("{ a: '{{ printf \"}\" | nosuch }}' }", "1:23: cannot render the template: the function `nosuch`"),
        ("{ a: '{{ .B | default \"x }}' }", "1:23: cannot render the template: the quoted constant is not closed"),
        ("\n{{ required `DB` }}", "2:4: cannot render the template: required: the variable `DB` is not set"),
    ] {
        let told = refused(text);
        assert!(told.starts_with(&format!("app.json5:{says}")), "{text}: {told}");
    }
    let empty = loaded_in("{ control: { socket: '{{ required `DB` }}' } }", &[("DB", "")]).unwrap_err();
    assert!(empty.contains("1:26: cannot render the template: required: the variable `DB` is empty"), "{empty}");
    let set = loaded_in("{ control: { socket: '{{ required `DB` }}' } }", &[("DB", "/s")]).unwrap();
    assert_eq!(set.spec.control.unwrap().socket.to_str(), Some("/s"));
}

#[test]
fn every_position_is_one_in_the_file_as_written() {
    let environment = [("BREAKS", "a\"b"), ("LINES", "// x\n// y\n"), ("WRONG", "10x"), ("LIST", "a,b")];
    for (text, says) in [
        ("{\n{{ if .NO }}\n//\n//\n{{ end }}\n bogus: 1 }", "6:2: `bogus` is not a field"),
        ("{ {{ .LINES }} bogus: 1 }", "1:16: `bogus` is not a field"),
        ("{\n\n{{- /* none\n */ -}}\n\n  bogus: 1 }", "6:3: `bogus` is not a field"),
        (
            "{ jobs: [\n{{ range split \",\" .LIST }}\n{ name: '{{ . }}', timeout: 'x' },\n{{ end }} ] }",
            "3:29: job[a].timeout: `x`",
        ),
        ("{ jobs: [ { name: 'a',\n timeout: {{ .WRONG | printf `'%s'` }} } ] }", "2:11: job[a].timeout: `10x`"),
        ("{ jobs: [ { name: 'a',\n timeout: '{{ .WRONG }}' } ] }", "2:11: job[a].timeout: `10x`"),
        (
            "{{ .LINES }}{ jobs: {{ .NO }} }",
            "1:21: expected a value (a string stands in quotes); an action that is empty stands here, which -template shows at 3:10",
        ),
        (
            "{\n{{ .LINES }} consul: \"{{ .BREAKS }}\" }",
            "2:23: expected a comma, or the `}` of the `{` at 1:1; an action has made this, which -template shows at 4:13",
        ),
        ("{{ .LINES }}\n{ jobs: [\n{{ if .NO }}\n{{ end }}\n", "2:9: this `[` has no `]`"),
        ("{{ .LINES }}\n{ a: \n{{ if .NO }}\n{{ end }}\n", "5:1: the file ends where a value should be"),
        ("{{ .LINES }}\n{ a: 'x{{ .NO }}\n' }", "2:17: the line ends within the string that begins at 2:6"),
    ] {
        let told = loaded_in(text, &environment).unwrap_err();
        assert!(told.starts_with(&format!("app.json5:{says}")), "{text}: {told}");
    }
    let warned = "{\n{{ if .NO }}\n\n{{ end }} jobs: [\n{ name: 'a', when: { source: 'nobody', once: 'healthy' } } ] }";
    let mistakes = mistakes(warned);
    assert!(mistakes.starts_with("app.json5:5:30: job[a].when.source: "), "{mistakes}");
}

#[test]
fn half_a_pair_of_utf_16_is_a_replacement_character() {
    for (written, read) in [
        ("\\ud83d", "\u{fffd}"),
        ("\\ude80", "\u{fffd}"),
        ("a\\uD83Db", "a\u{fffd}b"),
        ("\\ud83d\\ude80", "🚀"),
        ("\\ud83d\\ud83d\\ude80", "\u{fffd}🚀"),
        ("\\ude80\\ud83d", "\u{fffd}\u{fffd}"),
        ("\\ud83d\\u0041", "\u{fffd}A"),
        ("\\ud83d\\n", "\u{fffd}\n"),
        ("\\\\ud83d", "\\ud83d"),
        ("\\\\\\ud83d", "\\\u{fffd}"),
    ] {
        for quote in ['"', '\''] {
            let env = job(&format!("env: {{ A: {quote}{written}{quote} /* '\\ud83d' */ }}")).env;
            assert_eq!(env, [("A".into(), Some(read.into()))], "{written}");
        }
    }
    let says = refused("{ 'a\\ud83d': 1 }");
    assert!(says.contains("`a\u{fffd}` is not a field"), "{says}");
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
