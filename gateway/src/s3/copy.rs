//! `CopyObject` and `UploadPartCopy`: content by reference, everything else as the request says (docs/semantics.md).

use http::HeaderMap;
use kovcheg_format::codec::Blob;
use kovcheg_format::record::version::{Checksum, ChecksumKind, Pair, VersionPut};
use kovcheg_storage::error::StorageError;
use kovcheg_storage::object::copy::CopySource as Source;
use kovcheg_storage::object::types::{Found, NewVersion, Right, VersionName};
use s3s::dto::{
    ChecksumAlgorithm, ChecksumType, CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopyPartResult, CopySource,
    ETag, ETagCondition, Metadata, Timestamp, UploadPartCopyInput, UploadPartCopyOutput,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use crate::error::from_storage;
use crate::s3::bucket::owner_id;
use crate::s3::checksum::{Expected, Shown, kind_of_code, parse_algorithm, show_checksums};
use crate::s3::headers::Kept;
use crate::s3::locks::{asked_lock, new_lock};
use crate::s3::multipart::{part_number, upload_ref};
use crate::s3::names::{check_key, check_new_key, parse_version, version_text};
use crate::s3::object::{precondition, sealed};
use crate::s3::range::{Conditions, timestamp};
use crate::s3::service::Gateway;

/// Looks at a source that is replaced meanwhile so many times.
const TRIES: usize = 8;

/// Most bytes of one copy (S3: 5 GiB).
const COPY_BYTES_MAX: u64 = 5 << 30;

/// A source as it was looked up, and how its version is shown.
struct Looked {
    source: Source,
    shown: Option<String>,
}

/// What a request says of its source.
struct Asked {
    bucket: String,
    key: String,
    named: Option<VersionName>,
    owner: Option<String>,
    if_match: Option<ETagCondition>,
    if_none_match: Option<ETagCondition>,
    if_modified_since: Option<Timestamp>,
    if_unmodified_since: Option<Timestamp>,
}

/// Reads the fields that both inputs have.
macro_rules! asked {
    ($input:ident) => {{
        let (bucket, key, named) = place_of(&$input.copy_source)?;
        Asked {
            bucket,
            key,
            named,
            owner: $input.expected_source_bucket_owner.take(),
            if_match: $input.copy_source_if_match.take(),
            if_none_match: $input.copy_source_if_none_match.take(),
            if_modified_since: $input.copy_source_if_modified_since.take(),
            if_unmodified_since: $input.copy_source_if_unmodified_since.take(),
        }
    }};
}

fn place_of(source: &CopySource) -> S3Result<(String, String, Option<VersionName>)> {
    let CopySource::Bucket { bucket, key, version_id } = source else {
        return Err(s3_error!(
            NotImplemented,
            "The copy source is an ARN of an access point; name it as bucket/key, access points are not supported."
        ));
    };
    check_key(key)?;
    Ok((bucket.to_string(), key.to_string(), parse_version(version_id.as_deref())?))
}

impl Asked {
    /// The source as it is now, if the caller may read it and its conditions hold.
    async fn find<T>(&self, gateway: &Gateway, req: &S3Request<T>) -> S3Result<Looked> {
        let caller = gateway.credential(req).await?;
        if !caller.may(&self.bucket, Right::Read) {
            return Err(s3_error!(AccessDenied, "This access key may not read in the bucket of the copy source."));
        }
        let bucket = gateway.vault.bucket(&self.bucket).await.map_err(from_storage)?;
        if !caller.root && caller.tenant != bucket.tenant {
            return Err(s3_error!(AccessDenied, "The bucket of the copy source belongs to another tenant."));
        }
        if self.owner.as_ref().is_some_and(|expected| *expected != owner_id(bucket.tenant)) {
            return Err(s3_error!(
                AccessDenied,
                "The bucket of the copy source does not belong to the expected owner."
            ));
        }
        let found =
            gateway.vault.head_object(&self.bucket, &self.key, self.named).await.map_err(|error| match error {
                // Of a copy, S3 calls a source that is a delete marker a wrong request.
                StorageError::DeleteMarker { asked: true, .. } => {
                    s3_error!(
                        InvalidRequest,
                        "The source of a copy request may not specifically refer to a delete marker by version id."
                    )
                }
                error => from_storage(error),
            })?;
        let conditions = Conditions {
            if_match: self.if_match.clone(),
            if_none_match: self.if_none_match.clone(),
            if_modified_since: self.if_modified_since.clone(),
            if_unmodified_since: self.if_unmodified_since.clone(),
        };
        if conditions.check(&found).is_err() {
            // Of a copy, S3 answers 412 also where a read would be answered 304.
            return Err(s3_error!(PreconditionFailed, "A condition on the copy source does not hold."));
        }
        let shown = found.name().map(version_text);
        Ok(Looked { source: Source { bucket: self.bucket.clone(), version: found.version }, shown })
    }
}

/// `COPY`, the default, or `REPLACE`.
fn replaces(directive: Option<&str>, header: &str) -> S3Result<bool> {
    match directive {
        None | Some("" | "COPY") => Ok(false),
        Some("REPLACE") => Ok(true),
        Some(other) => Err(s3_error!(InvalidArgument, "{header}: {other}: it is COPY or REPLACE.")),
    }
}

/// What the request makes of the source's headers, metadata and tags.
struct Description {
    /// In place of headers and metadata.
    described: Option<Kept>,
    /// In place of tags.
    tags: Option<Vec<Pair>>,
}

impl Description {
    fn parse(
        headers: &HeaderMap,
        metadata: Option<Metadata>,
        metadata_directive: Option<&str>,
        tagging_directive: Option<&str>,
    ) -> S3Result<Self> {
        let kept = Kept::collect(headers, metadata)?;
        let tags = replaces(tagging_directive, "x-amz-tagging-directive")?.then(|| kept.tags.clone());
        let described = replaces(metadata_directive, "x-amz-metadata-directive")?.then_some(kept);
        Ok(Self { described, tags })
    }

    fn apply(&self, source: &VersionPut, checksums: Vec<Checksum>, new: NewVersion) -> NewVersion {
        let (headers, metadata) = match &self.described {
            Some(kept) => (kept.headers.clone(), kept.metadata.clone()),
            None => (source.headers.clone(), source.metadata.clone()),
        };
        let tags = self.tags.clone().unwrap_or_else(|| source.tags.clone());
        NewVersion { etag: source.etag.clone(), headers, metadata, tags, checksums, ..new }
    }
}

/// Refuses to copy more at once than S3 does: tools know that limit by its error, and copy in parts beyond.
fn check_size(bytes: u64) -> S3Result<()> {
    if bytes <= COPY_BYTES_MAX {
        return Ok(());
    }
    Err(s3_error!(
        InvalidRequest,
        "The specified copy source is larger than the maximum allowable size for a copy source: {COPY_BYTES_MAX}. Copy it in \
         parts (UploadPartCopy)."
    ))
}

/// `CopyObject`. Durable (W-1) when it answers.
pub(crate) async fn object(
    gateway: &Gateway,
    mut req: S3Request<CopyObjectInput>,
) -> S3Result<S3Response<CopyObjectOutput>> {
    let by = gateway.origin(&req);
    check_new_key(&req.input.key)?;
    let input = &mut req.input;
    let asked = asked!(input);
    let (metadata_directive, tagging_directive) = (input.metadata_directive.take(), input.tagging_directive.take());
    let description = Description::parse(
        &req.headers,
        req.input.metadata.take(),
        metadata_directive.as_ref().map(|directive| directive.as_str()),
        tagging_directive.as_ref().map(|directive| directive.as_str()),
    )?;
    let precondition = precondition(req.input.if_match.take(), req.input.if_none_match.take())?;
    let locks = asked_lock!(req.input);
    let lock = new_lock(gateway, &req, &req.input.bucket, locks).await?;
    let new = NewVersion { precondition, lock, ..NewVersion::default() };
    let wanted =
        req.input.checksum_algorithm.as_ref().map(ChecksumAlgorithm::as_str).map(parse_algorithm).transpose()?;
    let (bucket, key) = (req.input.bucket.clone(), req.input.key.clone());
    let onto_itself = asked.bucket == bucket && asked.key == key && asked.named.is_none();
    if onto_itself && description.described.is_none() && wanted.is_none() {
        return Err(s3_error!(
            InvalidRequest,
            "This copy request is illegal because it is trying to copy an object to itself without changing the object's \
             metadata, storage class, website redirect location or encryption attributes."
        ));
    }
    for _ in 0..TRIES {
        let Looked { source, shown } = asked.find(gateway, &req).await?;
        check_size(source.version.size)?;
        let checksums = checksums(gateway, &source.version, wanted).await?;
        let new = description.apply(&source.version, checksums, new.clone());
        match gateway.vault.copy_object(by.clone(), source, &bucket, &key, new).await {
            Err(StorageError::SourceChanged) => {}
            outcome => return Ok(copied(&outcome.map_err(from_storage)?, shown)),
        }
    }
    Err(from_storage(StorageError::SourceChanged))
}

fn copied(version: &Found, source: Option<String>) -> S3Response<CopyObjectOutput> {
    let mut result = CopyObjectResult {
        e_tag: Some(ETag::Strong(version.etag.clone())),
        last_modified: Some(timestamp(version.created_at)),
        ..CopyObjectResult::default()
    };
    let kind = show_checksums!(result, Shown::of(&version.checksums, version.crc, version.parts.len()));
    result.checksum_type = kind.map(ChecksumType::from_static);
    S3Response::new(CopyObjectOutput {
        copy_object_result: Some(result),
        version_id: version.name().map(version_text),
        copy_source_version_id: source,
        server_side_encryption: sealed(),
        ..CopyObjectOutput::default()
    })
}

/// The source's checksums, or the one that the request asks for. One that is not known is computed by reading the object.
async fn checksums(gateway: &Gateway, source: &VersionPut, wanted: Option<ChecksumKind>) -> S3Result<Vec<Checksum>> {
    let Some(kind) = wanted else { return Ok(source.checksums.clone()) };
    if let Some(known) = source.checksums.iter().find(|known| known.kind == kind && known.full_object) {
        return Ok(vec![known.clone()]);
    }
    Ok(vec![computed(gateway, source, (0, source.size), source.crc, kind).await?])
}

/// A checksum of a range whose CRC64-NVME is `crc`: that, or what reading the range gives.
async fn computed(
    gateway: &Gateway,
    source: &VersionPut,
    range: (u64, u64),
    crc: u64,
    kind: ChecksumKind,
) -> S3Result<Checksum> {
    let checksum = |value: Vec<u8>| Checksum { kind, full_object: true, value: Blob(value) };
    if kind == ChecksumKind::Crc64Nvme {
        return Ok(checksum(crc.to_be_bytes().to_vec()));
    }
    let mut expected = Expected::default();
    expected.want(Some(kind));
    let mut digests = expected.digests();
    let mut reader = gateway.vault.open_version(source.clone());
    reader.set_range(range.0, range.1);
    while let Some(bytes) = reader.next().await {
        let bytes = bytes.map_err(from_storage)?;
        digests = gateway.vault.on_worker(move || digests.with(&bytes)).await.map_err(from_storage)?;
    }
    digests.value(kind).map(checksum).ok_or_else(|| s3_error!(InternalError, "The checksum was not computed."))
}

/// `x-amz-copy-source-range`: `bytes=first-last`, both within the object.
fn parse_range(text: &str, size: u64) -> S3Result<(u64, u64)> {
    let wrong = || {
        s3_error!(
            InvalidArgument,
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based \
             offsets of the first and last bytes to copy."
        )
    };
    let (first, last) = text.strip_prefix("bytes=").and_then(|range| range.split_once('-')).ok_or_else(wrong)?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u64>().ok()).flatten().ok_or_else(wrong)
    };
    let (first, last) = (number(first)?, number(last)?);
    if first > last {
        return Err(wrong());
    }
    if last >= size {
        return Err(s3_error!(InvalidArgument, "Range specified is not valid for source object of size: {size}."));
    }
    Ok((first, last + 1))
}

