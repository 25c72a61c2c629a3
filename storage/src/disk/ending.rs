//! The end of a driver's threads, which a disk that hangs must not put off for ever: a vault that is told to stop stops.

use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

/// How long the end of a driver waits for what is still in the hands of the operating system: longer than any disk that works.
const PATIENCE: Duration = Duration::from_secs(5);

/// Held by each thread of a driver until it ends.
pub(super) type Alive = Sender<()>;

/// Waits for the threads of a driver.
pub(super) struct Ending {
    ended: Receiver<()>,
}

impl Ending {
    /// A mark for every thread, and the place where its end shows.
    pub(super) fn new() -> (Alive, Self) {
        let (alive, ended) = bounded(1);
        (alive, Self { ended })
    }

    /// Waits until every mark is gone, at most [`PATIENCE`]. Threads that hang then keep what they own and are left alone; nobody
    /// waits for their answers any more.
    pub(super) fn wait(&self, driver: &str) {
        if self.ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!(driver, "requests that a disk does not answer are left behind");
        }
    }
}
