//! What supervision costs: size, memory at rest, start, restart, spawning, reaping, requests, the end.
//!
//!     cargo bench --bench supervision
//!
//! Prints medians of several rounds beside the goals. Each job is this very program, called with `job ...`, so that what is
//! measured is the supervisor and not a shell. Wall times mean something on a quiet machine only; CPU is the supervisor's own.
#![expect(clippy::print_stdout, reason = "its table is what it is for")]
#![expect(clippy::disallowed_methods, reason = "it measures real time, and waits for it")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot measure has to stop")]

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

const BINARY: &str = env!("CARGO_BIN_EXE_containerpilot");
const ROUNDS: usize = 7;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args.get(1).map(String::as_str) == Some("job") {
        return job(&args[2], Path::new(&args[3]));
    }
    // `cargo test --benches` only wants to know that it builds.
    if args.iter().any(|arg| arg == "--test") {
        return;
    }
    println!("{:<58} {:>10}   goal", "", "measured");
    row("binary", fs::metadata(BINARY).unwrap().len() as f64 / 1e6, "MB", "<= 4");
    for (jobs, goal) in [(1, "<= 4"), (100, "<= 6"), (1000, "<= 16")] {
        idle(jobs, goal);
    }
    startup(1, "<= 2");
    startup(100, "<= 45");
    restart();
    spawn_rate();
    orphans(5000);
    requests(1, "stamp", "one client", ["<= 15", "<= 0.13", "<= 18", "<= 0.13"]);
    requests(50, "lines", "50 jobs log at full rate", ["", "<= 1", "", "<= 1"]);
    scrapes(100, "<= 2");
    shutdown(1, "<= 3");
    shutdown(100, "<= 15");
}

fn row(name: &str, value: f64, unit: &str, goal: &str) {
    println!("{name:<58} {value:>10.2} {unit:<8} {goal}");
}

/// Nanoseconds of the clock that all processes share.
fn now() -> i64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap();
    time.tv_sec() * 1_000_000_000 + time.tv_nsec()
}

