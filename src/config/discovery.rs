//! What concerns the catalog: how Consul is reached, where services are, and telemetry, which is a service too.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use containerpilot_actors::addresses::{Host, InterfaceAddress};
use containerpilot_actors::catalog::client::client_config;
use containerpilot_actors::spec::{
    CatalogSpec, ConsulSpec, MetricKind, MetricSpec, ServiceSpec, TaggedAddress, TelemetrySpec, TlsSpec, Weights,
};

use super::duration;
use super::interfaces::{self, InterfaceSpec};
use super::lower_v3::{Surroundings, item_problem};
use super::node::{Node, Value, shortened};
use super::problem::Problem;
use super::raw_v3::{
    Consul, Field, JobConsul, Metric, TaggedAddress as RawTaggedAddress, Telemetry, Tls, Weights as RawWeights,
};
use super::reader::{Reader, Scope, go_boolean, text};
use crate::template::Environment;

/// The address of Consul's own clients' default.
const DEFAULT_ADDRESS: &str = "127.0.0.1:8500";
/// This machine.
pub const LOCALHOST: &str = "127.0.0.1";
/// 3.8's defaults for its own service.
const TELEMETRY_NAME: &str = "containerpilot";
const TELEMETRY_PORT: u16 = 9090;
const TELEMETRY_TTL: Duration = Duration::from_secs(15);
const TELEMETRY_INTERVAL: Duration = Duration::from_secs(5);
/// What Consul takes of `meta`.
const MOST_META: usize = 64;
const LONGEST_META_KEY: usize = 128;
const LONGEST_META_VALUE: usize = 512;
/// What we measure ourselves.
const BUILT_IN: [&str; 9] = [
    "containerpilot_events",
    "containerpilot_control_http_requests",
    "containerpilot_watch_instances",
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_virtual_memory_bytes",
];

/// `NAME-HOSTNAME`
pub fn service_id(name: &str, host: &Host) -> String {
    format!("{name}-{}", host.name)
}

/// The interfaces as written, and the address that they pick; problems are noted.
pub fn address(scope: &Scope, field: Field<'_>, host: &Host, reader: &mut Reader) -> (Vec<String>, Option<IpAddr>) {
    let (written, all_texts) = interface_texts(scope, field, reader);
    let mut specs = Vec::new();
    let mut all_valid = all_texts;
    let looked_for: Vec<&str> = match written.as_slice() {
        [] => interfaces::DEFAULT.to_vec(),
        written => written.iter().map(String::as_str).collect(),
    };
    for spec in &looked_for {
        match InterfaceSpec::parse(spec) {
            Some(spec) => specs.push(spec),
            None => {
                all_valid = false;
                let says = format!(
                    "`{}` is not an interface (such as eth0, eth0:inet6, eth0[1], inet, 10.0.0.0/16 or static:10.0.0.1)",
                    shortened(spec)
                );
                reader.problem(scope, field, says);
            }
        }
    }
    if !all_valid {
        return (written, None);
    }
    let picked = interfaces::pick(&specs, &host.addresses);
    if picked.is_none() {
        let specs: Vec<String> = looked_for.iter().map(|spec| format!("`{}`", shortened(spec))).collect();
        let here = interfaces::listed(&host.addresses);
        let says = format!("no network interface matches {} (there are: {here})", specs.join(", "));
        reader.machine_problem(scope, field, says);
    }
    (written, picked)
}

/// The address that interfaces as written pick of those that there are now.
pub fn pick_address(written: &[String], addresses: &[InterfaceAddress]) -> Option<IpAddr> {
    let parse = |spec: &str| InterfaceSpec::parse(spec);
    let specs: Vec<InterfaceSpec> = match written {
        [] => interfaces::DEFAULT.into_iter().filter_map(parse).collect(),
        written => written.iter().filter_map(|spec| parse(spec)).collect(),
    };
    interfaces::pick(&specs, addresses)
}

