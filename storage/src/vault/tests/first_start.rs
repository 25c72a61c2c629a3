//! Goal: a vault whose disks are not here is never made anew in their place (R15, W-1). Method: what a late mount leaves, empty
//! folders, beside a key file or an index of the vault; then the same with neither, which is a first start.

use std::sync::Arc;

use super::{check, fill, fresh};
use crate::error::StorageError;
use crate::index::memory::MemoryIndex;
use crate::testing::sim_disk::SimPool;
use crate::testing::world::World;

fn refused(world: &World, pool: &SimPool, index: Arc<MemoryIndex>, why: &str) {
    match world.open(pool.disks(), index) {
        Err(StorageError::Operator(text)) => assert!(text.contains(why) && text.contains("mounted"), "{text}"),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("a new vault was made beside {why}"),
    }
    assert!((0..6).all(|disk| pool.files(disk).is_empty()), "something was written");
}

#[test]
fn a_vault_whose_disks_are_not_mounted_is_not_made_anew() {
    let (world, pool, index) = (World::new("late-mounts"), SimPool::new(31, 6), fresh());
    let opened = world.open(pool.disks(), index.clone()).unwrap();
    let stored = fill(&opened.vault, 1);
    opened.vault.close().unwrap();

    let folders = SimPool::new(32, 6);
    refused(&world, &folders, fresh(), "key file");
    refused(&world, &folders, index.clone(), "key file");
    let elsewhere = world.key_file().with_extension("kept");
    std::fs::rename(world.key_file(), &elsewhere).unwrap();
    refused(&world, &folders, index.clone(), "index");
    std::fs::rename(&elsewhere, world.key_file()).unwrap();

    // The mounts are there again.
    let opened = world.open(pool.disks(), index).unwrap();
    check(&opened.vault, &stored);
    drop(opened);
    // An operator who means it.
    std::fs::remove_file(world.key_file()).unwrap();
    assert!(world.open(folders.disks(), fresh()).unwrap().first_start.is_some());
}

#[test]
fn a_first_start_that_failed_on_one_disk_can_be_repeated() {
    use crate::testing::faults::{Effect, OpKind, Rule};
    for nth in 1..40 {
        let (world, pool) = (World::new("failed-first-start"), SimPool::new(33, 6));
        pool.add_rule(Rule::new(OpKind::Write, nth, Effect::Eio));
        let first = world.open(pool.disks(), fresh());
        pool.clear_rules();
        if let Ok(opened) = first {
            opened.vault.close().unwrap();
        }
        let opened = world.open(pool.disks(), fresh()).unwrap_or_else(|error| panic!("write {nth}: {error}"));
        fill(&opened.vault, 1);
    }
}
