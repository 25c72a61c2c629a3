//! The index in RocksDB: one database, a column family per column, no write-ahead log.
//!
//! The journal is the log (R8). All families are flushed together (`atomic_flush`), so that after a crash the database
//! stands at some batch boundary, at or after the last [`Index::flush`], and replay goes on from its `applied` row.
//! Object keys stand in the clear in this directory and nowhere else; it is made with mode 0700.

use std::fs::{DirBuilder, File, remove_dir_all, remove_file, rename};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use rocksdb::properties::TOTAL_SST_FILES_SIZE;
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, BoundColumnFamily, Cache, ColumnFamilyDescriptor, DBCompressionType,
    DBRawIteratorWithThreadMode, DBWithThreadMode, DataBlockIndexType, Error, ErrorKind, FlushOptions, LogLevel,
    MultiThreaded, Options, ReadOptions, SnapshotWithThreadMode, WriteBatch, WriteOptions,
};

use crate::index::rows::META_DOUBT;
use crate::index::{Batch, Change, Column, Index, IndexError, IndexRead, Visit};

/// File that says that a directory is an index of ours, and in which layout.
const MARKER: &str = "KOVCHEG-INDEX";
/// Its content; raised when the layout of the columns changes.
const MARKER_CONTENT: &[u8] = b"kovcheg index 1\n";
/// Bits per key a Bloom filter of the same accuracy would take: one false answer in a hundred. A ribbon filter takes 7,
/// which is 14 MiB per TiB of 64 KiB chunks.
const FILTER_BITS: f64 = 10.0;
/// Bytes of a data block before compression.
const BLOCK_BYTES: usize = 8 << 10;
/// Bytes of RocksDB's own log before it starts a new one; two are kept.
const LOG_BYTES: usize = 1 << 20;
/// Bytes of RocksDB's manifest before it is written anew.
const MANIFEST_BYTES: usize = 4 << 20;
/// A table is compacted soon when so many of so many rows in a row are deletions: listings must not wade through them.
const DELETIONS: (usize, usize) = (1024, 256);

type Db = DBWithThreadMode<MultiThreaded>;

/// Bounds on what the database takes (M-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RocksConfig {
    /// Bytes of cached blocks, indexes and filters.
    pub cache_bytes: usize,
    /// Bytes of rows in memory over all columns before they are flushed.
    pub write_buffer_bytes: usize,
    /// Most files kept open.
    pub max_open_files: i32,
}

impl Default for RocksConfig {
    fn default() -> Self {
        Self { cache_bytes: 64 << 20, write_buffer_bytes: 32 << 20, max_open_files: 256 }
    }
}

/// An index in a directory of its own.
pub struct RocksIndex {
    db: Arc<Db>,
    tuning: Tuning,
}

/// What column families are made with: at opening, and again by a wipe.
struct Tuning {
    cache: Cache,
    config: RocksConfig,
}

/// A frozen state that keeps its database open.
struct OwnedSnapshot {
    /// Declared before `db`, so that it is dropped before it.
    snapshot: SnapshotWithThreadMode<'static, Db>,
    db: Arc<Db>,
}

impl RocksIndex {
    /// Opens the index in `path`, or makes an empty one there when the directory is missing or empty.
    ///
    /// # Errors
    /// [`IndexError::Foreign`] when something else is in the directory, [`IndexError::InUse`] when another process has it
    /// open, [`IndexError::Damaged`] when it is damaged, [`IndexError::Unusable`] when it does not open for another reason;
    /// nothing is changed then.
    pub fn open(path: &Path, config: RocksConfig) -> Result<Self, IndexError> {
        claim(path)?;
        let tuning = Tuning { cache: Cache::new_lru_cache(config.cache_bytes), config };
        let families = Column::ALL.map(|column| ColumnFamilyDescriptor::new(column.name(), tuning.family(column)));
        let db = Db::open_cf_descriptors(&tuning.database(), path, families).map_err(|error| unopened(path, &error))?;
        Ok(Self { db: Arc::new(db), tuning })
    }

    /// Bytes of its tables on disk, for the metric of physical bytes.
    pub fn size_bytes(&self) -> Result<u64, IndexError> {
        let mut sum: u64 = 0;
        for column in Column::ALL {
            let size = self.db.property_int_value_cf(&family(&self.db, column)?, TOTAL_SST_FILES_SIZE);
            sum = sum.saturating_add(size.map_err(|error| failed("measure", &error))?.unwrap_or(0));
        }
        Ok(sum)
    }
}

impl IndexRead for RocksIndex {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        self.db.get_cf(&family(&self.db, column)?, key).map_err(|error| failed("read", &error))
    }

    fn scan(&self, column: Column, from: &[u8], to: Option<&[u8]>, visit: Visit<'_>) -> Result<(), IndexError> {
        let Some(options) = scan_options(from, to) else { return Ok(()) };
        let rows = self.db.raw_iterator_cf_opt(&family(&self.db, column)?, options);
        walk(rows, from, visit)
    }
}

