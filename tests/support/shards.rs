//! A walk over the shards that lie on disks, with the format crate alone: what is really there, told from headers, against
//! which metrics are checked and into which damage is aimed.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use kovcheg_format::shard::{ShardFront, ShardHeader, StripeKind};

/// Shards begin at multiples of this.
const BLOCK: u64 = 4096;

/// One shard found on a disk.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its file.
    pub file: PathBuf,
    /// Its header.
    pub header: ShardHeader,
}

/// Bytes of shards by kind, as the metrics count them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Physical {
    /// Data shards of segments.
    pub data: u64,
    /// Parity shards of segments and journal.
    pub parity: u64,
    /// Data shards of the journal.
    pub records: u64,
}

impl Physical {
    /// All together.
    pub fn total(&self) -> u64 {
        self.data + self.parity + self.records
    }
}

/// Every regular file below a folder.
pub fn files(below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![below.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

/// Every sound shard header on a disk.
pub fn walk(disk: &Path) -> Vec<Found> {
    files(disk).into_iter().flat_map(|file| walk_file(&file).unwrap_or_default()).collect()
}

fn walk_file(path: &Path) -> io::Result<Vec<Found>> {
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    let mut found = Vec::new();
    let mut block = vec![0; BLOCK as usize];
    let mut at = 0;
    while at + BLOCK <= len {
        file.read_exact_at(&mut block, at)?;
        match ShardFront::decode(&block) {
            Ok(front) if front.header.offset == at => {
                at += front.header.disk_len();
                found.push(Found { file: path.to_owned(), header: front.header });
            }
            _ => at += BLOCK,
        }
    }
    Ok(found)
}

/// Counts the shards of all disks by kind.
pub fn physical(disks: &[PathBuf]) -> Physical {
    let mut sum = Physical::default();
    for found in disks.iter().flat_map(|disk| walk(disk)) {
        let len = found.header.disk_len();
        match (found.header.kind, found.header.index < found.header.k) {
            (StripeKind::Checkpoint, _) => {}
            (_, false) => sum.parity += len,
            (StripeKind::Data, true) => sum.data += len,
            (StripeKind::Journal, true) => sum.records += len,
        }
    }
    sum
}
