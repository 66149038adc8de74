//! Reads what one run prints as a value, such as a metric's. What goes to the log is read by `output`.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
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
            Ok(pipe) => read(pipe, end, &mut printed).await,
            Err(_) => end.await.ok(),
        };
        let Some(end) = end else { return };
        let text = String::from_utf8_lossy(&printed).into_owned();
        report.do_send(RunReport { run, fact: RunFact::Printed(text) });
        report.do_send(end);
    });
    ended
}

async fn read(pipe: Receiver, end: oneshot::Receiver<RunReport>, printed: &mut Vec<u8>) -> Option<RunReport> {
    let mut end = std::pin::pin!(end);
    let mut is_open = true;
    let report = loop {
        tokio::select! {
            end = &mut end => break end.ok(),
            ready = pipe.readable(), if is_open => {
                is_open = ready.is_ok() && take(|piece| pipe.try_read(piece), printed) != Taken::End;
            }
        }
    };
    // All that it wrote is there by now; others may go on writing. Asked for it, tokio would say that there is nothing as
    // long as epoll has not told it otherwise, and the end may be known before that.
    if let Ok(pipe) = pipe.into_nonblocking_fd() {
        let mut pipe = File::from(pipe);
        for _ in 0..MOST_PIECES {
            if take(|piece| pipe.read(piece), printed) != Taken::Piece {
                break;
            }
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

fn take(read: impl FnOnce(&mut [u8]) -> io::Result<usize>, printed: &mut Vec<u8>) -> Taken {
    let mut piece = [0; PIECE];
    match read(&mut piece) {
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::event::{Exit, RunEnd};
    use crate::sys;
    use crate::testing::{probe, secs};

    #[actix::test]
    async fn what_was_written_is_there_even_if_the_end_is_known_before_it_is_seen() {
        let (ours, theirs) = sys::output_pipe().unwrap();
        File::from(theirs).write_all(b"5\n").unwrap();
        let (report, mut reports) = probe::<RunReport>();
        let end = RunReport { run: RunId(1), fact: RunFact::Ended(RunEnd::Exited(Exit::Status(0))) };
        // Nobody has looked at the pipe yet.
        start(ours, RunId(1), report).send(end).unwrap();
        let first = reports.next(secs(5)).await;
        assert!(matches!(&first.fact, RunFact::Printed(text) if text == "5\n"), "{first:?}");
        assert!(matches!(reports.next(secs(5)).await.fact, RunFact::Ended(_)));
    }
}
