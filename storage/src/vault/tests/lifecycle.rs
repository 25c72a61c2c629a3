//! Goal: the lifecycle worker has go what is due and nothing else, never what is locked (L-1), and by no clock but the retention clock. Method: each
//! action on the whole engine with clocks moved by hand; the model of locks plays it among everything else.

use std::sync::Arc;

use kovcheg_format::id::UploadId;
use kovcheg_format::record::lifecycle::LifecycleRule;
use kovcheg_format::record::version::{Pair, RetentionMode, VersionKind};

use super::fresh;
use crate::engine::Engine;
use crate::error::StorageError;
use crate::lifecycle::{Expired, run};
use crate::object::lifecycle::{DueThing, DueWhat, propose_expire};
use crate::object::types::{HeldPart, NewLock, Retention, UploadRef, VersionName, VersionQuery, VersionRef};
use crate::object::version::newest;
use crate::object::versions::list_versions;
use crate::object::{bucket, uploads};
use crate::testing::driver::{create_bucket, create_upload, decide, delete, empty, get, keep_versions, put};
use crate::testing::locks::{
    create_locked_bucket, delete_version, place_hold, put_locked, rule, set_hold, set_rules, set_tags,
};
use crate::testing::sim_disk::SimPool;
use crate::testing::world::{ManualClock, World};
use crate::vault::{Parts, Vault};

const DAY: u64 = 24 * 3600 * 1000;
/// A noon.
const START: u64 = 20_416 * DAY + DAY / 2;

fn vault(name: &str, seed: u64) -> (Vault, ManualClock) {
    let (world, pool, clock) = (World::new(name), SimPool::new(seed, 6), ManualClock::new(START));
    let parts = Parts { clock: Arc::new(clock.clone()), ..world.parts(pool.disks(), fresh()) };
    (Vault::open_on(parts).unwrap().vault, clock)
}

fn walk(engine: &Arc<Engine>) -> (u64, u64) {
    let Expired { gone, kept, interrupted } = run(engine, &|| false).unwrap();
    assert!(!interrupted);
    (gone, kept)
}

/// What a bucket holds, as `key:content` or `key:-` for markers, by key and from the newest.
fn holds(engine: &Arc<Engine>) -> Vec<String> {
    let view = engine.index.as_ref();
    let bucket = bucket::find(view, "ledger").unwrap();
    let query = VersionQuery { max_keys: usize::MAX, ..VersionQuery::default() };
    let shown = |(version, _): (kovcheg_format::record::version::VersionPut, bool)| match version.kind {
        VersionKind::DeleteMarker => format!("{}:-", version.key),
        VersionKind::Object => format!("{}:{}", version.key, version.size),
    };
    list_versions(view, bucket.bucket, &query).unwrap().versions.into_iter().map(shown).collect()
}

fn sized(engine: &Arc<Engine>, key: &str, len: usize) {
    put(engine, "ledger", key, &vec![1; len]).unwrap();
}

#[test]
fn objects_expire_after_days_of_the_retention_clock_and_not_of_the_wall_clock() {
    let (vault, clock) = vault("lifecycle-days", 251);
    let engine = vault.engine();
    create_bucket(engine, "ledger").unwrap();
    set_rules(engine, "ledger", vec![LifecycleRule { prefix: "old/".into(), expire_days: 2, ..rule("r") }]).unwrap();
    sized(engine, "old/a", 1);
    sized(engine, "new/a", 2);
    // A wall clock that is set forward brings nothing about.
    clock.set_wall(START + 400 * DAY);
    assert_eq!(walk(engine), (0, 0));
    clock.set_wall(START);
    clock.run(5 * DAY / 2 - 1);
    assert_eq!(walk(engine), (0, 0), "a millisecond before the midnight");
    clock.run(1);
    assert_eq!(walk(engine), (1, 0));
    assert_eq!(holds(engine), ["new/a:2"]);
    assert_eq!(walk(engine), (0, 0), "once");
}

