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

/// The journal's files and a cursor that follows the chain through them.
pub struct Chain {
    mender: Arc<Mender>,
    files: BTreeMap<SegmentId, JournalFile>,
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
        let mut files = BTreeMap::new();
        for segment in names {
            if let Some((opened, first)) = identify(&mender, segment, StripeKind::Journal) {
                files.insert(segment, JournalFile { opened, first });
            }
        }
        Ok(Self { mender, files, at: None, last: (Lsn(0), StripeHash::ZERO), bytes_read: 0 })
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
            match self.mender.load(&opened, 0, None) {
                Ok(Some(stripe)) if self.follows(&stripe.header) => return Ok(Some(self.accept(opened, stripe))),
                Ok(_) | Err(StorageError::Damaged { .. }) => {}
                Err(other) => return Err(other),
            }
        }
        Ok(None)
    }

    /// At the end of what can be followed: the tail is void unless something later proves that there was more.
    fn end(&self, damage: Option<StorageError>) -> StorageResult<Option<ChainStripe>> {
        let later = self.files.values().find(|file| file.first.lsn > self.last.0.next() && self.is_whole(file));
        let proof = match later {
            Some(file) => {
                Some(format!("journal file {} begins at {}", file.opened.segment.file_name(), file.first.lsn))
            }
            None => self.later_in_file(),
        };
        let Some(proof) = proof else { return Ok(None) };
        let (segment, offset) = self.at.unwrap_or((SegmentId(0), 0));
        let detail = damage.map_or_else(String::new, |damage| format!(" ({damage})"));
        Err(StorageError::Damaged {
            segment,
            offset,
            lost: usize::from(self.mender.disks.m) + 1,
            width: usize::from(self.mender.disks.k) + usize::from(self.mender.disks.m),
            detail: format!(
                "journal position {} cannot be read, but {proof}; bring back the missing disks and start again{detail}",
                self.last.0.next()
            ),
        })
    }

    fn is_whole(&self, file: &JournalFile) -> bool {
        matches!(self.mender.load(&file.opened, 0, None), Ok(Some(_)))
    }

    /// Looks for a sound stripe behind the cursor in the same file: torn writes happen only at the end.
    fn later_in_file(&self) -> Option<String> {
        let (segment, offset) = self.at?;
        let file = self.files.get(&segment)?;
        let end = self.mender.longest(&file.opened);
        let mut at = offset + BLOCK_LEN;
        while at < end {
            let loaded = self.mender.load(&file.opened, at, None).ok().flatten();
            if let Some(loaded) = loaded.filter(|loaded| loaded.header.lsn > self.last.0.next()) {
                return Some(format!("position {} lies behind it", loaded.header.lsn));
            }
            at += BLOCK_LEN;
        }
        None
    }
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
