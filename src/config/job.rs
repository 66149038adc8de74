//! One job: from the block as written to its spec.

use std::ffi::OsString;
use std::time::Duration;

use containerpilot_actors::event::{Event, JobName, Source};
use containerpilot_actors::spec::{
    Backoff, Budget, Exec, HealthSpec, InitialStatus, JobSpec, Last, OnReload, ServiceSpec, StartRule, Stdin,
};
use containerpilot_actors::sys;

use super::discovery;
use super::exec;
use super::logging::output;
use super::lower_v3::{Surroundings, named_scope, service_name};
use super::node::{Node, Value};
use super::problem::{Problem, nearest};
use super::raw_v3::{self, Field, Health, Job, When};
use super::reader::{Reader, Scope, text, truth, whole_part};
use super::starts::{self, Start};

/// A process takes longer to start.
pub const SHORTEST: Duration = Duration::from_millis(1);
/// The variable with the pid of the main application.
pub const APP_PID: &str = "CONTAINERPILOT_APP_PID";

/// A job, and what is needed to speak of it.
pub struct Lowered<'a> {
    /// What the runtime starts from.
    pub spec: JobSpec,
    /// Where it stands.
    pub scope: Scope,
    /// Its name as written.
    pub name: Field<'a>,
    /// Its `main` as written.
    pub main: Field<'a>,
    /// Its `metric` as written.
    pub metric: Field<'a>,
    /// Its `port` as written.
    pub port: Field<'a>,
    /// What its start is written as.
    pub start: Start<'a>,
    /// What it says that only Consul knows what to do with.
    pub consuls: [Field<'a>; 4],
}

/// The spec of `jobs[index]`; none if it is no object.
pub fn lower<'a>(
    index: usize,
    node: &'a Node,
    surroundings: Surroundings<'_>,
    reader: &mut Reader,
) -> Option<Lowered<'a>> {
    let unnamed = Scope::new(format!("jobs[{index}]"), node);
    let scope = named_scope("job", &unnamed, node);
    let raw: Job<'a> = reader.read(&scope, node)?;
    let port = port(&scope, raw.port, reader);
    let name = match port {
        Some(_) => service_name(&unnamed, raw.name, reader),
        None => name(&unnamed, raw.name, reader),
    };
    let name = name.unwrap_or_default();
    let (start, wait_timeout, delay, written) = start(&scope, raw.when, reader);
    let health = health(&scope, raw.health, port.is_some(), reader);
    let service = service(&scope, &raw, port, &name, health.as_ref(), surroundings, reader);
    let is_on = |field, reader: &mut Reader| reader.boolean(&scope, field);
    let main = is_on(raw.main, reader).unwrap_or(false);
    let init = is_on(raw.init, reader).unwrap_or(false);
    let mut pid_variables = vec![pid_variable(&name)];
    // 2.7's name for the pid of the main application.
    pid_variables.extend(main.then(|| APP_PID.into()));
    pid_variables.dedup();
    let spec = JobSpec {
        timeout_text: None,
        name: JobName::new(name),
        merges: written.merges,
        delay,
        init,
        required: init || is_on(raw.required, reader).unwrap_or(false),
        last: last(&scope, raw.stop_last, reader),
        on_reload: on_reload(&scope, raw.restart_on_reload, reader),
        pauses: is_on(raw.pause_in_maintenance, reader).unwrap_or(false),
        stdin: if is_on(raw.stdin, reader).unwrap_or(false) { Stdin::Ours } else { Stdin::Empty },
        keeps_daemons: false,
        twin_of: None,
        term_process: !is_on(raw.term_group, reader).unwrap_or(true),
        metric: reader.string(&scope, raw.metric),
        pid_variables,
        exec: command(&scope, raw.exec, reader),
        wait_timeout,
        restarts: restarts(&scope, raw.restarts, &start, written.each, reader),
        timeout: timeout(&scope, raw.timeout, &start, reader),
        stop_timeout: reader.limit(&scope, raw.stop_timeout),
        backoff: backoff(&scope, raw.backoff, reader),
        not_started: None,
        main,
        output: output(&scope, raw.logging, reader),
        env: env(&scope, raw.env, reader),
        start,
        health,
        service,
    };
    let consuls = [raw.consul, raw.meta, raw.weights, raw.tagged_addresses];
    if [raw.exec, raw.port, raw.health].iter().all(|field| field.node.is_none()) {
        reader.doubt_of(&scope, "does nothing: it has neither `exec` nor `port` nor `health`");
    }
    let start = Start { health: raw.health, job: scope.clone(), ..written };
    Some(Lowered { spec, name: raw.name, main: raw.main, metric: raw.metric, port: raw.port, start, consuls, scope })
}

