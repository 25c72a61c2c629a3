//! What decisions look at: plain data, gathered by the caller at one LSN (R14).

use kovcheg_format::id::DiskId;
use kovcheg_format::record::version::{RetentionMode, VersionFacts};
use kovcheg_format::superblock::FailureDomain;
use kovcheg_format::units::TimestampMs;

/// Why a version is about to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RemovalCause {
    /// A client deletes it.
    ClientDelete,
    /// A newer one takes its place in a bucket without versioning.
    Overwrite,
    /// The multipart upload it would have come from is thrown away.
    AbortUpload,
    /// A lifecycle rule says that it is old enough.
    Lifecycle,
}

impl RemovalCause {
    /// Every cause.
    pub const ALL: [Self; 4] = [Self::ClientDelete, Self::Overwrite, Self::AbortUpload, Self::Lifecycle];

    /// The cause as tables and the audit trail spell it.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::ClientDelete => "client-delete",
            Self::Overwrite => "overwrite",
            Self::AbortUpload => "abort-upload",
            Self::Lifecycle => "lifecycle",
        }
    }
}

/// A request to remove one version, with all that decides about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRemoval {
    /// Retention and holds of the version, from its newest record.
    pub facts: VersionFacts,
    /// Whether the client asked to bypass GOVERNANCE retention and has the permission to.
    pub bypass_governance: bool,
    /// The retention clock (R12). Never the wall clock.
    pub retention_clock: TimestampMs,
    /// Why it is to go.
    pub cause: RemovalCause,
}

/// A request to set the retention of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionChange {
    /// Retention and holds of the version, from its newest record.
    pub facts: VersionFacts,
    /// The mode it is to have; none to take retention away.
    pub mode: RetentionMode,
    /// The retain-until it is to have; 0 without a mode.
    pub retain_until: TimestampMs,
    /// Whether the client asked to bypass GOVERNANCE retention and has the permission to.
    pub bypass_governance: bool,
    /// The retention clock (R12). Never the wall clock.
    pub retention_clock: TimestampMs,
}

/// A disk, as placement sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskFacts {
    /// Its name.
    pub id: DiskId,
    /// Bytes that can still be written, without what is promised to open segments.
    pub free: u64,
    /// Where it stands.
    pub failure_domain: FailureDomain,
    /// Whether it takes writes: not fenced, missing or returning.
    pub serving: bool,
}
