//! The command line, in the syntax of Go's `flag` package, which 3.8's users have in their scripts: one dash or two,
//! `-flag value` or `-flag=value`, switches that take a value only behind `=`.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// `-help`
    Help,
    /// `-version`
    Version,
    /// `-template`: to a file, or to stdout.
    Template {
        /// `-out`, unless it is `-`.
        out: Option<PathBuf>,
    },
    /// `-migrate`: a version 2 config and command line as a version 3 config.
    Migrate {
        /// `-out`, unless it is `-`.
        out: Option<PathBuf>,
        /// The main application and its arguments.
        command: Vec<OsString>,
    },
    /// `-validate`, for a command line that ends with these words.
    Validate {
        /// The main application and its arguments.
        command: Vec<OsString>,
        /// `-strict`: a warning is as bad as an error.
        is_strict: bool,
    },
    /// Something that a running instance does.
    Request(Request),
    /// Something that a running instance tells.
    Query(Query),
    /// To supervise; with a version 2 command line, `containerpilot [flags] main-application [arguments]`, that application.
    Run(Vec<OsString>),
}

/// What a running instance can be asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// `-reload`
    Reload,
    /// `-reload -dry-run`: what a reload would change.
    DryRun {
        /// `-json`
        json: bool,
    },
    /// `-job NAME` with `-start`, `-stop`, `-restart` or `-signal SIG`
    Order {
        /// The job's name.
        job: String,
        /// What it is to do.
        order: Order,
    },
    /// `-maintenance enable` or `disable`
    Maintenance {
        /// Whether to enter it.
        enable: bool,
    },
    /// `-putenv`
    PutEnv(BTreeMap<String, String>),
    /// `-putmetric`
    PutMetric(BTreeMap<String, String>),
    /// `-ping`
    Ping,
}

/// What a job is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// `-start`
    Start,
    /// `-stop`
    Stop,
    /// `-restart`
    Restart,
    /// `-signal`
    Signal(String),
}

/// What a running instance can tell.
#[derive(Debug, PartialEq, Eq)]
pub enum Query {
    /// `-status`
    Status {
        /// `-json`
        json: bool,
        /// `-watch`: again and again.
        watch: bool,
    },
    /// `-job NAME` alone, `-explain NAME`
    Explain(String),
    /// `-healthy [NAME]`
    Healthy(Option<String>),
    /// `-events`
    Events,
    /// `-logs NAME`
    Logs {
        /// The job's name.
        job: String,
        /// `-follow`: and those that come.
        follow: bool,
    },
}

/// A command, and the config that it concerns.
#[derive(Debug, PartialEq, Eq)]
pub struct Invocation {
    /// What to do.
    pub command: Command,
    /// `-config`, if it is not empty.
    pub config: Option<OsString>,
}

/// Why a command line means nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// `---x`, `-=x`
    #[error("bad flag syntax: {0}")]
    Syntax(String),
    /// There is no such flag.
    #[error("flag provided but not defined: -{0}")]
    Unknown(String),
    /// It is the last word.
    #[error("flag needs an argument: -{0}")]
    MissingValue(&'static str),
    /// A switch is on or off.
    #[error("invalid boolean value \"{value}\" for -{flag}: accepted are true and false")]
    Boolean {
        /// The flag's name.
        flag: &'static str,
        /// What it was given.
        value: String,
    },
    /// 3.8's words.
    #[error("invalid value \"{value}\" for flag -{flag}: flag value '{value}' was not in the format 'key=val'")]
    Pair {
        /// The flag's name.
        flag: &'static str,
        /// What it was given.
        value: String,
    },
    /// Two orders at once.
    #[error("-job {0} takes one of -start, -stop, -restart and -signal")]
    Orders(String),
    /// An order to nobody.
    #[error("-{0} needs -job NAME")]
    NoJob(&'static str),
    /// It would start everything instead of checking it.
    #[error("-strict needs -validate")]
    Strict,
    /// 3.8 takes every other word for `disable`.
    #[error("invalid value \"{0}\" for flag -maintenance: accepted are enable and disable")]
    Maintenance(String),
}

/// What a flag is followed by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Switch,
    Value,
    Pair,
}

struct Flag {
    name: &'static str,
    kind: Kind,
    help: &'static str,
}

