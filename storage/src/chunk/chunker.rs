//! Keyed content-defined chunking: the same content is cut at the same places wherever it stands, and nobody without
//! the domain's key can tell where.
//!
//! A gear hash rolls over the data, `hash = 2 * hash + gear[byte]`, so that it depends on the last 63 bytes alone; a chunk
//! ends where the masked bits of the hash are all zero. Chunking is normalised (FastCDC, Xia et al. 2020): below a
//! centre the mask has four bits more than above it, which gathers lengths around the average. The gear table comes
//! from the domain's key, because the lengths of chunks would otherwise betray known files through the encryption.
//!
//! Cut points are part of the format: another table, mask or centre means that nothing deduplicates against what is
//! stored. The golden test holds them.

use std::fmt;
use std::sync::Arc;

use kovcheg_format::record::bucket::ChunkProfile;
use thiserror::Error;

use crate::error::StorageError;

/// Profile of buckets that ask for none: 16, 64 and 256 KiB.
pub const DEFAULT_PROFILE: ChunkProfile = ChunkProfile {
    min: 16 << 10,
    average: 64 << 10,
    max: 256 << 10,
};

/// Least allowed minimum: below it the index outweighs what deduplication saves.
pub const MIN_FLOOR: u32 = 4 << 10;

/// Largest allowed maximum: what one envelope holds.
pub const MAX_CEILING: u32 = 16 << 20;

/// Bytes before the first possible cut that are rolled in, so that a cut depends on content and never on where the
/// chunk began. More than the mask's window.
const WARM_UP: usize = 64;

/// Highest bit a mask may use. Bit 62 sees the last 63 bytes; bit 63 is left for the two-byte step's shifted mask.
const MASK_TOP: u32 = 63;

/// Bits by which the mask is stricter below the centre and laxer above it.
const NORMALISATION: u32 = 2;

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
        Self::InvalidArgument {
            what: "chunk profile",
            reason: error.to_string(),
        }
    }
}

/// The keyed part of a chunker, shared by all profiles of a domain.
#[derive(Clone)]
pub(crate) struct Gear(Arc<GearTable>);

struct GearTable {
    single: [u64; 256],
    /// `single` doubled, for the first byte of each two-byte step.
    doubled: [u64; 256],
}

impl Gear {
    /// The table of a 32-byte key: its BLAKE3 output stream, as little-endian words.
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let mut stream = blake3::Hasher::new_keyed(key)
            .update(b"kovcheg v1 gear table")
            .finalize_xof();
        let mut table = GearTable {
            single: [0; 256],
            doubled: [0; 256],
        };
        for (single, doubled) in table.single.iter_mut().zip(&mut table.doubled) {
            let mut word = [0; 8];
            stream.fill(&mut word);
            *single = u64::from_le_bytes(word);
            *doubled = *single << 1;
        }
        Self(Arc::new(table))
    }
}

/// Cuts one stream of bytes into chunks. Cheap to clone; holds no state of the stream.
#[derive(Clone)]
pub struct Chunker {
    gear: Gear,
    min: usize,
    centre: usize,
    max: usize,
    mask_below: u64,
    mask_above: u64,
}

impl Chunker {
    /// A chunker of this key and profile.
    pub fn new(key: &[u8; 32], profile: &ChunkProfile) -> Result<Self, ProfileError> {
        Self::with_gear(Gear::new(key), profile)
    }

    pub(crate) fn with_gear(gear: Gear, profile: &ChunkProfile) -> Result<Self, ProfileError> {
        validate(profile)?;
        let gap = profile.average - profile.min;
        let bits = mask_bits(gap);
        Ok(Self {
            gear,
            min: profile.min as usize,
            centre: (profile.min + gap / 4 * 3) as usize,
            max: profile.max as usize,
            mask_below: mask_of(bits + NORMALISATION),
            mask_above: mask_of(bits.saturating_sub(NORMALISATION)),
        })
    }

    /// Longest chunk in bytes: a window of this many always holds a cut.
    #[must_use]
    pub fn max(&self) -> usize {
        self.max
    }

