//! Goal: a tenant's content lies in a domain of its own: it shares no chunk with others, its key outlives what everything else
//! outlives, and an attempt to make a tenant that reached too few disks leaves nothing that could be taken for the key of a later one
//! (K-1, R10, W-1). Method: the same content for two tenants; disks that take no keyring, then go and return.

use std::ops::ControlFlow;

use kovcheg_format::id::DomainId;
use kovcheg_format::record::segment::ChunkRow;

use super::{bytes, fresh};
use crate::engine::Engine;
use crate::error::StorageError;
use crate::identity::tenants;
use crate::index::{Column, rows};
use crate::testing::driver::{create_bucket, create_bucket_of, get, put};
use crate::testing::faults::{Effect, OpKind, Rule};
use crate::testing::sim_disk::SimPool;
use crate::testing::world::World;

/// Bytes of plaintext of the chunks and nodes of a domain.
fn plain_bytes(engine: &Engine, domain: DomainId) -> u64 {
    let mut sum = 0;
    rows::scan::<ChunkRow>(engine.index.as_ref(), Column::Chunk, &[], None, &mut |_, row| {
        sum += if row.domain == domain { u64::from(row.plain_len) } else { 0 };
        ControlFlow::Continue(())
    })
    .unwrap();
    sum
}

#[test]
fn the_same_content_of_two_tenants_is_stored_twice_and_read_by_keys_of_its_own() {
    let (world, pool) = (World::new("tenants"), SimPool::new(101, 6));
    let opened = world.open(pool.disks(), fresh()).unwrap();
    let content = bytes(3, 200_000);
    create_bucket(opened.vault.engine(), "first").unwrap();
    put(opened.vault.engine(), "first", "ledger", &content).unwrap();
    let tenant = opened.vault.create_tenant("bank").unwrap();
    create_bucket_of(opened.vault.engine(), tenant.tenant, "second").unwrap();
    put(opened.vault.engine(), "second", "ledger", &content).unwrap();
    let stored = plain_bytes(opened.vault.engine(), tenant.domain);
    assert!(stored >= 200_000, "nothing is shared: {stored}");
    put(opened.vault.engine(), "second", "again", &content).unwrap();
    assert_eq!(plain_bytes(opened.vault.engine(), tenant.domain), stored, "within a tenant all is");
    opened.vault.close().unwrap();
    let disks = [0, 2, 4, 5].map(|disk| pool.disk(disk)).to_vec();
    let opened = world.open(disks, fresh()).unwrap();
    for (bucket, key) in [("first", "ledger"), ("second", "ledger"), ("second", "again")] {
        assert!(get(opened.vault.engine(), bucket, key).unwrap() == content, "{bucket}/{key}");
    }
}

#[test]
fn names_are_unique_and_plain() {
    let (world, pool) = (World::new("tenant-names"), SimPool::new(102, 6));
    let vault = world.open(pool.disks(), fresh()).unwrap().vault;
    vault.create_tenant("bank").unwrap();
    let keys = keyrings(&pool);
    for name in ["bank", "default", "", "-a", "Bank", "a/b", "банк", &"x".repeat(64)] {
        let refused = vault.create_tenant(name);
        assert!(matches!(refused, Err(StorageError::InvalidArgument { .. })), "{name}: {refused:?}");
    }
    assert_eq!(tenants::all(vault.engine().index.as_ref()).unwrap().len(), 2);
    assert!(keyrings(&pool) == keys, "a refusal makes no key");
}

/// Goal: what a fenced disk answers to a flush is worth nothing, so it neither gets the new key nor counts as one that has it (R13).
#[test]
fn fenced_disks_get_no_key_and_do_not_count() {
    let (world, pool) = (World::new("tenant-fenced"), SimPool::new(104, 6));
    let vault = world.open(pool.disks(), fresh()).unwrap().vault;
    let before = keyrings(&pool);
    let slots = vault.engine().disks.slots();
    slots[5].fence("a test");
    vault.create_tenant("bank").unwrap();
    let after = keyrings(&pool);
    assert!((0..5).all(|disk| after[disk] != before[disk]) && after[5] == before[5]);
    (2..5).for_each(|disk| slots[disk].fence("a test"));
    let refused = vault.create_tenant("shop");
    assert!(refused.is_err() && keyrings(&pool) == after, "{refused:?}");
}

/// What each disk holds of the keys.
fn keyrings(pool: &SimPool) -> Vec<Vec<u8>> {
    let ring = |disk| pool.files(disk).into_iter().find(|(name, _)| name == "keyring").unwrap().1;
    (0..6).map(ring).collect()
}

/// The story that is to be impossible: a key reaches one disk only, the disk goes, another key of the same domain is made, content is
/// sealed under it, and with the disk the first key returns.
#[test]
fn a_key_that_reached_one_disk_is_never_taken_for_a_later_one() {
    for other_life in [false, true] {
        let (world, pool, index) = (World::new("tenant-keys"), SimPool::new(103, 6), fresh());
        let vault = world.open(pool.disks(), index.clone()).unwrap().vault;
        for disk in 1..6 {
            for kind in [OpKind::Create, OpKind::Write] {
                pool.add_rule(Rule::new(kind, 1, Effect::Eio).on_disk(disk).on_file("keyring").times(u64::MAX));
            }
        }
        let refused = vault.create_tenant("bank");
        assert!(refused.is_err(), "{refused:?}");
        pool.clear_rules();
        let stale = pool.image(0);
        let vault = if other_life {
            vault.close().unwrap();
            world.open((1..6).map(|disk| pool.disk(disk)).collect(), index.clone()).unwrap().vault
        } else {
            pool.set_missing(0, true);
            vault
        };
        let tenant = vault.create_tenant("bank").unwrap();
        create_bucket_of(vault.engine(), tenant.tenant, "second").unwrap();
        put(vault.engine(), "second", "ledger", &bytes(3, 90_000)).unwrap();
        vault.close().unwrap();
        pool.set_missing(0, false);
        pool.put_image(0, stale);
        for index in [index, fresh()] {
            let vault = world.open(pool.disks(), index).unwrap().vault;
            assert!(get(vault.engine(), "second", "ledger").unwrap() == bytes(3, 90_000), "other life: {other_life}");
            vault.close().unwrap();
        }
    }
}