const CONFIG: Flag = Flag {
    name: "config",
    kind: Kind::Value,
    help: "File path to JSON5 configuration file. Defaults to CONTAINERPILOT env var.",
};
const DRY_RUN: Flag =
    Flag { name: "dry-run", kind: Kind::Switch, help: "With '-reload': only tell what would change." };
const EVENTS: Flag = Flag {
    name: "events",
    kind: Kind::Switch,
    help: "Show the last events of a ContainerPilot process, and those to come.",
};
const EXPLAIN: Flag = Flag { name: "explain", kind: Kind::Value, help: "Say in a sentence why a job is in its state." };
const FOLLOW: Flag = Flag { name: "follow", kind: Kind::Switch, help: "With '-logs': go on with the lines that come." };
const HEALTHY: Flag = Flag {
    name: "healthy",
    kind: Kind::Switch,
    help: "Tell by the exit status whether all jobs are healthy, or the one whose name follows:\n    \t\
           for a HEALTHCHECK.",
};
const HELP: Flag = Flag { name: "help", kind: Kind::Switch, help: "Show this help and quit." };
const JOB: Flag = Flag {
    name: "job",
    kind: Kind::Value,
    help: "A job of a ContainerPilot process: with '-start', '-stop', '-restart' or '-signal SIG' it is to do that,\n    \t\
           which is waited for; alone it is explained.",
};
const JSON: Flag = Flag { name: "json", kind: Kind::Switch, help: "With '-status' or '-reload -dry-run': as JSON." };
const LOGS: Flag = Flag { name: "logs", kind: Kind::Value, help: "Show the last lines that a job has written." };
const MAINTENANCE: Flag = Flag {
    name: "maintenance",
    kind: Kind::Value,
    help: "Toggle maintenance mode for a ContainerPilot process through its control socket.\n    \t\
           Options: '-maintenance enable' or '-maintenance disable'",
};
const MIGRATE: Flag = Flag {
    name: "migrate",
    kind: Kind::Switch,
    help: "Write a version 2 configuration and the command line after it as a version 3 configuration, and quit.",
};
const OUT: Flag = Flag {
    name: "out",
    kind: Kind::Value,
    help: "File path where to save rendered config file when '-template' is used, or the new one of '-migrate'.\n    \t\
           Defaults to stdout ('-').",
};
const PING: Flag =
    Flag { name: "ping", kind: Kind::Switch, help: "Check that the ContainerPilot control socket is up." };
const PUT_ENV: Flag = Flag {
    name: "putenv",
    kind: Kind::Pair,
    help: "Update environ of a ContainerPilot process through its control socket.\n    \t\
           Pass environment in the format: 'key=value'",
};
const PUT_METRIC: Flag = Flag {
    name: "putmetric",
    kind: Kind::Pair,
    help: "Update metrics of a ContainerPilot process through its control socket.\n    \t\
           Pass metrics in the format: 'key=value'",
};
const RELOAD: Flag =
    Flag { name: "reload", kind: Kind::Switch, help: "Reload a ContainerPilot process through its control socket." };
const RESTART: Flag = Flag { name: "restart", kind: Kind::Switch, help: "With '-job': stop it, and run it anew." };
const SIGNAL: Flag =
    Flag { name: "signal", kind: Kind::Value, help: "With '-job': send this signal to its processes." };
const START: Flag = Flag { name: "start", kind: Kind::Switch, help: "With '-job': run it now, whatever it waits for." };
const STATUS: Flag =
    Flag { name: "status", kind: Kind::Switch, help: "Show what the jobs of a ContainerPilot process do." };
const STOP: Flag =
    Flag { name: "stop", kind: Kind::Switch, help: "With '-job': stop it until it is started by hand or changed." };
const STRICT: Flag =
    Flag { name: "strict", kind: Kind::Switch, help: "With '-validate': the exit status is 1 for a warning, too." };
const TEMPLATE: Flag = Flag { name: "template", kind: Kind::Switch, help: "Render template and quit." };
const VALIDATE: Flag = Flag {
    name: "validate",
    kind: Kind::Switch,
    help: "Check the configuration file, tell everything that is wrong with it, and quit.",
};
const VERSION: Flag = Flag { name: "version", kind: Kind::Switch, help: "Show version identifier and quit." };

const WATCH: Flag = Flag { name: "watch", kind: Kind::Switch, help: "With '-status': again and again." };

