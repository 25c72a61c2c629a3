//! One fixed value of every stored type, for golden files, as seeds of the fuzzer, and to hold docs/format.md against.

use kovcheg_format::Encode;
use kovcheg_format::audit::AuditTree;
use kovcheg_format::checkpoint::{CheckpointPage, Row};
use kovcheg_format::codec::Blob;
use kovcheg_format::directory::Directory;
use kovcheg_format::envelope::{self, Codec, EnvelopeHeader, TAG_LEN};
use kovcheg_format::frame::Frame;
use kovcheg_format::id::{
    BucketId, ChunkId, DiskId, DomainId, Epoch, HoldId, KeyId, Lsn, PoolId, RequestId, SegmentId, StripeHash, TenantId,
    UploadId, VersionId,
};
use kovcheg_format::keyring::{KeyEntry, KeyPurpose, SealedKeyring};
use kovcheg_format::manifest::{Child, Entry, Node, Root};
use kovcheg_format::record::Record;
use kovcheg_format::record::audit::{Action, Audit, Origin, Verdict};
use kovcheg_format::record::bucket::{
    BucketCreated, BucketDeleted, ChunkProfile, Namespace, ObjectLockSet, QuotaSet, Versioning, VersioningSet,
};
use kovcheg_format::record::hold::{CaseHoldPlaced, HoldScope};
use kovcheg_format::record::identity::{
    CredentialRemoved, CredentialSet, GRANT_LIST, GRANT_WRITE, GrantSet, TenantSet,
};
use kovcheg_format::record::lifecycle::{LifecycleRule, LifecycleSet, LifecycleTransition};
use kovcheg_format::record::pool::{
    CheckpointTaken, ClockTicked, DiskState, DiskStateChanged, EpochStarted, Member, MembersChanged,
};
use kovcheg_format::record::segment::{
    CHUNK_FLAG_REPLACES, ChunkPlace, ChunkRow, ChunksDamaged, ChunksInlined, NodeAdded, SegmentClosed, SegmentOpened,
    SegmentRow, StripeAdded,
};
use kovcheg_format::record::upload::{PartPut, UploadCreated, UploadEnded, UploadLocked, UploadOutcome};
use kovcheg_format::record::version::{
    Checksum, ChecksumKind, LegalHoldSet, Pair, PartMark, RetentionMode, RetentionSet, TagsSet, VersionFacts,
    VersionKind, VersionPut, VersionRemoved,
};
use kovcheg_format::shard::{CODEC_RS_GF8, ShardHeader, StripeKind, stripe_hash};
use kovcheg_format::superblock::{COPIES, FailureDomain, KeySlot, KeySlotKind, Superblock};

mod object;

/// Wall clock of all samples.
pub const AT: u64 = 1_764_000_000_000;

/// `N` bytes that differ from one another.
fn run<const N: usize>(first: u8) -> [u8; N] {
    let mut byte = first;
    [(); N].map(|()| {
        byte = byte.wrapping_add(1);
        byte
    })
}

pub fn chunk_id(first: u8) -> ChunkId {
    ChunkId(run(first))
}

pub fn origin() -> Origin {
    Origin { actor: "KVROOT".into(), address: "127.0.0.1:50000".into(), request: RequestId(run(0x40)) }
}

fn pair(name: &str, value: &str) -> Pair {
    Pair { name: name.into(), value: value.into() }
}

pub fn entry() -> Entry {
    Entry { chunk: chunk_id(1), offset: 16, len: 65_536, crc: 0x1122_3344_5566_7788 }
}

pub fn child() -> Child {
    Child { node: chunk_id(2), level: 0, len: 1 << 33, crc: 0x99aa_bbcc_ddee_ff00 }
}

pub fn place(offset: u32) -> ChunkPlace {
    ChunkPlace { id: chunk_id(3), offset, sealed_len: 4096, plain_len: 8192, flags: CHUNK_FLAG_REPLACES }
}

