//! Names and handles of shard files: which file on which disk holds a segment's shard, and a bounded cache of open handles.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use kovcheg_format::id::{DiskId, SegmentId};
use kovcheg_format::shard::StripeKind;
use parking_lot::Mutex;

use crate::disk::set::DiskSlot;
use crate::disk::{Disk, DiskError, DiskFile, DiskResult};

/// Open handles kept; far below the usual limit of 1,024 descriptors for 128 disks.
const HANDLES_MAX: usize = 512;

/// Folder of journal files.
pub const JOURNAL_FOLDER: &str = "journal";
/// Folder of checkpoints.
pub const CHECKPOINT_FOLDER: &str = "checkpoints";
/// Folder of data segments' folders.
pub const SEGMENT_FOLDER: &str = "segments";

/// Folder, relative to a disk, of a segment's shard file.
#[must_use]
pub fn folder(kind: StripeKind, segment: SegmentId) -> String {
    match kind {
        StripeKind::Journal => JOURNAL_FOLDER.to_owned(),
        StripeKind::Checkpoint => CHECKPOINT_FOLDER.to_owned(),
        StripeKind::Data => format!("{SEGMENT_FOLDER}/{:02x}", segment.0 & 0xff),
    }
}

/// Name, relative to a disk, of a segment's shard file.
#[must_use]
pub fn name(kind: StripeKind, segment: SegmentId) -> String {
    format!("{}/{}", folder(kind, segment), segment.file_name())
}

/// Makes an empty shard file for a segment, with its folders; durable by name on return.
pub fn create(disk: &dyn Disk, kind: StripeKind, segment: SegmentId) -> DiskResult<Arc<dyn DiskFile>> {
    if kind == StripeKind::Data {
        disk.make_folder(SEGMENT_FOLDER)?;
    }
    let folder = folder(kind, segment);
    disk.make_folder(&folder)?;
    let file = disk.create(&name(kind, segment))?;
    disk.sync_folder(&folder)?;
    Ok(file)
}

type Handles = HashMap<(DiskId, SegmentId), Arc<dyn DiskFile>>;

/// Bounded cache of open shard files. One short lock.
#[derive(Default)]
pub struct ShardFiles {
    open: Mutex<(Handles, VecDeque<(DiskId, SegmentId)>)>,
}

impl ShardFiles {
    /// The shard file of a segment on a disk, opened if need be. [`DiskError::Late`] at once while the disk does not answer.
    pub fn get(&self, slot: &DiskSlot, kind: StripeKind, segment: SegmentId) -> DiskResult<Arc<dyn DiskFile>> {
        if slot.is_late() {
            return Err(DiskError::Late(Duration::ZERO));
        }
        let key = (slot.id, segment);
        if let Some(file) = self.open.lock().0.get(&key) {
            return Ok(file.clone());
        }
        let Some(disk) = slot.readable() else {
            return Err(DiskError::Closed { disk: slot.label.clone() });
        };
        let opened = disk.open(&name(kind, segment));
        if let Err(DiskError::Late(_)) = &opened {
            slot.note_late();
        }
        let file = opened?;
        self.put(slot.id, segment, file.clone());
        Ok(file)
    }

    /// Remembers a handle, dropping the oldest above the bound.
    pub fn put(&self, disk: DiskId, segment: SegmentId, file: Arc<dyn DiskFile>) {
        let mut open = self.open.lock();
        let (handles, order) = &mut *open;
        if handles.insert((disk, segment), file).is_none() {
            order.push_back((disk, segment));
        }
        while handles.len() > HANDLES_MAX {
            match order.pop_front() {
                Some(oldest) => handles.remove(&oldest),
                None => return,
            };
        }
    }

    /// Forgets a handle (the file was replaced).
    pub fn forget(&self, disk: DiskId, segment: SegmentId) {
        let mut open = self.open.lock();
        open.0.remove(&(disk, segment));
        open.1.retain(|key| *key != (disk, segment));
    }
}
