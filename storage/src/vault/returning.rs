//! A disk that missed a life of the vault is compared with the segments it belongs to and caught up before it counts (R15).

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

/// Compares every returning disk with the index and restores the shards it lacks. On return those that could be caught up serve.
pub fn catch_up(mender: &Mender, index: &dyn IndexRead, seen: &[(DiskId, Epoch)]) -> StorageResult<()> {
    for slot in mender.disks.slots() {
        if slot.state() != DiskState::Returning {
            continue;
        }
        let since = seen.iter().find(|(disk, _)| *disk == slot.id).map_or(Epoch(0), |(_, epoch)| *epoch);
        let before = slot.repaired();
        let lacking = compare(mender, index, slot, since)?;
        if slot.state() != DiskState::Returning {
            continue;
        }
        if lacking == 0 {
            slot.set_state(DiskState::Serving, None);
            tracing::info!(disk = %slot.label, restored = slot.repaired() - before, "disk returned and was caught up");
        } else {
            slot.fence(&format!("{lacking} stripes could not be caught up"));
        }
    }
    Ok(())
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
            lacking += restore_segment(mender, index, &row)?;
        }
    }
    Ok(lacking)
}

fn is_long_enough(mender: &Mender, slot: &DiskSlot, row: &SegmentRow) -> bool {
    let file = mender.files.get(slot, row.opened.kind, row.opened.segment);
    file.and_then(|file| file.len()).is_ok_and(|len| len >= row.len)
}

/// Loads every stripe of a segment and writes lost shards back. Answers the stripes that still lack shards on present disks.
pub fn restore_segment(mender: &Mender, index: &dyn IndexRead, row: &SegmentRow) -> StorageResult<usize> {
    let mut lacking = 0;
    for (offset, _) in stripes_of(mender, index, row)? {
        match mender.load(&row.opened, offset, None) {
            Ok(Some(stripe)) => {
                let reachable = stripe
                    .lost
                    .iter()
                    .filter_map(|index| row.opened.disks.get(*index).and_then(|disk| mender.disks.slot(*disk)))
                    .filter(|slot| slot.repairable().is_some())
                    .count();
                let left = mender.write_back(&row.opened, &stripe)?;
                let unreachable = stripe.lost.len() - reachable;
                lacking += usize::from(left > unreachable);
            }
            Ok(None) | Err(StorageError::Damaged { .. }) => lacking += 1,
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
