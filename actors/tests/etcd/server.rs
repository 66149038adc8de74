//! etcd processes, and a look into them by requests of the tests' own.

use std::fmt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use awc::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use containerpilot_actors::spec::{CatalogSpec, EtcdSpec};
use containerpilot_actors::testing::{etcd, millis, secs};
use serde_json::{Value, json};
use slog::{Drain, KV as _, Key, Logger, OwnedKVList, Record, Serializer};

use crate::scene::{Folder, Scene, free_ports};

/// One member's process.
#[derive(Debug)]
pub struct Etcd {
    child: Option<Child>,
    arguments: Vec<String>,
    pub client: u16,
    /// Sent with each request of the tests.
    pub token: Option<String>,
}

/// A key as it is in etcd.
#[derive(Clone, Debug, PartialEq)]
pub struct Key3 {
    pub key: String,
    pub value: Value,
    pub lease: String,
    pub revision: String,
}

impl Etcd {
    /// A cluster of one.
    pub async fn alone(folder: &Folder, flags: &[&str]) -> Self {
        let [client, peer] = free_ports();
        let mut etcd = Self::member(folder, "alone", client, peer, &format!("alone=http://127.0.0.1:{peer}"), flags);
        etcd.start().await;
        etcd
    }

    /// Not started yet.
    pub fn member(folder: &Folder, name: &str, client: u16, peer: u16, cluster: &str, flags: &[&str]) -> Self {
        let data = folder.path().join(name);
        let mut arguments = vec![
            format!("--name={name}"),
            format!("--data-dir={}", data.display()),
            format!("--advertise-client-urls=http://127.0.0.1:{client}"),
            format!("--listen-peer-urls=http://127.0.0.1:{peer}"),
            format!("--initial-advertise-peer-urls=http://127.0.0.1:{peer}"),
            format!("--initial-cluster={cluster}"),
        ];
        arguments.extend(["--enable-v2=true", "--unsafe-no-fsync", "--log-level=error"].map(str::to_owned));
        if !flags.iter().any(|flag| flag.starts_with("--listen-client-urls")) {
            arguments.push(format!("--listen-client-urls=http://127.0.0.1:{client}"));
        }
        arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
        Self { child: None, arguments, client, token: None }
    }

    /// Starts its process, without waiting for it.
    pub fn spawn(&mut self) {
        let child = Command::new("etcd")
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("`etcd` on the PATH: scripts/install-test-tools");
        self.child = Some(child);
    }

    /// Starts it, and waits until it takes requests.
    pub async fn start(&mut self) {
        self.spawn();
        self.until_ready().await;
    }

