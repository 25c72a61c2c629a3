//! The superblock file of a disk: who the disk is (R15). Four copies; the newest sound one counts.
//!
//! An update writes copy `sequence % 4` and flushes, then the other copies and flushes. So at any moment at least one
//! copy of the last durable sequence is whole, and a torn one fails its checksum.

use std::sync::Arc;

use kovcheg_format::FormatError;
use kovcheg_format::id::{DiskId, Epoch, PoolId};
use kovcheg_format::superblock::{COPIES, SLOT_LEN, Superblock};
use thiserror::Error;

use super::crashsafe::{SMALL_DEADLINE, TEMPORARY, write_small};
use super::open::PROBE_FILE;
use super::{AlignedBuf, Disk, DiskError, DiskFile};

/// Name of the file, at the top of the disk.
pub const SUPERBLOCK_FILE: &str = "superblock";
/// What `mkfs` leaves at the top of a new file system.
const LOST_AND_FOUND: &str = "lost+found";

/// Why a superblock could not be read or written.
#[derive(Debug, Clone, Error)]
pub enum SuperblockError {
    /// The folder holds no superblock.
    #[error(
        "no superblock on disk {disk}: it is empty, not mounted, or no disk of a vault; mount the right disk there, or correct its path in the configuration"
    )]
    Missing {
        /// Label of the disk.
        disk: String,
    },
    /// No copy is sound.
    #[error(
        "none of the {COPIES} copies of the superblock on disk {disk} is sound ({source}); leave the disk out, the vault rebuilds its content on a new one"
    )]
    Corrupt {
        /// Label of the disk.
        disk: String,
        /// What is wrong with the first copy.
        source: FormatError,
    },
    /// Its copies are of different disks or pools.
    #[error(
        "the copies of the superblock on disk {disk} name different disks or pools, so that it cannot be told which it is: a file was copied over it or it was edited; leave the disk out, the vault rebuilds its content on a new one"
    )]
    Mixed {
        /// Label of the disk.
        disk: String,
    },
    /// Written by a newer release.
    #[error("superblock of disk {disk}: {source}")]
    TooNew {
        /// Label of the disk.
        disk: String,
        /// Versions.
        source: FormatError,
    },
    /// The folder that should become a disk holds something.
    #[error(
        "disk {disk} is not empty (it holds {found:?}): a new disk must be an empty folder; move its files away or give another path"
    )]
    Foreign {
        /// Label of the disk.
        disk: String,
        /// The first thing found.
        found: String,
    },
    /// The folder that should become a disk is one already.
    #[error("disk {disk} belongs to pool {pool} already, as disk {id}: open that pool with it, or give another path")]
    Taken {
        /// Label of the disk.
        disk: String,
        /// The pool found there.
        pool: PoolId,
        /// The disk's id.
        id: DiskId,
    },
    /// The disk at this path is another one than the update is meant for.
    #[error(
        "disk {disk} has changed under the vault: it is now disk {id} of pool {pool}, so nothing was written; mount the right disk there"
    )]
    OtherDisk {
        /// Label of the disk.
        disk: String,
        /// The pool found there.
        pool: PoolId,
        /// The disk's id.
        id: DiskId,
    },
    /// The update is not newer than what is there: somebody else writes to this disk.
    #[error(
        "superblock of disk {disk} has sequence {stored}, and {given} is not newer: does another process use this disk?"
    )]
    Stale {
        /// Label of the disk.
        disk: String,
        /// Newest on the disk.
        stored: u64,
        /// Sequence of the update.
        given: u64,
    },
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// What was read from a superblock file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuperblockRead {
    /// The newest sound copy.
    pub block: Superblock,
    /// Copies that are sound, of any sequence.
    pub sound: usize,
    /// Copies equal to the newest; below [`COPIES`] the file wants [`heal`].
    pub current: usize,
}

/// Reads the newest sound copy. A copy that cannot be read is like one that is not sound.
pub fn read(disk: &dyn Disk) -> Result<SuperblockRead, SuperblockError> {
    let file = match disk.open(SUPERBLOCK_FILE) {
        Ok(file) => file,
        Err(DiskError::NotFound { .. }) => return Err(SuperblockError::Missing { disk: disk.label().to_owned() }),
        Err(error) => return Err(error.into()),
    };
    choose(disk, &read_copies(&*file)?)
}

/// Makes an empty folder a disk. Durable on return. Refuses a folder that holds anything but `lost+found` or what an
/// interrupted attempt of ours left. A disk of a pool that was never opened for writing (epoch 0) holds no data: it is
/// what an interrupted first start leaves, and becomes a disk of the new pool.
pub fn initialise(disk: &dyn Disk, block: &Superblock) -> Result<(), SuperblockError> {
    let label = || disk.label().to_owned();
    match read(disk) {
        Err(SuperblockError::Missing { .. }) => {}
        Ok(found) if found.block.epoch == Epoch(0) => return replace(disk, block),
        Ok(found) => {
            return Err(SuperblockError::Taken { disk: label(), pool: found.block.pool, id: found.block.disk });
        }
        Err(error) => return Err(error),
    }
    let leftover = format!("{SUPERBLOCK_FILE}{TEMPORARY}");
    let files = disk.list("")?.into_iter().filter(|name| *name != leftover && name != PROBE_FILE);
    let folders = disk.folders()?.into_iter().filter(|name| name != LOST_AND_FOUND);
    if let Some(found) = files.chain(folders).next() {
        return Err(SuperblockError::Foreign { disk: label(), found });
    }
    replace(disk, block)
}

