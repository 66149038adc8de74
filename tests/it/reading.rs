//! Configs that cannot be read: neither a stop nor anybody else waits for them.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::http::{listens, local};
use crate::pilot::{Folder, Pilot, until};

const JOBS: &str = "{ name: 'app', exec: ['sh', '-c', 'echo up; exec sleep 1000'] }";

fn make_fifo(path: &Path) {
    if path.exists() {
        std::fs::remove_file(path).unwrap();
    }
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// One whose reload hangs, and its config.
fn hanging() -> (Pilot, std::path::PathBuf) {
    let mut pilot = Pilot::of_jobs(JOBS);
    pilot.says("up");
    until(|| listens(&pilot.folder.join("socket")));
    let config = pilot.folder.join("app.json5");
    make_fifo(&config);
    (pilot, config)
}

#[test]
fn a_reload_that_hangs_is_given_up_and_the_next_one_is_answered_when_it_has_ended() {
    let (pilot, config) = hanging();
    let good = pilot.at_home(&format!("{{ control: {{ socket: '@/socket' }}, jobs: [ {JOBS} ] }}"));
    let reload = || local(&pilot.folder.join("socket"), "POST", "/v3/reload", "");
    assert_eq!(reload(), (422, "cannot read the config within 10 s\n".to_owned()));
    for _ in 0..3 {
        assert_eq!(reload(), (503, "cannot read the config: the last reading still hangs\n".to_owned()));
    }
    // Now it ends, and what it has read comes too late.
    std::fs::OpenOptions::new().write(true).open(&config).unwrap().write_all(b"{").unwrap();
    std::fs::remove_file(&config).unwrap();
    std::fs::write(&config, &good).unwrap();
    until(|| reload().0 == 200);
    assert_eq!(pilot.stop().0, Some(0));
}

#[test]
fn a_stop_does_not_wait_for_a_reload_that_hangs() {
    let (pilot, _) = hanging();
    pilot.send(Signal::SIGHUP);
    let socket = pilot.folder.join("socket");
    let asked = std::thread::spawn(move || local(&socket, "POST", "/v3/reload?dry-run", ""));
    until(|| threads(pilot.pid()) > 2);
    let (status, lines) = pilot.stop();
    assert_eq!(status, Some(0), "{lines:?}");
    // It may have been cut off.
    drop(asked.join());
}

fn threads(pid: i32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().count()
}

#[test]
fn a_stop_does_not_wait_for_the_first_reading_either() {
    let folder = Folder::new();
    let fifo = folder.0.join("fifo");
    make_fifo(&fifo);
    let endless = "{ jobs: [], x: '{{ range loop 1000000 }}{{ range loop 1000000 }}{{ end }}{{ end }}' }";
    for config in [fifo.to_str().unwrap(), endless] {
        let pilot = Pilot::plain(&["-config", config]);
        // By now it has unblocked the signal.
        until(|| blocked(pilot.pid()).is_some_and(|blocked| blocked != 0 && blocked & (1 << 14) == 0));
        assert_eq!(pilot.stop().0, Some(0), "{config}");
    }
}

/// The signals that a process has blocked.
fn blocked(pid: i32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

#[test]
fn what_is_no_config_is_refused() {
    let mut pilot = Pilot::of_jobs(JOBS);
    pilot.says("up");
    until(|| listens(&pilot.folder.join("socket")));
    let config = pilot.folder.join("app.json5");
    let reload = || local(&pilot.folder.join("socket"), "POST", "/v3/reload", "");
    let replace = |with: &str| {
        std::fs::remove_file(&config).unwrap();
        std::os::unix::fs::symlink(with, &config).unwrap();
    };
    replace("/dev/zero");
    let (status, says) = reload();
    assert!(status == 422 && says.contains("larger than 16 MiB"), "{status} {says}");
    replace("/");
    let (status, says) = reload();
    assert!(status == 422 && says.contains("s a directory"), "{status} {says}");
    let large = pilot.folder.join("large");
    std::fs::write(&large, vec![b' '; 64 << 20]).unwrap();
    replace(large.to_str().unwrap());
    let (status, says) = reload();
    assert!(status == 422 && says.contains("larger than 16 MiB"), "{status} {says}");
    assert_eq!(pilot.stop().0, Some(0));
}