#[test]
fn where_versions_are_kept_markers_come_and_noncurrent_ones_go() {
    let (vault, clock) = vault("lifecycle-versions", 252);
    let engine = vault.engine();
    create_bucket(engine, "ledger").unwrap();
    keep_versions(engine, "ledger").unwrap();
    let all = LifecycleRule { expire_days: 1, noncurrent_days: 1, noncurrent_keep: 1, ..rule("all") };
    set_rules(engine, "ledger", vec![all]).unwrap();
    for len in 1..=4 {
        sized(engine, "k", len);
    }
    clock.run(2 * DAY);
    // The current one is put under a marker, 3 stays as the newest noncurrent one, 2 and 1 go; what has just become noncurrent is not due.
    assert_eq!(walk(engine), (3, 0));
    assert_eq!(holds(engine), ["k:-", "k:4", "k:3"]);
    clock.run(2 * DAY);
    assert_eq!(walk(engine), (1, 0));
    assert_eq!(holds(engine), ["k:-", "k:4"]);
    // Without one to keep the last goes as well, and the marker with nothing under it by its own age.
    set_rules(engine, "ledger", vec![LifecycleRule { noncurrent_days: 1, expire_days: 1, ..rule("all") }]).unwrap();
    assert_eq!(walk(engine), (1, 0));
    assert_eq!(holds(engine), ["k:-"]);
    assert_eq!(walk(engine), (1, 0));
    assert!(holds(engine).is_empty());
}

#[test]
fn what_is_locked_or_held_stays_until_it_is_not() {
    let (vault, clock) = vault("lifecycle-locks", 253);
    let engine = vault.engine();
    create_locked_bucket(engine, "ledger").unwrap();
    let lock =
        |mode, days| NewLock { retention: Some(Retention { mode, until: START + days * DAY }), legal_hold: false };
    put_locked(engine, ("ledger", "compliance"), b"1", lock(RetentionMode::Compliance, 9)).unwrap();
    put_locked(engine, ("ledger", "governance"), b"1", lock(RetentionMode::Governance, 9)).unwrap();
    put_locked(engine, ("ledger", "hold"), b"1", NewLock { retention: None, legal_hold: true }).unwrap();
    for key in ["case", "free"] {
        sized(engine, key, 1);
    }
    for key in ["compliance", "governance", "hold", "case", "free"] {
        sized(engine, key, 2);
    }
    place_hold(engine, "ledger", "7", HeldPart::Prefix("case".into())).unwrap();
    set_rules(engine, "ledger", vec![LifecycleRule { noncurrent_days: 1, ..rule("r") }]).unwrap();
    clock.run(3 * DAY);
    assert_eq!(walk(engine), (1, 4));
    assert_eq!(holds(engine).iter().filter(|version| version.ends_with(":1")).count(), 4);
    clock.run(7 * DAY);
    assert_eq!(walk(engine), (2, 2), "retention is over");
    let version = holds(engine);
    assert_eq!(version, ["case:2", "case:1", "compliance:2", "free:2", "governance:2", "hold:2", "hold:1"]);
    let bucket = bucket::find(engine.index.as_ref(), "ledger").unwrap();
    let query = VersionQuery { prefix: "hold".into(), max_keys: 9, ..VersionQuery::default() };
    let held = list_versions(engine.index.as_ref(), bucket.bucket, &query).unwrap().versions.remove(1).0;
    let name = Some(VersionName::of(&held));
    set_hold(engine, &VersionRef { bucket: "ledger".into(), key: "hold".into(), version: name }, false).unwrap();
    assert_eq!(walk(engine), (1, 1));
}

#[test]
fn uploads_that_nobody_completes_are_aborted() {
    let (vault, clock) = vault("lifecycle-uploads", 254);
    let engine = vault.engine();
    create_bucket(engine, "ledger").unwrap();
    let upload = |n: u8, key: &str| UploadRef { bucket: "ledger".into(), key: key.into(), upload: UploadId([n; 16]) };
    create_upload(engine, &upload(1, "wal/1")).unwrap();
    create_upload(engine, &upload(2, "base/1")).unwrap();
    set_rules(engine, "ledger", vec![LifecycleRule { prefix: "wal/".into(), abort_days: 1, ..rule("r") }]).unwrap();
    assert_eq!(walk(engine), (0, 0));
    clock.run(3 * DAY / 2);
    assert_eq!(walk(engine), (1, 0));
    // One that is begun while the wall clock is years behind is as young as any.
    clock.set_wall(START - 900 * DAY);
    create_upload(engine, &upload(3, "wal/3")).unwrap();
    assert_eq!(walk(engine), (0, 0), "it has just been begun");
    clock.run(2 * DAY);
    assert_eq!(walk(engine), (1, 0));
    let query = crate::object::types::UploadQuery { max_uploads: 9, ..Default::default() };
    let bucket = bucket::find(engine.index.as_ref(), "ledger").unwrap();
    let left = uploads::list_uploads(engine.index.as_ref(), bucket.bucket, &query).unwrap().uploads;
    assert_eq!(left.iter().map(|upload| upload.key.as_str()).collect::<Vec<_>>(), ["base/1"]);
}

