//! The only place that spawns, signals and waits for processes: which run has which pid is known here and nowhere else.
//!
//! Spawning and reaping happen on one thread, in one actor, so no exit can be missed or taken for another's.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ffi::{CString, OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use slog::{Logger, debug, warn};
use tokio::sync::oneshot;

use crate::event::{Exit, Owner, RunEnd, RunId};
use crate::guard::PanicGuard;
use crate::memory_events::OutOfMemory;
use crate::messages::{AllEnded, Disowned, GroupSignal, LastWords, Launch, ReaperCommand, RunFact, RunReport};
use crate::output::{Asked as Asking, Captured, Pump, Stream};
use crate::policy::remainder::{Action, GIVE_UP, Grace, Left, Process, Remainder};
use crate::processes::{self, ProcessTable};
use crate::reading;
use crate::spec::{Spec, Stdin};
use crate::sys::{self, Children, Ended, Errno, Streams};
use crate::timers;

/// How often it is looked again what is left of runs that are to end. SIGCHLD tells of most ends, but not of those of processes
/// whose parent lives.
const LOOK: Duration = Duration::from_millis(25);
/// The same of a remainder that may go on.
const LOOK_AT_KEPT: Duration = Duration::from_secs(5);
/// How many children are reaped in one turn: whatever floods us with orphans must not keep everything else waiting.
const REAPED_AT_ONCE: usize = 512;
/// So many runs of one owner may come before the pump has looked at any of them. The reader of the log stands still then,
/// and each run leaves two pipes behind that nobody empties: without an end to that, there are no descriptors left.
const MOST_UNREAD: usize = 64;
/// The same of a check, of which only the output is at stake.
const MOST_UNREAD_CHECKS: usize = 8;
/// How soon it is looked again whether the log is read.
const READ_AGAIN: Duration = Duration::from_millis(100);

/// How many processes that have had a TERM are remembered before it is looked which of them have ended.
const REACHED: usize = 1024;

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
    /// The pipes that were made for it.
    pipes: BTreeSet<u64>,
    /// The stop's TERM, once it has been sent.
    asked: Option<Asked>,
    /// Whether its group has had a KILL.
    killed: bool,
    /// Whether its owner is not there any more.
    is_forgotten: bool,
}

/// The TERM that began a stop.
#[derive(Debug)]
struct Asked {
    at: Instant,
    /// The same in the kernel's ticks.
    ticks: u64,
    reached: BTreeSet<Process>,
    escapees: BTreeSet<Process>,
    whole_group: bool,
}

/// What a run has left behind.
#[derive(Debug)]
struct Remaining {
    owner: Owner,
    run: RunId,
    group: i32,
    escapees: BTreeSet<Process>,
    /// Those of the group that the last look found.
    known: Vec<Process>,
    policy: Remainder,
    /// Gets `Gone`; nobody does once the owner is forgotten.
    report: Option<Recipient<RunReport>>,
}

impl Remaining {
    /// What is left of it now. All processes are listed only once those that are known have ended.
    fn look(&mut self, table: &mut Listing) -> Left {
        if sys::group_exists(self.group) {
            self.known.retain(|process| processes::is_alive(*process));
            if self.known.is_empty() {
                self.known = table.group(self.group);
            }
        } else {
            self.known.clear();
        }
        self.escapees.retain(|process| processes::is_alive(*process));
        Left { group: self.known.clone(), escapees: self.escapees.iter().copied().collect() }
    }
}

/// All processes, listed when first needed in a turn.
#[derive(Debug, Default)]
struct Listing(Option<ProcessTable>);

impl Listing {
    fn table(&mut self) -> Option<&ProcessTable> {
        if self.0.is_none() {
            self.0 = ProcessTable::read().ok();
        }
        self.0.as_ref()
    }

    /// The members of a group that exists. Without `/proc` it is one of unknown members.
    fn group(&mut self, group: i32) -> Vec<Process> {
        match self.table() {
            Some(table) => table.group(group),
            None => vec![Process { pid: -group, started: 0 }],
        }
    }
}

/// A process that has been started.
struct Spawned {
    pid: i32,
    /// Where to read the value that it prints, if it does.
    value: Option<OwnedFd>,
    /// The pipes that were made for it.
    pipes: BTreeSet<u64>,
}

