//! Which streams are hashed when: on the vault's CPU workers, as many together as are ready.
//!
//! A job is started when a stream cannot wait any longer, and takes every stream that has enough for it. So lanes fill by
//! themselves when the workers are busy, and a stream that is alone is hashed at once.
//!
//! Locks: a stream's, then the queue's; never two streams'. None is held while hashing or waiting.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use kovcheg_storage::error::{StorageError, StorageResult};
use kovcheg_storage::handle::VaultHandle;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::s3::md5::hash::{Hash, hash_all};
use crate::s3::md5::lanes::LANES_MAX;

/// Bytes with which a stream joins a job that others started.
const JOIN_BYTES: usize = 64 << 10;
/// Bytes with which a stream starts a job.
const START_BYTES: usize = 256 << 10;
/// Pending bytes with which a stream makes its client wait (M-1); a job may have as many again.
const HOLD_BYTES: usize = 512 << 10;
/// Bytes that are hashed where they are at the end of a stream: less than the way to a worker costs.
const INLINE_BYTES: usize = 16 << 10;

/// Hashes the bodies of one server.
#[derive(Clone)]
pub(crate) struct Md5Pool {
    shared: Arc<Shared>,
}

struct Shared {
    workers: Workers,
    jobs_max: usize,
    queue: Mutex<Queue>,
}

/// Hands a job to a CPU worker without waiting.
type Workers = Box<dyn Fn(Box<dyn FnOnce() + Send>) -> StorageResult<()> + Send + Sync>;

#[derive(Default)]
struct Queue {
    ready: VecDeque<Arc<Stream>>,
    /// Jobs that were started and have not found the queue empty.
    jobs: usize,
}

/// One body.
pub(crate) struct Md5Stream {
    shared: Arc<Shared>,
    stream: Arc<Stream>,
}

#[derive(Default)]
struct Stream {
    inner: Mutex<Inner>,
    /// Told after each job that had the stream.
    hashed: Notify,
}

#[derive(Default)]
struct Inner {
    hash: Hash,
    /// Bytes pushed and not hashed yet.
    pending: Vec<Bytes>,
    pending_bytes: usize,
    stage: Stage,
    /// No more will be pushed: the stream joins with whatever it has.
    ended: bool,
}

/// Where a stream stands.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// With its client.
    #[default]
    Idle,
    /// In the queue.
    Ready,
    /// With a job.
    Taken,
    /// A job died with it.
    Failed,
}

impl Inner {
    fn may_join(&self) -> bool {
        self.stage == Stage::Idle && self.pending_bytes >= if self.ended { 1 } else { JOIN_BYTES }
    }

    fn must_start(&self) -> bool {
        self.stage == Stage::Ready && (self.ended || self.pending_bytes >= START_BYTES)
    }
}

impl Md5Pool {
    /// A pool on the workers of `vault`.
    pub(crate) fn new(vault: &VaultHandle) -> Self {
        let (handle, jobs_max) = (vault.clone(), vault.engine().config.workers);
        Self::with(Box::new(move |job| handle.queue_job(job)), jobs_max)
    }

    fn with(workers: Workers, jobs_max: usize) -> Self {
        let shared = Shared { workers, jobs_max: jobs_max.max(1), queue: Mutex::default() };
        Self { shared: Arc::new(shared) }
    }

    /// A new body.
    pub(crate) fn stream(&self) -> Md5Stream {
        Md5Stream { shared: self.shared.clone(), stream: Arc::default() }
    }
}

impl Md5Stream {
    /// Takes the next bytes of the body; waits while too many are pending.
    ///
    /// # Errors
    /// When the workers are gone.
    pub(crate) async fn update(&self, bytes: Bytes) -> StorageResult<()> {
        {
            let mut inner = self.stream.inner.lock();
            inner.pending_bytes += bytes.len();
            inner.pending.push(bytes);
            self.join(&mut inner)?;
        }
        self.wait(HOLD_BYTES).await
    }

    /// MD5 of the body.
    ///
    /// # Errors
    /// As of [`Md5Stream::update`].
    pub(crate) async fn finish(self) -> StorageResult<[u8; 16]> {
        {
            let mut inner = self.stream.inner.lock();
            inner.ended = true;
            if inner.pending_bytes > INLINE_BYTES {
                self.join(&mut inner)?;
            }
        }
        self.wait(INLINE_BYTES).await?;
        let mut inner = self.stream.inner.lock();
        let mut hash = std::mem::take(&mut inner.hash);
        for piece in inner.pending.drain(..) {
            hash.push(piece);
        }
        Ok(hash.finish())
    }

