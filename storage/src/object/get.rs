//! Reading an object: entries of the manifest in order, chunks read in runs, opened, checked, cut to the range asked for (D-1, D-2).

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use kovcheg_format::checksum::{crc64, crc64_combine};
use kovcheg_format::id::ChunkId;
use kovcheg_format::manifest::Entry;
use kovcheg_format::record::segment::ChunkRow;
use kovcheg_format::record::version::VersionPut;

use crate::chunk::pipeline::{ContentKind, DomainCipher, Verified};
use crate::engine::{Engine, envelope_range};
use crate::error::{StorageError, StorageResult};
use crate::object::manifest::ManifestWalk;
use crate::segment::reader::{FastRead, StripeRange};

/// Plaintext bytes fetched in one step where memory is plenty: large enough to read in long runs.
pub const BATCH_BYTES: usize = 1 << 20;
/// Unused bytes between two envelopes that are still read in one run.
const GAP_BYTES: u64 = 64 << 10;

/// Reads one version from a position to another.
pub struct ObjectCursor {
    engine: Arc<Engine>,
    cipher: Arc<DomainCipher>,
    version: Arc<VersionPut>,
    walk: ManifestWalk,
    left: u64,
    /// Found already, for the next step.
    pending: Option<Wanted>,
    /// CRC so far of a full read; `None` for a range.
    full_crc: Option<u64>,
}

struct Wanted {
    entry: Entry,
    row: ChunkRow,
    skip: u64,
}

impl ObjectCursor {
    /// A cursor over bytes `start..end` of a version.
    pub fn new(engine: Arc<Engine>, version: Arc<VersionPut>, start: u64, end: u64) -> StorageResult<Self> {
        let cipher = engine.domain(version.domain)?;
        let end = end.min(version.size);
        let walk = ManifestWalk::new(&version.manifest, start);
        let full = start == 0 && end == version.size;
        let left = end.saturating_sub(start);
        Ok(Self { engine, cipher, version, walk, left, pending: None, full_crc: full.then_some(0) })
    }

