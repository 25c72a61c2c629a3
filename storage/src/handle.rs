//! The one bridge between async gateways and the synchronous engine.
//!
//! Every call is queued to the engine's bounded pool of CPU workers or to the sequencer, and awaited; a full queue makes the
//! caller wait, which is the back-pressure a client feels. Futures may be dropped at any await: a [`PutStream`] dropped
//! before its commit leaves nothing that clients can see.

use std::sync::Arc;

use kovcheg_format::id::UploadId;
use kovcheg_format::record::Record;
use kovcheg_format::record::audit::Origin;
use kovcheg_format::record::bucket::{BucketCreated, Versioning};
use kovcheg_format::record::upload::PartPut;
use kovcheg_format::record::version::{Checksum, VersionPut};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};

use crate::engine::Engine;
use crate::error::{StorageError, StorageResult};
use crate::identity;
use crate::journal::sequencer::{Commit, Moment};
use crate::object::copy::{CopiedPart, CopySource};
use crate::object::types::{
    BodyObserver, Credential, DeleteOutcome, Found, ListPage, ListQuery, NamedPart, NewBucket, NewUpload, NewVersion,
    PartPage, UploadPage, UploadQuery, UploadRef, VersionName, VersionPage, VersionQuery,
};
use crate::object::{bucket, copy, list, multipart, names, quota, uploads, version, versioning, versions};
use crate::status::{VaultStatus, vault_status};
use crate::workers::pool::WorkerPool;

mod locks;
mod memory;
mod read;
mod write;

pub use read::ObjectReader;
pub use write::{EndedPut, PutStream};

/// Commits that may wait for the journal on behalf of async callers; the queue itself is longer, so handing over never blocks.
const COMMITS_WAITING_MAX: usize = 128;

/// An open vault, as gateways use it. Cheap to clone.
#[derive(Clone)]
pub struct VaultHandle {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Arc<Engine>,
    pool: WorkerPool,
    commits: Arc<Semaphore>,
    reads: memory::ReadMemory,
}

impl VaultHandle {
    /// A handle over an engine, with its own workers.
    pub fn new(engine: Arc<Engine>) -> StorageResult<Self> {
        let pool = WorkerPool::start(engine.config.workers, engine.config.queue)?;
        let waiting = COMMITS_WAITING_MAX.min(engine.config.queue.max(2) / 2);
        let reads = memory::ReadMemory::new(engine.config.read_bytes);
        Ok(Self { shared: Arc::new(Shared { engine, pool, commits: Arc::new(Semaphore::new(waiting)), reads }) })
    }

    /// The engine below, for synchronous callers.
    #[must_use]
    pub fn engine(&self) -> &Arc<Engine> {
        &self.shared.engine
    }

    /// Queues work of a gateway to the CPU workers, behind what is queued already, without waiting. The gateway bounds the number
    /// of its jobs (M-1); a job must not block.
    pub fn queue_job(&self, job: impl FnOnce() + Send + 'static) -> StorageResult<()> {
        self.shared.pool.push(job)
    }

    /// Runs work of a gateway on a CPU worker and answers its result; waits while the queue is full.
    pub async fn on_worker<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> StorageResult<T> {
        self.shared.pool.run(job).await
    }

    /// Makes a bucket; durable on return (W-1).
    pub async fn create_bucket(&self, by: Origin, new: NewBucket) -> StorageResult<BucketCreated> {
        let profile = self.shared.engine.config.profile.clone();
        self.decide(move |moment| bucket::propose_create(moment, &new, &profile, &by)).await
    }

    /// A bucket by name.
    pub async fn bucket(&self, name: &str) -> StorageResult<BucketCreated> {
        bucket::find(self.shared.engine.index.as_ref(), name)
    }

    /// All buckets, by name.
    pub async fn list_buckets(&self) -> StorageResult<Vec<BucketCreated>> {
        self.look(|engine| bucket::all(engine.index.as_ref())).await
    }

    /// Removes an empty bucket; durable on return.
    pub async fn delete_bucket(&self, by: Origin, name: &str) -> StorageResult<()> {
        let (asked, origin) = (name.to_owned(), by.clone());
        let outcome = self.decide(move |moment| Ok(((), bucket::propose_delete(moment, &asked, &origin)?))).await;
        self.note_refusal(&outcome, by, name, "");
        outcome
    }

