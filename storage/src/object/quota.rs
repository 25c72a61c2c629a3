//! Quotas of buckets: set, shown, and asked before a bucket grows. What counts are bytes as clients count them: of every version, noncurrent
//! ones too, and of the parts of open uploads; what deduplication and compression save is the vault's.

use kovcheg_format::id::{BucketId, UploadId};
use kovcheg_format::key;
use kovcheg_format::record::Record;
use kovcheg_format::record::audit::{Action, Origin};
use kovcheg_format::record::bucket::{BucketCreated, QuotaSet};
use kovcheg_format::record::upload::PartPut;
use kovcheg_policy::quota::fits;

use crate::error::{StorageError, StorageResult};
use crate::index::rows::BucketUsage;
use crate::index::{Column, IndexRead, rows};
use crate::journal::sequencer::Moment;
use crate::object::guard::audit_of;
use crate::object::types::BucketStatus;
use crate::object::{bucket, version, versioning};

/// Bytes that a bucket may hold; `None` for as much as there is room for.
pub fn of(view: &dyn IndexRead, bucket: BucketId) -> StorageResult<Option<u64>> {
    let set: Option<QuotaSet> = rows::get(view, Column::Quota, &key::bucket(bucket))?;
    Ok(set.and_then(|set| set.bytes))
}

/// What a bucket holds.
pub fn usage(view: &dyn IndexRead, bucket: BucketId) -> StorageResult<BucketUsage> {
    Ok(rows::get(view, Column::Usage, &key::bucket(bucket))?.unwrap_or_default())
}

/// Whether a bucket may take `added` bytes while `freed` of them go; [`StorageError::QuotaExceeded`] otherwise.
pub fn check(view: &dyn IndexRead, bucket: &BucketCreated, added: u64, freed: u64) -> StorageResult<()> {
    let Some(quota) = of(view, bucket.bucket)? else { return Ok(()) };
    let used = usage(view, bucket.bucket)?.total();
    if fits(quota, used, added, freed) {
        return Ok(());
    }
    Err(StorageError::QuotaExceeded { bucket: bucket.name.clone(), quota, used })
}

/// [`check`] for a put of so many bytes to a key: what it replaces goes.
pub fn check_object(view: &dyn IndexRead, bucket: &BucketCreated, object_key: &str, added: u64) -> StorageResult<()> {
    let state = versioning::state(view, bucket.bucket)?;
    let replaced = version::replaced_by_put(view, bucket, object_key, state)?;
    check(view, bucket, added, replaced.map_or(0, |replaced| replaced.size))
}

/// [`check`] for a part of so many bytes: the one of its number goes.
pub fn check_part(
    view: &dyn IndexRead,
    bucket: &BucketCreated,
    (upload, number): (UploadId, u16),
    added: u64,
) -> StorageResult<()> {
    let replaced: Option<PartPut> = rows::get(view, Column::Part, &key::part(upload, number))?;
    check(view, bucket, added, replaced.map_or(0, |replaced| replaced.size))
}

/// Decides the quota of a bucket, in place of the one it has. One below what it holds removes nothing.
pub fn propose_set(
    moment: &Moment<'_>,
    bucket_name: &str,
    bytes: Option<u64>,
    by: &Origin,
) -> StorageResult<(BucketStatus, Vec<Record>)> {
    let bucket = bucket::find(moment.view, bucket_name)?;
    let shown = |bytes: Option<u64>| bytes.map_or_else(|| "none".to_owned(), |bytes| format!("{bytes} bytes"));
    let reasons = vec![format!("was {}", shown(of(moment.view, bucket.bucket)?)), format!("is {}", shown(bytes))];
    let audited = audit_of(moment, Action::SetQuota, by, (bucket_name, ""), reasons);
    let set = QuotaSet { bucket: bucket.bucket, bytes, by: by.clone() };
    let status = BucketStatus { quota: bytes, ..status(moment.view, bucket)? };
    Ok((status, vec![audited.into(), set.into()]))
}

/// Every bucket, by name, with what it holds and may hold.
pub fn list(view: &dyn IndexRead) -> StorageResult<Vec<BucketStatus>> {
    bucket::all(view)?.into_iter().map(|bucket| status(view, bucket)).collect()
}

fn status(view: &dyn IndexRead, bucket: BucketCreated) -> StorageResult<BucketStatus> {
    let usage = usage(view, bucket.bucket)?;
    Ok(BucketStatus { usage, quota: of(view, bucket.bucket)?, bucket })
}