fn opened() -> SegmentOpened {
    SegmentOpened {
        segment: SegmentId::new(Epoch(7), 3),
        kind: StripeKind::Data,
        k: 2,
        m: 1,
        codec: CODEC_RS_GF8,
        disks: vec![DiskId(run(1)), DiskId(run(2)), DiskId(run(3))],
        tier: 0,
        jurisdiction: 643,
    }
}

fn version_put() -> VersionPut {
    VersionPut {
        bucket: BucketId(5),
        key: "dumps/база.sql".into(),
        version: VersionId(run(0x50)),
        null_version: true,
        kind: VersionKind::Object,
        domain: DomainId(1),
        size: 65_536,
        etag: "9e107d9d372bb6826bd81d3542a419d6-2".into(),
        created_at: AT,
        headers: vec![pair("content-type", "application/sql")],
        metadata: vec![pair("host", "db1")],
        tags: vec![pair("kind", "full")],
        checksums: vec![Checksum { kind: ChecksumKind::Crc32c, full_object: true, value: Blob(vec![1, 2, 3, 4]) }],
        parts: vec![PartMark { number: 1, len: 65_535 }, PartMark { number: 4, len: 1 }],
        manifest: Root::Inline(vec![entry()]),
        crc: entry().crc,
        facts: VersionFacts {
            retention: RetentionMode::Governance,
            retain_until: AT + 1,
            legal_hold: true,
            case_holds: 2,
            retention_clock: AT - 1,
            tier: 0,
            placement: 0,
            jurisdiction: 643,
        },
        by: origin(),
    }
}

fn pool_records() -> Vec<Record> {
    let member = Member { disk: DiskId(run(9)), state: DiskState::Serving, tier: 0, jurisdiction: 643 };
    vec![
        EpochStarted {
            epoch: Epoch(7),
            last_lsn: Lsn(41),
            last_hash: StripeHash(run(0x60)),
            release: "0.1.0".into(),
            started_at: AT,
            retention_clock: AT - 1,
        }
        .into(),
        MembersChanged { generation: 2, members: vec![member] }.into(),
        DiskStateChanged {
            disk: DiskId(run(9)),
            state: DiskState::Fenced,
            reason: "flush failed".into(),
            changed_at: AT,
        }
        .into(),
        CheckpointTaken {
            lsn: Lsn(40),
            hash: StripeHash(run(0x61)),
            segment: SegmentId::new(Epoch(7), 4),
            stripes: 3,
            rows: 1000,
            digest: run(0x62),
        }
        .into(),
        ClockTicked { retention_clock: AT - 1, wall: AT, credited: 86_400_000, disputed: true }.into(),
    ]
}

fn segment_records() -> Vec<Record> {
    vec![
        opened().into(),
        SegmentClosed { segment: opened().segment, len: 1 << 30 }.into(),
        StripeAdded {
            segment: opened().segment,
            offset: 8192,
            shard_len: 65_536,
            hash: StripeHash(run(0x63)),
            domain: DomainId(1),
            chunks: vec![place(0)],
        }
        .into(),
        ChunksInlined { domain: DomainId(1), chunks: vec![place(0), place(4096)] }.into(),
        NodeAdded { node: chunk_id(4), domain: DomainId(1), level: 1, first: 2, children: vec![chunk_id(5)] }.into(),
        ChunksDamaged { segment: opened().segment, stripe: 8192, chunks: vec![chunk_id(4), chunk_id(5)] }.into(),
    ]
}

