//! ContainerPilot: PID 1 for containers. Arguments in, exit code out.

mod boot;
mod cli;
mod client;
mod config;
mod logging;
mod template;
mod terminal;
mod views;

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::Duration;

use containerpilot_actors::addresses::Host;
use containerpilot_actors::control::where_it_answers;
use containerpilot_actors::nearest::nearest;

use boot::BootError;
use cli::{Command, Invocation, Query, Request};
use config::{Loaded, Migrated, Source, Version};
use template::Environment;

/// Neither a wrong command line nor an instance that ended by itself.
const FAILED: u8 = 1;
/// How often `-status -watch` looks.
const REDRAW: Duration = Duration::from_secs(1);
/// A wrong command line.
const USAGE: u8 = 2;

/// Why we end without having done what was asked for.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// There is neither the flag nor the variable.
    #[error("-config flag is required, or CONTAINERPILOT in the environment")]
    NoConfig,
    /// A version 2 config that says nothing of it.
    #[error("the config opens no control socket: version 2 has none, unless a `control` block asks for it")]
    NoControl,
    #[error(transparent)]
    Config(#[from] config::ConfigError),
    #[error("cannot find out the addresses of this machine")]
    Host(#[source] io::Error),
    #[error("cannot write the config to `{path}`")]
    Write { path: String, source: io::Error },
    #[error("cannot understand the answer")]
    Answer(#[source] serde_json::Error),
    #[error("there is no job `{name}`{hint}")]
    NoJob { name: String, hint: String },
    #[error(transparent)]
    Client(#[from] client::ClientError),
    #[error(transparent)]
    Boot(#[from] BootError),
}

fn main() -> ExitCode {
    let invocation = match cli::parse(std::env::args_os().skip(1)) {
        Ok(invocation) => invocation,
        Err(error) => {
            print(io::stderr(), &format!("{}\n{}", terminal::lines(&error.to_string()), cli::usage()));
            return ExitCode::from(USAGE);
        }
    };
    match execute(invocation) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            print(io::stderr(), &format!("{}\n", terminal::lines(&chain(&failure))));
            ExitCode::from(FAILED)
        }
    }
}

fn execute(Invocation { command, config }: Invocation) -> Result<u8, Failure> {
    let environment: Environment = std::env::vars_os().map(|(name, value)| (bytes(name), bytes(value))).collect();
    let source = || source(config, std::env::var_os("CONTAINERPILOT"));
    let control = |source: Result<Source, Failure>| {
        let spec = load(&source?, &[], None, &environment)?.spec;
        spec.control.map(|control| where_it_answers(&control)).ok_or(Failure::NoControl)
    };
    match command {
        Command::Help => print(io::stderr(), &cli::usage()),
        Command::Version => {
            print(io::stdout(), &format!("Version: {}\nGitHash: {}\n", env!("CARGO_PKG_VERSION"), env!("GIT_HASH")));
        }
        Command::Template { out } => write_config(&config::render(&source()?, &environment)?, out.as_deref())?,
        Command::Migrate { out, command } => {
            let host = Host::read().map_err(Failure::Host)?;
            let Migrated { text, notes } = config::migrate(&source()?, &command, &host)?;
            write_config(text.as_bytes(), out.as_deref())?;
            for says in notes {
                print(io::stderr(), &format!("{}\n", terminal::lines(&says)));
            }
        }
        Command::Validate { command, is_strict } => {
            // A start has it, too.
            let pid = (b"CONTAINERPILOT_PID".to_vec(), std::process::id().to_string().into_bytes());
            let variables = environment.iter().map(|(name, value)| (name.to_vec(), value.to_vec()));
            let environment = std::iter::once(pid).chain(variables).collect();
            return Ok(validated(&load(&source()?, &command, None, &environment)?, is_strict));
        }
        Command::Request(request) => {
            let answer = client::send(&request, &control(source())?)?;
            return carried_out(&request, &answer);
        }
        Command::Query(query) => return answered(&query, &control(source())?),
        Command::Run(command) => match source() {
            Err(Failure::NoConfig) if !command.is_empty() => {
                return Ok(boot::run(move |_| Ok(config::only_command(&command)))?);
            }
            source => {
                let (source, version) = (source?, OnceLock::new());
                return Ok(boot::run(move |environment| {
                    let variables = environment.iter();
                    let variables = variables.map(|(name, value)| (bytes(name.clone()), bytes(value.clone())));
                    let loaded = load(&source, &command, version.get().copied(), &variables.collect());
                    let loaded = loaded.map_err(|failure| chain(&failure))?;
                    version.get_or_init(|| loaded.version);
                    Ok(loaded.spec)
                })?);
            }
        },
    }
    Ok(0)
}

/// Says what there is to say of a request that was carried out; the exit status.
fn carried_out(request: &Request, answer: &[u8]) -> Result<u8, Failure> {
    match request {
        // 3.8: silence
        Request::Reload | Request::Maintenance { .. } | Request::PutEnv(_) | Request::PutMetric(_) => {}
        Request::Ping => print(io::stdout(), "ok\n"),
        Request::DryRun { json: true } => print(io::stdout(), &terminal::json(&String::from_utf8_lossy(answer))),
        Request::DryRun { json: false } => print(io::stdout(), &understood::<views::Diff>(answer)?.lines()),
        Request::Order { order, .. } => {
            let job: views::Job = understood(answer)?;
            print(io::stdout(), &job.sentence());
            let started = matches!(order, cli::Order::Start | cli::Order::Restart);
            return Ok(if started && !job.came_up() { FAILED } else { 0 });
        }
    }
    Ok(0)
}

fn understood<T: serde::de::DeserializeOwned>(answer: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(answer).map_err(Failure::Answer)
}

/// Shows what was asked for; the exit status.
fn answered(query: &Query, socket: &Path) -> Result<u8, Failure> {
    let status = || understood::<views::Status>(&client::status(query, socket)?);
    let find = |status: views::Status, name: &str| {
        let hint = nearest(name, status.jobs.iter().map(|job| job.name.as_str()));
        let hint = hint.map(|name| format!(", perhaps `{name}`")).unwrap_or_default();
        let job = status.jobs.into_iter().find(|job| job.name == name);
        job.ok_or_else(|| Failure::NoJob { name: name.to_owned(), hint })
    };
    match query {
        Query::Status { json, watch: false } => {
            let answer = client::status(query, socket)?;
            let text = if *json {
                terminal::json(&String::from_utf8_lossy(&answer))
            } else {
                understood::<views::Status>(&answer)?.table()
            };
            print(io::stdout(), &text);
        }
        Query::Status { watch: true, .. } => {
            // From the top, and nothing of before beside or below; until whoever watches is gone.
            let redrawn = |table: String| format!("\x1b[H{}\x1b[J", table.replace('\n', "\x1b[K\n"));
            while io::stdout().write_all(redrawn(status()?.table()).as_bytes()).is_ok() && io::stdout().flush().is_ok()
            {
                std::thread::park_timeout(REDRAW);
            }
        }
        Query::Explain(name) => print(io::stdout(), &find(status()?, name)?.sentence()),
        Query::Healthy(name) => {
            let status = status()?;
            let jobs = match name {
                Some(name) => vec![find(status, name)?],
                None => status.jobs,
            };
            let is_well = if name.is_some() { views::Job::is_well } else { views::Job::is_well_among_all };
            let ill: Vec<_> = jobs.iter().filter(|job| !is_well(job)).collect();
            for job in &ill {
                print(io::stdout(), &job.sentence());
            }
            return Ok(if ill.is_empty() { 0 } else { FAILED });
        }
        Query::Events => client::events(socket, |event| writeln!(io::stdout(), "{}", terminal::json(event)))?,
        Query::Logs { job, follow } => client::logs(job, *follow, socket, |line| match views::said(line) {
            Some(views::Said::Line { msg }) => writeln!(io::stdout(), "{msg}"),
            Some(views::Said::Lost { lost }) => {
                print(io::stderr(), &format!("{lost} lines are missing here: they were not taken fast enough\n"));
                Ok(())
            }
            None => Ok(()),
        })?,
    }
    Ok(0)
}

fn bytes(text: OsString) -> Vec<u8> {
    std::os::unix::ffi::OsStringExt::into_vec(text)
}

/// The config that the flag names, or else the environment.
fn source(flag: Option<OsString>, variable: Option<OsString>) -> Result<Source, Failure> {
    let flag = flag.map(|written| Source::parse("-config", written));
    let variable = variable.filter(|written| !written.is_empty());
    let variable = variable.map(|written| Source::parse("CONTAINERPILOT", written));
    flag.or(variable).ok_or(Failure::NoConfig)
}

fn load(
    source: &Source,
    command: &[OsString],
    spoken: Option<Version>,
    environment: &Environment,
) -> Result<Loaded, Failure> {
    let host = Host::read().map_err(Failure::Host)?;
    Ok(config::load(source, command, spoken, environment, &host)?)
}

/// Tells what is wrong or doubtful with a config that can be used; the exit status.
fn validated(loaded: &Loaded, is_strict: bool) -> u8 {
    for finding in &loaded.findings {
        print(io::stderr(), &format!("{}\n", terminal::lines(&finding.says)));
    }
    let is_fine = loaded.findings.iter().all(|finding| finding.is_warning && !is_strict);
    if is_fine { 0 } else { FAILED }
}

fn write_config(text: &[u8], out: Option<&Path>) -> Result<(), Failure> {
    let name = out.map_or_else(|| OsStr::new("stdout"), Path::as_os_str);
    let written = match out {
        Some(path) => fs::write(path, text),
        None => io::stdout().write_all(text).and_then(|()| io::stdout().flush()),
    };
    written.map_err(|source| Failure::Write { path: name.to_string_lossy().into_owned(), source })
}

/// An error and all that lies behind it.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Says something to whoever listens; nobody has to.
fn print(mut stream: impl Write, text: &str) {
    drop(stream.write_all(text.as_bytes()).and_then(|()| stream.flush()));
}
