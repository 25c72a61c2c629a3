//! Goal: the end of the journal is told from damage by what is there: one sound shard of a later stripe proves that the one before was
//! acknowledged; of two copies of a stripe the one that was gone on from counts; a shard that was edited decides nothing (R3, E-1).
//! Method: shards of chosen stripes destroyed, edited or forged on the media.

use std::sync::Arc;
use std::time::Duration;

use kovcheg_format::id::{Epoch, Lsn, SegmentId};
use kovcheg_format::shard::{ShardFront, ShardHeader, StripeKind};

use super::{bytes, check, fill, fresh};
use crate::disk::{AlignedBuf, Disk};
use crate::error::StorageError;
use crate::journal::scan::Chain;
use crate::segment::files::name;
use crate::segment::stripe::{StripeHead, StripePosition, build};
use crate::testing::driver::{create_bucket, get, put};
use crate::testing::faults::{Effect, OpKind, Rule};
use crate::testing::sim_disk::SimPool;
use crate::testing::world::World;
use crate::vault::Vault;

type Change = Box<dyn Fn(&mut ShardHeader, &mut [u8])>;

/// Headers of the stripes of the chain, in order.
fn chain(vault: &Vault) -> Vec<ShardHeader> {
    let mut chain = Chain::find(vault.engine().reader.mender().clone()).unwrap();
    let mut headers = Vec::new();
    while let Some(found) = chain.advance().unwrap() {
        headers.push(found.stripe.header);
    }
    headers
}

fn journal_file(segment: SegmentId) -> String {
    name(StripeKind::Journal, segment)
}

fn destroy(pool: &SimPool, stripe: &ShardHeader, disks: &[usize]) {
    for disk in disks {
        pool.rot(*disk, &journal_file(stripe.segment), stripe.offset, stripe.disk_len());
    }
}

fn wait() -> Duration {
    Duration::from_secs(5)
}

/// Lets `edit` change the shard at `offset` of a file, and gives it checksums that fit.
fn edit(disk: &dyn Disk, file: &str, offset: u64, change: &dyn Fn(&mut ShardHeader, &mut [u8])) {
    let opened = disk.open(file).unwrap();
    let mut header = ShardFront::decode(&opened.read(offset, 4096).wait(wait()).unwrap()).unwrap().header;
    let mut shard = opened.read(offset, header.disk_len() as usize).wait(wait()).unwrap().to_vec();
    let (start, len) = (header.data_offset(), header.shard_len as usize);
    change(&mut header, &mut shard[start..start + len]);
    header.seal_into(&mut shard);
    opened.write(offset, Arc::new(AlignedBuf::from_bytes(&shard))).wait(wait()).unwrap();
    opened.sync().wait(wait()).unwrap();
}

fn is_damaged(result: Result<crate::vault::Opened, StorageError>, place: &str) {
    match result {
        Err(StorageError::Damaged { .. }) => {}
        Err(other) => panic!("{place}: {other}"),
        Ok(_) => panic!("{place}: opened, with acknowledged stripes void"),
    }
}

#[test]
fn one_sound_shard_of_a_later_stripe_proves_that_one_is_missing() {
    let (world, pool) = (World::new("one-shard"), SimPool::new(71, 6));
    let opened = world.open(pool.disks(), fresh()).unwrap();
    create_bucket(opened.vault.engine(), "ledger").unwrap();
    (0..4).for_each(|n| drop(put(opened.vault.engine(), "ledger", &format!("n-{n}"), &bytes(n, 5000)).unwrap()));
    let stripes = chain(&opened.vault);
    drop(opened);
    let [before, last] = stripes[stripes.len() - 2..] else { panic!("too few stripes") };
    assert_eq!(before.segment, last.segment);
    for survivor in 0..6 {
        let pool = pool.freeze().thaw(1);
        let others: Vec<usize> = (0..6).filter(|disk| *disk != survivor).collect();
        destroy(&pool, &before, &[0, 2, 4]);
        destroy(&pool, &last, &others);
        is_damaged(world.open(pool.disks(), fresh()), &format!("shard on disk {survivor}"));
        // With none left there is no proof: both are a torn tail.
        destroy(&pool, &last, &[survivor]);
        world.open(pool.disks(), fresh()).unwrap();
    }
}

/// A stripe written twice, as a disk failed; then a cut that leaves the second attempt on three of its five disks, of which disk 2 is
/// away at the next start: that accepts the first attempt and goes on.
fn given_up_attempt(world: &World, pool: &SimPool) -> (SimPool, SegmentId, ShardHeader) {
    let opened = world.open(pool.disks(), fresh()).unwrap();
    create_bucket(opened.vault.engine(), "ledger").unwrap();
    put(opened.vault.engine(), "ledger", "first", &bytes(1, 3000)).unwrap();
    let end = chain(&opened.vault).last().copied().unwrap();
    pool.add_rule(Rule::new(OpKind::Sync, 1, Effect::Eio).on_disk(0).on_file("journal/"));
    put(opened.vault.engine(), "ledger", "twice", &bytes(2, 3000)).unwrap();
    let second = chain(&opened.vault).last().copied().unwrap();
    drop(opened);
    assert!(second.lsn == end.lsn.next() && second.segment > end.segment && second.k == 3, "{second:?}");
    let pool = pool.freeze().thaw(1);
    pool.clear_rules();
    for disk in [1, 3] {
        pool.disk(disk).remove(&journal_file(second.segment)).unwrap();
        pool.disk(disk).sync_folder("journal").unwrap();
    }
    let disks = [0, 1, 3, 4, 5].into_iter().map(|disk| pool.disk(disk)).collect();
    let opened = world.open(disks, fresh()).unwrap();
    put(opened.vault.engine(), "ledger", "third", &bytes(3, 3000)).unwrap();
    let accepted = chain(&opened.vault).into_iter().find(|header| header.lsn == second.lsn).unwrap();
    assert!(accepted.segment == end.segment && accepted.hash != second.hash, "the first attempt was accepted");
    opened.vault.close().unwrap();
    (pool, second.segment, accepted)
}