const FLAGS: [&Flag; 27] = [
    &CONFIG,
    &DRY_RUN,
    &EVENTS,
    &EXPLAIN,
    &FOLLOW,
    &HEALTHY,
    &HELP,
    &JOB,
    &JSON,
    &LOGS,
    &MAINTENANCE,
    &MIGRATE,
    &OUT,
    &PING,
    &PUT_ENV,
    &PUT_METRIC,
    &RELOAD,
    &RESTART,
    &SIGNAL,
    &START,
    &STATUS,
    &STOP,
    &STRICT,
    &TEMPLATE,
    &VALIDATE,
    &VERSION,
    &WATCH,
];

/// What the flags are for, as Go prints it.
pub fn usage() -> String {
    let mut text = "Usage of containerpilot:\n".to_owned();
    for flag in FLAGS {
        let value = match flag.kind {
            Kind::Switch => "",
            Kind::Value => " string",
            Kind::Pair => " value",
        };
        text.push_str(&format!("  -{}{value}\n    \t{}\n", flag.name, flag.help));
    }
    text
}

/// The flags as given so far.
#[derive(Default)]
struct Given {
    switches: BTreeMap<&'static str, bool>,
    values: BTreeMap<&'static str, OsString>,
    pairs: BTreeMap<&'static str, BTreeMap<String, String>>,
}

/// Reads the arguments after the program's name.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Invocation, UsageError> {
    let mut given = Given::default();
    let mut args = args.into_iter();
    let mut words = Vec::new();
    while let Some(arg) = args.next() {
        let bytes = arg.as_bytes();
        let Some(name) = bytes.strip_prefix(b"-").filter(|name| !name.is_empty()) else {
            words.push(arg);
            break;
        };
        let name = name.strip_prefix(b"-").unwrap_or(name);
        if name.is_empty() {
            // `--` ends the flags.
            break;
        }
        if matches!(name.first(), Some(b'-' | b'=')) {
            return Err(UsageError::Syntax(arg.to_string_lossy().into_owned()));
        }
        let equals = name.iter().position(|byte| *byte == b'=');
        let (name, value) = match equals {
            Some(at) => (&name[..at], Some(OsStr::from_bytes(&name[at + 1..]).to_owned())),
            None => (name, None),
        };
        if matches!(name, b"h" | b"help") {
            return Ok(Invocation { command: Command::Help, config: None });
        }
        let Some(flag) = FLAGS.iter().find(|flag| flag.name.as_bytes() == name) else {
            return Err(UsageError::Unknown(String::from_utf8_lossy(name).into_owned()));
        };
        given.take(flag, value, &mut args)?;
    }
    words.extend(args);
    given.invocation(words)
}

/// Version 2 has `file://` before paths.
fn path_of(written: &OsStr) -> PathBuf {
    let bytes = written.as_bytes();
    PathBuf::from(OsStr::from_bytes(bytes.strip_prefix(b"file://").unwrap_or(bytes)))
}

impl Given {
    fn take(
        &mut self,
        flag: &Flag,
        value: Option<OsString>,
        rest: &mut impl Iterator<Item = OsString>,
    ) -> Result<(), UsageError> {
        let value = match (flag.kind, value) {
            (Kind::Switch, None) => OsString::from("true"),
            (Kind::Value | Kind::Pair, None) => rest.next().ok_or(UsageError::MissingValue(flag.name))?,
            (_, Some(value)) => value,
        };
        match flag.kind {
            Kind::Switch => {
                let Some(on) = value.to_str().and_then(crate::config::go_boolean) else {
                    let value = value.to_string_lossy().into_owned();
                    return Err(UsageError::Boolean { flag: flag.name, value });
                };
                self.switches.insert(flag.name, on);
            }
            Kind::Value => {
                self.values.insert(flag.name, value);
            }
            Kind::Pair => {
                let text = value.to_string_lossy();
                let Some((name, value)) = text.split_once('=') else {
                    return Err(UsageError::Pair { flag: flag.name, value: text.into_owned() });
                };
                self.pairs.entry(flag.name).or_default().insert(name.to_owned(), value.to_owned());
            }
        }
        Ok(())
    }

