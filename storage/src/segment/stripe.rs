//! A stripe in memory: payload to shards and back. Pure but for the erasure code's tables.

use std::sync::Arc;

use kovcheg_format::checksum::{bind_block_crc, crc64, crc64_combine};
use kovcheg_format::id::{Epoch, Lsn, PoolId, SegmentId, StripeHash};
use kovcheg_format::shard::{
    CODEC_RS_GF8, CRC_BLOCK_LEN, SHARD_LEN_MAX, ShardHeader, StripeKind, WHOLE_BLOCKS_MIN, data_offset,
    data_stripe_hash, disk_len, shard_len_for, stripe_hash,
};

use crate::disk::{AlignedBuf, BufSlice, Payload, Pieces};
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
    /// Retention clock, 0 where it is not read.
    pub retention_clock: u64,
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
    /// What each disk is given, header and padding included.
    pub shards: Vec<Pieces>,
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

/// Cuts `payload` into k data shards, adds parity, and puts headers and checksums around them. Long shards stay where they are
/// in the payload's memory, short ones are copied.
pub fn build(head: &StripeHead, place: &StripePosition, payload: Payload) -> StorageResult<BuiltStripe> {
    let shard_len = checked_shard_len(payload.len(), place.k)?;
    if shard_len < WHOLE_BLOCKS_MIN {
        return build_compact(head, place, shard_len, &payload);
    }
    let (len, payload_len) = (shard_len as usize, payload.len());
    let (front_len, parity_len) = (data_offset(shard_len), len * usize::from(place.m));
    let data = payload.into_shared(len * usize::from(place.k));
    // Every byte of these is written below.
    let mut parity = AlignedBuf::recycled(parity_len);
    let mut fronts = AlignedBuf::recycled(front_len * width(place));
    let sums = {
        let data: Vec<&[u8]> = data.chunks_exact(len).take(place.k.into()).collect();
        let mut parity: Vec<&mut [u8]> = parity.chunks_exact_mut(len).take(place.m.into()).collect();
        code_and_sum(place, &data, &mut parity, payload_len)?
    };
    let hash = name(head, data.get(..payload_len).unwrap_or_default(), sums.payload);
    let headers = headers(head, place, payload_len, shard_len, hash);
    for ((header, front), sums) in headers.zip(fronts.chunks_exact_mut(front_len)).zip(&sums.blocks) {
        header.seal_front(front, sums);
    }
    let (fronts, parity) = (Arc::new(fronts), Arc::new(parity));
    let ranges = |from: &Arc<AlignedBuf>, each: usize, count: usize| -> Vec<BufSlice> {
        (0..count).map(|number| BufSlice::new(Arc::clone(from), number * each..(number + 1) * each)).collect()
    };
    let data = ranges(&data, len, place.k.into()).into_iter().chain(ranges(&parity, len, place.m.into()));
    let shards = ranges(&fronts, front_len, width(place)).into_iter().zip(data);
    Ok(BuiltStripe { hash, shard_len, shards: shards.map(|(front, data)| Pieces::joined(front, data)).collect() })
}

/// [`build`] for short shards: one buffer for each.
fn build_compact(
    head: &StripeHead,
    place: &StripePosition,
    shard_len: u32,
    payload: &[u8],
) -> StorageResult<BuiltStripe> {
    let total = usize::try_from(disk_len(shard_len)).unwrap_or(usize::MAX);
    let (start, len) = (data_offset(shard_len), shard_len as usize);
    // Every byte is written below: data and parity first, the rest around them by `seal_with`.
    let mut buffers: Vec<AlignedBuf> = (0..width(place)).map(|_| AlignedBuf::recycled(total)).collect();
    let mut columns: Vec<&mut [u8]> =
        buffers.iter_mut().map(|buffer| buffer.get_mut(start..start + len).unwrap_or_default()).collect();
    let (data, parity) = columns.split_at_mut(place.k.into());
    for (shard, at) in data.iter_mut().zip((0..).step_by(len)) {
        copy_padded(payload.get(at..).unwrap_or_default(), shard);
    }
    let data: Vec<&[u8]> = data.iter().map(|shard| &**shard).collect();
    let sums = code_and_sum(place, &data, parity, payload.len())?;
    let hash = name(head, payload, sums.payload);
    let headers = headers(head, place, payload.len(), shard_len, hash);
    for ((header, buffer), sums) in headers.zip(&mut buffers).zip(&sums.blocks) {
        header.seal_with(buffer, sums);
    }
    Ok(BuiltStripe { hash, shard_len, shards: buffers.into_iter().map(|buffer| Arc::new(buffer).into()).collect() })
}

