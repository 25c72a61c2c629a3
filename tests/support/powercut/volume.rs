//! The content of one file system: as it is now, as it would be after a power cut, and the way from one to the other.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use fuser::Errno;

use super::Rng;

/// Unit that survives a cut as a whole, in bytes.
pub const BLOCK: u64 = 4096;
/// Inode of the top folder.
pub const ROOT: u64 = 1;

type Block = Arc<[u8; BLOCK as usize]>;
type Name = (u64, OsString);

/// Bytes of a file; absent blocks are zeros.
#[derive(Debug, Clone, Default)]
struct Content {
    len: u64,
    blocks: BTreeMap<u64, Block>,
}

/// A file, and which of its blocks differ from what is synced.
#[derive(Debug, Default)]
struct File {
    now: Content,
    synced: Content,
    dirty: BTreeSet<u64>,
}

impl File {
    fn write(&mut self, offset: u64, bytes: &[u8]) {
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let start = (at % BLOCK) as usize;
            let (piece, later) = rest.split_at(rest.len().min(BLOCK as usize - start));
            let block = self.now.blocks.entry(at / BLOCK).or_insert_with(|| Arc::new([0; BLOCK as usize]));
            Arc::make_mut(block)[start..start + piece.len()].copy_from_slice(piece);
            self.dirty.insert(at / BLOCK);
            at += piece.len() as u64;
            rest = later;
        }
        self.now.len = self.now.len.max(at);
    }

    fn read(&self, offset: u64, len: u64) -> Vec<u8> {
        let end = self.now.len.min(offset.saturating_add(len));
        let mut out = Vec::new();
        let mut at = offset;
        while at < end {
            let start = (at % BLOCK) as usize;
            let count = (end - at).min(BLOCK - at % BLOCK) as usize;
            match self.now.blocks.get(&(at / BLOCK)) {
                Some(block) => out.extend_from_slice(&block[start..start + count]),
                None => out.resize(out.len() + count, 0),
            }
            at += count as u64;
        }
        out
    }

    fn set_len(&mut self, len: u64) {
        let cut_off = self.now.blocks.split_off(&len.div_ceil(BLOCK));
        self.dirty.extend(cut_off.keys());
        if let Some(last) = self.now.blocks.get_mut(&(len / BLOCK)) {
            Arc::make_mut(last)[(len % BLOCK) as usize..].fill(0);
            self.dirty.insert(len / BLOCK);
        }
        self.now.len = len;
    }

    fn sync_block(&mut self, number: u64) {
        match self.now.blocks.get(&number) {
            Some(block) => self.synced.blocks.insert(number, Arc::clone(block)),
            None => self.synced.blocks.remove(&number),
        };
    }

    fn sync(&mut self) {
        for number in std::mem::take(&mut self.dirty) {
            self.sync_block(number);
        }
        self.synced.len = self.now.len;
    }

    fn lose_power(&mut self, rng: &mut Rng) {
        // Nothing, everything, or a random part of what was not synced.
        let odds = match rng.below(4) {
            0 => 0,
            1 => 8,
            _ => 1 + rng.below(7),
        };
        let mut reached = self.synced.len;
        for number in std::mem::take(&mut self.dirty) {
            if rng.below(8) < odds {
                self.sync_block(number);
                reached = reached.max(self.now.len.min((number + 1) * BLOCK));
            }
        }
        // A length may survive without its bytes; bytes do not survive without the length.
        self.synced.len = if rng.below(8) < odds { self.now.len } else { reached };
        self.synced.blocks.split_off(&self.synced.len.div_ceil(BLOCK));
        if let Some(last) = self.synced.blocks.get_mut(&(self.synced.len / BLOCK)) {
            Arc::make_mut(last)[(self.synced.len % BLOCK) as usize..].fill(0);
        }
        self.now = self.synced.clone();
    }
}

#[derive(Debug)]
enum Node {
    Folder,
    File(File),
}

