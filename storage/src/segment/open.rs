//! An open segment: the one place where stripes are appended. Used for data segments, journal files and checkpoints alike.

use std::sync::Arc;
use std::time::Duration;

use kovcheg_format::id::{DiskId, SegmentId, StripeHash};
use kovcheg_format::record::segment::SegmentOpened;
use kovcheg_format::shard::{CODEC_RS_GF8, StripeKind, disk_len};
use kovcheg_policy::facts::DiskFacts;
use kovcheg_policy::placement::place;

use crate::disk::set::{DiskSet, DiskSlot};
use crate::disk::{AlignedBuf, DiskError, DiskFile, Payload, Ticket};
use crate::error::{StorageError, StorageResult};
use crate::segment::files::{self, ShardFiles, name};
use crate::segment::stripe::{StripeHead, StripePosition, build};

/// A segment that takes stripes.
pub struct OpenSegment {
    /// What the journal says of it.
    pub opened: SegmentOpened,
    /// Where the next stripe goes.
    pub next_offset: u64,
    files: Vec<(Arc<DiskSlot>, Arc<dyn DiskFile>)>,
    /// End of what was written with zeros ahead of need.
    prewritten: u64,
    /// End of what was reserved ahead of need.
    reserved: u64,
}

/// A stripe on its way to the disks.
pub struct WrittenStripe {
    /// Segment.
    pub segment: SegmentId,
    /// Offset in its files.
    pub offset: u64,
    /// Data bytes of each shard.
    pub shard_len: u32,
    /// Its name.
    pub hash: StripeHash,
    /// Bytes on each disk.
    pub disk_len: u64,
    /// Answers outstanding, one per shard.
    pub tickets: Vec<(DiskId, Ticket<()>)>,
}

/// Disks on which an operation failed, with the first cause.
pub type Failures = Vec<(DiskId, DiskError)>;

impl WrittenStripe {
    /// Waits for every shard. Answers the disks that failed; nothing is durable yet.
    pub fn settle(&mut self, deadline: Duration) -> Failures {
        let mut failures = Failures::new();
        for (disk, ticket) in self.tickets.drain(..) {
            if let Err(error) = ticket.wait(deadline) {
                failures.push((disk, error));
            }
        }
        failures
    }
}

impl OpenSegment {
    /// Chooses disks and makes the segment's files, durable by name on return. Disks that fail are fenced and the choice is
    /// made again without them; [`StorageError::ReadOnly`] when too few are left (R4), [`StorageError::Exhausted`] when the process
    /// has no descriptors for the files, which then are not there.
    pub fn create(disks: &DiskSet, files: &ShardFiles, segment: SegmentId, kind: StripeKind) -> StorageResult<Self> {
        // Each attempt but the last fences a disk.
        for _ in 0..=disks.slots().len() {
            let chosen = choose(disks, segment, kind)?;
            let mut made = Vec::with_capacity(chosen.len());
            let mut failed = false;
            for slot in &chosen {
                match create_file(slot, segment, kind) {
                    Ok(file) => made.push((slot.clone(), file)),
                    Err(error) if error.is_shortage() => {
                        remove_files(&made, segment, kind);
                        return Err(StorageError::Exhausted(error));
                    }
                    Err(error) => {
                        disks.failed_write(slot.id, &error);
                        failed = true;
                    }
                }
            }
            if failed {
                remove_files(&made, segment, kind);
                continue;
            }
            for (slot, file) in &made {
                files.put(slot.id, segment, file.clone());
            }
            let k = u8::try_from(made.len().saturating_sub(usize::from(disks.m))).unwrap_or(u8::MAX);
            let opened = SegmentOpened {
                segment,
                kind,
                k,
                m: disks.m,
                codec: CODEC_RS_GF8,
                disks: made.iter().map(|(slot, _)| slot.id).collect(),
                tier: 0,
                jurisdiction: 0,
            };
            return Ok(Self { opened, next_offset: 0, files: made, prewritten: 0, reserved: 0 });
        }
        Err(StorageError::ReadOnly { reason: format!("no disks take segment {}", segment.file_name()) })
    }

    /// The segment's name.
    #[must_use]
    pub fn id(&self) -> SegmentId {
        self.opened.segment
    }

