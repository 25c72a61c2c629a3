//! Goal: up to m rotten, forgetful or misdirecting disks cost nothing and are mended while the vault runs; one more and a typed
//! error names the stripe, everything else goes on, and an upload of the same content heals it (E-1, R3, R17). Method: rot and
//! faults between reads, verification and reopening; then m + 1 shards of every data and journal stripe of a pool destroyed,
//! one stripe at a time.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use kovcheg_format::id::SegmentId;
use kovcheg_format::shard::StripeKind;

use super::script::State;
use super::view::{difference, observe, told};
use super::{bytes, fresh};
use crate::engine::Engine;
use crate::error::StorageError;
use crate::index::rows::StripeRow;
use crate::index::{Column, rows};
use crate::journal::scan::Chain;
use crate::segment::files;
use crate::testing::driver::{create_bucket, get, put};
use crate::testing::faults::{Effect, OpKind, Rng, Rule};
use crate::testing::sim_disk::SimPool;
use crate::testing::world::World;
use crate::vault::housekeeper::write_damage;
use crate::vault::{Vault, VerifyReport};

fn verify(vault: &Vault) -> VerifyReport {
    vault.verify(None, &mut |_| ControlFlow::Continue(())).unwrap()
}

/// Files of stripes on a disk.
fn stripe_files(pool: &SimPool, disk: usize) -> Vec<(String, u64)> {
    let folders = ["segments/", "journal/", "checkpoints/"];
    let files = pool.files(disk).into_iter().map(|(file, content)| (file, content.len() as u64));
    files.filter(|(file, len)| *len > 0 && folders.iter().any(|folder| file.starts_with(folder))).collect()
}

fn put_noted(engine: &Arc<Engine>, state: &mut State, rng: &mut Rng) {
    let sizes = [100, 6_000, 20_000, 90_000, 250_000];
    let content = bytes(rng.bits(), sizes[rng.below(5) as usize]);
    let key = format!("key-{}", rng.below(12));
    put(engine, "ledger", &key, &content).unwrap();
    state.insert(format!("ledger/{key}"), Arc::new(content));
}

/// Spoils the two disks a little, on their media and in what they will be given next.
fn decay(pool: &SimPool, spoilt: [usize; 2], rng: &mut Rng) {
    for disk in spoilt {
        for (file, len) in stripe_files(pool, disk) {
            if rng.chance(1, 3) {
                pool.rot_some(disk, &file, 0, len, 1 + rng.below(4));
            }
        }
        for folder in ["segments/", "journal/"] {
            let effect = if rng.chance(1, 2) { Effect::Lose } else { Effect::Misdirect };
            pool.add_rule(Rule::new(OpKind::Write, 1 + rng.below(6), effect).on_disk(disk).on_file(folder));
        }
        pool.add_rule(Rule::new(OpKind::Read, 1 + rng.below(9), Effect::Flip).on_disk(disk));
    }
}

fn check(vault: &Vault, state: &State, place: &str) {
    let found = observe(vault.engine()).unwrap_or_else(|error| panic!("{place}: {error}"));
    assert!(found == *state, "{place}: {}", difference(&found, state));
}

#[test]
fn two_decaying_disks_cost_nothing_and_are_mended() {
    let mut repaired = 0;
    for seed in 0..6 {
        let (world, pool, mut rng) = (World::new("decay"), SimPool::new(seed, 6), Rng::new(seed));
        let index = fresh();
        let mut vault = world.open(pool.disks(), index.clone()).unwrap().vault;
        create_bucket(vault.engine(), "ledger").unwrap();
        let mut state = State::from([("ledger/".to_owned(), Arc::default())]);
        let first = rng.below(6) as usize;
        let spoilt = [first, (first + 1 + rng.below(5) as usize) % 6];
        for round in 0..12 {
            let place = format!("seed {seed}, disks {spoilt:?}, round {round}");
            (0..4).for_each(|_| put_noted(vault.engine(), &mut state, &mut rng));
            decay(&pool, spoilt, &mut rng);
            (0..4).for_each(|_| put_noted(vault.engine(), &mut state, &mut rng));
            match rng.below(4) {
                0 => {
                    let report = verify(&vault);
                    assert!(report.is_clean(), "{place}: {report:?}");
                    repaired += report.repaired_shards;
                }
                1 => assert!(vault.engine().checkpoint().unwrap(), "{place}"),
                2 => {
                    vault.close().unwrap();
                    let index = if rng.chance(1, 2) { index.clone() } else { fresh() };
                    vault = world.open(pool.disks(), index).unwrap_or_else(|error| panic!("{place}: {error}")).vault;
                }
                _ => {}
            }
            check(&vault, &state, &place);
        }
        pool.clear_rules();
        let report = verify(&vault);
        assert!(report.is_clean() && report.lacking_shards == 0, "seed {seed}: {report:?}");
        repaired += report.repaired_shards;
        let again = verify(&vault);
        assert_eq!((again.repaired_shards, again.lacking_shards), (0, 0), "seed {seed}: the first repaired all");
        vault.close().unwrap();
        gone_in_pairs(&world, &pool, spoilt, &state);
    }
    assert!(repaired > 200, "only {repaired} shards were repaired");
}

