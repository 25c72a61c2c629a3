//! Objects: put, get, head, delete, delete many.

use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use futures::{Stream, TryStreamExt as _};
use http::header::{ALLOW, HeaderMap, HeaderValue};
use http_body_util::StreamBody;
use hyper::body::Frame;
use kovcheg_format::record::audit::Origin;
use kovcheg_format::record::version::VersionPut;
use kovcheg_storage::error::{StorageError, StorageResult};
use kovcheg_storage::handle::ObjectReader;
use kovcheg_storage::object::names::fits_xml;
use kovcheg_storage::object::types::{DeleteOutcome, Found, NewVersion, Precondition};
use s3s::dto::{
    ChecksumMode, ChecksumType, DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput,
    DeletedObject, ETag, ETagCondition, Error as DeleteError, GetObjectInput, GetObjectOutput, HeadObjectInput,
    HeadObjectOutput, ObjectIdentifier, PutObjectInput, PutObjectOutput, ServerSideEncryption, StreamingBlob,
};
use s3s::{Body, S3Error, S3Request, S3Response, S3Result, s3_error};

use crate::config::PAGE_KEYS_MAX;
use crate::error::from_storage;
use crate::s3::body::receive;
use crate::s3::checksum::{Expected, Shown, etag, show_checksums};
use crate::s3::headers::{DEFAULT_CONTENT_TYPE, Kept, metadata, value};
use crate::s3::locks::{ShownLock, asked_lock, bypasses, new_lock};
use crate::s3::names::{check_key, check_new_key, parse_version, version_text};
use crate::s3::range::{Conditions, Slice, slice, timestamp};
use crate::s3::service::Gateway;

/// Deletes of one `DeleteObjects` in progress at a time: enough to share group commits.
const DELETES_AT_ONCE: usize = 32;

/// All data is sealed (DESIGN R9), whatever the client asks for; answers say so as S3 does.
pub(crate) fn sealed() -> Option<ServerSideEncryption> {
    Some(ServerSideEncryption::from_static(ServerSideEncryption::AES256))
}

/// The condition of a write.
///
/// # Errors
/// `NotImplemented` for forms S3 does not have on writes.
pub(crate) fn precondition(
    if_match: Option<ETagCondition>,
    if_none_match: Option<ETagCondition>,
) -> S3Result<Precondition> {
    let must_not_exist = match if_none_match {
        None => false,
        Some(ETagCondition::Any) => true,
        Some(ETagCondition::ETag(_)) => {
            return Err(s3_error!(NotImplemented, "On writes, If-None-Match takes no value but *."));
        }
    };
    let etag = match if_match {
        None => None,
        Some(ETagCondition::ETag(etag)) => Some(etag.into_value()),
        Some(ETagCondition::Any) => {
            return Err(s3_error!(NotImplemented, "On writes, If-Match takes an ETag and not *."));
        }
    };
    Ok(Precondition { must_not_exist, etag })
}

/// `PutObject`. Durable (W-1) when it answers.
pub(crate) async fn put(
    gateway: &Gateway,
    mut req: S3Request<PutObjectInput>,
) -> S3Result<S3Response<PutObjectOutput>> {
    let by = gateway.origin(&req);
    check_new_key(&req.input.key)?;
    let expected = Expected::parse(&req.headers)?;
    let kept = Kept::collect(&req.headers, req.input.metadata.take())?;
    let precondition = precondition(req.input.if_match.take(), req.input.if_none_match.take())?;
    let asked = asked_lock!(req.input);
    let lock = new_lock(gateway, &req, &req.input.bucket, asked).await?;
    let observer = Box::new(expected.digests().of_length(req.input.content_length));
    let stream =
        gateway.vault.begin_object(by, &req.input.bucket, &req.input.key, observer).await.map_err(from_storage)?;
    let body = req.input.body.take();
    let got =
        receive(stream, gateway.md5.stream(), body, req.input.content_length, &expected, req.trailing_headers.take())
            .await?;
    let new = NewVersion {
        etag: etag(got.md5),
        headers: kept.headers,
        metadata: kept.metadata,
        tags: kept.tags,
        checksums: got.checksums,
        precondition,
        lock,
    };
    let version = got.put.commit_object(new).await.map_err(from_storage)?;
    let mut output = PutObjectOutput {
        e_tag: Some(ETag::Strong(version.etag.clone())),
        version_id: version.name().map(version_text),
        server_side_encryption: sealed(),
        ..PutObjectOutput::default()
    };
    let kind = show_checksums!(output, Shown::of(&version.checksums, version.crc, version.parts.len()));
    output.checksum_type = kind.map(ChecksumType::from_static);
    Ok(S3Response::new(output))
}

fn wants_checksums(mode: Option<&ChecksumMode>, slice: Slice) -> bool {
    // The checksum covers the object, so it may only go with all of it.
    mode.is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED) && slice.len() == slice.size
}

