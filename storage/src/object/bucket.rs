//! Buckets: made, found, listed, removed when empty.

use std::ops::ControlFlow;

use kovcheg_format::Decode;
use kovcheg_format::id::BucketId;
use kovcheg_format::key;
use kovcheg_format::record::Record;
use kovcheg_format::record::audit::{Action, Origin};
use kovcheg_format::record::bucket::{BucketCreated, BucketDeleted, ChunkProfile, Versioning, VersioningSet};
use kovcheg_policy::Reason;

use crate::error::{StorageError, StorageResult};
use crate::identity::tenants;
use crate::index::{Column, IndexError, IndexRead, rows};
use crate::journal::sequencer::Moment;
use crate::object::guard::audit;
use crate::object::names::check_bucket_name;
use crate::object::types::NewBucket;

/// A bucket by name; [`StorageError::NoSuchBucket`] when there is none.
pub fn find(view: &dyn IndexRead, name: &str) -> StorageResult<BucketCreated> {
    let missing = || StorageError::NoSuchBucket(name.to_owned());
    let id = view.get(Column::BucketName, name.as_bytes())?.ok_or_else(missing)?;
    rows::get(view, Column::Bucket, &id)?.ok_or_else(missing)
}

/// All buckets, by name.
pub fn all(view: &dyn IndexRead) -> StorageResult<Vec<BucketCreated>> {
    let mut buckets = Vec::new();
    let mut failure = None;
    view.scan(Column::Bucket, &[], None, &mut |_, value| match BucketCreated::from_bytes(value) {
        Ok(bucket) => {
            buckets.push(bucket);
            ControlFlow::Continue(())
        }
        Err(source) => {
            failure = Some(IndexError::Row { column: "bucket", source });
            ControlFlow::Break(())
        }
    })?;
    if let Some(error) = failure {
        return Err(error.into());
    }
    buckets.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(buckets)
}

/// Decides the making of a bucket.
pub fn propose_create(
    moment: &Moment<'_>,
    new: &NewBucket,
    default_profile: &ChunkProfile,
    by: &Origin,
) -> StorageResult<(BucketCreated, Vec<Record>)> {
    check_bucket_name(&new.name)?;
    if moment.view.get(Column::BucketName, new.name.as_bytes())?.is_some() {
        return Err(StorageError::BucketExists(new.name.clone()));
    }
    let bucket = BucketCreated {
        bucket: BucketId((moment.lsn.0 << 16) | u64::from(moment.ordinal)),
        name: new.name.clone(),
        tenant: new.tenant,
        domain: tenants::domain_of(moment.view, new.tenant)?,
        namespace: new.namespace,
        profile: new.profile.clone().unwrap_or_else(|| default_profile.clone()),
        jurisdiction: 0,
        placement: 0,
        tier: 0,
        object_lock: new.object_lock,
        created_at: moment.now,
        by: by.clone(),
    };
    let mut records = vec![audit(moment, Action::CreateBucket, by, &new.name, ""), bucket.clone().into()];
    if new.object_lock {
        records.push(VersioningSet { bucket: bucket.bucket, state: Versioning::Enabled, by: by.clone() }.into());
    }
    Ok((bucket, records))
}

/// Decides the removal of a bucket, which must hold no version and no upload, and be under no case hold.
pub fn propose_delete(moment: &Moment<'_>, name: &str, by: &Origin) -> StorageResult<Vec<Record>> {
    let bucket = find(moment.view, name)?;
    for column in [Column::Version, Column::Upload] {
        if !is_empty(moment.view, column, bucket.bucket)? {
            return Err(StorageError::BucketNotEmpty(name.to_owned()));
        }
    }
    if !is_empty(moment.view, Column::CaseHold, bucket.bucket)? {
        return Err(StorageError::Refused { reasons: vec![Reason::CaseHold.code().to_owned()] });
    }
    let deleted = BucketDeleted { bucket: bucket.bucket, by: by.clone() };
    Ok(vec![audit(moment, Action::DeleteBucket, by, name, ""), deleted.into()])
}

fn is_empty(view: &dyn IndexRead, column: Column, bucket: BucketId) -> StorageResult<bool> {
    let prefix = key::bucket(bucket);
    let mut empty = true;
    view.scan(column, &prefix, key::after_prefix(&prefix).as_deref(), &mut |_, _| {
        empty = false;
        ControlFlow::Break(())
    })?;
    Ok(empty)
}
