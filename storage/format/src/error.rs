//! The one error of this crate: what was wrong with the bytes, and where in which structure.

use thiserror::Error;

/// Why bytes could not be decoded. Every variant names the structure (`what`), so that the message is useful alone.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FormatError {
    /// The input ended before the structure did.
    #[error("{what}: input ends {missing} bytes early")]
    Truncated {
        /// Structure or field being read.
        what: &'static str,
        /// Bytes that were asked for and not there.
        missing: usize,
    },
    /// Bytes were left over after a structure that must fill its input.
    #[error("{what}: {extra} bytes after the end")]
    TrailingBytes {
        /// Structure being read.
        what: &'static str,
        /// Bytes left over.
        extra: usize,
    },
    /// The magic number is not that of this structure: not ours, or not here.
    #[error("{what}: wrong magic number")]
    BadMagic {
        /// Structure expected.
        what: &'static str,
    },
    /// Written by a newer release than this one can read.
    #[error("{what}: format version {found} is newer than the newest known, {known}; use a newer kovcheg")]
    TooNew {
        /// Structure.
        what: &'static str,
        /// Version found.
        found: u16,
        /// Newest version this release reads.
        known: u16,
    },
    /// A stored checksum differs from the computed one.
    #[error("{what}: checksum mismatch")]
    Checksum {
        /// Structure.
        what: &'static str,
    },
    /// A length or count is above its limit.
    #[error("{what}: {found} is above the limit of {limit}")]
    OverLimit {
        /// Field.
        what: &'static str,
        /// Value found.
        found: u64,
        /// Largest value allowed.
        limit: u64,
    },
    /// A field has a value that no writer produces.
    #[error("{what}: impossible value")]
    Invalid {
        /// Field.
        what: &'static str,
    },
}
