//! The open data segments of the pool: where streams put full stripes, and how those become durable together (R19, R20).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use kovcheg_format::Encode;
use kovcheg_format::directory::Directory;
use kovcheg_format::id::{DiskId, DomainId, Epoch, Lsn, SegmentId, StripeHash};
use kovcheg_format::record::Record;
use kovcheg_format::record::segment::{ChunkPlace, SegmentClosed, StripeAdded};
use kovcheg_format::shard::{StripeKind, disk_len};
use kovcheg_format::units::BLOCK_LEN;
use parking_lot::Mutex;

use crate::clock::Clock;
use crate::config::EngineConfig;
use crate::disk::set::DiskSet;
use crate::disk::{DiskFile, Payload};
use crate::error::{StorageError, StorageResult};
use crate::segment::files::ShardFiles;
use crate::segment::open::{OpenSegment, WrittenStripe, wait_all};
use crate::segment::reader::SegmentReader;
use crate::segment::room::Room;
use crate::segment::stripe::{StripeHead, checked_shard_len};

/// Bytes by which shard files of data segments grow: with sixteen open segments the reserve of a disk is at most 128 MiB.
const RESERVE_STEP: u64 = 8 << 20;

/// Names for new segments of one epoch.
pub struct SegmentIds {
    epoch: Epoch,
    next: AtomicU32,
    refused: Option<String>,
}

impl SegmentIds {
    /// Names of `epoch`, from its first.
    #[must_use]
    pub fn new(epoch: Epoch) -> Self {
        Self { epoch, next: AtomicU32::new(1), refused: None }
    }

    /// No names: a vault that was opened read-only began no epoch, and names of the one before are taken (R3).
    #[must_use]
    pub fn none(epoch: Epoch, reason: &str) -> Self {
        Self { refused: Some(reason.to_owned()), ..Self::new(epoch) }
    }

    /// The life of the process.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The next name.
    pub fn next(&self) -> StorageResult<SegmentId> {
        if let Some(reason) = &self.refused {
            return Err(StorageError::ReadOnly { reason: reason.clone() });
        }
        Ok(SegmentId::new(self.epoch, self.next.fetch_add(1, Ordering::Relaxed)))
    }
}

type Handles = Arc<Vec<(DiskId, Arc<dyn DiskFile>)>>;

/// A stripe of sealed chunks that was handed to the disks and is named by no record yet.
pub struct PlacedStripe {
    written: WrittenStripe,
    handles: Handles,
    failed: bool,
    /// Domain of its chunks.
    pub domain: DomainId,
    /// Its chunks.
    pub chunks: Vec<ChunkPlace>,
    /// Data shards.
    pub k: u8,
}

impl PlacedStripe {
    /// Waits until the disks have taken the shards (not durable), which gives their memory back.
    pub fn settle(&mut self, disks: &DiskSet) {
        for (disk, error) in self.written.settle(disks.deadline) {
            disks.failed_write(disk, &error);
            self.failed = true;
        }
    }

    /// The record that names it, once flushed.
    #[must_use]
    pub fn record(&self) -> StripeAdded {
        StripeAdded {
            segment: self.written.segment,
            offset: self.written.offset,
            shard_len: self.written.shard_len,
            hash: self.written.hash,
            domain: self.domain,
            chunks: self.chunks.clone(),
        }
    }
}

struct Slot {
    segment: OpenSegment,
    handles: Handles,
}

/// Open data segments. Locks: the list for a moment, one segment while a stripe is handed over; never both ways round.
pub struct SegmentStore {
    disks: Arc<DiskSet>,
    files: Arc<ShardFiles>,
    reader: Arc<SegmentReader>,
    ids: Arc<SegmentIds>,
    clock: Arc<dyn Clock>,
    shard_len_max: u64,
    reserve_step: u64,
    open_max: usize,
    open: Mutex<Vec<Arc<Mutex<Slot>>>>,
    news: Mutex<Vec<Record>>,
    room: Room,
}

