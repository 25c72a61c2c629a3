//! Goal (L-1): what a case hold covers stays, whatever is tried, until two people release it, which nobody can yet. Method: each rule by itself,
//! on the whole engine; and again after a power cut, without the index, and without two disks.

use kovcheg_format::id::UploadId;
use kovcheg_format::record::version::Pair;

use super::fresh;
use crate::error::{StorageError, StorageResult};
use crate::object::holds::{self, HOLDS_MAX};
use crate::object::types::{HeldPart, UploadRef, VersionName, VersionRef};
use crate::testing::driver::{
    complete, copy_object, create_bucket, create_upload, delete, delete_bucket, delete_newest, get, keep_versions, put,
    put_part,
};
use crate::testing::locks::{delete_version, place_hold, set_tags};
use crate::testing::sim_disk::SimPool;
use crate::testing::world::World;
use crate::vault::Vault;

fn vault(name: &str, seed: u64) -> (World, SimPool, Vault) {
    let (world, pool) = (World::new(name), SimPool::new(seed, 6));
    let vault = world.open(pool.disks(), fresh()).unwrap().vault;
    (world, pool, vault)
}

fn tag(name: &str, value: &str) -> Pair {
    Pair { name: name.to_owned(), value: value.to_owned() }
}

fn current(key: &str) -> VersionRef {
    VersionRef { bucket: "ledger".into(), key: key.into(), version: None }
}

#[track_caller]
fn is_held<T: std::fmt::Debug>(answer: StorageResult<T>) {
    assert!(matches!(&answer, Err(StorageError::Refused { reasons }) if reasons == &["case-hold"]), "{answer:?}");
}

#[test]
fn nothing_under_a_prefix_is_replaced_or_removed_and_what_comes_is_held_too() {
    let (world, pool, vault) = vault("holds-prefix", 231);
    let engine = vault.engine();
    create_bucket(engine, "ledger").unwrap();
    for key in ["2024/a", "2025/a", "2025"] {
        put(engine, "ledger", key, key.as_bytes()).unwrap();
    }
    let upload = |key: &str| UploadRef { bucket: "ledger".into(), key: key.into(), upload: UploadId([9; 16]) };
    create_upload(engine, &upload("2025/a")).unwrap();
    put_part(engine, &upload("2025/a"), 1, "1", b"a part").unwrap();
    place_hold(engine, "ledger", "2026/77", HeldPart::Prefix("2025/".into())).unwrap();
    put(engine, "ledger", "2025/later", b"new").unwrap();
    let attacks = |vault: &Vault| {
        let engine = vault.engine();
        for key in ["2025/a", "2025/later"] {
            is_held(put(engine, "ledger", key, b"other"));
            is_held(copy_object(engine, "ledger", "2024/a", key));
            is_held(delete(engine, "ledger", key));
            is_held(delete_version(engine, ("ledger", key), Some(VersionName::Null), true));
        }
        is_held(complete(engine, &upload("2025/a"), &[(1, "1")]));
        assert_eq!(get(engine, "ledger", "2025/a").unwrap(), b"2025/a");
        assert_eq!(get(engine, "ledger", "2025/later").unwrap(), b"new");
        // What lies beside it is free.
        put(engine, "ledger", "2024/a", b"2024/a").unwrap();
        put(engine, "ledger", "2025", b"2025").unwrap();
        assert_eq!(holds::list(engine.index.as_ref(), None).unwrap().len(), 1);
    };
    attacks(&vault);
    // After a power cut, from the disks alone, and without two of them.
    drop(vault);
    let pool = pool.freeze().thaw(5);
    for gone in [vec![], vec![1, 4]] {
        let disks = (0..6).filter(|disk| !gone.contains(disk)).map(|disk| pool.disk(disk)).collect();
        let vault = world.open(disks, fresh()).unwrap().vault;
        attacks(&vault);
        vault.close().unwrap();
    }
}

#[test]
fn versions_and_markers_of_a_held_bucket_stay_and_the_bucket_too() {
    let (_world, _pool, vault) = vault("holds-bucket", 232);
    let engine = vault.engine();
    create_bucket(engine, "ledger").unwrap();
    keep_versions(engine, "ledger").unwrap();
    place_hold(engine, "ledger", "7", HeldPart::Bucket).unwrap();
    is_held(delete_bucket(engine, "ledger"));
    let first = put(engine, "ledger", "k", b"one").unwrap();
    put(engine, "ledger", "k", b"two").unwrap();
    delete(engine, "ledger", "k").unwrap();
    is_held(delete_newest(engine, "ledger", "k"));
    is_held(delete_version(engine, ("ledger", "k"), Some(VersionName::Id(first.version)), true));
    // Another bucket is none of its business.
    create_bucket(engine, "other").unwrap();
    put(engine, "other", "k", b"x").unwrap();
    delete(engine, "other", "k").unwrap();
    delete_bucket(engine, "other").unwrap();
}