fn name(scope: &Scope, field: Field<'_>, reader: &mut Reader) -> Option<String> {
    let name = reader.string(scope, field);
    match &name {
        None => reader.problem(scope, field, "is blank, every job needs a name of its own"),
        Some(text) if text.contains('\0') => reader.problem(scope, field, "has a NUL in it"),
        Some(_) => {}
    }
    name
}

/// The port; none if the job has no service. 3.8 takes any number.
fn port(scope: &Scope, field: Field<'_>, reader: &mut Reader) -> Option<u16> {
    const ACCEPTED: &str = "a port (a number from 1 to 65535)";
    let number = reader.integer(scope, field, ACCEPTED)?;
    let port = u16::try_from(number);
    if port.is_err() {
        reader.refuse(scope, field, ACCEPTED);
    }
    port.ok().filter(|port| *port != 0)
}

/// `exec` and its like.
pub fn command(scope: &Scope, field: Field<'_>, reader: &mut Reader) -> Option<Exec> {
    let node = field.node?;
    let signs = exec::shell_signs(node);
    if !signs.is_empty() {
        let signs: Vec<String> = signs.iter().map(|sign| format!("`{}`", sign.replace('`', "backtick"))).collect();
        let says =
            format!("there is no shell for {}, which the program gets as it is; a list names one:", signs.join(", "));
        let problem = Problem::value(node, scope.path_of(field), says);
        reader.doubts.push(problem.with_instead(exec::with_shell(node), "[\"sh\", \"-c\", \"...\"]"));
    } else if exec::has_quotes(node) {
        let says = "a string is split at white space, quotes in it are passed on; a list keeps each argument together: \
                    [\"program\", \"an argument\"]";
        reader.notes.push(Problem::value(node, scope.path_of(field), says));
    }
    match exec::parse(node) {
        Ok(exec) => Some(exec),
        Err(says) => {
            reader.problem(scope, field, says);
            None
        }
    }
}

/// The start rule, the wait for it, the delay of an interval, and what is written of it.
fn start<'a>(
    scope: &Scope,
    field: Field<'a>,
    reader: &mut Reader,
) -> (StartRule, Option<Duration>, Option<Duration>, Start<'a>) {
    let mut written = Start::none(scope.clone());
    let Some((scope, raw)) = reader.block::<When<'a>>(scope, field) else {
        return (StartRule::Once(Event::STARTUP), None, None, written);
    };
    written.when = scope.clone();
    written.source = raw.source;
    let source = reader.string(&scope, raw.source);
    let once = reader.string(&scope, raw.once);
    let each = reader.string(&scope, raw.each);
    let interval = reader.string(&scope, raw.interval);
    let wait = reader.limit(&scope, raw.timeout);
    written.each = each.is_some();
    written.merges = reader.boolean(&scope, raw.merge).unwrap_or(false);
    if written.merges && each.is_none() {
        reader.warning(&scope, raw.merge, "means nothing without `each`, whose events it merges");
    }
    if [&once, &each, &interval].into_iter().flatten().count() > 1 {
        reader.problem_with(&scope, "can have only one of `interval`, `once` and `each`");
        return (StartRule::Never, None, None, written);
    }
    let delay = reader.duration(&scope, raw.delay, SHORTEST);
    if interval.is_none() && raw.delay.node.is_some() {
        reader.warning(&scope, raw.delay, "means nothing without `interval`, whose first run it delays");
    }
    if interval.is_some() {
        for other in [raw.source, raw.timeout].into_iter().filter(|other| other.node.is_some()) {
            let says = format!(
                "means nothing beside `interval`, which starts the job at its own pace; leave `{}` out",
                other.name
            );
            reader.warning(&scope, other, says);
        }
        let interval = reader.duration(&scope, raw.interval, SHORTEST);
        return (interval.map_or(StartRule::Never, StartRule::Interval), None, delay, written);
    }
    let code = match (&once, &each) {
        (Some(word), _) => starts::event_code(&scope, raw.once, word, reader),
        (None, Some(word)) => starts::event_code(&scope, raw.each, word, reader),
        (None, None) => None,
    };
    let signal = source.as_deref().and_then(starts::other_signal);
    let source = Source::parse(source.as_deref().unwrap_or(""));
    written.has_event = true;
    let rule = match (source, code) {
        // `once` and `each` make no difference to a signal.
        (Source::Signal(signal), _) => StartRule::Each(Event::signal(signal)),
        (source, Some(code)) if once.is_some() => StartRule::Once(Event::new(code, source)),
        (source, Some(code)) => StartRule::Each(Event::new(code, source)),
        (_, None) => {
            if once.is_none() && each.is_none() {
                match signal {
                    Some(says) => reader.warning(&scope, raw.source, format!("{says}, so that the job never starts")),
                    None => {
                        reader.warning_of(&scope, "has no `once`, `each` or `interval`, the job never starts");
                    }
                }
            }
            StartRule::Never
        }
    };
    (rule, wait, None, written)
}

