//! Few connections: what Consul allows an address is shared by all containers on the host's network.

use std::time::Duration;

use containerpilot_actors::messages::CatalogCommand;
use containerpilot_actors::spec::WatchSpec;
use containerpilot_actors::testing::{consul, millis, secs, service, watch};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::server::{Consul, Folder, free_ports, scene_of};

fn is_passing(found: &Value) -> bool {
    !found[0].is_null()
}

#[actix::test]
async fn services_come_before_watches_and_watches_take_turns() {
    let folder = Folder::new("limits");
    let [http] = free_ports();
    let server = Consul::dev_at(&folder, http, "limits { http_max_conns_per_client = 8 }");
    server.until_led().await;
    let scene = scene_of(&consul(&server.address()));
    let mut watching: Vec<_> =
        (0..20).map(|n| scene.watch(&WatchSpec { interval: secs(1), ..watch(&format!("db-{n}")) })).collect();
    // The watches have all connections by now.
    actix::clock::sleep(millis(300)).await;
    scene.agent.do_send(CatalogCommand::Advertise(service("web")));
    scene.passed("web");
    server.until(secs(10), "/v1/health/service/web?passing=1", is_passing).await;
    for n in 0..20 {
        let instance = json!({"ID": format!("db-{n}"), "Service": format!("db-{n}"), "Port": n + 1});
        server.put("/v1/catalog/register", json!({"Node": "x", "Address": "10.0.0.7", "Service": instance})).await;
    }
    for watching in &mut watching {
        watching.event(secs(20)).await;
    }
    let errors = scene.status().await.requests["heartbeat"].errors;
    for _ in 0..10 {
        scene.passed("web");
        actix::clock::sleep(millis(200)).await;
    }
    assert_eq!(scene.status().await.requests["heartbeat"].errors, errors, "its connection is its own");
}

#[actix::test]
async fn a_server_that_wants_to_be_left_alone_is() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let scene = scene_of(&consul(&listener.local_addr().expect("it is bound").to_string()));
    let _watching = scene.watch(&watch("db"));
    let mut times = Vec::new();
    for head in [
        "Retry-After: 3\r\n",
        "Date: Sat, 28 Nov 2026 01:00:00 GMT\r\nRetry-After: Sat, 28 Nov 2026 01:00:03 GMT\r\n",
        "Retry-After: soon\r\n",
    ] {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        times.push(actix::clock::Instant::now());
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).await.expect("a request") > 0);
        let reply = format!("HTTP/1.1 429 Too Many Requests\r\nConnection: close\r\n{head}Content-Length: 0\r\n\r\n");
        stream.write_all(reply.as_bytes()).await.expect("a connection");
    }
    let pauses: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.iter().all(|pause| *pause >= secs(3)), "{pauses:?}");
}
