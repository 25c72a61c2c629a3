//! The driver's calls about Object Lock, case holds, lifecycle rules and tags.

use std::sync::Arc;

use kovcheg_format::id::TenantId;
use kovcheg_format::record::bucket::{BucketCreated, Namespace};
use kovcheg_format::record::lifecycle::LifecycleRule;
use kovcheg_format::record::version::{Pair, VersionPut};

use crate::engine::Engine;
use crate::error::StorageResult;
use crate::object::copy::{CopySource, propose_copy};
use crate::object::types::{
    CaseHold, DefaultRetention, DeleteOutcome, HeldPart, NewBucket, NewCaseHold, NewLock, NewUpload, NewVersion,
    Retention, UploadRef, VersionName, VersionRef,
};
use crate::object::version::{Content, propose_delete, propose_put};
use crate::object::{bucket, holds, lifecycle, locks, multipart, tags, version};
use crate::testing::driver::{commit_of, decide, empty, origin, write_body};

/// Makes a bucket with Object Lock.
pub fn create_locked_bucket(engine: &Engine, name: &str) -> StorageResult<BucketCreated> {
    let new = NewBucket {
        name: name.to_owned(),
        tenant: TenantId(1),
        namespace: Namespace::Flat,
        profile: None,
        object_lock: true,
    };
    let profile = engine.config.profile.clone();
    decide(engine, empty(), move |moment| bucket::propose_create(moment, &new, &profile, &origin()))
}

/// Sets the default retention of a bucket.
pub fn set_default(engine: &Engine, bucket_name: &str, wanted: DefaultRetention) -> StorageResult<()> {
    let name = bucket_name.to_owned();
    decide(engine, empty(), move |moment| Ok(((), locks::propose_configure(moment, &name, wanted, &origin())?)))
}

/// Puts an object that asks for locks.
pub fn put_locked(
    engine: &Arc<Engine>,
    (bucket_name, key): (&str, &str),
    bytes: &[u8],
    lock: NewLock,
) -> StorageResult<VersionPut> {
    let body = write_body(engine, bucket_name, bytes)?;
    let content = Content::of(&body);
    let (name, key) = (bucket_name.to_owned(), key.to_owned());
    let new = NewVersion { lock, ..NewVersion::default() };
    decide(engine, commit_of(body), move |moment| {
        let (found, records) = propose_put(moment, &name, &key, content, new, &origin())?;
        Ok((found.version, records))
    })
}

/// Copies the current version of a key to another, asking for locks.
pub fn copy_locked(
    engine: &Engine,
    bucket_name: &str,
    (from, to): (&str, &str),
    lock: NewLock,
) -> StorageResult<VersionPut> {
    let version = version::named(engine.index.as_ref(), bucket_name, from, None)?.version;
    let source = CopySource { bucket: bucket_name.to_owned(), version };
    let (name, key) = (bucket_name.to_owned(), to.to_owned());
    let new = NewVersion { lock, ..NewVersion::default() };
    decide(engine, empty(), move |moment| {
        let (found, records) = propose_copy(moment, &source, &name, &key, new, &origin())?;
        Ok((found.version, records))
    })
}

/// Opens an upload whose object is to have locks.
pub fn create_locked_upload(engine: &Engine, upload: &UploadRef, lock: NewLock) -> StorageResult<()> {
    let upload = upload.clone();
    let new = NewUpload { lock, ..NewUpload::default() };
    decide(engine, empty(), move |moment| {
        let UploadRef { bucket, key, upload } = upload;
        Ok(((), multipart::propose_create(moment, &bucket, &key, upload, &new, &origin())?))
    })
}

/// Removes a version, or, without a name, makes a delete marker.
pub fn delete_version(
    engine: &Engine,
    (bucket_name, key): (&str, &str),
    wanted: Option<VersionName>,
    bypass: bool,
) -> StorageResult<DeleteOutcome> {
    let (name, key) = (bucket_name.to_owned(), key.to_owned());
    decide(engine, empty(), move |moment| propose_delete(moment, &name, &key, wanted, bypass, &origin()))
}

/// Sets or takes away the retention of a version.
pub fn set_retention(
    engine: &Engine,
    target: &VersionRef,
    wanted: Option<Retention>,
    bypass: bool,
) -> StorageResult<()> {
    let target = target.clone();
    decide(engine, empty(), move |moment| {
        let (_, records) = locks::propose_set_retention(moment, &target, wanted, bypass, &origin())?;
        Ok(((), records))
    })
}

/// Sets or clears the legal hold of a version.
pub fn set_hold(engine: &Engine, target: &VersionRef, on: bool) -> StorageResult<()> {
    let target = target.clone();
    decide(engine, empty(), move |moment| Ok(((), locks::propose_set_hold(moment, &target, on, &origin())?.1)))
}

/// Sets the tags of a version.
pub fn set_tags(engine: &Engine, target: &VersionRef, wanted: Vec<Pair>) -> StorageResult<()> {
    let target = target.clone();
    decide(engine, empty(), move |moment| Ok(((), tags::propose_set(moment, &target, wanted, &origin())?.1)))
}

/// Places a case hold.
pub fn place_hold(engine: &Engine, bucket_name: &str, case: &str, part: HeldPart) -> StorageResult<CaseHold> {
    let new = NewCaseHold { case: case.to_owned(), bucket: bucket_name.to_owned(), part, note: String::new() };
    decide(engine, empty(), move |moment| holds::propose_place(moment, &new, &origin()))
}

/// Gives a bucket lifecycle rules.
pub fn set_rules(engine: &Engine, bucket_name: &str, rules: Vec<LifecycleRule>) -> StorageResult<()> {
    let name = bucket_name.to_owned();
    decide(engine, empty(), move |moment| Ok(((), lifecycle::propose_configure(moment, &name, rules, &origin())?)))
}

/// A rule that covers everything and does nothing yet.
#[must_use]
pub fn rule(id: &str) -> LifecycleRule {
    LifecycleRule {
        id: id.to_owned(),
        enabled: true,
        prefix: String::new(),
        tags: Vec::new(),
        larger_than: None,
        smaller_than: None,
        expire_days: 0,
        expire_date: 0,
        expire_markers: false,
        noncurrent_days: 0,
        noncurrent_keep: 0,
        abort_days: 0,
        transitions: Vec::new(),
    }
}
