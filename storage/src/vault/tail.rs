//! The newest stripe of the journal, before anything is served from it: it alone may have shards that were never written (R3), as
//! each stripe before it was durable on all of its disks when the next was begun.

use kovcheg_format::id::SegmentId;
use kovcheg_format::key;
use kovcheg_format::record::segment::SegmentRow;

use crate::disk::set::DiskSlot;
use crate::error::{StorageError, StorageResult};
use crate::index::{Column, IndexRead, rows};
use crate::journal::apply::read_applied;
use crate::segment::repair::Mender;

/// Brings the newest stripe to where the loss of any m disks cannot take it: to full width, or, while one of its disks is away, with
/// a spare on every disk that serves. Durable on return. Spares of stripes that have all their shards again are removed.
///
/// The index is up to date with the journal, and disks that returned were caught up.
pub fn protect(mender: &Mender, index: &dyn IndexRead) -> StorageResult<()> {
    let Some(newest) = read_applied(index)? else { return Ok(()) };
    let mut thin = None;
    if let Some(row) = segment(index, newest.journal)? {
        let is_newest = &|stripe: &crate::segment::repair::LoadedStripe| stripe.header.hash == newest.hash;
        if let Some(stripe) = mender.load_where(&row.opened, newest.offset, None, is_newest)?
            && !mender.restore(&row.opened, &stripe)?.is_empty()
        {
            let copies = mender.write_spares(&stripe)?;
            if copies <= usize::from(mender.disks.m) {
                let reason =
                    format!("only {copies} disks take a copy of the journal's newest stripe, which lacks shards");
                return Err(StorageError::ReadOnly { reason });
            }
            tracing::info!(lsn = %newest.lsn, copies, "the journal's newest stripe has a disk that is away; copies were made");
            thin = Some((newest.journal, newest.offset));
        }
    }
    for slot in mender.disks.writable() {
        tidy(mender, index, &slot, thin);
    }
    Ok(())
}

/// What fails here is left for the next start.
fn tidy(mender: &Mender, index: &dyn IndexRead, slot: &DiskSlot, thin: Option<(SegmentId, u64)>) {
    let Some(disk) = slot.writable() else { return };
    let spares = mender.spares_of(slot).unwrap_or_default();
    for place in spares.into_iter().filter(|place| Some(*place) != thin) {
        let Ok(Some(row)) = segment(index, place.0) else { continue };
        if !matches!(mender.load(&row.opened, place.1, None), Ok(Some(stripe)) if stripe.lost.is_empty()) {
            continue;
        }
        if let Err(error) = mender.remove_spare(disk.as_ref(), place) {
            tracing::warn!(disk = %slot.label, %error, "a spare stays");
        }
    }
}

fn segment(index: &dyn IndexRead, segment: SegmentId) -> StorageResult<Option<SegmentRow>> {
    Ok(rows::get(index, Column::Segment, &key::segment(segment))?)
}
