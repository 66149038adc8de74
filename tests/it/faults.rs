//! Faults in the real program, each in a place of its own for processes and mounts. What needs cgroups is in `scripts/faults`.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test waits for its own child, freezes us for as long as it wants, and prints its seed"
)]

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

use nix::sys::signal::Signal;

use crate::container::CONTAINER;
use crate::pilot::{Folder, Pilot, children, state, until};

const BINARY: &str = env!("CARGO_BIN_EXE_containerpilot");
/// Mounts below `/`, which then cannot be written.
const READ_ONLY: &str = "mount --bind / / && mount -o remount,bind,ro /";

/// The binary as PID 1 with a config, after a script has prepared the place.
fn run_after(script: &str, config: &str) -> Output {
    let script = format!("{script}; exec \"$0\" \"$@\"");
    let words = [&["timeout", "60"], &CONTAINER[..], &["sh", "-c", &script, BINARY, "-config", config]].concat();
    Command::new(words[0]).args(&words[1..]).stdin(Stdio::null()).output().unwrap()
}

/// The status of a run, without a panic.
fn status_of(output: &Output) -> Option<i32> {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!stderr.contains("panicked"), "{stderr}");
    output.status.code()
}

/// A question to a running instance.
fn ask(config: &Path, words: &[&str]) -> Output {
    Command::new(BINARY).arg("-config").arg(config).args(words).output().unwrap()
}

/// Numbers from a seed that is printed when the test fails.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let seed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().subsec_nanos();
        println!("seed {seed}");
        Self(u64::from(seed) | 1)
    }

    fn below(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

#[test]
fn on_a_file_system_that_cannot_be_written_jobs_run() {
    let config = "{ jobs: [ { name: 'app', main: true, exec: ['sh', '-c', 'echo up; exit 3'] } ] }";
    let output = run_after(READ_ONLY, config);
    assert_eq!(status_of(&output), Some(3), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains(" up"), "{output:?}");
}

#[test]
fn with_a_full_disk_and_no_room_for_the_socket_jobs_run_and_the_stop_ends() {
    let folder = Folder::new();
    let disk = folder.0.join("disk");
    std::fs::create_dir(&disk).unwrap();
    let disk = disk.display();
    // One inode for the folder and one for the log.
    let full = format!("mount -t tmpfs -o size=64k,nr_inodes=2 none {disk} && touch {disk}/log");
    let script = "i=0; while [ $i -lt 3000 ]; do echo line $i of many that find no room; i=$((i + 1)); done; exit 3";
    let config = format!(
        "{{ control: {{ socket: '{disk}/socket' }}, logging: {{ output: '{disk}/log' }}, stopTimeout: 1,
            jobs: [ {{ name: 'app', main: true, exec: ['sh', '-c', '{script}'] }} ] }}"
    );
    let output = run_after(&full, &config);
    assert_eq!(status_of(&output), Some(3), "{output:?}");
}

/// With a `/proc` that knows nothing, or nothing of ours.
fn jobs_run_restart_and_stop_after(script: &str) {
    let config = "{ stopTimeout: 1, jobs: [ { name: 'side', exec: ['sh', '-c', '(trap : TERM; sleep 1000) & wait'] },
        { name: 'again', restarts: 2, backoff: 'none', exec: ['sh', '-c', 'echo again'] },
        { name: 'app', main: true, when: { source: 'again', once: 'stopped' }, exec: ['sh', '-c', 'exit 3'] } ] }";
    let output = run_after(script, config);
    assert_eq!(status_of(&output), Some(3), "{output:?}");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(stdout.lines().filter(|line| line.ends_with(" again")).count(), 3, "{stdout}");
    assert!(!stdout.contains("cannot be killed"), "{stdout}");
}

#[test]
fn without_proc_jobs_run_restart_and_stop() {
    jobs_run_restart_and_stop_after("mount -t tmpfs none /proc");
}

#[test]
fn with_the_proc_of_another_namespace_jobs_run_restart_and_stop_and_no_stranger_is_signalled() {
    // As `docker run -v /proc:/proc` does it.
    let folder = Folder::new();
    let proc = folder.0.display();
    let script = format!(
        "mount --bind /proc {proc} && exec unshare --pid --fork --kill-child sh -c 'mount --bind {proc} /proc; exec \"$0\" \"$@\"'"
    );
    jobs_run_restart_and_stop_after(&format!("{script} \"$0\" \"$@\"; :"));
}

#[test]
fn without_dev_null_it_runs_or_says_why_not() {
    let config = "{ jobs: [ { name: 'app', main: true, exec: ['sh', '-c', 'exit 3'] } ] }";
    let output = run_after("mount -t tmpfs none /dev", config);
    let stderr = String::from_utf8_lossy(&output.stderr);
    match status_of(&output) {
        Some(3) => {}
        Some(1) => assert!(stderr.contains("/dev/null") && stderr.lines().count() == 1, "{stderr}"),
        status => panic!("{status:?}: {stderr}"),
    }
}

