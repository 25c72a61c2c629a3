//! Goal (L-1): Object Lock does what docs/semantics.md says of it. Method: each rule by itself, on an engine with a clock moved by hand.

use std::sync::Arc;

use kovcheg_format::id::UploadId;
use kovcheg_format::record::version::{RetentionMode, VersionFacts};
use kovcheg_policy::period::after_years;

use super::fresh;
use crate::error::{StorageError, StorageResult};
use crate::object::types::{DefaultRetention, NewLock, Retention, UploadRef, VersionName, VersionRef};
use crate::object::version;
use crate::testing::driver::{abort, complete, create_bucket, delete, keep_versions, put, put_part};
use crate::testing::locks::{
    copy_locked, create_locked_bucket, create_locked_upload, delete_version, put_locked, set_default, set_hold,
    set_retention,
};
use crate::testing::sim_disk::SimPool;
use crate::testing::world::{ManualClock, World};
use crate::vault::{Parts, Vault};

const START: u64 = 1_764_000_000_000;
const DAY: u64 = 24 * 3600 * 1000;

fn vault(name: &str, seed: u64) -> (Vault, ManualClock) {
    let (world, pool, clock) = (World::new(name), SimPool::new(seed, 6), ManualClock::new(START));
    let parts = Parts { clock: Arc::new(clock.clone()), ..world.parts(pool.disks(), fresh()) };
    (Vault::open_on(parts).unwrap().vault, clock)
}

fn until(mode: RetentionMode, until: u64) -> NewLock {
    NewLock { retention: Some(Retention { mode, until }), legal_hold: false }
}

fn target(key: &str) -> VersionRef {
    VersionRef { bucket: "held".into(), key: key.into(), version: None }
}

fn facts(vault: &Vault, key: &str) -> VersionFacts {
    version::find(vault.engine().index.as_ref(), "held", key).unwrap().facts
}

#[track_caller]
fn is_refused<T: std::fmt::Debug>(answer: StorageResult<T>, reasons: &[&str]) {
    assert!(matches!(&answer, Err(StorageError::Refused { reasons: found }) if found == reasons), "{answer:?}");
}

#[test]
fn a_bucket_without_object_lock_locks_nothing_and_says_so() {
    let (vault, _clock) = vault("no-lock", 211);
    let engine = vault.engine();
    create_bucket(engine, "held").unwrap();
    put(engine, "held", "k", b"x").unwrap();
    let no_lock = |answer: StorageResult<()>| assert!(matches!(answer, Err(StorageError::NoObjectLock)), "{answer:?}");
    no_lock(put_locked(engine, ("held", "k"), b"y", until(RetentionMode::Governance, START + DAY)).map(drop));
    no_lock(copy_locked(engine, "held", ("k", "l"), NewLock { legal_hold: true, ..NewLock::default() }).map(drop));
    let upload = UploadRef { bucket: "held".into(), key: "u".into(), upload: UploadId([9; 16]) };
    no_lock(create_locked_upload(engine, &upload, until(RetentionMode::Compliance, START + DAY)));
    no_lock(set_hold(engine, &target("k"), true));
    no_lock(set_retention(
        engine,
        &target("k"),
        Some(Retention { mode: RetentionMode::Governance, until: START + 1 }),
        true,
    ));
    // It can get one once it keeps versions, and then keeps them for ever.
    let default = DefaultRetention { mode: RetentionMode::Governance, days: 1, years: 0 };
    let early = set_default(engine, "held", default);
    assert!(matches!(early, Err(StorageError::InvalidBucketState(_))), "{early:?}");
    keep_versions(engine, "held").unwrap();
    for wrong in [(0, 0), (1, 1), (36_501, 0), (0, 101)] {
        let asked = DefaultRetention { mode: RetentionMode::Governance, days: wrong.0, years: wrong.1 };
        assert!(matches!(set_default(engine, "held", asked), Err(StorageError::InvalidArgument { .. })), "{wrong:?}");
    }
    set_default(engine, "held", default).unwrap();
    put(engine, "held", "k", b"z").unwrap();
    assert_eq!(facts(&vault, "k").retain_until, START + DAY);
}

#[test]
fn versions_get_what_they_ask_for_or_the_default() {
    let (vault, clock) = vault("defaults", 212);
    let engine = vault.engine();
    create_locked_bucket(engine, "held").unwrap();
    put(engine, "held", "free", b"x").unwrap();
    assert_eq!(facts(&vault, "free").retention, RetentionMode::None);
    set_default(engine, "held", DefaultRetention { mode: RetentionMode::Compliance, days: 0, years: 5 }).unwrap();
    put(engine, "held", "years", b"x").unwrap();
    assert_eq!(facts(&vault, "years").retain_until, after_years(START, 5));
    // Relative retention counts from the later of both clocks.
    clock.set_wall(START + 40 * DAY);
    put(engine, "held", "wall", b"x").unwrap();
    assert_eq!(facts(&vault, "wall").retain_until, after_years(START + 40 * DAY, 5));
    clock.set_wall(START - 40 * DAY);
    put(engine, "held", "back", b"x").unwrap();
    assert_eq!(facts(&vault, "back").retain_until, after_years(START, 5));
    clock.set_wall(START);
    let asked = until(RetentionMode::Governance, START + 7);
    put_locked(engine, ("held", "asked"), b"x", asked).unwrap();
    assert_eq!(
        (facts(&vault, "asked").retention, facts(&vault, "asked").retain_until),
        (RetentionMode::Governance, START + 7)
    );
    // A copy is a new version: it takes no lock along from its source.
    copy_locked(engine, "held", ("asked", "copy"), NewLock { legal_hold: true, ..NewLock::default() }).unwrap();
    let copied = facts(&vault, "copy");
    assert_eq!((copied.retention, copied.legal_hold), (RetentionMode::Compliance, true));
    for wrong in [START, START - 1, after_years(START, 100) + 1] {
        let answer = put_locked(engine, ("held", "k"), b"x", until(RetentionMode::Governance, wrong));
        assert!(matches!(answer, Err(StorageError::InvalidArgument { .. })), "{answer:?}");
    }
}