    /// Whether every disk of the segment still takes writes.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.files.iter().all(|(slot, _)| slot.writable().is_some())
    }

    /// Whether every disk of the segment has room for more.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.files.iter().all(|(slot, _)| slot.has_room())
    }

    /// Starts the writes of one stripe at the end of the segment.
    pub fn append(&mut self, disks: &DiskSet, head: &StripeHead, payload: Payload) -> StorageResult<WrittenStripe> {
        let position = StripePosition {
            pool: disks.pool,
            segment: self.id(),
            offset: self.next_offset,
            k: self.opened.k,
            m: self.opened.m,
        };
        let built = build(head, &position, payload)?;
        let tickets = self
            .files
            .iter()
            .zip(built.shards)
            .map(|((slot, file), shard)| (slot.id, file.write_pieces(position.offset, shard)))
            .collect();
        let disk_len = disk_len(built.shard_len);
        self.next_offset += disk_len;
        Ok(WrittenStripe {
            segment: position.segment,
            offset: position.offset,
            shard_len: built.shard_len,
            hash: built.hash,
            disk_len,
            tickets,
        })
    }

    /// Writes zeros ahead of the end in steps of `step` bytes, so that the flush of a commit changes no file size (R19). Answers
    /// the disks that failed.
    pub fn prewrite(&mut self, upcoming: u64, step: u64, deadline: Duration) -> Failures {
        if step == 0 || self.next_offset + upcoming <= self.prewritten {
            return Failures::new();
        }
        let end = (self.next_offset + upcoming).next_multiple_of(step);
        let len = usize::try_from(end - self.prewritten).unwrap_or(0);
        let zeros = Arc::new(AlignedBuf::zeroed(len));
        let tickets: Vec<_> =
            self.files.iter().map(|(slot, file)| (slot.id, file.write(self.prewritten, zeros.clone()))).collect();
        self.prewritten = end;
        wait_all(tickets, deadline)
    }

    /// Reserves space ahead of the end in steps of `step` bytes (R20): a write that grows its file takes the file's lock and a
    /// thread of the kernel's, one into reserved space does not.
    pub fn reserve(&mut self, upcoming: u64, step: u64) {
        if step == 0 || self.next_offset + upcoming <= self.reserved {
            return;
        }
        self.reserved = (self.next_offset + upcoming).next_multiple_of(step);
        for (_, file) in &self.files {
            file.reserve(self.reserved);
        }
    }

    /// Gives back what was reserved behind the end. Writes in flight are not touched.
    pub fn trim(&self) {
        if self.reserved <= self.next_offset {
            return;
        }
        for (slot, file) in self.files.iter().filter(|(slot, _)| slot.writable().is_some()) {
            if let Err(error) = file.set_len(self.next_offset) {
                tracing::warn!(disk = %slot.label, segment = %self.id(), %error, "reserved space is not given back before the next start");
            }
        }
    }

    /// Flushes all shard files side by side. What was settled before is durable on every disk that is not in the answer.
    pub fn flush(&self, deadline: Duration) -> Failures {
        let tickets: Vec<_> = self.files.iter().map(|(slot, file)| (slot.id, file.sync())).collect();
        wait_all(tickets, deadline)
    }

    /// Handles for a flush without holding the segment's lock.
    #[must_use]
    pub fn handles(&self) -> Vec<(DiskId, Arc<dyn DiskFile>)> {
        self.files.iter().map(|(slot, file)| (slot.id, file.clone())).collect()
    }
}

/// Waits for operations on several disks and answers those that failed.
#[must_use]
pub fn wait_all(tickets: Vec<(DiskId, Ticket<()>)>, deadline: Duration) -> Failures {
    let mut failures = Failures::new();
    for (disk, ticket) in tickets {
        if let Err(error) = ticket.wait(deadline) {
            failures.push((disk, error));
        }
    }
    failures
}

/// Disks without room get no data; records go to them when too few others are left (R4).
fn choose(disks: &DiskSet, segment: SegmentId, kind: StripeKind) -> StorageResult<Vec<Arc<DiskSlot>>> {
    let roomy = choose_among(disks, segment, |slot| slot.has_room());
    if roomy.is_ok() || disks.writable().iter().all(|slot| slot.has_room()) {
        return roomy;
    }
    if kind == StripeKind::Data {
        return Err(StorageError::Full("too few disks have room for a new segment; add space to them".to_owned()));
    }
    choose_among(disks, segment, |_| true)
}

fn choose_among(
    disks: &DiskSet,
    segment: SegmentId,
    may: impl Fn(&DiskSlot) -> bool,
) -> StorageResult<Vec<Arc<DiskSlot>>> {
    let facts: Vec<DiskFacts> = disks
        .slots()
        .iter()
        .map(|slot| DiskFacts {
            id: slot.id,
            free: slot.writable().and_then(|disk| disk.space().ok()).map_or(0, |space| space.free),
            failure_domain: slot.failure_domain.clone(),
            serving: slot.writable().is_some() && may(slot),
        })
        .collect();
    let chosen = place(&facts, disks.k, disks.m, segment.0)
        .map_err(|reason| StorageError::ReadOnly { reason: format!("{reason}: {}", disks.complaints()) })?;
    Ok(chosen.iter().filter_map(|id| disks.slot(*id).cloned()).collect())
}

fn create_file(slot: &DiskSlot, segment: SegmentId, kind: StripeKind) -> Result<Arc<dyn DiskFile>, DiskError> {
    let Some(disk) = slot.writable() else { return Err(DiskError::Closed { disk: slot.label.clone() }) };
    files::create(disk.as_ref(), kind, segment)
}

fn remove_files(made: &[(Arc<DiskSlot>, Arc<dyn DiskFile>)], segment: SegmentId, kind: StripeKind) {
    for (slot, _) in made {
        if let Some(Err(error)) = slot.writable().map(|disk| disk.remove(&name(kind, segment))) {
            tracing::warn!(disk = %slot.label, %segment, %error, "an empty shard file stays behind");
        }
    }
}
