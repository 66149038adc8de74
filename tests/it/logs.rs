//! The log as a pipeline takes it: whole, in order, valid, whatever becomes of its reader or its disk.
#![expect(clippy::disallowed_methods, reason = "a test waits for its own child, for as long as it takes")]

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::http::{free_port, local, remote};
use crate::pilot::{Folder, Pilot, folder, said};

/// A run to its end with JSON records.
fn records(jobs: &str) -> Vec<Value> {
    records_of("", jobs)
}

fn records_of(logging: &str, jobs: &str) -> Vec<Value> {
    text_of(logging, jobs)
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect()
}

/// The same as it was written.
fn text_of(logging: &str, jobs: &str) -> Vec<String> {
    let logging = format!("logging: {{ format: 'json', {logging} }}");
    Pilot::of(&format!("{{ control: {{ socket: '@/socket' }}, {logging}, jobs: [ {jobs} ] }}")).end().1
}

/// The records of children's lines.
fn of_jobs(records: &[Value]) -> Vec<&Value> {
    records.iter().filter(|record| record["pid"].is_u64()).collect()
}

fn messages<'a>(records: &'a [Value], job: &str) -> Vec<&'a str> {
    of_jobs(records)
        .into_iter()
        .filter(|record| record["job"] == job)
        .filter_map(|record| record["msg"].as_str())
        .collect()
}

/// Waits until it holds.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}

/// Whether a pipe takes no more.
fn is_full(pipe: impl AsFd) -> bool {
    let mut asked = [PollFd::new(pipe.as_fd(), PollFlags::POLLOUT)];
    poll(&mut asked, PollTimeout::ZERO).unwrap() == 0
}

#[test]
fn a_flood_over_eight_jobs_is_whole_and_in_order() {
    const EACH: u32 = 125_000;
    let jobs: Vec<String> = (0..8).map(|n| format!("{{ name: 'j{n}', exec: 'seq {EACH}' }}")).collect();
    let lines = Pilot::of_jobs(&jobs.join(", ")).end().1;
    let mut next = [1; 8];
    for line in &lines {
        let mut fields = line.split(' ').skip(1);
        let (Some(job), Some(pid), Some(message)) = (fields.next(), fields.next(), fields.next()) else { continue };
        if pid.parse::<u32>().is_err() {
            continue;
        }
        let job: usize = job[1..].parse().unwrap();
        assert_eq!(message, next[job].to_string(), "{line}");
        next[job] += 1;
    }
    assert_eq!(next, [EACH + 1; 8]);
}

#[test]
fn whatever_a_job_writes_is_valid_json() {
    let script =
        r"printf 'nul[\\000]\\nbad[\\377\\376\\303]\\n\\033[31mred\\033[0m\\none\\r\\ntwo\\rthree\\n\\nno newline'";
    let records = records(&format!("{{ name: 'a', exec: ['sh', '-c', \"{script}\"] }}"));
    let want =
        ["nul[\0]", "bad[\u{fffd}\u{fffd}\u{fffd}]", "\x1b[31mred\x1b[0m", "one", "two\rthree", "", "no newline"];
    assert_eq!(messages(&records, "a"), want);
}

#[test]
fn a_long_line_comes_in_numbered_pieces() {
    let script = "head -c 40000 /dev/zero | tr '\\\\0' x; echo; echo short";
    let records = records_of("maxLine: '16k'", &format!("{{ name: 'a', exec: ['sh', '-c', \"{script}\"] }}"));
    let records = of_jobs(&records);
    let pieces = &records[..3];
    let whole: String = pieces.iter().filter_map(|piece| piece["msg"].as_str()).collect();
    assert_eq!(whole, "x".repeat(40_000));
    for (piece, ordinal) in pieces.iter().zip(1..) {
        assert_eq!((&piece["partial_message"], &piece["partial_ordinal"]), (&true.into(), &ordinal.into()));
        assert_eq!((&piece["partial_last"], &piece["partial_id"]), (&(ordinal == 3).into(), &pieces[0]["partial_id"]));
    }
    assert_eq!((&records[3]["msg"], &records[3]["partial_message"]), (&"short".into(), &Value::Null));
}

