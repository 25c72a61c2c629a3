//! Records for tests of this crate: small, complete, told apart by their arguments.

use kovcheg_format::codec::Blob;
use kovcheg_format::id::{
    BucketId, ChunkId, DiskId, DomainId, Epoch, Lsn, RequestId, SegmentId, StripeHash, TenantId, UploadId, VersionId,
};
use kovcheg_format::manifest::Root;
use kovcheg_format::record::audit::Origin;
use kovcheg_format::record::bucket::{BucketCreated, ChunkProfile, Namespace};
use kovcheg_format::record::identity::CredentialSet;
use kovcheg_format::record::segment::{ChunkPlace, SegmentOpened, StripeAdded};
use kovcheg_format::record::upload::{PartPut, UploadCreated};
use kovcheg_format::record::version::{VersionFacts, VersionKind, VersionPut};
use kovcheg_format::shard::{CODEC_RS_GF8, StripeKind};

use crate::journal::apply::StripePlace;

pub fn origin() -> Origin {
    Origin { actor: "tester".to_owned(), address: String::new(), request: RequestId::ZERO }
}

pub fn chunk_id(n: u8) -> ChunkId {
    ChunkId([n; 32])
}

pub fn version_id(n: u64) -> VersionId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&n.to_be_bytes());
    VersionId(id)
}

pub fn upload_id(n: u8) -> UploadId {
    UploadId([n; 16])
}

pub fn bucket(id: u64, name: &str) -> BucketCreated {
    BucketCreated {
        bucket: BucketId(id),
        name: name.to_owned(),
        tenant: TenantId(1),
        domain: DomainId(1),
        namespace: Namespace::Flat,
        profile: ChunkProfile { min: 1, average: 2, max: 4 },
        jurisdiction: 0,
        placement: 0,
        tier: 0,
        object_lock: false,
        created_at: 7,
        by: origin(),
    }
}

pub fn version(bucket: u64, key: &str, n: u64, kind: VersionKind, size: u64) -> VersionPut {
    VersionPut {
        bucket: BucketId(bucket),
        key: key.to_owned(),
        version: version_id(n),
        null_version: true,
        kind,
        domain: DomainId(1),
        size,
        etag: format!("etag-{n}"),
        created_at: n,
        headers: Vec::new(),
        metadata: Vec::new(),
        tags: Vec::new(),
        checksums: Vec::new(),
        parts: Vec::new(),
        manifest: Root::Inline(Vec::new()),
        crc: 0,
        facts: VersionFacts::free(0),
        by: origin(),
    }
}

pub fn upload(bucket: u64, key: &str, id: u8) -> UploadCreated {
    UploadCreated {
        bucket: BucketId(bucket),
        key: key.to_owned(),
        upload: upload_id(id),
        domain: DomainId(1),
        created_at: 7,
        headers: Vec::new(),
        metadata: Vec::new(),
        tags: Vec::new(),
        checksum_kind: 0,
        full_object: false,
        by: origin(),
    }
}

pub fn part(id: u8, number: u16, etag: u8) -> PartPut {
    PartPut {
        upload: upload_id(id),
        number,
        size: etag.into(),
        etag: etag.to_string(),
        created_at: 7,
        checksums: Vec::new(),
        manifest: Root::Inline(Vec::new()),
        crc: 0,
    }
}

pub fn opened(id: u64, kind: StripeKind) -> SegmentOpened {
    SegmentOpened {
        segment: SegmentId(id),
        kind,
        k: 1,
        m: 1,
        codec: CODEC_RS_GF8,
        disks: vec![DiskId([1; 16]), DiskId([2; 16])],
        tier: 0,
        jurisdiction: 0,
    }
}

pub fn chunk_place(n: u8, offset: u32, flags: u8) -> ChunkPlace {
    ChunkPlace { id: chunk_id(n), offset, sealed_len: 100, plain_len: 50, flags }
}

pub fn stripe_added(segment: u64, offset: u64, chunks: Vec<ChunkPlace>) -> StripeAdded {
    StripeAdded {
        segment: SegmentId(segment),
        offset,
        shard_len: 1000,
        hash: StripeHash([9; 32]),
        domain: DomainId(1),
        chunks,
    }
}

pub fn credential(access_key: &str, secret: u8) -> CredentialSet {
    CredentialSet {
        access_key: access_key.to_owned(),
        sealed_secret: Blob(vec![secret; 40]),
        tenant: TenantId(1),
        root: true,
        enabled: true,
        created_at: 7,
    }
}

/// The `n`-th journal stripe, in journal file 1.
pub fn stripe_place(n: u64) -> StripePlace {
    StripePlace {
        segment: SegmentId(1),
        offset: n * 4096,
        shard_len: 500,
        inner_len: 300,
        lsn: Lsn(n + 1),
        epoch: Epoch(1),
        hash: StripeHash([n.to_le_bytes()[0]; 32]),
        retention_clock: n,
    }
}
