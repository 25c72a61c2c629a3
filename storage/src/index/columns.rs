//! Columns of the index and what stands in them. Keys are built by `kovcheg_format::key`; values are encoded records or
//! the row types of [`rows`](crate::index::rows).

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Column {
    /// `applied` → [`Applied`](crate::journal::apply::Applied), `digest` → additive set digest, `counters` →
    /// [`Counters`](crate::index::rows::Counters), `epoch` → `EpochStarted`, `clock` → `ClockTicked`, `facts` →
    /// [sealed count](crate::index::seal) of the rows that decide. Left out of the digest.
    Meta,
    /// Bucket id → `BucketCreated`.
    Bucket,
    /// Bucket name → bucket id (big-endian).
    BucketName,
    /// Bucket, key, inverted version → `VersionPut`.
    Version,
    /// Bucket, key → version id of the current version, when that is an object.
    Current,
    /// Bucket, key, upload → `UploadCreated`.
    Upload,
    /// Upload, part number → `PartPut`. Number 0, which no part has, → the key of the upload's row in
    /// [`Column::Upload`], so that a part finds its upload and parts of ended uploads are known as such.
    Part,
    /// Chunk or node id → `ChunkRow`.
    Chunk,
    /// Segment id → `SegmentRow`.
    Segment,
    /// Segment id, offset → [`StripeRow`](crate::index::rows::StripeRow). Journal stripes have none.
    Stripe,
    /// Access key → `CredentialSet`.
    Credential,
    /// Disk id → `Member`.
    Disk,
    /// LSN → `CheckpointTaken`.
    Checkpoint,
    /// Chunk or node id → segment id and offset of the stripe of its copy that cannot be read (R17).
    Damaged,
    /// Tenant id → `TenantSet`.
    Tenant,
    /// Access key → `GrantSet`.
    Grant,
    /// Bucket id → `VersioningSet`; none where it is off.
    Versioning,
    /// Bucket id → `ObjectLockSet`.
    ObjectLock,
    /// Upload → `UploadLocked`.
    UploadLock,
    /// Bucket, hold → `CaseHoldPlaced`.
    CaseHold,
    /// `tree` → `AuditTree`.
    Audit,
    /// Bucket id → `LifecycleSet`.
    Lifecycle,
    /// Bucket id → `QuotaSet`; none where there is no quota.
    Quota,
    /// Bucket id → [`BucketUsage`](crate::index::rows::BucketUsage); none where all of it is 0.
    Usage,
}

impl Column {
    /// Every column, in a fixed order.
    pub const ALL: [Self; 24] = [
        Self::Meta,
        Self::Bucket,
        Self::BucketName,
        Self::Version,
        Self::Current,
        Self::Upload,
        Self::Part,
        Self::Chunk,
        Self::Segment,
        Self::Stripe,
        Self::Credential,
        Self::Disk,
        Self::Checkpoint,
        Self::Damaged,
        Self::Tenant,
        Self::Grant,
        Self::Versioning,
        Self::ObjectLock,
        Self::UploadLock,
        Self::CaseHold,
        Self::Audit,
        Self::Lifecycle,
        Self::Quota,
        Self::Usage,
    ];

    /// Name of the column family.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Bucket => "bucket",
            Self::BucketName => "bucket_name",
            Self::Version => "version",
            Self::Current => "current",
            Self::Upload => "upload",
            Self::Part => "part",
            Self::Chunk => "chunk",
            Self::Segment => "segment",
            Self::Stripe => "stripe",
            Self::Credential => "credential",
            Self::Disk => "disk",
            Self::Checkpoint => "checkpoint",
            Self::Damaged => "damaged",
            Self::Tenant => "tenant",
            Self::Grant => "grant",
            Self::Versioning => "versioning",
            Self::ObjectLock => "object_lock",
            Self::UploadLock => "upload_lock",
            Self::CaseHold => "case_hold",
            Self::Audit => "audit",
            Self::Lifecycle => "lifecycle",
            Self::Quota => "quota",
            Self::Usage => "usage",
        }
    }

    /// The column's number in checkpoints and digests; never changes.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Meta => 0,
            Self::Bucket => 1,
            Self::BucketName => 2,
            Self::Version => 3,
            Self::Current => 4,
            Self::Upload => 5,
            Self::Part => 6,
            Self::Chunk => 7,
            Self::Segment => 8,
            Self::Stripe => 9,
            Self::Credential => 10,
            Self::Disk => 11,
            Self::Checkpoint => 12,
            Self::Damaged => 13,
            Self::Tenant => 14,
            Self::Grant => 15,
            Self::Versioning => 16,
            Self::ObjectLock => 17,
            Self::UploadLock => 18,
            Self::CaseHold => 19,
            Self::Audit => 20,
            Self::Lifecycle => 21,
            Self::Quota => 22,
            Self::Usage => 23,
        }
    }

    /// The reverse of [`Column::code`].
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.code() == code)
    }
}
