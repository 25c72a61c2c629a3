//! Goal: a disk counts only when it was proved to hold what it should: after a start that was cut off while it was caught up, after a
//! fence that an earlier life noted, and however much it lacks (R13, R15, W-1). Method: a disk that answered writes and lost or
//! spoilt them; then a cut at every sync of the start that takes it back, or a restart; then two other disks go.

use std::sync::Arc;

use kovcheg_format::record::pool::DiskState;
use parking_lot::Mutex;

use super::{Stored, bytes, check, fill, fresh};
use crate::disk::Disk;
use crate::testing::driver::{create_bucket, get, put};
use crate::testing::faults::{Effect, OpKind, Rule};
use crate::testing::sim_disk::SimPool;
use crate::testing::world::World;
use crate::vault::Vault;

fn without(pool: &SimPool, gone: &[usize]) -> Vec<Arc<dyn Disk>> {
    (0..6).filter(|disk| !gone.contains(disk)).map(|disk| pool.disk(disk)).collect()
}

fn state_of(vault: &Vault, label: &str) -> DiskState {
    vault.engine().disks.slots().iter().find(|slot| slot.label == label).unwrap().state()
}

/// Rots every data segment on disk 5.
fn spoil(pool: &SimPool) {
    for (file, content) in pool.files(5).into_iter().filter(|(file, _)| file.starts_with("segments/")) {
        pool.rot(5, &file, 0, content.len() as u64);
    }
}

/// Makes the vault fence disk 5 for a failed write.
fn have_fenced(pool: &SimPool, vault: &Vault, seed: u64) -> Stored {
    pool.add_rule(Rule::new(OpKind::Write, 1, Effect::Eio).on_disk(5).on_file("journal/"));
    let stored = fill(vault, seed);
    pool.clear_rules();
    assert_eq!(state_of(vault, "sim5"), DiskState::Fenced);
    stored
}

fn gone_in_pairs(world: &World, pool: &SimPool, stored: &[Stored], place: &str) {
    for pair in [[0, 1], [1, 3], [2, 4]] {
        let pool = pool.freeze().thaw(5);
        let opened = world.open(without(&pool, &pair), fresh()).unwrap_or_else(|error| panic!("{place}: {error}"));
        stored.iter().for_each(|stored| check(&opened.vault, stored));
    }
}

#[test]
fn a_start_that_is_cut_off_leaves_a_returning_disk_returning() {
    let (world, pool) = (World::new("cut-return"), SimPool::new(61, 6));
    let opened = world.open(pool.disks(), fresh()).unwrap();
    pool.add_rule(Rule::new(OpKind::Write, 1, Effect::Lose).on_disk(5).on_file("segments/").times(u64::MAX));
    let first = fill(&opened.vault, 1);
    pool.clear_rules();
    opened.vault.close().unwrap();
    let opened = world.open(without(&pool, &[5]), fresh()).unwrap();
    let stored = vec![first, fill(&opened.vault, 2)];
    opened.vault.close().unwrap();
    let moments = Arc::new(Mutex::new(Vec::new()));
    let kept = moments.clone();
    pool.on_sync(Box::new(move |sync, frozen| kept.lock().push((sync, frozen))));
    drop(world.open(pool.disks(), fresh()).unwrap());
    pool.on_sync(Box::new(|_, _| ()));
    let moments = std::mem::take(&mut *moments.lock());
    assert!(moments.len() > 20, "only {} syncs", moments.len());
    for (sync, frozen) in moments {
        let pool = frozen.thaw(sync);
        let opened = world.open(pool.disks(), fresh()).unwrap();
        assert_eq!(state_of(&opened.vault, "sim5"), DiskState::Serving, "sync {sync}");
        drop(opened);
        gone_in_pairs(&world, &pool, &stored, &format!("cut at sync {sync}"));
    }
}

#[test]
fn a_fence_outlives_the_process_until_the_disk_has_proved_itself() {
    for away_in_between in [false, true] {
        let (world, pool) = (World::new("fence-kept"), SimPool::new(62, 6));
        let opened = world.open(pool.disks(), fresh()).unwrap();
        let mut stored = vec![fill(&opened.vault, 1)];
        opened.vault.close().unwrap();
        let opened = world.open(pool.disks(), fresh()).unwrap();
        stored.push(have_fenced(&pool, &opened.vault, 2));
        opened.vault.close().unwrap();
        spoil(&pool);
        if away_in_between {
            let opened = world.open(without(&pool, &[5]), fresh()).unwrap();
            stored.push(fill(&opened.vault, 3));
            opened.vault.close().unwrap();
        }
        let opened = world.open(pool.disks(), fresh()).unwrap();
        assert_eq!(state_of(&opened.vault, "sim5"), DiskState::Serving, "it took all repairs");
        opened.vault.close().unwrap();
        gone_in_pairs(&world, &pool, &stored, &format!("away in between: {away_in_between}"));
    }
}

#[test]
fn a_fenced_disk_that_takes_no_repairs_stays_fenced() {
    let (world, pool, index) = (World::new("fence-stays"), SimPool::new(63, 6), fresh());
    let opened = world.open(pool.disks(), index.clone()).unwrap();
    let mut stored = vec![fill(&opened.vault, 1), have_fenced(&pool, &opened.vault, 2)];
    opened.vault.close().unwrap();
    spoil(&pool);
    pool.add_rule(Rule::new(OpKind::Write, 1, Effect::Eio).on_disk(5).on_file("segments/").times(u64::MAX));
    for seed in 3..5 {
        let opened = world.open(pool.disks(), index.clone()).unwrap();
        assert_eq!(state_of(&opened.vault, "sim5"), DiskState::Fenced);
        stored.push(fill(&opened.vault, seed));
        stored.iter().for_each(|stored| check(&opened.vault, stored));
        opened.vault.close().unwrap();
    }
    pool.clear_rules();
    let opened = world.open(pool.disks(), index).unwrap();
    assert_eq!(state_of(&opened.vault, "sim5"), DiskState::Serving);
    drop(opened);
    gone_in_pairs(&world, &pool, &stored, "after it took the repairs");
}

#[test]
fn a_disk_that_lacks_thousands_of_stripes_is_caught_up() {
    // With its index, so that nothing is put back by replay.
    let (world, pool, index) = (World::new("lacks-thousands"), SimPool::new(64, 6), fresh());
    let opened = world.open(pool.disks(), index.clone()).unwrap();
    create_bucket(opened.vault.engine(), "ledger").unwrap();
    pool.add_rule(Rule::new(OpKind::Write, 1, Effect::Lose).on_disk(5).on_file("journal/").times(u64::MAX));
    for n in 0..2_300 {
        put(opened.vault.engine(), "ledger", &format!("n-{n}"), &bytes(n, 40)).unwrap();
    }
    pool.clear_rules();
    opened.vault.close().unwrap();
    world.open(without(&pool, &[5]), index.clone()).unwrap().vault.close().unwrap();
    let opened = world.open(pool.disks(), index).unwrap();
    assert_eq!(state_of(&opened.vault, "sim5"), DiskState::Serving, "{}", opened.vault.engine().disks.complaints());
    opened.vault.close().unwrap();
    let opened = world.open(without(&pool, &[1, 3]), fresh()).unwrap();
    for n in (0..2_300).step_by(100) {
        assert!(get(opened.vault.engine(), "ledger", &format!("n-{n}")).unwrap() == bytes(n, 40));
    }
}
