//! Requests to Consul. Each has a deadline, connections are kept and used again.
//!
//! Not here: when to ask, and what an answer means; that is `policy`.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use awc::error::{ConnectError, SendRequestError};
use awc::http::header::{CONTENT_TYPE, HeaderValue};
use awc::http::{Method, StatusCode};
use futures_core::Stream as _;

use super::connect::{Dialler, Endpoint};
use super::tls::{self, TlsError};
use super::wire::{InstanceReader, InstancesError};
use crate::catalog::RequestError;
use crate::policy::watch::Answer;
use crate::spec::ConsulSpec;

const CONNECT: Duration = Duration::from_secs(2);
/// Longer than the pause between two requests of anybody, so that connections are used again.
const KEEP: Duration = Duration::from_secs(120);
/// Now and then a connection is made anew: whoever balances load in front of Consul wants that.
const LIFE: Duration = Duration::from_secs(1800);
/// Answers to all but health queries are short; of longer ones the rest is cut off.
const SHORT: usize = 64 * 1024;
/// How much of an answer that refuses is worth telling.
const REASON: usize = 200;

/// Why Consul cannot be asked as configured.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Not `host:port` or `unix:///path`.
    #[error("`{0}` is not an address of Consul: `host:port` or `unix:///path`")]
    Address(String),
    /// TLS cannot be done.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The token cannot be sent.
    #[error("the token of Consul holds what no header can hold")]
    Token,
    /// The file with the token cannot be read.
    #[error("cannot read `{path}`: {cause}")]
    TokenFile {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
}

/// The answer to a request.
#[derive(Debug)]
pub struct Reply {
    /// Of HTTP.
    pub status: u16,
    /// The body, cut off when it is long.
    pub body: Vec<u8>,
    /// Consul's hash of what it answered, if it has one.
    pub hash: Option<String>,
}

impl Reply {
    /// Whether it was done.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The beginning of the body, for people.
    pub fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(REASON)]).trim().to_owned();
        if text.is_empty() { "no reason given".to_owned() } else { text }
    }

    /// The error that it is.
    pub fn refusal(&self) -> RequestError {
        RequestError::Refused { status: self.status, text: self.text() }
    }
}

struct Credentials {
    token: RefCell<Option<HeaderValue>>,
    file: Option<PathBuf>,
}

/// Asks one Consul agent. Clones share connections and the token.
#[derive(Clone)]
pub struct ConsulClient {
    http: awc::Client,
    base: Rc<str>,
    credentials: Rc<Credentials>,
    dials: Rc<Cell<u64>>,
}

impl fmt::Debug for ConsulClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsulClient").field("base", &self.base).finish_non_exhaustive()
    }
}

impl ConsulClient {
    /// Reads the files that the spec names; nothing is sent yet.
    pub fn new(spec: &ConsulSpec) -> Result<Self, ClientError> {
        let invalid = || ClientError::Address(spec.address.clone());
        let (endpoint, base) = match spec.address.strip_prefix("unix://") {
            Some(path) => (Endpoint::Unix(path.into()), "http://localhost".to_owned()),
            None => {
                let (host, port) = spec.address.rsplit_once(':').ok_or_else(invalid)?;
                let port = port.parse().map_err(|_| invalid())?;
                let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
                let tls = if spec.https {
                    Some((tls::client_config(&spec.tls)?, tls::server_name(&spec.tls, bare)?))
                } else {
                    None
                };
                // TLS is a matter of the connection; the HTTP client knows nothing of it.
                (Endpoint::Tcp { host: bare.to_owned(), port, tls }, format!("http://{host}:{port}"))
            }
        };
        if base.parse::<awc::http::Uri>().is_err() {
            return Err(invalid());
        }
        let token_file = spec.token_file.clone().filter(|_| spec.token.is_none());
        let token = match (&spec.token, &token_file) {
            (Some(token), _) => Some(header(token)?),
            (None, Some(path)) => {
                let text = std::fs::read_to_string(path);
                Some(header(&text.map_err(|cause| ClientError::TokenFile { path: path.clone(), cause })?)?)
            }
            (None, None) => None,
        };
        let dials = Rc::new(Cell::new(0));
        let connector = awc::Connector::new()
            .connector(Dialler { endpoint, dials: dials.clone() })
            .timeout(CONNECT)
            .conn_keep_alive(KEEP)
            .conn_lifetime(LIFE)
            // Each service and each watch has one request under way at most.
            .limit(0);
        let http = awc::Client::builder().connector(connector).disable_timeout().disable_redirects().finish();
        let credentials = Rc::new(Credentials { token: RefCell::new(token), file: token_file });
        Ok(Self { http, base: base.into(), credentials, dials })
    }

