//! Reading through the handle: the next batch is fetched while the client takes the last, as long as there is memory for both.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use kovcheg_format::record::version::VersionPut;
use tokio::sync::{Semaphore, oneshot};

use crate::error::StorageResult;
use crate::handle::VaultHandle;
use crate::handle::memory::{Share, held};
use crate::object::get::{BATCH_BYTES, ObjectCursor};
use crate::workers::pool::failed_job;

type Step = (ObjectCursor, StorageResult<VecDeque<Bytes>>);

/// Where the cursor is.
enum State {
    /// Not made yet.
    Unread,
    /// At hand.
    Resting(ObjectCursor),
    /// With a worker, fetching.
    Fetching(oneshot::Receiver<Step>),
    /// Used up.
    Ended,
}

/// A version being read.
pub struct ObjectReader {
    handle: VaultHandle,
    version: Arc<VersionPut>,
    range: (u64, u64),
    state: State,
    ready: VecDeque<Bytes>,
    /// One permit, for reading chunk by chunk.
    one_chunk: Arc<Semaphore>,
}

impl ObjectReader {
    pub(super) fn new(handle: VaultHandle, version: VersionPut) -> Self {
        let range = (0, version.size);
        let one_chunk = Arc::new(Semaphore::new(1));
        Self { handle, version: Arc::new(version), range, state: State::Unread, ready: VecDeque::new(), one_chunk }
    }

    /// What is being read.
    #[must_use]
    pub fn version(&self) -> &VersionPut {
        &self.version
    }

    /// Narrows the read to `start..end_exclusive`; before the first [`ObjectReader::next`].
    pub fn set_range(&mut self, start: u64, end_exclusive: u64) {
        self.range = (start, end_exclusive.min(self.version.size));
    }

    /// The next verified bytes (D-1, D-2); `None` at the end or after an error.
    pub async fn next(&mut self) -> Option<StorageResult<Bytes>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Some(Ok(bytes));
            }
            match self.step().await {
                Err(error) => return Some(Err(error)),
                Ok(false) => return None,
                Ok(true) => {}
            }
        }
    }

    /// Takes the batch that is being fetched, or has one fetched. False at the end.
    async fn step(&mut self) -> StorageResult<bool> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Ended => return Ok(false),
            State::Unread => {
                let (start, end) = self.range;
                let cursor = ObjectCursor::new(self.handle.engine().clone(), self.version.clone(), start, end)?;
                self.state = State::Resting(cursor);
            }
            State::Resting(cursor) => {
                let share = self.handle.shared.reads.share(wanted(&cursor));
                self.state = State::Resting(cursor);
                let share = match share {
                    Some(share) => share,
                    None => self.one_chunk().await?,
                };
                if let State::Resting(cursor) = std::mem::replace(&mut self.state, State::Ended) {
                    self.fetch(cursor, share).await?;
                }
            }
            State::Fetching(running) => {
                let (cursor, batch) = running.await.map_err(|_| failed_job())?;
                self.ready = batch?;
                if self.ready.is_empty() || cursor.left() == 0 {
                    return Ok(!self.ready.is_empty());
                }
                match self.handle.shared.reads.spare(wanted(&cursor)) {
                    Some(share) => self.fetch(cursor, share).await?,
                    None => self.state = State::Resting(cursor),
                }
            }
        }
        Ok(true)
    }

    /// Waits until the chunk before has left the process.
    async fn one_chunk(&self) -> StorageResult<Share> {
        let permit = Arc::clone(&self.one_chunk).acquire_owned().await.map_err(|_| failed_job())?;
        Ok(Share::one_chunk(permit))
    }

    async fn fetch(&mut self, cursor: ObjectCursor, share: Share) -> StorageResult<()> {
        let job = move || {
            let mut cursor = cursor;
            let share = Arc::new(share);
            let batch = cursor.next_batch_within(share.bytes);
            let batch = batch.map(|batch| batch.into_iter().map(|bytes| held(bytes, &share)).collect());
            (cursor, batch)
        };
        self.state = State::Fetching(self.handle.shared.pool.begin(job).await?);
        Ok(())
    }
}

/// Bytes that the next batch would take.
fn wanted(cursor: &ObjectCursor) -> usize {
    usize::try_from(cursor.left()).unwrap_or(usize::MAX).min(BATCH_BYTES)
}
