//! From a version 2 config and command line to the same specs that a version 3 config becomes (v2-compat.md).
//!
//! Everything is a job: the main application, hooks, coprocesses, tasks, services, handlers of backends, sensors. What
//! version 3 has no words for is in fields of the spec, and in version 3's own new fields (`-migrate` writes those).

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

use containerpilot_actors::event::{Event, EventCode, JobName, Source, WatchName};
use containerpilot_actors::spec::{
    Backoff, Budget, CatalogSpec, Exec, HealthSpec, JobSpec, Last, LogFormat, LogLevel, LogOutput, LoggingSpec,
    MetricSpec, OnReload, OutputSpec, ServiceSpec, SignalSpec, Spec, StartRule, Stdin, TelemetrySpec, WatchSpec,
};

use super::discovery;
use super::exec;
use super::job::{APP_PID, SHORTEST, command, lapse, pid_variable, restarts};
use super::logging::logging;
use super::lower_v3::{
    Catalogs, NO_CATALOG, Surroundings, catalog, control, looked_up_name, named_scope, stop_timeout,
};
use super::node::{Node, Value};
use super::positions::position;
use super::raw_v2::{Backend, Config, Coprocess, Sensor, Service, Task, Telemetry};
use super::raw_v3::Field;
use super::reader::{Reader, Scope};
use super::says_empty;
use super::zookeeper;
use crate::template::{self, Environment, Rendered};

/// The name of the main application's job: none that a service is likely to have, even after a reload.
const MAIN: &str = "main application";
/// What messages call the words behind the flags.
const COMMAND_LINE: &str = "command line";
/// 2.7's status of whatever cannot be started.
const NOT_STARTED: u8 = 127;

/// The spec of a version 2 config; what is wrong with it is in the reader. Without a command there is no main application
/// (side by side).
pub fn lower(root: &Node, command: &[OsString], surroundings: Surroundings<'_>, reader: &mut Reader) -> Option<Spec> {
    let scope = Scope::new("", root);
    let config: Config<'_> = reader.read(&scope, root)?;
    let catalogs = Catalogs { consul: config.consul, etcd: config.etcd, zookeeper: config.zookeeper };
    if !catalogs.are_written() {
        for field in [config.services, config.backends] {
            if !reader.list(&scope, field).is_empty() {
                reader.doubt(&scope, field, format!("{NO_CATALOG} for these"));
            }
        }
    }
    let mut catalog = catalog(&scope, catalogs, surroundings.environment, reader);
    if let Some(CatalogSpec::Etcd(etcd)) = &mut catalog {
        etcd.warns_of_api2 = !has_api(config.etcd);
    }
    let mut jobs = Jobs::default();
    services(&scope, config.services, surroundings, catalog.as_ref(), &mut jobs, reader);
    let (telemetry, sensors) = telemetry(&scope, config.telemetry, surroundings, reader);
    let all = jobs.jobs.iter().filter_map(|job| job.service.as_ref());
    zookeeper::fit(&mut catalog, all.chain(telemetry.as_ref().map(|telemetry| &telemetry.service)));
    let pre_start = if config.pre_start.node.is_some() { config.pre_start } else { config.on_start };
    if let Some(hook) = hook(&scope, pre_start, "preStart", reader) {
        jobs.add(JobSpec { init: true, required: true, ..hook });
    }
    coprocesses(&scope, config.coprocesses, &mut jobs, reader);
    tasks(&scope, config.tasks, &mut jobs, reader);
    for sensor in sensors {
        jobs.add(sensor);
    }
    let watches = backends(&scope, config.backends, &mut jobs, reader);
    let main = jobs.free(MAIN);
    let at = |code| StartRule::Once(Event::job(code, &main));
    let pre_stop = hook(&scope, config.pre_stop, "preStop", reader);
    let post_stop = hook(&scope, config.post_stop, "postStop", reader);
    if let Some(hook) = pre_stop {
        jobs.add(JobSpec { start: at(EventCode::Terminating), ..hook });
    }
    // It is a hook of the main application: without one nothing ever ends.
    if let Some(hook) = post_stop.filter(|_| !command.is_empty()) {
        jobs.add(JobSpec { start: at(EventCode::Ended), required: true, ..hook });
    }
    let mut spec = Spec {
        jobs: jobs.jobs,
        watches,
        stop_timeout: stop_timeout(&scope, config.stop_timeout, reader),
        stay_up: command.is_empty(),
        signals: SignalSpec { hup_reloads: true, usr1_maintains: true, passed_on: false },
        catalog,
        telemetry,
        control: config.control.node.map(|_| control(&scope, config.control, reader)),
        logging: logging_v2(&scope, config.logging, reader),
        ..Spec::default()
    };
    if command.is_empty() && spec.jobs.is_empty() {
        reader.doubt_of(&scope, "there is nothing to run: no command, no services, tasks, coprocesses or sensors");
    }
    let exec = main_command(command, &spec, surroundings.environment, reader);
    spec.jobs.push(JobSpec { not_started: Some(NOT_STARTED), ..main_job(main, exec) });
    // 2.7: what a command leaves behind when it ends by itself goes on.
    spec.jobs.iter_mut().for_each(|job| job.keeps_daemons = true);
    Some(spec)
}

