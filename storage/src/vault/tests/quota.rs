//! Goal: a bucket grows up to its quota and not a byte further, by whatever way and however many at once; what makes it no bigger is always
//! taken; and what counts is what is there, after every restart. Method: the whole engine; sums counted anew from the rows.

use std::ops::ControlFlow;
use std::sync::Arc;

use kovcheg_format::id::UploadId;
use kovcheg_format::record::upload::PartPut;
use kovcheg_format::record::version::VersionPut;

use super::fresh;
use crate::engine::Engine;
use crate::error::{StorageError, StorageResult};
use crate::index::rows::BucketUsage;
use crate::index::{Column, IndexRead, rows};
use crate::journal::apply::PART_OF_UPLOAD;
use crate::object::types::UploadRef;
use crate::object::{bucket, quota};
use crate::testing::driver::{
    abort, complete, copy_object, create_bucket, create_upload, delete, delete_newest, get, keep_versions, put,
    put_part,
};
use crate::testing::sim_disk::SimPool;
use crate::testing::world::World;
use crate::vault::Vault;

const BUCKET: &str = "ledger";

fn vault(name: &str, seed: u64) -> (World, SimPool, Vault) {
    let (world, pool) = (World::new(name), SimPool::new(seed, 6));
    let vault = world.open(pool.disks(), fresh()).unwrap().vault;
    create_bucket(vault.engine(), BUCKET).unwrap();
    (world, pool, vault)
}

fn upload(n: u8) -> UploadRef {
    UploadRef { bucket: BUCKET.into(), key: "big".into(), upload: UploadId([n; 16]) }
}

#[track_caller]
fn no_room<T: std::fmt::Debug>(answer: StorageResult<T>) {
    assert!(matches!(answer, Err(StorageError::QuotaExceeded { .. })), "{answer:?}");
}

fn usage(engine: &Engine) -> BucketUsage {
    let view = engine.index.as_ref();
    let kept = quota::usage(view, bucket::find(view, BUCKET).unwrap().bucket).unwrap();
    assert_eq!(kept, counted(view), "what is kept is what is there");
    kept
}