/// `consul` of a service: `enableTagOverride`, `deregisterCriticalServiceAfter`. 3.8 looks at the latter's value with a port
/// only.
pub fn consul_extras(scope: &Scope, field: Field<'_>, has_port: bool, reader: &mut Reader) -> (bool, Option<String>) {
    let Some((scope, raw)) = reader.block::<JobConsul<'_>>(scope, field) else { return (false, None) };
    let enable_tag_override = reader.boolean(&scope, raw.enable_tag_override).unwrap_or(false);
    let deregister = reader.string(&scope, raw.deregister_critical_after);
    if has_port && deregister.as_deref().is_some_and(|text| duration::parse_go(text).is_none()) {
        // Consul reads this itself, so that a number without a unit is none.
        reader.refuse(&scope, raw.deregister_critical_after, duration::ACCEPTED);
    }
    (enable_tag_override, deregister)
}

/// What else the catalog keeps of a service, by key.
pub fn meta(scope: &Scope, field: Field<'_>, reader: &mut Reader) -> Vec<(String, String)> {
    let mut meta: Vec<(String, String)> = Vec::new();
    for (key, node) in entries(scope, field, "an object of texts by key", reader) {
        let path = format!("{}.{}", scope.path_of(field), shortened(key));
        let is_sign = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if key.is_empty() || key.len() > LONGEST_META_KEY || !key.chars().all(is_sign) {
            let says = format!("is no key for Consul (up to {LONGEST_META_KEY} letters, digits, `-` and `_`)");
            reader.problems.push(Problem::key(node, path, says));
            continue;
        }
        match text(node) {
            Some(value) if value.len() <= LONGEST_META_VALUE => {
                meta.retain(|(other, _)| other != key);
                meta.push((key.clone(), value));
            }
            Some(_) => {
                let says = format!("has more than the {LONGEST_META_VALUE} bytes that Consul takes");
                reader.problems.push(Problem::value(node, path, says));
            }
            None => reader.problems.push(Problem::value(node, path, format!("is {}, not a string", node.kind()))),
        }
    }
    if meta.len() > MOST_META {
        reader.problem(scope, field, format!("has {} keys, Consul takes {MOST_META}", meta.len()));
    }
    meta
}

/// How much DNS prefers a service.
pub fn weights(scope: &Scope, field: Field<'_>, reader: &mut Reader) -> Option<Weights> {
    const ACCEPTED: &str = "a weight (a number up to 65535)";
    let (scope, raw) = reader.block::<RawWeights<'_>>(scope, field)?;
    let mut weight = |field: Field<'_>| {
        let written = reader.integer(&scope, field, ACCEPTED)?;
        let weight = u16::try_from(written).ok();
        if weight.is_none() {
            reader.refuse(&scope, field, ACCEPTED);
        }
        weight
    };
    // Consul's defaults
    let (passing, warning) = (weight(raw.passing).unwrap_or(1), weight(raw.warning).unwrap_or(1));
    Some(Weights { passing, warning })
}

/// More addresses of a service, by tag: an address, or an object with another port.
pub fn tagged_addresses(
    scope: &Scope,
    field: Field<'_>,
    port: Option<u16>,
    reader: &mut Reader,
) -> Vec<(String, TaggedAddress)> {
    const PORT: &str = "a port (a number from 1 to 65535)";
    let mut found: Vec<(String, TaggedAddress)> = Vec::new();
    for (tag, node) in entries(scope, field, "an object of addresses by tag", reader) {
        let inner = Scope::new(format!("{}.{}", scope.path_of(field), shortened(tag)), node);
        let place = if let Value::String(address) = &node.value {
            Some((address.clone(), port))
        } else if let Some(raw) = reader.read::<RawTaggedAddress<'_>>(&inner, node) {
            let written = reader.integer(&inner, raw.port, PORT);
            let its_port = written.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
            if written.is_some() && its_port.is_none() {
                reader.refuse(&inner, raw.port, PORT);
            }
            if raw.address.node.is_none() {
                reader.refuse(&inner, raw.address, "an address");
            }
            reader.string(&inner, raw.address).map(|address| (address, its_port.or(port)))
        } else {
            None
        };
        if let Some((address, Some(port))) = place {
            found.retain(|(other, _)| other != tag);
            found.push((tag.clone(), TaggedAddress { address, port }));
        }
    }
    found
}

