//! Shard of a stripe: the unit that lies on one disk. Header, CRC table, data, padding to 4 KiB.
//!
//! A stripe's payload is cut into k data shards of equal length (the last padded with zeros), to which m parity shards
//! are added; all k+m lie at the same offset of the segment's file on their disks. Everything needed to put a stripe
//! together again is in each of its headers, and can be read and checked without any key.

use crate::checksum::{crc64, shard_block_crc};
use crate::codec::{Reader, Writer};
use crate::error::FormatError;
use crate::id::{Epoch, Lsn, PoolId, SegmentId, StripeHash};
use crate::units::{BLOCK_LEN, TimestampMs};
use crate::version::{MAGIC_SHARD, SHARD_VERSION};

/// Bytes of the fixed header.
pub const HEADER_LEN: usize = 256;
/// Each stored CRC64 covers this many bytes of shard data; the last may cover fewer.
pub const CRC_BLOCK_LEN: usize = 65_536;
/// Longest data of one shard. Bounds what a reader allocates on the word of a header.
pub const SHARD_LEN_MAX: u32 = 16 << 20;
/// Most data and parity shards together.
pub const WIDTH_MAX: u8 = 32;

crate::code! {
    /// What a stripe holds.
    pub enum StripeKind: u8 {
        /// Sealed chunks and their directory.
        Data = 1,
        /// A sealed frame of records and the inline chunks they name.
        Journal = 2,
        /// A piece of a checkpoint: sealed rows of the index.
        Checkpoint = 3,
    }
}

/// Reed-Solomon over GF(2^8), systematic, Vandermonde-derived matrix of the `reed-solomon-erasure` crate.
pub const CODEC_RS_GF8: u8 = 1;

/// The fixed header of a shard. All fields but `index` are the same in all shards of a stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardHeader {
    /// What the stripe holds.
    pub kind: StripeKind,
    /// Data shards.
    pub k: u8,
    /// Parity shards.
    pub m: u8,
    /// Which shard this is: data below `k`, parity from `k` on.
    pub index: u8,
    /// Erasure code ([`CODEC_RS_GF8`]).
    pub codec: u8,
    /// The pool the stripe belongs to.
    pub pool: PoolId,
    /// Segment or journal file.
    pub segment: SegmentId,
    /// Byte offset of this header in the segment's file; the same on all disks.
    pub offset: u64,
    /// The life of the process that wrote it.
    pub epoch: Epoch,
    /// Position in the journal; 0 in data and checkpoint stripes.
    pub lsn: Lsn,
    /// Hash of the journal stripe before; zero in data and checkpoint stripes.
    pub previous: StripeHash,
    /// Hash of this stripe (see [`stripe_hash`]).
    pub hash: StripeHash,
    /// Bytes of payload, without padding.
    pub payload_len: u64,
    /// Data bytes of each shard.
    pub shard_len: u32,
    /// Journal: length of the sealed frame at the start of the payload. Data: length of the directory at its end.
    pub inner_len: u32,
    /// Retention clock when written (R12); 0 where it was not read.
    pub retention_clock: TimestampMs,
    /// Wall clock when written; for people, never for decisions.
    pub written_at: TimestampMs,
}

/// BLAKE3 over epoch, LSN, previous hash and payload. Layout (k, m, segment, offset) is left out, so that a stripe
/// rewritten on other disks keeps its name.
#[must_use]
pub fn stripe_hash(epoch: Epoch, lsn: Lsn, previous: StripeHash, payload: &[u8]) -> StripeHash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&epoch.0.to_le_bytes());
    hasher.update(&lsn.0.to_le_bytes());
    hasher.update(&previous.0);
    hasher.update(payload);
    StripeHash(*hasher.finalize().as_bytes())
}

/// Length of the data of each of `k` shards that hold `payload_len` bytes: rounded up to 64 bytes, so that vector code
/// never meets a ragged end.
#[must_use]
pub fn shard_len_for(payload_len: u64, k: u8) -> u64 {
    payload_len.div_ceil(u64::from(k.max(1))).next_multiple_of(64).max(64)
}

