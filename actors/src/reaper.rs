//! The only place that spawns, signals and waits for processes: which run has which pid is known here and nowhere else.
//!
//! Spawning and reaping happen on one thread, in one actor, so no exit can be missed or taken for another's.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ffi::{CString, OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use slog::{Logger, debug, warn};
use tokio::sync::oneshot;

use crate::event::{Owner, RunEnd, RunId};
use crate::guard::PanicGuard;
use crate::messages::{AllEnded, GroupSignal, LastWords, Launch, ReaperCommand, RunFact, RunReport};
use crate::output::{Asked, Captured, Pump, Stream};
use crate::reading;
use crate::spec::Stdin;
use crate::sys::{self, Children, Errno, Streams};

/// How often the processes below us are looked for again while some of them survive their SIGKILL.
const SWEEP: Duration = Duration::from_millis(20);
/// How many times: one in an uninterruptible sleep must not keep us for ever.
const SWEEPS: u32 = 100;
/// So many runs of one owner may come before the pump has looked at any of them. The reader of the log stands still then,
/// and each run leaves two pipes behind that nobody empties: without an end to that, there are no descriptors left.
const MOST_UNREAD: usize = 64;
/// The same of a check, of which only the output is at stake.
const MOST_UNREAD_CHECKS: usize = 8;
/// How soon it is looked again whether the log is read.
const READ_AGAIN: Duration = Duration::from_millis(100);

/// The environment of children: each variable as `NAME=value`, by name.
#[derive(Debug, Default)]
pub struct Environment(BTreeMap<OsString, CString>);

impl Environment {
    /// The variables that all children get. What holds a NUL byte is left out: no process can have it.
    pub fn new(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut environment = Self::default();
        for (name, value) in vars {
            environment.put(name, Some(value));
        }
        environment
    }

    /// Sets a variable, or takes it out.
    pub fn put(&mut self, name: OsString, value: Option<OsString>) {
        let entry = value.and_then(|value| {
            let mut bytes = name.clone().into_vec();
            bytes.push(b'=');
            bytes.extend(value.into_vec());
            CString::new(bytes).ok()
        });
        match entry {
            Some(entry) => self.0.insert(name, entry),
            None => self.0.remove(&name),
        };
    }

    fn value(&self, name: &str) -> Option<&[u8]> {
        self.0.get(OsStr::new(name)).map(|entry| &entry.as_bytes()[name.len() + 1..])
    }

    /// The block for one process, with the changes that its job asks for.
    fn block(&self, changes: &[(OsString, Option<OsString>)]) -> Environment {
        let mut block = Environment(self.0.clone());
        for (name, value) in changes {
            block.put(name.clone(), value.clone());
        }
        block
    }
}

/// Why a process could not be started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpawnError {
    /// There is no such program in the child's PATH.
    #[error("cannot run `{0}`: executable file not found in $PATH")]
    NotFound(String),
    /// An argument holds a NUL byte.
    #[error("cannot run `{0}`: an argument holds a NUL byte")]
    Nul(String),
    /// The operating system refused.
    #[error("cannot run `{program}`: {}", sys::describe(*.errno))]
    Refused {
        /// The path.
        program: String,
        /// Why.
        errno: Errno,
    },
}

impl SpawnError {
    /// The status that a shell reports for it.
    fn code(&self) -> u8 {
        match self {
            Self::NotFound(_) | Self::Refused { errno: Errno::ENOENT | Errno::ENOTDIR, .. } => 127,
            Self::Nul(_) | Self::Refused { .. } => 126,
        }
    }
}

#[derive(Debug)]
struct Running {
    owner: Owner,
    run: RunId,
    report: Recipient<RunReport>,
    launch: Arc<Launch>,
    captured: bool,
    /// Reads what it prints, and reports its end after that.
    reading: Option<oneshot::Sender<RunReport>>,
}

/// A run that is to begin.
#[derive(Debug)]
struct Start {
    owner: Owner,
    run: RunId,
    launch: Arc<Launch>,
    report: Recipient<RunReport>,
}