    /// Sends a request and reads a short answer. What an agent does not understand is an answer, too.
    pub async fn ask(&self, method: Method, path: &str, body: &[u8], within: Duration) -> Result<Reply, RequestError> {
        let asking = async {
            let mut response = self.send(&method, path, body).await?;
            let hash = response.headers().get("x-consul-contenthash").and_then(|hash| hash.to_str().ok());
            let (status, hash) = (response.status().as_u16(), hash.map(str::to_owned));
            let mut body = Vec::new();
            while let Some(piece) = next_piece(&mut response).await? {
                let room = SHORT.saturating_sub(body.len());
                body.extend_from_slice(&piece[..piece.len().min(room)]);
            }
            Ok(Reply { status, body, hash })
        };
        tokio::time::timeout(within, asking).await.unwrap_or(Err(RequestError::Silent(within)))
    }

    /// Asks for the instances of a service, and waits for the answer as long as a blocking query may take.
    pub async fn instances(&self, path: &str, within: Duration) -> Result<Answer, RequestError> {
        let asking = async {
            let mut response = self.send(&Method::GET, path, b"").await?;
            if response.status() != StatusCode::OK {
                let status = response.status().as_u16();
                let body = next_piece(&mut response).await?.map(|piece| piece.to_vec()).unwrap_or_default();
                return Err(Reply { status, body, hash: None }.refusal());
            }
            let index = response.headers().get("x-consul-index").and_then(|index| index.to_str().ok()?.parse().ok());
            let mut reader = InstanceReader::new();
            while let Some(piece) = next_piece(&mut response).await? {
                reader.feed(&piece).map_err(senseless)?;
            }
            Ok(Answer { index, instances: reader.finish().map_err(senseless)? })
        };
        tokio::time::timeout(within, asking).await.unwrap_or(Err(RequestError::Silent(within)))
    }

    /// Sends, and sends again once if it went out on a connection that had been closed meanwhile, or if the token has
    /// been refused and there is a newer one.
    async fn send(&self, method: &Method, path: &str, body: &[u8]) -> Result<Response, RequestError> {
        let dials = self.dials.get();
        let mut result = self.send_once(method, path, body).await;
        if matches!(result, Err(RequestError::Broken(_))) && dials == self.dials.get() {
            result = self.send_once(method, path, body).await;
        }
        match &result {
            Ok(response) if response.status() == StatusCode::FORBIDDEN && self.renew_token().await => {
                self.send_once(method, path, body).await
            }
            Ok(_) | Err(_) => result,
        }
    }

    async fn send_once(&self, method: &Method, path: &str, body: &[u8]) -> Result<Response, RequestError> {
        // Headers are written as other clients of Consul write them; proxies may be picky.
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.base)).camel_case();
        if let Some(token) = &*self.credentials.token.borrow() {
            request = request.insert_header(("x-consul-token", token.clone()));
        }
        let sending = if body.is_empty() {
            request.send()
        } else {
            request.insert_header((CONTENT_TYPE, "application/json")).send_body(body.to_vec())
        };
        sending.await.map_err(describe)
    }

    /// Reads the token again; whether it is another one.
    async fn renew_token(&self) -> bool {
        let Some(path) = self.credentials.file.clone() else { return false };
        let reading = tokio::task::spawn_blocking(move || std::fs::read_to_string(path));
        let Ok(Ok(text)) = reading.await else { return false };
        let Ok(new) = header(&text) else { return false };
        let mut token = self.credentials.token.borrow_mut();
        let renewed = token.as_ref() != Some(&new);
        *token = Some(new);
        renewed
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the enums are not ours, and all else is one thing to us")]
fn describe(error: SendRequestError) -> RequestError {
    match error {
        SendRequestError::Connect(ConnectError::Timeout) => RequestError::Unsent("cannot connect in time".to_owned()),
        SendRequestError::Connect(ConnectError::Io(cause)) => RequestError::Unsent(format!("cannot connect: {cause}")),
        SendRequestError::Connect(other) => RequestError::Unsent(format!("cannot connect: {other}")),
        other => RequestError::Broken(other.to_string()),
    }
}

fn senseless(cause: InstancesError) -> RequestError {
    RequestError::Broken(cause.to_string())
}

type Response = awc::ClientResponse;

fn header(token: &str) -> Result<HeaderValue, ClientError> {
    let mut value = HeaderValue::from_str(token.trim()).map_err(|_| ClientError::Token)?;
    value.set_sensitive(true);
    Ok(value)
}

async fn next_piece(response: &mut Response) -> Result<Option<bytes::Bytes>, RequestError> {
    let piece = std::future::poll_fn(|cx| Pin::new(&mut *response).poll_next(cx)).await;
    piece.transpose().map_err(|cause| RequestError::Broken(cause.to_string()))
}
