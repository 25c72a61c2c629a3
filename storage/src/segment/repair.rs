//! The careful path: load a whole stripe from whatever shards are left, prove it, and put lost shards back (E-1, R13).
//!
//! Needs no key: shards carry CRC64s bound to their place, and the stripe's hash names its payload.

use std::sync::Arc;

use kovcheg_format::id::SegmentId;
use kovcheg_format::record::pool::DiskState;
use kovcheg_format::record::segment::SegmentOpened;
use kovcheg_format::shard::{ShardFront, ShardHeader, StripeKind, disk_len, stripe_hash};
use kovcheg_format::units::BLOCK_LEN;

use crate::disk::set::{DiskSet, DiskSlot};
use crate::disk::{AlignedBuf, DiskError, DiskFile, DiskResult, Pieces, Ticket};
use crate::erasure::code::Code;
use crate::error::{StorageError, StorageResult};
use crate::segment::files::{self, ShardFiles};
use crate::segment::stripe::{StripeHead, StripePosition, build, join};

/// Ways in which a stripe whose shards do not fit together is tried: all pairs of eleven shards.
const ATTEMPTS_MAX: usize = 67;

/// A stripe that was put together and proved.
#[derive(Debug, Clone)]
pub struct LoadedStripe {
    /// Header of its shards, but for their index.
    pub header: ShardHeader,
    /// Its payload.
    pub payload: Arc<Vec<u8>>,
    /// Indices of shards that are lost or rotten.
    pub lost: Vec<usize>,
}

/// Reads and mends stripes.
pub struct Mender {
    /// The disks.
    pub disks: Arc<DiskSet>,
    /// Handles.
    pub files: Arc<ShardFiles>,
    /// Whether lost shards may be put back: not on a pool with too few disks to be written (R15).
    pub may_repair: bool,
}

struct Candidate {
    front: ShardFront,
    data: Vec<u8>,
}

impl Mender {
    /// Loads the stripe at `offset`. `shard_len` is looked up in the shards' headers when not known. Answers `None` when no
    /// shard has a sound header there; [`StorageError::Damaged`] when some have but fewer than k are whole.
    pub fn load(
        &self,
        opened: &SegmentOpened,
        offset: u64,
        shard_len: Option<u32>,
    ) -> StorageResult<Option<LoadedStripe>> {
        self.load_where(opened, offset, shard_len, &|_| true)
    }

    /// [`Mender::load`] of a stripe that the caller knows when it sees it: where shards of several writes lie at one place, each
    /// that has k of them is tried, the one with most shards first. What is refused is as good as not there.
    pub fn load_where(
        &self,
        opened: &SegmentOpened,
        offset: u64,
        shard_len: Option<u32>,
        accept: Accept<'_>,
    ) -> StorageResult<Option<LoadedStripe>> {
        let lens = shard_len.map_or_else(|| self.probe_lens(opened, offset), |len| vec![len]);
        let mut damage = None;
        for len in lens {
            match self.load_len(opened, offset, len, accept) {
                Ok(None) => {}
                Err(error @ StorageError::Damaged { .. }) => damage = damage.or(Some(error)),
                loaded => return loaded,
            }
        }
        if opened.kind == StripeKind::Journal
            && let Some(stripe) = self.load_spare(opened, offset, accept)?
        {
            return Ok(Some(stripe));
        }
        damage.map_or(Ok(None), Err)
    }