fn entries<'a>(scope: &Scope, field: Field<'a>, accepted: &str, reader: &mut Reader) -> &'a [(String, Node)] {
    let Some(node) = field.node else { return &[] };
    match &node.value {
        Value::Object(entries) => entries,
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::String(_) | Value::List(_) => {
            reader.problem(scope, field, format!("is {}, not {accepted}", node.kind()));
            &[]
        }
    }
}

/// One text or a list of them, and whether all could be read.
fn interface_texts(scope: &Scope, field: Field<'_>, reader: &mut Reader) -> (Vec<String>, bool) {
    let Some(node) = field.node else { return (Vec::new(), true) };
    match &node.value {
        Value::String(text) => (vec![text.clone()], true),
        Value::List(items) => {
            let mut texts = Vec::new();
            for (i, item) in items.iter().enumerate() {
                match text(item) {
                    Some(text) => texts.push(text),
                    None => {
                        let says = format!("`{}` is {}, not a string", item.shown(), item.kind());
                        reader.problems.push(item_problem(scope, field, i, item, says));
                    }
                }
            }
            let all = texts.len() == items.len();
            (texts, all)
        }
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::Object(_) => {
            reader.refuse(scope, field, "an interface or a list of them");
            (Vec::new(), false)
        }
    }
}

/// The metrics server and its service.
pub fn telemetry(
    scope: &Scope,
    field: Field<'_>,
    surroundings: Surroundings<'_>,
    reader: &mut Reader,
) -> Option<TelemetrySpec> {
    let (scope, raw) = reader.block::<Telemetry<'_>>(scope, field)?;
    let tags = reader.strings(&scope, raw.tags);
    let page = reader.boolean(&scope, raw.page);
    let hosts = hosts(&scope, raw.hosts, reader);
    let must_listen = reader.boolean(&scope, raw.required).unwrap_or(false);
    let metrics = metrics(&scope, raw.metrics, reader);
    let fields = Server { port: raw.port, interfaces: raw.interfaces };
    let server = server(&scope, fields, tags, surroundings, reader);
    Some(TelemetrySpec { metrics, page: page.unwrap_or(server.page), hosts, must_listen, ..server })
}

/// The names by which a browser may ask for the page.
fn hosts(scope: &Scope, field: Field<'_>, reader: &mut Reader) -> Vec<String> {
    let hosts = reader.strings(scope, field);
    let is_name = |host: &String| {
        let may_be = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        !host.is_empty() && host.bytes().all(may_be)
    };
    for host in hosts.iter().filter(|host| !is_name(host)) {
        let says = format!("`{}` is not a host name, without a scheme and a port", shortened(host));
        reader.problem(scope, field, says);
    }
    hosts.into_iter().map(|host| host.trim_end_matches('.').to_ascii_lowercase()).collect()
}

/// Where the metrics server is, as written.
pub struct Server<'a> {
    /// `port`
    pub port: Field<'a>,
    /// `interfaces`
    pub interfaces: Field<'a>,
}

/// The metrics server without metrics, and its service.
pub fn server(
    scope: &Scope,
    fields: Server<'_>,
    mut tags: Vec<String>,
    surroundings: Surroundings<'_>,
    reader: &mut Reader,
) -> TelemetrySpec {
    const ACCEPTED: &str = "a port (a number up to 65535)";
    let port = match reader.integer(scope, fields.port, ACCEPTED).map(u16::try_from) {
        Some(Ok(port)) => port,
        Some(Err(_)) => {
            reader.refuse(scope, fields.port, ACCEPTED);
            TELEMETRY_PORT
        }
        None => TELEMETRY_PORT,
    };
    tags.push(env!("CARGO_PKG_VERSION").to_owned());
    let (interfaces, address) = address(scope, fields.interfaces, surroundings.host, reader);
    let address = address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let service = ServiceSpec {
        id: service_id(TELEMETRY_NAME, surroundings.host),
        port,
        address,
        interfaces,
        tags,
        ttl: TELEMETRY_TTL,
        interval: TELEMETRY_INTERVAL,
        ..ServiceSpec::new(TELEMETRY_NAME)
    };
    // 3.8 has no page: nobody elsewhere sees one for whom none was asked for.
    let page = address.to_canonical().is_loopback();
    let address = SocketAddr::new(address, port);
    TelemetrySpec { address, service, metrics: Vec::new(), page, hosts: Vec::new(), must_listen: false }
}