/// Runs of one owner that the pump has not looked at.
#[derive(Debug, Default)]
struct Unread {
    /// Each of them has one.
    token: Arc<()>,
    /// Whether it has been said what becomes of more of them.
    told: bool,
}

impl Unread {
    fn is_full(&self, owner: &Owner) -> bool {
        let most = match owner {
            Owner::Job(_) => MOST_UNREAD,
            Owner::Check(_) => MOST_UNREAD_CHECKS,
        };
        Arc::strong_count(&self.token) > most
    }
}

/// Everything ends.
#[derive(Debug)]
struct Ending {
    done: Recipient<AllEnded>,
    /// Whether health checks may still end by themselves.
    is_patient: bool,
    /// How often what is left has been killed.
    sweeps: u32,
}

/// See the module.
#[derive(Debug)]
pub struct Reaper {
    environment: Environment,
    nothing: File,
    pump: Pump,
    by_pid: HashMap<i32, Running>,
    pids: HashMap<(Owner, RunId), i32>,
    unread: HashMap<Owner, Unread>,
    /// Runs of jobs that begin once the log is read.
    held_back: VecDeque<Start>,
    ending: Option<Ending>,
    log: Logger,
    _guard: Option<PanicGuard>,
}

impl Reaper {
    /// No process yet. `nothing` is /dev/null, the stdin of every child.
    pub fn new(environment: Environment, nothing: File, pump: Pump, log: Logger, guard: Option<PanicGuard>) -> Self {
        let (by_pid, pids) = (HashMap::new(), HashMap::new());
        let (unread, held_back) = (HashMap::new(), VecDeque::new());
        Self { environment, nothing, pump, by_pid, pids, unread, held_back, ending: None, log, _guard: guard }
    }

    fn start(&mut self, start: Start, ctx: &mut Context<Self>) {
        let unread = self.unread.entry(start.owner.clone()).or_default();
        if start.launch.output.raw || start.launch.prints_value || !unread.is_full(&start.owner) {
            unread.told = false;
            let token = unread.token.clone();
            return self.spawn(start, Some(token));
        }
        let is_news = !std::mem::replace(&mut unread.told, true);
        match &start.owner {
            Owner::Job(name) => {
                if is_news {
                    warn!(self.log, "{} waits with its next run until the log is read", name);
                }
                if self.held_back.is_empty() {
                    ctx.run_later(READ_AGAIN, Self::start_held_back);
                }
                self.held_back.push_back(start);
            }
            // A service must not become unhealthy for want of somebody who reads the log.
            Owner::Check(_) => {
                if is_news {
                    warn!(self.log, "the output of {} is lost until the log is read", start.owner);
                }
                self.spawn(start, None);
            }
        }
    }

    fn start_held_back(&mut self, ctx: &mut Context<Self>) {
        for start in std::mem::take(&mut self.held_back) {
            self.start(start, ctx);
        }
    }

    /// A run that was held back never begins.
    fn call_off(&mut self, owner: &Owner, run: RunId) {
        let is_it = |start: &Start| start.owner == *owner && start.run == run;
        let Some(start) = self.held_back.iter().position(is_it).and_then(|at| self.held_back.remove(at)) else {
            return;
        };
        let reason = "stopped before the log was read".into();
        start.report.do_send(RunReport { run, fact: RunFact::Ended(RunEnd::NotStarted { code: 126, reason }) });
    }

    /// With a token its output is read, unless it is raw.
    fn spawn(&mut self, start: Start, token: Option<Arc<()>>) {
        let Start { owner, run, launch, report } = start;
        let captured = !launch.output.raw && !launch.prints_value && token.is_some();
        match self.try_spawn(&owner, run, &launch, token) {
            Ok((pid, value)) => {
                debug!(self.log, "process started"; "owner" => %owner, "run" => run.0, "process" => pid);
                for variable in &launch.pid_variables {
                    self.environment.put(variable.clone(), Some(pid.to_string().into()));
                }
                self.pids.insert((owner.clone(), run), pid);
                let reading = value.map(|value| reading::start(value, run, report.clone()));
                report.do_send(RunReport { run, fact: RunFact::Started(pid) });
                let running = Running { owner, run, launch, report, captured, reading };
                self.by_pid.insert(pid, running);
            }
            Err(error) => {
                let code = launch.not_started.unwrap_or(error.code());
                let end = RunEnd::NotStarted { code, reason: error.to_string().into() };
                report.do_send(RunReport { run, fact: RunFact::Ended(end) });
            }
        }
    }