impl SegmentStore {
    /// A store without open segments.
    #[must_use]
    pub fn new(reader: Arc<SegmentReader>, ids: Arc<SegmentIds>, clock: Arc<dyn Clock>, config: &EngineConfig) -> Self {
        let mender = reader.mender().clone();
        Self {
            room: Room::new(mender.disks.clone()),
            disks: mender.disks.clone(),
            files: mender.files.clone(),
            reader,
            ids,
            clock,
            shard_len_max: config.segment_shard_len,
            reserve_step: RESERVE_STEP.min(config.segment_shard_len / 8),
            open_max: config.open_segments.max(1),
            open: Mutex::new(Vec::new()),
            news: Mutex::new(Vec::new()),
        }
    }

    /// The disks below.
    #[must_use]
    pub fn disks(&self) -> &Arc<DiskSet> {
        &self.disks
    }

    /// Names for new segments of this life.
    #[must_use]
    pub fn ids(&self) -> &SegmentIds {
        &self.ids
    }

    /// Records about segments that must stand in the journal before any record that names their stripes.
    #[must_use]
    pub fn take_news(&self) -> Vec<Record> {
        std::mem::take(&mut *self.news.lock())
    }

    /// Whether `len` bytes of new content may begin to be stored; [`StorageError::Full`] when not.
    pub fn check_room(&self, len: usize) -> StorageResult<()> {
        let shards = u64::from(self.disks.k) + u64::from(self.disks.m);
        let each = (len as u64).div_ceil(u64::from(self.disks.k.max(1))) + 2 * BLOCK_LEN;
        self.room.take(each * shards)
    }

    /// Whether the vault was full when it was last looked at; see [`SegmentStore::check_room`] for whether it still is. Never blocks.
    #[must_use]
    pub fn was_full(&self) -> bool {
        self.room.was_full()
    }

    /// Hands one stripe of sealed chunks to the disks; not durable before [`SegmentStore::flush`]. `payload` holds the
    /// envelopes that `chunks` place; their directory is appended to it.
    pub fn append(
        &self,
        domain: DomainId,
        mut payload: Payload,
        chunks: Vec<ChunkPlace>,
    ) -> StorageResult<PlacedStripe> {
        self.check_room(payload.len())?;
        let directory = Directory { chunks: chunks.clone(), domain }.to_bytes();
        payload.extend_from_slice(&directory);
        let inner_len = u32::try_from(directory.len()).unwrap_or(u32::MAX);
        self.append_payload(domain, payload, inner_len, chunks)
    }

    /// Makes stripes durable on all their shards. Stripes whose disks failed are written again elsewhere (R4).
    pub fn flush(&self, stripes: &mut [&mut PlacedStripe]) -> StorageResult<()> {
        for stripe in stripes.iter_mut() {
            stripe.settle(&self.disks);
        }
        self.sync(stripes);
        for stripe in stripes.iter_mut() {
            let mut attempts = self.disks.slots().len() + 1;
            while self.is_doubtful(stripe) {
                if attempts == 0 {
                    return Err(StorageError::ReadOnly { reason: "every attempt to place a stripe failed".to_owned() });
                }
                attempts -= 1;
                **stripe = self.relocate(stripe)?;
                stripe.settle(&self.disks);
                self.sync(&[stripe]);
            }
        }
        Ok(())
    }

    /// Closes every open segment, for a clean end. Answers the records that say so.
    #[must_use]
    pub fn close_all(&self) -> Vec<Record> {
        for slot in std::mem::take(&mut *self.open.lock()) {
            self.note_closed(&slot.lock());
        }
        self.take_news()
    }

    /// A stripe is in doubt when a write failed or any of its disks was fenced since: a later flush proves nothing (R13).
    fn is_doubtful(&self, stripe: &PlacedStripe) -> bool {
        let fenced = |disk: &DiskId| self.disks.slot(*disk).is_none_or(|slot| slot.writable().is_none());
        stripe.failed || stripe.handles.iter().any(|(disk, _)| fenced(disk))
    }