/// `UploadPartCopy`. Durable (W-1) when it answers.
pub(crate) async fn part(
    gateway: &Gateway,
    mut req: S3Request<UploadPartCopyInput>,
) -> S3Result<S3Response<UploadPartCopyOutput>> {
    let upload = upload_ref(&req.input.bucket, &req.input.key, &req.input.upload_id)?;
    let number = part_number(req.input.part_number)?;
    let input = &mut req.input;
    let asked = asked!(input);
    let about = gateway.vault.list_parts(upload.clone(), 1, 1).await.map_err(from_storage)?;
    let kind = kind_of_code(about.upload.checksum_kind);
    for _ in 0..TRIES {
        let Looked { source, shown } = asked.find(gateway, &req).await?;
        let size = source.version.size;
        let range = match &req.input.copy_source_range {
            Some(text) => parse_range(text, size)?,
            None => (0, size),
        };
        check_size(range.1 - range.0)?;
        let checksums = match kind {
            // That of the part itself is kept with its manifest.
            None | Some(ChecksumKind::Crc64Nvme) => Vec::new(),
            Some(kind) => vec![computed(gateway, &source.version, range, 0, kind).await?],
        };
        match gateway.vault.copy_part(source, range, upload.clone(), number, checksums).await {
            Err(StorageError::SourceChanged) => {}
            outcome => {
                let part = outcome.map_err(from_storage)?;
                let mut result = CopyPartResult {
                    e_tag: Some(ETag::Strong(part.etag.clone())),
                    last_modified: Some(timestamp(part.created_at)),
                    ..CopyPartResult::default()
                };
                let _ = show_checksums!(result, Shown::of(&part.checksums, part.crc, 0));
                return Ok(S3Response::new(UploadPartCopyOutput {
                    copy_part_result: Some(result),
                    copy_source_version_id: shown,
                    server_side_encryption: sealed(),
                    ..UploadPartCopyOutput::default()
                }));
            }
        }
    }
    Err(from_storage(StorageError::SourceChanged))
}
