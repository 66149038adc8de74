//! A command without any config: a plain init, of which nobody should notice more than that it is there.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::container::{CONTAINER, passes_every_byte};
use crate::pilot::{Folder, Pilot, containerpilot, state, until};
use crate::terminal::Terminal;

const BINARY: &str = env!("CARGO_BIN_EXE_containerpilot");

/// The binary as PID 1, run to its end.
fn as_pid_1(args: &[&str]) -> Output {
    Command::new(CONTAINER[0]).args(&CONTAINER[1..]).arg(BINARY).args(args).output().unwrap()
}

/// A command that says its pid and stays.
const STAYS: &str = "echo up $$; while :; do sleep 0.02; done";

/// The number at the end of a line.
fn number(line: &str) -> i32 {
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn every_signal_that_can_be_caught_reaches_the_command() {
    let names = "HUP INT QUIT USR1 USR2 PIPE ALRM TERM STKFLT CONT URG XCPU XFSZ VTALRM PROF WINCH IO PWR \
                 RTMIN RTMIN+1 RTMIN+15 RTMAX-14 RTMAX";
    // Some of these must not be sent to whoever does not catch them yet.
    let script = format!("for s in {names}; do trap \"echo got $s.\" $s; done; {STAYS}");
    let mut pilot = Pilot::plain(&["bash", "-c", &script]);
    pilot.says("up");
    for name in names.split_whitespace() {
        let kill = Command::new("bash").args(["-c", "kill -s $0 $1", name, &pilot.pid().to_string()]).status();
        assert!(kill.unwrap().success(), "{name}");
        pilot.says(&format!("got {name}."));
    }
    nix::sys::signal::kill(Pid::from_raw(pilot.pid()), Signal::SIGKILL).unwrap();
}

#[test]
fn its_status_is_ours() {
    let cases: [(&[&str], i32); 10] = [
        (&["true"], 0),
        (&["sh", "-c", "exit 7"], 7),
        (&["sh", "-c", "exit 255"], 255),
        (&["sh", "-c", "kill -KILL $$"], 137),
        (&["sh", "-c", "kill -TERM $$"], 143),
        (&["bash", "-c", "kill -RTMIN $$"], 162),
        (&["no-such-program"], 127),
        (&["/no/such/program"], 127),
        (&["/etc/passwd"], 126),
        (&["/"], 126),
    ];
    for (command, status) in cases {
        assert_eq!(containerpilot(command).status.code(), Some(status), "{command:?}");
        assert_eq!(as_pid_1(command).status.code(), Some(status), "as PID 1: {command:?}");
    }
}

#[test]
fn we_say_nothing_while_all_is_well() {
    let commands: [&[&str]; 4] = [
        &["true"],
        &["sh", "-c", "exit 3"],
        &["sh", "-c", "kill -TERM $PPID; sleep 5"],
        &["sh", "-c", "setsid sleep 10 & exec 2>&-; exit 0"],
    ];
    for command in commands {
        for output in [containerpilot(command), as_pid_1(command)] {
            let said = [output.stdout, output.stderr].concat();
            assert_eq!(String::from_utf8_lossy(&said), "", "{command:?}");
        }
    }
}

#[test]
fn a_command_that_cannot_be_run_is_named() {
    let output = containerpilot(&["/no/such/program"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("/no/such/program"));
    assert_eq!(output.stdout, b"");
}

#[test]
fn every_byte_comes_and_goes_as_it_is() {
    passes_every_byte(&[]);
}

#[test]
fn flags_before_the_command_are_ours_and_those_after_it_are_not() {
    let said = |args: &[&str]| String::from_utf8(containerpilot(args).stdout).unwrap();
    assert_eq!(said(&["echo", "-version", "--", "-config"]), "-version -- -config\n");
    assert_eq!(said(&["--", "echo", "{{ .HOME }"]), "{{ .HOME }\n");
    assert!(said(&["-version", "echo"]).starts_with("Version: "));
}

#[test]
fn orphans_are_reaped() {
    // Each `sleep` is an orphan at once, and listed as long as it is a zombie.
    let script = "for i in 1 2 3 4 5 6 7 8; do pids=\"$pids $(sh -c 'sleep 0.1 >&- & echo $!')\"; done
                  for i in $(seq 500); do ps -p \"$pids\" >/dev/null || { echo none; break; }; sleep 0.02; done";
    for output in [containerpilot(&["sh", "-c", script]), as_pid_1(&["sh", "-c", script])] {
        assert_eq!(String::from_utf8_lossy(&output.stdout), "none\n");
    }
}

#[test]
fn what_the_command_leaves_behind_ends_with_us() {
    let mut pilot = Pilot::plain(&["sh", "-c", "setsid sh -c 'echo left $$; exec sleep 1000' & sleep 0.3; exit 4"]);
    let left = number(&pilot.says("left"));
    // It holds our stdout: if it went on, this would take its time and fail.
    assert_eq!(pilot.end().0, Some(4));
    until(|| state(left).is_none());
}

#[test]
fn signals_that_stop_a_job_stop_us_too_and_cont_wakes_both() {
    for signal in [Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU] {
        let mut pilot = Pilot::plain(&["sh", "-c", STAYS]);
        let command = number(&pilot.says("up"));
        pilot.send(signal);
        until(|| state(pilot.pid()) == Some('T') && state(command) == Some('T'));
        pilot.send(Signal::SIGCONT);
        until(|| state(pilot.pid()) != Some('T') && state(command) != Some('T'));
        assert_eq!(pilot.stop().0, Some(143), "{signal}");
    }
}

#[test]
fn pid_1_passes_on_what_would_stop_it() {
    let script = format!("trap 'echo term; exit 3' TERM; kill -TSTP 1; {STAYS}");
    let words = [&CONTAINER[1..], &[BINARY, "sh", "-c", &script]].concat();
    let mut child = Command::new(CONTAINER[0]);
    let child = child.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let init = || std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id())).unwrap();
    until(|| !init().is_empty());
    let init: i32 = init().trim().parse().unwrap();
    let command = || std::fs::read_to_string(format!("/proc/{init}/task/{init}/children")).unwrap();
    until(|| command().trim().parse().is_ok_and(|command| state(command) == Some('T')));
    nix::sys::signal::kill(Pid::from_raw(init), Signal::SIGTERM).unwrap();
    nix::sys::signal::kill(Pid::from_raw(init), Signal::SIGCONT).unwrap();
    let output = child.wait_with_output().unwrap();
    // It may have been stopped before it could say that it is up.
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.code() == Some(3) && said.ends_with("term\n"), "{:?} {said}", output.status);
}

