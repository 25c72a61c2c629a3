//! Goal: a start costs what the journal's tail costs; checkpoints are taken however short the lives are; what a crash left behind goes,
//! and nothing else (R7, G-1). Method: many lives, counting the journal files that a start looks into; files that no record names.

use std::collections::BTreeSet;
use std::time::Duration;

use kovcheg_format::id::{Epoch, SegmentId};
use kovcheg_format::shard::StripeKind;

use super::{check, fill, fresh};
use crate::segment::files::{create, name};
use crate::testing::faults::{Effect, OpKind, Rule};
use crate::testing::sim_disk::SimPool;
use crate::testing::world::World;
use crate::vault::{housekeeper, leftovers};

#[test]
fn a_start_behind_a_whole_index_looks_into_the_newest_journal_files_only() {
    let (world, pool, index) = (World::new("lazy"), SimPool::new(91, 6), fresh());
    for life in 1..8 {
        let opened = world.open(pool.disks(), index.clone()).unwrap();
        fill(&opened.vault, life);
        opened.vault.close().unwrap();
    }
    let all = pool.files(0).iter().filter(|(file, _)| file.starts_with("journal/")).count();
    pool.add_rule(Rule::new(OpKind::Read, 1, Effect::Delay(Duration::ZERO)).on_file("journal/").times(u64::MAX));
    let opened = world.open(pool.disks(), index).unwrap();
    let read: BTreeSet<String> = pool.hits().into_iter().map(|hit| hit.file).collect();
    assert!(all >= 7 && read.len() <= 2, "{} of {all} journal files were read", read.len());
    drop(opened);
}

#[test]
fn short_lives_add_up_to_a_checkpoint() {
    let (world, pool, index) = (World::new("short-lives"), SimPool::new(92, 6), fresh());
    let mut before = 0;
    for life in 1..5 {
        let opened = world.open(pool.disks(), index.clone()).unwrap();
        fill(&opened.vault, life);
        opened.vault.close().unwrap();
        let uncovered = housekeeper::uncovered(index.as_ref()).unwrap();
        assert!(uncovered > before, "life {life}: {uncovered} after {before}");
        before = uncovered;
    }
    let opened = world.open(pool.disks(), index.clone()).unwrap();
    assert!(opened.vault.engine().checkpoint().unwrap());
    opened.vault.close().unwrap();
    assert_eq!(housekeeper::uncovered(index.as_ref()).unwrap(), 0);
    let opened = world.open(pool.disks(), index.clone()).unwrap();
    fill(&opened.vault, 5);
    opened.vault.close().unwrap();
    let uncovered = housekeeper::uncovered(index.as_ref()).unwrap();
    assert!(uncovered > 0 && uncovered < before, "{uncovered} after a checkpoint, {before} before");
}

#[test]
fn files_that_no_record_names_are_removed_in_a_later_life() {
    let (world, pool) = (World::new("leftovers"), SimPool::new(93, 6));
    let opened = world.open(pool.disks(), fresh()).unwrap();
    let stored = fill(&opened.vault, 1);
    opened.vault.close().unwrap();
    let (old, young) = (SegmentId::new(Epoch(1), 0x7777), SegmentId::new(Epoch(2), 0x7777));
    let kinds = [StripeKind::Data, StripeKind::Journal, StripeKind::Checkpoint];
    for disk in 0..6 {
        for kind in kinds {
            create(pool.disk(disk).as_ref(), kind, old).unwrap();
        }
        create(pool.disk(disk).as_ref(), StripeKind::Data, young).unwrap();
    }
    let read_only = world.open_with(pool.disks(), fresh(), true).unwrap();
    assert_eq!(leftovers::remove(read_only.vault.engine()), 0, "opened for reading");
    drop(read_only);
    let before: Vec<BTreeSet<String>> =
        (0..6).map(|disk| pool.files(disk).into_iter().map(|(file, _)| file).collect()).collect();
    let opened = world.open(pool.disks(), fresh()).unwrap();
    assert_eq!(leftovers::remove(opened.vault.engine()), 6);
    for (disk, before) in before.iter().enumerate() {
        let after: BTreeSet<String> = pool.files(disk).into_iter().map(|(file, _)| file).collect();
        let gone: Vec<&String> = before.difference(&after).collect();
        assert_eq!(gone, [&name(StripeKind::Data, old)], "disk {disk}");
    }
    check(&opened.vault, &stored);
}
