//! One run of the binary: its config, its lines, its end.
#![expect(clippy::disallowed_methods, reason = "a test waits for its own child, for as long as it takes")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long anything may take that must happen.
const LIMIT: Duration = Duration::from_secs(30);

pub struct Pilot {
    pub folder: PathBuf,
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    /// How many lines there were when the last one that was waited for came.
    at: usize,
    /// The child is not the binary but the one that made a container for it.
    is_contained: bool,
}

/// A folder of the test's own.
pub fn folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("containerpilot-it-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn write_config(folder: &Path, config: &str) {
    std::fs::write(folder.join("app.json5"), config.replace('@', folder.to_str().unwrap())).unwrap();
}

/// What a process does, as `ps` has it: `T` has been stopped. None if there is none.
pub fn state(pid: i32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// The children of a process, whichever thread has started them.
pub fn children(pid: i32) -> Vec<i32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    // A thread may end meanwhile.
    let lists = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<i32>>()).collect()
}

/// A folder of the test's own, gone with it.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        Self(folder())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// The binary with these arguments, run to its end.
pub fn containerpilot(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_containerpilot")).args(args).output().unwrap()
}

impl Pilot {
    /// Runs a config of these jobs (JSON5, without the brackets); `@` in it is the test's own folder.
    pub fn of_jobs(jobs: &str) -> Self {
        Self::of(&format!("{{ control: {{ socket: '@/socket' }}, stopTimeout: 2, jobs: [ {jobs} ] }}"))
    }

    pub fn of(config: &str) -> Self {
        Self::of_command(config, &[])
    }

    /// Runs a config, and a command beside it; `@` in both is the test's own folder.
    pub fn of_command(config: &str, words: &[&str]) -> Self {
        Self::of_command_to(config, words, Stdio::piped())
    }

    /// Runs a config with a stdout of the test's own: what goes there is not among the lines.
    pub fn of_to(config: &str, stdout: impl Into<Stdio>) -> Self {
        Self::of_command_to(config, &[], stdout.into())
    }

    fn of_command_to(config: &str, words: &[&str], stdout: Stdio) -> Self {
        let folder = folder();
        write_config(&folder, config);
        Self::start(folder, &[&["-config", "@/app.json5"], words].concat(), stdout)
    }

    /// Runs a command without any config.
    pub fn plain(words: &[&str]) -> Self {
        Self::start(folder(), words, Stdio::piped())
    }

    /// Runs the binary as PID 1 of the container that these words make.
    pub fn contained(container: &[&str], args: &[&str]) -> Self {
        let program = [container, &[env!("CARGO_BIN_EXE_containerpilot")]].concat();
        let mut pilot = Self::start_program(&program, folder(), args, Stdio::piped());
        pilot.is_contained = true;
        pilot
    }

    fn start(folder: PathBuf, args: &[&str], stdout: Stdio) -> Self {
        Self::start_program(&[env!("CARGO_BIN_EXE_containerpilot")], folder, args, stdout)
    }

    fn start_program(program: &[&str], folder: PathBuf, args: &[&str], stdout: Stdio) -> Self {
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).args(args.iter().map(|arg| arg.replace('@', folder.to_str().unwrap())));
        command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // The test's stdout must not stay open in here.
        drop(command);
        let (sender, lines) = channel();
        let stdout = child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn std::io::Read + Send>);
        for pipe in stdout.into_iter().chain([Box::new(child.stderr.take().unwrap()) as _]) {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                    if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                        return;
                    }
                }
            });
        }
        Self { folder, child, lines, seen: Vec::new(), at: 0, is_contained: false }
    }

    /// The text with the test's own folder for each `@`.
    pub fn at_home(&self, text: &str) -> String {
        text.replace('@', self.folder.to_str().unwrap())
    }

    /// Waits for a line that holds these words.
    pub fn says(&mut self, words: &str) -> String {
        self.at = 0;
        self.says_then(words)
    }

    /// Waits for such a line after the one that was waited for before.
    pub fn says_then(&mut self, words: &str) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(found) = self.seen[self.at..].iter().position(|line| line.contains(words)) {
                self.at += found + 1;
                return self.seen[self.at - 1].clone();
            }
            self.at = self.seen.len();
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("never said `{words}`:\n{}", self.seen.join("\n"))
                }
            }
        }
    }

    /// The binary's, as it is outside of its container.
    pub fn pid(&self) -> i32 {
        let child = i32::try_from(self.child.id()).unwrap();
        if !self.is_contained {
            return child;
        }
        until(|| !children(child).is_empty());
        children(child)[0]
    }

    pub fn send(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// Waits for the end: the exit status.
    pub fn ended(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Writes another config, and asks for it as one does of version 2.
    pub fn reload(&self, config: &str) {
        write_config(&self.folder, config);
        self.send(Signal::SIGHUP);
    }

    /// Waits for the end: the exit status, and every line that was said.
    pub fn end(mut self) -> (Option<i32>, Vec<String>) {
        let status = self.ended();
        // Both pipes are closed by now, unless a process outlived us: then this takes its time and fails.
        while let Ok(line) = self.lines.recv_timeout(LIMIT) {
            self.seen.push(line);
        }
        (status, std::mem::take(&mut self.seen))
    }

    /// Asks for the end and waits for it.
    pub fn stop(self) -> (Option<i32>, Vec<String>) {
        self.send(Signal::SIGTERM);
        self.end()
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        // Most tests have seen its end. Where not, it is stopped before its jobs are killed, or it would start them again.
        if matches!(self.child.try_wait(), Ok(None)) {
            self.send(Signal::SIGSTOP);
            for pid in descendants(self.child.id()) {
                _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
            }
        }
        drop(self.child.kill());
        drop(self.child.wait());
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

/// Whoever descends from a process, in any group.
fn descendants(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let children: Vec<u32> =
        children.flat_map(|list| list.split_whitespace().flat_map(str::parse).collect::<Vec<_>>()).collect();
    children.into_iter().flat_map(|child| [descendants(child), vec![child]].concat()).collect()
}

/// What jobs said, in the order they said it: the last field of each line that has a job and a pid.
pub fn said(lines: &[String]) -> Vec<String> {
    let message = |line: &String| {
        let mut fields = line.splitn(4, ' ').skip(1);
        let (_job, pid) = (fields.next()?, fields.next()?);
        pid.parse::<u32>().ok()?;
        // What a shell remarks of the `sleep` that it waited for.
        fields.next().filter(|message| *message != "Terminated").map(str::to_owned)
    };
    lines.iter().filter_map(message).collect()
}

/// Waits until something is so.
pub fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "not so in time");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}