impl ShardHeader {
    /// Entries of the CRC table.
    #[must_use]
    pub fn crc_count(&self) -> usize {
        (self.shard_len as usize).div_ceil(CRC_BLOCK_LEN)
    }

    /// Offset of the shard's data from its header: after header and CRC table, rounded up to 64.
    #[must_use]
    pub fn data_offset(&self) -> usize {
        data_offset(self.shard_len)
    }

    /// Bytes the shard takes on its disk: header, table, data, padding to [`BLOCK_LEN`].
    #[must_use]
    pub fn disk_len(&self) -> u64 {
        disk_len(self.shard_len)
    }

    /// Writes header, CRC table and padding around the data that already lies at [`ShardHeader::data_offset`] of
    /// `shard`, which must be [`ShardHeader::disk_len`] bytes long with zeros after the data.
    ///
    /// # Panics
    /// When `shard` is shorter than that: a bug of the caller.
    pub fn seal_into(&self, shard: &mut [u8]) {
        assert!(shard.len() as u64 >= self.disk_len(), "shard buffer shorter than its disk length");
        let start = self.data_offset();
        let end = start + self.shard_len as usize;
        let mut table = Writer::new();
        for (block, bytes) in shard.get(start..end).unwrap_or(&[]).chunks(CRC_BLOCK_LEN).enumerate() {
            let block = u32::try_from(block).unwrap_or(u32::MAX);
            table.u64(shard_block_crc(self.segment, self.offset, self.index, block, bytes));
        }
        let mut head = self.encode_fields();
        head.raw(&[0; 8]);
        let table = table.into_vec();
        let mut covered = head.into_vec();
        covered.truncate(HEADER_LEN - 8);
        covered.extend_from_slice(&table);
        let crc = crc64(&covered);
        if let Some((fields, rest)) = covered.split_at_checked(HEADER_LEN - 8) {
            let mut place = shard.iter_mut();
            for (to, from) in place.by_ref().zip(fields.iter().chain(&crc.to_le_bytes()).chain(rest)) {
                *to = *from;
            }
        }
        let used = HEADER_LEN + table.len();
        if let Some(gap) = shard.get_mut(used..start) {
            gap.fill(0);
        }
        if let Some(tail) = shard.get_mut(end..) {
            tail.fill(0);
        }
    }

    fn encode_fields(&self) -> Writer {
        let mut out = Writer::new();
        out.raw(&MAGIC_SHARD);
        out.u16(SHARD_VERSION);
        out.u8(self.kind.code());
        out.u8(self.k);
        out.u8(self.m);
        out.u8(self.index);
        out.u8(self.codec);
        out.u8(0);
        out.raw(&self.pool.0);
        out.u64(self.segment.0);
        out.u64(self.offset);
        out.u64(self.epoch.0);
        out.u64(self.lsn.0);
        out.raw(&self.previous.0);
        out.raw(&self.hash.0);
        out.u64(self.payload_len);
        out.u32(self.shard_len);
        out.u32(self.inner_len);
        out.u64(self.retention_clock);
        out.u64(self.written_at);
        let used = out.len();
        out.zeros(HEADER_LEN - 8 - used);
        out
    }
}

/// Offset of the data of a shard whose data is `shard_len` long.
#[must_use]
pub fn data_offset(shard_len: u32) -> usize {
    (HEADER_LEN + 8 * (shard_len as usize).div_ceil(CRC_BLOCK_LEN)).next_multiple_of(64)
}

/// Bytes on disk of a shard whose data is `shard_len` long.
#[must_use]
pub fn disk_len(shard_len: u32) -> u64 {
    (data_offset(shard_len) as u64 + u64::from(shard_len)).next_multiple_of(BLOCK_LEN)
}

/// A decoded header with its CRC table: what is needed to check data block by block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardFront {
    /// The fixed header.
    pub header: ShardHeader,
    /// One CRC64 per [`CRC_BLOCK_LEN`] bytes of data.
    pub crcs: Vec<u64>,
}