fn metrics(scope: &Scope, field: Field<'_>, reader: &mut Reader) -> Vec<MetricSpec> {
    let mut metrics: Vec<MetricSpec> = Vec::new();
    for (index, node) in reader.list(scope, field) {
        let scope = Scope::new(format!("{}[{index}]", scope.path_of(field)), node);
        let Some(raw) = reader.read::<Metric<'_>>(&scope, node) else { continue };
        let fields = MetricFields { parts: [raw.namespace, raw.subsystem, raw.name], help: raw.help, kind: raw.kind };
        if let Some(metric) = metric(&scope, fields, reader) {
            add_metric(&scope, &mut metrics, metric, reader);
        }
    }
    metrics
}

/// Adds a metric, if its name is free.
pub fn add_metric(scope: &Scope, metrics: &mut Vec<MetricSpec>, metric: MetricSpec, reader: &mut Reader) {
    match metrics.iter_mut().find(|other| other.full_name == metric.full_name) {
        None => metrics.push(metric),
        // 3.8: the same definition again takes the place of the first.
        Some(other) if other.help == metric.help => *other = metric,
        Some(_) => {
            let says = format!("`{}` is another metric's name already", metric.full_name);
            reader.problem_with(scope, says);
        }
    }
}

/// A metric as written.
pub struct MetricFields<'a> {
    /// `namespace`, `subsystem` and `name`.
    pub parts: [Field<'a>; 3],
    /// `help`
    pub help: Field<'a>,
    /// `type`
    pub kind: Field<'a>,
}

/// A user's metric.
pub fn metric(scope: &Scope, raw: MetricFields<'_>, reader: &mut Reader) -> Option<MetricSpec> {
    const KINDS: [(&str, MetricKind); 4] = [
        ("counter", MetricKind::Counter),
        ("gauge", MetricKind::Gauge),
        ("histogram", MetricKind::Histogram),
        ("summary", MetricKind::Summary),
    ];
    let name = raw.parts[2];
    let parts = raw.parts.map(|part| reader.string(scope, part));
    let help = reader.string(scope, raw.help);
    let kind = reader.string(scope, raw.kind);
    let kind = match kind {
        Some(kind) => reader.word(scope, raw.kind, &kind, &KINDS),
        None => {
            reader.problem(scope, raw.kind, "is missing, it must be one of counter, gauge, histogram, summary");
            None
        }
    };
    if help.is_none() {
        reader.problem(scope, raw.help, "is missing, every metric needs a text that describes it");
    }
    if parts[2].is_none() {
        reader.problem(scope, name, "is missing, every metric needs a name");
        return None;
    }
    let full_name = parts.into_iter().flatten().collect::<Vec<_>>().join("_");
    let is_sign = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    if !full_name.chars().all(is_sign) || full_name.starts_with(|c: char| c.is_ascii_digit()) {
        let says = format!(
            "`{}` is not a metric's name (letters, digits, `_` and `:`, no digit first)",
            shortened(&full_name)
        );
        reader.problem(scope, name, says);
        return None;
    }
    if BUILT_IN.contains(&full_name.as_str()) {
        reader.problem(scope, name, format!("`{full_name}` is a metric of ContainerPilot's own"));
        return None;
    }
    Some(MetricSpec { full_name, help: help?, kind: kind? })
}

