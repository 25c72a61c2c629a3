//! Tags of a version, set after it was put. They are no lock: they change under one, as in S3; but no version slips out of a case hold by it.

use kovcheg_format::record::Record;
use kovcheg_format::record::audit::Origin;
use kovcheg_format::record::version::Pair;

use crate::error::StorageResult;
use crate::journal::sequencer::Moment;
use crate::object::guard::permit_tags;
use crate::object::types::{Found, VersionRef};
use crate::object::version;

/// Decides the tags of a version, in place of those it has, through the guard. The record is its own audit record.
pub fn propose_set(
    moment: &Moment<'_>,
    target: &VersionRef,
    tags: Vec<Pair>,
    by: &Origin,
) -> StorageResult<(Found, Vec<Record>)> {
    let found = version::named(moment.view, &target.bucket, &target.key, target.version)?;
    let record = permit_tags(moment, &found, tags, by)?;
    Ok((found, vec![record]))
}
