//! The seal of the index: which facts the rows state, counted under a key that is not in the index (L-1, docs/rfcs/0007).
//!
//! Every batch carries one row more: the sum of the keyed hashes of all rows that decide what may be removed, changed or
//! seen, and a tag over that sum, the counters and the journal position. Whoever edits the index by hand, or puts rows of
//! one moment beside those of another, cannot make the tag: the key follows from the metadata key.
//!
//! The sum is an MSet-Add-Hash (Clarke et al., "Incremental Multiset Hash Functions", ASIACRYPT 2003) over BLAKE3 with a
//! key: without the key, sums of hashes can be forged with effort.

use std::fmt;
use std::ops::ControlFlow;

use kovcheg_format::id::PoolId;
use zeroize::Zeroizing;

use crate::index::digest::SetDigest;
use crate::index::rows::{META_APPLIED, META_CLOCK, META_COUNTERS, META_EPOCH, META_FACTS};
use crate::index::{Column, IndexError, IndexRead};

/// First byte of what is hashed for a row, and for the tag.
const OF_ROW: u8 = 0;
const OF_TAG: u8 = 1;

/// Why the rows of an index are not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// No seal is there: an earlier release made the index, or somebody took the seal out.
    Unsealed,
    /// The tag is not that of the journal position, the counters and the sum beside it.
    Forged,
    /// The rows give another sum.
    Edited,
    /// Its position is not on the chain of the journal, or cannot be read.
    Astray,
}

impl Doubt {
    /// Its name in the audit trail.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Unsealed => "index-unsealed",
            Self::Forged => "index-seal-forged",
            Self::Edited => "index-rows-edited",
            Self::Astray => "index-off-chain",
        }
    }

    /// Its number in a [`DoubtRow`](crate::index::rows::DoubtRow).
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Unsealed => 1,
            Self::Forged => 2,
            Self::Edited => 3,
            Self::Astray => 4,
        }
    }

    /// The doubt of this number; a row that holds none was edited.
    #[must_use]
    pub fn of_number(number: u8) -> Self {
        let all = [Self::Unsealed, Self::Forged, Self::Edited, Self::Astray];
        all.into_iter().find(|doubt| doubt.number() == number).unwrap_or(Self::Edited)
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Unsealed => "it has no seal; an earlier release made it, or somebody took the seal out",
            Self::Forged => "its seal was not made by this vault for this position of the journal",
            Self::Edited => "its rows are not those its seal counts; somebody or something changed them",
            Self::Astray => "the journal on these disks does not go through the place where it stands; it was edited, or disks were put back to an earlier time",
        })
    }
}

/// Counts facts and seals the count. Cheap to clone; the key is wiped when the last copy goes.
#[derive(Clone)]
pub struct FactSeal {
    pool: PoolId,
    key: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for FactSeal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("FactSeal").field("pool", &self.pool).finish_non_exhaustive()
    }
}

/// Sum over the facts of an index with changes on top, to be sealed with the batch that writes them.
#[derive(Debug, Clone)]
pub struct FactCount {
    seal: FactSeal,
    sum: SetDigest,
}

impl FactSeal {
    /// The seal of a pool's index; `key` follows from its metadata key.
    #[must_use]
    pub fn new(pool: PoolId, key: &[u8; 32]) -> Self {
        Self { pool, key: Zeroizing::new(*key) }
    }

    /// The count that stands in `view`, which was [found sound](FactSeal::doubt) or only grew by sealed batches since.
    pub fn count(&self, view: &dyn IndexRead) -> Result<FactCount, IndexError> {
        let sum = match stored(view)? {
            Some(stored) => SetDigest::from_bytes(stored.sum),
            None => SetDigest::default(),
        };
        Ok(FactCount { seal: self.clone(), sum })
    }

    /// Whether the tag is of the sum beside it, at this position: cheap, and nothing said about the rows.
    pub fn tag_doubt(&self, view: &dyn IndexRead) -> Result<Option<Doubt>, IndexError> {
        let Some(Stored { sum, tag }) = stored(view)? else { return Ok(Some(Doubt::Unsealed)) };
        let meta = |key| view.get(Column::Meta, key).map(Option::unwrap_or_default);
        let made = self.tag(&meta(META_APPLIED)?, &meta(META_COUNTERS)?, &sum);
        Ok((made != blake3::Hash::from_bytes(tag)).then_some(Doubt::Forged))
    }

