//! Strategies that make any valid value of every stored type.

use kovcheg_format::audit::AuditTree;
use kovcheg_format::checkpoint::{CheckpointPage, Row};
use kovcheg_format::codec::Blob;
use kovcheg_format::directory::Directory;
use kovcheg_format::envelope::{Codec, EnvelopeHeader, PLAIN_LEN_MAX};
use kovcheg_format::id::{
    AuditHash, BucketId, ChunkId, DiskId, DomainId, Epoch, HoldId, KeyId, Lsn, PoolId, RequestId, SegmentId,
    StripeHash, TenantId, UploadId, VersionId,
};
use kovcheg_format::keyring::{KeyEntry, KeyPurpose, SealedKeyring};
use kovcheg_format::manifest::{Child, Entry, INLINE_ENTRIES_MAX, LEVEL_MAX, Node, Root};
use kovcheg_format::record::Record;
use kovcheg_format::record::audit::{Action, Audit, Origin, Verdict};
use kovcheg_format::record::bucket::{
    BucketCreated, BucketDeleted, ChunkProfile, Namespace, ObjectLockSet, QuotaSet, Versioning, VersioningSet,
};
use kovcheg_format::record::hold::{CaseHoldPlaced, HoldScope};
use kovcheg_format::record::identity::{CredentialRemoved, CredentialSet, GRANT_ALL, GrantSet, TenantSet};
use kovcheg_format::record::lifecycle::{LifecycleRule, LifecycleSet, LifecycleTransition};
use kovcheg_format::record::pool::{
    CheckpointTaken, ClockTicked, DiskState, DiskStateChanged, EpochStarted, Member, MembersChanged,
};
use kovcheg_format::record::segment::{
    ChunkPlace, ChunkRow, ChunksDamaged, ChunksInlined, NodeAdded, SegmentClosed, SegmentOpened, SegmentRow,
    StripeAdded,
};
use kovcheg_format::record::upload::{PartPut, UploadCreated, UploadEnded, UploadLocked, UploadOutcome};
use kovcheg_format::record::version::{
    Checksum, ChecksumKind, LegalHoldSet, Pair, PartMark, RetentionMode, RetentionSet, TagsSet, VersionFacts,
    VersionKind, VersionPut, VersionRemoved,
};
use kovcheg_format::shard::{CODEC_RS_GF8, SHARD_LEN_MAX, SHARD_LEN_UNIT, ShardHeader, StripeKind, WHOLE_BLOCKS_MIN};
use kovcheg_format::superblock::{FailureDomain, KeySlot, KeySlotKind, Superblock};
use proptest::collection::vec;
use proptest::prelude::{BoxedStrategy, Just, Strategy, any};
use proptest::sample::select;

/// A type with a strategy for its valid values.
pub trait Any: Sized + std::fmt::Debug + 'static {
    fn any() -> BoxedStrategy<Self>;
}

macro_rules! plain {
    ($($ty:ty),*) => { $(impl Any for $ty { fn any() -> BoxedStrategy<Self> { any::<$ty>().boxed() } })* };
}
plain!(u8, u16, u32, u64, bool, [u8; 16], [u8; 24], [u8; 32]);

macro_rules! wrapped {
    ($($name:ident($ty:ty)),*) => {
        $(impl Any for $name { fn any() -> BoxedStrategy<Self> { any::<$ty>().prop_map($name).boxed() } })*
    };
}
wrapped!(ChunkId([u8; 32]), StripeHash([u8; 32]), PoolId([u8; 16]), DiskId([u8; 16]), VersionId([u8; 16]));
wrapped!(UploadId([u8; 16]), RequestId([u8; 16]), Lsn(u64), SegmentId(u64), BucketId(u64), HoldId(u64));
wrapped!(TenantId(u32), DomainId(u32), KeyId(u32));

macro_rules! codes {
    ($($name:ident),*) => { $(impl Any for $name { fn any() -> BoxedStrategy<Self> { select($name::ALL).boxed() } })* };
}
codes!(
    Action,
    Verdict,
    Namespace,
    Versioning,
    HoldScope,
    DiskState,
    UploadOutcome,
    ChecksumKind,
    RetentionMode,
    VersionKind,
    StripeKind
);
codes!(KeyPurpose, KeySlotKind, Codec);

