use containerpilot_actors::event::EventCode;
use containerpilot_actors::messages::{CatalogCommand, CatalogFinished};
use containerpilot_actors::testing::{consul, millis, probe, secs, service, watch};
use serde_json::{Value, json};

use crate::server::{Consul, Folder, free_ports, scene_of};

/// Three servers and one client agent, all of which know each other.
async fn cluster(folder: &Folder) -> (Vec<Consul>, Consul) {
    let mut servers: Vec<Consul> = Vec::new();
    for node in ["one", "two", "three", "client"] {
        let [http] = free_ports();
        let data = folder.path().join(node);
        let mut flags = vec![format!("-node={node}"), format!("-data-dir={}", data.display())];
        // Elections as fast as in dev mode; the default is meant for slow networks.
        flags.extend(["-hcl".to_owned(), "performance { raft_multiplier = 1 }".to_owned()]);
        if node != "client" {
            flags.extend(["-server".to_owned(), "-bootstrap-expect=3".to_owned()]);
        }
        flags.extend(servers.iter().map(|other| format!("-retry-join=127.0.0.1:{}", other.serf)));
        flags.push("-retry-interval=500ms".to_owned());
        servers.push(Consul::start(folder, http, &flags));
    }
    let client = servers.pop().expect("it was the last");
    client.until(secs(60), "/v1/catalog/nodes", |nodes| nodes.as_array().is_some_and(|nodes| nodes.len() == 4)).await;
    client.until_led().await;
    (servers, client)
}

fn is_passing(found: &Value) -> bool {
    !found[0].is_null()
}

#[actix::test]
async fn the_death_of_the_leader_changes_nothing_for_services_and_watches() {
    let folder = Folder::new("cluster");
    let (mut servers, client) = cluster(&folder).await;
    let scene = scene_of(&consul(&client.address()));
    scene.agent.do_send(CatalogCommand::Advertise(service("web")));
    scene.passed("web");
    client.until(secs(5), "/v1/health/service/web?passing=1", is_passing).await;
    let mut watching = scene.watch(&watch("web"));
    assert_eq!(watching.event(secs(5)).await.code, EventCode::StatusChanged);
    assert_eq!(watching.event(secs(5)).await.code, EventCode::StatusHealthy);

    let leader = client.get("/v1/status/leader").await;
    let leader = leader.as_str().expect("there is one").to_owned();
    let place = servers.iter().position(|server| leader.ends_with(&format!(":{}", server.server)));
    servers.remove(place.expect("one of the three leads")).kill();
    for _ in 0..20 {
        scene.passed("web");
        actix::clock::sleep(millis(500)).await;
    }
    let another = |found: &Value| found.as_str().is_some_and(|found| !found.is_empty() && found != leader);
    client.until(secs(30), "/v1/status/leader", another).await;
    assert!(watching.is_quiet(), "nothing has changed");
    client.until(secs(10), "/v1/health/service/web?passing=1", is_passing).await;

    // Changes are noticed again.
    let other = json!({"ID": "web-2", "Name": "web", "Address": "10.0.0.2", "Port": 80});
    client.put("/v1/agent/service/register", other).await;
    assert_eq!(watching.event(secs(15)).await.code, EventCode::StatusChanged);
    assert_eq!(watching.variable().map(|(_, list)| list), Some("10.0.0.2:80,10.1.2.3:8000".to_owned()));
    let (recipient, mut finished) = probe::<CatalogFinished>();
    scene.agent.do_send(CatalogCommand::Finish(recipient));
    finished.next(secs(1)).await;
    client
        .until(secs(10), "/v1/catalog/service/web", |found| found.as_array().is_some_and(|found| found.len() == 1))
        .await;
}
