use actix::clock::Instant;
use containerpilot_actors::event::EventCode;
use containerpilot_actors::spec::WatchSpec;
use containerpilot_actors::testing::{consul, millis, secs, watch};
use serde_json::json;

use crate::server::{Consul, Folder, scene_of};

async fn put(server: &Consul, id: &str, port: u16, tags: &[&str]) {
    let body = json!({"ID": id, "Name": "db", "Address": "10.0.0.1", "Port": port, "Tags": tags});
    server.put("/v1/agent/service/register", body).await;
}

#[actix::test]
async fn changes_are_noticed_at_once_and_told_to_jobs() {
    let folder = Folder::new("watches");
    let server = Consul::dev(&folder);
    server.until_led().await;
    let scene = scene_of(&consul(&server.address()));
    let mut watching = scene.watch(&WatchSpec { interval: secs(10), ..watch("db") });
    actix::clock::sleep(millis(500)).await;
    assert!(watching.is_quiet(), "there never was an instance");
    for (port, list) in [(80, "10.0.0.1:80"), (81, "10.0.0.1:80,10.0.0.1:81")] {
        let began = Instant::now();
        put(&server, &format!("db-{port}"), port, &[]).await;
        assert_eq!(watching.event(secs(2)).await.code, EventCode::StatusChanged);
        assert_eq!(watching.event(secs(2)).await.code, EventCode::StatusHealthy);
        assert!(began.elapsed() < secs(1), "{:?}", began.elapsed());
        assert_eq!(watching.variable(), Some(("CONTAINERPILOT_WATCH_DB".to_owned(), list.to_owned())));
    }
    for port in [80, 81] {
        server.put(&format!("/v1/agent/service/deregister/db-{port}"), json!({})).await;
        assert_eq!(watching.event(secs(2)).await.code, EventCode::StatusChanged);
        let healthy = if port == 80 { EventCode::StatusHealthy } else { EventCode::StatusUnhealthy };
        assert_eq!(watching.event(secs(2)).await.code, healthy);
    }
    assert_eq!(watching.variable().map(|(_, list)| list), Some(String::new()));
    assert!(watching.is_quiet());
}

#[actix::test]
async fn only_instances_with_all_tags_count_and_few_are_unhealthy() {
    let folder = Folder::new("tags");
    let server = Consul::dev(&folder);
    server.until_led().await;
    put(&server, "db-1", 1, &["rw"]).await;
    put(&server, "db-2", 2, &["ro", "blue"]).await;
    put(&server, "db-3", 3, &["blue", "rw"]).await;
    let scene = scene_of(&consul(&server.address()));
    let tags = vec!["rw".to_owned(), "blue".to_owned()];
    let mut watching = scene.watch(&WatchSpec { tags, min_instances: 2, stale: true, ..watch("db") });
    assert_eq!(watching.event(secs(2)).await.code, EventCode::StatusChanged);
    assert_eq!(watching.event(secs(2)).await.code, EventCode::StatusUnhealthy);
    assert_eq!(watching.variable().map(|(_, list)| list), Some("10.0.0.1:3".to_owned()));
    put(&server, "db-4", 4, &["rw", "blue"]).await;
    assert_eq!(watching.event(secs(2)).await.code, EventCode::StatusChanged);
    assert_eq!(watching.event(secs(2)).await.code, EventCode::StatusHealthy);
}

#[actix::test]
async fn a_burst_of_changes_is_one_with_debounce() {
    let folder = Folder::new("debounce");
    let server = Consul::dev(&folder);
    server.until_led().await;
    let scene = scene_of(&consul(&server.address()));
    let mut watching = scene.watch(&WatchSpec { debounce: millis(400), ..watch("db") });
    for port in 1..=5 {
        put(&server, &format!("db-{port}"), port, &[]).await;
        actix::clock::sleep(millis(50)).await;
    }
    assert_eq!(watching.event(secs(2)).await.code, EventCode::StatusChanged);
    assert_eq!(watching.variable().map(|(_, list)| list.split(',').count()), Some(5));
    assert_eq!(watching.event(secs(2)).await.code, EventCode::StatusHealthy);
    actix::clock::sleep(millis(600)).await;
    assert!(watching.is_quiet());
}

