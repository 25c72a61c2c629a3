//! Object Lock: whether a bucket has it and what it gives versions by default; retention and legal holds of versions (L-1, L-2).

use kovcheg_format::id::UploadId;
use kovcheg_format::key;
use kovcheg_format::record::Record;
use kovcheg_format::record::audit::{Action, Audit, Origin};
use kovcheg_format::record::bucket::{BucketCreated, ObjectLockSet, Versioning};
use kovcheg_format::record::upload::UploadLocked;
use kovcheg_format::record::version::{LegalHoldSet, RetentionMode, VersionFacts};
use kovcheg_format::units::TimestampMs;
use kovcheg_policy::period::{DAYS_MAX, YEARS_MAX, after_days, after_years};

use crate::error::{StorageError, StorageResult};
use crate::index::{Column, IndexRead, rows};
use crate::journal::sequencer::Moment;
use crate::object::guard::{audit_of, permit_retention};
use crate::object::types::{DefaultRetention, Found, NewLock, Retention, VersionRef};
use crate::object::{bucket, version, versioning};

/// What a bucket gives versions that ask for nothing; `None` where there is no Object Lock.
pub fn state(view: &dyn IndexRead, bucket: &BucketCreated) -> StorageResult<Option<DefaultRetention>> {
    let set: Option<ObjectLockSet> = rows::get(view, Column::ObjectLock, &key::bucket(bucket.bucket))?;
    Ok(match set {
        Some(set) => Some(DefaultRetention { mode: set.mode, days: set.days, years: set.years }),
        None => bucket.object_lock.then(DefaultRetention::default),
    })
}

/// Decides that a bucket has Object Lock, with this default retention. It must keep versions, and from then on it does for ever.
pub fn propose_configure(
    moment: &Moment<'_>,
    bucket_name: &str,
    wanted: DefaultRetention,
    by: &Origin,
) -> StorageResult<Vec<Record>> {
    check_default(wanted)?;
    let bucket = bucket::find(moment.view, bucket_name)?;
    if versioning::state(moment.view, bucket.bucket)? != Versioning::Enabled {
        return Err(StorageError::InvalidBucketState(
            "Object Lock needs a bucket that keeps versions; enable versioning first",
        ));
    }
    let before = state(moment.view, &bucket)?;
    let was = before.map_or_else(|| "no Object Lock".to_owned(), |before| before.to_string());
    let reasons = vec![format!("was {was}"), format!("is {wanted}")];
    let audited = audit_of(moment, Action::SetObjectLock, by, (bucket_name, ""), reasons);
    let DefaultRetention { mode, days, years } = wanted;
    Ok(vec![audited.into(), ObjectLockSet { bucket: bucket.bucket, mode, days, years, by: by.clone() }.into()])
}

fn check_default(wanted: DefaultRetention) -> StorageResult<()> {
    let DefaultRetention { mode, days, years } = wanted;
    let sound = match (mode, days, years) {
        (RetentionMode::None, days, years) => days == 0 && years == 0,
        (_, days, 0) => (1..=DAYS_MAX).contains(&days),
        (_, 0, years) => (1..=YEARS_MAX).contains(&years),
        _ => false,
    };
    if sound {
        return Ok(());
    }
    let reason = format!("it is a mode with 1 to {DAYS_MAX} days or 1 to {YEARS_MAX} years, or nothing");
    Err(StorageError::InvalidArgument { what: "default retention", reason })
}

/// The later of both clocks: from there relative retention counts (R12).
fn later(moment: &Moment<'_>) -> TimestampMs {
    moment.now.max(moment.clock.time)
}

/// Whether a version may be asked to have these locks: there is Object Lock, and the date lies ahead.
pub fn check_new(moment: &Moment<'_>, bucket_name: &str, lock: &NewLock) -> StorageResult<()> {
    if *lock == NewLock::default() {
        return Ok(());
    }
    state(moment.view, &bucket::find(moment.view, bucket_name)?)?.ok_or(StorageError::NoObjectLock)?;
    lock.retention.map_or(Ok(()), |retention| check_date(moment, retention))
}

