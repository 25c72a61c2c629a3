//! The simulation itself: it must lose what it may lose, and nothing else.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::{CutPoint, SimPool};
use crate::disk::{AlignedBuf, Disk, DiskError, DiskFile};
use crate::testing::faults::{Effect, OpKind, Rule};

const DEADLINE: Duration = Duration::from_secs(5);

fn filled(byte: u8, blocks: usize) -> Arc<AlignedBuf> {
    Arc::new(AlignedBuf::from_bytes(&vec![byte; blocks * 4096]))
}

fn put(file: &dyn DiskFile, offset: u64, byte: u8, blocks: usize) {
    file.write(offset, filled(byte, blocks)).wait(DEADLINE).unwrap();
}

fn sync(file: &dyn DiskFile) {
    file.sync().wait(DEADLINE).unwrap();
}

/// A durable file of two blocks of ones.
fn ones(disk: &dyn Disk) -> Arc<dyn DiskFile> {
    let file = disk.create("a").unwrap();
    put(&*file, 0, 1, 2);
    sync(&*file);
    disk.sync_folder("").unwrap();
    file
}

fn bytes_of(pool: &SimPool, name: &str) -> Option<Vec<u8>> {
    pool.files(0).into_iter().find(|(found, _)| found == name).map(|(_, bytes)| bytes)
}

/// Goal: what was answered before a sync is there after every cut; what was not synced is there sometimes, sometimes
/// not, sometimes in part (also torn inside a block), over many seeds.
#[test]
fn synced_stays_unsynced_varies() {
    let mut outcomes = BTreeSet::new();
    let mut torn_inside_block = false;
    for seed in 0..400 {
        let pool = SimPool::new(seed, 1);
        let file = ones(&*pool.disk(0));
        put(&*file, 4096, 2, 2);
        pool.cut();
        assert!(matches!(file.sync().wait(DEADLINE), Err(DiskError::Closed { .. })));
        assert!(pool.reboot());
        assert!(matches!(file.len(), Err(DiskError::Closed { .. })), "old handles stay closed");
        let bytes = bytes_of(&pool, "a").expect("its name was synced");
        assert_eq!(&bytes[..4096], &[1; 4096], "seed {seed}: synced and not written since");
        let second = &bytes[4096..8192];
        assert!(second.iter().all(|&byte| byte == 1 || byte == 2), "seed {seed}");
        torn_inside_block |= second.contains(&1) && second.contains(&2);
        outcomes.insert((second.contains(&2), bytes.len() > 8192, bytes[8192..].contains(&2)));
    }
    assert!(torn_inside_block, "no write tore inside a block");
    assert!(outcomes.len() >= 5, "too tame: {outcomes:?}");
}

/// Goal: a sync submitted while a write's answer was not taken yet promises nothing for it.
#[test]
fn sync_covers_only_answers_taken() {
    let mut lost = 0;
    for seed in 0..100 {
        let pool = SimPool::new(seed, 1);
        let file = ones(&*pool.disk(0));
        let write = file.write(0, filled(2, 1));
        let flush = file.sync();
        write.wait(DEADLINE).unwrap();
        flush.wait(DEADLINE).unwrap();
        pool.reboot();
        lost += u32::from(bytes_of(&pool, "a").unwrap()[..4096] != [2; 4096]);
    }
    assert!(lost > 10, "a racing sync was honoured ({lost} of 100 lost)");
}

/// Goal: names live and die by folder syncs, not by file syncs.
#[test]
fn names_need_their_folder_synced() {
    let mut seen = BTreeSet::new();
    for seed in 0..100 {
        let pool = SimPool::new(seed, 1);
        let disk = pool.disk(0);
        ones(&*disk);
        sync(&*disk.create("new").unwrap());
        disk.rename("a", "b").unwrap();
        pool.reboot();
        let names = pool.disk(0).list("").unwrap();
        assert_eq!(
            names.iter().filter(|name| *name == "a" || *name == "b").count(),
            1,
            "renames are atomic: {names:?}"
        );
        seen.insert(names);
    }
    assert_eq!(seen.len(), 4, "{seen:?}");

    let pool = SimPool::new(1, 1);
    let disk = pool.disk(0);
    disk.make_folder("from").unwrap();
    disk.make_folder("to").unwrap();
    disk.create("from/x").unwrap();
    disk.sync_folder("from").unwrap();
    disk.rename("from/x", "to/x").unwrap();
    disk.sync_folder("from").unwrap();
    disk.sync_folder("to").unwrap();
    disk.create("from/x").unwrap();
    disk.remove("to/x").unwrap();
    disk.sync_folder("from").unwrap();
    disk.sync_folder("to").unwrap();
    pool.reboot();
    let disk = pool.disk(0);
    assert_eq!((disk.list("from").unwrap(), disk.list("to").unwrap()), (vec!["x".to_owned()], vec![]));
}

/// Goal: the cut comes at the sync asked for, at the point asked for, and syncs are counted over all disks.
#[test]
fn cut_points() {
    for seed in 0..50 {
        for (point, expected) in [(CutPoint::Before, None), (CutPoint::Halfway, None), (CutPoint::After, Some(2))] {
            let pool = SimPool::new(seed, 2);
            let (one, two) = (ones(&*pool.disk(0)), ones(&*pool.disk(1)));
            assert_eq!(pool.syncs(), 4);
            pool.cut_at(6, point);
            put(&*two, 0, 2, 1);
            sync(&*two);
            put(&*one, 0, 2, 1);
            assert!(matches!(one.sync().wait(DEADLINE), Err(DiskError::Closed { .. })));
            assert!(!pool.is_on());
            assert!(pool.reboot());
            assert_eq!(pool.files(1)[0].1[0], 2, "answered before the cut");
            let found = pool.files(0)[0].1[0];
            assert!(expected.is_none_or(|expected| expected == found), "{point:?}: {found}");
        }
    }
}