/// With two disks gone, the four that are left read everything: also the two that decayed.
fn gone_in_pairs(world: &World, pool: &SimPool, spoilt: [usize; 2], state: &State) {
    let frozen = pool.freeze();
    for one in 0..6 {
        for two in (one + 1..6).filter(|two| !spoilt.contains(two)) {
            let pool = frozen.thaw(1);
            let disks = (0..6).filter(|disk| ![one, two].contains(disk)).map(|disk| pool.disk(disk)).collect();
            let place = format!("{spoilt:?} mended, {one} and {two} gone");
            let opened = world.open(disks, fresh()).unwrap_or_else(|error| panic!("{place}: {error}"));
            check(&opened.vault, state, &place);
            let report = verify(&opened.vault);
            assert!(report.is_clean() && report.repaired_shards == 0, "{place}: {report:?}");
        }
    }
}

/// Data stripes of the index: segment, offset, bytes on each disk.
fn data_stripes(engine: &Engine) -> BTreeSet<(u64, u64, u64)> {
    let mut stripes = BTreeSet::new();
    rows::scan::<StripeRow>(engine.index.as_ref(), Column::Stripe, &[], None, &mut |key, row| {
        let number = |range: std::ops::Range<usize>| u64::from_be_bytes(key[range].try_into().unwrap());
        stripes.insert((number(0..8), number(8..16), row.disk_len));
        ControlFlow::Continue(())
    })
    .unwrap();
    stripes
}

/// Turns a bit in every byte of these shards of a stripe, on the media.
fn destroy(engine: &Engine, pool: &SimPool, kind: StripeKind, place: (u64, u64, u64), shards: &[usize]) {
    let (segment, offset, len) = place;
    let opened = engine.reader.shape(SegmentId(segment)).unwrap();
    for shard in shards {
        let slot = engine.disks.slot(opened.disks[*shard]).unwrap();
        let disk: usize = slot.label.strip_prefix("sim").unwrap().parse().unwrap();
        pool.rot(disk, &files::name(kind, SegmentId(segment)), offset, len);
    }
}

fn is_damage_of(error: &StorageError, place: (u64, u64, u64)) -> bool {
    matches!(error, StorageError::Damaged { segment, offset, lost, .. }
        if (segment.0, *offset) == (place.0, place.1) && *lost >= 3)
}

#[test]
fn a_data_stripe_beyond_repair_is_named_and_healed_by_an_upload() {
    let (world, pool, index) = (World::new("data-damage"), SimPool::new(21, 6), fresh());
    let opened = world.open(pool.disks(), index.clone()).unwrap();
    let engine = opened.vault.engine();
    create_bucket(engine, "ledger").unwrap();
    let mut state = State::from([("ledger/".to_owned(), Arc::default())]);
    let mut stripes_of = Vec::new();
    for (at, len) in [50_000, 60_000, 200_000, 55_000].into_iter().enumerate() {
        let (key, content) = (format!("object-{at}"), bytes(at as u64 + 1, len));
        let before = data_stripes(engine);
        put(engine, "ledger", &key, &content).unwrap();
        stripes_of.push(data_stripes(engine).difference(&before).copied().collect::<Vec<_>>());
        state.insert(format!("ledger/{key}"), Arc::new(content));
    }
    for (at, after_verify) in [(0, false), (1, true), (2, false)] {
        let key = format!("object-{at}");
        let place = *stripes_of[at].first().unwrap();
        destroy(engine, &pool, StripeKind::Data, place, &[0, 1, 2]);
        if after_verify {
            let report = verify(&opened.vault);
            let stripe = format!("stripe {} in segment {:?}", place.1, SegmentId(place.0));
            assert!(report.damaged_stripes.iter().any(|text| text.contains(&stripe)), "{stripe}: {report:?}");
            assert!(report.damaged.iter().any(|object| object.key == key), "{report:?}");
        } else {
            let error = get(engine, "ledger", &key).expect_err("three of six shards are gone");
            assert!(is_damage_of(&error, place), "{error}");
        }
        for (other, content) in state.iter().filter(|(name, _)| name.contains("object-") && !name.ends_with(&key)) {
            assert!(get(engine, "ledger", &other[7..]).unwrap() == **content, "{other} after {key} was damaged");
        }
        put(engine, "ledger", &format!("meanwhile-{at}"), &bytes(90, 70_000)).unwrap();
        put(engine, "ledger", &format!("again-{at}"), &state[&format!("ledger/{key}")]).unwrap();
        for healed in [key.clone(), format!("again-{at}")] {
            let found =
                get(engine, "ledger", &healed).unwrap_or_else(|error| panic!("{healed}, uploaded again: {error}"));
            assert!(found == *state[&format!("ledger/{key}")], "{healed}");
        }
    }
    let seen = observe(engine).unwrap();
    opened.vault.close().unwrap();
    for index in [index, fresh()] {
        let opened = world.open(pool.disks(), index).unwrap();
        check(&opened.vault, &seen, "reopened");
    }
}

