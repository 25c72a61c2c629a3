//! Reads the journal back from the disks alone: finds its files, follows the hash chain, tells a void tail from damage (R3).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use kovcheg_format::id::{DiskId, Lsn, SegmentId, StripeHash};
use kovcheg_format::record::segment::SegmentOpened;
use kovcheg_format::shard::{CODEC_RS_GF8, ShardFront, ShardHeader, StripeKind};
use kovcheg_format::units::BLOCK_LEN;

use crate::disk::set::DiskSlot;
use crate::error::{StorageError, StorageResult};
use crate::segment::files::JOURNAL_FOLDER;
use crate::segment::repair::{Accept, LoadedStripe, Mender, by_votes};

/// A stripe of the chain.
pub struct ChainStripe {
    /// The file it is in.
    pub opened: SegmentOpened,
    /// What it holds.
    pub stripe: LoadedStripe,
}

struct JournalFile {
    opened: SegmentOpened,
    first: ShardHeader,
}

/// A journal file whose first stripe has no sound header left on any disk, though a later stripe of it is sound.
struct Headless {
    segment: SegmentId,
    lsn: Lsn,
}

/// The journal's files and a cursor that follows the chain through them.
pub struct Chain {
    mender: Arc<Mender>,
    /// Files that were not looked into yet.
    unread: BTreeSet<SegmentId>,
    /// Disks that could not say which files they hold.
    unlisted: usize,
    files: BTreeMap<SegmentId, JournalFile>,
    /// Files by the position of their first stripe.
    firsts: BTreeSet<(Lsn, SegmentId)>,
    headless: Vec<Headless>,
    at: Option<(SegmentId, u64)>,
    last: (Lsn, StripeHash),
    bytes_read: u64,
}

/// Copies of one stripe, each with the shape of its file.
type Copies = Vec<(SegmentOpened, LoadedStripe)>;

impl Chain {
    /// Finds the journal files of the pool; the cursor stands before the first stripe ever written. What is in them is looked up
    /// when it is needed: behind an index that is up to date that is the newest file alone.
    pub fn find(mender: Arc<Mender>) -> StorageResult<Self> {
        let mut unread = BTreeSet::new();
        let mut unlisted = 0;
        for slot in mender.disks.slots() {
            let Some(disk) = slot.readable() else { continue };
            match disk.list(JOURNAL_FOLDER) {
                Ok(found) => unread.extend(found.iter().filter_map(|name| SegmentId::from_file_name(name))),
                Err(error) => {
                    unlisted += 1;
                    tracing::warn!(disk = %slot.label, %error, "its journal folder cannot be listed");
                }
            }
        }
        Ok(Self {
            mender,
            unread,
            unlisted,
            files: BTreeMap::new(),
            firsts: BTreeSet::new(),
            headless: Vec::new(),
            at: None,
            last: (Lsn(0), StripeHash::ZERO),
            bytes_read: 0,
        })
    }

    /// Looks into the files from this one on.
    fn identify_from(&mut self, from: SegmentId) {
        for segment in self.unread.split_off(&from) {
            match identify(&self.mender, segment, StripeKind::Journal) {
                Some((opened, first)) => {
                    self.firsts.insert((first.lsn, segment));
                    self.files.insert(segment, JournalFile { opened, first });
                }
                None => {
                    let later = sound_after(&self.mender, segment, 0, Lsn(0));
                    self.headless.extend(later.map(|lsn| Headless { segment, lsn }));
                }
            }
        }
    }

    /// The newest stripe that was followed.
    #[must_use]
    pub fn last(&self) -> (Lsn, StripeHash) {
        self.last
    }