/// The catalog; none if the config names none (D3).
pub fn catalog(scope: &Scope, field: Field<'_>, environment: &Environment, reader: &mut Reader) -> Option<CatalogSpec> {
    let node = field.node?;
    let (inner, raw) = match &node.value {
        Value::String(_) => (scope.clone(), None),
        Value::Object(_) => {
            let (inner, raw) = reader.block::<Consul<'_>>(scope, field)?;
            (inner, Some(raw))
        }
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::List(_) => {
            // The value may hold a token.
            reader.problem(
                scope,
                field,
                format!("is {}, not an address or an object with address, scheme, token, tls", node.kind()),
            );
            return None;
        }
    };
    let address_field = raw.map_or(field, |raw| raw.address);
    let written = reader.string(&inner, address_field);
    let written = written.or_else(|| variable(environment, "CONSUL_HTTP_ADDR"));
    let written = written.as_deref().unwrap_or(DEFAULT_ADDRESS);
    // 3.8: CONSUL_HTTP_SSL concerns the object only, a bare address is http.
    let https = match raw.and_then(|raw| scheme(&inner, raw.scheme, reader)) {
        Some(https) => https,
        None => {
            raw.is_some() && variable(environment, "CONSUL_HTTP_SSL").as_deref().and_then(go_boolean).unwrap_or(false)
        }
    };
    let server = server_address(written, https, None);
    if let Err(says) = &server {
        match address_field.node.and_then(text).filter(|text| !text.is_empty()) {
            Some(_) => reader.fault(&inner, address_field, says.as_str()),
            None => reader.fault(&inner, address_field, format!("CONSUL_HTTP_ADDR {says}")),
        }
    }
    let https = server.as_ref().map_or(https, |(_, https)| *https);
    let token = raw.and_then(|raw| token(&inner, raw.token, reader));
    let token_file = raw.and_then(|raw| reader.string(&inner, raw.token_file));
    if let (Some(raw), Some(_), Some(_)) = (raw, &token, &token_file) {
        reader.problem(&inner, raw.token_file, "cannot be beside `token`, there is one of them at most");
    }
    // The environment goes before the config, of which at most one says something.
    let file_of_environment = variable(environment, "CONSUL_HTTP_TOKEN_FILE");
    let token = variable(environment, "CONSUL_HTTP_TOKEN")
        .or_else(|| token.filter(|_| file_of_environment.is_none()))
        .map(|token| token.trim().to_owned())
        .filter(|token| !token.is_empty());
    let token_file = file_of_environment.or(token_file).filter(|_| token.is_none()).map(PathBuf::from);
    if let Some(path) = &token_file
        && let Err(cause) = fs::read_to_string(path)
    {
        let says = format!("cannot read `{}`: {cause}", shortened(&path.to_string_lossy()));
        reader.machine_problem(&inner, raw.map_or(field, |raw| raw.token_file), says);
    }
    if token.as_ref().is_some_and(|token| token.chars().any(char::is_control)) {
        reader.problem(&inner, raw.map_or(field, |raw| raw.token), "the token has a control character in it");
    }
    let problems = reader.problems.len();
    let (tls_scope, tls) = match raw.and_then(|raw| reader.block::<Tls<'_>>(&inner, raw.tls)) {
        Some((scope, raw)) => {
            let tls = tls(&scope, Some(&raw), Some(environment), reader);
            (scope, tls)
        }
        None => (inner.clone(), tls(&inner, None, Some(environment), reader)),
    };
    // The files are there; whether they fit each other shows when they are put to use.
    if https
        && reader.problems.len() == problems
        && let Err(cause) = client_config(&tls)
    {
        reader.problem_with(&tls_scope, cause.to_string());
    }
    let (address, https) = server.ok()?;
    Some(CatalogSpec::Consul(ConsulSpec { address, https, token, token_file, tls }))
}

