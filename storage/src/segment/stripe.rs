//! A stripe in memory: payload to shards and back. Pure but for the erasure code's tables.

use std::sync::Arc;

use kovcheg_format::id::{Epoch, Lsn, PoolId, SegmentId, StripeHash};
use kovcheg_format::shard::{
    CODEC_RS_GF8, SHARD_LEN_MAX, ShardHeader, StripeKind, disk_len, shard_len_for, stripe_hash,
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
    let hash = stripe_hash(head.epoch, head.lsn, head.previous, payload);
    let total = usize::try_from(disk_len(shard_len)).unwrap_or(usize::MAX);
    let start = kovcheg_format::shard::data_offset(shard_len);
    let len = shard_len as usize;
    let width = usize::from(place.k) + usize::from(place.m);
    // Every byte is written below: data here, parity by the code, the rest around them by `seal_into`.
    let mut buffers: Vec<AlignedBuf> = (0..width).map(|_| AlignedBuf::recycled(total)).collect();
    let pieces = payload.chunks(len).chain(std::iter::repeat(&[][..]));
    for (buffer, piece) in buffers.iter_mut().take(usize::from(place.k)).zip(pieces) {
        if let Some((data, padding)) =
            buffer.get_mut(start..start + len).and_then(|room| room.split_at_mut_checked(piece.len()))
        {
            data.copy_from_slice(piece);
            padding.fill(0);
        }
    }
    encode(place, &mut buffers, start, len)?;
    for (index, buffer) in buffers.iter_mut().enumerate() {
        let header = ShardHeader {
            kind: head.kind,
            k: place.k,
            m: place.m,
            index: u8::try_from(index).unwrap_or(u8::MAX),
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
        header.seal_into(buffer);
    }
    Ok(BuiltStripe { hash, shard_len, shards: buffers.into_iter().map(Arc::new).collect() })
}

fn encode(place: &StripePosition, buffers: &mut [AlignedBuf], start: usize, len: usize) -> StorageResult<()> {
    let code = Code::get(place.k, place.m)?;
    let (data, parity) = buffers.split_at_mut(usize::from(place.k));
    let data: Vec<&[u8]> = data.iter().map(|buffer| buffer.get(start..start + len).unwrap_or(&[])).collect();
    let mut parity: Vec<&mut [u8]> =
        parity.iter_mut().map(|buffer| buffer.get_mut(start..start + len).unwrap_or_default()).collect();
    code.encode(&data, &mut parity)?;
    Ok(())
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
