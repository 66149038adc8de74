//! Requests to an etcd cluster: to the endpoint that answered last, then to the others, with what lets us in.
//!
//! Not here: what is asked; that is `api2` and `api3`.

use std::cell::{Cell, RefCell};
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher as _;
use std::rc::{Rc, Weak};
use std::time::Duration;

use actix::clock::Instant;
use awc::http::Method;
use awc::http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use slog::Logger;
use tokio::sync::Semaphore;

use super::wire;
use crate::catalog::RequestError;
use crate::catalog::client::{ClientError, Found, HttpClient, Question, Reply, TlsFiles, next_piece, read, secret};
use crate::spec::{EtcdApi, EtcdLogin, EtcdSpec, ServiceSpec};

/// More of one answer is not read.
pub const LONGEST: usize = 8 << 20;
/// A stream that says more before its first line ends says something new.
const LONGEST_BEGINNING: usize = 64 * 1024;

/// What lets us in.
#[derive(Clone, PartialEq)]
enum Pass {
    /// Nobody has been asked for one, or it has been refused.
    Unknown,
    /// None is needed.
    Free,
    Header(HeaderValue),
}

struct Shared {
    endpoints: Vec<(String, HttpClient)>,
    tls: Option<Rc<TlsFiles>>,
    /// Which of them answered last.
    current: Cell<usize>,
    login: Option<EtcdLogin>,
    pass: RefCell<Pass>,
    /// One at a time asks for a token: etcd takes its time over a password.
    turn: Semaphore,
    /// Makes ids of leases: the same for a service as long as we live, and nobody else's.
    leases: RandomState,
    prefix: String,
    api: EtcdApi,
}

/// Asks one etcd cluster. Clones share connections, the token, and which endpoint answers.
#[derive(Clone)]
pub struct EtcdClient(Rc<Shared>);

/// Whether a client and those that share its connections are in use.
#[derive(Clone)]
pub struct Life(Weak<Shared>);

impl Life {
    /// Whether they are.
    pub fn goes_on(&self) -> bool {
        self.0.strong_count() > 0
    }
}

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Life").field(&self.goes_on()).finish()
    }
}

impl fmt::Debug for EtcdClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdClient").field("endpoints", &self.0.endpoints).finish_non_exhaustive()
    }
}

impl EtcdClient {
    /// Reads the files that the spec names; nothing is sent yet.
    pub fn new(spec: &EtcdSpec, log: &Logger) -> Result<Self, ClientError> {
        let encrypted = spec.endpoints.iter().any(|endpoint| endpoint.https);
        let files = if encrypted { Some(Rc::new(TlsFiles::open(&spec.tls, log)?)) } else { None };
        let mut endpoints = Vec::new();
        for endpoint in &spec.endpoints {
            let tls = files.clone().filter(|_| endpoint.https);
            endpoints.push((endpoint.address.clone(), HttpClient::new(&endpoint.address, tls)?));
        }
        let pass = match (&spec.login, spec.api) {
            (None, _) => Pass::Free,
            (Some(login), EtcdApi::Two) => Pass::Header(secret(&wire::basic(login))?),
            (Some(_), EtcdApi::Three) => Pass::Unknown,
        };
        Ok(Self(Rc::new(Shared {
            endpoints,
            tls: files,
            current: Cell::new(0),
            login: spec.login.clone(),
            pass: RefCell::new(pass),
            turn: Semaphore::new(1),
            leases: RandomState::new(),
            prefix: spec.prefix.clone(),
            api: spec.api,
        })))
    }

    /// Looks at the files of TLS, if it is used.
    pub async fn look_at_tls(self) -> Option<Found> {
        Some(self.0.tls.as_ref()?.look().await)
    }

    /// Which API is spoken.
    pub fn api(&self) -> EtcdApi {
        self.0.api
    }

    /// What all keys begin with.
    pub fn prefix(&self) -> &str {
        &self.0.prefix
    }

    /// Whether anybody still asks with this client, or with one that shares its connections.
    pub fn life(&self) -> Life {
        Life(Rc::downgrade(&self.0))
    }

    /// Where the instances of a service are, with a slash at the end.
    pub fn folder(&self, service: &str) -> String {
        format!("{}/{service}/", self.0.prefix)
    }

    /// Where a service of ours is.
    pub fn key(&self, spec: &ServiceSpec) -> String {
        self.folder(&spec.name) + &spec.id
    }

    /// The id of a service's lease. We choose it, so that the end of a registration is known even if its beginning was
    /// not waited for. A lease has its time to live for ever, so one of another time is another lease.
    pub fn lease(&self, spec: &ServiceSpec) -> i64 {
        let hash = self.0.leases.hash_one((&spec.id, spec.ttl)) >> 1;
        i64::try_from(hash).unwrap_or(i64::MAX).max(1)
    }

    /// Sends a form to the keys of API 2, or nothing.
    pub async fn keys(&self, method: Method, path: &str, form: &str, deadline: Instant) -> Result<Reply, RequestError> {
        let question = Question {
            method,
            path,
            headers: self.pass(),
            kind: "application/x-www-form-urlencoded",
            body: form.as_bytes(),
        };
        self.ask(&question, deadline).await
    }