    fn load_len(
        &self,
        opened: &SegmentOpened,
        offset: u64,
        shard_len: u32,
        accept: Accept<'_>,
    ) -> StorageResult<Option<LoadedStripe>> {
        let mut shards: Vec<Option<Candidate>> = Vec::with_capacity(opened.disks.len());
        let mut details = Vec::new();
        for (index, slot, read) in self.read_all(opened, offset, shard_len) {
            if let Err(error) = &read
                && error.is_shortage()
            {
                return Err(StorageError::Exhausted(error.clone()));
            }
            match read.map_err(|error| error.to_string()).and_then(|bytes| self.examine(opened, offset, index, &bytes))
            {
                Ok(candidate) => shards.push(Some(candidate)),
                Err(reason) => {
                    if let Some(slot) = slot.as_ref().filter(|slot| counts_bad_ranges(slot)) {
                        slot.count_bad_range();
                    }
                    details.push(format!("shard {index}: {reason}"));
                    shards.push(None);
                }
            }
        }
        let headers = by_votes(shards.iter().flatten().map(|shard| shard.front.header));
        if headers.is_empty() && details.is_empty() {
            return Ok(None);
        }
        let most = headers.first().map_or(0, |(_, votes)| *votes);
        if headers.len() > 1 {
            details.push(format!("shards of {} different stripes lie there", headers.len()));
        }
        for (header, _) in headers.iter().filter(|(_, votes)| *votes >= usize::from(opened.k)) {
            if let Some(stripe) = assemble(opened, header, &shards, accept)? {
                return Ok(Some(stripe));
            }
        }
        if most >= usize::from(opened.k) {
            details.push("the shards agree with their checksums but not with the stripe's hash or seal".to_owned());
        }
        Err(damaged(opened, offset, shards.len() - most, details))
    }

    /// Puts lost shards back on disks that take repairs; durable on return. Answers how many shards still lack.
    pub fn write_back(&self, opened: &SegmentOpened, stripe: &LoadedStripe) -> StorageResult<usize> {
        Ok(self.restore(opened, stripe)?.len())
    }

    /// [`Mender::write_back`] that answers the indices of the shards that still lack.
    pub fn restore(&self, opened: &SegmentOpened, stripe: &LoadedStripe) -> StorageResult<Vec<usize>> {
        if stripe.lost.is_empty() || !self.may_repair {
            return Ok(stripe.lost.clone());
        }
        let header = &stripe.header;
        let head = StripeHead {
            kind: header.kind,
            epoch: header.epoch,
            lsn: header.lsn,
            previous: header.previous,
            inner_len: header.inner_len,
            retention_clock: header.retention_clock,
            written_at: header.written_at,
        };
        let position = StripePosition {
            pool: header.pool,
            segment: header.segment,
            offset: header.offset,
            k: header.k,
            m: header.m,
        };
        let built = build(&head, &position, stripe.payload[..].into())?;
        let mut lacking = Vec::new();
        for index in &stripe.lost {
            let slot = opened.disks.get(*index).and_then(|disk| self.disks.slot(*disk));
            let repaired = match (slot, built.shards.get(*index)) {
                (Some(slot), Some(shard)) => self.restore_shard(slot, opened, header.offset, shard.clone()),
                _ => false,
            };
            if !repaired {
                lacking.push(*index);
            }
        }
        Ok(lacking)
    }

    fn restore_shard(&self, slot: &DiskSlot, opened: &SegmentOpened, offset: u64, shard: Pieces) -> bool {
        if slot.repairable().is_none() {
            return false;
        }
        let written = self.writable_file(slot, opened).and_then(|file| {
            file.write_pieces(offset, shard).wait(self.disks.deadline)?;
            file.sync().wait(self.disks.deadline)
        });
        match written {
            Ok(()) => {
                slot.count_repaired();
                tracing::info!(disk = %slot.label, segment = %opened.segment.file_name(), offset, "shard written back");
                true
            }
            Err(error) => {
                self.disks.failed_write(slot.id, &error);
                false
            }
        }
    }

    fn writable_file(&self, slot: &DiskSlot, opened: &SegmentOpened) -> DiskResult<Arc<dyn DiskFile>> {
        match self.files.get(slot, opened.kind, opened.segment) {
            Err(DiskError::NotFound { .. }) => {}
            other => return other,
        }
        let Some(disk) = slot.repairable() else { return Err(DiskError::Closed { disk: slot.label.clone() }) };
        let file = files::create(disk.as_ref(), opened.kind, opened.segment)?;
        self.files.put(slot.id, opened.segment, file.clone());
        Ok(file)
    }

