//! What the admin API says, version 0. Frozen per version; the engine's structures are translated here and nowhere else.

use kovcheg_format::record::identity::TenantSet;
use kovcheg_storage::error::StorageError;
use kovcheg_storage::identity::access_keys;
use kovcheg_storage::object::types::{Grant, Right};
use kovcheg_storage::status::{ClockStatus, DiskStatus, PhysicalBytes, VaultStatus};
use kovcheg_storage::vault::{VerifyProgress, VerifyReport};
use serde::{Deserialize, Serialize};

mod audit;
mod bucket;
mod hold;

pub use audit::{AuditKey, AuditNote, TrailEnd};
pub use bucket::{Bucket, NewQuota};
pub use hold::{CaseHold, HoldQuery, NewCaseHold, Tag};

/// One disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Path.
    pub path: String,
    /// Name from its superblock, empty when it was never read.
    pub id: String,
    /// `serving`, `fenced`, `missing` or `returning`.
    pub state: String,
    /// Why it is not serving.
    pub reason: Option<String>,
    /// `io_uring`, `plain` or `simulated`.
    pub driver: String,
    /// Bytes in all.
    pub total_bytes: u64,
    /// Bytes free.
    pub free_bytes: u64,
    /// Ranges that could not be read or did not match their checksum since start.
    pub bad_ranges: u64,
    /// Shards written back since start.
    pub repaired_shards: u64,
}

impl From<&DiskStatus> for Disk {
    fn from(disk: &DiskStatus) -> Self {
        Self {
            path: disk.label.clone(),
            id: disk.id.clone(),
            state: disk.state.clone(),
            reason: disk.reason.clone(),
            driver: disk.driver.clone(),
            total_bytes: disk.total,
            free_bytes: disk.free,
            bad_ranges: disk.bad_ranges,
            repaired_shards: disk.repaired,
        }
    }
}

/// Bytes on disks by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Physical {
    /// Data shards of segments.
    pub data: u64,
    /// Parity shards of segments and journal.
    pub parity: u64,
    /// Data shards of the journal.
    pub records: u64,
    /// Index files and checkpoints.
    pub index: u64,
}

impl Physical {
    /// Everything together.
    #[must_use]
    pub fn sum(self) -> u64 {
        self.data.saturating_add(self.parity).saturating_add(self.records).saturating_add(self.index)
    }
}

impl From<PhysicalBytes> for Physical {
    fn from(bytes: PhysicalBytes) -> Self {
        Self { data: bytes.data, parity: bytes.parity, records: bytes.records, index: bytes.index }
    }
}

/// The retention clock, by which locks expire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionClock {
    /// Its time, milliseconds since 1970.
    pub time_ms: u64,
    /// The wall clock, milliseconds since 1970.
    pub wall_ms: u64,
    /// Time off that was credited and not regained yet, milliseconds.
    pub credited_ms: u64,
    /// Whether it stands still until people accept a time.
    pub disputed: bool,
}

impl From<ClockStatus> for RetentionClock {
    fn from(clock: ClockStatus) -> Self {
        let ClockStatus { time_ms, wall_ms, credited_ms, disputed } = clock;
        Self { time_ms, wall_ms, credited_ms, disputed }
    }
}

/// The vault at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// `serving` or `read_only`; from the command line without a server, `offline`.
    pub state: String,
    /// Why it is read-only.
    pub reason: Option<String>,
    /// Things an operator should mend, each with what to do.
    pub warnings: Vec<String>,
    /// Pool id.
    pub pool: String,
    /// Life of the process.
    pub epoch: u64,
    /// Newest durable journal position.
    pub lsn: u64,
    /// Data shards at full width.
    pub k: u8,
    /// Parity shards.
    pub m: u8,
    /// Disks.
    pub disks: Vec<Disk>,
    /// Bytes on disks by kind.
    pub physical_bytes: Physical,
    /// Bytes of object versions as clients see them.
    pub logical_bytes: u64,
    /// Object versions.
    pub versions: u64,
    /// Buckets.
    pub buckets: u64,
    /// Whether the recovery kit was confirmed.
    pub recovery_kit_confirmed: bool,
    /// The retention clock.
    pub retention_clock: RetentionClock,
}

impl From<&VaultStatus> for Status {
    fn from(status: &VaultStatus) -> Self {
        Self {
            state: status.state.clone(),
            reason: status.reason.clone(),
            warnings: status.warnings.clone(),
            pool: status.pool.clone(),
            epoch: status.epoch,
            lsn: status.lsn,
            k: status.k,
            m: status.m,
            disks: status.disks.iter().map(Disk::from).collect(),
            physical_bytes: status.physical.into(),
            logical_bytes: status.logical_bytes,
            versions: status.versions,
            buckets: status.buckets,
            recovery_kit_confirmed: status.recovery_kit_confirmed,
            retention_clock: status.retention_clock.into(),
        }
    }
}

impl Status {
    /// Whether nothing asks for an operator: serving, every disk serving, no warnings but an unconfirmed recovery kit.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.state == "serving" && self.disks.iter().all(|disk| disk.state == "serving")
    }
}

/// How far a verification has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Objects opened and hashed.
    pub objects_done: u64,
    /// Objects in all.
    pub objects_total: u64,
    /// Bytes hashed.
    pub bytes_done: u64,
    /// Bytes in all.
    pub bytes_total: u64,
    /// Stripes checked shard by shard.
    pub stripes_done: u64,
}

