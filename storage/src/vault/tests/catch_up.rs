//! Goal: a disk that returns counts only once it holds all it should (R15, W-1). Method: a disk that answered writes and lost them
//! goes away and returns; from then on two others go, which nothing but its own shards can make up for.

use std::sync::Arc;

use kovcheg_format::record::pool::DiskState;

use super::{Stored, bytes, check, fill, fresh};
use crate::disk::Disk;
use crate::testing::driver::put;
use crate::testing::faults::{Effect, OpKind, Rule};
use crate::testing::sim_disk::SimPool;
use crate::testing::world::World;

fn without(pool: &SimPool, gone: &[usize]) -> Vec<Arc<dyn Disk>> {
    (0..6).filter(|disk| !gone.contains(disk)).map(|disk| pool.disk(disk)).collect()
}

/// A vault whose disk 5 lacks what `lose` made it lose in its last life, and missed one after that.
fn away(world: &World, pool: &SimPool, lose: &dyn Fn(&SimPool)) -> Vec<Stored> {
    let opened = world.open(pool.disks(), fresh()).unwrap();
    lose(pool);
    let first = fill(&opened.vault, 1);
    pool.clear_rules();
    opened.vault.close().unwrap();
    let opened = world.open(without(pool, &[5]), fresh()).unwrap();
    let second = fill(&opened.vault, 2);
    opened.vault.close().unwrap();
    vec![first, second]
}

#[test]
fn a_returning_disk_gets_back_what_it_lost() {
    for folder in ["segments/", "journal/"] {
        let (world, pool) = (World::new("catch-up"), SimPool::new(51, 6));
        let lose = |pool: &SimPool| {
            pool.add_rule(Rule::new(OpKind::Write, 1, Effect::Lose).on_disk(5).on_file(folder).times(u64::MAX));
        };
        let stored = away(&world, &pool, &lose);
        let opened = world.open(pool.disks(), fresh()).unwrap();
        let slots = opened.vault.engine().disks.slots();
        assert!(slots.iter().all(|slot| slot.state() == DiskState::Serving), "{folder}");
        let repaired: u64 = slots.iter().map(|slot| slot.repaired()).sum();
        assert!(repaired > 3, "{folder}: {repaired} shards were put back");
        opened.vault.close().unwrap();
        for pair in [[0, 1], [1, 3], [2, 4]] {
            let pool = pool.freeze().thaw(5);
            let opened = world.open(without(&pool, &pair), fresh()).unwrap();
            stored.iter().for_each(|stored| check(&opened.vault, stored));
        }
    }
}

#[test]
fn a_returning_disk_that_cannot_be_caught_up_does_not_count() {
    let (world, pool) = (World::new("catch-up-fails"), SimPool::new(52, 6));
    let lose = |pool: &SimPool| {
        pool.add_rule(Rule::new(OpKind::Write, 1, Effect::Lose).on_disk(5).on_file("segments/").times(u64::MAX));
    };
    let stored = away(&world, &pool, &lose);
    pool.add_rule(Rule::new(OpKind::Write, 1, Effect::Eio).on_disk(5).on_file("segments/").times(u64::MAX));
    let opened = world.open(pool.disks(), fresh()).unwrap();
    let slot = opened.vault.engine().disks.slots().iter().find(|slot| slot.label == "sim5").unwrap().clone();
    assert_eq!(slot.state(), DiskState::Fenced, "it took no repair");
    stored.iter().for_each(|stored| check(&opened.vault, stored));
    opened.vault.close().unwrap();
}

fn spares(pool: &SimPool) -> Vec<usize> {
    (0..6).filter(|disk| pool.files(*disk).iter().any(|(name, _)| name.starts_with("spares/"))).collect()
}

/// The story: the newest stripe was accepted while a disk was away that had never got its shard; when that disk was back and two
/// others were gone, too few shards were left.
#[test]
fn the_newest_stripe_outlives_a_disk_that_never_got_it() {
    let (world, pool) = (World::new("thin-tail"), SimPool::new(53, 6));
    let opened = world.open(pool.disks(), fresh()).unwrap();
    let first = fill(&opened.vault, 1);
    pool.add_rule(Rule::new(OpKind::Write, 1, Effect::Lose).on_disk(5).on_file("journal/").times(u64::MAX));
    let last = Stored(vec![("last".to_owned(), bytes(9, 500))]);
    put(opened.vault.engine(), "ledger", "last", &last.0[0].1).unwrap();
    drop(opened);
    pool.clear_rules();
    let opened = world.open(without(&pool, &[5]), fresh()).unwrap();
    assert_eq!(spares(&pool), [0, 1, 2, 3, 4]);
    check(&opened.vault, &last);
    let later = fill(&opened.vault, 2);
    drop(opened);
    for pair in [[0, 1], [1, 3], [2, 4]] {
        let pool = pool.freeze().thaw(5);
        let opened = world.open(without(&pool, &pair), fresh()).unwrap();
        [&first, &last, &later].into_iter().for_each(|stored| check(&opened.vault, stored));
    }
    // With all disks there the stripe gets its shard, and the copies go.
    world.open(pool.disks(), fresh()).unwrap().vault.close().unwrap();
    world.open(pool.disks(), fresh()).unwrap().vault.close().unwrap();
    assert_eq!(spares(&pool), [0; 0]);
}
