//! What records about object versions make of the rows.

use std::ops::ControlFlow;

use kovcheg_format::codec::Encode;
use kovcheg_format::id::BucketId;
use kovcheg_format::key;
use kovcheg_format::record::version::{VersionFacts, VersionKind, VersionPut, VersionRemoved};

use super::{Overlay, usage};
use crate::index::{Column, IndexError, IndexRead as _, rows};

/// Changes what policy looks at of a version that is there.
pub(super) fn change_facts(
    overlay: &mut Overlay<'_>,
    key: &[u8],
    change: impl FnOnce(&mut VersionFacts),
) -> Result<(), IndexError> {
    change_version(overlay, key, |version| change(&mut version.facts))
}

pub(super) fn change_version(
    overlay: &mut Overlay<'_>,
    key: &[u8],
    change: impl FnOnce(&mut VersionPut),
) -> Result<(), IndexError> {
    let Some(mut version) = rows::get::<VersionPut>(overlay, Column::Version, key)? else {
        overlay.note_orphan();
        return Ok(());
    };
    change(&mut version);
    overlay.put(Column::Version, key.to_vec(), version.to_bytes())
}

pub(super) fn version_put(overlay: &mut Overlay<'_>, put: &VersionPut) -> Result<(), IndexError> {
    if overlay.get(Column::Bucket, &key::bucket(put.bucket))?.is_none() {
        overlay.note_orphan();
        return Ok(());
    }
    let row = key::version(put.bucket, &put.key, put.version);
    let before: Option<VersionPut> = rows::get(overlay, Column::Version, &row)?;
    usage::version_changed(overlay, put.bucket, before.as_ref(), Some(put))?;
    overlay.put(Column::Version, row, put.to_bytes())?;
    let current = key::current(put.bucket, &put.key);
    // The usual overwrite needs no scan: a current version is the newest one.
    let overwrites =
        overlay.get(Column::Current, &current)?.is_some_and(|newest| newest.as_slice() < &put.version.0[..]);
    if overwrites && put.kind == VersionKind::Object {
        return overlay.put(Column::Current, current, put.version.0.to_vec());
    }
    refresh_current(overlay, put.bucket, &put.key)
}

pub(super) fn version_removed(overlay: &mut Overlay<'_>, removed: &VersionRemoved) -> Result<(), IndexError> {
    let version = key::version(removed.bucket, &removed.key, removed.version);
    let Some(gone) = rows::get::<VersionPut>(overlay, Column::Version, &version)? else {
        overlay.note_orphan();
        return Ok(());
    };
    usage::version_changed(overlay, removed.bucket, Some(&gone), None)?;
    overlay.remove(Column::Version, version)?;
    refresh_current(overlay, removed.bucket, &removed.key)
}

/// The current version is the newest one, when that is an object and no delete marker.
fn refresh_current(overlay: &mut Overlay<'_>, bucket: BucketId, name: &str) -> Result<(), IndexError> {
    let from = key::versions_of(bucket, name);
    let to = key::after_prefix(&from);
    let mut newest = None;
    rows::scan(overlay, Column::Version, &from, to.as_deref(), &mut |_, version: VersionPut| {
        newest = (version.kind == VersionKind::Object).then_some(version.version);
        ControlFlow::Break(())
    })?;
    let current = key::current(bucket, name);
    match newest {
        Some(version) => overlay.put(Column::Current, current, version.0.to_vec()),
        None => overlay.remove(Column::Current, current),
    }
}
