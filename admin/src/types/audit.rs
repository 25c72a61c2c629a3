//! The audit trail, as the admin API says it. Its entries are lines of docs/audit.md.

use serde::{Deserialize, Serialize};

/// An audit checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditNote {
    /// The signed note.
    pub note: String,
}

/// The public key of audit checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditKey {
    /// As `signed-note` writes it.
    pub key: String,
}

/// The last line of an export over the socket; no entry begins so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrailEnd {
    /// Every entry came: this many.
    End(u64),
    /// It broke off.
    Error(String),
}
