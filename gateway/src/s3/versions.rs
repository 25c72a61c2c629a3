//! Versions of objects: whether a bucket keeps them, and the list of them.

use kovcheg_format::record::bucket::Versioning;
use kovcheg_format::record::version::{VersionKind, VersionPut};
use kovcheg_storage::object::types::{VersionMarker, VersionName, VersionPage, VersionQuery};
use s3s::dto::{
    BucketVersioningStatus, ChecksumAlgorithm, ChecksumType, DeleteMarkerEntry, ETag, GetBucketVersioningInput,
    GetBucketVersioningOutput, ListObjectVersionsInput, ListObjectVersionsOutput, ObjectVersion,
    ObjectVersionStorageClass, Owner, PutBucketVersioningInput, PutBucketVersioningOutput,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use crate::error::from_storage;
use crate::s3::bucket::owner;
use crate::s3::checksum::name_of;
use crate::s3::list::{Encoding, most, prefixes};
use crate::s3::names::{parse_version, version_text};
use crate::s3::range::timestamp;
use crate::s3::service::Gateway;

/// `GetBucketVersioning`: an empty document where it was never enabled.
pub(crate) async fn get(
    gateway: &Gateway,
    req: S3Request<GetBucketVersioningInput>,
) -> S3Result<S3Response<GetBucketVersioningOutput>> {
    let status = match gateway.vault.versioning(&req.input.bucket).await.map_err(from_storage)? {
        Versioning::Off => None,
        Versioning::Enabled => Some(BucketVersioningStatus::ENABLED),
        Versioning::Suspended => Some(BucketVersioningStatus::SUSPENDED),
    };
    let status = status.map(BucketVersioningStatus::from_static);
    Ok(S3Response::new(GetBucketVersioningOutput { status, mfa_delete: None }))
}

/// `PutBucketVersioning`. Durable when it answers.
pub(crate) async fn set(
    gateway: &Gateway,
    req: S3Request<PutBucketVersioningInput>,
) -> S3Result<S3Response<PutBucketVersioningOutput>> {
    let by = gateway.origin(&req);
    let asked = &req.input.versioning_configuration;
    if asked.mfa_delete.as_ref().is_some_and(|mfa| mfa.as_str() != "Disabled") {
        return Err(s3_error!(NotImplemented, "MFA delete is not supported."));
    }
    let wanted = match asked.status.as_ref().map(BucketVersioningStatus::as_str) {
        Some(BucketVersioningStatus::ENABLED) => Versioning::Enabled,
        Some(BucketVersioningStatus::SUSPENDED) => Versioning::Suspended,
        _ => return Err(s3_error!(IllegalVersioningConfigurationException, "Status is Enabled or Suspended.")),
    };
    gateway.vault.set_versioning(by, &req.input.bucket, wanted).await.map_err(from_storage)?;
    Ok(S3Response::new(PutBucketVersioningOutput::default()))
}

/// Where a listing goes on: `version-id-marker` counts beside a `key-marker` only (S3).
fn marker(key: Option<&str>, version: Option<&str>) -> S3Result<Option<VersionMarker>> {
    let Some(key) = key.filter(|key| !key.is_empty()) else {
        return match version.filter(|version| !version.is_empty()) {
            None => Ok(None),
            Some(_) => Err(s3_error!(InvalidArgument, "A version-id marker cannot be specified without a key marker.")),
        };
    };
    Ok(Some(VersionMarker { key: key.to_owned(), version: parse_version(version)? }))
}

/// `ListObjectVersions`.
pub(crate) async fn list(
    gateway: &Gateway,
    req: S3Request<ListObjectVersionsInput>,
) -> S3Result<S3Response<ListObjectVersionsOutput>> {
    let input = req.input;
    let encoding = Encoding::parse(input.encoding_type.as_ref())?;
    let max_keys = most("max-keys", input.max_keys)?;
    let query = VersionQuery {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone().unwrap_or_default(),
        after: marker(input.key_marker.as_deref(), input.version_id_marker.as_deref())?,
        max_keys,
    };
    let bucket = gateway.vault.bucket(&input.bucket).await.map_err(from_storage)?;
    let VersionPage { versions, common_prefixes, next } =
        gateway.vault.list_versions(&input.bucket, query).await.map_err(from_storage)?;
    let owner = owner(bucket.tenant);
    let (mut shown, mut markers) = (Vec::new(), Vec::new());
    for (version, newest) in versions {
        match version.kind {
            VersionKind::Object => shown.push(object(version, newest, encoding, &owner)),
            VersionKind::DeleteMarker => markers.push(delete_marker(&version, newest, encoding, &owner)),
        }
    }
    Ok(S3Response::new(ListObjectVersionsOutput {
        name: Some(input.bucket),
        prefix: Some(encoding.name(input.prefix.as_deref().unwrap_or_default())),
        delimiter: input.delimiter.as_deref().map(|text| encoding.name(text)),
        key_marker: Some(encoding.name(input.key_marker.as_deref().unwrap_or_default())),
        version_id_marker: Some(input.version_id_marker.unwrap_or_default()),
        max_keys: i32::try_from(max_keys).ok(),
        is_truncated: Some(next.is_some()),
        next_key_marker: next.as_ref().map(|next| encoding.name(&next.key)),
        next_version_id_marker: next.and_then(|next| next.version).map(version_text),
        encoding_type: encoding.shown(),
        versions: Some(shown),
        delete_markers: Some(markers),
        common_prefixes: Some(prefixes(&common_prefixes, encoding)),
        ..ListObjectVersionsOutput::default()
    }))
}

fn object(version: VersionPut, newest: bool, encoding: Encoding, owner: &Owner) -> ObjectVersion {
    let algorithms = version.checksums.iter().map(|sum| ChecksumAlgorithm::from_static(name_of(sum.kind)));
    let kind = version.checksums.first().map(|sum| if sum.full_object { "FULL_OBJECT" } else { "COMPOSITE" });
    ObjectVersion {
        checksum_algorithm: kind.is_some().then(|| algorithms.collect()),
        checksum_type: kind.map(ChecksumType::from_static),
        is_latest: Some(newest),
        key: Some(encoding.name(&version.key)),
        last_modified: Some(timestamp(version.created_at)),
        owner: Some(owner.clone()),
        size: i64::try_from(version.size).ok(),
        storage_class: Some(ObjectVersionStorageClass::from_static(ObjectVersionStorageClass::STANDARD)),
        version_id: Some(version_text(VersionName::of(&version))),
        e_tag: Some(ETag::Strong(version.etag)),
        restore_status: None,
    }
}

fn delete_marker(version: &VersionPut, newest: bool, encoding: Encoding, owner: &Owner) -> DeleteMarkerEntry {
    DeleteMarkerEntry {
        is_latest: Some(newest),
        key: Some(encoding.name(&version.key)),
        last_modified: Some(timestamp(version.created_at)),
        owner: Some(owner.clone()),
        version_id: Some(version_text(VersionName::of(version))),
    }
}
