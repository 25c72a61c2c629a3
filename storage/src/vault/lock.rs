//! The exclusive lock of a vault: one process at a time, on the vault and on every disk of it.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::disk::DiskError;
use crate::disk::patient::within;
use crate::error::StorageResult;
use crate::vault::{OpenOptions, operator};

/// Held as long as it lives; the kernel releases it when the process dies.
pub struct VaultLock {
    _files: Vec<File>,
}

impl VaultLock {
    /// Takes the lock beside the index and one on each disk's folder. Folders that are not there, or that do not answer by the
    /// deadline, are no concern of the lock.
    pub fn take(options: &OpenOptions) -> StorageResult<Self> {
        let mut files = Vec::new();
        let beside = options.index_dir.with_extension("lock");
        if let Some(parent) = beside.parent() {
            std::fs::create_dir_all(parent)
                .map_err(|error| operator(format!("cannot make folder {}: {error}", parent.display())))?;
        }
        let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(&beside);
        let file = file.map_err(|error| operator(format!("cannot open {}: {error}", beside.display())))?;
        files.push(lock(file, &beside)?);
        for disk in &options.disks {
            let (path, label) = (disk.path.clone(), disk.path.display().to_string());
            let open = move || {
                File::open(&path).map_err(|error| DiskError::io("open", ".", &path.display().to_string(), error))
            };
            if let Ok(folder) = within(&label, options.engine.io_deadline, open) {
                files.push(lock(folder, &disk.path)?);
            }
        }
        Ok(Self { _files: files })
    }
}

fn lock(file: File, path: &Path) -> StorageResult<File> {
    // SAFETY: `flock` reads nothing but the descriptor, which is open.
    let outcome = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) };
    if outcome == 0 {
        return Ok(file);
    }
    let error = std::io::Error::last_os_error();
    if error.kind() == std::io::ErrorKind::WouldBlock {
        return Err(operator(format!(
            "another kovcheg uses {}; stop it first, or speak to it with the same command beside it",
            path.display()
        )));
    }
    Err(operator(format!("cannot lock {}: {error}", path.display())))
}