    /// Posts JSON to API 3. If our token is refused, another one is asked for, once.
    pub async fn post(&self, path: &str, body: &[u8], deadline: Instant) -> Result<Reply, RequestError> {
        self.log_in(deadline).await?;
        let used = self.pass();
        let reply = self.ask(&question(path, body, used.clone()), deadline).await?;
        if self.0.login.is_none() || !wire::wants_token(&reply) {
            return Ok(reply);
        }
        // Somebody else may have a new one by now.
        if self.pass() == used {
            *self.0.pass.borrow_mut() = Pass::Unknown;
        }
        self.log_in(deadline).await?;
        self.ask(&question(path, body, self.pass()), deadline).await
    }

    /// Has the endpoint that answered last begin a stream of API 3, and waits until it says more than that it has begun.
    /// The end of the stream is something new, too.
    pub async fn wait_for_news(&self, path: &str, body: &[u8]) -> Result<(), RequestError> {
        let (_, endpoint) = &self.0.endpoints[self.0.current.get()];
        let mut headers = self.pass();
        // A member that loses its cluster is to end the stream: its news would be old.
        headers.push((HeaderName::from_static("grpc-metadata-hasleader"), HeaderValue::from_static("true")));
        let mut response = endpoint.send(&question(path, body, headers)).await?;
        let mut beginning = Vec::new();
        while beginning.len() < LONGEST_BEGINNING && !beginning.contains(&b'\n') {
            let Some(piece) = next_piece(&mut response).await? else { return Ok(()) };
            beginning.extend_from_slice(&piece);
        }
        if let Some(line) = beginning.strip_suffix(b"\n")
            && wire::has_begun(line)
        {
            next_piece(&mut response).await?;
        }
        Ok(())
    }

    fn pass(&self) -> Vec<(HeaderName, HeaderValue)> {
        match &*self.0.pass.borrow() {
            Pass::Unknown | Pass::Free => Vec::new(),
            Pass::Header(value) => vec![(AUTHORIZATION, value.clone())],
        }
    }

    /// Asks for a token, if one is needed and there is none.
    async fn log_in(&self, deadline: Instant) -> Result<(), RequestError> {
        let is_wanted = || *self.0.pass.borrow() == Pass::Unknown;
        let Some(login) = self.0.login.as_ref().filter(|_| is_wanted()) else { return Ok(()) };
        let began = Instant::now();
        let Ok(_turn) = tokio::time::timeout_at(deadline, self.0.turn.acquire()).await else {
            return Err(silent(began.elapsed()));
        };
        if !is_wanted() {
            return Ok(());
        }
        let reply = self.ask(&question("/v3/auth/authenticate", &wire::login(login), Vec::new()), deadline).await?;
        let pass = match wire::token(&reply)? {
            Some(token) => Pass::Header(secret(&token).map_err(|cause| RequestError::Broken(cause.to_string()))?),
            // Users are known there, perhaps, but not asked for.
            None => Pass::Free,
        };
        *self.0.pass.borrow_mut() = pass;
        Ok(())
    }

    /// Asks the endpoint that answered last, then the others in order. An endpoint may take half of the time that is left,
    /// the last one all of it.
    async fn ask(&self, question: &Question<'_>, deadline: Instant) -> Result<Reply, RequestError> {
        let count = self.0.endpoints.len();
        let first = self.0.current.get();
        let mut failures = Vec::new();
        for turn in 0..count {
            let place = (first + turn) % count;
            let (address, endpoint) = &self.0.endpoints[place];
            let left = deadline.saturating_duration_since(Instant::now());
            let share = if turn + 1 == count { left } else { left / 2 };
            let asking = async { read(endpoint.send(question).await?, LONGEST).await };
            let error = match tokio::time::timeout(share, asking).await {
                // A server that has lost its cluster says so with a 5xx.
                Ok(Ok(reply)) if reply.status < 500 => {
                    self.0.current.set(place);
                    return Ok(reply);
                }
                Ok(Ok(reply)) => wire::refusal(&reply),
                Ok(Err(error)) => error,
                Err(_) => silent(share),
            };
            failures.push((address.as_str(), error));
        }
        Err(together(failures))
    }
}

fn question<'a>(path: &'a str, body: &'a [u8], headers: Vec<(HeaderName, HeaderValue)>) -> Question<'a> {
    Question { method: Method::POST, path, headers, kind: "application/json", body }
}

/// Nobody wants to know the nanoseconds.
fn silent(within: Duration) -> RequestError {
    let hundredths = u64::try_from(within.as_millis() / 10).unwrap_or(u64::MAX);
    RequestError::Silent(Duration::from_millis(hundredths.saturating_mul(10)))
}

/// What went wrong at all endpoints, as one error.
fn together(mut failures: Vec<(&str, RequestError)>) -> RequestError {
    if failures.len() == 1
        && let Some((_, error)) = failures.pop()
    {
        return error;
    }
    let unsent = failures.iter().all(|(_, error)| error.is_unsent());
    let texts: Vec<String> = failures.iter().map(|(address, error)| format!("{address}: {error}")).collect();
    let text = texts.join("; ");
    if unsent { RequestError::Unsent(text) } else { RequestError::Broken(text) }
}
