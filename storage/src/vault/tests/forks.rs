//! Goal: a stripe goes behind another only when its hash names it: the pasts of two copies of one pool are never mixed, whatever
//! positions and epochs agree (R3, R15). Method: one frozen pool is started twice and does two different works of one size, so
//! that epoch, file, offset and position of every stripe agree; then stripes, files or disks of the one are put into the other,
//! which must be refused or void: what is seen is a state that one of the two had.

use std::collections::BTreeSet;
use std::sync::Arc;

use kovcheg_format::shard::{ShardFront, StripeKind};

use super::script::State;
use super::view::{difference, observe};
use super::{bytes, fresh};
use crate::disk::{AlignedBuf, Disk};
use crate::error::StorageError;
use crate::journal::scan::Chain;
use crate::testing::driver::{create_bucket, put};
use crate::testing::sim_disk::{Frozen, SimPool};
use crate::testing::world::World;

/// Objects each copy puts.
const PUTS: u64 = 48;

/// A journal stripe of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    file: String,
    offset: u64,
    len: u64,
    lsn: u64,
}

/// One of the two pasts.
struct Fork {
    pool: SimPool,
    /// What was to be seen after each step.
    states: Vec<State>,
    /// Journal stripes of its own life.
    stripes: Vec<Place>,
}

fn fork(world: &World, base: &Frozen, before: &State, seed: u64) -> Fork {
    let pool = base.thaw(1);
    let opened = world.open(pool.disks(), fresh()).unwrap();
    let engine = opened.vault.engine();
    let start = engine.sequencer.as_ref().unwrap().state().lsn.load(std::sync::atomic::Ordering::Acquire);
    let mut states = vec![before.clone()];
    for n in 0..PUTS {
        // Small ones ride in the journal, some fill data stripes.
        let len = if n % 4 == 3 { 40_000 } else { 6_000 };
        let content = bytes(seed + n, len);
        put(engine, "ledger", &format!("key-{}", n % 9), &content).unwrap();
        let mut state = states.last().unwrap().clone();
        state.insert(format!("ledger/key-{}", n % 9), Arc::new(content));
        states.push(state);
    }
    let mut chain = Chain::find(engine.reader.mender().clone()).unwrap();
    let mut stripes = Vec::new();
    while let Some(found) = chain.advance().unwrap() {
        let head = &found.stripe.header;
        let file = crate::segment::files::name(StripeKind::Journal, head.segment);
        stripes.push(Place { file, offset: head.offset, len: head.disk_len(), lsn: head.lsn.0 });
    }
    stripes.retain(|stripe| stripe.lsn >= start);
    opened.vault.close().unwrap();
    Fork { pool, states, stripes }
}

fn forks(world: &World) -> (Fork, Fork) {
    let pool = SimPool::new(11, 6);
    let opened = world.open(pool.disks(), fresh()).unwrap();
    create_bucket(opened.vault.engine(), "ledger").unwrap();
    put(opened.vault.engine(), "ledger", "before", &bytes(1, 5000)).unwrap();
    let before = observe(opened.vault.engine()).unwrap();
    opened.vault.close().unwrap();
    let base = pool.freeze();
    let (one, two) = (fork(world, &base, &before, 1000), fork(world, &base, &before, 2000));
    assert_eq!(one.stripes, two.stripes, "the two must agree in all but content");
    let files: BTreeSet<&String> = one.stripes.iter().map(|stripe| &stripe.file).collect();
    assert!(files.len() >= 3, "too few journal files: {files:?}");
    (one, two)
}

fn read(disk: &dyn Disk, file: &str) -> Vec<u8> {
    let file = disk.open(file).unwrap();
    let len = usize::try_from(file.len().unwrap()).unwrap();
    file.read(0, len).wait(std::time::Duration::from_secs(5)).unwrap().to_vec()
}

/// Writes the bytes of a file of `from` from `offset` on over those in `to`, on every disk.
fn splice(from: &SimPool, to: &SimPool, file: &str, offset: u64) {
    for disk in 0..6 {
        let content = read(from.disk(disk).as_ref(), file);
        let rest = &content[usize::try_from(offset).unwrap()..];
        let into = to.disk(disk).open(file).unwrap();
        into.write(offset, Arc::new(AlignedBuf::from_bytes(rest))).wait(std::time::Duration::from_secs(5)).unwrap();
        into.sync().wait(std::time::Duration::from_secs(5)).unwrap();
    }
}