fn replace(disk: &dyn Disk, block: &Superblock) -> Result<(), SuperblockError> {
    Ok(write_small(disk, SUPERBLOCK_FILE, &block.to_slot().repeat(COPIES))?)
}

/// Writes a newer superblock over the one of the same disk. Durable on return; a crash before leaves the old one or the
/// new one. `block.sequence` must be above the stored one.
pub fn update(disk: &dyn Disk, block: &Superblock) -> Result<(), SuperblockError> {
    let file = disk.open(SUPERBLOCK_FILE)?;
    let copies = read_copies(&*file)?;
    let found = choose(disk, &copies)?;
    let stored = &found.block;
    let label = || disk.label().to_owned();
    if (stored.pool, stored.disk) != (block.pool, block.disk) {
        return Err(SuperblockError::OtherDisk { disk: label(), pool: stored.pool, id: stored.disk });
    }
    if block.sequence <= stored.sequence {
        return Err(SuperblockError::Stale { disk: label(), stored: stored.sequence, given: block.sequence });
    }
    // The first copy to be overwritten may be the only one that is current.
    heal_copies(&*file, &copies, &found)?;
    let first = slot_of(block.sequence);
    write_copies(&*file, block, |slot| slot == first)?;
    write_copies(&*file, block, |slot| slot != first)
}

/// Rewrites the copies that are not equal to the newest sound one, and returns how many those were. Durable on return.
pub fn heal(disk: &dyn Disk) -> Result<usize, SuperblockError> {
    let file = disk.open(SUPERBLOCK_FILE)?;
    let copies = read_copies(&*file)?;
    let newest = choose(disk, &copies)?;
    heal_copies(&*file, &copies, &newest)
}

fn heal_copies(
    file: &dyn DiskFile,
    copies: &[Result<Superblock, FormatError>],
    newest: &SuperblockRead,
) -> Result<usize, SuperblockError> {
    if newest.current == COPIES {
        return Ok(0);
    }
    let good = |slot: usize| matches!(copies.get(slot), Some(Ok(copy)) if *copy == newest.block);
    write_copies(file, &newest.block, |slot| !good(slot))?;
    Ok(COPIES - newest.current)
}

fn slot_of(sequence: u64) -> usize {
    usize::try_from(sequence % COPIES as u64).unwrap_or(0)
}

/// Each copy by itself: one bad sector must not cost the others.
fn read_copies(file: &dyn DiskFile) -> Result<Vec<Result<Superblock, FormatError>>, SuperblockError> {
    let missing = FormatError::Truncated { what: "superblock", missing: SLOT_LEN };
    let mut copies = Vec::with_capacity(COPIES);
    for slot in 0..COPIES {
        copies.push(match file.read((slot * SLOT_LEN) as u64, SLOT_LEN).wait(SMALL_DEADLINE) {
            Ok(bytes) => Superblock::from_slot(&bytes),
            Err(DiskError::Short { .. } | DiskError::Io { .. }) => Err(missing.clone()),
            Err(error) => return Err(error.into()),
        });
    }
    Ok(copies)
}

fn choose(disk: &dyn Disk, copies: &[Result<Superblock, FormatError>]) -> Result<SuperblockRead, SuperblockError> {
    let label = || disk.label().to_owned();
    let newest = copies.iter().flatten().max_by_key(|copy| copy.sequence).cloned();
    let mut errors = copies.iter().filter_map(|copy| copy.as_ref().err());
    // A newer release may have been here after the sound copies were written: better to stop than to go back.
    if let Some(source) = errors.clone().find(|error| matches!(error, FormatError::TooNew { .. })) {
        return Err(SuperblockError::TooNew { disk: label(), source: source.clone() });
    }
    match newest {
        Some(block) if copies.iter().flatten().any(|copy| (copy.pool, copy.disk) != (block.pool, block.disk)) => {
            Err(SuperblockError::Mixed { disk: label() })
        }
        Some(block) => {
            let sound = copies.iter().flatten().count();
            let current = copies.iter().flatten().filter(|copy| **copy == block).count();
            Ok(SuperblockRead { block, sound, current })
        }
        None => {
            let source = errors.next().cloned();
            let source = source.unwrap_or(FormatError::Truncated { what: "superblock", missing: SLOT_LEN });
            Err(SuperblockError::Corrupt { disk: label(), source })
        }
    }
}

/// Writes the chosen copies together and flushes.
fn write_copies(
    file: &dyn DiskFile,
    block: &Superblock,
    chosen: impl Fn(usize) -> bool,
) -> Result<(), SuperblockError> {
    let bytes = Arc::new(AlignedBuf::from_bytes(&block.to_slot()));
    let slots = (0..COPIES).filter(|slot| chosen(*slot));
    let writes: Vec<_> = slots.map(|slot| file.write((slot * SLOT_LEN) as u64, Arc::clone(&bytes))).collect();
    for write in writes {
        write.wait(SMALL_DEADLINE)?;
    }
    Ok(file.sync().wait(SMALL_DEADLINE)?)
}

#[cfg(test)]
mod tests;