#[actix::test]
async fn a_thousand_instances_are_read() {
    let folder = Folder::new("thousand");
    let server = Consul::dev(&folder);
    server.until_led().await;
    // Of a node that no agent thinks to be its own: it would take out what it does not know.
    server.put("/v1/catalog/register", json!({"Node": "elsewhere", "Address": "10.0.0.9"})).await;
    for part in 0..20 {
        let operations: Vec<_> = (0..50)
            .map(|n| {
                let port = 10_000 + part * 50 + n;
                let service = json!({"ID": format!("db-{port}"), "Service": "db", "Address": "10.0.0.1", "Port": port});
                json!({"Service": {"Verb": "set", "Node": "elsewhere", "Service": service}})
            })
            .collect();
        let reply = server.put("/v1/txn", json!(operations)).await;
        assert!(reply["Errors"].is_null(), "{reply:#}");
    }
    let scene = scene_of(&consul(&server.address()));
    let mut watching = scene.watch(&watch("db"));
    assert_eq!(watching.event(secs(5)).await.code, EventCode::StatusChanged);
    let (_, list) = watching.variable().expect("it was set first");
    assert_eq!(list.split(',').count(), 1000);
}

#[actix::test]
async fn a_restored_snapshot_is_seen_at_once() {
    let folder = Folder::new("snapshot");
    let server = Consul::dev(&folder);
    server.until_led().await;
    let of_another_node = |port: u16| json!({"Node": "elsewhere", "Address": "10.0.0.9", "Service": {"ID": "db", "Service": "db", "Port": port}});
    server.put("/v1/catalog/register", of_another_node(1)).await;
    server.snapshot(&folder, "save");
    for port in 2..30 {
        server.put("/v1/catalog/register", of_another_node(port)).await;
    }
    let scene = scene_of(&consul(&server.address()));
    let mut watching = scene.watch(&watch("db"));
    assert_eq!(watching.event(secs(5)).await.code, EventCode::StatusChanged);
    assert_eq!(watching.event(secs(5)).await.code, EventCode::StatusHealthy);
    assert_eq!(watching.variable().map(|(_, list)| list), Some("10.0.0.9:29".to_owned()));
    server.snapshot(&folder, "restore");
    assert_eq!(watching.event(secs(10)).await.code, EventCode::StatusChanged);
    assert_eq!(watching.event(secs(5)).await.code, EventCode::StatusHealthy);
    assert_eq!(watching.variable().map(|(_, list)| list), Some("10.0.0.9:1".to_owned()));
    server.put("/v1/catalog/register", of_another_node(2)).await;
    assert_eq!(watching.event(secs(5)).await.code, EventCode::StatusChanged);
}

#[actix::test]
async fn a_server_without_a_leader_has_no_news() {
    let folder = Folder::new("leaderless");
    let mut server = Consul::dev(&folder);
    server.until_led().await;
    put(&server, "db", 1, &[]).await;
    let scene = scene_of(&consul(&server.address()));
    let mut watching = scene.watch(&WatchSpec { stale: true, ..watch("db") });
    assert_eq!(watching.event(secs(5)).await.code, EventCode::StatusChanged);
    assert_eq!(watching.event(secs(5)).await.code, EventCode::StatusHealthy);
    server.kill();
    let lone = folder.path().join("lone");
    let flags = ["-server".to_owned(), "-bootstrap-expect=3".to_owned(), format!("-data-dir={}", lone.display())];
    let server = Consul::start(&folder, server.http, &flags);
    // 1.8.7 answers stale queries with an error, others with nothing (see `answers`).
    server.until(secs(30), "/v1/status/leader", |leader| *leader == json!("")).await;
    actix::clock::sleep(secs(4)).await;
    assert!(watching.is_quiet(), "{:?}", watching.variable());
    let errors = scene.status().await.requests["watch"].errors;
    assert!(errors > 0, "it has been asked");
}