    /// Begins an object: write, end, commit.
    pub async fn begin_object(
        &self,
        by: Origin,
        bucket: &str,
        key: &str,
        observer: Box<dyn BodyObserver>,
    ) -> StorageResult<PutStream> {
        names::check_key(key)?;
        self.refuse_if_read_only()?;
        let found = self.bucket(bucket).await?;
        let target = write::Target::Object { bucket: bucket.to_owned(), key: key.to_owned() };
        self.refuse_early(&found, &target, observer.announced().unwrap_or(0)).await?;
        PutStream::begin(self.clone(), by, target, found, observer)
    }

    /// Begins a part of an upload.
    pub async fn begin_part(
        &self,
        by: Origin,
        upload: UploadRef,
        number: u16,
        observer: Box<dyn BodyObserver>,
    ) -> StorageResult<PutStream> {
        names::check_part_number(number)?;
        self.refuse_if_read_only()?;
        let found = self.bucket(&upload.bucket).await?;
        let named = upload.clone();
        self.look(move |engine| multipart::find(engine.index.as_ref(), &named)).await?;
        let target = write::Target::Part { upload, number };
        self.refuse_early(&found, &target, observer.announced().unwrap_or(0)).await?;
        PutStream::begin(self.clone(), by, target, found, observer)
    }

    /// The version of a key that is named, or the current one. Errors as of [`version::named`].
    pub async fn head_object(&self, bucket: &str, key: &str, wanted: Option<VersionName>) -> StorageResult<Found> {
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        self.look(move |engine| version::named(engine.index.as_ref(), &bucket, &key, wanted)).await
    }

    /// Opens the current version of a key for reading.
    pub async fn open_object(&self, bucket: &str, key: &str) -> StorageResult<ObjectReader> {
        let found = self.head_object(bucket, key, None).await?;
        Ok(ObjectReader::new(self.clone(), found.version))
    }

    /// Opens a version that was looked up, whatever is current now.
    #[must_use]
    pub fn open_version(&self, version: VersionPut) -> ObjectReader {
        ObjectReader::new(self.clone(), version)
    }

    /// One page of a listing.
    pub async fn list_objects(&self, bucket: &str, query: ListQuery) -> StorageResult<ListPage> {
        let bucket = bucket.to_owned();
        self.look(move |engine| {
            let view = engine.index.snapshot();
            let found = bucket::find(view.as_ref(), &bucket)?;
            list::list_objects(view.as_ref(), found.bucket, &query)
        })
        .await
    }

    /// One page of a bucket's versions and delete markers.
    pub async fn list_versions(&self, bucket: &str, query: VersionQuery) -> StorageResult<VersionPage> {
        let bucket = bucket.to_owned();
        self.look(move |engine| {
            let view = engine.index.snapshot();
            let found = bucket::find(view.as_ref(), &bucket)?;
            versions::list_versions(view.as_ref(), found.bucket, &query)
        })
        .await
    }

    /// Whether a bucket keeps versions.
    pub async fn versioning(&self, bucket: &str) -> StorageResult<Versioning> {
        let bucket = bucket.to_owned();
        self.look(move |engine| {
            let view = engine.index.as_ref();
            versioning::state(view, bucket::find(view, &bucket)?.bucket)
        })
        .await
    }

    /// Has a bucket keep versions, or suspends that; durable on return.
    pub async fn set_versioning(&self, by: Origin, bucket: &str, wanted: Versioning) -> StorageResult<()> {
        let name = bucket.to_owned();
        self.decide(move |moment| Ok(((), versioning::propose_set(moment, &name, wanted, &by)?))).await
    }

