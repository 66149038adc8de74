//! What all catalogs have in common: one message set, one actor that keeps services registered, one way to watch.
//!
//! A catalog is a `Registry`, which makes the requests of services, and an `InstanceSource` for each watch.

mod agent;
pub mod client;
#[cfg(any(feature = "etcd", feature = "zookeeper"))]
pub mod value;

use std::rc::Rc;
use std::time::Duration;

use actix::prelude::*;
use futures_core::future::LocalBoxFuture;
use slog::Logger;

pub use agent::CatalogAgent;

use crate::catalog::client::Found;
use crate::consul_agent::{self, ConsulAgent, ConsulClient};
#[cfg(feature = "etcd")]
use crate::etcd_agent::{self, EtcdAgent, EtcdClient};
use crate::guard::PanicGuard;
use crate::messages::{CatalogCommand, CatalogContact, CatalogStatusQuery};
use crate::policy::service::{Answer, Request};
use crate::policy::watch;
use crate::spec::{CatalogSpec, ServiceSpec, WatchSpec};
#[cfg(feature = "etcd")]
use crate::spec::{EtcdApi, EtcdSpec};
#[cfg(feature = "zookeeper")]
use crate::zookeeper_agent::{self, ZooKeeperAgent, ZooKeeperClient};

/// Why a request was of no use.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RequestError {
    /// No connection.
    #[error("{0}")]
    Unsent(String),
    /// A connection was refused, or cut off before it could be used.
    #[error("{0}")]
    TurnedAway(String),
    /// No answer in time.
    #[error("no answer within {}", crate::duration::go_format(*.0))]
    Silent(Duration),
    /// The connection or the answer broke.
    #[error("{0}")]
    Broken(String),
    /// The catalog said no.
    #[error("{status}: {text}")]
    Refused {
        /// The status of the answer.
        status: u16,
        /// What it says.
        text: String,
        /// How long it does not want to be asked again.
        retry_after: Option<Duration>,
    },
    /// The catalog said no, in words alone.
    #[error("{0}")]
    Denied(String),
}

impl RequestError {
    /// Whether somebody is there who knows what he does, but does not do it.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Refused { status, .. } => (400..500).contains(status) && *status != 429,
            Self::Denied(_) => true,
            Self::Unsent(_) | Self::TurnedAway(_) | Self::Silent(_) | Self::Broken(_) => false,
        }
    }

    /// How long the catalog does not want to be asked again, if it says so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            Self::Unsent(_) | Self::TurnedAway(_) | Self::Silent(_) | Self::Broken(_) | Self::Denied(_) => None,
        }
    }

    /// Whether the request never left us.
    pub fn is_unsent(&self) -> bool {
        matches!(self, Self::Unsent(_) | Self::TurnedAway(_))
    }
}

/// What came of a request for a service.
#[derive(Debug)]
pub struct Outcome<M> {
    /// For the policy.
    pub answer: Answer,
    /// For the log of outages; none if the catalog answered, whatever it was.
    pub error: Option<RequestError>,
    /// What to know at the next request for the same service.
    pub memory: Option<M>,
}

impl<M> Outcome<M> {
    /// The catalog answered.
    pub fn of(answer: Answer, memory: Option<M>) -> Self {
        Self { answer, error: None, memory }
    }

    /// It did not, or not as it should.
    pub fn failed(error: RequestError, memory: Option<M>) -> Self {
        let answer = if error.is_unsent() { Answer::Unsent } else { Answer::Failed };
        Self { answer, error: Some(error), memory }
    }
}

/// The side of a catalog where services are registered. Clones share connections.
pub trait Registry: Clone + Unpin + 'static {
    /// The catalog's name in the log.
    const NAME: &'static str;
    /// What is known of a service from one request to the next.
    type Memory: Clone + Unpin + 'static;

    /// Makes one request; it may be dropped at any time. It has a deadline of its own.
    fn make(
        &self,
        spec: ServiceSpec,
        memory: Option<Self::Memory>,
        request: Request,
    ) -> impl Future<Output = Outcome<Self::Memory>> + 'static;

    /// Looks whether the files of TLS have changed; none if there are none.
    fn look_at_tls(&self) -> impl Future<Output = Option<Found>> + 'static {
        std::future::ready(None)
    }

    /// Takes leave, when nothing is registered any more; nothing is asked after it. It has a deadline of its own.
    fn close(&self) -> impl Future<Output = ()> + 'static {
        std::future::ready(())
    }
}