impl Index for RocksIndex {
    fn size_bytes(&self) -> u64 {
        Self::size_bytes(self).unwrap_or(0)
    }

    fn apply(&self, batch: Batch) -> Result<(), IndexError> {
        let mut writes = WriteBatch::default();
        for change in &batch.changes {
            let family = family(&self.db, change.column)?;
            match &change.value {
                Some(value) => writes.put_cf(&family, &change.key, value),
                None => writes.delete_cf(&family, &change.key),
            }
        }
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        self.db.write_opt(writes, &options).map_err(|error| failed("write", &error))
    }

    fn snapshot(&self) -> Arc<dyn IndexRead> {
        let db = Arc::clone(&self.db);
        // SAFETY: the database lies on the heap behind `db`, does not move, and lives as long as the snapshot: the two
        // stand in one struct whose fields are dropped in order, the snapshot first. The reference does not leave it.
        let borrowed: &'static Db = unsafe { &*Arc::as_ptr(&db) };
        Arc::new(OwnedSnapshot { snapshot: SnapshotWithThreadMode::new(borrowed), db })
    }

    fn flush(&self) -> Result<(), IndexError> {
        let families = Column::ALL.into_iter().map(|column| family(&self.db, column)).collect::<Result<Vec<_>, _>>()?;
        let mut options = FlushOptions::default();
        options.set_wait(true);
        let families: Vec<_> = families.iter().collect();
        self.db.flush_cfs_opt(&families, &options).map_err(|error| failed("flush", &error))
    }

    /// First the rows of [`Column::Meta`] go, together and for good, so that a wipe cut short by a crash leaves an index without `applied`;
    /// then every other column is dropped and made anew. Snapshots taken before show no rows of those after.
    fn wipe(&self) -> Result<(), IndexError> {
        let mut gone = Batch::default();
        self.scan(Column::Meta, &[], None, &mut |key, _| {
            if key != META_DOUBT {
                gone.changes.push(Change { column: Column::Meta, key: key.to_vec(), value: None });
            }
            ControlFlow::Continue(())
        })?;
        self.apply(gone)?;
        self.flush()?;
        for column in Column::ALL.into_iter().filter(|column| *column != Column::Meta) {
            self.db.drop_cf(column.name()).map_err(|error| failed("drop column", &error))?;
        }
        for column in Column::ALL.into_iter().filter(|column| *column != Column::Meta) {
            let options = self.tuning.family(column);
            self.db.create_cf(column.name(), &options).map_err(|error| failed("create column", &error))?;
        }
        Ok(())
    }
}

impl IndexRead for OwnedSnapshot {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        self.snapshot.get_cf(&family(&self.db, column)?, key).map_err(|error| failed("read", &error))
    }

    fn scan(&self, column: Column, from: &[u8], to: Option<&[u8]>, visit: Visit<'_>) -> Result<(), IndexError> {
        let Some(options) = scan_options(from, to) else { return Ok(()) };
        let rows = self.snapshot.raw_iterator_cf_opt(&family(&self.db, column)?, options);
        walk(rows, from, visit)
    }
}

impl Tuning {
    fn database(&self) -> Options {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_atomic_flush(true);
        options.set_paranoid_checks(true);
        options.set_db_write_buffer_size(self.config.write_buffer_bytes);
        options.set_max_open_files(self.config.max_open_files);
        options.set_max_background_jobs(2);
        options.set_max_manifest_file_size(MANIFEST_BYTES);
        // The log at this level has no keys, and no statistics are printed into it.
        options.set_log_level(LogLevel::Error);
        options.set_max_log_file_size(LOG_BYTES);
        options.set_keep_log_file_num(2);
        options.set_stats_dump_period_sec(0);
        options.set_stats_persist_period_sec(0);
        options
    }

    fn family(&self, column: Column) -> Options {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&self.cache);
        blocks.set_block_size(BLOCK_BYTES);
        blocks.set_format_version(5);
        // Indexes and filters are cut into partitions and live in the cache, or memory would grow with the vault (M-1).
        blocks.set_cache_index_and_filter_blocks(true);
        blocks.set_cache_index_and_filter_blocks_with_high_priority(true);
        blocks.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
        blocks.set_partition_filters(true);
        blocks.set_pin_top_level_index_and_filter(true);
        blocks.set_optimize_filters_for_memory(true);
        blocks.set_whole_key_filtering(true);
        let mut options = Options::default();
        match column {
            Column::Chunk => {
                // Bloom in the first level, which is built often; ribbon, smaller and slower to build, below.
                blocks.set_hybrid_ribbon_filter(FILTER_BITS, 1);
                blocks.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);
            }
            _ => blocks.set_bloom_filter(FILTER_BITS, false),
        }
        options.set_compression_type(match column {
            Column::Version => DBCompressionType::Zstd,
            _ => DBCompressionType::None,
        });
        if matches!(column, Column::Version | Column::Current | Column::Upload | Column::Part) {
            options.add_compact_on_deletion_collector_factory(DELETIONS.0, DELETIONS.1, 0.5);
        }
        options.set_write_buffer_size(self.config.write_buffer_bytes);
        options.set_block_based_table_factory(&blocks);
        options
    }
}