fn width(place: &StripePosition) -> usize {
    usize::from(place.k) + usize::from(place.m)
}

/// The headers of all shards, in order.
fn headers(
    head: &StripeHead,
    place: &StripePosition,
    payload_len: usize,
    shard_len: u32,
    hash: StripeHash,
) -> impl Iterator<Item = ShardHeader> {
    let (head, place) = (*head, *place);
    (0..place.k.saturating_add(place.m)).map(move |index| ShardHeader {
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
        payload_len: payload_len as u64,
        shard_len,
        inner_len: head.inner_len,
        retention_clock: head.retention_clock,
        written_at: head.written_at,
    })
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

/// Fills the parity shards from the data shards and sums all of them up. One block of every shard at a time: coding and summing
/// then find it in the second-level cache, where a whole stripe would not fit.
fn code_and_sum(
    place: &StripePosition,
    data: &[&[u8]],
    parity: &mut [&mut [u8]],
    payload_len: usize,
) -> StorageResult<Sums> {
    let code = Code::get(place.k, place.m)?;
    let mut blocks = vec![Vec::new(); width(place)];
    // CRC64 and length of the payload's part in each data shard.
    let lens = data.iter().scan(payload_len, |left, shard| {
        let inside = shard.len().min(*left);
        *left -= inside;
        Some(inside)
    });
    let mut parts: Vec<(u64, usize)> = lens.map(|len| (0, len)).collect();
    let mut data: Vec<_> = data.iter().map(|shard| shard.chunks(CRC_BLOCK_LEN)).collect();
    let mut parity: Vec<_> = parity.iter_mut().map(|shard| shard.chunks_mut(CRC_BLOCK_LEN)).collect();
    for (number, from) in (0_u32..).zip((0..).step_by(CRC_BLOCK_LEN)) {
        let data: Vec<&[u8]> = data.iter_mut().filter_map(Iterator::next).collect();
        if data.is_empty() {
            break;
        }
        let mut parity: Vec<&mut [u8]> = parity.iter_mut().filter_map(Iterator::next).collect();
        code.encode(&data, &mut parity)?;
        let row = data.iter().copied().chain(parity.iter().map(|block| &**block));
        for (index, (block, sums)) in (0_u8..).zip(row.zip(&mut blocks)) {
            let crc = crc64(block);
            sums.push(bind_block_crc(place.segment, place.offset, index, number, crc, block.len() as u64));
            if let Some((part, len)) = parts.get_mut(usize::from(index)) {
                let inside = len.saturating_sub(from).min(block.len());
                let crc = if inside == block.len() { crc } else { crc64(block.get(..inside).unwrap_or_default()) };
                *part = crc64_combine(*part, crc, inside as u64);
            }
        }
    }
    let payload = parts.iter().fold(0, |before, (crc, len)| crc64_combine(before, *crc, *len as u64));
    Ok(Sums { blocks, payload })
}

/// Copies as much of `from` as `shard` holds, and zeroes the rest.
fn copy_padded(from: &[u8], shard: &mut [u8]) {
    let (taken, padding) = shard.split_at_mut(from.len().min(shard.len()));
    taken.copy_from_slice(from.split_at(taken.len()).0);
    padding.fill(0);
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
    use kovcheg_format::shard::{ShardFront, StripeKind, data_offset, disk_len, stripe_hash};
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
                retention_clock: 6,
                written_at: 5,
            };
            let place = StripePosition { pool: PoolId([1; 16]), segment: SegmentId(7), offset: 8192, k, m };
            let built = build(&head, &place, payload[..].into()).unwrap();
            prop_assert_eq!(built.hash, stripe_hash(kind, head.epoch, head.lsn, head.previous, &payload, head.inner_len));
            let mut pieces = Vec::new();
            for (index, shard) in built.shards.iter().enumerate() {
                let shard = shard.to_buffer();
                prop_assert_eq!(shard.len() as u64, disk_len(built.shard_len));
                let front = ShardFront::decode(&shard).unwrap();
                let start = data_offset(built.shard_len);
                let piece = &shard[start..start + built.shard_len as usize];
                prop_assert_eq!(usize::from(front.header.index), index);
                prop_assert_eq!(front.header.hash, built.hash);
                prop_assert!(front.data_is_sound(piece), "shard {} of {} bytes", index, len);
                pieces.push(piece.to_vec());
            }
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(join(&pieces[..k.into()], len), payload);
        }
    }
}
