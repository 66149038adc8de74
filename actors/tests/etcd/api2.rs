use awc::http::Method;
use containerpilot_actors::event::{EventCode, JobName};
use containerpilot_actors::messages::{CatalogCommand, CatalogFinished};
use containerpilot_actors::policy::job::Report;
use containerpilot_actors::spec::{EtcdApi, EtcdSpec, ServiceSpec};
use containerpilot_actors::testing::{probe, secs, service, watch};
use serde_json::{Value, json};

use crate::scene::Folder;
use crate::server::{Etcd, scene_of};

const WEB: &str = "/v2/keys/containerpilot/web/web-host";

fn is_missing(reply: &Value) -> bool {
    reply["errorCode"] == 100
}

fn has_value(reply: &Value) -> bool {
    reply["node"]["nodes"][0]["value"].is_string()
}

fn old(server: &Etcd) -> EtcdSpec {
    EtcdSpec { api: EtcdApi::Two, ..server.spec() }
}

#[actix::test]
async fn a_service_is_a_directory_with_a_time_to_live() {
    let folder = Folder::new("api2");
    let server = Etcd::alone(&folder, &[]).await;
    let left = "value=x".to_owned();
    server.request(Method::PUT, &format!("{WEB}/service"), Some(left)).await;
    let (scene, _told) = scene_of(&old(&server));
    scene.agent.do_send(CatalogCommand::Advertise(ServiceSpec { tags: vec!["a&b".to_owned()], ..service("web") }));
    server.until(secs(2), WEB, is_missing).await;
    scene.passed("web");
    let reply = server.until(secs(5), WEB, has_value).await;
    let node = &reply["node"];
    assert!(node["dir"] == true && node["ttl"].as_i64().is_some_and(|ttl| (1..=5).contains(&ttl)), "{node:#}");
    let [key] = &node["nodes"].as_array().expect("a directory")[..] else { panic!("{node:#}") };
    assert_eq!(key["key"], "/containerpilot/web/web-host/service");
    let value: Value = serde_json::from_str(key["value"].as_str().unwrap_or_default()).expect("JSON");
    let want = json!({"id": "web-host", "name": "web", "address": "10.1.2.3", "port": 8000, "tags": ["a&b"]});
    assert_eq!(value, want);

    // A heartbeat extends the directory, and touches nothing else.
    server.until(secs(4), WEB, |reply| reply["node"]["ttl"].as_i64().is_some_and(|ttl| ttl < 4)).await;
    scene.passed("web");
    let beaten = server.until(secs(1), WEB, |reply| reply["node"]["ttl"] == 5).await;
    assert_eq!(beaten["node"]["nodes"][0]["modifiedIndex"], key["modifiedIndex"]);

    // What is lost is written again, be it the key or all of it.
    for lost in [format!("{WEB}/service"), format!("{WEB}?recursive=true")] {
        server.request(Method::DELETE, &lost, None).await;
        scene.passed("web");
        server.until(secs(2), WEB, has_value).await;
    }
    // The address is another one while the directory is there.
    scene.agent.do_send(CatalogCommand::Readdress(JobName::new("web"), [10, 9, 9, 9].into()));
    let moved = |reply: &Value| reply["node"]["nodes"][0]["value"].to_string().contains("10.9.9.9");
    server.until(secs(2), WEB, moved).await;

    let failed = Report::Failed { critical: true, reason: "the disk is full".to_owned() };
    scene.agent.do_send(CatalogCommand::News(JobName::new("web"), failed));
    server.until(secs(2), WEB, is_missing).await;
    scene.passed("web");
    server.until(secs(2), WEB, has_value).await;
    let (recipient, mut finished) = probe::<CatalogFinished>();
    scene.agent.do_send(CatalogCommand::Finish(recipient));
    finished.next(secs(2)).await;
    assert!(is_missing(&server.request(Method::GET, WEB, None).await));
}

#[actix::test]
async fn a_watch_looks_once_an_interval() {
    let folder = Folder::new("polls");
    let server = Etcd::alone(&folder, &[]).await;
    let (scene, mut told) = scene_of(&old(&server));
    let mut watching = scene.watch(&watch("db"));
    for (id, port) in [("db-1", 1), ("db-2", 2)] {
        let value = json!({"id": id, "name": "db", "address": "10.0.0.1", "port": port, "tags": null}).to_string();
        let form = format!("value={}", value.replace('"', "%22"));
        server.request(Method::PUT, &format!("/v2/keys/containerpilot/db/{id}/service"), Some(form)).await;
        while watching.event(secs(5)).await.code != EventCode::StatusHealthy {}
    }
    assert_eq!(watching.variable().map(|(_, list)| list).as_deref(), Some("10.0.0.1:1,10.0.0.1:2"));
    let junk = Some("value=junk".to_owned());
    server.request(Method::PUT, "/v2/keys/containerpilot/db/junk/service", junk).await;
    told.until(secs(5), "no instance, skipped key=/containerpilot/db/junk/service").await;
    assert!(watching.is_quiet());
    server.request(Method::DELETE, "/v2/keys/containerpilot/db?recursive=true", None).await;
    while watching.event(secs(5)).await.code != EventCode::StatusUnhealthy {}
}

#[actix::test]
async fn a_server_without_api_2_is_no_empty_catalog() {
    let folder = Folder::new("no-api2");
    let server = Etcd::alone(&folder, &["--enable-v2=false"]).await;
    let (scene, mut told) = scene_of(&old(&server));
    scene.watch(&watch("db"));
    let says = told.until(secs(5), "etcd refuses a request").await;
    assert!(says.contains("404"), "{says}");
}

/// A version 2 config says nothing of the API: 2.7 spoke API 2, we speak API 3.
#[actix::test]
async fn entries_of_api_2_are_warned_of_once_unless_an_api_was_chosen() {
    const WARNING: &str = "etcd has entries of its API 2 at `/containerpilot`";
    let folder = Folder::new("both-apis");
    let server = Etcd::alone(&folder, &[]).await;
    let unsaid = EtcdSpec { warns_of_api2: true, ..server.spec() };
    let (scene, mut told) = scene_of(&unsaid);
    scene.agent.do_send(CatalogCommand::Advertise(service("web")));
    scene.passed("web");
    // What is registered by API 3 is no entry of API 2.
    told.until(secs(5), "Service registered: web").await;
    drop(scene);
    server.request(Method::PUT, &format!("{WEB}/service"), Some("value=x".to_owned())).await;
    let (_chosen, mut silent) = scene_of(&server.spec());
    let (_scene, mut warned) = scene_of(&unsaid);
    let line = warned.until(secs(5), WARNING).await;
    assert!(line.contains("`api: 2` finds them"), "{line}");
    assert_eq!((told.with(WARNING).len(), silent.with(WARNING).len(), warned.with(WARNING).len()), (0, 0, 1));
}
