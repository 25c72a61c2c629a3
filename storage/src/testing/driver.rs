//! Drives an engine from one thread, without async: for the crash tests, the model and the benches.

use std::sync::Arc;

use kovcheg_format::id::{RequestId, TenantId, UploadId};
use kovcheg_format::record::Record;
use kovcheg_format::record::audit::Origin;
use kovcheg_format::record::bucket::{BucketCreated, Namespace, Versioning};
use kovcheg_format::record::upload::PartPut;
use kovcheg_format::record::version::VersionPut;

use crate::engine::Engine;
use crate::error::{StorageError, StorageResult};
use crate::journal::sequencer::{Commit, Moment};
use crate::object::copy::{CopySource, propose_copy, propose_part as propose_copied, take_range};
use crate::object::get::ObjectCursor;
use crate::object::put::{BodyWriter, WrittenBody};
use crate::object::types::{
    DeleteOutcome, NamedPart, NewBucket, NewUpload, NewVersion, NoObserver, UploadRef, VersionName, VersionQuery,
};
use crate::object::version::{Content, propose_delete, propose_put};
use crate::object::versions::list_versions;
use crate::object::{bucket, multipart, version, versioning};

/// Who the driver is.
#[must_use]
pub fn origin() -> Origin {
    Origin { actor: "driver".to_owned(), address: String::new(), request: RequestId::ZERO }
}

/// Commits what `decide` says and waits until it is durable.
pub fn decide<T: Send + 'static>(
    engine: &Engine,
    commit: Commit,
    decide: impl FnOnce(&Moment<'_>) -> StorageResult<(T, Vec<Record>)> + Send + 'static,
) -> StorageResult<T> {
    engine.decide(commit, decide)
}

/// A commit without content, to be decided.
#[must_use]
pub fn empty() -> Commit {
    Commit::empty()
}

/// Makes a bucket.
pub fn create_bucket(engine: &Engine, name: &str) -> StorageResult<BucketCreated> {
    create_bucket_of(engine, TenantId(1), name)
}

/// Makes a bucket of a tenant.
pub fn create_bucket_of(engine: &Engine, tenant: TenantId, name: &str) -> StorageResult<BucketCreated> {
    let new =
        NewBucket { name: name.to_owned(), tenant, namespace: Namespace::Flat, profile: None, object_lock: false };
    let profile = engine.config.profile.clone();
    decide(engine, empty(), move |moment| bucket::propose_create(moment, &new, &profile, &origin()))
}

/// Removes a bucket.
pub fn delete_bucket(engine: &Engine, name: &str) -> StorageResult<()> {
    let name = name.to_owned();
    decide(engine, empty(), move |moment| Ok(((), bucket::propose_delete(moment, &name, &origin())?)))
}

/// Takes a body in.
pub fn write_body(engine: &Arc<Engine>, bucket_name: &str, bytes: &[u8]) -> StorageResult<WrittenBody> {
    let bucket = bucket::find(engine.index.as_ref(), bucket_name)?;
    let mut writer = BodyWriter::new(engine, bucket.domain, &bucket.profile, Box::new(NoObserver))?;
    for piece in bytes.chunks(256 << 10) {
        writer.write(piece)?;
    }
    writer.end()
}

/// The commit of a body, still without its decision.
#[must_use]
pub fn commit_of(body: WrittenBody) -> Commit {
    let mut commit = empty();
    commit.domain = body.domain;
    commit.stripes = body.filled.stripes;
    commit.inline = body.filled.inline;
    commit.records = body.filled.records;
    commit
}

/// Puts an object.
pub fn put(engine: &Arc<Engine>, bucket_name: &str, key: &str, bytes: &[u8]) -> StorageResult<VersionPut> {
    let body = write_body(engine, bucket_name, bytes)?;
    let content = Content::of(&body);
    let (name, key) = (bucket_name.to_owned(), key.to_owned());
    decide(engine, commit_of(body), move |moment| {
        let (found, records) = propose_put(moment, &name, &key, content, NewVersion::default(), &origin())?;
        Ok((found.version, records))
    })
}

/// Reads an object from end to end.
pub fn get(engine: &Arc<Engine>, bucket_name: &str, key: &str) -> StorageResult<Vec<u8>> {
    let found = version::find(engine.index.as_ref(), bucket_name, key)?;
    let size = found.size;
    get_range(engine, found, 0, size)
}

/// Reads a range of a version.
pub fn get_range(engine: &Arc<Engine>, found: VersionPut, start: u64, end: u64) -> StorageResult<Vec<u8>> {
    let mut cursor = ObjectCursor::new(engine.clone(), Arc::new(found), start, end)?;
    let mut out = Vec::new();
    loop {
        let batch = cursor.next_batch()?;
        if batch.is_empty() {
            return Ok(out);
        }
        for bytes in batch {
            out.extend_from_slice(&bytes);
        }
    }
}

