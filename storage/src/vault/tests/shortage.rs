//! Goal: a process without descriptors says so and goes on when it has some again; no disk is fenced for it, nothing is lost
//! (R13 is about disks). Method: EMFILE where files are made and opened, on all disks. And a full disk is a sound one: new segments go
//! elsewhere; when all are full new data is refused, while reads and deletes go on. Method: disks whose size is set.

use kovcheg_format::record::pool::DiskState;

use super::{bytes, check, delete, fill, fresh};
use crate::error::StorageError;
use crate::segment::room::RESERVE_BYTES;
use crate::testing::driver::{get, put};
use crate::testing::faults::{Effect, OpKind, Rule};
use crate::testing::sim_disk::SimPool;
use crate::testing::world::World;
use crate::vault::Vault;

fn all_serve(vault: &Vault) {
    for slot in vault.engine().disks.slots() {
        assert_eq!(slot.state(), DiskState::Serving, "{}", slot.label);
        assert_eq!(slot.status().bad_ranges, 0, "{}", slot.label);
    }
}

#[test]
fn data_segments_without_descriptors_refuse_the_put_and_no_more() {
    let (world, pool) = (World::new("shortage-put"), SimPool::new(41, 6));
    let opened = world.open(pool.disks(), fresh()).unwrap();
    let stored = fill(&opened.vault, 1);
    pool.add_rule(Rule::new(OpKind::Create, 1, Effect::Emfile).on_file("segments/").times(u64::MAX));
    let engine = opened.vault.engine();
    let large = bytes(7, 2_000_000);
    let refused = put(engine, "ledger", "large", &large);
    assert!(matches!(refused, Err(StorageError::Exhausted(_))), "{refused:?}");
    all_serve(&opened.vault);
    put(engine, "ledger", "small", b"small ones need no new segment").unwrap();
    pool.clear_rules();
    put(engine, "ledger", "large", &large).unwrap();
    assert!(get(engine, "ledger", "large").unwrap() == large);
    check(&opened.vault, &stored);
}

#[test]
fn the_journal_waits_for_descriptors() {
    let (world, pool) = (World::new("shortage-journal"), SimPool::new(42, 6));
    let opened = world.open(pool.disks(), fresh()).unwrap();
    let stored = fill(&opened.vault, 1);
    pool.add_rule(Rule::new(OpKind::Create, 1, Effect::Emfile).on_file("journal/").times(3));
    for n in 0..40 {
        put(opened.vault.engine(), "ledger", &format!("n-{n}"), &bytes(n, 6000)).unwrap();
    }
    assert_eq!(pool.hits().len(), 3, "the journal was not rolled");
    all_serve(&opened.vault);
    check(&opened.vault, &stored);
}

#[test]
fn reads_without_descriptors_are_no_bad_ranges() {
    let (world, pool) = (World::new("shortage-read"), SimPool::new(43, 6));
    let opened = world.open(pool.disks(), fresh()).unwrap();
    let content = bytes(9, 300_000);
    super::create_bucket(opened.vault.engine(), "ledger").unwrap();
    put(opened.vault.engine(), "ledger", "object", &content).unwrap();
    opened.vault.close().unwrap();
    let opened = world.open(pool.disks(), fresh()).unwrap();
    pool.add_rule(Rule::new(OpKind::Name, 1, Effect::Emfile).on_file("segments/").times(u64::MAX));
    let refused = get(opened.vault.engine(), "ledger", "object");
    assert!(matches!(refused, Err(StorageError::Exhausted(_))), "{:?}", refused.map(|bytes| bytes.len()));
    all_serve(&opened.vault);
    pool.clear_rules();
    assert!(get(opened.vault.engine(), "ledger", "object").unwrap() == content);
}

/// Longer than the free space of disks is taken for known.
fn look_again() {
    std::thread::sleep(std::time::Duration::from_millis(1100));
}

#[test]
fn one_full_disk_gets_no_new_segments_and_is_not_fenced() {
    let (world, pool) = (World::new("one-full"), SimPool::new(44, 6));
    let opened = world.open(pool.disks(), fresh()).unwrap();
    let mut stored = fill(&opened.vault, 1);
    pool.set_capacity(2, RESERVE_BYTES);
    look_again();
    let before = pool.files(2).iter().filter(|(file, _)| file.starts_with("segments/")).count();
    for seed in 2..5 {
        stored.0.extend(fill(&opened.vault, seed).0);
    }
    let after = pool.files(2).iter().filter(|(file, _)| file.starts_with("segments/")).count();
    assert_eq!(after, before, "a segment was placed on a full disk");
    assert!(pool.files(3).len() > pool.files(2).len() + 3, "no segments were made at all");
    all_serve(&opened.vault);
    drop(opened);
    let two_gone = [0, 1, 3, 5].map(|disk| pool.disk(disk)).to_vec();
    let opened = world.open(two_gone, fresh()).unwrap();
    check(&opened.vault, &stored);
}

#[test]
fn a_full_vault_refuses_new_data_and_goes_on() {
    let (world, pool) = (World::new("all-full"), SimPool::new(45, 6));
    let opened = world.open(pool.disks(), fresh()).unwrap();
    let stored = fill(&opened.vault, 1);
    let engine = opened.vault.engine();
    (0..6).for_each(|disk| pool.set_capacity(disk, RESERVE_BYTES));
    look_again();
    for len in [100, 5000, 2_000_000] {
        let refused = put(engine, "ledger", "new", &bytes(70, len));
        assert!(matches!(refused, Err(StorageError::Full(_))), "{len}: {refused:?}");
    }
    delete(engine, "ledger", "1/object-0").unwrap();
    check(&opened.vault, &super::Stored(stored.0[1..].to_vec()));
    all_serve(&opened.vault);
    (0..6).for_each(|disk| pool.set_capacity(disk, 8 * RESERVE_BYTES));
    // Space is seen at once where there was none.
    put(engine, "ledger", "new", &bytes(70, 2_000_000)).unwrap();
    assert!(get(engine, "ledger", "new").unwrap() == bytes(70, 2_000_000));
}
