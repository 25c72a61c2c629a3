//! The CPU workers: a fixed number of threads behind a bounded queue. Callers wait asynchronously while the queue is full.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, unbounded};
use tokio::sync::{Semaphore, oneshot};

use crate::error::{StorageError, StorageResult};

type Job = Box<dyn FnOnce() + Send>;

/// A pool of workers. Dropping it ends them after what is queued.
pub struct WorkerPool {
    queue: Option<Sender<Job>>,
    room: Arc<Semaphore>,
    threads: Vec<JoinHandle<()>>,
}

impl WorkerPool {
    /// Starts `threads` workers; at most `queue` jobs wait or run.
    pub fn start(threads: usize, queue: usize) -> StorageResult<Self> {
        let (sender, receiver) = unbounded::<Job>();
        let mut handles = Vec::new();
        for number in 0..threads.max(1) {
            let receiver = receiver.clone();
            let handle = std::thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || work(&receiver))
                .map_err(|error| StorageError::Operator(format!("cannot start a worker thread: {error}")))?;
            handles.push(handle);
        }
        Ok(Self { queue: Some(sender), room: Arc::new(Semaphore::new(queue.max(1))), threads: handles })
    }

    /// Queues `job`, waiting while the queue is full, and answers where its result will arrive.
    pub async fn begin<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> StorageResult<oneshot::Receiver<T>> {
        let ended = || StorageError::Stopping("its workers ended".into());
        let permit = self.room.clone().acquire_owned().await.map_err(|_| ended())?;
        let (answer, outcome) = oneshot::channel();
        let queued = Box::new(move || {
            let _ = answer.send(job());
            drop(permit);
        });
        self.queue.as_ref().ok_or_else(ended)?.send(queued).map_err(|_| ended())?;
        Ok(outcome)
    }

    /// Queues `job` without waiting for room: for callers that have few jobs of their own at a time.
    pub fn push(&self, job: impl FnOnce() + Send + 'static) -> StorageResult<()> {
        let ended = || StorageError::Stopping("its workers ended".into());
        self.queue.as_ref().ok_or_else(ended)?.send(Box::new(job)).map_err(|_| ended())
    }

    /// Runs `job` on a worker and answers its result. When the future is dropped, a job that was queued still runs.
    pub async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> StorageResult<T> {
        let outcome = self.begin(job).await?;
        outcome.await.map_err(|_| failed_job())
    }
}

/// The error of a job that never answered.
#[must_use]
pub fn failed_job() -> StorageError {
    StorageError::Stopping("a worker failed; see the log".into())
}

fn work(jobs: &Receiver<Job>) {
    while let Ok(job) = jobs.recv() {
        // A panic in one job must not take the worker from all others; its caller hears that the answer never came.
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)).is_err() {
            tracing::error!("a job panicked; its request failed");
        }
    }
}

impl Drop for WorkerPool {
    fn drop(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
                tracing::error!("a worker thread panicked");
            }
        }
    }
}