/// A change of names; durable once every folder it touches was synced.
#[derive(Debug)]
struct NameChange {
    inode: u64,
    from: Option<Name>,
    to: Option<Name>,
    waits_for: BTreeSet<u64>,
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<Name, u64>) {
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

/// What an inode is.
#[derive(Debug, Clone, Copy)]
pub struct Stat {
    pub inode: u64,
    pub is_folder: bool,
    pub len: u64,
    pub blocks: u64,
}

/// One file system.
#[derive(Debug)]
pub struct Volume {
    nodes: BTreeMap<u64, Node>,
    names: BTreeMap<Name, u64>,
    synced_names: BTreeMap<Name, u64>,
    changes: Vec<NameChange>,
    next: u64,
}

impl Volume {
    pub fn new() -> Self {
        Self {
            nodes: BTreeMap::from([(ROOT, Node::Folder)]),
            names: BTreeMap::new(),
            synced_names: BTreeMap::new(),
            changes: Vec::new(),
            next: ROOT + 1,
        }
    }

    fn file(&mut self, inode: u64) -> Result<&mut File, Errno> {
        match self.nodes.get_mut(&inode) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Folder) => Err(Errno::EISDIR),
            None => Err(Errno::ENOENT),
        }
    }

    fn change(&mut self, inode: u64, from: Option<Name>, to: Option<Name>) {
        let waits_for = from.iter().chain(to.iter()).map(|(folder, _)| *folder).collect();
        let change = NameChange { inode, from, to, waits_for };
        change.apply(&mut self.names);
        self.changes.push(change);
    }

    pub fn lookup(&self, folder: u64, name: &OsStr) -> Result<u64, Errno> {
        self.names.get(&(folder, name.to_owned())).copied().ok_or(Errno::ENOENT)
    }

    pub fn stat(&self, inode: u64) -> Result<Stat, Errno> {
        match self.nodes.get(&inode) {
            Some(Node::Folder) => Ok(Stat { inode, is_folder: true, len: BLOCK, blocks: 1 }),
            Some(Node::File(file)) => {
                Ok(Stat { inode, is_folder: false, len: file.now.len, blocks: file.now.blocks.len() as u64 })
            }
            None => Err(Errno::ENOENT),
        }
    }

    pub fn make(&mut self, folder: u64, name: &OsStr, is_folder: bool) -> Result<u64, Errno> {
        if !matches!(self.nodes.get(&folder), Some(Node::Folder)) {
            return Err(Errno::ENOTDIR);
        }
        if self.lookup(folder, name).is_ok() {
            return Err(Errno::EEXIST);
        }
        let inode = self.next;
        self.next += 1;
        self.nodes.insert(inode, if is_folder { Node::Folder } else { Node::File(File::default()) });
        self.change(inode, None, Some((folder, name.to_owned())));
        Ok(inode)
    }

    /// A second name for a file.
    pub fn link(&mut self, inode: u64, folder: u64, name: &OsStr) -> Result<(), Errno> {
        self.file(inode)?;
        if self.lookup(folder, name).is_ok() {
            return Err(Errno::EEXIST);
        }
        self.change(inode, None, Some((folder, name.to_owned())));
        Ok(())
    }

    pub fn remove(&mut self, folder: u64, name: &OsStr, is_folder: bool) -> Result<(), Errno> {
        let inode = self.lookup(folder, name)?;
        let found = matches!(self.nodes.get(&inode), Some(Node::Folder));
        match (is_folder, found) {
            (true, false) => return Err(Errno::ENOTDIR),
            (false, true) => return Err(Errno::EISDIR),
            (true, true) if !self.list(inode).is_empty() => return Err(Errno::ENOTEMPTY),
            _ => {}
        }
        self.change(inode, Some((folder, name.to_owned())), None);
        Ok(())
    }

    pub fn rename(&mut self, from: (u64, &OsStr), to: (u64, &OsStr)) -> Result<(), Errno> {
        let inode = self.lookup(from.0, from.1)?;
        if from != to {
            self.change(inode, Some((from.0, from.1.to_owned())), Some((to.0, to.1.to_owned())));
        }
        Ok(())
    }

    /// Names and inodes in a folder.
    pub fn list(&self, folder: u64) -> Vec<(OsString, u64)> {
        let in_folder = self.names.range((folder, OsString::new())..).take_while(|((found, _), _)| *found == folder);
        in_folder.map(|((_, name), inode)| (name.clone(), *inode)).collect()
    }

    pub fn write(&mut self, inode: u64, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
        self.file(inode)?.write(offset, bytes);
        Ok(())
    }

    pub fn read(&mut self, inode: u64, offset: u64, len: u64) -> Result<Vec<u8>, Errno> {
        Ok(self.file(inode)?.read(offset, len))
    }

    pub fn set_len(&mut self, inode: u64, len: u64) -> Result<(), Errno> {
        self.file(inode)?.set_len(len);
        Ok(())
    }

    pub fn len(&mut self, inode: u64) -> Result<u64, Errno> {
        Ok(self.file(inode)?.now.len)
    }

    pub fn sync(&mut self, inode: u64) -> Result<(), Errno> {
        self.file(inode)?.sync();
        Ok(())
    }

    pub fn sync_folder(&mut self, folder: u64) {
        for mut change in std::mem::take(&mut self.changes) {
            change.waits_for.remove(&folder);
            if change.waits_for.is_empty() {
                change.apply(&mut self.synced_names);
            } else {
                self.changes.push(change);
            }
        }
    }

    pub fn lose_power(&mut self, rng: &mut Rng) {
        for change in std::mem::take(&mut self.changes) {
            if rng.below(2) == 0 {
                change.apply(&mut self.synced_names);
            }
        }
        // What lay in a folder that is gone is gone with it.
        let mut kept = BTreeSet::from([ROOT]);
        kept.extend(self.synced_names.values());
        self.synced_names.retain(|(folder, _), _| kept.contains(folder));
        self.names = self.synced_names.clone();
        let named: BTreeSet<u64> = self.names.values().copied().chain([ROOT]).collect();
        self.nodes.retain(|inode, _| named.contains(inode));
        for node in self.nodes.values_mut() {
            if let Node::File(file) = node {
                file.lose_power(rng);
            }
        }
    }
}
