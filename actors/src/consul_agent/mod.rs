//! How a Consul agent is asked: requests for services, and blocking queries for watches.
//!
//! Not here: when to ask (`catalog::agent`, `policy`).

mod client;
pub(crate) mod wire;

use std::time::Duration;

use awc::http::Method;
use futures_core::future::LocalBoxFuture;

pub use client::ConsulClient;

use crate::catalog::client::Found;
pub use crate::catalog::client::{ClientError, TlsError};
use crate::catalog::{CatalogAgent, InstanceSource, Outcome, Registry, RequestError, patience};
use crate::http::percent_encode;
use crate::policy::service::{Answer, Request};
use crate::policy::watch;
use crate::spec::{ServiceSpec, WatchSpec};

/// How long Consul keeps a question if it has no news.
const WAIT: Duration = Duration::from_secs(60);
/// How long the answer may take: Consul spreads the ends of its waits by a sixteenth.
const PATIENCE: Duration = Duration::from_millis(60_000 + 60_000 / 16 + 5_000);

/// The services of this process in a Consul agent.
pub type ConsulAgent = CatalogAgent<ConsulClient>;

impl Registry for ConsulClient {
    const NAME: &'static str = "consul";
    /// Consul's hash of the entry that was last found to be as registered.
    type Memory = String;

    fn make(
        &self,
        spec: ServiceSpec,
        good_hash: Option<String>,
        request: Request,
    ) -> impl Future<Output = Outcome<String>> + 'static {
        make(self.clone(), spec, good_hash, request)
    }

    fn look_at_tls(&self) -> impl Future<Output = Option<Found>> + 'static {
        self.clone().look_at_tls()
    }
}

async fn make(client: ConsulClient, spec: ServiceSpec, good_hash: Option<String>, request: Request) -> Outcome<String> {
    let good_hash = good_hash.filter(|_| !matches!(request, Request::Register(_)));
    let id = percent_encode(&spec.id);
    let (method, path, body) = match &request {
        Request::Look => (Method::GET, format!("/v1/agent/service/{id}"), Ok(Vec::new())),
        Request::Register(status) => {
            (Method::PUT, "/v1/agent/service/register".to_owned(), wire::registration(&spec, *status))
        }
        Request::Heartbeat(status, output) => {
            let check = spec.check_id.as_ref().map_or_else(|| format!("service:{id}"), |check| percent_encode(check));
            (Method::PUT, format!("/v1/agent/check/update/{check}"), wire::update(*status, output))
        }
        Request::Deregister => (Method::PUT, format!("/v1/agent/service/deregister/{id}"), Ok(Vec::new())),
    };
    let body = body.expect("plain structs of text and numbers are always JSON");
    let (reply, hash) = match client.ask(method, &path, &body, patience(&spec)).await {
        Ok(found) => found,
        Err(error) => return Outcome::failed(error, good_hash),
    };
    let unknown = reply.status == 404 || (!reply.is_success() && says_unknown(&reply.text()));
    match request {
        Request::Register(_) if unknown => {}
        _ if unknown => return Outcome::of(Answer::Unknown, good_hash),
        Request::Look if reply.is_success() => {
            if hash.is_some() && hash == good_hash {
                return Outcome::of(Answer::Done, good_hash);
            }
            return match wire::is_as_registered(&reply.body, &spec) {
                Ok(true) => Outcome::of(Answer::Done, hash.or(good_hash)),
                Ok(false) => Outcome::of(Answer::Differs, good_hash),
                Err(cause) => {
                    Outcome::failed(RequestError::Broken(format!("the answer makes no sense: {cause}")), good_hash)
                }
            };
        }
        Request::Look | Request::Register(_) | Request::Heartbeat(..) | Request::Deregister => {}
    }
    if reply.is_success() {
        return Outcome::of(Answer::Done, good_hash);
    }
    Outcome::failed(reply.refusal(), good_hash)
}

/// Consul's words, of old versions with a 500 before them, for what it has never heard of.
fn says_unknown(text: &str) -> bool {
    ["does not have associated TTL", "Unknown check", "unknown check", "Unknown service", "unknown service"]
        .iter()
        .any(|words| text.contains(words))
}

/// Where a watch looks: a query that Consul answers when something is new.
#[derive(Debug)]
pub struct Watching {
    client: ConsulClient,
    /// Path and query of what is asked, without index.
    path: String,
}

impl Watching {
    /// Nothing is asked yet.
    pub fn new(client: ConsulClient, spec: &WatchSpec) -> Self {
        Self { client, path: path(spec) }
    }
}

impl InstanceSource for Watching {
    fn ask(&mut self, index: Option<u64>) -> LocalBoxFuture<'static, Result<watch::Answer, RequestError>> {
        let path = match index {
            Some(index) => format!("{}&index={index}&wait={}s", self.path, WAIT.as_secs()),
            None => self.path.clone(),
        };
        let client = self.client.clone();
        Box::pin(async move { client.instances(&path, PATIENCE).await })
    }
}

fn path(spec: &WatchSpec) -> String {
    let mut path = format!("/v1/health/service/{}?passing=1", percent_encode(&spec.service));
    for tag in &spec.tags {
        path.push_str(&format!("&tag={}", percent_encode(tag)));
    }
    if let Some(dc) = &spec.dc {
        path.push_str(&format!("&dc={}", percent_encode(dc)));
    }
    if spec.stale {
        path.push_str("&stale");
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> WatchSpec {
        crate::testing::watch("my-db")
    }

    #[test]
    fn tags_and_datacenter_are_asked_for() {
        assert_eq!(path(&spec()), "/v1/health/service/my-db?passing=1");
        let tags = vec!["pro d&1".to_owned(), "rw".to_owned()];
        let spec = WatchSpec { tags, dc: Some("dc2".to_owned()), stale: true, ..spec() };
        assert_eq!(path(&spec), "/v1/health/service/my-db?passing=1&tag=pro%20d%261&tag=rw&dc=dc2&stale");
    }
}
