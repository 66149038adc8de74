//! From a v3 config as written to the specs that the runtime starts from: defaults, units, cross-references.
//!
//! Gathers all problems before it gives up: what is wrong gets a stand-in, and the result is thrown away in the end.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use containerpilot_actors::addresses::Host;
use containerpilot_actors::event::{JobName, WatchName};
use containerpilot_actors::policy::reload::{FIRST_TWIN, free_twin};
use containerpilot_actors::spec::{CatalogSpec, ControlSpec, JobSpec, SignalSpec, Spec, TelemetrySpec, WatchSpec};

use super::discovery;
use super::etcd;
use super::job;
use super::logging::logging;
use super::node::Node;
use super::problem::{Problem, nearest};
use super::raw_v3::{Config, Control, Field, Signals, Watch};
use super::reader::{Reader, Scope, text};
use super::starts;
use super::zookeeper;
use crate::template::Environment;

/// 3.8's control socket.
const DEFAULT_SOCKET: &str = "/var/run/containerpilot.socket";

/// What is said of services and watches without a catalog.
pub const NO_CATALOG: &str = "there is no catalog (`consul`, `etcd` or `zookeeper`)";

/// What lowering knows beside the config.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// Variables such as `CONSUL_HTTP_ADDR`.
    pub environment: &'a Environment,
    /// The machine's name and addresses.
    pub host: &'a Host,
}

/// The spec of a config; what is wrong with it is in the reader.
pub fn lower(root: &Node, surroundings: Surroundings<'_>, reader: &mut Reader) -> Option<Spec> {
    let scope = Scope::new("", root);
    let config: Config<'_> = reader.read(&scope, root)?;
    let catalogs = Catalogs { consul: config.consul, etcd: config.etcd, zookeeper: config.zookeeper };
    let has_catalog = catalogs.are_written();
    let mut catalog = catalog(&scope, catalogs, surroundings.environment, reader);
    let Jobs { mut jobs, starts, metrics: metric_fields, ports } =
        jobs(&scope, config.jobs, surroundings, catalog.as_ref(), reader);
    let watches = watches(&scope, config.watches, catalog.as_ref(), reader);
    if !has_catalog {
        for (job, (scope, port)) in jobs.iter().zip(&ports).filter(|(job, _)| job.service.is_some()) {
            reader.doubt(scope, *port, format!("{NO_CATALOG} where `{}` could be registered", job.name));
        }
        if !watches.is_empty() {
            reader.doubt(&scope, config.watches, format!("{NO_CATALOG} where these could be looked up"));
        }
    }
    let telemetry = discovery::telemetry(&scope, config.telemetry, surroundings, reader);
    known_metrics(&jobs, &metric_fields, telemetry.as_ref(), reader);
    let services = jobs.iter().filter_map(|job| job.service.as_ref());
    zookeeper::fit(&mut catalog, services.chain(telemetry.as_ref().map(|telemetry| &telemetry.service)));
    starts::check(&jobs, &watches, telemetry.is_some(), &starts, reader);
    let keeps_daemons = reader.boolean(&scope, config.keep_daemons).unwrap_or(false);
    jobs.iter_mut().for_each(|job| job.keeps_daemons = keeps_daemons);
    Some(Spec {
        jobs,
        watches,
        stop_timeout: stop_timeout(&scope, config.stop_timeout, reader),
        stay_up: reader.boolean(&scope, config.stay_up).unwrap_or(false),
        signals: signals(&scope, config.signals, reader),
        catalog,
        telemetry,
        control: Some(control(&scope, config.control, reader)),
        logging: logging(&scope, config.logging, reader),
        ..Spec::default()
    })
}

/// The catalogs as written.
pub struct Catalogs<'a> {
    /// `consul`
    pub consul: Field<'a>,
    /// `etcd`
    pub etcd: Field<'a>,
    /// `zookeeper`
    pub zookeeper: Field<'a>,
}

impl Catalogs<'_> {
    /// Whether there is one, be it right or wrong.
    pub fn are_written(&self) -> bool {
        [self.consul, self.etcd, self.zookeeper].iter().any(|catalog| catalog.node.is_some())
    }
}

/// The one catalog, if there is one.
pub fn catalog(
    scope: &Scope,
    fields: Catalogs<'_>,
    environment: &Environment,
    reader: &mut Reader,
) -> Option<CatalogSpec> {
    discovery::one_catalog(scope, &[fields.consul, fields.etcd, fields.zookeeper], reader);
    let consul = discovery::catalog(scope, fields.consul, environment, reader);
    let etcd = etcd::catalog(scope, fields.etcd, reader);
    let zookeeper = zookeeper::catalog(scope, fields.zookeeper, reader);
    consul.or(etcd).or(zookeeper)
}

