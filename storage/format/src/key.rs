//! Order-preserving keys of the index. Big-endian, so that bytes sort as numbers do.

use crate::id::{BucketId, ChunkId, HoldId, Lsn, SegmentId, TenantId, UploadId, VersionId};

/// Key of everything in a bucket, and prefix of its rows.
#[must_use]
pub fn bucket(bucket: BucketId) -> Vec<u8> {
    bucket.0.to_be_bytes().to_vec()
}

/// Key of the current version of an object: bucket, then the key's bytes as S3 sorts them.
#[must_use]
pub fn current(bucket: BucketId, key: &str) -> Vec<u8> {
    let mut out = self::bucket(bucket);
    out.extend_from_slice(key.as_bytes());
    out
}

/// Key of one version: bucket, object key, a zero byte (no object key holds one), the inverted version id, so that the
/// newest version of a key comes first.
#[must_use]
pub fn version(bucket: BucketId, key: &str, version: VersionId) -> Vec<u8> {
    let mut out = current(bucket, key);
    out.push(0);
    out.extend(version.0.iter().map(|byte| !byte));
    out
}

/// Prefix of all versions of one key.
#[must_use]
pub fn versions_of(bucket: BucketId, key: &str) -> Vec<u8> {
    let mut out = current(bucket, key);
    out.push(0);
    out
}

/// Key of a chunk or node.
#[must_use]
pub fn chunk(id: ChunkId) -> Vec<u8> {
    id.0.to_vec()
}

/// Key of a tenant.
#[must_use]
pub fn tenant(id: TenantId) -> Vec<u8> {
    id.0.to_be_bytes().to_vec()
}

/// Key of a case hold; those of a bucket sort by age.
#[must_use]
pub fn case_hold(bucket: BucketId, hold: HoldId) -> Vec<u8> {
    let mut out = self::bucket(bucket);
    out.extend_from_slice(&hold.0.to_be_bytes());
    out
}

/// Key of the locks that an upload asks for.
#[must_use]
pub fn upload_lock(upload: UploadId) -> Vec<u8> {
    upload.0.to_vec()
}

/// Key of a segment or journal file.
#[must_use]
pub fn segment(id: SegmentId) -> Vec<u8> {
    id.0.to_be_bytes().to_vec()
}

/// Key of a stripe that the journal names.
#[must_use]
pub fn stripe(segment: SegmentId, offset: u64) -> Vec<u8> {
    let mut out = self::segment(segment);
    out.extend_from_slice(&offset.to_be_bytes());
    out
}

/// Key of a multipart upload; uploads of a bucket sort by object key, then by upload.
#[must_use]
pub fn upload(bucket: BucketId, key: &str, upload: UploadId) -> Vec<u8> {
    let mut out = versions_of(bucket, key);
    out.extend_from_slice(&upload.0);
    out
}

/// Key of one part of an upload.
#[must_use]
pub fn part(upload: UploadId, number: u16) -> Vec<u8> {
    let mut out = upload.0.to_vec();
    out.extend_from_slice(&number.to_be_bytes());
    out
}

/// Key of what belongs to one journal position.
#[must_use]
pub fn lsn(lsn: Lsn) -> Vec<u8> {
    lsn.0.to_be_bytes().to_vec()
}

/// The first key after all keys that start with `prefix`; `None` when there is none.
#[must_use]
pub fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return Some(end);
        }
    }
    None
}
