//! Whether a bucket keeps versions (S3 versioning): read, and set.

use kovcheg_format::id::BucketId;
use kovcheg_format::key;
use kovcheg_format::record::Record;
use kovcheg_format::record::audit::{Action, Origin};
use kovcheg_format::record::bucket::{Versioning, VersioningSet};

use crate::error::{StorageError, StorageResult};
use crate::index::{Column, IndexRead, rows};
use crate::journal::sequencer::Moment;
use crate::object::guard::audit_of;
use crate::object::{bucket, locks};

/// Whether a bucket keeps versions.
pub fn state(view: &dyn IndexRead, bucket: BucketId) -> StorageResult<Versioning> {
    let set: Option<VersioningSet> = rows::get(view, Column::Versioning, &key::bucket(bucket))?;
    Ok(set.map_or(Versioning::Off, |set| set.state))
}

/// Decides a change. A bucket that kept versions cannot go back to never having done so.
pub fn propose_set(
    moment: &Moment<'_>,
    bucket_name: &str,
    wanted: Versioning,
    by: &Origin,
) -> StorageResult<Vec<Record>> {
    let bucket = bucket::find(moment.view, bucket_name)?;
    let reason = match wanted {
        Versioning::Off => {
            let reason = "versions are enabled or suspended, never off again".to_owned();
            return Err(StorageError::InvalidArgument { what: "versioning", reason });
        }
        Versioning::Enabled => "enabled",
        Versioning::Suspended if locks::state(moment.view, &bucket)?.is_some() => {
            return Err(StorageError::InvalidBucketState("a bucket with Object Lock keeps versions for ever"));
        }
        Versioning::Suspended => "suspended",
    };
    let audited = audit_of(moment, Action::SetVersioning, by, (bucket_name, ""), vec![reason.to_owned()]);
    Ok(vec![audited.into(), VersioningSet { bucket: bucket.bucket, state: wanted, by: by.clone() }.into()])
}
