//! The guard: the only place that turns policy's Allow into a [`DeleteWarrant`], and the only maker of records that remove a
//! version (L-1). It runs inside the sequencer, on the facts as they stand at that point of the order (R14).

use kovcheg_format::id::{Lsn, VersionId};
use kovcheg_format::record::Record;
use kovcheg_format::record::audit::{Action, Audit, Origin, Verdict as AuditVerdict};
use kovcheg_format::record::version::{VersionPut, VersionRemoved};
use kovcheg_policy::facts::{RemovalCause, VersionRemoval};
use kovcheg_policy::object_lock::may_remove;
use kovcheg_policy::verdict::Verdict;

use crate::error::{StorageError, StorageResult};
use crate::journal::sequencer::Moment;

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
    by: &Origin,
) -> StorageResult<DeleteWarrant> {
    // The retention clock does not run yet (R12): at 0 every retain-until lies in its future, which errs on the side of keeping.
    let removal = VersionRemoval { facts: version.facts.clone(), bypass_governance: false, retention_clock: 0, cause };
    match may_remove(&removal) {
        Verdict::Deny { reasons } => {
            Err(StorageError::Refused { reasons: reasons.iter().map(|reason| reason.code().to_owned()).collect() })
        }
        Verdict::Allow { reasons } => {
            let action = match cause {
                RemovalCause::Overwrite => Action::OverwriteVersion,
                RemovalCause::ClientDelete | RemovalCause::AbortUpload => Action::DeleteVersion,
            };
            let audit = Audit {
                action,
                by: by.clone(),
                bucket: bucket_name.to_owned(),
                key: version.key.clone(),
                version: version.version,
                verdict: AuditVerdict::Allow,
                reasons: reasons.iter().map(|reason| reason.code().to_owned()).collect(),
                count: 1,
                at: moment.now,
                retention_clock: version.facts.retention_clock,
            };
            let removed = VersionRemoved { bucket: version.bucket, key: version.key.clone(), version: version.version };
            Ok(DeleteWarrant { version: removed, audit, lsn: moment.lsn })
        }
    }
}

/// The audit record of an act that removes no version.
#[must_use]
pub fn audit(moment: &Moment<'_>, action: Action, by: &Origin, bucket: &str, key: &str) -> Record {
    Audit {
        action,
        by: by.clone(),
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        version: VersionId::ZERO,
        verdict: AuditVerdict::Allow,
        reasons: Vec::new(),
        count: 1,
        at: moment.now,
        retention_clock: 0,
    }
    .into()
}
