use std::path::PathBuf;

use containerpilot_actors::consul_agent::{ClientError, ConsulClient, TlsError};
use containerpilot_actors::event::EventCode;
use containerpilot_actors::messages::CatalogCommand;
use containerpilot_actors::spec::{ConsulSpec, TlsSpec};
use containerpilot_actors::testing::{consul, secs, service, watch};
use serde_json::{Value, json};

use crate::scene::certificates;
use crate::server::{Consul, Folder, free_ports, scene_of};

fn is_passing(found: &Value) -> bool {
    !found[0].is_null()
}

#[actix::test]
async fn tls_with_client_certificates_and_acls() {
    let folder = Folder::new("security");
    certificates(folder.path(), "DNS:consul.test");
    let [http, https] = free_ports();
    let file = |name: &str| folder.path().join(name);
    let hcl = format!(
        r#"ports {{ https = {https} }} ca_file = "{0}/ca.crt" cert_file = "{0}/server.crt" key_file = "{0}/server.key"
           verify_incoming_https = true
           acl {{ enabled = true default_policy = "deny" tokens {{ master = "root-token" agent = "root-token" }} }}"#,
        folder.path().display()
    );
    let server = Consul::dev_at(&folder, http, &hcl);
    server.until_led().await;

    let pair = Some((file("client.crt"), file("client.key")));
    let tls = TlsSpec {
        ca_file: Some(file("ca.crt")),
        client: pair.clone(),
        server_name: Some("consul.test".to_owned()),
        ..TlsSpec::default()
    };
    let spec = ConsulSpec { https: true, tls: tls.clone(), ..consul(&format!("127.0.0.1:{https}")) };

    // Whoever lacks one of the four things is not let in, and the token reaches nobody who is not trusted.
    let token = Some("root-token".to_owned());
    let lacking = [
        ("token", ConsulSpec { ..spec.clone() }),
        (
            "certificate",
            ConsulSpec { token: token.clone(), tls: TlsSpec { client: None, ..tls.clone() }, ..spec.clone() },
        ),
        (
            "name",
            ConsulSpec { token: token.clone(), tls: TlsSpec { server_name: None, ..tls.clone() }, ..spec.clone() },
        ),
        (
            "authority",
            ConsulSpec {
                token: token.clone(),
                tls: TlsSpec { ca_file: Some(file("other.crt")), ..tls.clone() },
                ..spec.clone()
            },
        ),
    ];
    for (name, spec) in &lacking {
        let scene = scene_of(spec);
        scene.agent.do_send(CatalogCommand::Advertise(service(name)));
        scene.passed(name);
    }
    actix::clock::sleep(secs(2)).await;
    for (name, _) in &lacking {
        let found = server.get(&format!("/v1/catalog/service/{name}")).await;
        assert_eq!(found, json!([]), "without {name}");
    }

    // A token that was refused is read again.
    std::fs::write(file("token"), "not yet\n").expect("the folder is ours");
    let scene = scene_of(&ConsulSpec { token_file: Some(file("token")), ..spec.clone() });
    scene.agent.do_send(CatalogCommand::Advertise(service("web")));
    scene.passed("web");
    let mut watching = scene.watch(&watch("web"));
    actix::clock::sleep(secs(1)).await;
    assert_eq!(server.get("/v1/catalog/service/web").await, json!([]));
    std::fs::write(file("token"), "root-token\n").expect("the folder is ours");
    server.until(secs(5), "/v1/health/service/web?passing=1", is_passing).await;
    assert_eq!(watching.event(secs(5)).await.code, EventCode::StatusChanged);

    // Who must not be verified is not.
    let blind = TlsSpec { verify: false, ca_file: None, server_name: None, client: pair, ca_path: None };
    let scene = scene_of(&ConsulSpec { token, tls: blind, ..spec });
    scene.agent.do_send(CatalogCommand::Advertise(service("blind")));
    scene.passed("blind");
    server.until(secs(5), "/v1/health/service/blind?passing=1", is_passing).await;
}

#[actix::test]
async fn files_that_cannot_be_used_are_refused() {
    let folder = Folder::new("files");
    certificates(folder.path(), "DNS:consul.test");
    let file = |name: &str| folder.path().join(name);
    let nothing: Option<PathBuf> = None;
    let refused = |ca_file, client| {
        let tls = TlsSpec { ca_file, client, ..TlsSpec::default() };
        let spec = ConsulSpec { https: true, tls, ..consul("127.0.0.1:1") };
        ConsulClient::new(&spec, &slog::Logger::root(slog::Discard, slog::o!())).expect_err("the files cannot be used")
    };
    let missing = refused(Some(file("nosuch")), None);
    assert!(matches!(missing, ClientError::Tls(TlsError::Read { .. })), "{missing}");
    let empty = refused(Some(file("ca.key")), None);
    assert!(matches!(empty, ClientError::Tls(TlsError::Nothing { .. })), "{empty}");
    let strangers = refused(nothing, Some((file("client.crt"), file("ca.key"))));
    assert!(matches!(strangers, ClientError::Tls(TlsError::Unusable { .. })), "{strangers}");
}
