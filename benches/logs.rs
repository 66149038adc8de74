//! What the log costs beside what the machine itself does: lines per second from jobs through us to a file, CPU per million
//! lines, peak memory.
//!
//!     cargo bench --bench logs
//!
//! The limit is `limit.c`, compiled here: a minimal program that reads the same pipes and writes the same records. Both take
//! turns, and the best of several rounds counts: whatever else the machine does makes it only slower. CPU is the
//! supervisor's own, from the moment at which its jobs may write. Each job is this very program, called with `job ...`.
#![expect(clippy::print_stdout, reason = "its table is what it is for")]
#![expect(clippy::disallowed_methods, reason = "it measures real time, and waits for it")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot measure has to stop")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

const BINARY: &str = env!("CARGO_BIN_EXE_containerpilot");
const ROUNDS: usize = 7;

/// What is measured: so many jobs write so many lines of such a length each.
struct Case {
    name: &'static str,
    format: &'static str,
    jobs: u32,
    lines: u32,
    length: usize,
    /// Bytes that a job writes at once.
    chunk: usize,
    goals: Goals,
}

/// In parts of the limit.
struct Goals {
    /// Lines per second, at least.
    rate: Option<f64>,
    /// CPU per line, at most.
    cpu: f64,
}

const CASES: [Case; 4] = [
    Case {
        name: "JSON, 100-byte lines",
        format: "json",
        jobs: 1,
        lines: 1_000_000,
        length: 100,
        chunk: 4096,
        goals: Goals { rate: Some(3300.0 / 5555.0), cpu: 0.26 / 0.13 },
    },
    Case {
        name: "default format, 100-byte lines",
        format: "default",
        jobs: 1,
        lines: 1_000_000,
        length: 100,
        chunk: 4096,
        goals: Goals { rate: Some(5.0 / 11.9), cpu: 0.15 / 0.06 },
    },
    Case {
        name: "JSON, 50 jobs at once",
        format: "json",
        jobs: 50,
        lines: 20_000,
        length: 100,
        chunk: 4096,
        goals: Goals { rate: Some(3000.0 / 5850.0), cpu: 0.3 / 0.14 },
    },
    Case {
        name: "JSON, 16 KiB lines",
        format: "json",
        jobs: 1,
        lines: 20_000,
        length: 16_384,
        chunk: 16_384,
        goals: Goals { rate: None, cpu: 14.0 / 11.1 },
    },
];
/// MiB with 50 jobs that write.
const PEAK: f64 = 8.0;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args.get(1).map(String::as_str) == Some("job") {
        let number = |at: usize| args[at].parse().unwrap();
        return job(number(2), number(3), number(4), Path::new(&args[5]));
    }
    // `cargo test --benches` only wants to know that it builds.
    if args.iter().any(|arg| arg == "--test") {
        return;
    }
    let folder = std::env::temp_dir().join(format!("containerpilot-bench-logs-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let limit = folder.join("limit");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/limit.c");
    let compiled = Command::new("cc").args(["-O3", "-o"]).arg(&limit).arg(source).status().expect("a C compiler");
    assert!(compiled.success());
    row(["", "ours", "limit", "ratio", "goal"].map(str::to_owned));
    for case in &CASES {
        measure(case, &folder, &limit);
    }
    fs::remove_dir_all(folder).unwrap();
}

fn row(cells: [String; 5]) {
    let [name, ours, limit, ratio, goal] = cells;
    println!("{name:<56} {ours:>9} {limit:>9} {ratio:>6}   {goal}");
}

/// Nanoseconds of the clock that all processes share.
fn now() -> i64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap();
    time.tv_sec() * 1_000_000_000 + time.tv_nsec()
}

/// Waits for its turn, writes its lines as fast as they are taken, notes when it began and ended, and rests.
fn job(lines: usize, length: usize, chunk: usize, folder: &Path) {
    let head = b"10.0.0.1 - - \"GET /a/b?c=d HTTP/1.1\" 200 1234 ";
    let mut line: Vec<u8> = head.iter().copied().chain((b'a'..=b'z').cycle()).take(length - 1).collect();
    line.push(b'\n');
    let text = line.repeat(chunk.div_ceil(length) + 1);
    let note = |name: &str, text: String| {
        let mut notes = fs::OpenOptions::new().append(true).create(true).open(folder.join(name)).unwrap();
        notes.write_all(text.as_bytes()).unwrap();
    };
    note("ready", "\n".to_owned());
    // Opens when somebody opens it for writing.
    drop(fs::File::open(folder.join("gate")).unwrap());
    let begun = now();
    // Not `stdout`, which would buffer lines.
    let mut stdout = fs::OpenOptions::new().write(true).open("/proc/self/fd/1").unwrap();
    let (mut done, total) = (0, lines * length);
    while done < total {
        let (start, count) = (done % length, chunk.min(total - done));
        stdout.write_all(&text[start..start + count]).unwrap();
        done += count;
    }
    note("ended", format!("{begun} {}\n", now()));
    std::thread::sleep(Duration::from_secs(3600));
}

/// The best of all rounds.
struct Best {
    /// Lines per second.
    rate: f64,
    /// Seconds per million lines.
    cpu: f64,
    /// MiB.
    peak: f64,
}

