//! Reads what one run prints as a value, such as a metric's. What goes to the log is read by `output`.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;

use actix::Recipient;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::oneshot;

use crate::event::RunId;
use crate::messages::{RunFact, RunReport};

/// So much is read at a time.
const PIECE: usize = 1024;
/// So many pieces are more than a pipe holds.
const MOST_PIECES: usize = 1024;
/// No value is as long; what comes after it is read and forgotten.
const LONGEST: usize = 4096;

/// Reads until the run has ended, whoever may hold the pipe then. The report of its end goes in, and comes out at `report`
/// after what it printed.
pub fn start(stdout: OwnedFd, run: RunId, report: Recipient<RunReport>) -> oneshot::Sender<RunReport> {
    let (ended, end) = oneshot::channel();
    actix::spawn(async move {
        let mut printed = Vec::new();
        let end = match Receiver::from_owned_fd(stdout) {
            Ok(pipe) => read(&pipe, end, &mut printed).await,
            Err(_) => end.await.ok(),
        };
        let Some(end) = end else { return };
        let text = String::from_utf8_lossy(&printed).into_owned();
        report.do_send(RunReport { run, fact: RunFact::Printed(text) });
        report.do_send(end);
    });
    ended
}

async fn read(pipe: &Receiver, end: oneshot::Receiver<RunReport>, printed: &mut Vec<u8>) -> Option<RunReport> {
    let mut end = std::pin::pin!(end);
    let mut is_open = true;
    let report = loop {
        tokio::select! {
            end = &mut end => break end.ok(),
            ready = pipe.readable(), if is_open => is_open = ready.is_ok() && take(pipe, printed) != Taken::End,
        }
    };
    // All that it wrote is there by now; others may go on writing.
    for _ in 0..MOST_PIECES {
        if !is_open || take(pipe, printed) != Taken::Piece {
            break;
        }
    }
    report
}

#[derive(Debug, PartialEq, Eq)]
enum Taken {
    Piece,
    Nothing,
    End,
}

fn take(pipe: &Receiver, printed: &mut Vec<u8>) -> Taken {
    let mut piece = [0; PIECE];
    match pipe.try_read(&mut piece) {
        Ok(0) => Taken::End,
        Ok(size) => {
            let room = LONGEST.saturating_sub(printed.len());
            printed.extend_from_slice(&piece[..size.min(room)]);
            Taken::Piece
        }
        Err(cause) if cause.kind() == ErrorKind::WouldBlock => Taken::Nothing,
        Err(_) => Taken::End,
    }
}
