//! Multipart uploads: create, part, complete, abort, list parts.

use kovcheg_format::codec::Blob;
use kovcheg_format::record::upload::{PartPut, UploadCreated};
use kovcheg_format::record::version::{Checksum, ChecksumKind};
use kovcheg_storage::error::StorageError;
use kovcheg_storage::object::types::{Found, NamedPart, NewUpload, NewVersion, PART_LEN_MIN, PARTS_MAX, UploadRef};
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, ChecksumAlgorithm, ChecksumType,
    CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart, CreateMultipartUploadInput,
    CreateMultipartUploadOutput, ETag, ListPartsInput, ListPartsOutput, Part, StorageClass, UploadPartInput,
    UploadPartOutput,
};
use s3s::{S3ErrorCode, S3Request, S3Response, S3Result, s3_error};

use crate::config::PAGE_PARTS_MAX;
use crate::error::from_storage;
use crate::s3::body::receive;
use crate::s3::checksum::{
    Expected, PartSum, Shown, compose, etag, join, kind_of_code, multipart_etag, name_of, parse_algorithm,
    show_checksums, text_of,
};
use crate::s3::headers::Kept;
use crate::s3::locks::{asked_lock, new_lock};
use crate::s3::names::{check_key, check_new_key, parse_upload, upload_text, version_text};
use crate::s3::object::{precondition, sealed};
use crate::s3::range::timestamp;
use crate::s3::service::Gateway;

pub(crate) fn upload_ref(bucket: &str, key: &str, upload: &str) -> S3Result<UploadRef> {
    check_key(key)?;
    Ok(UploadRef { bucket: bucket.to_owned(), key: key.to_owned(), upload: parse_upload(upload)? })
}

/// Which checksum an upload announces: algorithm, and whether it covers the full object.
fn announced(algorithm: Option<&str>, kind: Option<&str>) -> S3Result<(Option<ChecksumKind>, bool)> {
    let algorithm = algorithm.map(parse_algorithm).transpose()?;
    let full_by_default = matches!(algorithm, Some(ChecksumKind::Crc64Nvme));
    let full = match kind {
        None | Some("") => full_by_default,
        Some(ChecksumType::FULL_OBJECT) => true,
        Some(ChecksumType::COMPOSITE) => false,
        Some(other) => return Err(s3_error!(InvalidRequest, "The checksum type {other} is not known.")),
    };
    match algorithm {
        None if kind.is_some() => {
            Err(s3_error!(InvalidRequest, "x-amz-checksum-type needs x-amz-checksum-algorithm beside it."))
        }
        Some(ChecksumKind::Sha1 | ChecksumKind::Sha256) if full => {
            Err(s3_error!(InvalidRequest, "The FULL_OBJECT checksum type cannot be used with SHA1 or SHA256."))
        }
        Some(ChecksumKind::Crc64Nvme) if !full => {
            Err(s3_error!(InvalidRequest, "The COMPOSITE checksum type cannot be used with CRC64NVME."))
        }
        algorithm => Ok((algorithm, full)),
    }
}

/// `CreateMultipartUpload`.
pub(crate) async fn create(
    gateway: &Gateway,
    mut req: S3Request<CreateMultipartUploadInput>,
) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
    let by = gateway.origin(&req);
    check_new_key(&req.input.key)?;
    let kept = Kept::collect(&req.headers, req.input.metadata.take())?;
    let asked = asked_lock!(req.input);
    let lock = new_lock(gateway, &req, &req.input.bucket, asked).await?;
    let input = req.input;
    let (kind, full_object) = announced(
        input.checksum_algorithm.as_ref().map(ChecksumAlgorithm::as_str),
        input.checksum_type.as_ref().map(ChecksumType::as_str),
    )?;
    let new = NewUpload {
        headers: kept.headers,
        metadata: kept.metadata,
        tags: kept.tags,
        checksum_kind: kind.map_or(0, ChecksumKind::code),
        full_object,
        lock,
    };
    let upload = gateway.vault.create_upload(by, &input.bucket, &input.key, new).await.map_err(from_storage)?;
    Ok(S3Response::new(CreateMultipartUploadOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(upload_text(upload)),
        checksum_algorithm: kind.map(|kind| ChecksumAlgorithm::from_static(name_of(kind))),
        checksum_type: kind.map(|_| checksum_type(full_object)),
        server_side_encryption: sealed(),
        ..CreateMultipartUploadOutput::default()
    }))
}

pub(crate) fn checksum_type(full_object: bool) -> ChecksumType {
    ChecksumType::from_static(if full_object { ChecksumType::FULL_OBJECT } else { ChecksumType::COMPOSITE })
}

