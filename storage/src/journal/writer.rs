//! Appends journal stripes: one in flight at a time, durable on all shards before the next begins (R1, R4).

use std::sync::Arc;
use std::time::Duration;

use kovcheg_format::Encode;
use kovcheg_format::frame::{Frame, associated_data};
use kovcheg_format::id::{Lsn, StripeHash};
use kovcheg_format::record::Record;
use kovcheg_format::record::segment::SegmentClosed;
use kovcheg_format::shard::{StripeKind, disk_len};

use crate::clock::Clock;
use crate::config::EngineConfig;
use crate::disk::{DiskError, Payload};
use crate::error::{StorageError, StorageResult};
use crate::journal::apply::StripePlace;
use crate::journal::retention_clock::RetentionClock;
use crate::keys::keyring::MetadataCipher;
use crate::segment::open::OpenSegment;
use crate::segment::reader::SegmentReader;
use crate::segment::store::SegmentIds;
use crate::segment::stripe::{StripeHead, checked_shard_len};

/// How long the journal waits for descriptors, and how often.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(100);
/// Ten minutes.
const SHORTAGES_MAX: u32 = 6_000;

/// A journal stripe that is durable on all its shards, and the records it really holds.
pub struct WrittenFrame {
    /// Where it lies.
    pub place: StripePlace,
    /// The records handed in, after those the writer had to put before them.
    pub records: Vec<Record>,
    /// Bytes it takes on each disk.
    pub disk_len: u64,
}

/// The end of the journal. Owned by the sequencer's thread.
pub struct JournalWriter {
    reader: Arc<SegmentReader>,
    ids: Arc<SegmentIds>,
    clock: Arc<dyn Clock>,
    retention: Arc<RetentionClock>,
    cipher: Arc<MetadataCipher>,
    shard_len_max: u64,
    prewrite: u64,
    file: Option<OpenSegment>,
    last: (Lsn, StripeHash),
    /// Whether the file holds an attempt that failed and must not be written to again.
    given_up: bool,
}

impl JournalWriter {
    /// A writer that goes on after the stripe `last`. It never resumes a file: the first stripe opens a new one (R3).
    #[must_use]
    pub fn new(
        reader: Arc<SegmentReader>,
        ids: Arc<SegmentIds>,
        (clock, retention): (Arc<dyn Clock>, Arc<RetentionClock>),
        cipher: Arc<MetadataCipher>,
        config: &EngineConfig,
        last: (Lsn, StripeHash),
    ) -> Self {
        Self {
            reader,
            ids,
            clock,
            retention,
            cipher,
            shard_len_max: config.journal_shard_len,
            prewrite: config.journal_prewrite,
            file: None,
            last,
            given_up: false,
        }
    }

    /// The position the next stripe will have.
    #[must_use]
    pub fn next_lsn(&self) -> Lsn {
        self.last.0.next()
    }

    /// The newest durable stripe.
    #[must_use]
    pub fn last(&self) -> (Lsn, StripeHash) {
        self.last
    }

    /// Bytes that the next stripe starts at in its file, and the file: where a checkpoint of the index would resume.
    #[must_use]
    pub fn end(&self) -> Option<(kovcheg_format::id::SegmentId, u64)> {
        self.file.as_ref().map(|file| (file.id(), file.next_offset))
    }

    /// Writes `records` and the inline envelopes they name as the next stripe; durable on all its shards on return (W-1).
    /// When a disk fails, it is fenced and the stripe goes to a new file on the others, narrower if need be (R4). An error
    /// means that too few disks are left: nothing was acknowledged, and the journal can go no further in this life.
    pub fn append(&mut self, records: &[Record], inline: &[u8]) -> StorageResult<WrittenFrame> {
        // Each attempt that fails does without one more disk.
        for _ in 0..=self.reader.mender().disks.slots().len() {
            if let Some(written) = self.try_append(records, inline)? {
                self.last = (written.place.lsn, written.place.hash);
                return Ok(written);
            }
        }
        let disks = &self.reader.mender().disks;
        if disks.writable().iter().any(|slot| !slot.has_room()) {
            return Err(StorageError::Full(
                "the disks have no room left even for records; add space to them".to_owned(),
            ));
        }
        Err(StorageError::ReadOnly { reason: format!("no disks take the journal: {}", disks.complaints()) })
    }

