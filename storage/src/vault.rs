//! Opening, closing and looking after a vault.
//!
//! Opening takes the exclusive lock, finds the disks by their superblocks (R15), opens the keys, raises the epoch durably,
//! replays the journal's tail (R3, R8), lets returning disks catch up, and only then serves.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kovcheg_format::record::identity::TenantSet;
use kovcheg_format::superblock::FailureDomain;
use kovcheg_policy::clock::ClockState;
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::config::EngineConfig;
use crate::disk::Disk;
use crate::engine::Engine;
use crate::error::{StorageError, StorageResult};
use crate::handle::VaultHandle;
use crate::identity::{self, RootChange, operator_origin};
use crate::index::Index;
use crate::journal::sequencer::{Commit, Moment};
use crate::lifecycle::LifecycleWorker;
use crate::object::types::{BucketStatus, CaseHold, Credential, NewCaseHold};
use crate::object::{holds, quota};

mod announce;
pub mod clock;
mod disk_states;
mod epoch;
mod first_start;
mod housekeeper;
mod index_dir;
mod keyrings;
pub mod kit;
mod leftovers;
mod lock;
mod most_disks;
pub mod pool;
mod returning;
mod start;
mod tail;
mod tenant;
pub mod verify;
mod wiring;

pub use kit::recover_key;
pub use start::RebuildReport;
pub use verify::{DamagedObject, VerifyProgress, VerifyReport};

use housekeeper::Housekeeper;
use lock::VaultLock;
use pool::FoundPool;

/// A disk by its path.
#[derive(Debug, Clone)]
pub struct DiskSpec {
    /// Folder that is the disk.
    pub path: PathBuf,
    /// Where it stands; written into its superblock when it is initialised.
    pub failure_domain: FailureDomain,
}

/// How to open a vault.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// Where its disks may be found. Which is which is told by their superblocks, never by the path.
    pub disks: Vec<DiskSpec>,
    /// Folder of the index.
    pub index_dir: PathBuf,
    /// File of the root key.
    pub key_file: PathBuf,
    /// Data shards, for a new vault.
    pub k: u8,
    /// Parity shards, for a new vault.
    pub m: u8,
    /// Whether a new vault may be made when all disks are empty.
    pub create: bool,
    /// Take no writes from clients and begin no new life; lost shards are still put back where the pool may be written.
    pub read_only: bool,
    /// Open for writing with fewer disks than R15 asks for.
    pub force_missing: bool,
    /// Settings.
    pub engine: EngineConfig,
}

/// What a first start leaves to be told once.
pub struct FirstStart {
    /// Code of the recovery kit; shown once, stored nowhere.
    pub recovery_code: Zeroizing<String>,
}

/// An opened vault.
pub struct Opened {
    /// The vault.
    pub vault: Vault,
    /// Set when this was its first start.
    pub first_start: Option<FirstStart>,
}

/// What a vault is opened from, once paths are disks: the seam for simulated ones.
pub struct Parts {
    /// Disks, in the order of configuration, with where they stand.
    pub disks: Vec<(Arc<dyn Disk>, FailureDomain)>,
    /// Paths that gave no disk, and why.
    pub absent: Vec<(String, String)>,
    /// The index.
    pub index: Arc<dyn Index>,
    /// File of the root key.
    pub key_file: PathBuf,
    /// Wall clock.
    pub clock: Arc<dyn Clock>,
    /// Data shards, for a new vault.
    pub k: u8,
    /// Parity shards, for a new vault.
    pub m: u8,
    /// See [`OpenOptions`].
    pub create: bool,
    /// See [`OpenOptions`].
    pub read_only: bool,
    /// See [`OpenOptions`].
    pub force_missing: bool,
    /// Settings.
    pub config: EngineConfig,
}

/// An open vault. Dropping it without [`Vault::close`] is like a crash: safe, and the next start replays a little more.
pub struct Vault {
    handle: VaultHandle,
    housekeeper: Option<Housekeeper>,
    lifecycle: Option<LifecycleWorker>,
    found: FoundPool,
    key_file: PathBuf,
    _lock: Option<VaultLock>,
}

impl Vault {
    /// Opens or makes a vault. Blocks until it serves. A second opener of the same vault is refused.
    pub fn open(options: &OpenOptions) -> StorageResult<Opened> {
        let lock = VaultLock::take(options)?;
        let parts = start::parts_of(options)?;
        Self::open_parts(parts, Some(lock))
    }

    /// Opens a vault over disks and an index that are given.
    pub fn open_on(parts: Parts) -> StorageResult<Opened> {
        Self::open_parts(parts, None)
    }

