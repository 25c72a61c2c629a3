//! Multipart uploads: opened, parts put, completed by composing manifests, aborted. Completion touches no data (R16).

use std::sync::Arc;

use kovcheg_format::id::UploadId;
use kovcheg_format::key;
use kovcheg_format::manifest::Root;
use kovcheg_format::record::Record;
use kovcheg_format::record::audit::{Action, Origin};
use kovcheg_format::record::upload::{PartPut, UploadCreated, UploadEnded, UploadOutcome};
use kovcheg_format::record::version::{Checksum, PartMark};

use crate::engine::Engine;
use crate::error::{StorageError, StorageResult};
use crate::index::{Column, IndexRead, rows};
use crate::journal::sequencer::Moment;
use crate::object::guard::audit;
use crate::object::manifest::ManifestBuilder;
use crate::object::names::check_key;
use crate::object::sink::{ChunkSink, Filled};
use crate::object::types::{Found, NamedPart, NewUpload, NewVersion, PART_LEN_MIN, UploadRef};
use crate::object::version::{Content, propose_checked};
use crate::object::{bucket, locks, quota};

/// An open upload, or [`StorageError::NoSuchUpload`].
pub fn find(view: &dyn IndexRead, upload: &UploadRef) -> StorageResult<UploadCreated> {
    let bucket = bucket::find(view, &upload.bucket)?;
    let key = key::upload(bucket.bucket, &upload.key, upload.upload);
    rows::get(view, Column::Upload, &key)?.ok_or(StorageError::NoSuchUpload)
}

/// Decides the opening of an upload.
pub fn propose_create(
    moment: &Moment<'_>,
    bucket_name: &str,
    object_key: &str,
    upload: UploadId,
    new: &NewUpload,
    by: &Origin,
) -> StorageResult<Vec<Record>> {
    check_key(object_key)?;
    let bucket = bucket::find(moment.view, bucket_name)?;
    locks::check_new(moment, bucket_name, &new.lock)?;
    let created = UploadCreated {
        bucket: bucket.bucket,
        key: object_key.to_owned(),
        upload,
        domain: bucket.domain,
        // Its age counts from here, also when the wall clock is behind.
        created_at: moment.now.max(moment.clock.time),
        headers: new.headers.clone(),
        metadata: new.metadata.clone(),
        tags: new.tags.clone(),
        checksum_kind: new.checksum_kind,
        full_object: new.full_object,
        by: by.clone(),
    };
    let locked = locks::upload_record(upload, &new.lock);
    Ok([Some(created.into()), locked].into_iter().flatten().collect())
}

/// Decides a part: the upload must still be open at this point of the order.
pub fn propose_part(
    moment: &Moment<'_>,
    upload: &UploadRef,
    number: u16,
    content: Content,
    etag: String,
    checksums: Vec<Checksum>,
) -> StorageResult<(PartPut, Vec<Record>)> {
    find(moment.view, upload)?;
    let bucket = bucket::find(moment.view, &upload.bucket)?;
    quota::check_part(moment.view, &bucket, (upload.upload, number), content.size)?;
    let part = PartPut {
        upload: upload.upload,
        number,
        size: content.size,
        etag,
        created_at: moment.now,
        checksums,
        manifest: content.manifest,
        crc: content.crc,
    };
    Ok((part.clone(), vec![part.into()]))
}

/// A completion whose manifest is composed and whose new nodes are stored.
pub struct Composed {
    /// The upload as it was when composed.
    pub upload: UploadCreated,
    /// Parts it was composed of.
    pub parts: Vec<PartPut>,
    /// Content of the version to be.
    pub content: Content,
    /// New nodes.
    pub filled: Filled,
}

/// Checks the named parts and joins their manifests. Runs on a worker, before the commit; the commit checks that nothing changed.
pub fn compose(engine: &Arc<Engine>, upload: &UploadRef, named: &[NamedPart]) -> StorageResult<Composed> {
    let view = engine.index.as_ref();
    let created = find(view, upload)?;
    let parts = named_parts(view, upload.upload, named)?;
    let mut sink = ChunkSink::new(engine.clone(), engine.domain(created.domain)?);
    let mut builder = ManifestBuilder::default();
    let (mut size, mut crc) = (0, 0);
    let mut marks = Vec::with_capacity(parts.len());
    for part in &parts {
        builder.push_root(&part.manifest, &mut |node| sink.node(node))?;
        size += part.size;
        crc = kovcheg_format::checksum::crc64_combine(crc, part.crc, part.size);
        marks.push(PartMark { number: part.number, len: part.size });
    }
    let manifest: Root = builder.finish(&mut |node| sink.node(node))?;
    let content = Content { manifest, size, crc, parts: marks };
    Ok(Composed { upload: created, parts, content, filled: sink.finish()? })
}

fn named_parts(view: &dyn IndexRead, upload: UploadId, named: &[NamedPart]) -> StorageResult<Vec<PartPut>> {
    if named.is_empty() {
        return Err(StorageError::InvalidArgument { what: "parts", reason: "none is named".to_owned() });
    }
    if named.windows(2).any(|pair| matches!(pair, [left, right] if left.number >= right.number)) {
        return Err(StorageError::InvalidPartOrder);
    }
    let mut parts = Vec::with_capacity(named.len());
    for (at, wanted) in named.iter().enumerate() {
        let part: Option<PartPut> = rows::get(view, Column::Part, &key::part(upload, wanted.number))?;
        let part = part.filter(|part| part.etag == wanted.etag).ok_or(StorageError::InvalidPart(wanted.number))?;
        if at + 1 < named.len() && part.size < PART_LEN_MIN {
            return Err(StorageError::PartTooSmall { number: part.number, size: part.size, min: PART_LEN_MIN });
        }
        parts.push(part);
    }
    Ok(parts)
}

/// Decides a completion: the upload must be open and its named parts unchanged at this point of the order.
pub fn propose_complete(
    moment: &Moment<'_>,
    upload: &UploadRef,
    composed: &Composed,
    new: NewVersion,
    by: &Origin,
) -> StorageResult<(Found, Vec<Record>)> {
    let created = find(moment.view, upload)?;
    for part in &composed.parts {
        let now: Option<PartPut> = rows::get(moment.view, Column::Part, &key::part(upload.upload, part.number))?;
        if now.as_ref() != Some(part) {
            return Err(StorageError::InvalidPart(part.number));
        }
    }
    let new = NewVersion {
        headers: created.headers.clone(),
        metadata: created.metadata.clone(),
        tags: created.tags.clone(),
        lock: locks::of_upload(moment.view, upload.upload)?,
        ..new
    };
    let (place, content) = ((&*upload.bucket, &*upload.key), composed.content.clone());
    // Its parts count towards the quota until now.
    let freed = content.size;
    let (version, mut records) = propose_checked(moment, place, content, new, freed, by)?;
    records.push(ended(&created, UploadOutcome::Completed, by));
    Ok((version, records))
}

/// Decides an abort.
pub fn propose_abort(moment: &Moment<'_>, upload: &UploadRef, by: &Origin) -> StorageResult<Vec<Record>> {
    let created = find(moment.view, upload)?;
    let audited = audit(moment, Action::AbortUpload, by, &upload.bucket, &upload.key);
    Ok(vec![audited, ended(&created, UploadOutcome::Aborted, by)])
}

fn ended(created: &UploadCreated, outcome: UploadOutcome, by: &Origin) -> Record {
    UploadEnded { bucket: created.bucket, key: created.key.clone(), upload: created.upload, outcome, by: by.clone() }
        .into()
}
