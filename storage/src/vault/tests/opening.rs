//! Goal: what keeps a vault from being written does not keep it from being read, and what is mended at opening is mended for all
//! (R4, R10, R15, W-2). Method: disks that take no epoch, full disks, lost and rotten keyrings, journals that end before a checkpoint.

use kovcheg_format::record::pool::DiskState;

use super::{bytes, check, fill, fresh};
use crate::error::StorageError;
use crate::journal::scan::Chain;
use crate::segment::files::name;
use crate::testing::driver::put;
use crate::testing::faults::{Effect, OpKind, Rule};
use crate::testing::sim_disk::SimPool;
use crate::testing::world::World;
use crate::vault::{Parts, Vault, start};

fn refuses_writes(vault: &Vault) {
    for len in [100, 90_000] {
        let refused = put(vault.engine(), "ledger", "refused", &bytes(9, len));
        assert!(matches!(refused, Err(StorageError::ReadOnly { .. } | StorageError::Full(_))), "{refused:?}");
    }
}

#[test]
fn disks_that_take_no_epoch_make_the_vault_read_only_or_are_left_out() {
    for failing in 1..6 {
        let (world, pool) = (World::new("no-epoch"), SimPool::new(81, 6));
        let opened = world.open(pool.disks(), fresh()).unwrap();
        let stored = fill(&opened.vault, 1);
        opened.vault.close().unwrap();
        for disk in 0..failing {
            pool.add_rule(Rule::new(OpKind::Write, 1, Effect::Eio).on_disk(disk).on_file("superblock").times(u64::MAX));
        }
        let opened = world.open(pool.disks(), fresh()).unwrap_or_else(|error| panic!("{failing} disks: {error}"));
        check(&opened.vault, &stored);
        let fenced =
            opened.vault.engine().disks.slots().iter().filter(|slot| slot.state() == DiskState::Fenced).count();
        assert_eq!(fenced, failing);
        if failing > 2 {
            refuses_writes(&opened.vault);
        } else {
            put(opened.vault.engine(), "ledger", "more", &bytes(9, 90_000)).unwrap();
        }
        opened.vault.close().unwrap();
        pool.clear_rules();
        let opened = world.open(pool.disks(), fresh()).unwrap();
        assert!(opened.vault.engine().disks.slots().iter().all(|slot| slot.state() == DiskState::Serving));
        check(&opened.vault, &stored);
    }
}

#[test]
fn a_full_pool_is_read() {
    let (world, pool) = (World::new("full"), SimPool::new(82, 6));
    let opened = world.open(pool.disks(), fresh()).unwrap();
    let stored = fill(&opened.vault, 1);
    opened.vault.close().unwrap();
    for disk in 0..6 {
        let space = pool.disk(disk).space().unwrap();
        pool.set_capacity(disk, space.total - space.free);
    }
    for _ in 0..2 {
        let opened = world.open(pool.disks(), fresh()).unwrap();
        check(&opened.vault, &stored);
        refuses_writes(&opened.vault);
        opened.vault.close().unwrap();
    }
    (0..6).for_each(|disk| pool.set_capacity(disk, 1 << 40));
    let opened = world.open(pool.disks(), fresh()).unwrap();
    check(&opened.vault, &stored);
    put(opened.vault.engine(), "ledger", "more", &bytes(9, 90_000)).unwrap();
}

#[test]
fn lost_and_rotten_keyrings_are_put_back() {
    let (world, pool) = (World::new("keyrings"), SimPool::new(83, 6));
    let opened = world.open(pool.disks(), fresh()).unwrap();
    let stored = fill(&opened.vault, 1);
    opened.vault.close().unwrap();
    let ring =
        |disk: usize| pool.files(disk).into_iter().find(|(file, _)| file == "keyring").map(|(_, content)| content);
    let whole = ring(0).unwrap();
    pool.disk(1).remove("keyring").unwrap();
    pool.disk(1).sync_folder("").unwrap();
    (2..5).for_each(|disk| pool.rot(disk, "keyring", 0, 64));
    let opened = world.open_with(pool.disks(), fresh(), true).unwrap();
    assert!(ring(1).is_none(), "a vault opened for reading writes nothing");
    assert_eq!(opened.vault.engine().warnings.lock().iter().filter(|text| text.contains("keyring")).count(), 4);
    drop(opened);
    drop(world.open(pool.disks(), fresh()).unwrap());
    assert!((0..6).all(|disk| ring(disk).as_ref() == Some(&whole)));
    let opened = world.open((1..5).map(|disk| pool.disk(disk)).collect(), fresh()).unwrap();
    check(&opened.vault, &stored);
}

fn parts(world: &World, disks: Vec<std::sync::Arc<dyn crate::disk::Disk>>) -> Parts {
    Parts { create: false, ..world.parts(disks, fresh()) }
}

#[test]
fn a_rebuild_does_not_take_a_checkpoints_word_for_the_journal() {
    let (world, pool) = (World::new("rebuild-word"), SimPool::new(84, 6));
    let opened = world.open(pool.disks(), fresh()).unwrap();
    fill(&opened.vault, 1);
    let state = opened.vault.engine().sequencer.as_ref().unwrap().state().clone();
    let covered = state.lsn.load(std::sync::atomic::Ordering::Acquire);
    assert!(opened.vault.engine().checkpoint().unwrap());
    fill(&opened.vault, 2);
    let mut chain = Chain::find(opened.vault.engine().reader.mender().clone()).unwrap();
    let newest = loop {
        let found = chain.advance().unwrap().unwrap();
        if found.stripe.header.lsn.0 == covered {
            break found.stripe.header;
        }
    };
    opened.vault.close().unwrap();
    let report = start::rebuild(parts(&world, pool.disks()), &mut |_| ()).unwrap();
    assert!(report.rows > 0);
    for disk in [0, 2, 3] {
        pool.rot(disk, &name(newest.kind, newest.segment), newest.offset, newest.disk_len());
    }
    match start::rebuild(parts(&world, pool.disks()), &mut |_| ()) {
        Err(StorageError::Damaged { .. }) => {}
        other => panic!("{:?}", other.map(|report| report.stripes)),
    }
}

#[test]
fn the_only_index_is_kept_when_too_few_disks_are_there() {
    let (world, pool) = (World::new("only-index"), SimPool::new(85, 6));
    world.open(pool.disks(), fresh()).unwrap().vault.close().unwrap();
    for there in 1..=6 {
        let checked = start::check_parts(&parts(&world, (0..there).map(|disk| pool.disk(disk)).collect()));
        assert_eq!(checked.is_ok(), there >= 4, "{there} disks: {checked:?}");
    }
}
