//! A stripe in memory: payload to shards and back. Pure but for the erasure code's tables.

use std::sync::Arc;

use kovcheg_format::checksum::{bind_block_crc, crc64, crc64_combine};
use kovcheg_format::id::{Epoch, Lsn, PoolId, SegmentId, StripeHash};
use kovcheg_format::shard::{
    CODEC_RS_GF8, CRC_BLOCK_LEN, SHARD_LEN_MAX, ShardHeader, StripeKind, data_offset, data_stripe_hash, disk_len,
    shard_len_for, stripe_hash,
};

use crate::disk::AlignedBuf;
use crate::erasure::code::Code;
use crate::error::{StorageError, StorageResult};

/// What a stripe is, before it has a place.
#[derive(Debug, Clone, Copy)]
pub struct StripeHead {
    /// What it holds.
    pub kind: StripeKind,
    /// The life of the process.
    pub epoch: Epoch,
    /// Journal position, 0 for data.
    pub lsn: Lsn,
    /// Hash of the journal stripe before, zero for data.
    pub previous: StripeHash,
    /// Length of the frame (journal) or directory (data).
    pub inner_len: u32,
    /// Wall clock.
    pub written_at: u64,
}

/// Where a stripe goes.
#[derive(Debug, Clone, Copy)]
pub struct StripePosition {
    /// The pool.
    pub pool: PoolId,
    /// The segment.
    pub segment: SegmentId,
    /// Offset in its files.
    pub offset: u64,
    /// Data shards.
    pub k: u8,
    /// Parity shards.
    pub m: u8,
}

/// A stripe cut into shards, ready for the disks.
pub struct BuiltStripe {
    /// Its name.
    pub hash: StripeHash,
    /// Data bytes of each shard.
    pub shard_len: u32,
    /// One buffer per shard, header and padding included.
    pub shards: Vec<Arc<AlignedBuf>>,
}

/// Data bytes of each shard of a payload, or an error when it exceeds the format's limit.
pub fn checked_shard_len(payload_len: usize, k: u8) -> StorageResult<u32> {
    let len = shard_len_for(payload_len as u64, k);
    match u32::try_from(len) {
        Ok(len) if len <= SHARD_LEN_MAX => Ok(len),
        _ => Err(StorageError::InvalidArgument {
            what: "stripe",
            reason: format!("{payload_len} bytes of payload exceed {SHARD_LEN_MAX} bytes in each of {k} shards"),
        }),
    }
}

/// Cuts `payload` into k data shards, adds parity, and writes headers and checksums around them.
pub fn build(head: &StripeHead, place: &StripePosition, payload: &[u8]) -> StorageResult<BuiltStripe> {
    let shard_len = checked_shard_len(payload.len(), place.k)?;
    let total = usize::try_from(disk_len(shard_len)).unwrap_or(usize::MAX);
    let width = usize::from(place.k) + usize::from(place.m);
    // Every byte is written below: data and parity by `fill`, the rest around them by `seal_with`.
    let mut buffers: Vec<AlignedBuf> = (0..width).map(|_| AlignedBuf::recycled(total)).collect();
    let sums = fill(place, &mut buffers, shard_len, payload)?;
    let hash = name(head, payload, sums.payload);
    for ((index, buffer), sums) in (0_u8..).zip(&mut buffers).zip(&sums.blocks) {
        let header = ShardHeader {
            kind: head.kind,
            k: place.k,
            m: place.m,
            index,
            codec: CODEC_RS_GF8,
            pool: place.pool,
            segment: place.segment,
            offset: place.offset,
            epoch: head.epoch,
            lsn: head.lsn,
            previous: head.previous,
            hash,
            payload_len: payload.len() as u64,
            shard_len,
            inner_len: head.inner_len,
            retention_clock: 0,
            written_at: head.written_at,
        };
        header.seal_with(buffer, sums);
    }
    Ok(BuiltStripe { hash, shard_len, shards: buffers.into_iter().map(Arc::new).collect() })
}

/// The stripe's hash, without reading a data stripe's payload again: its CRC64 is known from its blocks.
fn name(head: &StripeHead, payload: &[u8], payload_crc: u64) -> StripeHash {
    match head.kind {
        StripeKind::Data => {
            let directory = payload.get(payload.len().saturating_sub(head.inner_len as usize)..).unwrap_or_default();
            data_stripe_hash(head.epoch, head.lsn, head.previous, payload_crc, directory)
        }
        kind => stripe_hash(kind, head.epoch, head.lsn, head.previous, payload, head.inner_len),
    }
}

/// Checksums of a stripe.
struct Sums {
    /// Of each shard's blocks, bound to their places.
    blocks: Vec<Vec<u64>>,
    /// Of the payload.
    payload: u64,
}

