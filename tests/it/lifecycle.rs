//! The life cycle at its edges: groups that end as one, reloads that know what has happened, waits that cannot end, signals of
//! other engines, frozen time, jobs of one name. Regressions of issue 11.

#![expect(
    clippy::disallowed_methods,
    reason = "a test waits for its own child, and for time to pass while we are frozen"
)]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::http::{listens, local};
use crate::pilot::{Folder, Pilot, containerpilot, until};

/// An application that says when it has had a TERM, and takes a moment for its clean end.
const APP: &str = "trap 'echo TERM; sleep 0.5; echo saved; exit 0' TERM; echo up; while :; do sleep 0.05; done";

fn script(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), format!("#!/bin/bash\n{text}\n")).unwrap();
}

/// A wrapper without `exec`, and its application, in a folder of their own.
fn wrapped() -> Folder {
    let folder = Folder::new();
    script(&folder.0, "app.sh", APP);
    script(&folder.0, "start.sh", &format!("bash {}/app.sh", folder.0.display()));
    folder
}

fn cli(pilot: &Pilot, args: &[&str]) -> (Option<i32>, String) {
    until(|| listens(&pilot.folder.join("socket")));
    let config = pilot.folder.join("app.json5");
    let output = containerpilot(&[&["-config", config.to_str().unwrap()], args].concat());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout) + &text(output.stderr))
}

fn rewrite(pilot: &Pilot, change: impl Fn(String) -> String) {
    let path = pilot.folder.join("app.json5");
    std::fs::write(&path, change(std::fs::read_to_string(&path).unwrap())).unwrap();
}

fn job(pilot: &Pilot, name: &str) -> Value {
    until(|| listens(&pilot.folder.join("socket")));
    let (_, body) = local(&pilot.folder.join("socket"), "GET", &format!("/v3/jobs/{name}"), "");
    serde_json::from_str(&body).unwrap_or(Value::Null)
}

fn count(lines: &[String], words: &str) -> usize {
    lines.iter().filter(|line| line.ends_with(words)).count()
}

#[test]
fn an_application_below_a_wrapper_has_one_term_and_its_clean_end() {
    let scripts = wrapped();
    let jobs = format!("{{ name: 'app', exec: ['bash', '{}/start.sh'] }}", scripts.0.display());
    let mut pilot = Pilot::of_jobs(&jobs);
    pilot.says(" up");
    let (status, lines) = pilot.stop();
    assert_eq!((status, count(&lines, " TERM"), count(&lines, " saved")), (Some(0), 1, 1), "{lines:?}");
}

#[test]
fn an_order_is_answered_when_nothing_is_left_and_two_runs_never_overlap() {
    let scripts = wrapped();
    let mut pilot = Pilot::of_jobs(&format!(
        "{{ name: 'app', exec: ['bash', '{}/start.sh'] }}, {{ name: 'keep', exec: 'sleep 1000' }}",
        scripts.0.display()
    ));
    pilot.says(" up");
    assert_eq!(cli(&pilot, &["-job", "app", "-restart"]).0, Some(0));
    // The second run's first word comes after the first one's last.
    pilot.says_then(" saved");
    pilot.says_then(" up");
    assert_eq!(cli(&pilot, &["-job", "app", "-stop"]).0, Some(0));
    pilot.says_then(" saved");
    let (_, lines) = pilot.stop();
    assert_eq!(count(&lines, " TERM"), 2, "{lines:?}");
}

#[test]
fn a_script_that_ends_with_a_server_in_the_background_keeps_us_up() {
    let mut pilot = Pilot::of_jobs(&format!("{{ name: 'app', exec: ['bash', '-c', \"{{ {APP}; }} & exit 0\"] }}"));
    pilot.says("app left processes that still write to its log; end it with exec or wait");
    pilot.says(" up");
    assert_eq!(job(&pilot, "app")["state"], "completed");
    let (status, lines) = pilot.stop();
    assert_eq!((status, count(&lines, " TERM"), count(&lines, " saved")), (Some(0), 1, 1), "{lines:?}");
}

