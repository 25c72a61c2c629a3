//! Ways to hurt a disk that is a directory. The vault must be down, or must find out by itself.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::data::Rng;
use super::shards;

/// What happens to a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// The directory is gone.
    Removed,
    /// The directory is there and empty: a fresh disk, or one that is not mounted.
    Emptied,
    /// Every file that holds shards is cut at a random place.
    Truncated,
    /// Bytes are flipped at random places of every file that holds shards.
    Sprinkled,
}

/// All of them.
pub const HARMS: [Harm; 4] = [Harm::Removed, Harm::Emptied, Harm::Truncated, Harm::Sprinkled];

/// Files of a disk that hold no shards.
const NAMES: [&str; 2] = ["superblock", "keyring"];

/// Hurts the shards of a disk.
pub fn harm(disk: &Path, how: Harm, rng: &mut Rng) {
    match how {
        Harm::Removed => fs::remove_dir_all(disk).expect("the disk was there"),
        Harm::Emptied => {
            fs::remove_dir_all(disk).expect("the disk was there");
            fs::create_dir(disk).expect("an empty disk");
        }
        Harm::Truncated => shard_files(disk).iter().for_each(|file| truncate(file, rng)),
        Harm::Sprinkled => {
            let flipped: usize = shard_files(disk).iter().map(|file| sprinkle(file, rng)).sum();
            assert!(flipped > 0, "nothing to sprinkle on {}", disk.display());
        }
    }
}

/// Hurts a disk as [`harm`] does, and with it what says whose disk it is and opens its keys: superblock and keyring.
pub fn harm_with_names(disk: &Path, how: Harm, rng: &mut Rng) {
    harm(disk, how, rng);
    for file in NAMES.map(|name| disk.join(name)) {
        match how {
            Harm::Removed | Harm::Emptied => {}
            Harm::Truncated => truncate(&file, rng),
            Harm::Sprinkled => sprinkle_anywhere(&file, rng),
        }
    }
}

/// Files of a disk that hold shards: of segments, journal and checkpoints.
pub fn shard_files(disk: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = shards::walk(disk).into_iter().map(|found| found.file).collect();
    files.dedup();
    files
}

fn truncate(file: &Path, rng: &mut Rng) {
    let open = OpenOptions::new().write(true).open(file).expect("a file to cut");
    let len = open.metadata().expect("its length").len();
    open.set_len(rng.below(len.max(1))).expect("cut");
}

/// Flips one bit in about every 256 KiB of the shards of a file, headers included; the number of flips.
fn sprinkle(path: &Path, rng: &mut Rng) -> usize {
    let file = OpenOptions::new().read(true).write(true).open(path).expect("a file to sprinkle");
    let disk = path.parent().expect("a file lies in a folder");
    let shards = shards::walk(disk).into_iter().filter(|found| found.file == path);
    let used: Vec<(u64, u64)> = shards.map(|found| (found.header.offset, found.header.disk_len())).collect();
    let total: u64 = used.iter().map(|(_, len)| len).sum();
    let flips = (total >> 18).max(1) as usize;
    for _ in 0..flips {
        let (start, len) = *rng.pick(&used);
        flip(&file, start + rng.below(len), rng);
    }
    flips
}

/// Flips one to eight bits of a file: a superblock has four copies, some of which are often left.
fn sprinkle_anywhere(path: &Path, rng: &mut Rng) {
    let file = OpenOptions::new().read(true).write(true).open(path).expect("a file to sprinkle");
    let len = file.metadata().expect("its length").len();
    for _ in 0..=rng.below(8) {
        flip(&file, rng.below(len), rng);
    }
}

fn flip(file: &std::fs::File, at: u64, rng: &mut Rng) {
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("a byte to flip");
    byte[0] ^= 1 << rng.below(8);
    file.write_all_at(&byte, at).expect("flipped");
}

/// Overwrites a file's content with zeros from `at` on, its length unchanged.
pub fn zero(path: &Path, at: u64, len: usize) {
    let file = OpenOptions::new().write(true).open(path).expect("a file to overwrite");
    file.write_all_at(&vec![0; len], at).expect("overwritten");
}

/// Cuts every file of a disk that holds shards somewhere in the first half of what its shards take.
pub fn halve(disk: &Path, rng: &mut Rng) {
    let mut ends = BTreeMap::new();
    for found in shards::walk(disk) {
        ends.insert(found.file, found.header.offset + found.header.disk_len());
    }
    for (path, end) in ends {
        let file = OpenOptions::new().write(true).open(&path).expect("a file to cut");
        file.set_len(rng.below(end / 2 + 1)).expect("cut");
    }
}

/// Copies a folder with everything in it.
pub fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder to copy to");
    for entry in fs::read_dir(from).expect("a folder to copy").flatten() {
        let target = to.join(entry.file_name());
        let kind = entry.file_type().expect("a type");
        if kind.is_dir() {
            copy_tree(&entry.path(), &target);
        } else if kind.is_file() {
            fs::copy(entry.path(), &target).expect("copied");
        }
    }
}
