//! Requests to a catalog's server over HTTP/1.1: connections are kept and used again, answers are read piece by piece.
//!
//! Not here: what is asked, and which server; that is for each catalog.

mod connect;
pub(crate) mod dns;
mod tls;

use std::cell::Cell;
use std::fmt;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use awc::error::{ConnectError, SendRequestError};
use awc::http::Method;
use awc::http::header::{CONTENT_TYPE, DATE, HeaderName, HeaderValue, HttpDate, RETRY_AFTER};
use futures_core::Stream as _;

pub use tls::{Found, TlsError, TlsFiles, client_config};

use super::RequestError;
use connect::{Dialler, Endpoint};

const CONNECT: Duration = Duration::from_secs(2);
/// Longer than the pause between two requests of anybody, so that connections are used again.
const KEEP: Duration = Duration::from_secs(120);
/// Now and then a connection is made anew: whoever balances load in front of a catalog wants that.
const LIFE: Duration = Duration::from_secs(1800);
/// How much of an answer that refuses is worth telling.
const REASON: usize = 200;
/// A longer `Retry-After` is taken for this.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(600);

/// Why a catalog cannot be asked as configured.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Not `host:port` or `unix:///path`.
    #[error("`{0}` is not an address: `host:port` or `unix:///path`")]
    Address(String),
    /// TLS cannot be done.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The token cannot be sent.
    #[error("the token holds what no header can hold")]
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

/// One request. Debug output leaves out the secrets among its headers, which are marked as such.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// `GET` and so on.
    pub method: Method,
    /// The path, with the query.
    pub path: &'a str,
    /// More headers, those that let us in among them.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// What kind of body it is.
    pub kind: &'static str,
    /// The body; often empty.
    pub body: &'a [u8],
}

/// An answer that has begun.
pub type Response = awc::ClientResponse;

/// A whole answer.
#[derive(Debug)]
pub struct Reply {
    /// Of HTTP.
    pub status: u16,
    /// The body, cut off when it is long.
    pub body: Vec<u8>,
    /// How long the server does not want to be asked again.
    pub retry_after: Option<Duration>,
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
        RequestError::Refused { status: self.status, text: self.text(), retry_after: self.retry_after }
    }
}

/// Asks one server. Clones share connections.
#[derive(Clone)]
pub struct HttpClient {
    http: awc::Client,
    base: Rc<str>,
    dials: Rc<Cell<u64>>,
    refuses: Rc<Cell<bool>>,
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("base", &self.base).finish_non_exhaustive()
    }
}

impl HttpClient {
    /// For the server at `host:port`, `[v6]:port` or `unix:///path`, over TLS if it is to be; nothing is sent yet.
    pub fn new(address: &str, tls: Option<Rc<TlsFiles>>) -> Result<Self, ClientError> {
        let invalid = || ClientError::Address(address.to_owned());
        let (endpoint, base) = match address.strip_prefix("unix://") {
            Some(path) => (Endpoint::Unix(path.into()), "http://localhost".to_owned()),
            None => {
                let (host, port) = address.rsplit_once(':').ok_or_else(invalid)?;
                let port = port.parse().map_err(|_| invalid())?;
                let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
                let tls = match tls {
                    Some(files) => {
                        let name = tls::server_name(files.spec(), bare)?;
                        Some((files, name))
                    }
                    None => None,
                };
                // TLS is a matter of the connection; the HTTP client knows nothing of it.
                (Endpoint::Tcp { host: bare.to_owned(), port, tls }, format!("http://{host}:{port}"))
            }
        };
        if base.parse::<awc::http::Uri>().is_err() {
            return Err(invalid());
        }
        let (dials, refuses): (Rc<Cell<u64>>, Rc<Cell<bool>>) = Default::default();
        let connector = awc::Connector::new()
            .connector(Dialler { endpoint, dials: dials.clone(), refuses: refuses.clone() })
            .timeout(CONNECT)
            .conn_keep_alive(KEEP)
            .conn_lifetime(LIFE)
            // Each service and each watch has one request under way at most.
            .limit(0);
        let http = awc::Client::builder().connector(connector).disable_timeout().disable_redirects().finish();
        Ok(Self { http, base: base.into(), dials, refuses })
    }

    /// Sends, and sends again once if it went out on a connection that had been closed meanwhile.
    pub async fn send(&self, question: &Question<'_>) -> Result<Response, RequestError> {
        let dials = self.dials.get();
        let result = self.send_once(question).await;
        if matches!(result, Err(RequestError::Broken(_))) && dials == self.dials.get() {
            return self.send_once(question).await;
        }
        result
    }

    /// Sends on a connection that there is, to the server that answered the last question. None if there is none, or if it ended before an
    /// answer: behind a new one there may be another server, or one that has begun anew.
    pub async fn send_on(&self, question: &Question<'_>) -> Result<Option<Response>, RequestError> {
        let mut sending = std::pin::pin!(self.send_once(question));
        // The counter grows while the request is polled that wants a connection, and nothing else is polled meanwhile.
        let result = std::future::poll_fn(|cx| {
            let dials = self.dials.get();
            self.refuses.set(true);
            let poll = sending.as_mut().poll(cx);
            self.refuses.set(false);
            if dials == self.dials.get() { poll.map(Some) } else { Poll::Ready(None) }
        });
        match result.await {
            None | Some(Err(RequestError::Broken(_))) => Ok(None),
            Some(Ok(response)) => Ok(Some(response)),
            Some(Err(error)) => Err(error),
        }
    }