#[test]
fn a_job_and_its_check_have_logging_of_their_own() {
    let records = records(
        r#"{ name: 'a', exec: ['sh', '-c', 'echo \'{"level":"warn","user":7}\'; echo plain; until [ -e @/go ]; do sleep 0.02; done'],
             logging: { json: true, fields: { team: 'db' } },
             health: { exec: ['sh', '-c', 'echo 2026-01 boom; echo \'  at main\'; echo 2026-02 next; echo > @/go'], interval: 1, ttl: 2,
                       logging: { level: 'error', multiline: { start: '^\\d{4}-' } } } }"#,
    );
    let job: Vec<&Value> = of_jobs(&records).into_iter().filter(|record| record["job"] == "a").collect();
    assert_eq!(
        (&job[0]["data"]["user"], &job[0]["level"], &job[0]["team"]),
        (&7.into(), &"warning".into(), &"db".into())
    );
    assert_eq!((&job[1]["msg"], &job[1]["level"], &job[1]["team"]), (&"plain".into(), &"info".into(), &"db".into()));
    let check: Vec<&Value> = of_jobs(&records).into_iter().filter(|record| record["check"] == "check.a").collect();
    assert_eq!((&check[0]["msg"], &check[0]["level"]), (&"2026-01 boom\n  at main".into(), &"error".into()));
    assert_eq!(check[1]["msg"], "2026-02 next");
}

#[test]
fn errors_of_a_consul_agent_are_errors_at_their_time() {
    let port = free_port();
    let records = records_of(
        "level: 'WARN'",
        &format!(
            "{{ name: 'a', logging: {{ json: true }}, exec: ['consul', 'agent', '-log-json', '-data-dir=@/data', '-bind=127.0.0.1', \
             '-serf-lan-port={port}', '-http-port=-1', '-dns-port=-1', '-retry-join=127.0.0.1:1', '-retry-max=1', '-retry-interval=1ms'] }}"
        ),
    );
    let records = of_jobs(&records);
    assert!(records.iter().all(|record| record["level"] == record["data"]["@level"] || record["level"] == "warning"));
    let failed = records
        .iter()
        .find(|record| record["data"]["@message"] == "Retry join failed")
        .expect("the agent's last error");
    assert_eq!((&failed["level"], &failed["time"]), (&"error".into(), &failed["data"]["@timestamp"]));
}

