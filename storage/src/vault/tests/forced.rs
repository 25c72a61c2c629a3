//! Goal: an operator who insists (`force_missing`) gets a vault that takes writes with fewer disks than are safe, as long as the end of
//! the journal can be read; it loses nothing that the others hold and is whole again when they return. Two parts of a pool that were
//! both forced are never mixed (R4, R15). Method: all choices of disks; pools that were forced in two halves.

use std::sync::Arc;

use super::{Stored, bytes, check, fill, fresh};
use crate::disk::Disk;
use crate::error::{StorageError, StorageResult};
use crate::index::memory::MemoryIndex;
use crate::testing::driver::{get, put};
use crate::testing::sim_disk::SimPool;
use crate::testing::world::World;
use crate::vault::{Opened, Parts, Vault};

fn some(pool: &SimPool, disks: impl Iterator<Item = usize>) -> Vec<Arc<dyn Disk>> {
    disks.map(|disk| pool.disk(disk)).collect()
}

fn forced(world: &World, disks: Vec<Arc<dyn Disk>>, index: Arc<MemoryIndex>) -> StorageResult<Opened> {
    Vault::open_on(Parts { force_missing: true, ..world.parts(disks, index) })
}

fn writes(vault: &Vault, key: &str) -> StorageResult<()> {
    put(vault.engine(), "ledger", key, &bytes(9, 90_000)).map(drop)
}

fn holds(vault: &Vault, key: &str) -> bool {
    get(vault.engine(), "ledger", key).is_ok_and(|content| content == bytes(9, 90_000))
}

fn filled(world: &World, pool: &SimPool, shape: (u8, u8)) -> (Arc<MemoryIndex>, Stored) {
    let index = fresh();
    let (k, m) = shape;
    let opened =
        Vault::open_on(Parts { k, m, ..world.parts(some(pool, 0..pool.disks().len()), index.clone()) }).unwrap();
    let stored = fill(&opened.vault, 1);
    opened.vault.close().unwrap();
    (index, stored)
}

#[test]
fn six_of_nine_disks_take_writes_when_they_are_forced() {
    let (world, pool) = (World::new("forced"), SimPool::new(95, 9));
    let (index, stored) = filled(&world, &pool, (4, 2));
    let base = pool.freeze();
    let (mut opened_so_far, mut refused) = (0, 0);
    let triples =
        (0..9).flat_map(|one| (one + 1..9).flat_map(move |two| (two + 1..9).map(move |three| [one, two, three])));
    for gone in triples.step_by(4) {
        let (pool, index) = (base.thaw(1), Arc::new(index.crash()));
        let left = |pool: &SimPool| some(pool, (0..9).filter(|disk| !gone.contains(disk)));
        let unforced = world.open(left(&pool), Arc::new(index.crash())).unwrap();
        assert!(matches!(writes(&unforced.vault, "unforced"), Err(StorageError::ReadOnly { .. })));
        drop(unforced);
        let opened = match forced(&world, left(&pool), index.clone()) {
            Ok(opened) => opened,
            // The end of the journal lies on disks that are away: what a new life would have to follow is not known.
            Err(StorageError::Damaged { .. }) => {
                refused += 1;
                continue;
            }
            Err(other) => panic!("without {gone:?}: {other}"),
        };
        opened_so_far += 1;
        writes(&opened.vault, "forced").unwrap_or_else(|error| panic!("without {gone:?}: {error}"));
        for (key, content) in &stored.0 {
            match get(opened.vault.engine(), "ledger", key) {
                Ok(found) => assert!(found == *content, "without {gone:?}: {key}"),
                Err(error) => {
                    assert!(matches!(error, StorageError::Damaged { .. }), "without {gone:?}: {key}: {error}")
                }
            }
        }
        opened.vault.close().unwrap();
        let opened = world.open(pool.disks(), index).unwrap();
        check(&opened.vault, &stored);
        assert!(holds(&opened.vault, "forced"), "without {gone:?}");
        writes(&opened.vault, "after").unwrap();
        opened.vault.close().unwrap();
        let opened = world.open(some(&pool, 2..9), fresh()).unwrap();
        check(&opened.vault, &stored);
        assert!(holds(&opened.vault, "forced") && holds(&opened.vault, "after"), "without {gone:?}");
    }
    assert!(opened_so_far > 0 && refused > 0, "{opened_so_far} opened, {refused} refused");
}

#[test]
fn m_disks_are_too_few_whoever_insists() {
    let (world, pool) = (World::new("forced-m"), SimPool::new(97, 4));
    let (index, _) = filled(&world, &pool, (2, 2));
    let superblocks = || [0, 1].map(|disk| pool.files(disk).into_iter().find(|(name, _)| name == "superblock"));
    let before = superblocks();
    let opened = forced(&world, some(&pool, 0..2), index).unwrap();
    assert!(matches!(writes(&opened.vault, "too few"), Err(StorageError::ReadOnly { .. })));
    assert!(before[0].is_some() && superblocks() == before, "no life begins");
}

#[test]
fn two_forced_halves_are_never_mixed() {
    let mut seen = 0;
    // Where k is no more than m, each half may hold enough of the journal's end; which disks it lies on is up to chance.
    for seed in 0..40 {
        let pool = SimPool::new(seed, 6);
        let world = World::new("forced-halves");
        let (index, stored) = filled(&world, &pool, (2, 2));
        let halves = [(0..3, "one"), (3..6, "other")];
        let lives = halves.clone().map(|(disks, key)| {
            let opened = forced(&world, some(&pool, disks), Arc::new(index.crash())).ok()?;
            writes(&opened.vault, key).ok()?;
            opened.vault.close().ok()
        });
        if lives.iter().any(Option::is_none) {
            continue;
        }
        seen += 1;
        // Which half is the truth nobody can tell: the vault says so, or shows one of the two, whole.
        if let Ok(opened) = world.open(pool.freeze().thaw(1).disks(), fresh()) {
            check(&opened.vault, &stored);
            let got = ["one", "other"].map(|key| get(opened.vault.engine(), "ledger", key));
            let absent = got.iter().filter(|got| matches!(got, Err(StorageError::NoSuchKey))).count();
            let whole = ["one", "other"].iter().filter(|key| holds(&opened.vault, key)).count();
            assert_eq!((whole, absent), (1, 1), "seed {seed}: the halves were mixed");
        }
        for (disks, key) in halves {
            let pool = pool.freeze().thaw(1);
            let opened = world.open_with(some(&pool, disks), Arc::new(index.crash()), true).unwrap();
            assert!(holds(&opened.vault, key), "seed {seed}: {key}");
        }
    }
    assert!(seen > 0, "no pool could be forced in two halves");
}
