//! Case holds: placed on part of a bucket, listed. The guard asks them (L-1); nothing is written to versions (docs/rfcs/0004).

use std::ops::ControlFlow;

use kovcheg_format::id::{BucketId, HoldId, VersionId};
use kovcheg_format::key;
use kovcheg_format::record::Record;
use kovcheg_format::record::audit::{Action, Audit, Origin};
use kovcheg_format::record::bucket::BucketCreated;
use kovcheg_format::record::hold::{CaseHoldPlaced, HoldScope};
use kovcheg_format::record::version::{Pair, VersionPut};

use crate::error::{StorageError, StorageResult};
use crate::index::{Column, IndexRead, rows};
use crate::journal::sequencer::Moment;
use crate::object::guard::audit_of;
use crate::object::types::{CaseHold, HeldPart, KEY_LEN_MAX, NewCaseHold, TAG_NAME_MAX, TAG_VALUE_MAX, VersionName};
use crate::object::{bucket, version};

/// Most case holds on one bucket: each removal there asks all of them.
pub const HOLDS_MAX: usize = 1000;
/// Longest number of a case, and longest note, bytes.
const CASE_LEN_MAX: usize = 128;
const NOTE_LEN_MAX: usize = 512;

/// The case holds of a bucket, by age.
pub fn of_bucket(view: &dyn IndexRead, bucket: BucketId) -> StorageResult<Vec<CaseHoldPlaced>> {
    let from = key::bucket(bucket);
    let mut holds = Vec::new();
    rows::scan(view, Column::CaseHold, &from, key::after_prefix(&from).as_deref(), &mut |_, hold| {
        holds.push(hold);
        ControlFlow::Continue(())
    })?;
    Ok(holds)
}

/// The case holds of one bucket, or of all, those of a bucket by age.
pub fn list(view: &dyn IndexRead, bucket_name: Option<&str>) -> StorageResult<Vec<CaseHold>> {
    let buckets = match bucket_name {
        Some(name) => vec![bucket::find(view, name)?],
        None => bucket::all(view)?,
    };
    let mut shown = Vec::new();
    for bucket in buckets {
        for hold in of_bucket(view, bucket.bucket)? {
            shown.push(show(view, &bucket, hold)?);
        }
    }
    Ok(shown)
}

/// Decides a case hold: audited, and in force for all that comes after it in the order of the journal.
pub fn propose_place(moment: &Moment<'_>, new: &NewCaseHold, by: &Origin) -> StorageResult<(CaseHold, Vec<Record>)> {
    check(new)?;
    let bucket = bucket::find(moment.view, &new.bucket)?;
    if of_bucket(moment.view, bucket.bucket)?.len() >= HOLDS_MAX {
        return Err(refused(format!("bucket {} has {HOLDS_MAX} of them, the most there may be", new.bucket)));
    }
    let (scope, object_key, version) = match &new.part {
        HeldPart::Bucket => (HoldScope::Bucket, "", VersionId::ZERO),
        HeldPart::Prefix(prefix) => (HoldScope::Prefix, prefix.as_str(), VersionId::ZERO),
        HeldPart::Tag(_) => (HoldScope::Tag, "", VersionId::ZERO),
        HeldPart::Version(object_key, name) => {
            let found = match name {
                Some(name) => version::by_name(moment.view, bucket.bucket, object_key, *name)?,
                None => version::current(moment.view, &bucket, object_key)?,
            };
            (HoldScope::Version, object_key.as_str(), found.ok_or(StorageError::NoSuchVersion)?.version)
        }
    };
    let nothing = || Pair { name: String::new(), value: String::new() };
    let hold = CaseHoldPlaced {
        hold: HoldId((moment.lsn.0 << 16) | u64::from(moment.ordinal)),
        case: new.case.clone(),
        bucket: bucket.bucket,
        scope,
        key: object_key.to_owned(),
        version,
        tag: if let HeldPart::Tag(tag) = &new.part { tag.clone() } else { nothing() },
        note: new.note.clone(),
        placed_at: moment.now,
        retention_clock: moment.clock.time,
        by: by.clone(),
    };
    let reasons = vec![format!("case {}", new.case), format!("covers {}", new.part)];
    let audited = audit_of(moment, Action::PlaceCaseHold, by, (&new.bucket, object_key), reasons);
    let shown = show(moment.view, &bucket, hold.clone())?;
    Ok((shown, vec![Audit { version, ..audited }.into(), hold.into()]))
}

fn show(view: &dyn IndexRead, bucket: &BucketCreated, hold: CaseHoldPlaced) -> StorageResult<CaseHold> {
    let part = match hold.scope {
        HoldScope::Bucket => HeldPart::Bucket,
        HoldScope::Prefix => HeldPart::Prefix(hold.key),
        HoldScope::Tag => HeldPart::Tag(hold.tag),
        HoldScope::Version => {
            let row: Option<VersionPut> =
                rows::get(view, Column::Version, &key::version(bucket.bucket, &hold.key, hold.version))?;
            HeldPart::Version(hold.key, Some(row.as_ref().map_or(VersionName::Id(hold.version), VersionName::of)))
        }
    };
    let (id, case, note, placed_at) = (hold.hold, hold.case, hold.note, hold.placed_at);
    Ok(CaseHold { id, case, bucket: bucket.name.clone(), part, note, placed_at, placed_by: hold.by.actor })
}

fn check(new: &NewCaseHold) -> StorageResult<()> {
    let tame = |text: &str| !text.chars().any(char::is_control);
    if !(1..=CASE_LEN_MAX).contains(&new.case.trim().len()) || new.case.len() > CASE_LEN_MAX || !tame(&new.case) {
        return Err(refused(format!("the case has a number of 1 to {CASE_LEN_MAX} bytes, without control characters")));
    }
    if new.note.len() > NOTE_LEN_MAX || !tame(&new.note) {
        return Err(refused(format!("the note has at most {NOTE_LEN_MAX} bytes, without control characters")));
    }
    match &new.part {
        HeldPart::Bucket => Ok(()),
        HeldPart::Prefix(text) | HeldPart::Version(text, _) => {
            if (1..=KEY_LEN_MAX).contains(&text.len()) {
                return Ok(());
            }
            Err(refused(format!(
                "a key or prefix has 1 to {KEY_LEN_MAX} bytes; leave the prefix out for the whole bucket"
            )))
        }
        HeldPart::Tag(tag) => {
            let sound = (1..=TAG_NAME_MAX).contains(&tag.name.chars().count());
            if sound && tag.value.chars().count() <= TAG_VALUE_MAX {
                return Ok(());
            }
            Err(refused(format!(
                "a tag is a name of 1 to {TAG_NAME_MAX} characters and a value of at most {TAG_VALUE_MAX}"
            )))
        }
    }
}

fn refused(reason: String) -> StorageError {
    StorageError::InvalidArgument { what: "case hold", reason }
}