#[test]
fn an_upload_keeps_the_locks_it_asked_for() {
    let (vault, clock) = vault("upload-locks", 213);
    let engine = vault.engine();
    create_locked_bucket(engine, "held").unwrap();
    let lock = NewLock { legal_hold: true, ..until(RetentionMode::Compliance, START + DAY) };
    for (n, late) in [(1_u8, false), (2, true)] {
        let upload = UploadRef { bucket: "held".into(), key: format!("u{n}"), upload: UploadId([n; 16]) };
        create_locked_upload(engine, &upload, lock).unwrap();
        put_part(engine, &upload, 1, "1", b"part").unwrap();
        if late {
            // What took longer to upload than its lock lasts is kept all the same.
            clock.run(2 * DAY);
        }
        complete(engine, &upload, &[(1, "1")]).unwrap();
        let found = facts(&vault, &upload.key);
        assert_eq!(
            (found.retention, found.retain_until, found.legal_hold),
            (RetentionMode::Compliance, START + DAY, true)
        );
    }
    let upload = UploadRef { bucket: "held".into(), key: "u3".into(), upload: UploadId([3; 16]) };
    create_locked_upload(engine, &upload, until(RetentionMode::Governance, START + 9 * DAY)).unwrap();
    abort(engine, &upload).unwrap();
    let mut left = 0;
    let count = &mut |_: &[u8], _: &[u8]| {
        left += 1;
        std::ops::ControlFlow::Continue(())
    };
    crate::index::IndexRead::scan(engine.index.as_ref(), crate::index::Column::UploadLock, &[], None, count).unwrap();
    assert_eq!(left, 0, "locks of uploads that ended");
}

#[test]
fn locked_versions_stay_and_new_ones_come() {
    let (vault, clock) = vault("stays", 214);
    let engine = vault.engine();
    create_locked_bucket(engine, "held").unwrap();
    let cases = [
        ("governance", until(RetentionMode::Governance, START + DAY), false, vec!["governance-retention"]),
        ("compliance", until(RetentionMode::Compliance, START + DAY), true, vec!["compliance-retention"]),
        ("hold", NewLock { legal_hold: true, ..NewLock::default() }, true, vec!["legal-hold"]),
        (
            "both",
            NewLock { legal_hold: true, ..until(RetentionMode::Compliance, START + DAY) },
            true,
            vec!["compliance-retention", "legal-hold"],
        ),
    ];
    let mut names = Vec::new();
    for (key, lock, bypass, reasons) in &cases {
        let locked = put_locked(engine, ("held", key), b"locked", *lock).unwrap();
        let name = Some(VersionName::Id(locked.version));
        is_refused(delete_version(engine, ("held", key), name, *bypass), reasons);
        // A delete marker and another version go on top.
        delete(engine, "held", key).unwrap();
        put(engine, "held", key, b"newer").unwrap();
        is_refused(delete_version(engine, ("held", key), name, *bypass), reasons);
        names.push(name);
    }
    delete_version(engine, ("held", "governance"), names[0], true).unwrap();
    // One millisecond before its date a version stays, at its date it may go.
    clock.run(DAY - 1);
    is_refused(delete_version(engine, ("held", "compliance"), names[1], true), &["compliance-retention"]);
    clock.run(1);
    delete_version(engine, ("held", "compliance"), names[1], false).unwrap();
    is_refused(delete_version(engine, ("held", "both"), names[3], true), &["legal-hold"]);
    let both = VersionRef { version: names[3], ..target("both") };
    set_hold(engine, &both, false).unwrap();
    delete_version(engine, ("held", "both"), names[3], false).unwrap();
}

#[test]
fn locks_are_of_the_version_that_is_named() {
    let (vault, _clock) = vault("named-locks", 215);
    let engine = vault.engine();
    create_locked_bucket(engine, "held").unwrap();
    let first = put(engine, "held", "k", b"first").unwrap();
    put(engine, "held", "k", b"second").unwrap();
    let older = VersionRef { version: Some(VersionName::Id(first.version)), ..target("k") };
    set_hold(engine, &older, true).unwrap();
    assert!(!facts(&vault, "k").legal_hold);
    is_refused(delete_version(engine, ("held", "k"), older.version, true), &["legal-hold"]);
    delete(engine, "held", "k").unwrap();
    let marker = set_hold(engine, &target("k"), true);
    assert!(matches!(marker, Err(StorageError::DeleteMarker { .. })), "{marker:?}");
    let absent = set_hold(engine, &target("absent"), true);
    assert!(matches!(absent, Err(StorageError::NoSuchKey)), "{absent:?}");
    let compliance = Some(Retention { mode: RetentionMode::Compliance, until: START + DAY });
    set_retention(engine, &older, compliance, false).unwrap();
    let shorter = Some(Retention { mode: RetentionMode::Compliance, until: START + DAY - 1 });
    is_refused(set_retention(engine, &older, shorter, true), &["compliance-retention"]);
    is_refused(set_retention(engine, &older, None, true), &["compliance-retention"]);
}
