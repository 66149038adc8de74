//! The log: formats, streams, levels.

use crate::pilot::{Pilot, said};

fn log(logging: &str, jobs: &str) -> Vec<String> {
    Pilot::of(&format!("{{ control: {{ socket: '@/socket' }}, logging: {{ {logging} }}, jobs: [ {jobs} ] }}")).end().1
}

#[test]
fn json_records_are_objects_with_the_fields_of_3_8_and_the_stream() {
    let lines = log("format: 'json'", "{ name: 'a', exec: ['sh', '-c', 'echo \"say \\\\\"hi\\\\\"\" >&2; exit 3'] }");
    let records: Vec<serde_json::Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(records.iter().all(|record| record["time"].is_string() && record["level"].is_string()));
    let of_job = records.iter().find(|record| record["pid"].is_u64()).unwrap();
    assert_eq!((&of_job["job"], &of_job["level"], &of_job["stream"]), (&"a".into(), &"info".into(), &"stderr".into()));
    assert_eq!(of_job["msg"], "say \"hi\"");
    assert!(
        records
            .iter()
            .any(|record| record["level"] == "error" && record["msg"] == "a exited with error: exit status 3")
    );
}

#[test]
fn a_flood_right_before_the_end_is_whole() {
    let lines = log("", "{ name: 'a', exec: 'seq 50000' }");
    let want: Vec<String> = (1..=50_000).map(|number| number.to_string()).collect();
    assert_eq!(said(&lines), want);
}

#[test]
fn raw_output_is_untouched() {
    let lines = log("level: 'ERROR'", "{ name: 'a', exec: 'echo as it is', logging: { raw: true } }");
    assert_eq!(lines, ["as it is"]);
}

#[test]
fn debug_shows_every_event_in_its_order() {
    let lines = log("level: 'DEBUG'", "{ name: 'a', exec: 'true' }");
    let event = |line: &String| line.split("event: ").nth(1).map(str::to_owned);
    let events: Vec<String> = lines.iter().filter_map(event).collect();
    assert_eq!(events, ["{Startup global}", "{ExitSuccess a}", "{Stopping a}", "{Stopped a}", "{Shutdown global}"]);
}