#[test]
fn what_json_allows_stays_an_object_byte_for_byte() {
    let long = "9".repeat(400);
    let deep = format!("{}{}", "[".repeat(512), "]".repeat(512));
    let objects = [
        r#"{"level":"error","n":1e400,"id":12345678901234567890123}"#.to_owned(),
        format!(r#"{{"level":"error","n":{long},"n":0}}"#),
        format!(r#"{{"level":"error","n":{deep}}}"#),
        r#"{"level":"error","cut":"\ud83d","pair":"\ud83d\ude00"}"#.to_owned(),
        r#"{"level":"error","time":"2026-02-30T00:00:00Z"}"#.to_owned(),
    ];
    let folder = Folder::new();
    std::fs::write(folder.0.join("in"), objects.join("\n")).unwrap();
    let log =
        text_of("", &format!("{{ name: 'a', exec: ['cat', '{}/in'], logging: {{ json: true }} }}", folder.0.display()));
    let records: Vec<&String> = log.iter().filter(|line| line.starts_with("{\"data\":")).collect();
    assert_eq!(records.len(), objects.len(), "{log:?}");
    for (record, object) in records.iter().zip(&objects) {
        assert!(record.starts_with(&format!(r#"{{"data":{object},"job":"a","level":"error""#)), "{record}");
    }
    let record = records.last().unwrap().rsplit_once("\"time\":\"").unwrap();
    assert!(!record.1.starts_with("2026-02-30"), "no day of the calendar: {record:?}");
}

#[test]
fn keys_of_ones_own_are_looked_at_first() {
    let records = records_of(
        "level: 'WARN', jsonKeys: { level: 'sev', time: ['when', 'at'] }",
        r#"{ name: 'a', logging: { json: true, jsonKeys: { level: ['rank'] } },
             exec: ['printf', '{"rank":"error","sev":"info","at":1767225600}\\n{"sev":"warn","level":"info"}\\n{"level":"error+1"}'] }"#,
    );
    let records = of_jobs(&records);
    let levels: Vec<_> = records.iter().map(|record| record["level"].as_str().unwrap()).collect();
    assert_eq!(levels, ["error", "warning", "error"]);
    assert_eq!(records[0]["time"], "2026-01-01T00:00:00.000000000Z");
}

#[test]
fn lines_beyond_the_limit_are_counted() {
    let records = records("{ name: 'a', exec: 'seq 1000', logging: { rateLimit: { lines: 10, per: '1h' } } }");
    assert_eq!(messages(&records, "a").len(), 10);
    let told = records.iter().find(|record| record["dropped"].is_u64()).unwrap();
    assert_eq!((&told["dropped"], &told["level"], &told["job"]), (&990.into(), &"warning".into(), &"a".into()));
}

#[test]
fn a_reader_that_stops_stops_the_flood_but_nothing_else() {
    let port = free_port();
    let config = format!(
        "{{ control: {{ socket: '@/socket' }}, telemetry: {{ port: {port}, interfaces: ['lo'] }}, jobs: [
        {{ name: 'flood', exec: ['sh', '-c', 'seq 300000; echo > @/written'] }},
        {{ name: 'beat', exec: ['sh', '-c', 'echo x >> @/beats'], logging: {{ raw: true }}, when: {{ interval: '20ms' }} }},
        {{ name: 'on-signal', exec: ['touch', '@/signalled'], logging: {{ raw: true }}, when: {{ source: 'SIGHUP' }} }} ] }}"
    );
    let (mut reader, writer) = std::io::pipe().unwrap();
    let pilot = Pilot::of_to(&config, writer.try_clone().unwrap());
    let beats = || std::fs::read(pilot.folder.join("beats")).unwrap_or_default().len();
    until("nothing more goes into our stdout", || is_full(&writer));
    drop(writer);
    let before = beats();
    pilot.send(Signal::SIGHUP);
    until("signals are heard", || pilot.folder.join("signalled").exists());
    until("jobs go on", || beats() > before + 10);
    assert_eq!(local(&pilot.folder.join("socket"), "GET", "/v3/ping", "").0, 200);
    let metrics = remote(port, "GET", "/metrics", "", "");
    assert!(metrics.0 == 200 && metrics.1.contains("containerpilot_log_lost_total{reason=\"backlog\"} 0"));
    assert!(!pilot.folder.join("written").exists());
    let (mut text, mut chunk) = (Vec::new(), vec![0; 1 << 16]);
    while !text.ends_with(b" 300000\n") {
        let count = reader.read(&mut chunk).unwrap();
        text.extend_from_slice(&chunk[..count]);
    }
    let lines: Vec<String> = String::from_utf8(text).unwrap().lines().map(str::to_owned).collect();
    let want: Vec<String> = (1..=300_000).map(|number| number.to_string()).collect();
    assert!(said(&lines) == want);
    // What a stop writes is read by nobody, and fits.
    assert_eq!(pilot.stop().0, Some(0));
}

#[test]
fn a_grandchild_that_holds_the_pipe_delays_no_exit_and_is_still_heard() {
    let script = "(trap : TERM; echo > @/ready; until [ -e @/go ]; do sleep 0.02; done; echo from below; echo > @/said;                     while :; do sleep 1000; done) & until [ -e @/ready ]; do sleep 0.02; done; echo begun";
    let mut pilot = Pilot::of_jobs(&format!(
        "{{ name: 'a', exec: ['sh', '-c', '{script}'] }},
         {{ name: 'next', exec: ['sh', '-c', 'echo next; echo > @/go; until [ -e @/said ]; do sleep 0.02; done'],
            when: {{ source: 'a', once: 'exitSuccess' }} }}"
    ));
    // 3.8: as long as it holds the pipe, we are up.
    pilot.says("from below");
    pilot.says(" next");
    let (status, lines) = pilot.stop();
    assert_eq!(status, Some(0));
    // Two pipes have no order between them.
    let mut heard = said(&lines);
    heard.sort();
    assert_eq!(heard, ["begun", "from below", "next"]);
    assert!(lines.iter().any(|line| line.contains(" a ") && line.ends_with(" from below")), "{lines:?}");
}

#[test]
fn a_job_that_restarts_for_ever_waits_for_the_reader() {
    let folder = folder();
    let fifo = folder.join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let mut reader = OpenOptions::new().read(true).write(true).open(&fifo).unwrap();
    let config = "{ control: { socket: '@/socket' }, logging: { output: 'FIFO' }, jobs: [
        { name: 'flood', exec: 'seq 300000' },
        { name: 'quick', exec: ['sh', '-c', 'echo x >> @/runs; echo said'], restarts: 'unlimited', backoff: 'none' },
        { name: 'checked', exec: 'sleep 1000', health: { exec: ['sh', '-c', 'echo x >> @/checks; echo well'], interval: 1, ttl: 5 } },
        { name: 'beat', exec: ['sh', '-c', 'echo x >> @/beats'], logging: { raw: true }, when: { interval: '20ms' } } ] }";
    let pilot = Pilot::of(&config.replace("FIFO", fifo.to_str().unwrap()));
    let count = |name: &str| std::fs::read(pilot.folder.join(name)).map_or(0, |text| text.len() / 2);
    let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", pilot.pid())).unwrap().count();
    // The flood fills the pipe. Whatever a job does that starts at once again, there is an end to it; checks go on.
    until("checks go on", || count("checks") > 10);
    let before = count("runs");
    let beats = count("beats");
    until("beats go on", || count("beats") > beats + 20);
    assert!(count("runs") == before && descriptors() < 200, "{before}, {}, {}", count("runs"), descriptors());
    let (mut text, mut chunk) = (Vec::new(), vec![0; 1 << 16]);
    while !(text.ends_with(b" said\n") && count("runs") > before + 20) {
        let count = reader.read(&mut chunk).unwrap();
        text.extend_from_slice(&chunk[..count]);
    }
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("quick waits with its next run until the log is read"));
    assert!(text.contains("the output of check.checked is lost until the log is read"));
    // A stop need not wait for anybody.
    pilot.send(Signal::SIGTERM);
    std::thread::spawn(move || while reader.read(&mut chunk).is_ok_and(|count| count > 0) {});
    assert_eq!(pilot.end().0, Some(0));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_reader_that_is_gone_ends_nothing() {
    let folder = folder();
    let config = "{ control: { socket: '@/socket' }, jobs: [
        { name: 'a', exec: ['sh', '-c', 'until [ -e @/gone ]; do echo x; done; seq 100000; echo > @/done'] } ] }";
    let path = folder.join("app.json5");
    std::fs::write(&path, config.replace('@', folder.to_str().unwrap())).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_containerpilot"));
    let mut child = command
        .arg("-config")
        .arg(path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    assert!(stdout.read(&mut [0; 4096]).unwrap() > 0);
    drop(stdout);
    std::fs::write(folder.join("gone"), "").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && folder.join("done").exists());
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(told.matches("cannot write the log").count(), 1, "{told}");
    std::fs::remove_dir_all(folder).unwrap();
}