/// Goal: each fault does what its name says.
#[test]
fn faults_by_rule() {
    let fresh = || {
        let pool = SimPool::new(3, 1);
        let file = ones(&*pool.disk(0));
        (pool, file)
    };
    let (pool, file) = fresh();
    pool.add_rule(Rule::new(OpKind::Write, 2, Effect::Eio));
    put(&*file, 0, 2, 1);
    assert!(matches!(file.write(0, filled(3, 1)).wait(DEADLINE), Err(DiskError::Io { .. })));
    put(&*file, 0, 4, 1);

    let (pool, file) = fresh();
    pool.add_rule(Rule::new(OpKind::Write, 1, Effect::Lose));
    put(&*file, 0, 2, 1);
    assert_eq!(file.read(0, 4096).wait(DEADLINE).unwrap()[0], 1, "the old bytes");

    let (pool, file) = fresh();
    pool.add_rule(Rule::new(OpKind::Write, 1, Effect::Misdirect));
    put(&*file, 0, 2, 1);
    let bytes = pool.files(0).remove(0).1;
    assert_eq!((bytes[0], bytes.contains(&2)), (1, true), "elsewhere");

    let (pool, file) = fresh();
    pool.add_rule(Rule::new(OpKind::Read, 1, Effect::Flip));
    assert_ne!(file.read(0, 4096).wait(DEADLINE).unwrap()[..], [1; 4096]);
    assert_eq!(file.read(0, 4096).wait(DEADLINE).unwrap()[..], [1; 4096]);

    let (pool, file) = fresh();
    pool.add_rule(Rule::new(OpKind::Read, 1, Effect::Hang));
    pool.add_rule(Rule::new(OpKind::Read, 2, Effect::Delay(Duration::from_millis(1))));
    assert!(matches!(file.read(0, 4096).wait(Duration::from_millis(5)), Err(DiskError::Late(_))));
    assert_eq!(file.read(0, 4096).wait(DEADLINE).unwrap()[..], [1; 4096]);

    pool.set_capacity(0, 3 * 4096);
    put(&*file, 8192, 2, 1);
    assert!(matches!(file.write(12_288, filled(2, 1)).wait(DEADLINE), Err(DiskError::Full { .. })));
    put(&*file, 0, 3, 3);
    pool.set_missing(0, true);
    assert!(matches!(file.read(0, 4096).wait(DEADLINE), Err(DiskError::Io { .. })));
    assert!(pool.disk(0).probe().is_err());
}

/// Goal: what a failed sync covered is not made durable by the next one.
#[test]
fn failed_sync_dooms() {
    let mut lost = 0;
    for seed in 0..100 {
        let pool = SimPool::new(seed, 1);
        let file = ones(&*pool.disk(0));
        put(&*file, 0, 2, 1);
        pool.add_rule(Rule::new(OpKind::Sync, 1, Effect::Eio));
        assert!(matches!(file.sync().wait(DEADLINE), Err(DiskError::Io { .. })));
        sync(&*file);
        pool.reboot();
        lost += u32::from(bytes_of(&pool, "a").unwrap()[..4096] != [2; 4096]);
    }
    assert!(lost > 10, "retrying a failed sync helped ({lost} of 100 lost)");
}

/// Goal: hooks see every write and sync, and what is frozen at a sync can be started again any number of times without
/// touching the pool.
#[test]
fn hooks_and_frozen_moments() {
    let pool = SimPool::new(5, 2);
    let writes = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&writes);
    pool.on_write(Box::new(move |disk, name, offset, bytes| {
        log.lock().push((disk, name.to_owned(), offset, bytes[0]))
    }));
    let moments = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&moments);
    pool.on_sync(Box::new(move |number, frozen| log.lock().push((number, frozen))));
    let file = ones(&*pool.disk(1));
    put(&*file, 0, 2, 2);
    sync(&*file);
    assert_eq!(*writes.lock(), [(1, "a".to_owned(), 0, 1), (1, "a".to_owned(), 0, 2)]);
    let moments = std::mem::take(&mut *moments.lock());
    assert_eq!(moments.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2, 3]);
    let mut seen = BTreeSet::new();
    for seed in 0..100 {
        seen.insert(moments[2].1.thaw(seed).files(1)[0].1[0]);
        assert_eq!(moments[2].1.thaw(seed).files(1), moments[2].1.thaw(seed).files(1), "seed {seed} repeats");
    }
    assert_eq!(seen, BTreeSet::from([1, 2]));
    assert_eq!(pool.files(1)[0].1[0], 2, "the pool went on");
}

/// Goal: emptied, truncated, rotten and stale disks are what they are called.
#[test]
fn disks_changed_by_hand() {
    let pool = SimPool::new(6, 1);
    let file = ones(&*pool.disk(0));
    let stale = pool.image(0);
    pool.rot_some(0, "a", 0, 8192, 5);
    let bytes = bytes_of(&pool, "a").unwrap();
    assert_eq!(bytes.iter().filter(|&&byte| byte != 1).count(), 5);
    put(&*file, 0, 2, 1);
    pool.put_image(0, stale);
    assert!(matches!(file.len(), Err(DiskError::Closed { .. })));
    assert_eq!(bytes_of(&pool, "a").unwrap(), vec![1; 8192]);
    for _ in 0..20 {
        pool.truncate_files(0);
    }
    assert!(bytes_of(&pool, "a").unwrap().len() < 8192);
    pool.empty(0);
    assert!(pool.disk(0).list("").unwrap().is_empty());
}