fn parts_count(version: &VersionPut, asked: Option<i32>) -> Option<i32> {
    asked?;
    i32::try_from(version.parts.len()).ok().filter(|count| *count > 0)
}

/// Fills the fields that the outputs of GET and HEAD have in common.
macro_rules! describe {
    ($Output:ident, $version:expr, $slice:expr, $part:expr, $mode:expr) => {{
        let found: &Found = $version;
        let version: &VersionPut = found;
        let slice: Slice = $slice;
        let text = |name: &str| value(&version.headers, name).map(str::to_owned);
        let lock = ShownLock::of(&version.facts);
        let mut output = $Output {
            accept_ranges: Some("bytes".to_owned()),
            cache_control: text("cache-control"),
            content_disposition: text("content-disposition"),
            content_encoding: text("content-encoding"),
            content_language: text("content-language"),
            content_length: i64::try_from(slice.len()).ok(),
            content_range: slice.content_range(),
            content_type: Some(text("content-type").unwrap_or_else(|| DEFAULT_CONTENT_TYPE.to_owned())),
            e_tag: Some(ETag::Strong(version.etag.clone())),
            expires: text("expires"),
            last_modified: Some(timestamp(version.created_at)),
            metadata: metadata(&version.metadata),
            object_lock_legal_hold_status: lock.hold,
            object_lock_mode: lock.mode,
            object_lock_retain_until_date: lock.until,
            parts_count: parts_count(version, $part),
            server_side_encryption: sealed(),
            tag_count: i32::try_from(version.tags.len()).ok().filter(|count| *count > 0),
            version_id: found.name().map(version_text),
            ..$Output::default()
        };
        if wants_checksums($mode, slice) {
            let kind = show_checksums!(output, Shown::of(&version.checksums, version.crc, version.parts.len()));
            output.checksum_type = kind.map(ChecksumType::from_static);
        }
        output
    }};
}

/// The version that a request reads. Where there is a delete marker, the answer names it.
pub(crate) async fn find(gateway: &Gateway, bucket: &str, key: &str, version: Option<&str>) -> S3Result<Found> {
    check_key(key)?;
    gateway.vault.head_object(bucket, key, parse_version(version)?).await.map_err(|error| {
        let StorageError::DeleteMarker { name, asked } = error else { return from_storage(error) };
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-delete-marker", HeaderValue::from_static("true"));
        if let Ok(name) = HeaderValue::try_from(version_text(name)) {
            headers.insert("x-amz-version-id", name);
        }
        if asked {
            headers.insert(ALLOW, HeaderValue::from_static("DELETE"));
        }
        let mut error = from_storage(error);
        error.set_headers(headers);
        error
    })
}

/// `HeadObject`.
pub(crate) async fn head(gateway: &Gateway, req: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
    let input = req.input;
    let version = find(gateway, &input.bucket, &input.key, input.version_id.as_deref()).await?;
    let conditions = Conditions {
        if_match: input.if_match,
        if_none_match: input.if_none_match,
        if_modified_since: input.if_modified_since,
        if_unmodified_since: input.if_unmodified_since,
    };
    conditions.check(&version)?;
    let slice = slice(&version, input.range, input.part_number)?;
    let output = describe!(HeadObjectOutput, &version, slice, input.part_number, input.checksum_mode.as_ref());
    Ok(S3Response::new(output))
}

/// `GetObject`. Bytes leave only after they were verified (D-1); if a later one does not verify, the connection ends early.
pub(crate) async fn get(gateway: &Gateway, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
    let input = req.input;
    let found = find(gateway, &input.bucket, &input.key, input.version_id.as_deref()).await?;
    let conditions = Conditions {
        if_match: input.if_match,
        if_none_match: input.if_none_match,
        if_modified_since: input.if_modified_since,
        if_unmodified_since: input.if_unmodified_since,
    };
    conditions.check(&found)?;
    let slice = slice(&found, input.range, input.part_number)?;
    let mut output = describe!(GetObjectOutput, &found, slice, input.part_number, input.checksum_mode.as_ref());
    if slice.len() > 0 {
        let mut reader = gateway.vault.open_version(found.version);
        if slice.partial {
            reader.set_range(slice.start, slice.end);
        }
        // The first bytes are read before the answer begins, so that damage there is an error and not a torn body.
        let first = reader.next().await.transpose().map_err(from_storage)?;
        output.body = Some(blob(first, reader));
    }
    Ok(S3Response::new(output))
}

fn blob(first: Option<Bytes>, reader: ObjectReader) -> StreamingBlob {
    let frames = stream::iter(first.map(Ok)).chain(rest(reader)).map_ok(Frame::data).inspect_err(|error| {
        tracing::error!(error = %error, "a read failed after its answer had begun; the connection is cut");
    });
    StreamingBlob::from(Body::http_body_unsync(StreamBody::new(frames)))
}

