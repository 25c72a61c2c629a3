//! Goal: docs/format.md is right. Method: every table of it that stands behind a marker (`<!-- name -->`) is read and held
//! against the code: numbers, magics, record tags, field lists, codes, and byte offsets against encoded samples.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use kovcheg_format::audit::AuditTree;
use kovcheg_format::directory::Directory;
use kovcheg_format::envelope::Codec;
use kovcheg_format::keyring::{KeyEntry, KeyPurpose};
use kovcheg_format::manifest::{Child, Entry};
use kovcheg_format::record::Record;
use kovcheg_format::record::audit::{Action, Audit, Origin, Verdict};
use kovcheg_format::record::bucket::{
    BucketCreated, BucketDeleted, ChunkProfile, Namespace, ObjectLockSet, QuotaSet, Versioning, VersioningSet,
};
use kovcheg_format::record::hold::{CaseHoldPlaced, HoldScope};
use kovcheg_format::record::identity::{CredentialRemoved, CredentialSet, GrantSet, TenantSet};
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
use kovcheg_format::shard::StripeKind;
use kovcheg_format::superblock::{FailureDomain, KeySlot, KeySlotKind};
use kovcheg_format::{
    Encode, checkpoint, codec, envelope, frame, keyring, manifest, shard, superblock, units, version,
};
use support::samples;

type Row = Vec<String>;

/// Every table behind a marker, by the marker's text: its rows without head and rule.
fn tables() -> BTreeMap<String, Vec<Row>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/format.md");
    let text = std::fs::read_to_string(path).unwrap();
    let mut tables = BTreeMap::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(name) = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->")) else { continue };
        let cells = |line: &str| {
            line[1..line.len() - 1].split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect::<Row>()
        };
        let rows: Vec<Row> = lines.by_ref().take_while(|line| line.starts_with('|')).map(cells).skip(2).collect();
        assert!(!rows.is_empty(), "the table {name} is empty");
        assert!(tables.insert(name.to_owned(), rows).is_none(), "two tables {name}");
    }
    tables
}

#[test]
fn numbers_agree() {
    macro_rules! numbers {
        ($($module:ident::$name:ident),* $(,)?) => {
            vec![$((concat!(stringify!($module), "::", stringify!($name)), $module::$name.to_string()),)*]
        };
    }
    let code: BTreeMap<&str, String> = numbers![
        units::BLOCK_LEN,
        superblock::COPIES,
        superblock::SLOT_LEN,
        superblock::DISKS_MAX,
        superblock::KEY_SLOTS_MAX,
        superblock::NAME_LEN_MAX,
        superblock::SEALED_ROOT_LEN_MAX,
        keyring::SEALED_LEN_MAX,
        shard::HEADER_LEN,
        shard::CRC_BLOCK_LEN,
        shard::SHARD_LEN_UNIT,
        shard::WHOLE_BLOCKS_MIN,
        shard::SHARD_LEN_MAX,
        shard::FILE_LEN_MAX,
        shard::WIDTH_MAX,
        shard::CODEC_RS_GF8,
        envelope::HEADER_LEN,
        envelope::NONCE_LEN,
        envelope::TAG_LEN,
        envelope::AAD_LEN,
        envelope::PLAIN_LEN_MAX,
        frame::AAD_LEN,
        frame::SEAL_OVERHEAD,
        frame::RECORDS_MAX,
        frame::RECORD_LEN_MAX,
        manifest::INLINE_ENTRIES_MAX,
        manifest::NODE_ITEMS_MAX,
        manifest::NODE_ITEMS_MIN,
        manifest::NODE_BOUNDARY_BITS,
        manifest::LEVEL_MAX,
        checkpoint::ROWS_MAX,
        checkpoint::VALUE_LEN_MAX,
        codec::TEXT_LIMIT,
        codec::BYTES_LIMIT,
        codec::LIST_LIMIT,
    ]
    .into_iter()
    .collect();
    let tables = tables();
    let document: BTreeMap<&str, String> =
        tables["constants"].iter().map(|row| (row[0].as_str(), row[1].clone())).collect();
    assert_eq!(document, code);
}

#[test]
fn magics_and_versions_agree() {
    let code = [
        ("superblock", hex::encode(version::MAGIC_SUPERBLOCK), version::SUPERBLOCK_VERSION.to_string()),
        ("shard", hex::encode(version::MAGIC_SHARD), version::SHARD_VERSION.to_string()),
        ("keyring", hex::encode(version::MAGIC_KEYRING), version::KEYRING_VERSION.to_string()),
        ("envelope", hex::encode(version::MAGIC_ENVELOPE), String::new()),
        ("manifest node", String::new(), version::NODE_VERSION.to_string()),
    ];
    let code = code.map(|(name, magic, version)| vec![name.to_owned(), magic, version]);
    assert_eq!(tables()["magics"], code);
}

