//! Reads the journal back from the disks alone: finds its files, follows the hash chain, tells a void tail from damage (R3).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kovcheg_format::id::{DiskId, Lsn, SegmentId, StripeHash};
use kovcheg_format::record::segment::SegmentOpened;
use kovcheg_format::shard::{CODEC_RS_GF8, ShardFront, ShardHeader, StripeKind};
use kovcheg_format::units::BLOCK_LEN;

use crate::error::{StorageError, StorageResult};
use crate::segment::files::JOURNAL_FOLDER;
use crate::segment::repair::{LoadedStripe, Mender};

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
    files: BTreeMap<SegmentId, JournalFile>,
    headless: Vec<Headless>,
    at: Option<(SegmentId, u64)>,
    last: (Lsn, StripeHash),
    bytes_read: u64,
}

impl Chain {
    /// Finds the journal files of the pool; the cursor stands before the first stripe ever written.
    pub fn find(mender: Arc<Mender>) -> StorageResult<Self> {
        let mut names = BTreeSet::new();
        for slot in mender.disks.slots() {
            let Some(disk) = slot.readable() else { continue };
            match disk.list(JOURNAL_FOLDER) {
                Ok(found) => names.extend(found.iter().filter_map(|name| SegmentId::from_file_name(name))),
                Err(error) => tracing::warn!(disk = %slot.label, %error, "its journal folder cannot be listed"),
            }
        }
        let (mut files, mut headless) = (BTreeMap::new(), Vec::new());
        for segment in names {
            match identify(&mender, segment, StripeKind::Journal) {
                Some((opened, first)) => drop(files.insert(segment, JournalFile { opened, first })),
                None => headless.extend(sound_after(&mender, segment, 0, Lsn(0)).map(|lsn| Headless { segment, lsn })),
            }
        }
        Ok(Self { mender, files, headless, at: None, last: (Lsn(0), StripeHash::ZERO), bytes_read: 0 })
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

    /// Whether any journal file exists.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Puts the cursor behind the stripe of that name. False when the chain does not hold it there;
    /// [`StorageError::Damaged`] when that cannot be told.
    pub fn seek(&mut self, segment: SegmentId, offset: u64, lsn: Lsn, hash: StripeHash) -> StorageResult<bool> {
        let Some(file) = self.files.get(&segment) else { return Ok(false) };
        let Some(loaded) = self.mender.load(&file.opened, offset, None)? else { return Ok(false) };
        if (loaded.header.lsn, loaded.header.hash) != (lsn, hash) {
            return Ok(false);
        }
        self.at = Some((segment, offset + loaded.header.disk_len()));
        self.last = (lsn, hash);
        Ok(true)
    }

    /// Takes the word of an index for where the chain ends, when too few disks are left to check it.
    pub fn trust(&mut self, lsn: Lsn, hash: StripeHash) {
        self.files.clear();
        self.headless.clear();
        self.at = None;
        self.last = (lsn, hash);
    }

    /// The next stripe of the chain; `None` at its end. [`StorageError::Damaged`] when a later stripe proves that one is
    /// missing here.
    pub fn advance(&mut self) -> StorageResult<Option<ChainStripe>> {
        if let Some(found) = self.next_in_later_file()? {
            return Ok(Some(found));
        }
        let Some((segment, offset)) = self.at else { return self.end(None) };
        let Some(file) = self.files.get(&segment) else { return self.end(None) };
        let opened = file.opened.clone();
        match self.mender.load(&opened, offset, None) {
            Ok(Some(stripe)) if self.follows(&stripe.header) => Ok(Some(self.accept(opened, stripe))),
            Ok(_) => self.end(None),
            Err(damage @ StorageError::Damaged { .. }) => self.end(Some(damage)),
            Err(other) => Err(other),
        }
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

    fn accept(&mut self, opened: SegmentOpened, stripe: LoadedStripe) -> ChainStripe {
        let header = &stripe.header;
        self.at = Some((header.segment, header.offset + header.disk_len()));
        self.last = (header.lsn, header.hash);
        self.bytes_read += header.payload_len;
        ChainStripe { opened, stripe }
    }

    /// A stripe that was written again after a failure stands first in a later file, and so does the first of a new epoch: the
    /// latest such file that can be put together wins over whatever lies at the cursor.
    fn next_in_later_file(&mut self) -> StorageResult<Option<ChainStripe>> {
        let behind = self.at.map(|(segment, _)| segment);
        let candidates: Vec<SegmentOpened> = self
            .files
            .iter()
            .rev()
            .take_while(|(segment, _)| behind.is_none_or(|behind| **segment > behind))
            .filter(|(_, file)| self.follows(&file.first))
            .map(|(_, file)| file.opened.clone())
            .collect();
        for opened in candidates {
            let damage = match self.mender.load(&opened, 0, None) {
                Ok(Some(stripe)) if self.follows(&stripe.header) => return Ok(Some(self.accept(opened, stripe))),
                Ok(_) => None,
                Err(damage @ StorageError::Damaged { .. }) => Some(damage),
                Err(other) => return Err(other),
            };
            // Torn, it is void; but what follows it in its file names it. Then no older copy of it may stand in for it.
            if let Some(later) = self.later_in(opened.segment, BLOCK_LEN) {
                return Err(self.missing((opened.segment, 0), &format!("position {later} lies behind it"), damage));
            }
        }
        if let Some(lost) = self
            .headless
            .iter()
            .find(|file| behind.is_none_or(|behind| file.segment > behind) && file.lsn > self.last.0.next())
        {
            return Err(self.missing((lost.segment, 0), &format!("position {} lies behind it", lost.lsn), None));
        }
        Ok(None)
    }

    /// At the end of what can be followed: the tail is void unless something later proves that there was more.
    fn end(&self, damage: Option<StorageError>) -> StorageResult<Option<ChainStripe>> {
        let place = self.at.unwrap_or((SegmentId(0), 0));
        if let Some(later) = self.later_in(place.0, place.1 + BLOCK_LEN) {
            return Err(self.missing(place, &format!("position {later} lies behind it"), damage));
        }
        let beyond = self.files.values().filter(|file| file.first.lsn > self.last.0.next());
        for file in beyond {
            if let Some(later) = self.later_in(file.opened.segment, 0) {
                let proof = format!("journal file {} holds position {later}", file.opened.segment.file_name());
                return Err(self.missing(place, &proof, damage));
            }
        }
        Ok(None)
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

/// The first position above `than` in a journal file from `at` on: torn writes happen only at the end, so whatever is missing
/// before a stripe that can be put together was durable. The shape of the file is asked anew at every place, as the shards of
/// its first stripe may be the ones that are gone.
fn sound_after(mender: &Mender, segment: SegmentId, mut at: u64, than: Lsn) -> Option<Lsn> {
    let len = |slot| mender.files.get(slot, StripeKind::Journal, segment).ok()?.len().ok();
    let end = mender.disks.slots().iter().filter_map(|slot| len(slot)).max()?;
    while at < end {
        let found = identify_at(mender, segment, StripeKind::Journal, at).filter(|(_, head)| head.lsn > than);
        if let Some((opened, head)) = found
            && matches!(mender.load(&opened, at, None), Ok(Some(_)))
        {
            return Some(head.lsn);
        }
        at += BLOCK_LEN;
    }
    None
}

/// Puts together the shape of a journal file or checkpoint from the first headers on the disks that have it.
pub(super) fn identify(mender: &Mender, segment: SegmentId, kind: StripeKind) -> Option<(SegmentOpened, ShardHeader)> {
    identify_at(mender, segment, kind, 0)
}

fn identify_at(
    mender: &Mender,
    segment: SegmentId,
    kind: StripeKind,
    offset: u64,
) -> Option<(SegmentOpened, ShardHeader)> {
    let block = usize::try_from(BLOCK_LEN).unwrap_or(4096);
    let mut found: Vec<(DiskId, ShardHeader)> = Vec::new();
    for slot in mender.disks.slots() {
        let Ok(file) = mender.files.get(slot, kind, segment) else { continue };
        let Ok(bytes) = file.read(offset, block).wait(mender.disks.deadline) else { continue };
        let Ok(front) = ShardFront::decode(&bytes) else { continue };
        let head = front.header;
        if head.pool == mender.disks.pool && head.segment == segment && head.kind == kind {
            found.push((slot.id, head));
        }
    }
    let mut votes: BTreeMap<StripeHash, usize> = BTreeMap::new();
    for (_, head) in &found {
        *votes.entry(head.hash).or_default() += 1;
    }
    let winner = votes.into_iter().max_by_key(|(_, count)| *count).map(|(hash, _)| hash)?;
    let first = found.iter().find(|(_, head)| head.hash == winner).map(|(_, head)| *head)?;
    let mut disks = vec![DiskId::ZERO; usize::from(first.k) + usize::from(first.m)];
    for (disk, head) in &found {
        if let Some(place) = disks.get_mut(usize::from(head.index)) {
            *place = *disk;
        }
    }
    let opened =
        SegmentOpened { segment, kind, k: first.k, m: first.m, codec: CODEC_RS_GF8, disks, tier: 0, jurisdiction: 0 };
    Some((opened, first))
}
