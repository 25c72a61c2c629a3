//! A vault of six directories for a bench, in a folder of its own that is removed at the end.

use std::fs;
use std::path::PathBuf;

use kovcheg_format::id::{RequestId, TenantId};
use kovcheg_format::record::audit::Origin;
use kovcheg_format::record::bucket::Namespace;
use kovcheg_format::superblock::FailureDomain;
use kovcheg_storage::config::EngineConfig;
use kovcheg_storage::error::StorageResult;
use kovcheg_storage::object::types::NewBucket;
use kovcheg_storage::vault::{DiskSpec, OpenOptions, Vault};

/// The bucket of a bench.
pub const BUCKET: &str = "bench";

/// The folder, below `KOVCHEG_BENCH_DIR` or the system's temporary one.
pub struct Scratch(PathBuf);

impl Scratch {
    /// A fresh folder with folders for disks.
    pub fn new(name: &str) -> std::io::Result<Self> {
        let base = std::env::var_os("KOVCHEG_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
        let scratch = Self(base.join(format!("kovcheg-{name}-{}", std::process::id())));
        for disk in &scratch.options().disks {
            fs::create_dir_all(&disk.path)?;
        }
        Ok(scratch)
    }

    /// Opens the vault, which is made the first time.
    pub fn open(&self) -> StorageResult<Vault> {
        Ok(Vault::open(&self.options())?.vault)
    }

    fn options(&self) -> OpenOptions {
        let disk =
            |number| DiskSpec { path: self.0.join(format!("disk{number}")), failure_domain: FailureDomain::default() };
        OpenOptions {
            disks: (0..6).map(disk).collect(),
            index_dir: self.0.join("index"),
            key_file: self.0.join("root.key"),
            k: 4,
            m: 2,
            create: true,
            read_only: false,
            force_missing: false,
            engine: EngineConfig::default(),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("{} was left behind: {error}", self.0.display());
        }
    }
}

/// [`BUCKET`], to be made.
pub fn bucket() -> NewBucket {
    NewBucket {
        name: BUCKET.to_owned(),
        tenant: TenantId(1),
        namespace: Namespace::Flat,
        profile: None,
        object_lock: false,
    }
}

/// Who does it all.
pub fn origin() -> Origin {
    Origin { actor: "bench".to_owned(), address: String::new(), request: RequestId::ZERO }
}
