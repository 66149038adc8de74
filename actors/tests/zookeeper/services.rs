use containerpilot_actors::event::{EventCode, JobName};
use containerpilot_actors::messages::{CatalogCommand, CatalogFinished};
use containerpilot_actors::policy::job::Report;
use containerpilot_actors::spec::{InitialStatus, ServiceSpec, ZooKeeperSpec};
use containerpilot_actors::testing::{millis, probe, secs, watch};
use serde_json::json;
use zookeeper_client::{Acls, CreateMode, Error};

use crate::scene::Scene;
use crate::server::{LIMIT, Part, connect, service};

fn log() -> slog::Logger {
    slog::Logger::root(slog::Discard, slog::o!())
}

fn failed(critical: bool) -> CatalogCommand {
    CatalogCommand::News(JobName::new("web"), Report::Failed { critical, reason: "the disk is full".to_owned() })
}

#[actix::test]
async fn a_service_is_one_ephemeral_node_for_as_long_as_it_is_well() {
    let part = Part::shared().await;
    let scene = Scene::new(&part.catalog(), &log());
    let spec = ServiceSpec { tags: vec!["a b".to_owned(), "ü".to_owned()], ..service("web") };
    scene.agent.do_send(CatalogCommand::Advertise(spec));
    scene.passed("web");
    let first = part.until_there(LIMIT, "web/web-host").await;
    let want = json!({"id": "web-host", "name": "web", "address": "10.1.2.3", "port": 8000, "tags": ["a b", "ü"]});
    assert_eq!(first.value, want);
    assert_ne!(first.owner, 0);
    assert_eq!(part.node("web").await.map(|node| node.owner), Some(0), "what is above stays");
    for _ in 0..3 {
        scene.passed("web");
        actix::clock::sleep(millis(100)).await;
    }
    assert_eq!(part.node("web/web-host").await.as_ref(), Some(&first), "written once");

    scene.agent.do_send(failed(true));
    part.until_gone(LIMIT, "web/web-host").await;
    scene.passed("web");
    part.until_there(LIMIT, "web/web-host").await;

    let (recipient, mut finished) = probe::<CatalogFinished>();
    scene.agent.do_send(CatalogCommand::Finish(recipient));
    finished.next(LIMIT).await;
    assert_eq!(part.node("web/web-host").await, None);
}

#[actix::test]
async fn a_service_that_is_no_longer_well_vanishes_when_its_ttl_is_over() {
    let part = Part::shared().await;
    let scene = Scene::new(&part.catalog(), &log());
    scene.agent.do_send(CatalogCommand::Advertise(ServiceSpec { ttl: secs(3), ..service("web") }));
    scene.agent.do_send(CatalogCommand::AdvertiseAlways(service("app")));
    scene.passed("web");
    let app = part.until_there(LIMIT, "app/app-host").await;
    let web = part.until_there(LIMIT, "web/web-host").await;
    scene.agent.do_send(failed(false));
    assert_eq!(part.node("web/web-host").await, Some(web), "one failure is none");
    part.until_gone(LIMIT, "web/web-host").await;
    scene.passed("web");
    part.until_there(LIMIT, "web/web-host").await;
    assert_eq!(part.node("app/app-host").await, Some(app));
}

#[actix::test]
async fn a_node_that_was_removed_is_made_again() {
    let part = Part::shared().await;
    let scene = Scene::new(&part.catalog(), &log());
    scene.agent.do_send(CatalogCommand::Advertise(service("web")));
    scene.passed("web");
    let first = part.until_there(LIMIT, "web/web-host").await;
    part.delete("web/web-host").await;
    scene.passed("web");
    let again = part.until_there(LIMIT, "web/web-host").await;
    assert!(again.made > first.made && again.value == first.value, "{first:?}, {again:?}");
}

