//! What gateways say to the engine and hear from it: plain data.

use kovcheg_format::id::{HoldId, TenantId, UploadId, VersionId};
use kovcheg_format::record::bucket::{BucketCreated, ChunkProfile, Namespace};
use kovcheg_format::record::upload::{PartPut, UploadCreated};
use kovcheg_format::record::version::{Checksum, Pair, RetentionMode, VersionPut};
use kovcheg_format::units::TimestampMs;

use crate::index::rows::BucketUsage;

pub use kovcheg_policy::access::{Grant, Right};

/// Longest object key, in bytes of UTF-8 (S3).
pub const KEY_LEN_MAX: usize = 1024;
/// Longest name and longest value of a tag, in characters (S3).
pub const TAG_NAME_MAX: usize = 128;
/// See [`TAG_NAME_MAX`].
pub const TAG_VALUE_MAX: usize = 256;
/// Least bytes of a part but the last (S3).
pub const PART_LEN_MIN: u64 = 5 << 20;
/// Most parts of an upload (S3).
pub const PARTS_MAX: u16 = 10_000;

/// A bucket to be made.
#[derive(Debug, Clone)]
pub struct NewBucket {
    /// S3 name; validated by the gateway's protocol and again here.
    pub name: String,
    /// Owner.
    pub tenant: TenantId,
    /// What keys mean.
    pub namespace: Namespace,
    /// How objects are cut; `None` for the vault's default.
    pub profile: Option<ChunkProfile>,
    /// Whether it has Object Lock, and with it keeps versions, from the start.
    pub object_lock: bool,
}

/// A retention: as long as it lasts, the version stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// GOVERNANCE or COMPLIANCE.
    pub mode: RetentionMode,
    /// Until when, by the retention clock; milliseconds since 1970.
    pub until: TimestampMs,
}

impl Retention {
    /// Mode and retain-until as records hold them: no mode and 0 without a retention.
    #[must_use]
    pub fn parts(retention: Option<Self>) -> (RetentionMode, TimestampMs) {
        retention.map_or((RetentionMode::None, 0), |retention| (retention.mode, retention.until))
    }
}

/// The locks that a new version asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NewLock {
    /// Retention, in place of the bucket's default.
    pub retention: Option<Retention>,
    /// Whether it comes under an S3 legal hold.
    pub legal_hold: bool,
}

/// The retention that a bucket gives versions which ask for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefaultRetention {
    /// Mode; without one there is no default.
    pub mode: RetentionMode,
    /// Days it lasts; 0 when it is counted in years.
    pub days: u32,
    /// Calendar years it lasts; 0 when it is counted in days.
    pub years: u32,
}

impl Default for DefaultRetention {
    fn default() -> Self {
        Self { mode: RetentionMode::None, days: 0, years: 0 }
    }
}

impl std::fmt::Display for DefaultRetention {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.mode, self.years) {
            (RetentionMode::None, _) => out.write_str("Object Lock without a default"),
            (mode, 0) => write!(out, "{mode:?} for {} days", self.days),
            (mode, years) => write!(out, "{mode:?} for {years} years"),
        }
    }
}

/// The part of a bucket that a case hold covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeldPart {
    /// Every version.
    Bucket,
    /// Versions whose key begins so.
    Prefix(String),
    /// Versions that carry this tag.
    Tag(Pair),
    /// One version of a key; to place a hold, `None` for the current one.
    Version(String, Option<VersionName>),
}

impl std::fmt::Display for HeldPart {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bucket => out.write_str("the whole bucket"),
            Self::Prefix(prefix) => write!(out, "prefix {prefix}"),
            Self::Tag(tag) => write!(out, "tag {}={}", tag.name, tag.value),
            Self::Version(key, None) => write!(out, "current version of {key}"),
            Self::Version(key, Some(name)) => write!(out, "version {name} of {key}"),
        }
    }
}

/// A case hold to be placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCaseHold {
    /// Number of the case.
    pub case: String,
    /// Bucket name.
    pub bucket: String,
    /// What of it.
    pub part: HeldPart,
    /// What it is for.
    pub note: String,
}

/// A case hold as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseHold {
    /// Its name.
    pub id: HoldId,
    /// Number of the case.
    pub case: String,
    /// Bucket name.
    pub bucket: String,
    /// What of it.
    pub part: HeldPart,
    /// What it is for.
    pub note: String,
    /// When it was placed: wall clock, milliseconds since 1970.
    pub placed_at: TimestampMs,
    /// Who placed it.
    pub placed_by: String,
}