#[test]
fn with_its_streams_closed_jobs_run() {
    let config = "{ jobs: [ { name: 'app', main: true, exec: ['sh', '-c', 'echo up; echo up >&2; exit 3'] } ] }";
    for closed in [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"] {
        let output = run_after(&format!("exec {closed}"), config);
        assert_eq!(status_of(&output), Some(3), "{closed}: {output:?}");
    }
}

#[test]
fn while_nobody_reads_the_log_questions_are_answered_and_no_line_is_lost() {
    let folder = Folder::new();
    let config = folder.0.join("app.json5");
    let text = "{ control: { socket: '@/socket' }, jobs: [ { name: 'app', main: true, exec: ['sh', '-c', 'seq 100000; exit 3'] } ] }";
    std::fs::write(&config, text.replace('@', folder.0.to_str().unwrap())).unwrap();
    let mut child =
        Command::new(BINARY).arg("-config").arg(&config).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let running = || String::from_utf8_lossy(&ask(&config, &["-status"]).stdout).contains("running");
    until(running);
    // More than all pipes hold: it stands still, and we do not.
    for _ in 0..10 {
        assert!(running());
    }
    let mut log = String::new();
    child.stdout.take().unwrap().read_to_string(&mut log).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3));
    let numbers: Vec<u32> = log.lines().filter_map(|line| line.split(' ').nth(3)?.parse().ok()).collect();
    let expected: Vec<u32> = (1..=100_000).collect();
    assert!(numbers == expected, "{} of {} lines", numbers.len(), expected.len());
}

#[test]
fn time_in_which_we_were_stopped_counts_against_no_timeout() {
    let mut pilot = Pilot::of_jobs(
        "{ name: 'app', main: true, timeout: '6s', exec: ['sh', '-c', 'echo up; until [ -e @/go ]; do sleep 0.05; done; exit 3'] }",
    );
    pilot.says(" up");
    pilot.send(Signal::SIGSTOP);
    let stopped = Instant::now();
    until(|| stopped.elapsed() > Duration::from_secs(8));
    pilot.send(Signal::SIGCONT);
    let config = pilot.folder.join("app.json5");
    for _ in 0..3 {
        assert!(ask(&config, &["-status"]).status.success());
    }
    std::fs::write(pilot.folder.join("go"), "").unwrap();
    let (status, lines) = pilot.end();
    assert_eq!(status, Some(3), "{lines:?}");
}

#[test]
fn ten_thousand_orphans_are_reaped_and_questions_are_answered_meanwhile() {
    let mut pilot = Pilot::of_jobs(
        "{ name: 'app', exec: ['sh', '-c', 'echo up; until [ -e @/go ]; do sleep 0.05; done; exit 3'], main: true },
         { name: 'flood', exec: ['sh', '-c', 'i=0; while [ $i -lt 10000 ]; do (: &); i=$((i + 1)); done; echo flooded'], when: { source: 'SIGUSR2', once: 'SIGUSR2' } }",
    );
    let config = pilot.folder.join("app.json5");
    pilot.says(" up");
    assert!(ask(&config, &["-job", "flood", "-start"]).status.success());
    for _ in 0..5 {
        assert!(ask(&config, &["-status"]).status.success());
    }
    pilot.says(" flooded");
    let pid = pilot.pid();
    until(|| !children(pid).into_iter().any(|child| state(child) == Some('Z')));
    std::fs::write(pilot.folder.join("go"), "").unwrap();
    assert_eq!(pilot.end().0, Some(3));
}

#[test]
fn killed_at_any_time_it_leaves_nothing_that_keeps_the_next_one_from_serving() {
    let folder = Folder::new();
    let at_home = |text: &str| text.replace('@', folder.0.to_str().unwrap());
    let config = at_home(
        "{ control: { socket: '@/socket' }, logging: { output: '@/log' }, jobs: [
           { name: 'app', exec: ['sh', '-c', 'echo $$ > @/pid; exec sleep 1000'] },
           { name: 'tick', when: { interval: '10ms' }, exec: ['sh', '-c', 'echo tick'] } ] }",
    );
    let mut dice = Dice::new();
    for _ in 0..20 {
        let words = [&CONTAINER[..], &[BINARY, "-config", &config]].concat();
        let mut child = Command::new(words[0]).args(&words[1..]).stderr(Stdio::null()).spawn().unwrap();
        let (began, until_then) = (Instant::now(), Duration::from_millis(dice.below(250)));
        until(|| began.elapsed() >= until_then);
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let pilot = Pilot::contained(&CONTAINER, &["-config", &config]);
    let file = folder.0.join("app.json5");
    std::fs::write(&file, &config).unwrap();
    until(|| String::from_utf8_lossy(&ask(&file, &["-status"]).stdout).contains("running"));
    assert_eq!(pilot.stop().0, Some(0));
}