impl ShardFront {
    /// Decodes and checks header and CRC table from the first bytes of a shard. `bytes` may be longer.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let header = decode_fields(&mut Reader::new(bytes))?;
        let mut input = Reader::new(bytes);
        let fields = input.raw(HEADER_LEN - 8, "shard header")?;
        let stored = input.u64("shard header checksum")?;
        let table = input.raw(8 * header.crc_count(), "shard CRC table")?;
        let mut covered = fields.to_vec();
        covered.extend_from_slice(table);
        if crc64(&covered) != stored {
            return Err(FormatError::Checksum { what: "shard header" });
        }
        let mut entries = Reader::new(table);
        let mut crcs = Vec::new();
        while entries.remaining() > 0 {
            crcs.push(entries.u64("shard CRC")?);
        }
        Ok(Self { header, crcs })
    }

    /// Checks one block of data against the table.
    #[must_use]
    pub fn block_is_sound(&self, block: usize, bytes: &[u8]) -> bool {
        let place = u32::try_from(block).unwrap_or(u32::MAX);
        let head = &self.header;
        self.crcs.get(block).is_some_and(|stored| {
            *stored == shard_block_crc(head.segment, head.offset, head.index, place, bytes)
        })
    }

    /// Checks all data of the shard. `data` must be exactly `shard_len` long.
    #[must_use]
    pub fn data_is_sound(&self, data: &[u8]) -> bool {
        data.len() == self.header.shard_len as usize
            && data.chunks(CRC_BLOCK_LEN).enumerate().all(|(block, bytes)| self.block_is_sound(block, bytes))
    }
}

fn decode_fields(input: &mut Reader<'_>) -> Result<ShardHeader, FormatError> {
    if input.array::<8>("shard magic")? != MAGIC_SHARD {
        return Err(FormatError::BadMagic { what: "shard" });
    }
    let version = input.u16("shard version")?;
    if version != SHARD_VERSION {
        return Err(FormatError::TooNew { what: "shard", found: version, known: SHARD_VERSION });
    }
    let kind = crate::codec::Decode::decode(input)?;
    let (k, m, index) = (input.u8("k")?, input.u8("m")?, input.u8("shard index")?);
    let codec = input.u8("erasure codec")?;
    input.zeros(1, "shard header padding")?;
    let header = ShardHeader {
        kind,
        k,
        m,
        index,
        codec,
        pool: PoolId(input.array("pool")?),
        segment: SegmentId(input.u64("segment")?),
        offset: input.u64("stripe offset")?,
        epoch: Epoch(input.u64("epoch")?),
        lsn: Lsn(input.u64("lsn")?),
        previous: StripeHash(input.array("previous hash")?),
        hash: StripeHash(input.array("stripe hash")?),
        payload_len: input.u64("payload length")?,
        shard_len: input.u32("shard length")?,
        inner_len: input.u32("inner length")?,
        retention_clock: input.u64("retention clock")?,
        written_at: input.u64("written at")?,
    };
    input.zeros(HEADER_LEN - 8 - 160, "shard header reserve")?;
    check_shape(&header)?;
    Ok(header)
}

fn check_shape(header: &ShardHeader) -> Result<(), FormatError> {
    let width = header.k.checked_add(header.m).filter(|width| *width <= WIDTH_MAX);
    let Some(width) = width else { return Err(FormatError::Invalid { what: "shard count" }) };
    if header.k == 0 || header.index >= width {
        return Err(FormatError::Invalid { what: "shard index" });
    }
    if header.codec != CODEC_RS_GF8 {
        return Err(FormatError::Invalid { what: "erasure codec" });
    }
    if header.shard_len > SHARD_LEN_MAX || header.shard_len == 0 {
        return Err(FormatError::OverLimit {
            what: "shard length",
            found: header.shard_len.into(),
            limit: SHARD_LEN_MAX.into(),
        });
    }
    let room = u64::from(header.shard_len) * u64::from(header.k);
    if header.payload_len > room || u64::from(header.inner_len) > header.payload_len {
        return Err(FormatError::Invalid { what: "payload length" });
    }
    if header.offset % BLOCK_LEN != 0 {
        return Err(FormatError::Invalid { what: "stripe offset" });
    }
    Ok(())
}