    /// Reads every fact and holds the sum against the sealed one. Costs a scan of the columns that hold facts, in two threads:
    /// versions are about half of all. `view` must stand still for as long.
    pub fn doubt(&self, view: &dyn IndexRead) -> Result<Option<Doubt>, IndexError> {
        if let Some(doubt) = self.tag_doubt(view)? {
            return Ok(Some(doubt));
        }
        let (versions, rest) = std::thread::scope(|scope| {
            let versions = scope.spawn(|| self.sum_of(view, &mut [Column::Version].into_iter()));
            let mut others = Column::ALL.into_iter().filter(|column| *column != Column::Version);
            let rest = self.sum_of(view, &mut others);
            (versions.join(), rest)
        });
        let died = |_| IndexError::Database { op: "count", reason: "the counting thread died".to_owned() };
        let sum = versions.map_err(died)??.combine(rest?);
        let sealed = stored(view)?.map(|stored| stored.sum);
        Ok((sealed != Some(sum.to_bytes())).then_some(Doubt::Edited))
    }

    fn sum_of(&self, view: &dyn IndexRead, columns: &mut dyn Iterator<Item = Column>) -> Result<SetDigest, IndexError> {
        let mut count = FactCount { seal: self.clone(), sum: SetDigest::default() };
        for column in columns.filter(|column| *column == Column::Meta || is_fact(*column, &[])) {
            view.scan(column, &[], None, &mut |key, value| {
                count.add(column, key, value);
                ControlFlow::Continue(())
            })?;
        }
        Ok(count.sum)
    }

    fn tag(&self, applied: &[u8], counters: &[u8], sum: &[u8; 32]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&[OF_TAG]);
        hasher.update(&self.pool.0);
        for part in [applied, counters, sum] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher.finalize()
    }

    fn of_row(&self, column: Column, key: &[u8], value: &[u8]) -> SetDigest {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&[OF_ROW, column.code()]);
        hasher.update(&(key.len() as u64).to_le_bytes());
        hasher.update(key);
        hasher.update(value);
        SetDigest::from_bytes(*hasher.finalize().as_bytes())
    }
}

impl FactCount {
    /// Counts a row in, if it is a fact.
    pub fn add(&mut self, column: Column, key: &[u8], value: &[u8]) {
        if is_fact(column, key) {
            self.sum = self.sum.combine(self.seal.of_row(column, key, value));
        }
    }

    /// Counts a row out that was counted in before.
    pub fn remove(&mut self, column: Column, key: &[u8], value: &[u8]) {
        if is_fact(column, key) {
            self.sum = self.sum.without(self.seal.of_row(column, key, value));
        }
    }

    /// The row under [`META_FACTS`] beside these rows of position and counters: sum, then tag.
    #[must_use]
    pub fn row(&self, applied: &[u8], counters: &[u8]) -> Vec<u8> {
        let sum = self.sum.to_bytes();
        [sum, *self.seal.tag(applied, counters, &sum).as_bytes()].concat()
    }
}

/// Whether a row is among what decides: everything about buckets, versions, uploads, holds and who may what, the clock, and which
/// segments there are and how far they reach, as a start cuts and removes files by that. Where in a segment a chunk lies is not: what is
/// found there is opened by its own id and key, or not at all (D-1).
fn is_fact(column: Column, key: &[u8]) -> bool {
    match column {
        Column::Meta => key == META_CLOCK || key == META_EPOCH,
        Column::Bucket
        | Column::BucketName
        | Column::Version
        | Column::Current
        | Column::Upload
        | Column::Part
        | Column::Credential
        | Column::Tenant
        | Column::Grant
        | Column::Versioning
        | Column::ObjectLock
        | Column::UploadLock
        | Column::CaseHold
        | Column::Audit
        | Column::Lifecycle
        | Column::Quota
        | Column::Usage
        | Column::Segment
        | Column::Disk
        | Column::Checkpoint
        | Column::Damaged => true,
        Column::Chunk | Column::Stripe => false,
    }
}

struct Stored {
    sum: [u8; 32],
    tag: [u8; 32],
}

