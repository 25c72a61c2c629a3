//! Records about buckets, versions and uploads.

use super::*;

pub fn records() -> Vec<Record> {
    vec![
        BucketCreated {
            bucket: BucketId(5),
            name: "backups".into(),
            tenant: TenantId(1),
            domain: DomainId(1),
            namespace: Namespace::Flat,
            profile: ChunkProfile { min: 16 << 10, average: 64 << 10, max: 256 << 10 },
            jurisdiction: 643,
            placement: 0,
            tier: 0,
            object_lock: true,
            created_at: AT,
            by: origin(),
        }
        .into(),
        BucketDeleted { bucket: BucketId(5), by: origin() }.into(),
        VersioningSet { bucket: BucketId(5), state: Versioning::Suspended, by: origin() }.into(),
        ObjectLockSet { bucket: BucketId(5), mode: RetentionMode::Compliance, days: 0, years: 5, by: origin() }.into(),
        CaseHoldPlaced {
            hold: HoldId(6),
            case: "А40-1234/2026".into(),
            bucket: BucketId(5),
            scope: HoldScope::Tag,
            key: String::new(),
            version: VersionId::ZERO,
            tag: pair("система", "ledger"),
            note: "письмо № 7".into(),
            placed_at: AT,
            retention_clock: AT - 1,
            by: origin(),
        }
        .into(),
        LifecycleSet { bucket: BucketId(5), rules: vec![lifecycle_rule()], by: origin() }.into(),
        QuotaSet { bucket: BucketId(5), bytes: Some(5 << 40), by: origin() }.into(),
        version_put().into(),
        VersionRemoved { bucket: BucketId(5), key: "dumps/база.sql".into(), version: VersionId(run(0x50)) }.into(),
        RetentionSet {
            bucket: BucketId(5),
            key: "dumps/база.sql".into(),
            version: VersionId(run(0x50)),
            mode: RetentionMode::Compliance,
            retain_until: AT + 2,
            by: origin(),
        }
        .into(),
        LegalHoldSet {
            bucket: BucketId(5),
            key: "dumps/база.sql".into(),
            version: VersionId(run(0x50)),
            on: true,
            by: origin(),
        }
        .into(),
        TagsSet {
            bucket: BucketId(5),
            key: "dumps/база.sql".into(),
            version: VersionId(run(0x50)),
            tags: vec![pair("система", "ledger")],
            by: origin(),
        }
        .into(),
        UploadCreated {
            bucket: BucketId(5),
            key: "dumps/big".into(),
            upload: UploadId(run(0x51)),
            domain: DomainId(1),
            created_at: AT,
            headers: vec![],
            metadata: vec![pair("host", "db1")],
            tags: vec![],
            checksum_kind: ChecksumKind::Crc64Nvme.code(),
            full_object: true,
            by: origin(),
        }
        .into(),
        PartPut {
            upload: UploadId(run(0x51)),
            number: 10_000,
            size: 1 << 33,
            etag: "9e107d9d372bb6826bd81d3542a419d6".into(),
            created_at: AT,
            checksums: vec![],
            manifest: Root::Tree(child()),
            crc: child().crc,
        }
        .into(),
        UploadEnded {
            bucket: BucketId(5),
            key: "dumps/big".into(),
            upload: UploadId(run(0x51)),
            outcome: UploadOutcome::Aborted,
            by: origin(),
        }
        .into(),
        UploadLocked {
            upload: UploadId(run(0x51)),
            mode: RetentionMode::Governance,
            retain_until: AT + 3,
            legal_hold: true,
        }
        .into(),
    ]
}

fn lifecycle_rule() -> LifecycleRule {
    LifecycleRule {
        id: "старое".into(),
        enabled: true,
        prefix: "wal/".into(),
        tags: vec![pair("система", "ledger")],
        larger_than: Some(1),
        smaller_than: None,
        expire_days: 30,
        expire_date: 0,
        expire_markers: false,
        noncurrent_days: 7,
        noncurrent_keep: 2,
        abort_days: 0,
        transitions: vec![LifecycleTransition { noncurrent: true, days: 3, date: 0, keep: 1, class: "GLACIER".into() }],
    }
}
