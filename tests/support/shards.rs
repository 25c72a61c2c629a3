//! A walk over the shards that lie on disks, with the format crate alone: what is really there, told from headers, against
//! which metrics are checked and into which damage is aimed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use kovcheg_format::Decode;
use kovcheg_format::directory::Directory;
use kovcheg_format::id::SegmentId;
use kovcheg_format::shard::{ShardFront, ShardHeader, StripeKind, data_offset};
use sha2::{Digest, Sha256};

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

/// Every sound shard on a disk, by file and place, its data checked against its checksums.
pub fn sound(disk: &Path) -> Vec<(PathBuf, u64)> {
    let whole = |found: &Found| {
        let file = File::open(&found.file)?;
        let mut bytes = vec![0; found.header.disk_len() as usize];
        file.read_exact_at(&mut bytes, found.header.offset)?;
        let start = found.header.data_offset();
        let front = ShardFront::decode(&bytes).map_err(|error| io::Error::other(error.to_string()))?;
        io::Result::Ok(front.data_is_sound(&bytes[start..start + found.header.shard_len as usize]))
    };
    let found = walk(disk).into_iter().filter(|found| whole(found).unwrap_or(false));
    found.map(|found| (found.file.clone(), found.header.offset)).collect()
}

/// What a folder holds: every file by its path and the SHA-256 of its content.
pub fn contents(folder: &Path) -> BTreeMap<PathBuf, [u8; 32]> {
    let hash = |path: PathBuf| {
        let bytes = fs::read(&path).unwrap_or_default();
        (path, Sha256::digest(bytes).into())
    };
    files(folder).into_iter().map(hash).collect()
}

/// The directory of every data stripe, read from the data shards that hold it. All disks must be there and whole.
pub fn directories(disks: &[PathBuf]) -> Vec<Directory> {
    let mut stripes: BTreeMap<(SegmentId, u64), Vec<Found>> = BTreeMap::new();
    for found in disks.iter().flat_map(|disk| walk(disk)) {
        let header = &found.header;
        if header.kind == StripeKind::Data && header.index < header.k {
            stripes.entry((header.segment, header.offset)).or_default().push(found);
        }
    }
    stripes.into_values().map(|shards| directory(&shards)).collect()
}

/// A directory lies at the end of its stripe's payload, which may be spread over several shards.
fn directory(shards: &[Found]) -> Directory {
    let header = &shards[0].header;
    let shard_len = u64::from(header.shard_len);
    let mut bytes = Vec::new();
    let mut at = header.payload_len - u64::from(header.inner_len);
    while at < header.payload_len {
        let (index, within) = (at / shard_len, at % shard_len);
        let len = (shard_len - within).min(header.payload_len - at);
        let shard = shards.iter().find(|shard| u64::from(shard.header.index) == index).expect("every data shard");
        let mut piece = vec![0; len as usize];
        let start = header.offset + data_offset(header.shard_len) as u64 + within;
        File::open(&shard.file).and_then(|file| file.read_exact_at(&mut piece, start)).expect("a shard's data");
        bytes.extend_from_slice(&piece);
        at += len;
    }
    Directory::from_bytes(&bytes).expect("the directory of a stripe decodes")
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