impl Spawned {
    fn unread(pid: i32) -> Self {
        Self { pid, value: None, pipes: BTreeSet::new() }
    }
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

/// The actor of an owner has died, and what it ran is being killed.
#[derive(Debug)]
struct Clearing {
    /// What begins once that is gone.
    starts: Vec<Start>,
    done: Vec<Recipient<Disowned>>,
    /// When whatever is left counts as gone.
    until: Instant,
}

/// Everything ends.
#[derive(Debug)]
struct Ending {
    done: Recipient<AllEnded>,
    /// Every process below us.
    policy: Remainder,
}

/// See the module.
#[derive(Debug)]
pub struct Reaper {
    environment: Environment,
    nothing: File,
    pump: Pump,
    by_pid: HashMap<i32, Running>,
    pids: HashMap<(Owner, RunId), i32>,
    remaining: HashMap<(Owner, RunId), Remaining>,
    /// Of owners that are forgotten: they end, and nobody is told.
    forgotten: Vec<Remaining>,
    /// Of owners whose actors have died: no new run begins beside these.
    clearing: HashMap<Owner, Clearing>,
    /// The next look at what is left, and how soon after the last one it comes.
    looking: Option<(SpawnHandle, Duration)>,
    grace: Grace,
    closing: bool,
    /// Those below us that have had the TERM of a stop, and may live.
    reached: BTreeSet<Process>,
    /// How many there may be before those that have ended are taken out.
    reached_limit: usize,
    /// The last list of all processes made for a TERM, and until when it serves: a shutdown sends many at once.
    listing: Option<(Instant, Listing)>,
    unread: HashMap<Owner, Unread>,
    /// Runs of jobs that begin once the log is read.
    held_back: VecDeque<Start>,
    ending: Option<Ending>,
    out_of_memory: OutOfMemory,
    log: Logger,
    _guard: Option<PanicGuard>,
}

impl Reaper {
    /// No process yet. `nothing` is /dev/null, the stdin of every child.
    pub fn new(environment: Environment, nothing: File, pump: Pump, log: Logger, guard: Option<PanicGuard>) -> Self {
        Self {
            environment,
            nothing,
            pump,
            by_pid: HashMap::new(),
            pids: HashMap::new(),
            remaining: HashMap::new(),
            forgotten: Vec::new(),
            clearing: HashMap::new(),
            looking: None,
            grace: Grace::Term(Spec::STOP_TIMEOUT),
            closing: false,
            reached: BTreeSet::new(),
            reached_limit: REACHED,
            listing: None,
            unread: HashMap::new(),
            held_back: VecDeque::new(),
            ending: None,
            out_of_memory: OutOfMemory::of_ours(),
            log,
            _guard: guard,
        }
    }

