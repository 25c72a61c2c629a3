//! Changing what every disk of a running pool holds a copy of: superblocks, the keyring.

use std::fmt::Display;

use crate::engine::Engine;
use crate::error::StorageResult;
use crate::vault::operator;
use crate::vault::pool::{FoundDisk, FoundPool};

/// Makes a change, which must be durable on return, on every disk that takes writes; an error unless more than m of them took it: the
/// newest copy of any disk counts, and as many disks as that never go together (W-1). A fenced disk is left alone, as its flushes say
/// nothing (R13). The others are put right at the next start.
pub fn change<E: Display>(
    engine: &Engine,
    found: &FoundPool,
    what: &str,
    change: impl Fn(&FoundDisk) -> Result<(), E>,
) -> StorageResult<()> {
    let mut taken = 0;
    let mut complaints = Vec::new();
    for disk in &found.disks {
        if engine.disks.slot(disk.block.disk).is_none_or(|slot| slot.writable().is_none()) {
            complaints.push(format!("{} takes no writes", disk.disk.label()));
            continue;
        }
        match change(disk) {
            Ok(()) => taken += 1,
            Err(error) => {
                tracing::warn!(%error, what, "a disk does not hold the newest of this");
                complaints.push(error.to_string());
            }
        }
    }
    if taken > usize::from(found.newest.m) { Ok(()) } else { Err(operator(complaints.join("; "))) }
}
