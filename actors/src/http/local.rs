//! A client on a Unix socket. Most have sent their request by the time they are looked at, so the event loop hears only
//! of those that have not: telling it costs more than all the rest of a ping.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream as StdStream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

use crate::sys;

#[derive(Debug)]
enum State {
    /// In non-blocking mode, unknown to the event loop.
    Fresh(StdStream),
    /// Known to it.
    Watched(AsyncFd<StdStream>),
    /// The event loop could not take it.
    Lost,
}

/// See the module.
#[derive(Debug)]
pub(super) struct LocalStream(State);

impl LocalStream {
    pub(super) fn new(stream: StdStream) -> Self {
        Self(State::Fresh(stream))
    }

    fn poll_io(
        &mut self,
        cx: &mut Context<'_>,
        interest: Interest,
        mut work: impl FnMut(&StdStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            match &mut self.0 {
                State::Fresh(stream) => match work(stream) {
                    Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => self.watch()?,
                    done => return Poll::Ready(done),
                },
                State::Watched(stream) => {
                    let mut ready = ready!(if interest.is_readable() {
                        stream.poll_read_ready(cx)
                    } else {
                        stream.poll_write_ready(cx)
                    })?;
                    if let Ok(done) = ready.try_io(|stream| work(stream.get_ref())) {
                        return Poll::Ready(done);
                    }
                }
                State::Lost => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            }
        }
    }

    fn watch(&mut self) -> io::Result<()> {
        if let State::Fresh(stream) = std::mem::replace(&mut self.0, State::Lost) {
            self.0 = State::Watched(sys::watch_stream(stream)?);
        }
        Ok(())
    }
}

impl AsyncRead for LocalStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let unfilled = buffer.initialize_unfilled();
        let count = ready!(self.poll_io(cx, Interest::READABLE, |mut stream| stream.read(unfilled)))?;
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for LocalStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_io(cx, Interest::WRITABLE, |mut stream| stream.write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = match &self.0 {
            State::Fresh(stream) => stream,
            State::Watched(stream) => stream.get_ref(),
            State::Lost => return Poll::Ready(Ok(())),
        };
        Poll::Ready(stream.shutdown(std::net::Shutdown::Write))
    }
}