/// The binary runs as root of a mount namespace of its own, with a disk of 256 KiB at `folder/disk`. Whoever may make one
/// needs no user namespace for it, which could not be had in a chroot.
#[test]
fn a_full_disk_loses_whole_records_and_says_how_many() {
    let folder = folder();
    let disk = folder.join("disk");
    std::fs::create_dir(&disk).unwrap();
    let config = folder.join("app.json5");
    // The job fills the disk, makes room, and speaks again.
    let script = "seq 5000; until [ -e @/full ]; do echo more; sleep 0.01; done; echo > @/noted; \
                  until [ -e @/room ]; do sleep 0.02; done; echo there is room; echo last";
    let text = format!(
        "{{ control: {{ socket: '@/socket' }}, logging: {{ format: 'json', output: '@/disk/log' }},
            jobs: [ {{ name: 'a', exec: ['sh', '-c', '{script}'] }},
                    {{ name: 'watcher', exec: ['sh', '-c', 'until grep -q records @/stderr; do sleep 0.02; done; echo > @/full; \
                       until [ -e @/noted ]; do sleep 0.02; done; rm @/disk/ballast; echo > @/room'], logging: {{ raw: true }} }} ] }}"
    );
    std::fs::write(&config, text.replace('@', folder.to_str().unwrap())).unwrap();
    let script = "mount -t tmpfs -o size=256k none $F/disk && head -c 200k /dev/zero > $F/disk/ballast && \
                  $BINARY -config $F/app.json5 2> $F/stderr && cp $F/disk/log $F/log";
    let may = Command::new("unshare").args(["--mount", "true"]).stderr(Stdio::null()).status().unwrap().success();
    let by_right: &[&str] = if may { &[] } else { &["--map-root-user"] };
    let status = Command::new("unshare")
        .arg("--mount")
        .args(by_right)
        .args(["sh", "-c", script])
        .env("F", &folder)
        .env("BINARY", env!("CARGO_BIN_EXE_containerpilot"))
        .status()
        .unwrap();
    let told = std::fs::read_to_string(folder.join("stderr")).unwrap_or_default();
    assert!(
        status.success(),
        "this test needs a mount namespace and a tmpfs (unshare, root or user namespaces): {told}"
    );
    assert_eq!(told.matches("cannot write the log").count(), 1, "{told}");
    let log = std::fs::read_to_string(folder.join("log")).unwrap();
    let records: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect();
    let lost =
        records.iter().find(|record| record["msg"].as_str().is_some_and(|text| text.contains("records are lost")));
    assert!(lost.unwrap()["dropped"].as_u64().unwrap() > 0);
    assert_eq!(messages(&records, "a").last(), Some(&"last"));
    std::fs::remove_dir_all(folder).unwrap();
}

