//! What is made of answers that no agent of the tests gives: those of newer versions, and of what stands before an agent.

use containerpilot_actors::catalog::InstanceSource;
use containerpilot_actors::spec::CatalogSpec;
use containerpilot_actors::testing::{consul, millis, watch};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::scene::Scene;
use crate::server::scene_of;

const DB: &str = r#"[{"Service": {"Address": "10.0.0.1", "Port": 1}}]"#;

fn answer(headers: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// The first line of the next request.
async fn request(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await.expect("a connection") == 0 {
            return String::new();
        }
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned()
}

async fn server() -> (TcpListener, Scene) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let scene = scene_of(&consul(&listener.local_addr().expect("it is bound").to_string()));
    (listener, scene)
}

#[actix::test]
async fn a_blocking_query_that_is_sent_again_has_no_index() {
    let (listener, scene) = server().await;
    let mut source: Box<dyn InstanceSource> = scene.source(&watch("db"));
    let served = async {
        let (mut first, _) = listener.accept().await.expect("a connection");
        assert!(!request(&mut first).await.contains("index="));
        first.write_all(answer("X-Consul-Index: 39\r\n", "[]").as_bytes()).await.expect("a connection");
        assert!(request(&mut first).await.contains("index=39"));
        drop(first);
        let (mut second, _) = listener.accept().await.expect("a connection");
        let asked = request(&mut second).await;
        second.write_all(answer("X-Consul-Index: 7\r\n", DB).as_bytes()).await.expect("a connection");
        asked
    };
    let asked = async {
        assert_eq!(source.ask(None).await.expect("an answer").index, Some(39));
        source.ask(Some(39)).await.expect("an answer")
    };
    let (line, found) = tokio::join!(served, asked);
    assert!(!line.contains("index="), "{line}");
    assert_eq!((found.index, found.instances.len()), (Some(7), 1));
}

#[actix::test]
async fn an_index_is_sent_on_the_connection_it_came_from_or_after_another_look() {
    let (listener, scene) = server().await;
    let mut source = scene.source(&watch("db"));
    let served = async {
        let mut lines = Vec::new();
        // No connection is kept.
        for index in [39, 39, 39, 7] {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            lines.push(request(&mut stream).await.contains("index="));
            let headers = format!("Connection: close\r\nX-Consul-Index: {index}\r\n");
            stream.write_all(answer(&headers, "[]").as_bytes()).await.expect("a connection");
        }
        lines
    };
    let asked = async {
        source.ask(None).await.expect("an answer");
        assert_eq!(source.ask(Some(39)).await.expect("an answer").index, Some(39));
        source.ask(Some(39)).await.expect("an answer").index
    };
    let (lines, index) = tokio::join!(served, asked);
    assert_eq!((lines, index), (vec![false, false, true, false], Some(7)));
}

#[actix::test]
async fn an_early_answer_without_news_is_followed_by_a_query_without_an_index() {
    let (listener, scene) = server().await;
    let mut source = scene.source(&watch("db"));
    let served = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        request(&mut stream).await;
        stream.write_all(answer("X-Consul-Index: 39\r\n", "[]").as_bytes()).await.expect("a connection");
        assert!(request(&mut stream).await.contains("index=39"));
        actix::clock::sleep(millis(1500)).await;
        stream.write_all(answer("X-Consul-Index: 39\r\n", "[]").as_bytes()).await.expect("a connection");
        let asked = request(&mut stream).await;
        stream.write_all(answer("X-Consul-Index: 39\r\n", DB).as_bytes()).await.expect("a connection");
        asked
    };
    let asked = async {
        source.ask(None).await.expect("an answer");
        source.ask(Some(39)).await
    };
    let (line, found) = tokio::join!(served, asked);
    assert!(!line.contains("index="), "{line}");
    assert_eq!(found.expect("an answer").instances.len(), 1);
}

#[actix::test]
async fn nothing_of_a_server_without_a_leader_is_no_answer() {
    let (listener, scene) = server().await;
    let mut source = scene.source(&watch("db"));
    let served = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        for body in ["[]", DB] {
            request(&mut stream).await;
            let stale = answer("X-Consul-KnownLeader: false\r\nX-Consul-Index: 1\r\n", body);
            stream.write_all(stale.as_bytes()).await.expect("a connection");
        }
    };
    let asked = async { (source.ask(None).await, source.ask(None).await) };
    let ((), (nothing, something)) = tokio::join!(served, asked);
    let error = nothing.expect_err("no news").to_string();
    assert!(error.contains("knows no leader"), "{error}");
    assert_eq!(something.expect("an old answer is better than none").instances.len(), 1);
}

#[actix::test]
async fn what_a_token_hides_is_warned_of_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let (log, warnings) = crate::server::warnings();
    let spec = CatalogSpec::Consul(consul(&listener.local_addr().expect("it is bound").to_string()));
    let scene = Scene::new(&spec, &log);
    let mut source = scene.source(&watch("db"));
    let served = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        for _ in 0..3 {
            request(&mut stream).await;
            let hidden = answer("X-Consul-Results-Filtered-By-ACLs: true\r\n", "[]");
            stream.write_all(hidden.as_bytes()).await.expect("a connection");
        }
    };
    let asked = async {
        for _ in 0..3 {
            source.ask(None).await.expect("an answer");
        }
    };
    tokio::join!(served, asked);
    let told: Vec<String> = warnings.try_iter().collect();
    assert_eq!(told.iter().filter(|text| text.contains("the token is not allowed")).count(), 1, "{told:?}");
}