#[test]
fn records_agree() {
    let samples = samples::records();
    let version = |tag| samples.iter().find(|record| record.tag() == tag).unwrap().version().to_string();
    let code: Vec<Row> =
        Record::TAGS.iter().map(|(tag, name)| vec![tag.to_string(), (*name).to_owned(), version(*tag)]).collect();
    let document: Vec<Row> = tables()["records"].iter().map(|row| row[..3].to_vec()).collect();
    assert_eq!(document, code);
}

#[test]
fn fields_agree() {
    macro_rules! fields {
        ($($name:ident),* $(,)?) => { vec![$((stringify!($name), $name::FIELDS),)*] };
    }
    let code = fields![
        FailureDomain,
        KeySlot,
        KeyEntry,
        Directory,
        ChunkPlace,
        Entry,
        Child,
        Origin,
        Member,
        ChunkProfile,
        Checksum,
        Pair,
        PartMark,
        LifecycleRule,
        LifecycleTransition,
        VersionFacts,
        ChunkRow,
        SegmentRow,
        AuditTree,
        EpochStarted,
        MembersChanged,
        DiskStateChanged,
        CheckpointTaken,
        ClockTicked,
        SegmentOpened,
        SegmentClosed,
        StripeAdded,
        ChunksInlined,
        NodeAdded,
        ChunksDamaged,
        BucketCreated,
        BucketDeleted,
        VersioningSet,
        ObjectLockSet,
        CaseHoldPlaced,
        LifecycleSet,
        QuotaSet,
        VersionPut,
        VersionRemoved,
        RetentionSet,
        LegalHoldSet,
        TagsSet,
        UploadCreated,
        PartPut,
        UploadEnded,
        UploadLocked,
        Audit,
        CredentialSet,
        CredentialRemoved,
        GrantSet,
        TenantSet,
    ];
    let tables = tables();
    for (name, fields) in &code {
        let table = tables.get(&format!("fields: {name}")).unwrap_or_else(|| panic!("{name} has no table"));
        let short = |ty: &str| ty.rsplit("::").next().unwrap().trim().to_owned();
        let expected: Vec<Row> = fields.iter().map(|(field, ty)| vec![(*field).to_owned(), short(ty)]).collect();
        let found: Vec<Row> = table.iter().map(|row| row[..2].to_vec()).collect();
        assert_eq!(found, expected, "{name}");
        assert!(table.iter().all(|row| !row[2].is_empty()), "{name} has a field without a meaning");
    }
    let documented = tables.keys().filter(|name| name.starts_with("fields: ")).count();
    assert_eq!(documented, code.len(), "a table of fields that nothing checks");
    for (_, name) in Record::TAGS {
        assert!(code.iter().any(|(known, _)| known == name), "the fields of {name} are not checked");
    }
}

#[test]
fn codes_agree() {
    macro_rules! codes {
        ($($name:ident),* $(,)?) => {
            vec![$((
                stringify!($name),
                $name::ALL.iter().map(|code| vec![code.code().to_string(), format!("{code:?}")]).collect::<Vec<Row>>(),
            ),)*]
        };
    }
    let code = codes![
        KeySlotKind,
        KeyPurpose,
        StripeKind,
        Codec,
        Action,
        Verdict,
        Namespace,
        Versioning,
        HoldScope,
        DiskState,
        UploadOutcome,
        VersionKind,
        RetentionMode,
        ChecksumKind,
    ];
    let tables = tables();
    for (name, expected) in &code {
        let found: Vec<Row> = tables[&format!("codes: {name}")].iter().map(|row| row[..2].to_vec()).collect();
        assert_eq!(&found, expected, "{name}");
    }
    assert_eq!(tables.keys().filter(|name| name.starts_with("codes: ")).count(), code.len());
}

/// Holds a byte table against encoded bytes: the rows with an offset follow one another without gaps, and where `fields`
/// has the value of a field, it stands there. Reserved rows are zero.
fn check_bytes(name: &str, bytes: &[u8], fields: &[(&str, Vec<u8>)]) {
    let tables = tables();
    let rows = &tables[&format!("bytes: {name}")];
    let mut end = Some(0);
    let mut seen = BTreeSet::new();
    for row in rows {
        let (offset, len) = (row[0].parse::<usize>().ok(), row[1].parse::<usize>().ok());
        if let (Some(end), Some(offset)) = (end, offset) {
            assert_eq!(offset, end, "{name}: a gap before {}", row[2]);
        }
        end = offset.zip(len).map(|(offset, len)| offset + len);
        let (Some(offset), Some(len)) = (offset, len) else { continue };
        let found = &bytes[offset..offset + len];
        match fields.iter().find(|(field, _)| *field == row[2]) {
            Some((field, value)) => {
                assert_eq!(found, value, "{name}: {field} at {offset}");
                seen.insert(*field);
            }
            None if row[2] == "reserved" => assert!(found.iter().all(|byte| *byte == 0), "{name}: reserve at {offset}"),
            None => assert!(len == 0, "{name}: {} is in the document alone", row[2]),
        }
    }
    assert_eq!(seen.len(), fields.len(), "{name}: a field is missing in the document");
}

