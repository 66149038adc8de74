use containerpilot_actors::event::JobName;
use containerpilot_actors::messages::{CatalogCommand, CatalogFinished, ServiceStatus};
use containerpilot_actors::policy::job::Report;
use containerpilot_actors::policy::service::Registration;
use containerpilot_actors::spec::{InitialStatus, ServiceSpec, TaggedAddress, Weights};
use containerpilot_actors::testing::{consul, probe, secs, service};

use crate::server::{Consul, Folder, free_ports, scene_of};

const CHECK: &str = "/v1/agent/checks";

fn status(checks: &serde_json::Value) -> &str {
    checks["service:web-host"]["Status"].as_str().unwrap_or("none")
}

#[actix::test]
async fn a_service_is_registered_heartbeaten_and_taken_out() {
    let folder = Folder::new("services");
    let server = Consul::dev(&folder);
    server.until_led().await;
    let scene = scene_of(&consul(&server.address()));
    let spec = ServiceSpec {
        tags: vec!["a b".to_owned(), "ü".to_owned()],
        deregister_critical_after: Some("10m".to_owned()),
        meta: vec![("version".to_owned(), "4".to_owned())],
        weights: Some(Weights { passing: 10, warning: 2 }),
        tagged_addresses: vec![("wan".to_owned(), TaggedAddress { address: "198.51.100.7".to_owned(), port: 81 })],
        ..service("web")
    };
    scene.agent.do_send(CatalogCommand::Advertise(spec));
    scene.passed("web");
    let checks = server.until(secs(5), CHECK, |checks| checks["service:web-host"]["Output"] == "ok").await;
    assert_eq!(status(&checks), "passing");
    let known = scene.status().await;
    let web = ServiceStatus { registration: Registration::Registered, error: None };
    assert_eq!((known.catalog, known.services.get("web")), ("consul", Some(&web)));
    assert!(!known.requests["register"].durations.is_empty() && known.requests["register"].errors == 0);
    let seen = server.get("/v1/agent/service/web-host").await;
    assert_eq!((&seen["Tags"][1], &seen["Meta"]["version"]), (&"ü".into(), &"4".into()));
    assert_eq!((&seen["Weights"]["Passing"], &seen["TaggedAddresses"]["wan"]["Port"]), (&10.into(), &81.into()));

    let failed = Report::Failed { critical: true, reason: "the disk is full".to_owned() };
    scene.agent.do_send(CatalogCommand::News(JobName::new("web"), failed));
    let checks = server.until(secs(2), CHECK, |checks| status(checks) == "critical").await;
    assert_eq!(checks["service:web-host"]["Output"], "the disk is full");
    scene.passed("web");
    server.until(secs(2), CHECK, |checks| status(checks) == "passing").await;

    let (recipient, mut finished) = probe::<CatalogFinished>();
    scene.agent.do_send(CatalogCommand::Finish(recipient));
    finished.next(secs(1)).await;
    assert_eq!(status(&server.get(CHECK).await), "none");
}

#[actix::test]
async fn what_was_lost_or_left_behind_is_mended() {
    let folder = Folder::new("lost");
    let [port] = free_ports();
    let mut server = Consul::dev_at(&folder, port, "");
    server.until_led().await;
    let left =
        serde_json::json!({"ID": "web-host", "Name": "web", "Port": 1, "Check": {"TTL": "60s", "Status": "passing"}});
    server.put("/v1/agent/service/register", left).await;
    let scene = scene_of(&consul(&server.address()));
    scene.agent.do_send(CatalogCommand::Advertise(service("web")));
    server.until(secs(2), CHECK, |checks| status(checks) == "none").await;
    scene.passed("web");
    server.until(secs(2), CHECK, |checks| status(checks) == "passing").await;

    // A heartbeat that is under way may mend it as well as the next one.
    server.put("/v1/agent/service/deregister/web-host", serde_json::json!({})).await;
    scene.passed("web");
    server.until(secs(2), CHECK, |checks| status(checks) == "passing").await;

    server.kill();
    scene.passed("web");
    let server = Consul::dev_at(&folder, port, "");
    server.until_led().await;
    server.until(secs(4), CHECK, |checks| status(checks) == "passing").await;
}

#[actix::test]
async fn maintenance_takes_out_and_initial_status_comes_back() {
    let folder = Folder::new("maintenance");
    let server = Consul::dev(&folder);
    server.until_led().await;
    let scene = scene_of(&consul(&server.address()));
    let spec = ServiceSpec { initial_status: Some(InitialStatus::Warning), ..service("web") };
    scene.agent.do_send(CatalogCommand::Advertise(spec));
    server.until(secs(2), CHECK, |checks| status(checks) == "warning").await;
    scene.agent.do_send(CatalogCommand::Maintenance(true));
    server.until(secs(2), CHECK, |checks| status(checks) == "none").await;
    scene.passed("web");
    scene.agent.do_send(CatalogCommand::Maintenance(false));
    server.until(secs(2), CHECK, |checks| status(checks) == "warning").await;
}

#[actix::test]
async fn the_end_does_not_wait_for_a_consul_that_is_away_and_has_nothing() {
    let [nobody] = free_ports();
    let scene = scene_of(&consul(&format!("127.0.0.1:{nobody}")));
    scene.agent.do_send(CatalogCommand::Advertise(service("web")));
    scene.passed("web");
    actix::clock::sleep(secs(1)).await;
    let known = scene.status().await;
    assert!(known.services["web"].error.as_ref().is_some_and(|error| error.contains("cannot connect")), "{known:?}");
    assert!(known.requests.values().any(|counts| counts.errors > 0));
    let (recipient, mut finished) = probe::<CatalogFinished>();
    scene.agent.do_send(CatalogCommand::Finish(recipient));
    finished.next(secs(1)).await;
}

#[actix::test]
async fn a_new_address_is_told_at_once() {
    let folder = Folder::new("address");
    let server = Consul::dev(&folder);
    server.until_led().await;
    let scene = scene_of(&consul(&server.address()));
    scene.agent.do_send(CatalogCommand::Advertise(service("web")));
    scene.passed("web");
    server.until(secs(2), "/v1/agent/service/web-host", |seen| seen["Address"] == "10.1.2.3").await;
    scene.agent.do_send(CatalogCommand::Readdress(JobName::new("web"), [10, 9, 9, 9].into()));
    server.until(secs(2), "/v1/agent/service/web-host", |seen| seen["Address"] == "10.9.9.9").await;
    assert_eq!(status(&server.get(CHECK).await), "passing");
}

#[actix::test]
async fn an_initial_status_counts_at_once_after_a_crash() {
    let folder = Folder::new("crash");
    let server = Consul::dev(&folder);
    server.until_led().await;
    let leftover = serde_json::json!({
        "ID": "web-host", "Name": "web", "Port": 8000, "Address": "10.1.2.3", "Check": {"TTL": "600s", "Status": "passing"},
    });
    server.put("/v1/agent/service/register", leftover).await;
    server.until(secs(2), CHECK, |checks| status(checks) == "passing").await;
    let scene = scene_of(&consul(&server.address()));
    let spec = ServiceSpec { initial_status: Some(InitialStatus::Critical), ttl: secs(600), ..service("web") };
    scene.agent.do_send(CatalogCommand::Advertise(spec));
    server.until(secs(2), CHECK, |checks| status(checks) == "critical").await;
    scene.passed("web");
    server.until(secs(2), CHECK, |checks| status(checks) == "passing").await;
}
