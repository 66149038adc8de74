//! The control socket and the telemetry port.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use containerpilot_actors::messages::ActorId;
use containerpilot_actors::spec::{ControlSpec, ServiceSpec, Spec, TelemetrySpec};
use containerpilot_actors::testing::{config, millis, secs};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::scene::{Scene, app};

async fn ask(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin), path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    if stream.write_all(request.as_bytes()).await.is_err() {
        return String::new();
    }
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer).await);
    String::from_utf8_lossy(&answer).into_owned()
}

async fn ping(socket: &Path) -> bool {
    let Ok(mut stream) = UnixStream::connect(socket).await else { return false };
    ask(&mut stream, "/v3/ping").await.starts_with("HTTP/1.1 200")
}

async fn scrape(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address).await else { return false };
    ask(&mut stream, "/metrics").await.contains("containerpilot_job")
}

async fn until_true<F: Future<Output = bool>>(scene: &mut Scene, mut holds: impl FnMut() -> F) {
    let deadline = actix::clock::Instant::now() + secs(15);
    while !holds().await {
        assert!(actix::clock::Instant::now() < deadline, "no answer");
        scene.tick().await;
    }
}

#[actix::test]
async fn the_control_socket_answers_again_and_no_job_notices() {
    let with_socket = |folder: &std::path::PathBuf| Spec {
        control: Some(ControlSpec { socket: folder.join("socket"), is_default: false }),
        ..config(vec![app("app")])
    };
    let mut scene = Scene::with("control", with_socket).await;
    let socket = scene.folder.join("socket");
    scene.lines("app", 1).await;
    for _ in 0..3 {
        until_true(&mut scene, || ping(&socket)).await;
        scene.panic(ActorId::Control);
        scene.settle().await;
    }
    until_true(&mut scene, || ping(&socket)).await;
    assert_eq!(scene.read("app"), "run\n");
    scene.panic(ActorId::Control);
    scene.ends_well().await;
    assert!(!socket.exists());
}

#[actix::test]
async fn telemetry_answers_again_and_no_job_notices() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let telemetry = TelemetrySpec {
        address,
        service: ServiceSpec { port: address.port(), ..ServiceSpec::new("containerpilot") },
        metrics: Vec::new(),
        must_listen: false,
        page: true,
        hosts: Vec::new(),
    };
    let with_port = |_: &std::path::PathBuf| Spec { telemetry: Some(telemetry), ..config(vec![app("app")]) };
    let mut scene = Scene::with("telemetry", with_port).await;
    scene.lines("app", 1).await;
    for _ in 0..3 {
        until_true(&mut scene, || scrape(address)).await;
        scene.panic(ActorId::Telemetry);
        scene.settle().await;
    }
    until_true(&mut scene, || scrape(address)).await;
    assert_eq!(scene.read("app"), "run\n");
    scene.panic(ActorId::Telemetry);
    scene.ends_well().await;
}

#[actix::test]
async fn addresses_are_followed_again() {
    let mut scene = Scene::new("addresses", vec![app("app")]).await;
    scene.lines("app", 1).await;
    for _ in 0..2 {
        scene.panic(ActorId::Addresses);
        scene.settle().await;
    }
    actix::clock::sleep(millis(150)).await;
    scene.reload(|spec| spec.jobs.push(app("web"))).await;
    scene.lines("web", 1).await;
    assert_eq!(scene.read("app"), "run\n");
    scene.ends_well().await;
}
