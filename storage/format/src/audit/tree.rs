//! Hash chain and Merkle tree over the entries of the audit trail. The tree, its proofs and how they are verified are those of RFC 9162, section 2.1,
//! with SHA-256.

use sha2::{Digest, Sha256};

use crate::error::FormatError;
use crate::id::{AuditHash, Lsn};

crate::layout! {
    /// What is kept of all entries so far: enough to go on, and to sign. Also its row in the index.
    pub struct AuditTree {
        /// Entries.
        pub size: u64,
        /// Journal position of the newest one.
        pub lsn: Lsn,
        /// Head of the hash chain; zero before the first entry.
        pub chain: AuditHash,
        /// Roots of the whole subtrees, the largest first: one for each one-bit of the size.
        pub frontier: Vec<AuditHash>,
    }
    check check_frontier
}

fn check_frontier(tree: &AuditTree) -> Result<(), FormatError> {
    if tree.frontier.len() == tree.size.count_ones() as usize {
        return Ok(());
    }
    Err(FormatError::Invalid { what: "audit tree" })
}

impl Default for AuditTree {
    fn default() -> Self {
        Self { size: 0, lsn: Lsn(0), chain: AuditHash::ZERO, frontier: Vec::new() }
    }
}

impl AuditTree {
    /// Takes in the next entry.
    pub fn append(&mut self, text: &str) {
        let leaf = leaf_hash(text.as_bytes());
        self.chain = chain_hash(self.chain, leaf);
        let mut root = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.frontier.pop() {
                root = node_hash(left, root);
            }
        }
        self.frontier.push(root);
        self.size += 1;
    }

    /// Root of the tree.
    #[must_use]
    pub fn root(&self) -> AuditHash {
        let mut subtrees = self.frontier.iter().rev();
        let Some(smallest) = subtrees.next() else { return AuditHash(Sha256::digest([]).into()) };
        subtrees.fold(*smallest, |right, left| node_hash(*left, right))
    }
}

/// Hash of an entry.
#[must_use]
pub fn leaf_hash(text: &[u8]) -> AuditHash {
    AuditHash(Sha256::new().chain_update([0]).chain_update(text).finalize().into())
}

/// Hash of two subtrees.
#[must_use]
pub fn node_hash(left: AuditHash, right: AuditHash) -> AuditHash {
    AuditHash(Sha256::new().chain_update([1]).chain_update(left.0).chain_update(right.0).finalize().into())
}

/// Head of the chain after an entry.
#[must_use]
pub fn chain_hash(before: AuditHash, leaf: AuditHash) -> AuditHash {
    AuditHash(Sha256::new().chain_update(before.0).chain_update(leaf.0).finalize().into())
}

/// Where a tree of `size` above 1 divides: the largest power of two below it.
fn split(size: usize) -> usize {
    size.next_power_of_two() / 2
}

/// Root of the tree over these leaves.
#[must_use]
pub fn root_of(leaves: &[AuditHash]) -> AuditHash {
    match leaves {
        [] => AuditTree::default().root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node_hash(root_of(left), root_of(right))
        }
    }
}

/// Proof that the leaf `index` is in the tree over `leaves`, from the leaf upward. `None` when there is no such leaf.
#[must_use]
pub fn inclusion_path(leaves: &[AuditHash], index: usize) -> Option<Vec<AuditHash>> {
    if index >= leaves.len() {
        return None;
    }
    if leaves.len() == 1 {
        return Some(Vec::new());
    }
    let at = split(leaves.len());
    let (left, right) = leaves.split_at(at);
    let (mut path, sibling) = match index.checked_sub(at) {
        None => (inclusion_path(left, index)?, root_of(right)),
        Some(index) => (inclusion_path(right, index)?, root_of(left)),
    };
    path.push(sibling);
    Some(path)
}

/// Whether `path` proves that `leaf` is entry `index` of the tree of this size and root (RFC 9162, 2.1.3.2).
#[must_use]
pub fn verify_inclusion(leaf: AuditHash, index: u64, size: u64, path: &[AuditHash], root: AuditHash) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last, mut hash) = (index, size - 1, leaf);
    for step in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(*step, hash);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            hash = node_hash(hash, *step);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && hash == root
}

/// Proof that the tree over `leaves` goes on from the one over the first `size` of them. `None` for a size that is 0 or above theirs.
#[must_use]
pub fn consistency_path(leaves: &[AuditHash], size: usize) -> Option<Vec<AuditHash>> {
    (1..=leaves.len()).contains(&size).then(|| subproof(leaves, size, true))
}

fn subproof(leaves: &[AuditHash], size: usize, known: bool) -> Vec<AuditHash> {
    if size == leaves.len() {
        return if known { Vec::new() } else { vec![root_of(leaves)] };
    }
    let at = split(leaves.len());
    let (left, right) = leaves.split_at(at);
    if size <= at {
        let mut path = subproof(left, size, known);
        path.push(root_of(right));
        return path;
    }
    let mut path = subproof(right, size - at, false);
    path.push(root_of(left));
    path
}

