//! What this crate needs from the vault, as traits, so that it is tested without one.

use std::ops::ControlFlow;

use kovcheg_format::record::identity::TenantSet;
use kovcheg_storage::error::StorageResult;
use kovcheg_storage::identity::access_keys::AccessKey;
use kovcheg_storage::object::types::{BucketStatus, CaseHold, Grant, NewCaseHold};
use kovcheg_storage::status::{ClockStatus, VaultStatus};
use kovcheg_storage::vault::{VerifyProgress, VerifyReport};
use zeroize::Zeroizing;

/// The vault is not open: still recovering, or closing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the vault is {0}")]
pub struct NotOpen(pub &'static str);

/// Tenants and access keys. Every change is durable and audited on return; all of it may block on disks.
pub trait IdentityControl: Send + Sync + 'static {
    /// Every tenant.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn tenants(&self) -> StorageResult<Vec<TenantSet>>;

    /// Makes a tenant.
    ///
    /// # Errors
    /// When the name is taken or cannot be, the key file does not open the vault, or it cannot be written.
    fn create_tenant(&self, name: &str) -> StorageResult<TenantSet>;

    /// Every access key, without secrets.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn access_keys(&self) -> StorageResult<Vec<AccessKey>>;

    /// Makes an access key of a tenant; its id and secret, which are in no other place in clear.
    ///
    /// # Errors
    /// When there is no such tenant, the grant says nothing, or it cannot be written.
    fn create_access_key(&self, tenant: &str, grant: Grant, note: &str) -> StorageResult<(String, Zeroizing<String>)>;

    /// Has requests with an access key taken or refused.
    ///
    /// # Errors
    /// When there is no such key, or it is root's.
    fn set_access_key_enabled(&self, access_key: &str, enabled: bool) -> StorageResult<()>;

    /// Removes an access key for good.
    ///
    /// # Errors
    /// When there is no such key, or it is root's.
    fn remove_access_key(&self, access_key: &str) -> StorageResult<()>;
}

/// Case holds. May block on disks.
pub trait HoldControl: Send + Sync + 'static {
    /// The case holds of one bucket, or of all.
    ///
    /// # Errors
    /// When there is no such bucket, or the index cannot be read.
    fn case_holds(&self, bucket: Option<&str>) -> StorageResult<Vec<CaseHold>>;

    /// Places a case hold; durable and audited on return.
    ///
    /// # Errors
    /// When there is no such bucket or version, or it cannot be written.
    fn place_case_hold(&self, new: NewCaseHold) -> StorageResult<CaseHold>;
}

/// Buckets and their quotas. May block on disks.
pub trait BucketControl: Send + Sync + 'static {
    /// Every bucket with what it holds and may hold.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn buckets(&self) -> StorageResult<Vec<BucketStatus>>;

    /// Sets the quota of a bucket, or, with `None`, takes it away; durable and audited on return.
    ///
    /// # Errors
    /// When there is no such bucket, or it cannot be written.
    fn set_quota(&self, bucket: &str, bytes: Option<u64>) -> StorageResult<BucketStatus>;
}

/// The audit trail (docs/audit.md).
pub trait AuditControl: Send + Sync + 'static {
    /// Reads the trail from its first entry; `visit` gets each as a line of an export, without its end of line. Blocks for as long as reading the
    /// journal takes: call it from a thread that may block. The number of entries; `None` when `visit` broke off, or the vault is closing.
    ///
    /// # Errors
    /// When it cannot be read, or is not the one that the index went by.
    fn read_audit(&self, visit: &mut dyn FnMut(String) -> ControlFlow<()>) -> StorageResult<Option<u64>>;

    /// The head of the trail as a signed note.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn audit_checkpoint(&self) -> StorageResult<String>;

    /// The public key that signed notes are verified with.
    ///
    /// # Errors
    /// When the vault is not open.
    fn audit_key(&self) -> StorageResult<String>;
}

/// The vault as its operators see it.
pub trait VaultControl: IdentityControl + BucketControl + HoldControl + AuditControl {
    /// Whether there is a vault to ask. In memory.
    ///
    /// # Errors
    /// [`NotOpen`] while the vault recovers or closes.
    fn is_open(&self) -> Result<(), NotOpen>;

    /// The vault at a glance. Reads all segment rows of the index and asks the file system of every disk: call it from a thread that
    /// may block, through [`Snapshots`](crate::snapshot::Snapshots).
    ///
    /// # Errors
    /// [`NotOpen`] while the vault recovers or closes.
    fn status(&self) -> Result<VaultStatus, NotOpen>;

    /// Opens and hashes everything, or everything in one bucket. Blocks for as long as that takes: call it from a thread
    /// that may block. Stops early, and says so in the report, when `progress` breaks or the vault is closing.
    ///
    /// # Errors
    /// When it could not run at all; damage found is no error but part of the report.
    fn verify(
        &self,
        bucket: Option<&str>,
        progress: &mut dyn FnMut(&VerifyProgress) -> ControlFlow<()>,
    ) -> StorageResult<VerifyReport>;

    /// Marks the recovery kit as confirmed when `code` opens it. Durable on return. Blocks on disks.
    ///
    /// # Errors
    /// When the code opens nothing, or the mark could not be stored.
    fn confirm_recovery_kit(&self, code: &str) -> StorageResult<()>;

    /// Accepts the wall clock as the retention clock's time when `code` opens the recovery kit. Durable and audited on return. Blocks on
    /// disks.
    ///
    /// # Errors
    /// When the code opens nothing, or it could not be stored.
    fn accept_clock(&self, code: &str) -> StorageResult<ClockStatus>;
}

/// Metrics that the crates of the vault recorded, as Prometheus text.
pub trait MetricsText: Send + Sync + 'static {
    /// Everything recorded so far.
    fn render(&self) -> String;
}
