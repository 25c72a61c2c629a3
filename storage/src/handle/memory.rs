//! Memory of reads (M-1): what all readers hold together is bounded by `engine.read_memory`, not by how many there are.
//!
//! A reader takes a share for each batch, and gives it back when the last of its bytes has left the process. The less is free,
//! the smaller the shares. A reader never waits for another's and never fails for want of one: when nothing is left it goes on chunk
//! by chunk, the next when the last has left the process. So each such reader holds one chunk beyond the bound.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::object::get::BATCH_BYTES;

/// Least bytes of a share: below it, reading costs more than holding.
const SHARE_BYTES_MIN: usize = 64 << 10;
/// Shares are counted in units of this many bytes.
const UNIT_BYTES: usize = 4 << 10;
/// A share is at most this part of what is free: with 128 MiB, 300 readers that stand still leave one for the next.
const PART_OF_FREE: usize = 64;

/// What readers may hold together.
pub(super) struct ReadMemory {
    units: Arc<Semaphore>,
    bytes: usize,
}

/// What one batch may hold, until dropped.
pub(super) struct Share {
    /// Bytes; 0 for "one chunk".
    pub(super) bytes: usize,
    _permit: OwnedSemaphorePermit,
}

impl Share {
    /// One chunk, with the only permit that its reader has for such.
    pub(super) fn one_chunk(permit: OwnedSemaphorePermit) -> Self {
        Self { bytes: 0, _permit: permit }
    }
}

impl ReadMemory {
    /// `bytes` for all readers.
    pub(super) fn new(bytes: usize) -> Self {
        let units = (bytes / UNIT_BYTES).min(Semaphore::MAX_PERMITS);
        Self { units: Arc::new(Semaphore::new(units)), bytes: units * UNIT_BYTES }
    }

    fn free(&self) -> usize {
        self.units.available_permits() * UNIT_BYTES
    }

    /// The share of a batch of at most `wanted` bytes that a client waits for; `None` when nothing is free.
    pub(super) fn share(&self, wanted: usize) -> Option<Share> {
        let bytes = share_of(wanted, self.free())?;
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).ok()?;
        // It fails when somebody took it in between.
        let permit = Arc::clone(&self.units).try_acquire_many_owned(units).ok()?;
        Some(Share { bytes, _permit: permit })
    }

    /// The share of a batch that is fetched ahead, when there is plenty: half or more is free.
    pub(super) fn spare(&self, wanted: usize) -> Option<Share> {
        let plenty = self.free() >= self.bytes / 2;
        if plenty { self.share(wanted) } else { None }
    }
}

/// How many bytes one of many readers may take; `None` when too little is free.
fn share_of(wanted: usize, free: usize) -> Option<usize> {
    let fair = (free / PART_OF_FREE).clamp(SHARE_BYTES_MIN, BATCH_BYTES);
    let bytes = wanted.clamp(1, fair);
    (bytes.next_multiple_of(UNIT_BYTES) <= free).then_some(bytes)
}

/// Bytes on their way to a client, and the share that they were read into.
struct Held {
    bytes: Bytes,
    _share: Arc<Share>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The same bytes; the share is given back with the last of them.
pub(super) fn held(bytes: Bytes, share: &Arc<Share>) -> Bytes {
    Bytes::from_owner(Held { bytes, _share: Arc::clone(share) })
}

#[cfg(test)]
mod tests {
    //! Goal (M-1): shares never add up to more than there is, nobody is refused, and nothing leaks. Method: many readers that
    //! hold what they got.
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::Arc;

    use bytes::Bytes;

    use super::{ReadMemory, SHARE_BYTES_MIN, held, share_of};
    use crate::object::get::BATCH_BYTES;

    #[test]
    fn any_number_of_readers_shares_what_there_is() {
        let memory = ReadMemory::new(128 << 20);
        let shares: Vec<_> = (0..5000).map(|_| memory.share(BATCH_BYTES)).collect();
        let bytes: Vec<usize> = shares.iter().map(|share| share.as_ref().map_or(0, |share| share.bytes)).collect();
        assert!(bytes.iter().sum::<usize>() <= 128 << 20);
        assert!(bytes.is_sorted_by(|left, right| left >= right), "the later, the smaller");
        let whole = bytes.iter().filter(|bytes| **bytes == BATCH_BYTES).count();
        let some = bytes.iter().filter(|bytes| **bytes > 0).count();
        assert!(whole > 60 && some > 256, "{whole} whole batches, {some} shares");
        assert!(bytes.iter().all(|bytes| *bytes == 0 || *bytes >= SHARE_BYTES_MIN));
        assert!(memory.spare(BATCH_BYTES).is_none(), "nothing is fetched ahead when memory is scarce");
        drop(shares);
        assert!(memory.spare(BATCH_BYTES).is_some() && memory.free() == 128 << 20, "all of it came back");
    }

    #[test]
    fn small_reads_take_what_they_need() {
        assert_eq!(share_of(100, 128 << 20), Some(100));
        assert_eq!(share_of(100, 4096), Some(100));
        assert_eq!(share_of(100, 4095), None);
        assert_eq!(share_of(BATCH_BYTES, SHARE_BYTES_MIN - 1), None);
        assert_eq!(share_of(0, 1 << 20), Some(1));
        assert!(ReadMemory::new(0).share(1).is_none(), "no memory at all: chunk by chunk");
    }

    #[test]
    fn a_share_lives_as_long_as_its_last_byte() {
        let memory = ReadMemory::new(1 << 20);
        let share = Arc::new(memory.share(64 << 10).unwrap());
        let pieces: Vec<Bytes> = (0..3).map(|_| held(Bytes::from_static(b"bytes"), &share)).collect();
        drop(share);
        let last = pieces.last().map(|piece| piece.slice(1..2));
        drop(pieces);
        assert_eq!(memory.free(), (1 << 20) - (64 << 10));
        drop(last);
        assert_eq!(memory.free(), 1 << 20);
    }
}