    /// The pid, and where to read the value that it prints, if it does.
    fn try_spawn(
        &self,
        owner: &Owner,
        run: RunId,
        launch: &Launch,
        token: Option<Arc<()>>,
    ) -> Result<(i32, Option<OwnedFd>), SpawnError> {
        let shown = || launch.exec.program.to_string_lossy().into_owned();
        let refused = |errno| SpawnError::Refused { program: shown(), errno };
        let c_string = |text: &OsString| CString::new(text.as_bytes()).map_err(|_| SpawnError::Nul(shown()));
        let changed = (!launch.env.is_empty()).then(|| self.environment.block(&launch.env));
        let environment = changed.as_ref().unwrap_or(&self.environment);
        let name = c_string(&launch.exec.program)?;
        let program =
            sys::find_program(&name, environment.value("PATH")).ok_or_else(|| SpawnError::NotFound(shown()))?;
        let mut args = vec![name];
        for arg in &launch.exec.args {
            args.push(c_string(arg)?);
        }
        let env: Vec<&CString> = environment.0.values().collect();
        let stdin = (launch.stdin == Stdin::Empty).then(|| self.nothing.as_fd());
        if launch.output.raw {
            let streams = Streams { stdin, stdout: None, stderr: None };
            return sys::spawn(&program, &args, &env, &streams).map(|pid| (pid, None)).map_err(refused);
        }
        let Some(token) = token else {
            let refused_open = |cause: io::Error| refused(Errno::from_raw(cause.raw_os_error().unwrap_or_default()));
            let nowhere = OpenOptions::new().write(true).open("/dev/null").map_err(refused_open)?;
            let stdout = Some(nowhere.as_fd());
            let streams = Streams { stdin, stdout, stderr: stdout };
            return sys::spawn(&program, &args, &env, &streams).map(|pid| (pid, None)).map_err(refused);
        };
        let (stdout, child_stdout) = sys::output_pipe().map_err(refused)?;
        if launch.prints_value {
            let streams = Streams { stdin, stdout: Some(child_stdout.as_fd()), stderr: None };
            let pid = sys::spawn(&program, &args, &env, &streams).map_err(refused)?;
            return Ok((pid, Some(stdout)));
        }
        let (stderr, child_stderr) = sys::output_pipe().map_err(refused)?;
        let streams = Streams { stdin, stdout: Some(child_stdout.as_fd()), stderr: Some(child_stderr.as_fd()) };
        let pid = sys::spawn(&program, &args, &env, &streams).map_err(refused)?;
        let output = launch.output.clone();
        let captured = Captured { owner: owner.clone(), run, pid, stdout, stderr, output, token };
        if let Err(errno) = self.pump.attach(captured) {
            warn!(self.log, "cannot read the output of {}: {}", owner, sys::describe(errno));
        }
        Ok((pid, None))
    }

    fn signal(&self, owner: Owner, run: RunId, signal: GroupSignal) {
        let number = match signal {
            GroupSignal::Terminate => sys::TERMINATE,
            GroupSignal::Kill => sys::KILL,
            GroupSignal::Number(number) => number,
        };
        let Some(pid) = self.pids.get(&(owner, run)) else { return };
        if let Err(errno) = sys::signal_group(*pid, number) {
            warn!(self.log, "cannot signal a process group"; "process" => *pid, "signal" => number, "error" => sys::describe(errno));
        }
    }

