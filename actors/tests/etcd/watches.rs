use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use containerpilot_actors::event::EventCode;
use containerpilot_actors::spec::WatchSpec;
use containerpilot_actors::testing::{millis, secs, watch};
use serde_json::json;

use crate::scene::Folder;
use crate::server::{Etcd, scene_of};

#[actix::test]
async fn changes_are_noticed_at_once_and_told_to_jobs() {
    let folder = Folder::new("watches");
    let server = Etcd::alone(&folder, &[]).await;
    let (scene, _told) = scene_of(&server.spec());
    let mut watching = scene.watch(&WatchSpec { interval: secs(300), ..watch("db") });
    actix::clock::sleep(millis(500)).await;
    assert!(watching.is_quiet(), "there never was an instance");
    for (port, list) in [(80, "10.0.0.1:80"), (81, "10.0.0.1:80,10.0.0.1:81")] {
        server.put("db", &format!("db-{port}"), port, &[]).await;
        assert_eq!(watching.event(secs(2)).await.code, EventCode::StatusChanged);
        assert_eq!(watching.event(secs(2)).await.code, EventCode::StatusHealthy);
        assert_eq!(watching.variable(), Some(("CONTAINERPILOT_WATCH_DB".to_owned(), list.to_owned())));
    }
    for (port, healthy) in [(80, EventCode::StatusHealthy), (81, EventCode::StatusUnhealthy)] {
        server.delete("db", &format!("db-{port}")).await;
        assert_eq!(watching.event(secs(2)).await.code, EventCode::StatusChanged);
        assert_eq!(watching.event(secs(2)).await.code, healthy);
    }
    assert_eq!(watching.variable().map(|(_, list)| list), Some(String::new()));
    assert!(watching.is_quiet());
}

#[actix::test]
async fn what_is_no_instance_is_told_once_and_else_ignored() {
    let folder = Folder::new("junk");
    let server = Etcd::alone(&folder, &[]).await;
    for (id, value) in [("text", "no JSON"), ("list", "[1]"), ("placeless", r#"{"port": 1}"#), ("portless", "{}")] {
        server.put_text("db", id, value).await;
    }
    server.put_text("db", "null", r#"{"address": "10.0.0.2", "port": 2, "tags": null}"#).await;
    server.put_text("db", "tagless", r#"{"address": "10.0.0.2", "port": 3, "more": {}}"#).await;
    server.put("db2", "db2-1", 9, &[]).await;
    let (scene, mut told) = scene_of(&server.spec());
    let mut watching = scene.watch(&watch("db"));
    watching.event(secs(2)).await;
    assert_eq!(watching.variable().map(|(_, list)| list).as_deref(), Some("10.0.0.2:2,10.0.0.2:3"));
    for port in 4..7 {
        server.put("db", &format!("db-{port}"), port, &[]).await;
        while watching.event(secs(2)).await.code != EventCode::StatusHealthy {}
    }
    assert_eq!(told.with("no instance, skipped").len(), 4);
    assert_eq!(told.with("key=/containerpilot/db/placeless").len(), 1);
}

#[actix::test]
async fn only_instances_with_all_tags_count_and_few_are_unhealthy() {
    let folder = Folder::new("tags");
    let server = Etcd::alone(&folder, &[]).await;
    server.put("db", "db-1", 1, &["rw"]).await;
    server.put("db", "db-2", 2, &["ro", "blue"]).await;
    server.put("db", "db-3", 3, &["blue", "rw"]).await;
    let (scene, _told) = scene_of(&server.spec());
    let tags = vec!["rw".to_owned(), "blue".to_owned()];
    let mut watching = scene.watch(&WatchSpec { tags, min_instances: 2, ..watch("db") });
    assert_eq!(watching.event(secs(2)).await.code, EventCode::StatusChanged);
    assert_eq!(watching.event(secs(2)).await.code, EventCode::StatusUnhealthy);
    assert_eq!(watching.variable().map(|(_, list)| list), Some("10.0.0.1:3".to_owned()));
    server.put("db", "db-4", 4, &["rw", "blue"]).await;
    assert_eq!(watching.event(secs(2)).await.code, EventCode::StatusChanged);
    assert_eq!(watching.event(secs(2)).await.code, EventCode::StatusHealthy);
}

#[actix::test]
async fn a_revision_that_has_been_compacted_is_read_anew() {
    let folder = Folder::new("compaction");
    let server = Etcd::alone(&folder, &[]).await;
    server.put("db", "db-1", 1, &[]).await;
    let (scene, _told) = scene_of(&server.spec());
    // A long way from here to the safety reading.
    let mut source = scene.source(&WatchSpec { interval: secs(300), ..watch("db") });
    let first = source.ask(None).await.expect("it is there");
    server.put("db", "db-2", 2, &[]).await;
    let latest = server.keys().await.pop().expect("two of them").revision;
    server.post("/v3/kv/compaction", json!({"revision": latest, "physical": true})).await;
    let waiting = source.ask(first.index.map(|index| index - 1));
    let second = tokio::time::timeout(secs(5), waiting).await.expect("no waiting").expect("it is there");
    assert_eq!((first.instances.len(), second.instances.len()), (1, 2));
    assert!(second.index > first.index);
}

#[actix::test]
async fn a_watch_survives_a_compaction_and_a_new_process() {
    let folder = Folder::new("restart");
    let mut server = Etcd::alone(&folder, &[]).await;
    server.put("db", "db-1", 1, &[]).await;
    let (scene, mut told) = scene_of(&server.spec());
    let mut watching = scene.watch(&watch("db"));
    while watching.event(secs(2)).await.code != EventCode::StatusHealthy {}
    server.kill();
    told.until(secs(5), "etcd is away").await;
    server.start().await;
    assert!(watching.is_quiet(), "not to know is no change");
    server.put("db", "db-2", 2, &[]).await;
    let latest = server.keys().await.pop().expect("two of them").revision;
    server.post("/v3/kv/compaction", json!({"revision": latest, "physical": true})).await;
    while watching.event(secs(5)).await.code != EventCode::StatusHealthy {}
    assert_eq!(watching.variable().map(|(_, list)| list).as_deref(), Some("10.0.0.1:1,10.0.0.1:2"));
    server.delete("db", "db-1").await;
    while watching.event(secs(2)).await.code != EventCode::StatusHealthy {}
}

#[actix::test]
async fn a_thousand_instances_are_read() {
    let folder = Folder::new("thousand");
    let server = Etcd::alone(&folder, &[]).await;
    for part in 0..10 {
        let puts: Vec<_> = (0..100)
            .map(|n| {
                let port = 10_000 + part * 100 + n;
                let value = json!({"id": format!("db-{port}"), "name": "db", "address": "10.0.0.1", "port": port});
                let key = BASE64.encode(format!("/containerpilot/db/db-{port}"));
                json!({"request_put": {"key": key, "value": BASE64.encode(value.to_string())}})
            })
            .collect();
        let reply = server.post("/v3/kv/txn", json!({"success": puts})).await;
        assert_eq!(reply["succeeded"], true, "{reply:#}");
    }
    let (scene, _told) = scene_of(&server.spec());
    let mut watching = scene.watch(&watch("db"));
    assert_eq!(watching.event(secs(5)).await.code, EventCode::StatusChanged);
    let (_, list) = watching.variable().expect("it was set first");
    assert_eq!(list.split(',').count(), 1000);
}
