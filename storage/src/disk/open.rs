//! Chooses how to drive a disk: io_uring with O_DIRECT where the host grants both, plain threads otherwise.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kovcheg_format::units::BLOCK_LEN;

use super::host::HostDisk;
use super::io_uring::{UringOptions, open_uring};
use super::patient::{PatientDisk, within};
use super::plain::{PlainOptions, open_plain};
use super::{AlignedBuf, Disk, DiskError, DiskResult};

/// File that is made, written, read and removed to learn what the disk grants. Never there between openings, unless the
/// process died at that moment; then the next opening replaces it.
pub const PROBE_FILE: &str = ".probe";
/// How long one step of the probe may take; a disk that spins up needs some seconds.
const PROBE_DEADLINE: Duration = Duration::from_secs(30);

/// Which driver the operator wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DriverChoice {
    /// io_uring with O_DIRECT, or plain threads (and a warning) where one of them is refused.
    #[default]
    Auto,
    /// Plain threads.
    Plain,
    /// io_uring with O_DIRECT, or an error.
    Uring,
}

/// What the host did not grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    IoUring,
    LockedMemory,
    Direct,
}

impl fmt::Display for Refused {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::IoUring => "io_uring",
            Self::LockedMemory => "locked memory (RLIMIT_MEMLOCK)",
            Self::Direct => "O_DIRECT",
        })
    }
}

/// Opens existing folders as disks, all at the same time. One that does not answer by the deadline is [`DiskError::Late`] and holds
/// up no other; neither does one that stops to answer later (see [`patient`](super::patient)).
pub fn open_disks(paths: &[&Path], choice: DriverChoice, deadline: Duration) -> Vec<DiskResult<Arc<dyn Disk>>> {
    let open_one = |path: &Path| {
        let label = path.display().to_string();
        let path = path.to_owned();
        let disk = within(&label, deadline.max(PROBE_DEADLINE), move || open_disk(&path, choice))?;
        Ok(Arc::new(PatientDisk::new(disk, deadline)) as Arc<dyn Disk>)
    };
    std::thread::scope(|scope| {
        let opening: Vec<_> = paths.iter().map(|path| scope.spawn(move || open_one(path))).collect();
        let closed = |path: &Path| Err(DiskError::Closed { disk: path.display().to_string() });
        opening.into_iter().zip(paths).map(|(disk, path)| disk.join().unwrap_or_else(|_| closed(path))).collect()
    })
}

/// Opens an existing folder as a disk.
pub fn open_disk(path: &Path, choice: DriverChoice) -> DiskResult<Arc<dyn Disk>> {
    if choice == DriverChoice::Plain {
        return Ok(Arc::new(open_plain(path, PlainOptions::default())?));
    }
    // Whatever is wrong with the path itself is no reason to try another driver.
    drop(std::fs::read_dir(path).map_err(|error| DiskError::io("open", ".", &path.display().to_string(), error))?);
    match open_and_probe(path) {
        Ok(disk) => Ok(Arc::new(disk)),
        // Who does not answer answers other threads no sooner.
        Err((_, error @ DiskError::Late(_))) => Err(error),
        Err((_, error)) if choice == DriverChoice::Uring => Err(error),
        Err((refused, error)) => {
            tracing::warn!(
                disk = %path.display(),
                "{refused} was refused ({error}): driving this disk with plain threads, which is slower and as safe"
            );
            Ok(Arc::new(open_plain(path, PlainOptions::default())?))
        }
    }
}

fn open_and_probe(path: &Path) -> Result<HostDisk, (Refused, DiskError)> {
    let disk =
        open_uring(path, UringOptions::default()).map_err(|error| (cause_of(&error, Refused::IoUring), error))?;
    match probe(&disk) {
        // A full disk took the file and understood the write: the driver is not what it lacks.
        Ok(()) | Err(DiskError::Full { .. }) => Ok(disk),
        Err(error) => Err((cause_of(&error, Refused::Direct), error)),
    }
}

/// Kernels before 5.12 charge rings to the limit of locked memory, and say so with ENOMEM only.
fn cause_of(error: &DiskError, otherwise: Refused) -> Refused {
    match error {
        DiskError::Io { source, .. } if source.raw_os_error() == Some(libc::ENOMEM) => Refused::LockedMemory,
        _ => otherwise,
    }
}

/// Writes and reads a block through the driver, and removes the file whatever happened.
fn probe(disk: &dyn Disk) -> DiskResult<()> {
    remove_probe(disk)?;
    let result = write_and_read(disk);
    let removed = remove_probe(disk);
    result.and(removed)
}

fn remove_probe(disk: &dyn Disk) -> DiskResult<()> {
    match disk.remove(PROBE_FILE) {
        Ok(()) | Err(DiskError::NotFound { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

fn write_and_read(disk: &dyn Disk) -> DiskResult<()> {
    let block = usize::try_from(BLOCK_LEN).unwrap_or(4096);
    let written = Arc::new(AlignedBuf::from_bytes(&[0xA5; 512]));
    let file = disk.create(PROBE_FILE)?;
    file.write(0, Arc::clone(&written)).wait(PROBE_DEADLINE)?;
    let read = file.read(0, block).wait(PROBE_DEADLINE)?;
    if read[..] == written[..] {
        return Ok(());
    }
    let differs = std::io::Error::other("reads back other bytes than were written");
    Err(DiskError::io("probe", PROBE_FILE, disk.label(), differs))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::{DriverChoice, PROBE_FILE, Refused, cause_of, open_disk};
    use crate::disk::DiskError;
    use crate::testing::scratch::Scratch;

    /// Goal: every choice gives a working disk, and the probe leaves nothing behind, even over an old leftover.
    #[test]
    fn every_choice_opens() {
        for choice in [DriverChoice::Auto, DriverChoice::Plain, DriverChoice::Uring] {
            let scratch = Scratch::new("open");
            std::fs::write(scratch.path().join(PROBE_FILE), b"left by a crash").unwrap();
            let disk = open_disk(scratch.path(), choice).unwrap();
            disk.probe().unwrap();
            let expected: Vec<String> = if choice == DriverChoice::Plain { vec![PROBE_FILE.into()] } else { vec![] };
            assert_eq!(disk.list("").unwrap(), expected, "{choice:?}");
            let driver = if choice == DriverChoice::Plain { "plain" } else { "io_uring" };
            assert_eq!(disk.driver(), driver, "{choice:?}");
        }
    }

    /// Goal: an absent folder is an error that names it, not a reason to fall back.
    #[test]
    fn absent_folder_is_an_error() {
        let scratch = Scratch::new("open-absent");
        for choice in [DriverChoice::Auto, DriverChoice::Plain, DriverChoice::Uring] {
            let result = open_disk(&scratch.path().join("no"), choice).map(|disk| disk.driver());
            assert!(matches!(result, Err(DiskError::NotFound { .. })), "{choice:?}: {result:?}");
        }
    }

    /// Goal: ENOMEM names locked memory, anything else what was tried.
    #[test]
    fn refusals_are_told_apart() {
        let error = |code| DiskError::io("x", "x", "x", std::io::Error::from_raw_os_error(code));
        assert_eq!(cause_of(&error(libc::ENOMEM), Refused::IoUring), Refused::LockedMemory);
        assert_eq!(cause_of(&error(libc::EPERM), Refused::IoUring), Refused::IoUring);
        assert_eq!(cause_of(&error(libc::EINVAL), Refused::Direct), Refused::Direct);
    }
}