    /// Lengths of the shards at `offset` by the word of those with a sound header, that of most shards first.
    fn probe_lens(&self, opened: &SegmentOpened, offset: u64) -> Vec<u32> {
        let block = usize::try_from(BLOCK_LEN).unwrap_or(4096);
        let fronts = self.read_len(opened, offset, block).into_iter().filter_map(|(index, _, read)| {
            let front = ShardFront::decode(&read.ok()?).ok()?;
            self.belongs(opened, offset, index, &front.header).then_some(front.header)
        });
        let mut lens = Vec::new();
        for (header, _) in by_votes(fronts) {
            if !lens.contains(&header.shard_len) {
                lens.push(header.shard_len);
            }
        }
        lens
    }

    /// The header of a shard at `offset` of a segment's file on one disk, when header and data are sound and of that place.
    #[must_use]
    pub fn sound_shard(
        &self,
        slot: &DiskSlot,
        kind: StripeKind,
        segment: SegmentId,
        offset: u64,
    ) -> Option<ShardHeader> {
        let file = self.files.get(slot, kind, segment).ok()?;
        let block = usize::try_from(BLOCK_LEN).unwrap_or(4096);
        let front = ShardFront::decode(&self.disks.wait_for(Some(slot), file.read(offset, block)).ok()?).ok()?;
        let head = front.header;
        if (head.pool, head.segment, head.offset, head.kind) != (self.disks.pool, segment, offset, kind) {
            return None;
        }
        let whole = usize::try_from(head.disk_len()).ok()?;
        let bytes = self.disks.wait_for(Some(slot), file.read(offset, whole)).ok()?;
        let data = bytes.get(head.data_offset()..)?.get(..head.shard_len as usize)?;
        front.data_is_sound(data).then_some(head)
    }

    /// Length of the longest shard file of a segment.
    #[must_use]
    pub fn longest(&self, opened: &SegmentOpened) -> u64 {
        let slots = opened.disks.iter().filter_map(|disk| self.disks.slot(*disk));
        slots.filter_map(|slot| self.files.get(slot, opened.kind, opened.segment).ok()?.len().ok()).max().unwrap_or(0)
    }

    fn read_all(&self, opened: &SegmentOpened, offset: u64, shard_len: u32) -> Vec<ShardRead> {
        self.read_len(opened, offset, usize::try_from(disk_len(shard_len)).unwrap_or(usize::MAX))
    }

    fn read_len(&self, opened: &SegmentOpened, offset: u64, len: usize) -> Vec<ShardRead> {
        let started: Vec<_> = opened
            .disks
            .iter()
            .enumerate()
            .map(|(index, disk)| {
                let slot = self.disks.slot(*disk).cloned();
                let ticket = match &slot {
                    None => Err(DiskError::Closed { disk: disk.to_string() }),
                    Some(slot) => self.files.get(slot, opened.kind, opened.segment).map(|file| file.read(offset, len)),
                };
                (index, slot, ticket)
            })
            .collect();
        let wait = |(index, slot, ticket): (usize, Option<Arc<DiskSlot>>, DiskResult<Ticket<AlignedBuf>>)| {
            let answer = ticket.and_then(|ticket| self.disks.wait_for(slot.as_deref(), ticket));
            (index, slot, answer)
        };
        started.into_iter().map(wait).collect()
    }

    fn belongs(&self, opened: &SegmentOpened, offset: u64, index: usize, header: &ShardHeader) -> bool {
        header.pool == self.disks.pool
            && header.segment == opened.segment
            && header.offset == offset
            && usize::from(header.index) == index
            && (header.k, header.m, header.kind) == (opened.k, opened.m, opened.kind)
    }

    fn examine(&self, opened: &SegmentOpened, offset: u64, index: usize, bytes: &[u8]) -> Result<Candidate, String> {
        let front = ShardFront::decode(bytes).map_err(|error| error.to_string())?;
        if !self.belongs(opened, offset, index, &front.header) {
            return Err("the header belongs to another place".to_owned());
        }
        let start = front.header.data_offset();
        let data = bytes.get(start..start + front.header.shard_len as usize).ok_or("the shard ends early")?;
        if !front.data_is_sound(data) {
            return Err("a data block does not match its checksum".to_owned());
        }
        Ok(Candidate { data: data.to_vec(), front })
    }
}

/// Whether a stripe that was put together is the one that is looked for.
pub type Accept<'a> = &'a dyn Fn(&LoadedStripe) -> bool;

