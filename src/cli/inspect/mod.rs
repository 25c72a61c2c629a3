//! `kovcheg inspect PATH`: what lies in a file of a data disk, told from its bytes alone.
//!
//! Built on `kovcheg-format` and nothing else of the house: no key, no engine, no lock. It reads only, takes any input as
//! hostile, and keeps memory bounded by what it prints. Contents stay sealed: it checks checksums, it opens nothing.

mod report;
mod shard_file;
mod small;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use clap::Args;
use kovcheg_format::id::SegmentId;
use kovcheg_format::version::{MAGIC_KEYRING, MAGIC_SHARD};

use super::show::{json, print};
use crate::error::{AppError, Outcome};
use report::{FileReport, FolderEntry, FolderReport, Report};

/// Options of `inspect`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct InspectArguments {
    /// A superblock, keyring or shard file, or a folder of them (a whole disk)
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  kovcheg inspect kovcheg-data/disk0
  kovcheg inspect kovcheg-data/disk0/superblock
  kovcheg inspect kovcheg-data/disk0/segments/0000000100000002 --json

Exit codes: 0 every checksum holds, 1 one does not, 2 could not run.
No key is needed and nothing is changed; a server may run, but then a file may be caught half written.";

/// Most files of a folder that are looked at.
const FILES_MAX: usize = 100_000;
/// Folders below the one named: a disk has one level, its parent two.
const DEPTH_MAX: usize = 3;
/// Most stripes of one file that are listed; all are counted.
const STRIPES_LISTED_MAX: usize = 20_000;

/// Looks, and tells.
pub fn run(arguments: &InspectArguments) -> Result<Outcome, AppError> {
    let found = std::fs::metadata(&arguments.path).map_err(AppError::io("look at", &arguments.path))?;
    let report = if found.is_dir() {
        Report::Folder(inspect_folder(&arguments.path)?)
    } else {
        let report = inspect_file(&arguments.path, STRIPES_LISTED_MAX)?;
        Report::File(report.ok_or_else(|| not_ours(&arguments.path))?)
    };
    if arguments.json {
        json(&report)?;
    } else {
        print(&report.words())?;
    }
    Ok(if report.is_sound() { Outcome::Fine } else { Outcome::Damage })
}

fn not_ours(path: &Path) -> AppError {
    AppError::Usage(format!("{} is no superblock, keyring or shard file of a vault", path.display()))
}

/// `None` for a file that is not one of ours.
fn inspect_file(path: &Path, stripes_max: usize) -> Result<Option<FileReport>, AppError> {
    let found = std::fs::metadata(path).map_err(AppError::io("look at", path))?;
    if !found.is_file() {
        return Err(AppError::Usage(format!("{} is not a regular file", path.display())));
    }
    let mut file = File::open(path).map_err(AppError::io("open", path))?;
    let mut head = Vec::new();
    file.by_ref().take(small::HEAD_LEN).read_to_end(&mut head).map_err(AppError::io("read", path))?;
    if small::is_superblock(&head) {
        return Ok(Some(FileReport::Superblock(small::superblock(&head))));
    }
    if head.starts_with(&MAGIC_KEYRING) {
        file.seek(SeekFrom::Start(0)).map_err(AppError::io("read", path))?;
        let mut bytes = Vec::new();
        file.take(small::KEYRING_LEN_MAX).read_to_end(&mut bytes).map_err(AppError::io("read", path))?;
        return Ok(Some(FileReport::Keyring(small::keyring(&bytes))));
    }
    let named = path.file_name().and_then(|name| name.to_str()).and_then(SegmentId::from_file_name);
    if head.starts_with(&MAGIC_SHARD) || named.is_some() {
        return Ok(Some(FileReport::Shards(shard_file::walk(&mut file, found.len(), named, stripes_max))));
    }
    Ok(None)
}

fn inspect_folder(folder: &Path) -> Result<FolderReport, AppError> {
    let mut report = FolderReport::default();
    let mut queue = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = queue.pop() {
        let entries = std::fs::read_dir(&folder).map_err(AppError::io("list", &folder))?;
        for entry in entries {
            let path = entry.map_err(AppError::io("list", &folder))?.path();
            // Links are not followed: what they point at is not part of this disk.
            let Ok(found) = std::fs::symlink_metadata(&path) else { continue };
            if found.is_dir() && depth < DEPTH_MAX {
                queue.push((path, depth + 1));
            } else if found.is_file() {
                look_at(path, &mut report);
            }
            if report.files.len() >= FILES_MAX {
                report.cut = true;
                queue.clear();
                break;
            }
        }
    }
    report.files.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(report)
}

/// One file of a folder; a file that cannot be read is part of the report, not the end of it.
fn look_at(path: PathBuf, report: &mut FolderReport) {
    match inspect_file(&path, 0) {
        Ok(Some(file)) => report.files.push(FolderEntry { path, file: Some(file), error: None }),
        Ok(None) => report.other_files += 1,
        Err(error) => report.files.push(FolderEntry { path, file: None, error: Some(error.to_string()) }),
    }
}
