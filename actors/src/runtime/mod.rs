//! What the actors run on: the event loop, the pump's thread, and threads for work that may block. All of it may be refused by the
//! operating system, so nothing here panics for want of a thread or a descriptor.

pub mod blocking;

use std::io;
use std::os::unix::net::UnixStream;

use actix::{Arbiter, ArbiterHandle, System};
use actix_rt::SystemRunner;

use crate::sys::PipePoll;

/// Pairs of descriptors that the event loop needs while it is made. tokio panics where it cannot have one of them.
const PAIRS: usize = 4;

/// Makes the event loop of this thread. Its end waits for no thread: what is still at work then ends with the process.
pub fn event_loop() -> io::Result<SystemRunner> {
    // tokio takes a failure of this for a broken program, too.
    PipePoll::new()?.check()?;
    drop((0..PAIRS).map(|_| UnixStream::pair()).collect::<io::Result<Vec<_>>>()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    // Never dropped: there is one a process, and dropping it could wait for a thread that hangs.
    let runtime: &'static _ = Box::leak(Box::new(runtime));
    Ok(System::with_tokio_rt(|| runtime))
}

/// Where the pump runs: on a thread of its own or, if none is to be had, on that of the event loop, with the reason. A reader of the
/// log that stands still then keeps everything else waiting, too; that is better than no container.
pub fn arbiter_of_pump() -> (ArbiterHandle, Option<io::Error>) {
    match Arbiter::try_new() {
        Ok(arbiter) => (arbiter.handle(), None),
        Err(cause) => (System::current().arbiter().clone(), Some(cause)),
    }
}