/// How long a run may take: an interval job's no longer than the interval, unless it says so.
fn timeout(scope: &Scope, field: Field<'_>, start: &StartRule, reader: &mut Reader) -> Option<Duration> {
    if field.node.and_then(text).as_deref() == Some("none") {
        return None;
    }
    let interval = if let StartRule::Interval(interval) = start { Some(*interval) } else { None };
    reader.duration(scope, field, SHORTEST).or(interval)
}

/// `restarts`
pub fn restarts(scope: &Scope, field: Field<'_>, start: &StartRule, has_each: bool, reader: &mut Reader) -> Budget {
    const ACCEPTED: &str = "a number that is not negative, \"unlimited\" or \"never\"";
    let Some(node) = field.node else {
        return match start {
            StartRule::Interval(_) => Budget::Unlimited,
            StartRule::Once(_) | StartRule::Each(_) | StartRule::Never => Budget::Limited(0),
        };
    };
    let budget = match &node.value {
        Value::String(text) if text == "unlimited" => {
            if has_each {
                let says = "`unlimited` cannot be used with `when.each`: there would be more and more processes";
                reader.problem(scope, field, says);
            }
            Some(Budget::Unlimited)
        }
        Value::String(text) if text == "never" => Some(Budget::Limited(0)),
        Value::String(text) => {
            let digits = text.strip_prefix('+').unwrap_or(text);
            let is_number = digits.bytes().all(|b| b.is_ascii_digit());
            is_number.then(|| digits.parse().ok()).flatten().map(Budget::Limited)
        }
        Value::Integer(number) => u64::try_from(*number).ok().map(Budget::Limited),
        Value::Float(number) if *number >= 0.0 => {
            whole_part(*number).and_then(|number| u64::try_from(number).ok()).map(Budget::Limited)
        }
        Value::Null | Value::Bool(_) | Value::Float(_) | Value::List(_) | Value::Object(_) => None,
    };
    budget.unwrap_or_else(|| {
        reader.refuse(scope, field, &format!("{ACCEPTED}{}", restarts_hint(node)));
        Budget::Limited(0)
    })
}

/// What other supervisors call these.
fn restarts_hint(node: &Node) -> String {
    let word = text(node).unwrap_or_default().to_lowercase();
    let meant = match (&node.value, word.as_str()) {
        (Value::Bool(true), _) => Some("unlimited"),
        (Value::Bool(false), _) => Some("never"),
        (_, "always" | "unless-stopped" | "forever" | "infinite" | "infinity" | "yes" | "on" | "true" | "-1") => {
            Some("unlimited")
        }
        (_, "no" | "none" | "off" | "false") => Some("never"),
        (_, word) => nearest(word, ["unlimited", "never"]),
    };
    meant.map(|word| format!(", perhaps \"{word}\"")).unwrap_or_default()
}

fn on_reload(scope: &Scope, field: Field<'_>, reader: &mut Reader) -> OnReload {
    let found = switch(scope, field, [OnReload::Keep, OnReload::Restart], ("kill", OnReload::Replace), reader);
    found.unwrap_or(OnReload::IfChanged)
}

fn last(scope: &Scope, field: Field<'_>, reader: &mut Reader) -> Last {
    switch(scope, field, [Last::No, Last::Yes], ("unlessAsked", Last::UnlessAsked), reader).unwrap_or(Last::No)
}