    /// `window` starts at a chunk start. `Some(len)`: the next chunk is its first `len` bytes. `None`: more bytes are
    /// needed, which happens only when the window is shorter than [`Chunker::max`] and not `at_end`, or empty.
    ///
    /// A call looks at the window from its start; hand over whole windows rather than growing ones.
    #[must_use]
    pub fn cut(&self, window: &[u8], at_end: bool) -> Option<usize> {
        let window = window.get(..self.max).unwrap_or(window);
        if let Some(len) = self.find(window) {
            return Some(len);
        }
        let complete = window.len() == self.max || (at_end && !window.is_empty());
        complete.then_some(window.len())
    }

    /// The first cut the hash asks for, at `min` bytes at the earliest and before the window's end.
    fn find(&self, window: &[u8]) -> Option<usize> {
        // The hash after byte `i` decides about length `i + 1`: the first byte that decides is number `min - 1`.
        let first = self.min - 1;
        let warm_up = window.get(first - WARM_UP..first)?;
        let below = window.get(first..window.len().min(self.centre - 1))?;
        let above = window.get(self.centre - 1..).unwrap_or(&[]);
        let mut hash = self.roll(warm_up);
        if let Some(at) = self.scan(&mut hash, below, self.mask_below) {
            return Some(self.min + at);
        }
        self.scan(&mut hash, above, self.mask_above).map(|at| self.centre + at)
    }

    fn roll(&self, bytes: &[u8]) -> u64 {
        let GearTable { single, .. } = &*self.gear.0;
        bytes
            .iter()
            .fold(0_u64, |hash, byte| (hash << 1).wrapping_add(single[usize::from(*byte)]))
    }

    /// Rolls over `bytes` and stops at the first whose hash has no bit of `mask`; leaves the hash behind the last byte.
    ///
    /// Two bytes a step: both hashes of a step depend on the one before the step, not on each other.
    fn scan(&self, hash: &mut u64, bytes: &[u8], mask: u64) -> Option<usize> {
        let GearTable { single, doubled } = &*self.gear.0;
        let doubled_mask = mask << 1;
        let mut rolling = *hash;
        let (blocks, rest) = bytes.as_chunks::<BLOCK>();
        for (index, block) in blocks.iter().enumerate() {
            let (pairs, _) = block.as_chunks::<2>();
            for (pair, [first, second]) in pairs.iter().enumerate() {
                let half = (rolling << 2).wrapping_add(doubled[usize::from(*first)]);
                if half & doubled_mask == 0 {
                    return Some(index * BLOCK + pair * 2);
                }
                rolling = half.wrapping_add(single[usize::from(*second)]);
                if rolling & mask == 0 {
                    return Some(index * BLOCK + pair * 2 + 1);
                }
            }
        }
        for (index, byte) in rest.iter().enumerate() {
            rolling = (rolling << 1).wrapping_add(single[usize::from(*byte)]);
            if rolling & mask == 0 {
                return Some(blocks.len() * BLOCK + index);
            }
        }
        *hash = rolling;
        None
    }
}

/// Bytes rolled between two checks for the end of the data; the compiler unrolls them.
const BLOCK: usize = 8;

impl fmt::Debug for Chunker {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Chunker")
            .field("min", &self.min)
            .field("max", &self.max)
            .finish_non_exhaustive()
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

/// Bits of the mask between strict and lax for an average `gap` beyond the minimum: log2 of 4/3 of it, to the nearest.
///
/// With G = 2^bits and the centre at 3/4 of the gap, the expected length beyond the minimum is
/// `4G(1-e^(-c/4G)) + e^(-c/4G) G/4` for c = 3/4 gap: within 15 % of the gap for every gap, 1 % for the default.
fn mask_bits(gap: u32) -> u32 {
    let aim = (u64::from(gap) * 4 / 3).max(1);
    let floor = aim.ilog2();
    floor + u32::from(aim * aim >= 1 << (2 * floor + 1))
}

/// A mask of `bits` bits from bit 62 downward: the high bits of a gear hash are the best mixed.
fn mask_of(bits: u32) -> u64 {
    ((1 << bits) - 1) << (MASK_TOP - bits)
}

#[cfg(test)]
mod tests;
