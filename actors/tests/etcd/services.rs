use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use containerpilot_actors::event::JobName;
use containerpilot_actors::messages::{CatalogCommand, CatalogFinished};
use containerpilot_actors::policy::job::Report;
use containerpilot_actors::spec::{InitialStatus, ServiceSpec};
use containerpilot_actors::testing::{etcd, millis, probe, secs, service};
use serde_json::json;

use crate::scene::{Folder, Scene, free_ports};
use crate::server::{Etcd, Key3, scene_of};

fn nothing(keys: &[Key3]) -> bool {
    keys.is_empty()
}

fn something(keys: &[Key3]) -> bool {
    !keys.is_empty()
}

async fn finish(scene: &Scene) {
    let (recipient, mut finished) = probe::<CatalogFinished>();
    scene.agent.do_send(CatalogCommand::Finish(recipient));
    finished.next(secs(2)).await;
}

#[actix::test]
async fn a_service_is_one_key_with_a_lease_that_heartbeats_extend() {
    let folder = Folder::new("services");
    let server = Etcd::alone(&folder, &[]).await;
    let (scene, _told) = scene_of(&server.spec());
    let spec = ServiceSpec { tags: vec!["a b".to_owned(), "ü".to_owned()], ttl: secs(60), ..service("web") };
    scene.agent.do_send(CatalogCommand::Advertise(spec));
    scene.passed("web");
    let keys = server.until_keys(secs(5), something).await;
    let [key] = &keys[..] else { panic!("{keys:?}") };
    assert_eq!(key.key, "/containerpilot/web/web-host");
    let value = json!({"id": "web-host", "name": "web", "address": "10.1.2.3", "port": 8000, "tags": ["a b", "ü"]});
    assert_eq!(key.value, value);
    let lease = server.post("/v3/lease/timetolive", json!({"ID": key.lease})).await;
    assert_eq!(lease["grantedTTL"], "60", "{lease}");

    for _ in 0..5 {
        scene.passed("web");
        actix::clock::sleep(millis(50)).await;
    }
    assert_eq!(server.keys().await, keys, "written once");
    finish(&scene).await;
    assert_eq!(server.keys().await, []);
    let lease = server.post("/v3/lease/timetolive", json!({"ID": key.lease})).await;
    assert_eq!(lease["TTL"], "-1", "{lease}");
}

#[actix::test]
async fn what_is_not_well_is_not_there() {
    let folder = Folder::new("unwell");
    let server = Etcd::alone(&folder, &[]).await;
    let (scene, _told) = scene_of(&server.spec());
    let spec = ServiceSpec { initial_status: Some(InitialStatus::Warning), ttl: secs(2), ..service("web") };
    scene.agent.do_send(CatalogCommand::Advertise(spec));
    actix::clock::sleep(millis(500)).await;
    assert_eq!(server.keys().await, [], "a service to be warned of");
    scene.passed("web");
    server.until_keys(secs(2), something).await;
    let failed = Report::Failed { critical: true, reason: "the disk is full".to_owned() };
    scene.agent.do_send(CatalogCommand::News(JobName::new("web"), failed));
    server.until_keys(secs(2), nothing).await;
    scene.passed("web");
    server.until_keys(secs(2), something).await;
    // No more heartbeats.
    server.until_keys(secs(10), nothing).await;
    scene.passed("web");
    server.until_keys(secs(2), something).await;
}

#[actix::test]
async fn what_was_lost_or_left_behind_is_mended() {
    let folder = Folder::new("lost");
    let mut server = Etcd::alone(&folder, &[]).await;
    server.put("web", "web-host", 1, &[]).await;
    let (scene, mut told) = scene_of(&server.spec());
    scene.agent.do_send(CatalogCommand::Advertise(service("web")));
    server.until_keys(secs(2), nothing).await;
    scene.passed("web");
    let keys = server.until_keys(secs(2), something).await;

    // Without its key, but with its lease; a heartbeat that is under way may mend it as well as the next one.
    server.delete("web", "web-host").await;
    scene.passed("web");
    let keys = server.until_keys(secs(2), |now| now.len() == 1 && now[0].revision != keys[0].revision).await;
    // Without both.
    server.post("/v3/lease/revoke", json!({"ID": keys[0].lease})).await;
    scene.passed("web");
    server.until_keys(secs(2), |now| now.len() == 1 && now[0].revision != keys[0].revision).await;
    // Without the server, which comes back without its data.
    server.kill();
    scene.passed("web");
    told.until(secs(5), "etcd is away, trying again").await;
    std::fs::remove_dir_all(folder.path().join("alone")).expect("its data");
    server.start().await;
    server.until_keys(secs(5), something).await;
    told.until(secs(5), "etcd is back").await;
    assert_eq!(told.with("etcd is away").len(), 1);
}