type ShardRead = (usize, Option<Arc<DiskSlot>>, DiskResult<AlignedBuf>);

/// Whether what is unreadable on a disk speaks against it: not while it is being caught up, as it then lacks what it never got.
fn counts_bad_ranges(slot: &DiskSlot) -> bool {
    slot.readable().is_some() && slot.state() != DiskState::Returning
}

/// Headers that differ in more than the shard's index, with how many shards have each, the most frequent first. Shards of different
/// writes may lie at one place after a crash, and a disk may have been edited.
pub(crate) fn by_votes(headers: impl Iterator<Item = ShardHeader>) -> Vec<(ShardHeader, usize)> {
    let mut votes: Vec<(ShardHeader, usize)> = Vec::new();
    for header in headers.map(|header| ShardHeader { index: 0, ..header }) {
        match votes.iter_mut().find(|(known, _)| *known == header) {
            Some((_, count)) => *count += 1,
            None => votes.push((header, 1)),
        }
    }
    votes.sort_by_key(|(header, count)| std::cmp::Reverse((*count, header.epoch, header.hash)));
    votes
}

/// Puts together the stripe of the shards with this header. A shard whose checksums were made to fit something else shows only in
/// the stripe's hash: then it is tried without each shard, and without each two.
fn assemble(
    opened: &SegmentOpened,
    header: &ShardHeader,
    shards: &[Option<Candidate>],
    accept: Accept<'_>,
) -> StorageResult<Option<LoadedStripe>> {
    let agrees = |shard: &&Candidate| ShardHeader { index: 0, ..shard.front.header } == *header;
    let there: Vec<usize> = (0..shards.len())
        .filter(|index| shards.get(*index).and_then(Option::as_ref).filter(agrees).is_some())
        .collect();
    let spare = there.len().saturating_sub(usize::from(opened.k));
    let one = there.iter().filter(|_| spare >= 1).map(|out| vec![*out]);
    let two = there
        .iter()
        .enumerate()
        .filter(|_| spare >= 2)
        .flat_map(|(at, first)| there.iter().skip(at + 1).map(|second| vec![*first, *second]));
    for without in std::iter::once(Vec::new()).chain(one).chain(two).take(ATTEMPTS_MAX) {
        let used = |index: &usize| there.contains(index) && !without.contains(index);
        let lost: Vec<usize> = (0..shards.len()).filter(|index| !used(index)).collect();
        let data = shards
            .iter()
            .enumerate()
            .map(|(index, shard)| shard.as_ref().filter(|_| used(&index)).map(|shard| shard.data.as_slice()));
        if let Some(payload) = join_shards(opened, header, &data.collect::<Vec<_>>())? {
            let stripe = LoadedStripe { header: *header, payload: Arc::new(payload), lost };
            return Ok(accept(&stripe).then_some(stripe));
        }
    }
    Ok(None)
}

/// The payload, if it has the name in its header.
fn join_shards(
    opened: &SegmentOpened,
    header: &ShardHeader,
    shards: &[Option<&[u8]>],
) -> StorageResult<Option<Vec<u8>>> {
    let data = shards.get(..usize::from(opened.k)).unwrap_or_default();
    let len = usize::try_from(header.payload_len).unwrap_or(0);
    let payload = if data.iter().all(Option::is_some) {
        join(&data.iter().flatten().copied().collect::<Vec<_>>(), len)
    } else {
        let mut all: Vec<Option<Vec<u8>>> = shards.iter().map(|shard| shard.map(<[u8]>::to_vec)).collect();
        Code::get(opened.k, opened.m)?.reconstruct(&mut all)?;
        let data = all.iter().take(opened.k.into());
        join(&data.map(|shard| shard.as_deref().unwrap_or(&[])).collect::<Vec<_>>(), len)
    };
    let hash = stripe_hash(header.kind, header.epoch, header.lsn, header.previous, &payload, header.inner_len);
    Ok((hash == header.hash).then_some(payload))
}

fn damaged(opened: &SegmentOpened, offset: u64, lost: usize, details: Vec<String>) -> StorageError {
    StorageError::Damaged {
        segment: opened.segment,
        offset,
        lost,
        width: opened.disks.len(),
        detail: details.join("; "),
    }
}