#[test]
fn no_version_slips_out_of_a_hold_by_its_tags() {
    let (_world, _pool, vault) = vault("holds-tag", 233);
    let engine = vault.engine();
    create_bucket(engine, "ledger").unwrap();
    for key in ["a", "b"] {
        put(engine, "ledger", key, b"x").unwrap();
    }
    set_tags(engine, &current("a"), vec![tag("case", "7"), tag("x", "y")]).unwrap();
    place_hold(engine, "ledger", "7", HeldPart::Tag(tag("case", "7"))).unwrap();
    is_held(delete(engine, "ledger", "a"));
    is_held(set_tags(engine, &current("a"), vec![]));
    is_held(set_tags(engine, &current("a"), vec![tag("case", "8")]));
    set_tags(engine, &current("a"), vec![tag("case", "7"), tag("z", "")]).unwrap();
    is_held(delete(engine, "ledger", "a"));
    // What gets the tag later is held from then on.
    set_tags(engine, &current("b"), vec![tag("case", "8")]).unwrap();
    set_tags(engine, &current("b"), vec![tag("case", "7")]).unwrap();
    is_held(delete(engine, "ledger", "b"));
    is_held(set_tags(engine, &current("b"), vec![]));
}

#[test]
fn one_version_is_held_and_the_others_of_its_key_are_not() {
    let (_world, _pool, vault) = vault("holds-version", 234);
    let engine = vault.engine();
    create_bucket(engine, "ledger").unwrap();
    keep_versions(engine, "ledger").unwrap();
    let [one, two, three] = [b"1", b"2", b"3"].map(|body| put(engine, "ledger", "k", body).unwrap().version);
    let part = |name| HeldPart::Version("k".into(), name);
    // The current one, without a name; an older one by its name; twice is twice.
    let placed = place_hold(engine, "ledger", "7", part(None)).unwrap();
    assert_eq!(placed.part, part(Some(VersionName::Id(three))));
    for case in ["7", "8"] {
        place_hold(engine, "ledger", case, part(Some(VersionName::Id(one)))).unwrap();
    }
    for held in [one, three] {
        is_held(delete_version(engine, ("ledger", "k"), Some(VersionName::Id(held)), true));
    }
    delete_version(engine, ("ledger", "k"), Some(VersionName::Id(two)), false).unwrap();
    let gone = place_hold(engine, "ledger", "7", part(Some(VersionName::Id(two))));
    assert!(matches!(gone, Err(StorageError::NoSuchVersion)), "{gone:?}");
    let cases: Vec<String> =
        holds::list(engine.index.as_ref(), Some("ledger")).unwrap().into_iter().map(|hold| hold.case).collect();
    assert_eq!(cases, ["7", "7", "8"]);
}

#[test]
fn what_says_nothing_is_refused_and_a_bucket_has_a_thousand_at_most() {
    let (_world, _pool, vault) = vault("holds-limits", 235);
    let engine = vault.engine();
    create_bucket(engine, "ledger").unwrap();
    let wrong = |case: &str, part| {
        let answer = place_hold(engine, "ledger", case, part);
        assert!(matches!(answer, Err(StorageError::InvalidArgument { what: "case hold", .. })), "{answer:?}");
    };
    for case in ["", "  ", "a\nb", &"7".repeat(129)] {
        wrong(case, HeldPart::Bucket);
    }
    wrong("7", HeldPart::Prefix(String::new()));
    wrong("7", HeldPart::Prefix("p".repeat(1025)));
    wrong("7", HeldPart::Tag(tag("", "x")));
    wrong("7", HeldPart::Tag(tag("x", &"v".repeat(257))));
    let missing = place_hold(engine, "absent", "7", HeldPart::Bucket);
    assert!(matches!(missing, Err(StorageError::NoSuchBucket(_))), "{missing:?}");
    assert!(holds::list(engine.index.as_ref(), None).unwrap().is_empty());
    for n in 0..HOLDS_MAX {
        place_hold(engine, "ledger", "7", HeldPart::Prefix(format!("p{n}"))).unwrap();
    }
    wrong("7", HeldPart::Bucket);
    put(engine, "ledger", "p999", b"x").unwrap();
    is_held(delete(engine, "ledger", "p999"));
}