#[test]
fn an_attempt_that_was_given_up_does_not_win_when_it_becomes_readable() {
    let (world, pool) = (World::new("given-up"), SimPool::new(72, 6));
    let (pool, second, accepted) = given_up_attempt(&world, &pool);
    let opened = world.open(pool.disks(), fresh()).unwrap();
    for (key, seed) in [("first", 1), ("twice", 2), ("third", 3)] {
        let found = get(opened.vault.engine(), "ledger", key).unwrap_or_else(|error| panic!("{key}: {error}"));
        assert!(found == bytes(seed, 3000), "{key}");
    }
    drop(opened);
    // Its rival unreadable, the attempt may not stand in for it: what came after goes on from the other.
    let pool = pool.freeze().thaw(2);
    destroy(&pool, &accepted, &[0, 1, 2, 3, 4, 5]);
    assert!(pool.files(2).iter().any(|(file, _)| *file == journal_file(second)), "the attempt is there");
    is_damaged(world.open(pool.disks(), fresh()), "the accepted copy is gone");
}

#[test]
fn edited_shards_decide_nothing() {
    let (world, pool) = (World::new("edited"), SimPool::new(73, 6));
    let opened = world.open(pool.disks(), fresh()).unwrap();
    let stored = fill(&opened.vault, 1);
    opened.vault.close().unwrap();
    let changes: [(&str, Change); 4] = [
        ("inner length", Box::new(|header, _| header.inner_len = header.inner_len.saturating_sub(1))),
        ("clock", Box::new(|header, _| header.written_at += 1)),
        ("retention clock", Box::new(|header, _| header.retention_clock += 1)),
        ("data", Box::new(|_, data| data[0] ^= 1)),
    ];
    for (what, change) in &changes {
        for disks in [[0, 1], [1, 4], [2, 5]] {
            let pool = pool.freeze().thaw(3);
            for disk in disks {
                for (file, content) in pool.files(disk) {
                    let folders = ["segments/", "journal/"];
                    let blocks = (0..content.len() as u64).step_by(4096);
                    for at in blocks.filter(|_| folders.iter().any(|folder| file.starts_with(folder))) {
                        if ShardFront::decode(&content[at as usize..]).is_ok() {
                            edit(pool.disk(disk).as_ref(), &file, at, change);
                        }
                    }
                }
            }
            let opened =
                world.open(pool.disks(), fresh()).unwrap_or_else(|error| panic!("{what} on {disks:?}: {error}"));
            check(&opened.vault, &stored);
            let report = opened.vault.verify(None, &mut |_| std::ops::ControlFlow::Continue(())).unwrap();
            assert!(report.is_clean(), "{what} on {disks:?}: {report:?}");
        }
    }
}

#[test]
fn a_forged_stripe_at_the_end_is_not_there() {
    let (world, pool) = (World::new("forged"), SimPool::new(74, 6));
    let opened = world.open(pool.disks(), fresh()).unwrap();
    let stored = fill(&opened.vault, 1);
    let last = chain(&opened.vault).last().copied().unwrap();
    let shape = opened.vault.engine().reader.shape(last.segment).unwrap();
    let slots: Vec<String> =
        shape.disks.iter().map(|disk| opened.vault.engine().disks.slot(*disk).unwrap().label.clone()).collect();
    drop(opened);
    let head = StripeHead {
        kind: StripeKind::Journal,
        epoch: Epoch(1),
        lsn: Lsn(last.lsn.0 + 1),
        previous: last.hash,
        inner_len: 2_000,
        retention_clock: 0,
        written_at: 0,
    };
    let offset = last.offset + last.disk_len();
    let place = StripePosition { pool: last.pool, segment: last.segment, offset, k: last.k, m: last.m };
    let built = build(&head, &place, bytes(9, 2_000)[..].into()).unwrap();
    for (label, shard) in slots.iter().zip(built.shards) {
        let file =
            pool.disk(label.strip_prefix("sim").unwrap().parse().unwrap()).open(&journal_file(last.segment)).unwrap();
        file.write_pieces(offset, shard).wait(wait()).unwrap();
        file.sync().wait(wait()).unwrap();
    }
    let opened = world.open(pool.disks(), fresh()).unwrap_or_else(|error| panic!("{error}"));
    check(&opened.vault, &stored);
}
