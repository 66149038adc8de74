//! The metrics, as Prometheus takes them.

use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::http::{free_port, local, remote};
use crate::pilot::{Pilot, containerpilot, until};

/// A process that a test must not leave behind.
struct Killed(Child);

impl Drop for Killed {
    #[expect(clippy::disallowed_methods, reason = "it was killed")]
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn pilot(port: u16) -> Pilot {
    let kinds = ["counter", "gauge", "histogram", "summary"];
    let metrics: Vec<String> = kinds
        .iter()
        .map(|kind| {
            format!("{{ namespace: 'own', subsystem: 'a', name: '{kind}_total', help: 'of {kind}', type: '{kind}' }}")
        })
        .collect();
    let mut pilot = Pilot::of(&format!(
        "{{ control: {{ socket: '@/socket' }}, stopTimeout: 1,
            telemetry: {{ port: {port}, interfaces: ['lo'], metrics: [{}] }},
            jobs: [ {{ name: 'app', exec: 'sleep 1000', health: {{ exec: 'true', interval: 1, ttl: 5 }} }},
                    {{ name: 'fails', exec: 'false', restarts: 2 }} ] }}",
        metrics.join(", ")
    ));
    pilot.says("telemetry: serving");
    pilot
}

#[test]
fn promtool_understands_the_metrics() {
    let port = free_port();
    let pilot = pilot(port);
    let body = r#"{"own_a_counter_total": 2, "own_a_gauge_total": "3", "own_a_histogram_total": 0.3, "own_a_summary_total": 4}"#;
    until(|| local(&pilot.folder.join("socket"), "POST", "/v3/metric", body).0 == 200);
    until(|| remote(port, "GET", "/metrics", "", "").1.contains("containerpilot_check_duration_seconds_count"));
    promtool_agrees(&remote(port, "GET", "/metrics", "", "").1);
}

fn promtool_agrees(text: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut promtool.stdin.take().unwrap(), text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let complaints = String::from_utf8(output.stderr).unwrap();
    // 3.8's names are what they are, and so are those of users: here a gauge with a counter's name.
    let known = ["containerpilot_events counter", "containerpilot_control_http_requests counter", "own_a_"];
    let new: Vec<&str> = complaints.lines().filter(|line| !known.iter().any(|known| line.starts_with(known))).collect();
    assert!(new.is_empty(), "{new:?}\n{text}");
}

#[test]
fn a_catalog_that_is_away_is_told_of_everywhere() {
    let (port, nobody) = (free_port(), free_port());
    let mut pilot = Pilot::of(&format!(
        "{{ control: {{ socket: '@/socket' }}, stopTimeout: 1, consul: '127.0.0.1:{nobody}',
            telemetry: {{ port: {port}, interfaces: ['lo'] }},
            jobs: [ {{ name: 'web', exec: 'sleep 1000', port: 80, interfaces: ['lo'],
                       health: {{ exec: 'true', interval: 1, ttl: 5 }} }} ] }}"
    ));
    pilot.says("consul is away");
    let status =
        || -> Value { serde_json::from_str(&local(&pilot.folder.join("socket"), "GET", "/v3/status", "").1).unwrap() };
    let registration = || status()["jobs"][0]["service"]["registration"].clone();
    until(|| registration()["state"] == "failing");
    assert!(registration()["error"].as_str().unwrap().contains("cannot connect"));
    assert!(status()["telemetry"]["registration"]["state"].is_string());
    let config = pilot.folder.join("app.json5");
    let cli = |args: &[&str]| {
        let output = containerpilot(&[&["-config", config.to_str().unwrap()], args].concat());
        String::from_utf8(output.stdout).unwrap()
    };
    let table = cli(&["-status"]);
    assert!(table.contains("SERVICE\n") && table.contains("The registration of web fails: cannot connect"), "{table}");
    assert!(cli(&["-explain", "web"]).contains("; its registration fails: cannot connect"));
    let text = remote(port, "GET", "/metrics", "", "").1;
    for line in ["duration_seconds_count", "errors_total"] {
        let sample = format!("containerpilot_catalog_request_{line}{{catalog=\"consul\",operation=\"look\"}} ");
        let value =
            text.lines().find_map(|line| line.strip_prefix(&sample)).unwrap_or_else(|| panic!("{sample}: {text}"));
        assert!(value.parse::<f64>().unwrap() >= 1.0);
    }
    promtool_agrees(&text);
    assert_eq!(pilot.stop().0, Some(0));
}