    fn try_append(&mut self, records: &[Record], inline: &[u8]) -> StorageResult<Option<WrittenFrame>> {
        let mut all = self.roll_if_needed()?;
        all.extend_from_slice(records);
        let frame = Frame { records: all };
        let lsn = self.next_lsn();
        let disks = self.reader.mender().disks.clone();
        let retention_clock = self.retention.now().time;
        let aad = associated_data(disks.pool, self.ids.epoch(), lsn, self.last.1, retention_clock);
        let mut payload = Payload::from(&self.cipher.seal(&aad, &frame.to_bytes())[..]);
        let inner_len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        payload.extend_from_slice(inline);
        let head = StripeHead {
            kind: StripeKind::Journal,
            epoch: self.ids.epoch(),
            lsn,
            previous: self.last.1,
            inner_len,
            retention_clock,
            written_at: self.clock.wall_ms(),
        };
        let Some(file) = self.file.as_mut() else {
            return Err(StorageError::ReadOnly { reason: "no journal file is open".to_owned() });
        };
        let upcoming = disk_len(checked_shard_len(payload.len(), file.opened.k)?);
        let mut failures = file.prewrite(upcoming, self.prewrite, disks.deadline);
        // No room ahead of need is no failure: a full vault still writes the records of deletes.
        failures.retain(|(_, error)| !matches!(error, DiskError::Full { .. }));
        let mut written = file.append(&disks, &head, payload)?;
        failures.extend(written.settle(disks.deadline));
        for (disk, error) in &failures {
            disks.failed_write(*disk, error);
        }
        let mut failed = !failures.is_empty();
        if !failed {
            let failures = file.flush(disks.deadline);
            for (disk, error) in &failures {
                disks.failed_flush(*disk, error);
            }
            // A disk that another thread fenced meanwhile lost what this flush should have covered, whatever it answered (R13).
            failed = !failures.is_empty() || !file.is_whole();
        }
        if failed {
            // The file ends before the stripe that failed, and no more is written to it.
            file.next_offset = written.offset;
            self.given_up = true;
            return Ok(None);
        }
        let place = StripePlace {
            segment: written.segment,
            offset: written.offset,
            shard_len: written.shard_len,
            inner_len,
            lsn,
            epoch: self.ids.epoch(),
            hash: written.hash,
            retention_clock,
        };
        Ok(Some(WrittenFrame { place, records: frame.records, disk_len: written.disk_len }))
    }

    /// Opens a new journal file when there is none, the current one is full, or one of its disks takes no more writes. Answers
    /// the records that say so; they go first into the first stripe of the new file.
    fn roll_if_needed(&mut self) -> StorageResult<Vec<Record>> {
        let usable = self.file.as_ref().is_some_and(|file| file.is_whole() && file.next_offset < self.shard_len_max);
        if usable && !self.given_up {
            return Ok(self.pending_news());
        }
        let next = self.open_file()?;
        self.given_up = false;
        self.reader.register(&next.opened);
        let old = self.file.replace(next);
        let closed = old.map(|old| SegmentClosed { segment: old.id(), len: old.next_offset });
        let mut news: Vec<Record> = closed.into_iter().map(Record::from).collect();
        news.extend(self.pending_news());
        Ok(news)
    }

    /// Makes the next journal file. All commits wait where the process has no descriptors for it, as giving up would end this life.
    fn open_file(&self) -> StorageResult<OpenSegment> {
        let mender = self.reader.mender();
        let mut attempt = 0;
        loop {
            match OpenSegment::create(&mender.disks, &mender.files, self.ids.next()?, StripeKind::Journal) {
                Err(StorageError::Exhausted(error)) if attempt < SHORTAGES_MAX => {
                    if attempt == 0 {
                        tracing::error!(%error, "commits wait: the journal needs descriptors for its next file");
                    }
                    attempt += 1;
                    std::thread::sleep(SHORTAGE_PAUSE);
                }
                other => return other,
            }
        }
    }

    /// The record that opens the current file, as long as no stripe of it is durable.
    fn pending_news(&self) -> Vec<Record> {
        let fresh = self.file.as_ref().filter(|file| file.next_offset == 0);
        fresh.map(|file| file.opened.clone().into()).into_iter().collect()
    }
}
