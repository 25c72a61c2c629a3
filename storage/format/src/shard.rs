//! Shard of a stripe: the unit that lies on one disk. Header, CRC table, data, padding to 4 KiB.
//!
//! A stripe's payload is cut into k data shards of equal length (the last padded with zeros), to which m parity shards
//! are added; all k+m lie at the same offset of the segment's file on their disks. Everything needed to put a stripe
//! together again is in each of its headers, and can be read and checked without any key.

use crate::checksum::{crc64, crc64_of, shard_block_crc};
use crate::codec::{Decode, Encode, Reader, Writer};
use crate::error::FormatError;
use crate::id::{Epoch, Lsn, PoolId, SegmentId, StripeHash};
use crate::units::{BLOCK_BYTES, BLOCK_LEN, TimestampMs};
use crate::version::{MAGIC_SHARD, SHARD_VERSION, check_version};

/// Bytes of the fixed header.
pub const HEADER_LEN: usize = 256;
/// Each stored CRC64 covers this many bytes of shard data; the last may cover fewer.
pub const CRC_BLOCK_LEN: usize = 65_536;
/// Longest data of one shard. Bounds what a reader allocates on the word of a header.
pub const SHARD_LEN_MAX: u32 = 16 << 20;
/// The data of a shard is a multiple of this, so that vector code never meets a ragged end.
pub const SHARD_LEN_UNIT: u32 = 64;
/// Shards whose data is at least this long keep it in whole blocks of [`BLOCK_LEN`], behind one block for header and table: such
/// data is written from the memory it was sealed in, and read, without a copy.
pub const WHOLE_BLOCKS_MIN: u32 = 65_536;
/// Longest file of shards: 1 TiB, far above any segment; sums of offset and length stay far below 2^64.
pub const FILE_LEN_MAX: u64 = 1 << 40;
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

/// Offset of the shard length in the header, in every version.
const SHARD_LEN_AT: usize = 136;
/// Bytes of the header in use; reserve follows up to the CRC.
const FIELDS_LEN: usize = 160;

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
/// rewritten on other disks keeps its name. Of a data stripe the last `inner_len` bytes are the directory, and
/// [`data_stripe_hash`] says how it is named.
#[must_use]
pub fn stripe_hash(
    kind: StripeKind,
    epoch: Epoch,
    lsn: Lsn,
    previous: StripeHash,
    payload: &[u8],
    inner_len: u32,
) -> StripeHash {
    match kind {
        StripeKind::Journal | StripeKind::Checkpoint => hash_of(epoch, lsn, previous, &[payload]),
        StripeKind::Data => {
            let directory = payload.len().saturating_sub(inner_len as usize);
            let directory = payload.get(directory..).unwrap_or_default();
            data_stripe_hash(epoch, lsn, previous, crc64(payload), directory)
        }
    }
}

/// Hash of a data stripe: its payload stands in by its CRC64 and its directory. Every envelope in it is named there by its
/// keyed BLAKE3 and sealed under a tag of its own, so that a second cryptographic pass over all data would prove nothing
/// that opening does not, at a tenth of the cost of ingest.
#[must_use]
pub fn data_stripe_hash(
    epoch: Epoch,
    lsn: Lsn,
    previous: StripeHash,
    payload_crc: u64,
    directory: &[u8],
) -> StripeHash {
    hash_of(epoch, lsn, previous, &[&payload_crc.to_le_bytes(), directory])
}

fn hash_of(epoch: Epoch, lsn: Lsn, previous: StripeHash, pieces: &[&[u8]]) -> StripeHash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&epoch.0.to_le_bytes());
    hasher.update(&lsn.0.to_le_bytes());
    hasher.update(&previous.0);
    for piece in pieces {
        hasher.update(piece);
    }
    StripeHash(*hasher.finalize().as_bytes())
}

/// Length of the data of each of `k` shards that hold `payload_len` bytes: rounded up to [`SHARD_LEN_UNIT`], or to whole blocks
/// from [`WHOLE_BLOCKS_MIN`] on. A result above [`SHARD_LEN_MAX`] means that the payload needs several stripes.
#[must_use]
pub fn shard_len_for(payload_len: u64, k: u8) -> u64 {
    let least = payload_len.div_ceil(u64::from(k.max(1))).max(1);
    let unit = if least < WHOLE_BLOCKS_MIN.into() { SHARD_LEN_UNIT.into() } else { BLOCK_LEN };
    least.checked_next_multiple_of(unit).unwrap_or(u64::MAX)
}

impl ShardHeader {
    /// Entries of the CRC table.
    #[must_use]
    pub fn crc_count(&self) -> usize {
        crc_count(self.shard_len)
    }