    /// Removes a version of a key, or makes a delete marker (`version::propose_delete`), through the guard; durable on return.
    pub async fn delete_object(
        &self,
        by: Origin,
        bucket: &str,
        key: &str,
        wanted: Option<VersionName>,
        bypass_governance: bool,
    ) -> StorageResult<DeleteOutcome> {
        names::check_key(key)?;
        let (name, object_key, origin) = (bucket.to_owned(), key.to_owned(), by.clone());
        let decide = move |moment: &Moment<'_>| {
            version::propose_delete(moment, &name, &object_key, wanted, bypass_governance, &origin)
        };
        let outcome = self.decide(decide).await;
        self.note_refusal(&outcome, by, bucket, key);
        outcome
    }

    /// Opens a multipart upload; durable on return. Ids of uploads sort as the uploads were begun: that is the order in which
    /// they are listed.
    pub async fn create_upload(&self, by: Origin, bucket: &str, key: &str, new: NewUpload) -> StorageResult<UploadId> {
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        self.decide(move |moment| {
            let upload = UploadId(moment.version_id()?.0);
            Ok((upload, multipart::propose_create(moment, &bucket, &key, upload, &new, &by)?))
        })
        .await
    }

    /// One page of a bucket's open uploads.
    pub async fn list_uploads(&self, bucket: &str, query: UploadQuery) -> StorageResult<UploadPage> {
        let bucket = bucket.to_owned();
        self.look(move |engine| {
            let view = engine.index.snapshot();
            let found = bucket::find(view.as_ref(), &bucket)?;
            uploads::list_uploads(view.as_ref(), found.bucket, &query)
        })
        .await
    }

    /// Completes an upload from its named parts; durable on return. Headers, metadata and tags are those of the upload.
    pub async fn complete_upload(
        &self,
        by: Origin,
        upload: UploadRef,
        parts: Vec<NamedPart>,
        new: NewVersion,
    ) -> StorageResult<Found> {
        self.refuse_if_read_only()?;
        let (named, engine) = (upload.clone(), self.shared.engine.clone());
        let mut composed = self.shared.pool.run(move || multipart::compose(&engine, &named, &parts)).await??;
        let mut commit = Commit::empty();
        commit.domain = composed.upload.domain;
        commit.stripes = std::mem::take(&mut composed.filled.stripes);
        commit.inline = std::mem::take(&mut composed.filled.inline);
        commit.records = std::mem::take(&mut composed.filled.records);
        let (target, origin) = (upload.clone(), by.clone());
        let outcome = self
            .commit(commit, move |moment| multipart::propose_complete(moment, &target, &composed, new, &origin))
            .await;
        self.note_refusal(&outcome, by, &upload.bucket, &upload.key);
        outcome
    }

    /// Copies a version to a key, content by reference; durable on return. [`StorageError::SourceChanged`] when it is no longer
    /// there.
    pub async fn copy_object(
        &self,
        by: Origin,
        source: CopySource,
        bucket: &str,
        key: &str,
        new: NewVersion,
    ) -> StorageResult<Found> {
        names::check_key(key)?;
        self.refuse_if_read_only()?;
        let (name, object_key, origin) = (bucket.to_owned(), key.to_owned(), by.clone());
        let outcome =
            self.decide(move |moment| copy::propose_copy(moment, &source, &name, &object_key, new, &origin)).await;
        self.note_refusal(&outcome, by, bucket, key);
        outcome
    }

    /// Makes `range` (start, end) of a version a part of an upload, content by reference; durable on return. Errors as of
    /// [`VaultHandle::copy_object`].
    pub async fn copy_part(
        &self,
        source: CopySource,
        range: (u64, u64),
        upload: UploadRef,
        number: u16,
        checksums: Vec<Checksum>,
    ) -> StorageResult<PartPut> {
        names::check_part_number(number)?;
        self.refuse_if_read_only()?;
        let version = source.version.clone();
        let CopiedPart { content, etag, filled } =
            self.look(move |engine| copy::take_range(engine, &version, range.0, range.1)).await?;
        let replaced = filled.replaced;
        let mut commit = Commit::empty();
        commit.domain = source.version.domain;
        commit.stripes = filled.stripes;
        commit.inline = filled.inline;
        commit.records = filled.records;
        let part = self
            .commit(commit, move |moment| {
                copy::propose_part(moment, &source, &upload, number, (content, etag), checksums)
            })
            .await?;
        for id in replaced {
            self.shared.engine.lookup.damage().forget(id);
        }
        Ok(part)
    }

    /// Throws an upload away; durable on return.
    pub async fn abort_upload(&self, by: Origin, upload: UploadRef) -> StorageResult<()> {
        self.decide(move |moment| Ok(((), multipart::propose_abort(moment, &upload, &by)?))).await
    }

    /// One page of an upload's parts.
    pub async fn list_parts(&self, upload: UploadRef, after: u16, max_parts: usize) -> StorageResult<PartPage> {
        self.look(move |engine| {
            let view = engine.index.snapshot();
            let created = multipart::find(view.as_ref(), &upload)?;
            list::list_parts(view.as_ref(), created, after, max_parts)
        })
        .await
    }

    /// An access key with its secret, if there is one.
    pub async fn credential(&self, access_key: &str) -> StorageResult<Option<Credential>> {
        // A row or two of a hot block: cheaper than a hop to a worker, and not behind the bodies that keep those busy.
        identity::credential(&self.shared.engine, access_key)
    }

    /// The access key of the root credential; empty as long as none is set.
    #[must_use]
    pub fn root_access_key(&self) -> String {
        self.shared.engine.root_access_key.read().clone()
    }

    /// Notes a refusal for the audit trail; never waits. [`VaultHandle::write_denials`] writes it.
    pub fn record_denial(&self, by: Origin, bucket: &str, key: &str, reason: &str) {
        self.shared.engine.denials.note(by, bucket, key, reason);
    }

    /// Writes the entries of refusals noted and not written yet, durable on return; unless so many were written lately that they have to
    /// wait, up to a minute and to be counted together. Nothing waits, and this costs a look, nearly always.
    pub async fn write_denials(&self) {
        let engine = &self.shared.engine;
        if engine.denials.is_empty() || engine.refusal().is_some() {
            return;
        }
        let records = engine.denials.due(engine.clock.wall_ms(), engine.retention.now().time);
        if !records.is_empty()
            && let Err(error) = self.decide(move |_| Ok(((), records))).await
        {
            tracing::error!(%error, "refusals could not be audited");
        }
    }

    /// The vault at a glance. Reads a few rows of the index.
    #[must_use]
    pub fn status(&self) -> VaultStatus {
        vault_status(&self.shared.engine)
    }

    fn refuse_if_read_only(&self) -> StorageResult<()> {
        self.shared.engine.refusal().map_or(Ok(()), Err)
    }

    /// Refuses new content before its first byte comes, if there is no room for any, or none in the bucket for what was announced.
    async fn refuse_early(&self, bucket: &BucketCreated, target: &write::Target, announced: u64) -> StorageResult<()> {
        if quota::of(self.shared.engine.index.as_ref(), bucket.bucket)?.is_some() {
            let (bucket, target) = (bucket.clone(), target.clone());
            self.look(move |engine| match &target {
                write::Target::Object { key, .. } => {
                    quota::check_object(engine.index.as_ref(), &bucket, key, announced)
                }
                write::Target::Part { upload, number } => {
                    quota::check_part(engine.index.as_ref(), &bucket, (upload.upload, *number), announced)
                }
            })
            .await?;
        }
        if self.shared.engine.store.was_full() {
            self.look(|engine| engine.store.check_room(1)).await?;
        }
        Ok(())
    }

    fn note_refusal<T>(&self, outcome: &StorageResult<T>, by: Origin, bucket: &str, key: &str) {
        if let Err(StorageError::Refused { reasons }) = outcome {
            self.record_denial(by, bucket, key, &reasons.join("; "));
        }
    }

    /// Reads on a worker.
    async fn look<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Arc<Engine>) -> StorageResult<T> + Send + 'static,
    ) -> StorageResult<T> {
        let engine = self.shared.engine.clone();
        self.shared.pool.run(move || read(&engine)).await?
    }

    /// Commits what `decide` says, without content.
    async fn decide<T: Send + 'static>(
        &self,
        decide: impl FnOnce(&Moment<'_>) -> StorageResult<(T, Vec<Record>)> + Send + 'static,
    ) -> StorageResult<T> {
        self.commit(Commit::empty(), decide).await
    }

    /// Hands a commit to the journal and waits for its outcome: what `decide` answered, once it is durable and applied.
    async fn commit<T: Send + 'static>(
        &self,
        mut commit: Commit,
        decide: impl FnOnce(&Moment<'_>) -> StorageResult<(T, Vec<Record>)> + Send + 'static,
    ) -> StorageResult<T> {
        let ended = || StorageError::Stopping("the journal ended".into());
        let permit = self.shared.commits.clone().acquire_owned().await.map_err(|_| ended())?;
        let decided = Arc::new(Mutex::new(None));
        let kept = decided.clone();
        commit.propose = Box::new(move |moment| {
            let (value, records) = decide(moment)?;
            *kept.lock() = Some(value);
            Ok(records)
        });
        let (answer, outcome) = oneshot::channel();
        commit.done = Box::new(move |result| {
            drop(permit);
            let _ = answer.send(result);
        });
        self.shared.engine.submit(commit);
        outcome.await.map_err(|_| ended())??;
        decided.lock().take().ok_or_else(ended)
    }
}
