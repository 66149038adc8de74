//! Consul processes.

use std::net::IpAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use containerpilot_actors::spec::{CatalogSpec, ConsulSpec};
use containerpilot_actors::testing::{millis, secs};
use serde_json::Value;
use slog::{Drain, Logger, OwnedKVList, Record};

pub use crate::scene::{Folder, Scene, free_ports};

/// The catalog's actor for this agent; nobody reads its log.
pub fn scene_of(spec: &ConsulSpec) -> Scene {
    Scene::new(&CatalogSpec::Consul(spec.clone()), &Logger::root(slog::Discard, slog::o!()))
}

/// A log whose messages can be read.
pub fn warnings() -> (Logger, mpsc::Receiver<String>) {
    struct Told(mpsc::Sender<String>);
    impl Drain for Told {
        type Ok = ();
        type Err = slog::Never;

        fn log(&self, record: &Record<'_>, _values: &OwnedKVList) -> Result<(), slog::Never> {
            // The test may be over.
            drop(self.0.send(record.msg().to_string()));
            Ok(())
        }
    }
    let (told, messages) = mpsc::channel();
    (Logger::root(Told(told), slog::o!()), messages)
}

/// One agent's process.
#[derive(Debug)]
pub struct Consul {
    child: Child,
    pub http: u16,
    pub server: u16,
    pub serf: u16,
}

impl Consul {
    /// An agent in dev mode: a server of its own, in memory.
    pub fn dev(folder: &Folder) -> Self {
        let [http] = free_ports();
        Self::dev_at(folder, http, "")
    }

    /// The same at a port that is known, with more configuration.
    pub fn dev_at(folder: &Folder, http: u16, hcl: &str) -> Self {
        Self::start(folder, http, &["-dev".to_owned(), "-hcl".to_owned(), hcl.to_owned()])
    }

    pub fn start(folder: &Folder, http: u16, flags: &[String]) -> Self {
        let [server, serf] = free_ports();
        let log = std::fs::File::create(folder.path().join(format!("consul-{http}.log"))).expect("a log");
        let child = Command::new("consul")
            .args(["agent", "-bind=127.0.0.1", "-client=127.0.0.1", "-dns-port=-1", "-grpc-port=-1", "-log-level=warn"])
            .args(["-serf-wan-port=-1", "-raft-protocol=3"])
            .arg(format!("-http-port={http}"))
            .arg(format!("-server-port={server}"))
            .arg(format!("-serf-lan-port={serf}"))
            .args(flags)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle of the log"))
            .stderr(log)
            .spawn()
            .expect("`consul` on the PATH: scripts/install-test-tools");
        Self { child, http, server, serf }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.http)
    }

    /// The body of an answer, which may wait for a while until there is one that pleases.
    pub async fn get(&self, path: &str) -> Value {
        self.request(awc::http::Method::GET, path, None).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Value {
        self.request(awc::http::Method::PUT, path, Some(body)).await
    }

    async fn request(&self, method: awc::http::Method, path: &str, body: Option<Value>) -> Value {
        let url = format!("http://{}{path}", self.address());
        // Of another address, so that the tests' own connections are not counted as those of the client under test.
        let client = awc::Client::builder().local_address(IpAddr::from([127, 0, 0, 9])).finish();
        let request = client.request(method, url).insert_header(("x-consul-token", "root-token"));
        let sent = match body {
            Some(body) => request.send_body(body.to_string()).await,
            None => request.send().await,
        };
        let Ok(mut reply) = sent else { return Value::Null };
        let Ok(body) = reply.body().await else { return Value::Null };
        serde_json::from_slice(&body).unwrap_or(Value::Null)
    }

    /// Waits until a condition on an answer holds.
    pub async fn until(&self, limit: Duration, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let deadline = actix::clock::Instant::now() + limit;
        loop {
            let seen = self.get(path).await;
            if holds(&seen) {
                return seen;
            }
            assert!(actix::clock::Instant::now() < deadline, "not so within {limit:?}: {path}: {seen:#}");
            actix::clock::sleep(millis(20)).await;
        }
    }

    pub async fn until_led(&self) {
        self.until(secs(30), "/v1/status/leader", |leader| leader.as_str().is_some_and(|leader| !leader.is_empty()))
            .await;
        self.until(secs(30), "/v1/health/service/consul?passing=1", |servers| !servers[0].is_null()).await;
    }

    /// Saves the state to a file, or restores it from there.
    pub fn snapshot(&self, folder: &Folder, verb: &str) {
        let address = format!("-http-addr={}", self.address());
        let ran =
            Command::new("consul").args(["snapshot", verb, &address, "state"]).current_dir(folder.path()).output();
        let ran = ran.expect("`consul` on the PATH");
        assert!(ran.status.success(), "{verb}: {}", String::from_utf8_lossy(&ran.stderr));
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("it runs");
        reap(&mut self.child);
    }
}

#[expect(clippy::disallowed_methods, reason = "no reaper lives in this test binary")]
fn reap(child: &mut Child) {
    child.wait().expect("it is ours");
}

impl Drop for Consul {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            reap(&mut self.child);
        }
    }
}