#[actix::test]
async fn maintenance_takes_out_and_initial_status_comes_back() {
    let folder = Folder::new("maintenance");
    let server = Etcd::alone(&folder, &[]).await;
    let (scene, _told) = scene_of(&server.spec());
    let spec = ServiceSpec { initial_status: Some(InitialStatus::Passing), ..service("web") };
    scene.agent.do_send(CatalogCommand::Advertise(spec));
    server.until_keys(secs(2), something).await;
    scene.agent.do_send(CatalogCommand::Maintenance(true));
    server.until_keys(secs(2), nothing).await;
    scene.passed("web");
    scene.agent.do_send(CatalogCommand::Maintenance(false));
    server.until_keys(secs(2), something).await;
}

#[actix::test]
async fn a_new_address_is_written_under_the_same_lease() {
    let folder = Folder::new("address");
    let server = Etcd::alone(&folder, &[]).await;
    let (scene, _told) = scene_of(&server.spec());
    scene.agent.do_send(CatalogCommand::Advertise(service("web")));
    scene.passed("web");
    let before = server.until_keys(secs(2), something).await;
    scene.agent.do_send(CatalogCommand::Readdress(JobName::new("web"), [10, 9, 9, 9].into()));
    let after = server.until_keys(secs(2), |keys| keys[0].value["address"] == "10.9.9.9").await;
    assert_eq!(after[0].lease, before[0].lease);
}

#[actix::test]
async fn a_registration_that_comes_after_its_end_comes_to_nothing() {
    let folder = Folder::new("late");
    let server = Etcd::alone(&folder, &[]).await;
    let (scene, _told) = scene_of(&server.spec());
    scene.agent.do_send(CatalogCommand::Advertise(service("web")));
    scene.passed("web");
    let keys = server.until_keys(secs(2), something).await;
    finish(&scene).await;
    // What would still be on its way: it names the lease, which is gone.
    let late = json!({"key": BASE64.encode(&keys[0].key), "value": BASE64.encode("{}"), "lease": keys[0].lease});
    let reply = server.post("/v3/kv/put", late).await;
    assert!(reply["message"].as_str().is_some_and(|text| text.contains("lease not found")), "{reply}");
}

#[actix::test]
async fn an_etcd_that_hangs_holds_up_nothing_but_its_own_entry() {
    let folder = Folder::new("hangs");
    let server = Etcd::alone(&folder, &[]).await;
    let (scene, mut told) = scene_of(&server.spec());
    scene.agent.do_send(CatalogCommand::Advertise(ServiceSpec { ttl: secs(30), ..service("web") }));
    scene.passed("web");
    server.until_keys(secs(2), something).await;
    server.signal("STOP");
    for _ in 0..10 {
        scene.passed("web");
    }
    scene.agent.do_send(CatalogCommand::News(JobName::new("web"), Report::Withdraw));
    // Someone else's registration is not answered either.
    scene.agent.do_send(CatalogCommand::Advertise(ServiceSpec { ttl: secs(2), ..service("other") }));
    scene.passed("other");
    told.until(secs(10), "no answer within").await;
    server.signal("CONT");
    server.until_keys(secs(20), |keys| keys.len() == 1 && keys[0].key.ends_with("/other-host")).await;
}

#[actix::test]
async fn the_end_does_not_wait_for_an_etcd_that_is_away_and_has_nothing() {
    let [nobody] = free_ports();
    let (scene, mut told) = scene_of(&etcd(&[format!("127.0.0.1:{nobody}")]));
    scene.agent.do_send(CatalogCommand::Advertise(service("web")));
    scene.passed("web");
    told.until(secs(5), "etcd is away").await;
    finish(&scene).await;
}