/// A job of the model: which definition it has, and whether it was stopped by hand.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Modelled {
    version: u64,
    stopped: bool,
}

const NAMES: [&str; 4] = ["ant", "bee", "cat", "dog"];

fn config_of(jobs: &BTreeMap<&str, Modelled>) -> String {
    let job = |(name, job): (&&str, &Modelled)| {
        let script = format!("echo {} > @/{name}; exec sleep 1000", job.version);
        format!("{{ name: '{name}', restarts: 'unlimited', exec: ['sh', '-c', '{script}'] }}")
    };
    let jobs: Vec<String> = jobs.iter().map(job).collect();
    format!(
        "{{ control: {{ socket: '@/socket' }}, logging: {{ level: 'WARN' }}, stopTimeout: 1, jobs: [
            {{ name: 'main', main: true, exec: ['sleep', '1000'] }}, {} ] }}",
        jobs.join(", ")
    )
}

/// Whether every job is in the state that the last config and the last orders ask for.
fn is_as_asked(folder: &Path, config: &Path, jobs: &BTreeMap<&str, Modelled>) -> Result<(), String> {
    let output = ask(config, &["-status", "-json"]);
    let status: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|cause| format!("{cause}: {output:?}"))?;
    let listed = status["jobs"].as_array().ok_or("no jobs")?;
    let states: BTreeMap<&str, &str> = listed
        .iter()
        .filter_map(|job| Some((job["name"].as_str()?, job["state"].as_str()?)))
        .filter(|(name, _)| *name != "main")
        .collect();
    let wanted: BTreeMap<&str, &str> =
        jobs.iter().map(|(name, job)| (*name, if job.stopped { "stopped" } else { "running" })).collect();
    if states != wanted {
        return Err(format!("{states:?}, wanted {wanted:?}"));
    }
    for (name, job) in jobs.iter().filter(|(_, job)| !job.stopped) {
        let version = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        if version.trim() != job.version.to_string() {
            return Err(format!("{name} is of version {version:?}, not {}", job.version));
        }
    }
    Ok(())
}

#[test]
fn after_random_reloads_and_orders_every_job_is_as_the_last_ones_ask() {
    let mut dice = Dice::new();
    let mut jobs: BTreeMap<&str, Modelled> = BTreeMap::new();
    let mut pilot = Pilot::of(&config_of(&jobs));
    let (folder, config) = (pilot.folder.clone(), pilot.folder.join("app.json5"));
    until(|| ask(&config, &["-status"]).status.success());
    let mut history = Vec::new();
    for step in 0..120 {
        let name = NAMES[usize::try_from(dice.below(4)).unwrap()];
        if dice.below(2) == 0 {
            for name in NAMES {
                match dice.below(6) {
                    0 => drop(jobs.remove(name)),
                    1 => drop(jobs.insert(name, Modelled { version: step, stopped: false })),
                    _ => {}
                }
            }
            std::fs::write(&config, config_of(&jobs).replace('@', folder.to_str().unwrap())).unwrap();
            let reloaded = ask(&config, &["-reload"]);
            history.push(format!("reload {jobs:?}"));
            assert!(reloaded.status.success(), "{reloaded:?}\n{}", history.join("\n"));
        } else if let Some(job) = jobs.get_mut(name) {
            let (order, stopped) =
                [("-stop", true), ("-start", false), ("-restart", false)][usize::try_from(dice.below(3)).unwrap()];
            history.push(format!("{name} {order}"));
            // One that is being stopped by a reload can be ordered once that is done.
            let limit = Instant::now() + Duration::from_secs(20);
            loop {
                let ordered = ask(&config, &["-job", name, order]);
                if ordered.status.success() {
                    break;
                }
                let said = String::from_utf8_lossy(&ordered.stderr);
                // It is as was asked.
                if said.contains("already") {
                    break;
                }
                assert!(Instant::now() < limit, "{said}\n{}", history.join("\n"));
            }
            job.stopped = stopped;
        }
        if dice.below(5) == 0 || step == 119 {
            let limit = Instant::now() + Duration::from_secs(20);
            while let Err(why) = is_as_asked(&folder, &config, &jobs) {
                assert!(Instant::now() < limit, "{why}\n{}", history.join("\n"));
            }
        }
    }
    pilot.send(Signal::SIGTERM);
    pilot.ended();
}
