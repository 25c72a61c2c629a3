//! Superblock files under torn updates, rot and confusion of disks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use kovcheg_format::id::{DiskId, Epoch, PoolId};
use kovcheg_format::superblock::{COPIES, FailureDomain, SLOT_LEN, Superblock};

use super::{SUPERBLOCK_FILE, SuperblockError, heal, initialise, read, update};
use crate::disk::crashsafe::write_small;
use crate::testing::faults::{Effect, OpKind, Rule};
use crate::testing::sim_disk::{CutPoint, SimPool};

fn block(sequence: u64) -> Superblock {
    Superblock {
        pool: PoolId([1; 16]),
        disk: DiskId([2; 16]),
        sequence,
        generation: 1,
        epoch: Epoch(sequence * 10),
        compatible: 0,
        read_only_compatible: 0,
        incompatible: 0,
        k: 4,
        m: 2,
        created_at: 1_700_000_000_000,
        members: (0..6).map(|at| DiskId([at; 16])).collect(),
        failure_domain: FailureDomain { host: "one".into(), ..FailureDomain::default() },
        key_slots: Vec::new(),
        key_check: [9; 32],
    }
}

fn rot_copy(pool: &SimPool, slot: usize) {
    pool.rot(0, SUPERBLOCK_FILE, (slot * SLOT_LEN + 77) as u64, 3);
}

/// Goal: what was written is read, four copies of it, and updates count up.
#[test]
fn initialise_update_read() {
    let pool = SimPool::new(1, 1);
    let disk = pool.disk(0);
    assert!(matches!(read(&*disk), Err(SuperblockError::Missing { .. })));
    initialise(&*disk, &block(1)).unwrap();
    for sequence in 2..12 {
        update(&*disk, &block(sequence)).unwrap();
        let found = read(&*disk).unwrap();
        assert_eq!((found.block, found.sound, found.current), (block(sequence), COPIES, COPIES));
    }
    let result = update(&*disk, &block(11));
    assert!(matches!(result, Err(SuperblockError::Stale { stored: 11, given: 11, .. })), "{result:?}");
}

/// Goal: an update cut at each of its syncs leaves the old or the new superblock, the new one once it was answered, and
/// updates go on from there; many seeds, so that writes tear in many ways.
#[test]
fn torn_update_at_each_sync() {
    for seed in 0..300 {
        for point in [CutPoint::Before, CutPoint::Halfway, CutPoint::After] {
            for nth in 1..=2 {
                let story = format!("seed {seed} {point:?} sync {nth}");
                let pool = SimPool::new(seed, 1);
                initialise(&*pool.disk(0), &block(5)).unwrap();
                pool.cut_at(pool.syncs() + nth, point);
                update(&*pool.disk(0), &block(6)).unwrap_err();
                assert!(pool.reboot(), "{story}: the power went");
                let found = read(&*pool.disk(0)).expect(&story);
                assert!(found.block == block(5) || found.block == block(6), "{story}: {:?}", found.block);
                let must_be_new = nth == 2 || point == CutPoint::After;
                assert!(!must_be_new || found.block == block(6), "{story}: went back");
                update(&*pool.disk(0), &block(found.block.sequence + 1)).expect(&story);
                assert_eq!(read(&*pool.disk(0)).expect(&story).current, COPIES, "{story}");
            }
        }
    }
}

/// Goal: initialising, cut at each sync, leaves an empty disk that can be initialised again, or a whole superblock.
#[test]
fn torn_initialise_at_each_sync() {
    for seed in 0..300 {
        for point in [CutPoint::Before, CutPoint::Halfway, CutPoint::After] {
            for nth in 1..=2 {
                let story = format!("seed {seed} {point:?} sync {nth}");
                let pool = SimPool::new(seed, 1);
                pool.cut_at(nth, point);
                initialise(&*pool.disk(0), &block(1)).unwrap_err();
                assert!(pool.reboot(), "{story}: the power went");
                match read(&*pool.disk(0)) {
                    Ok(found) => assert_eq!((found.block, found.current), (block(1), COPIES), "{story}"),
                    Err(SuperblockError::Missing { .. }) => initialise(&*pool.disk(0), &block(1)).expect(&story),
                    Err(error) => panic!("{story}: {error}"),
                }
            }
        }
    }
}

/// Goal: any three of four copies may rot, in every combination; four may not, and that is said.
#[test]
fn three_of_four_copies_rotten() {
    for good in 0..COPIES {
        let pool = SimPool::new(7, 1);
        initialise(&*pool.disk(0), &block(3)).unwrap();
        for slot in (0..COPIES).filter(|slot| *slot != good) {
            rot_copy(&pool, slot);
        }
        let found = read(&*pool.disk(0)).unwrap();
        assert_eq!((found.block, found.sound, found.current), (block(3), 1, 1), "copy {good}");
        assert_eq!(heal(&*pool.disk(0)).unwrap(), 3);
        assert_eq!(read(&*pool.disk(0)).unwrap().current, COPIES);
        assert_eq!(heal(&*pool.disk(0)).unwrap(), 0);
    }
    let pool = SimPool::new(8, 1);
    initialise(&*pool.disk(0), &block(3)).unwrap();
    (0..COPIES).for_each(|slot| rot_copy(&pool, slot));
    assert!(matches!(read(&*pool.disk(0)), Err(SuperblockError::Corrupt { .. })));
    assert!(matches!(update(&*pool.disk(0), &block(4)), Err(SuperblockError::Corrupt { .. })));
}

