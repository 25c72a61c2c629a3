//! The medium of one simulated disk: what is written, what of it is durable, and what a power cut makes of the rest.
//! Plain data without locks or threads; `sim_disk` drives it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Error, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::faults::Rng;
use crate::disk::AlignedBuf;

const BLOCK: u64 = 4096;
/// Least unit of a torn write.
const SECTOR: usize = 512;

/// Result of an operation on a medium, in the operating system's terms.
type IoResult<T> = Result<T, Error>;

/// Bytes of a file; absent blocks are zeros.
#[derive(Debug, Clone, Default)]
struct Content {
    len: u64,
    blocks: BTreeMap<u64, Arc<[u8; BLOCK as usize]>>,
}

impl Content {
    fn write(&mut self, offset: u64, bytes: &[u8]) {
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let start = (at % BLOCK) as usize;
            let (now, later) = rest.split_at(rest.len().min(BLOCK as usize - start));
            let block = self.blocks.entry(at / BLOCK).or_insert_with(|| Arc::new([0; BLOCK as usize]));
            Arc::make_mut(block)[start..start + now.len()].copy_from_slice(now);
            at += now.len() as u64;
            rest = later;
        }
        self.len = self.len.max(at);
    }

    fn read(&self, offset: u64, into: &mut [u8]) {
        for (number, piece) in into.chunks_mut(BLOCK as usize).enumerate() {
            if let Some(block) = self.blocks.get(&(offset / BLOCK + number as u64)) {
                piece.copy_from_slice(&block[..piece.len()]);
            }
        }
    }

    fn set_len(&mut self, len: u64) {
        self.blocks.split_off(&len.div_ceil(BLOCK));
        if let Some(last) = self.blocks.get_mut(&(len / BLOCK)) {
            Arc::make_mut(last)[(len % BLOCK) as usize..].fill(0);
        }
        self.len = len;
    }

    fn flip(&mut self, offset: u64, bit: u8) {
        if offset < self.len {
            let block = self.blocks.entry(offset / BLOCK).or_insert_with(|| Arc::new([0; BLOCK as usize]));
            Arc::make_mut(block)[(offset % BLOCK) as usize] ^= 1 << bit;
        }
    }
}

/// A change of a file that is not durable yet.
#[derive(Debug, Clone)]
enum Change {
    /// A write, and whether its answer was taken: only then does a later sync cover it.
    Write {
        offset: u64,
        data: Arc<AlignedBuf>,
        seen: Arc<AtomicBool>,
    },
    SetLen(u64),
}

impl Change {
    fn covered(&self) -> bool {
        match self {
            Self::Write { seen, .. } => seen.load(Ordering::SeqCst),
            Self::SetLen(_) => true,
        }
    }

    fn apply(&self, to: &mut Content) {
        match self {
            Self::Write { offset, data, .. } => to.write(*offset, data),
            Self::SetLen(len) => to.set_len(*len),
        }
    }

    /// Applies what a power cut lets through: each unit of a write by itself.
    fn survive(&self, to: &mut Content, rng: &mut Rng, odds: u64) {
        match self {
            Self::Write { offset, data, .. } => {
                let unit = if rng.chance(1, 4) { SECTOR } else { BLOCK as usize };
                for (number, piece) in data.chunks(unit).enumerate() {
                    if rng.chance(odds, 8) {
                        to.write(offset + (number * unit) as u64, piece);
                    }
                }
            }
            Self::SetLen(len) => {
                if rng.chance(odds, 8) {
                    to.set_len(*len);
                }
            }
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Inode {
    volatile: Content,
    durable: Content,
    /// In order of submission.
    pending: Vec<Change>,
    /// What a failed sync should have flushed: no later sync does.
    doomed: Vec<Change>,
}

impl Inode {
    fn reboot(&mut self, rng: &mut Rng) {
        // Nothing, everything, or a random part survives: all three happen to real disks.
        let odds = match rng.below(4) {
            0 => 0,
            1 => 8,
            _ => 1 + rng.below(7),
        };
        for change in self.doomed.drain(..).chain(self.pending.drain(..)) {
            change.survive(&mut self.durable, rng, odds);
        }
        // The length may be durable before the bytes are.
        if self.volatile.len > self.durable.len && rng.chance(1, 2) {
            self.durable.len = self.volatile.len;
        }
        self.volatile = self.durable.clone();
    }
}

/// A change of names, durable once every folder it touches was synced.
#[derive(Debug, Clone)]
struct NameChange {
    inode: u64,
    from: Option<String>,
    to: Option<String>,
    waits_for: BTreeSet<String>,
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        if let Some(from) = &self.from
            && names.get(from) == Some(&self.inode)
        {
            names.remove(from);
        }
        if let Some(to) = &self.to {
            names.insert(to.clone(), self.inode);
        }
    }
}

/// How much of a sync takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    Whole,
    Part,
}

/// One disk's content. A clone shares the bytes and costs little.
#[derive(Debug, Clone)]
pub struct Medium {
    inodes: BTreeMap<u64, Arc<Inode>>,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    name_changes: Vec<NameChange>,
    folders: BTreeSet<String>,
    next_inode: u64,
    pub(super) capacity: u64,
}

pub(super) fn folder_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

impl Medium {
    pub(super) fn new(capacity: u64) -> Self {
        Self {
            inodes: BTreeMap::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            name_changes: Vec::new(),
            folders: BTreeSet::from([String::new()]),
            next_inode: 1,
            capacity,
        }
    }