fn rest(reader: ObjectReader) -> impl Stream<Item = StorageResult<Bytes>> + Send {
    stream::unfold(Some(reader), |reader| async move {
        let mut reader = reader?;
        match reader.next().await? {
            Ok(bytes) => Some((Ok(bytes), Some(reader))),
            Err(error) => Some((Err(error), None)),
        }
    })
}

/// `DeleteObject`: 204, whether the object was there or not.
pub(crate) async fn delete(
    gateway: &Gateway,
    req: S3Request<DeleteObjectInput>,
) -> S3Result<S3Response<DeleteObjectOutput>> {
    let by = gateway.origin(&req);
    check_key(&req.input.key)?;
    let version = parse_version(req.input.version_id.as_deref())?;
    if req.input.if_match.is_some() {
        return Err(s3_error!(NotImplemented, "If-Match is not supported on deletes."));
    }
    let bypass = bypasses(gateway, &req, &req.input.bucket, req.input.bypass_governance_retention).await?;
    let outcome = gateway.vault.delete_object(by, &req.input.bucket, &req.input.key, version, bypass).await;
    let DeleteOutcome { marker, name, .. } = outcome.map_err(from_storage)?;
    Ok(S3Response::new(DeleteObjectOutput {
        delete_marker: marker.then_some(true),
        version_id: name.map(version_text),
        ..DeleteObjectOutput::default()
    }))
}

/// `DeleteObjects`: each key on its own; missing keys count as deleted.
pub(crate) async fn delete_many(
    gateway: &Gateway,
    req: S3Request<DeleteObjectsInput>,
) -> S3Result<S3Response<DeleteObjectsOutput>> {
    let by = gateway.origin(&req);
    let bypass = bypasses(gateway, &req, &req.input.bucket, req.input.bypass_governance_retention).await?;
    let DeleteObjectsInput { bucket, delete, .. } = req.input;
    if delete.objects.is_empty() || delete.objects.len() > PAGE_KEYS_MAX {
        return Err(s3_error!(MalformedXML, "DeleteObjects takes 1 to {PAGE_KEYS_MAX} keys."));
    }
    // Its answer could not name such a key; better to say so before anything is gone than after.
    if delete.objects.iter().any(|object| !object.key.chars().all(fits_xml)) {
        return Err(s3_error!(
            InvalidArgument,
            "A key has a character that XML cannot carry; delete that object with DeleteObject."
        ));
    }
    gateway.vault.bucket(&bucket).await.map_err(from_storage)?;
    let bucket = bucket.as_str();
    let results: Vec<(ObjectIdentifier, S3Result<DeleteOutcome>)> = stream::iter(delete.objects)
        .map(|object| {
            let by = by.clone();
            async move {
                let result = delete_listed(gateway, by, (bucket, &object), bypass).await;
                (object, result)
            }
        })
        .buffered(DELETES_AT_ONCE)
        .collect()
        .await;
    let quiet = delete.quiet.unwrap_or(false);
    let mut deleted = Vec::new();
    let mut errors = Vec::new();
    for (object, result) in results {
        match result {
            Ok(_) if quiet => {}
            Ok(outcome) => deleted.push(shown_deleted(object, &outcome)),
            Err(error) => errors.push(delete_error(object, &error)),
        }
    }
    Ok(S3Response::new(DeleteObjectsOutput {
        deleted: Some(deleted),
        errors: Some(errors),
        ..DeleteObjectsOutput::default()
    }))
}

async fn delete_listed(
    gateway: &Gateway,
    by: Origin,
    (bucket, object): (&str, &ObjectIdentifier),
    bypass: bool,
) -> S3Result<DeleteOutcome> {
    check_key(&object.key)?;
    let version = parse_version(object.version_id.as_deref())?;
    if object.e_tag.is_some() || object.last_modified_time.is_some() || object.size.is_some() {
        return Err(s3_error!(NotImplemented, "Conditions are not supported on deletes."));
    }
    gateway.vault.delete_object(by, bucket, &object.key, version, bypass).await.map_err(from_storage)
}

fn shown_deleted(object: ObjectIdentifier, outcome: &DeleteOutcome) -> DeletedObject {
    DeletedObject {
        delete_marker: outcome.marker.then_some(true),
        delete_marker_version_id: outcome.name.filter(|_| outcome.marker).map(version_text),
        key: Some(object.key),
        version_id: object.version_id,
    }
}

fn delete_error(object: ObjectIdentifier, error: &S3Error) -> DeleteError {
    DeleteError {
        code: Some(error.code().as_str().to_owned()),
        key: Some(object.key),
        message: error.message().map(str::to_owned),
        version_id: object.version_id,
    }
}

#[cfg(test)]
mod tests;