/// Whether somebody has chosen an API of etcd. 2.7 spoke API 2, and had nothing to choose.
fn has_api(etcd: Field<'_>) -> bool {
    let entries = etcd.node.map_or(&[][..], super::entries);
    entries.iter().any(|(key, value)| key.eq_ignore_ascii_case("api") && !value.is_null())
}

/// A command without any config: a plain init, which passes every signal on.
pub fn only_command(command: &[OsString]) -> Spec {
    let main = JobSpec { stdin: Stdin::OursWithJobControl, ..main_job(JobName::new(MAIN), exec_of(command.to_vec())) };
    Spec {
        jobs: vec![main],
        signals: SignalSpec { passed_on: true, ..SignalSpec::default() },
        logging: LoggingSpec { level: LogLevel::Error, output: LogOutput::Stderr, ..LoggingSpec::default() },
        ..Spec::default()
    }
}

fn exec_of(words: Vec<OsString>) -> Option<Exec> {
    let mut words = words.into_iter();
    words.next().map(|program| Exec { program, args: words.collect() })
}

fn main_job(name: JobName, exec: Option<Exec>) -> JobSpec {
    JobSpec {
        main: exec.is_some(),
        exec,
        on_reload: OnReload::Keep,
        stdin: Stdin::Ours,
        term_process: true,
        output: OutputSpec { raw: true, ..OutputSpec::default() },
        pid_variables: vec![APP_PID.into()],
        ..JobSpec::new(name)
    }
}

/// The main application's command line: each word is a template, or else all are what they are.
fn main_command(command: &[OsString], spec: &Spec, environment: &Environment, reader: &mut Reader) -> Option<Exec> {
    let bytes = |text: OsString| text.into_vec();
    let addresses = spec.address_variables().into_iter().map(|(name, value)| (bytes(name), bytes(value)));
    let given = environment.iter().map(|(name, value)| (name.to_vec(), value.to_vec()));
    let environment: Environment = addresses.chain(given).collect();
    let rendered: Result<Vec<Rendered>, _> =
        command.iter().map(|word| template::render_traced(COMMAND_LINE, word.as_bytes(), &environment)).collect();
    let words = match rendered {
        Ok(rendered) => {
            for (word, unset) in
                command.iter().zip(&rendered).flat_map(|(word, text)| text.unset.iter().map(move |unset| (word, unset)))
            {
                let place = position(&word.to_string_lossy(), unset.at);
                reader.remarks.push(format!("{COMMAND_LINE}:{place}: {}", says_empty(unset)));
            }
            rendered.into_iter().map(|rendered| OsString::from_vec(rendered.text)).collect()
        }
        Err(cause) => {
            reader.errors.push(format!("{cause}; the command line is used as it is written"));
            command.to_vec()
        }
    };
    exec_of(words)
}

/// The jobs so far, each with a name of its own.
#[derive(Default)]
struct Jobs {
    jobs: Vec<JobSpec>,
}

impl Jobs {
    /// The name, or one like it that no job has.
    fn free(&self, name: &str) -> JobName {
        let taken = |name: &str| self.jobs.iter().any(|job| job.name.as_str() == name);
        let mut names = std::iter::once(name.to_owned()).chain((2..).map(|number| format!("{name}#{number}")));
        JobName::new(names.find(|name| !taken(name)).unwrap_or_default())
    }