#[test]
fn filters_and_switched_off_rules_are_heeded_by_many_keys() {
    let (vault, clock) = vault("lifecycle-many", 255);
    let engine = vault.engine();
    create_bucket(engine, "ledger").unwrap();
    // More than a page of things that are due.
    for n in 0..600 {
        sized(engine, &format!("k{n:03}"), 1 + n % 3);
    }
    let target = |key: &str| VersionRef { bucket: "ledger".into(), key: key.into(), version: None };
    for n in (0..600).step_by(2) {
        let tags = vec![Pair { name: "keep".into(), value: "no".into() }];
        set_tags(engine, &target(&format!("k{n:03}")), tags).unwrap();
    }
    let tags = vec![Pair { name: "keep".into(), value: "no".into() }];
    let sized_rule = LifecycleRule { tags, larger_than: Some(1), expire_days: 1, ..rule("sized") };
    let off = LifecycleRule { enabled: false, expire_days: 1, ..rule("off") };
    set_rules(engine, "ledger", vec![off, sized_rule]).unwrap();
    clock.run(3 * DAY);
    assert_eq!(walk(engine), (200, 0));
    assert_eq!(holds(engine).len(), 400);
    // A rule that is taken back while it is walked lets nothing go; nor does a walk that is stopped.
    set_rules(engine, "ledger", vec![LifecycleRule { expire_days: 1, ..rule("all") }]).unwrap();
    assert!(run(engine, &|| true).unwrap().interrupted);
    set_rules(engine, "ledger", Vec::new()).unwrap();
    assert_eq!(walk(engine), (0, 0));
    assert_eq!(holds(engine).len(), 400);
    delete(engine, "ledger", "k001").unwrap();
    assert_eq!(get(engine, "ledger", "k003").unwrap(), [1]);
}

#[test]
fn rules_that_mean_nothing_are_refused() {
    let (vault, _clock) = vault("lifecycle-rules", 256);
    let engine = vault.engine();
    create_bucket(engine, "ledger").unwrap();
    let acts = LifecycleRule { expire_days: 1, ..rule("r") };
    let tag = || vec![Pair { name: "a".into(), value: "b".into() }];
    for wrong in [
        vec![rule("does nothing")],
        vec![acts.clone(), acts.clone()],
        vec![LifecycleRule { id: String::new(), ..acts.clone() }],
        vec![LifecycleRule { id: "i".repeat(256), ..acts.clone() }],
        vec![LifecycleRule { expire_date: DAY, ..acts.clone() }],
        vec![LifecycleRule { expire_days: 36_501, ..acts.clone() }],
        vec![LifecycleRule { expire_date: DAY + 1, ..rule("r") }],
        vec![LifecycleRule { expire_markers: true, tags: tag(), ..rule("r") }],
        vec![LifecycleRule { abort_days: 1, larger_than: Some(1), ..rule("r") }],
        vec![LifecycleRule { noncurrent_keep: 1, ..acts.clone() }],
        vec![LifecycleRule { noncurrent_days: 1, noncurrent_keep: 101, ..rule("r") }],
        vec![LifecycleRule { larger_than: Some(5), smaller_than: Some(6), ..acts.clone() }],
        (0..1001).map(|n| LifecycleRule { id: n.to_string(), ..acts.clone() }).collect(),
    ] {
        let answer = set_rules(engine, "ledger", wrong.clone());
        assert!(matches!(answer, Err(StorageError::InvalidArgument { .. })), "{:?}: {answer:?}", wrong.first());
    }
    set_rules(engine, "ledger", (0..1000).map(|n| LifecycleRule { id: n.to_string(), ..acts.clone() }).collect())
        .unwrap();
}