    fn sync(&self, stripes: &[&mut PlacedStripe]) {
        let mut dirty: BTreeMap<SegmentId, &Handles> = BTreeMap::new();
        for stripe in stripes {
            dirty.insert(stripe.written.segment, &stripe.handles);
        }
        let tickets =
            dirty.values().flat_map(|handles| handles.iter().map(|(disk, file)| (*disk, file.sync()))).collect();
        for (disk, error) in wait_all(tickets, self.disks.deadline) {
            self.disks.failed_flush(disk, &error);
        }
    }

    fn relocate(&self, stripe: &PlacedStripe) -> StorageResult<PlacedStripe> {
        let written = &stripe.written;
        let opened = self.reader.shape(written.segment)?;
        let loaded = self.reader.mender().load(&opened, written.offset, Some(written.shard_len));
        let loaded = loaded.map_err(|error| match error {
            // Most of its disks took none of it: it never was.
            StorageError::Damaged { .. } if self.disks.writable().iter().any(|slot| !slot.has_room()) => {
                StorageError::Full("the disks filled up while a stripe was written; add space to them".to_owned())
            }
            other => other,
        })?;
        let loaded = loaded.ok_or_else(|| StorageError::ReadOnly {
            reason: format!("a stripe of segment {} failed on every disk", written.segment.file_name()),
        })?;
        tracing::warn!(segment = %written.segment.file_name(), offset = written.offset, "stripe written again on other disks");
        self.append_payload(stripe.domain, loaded.payload[..].into(), loaded.header.inner_len, stripe.chunks.clone())
    }

    fn append_payload(
        &self,
        domain: DomainId,
        payload: Payload,
        inner_len: u32,
        chunks: Vec<ChunkPlace>,
    ) -> StorageResult<PlacedStripe> {
        let head = StripeHead {
            kind: StripeKind::Data,
            epoch: self.ids.epoch(),
            lsn: Lsn(0),
            previous: StripeHash::ZERO,
            inner_len,
            retention_clock: 0,
            written_at: self.clock.wall_ms(),
        };
        loop {
            let lease = self.lease()?;
            let mut slot = lease.lock();
            let usable = slot.segment.is_whole() && slot.segment.has_room();
            if !usable || slot.segment.next_offset >= self.shard_len_max {
                drop(slot);
                self.retire(&lease);
                continue;
            }
            let k = slot.segment.opened.k;
            if self.room.is_ample() {
                slot.segment.reserve(disk_len(checked_shard_len(payload.len(), k)?), self.reserve_step);
            }
            let written = slot.segment.append(&self.disks, &head, payload)?;
            return Ok(PlacedStripe { written, handles: slot.handles.clone(), failed: false, domain, chunks, k });
        }
    }

    /// An open segment that nobody writes to at this moment, a new one while there may be more, else any.
    fn lease(&self) -> StorageResult<Arc<Mutex<Slot>>> {
        {
            let open = self.open.lock();
            if let Some(free) = open.iter().find(|slot| slot.try_lock().is_some()) {
                return Ok(free.clone());
            }
            if let Some(first) = open.first().filter(|_| open.len() >= self.open_max) {
                return Ok(first.clone());
            }
        }
        let segment = OpenSegment::create(&self.disks, &self.files, self.ids.next()?, StripeKind::Data)?;
        self.reader.register(&segment.opened);
        self.news.lock().push(segment.opened.clone().into());
        let handles = Arc::new(segment.handles());
        let slot = Arc::new(Mutex::new(Slot { segment, handles }));
        self.open.lock().push(slot.clone());
        Ok(slot)
    }

    fn retire(&self, lease: &Arc<Mutex<Slot>>) {
        let mut open = self.open.lock();
        let before = open.len();
        open.retain(|slot| !Arc::ptr_eq(slot, lease));
        let was_open = open.len() < before;
        drop(open);
        if was_open {
            self.note_closed(&lease.lock());
        }
    }

    fn note_closed(&self, slot: &Slot) {
        slot.segment.trim();
        let closed = SegmentClosed { segment: slot.segment.id(), len: slot.segment.next_offset };
        self.news.lock().push(closed.into());
    }
}