/// One record of every kind, in the order of `Record::TAGS`.
pub fn records() -> Vec<Record> {
    let mut all = pool_records();
    all.extend(segment_records());
    all.extend(object::records());
    all.push(
        Audit {
            action: Action::DeleteVersion,
            by: origin(),
            bucket: "backups".into(),
            key: "dumps/база.sql".into(),
            version: VersionId(run(0x50)),
            verdict: Verdict::Deny,
            reasons: vec!["legal-hold".into()],
            count: 1,
            at: AT,
            retention_clock: AT - 1,
        }
        .into(),
    );
    all.push(
        CredentialSet {
            access_key: "KVROOT".into(),
            sealed_secret: Blob(run::<56>(0x70).to_vec()),
            tenant: TenantId(1),
            root: true,
            enabled: true,
            created_at: AT,
        }
        .into(),
    );
    all.push(CredentialRemoved { access_key: "KVOLD".into() }.into());
    all.push(
        GrantSet {
            access_key: "KVBACKUP".into(),
            note: "ночной дамп".into(),
            buckets: vec!["dumps".into(), "wal-*".into()],
            rights: GRANT_WRITE | GRANT_LIST,
        }
        .into(),
    );
    all.push(TenantSet { tenant: TenantId(2), name: "bank".into(), domain: DomainId(2), created_at: AT }.into());
    all
}

pub fn superblock() -> Superblock {
    Superblock {
        pool: PoolId(run(0x10)),
        disk: DiskId(run(0x20)),
        sequence: 9,
        generation: 2,
        epoch: Epoch(7),
        compatible: 1,
        read_only_compatible: 0,
        incompatible: 0,
        k: 4,
        m: 2,
        created_at: AT,
        members: vec![DiskId(run(0x20)), DiskId(run(0x21))],
        failure_domain: FailureDomain {
            host: "ark1".into(),
            enclosure: "shelf0".into(),
            site: "msk".into(),
            country: "RU".into(),
        },
        key_slots: vec![KeySlot {
            kind: KeySlotKind::RecoveryCode,
            salt: run(0x30),
            sealed_root: Blob(run::<72>(0x31).to_vec()),
            confirmed: true,
        }],
        key_check: run(0x32),
    }
}

pub fn key_entry() -> KeyEntry {
    KeyEntry { id: KeyId(3), purpose: KeyPurpose::Domain, domain: DomainId(1), created_at: AT, secret: run(0x33) }
}

pub fn keyring() -> SealedKeyring {
    SealedKeyring { pool: PoolId(run(0x10)), sequence: 4, nonce: run(0x34), sealed: run::<100>(0x35).to_vec() }
}

/// A header over `payload_len` bytes in shards of `shard_len`.
pub fn shard_header(kind: StripeKind, payload: &[u8], shard_len: u32) -> ShardHeader {
    let (lsn, previous) = match kind {
        StripeKind::Journal => (Lsn(42), StripeHash(run(0x60))),
        StripeKind::Data | StripeKind::Checkpoint => (Lsn(0), StripeHash::ZERO),
    };
    ShardHeader {
        kind,
        k: 4,
        m: 2,
        index: 5,
        codec: CODEC_RS_GF8,
        pool: PoolId(run(0x10)),
        segment: SegmentId::new(Epoch(7), 3),
        offset: 8192,
        epoch: Epoch(7),
        lsn,
        previous,
        hash: stripe_hash(kind, Epoch(7), lsn, previous, payload, 100),
        payload_len: payload.len() as u64,
        shard_len,
        inner_len: 100,
        retention_clock: AT - 1,
        written_at: AT,
    }
}

/// A sealed shard with two CRC blocks.
pub fn shard(kind: StripeKind) -> Vec<u8> {
    let payload: Vec<u8> =
        (0..4 * 66_000_u32).map(|at| at.to_le_bytes().iter().fold(7, |sum, byte| sum ^ byte)).collect();
    let header = shard_header(kind, &payload, 69_632);
    let mut shard = vec![0; usize::try_from(header.disk_len()).unwrap()];
    let start = header.data_offset();
    shard[start..start + 69_632].copy_from_slice(&payload[..69_632]);
    header.seal_into(&mut shard);
    shard
}

pub fn envelope_header(base: Option<ChunkId>) -> EnvelopeHeader {
    let codec = if base.is_some() { Codec::Zstd } else { Codec::Raw };
    EnvelopeHeader { codec, domain: DomainId(1), key: KeyId(3), plain_len: 24, nonce: run(0x36), base }
}