    fn open_parts(parts: Parts, lock: Option<VaultLock>) -> StorageResult<Opened> {
        let key_file = parts.key_file.clone();
        let started = start::start(parts)?;
        let handle = VaultHandle::new(started.engine.clone())?;
        let every = started.engine.config.lifecycle_every;
        let lifecycle = Some(LifecycleWorker::start(started.engine.clone(), every)?);
        let housekeeper = Some(Housekeeper::start(started.engine)?);
        let vault = Self { handle, housekeeper, lifecycle, found: started.found, key_file, _lock: lock };
        let first_start = started.recovery_code.map(|recovery_code| FirstStart { recovery_code });
        Ok(Opened { vault, first_start })
    }

    /// The async face.
    #[must_use]
    pub fn handle(&self) -> VaultHandle {
        self.handle.clone()
    }

    /// The engine, for synchronous callers.
    #[must_use]
    pub fn engine(&self) -> &Arc<Engine> {
        self.handle.engine()
    }

    /// Ends cleanly: open segments are closed, waiting audit records written, the index flushed.
    pub fn close(mut self) -> StorageResult<()> {
        self.lifecycle = None;
        self.housekeeper = None;
        let engine = self.handle.engine().clone();
        start::finish(&engine)
    }

    /// Makes this the one root credential; durable on return.
    pub fn set_root_credential(&self, access_key: &str, secret: &str) -> StorageResult<RootChange> {
        identity::set_root(self.engine(), access_key, secret)
    }

    /// The root credential, if one was set.
    pub fn root_credential(&self) -> StorageResult<Option<Credential>> {
        identity::root(self.engine())
    }

    /// Makes a tenant, with keys and deduplication of its own; durable and audited on return. Needs the root key.
    pub fn create_tenant(&self, name: &str) -> StorageResult<TenantSet> {
        tenant::create(self.engine(), &self.found, &self.key_file, name)
    }

    /// Places a case hold; durable and audited on return. Nobody can release it until there are two people to.
    pub fn place_case_hold(&self, new: NewCaseHold) -> StorageResult<CaseHold> {
        self.engine().decide(Commit::empty(), move |moment| holds::propose_place(moment, &new, &operator_origin()))
    }

    /// Sets the quota of a bucket, or, with `None`, takes it away; durable and audited on return.
    pub fn set_quota(&self, bucket: &str, bytes: Option<u64>) -> StorageResult<BucketStatus> {
        let bucket = bucket.to_owned();
        let decide = move |moment: &Moment<'_>| quota::propose_set(moment, &bucket, bytes, &operator_origin());
        self.engine().decide(Commit::empty(), decide)
    }

    /// Opens and hashes every object (of one bucket, or all), and for all buckets checks every shard of every stripe; what can
    /// be mended is mended.
    pub fn verify(
        &self,
        bucket: Option<&str>,
        progress: &mut dyn FnMut(&VerifyProgress) -> ControlFlow<()>,
    ) -> StorageResult<VerifyReport> {
        verify::verify(self.engine(), bucket, progress)
    }

    /// Shows that the holder of the recovery kit can open it; from then on `status` stops warning.
    pub fn confirm_recovery_kit(&self, code: &str) -> StorageResult<()> {
        kit::confirm(self.engine(), &self.found, code)
    }

    /// Accepts the wall clock as the retention clock's time, on the word of whoever holds the recovery kit; durable and audited on return.
    pub fn accept_clock(&self, code: &str) -> StorageResult<ClockState> {
        clock::accept(self.engine(), &self.found, code)
    }

    /// Makes a new recovery kit for the root key in `key_file`, in place of those before; durable and audited on return, and in no
    /// other place than the answer. For a code that was lost, or never seen because the first start was cut off.
    pub fn renew_recovery_kit(&self, key_file: &Path) -> StorageResult<Zeroizing<String>> {
        kit::renew(self.engine(), &self.found, key_file)
    }

    /// Throws the index away and rebuilds it from the data disks alone (W-2). The vault must not be open elsewhere.
    pub fn rebuild_index(options: &OpenOptions, progress: &mut dyn FnMut(u64)) -> StorageResult<RebuildReport> {
        let lock = VaultLock::take(options)?;
        start::check_pool(options)?;
        index_dir::remove(options)?;
        let parts = start::parts_of(options)?;
        let report = start::rebuild(parts, progress);
        drop(lock);
        report
    }
}

/// The error for what only an operator can mend.
pub(crate) fn operator(text: impl Into<String>) -> StorageError {
    StorageError::Operator(text.into())
}

#[cfg(test)]
mod tests;
