//! What becomes of certificates that are replaced, and which ones are taken.

use std::path::{Path, PathBuf};

use awc::http::Method;
use containerpilot_actors::consul_agent::{ClientError, ConsulClient};
use containerpilot_actors::messages::CatalogCommand;
use containerpilot_actors::spec::{ConsulSpec, TlsSpec};
use containerpilot_actors::testing::{consul, secs, service};
use serde_json::Value;

use crate::scene::{certificates, openssl};
use crate::server::{Consul, Folder, free_ports, scene_of};

fn is_passing(found: &Value) -> bool {
    !found[0].is_null()
}

fn log() -> slog::Logger {
    slog::Logger::root(slog::Discard, slog::o!())
}

/// A dev agent with TLS on a second port, with the certificate `server.crt` in `folder`.
fn agent(folder: &Folder, files: &Path, ports: [u16; 2], more: &str) -> Consul {
    let files = files.display();
    let hcl = format!(
        r#"ports {{ https = {} }} cert_file = "{files}/server.crt" key_file = "{files}/server.key" {more}"#,
        ports[1]
    );
    Consul::dev_at(folder, ports[0], &hcl)
}

fn copy(from: &Path, to: &Path, names: &[&str]) {
    for name in names {
        std::fs::copy(from.join(name), to.join(name)).expect("the folders are ours");
    }
}

#[actix::test]
async fn files_that_are_replaced_are_used_without_a_reload() {
    let folder = Folder::new("rotation");
    let [http, https] = free_ports();
    let sub = |name: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(&path).expect("the folder is ours");
        path
    };
    let (first, second, ours) = (sub("first"), sub("second"), sub("ours"));
    for files in [&first, &second] {
        certificates(files, "DNS:consul.test");
    }
    let names = ["ca.crt", "client.crt", "client.key"];
    copy(&first, &ours, &names);
    let asks = |files: &Path| format!(r#"ca_file = "{}/ca.crt" verify_incoming_https = true"#, files.display());
    let mut server = agent(&folder, &first, [http, https], &asks(&first));
    server.until_led().await;
    let tls = TlsSpec {
        ca_file: Some(ours.join("ca.crt")),
        client: Some((ours.join("client.crt"), ours.join("client.key"))),
        server_name: Some("consul.test".to_owned()),
        ..TlsSpec::default()
    };
    let scene = scene_of(&ConsulSpec { https: true, tls, ..consul(&format!("127.0.0.1:{https}")) });
    scene.agent.do_send(CatalogCommand::Advertise(service("web")));
    scene.passed("web");
    server.until(secs(5), "/v1/health/service/web?passing=1", is_passing).await;

    server.kill();
    let server = agent(&folder, &second, [http, https], &asks(&second));
    server.until_led().await;
    // Half of a pair is no reason to do without the other files.
    copy(&second, &ours, &["client.crt"]);
    scene.passed("web");
    actix::clock::sleep(secs(2)).await;
    let status = scene.status().await;
    let error = status.services.values().next().and_then(|service| service.error.clone()).expect("strangers");
    assert!(error.contains("the TLS files have changed: cannot use"), "{error}");
    copy(&second, &ours, &names);
    server.until(secs(10), "/v1/health/service/web?passing=1", is_passing).await;
}

/// What a client says that trusts this file.
async fn ask(https: u16, ca_file: Option<PathBuf>) -> Result<u16, String> {
    let tls = TlsSpec { ca_file, server_name: Some("consul.test".to_owned()), ..TlsSpec::default() };
    let spec = ConsulSpec { https: true, tls, ..consul(&format!("127.0.0.1:{https}")) };
    let client = ConsulClient::new(&spec, &log()).map_err(|cause| cause.to_string())?;
    let reply = client.ask(Method::GET, "/v1/status/leader", b"", secs(5)).await;
    reply.map(|(reply, _)| reply.status).map_err(|cause| cause.to_string())
}

/// Makes `server.crt` in the folder.
fn certificate(folder: &Path, key: &str, hash: &str, signed_by: Option<&str>) {
    let names = "-addext subjectAltName=DNS:consul.test";
    openssl(folder, &key.replace("KEY", "server.key"));
    let Some(authority) = signed_by else {
        openssl(
            folder,
            &format!("req -x509 -new -key server.key -{hash} -days 30 -subj /CN=consul {names} -out server.crt"),
        );
        return;
    };
    std::fs::write(folder.join("ext"), "subjectAltName=DNS:consul.test\n").expect("the folder is ours");
    openssl(folder, &authority.replace("KEY", "ca.key"));
    openssl(folder, &format!("req -x509 -new -key ca.key -{hash} -days 30 -subj /CN=ca -out ca.crt"));
    openssl(folder, "req -new -key server.key -subj /CN=consul -out server.csr");
    let sign = "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -extfile ext";
    openssl(folder, &format!("{sign} -{hash} -out server.crt"));
}