/// Whether `path` proves that the tree `new` (size and root) goes on from the tree `old` (RFC 9162, 2.1.4.2).
#[must_use]
pub fn verify_consistency(old: (u64, AuditHash), new: (u64, AuditHash), path: &[AuditHash]) -> bool {
    if old.0 == 0 || old.0 > new.0 {
        return false;
    }
    if old.0 == new.0 {
        return path.is_empty() && old.1 == new.1;
    }
    let (first, rest) = match path.split_first() {
        None => return false,
        Some(_) if old.0.is_power_of_two() => (old.1, path),
        Some((first, rest)) => (*first, rest),
    };
    let (mut at, mut last) = (old.0 - 1, new.0 - 1);
    while at & 1 == 1 {
        (at, last) = (at >> 1, last >> 1);
    }
    let (mut before, mut after) = (first, first);
    for step in rest {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            (before, after) = (node_hash(*step, before), node_hash(*step, after));
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            after = node_hash(after, *step);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && before == old.1 && after == new.1
}

#[cfg(test)]
mod tests {
    //! Goal: root and proofs are those of RFC 9162. Method: known answers; every proof of every small tree, and each with a byte changed.
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::{
        AuditHash, AuditTree, consistency_path, inclusion_path, leaf_hash, root_of, verify_consistency,
        verify_inclusion,
    };

    fn leaves(count: usize) -> Vec<AuditHash> {
        (0..count).map(|n| leaf_hash(format!("entry {n}").as_bytes())).collect()
    }

    fn grown(count: usize) -> AuditTree {
        let mut tree = AuditTree::default();
        (0..count).for_each(|n| tree.append(&format!("entry {n}")));
        tree
    }

    /// Leaves and roots of the test vectors of Certificate Transparency's reference implementation.
    #[test]
    fn known_answers() {
        let inputs =
            ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
        let leaves: Vec<AuditHash> = inputs.iter().map(|text| leaf_hash(&hex::decode(text).unwrap())).collect();
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        for (count, root) in roots.iter().enumerate() {
            assert_eq!(root_of(&leaves[..count]).to_string(), *root, "{count} leaves");
        }
    }

    #[test]
    fn the_frontier_grows_to_the_root_of_all() {
        for count in 0..200 {
            let tree = grown(count);
            assert_eq!(tree.root(), root_of(&leaves(count)), "{count} entries");
            assert_eq!(tree.frontier.len(), tree.size.count_ones() as usize);
        }
    }

    #[test]
    fn every_entry_of_every_tree_is_proved_and_no_other_is() {
        for size in 1..40_usize {
            let (leaves, root) = (leaves(size), root_of(&leaves(size)));
            for index in 0..size {
                let path = inclusion_path(&leaves, index).unwrap();
                let holds = |leaf, index: usize, path: &[AuditHash]| {
                    verify_inclusion(leaf, index as u64, size as u64, path, root)
                };
                assert!(holds(leaves[index], index, &path), "{index} of {size}");
                let others = (0..size).filter(|other| *other != index);
                assert!(others.clone().all(|other| !holds(leaves[other], index, &path)), "{index} of {size}");
                assert!(others.clone().all(|other| !holds(leaves[index], other, &path)), "{index} of {size}");
                for at in 0..path.len() {
                    let mut wrong = path.clone();
                    wrong[at].0[7] ^= 1;
                    assert!(!holds(leaves[index], index, &wrong), "{index} of {size}, step {at}");
                    assert!(!holds(leaves[index], index, &path[..at]), "{index} of {size}, cut at {at}");
                }
                assert!(!holds(leaves[index], index, &[path.clone(), vec![root]].concat()), "a step too many");
            }
            assert!(inclusion_path(&leaves, size).is_none());
            assert!(!verify_inclusion(leaves[0], size as u64, size as u64, &[], root));
        }
    }

    #[test]
    fn every_tree_is_proved_to_go_on_from_every_earlier_one_and_from_no_other() {
        let all = leaves(40);
        for size in 1..=all.len() {
            let new = (size as u64, root_of(&all[..size]));
            for old_size in 1..=size {
                let old = (old_size as u64, root_of(&all[..old_size]));
                let path = consistency_path(&all[..size], old_size).unwrap();
                assert!(verify_consistency(old, new, &path), "{old_size} to {size}");
                let mut forged = old;
                forged.1.0[3] ^= 1;
                assert!(!verify_consistency(forged, new, &path), "{old_size} to {size}, forged");
                for at in 0..path.len() {
                    let mut wrong = path.clone();
                    wrong[at].0[9] ^= 1;
                    assert!(!verify_consistency(old, new, &wrong), "{old_size} to {size}, step {at}");
                    assert!(!verify_consistency(old, new, &path[..at]), "{old_size} to {size}, cut at {at}");
                }
            }
            assert!(!verify_consistency((size as u64 + 1, new.1), new, &[]));
            assert!(!verify_consistency((0, root_of(&[])), new, &[]));
        }
        assert!(consistency_path(&all, 0).is_none() && consistency_path(&all, 41).is_none());
    }
}