pub(crate) fn part_number(number: i32) -> S3Result<u16> {
    u16::try_from(number).ok().filter(|number| (1..=PARTS_MAX).contains(number)).ok_or_else(|| {
        s3_error!(InvalidArgument, "Part number must be an integer between 1 and {PARTS_MAX}, inclusive.")
    })
}

/// `UploadPart`. Durable (W-1) when it answers.
pub(crate) async fn part(
    gateway: &Gateway,
    mut req: S3Request<UploadPartInput>,
) -> S3Result<S3Response<UploadPartOutput>> {
    let by = gateway.origin(&req);
    let upload = upload_ref(&req.input.bucket, &req.input.key, &req.input.upload_id)?;
    let number = part_number(req.input.part_number)?;
    let mut expected = Expected::parse(&req.headers)?;
    // The upload is looked at before the body is read: it may be gone, and it says which checksum every part needs.
    let about = gateway.vault.list_parts(upload.clone(), PARTS_MAX, 1).await.map_err(from_storage)?;
    expected.want(kind_of_code(about.upload.checksum_kind));
    let observer = Box::new(expected.digests().of_length(req.input.content_length));
    let stream = gateway.vault.begin_part(by, upload, number, observer).await.map_err(from_storage)?;
    let body = req.input.body.take();
    let got =
        receive(stream, gateway.md5.stream(), body, req.input.content_length, &expected, req.trailing_headers.take())
            .await?;
    let part = got.put.commit_part(etag(got.md5), got.checksums).await.map_err(from_storage)?;
    let mut output = UploadPartOutput {
        e_tag: Some(ETag::Strong(part.etag.clone())),
        server_side_encryption: sealed(),
        ..UploadPartOutput::default()
    };
    let _ = show_checksums!(output, Shown::of(&part.checksums, part.crc, 0));
    Ok(S3Response::new(output))
}

/// `AbortMultipartUpload`.
pub(crate) async fn abort(
    gateway: &Gateway,
    req: S3Request<AbortMultipartUploadInput>,
) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
    let by = gateway.origin(&req);
    let upload = upload_ref(&req.input.bucket, &req.input.key, &req.input.upload_id)?;
    if req.input.if_match_initiated_time.is_some() {
        return Err(s3_error!(NotImplemented, "x-amz-if-match-initiated-time is not supported."));
    }
    gateway.vault.abort_upload(by, upload).await.map_err(from_storage)?;
    Ok(S3Response::new(AbortMultipartUploadOutput::default()))
}

/// `ListParts`.
pub(crate) async fn list(gateway: &Gateway, req: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
    let input = req.input;
    let upload = upload_ref(&input.bucket, &input.key, &input.upload_id)?;
    let negative = |_| s3_error!(InvalidArgument, "max-parts and part-number-marker must not be negative.");
    let max = usize::try_from(input.max_parts.unwrap_or(1000)).map_err(negative)?.min(PAGE_PARTS_MAX);
    let after = u32::try_from(input.part_number_marker.unwrap_or(0)).map_err(negative)?;
    let after = u16::try_from(after).unwrap_or(PARTS_MAX);
    let page = gateway.vault.list_parts(upload, after, max.max(1)).await.map_err(from_storage)?;
    let kind = kind_of_code(page.upload.checksum_kind);
    let (parts, next) = if max == 0 { (Vec::new(), None) } else { (page.parts, page.next) };
    Ok(S3Response::new(ListPartsOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(input.upload_id),
        checksum_algorithm: kind.map(|kind| ChecksumAlgorithm::from_static(name_of(kind))),
        checksum_type: kind.map(|_| checksum_type(page.upload.full_object)),
        is_truncated: Some(next.is_some()),
        max_parts: i32::try_from(max).ok(),
        part_number_marker: Some(i32::from(after)),
        next_part_number_marker: next.map(i32::from),
        parts: Some(parts.iter().map(shown_part).collect()),
        storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
        ..ListPartsOutput::default()
    }))
}

fn shown_part(part: &PartPut) -> Part {
    let mut output = Part {
        e_tag: Some(ETag::Strong(part.etag.clone())),
        last_modified: Some(timestamp(part.created_at)),
        part_number: Some(i32::from(part.number)),
        size: i64::try_from(part.size).ok(),
        ..Part::default()
    };
    let _ = show_checksums!(output, Shown::of(&part.checksums, part.crc, 0));
    output
}

/// A part as the client names it at completion.
struct Named {
    number: u16,
    etag: String,
    checksums: Vec<(ChecksumKind, String)>,
}

