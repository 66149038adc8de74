//! Connections to a catalog's server: TCP, TLS over TCP, and Unix sockets, as one kind of stream for the HTTP client.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_rt::net::{ActixStream, Ready, TcpStream, UnixStream};
use actix_service::Service;
use actix_tls::connect::{ConnectError, ConnectInfo, Connection};
use awc::http::Uri;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::dns;
use super::tls::{TlsFiles, explain, is_about_certificates};
use crate::sys;

/// Where a server listens, and how to speak to it.
#[derive(Clone)]
pub enum Endpoint {
    /// A Unix socket.
    Unix(PathBuf),
    /// A host, with TLS if there is a configuration of it.
    Tcp {
        /// A name, or an address without brackets.
        host: String,
        /// Its port.
        port: u16,
        /// The files of TLS and the name to ask for and verify.
        tls: Option<(Rc<TlsFiles>, ServerName<'static>)>,
    },
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port, tls } => {
                write!(f, "{host}:{port}{}", if tls.is_some() { " with TLS" } else { "" })
            }
        }
    }
}

impl Endpoint {
    async fn connect(self) -> io::Result<Stream> {
        let (host, port, tls) = match self {
            Self::Unix(path) => return Ok(Stream::Unix(UnixStream::connect(path).await?)),
            Self::Tcp { host, port, tls } => (host, port, tls),
        };
        let stream = connect_any(dns::resolve(&host).await?, port).await?;
        stream.set_nodelay(true)?;
        sys::keep_alive(&stream)?;
        match tls {
            None => Ok(Stream::Tcp(stream)),
            Some((files, name)) => match TlsConnector::from(files.current().await).connect(name, stream).await {
                Ok(stream) => Ok(Stream::Tls(Box::new(stream), files)),
                Err(cause) => Err(blame(cause, &files)),
            },
        }
    }
}

/// Has the files read again if they may be the reason.
fn blame(cause: io::Error, files: &TlsFiles) -> io::Error {
    let is_theirs = is_about_certificates(&cause);
    let cause = explain(cause, files.spec());
    if !is_theirs {
        return cause;
    }
    files.suspect();
    match files.trouble() {
        Some(trouble) => io::Error::new(cause.kind(), format!("{cause}; the TLS files have changed: {trouble}")),
        None => cause,
    }
}

async fn connect_any(addresses: Vec<IpAddr>, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no address");
    for address in addresses {
        match TcpStream::connect(SocketAddr::new(address, port)).await {
            Ok(stream) => return Ok(stream),
            Err(cause) => last = cause,
        }
    }
    Err(last)
}

/// A connection.
pub enum Stream {
    /// Plain.
    Tcp(TcpStream),
    /// Encrypted.
    Tls(Box<TlsStream<TcpStream>>, Rc<TlsFiles>),
    /// Local.
    Unix(UnixStream),
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp(_) => "Tcp",
            Self::Tls(..) => "Tls",
            Self::Unix(_) => "Unix",
        })
    }
}

macro_rules! each {
    ($stream:expr, $inner:ident => $call:expr) => {
        match $stream {
            Stream::Tcp($inner) => $call,
            Stream::Tls($inner, _) => $call,
            Stream::Unix($inner) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            // In TLS 1.3 a server that does not want our certificate says so when we are done.
            Self::Tls(stream, files) => Pin::new(stream).poll_read(cx, buf).map_err(|cause| blame(cause, files)),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_shutdown(cx))
    }
}

impl ActixStream for Stream {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        match self {
            Self::Tcp(stream) => ActixStream::poll_read_ready(stream, cx),
            Self::Tls(stream, _) => ActixStream::poll_read_ready(stream.get_ref().0, cx),
            Self::Unix(stream) => ActixStream::poll_read_ready(stream, cx),
        }
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        match self {
            Self::Tcp(stream) => ActixStream::poll_write_ready(stream, cx),
            Self::Tls(stream, _) => ActixStream::poll_write_ready(stream.get_ref().0, cx),
            Self::Unix(stream) => ActixStream::poll_write_ready(stream, cx),
        }
    }
}

/// Makes connections to one endpoint, whatever the HTTP client thinks the host is.
#[derive(Clone, Debug)]
pub struct Dialler {
    /// Where to.
    pub endpoint: Endpoint,
    /// How many connections have been wanted.
    pub dials: Rc<Cell<u64>>,
    /// Whether none is to be made now.
    pub refuses: Rc<Cell<bool>>,
}

impl Service<ConnectInfo<Uri>> for Dialler {
    type Response = Connection<Uri, Stream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>>>>;

    actix_service::always_ready!();

    fn call(&self, request: ConnectInfo<Uri>) -> Self::Future {
        let endpoint = self.endpoint.clone();
        self.dials.set(self.dials.get() + 1);
        if self.refuses.get() {
            return Box::pin(std::future::ready(Err(ConnectError::Unresolved)));
        }
        Box::pin(async move {
            let stream = endpoint.connect().await.map_err(ConnectError::Io)?;
            Ok(Connection::new(request.request().clone(), stream))
        })
    }
}
