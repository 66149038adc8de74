use containerpilot_actors::event::EventCode;
use containerpilot_actors::spec::WatchSpec;
use containerpilot_actors::testing::{millis, secs, watch};
use serde_json::{Value, json};

use crate::scene::{Scene, Watching};
use crate::server::{LIMIT, Part};

fn log() -> slog::Logger {
    slog::Logger::root(slog::Discard, slog::o!())
}

/// The instances after the change that comes now.
async fn changed(watching: &mut Watching, code: EventCode) -> String {
    assert_eq!(watching.event(LIMIT).await.code, EventCode::StatusChanged);
    assert_eq!(watching.event(LIMIT).await.code, code);
    watching.variable().map(|(_, list)| list).expect("it was set first")
}

#[actix::test]
async fn changes_are_noticed_at_once_and_told_to_jobs() {
    let part = Part::shared().await;
    let scene = Scene::new(&part.catalog(), &log());
    // Whatever is seen sooner than this has not been waited for.
    let mut watching = scene.watch(&WatchSpec { interval: secs(300), ..watch("db") });
    actix::clock::sleep(millis(300)).await;
    assert!(watching.is_quiet(), "there never was an instance");
    part.put("db-1", 80, json!([])).await;
    assert_eq!(changed(&mut watching, EventCode::StatusHealthy).await, "10.0.0.1:80");
    part.put("db-2", 82, json!([])).await;
    assert_eq!(changed(&mut watching, EventCode::StatusHealthy).await, "10.0.0.1:80,10.0.0.1:82");
    part.put("db-1", 81, json!([])).await;
    assert_eq!(changed(&mut watching, EventCode::StatusHealthy).await, "10.0.0.1:81,10.0.0.1:82");
    part.delete("db/db-2").await;
    assert_eq!(changed(&mut watching, EventCode::StatusHealthy).await, "10.0.0.1:81");
    part.delete("db/db-1").await;
    assert_eq!(changed(&mut watching, EventCode::StatusUnhealthy).await, "");
    // Somebody tidies up; that is no reason not to come back.
    part.delete("db").await;
    part.put("db-3", 83, json!([])).await;
    assert_eq!(changed(&mut watching, EventCode::StatusHealthy).await, "10.0.0.1:83");
    part.put("db-3", 83, json!(["no news"])).await;
    actix::clock::sleep(millis(300)).await;
    assert!(watching.is_quiet());
}

#[actix::test]
async fn only_instances_with_all_tags_count_and_few_are_unhealthy() {
    let part = Part::shared().await;
    part.put("db-1", 1, json!(["rw"])).await;
    part.put("db-2", 2, Value::Null).await;
    part.put("db-3", 3, json!(["blue", "rw"])).await;
    let scene = Scene::new(&part.catalog(), &log());
    let tags = vec!["rw".to_owned(), "blue".to_owned()];
    let mut watching = scene.watch(&WatchSpec { tags, min_instances: 2, ..watch("db") });
    assert_eq!(changed(&mut watching, EventCode::StatusUnhealthy).await, "10.0.0.1:3");
    part.put("db-2", 2, json!(["rw", "blue"])).await;
    assert_eq!(changed(&mut watching, EventCode::StatusHealthy).await, "10.0.0.1:2,10.0.0.1:3");
    let mut all = scene.watch(&watch("db"));
    assert_eq!(changed(&mut all, EventCode::StatusHealthy).await, "10.0.0.1:1,10.0.0.1:2,10.0.0.1:3");
    part.put("db-3", 3, json!(["rw"])).await;
    assert_eq!(changed(&mut watching, EventCode::StatusUnhealthy).await, "10.0.0.1:2");
    assert!(all.is_quiet());
}

#[actix::test]
async fn what_is_no_instance_is_skipped() {
    let part = Part::shared().await;
    part.put_raw("junk", b"\xff not JSON").await;
    part.put_raw("other", b"{}").await;
    part.put("db-1", 1, json!([])).await;
    let scene = Scene::new(&part.catalog(), &log());
    let mut watching = scene.watch(&watch("db"));
    assert_eq!(changed(&mut watching, EventCode::StatusHealthy).await, "10.0.0.1:1");
    part.put("other", 2, json!([])).await;
    assert_eq!(changed(&mut watching, EventCode::StatusHealthy).await, "10.0.0.1:1,10.0.0.1:2");
}

#[actix::test]
async fn a_thousand_instances_are_read() {
    let part = Part::shared().await;
    part.put("db-9999", 9999, json!([])).await;
    let parts = &part;
    let puts = (10_000..10_999).map(|port| async move { parts.put(&format!("db-{port}"), port, json!([])).await });
    futures_util::future::join_all(puts).await;
    let scene = Scene::new(&part.catalog(), &log());
    let mut watching = scene.watch(&watch("db"));
    assert_eq!(changed(&mut watching, EventCode::StatusHealthy).await.split(',').count(), 1000);
    part.delete("db/db-9999").await;
    assert_eq!(changed(&mut watching, EventCode::StatusHealthy).await.split(',').count(), 999);
}
