//! Requests to Consul. Each has a deadline.
//!
//! Not here: when to ask, and what an answer means; that is `policy`.

use std::cell::RefCell;
use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::LazyLock;
use std::time::Duration;

use actix::clock::Instant;
use awc::http::header::{HeaderName, HeaderValue};
use awc::http::{Method, StatusCode};
use slog::Logger;

use super::waits::{Place, Waits};
use super::wire::{InstanceReader, InstancesError};
use crate::catalog::RequestError;
use crate::catalog::client::{
    ClientError, Found, HttpClient, Question, Reply, Response, TlsFiles, next_piece, read, retry_after, secret,
};
use crate::policy::watch::{Answer, BLOCKS};
use crate::runtime::blocking::Lane;
use crate::spec::ConsulSpec;

/// Answers to all but health queries are short; of longer ones the rest is cut off.
const SHORT: usize = 64 * 1024;

/// How long the file of a token may take to be read.
const TOKEN: Duration = Duration::from_secs(1);

/// Reads the files of tokens, of which there is one.
static READERS: LazyLock<Lane> = LazyLock::new(|| Lane::new(2));

/// What a health query found.
#[derive(Debug)]
pub struct Instances {
    /// For the policy.
    pub answer: Answer,
    /// Whether the token was not allowed to see everything.
    pub filtered: bool,
}

struct Credentials {
    token: RefCell<Option<HeaderValue>>,
    file: Option<PathBuf>,
}

/// Asks one Consul agent. Clones share connections and the token.
#[derive(Clone)]
pub struct ConsulClient {
    /// For services, so that watches never take their connection.
    http: HttpClient,
    address: Rc<str>,
    waits: Rc<Waits>,
    tls: Option<Rc<TlsFiles>>,
    credentials: Rc<Credentials>,
}

impl fmt::Debug for ConsulClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsulClient").field("http", &self.http).finish_non_exhaustive()
    }
}

impl ConsulClient {
    /// Reads the files that the spec names; nothing is sent yet.
    pub fn new(spec: &ConsulSpec, log: &Logger) -> Result<Self, ClientError> {
        let tls = if spec.https { Some(Rc::new(TlsFiles::open(&spec.tls, log)?)) } else { None };
        let http = HttpClient::new(&spec.address, tls.clone())?;
        let waits = Rc::new(Waits::new(HttpClient::new(&spec.address, tls.clone())?));
        let token_file = spec.token_file.clone().filter(|_| spec.token.is_none());
        let token = match (&spec.token, &token_file) {
            (Some(token), _) => Some(secret(token)?),
            (None, Some(path)) => {
                let text = std::fs::read_to_string(path);
                Some(secret(&text.map_err(|cause| ClientError::TokenFile { path: path.clone(), cause })?)?)
            }
            (None, None) => None,
        };
        let address = spec.address.as_str().into();
        Ok(Self {
            http,
            address,
            waits,
            tls,
            credentials: Rc::new(Credentials { token: RefCell::new(token), file: token_file }),
        })
    }

    /// Looks at the files of TLS, if it is used.
    pub async fn look_at_tls(self) -> Option<Found> {
        Some(self.tls.as_ref()?.look().await)
    }

