//! For tests: builders of specs, probes, and waiting for a condition. Behind the feature `testing`.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::mpsc;

use crate::address_watcher::AddressWatcher;
use crate::bus::EventBus;
use crate::catalog::{CatalogAgent, Registry};
use crate::control::ControlServer;
use crate::event::{JobName, WatchName};
use crate::health_check::HealthCheckActor;
use crate::job::JobActor;
use crate::journal::Journal;
use crate::messages::ActorId;
use crate::metrics::Metrics;
use crate::reaper::Reaper;
use crate::signal_handler::SignalHandler;
use crate::spec::{
    ConsulSpec, ControlSpec, EtcdApi, EtcdEndpoint, EtcdSpec, Exec, HealthSpec, JobSpec, OutputSpec, ServiceSpec, Spec,
    TlsSpec, WatchSpec, ZooKeeperSpec,
};
use crate::telemetry::TelemetryServer;
use crate::watch::WatchActor;

/// So many seconds.
pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// So many milliseconds.
pub const fn millis(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A job that runs `sh -c script` at start-up, once.
pub fn shell(name: &str, script: &str) -> JobSpec {
    let exec = Exec { program: "sh".into(), args: vec!["-c".into(), script.into()] };
    JobSpec { exec: Some(exec), ..JobSpec::new(JobName::new(name)) }
}

/// A job that runs `true` at start-up, once.
pub fn job(name: &str) -> JobSpec {
    shell(name, "true")
}

/// A check that runs `sh -c script` every second.
pub fn check(script: &str) -> HealthSpec {
    HealthSpec {
        exec: Some(Exec { program: "sh".into(), args: vec!["-c".into(), script.into()] }),
        interval: secs(1),
        ttl: secs(5),
        timeout_text: None,
        timeout: Some(secs(1)),
        failures: None,
        output: OutputSpec::default(),
    }
}

/// A service at 10.1.2.3:8000 that is heartbeaten every second.
pub fn service(name: &str) -> ServiceSpec {
    ServiceSpec {
        id: format!("{name}-host"),
        port: 8000,
        address: [10, 1, 2, 3].into(),
        interfaces: vec!["static:10.1.2.3".to_owned()],
        ttl: secs(5),
        ..ServiceSpec::new(name)
    }
}

/// A watch that looks every second.
pub fn watch(name: &str) -> WatchSpec {
    WatchSpec {
        name: WatchName::new(name),
        service: name.to_owned(),
        delay: Duration::ZERO,
        interval: secs(1),
        tags: Vec::new(),
        dc: None,
        stale: false,
        min_instances: 1,
        debounce: Duration::ZERO,
        pauses: false,
    }
}

/// Consul at this address, without TLS and token.
pub fn consul(address: &str) -> ConsulSpec {
    ConsulSpec { address: address.to_owned(), https: false, token: None, token_file: None, tls: TlsSpec::default() }
}

/// etcd at these addresses, by API 3, without TLS and user.
pub fn etcd(addresses: &[String]) -> EtcdSpec {
    let endpoints = addresses.iter().map(|address| EtcdEndpoint { address: address.clone(), https: false });
    EtcdSpec {
        endpoints: endpoints.collect(),
        prefix: "/containerpilot".to_owned(),
        api: EtcdApi::Three,
        warns_of_api2: false,
        login: None,
        tls: TlsSpec::default(),
    }
}

/// ZooKeeper at these ports of this machine, below `/containerpilot`, with sessions of ten seconds.
pub fn zookeeper(ports: &[u16]) -> ZooKeeperSpec {
    ZooKeeperSpec {
        hosts: ports.iter().map(|port| ("127.0.0.1".to_owned(), *port)).collect(),
        prefix: "/containerpilot".to_owned(),
        digest: None,
        session_timeout: secs(10),
    }
}

/// A config of these jobs, with a window of one second.
pub fn config(jobs: Vec<JobSpec>) -> Spec {
    Spec {
        jobs,
        stop_timeout: secs(1),
        control: Some(ControlSpec { socket: "/nonexistent/containerpilot.socket".into(), is_default: false }),
        ..Spec::default()
    }
}

/// What an actor that stands in for a neighbour was sent.
#[derive(Debug)]
pub struct Probe<M>(mpsc::UnboundedReceiver<M>);

impl<M: Debug> Probe<M> {
    /// Whether nothing has come since the last look.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Everything that has come so far.
    pub fn take(&mut self) -> Vec<M> {
        let mut taken = Vec::new();
        while let Ok(message) = self.0.try_recv() {
            taken.push(message);
        }
        taken
    }

    /// The next message; panics after `limit`.
    pub async fn next(&mut self, limit: Duration) -> M {
        match tokio::time::timeout(limit, self.0.recv()).await {
            Ok(Some(message)) => message,
            Ok(None) => panic!("the probe's actor is gone"),
            Err(_) => panic!("no message within {limit:?}"),
        }
    }
}

struct ProbeActor<M>(mpsc::UnboundedSender<M>);

impl<M: Unpin + 'static> Actor for ProbeActor<M> {
    type Context = Context<Self>;
}

impl<M: Message<Result = ()> + Unpin + 'static> Handler<M> for ProbeActor<M> {
    type Result = ();

    fn handle(&mut self, message: M, _ctx: &mut Context<Self>) {
        // A test that has let go of its probe no longer wants to know.
        drop(self.0.send(message));
    }
}

/// An actor that keeps what it is sent, and a view of that.
pub fn probe<M>() -> (Recipient<M>, Probe<M>)
where
    M: Message<Result = ()> + Send + Unpin + 'static,
{
    let (sender, receiver) = mpsc::unbounded_channel();
    (ProbeActor(sender).start().recipient(), Probe(receiver))
}

/// Waits for a condition; panics with the last state after `limit`.
pub async fn until<T: Debug>(limit: Duration, mut state: impl FnMut() -> T, holds: impl Fn(&T) -> bool) -> T {
    let deadline = actix::clock::Instant::now() + limit;
    loop {
        let seen = state();
        if holds(&seen) {
            return seen;
        }
        assert!(actix::clock::Instant::now() < deadline, "not so within {limit:?}; last seen: {seen:#?}");
        actix::clock::sleep(millis(5)).await;
    }
}

/// Held by tests that have children: `waitpid(-1)` is for the whole process.
pub async fn one_at_a_time() -> tokio::sync::OwnedSemaphorePermit {
    static TURN: std::sync::OnceLock<Arc<tokio::sync::Semaphore>> = std::sync::OnceLock::new();
    let turn = TURN.get_or_init(|| Arc::new(tokio::sync::Semaphore::new(1))).clone();
    turn.acquire_owned().await.expect("nobody closes the semaphore")
}

/// An actor is to panic.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Panic;

/// The supervisor is to have one of its actors panic, or to do so itself (`Core("supervisor")`).
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct Provoke(pub ActorId);

/// Children may have ended.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct LookForEnded;

macro_rules! panic_when_told {
    ($($actor:ty $(where $kind:ident: $bound:path)?),+) => {
        $(impl$(<$kind: $bound>)? Handler<Panic> for $actor {
            type Result = ();

            fn handle(&mut self, _msg: Panic, _ctx: &mut Self::Context) {
                panic!("told to panic");
            }
        })+
    };
}

panic_when_told!(
    AddressWatcher,
    CatalogAgent<R> where R: Registry,
    ControlServer,
    EventBus,
    HealthCheckActor,
    JobActor,
    Journal,
    Metrics,
    Reaper,
    SignalHandler,
    TelemetryServer,
    WatchActor
);
