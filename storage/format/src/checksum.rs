//! CRC64-NVME in the three roles it plays: content of an object, a sealed chunk, and a shard bound to its place.
//!
//! Polynomial and parameters: NVM Express Base Specification, "64b CRC" (also AWS `CRC64NVME`). A CRC finds accidents,
//! not attackers: those are stopped by the AEAD tag and the chunk id.

use crc_fast::{CrcAlgorithm, Digest, checksum, checksum_combine};

use crate::id::SegmentId;

/// CRC64-NVME of `bytes`.
#[must_use]
pub fn crc64(bytes: &[u8]) -> u64 {
    checksum(CrcAlgorithm::Crc64Nvme, bytes)
}

/// CRC64-NVME of two pieces laid one after the other, from their own CRCs and the length of the second.
#[must_use]
pub fn crc64_combine(first: u64, second: u64, second_len: u64) -> u64 {
    if second_len == 0 {
        return first;
    }
    checksum_combine(CrcAlgorithm::Crc64Nvme, first, second, second_len)
}

/// CRC64 of one block of a shard, bound to segment, stripe, shard and block, so that a block which is whole but in the
/// wrong place (a misdirected or lost write) does not pass (R21).
#[must_use]
pub fn shard_block_crc(segment: SegmentId, stripe_offset: u64, shard: u8, block: u32, bytes: &[u8]) -> u64 {
    let mut place = [0_u8; 24];
    let (first, rest) = place.split_at_mut(8);
    first.copy_from_slice(&segment.0.to_le_bytes());
    let (second, third) = rest.split_at_mut(8);
    second.copy_from_slice(&stripe_offset.to_le_bytes());
    third.copy_from_slice(&((u64::from(block) << 8) | u64::from(shard)).to_le_bytes());
    let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
    digest.update(&place);
    digest.update(bytes);
    digest.finalize()
}
