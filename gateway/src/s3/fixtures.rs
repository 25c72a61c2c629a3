//! Records for unit tests.

use kovcheg_format::id::{BucketId, DomainId, RequestId, UploadId, VersionId};
use kovcheg_format::manifest::Root;
use kovcheg_format::record::audit::Origin;
use kovcheg_format::record::upload::{PartPut, UploadCreated};
use kovcheg_format::record::version::{PartMark, VersionFacts, VersionKind, VersionPut};

/// 2026-01-01T00:00:00.500Z.
const MADE_AT: u64 = 1_767_225_600_500;

fn origin() -> Origin {
    Origin { actor: "AK".to_owned(), address: String::new(), request: RequestId::ZERO }
}

/// An object of `size` bytes with parts of these numbers and lengths and the ETag `tag`.
pub(crate) fn version(size: u64, parts: &[(u16, u64)]) -> VersionPut {
    VersionPut {
        bucket: BucketId(1),
        key: "key".to_owned(),
        version: VersionId::ZERO,
        null_version: true,
        kind: VersionKind::Object,
        domain: DomainId(1),
        size,
        etag: "tag".to_owned(),
        created_at: MADE_AT,
        headers: Vec::new(),
        metadata: Vec::new(),
        tags: Vec::new(),
        checksums: Vec::new(),
        parts: parts.iter().map(|(number, len)| PartMark { number: *number, len: *len }).collect(),
        manifest: Root::Inline(Vec::new()),
        crc: 0,
        facts: VersionFacts::free(0),
        by: origin(),
    }
}

/// A stored part.
pub(crate) fn part(number: u16, size: u64, etag: &str) -> PartPut {
    PartPut {
        upload: UploadId::ZERO,
        number,
        size,
        etag: etag.to_owned(),
        created_at: MADE_AT,
        checksums: Vec::new(),
        manifest: Root::Inline(Vec::new()),
        crc: 0,
    }
}

/// An open upload that announced this checksum.
pub(crate) fn upload(checksum_kind: u8, full_object: bool) -> UploadCreated {
    UploadCreated {
        bucket: BucketId(1),
        key: "key".to_owned(),
        upload: UploadId::ZERO,
        domain: DomainId(1),
        created_at: MADE_AT,
        headers: Vec::new(),
        metadata: Vec::new(),
        tags: Vec::new(),
        checksum_kind,
        full_object,
        by: origin(),
    }
}
