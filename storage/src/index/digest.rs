//! Additive digest of a set of rows: equal for equal sets, whatever the order of their making (W-2).
//!
//! Each row is hashed to four 64-bit lanes (BLAKE3 of column code, key length, key, value); the digest is the lane-wise
//! sum modulo 2^64. So a batch updates it in proportion to what it changes, and a rebuilt index shows the same digest as
//! the one that grew. It finds mistakes, not forgery: sums of hashes can be forged with effort, which is why checkpoints
//! are sealed besides, and facts counted [under a key](crate::index::seal).

use std::ops::ControlFlow;

use crate::index::{Column, IndexError, IndexRead};

/// Lane-wise sum of the hashes of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SetDigest {
    lanes: [u64; 4],
}

impl SetDigest {
    /// Counts a row in.
    pub fn add(&mut self, column: Column, key: &[u8], value: &[u8]) {
        self.merge(row_lanes(column, key, value), u64::wrapping_add);
    }

    /// Counts a row out that was counted in before.
    pub fn remove(&mut self, column: Column, key: &[u8], value: &[u8]) {
        self.merge(row_lanes(column, key, value), u64::wrapping_sub);
    }

    /// The digest of both sets together.
    #[must_use]
    pub fn combine(mut self, other: Self) -> Self {
        self.merge(other.lanes, u64::wrapping_add);
        self
    }

    /// The digest of this set without another that is part of it.
    #[must_use]
    pub fn without(mut self, other: Self) -> Self {
        self.merge(other.lanes, u64::wrapping_sub);
        self
    }

    /// Four little-endian lanes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 32] {
        let mut out = [0; 32];
        for (to, lane) in out.chunks_exact_mut(8).zip(self.lanes) {
            to.copy_from_slice(&lane.to_le_bytes());
        }
        out
    }

    /// The reverse of [`SetDigest::to_bytes`].
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self { lanes: lanes_of(&bytes) }
    }

    fn merge(&mut self, other: [u64; 4], with: fn(u64, u64) -> u64) {
        for (lane, more) in self.lanes.iter_mut().zip(other) {
            *lane = with(*lane, more);
        }
    }
}

/// Recomputes the digest of every row but those of [`Column::Meta`], which say how the index came about, not what it holds.
pub fn digest_of(view: &dyn IndexRead) -> Result<SetDigest, IndexError> {
    let mut digest = SetDigest::default();
    for column in Column::ALL.into_iter().filter(|column| *column != Column::Meta) {
        view.scan(column, &[], None, &mut |key, value| {
            digest.add(column, key, value);
            ControlFlow::Continue(())
        })?;
    }
    Ok(digest)
}

fn row_lanes(column: Column, key: &[u8], value: &[u8]) -> [u64; 4] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[column.code()]);
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(value);
    lanes_of(hasher.finalize().as_bytes())
}

fn lanes_of(bytes: &[u8; 32]) -> [u64; 4] {
    let mut lanes = [0; 4];
    for (lane, from) in lanes.iter_mut().zip(bytes.chunks_exact(8)) {
        let mut word = [0; 8];
        word.copy_from_slice(from);
        *lane = u64::from_le_bytes(word);
    }
    lanes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{SetDigest, digest_of};
    use crate::index::memory::MemoryIndex;
    use crate::index::{Batch, Change, Column, Index};

    /// Order does not matter, and what was counted out leaves no trace.
    #[test]
    fn is_a_digest_of_a_set() {
        let mut one = SetDigest::default();
        one.add(Column::Chunk, b"a", b"1");
        one.add(Column::Chunk, b"b", b"2");
        one.add(Column::Disk, b"gone", b"3");
        one.remove(Column::Disk, b"gone", b"3");
        let (mut left, mut right) = (SetDigest::default(), SetDigest::default());
        right.add(Column::Chunk, b"b", b"2");
        left.add(Column::Chunk, b"a", b"1");
        assert_eq!(one, right.combine(left));
        assert_eq!(one, SetDigest::from_bytes(one.to_bytes()));
    }

    /// Column, key and value are told apart, also where their bytes run together.
    #[test]
    fn tells_rows_apart() {
        let rows: [(Column, &[u8], &[u8]); 4] = [
            (Column::Chunk, b"ab", b"c"),
            (Column::Chunk, b"a", b"bc"),
            (Column::Disk, b"ab", b"c"),
            (Column::Chunk, b"ab", b"d"),
        ];
        let digests: Vec<_> = rows
            .iter()
            .map(|(column, key, value)| {
                let mut digest = SetDigest::default();
                digest.add(*column, key, value);
                digest.to_bytes()
            })
            .collect();
        for (at, digest) in digests.iter().enumerate() {
            assert!(digests.iter().skip(at + 1).all(|other| other != digest), "rows {at} and a later one agree");
        }
    }

    /// A scan finds every column but Meta.
    #[test]
    fn scan_leaves_meta_out() {
        let index = MemoryIndex::new();
        let changes = Column::ALL
            .into_iter()
            .map(|column| Change { column, key: b"k".to_vec(), value: Some(b"v".to_vec()) })
            .collect();
        index.apply(Batch { changes }).unwrap();
        let mut expected = SetDigest::default();
        for column in Column::ALL.into_iter().skip(1) {
            expected.add(column, b"k", b"v");
        }
        assert_eq!(expected, digest_of(&index).unwrap());
    }
}
