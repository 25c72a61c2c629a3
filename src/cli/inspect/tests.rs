//! Inspection of bytes built with `kovcheg-format`: sound, damaged in every way a disk damages, and hostile.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

use std::io::Cursor;

use kovcheg_format::codec::Blob;
use kovcheg_format::id::{DiskId, Epoch, Lsn, PoolId, SegmentId, StripeHash};
use kovcheg_format::keyring::SealedKeyring;
use kovcheg_format::shard::{CODEC_RS_GF8, CRC_BLOCK_LEN, ShardHeader, StripeKind, disk_len};
use kovcheg_format::superblock::{COPIES, FailureDomain, KeySlot, KeySlotKind, SLOT_LEN, Superblock};
use proptest::prelude::{any, proptest};

use super::report::{FileReport, Report, ShardsReport};
use super::{inspect_file, inspect_folder, shard_file, small};

const SEGMENT: SegmentId = SegmentId(0x1_0000_0002);

fn shard(offset: u64, lsn: u64, shard_len: u32, segment: SegmentId) -> Vec<u8> {
    let header = ShardHeader {
        kind: StripeKind::Journal,
        k: 4,
        m: 2,
        index: 5,
        codec: CODEC_RS_GF8,
        pool: PoolId([7; 16]),
        segment,
        offset,
        epoch: Epoch(1),
        lsn: Lsn(lsn),
        previous: StripeHash([lsn as u8; 32]),
        hash: StripeHash([lsn as u8 + 1; 32]),
        payload_len: u64::from(shard_len) * 4,
        shard_len,
        inner_len: 16,
        retention_clock: 0,
        written_at: 1_700_000_000_000,
    };
    let mut bytes = vec![0; disk_len(shard_len) as usize];
    let start = header.data_offset();
    for (at, byte) in bytes[start..start + shard_len as usize].iter_mut().enumerate() {
        *byte = (at % 251) as u8 ^ lsn as u8;
    }
    header.seal_into(&mut bytes);
    bytes
}

/// Three stripes of different lengths, then 64 KiB that were written ahead with zeros.
fn file() -> (Vec<u8>, Vec<u64>) {
    let mut bytes = Vec::new();
    let mut offsets = Vec::new();
    for (lsn, len) in [(1, 64), (2, 200_704), (3, 4096)] {
        offsets.push(bytes.len() as u64);
        bytes.extend(shard(bytes.len() as u64, lsn, len, SEGMENT));
    }
    bytes.resize(bytes.len() + 65_536, 0);
    (bytes, offsets)
}

fn walk(bytes: &[u8]) -> ShardsReport {
    shard_file::walk(&mut Cursor::new(bytes), bytes.len() as u64, Some(SEGMENT), usize::MAX)
}

fn superblock() -> Superblock {
    Superblock {
        pool: PoolId([1; 16]),
        disk: DiskId([2; 16]),
        sequence: 9,
        generation: 3,
        epoch: Epoch(4),
        compatible: 0,
        read_only_compatible: 0,
        incompatible: 0,
        k: 4,
        m: 2,
        created_at: 1_700_000_000_000,
        members: (0..6).map(|n| DiskId([n; 16])).collect(),
        failure_domain: FailureDomain { country: "RU".to_owned(), ..FailureDomain::default() },
        key_slots: vec![KeySlot {
            kind: KeySlotKind::RecoveryCode,
            salt: [0xAB; 16],
            sealed_root: Blob(vec![0xCD; 72]),
            confirmed: false,
        }],
        key_check: [0xEF; 32],
    }
}

#[test]
fn sound_file_is_told_stripe_by_stripe() {
    let (bytes, offsets) = file();
    let report = walk(&bytes);
    assert!(report.sound, "{report:?}");
    assert_eq!(report.stripes.iter().map(|stripe| stripe.offset).collect::<Vec<_>>(), offsets);
    assert_eq!(report.lsn_range, Some((1, 3)));
    let second = &report.stripes[1];
    assert_eq!((second.k, second.m, second.index, second.epoch, second.lsn), (4, 2, 5, 1, 2));
    assert_eq!((second.blocks, second.bad_blocks), (200_704_usize.div_ceil(CRC_BLOCK_LEN), 0));
    assert_eq!(report.gaps.len(), 1);
    assert_eq!((report.gaps[0].what.as_str(), report.gaps[0].len), ("unwritten", 65_536));
    let words = Report::File(FileReport::Shards(report)).words();
    assert!(words.contains("3 stripes, 0 damaged") && words.contains("every checksum holds"), "{words}");
}

#[test]
fn every_flipped_bit_of_data_is_found_in_its_block() {
    let (good, offsets) = file();
    for position in [0_usize, 65_535, 65_536, 200_703] {
        let mut bytes = good.clone();
        let front = kovcheg_format::shard::data_offset(200_704);
        bytes[offsets[1] as usize + front + position] ^= 0x10;
        let report = walk(&bytes);
        assert_eq!((report.bad_blocks, report.damaged_stripes, report.sound), (1, 1, false), "at {position}");
        assert_eq!(report.stripe_count, 3);
    }
}

#[test]
fn rotten_header_hides_nothing_behind_it() {
    let (mut bytes, offsets) = file();
    bytes[offsets[1] as usize + 20] ^= 1;
    let report = walk(&bytes);
    assert_eq!(report.stripes.iter().map(|stripe| stripe.lsn).collect::<Vec<_>>(), [1, 3]);
    assert!(!report.sound);
    assert_eq!((report.gaps[0].offset, report.gaps[0].what.as_str()), (offsets[1], "unreadable"));
    assert_eq!(report.gaps[0].len, offsets[2] - offsets[1]);
}

