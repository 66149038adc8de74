//! How etcd is asked: a service that is well has an entry that lapses without heartbeats, any other service has none.
//!
//! Not here: when to ask (`catalog::agent`, `policy`).

mod api2;
mod api3;
mod client;
pub(crate) mod wire;

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use actix::clock::Instant;
use futures_core::future::LocalBoxFuture;
use slog::{Logger, debug, o, warn};

pub use client::{EtcdClient, Life};

use crate::catalog::client::Found;
use crate::catalog::{CatalogAgent, InstanceSource, Outcome, Registry, RequestError, patience};
use crate::policy::service::{Answer, Request, Status};
use crate::policy::watch;
use crate::spec::{EtcdApi, ServiceSpec, WatchSpec};

/// How long a reading may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// However long a watch's interval is, a stream is not trusted for longer than this without a reading, nor for less than
/// that: a server that hangs, or has lost its cluster, says nothing.
const TRUST: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(60));
/// The pauses between looks for entries of API 2 while nobody answers: the first one, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(60);
/// So many keys that are no instances are told one by one.
const TOLD: usize = 10;

/// The services of this process in etcd.
pub type EtcdAgent = CatalogAgent<EtcdClient>;

impl Registry for EtcdClient {
    const NAME: &'static str = "etcd";
    /// The lease's id follows from the service.
    type Memory = ();

    fn make(
        &self,
        spec: ServiceSpec,
        _memory: Option<()>,
        request: Request,
    ) -> impl Future<Output = Outcome<()>> + 'static {
        let client = self.clone();
        async move {
            match make(&client, &spec, &request).await {
                Ok(answer) => Outcome::of(answer, None),
                Err(error) => Outcome::failed(error, None),
            }
        }
    }

    fn look_at_tls(&self) -> impl Future<Output = Option<Found>> + 'static {
        self.clone().look_at_tls()
    }
}

async fn make(client: &EtcdClient, spec: &ServiceSpec, request: &Request) -> Result<Answer, RequestError> {
    let deadline = Instant::now() + patience(spec);
    match request {
        Request::Look => {
            let same = match client.api() {
                EtcdApi::Two => api2::is_as_registered(client, spec, deadline).await?,
                EtcdApi::Three => api3::is_as_registered(client, spec, deadline).await?,
            };
            Ok(match same {
                None => Answer::Unknown,
                Some(true) => Answer::Done,
                Some(false) => Answer::Differs,
            })
        }
        Request::Register(Status::Passing) => {
            match client.api() {
                EtcdApi::Two => api2::register(client, spec, deadline).await?,
                EtcdApi::Three => api3::register(client, spec, deadline).await?,
            }
            Ok(Answer::Done)
        }
        Request::Heartbeat(Status::Passing, _) => {
            let is_there = match client.api() {
                EtcdApi::Two => api2::beat(client, spec, deadline).await?,
                EtcdApi::Three => api3::beat(client, spec, deadline).await?,
            };
            Ok(if is_there { Answer::Done } else { Answer::Unknown })
        }
        // What is there is well; so whatever is not well is not there.
        Request::Register(Status::Warning | Status::Critical)
        | Request::Heartbeat(Status::Warning | Status::Critical, _) => {
            remove(client, spec, deadline).await.map(|()| Answer::Unknown)
        }
        Request::Deregister => remove(client, spec, deadline).await.map(|()| Answer::Done),
    }
}

/// Looks for entries of API 2 once the server answers, and warns if there are some: those who made them do not see ours, nor
/// we theirs. Ends with the catalog's last client.
pub async fn warn_of_api2(client: EtcdClient, catalog: Life, log: Logger) {
    let mut pause = FIRST_PAUSE;
    while catalog.goes_on() {
        match api2::has_entries(&client, Instant::now() + PATIENCE).await {
            Ok(false) => return,
            Ok(true) => {
                warn!(
                    log,
                    "etcd has entries of its API 2 at `{}`; instances of ContainerPilot 2.7 use that one: `api: 2` finds \
                    them, and is found by them",
                    client.prefix()
                );
                return;
            }
            Err(RequestError::Refused { .. }) => return,
            Err(cause) => debug!(log, "cannot look for entries of API 2"; "reason" => %cause),
        }
        actix::clock::sleep(pause).await;
        pause = (2 * pause).min(LAST_PAUSE);
    }
}

async fn remove(client: &EtcdClient, spec: &ServiceSpec, deadline: Instant) -> Result<(), RequestError> {
    match client.api() {
        EtcdApi::Two => api2::remove(client, spec, deadline).await,
        EtcdApi::Three => api3::remove(client, spec, deadline).await,
    }
}

/// Where a watch looks: a reading, then a stream that says when to read again.
#[derive(Clone)]
pub struct Watching {
    client: EtcdClient,
    service: String,
    tags: Vec<String>,
    trust: Duration,
    /// The keys of what the last reading could not read.
    strange: Rc<Cell<Vec<String>>>,
    log: Logger,
}

impl fmt::Debug for Watching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watching").field("service", &self.service).finish_non_exhaustive()
    }
}

impl Watching {
    /// Nothing is asked yet.
    pub fn new(client: EtcdClient, spec: &WatchSpec, log: &Logger) -> Self {
        Self {
            client,
            service: spec.service.clone(),
            tags: spec.tags.clone(),
            trust: spec.interval.clamp(TRUST.0, TRUST.1),
            strange: Rc::default(),
            log: log.new(o!("watch" => spec.name.to_string())),
        }
    }

    async fn look(self, index: Option<u64>) -> Result<watch::Answer, RequestError> {
        if let Some(index) = index
            && let Err(cause) = api3::wait(&self.client, &self.service, index, self.trust).await
        {
            debug!(self.log, "a stream broke"; "reason" => %cause);
        }
        let deadline = Instant::now() + PATIENCE;
        let (answer, strange) = match self.client.api() {
            EtcdApi::Two => api2::instances(&self.client, &self.service, &self.tags, deadline).await?,
            EtcdApi::Three => api3::instances(&self.client, &self.service, &self.tags, deadline).await?,
        };
        self.tell(strange);
        Ok(answer)
    }

    /// Tells of keys that are no instances, each once.
    fn tell(&self, mut strange: Vec<String>) {
        strange.truncate(TOLD);
        let known = self.strange.take();
        for key in strange.iter().filter(|key| !known.contains(key)) {
            warn!(self.log, "no instance, skipped"; "key" => key);
        }
        self.strange.set(strange);
    }
}

impl InstanceSource for Watching {
    fn ask(&mut self, index: Option<u64>) -> LocalBoxFuture<'static, Result<watch::Answer, RequestError>> {
        Box::pin(self.clone().look(index))
    }
}
