//! Goal: a process without descriptors says so and goes on when it has some again; no disk is fenced for it, nothing is lost
//! (R13 is about disks). Method: EMFILE where files are made and opened, on all disks.

use kovcheg_format::record::pool::DiskState;

use super::{bytes, check, fill, fresh};
use crate::error::StorageError;
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