/// Lays data and parity into the shards' buffers and sums them up. One block of every shard at a time: copying, coding and
/// summing then find it in the second-level cache, where a whole stripe would not fit.
fn fill(place: &StripePosition, buffers: &mut [AlignedBuf], shard_len: u32, payload: &[u8]) -> StorageResult<Sums> {
    let code = Code::get(place.k, place.m)?;
    let (start, len) = (data_offset(shard_len), shard_len as usize);
    let mut sums = vec![Vec::with_capacity(len.div_ceil(CRC_BLOCK_LEN)); buffers.len()];
    // CRC64 and length of the payload's part in each data shard.
    let mut parts = vec![(0_u64, 0_u64); place.k.into()];
    let mut columns: Vec<_> = buffers
        .iter_mut()
        .map(|buffer| buffer.get_mut(start..start + len).unwrap_or_default().chunks_mut(CRC_BLOCK_LEN))
        .collect();
    for (number, from) in (0_u32..).zip((0..len).step_by(CRC_BLOCK_LEN)) {
        let mut blocks: Vec<&mut [u8]> = columns.iter_mut().filter_map(Iterator::next).collect();
        let (data, parity) = blocks.split_at_mut(place.k.into());
        for ((block, at), part) in data.iter_mut().zip((from..).step_by(len)).zip(&mut parts) {
            part.1 += copy_padded(payload.get(at..).unwrap_or_default(), block) as u64;
        }
        let data: Vec<&[u8]> = data.iter().map(|block| &**block).collect();
        code.encode(&data, parity)?;
        for ((index, block), sums) in (0_u8..).zip(&blocks).zip(&mut sums) {
            let crc = crc64(block);
            sums.push(bind_block_crc(place.segment, place.offset, index, number, crc, block.len() as u64));
            if let Some((part, len)) = parts.get_mut(usize::from(index)) {
                let inside = usize::try_from(*len).unwrap_or(0).saturating_sub(from).min(block.len());
                let crc = if inside == block.len() { crc } else { crc64(block.get(..inside).unwrap_or_default()) };
                *part = crc64_combine(*part, crc, inside as u64);
            }
        }
    }
    let payload = parts.iter().fold(0, |before, (crc, len)| crc64_combine(before, *crc, *len));
    Ok(Sums { blocks: sums, payload })
}

/// Copies as much of `from` as `block` holds, zeroes the rest, and answers the bytes copied.
fn copy_padded(from: &[u8], block: &mut [u8]) -> usize {
    let len = from.len().min(block.len());
    let (taken, padding) = block.split_at_mut(len);
    taken.copy_from_slice(from.split_at(len).0);
    padding.fill(0);
    len
}

/// Puts a payload together from its data shards, in order.
#[must_use]
pub fn join(data_shards: &[&[u8]], payload_len: usize) -> Vec<u8> {
    let mut payload = Vec::with_capacity(payload_len);
    for shard in data_shards {
        let want = (payload_len - payload.len()).min(shard.len());
        payload.extend_from_slice(shard.get(..want).unwrap_or(&[]));
    }
    payload
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "tests")]

    use kovcheg_format::id::{Epoch, Lsn, PoolId, SegmentId, StripeHash};
    use kovcheg_format::shard::{ShardFront, StripeKind, data_offset, stripe_hash};
    use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

    use super::{StripeHead, StripePosition, build, join};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Goal: what is built block by block is what the format says. Method: every length around the blocks' ends, read back by
        /// the format's own reader, and named by the format's own hash.
        #[test]
        fn a_built_stripe_reads_back(len in 1_usize..600_000, k in 1_u8..7, m in 1_u8..4, seed in any::<u8>(), data: bool) {
            let payload: Vec<u8> = (0..len).map(|at| (at as u8).wrapping_mul(31) ^ (at >> 8) as u8 ^ seed).collect();
            let kind = if data { StripeKind::Data } else { StripeKind::Journal };
            let head = StripeHead {
                kind,
                epoch: Epoch(3),
                lsn: Lsn(if data { 0 } else { 9 }),
                previous: if data { StripeHash::ZERO } else { StripeHash([4; 32]) },
                inner_len: (len / 2) as u32,
                written_at: 5,
            };
            let place = StripePosition { pool: PoolId([1; 16]), segment: SegmentId(7), offset: 8192, k, m };
            let built = build(&head, &place, &payload).unwrap();
            prop_assert_eq!(built.hash, stripe_hash(kind, head.epoch, head.lsn, head.previous, &payload, head.inner_len));
            let mut pieces = Vec::new();
            for (index, shard) in built.shards.iter().enumerate() {
                let front = ShardFront::decode(shard).unwrap();
                let start = data_offset(built.shard_len);
                let piece = &shard[start..start + built.shard_len as usize];
                prop_assert_eq!(usize::from(front.header.index), index);
                prop_assert_eq!(front.header.hash, built.hash);
                prop_assert!(front.data_is_sound(piece), "shard {} of {} bytes", index, len);
                pieces.push(piece);
            }
            prop_assert_eq!(join(&pieces[..k.into()], len), payload);
        }
    }
}