    fn add(&mut self, job: JobSpec) {
        let name = self.free(job.name.as_str());
        self.jobs.push(JobSpec { name, ..job });
    }
}

/// Version 2's own default looks like Go's `log`.
fn logging_v2(scope: &Scope, field: Field<'_>, reader: &mut Reader) -> LoggingSpec {
    let spec = logging(scope, field, reader);
    let format = if spec.format == LogFormat::Default { LogFormat::Stamp } else { spec.format };
    LoggingSpec { format, ..spec }
}

/// Output goes to the log with these fields.
fn logged(fields: &[(&str, &str)]) -> OutputSpec {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    OutputSpec { fields, ..OutputSpec::default() }
}

/// A command that has to be there.
fn needed_command(scope: &Scope, field: Field<'_>, reader: &mut Reader) -> Option<Exec> {
    if field.node.is_none() {
        reader.problem(scope, field, "is missing, it must be a command line");
    }
    command(scope, field, reader)
}

/// What looks for a service in a catalog, or is one; it must be there.
fn service_name(scope: &Scope, field: Field<'_>, reader: &mut Reader) -> Option<String> {
    let name = looked_up_name(scope, field, reader);
    if name.is_none() {
        reader.problem(scope, field, "is blank, it must be a name");
    }
    name
}

/// What a limit was written as: 2.7 told it so.
fn as_written(field: Field<'_>) -> Option<String> {
    field.node.and_then(super::reader::text)
}

fn hook(scope: &Scope, field: Field<'_>, name: &str, reader: &mut Reader) -> Option<JobSpec> {
    Some(JobSpec {
        exec: Some(command(scope, field, reader)?),
        output: OutputSpec { raw: true, ..OutputSpec::default() },
        pid_variables: vec![pid_variable(name)],
        not_started: Some(NOT_STARTED),
        ..JobSpec::new(JobName::new(name))
    })
}

fn coprocesses(scope: &Scope, field: Field<'_>, jobs: &mut Jobs, reader: &mut Reader) {
    for (index, node) in reader.list(scope, field) {
        let scope = named_scope("coprocess", &Scope::new(format!("coprocesses[{index}]"), node), node);
        let Some(raw) = reader.read::<Coprocess<'_>>(&scope, node) else { continue };
        let name = reader.string(&scope, raw.name);
        let start = StartRule::Once(Event::STARTUP);
        let restarts = restarts(&scope, raw.restarts, &start, false, reader);
        let Some(exec) = needed_command(&scope, raw.command, reader) else { continue };
        // A whole command line is a name for the log, but none for a variable.
        let pid_variable = pid_variable(name.as_deref().unwrap_or(&exec.program.to_string_lossy()));
        let name = name.unwrap_or_else(|| exec::joined(&exec));
        jobs.add(JobSpec {
            exec: Some(exec),
            restarts,
            // A number of restarts comes to an end anyway, so that they can be at once, as in 2.7.
            backoff: if has_end(restarts) { None } else { Some(Backoff::default()) },
            last: Last::Yes,
            on_reload: OnReload::Restart,
            pid_variables: vec![pid_variable],
            output: logged(&[("process", "coprocess"), ("coprocess", &name)]),
            ..JobSpec::new(JobName::new(format!("coprocess[{name}]")))
        });
    }
}

/// Whether there are some restarts, and then no more.
pub fn has_end(restarts: Budget) -> bool {
    matches!(restarts, Budget::Limited(1..))
}

/// A job that runs at this pace, the first time after as long.
fn periodic(name: String, exec: Exec, every: Duration, timeout: Option<Duration>) -> JobSpec {
    JobSpec {
        exec: Some(exec),
        start: StartRule::Interval(every),
        delay: Some(every),
        restarts: Budget::Unlimited,
        timeout,
        last: Last::Yes,
        pauses: true,
        on_reload: OnReload::Replace,
        ..JobSpec::new(JobName::new(name))
    }
}

