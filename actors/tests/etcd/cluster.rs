use containerpilot_actors::event::EventCode;
use containerpilot_actors::messages::{CatalogCommand, CatalogFinished};
use containerpilot_actors::spec::{ServiceSpec, WatchSpec};
use containerpilot_actors::testing::{etcd, millis, probe, secs, service, watch};
use serde_json::{Value, json};

use crate::scene::{Folder, free_ports};
use crate::server::{Etcd, scene_of};

/// Three members that know each other.
async fn cluster(folder: &Folder) -> Vec<Etcd> {
    let names = ["one", "two", "three"];
    let ports: [u16; 6] = free_ports();
    let peers: Vec<String> = (0..3).map(|n| format!("{}=http://127.0.0.1:{}", names[n], ports[n + 3])).collect();
    let mut members: Vec<Etcd> =
        (0..3).map(|n| Etcd::member(folder, names[n], ports[n], ports[n + 3], &peers.join(","), &[])).collect();
    for member in &mut members {
        member.spawn();
    }
    for member in &members {
        member.until_ready().await;
    }
    members
}

async fn status(member: &Etcd) -> Value {
    member.post("/v3/maintenance/status", json!({})).await
}

/// The place of the member that leads.
async fn leader(members: &[Etcd]) -> usize {
    for (place, member) in members.iter().enumerate() {
        let status = status(member).await;
        if status["leader"] == status["header"]["member_id"] {
            return place;
        }
    }
    panic!("nobody leads")
}

#[actix::test]
async fn the_death_of_the_leader_changes_nothing_for_services_and_watches() {
    let folder = Folder::new("cluster");
    let mut members = cluster(&folder).await;
    // The leader is the one that is asked.
    let first = leader(&members).await;
    members.swap(0, first);
    let addresses: Vec<String> = members.iter().map(Etcd::address).collect();
    let (scene, mut told) = scene_of(&etcd(&addresses));
    let mut watching = scene.watch(&watch("web"));
    scene.agent.do_send(CatalogCommand::Advertise(ServiceSpec { ttl: secs(10), ..service("web") }));
    scene.passed("web");
    assert_eq!(watching.event(secs(5)).await.code, EventCode::StatusChanged);
    assert_eq!(watching.event(secs(5)).await.code, EventCode::StatusHealthy);
    let before = members[1].until_keys(secs(5), |keys| !keys.is_empty()).await;

    members.remove(0).kill();
    for _ in 0..20 {
        scene.passed("web");
        actix::clock::sleep(millis(500)).await;
    }
    assert!(watching.is_quiet(), "nothing has changed");
    let after = members[0].until_keys(secs(10), |keys| !keys.is_empty()).await;
    assert_eq!(after, before);

    // Changes are noticed again.
    members[1].put("web", "web-2", 80, &[]).await;
    assert_eq!(watching.event(secs(15)).await.code, EventCode::StatusChanged);
    assert_eq!(watching.variable().map(|(_, list)| list).as_deref(), Some("10.0.0.1:80,10.1.2.3:8000"));
    let (recipient, mut finished) = probe::<CatalogFinished>();
    scene.agent.do_send(CatalogCommand::Finish(recipient));
    finished.next(secs(2)).await;
    members[0].until_keys(secs(5), |keys| keys.len() == 1).await;
    assert!(told.with("away").len() <= 1, "{:?}", told.with("away"));
}

#[actix::test]
async fn a_member_that_hangs_is_left_for_another() {
    let folder = Folder::new("hanging");
    let members = cluster(&folder).await;
    let addresses: Vec<String> = members.iter().map(Etcd::address).collect();
    let (scene, _told) = scene_of(&etcd(&addresses));
    let mut watching = scene.watch(&watch("db"));
    members[0].put("db", "db-1", 1, &[]).await;
    while watching.event(secs(5)).await.code != EventCode::StatusHealthy {}
    // Its kernel goes on to answer for it.
    members[0].signal("STOP");
    members[1].until_ready().await;
    members[1].put("db", "db-2", 2, &[]).await;
    while watching.event(secs(40)).await.code != EventCode::StatusHealthy {}
    // From now on the other one is asked.
    members[1].put("db", "db-3", 3, &[]).await;
    while watching.event(secs(5)).await.code != EventCode::StatusHealthy {}
    assert_eq!(watching.variable().map(|(_, list)| list).as_deref(), Some("10.0.0.1:1,10.0.0.1:2,10.0.0.1:3"));
}

#[actix::test]
async fn a_member_that_has_lost_its_cluster_is_not_believed() {
    let folder = Folder::new("alone");
    let members = cluster(&folder).await;
    let (scene, mut told) = scene_of(&etcd(&[members[0].address()]));
    // A long way from here to the safety reading.
    let mut watching = scene.watch(&WatchSpec { interval: secs(300), ..watch("db") });
    members[0].put("db", "db-1", 1, &[]).await;
    while watching.event(secs(5)).await.code != EventCode::StatusHealthy {}
    for member in &members[1..] {
        member.signal("STOP");
    }
    told.until(secs(50), "etcd is away").await;
    for member in &members[1..] {
        member.signal("CONT");
    }
    told.until(secs(50), "etcd is back").await;
    assert!(watching.is_quiet(), "not to know is no change");
}

#[actix::test]
async fn an_endpoint_without_a_server_is_passed_over() {
    let folder = Folder::new("dead-end");
    let server = Etcd::alone(&folder, &[]).await;
    let [nobody] = free_ports();
    let (scene, mut told) = scene_of(&etcd(&[format!("127.0.0.1:{nobody}"), server.address()]));
    scene.agent.do_send(CatalogCommand::Advertise(service("web")));
    scene.passed("web");
    server.until_keys(secs(5), |keys| !keys.is_empty()).await;
    assert_eq!(told.with("away"), Vec::<String>::new());
}
