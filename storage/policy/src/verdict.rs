//! Verdict and reasons: the answer of every rule of this crate.

/// Why something is allowed or refused. The codes are stable: audit records, metrics and clients carry them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The version has no retention.
    NoRetention,
    /// The version's retention is over by the retention clock.
    RetentionExpired,
    /// The retention becomes no shorter than it is, in the same mode.
    RetentionExtended,
    /// No case hold covers the version less than before.
    StillHeld,
    /// GOVERNANCE retention was lifted by someone who may.
    GovernanceBypassed,
    /// COMPLIANCE retention lasts; nobody may lift it.
    ComplianceRetention,
    /// GOVERNANCE retention lasts and was not bypassed.
    GovernanceRetention,
    /// A retain-until in the future without a mode: facts that contradict themselves count as locked.
    RetentionWithoutMode,
    /// An S3 legal hold is on.
    LegalHold,
    /// At least one case hold is on.
    CaseHold,
    /// Fewer than m + 1 disks take writes (R4).
    TooFewDisks,
    /// No erasure code has these numbers of shards.
    ImpossibleWidth,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 12] = [
        Self::NoRetention,
        Self::RetentionExpired,
        Self::RetentionExtended,
        Self::StillHeld,
        Self::GovernanceBypassed,
        Self::ComplianceRetention,
        Self::GovernanceRetention,
        Self::RetentionWithoutMode,
        Self::LegalHold,
        Self::CaseHold,
        Self::TooFewDisks,
        Self::ImpossibleWidth,
    ];

    /// The reason's stable code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::NoRetention => "no-retention",
            Self::RetentionExpired => "retention-expired",
            Self::RetentionExtended => "retention-extended",
            Self::StillHeld => "still-held",
            Self::GovernanceBypassed => "governance-bypassed",
            Self::ComplianceRetention => "compliance-retention",
            Self::GovernanceRetention => "governance-retention",
            Self::RetentionWithoutMode => "retention-without-mode",
            Self::LegalHold => "legal-hold",
            Self::CaseHold => "case-hold",
            Self::TooFewDisks => "too-few-disks",
            Self::ImpossibleWidth => "impossible-width",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.code())
    }
}

/// The answer of a rule, or of several together.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// It may happen.
    Allow {
        /// Why, for the audit record.
        reasons: Vec<Reason>,
    },
    /// It must not happen.
    Deny {
        /// Every rule that refuses, for the audit record and the client.
        reasons: Vec<Reason>,
    },
}

impl Verdict {
    /// Allowed, for a reason.
    pub fn allow(reason: Reason) -> Self {
        Self::Allow { reasons: vec![reason] }
    }

    /// Denied, for a reason.
    pub fn deny(reason: Reason) -> Self {
        Self::Deny { reasons: vec![reason] }
    }

    /// Both rules together. The strictest wins: one denial denies, and only the reasons of denials are kept then.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Deny { mut reasons }, Self::Deny { reasons: more }) => {
                reasons.extend(more);
                Self::Deny { reasons }
            }
            (deny @ Self::Deny { .. }, Self::Allow { .. }) | (Self::Allow { .. }, deny @ Self::Deny { .. }) => deny,
            (Self::Allow { mut reasons }, Self::Allow { reasons: more }) => {
                reasons.extend(more);
                Self::Allow { reasons }
            }
        }
    }

    /// Whether it may happen.
    #[must_use]
    pub fn is_allow(&self) -> bool {
        matches!(self, Self::Allow { .. })
    }

    /// Why.
    #[must_use]
    pub fn reasons(&self) -> &[Reason] {
        match self {
            Self::Allow { reasons } | Self::Deny { reasons } => reasons,
        }
    }
}