#[test]
fn superblock_bytes_agree() {
    let block = samples::superblock();
    let slot = block.to_slot();
    let fields = [
        ("magic", version::MAGIC_SUPERBLOCK.to_vec()),
        ("version", 1_u16.to_bytes()),
        ("pool", block.pool.to_bytes()),
        ("disk", block.disk.to_bytes()),
        ("sequence", block.sequence.to_bytes()),
        ("generation", block.generation.to_bytes()),
        ("epoch", block.epoch.to_bytes()),
        ("compatible", block.compatible.to_bytes()),
        ("read_only_compatible", block.read_only_compatible.to_bytes()),
        ("incompatible", block.incompatible.to_bytes()),
        ("k", vec![block.k]),
        ("m", vec![block.m]),
        ("created_at", block.created_at.to_bytes()),
        ("crc", kovcheg_format::checksum::crc64(&slot[..16_376]).to_bytes()),
    ];
    check_bytes("superblock", &slot, &fields);
    let parts = [block.members.to_bytes(), block.failure_domain.to_bytes(), block.key_slots.to_bytes()].concat();
    assert_eq!(slot[112..112 + parts.len()], parts);
    assert_eq!(slot[112 + parts.len()..][..32], block.key_check);
}

#[test]
fn keyring_bytes_agree() {
    let ring = samples::keyring();
    let fields = [
        ("magic", version::MAGIC_KEYRING.to_vec()),
        ("version", 1_u16.to_bytes()),
        ("pool", ring.pool.to_bytes()),
        ("sequence", ring.sequence.to_bytes()),
        ("nonce", ring.nonce.to_vec()),
        ("sealed_len", 100_u32.to_bytes()),
    ];
    check_bytes("keyring", &ring.to_file(), &fields);
    assert_eq!(ring.to_file()[68..168], ring.sealed);
}

#[test]
fn shard_bytes_agree() {
    let shard = samples::shard(StripeKind::Journal);
    let head = shard::ShardFront::decode(&shard).unwrap().header;
    let fields = [
        ("magic", version::MAGIC_SHARD.to_vec()),
        ("version", 1_u16.to_bytes()),
        ("kind", vec![head.kind.code()]),
        ("k", vec![head.k]),
        ("m", vec![head.m]),
        ("index", vec![head.index]),
        ("codec", vec![head.codec]),
        ("pool", head.pool.to_bytes()),
        ("segment", head.segment.to_bytes()),
        ("offset", head.offset.to_bytes()),
        ("epoch", head.epoch.to_bytes()),
        ("lsn", head.lsn.to_bytes()),
        ("previous", head.previous.to_bytes()),
        ("hash", head.hash.to_bytes()),
        ("payload_len", head.payload_len.to_bytes()),
        ("shard_len", head.shard_len.to_bytes()),
        ("inner_len", head.inner_len.to_bytes()),
        ("retention_clock", head.retention_clock.to_bytes()),
        ("written_at", head.written_at.to_bytes()),
        ("crc", kovcheg_format::checksum::crc64(&[&shard[..248], &shard[256..272]].concat()).to_bytes()),
    ];
    check_bytes("shard", &shard, &fields);
}

#[test]
fn envelope_bytes_agree() {
    let base = samples::chunk_id(6);
    let head = samples::envelope_header(Some(base));
    let bytes = samples::sealed_envelope(Some(base));
    let mut without_crc = bytes.clone();
    without_crc[48..56].fill(0);
    let fields = [
        ("magic", version::MAGIC_ENVELOPE.to_vec()),
        ("codec", vec![head.codec.code()]),
        ("flags", vec![1]),
        ("domain", head.domain.to_bytes()),
        ("key", head.key.to_bytes()),
        ("plain_len", head.plain_len.to_bytes()),
        ("nonce", head.nonce.to_vec()),
        ("crc", kovcheg_format::checksum::crc64(&without_crc).to_bytes()),
    ];
    check_bytes("envelope", &bytes, &fields);
    assert_eq!(bytes[56..88], base.0);
}