    fn signal_process(&self, owner: Owner, run: RunId, signal: i32) {
        let Some(pid) = self.pids.get(&(owner, run)).copied() else { return };
        if signal == sys::CONTINUE && self.is_job_control(pid) {
            // A shell's `fg` has given us the terminal.
            sys::put_into_foreground(pid);
        }
        if let Err(errno) = sys::signal_process(pid, signal) {
            warn!(self.log, "cannot signal a process"; "process" => pid, "signal" => signal, "error" => sys::describe(errno));
        }
        // Nobody can stop PID 1.
        if sys::STOPS.contains(&signal) && self.is_job_control(pid) && std::process::id() != 1 {
            sys::stop_until_continued();
            sys::put_into_foreground(pid);
            self.go_on(pid);
        }
    }

    fn is_job_control(&self, pid: i32) -> bool {
        self.by_pid.get(&pid).is_some_and(|running| running.launch.stdin == Stdin::OursWithJobControl)
    }

    /// Whoever is stopped at a terminal, by Ctrl-Z, stops us too: the shell that started us waits for that.
    fn stop_with_the_stopped(&self) {
        let controlled = self.by_pid.keys().copied().find(|pid| self.is_job_control(*pid));
        let Some(pid) = controlled.filter(|_| sys::has_terminal()) else { return };
        let Some(signal) = sys::stopped_by(pid) else { return };
        // It may have wanted the terminal, and we have it: a shell's `fg` comes without a word to whoever runs.
        let goes_on = sys::put_into_foreground(pid)
            || match sys::stop_as_by_the_terminal() {
                Ok(true) => {
                    sys::put_into_foreground(pid);
                    true
                }
                // There is nobody who would ever continue it. What else stopped it knows why.
                Ok(false) => signal == sys::TERMINAL_STOP,
                Err(cause) => {
                    warn!(self.log, "cannot stop as the terminal wants"; "error" => %cause);
                    true
                }
            };
        if goes_on {
            self.go_on(pid);
        }
    }

    fn go_on(&self, pid: i32) {
        if let Err(errno) = sys::signal_group(pid, sys::CONTINUE) {
            debug!(self.log, "cannot continue a process"; "process" => pid, "error" => sys::describe(errno));
        }
    }

    /// SIGCHLD coalesces, so this goes on until nobody is left to reap.
    fn reap_all(&mut self) -> Children {
        loop {
            let ended = match sys::next_ended() {
                Children::Ended(ended) => ended,
                none_ended @ (Children::Running | Children::None) => return none_ended,
            };
            let running = self.by_pid.remove(&ended.pid);
            if running.as_ref().is_some_and(|running| !running.launch.leaves_group) {
                // The zombie keeps the group's id from being given to somebody else until it is reaped.
                if let Err(errno) = sys::signal_group(ended.pid, sys::TERMINATE) {
                    debug!(self.log, "cannot end the rest of a group"; "process" => ended.pid, "error" => sys::describe(errno));
                }
            }
            sys::reap(ended.pid);
            let Some(running) = running else { continue };
            debug!(self.log, "process ended"; "owner" => %running.owner, "process" => ended.pid, "exit" => %ended.exit);
            self.forget(&running, ended.pid);
            let Running { owner, run, launch, report, captured, reading } = running;
            if captured {
                let stream = match launch.last_words {
                    LastWords::OfAny => Some(None),
                    LastWords::OfFailure => (!ended.exit.is_success()).then_some(Some(Stream::Stderr)),
                };
                let report = report.clone();
                match stream {
                    Some(stream) => self.pump.ended_and_said(owner, run, Asked { pid: ended.pid, stream, report }),
                    None => self.pump.ended(owner, run),
                }
            }
            let end = RunReport { run, fact: RunFact::Ended(RunEnd::Exited(ended.exit)) };
            match reading {
                // If it is gone, so is whoever wanted to know.
                Some(reading) => drop(reading.send(end)),
                None => report.do_send(end),
            }
        }
    }

    fn forget(&mut self, running: &Running, pid: i32) {
        self.pids.remove(&(running.owner.clone(), running.run));
        for variable in &running.launch.pid_variables {
            // Two names can make one variable; the other one's process may still run.
            if self.environment.value(&variable.to_string_lossy()) == Some(pid.to_string().as_bytes()) {
                self.environment.put(variable.clone(), None);
            }
        }
        if running.launch.stdin != Stdin::Empty {
            sys::come_into_foreground(pid);
        }
    }

