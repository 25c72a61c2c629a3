//! What one write puts on a disk: one range of shared memory, or two that lie behind each other there. So a shard goes out as its
//! header and a part of its stripe's payload, and neither is copied to stand beside the other.

use std::ops::{Deref, Range};
use std::sync::Arc;

use kovcheg_format::units::BLOCK_BYTES;

use super::AlignedBuf;

/// Whole blocks of a shared buffer.
#[derive(Debug, Clone)]
pub struct BufSlice {
    buffer: Arc<AlignedBuf>,
    range: Range<usize>,
}

impl BufSlice {
    /// The bytes of `range`.
    ///
    /// # Panics
    /// When the range lies outside the buffer, or does not begin and end with a block: a bug of the caller.
    #[must_use]
    pub fn new(buffer: Arc<AlignedBuf>, range: Range<usize>) -> Self {
        let whole = range.start.is_multiple_of(BLOCK_BYTES) && range.end.is_multiple_of(BLOCK_BYTES);
        assert!(whole && buffer.get(range.clone()).is_some(), "{range:?} are no blocks of {} bytes", buffer.len());
        Self { buffer, range }
    }
}

impl From<Arc<AlignedBuf>> for BufSlice {
    fn from(buffer: Arc<AlignedBuf>) -> Self {
        let range = 0..buffer.len();
        Self { buffer, range }
    }
}

impl Deref for BufSlice {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.buffer.get(self.range.clone()).unwrap_or_default()
    }
}

/// The bytes of one write, in order. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pieces {
    first: BufSlice,
    second: Option<BufSlice>,
}

impl Pieces {
    /// `first`, and `second` behind it.
    #[must_use]
    pub fn joined(first: BufSlice, second: BufSlice) -> Self {
        Self { first, second: Some(second) }
    }

    /// Bytes of all pieces.
    #[must_use]
    pub fn len(&self) -> usize {
        self.first.len() + self.second.as_deref().map_or(0, <[u8]>::len)
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is left behind the first `done` bytes: the piece they end in, and the one behind it.
    #[must_use]
    pub fn rest(&self, done: usize) -> (&[u8], &[u8]) {
        let second = self.second.as_deref().unwrap_or_default();
        match self.first.get(done..) {
            Some(first) if !first.is_empty() => (first, second),
            _ => (second.get(done.saturating_sub(self.first.len())..).unwrap_or_default(), &[]),
        }
    }

    /// All bytes in one buffer.
    #[must_use]
    pub fn to_buffer(&self) -> Arc<AlignedBuf> {
        if self.second.is_none() && self.first.len() == self.first.buffer.len() {
            return Arc::clone(&self.first.buffer);
        }
        let (first, second) = self.rest(0);
        Arc::new(AlignedBuf::from_bytes(&[first, second].concat()))
    }
}

impl From<Arc<AlignedBuf>> for Pieces {
    fn from(buffer: Arc<AlignedBuf>) -> Self {
        Self { first: buffer.into(), second: None }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{AlignedBuf, BufSlice, Pieces};

    fn filled(byte: u8, blocks: usize) -> Arc<AlignedBuf> {
        Arc::new(AlignedBuf::from_bytes(&vec![byte; blocks * 4096]))
    }

    /// Goal: however much has gone out, the rest is the rest. Method: every block of a write of two pieces.
    #[test]
    fn the_rest_is_what_was_not_written() {
        let pieces = Pieces::joined(BufSlice::new(filled(1, 3), 4096..8192), filled(2, 2).into());
        let whole = pieces.to_buffer();
        assert_eq!((pieces.len(), whole.len()), (12_288, 12_288));
        for done in (0..=12_288).step_by(4096) {
            let (first, second) = pieces.rest(done);
            assert_eq!([first, second].concat(), whole[done..], "after {done}");
            assert!(done == 12_288 || !first.is_empty(), "after {done}");
        }
        let one = Pieces::from(filled(3, 2));
        assert_eq!(one.rest(4096), (&[3; 4096][..], &[][..]));
    }

    #[test]
    #[should_panic(expected = "no blocks")]
    fn part_of_a_block_is_refused() {
        let _ = BufSlice::new(filled(1, 2), 512..4096);
    }
}
