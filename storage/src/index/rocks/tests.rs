//! What is particular to the index in RocksDB: what a crash leaves, what does not open, what its log says.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rocksdb::ErrorKind;

use super::{MARKER, RocksConfig, RocksIndex, is_damage};
use crate::index::conformance::{self, rows};
use crate::index::memory::MemoryIndex;
use crate::index::rows::META_DOUBT;
use crate::index::{Batch, Change, Column, Index, IndexError, IndexRead};

/// A directory that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("kovcheg-rocks-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self(std::env::temp_dir().join(name))
    }

    fn open(&self) -> Result<RocksIndex, IndexError> {
        RocksIndex::open(&self.0, RocksConfig { cache_bytes: 1 << 20, write_buffer_bytes: 1 << 20, max_open_files: 64 })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn put(column: Column, key: &[u8]) -> Change {
    Change { column, key: key.to_vec(), value: Some(b"value".to_vec()) }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in from.read_dir().unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn conforms() {
    let scratch = Scratch::new();
    let next = AtomicU32::new(0);
    conformance::run_all(&|| {
        let path = scratch.0.join(next.fetch_add(1, Ordering::Relaxed).to_string());
        Box::new(RocksIndex::open(&path, RocksConfig::default()).unwrap())
    });
}

/// What lies on disk while the database is open holds the flushed batches, in every column, and none applied after.
#[test]
fn crash_keeps_what_was_flushed() {
    let (scratch, crashed) = (Scratch::new(), Scratch::new());
    let index = scratch.open().unwrap();
    let changes = Column::ALL.into_iter().map(|column| put(column, b"flushed")).collect();
    index.apply(Batch { changes }).unwrap();
    index.flush().unwrap();
    assert!(index.size_bytes().unwrap() > 0);
    let changes = Column::ALL.into_iter().map(|column| put(column, b"later")).collect();
    index.apply(Batch { changes }).unwrap();
    copy(&scratch.0, &crashed.0);
    let reopened = crashed.open().unwrap();
    for column in Column::ALL {
        assert!(reopened.get(column, b"flushed").unwrap().is_some(), "{}", column.name());
        assert!(reopened.get(column, b"later").unwrap().is_none(), "{}", column.name());
    }
}

/// A wiped index is empty after a crash too.
#[test]
fn wipe_is_durable() {
    let (scratch, crashed) = (Scratch::new(), Scratch::new());
    let index = scratch.open().unwrap();
    let changes = vec![put(Column::Meta, b"applied"), put(Column::Meta, META_DOUBT), put(Column::Chunk, b"c")];
    index.apply(Batch { changes }).unwrap();
    index.flush().unwrap();
    index.wipe().unwrap();
    copy(&scratch.0, &crashed.0);
    let reopened = crashed.open().unwrap();
    for column in Column::ALL {
        let kept: Vec<_> = rows(&reopened, column, &[], None).into_iter().map(|(key, _)| key).collect();
        let doubt = (column == Column::Meta).then(|| META_DOUBT.to_vec());
        assert_eq!(kept, Vec::from_iter(doubt), "{}", column.name());
    }
}

/// The same batches give the same rows as in memory, also after closing and opening.
#[test]
fn agrees_with_memory_over_reopening() {
    let scratch = Scratch::new();
    let memory = MemoryIndex::new();
    for round in 0..20_u32 {
        let index = scratch.open().unwrap();
        let mut changes = Vec::new();
        for step in 0..50_u32 {
            let key = (round * 7 + step * 13 % 101).to_be_bytes();
            let column = Column::ALL.into_iter().nth((step % 13) as usize).unwrap();
            let value = (step % 5 != 0).then(|| key.to_vec());
            changes.push(Change { column, key: key.to_vec(), value });
        }
        let batch = Batch { changes };
        memory.apply(batch.clone()).unwrap();
        index.apply(batch).unwrap();
    }
    let index = scratch.open().unwrap();
    for column in Column::ALL {
        assert_eq!(rows(&memory, column, &[], None), rows(&index, column, &[], None), "{}", column.name());
    }
}

/// Each directory that is no sound index of ours has its own error, and keeps what it holds.
#[test]
fn refuses_what_is_not_its_own() {
    let foreign = Scratch::new();
    fs::create_dir_all(&foreign.0).unwrap();
    fs::write(foreign.0.join("letters.txt"), b"dear").unwrap();
    assert!(matches!(foreign.open(), Err(IndexError::Foreign { .. })));
    assert_eq!(1, foreign.0.read_dir().unwrap().count());

    let used = Scratch::new();
    let holder = used.open().unwrap();
    assert!(matches!(used.open(), Err(IndexError::InUse { .. })));
    drop(holder);
    used.open().unwrap();

    fs::write(used.0.join("CURRENT"), b"MANIFEST-nowhere\n").unwrap();
    let error = used.open().err().unwrap();
    assert!(matches!(error, IndexError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("rebuild-index"), "{error}");

    fs::write(used.0.join(MARKER), b"kovcheg index 9\n").unwrap();
    let error = used.open().err().unwrap();
    assert!(matches!(error, IndexError::Unusable { .. }), "{error}");
    assert!(error.to_string().contains("kovcheg index 9"), "{error}");
}

/// Only what the files hold is damage: an index that the system would not open today is not thrown away.
#[test]
fn damage_is_told_from_refusals() {
    let table = [
        (ErrorKind::Corruption, "Corruption: checksum mismatch in /i/000012.sst", true),
        (
            ErrorKind::Corruption,
            "Corruption: Can't access /000012.sst: IO error: No such file or directory: /i/000012.sst",
            true,
        ),
        (
            ErrorKind::Corruption,
            "Corruption: Can't access /000012.sst: IO error: Too many open files: /i/000012.sst",
            false,
        ),
        (
            ErrorKind::Corruption,
            "Corruption: Can't access /000012.sst: IO error: Input/output error: /i/000012.sst",
            false,
        ),
        (ErrorKind::IOError, "IO error: No such file or directory: While opening: /i/MANIFEST-000512", true),
        (ErrorKind::IOError, "IO error: No space left on device: While appending: /i/MANIFEST-000512", false),
        (ErrorKind::InvalidArgument, "Invalid argument: Column families not opened: later", false),
        (ErrorKind::NotSupported, "Not implemented: table format 9", false),
    ];
    for (kind, reason, expected) in table {
        assert_eq!(expected, is_damage(kind, reason), "{reason}");
    }
}

/// A damaged table is an error at reading, never other rows.
#[test]
fn damaged_table_is_an_error() {
    let scratch = Scratch::new();
    let index = scratch.open().unwrap();
    let changes = (0..2000_u32).map(|at| put(Column::Chunk, &at.to_be_bytes())).collect();
    index.apply(Batch { changes }).unwrap();
    index.flush().unwrap();
    drop(index);
    let mut flipped = 0;
    for entry in scratch.0.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "sst") {
            let mut bytes = fs::read(&path).unwrap();
            let middle = bytes.len() / 4;
            *bytes.get_mut(middle).unwrap() ^= 0x40;
            fs::write(&path, bytes).unwrap();
            flipped += 1;
        }
    }
    assert!(flipped > 0, "no table was written");
    match scratch.open() {
        Err(error) => assert!(matches!(error, IndexError::Damaged { .. }), "{error}"),
        Ok(index) => {
            let mut read = 0;
            let scanned = index.scan(Column::Chunk, &[], None, &mut |_, value| {
                assert_eq!(b"value", value);
                read += 1;
                std::ops::ControlFlow::Continue(())
            });
            assert!(scanned.is_err(), "{read} rows of a damaged table were read");
        }
    }
}

/// K-1: RocksDB's own log names no key.
#[test]
fn log_names_no_key() {
    let scratch = Scratch::new();
    for _ in 0..3 {
        let index = scratch.open().unwrap();
        index.apply(Batch { changes: vec![put(Column::Version, b"salaries-of-2025.csv")] }).unwrap();
        index.flush().unwrap();
    }
    let mut logs = 0;
    for entry in scratch.0.read_dir().unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_string_lossy().starts_with("LOG") {
            let text = fs::read(entry.path()).unwrap();
            assert!(!text.windows(8).any(|window| window == b"salaries"), "{:?}", entry.file_name());
            assert!(text.len() < 256 << 10, "{:?} has {} bytes", entry.file_name(), text.len());
            logs += 1;
        }
    }
    assert!((1..=2).contains(&logs), "{logs} logs");
}