fn tasks(scope: &Scope, field: Field<'_>, jobs: &mut Jobs, reader: &mut Reader) {
    for (index, node) in reader.list(scope, field) {
        let scope = named_scope("task", &Scope::new(format!("tasks[{index}]"), node), node);
        let Some(raw) = reader.read::<Task<'_>>(&scope, node) else { continue };
        let name = reader.string(&scope, raw.name);
        let frequency = reader.duration(&scope, raw.frequency, SHORTEST);
        let is_blank = |node: &Node| matches!(&node.value, Value::String(text) if text.is_empty());
        if raw.frequency.node.is_none_or(is_blank) {
            reader.refuse(&scope, raw.frequency, super::duration::ACCEPTED);
        }
        let timeout = reader.duration(&scope, raw.timeout, SHORTEST);
        let exec = needed_command(&scope, raw.command, reader);
        let (Some(frequency), Some(exec)) = (frequency, exec) else { continue };
        let name = name.unwrap_or_else(|| exec::joined(&exec));
        let output = logged(&[("process", "task"), ("task", &name)]);
        let task = periodic(format!("task[{name}]"), exec, frequency, timeout.or(Some(frequency)));
        let timeout_text = timeout.and(as_written(raw.timeout)).or_else(|| as_written(raw.frequency));
        jobs.add(JobSpec { output, timeout_text, ..task });
    }
}

fn services(
    scope: &Scope,
    field: Field<'_>,
    surroundings: Surroundings<'_>,
    catalog: Option<&CatalogSpec>,
    jobs: &mut Jobs,
    reader: &mut Reader,
) {
    const PORT: &str = "a port (a number from 1 to 65535)";
    let mut places: HashMap<String, usize> = HashMap::new();
    for (index, node) in reader.list(scope, field) {
        let unnamed = Scope::new(format!("services[{index}]"), node);
        let scope = named_scope("service", &unnamed, node);
        let Some(raw) = reader.read::<Service<'_>>(&scope, node) else { continue };
        let name = service_name(&unnamed, raw.name, reader);
        let written = reader.integer(&scope, raw.port, PORT);
        let port = written.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
        if port.is_none() && (written.is_some() || raw.port.node.is_none()) {
            reader.refuse(&scope, raw.port, PORT);
        }
        let (poll, ttl) = (reader.seconds(&scope, raw.poll), reader.seconds(&scope, raw.ttl));
        lapse(&scope, raw.ttl, [ttl, poll], "poll", true, reader);
        let timeout = reader.limit(&scope, raw.timeout);
        let exec = command(&scope, raw.health, reader);
        let tags = reader.one_or_more(&scope, raw.tags);
        let (enable_tag_override, deregister_critical_after) =
            discovery::consul_extras(&scope, raw.consul, true, reader);
        discovery::consuls_alone(&scope, &[raw.consul], catalog, reader);
        let (interfaces, address) = discovery::address(&scope, raw.interfaces, surroundings.host, reader);
        let (Some(name), Some(port), Some(interval), Some(ttl), Some(address)) = (name, port, poll, ttl, address)
        else {
            continue;
        };
        let first = *places.entry(name.clone()).or_insert(index);
        if first < index {
            let says =
                format!("`{name}` is the name of services[{first}] too: both are checked, and this one is registered");
            reader.doubt(&unnamed, raw.name, says);
        }
        let id = discovery::service_id(&name, surroundings.host);
        let output = logged(&[("process", "health"), ("serviceName", &name), ("serviceID", &id)]);
        let service = ServiceSpec {
            check_id: Some(id.clone()),
            id,
            port,
            address,
            interfaces,
            tags,
            ttl,
            interval,
            enable_tag_override,
            deregister_critical_after,
            ..ServiceSpec::new(&name)
        };
        jobs.add(JobSpec {
            health: Some(HealthSpec {
                exec,
                interval,
                ttl,
                timeout,
                timeout_text: timeout.and(as_written(raw.timeout)),
                failures: None,
                output,
            }),
            service: Some(service),
            // It leaves the catalog before `preStop` when we are asked to end, else after `postStop`.
            last: Last::UnlessAsked,
            on_reload: OnReload::Restart,
            ..JobSpec::new(JobName::new(name))
        });
    }
    let names: Vec<Option<String>> =
        jobs.jobs.iter().map(|job| job.service.as_ref().map(|service| service.name.clone())).collect();
    for (job, name) in jobs.jobs.iter_mut().zip(&names) {
        let is_shared = name.is_some() && names.iter().filter(|other| *other == name).count() > 1;
        job.twin_of = name.as_ref().filter(|_| is_shared).map(|name| JobName::new(&**name));
    }
}

