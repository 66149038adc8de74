//! A real Consul: an agent in dev mode, which is a server of its own.
#![expect(clippy::disallowed_methods, reason = "a test waits for its own child")]

use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::http::{free_port, remote};
use crate::pilot::{Folder, until};

pub struct Consul {
    agent: Child,
    port: u16,
    _folder: Folder,
}

impl Consul {
    pub fn start() -> Self {
        let folder = Folder::new();
        let [port, server, serf] = [free_port(), free_port(), free_port()];
        let log = std::fs::File::create(folder.0.join("log")).unwrap();
        let agent = Command::new("consul")
            .args(["agent", "-dev", "-bind=127.0.0.1", "-dns-port=-1", "-grpc-port=-1", "-serf-wan-port=-1"])
            .args([format!("-http-port={port}"), format!("-server-port={server}"), format!("-serf-lan-port={serf}")])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("`consul` on the PATH: scripts/install-test-tools");
        let consul = Self { agent, port, _folder: folder };
        until(|| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        until(|| consul.get("/v1/health/service/consul?passing").as_array().is_some_and(|found| !found.is_empty()));
        consul
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn get(&self, path: &str) -> Value {
        let (_, body) = remote(self.port, "GET", path, "", "");
        serde_json::from_str(&body).unwrap_or_default()
    }

    /// Whether the agent has a service of this name, and its checks pass.
    pub fn has_passing(&self, service: &str) -> bool {
        remote(self.port, "GET", &format!("/v1/agent/health/service/name/{service}?format=text"), "", "").0 == 200
    }

    /// Registers an instance of the service `db`, which is always well.
    pub fn register(&self, id: &str, port: u16) {
        let body = format!("{{\"ID\": \"{id}\", \"Name\": \"db\", \"Port\": {port}, \"Address\": \"10.0.0.1\"}}");
        assert_eq!(remote(self.port, "PUT", "/v1/agent/service/register", "", &body).0, 200);
    }
}

impl Drop for Consul {
    fn drop(&mut self) {
        self.agent.kill().unwrap();
        self.agent.wait().unwrap();
    }
}