    fn inode(&mut self, inode: u64) -> &mut Inode {
        Arc::make_mut(self.inodes.get_mut(&inode).expect("open files keep their inode"))
    }

    fn change_names(&mut self, inode: u64, from: Option<&str>, to: Option<&str>) {
        let waits_for = from.iter().chain(to.iter()).map(|name| folder_of(name).to_owned()).collect();
        let change = NameChange { inode, from: from.map(str::to_owned), to: to.map(str::to_owned), waits_for };
        change.apply(&mut self.names);
        self.name_changes.push(change);
    }

    fn check_name(name: &str) -> IoResult<()> {
        let bad = name.split('/').any(|part| matches!(part, "" | "." | "..")) || name.contains('\0');
        if bad { Err(ErrorKind::InvalidInput.into()) } else { Ok(()) }
    }

    pub(super) fn make_folder(&mut self, folder: &str) -> IoResult<()> {
        Self::check_name(folder)?;
        if !self.folders.contains(folder_of(folder)) {
            return Err(ErrorKind::NotFound.into());
        }
        self.folders.insert(folder.to_owned());
        Ok(())
    }

    pub(super) fn create(&mut self, name: &str) -> IoResult<u64> {
        Self::check_name(name)?;
        if !self.folders.contains(folder_of(name)) {
            return Err(ErrorKind::NotFound.into());
        }
        if self.names.contains_key(name) || self.folders.contains(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let inode = self.next_inode;
        self.next_inode += 1;
        self.inodes.insert(inode, Arc::default());
        self.change_names(inode, None, Some(name));
        Ok(inode)
    }

    pub(super) fn find(&self, name: &str) -> IoResult<u64> {
        Self::check_name(name)?;
        self.names.get(name).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }

    pub(super) fn remove(&mut self, name: &str) -> IoResult<()> {
        let inode = self.find(name)?;
        self.change_names(inode, Some(name), None);
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> IoResult<()> {
        Self::check_name(to)?;
        let inode = self.find(from)?;
        if !self.folders.contains(folder_of(to)) {
            return Err(ErrorKind::NotFound.into());
        }
        if from != to {
            self.change_names(inode, Some(from), Some(to));
        }
        Ok(())
    }

    pub(super) fn list(&self, folder: &str) -> Vec<String> {
        let in_folder = self.names.keys().filter(|name| folder_of(name) == folder);
        in_folder.map(|name| name.rsplit('/').next().unwrap_or(name).to_owned()).collect()
    }

    pub(super) fn folders(&self) -> Vec<String> {
        self.folders.iter().filter(|name| !name.is_empty() && !name.contains('/')).cloned().collect()
    }

    pub(super) fn used(&self) -> u64 {
        let blocks = |inode| self.inodes.get(inode).map_or(0, |inode| inode.volatile.blocks.len() as u64);
        self.names.values().map(blocks).sum::<u64>() * BLOCK
    }

    pub(super) fn write(
        &mut self,
        inode: u64,
        offset: u64,
        data: &Arc<AlignedBuf>,
        seen: Arc<AtomicBool>,
    ) -> IoResult<()> {
        let first = offset / BLOCK;
        let volatile = &self.inode(inode).volatile;
        let old = volatile.blocks.range(first..first + data.len() as u64 / BLOCK).count() as u64 * BLOCK;
        if self.used().saturating_add(data.len() as u64 - old) > self.capacity {
            return Err(ErrorKind::StorageFull.into());
        }
        let inode = self.inode(inode);
        inode.volatile.write(offset, data);
        inode.pending.push(Change::Write { offset, data: Arc::clone(data), seen });
        Ok(())
    }

    /// `None` when the file ends before the range does.
    pub(super) fn read(&mut self, inode: u64, offset: u64, len: usize) -> Option<AlignedBuf> {
        let content = &self.inode(inode).volatile;
        if offset + len as u64 > content.len {
            return None;
        }
        let mut buffer = AlignedBuf::zeroed(len);
        content.read(offset, &mut buffer);
        Some(buffer)
    }

    pub(super) fn len(&mut self, inode: u64) -> u64 {
        self.inode(inode).volatile.len
    }

    pub(super) fn set_len(&mut self, inode: u64, len: u64) {
        let inode = self.inode(inode);
        inode.volatile.set_len(len);
        inode.pending.push(Change::SetLen(len));
    }

    pub(super) fn sync(&mut self, inode: u64, extent: Extent, rng: &mut Rng) {
        let inode = self.inode(inode);
        let (covered, rest): (Vec<_>, Vec<_>) = inode.pending.drain(..).partition(Change::covered);
        match extent {
            Extent::Whole => {
                covered.iter().for_each(|change| change.apply(&mut inode.durable));
                inode.pending = rest;
            }
            Extent::Part => {
                let odds = 1 + rng.below(7);
                covered.iter().for_each(|change| change.survive(&mut inode.durable, rng, odds));
                inode.pending = covered.into_iter().chain(rest).collect();
            }
        }
    }

    /// A sync that failed: what it covered is no longer the business of later ones.
    pub(super) fn doom(&mut self, inode: u64) {
        let inode = self.inode(inode);
        let (covered, rest): (Vec<_>, Vec<_>) = inode.pending.drain(..).partition(Change::covered);
        inode.doomed.extend(covered);
        inode.pending = rest;
    }

    pub(super) fn sync_folder(&mut self, folder: &str, extent: Extent, rng: &mut Rng) -> IoResult<()> {
        if !self.folders.contains(folder) {
            return Err(ErrorKind::NotFound.into());
        }
        for mut change in std::mem::take(&mut self.name_changes) {
            if extent == Extent::Whole || rng.chance(1, 2) {
                change.waits_for.remove(folder);
            }
            if change.waits_for.is_empty() {
                change.apply(&mut self.durable_names);
            } else {
                self.name_changes.push(change);
            }
        }
        Ok(())
    }

    /// What is there when the power comes back.
    pub(super) fn reboot(&mut self, rng: &mut Rng) {
        for change in std::mem::take(&mut self.name_changes) {
            if rng.chance(1, 2) {
                change.apply(&mut self.durable_names);
            }
        }
        self.names = self.durable_names.clone();
        let named: BTreeSet<u64> = self.names.values().copied().collect();
        self.inodes.retain(|inode, _| named.contains(inode));
        for inode in self.inodes.values_mut() {
            Arc::make_mut(inode).reboot(rng);
        }
    }

    /// Flips `count` random bits in a range of a file, on the medium: every later read sees them.
    pub(super) fn rot(&mut self, name: &str, offset: u64, len: u64, count: u64, rng: &mut Rng) {
        let inode = self.find(name).unwrap_or_else(|_| panic!("no {name} to rot"));
        let mut done = BTreeSet::new();
        while (done.len() as u64) < count.min(len) {
            let at = offset + rng.below(len);
            if done.insert(at) {
                let bit = rng.below(8) as u8;
                let inode = self.inode(inode);
                inode.volatile.flip(at, bit);
                inode.durable.flip(at, bit);
            }
        }
    }

    /// Cuts every file to a random whole number of blocks of its length, durably.
    pub(super) fn truncate_files(&mut self, rng: &mut Rng) {
        for inode in self.inodes.values_mut().map(Arc::make_mut) {
            let len = rng.below(inode.volatile.len / BLOCK + 1) * BLOCK;
            inode.volatile.set_len(len);
            inode.durable.set_len(len.min(inode.durable.len));
            inode.pending.clear();
        }
    }

    /// Every file as a reader would see it now.
    pub(super) fn files(&self) -> Vec<(String, Vec<u8>)> {
        let bytes = |inode| {
            let content = &self.inodes[inode].volatile;
            let mut bytes = vec![0; content.len as usize];
            content.read(0, &mut bytes);
            bytes
        };
        self.names.iter().map(|(name, inode)| (name.clone(), bytes(inode))).collect()
    }
}