    /// Sends a request and reads a short answer, and Consul's hash of it if there is one. What an agent does not
    /// understand is an answer, too.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: &[u8],
        within: Duration,
    ) -> Result<(Reply, Option<String>), RequestError> {
        let asking = async {
            let response = self.send(&self.http, method, path, body).await?;
            let hash = header(&response, "x-consul-contenthash").map(str::to_owned);
            Ok((read(response, SHORT).await?, hash))
        };
        in_time(within, asking).await
    }

    /// Asks for the instances of a service.
    pub async fn instances(&self, path: &str, within: Duration) -> Result<Instances, RequestError> {
        let _turn = self.waits.turn().await;
        let http = self.waits.http();
        in_time(within, async { instances(self.send(&http, Method::GET, path, b"").await?).await }).await
    }

    /// Whether there is a place to wait for news.
    pub fn has_place(&self) -> bool {
        self.waits.have_room()
    }

    /// Whether some watches have no place to wait for news.
    pub fn is_crowded(&self) -> bool {
        self.waits.are_limited()
    }

    /// A place to wait for news, if there is one.
    pub fn place(&self) -> Option<Place> {
        self.waits.take()
    }

    /// The same with an index, on the connection of the answer that the index is from. None if there is no such connection any more, or no
    /// answer on it: what the index means to another server is unknown.
    pub async fn news(&self, path: &str, within: Duration) -> Result<Option<Instances>, RequestError> {
        let http = self.waits.http();
        let asking = async {
            let question = Question { method: Method::GET, path, headers: self.token(), kind: "", body: b"" };
            match http.send_on(&question).await? {
                Some(response) if response.status() == StatusCode::FORBIDDEN && self.renew_token().await => Ok(None),
                Some(response) => instances(response).await.map(Some),
                None => Ok(None),
            }
        };
        in_time(within, asking).await
    }

    /// Sends, and sends again once if the token has been refused and there is a newer one.
    async fn send(&self, http: &HttpClient, method: Method, path: &str, body: &[u8]) -> Result<Response, RequestError> {
        let question = |headers| Question { method: method.clone(), path, headers, kind: "application/json", body };
        let began = Instant::now();
        let result = http.send(&question(self.token())).await;
        if is_refused(&result, began.elapsed())
            && self.waits.refused()
            && let Ok(fresh) = HttpClient::new(&self.address, self.tls.clone())
        {
            self.waits.replace(fresh);
        }
        match &result {
            Ok(response) if response.status() == StatusCode::FORBIDDEN && self.renew_token().await => {
                http.send(&question(self.token())).await
            }
            Ok(_) | Err(_) => result,
        }
    }

    fn token(&self) -> Vec<(HeaderName, HeaderValue)> {
        let token = self.credentials.token.borrow().clone();
        token.map(|token| (HeaderName::from_static("x-consul-token"), token)).into_iter().collect()
    }

    /// Reads the token again; whether it is another one.
    async fn renew_token(&self) -> bool {
        let Some(path) = self.credentials.file.clone() else { return false };
        let Ok(Ok(text)) = READERS.run(TOKEN, move || std::fs::read_to_string(path)).await else { return false };
        let Ok(new) = secret(&text) else { return false };
        let mut token = self.credentials.token.borrow_mut();
        let renewed = token.as_ref() != Some(&new);
        *token = Some(new);
        renewed
    }
}

async fn in_time<T>(
    within: Duration,
    asking: impl Future<Output = Result<T, RequestError>>,
) -> Result<T, RequestError> {
    tokio::time::timeout(within, asking).await.unwrap_or(Err(RequestError::Silent(within)))
}

/// Whether a connection was refused, or cut off as soon as it was used.
fn is_refused(result: &Result<Response, RequestError>, took: Duration) -> bool {
    match result {
        Ok(response) => response.status() == StatusCode::TOO_MANY_REQUESTS,
        Err(RequestError::TurnedAway(_)) => true,
        Err(RequestError::Broken(_)) => took < BLOCKS,
        Err(
            RequestError::Unsent(_) | RequestError::Silent(_) | RequestError::Refused { .. } | RequestError::Denied(_),
        ) => false,
    }
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

/// Reads the answer to a health query.
async fn instances(mut response: Response) -> Result<Instances, RequestError> {
    if response.status() != StatusCode::OK {
        let (status, retry_after) = (response.status().as_u16(), retry_after(&response));
        let body = next_piece(&mut response).await?.map(|piece| piece.to_vec()).unwrap_or_default();
        return Err(Reply { status, body, retry_after }.refusal());
    }
    let index = header(&response, "x-consul-index").and_then(|index| index.parse().ok());
    let knows_leader = header(&response, "x-consul-knownleader") != Some("false");
    let filtered = header(&response, "x-consul-results-filtered-by-acls") == Some("true");
    let mut reader = InstanceReader::new();
    while let Some(piece) = next_piece(&mut response).await? {
        reader.feed(&piece).map_err(senseless)?;
    }
    let instances = reader.finish().map_err(senseless)?;
    if instances.is_empty() && !knows_leader {
        // A server that has just started, or lost the others, has nothing yet.
        return Err(RequestError::Broken("nothing, of a server that knows no leader".to_owned()));
    }
    Ok(Instances { answer: Answer { index, instances }, filtered })
}

fn senseless(cause: InstancesError) -> RequestError {
    RequestError::Broken(cause.to_string())
}
