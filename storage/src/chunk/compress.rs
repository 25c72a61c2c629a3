//! Compression that pays or is left out: zstd behind a probe that recognises encrypted and compressed data.
//!
//! The probe reads 4 KiB out of a chunk (sixteen pieces, evenly spread) and estimates from its byte counts the chance
//! that two bytes are equal. Random data gives 1/256. A memoryless source that zstd could shrink by 1/32 has at most
//! 7.75 bits per byte, hence a collision chance of at least 1.18/256; the probe gives up below 1.10/256, which random
//! data misses by fifteen standard deviations. What looks random byte by byte but repeats itself inside one chunk is
//! stored raw; repetition beyond one chunk is deduplication's business.

use std::cell::RefCell;
use std::fmt;

use kovcheg_format::envelope::Codec;
use thiserror::Error;
use zstd::zstd_safe::{CCtx, CParameter, DCtx};

/// Level of new data unless configured otherwise.
pub const DEFAULT_LEVEL: i32 = 3;

/// Levels a vault may be configured for: below 1 zstd trades too much, above 19 it needs memory per stream.
pub const LEVELS: std::ops::RangeInclusive<i32> = 1..=19;

/// Shorter plaintext is compressed without a probe: a try costs no more than the probe.
const PROBE_FLOOR: usize = 8 << 10;
const PROBE_PIECES: usize = 16;
const PROBE_PIECE_LEN: usize = 256;
/// 256 × the collision chance, in hundredths, from which compression is tried.
const PROBE_THRESHOLD: u64 = 110;

/// A compressed chunk must be shorter by this part of its plaintext, or reads would pay for nothing.
const SAVING: usize = 32;

/// Why stored bytes do not decompress. They carried a valid tag, so this is a bug of a writer, not of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecompressError {
    /// The header's plain length is above the limit of the caller.
    #[error("plain length {found} is above the limit of {limit}")]
    OverLimit {
        /// Length in the header.
        found: usize,
        /// What the caller takes.
        limit: usize,
    },
    /// The plaintext has another length than its header says.
    #[error("plaintext has another length than its header says")]
    Length,
    /// Not a zstd frame.
    #[error("not a sound zstd frame")]
    Corrupt,
}

/// Compresses one chunk after the other with one reused context. One for each thread; 1 to 8 MiB by level.
pub struct Compressor {
    level: i32,
    context: CCtx<'static>,
    scratch: Vec<u8>,
}

impl Compressor {
    /// A compressor of this level, brought into [`LEVELS`].
    #[must_use]
    pub fn new(level: i32) -> Self {
        let level = level.clamp(*LEVELS.start(), *LEVELS.end());
        Self { level, context: CCtx::create(), scratch: Vec::new() }
    }

    /// The level in use.
    #[must_use]
    pub fn level(&self) -> i32 {
        self.level
    }

