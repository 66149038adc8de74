//! One session with ZooKeeper, which all services and watches of this process share.
//!
//! The crate `zookeeper-client` keeps it: it sends the heartbeats, goes from a server that is lost to the next one, and
//! sees to it that watches outlive a connection. When a session is over, the next request begins another one.
//!
//! Not here: when to ask, and what; that is `policy`, `catalog::value` and `watching`.

use std::cell::RefCell;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use zookeeper_client::{Acls, Client as Session, Error, SessionId, SessionState};

use crate::catalog::RequestError;
use crate::catalog::client::dns;
use crate::random::Random;
use crate::runtime::blocking::thread_to_be_had;
use crate::spec::ZooKeeperSpec;

/// How long the look-up of a host may take.
const LOOK_UP: Duration = Duration::from_secs(2);
/// How long the servers may take to hear that we leave.
const GOODBYE: Duration = Duration::from_millis(500);

/// Asks ZooKeeper. Clones share the session.
#[derive(Clone)]
pub struct ZooKeeperClient(Rc<Shared>);

struct Shared {
    spec: ZooKeeperSpec,
    link: RefCell<Link>,
}

enum Link {
    Idle,
    Dialled(watch::Receiver<Attempt>),
    Closed,
}

/// An attempt to begin a session. All that want one wait for the same attempt.
enum Attempt {
    UnderWay,
    Failed(RequestError),
    Good(Session),
}

impl Attempt {
    fn is_over(&self) -> bool {
        match self {
            Self::UnderWay => false,
            Self::Failed(_) | Self::Good(_) => true,
        }
    }
}

impl fmt::Debug for ZooKeeperClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZooKeeperClient").field("spec", &self.0.spec).finish_non_exhaustive()
    }
}

impl ZooKeeperClient {
    /// Nothing is asked yet.
    pub fn new(spec: ZooKeeperSpec) -> Self {
        Self(Rc::new(Shared { spec, link: RefCell::new(Link::Idle) }))
    }

    /// Where the instances of a service are.
    pub fn path_of(&self, service: &str) -> String {
        format!("{}/{service}", self.0.spec.prefix)
    }

    /// To whom belongs what we make.
    pub fn acls(&self) -> Acls<'static> {
        if self.0.spec.digest.is_some() { Acls::creator_all() } else { Acls::anyone_all() }
    }

    /// Asks, as soon as there is a session that is connected.
    pub async fn ask<T, W>(&self, within: Duration, work: impl FnOnce(Session) -> W) -> Result<T, RequestError>
    where
        W: Future<Output = Result<T, Error>>,
    {
        let deadline = Instant::now() + within;
        let waited = || RequestError::Unsent(format!("no connection to {}", self.hosts()));
        let session = timeout_at(deadline, self.session()).await.unwrap_or_else(|_| Err(waited()))?;
        match timeout_at(deadline, work(session)).await {
            Ok(answer) => answer.map_err(|cause| self.explain(&cause)),
            Err(_) => Err(RequestError::Silent(within)),
        }
    }

    /// The session that there is, connected or not.
    pub fn current(&self) -> Option<SessionId> {
        let Link::Dialled(attempt) = &*self.0.link.borrow() else { return None };
        match &*attempt.borrow() {
            Attempt::Good(session) if !session.state().is_terminated() => Some(session.session_id()),
            Attempt::UnderWay | Attempt::Failed(_) | Attempt::Good(_) => None,
        }
    }

    /// Whether we have taken leave.
    pub fn is_closed(&self) -> bool {
        matches!(&*self.0.link.borrow(), Link::Closed)
    }

    /// Ends the session, and with it all that it made. Nobody can ask any more.
    pub async fn close(self) {
        let Link::Dialled(attempt) = self.0.link.replace(Link::Closed) else { return };
        let mut states = match &*attempt.borrow() {
            // Without a connection there is nobody to tell: the servers will miss us.
            Attempt::Good(session) if is_connected(session.state()) => session.state_watcher(),
            Attempt::UnderWay | Attempt::Failed(_) | Attempt::Good(_) => return,
        };
        // The session ends with its last handle.
        drop(attempt);
        let ended = async { while !states.changed().await.is_terminated() {} };
        if timeout(GOODBYE, ended).await.is_err() {
            // Then it ends when the servers have missed us for long enough.
        }
    }

    async fn session(&self) -> Result<Session, RequestError> {
        let session = self.dialled().await?;
        let mut states = session.state_watcher();
        let mut state = session.state();
        while !is_connected(state) {
            if state.is_terminated() {
                return Err(RequestError::Unsent(format!("the session is over: {state}")));
            }
            state = states.changed().await;
        }
        Ok(session)
    }

    async fn dialled(&self) -> Result<Session, RequestError> {
        let mut attempt = self.attempt()?;
        // An error means that the attempt has panicked.
        let over = attempt.wait_for(Attempt::is_over).await;
        let over = over.map_err(|_| RequestError::Unsent("the attempt to connect broke off".to_owned()))?;
        match &*over {
            Attempt::Good(session) => Ok(session.clone()),
            Attempt::Failed(cause) => Err(cause.clone()),
            Attempt::UnderWay => Err(RequestError::Unsent("still connecting".to_owned())),
        }
    }

    /// The attempt that is under way or was good, else a new one. Whoever waits for it may give up, it goes on.
    fn attempt(&self) -> Result<watch::Receiver<Attempt>, RequestError> {
        let mut link = self.0.link.borrow_mut();
        match &*link {
            Link::Closed => return Err(RequestError::Unsent("the session has been closed".to_owned())),
            Link::Dialled(attempt) if is_of_use(attempt) => return Ok(attempt.clone()),
            Link::Idle | Link::Dialled(_) => {}
        }
        let (sender, receiver) = watch::channel(Attempt::UnderWay);
        let client = self.clone();
        actix_rt::spawn(async move {
            let attempt = client.dial().await.map_or_else(Attempt::Failed, Attempt::Good);
            // Nobody is left who would want to know if the client has been closed; that ends the session.
            drop(sender.send(attempt));
        });
        *link = Link::Dialled(receiver.clone());
        Ok(receiver)
    }

    async fn dial(&self) -> Result<Session, RequestError> {
        let spec = &self.0.spec;
        // The crate panics where it cannot have its own.
        let no_thread = |cause| RequestError::Unsent(format!("no thread can be started: {cause}"));
        thread_to_be_had().map_err(no_thread)?;
        let mut addresses = addresses_of(&spec.hosts).await?;
        shuffle(&mut addresses);
        let cluster: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
        // Each server is tried once; when to try again is a policy's affair. What servers of 3.4 understand is enough.
        let mut connector = Session::connector()
            .with_session_timeout(spec.session_timeout)
            .with_fail_eagerly()
            .with_server_version(3, 4, 0);
        if let Some(digest) = &spec.digest {
            connector = connector.with_auth("digest", digest.as_bytes());
        }
        connector.connect(&cluster.join(",")).await.map_err(|cause| {
            if is_denial(&cause) {
                return RequestError::Denied(cause.to_string());
            }
            let is_silence = matches!(cause, Error::NoHosts | Error::Timeout);
            let why = if is_silence { String::new() } else { format!(": {cause}") };
            RequestError::Unsent(format!("cannot connect to {}{why}", self.hosts()))
        })
    }

    fn explain(&self, cause: &Error) -> RequestError {
        if is_denial(cause) {
            return RequestError::Denied(cause.to_string());
        }
        if matches!(cause, Error::UnexpectedError(_)) {
            // Servers and the crate understand each other no longer: better begin anew.
            let mut link = self.0.link.borrow_mut();
            if matches!(&*link, Link::Dialled(_)) {
                *link = Link::Idle;
            }
        }
        RequestError::Broken(cause.to_string())
    }

    fn hosts(&self) -> String {
        let hosts: Vec<String> = self.0.spec.hosts.iter().map(|(host, port)| format!("{host}:{port}")).collect();
        hosts.join(",")
    }
}

