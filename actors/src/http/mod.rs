//! As much HTTP/1.1 as a control socket and a metrics port need: one request a connection, everything bounded.
//!
//! Our own, over `httparse`: a request has to be cut off by size and by time, a socket has to have its mode before its
//! first client, and a ping has to cost less than 3.8's; `actix-http` would bring two hundred kilobytes for that.
//! Not here: what is asked for, and who may ask.

mod budget;
mod connection;
mod local;
mod request;
mod server;

use std::borrow::Cow;
use std::fmt;
use std::task::{Context, Poll};
use std::time::Duration;

pub use request::{Problem, Progress, Request, RequestReader, percent_encode};
pub use server::{Listener, Server};

/// What the clients of a server may have us keep.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest request line with all headers.
    pub head: usize,
    /// The largest body of a request.
    pub body: usize,
    /// What all clients together hold at most, of requests that are not answered yet and of answers that are not taken yet. Whoever
    /// needs more than is left is answered with 503.
    pub together: usize,
}

/// A request has to be here, and its answer has to be taken, within this time each.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// So many clients are served at a time; one more takes the place of the one that is slowest to ask.
pub const MOST_CLIENTS: usize = 256;

/// Text, as 3.8 sends it.
pub const TEXT: &str = "text/plain; charset=utf-8";
/// Server-sent events.
pub const EVENT_STREAM: &str = "text/event-stream";
/// What machines read.
pub const JSON: &str = "application/json";
/// A JSON object a line.
pub const JSON_LINES: &str = "application/x-ndjson";

/// The header for what is only read.
pub const ALLOW_GET: &str = "Allow: GET, HEAD\r\n";
/// The header for what changes something.
pub const ALLOW_POST: &str = "Allow: POST\r\n";

/// A body that goes on and on.
pub trait Source {
    /// Appends a little more to a piece of the body; false at the end, and from then on.
    fn poll_append(&mut self, cx: &mut Context<'_>, piece: &mut Vec<u8>) -> Poll<bool>;
}

/// What a body is made of.
pub enum Body {
    /// All of it.
    Whole(Cow<'static, [u8]>),
    /// Piece after piece, until there are no more or the client is gone.
    Stream {
        /// Asked for more when the client has taken what was there.
        source: Box<dyn Source>,
        /// What means nothing, to learn now and then whether anybody is still there.
        heartbeat: &'static [u8],
    },
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(body) => f.debug_tuple("Whole").field(&body.len()).finish(),
            Self::Stream { .. } => f.write_str("Stream"),
        }
    }
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// 200 and so on.
    pub status: u16,
    /// What the body is.
    pub content_type: &'static str,
    /// Any other headers, each with its line end.
    pub headers: &'static str,
    /// The body.
    pub body: Body,
}

impl Reply {
    /// An answer of a given type.
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Cow<'static, [u8]>>) -> Self {
        Self { status, content_type, headers: "", body: Body::Whole(body.into()) }
    }

    /// 3.8: what was done is confirmed with an empty line.
    pub fn done() -> Self {
        Self::new(200, TEXT, &b"\n"[..])
    }

    /// The status in words, as 3.8's errors have it.
    pub fn status_only(status: u16) -> Self {
        Self::new(status, TEXT, format!("{}\n", reason(status)).into_bytes())
    }

    /// There is such a path, but not for this method. `allow` is the header that says for which, with its line end.
    pub fn not_allowed(allow: &'static str) -> Self {
        Self { headers: allow, ..Self::status_only(405) }
    }

    /// Why not, as text.
    pub fn refused(status: u16, why: &str) -> Self {
        Self::new(status, TEXT, format!("{}\n", why.trim_end()).into_bytes())
    }

    /// A body that goes on and on, of server-sent events or of lines.
    pub fn stream(content_type: &'static str, source: impl Source + 'static) -> Self {
        // A comment, or an empty line.
        let heartbeat: &[u8] = if content_type == EVENT_STREAM { b":\n\n" } else { b"\n" };
        let body = Body::Stream { source: Box::new(source), heartbeat };
        // nginx keeps back what it is not told to pass on, and so do caches.
        let headers = "Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n";
        Self { status: 200, content_type, headers, body }
    }
}

/// The words for a status.
pub fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Request Entity Too Large",
        417 => "Expectation Failed",
        422 => "Unprocessable Entity",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Internal Server Error",
    }
}