impl From<&VerifyProgress> for Progress {
    fn from(progress: &VerifyProgress) -> Self {
        Self {
            objects_done: progress.objects_done,
            objects_total: progress.objects_total,
            bytes_done: progress.bytes_done,
            bytes_total: progress.bytes_total,
            stripes_done: progress.stripes_done,
        }
    }
}

/// An object that does not come back whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DamagedObject {
    /// Bucket.
    pub bucket: String,
    /// Key.
    pub key: String,
    /// What is wrong with it.
    pub reason: String,
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Objects opened.
    pub objects: u64,
    /// Bytes hashed.
    pub bytes: u64,
    /// Stripes checked shard by shard.
    pub stripes: u64,
    /// Stripes of which more than m shards are lost.
    pub damaged_stripes: Vec<String>,
    /// Objects that do not come back whole.
    pub damaged: Vec<DamagedObject>,
    /// Shards that were rotten or missing and were written back.
    pub repaired_shards: u64,
    /// Shards that lack because their disk is missing or takes no writes.
    pub lacking_shards: u64,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
}

impl From<VerifyReport> for Report {
    fn from(report: VerifyReport) -> Self {
        let damaged = report.damaged.into_iter();
        Self {
            objects: report.objects,
            bytes: report.bytes,
            stripes: report.stripes,
            damaged_stripes: report.damaged_stripes,
            damaged: damaged.map(|d| DamagedObject { bucket: d.bucket, key: d.key, reason: d.reason }).collect(),
            repaired_shards: report.repaired_shards,
            lacking_shards: report.lacking_shards,
            interrupted: report.interrupted,
        }
    }
}

impl Report {
    /// Whether something does not come back whole.
    #[must_use]
    pub fn found_damage(&self) -> bool {
        !(self.damaged.is_empty() && self.damaged_stripes.is_empty())
    }
}

/// One line of the answer to `/v0/verify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerifyLine {
    /// Still at it.
    Progress(Progress),
    /// Last line: it ran.
    Report(Report),
    /// Last line: it could not run.
    Error(String),
}

/// What to verify.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifyQuery {
    /// Only this bucket.
    pub bucket: Option<String>,
}

/// Shows that somebody holds the recovery kit. No `Debug`: the code opens the vault.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfirmKit {
    /// The printed code.
    pub code: String,
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Its number; buckets show it as their owner, in twelve digits.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// When it was made: milliseconds since 1970; 0 for the one that exists from the start.
    pub created_at_ms: u64,
}

impl From<TenantSet> for Tenant {
    fn from(tenant: TenantSet) -> Self {
        Self { id: tenant.tenant.0, name: tenant.name, created_at_ms: tenant.created_at }
    }
}

/// A tenant to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewTenant {
    /// Its name.
    pub name: String,
}

/// An access key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessKey {
    /// Its id.
    pub access_key: String,
    /// The tenant it acts for.
    pub tenant: String,
    /// Whether it is the root key, which may do everything.
    pub root: bool,
    /// Whether requests with it are taken.
    pub enabled: bool,
    /// Buckets it may use; a name that ends in `*` stands for all that begin so.
    pub buckets: Vec<String>,
    /// What it may do there: `read`, `write`, `delete`, `list`, `hold`, `bypass`.
    pub rights: Vec<String>,
    /// What it is for.
    pub note: String,
    /// When it was made: milliseconds since 1970.
    pub created_at_ms: u64,
}

impl From<access_keys::AccessKey> for AccessKey {
    fn from(key: access_keys::AccessKey) -> Self {
        Self {
            access_key: key.access_key,
            tenant: key.tenant,
            root: key.root,
            enabled: key.enabled,
            buckets: key.grant.buckets,
            rights: key.grant.rights.into_iter().map(|right| right.word().to_owned()).collect(),
            note: key.note,
            created_at_ms: key.created_at,
        }
    }
}

/// An access key to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewAccessKey {
    /// The tenant it acts for.
    pub tenant: String,
    /// Buckets it may use; a name that ends in `*` stands for all that begin so.
    pub buckets: Vec<String>,
    /// What it may do there: `read`, `write`, `delete`, `list`, `hold`, `bypass`.
    pub rights: Vec<String>,
    /// What it is for.
    #[serde(default)]
    pub note: String,
}

impl NewAccessKey {
    /// What is granted.
    ///
    /// # Errors
    /// [`StorageError::InvalidArgument`] for a word that is no right.
    pub fn grant(&self) -> Result<Grant, StorageError> {
        let right = |word: &String| {
            Right::from_word(word).ok_or_else(|| StorageError::InvalidArgument {
                what: "access key",
                reason: format!("{word:?} is no right; there are read, write, delete, list, hold and bypass"),
            })
        };
        let rights = self.rights.iter().map(right).collect::<Result<_, _>>()?;
        Ok(Grant { buckets: self.buckets.clone(), rights })
    }
}

/// An access key that was made. No `Debug`: the secret is shown this once.
#[derive(Serialize, Deserialize)]
pub struct MadeAccessKey {
    /// Its id.
    pub access_key: String,
    /// Its secret.
    pub secret_key: String,
    /// The tenant it acts for.
    pub tenant: String,
}

/// Whether requests with an access key are to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enabled {
    /// Whether.
    pub enabled: bool,
}

/// An answer that is not 200.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What went wrong and what to do.
    pub error: String,
}

/// Health of the process, as `/health/*` says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `live`, `ready` or `not_ready`.
    pub state: String,
    /// Why it is not ready.
    pub reason: Option<String>,
}