/// The side of a catalog where a watch looks.
pub trait InstanceSource {
    /// The healthy instances now; with the index of an earlier answer, as soon as they may be others, or after a while. It may
    /// be dropped at any time. It has a deadline of its own.
    fn ask(&mut self, index: Option<u64>) -> LocalBoxFuture<'static, Result<watch::Answer, RequestError>>;
}

/// How long what a service asks for may take: half the time that the catalog believes the last heartbeat.
pub fn patience(spec: &ServiceSpec) -> Duration {
    (spec.ttl / 2).clamp(Duration::from_secs(1), Duration::from_secs(10))
}

/// Makes the source of a watch.
type Looks = dyn Fn(&WatchSpec) -> Box<dyn InstanceSource>;

/// A catalog that is there to be told of services, and to be watched.
#[derive(Clone)]
pub struct Catalog {
    /// Takes what services have to say.
    pub agent: Recipient<CatalogCommand>,
    /// Keeps the log of outages.
    pub contacts: Recipient<CatalogContact>,
    /// Knows how registrations stand and requests went.
    pub status: Recipient<CatalogStatusQuery>,
    /// Lets the catalog's actor die.
    #[cfg(any(test, feature = "testing"))]
    pub panics: Recipient<crate::testing::Panic>,
    looks: Rc<Looks>,
}

impl std::fmt::Debug for Catalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Catalog").finish_non_exhaustive()
    }
}

/// What a catalog's actor is told when it starts.
#[derive(Debug)]
pub struct Beginning<'a> {
    /// Whether the process is in maintenance.
    pub maintenance: bool,
    /// Whether it takes over from one that died.
    pub inherited: bool,
    /// Ours.
    pub log: &'a Logger,
    /// Tells if it dies of a panic.
    pub guard: Option<PanicGuard>,
}

impl Catalog {
    /// Starts the catalog's actor. An error is for people: the catalog cannot be asked as configured.
    pub fn start(spec: &CatalogSpec, beginning: Beginning<'_>) -> Result<Self, String> {
        match spec {
            CatalogSpec::Consul(consul) => {
                let client = ConsulClient::new(consul, beginning.log).map_err(|cause| cause.to_string())?;
                let log = beginning.log.clone();
                let agent = ConsulAgent::new(client.clone(), beginning).start();
                Ok(Self::new(&agent, move |watch| Box::new(consul_agent::Watching::new(client.clone(), watch, &log))))
            }
            #[cfg(feature = "etcd")]
            CatalogSpec::Etcd(etcd) => {
                let client = EtcdClient::new(etcd, beginning.log).map_err(|cause| cause.to_string())?;
                let log = beginning.log.clone();
                if etcd.warns_of_api2 {
                    let old = EtcdSpec { api: EtcdApi::Two, ..etcd.clone() };
                    let old = EtcdClient::new(&old, &log).map_err(|cause| cause.to_string())?;
                    actix::spawn(etcd_agent::warn_of_api2(old, client.life(), log.clone()));
                }
                let agent = EtcdAgent::new(client.clone(), beginning).start();
                Ok(Self::new(&agent, move |watch| Box::new(etcd_agent::Watching::new(client.clone(), watch, &log))))
            }
            #[cfg(not(feature = "etcd"))]
            CatalogSpec::Etcd(_) => Err("this binary has been built without etcd".to_owned()),
            #[cfg(feature = "zookeeper")]
            CatalogSpec::ZooKeeper(zookeeper) => {
                let client = ZooKeeperClient::new(zookeeper.clone());
                let log = beginning.log.clone();
                let agent = ZooKeeperAgent::new(client.clone(), beginning).start();
                Ok(Self::new(&agent, move |watch| {
                    Box::new(zookeeper_agent::Watching::new(client.clone(), watch, &log))
                }))
            }
            #[cfg(not(feature = "zookeeper"))]
            CatalogSpec::ZooKeeper(_) => Err("this binary has been built without ZooKeeper".to_owned()),
        }
    }

    fn new<R: Registry>(
        agent: &Addr<CatalogAgent<R>>,
        looks: impl Fn(&WatchSpec) -> Box<dyn InstanceSource> + 'static,
    ) -> Self {
        let (contacts, status) = (agent.clone().recipient(), agent.clone().recipient());
        Self {
            agent: agent.clone().recipient(),
            contacts,
            status,
            #[cfg(any(test, feature = "testing"))]
            panics: agent.clone().recipient(),
            looks: Rc::new(looks),
        }
    }

    /// Where this watch looks.
    pub fn source(&self, watch: &WatchSpec) -> Box<dyn InstanceSource> {
        (self.looks)(watch)
    }
}
