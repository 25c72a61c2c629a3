//! Object Lock: whether a version may be removed, and its retention changed (L-1, L-2). The tables are in docs/policy.md.

use kovcheg_format::record::version::RetentionMode;

use crate::facts::{RemovalCause, RetentionChange, VersionRemoval};
use crate::verdict::{Reason, Verdict};

/// Whether a version may be removed. Every rule is asked, so that a refusal names all that refuse.
pub fn may_remove(request: &VersionRemoval) -> Verdict {
    let mut verdict = retention(request);
    if request.facts.legal_hold {
        verdict = verdict.and(Verdict::deny(Reason::LegalHold));
    }
    if request.facts.case_holds > 0 {
        verdict = verdict.and(Verdict::deny(Reason::CaseHold));
    }
    verdict
}

/// Retention alone. It lasts while retain-until lies in the future of the retention clock; at that very instant it is
/// over.
fn retention(request: &VersionRemoval) -> Verdict {
    let lasts = request.facts.retain_until > request.retention_clock;
    match request.facts.retention {
        RetentionMode::None if lasts => Verdict::deny(Reason::RetentionWithoutMode),
        RetentionMode::None => Verdict::allow(Reason::NoRetention),
        RetentionMode::Compliance if lasts => Verdict::deny(Reason::ComplianceRetention),
        RetentionMode::Governance if lasts && bypassed(request) => Verdict::allow(Reason::GovernanceBypassed),
        RetentionMode::Governance if lasts => Verdict::deny(Reason::GovernanceRetention),
        RetentionMode::Compliance | RetentionMode::Governance => Verdict::allow(Reason::RetentionExpired),
    }
}

/// The bypass is asked for on a delete. Nobody who overwrites a key has said that he knows of the lock on it.
fn bypassed(request: &VersionRemoval) -> bool {
    request.bypass_governance && request.cause == RemovalCause::ClientDelete
}

/// Whether the retention of a version may become what is asked for. While it lasts, COMPLIANCE can only be extended, and GOVERNANCE only be
/// extended but by someone who may bypass it. Holds are another matter: they stay whatever retention becomes.
pub fn may_set_retention(change: &RetentionChange) -> Verdict {
    let facts = &change.facts;
    let lasts = facts.retain_until > change.retention_clock;
    let extends = change.mode == facts.retention && change.retain_until >= facts.retain_until;
    match facts.retention {
        RetentionMode::None if lasts => Verdict::deny(Reason::RetentionWithoutMode),
        RetentionMode::None => Verdict::allow(Reason::NoRetention),
        RetentionMode::Governance | RetentionMode::Compliance if !lasts => Verdict::allow(Reason::RetentionExpired),
        RetentionMode::Governance | RetentionMode::Compliance if extends => Verdict::allow(Reason::RetentionExtended),
        RetentionMode::Compliance => Verdict::deny(Reason::ComplianceRetention),
        RetentionMode::Governance if change.bypass_governance => Verdict::allow(Reason::GovernanceBypassed),
        RetentionMode::Governance => Verdict::deny(Reason::GovernanceRetention),
    }
}