/// Removes an object.
pub fn delete(engine: &Engine, bucket_name: &str, key: &str) -> StorageResult<DeleteOutcome> {
    let (name, key) = (bucket_name.to_owned(), key.to_owned());
    decide(engine, empty(), move |moment| propose_delete(moment, &name, &key, None, false, &origin()))
}

/// Removes the newest version of a key, whatever it is.
pub fn delete_newest(engine: &Engine, bucket_name: &str, key: &str) -> StorageResult<DeleteOutcome> {
    let (name, key) = (bucket_name.to_owned(), key.to_owned());
    decide(engine, empty(), move |moment| {
        let bucket = bucket::find(moment.view, &name)?;
        let query = VersionQuery { prefix: key.clone(), max_keys: 1, ..VersionQuery::default() };
        let page = list_versions(moment.view, bucket.bucket, &query)?;
        let newest =
            page.versions.first().map(|(version, _)| VersionName::of(version)).ok_or(StorageError::NoSuchKey)?;
        propose_delete(moment, &name, &key, Some(newest), false, &origin())
    })
}

/// Has a bucket keep versions.
pub fn keep_versions(engine: &Engine, bucket_name: &str) -> StorageResult<()> {
    let name = bucket_name.to_owned();
    decide(engine, empty(), move |moment| {
        Ok(((), versioning::propose_set(moment, &name, Versioning::Enabled, &origin())?))
    })
}

/// Opens an upload under a name that is given, so that a script can name it before it is durable.
pub fn create_upload(engine: &Engine, upload: &UploadRef) -> StorageResult<UploadId> {
    let upload = upload.clone();
    decide(engine, empty(), move |moment| {
        let records = multipart::propose_create(
            moment,
            &upload.bucket,
            &upload.key,
            upload.upload,
            &NewUpload::default(),
            &origin(),
        )?;
        Ok((upload.upload, records))
    })
}

/// Puts a part; its ETag is `etag`.
pub fn put_part(
    engine: &Arc<Engine>,
    upload: &UploadRef,
    number: u16,
    etag: &str,
    bytes: &[u8],
) -> StorageResult<PartPut> {
    let body = write_body(engine, &upload.bucket, bytes)?;
    let content = Content::of(&body);
    let (upload, etag) = (upload.clone(), etag.to_owned());
    decide(engine, commit_of(body), move |moment| {
        multipart::propose_part(moment, &upload, number, content, etag, Vec::new())
    })
}

/// Copies an object of a bucket to another key of it.
pub fn copy_object(engine: &Engine, bucket_name: &str, from: &str, to: &str) -> StorageResult<VersionPut> {
    let version = version::find(engine.index.as_ref(), bucket_name, from)?;
    let source = CopySource { bucket: bucket_name.to_owned(), version };
    let (name, key) = (bucket_name.to_owned(), to.to_owned());
    decide(engine, empty(), move |moment| {
        let (found, records) = propose_copy(moment, &source, &name, &key, NewVersion::default(), &origin())?;
        Ok((found.version, records))
    })
}

/// Makes a range of an object of the upload's bucket a part; its ETag is `etag`.
pub fn copy_part(
    engine: &Arc<Engine>,
    from: &str,
    range: (u64, u64),
    upload: &UploadRef,
    number: u16,
    etag: &str,
) -> StorageResult<PartPut> {
    let version = version::find(engine.index.as_ref(), &upload.bucket, from)?;
    let copied = take_range(engine, &version, range.0, range.1)?;
    let source = CopySource { bucket: upload.bucket.clone(), version };
    let mut commit = empty();
    commit.domain = source.version.domain;
    commit.stripes = copied.filled.stripes;
    commit.inline = copied.filled.inline;
    commit.records = copied.filled.records;
    let (upload, content) = (upload.clone(), (copied.content, etag.to_owned()));
    decide(engine, commit, move |moment| propose_copied(moment, &source, &upload, number, content, Vec::new()))
}

/// Completes an upload.
pub fn complete(engine: &Arc<Engine>, upload: &UploadRef, parts: &[(u16, &str)]) -> StorageResult<VersionPut> {
    let named: Vec<NamedPart> =
        parts.iter().map(|(number, etag)| NamedPart { number: *number, etag: (*etag).to_owned() }).collect();
    let mut composed = multipart::compose(engine, upload, &named)?;
    let mut commit = empty();
    commit.domain = composed.upload.domain;
    commit.stripes = std::mem::take(&mut composed.filled.stripes);
    commit.inline = std::mem::take(&mut composed.filled.inline);
    commit.records = std::mem::take(&mut composed.filled.records);
    let upload = upload.clone();
    decide(engine, commit, move |moment| {
        let (found, records) =
            multipart::propose_complete(moment, &upload, &composed, NewVersion::default(), &origin())?;
        Ok((found.version, records))
    })
}

/// Aborts an upload.
pub fn abort(engine: &Engine, upload: &UploadRef) -> StorageResult<()> {
    let upload = upload.clone();
    decide(engine, empty(), move |moment| Ok(((), multipart::propose_abort(moment, &upload, &origin())?)))
}
