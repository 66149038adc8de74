//! Takes clients, as many as there may be.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::rc::Rc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinHandle};

use super::connection::{Stage, Turns, serve, turns};
use super::local::LocalStream;
use super::request::Request;
use super::{MOST_CLIENTS, Reply};
use crate::sys;

/// How long to wait when the system has no descriptors left for a client.
const NO_DESCRIPTORS: Duration = Duration::from_millis(100);

/// Where clients come from.
#[derive(Debug)]
pub enum Listener {
    /// A socket in the file system.
    Unix(AsyncFd<UnixListener>),
    /// A port.
    Tcp(TcpListener),
}

/// Takes clients for as long as it lives. Its end ends those whose request has not come or whose answer goes on and on.
#[derive(Debug)]
pub struct Server {
    accepting: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Server {
    /// Answers what clients ask for. To be called in an actor's arbiter.
    pub fn start<H, F>(listener: Listener, handler: H) -> Self
    where
        H: Fn(Request) -> F + 'static,
        F: Future<Output = Reply> + 'static,
    {
        let handler = Rc::new(handler);
        let mut clients = Clients { served: VecDeque::new(), turns: turns() };
        let accepting = actix::spawn(async move {
            loop {
                let accepted = match &listener {
                    Listener::Unix(listener) => {
                        accept_local(listener).await.map(|stream| clients.admit(LocalStream::new(stream), &handler))
                    }
                    Listener::Tcp(listener) => {
                        listener.accept().await.map(|(stream, _)| clients.admit(stream, &handler))
                    }
                };
                if let Err(cause) = accepted
                    && !is_of_the_client(&cause)
                {
                    actix::clock::sleep(NO_DESCRIPTORS).await;
                }
            }
        });
        Self { accepting }
    }
}

async fn accept_local(listener: &AsyncFd<UnixListener>) -> io::Result<UnixStream> {
    listener.async_io(Interest::READABLE, sys::accept_unix).await
}

fn is_of_the_client(cause: &io::Error) -> bool {
    matches!(cause.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

/// Those who are being served, the oldest first.
#[derive(Debug)]
struct Clients {
    served: VecDeque<(Rc<Cell<Stage>>, AbortHandle)>,
    turns: Turns,
}

impl Clients {
    fn admit<S, H, F>(&mut self, stream: S, handler: &Rc<H>)
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static,
        H: Fn(Request) -> F + 'static,
        F: Future<Output = Reply> + 'static,
    {
        // The connections before a short one have mostly ended, so the list stays as short as the number of clients.
        while self.served.front().is_some_and(|(_, client)| client.is_finished()) {
            self.served.pop_front();
        }
        if self.served.len() >= MOST_CLIENTS && !self.make_room() {
            return;
        }
        let stage = Rc::new(Cell::new(Stage::Reading));
        let task = actix::spawn(serve(stream, handler.clone(), stage.clone(), self.turns.clone()));
        self.served.push_back((stage, task.abort_handle()));
    }

    /// Lets the slowest go: first who has not asked, then who only watches. Whoever is owed an answer gets it.
    fn make_room(&mut self) -> bool {
        self.served.retain(|(_, client)| !client.is_finished());
        if self.served.len() < MOST_CLIENTS {
            return true;
        }
        let at = [Stage::Reading, Stage::Streaming]
            .into_iter()
            .find_map(|wanted| self.served.iter().position(|(stage, _)| stage.get() == wanted));
        let Some((_, client)) = at.and_then(|at| self.served.remove(at)) else { return false };
        client.abort();
        true
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        for (stage, client) in &self.served {
            if stage.get() != Stage::Answering {
                client.abort();
            }
        }
    }
}