fn is_connected(state: SessionState) -> bool {
    matches!(state, SessionState::SyncConnected | SessionState::ConnectedReadOnly)
}

/// Whether an attempt may still become a session, or has become one that goes on.
fn is_of_use(attempt: &watch::Receiver<Attempt>) -> bool {
    match &*attempt.borrow() {
        Attempt::UnderWay => attempt.has_changed().is_ok(),
        Attempt::Failed(_) => false,
        Attempt::Good(session) => !session.state().is_terminated(),
    }
}

/// Whether a server understood, and will say the same the next time.
fn is_denial(cause: &Error) -> bool {
    matches!(
        cause,
        Error::NoAuth
            | Error::AuthFailed
            | Error::InvalidAcl
            | Error::BadArguments(_)
            | Error::NoChildrenForEphemerals
            | Error::NotEmpty
            | Error::QuotaExceeded
    )
}

/// What is found of all hosts; an error only if nothing is.
async fn addresses_of(hosts: &[(String, u16)]) -> Result<Vec<SocketAddr>, RequestError> {
    let look_ups = hosts.iter().map(|(host, port)| async move {
        let silent = |_| Err(std::io::Error::other(format!("cannot look up `{host}`: no answer")));
        let found = timeout(LOOK_UP, dns::resolve(host)).await.unwrap_or_else(silent);
        found.map(|found| found.into_iter().map(|address| SocketAddr::new(address, *port)).collect::<Vec<_>>())
    });
    let mut addresses = Vec::new();
    let mut last = RequestError::Unsent("no host".to_owned());
    for found in join_all(look_ups).await {
        match found {
            Ok(found) => addresses.extend(found),
            Err(cause) => last = RequestError::Unsent(cause.to_string()),
        }
    }
    if addresses.is_empty() { Err(last) } else { Ok(addresses) }
}

/// So that many clients do not all go to the first server, nor one client for ever to a dead one first.
fn shuffle(addresses: &mut [SocketAddr]) {
    let mut random = Random::from_entropy();
    for left in (1..addresses.len()).rev() {
        let other = random.below(u32::try_from(left + 1).unwrap_or(u32::MAX));
        addresses.swap(left, other as usize);
    }
}
