//! The one place for work that may block: files on a dead NFS, FIFOs, `/proc` of a stuck process, templates without an end.
//!
//! Each piece of work has a thread of its own, for as long as it takes, and its caller a deadline. The work cannot be
//! interrupted, so a thread that hangs is left behind; how many of a kind may hang is bounded by its `Lane`. Neither the event loop nor the
//! end of the process waits for one. (The runtime's own pool would: its threads are joined, and it panics without a thread.)

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;

/// Why a piece of work has no result.
#[derive(Debug, thiserror::Error)]
pub enum BlockingError {
    /// The operating system gives us no thread.
    #[error("no thread can be started: {0}")]
    NoThread(#[source] io::Error),
    /// As many pieces of this kind as may be at work are.
    #[error("the last one still hangs")]
    Busy,
    /// It takes too long. It may still be at work.
    #[error("not done within {} s", .0.as_secs_f32())]
    Late(Duration),
    /// It panicked.
    #[error("it panicked")]
    Panicked,
}

/// A kind of work, of which a bounded number of pieces is at work at a time.
#[derive(Clone, Debug)]
pub struct Lane {
    at_work: Arc<AtomicUsize>,
    most: usize,
}

impl Lane {
    /// At most this many at a time.
    pub fn new(most: usize) -> Self {
        Self { at_work: Arc::default(), most }
    }

    /// Whether no more can be taken on.
    pub fn is_full(&self) -> bool {
        self.at_work.load(Ordering::Relaxed) >= self.most
    }

    /// Does some work on a thread, and waits for its result for at most this long. A result that comes later is dropped on the
    /// thread.
    pub async fn run<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, BlockingError> {
        let place = self.take_place().ok_or(BlockingError::Busy)?;
        let (done, result) = oneshot::channel();
        let thread = std::thread::Builder::new().name("blocking".into()).spawn(move || {
            let result = catch_unwind(AssertUnwindSafe(work));
            // Before the result: its receiver may ask again at once.
            drop(place);
            // The caller may have given up.
            drop(done.send(result));
        });
        // It is detached, and never joined.
        drop(thread.map_err(BlockingError::NoThread)?);
        match tokio::time::timeout(limit, result).await {
            Ok(Ok(Ok(result))) => Ok(result),
            Ok(Ok(Err(_)) | Err(_)) => Err(BlockingError::Panicked),
            Err(_) => Err(BlockingError::Late(limit)),
        }
    }

    fn take_place(&self) -> Option<Place> {
        let taken = self.at_work.fetch_add(1, Ordering::Relaxed);
        let place = Place(self.at_work.clone());
        (taken < self.most).then_some(place)
    }
}

/// A place in a lane, free again when this is dropped.
#[derive(Debug)]
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether a thread can be had now. For libraries that panic where they cannot have theirs.
pub fn thread_to_be_had() -> io::Result<()> {
    let thread = std::thread::Builder::new().stack_size(16 * 1024).spawn(|| ())?;
    // It does nothing, so this does not wait.
    drop(thread.join());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::testing::{secs, until};

    #[actix::test]
    async fn work_is_done_elsewhere_and_its_result_comes_back() {
        let here = std::thread::current().id();
        let there = Lane::new(1).run(secs(10), || std::thread::current().id()).await.unwrap();
        assert_ne!(here, there);
    }

    #[actix::test]
    async fn work_that_hangs_is_left_behind_and_counts_until_it_ends() {
        let lane = Lane::new(1);
        let (go_on, told) = mpsc::channel::<()>();
        let late = lane.run(Duration::from_millis(1), move || told.recv()).await;
        assert!(matches!(late, Err(BlockingError::Late(_))), "{late:?}");
        let busy = lane.run(secs(10), || ()).await;
        assert!(matches!(busy, Err(BlockingError::Busy)), "{busy:?}");
        drop(go_on);
        until(secs(10), || lane.is_full(), |full| !full).await;
        lane.run(secs(10), || ()).await.unwrap();
    }

    #[actix::test]
    async fn a_panic_is_an_error_of_that_work_only() {
        let lane = Lane::new(1);
        let panicked = lane.run(secs(10), || panic!("as asked")).await;
        assert!(matches!(panicked, Err(BlockingError::Panicked)), "{panicked:?}");
        assert_eq!(lane.run(secs(10), || 1).await.unwrap(), 1);
    }

    #[test]
    fn there_is_a_thread_in_an_ordinary_place() {
        thread_to_be_had().unwrap();
    }
}
