//! The page on the telemetry port, in headless Chromium.
#![expect(clippy::disallowed_methods, reason = "a browser cannot be waited for but by asking again, with a limit")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http::{free_port, remote};
use crate::pilot::Pilot;

/// Chromium, and who steers it.
struct Browser {
    driver: Child,
    port: u16,
    session: String,
}

impl Browser {
    fn start() -> Self {
        let mut command = Command::new("chromedriver");
        let mut driver = command.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok);
        let said = lines.map(|line| line.to_lowercase()).find(|line| line.contains("started successfully on port"));
        let port = said.unwrap().trim_end_matches('.').rsplit(' ').next().unwrap().parse().unwrap();
        let args =
            ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,1000"];
        let wanted =
            json!({"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": {"args": args}}}});
        let mut browser = Self { driver, port, session: String::new() };
        browser.session = browser.ask("POST", "/session", &wanted)["sessionId"].as_str().unwrap().to_owned();
        browser
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if method == "GET" { String::new() } else { body.to_string() };
        let (status, answer) = remote(self.port, method, path, "Content-Type: application/json\r\n", &body);
        assert_eq!(status, 200, "{answer}");
        serde_json::from_str::<Value>(&answer).unwrap()["value"].take()
    }

    fn of_session(&self, path: &str, body: &Value) -> Value {
        self.ask("POST", &format!("/session/{}/{path}", self.session), body)
    }

    fn open(&self, url: &str) {
        self.of_session("url", &json!({"url": url}));
    }

    /// What a script returns in the page.
    fn run(&self, script: &str) -> Value {
        self.of_session("execute/sync", &json!({"script": script, "args": []}))
    }

    /// Waits until a script returns true; how long that took.
    fn until(&self, script: &str, limit: Duration) -> Duration {
        let began = Instant::now();
        while self.run(&format!("return {script}")) != Value::Bool(true) {
            let page = || self.run("return document.body.innerText");
            assert!(began.elapsed() < limit, "not within {limit:?}: {script}\n{}", page());
        }
        began.elapsed()
    }

    /// Types into what has the focus.
    fn type_keys(&self, text: &str) {
        let element = self.ask("GET", &format!("/session/{}/element/active", self.session), &Value::Null);
        let id = element.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned();
        self.of_session(&format!("element/{id}/value"), &json!({"text": text}));
    }

    /// Emulates a preference of whoever looks.
    fn prefers(&self, feature: &str, value: &str) {
        let params = json!({"features": [{"name": feature, "value": value}]});
        self.of_session("goog/cdp/execute", &json!({"cmd": "Emulation.setEmulatedMedia", "params": params}));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            remote(self.port, "DELETE", &format!("/session/{}", self.session), "", "");
        }
        drop(self.driver.kill());
        #[expect(clippy::disallowed_methods, reason = "it was killed")]
        drop(self.driver.wait());
    }
}

fn has(selector: &str, text: &str) -> String {
    format!("document.querySelector({selector:?}).textContent.includes({text:?})")
}

