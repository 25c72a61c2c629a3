//! A vault on simulated disks that can be opened, cut off and opened again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use kovcheg_format::superblock::FailureDomain;

use crate::clock::Clock;
use crate::config::EngineConfig;
use crate::disk::Disk;
use crate::disk::patient::PatientDisk;
use crate::error::StorageResult;
use crate::index::memory::MemoryIndex;
use crate::testing::scratch::Scratch;
use crate::vault::{Opened, Parts, Vault};

/// A clock that stands still.
pub struct FixedClock(pub u64);

impl Clock for FixedClock {
    fn wall_ms(&self) -> u64 {
        self.0
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn synchronised(&self) -> bool {
        true
    }
}

/// A clock that is moved by hand. Its clones are the same clock.
#[derive(Clone)]
pub struct ManualClock(Arc<Hands>);

struct Hands {
    wall: AtomicU64,
    monotonic: AtomicU64,
    synchronised: AtomicBool,
}

impl ManualClock {
    /// A synchronised clock that shows this.
    #[must_use]
    pub fn new(wall: u64) -> Self {
        Self(Arc::new(Hands {
            wall: AtomicU64::new(wall),
            monotonic: AtomicU64::new(0),
            synchronised: AtomicBool::new(true),
        }))
    }

    /// Time passes, in which the process runs.
    pub fn run(&self, ms: u64) {
        self.0.wall.fetch_add(ms, Ordering::SeqCst);
        self.0.monotonic.fetch_add(ms, Ordering::SeqCst);
    }

    /// The wall clock is set.
    pub fn set_wall(&self, ms: u64) {
        self.0.wall.store(ms, Ordering::SeqCst);
    }

    /// Whether somebody vouches for the wall clock.
    pub fn set_synchronised(&self, yes: bool) {
        self.0.synchronised.store(yes, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn wall_ms(&self) -> u64 {
        self.0.wall.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.monotonic.load(Ordering::SeqCst))
    }

    fn synchronised(&self) -> bool {
        self.0.synchronised.load(Ordering::SeqCst)
    }
}

/// Settings under which small objects already fill stripes, roll files and open segments.
#[must_use]
pub fn small_config() -> EngineConfig {
    EngineConfig {
        stripe_payload: 64 << 10,
        segment_shard_len: 96 << 10,
        journal_shard_len: 64 << 10,
        journal_prewrite: 16 << 10,
        inline_bytes: 8 << 10,
        checkpoint_page: 3 << 10,
        profile: kovcheg_format::record::bucket::ChunkProfile { min: 4096, average: 8192, max: 32768 },
        workers: 1,
        io_deadline: Duration::from_secs(20),
        ..EngineConfig::default()
    }
}

/// What outlives a vault: the folder of its key file.
pub struct World {
    scratch: Scratch,
    /// Settings.
    pub config: EngineConfig,
}

impl World {
    /// A world of its own.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self::with_config(name, small_config())
    }

    /// A world of its own with these settings.
    #[must_use]
    pub fn with_config(name: &str, config: EngineConfig) -> Self {
        Self { scratch: Scratch::new(name), config }
    }

    /// The disk as a vault gets it.
    fn patient(&self, disk: Arc<dyn Disk>) -> Arc<dyn Disk> {
        Arc::new(PatientDisk::new(disk, self.config.io_deadline))
    }

    /// The vault's key file, there once it was made.
    #[must_use]
    pub fn key_file(&self) -> std::path::PathBuf {
        self.scratch.path().join("root.key")
    }

    /// Opens the vault on `disks` with `index`; makes it when all are empty.
    pub fn open(&self, disks: Vec<Arc<dyn Disk>>, index: Arc<MemoryIndex>) -> StorageResult<Opened> {
        self.open_with(disks, index, false)
    }

    /// Opens the vault, for reading only if asked.
    pub fn open_with(
        &self,
        disks: Vec<Arc<dyn Disk>>,
        index: Arc<MemoryIndex>,
        read_only: bool,
    ) -> StorageResult<Opened> {
        Vault::open_on(Parts { read_only, ..self.parts(disks, index) })
    }

    /// What the vault is opened from; for the caller to change.
    #[must_use]
    pub fn parts(&self, disks: Vec<Arc<dyn Disk>>, index: Arc<MemoryIndex>) -> Parts {
        Parts {
            disks: disks.into_iter().map(|disk| (self.patient(disk), FailureDomain::default())).collect(),
            absent: Vec::new(),
            index,
            key_file: self.key_file(),
            clock: Arc::new(FixedClock(1_700_000_000_000)),
            k: 4,
            m: 2,
            create: true,
            read_only: false,
            force_missing: false,
            config: self.config.clone(),
        }
    }
}
