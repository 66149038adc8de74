//! ZooKeeper processes, and a look into them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use actix::clock::Instant;
use containerpilot_actors::spec::{CatalogSpec, ServiceSpec, ZooKeeperSpec};
use containerpilot_actors::testing::{millis, secs, zookeeper};
use serde_json::{Value, json};
use zookeeper_client::{Acls, Client, CreateMode, Error};

use crate::scene::{Folder, free_ports};

/// Longer than anything takes.
pub const LIMIT: Duration = secs(30);
/// Where Debian's libzookeeper-java puts them.
const JARS: &str = "/usr/share/java/zookeeper.jar:/usr/share/java/slf4j-simple.jar";
/// Sessions of 400 ms and more are granted as asked for.
const TICKS: &str = "tickTime=200\nminSessionTimeout=400\nmaxSessionTimeout=60000\nadmin.enableServer=false\nmaxClientCnxns=0\n\
                     clientPortAddress=127.0.0.1\n";

/// One server's process.
#[derive(Debug)]
pub struct Server {
    shell: Child,
    /// The server ends when this does, also when that is because the tests end.
    life: Option<ChildStdin>,
    pub port: u16,
}

impl Server {
    /// A server of its own at this port, which finds again what it had in this folder.
    pub fn start(folder: &Folder, port: u16) -> Self {
        Self::start_member(folder.path(), &format!("zk-{port}"), port, "")
    }

    /// One of several servers.
    pub fn start_member(folder: &Path, name: &str, port: u16, members: &str) -> Self {
        Self::run(folder, name, port, members, "")
    }

    fn run(folder: &Path, name: &str, port: u16, members: &str, at_the_end: &str) -> Self {
        let config = format!("{TICKS}dataDir={}/{name}\nclientPort={port}\n{members}", folder.display());
        let file = folder.join(format!("{name}.cfg"));
        std::fs::write(&file, config).expect("the folder is ours");
        let log = std::fs::File::create(folder.join(format!("{name}.log"))).expect("a log");
        let main = "org.apache.zookeeper.server.quorum.QuorumPeerMain";
        let java = "java -Xmx96m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dzookeeper.forceSync=no";
        let script = format!("{java} -cp {JARS} {main} {} & read -r _; kill -9 $!; {at_the_end}", file.display());
        let mut shell = Command::new("sh")
            .args(["-c", &script])
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a second handle of the log"))
            .stderr(log)
            .spawn()
            .expect("a shell");
        Self { life: shell.stdin.take(), shell, port }
    }

    /// Ends the process without a word.
    pub fn kill(&mut self) {
        drop(self.life.take());
        reap(&mut self.shell);
    }

    /// What the server says of itself: `leader`, `follower` or `standalone`; nothing if it does not serve.
    pub fn mode(&self) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(secs(2))).ok()?;
        stream.write_all(b"srvr").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        text.lines().find_map(|line| line.strip_prefix("Mode: ")).map(str::to_owned)
    }

    pub async fn until_serving(&self) {
        let deadline = Instant::now() + secs(60);
        while self.mode().is_none() {
            assert!(Instant::now() < deadline, "ZooKeeper does not serve: scripts/install-test-tools, and see its log");
            actix::clock::sleep(millis(50)).await;
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "no reaper lives in this test binary")]
fn reap(child: &mut Child) {
    child.wait().expect("it is ours");
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.life.is_some() {
            self.kill();
        }
    }
}

/// A part of a server that is one test's own.
#[derive(Debug)]
pub struct Part {
    pub spec: ZooKeeperSpec,
    pub client: Client,
}