/// A whole envelope over made-up ciphertext.
pub fn sealed_envelope(base: Option<ChunkId>) -> Vec<u8> {
    let mut envelope = envelope_header(base).encode();
    envelope.extend(run::<{ 24 + TAG_LEN }>(0x80));
    envelope::finish(&mut envelope);
    envelope
}

pub fn leaf() -> Node {
    Node::Leaf(vec![entry(), Entry { offset: 0, ..entry() }])
}

pub fn inner() -> Node {
    Node::Inner { level: 2, children: vec![child(), Child { level: 1, ..child() }] }
}

/// The tree over three entries.
pub fn audit_tree() -> AuditTree {
    let mut tree = AuditTree { lsn: Lsn(42), ..AuditTree::default() };
    (0..3).for_each(|n| tree.append(&format!("{{\"n\":{n}}}")));
    tree
}

pub fn directory() -> Directory {
    Directory { chunks: vec![place(0), place(4096)], domain: DomainId(1) }
}

pub fn page() -> CheckpointPage {
    let row = |column, key: &[u8], value: &[u8]| Row { column, key: Blob(key.to_vec()), value: Blob(value.to_vec()) };
    CheckpointPage { rows: vec![row(0, b"applied", b"\x01\x02"), row(3, b"a", b""), row(3, b"b", b"x")] }
}

/// Name and bytes of one value of every stored type: the golden files, and what the fuzzer starts from.
pub fn all() -> Vec<(String, Vec<u8>)> {
    let segment_row = SegmentRow { opened: opened(), len: 16_384, closed: false, read_back: true };
    let chunk_row = ChunkRow {
        segment: opened().segment,
        stripe: 8192,
        shard_len: 65_536,
        offset: 4096,
        sealed_len: 4096,
        plain_len: 8192,
        domain: DomainId(1),
    };
    let shard_front = |kind| shard(kind).split_at(4096).0.to_vec();
    let mut all = vec![
        ("superblock".into(), superblock().to_slot()),
        ("superblock_file".into(), superblock().to_slot().repeat(COPIES)),
        ("root_inline".into(), Root::Inline(vec![entry()]).to_bytes()),
        ("root_tree".into(), Root::Tree(child()).to_bytes()),
        ("keyring".into(), keyring().to_file()),
        ("key_entries".into(), vec![key_entry()].to_bytes()),
        ("shard_data".into(), shard_front(StripeKind::Data)),
        ("shard_journal".into(), shard_front(StripeKind::Journal)),
        ("shard_checkpoint".into(), shard_front(StripeKind::Checkpoint)),
        ("envelope".into(), sealed_envelope(None)),
        ("envelope_with_base".into(), sealed_envelope(Some(chunk_id(6)))),
        ("node_leaf".into(), leaf().to_bytes()),
        ("node_inner".into(), inner().to_bytes()),
        ("directory".into(), directory().to_bytes()),
        ("checkpoint_page".into(), page().to_bytes()),
        ("row_audit_tree".into(), audit_tree().to_bytes()),
        ("row_segment".into(), segment_row.to_bytes()),
        ("row_chunk".into(), chunk_row.to_bytes()),
        (
            "row_member".into(),
            Member { disk: DiskId(run(9)), state: DiskState::Missing, tier: 0, jurisdiction: 0 }.to_bytes(),
        ),
        (
            "frame".into(),
            Frame { records: records().into_iter().filter(|record| [50, 60].contains(&record.tag())).rev().collect() }
                .to_bytes(),
        ),
    ];
    for record in records() {
        let name = Record::TAGS.iter().find(|(tag, _)| *tag == record.tag()).unwrap().1;
        all.push((format!("record_{}", snake(name)), record.body()));
    }
    all
}

/// `VersionPut` → `version_put`.
pub fn snake(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.extend(letter.to_lowercase());
    }
    out
}
