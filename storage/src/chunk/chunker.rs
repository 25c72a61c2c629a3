//! Keyed content-defined chunking: the same content is cut at the same places wherever it stands, and nobody without
//! the domain's key can tell where.
//!
//! A gear hash rolls over the data, `hash = 2 * hash + gear[byte]`, so that it depends on the last 64 bytes alone; a chunk
//! ends where the hash is below a limit. Chunking is normalised (FastCDC, Xia et al. 2020): before a centre the limit is
//! sixteen times lower than after it, which gathers lengths around the average. The gear table comes from the domain's
//! key, because the lengths of chunks would otherwise betray known files through the encryption.
//!
//! Cut points are part of the format: another table, limit or centre means that nothing deduplicates against what is
//! stored. The golden test holds them.

use std::fmt;
use std::sync::Arc;

use kovcheg_format::record::bucket::ChunkProfile;
use thiserror::Error;

use crate::error::StorageError;

/// Profile of buckets that ask for none: 16, 64 and 256 KiB.
pub const DEFAULT_PROFILE: ChunkProfile = ChunkProfile { min: 16 << 10, average: 64 << 10, max: 256 << 10 };

/// Least allowed minimum: below it the index outweighs what deduplication saves.
pub const MIN_FLOOR: u32 = 4 << 10;

/// Largest allowed maximum: what one envelope holds.
pub const MAX_CEILING: u32 = 16 << 20;

/// Bytes before the first possible cut that are rolled in: all that a hash of 64 bits remembers, so that a cut depends on
/// content and never on where the chunk began.
const WARM_UP: usize = 64;

/// Why a profile cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProfileError {
    /// The sizes do not rise.
    #[error("chunk sizes must rise: min {min} < average {average} < max {max} does not hold")]
    Order {
        /// Least length.
        min: u32,
        /// Average length.
        average: u32,
        /// Greatest length.
        max: u32,
    },
    /// The minimum is below [`MIN_FLOOR`].
    #[error("chunk size min {0} is below {MIN_FLOOR} bytes")]
    TooSmall(u32),
    /// The maximum is above [`MAX_CEILING`].
    #[error("chunk size max {0} is above {MAX_CEILING} bytes")]
    TooLarge(u32),
}

impl From<ProfileError> for StorageError {
    fn from(error: ProfileError) -> Self {
        Self::InvalidArgument { what: "chunk profile", reason: error.to_string() }
    }
}

/// The keyed part of a chunker, shared by all profiles of a domain.
#[derive(Clone)]
pub(crate) struct Gear(Arc<[u64; 256]>);

impl Gear {
    /// The table of a 32-byte key: its BLAKE3 output stream, as little-endian words.
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let mut stream = blake3::Hasher::new_keyed(key).update(b"kovcheg v1 gear table").finalize_xof();
        let words = [(); 256].map(|()| {
            let mut word = [0; 8];
            stream.fill(&mut word);
            u64::from_le_bytes(word)
        });
        Self(Arc::new(words))
    }

    /// The hash after one more byte.
    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "a byte cannot be outside a table of 256")]
    fn roll(&self, hash: u64, byte: u8) -> u64 {
        (hash << 1).wrapping_add(opaque(self.0[usize::from(byte)]))
    }
}

/// Cuts one stream of bytes into chunks. Cheap to clone; holds no state of the stream.
#[derive(Clone)]
pub struct Chunker {
    gear: Gear,
    min: usize,
    centre: usize,
    max: usize,
    limit_below: u64,
    limit_above: u64,
}

/// How far the search for the end of one chunk has come.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scan {
    /// Bytes of the chunk so far, none of which ends it.
    len: usize,
    hash: u64,
}

/// With the centre at c = 3/4 of the gap g between minimum and average, one cut in 16/3 g bytes before it and one in g/3
/// after it, the expected length beyond the minimum is `16/3 g (1 - e^(-3c/16g)) + e^(-3c/16g) g/3`: g to within 2 %.
impl Chunker {
    /// A chunker of this key and profile.
    pub fn new(key: &[u8; 32], profile: &ChunkProfile) -> Result<Self, ProfileError> {
        Self::with_gear(Gear::new(key), profile)
    }