/// A script that speaks up for each line that it reads, and at Ctrl-C. In a file, so that typing its name shows none of this.
fn script(folder: &Path) -> String {
    let path = folder.join("talk");
    let talk = "trap 'echo caught; exit 5' INT; echo up $$ $PPID; while read -r x; do echo heard $x; done; echo deaf";
    std::fs::write(&path, talk).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Starts the script at a prompt, as the last part of this line: our pid, and the command's.
fn converse(terminal: &mut Terminal, line: &str) -> [i32; 2] {
    terminal.enter(line);
    terminal.shows("up ");
    let line = terminal.shows("\n");
    let numbers: Vec<i32> = line.split_whitespace().skip(1).map(|number| number.parse().unwrap()).collect();
    [numbers[1], numbers[0]]
}

fn until_stopped(pids: [i32; 2]) {
    until(|| pids.iter().all(|pid| state(*pid) == Some('T')));
}

#[test]
fn the_command_has_the_terminal() {
    let (folder, mut terminal) = (Folder::new(), Terminal::with_shell());
    let [_, command] = converse(&mut terminal, &format!("$containerpilot sh {}", script(&folder.0)));
    terminal.enter("one");
    terminal.shows("heard one\n");
    let stat = std::fs::read_to_string(format!("/proc/{command}/stat")).unwrap();
    let fields: Vec<i32> =
        stat.rsplit_once(") ").unwrap().1.split(' ').skip(1).take(5).map(|n| n.parse().unwrap()).collect();
    assert_eq!((fields[1], fields[4]), (command, command), "a group of its own, which is in the foreground");
    terminal.press("\x03");
    terminal.shows("caught\n");
    terminal.enter("echo status $?");
    terminal.shows("status 5\n");
}

#[test]
fn ctrl_z_stops_both_and_fg_and_bg_wake_both() {
    let (folder, mut terminal) = (Folder::new(), Terminal::with_shell());
    let pids = converse(&mut terminal, &format!("$containerpilot sh {}", script(&folder.0)));
    terminal.press("\x1a");
    terminal.shows("Stopped");
    until_stopped(pids);
    terminal.enter("fg");
    terminal.enter("one");
    terminal.shows("heard one\n");
    terminal.press("\x1a");
    terminal.shows("Stopped");
    terminal.enter("bg");
    terminal.shows("&");
    // It reads from the terminal, and is stopped for that.
    until_stopped(pids);
    terminal.enter("fg");
    terminal.enter("two");
    terminal.shows("heard two\n");
    terminal.press("\x04");
    terminal.shows("deaf\n");
    terminal.enter("echo status $?");
    terminal.shows("status 0\n");
}

#[test]
fn what_is_started_in_the_background_comes_to_the_foreground_with_fg() {
    let (folder, mut terminal) = (Folder::new(), Terminal::with_shell());
    let wait = format!("until [ -e {0}/go ]; do sleep 0.02; done; exec sh {1}", folder.0.display(), script(&folder.0));
    terminal.enter(&format!("$containerpilot sh -c '{wait}' &"));
    terminal.shows("ready> ");
    // The shell gives us the terminal without a signal: nobody has been stopped.
    terminal.enter("fg");
    std::fs::write(folder.0.join("go"), "").unwrap();
    terminal.shows("up ");
    terminal.enter("one");
    terminal.shows("heard one\n");
    terminal.press("\x03");
    terminal.shows("caught\n");
}

#[test]
fn the_end_of_a_command_in_the_background_takes_the_terminal_from_nobody() {
    let mut terminal = Terminal::with_shell();
    terminal.enter("$containerpilot sh -c 'kill -STOP $$' & echo pid $!; sed s/^/read-/");
    let pid = number(&{
        terminal.shows("\npid ");
        terminal.shows("\n")
    });
    terminal.enter("one");
    terminal.shows("read-one\n");
    until(|| state(pid) == Some('T'));
    nix::sys::signal::kill(Pid::from_raw(pid), Signal::SIGCONT).unwrap();
    until(|| state(pid).is_none_or(|state| state == 'Z'));
    terminal.enter("two");
    terminal.shows("read-two\n");
}

#[test]
fn ctrl_z_stops_the_script_and_the_pipeline_that_we_are_in() {
    let folder = Folder::new();
    let script = script(&folder.0);
    for line in [
        format!("sh -c '$0 sh {script}; echo over' $containerpilot"),
        format!("$containerpilot sh {script} | sed -u ''"),
    ] {
        let mut terminal = Terminal::with_shell();
        let pids = converse(&mut terminal, &line);
        terminal.press("\x1a");
        terminal.shows("Stopped");
        until_stopped(pids);
        terminal.enter("fg");
        terminal.enter("one");
        terminal.shows("heard one\n");
    }
}

#[test]
fn where_nobody_would_continue_it_ctrl_z_does_nothing() {
    let folder = Folder::new();
    let script = script(&folder.0);
    let leader = [BINARY, "sh", &script];
    // `setsid --ctty` runs in the container, too: PID 1 leads a session as Docker's does.
    let container = [&CONTAINER[..], &["setsid", "--ctty"], &leader].concat();
    let mut terminal = Terminal::with(&leader);
    terminal.shows("up ");
    terminal.press("\x1a");
    terminal.enter("one");
    terminal.shows("heard one\n");
    terminal.press("\x03");
    terminal.shows("caught\n");
    assert_eq!(terminal.end(), Some(5));
    let mut terminal = Terminal::without_session(&container);
    terminal.shows("up ");
    terminal.press("\x1a");
    terminal.enter("one");
    terminal.shows("heard one\n");
    terminal.press("\x03");
    terminal.shows("caught\n");
    assert_eq!(terminal.end(), Some(5));
}