    /// Bytes of journal payload read so far.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// Puts the cursor behind the stripe of that name. False when the chain does not hold it there;
    /// [`StorageError::Damaged`] when that cannot be told.
    pub fn seek(&mut self, segment: SegmentId, offset: u64, lsn: Lsn, hash: StripeHash) -> StorageResult<bool> {
        self.identify_from(segment);
        let Some(file) = self.files.get(&segment) else {
            if self.unlisted > usize::from(self.mender.disks.m) {
                let proof = format!("the index stands in file {}", segment.file_name());
                return Err(self.missing((segment, offset), &proof, None));
            }
            return Ok(false);
        };
        let named = |stripe: &LoadedStripe| (stripe.header.lsn, stripe.header.hash) == (lsn, hash);
        let loaded = self.mender.load_where(&file.opened, offset, None, &named);
        let end = match loaded {
            Ok(Some(stripe)) => offset + stripe.header.disk_len(),
            Ok(None) => return Ok(false),
            // Another stripe that is whole there is an answer too.
            Err(damage @ StorageError::Damaged { .. }) => {
                return self.mender.load(&file.opened, offset, None).map(|_| false).map_err(|_| damage);
            }
            Err(other) => return Err(other),
        };
        self.at = Some((segment, end));
        self.last = (lsn, hash);
        Ok(true)
    }

    /// Puts the cursor back before the first stripe ever written.
    pub fn rewind(&mut self) {
        self.at = None;
        self.last = (Lsn(0), StripeHash::ZERO);
    }

    /// Takes the word of an index for where the chain ends, when too few disks are left to check it.
    pub fn trust(&mut self, lsn: Lsn, hash: StripeHash) {
        self.unread.clear();
        self.files.clear();
        self.firsts.clear();
        self.headless.clear();
        self.at = None;
        self.last = (lsn, hash);
    }

    /// [`Chain::advance_where`] without a look at what the stripe holds.
    pub fn advance(&mut self) -> StorageResult<Option<ChainStripe>> {
        self.advance_where(&|_| true)
    }

    /// The next stripe of the chain; `None` at its end. [`StorageError::Damaged`] when a later stripe proves that one is missing
    /// here. A stripe that `opens` refuses is as good as not there.
    pub fn advance_where(&mut self, opens: Accept<'_>) -> StorageResult<Option<ChainStripe>> {
        if self.at.is_none() {
            self.identify_from(SegmentId(0));
        }
        self.refuse_other_past()?;
        let mut copies = Copies::new();
        self.copies_in_later_files(opens, &mut copies)?;
        let damage = self.copy_at_cursor(opens, &mut copies)?;
        if copies.is_empty() {
            return self.end(damage);
        }
        let chosen = if copies.len() > 1 { self.named_by_next(&copies) } else { 0 };
        let (opened, stripe) = copies.swap_remove(chosen);
        let header = &stripe.header;
        self.at = Some((header.segment, header.offset + header.disk_len()));
        self.last = (header.lsn, header.hash);
        self.bytes_read += header.payload_len;
        Ok(Some(ChainStripe { opened, stripe }))
    }

    /// The records of a file say which disks it lies on; headers alone name only those that are there.
    pub fn learn(&mut self, opened: &SegmentOpened) {
        if let Some(file) = self.files.get_mut(&opened.segment) {
            file.opened = opened.clone();
        }
    }

    /// Gives a stripe the shape that its file was learnt to have since.
    pub fn correct(&self, found: &mut ChainStripe) {
        if let Some(file) = self.files.get(&found.opened.segment) {
            found.opened = file.opened.clone();
        }
    }

    fn follows(&self, header: &ShardHeader) -> bool {
        header.lsn == self.last.0.next() && header.previous == self.last.1
    }

    /// Files behind the cursor whose first stripe has this position, the latest first.
    fn starting_at(&self, lsn: Lsn) -> Vec<&JournalFile> {
        let behind = self.at.map(|(segment, _)| segment);
        let files = self.firsts.range((lsn, SegmentId(0))..=(lsn, SegmentId(u64::MAX))).rev();
        let files = files.filter(|(_, segment)| behind.is_none_or(|behind| *segment > behind));
        files.filter_map(|(_, segment)| self.files.get(segment)).collect()
    }

    /// A later file that goes on from another stripe of the newest position than the one that was followed proves that the one it
    /// names was acknowledged, and that it is lost.
    fn refuse_other_past(&self) -> StorageResult<()> {
        for file in self.starting_at(self.last.0.next()) {
            let segment = file.opened.segment;
            if file.first.previous != self.last.1 && self.sound_at(segment, 0).is_some() {
                let proof = format!("journal file {} goes on from another stripe {}", segment.file_name(), self.last.0);
                return Err(self.missing((segment, 0), &proof, None));
            }
        }
        Ok(())
    }

