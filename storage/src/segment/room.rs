//! Room on the disks: who may begin to store what, so that a full vault refuses new data while it can still write the records of
//! deletes, and says so (R4), instead of meeting the end of its disks in the middle of a stripe.
//!
//! Disks are asked for their free space once a second, and whenever what was handed out since could have used it up, counted as if
//! all disks were one device.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::disk::set::DiskSet;
use crate::error::{StorageError, StorageResult};

/// Bytes that stay free on every disk for records, so that a full vault can still delete and say so.
pub const RESERVE_BYTES: u64 = 64 << 20;
/// Left beyond [`RESERVE_BYTES`], files no longer grow ahead of need.
const AMPLE_BYTES: i64 = 512 << 20;
/// Time between two looks at the disks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The room of a pool.
pub struct Room {
    disks: Arc<DiskSet>,
    /// Bytes that the tightest disk in use has beyond its reserve, as far as is known.
    left: AtomicI64,
    /// Whether the last look found the vault full.
    full: AtomicBool,
    looked: Mutex<Option<Instant>>,
}

impl Room {
    /// The room of `disks`, not looked at yet.
    #[must_use]
    pub fn new(disks: Arc<DiskSet>) -> Self {
        Self { disks, left: AtomicI64::new(0), full: AtomicBool::new(false), looked: Mutex::new(None) }
    }

    /// Takes `bytes` (over all disks) out of the room. [`StorageError::Full`] when so few disks have any that no new segment could
    /// be placed; nothing is taken then.
    pub fn take(&self, bytes: u64) -> StorageResult<()> {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let recent = self.looked.lock().is_some_and(|looked| looked.elapsed() < LOOK_EVERY);
        if !recent || self.left.load(Ordering::Relaxed) < bytes {
            self.look()?;
        }
        self.left.fetch_sub(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Whether there is so much that files may grow ahead of need.
    #[must_use]
    pub fn is_ample(&self) -> bool {
        self.left.load(Ordering::Relaxed) > AMPLE_BYTES
    }

    /// Whether the vault was full when it was last looked at. Asks no disk: only [`Room::take`] tells whether it still is.
    #[must_use]
    pub fn was_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    fn look(&self) -> StorageResult<()> {
        let mut looked = self.looked.lock();
        let (mut left, mut roomy, mut tightest) = (u64::MAX, 0, None);
        for slot in self.disks.writable() {
            // A disk that does not say is no reason to refuse: its next write tells whether it still takes any.
            let free = slot.readable().and_then(|disk| disk.space().ok()).map_or(u64::MAX, |space| space.free);
            slot.note_free(free >= RESERVE_BYTES);
            if slot.has_room() {
                left = left.min(free - RESERVE_BYTES.min(free));
                roomy += 1;
            } else {
                tightest = Some((slot.label.clone(), free));
            }
        }
        *looked = Some(Instant::now());
        let full = tightest.filter(|_| roomy <= usize::from(self.disks.m));
        self.full.store(full.is_some(), Ordering::Relaxed);
        // Nothing left makes every further take look again.
        let left = if full.is_some() { 0 } else { i64::try_from(left).unwrap_or(i64::MAX) };
        self.left.store(left, Ordering::Relaxed);
        full.map_or(Ok(()), |(label, free)| {
            Err(StorageError::Full(format!(
                "disk {label} has {free} bytes free, and {RESERVE_BYTES} are kept for records; add space to the disks"
            )))
        })
    }
}
