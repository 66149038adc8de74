use containerpilot_actors::event::EventCode;
use containerpilot_actors::messages::{CatalogCommand, CatalogFinished};
use containerpilot_actors::spec::{WatchSpec, ZooKeeperSpec};
use containerpilot_actors::testing::{probe, secs, watch, zookeeper};
use serde_json::json;

use crate::proxy::Line;
use crate::scene::{Folder, Scene, free_ports};
use crate::server::{LIMIT, Part, Server, connect, service};

fn log() -> slog::Logger {
    slog::Logger::root(slog::Discard, slog::o!())
}

#[actix::test]
async fn after_an_expired_session_all_is_made_and_watched_again() {
    let part = Part::shared().await;
    let line = Line::to(part.spec.hosts[0].1).await;
    let spec = ZooKeeperSpec { prefix: part.spec.prefix.clone(), session_timeout: secs(1), ..zookeeper(&[line.port]) };
    let through = Part { client: connect(&part.spec, None).await, spec };
    let scene = Scene::new(&through.catalog(), &log());
    scene.agent.do_send(CatalogCommand::AdvertiseAlways(service("web")));
    let mut watching = scene.watch(&WatchSpec { interval: secs(1), ..watch("db") });
    let first = part.until_there(LIMIT, "web/web-host").await;
    part.put("db-1", 1, json!([])).await;
    assert_eq!(watching.event(LIMIT).await.code, EventCode::StatusChanged);
    assert_eq!(watching.event(LIMIT).await.code, EventCode::StatusHealthy);

    line.cut_until(async || part.node("web/web-host").await.is_none()).await;
    let again = part.until_there(LIMIT, "web/web-host").await;
    assert!(again.owner != first.owner && again.value == first.value, "{first:?}, {again:?}");
    assert!(watching.is_quiet(), "not to reach the store is no change");
    part.put("db-1", 2, json!([])).await;
    assert_eq!(watching.event(LIMIT).await.code, EventCode::StatusChanged);
}

#[actix::test]
async fn a_restarted_server_finds_all_as_it_was() {
    let folder = Folder::new("zookeeper-restart");
    let [port] = free_ports();
    let mut server = Server::start(&folder, port);
    let part = Part::whole(&server).await;
    // Longer than a restart takes.
    let spec = ZooKeeperSpec { session_timeout: secs(20), ..part.spec.clone() };
    let part = Part { spec, ..part };
    let scene = Scene::new(&part.catalog(), &log());
    scene.agent.do_send(CatalogCommand::AdvertiseAlways(service("web")));
    let mut watching = scene.watch(&watch("db"));
    let first = part.until_there(LIMIT, "web/web-host").await;
    server.kill();
    let server = Server::start(&folder, port);
    server.until_serving().await;
    assert_eq!(part.node("web/web-host").await, Some(first), "the same node of the same session");
    part.put("db-1", 1, json!([])).await;
    assert_eq!(watching.event(LIMIT).await.code, EventCode::StatusChanged);
}

#[actix::test]
async fn a_server_that_comes_late_is_told_all() {
    let folder = Folder::new("zookeeper-late");
    let [nobody, port] = free_ports();
    let spec = zookeeper(&[nobody, port]);
    let catalog = containerpilot_actors::spec::CatalogSpec::ZooKeeper(spec.clone());
    let scene = Scene::new(&catalog, &log());
    scene.agent.do_send(CatalogCommand::Advertise(service("web")));
    scene.passed("web");
    let mut watching = scene.watch(&watch("db"));
    let server = Server::start(&folder, port);
    server.until_serving().await;
    let part = Part::of(spec).await;
    part.until_there(LIMIT, "web/web-host").await;
    part.put("db-1", 1, json!([])).await;
    assert_eq!(watching.event(LIMIT).await.code, EventCode::StatusChanged);
}

#[actix::test]
async fn the_end_does_not_wait_for_servers_that_are_away() {
    let [nobody] = free_ports();
    let catalog = containerpilot_actors::spec::CatalogSpec::ZooKeeper(zookeeper(&[nobody]));
    let scene = Scene::new(&catalog, &log());
    scene.agent.do_send(CatalogCommand::Advertise(service("web")));
    scene.passed("web");
    actix::clock::sleep(secs(1)).await;
    let (recipient, mut finished) = probe::<CatalogFinished>();
    scene.agent.do_send(CatalogCommand::Finish(recipient));
    finished.next(LIMIT).await;
}
