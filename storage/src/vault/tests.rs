//! Goal: what a vault acknowledged comes back: after reopening, with two of six disks gone, with rotten shards, without its
//! index, after a disk returned. Method: the whole engine on simulated disks.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod audit;
mod catch_up;
mod clock;
mod crash;
mod decay;
mod edited_index;
mod fences;
mod first_start;
mod forced;
mod forks;
mod hang;
mod holds;
mod lifecycle;
mod lock_model;
mod locks;
mod nth_fault;
mod opening;
mod quota;
mod random_model;
mod script;
mod shortage;
mod tails;
mod tenants;
mod upkeep;
mod view;
mod whole_read;

use std::sync::Arc;

use kovcheg_format::id::UploadId;
use kovcheg_format::record::pool::DiskState;

use crate::disk::Disk;
use crate::error::StorageError;
use crate::index::memory::MemoryIndex;
use crate::object::types::UploadRef;
use crate::testing::driver::{complete, create_bucket, create_upload, delete, get, get_range, put, put_part};
use crate::testing::faults::Rng;
use crate::testing::sim_disk::SimPool;
use crate::testing::world::World;
use crate::vault::Vault;

fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        out.extend_from_slice(&rng.bits().to_le_bytes());
    }
    out.truncate(len);
    out
}

struct Stored(Vec<(String, Vec<u8>)>);

fn fill(vault: &Vault, seed: u64) -> Stored {
    let engine = vault.engine();
    if seed == 1 {
        create_bucket(engine, "ledger").unwrap();
    }
    let mut stored = Vec::new();
    for (at, len) in [0, 1, 100, 5000, 9000, 70_000, 300_000, 1_000_000].into_iter().enumerate() {
        let key = format!("{seed}/object-{at}");
        let content = bytes(seed * 100 + at as u64, len);
        put(engine, "ledger", &key, &content).unwrap();
        stored.push((key, content));
    }
    Stored(stored)
}

fn check(vault: &Vault, stored: &Stored) {
    for (key, content) in &stored.0 {
        let found = get(vault.engine(), "ledger", key).unwrap_or_else(|error| panic!("{key}: {error}"));
        assert!(found == *content, "{key} differs");
    }
}

fn fresh() -> Arc<MemoryIndex> {
    Arc::new(MemoryIndex::new())
}

#[test]
fn round_trip_and_reopen() {
    let (world, pool, index) = (World::new("round-trip"), SimPool::new(1, 6), fresh());
    let opened = world.open(pool.disks(), index.clone()).unwrap();
    assert!(opened.first_start.is_some());
    let stored = fill(&opened.vault, 1);
    check(&opened.vault, &stored);
    opened.vault.close().unwrap();
    let opened = world.open(pool.disks(), index).unwrap();
    assert!(opened.first_start.is_none());
    check(&opened.vault, &stored);
    delete(opened.vault.engine(), "ledger", "1/object-3").unwrap();
    assert!(matches!(get(opened.vault.engine(), "ledger", "1/object-3"), Err(StorageError::NoSuchKey)));
    opened.vault.close().unwrap();
    let opened = world.open(pool.disks(), fresh()).unwrap();
    assert!(matches!(get(opened.vault.engine(), "ledger", "1/object-3"), Err(StorageError::NoSuchKey)));
}

#[test]
fn index_gone_and_any_two_disks_gone() {
    let (world, pool) = (World::new("two-gone"), SimPool::new(2, 6));
    let opened = world.open(pool.disks(), fresh()).unwrap();
    let stored = fill(&opened.vault, 1);
    drop(opened);
    for first in 0..6 {
        for second in first + 1..6 {
            let frozen = pool.freeze().thaw(7);
            let disks: Vec<Arc<dyn Disk>> =
                (0..6).filter(|disk| *disk != first && *disk != second).map(|disk| frozen.disk(disk)).collect();
            let opened = world.open(disks, fresh()).unwrap();
            check(&opened.vault, &stored);
            let more = fill(&opened.vault, 2);
            check(&opened.vault, &more);
        }
    }
}

/// Without an index three of six disks cannot tell what there was: a typed error, never an empty vault. With it, what is in narrower
/// stripes or in none (names, empty objects) is read, and the rest is a typed error.
#[test]
fn three_disks_gone_reads_what_it_can_and_refuses_writes() {
    let (world, pool, index) = (World::new("three-gone"), SimPool::new(3, 6), fresh());
    let opened = world.open(pool.disks(), index.clone()).unwrap();
    let stored = fill(&opened.vault, 1);
    opened.vault.close().unwrap();
    let disks = || (0..3).map(|disk| pool.disk(disk)).collect::<Vec<_>>();
    for read_only in [false, true] {
        let refused = world.open_with(disks(), fresh(), read_only).map(|_| ());
        assert!(matches!(refused, Err(StorageError::Damaged { .. })), "{refused:?}");
    }
    let opened = world.open(disks(), index).unwrap();
    let refused = put(opened.vault.engine(), "ledger", "new", b"x");
    assert!(matches!(refused, Err(StorageError::ReadOnly { .. })), "{refused:?}");
    for (key, content) in &stored.0 {
        match get(opened.vault.engine(), "ledger", key) {
            Ok(found) => assert!(found == *content, "{key}"),
            Err(StorageError::Damaged { lost, .. }) => assert!(lost >= 3 && !content.is_empty(), "{key}"),
            Err(other) => panic!("{key}: {other}"),
        }
    }
}