#[test]
fn a_daemon_has_time_for_a_clean_end_when_everything_ends() {
    let scripts = Folder::new();
    let app = APP.replace("echo", &format!("echo >> {}/log", scripts.0.display()));
    script(&scripts.0, "daemon.sh", &app);
    let daemon = format!("setsid -f bash {}/daemon.sh < /dev/null > /dev/null 2>&1", scripts.0.display());
    let pilot = Pilot::of_jobs(&format!("{{ name: 'app', exec: ['bash', '-c', '{daemon}; exec sleep 1000'] }}"));
    let log = || std::fs::read_to_string(scripts.0.join("log")).unwrap_or_default();
    until(|| log() == "up\n");
    assert_eq!(pilot.stop().0, Some(0));
    assert_eq!(log(), "up\nTERM\nsaved\n");
}

#[test]
fn a_reload_starts_what_waits_for_what_stands() {
    let mut pilot = Pilot::of_jobs(
        "{ name: 'setup', exec: 'echo preparing' },
         { name: 'failed', exec: 'false' },
         { name: 'db', exec: 'sleep 1000', health: { exec: 'true', interval: 1, ttl: 5 } },
         { name: 'app', exec: ['sh', '-c', 'echo serving one; exec sleep 1000'], when: { source: 'setup', once: 'exitSuccess' } },
         { name: 'client', exec: ['sh', '-c', 'echo asking one; exec sleep 1000'], when: { source: 'db', once: 'healthy' } },
         { name: 'alarm', exec: ['sh', '-c', 'echo alarm one; exec sleep 1000'], when: { source: 'failed', once: 'stopped' } },
         { name: 'never', exec: 'echo never one', when: { source: 'setup', once: 'exitFailed' } }",
    );
    pilot.says("serving one");
    pilot.says("asking one");
    rewrite(&pilot, |config| config.replace(" one", " two"));
    let (_, dry) = cli(&pilot, &["-reload", "-dry-run"]);
    assert!(dry.ends_with("starts:    alarm now; app now; client now; never waits for setup exitFailed\n"), "{dry}");
    assert_eq!(cli(&pilot, &["-reload"]).0, Some(0));
    pilot.says("serving two");
    pilot.says("asking two");
    pilot.says("alarm two");
    // Renamed, which is removed and added.
    rewrite(&pilot, |config| config.replace("name: 'app'", "name: 'renamed'").replace("serving two", "serving three"));
    assert_eq!(cli(&pilot, &["-reload"]).0, Some(0));
    pilot.says("serving three");
    let (_, lines) = pilot.stop();
    assert_eq!(count(&lines, " preparing"), 1, "what is unchanged runs no second time: {lines:?}");
    assert_eq!(count(&lines, " never two"), 0, "{lines:?}");
}

#[test]
fn a_job_that_is_stopped_by_hand_stays_so_until_a_reload_changes_it() {
    let mut pilot = Pilot::of_jobs(
        "{ name: 'app', exec: ['sh', '-c', 'echo app one; exec sleep 1000'] }, { name: 'keep', exec: 'sleep 1000' }",
    );
    pilot.says("app one");
    cli(&pilot, &["-job", "app", "-stop"]);
    assert_eq!(cli(&pilot, &["-reload"]).0, Some(0));
    assert_eq!(job(&pilot, "app")["state"], "stopped");
    // Taken out and put back, it is a new one.
    let with = std::fs::read_to_string(pilot.folder.join("app.json5")).unwrap();
    rewrite(&pilot, |config| config.replace("name: 'app'", "name: 'other'"));
    assert_eq!(cli(&pilot, &["-reload"]).0, Some(0));
    rewrite(&pilot, |_| with.clone());
    assert_eq!(cli(&pilot, &["-reload"]).0, Some(0));
    until(|| job(&pilot, "app")["state"] == "running");
    cli(&pilot, &["-job", "app", "-stop"]);
    rewrite(&pilot, |config| config.replace("app one", "app two"));
    assert_eq!(cli(&pilot, &["-reload"]).0, Some(0));
    pilot.says("app two");
}

#[test]
fn a_blocked_main_job_ends_everything_with_the_status_of_its_source() {
    let (status, lines) = Pilot::of_jobs(
        "{ name: 'setup', exec: ['sh', '-c', 'exit 7'] },
         { name: 'migrate', exec: 'true', when: { source: 'setup', once: 'exitSuccess' } },
         { name: 'app', main: true, exec: 'sleep 1000', when: { source: 'setup', once: 'exitSuccess' } }",
    )
    .end();
    let told = "app can no longer start: setup has failed (exit status 7)";
    assert_eq!((status, lines.iter().filter(|line| line.contains(told)).count()), (Some(7), 1), "{lines:?}");
}