    /// Waits until it takes requests.
    pub async fn until_ready(&self) {
        self.until(secs(30), "/health", |health| health["health"] == "true").await;
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.client)
    }

    pub fn spec(&self) -> EtcdSpec {
        etcd(&[self.address()])
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it is ours");
            reap(&mut child);
        }
    }

    /// Stops it in its tracks, or has it go on.
    pub fn signal(&self, name: &str) {
        let pid = self.child.as_ref().expect("it runs").id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().expect("`kill` on the PATH");
        assert!(sent.success());
    }

    /// Runs a command of `etcdctl`.
    pub fn ctl(&self, api: &str, arguments: &[&str]) -> String {
        let endpoint = format!("--endpoints=http://{}", self.address());
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", api).arg(endpoint).args(arguments);
        let ran = command.output().expect("`etcdctl` on the PATH: scripts/install-test-tools");
        assert!(ran.status.success(), "etcdctl {arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8_lossy(&ran.stdout).into_owned()
    }

    /// Has both APIs ask for a user: `cp` may do everything below the prefix, and nobody else anything.
    pub fn lock(&self) {
        for user in ["root:r00t", "cp:s3cret"] {
            self.ctl("3", &["user", "add", user]);
            self.ctl("2", &["user", "add", user]);
        }
        self.ctl("3", &["role", "add", "cp"]);
        self.ctl("3", &["role", "grant-permission", "--prefix=true", "cp", "readwrite", "/containerpilot"]);
        self.ctl("3", &["user", "grant-role", "cp", "cp"]);
        self.ctl("3", &["auth", "enable"]);
        self.ctl("2", &["role", "add", "cp"]);
        self.ctl("2", &["role", "grant", "cp", "--path=/containerpilot*", "--readwrite"]);
        self.ctl("2", &["user", "grant", "cp", "--roles", "cp"]);
        self.ctl("2", &["auth", "enable"]);
        self.ctl("2", &["--username=root:r00t", "role", "revoke", "guest", "--path=/*", "--readwrite"]);
    }

    pub async fn request(&self, method: Method, path: &str, body: Option<String>) -> Value {
        let url = format!("http://{}{path}", self.address());
        let mut request = awc::Client::new().request(method, url);
        if let Some(token) = &self.token {
            request = request.insert_header(("authorization", token.as_str()));
        }
        if !path.starts_with("/v3/") {
            request = request.insert_header(("content-type", "application/x-www-form-urlencoded"));
        }
        let sent = match body {
            Some(body) => request.send_body(body).await,
            None => request.send().await,
        };
        let Ok(mut reply) = sent else { return Value::Null };
        let Ok(body) = reply.body().await else { return Value::Null };
        serde_json::from_slice(&body).unwrap_or(Value::Null)
    }

    pub async fn post(&self, path: &str, body: Value) -> Value {
        self.request(Method::POST, path, Some(body.to_string())).await
    }

    pub async fn put(&self, service: &str, id: &str, port: u16, tags: &[&str]) {
        let value = json!({"id": id, "name": service, "address": "10.0.0.1", "port": port, "tags": tags});
        self.put_text(service, id, &value.to_string()).await;
    }

    pub async fn put_text(&self, service: &str, id: &str, value: &str) {
        let key = BASE64.encode(format!("/containerpilot/{service}/{id}"));
        let reply = self.post("/v3/kv/put", json!({"key": key, "value": BASE64.encode(value)})).await;
        assert!(reply["header"].is_object(), "{reply:#}");
    }

    pub async fn delete(&self, service: &str, id: &str) {
        let key = BASE64.encode(format!("/containerpilot/{service}/{id}"));
        let reply = self.post("/v3/kv/deleterange", json!({"key": key})).await;
        assert_eq!(reply["deleted"], "1", "{reply:#}");
    }

    /// All keys of API 3; none if it does not answer.
    pub async fn keys(&self) -> Vec<Key3> {
        let everything = BASE64.encode("\0");
        let range = json!({"key": BASE64.encode("/containerpilot"), "range_end": everything});
        let reply = self.post("/v3/kv/range", range).await;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let decoded = |value: &Value| {
            String::from_utf8(BASE64.decode(text(value)).expect("base64")).expect("all our values are text")
        };
        let key = |kv: &Value| Key3 {
            key: decoded(&kv["key"]),
            value: serde_json::from_str(&decoded(&kv["value"])).unwrap_or(Value::Null),
            lease: text(&kv["lease"]),
            revision: text(&kv["mod_revision"]),
        };
        reply["kvs"].as_array().map(|kvs| kvs.iter().map(key).collect()).unwrap_or_default()
    }

    /// Waits until a condition on the keys holds.
    pub async fn until_keys(&self, limit: Duration, holds: impl Fn(&[Key3]) -> bool) -> Vec<Key3> {
        let deadline = actix::clock::Instant::now() + limit;
        loop {
            let seen = self.keys().await;
            if holds(&seen) {
                return seen;
            }
            assert!(actix::clock::Instant::now() < deadline, "not so within {limit:?}: {seen:#?}");
            actix::clock::sleep(millis(20)).await;
        }
    }

    /// Waits until a condition on an answer holds.
    pub async fn until(&self, limit: Duration, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let deadline = actix::clock::Instant::now() + limit;
        loop {
            let seen = self.request(Method::GET, path, None).await;
            if holds(&seen) {
                return seen;
            }
            assert!(actix::clock::Instant::now() < deadline, "not so within {limit:?}: {path}: {seen:#}");
            actix::clock::sleep(millis(20)).await;
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "no reaper lives in this test binary")]
fn reap(child: &mut Child) {
    child.wait().expect("it is ours");
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The catalog's actor for a cluster, and what it logs.
pub fn scene_of(spec: &EtcdSpec) -> (Scene, Told) {
    let (sender, receiver) = mpsc::channel();
    let log = Logger::root(Tell(sender).fuse(), slog::o!());
    (Scene::new(&CatalogSpec::Etcd(spec.clone()), &log), Told { lines: receiver, seen: Vec::new() })
}

/// What was logged, from `info` on.
#[derive(Debug)]
pub struct Told {
    lines: mpsc::Receiver<String>,
    seen: Vec<String>,
}

impl Told {
    /// All lines so far that hold these words.
    pub fn with(&mut self, words: &str) -> Vec<String> {
        self.seen.extend(self.lines.try_iter());
        self.seen.iter().filter(|line| line.contains(words)).cloned().collect()
    }

    /// Waits for a line that holds these words.
    pub async fn until(&mut self, limit: Duration, words: &str) -> String {
        let deadline = actix::clock::Instant::now() + limit;
        loop {
            if let Some(line) = self.with(words).pop() {
                return line;
            }
            assert!(actix::clock::Instant::now() < deadline, "no `{words}` within {limit:?}: {:#?}", self.seen);
            actix::clock::sleep(millis(20)).await;
        }
    }
}

struct Tell(mpsc::Sender<String>);

impl Drain for Tell {
    type Ok = ();
    type Err = slog::Error;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> slog::Result {
        if record.level().is_at_least(slog::Level::Info) {
            let mut line = Line(record.msg().to_string());
            record.kv().serialize(record, &mut line)?;
            values.serialize(record, &mut line)?;
            // A test that is over no longer reads.
            drop(self.0.send(line.0));
        }
        Ok(())
    }
}

struct Line(String);

impl Serializer for Line {
    fn emit_arguments(&mut self, key: Key, value: &fmt::Arguments<'_>) -> slog::Result {
        self.0.push_str(&format!(" {key}={value}"));
        Ok(())
    }
}