#[actix::test]
async fn what_an_earlier_life_left_behind_goes_or_is_made_anew() {
    let part = Part::shared().await;
    let earlier = connect(&part.spec, None).await;
    let ephemeral = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
    let persistent = CreateMode::Persistent.with_acls(Acls::anyone_all());
    let value = br#"{"address": "10.1.2.3", "port": 8000}"#;
    for name in ["web", "app"] {
        earlier.mkdir(&part.path(name), &persistent).await.unwrap();
        earlier.create(&part.path(&format!("{name}/{name}-host")), value, &ephemeral).await.unwrap();
    }
    let scene = Scene::new(&part.catalog(), &log());
    scene.agent.do_send(CatalogCommand::Advertise(service("web")));
    part.until_gone(LIMIT, "web/web-host").await;
    let mut watching = scene.watch(&watch("app"));
    assert_eq!(watching.event(LIMIT).await.code, EventCode::StatusChanged);
    assert_eq!(watching.event(LIMIT).await.code, EventCode::StatusHealthy);
    scene.agent.do_send(CatalogCommand::Advertise(service("app")));
    scene.passed("app");
    let session = earlier.session_id().0;
    let ours = part.until(LIMIT, "app/app-host", |node| node.is_some_and(|node| node.owner != session)).await;
    actix::clock::sleep(millis(300)).await;
    assert!(watching.is_quiet(), "nobody sees it missing");
    let mut states = earlier.state_watcher();
    drop(earlier);
    while !states.changed().await.is_terminated() {}
    assert_eq!(part.node("app/app-host").await, ours, "it does not go with the earlier session");
}

#[actix::test]
async fn only_what_was_found_is_taken_out() {
    let part = Part::shared().await;
    let old = Scene::new(&part.catalog(), &log());
    old.agent.do_send(CatalogCommand::Advertise(service("web")));
    old.passed("web");
    let theirs = part.until_there(LIMIT, "web/web-host").await;
    // As in a reload that changes the catalog: who comes may be faster than who goes.
    let new = Scene::new(&part.catalog(), &log());
    new.agent.do_send(CatalogCommand::Advertise(ServiceSpec { port: 8001, ..service("web") }));
    new.passed("web");
    let ours = part.until(LIMIT, "web/web-host", |node| node.is_some_and(|node| node.owner != theirs.owner)).await;
    let (recipient, mut finished) = probe::<CatalogFinished>();
    old.agent.do_send(CatalogCommand::Finish(recipient));
    finished.next(LIMIT).await;
    assert_eq!(part.node("web/web-host").await, ours);
}

#[actix::test]
async fn a_new_address_is_told_at_once_in_the_same_node() {
    let part = Part::shared().await;
    let scene = Scene::new(&part.catalog(), &log());
    scene.agent.do_send(CatalogCommand::Advertise(service("web")));
    scene.passed("web");
    let first = part.until_there(LIMIT, "web/web-host").await;
    scene.agent.do_send(CatalogCommand::Readdress(JobName::new("web"), [10, 9, 9, 9].into()));
    let is_new = |address: &str| address == "10.9.9.9";
    let moved = part
        .until(LIMIT, "web/web-host", |node| {
            node.is_some_and(|node| node.value["address"].as_str().is_some_and(is_new))
        })
        .await;
    assert_eq!(moved.map(|node| node.made), Some(first.made));
}

#[actix::test]
async fn what_is_not_passing_is_not_registered() {
    let part = Part::shared().await;
    let scene = Scene::new(&part.catalog(), &log());
    let spec = ServiceSpec { initial_status: Some(InitialStatus::Warning), ..service("web") };
    scene.agent.do_send(CatalogCommand::Advertise(spec));
    let spec = ServiceSpec { initial_status: Some(InitialStatus::Passing), ..service("app") };
    scene.agent.do_send(CatalogCommand::Advertise(spec));
    part.until_there(LIMIT, "app/app-host").await;
    assert_eq!(part.node("web/web-host").await, None);
    scene.passed("web");
    part.until_there(LIMIT, "web/web-host").await;
    scene.agent.do_send(CatalogCommand::Maintenance(true));
    part.until_gone(LIMIT, "web/web-host").await;
    part.until_gone(LIMIT, "app/app-host").await;
    scene.agent.do_send(CatalogCommand::Maintenance(false));
    part.until_there(LIMIT, "app/app-host").await;
    assert_eq!(part.node("web/web-host").await, None);
}

#[actix::test]
async fn with_a_digest_all_belongs_to_that_user() {
    let part = Part::shared().await;
    let spec = ZooKeeperSpec { digest: Some("cp:s3cret".to_owned()), ..part.spec.clone() };
    let owner = Part { client: connect(&part.spec, Some("cp:s3cret")).await, spec };
    let scene = Scene::new(&owner.catalog(), &log());
    scene.agent.do_send(CatalogCommand::Advertise(service("web")));
    scene.passed("web");
    owner.until_there(LIMIT, "web/web-host").await;
    for path in [part.spec.prefix.clone(), part.path("web"), part.path("web/web-host")] {
        assert_eq!(part.client.get_data(&path).await.unwrap_err(), Error::NoAuth, "{path}");
    }
    assert_eq!(part.client.delete(&part.path("web/web-host"), None).await, Err(Error::NoAuth));
}
