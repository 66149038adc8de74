//! How answers of a running instance look in a terminal.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::terminal::line;

/// `/v3/status`, as far as it is shown.
#[derive(Debug, Deserialize)]
pub struct Status {
    maintenance: bool,
    ending: bool,
    /// In the config's order.
    pub jobs: Vec<Job>,
    watches: Vec<Watch>,
    telemetry: Option<Service>,
}

/// A job, as far as it is shown.
#[derive(Debug, Deserialize)]
pub struct Job {
    /// Its name.
    pub name: String,
    state: String,
    #[serde(default)]
    main: bool,
    #[serde(default)]
    required: bool,
    since_seconds: f64,
    pid: Option<i32>,
    restarts: u64,
    last_exit: Option<Exit>,
    health: String,
    checked: bool,
    service: Option<Service>,
    waiting_for: Option<String>,
    /// Why it is in its state.
    explanation: String,
}

#[derive(Debug, Deserialize)]
struct Service {
    name: String,
    registration: Registration,
}

#[derive(Debug, Deserialize)]
struct Registration {
    state: String,
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Exit {
    status: u8,
    reason: String,
}

#[derive(Debug, Deserialize)]
struct Watch {
    name: String,
    instances: Option<usize>,
}

/// A line of `/v3/logs/{name}`.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
pub enum Said {
    /// What a job wrote.
    Line {
        /// Without its newline.
        msg: String,
    },
    /// So many lines are missing here.
    Lost {
        /// How many.
        lost: u64,
    },
}

/// What a line of `/v3/logs/{name}` says; some say nothing.
pub fn said(line: &str) -> Option<Said> {
    serde_json::from_str(line).ok()
}

/// `/v3/reload?dry-run`
#[derive(Debug, Deserialize)]
pub struct Diff {
    changed: Vec<String>,
    restarted: Vec<String>,
    added: Vec<String>,
    removed: Vec<String>,
    unchanged: Vec<String>,
    settings: Vec<String>,
    /// When each job starts that is added or changed.
    #[serde(default)]
    starts: BTreeMap<String, String>,
}

impl Diff {
    /// A line for each kind of change.
    pub fn lines(&self) -> String {
        let Self { changed, restarted, added, removed, unchanged, settings, starts } = self;
        let lists = [
            ("changed", changed),
            ("restarted", restarted),
            ("added", added),
            ("removed", removed),
            ("unchanged", unchanged),
            ("settings", settings),
        ];
        let of_kind = |(word, names): (&str, &Vec<String>)| {
            let names = if names.is_empty() { "-".to_owned() } else { line(&names.join(" ")) };
            format!("{:10} {names}\n", format!("{word}:"))
        };
        let starts: Vec<String> = starts.iter().map(|(job, when)| format!("{job} {when}")).collect();
        let starts =
            if starts.is_empty() { String::new() } else { format!("{:10} {}\n", "starts:", line(&starts.join("; "))) };
        lists.map(of_kind).concat() + &starts
    }
}

impl Job {
    /// Why it is in its state, for a terminal: a job may have written parts of it.
    pub fn sentence(&self) -> String {
        format!("{}\n", line(&self.explanation))
    }

    /// Whether a health check would be content with it.
    pub fn is_well(&self) -> bool {
        match (self.state.as_str(), self.health.as_str()) {
            ("blocked" | "gave up", _) => false,
            ("not needed", _) | (_, "healthy" | "maintenance") => true,
            (_, _) => !self.checked && self.state != "failed",
        }
    }

    /// Whether a health check of everything would be content with it: one that can never start matters if all depends on it.
    pub fn is_well_among_all(&self) -> bool {
        let is_hopeless = matches!(self.state.as_str(), "blocked" | "gave up");
        if is_hopeless { !self.main && !self.required } else { self.is_well() }
    }

    /// Whether it came up, or has ended well, after an order to start.
    pub fn came_up(&self) -> bool {
        let ended_badly = self.last_exit.as_ref().is_some_and(|exit| exit.status != 0);
        !(self.pid.is_none() && ended_badly)
    }
}

impl Status {
    /// A table of all jobs.
    pub fn table(&self) -> String {
        let mut heads = vec!["JOB", "STATE", "FOR", "PID", "RESTARTS", "HEALTH", "LAST EXIT", "WAITS FOR"];
        let has_services = self.jobs.iter().any(|job| job.service.is_some());
        if has_services {
            heads.push("SERVICE");
        }
        let mut rows = vec![heads.into_iter().map(str::to_owned).collect()];
        rows.extend(self.jobs.iter().map(|job| {
            let dash = || "-".to_owned();
            let mut row = vec![
                job.name.clone(),
                job.state.clone(),
                duration(job.since_seconds),
                job.pid.map_or_else(dash, |pid| pid.to_string()),
                job.restarts.to_string(),
                job.health.clone(),
                job.last_exit.as_ref().map_or_else(dash, |exit| exit.reason.clone()),
                job.waiting_for.clone().unwrap_or_else(dash),
            ];
            if has_services {
                row.push(job.service.as_ref().map_or_else(dash, |service| service.registration.state.clone()));
            }
            row
        }));
        let mut text = aligned(&rows);
        if !self.watches.is_empty() {
            let mut rows = vec![vec!["WATCH".to_owned(), "INSTANCES".to_owned()]];
            rows.extend(self.watches.iter().map(|watch| {
                vec![watch.name.clone(), watch.instances.map_or_else(|| "?".to_owned(), |count| count.to_string())]
            }));
            text.push('\n');
            text.push_str(&aligned(&rows));
        }
        let services = self.jobs.iter().filter_map(|job| job.service.as_ref()).chain(&self.telemetry);
        let failing = services.filter_map(|service| Some((&service.name, service.registration.error.as_ref()?)));
        let lines: String = failing
            .map(|(name, error)| format!("The registration of {} fails: {}\n", line(name), line(error)))
            .collect();
        if !lines.is_empty() {
            text.push_str(&format!("\n{lines}"));
        }
        if self.maintenance {
            text.push_str("\nIn maintenance: services are not registered, and no checks run.\n");
        }
        if self.ending {
            text.push_str("\nEverything is about to end.\n");
        }
        text
    }
}

/// Columns as wide as they must be; all rows have as many cells.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> =
        (0..columns).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    let of_row = |row: &Vec<String>| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{:width$}", line(cell), width = *width)).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(of_row).collect()
}

