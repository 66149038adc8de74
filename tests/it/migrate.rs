//! A version 2 config and what `-migrate` makes of it do the same.

use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use crate::pilot::{Pilot, containerpilot, folder, until};

/// The application: it says when it starts, when it gets a TERM, and ends then with status 3.
const APP: &str =
    "trap 'echo app TERM >> @/trace; exit 3' TERM; echo app >> @/trace; while :; do sleep 100 & wait $!; done";

fn app() -> [String; 3] {
    ["sh", "-c", APP].map(str::to_owned)
}

/// The same, but it starts when this has been said.
fn app_after(word: &str, script: &str) -> [String; 3] {
    ["sh".to_owned(), "-c".to_owned(), format!("until grep -qx {word} @/trace; do sleep 0.02; done; {script}")]
}

/// A process that says the same, and goes on until it is told.
fn side(name: &str) -> String {
    format!(
        "['sh', '-c', \"trap 'echo {name} TERM >> @/trace; exit' TERM; echo {name} >> @/trace; while :; do sleep 100 & wait $!; done\"]"
    )
}

fn says(word: &str) -> String {
    format!("['sh', '-c', 'echo {word} >> @/trace']")
}

/// The config itself, or as a version 3 config.
fn text(config: &str, command: &[String], is_migrated: bool) -> String {
    // One that is broken stays so.
    if !is_migrated || config.contains("command: }") {
        return config.to_owned();
    }
    let mut args = vec!["-migrate", "-config", config, "--"];
    args.extend(command.iter().map(String::as_str));
    let output = containerpilot(&args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A run of one of both.
struct Run {
    pilot: Pilot,
    folder: PathBuf,
    command: Vec<String>,
    is_migrated: bool,
}

impl Run {
    fn lines(&self, file: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.join(file)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn count(&self, word: &str) -> usize {
        self.lines("trace").iter().chain(&self.lines("noise")).filter(|line| *line == word).count()
    }

    /// Waits until a word has been said so often.
    fn traced(&self, word: &str, count: usize) {
        until(|| self.count(word) >= count);
    }

    fn reload(&self, config: &str) {
        let config = in_folder(&config_of(config), &self.folder);
        let text = text(&config, &self.command, self.is_migrated);
        std::fs::write(self.pilot.folder.join("app.json5"), text).unwrap();
        self.pilot.send(Signal::SIGHUP);
    }
}

fn config_of(fields: &str) -> String {
    format!("{{ control: {{ socket: '@/socket' }}, stopTimeout: 10, {fields} }}")
}

/// `@` is the folder of the run.
fn in_folder(text: &str, folder: &Path) -> String {
    text.replace('@', folder.to_str().unwrap())
}

/// Plays a scenario with both configs: the exit status and the trace, which are the same.
#[track_caller]
fn play(fields: &str, command: &[String], scenario: impl Fn(&mut Run)) -> (Option<i32>, Vec<String>) {
    let [old, new] = [false, true].map(|is_migrated| {
        let folder = folder();
        let command: Vec<String> = command.iter().map(|word| in_folder(word, &folder)).collect();
        let text = text(&in_folder(&config_of(fields), &folder), &command, is_migrated);
        let words: Vec<&str> = if is_migrated { Vec::new() } else { command.iter().map(String::as_str).collect() };
        let mut run = Run { pilot: Pilot::of_command(&text, &words), folder, command, is_migrated };
        scenario(&mut run);
        let status = run.pilot.ended();
        let trace = run.lines("trace");
        std::fs::remove_dir_all(&run.folder).unwrap();
        (status, trace)
    });
    assert_eq!(old, new, "version 2 and version 3");
    new
}

#[test]
fn the_order_and_the_exit_status_are_the_same() {
    let fields = format!(
        "preStart: {}, postStop: {}, coprocesses: [{{ name: 'side', command: {} }}]",
        says("before"),
        says("after"),
        side("side"),
    );
    let (status, trace) = play(&fields, &app_after("side", "echo app >> @/trace; exit 7"), |_| {});
    assert_eq!((status, trace.join(", ").as_str()), (Some(7), "before, side, app, after, side TERM"));
}

#[test]
fn a_stop_is_prepared_and_followed_up_in_the_same_way() {
    let service = "services: [{ name: 'web', port: 80, poll: 1, ttl: 5, interfaces: 'lo', health: 'true' }]";
    for services in ["", service] {
        let fields = format!("preStop: {}, postStop: {}, {services}", says("draining"), says("after"));
        let (status, trace) = play(&fields, &app(), |run| {
            run.traced("app", 1);
            run.pilot.send(Signal::SIGTERM);
        });
        assert_eq!((status, trace.join(", ").as_str()), (Some(3), "app, draining, app TERM, after"));
    }
}

#[test]
fn a_stop_side_by_side_is_prepared_in_the_same_way() {
    let fields = format!(
        "preStop: {}, postStop: {}, coprocesses: [{{ command: {} }}]",
        says("draining"),
        says("never"),
        side("side"),
    );
    let (status, trace) = play(&fields, &[], |run| {
        run.traced("side", 1);
        run.pilot.send(Signal::SIGTERM);
    });
    assert_eq!((status, trace.join(", ").as_str()), (Some(0), "side, draining, side TERM"));
}

#[test]
fn a_failed_preparation_is_the_end_of_both() {
    let fields =
        format!("preStart: 'sh -c false', postStop: {}, coprocesses: [{{ command: {} }}]", says("never"), side("x"));
    assert_eq!(play(&fields, &app(), |_| {}), (Some(1), Vec::new()));
    let fields = format!("preStart: '/no/such/program', preStop: {}", says("never"));
    assert_eq!(play(&fields, &app(), |_| {}), (Some(127), Vec::new()));
}

#[test]
fn tasks_run_and_rest_in_maintenance_in_the_same_way() {
    let fields = format!(
        "tasks: [{{ name: 'the task', command: {}, frequency: '100ms', timeout: '5s' }}], coprocesses: [{{ command: {} }}]",
        "['sh', '-c', 'echo task >> @/noise']", "['sh', '-c', 'while :; do echo tick >> @/noise; sleep 0.1; done']",
    );
    let (status, trace) = play(&fields, &app(), |run| {
        let later = || {
            let ticks = run.count("tick");
            run.traced("tick", ticks + 8);
        };
        run.traced("task", 2);
        run.pilot.send(Signal::SIGUSR1);
        // What was under way when the signal came is over by then.
        later();
        let before = run.count("task");
        later();
        assert_eq!(run.count("task"), before, "migrated: {}", run.is_migrated);
        run.pilot.send(Signal::SIGUSR1);
        run.traced("task", before + 2);
        run.pilot.send(Signal::SIGTERM);
    });
    assert_eq!((status, trace.join(", ").as_str()), (Some(3), "app, app TERM"));
}

#[test]
fn a_reload_replaces_what_serves_the_application_and_nothing_else() {
    let fields =
        |name: &str| format!("preStart: {}, coprocesses: [{{ name: 'x', command: {} }}]", says("before"), side(name));
    let (status, trace) = play(&fields("one"), &app_after("one", APP), |run| {
        run.traced("app", 1);
        run.reload(&fields("one"));
        run.traced("one", 2);
        run.reload("coprocesses: [{ command: }]");
        run.pilot.says("cannot reload");
        run.reload(&fields("two"));
        run.traced("two", 1);
        run.pilot.send(Signal::SIGTERM);
    });
    let told = "before, one, app, one TERM, one, one TERM, two, app TERM, two TERM";
    assert_eq!((status, trace.join(", ").as_str()), (Some(3), told));
}

#[test]
fn the_new_config_is_written_and_what_changes_is_told() {
    let folder = folder();
    let out = folder.join("new.json5");
    let config = "{ \"tasks\": [{ \"name\": \"a task\", \"command\": \"true\", \"frequency\": \"1h\" }] }";
    let output =
        containerpilot(&["-migrate", "-out", &format!("file://{}", out.display()), "-config", config, "--", "true"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && output.stdout.is_empty(), "{told}");
    assert!(told.contains("-config:1:23: tasks[0].name: `a task` is no name for a job: it is `a-task` here"), "{told}");
    let validated = containerpilot(&["-validate", "-config", out.to_str().unwrap()]);
    assert!(validated.status.success() && validated.stderr.is_empty(), "{validated:?}");
    assert!(std::fs::read_to_string(&out).unwrap().contains("// tasks[0].name: `a task` is no name for a job"));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn of_what_cannot_be_migrated_nothing_is_written() {
    for (config, says) in [
        ("{ jobs: [] }", "-config: this is a config of version 3 already"),
        ("{ tasks: [{}] }", "-config:1:11: tasks[0].frequency: is missing"),
    ] {
        let output = containerpilot(&["-migrate", "-config", config, "--", "true"]);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{told}");
        assert!(told.contains(says), "{told}");
    }
}
