//! Reading ranges of stripes: the fast path straight from data shards, the careful path around lost and rotten ones.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use kovcheg_format::Decode;
use kovcheg_format::id::SegmentId;
use kovcheg_format::key;
use kovcheg_format::record::segment::{SegmentOpened, SegmentRow};
use kovcheg_format::shard::data_offset;
use kovcheg_format::units::BLOCK_LEN;
use parking_lot::{Mutex, RwLock};

use crate::disk::set::DiskSlot;
use crate::disk::{AlignedBuf, DiskError, DiskResult, Ticket};
use crate::error::{StorageError, StorageResult};
use crate::index::{Column, Index, IndexError};
use crate::segment::repair::Mender;

/// Segments whose shape is remembered; a row of the index is read for others.
const CATALOG_MAX: usize = 65_536;
/// Stripes that were put together the careful way and are kept, so that a missing disk does not cost a whole stripe per chunk.
const CAREFUL_MAX: usize = 16;

/// A range of one stripe's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StripeRange {
    /// Segment.
    pub segment: SegmentId,
    /// Offset of the stripe in its files.
    pub stripe: u64,
    /// Data bytes of each shard.
    pub shard_len: u32,
    /// First byte within the payload.
    pub from: u64,
    /// Bytes.
    pub len: usize,
}

type Careful = VecDeque<((SegmentId, u64), Arc<Vec<u8>>)>;

/// Reads payload ranges of any stripe of the pool.
pub struct SegmentReader {
    mender: Arc<Mender>,
    index: Arc<dyn Index>,
    catalog: RwLock<HashMap<SegmentId, Arc<SegmentOpened>>>,
    careful: Mutex<Careful>,
}

impl SegmentReader {
    /// A reader over the pool's disks and index.
    #[must_use]
    pub fn new(mender: Arc<Mender>, index: Arc<dyn Index>) -> Self {
        Self { mender, index, catalog: RwLock::new(HashMap::new()), careful: Mutex::new(VecDeque::new()) }
    }

    /// The careful reader below.
    #[must_use]
    pub fn mender(&self) -> &Arc<Mender> {
        &self.mender
    }

    /// Remembers a segment that was just opened and is not in the index yet.
    pub fn register(&self, opened: &SegmentOpened) {
        let mut catalog = self.catalog.write();
        if catalog.len() >= CATALOG_MAX {
            catalog.clear();
        }
        catalog.insert(opened.segment, Arc::new(opened.clone()));
    }

    /// The shape of a segment.
    pub fn shape(&self, segment: SegmentId) -> StorageResult<Arc<SegmentOpened>> {
        if let Some(opened) = self.catalog.read().get(&segment) {
            return Ok(opened.clone());
        }
        let Some(row) = self.index.get(Column::Segment, &key::segment(segment))? else {
            return Err(StorageError::Operator(format!(
                "segment {} is not in the index; stop the vault and run `kovcheg rebuild-index`",
                segment.file_name()
            )));
        };
        let row = SegmentRow::from_bytes(&row).map_err(|source| IndexError::Row { column: "segment", source })?;
        self.register(&row.opened);
        Ok(Arc::new(row.opened))
    }

    /// Reads a range from the data shards alone, unverified: the caller opens what it holds and comes back through
    /// [`SegmentReader::read_careful`] when that fails.
    pub fn read_fast(&self, range: &StripeRange) -> StorageResult<FastRead> {
        let opened = self.shape(range.segment)?;
        // All are on their way before the first is waited for.
        let pieces = self.start_pieces(&opened, range);
        let read = |piece: Piece| {
            let buffer = self.mender.disks.wait_for(piece.slot.as_deref(), piece.ticket?)?;
            Ok((buffer, piece.skip..piece.skip + piece.len))
        };
        Ok(FastRead { pieces: pieces.into_iter().map(read).collect::<StorageResult<_>>()? })
    }

    /// Reads a range by loading its whole stripe, checking every shard, reconstructing what is lost and writing it back.
    pub fn read_careful(&self, range: &StripeRange) -> StorageResult<Vec<u8>> {
        let payload = self.load_careful(range.segment, range.stripe, range.shard_len)?;
        let from = usize::try_from(range.from).unwrap_or(usize::MAX);
        let bytes = from.checked_add(range.len).and_then(|end| payload.get(from..end));
        bytes.map(<[u8]>::to_vec).ok_or_else(|| {
            StorageError::Operator(format!(
                "a row of the index points beyond stripe {} of segment {}; run `kovcheg rebuild-index`",
                range.stripe,
                range.segment.file_name()
            ))
        })
    }

    /// Forgets stripes put together the careful way (their shards changed).
    pub fn forget_careful(&self) {
        self.careful.lock().clear();
    }