/// The jobs: `stamp` notes the time of its first instruction and rests, `once` ends at once, `orphans` makes orphans,
/// `lines` writes for ever.
fn job(what: &str, file: &Path) {
    let begun = now();
    let note = |text: String| {
        let mut file = fs::OpenOptions::new().append(true).create(true).open(file).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    match what {
        "stamp" => {
            note(format!("{begun} {}\n", std::process::id()));
            std::thread::sleep(Duration::from_secs(3600));
        }
        "once" => note("x\n".to_owned()),
        // One shell per hundred, each of which leaves its children behind when it ends.
        "orphans" => {
            let script = "for i in $(seq 100); do sleep 0.3 & done";
            for _ in 0..50 {
                Command::new("sh").args(["-c", script]).status().unwrap();
            }
            note(format!("{}\n", now()));
            std::thread::sleep(Duration::from_secs(3600));
        }
        "lines" => {
            note("x\n".to_owned());
            let lines = format!("{:<99}\n", "GET /a/b?c=d HTTP/1.1 200").repeat(40);
            while std::io::stdout().write_all(lines.as_bytes()).is_ok() {}
        }
        other => panic!("no such job: {other}"),
    }
}

/// A supervisor at work.
struct Run {
    child: Child,
    folder: PathBuf,
    started: i64,
    /// Of telemetry.
    port: u16,
}

impl Run {
    fn of(jobs: usize, what: &str, more: &str) -> Self {
        Self::start(jobs, what, more, 0)
    }

    fn with_telemetry(jobs: usize, what: &str) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        Self::start(jobs, what, "", port)
    }

    fn start(jobs: usize, what: &str, more: &str, port: u16) -> Self {
        let folder = std::env::temp_dir().join(format!("containerpilot-bench-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let own = std::env::current_exe().unwrap();
        let notes = folder.join("notes");
        fs::write(&notes, "").unwrap();
        let job = |n| format!("{{ name: 'j{n}', exec: [{own:?}, 'job', '{what}', {notes:?}]{more} }}");
        let jobs: Vec<String> = (0..jobs).map(job).collect();
        let metric = "{ namespace: 'bench', name: 'value', help: 'a value', type: 'gauge' }";
        let telemetry = match port {
            0 => String::new(),
            port => format!("telemetry: {{ port: {port}, interfaces: ['static:127.0.0.1'], metrics: [{metric}] }},"),
        };
        let control = format!("control: {{ socket: {:?} }}", folder.join("socket"));
        let config = format!("{{ {control}, {telemetry} jobs: [{}] }}", jobs.join(","));
        fs::write(folder.join("config"), config).unwrap();
        let started = now();
        let mut command = Command::new(BINARY);
        let child = command.arg("-config").arg(folder.join("config")).stdout(Stdio::null()).spawn().unwrap();
        Self { child, folder, started, port }
    }

    fn notes(&self) -> Vec<String> {
        fs::read_to_string(self.folder.join("notes")).unwrap().lines().map(str::to_owned).collect()
    }

    /// Waits for so many notes.
    fn noted(&self, count: usize) -> Vec<String> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let notes = self.notes();
            if notes.len() >= count {
                return notes;
            }
            assert!(Instant::now() < deadline, "{} of {count} notes", notes.len());
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    fn status(&self, field: &str) -> f64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = text.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// All threads' context switches.
    fn switches(&self) -> f64 {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let of = |text: String| -> f64 {
            let lines = text.lines().filter(|line| line.contains("ctxt_switches"));
            lines.map(|line| line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap()).sum()
        };
        threads.map(|thread| of(fs::read_to_string(thread.unwrap().path().join("status")).unwrap())).sum()
    }

    /// Seconds of CPU of the supervisor itself.
    fn cpu(&self) -> f64 {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let of = |text: String| text.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e9;
        threads.map(|thread| of(fs::read_to_string(thread.unwrap().path().join("schedstat")).unwrap())).sum()
    }

    /// Ends it; the milliseconds from TERM to gone.
    fn stop(mut self) -> f64 {
        let asked = now();
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGTERM).unwrap();
        self.child.wait().unwrap();
        let took = now() - asked;
        fs::remove_dir_all(&self.folder).unwrap();
        took as f64 / 1e6
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn at(note: &str) -> i64 {
    note.split(' ').next().unwrap().parse().unwrap()
}

fn idle(jobs: usize, goal: &str) {
    let run = Run::of(jobs, "stamp", "");
    run.noted(jobs);
    let before = run.switches();
    std::thread::sleep(Duration::from_secs(3));
    row(&format!("memory at rest (RSS), {jobs} jobs"), run.status("VmRSS") / 1024.0, "MiB", goal);
    row(&format!("threads, {jobs} jobs"), run.status("Threads"), "", "<= 3");
    row(&format!("context switches at rest, {jobs} jobs"), (run.switches() - before) / 3.0, "/s", "0");
    run.stop();
}

fn startup(jobs: usize, goal: &str) {
    let once = |_| {
        let run = Run::of(jobs, "stamp", "");
        let last = run.noted(jobs).iter().map(|note| at(note)).max().unwrap();
        let took = (last - run.started) as f64 / 1e6;
        run.stop();
        took
    };
    let took = median((0..ROUNDS).map(once).collect());
    row(&format!("fork of the binary to the first instruction of job {jobs} of {jobs}"), took, "ms", goal);
}

fn restart() {
    let once = |_| {
        let run = Run::of(1, "stamp", ", restarts: 'unlimited', backoff: 'none'");
        let first = run.noted(1).remove(0);
        let pid: i32 = first.split(' ').nth(1).unwrap().parse().unwrap();
        std::thread::sleep(Duration::from_millis(300));
        let killed = now();
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        let took = (at(&run.noted(2)[1]) - killed) as f64 / 1e6;
        run.stop();
        took
    };
    row(
        "SIGKILL of a job to its replacement's first instruction",
        median((0..ROUNDS).map(once).collect()),
        "ms",
        "<= 0.9",
    );
}

fn spawn_rate() {
    let run = Run::of(1, "once", ", restarts: 'unlimited', backoff: 'none'");
    run.noted(1);
    let (before, cpu, begun) = (run.notes().len(), run.cpu(), Instant::now());
    std::thread::sleep(Duration::from_secs(3));
    let (runs, cpu, took) = ((run.notes().len() - before) as f64, run.cpu() - cpu, begun.elapsed().as_secs_f64());
    row("runs of a job that ends at once", runs / took, "/s", ">= 1600");
    row("CPU of the supervisor for each", cpu * 1e6 / runs, "us", "<= 80");
    run.stop();
}

fn orphans(count: usize) {
    let run = Run::of(1, "orphans", "");
    run.noted(1);
    let cpu = run.cpu();
    std::thread::sleep(Duration::from_secs(2));
    row(
        &format!("CPU of the supervisor for each of the last of {count} orphans"),
        (run.cpu() - cpu) * 1e6 / count as f64,
        "us",
        "<= 16",
    );
    run.stop();
}

/// Asks once, on a connection of its own; the seconds to the end of the answer.
fn ask(mut stream: impl Read + Write, request: &str, begun: Instant) -> f64 {
    let mut answer = Vec::new();
    stream.write_all(request.as_bytes()).unwrap();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
    begun.elapsed().as_secs_f64()
}

/// Over the control socket.
fn requests(jobs: usize, what: &str, name: &str, goals: [&str; 4]) {
    const COUNT: usize = 20_000;
    let run = Run::with_telemetry(jobs, what);
    run.noted(jobs);
    let socket = run.folder.join("socket");
    let body = "{\"bench_value\": 1.5}";
    let metric = format!("POST /v3/metric HTTP/1.1\r\nHost: c\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let ping = "GET /v3/ping HTTP/1.1\r\nHost: c\r\n\r\n".to_owned();
    for ((of, request), goals) in [("ping", ping), ("metric", metric)].iter().zip(goals.chunks(2)) {
        let cpu = run.cpu();
        let once = |_| {
            let begun = Instant::now();
            ask(UnixStream::connect(&socket).unwrap(), request, begun)
        };
        let mut took: Vec<f64> = (0..COUNT).map(once).collect();
        took.sort_by(f64::total_cmp);
        // The CPU of the log would be in it.
        if what == "stamp" {
            row(&format!("CPU of a {of}, {name}"), (run.cpu() - cpu) * 1e6 / COUNT as f64, "us", goals[0]);
        }
        row(&format!("p99 of a {of}, {name}"), took[COUNT * 99 / 100] * 1e3, "ms", goals[1]);
    }
    run.stop();
}

fn scrapes(jobs: usize, goal: &str) {
    let run = Run::with_telemetry(jobs, "stamp");
    run.noted(jobs);
    let once = |_| {
        let begun = Instant::now();
        ask(TcpStream::connect(("127.0.0.1", run.port)).unwrap(), "GET /metrics HTTP/1.0\r\n\r\n", begun) * 1e3
    };
    row(&format!("/metrics, {jobs} jobs"), median((0..100).map(once).collect()), "ms", goal);
    run.stop();
}

fn shutdown(jobs: usize, goal: &str) {
    let once = |_| {
        let run = Run::of(jobs, "stamp", "");
        run.noted(jobs);
        run.stop()
    };
    row(
        &format!("SIGTERM to gone, {jobs} jobs that obey at once"),
        median((0..ROUNDS).map(once).collect()),
        "ms",
        goal,
    );
}