fn named_parts(parts: Option<Vec<CompletedPart>>) -> S3Result<Vec<Named>> {
    let parts = parts.unwrap_or_default();
    if parts.is_empty() || parts.len() > usize::from(PARTS_MAX) {
        return Err(s3_error!(MalformedXML, "You must specify between 1 and {PARTS_MAX} parts."));
    }
    let mut named = Vec::with_capacity(parts.len());
    for part in parts {
        let number = part.part_number.ok_or_else(|| s3_error!(MalformedXML, "A part has no number."))?;
        let etag = part.e_tag.ok_or_else(|| s3_error!(MalformedXML, "Part {number} has no ETag."))?;
        let checksums = [
            (ChecksumKind::Crc32, part.checksum_crc32),
            (ChecksumKind::Crc32c, part.checksum_crc32c),
            (ChecksumKind::Crc64Nvme, part.checksum_crc64nvme),
            (ChecksumKind::Sha1, part.checksum_sha1),
            (ChecksumKind::Sha256, part.checksum_sha256),
        ];
        named.push(Named {
            number: part_number(number)?,
            etag: etag.into_value(),
            checksums: checksums.into_iter().filter_map(|(kind, text)| Some((kind, text?))).collect(),
        });
    }
    if !named.is_sorted_by(|left, right| left.number < right.number) {
        return Err(from_storage(StorageError::InvalidPartOrder));
    }
    Ok(named)
}

/// Everything stored for the upload, parts in order.
async fn stored_parts(gateway: &Gateway, upload: &UploadRef) -> S3Result<(UploadCreated, Vec<PartPut>)> {
    let mut parts = Vec::new();
    let mut after = 0;
    loop {
        let page = gateway.vault.list_parts(upload.clone(), after, PAGE_PARTS_MAX).await.map_err(from_storage)?;
        parts.extend(page.parts);
        match page.next {
            Some(next) if next > after => after = next,
            _ => return Ok((page.upload, parts)),
        }
    }
}

fn stored_value(part: &PartPut, kind: ChecksumKind) -> Option<Vec<u8>> {
    if kind == ChecksumKind::Crc64Nvme {
        return Some(part.crc.to_be_bytes().to_vec());
    }
    part.checksums.iter().find(|sum| sum.kind == kind).map(|sum| sum.value.0.clone())
}

/// Pairs the named parts with the stored ones and checks what the client says of them. The engine checks ETags again
/// when it completes, so a part replaced in between cannot slip in.
fn select(named: &[Named], stored: &[PartPut]) -> S3Result<Vec<PartPut>> {
    let mut selected = Vec::with_capacity(named.len());
    for (at, part) in named.iter().enumerate() {
        let wrong = || from_storage(StorageError::InvalidPart(part.number));
        let place = stored.binary_search_by_key(&part.number, |stored| stored.number).map_err(|_| wrong())?;
        let found = stored.get(place).filter(|found| found.etag == part.etag).ok_or_else(wrong)?;
        for (kind, text) in &part.checksums {
            let value = stored_value(found, *kind).ok_or_else(wrong)?;
            if text_of(&value, None) != *text {
                return Err(wrong());
            }
        }
        if at + 1 < named.len() && found.size < PART_LEN_MIN {
            let (number, size, min) = (part.number, found.size, PART_LEN_MIN);
            return Err(from_storage(StorageError::PartTooSmall { number, size, min }));
        }
        selected.push(found.clone());
    }
    Ok(selected)
}

/// The object's checksum: what the upload announced, from the parts.
fn object_checksum(upload: &UploadCreated, parts: &[PartPut]) -> S3Result<Option<Checksum>> {
    let Some(kind) = kind_of_code(upload.checksum_kind) else {
        return Ok(None);
    };
    let mut sums = Vec::with_capacity(parts.len());
    for part in parts {
        let value = stored_value(part, kind).ok_or_else(|| from_storage(StorageError::InvalidPart(part.number)))?;
        sums.push(PartSum { value, len: part.size });
    }
    let value = if upload.full_object { join(kind, &sums) } else { Some(compose(kind, &sums)) };
    Ok(value.map(|value| Checksum { kind, full_object: upload.full_object, value: Blob(value) }))
}

