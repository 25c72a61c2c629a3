//! The plain driver: a few threads with pread, pwrite and fdatasync through the page cache, for hosts that refuse
//! io_uring or O_DIRECT.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, SendTimeoutError, Sender, bounded};

use super::ending::Ending;
use super::host::{HostDisk, Outcome, Queue, Request};
use super::progress::{Progress, Step};
use super::{DiskError, DiskResult};

/// Settings of the plain driver.
#[derive(Debug, Clone, Copy)]
pub struct PlainOptions {
    /// Threads of one disk: requests that the operating system sees at a time.
    pub threads: usize,
    /// Requests that may wait; who comes later waits for [`PATIENCE`], then is refused.
    pub queue: usize,
}

impl Default for PlainOptions {
    fn default() -> Self {
        Self { threads: 4, queue: 256 }
    }
}

/// How long a full queue may hold a caller up before its request is refused as late: longer than any disk that works.
const PATIENCE: Duration = Duration::from_secs(10);

/// Opens an existing folder as a disk with the plain driver.
pub fn open_plain(path: &Path, options: PlainOptions) -> DiskResult<HostDisk> {
    let pool = Pool::start(options)
        .map_err(|error| DiskError::io("start threads", ".", &path.display().to_string(), error))?;
    HostDisk::open(path, "plain", 0, Arc::new(pool))
}

/// The threads of one disk. Dropping it finishes what was handed over and waits for them, but not for long: see [`Ending`].
struct Pool {
    sender: Option<Sender<Request>>,
    ending: Ending,
}

impl Pool {
    fn start(options: PlainOptions) -> io::Result<Self> {
        let (sender, receiver) = bounded(options.queue.max(1));
        let (alive, ending) = Ending::new();
        for _ in 0..options.threads.max(1) {
            let receiver: Receiver<Request> = receiver.clone();
            let alive = alive.clone();
            let work = move || {
                receiver.iter().for_each(perform);
                drop(alive);
            };
            drop(std::thread::Builder::new().name("kovcheg-disk".to_owned()).spawn(work)?);
        }
        Ok(Self { sender: Some(sender), ending })
    }
}

impl Queue for Pool {
    fn push(&self, request: Request) {
        match &self.sender {
            Some(sender) => match sender.send_timeout(request, PATIENCE) {
                Ok(()) => {}
                Err(SendTimeoutError::Timeout(request)) => request.refuse_late(),
                Err(SendTimeoutError::Disconnected(request)) => request.refuse_closed(),
            },
            None => request.refuse_closed(),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.sender = None;
        self.ending.wait("a disk");
    }
}

fn perform(mut request: Request) {
    let mut progress = Progress::new(request.len());
    let outcome = loop {
        let result = match &mut request {
            Request::Write { file, offset, data, .. } => {
                let (rest, _) = data.rest(progress.done());
                file.file.write_at(rest, offset.saturating_add(progress.done() as u64))
            }
            Request::Read { file, offset, buffer, .. } => {
                let rest = buffer.get_mut(progress.done()..).unwrap_or_default();
                file.file.read_at(rest, offset.saturating_add(progress.done() as u64))
            }
            Request::Sync { file, .. } => file.file.sync_data().map(|()| 0),
        };
        match progress.advance(result) {
            Step::More => {}
            Step::Done => break Outcome::Done,
            Step::Ended => break Outcome::Ended,
            Step::Failed(error) => break Outcome::Failed(error),
        }
    };
    request.finish(outcome);
}