    fn start(&mut self, start: Start, ctx: &mut Context<Self>) {
        if let Some(clearing) = self.clearing.get_mut(&start.owner) {
            clearing.starts.push(start);
            return;
        }
        let unread = self.unread.entry(start.owner.clone()).or_default();
        if start.launch.output.raw || start.launch.prints_value || !unread.is_full(&start.owner) {
            unread.told = false;
            let token = unread.token.clone();
            return self.spawn(start, Some(token), ctx);
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
                self.spawn(start, None, ctx);
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
        let held_back = self.held_back.iter().position(is_it).and_then(|at| self.held_back.remove(at));
        let starts = self.clearing.get_mut(owner).map(|clearing| &mut clearing.starts);
        let blocked = starts.and_then(|starts| starts.iter().position(is_it).map(|at| starts.remove(at)));
        let reason = if held_back.is_some() { "stopped before the log was read" } else { "stopped before its start" };
        let Some(start) = held_back.or(blocked) else { return };
        let reason = reason.into();
        start.report.do_send(RunReport { run, fact: RunFact::Ended(RunEnd::NotStarted { code: 126, reason }) });
    }

    /// With a token its output is read, unless it is raw.
    fn spawn(&mut self, start: Start, token: Option<Arc<()>>, ctx: &mut Context<Self>) {
        let Start { owner, run, launch, report } = start;
        let captured = !launch.output.raw && !launch.prints_value && token.is_some();
        self.end_earlier_check(&owner, ctx);
        match self.try_spawn(&owner, run, &launch, token) {
            Ok(Spawned { pid, value, pipes }) => {
                debug!(self.log, "process started"; "owner" => %owner, "run" => run.0, "process" => pid);
                for variable in &launch.pid_variables {
                    self.environment.put(variable.clone(), Some(pid.to_string().into()));
                }
                self.pids.insert((owner.clone(), run), pid);
                let reading = value.map(|value| reading::start(value, run, report.clone()));
                report.do_send(RunReport { run, fact: RunFact::Started(pid) });
                let running = Running {
                    owner,
                    run,
                    launch,
                    report,
                    captured,
                    reading,
                    pipes,
                    asked: None,
                    killed: false,
                    is_forgotten: false,
                };
                self.by_pid.insert(pid, running);
            }
            Err(error) => {
                let code = launch.not_started.unwrap_or(error.code());
                let end = RunEnd::NotStarted { code, reason: error.to_string().into() };
                report.do_send(RunReport { run, fact: RunFact::Ended(end) });
            }
        }
    }

    fn try_spawn(
        &self,
        owner: &Owner,
        run: RunId,
        launch: &Launch,
        token: Option<Arc<()>>,
    ) -> Result<Spawned, SpawnError> {
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
            return sys::spawn(&program, &args, &env, &streams).map(Spawned::unread).map_err(refused);
        }
        let Some(token) = token else {
            let refused_open = |cause: io::Error| refused(Errno::from_raw(cause.raw_os_error().unwrap_or_default()));
            let nowhere = OpenOptions::new().write(true).open("/dev/null").map_err(refused_open)?;
            let stdout = Some(nowhere.as_fd());
            let streams = Streams { stdin, stdout, stderr: stdout };
            return sys::spawn(&program, &args, &env, &streams).map(Spawned::unread).map_err(refused);
        };
        let (stdout, child_stdout) = sys::output_pipe().map_err(refused)?;
        if launch.prints_value {
            let streams = Streams { stdin, stdout: Some(child_stdout.as_fd()), stderr: None };
            let pid = sys::spawn(&program, &args, &env, &streams).map_err(refused)?;
            return Ok(Spawned { value: Some(stdout), ..Spawned::unread(pid) });
        }
        let (stderr, child_stderr) = sys::output_pipe().map_err(refused)?;
        let streams = Streams { stdin, stdout: Some(child_stdout.as_fd()), stderr: Some(child_stderr.as_fd()) };
        let pid = sys::spawn(&program, &args, &env, &streams).map_err(refused)?;
        let pipes = [&stdout, &stderr].into_iter().filter_map(|pipe| sys::inode(pipe).ok()).collect();
        let output = launch.output.clone();
        let captured = Captured { owner: owner.clone(), run, pid, stdout, stderr, output, token };
        if let Err(errno) = self.pump.attach(captured) {
            warn!(self.log, "cannot read the output of {}: {}", owner, sys::describe(errno));
        }
        Ok(Spawned { pid, value: None, pipes })
    }

    fn signal(&mut self, owner: Owner, run: RunId, signal: GroupSignal) {
        let number = match signal {
            GroupSignal::Terminate => sys::TERMINATE,
            GroupSignal::Kill => sys::KILL,
            GroupSignal::Number(number) => number,
        };
        let key = (owner, run);
        let signalled = match (self.pids.get(&key), self.remaining.get(&key)) {
            (Some(pid), _) => {
                if let (Some(running), sys::KILL) = (self.by_pid.get_mut(pid), number) {
                    running.killed = true;
                }
                sys::signal_run(*pid, number).map_err(|errno| (*pid, errno))
            }
            // Its leader has ended: what goes on is the job.
            (None, Some(left)) if sys::group_exists(left.group) => {
                sys::signal_group(left.group, number).map_err(|errno| (left.group, errno))
            }
            (None, _) => return,
        };
        if let Err((pid, errno)) = signalled {
            warn!(self.log, "cannot signal a process group"; "process" => pid, "signal" => number, "error" => sys::describe(errno));
        }
        if number == sys::TERMINATE {
            self.signal(key.0, key.1, GroupSignal::Number(sys::CONTINUE));
        }
    }