/// Compares what the client says of the whole object: size and checksum, if it says anything.
fn check_whole(
    input: &CompleteMultipartUploadInput,
    upload: &UploadCreated,
    parts: &[PartPut],
    checksum: Option<&Checksum>,
) -> S3Result<()> {
    let size: u64 = parts.iter().map(|part| part.size).sum();
    if let Some(said) = input.mpu_object_size
        && u64::try_from(said).ok() != Some(size)
    {
        return Err(s3_error!(InvalidRequest, "x-amz-mp-object-size is {said}, and the parts have {size} bytes."));
    }
    if let Some(said) = &input.checksum_type
        && upload.checksum_kind != 0
        && *said != checksum_type(upload.full_object)
    {
        return Err(s3_error!(InvalidRequest, "x-amz-checksum-type differs from that of the upload."));
    }
    let given = [
        (ChecksumKind::Crc32, &input.checksum_crc32),
        (ChecksumKind::Crc32c, &input.checksum_crc32c),
        (ChecksumKind::Crc64Nvme, &input.checksum_crc64nvme),
        (ChecksumKind::Sha1, &input.checksum_sha1),
        (ChecksumKind::Sha256, &input.checksum_sha256),
    ];
    for (kind, text) in given {
        let Some(text) = text else { continue };
        let computed = match checksum {
            Some(sum) if sum.kind == kind => Some(text_of(&sum.value.0, (!sum.full_object).then_some(parts.len()))),
            _ => joined(kind, parts),
        };
        // Some clients leave the number of parts off a composed checksum; if it is there, it must agree.
        let agrees = |computed: String| computed == *text || computed.split('-').next() == Some(text.as_str());
        if !computed.is_some_and(agrees) {
            return Err(s3_error!(
                BadDigest,
                "The {} you specified did not match the calculated checksum.",
                name_of(kind)
            ));
        }
    }
    Ok(())
}

fn joined(kind: ChecksumKind, parts: &[PartPut]) -> Option<String> {
    let sums: Option<Vec<PartSum>> =
        parts.iter().map(|part| Some(PartSum { value: stored_value(part, kind)?, len: part.size })).collect();
    join(kind, &sums?).map(|value| text_of(&value, None))
}

/// `CompleteMultipartUpload`. Durable (W-1) when it answers; repeating it after an answer got lost succeeds as long as
/// the object it made is the current one.
pub(crate) async fn complete(
    gateway: &Gateway,
    mut req: S3Request<CompleteMultipartUploadInput>,
) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
    let by = gateway.origin(&req);
    let upload = upload_ref(&req.input.bucket, &req.input.key, &req.input.upload_id)?;
    check_new_key(&upload.key)?;
    let named = named_parts(req.input.multipart_upload.take().and_then(|list| list.parts))?;
    let precondition = precondition(req.input.if_match.take(), req.input.if_none_match.take())?;
    let whole_etag = multipart_etag(named.iter().map(|part| part.etag.as_str()))
        .ok_or_else(|| s3_error!(InvalidPart, "A part's ETag is not one that was given out."))?;
    let (created, stored) = match stored_parts(gateway, &upload).await {
        Ok(found) => found,
        Err(error) if error.code() == &S3ErrorCode::NoSuchUpload => {
            return completed_before(gateway, &upload, &whole_etag).await.ok_or(error);
        }
        Err(error) => return Err(error),
    };
    let parts = select(&named, &stored)?;
    let checksum = object_checksum(&created, &parts)?;
    check_whole(&req.input, &created, &parts, checksum.as_ref())?;
    let new = NewVersion {
        etag: whole_etag.clone(),
        checksums: checksum.into_iter().collect(),
        precondition,
        ..NewVersion::default()
    };
    let parts = named.into_iter().map(|part| NamedPart { number: part.number, etag: part.etag }).collect();
    match gateway.vault.complete_upload(by, upload.clone(), parts, new).await {
        Ok(version) => Ok(completed(gateway, &upload, &version)),
        Err(StorageError::NoSuchUpload) => completed_before(gateway, &upload, &whole_etag)
            .await
            .ok_or_else(|| from_storage(StorageError::NoSuchUpload)),
        Err(error) => Err(from_storage(error)),
    }
}

/// The answer to a completion that was answered before, if the current object is the one these parts make: its ETag is
/// made of theirs. Clients repeat the call when the connection broke before the first answer reached them.
async fn completed_before(
    gateway: &Gateway,
    upload: &UploadRef,
    whole_etag: &str,
) -> Option<S3Response<CompleteMultipartUploadOutput>> {
    let version = gateway.vault.head_object(&upload.bucket, &upload.key, None).await.ok()?;
    (version.etag == whole_etag).then(|| completed(gateway, upload, &version))
}

fn completed(gateway: &Gateway, upload: &UploadRef, version: &Found) -> S3Response<CompleteMultipartUploadOutput> {
    let mut output = CompleteMultipartUploadOutput {
        bucket: Some(upload.bucket.clone()),
        key: Some(upload.key.clone()),
        location: Some(gateway.location(&upload.bucket, &upload.key)),
        e_tag: Some(ETag::Strong(version.etag.clone())),
        server_side_encryption: sealed(),
        version_id: version.name().map(version_text),
        ..CompleteMultipartUploadOutput::default()
    };
    let kind = show_checksums!(output, Shown::of(&version.checksums, version.crc, version.parts.len()));
    output.checksum_type = kind.map(ChecksumType::from_static);
    S3Response::new(output)
}

#[cfg(test)]
mod tests;