    /// Kills the runs of an owner whose actor is gone.
    fn disown(&mut self, owner: &Owner) {
        self.unread.remove(owner);
        self.held_back.retain(|start| start.owner != *owner);
        let runs: Vec<(RunId, i32)> =
            self.pids.iter().filter(|((whose, _), _)| whose == owner).map(|((_, run), pid)| (*run, *pid)).collect();
        for (run, pid) in runs {
            self.signal(owner.clone(), run, GroupSignal::Kill);
            if let Some(running) = self.by_pid.remove(&pid) {
                self.forget(&running, pid);
                if running.captured {
                    self.pump.ended(owner.clone(), run);
                }
            }
        }
    }

    /// Health checks at work need not be waited for, or not any more: everything else is killed.
    fn sweep_after_checks(&mut self, grace_is_over: bool, ctx: &mut Context<Self>) {
        let has_checks = self.by_pid.values().any(|running| matches!(running.owner, Owner::Check(_)));
        let Some(ending) = self.ending.as_mut().filter(|ending| ending.is_patient) else { return };
        if grace_is_over || !has_checks {
            ending.is_patient = false;
            self.sweep(ctx);
        }
    }

    /// Kills whatever is left below us, until nothing is, or it is time to give up.
    fn sweep(&mut self, ctx: &mut Context<Self>) {
        let children = self.reap_all();
        let Some(ending) = &mut self.ending else { return };
        ending.sweeps += 1;
        if children == Children::None || ending.sweeps > SWEEPS {
            if children != Children::None {
                warn!(self.log, "some processes cannot be killed");
            }
            ending.done.do_send(AllEnded);
            self.ending = None;
            return;
        }
        sys::kill_descendants();
        ctx.run_later(SWEEP, Self::sweep);
    }
}

impl Actor for Reaper {
    type Context = Context<Self>;
}

impl Handler<ReaperCommand> for Reaper {
    type Result = ();

    fn handle(&mut self, command: ReaperCommand, ctx: &mut Self::Context) {
        match command {
            ReaperCommand::Spawn { owner, run, launch, report } => {
                self.start(Start { owner, run, launch, report }, ctx);
            }
            ReaperCommand::SignalGroup { owner, run, signal } => {
                if matches!(signal, GroupSignal::Terminate | GroupSignal::Kill) {
                    self.call_off(&owner, run);
                }
                self.signal(owner, run, signal);
            }
            ReaperCommand::SignalProcess { owner, run, signal } => {
                if signal == sys::TERMINATE {
                    self.call_off(&owner, run);
                }
                self.signal_process(owner, run, signal);
            }
            ReaperCommand::PutEnv(changes) => {
                for (name, value) in changes {
                    self.environment.put(name, value);
                }
            }
            ReaperCommand::Disown(owner) => self.disown(&owner),
            ReaperCommand::Reap => {
                let children = self.reap_all();
                self.stop_with_the_stopped();
                self.sweep_after_checks(false, ctx);
                if children == Children::None && self.ending.is_some() {
                    self.sweep(ctx);
                }
            }
            ReaperCommand::EndAll { grace, done } => {
                self.held_back.clear();
                self.ending = Some(Ending { done, is_patient: true, sweeps: 0 });
                ctx.run_later(grace, |reaper, ctx| reaper.sweep_after_checks(true, ctx));
                self.sweep_after_checks(grace.is_zero(), ctx);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_job_takes_out_of_its_environment_stays_for_the_others() {
        let environment = Environment::new([("A".into(), "1=2".into()), ("B".into(), "3".into())]);
        let block = environment.block(&[("B".into(), None), ("C".into(), Some("4".into()))]);
        assert_eq!((block.value("A"), block.value("B"), block.value("C")), (Some(&b"1=2"[..]), None, Some(&b"4"[..])));
        assert_eq!(environment.value("B"), Some(&b"3"[..]));
    }
}
