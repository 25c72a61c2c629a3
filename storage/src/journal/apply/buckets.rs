//! What records about buckets and what is set for them make of the rows.

use kovcheg_format::codec::Encode;
use kovcheg_format::id::BucketId;
use kovcheg_format::key;
use kovcheg_format::record::bucket::{BucketCreated, BucketDeleted, ObjectLockSet, QuotaSet, VersioningSet};
use kovcheg_format::record::hold::CaseHoldPlaced;
use kovcheg_format::record::lifecycle::LifecycleSet;

use super::Overlay;
use crate::index::{Column, IndexError, IndexRead as _, rows};

pub(super) fn bucket_created(overlay: &mut Overlay<'_>, created: &BucketCreated) -> Result<(), IndexError> {
    let id = key::bucket(created.bucket);
    overlay.put(Column::BucketName, created.name.clone().into_bytes(), id.clone())?;
    overlay.put(Column::Bucket, id, created.to_bytes())
}

pub(super) fn bucket_deleted(overlay: &mut Overlay<'_>, deleted: &BucketDeleted) -> Result<(), IndexError> {
    let id = key::bucket(deleted.bucket);
    let Some(created) = rows::get::<BucketCreated>(overlay, Column::Bucket, &id)? else {
        overlay.note_orphan();
        return Ok(());
    };
    // The name may belong to a later bucket already, when an older part of the journal is applied again.
    if rows::bucket_id(overlay, &created.name)? == Some(deleted.bucket) {
        overlay.remove(Column::BucketName, created.name.into_bytes())?;
    }
    overlay.remove(Column::Versioning, id.clone())?;
    overlay.remove(Column::ObjectLock, id.clone())?;
    overlay.remove(Column::Lifecycle, id.clone())?;
    overlay.remove(Column::Quota, id.clone())?;
    overlay.remove(Column::Bucket, id)
}

pub(super) fn versioning_set(overlay: &mut Overlay<'_>, set: &VersioningSet) -> Result<(), IndexError> {
    set_of(overlay, set.bucket, Column::Versioning, key::bucket(set.bucket), Some(set))
}

pub(super) fn object_lock_set(overlay: &mut Overlay<'_>, set: &ObjectLockSet) -> Result<(), IndexError> {
    set_of(overlay, set.bucket, Column::ObjectLock, key::bucket(set.bucket), Some(set))
}

pub(super) fn lifecycle_set(overlay: &mut Overlay<'_>, set: &LifecycleSet) -> Result<(), IndexError> {
    let row = Some(set).filter(|set| !set.rules.is_empty());
    set_of(overlay, set.bucket, Column::Lifecycle, key::bucket(set.bucket), row)
}

pub(super) fn quota_set(overlay: &mut Overlay<'_>, set: &QuotaSet) -> Result<(), IndexError> {
    let row = Some(set).filter(|set| set.bytes.is_some());
    set_of(overlay, set.bucket, Column::Quota, key::bucket(set.bucket), row)
}

pub(super) fn case_hold_placed(overlay: &mut Overlay<'_>, hold: &CaseHoldPlaced) -> Result<(), IndexError> {
    set_of(overlay, hold.bucket, Column::CaseHold, key::case_hold(hold.bucket, hold.hold), Some(hold))
}

/// Sets or, with `None`, takes away a row about a bucket; left out where there is no such bucket.
fn set_of<T: Encode>(
    overlay: &mut Overlay<'_>,
    bucket: BucketId,
    column: Column,
    row: Vec<u8>,
    value: Option<&T>,
) -> Result<(), IndexError> {
    if overlay.get(Column::Bucket, &key::bucket(bucket))?.is_none() {
        overlay.note_orphan();
        return Ok(());
    }
    match value {
        Some(value) => overlay.put(column, row, value.to_bytes()),
        None => overlay.remove(column, row),
    }
}
