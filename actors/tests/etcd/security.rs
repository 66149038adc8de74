use containerpilot_actors::catalog::{Beginning, Catalog};
use containerpilot_actors::event::EventCode;
use containerpilot_actors::messages::CatalogCommand;
use containerpilot_actors::spec::{CatalogSpec, EtcdApi, EtcdEndpoint, EtcdLogin, EtcdSpec, TlsSpec};
use containerpilot_actors::testing::{etcd, millis, secs, service, watch};
use serde_json::json;

use crate::scene::{Folder, certificates, free_ports};
use crate::server::{Etcd, scene_of};

fn login(password: &str) -> Option<EtcdLogin> {
    Some(EtcdLogin { username: "cp".to_owned(), password: password.to_owned() })
}

async fn root(server: &mut Etcd) {
    server.token = None;
    let reply = server.post("/v3/auth/authenticate", json!({"name": "root", "password": "r00t"})).await;
    server.token = reply["token"].as_str().map(str::to_owned);
}

#[actix::test]
async fn tokens_are_renewed_and_wrong_passwords_told_once() {
    let folder = Folder::new("users");
    let mut server = Etcd::alone(&folder, &["--auth-token-ttl=2"]).await;
    // Nobody asks yet who we are.
    let (scene, mut told) = scene_of(&EtcdSpec { login: login("s3cret"), ..server.spec() });
    scene.agent.do_send(CatalogCommand::Advertise(service("early")));
    scene.passed("early");
    server.until_keys(secs(5), |keys| keys.len() == 1).await;
    server.lock();
    root(&mut server).await;
    scene.passed("early");
    scene.agent.do_send(CatalogCommand::Advertise(service("late")));
    scene.passed("late");
    server.until_keys(secs(5), |keys| keys.len() == 2).await;
    let mut watching = scene.watch(&watch("late"));
    while watching.event(secs(5)).await.code != EventCode::StatusHealthy {}

    // Tokens lapse after two seconds, and are looked through once a second.
    actix::clock::sleep(secs(4)).await;
    assert_eq!(server.keys().await, [], "the token of the test has lapsed, too");
    root(&mut server).await;
    scene.passed("early");
    scene.passed("late");
    server.put("late", "another", 1, &[]).await;
    while watching.event(secs(5)).await.code != EventCode::StatusHealthy {}
    assert_eq!(told.with("refuses"), Vec::<String>::new());

    for stranger in [login("pa55word"), None] {
        let (scene, mut told) = scene_of(&EtcdSpec { login: stranger, ..server.spec() });
        scene.agent.do_send(CatalogCommand::Advertise(service("stranger")));
        scene.passed("stranger");
        let says = told.until(secs(5), "etcd refuses a request").await;
        assert!(says.contains("reason=400: etcdserver: ") && says.contains("user"), "{says}");
        for _ in 0..20 {
            scene.passed("stranger");
            actix::clock::sleep(millis(100)).await;
        }
        assert_eq!(told.with("refuses").len(), 1);
        assert!(told.with("pa55word").is_empty());
    }
}

#[actix::test]
async fn api_2_asks_for_a_user_with_each_request() {
    let folder = Folder::new("basic");
    let server = Etcd::alone(&folder, &[]).await;
    server.lock();
    let spec = EtcdSpec { api: EtcdApi::Two, login: login("s3cret"), ..server.spec() };
    let (scene, _told) = scene_of(&spec);
    scene.agent.do_send(CatalogCommand::Advertise(service("web")));
    let mut watching = scene.watch(&watch("web"));
    scene.passed("web");
    while watching.event(secs(5)).await.code != EventCode::StatusHealthy {}
    assert_eq!(watching.variable().map(|(_, list)| list).as_deref(), Some("10.1.2.3:8000"));

    let (scene, mut told) = scene_of(&EtcdSpec { login: login("wrong"), ..spec });
    scene.watch(&watch("web"));
    told.until(secs(5), "etcd refuses a request").await;
}

#[actix::test]
async fn tls_with_client_certificates() {
    let folder = Folder::new("tls");
    certificates(folder.path(), "IP:127.0.0.1");
    let [http, https] = free_ports();
    let file = |name: &str| folder.path().join(name);
    let flag = |name: &str, value: &str| format!("--{name}={}", file(value).display());
    let [peer] = free_ports();
    let flags = [
        format!("--listen-client-urls=http://127.0.0.1:{http},https://127.0.0.1:{https}"),
        flag("cert-file", "server.crt"),
        flag("key-file", "server.key"),
        flag("trusted-ca-file", "ca.crt"),
        "--client-cert-auth=true".to_owned(),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let cluster = format!("tls=http://127.0.0.1:{peer}");
    let mut server = Etcd::member(&folder, "tls", http, peer, &cluster, &flags);
    server.start().await;

    let tls = TlsSpec {
        ca_file: Some(file("ca.crt")),
        client: Some((file("client.crt"), file("client.key"))),
        ..TlsSpec::default()
    };
    let endpoints = vec![EtcdEndpoint { address: format!("127.0.0.1:{https}"), https: true }];
    let spec = EtcdSpec { endpoints, tls: tls.clone(), ..etcd(&[]) };
    let strangers = [
        TlsSpec { client: None, ..tls.clone() },
        TlsSpec { ca_file: Some(file("other.crt")), ..tls.clone() },
        TlsSpec { server_name: Some("etcd.test".to_owned()), ..tls.clone() },
    ];
    for tls in strangers {
        let (scene, mut told) = scene_of(&EtcdSpec { tls, ..spec.clone() });
        scene.agent.do_send(CatalogCommand::Advertise(service("stranger")));
        scene.passed("stranger");
        let says = told.until(secs(5), "etcd is away").await;
        assert!(says.to_lowercase().contains("certificate"), "{says}");
    }
    let (scene, _told) = scene_of(&spec);
    scene.agent.do_send(CatalogCommand::Advertise(service("web")));
    scene.passed("web");
    let mut watching = scene.watch(&watch("web"));
    while watching.event(secs(5)).await.code != EventCode::StatusHealthy {}
    let keys = server.keys().await;
    assert_eq!(keys.len(), 1, "{keys:?}");
}

#[actix::test]
async fn files_that_cannot_be_used_are_refused() {
    let endpoints = vec![EtcdEndpoint { address: "127.0.0.1:1".to_owned(), https: true }];
    let tls = TlsSpec { ca_file: Some("/nosuch".into()), ..TlsSpec::default() };
    let spec = CatalogSpec::Etcd(EtcdSpec { endpoints, tls, ..etcd(&[]) });
    let log = slog::Logger::root(slog::Discard, slog::o!());
    let beginning = Beginning { maintenance: false, inherited: false, log: &log, guard: None };
    let refused = Catalog::start(&spec, beginning).expect_err("there is no such file");
    assert!(refused.contains("cannot read `/nosuch`"), "{refused}");
}
