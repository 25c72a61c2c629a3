//! A disk that missed a life of the vault, or was fenced in an earlier one, is compared with the segments it belongs to and caught up
//! before it counts (R15).

use kovcheg_format::id::{DiskId, Epoch};
use kovcheg_format::key;
use kovcheg_format::record::pool::DiskState;
use kovcheg_format::record::segment::SegmentRow;
use kovcheg_format::shard::StripeKind;
use std::ops::ControlFlow;

use crate::disk::set::DiskSlot;
use crate::error::{StorageError, StorageResult};
use crate::index::rows::{self, StripeRow};
use crate::index::{Column, IndexRead};
use crate::segment::repair::Mender;
use crate::vault::epoch;
use crate::vault::pool::FoundPool;

/// What lets a disk back in.
pub struct Gate<'a> {
    /// Loads and mends stripes.
    pub mender: &'a Mender,
    /// Up to date with the journal.
    pub index: &'a dyn IndexRead,
    /// Epoch of each disk before this start.
    pub seen: &'a [(DiskId, Epoch)],
    /// Disks that the journal last knew as fenced.
    pub unproven: &'a [DiskId],
    /// Epoch of this life.
    pub epoch: Epoch,
}

impl Gate<'_> {
    /// Compares every returning or unproven disk with the index, restores the shards it lacks, and then gives it the epoch of this
    /// life. On return those for which all of that was done serve, durably; the others are fenced.
    pub fn admit(&self, found: &mut FoundPool) -> StorageResult<()> {
        for slot in self.mender.disks.slots() {
            let unproven = self.unproven.contains(&slot.id);
            if unproven && slot.state() == DiskState::Serving {
                slot.set_state(DiskState::Returning, None);
            }
            if slot.state() != DiskState::Returning {
                continue;
            }
            // What a fenced disk holds of any age is in doubt.
            let seen = self.seen.iter().find(|(disk, _)| *disk == slot.id).map_or(Epoch(0), |(_, epoch)| *epoch);
            self.prove(slot, if unproven { Epoch(0) } else { seen })?;
            if slot.state() != DiskState::Returning {
                continue;
            }
            match epoch::join(found, slot.id, self.epoch) {
                Ok(()) => slot.set_state(DiskState::Serving, None),
                Err(error) => slot.fence(&format!("it was caught up but does not take the epoch: {error}")),
            }
        }
        Ok(())
    }

    /// Fences a disk that cannot be caught up.
    fn prove(&self, slot: &DiskSlot, since: Epoch) -> StorageResult<()> {
        let before = slot.repaired();
        match compare(self.mender, self.index, slot, since) {
            Ok(0) => {
                let restored = slot.repaired() - before;
                tracing::info!(disk = %slot.label, restored, "disk returned and was caught up");
            }
            Ok(lacking) => slot.fence(&format!("{lacking} stripes could not be caught up")),
            Err(error @ StorageError::Index(_)) => return Err(error),
            Err(error) => slot.fence(&format!("it could not be compared: {error}")),
        }
        Ok(())
    }
}

/// Stripes the disk should hold and, after this, still does not.
fn compare(mender: &Mender, index: &dyn IndexRead, slot: &DiskSlot, since: Epoch) -> StorageResult<usize> {
    let mut segments = Vec::new();
    rows::scan::<SegmentRow>(index, Column::Segment, &[], None, &mut |_, row| {
        if row.opened.disks.contains(&slot.id) {
            segments.push(row);
        }
        ControlFlow::Continue(())
    })?;
    let mut lacking = 0;
    for row in segments {
        // What was closed before the disk went away can only be lost as a whole file or its tail; what was written in the life
        // it left, stripe by stripe.
        let young = row.opened.segment.epoch() >= since;
        if young || !is_long_enough(mender, slot, &row) {
            lacking += restore_segment(mender, index, &row, slot)?;
        }
        // A repair that failed has fenced it: there is nothing more to learn.
        if slot.repairable().is_none() {
            return Ok(lacking.max(1));
        }
    }
    Ok(lacking)
}

fn is_long_enough(mender: &Mender, slot: &DiskSlot, row: &SegmentRow) -> bool {
    let file = mender.files.get(slot, row.opened.kind, row.opened.segment);
    file.and_then(|file| file.len()).is_ok_and(|len| len >= row.len)
}

/// Loads every stripe of a segment and writes lost shards back. Answers the stripes that still lack the shard of this disk.
fn restore_segment(mender: &Mender, index: &dyn IndexRead, row: &SegmentRow, slot: &DiskSlot) -> StorageResult<usize> {
    let own = row.opened.disks.iter().position(|disk| *disk == slot.id);
    let mut lacking = 0;
    for (offset, _) in stripes_of(mender, index, row)? {
        match mender.load(&row.opened, offset, None) {
            Ok(Some(stripe)) => {
                let left = mender.restore(&row.opened, &stripe)?;
                lacking += usize::from(left.iter().any(|index| Some(*index) == own));
            }
            // What is beyond repair is no fault of a disk that holds its shard of it.
            Ok(None) | Err(StorageError::Damaged { .. }) => {
                let holds = mender.sound_shard(slot, row.opened.kind, row.opened.segment, offset).is_some();
                lacking += usize::from(!holds);
            }
            Err(other) => return Err(other),
        }
    }
    Ok(lacking)
}

/// Offsets and disk lengths of the stripes of a segment: by the index for data, by walking the file for journal and checkpoints.
pub fn stripes_of(mender: &Mender, index: &dyn IndexRead, row: &SegmentRow) -> StorageResult<Vec<(u64, u64)>> {
    if row.opened.kind != StripeKind::Data {
        return Ok(walk_file(mender, row));
    }
    let prefix = key::segment(row.opened.segment);
    let mut found = Vec::new();
    rows::scan::<StripeRow>(
        index,
        Column::Stripe,
        &prefix,
        key::after_prefix(&prefix).as_deref(),
        &mut |key, stripe| {
            let offset = key.get(8..).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
            found.extend(offset.map(|offset| (offset, stripe.disk_len)));
            ControlFlow::Continue(())
        },
    )?;
    Ok(found)
}

fn walk_file(mender: &Mender, row: &SegmentRow) -> Vec<(u64, u64)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < row.len {
        let step = match mender.load(&row.opened, at, None) {
            Ok(Some(stripe)) => stripe.header.disk_len(),
            // An unreadable stripe is one block to the walk: it goes on until it meets the next sound one.
            _ => kovcheg_format::units::BLOCK_LEN,
        };
        found.push((at, step));
        at += step;
    }
    found
}