    /// Appends `plain` to `out`, compressed when that pays, and says which.
    pub fn compress(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Codec {
        let (codec, body) = match self.shrink(plain) {
            Some(shrunk) => (Codec::Zstd, shrunk),
            None => (Codec::Raw, plain),
        };
        out.extend_from_slice(body);
        codec
    }

    /// `plain` compressed, in memory of this compressor; `None` when that does not pay. zstd stops by itself when it runs
    /// out of room.
    pub fn shrink(&mut self, plain: &[u8]) -> Option<&[u8]> {
        let room = plain.len() - plain.len().div_ceil(SAVING);
        if !looks_compressible(plain) {
            return None;
        }
        self.scratch.clear();
        self.scratch.reserve_exact(room);
        self.context.set_parameter(CParameter::CompressionLevel(self.level)).ok()?;
        let len = self.context.compress2(&mut self.scratch, plain).ok()?;
        self.scratch.get(..len).filter(|shrunk| shrunk.len() <= room)
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Compressor").field("level", &self.level).finish_non_exhaustive()
    }
}

/// Whether a try at compression is worth its time.
#[must_use]
#[expect(clippy::indexing_slicing, reason = "a byte cannot be outside a table of 256")]
pub fn looks_compressible(plain: &[u8]) -> bool {
    if plain.len() < PROBE_FLOOR {
        return true;
    }
    // Four tables, so that equal neighbours do not wait for each other's counter.
    let mut counts = [[0_u16; 256]; 4];
    let [one, two, three, four] = &mut counts;
    let stride = plain.len() / PROBE_PIECES;
    for piece in plain.chunks_exact(stride).take(PROBE_PIECES) {
        let (quads, _) = piece.get(..PROBE_PIECE_LEN).unwrap_or(piece).as_chunks::<4>();
        for [a, b, c, d] in quads {
            one[usize::from(*a)] += 1;
            two[usize::from(*b)] += 1;
            three[usize::from(*c)] += 1;
            four[usize::from(*d)] += 1;
        }
    }
    let total = (PROBE_PIECES * PROBE_PIECE_LEN) as u64;
    let squares: u64 = (0..256_usize)
        .map(|byte| u64::from(one[byte] + two[byte] + three[byte] + four[byte]))
        .map(|count| count * count)
        .sum();
    // Equal pairs among all ordered pairs: an unbiased estimate, whatever the sample's length.
    (squares - total) * 256 * 100 >= PROBE_THRESHOLD * total * (total - 1)
}

thread_local! {
    static DECOMPRESSION: RefCell<DCtx<'static>> = RefCell::new(DCtx::create());
}

/// The plaintext of a stored body: exactly `plain_len` bytes or an error. Allocates at most `limit` bytes.
pub fn decompress(codec: Codec, body: &[u8], plain_len: usize, limit: usize) -> Result<Vec<u8>, DecompressError> {
    if plain_len > limit {
        return Err(DecompressError::OverLimit { found: plain_len, limit });
    }
    match codec {
        Codec::Raw if body.len() == plain_len => Ok(body.to_vec()),
        Codec::Raw => Err(DecompressError::Length),
        Codec::Zstd => expand(body, plain_len),
    }
}

fn expand(body: &[u8], plain_len: usize) -> Result<Vec<u8>, DecompressError> {
    let mut plain = Vec::with_capacity(plain_len);
    let done = DECOMPRESSION.with_borrow_mut(|context| context.decompress(&mut plain, body));
    match done {
        Ok(len) if len == plain_len => Ok(plain),
        Ok(_) => Err(DecompressError::Length),
        Err(_) => Err(DecompressError::Corrupt),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use kovcheg_format::envelope::Codec;
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::{Compressor, DecompressError, PROBE_FLOOR, decompress, looks_compressible};

    fn random(seed: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
        bytes
    }

    fn text(len: usize) -> Vec<u8> {
        (0..)
            .flat_map(|row: u32| format!("INSERT INTO t VALUES ({row}, 'name {}');\n", row % 97).into_bytes())
            .take(len)
            .collect()
    }

    #[test]
    fn random_data_is_stored_raw_and_text_is_not() {
        // Goal: both verdicts of the probe. Method: data of each kind, many seeds and lengths.
        let mut compressor = Compressor::new(1);
        for (seed, len) in (0..200).zip((PROBE_FLOOR..).step_by(997)) {
            let plain = random(seed, len);
            assert!(!looks_compressible(&plain), "seed {seed}");
        }
        for len in [0, 1, 100, PROBE_FLOOR - 1, PROBE_FLOOR, 65_536, 262_144] {
            let mut out = b"kept".to_vec();
            assert_eq!(compressor.compress(&random(1, len), &mut out), Codec::Raw);
            assert_eq!(out[4..], random(1, len));
        }
        let mut out = Vec::new();
        assert_eq!(compressor.compress(&text(65_536), &mut out), Codec::Zstd);
        assert!(out.len() < 65_536 / 4);
    }

    #[test]
    fn every_source_worth_compressing_passes_the_probe() {
        // Goal: the threshold keeps its promise. Method: memoryless sources of 7.75 bits per byte: 216 of 256 symbols.
        for seed in 0..100 {
            let plain: Vec<u8> = random(seed, 400_000).into_iter().filter(|byte| *byte < 216).take(65_536).collect();
            assert!(looks_compressible(&plain), "seed {seed}");
        }
        let mut half = random(5, 65_536);
        half[32_768..].fill(0);
        assert!(looks_compressible(&half));
    }

    #[test]
    fn a_saving_too_small_is_left_alone() {
        // Goal: a frame that saves under 1/32 is not kept. Method: random data with a short compressible tail.
        let mut plain = random(6, 8000);
        plain.extend([0; 100]);
        let mut out = Vec::new();
        assert_eq!(Compressor::new(3).compress(&plain, &mut out), Codec::Raw);
        assert_eq!(out, plain);
    }

    #[test]
    fn wrong_lengths_and_broken_frames_are_errors() {
        // Goal: output is exactly what the header says, never more. Method: lie about the length, cut and flip.
        let plain = text(50_000);
        let mut body = Vec::new();
        assert_eq!(Compressor::new(3).compress(&plain, &mut body), Codec::Zstd);
        assert_eq!(decompress(Codec::Zstd, &body, plain.len(), plain.len()).unwrap(), plain);
        assert_eq!(decompress(Codec::Zstd, &body, plain.len() + 1, 1 << 20), Err(DecompressError::Length));
        assert_eq!(decompress(Codec::Zstd, &body, plain.len() - 1, 1 << 20), Err(DecompressError::Corrupt));
        let limit = plain.len() - 1;
        let over = DecompressError::OverLimit { found: plain.len(), limit };
        assert_eq!(decompress(Codec::Zstd, &body, plain.len(), limit), Err(over));
        assert_eq!(
            decompress(Codec::Zstd, &body[..body.len() - 1], plain.len(), 1 << 20),
            Err(DecompressError::Corrupt)
        );
        assert_eq!(decompress(Codec::Raw, &plain, plain.len() + 1, 1 << 20), Err(DecompressError::Length));
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(plain in prop::collection::vec(any::<u8>(), 0..20_000), fold in 1_u8..=255, level in -5..30) {
            let plain: Vec<u8> = plain.into_iter().map(|byte| byte % fold).collect();
            let mut out = Vec::new();
            let codec = Compressor::new(level).compress(&plain, &mut out);
            prop_assert!(out.len() <= plain.len());
            prop_assert_eq!(decompress(codec, &out, plain.len(), plain.len()).unwrap(), plain);
        }

        #[test]
        fn hostile_frames_never_panic(body in prop::collection::vec(any::<u8>(), 0..400), len in 0_usize..1000) {
            if let Ok(plain) = decompress(Codec::Zstd, &body, len, 1000) {
                prop_assert_eq!(plain.len(), len);
            }
        }
    }
}