    /// A stripe that was written again after a failure stands first in a later file, and so does the first of a new epoch.
    fn copies_in_later_files(&self, opens: Accept<'_>, copies: &mut Copies) -> StorageResult<()> {
        let follows = |stripe: &LoadedStripe| self.follows(&stripe.header) && opens(stripe);
        for file in self.starting_at(self.last.0.next()) {
            let opened = &file.opened;
            let damage = match self.mender.load_where(opened, 0, None, &follows) {
                Ok(Some(stripe)) => {
                    copies.push((opened.clone(), stripe));
                    continue;
                }
                Ok(None) => None,
                Err(damage @ StorageError::Damaged { .. }) => Some(damage),
                Err(other) => return Err(other),
            };
            // Torn, it is void; but what follows it in its file names it. Then no older copy of it may stand in for it.
            if copies.is_empty()
                && let Some(later) = self.later_in(opened.segment, BLOCK_LEN)
            {
                return Err(self.missing((opened.segment, 0), &format!("position {later} lies behind it"), damage));
            }
        }
        let behind = self.at.map(|(segment, _)| segment);
        let lost = self
            .headless
            .iter()
            .find(|file| behind.is_none_or(|behind| file.segment > behind) && file.lsn > self.last.0.next());
        match lost.filter(|_| copies.is_empty()) {
            Some(lost) => Err(self.missing((lost.segment, 0), &format!("position {} lies behind it", lost.lsn), None)),
            None => Ok(()),
        }
    }

    /// The copy at the cursor. Answers why there is none, if something lies there.
    fn copy_at_cursor(&self, opens: Accept<'_>, copies: &mut Copies) -> StorageResult<Option<StorageError>> {
        let Some((segment, offset)) = self.at else { return Ok(None) };
        let Some(file) = self.files.get(&segment) else { return Ok(None) };
        let follows = |stripe: &LoadedStripe| self.follows(&stripe.header) && opens(stripe);
        match self.mender.load_where(&file.opened, offset, None, &follows) {
            Ok(found) => {
                copies.extend(found.map(|stripe| (file.opened.clone(), stripe)));
                Ok(None)
            }
            Err(damage @ StorageError::Damaged { .. }) => Ok(Some(damage)),
            Err(other) => Err(other),
        }
    }

    /// Which of several copies counts: the one that the next stripe names, that of the highest epoch; the latest copy when none does.
    /// An attempt that was given up may become readable again when a disk returns, long after the one before it was accepted.
    fn named_by_next(&self, copies: &Copies) -> usize {
        let after = self.last.0.next().next();
        let behind_copies =
            copies.iter().map(|(opened, stripe)| (opened, stripe.header.offset + stripe.header.disk_len()));
        let first_in_files = self.starting_at(after).into_iter().map(|file| (&file.opened, 0));
        let named = behind_copies.chain(first_in_files).flat_map(|(opened, offset)| {
            let is_next = |stripe: &LoadedStripe| stripe.header.lsn == after;
            let whole = self.mender.load_where(opened, offset, None, &is_next).ok().flatten();
            let heads = whole.map_or_else(|| self.sound_at(opened.segment, offset), |whole| Some(whole.header));
            heads.filter(|head| head.lsn == after)
        });
        let best = named
            .filter_map(|head| {
                let copy = copies.iter().position(|(_, stripe)| stripe.header.hash == head.previous)?;
                Some(((head.epoch, head.segment), copy))
            })
            .max();
        best.map_or(0, |(_, copy)| copy)
    }

    /// Header of any sound shard at a place of a journal file.
    fn sound_at(&self, segment: SegmentId, offset: u64) -> Option<ShardHeader> {
        let slots = self.mender.disks.slots().iter();
        slots.filter_map(|slot| self.mender.sound_shard(slot, StripeKind::Journal, segment, offset)).next()
    }

    /// At the end of what can be followed: the tail is void unless something later proves that there was more.
    fn end(&self, damage: Option<StorageError>) -> StorageResult<Option<ChainStripe>> {
        let place = self.at.unwrap_or((SegmentId(0), 0));
        // With more than m disks away, also what was acknowledged may be left with fewer than k shards: nothing is void then.
        let than = if self.may_be_void() { self.last.0.next() } else { self.last.0 };
        if let Some(later) = sound_after(&self.mender, place.0, place.1, than) {
            return Err(self.missing(place, &format!("position {later} lies there or behind it"), damage));
        }
        let behind = self.files.range((Bound::Excluded(place.0), Bound::Unbounded));
        for (segment, _) in behind.filter(|(_, file)| file.first.lsn > than) {
            if let Some(later) = sound_after(&self.mender, *segment, 0, than) {
                let proof = format!("journal file {} holds position {later}", segment.file_name());
                return Err(self.missing(place, &proof, damage));
            }
        }
        Ok(None)
    }