#[test]
fn lost_misdirected_stale_and_cut_writes_are_told_apart() {
    let (good, offsets) = file();
    let mut lost = good.clone();
    lost[offsets[1] as usize..offsets[2] as usize].fill(0);
    let report = walk(&lost);
    assert_eq!((report.gaps[0].what.as_str(), report.sound), ("hole", false));

    let mut misdirected = good.clone();
    let (from, to) = (offsets[2] as usize, offsets[0] as usize);
    let block = misdirected[from..from + 4096].to_vec();
    misdirected[to..to + 4096].copy_from_slice(&block);
    let report = walk(&misdirected);
    assert!(!report.sound && report.gaps[0].reason.contains("misdirected"), "{:?}", report.gaps);

    let mut recycled = good[..offsets[1] as usize].to_vec();
    recycled.extend(shard(offsets[1], 2, 64, SegmentId(0x9)));
    let report = walk(&recycled);
    assert_eq!((report.gaps[0].what.as_str(), report.sound, report.stripe_count), ("stale", true, 1));

    let cut = &good[..offsets[1] as usize + 100_000];
    let report = walk(cut);
    assert!(!report.sound && report.stripes[1].cut, "{:?}", report.stripes);
}

#[test]
fn memory_is_bounded_by_what_is_listed() {
    let (bytes, _) = file();
    let report = shard_file::walk(&mut Cursor::new(&bytes), bytes.len() as u64, None, 1);
    assert_eq!((report.stripes.len(), report.stripe_count), (1, 3));
    assert_eq!(report.segment, Some(SEGMENT.file_name()), "told by the first stripe");
    let mut garbage = vec![0; 4096 * 5000];
    for block in garbage.chunks_mut(8192) {
        block[0] = 1;
    }
    let report = walk(&garbage);
    assert!(report.gaps.len() <= 1000 && report.gaps_unlisted > 0);
}

#[test]
fn superblock_is_told_by_its_copies_and_keeps_its_secrets() {
    let slot = superblock().to_slot();
    let mut bytes = slot.repeat(COPIES);
    let report = FileReport::Superblock(small::superblock(&bytes));
    assert!(report.is_sound());
    let text = serde_json::to_string(&report).unwrap() + &Report::File(report).words();
    assert!(text.contains("RecoveryCode") && text.contains("RU") && text.contains(&"01".repeat(16)), "{text}");
    for secret in ["ab".repeat(16), "cd".repeat(16), "ef".repeat(16)] {
        assert!(!text.contains(&secret), "{text}");
    }
    // The first copy rots: still recognised, still told, no longer sound.
    bytes[..SLOT_LEN].fill(0xFF);
    assert!(small::is_superblock(&bytes));
    let report = small::superblock(&bytes);
    assert!(report.newest.is_some() && report.slots[0].error.is_some());
    assert!(!FileReport::Superblock(report).is_sound());
}

#[test]
fn keyring_is_told_without_its_keys() {
    let ring = SealedKeyring { pool: PoolId([3; 16]), sequence: 5, nonce: [6; 24], sealed: vec![0xEE; 100] };
    let mut bytes = ring.to_file();
    let report = small::keyring(&bytes);
    assert_eq!((report.sequence, report.sealed_len, report.error.is_none()), (Some(5), Some(100), true));
    let words = Report::File(FileReport::Keyring(report)).words();
    assert!(words.contains("sequence 5") && !words.contains("eeee"), "{words}");
    bytes[60] ^= 1;
    assert!(small::keyring(&bytes).error.is_some());
}

#[test]
fn folder_of_files_is_told_with_what_is_not_ours() {
    // Goal: a whole disk is told, files of other kinds are counted, damage in one file is damage of the folder.
    let folder = std::env::temp_dir().join(format!("kovcheg-inspect-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(folder.join("journal")).unwrap();
    std::fs::write(folder.join("superblock"), superblock().to_slot().repeat(COPIES)).unwrap();
    std::fs::write(folder.join("notes.txt"), b"not ours").unwrap();
    let path = folder.join("journal").join(SEGMENT.file_name());
    std::fs::write(&path, file().0).unwrap();
    std::os::unix::fs::symlink("/", folder.join("loop")).unwrap();
    let report = inspect_folder(&folder).unwrap();
    assert_eq!((report.files.len(), report.other_files), (2, 1));
    assert!(Report::Folder(report).is_sound());
    let mut bytes = file().0;
    bytes[330] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert!(!Report::Folder(inspect_folder(&folder).unwrap()).is_sound());
    assert!(inspect_file(&folder.join("notes.txt"), 0).unwrap().is_none());
    std::fs::remove_dir_all(&folder).unwrap();
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic_and_always_end(bytes in proptest::collection::vec(any::<u8>(), 0..20_000)) {
        let _ = walk(&bytes);
        let _ = small::superblock(&bytes);
        let _ = small::keyring(&bytes);
    }

    #[test]
    fn changed_bytes_of_a_sound_file_never_panic(at in 0_usize..220_000, value in any::<u8>()) {
        let (mut bytes, _) = file();
        let at = at % bytes.len();
        let before = bytes[at];
        bytes[at] = value;
        let report = walk(&bytes);
        assert!(report.stripe_count >= 2, "{report:?}");
        if before == value {
            assert!(report.sound);
        }
    }
}
