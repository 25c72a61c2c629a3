//! Changes of the index that were decided and not written yet, seen as if they were.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::ops::{Bound, ControlFlow};

use kovcheg_format::FormatError;
use kovcheg_format::codec::Encode;
use kovcheg_format::record::version::VersionPut;

use crate::index::digest::SetDigest;
use crate::index::rows::{self, Counters, META_APPLIED, META_COUNTERS, META_DIGEST, META_FACTS};
use crate::index::seal::{FactCount, FactSeal};
use crate::index::{Batch, Change, Column, IndexError, IndexRead, Visit};
use crate::journal::apply::Applied;

/// Pending rows of one column; `None` stands for a removed row.
type Pending = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// A state of the index and changes on top of it. Reads see the changes; digest and counters follow them. A change that
/// leaves a row as it is costs nothing in the batch.
pub struct Overlay<'a> {
    base: &'a dyn IndexRead,
    pending: BTreeMap<Column, Pending>,
    digest: SetDigest,
    counters: Counters,
    /// `None` where the changes are only looked at.
    facts: Option<FactCount>,
    orphans: u64,
}

impl<'a> Overlay<'a> {
    /// No changes on top of `base`, which must stand still for as long. To be looked at, not written: what it would write
    /// carries no seal and is not believed at the next start.
    pub fn new(base: &'a dyn IndexRead) -> Result<Self, IndexError> {
        Ok(Self {
            base,
            pending: BTreeMap::new(),
            digest: rows::digest(base)?,
            counters: rows::counters(base)?,
            facts: None,
            orphans: 0,
        })
    }

    /// [`Overlay::new`] to be written: its batch carries the sealed count of facts.
    pub fn sealed(base: &'a dyn IndexRead, seal: &FactSeal) -> Result<Self, IndexError> {
        Ok(Self { facts: Some(seal.count(base)?), ..Self::new(base)? })
    }

    /// Sets a row.
    pub fn put(&mut self, column: Column, key: Vec<u8>, value: Vec<u8>) -> Result<(), IndexError> {
        self.change(column, key, Some(value))
    }

    /// Removes a row, if it is there.
    pub fn remove(&mut self, column: Column, key: Vec<u8>) -> Result<(), IndexError> {
        self.change(column, key, None)
    }

    /// Notes a record that names something the index does not have and that was left out for it. Not stored: a record
    /// applied twice must leave the same rows.
    pub fn note_orphan(&mut self) {
        self.orphans += 1;
    }

    /// Records left out because what they name is not there.
    #[must_use]
    pub fn orphans(&self) -> u64 {
        self.orphans
    }

    /// Totals with the changes.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Digest of all rows with the changes.
    #[must_use]
    pub fn digest(&self) -> SetDigest {
        self.digest
    }

    /// Whether nothing would change.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        self.pending.values().all(BTreeMap::is_empty)
    }

    /// All changes, and with them the position they lead to, digest, counters and seal (R8: these are one batch).
    #[must_use]
    pub fn into_batch(mut self, applied: &Applied) -> Batch {
        let meta = self.pending.entry(Column::Meta).or_default();
        let (applied, counters) = (applied.to_bytes(), self.counters.to_bytes());
        if let Some(facts) = &self.facts {
            meta.insert(META_FACTS.to_vec(), Some(facts.row(&applied, &counters)));
        }
        meta.insert(META_APPLIED.to_vec(), Some(applied));
        meta.insert(META_DIGEST.to_vec(), Some(self.digest.to_bytes().to_vec()));
        meta.insert(META_COUNTERS.to_vec(), Some(counters));
        let mut changes = Vec::with_capacity(self.pending.values().map(BTreeMap::len).sum());
        for (column, pending) in self.pending {
            changes.extend(pending.into_iter().map(|(key, value)| Change { column, key, value }));
        }
        Batch { changes }
    }

    fn change(&mut self, column: Column, key: Vec<u8>, value: Option<Vec<u8>>) -> Result<(), IndexError> {
        let old = self.get(column, &key)?;
        if old == value {
            return Ok(());
        }
        if let Some(facts) = &mut self.facts {
            old.iter().for_each(|old| facts.remove(column, &key, old));
            value.iter().for_each(|value| facts.add(column, &key, value));
        }
        if column != Column::Meta {
            if let Some(old) = &old {
                self.digest.remove(column, &key, old);
                self.counters = shifted(self.counters, column, old, u64::checked_sub)?;
            }
            if let Some(value) = &value {
                self.digest.add(column, &key, value);
                self.counters = shifted(self.counters, column, value, u64::checked_add)?;
            }
        }
        self.pending.entry(column).or_default().insert(key, value);
        Ok(())
    }
}

impl IndexRead for Overlay<'_> {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        match self.pending.get(&column).and_then(|pending| pending.get(key)) {
            Some(value) => Ok(value.clone()),
            None => self.base.get(column, key),
        }
    }

    fn scan(&self, column: Column, from: &[u8], to: Option<&[u8]>, visit: Visit<'_>) -> Result<(), IndexError> {
        if to.is_some_and(|to| to <= from) {
            return Ok(());
        }
        let Some(pending) = self.pending.get(&column) else {
            return self.base.scan(column, from, to, visit);
        };
        let end = to.map_or(Bound::Unbounded, Bound::Excluded);
        let mut ahead = pending.range::<[u8], _>((Bound::Included(from), end)).peekable();
        let mut flow = ControlFlow::Continue(());
        self.base.scan(column, from, to, &mut |key, value| {
            flow = visit_before(&mut ahead, Some(key), visit);
            if flow.is_continue() {
                flow = match ahead.next_if(|(at, _)| at.as_slice() == key) {
                    Some((_, Some(changed))) => visit(key, changed),
                    Some((_, None)) => ControlFlow::Continue(()),
                    None => visit(key, value),
                };
            }
            flow
        })?;
        if flow.is_continue() {
            let _ = visit_before(&mut ahead, None, visit);
        }
        Ok(())
    }
}

/// Visits pending rows up to `limit`, exclusive.
fn visit_before<'p>(
    ahead: &mut Peekable<impl Iterator<Item = (&'p Vec<u8>, &'p Option<Vec<u8>>)>>,
    limit: Option<&[u8]>,
    visit: Visit<'_>,
) -> ControlFlow<()> {
    while let Some((key, value)) = ahead.next_if(|(at, _)| limit.is_none_or(|limit| at.as_slice() < limit)) {
        if let Some(value) = value {
            visit(key, value)?;
        }
    }
    ControlFlow::Continue(())
}

/// The counters with one row more or less.
fn shifted(
    mut counters: Counters,
    column: Column,
    value: &[u8],
    by: fn(u64, u64) -> Option<u64>,
) -> Result<Counters, IndexError> {
    let shift = |counter: u64, amount: u64| {
        by(counter, amount).ok_or(IndexError::Row {
            column: Column::Meta.name(),
            source: FormatError::Invalid { what: "index counters" },
        })
    };
    counters.rows = shift(counters.rows, 1)?;
    match column {
        Column::Bucket => counters.buckets = shift(counters.buckets, 1)?,
        Column::Version => {
            let version: VersionPut = rows::decode(column, value)?;
            counters.versions = shift(counters.versions, 1)?;
            counters.logical_bytes = shift(counters.logical_bytes, version.size)?;
        }
        _ => {}
    }
    Ok(counters)
}