    pub(crate) fn with_gear(gear: Gear, profile: &ChunkProfile) -> Result<Self, ProfileError> {
        validate(profile)?;
        let gap = profile.average - profile.min;
        let (one_in_below, one_in_above) = (u64::from(gap) * 16 / 3, u64::from(gap) / 3);
        Ok(Self {
            gear,
            min: profile.min as usize,
            centre: (profile.min + gap / 4 * 3) as usize,
            max: profile.max as usize,
            limit_below: u64::MAX / one_in_below,
            limit_above: u64::MAX / one_in_above.max(1),
        })
    }

    /// Longest chunk in bytes: a window of this many always holds a cut.
    #[must_use]
    pub fn max(&self) -> usize {
        self.max
    }

    /// `window` starts at a chunk start. `Some(len)`: the next chunk is its first `len` bytes. `None`: more bytes are
    /// needed, which happens only when the window is shorter than [`Chunker::max`] and not `at_end`, or empty.
    #[must_use]
    pub fn cut(&self, window: &[u8], at_end: bool) -> Option<usize> {
        let complete = at_end && !window.is_empty();
        self.feed(&mut Scan::default(), window).or_else(|| complete.then_some(window.len()))
    }

    /// The current chunk goes on with `bytes`. `Some(n)`: it ends after the first `n` of them, and `scan` is ready for the next
    /// chunk. `None`: it holds them all and goes on. No byte is looked at twice, however the stream arrives.
    #[must_use]
    pub fn feed(&self, scan: &mut Scan, bytes: &[u8]) -> Option<usize> {
        // The hash after byte `i` decides about length `i + 1`: the first byte that decides is number `min - 1`. No hash is
        // below zero: what warms up cannot cut.
        let first = self.min - 1;
        let stages = [(first, 0), (self.centre - 1, self.limit_below), (self.max, self.limit_above)];
        let mut used = (first - WARM_UP).saturating_sub(scan.len).min(bytes.len());
        scan.len += used;
        for (end, limit) in stages {
            let here = end.saturating_sub(scan.len).min(bytes.len() - used);
            let part = bytes.get(used..used + here).unwrap_or_default();
            if let Some(at) = self.scan(&mut scan.hash, part, limit) {
                *scan = Scan::default();
                return Some(used + at + 1);
            }
            used += here;
            scan.len += here;
        }
        if scan.len < self.max {
            return None;
        }
        *scan = Scan::default();
        Some(used)
    }

    /// Rolls over `bytes` and stops at the first whose hash is below `limit`; leaves the hash behind the last byte.
    fn scan(&self, hash: &mut u64, bytes: &[u8], limit: u64) -> Option<usize> {
        let mut rolling = *hash;
        let (blocks, rest) = bytes.as_chunks::<BLOCK>();
        for (index, block) in blocks.iter().enumerate() {
            for (step, byte) in block.iter().enumerate() {
                rolling = self.gear.roll(rolling, *byte);
                if rolling < limit {
                    return Some(index * BLOCK + step);
                }
            }
        }
        for (index, byte) in rest.iter().enumerate() {
            rolling = self.gear.roll(rolling, *byte);
            if rolling < limit {
                return Some(blocks.len() * BLOCK + index);
            }
        }
        *hash = rolling;
        None
    }
}

/// `word`, about which the compiler may assume nothing. Told more, it adds the table's entry to the hash from memory and
/// doubles the hash in an instruction of its own: two cycles a byte, where one (`lea`) is all that the data demand.
#[inline(always)]
fn opaque(mut word: u64) -> u64 {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    // SAFETY: no instruction at all: only a comment that names the register.
    unsafe {
        std::arch::asm!("/* {} */", inout(reg) word, options(pure, nomem, nostack, preserves_flags));
    }
    word
}

/// Bytes rolled between two checks for the end of the data; the compiler unrolls them.
const BLOCK: usize = 8;

impl fmt::Debug for Chunker {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Chunker").field("min", &self.min).field("max", &self.max).finish_non_exhaustive()
    }
}

fn validate(profile: &ChunkProfile) -> Result<(), ProfileError> {
    let ChunkProfile { min, average, max } = *profile;
    if min < MIN_FLOOR {
        return Err(ProfileError::TooSmall(min));
    }
    if max > MAX_CEILING {
        return Err(ProfileError::TooLarge(max));
    }
    if min >= average || average >= max {
        return Err(ProfileError::Order { min, average, max });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
