//! Consul processes, and the actors under test with probes around them.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use actix::prelude::*;
use containerpilot_actors::catalog::{Beginning, Catalog};
use containerpilot_actors::event::{Event, JobName};
use containerpilot_actors::messages::{BusCommand, CatalogCommand, CatalogStatus, CatalogStatusQuery, ReaperCommand};
use containerpilot_actors::policy::job::Report;
use containerpilot_actors::spec::{CatalogSpec, ConsulSpec, WatchSpec};
use containerpilot_actors::testing::{Probe, millis, probe, secs};
use containerpilot_actors::watch::{WatchActor, WatchNeighbours};
use serde_json::Value;

/// Ports that nobody uses at the moment.
pub fn free_ports<const N: usize>() -> [u16; N] {
    let listeners: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("it is bound").port())
}

/// A folder of one test's own, gone with it.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("consul-test-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder to work in");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::fs::remove_dir_all(&self.0).is_err() {
            // Whatever still writes there is being killed.
        }
    }
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
        let request = awc::Client::new().request(method, url).insert_header(("x-consul-token", "root-token"));
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

pub fn log() -> slog::Logger {
    slog::Logger::root(slog::Discard, slog::o!())
}

/// The catalog's actor, as the supervisor starts it.
pub struct Scene {
    catalog: Catalog,
    pub agent: Recipient<CatalogCommand>,
}

impl Scene {
    pub fn new(spec: &ConsulSpec) -> Self {
        let beginning = Beginning { maintenance: false, inherited: false, log: &log(), guard: None };
        let catalog = Catalog::start(&CatalogSpec::Consul(spec.clone()), beginning).expect("a spec that can be used");
        Self { agent: catalog.agent.clone(), catalog }
    }

    pub fn passed(&self, name: &str) {
        self.agent.do_send(CatalogCommand::News(JobName::new(name), Report::Passed));
    }

    /// What the actor knows of its services and requests.
    pub async fn status(&self) -> CatalogStatus {
        self.catalog.status.send(CatalogStatusQuery).await.expect("it lives")
    }

    pub fn watch(&self, spec: &WatchSpec) -> Watching {
        let ((bus, events), (reaper, environment)) = (probe(), probe());
        let neighbours = WatchNeighbours { reaper, bus, contacts: self.catalog.contacts.clone() };
        WatchActor::new(spec, self.catalog.source(spec), neighbours, &log(), None).start();
        Watching { events, environment }
    }
}

/// What a watch says.
pub struct Watching {
    events: Probe<BusCommand>,
    environment: Probe<ReaperCommand>,
}

impl Watching {
    pub async fn event(&mut self, limit: Duration) -> Event {
        let command = self.events.next(limit).await;
        let BusCommand::Publish(event) = command else { panic!("{command:?}") };
        event
    }

    pub fn is_quiet(&self) -> bool {
        self.events.is_empty()
    }

    /// The variable as it was set last.
    pub fn variable(&mut self) -> Option<(String, String)> {
        let command = self.environment.take().pop()?;
        let ReaperCommand::PutEnv(mut changes) = command else { panic!("{command:?}") };
        let (name, value) = changes.pop()?;
        Some((name.into_string().ok()?, value?.into_string().ok()?))
    }
}
