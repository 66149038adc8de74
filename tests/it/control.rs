//! A running instance, asked and told over its socket and by the command line.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::http::{listens, local};
use crate::pilot::{Pilot, containerpilot, until};

const JOBS: &str = "{ name: 'app', exec: ['sh', '-c', 'trap \"echo got hup\" HUP; echo app is up; while :; do sleep 100 & wait $!; done'] },
     { name: 'later', exec: ['sh', '-c', 'echo later is up; exec sleep 100'], when: { source: 'app', once: 'stopped' } },
     { name: 'wrong', exec: '/nosuch/program' }";

fn pilot() -> Pilot {
    let mut pilot = Pilot::of_jobs(JOBS);
    pilot.says("app is up");
    until(|| listens(&pilot.folder.join("socket")));
    pilot
}

fn get(pilot: &Pilot, target: &str) -> (u16, Value) {
    let (status, body) = local(&pilot.folder.join("socket"), "GET", target, "");
    (status, serde_json::from_str(&body).unwrap_or(Value::Null))
}

/// The command line against a running instance: exit status, stdout, stderr.
fn cli(pilot: &Pilot, args: &[&str]) -> (Option<i32>, String, String) {
    let config = pilot.folder.join("app.json5");
    let output = containerpilot(&[&["-config", config.to_str().unwrap()], args].concat());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// An answer that goes on and on.
struct Stream {
    socket: UnixStream,
    seen: String,
}

impl Stream {
    fn open(pilot: &Pilot, target: &str) -> Self {
        let mut socket = UnixStream::connect(pilot.folder.join("socket")).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        socket.write_all(format!("GET {target} HTTP/1.1\r\nHost: c\r\n\r\n").as_bytes()).unwrap();
        Self { socket, seen: String::new() }
    }

    /// Reads until these words have come.
    fn until(&mut self, words: &str) {
        let mut piece = [0; 4096];
        while !self.seen.contains(words) {
            let count = self.socket.read(&mut piece).unwrap();
            assert_ne!(count, 0, "{}", self.seen);
            self.seen.push_str(std::str::from_utf8(&piece[..count]).unwrap());
        }
    }
}

#[test]
fn a_status_tells_everything_about_every_job() {
    let pilot = pilot();
    let (status, body) = get(&pilot, "/v3/status");
    assert_eq!(status, 200);
    let names: Vec<&str> = body["jobs"].as_array().unwrap().iter().map(|job| job["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["app", "later", "wrong"]);
    assert_eq!((&body["jobs"][0]["state"], body["jobs"][0]["pid"].is_number()), (&"running".into(), true));
    assert_eq!(body["jobs"][1]["waiting_for"], "app stopped");
    assert_eq!(body["jobs"][2]["last_exit"]["status"], 127);
    assert_eq!(get(&pilot, "/v3/jobs/app").1["name"], "app");
    assert_eq!(get(&pilot, "/v3/jobs/nosuch").0, 404);
    let (code, table, _) = cli(&pilot, &["-status"]);
    assert_eq!((code, table.lines().count()), (Some(0), 4));
    let (code, said, _) = cli(&pilot, &["-explain", "later"]);
    assert!(code == Some(0) && said.starts_with("later waits for app stopped; app is running; "), "{said}");
}

#[test]
fn what_the_socket_says_is_what_its_description_says() {
    let pilot = pilot();
    let description = get(&pilot, "/v3/openapi.json").1;
    let schemas = &description["components"]["schemas"];
    let agrees = |value: &Value, schema: &str| {
        let mut named: Vec<&String> = schemas[schema]["properties"].as_object().unwrap().keys().collect();
        let mut found: Vec<&String> = value.as_object().unwrap().keys().collect();
        named.sort();
        found.sort();
        assert_eq!(found, named, "{schema}");
    };
    let status = get(&pilot, "/v3/status").1;
    agrees(&status, "Status");
    agrees(&status["jobs"][0], "Job");
    let lines = local(&pilot.folder.join("socket"), "GET", "/v3/logs/app", "").1;
    agrees(&lines_of(&lines)[0], "LogLine");
    let dry_run = local(&pilot.folder.join("socket"), "POST", "/v3/reload?dry-run", "").1;
    agrees(&serde_json::from_str(&dry_run).unwrap(), "Diff");
    for (path, methods) in description["paths"].as_object().unwrap() {
        let path = path.replace("{name}", "nosuch");
        for method in ["get", "post"].iter().filter(|method| methods.get(method).is_none()) {
            if path == "/v3/ping" {
                continue;
            }
            let answer = local(&pilot.folder.join("socket"), &method.to_uppercase(), &path, "");
            assert_eq!(answer.0, 405, "{method} {path}");
        }
    }
}

#[test]
fn a_job_is_stopped_and_started_by_hand() {
    let mut pilot = pilot();
    let (code, said, _) = cli(&pilot, &["-job", "app", "-stop"]);
    assert!(code == Some(0) && said.contains("stopped by hand"), "{said}");
    // What comes after its stop does, and everything stays up.
    pilot.says("later is up");
    assert_eq!(get(&pilot, "/v3/jobs/app").1["state"], "stopped");
    assert_eq!(cli(&pilot, &["-job", "app", "-signal", "HUP"]).0, Some(1));
    assert_eq!(cli(&pilot, &["-job", "app", "-start"]).0, Some(0));
    assert_eq!(get(&pilot, "/v3/jobs/app").1["state"], "running");
    let (code, _, error) = cli(&pilot, &["-job", "app", "-start"]);
    assert!(code == Some(1) && error.contains("it runs already"), "{error}");
    assert_eq!(pilot.stop().0, Some(0));
}

#[test]
fn an_order_says_how_it_went() {
    let mut pilot = pilot();
    let before = get(&pilot, "/v3/jobs/app").1["pid"].clone();
    assert_eq!(cli(&pilot, &["-job", "app", "-restart"]).0, Some(0));
    assert_ne!(get(&pilot, "/v3/jobs/app").1["pid"], before);
    assert_eq!(cli(&pilot, &["-job", "app", "-signal", "SIGHUP"]).0, Some(0));
    pilot.says("got hup");
    let (code, said, _) = cli(&pilot, &["-job", "wrong", "-start"]);
    assert!(code == Some(1) && said.contains("no such file"), "{said}");
    let (code, _, error) = cli(&pilot, &["-job", "nosuch", "-stop"]);
    assert!(code == Some(1) && error.contains("no job `nosuch`"), "{error}");
    assert_eq!(cli(&pilot, &["-job", "app", "-signal", "NOSUCH"]).0, Some(1));
    assert_eq!(cli(&pilot, &["-job", "app", "-start", "-stop"]).0, Some(2));
}

#[test]
fn health_is_an_exit_status() {
    let check = "test -e @/ok";
    let jobs = format!(
        "{{ name: 'db', exec: 'sleep 1000', health: {{ exec: ['sh', '-c', '{check}'], interval: 1, ttl: 5 }} }},
         {{ name: 'app', exec: 'sleep 1000' }}"
    );
    let mut pilot = Pilot::of_jobs(&jobs);
    pilot.says("starts");
    until(|| cli(&pilot, &["-healthy"]).1.contains("check failed"));
    assert_eq!(cli(&pilot, &["-healthy", "db"]).0, Some(1));
    assert_eq!(cli(&pilot, &["-healthy", "app"]).0, Some(0));
    assert_eq!(cli(&pilot, &["-healthy", "nosuch"]).0, Some(1));
    std::fs::write(pilot.folder.join("ok"), "").unwrap();
    until(|| cli(&pilot, &["-healthy"]) == (Some(0), String::new(), String::new()));
}

#[test]
fn events_are_replayed_and_followed() {
    let pilot = pilot();
    let mut events = Stream::open(&pilot, "/v3/events?replay=all");
    events.until("\"code\":\"Startup\",\"source\":\"global\"");
    local(&pilot.folder.join("socket"), "POST", "/v3/maintenance/enable", "");
    events.until("\"code\":\"EnterMaintenance\"");
    assert_eq!(local(&pilot.folder.join("socket"), "GET", "/v3/events?replay=x", "").0, 400);
    // Those who watch hold up nobody.
    assert_eq!(pilot.stop().0, Some(0));
}

const SPEAKERS: &str = r#"{ name: 'app', exec: ['sh', '-c', 'seq 3; printf "\\377 bad\\n" >&2; until [ -e @/go ]; do sleep 0.02; done; echo later'],
        restarts: 1, health: { exec: ['echo', 'checked'], interval: 1, ttl: 5 } },
     { name: 'raw', exec: 'sleep 1000', logging: { raw: true } }"#;

fn lines_of(body: &str) -> Vec<Value> {
    body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_last_lines_of_a_job_are_told() {
    let mut pilot = Pilot::of_jobs(SPEAKERS);
    pilot.says("bad");
    pilot.says("checked");
    let get = |target: &str| local(&pilot.folder.join("socket"), "GET", target, "");
    let (status, body) = get("/v3/logs/app");
    let lines = lines_of(&body);
    let of_stream = |name: &str| -> Vec<&str> {
        lines.iter().filter(|line| line["stream"] == name).map(|line| line["msg"].as_str().unwrap()).collect()
    };
    assert_eq!((status, of_stream("stdout"), of_stream("stderr")), (200, vec!["1", "2", "3"], vec!["\u{fffd} bad"]));
    assert!(lines[0]["pid"].is_number() && lines[0]["time"].as_str().unwrap().ends_with('Z'));
    assert_eq!(lines_of(&get("/v3/logs/app?lines=1").1), lines[3..]);
    assert_eq!(lines_of(&get("/v3/logs/check.app").1)[0]["msg"], "checked");
    assert_eq!(get("/v3/logs/app?lines=x").0, 400);
    let (status, body) = get("/v3/logs/raw");
    assert!(status == 409 && body.contains("`raw` is raw"), "{body}");
    for target in ["/v3/logs/aps", "/v3/jobs/aps"] {
        let (status, body) = get(target);
        assert_eq!(
            (status, body.as_str()),
            (404, "{\"error\":\"there is no job `aps`, perhaps `app`\"}\n"),
            "{target}"
        );
    }
    assert_eq!(get("/v3/logs/nosuch").0, 404);
}

#[test]
fn the_lines_of_a_job_are_followed_over_its_restarts() {
    let mut pilot = Pilot::of_jobs(SPEAKERS);
    pilot.says("bad");
    let mut followed = Stream::open(&pilot, "/v3/logs/app?lines=1&follow=1");
    followed.until("\"msg\":");
    std::fs::write(pilot.folder.join("go"), "").unwrap();
    followed.until("\"msg\":\"later\"");
    followed.until("\"msg\":\"1\"");
    // Those who watch hold up nobody.
    assert_eq!(pilot.stop().0, Some(0));
}

#[test]
fn lines_are_shown_as_they_were_written() {
    let mut pilot = Pilot::of_jobs(SPEAKERS);
    pilot.says("bad");
    let (code, said, _) = cli(&pilot, &["-logs", "app"]);
    let mut said: Vec<&str> = said.lines().collect();
    said.sort_unstable();
    assert_eq!((code, said), (Some(0), vec!["1", "2", "3", "\u{fffd} bad"]));
    let (code, _, error) = cli(&pilot, &["-logs", "aps"]);
    assert!(code == Some(1) && error.contains("no job `aps`, perhaps `app`"), "{error}");
    let (code, _, error) = cli(&pilot, &["-logs", "raw", "-follow"]);
    assert!(code == Some(1) && error.contains("`raw` is raw"), "{error}");
    let (code, _, error) = cli(&pilot, &["-explain", "aps"]);
    assert!(code == Some(1) && error.contains("no job `aps`, perhaps `app`"), "{error}");
}

#[test]
fn a_follower_on_the_command_line_ends_with_the_instance() {
    let mut pilot = Pilot::of_jobs(SPEAKERS);
    pilot.says("bad");
    let mut command = Command::new(env!("CARGO_BIN_EXE_containerpilot"));
    command.arg("-config").arg(pilot.folder.join("app.json5")).args(["-logs", "app", "-follow"]);
    let mut follower = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line == "3"));
    std::fs::write(pilot.folder.join("go"), "").unwrap();
    assert!(lines.any(|line| line == "later"));
    assert_eq!(pilot.stop().0, Some(0));
    let end = follower.wait_with_output().unwrap();
    assert_eq!((end.status.code(), end.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn lines_that_wait_for_the_reader_of_the_log_are_not_waited_for() {
    let folder = crate::pilot::folder();
    let fifo = folder.join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    // Opened for writing too, so that opening waits for nobody; it is full at once.
    let unread = OpenOptions::new().read(true).write(true).open(&fifo).unwrap();
    let jobs = "{ name: 'flood', exec: 'yes' }, { name: 'calm', exec: 'sleep 1000' }";
    let config = format!(
        "{{ control: {{ socket: '@/socket' }}, stopTimeout: 1, logging: {{ output: '{}' }}, jobs: [ {jobs} ] }}",
        fifo.display()
    );
    let pilot = Pilot::of(&config);
    until(|| listens(&pilot.folder.join("socket")));
    until(|| local(&pilot.folder.join("socket"), "GET", "/v3/logs/calm", "").0 == 504);
    assert_eq!(get(&pilot, "/v3/jobs/calm").1["state"], "running");
    drop((pilot, unread));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_dry_run_changes_nothing_and_a_reload_what_it_said() {
    let mut pilot = pilot();
    let path = pilot.folder.join("app.json5");
    let config = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, config.replace("app is up", "app is new").replace("name: 'wrong'", "name: 'other'")).unwrap();
    let (code, said, _) = cli(&pilot, &["-reload", "-dry-run"]);
    let expected = "changed:   app\nrestarted: -\nadded:     other\nremoved:   wrong\nunchanged: later\nsettings:  -\nstarts:    app now; other now\n";
    assert_eq!((code, said.as_str()), (Some(0), expected));
    assert_eq!(get(&pilot, "/v3/jobs/other").0, 404);
    assert_eq!(cli(&pilot, &["-reload"]), (Some(0), String::new(), String::new()));
    pilot.says("app is new");
    assert_eq!((get(&pilot, "/v3/jobs/other").0, get(&pilot, "/v3/jobs/wrong").0), (200, 404));
    std::fs::write(&path, "{ jobs: [").unwrap();
    assert_eq!(local(&pilot.folder.join("socket"), "POST", "/v3/reload", "").0, 422);
    assert_eq!(get(&pilot, "/v3/jobs/other").0, 200);
}

/// Runs a script with `/run` read-only, and this `/tmp`, in a mount namespace of its own; what it says.
fn without_run(tmp: &Path, script: &str) -> String {
    let mounted = format!("mount -t tmpfs -o ro none /run && mount --bind $F /tmp && cd /tmp && {{ {script}\n}}");
    let output = Command::new("timeout")
        .args(["60", "unshare", "--mount", "--map-root-user", "sh", "-c", &mounted])
        .env("F", tmp)
        .env("BINARY", env!("CARGO_BIN_EXE_containerpilot"))
        .env("CONTAINERPILOT", "/tmp/app.json5")
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let said = text(output.stdout) + &text(output.stderr);
    assert!(output.status.success(), "this test needs a mount namespace (unshare, root or user namespaces): {said}");
    said
}

const QUIET: &str = "{ stopTimeout: 1, jobs: [{ name: 'a', exec: ['sh', '-c', 'echo > up; exec sleep 1000'] }] }";

#[test]
fn where_there_is_no_default_place_both_sides_find_another() {
    let tmp = crate::pilot::folder();
    std::fs::write(tmp.join("app.json5"), QUIET).unwrap();
    let said = without_run(
        &tmp,
        "$BINARY > log 2>&1 & pid=$!
         until $BINARY -ping 2> /dev/null; do sleep 0.05; done
         stat -c '%F %a' containerpilot-0 containerpilot-0/containerpilot.socket
         $BINARY -job a; kill $pid; wait $pid; echo ended $?; ls containerpilot-0; cat log",
    );
    assert!(said.starts_with("ok\ndirectory 700\nsocket 600\na runs; "), "{said}");
    assert!(said.contains("\nended 0\n") && said.contains("cannot make the control socket"), "{said}");
    assert!(said.contains("instead=\"/tmp/containerpilot-0/containerpilot.socket\""), "{said}");
    std::fs::remove_dir_all(tmp).unwrap();
}

#[test]
fn a_place_that_others_may_write_to_is_used_by_neither_side() {
    let tmp = crate::pilot::folder();
    std::fs::write(tmp.join("app.json5"), QUIET).unwrap();
    // Somebody was faster, and waits for our secrets.
    let folder = tmp.join("containerpilot-0");
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    let trap = UnixListener::bind(folder.join("containerpilot.socket")).unwrap();
    trap.set_nonblocking(true).unwrap();
    let said = without_run(
        &tmp,
        "$BINARY > log 2>&1 & pid=$!
         until test -e up && grep -q cannot log; do sleep 0.05; done
         $BINARY -putenv SECRET=1; echo refused $?; kill $pid; wait $pid; cat log",
    );
    assert!(said.contains("refused 1\n") && said.contains("`/var/run/containerpilot.socket`"), "{said}");
    assert!(!said.contains("instead="), "{said}");
    assert!(trap.accept().is_err());
    std::fs::remove_dir_all(tmp).unwrap();
}

#[test]
fn the_socket_is_ours_alone_and_gone_afterwards() {
    let pilot = pilot();
    let socket = pilot.folder.join("socket");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    // A second instance leaves the first one's socket alone, and runs its jobs all the same.
    let mut second = Pilot::of(&format!(
        "{{ control: {{ socket: '{}' }}, stopTimeout: 1, jobs: [{{ name: 'b', exec: ['sh', '-c', 'echo second; sleep 100'] }}] }}",
        socket.display()
    ));
    second.says("another process listens there");
    second.says(" second");
    assert_eq!(second.stop().0, Some(0));
    assert_eq!(get(&pilot, "/v3/status").0, 200);
    let folder = pilot.folder.clone();
    assert_eq!(cli(&pilot, &["-ping"]).0, Some(0));
    drop(pilot);
    assert!(!folder.exists());
}

#[test]
fn a_variable_that_no_process_could_be_started_with_is_refused() {
    let mut pilot =
        Pilot::of_jobs("{ name: 'tick', exec: ['sh', '-c', 'echo tick ${BIG:-unset}'], when: { interval: '100ms' } }");
    pilot.says("tick unset");
    until(|| listens(&pilot.folder.join("socket")));
    let socket = pilot.folder.join("socket");
    let put = |body: &str| local(&socket, "POST", "/v3/environ", body);
    // `BIG=` and the NUL are in the 32 pages, too.
    let of_size = |size: usize| format!("{{\"BIG\": \"{}\", \"OTHER\": \"set\"}}", "y".repeat(size));
    let (status, says) = put(&of_size(32 * 4096 - 4));
    assert_eq!(status, 422);
    assert_eq!(
        says,
        "cannot set `BIG`: with its name it has 131072 bytes, and no process can be started with more than 131071\n"
    );
    assert_eq!(put(&of_size(32 * 4096 - 5)).0, 200);
    pilot.says("tick yyy");
    // Many of them are too much, too. The command line says why.
    let value = "y".repeat(120 * 1024);
    let refused = (0..100).find_map(|number| {
        let (status, _, stderr) = cli(&pilot, &["-putenv", &format!("BIG{number}={value}")]);
        (status != Some(0)).then_some((status, stderr))
    });
    let (status, stderr) = refused.expect("there is a bound");
    assert_eq!(status, Some(1));
    assert!(stderr.contains("the whole environment would take"), "{stderr}");
    assert_eq!(put("{\"BIG\": \"still\"}").0, 200);
    pilot.says("tick still");
    let (status, lines) = pilot.stop();
    assert_eq!(status, Some(0));
    assert!(!lines.iter().any(|line| line.contains("too long")), "{lines:?}");
}

/// Everything that a terminal might act upon.
fn is_harmless(text: &str) -> bool {
    !text.chars().any(|c| !matches!(c, '\n' | '\t') && c.is_control())
}

#[test]
fn nothing_that_a_job_or_a_config_says_reaches_a_terminal_but_through_logs() {
    let evil = "printf 'oops \\\\033]0;OWNED\\\\007\\\\302\\\\2332J\\\\177\\\\n' >&2; exit 3";
    let mut pilot = Pilot::of_jobs(&format!(
        "{{ name: 'bad', exec: ['sh', '-c', \"{evil}\"] }},
         {{ name: 'e\\u001b[2J\\u009bvil\\nx', exec: 'sleep 1000' }}, {{ name: 'later', exec: 'true', when: {{ source: 'e\\u001b[2J\\u009bvil\\nx', once: 'stopped' }} }}"
    ));
    pilot.says("bad exited with error");
    until(|| listens(&pilot.folder.join("socket")));
    for args in [
        &["-explain", "bad"][..],
        &["-explain", "later"],
        &["-explain", "b\u{1b}[2Jd"],
        &["-healthy"],
        &["-healthy", "bad"],
        &["-status"],
        &["-status", "-json"],
        &["-job", "bad", "-restart"],
        &["-job", "e\u{1b}[2J", "-stop"],
        &["-reload", "-dry-run"],
        &["-reload", "-dry-run", "-json"],
        &["-bo\u{1b}gus"],
    ] {
        let (_, out, told) = cli(&pilot, args);
        assert!(is_harmless(&out) && is_harmless(&told) && !(out + &told).is_empty(), "{args:?}");
    }
    std::fs::write(
        pilot.folder.join("app.json5"),
        "{ control: { socket: '@/socket' }, jobs: [{ name: 'a\\u001b[2J\\u009b', exec: 'x', port: 1 }] }"
            .replace('@', pilot.folder.to_str().unwrap()),
    )
    .unwrap();
    for args in [&["-validate"][..], &["-reload"]] {
        let (_, out, told) = cli(&pilot, args);
        assert!(is_harmless(&out) && is_harmless(&told) && !told.is_empty(), "{args:?}: {told:?}");
    }
    std::fs::write(
        pilot.folder.join("app.json5"),
        format!("{{ control: {{ socket: '{}/socket' }}, jobs: [] }}", pilot.folder.display()),
    )
    .unwrap();
    let (_, out, _) = cli(&pilot, &["-logs", "bad"]);
    assert!(out.contains("oops \u{1b}]0;OWNED\u{7}\u{9b}2J\u{7f}\n"), "{out:?}");
}