    /// The stop's TERM. Whom it reaches is remembered, and who is below the leader, but in other groups.
    fn stop(&mut self, owner: Owner, run: RunId, whole_group: bool, ctx: &mut Context<Self>) {
        let Some(pid) = self.pids.get(&(owner.clone(), run)).copied() else { return };
        let now = timers::now();
        if self.by_pid.get(&pid).is_none_or(|running| running.asked.is_some()) {
            return;
        }
        let mut reached = BTreeSet::new();
        let mut escapees = BTreeSet::new();
        if let Some(table) = self.listing(now) {
            if whole_group {
                reached.extend(table.group(pid));
            }
            let others = table.below(pid).into_iter().filter(|row| row.group != pid && row.process.pid != pid);
            escapees.extend(others.map(|row| row.process));
        }
        let ticks = sys::ticks_since_boot();
        self.remember(reached.iter().copied().filter(|process| process.pid != pid).collect());
        if let Some(running) = self.by_pid.get_mut(&pid) {
            running.asked = Some(Asked { at: now, ticks, reached, escapees, whole_group });
        }
        let send = if whole_group { sys::signal_run } else { sys::signal_process };
        // A stopped process has to go on to act on it.
        for signal in [sys::TERMINATE, sys::CONTINUE] {
            if let Err(errno) = send(pid, signal) {
                warn!(self.log, "cannot signal a process group"; "process" => pid, "signal" => signal, "error" => sys::describe(errno));
            }
        }
        // Nobody waits for a check, so that its deadline is kept here.
        if let (Owner::Check(_), Grace::Term(grace)) = (&owner, self.grace) {
            ctx.run_later(grace, move |reaper, _| {
                if reaper.by_pid.get(&pid).is_some_and(|running| running.run == run && running.owner == owner) {
                    reaper.kill_leader(pid);
                }
            });
        }
    }

    fn kill_leader(&mut self, pid: i32) {
        if let Some(running) = self.by_pid.get_mut(&pid) {
            running.killed = true;
        }
        if let Err(errno) = sys::signal_run(pid, sys::KILL) {
            warn!(self.log, "cannot kill a process group"; "process" => pid, "error" => sys::describe(errno));
        }
    }

    /// A list of all processes, just made. It serves a while, so that a shutdown of many jobs lists them a few times, not once each;
    /// those that are forked meanwhile are told by the time of their start.
    fn listing(&mut self, now: Instant) -> Option<&ProcessTable> {
        if self.listing.as_ref().is_none_or(|(until, _)| now >= *until) {
            let mut listing = Listing::default();
            listing.table();
            let took = timers::now().saturating_duration_since(now);
            self.listing = Some((timers::now() + took * 10, listing));
        }
        self.listing.as_mut()?.1.table()
    }

    /// These have had a TERM.
    fn remember(&mut self, processes: Vec<Process>) {
        self.reached.extend(processes);
        if self.reached.len() > self.reached_limit {
            self.reached.retain(|process| processes::is_alive(*process));
            self.reached_limit = REACHED.max(self.reached.len() * 2);
        }
    }

