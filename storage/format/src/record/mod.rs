//! Records: everything that ever happens to a vault, in the order of the journal.
//!
//! One file per subject, each with `mod v1` (and later `v2` with a pure `migrate`). The frame stores tag and version beside
//! each body; this file is the only table of tags.

pub mod audit;
pub mod bucket;
pub mod hold;
pub mod identity;
pub mod lifecycle;
pub mod pool;
pub mod segment;
pub mod upload;
pub mod version;

use crate::codec::{Decode, Encode, Writer};
use crate::error::FormatError;
use crate::frame::RECORD_LEN_MAX;
use crate::version::check_version;

macro_rules! records {
    ($($(#[$doc:meta])* $variant:ident($ty:ty) = $tag:literal @ $newest:literal,)*) => {
        /// One record of the journal, in its newest version.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Record { $($(#[$doc])* $variant($ty),)* }

        impl Record {
            /// Every tag this release knows, with the name of its record.
            pub const TAGS: &'static [(u16, &'static str)] = &[$(($tag, stringify!($variant)),)*];

            /// The number that stands for this kind of record on disk.
            #[must_use]
            pub fn tag(&self) -> u16 {
                match self { $(Self::$variant(_) => $tag,)* }
            }

            /// The version in which this release writes it.
            #[must_use]
            pub fn version(&self) -> u16 {
                match self { $(Self::$variant(_) => $newest,)* }
            }

            /// Appends the body.
            pub fn encode_body(&self, out: &mut Writer) {
                match self { $(Self::$variant(record) => record.encode(out),)* }
            }

            /// Decodes a body by tag and version, migrating old versions to the newest.
            pub fn decode_body(tag: u16, version: u16, body: &[u8]) -> Result<Self, FormatError> {
                match tag {
                    $($tag => {
                        check_version(stringify!($variant), version, $newest)?;
                        <$ty>::from_bytes(body).map(Self::$variant)
                    })*
                    _ => Err(FormatError::Invalid { what: "record tag" }),
                }
            }
        }

        $(impl From<$ty> for Record {
            fn from(record: $ty) -> Self { Self::$variant(record) }
        })*
    };
}

impl Record {
    /// The encoded body.
    ///
    /// # Panics
    /// When [`Record::check`] refuses the record.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let mut out = Writer::new();
        self.encode_body(&mut out);
        out.into_vec()
    }

    /// Whether every limit of the format holds, so that what the journal takes can be read again. Ask before a record
    /// that a client has a say in is queued: once it shares a frame with others, refusing it would refuse them too.
    pub fn check(&self) -> Result<(), FormatError> {
        let mut out = Writer::new();
        out.nested(RECORD_LEN_MAX, "record body", |body| self.encode_body(body));
        out.into_checked().map(drop)
    }
}

records! {
    /// First record of every life of the process (R3).
    EpochStarted(pool::EpochStarted) = 1 @ 1,
    /// Who belongs to the pool, at a new generation.
    MembersChanged(pool::MembersChanged) = 2 @ 1,
    /// A disk stopped or started to count.
    DiskStateChanged(pool::DiskStateChanged) = 3 @ 1,
    /// A checkpoint of the index is durable and verified.
    CheckpointTaken(pool::CheckpointTaken) = 4 @ 1,
    /// The retention clock was at this moment.
    ClockTicked(pool::ClockTicked) = 5 @ 1,
    /// A segment or journal file exists from here on.
    SegmentOpened(segment::SegmentOpened) = 10 @ 1,
    /// A segment ends here.
    SegmentClosed(segment::SegmentClosed) = 11 @ 1,
    /// A data stripe is durable on all its shards.
    StripeAdded(segment::StripeAdded) = 12 @ 1,
    /// Chunks that lie in this very journal stripe.
    ChunksInlined(segment::ChunksInlined) = 13 @ 1,
    /// Edges of a new manifest node.
    NodeAdded(segment::NodeAdded) = 14 @ 1,
    /// Copies of chunks could not be read.
    ChunksDamaged(segment::ChunksDamaged) = 15 @ 1,
    /// A bucket exists.
    BucketCreated(bucket::BucketCreated) = 20 @ 1,
    /// A bucket is gone.
    BucketDeleted(bucket::BucketDeleted) = 21 @ 1,
    /// A bucket began or ceased to keep versions.
    VersioningSet(bucket::VersioningSet) = 22 @ 1,
    /// A bucket has Object Lock, with this default retention.
    ObjectLockSet(bucket::ObjectLockSet) = 23 @ 1,
    /// A case hold covers part of a bucket.
    CaseHoldPlaced(hold::CaseHoldPlaced) = 24 @ 1,
    /// A bucket has these lifecycle rules.
    LifecycleSet(lifecycle::LifecycleSet) = 25 @ 1,
    /// A bucket may hold this much.
    QuotaSet(bucket::QuotaSet) = 26 @ 1,
    /// An object version exists.
    VersionPut(version::VersionPut) = 30 @ 1,
    /// An object version is gone.
    VersionRemoved(version::VersionRemoved) = 31 @ 1,
    /// The retention of an object version changed.
    RetentionSet(version::RetentionSet) = 32 @ 1,
    /// An object version came under a legal hold, or is no longer.
    LegalHoldSet(version::LegalHoldSet) = 33 @ 1,
    /// The tags of an object version changed.
    TagsSet(version::TagsSet) = 34 @ 1,
    /// A multipart upload is open.
    UploadCreated(upload::UploadCreated) = 40 @ 1,
    /// A part of an upload is stored.
    PartPut(upload::PartPut) = 41 @ 1,
    /// An upload was completed or aborted.
    UploadEnded(upload::UploadEnded) = 42 @ 1,
    /// The object that an upload is to become asks for locks.
    UploadLocked(upload::UploadLocked) = 43 @ 1,
    /// An act that changes or refuses something, before its effect.
    Audit(audit::Audit) = 50 @ 1,
    /// An S3 access key exists or changed.
    CredentialSet(identity::CredentialSet) = 60 @ 1,
    /// An S3 access key is gone.
    CredentialRemoved(identity::CredentialRemoved) = 61 @ 1,
    /// What an S3 access key may do.
    GrantSet(identity::GrantSet) = 62 @ 1,
    /// A tenant exists.
    TenantSet(identity::TenantSet) = 63 @ 1,
}