#[test]
fn what_is_logged_is_counted_until_its_job_is_gone() {
    let port = free_port();
    let pilot = Pilot::of(&format!(
        "{{ control: {{ socket: '@/socket' }}, stopTimeout: 1, telemetry: {{ port: {port}, interfaces: ['lo'] }},
            jobs: [ {{ name: 'app', exec: ['sh', '-c', 'seq 10; exec sleep 1000'], logging: {{ rateLimit: {{ lines: 4, per: '1h' }} }},
                       health: {{ exec: 'echo well', interval: 1, ttl: 5 }} }},
                    {{ name: 'stays', exec: ['sh', '-c', 'printf abc; exec sleep 1000'] }} ] }}"
    ));
    let scrape =
        || std::net::TcpStream::connect(("127.0.0.1", port)).map(|_| remote(port, "GET", "/metrics", "", "").1);
    let shows = |sample: &str| scrape().is_ok_and(|text| text.contains(&format!("\ncontainerpilot_log_{sample}\n")));
    until(|| shows("lines_total{name=\"app\"} 10") && shows("bytes_total{name=\"app\"} 21"));
    until(|| shows("dropped_total{name=\"app\"} 6"));
    until(|| scrape().unwrap().contains("containerpilot_log_lines_total{name=\"check.app\"}"));
    // What has begun is no line yet.
    until(|| shows("lines_total{name=\"stays\"} 0") && shows("bytes_total{name=\"stays\"} 3"));
    assert!(shows("lost_total{reason=\"unwritten\"} 0") && shows("lost_total{reason=\"backlog\"} 0"));
    let path = pilot.folder.join("app.json5");
    let config = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, config.replace("name: 'app'", "name: 'other'")).unwrap();
    assert_eq!(local(&pilot.folder.join("socket"), "POST", "/v3/reload", "").0, 200);
    until(|| shows("lines_total{name=\"other\"} 10"));
    until(|| !scrape().unwrap().contains("name=\"app\"") && !scrape().unwrap().contains("name=\"check.app\""));
    assert!(shows("bytes_total{name=\"stays\"} 3"));
    assert_eq!(pilot.stop().0, Some(0));
}

#[test]
fn without_a_catalog_nothing_is_registered() {
    let port = free_port();
    let pilot = pilot(port);
    let status = || local(&pilot.folder.join("socket"), "GET", "/v3/status", "").1;
    until(|| status().contains("\"registration\":{\"state\":\"not configured\",\"error\":null}"));
}

#[test]
fn a_prometheus_scrapes_what_happens() {
    let (port, own_port) = (free_port(), free_port());
    let pilot = pilot(port);
    let config = pilot.folder.join("prometheus.yml");
    let scrape = format!(
        "scrape_configs: [{{ job_name: cp, scrape_interval: 200ms, scrape_timeout: 200ms, static_configs: [{{ targets: ['127.0.0.1:{port}'] }}] }}]"
    );
    std::fs::write(&config, scrape).unwrap();
    let prometheus = Command::new("prometheus")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", pilot.folder.join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{own_port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let prometheus = Killed(prometheus);
    until(|| std::net::TcpStream::connect(("127.0.0.1", own_port)).is_ok());
    let value = |query: &str| {
        let (_, body) = remote(own_port, "GET", &format!("/api/v1/query?query={query}"), "", "");
        let answer: Value = serde_json::from_str(&body).unwrap_or_default();
        answer["data"]["result"][0]["value"][1].as_str().map(str::to_owned)
    };
    until(|| value("containerpilot_job_restarts_total%7Bname%3D%22fails%22%7D") == Some("2".to_owned()));
    until(|| value("containerpilot_job_exits_total%7Bstatus%3D%221%22%7D") == Some("3".to_owned()));
    until(|| value("containerpilot_job_healthy%7Bname%3D%22app%22%7D") == Some("1".to_owned()));
    until(|| value("up") == Some("1".to_owned()));
    drop(prometheus);
    assert_eq!(pilot.stop().0, Some(0));
}