/// `41s`, `3m`, `5h`, `12d`
fn duration(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 120.0 => format!("{seconds:.0}s"),
        seconds if seconds < 7200.0 => format!("{:.0}m", seconds / 60.0),
        seconds if seconds < 172_800.0 => format!("{:.0}h", seconds / 3600.0),
        seconds => format!("{:.0}d", seconds / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(name: &str, fields: serde_json::Value) -> Job {
        let mut whole = serde_json::json!({
            "name": name, "state": "running", "since_seconds": 1.0, "pid": 7, "restarts": 0, "last_exit": null,
            "health": "unknown", "checked": false, "waiting_for": null, "explanation": ""
        });
        for (key, value) in fields.as_object().unwrap() {
            whole[key] = value.clone();
        }
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn tables_are_aligned_and_harmless() {
        let jobs = vec![
            job(
                "app",
                serde_json::json!({"state": "waiting", "pid": null, "waiting_for": "db healthy", "since_seconds": 41.4}),
            ),
            job("e\u{1b}vil", serde_json::json!({"last_exit": {"status": 3, "reason": "exit status 3"}})),
        ];
        let status = Status { maintenance: false, ending: false, jobs, watches: vec![], telemetry: None };
        let table = "JOB    STATE    FOR  PID  RESTARTS  HEALTH   LAST EXIT      WAITS FOR\n\
                     app    waiting  41s  -    0         unknown  -              db healthy\n\
                     e?vil  running  1s   7    0         unknown  exit status 3  -\n";
        assert_eq!(status.table(), table);
        let registration = serde_json::json!({"state": "failing", "error": "403: Permission\ndenied"});
        let jobs = vec![job("app", serde_json::json!({"service": {"name": "app", "registration": registration}}))];
        let status = Status { maintenance: false, ending: false, jobs, watches: vec![], telemetry: None };
        let table = "JOB  STATE    FOR  PID  RESTARTS  HEALTH   LAST EXIT  WAITS FOR  SERVICE\n\
                     app  running  1s   7    0         unknown  -          -          failing\n\n\
                     The registration of app fails: 403: Permission?denied\n";
        assert_eq!(status.table(), table);
    }

    #[test]
    fn a_sentence_is_one_line_without_control_characters() {
        let explanation = "bad has failed: exit status 3\n\u{1b}]0;OWNED\u{7}\u{9b}2J\u{7f}";
        let job = job("bad", serde_json::json!({ "explanation": explanation }));
        assert_eq!(job.sentence(), "bad has failed: exit status 3??]0;OWNED??2J?\n");
    }

    #[test]
    fn health_is_what_a_health_check_wants_to_know() {
        let well = |fields| job("a", fields).is_well();
        assert!(well(serde_json::json!({})));
        assert!(well(serde_json::json!({"health": "healthy", "checked": true})));
        assert!(well(serde_json::json!({"health": "maintenance"})));
        assert!(!well(serde_json::json!({"health": "unhealthy", "checked": true})));
        assert!(!well(serde_json::json!({"state": "failed"})));
        assert!(!well(serde_json::json!({"checked": true})));
    }

    #[test]
    fn a_start_has_gone_well_if_the_process_is_there_or_has_done_its_work() {
        assert!(job("a", serde_json::json!({})).came_up());
        assert!(job("a", serde_json::json!({"pid": null, "last_exit": {"status": 0, "reason": ""}})).came_up());
        assert!(!job("a", serde_json::json!({"pid": null, "last_exit": {"status": 127, "reason": ""}})).came_up());
    }

    #[test]
    fn a_difference_has_a_line_for_each_kind() {
        let lists = serde_json::json!({
            "changed": ["a", "b"], "restarted": ["d"], "added": [], "removed": [], "unchanged": ["c"], "settings": []
        });
        let diff: Diff = serde_json::from_value(lists).unwrap();
        let lines = "changed:   a b\nrestarted: d\nadded:     -\nremoved:   -\nunchanged: c\nsettings:  -\n";
        assert_eq!(diff.lines(), lines);
    }
}
