//! Writing through the handle: bytes are gathered and handed to a worker while the next ones arrive.

use bytes::Bytes;
use kovcheg_format::record::audit::Origin;
use kovcheg_format::record::bucket::BucketCreated;
use kovcheg_format::record::upload::PartPut;
use kovcheg_format::record::version::Checksum;
use tokio::sync::oneshot;

use crate::error::{StorageError, StorageResult};
use crate::handle::VaultHandle;
use crate::journal::sequencer::Commit;
use crate::object::multipart;
use crate::object::put::{BodyWriter, WrittenBody};
use crate::object::types::{BodyObserver, Found, NewVersion, UploadRef};
use crate::object::version::{Content, propose_put};
use crate::workers::pool::failed_job;

/// Bytes gathered before a worker is asked: a hop costs microseconds, this many bytes cost a hundred of them.
const GATHER_BYTES: usize = 512 << 10;

/// What a body will become.
#[derive(Debug, Clone)]
pub(super) enum Target {
    /// The current version of a key.
    Object {
        /// Bucket name.
        bucket: String,
        /// Object key.
        key: String,
    },
    /// A part of an upload.
    Part {
        /// The upload.
        upload: UploadRef,
        /// Number.
        number: u16,
    },
}

type Step = (BodyWriter, StorageResult<()>);

/// A body on its way in. Dropped before the commit it leaves nothing that clients can see.
pub struct PutStream {
    handle: VaultHandle,
    by: Origin,
    target: Target,
    writer: Option<BodyWriter>,
    running: Option<oneshot::Receiver<Step>>,
    gathered: Vec<Bytes>,
    gathered_bytes: usize,
}

impl PutStream {
    pub(super) fn begin(
        handle: VaultHandle,
        by: Origin,
        target: Target,
        bucket: BucketCreated,
        observer: Box<dyn BodyObserver>,
    ) -> StorageResult<Self> {
        let writer = BodyWriter::new(handle.engine(), bucket.domain, &bucket.profile, observer)?;
        Ok(Self { handle, by, target, writer: Some(writer), running: None, gathered: Vec::new(), gathered_bytes: 0 })
    }

    /// Takes the next bytes of the body. Returns when they are queued; an error may be that of earlier bytes.
    pub async fn write(&mut self, bytes: Bytes) -> StorageResult<()> {
        self.gathered_bytes += bytes.len();
        self.gathered.push(bytes);
        if self.gathered_bytes >= GATHER_BYTES {
            self.hand_over().await?;
        }
        Ok(())
    }

    /// Takes the end of the body: everything is chunked and handed to the disks, not durable yet.
    pub async fn end(mut self) -> StorageResult<EndedPut> {
        let writer = self.take_writer().await?;
        let gathered = std::mem::take(&mut self.gathered);
        let job = move || {
            let mut writer = writer;
            gathered.iter().try_for_each(|piece| writer.write(piece))?;
            writer.end()
        };
        let body = self.handle.shared.pool.run(job).await??;
        Ok(EndedPut {
            size: body.size,
            crc64_nvme: body.crc,
            handle: self.handle.clone(),
            by: self.by.clone(),
            target: self.target.clone(),
            body,
            observer_taken: false,
        })
    }

    async fn hand_over(&mut self) -> StorageResult<()> {
        let writer = self.take_writer().await?;
        let gathered = std::mem::take(&mut self.gathered);
        self.gathered_bytes = 0;
        let job = move || {
            let mut writer = writer;
            let outcome = gathered.iter().try_for_each(|piece| writer.write(piece));
            (writer, outcome)
        };
        self.running = Some(self.handle.shared.pool.begin(job).await?);
        Ok(())
    }

    async fn take_writer(&mut self) -> StorageResult<BodyWriter> {
        if let Some(running) = self.running.take() {
            let (writer, outcome) = running.await.map_err(|_| failed_job())?;
            outcome?;
            return Ok(writer);
        }
        self.writer.take().ok_or_else(|| StorageError::Stopping("the body failed before".into()))
    }
}

/// A body that came to its end, waiting for its commit.
pub struct EndedPut {
    /// Bytes of the body.
    pub size: u64,
    /// CRC64-NVME of the body.
    pub crc64_nvme: u64,
    handle: VaultHandle,
    by: Origin,
    target: Target,
    body: WrittenBody,
    observer_taken: bool,
}

impl EndedPut {
    /// Gives the observer back, once.
    pub fn take_observer(&mut self) -> Option<Box<dyn BodyObserver>> {
        if std::mem::replace(&mut self.observer_taken, true) {
            return None;
        }
        Some(std::mem::replace(&mut self.body.observer, Box::new(crate::object::types::NoObserver)))
    }

    /// Makes the body the current version of its key; durable on return (W-1).
    pub async fn commit_object(self, new: NewVersion) -> StorageResult<Found> {
        let Target::Object { bucket, key } = self.target else {
            return Err(StorageError::InvalidArgument { what: "commit", reason: "it is a part".to_owned() });
        };
        let content = Content::of(&self.body);
        let (by, refused_by) = (self.by.clone(), self.by);
        let (name, object_key) = (bucket.clone(), key.clone());
        let outcome = commit_body(&self.handle, self.body, move |moment| {
            propose_put(moment, &name, &object_key, content, new, &by)
        })
        .await;
        self.handle.note_refusal(&outcome, refused_by, &bucket, &key);
        outcome
    }

    /// Makes the body a part of its upload; durable on return.
    pub async fn commit_part(self, etag: String, checksums: Vec<Checksum>) -> StorageResult<PartPut> {
        let Target::Part { upload, number } = self.target else {
            return Err(StorageError::InvalidArgument { what: "commit", reason: "it is an object".to_owned() });
        };
        let content = Content::of(&self.body);
        commit_body(&self.handle, self.body, move |moment| {
            multipart::propose_part(moment, &upload, number, content, etag, checksums)
        })
        .await
    }
}

async fn commit_body<T: Send + 'static>(
    handle: &VaultHandle,
    body: WrittenBody,
    decide: impl FnOnce(&crate::journal::sequencer::Moment<'_>) -> StorageResult<(T, Vec<kovcheg_format::record::Record>)>
    + Send
    + 'static,
) -> StorageResult<T> {
    let mut commit = Commit::empty();
    commit.domain = body.domain;
    commit.stripes = body.filled.stripes;
    commit.inline = body.filled.inline;
    commit.records = body.filled.records;
    let decided = handle.commit(commit, decide).await?;
    for id in body.filled.replaced {
        handle.engine().lookup.damage().forget(id);
    }
    Ok(decided)
}