/// Opens a pool whose past is mixed. Answers what is seen, if it is not refused; that must have been seen in one past.
fn outcome(world: &World, pool: &SimPool, pasts: &[&Fork], place: &str) -> Option<State> {
    match world.open(pool.disks(), fresh()) {
        Err(StorageError::Damaged { .. } | StorageError::Operator(_)) => None,
        Err(other) => panic!("{place}: {other}"),
        Ok(opened) => {
            let found = observe(opened.vault.engine()).unwrap_or_else(|error| panic!("{place}: {error}"));
            let known = pasts.iter().any(|past| past.states.contains(&found));
            assert!(known, "{place}: mixed: {}", difference(&found, pasts[0].states.last().unwrap()));
            Some(found)
        }
    }
}

#[test]
fn a_stripe_of_another_past_is_not_followed() {
    let world = World::new("forks-stripe");
    let (one, two) = forks(&world);
    let mut refused = 0;
    for (at, stripe) in one.stripes.iter().enumerate().skip(1) {
        let pool = one.pool.freeze().thaw(3);
        splice(&two.pool, &pool, &stripe.file, stripe.offset);
        let place = format!("from {stripe:?} on");
        let found = outcome(&world, &pool, &[&one], &place);
        // More than one stripe of the other past: the second names the first, so what is missing is not a tail.
        let more = one.stripes.get(at + 1).is_some_and(|next| next.file == stripe.file);
        assert!(!more || found.is_none(), "{place}: opened, with acknowledged stripes void");
        refused += usize::from(found.is_none());
    }
    assert!(refused > 10, "only {refused} were refused");
}

#[test]
fn a_file_of_another_past_is_not_followed() {
    let world = World::new("forks-file");
    let (one, two) = forks(&world);
    let files: BTreeSet<&String> = one.stripes.iter().map(|stripe| &stripe.file).collect();
    for file in files.iter().skip(1) {
        let pool = one.pool.freeze().thaw(3);
        splice(&two.pool, &pool, file, 0);
        outcome(&world, &pool, &[&one], &format!("with {file} of another past"));
    }
    for first in 1..files.len() {
        let pool = one.pool.freeze().thaw(3);
        files.iter().skip(first).for_each(|file| splice(&two.pool, &pool, file, 0));
        outcome(&world, &pool, &[&one], &format!("with all files from {first} on of another past"));
    }
}

#[test]
fn disks_of_two_pasts_do_not_mix() {
    let world = World::new("forks-disks");
    let (one, two) = forks(&world);
    for mask in 1_u32..63 {
        let pool = one.pool.freeze().thaw(3);
        let taken: Vec<usize> = (0..6).filter(|disk| mask & (1 << disk) != 0).collect();
        for disk in &taken {
            pool.put_image(*disk, two.pool.image(*disk));
        }
        let place = format!("disks {taken:?} of another past");
        let found = outcome(&world, &pool, &[&one, &two], &place);
        if taken.len() <= 2 {
            assert!(found.as_ref() == one.states.last(), "{place}: four disks of one past give that past");
        }
        if taken.len() >= 4 {
            assert!(found.as_ref() == two.states.last(), "{place}: four disks of one past give that past");
        }
    }
}

#[test]
fn the_two_pasts_differ_in_content_only() {
    let world = World::new("forks-same");
    let (one, two) = forks(&world);
    for stripe in &one.stripes {
        let head = |fork: &Fork| {
            let content = read(fork.pool.disk(0).as_ref(), &stripe.file);
            ShardFront::decode(&content[usize::try_from(stripe.offset).unwrap()..]).map(|front| front.header)
        };
        let (Ok(a), Ok(b)) = (head(&one), head(&two)) else { continue };
        assert_eq!((a.epoch, a.lsn, a.segment, a.offset), (b.epoch, b.lsn, b.segment, b.offset));
        assert_ne!(a.hash, b.hash);
    }
}
