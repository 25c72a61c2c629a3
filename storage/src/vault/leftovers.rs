//! Files of data segments that a life began and the journal never named: a crash before their first commit leaves them. They hold
//! nothing that was acknowledged, and are removed once a later life serves (G-1: a crash leaks nothing for ever).
//!
//! The rules are narrow on purpose. Only data segments, of earlier epochs, on disks that serve, and only when the index was brought up
//! to this life's first record, so that every record that could name one was applied. Journal files and checkpoints are never touched.

use kovcheg_format::id::{Epoch, SegmentId};
use kovcheg_format::key;
use kovcheg_format::shard::StripeKind;
use std::ops::ControlFlow;

use crate::disk::{Disk, DiskResult};
use crate::engine::Engine;
use crate::error::StorageResult;
use crate::index::{Column, IndexRead};
use crate::journal::apply::read_applied;
use crate::segment::files::{SEGMENT_FOLDER, name};

/// Removes them. Answers how many files that were; what fails is logged and left for the next life.
pub fn remove(engine: &Engine) -> usize {
    let epoch = engine.store.ids().epoch();
    match read_applied(engine.index.as_ref()) {
        Ok(Some(applied)) if applied.epoch == epoch && engine.refusal().is_none() => {}
        _ => return 0,
    }
    let mut removed = 0;
    for slot in engine.disks.slots() {
        let Some(disk) = slot.writable() else { continue };
        match remove_on(disk.as_ref(), engine.index.as_ref(), epoch) {
            Ok(files) => removed += files,
            Err(error) => tracing::warn!(disk = %slot.label, %error, "files that nothing names stay on this disk"),
        }
    }
    removed
}

fn remove_on(disk: &dyn Disk, index: &dyn IndexRead, epoch: Epoch) -> StorageResult<usize> {
    let mut removed = 0;
    for folder in (0..=0xff).map(|low| format!("{SEGMENT_FOLDER}/{low:02x}")) {
        let names = disk.list(&folder)?;
        let segments = names.iter().filter_map(|name| SegmentId::from_file_name(name));
        let mut here = 0;
        for segment in segments.filter(|segment| segment.epoch() < epoch) {
            if is_named(index, segment)? {
                continue;
            }
            remove_file(disk, segment)?;
            here += 1;
        }
        if here > 0 {
            disk.sync_folder(&folder)?;
        }
        removed += here;
    }
    Ok(removed)
}

fn remove_file(disk: &dyn Disk, segment: SegmentId) -> DiskResult<()> {
    let file = name(StripeKind::Data, segment);
    disk.remove(&file)?;
    tracing::info!(disk = disk.label(), file, "removed: an earlier life wrote it and no record names it");
    Ok(())
}

/// Whether a record opened the segment, or named a stripe in it.
fn is_named(index: &dyn IndexRead, segment: SegmentId) -> StorageResult<bool> {
    let key = key::segment(segment);
    if index.get(Column::Segment, &key)?.is_some() {
        return Ok(true);
    }
    let mut stripes = 0;
    index.scan(Column::Stripe, &key, key::after_prefix(&key).as_deref(), &mut |_, _| {
        stripes += 1;
        ControlFlow::Break(())
    })?;
    Ok(stripes > 0)
}