    /// Offset of the shard's data from its header, see [`data_offset`].
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
    /// `shard`, which must be at least [`ShardHeader::disk_len`] bytes long. What lies behind the data becomes zero.
    ///
    /// # Panics
    /// When `shard` is shorter than that, or when the header is one that no reader takes: a bug of the caller.
    pub fn seal_into(&self, shard: &mut [u8]) {
        let data = shard.get(self.data_offset()..).and_then(|data| data.get(..self.shard_len as usize));
        let crcs: Vec<u64> = (0_u32..)
            .zip(data.unwrap_or_default().chunks(CRC_BLOCK_LEN))
            .map(|(block, bytes)| shard_block_crc(self.segment, self.offset, self.index, block, bytes))
            .collect();
        self.seal_with(shard, &crcs);
    }

    /// [`ShardHeader::seal_into`] for a writer that has summed the data up already: `crcs` are the [`shard_block_crc`]s of its
    /// blocks, in order, and are believed.
    ///
    /// # Panics
    /// As [`ShardHeader::seal_into`], and when there are more or fewer sums than blocks.
    pub fn seal_with(&self, shard: &mut [u8], crcs: &[u64]) {
        assert!(shard.len() as u64 >= self.disk_len(), "shard buffer shorter than its disk length");
        let (front, behind) = shard.split_at_mut(self.data_offset());
        let (_, padding) = behind.split_at_mut(self.shard_len as usize);
        self.seal_front(front, crcs);
        padding.fill(0);
    }

    /// Writes what stands before the data, [`ShardHeader::data_offset`] bytes: header, CRC table, zeros.
    ///
    /// # Panics
    /// As [`ShardHeader::seal_with`].
    pub fn seal_front(&self, front: &mut [u8], crcs: &[u64]) {
        assert_eq!(front.len(), self.data_offset(), "the room before the data");
        assert_eq!(crcs.len(), self.crc_count(), "one sum for each block");
        let sealed = self.front(crcs);
        let (used, gap) = front.split_at_mut(sealed.len());
        used.copy_from_slice(&sealed);
        gap.fill(0);
    }

    /// Header and CRC table.
    fn front(&self, crcs: &[u64]) -> Vec<u8> {
        let mut table = Writer::new();
        for crc in crcs {
            table.u64(*crc);
        }
        let mut out = self.encode_fields();
        let crc = crc64_of(&[out.as_slice(), table.as_slice()]);
        out.u64(crc);
        out.raw(table.as_slice());
        out.into_vec()
    }

    /// All of the header but its CRC.
    fn encode_fields(&self) -> Writer {
        let mut out = Writer::new();
        out.check(check_shape(self));
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
        self.epoch.encode(&mut out);
        out.u64(self.lsn.0);
        out.raw(&self.previous.0);
        out.raw(&self.hash.0);
        out.u64(self.payload_len);
        out.u32(self.shard_len);
        out.u32(self.inner_len);
        out.u64(self.retention_clock);
        out.u64(self.written_at);
        out.zeros(HEADER_LEN - 8 - FIELDS_LEN);
        out
    }
}

/// Entries of the CRC table of a shard whose data is `shard_len` long.
fn crc_count(shard_len: u32) -> usize {
    (shard_len as usize).div_ceil(CRC_BLOCK_LEN)
}

/// Offset of the data of a shard whose data is `shard_len` long: after header and CRC table, rounded up to 64, or to a whole block
/// from [`WHOLE_BLOCKS_MIN`] on.
#[must_use]
pub fn data_offset(shard_len: u32) -> usize {
    let front = HEADER_LEN + 8 * crc_count(shard_len);
    if shard_len < WHOLE_BLOCKS_MIN { front.next_multiple_of(64) } else { front.next_multiple_of(BLOCK_BYTES) }
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
    /// Decodes and checks header and CRC table from the first bytes of a shard. `bytes` may be longer; one block of
    /// [`BLOCK_LEN`] is always enough.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut input = Reader::new(bytes);
        let fields = input.raw(HEADER_LEN - 8, "shard header")?;
        if !fields.starts_with(&MAGIC_SHARD) {
            return Err(FormatError::BadMagic { what: "shard" });
        }
        // The places of shard length and checksum are the same in all versions, so that the checksum is judged before
        // the version: a rotten version is damage, not a newer release.
        let mut at_len = Reader::new(fields);
        at_len.raw(SHARD_LEN_AT, "shard header")?;
        let shard_len = at_len.u32("shard length")?;
        check_shard_len(shard_len)?;
        let stored = input.u64("shard header checksum")?;
        let table = input.raw(8 * crc_count(shard_len), "shard CRC table")?;
        if crc64_of(&[fields, table]) != stored {
            return Err(FormatError::Checksum { what: "shard header" });
        }
        let header = decode_fields(&mut Reader::new(fields))?;
        let mut entries = Reader::new(table);
        let mut crcs = Vec::with_capacity(header.crc_count());
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
        self.crcs
            .get(block)
            .is_some_and(|stored| *stored == shard_block_crc(head.segment, head.offset, head.index, place, bytes))
    }

    /// Checks all data of the shard. `data` must be exactly `shard_len` long.
    #[must_use]
    pub fn data_is_sound(&self, data: &[u8]) -> bool {
        data.len() == self.header.shard_len as usize
            && data.chunks(CRC_BLOCK_LEN).enumerate().all(|(block, bytes)| self.block_is_sound(block, bytes))
    }
}

