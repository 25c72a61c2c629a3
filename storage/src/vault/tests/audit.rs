//! Goal (A-1, W-2): the trail is the same whoever reads it when, and an index that tells another one, or none, is found. Method: the whole engine on
//! simulated disks; the rows of the index edited.

use std::ops::ControlFlow;
use std::sync::Arc;

use kovcheg_format::audit::{AuditTree, TrailCheck};
use kovcheg_format::codec::Encode as _;

use super::fresh;
use crate::audit::signer::verify_note;
use crate::audit::trail::{self, TrailEnd};
use crate::engine::Engine;
use crate::error::StorageResult;
use crate::index::memory::MemoryIndex;
use crate::index::{Batch, Change, Column, Index as _, rows};
use crate::testing::driver::{create_bucket, delete, put};
use crate::testing::sim_disk::SimPool;
use crate::testing::world::World;

fn lines(engine: &Engine) -> StorageResult<(Vec<String>, TrailEnd)> {
    let mut lines = Vec::new();
    let end = trail::read(engine, &mut |line| {
        lines.push(line);
        ControlFlow::Continue(())
    })?;
    Ok((lines, end))
}

fn edit(index: &MemoryIndex, tree: Option<&AuditTree>) {
    let value = tree.map(|tree| tree.to_bytes());
    let change = Change { column: Column::Audit, key: rows::AUDIT_TREE.to_vec(), value };
    index.apply(Batch { changes: vec![change] }).unwrap();
}

fn fill(engine: &Arc<Engine>) {
    create_bucket(engine, "ledger").unwrap();
    for n in 0..20 {
        put(engine, "ledger", &format!("k{}", n % 7), b"content").unwrap();
    }
    delete(engine, "ledger", "k3").unwrap();
}

#[test]
fn a_trail_only_grows_and_every_note_of_it_holds() {
    let (world, pool) = (World::new("audit-grows"), SimPool::new(241, 6));
    let (mut before, mut notes) = (Vec::new(), Vec::new());
    let mut index = fresh();
    for life in 0..4 {
        let disks = (0..6).filter(|disk| life != 2 || ![1, 4].contains(disk)).map(|disk| pool.disk(disk)).collect();
        let vault = world.open(disks, index.clone()).unwrap().vault;
        let engine = vault.engine();
        if life == 0 {
            fill(engine);
        }
        put(engine, "ledger", "each life", &[life]).unwrap();
        notes.push(trail::checkpoint(engine).unwrap());
        let (now, end) = lines(engine).unwrap();
        assert!(now.starts_with(&before) && now.len() > before.len(), "life {life}");
        assert_eq!(end, TrailEnd { tree: rows::audit_tree(index.as_ref()).unwrap().unwrap(), whole: true });
        let key = engine.signer.verifier();
        let mut check = TrailCheck::against(notes.iter().map(|note| verify_note(note, &key).unwrap()).collect());
        now.iter().for_each(|line| drop(check.line(line).unwrap()));
        assert_eq!(check.end().unwrap().root(), end.tree.root());
        // Whoever breaks off reads no more.
        let mut read = 0;
        let end = trail::read(engine, &mut |_| {
            read += 1;
            if read == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!((end.unwrap().whole, read), (false, 3));
        before = now;
        vault.close().unwrap();
        // From the disks alone.
        if life == 1 {
            index = fresh();
        }
    }
}

#[test]
fn an_index_that_tells_another_trail_is_found_and_one_without_a_trail_is_built_anew() {
    let (world, pool, index) = (World::new("audit-edited"), SimPool::new(242, 6), fresh());
    let vault = world.open(pool.disks(), index.clone()).unwrap().vault;
    fill(vault.engine());
    let tree = rows::audit_tree(index.as_ref()).unwrap().unwrap();
    let mut other = tree.clone();
    other.chain.0[5] ^= 1;
    edit(&index, Some(&other));
    let told = lines(vault.engine()).unwrap_err().to_string();
    assert!(told.contains("rebuild-index"), "{told}");
    edit(&index, Some(&tree));
    let (before, _) = lines(vault.engine()).unwrap();
    vault.close().unwrap();
    // As releases before there was a trail left it.
    edit(&index, None);
    let vault = world.open(pool.disks(), index.clone()).unwrap().vault;
    let (after, _) = lines(vault.engine()).unwrap();
    assert!(after.starts_with(&before));
    assert_eq!(crate::testing::driver::get(vault.engine(), "ledger", "k2").unwrap(), b"content");
}
