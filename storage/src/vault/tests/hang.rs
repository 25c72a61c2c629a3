//! Goal: a disk that does not answer is fenced and costs nothing but the wait: what is written meanwhile is acknowledged at the width
//! of the other disks, what is read goes around it, the vault stops when it is told to, and starts without it (R4, R13). Method: from
//! some moment on every operation of a kind on one disk hangs, for every kind; in the end two other disks go.

use std::time::Duration;

use kovcheg_format::record::pool::DiskState;

use super::{Stored, bytes, check, fill, fresh};
use crate::testing::driver::{get, put};
use crate::testing::faults::{Effect, OpKind, Rule};
use crate::testing::sim_disk::SimPool;
use crate::testing::world::{World, small_config};
use crate::vault::Vault;

/// Longer than anything a machine under load does to a simulated disk that works.
const DEADLINE: Duration = Duration::from_secs(2);

fn world(name: &str) -> World {
    let mut config = small_config();
    config.io_deadline = DEADLINE;
    World::with_config(name, config)
}

fn state_of(vault: &Vault, label: &str) -> DiskState {
    let slot = vault.engine().disks.slots().iter().find(|slot| slot.label == label).cloned();
    slot.map_or(DiskState::Missing, |slot| slot.state())
}

fn is_whole_without(world: &World, pool: &SimPool, gone: [usize; 2], stored: &[Stored]) {
    let pool = pool.freeze().thaw(5);
    let disks = (0..6).filter(|disk| !gone.contains(disk)).map(|disk| pool.disk(disk)).collect();
    let opened = world.open(disks, fresh()).unwrap();
    stored.iter().for_each(|stored| check(&opened.vault, stored));
}

fn hangs(kind: OpKind, file: &'static str) {
    let (world, pool, index) = (world("hang"), SimPool::new(91, 6), fresh());
    let opened = world.open(pool.disks(), index.clone()).unwrap();
    let first = fill(&opened.vault, 1);
    pool.add_rule(Rule::new(kind, 1, Effect::Hang).on_disk(5).on_file(file).times(u64::MAX));
    let stored = [first, fill(&opened.vault, 2)];
    stored.iter().for_each(|stored| check(&opened.vault, stored));
    assert!(!pool.hits().is_empty(), "{kind:?} of {file}: nothing hung");
    assert_eq!(state_of(&opened.vault, "sim5"), DiskState::Fenced, "{kind:?} of {file}");
    assert_eq!(opened.vault.engine().disks.width_now(), Some(3));
    opened.vault.close().unwrap();
    // A start with a disk that hangs.
    let opened = world.open(pool.disks(), index).unwrap();
    assert_ne!(state_of(&opened.vault, "sim5"), DiskState::Serving, "{kind:?} of {file}");
    put(opened.vault.engine(), "ledger", "more", &bytes(9, 90_000)).unwrap();
    stored.iter().for_each(|stored| check(&opened.vault, stored));
    opened.vault.close().unwrap();
    // The disk is itself again: it is caught up, and two others may go.
    pool.clear_rules();
    pool.release_hung();
    let opened = world.open(pool.disks(), fresh()).unwrap();
    assert_eq!(state_of(&opened.vault, "sim5"), DiskState::Serving, "{kind:?} of {file}");
    assert!(get(opened.vault.engine(), "ledger", "more").unwrap() == bytes(9, 90_000));
    opened.vault.close().unwrap();
    is_whole_without(&world, &pool, [0, 3], &stored);
}

#[test]
fn writes_that_hang() {
    hangs(OpKind::Write, "");
}

#[test]
fn flushes_that_hang() {
    hangs(OpKind::Sync, "");
}

#[test]
fn creations_that_hang() {
    hangs(OpKind::Create, "");
}

#[test]
fn reads_that_hang() {
    hangs(OpKind::Read, "");
}

/// Goal: whatever else may hang (opening, lengths, free space, lists) at any moment of a start and a life ends by the deadline.
#[test]
fn names_that_hang() {
    let (world, pool, index) = (world("hang-names"), SimPool::new(92, 6), fresh());
    let opened = world.open(pool.disks(), index.clone()).unwrap();
    let stored = [fill(&opened.vault, 1)];
    opened.vault.close().unwrap();
    let base = pool.freeze();
    for nth in [1, 2, 3, 5, 8, 13, 21] {
        let (pool, index) = (base.thaw(1), std::sync::Arc::new(index.crash()));
        pool.add_rule(Rule::new(OpKind::Name, nth, Effect::Hang).on_disk(5).times(u64::MAX));
        let opened = world.open(pool.disks(), index).unwrap_or_else(|error| panic!("operation {nth}: {error}"));
        assert_eq!(opened.vault.handle().status().disks.len(), 6);
        put(opened.vault.engine(), "ledger", "more", &bytes(9, 90_000)).unwrap();
        check(&opened.vault, &stored[0]);
        opened.vault.close().unwrap();
        pool.clear_rules();
        pool.release_hung();
        let opened = world.open(pool.disks(), fresh()).unwrap();
        assert!(get(opened.vault.engine(), "ledger", "more").unwrap() == bytes(9, 90_000));
        opened.vault.close().unwrap();
        is_whole_without(&world, &pool, [1, 2], &stored);
    }
}

/// Goal: a slow disk is no broken one.
#[test]
fn slow_disks_are_not_fenced() {
    let (world, pool) = (World::new("slow"), SimPool::new(93, 6));
    for kind in OpKind::ALL {
        pool.add_rule(Rule::new(kind, 1, Effect::Delay(Duration::from_millis(2))).on_disk(5).times(u64::MAX));
    }
    let opened = world.open(pool.disks(), fresh()).unwrap();
    let stored = fill(&opened.vault, 1);
    check(&opened.vault, &stored);
    assert_eq!(state_of(&opened.vault, "sim5"), DiskState::Serving);
    opened.vault.close().unwrap();
}