    /// 3.8's order: what goes before what if several subcommands are given.
    fn invocation(mut self, words: Vec<OsString>) -> Result<Invocation, UsageError> {
        let mut value = |flag: &Flag| self.values.remove(flag.name).filter(|value| !value.is_empty());
        let (config, out) = (value(&CONFIG), value(&OUT).map(|out| path_of(&out)));
        let out = out.filter(|path| path.as_os_str() != "-");
        let is_on = |flag: &Flag| self.switches.get(flag.name).copied().unwrap_or(false);
        let mut word = |flag: &Flag| self.values.remove(flag.name).map(|word| word.to_string_lossy().into_owned());
        let (job, explain, logs, signal) = (word(&JOB), word(&EXPLAIN), word(&LOGS), word(&SIGNAL));
        let mut orders: Vec<Order> = [(&START, Order::Start), (&STOP, Order::Stop), (&RESTART, Order::Restart)]
            .into_iter()
            .filter_map(|(flag, order)| is_on(flag).then_some(order))
            .collect();
        orders.extend(signal.map(Order::Signal));
        let maintenance = self.values.remove(MAINTENANCE.name).filter(|word| !word.is_empty());
        let command = if is_on(&VERSION) {
            Command::Version
        } else if is_on(&TEMPLATE) {
            Command::Template { out }
        } else if is_on(&MIGRATE) {
            Command::Migrate { out, command: words }
        } else if is_on(&VALIDATE) {
            Command::Validate { command: words, is_strict: is_on(&STRICT) }
        } else if is_on(&RELOAD) && is_on(&DRY_RUN) {
            Command::Request(Request::DryRun { json: is_on(&JSON) })
        } else if is_on(&RELOAD) {
            Command::Request(Request::Reload)
        } else if let Some(word) = maintenance {
            let enable = match word.as_bytes() {
                b"enable" => true,
                b"disable" => false,
                _ => return Err(UsageError::Maintenance(String::from_utf8_lossy(&word.into_vec()).into_owned())),
            };
            Command::Request(Request::Maintenance { enable })
        } else if let Some(variables) = self.pairs.remove(PUT_ENV.name) {
            Command::Request(Request::PutEnv(variables))
        } else if let Some(metrics) = self.pairs.remove(PUT_METRIC.name) {
            Command::Request(Request::PutMetric(metrics))
        } else if is_on(&PING) {
            Command::Request(Request::Ping)
        } else if let Some(job) = job {
            match (orders.pop(), orders.is_empty()) {
                (None, _) => Command::Query(Query::Explain(job)),
                (Some(order), true) => Command::Request(Request::Order { job, order }),
                (Some(_), false) => return Err(UsageError::Orders(job)),
            }
        } else if let Some(order) = orders.pop() {
            return Err(UsageError::NoJob(match order {
                Order::Start => START.name,
                Order::Stop => STOP.name,
                Order::Restart => RESTART.name,
                Order::Signal(_) => SIGNAL.name,
            }));
        } else if is_on(&STATUS) {
            Command::Query(Query::Status { json: is_on(&JSON), watch: is_on(&WATCH) })
        } else if let Some(job) = explain {
            Command::Query(Query::Explain(job))
        } else if is_on(&HEALTHY) {
            Command::Query(Query::Healthy(words.first().map(|word| word.to_string_lossy().into_owned())))
        } else if is_on(&EVENTS) {
            Command::Query(Query::Events)
        } else if let Some(job) = logs {
            Command::Query(Query::Logs { job, follow: is_on(&FOLLOW) })
        } else if is_on(&STRICT) {
            return Err(UsageError::Strict);
        } else {
            Command::Run(words)
        };
        Ok(Invocation { command, config })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Invocation, UsageError> {
        parse(args.iter().map(OsString::from))
    }

    fn command(args: &[&str]) -> Command {
        parsed(args).unwrap().command
    }

    fn run(words: &[&str]) -> Command {
        Command::Run(words.iter().map(OsString::from).collect())
    }

    #[test]
    fn every_spelling_of_a_flag_is_the_same() {
        for args in [
            ["-config", "a"].as_slice(),
            &["--config", "a"],
            &["-config=a"],
            &["--config=a"],
            &["-config", "x", "-config", "a"],
        ] {
            assert_eq!(parsed(args).unwrap().config, Some(OsString::from("a")), "{args:?}");
        }
        for args in [["-ping"].as_slice(), &["--ping"], &["-ping=t"], &["-ping=1"], &["-ping=false", "-ping"]] {
            assert_eq!(command(args), Command::Request(Request::Ping), "{args:?}");
        }
        assert_eq!(command(&["-ping=F", "-config", ""]), run(&[]));
    }

    #[test]
    fn one_subcommand_goes_before_another_as_in_3_8() {
        assert_eq!(command(&["-template", "-version"]), Command::Version);
        assert_eq!(command(&["-reload", "-template", "-out=-"]), Command::Template { out: None });
        assert_eq!(command(&["-validate", "-migrate"]), Command::Migrate { out: None, command: Vec::new() });
        assert_eq!(command(&["-maintenance", "enable", "-reload"]), Command::Request(Request::Reload));
        assert_eq!(
            command(&["-ping", "-putenv", "A=b=c", "-putenv=A=d"]),
            Command::Request(Request::PutEnv([("A".to_owned(), "d".to_owned())].into()))
        );
    }

    #[test]
    fn strict_is_a_way_to_validate() {
        let validate = |is_strict| Command::Validate { command: vec!["app".into()], is_strict };
        assert_eq!(command(&["-validate", "app"]), validate(false));
        assert_eq!(command(&["-validate", "-strict", "app"]), validate(true));
        assert_eq!(parsed(&["-strict", "-config", "f"]), Err(UsageError::Strict));
    }

    #[test]
    fn help_comes_before_what_is_wrong_behind_it() {
        assert_eq!(command(&["-h", "-nosuch"]), Command::Help);
        assert!(parsed(&["-nosuch", "-h"]).is_err());
    }

    #[test]
    fn jobs_are_steered_one_order_at_a_time() {
        let order = |order| Command::Request(Request::Order { job: "app".into(), order });
        assert_eq!(command(&["-job", "app", "-stop"]), order(Order::Stop));
        assert_eq!(command(&["-signal", "HUP", "-job=app"]), order(Order::Signal("HUP".into())));
        assert_eq!(command(&["-job", "app"]), Command::Query(Query::Explain("app".into())));
        assert!(parsed(&["-job", "app", "-stop", "-start"]).is_err());
        assert!(parsed(&["-stop"]).is_err());
    }

    #[test]
    fn queries_have_their_flags() {
        let status = |json, watch| Command::Query(Query::Status { json, watch });
        assert_eq!(command(&["-status"]), status(false, false));
        assert_eq!(command(&["-status", "-json", "-watch"]), status(true, true));
        assert_eq!(command(&["-healthy", "app"]), Command::Query(Query::Healthy(Some("app".into()))));
        assert_eq!(command(&["-healthy"]), Command::Query(Query::Healthy(None)));
        assert_eq!(command(&["-explain", "app"]), Command::Query(Query::Explain("app".into())));
        let logs = |follow| Command::Query(Query::Logs { job: "app".into(), follow });
        assert_eq!(command(&["-logs", "app"]), logs(false));
        assert_eq!(command(&["-follow", "-logs=app"]), logs(true));
        assert_eq!(command(&["-reload", "-dry-run"]), Command::Request(Request::DryRun { json: false }));
    }

    #[test]
    fn a_migration_takes_a_command() {
        let migrate = Command::Migrate { out: Some("x.json5".into()), command: vec!["app".into(), "-out".into()] };
        assert_eq!(command(&["-migrate", "-out", "file://x.json5", "--", "app", "-out"]), migrate);
    }

    #[test]
    fn flags_end_at_the_first_word() {
        assert_eq!(command(&["app", "-nosuch"]), run(&["app", "-nosuch"]));
        assert_eq!(command(&["--", "-app"]), run(&["-app"]));
        assert_eq!(command(&["--"]), run(&[]));
        assert_eq!(command(&["-"]), run(&["-"]));
    }

    #[test]
    fn a_command_line_that_means_nothing_is_refused() {
        assert_eq!(parsed(&["---version"]), Err(UsageError::Syntax("---version".into())));
        assert_eq!(parsed(&["-=x"]), Err(UsageError::Syntax("-=x".into())));
        assert_eq!(parsed(&["--nosuch=1"]), Err(UsageError::Unknown("nosuch".into())));
        assert_eq!(parsed(&["-out"]), Err(UsageError::MissingValue("out")));
        assert_eq!(parsed(&["-ping=2"]), Err(UsageError::Boolean { flag: "ping", value: "2".into() }));
        assert_eq!(parsed(&["-putmetric", "x"]), Err(UsageError::Pair { flag: "putmetric", value: "x".into() }));
        assert_eq!(parsed(&["-maintenance", "on"]), Err(UsageError::Maintenance("on".into())));
    }
}