impl Best {
    const NONE: Self = Self { rate: 0.0, cpu: f64::INFINITY, peak: f64::INFINITY };

    fn add(&mut self, other: &Self) {
        self.rate = self.rate.max(other.rate);
        self.cpu = self.cpu.min(other.cpu);
        self.peak = self.peak.min(other.peak);
    }
}

fn measure(case: &Case, folder: &Path, limit: &Path) {
    let (mut ours, mut least) = (Best::NONE, Best::NONE);
    for _ in 0..ROUNDS {
        ours.add(&round(case, folder, us));
        least.add(&round(case, folder, |case, folder, job| {
            let mut command = Command::new(limit);
            command.arg(case.format).arg(folder.join("log")).arg(case.jobs.to_string()).args(job);
            command
        }));
    }
    let compare = |what: &str, ours: f64, limit: f64, goal: String| {
        let (name, ratio) = (format!("{}: {what}", case.name), ours / limit);
        row([name, format!("{ours:.2}"), format!("{limit:.2}"), format!("{ratio:.2}"), goal]);
    };
    let goal = case.goals.rate.map_or(String::new(), |goal| format!(">= {goal:.2} of the limit"));
    compare("thousand lines a second", ours.rate / 1e3, least.rate / 1e3, goal);
    compare("CPU s a million", ours.cpu, least.cpu, format!("<= {:.2} of the limit", case.goals.cpu));
    if case.jobs > 1 {
        compare("peak MiB", ours.peak, least.peak, format!("<= {PEAK} MiB"));
    }
}

/// ContainerPilot with the jobs of a case.
fn us(case: &Case, folder: &Path, job: &[String]) -> Command {
    let jobs: Vec<String> = (0..case.jobs).map(|n| format!("{{ name: 'j{n}', exec: {job:?} }}")).collect();
    let (socket, log) = (folder.join("socket"), folder.join("log"));
    let logging = format!("{{ format: '{}', output: {log:?} }}", case.format);
    let config = format!("{{ control: {{ socket: {socket:?} }}, logging: {logging}, jobs: [{}] }}", jobs.join(","));
    fs::write(folder.join("config"), config).unwrap();
    let mut command = Command::new(BINARY);
    command.arg("-config").arg(folder.join("config"));
    command
}

fn round(case: &Case, folder: &Path, command: impl Fn(&Case, &Path, &[String]) -> Command) -> Best {
    let (own, gate, log) = (std::env::current_exe().unwrap(), folder.join("gate"), folder.join("log"));
    nix::unistd::mkfifo(&gate, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let own = own.to_str().unwrap().to_owned();
    let numbers = [u64::from(case.lines), case.length as u64, case.chunk as u64].map(|number| number.to_string());
    let job = [&[own, "job".to_owned()], &numbers[..], &[folder.to_str().unwrap().to_owned()]].concat();
    let mut command = command(case, folder, &job);
    let run = Run(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap());
    let notes = |name: &str| notes(&folder.join(name), case.jobs);
    notes("ready");
    // The last of them may have to be heard of yet.
    std::thread::sleep(Duration::from_millis(100));
    let before = run.cpu();
    let opened = fs::OpenOptions::new().write(true).open(&gate).unwrap();
    let spans = notes("ended");
    drop(opened);
    // The last pipes are empty by then.
    std::thread::sleep(Duration::from_millis(100));
    let (cpu, peak) = (run.cpu() - before, run.peak());
    drop(run);
    let total = f64::from(case.lines) * f64::from(case.jobs);
    let written = fs::read(&log).unwrap();
    let records = written.iter().filter(|byte| **byte == b'\n').count();
    assert!(records as f64 >= total, "{records} records of {total}");
    for name in ["ready", "ended", "gate", "log"] {
        fs::remove_file(folder.join(name)).unwrap();
    }
    let span = |line: &String| {
        let (begun, ended) = line.split_once(' ').unwrap();
        (begun.parse::<i64>().unwrap(), ended.parse::<i64>().unwrap())
    };
    let begun = spans.iter().map(|line| span(line).0).min().unwrap();
    let ended = spans.iter().map(|line| span(line).1).max().unwrap();
    Best { rate: total / ((ended - begun) as f64 / 1e9), cpu: cpu * 1e6 / total, peak }
}

/// Waits for the notes of so many jobs.
fn notes(path: &PathBuf, count: u32) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        if text.lines().count() >= usize::try_from(count).unwrap() && text.ends_with('\n') {
            return text.lines().map(str::to_owned).collect();
        }
        assert!(Instant::now() < deadline, "the jobs take too long: {}", path.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A supervisor at work; killed at last, which takes its jobs along.
struct Run(Child);

impl Run {
    /// Seconds of CPU of the supervisor itself.
    fn cpu(&self) -> f64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.0.id())).unwrap();
        let of = |text: String| text.split_whitespace().next().unwrap().parse::<f64>().unwrap();
        tasks.map(|task| of(fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap())).sum::<f64>() / 1e9
    }

    /// The most memory that it had at any time, in MiB.
    fn peak(&self) -> f64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = text.lines().find(|line| line.starts_with("VmHWM")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).unwrap()),
            nix::sys::signal::Signal::SIGTERM,
        )
        .unwrap();
        self.0.wait().unwrap();
    }
}
