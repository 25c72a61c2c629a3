//! The guard: the only place that turns policy's Allow into a [`DeleteWarrant`], and the only maker of records that remove a
//! version, change its retention, or could take it out of a case hold (L-1, L-2). It runs inside the sequencer, on the facts as they stand at that point of the order (R14).

use kovcheg_format::id::{Lsn, VersionId};
use kovcheg_format::record::Record;
use kovcheg_format::record::audit::{Action, Audit, Origin, Verdict as AuditVerdict};
use kovcheg_format::record::version::{Pair, RetentionSet, TagsSet, VersionFacts, VersionPut, VersionRemoved};
use kovcheg_policy::Reason;
use kovcheg_policy::case_hold::{HoldTarget, covers, may_set_tags};
use kovcheg_policy::facts::{RemovalCause, RetentionChange, VersionRemoval};
use kovcheg_policy::object_lock::{may_remove, may_set_retention};
use kovcheg_policy::verdict::Verdict;

use crate::error::{StorageError, StorageResult};
use crate::index::IndexRead;
use crate::journal::sequencer::Moment;
use crate::object::holds;
use crate::object::types::Retention;

/// Proof that policy allowed the removal of one version, on facts that are current at `lsn`, and that the audit record of it
/// goes first into the same stripe. It cannot be made outside this file, nor cloned.
#[derive(Debug)]
pub struct DeleteWarrant {
    version: VersionRemoved,
    audit: Audit,
    lsn: Lsn,
}

impl DeleteWarrant {
    /// The records of the removal, audit first (R14, A-1). Consumes the warrant: one warrant removes one version once.
    #[must_use]
    pub fn execute(self) -> [Record; 2] {
        [self.audit.into(), self.version.into()]
    }

    /// Position whose facts it rests on.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }
}

/// Asks policy whether a version may go. [`StorageError::Refused`] carries the reasons; the caller records the denial.
pub fn permit(
    moment: &Moment<'_>,
    version: &VersionPut,
    bucket_name: &str,
    cause: RemovalCause,
    bypass_governance: bool,
    by: &Origin,
) -> StorageResult<DeleteWarrant> {
    let facts = facts(moment.view, version)?;
    let removal = VersionRemoval { facts, bypass_governance, retention_clock: moment.clock.time, cause };
    match may_remove(&removal) {
        Verdict::Deny { reasons } => Err(refused(&reasons)),
        Verdict::Allow { reasons } => {
            let action = match cause {
                RemovalCause::Overwrite => Action::OverwriteVersion,
                RemovalCause::Lifecycle => Action::ExpireVersion,
                RemovalCause::ClientDelete | RemovalCause::AbortUpload => Action::DeleteVersion,
            };
            let audit = audit_of(moment, action, by, (bucket_name, &version.key), codes(&reasons));
            let audit = Audit { version: version.version, ..audit };
            let removed = VersionRemoved { bucket: version.bucket, key: version.key.clone(), version: version.version };
            Ok(DeleteWarrant { version: removed, audit, lsn: moment.lsn })
        }
    }
}

/// The facts of a version with the case holds that cover it: these stand in rows of their own (docs/rfcs/0004).
fn facts(view: &dyn IndexRead, version: &VersionPut) -> StorageResult<VersionFacts> {
    let target = HoldTarget::of(version);
    let held = holds::of_bucket(view, version.bucket)?.iter().filter(|hold| covers(hold, &target)).count();
    let case_holds = version.facts.case_holds.saturating_add(u32::try_from(held).unwrap_or(u32::MAX));
    Ok(VersionFacts { case_holds, ..version.facts.clone() })
}

/// Asks policy whether the tags of a version may change. The record of it; [`StorageError::Refused`] carries the reasons.
pub fn permit_tags(moment: &Moment<'_>, version: &VersionPut, tags: Vec<Pair>, by: &Origin) -> StorageResult<Record> {
    let holds = holds::of_bucket(moment.view, version.bucket)?;
    match may_set_tags(&holds, &HoldTarget::of(version), &tags) {
        Verdict::Deny { reasons } => Err(refused(&reasons)),
        Verdict::Allow { .. } => {
            let (bucket, key) = (version.bucket, version.key.clone());
            Ok(TagsSet { bucket, key, version: version.version, tags, by: by.clone() }.into())
        }
    }
}

/// Asks policy whether the retention of a version may change. The records of it, audit first; [`StorageError::Refused`] carries the reasons.
pub fn permit_retention(
    moment: &Moment<'_>,
    version: &VersionPut,
    bucket_name: &str,
    wanted: Option<Retention>,
    bypass_governance: bool,
    by: &Origin,
) -> StorageResult<[Record; 2]> {
    let (mode, retain_until) = Retention::parts(wanted);
    let facts = version.facts.clone();
    let change = RetentionChange { facts, mode, retain_until, bypass_governance, retention_clock: moment.clock.time };
    let reasons = match may_set_retention(&change) {
        Verdict::Deny { reasons } => return Err(refused(&reasons)),
        Verdict::Allow { reasons } => reasons,
    };
    let shown = |mode, until| format!("{mode:?} until {until}");
    let mut because = codes(&reasons);
    because.push(format!("was {}", shown(change.facts.retention, change.facts.retain_until)));
    because.push(format!("is {}", shown(mode, retain_until)));
    let audited = audit_of(moment, Action::SetRetention, by, (bucket_name, &version.key), because);
    let set = RetentionSet {
        bucket: version.bucket,
        key: version.key.clone(),
        version: version.version,
        mode,
        retain_until,
        by: by.clone(),
    };
    Ok([Audit { version: version.version, ..audited }.into(), set.into()])
}

fn codes(reasons: &[Reason]) -> Vec<String> {
    reasons.iter().map(|reason| reason.code().to_owned()).collect()
}

fn refused(reasons: &[Reason]) -> StorageError {
    StorageError::Refused { reasons: codes(reasons) }
}

/// The audit record of an act that removes no version.
#[must_use]
pub fn audit(moment: &Moment<'_>, action: Action, by: &Origin, bucket: &str, key: &str) -> Record {
    audit_of(moment, action, by, (bucket, key), Vec::new()).into()
}

/// [`audit`] with reasons, to be added to; `place` is bucket name and object key.
#[must_use]
pub fn audit_of(
    moment: &Moment<'_>,
    action: Action,
    by: &Origin,
    (bucket, key): (&str, &str),
    reasons: Vec<String>,
) -> Audit {
    Audit {
        action,
        by: by.clone(),
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        version: VersionId::ZERO,
        verdict: AuditVerdict::Allow,
        reasons,
        count: 1,
        at: moment.now,
        retention_clock: moment.clock.time,
    }
}