/// A struct whose fields are independent: every field from its own strategy.
macro_rules! fields {
    ($name:ident { $($field:ident),* }) => {
        impl Any for $name {
            fn any() -> BoxedStrategy<Self> { fields!(@go (Just(())) (()) $name [$($field)*] [$($field)*]) }
        }
    };
    (@go ($all:expr) ($pattern:pat) $name:ident [] [$($field:ident)*]) => {
        $all.prop_map(|$pattern| $name { $($field),* }).boxed()
    };
    (@go ($all:expr) ($pattern:pat) $name:ident [$next:ident $($rest:ident)*] $fields:tt) => {
        fields!(@go (($all, Any::any())) (($pattern, $next)) $name [$($rest)*] $fields)
    };
}

mod lock;
mod segment;

impl Any for String {
    fn any() -> BoxedStrategy<Self> {
        "[a-zA-Z0-9/ёж\u{1F5C4}]{0,20}".boxed()
    }
}

impl Any for Blob {
    fn any() -> BoxedStrategy<Self> {
        vec(any::<u8>(), 0..40).prop_map(Blob).boxed()
    }
}

impl<T: Any> Any for Vec<T> {
    fn any() -> BoxedStrategy<Self> {
        vec(T::any(), 0..5).boxed()
    }
}

impl<T: Any> Any for Option<T> {
    fn any() -> BoxedStrategy<Self> {
        proptest::option::of(T::any()).boxed()
    }
}

impl Any for Epoch {
    fn any() -> BoxedStrategy<Self> {
        (0..=Epoch::MAX.0).prop_map(Epoch).boxed()
    }
}

fields!(Origin { actor, address, request });
fields!(EpochStarted { epoch, last_lsn, last_hash, release, started_at, retention_clock });
fields!(Member { disk, state, tier, jurisdiction });
fields!(DiskStateChanged { disk, state, reason, changed_at });
fields!(CheckpointTaken { lsn, hash, segment, stripes, rows, digest });
fields!(BucketCreated {
    bucket,
    name,
    tenant,
    domain,
    namespace,
    profile,
    jurisdiction,
    placement,
    tier,
    object_lock,
    created_at,
    by
});
fields!(BucketDeleted { bucket, by });
fields!(VersioningSet { bucket, state, by });
fields!(QuotaSet { bucket, bytes, by });
fields!(Checksum { kind, full_object, value });
fields!(Pair { name, value });
fields!(PartMark { number, len });
fields!(VersionFacts {
    retention,
    retain_until,
    legal_hold,
    case_holds,
    retention_clock,
    tier,
    placement,
    jurisdiction
});
fields!(VersionPut {
    bucket,
    key,
    version,
    null_version,
    kind,
    domain,
    size,
    etag,
    created_at,
    headers,
    metadata,
    tags,
    checksums,
    parts,
    manifest,
    crc,
    facts,
    by
});
fields!(VersionRemoved { bucket, key, version });
fields!(UploadCreated {
    bucket,
    key,
    upload,
    domain,
    created_at,
    headers,
    metadata,
    tags,
    checksum_kind,
    full_object,
    by
});
fields!(UploadEnded { bucket, key, upload, outcome, by });
fields!(Audit { action, by, bucket, key, version, verdict, reasons, count, at, retention_clock });
fields!(CredentialSet { access_key, sealed_secret, tenant, root, enabled, created_at });
fields!(CredentialRemoved { access_key });
fields!(TenantSet { tenant, name, domain, created_at });
fields!(FailureDomain { host, enclosure, site, country });
fields!(KeySlot { kind, salt, sealed_root, confirmed });
fields!(KeyEntry { id, purpose, domain, created_at, secret });
fields!(Row { column, key, value });

impl Any for SealedKeyring {
    fn any() -> BoxedStrategy<Self> {
        (PoolId::any(), any::<u64>(), any::<[u8; 24]>(), vec(any::<u8>(), 0..200))
            .prop_map(|(pool, sequence, nonce, sealed)| Self { pool, sequence, nonce, sealed })
            .boxed()
    }
}

/// k and m of a code.
fn width() -> impl Strategy<Value = (u8, u8)> {
    (1_u8..=16, 0_u8..=16)
}

/// Offset of a stripe.
fn offset() -> impl Strategy<Value = u64> {
    (0_u64..=1 << 28).prop_map(|blocks| blocks * 4096)
}

/// Data length of a shard.
fn shard_len() -> impl Strategy<Value = u32> {
    (1..=SHARD_LEN_MAX / SHARD_LEN_UNIT).prop_map(as_shard_len)
}

/// A length that a shard may have, of about so many units.
fn as_shard_len(units: u32) -> u32 {
    let len = units * SHARD_LEN_UNIT;
    if len < WHOLE_BLOCKS_MIN { len } else { len.next_multiple_of(4096) }
}