/// What `false` and `true` mean, or one word beside them.
fn switch<T>(
    scope: &Scope,
    field: Field<'_>,
    [off, on]: [T; 2],
    (word, third): (&str, T),
    reader: &mut Reader,
) -> Option<T> {
    let node = field.node?;
    match (truth(node), &node.value) {
        (Some(false), _) => Some(off),
        (Some(true), _) => Some(on),
        (None, Value::String(written)) if written == word => Some(third),
        (None, _) => {
            reader.refuse(scope, field, &format!("true, false or \"{word}\""));
            None
        }
    }
}

fn backoff(scope: &Scope, field: Field<'_>, reader: &mut Reader) -> Option<Backoff> {
    let default = Backoff::default();
    let node = match field.node {
        None => return Some(default),
        Some(node) => node,
    };
    match &node.value {
        Value::String(text) if text == "none" => return None,
        Value::Object(_) => {}
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::String(_) | Value::List(_) => {
            reader.refuse(scope, field, "\"none\" or an object with initial, factor, max, jitter, resetAfter");
            return Some(default);
        }
    }
    let (scope, raw) = reader.block::<raw_v3::Backoff<'_>>(scope, field)?;
    let initial = reader.duration(&scope, raw.initial, SHORTEST);
    let max = reader.duration(&scope, raw.max, SHORTEST);
    if let (Some(initial), Some(max)) = (initial, max)
        && max < initial
    {
        reader.problem(&scope, raw.max, "is less than `initial`, it must be at least as long");
    }
    Some(Backoff {
        initial: initial.unwrap_or(default.initial.min(max.unwrap_or(default.max))),
        factor: number(&scope, raw.factor, 1.0, 1e6, "a number from 1 to 1000000", reader).unwrap_or(default.factor),
        max: max.unwrap_or(default.max.max(initial.unwrap_or(default.initial))),
        jitter: number(&scope, raw.jitter, 0.0, 1.0, "a number from 0 to 1", reader).unwrap_or(default.jitter),
        reset_after: reader.duration(&scope, raw.reset_after, Duration::ZERO).unwrap_or(default.reset_after),
    })
}

fn number(scope: &Scope, field: Field<'_>, least: f64, most: f64, accepted: &str, reader: &mut Reader) -> Option<f64> {
    let text = reader.string(scope, field)?;
    let number = text.parse::<f64>().ok().filter(|number| (least..=most).contains(number));
    if number.is_none() {
        reader.refuse(scope, field, accepted);
    }
    number
}

/// Values are never part of a message: they may be secrets.
fn env(scope: &Scope, field: Field<'_>, reader: &mut Reader) -> Vec<(OsString, Option<OsString>)> {
    let Some(node) = field.node else { return Vec::new() };
    let Value::Object(entries) = &node.value else {
        reader.problem(scope, field, format!("is {}, not an object of names and values", node.kind()));
        return Vec::new();
    };
    let mut env: Vec<(OsString, Option<OsString>)> = Vec::new();
    for (name, value) in entries {
        let path = format!("{}.{}", scope.path_of(field), super::node::shortened(name));
        if name.is_empty() || name.contains(['=', '\0']) {
            let says = "is no name of a variable: it is empty, or has `=` or NUL in it";
            reader.problems.push(Problem::key(value, path, says));
            continue;
        }
        let text = match &value.value {
            Value::Null => None,
            Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::String(_) => Some(value.go_text()),
            Value::List(_) | Value::Object(_) => {
                let says = format!("is {}, not a string, or null to take the variable out", value.kind());
                reader.problems.push(Problem::value(value, path, says));
                continue;
            }
        };
        if text.as_ref().is_some_and(|text| text.contains('\0')) {
            reader.problems.push(Problem::value(value, path, "has a NUL in it"));
            continue;
        }
        let size = text.as_ref().map_or(0, |text| name.len() + 1 + text.len());
        let longest = sys::exec_limits().string;
        if size >= longest {
            let says =
                format!("has {size} bytes with its name, and no process can be started with more than {}", longest - 1);
            reader.problems.push(Problem::value(value, path, says));
            continue;
        }
        // The last of equal names counts, as everywhere.
        env.retain(|(other, _)| other != name.as_str());
        env.push((name.into(), text.map(Into::into)));
    }
    env
}