impl Part {
    /// Of the server that all tests share that do it no harm.
    pub async fn shared() -> Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        static PARTS: AtomicU32 = AtomicU32::new(0);
        let server = SHARED.get_or_init(|| {
            let folder = std::env::temp_dir().join(format!("catalog-test-zookeeper-{}", std::process::id()));
            std::fs::create_dir_all(&folder).expect("a folder to work in");
            let [port] = free_ports();
            // Nothing is dropped that is static: the shell tidies up.
            Server::run(&folder, "shared", port, "", &format!("wait; rm -r {}", folder.display()))
        });
        server.until_serving().await;
        let prefix = format!("/part-{}", PARTS.fetch_add(1, Ordering::Relaxed));
        Self::of(ZooKeeperSpec { prefix, ..zookeeper(&[server.port]) }).await
    }

    /// All of a server.
    pub async fn whole(server: &Server) -> Self {
        server.until_serving().await;
        Self::of(zookeeper(&[server.port])).await
    }

    pub async fn of(spec: ZooKeeperSpec) -> Self {
        let client = connect(&spec, None).await;
        Self { spec, client }
    }

    pub fn catalog(&self) -> CatalogSpec {
        CatalogSpec::ZooKeeper(self.spec.clone())
    }

    pub fn path(&self, below: &str) -> String {
        format!("{}/{below}", self.spec.prefix)
    }

    /// The value of an instance's node, and its `czxid` and session.
    pub async fn node(&self, below: &str) -> Option<Node> {
        let path = self.path(below);
        loop {
            match self.client.get_data(&path).await {
                Ok((value, stat)) => {
                    let value = serde_json::from_slice(&value).unwrap_or(Value::Null);
                    return Some(Node { value, made: stat.czxid, changed: stat.mzxid, owner: stat.ephemeral_owner });
                }
                Err(Error::NoNode) => return None,
                Err(Error::ConnectionLoss | Error::Custom(_)) => actix::clock::sleep(millis(50)).await,
                Err(cause) => panic!("{path}: {cause}"),
            }
        }
    }

    /// Waits until a condition on a node holds.
    pub async fn until(&self, limit: Duration, below: &str, holds: impl Fn(Option<&Node>) -> bool) -> Option<Node> {
        let deadline = Instant::now() + limit;
        loop {
            let seen = self.node(below).await;
            if holds(seen.as_ref()) {
                return seen;
            }
            assert!(Instant::now() < deadline, "not so within {limit:?}: {below}: {seen:?}");
            actix::clock::sleep(millis(20)).await;
        }
    }

    pub async fn until_there(&self, limit: Duration, below: &str) -> Node {
        self.until(limit, below, |node| node.is_some()).await.expect("it is there")
    }

    pub async fn until_gone(&self, limit: Duration, below: &str) {
        self.until(limit, below, |node| node.is_none()).await;
    }

    /// Makes an instance of `db`, or changes it.
    pub async fn put(&self, id: &str, port: u16, tags: Value) {
        self.put_raw(id, json!({"address": "10.0.0.1", "port": port, "tags": tags}).to_string().as_bytes()).await;
    }

    pub async fn put_raw(&self, id: &str, value: &[u8]) {
        let (parent, path) = (self.path("db"), self.path(&format!("db/{id}")));
        let persistent = CreateMode::Persistent.with_acls(Acls::anyone_all());
        self.client.mkdir(&parent, &persistent).await.expect("a parent");
        match self.client.create(&path, value, &persistent).await {
            Ok(_) => {}
            Err(Error::NodeExists) => drop(self.client.set_data(&path, value, None).await.expect("it is there")),
            Err(cause) => panic!("{path}: {cause}"),
        }
    }

    pub async fn delete(&self, below: &str) {
        self.client.delete(&self.path(below), None).await.expect("it is there");
    }
}

/// A service that need not be well again before the test is over.
pub fn service(name: &str) -> ServiceSpec {
    ServiceSpec { ttl: secs(60), ..containerpilot_actors::testing::service(name) }
}

/// What is known of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub value: Value,
    pub made: i64,
    pub changed: i64,
    pub owner: i64,
}

/// A client that is not the one under test.
pub async fn connect(spec: &ZooKeeperSpec, digest: Option<&str>) -> Client {
    let hosts: Vec<String> = spec.hosts.iter().map(|(host, port)| format!("{host}:{port}")).collect();
    let mut connector = Client::connector().with_session_timeout(secs(30));
    if let Some(digest) = digest {
        connector = connector.with_auth("digest", digest.as_bytes());
    }
    connector.connect(&hosts.join(",")).await.expect("a server")
}