    async fn send_once(&self, question: &Question<'_>) -> Result<Response, RequestError> {
        // Headers are written as other clients write them; proxies may be picky.
        let mut request =
            self.http.request(question.method.clone(), format!("{}{}", self.base, question.path)).camel_case();
        for header in &question.headers {
            request = request.insert_header(header.clone());
        }
        let sending = if question.body.is_empty() {
            request.send()
        } else {
            request.insert_header((CONTENT_TYPE, question.kind)).send_body(question.body.to_vec())
        };
        sending.await.map_err(describe)
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the enums are not ours, and all else is one thing to us")]
fn describe(error: SendRequestError) -> RequestError {
    match error {
        SendRequestError::Connect(ConnectError::Timeout) => RequestError::Unsent("cannot connect in time".to_owned()),
        SendRequestError::Connect(ConnectError::Io(cause)) if is_turned_away(cause.kind()) => {
            RequestError::TurnedAway(format!("cannot connect: {cause}"))
        }
        SendRequestError::Connect(ConnectError::Io(cause)) => RequestError::Unsent(format!("cannot connect: {cause}")),
        // awc's word for a connection that ends before an answer begins: the request may have been done.
        SendRequestError::Connect(ConnectError::Disconnected) => {
            RequestError::Broken("the connection was closed before an answer".to_owned())
        }
        SendRequestError::Connect(other) => RequestError::Unsent(format!("cannot connect: {other}")),
        other => RequestError::Broken(other.to_string()),
    }
}

fn is_turned_away(kind: ErrorKind) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, UnexpectedEof};
    matches!(kind, ConnectionRefused | ConnectionReset | ConnectionAborted | BrokenPipe | UnexpectedEof)
}

/// A value of a header that no log shows.
pub fn secret(text: &str) -> Result<HeaderValue, ClientError> {
    let mut value = HeaderValue::from_str(text.trim()).map_err(|_| ClientError::Token)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Reads an answer to its end; of a long one the rest is cut off.
pub async fn read(mut response: Response, most: usize) -> Result<Reply, RequestError> {
    let mut body = Vec::new();
    while let Some(piece) = next_piece(&mut response).await? {
        let room = most.saturating_sub(body.len());
        body.extend_from_slice(&piece[..piece.len().min(room)]);
    }
    Ok(Reply { status: response.status().as_u16(), body, retry_after: retry_after(&response) })
}

/// `Retry-After`, in seconds or as a date, which is compared with the date of the answer: the server's clock is one thing, ours another.
pub fn retry_after(response: &Response) -> Option<Duration> {
    let header = |name| response.headers().get(name)?.to_str().ok().map(str::trim);
    let written = header(RETRY_AFTER)?;
    let date = |text: &str| text.parse::<HttpDate>().ok().map(SystemTime::from);
    let pause = match written.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => date(written)?.duration_since(date(header(DATE)?)?).ok()?,
    };
    Some(pause.min(LONGEST_RETRY_AFTER))
}

/// The next piece of an answer; none at its end.
pub async fn next_piece(response: &mut Response) -> Result<Option<bytes::Bytes>, RequestError> {
    let piece = std::future::poll_fn(|cx| Pin::new(&mut *response).poll_next(cx)).await;
    piece.transpose().map_err(|cause| RequestError::Broken(cause.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    async fn take_request(stream: &mut TcpStream) -> usize {
        let mut buffer = [0; 1024];
        stream.read(&mut buffer).await.unwrap()
    }

    fn question(path: &str) -> Question<'_> {
        Question { method: Method::GET, path, headers: Vec::new(), kind: "", body: b"" }
    }

    #[actix::test]
    async fn a_connection_that_is_closed_instead_of_an_answer_is_no_failure_to_connect() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = HttpClient::new(&listener.local_addr().unwrap().to_string(), None).unwrap();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            take_request(&mut stream).await
        };
        let asked = question("/");
        let (result, _) = tokio::join!(client.send(&asked), server);
        let error = result.err().unwrap();
        assert!(matches!(error, RequestError::Broken(_)), "{error:?}");
    }

    #[actix::test]
    async fn what_went_out_on_a_stale_connection_is_sent_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = HttpClient::new(&listener.local_addr().unwrap().to_string(), None).unwrap();
        let good = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx";
        let server = async {
            let (mut first, _) = listener.accept().await.unwrap();
            take_request(&mut first).await;
            first.write_all(good).await.unwrap();
            take_request(&mut first).await;
            drop(first);
            let (mut second, _) = listener.accept().await.unwrap();
            take_request(&mut second).await;
            second.write_all(good).await.unwrap();
            second
        };
        let asking = async {
            for path in ["/one", "/two"] {
                let response = client.send(&question(path)).await.unwrap();
                assert_eq!(read(response, 10).await.unwrap().body, b"x", "{path}");
            }
        };
        tokio::join!(asking, server);
    }
}
