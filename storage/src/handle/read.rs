//! Reading through the handle: the next batch is fetched while the client takes the last.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use kovcheg_format::record::version::VersionPut;
use tokio::sync::oneshot;

use crate::error::StorageResult;
use crate::handle::VaultHandle;
use crate::object::get::ObjectCursor;
use crate::workers::pool::failed_job;

type Step = (ObjectCursor, StorageResult<VecDeque<Bytes>>);

/// A version being read.
pub struct ObjectReader {
    handle: VaultHandle,
    version: Arc<VersionPut>,
    range: (u64, u64),
    running: Option<oneshot::Receiver<Step>>,
    ready: VecDeque<Bytes>,
    started: bool,
}

impl ObjectReader {
    pub(super) fn new(handle: VaultHandle, version: VersionPut) -> Self {
        let range = (0, version.size);
        Self { handle, version: Arc::new(version), range, running: None, ready: VecDeque::new(), started: false }
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

    /// Takes the batch that is being fetched and starts the one after it. False at the end.
    async fn step(&mut self) -> StorageResult<bool> {
        let cursor = match self.running.take() {
            Some(running) => {
                let (cursor, batch) = running.await.map_err(|_| failed_job())?;
                self.ready = batch?;
                if self.ready.is_empty() {
                    return Ok(false);
                }
                cursor
            }
            None if self.started => return Ok(false),
            None => {
                self.started = true;
                let (start, end) = self.range;
                ObjectCursor::new(self.handle.engine().clone(), self.version.clone(), start, end)?
            }
        };
        let job = move || {
            let mut cursor = cursor;
            let batch = cursor.next_batch();
            (cursor, batch)
        };
        self.running = Some(self.handle.shared.pool.begin(job).await?);
        Ok(true)
    }
}
