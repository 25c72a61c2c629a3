//! What this crate needs from the vault, as traits, so that it is tested without one.

use std::ops::ControlFlow;

use kovcheg_storage::error::StorageResult;
use kovcheg_storage::status::VaultStatus;
use kovcheg_storage::vault::{VerifyProgress, VerifyReport};

/// The vault is not open: still recovering, or closing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the vault is {0}")]
pub struct NotOpen(pub &'static str);

/// The vault as its operators see it.
pub trait VaultControl: Send + Sync + 'static {
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
}

/// Metrics that the crates of the vault recorded, as Prometheus text.
pub trait MetricsText: Send + Sync + 'static {
    /// Everything recorded so far.
    fn render(&self) -> String;
}