/// Notes that a second catalog is configured, which nothing would be registered in.
pub fn one_catalog(scope: &Scope, catalogs: &[Field<'_>], reader: &mut Reader) {
    let mut written = catalogs.iter().filter(|catalog| catalog.node.is_some());
    let Some(first) = written.next() else { return };
    for other in written {
        reader.problem(
            scope,
            *other,
            format!("`{}` and `{}` are two catalogs, there is one at most", first.name, other.name),
        );
    }
}

/// Warns of fields that only Consul knows what to do with, if the catalog is another one.
pub fn consuls_alone(scope: &Scope, fields: &[Field<'_>], catalog: Option<&CatalogSpec>, reader: &mut Reader) {
    let word = match catalog {
        None | Some(CatalogSpec::Consul(_)) => return,
        Some(other) => other.word(),
    };
    for field in fields.iter().filter(|field| field.node.is_some()) {
        reader.warning(scope, *field, format!("is for Consul, {word} ignores it"));
    }
}

/// The value of an environment variable that is set and not empty.
fn variable(environment: &Environment, name: &str) -> Option<String> {
    let value = environment.get(name.as_bytes()).filter(|value| !value.is_empty())?;
    Some(String::from_utf8_lossy(value).into_owned())
}

fn scheme(scope: &Scope, field: Field<'_>, reader: &mut Reader) -> Option<bool> {
    let scheme = reader.string(scope, field)?;
    reader.word(scope, field, &scheme.to_lowercase(), &[("http", false), ("https", true)])
}

/// 3.8's string, but never shown.
pub fn token(scope: &Scope, field: Field<'_>, reader: &mut Reader) -> Option<String> {
    let node = field.node?;
    let token = text(node);
    if token.is_none() {
        reader.problem(scope, field, format!("is {}, not a string", node.kind()));
    }
    token
}

/// The address without its scheme, with its port, and whether to speak TLS. Without a `default_port` it is that of the scheme.
/// An address with an `@` may hold a password, so that no message shows it.
pub fn server_address(written: &str, https: bool, default_port: Option<u16>) -> Result<(String, bool), String> {
    let wrong = |why: &str| {
        let shown = if written.contains('@') { String::new() } else { format!("`{}` ", shortened(written)) };
        format!("{shown}is not an address (host:port, http://host:port, https://host:port or unix:///path): {why}")
    };
    let (rest, https) = match written.split_once("://") {
        None => (written, https),
        Some(("http", rest)) => (rest, false),
        Some(("https", rest)) => (rest, true),
        Some(("unix", "")) => return Err(wrong("it has no path")),
        Some(("unix", _)) => return Ok((written.to_owned(), false)),
        Some((scheme, _)) => return Err(wrong(&format!("`{}` is not a scheme for it", shortened(scheme)))),
    };
    let rest = rest.trim_end_matches('/');
    if rest.is_empty() {
        return Err(wrong("it has no host"));
    }
    let default_port = default_port.unwrap_or(if https { 443 } else { 80 });
    if rest.parse::<Ipv6Addr>().is_ok() {
        return Ok((format!("[{rest}]:{default_port}"), https));
    }
    let host_end = rest.rfind(']').map_or(0, |at| at + 1);
    let (host, port) = match rest.get(host_end..).and_then(|rest| rest.rfind(':')) {
        Some(at) => (&rest[..host_end + at], rest[host_end + at + 1..].parse::<u16>().ok().filter(|port| *port > 0)),
        None => (rest, Some(default_port)),
    };
    if !is_host(host) {
        return Err(wrong("its host is invalid"));
    }
    let port = port.ok_or_else(|| wrong("its port is not a number from 1 to 65535"))?;
    // 3.8: without a host it is this machine's, as for all of Go's clients.
    let host = if host.is_empty() { LOCALHOST } else { host };
    Ok((format!("{host}:{port}"), https))
}

/// Whether this can be a host: a name, or an address, in brackets if it has colons. An empty one is this machine.
pub fn is_host(host: &str) -> bool {
    if let Some(host) = host.strip_prefix('[') {
        return host.strip_suffix(']').is_some_and(|host| host.parse::<Ipv6Addr>().is_ok());
    }
    let is_sign = |c: char| !c.is_whitespace() && !c.is_control() && !"/@:[]?#\\".contains(c);
    // No name consists of numbers.
    let is_number = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let is_numeric = !host.is_empty() && host.split('.').all(is_number);
    host.chars().all(is_sign) && (!is_numeric || host.parse::<Ipv4Addr>().is_ok())
}

/// How TLS is done. Consul's environment goes before its config.
pub fn tls(scope: &Scope, raw: Option<&Tls<'_>>, environment: Option<&Environment>, reader: &mut Reader) -> TlsSpec {
    let variable = |name: &str| environment.and_then(|environment| variable(environment, name));
    let found = |field: Option<Field<'_>>, name: &str, reader: &mut Reader| -> Option<String> {
        let configured = field.and_then(|field| reader.string(scope, field));
        variable(name).or(configured)
    };
    let ca_file = found(raw.map(|raw| raw.ca_file), "CONSUL_CACERT", reader);
    let ca_path = found(raw.map(|raw| raw.ca_path), "CONSUL_CAPATH", reader);
    let client_cert = found(raw.map(|raw| raw.client_cert), "CONSUL_CLIENT_CERT", reader);
    let client_key = found(raw.map(|raw| raw.client_key), "CONSUL_CLIENT_KEY", reader);
    let server_name = found(raw.map(|raw| raw.server_name), "CONSUL_TLS_SERVER_NAME", reader);
    let verify = raw.and_then(|raw| reader.boolean(scope, raw.verify));
    let verify = match variable("CONSUL_HTTP_SSL_VERIFY").map(|word| word.to_lowercase()).as_deref() {
        Some("1" | "true") => true,
        Some("0" | "false") => false,
        Some(_) | None => verify.unwrap_or(true),
    };
    let mut check = |field: Option<Field<'_>>, path: Option<&String>, look: fn(&Path) -> io::Result<()>| {
        if let Some(path) = path
            && let Err(cause) = look(Path::new(path))
        {
            let says = format!("cannot use `{}`: {cause}", shortened(path));
            match field.filter(|field| field.node.is_some()) {
                Some(field) => reader.machine_problem(scope, field, says),
                // It comes from the environment.
                None => reader.problem_with(scope, says),
            }
        }
    };
    check(raw.map(|raw| raw.ca_file), ca_file.as_ref(), look_at_pem);
    check(raw.map(|raw| raw.ca_path), ca_path.as_ref(), |path| fs::read_dir(path).map(drop));
    check(raw.map(|raw| raw.client_cert), client_cert.as_ref(), look_at_pem);
    check(raw.map(|raw| raw.client_key), client_key.as_ref(), look_at_pem);
    let client = match (client_cert, client_key) {
        (Some(cert), Some(key)) => Some((PathBuf::from(cert), PathBuf::from(key))),
        (None, None) => None,
        (cert, _) => {
            let (there, missing) =
                if cert.is_some() { ("clientcert", "clientkey") } else { ("clientkey", "clientcert") };
            reader.problem_with(scope, format!("has a `{there}` but no `{missing}`, they go together"));
            None
        }
    };
    TlsSpec { ca_file: ca_file.map(Into::into), ca_path: ca_path.map(Into::into), client, server_name, verify }
}