/// `count` different disks.
fn disks(count: usize) -> impl Strategy<Value = Vec<DiskId>> {
    proptest::collection::btree_set(any::<[u8; 16]>(), count).prop_map(|ids| ids.into_iter().map(DiskId).collect())
}

impl Any for Entry {
    fn any() -> BoxedStrategy<Self> {
        (ChunkId::any(), 0..PLAIN_LEN_MAX, any::<u64>())
            .prop_flat_map(|(chunk, offset, crc)| {
                (1..=PLAIN_LEN_MAX - offset).prop_map(move |len| Self { chunk, offset, len, crc })
            })
            .boxed()
    }
}

/// A child below `level`.
fn child_below(level: u8) -> impl Strategy<Value = Child> {
    (ChunkId::any(), 0..level, 0_u64..1 << 50, any::<u64>()).prop_map(|(node, level, len, crc)| Child {
        node,
        level,
        len,
        crc,
    })
}

impl Any for Node {
    fn any() -> BoxedStrategy<Self> {
        let inner = (1..=LEVEL_MAX).prop_flat_map(|level| {
            vec(child_below(level), 0..9).prop_map(move |children| Self::Inner { level, children })
        });
        proptest::prop_oneof![vec(Entry::any(), 0..9).prop_map(Self::Leaf), inner].boxed()
    }
}

impl Any for Root {
    fn any() -> BoxedStrategy<Self> {
        let inline = vec(Entry::any(), 0..=INLINE_ENTRIES_MAX).prop_map(Self::Inline);
        proptest::prop_oneof![inline, child_below(LEVEL_MAX + 1).prop_map(Self::Tree)].boxed()
    }
}

impl Any for MembersChanged {
    fn any() -> BoxedStrategy<Self> {
        (any::<u64>(), proptest::collection::btree_map(any::<[u8; 16]>(), Member::any(), 0..9))
            .prop_map(|(generation, members)| {
                let members = members.into_iter().map(|(id, member)| Member { disk: DiskId(id), ..member }).collect();
                Self { generation, members }
            })
            .boxed()
    }
}

impl Any for ChunkProfile {
    fn any() -> BoxedStrategy<Self> {
        vec(1..=PLAIN_LEN_MAX, 3)
            .prop_map(|mut sizes| {
                sizes.sort_unstable();
                Self { min: sizes[0], average: sizes[1], max: sizes[2] }
            })
            .boxed()
    }
}

impl Any for PartPut {
    fn any() -> BoxedStrategy<Self> {
        let numbers = (1_u16..=10_000, any::<u64>(), any::<u64>(), any::<u64>());
        (UploadId::any(), numbers, String::any(), Any::any(), Any::any())
            .prop_map(|(upload, (number, size, created_at, crc), etag, checksums, manifest)| Self {
                upload,
                number,
                size,
                etag,
                created_at,
                checksums,
                manifest,
                crc,
            })
            .boxed()
    }
}

impl Any for Directory {
    fn any() -> BoxedStrategy<Self> {
        (vec((ChunkId::any(), 0_u32..1000, 0_u32..1 << 20, any::<u32>()), 0..9), DomainId::any())
            .prop_map(|(chunks, domain)| {
                let mut end = 0;
                let place = |(id, gap, sealed_len, plain_len)| {
                    let offset = end + gap;
                    end = offset + sealed_len;
                    ChunkPlace { id, offset, sealed_len, plain_len, flags: 0 }
                };
                Self { chunks: chunks.into_iter().map(place).collect(), domain }
            })
            .boxed()
    }
}

impl Any for CheckpointPage {
    fn any() -> BoxedStrategy<Self> {
        vec(Row::any(), 0..9)
            .prop_map(|mut rows| {
                rows.sort_by(|a, b| (a.column, &a.key.0).cmp(&(b.column, &b.key.0)));
                rows.dedup_by(|a, b| (a.column, &a.key.0) == (b.column, &b.key.0));
                Self { rows }
            })
            .boxed()
    }
}

impl Any for EnvelopeHeader {
    fn any() -> BoxedStrategy<Self> {
        (Codec::any(), DomainId::any(), KeyId::any(), 0_u32..=4096, any::<[u8; 24]>(), Any::any())
            .prop_map(|(codec, domain, key, plain_len, nonce, base)| Self {
                codec,
                domain,
                key,
                plain_len,
                nonce,
                base,
            })
            .boxed()
    }
}