/// Reloads with another `logging` block: the answer's status and body.
fn relog(pilot: &Pilot, old: &str, new: &str) -> (u16, String) {
    let path = pilot.folder.join("app.json5");
    let (old, new) = (pilot.at_home(old), pilot.at_home(new));
    let config = std::fs::read_to_string(&path).unwrap();
    assert!(config.contains(&old), "{config}");
    std::fs::write(&path, config.replace(&old, &new)).unwrap();
    let (head, body) = (&pilot.folder.join("socket"), "");
    local(head, "POST", "/v3/reload?json", body)
}

#[test]
fn a_reload_changes_how_and_where_is_logged() {
    let script = "echo before; until [ -e @/go ]; do sleep 0.02; done; echo after; \
                  until [ -e @/rotated ]; do sleep 0.02; done; seq -s- 200 | head -c 300; echo; echo > @/said; sleep 100";
    let mut pilot = Pilot::of(&format!(
        "{{ control: {{ socket: '@/socket' }}, stopTimeout: 1, logging: {{ output: '@/first' }},
            jobs: [ {{ name: 'a', exec: ['sh', '-c', '{script}'] }},
                    {{ name: 'raw', exec: 'echo it is up', logging: {{ raw: true }} }} ] }}"
    ));
    pilot.says("it is up");
    let text = |name: &str| std::fs::read_to_string(pilot.folder.join(name)).unwrap_or_default();
    until("the first line is there", || text("first").contains(" before\n"));
    let (status, _) =
        relog(&pilot, "output: '@/first'", "output: '@/second', format: 'json', level: 'debug', maxLine: 256");
    assert_eq!(status, 200);
    pilot.send(Signal::SIGHUP);
    until("debug is shown", || text("second").contains("event: {Signal SIGHUP}"));
    File::create(pilot.folder.join("go")).unwrap();
    until("the second line is there", || text("second").contains("\"after\""));
    std::fs::rename(pilot.folder.join("second"), pilot.folder.join("second.1")).unwrap();
    pilot.send(Signal::SIGUSR1);
    until("the new file is reopened", || pilot.folder.join("second").exists());
    File::create(pilot.folder.join("rotated")).unwrap();
    until("the long line is there", || text("second").contains("\"partial_last\":true"));
    let old = text("first");
    assert!(old.contains("reloading") && old.contains("settings=logging") && !old.contains("after"), "{old}");
    let records: Vec<Value> = (text("second.1") + &text("second"))
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect();
    let said = messages(&records, "a");
    assert_eq!((said[0], said[1].len(), said[2].len()), ("after", 256, 44));
}

