//! The index as ordered maps: for pure tests and the simulator, with the durability of RocksDB without a log of its own.
//!
//! Batches are visible at once. [`MemoryIndex::crash`] gives what a crash leaves: the state of the last flush, or, as
//! RocksDB may flush at any batch boundary of its own accord, that state and some of the batches after it.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use parking_lot::RwLock;

use crate::index::rows::META_DOUBT;
use crate::index::{Batch, Change, Column, Index, IndexError, IndexRead, Visit};

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// Rows of all columns. Columns are shared between states until one of them changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct State {
    columns: BTreeMap<Column, Arc<Rows>>,
}

#[derive(Debug, Default)]
struct Inner {
    live: State,
    /// What a crash leaves at least.
    durable: State,
    /// Applied since, in order.
    unflushed: Vec<Batch>,
}

/// An index in memory.
#[derive(Debug, Default)]
pub struct MemoryIndex {
    inner: RwLock<Inner>,
}

impl MemoryIndex {
    /// An empty index.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What a crash leaves at least: the state of the last flush.
    #[must_use]
    pub fn crash(&self) -> Self {
        self.crash_after(0)
    }

    /// What a crash leaves when the database had flushed the first `batches` of [`MemoryIndex::unflushed`] by itself.
    #[must_use]
    pub fn crash_after(&self, batches: usize) -> Self {
        let inner = self.inner.read();
        let mut state = inner.durable.clone();
        for batch in inner.unflushed.iter().take(batches) {
            state.apply(batch);
        }
        Self { inner: RwLock::new(Inner { live: state.clone(), durable: state, unflushed: Vec::new() }) }
    }

    /// Batches applied since the last flush.
    #[must_use]
    pub fn unflushed(&self) -> usize {
        self.inner.read().unflushed.len()
    }

    /// Rows in all columns.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.read().live.columns.values().map(|rows| rows.len()).sum()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl State {
    fn apply(&mut self, batch: &Batch) {
        for change in &batch.changes {
            let rows = Arc::make_mut(self.columns.entry(change.column).or_default());
            match &change.value {
                Some(value) => rows.insert(change.key.clone(), value.clone()),
                None => rows.remove(&change.key),
            };
        }
    }
}

impl IndexRead for State {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        Ok(self.columns.get(&column).and_then(|rows| rows.get(key)).cloned())
    }

    fn scan(&self, column: Column, from: &[u8], to: Option<&[u8]>, visit: Visit<'_>) -> Result<(), IndexError> {
        let Some(rows) = self.columns.get(&column) else {
            return Ok(());
        };
        if to.is_some_and(|to| to <= from) {
            return Ok(());
        }
        let end = to.map_or(Bound::Unbounded, Bound::Excluded);
        for (key, value) in rows.range::<[u8], _>((Bound::Included(from), end)) {
            if visit(key, value) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }
}

impl IndexRead for MemoryIndex {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        self.inner.read().live.get(column, key)
    }

    /// Visits a frozen state, so that a visitor may read and write the index.
    fn scan(&self, column: Column, from: &[u8], to: Option<&[u8]>, visit: Visit<'_>) -> Result<(), IndexError> {
        let rows = self.inner.read().live.columns.get(&column).cloned();
        let columns = rows.into_iter().map(|rows| (column, rows)).collect();
        State { columns }.scan(column, from, to, visit)
    }
}

impl Index for MemoryIndex {
    fn apply(&self, batch: Batch) -> Result<(), IndexError> {
        let mut inner = self.inner.write();
        inner.live.apply(&batch);
        inner.unflushed.push(batch);
        Ok(())
    }

    fn snapshot(&self) -> Arc<dyn IndexRead> {
        Arc::new(self.inner.read().live.clone())
    }

    fn flush(&self) -> Result<(), IndexError> {
        let mut inner = self.inner.write();
        for batch in std::mem::take(&mut inner.unflushed) {
            inner.durable.apply(&batch);
        }
        Ok(())
    }

    fn wipe(&self) -> Result<(), IndexError> {
        let mut inner = self.inner.write();
        let kept = inner.live.get(Column::Meta, META_DOUBT)?;
        *inner = Inner::default();
        let change = Change { column: Column::Meta, key: META_DOUBT.to_vec(), value: kept };
        let batch = Batch { changes: vec![change] };
        inner.live.apply(&batch);
        inner.durable.apply(&batch);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::MemoryIndex;
    use crate::index::conformance;
    use crate::index::{Batch, Change, Column, Index, IndexRead};

    #[test]
    fn conforms() {
        conformance::run_all(&|| Box::new(MemoryIndex::new()));
    }

    /// A crash keeps what was flushed, and of the rest exactly the batches asked for, whole.
    #[test]
    fn crash_keeps_a_batch_boundary() {
        let put = |key: &[u8]| Change { column: Column::Disk, key: key.to_vec(), value: Some(b"v".to_vec()) };
        let index = MemoryIndex::new();
        index.apply(Batch { changes: vec![put(b"a")] }).unwrap();
        index.flush().unwrap();
        index.apply(Batch { changes: vec![put(b"b"), put(b"c")] }).unwrap();
        index.apply(Batch { changes: vec![put(b"d")] }).unwrap();
        assert_eq!((4, 2), (index.len(), index.unflushed()));
        assert_eq!(1, index.crash().len());
        assert_eq!(3, index.crash_after(1).len());
        assert_eq!(4, index.crash_after(9).len());
        assert_eq!(4, index.len());
        assert!(index.crash().get(Column::Disk, b"a").unwrap().is_some());
    }
}
