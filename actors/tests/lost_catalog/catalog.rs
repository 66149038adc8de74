//! The catalog's actor and those of watches, with a real Consul. It is no child of ours: the reaper would take its end.

use std::net::TcpListener;
use std::process::{Command, Stdio};

use containerpilot_actors::event::{Event, EventCode, Source, WatchName};
use containerpilot_actors::messages::ActorId;
use containerpilot_actors::spec::{CatalogSpec, HealthSpec, JobSpec, Spec, StartRule};
use containerpilot_actors::sys;
use containerpilot_actors::testing::{check, config, consul, millis, one_at_a_time, secs, service, shell, watch};
use serde_json::{Value, json};

use crate::scene::{Scene, app, job_id};

struct Consul {
    address: String,
    pid: i32,
}

impl Consul {
    async fn start() -> Self {
        let ports: Vec<TcpListener> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let [http, server, serf] = [0, 1, 2].map(|n: usize| ports[n].local_addr().unwrap().port());
        drop(ports);
        let script = format!(
            "setsid consul agent -dev -bind=127.0.0.1 -client=127.0.0.1 -dns-port=-1 -grpc-port=-1 -serf-wan-port=-1 \
             -http-port={http} -server-port={server} -serf-lan-port={serf} >/dev/null 2>&1 </dev/null & echo $!"
        );
        let started = Command::new("sh").args(["-c", &script]).stderr(Stdio::null()).output().unwrap();
        let pid = String::from_utf8(started.stdout).unwrap().trim().parse().unwrap();
        let consul = Self { address: format!("127.0.0.1:{http}"), pid };
        let deadline = actix::clock::Instant::now() + secs(30);
        while consul.get("/v1/health/service/consul?passing=1").await[0].is_null() {
            assert!(actix::clock::Instant::now() < deadline, "`consul` on the PATH: scripts/install-test-tools");
            actix::clock::sleep(millis(50)).await;
        }
        consul
    }

    async fn get(&self, path: &str) -> Value {
        let Ok(mut reply) = awc::Client::new().get(format!("http://{}{path}", self.address)).send().await else {
            return Value::Null;
        };
        reply.body().await.ok().and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or(Value::Null)
    }

    async fn register(&self, id: &str, port: u16) {
        let body = json!({"ID": id, "Name": "db", "Address": "10.0.0.1", "Port": port}).to_string();
        awc::Client::new()
            .put(format!("http://{}/v1/agent/service/register", self.address))
            .send_body(body)
            .await
            .unwrap();
    }

    async fn until(&self, scene: &mut Scene, path: &str, holds: impl Fn(&Value) -> bool) {
        let deadline = actix::clock::Instant::now() + secs(15);
        loop {
            let seen = self.get(path).await;
            if holds(&seen) {
                return;
            }
            assert!(actix::clock::Instant::now() < deadline, "{path}: {seen:#}");
            scene.tick().await;
        }
    }
}

impl Drop for Consul {
    fn drop(&mut self) {
        sys::signal_process(self.pid, sys::KILL).unwrap();
    }
}

const SERVICES: &str = "/v1/agent/services";

fn is_passing(health: &Value) -> bool {
    health[0]["Checks"].as_array().is_some_and(|checks| checks.iter().all(|check| check["Status"] == "passing"))
}

fn served(name: &str) -> JobSpec {
    let health = HealthSpec { interval: millis(200), ..check("true") };
    JobSpec { service: Some(service(name)), health: Some(health), ..app(name) }
}

#[actix::test]
async fn registrations_outlive_the_actor_that_made_them_and_end_with_their_jobs() {
    let turn = one_at_a_time().await;
    let consul_agent = Consul::start().await;
    let catalog = CatalogSpec::Consul(consul(&consul_agent.address));
    let spec = Spec { catalog: Some(catalog), ..config(vec![served("app"), served("web"), app("other")]) };
    let mut scene = Scene::in_turn(turn, "catalog", |_| spec);
    for name in ["app", "web"] {
        consul_agent.until(&mut scene, &format!("/v1/health/service/{name}"), is_passing).await;
    }
    for _ in 0..2 {
        scene.panic(ActorId::Catalog);
        scene.settle().await;
    }
    assert_eq!(consul_agent.get(SERVICES).await.as_object().map(|services| services.len()), Some(2));
    actix::clock::sleep(millis(150)).await;
    // Its job stops while nobody is there to say so.
    scene.panic(ActorId::Catalog);
    scene.reload(|spec| drop(spec.jobs.remove(1))).await;
    consul_agent.until(&mut scene, SERVICES, |services| services["web-host"].is_null()).await;
    assert!(is_passing(&consul_agent.get("/v1/health/service/app").await));
    scene.panic(ActorId::Catalog);
    scene.ends_well().await;
    assert_eq!(consul_agent.get(SERVICES).await, json!({}));
}

#[actix::test]
async fn a_watch_goes_on_with_what_it_has_seen() {
    let turn = one_at_a_time().await;
    let consul_agent = Consul::start().await;
    consul_agent.register("db-1", 1).await;
    let catalog = CatalogSpec::Consul(consul(&consul_agent.address));
    let changed = Event::new(EventCode::StatusChanged, Source::Watch(WatchName::new("db")));
    let told = JobSpec { start: StartRule::Each(changed), ..shell("told", "echo $CONTAINERPILOT_WATCH_DB >> $F/told") };
    let spec = Spec { catalog: Some(catalog), watches: vec![watch("db")], ..config(vec![app("app"), told]) };
    let mut scene = Scene::in_turn(turn, "watch", |_| spec);
    scene.lines("told", 1).await;
    for _ in 0..2 {
        scene.panic(ActorId::Watch(1));
        scene.settle().await;
    }
    scene.panic(job_id("told"));
    actix::clock::sleep(millis(1500)).await;
    scene.settle().await;
    assert_eq!(scene.read("told"), "10.0.0.1:1\n", "nothing has changed");
    consul_agent.register("db-2", 2).await;
    scene.lines("told", 2).await;
    assert_eq!(scene.read("told").lines().last(), Some("10.0.0.1:1,10.0.0.1:2"));
    scene.ends_well().await;
}