    /// Bytes still to come.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left
    }

    /// The next verified bytes; empty at the end.
    pub fn next_batch(&mut self) -> StorageResult<VecDeque<Bytes>> {
        self.next_batch_within(BATCH_BYTES)
    }

    /// The next verified bytes: as many chunks as together hold no more than `bytes` of memory, or one; empty at the end.
    pub fn next_batch_within(&mut self, bytes: usize) -> StorageResult<VecDeque<Bytes>> {
        let mut out = VecDeque::new();
        if self.left == 0 {
            return Ok(out);
        }
        let wanted = self.plan(bytes as u64)?;
        for run in runs(wanted) {
            self.fetch(&run, &mut out)?;
        }
        if self.left == 0 {
            self.check_whole()?;
        }
        Ok(out)
    }

    /// The entries of the next step and where their chunks lie. A piece of a chunk keeps all of it in memory.
    fn plan(&mut self, most: u64) -> StorageResult<Vec<Wanted>> {
        let mut wanted: Vec<Wanted> = Vec::new();
        let (mut bytes, mut held) = (0, 0);
        while bytes < self.left {
            let next = match self.pending.take() {
                Some(next) => next,
                None => self.locate_next()?,
            };
            held += u64::from(next.row.plain_len);
            if held > most && !wanted.is_empty() {
                self.pending = Some(next);
                break;
            }
            bytes += u64::from(next.entry.len) - next.skip;
            wanted.push(next);
        }
        Ok(wanted)
    }

    fn locate_next(&mut self) -> StorageResult<Wanted> {
        let (engine, cipher) = (self.engine.clone(), self.cipher.clone());
        let load = move |id: ChunkId| engine.load_node(id, &cipher);
        let Some((entry, skip)) = self.walk.next(&load)? else {
            return Err(StorageError::NotAuthentic {
                what: "manifest".to_owned(),
                reason: "it ends before the object does",
            });
        };
        let row = self.engine.lookup.locate(entry.chunk)?.ok_or(StorageError::ChunkMissing(entry.chunk))?;
        Ok(Wanted { entry, row, skip })
    }

    fn fetch(&mut self, run: &[Wanted], out: &mut VecDeque<Bytes>) -> StorageResult<()> {
        let Some(range) = cover(run) else { return Ok(()) };
        let read = self.engine.reader.read_fast(&range).ok();
        for wanted in run {
            let verified = self.open(wanted, &range, read.as_ref())?;
            self.deliver(wanted, verified, out)?;
        }
        Ok(())
    }

    fn open(&self, wanted: &Wanted, range: &StripeRange, read: Option<&FastRead>) -> StorageResult<Verified> {
        let id = wanted.entry.chunk;
        let from = usize::try_from(u64::from(wanted.row.offset) - range.from).unwrap_or(usize::MAX);
        let envelope = read.and_then(|read| read.get(from, wanted.row.sealed_len as usize));
        if let Some(Ok(verified)) = envelope.map(|envelope| self.cipher.open(ContentKind::Chunk, id, &envelope)) {
            return Ok(verified);
        }
        self.engine.read_chunk_carefully(ContentKind::Chunk, id, &wanted.row, &self.cipher)
    }

    fn deliver(&mut self, wanted: &Wanted, verified: Verified, out: &mut VecDeque<Bytes>) -> StorageResult<()> {
        let start = wanted.entry.offset as usize;
        let end = start.checked_add(wanted.entry.len as usize).filter(|end| *end <= verified.len());
        let (Some(end), true) = (end, verified.len() == wanted.row.plain_len as usize) else {
            return Err(mismatch(&wanted.entry, "its range lies outside the chunk"));
        };
        let range = verified.into_bytes().slice(start..end);
        if crc64(&range) != wanted.entry.crc {
            return Err(mismatch(&wanted.entry, "its content does not match the manifest's checksum"));
        }
        self.full_crc = self.full_crc.map(|crc| crc64_combine(crc, wanted.entry.crc, wanted.entry.len.into()));
        let skip = usize::try_from(wanted.skip).unwrap_or(usize::MAX).min(range.len());
        let take = usize::try_from(self.left).unwrap_or(usize::MAX).min(range.len() - skip);
        self.left -= take as u64;
        out.push_back(range.slice(skip..skip + take));
        Ok(())
    }

    /// A full read must give the CRC that was composed at write (D-2).
    fn check_whole(&self) -> StorageResult<()> {
        match self.full_crc {
            Some(crc) if crc != self.version.crc => Err(StorageError::NotAuthentic {
                what: format!("object version {}", self.version.version),
                reason: "its content does not match the checksum composed when it was written",
            }),
            _ => Ok(()),
        }
    }
}

fn mismatch(entry: &Entry, reason: &'static str) -> StorageError {
    StorageError::NotAuthentic { what: format!("entry of chunk {}", entry.chunk), reason }
}

/// Groups neighbours that lie in one stripe, in ascending order and close together.
fn runs(wanted: Vec<Wanted>) -> Vec<Vec<Wanted>> {
    let mut runs: Vec<Vec<Wanted>> = Vec::new();
    for next in wanted {
        match runs.last_mut() {
            Some(run) if run.last().is_some_and(|last| continues(&last.row, &next.row)) => run.push(next),
            _ => runs.push(vec![next]),
        }
    }
    runs
}

fn continues(last: &ChunkRow, next: &ChunkRow) -> bool {
    let end = u64::from(last.offset) + u64::from(last.sealed_len);
    let start = u64::from(next.offset);
    (last.segment, last.stripe) == (next.segment, next.stripe) && start >= end && start - end <= GAP_BYTES
}

fn cover(run: &[Wanted]) -> Option<StripeRange> {
    let (first, last) = (run.first()?, run.last()?);
    let mut range = envelope_range(&first.row);
    let end = u64::from(last.row.offset) + u64::from(last.row.sealed_len);
    range.len = usize::try_from(end - range.from).unwrap_or(usize::MAX);
    Some(range)
}