/// The story: a walk counted two newer noncurrent versions to keep, a client removed one of them, and then there was one.
#[test]
fn what_changed_since_the_walk_counts() {
    let (vault, clock) = vault("lifecycle-since", 257);
    let engine = vault.engine();
    create_bucket(engine, "ledger").unwrap();
    keep_versions(engine, "ledger").unwrap();
    let versions: Vec<_> = (1..=4).map(|len| put(engine, "ledger", "k", &vec![1; len]).unwrap().version).collect();
    set_rules(engine, "ledger", vec![LifecycleRule { noncurrent_days: 1, noncurrent_keep: 2, ..rule("r") }]).unwrap();
    clock.run(3 * DAY);
    let thing = |version, superseded| DueThing {
        bucket: bucket::find(engine.index.as_ref(), "ledger").unwrap().bucket,
        bucket_name: "ledger".into(),
        key: "k".into(),
        rule: "r".into(),
        what: DueWhat::Version { version, superseded },
    };
    let expire = |thing: DueThing| {
        let decided = decide(engine, empty(), move |moment| {
            let records = propose_expire(moment, &thing)?;
            Ok((records.len(), records))
        });
        decided.unwrap()
    };
    let oldest = thing(versions[0], Some(START));
    let oldest_bucket = oldest.bucket;
    delete_version(engine, ("ledger", "k"), Some(VersionName::Id(versions[1])), false).unwrap();
    assert_eq!(expire(oldest.clone()), 0, "only one newer noncurrent version is left");
    // By a successor that is younger than the one that went.
    set_rules(engine, "ledger", vec![LifecycleRule { noncurrent_days: 1, ..rule("r") }]).unwrap();
    put(engine, "ledger", "k", b"young").unwrap();
    delete_version(engine, ("ledger", "k"), Some(VersionName::Id(versions[2])), false).unwrap();
    delete_version(engine, ("ledger", "k"), Some(VersionName::Id(versions[3])), false).unwrap();
    assert_eq!(expire(oldest.clone()), 0, "its successor has just been made");
    assert_eq!(expire(thing(versions[1], Some(START))), 0, "it is gone");
    let young = holds(engine).len();
    clock.run(3 * DAY);
    assert_eq!((expire(oldest), young), (2, 2));
    assert_eq!(holds(engine), ["k:5"]);
    // A marker that was all there was, and is not any more.
    delete(engine, "ledger", "m").unwrap();
    set_rules(engine, "ledger", vec![LifecycleRule { expire_markers: true, ..rule("r") }]).unwrap();
    let marker = newest(engine.index.as_ref(), oldest_bucket, "m").unwrap().unwrap().version;
    sized(engine, "m", 6);
    let of_marker = DueThing { key: "m".into(), ..thing(marker, None) };
    assert_eq!(expire(of_marker), 0, "something lies over it");
    assert_eq!(holds(engine), ["k:5", "m:6", "m:-"]);
}

/// A walk leaves out what is locked as far as it sees; whatever comes past it meets the guard, and without a bypass.
#[test]
fn what_a_walk_did_not_see_locked_is_refused_by_the_guard() {
    let (vault, clock) = vault("lifecycle-guard", 258);
    let engine = vault.engine();
    create_locked_bucket(engine, "ledger").unwrap();
    let lock = |mode| NewLock { retention: Some(Retention { mode, until: START + 9 * DAY }), legal_hold: false };
    let locked = [RetentionMode::Governance, RetentionMode::Compliance]
        .map(|mode| put_locked(engine, ("ledger", "k"), b"1", lock(mode)).unwrap().version);
    sized(engine, "k", 2);
    set_rules(engine, "ledger", vec![LifecycleRule { noncurrent_days: 1, ..rule("r") }]).unwrap();
    clock.run(3 * DAY);
    for (version, reason) in locked.into_iter().zip(["governance-retention", "compliance-retention"]) {
        let thing = DueThing {
            bucket: bucket::find(engine.index.as_ref(), "ledger").unwrap().bucket,
            bucket_name: "ledger".into(),
            key: "k".into(),
            rule: "r".into(),
            what: DueWhat::Version { version, superseded: Some(START) },
        };
        let refused = decide(engine, empty(), move |moment| Ok(((), propose_expire(moment, &thing)?)));
        assert!(matches!(&refused, Err(StorageError::Refused { reasons }) if reasons == &[reason]), "{refused:?}");
    }
    assert_eq!(holds(engine).len(), 3);
}
