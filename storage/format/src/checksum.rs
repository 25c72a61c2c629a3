//! CRC64-NVME in the three roles it plays: content of an object, a sealed chunk, and a shard bound to its place.
//!
//! Polynomial and parameters: NVM Express Base Specification, "64b CRC" (also AWS `CRC64NVME`). A CRC finds accidents,
//! not attackers: those are stopped by the AEAD tag and the chunk id.

use crc_fast::{CrcAlgorithm, Digest, checksum};

use crate::id::SegmentId;

/// The polynomial, bit-reflected: bit 63 stands for x^0.
const POLYNOMIAL: u64 = 0x9a6c_9329_ac4b_c9b5;
/// The number 1 (x^0) in that order of bits.
const ONE: u64 = 1 << 63;
/// Entry i is x^(8·2^i): what 2^i appended bytes multiply a remainder by.
const SHIFTS: [u64; 64] = shifts();

/// CRC64-NVME of `bytes`.
#[must_use]
pub fn crc64(bytes: &[u8]) -> u64 {
    checksum(CrcAlgorithm::Crc64Nvme, bytes)
}

/// CRC64-NVME of several pieces, one after the other, without copying them together.
#[must_use]
pub fn crc64_of(pieces: &[&[u8]]) -> u64 {
    let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
    for piece in pieces {
        digest.update(piece);
    }
    digest.finalize()
}

/// CRC64-NVME of two pieces laid one after the other, from their own CRCs and the length of the second.
///
/// One multiplication per set bit of the length: about 1 µs for chunks, where the matrix method of `crc-fast` took 200 µs,
/// longer than all other work on a chunk. Total over all inputs.
#[must_use]
pub fn crc64_combine(first: u64, second: u64, second_len: u64) -> u64 {
    let mut shifted = first;
    for (bit, shift) in SHIFTS.iter().enumerate() {
        if (second_len >> bit) & 1 == 1 {
            shifted = multiply(shifted, *shift);
        }
    }
    // With no second piece nothing was shifted, and `second` is the CRC of nothing: zero.
    if second_len == 0 { first } else { shifted ^ second }
}

/// CRC64 of one block of a shard, bound to segment, stripe, shard and block, so that a block which is whole but in the
/// wrong place (a misdirected or lost write) does not pass (R21).
#[must_use]
pub fn shard_block_crc(segment: SegmentId, stripe_offset: u64, shard: u8, block: u32, bytes: &[u8]) -> u64 {
    bind_block_crc(segment, stripe_offset, shard, block, crc64(bytes), bytes.len() as u64)
}

/// [`shard_block_crc`] of a block of `len` bytes whose plain CRC64 is known already.
#[must_use]
pub fn bind_block_crc(segment: SegmentId, stripe_offset: u64, shard: u8, block: u32, crc: u64, len: u64) -> u64 {
    let place = (u64::from(block) << 8) | u64::from(shard);
    let bound = crc64_of(&[&segment.0.to_le_bytes(), &stripe_offset.to_le_bytes(), &place.to_le_bytes()]);
    crc64_combine(bound, crc, len)
}

/// Product of two polynomials modulo [`POLYNOMIAL`], all bit-reflected. Without branches: the bits are as good as random, and a
/// wrong guess for each would cost several times the work.
const fn multiply(a: u64, b: u64) -> u64 {
    let (mut product, mut power, mut bit) = (0, b, 64);
    while bit > 0 {
        bit -= 1;
        product ^= power & all_ones_if(a >> bit);
        power = (power >> 1) ^ (POLYNOMIAL & all_ones_if(power));
    }
    product
}

/// All bits set when the lowest of `word` is, none otherwise.
const fn all_ones_if(word: u64) -> u64 {
    (word & 1).wrapping_neg()
}

#[expect(clippy::indexing_slicing, reason = "evaluated when compiling, where an index out of bounds is an error")]
const fn shifts() -> [u64; 64] {
    let mut table = [0; 64];
    let mut power = ONE >> 8;
    let mut bit = 0;
    while bit < 64 {
        table[bit] = power;
        power = multiply(power, power);
        bit += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::{crc64, crc64_combine, crc64_of};
    use crc_fast::{CrcAlgorithm, checksum_combine};
    use proptest::prelude::{any, proptest};

    /// The check value of the specification for "123456789".
    #[test]
    fn matches_the_published_check_value() {
        assert_eq!(crc64(b"123456789"), 0xae8b_1486_0a79_9888);
        assert_eq!(crc64(b""), 0);
    }

    proptest! {
        /// Goal: composing is the same as computing over the whole. Method: random cuts of random bytes.
        #[test]
        fn combining_equals_computing(bytes: Vec<u8>, cut: u16) {
            let (first, second) = bytes.split_at(usize::from(cut) % (bytes.len() + 1));
            let whole = crc64(&bytes);
            proptest::prop_assert_eq!(crc64_combine(crc64(first), crc64(second), second.len() as u64), whole);
            proptest::prop_assert_eq!(crc64_of(&[first, second]), whole);
        }

        /// Goal: lengths no test could hold in memory are right too. Method: the matrix method as oracle.
        #[test]
        fn agrees_with_the_matrix_method(first: u64, second: u64, len in any::<u64>()) {
            let expected = if len == 0 { first } else { checksum_combine(CrcAlgorithm::Crc64Nvme, first, second, len) };
            proptest::prop_assert_eq!(crc64_combine(first, second, len), expected);
        }
    }
}
