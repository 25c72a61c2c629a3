//! The epoch of a life (R3, R15): raised at once on the disks that saw the life before, and on a disk that returns only when it
//! was caught up. A start that is cut off in between then finds it as it was: returning, not yet compared.

use kovcheg_format::id::{DiskId, Epoch};
use kovcheg_format::superblock::Superblock;

use crate::disk::superblock::{self, SuperblockError};
use crate::error::StorageResult;
use crate::vault::operator;
use crate::vault::pool::{FoundPool, is_enough, least};

/// A life that began.
pub struct Begun {
    /// Its epoch.
    pub epoch: Epoch,
    /// Disks that did not take it, and why. They must not be written to.
    pub refused: Vec<(DiskId, String)>,
}

/// Raises the epoch on every disk that saw the newest one; durable on those on return, before anything else is written.
pub fn begin(found: &mut FoundPool) -> StorageResult<Begun> {
    let epoch = found.epoch_before.next().ok_or_else(|| operator("the vault has used up its epochs"))?;
    let current = found.disks.iter().filter(|disk| disk.block.epoch == found.epoch_before);
    let current: Vec<DiskId> = current.map(|disk| disk.block.disk).collect();
    let mut refused = Vec::new();
    for disk in current {
        if let Err(error) = join(found, disk, epoch) {
            tracing::error!(%error, "a disk does not take the new epoch and gets no writes");
            found.complaints.push(error.to_string());
            refused.push((disk, error.to_string()));
        }
    }
    Ok(Begun { epoch, refused })
}

/// Gives one disk the epoch of this life, and what else the newest superblock says; durable on return.
pub fn join(found: &mut FoundPool, id: DiskId, epoch: Epoch) -> Result<(), SuperblockError> {
    let Some(disk) = found.disks.iter_mut().find(|disk| disk.block.disk == id && disk.block.epoch < epoch) else {
        return Ok(());
    };
    let block = Superblock {
        disk: id,
        failure_domain: disk.block.failure_domain.clone(),
        sequence: disk.block.sequence + 1,
        epoch,
        ..found.newest.clone()
    };
    superblock::update(disk.disk.as_ref(), &block)?;
    disk.block = block;
    Ok(())
}

/// Why the life may not write after all: too few disks took its epoch (R15). Any later start must meet one that did.
pub fn refusal(found: &FoundPool, epoch: Epoch, force_missing: bool) -> Option<String> {
    let taken = found.disks.iter().filter(|disk| disk.block.epoch == epoch).count();
    if is_enough(&found.newest, taken, force_missing) {
        return None;
    }
    let (all, least) = (found.newest.members.len(), least(&found.newest));
    let complaints: String = found.complaints.iter().map(|complaint| format!("; {complaint}")).collect();
    Some(format!("{taken} of {all} disks took part in this start and {least} are needed to write{complaints}"))
}
