//! What the log costs: lines per second from jobs through us to a file, CPU of ours per million lines, peak memory.
//!
//!     cargo bench --bench logs
//!
//! Prints medians of several rounds beside the goals. Each job is this very program, called with `job ...`. Wall times mean
//! something on a quiet machine only; CPU is the supervisor's own.
#![expect(clippy::print_stdout, reason = "its table is what it is for")]
#![expect(clippy::disallowed_methods, reason = "it measures real time, and waits for it")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot measure has to stop")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

const BINARY: &str = env!("CARGO_BIN_EXE_containerpilot");
const ROUNDS: usize = 5;

/// What is measured: so many jobs write so many lines of such a length each.
struct Case {
    name: &'static str,
    format: &'static str,
    jobs: u32,
    lines: u32,
    length: usize,
    /// Thousands of lines per second, seconds of CPU per million.
    goals: (&'static str, &'static str),
}

const CASES: [Case; 4] = [
    Case {
        name: "JSON, 100-byte lines",
        format: "json",
        jobs: 1,
        lines: 1_000_000,
        length: 100,
        goals: (">= 3300", "<= 0.26"),
    },
    Case {
        name: "default format, 100-byte lines",
        format: "default",
        jobs: 1,
        lines: 1_000_000,
        length: 100,
        goals: (">= 5000", "<= 0.15"),
    },
    Case {
        name: "JSON, 50 jobs at once",
        format: "json",
        jobs: 50,
        lines: 20_000,
        length: 100,
        goals: (">= 3000", "<= 0.3"),
    },
    Case { name: "JSON, 16 KiB lines", format: "json", jobs: 1, lines: 10_000, length: 16_384, goals: ("", "<= 14") },
];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args.get(1).map(String::as_str) == Some("job") {
        return job(args[2].parse().unwrap(), args[3].parse().unwrap(), Path::new(&args[4]));
    }
    // `cargo test --benches` only wants to know that it builds.
    if args.iter().any(|arg| arg == "--test") {
        return;
    }
    println!("{:<58} {:>10}   goal", "", "measured");
    for case in &CASES {
        let rounds: Vec<Measured> = (0..ROUNDS).map(|_| measure(case)).collect();
        let of = |get: fn(&Measured) -> f64| median(rounds.iter().map(get).collect());
        row(&format!("{}: lines", case.name), of(|m| m.rate / 1e3), "k/s", case.goals.0);
        row(&format!("{}: CPU per million", case.name), of(|m| m.cpu), "s", case.goals.1);
        if case.jobs > 1 {
            row(&format!("{}: peak RSS", case.name), of(|m| m.peak), "MiB", "<= 8");
        }
    }
}

fn row(name: &str, value: f64, unit: &str, goal: &str) {
    println!("{name:<58} {value:>10.2} {unit:<8} {goal}");
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Nanoseconds of the clock that all processes share.
fn now() -> i64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap();
    time.tv_sec() * 1_000_000_000 + time.tv_nsec()
}

/// Writes its lines as fast as they are taken, notes when it began and ended, and rests.
fn job(lines: usize, length: usize, notes: &Path) {
    let head = b"10.0.0.1 - - \"GET /a/b?c=d HTTP/1.1\" 200 1234 ";
    let mut line: Vec<u8> = head.iter().copied().chain((b'a'..=b'z').cycle()).take(length - 1).collect();
    line.push(b'\n');
    let batch = (65_536 / length).max(1);
    let text = line.repeat(batch);
    let begun = now();
    let mut stdout = std::io::stdout().lock();
    let mut left = lines;
    while left > 0 {
        let count = left.min(batch);
        stdout.write_all(&text[..count * length]).unwrap();
        left -= count;
    }
    let mut notes = fs::OpenOptions::new().append(true).open(notes).unwrap();
    notes.write_all(format!("{begun} {}\n", now()).as_bytes()).unwrap();
    std::thread::sleep(Duration::from_secs(3600));
}

struct Measured {
    rate: f64,
    cpu: f64,
    peak: f64,
}

fn measure(case: &Case) -> Measured {
    let folder = std::env::temp_dir().join(format!("containerpilot-bench-logs-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let (own, notes, log) = (std::env::current_exe().unwrap(), folder.join("notes"), folder.join("log"));
    fs::write(&notes, "").unwrap();
    let (lines, length) = (case.lines, case.length);
    let job = |n| format!("{{ name: 'j{n}', exec: [{own:?}, 'job', {lines}, {length}, {notes:?}] }}");
    let jobs: Vec<String> = (0..case.jobs).map(job).collect();
    let config = format!(
        "{{ control: {{ socket: {:?} }}, logging: {{ format: '{}', output: {log:?} }}, jobs: [{}] }}",
        folder.join("socket"),
        case.format,
        jobs.join(",")
    );
    fs::write(folder.join("config"), config).unwrap();
    let mut command = Command::new(BINARY);
    let child = command.arg("-config").arg(folder.join("config")).stdout(Stdio::null()).spawn().unwrap();
    let run = Run { child, folder };
    let spans = run.notes(&notes, case.jobs);
    // The last pipes are empty by then.
    std::thread::sleep(Duration::from_millis(100));
    let (cpu, peak) = (run.cpu(), run.peak());
    run.stop();
    let total = f64::from(lines) * f64::from(case.jobs);
    let written = fs::read(&log).unwrap();
    let of_jobs = written.iter().filter(|byte| **byte == b'\n').count();
    assert!(of_jobs as f64 >= total, "{of_jobs} records of {total}");
    fs::remove_dir_all(log.parent().unwrap()).unwrap();
    let begun = spans.iter().map(|span| span.0).min().unwrap();
    let ended = spans.iter().map(|span| span.1).max().unwrap();
    Measured { rate: total / ((ended - begun) as f64 / 1e9), cpu: cpu * 1e6 / total, peak }
}

/// A supervisor at work.
struct Run {
    child: Child,
    folder: PathBuf,
}

impl Run {
    /// Waits for the notes of so many jobs.
    fn notes(&self, path: &Path, count: u32) -> Vec<(i64, i64)> {
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let text = fs::read_to_string(path).unwrap();
            if text.lines().count() >= usize::try_from(count).unwrap() && text.ends_with('\n') {
                let span = |line: &str| {
                    let (begun, ended) = line.split_once(' ').unwrap();
                    (begun.parse().unwrap(), ended.parse().unwrap())
                };
                return text.lines().map(span).collect();
            }
            assert!(Instant::now() < deadline, "the jobs take too long: {}", self.folder.display());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Seconds of CPU of the supervisor itself.
    fn cpu(&self) -> f64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let of = |text: String| text.split_whitespace().next().unwrap().parse::<f64>().unwrap();
        tasks.map(|task| of(fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap())).sum::<f64>() / 1e9
    }

    /// The most memory that it had at any time, in MiB.
    fn peak(&self) -> f64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = text.lines().find(|line| line.starts_with("VmHWM")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }

    fn stop(mut self) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGTERM).unwrap();
        self.child.wait().unwrap();
    }
}
