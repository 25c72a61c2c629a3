//! Goal: what a builder is given, a walk gives back, from every position. Method: random sequences of entries and joined
//! sub-trees against a flat list.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "tests")]

use std::cell::RefCell;
use std::collections::HashMap;

use kovcheg_format::Encode;
use kovcheg_format::id::ChunkId;
use kovcheg_format::manifest::{Entry, Node, Root};
use proptest::prelude::{Strategy, any, prop, prop_assert_eq, proptest};

use super::range::RangeCopy;
use super::{ManifestBuilder, ManifestWalk};

#[derive(Default)]
struct Nodes(RefCell<HashMap<ChunkId, Node>>);

impl Nodes {
    fn store(&self, node: &Node) -> ChunkId {
        let id = ChunkId(*blake3::hash(&node.to_bytes()).as_bytes());
        self.0.borrow_mut().insert(id, node.clone());
        id
    }

    fn build(&self, entries: &[Entry]) -> Root {
        let mut builder = ManifestBuilder::default();
        let mut store = |node: &Node| Ok(self.store(node));
        for entry in entries {
            builder.push(entry.clone(), &mut store).unwrap();
        }
        builder.finish(&mut store).unwrap()
    }

    fn walk(&self, root: &Root, from: u64) -> Vec<(Entry, u64)> {
        let load = |id: ChunkId| Ok(self.0.borrow()[&id].clone());
        let mut walk = ManifestWalk::new(root, from);
        let mut out = Vec::new();
        while let Some(found) = walk.next(&load).unwrap() {
            out.push(found);
        }
        out
    }
}

impl Nodes {
    /// Copies the range that two numbers choose.
    fn copy_range(&self, root: &Root, ends: (u64, u64)) -> ((u64, u64), Root) {
        let (one, other) = (ends.0 % (root.len() + 1), ends.1 % (root.len() + 1));
        let range = (one.min(other), one.max(other));
        let copy = RangeCopy {
            load: &|id| Ok(self.0.borrow()[&id].clone()),
            piece_crc: &|piece| Ok(u64::from(piece.offset) << 32 | u64::from(piece.len)),
            store: &mut |node| Ok(self.store(node)),
            range,
        };
        (range, copy.copy(root).unwrap())
    }

    /// Every byte of the content: its chunk's first bytes, and where in the chunk it lies.
    fn bytes(&self, root: &Root) -> Vec<(u32, u32)> {
        let name = |id: &ChunkId| u32::from_le_bytes(*id.0.first_chunk().unwrap());
        let entries = self.walk(root, 0).into_iter().map(|(entry, _)| entry);
        entries.flat_map(|entry| (0..entry.len).map(move |at| (name(&entry.chunk), entry.offset + at))).collect()
    }
}

fn entries(seed: u64, count: usize) -> Vec<Entry> {
    (0..count as u64)
        .map(|at| {
            let hash = blake3::hash(&[seed.to_le_bytes(), at.to_le_bytes()].concat());
            Entry { chunk: ChunkId(*hash.as_bytes()), offset: 0, len: 1 + u32::from(hash.as_bytes()[1]), crc: at }
        })
        .collect()
}

fn parts() -> impl Strategy<Value = Vec<(u64, usize)>> {
    prop::collection::vec((any::<u64>(), prop::sample::select(vec![0, 1, 16, 17, 300, 5000])), 1..6)
}

proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(24))]

    #[test]
    fn walk_returns_what_was_pushed(parts in parts(), position in any::<u64>()) {
        let nodes = Nodes::default();
        let mut joined = ManifestBuilder::default();
        let mut store = |node: &Node| Ok(nodes.store(node));
        let mut flat = Vec::new();
        for (seed, count) in parts {
            let piece = entries(seed, count);
            joined.push_root(&nodes.build(&piece), &mut store).unwrap();
            flat.extend(piece);
        }
        let root = joined.finish(&mut store).unwrap();
        let total: u64 = flat.iter().map(|entry| u64::from(entry.len)).sum();
        prop_assert_eq!(root.len(), total);
        let all: Vec<Entry> = nodes.walk(&root, 0).into_iter().map(|(entry, _)| entry).collect();
        prop_assert_eq!(&all, &flat);
        let from = if total == 0 { 0 } else { position % total };
        let tail: u64 = nodes.walk(&root, from).iter().map(|(entry, skip)| u64::from(entry.len) - skip).sum();
        prop_assert_eq!(tail, total - from);
    }

    /// Goal: a copied range is the range. Method: joined trees, any range, every byte of it named by chunk and offset; the checksum of
    /// a piece stands for where it lies, so that pieces of pieces are seen too.
    #[test]
    fn a_range_is_what_a_walk_gives(parts in parts(), ends in any::<(u64, u64)>(), again in any::<(u64, u64)>()) {
        let nodes = Nodes::default();
        let mut joined = ManifestBuilder::default();
        let mut store = |node: &Node| Ok(nodes.store(node));
        for (seed, count) in parts {
            joined.push_root(&nodes.build(&entries(seed, count)), &mut store).unwrap();
        }
        let root = joined.finish(&mut store).unwrap();
        let (range, copied) = nodes.copy_range(&root, ends);
        prop_assert_eq!(copied.len(), range.1 - range.0);
        prop_assert_eq!(nodes.bytes(&copied), nodes.bytes(&root)[range.0 as usize..range.1 as usize].to_vec());
        let (inner, twice) = nodes.copy_range(&copied, again);
        prop_assert_eq!(nodes.bytes(&twice), nodes.bytes(&copied)[inner.0 as usize..inner.1 as usize].to_vec());
    }

    #[test]
    fn a_copied_range_costs_little(seed in any::<u64>(), ends in any::<(u64, u64)>()) {
        let nodes = Nodes::default();
        let root = nodes.build(&entries(seed, 50_000));
        let stored = nodes.0.borrow().len();
        nodes.copy_range(&root, ends);
        let new = nodes.0.borrow().len() - stored;
        proptest::prop_assert!(new <= 8, "{new} new nodes for one range");
    }

    #[test]
    fn a_change_rewrites_few_nodes(seed in any::<u64>(), at in 0_usize..5000) {
        let nodes = Nodes::default();
        let before = entries(seed, 5000);
        nodes.build(&before);
        let stored = nodes.0.borrow().len();
        let mut after = before;
        after.insert(at, entries(seed ^ 1, 1).remove(0));
        nodes.build(&after);
        let new = nodes.0.borrow().len() - stored;
        proptest::prop_assert!(new <= 6, "{new} new nodes for one inserted entry");
    }
}