/// Goal: copies that cannot be read, and a file that was cut, cost nothing but those copies.
#[test]
fn unreadable_and_truncated_copies() {
    let pool = SimPool::new(9, 1);
    initialise(&*pool.disk(0), &block(3)).unwrap();
    pool.add_rule(Rule::new(OpKind::Read, 1, Effect::Eio));
    let found = read(&*pool.disk(0)).unwrap();
    assert_eq!((found.sound, found.current), (3, 3));

    let file = pool.disk(0).open(SUPERBLOCK_FILE).unwrap();
    file.set_len(SLOT_LEN as u64 + 100).unwrap();
    assert_eq!(read(&*pool.disk(0)).unwrap().sound, 1);
    assert_eq!(heal(&*pool.disk(0)).unwrap(), 3);
    file.set_len(100).unwrap();
    assert!(matches!(read(&*pool.disk(0)), Err(SuperblockError::Corrupt { .. })));
}

/// Goal: a folder that holds anything is never taken over, nor a disk of a pool, nor one of a newer release.
#[test]
fn nothing_is_taken_over() {
    let pool = SimPool::new(10, 5);
    let (files, folders, taken, newer, fresh) = (pool.disk(0), pool.disk(1), pool.disk(2), pool.disk(3), pool.disk(4));
    write_small(&*files, "letter.txt", b"dear").unwrap();
    folders.make_folder("photos").unwrap();
    initialise(&*taken, &block(1)).unwrap();
    let mut slot = block(1).to_slot();
    slot[8] = 0xFF;
    let end = SLOT_LEN - 8;
    let crc = kovcheg_format::checksum::crc64(&slot[..end]);
    slot[end..].copy_from_slice(&crc.to_le_bytes());
    write_small(&*newer, SUPERBLOCK_FILE, &slot.repeat(COPIES)).unwrap();
    fresh.make_folder("lost+found").unwrap();

    let found = |result| match result {
        Err(SuperblockError::Foreign { found, .. }) => found,
        other => panic!("{other:?}"),
    };
    assert_eq!(found(initialise(&*files, &block(1))), "letter.txt");
    assert_eq!(found(initialise(&*folders, &block(1))), "photos");
    assert!(matches!(initialise(&*taken, &block(2)), Err(SuperblockError::Taken { .. })));
    assert!(matches!(initialise(&*newer, &block(2)), Err(SuperblockError::TooNew { .. })));
    initialise(&*fresh, &block(1)).unwrap();

    let other = Superblock { disk: DiskId([3; 16]), ..block(2) };
    assert!(matches!(update(&*taken, &other), Err(SuperblockError::OtherDisk { .. })));
    assert_eq!(read(&*taken).unwrap().block, block(1));
}

/// Goal: what an interrupted first start leaves is taken over; once the pool was opened for writing, nothing is.
#[test]
fn only_a_pool_never_opened_is_replaced() {
    let pool = SimPool::new(11, 1);
    let disk = pool.disk(0);
    let other = Superblock { pool: PoolId([8; 16]), ..block(0) };
    initialise(&*disk, &other).unwrap();
    write_small(&*disk, "keyring", b"of the other pool").unwrap();
    disk.make_folder("journal").unwrap();
    initialise(&*disk, &block(0)).unwrap();
    assert_eq!(read(&*disk).unwrap().block, block(0));
    update(&*disk, &block(1)).unwrap();
    let result = initialise(&*disk, &other);
    assert!(matches!(result, Err(SuperblockError::Taken { .. })), "{result:?}");
}

/// Goal: copies that name different disks or pools refuse the file, whichever has the highest sequence (docs/format.md §3), so that
/// no update goes over them. Method: each copy in turn replaced by one of another disk or pool, older and newer.
#[test]
fn copies_of_different_disks_are_refused() {
    for slot in 0..COPIES {
        for (sequence, pool_id, disk_id) in [(1, [1; 16], [3; 16]), (9, [1; 16], [3; 16]), (1, [8; 16], [2; 16])] {
            let pool = SimPool::new(1, 1);
            let disk = pool.disk(0);
            initialise(&*disk, &block(3)).unwrap();
            let mut file = block(3).to_slot().repeat(COPIES);
            let other = Superblock { pool: PoolId(pool_id), disk: DiskId(disk_id), ..block(sequence) };
            file[slot * SLOT_LEN..(slot + 1) * SLOT_LEN].copy_from_slice(&other.to_slot());
            write_small(&*disk, SUPERBLOCK_FILE, &file).unwrap();
            assert!(matches!(read(&*disk), Err(SuperblockError::Mixed { .. })), "slot {slot}");
            assert!(matches!(update(&*disk, &block(20)), Err(SuperblockError::Mixed { .. })), "slot {slot}");
        }
    }
}