/// Goal: what a reader found beyond repair is stored anew by the next upload in whatever life that comes, with or without the index.
#[test]
fn damage_outlives_the_process_and_the_index() {
    for (case, (closed, rebuilt)) in
        [(true, false), (true, true), (false, false), (false, true)].into_iter().enumerate()
    {
        let (world, pool, index) = (World::new("damage-kept"), SimPool::new(22, 6), fresh());
        let opened = world.open(pool.disks(), index.clone()).unwrap();
        let engine = opened.vault.engine();
        create_bucket(engine, "ledger").unwrap();
        let content = bytes(5, 200_000);
        put(engine, "ledger", "first", &content).unwrap();
        for place in data_stripes(engine) {
            destroy(engine, &pool, StripeKind::Data, place, &[0, 2, 4]);
        }
        assert!(!verify(&opened.vault).is_clean(), "three of six shards of each stripe are gone");
        if closed {
            opened.vault.close().unwrap();
        } else {
            // As the housekeeper does; then a crash.
            write_damage(engine);
            drop(opened);
        }
        let index = if rebuilt { fresh() } else { Arc::new(index.crash()) };
        let opened = world.open(pool.disks(), index).unwrap();
        let engine = opened.vault.engine();
        put(engine, "ledger", "again", &content).unwrap();
        // No reader of this life has met the damage.
        for key in ["first", "again"] {
            let found = get(engine, "ledger", key).unwrap_or_else(|error| panic!("case {case}: {key}: {error}"));
            assert!(found == content, "case {case}: {key}");
        }
        assert!(verify(&opened.vault).damaged.is_empty(), "case {case}");
        let marks = |engine: &Engine| {
            let mut marks = 0;
            engine
                .index
                .scan(Column::Damaged, &[], None, &mut |_, _| {
                    marks += 1;
                    ControlFlow::Continue(())
                })
                .unwrap();
            marks
        };
        assert_eq!(marks(engine), 0, "case {case}: what has a new copy is damaged no more");
        opened.vault.close().unwrap();
    }
}

/// A journal stripe: segment, offset, bytes on each disk; and its position.
type JournalPlace = ((u64, u64, u64), u64);

fn journal_stripes(engine: &Engine) -> Vec<JournalPlace> {
    let mut chain = Chain::find(engine.reader.mender().clone()).unwrap();
    let mut stripes = Vec::new();
    while let Some(found) = chain.advance().unwrap() {
        let head = &found.stripe.header;
        stripes.push(((head.segment.0, head.offset, head.disk_len()), head.lsn.0));
    }
    stripes
}

/// A pool with several lives, several journal files in each, and journal stripes that were written twice as a disk failed.
fn written_journal(world: &World, pool: &SimPool) -> (State, Vec<JournalPlace>) {
    let mut state = State::from([("ledger/".to_owned(), Arc::default())]);
    let mut rng = Rng::new(5);
    for life in 0..4 {
        let opened = world.open(pool.disks(), fresh()).unwrap();
        let engine = opened.vault.engine();
        if life == 0 {
            create_bucket(engine, "ledger").unwrap();
        }
        for n in 0..14 {
            if n == 5 && life % 2 == 1 {
                pool.add_rule(Rule::new(OpKind::Sync, 1, Effect::Eio).on_disk(life).on_file("journal/"));
            }
            put_noted(engine, &mut state, &mut rng);
            let content = bytes(rng.bits(), 7000);
            put(engine, "ledger", "inline", &content).unwrap();
            state.insert("ledger/inline".to_owned(), Arc::new(content));
        }
        opened.vault.close().unwrap();
        pool.clear_rules();
    }
    let opened = world.open_with(pool.disks(), fresh(), true).unwrap();
    assert_eq!(difference(&observe(opened.vault.engine()).unwrap(), &state), "");
    let stripes = journal_stripes(opened.vault.engine());
    (state, stripes)
}