fn health(scope: &Scope, field: Field<'_>, has_port: bool, reader: &mut Reader) -> Option<HealthSpec> {
    let (scope, raw) = reader.block::<Health<'_>>(scope, field)?;
    let interval = reader.seconds(&scope, raw.interval);
    let ttl = reader.seconds(&scope, raw.ttl);
    lapse(&scope, raw.ttl, [ttl, interval], "interval", has_port, reader);
    let failures = reader.count(&scope, raw.failures, "a number of failures, at least 1");
    let exec = command(&scope, raw.exec, reader);
    let timeout = reader.duration(&scope, raw.timeout, Duration::ZERO).or(interval);
    let output = output(&scope, raw.logging, reader);
    let stand_in = Duration::from_secs(1);
    Some(HealthSpec {
        timeout_text: None,
        exec,
        interval: interval.unwrap_or(stand_in),
        ttl: ttl.unwrap_or(stand_in),
        // 3.8: a check with a timeout of 0 has none.
        timeout: timeout.filter(|timeout| !timeout.is_zero()),
        failures,
        output,
    })
}

/// Tells of a `ttl` that is over before the next heartbeat. Without a service nobody looks at it.
pub fn lapse(
    scope: &Scope,
    field: Field<'_>,
    [ttl, interval]: [Option<Duration>; 2],
    pace: &str,
    is_service: bool,
    reader: &mut Reader,
) {
    let Some((ttl, interval)) = ttl.zip(interval).filter(|(ttl, interval)| ttl <= interval) else { return };
    let says = format!(
        "`{}` is not above `{pace}`, which is {}: the service lapses between two checks that pass",
        ttl.as_secs(),
        interval.as_secs()
    );
    if is_service {
        reader.doubt(scope, field, says);
    } else if let Some(node) = field.node {
        reader.notes.push(Problem::value(node, scope.path_of(field), says));
    }
}

fn service(
    scope: &Scope,
    raw: &Job<'_>,
    port: Option<u16>,
    name: &str,
    health: Option<&HealthSpec>,
    surroundings: Surroundings<'_>,
    reader: &mut Reader,
) -> Option<ServiceSpec> {
    // 3.8: these are looked at as values only with a port, but must always be of the right type.
    let tags = reader.strings(scope, raw.tags);
    let initial_status = reader.string(scope, raw.initial_status);
    let meta = discovery::meta(scope, raw.meta, reader);
    let weights = discovery::weights(scope, raw.weights, reader);
    let tagged_addresses = discovery::tagged_addresses(scope, raw.tagged_addresses, port, reader);
    let (enable_tag_override, deregister) = discovery::consul_extras(scope, raw.consul, port.is_some(), reader);
    let port = port?;
    if health.is_none() && raw.health.node.is_none() {
        reader.problem(scope, raw.health, "is missing, a job with a `port` needs a health check");
    }
    const STATUSES: [(&str, InitialStatus); 3] = [
        ("passing", InitialStatus::Passing),
        ("warning", InitialStatus::Warning),
        ("critical", InitialStatus::Critical),
    ];
    let initial_status = initial_status.and_then(|word| reader.word(scope, raw.initial_status, &word, &STATUSES));
    let (interfaces, address) = discovery::address(scope, raw.interfaces, surroundings.host, reader);
    Some(ServiceSpec {
        id: discovery::service_id(name, surroundings.host),
        check_id: None,
        name: name.to_owned(),
        port,
        address: address?,
        interfaces,
        tags,
        initial_status,
        ttl: health?.ttl,
        interval: health?.interval,
        enable_tag_override,
        deregister_critical_after: deregister,
        meta,
        weights,
        tagged_addresses,
    })
}

/// 3.8: `CONTAINERPILOT_{JOB}_PID` with the name's folders and extension cut off, and each run of other characters than
/// letters and digits as one `_`.
pub fn pid_variable(job: &str) -> OsString {
    let base = job.rsplit('/').next().unwrap_or(job);
    let stem = base.rfind('.').map_or(base, |dot| &base[..dot]);
    let mut word = String::new();
    for letter in stem.to_uppercase().chars() {
        if letter.is_ascii_alphanumeric() {
            word.push(letter);
        } else if !word.ends_with('_') {
            word.push('_');
        }
    }
    format!("CONTAINERPILOT_{word}_PID").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pid_variables_are_named_as_in_3_8() {
        let cases = [
            ("app", "APP"),
            ("my-job", "MY_JOB"),
            ("worker.sh", "WORKER"),
            ("/opt/bin/run-me.py", "RUN_ME"),
            ("x--y__z!?w", "X_Y_Z_W"),
            ("trail-", "TRAIL_"),
        ];
        for (job, word) in cases {
            assert_eq!(pid_variable(job), OsString::from(format!("CONTAINERPILOT_{word}_PID")));
        }
    }
}