/// A bucket with what it holds and may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketStatus {
    /// The bucket.
    pub bucket: BucketCreated,
    /// What it holds.
    pub usage: BucketUsage,
    /// Most bytes it may hold; `None` for as much as there is room for.
    pub quota: Option<u64>,
}

/// Names a version as clients do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRef {
    /// Bucket name.
    pub bucket: String,
    /// Object key.
    pub key: String,
    /// The version; `None` for the current one.
    pub version: Option<VersionName>,
}

/// Sees every byte of a body, in order, on the engine's CPU workers: how a gateway computes MD5 and checksums without
/// spending its own threads.
pub trait BodyObserver: Send {
    /// The next bytes of the body.
    fn update(&mut self, bytes: &[u8]);

    /// Bytes that the client announced, if it did: a body that a quota has no room for is refused before it comes.
    fn announced(&self) -> Option<u64> {
        None
    }

    /// Gives the observer back as itself, for its owner to read the digests.
    fn into_any(self: Box<Self>) -> Box<dyn std::any::Any + Send>;
}

/// Observes nothing.
#[derive(Debug, Default)]
pub struct NoObserver;

impl BodyObserver for NoObserver {
    fn update(&mut self, _bytes: &[u8]) {}

    fn into_any(self: Box<Self>) -> Box<dyn std::any::Any + Send> {
        self
    }
}

/// What must hold of the current version for a write to take effect; checked in journal order.
#[derive(Debug, Clone, Default)]
pub struct Precondition {
    /// `If-None-Match: *`.
    pub must_not_exist: bool,
    /// `If-Match: etag`.
    pub etag: Option<String>,
}

/// Everything about an object version but its content.
#[derive(Debug, Clone, Default)]
pub struct NewVersion {
    /// ETag, without quotes.
    pub etag: String,
    /// Content headers.
    pub headers: Vec<Pair>,
    /// User metadata.
    pub metadata: Vec<Pair>,
    /// Tags.
    pub tags: Vec<Pair>,
    /// Checksums.
    pub checksums: Vec<Checksum>,
    /// Conditions.
    pub precondition: Precondition,
    /// Locks it asks for.
    pub lock: NewLock,
}

/// Everything about an upload but its parts.
#[derive(Debug, Clone, Default)]
pub struct NewUpload {
    /// Content headers of the object to be.
    pub headers: Vec<Pair>,
    /// User metadata.
    pub metadata: Vec<Pair>,
    /// Tags.
    pub tags: Vec<Pair>,
    /// Announced checksum algorithm, 0 for none.
    pub checksum_kind: u8,
    /// Whether the checksum covers the full object.
    pub full_object: bool,
    /// Locks that the object to be asks for.
    pub lock: NewLock,
}

/// Names an upload as clients do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadRef {
    /// Bucket name.
    pub bucket: String,
    /// Object key.
    pub key: String,
    /// The upload.
    pub upload: UploadId,
}

/// A part named at completion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedPart {
    /// Number.
    pub number: u16,
    /// ETag, without quotes.
    pub etag: String,
}

/// What a listing asks for.
#[derive(Debug, Clone, Default)]
pub struct ListQuery {
    /// Only keys that start with this.
    pub prefix: String,
    /// Roll keys up at the first occurrence of this after the prefix; empty for none.
    pub delimiter: String,
    /// Only keys (and common prefixes) after this one; exclusive.
    pub after: Option<String>,
    /// Most keys and common prefixes together.
    pub max_keys: usize,
}

/// One page of a listing.
#[derive(Debug, Clone, Default)]
pub struct ListPage {
    /// Current versions, in order of their keys' bytes.
    pub objects: Vec<VersionPut>,
    /// Rolled-up prefixes, in order.
    pub common_prefixes: Vec<String>,
    /// Where the next page starts (`ListQuery::after`), when there is one.
    pub next: Option<String>,
}

/// Where a listing of uploads goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UploadMarker {
    /// After this key, or, with an upload, at it.
    pub key: String,
    /// After this upload of the key; `None` to go on behind all of them.
    pub upload: Option<UploadId>,
}

/// What a listing of uploads asks for.
#[derive(Debug, Clone, Default)]
pub struct UploadQuery {
    /// Only keys that start with this.
    pub prefix: String,
    /// Roll keys up at the first occurrence of this after the prefix; empty for none.
    pub delimiter: String,
    /// Only what comes after this.
    pub after: Option<UploadMarker>,
    /// Most uploads and common prefixes together.
    pub max_uploads: usize,
}