    /// Whether a stripe that cannot be put together can be a torn tail: not when the pool may not be written for lack of disks.
    fn may_be_void(&self) -> bool {
        let away = self.mender.disks.slots().iter().filter(|slot| slot.readable().is_none()).count();
        self.mender.may_repair || away <= usize::from(self.mender.disks.m)
    }

    /// The error for a stripe that must have been at `place` or beyond it.
    fn missing(&self, place: (SegmentId, u64), proof: &str, damage: Option<StorageError>) -> StorageError {
        let detail = damage.map_or_else(String::new, |damage| format!(" ({damage})"));
        StorageError::Damaged {
            segment: place.0,
            offset: place.1,
            lost: usize::from(self.mender.disks.m) + 1,
            width: usize::from(self.mender.disks.k) + usize::from(self.mender.disks.m),
            detail: format!(
                "journal position {} cannot be read, but {proof}; bring back the missing disks and start again{detail}",
                self.last.0.next()
            ),
        }
    }

    /// Looks for a sound stripe of a position that cannot be the next, from `at` on in a file.
    fn later_in(&self, segment: SegmentId, at: u64) -> Option<Lsn> {
        sound_after(&self.mender, segment, at, self.last.0.next())
    }
}

/// The first position above `than` in a journal file from `at` on. One sound shard is proof: a stripe is written only when the one
/// before it is durable on all its disks, so whatever is missing before it was acknowledged.
fn sound_after(mender: &Mender, segment: SegmentId, mut at: u64, than: Lsn) -> Option<Lsn> {
    let len = |slot: &Arc<DiskSlot>| mender.files.get(slot, StripeKind::Journal, segment).ok()?.len().ok();
    let lens: Vec<(&Arc<DiskSlot>, u64)> =
        mender.disks.slots().iter().filter_map(|slot| Some((slot, len(slot)?))).collect();
    let end = lens.iter().map(|(_, len)| *len).max()?;
    while at < end {
        let there = lens.iter().filter(|(_, len)| at < *len);
        let shards = there.filter_map(|(slot, _)| mender.sound_shard(slot, StripeKind::Journal, segment, at));
        if let Some(later) = shards.map(|head| head.lsn).filter(|lsn| *lsn > than).max() {
            return Some(later);
        }
        at += BLOCK_LEN;
    }
    None
}

/// Puts together the shape of a journal file or checkpoint from the first headers on the disks that have it.
pub(super) fn identify(mender: &Mender, segment: SegmentId, kind: StripeKind) -> Option<(SegmentOpened, ShardHeader)> {
    let block = usize::try_from(BLOCK_LEN).unwrap_or(4096);
    let mut found: Vec<(DiskId, ShardHeader)> = Vec::new();
    for slot in mender.disks.slots() {
        let Ok(file) = mender.files.get(slot, kind, segment) else { continue };
        let Ok(bytes) = file.read(0, block).wait(mender.disks.deadline) else { continue };
        let Ok(front) = ShardFront::decode(&bytes) else { continue };
        let head = front.header;
        if (head.pool, head.segment, head.kind, head.offset) == (mender.disks.pool, segment, kind, 0) {
            found.push((slot.id, head));
        }
    }
    let first = by_votes(found.iter().map(|(_, head)| *head)).first().map(|(head, _)| *head)?;
    let mut disks = vec![DiskId::ZERO; usize::from(first.k) + usize::from(first.m)];
    for (disk, head) in found.iter().filter(|(_, head)| ShardHeader { index: 0, ..*head } == first) {
        if let Some(place) = disks.get_mut(usize::from(head.index)) {
            *place = *disk;
        }
    }
    let opened =
        SegmentOpened { segment, kind, k: first.k, m: first.m, codec: CODEC_RS_GF8, disks, tier: 0, jurisdiction: 0 };
    Some((opened, first))
}