    fn load_careful(&self, segment: SegmentId, stripe: u64, shard_len: u32) -> StorageResult<Arc<Vec<u8>>> {
        let key = (segment, stripe);
        if let Some((_, payload)) = self.careful.lock().iter().find(|(held, _)| *held == key) {
            return Ok(payload.clone());
        }
        let opened = self.shape(segment)?;
        let loaded = self.mender.load(&opened, stripe, Some(shard_len))?.ok_or_else(|| StorageError::Damaged {
            segment,
            offset: stripe,
            lost: opened.disks.len(),
            width: opened.disks.len(),
            detail: "no shard is readable".to_owned(),
        })?;
        self.mender.write_back(&opened, &loaded)?;
        let mut careful = self.careful.lock();
        careful.push_back((key, loaded.payload.clone()));
        while careful.len() > CAREFUL_MAX {
            careful.pop_front();
        }
        Ok(loaded.payload)
    }

    fn start_pieces(&self, opened: &SegmentOpened, range: &StripeRange) -> Vec<Piece> {
        let shard_len = u64::from(range.shard_len.max(1));
        let mut pieces = Vec::new();
        let (mut at, end) = (range.from, range.from + range.len as u64);
        while at < end {
            let shard = at / shard_len;
            let within = at % shard_len;
            let len = (shard_len - within).min(end - at);
            pieces.push(self.start_piece(opened, range, shard, within, len));
            at += len;
        }
        pieces
    }

    fn start_piece(&self, opened: &SegmentOpened, range: &StripeRange, shard: u64, within: u64, len: u64) -> Piece {
        let first = range.stripe + data_offset(range.shard_len) as u64 + within;
        let aligned = first - first % BLOCK_LEN;
        let end = (first + len).next_multiple_of(BLOCK_LEN);
        let to_len = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let shard = usize::try_from(shard).unwrap_or(usize::MAX);
        let slot = opened
            .disks
            .get(shard)
            .filter(|_| shard < usize::from(opened.k))
            .and_then(|disk| self.mender.disks.slot(*disk));
        let ticket = match slot {
            None => Err(DiskError::Closed { disk: format!("of shard {shard}") }),
            Some(slot) => self
                .mender
                .files
                .get(slot, opened.kind, opened.segment)
                .map(|file| file.read(aligned, to_len(end - aligned))),
        };
        Piece { slot: slot.cloned(), ticket, skip: to_len(first - aligned), len: to_len(len) }
    }
}

/// A range as its shards gave it, in the memory that the disks wrote to.
pub struct FastRead {
    pieces: Vec<(AlignedBuf, Range<usize>)>,
}

impl FastRead {
    /// `len` bytes from `from` on, counted from the start of the range; copied only where they lie across two shards. `None` where so much
    /// was not read.
    #[must_use]
    pub fn get(&self, from: usize, len: usize) -> Option<Cow<'_, [u8]>> {
        let (mut skip, mut parts) = (from, Vec::new());
        for (buffer, range) in &self.pieces {
            let piece = buffer.get(range.clone())?;
            if skip >= piece.len() {
                skip -= piece.len();
                continue;
            }
            let rest = piece.get(skip..)?;
            if let Some(all) = rest.get(..len).filter(|_| parts.is_empty()) {
                return Some(Cow::Borrowed(all));
            }
            let missing = len - parts.len();
            parts.extend_from_slice(rest.get(..missing.min(rest.len()))?);
            if parts.len() == len {
                return Some(Cow::Owned(parts));
            }
            skip = 0;
        }
        (len == 0).then_some(Cow::Owned(parts))
    }
}

struct Piece {
    slot: Option<Arc<DiskSlot>>,
    ticket: DiskResult<Ticket<AlignedBuf>>,
    skip: usize,
    len: usize,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::borrow::Cow;

    use super::FastRead;
    use crate::disk::AlignedBuf;

    /// Every part of three pieces, and what lies beyond.
    #[test]
    fn parts_of_what_was_read_are_as_of_one_buffer() {
        let all: Vec<u8> = (0..=99).collect();
        let piece = |from: usize, to: usize| {
            let mut buffer = AlignedBuf::zeroed(4096);
            buffer[7..7 + to - from].copy_from_slice(&all[from..to]);
            (buffer, 7..7 + to - from)
        };
        let read = FastRead { pieces: vec![piece(0, 10), piece(10, 60), piece(60, 100)] };
        for from in 0..=100 {
            for len in 0..=101 - from {
                let found = read.get(from, len);
                let expected = all.get(from..from + len);
                assert_eq!(found.as_deref(), expected, "{len} from {from}");
            }
        }
        assert!(matches!(read.get(10, 50), Some(Cow::Borrowed(_))) && matches!(read.get(9, 2), Some(Cow::Owned(_))));
    }
}