#[test]
fn a_failing_and_recovering_job_is_seen_within_a_second() {
    let port = free_port();
    let check = "test -e @/ok || { echo refused; exit 1; }";
    let mut pilot = Pilot::of(&format!(
        "{{ control: {{ socket: '@/socket' }}, stopTimeout: 1, telemetry: {{ port: {port}, interfaces: ['lo'] }}, jobs: [
            {{ name: 'db', exec: 'sleep 1000', health: {{ exec: ['sh', '-c', '{check}'], interval: 1, ttl: 5 }} }},
            {{ name: 'app', exec: ['sh', '-c', 'echo app is up; echo \"\\x1b[31mred <b>\" >&2; while test ! -e @/stop; do sleep 0.05; done; rm @/stop; exit 3'],
               restarts: 'unlimited', when: {{ source: 'db', once: 'healthy' }} }},
            {{ name: 'raw', exec: 'sleep 1000', logging: {{ raw: true }} }} ] }}"
    ));
    pilot.says("telemetry: serving");
    let browser = Browser::start();
    browser.open(&format!("http://127.0.0.1:{port}/"));
    let second = Duration::from_secs(1);
    browser.until(&has("#job-db", "unhealthy"), 3 * second);
    browser.until(&has("#job-app", "app waits for db healthy"), second);
    // The graph has both jobs and what joins them, and each can be reached by keyboard.
    browser.until("document.querySelectorAll('#graph a').length === 3", second);
    browser.until("document.querySelectorAll('#graph path').length === 1", second);
    browser.until(&has("#graph .word", "healthy"), second);
    let label = browser.run("return document.querySelector('#graph a').getAttribute('aria-label')");
    assert_eq!(label, "db: running, unhealthy, starts at start-up");
    assert!(browser.run("return document.querySelectorAll('th[scope]').length").as_u64() >= Some(9));
    assert_eq!(
        browser.run(
            "return performance.getEntriesByType('resource').filter(r => !r.name.startsWith(location.origin)).length"
        ),
        0
    );
    // Whose output is shown is chosen by keyboard, too; before the job has a process, in this case.
    browser.run("document.getElementById('output-of').focus()");
    browser.type_keys("app");
    browser.until(&has("#output-note", "the last lines of app"), second);
    assert_eq!(browser.run("return document.querySelector('#output-of option[value=raw]').disabled"), true);
    assert_eq!(browser.run("return document.querySelector('#output-of').labels[0].textContent"), "What a job writes:");
    // It recovers; the check has a pace of a second.
    std::fs::write(pilot.folder.join("ok"), "").unwrap();
    browser.until(&has("#job-app .mark", "running"), 2 * second + second);
    browser.until(&has("#events", "StatusHealthy"), second);
    browser.until(&has("#output", "out  app is up"), second);
    browser.until(&has("#output", "err  red <b>"), second);
    // A run fails, and the next one is there: as soon as the job has seen the file.
    std::fs::write(pilot.folder.join("stop"), "").unwrap();
    pilot.says("app exited with error");
    let seen = browser.until(&has("#job-app", "exit status 3"), second);
    assert!(seen < second, "{seen:?}");
    browser.until(&has("#job-app .mark", "running"), second);
    browser.until("document.querySelector('#output').textContent.split('app is up').length === 3", second);
    let background = || browser.run("return getComputedStyle(document.body).backgroundColor");
    browser.prefers("prefers-color-scheme", "light");
    let light = background();
    browser.prefers("prefers-color-scheme", "dark");
    assert_ne!(background(), light);
    drop(browser);
    assert_eq!(pilot.stop().0, Some(0));
}

#[test]
fn the_page_is_for_those_who_ask_for_html_and_can_be_turned_off() {
    let port = free_port();
    let config = |page: bool| {
        format!(
            "{{ control: {{ socket: '@/socket' }}, stopTimeout: 1, jobs: [{{ name: 'a', exec: 'sleep 1000' }}],
               telemetry: {{ port: {port}, interfaces: ['lo'], page: {page} }} }}"
        )
    };
    let html = "Accept: text/html\r\n";
    let mut pilot = Pilot::of(&config(true));
    pilot.says("telemetry: serving");
    assert_eq!(remote(port, "GET", "/", html, "").0, 200);
    assert_eq!(remote(port, "GET", "/", "", "").0, 404);
    assert_eq!(remote(port, "POST", "/", html, "").0, 405);
    assert_eq!(remote(port, "GET", "/page/status", "", "").0, 200);
    assert_eq!(remote(port, "GET", "/page/logs/nosuch", "", "").0, 404);
    assert_eq!(remote(port, "POST", "/page/logs/a", "", "").0, 405);
    // Steering is for the socket.
    assert_eq!(remote(port, "POST", "/v3/jobs/a/stop", "", "").0, 404);
    assert_eq!(pilot.stop().0, Some(0));
    let mut pilot = Pilot::of(&config(false));
    pilot.says("telemetry: serving");
    for path in ["/", "/page/status", "/page/events", "/page/logs/a"] {
        assert_eq!(remote(port, "GET", path, html, "").0, 404, "{path}");
    }
    assert_eq!(pilot.stop().0, Some(0));
}
