//! What a bucket holds: sums over its rows. They move by the difference that a record makes of those rows, so that applying it again moves
//! nothing.

use kovcheg_format::FormatError;
use kovcheg_format::codec::Encode;
use kovcheg_format::id::BucketId;
use kovcheg_format::key;
use kovcheg_format::record::version::VersionPut;

use super::Overlay;
use crate::index::rows::{self, BucketUsage};
use crate::index::{Column, IndexError};

/// A version row of the bucket goes from one value to another.
pub(super) fn version_changed(
    overlay: &mut Overlay<'_>,
    bucket: BucketId,
    from: Option<&VersionPut>,
    to: Option<&VersionPut>,
) -> Result<(), IndexError> {
    let count = |version: Option<&VersionPut>| u64::from(version.is_some());
    let size = |version: Option<&VersionPut>| version.map_or(0, |version| version.size);
    if (count(from), size(from)) == (count(to), size(to)) {
        return Ok(());
    }
    shift(overlay, bucket, |usage| {
        usage.versions = moved(usage.versions, count(from), count(to))?;
        usage.bytes = moved(usage.bytes, size(from), size(to))?;
        Some(())
    })
}

/// Parts of an upload of the bucket go from so many bytes to so many.
pub(super) fn parts_changed(overlay: &mut Overlay<'_>, bucket: BucketId, from: u64, to: u64) -> Result<(), IndexError> {
    if from == to {
        return Ok(());
    }
    shift(overlay, bucket, |usage| {
        usage.upload_bytes = moved(usage.upload_bytes, from, to)?;
        Some(())
    })
}

fn moved(sum: u64, from: u64, to: u64) -> Option<u64> {
    sum.checked_sub(from)?.checked_add(to)
}

fn shift(
    overlay: &mut Overlay<'_>,
    bucket: BucketId,
    change: impl FnOnce(&mut BucketUsage) -> Option<()>,
) -> Result<(), IndexError> {
    let id = key::bucket(bucket);
    let mut usage: BucketUsage = rows::get(overlay, Column::Usage, &id)?.unwrap_or_default();
    let wrong = FormatError::Invalid { what: "bucket usage" };
    change(&mut usage).ok_or(IndexError::Row { column: Column::Usage.name(), source: wrong })?;
    if usage == BucketUsage::default() {
        return overlay.remove(Column::Usage, id);
    }
    overlay.put(Column::Usage, id, usage.to_bytes())
}
