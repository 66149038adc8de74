//! How a Consul agent is asked: requests for services, and blocking queries for watches.
//!
//! Not here: when to ask (`catalog::agent`, `policy`).

mod client;
mod waits;
pub(crate) mod wire;

use std::cell::Cell;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::rc::Rc;
use std::time::Duration;

use actix::clock::Instant;
use awc::http::Method;
use futures_core::future::LocalBoxFuture;
use slog::{Logger, o, warn};

pub use client::ConsulClient;
use client::Instances;

use crate::catalog::client::Found;
pub use crate::catalog::client::{ClientError, TlsError};
use crate::catalog::{CatalogAgent, InstanceSource, Outcome, Registry, RequestError, patience};
use crate::http::percent_encode;
use crate::policy::service::{Answer, Request};
use crate::policy::watch;
use crate::spec::{ServiceSpec, WatchSpec};

/// How long Consul keeps a question if it has no news.
const WAIT: Duration = Duration::from_secs(60);
/// The same for the first time: Consul (1.8.7) counts the connection of a question that was given up until its time is over, and at the
/// start it is not known yet whether there are enough connections.
const FIRST_WAIT: Duration = Duration::from_secs(3);
/// The same while there are too few.
const CROWDED_WAIT: Duration = Duration::from_secs(10);
/// Consul waits no less than it is asked to. An answer without news is early if it comes before that, with this to spare.
const SPARE: Duration = Duration::from_secs(1);
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
#[derive(Clone, Debug)]
pub struct Watching {
    client: ConsulClient,
    /// Path and query of what is asked, without index.
    path: Rc<str>,
    /// Whether it has been told that the token does not see everything.
    warned: Rc<Cell<bool>>,
    /// Whether this is not the first wait.
    has_waited: Rc<Cell<bool>>,
    /// A hash of the instances of the last answer.
    seen: Rc<Cell<u64>>,
    log: Logger,
}

impl Watching {
    /// Nothing is asked yet.
    pub fn new(client: ConsulClient, spec: &WatchSpec, log: &Logger) -> Self {
        let log = log.new(o!("watch" => spec.name.to_string()));
        Self {
            client,
            path: path(spec).into(),
            warned: Rc::default(),
            has_waited: Rc::default(),
            seen: Rc::default(),
            log,
        }
    }

    /// What there is now.
    async fn look(&self) -> Result<watch::Answer, RequestError> {
        let found = self.client.instances(&self.path, PATIENCE).await?;
        Ok(self.saw(found))
    }

    /// The same, without an index if there is no place to wait for the next one: then it is asked for again after an interval.
    async fn look_again_later(&self) -> Result<watch::Answer, RequestError> {
        let answer = self.look().await?;
        let index = answer.index.filter(|_| self.client.has_place());
        Ok(watch::Answer { index, ..answer })
    }

    /// Waits for news. The index counts only where it is from: a snapshot may have been restored, the agent may have begun anew, or a
    /// balancer may have sent us to another cluster. Then the wait for an index that has never been could last for its whole time.
    async fn wait(&self, index: u64) -> Result<watch::Answer, RequestError> {
        let wait = match (self.client.is_crowded(), self.has_waited.replace(true)) {
            (true, _) => CROWDED_WAIT,
            (false, false) => FIRST_WAIT,
            (false, true) => WAIT,
        };
        let path = format!("{}&index={index}&wait={}s", self.path, wait.as_secs());
        let (before, began) = (self.seen.get(), Instant::now());
        if let Some(found) = self.client.news(&path, PATIENCE).await? {
            let answer = self.saw(found);
            // Without news an early answer proves nothing.
            let is_early = (watch::BLOCKS..wait - SPARE).contains(&began.elapsed());
            return if is_early && answer.index == Some(index) { self.look().await } else { Ok(answer) };
        }
        let answer = self.look().await?;
        if answer.index != Some(index) || self.seen.get() != before {
            return Ok(answer);
        }
        // It is as it was. Where no connection is kept, each wait begins like this.
        let found = self.client.instances(&path, PATIENCE).await?;
        Ok(self.saw(found))
    }

    fn saw(&self, found: Instances) -> watch::Answer {
        if found.filtered && !self.warned.replace(true) {
            warn!(self.log, "the token is not allowed to see all instances, so that some may be missing");
        }
        let mut hasher = DefaultHasher::new();
        found.answer.instances.hash(&mut hasher);
        self.seen.set(hasher.finish());
        found.answer
    }
}

impl InstanceSource for Watching {
    fn ask(&mut self, index: Option<u64>) -> LocalBoxFuture<'static, Result<watch::Answer, RequestError>> {
        let watching = self.clone();
        Box::pin(async move {
            let (Some(index), Some(place)) = (index, index.and_then(|_| watching.client.place())) else {
                return watching.look_again_later().await;
            };
            let answer = tokio::select! {
                answer = watching.wait(index) => answer?,
                () = place.is_lost() => {
                    drop(place);
                    return watching.look_again_later().await;
                }
            };
            // The next one in need of a place gets it; without an index it is asked for again after an interval.
            let index = answer.index.filter(|_| !place.give_back());
            Ok(watch::Answer { index, ..answer })
        })
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