/// Of the one bucket there is.
fn counted(view: &dyn IndexRead) -> BucketUsage {
    let mut usage = BucketUsage::default();
    rows::scan::<VersionPut>(view, Column::Version, &[], None, &mut |_, version| {
        usage.versions += 1;
        usage.bytes += version.size;
        ControlFlow::Continue(())
    })
    .unwrap();
    view.scan(Column::Part, &[], None, &mut |key, value| {
        if !key.ends_with(&PART_OF_UPLOAD.to_be_bytes()) {
            usage.upload_bytes += rows::decode::<PartPut>(Column::Part, value).unwrap().size;
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    usage
}

#[test]
fn a_bucket_grows_to_the_byte_and_shrinks_whatever_its_quota_is() {
    let (world, pool, vault) = vault("quota-grows", 271);
    let engine = vault.engine();
    put(engine, BUCKET, "a", &[1; 600]).unwrap();
    let set = vault.set_quota(BUCKET, Some(1000)).unwrap();
    assert_eq!((set.quota, set.usage.bytes, set.usage.versions), (Some(1000), 600, 1));
    no_room(put(engine, BUCKET, "b", &[2; 401]));
    put(engine, BUCKET, "b", &[2; 400]).unwrap();
    no_room(put(engine, BUCKET, "c", &[3; 1]));
    put(engine, BUCKET, "c", &[]).unwrap();
    no_room(copy_object(engine, BUCKET, "a", "d"));
    // In place of what goes.
    put(engine, BUCKET, "a", &[4; 600]).unwrap();
    no_room(put(engine, BUCKET, "a", &[4; 601]));
    copy_object(engine, BUCKET, "b", "a").unwrap();
    assert_eq!(usage(engine).total(), 800);
    // Below what is there nothing goes, and nothing grows.
    vault.set_quota(BUCKET, Some(10)).unwrap();
    put(engine, BUCKET, "b", &[5; 399]).unwrap();
    no_room(put(engine, BUCKET, "b", &[5; 400]));
    no_room(put(engine, BUCKET, "new", &[6; 1]));
    assert_eq!(get(engine, BUCKET, "b").unwrap(), [5; 399]);
    // It is kept, and counted again from the disks alone.
    drop(vault);
    for index in [fresh(), fresh()] {
        let vault = world.open(pool.disks(), index).unwrap().vault;
        let engine = vault.engine();
        assert_eq!(usage(engine).total(), 799);
        no_room(put(engine, BUCKET, "new", &[6; 1]));
        vault.close().unwrap();
    }
    let vault = world.open(pool.disks(), fresh()).unwrap().vault;
    let engine = vault.engine();
    delete(engine, BUCKET, "a").unwrap();
    delete(engine, BUCKET, "b").unwrap();
    assert_eq!(usage(engine), BucketUsage { versions: 1, bytes: 0, upload_bytes: 0 });
    vault.set_quota(BUCKET, None).unwrap();
    put(engine, BUCKET, "new", &[6; 100_000]).unwrap();
    assert!(matches!(vault.set_quota("absent", Some(1)), Err(StorageError::NoSuchBucket(_))));
}

#[test]
fn versions_count_until_they_go_and_markers_weigh_nothing() {
    let (_world, _pool, vault) = vault("quota-versions", 272);
    let engine = vault.engine();
    keep_versions(engine, BUCKET).unwrap();
    vault.set_quota(BUCKET, Some(1000)).unwrap();
    put(engine, BUCKET, "k", &[1; 500]).unwrap();
    put(engine, BUCKET, "k", &[2; 500]).unwrap();
    no_room(put(engine, BUCKET, "k", &[3; 1]));
    delete(engine, BUCKET, "k").unwrap();
    assert_eq!(usage(engine), BucketUsage { versions: 3, bytes: 1000, upload_bytes: 0 });
    no_room(put(engine, BUCKET, "k", &[3; 1]));
    // The marker, then the newer version.
    delete_newest(engine, BUCKET, "k").unwrap();
    delete_newest(engine, BUCKET, "k").unwrap();
    put(engine, BUCKET, "k", &[3; 500]).unwrap();
    assert_eq!(usage(engine).total(), 1000);
}

#[test]
fn parts_count_as_they_come_and_a_completion_is_never_too_much() {
    const PART: usize = 5 << 20;
    let (_world, _pool, vault) = vault("quota-uploads", 273);
    let engine = vault.engine();
    vault.set_quota(BUCKET, Some(PART as u64 + 1000)).unwrap();
    create_upload(engine, &upload(1)).unwrap();
    put_part(engine, &upload(1), 1, "1", &vec![1; PART]).unwrap();
    put_part(engine, &upload(1), 2, "2", &[2; 900]).unwrap();
    no_room(put_part(engine, &upload(1), 3, "3", &[3; 101]));
    // A part in place of another counts once.
    put_part(engine, &upload(1), 2, "2'", &[2; 1000]).unwrap();
    no_room(put_part(engine, &upload(1), 2, "2''", &[2; 1001]));
    no_room(put(engine, BUCKET, "other", &[4; 1]));
    assert_eq!(usage(engine).upload_bytes, PART as u64 + 1000);
    // Full to the byte, and lowered meanwhile: what came in by parts is kept.
    vault.set_quota(BUCKET, Some(7)).unwrap();
    complete(engine, &upload(1), &[(1, "1"), (2, "2'")]).unwrap();
    assert_eq!(usage(engine), BucketUsage { versions: 1, bytes: PART as u64 + 1000, upload_bytes: 0 });
    vault.set_quota(BUCKET, Some(2 * PART as u64)).unwrap();
    create_upload(engine, &upload(2)).unwrap();
    put_part(engine, &upload(2), 9, "9", &[9; 5000]).unwrap();
    abort(engine, &upload(2)).unwrap();
    assert_eq!(usage(engine).upload_bytes, 0);
}

/// Puts that share a journal stripe see one another: together they do not pass what none of them would pass alone.
#[test]
fn many_at_once_do_not_pass_the_quota_together() {
    let (_world, _pool, vault) = vault("quota-many", 274);
    let engine = vault.engine().clone();
    vault.set_quota(BUCKET, Some(10_000)).unwrap();
    let taken: usize = std::thread::scope(|scope| {
        let put_all = |writer: usize| {
            let engine = Arc::clone(&engine);
            move || (0..20).filter(|n| put(&engine, BUCKET, &format!("{writer}/{n}"), &[7; 130]).is_ok()).count()
        };
        let writers: Vec<_> = (0..8).map(|writer| scope.spawn(put_all(writer))).collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).sum()
    });
    assert_eq!((taken, usage(&engine).total()), (76, 76 * 130), "as many as fit");
}