fn look_at_pem(path: &Path) -> io::Result<()> {
    let text = fs::read(path)?;
    let begins = text.windows(11).any(|part| part == b"-----BEGIN ");
    if begins { Ok(()) } else { Err(io::Error::other(format!("no PEM in {} bytes", text.len()))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_servers_are_read() {
        for (written, https, want) in [
            ("localhost:8500", false, ("localhost:8500", false)),
            ("localhost:8500", true, ("localhost:8500", true)),
            ("http://127.0.0.1:1/", true, ("127.0.0.1:1", false)),
            ("https://consul", false, ("consul:443", true)),
            ("consul", false, ("consul:80", false)),
            ("[::1]:8500", false, ("[::1]:8500", false)),
            ("http://[::1]", false, ("[::1]:80", false)),
            ("::1", false, ("[::1]:80", false)),
            (":8500", false, ("127.0.0.1:8500", false)),
            ("http://:8500", true, ("127.0.0.1:8500", false)),
            ("https://:8501/", false, ("127.0.0.1:8501", true)),
            ("unix:///run/consul.sock", false, ("unix:///run/consul.sock", false)),
        ] {
            let (address, https) = server_address(written, https, None).unwrap();
            assert_eq!((address.as_str(), https), want, "{written}");
        }
    }

    #[test]
    fn other_addresses_are_refused_without_being_shown() {
        for written in [
            "",
            "/",
            ":",
            ":0",
            ":70000",
            "ftp://h:1",
            "://h:1",
            "h:0",
            "h:70000",
            "h:-1",
            "h:x",
            "h:",
            "h:1:2",
            "h:1/path",
            "user:secret@h:1",
            "h h:1",
            " h:1",
            "h:1 ",
            "h:1\n",
            "[x]:1",
            "[::1",
            "[::1]1",
            "[::g]:1",
            "::1]:1",
            "256.0.0.1:1",
            "10.0.0:1",
            "10.0.0.1.:1",
            "unix://",
            "http://",
            "https:///",
            "http://:",
        ] {
            let says = server_address(written, false, None).unwrap_err();
            assert!(!says.contains("secret"), "{says}");
        }
    }
}