fn backends(scope: &Scope, field: Field<'_>, jobs: &mut Jobs, reader: &mut Reader) -> Vec<WatchSpec> {
    let mut watches: Vec<WatchSpec> = Vec::new();
    for (index, node) in reader.list(scope, field) {
        let unnamed = Scope::new(format!("backends[{index}]"), node);
        let scope = named_scope("backend", &unnamed, node);
        let Some(raw) = reader.read::<Backend<'_>>(&scope, node) else { continue };
        let service = service_name(&unnamed, raw.name, reader);
        let poll = reader.seconds(&scope, raw.poll);
        let tag = reader.string(&scope, raw.tag);
        let timeout = reader.limit(&scope, raw.timeout);
        let exec = needed_command(&scope, raw.on_change, reader);
        let (Some(service), Some(interval), Some(exec)) = (service, poll, exec) else { continue };
        // Several may look for one name: with a tag each, or even without.
        let wanted = match &tag {
            Some(tag) => format!("{service}.{tag}"),
            None => service.clone(),
        };
        let mut names = std::iter::once(wanted.clone()).chain((2..).map(|number| format!("{wanted}#{number}")));
        let is_free = |name: &String| watches.iter().all(|watch| watch.name.as_str() != name);
        let name = WatchName::new(names.find(is_free).unwrap_or(wanted));
        jobs.add(JobSpec {
            exec: Some(exec),
            start: StartRule::Each(Event::new(EventCode::StatusChanged, Source::Watch(name.clone()))),
            merges: true,
            timeout,
            timeout_text: timeout.and(as_written(raw.timeout)),
            last: Last::Yes,
            pauses: true,
            on_reload: OnReload::Replace,
            output: logged(&[("process", "onChange"), ("backend", &service)]),
            ..JobSpec::new(JobName::new(format!("backend[{name}]")))
        });
        watches.push(WatchSpec {
            name,
            service,
            interval,
            delay: interval,
            tags: tag.into_iter().collect(),
            dc: None,
            stale: false,
            min_instances: 1,
            debounce: Duration::ZERO,
            pauses: true,
        });
    }
    watches
}

/// The metrics server, and the jobs that measure.
fn telemetry(
    scope: &Scope,
    field: Field<'_>,
    surroundings: Surroundings<'_>,
    reader: &mut Reader,
) -> (Option<TelemetrySpec>, Vec<JobSpec>) {
    let Some((scope, raw)) = reader.block::<Telemetry<'_>>(scope, field) else { return (None, Vec::new()) };
    let (mut metrics, mut sensors) = (Vec::new(), Vec::new());
    for (index, node) in reader.list(&scope, raw.sensors) {
        let scope = Scope::new(format!("{}[{index}]", scope.path_of(raw.sensors)), node);
        sensors.extend(sensor(&scope, node, &mut metrics, reader));
    }
    let tags = reader.one_or_more(&scope, raw.tags);
    let server = discovery::Server { port: raw.port, interfaces: raw.interfaces };
    let telemetry = discovery::server(&scope, server, tags, surroundings, reader);
    let service = ServiceSpec { check_id: Some(telemetry.service.id.clone()), ..telemetry.service };
    (Some(TelemetrySpec { metrics, service, must_listen: true, ..telemetry }), sensors)
}

fn sensor(scope: &Scope, node: &Node, metrics: &mut Vec<MetricSpec>, reader: &mut Reader) -> Option<JobSpec> {
    let raw: Sensor<'_> = reader.read(scope, node)?;
    let fields =
        discovery::MetricFields { parts: [raw.namespace, raw.subsystem, raw.name], help: raw.help, kind: raw.kind };
    let metric = discovery::metric(scope, fields, reader);
    let poll = reader.seconds(scope, raw.poll);
    let timeout = reader.limit(scope, raw.timeout);
    let exec = needed_command(scope, raw.check, reader);
    let metric = metric?;
    let name = metric.full_name.clone();
    discovery::add_metric(scope, metrics, metric, reader);
    let sensor = periodic(format!("sensor[{name}]"), exec?, poll?, timeout);
    Some(JobSpec { metric: Some(name), timeout_text: timeout.and(as_written(raw.timeout)), ..sensor })
}

#[cfg(test)]
mod tests;
