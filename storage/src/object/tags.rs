//! Tags of a version, set after it was put. They are no lock: they change under one, as in S3.

use kovcheg_format::record::Record;
use kovcheg_format::record::audit::Origin;
use kovcheg_format::record::version::{Pair, TagsSet};

use crate::error::StorageResult;
use crate::journal::sequencer::Moment;
use crate::object::types::{Found, VersionRef};
use crate::object::version;

/// Decides the tags of a version, in place of those it has. The record is its own audit record.
pub fn propose_set(
    moment: &Moment<'_>,
    target: &VersionRef,
    tags: Vec<Pair>,
    by: &Origin,
) -> StorageResult<(Found, Vec<Record>)> {
    let found = version::named(moment.view, &target.bucket, &target.key, target.version)?;
    let set =
        TagsSet { bucket: found.bucket, key: found.key.clone(), version: found.version.version, tags, by: by.clone() };
    Ok((found, vec![set.into()]))
}