impl Any for Superblock {
    fn any() -> BoxedStrategy<Self> {
        let counters = any::<[u64; 6]>();
        let names = (PoolId::any(), DiskId::any(), Epoch::any(), any::<[u8; 32]>());
        (counters, names, width(), (0_usize..=128).prop_flat_map(disks), FailureDomain::any(), Any::any())
            .prop_map(|(counters, (pool, disk, epoch, key_check), (k, m), members, failure_domain, key_slots)| {
                let [sequence, generation, compatible, read_only_compatible, incompatible, created_at] = counters;
                Self {
                    pool,
                    disk,
                    sequence,
                    generation,
                    epoch,
                    compatible,
                    read_only_compatible,
                    incompatible,
                    k,
                    m,
                    created_at,
                    members,
                    failure_domain,
                    key_slots,
                    key_check,
                }
            })
            .boxed()
    }
}

impl Any for ShardHeader {
    fn any() -> BoxedStrategy<Self> {
        let place = (SegmentId::any(), offset(), Epoch::any(), 1..=Lsn::MAX.0);
        let names = (PoolId::any(), StripeHash::any(), StripeHash::any());
        let lengths = (1_u32..4096, any::<u64>(), any::<u32>());
        (StripeKind::any(), width(), any::<u8>(), place, names, lengths, any::<[u64; 2]>())
            .prop_map(|(kind, (k, m), index, place, (pool, previous, hash), lengths, clocks)| {
                let (segment, offset, epoch, lsn) = place;
                let (units, payload, inner) = lengths;
                let shard_len = as_shard_len(units);
                let payload_len = payload % (u64::from(shard_len) * u64::from(k) + 1);
                let inner_len = inner % u32::try_from(payload_len + 1).unwrap();
                let journal = kind == StripeKind::Journal;
                Self {
                    kind,
                    k,
                    m,
                    index: index % (k + m),
                    codec: CODEC_RS_GF8,
                    pool,
                    segment,
                    offset,
                    epoch,
                    lsn: Lsn(if journal { lsn } else { 0 }),
                    previous: if journal { previous } else { StripeHash::ZERO },
                    hash,
                    payload_len,
                    shard_len,
                    inner_len,
                    retention_clock: clocks[0],
                    written_at: clocks[1],
                }
            })
            .boxed()
    }
}

impl Any for GrantSet {
    fn any() -> BoxedStrategy<Self> {
        (String::any(), String::any(), vec(String::any(), 0..5), 0..=GRANT_ALL)
            .prop_map(|(access_key, note, buckets, rights)| Self { access_key, note, buckets, rights })
            .boxed()
    }
}

macro_rules! any_record {
    ($($variant:ident($ty:ty),)*) => {
        impl Any for Record {
            fn any() -> BoxedStrategy<Self> {
                proptest::strategy::Union::new([$(<$ty>::any().prop_map(Record::from).boxed(),)*]).boxed()
            }
        }

        /// A strategy for each kind of record, by name.
        pub fn records() -> Vec<(&'static str, BoxedStrategy<Record>)> {
            vec![$((stringify!($variant), <$ty>::any().prop_map(Record::from).boxed()),)*]
        }
    };
}

any_record! {
    EpochStarted(EpochStarted),
    MembersChanged(MembersChanged),
    DiskStateChanged(DiskStateChanged),
    CheckpointTaken(CheckpointTaken),
    ClockTicked(ClockTicked),
    SegmentOpened(SegmentOpened),
    SegmentClosed(SegmentClosed),
    StripeAdded(StripeAdded),
    ChunksInlined(ChunksInlined),
    NodeAdded(NodeAdded),
    ChunksDamaged(ChunksDamaged),
    BucketCreated(BucketCreated),
    BucketDeleted(BucketDeleted),
    VersioningSet(VersioningSet),
    ObjectLockSet(ObjectLockSet),
    CaseHoldPlaced(CaseHoldPlaced),
    LifecycleSet(LifecycleSet),
    QuotaSet(QuotaSet),
    VersionPut(VersionPut),
    VersionRemoved(VersionRemoved),
    RetentionSet(RetentionSet),
    LegalHoldSet(LegalHoldSet),
    TagsSet(TagsSet),
    UploadCreated(UploadCreated),
    PartPut(PartPut),
    UploadEnded(UploadEnded),
    UploadLocked(UploadLocked),
    Audit(Audit),
    CredentialSet(CredentialSet),
    CredentialRemoved(CredentialRemoved),
    GrantSet(GrantSet),
    TenantSet(TenantSet),
}
