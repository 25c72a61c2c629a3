//! The index: a derived, disposable view of the journal (W-2).
//!
//! [`Index`] has two implementations that pass one conformance suite: [`rocks`](crate::index::rocks) (RocksDB, no WAL of
//! its own, atomic flush) and [`memory`](crate::index::memory) (ordered maps, for the pure tests and the simulator).

pub mod columns;
pub mod digest;
pub mod memory;
#[cfg(feature = "rocks")]
pub mod rocks;
pub mod rows;
pub mod seal;

#[cfg(test)]
mod conformance;

use std::ops::ControlFlow;
use std::sync::Arc;

use thiserror::Error;

pub use columns::Column;

/// Why the index failed. It can always be thrown away and rebuilt: nothing is lost with it.
#[derive(Debug, Clone, Error)]
pub enum IndexError {
    /// The database refused.
    #[error("index {op}: {reason}; if it persists, stop the vault and run `kovcheg rebuild-index`")]
    Database {
        /// What was tried.
        op: &'static str,
        /// The database's words.
        reason: String,
    },
    /// The directory holds something else; nothing in it was touched.
    #[error("{path} is not the index of a vault; name another directory, or empty this one")]
    Foreign {
        /// The directory.
        path: String,
    },
    /// Another process has the index open.
    #[error("the index in {path} is in use by another process; stop that one first")]
    InUse {
        /// The directory.
        path: String,
    },
    /// The database is damaged: a file of it is missing or does not hold what it should.
    #[error("the index in {path} is damaged: {reason}; delete that directory or run `kovcheg rebuild-index`")]
    Damaged {
        /// The directory.
        path: String,
        /// The database's words.
        reason: String,
    },
    /// The database does not open, and it need not be damaged: another release wrote it, or the system refuses.
    #[error(
        "the index in {path} does not open: {reason}; if the cause stays, delete that directory or run `kovcheg rebuild-index`"
    )]
    Unusable {
        /// The directory.
        path: String,
        /// The database's words.
        reason: String,
    },
    /// A record of the journal says what no writer writes; it was not applied.
    #[error("journal record {record}: {reason}; run `kovcheg verify` and keep a copy of the disks")]
    Record {
        /// Kind of the record.
        record: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A row does not decode: the index is damaged.
    #[error("index row in {column}: {source}; stop the vault and run `kovcheg rebuild-index`")]
    Row {
        /// Column.
        column: &'static str,
        /// Cause.
        source: kovcheg_format::FormatError,
    },
}

/// One change of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Column.
    pub column: Column,
    /// Key.
    pub key: Vec<u8>,
    /// New value, `None` to remove the row.
    pub value: Option<Vec<u8>>,
}

/// Changes that become visible together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// In order; a later change of the same row wins.
    pub changes: Vec<Change>,
}

/// Callback of a scan: key, value; `Break` ends it.
pub type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>;

/// Reads from one state of the index.
pub trait IndexRead: Send + Sync {
    /// The value of a row.
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError>;

    /// Visits rows with `from <= key` and, if given, `key < to`, in order of their bytes.
    fn scan(&self, column: Column, from: &[u8], to: Option<&[u8]>, visit: Visit<'_>) -> Result<(), IndexError>;
}

/// The derived view.
pub trait Index: IndexRead {
    /// Applies a batch atomically. Visible at once; durable only after [`Index::flush`], and then only up to some batch
    /// boundary at or after the flush began.
    fn apply(&self, batch: Batch) -> Result<(), IndexError>;

    /// A frozen state of the index, for a listing or a checkpoint.
    fn snapshot(&self) -> Arc<dyn IndexRead>;

    /// Makes everything applied so far durable.
    fn flush(&self) -> Result<(), IndexError>;

    /// Bytes the index takes on its file system, about; 0 when it is in memory only.
    fn size_bytes(&self) -> u64 {
        0
    }

    /// Removes every row but [`META_DOUBT`](rows::META_DOUBT) (before a rebuild). Durable on return. One that is cut short leaves no other
    /// row in [`Column::Meta`], and has to be done again before use.
    fn wipe(&self) -> Result<(), IndexError>;
}