#[test]
fn a_log_that_cannot_be_opened_refuses_the_reload() {
    let mut pilot = Pilot::of(
        "{ control: { socket: '@/socket' }, stopTimeout: 1, logging: { level: 'info' },
           jobs: [ { name: 'a', exec: ['sh', '-c', 'echo up; until [ -e @/go ]; do sleep 0.02; done; echo still here; sleep 100'] } ] }",
    );
    pilot.says("up");
    // What the config's check finds is told with its place, what only opening shows without.
    for (output, problem) in [
        ("@/nosuch/log", "logging.output: cannot write to"),
        ("/proc/log", "cannot open the log `/proc/log`: No such file or directory"),
    ] {
        let (status, body) = relog(&pilot, "level: 'info'", &format!("output: '{output}', format: 'json'"));
        assert!(status == 422 && body.contains(problem), "{status}: {body}");
        relog(&pilot, &format!("output: '{output}', format: 'json'"), "level: 'info'");
    }
    File::create(pilot.folder.join("go")).unwrap();
    assert!(!pilot.says("still here").starts_with('{'));
    let path = pilot.folder.join("app.json5");
    let config = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, config.replace("level: 'info'", &pilot.at_home("output: '@/log'"))).unwrap();
    let (status, body) = local(&pilot.folder.join("socket"), "POST", "/v3/reload?dry-run", "");
    assert!(status == 200 && body.contains("\"settings\":[\"logging\"]"), "{status}: {body}");
    assert!(!pilot.folder.join("log").exists());
}

#[test]
fn a_fifo_that_nobody_reads_holds_up_nothing() {
    let mut pilot = Pilot::of(
        "{ control: { socket: '@/socket' }, stopTimeout: 1,
           jobs: [ { name: 'a', exec: ['sh', '-c', 'echo up; while :; do echo tick; sleep 0.05; done'] } ] }",
    );
    pilot.says("up");
    let fifo = pilot.folder.join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let (status, body) = relog(&pilot, "stopTimeout: 1,", "stopTimeout: 1, logging: { output: '@/fifo' },");
    assert_eq!(status, 200, "{body}");
    pilot.send(Signal::SIGUSR1);
    pilot.says("cannot write the log, records are lost: Broken pipe");
    // Whoever comes late reads what comes then, and what is missing.
    let mut read = BufReader::new(File::open(&fifo).unwrap()).lines().map(Result::unwrap);
    assert!(read.any(|line| line.contains("tick")));
    drop(read);
    assert_eq!(pilot.stop().0, Some(0));
}

/// A log in a file of the test's folder, which a job floods with numbers until there is a file `enough`.
fn flooded(file: &str) -> Pilot {
    let script =
        "i=0; until [ -e @/enough ]; do seq $i $((i + 999)); i=$((i + 1000)); done; seq $i $((i + 9)); echo end";
    Pilot::of(&format!(
        "{{ control: {{ socket: '@/socket' }}, logging: {{ output: '@/{file}' }}, jobs: [ {{ name: 'a', exec: ['sh', '-c', '{script}'] }} ] }}"
    ))
}