    fn signal_process(&self, owner: Owner, run: RunId, signal: i32) {
        let Some(pid) = self.pids.get(&(owner, run)).copied() else { return };
        if signal == sys::CONTINUE && self.is_job_control(pid) {
            // A shell's `fg` has given us the terminal.
            sys::put_into_foreground(pid);
        }
        // A stopped process has to go on to act on a TERM.
        let after = (signal == sys::TERMINATE).then_some(sys::CONTINUE);
        for signal in [signal].into_iter().chain(after) {
            if let Err(errno) = sys::signal_process(pid, signal) {
                warn!(self.log, "cannot signal a process"; "process" => pid, "signal" => signal, "error" => sys::describe(errno));
            }
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

    /// SIGCHLD coalesces, so this goes on until there is nobody left to reap; of a flood in several turns.
    fn reap_all(&mut self, ctx: &mut Context<Self>) {
        let mut ended = Vec::new();
        while let Children::Ended(child) = sys::next_ended() {
            sys::reap(child.pid);
            ended.push(child);
            if ended.len() >= REAPED_AT_ONCE {
                ctx.notify(ReaperCommand::Reap);
                break;
            }
        }
        if ended.is_empty() {
            return;
        }
        let mut listing = Listing::default();
        for child in ended {
            self.ended(child, &mut listing, ctx);
        }
        self.look_at_ends(ctx);
        self.release_cleared(ctx);
    }

    /// A child has ended, and is reaped. While its group has members, the group's id cannot be anybody else's.
    fn ended(&mut self, mut ended: Ended, listing: &mut Listing, ctx: &mut Context<Self>) {
        let Some(mut running) = self.by_pid.remove(&ended.pid) else { return };
        // A shell reports such an end of its child as 137.
        match ended.exit {
            Exit::Signal(sys::KILL) if !running.killed && self.out_of_memory.has_killed() => {
                ended.exit = Exit::OutOfMemory
            }
            Exit::Status(137) => self.out_of_memory.forget(),
            Exit::Status(_) | Exit::Signal(_) | Exit::OutOfMemory => {}
        }
        debug!(self.log, "process ended"; "owner" => %running.owner, "process" => ended.pid, "exit" => %ended.exit);
        self.forget(&running, ended.pid);
        let remains = self.take_remains(&mut running, ended.pid, listing, ctx);
        let Running { owner, run, launch, report, captured, reading, .. } = running;
        if captured {
            let stream = match launch.last_words {
                LastWords::OfAny => Some(None),
                LastWords::OfFailure => (!ended.exit.is_success()).then_some(Some(Stream::Stderr)),
            };
            let report = report.clone();
            match stream {
                Some(stream) => self.pump.ended_and_said(owner, run, Asking { pid: ended.pid, stream, report }),
                None => self.pump.ended(owner, run),
            }
        }
        if let Some(writes) = remains {
            report.do_send(RunReport { run, fact: RunFact::Remains { writes } });
        }
        let end = RunReport { run, fact: RunFact::Ended(RunEnd::Exited(ended.exit)) };
        match reading {
            // If it is gone, the one that waited for it is, too.
            Some(reading) => drop(reading.send(end)),
            None => report.do_send(end),
        }
    }

    /// What the leader of a run leaves behind, if it does: whether that holds the job's pipes.
    fn take_remains(
        &mut self,
        running: &mut Running,
        group: i32,
        listing: &mut Listing,
        ctx: &mut Context<Self>,
    ) -> Option<bool> {
        let asked = running.asked.take();
        // With `termGroup: false` only a shutdown concerns those in other groups.
        let escapees = |asked: &Asked| asked.whole_group || self.closing;
        let remembered = asked.as_ref().filter(|asked| escapees(asked)).map(|asked| asked.escapees.clone());
        if remembered.as_ref().is_none_or(BTreeSet::is_empty) && !sys::group_exists(group) {
            return None;
        }
        let now = timers::now();
        let mut left = Remaining {
            owner: running.owner.clone(),
            run: running.run,
            group,
            escapees: remembered.unwrap_or_default(),
            known: Vec::new(),
            policy: Remainder::new(None, now),
            report: Some(running.report.clone()),
        };
        let found = left.look(listing);
        if found.is_empty() {
            return None;
        }
        let asked = asked.map(|asked| {
            let mut reached = asked.reached;
            // Forked after the list was made, but before the TERM.
            let in_between = found.group.iter().filter(|process| asked.whole_group && process.started < asked.ticks);
            reached.extend(in_between);
            (asked.at, reached)
        });
        let helpers = asked.as_ref().and_then(|(_, reached)| Some(listing.table()?.started_by(reached)));
        left.policy = Remainder::new(asked, now);
        left.policy.helped_by(helpers.unwrap_or_default());
        if running.killed {
            left.policy.killed(now);
        }
        let writes = found.group.iter().any(|process| processes::has_open(process.pid, &running.pipes));
        debug!(self.log, "process leaves others behind"; "owner" => %left.owner, "count" => found.group.len(), "escapees" => found.escapees.len());
        let is_of_check = matches!(left.owner, Owner::Check(_));
        if running.is_forgotten || (is_of_check && !running.launch.keeps_daemons) {
            left.report = None;
            let actions = left.policy.end(self.grace, &found, now);
            if !self.perform(actions, &left) {
                self.forgotten.push(left);
            }
        } else {
            self.remaining.insert((left.owner.clone(), left.run), left);
        }
        self.keep_looking(ctx);
        Some(writes)
    }

    /// A daemon that a check has left ends with its next run, which does not wait for that.
    fn end_earlier_check(&mut self, owner: &Owner, ctx: &mut Context<Self>) {
        if self.remaining.is_empty() || !matches!(owner, Owner::Check(_)) {
            return;
        }
        let earlier: Vec<_> = self.remaining.keys().filter(|(whose, _)| whose == owner).cloned().collect();
        for key in earlier {
            self.end_remainder(&key, false, ctx);
        }
    }

    fn end_remainder(&mut self, key: &(Owner, RunId), kill: bool, ctx: &mut Context<Self>) {
        let Some(mut left) = self.remaining.remove(key) else { return };
        let now = timers::now();
        let found = left.look(&mut Listing::default());
        let grace = if kill { Grace::KillAtOnce } else { self.grace };
        let actions = if kill { left.policy.kill(&found, now) } else { left.policy.end(grace, &found, now) };
        if !self.perform(actions, &left) {
            self.remaining.insert(key.clone(), left);
            self.keep_looking(ctx);
        }
    }

    /// Whether nothing is left by now.
    fn perform(&mut self, actions: Vec<Action>, of: &Remaining) -> bool {
        let mut is_gone = false;
        for action in actions {
            match action {
                Action::Terminate(processes) => self.terminate(processes),
                Action::Kill(processes) => {
                    // All at once, so that none forks while the others are killed.
                    if sys::group_exists(of.group) && processes.iter().any(|process| of.known.contains(process)) {
                        self.warn_of(sys::signal_group(of.group, sys::KILL), of.group);
                    }
                    self.kill(&processes);
                }
                Action::Gone { survivors } => {
                    is_gone = true;
                    if !survivors.is_empty() {
                        let pids: Vec<String> = survivors.iter().map(|process| process.pid.to_string()).collect();
                        warn!(self.log, "{} leaves processes that survive a KILL", of.owner; "processes" => pids.join(","));
                    }
                    if let Some(report) = &of.report {
                        report.do_send(RunReport { run: of.run, fact: RunFact::Gone });
                    }
                }
            }
        }
        is_gone
    }

    fn terminate(&mut self, processes: Vec<Process>) {
        for process in &processes {
            self.warn_of(sys::signal_exactly(*process, &[sys::TERMINATE, sys::CONTINUE]), process.pid);
        }
        self.remember(processes);
    }

    fn kill(&self, processes: &[Process]) {
        for process in processes {
            self.warn_of(sys::signal_exactly(*process, &[sys::KILL]), process.pid);
        }
    }

    fn warn_of(&self, signalled: Result<(), Errno>, pid: i32) {
        if let Err(errno) = signalled {
            debug!(self.log, "cannot signal a process"; "process" => pid, "error" => sys::describe(errno));
        }
    }

    /// Looks at what is left from now on, until nothing is: often if some of it has a deadline.
    fn keep_looking(&mut self, ctx: &mut Context<Self>) {
        let ends = self.remaining.values().chain(&self.forgotten).any(|left| left.policy.is_ending());
        let pace = match (ends, self.remaining.is_empty()) {
            (true, _) => Some(LOOK),
            (false, false) => Some(LOOK_AT_KEPT),
            (false, true) => None,
        };
        if self.looking.is_some_and(|(_, at)| pace.is_some_and(|pace| at <= pace)) {
            return;
        }
        if let Some((slower, _)) = self.looking.take() {
            ctx.cancel_future(slower);
        }
        self.looking = pace.map(|pace| {
            let look = |reaper: &mut Self, ctx: &mut Context<Self>| {
                reaper.looking = None;
                reaper.look(|_| true);
                reaper.keep_looking(ctx);
                reaper.release_cleared(ctx);
            };
            (ctx.run_later(pace, look), pace)
        });
    }

    /// A child has ended: a group without any member is gone. That costs one system call for each, and no list of processes.
    fn look_at_ends(&mut self, ctx: &mut Context<Self>) {
        if self.remaining.is_empty() && self.forgotten.is_empty() {
            return;
        }
        self.look(|left| !sys::group_exists(left.group));
        self.keep_looking(ctx);
    }

    fn look(&mut self, concerned: impl Fn(&Remaining) -> bool) {
        let now = timers::now();
        let mut listing = Listing::default();
        let keys: Vec<_> =
            self.remaining.iter().filter(|(_, left)| concerned(left)).map(|(key, _)| key.clone()).collect();
        for key in keys {
            let Some(mut left) = self.remaining.remove(&key) else { continue };
            let found = left.look(&mut listing);
            let actions = left.policy.looked(&found, now);
            if !self.perform(actions, &left) {
                self.remaining.insert(key, left);
            }
        }
        for mut left in std::mem::take(&mut self.forgotten) {
            let found = left.look(&mut listing);
            let actions = left.policy.looked(&found, now);
            if !self.perform(actions, &left) {
                self.forgotten.push(left);
            }
        }
    }

    fn forget(&mut self, running: &Running, pid: i32) {
        if !running.is_forgotten {
            self.pids.remove(&(running.owner.clone(), running.run));
        }
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
    fn disown(&mut self, owner: &Owner, done: Option<Recipient<Disowned>>, ctx: &mut Context<Self>) {
        for pid in self.let_go(owner) {
            self.kill_leader(pid);
        }
        for key in self.remaining_of(owner) {
            self.end_remainder(&key, true, ctx);
        }
        self.orphan(owner, ctx);
        let until = timers::now() + GIVE_UP;
        let before = self.clearing.remove(owner).map(|before| before.done).unwrap_or_default();
        // What waited was the dead actor's.
        let clearing = Clearing { starts: Vec::new(), done: before.into_iter().chain(done).collect(), until };
        self.clearing.insert(owner.clone(), clearing);
        self.release_cleared(ctx);
        if self.clearing.contains_key(owner) {
            ctx.run_later(GIVE_UP, Self::release_cleared);
        }
    }

    /// Has those begin, and tells those, who waited for the end of what a dead actor has left.
    fn release_cleared(&mut self, ctx: &mut Context<Self>) {
        let now = timers::now();
        let owners: Vec<Owner> = self.clearing.keys().cloned().collect();
        for owner in owners {
            let is_left = self.is_being_killed(&owner);
            if is_left && self.clearing.get(&owner).is_some_and(|clearing| now < clearing.until) {
                continue;
            }
            let Some(clearing) = self.clearing.remove(&owner) else { continue };
            if is_left {
                warn!(self.log, "{} leaves processes that survive a KILL", owner);
            }
            for done in clearing.done {
                done.do_send(Disowned(owner.clone()));
            }
            for start in clearing.starts {
                self.start(start, ctx);
            }
        }
    }

    fn is_being_killed(&self, owner: &Owner) -> bool {
        let runs = self.by_pid.values().any(|run| run.is_forgotten && run.killed && run.owner == *owner);
        runs || self.forgotten.iter().any(|left| left.owner == *owner && left.policy.is_ending())
    }

    /// The owner has stopped for good: a check that is still at work has had its TERM.
    fn forget_owner(&mut self, owner: &Owner, ctx: &mut Context<Self>) {
        self.let_go(owner);
        self.orphan(owner, ctx);
    }

    /// From now on nobody knows the runs of this owner, which may begin to count anew.
    fn let_go(&mut self, owner: &Owner) -> Vec<i32> {
        self.unread.remove(owner);
        self.held_back.retain(|start| start.owner != *owner);
        let runs: Vec<(RunId, i32)> =
            self.pids.iter().filter(|((whose, _), _)| whose == owner).map(|((_, run), pid)| (*run, *pid)).collect();
        for (run, pid) in &runs {
            self.pids.remove(&(owner.clone(), *run));
            if let Some(running) = self.by_pid.get_mut(pid) {
                running.is_forgotten = true;
            }
        }
        runs.into_iter().map(|(_, pid)| pid).collect()
    }

    fn remaining_of(&self, owner: &Owner) -> Vec<(Owner, RunId)> {
        self.remaining.keys().filter(|(whose, _)| whose == owner).cloned().collect()
    }

    fn orphan(&mut self, owner: &Owner, ctx: &mut Context<Self>) {
        for key in self.remaining_of(owner) {
            let left = self.remaining.remove(&key);
            self.forgotten.extend(left.map(|left| Remaining { report: None, ..left }));
        }
        self.keep_looking(ctx);
    }

    /// All that is below us ends; looks again until it is gone.
    fn end_all(&mut self, ctx: &mut Context<Self>) {
        self.reap_all(ctx);
        let found = Left { group: everybody_below(), escapees: Vec::new() };
        let Some(mut ending) = self.ending.take() else { return };
        let actions = ending.policy.looked(&found, timers::now());
        self.perform_ending(ending, actions, ctx);
    }

    fn perform_ending(&mut self, ending: Ending, actions: Vec<Action>, ctx: &mut Context<Self>) {
        for action in actions {
            match action {
                Action::Terminate(processes) => self.terminate(processes),
                Action::Kill(processes) => {
                    sys::signal_everybody(sys::KILL);
                    self.kill(&processes);
                }
                Action::Gone { survivors } => {
                    if !survivors.is_empty() {
                        warn!(self.log, "some processes cannot be killed"; "count" => survivors.len());
                    }
                    ending.done.do_send(AllEnded);
                    return;
                }
            }
        }
        self.ending = Some(ending);
        ctx.run_later(LOOK, Self::end_all);
    }
}

/// Ends every process that is left below us when actors that everything depends on are gone. Blocks: no actor that is left may
/// start anything meanwhile.
pub fn end_what_is_left(grace: Grace) {
    let mut policy = Remainder::new(None, timers::now());
    let look = || {
        while let Children::Ended(child) = sys::next_ended() {
            sys::reap(child.pid);
        }
        Left { group: everybody_below(), escapees: Vec::new() }
    };
    // Whom no signal reaches has ended.
    let signal = |processes: Vec<Process>, signals: &[i32]| {
        processes.into_iter().filter(|process| sys::signal_exactly(*process, signals).is_ok()).count()
    };
    let mut actions = policy.end(grace, &look(), timers::now());
    loop {
        for action in actions {
            match action {
                Action::Terminate(processes) => {
                    signal(processes, &[sys::TERMINATE, sys::CONTINUE]);
                }
                Action::Kill(processes) => {
                    sys::signal_everybody(sys::KILL);
                    signal(processes, &[sys::KILL]);
                }
                Action::Gone { .. } => return,
            }
        }
        std::thread::park_timeout(LOOK);
        actions = policy.looked(&look(), timers::now());
    }
}

/// Every process that is left below us. Without `/proc` they cannot be told apart.
fn everybody_below() -> Vec<Process> {
    let us = i32::try_from(std::process::id()).unwrap_or(1);
    match ProcessTable::read() {
        Ok(table) => table.below(us).into_iter().map(|row| row.process).collect(),
        Err(_) if sys::next_ended() == Children::None => Vec::new(),
        Err(_) => vec![EVERYBODY],
    }
}

/// All processes below us, if they cannot be listed.
const EVERYBODY: Process = Process { pid: -1, started: 0 };

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
            ReaperCommand::Stop { owner, run, whole_group } => {
                self.call_off(&owner, run);
                self.stop(owner, run, whole_group, ctx);
            }
            ReaperCommand::EndRemainder { owner, run, kill } => self.end_remainder(&(owner, run), kill, ctx),
            ReaperCommand::Grant(grace) => self.grace = grace,
            ReaperCommand::Closing => self.closing = true,
            ReaperCommand::PutEnv(changes) => {
                for (name, value) in changes {
                    self.environment.put(name, value);
                }
            }
            ReaperCommand::Disown { owner, done } => self.disown(&owner, done, ctx),
            ReaperCommand::Forget(owner) => self.forget_owner(&owner, ctx),
            ReaperCommand::Reap => {
                self.reap_all(ctx);
                self.stop_with_the_stopped();
            }
            ReaperCommand::EndAll { since, done } => {
                self.held_back.clear();
                self.clearing.clear();
                self.reap_all(ctx);
                let now = timers::now();
                let mut reached = std::mem::take(&mut self.reached);
                // Checks at work have had theirs, too.
                for (pid, running) in self.by_pid.iter().filter(|(_, running)| running.asked.is_some()) {
                    reached.extend(processes::row(*pid).map(|row| row.process));
                    reached.extend(running.asked.iter().flat_map(|asked| asked.reached.iter().copied()));
                }
                let helpers = ProcessTable::read().map(|table| table.started_by(&reached));
                let mut policy = Remainder::new(Some((since, reached)), now);
                policy.helped_by(helpers.unwrap_or_default());
                let mut ending = Ending { done, policy };
                let found = Left { group: everybody_below(), escapees: Vec::new() };
                let actions = ending.policy.end(self.grace, &found, now);
                self.perform_ending(ending, actions, ctx);
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
