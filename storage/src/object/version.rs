//! Object versions: looked up, put, removed. In a bucket without versioning a put replaces the current version, which passes
//! through the guard like any other removal (L-1).

use kovcheg_format::codec::Decode;
use kovcheg_format::id::VersionId;
use kovcheg_format::key;
use kovcheg_format::record::Record;
use kovcheg_format::record::audit::Origin;
use kovcheg_format::record::bucket::BucketCreated;
use kovcheg_format::record::version::{PartMark, VersionFacts, VersionKind, VersionPut};
use kovcheg_policy::facts::RemovalCause;

use crate::error::{StorageError, StorageResult};
use crate::index::{Column, IndexError, IndexRead, rows};
use crate::journal::sequencer::Moment;
use crate::object::bucket;
use crate::object::guard::permit;
use crate::object::put::WrittenBody;
use crate::object::types::{DeleteOutcome, NewVersion, Precondition};

/// The current version of a key, if it is an object.
pub fn current(view: &dyn IndexRead, bucket: &BucketCreated, object_key: &str) -> StorageResult<Option<VersionPut>> {
    let Some(id) = view.get(Column::Current, &key::current(bucket.bucket, object_key))? else { return Ok(None) };
    let version = VersionId::from_bytes(&id).map_err(|source| IndexError::Row { column: "current", source })?;
    Ok(rows::get(view, Column::Version, &key::version(bucket.bucket, object_key, version))?)
}

/// The current version of a key, or [`StorageError::NoSuchKey`].
pub fn find(view: &dyn IndexRead, bucket_name: &str, object_key: &str) -> StorageResult<VersionPut> {
    let bucket = bucket::find(view, bucket_name)?;
    current(view, &bucket, object_key)?.ok_or(StorageError::NoSuchKey)
}

/// Content of a version to be: from one body, or composed of parts.
#[derive(Debug, Clone)]
pub struct Content {
    /// Manifest.
    pub manifest: kovcheg_format::manifest::Root,
    /// Bytes.
    pub size: u64,
    /// CRC64-NVME.
    pub crc: u64,
    /// Parts, empty unless multipart.
    pub parts: Vec<PartMark>,
}

impl Content {
    /// The content of one body.
    #[must_use]
    pub fn of(body: &WrittenBody) -> Self {
        Self { manifest: body.manifest.clone(), size: body.size, crc: body.crc, parts: Vec::new() }
    }
}

/// Decides a put: the new version, and the removal of the one it replaces.
pub fn propose_put(
    moment: &Moment<'_>,
    bucket_name: &str,
    object_key: &str,
    content: Content,
    new: NewVersion,
    by: &Origin,
) -> StorageResult<(VersionPut, Vec<Record>)> {
    let bucket = bucket::find(moment.view, bucket_name)?;
    let replaced = current(moment.view, &bucket, object_key)?;
    check_precondition(&new.precondition, replaced.as_ref())?;
    let mut records = Vec::new();
    if let Some(replaced) = &replaced {
        let warrant = permit(moment, replaced, bucket_name, RemovalCause::Overwrite, by)?;
        records.extend(warrant.execute());
    }
    let version = VersionPut {
        bucket: bucket.bucket,
        key: object_key.to_owned(),
        version: moment.version_id()?,
        null_version: true,
        kind: VersionKind::Object,
        domain: bucket.domain,
        size: content.size,
        etag: new.etag,
        created_at: moment.now,
        headers: new.headers,
        metadata: new.metadata,
        tags: new.tags,
        checksums: new.checksums,
        parts: content.parts,
        manifest: content.manifest,
        crc: content.crc,
        facts: VersionFacts::free(0),
        by: by.clone(),
    };
    records.push(version.clone().into());
    Ok((version, records))
}

/// Decides a delete of the current version.
pub fn propose_delete(
    moment: &Moment<'_>,
    bucket_name: &str,
    object_key: &str,
    by: &Origin,
) -> StorageResult<(DeleteOutcome, Vec<Record>)> {
    let bucket = bucket::find(moment.view, bucket_name)?;
    let Some(version) = current(moment.view, &bucket, object_key)? else {
        return Ok((DeleteOutcome { existed: false }, Vec::new()));
    };
    let warrant = permit(moment, &version, bucket_name, RemovalCause::ClientDelete, by)?;
    Ok((DeleteOutcome { existed: true }, warrant.execute().into()))
}

fn check_precondition(precondition: &Precondition, current: Option<&VersionPut>) -> StorageResult<()> {
    if precondition.must_not_exist && current.is_some() {
        return Err(StorageError::PreconditionFailed("If-None-Match"));
    }
    match (&precondition.etag, current) {
        (Some(_), None) => Err(StorageError::NoSuchKey),
        (Some(wanted), Some(current)) if *wanted != current.etag => Err(StorageError::PreconditionFailed("If-Match")),
        _ => Ok(()),
    }
}