/// One page of a bucket's open uploads.
#[derive(Debug, Clone, Default)]
pub struct UploadPage {
    /// By key, those of one key in the order they were begun.
    pub uploads: Vec<UploadCreated>,
    /// Rolled-up prefixes, in order.
    pub common_prefixes: Vec<String>,
    /// Where the next page starts (`UploadQuery::after`), when there is one.
    pub next: Option<UploadMarker>,
}

/// One page of an upload's parts.
#[derive(Debug, Clone)]
pub struct PartPage {
    /// The upload.
    pub upload: UploadCreated,
    /// Parts by number.
    pub parts: Vec<PartPut>,
    /// Number after which the next page starts, when there is one.
    pub next: Option<u16>,
}

/// A version as clients name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionName {
    /// The one that was made while the bucket kept no versions.
    Null,
    /// Any other.
    Id(VersionId),
}

/// A version, and whether clients are told its name.
#[derive(Debug, Clone)]
pub struct Found {
    /// The version.
    pub version: VersionPut,
    /// Whether its bucket keeps versions, or ever did.
    pub named: bool,
}

impl Found {
    /// How clients name it; `None` in a bucket that never kept versions.
    #[must_use]
    pub fn name(&self) -> Option<VersionName> {
        self.named.then(|| VersionName::of(&self.version))
    }
}

/// As S3 shows it: 32 hex digits, or `null`.
impl std::fmt::Display for VersionName {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => out.write_str("null"),
            Self::Id(id) => write!(out, "{id}"),
        }
    }
}

impl VersionName {
    /// The reverse of its text; `None` when that names no version.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        if text == "null" {
            return Some(Self::Null);
        }
        let mut id = [0; 16];
        hex::decode_to_slice(text, &mut id).ok().map(|()| Self::Id(VersionId(id)))
    }

    /// The name of a version.
    #[must_use]
    pub fn of(version: &VersionPut) -> Self {
        if version.null_version { Self::Null } else { Self::Id(version.version) }
    }
}

impl std::ops::Deref for Found {
    type Target = VersionPut;

    fn deref(&self) -> &VersionPut {
        &self.version
    }
}

/// Where a listing of versions goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VersionMarker {
    /// After this key, or, with a version, at it.
    pub key: String,
    /// After this version of the key; `None` to go on behind all of them.
    pub version: Option<VersionName>,
}

/// What a listing of versions asks for.
#[derive(Debug, Clone, Default)]
pub struct VersionQuery {
    /// Only keys that start with this.
    pub prefix: String,
    /// Roll keys up at the first occurrence of this after the prefix; empty for none.
    pub delimiter: String,
    /// Only what comes after this.
    pub after: Option<VersionMarker>,
    /// Most versions and common prefixes together.
    pub max_keys: usize,
}

/// One page of a bucket's versions and delete markers.
#[derive(Debug, Clone, Default)]
pub struct VersionPage {
    /// By key, those of one key from the newest to the oldest; and whether each is the newest of its key.
    pub versions: Vec<(VersionPut, bool)>,
    /// Rolled-up prefixes, in order.
    pub common_prefixes: Vec<String>,
    /// Where the next page starts (`VersionQuery::after`), when there is one.
    pub next: Option<VersionMarker>,
}

/// What a delete did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeleteOutcome {
    /// Whether there was something to remove, or a delete marker was made.
    pub existed: bool,
    /// Whether a delete marker was made, or removed.
    pub marker: bool,
    /// The version that was made or removed, as clients name it; `None` in a bucket that never kept versions.
    pub name: Option<VersionName>,
}

/// An S3 credential, its secret in clear: for signature checks only.
#[derive(Clone)]
pub struct Credential {
    /// Access key id.
    pub access_key: String,
    /// Secret.
    pub secret: zeroize::Zeroizing<String>,
    /// Tenant it acts for.
    pub tenant: TenantId,
    /// Whether it is root, which may do everything.
    pub root: bool,
    /// What it may do in its tenant, when it is not root.
    pub grant: Grant,
}

impl Credential {
    /// Whether it may do something in a bucket of its own tenant; whose bucket it is must be asked as well.
    #[must_use]
    pub fn may(&self, bucket: &str, right: Right) -> bool {
        self.root || self.grant.allows(bucket, right)
    }

    /// Whether it has any right in a bucket of its own tenant.
    #[must_use]
    pub fn may_anything(&self, bucket: &str) -> bool {
        self.root || self.grant.allows_any(bucket)
    }
}
