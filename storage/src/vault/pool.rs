//! Finding the disks of a pool by their superblocks, or making a new pool (R15). The decision is pure; doing it is dull.

use std::sync::Arc;

use kovcheg_format::id::{DiskId, Epoch, PoolId};
use kovcheg_format::record::pool::DiskState;
use kovcheg_format::superblock::{FailureDomain, INCOMPATIBLE_KNOWN, KeySlot, READ_ONLY_KNOWN, Superblock};
use zeroize::Zeroizing;

use crate::disk::Disk;
use crate::disk::set::DiskSlot;
use crate::disk::superblock::{self, SuperblockError};
use crate::error::StorageResult;
use crate::keys::hierarchy::RootKey;
use crate::keys::recovery::make_kit;
use crate::vault::operator;

/// A disk and what its superblock says.
#[derive(Clone)]
pub struct FoundDisk {
    /// The disk.
    pub disk: Arc<dyn Disk>,
    /// Its superblock.
    pub block: Superblock,
}

/// The pool as found on its disks.
#[derive(Clone)]
pub struct FoundPool {
    /// Disks that are there.
    pub disks: Vec<FoundDisk>,
    /// The newest superblock among them: members, keys, shape.
    pub newest: Superblock,
    /// Members that are not there.
    pub missing: Vec<DiskId>,
    /// Paths that gave no disk of this pool, and why.
    pub complaints: Vec<String>,
    /// Newest epoch on any disk, before this opening raised it.
    pub epoch_before: Epoch,
}

/// What reading all superblocks gave.
pub struct Survey {
    /// Disks with a sound superblock.
    pub found: Vec<FoundDisk>,
    /// Folders without a superblock: empty, or not ours.
    pub empty: Vec<(Arc<dyn Disk>, FailureDomain)>,
    /// What was wrong elsewhere.
    pub complaints: Vec<String>,
    /// Whether a complaint is about a disk that holds something: then no new pool may be made.
    pub occupied: bool,
}

/// Reads every superblock.
pub fn survey(disks: &[(Arc<dyn Disk>, FailureDomain)]) -> StorageResult<Survey> {
    let mut survey = Survey { found: Vec::new(), empty: Vec::new(), complaints: Vec::new(), occupied: false };
    for (disk, failure_domain) in disks {
        match superblock::read(disk.as_ref()) {
            Ok(read) => survey.found.push(FoundDisk { disk: disk.clone(), block: read.block }),
            Err(SuperblockError::Missing { .. }) => survey.empty.push((disk.clone(), failure_domain.clone())),
            Err(error @ SuperblockError::TooNew { .. }) => return Err(operator(error.to_string())),
            Err(error) => {
                survey.occupied = true;
                survey.complaints.push(error.to_string());
            }
        }
    }
    Ok(survey)
}

/// Decides which of the disks found are the pool. Disks of several pools, or one disk twice, are refused.
pub fn choose(survey: Survey) -> StorageResult<FoundPool> {
    let Survey { found, empty, mut complaints, occupied: _ } = survey;
    let Some(newest) =
        found.iter().map(|disk| &disk.block).max_by_key(|block| (block.generation, block.epoch, block.sequence))
    else {
        complaints.extend(empty.iter().map(|(disk, _)| format!("{} holds no superblock", disk.label())));
        return Err(operator(format!("no disk of a vault was found: {}", complaints.join("; "))));
    };
    let newest = newest.clone();
    for disk in &found {
        if disk.block.pool != newest.pool {
            return Err(operator(format!(
                "disk {} belongs to pool {}, the others to pool {}: two vaults are mixed; correct the paths of the disks",
                disk.disk.label(),
                disk.block.pool,
                newest.pool
            )));
        }
        if !newest.members.contains(&disk.block.disk) {
            return Err(operator(format!(
                "disk {} ({}) is of this pool but no member of its newest generation; take it out of the configuration",
                disk.disk.label(),
                disk.block.disk
            )));
        }
    }
    refuse_twins(&found)?;
    refuse_features(&newest)?;
    complaints.extend(empty.iter().map(|(disk, _)| {
        format!(
            "{} holds no superblock: it is empty or somebody else's, and no disk of this vault; is the right disk mounted there?",
            disk.label()
        )
    }));
    let present: Vec<DiskId> = found.iter().map(|disk| disk.block.disk).collect();
    let missing = newest.members.iter().filter(|disk| !present.contains(disk)).copied().collect();
    let epoch_before = found.iter().map(|disk| disk.block.epoch).max().unwrap_or(Epoch(0));
    Ok(FoundPool { disks: found, newest, missing, complaints, epoch_before })
}

fn refuse_twins(found: &[FoundDisk]) -> StorageResult<()> {
    for (at, disk) in found.iter().enumerate() {
        if let Some(twin) = found.iter().take(at).find(|other| other.block.disk == disk.block.disk) {
            return Err(operator(format!(
                "{} and {} are the same disk {} twice (a copy?); take one of them away",
                twin.disk.label(),
                disk.disk.label(),
                disk.block.disk
            )));
        }
    }
    Ok(())
}