fn decode_fields(input: &mut Reader<'_>) -> Result<ShardHeader, FormatError> {
    input.raw(MAGIC_SHARD.len(), "shard magic")?;
    check_version("shard", input.u16("shard version")?, SHARD_VERSION)?;
    let kind = StripeKind::decode(input)?;
    let (k, m, index) = (input.u8("k")?, input.u8("m")?, input.u8("shard index")?);
    let codec = input.u8("erasure codec")?;
    input.zeros(1, "shard header padding")?;
    let header = ShardHeader {
        kind,
        k,
        m,
        index,
        codec,
        pool: PoolId::decode(input)?,
        segment: SegmentId::decode(input)?,
        offset: input.u64("stripe offset")?,
        epoch: Epoch::decode(input)?,
        lsn: Lsn::decode(input)?,
        previous: StripeHash::decode(input)?,
        hash: StripeHash::decode(input)?,
        payload_len: input.u64("payload length")?,
        shard_len: input.u32("shard length")?,
        inner_len: input.u32("inner length")?,
        retention_clock: input.u64("retention clock")?,
        written_at: input.u64("written at")?,
    };
    input.zeros(HEADER_LEN - 8 - FIELDS_LEN, "shard header reserve")?;
    check_shape(&header)?;
    Ok(header)
}

fn check_shape(header: &ShardHeader) -> Result<(), FormatError> {
    let width = check_width(header.k, header.m)?;
    if header.index >= width {
        return Err(FormatError::Invalid { what: "shard index" });
    }
    check_codec(header.codec)?;
    check_shard_len(header.shard_len)?;
    let room = u64::from(header.shard_len) * u64::from(header.k);
    if header.payload_len > room || u64::from(header.inner_len) > header.payload_len {
        return Err(FormatError::Invalid { what: "payload length" });
    }
    check_offset(header.offset)?;
    let placed = match header.kind {
        StripeKind::Journal => header.lsn.0 != 0 && header.lsn <= Lsn::MAX,
        StripeKind::Data | StripeKind::Checkpoint => header.lsn.0 == 0 && header.previous == StripeHash::ZERO,
    };
    if placed { Ok(()) } else { Err(FormatError::Invalid { what: "stripe position" }) }
}

/// The number of shards, at least one of data and at most [`WIDTH_MAX`] in all.
pub(crate) fn check_width(k: u8, m: u8) -> Result<u8, FormatError> {
    match k.checked_add(m).filter(|width| *width <= WIDTH_MAX) {
        Some(width) if k > 0 => Ok(width),
        _ => Err(FormatError::Invalid { what: "shard count" }),
    }
}

/// Refuses erasure codes that this release does not know.
pub(crate) fn check_codec(codec: u8) -> Result<(), FormatError> {
    if codec == CODEC_RS_GF8 { Ok(()) } else { Err(FormatError::Invalid { what: "erasure codec" }) }
}

/// Refuses lengths that [`shard_len_for`] never returns or that a reader must not allocate.
pub(crate) fn check_shard_len(len: u32) -> Result<(), FormatError> {
    if len > SHARD_LEN_MAX {
        let (found, limit) = (len.into(), SHARD_LEN_MAX.into());
        return Err(FormatError::OverLimit { what: "shard length", found, limit });
    }
    let unit = if len < WHOLE_BLOCKS_MIN { SHARD_LEN_UNIT.into() } else { BLOCK_LEN };
    if len == 0 || !u64::from(len).is_multiple_of(unit) {
        return Err(FormatError::Invalid { what: "shard length" });
    }
    Ok(())
}

/// Refuses offsets that are not aligned or so large that adding a shard to them could overflow.
pub(crate) fn check_offset(offset: u64) -> Result<(), FormatError> {
    if offset > FILE_LEN_MAX || !offset.is_multiple_of(BLOCK_LEN) {
        return Err(FormatError::Invalid { what: "stripe offset" });
    }
    Ok(())
}