#[test]
fn a_chain_of_blocked_waits_is_told_and_an_order_frees_it() {
    let mut pilot = Pilot::of_jobs(
        "{ name: 'setup', exec: ['sh', '-c', 'test -e @/ok'] },
         { name: 'app', exec: ['sh', '-c', 'echo app is up; exec sleep 1000'], when: { source: 'setup', once: 'exitSuccess' } },
         { name: 'later', exec: 'echo later', when: { source: 'app', once: 'exitSuccess' } },
         { name: 'alarm', exec: 'true', when: { source: 'app', once: 'exitFailed' } },
         { name: 'patient', exec: 'true', when: { source: 'nosuch', once: 'exitSuccess', timeout: '1s' } }",
    );
    pilot.says("app can no longer start: setup has failed (exit status 1)");
    pilot.says("later can no longer start: app can no longer start");
    pilot.says("patient gives up: nosuch has not succeeded within 1s");
    for (name, state) in [("app", "blocked"), ("later", "blocked"), ("alarm", "waiting"), ("patient", "gave up")] {
        assert_eq!(job(&pilot, name)["state"], state, "{name}");
    }
    assert!(cli(&pilot, &["-explain", "app"]).1.contains("app can no longer start: setup has failed (exit status 1)"));
    assert_eq!((cli(&pilot, &["-healthy", "app"]).0, cli(&pilot, &["-healthy", "patient"]).0), (Some(1), Some(1)));
    std::fs::write(pilot.folder.join("ok"), "").unwrap();
    cli(&pilot, &["-job", "setup", "-start"]);
    pilot.says("app is up");
    assert_eq!(job(&pilot, "later")["state"], "waiting");
}

#[test]
fn restarts_are_told_apart_from_runs() {
    let mut pilot = Pilot::of_jobs(
        "{ name: 'tick', exec: 'echo tick', when: { interval: '200ms' } },
         { name: 'again', exec: ['sh', '-c', 'sleep 0.2; exit 1'], restarts: 1 }, { name: 'keep', exec: 'sleep 1000' }",
    );
    pilot.says(" tick");
    pilot.says_then(" tick");
    until(|| job(&pilot, "again")["state"] == "failed");
    let counts = |name: &str| (job(&pilot, name)["runs"].as_u64().unwrap(), job(&pilot, name)["restarts"].as_u64());
    assert_eq!(counts("again"), (2, Some(1)));
    let (runs, restarts) = counts("tick");
    assert!(runs > 1 && restarts == Some(0), "{runs} {restarts:?}");
}

#[test]
fn sigrtmin_3_is_an_ordered_stop() {
    let mut pilot = Pilot::of_jobs(&format!("{{ name: 'app', exec: ['bash', '-c', \"{APP}\"] }}"));
    pilot.says(" up");
    let pid = pilot.pid().to_string();
    assert!(Command::new("kill").args(["-37", &pid]).status().unwrap().success());
    let (status, lines) = pilot.end();
    assert_eq!((status, count(&lines, " saved")), (Some(0), 1), "{lines:?}");
    assert!(lines.iter().any(|line| line.ends_with("everything stops: SIGRTMIN+3")), "{lines:?}");
}

#[test]
fn time_in_which_we_were_frozen_counts_against_no_timeout() {
    let mut pilot = Pilot::of_jobs(
        "{ name: 'app', exec: ['sh', '-c', 'echo up; while ! test -e @/done; do sleep 0.05; done; echo ended well'], timeout: '8s' }",
    );
    pilot.says(" up");
    pilot.send(Signal::SIGSTOP);
    // Longer than what is left of the timeout, and than a busy machine would be late.
    let begun = Instant::now();
    until(|| begun.elapsed() > Duration::from_secs(10));
    pilot.send(Signal::SIGCONT);
    std::fs::write(pilot.folder.join("done"), "").unwrap();
    pilot.says("ended well");
    let (status, lines) = pilot.end();
    assert_eq!((status, count(&lines, "ended well")), (Some(0), 1), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("timeout")), "{lines:?}");
}