    /// Puts the stream into the queue when it has enough, and starts a job when it must.
    fn join(&self, inner: &mut Inner) -> StorageResult<()> {
        let mut queue = self.shared.queue.lock();
        if inner.may_join() {
            inner.stage = Stage::Ready;
            queue.ready.push_back(self.stream.clone());
        }
        if inner.must_start() && queue.ready.len() > queue.jobs * LANES_MAX && queue.jobs < self.shared.jobs_max {
            queue.jobs += 1;
            let shared = self.shared.clone();
            let started = (self.shared.workers)(Box::new(move || work(&shared)));
            if let Err(error) = started {
                queue.jobs -= 1;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Waits until the stream is no job's and has at most `bytes` pending.
    async fn wait(&self, bytes: usize) -> StorageResult<()> {
        loop {
            let hashed = self.stream.hashed.notified();
            {
                let inner = self.stream.inner.lock();
                match inner.stage {
                    Stage::Failed => return Err(StorageError::Stopping("a worker failed; see the log".into())),
                    _ if inner.ended && inner.stage != Stage::Idle => {}
                    _ if inner.pending_bytes <= bytes => return Ok(()),
                    _ => {}
                }
            }
            hashed.await;
        }
    }
}

impl Drop for Md5Stream {
    fn drop(&mut self) {
        // What a job has of it is hashed in vain, and no more.
        let mut inner = self.stream.inner.lock();
        inner.pending.clear();
        inner.pending_bytes = 0;
    }
}

/// A job: hashes what is ready until nothing is.
fn work(shared: &Shared) {
    loop {
        let batch: Vec<Arc<Stream>> = {
            let mut queue = shared.queue.lock();
            let count = queue.ready.len().min(LANES_MAX);
            if count == 0 {
                queue.jobs -= 1;
                return;
            }
            queue.ready.drain(..count).collect()
        };
        let mut batch = Batch { shared, streams: batch, hashes: Vec::new() };
        batch.hash();
        batch.give_back();
    }
}

/// Streams of one turn. Dropped before they were given back (a panic), their clients hear of it, and those who wait for this job.
struct Batch<'a> {
    shared: &'a Shared,
    streams: Vec<Arc<Stream>>,
    hashes: Vec<Hash>,
}

impl Batch<'_> {
    fn hash(&mut self) {
        for stream in &self.streams {
            let mut inner = stream.inner.lock();
            inner.stage = Stage::Taken;
            let mut hash = std::mem::take(&mut inner.hash);
            for piece in inner.pending.drain(..) {
                hash.push(piece);
            }
            inner.pending_bytes = 0;
            self.hashes.push(hash);
        }
        hash_all(&mut self.hashes.iter_mut().collect::<Vec<_>>());
    }

    fn give_back(&mut self) {
        for (stream, hash) in self.streams.drain(..).zip(self.hashes.drain(..)) {
            {
                let mut inner = stream.inner.lock();
                inner.hash = hash;
                inner.stage = Stage::Idle;
                if inner.may_join() {
                    inner.stage = Stage::Ready;
                    self.shared.queue.lock().ready.push_back(stream.clone());
                }
            }
            stream.hashed.notify_waiters();
        }
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        if self.streams.is_empty() {
            return;
        }
        let waiting: Vec<_> = {
            let mut queue = self.shared.queue.lock();
            queue.jobs -= 1;
            queue.ready.drain(..).collect()
        };
        for stream in self.streams.drain(..).chain(waiting) {
            stream.inner.lock().stage = Stage::Failed;
            stream.hashed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests")]

    use std::sync::Arc;

    use bytes::Bytes;
    use futures::future::join_all;
    use parking_lot::Mutex;
    use s3s::crypto::{Checksum as _, Md5};

    use super::{HOLD_BYTES, LANES_MAX, Md5Pool, Md5Stream, START_BYTES};

    type Jobs = Arc<Mutex<Vec<Box<dyn FnOnce() + Send>>>>;

    /// A pool whose jobs wait until they are run by hand.
    fn by_hand(jobs_max: usize) -> (Md5Pool, Jobs) {
        let jobs: Jobs = Arc::default();
        let queue = jobs.clone();
        let pool = Md5Pool::with(
            Box::new(move |job| {
                queue.lock().push(job);
                Ok(())
            }),
            jobs_max,
        );
        (pool, jobs)
    }

    fn run(jobs: &Jobs) {
        let waiting = std::mem::take(&mut *jobs.lock());
        waiting.into_iter().for_each(|job| job());
    }

    fn content(seed: usize, len: usize) -> Vec<u8> {
        (0..len).map(|at| (at * 13 + seed * 101 + (at >> 9)) as u8).collect()
    }

    async fn send(stream: &Md5Stream, content: &[u8], piece: usize) {
        for piece in content.chunks(piece) {
            stream.update(Bytes::copy_from_slice(piece)).await.unwrap();
        }
    }

    /// Goal: a busy server fills lanes: one job for sixteen streams, a second for the next. Method: jobs that wait.
    #[tokio::test]
    async fn streams_share_a_job() {
        let (pool, jobs) = by_hand(8);
        let streams: Vec<Md5Stream> = (0..LANES_MAX + 1).map(|_| pool.stream()).collect();
        for (number, stream) in streams.iter().enumerate() {
            send(stream, &content(number, START_BYTES), 10_000).await;
            assert_eq!(jobs.lock().len(), 1 + number / LANES_MAX, "stream {number}");
        }
        run(&jobs);
        for (number, stream) in streams.into_iter().enumerate() {
            let digest = stream.finish().await.unwrap();
            assert_eq!(digest, Md5::checksum(&content(number, START_BYTES)), "stream {number}");
        }
        assert!(jobs.lock().is_empty(), "nothing was left to hash");
    }

    /// Goal (M-1): a client that is faster than hashing waits, and goes on. Method: jobs that wait.
    #[tokio::test]
    async fn too_much_pending_waits() {
        let (pool, jobs) = by_hand(1);
        let stream = pool.stream();
        send(&stream, &content(1, HOLD_BYTES), 4096).await;
        let mut more = Box::pin(stream.update(Bytes::from_static(b"one more")));
        assert!(futures::poll!(&mut more).is_pending());
        run(&jobs);
        more.await.unwrap();
        let mut whole = content(1, HOLD_BYTES);
        whole.extend_from_slice(b"one more");
        assert_eq!(stream.finish().await.unwrap(), Md5::checksum(&whole));
    }

    /// Goal: small bodies cost no job.
    #[tokio::test]
    async fn small_bodies_are_hashed_where_they_are() {
        let (pool, jobs) = by_hand(1);
        for len in [0, 1, 64, 4096] {
            let stream = pool.stream();
            send(&stream, &content(len, len), 1000).await;
            assert_eq!(stream.finish().await.unwrap(), Md5::checksum(&content(len, len)), "{len} bytes");
        }
        assert!(jobs.lock().is_empty());
    }

    /// Goal: a stream whose client went away holds up nobody. Method: it is dropped while it waits in the queue.
    #[tokio::test]
    async fn dropped_streams_are_forgotten() {
        let (pool, jobs) = by_hand(1);
        let (gone, stays) = (pool.stream(), pool.stream());
        send(&gone, &content(1, START_BYTES), 50_000).await;
        send(&stays, &content(2, START_BYTES), 50_000).await;
        drop(gone);
        run(&jobs);
        assert_eq!(stays.finish().await.unwrap(), Md5::checksum(&content(2, START_BYTES)));
    }

    /// Goal: every body gets its own digest, whatever runs beside it. Method: many tasks on real threads, lengths around every bound.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn many_streams_on_threads() {
        let threads = Box::new(|job| {
            std::thread::spawn(job);
            Ok(())
        });
        let pool = Md5Pool::with(threads, 2);
        let tasks = (0..48_usize).map(|number| {
            let stream = pool.stream();
            tokio::spawn(async move {
                let len = [100, 20_000, START_BYTES - 1, HOLD_BYTES + 77, 3_000_000].get(number % 5).copied().unwrap()
                    + number;
                let content = content(number, len);
                send(&stream, &content, 1 + 7919 * (number + 1)).await;
                if number % 7 == 6 {
                    return;
                }
                assert_eq!(stream.finish().await.unwrap(), Md5::checksum(&content), "stream {number}");
            })
        });
        for task in join_all(tasks).await {
            task.unwrap();
        }
    }

    /// Goal: a job that dies is an error of its streams, not a client that waits for ever. Method: a pool without workers.
    #[tokio::test]
    async fn a_job_that_cannot_start_is_an_error() {
        let pool = Md5Pool::with(Box::new(|_| Err(kovcheg_storage::error::StorageError::Stopping("gone".into()))), 1);
        let stream = pool.stream();
        stream.update(Bytes::from(content(1, START_BYTES - 1))).await.unwrap();
        assert!(stream.finish().await.is_err());
    }
}
