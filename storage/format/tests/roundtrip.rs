//! Goal: every stored type comes back as it was written, and nothing is written that would not come back. Method:
//! strategies over all valid values of every type; hand-made values beyond each limit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use kovcheg_format::audit::AuditTree;
use kovcheg_format::checkpoint::CheckpointPage;
use kovcheg_format::codec::{Blob, TEXT_LIMIT};
use kovcheg_format::directory::Directory;
use kovcheg_format::envelope::{self, Codec, EnvelopeHeader, TAG_LEN};
use kovcheg_format::frame::Frame;
use kovcheg_format::id::{DiskId, Epoch, StripeHash};
use kovcheg_format::keyring::{KeyEntry, SealedKeyring};
use kovcheg_format::manifest::{Child, Entry, Node, Root};
use kovcheg_format::record::Record;
use kovcheg_format::record::pool::Member;
use kovcheg_format::record::segment::{ChunkRow, SegmentRow};
use kovcheg_format::record::version::Pair;
use kovcheg_format::shard::{
    CRC_BLOCK_LEN, SHARD_LEN_UNIT, ShardFront, ShardHeader, StripeKind, WHOLE_BLOCKS_MIN, shard_len_for,
};
use kovcheg_format::superblock::{COPIES, SLOT_LEN, Superblock};
use kovcheg_format::{Decode, Encode, FormatError};
use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};
use proptest::test_runner::{TestCaseResult, TestRunner};
use support::samples;
use support::strategies::{self, Any};

fn returns<T: Encode + Decode + PartialEq + std::fmt::Debug>(value: &T) -> TestCaseResult {
    let bytes = value.to_bytes();
    prop_assert_eq!(&value.to_checked_bytes().unwrap(), &bytes);
    prop_assert_eq!(&T::from_bytes(&bytes).unwrap(), value);
    let mut longer = bytes.clone();
    longer.push(0);
    prop_assert!(T::from_bytes(&longer).is_err(), "took a byte too many");
    prop_assert!(T::from_bytes(&bytes[..bytes.len() - 1]).is_err(), "took a byte too few");
    Ok(())
}