fn check_date(moment: &Moment<'_>, retention: Retention) -> StorageResult<()> {
    let from = later(moment);
    if retention.until <= from {
        let reason = "the retain until date must be in the future".to_owned();
        return Err(StorageError::InvalidArgument { what: "retention", reason });
    }
    if retention.until > after_years(from, YEARS_MAX) {
        let reason = format!("the retain until date lies more than {YEARS_MAX} years ahead");
        return Err(StorageError::InvalidArgument { what: "retention", reason });
    }
    Ok(())
}

/// What a new version starts with: what was asked for, else the bucket's default.
pub fn facts(moment: &Moment<'_>, bucket: &BucketCreated, lock: &NewLock) -> StorageResult<VersionFacts> {
    let free = VersionFacts::free(moment.clock.time);
    let Some(default) = state(moment.view, bucket)? else { return Ok(free) };
    let retention = lock.retention.or_else(|| {
        let until = match default.years {
            0 => after_days(later(moment), default.days),
            years => after_years(later(moment), years),
        };
        (default.mode != RetentionMode::None).then_some(Retention { mode: default.mode, until })
    });
    let (mode, until) = Retention::parts(retention);
    Ok(VersionFacts { retention: mode, retain_until: until, legal_hold: lock.legal_hold, ..free })
}

/// The version whose locks a request is about, in a bucket with Object Lock.
pub fn find(view: &dyn IndexRead, target: &VersionRef) -> StorageResult<Found> {
    state(view, &bucket::find(view, &target.bucket)?)?.ok_or(StorageError::NoObjectLock)?;
    version::named(view, &target.bucket, &target.key, target.version)
}

/// Decides the retention of a version; without one, that it has none. Through the guard.
pub fn propose_set_retention(
    moment: &Moment<'_>,
    target: &VersionRef,
    wanted: Option<Retention>,
    bypass_governance: bool,
    by: &Origin,
) -> StorageResult<(Found, Vec<Record>)> {
    let found = find(moment.view, target)?;
    if let Some(retention) = wanted {
        check_date(moment, retention)?;
    }
    let records = permit_retention(moment, &found, &target.bucket, wanted, bypass_governance, by)?;
    Ok((found, records.into()))
}

/// Decides whether a version is under an S3 legal hold. Case holds are another matter and stay.
pub fn propose_set_hold(
    moment: &Moment<'_>,
    target: &VersionRef,
    on: bool,
    by: &Origin,
) -> StorageResult<(Found, Vec<Record>)> {
    let found = find(moment.view, target)?;
    let reasons = vec![if on { "on" } else { "off" }.to_owned()];
    let audited = audit_of(moment, Action::SetLegalHold, by, (&target.bucket, &target.key), reasons);
    let audited = Audit { version: found.version.version, ..audited };
    let set = LegalHoldSet {
        bucket: found.bucket,
        key: found.key.clone(),
        version: found.version.version,
        on,
        by: by.clone(),
    };
    Ok((found, vec![audited.into(), set.into()]))
}

/// The record of the locks that an upload asks for, if it does.
#[must_use]
pub fn upload_record(upload: UploadId, lock: &NewLock) -> Option<Record> {
    let (mode, retain_until) = Retention::parts(lock.retention);
    let locked = UploadLocked { upload, mode, retain_until, legal_hold: lock.legal_hold };
    (*lock != NewLock::default()).then(|| locked.into())
}

/// The locks that an upload asked for.
pub fn of_upload(view: &dyn IndexRead, upload: UploadId) -> StorageResult<NewLock> {
    let locked: Option<UploadLocked> = rows::get(view, Column::UploadLock, &key::upload_lock(upload))?;
    Ok(locked.map_or_else(NewLock::default, |locked| {
        let retention = Retention { mode: locked.mode, until: locked.retain_until };
        NewLock { retention: (locked.mode != RetentionMode::None).then_some(retention), legal_hold: locked.legal_hold }
    }))
}
