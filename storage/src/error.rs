//! What the engine answers when it cannot do what was asked. Gateways map these to their protocol in one table each.

use std::sync::Arc;

use kovcheg_format::FormatError;
use kovcheg_format::id::{ChunkId, SegmentId};
use thiserror::Error;

use crate::disk::DiskError;
use crate::erasure::code::ErasureError;
use crate::index::IndexError;
use crate::object::types::VersionName;

/// The engine's answer to a request that failed. Cheap to clone: one failed commit fails every request that rode on it.
#[derive(Debug, Clone, Error)]
pub enum StorageError {
    /// No bucket of this name.
    #[error("bucket {0} does not exist")]
    NoSuchBucket(String),
    /// A bucket of this name exists.
    #[error("bucket {0} exists already")]
    BucketExists(String),
    /// The bucket holds versions or uploads.
    #[error("bucket {0} is not empty")]
    BucketNotEmpty(String),
    /// No object of this key.
    #[error("no such key")]
    NoSuchKey,
    /// No such upload, or it ended.
    #[error("no such upload")]
    NoSuchUpload,
    /// A part named at completion is not there or has another ETag.
    #[error("part {0} was not uploaded or has another ETag")]
    InvalidPart(u16),
    /// Parts named at completion are not in ascending order.
    #[error("parts are not in ascending order")]
    InvalidPartOrder,
    /// A part but the last is under 5 MiB.
    #[error("part {number} has {size} bytes; every part but the last needs at least {min}")]
    PartTooSmall {
        /// The part.
        number: u16,
        /// Its bytes.
        size: u64,
        /// The least.
        min: u64,
    },
    /// A precondition of the request does not hold.
    #[error("precondition failed: {0}")]
    PreconditionFailed(&'static str),
    /// A key, name or number that the vault does not take.
    #[error("{what}: {reason}")]
    InvalidArgument {
        /// Which.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// Policy or the guard refused (L-1); the reasons are those of the verdict.
    #[error("refused: {}", reasons.join("; "))]
    Refused {
        /// Policy's reasons.
        reasons: Vec<String>,
    },
    /// Locks are asked for or of a bucket that has no Object Lock.
    #[error("the bucket has no Object Lock")]
    NoObjectLock,
    /// The bucket is not as it must be for what was asked.
    #[error("{0}")]
    InvalidBucketState(&'static str),
    /// No such version.
    #[error("no such version")]
    NoSuchVersion,
    /// What is there is a delete marker.
    #[error("the version is a delete marker")]
    DeleteMarker {
        /// Its name.
        name: VersionName,
        /// Whether the request named it; otherwise it is the newest version.
        asked: bool,
    },
    /// The source of a copy was replaced while the copy was being decided.
    #[error("the source of the copy changed meanwhile")]
    SourceChanged,
    /// The vault takes no writes now, and says why (R4).
    #[error("the vault is read-only: {reason}")]
    ReadOnly {
        /// What happened and what to do.
        reason: String,
    },
    /// No space left for data; reads go on.
    #[error("the vault is full: {0}")]
    Full(String),
    /// The bucket's quota does not allow it to grow by this.
    #[error(
        "bucket {bucket} holds {used} bytes of a quota of {quota}; remove versions or open uploads, or raise it with `kovcheg bucket quota`"
    )]
    QuotaExceeded {
        /// Its name.
        bucket: String,
        /// Most bytes it may hold.
        quota: u64,
        /// Bytes it holds.
        used: u64,
    },
    /// The process ran short of descriptors or memory; it passes.
    #[error("the server is short of resources, try again: {0}")]
    Exhausted(DiskError),
    /// More than m shards of a stripe are lost or rotten (E-1).
    #[error("{} of {} shards of stripe {offset} in segment {segment:?} are unreadable: {detail}", lost, width)]
    Damaged {
        /// Segment.
        segment: SegmentId,
        /// Stripe.
        offset: u64,
        /// Shards lost.
        lost: usize,
        /// Shards there should be.
        width: usize,
        /// Which, and why.
        detail: String,
    },
    /// A chunk named by a manifest is not in the index.
    #[error("chunk {0} is not in the index; run `kovcheg verify`, then `kovcheg rebuild-index`")]
    ChunkMissing(ChunkId),
    /// Bytes came back that do not open under their key and name (D-1).
    #[error("{what} does not open: {reason}")]
    NotAuthentic {
        /// What.
        what: String,
        /// Why.
        reason: &'static str,
    },
    /// Stored bytes do not decode.
    #[error("{what}: {source}")]
    Format {
        /// What was read.
        what: &'static str,
        /// Cause.
        #[source]
        source: FormatError,
    },
    /// A disk failed and the vault could not do without it.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The erasure code was given what cannot be.
    #[error(transparent)]
    Erasure(#[from] ErasureError),
    /// The index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The vault is stopping, or stopped after a failure named in the log.
    #[error("the vault is stopping: {0}")]
    Stopping(Arc<str>),
    /// Something only an operator can mend; the message says how.
    #[error("{0}")]
    Operator(String),
}

/// Result of an engine call.
pub type StorageResult<T> = Result<T, StorageError>;

impl StorageError {
    /// Shorthand for [`StorageError::Format`].
    #[must_use]
    pub fn format(what: &'static str, source: FormatError) -> Self {
        Self::Format { what, source }
    }
}