fn family(db: &Db, column: Column) -> Result<Arc<BoundColumnFamily<'_>>, IndexError> {
    db.cf_handle(column.name()).ok_or_else(|| IndexError::Database {
        op: "open column",
        reason: format!("there is no column {}", column.name()),
    })
}

fn scan_options(from: &[u8], to: Option<&[u8]>) -> Option<ReadOptions> {
    let mut options = ReadOptions::default();
    if let Some(to) = to {
        if to <= from {
            return None;
        }
        options.set_iterate_upper_bound(to);
    }
    Some(options)
}

fn walk(mut rows: DBRawIteratorWithThreadMode<'_, Db>, from: &[u8], visit: Visit<'_>) -> Result<(), IndexError> {
    rows.seek(from);
    while let Some((key, value)) = rows.item() {
        if visit(key, value) == ControlFlow::Break(()) {
            return Ok(());
        }
        rows.next();
    }
    rows.status().map_err(|error| failed("scan", &error))
}

fn failed(op: &'static str, error: &Error) -> IndexError {
    IndexError::Database { op, reason: error.to_string() }
}

fn unopened(path: &Path, error: &Error) -> IndexError {
    let (path, reason) = (path.display().to_string(), error.to_string());
    if error.kind() == ErrorKind::IOError && reason.contains("/LOCK") {
        return IndexError::InUse { path };
    }
    if is_damage(error.kind(), &reason) {
        return IndexError::Damaged { path, reason };
    }
    IndexError::Unusable { path, reason }
}

/// Whether RocksDB could not open because of what its files hold. It says "corruption" also of a sound file that the system
/// would not let it read (no descriptor free, a dying disk), and "I/O error" of a manifest that is gone.
fn is_damage(kind: ErrorKind, reason: &str) -> bool {
    let is_missing = reason.contains("No such file or directory");
    match kind {
        ErrorKind::Corruption => is_missing || !reason.contains("IO error"),
        ErrorKind::IOError => is_missing,
        _ => false,
    }
}

/// Makes sure that `path` is a directory of ours: marked, or empty and then marked, durably.
fn claim(path: &Path) -> Result<(), IndexError> {
    let failed =
        |error: io::Error| IndexError::Unusable { path: path.display().to_string(), reason: error.to_string() };
    if !path.exists() {
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
    }
    match std::fs::read(path.join(MARKER)) {
        Ok(content) if content == MARKER_CONTENT => return Ok(()),
        Ok(content) => {
            let found = String::from_utf8_lossy(&content).chars().take(32).collect::<String>();
            let reason = format!("its layout is {:?} and this release writes another", found.trim_end());
            return Err(IndexError::Unusable { path: path.display().to_string(), reason });
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let temporary = format!("{MARKER}.new");
    for entry in path.read_dir().map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if name != temporary.as_str() && name != "lost+found" {
            return Err(IndexError::Foreign { path: path.display().to_string() });
        }
    }
    mark(path, &temporary).map_err(failed)
}

/// Removes an index, broken ones too. Nothing when there is none; [`IndexError::Foreign`], and nothing removed, when the directory
/// holds something that never was an index.
pub fn remove(path: &Path) -> Result<(), IndexError> {
    let failed =
        |error: io::Error| IndexError::Unusable { path: path.display().to_string(), reason: error.to_string() };
    if !path.exists() {
        return Ok(());
    }
    match std::fs::read(path.join(MARKER)) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return claim(path),
        Err(error) => return Err(failed(error)),
    }
    // The marker goes last: cut off in between, what is left is still known as an index.
    for entry in path.read_dir().map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name() == MARKER || entry.file_name() == "lost+found" {
            continue;
        }
        let is_folder = entry.file_type().map_err(failed)?.is_dir();
        if is_folder { remove_dir_all(entry.path()) } else { remove_file(entry.path()) }.map_err(failed)?;
    }
    // An index of another layout gets ours.
    mark(path, &format!("{MARKER}.new")).map_err(failed)
}

fn mark(path: &Path, temporary: &str) -> io::Result<()> {
    let mut file = File::create(path.join(temporary))?;
    file.write_all(MARKER_CONTENT)?;
    file.sync_all()?;
    rename(path.join(temporary), path.join(MARKER))?;
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests;