#[test]
fn jobs_of_one_name_both_run_and_are_told_apart() {
    let mut pilot = Pilot::of_jobs(
        "{ name: 'web', exec: ['sh', '-c', 'echo first; exec sleep 1000'] },
         { name: 'web', exec: ['sh', '-c', 'echo second; while ! test -e @/go; do sleep 0.05; done'] },
         { name: 'after', exec: 'echo after', when: { source: 'web', each: 'exitSuccess' } }",
    );
    pilot.says(" first");
    pilot.says(" second");
    assert_eq!(
        (job(&pilot, "web")["state"].as_str(), job(&pilot, "web%232")["state"].as_str()),
        (Some("running"), Some("running"))
    );
    std::fs::write(pilot.folder.join("go"), "").unwrap();
    pilot.says(" after");
    // The one that stays is the same, whichever it was.
    let pid = job(&pilot, "web")["pid"].clone();
    rewrite(&pilot, |config| config.replace("echo second", "echo another"));
    assert_eq!(cli(&pilot, &["-reload"]).0, Some(0));
    pilot.says(" another");
    assert_eq!(job(&pilot, "web")["pid"], pid);
    assert_eq!(cli(&pilot, &["-job", "web#2", "-restart"]).0, Some(0));
    let (_, lines) = pilot.stop();
    assert!(lines.iter().any(|line| line.contains("`web` is the name of jobs[0] too")), "{lines:?}");
}

#[test]
fn a_job_that_a_reload_adds_is_blocked_by_what_has_failed_already() {
    let mut pilot =
        Pilot::of_jobs("{ name: 'setup', exec: ['sh', '-c', 'exit 3'] }, { name: 'keep', exec: 'sleep 1000' }");
    pilot.says("setup exited with error");
    until(|| job(&pilot, "setup")["state"] == "failed");
    rewrite(&pilot, |config| {
        config.replace(
            "jobs: [",
            "jobs: [ { name: 'app', exec: 'true', when: { source: 'setup', once: 'exitSuccess' } },
                     { name: 'after', exec: 'echo after', when: { source: 'setup', once: 'exitFailed' } },
                     { name: 'lost', exec: 'true', when: { source: 'nosuch', once: 'healthy' } },",
        )
    });
    assert_eq!(cli(&pilot, &["-reload"]).0, Some(0));
    pilot.says("app can no longer start: setup has failed (exit status 3)");
    pilot.says("lost can no longer start: there is no job `nosuch`");
    pilot.says(" after");
}

#[test]
fn a_job_that_becomes_another_user_may_open_its_output_anew() {
    let (status, lines) = Pilot::of_jobs(
        "{ name: 'app', exec: ['setpriv', '--reuid=65534', '--clear-groups', 'sh', '-c', 'echo out > /dev/stdout; echo err > /proc/self/fd/2'] }",
    )
    .end();
    assert_eq!((status, count(&lines, " out"), count(&lines, " err")), (Some(0), 1, 1), "{lines:?}");
}

#[test]
fn a_check_of_a_job_that_a_reload_removes_ends_with_it_in_silence() {
    let mut pilot = Pilot::of_jobs(
        "{ name: 'keep', exec: 'sleep 1000' },
         { name: 'app', exec: 'sleep 1000', health: { exec: ['sh', '-c', 'echo checking; exec sleep 1000'], interval: 1, ttl: 5, timeout: '60s' } }",
    );
    pilot.says("checking");
    rewrite(&pilot, |config| config.replace("name: 'app'", "name: 'other'"));
    assert_eq!(cli(&pilot, &["-reload"]).0, Some(0));
    until(|| job(&pilot, "other")["state"] == "running");
    let (_, lines) = pilot.stop();
    assert!(!lines.iter().any(|line| line.contains("check.app exited")), "{lines:?}");
}

#[test]
fn a_job_that_was_held_before_it_ever_started_keeps_no_later_reload_waiting() {
    let mut pilot = Pilot::of_jobs(
        "{ name: 'keep', exec: 'sleep 1000' },
         { name: 'slow', exec: ['sh', '-c', 'trap \"until [ -e @/go ]; do sleep 0.02; done; exit 0\" TERM; echo slow is up; while :; do sleep 0.05; done'] }",
    );
    pilot.says("slow is up");
    // It waits for the one that is removed, and is told by hand not to start.
    rewrite(&pilot, |config| {
        config.replace("name: 'slow'", "name: 'next'").replace("stopTimeout: 2", "stopTimeout: 20")
    });
    assert_eq!(cli(&pilot, &["-reload"]).0, Some(0));
    assert_eq!(cli(&pilot, &["-job", "next", "-stop"]).0, Some(0));
    rewrite(&pilot, |config| config.replace("name: 'next'", "name: 'last'").replace("slow is up", "last is up"));
    assert_eq!(cli(&pilot, &["-reload"]).0, Some(0));
    std::fs::write(pilot.folder.join("go"), "").unwrap();
    pilot.says("last is up");
}