/// Sum and tag that stand in `view`. A row of another length is none.
fn stored(view: &dyn IndexRead) -> Result<Option<Stored>, IndexError> {
    let Some(row) = view.get(Column::Meta, META_FACTS)? else { return Ok(None) };
    let parts = row.split_first_chunk().and_then(|(sum, tag)| Some(Stored { sum: *sum, tag: tag.try_into().ok()? }));
    Ok(parts)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use kovcheg_format::id::PoolId;

    use super::{Doubt, FactSeal, is_fact};
    use crate::index::memory::MemoryIndex;
    use crate::index::rows::{META_APPLIED, META_CLOCK, META_COUNTERS, META_EPOCH, META_FACTS};
    use crate::index::{Batch, Change, Column, Index, IndexRead};

    const POOL: PoolId = PoolId([3; 16]);

    fn seal() -> FactSeal {
        FactSeal::new(POOL, &[7; 32])
    }

    fn set(index: &MemoryIndex, column: Column, key: &[u8], value: Option<&[u8]>) {
        let change = Change { column, key: key.to_vec(), value: value.map(<[u8]>::to_vec) };
        index.apply(Batch { changes: vec![change] }).unwrap();
    }

    /// A row in every column, position and counters, sealed.
    fn sealed(seal: &FactSeal) -> MemoryIndex {
        let index = MemoryIndex::new();
        let mut count = seal.count(&index).unwrap();
        let meta = [META_CLOCK, META_EPOCH].map(|key| (Column::Meta, key));
        let rows = Column::ALL.into_iter().skip(1).map(|column| (column, b"k".as_slice())).chain(meta);
        for (column, key) in rows {
            count.add(column, key, b"v");
            set(&index, column, key, Some(b"v"));
        }
        set(&index, Column::Meta, META_APPLIED, Some(b"here"));
        set(&index, Column::Meta, META_COUNTERS, Some(b"many"));
        set(&index, Column::Meta, META_FACTS, Some(&count.row(b"here", b"many")));
        index
    }

    #[test]
    fn what_was_sealed_is_believed() {
        assert_eq!(seal().doubt(&sealed(&seal())).unwrap(), None);
        assert_eq!(seal().doubt(&MemoryIndex::new()).unwrap(), Some(Doubt::Unsealed));
    }

    /// Every fact that is changed, taken away or added beside is seen; what is no fact may change.
    #[test]
    fn every_edited_fact_is_seen() {
        let facts = Column::ALL.into_iter().skip(1).map(|column| (column, b"k".as_slice()));
        for (column, key) in facts.chain([(Column::Meta, META_CLOCK), (Column::Meta, META_EPOCH)]) {
            let expected = is_fact(column, key).then_some(Doubt::Edited);
            for value in [Some(b"w".as_slice()), None] {
                let index = sealed(&seal());
                set(&index, column, key, value);
                assert_eq!(seal().doubt(&index).unwrap(), expected, "{column:?} {value:?}");
            }
            if column != Column::Meta {
                let index = sealed(&seal());
                set(&index, column, b"more", Some(b"v"));
                assert_eq!(seal().doubt(&index).unwrap(), expected, "a row more in {column:?}");
            }
        }
    }

    /// A seal is of one vault, one position and these counters.
    #[test]
    fn seals_of_elsewhere_are_no_seals() {
        let doubt = |index: &MemoryIndex, by: &FactSeal| by.doubt(index).unwrap();
        assert_eq!(doubt(&sealed(&seal()), &FactSeal::new(POOL, &[8; 32])), Some(Doubt::Forged));
        assert_eq!(doubt(&sealed(&seal()), &FactSeal::new(PoolId([4; 16]), &[7; 32])), Some(Doubt::Forged));
        for key in [META_APPLIED, META_COUNTERS] {
            let index = sealed(&seal());
            set(&index, Column::Meta, key, Some(b"other"));
            assert_eq!(doubt(&index, &seal()), Some(Doubt::Forged));
        }
        for at in 0..64 {
            let index = sealed(&seal());
            let mut row = index.get(Column::Meta, META_FACTS).unwrap().unwrap();
            *row.get_mut(at).unwrap() ^= 1;
            set(&index, Column::Meta, META_FACTS, Some(&row));
            assert_eq!(doubt(&index, &seal()), Some(Doubt::Forged), "byte {at}");
        }
        for row in [None, Some(b"short".as_slice())] {
            let index = sealed(&seal());
            set(&index, Column::Meta, META_FACTS, row);
            assert_eq!(doubt(&index, &seal()), Some(Doubt::Unsealed));
        }
    }

    /// Whoever saw the index at two moments learns what a row adds to the sum, and still cannot seal that sum.
    #[test]
    fn known_sums_do_not_add_up_to_a_seal() {
        let seal = seal();
        let index = sealed(&seal);
        let before = index.get(Column::Meta, META_FACTS).unwrap().unwrap();
        let mut count = seal.count(&index).unwrap();
        count.add(Column::CaseHold, b"hold", b"v");
        set(&index, Column::CaseHold, b"hold", Some(b"v"));
        set(&index, Column::Meta, META_APPLIED, Some(b"later"));
        set(&index, Column::Meta, META_FACTS, Some(&count.row(b"later", b"many")));
        assert_eq!(seal.doubt(&index).unwrap(), None);
        set(&index, Column::CaseHold, b"hold", None);
        assert_eq!(seal.doubt(&index).unwrap(), Some(Doubt::Edited));
        set(&index, Column::Meta, META_FACTS, Some(&before));
        assert_eq!(seal.doubt(&index).unwrap(), Some(Doubt::Forged));
    }

    /// Counted out is as never counted in.
    #[test]
    fn a_row_that_goes_leaves_no_trace() {
        let seal = seal();
        let mut count = seal.count(&MemoryIndex::new()).unwrap();
        let empty = count.row(b"", b"");
        count.add(Column::Version, b"k", b"v");
        assert_ne!(count.row(b"", b""), empty);
        count.remove(Column::Version, b"k", b"v");
        count.add(Column::Chunk, b"k", b"v");
        assert_eq!(count.row(b"", b""), empty);
    }
}
