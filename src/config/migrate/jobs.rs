//! What version 2 calls an application, a hook, a coprocess, a task, a service, a backend or a sensor is a job.

use std::collections::HashMap;

use containerpilot_actors::event::Event;
use containerpilot_actors::spec::StartRule;

use crate::config::job::{pid_variable, restarts};
use crate::config::lower_v2::has_end;
use crate::config::lower_v3::is_service_name;
use crate::config::node::{Node, Value};
use crate::config::raw_v2::{Backend, Config, Coprocess, Sensor, Service, Task, Telemetry};
use crate::config::raw_v3::Field;
use crate::config::reader::{Scope, text};
use crate::config::unrendered::{Guard, exclude};
use crate::config::writer::{Doc, Part};

use super::draft::{Draft, copy};
use super::names::{Names, as_name, as_service_name};
use super::{Command, Migration};

/// The main application's job, unless it is one with a service.
const MAIN: &str = "app";
/// What a hook waits for if there is no main application.
const SIDE_BY_SIDE: &str = "side-by-side";

/// A service, and the name of its job.
struct Named<'a> {
    scope: Scope,
    node: &'a Node,
    raw: Service<'a>,
    name: String,
    /// Whether it is in the catalog: another one of its name may be.
    comment: Option<String>,
}

/// What a job is called, in the config and in the log.
struct Called {
    job: String,
    in_log: String,
    comment: Option<String>,
}