const P256: &str = "ecparam -name prime256v1 -genkey -noout -out KEY";
const P384: &str = "ecparam -name secp384r1 -genkey -noout -out KEY";
const P521: &str = "ecparam -name secp521r1 -genkey -noout -out KEY";
const RSA: &str = "genrsa -out KEY 2048";
const WEAK: &str = "genrsa -out KEY 1024";

#[actix::test]
async fn certificates_that_go_takes_are_taken() {
    for (number, (key, hash, authority)) in [
        (P256, "sha256", None),
        (RSA, "sha256", None),
        (P521, "sha512", None),
        (P256, "sha256", Some(P521)),
        (RSA, "sha512", Some(P521)),
        (P521, "sha384", Some(P521)),
        (P521, "sha256", Some(P256)),
        (P256, "sha512", Some(P256)),
        (P384, "sha512", Some(P384)),
    ]
    .into_iter()
    .enumerate()
    {
        let folder = Folder::new(&format!("kinds-{number}"));
        let [http, https] = free_ports();
        certificate(folder.path(), key, hash, authority);
        let server = agent(&folder, folder.path(), [http, https], "");
        server.until_led().await;
        let trusted = folder.path().join(if authority.is_some() { "ca.crt" } else { "server.crt" });
        assert_eq!(ask(https, Some(trusted)).await, Ok(200), "{key} {hash} {authority:?}");
        // A certificate that is trusted itself needs no authority.
        assert_eq!(ask(https, Some(folder.path().join("server.crt"))).await, Ok(200), "{key} {hash} {authority:?}");
    }
}

#[actix::test]
async fn an_error_says_what_to_do_and_nothing_that_is_done() {
    let folder = Folder::new("hints");
    certificates(folder.path(), "DNS:other.test");
    certificate(folder.path(), P256, "sha256", None);
    let [http, https] = free_ports();
    let server = agent(&folder, folder.path(), [http, https], "");
    server.until_led().await;
    let says = ask(https, None).await.unwrap_err();
    assert!(says.contains("`tls.cafile` has to hold this very certificate"), "{says}");
    let says = ask(https, Some(folder.path().join("ca.crt"))).await.unwrap_err();
    assert!(says.contains("`tls.cafile` has to hold this very certificate"), "{says}");
    // Signed by an authority.
    let signed = Folder::new("hints-signed");
    certificate(signed.path(), P256, "sha256", Some(P256));
    let [http, https_of_signed] = free_ports();
    let server = agent(&signed, signed.path(), [http, https_of_signed], "");
    server.until_led().await;
    let says = ask(https_of_signed, None).await.unwrap_err();
    assert!(says.contains("UnknownIssuer") && says.contains("`tls.cafile` names the authority to trust"), "{says}");
    let says = ask(https_of_signed, Some(folder.path().join("ca.crt"))).await.unwrap_err();
    assert!(says.contains("another key than that of the same name"), "{says}");
    let says = ask(https_of_signed, Some(folder.path().join("other.crt"))).await.unwrap_err();
    assert!(says.contains("no authority that `tls.cafile`") && !says.contains("trusts anybody"), "{says}");
    // Another certificate of the same name is another certificate.
    let other = Folder::new("hints-other");
    certificate(other.path(), P256, "sha256", None);
    let says = ask(https, Some(other.path().join("server.crt"))).await.unwrap_err();
    assert!(says.contains("`tls.cafile` has to hold this very certificate"), "{says}");
}

#[actix::test]
async fn keys_that_are_too_short_are_named_as_such() {
    for (number, (key, authority)) in [(WEAK, None), (RSA, Some(WEAK)), (WEAK, Some(RSA))].into_iter().enumerate() {
        let folder = Folder::new(&format!("weak-{number}"));
        let [http, https] = free_ports();
        certificate(folder.path(), key, "sha256", authority);
        let server = agent(&folder, folder.path(), [http, https], "");
        server.until_led().await;
        let trusted = folder.path().join(if authority.is_some() { "ca.crt" } else { "server.crt" });
        let says = ask(https, Some(trusted)).await.unwrap_err();
        assert!(says.contains("an RSA key of 1024 bits is too short, at least 2048"), "{key} {authority:?}: {says}");
    }
}

#[actix::test]
async fn a_client_key_that_cannot_sign_is_told_at_once() {
    let folder = Folder::new("client-keys");
    let file = |name: &str| folder.path().join(name);
    for (key, want) in [(WEAK, "1024 bits is too short"), (P521, "RSA from 2048 bits, ECDSA")] {
        certificate(folder.path(), key, "sha512", None);
        let client = Some((file("server.crt"), file("server.key")));
        let tls = TlsSpec { client, ..TlsSpec::default() };
        let spec = ConsulSpec { https: true, tls, ..consul("127.0.0.1:1") };
        let error = ConsulClient::new(&spec, &log()).expect_err("the key cannot be used");
        assert!(matches!(error, ClientError::Tls(_)) && error.to_string().contains(want), "{error}");
    }
}
