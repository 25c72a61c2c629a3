//! Spares: whole copies of a journal stripe, one on each disk, for the one stripe that may stay thin.
//!
//! The tail of a life may be accepted with shards missing (R3). Those on disks that are there are put back; one on a disk that is
//! away cannot be, and may never have been written. Until that disk is caught up, it and m others must not take the stripe along: so
//! the disks that are there each get a copy. A spare is a shard of a 1+1 code, alone in its file: header, checksums, payload.

use std::sync::Arc;

use kovcheg_format::id::SegmentId;
use kovcheg_format::record::segment::SegmentOpened;
use kovcheg_format::shard::{ShardFront, ShardHeader, StripeKind, stripe_hash};

use crate::disk::set::DiskSlot;
use crate::disk::{Disk, DiskError, DiskResult, Pieces};
use crate::error::StorageResult;
use crate::segment::repair::{Accept, LoadedStripe, Mender};
use crate::segment::stripe::{StripeHead, StripePosition, build, checked_shard_len};

/// Folder of spares.
pub const SPARE_FOLDER: &str = "spares";
/// The code of a spare: its data shard is the payload.
const SPARE_CODE: (u8, u8) = (1, 1);

/// Name, relative to a disk, of the spare of a stripe.
fn name(segment: SegmentId, offset: u64) -> String {
    format!("{SPARE_FOLDER}/{}-{offset:016x}", segment.file_name())
}

/// The stripe that a file in the folder is a spare of.
fn place_of(file: &str) -> Option<(SegmentId, u64)> {
    let (segment, offset) = file.split_once('-')?;
    Some((SegmentId::from_file_name(segment)?, u64::from_str_radix(offset, 16).ok()?))
}

impl Mender {
    /// Puts a copy of the stripe on every disk that serves; durable on return. Answers how many disks have one. A disk that fails is
    /// fenced, one that is full is passed over.
    pub fn write_spares(&self, stripe: &LoadedStripe) -> StorageResult<usize> {
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
        let (k, m) = SPARE_CODE;
        let place = StripePosition { pool: header.pool, segment: header.segment, offset: header.offset, k, m };
        let built = build(&head, &place, stripe.payload[..].into())?;
        let Some(spare) = built.shards.first() else { return Ok(0) };
        let mut copies = 0;
        for slot in self.disks.writable() {
            let Some(disk) = slot.writable() else { continue };
            if self.spare_on(&slot, header.segment, header.offset).is_some_and(|(found, _)| found.hash == header.hash) {
                copies += 1;
                continue;
            }
            match self.write_spare(disk.as_ref(), header, spare.clone()) {
                Ok(()) => copies += 1,
                Err(DiskError::Full { .. }) => {}
                Err(error) => self.disks.failed_write(slot.id, &error),
            }
        }
        Ok(copies)
    }

    fn write_spare(&self, disk: &dyn Disk, header: &ShardHeader, spare: Pieces) -> DiskResult<()> {
        let name = name(header.segment, header.offset);
        disk.make_folder(SPARE_FOLDER)?;
        let file = match disk.open(&name) {
            Err(DiskError::NotFound { .. }) => disk.create(&name)?,
            other => other?,
        };
        file.write_pieces(0, spare).wait(self.disks.deadline)?;
        file.sync().wait(self.disks.deadline)?;
        disk.sync_folder(SPARE_FOLDER)
    }

    /// The stripe from a spare, when its shards no longer give it. Its sound shards are not among the lost.
    pub(super) fn load_spare(
        &self,
        opened: &SegmentOpened,
        offset: u64,
        accept: Accept<'_>,
    ) -> StorageResult<Option<LoadedStripe>> {
        for slot in self.disks.slots() {
            let Some((spare, payload)) = self.spare_on(slot, opened.segment, offset) else { continue };
            let shard_len = checked_shard_len(payload.len(), opened.k)?;
            let header = ShardHeader { k: opened.k, m: opened.m, index: 0, shard_len, ..spare };
            let is_sound = |index: &usize| {
                let slot = opened.disks.get(*index).and_then(|disk| self.disks.slot(*disk));
                let shard = slot.and_then(|slot| self.sound_shard(slot, opened.kind, opened.segment, offset));
                shard.is_some_and(|found| ShardHeader { index: 0, ..found } == header)
            };
            let lost = (0..opened.disks.len()).filter(|index| !is_sound(index)).collect();
            let stripe = LoadedStripe { header, payload: Arc::new(payload), lost };
            if accept(&stripe) {
                return Ok(Some(stripe));
            }
        }
        Ok(None)
    }

    /// The spare that one disk holds, proved by its checksums and by the stripe's hash.
    fn spare_on(&self, slot: &DiskSlot, segment: SegmentId, offset: u64) -> Option<(ShardHeader, Vec<u8>)> {
        // A disk that does not answer must not hold up the others.
        let disk = slot.readable().filter(|_| !slot.is_late())?;
        let file = disk.open(&name(segment, offset)).ok()?;
        let len = usize::try_from(file.len().ok()?).ok()?;
        let bytes = file.read(0, len).wait(self.disks.deadline).ok()?;
        let front = ShardFront::decode(&bytes).ok()?;
        let head = front.header;
        let place = (head.pool, head.segment, head.offset, head.kind, (head.k, head.m), head.index);
        if place != (self.disks.pool, segment, offset, StripeKind::Journal, SPARE_CODE, 0) {
            return None;
        }
        let data = bytes.get(head.data_offset()..)?.get(..head.shard_len as usize)?;
        let payload = data.get(..usize::try_from(head.payload_len).ok()?)?;
        let hash = stripe_hash(head.kind, head.epoch, head.lsn, head.previous, payload, head.inner_len);
        (front.data_is_sound(data) && hash == head.hash).then(|| (head, payload.to_vec()))
    }

    /// The stripes that a disk holds spares of.
    pub fn spares_of(&self, slot: &DiskSlot) -> DiskResult<Vec<(SegmentId, u64)>> {
        let Some(disk) = slot.readable() else { return Ok(Vec::new()) };
        Ok(disk.list(SPARE_FOLDER)?.iter().filter_map(|file| place_of(file)).collect())
    }

    /// Removes a spare that is no longer needed: every shard of its stripe is there.
    pub fn remove_spare(&self, disk: &dyn Disk, place: (SegmentId, u64)) -> DiskResult<()> {
        disk.remove(&name(place.0, place.1))?;
        disk.sync_folder(SPARE_FOLDER)
    }
}

#[cfg(test)]
mod tests {
    use kovcheg_format::id::SegmentId;

    use super::{SPARE_FOLDER, name, place_of};

    #[test]
    fn names_say_which_stripe() {
        for (segment, offset) in [(SegmentId(1), 0), (SegmentId(0x7_0000_0001), 4096), (SegmentId(u64::MAX), u64::MAX)]
        {
            let name = name(segment, offset);
            let file = name.strip_prefix(&format!("{SPARE_FOLDER}/"));
            assert_eq!(file.and_then(place_of), Some((segment, offset)), "{name}");
        }
        assert_eq!(place_of("readme"), None);
    }
}