/// One run per kind, so that each gets its full number of cases.
#[test]
fn every_record_returns() {
    let strategies = strategies::records();
    let names: Vec<&str> = strategies.iter().map(|(name, _)| *name).collect();
    let known: Vec<&str> = Record::TAGS.iter().map(|(_, name)| *name).collect();
    assert_eq!(names, known, "a kind of record without a strategy");
    for (name, strategy) in strategies {
        let outcome = TestRunner::new(ProptestConfig::with_cases(64)).run(&strategy, |record| {
            let body = record.body();
            let back = Record::decode_body(record.tag(), record.version(), &body).unwrap();
            prop_assert_eq!(&back, &record);
            prop_assert!(record.check().is_ok());
            prop_assert!(Record::decode_body(record.tag(), 2, &body).is_err(), "took a version of the future");
            returns(&Frame { records: vec![record.clone(), record] })
        });
        if let Err(error) = outcome {
            panic!("{name}: {error}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_value_returns(
        node in Node::any(),
        root in Root::any(),
        directory in Directory::any(),
        page in CheckpointPage::any(),
        keys in Vec::<KeyEntry>::any(),
        rows in (SegmentRow::any(), ChunkRow::any(), Member::any(), AuditTree::any()),
    ) {
        returns(&node)?;
        returns(&root)?;
        returns(&directory)?;
        returns(&page)?;
        returns(&keys)?;
        returns(&rows.0)?;
        returns(&rows.1)?;
        returns(&rows.2)?;
        returns(&rows.3)?;
    }

    #[test]
    fn every_frame_returns(records in Vec::<Record>::any()) {
        returns(&Frame { records })?;
    }

    #[test]
    fn every_superblock_returns(block in Superblock::any(), newer in 1_u64..9, torn in 0..COPIES, at in 0..SLOT_LEN) {
        block.check().unwrap();
        let slot = block.to_slot();
        prop_assert_eq!(slot.len(), SLOT_LEN);
        prop_assert_eq!(&Superblock::from_slot(&slot).unwrap(), &block);
        let mut file = slot.repeat(COPIES);
        let next = Superblock { sequence: block.sequence.saturating_add(newer), ..block.clone() };
        file[torn * SLOT_LEN..(torn + 1) * SLOT_LEN].copy_from_slice(&next.to_slot());
        prop_assert_eq!(Superblock::from_file(&file).unwrap(), (next, COPIES));
        file[torn * SLOT_LEN + at] ^= 0x10;
        prop_assert_eq!(Superblock::from_file(&file).unwrap(), (block, COPIES - 1));
    }

    #[test]
    fn every_keyring_returns(ring in SealedKeyring::any(), padding in 0_usize..4096) {
        let mut file = ring.to_file();
        file.resize(file.len() + padding, 0);
        prop_assert_eq!(&SealedKeyring::from_file(&file).unwrap(), &ring);
    }

    #[test]
    fn every_shard_returns(header in ShardHeader::any(), seed: u8, at in any::<proptest::sample::Index>()) {
        let mut shard = vec![seed; usize::try_from(header.disk_len()).unwrap()];
        header.seal_into(&mut shard);
        let front = ShardFront::decode(&shard).unwrap();
        prop_assert_eq!(front.header, header);
        prop_assert_eq!(&ShardFront::decode(&shard[..4096.min(shard.len())]).unwrap(), &front);
        let data = header.data_offset()..header.data_offset() + header.shard_len as usize;
        prop_assert!(front.data_is_sound(&shard[data.clone()]));
        // Any flipped bit of header, table or data is seen; the reserve around them is nobody's.
        let table_end = 256 + 8 * header.crc_count();
        let covered: Vec<usize> = (0..table_end).chain(data.clone()).collect();
        let hit = covered[at.index(covered.len())];
        shard[hit] ^= 1;
        let seen = ShardFront::decode(&shard).map_or(true, |front| !front.data_is_sound(&shard[data]));
        prop_assert!(seen, "a flipped bit at {hit} went unseen");
    }

    #[test]
    fn every_envelope_returns(header in EnvelopeHeader::any(), ciphertext in 0_usize..600, at in any::<proptest::sample::Index>()) {
        let len = if header.codec == Codec::Raw { header.plain_len as usize } else { ciphertext };
        let mut envelope = header.encode();
        prop_assert_eq!(envelope.len(), header.len());
        envelope.resize(header.len() + len + TAG_LEN, 0x5a);
        envelope::finish(&mut envelope);
        envelope::finish(&mut envelope);
        prop_assert!(envelope::crc_is_sound(&envelope));
        let (back, body) = envelope::split(&envelope).unwrap();
        prop_assert_eq!(back, header);
        prop_assert_eq!(body.len(), len + TAG_LEN);
        let hit = at.index(envelope.len());
        envelope[hit] ^= 0x40;
        prop_assert!(!envelope::crc_is_sound(&envelope));
    }

    #[test]
    fn a_shard_holds_its_share(payload: u64, k: u8) {
        let len = shard_len_for(payload, k);
        prop_assert!(len >= u64::from(SHARD_LEN_UNIT));
        prop_assert!(u128::from(len) * u128::from(k.max(1)) >= u128::from(payload));
        let unit = if len < u64::from(WHOLE_BLOCKS_MIN) { 64 } else { 4096 };
        prop_assert!(len.is_multiple_of(unit) || len == u64::MAX);
    }
}

/// Goal: what no reader takes is refused when written, by name of the limit. Method: one value beyond each.
#[test]
fn nothing_unreadable_is_written() {
    let refused = |outcome: Result<(), FormatError>, what: &str| {
        let error = outcome.expect_err(what);
        assert!(error.to_string().contains(what), "{what}: {error}");
    };
    let entry = samples::entry();
    let long = "x".repeat(TEXT_LIMIT as usize + 1);
    for mut record in samples::records() {
        match &mut record {
            Record::VersionPut(put) => {
                put.metadata = vec![Pair { name: long.clone(), value: String::new() }];
                refused(record.check(), "text");
            }
            Record::PartPut(part) => {
                part.number = 10_001;
                refused(record.check(), "part number");
            }
            Record::SegmentOpened(opened) => {
                opened.disks.pop();
                refused(record.check(), "disks of a segment");
            }
            Record::ChunksInlined(inlined) => {
                inlined.chunks[0].offset = u32::MAX;
                refused(record.check(), "chunk place");
            }
            Record::EpochStarted(started) => {
                started.epoch = Epoch(1 << 32);
                refused(record.check(), "epoch");
            }
            Record::BucketCreated(created) => {
                created.profile.min = 0;
                refused(record.check(), "chunk profile");
            }
            Record::CredentialSet(set) => {
                set.sealed_secret = Blob(vec![0; (1 << 20) + 1]);
                refused(record.check(), "bytes");
            }
            _ => {}
        }
    }
    let check = |value: &dyn Fn() -> Result<Vec<u8>, FormatError>, what| refused(value().map(drop), what);
    check(&|| Root::Inline(vec![entry.clone(); 17]).to_checked_bytes(), "inline manifest");
    check(&|| Node::Leaf(vec![entry.clone(); 1025]).to_checked_bytes(), "manifest entries");
    check(&|| Entry { len: 0, ..entry.clone() }.to_checked_bytes(), "manifest entry range");
    check(&|| Entry { offset: u32::MAX, ..entry.clone() }.to_checked_bytes(), "manifest entry range");
    check(&|| Node::Inner { level: 0, children: vec![] }.to_checked_bytes(), "manifest level");
    let huge = Child { len: u64::MAX, ..samples::child() };
    check(&|| Node::Inner { level: 1, children: vec![huge.clone(); 2] }.to_checked_bytes(), "manifest length");
    let mut directory = samples::directory();
    directory.chunks.reverse();
    check(&|| directory.to_checked_bytes(), "directory order");
    let mut page = samples::page();
    page.rows.swap(0, 1);
    check(&|| page.to_checked_bytes(), "checkpoint row order");
    let mut block = samples::superblock();
    block.members.push(DiskId(block.members[0].0));
    refused(block.check(), "superblock members");
    block = samples::superblock();
    block.failure_domain.host = "x".repeat(256);
    refused(block.check(), "failure domain");
}

/// The largest superblock that passes `check` fits into its slot.
#[test]
fn the_largest_superblock_fits() {
    let mut block = samples::superblock();
    block.members = (0..128).map(|disk| DiskId([disk; 16])).collect();
    for name in [
        &mut block.failure_domain.host,
        &mut block.failure_domain.enclosure,
        &mut block.failure_domain.site,
        &mut block.failure_domain.country,
    ] {
        *name = "x".repeat(255);
    }
    block.key_slots[0].sealed_root = Blob(vec![1; 512]);
    block.key_slots = vec![block.key_slots[0].clone(); 8];
    block.check().unwrap();
    assert_eq!(Superblock::from_slot(&block.to_slot()).unwrap(), block);
}

/// A torn upgrade must not be continued by the old release; a slot of another disk is no copy.
#[test]
fn a_superblock_file_of_two_minds_is_refused() {
    let block = samples::superblock();
    let mut newer = block.to_slot();
    newer[8] = 2;
    let crc = kovcheg_format::checksum::crc64(&newer[..SLOT_LEN - 8]);
    newer[SLOT_LEN - 8..].copy_from_slice(&crc.to_le_bytes());
    let file = [block.to_slot(), newer, block.to_slot(), block.to_slot()].concat();
    assert!(matches!(Superblock::from_file(&file), Err(FormatError::TooNew { found: 2, .. })));
    let foreign = Superblock { disk: DiskId([0xee; 16]), ..block.clone() }.to_slot();
    let file = [block.to_slot(), foreign].concat();
    assert!(matches!(Superblock::from_file(&file), Err(FormatError::Invalid { .. })));
}

/// A rotten version is damage, which repair heals, and not a newer release, which stops the vault.
#[test]
fn a_flipped_version_is_damage() {
    let mut shard = samples::shard(StripeKind::Journal);
    shard[9] ^= 1;
    assert_eq!(ShardFront::decode(&shard), Err(FormatError::Checksum { what: "shard header" }));
    let mut ring = samples::keyring().to_file();
    ring[9] ^= 1;
    assert_eq!(SealedKeyring::from_file(&ring), Err(FormatError::Checksum { what: "keyring" }));
}

/// R21: a block that is whole but in the wrong place does not pass.
#[test]
fn a_misdirected_block_is_seen() {
    let shard = samples::shard(StripeKind::Data);
    let front = ShardFront::decode(&shard).unwrap();
    let start = front.header.data_offset();
    let block = &shard[start..start + CRC_BLOCK_LEN];
    assert!(front.block_is_sound(0, block));
    assert!(!front.block_is_sound(1, block) && !front.block_is_sound(2, block));
    for moved in [
        ShardHeader { index: 0, ..front.header },
        ShardHeader { offset: 4096, ..front.header },
        ShardHeader { segment: kovcheg_format::id::SegmentId(1), ..front.header },
    ] {
        assert!(!ShardFront { header: moved, crcs: front.crcs.clone() }.block_is_sound(0, block));
    }
}

/// L-2, A-1: everything that decides is under the seal of the frame.
#[test]
fn the_seal_of_a_frame_binds_its_place() {
    let block = samples::superblock();
    let aad = |epoch, lsn, previous, clock| {
        kovcheg_format::frame::associated_data(block.pool, Epoch(epoch), kovcheg_format::id::Lsn(lsn), previous, clock)
    };
    let all = [
        aad(1, 2, StripeHash::ZERO, 3),
        aad(2, 2, StripeHash::ZERO, 3),
        aad(1, 1, StripeHash::ZERO, 3),
        aad(1, 2, StripeHash([1; 32]), 3),
        aad(1, 2, StripeHash::ZERO, 4),
    ];
    for (index, one) in all.iter().enumerate() {
        assert!(all.iter().skip(index + 1).all(|other| one != other));
    }
}
