//! Takes clients, as many as there may be.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::os::unix::net::UnixListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinHandle};

use super::budget::Budget;
use super::connection::{Stage, Terms, Turns, serve, turns};
use super::local::LocalStream;
use super::request::Request;
use super::{Limits, MOST_CLIENTS, Reply};
use crate::sys;

/// How many clients are admitted before anybody else gets a turn.
const AT_ONCE: usize = 16;
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
    pub fn start<H, F>(listener: Listener, limits: Limits, handler: H) -> Self
    where
        H: Fn(Request) -> F + 'static,
        F: Future<Output = Reply> + 'static,
    {
        let handler = Rc::new(handler);
        let budget = Budget::new(limits.together);
        let mut clients = Clients { served: VecDeque::new(), turns: turns(), limits, budget };
        let accepting = actix::spawn(async move {
            loop {
                let accepted = match &listener {
                    Listener::Unix(listener) => admit_local(listener, &mut clients, &handler).await,
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

/// Admits those who wait. Whether there is one more is looked for: to accept in vain costs the kernel almost as much as
/// a client.
async fn admit_local<H, F>(listener: &AsyncFd<UnixListener>, clients: &mut Clients, handler: &Rc<H>) -> io::Result<()>
where
    H: Fn(Request) -> F + 'static,
    F: Future<Output = Reply> + 'static,
{
    let mut ready = listener.readable().await?;
    for _ in 0..AT_ONCE {
        match sys::accept_unix(listener.get_ref()) {
            Ok(stream) => clients.admit(LocalStream::new(stream), handler),
            Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {}
            Err(cause) => return Err(cause),
        }
        if !sys::is_readable(listener.get_ref())? {
            ready.clear_ready();
            return Ok(());
        }
    }
    tokio::task::yield_now().await;
    Ok(())
}

fn is_of_the_client(cause: &io::Error) -> bool {
    matches!(cause.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

/// Those who are being served, the oldest first.
#[derive(Debug)]
struct Clients {
    served: VecDeque<(Rc<Cell<Stage>>, AbortHandle)>,
    turns: Turns,
    limits: Limits,
    budget: Budget,
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
        let terms = Terms { limits: self.limits, share: self.budget.share(), turns: self.turns.clone() };
        let mut serving = Box::pin(serve(stream, handler.clone(), stage.clone(), terms));
        // Most are served as soon as they are looked at, and need no task. One that does is looked at again as it begins,
        // so nobody has to be woken yet. A panic would be the end of its task only, and must not be that of the server.
        let mut context = Context::from_waker(Waker::noop());
        let waits = catch_unwind(AssertUnwindSafe(|| serving.as_mut().poll(&mut context).is_pending()));
        if waits.unwrap_or(false) {
            let task = actix::spawn(serving);
            self.served.push_back((stage, task.abort_handle()));
        }
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

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixStream};

    use tokio::io::AsyncReadExt;

    use super::*;

    /// A server that panics at one path and waits for ever at another, and where it is.
    fn server(name: &str) -> (Server, SocketAddr) {
        let name = format!("containerpilot-{name}-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name).expect("the name is short");
        let listener = UnixListener::bind_addr(&address).expect("the name is ours");
        listener.set_nonblocking(true).expect("it is open");
        let listener = Listener::Unix(sys::watch_listener(listener).expect("there is an event loop"));
        let limits = Limits { head: 1024, body: 1024, together: 64 * 1024 };
        let server = Server::start(listener, limits, |request| async move {
            match request.path.as_str() {
                "/panic" => panic!("as asked"),
                "/wait" => std::future::pending().await,
                _ => Reply::done(),
            }
        });
        (server, address)
    }

    /// A client that has asked before anybody looks.
    fn client(address: &SocketAddr, request: &str) -> tokio::net::UnixStream {
        let mut stream = UnixStream::connect_addr(address).expect("somebody listens");
        stream.write_all(request.as_bytes()).expect("there is room");
        stream.set_nonblocking(true).expect("it is open");
        tokio::net::UnixStream::from_std(stream).expect("there is an event loop")
    }

    async fn answer(mut client: tokio::net::UnixStream) -> String {
        let mut text = String::new();
        client.read_to_string(&mut text).await.expect("the server closes");
        text
    }

    #[actix::test]
    async fn a_panic_ends_one_client_only() {
        let (_server, address) = server("panic");
        let (unlucky, other) =
            (client(&address, "GET /panic HTTP/1.0\r\n\r\n"), client(&address, "GET / HTTP/1.0\r\n\r\n"));
        assert_eq!(answer(unlucky).await, "");
        assert!(answer(other).await.starts_with("HTTP/1.1 200 "));
        assert!(answer(client(&address, "GET / HTTP/1.0\r\n\r\n")).await.starts_with("HTTP/1.1 200 "));
    }

    #[actix::test]
    async fn all_who_come_at_once_are_answered_but_for_those_that_wait() {
        let (_server, address) = server("crowd");
        let waiting: Vec<_> = (0..AT_ONCE).map(|_| client(&address, "GET /wait HTTP/1.0\r\n\r\n")).collect();
        let slow: Vec<_> = (0..AT_ONCE).map(|_| client(&address, "GET / HTT")).collect();
        let quick: Vec<_> = (0..3 * AT_ONCE).map(|_| client(&address, "GET / HTTP/1.0\r\n\r\n")).collect();
        for client in quick {
            assert!(answer(client).await.starts_with("HTTP/1.1 200 "));
        }
        for mut client in slow {
            tokio::io::AsyncWriteExt::write_all(&mut client, b"P/1.0\r\n\r\n").await.expect("there is room");
            assert!(answer(client).await.starts_with("HTTP/1.1 200 "));
        }
        drop(waiting);
    }
}
