//! `GetObjectAttributes`: what is known of an object without reading it.

use kovcheg_format::record::version::VersionPut;
use s3s::dto::{
    Checksum, ChecksumType, ETag, GetObjectAttributesInput, GetObjectAttributesOutput, GetObjectAttributesParts,
    ObjectAttributes, ObjectPart, StorageClass,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use crate::config::PAGE_PARTS_MAX;
use crate::s3::checksum::{Shown, show_checksums};
use crate::s3::names::version_text;
use crate::s3::object::find;
use crate::s3::range::timestamp;
use crate::s3::service::Gateway;

/// Every attribute there is (S3).
const ALL: [&str; 5] = [
    ObjectAttributes::CHECKSUM,
    ObjectAttributes::ETAG,
    ObjectAttributes::OBJECT_PARTS,
    ObjectAttributes::OBJECT_SIZE,
    ObjectAttributes::STORAGE_CLASS,
];

/// `GetObjectAttributes`: those that are asked for.
pub(crate) async fn get(
    gateway: &Gateway,
    req: S3Request<GetObjectAttributesInput>,
) -> S3Result<S3Response<GetObjectAttributesOutput>> {
    let input = req.input;
    // One header with commas, or several headers: `s3s` takes each apart from the others only.
    let lists = input.object_attributes.iter().map(ObjectAttributes::as_str);
    let asked: Vec<&str> = lists.flat_map(|list| list.split(',').map(str::trim)).collect();
    if asked.is_empty() || asked.iter().any(|name| !ALL.contains(name)) {
        return Err(s3_error!(InvalidArgument, "x-amz-object-attributes takes {}.", ALL.join(", ")));
    }
    let found = find(gateway, &input.bucket, &input.key, input.version_id.as_deref()).await?;
    let mut output = GetObjectAttributesOutput {
        last_modified: Some(timestamp(found.created_at)),
        version_id: found.name().map(version_text),
        ..GetObjectAttributesOutput::default()
    };
    for name in asked {
        match name {
            ObjectAttributes::ETAG => output.e_tag = Some(ETag::Strong(found.etag.clone())),
            ObjectAttributes::OBJECT_SIZE => output.object_size = i64::try_from(found.size).ok(),
            ObjectAttributes::STORAGE_CLASS => {
                output.storage_class = Some(StorageClass::from_static(StorageClass::STANDARD));
            }
            ObjectAttributes::CHECKSUM => output.checksum = Some(checksum(&found)),
            _ => output.object_parts = parts(&found, input.part_number_marker, input.max_parts)?,
        }
    }
    Ok(S3Response::new(output))
}

fn checksum(version: &VersionPut) -> Checksum {
    let mut shown = Checksum::default();
    let kind = show_checksums!(shown, Shown::of(&version.checksums, version.crc, version.parts.len()));
    shown.checksum_type = kind.map(ChecksumType::from_static);
    shown
}

/// A page of the parts; none of an object that was put in one piece.
fn parts(version: &VersionPut, after: Option<i32>, max: Option<i32>) -> S3Result<Option<GetObjectAttributesParts>> {
    if version.parts.is_empty() {
        return Ok(None);
    }
    let wrong = |name: &str| s3_error!(InvalidArgument, "{name} must not be negative.");
    let max = usize::try_from(max.unwrap_or(i32::MAX)).map_err(|_| wrong("x-amz-max-parts"))?.min(PAGE_PARTS_MAX);
    let after = u32::try_from(after.unwrap_or(0)).map_err(|_| wrong("x-amz-part-number-marker"))?;
    let mut later = version.parts.iter().filter(|part| u32::from(part.number) > after);
    let page: Vec<ObjectPart> = later
        .by_ref()
        .take(max)
        .map(|part| ObjectPart {
            part_number: Some(part.number.into()),
            size: i64::try_from(part.len).ok(),
            ..ObjectPart::default()
        })
        .collect();
    Ok(Some(GetObjectAttributesParts {
        is_truncated: Some(later.next().is_some()),
        max_parts: i32::try_from(max).ok(),
        next_part_number_marker: page.last().and_then(|part| part.part_number),
        part_number_marker: i32::try_from(after).ok(),
        total_parts_count: i32::try_from(version.parts.len()).ok(),
        parts: Some(page),
    }))
}