#[test]
fn a_flood_is_whole_and_in_order_over_rotations() {
    let pilot = flooded("log");
    let path = |name: &str| pilot.folder.join(name);
    let rotated = ["log.1", "log.2", "log.3", "log.4", "log.5"];
    for name in rotated {
        until("the flood goes on", || std::fs::metadata(path("log")).is_ok_and(|file| file.len() > 50_000));
        std::fs::rename(path("log"), path(name)).unwrap();
        pilot.send(Signal::SIGUSR1);
        until("the file is reopened", || path("log").exists());
    }
    File::create(path("enough")).unwrap();
    let text = |name: &str| std::fs::read_to_string(path(name)).unwrap_or_default();
    until("the flood is over", || text("log").contains(" end\n"));
    let all: String = rotated.into_iter().chain(["log"]).map(text).collect();
    let mut lines = said(&all.lines().map(str::to_owned).collect::<Vec<_>>());
    assert_eq!(lines.pop().as_deref(), Some("end"));
    for (number, line) in lines.iter().enumerate() {
        assert_eq!(*line, number.to_string());
    }
    assert_eq!(pilot.end().0, Some(0));
}

#[test]
fn a_flood_is_whole_and_in_order_over_a_change_of_the_log() {
    let pilot = flooded("first");
    let size = |name: &str| std::fs::metadata(pilot.folder.join(name)).map_or(0, |file| file.len());
    until("the flood has begun", || size("first") > 100_000);
    assert_eq!(relog(&pilot, "output: '@/first'", "output: '@/second', format: 'text'").0, 200);
    until("the flood goes on", || size("second") > 100_000);
    File::create(pilot.folder.join("enough")).unwrap();
    let text = |name: &str| std::fs::read_to_string(pilot.folder.join(name)).unwrap();
    until("the flood is over", || text("second").contains("msg=end "));
    let mut lines = said(&text("first").lines().map(str::to_owned).collect::<Vec<_>>());
    lines.extend(text("second").lines().filter_map(|line| {
        let (message, _) = line.split_once("msg=")?.1.split_once(" job=a pid=")?;
        Some(message.to_owned())
    }));
    assert_eq!(lines.pop().as_deref(), Some("end"));
    for (number, line) in lines.iter().enumerate() {
        assert_eq!(*line, number.to_string());
    }
    assert_eq!(pilot.end().0, Some(0));
}

#[test]
fn the_end_of_a_job_is_told_with_its_last_words() {
    let script = "seq 1000 >&2; echo cannot open /x >&2; printf \\\"it is gone\\\" >&2; echo bye";
    let pilot = Pilot::of_jobs(&format!(
        "{{ name: 'fails', exec: ['sh', '-c', \"{script}; exit 3\"] }}, {{ name: 'ends', exec: ['sh', '-c', \"{script}\"] }},
         {{ name: 'raw', exec: ['sh', '-c', \"{script}; exit 3\"], logging: {{ raw: true }} }}, {{ name: 'stays', exec: 'sleep 1000' }}"
    ));
    let socket = pilot.folder.join("socket");
    until("the socket answers", || crate::http::listens(&socket));
    let last_exit = |job: &str| {
        let body: Value = serde_json::from_str(&local(&socket, "GET", &format!("/v3/jobs/{job}"), "").1).unwrap();
        (body["last_exit"].clone(), body["explanation"].as_str().unwrap().to_owned())
    };
    until("the last words come", || last_exit("fails").0["stderr"].as_str().is_some_and(|words| !words.is_empty()));
    let (exit, explanation) = last_exit("fails");
    let words = exit["stderr"].as_str().unwrap();
    assert!(words.ends_with("\n1000\ncannot open /x\nit is gone") && words.len() <= 1024, "{words}");
    assert!(explanation.contains("exit status 3 (stderr: it is gone)"), "{explanation}");
    until("the others have ended", || last_exit("ends").0.is_object() && last_exit("raw").0.is_object());
    assert_eq!((&last_exit("ends").0["stderr"], &last_exit("raw").0["stderr"]), (&"".into(), &"".into()));
    assert_eq!(pilot.stop().0, Some(0));
}
