//! Small files that are replaced as a whole: after a crash at any point the old content is there or the new, never a mix.
//!
//! Disks take whole blocks only, so what is read back is padded with zeros to 4 KiB: formats stored so must say where
//! they end or take zeros after their end.

use std::sync::Arc;
use std::time::Duration;

use kovcheg_format::units::BLOCK_LEN;

use super::{AlignedBuf, Disk, DiskError, DiskFile, DiskResult};

/// Ending of the file that is written before it takes the place of the old one.
pub const TEMPORARY: &str = ".tmp";
/// How long one step may take: these files matter more than speed, and a disk may have to spin up.
pub(super) const SMALL_DEADLINE: Duration = Duration::from_secs(30);

/// Reads a whole file of at most `limit` bytes, rounded up to whole blocks. A rest that fills no block is left out: only
/// damage leaves one.
pub fn read_small(disk: &dyn Disk, name: &str, limit: u64) -> DiskResult<Vec<u8>> {
    let file = disk.open(name)?;
    let len = file.len()?;
    let limit = limit.max(1).next_multiple_of(BLOCK_LEN);
    if len > limit {
        let why = format!("has {len} bytes where at most {limit} are expected; it is damaged or not ours");
        return Err(DiskError::io("read", name, disk.label(), std::io::Error::other(why)));
    }
    let whole = usize::try_from(len - len % BLOCK_LEN)
        .map_err(|error| DiskError::io("read", name, disk.label(), std::io::Error::other(error)))?;
    if whole == 0 {
        return Ok(Vec::new());
    }
    let buffer = file.read(0, whole).wait(SMALL_DEADLINE)?;
    Ok(buffer.to_vec())
}

/// Replaces a file, or makes it. Durable on return; on an error the old content is still there (or, once the rename was
/// done, the new one).
pub fn write_small(disk: &dyn Disk, name: &str, bytes: &[u8]) -> DiskResult<()> {
    let temporary = format!("{name}{TEMPORARY}");
    remove_if_there(disk, &temporary)?;
    if let Err(error) = write_temporary(disk, &temporary, bytes) {
        // The first error is the one to report; a leftover is removed by the next write.
        let _ = disk.remove(&temporary);
        return Err(error);
    }
    disk.rename(&temporary, name)?;
    disk.sync_folder(name.rsplit_once('/').map_or("", |(folder, _)| folder))
}

fn write_temporary(disk: &dyn Disk, temporary: &str, bytes: &[u8]) -> DiskResult<()> {
    let file: Arc<dyn DiskFile> = disk.create(temporary)?;
    file.write(0, Arc::new(AlignedBuf::from_bytes(bytes))).wait(SMALL_DEADLINE)?;
    file.sync().wait(SMALL_DEADLINE)
}

fn remove_if_there(disk: &dyn Disk, name: &str) -> DiskResult<()> {
    match disk.remove(name) {
        Ok(()) | Err(DiskError::NotFound { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::{read_small, write_small};
    use crate::disk::DiskError;
    use crate::testing::sim_disk::{CutPoint, SimPool};

    fn padded(bytes: &[u8]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        out.resize(bytes.len().max(1).next_multiple_of(4096), 0);
        out
    }

    /// Goal: old content or new, never a mix; by cutting the power at every sync of a replacement, many seeds each.
    #[test]
    fn replacement_is_old_or_new_at_every_cut() {
        let (old, new) = (vec![1u8; 9_000], vec![2u8; 13_000]);
        for seed in 0..200 {
            for point in [CutPoint::Before, CutPoint::Halfway, CutPoint::After] {
                for nth in 1.. {
                    let pool = SimPool::new(seed, 1);
                    let disk = pool.disk(0);
                    disk.make_folder("f").unwrap();
                    write_small(&*disk, "f/x", &old).unwrap();
                    pool.cut_at(pool.syncs() + nth, point);
                    let result = write_small(&*disk, "f/x", &new);
                    let cut = pool.reboot();
                    let found = read_small(&*pool.disk(0), "f/x", 65_536).unwrap();
                    assert!(found == padded(&old) || found == padded(&new), "seed {seed} {point:?} sync {nth}");
                    assert!(result.is_err() || found == padded(&new), "seed {seed} {point:?} sync {nth}: lost");
                    if !cut {
                        assert!(result.is_ok() && nth == 3, "a replacement has two syncs");
                        break;
                    }
                }
            }
        }
    }

    /// Goal: sizes around block borders, and the limit, by a table.
    #[test]
    fn sizes_and_limit() {
        let pool = SimPool::new(1, 1);
        let disk = pool.disk(0);
        for len in [0, 1, 4_095, 4_096, 4_097, 20_000] {
            let bytes = vec![7; len];
            write_small(&*disk, "x", &bytes).unwrap();
            assert_eq!(read_small(&*disk, "x", len as u64).unwrap(), padded(&bytes), "{len}");
        }
        assert!(matches!(read_small(&*disk, "x", 16_384), Err(DiskError::Io { .. })), "over the limit");
        assert!(matches!(read_small(&*disk, "y", 16_384), Err(DiskError::NotFound { .. })));
        assert_eq!(disk.list("").unwrap(), ["x"], "no temporary file stays");
    }
}