impl Migration<'_> {
    /// All but those that react to backends and that measure, in the order in which they start.
    pub(super) fn jobs(&mut self, scope: &Scope, config: &Config<'_>, command: &Command) -> Vec<Draft> {
        // Names that others know go before names that we choose.
        let mut services = self.services(scope, config.services);
        let has_main = !command.words.is_empty();
        // One that is not always there cannot be one with the application.
        let is_always = |service: &Named<'_>| self.actions.layout.guards(service.node.id).is_empty();
        let merged = if has_main && services.len() == 1 { services.pop_if(|service| is_always(service)) } else { None };
        let main = match &merged {
            Some(service) => service.name.clone(),
            None => self.free(if has_main { MAIN } else { SIDE_BY_SIDE }, &[]),
        };
        let pre_start = self.pre_start(scope, config);
        let pre_stop: Vec<Draft> = self.hook("preStop", config.pre_stop);
        let has_pre_stop = !pre_stop.is_empty();
        let pre_stop = pre_stop.into_iter().map(|job| job.at(&main, "once", "terminating").raw());
        let post_stop = self.hook("postStop", config.post_stop).into_iter();
        let post_stop = post_stop.map(|job| job.at(&main, "once", "ended").with("required", true).raw());
        let mut jobs: Vec<Draft> = pre_start;
        jobs.extend(self.coprocesses(scope, config.coprocesses));
        for service in services {
            let job = Draft::job(&service.name).with("stopLast", "unlessAsked").with("restartOnReload", true);
            let job = self.service(&service, job.of(service.node));
            jobs.push(job.said(service.comment));
        }
        if has_main {
            jobs.push(self.main(&main, command, merged));
        } else if has_pre_stop {
            // Without a command it goes on until we are asked to stop.
            jobs.push(Draft::job(&main).with("restartOnReload", false));
        }
        jobs.extend(pre_stop);
        if has_main {
            jobs.extend(post_stop);
        } else if config.post_stop.node.is_some() {
            let comment = self.note(scope, config.post_stop, "is left out: without a main application it is never run");
            self.head.push(comment);
        }
        jobs.extend(self.tasks(scope, config.tasks));
        jobs
    }

    fn free(&mut self, wanted: &str, guards: &[Guard]) -> String {
        self.names.take(&[wanted.to_owned()], guards)
    }

    /// What is a name only when it has been rendered stays as it is.
    fn unless_rendered(&self, text: &str, name: impl FnOnce(&str) -> String) -> String {
        if self.actions.are_in(text) { text.to_owned() } else { name(text) }
    }

    /// A hook: a job for each command line that it may have.
    fn hook(&mut self, name: &str, field: Field<'_>) -> Vec<Draft> {
        let Some(node) = field.node else { return Vec::new() };
        let mut jobs = Vec::new();
        for choice in self.actions.choices(node) {
            let name = self.free(name, &self.actions.layout.guards(choice.id));
            jobs.push(Draft::job(&name).with("exec", copy(choice)).of(choice));
        }
        jobs
    }

    fn pre_start(&mut self, scope: &Scope, config: &Config<'_>) -> Vec<Draft> {
        let (pre_start, on_start) = (config.pre_start, config.on_start);
        let jobs = |jobs: Vec<Draft>| jobs.into_iter().map(|job| job.with("init", true).raw());
        let (Some(first), Some(second)) = (pre_start.node, on_start.node) else {
            let hook = if pre_start.node.is_some() { pre_start } else { on_start };
            return jobs(self.hook("preStart", hook)).collect();
        };
        let guards = |node: &Node| self.actions.layout.guards(node.id);
        let (firsts, seconds) = (self.actions.choices(first), self.actions.choices(second));
        if seconds.iter().all(|second| firsts.iter().all(|first| exclude(&guards(first), &guards(second)))) {
            let both = jobs(self.hook("preStart", pre_start)).collect::<Vec<_>>();
            return both.into_iter().chain(jobs(self.hook("preStart", on_start))).collect();
        }
        if firsts.iter().any(|first| !guards(first).is_empty()) {
            self.refuse(second, "whether this is left out depends on whether `preStart` is there");
        }
        let comment = self.note(scope, on_start, "is left out: `preStart` goes before it");
        jobs(self.hook("preStart", pre_start)).map(|job| job.said([comment.clone()])).collect()
    }

    fn main(&mut self, name: &str, command: &Command, service: Option<Named<'_>>) -> Draft {
        let words = command.words.iter().map(|word| Part::item(Doc::Text(word.clone()))).collect();
        let mut job = Draft::job(name).with("exec", Doc::List(words));
        let scope = Scope::new("command line", &Node { id: 0, value: Value::Null });
        for says in &command.notes {
            job = job.noted(self.note_of(&scope, says));
        }
        job = job.with("main", true).with("stdin", true).with("termGroup", false).with("restartOnReload", false);
        if let Some(service) = service {
            let says = "is one job with the application: no reload touches it, and it leaves the catalog with it";
            job = job.said([self.note_of(&service.scope, says)]);
            job = self.service(&service, job.of(service.node)).said(service.comment);
        }
        job.raw()
    }

    /// The given name if it is one, or that of the program.
    fn called(&mut self, kind: &str, item: (&Scope, &Node), name: Field<'_>, command: Field<'_>) -> Called {
        let (scope, guards) = (item.0, self.actions.layout.guards(item.1.id));
        // What is rendered to nothing is no name, in version 2 either.
        let given = self.reader.string(scope, name).filter(|given| !self.actions.are_comments(given));
        let Some(given) = given else {
            let line = command_line(command);
            let program = line.split(' ').next().unwrap_or_default();
            let program = if self.actions.are_in(program) { kind } else { program };
            let mut wanted = as_name(program.rsplit('/').next().unwrap_or(program), kind);
            if self.actions.layout.is_repeated(item.1.id) {
                // Each round has a name of its own, if something tells the rounds apart.
                wanted.extend(self.actions.marks_in(&line).map(|mark| format!("-{mark}")));
            }
            let job = self.free(&wanted, &guards);
            let in_log = if self.actions.is_bare(&line) { job.clone() } else { line };
            return Called { job, in_log, comment: None };
        };
        let wanted = self.unless_rendered(&given, |given| as_name(given, kind));
        let job = self.free(&wanted, &guards);
        if job == given {
            return Called { job, in_log: given, comment: None };
        }
        let why = if wanted == given { "is the name of another job" } else { "is no name for a job" };
        let mut says = format!("`{given}` {why}: it is `{job}` here");
        if kind == "coprocess" && pid_variable(&given) != pid_variable(&job) {
            says.push_str(&format!(", and its pid is in {}", pid_variable(&job).to_string_lossy()));
        }
        let comment = Some(self.note(scope, name, &says));
        Called { job, in_log: given, comment }
    }

    fn coprocesses(&mut self, scope: &Scope, field: Field<'_>) -> Vec<Draft> {
        let mut jobs = Vec::new();
        for (index, node) in self.items(scope, field) {
            let scope = Scope::new(format!("coprocesses[{index}]"), node);
            let Some(raw) = self.reader.read::<Coprocess<'_>>(&scope, node) else { continue };
            let called = self.called("coprocess", (&scope, node), raw.name, raw.command);
            let job = Draft::job(&called.job).of(node).written("exec", raw.command).written("restarts", raw.restarts);
            let job = self.unpaced((&scope, node), raw.restarts, job).beside();
            let job = self.logged(job, &[("process", "coprocess"), ("coprocess", &called.in_log)]);
            jobs.push(job.said(called.comment));
        }
        jobs
    }

    /// A number of restarts are at once, as long as it is known that it is one.
    fn unpaced(&mut self, (scope, item): (&Scope, &Node), field: Field<'_>, job: Draft) -> Draft {
        let Some(node) = field.node else { return job };
        let is_unknown = |node: &Node| text(node).is_some_and(|text| self.actions.are_in(&text));
        if self.actions.choices(node).iter().any(is_unknown) {
            let says = "if this is a number, add `backoff: \"none\"`, and the restarts are at once, as they were";
            return job.noted(self.note(scope, field, says));
        }
        let within = self.actions.layout.guards(item.id);
        let backoff = self.each_choice(field, &within, |migration, field| {
            let start = StartRule::Once(Event::STARTUP);
            let restarts = restarts(scope, field, &start, false, &mut migration.reader);
            Some(if has_end(restarts) { Doc::from("none") } else { Doc::Word("null".to_owned()) })
        });
        match backoff.filter(|backoff| *backoff != Doc::Word("null".to_owned())) {
            Some(backoff) => job.with("backoff", backoff),
            None => job,
        }
    }

    fn tasks(&mut self, scope: &Scope, field: Field<'_>) -> Vec<Draft> {
        let mut jobs = Vec::new();
        for (index, node) in self.items(scope, field) {
            let scope = Scope::new(format!("tasks[{index}]"), node);
            let Some(raw) = self.reader.read::<Task<'_>>(&scope, node) else { continue };
            let called = self.called("task", (&scope, node), raw.name, raw.command);
            let frequency = raw.frequency.node.map_or_else(|| Doc::from(""), copy);
            let job = Draft::job(&called.job).of(node).written("exec", raw.command).every(frequency);
            let job = job.limited(raw.timeout, None).now_and_then();
            let job = self.logged(job, &[("process", "task"), ("task", &called.in_log)]);
            jobs.push(job.said(called.comment));
        }
        jobs
    }

    /// The services with the names of their jobs, which are those in the catalog.
    fn services<'n>(&mut self, scope: &Scope, field: Field<'n>) -> Vec<Named<'n>> {
        // Services of one name are jobs of one name.
        let (mut services, mut named) = (Vec::new(), HashMap::<String, String>::new());
        for (index, node) in self.items(scope, field) {
            let scope = Scope::new(format!("services[{index}]"), node);
            let Some(raw) = self.reader.read::<Service<'_>>(&scope, node) else { continue };
            let given = self.reader.string(&scope, raw.name).unwrap_or_default();
            let guards = self.actions.layout.guards(node.id);
            let wanted = self.unless_rendered(&given, as_service_name);
            let name = match named.get(&given) {
                Some(name) => name.clone(),
                None => self.names.take_registered(&wanted, &guards),
            };
            named.insert(given.clone(), name.clone());
            let comment = (name != given).then(|| {
                let says =
                    format!("`{given}` is no name for a job with a port: it is `{name}` here, and in the catalog");
                self.note(&scope, raw.name, &says)
            });
            services.push(Named { scope, node, raw, name, comment });
        }
        services
    }

    fn service(&mut self, service: &Named<'_>, job: Draft) -> Draft {
        let Named { scope, raw, name, .. } = service;
        let mut health = Draft::default().written("exec", raw.health);
        health = health.with("interval", self.seconds(scope, raw.poll)).with("ttl", self.seconds(scope, raw.ttl));
        if raw.health.node.is_some() {
            health = health.limited(raw.timeout, Some("0s"));
            health = self.logged(health, &[("process", "health"), ("serviceName", name)]);
            if self.shows_fields {
                let says = "records of its checks have no field `serviceID` any more";
                health = health.noted(self.note(scope, raw.health, says));
            }
        }
        let job =
            job.written("port", raw.port).written("interfaces", raw.interfaces).list("tags", raw.tags, self.actions);
        job.written("consul", raw.consul).with("health", health.object())
    }

    /// Whole seconds, or what is rendered to some.
    fn seconds(&mut self, scope: &Scope, field: Field<'_>) -> Doc {
        match self.reader.seconds(scope, field) {
            Some(seconds) => Doc::Word(seconds.as_secs().to_string()),
            None => field.node.map_or_else(|| Doc::from(""), copy),
        }
    }

    /// Watches, and the jobs that their changes start.
    pub(super) fn backends(&mut self, scope: &Scope, field: Field<'_>) -> (Vec<Part>, Vec<Draft>) {
        let (mut watches, mut jobs, mut names) = (Vec::new(), Vec::new(), Names::default());
        for (index, node) in self.items(scope, field) {
            let scope = Scope::new(format!("backends[{index}]"), node);
            let Some(raw) = self.reader.read::<Backend<'_>>(&scope, node) else { continue };
            let service = self.reader.string(&scope, raw.name).unwrap_or_default();
            let tag = self.reader.string(&scope, raw.tag);
            // What is rendered may be no name for a watch. Several may look for one name: with a tag each, or even without.
            // In a loop it has to be a part of one, to tell the rounds apart.
            let mut wanted = vec![if !self.actions.are_in(&service) {
                as_service_name(&service)
            } else if self.actions.layout.is_repeated(node.id) {
                format!("backend-{service}")
            } else {
                "backend".to_owned()
            }];
            let tagged = tag.map(|tag| format!("{}-{tag}", wanted[0]));
            wanted.extend(tagged.filter(|name| is_service_name(name)));
            let guards = self.actions.layout.guards(node.id);
            let name = names.take(&wanted, &guards);
            let watch = Draft::default().with("name", name.as_str());
            let watch = if name == service { watch } else { watch.with("service", service.as_str()) };
            let poll = self.seconds(&scope, raw.poll);
            let watch = watch.with("interval", poll.clone()).with("delay", poll).filled("tag", raw.tag);
            let watch = watch.with("pauseInMaintenance", true);
            watches.push(Part { id: Some(node.id), ..Part::item(watch.object()) });
            let job =
                Draft::job(&self.free(&format!("{name}-changed"), &guards)).of(node).written("exec", raw.on_change);
            let job = job.at_changes(&name).limited(raw.timeout, None).now_and_then();
            jobs.push(self.logged(job, &[("process", "onChange"), ("backend", &service)]));
        }
        (watches, jobs)
    }

    /// The metrics server, and the jobs that measure.
    pub(super) fn telemetry(&mut self, scope: &Scope, field: Field<'_>) -> (Option<Doc>, Vec<Draft>) {
        let mut jobs = Vec::new();
        let doc = self.each_choice(field, &[], |migration, field| {
            let (doc, more) = migration.one_telemetry(scope, field)?;
            jobs.extend(more);
            Some(doc)
        });
        (doc, jobs)
    }

    fn one_telemetry(&mut self, scope: &Scope, field: Field<'_>) -> Option<(Doc, Vec<Draft>)> {
        let (scope, raw) = self.reader.block::<Telemetry<'_>>(scope, field)?;
        let within = field.node.map(|node| self.actions.layout.guards(node.id)).unwrap_or_default();
        let (mut metrics, mut jobs) = (Vec::new(), Vec::new());
        for (index, node) in self.items(&scope, raw.sensors) {
            let scope = Scope::new(format!("telemetry.sensors[{index}]"), node);
            let Some(raw) = self.reader.read::<Sensor<'_>>(&scope, node) else { continue };
            let metric = Draft::default().filled("namespace", raw.namespace).filled("subsystem", raw.subsystem);
            let metric = metric.written("name", raw.name).written("help", raw.help).written("type", raw.kind);
            metrics.push(Part { id: Some(node.id), ..Part::item(metric.object()) });
            jobs.push(self.sensor(&scope, node, &raw));
        }
        let telemetry = Draft::default().written("port", raw.port).written("interfaces", raw.interfaces);
        let mut telemetry = telemetry.list("tags", raw.tags, self.actions).with("required", true);
        if !metrics.is_empty() {
            telemetry = telemetry.with("metrics", Doc::List(self.actions.layout.laid_out(metrics, &within)));
        }
        Some((telemetry.object(), jobs))
    }

    fn sensor(&mut self, scope: &Scope, node: &Node, raw: &Sensor<'_>) -> Draft {
        let parts = [raw.namespace, raw.subsystem, raw.name].map(|part| self.reader.string(scope, part));
        let metric = parts.into_iter().flatten().collect::<Vec<_>>().join("_");
        let poll = self.seconds(scope, raw.poll);
        let guards = self.actions.layout.guards(node.id);
        let job = Draft::job(&self.free(&metric, &guards))
            .of(node)
            .written("exec", raw.check)
            .with("metric", metric.as_str());
        job.every(poll).limited(raw.timeout, Some("none")).now_and_then()
    }
}

/// A command as one text.
fn command_line(field: Field<'_>) -> String {
    match field.node.map(|node| &node.value) {
        Some(Value::List(items)) => items.iter().map(Node::go_text).collect::<Vec<_>>().join(" "),
        Some(Value::String(text)) => text.split_ascii_whitespace().collect::<Vec<_>>().join(" "),
        Some(Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::Object(_)) | None => {
            String::new()
        }
    }
}
