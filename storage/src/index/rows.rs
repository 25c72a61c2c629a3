//! Rows that are not records, and typed access to rows. Only `journal::apply` writes them; every floor above may read.

use std::ops::ControlFlow;

use kovcheg_format::audit::AuditTree;
use kovcheg_format::codec::{Decode, Reader};
use kovcheg_format::id::{BucketId, ChunkId, Epoch, StripeHash};
use kovcheg_format::{FormatError, layout};

use crate::index::digest::SetDigest;
use crate::index::{Column, IndexError, IndexRead};

/// Key in [`Column::Meta`] of the journal position up to which the index holds everything.
pub const META_APPLIED: &[u8] = b"applied";
/// Key in [`Column::Meta`] of the [`SetDigest`] of all rows outside that column.
pub const META_DIGEST: &[u8] = b"digest";
/// Key in [`Column::Meta`] of the [`Counters`].
pub const META_COUNTERS: &[u8] = b"counters";
/// Key in [`Column::Meta`] of the newest `EpochStarted`.
pub const META_EPOCH: &[u8] = b"epoch";
/// Key in [`Column::Meta`] of the newest `ClockTicked`.
pub const META_CLOCK: &[u8] = b"clock";

/// Key in [`Column::Meta`] of the [sealed count](crate::index::seal) of all facts.
pub const META_FACTS: &[u8] = b"facts";

/// Key in [`Column::Meta`] of the [`DoubtRow`], the one row that a [wipe](crate::index::Index::wipe) leaves.
pub const META_DOUBT: &[u8] = b"doubt";

/// Key of the one row of [`Column::Audit`].
pub const AUDIT_TREE: &[u8] = b"tree";

layout! {
    /// A data stripe that the journal names.
    pub struct StripeRow {
        /// Bytes it takes in each shard file, padding included.
        pub disk_len: u64,
        /// Its hash.
        pub hash: StripeHash,
        /// Its chunks, for the locality cache of dedup look-ups (R18).
        pub chunks: Vec<ChunkId>,
    }
}

layout! {
    /// That the index was not believed, until the audit trail says so: neither wiping nor building it anew forgets it.
    #[derive(Copy)]
    pub struct DoubtRow {
        /// Life that found it.
        pub epoch: Epoch,
        /// [What was found](crate::index::seal::Doubt::number).
        pub doubt: u8,
    }
}

layout! {
    /// Totals over the rows of the index, kept with every batch.
    #[derive(Copy, Default)]
    pub struct Counters {
        /// Rows outside [`Column::Meta`].
        pub rows: u64,
        /// Buckets.
        pub buckets: u64,
        /// Object versions, delete markers included.
        pub versions: u64,
        /// Bytes of all object versions, as clients count them.
        pub logical_bytes: u64,
    }
}

layout! {
    /// What a bucket holds, kept with every change of it.
    #[derive(Copy, Default)]
    pub struct BucketUsage {
        /// Object versions, delete markers included.
        pub versions: u64,
        /// Bytes of all versions, as clients count them.
        pub bytes: u64,
        /// Bytes of the parts of open uploads.
        pub upload_bytes: u64,
    }
}

impl BucketUsage {
    /// All bytes that count towards a quota.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.bytes.saturating_add(self.upload_bytes)
    }
}

/// Decodes the value of a row; the error names the column.
pub fn decode<T: Decode>(column: Column, value: &[u8]) -> Result<T, IndexError> {
    T::from_bytes(value).map_err(|source| IndexError::Row { column: column.name(), source })
}

/// Reads and decodes one row.
pub fn get<T: Decode>(view: &dyn IndexRead, column: Column, key: &[u8]) -> Result<Option<T>, IndexError> {
    view.get(column, key)?.map(|value| decode(column, &value)).transpose()
}

/// Visits decoded rows with `from <= key` and, if given, `key < to`; stops at the first row that does not decode.
pub fn scan<T: Decode>(
    view: &dyn IndexRead,
    column: Column,
    from: &[u8],
    to: Option<&[u8]>,
    visit: &mut dyn FnMut(&[u8], T) -> ControlFlow<()>,
) -> Result<(), IndexError> {
    let mut failed = Ok(());
    view.scan(column, from, to, &mut |key, value| match decode(column, value) {
        Ok(row) => visit(key, row),
        Err(error) => {
            failed = Err(error);
            ControlFlow::Break(())
        }
    })?;
    failed
}

/// The id of the bucket of this name.
pub fn bucket_id(view: &dyn IndexRead, name: &str) -> Result<Option<BucketId>, IndexError> {
    view.get(Column::BucketName, name.as_bytes())?.map(|value| decode_bucket_id(&value)).transpose()
}

/// Decodes a value of [`Column::BucketName`].
pub fn decode_bucket_id(value: &[u8]) -> Result<BucketId, IndexError> {
    let mut input = Reader::new(value);
    let read = input.array("bucket id").and_then(|bytes| input.finish("bucket id").map(|()| bytes));
    match read {
        Ok(bytes) => Ok(BucketId(u64::from_be_bytes(bytes))),
        Err(source) => Err(IndexError::Row { column: Column::BucketName.name(), source }),
    }
}

/// The totals; zero in an empty index.
pub fn counters(view: &dyn IndexRead) -> Result<Counters, IndexError> {
    Ok(get(view, Column::Meta, META_COUNTERS)?.unwrap_or_default())
}

/// The tree over the audit trail; `None` in an empty index, and in one that a release before there was a tree has made.
pub fn audit_tree(view: &dyn IndexRead) -> Result<Option<AuditTree>, IndexError> {
    get(view, Column::Audit, AUDIT_TREE)
}

/// The digest kept with the rows; that of no rows in an empty index.
pub fn digest(view: &dyn IndexRead) -> Result<SetDigest, IndexError> {
    let Some(value) = view.get(Column::Meta, META_DIGEST)? else {
        return Ok(SetDigest::default());
    };
    match <[u8; 32]>::try_from(value.as_slice()) {
        Ok(bytes) => Ok(SetDigest::from_bytes(bytes)),
        Err(_) => {
            Err(IndexError::Row { column: Column::Meta.name(), source: FormatError::Invalid { what: "index digest" } })
        }
    }
}
