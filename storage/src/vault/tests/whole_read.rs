//! Goal: a full read answers for the whole object, not only for its pieces (D-2). Method: versions that lie about their composed
//! CRC64 or the order of their pieces, which no disk fault makes but a bug might; every chunk in them is sound.

use super::{bytes, fresh};
use crate::engine::Engine;
use crate::error::{StorageError, StorageResult};
use crate::object::types::NewVersion;
use crate::object::version::{Content, propose_put};
use crate::testing::driver::{commit_of, create_bucket, decide, get, origin, write_body};
use crate::testing::sim_disk::SimPool;
use crate::testing::world::World;

fn put_spoilt(
    engine: &std::sync::Arc<Engine>,
    key: &'static str,
    spoil: impl FnOnce(&mut Content),
) -> StorageResult<()> {
    let body = write_body(engine, "ledger", &bytes(3, 200_000))?;
    let mut content = Content::of(&body);
    spoil(&mut content);
    let decided = decide(engine, commit_of(body), move |moment| {
        let (found, records) = propose_put(moment, "ledger", key, content, NewVersion::default(), &origin())?;
        Ok((found.version, records))
    });
    decided.map(drop)
}

#[test]
fn a_composed_checksum_that_does_not_hold_is_an_error() {
    let (world, pool) = (World::new("composed"), SimPool::new(61, 6));
    let opened = world.open(pool.disks(), fresh()).unwrap();
    let engine = opened.vault.engine();
    create_bucket(engine, "ledger").unwrap();
    put_spoilt(engine, "whole", |_| ()).unwrap();
    assert!(get(engine, "ledger", "whole").unwrap() == bytes(3, 200_000));
    put_spoilt(engine, "spoilt", |content| content.crc ^= 1).unwrap();
    let answer = get(engine, "ledger", "spoilt");
    let told = answer.map(|bytes| bytes.len());
    assert!(matches!(told, Err(StorageError::NotAuthentic { .. })), "{told:?}");
}
