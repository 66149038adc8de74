//! One client: its request read, its answer written, each within its time; then the connection ends.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::budget::Share;
use super::request::{Progress, Request, RequestReader};
use super::{Body, Limits, PATIENCE, Reply, Source, reason};
use crate::output::stamp_http;

/// What a client whose request was refused may still send, so that it gets to read why.
const MOST_IGNORED: usize = 64 * 1024 * 1024;
/// How long it may take to send it.
const IGNORING: Duration = Duration::from_secs(1);
/// How often a viewer is looked for while nothing happens.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How much is read at once.
const PIECE: usize = 4 * 1024;
/// How much of an answer that goes on and on is sent at once, more or less.
const GATHERED: usize = 16 * 1024;

/// What a connection is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The client has yet to ask.
    Reading,
    /// The answer is made and sent.
    Answering,
    /// The answer goes on and on.
    Streaming,
}

/// One at a time makes a piece of an answer that goes on and on. Between two of them whoever else has something to do gets
/// his turn on the event loop, however many viewers there are.
pub(super) type Turns = Rc<Semaphore>;

pub(super) fn turns() -> Turns {
    Rc::new(Semaphore::new(1))
}

/// What a client may have of the server.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) limits: Limits,
    /// What it holds of the memory that all clients share.
    pub(super) share: Share,
    pub(super) turns: Turns,
}

pub(super) async fn serve<S, H, F>(mut stream: S, handler: Rc<H>, stage: Rc<Cell<Stage>>, terms: Terms)
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Fn(Request) -> F,
    F: Future<Output = Reply>,
{
    let Terms { limits, mut share, turns } = terms;
    let read = timeout(PATIENCE, read_request(&mut stream, limits, &mut share)).await;
    stage.set(Stage::Answering);
    let (mut reply, with_body, refused) = match read {
        Ok(Ok(Some(request))) => {
            let with_body = request.method != "HEAD";
            (handler(request).await, with_body, false)
        }
        Ok(Ok(None) | Err(ReadError::Gone)) => return,
        Ok(Err(ReadError::Status(status))) => (Reply::status_only(status), true, true),
        Err(_) => (Reply::status_only(408), true, true),
    };
    // Its request has been answered, so that the answer has the share.
    let is_too_much = match &reply.body {
        Body::Whole(body) => !share.resize(body.len()),
        Body::Stream { .. } => {
            stage.set(Stage::Streaming);
            false
        }
    };
    if is_too_much {
        reply = Reply::status_only(503);
    }
    // A client that has gone or does not read gets no answer, and there is nobody to tell.
    if write_reply(&mut stream, reply, with_body, &turns).await.is_err() {
        return;
    }
    // Closing would do, but for who is still sending.
    if refused && stream.shutdown().await.is_ok() {
        // In time or not: it has had its answer.
        drop(timeout(IGNORING, ignore_rest(&mut stream)).await);
    }
}

enum ReadError {
    Gone,
    Status(u16),
}

/// A whole request; none if the client closed without a word.
async fn read_request<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    limits: Limits,
    share: &mut Share,
) -> Result<Option<Request>, ReadError> {
    let mut reader = RequestReader::new(limits.head, limits.body);
    loop {
        let progress = read_piece(stream, |piece| reader.take(piece)).await.map_err(|_| ReadError::Gone)?;
        if let Some(Ok(Progress::Partial | Progress::AwaitsContinue)) = &progress
            && !share.resize(reader.held())
        {
            return Err(ReadError::Status(503));
        }
        match progress {
            None if reader.is_untouched() => return Ok(None),
            None => return Err(ReadError::Status(400)),
            Some(Ok(Progress::Complete(request))) => return Ok(Some(request)),
            Some(Ok(Progress::Partial)) => {}
            Some(Ok(Progress::AwaitsContinue)) => {
                stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.map_err(|_| ReadError::Gone)?;
            }
            Some(Err(problem)) => return Err(ReadError::Status(problem.status())),
        }
    }
}

/// What is made of the next piece that comes; none at the end. The buffer is on the stack: in the task it would be moved
/// about with it, and be kept for every client that waits.
async fn read_piece<S: AsyncRead + Unpin, T>(
    stream: &mut S,
    mut take: impl FnMut(&[u8]) -> T,
) -> io::Result<Option<T>> {
    poll_fn(|cx| {
        let mut piece = [0; PIECE];
        let mut piece = ReadBuf::new(&mut piece);
        ready!(Pin::new(&mut *stream).poll_read(cx, &mut piece))?;
        let piece = piece.filled();
        Poll::Ready(Ok((!piece.is_empty()).then(|| take(piece))))
    })
    .await
}

async fn write_reply<S: AsyncWrite + Unpin>(
    stream: &mut S,
    reply: Reply,
    with_body: bool,
    turns: &Semaphore,
) -> io::Result<()> {
    use std::io::Write;
    let Reply { status, content_type, headers, body } = reply;
    let mut bytes = Vec::with_capacity(256);
    let (words, date) = (reason(status), stamp_http());
    write!(bytes, "HTTP/1.1 {status} {words}\r\nDate: {date}\r\nContent-Type: {content_type}\r\n{headers}")?;
    if let Body::Whole(body) = &body {
        write!(bytes, "Content-Length: {}\r\n", body.len())?;
    }
    bytes.extend_from_slice(b"Connection: close\r\n\r\n");
    match body {
        Body::Whole(body) => {
            if with_body {
                bytes.extend_from_slice(&body);
            }
            in_time(stream.write_all(&bytes)).await?;
        }
        Body::Stream { mut source, heartbeat } => {
            in_time(stream.write_all(&bytes)).await?;
            if !with_body {
                return Ok(());
            }
            loop {
                match timeout(HEARTBEAT, next_piece(&mut *source, turns)).await {
                    Ok(Some(piece)) => in_time(stream.write_all(&piece)).await?,
                    Ok(None) => break,
                    Err(_) => in_time(stream.write_all(heartbeat)).await?,
                }
            }
        }
    }
    Ok(())
}

/// What is there by now, as much as is sent at once; waits if nothing is. None at the end.
async fn next_piece(source: &mut dyn Source, turns: &Semaphore) -> Option<Vec<u8>> {
    let mut piece = Vec::new();
    if !poll_fn(|cx| source.poll_append(cx, &mut piece)).await {
        return None;
    }
    let _turn = turns.acquire().await;
    poll_fn(|cx| {
        while piece.len() < GATHERED && source.poll_append(cx, &mut piece) == Poll::Ready(true) {}
        Poll::Ready(())
    })
    .await;
    // Not before the event loop has looked for news from outside.
    tokio::task::yield_now().await;
    Some(piece)
}

async fn in_time(work: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    timeout(PATIENCE, work).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// Whoever is still sending does not listen yet: closing at once would throw the answer away.
async fn ignore_rest<S: AsyncRead + Unpin>(stream: &mut S) {
    let mut ignored = 0;
    while let Ok(Some(count)) = read_piece(stream, <[u8]>::len).await {
        ignored += count;
        if ignored > MOST_IGNORED {
            return;
        }
    }
}
