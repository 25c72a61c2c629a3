//! The careful path: load a whole stripe from whatever shards are left, prove it, and put lost shards back (E-1, R13).
//!
//! Needs no key: shards carry CRC64s bound to their place, and the stripe's hash names its payload.

use std::collections::HashMap;
use std::sync::Arc;

use kovcheg_format::id::StripeHash;
use kovcheg_format::record::segment::SegmentOpened;
use kovcheg_format::shard::{ShardFront, ShardHeader, disk_len, stripe_hash};
use kovcheg_format::units::BLOCK_LEN;

use crate::disk::set::{DiskSet, DiskSlot};
use crate::disk::{AlignedBuf, DiskError, DiskFile, DiskResult, Pieces};
use crate::erasure::code::Code;
use crate::error::{StorageError, StorageResult};
use crate::segment::files::{self, ShardFiles};
use crate::segment::stripe::{StripeHead, StripePosition, build, join};

/// A stripe that was put together and proved.
#[derive(Debug, Clone)]
pub struct LoadedStripe {
    /// Header of its shards (with the index of one of them).
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
        let Some(shard_len) = shard_len.or_else(|| self.probe_len(opened, offset)) else { return Ok(None) };
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
                    if let Some(slot) = slot.as_ref().filter(|slot| slot.readable().is_some()) {
                        slot.count_bad_range();
                    }
                    details.push(format!("shard {index}: {reason}"));
                    shards.push(None);
                }
            }
        }
        keep_majority(&mut shards, &mut details);
        self.assemble(opened, offset, shards, details)
    }

    fn assemble(
        &self,
        opened: &SegmentOpened,
        offset: u64,
        shards: Vec<Option<Candidate>>,
        details: Vec<String>,
    ) -> StorageResult<Option<LoadedStripe>> {
        let k = usize::from(opened.k);
        let whole = shards.iter().flatten().count();
        let Some(header) = shards.iter().flatten().next().map(|shard| shard.front.header) else {
            return if details.is_empty() { Ok(None) } else { Err(damaged(opened, offset, shards.len(), details)) };
        };
        if whole < k {
            return Err(damaged(opened, offset, shards.len() - whole, details));
        }
        let lost: Vec<usize> =
            shards.iter().enumerate().filter(|(_, shard)| shard.is_none()).map(|(index, _)| index).collect();
        let mut data: Vec<Option<Vec<u8>>> = shards.into_iter().map(|shard| shard.map(|shard| shard.data)).collect();
        if lost.iter().any(|index| *index < k) {
            Code::get(opened.k, opened.m)?.reconstruct(&mut data)?;
        }
        let pieces: Vec<&[u8]> = data.iter().take(k).map(|shard| shard.as_deref().unwrap_or(&[])).collect();
        let len = usize::try_from(header.payload_len).unwrap_or(0);
        let payload = join(&pieces, len);
        if stripe_hash(header.kind, header.epoch, header.lsn, header.previous, &payload, header.inner_len)
            != header.hash
        {
            let detail = vec!["the shards agree with their checksums but not with the stripe's hash".to_owned()];
            return Err(damaged(opened, offset, lost.len(), detail));
        }
        Ok(Some(LoadedStripe { header, payload: Arc::new(payload), lost }))
    }

    /// Puts lost shards back on disks that take repairs; durable on return. Answers how many shards still lack.
    pub fn write_back(&self, opened: &SegmentOpened, stripe: &LoadedStripe) -> StorageResult<usize> {
        if stripe.lost.is_empty() || !self.may_repair {
            return Ok(stripe.lost.len());
        }
        let header = &stripe.header;
        let head = StripeHead {
            kind: header.kind,
            epoch: header.epoch,
            lsn: header.lsn,
            previous: header.previous,
            inner_len: header.inner_len,
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
        let mut lacking = 0;
        for index in &stripe.lost {
            let slot = opened.disks.get(*index).and_then(|disk| self.disks.slot(*disk));
            let repaired = match (slot, built.shards.get(*index)) {
                (Some(slot), Some(shard)) => self.restore_shard(slot, opened, header.offset, shard.clone()),
                _ => false,
            };
            lacking += usize::from(!repaired);
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

    /// Length of the shards at `offset` by the word of any shard with a sound header.
    fn probe_len(&self, opened: &SegmentOpened, offset: u64) -> Option<u32> {
        let block = usize::try_from(BLOCK_LEN).unwrap_or(4096);
        let mut votes: HashMap<u32, usize> = HashMap::new();
        for (index, _, read) in self.read_len(opened, offset, block) {
            let front = read.ok().and_then(|bytes| ShardFront::decode(&bytes).ok());
            if let Some(front) = front.filter(|front| self.belongs(opened, offset, index, &front.header)) {
                *votes.entry(front.header.shard_len).or_default() += 1;
            }
        }
        votes.into_iter().max_by_key(|(len, count)| (*count, *len)).map(|(len, _)| len)
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
        started
            .into_iter()
            .map(|(index, slot, ticket)| (index, slot, ticket.and_then(|ticket| ticket.wait(self.disks.deadline))))
            .collect()
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

type ShardRead = (usize, Option<Arc<DiskSlot>>, DiskResult<AlignedBuf>);

/// Shards of different writes may lie at one place after a crash: only those of the most common hash are kept.
fn keep_majority(shards: &mut [Option<Candidate>], details: &mut Vec<String>) {
    let mut votes: HashMap<StripeHash, usize> = HashMap::new();
    for shard in shards.iter().flatten() {
        *votes.entry(shard.front.header.hash).or_default() += 1;
    }
    let Some((winner, _)) = votes.into_iter().max_by_key(|(hash, count)| (*count, *hash)) else { return };
    for (index, shard) in shards.iter_mut().enumerate() {
        if shard.as_ref().is_some_and(|shard| shard.front.header.hash != winner) {
            details.push(format!("shard {index}: of another stripe"));
            *shard = None;
        }
    }
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