#[test]
fn a_journal_stripe_beyond_repair_is_named_and_nothing_is_dropped() {
    let (world, pool) = (World::new("journal-damage"), SimPool::new(22, 6));
    let (state, stripes) = written_journal(&world, &pool);
    let files: BTreeSet<u64> = stripes.iter().map(|((segment, ..), _)| *segment).collect();
    assert!(stripes.len() > 100 && files.len() > 6, "{} stripes in {} files", stripes.len(), files.len());
    let whole = world.open_with(pool.disks(), fresh(), true).unwrap();
    let mut problems = Vec::new();
    let frozen = pool.freeze();
    for (at, (place, lsn)) in stripes.iter().enumerate() {
        for lost in [3, 6] {
            let pool = frozen.thaw(1);
            let width = whole.vault.engine().reader.shape(SegmentId(place.0)).unwrap().disks.len();
            let shards: Vec<usize> = (0..width).filter(|shard| (shard + at) % width < lost.min(width)).collect();
            destroy(whole.vault.engine(), &pool, StripeKind::Journal, *place, &shards);
            let last = at + 1 == stripes.len();
            let told_of = format!("{}", kovcheg_format::id::Lsn(*lsn));
            match world.open(pool.disks(), fresh()) {
                Err(StorageError::Damaged { detail, segment, .. })
                    if segment.0 == place.0 || detail.contains(&told_of) => {}
                // Nothing names the last one: it cannot be told from a torn tail, and was a clean end.
                Ok(opened) if last => check(&opened.vault, &state, "the last stripe is gone"),
                Ok(opened) => {
                    let found = observe(opened.vault.engine()).map_or_else(
                        |error| error.to_string(),
                        |found| format!("{} differ: {}", told(&found).len(), difference(&found, &state)),
                    );
                    problems.push(format!("position {lsn} at {place:?}, {lost} shards: opened; {found}"));
                }
                Err(other) => problems.push(format!("position {lsn} at {place:?}, {lost} shards: {other}")),
            }
        }
    }
    assert!(problems.is_empty(), "{} of {}:\n{}", problems.len(), 2 * stripes.len(), problems.join("\n"));
}

#[test]
fn an_index_that_names_a_damaged_last_stripe_is_believed() {
    let (world, pool) = (World::new("last-damage"), SimPool::new(23, 6));
    let (_, stripes) = written_journal(&world, &pool);
    let index = fresh();
    let opened = world.open_with(pool.disks(), index.clone(), true).unwrap();
    let (place, _) = *stripes.last().unwrap();
    destroy(opened.vault.engine(), &pool, StripeKind::Journal, place, &[0, 2, 4]);
    drop(opened);
    match world.open(pool.disks(), index) {
        Err(error) => assert!(is_damage_of(&error, place), "{error}"),
        Ok(_) => panic!("the index names a stripe that is gone, and the vault opened without it"),
    }
}

#[test]
fn a_read_only_vault_writes_nothing() {
    let (world, pool) = (World::new("read-only"), SimPool::new(24, 6));
    let opened = world.open(pool.disks(), fresh()).unwrap();
    create_bucket(opened.vault.engine(), "ledger").unwrap();
    put(opened.vault.engine(), "ledger", "key", &bytes(1, 90_000)).unwrap();
    let seen = observe(opened.vault.engine()).unwrap();
    opened.vault.close().unwrap();
    let opened = world.open_with(pool.disks(), fresh(), true).unwrap();
    let before: Vec<_> = (0..6).map(|disk| pool.files(disk)).collect();
    for len in [100, 90_001] {
        let refused = put(opened.vault.engine(), "ledger", "other", &bytes(2, len));
        assert!(matches!(refused, Err(StorageError::ReadOnly { .. })), "{len}: {refused:?}");
    }
    assert!(matches!(opened.vault.engine().checkpoint(), Err(StorageError::ReadOnly { .. })));
    check(&opened.vault, &seen, "after the attempts");
    let after: Vec<_> = (0..6).map(|disk| pool.files(disk)).collect();
    assert!(before == after, "a vault that was opened for reading only wrote to a disk");
}