/// 0 is the default, and a negative number a KILL at once, as in version 2.
pub fn stop_timeout(scope: &Scope, field: Field<'_>, reader: &mut Reader) -> Duration {
    match reader.integer(scope, field, "a whole number of seconds").map(u64::try_from) {
        None | Some(Ok(0)) => Spec::STOP_TIMEOUT,
        Some(Ok(seconds)) => Duration::from_secs(seconds),
        Some(Err(_)) => Duration::ZERO,
    }
}

fn signals(scope: &Scope, field: Field<'_>, reader: &mut Reader) -> SignalSpec {
    let Some((scope, raw)) = reader.block::<Signals<'_>>(scope, field) else { return SignalSpec::default() };
    let mut means = |field: Field<'_>, meaning: &str| {
        let word = reader.string(&scope, field);
        word.and_then(|word| reader.word(&scope, field, &word, &[(meaning, true)])).unwrap_or(false)
    };
    let hup_reloads = means(raw.hup, "reload");
    SignalSpec { hup_reloads, usr1_maintains: means(raw.usr1, "maintenance"), passed_on: false }
}

/// A job can measure what telemetry has.
fn known_metrics(
    jobs: &[JobSpec],
    fields: &[(Scope, Field<'_>)],
    telemetry: Option<&TelemetrySpec>,
    reader: &mut Reader,
) {
    let known: Vec<&str> =
        telemetry.into_iter().flat_map(|telemetry| &telemetry.metrics).map(|metric| &*metric.full_name).collect();
    for (job, (scope, field)) in jobs.iter().zip(fields) {
        if let Some(name) = job.metric.as_deref().filter(|name| !known.contains(name)) {
            let hint =
                nearest(name, known.iter().copied()).map(|name| format!(", perhaps `{name}`")).unwrap_or_default();
            let says = format!("`{}` is none of `telemetry.metrics`{hint}", super::node::shortened(name));
            reader.problem(scope, *field, says);
        }
    }
}

/// The jobs, and what is needed to speak of them, in the same order.
struct Jobs<'a> {
    jobs: Vec<JobSpec>,
    starts: Vec<starts::Start<'a>>,
    metrics: Vec<(Scope, Field<'a>)>,
    ports: Vec<(Scope, Field<'a>)>,
}

fn jobs<'a>(
    scope: &Scope,
    field: Field<'a>,
    surroundings: Surroundings<'_>,
    catalog: Option<&CatalogSpec>,
    reader: &mut Reader,
) -> Jobs<'a> {
    let mut jobs: Vec<JobSpec> = Vec::new();
    let (mut starts, mut metrics, mut ports) = (Vec::new(), Vec::new(), Vec::new());
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut main: Option<String> = None;
    let items = reader.list(scope, field);
    if items.is_empty() {
        reader.doubt(scope, field, "there are no jobs, so that nothing is run");
    }
    for (index, node) in items {
        let Some(lowered) = job::lower(index, node, surroundings, reader) else { continue };
        let name = lowered.spec.name.as_str().to_owned();
        if !name.is_empty()
            && let Some(first) = places.insert(name.clone(), index)
        {
            // 3.8 takes both, and mixes up their events. Both run.
            let says = format!("`{name}` is the name of jobs[{first}] too: both run, and share their events");
            reader.doubt(&Scope::new(format!("jobs[{index}]"), node), lowered.name, says);
        }
        if lowered.spec.main {
            match &main {
                None => main = Some(name),
                Some(first) => {
                    let says = format!("`{first}` is the main job already, there can be one at most");
                    reader.problem(&lowered.scope, lowered.main, says);
                }
            }
        }
        discovery::consuls_alone(&lowered.scope, &lowered.consuls, catalog, reader);
        jobs.push(lowered.spec);
        starts.push(lowered.start);
        ports.push((lowered.scope.clone(), lowered.port));
        metrics.push((lowered.scope, lowered.metric));
    }
    name_twins(&mut jobs);
    Jobs { jobs, starts, metrics, ports }
}

/// The later one of two jobs of one name is called `NAME#2`; one that is really called so keeps its name.
pub fn name_twins(jobs: &mut [JobSpec]) {
    let mut taken: BTreeSet<JobName> = jobs.iter().map(|job| job.name.clone()).collect();
    // The first of each name, and the number after that of its last twin.
    let mut seen: HashMap<JobName, (usize, u64)> = HashMap::new();
    for place in 0..jobs.len() {
        let name = jobs[place].name.clone();
        let Some((first, next)) = seen.get_mut(&name) else {
            seen.insert(name, (place, FIRST_TWIN));
            continue;
        };
        let (twin, number) = free_twin(&name, *next, |name| taken.contains(name));
        *next = number + 1;
        jobs[*first].twin_of = Some(name.clone());
        jobs[place].twin_of = Some(name);
        jobs[place].name = twin.clone();
        taken.insert(twin);
    }
}

fn watches(scope: &Scope, field: Field<'_>, catalog: Option<&CatalogSpec>, reader: &mut Reader) -> Vec<WatchSpec> {
    let mut watches = Vec::new();
    for (index, node) in reader.list(scope, field) {
        let unnamed = Scope::new(format!("watches[{index}]"), node);
        let scope = named_scope("watch", &unnamed, node);
        let Some(raw) = reader.read::<Watch<'_>>(&scope, node) else { continue };
        let name = service_name(&unnamed, raw.name, reader);
        let interval = reader.seconds(&scope, raw.interval);
        let mut tags: Vec<String> = reader.string(&scope, raw.tag).into_iter().collect();
        tags.extend(reader.strings(&scope, raw.tags));
        let stale = reader.boolean(&scope, raw.stale).unwrap_or(false);
        let min_instances =
            reader.count(&scope, raw.min_instances, "a number of instances, at least 1").unwrap_or(1) as usize;
        let debounce = reader.duration(&scope, raw.debounce, Duration::ZERO).unwrap_or_default();
        let dc = reader.string(&scope, raw.dc);
        discovery::consuls_alone(&scope, &[raw.dc, raw.stale], catalog, reader);
        let service = looked_up_name(&scope, raw.service, reader);
        let delay = reader.duration(&scope, raw.delay, Duration::ZERO).unwrap_or_default();
        let pauses = reader.boolean(&scope, raw.pause_in_maintenance).unwrap_or(false);
        if let (Some(name), Some(interval)) = (name, interval) {
            let service = service.unwrap_or_else(|| name.clone());
            let name = WatchName::new(name);
            watches.push(WatchSpec {
                name,
                service,
                interval,
                delay,
                tags,
                dc,
                stale,
                min_instances,
                debounce,
                pauses,
            });
        }
    }
    watches
}

/// `job[NAME]` as 3.8 has it, or `jobs[INDEX]` for what has no name.
pub fn named_scope(kind: &str, unnamed: &Scope, node: &Node) -> Scope {
    let super::node::Value::Object(entries) = &node.value else { return unnamed.clone() };
    let name = entries.iter().rev().find(|(key, _)| key.eq_ignore_ascii_case("name")).and_then(|(_, name)| text(name));
    match name {
        Some(name) if !name.is_empty() => Scope::new(format!("{kind}[{}]", super::node::shortened(&name)), node),
        Some(_) | None => unnamed.clone(),
    }
}

/// A name that a catalog can hold; it must be there.
pub fn service_name(scope: &Scope, field: Field<'_>, reader: &mut Reader) -> Option<String> {
    const ACCEPTED: &str = "a service's name (a lower-case letter, then one or more letters, digits and hyphens)";
    let Some(name) = reader.string(scope, field) else {
        reader.problem(scope, field, format!("is blank, it must be {ACCEPTED}"));
        return None;
    };
    let is_valid = is_service_name(&name);
    if !is_valid {
        reader.refuse(scope, field, ACCEPTED);
    }
    is_valid.then_some(name)
}

/// The name of a service that others may have named: an unusual one is warned of.
pub fn looked_up_name(scope: &Scope, field: Field<'_>, reader: &mut Reader) -> Option<String> {
    let name = reader.string(scope, field)?;
    if !is_service_name(&name) {
        let says =
            "is an unusual name for a service (a lower-case letter, then one or more letters, digits and hyphens)";
        reader.warning(scope, field, says);
    }
    Some(name)
}

/// Whether every catalog takes the name.
pub fn is_service_name(name: &str) -> bool {
    name.len() > 1
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// `control`
pub fn control(scope: &Scope, field: Field<'_>, reader: &mut Reader) -> ControlSpec {
    let default = ControlSpec { socket: PathBuf::from(DEFAULT_SOCKET), is_default: true };
    let Some((scope, raw)) = reader.block::<Control<'_>>(scope, field) else { return default };
    let Some(node) = raw.socket.node else { return default };
    match reader.string(&scope, raw.socket) {
        Some(path) if !path.contains('\0') => ControlSpec { socket: PathBuf::from(path), is_default: false },
        Some(_) => {
            reader.refuse(&scope, raw.socket, "a path");
            default
        }
        None => {
            if text(node).is_some() {
                reader.problem(&scope, raw.socket, "is empty, it must be the path of the control socket");
            }
            default
        }
    }
}

/// A problem that stands at a value of a list.
pub fn item_problem(scope: &Scope, field: Field<'_>, index: usize, item: &Node, says: String) -> Problem {
    Problem::value(item, format!("{}[{index}]", scope.path_of(field)), says)
}