fn refuse_features(block: &Superblock) -> StorageResult<()> {
    if block.incompatible & !INCOMPATIBLE_KNOWN != 0 {
        return Err(operator("the vault uses features this release does not know; use a newer kovcheg"));
    }
    Ok(())
}

/// Disks that a vault needs to be written: n − m, and more than half (R15).
#[must_use]
pub fn least(newest: &Superblock) -> usize {
    let all = newest.members.len();
    all.saturating_sub(usize::from(newest.m)).max(all / 2 + 1)
}

/// Whether so many disks are enough to write: [`least`] of them, or any m + 1 when the operator insists.
#[must_use]
pub fn is_enough(newest: &Superblock, disks: usize, force_missing: bool) -> bool {
    disks >= least(newest) || (force_missing && disks > usize::from(newest.m))
}

/// Whether a found pool may be written, and if not, why (R15).
#[must_use]
pub fn write_refusal(found: &FoundPool, force_missing: bool) -> Option<String> {
    let (all, there) = (found.newest.members.len(), found.disks.len());
    if found.newest.read_only_compatible & !READ_ONLY_KNOWN != 0 {
        return Some("the vault uses features this release can only read".to_owned());
    }
    if is_enough(&found.newest, there, force_missing) {
        return None;
    }
    let least = least(&found.newest);
    Some(format!(
        "{there} of {all} disks are there and {least} are needed to write; bring back the missing disks and start again{}",
        found.complaints.iter().map(|complaint| format!("; {complaint}")).collect::<String>()
    ))
}

/// Makes a new pool on empty disks. Durable on every disk on return; interrupted, the next start says which disks to empty.
pub fn initialise(
    empty: Vec<(Arc<dyn Disk>, FailureDomain)>,
    shape: (u8, u8),
    root: &RootKey,
    now: u64,
) -> StorageResult<(FoundPool, Zeroizing<String>)> {
    let (k, m) = shape;
    check_shape(k, m, empty.len())?;
    let pool = PoolId(random()?);
    let ids: Vec<DiskId> = empty.iter().map(|_| random().map(DiskId)).collect::<StorageResult<_>>()?;
    let (code, slot) = make_kit(root, pool);
    let mut disks = Vec::with_capacity(empty.len());
    for ((disk, failure_domain), id) in empty.into_iter().zip(&ids) {
        let block = first_block(pool, *id, (k, m), &ids, failure_domain, vec![slot.clone()], root, now);
        superblock::initialise(disk.as_ref(), &block).map_err(|error| operator(error.to_string()))?;
        disks.push(FoundDisk { disk, block });
    }
    let newest = disks.first().map(|disk| disk.block.clone()).ok_or_else(|| operator("a vault needs disks"))?;
    let found = FoundPool { disks, newest, missing: Vec::new(), complaints: Vec::new(), epoch_before: Epoch(0) };
    Ok((found, code))
}

#[expect(clippy::too_many_arguments, reason = "the fields of one plain struct")]
fn first_block(
    pool: PoolId,
    disk: DiskId,
    (k, m): (u8, u8),
    members: &[DiskId],
    failure_domain: FailureDomain,
    key_slots: Vec<KeySlot>,
    root: &RootKey,
    now: u64,
) -> Superblock {
    Superblock {
        pool,
        disk,
        sequence: 1,
        generation: 1,
        epoch: Epoch(0),
        compatible: 0,
        read_only_compatible: 0,
        incompatible: 0,
        k,
        m,
        created_at: now,
        members: members.to_vec(),
        failure_domain,
        key_slots,
        key_check: root.check(pool),
    }
}

fn check_shape(k: u8, m: u8, disks: usize) -> StorageResult<()> {
    let width = usize::from(k) + usize::from(m);
    if k == 0 || m == 0 || width > usize::from(kovcheg_format::shard::WIDTH_MAX) {
        return Err(operator(format!("{k}+{m} is no shape: k and m are 1 or more, together at most 32")));
    }
    if disks < width {
        return Err(operator(format!("{k}+{m} needs {width} disks and {disks} are configured")));
    }
    Ok(())
}

/// The members as slots of a running engine. Disks that missed a life return; the others serve.
#[must_use]
pub fn slots(found: &FoundPool, epoch_seen: &[(DiskId, Epoch)]) -> Vec<DiskSlot> {
    let mut slots: Vec<DiskSlot> = found
        .disks
        .iter()
        .map(|disk| {
            let seen = epoch_seen.iter().find(|(id, _)| *id == disk.block.disk).map_or(Epoch(0), |(_, epoch)| *epoch);
            let state = if seen < found.epoch_before { DiskState::Returning } else { DiskState::Serving };
            DiskSlot::present(disk.block.disk, disk.disk.clone(), state, disk.block.failure_domain.clone())
        })
        .collect();
    slots.extend(found.missing.iter().map(|disk| DiskSlot::missing(*disk)));
    slots
}

fn random() -> StorageResult<[u8; 16]> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| operator(format!("no random numbers: {error}")))?;
    Ok(bytes)
}