#[test]
fn a_disk_returns_and_two_others_go() {
    let (world, pool) = (World::new("returns"), SimPool::new(4, 6));
    let opened = world.open(pool.disks(), fresh()).unwrap();
    let first = fill(&opened.vault, 1);
    opened.vault.close().unwrap();
    let five: Vec<Arc<dyn Disk>> = (0..5).map(|disk| pool.disk(disk)).collect();
    let opened = world.open(five, fresh()).unwrap();
    let second = fill(&opened.vault, 2);
    opened.vault.close().unwrap();
    let opened = world.open(pool.disks(), fresh()).unwrap();
    assert!(opened.vault.engine().disks.slots().iter().all(|slot| slot.state() == DiskState::Serving));
    let third = fill(&opened.vault, 3);
    opened.vault.close().unwrap();
    let disks = (2..6).map(|disk| pool.disk(disk)).collect();
    let opened = world.open(disks, fresh()).unwrap();
    for stored in [&first, &second, &third] {
        check(&opened.vault, stored);
    }
}

#[test]
fn rot_on_two_disks_is_read_around_and_mended() {
    let (world, pool) = (World::new("rot"), SimPool::new(5, 6));
    let opened = world.open(pool.disks(), fresh()).unwrap();
    let stored = fill(&opened.vault, 1);
    opened.vault.close().unwrap();
    for disk in [1, 4] {
        for (file, content) in pool.files(disk) {
            if file.starts_with("segments/") || file.starts_with("journal/") {
                pool.rot_some(disk, &file, 0, content.len() as u64, 20);
            }
        }
    }
    let opened = world.open(pool.disks(), fresh()).unwrap();
    check(&opened.vault, &stored);
    let report = opened.vault.verify(None, &mut |_| std::ops::ControlFlow::Continue(())).unwrap();
    assert!(report.is_clean(), "{report:?}");
    opened.vault.close().unwrap();
    let disks = [1, 2, 4, 5].into_iter().map(|disk| pool.disk(disk)).collect();
    let opened = world.open(disks, fresh()).unwrap();
    check(&opened.vault, &stored);
}

#[test]
fn duplicates_take_no_space() {
    let (world, pool) = (World::new("dedup"), SimPool::new(6, 6));
    let opened = world.open(pool.disks(), fresh()).unwrap();
    let engine = opened.vault.engine();
    create_bucket(engine, "ledger").unwrap();
    let content = bytes(1, 2 << 20);
    put(engine, "ledger", "a", &content).unwrap();
    let before = crate::status::physical_bytes(engine).unwrap();
    put(engine, "ledger", "b", &content).unwrap();
    let after = crate::status::physical_bytes(engine).unwrap();
    assert_eq!(before.data, after.data, "no data for a duplicate");
    assert_eq!(get(engine, "ledger", "b").unwrap(), content);
}

#[test]
fn multipart_composes_and_ranges_are_exact() {
    let (world, pool) = (World::new("multipart"), SimPool::new(7, 6));
    let opened = world.open(pool.disks(), fresh()).unwrap();
    let engine = opened.vault.engine();
    create_bucket(engine, "ledger").unwrap();
    let upload = UploadRef { bucket: "ledger".into(), key: "big".into(), upload: UploadId([7; 16]) };
    create_upload(engine, &upload).unwrap();
    let (one, two) = (bytes(1, 5 << 20), bytes(2, 777_777));
    put_part(engine, &upload, 1, "one", &one).unwrap();
    put_part(engine, &upload, 2, "two", &two).unwrap();
    let whole = complete(engine, &upload, &[(1, "one"), (2, "two")]).unwrap();
    let all = [one, two].concat();
    assert_eq!(get(engine, "ledger", "big").unwrap(), all);
    let len = all.len() as u64;
    for (start, end) in
        [(0, 1), (len - 1, len), (5 << 20, (5 << 20) + 10), ((5 << 20) - 3, (5 << 20) + 3), (123, 4_000_000)]
    {
        let found = get_range(engine, whole.clone(), start, end).unwrap();
        assert!(found == all[start as usize..end as usize], "{start}..{end}");
    }
}

#[test]
fn a_checkpoint_gives_the_same_index_and_a_spoilt_one_is_not_believed() {
    let (world, pool) = (World::new("checkpoint"), SimPool::new(8, 6));
    let opened = world.open(pool.disks(), fresh()).unwrap();
    let mut stored = fill(&opened.vault, 1);
    assert!(opened.vault.engine().checkpoint().unwrap());
    stored.0.extend(fill(&opened.vault, 2).0);
    let digest = crate::index::rows::digest(opened.vault.engine().index.as_ref()).unwrap();
    drop(opened);
    let pages =
        pool.files(0).iter().filter(|(file, _)| file.starts_with("checkpoints/")).map(|(_, all)| all.len()).max();
    assert!(pages.unwrap() > 5 * 4096, "a checkpoint of one page shows little: {pages:?}");
    for spoilt in 0..6 {
        let pool = pool.freeze().thaw(9);
        for disk in 0..spoilt {
            for (file, content) in pool.files(disk).into_iter().filter(|(file, _)| file.starts_with("checkpoints/")) {
                pool.rot(disk, &file, 0, content.len() as u64);
            }
        }
        let index = fresh();
        let opened = world.open_with(pool.disks(), index.clone(), true).unwrap();
        let engine = opened.vault.engine();
        let filled =
            crate::journal::checkpoint::load(engine.reader.mender(), &engine.metadata, fresh().as_ref()).unwrap();
        assert_eq!(filled, spoilt <= 2, "{spoilt} disks with a spoilt checkpoint");
        let found = crate::index::rows::digest(index.as_ref()).unwrap();
        assert_eq!(found.to_bytes(), digest.to_bytes(), "{spoilt} disks with a spoilt checkpoint");
        assert_eq!(crate::index::digest::digest_of(index.as_ref()).unwrap().to_bytes(), digest.to_bytes());
        check(&opened.vault, &stored);
    }
}
