//! The manifest of a part of another manifest's content (R16): whole sub-trees join as they are, so that the cost goes with
//! the depth of the tree and not with the range; only the chunks at the two edges are looked into.

use kovcheg_format::manifest::{Child, Entry, Node, Root};

use crate::error::StorageResult;
use crate::object::manifest::{LoadNode, ManifestBuilder, StoreNode, check_node};

/// Answers the CRC64-NVME of the piece of a chunk that an entry names; its `crc` says nothing yet.
pub type PieceCrc<'a> = &'a dyn Fn(&Entry) -> StorageResult<u64>;

/// Where nodes come from and go to.
pub struct RangeCopy<'a, 'b> {
    /// Loads nodes of the source.
    pub load: LoadNode<'a>,
    /// Sums up an edge.
    pub piece_crc: PieceCrc<'a>,
    /// Stores new nodes.
    pub store: StoreNode<'b>,
    /// Bytes wanted: `start..end`.
    pub range: (u64, u64),
}

impl RangeCopy<'_, '_> {
    /// Builds the manifest of the range, which lies inside the content of `root`.
    pub fn copy(mut self, root: &Root) -> StorageResult<Root> {
        let mut builder = ManifestBuilder::default();
        match root {
            Root::Inline(entries) => self.entries(entries, 0, &mut builder)?,
            Root::Tree(child) => self.child(child, 0, &mut builder)?,
        }
        builder.finish(self.store)
    }

    fn child(&mut self, child: &Child, at: u64, builder: &mut ManifestBuilder) -> StorageResult<()> {
        let (start, end) = self.range;
        let behind = at.saturating_add(child.len);
        if behind <= start || at >= end {
            return Ok(());
        }
        if start <= at && behind <= end {
            return builder.push_root(&Root::Tree(child.clone()), self.store);
        }
        let node = (self.load)(child.node)?;
        check_node(child, &node)?;
        match node {
            Node::Leaf(entries) => self.entries(&entries, at, builder),
            Node::Inner { children, .. } => {
                let mut at = at;
                for child in &children {
                    self.child(child, at, builder)?;
                    at = at.saturating_add(child.len);
                }
                Ok(())
            }
        }
    }

    fn entries(&mut self, entries: &[Entry], mut at: u64, builder: &mut ManifestBuilder) -> StorageResult<()> {
        for entry in entries {
            let behind = at.saturating_add(entry.len.into());
            if let Some(piece) = self.piece(entry, at, behind)? {
                builder.push(piece, self.store)?;
            }
            at = behind;
        }
        Ok(())
    }

    /// What the range has of an entry that covers `at..behind`.
    fn piece(&self, entry: &Entry, at: u64, behind: u64) -> StorageResult<Option<Entry>> {
        let (from, to) = (self.range.0.max(at), self.range.1.min(behind));
        if from >= to {
            return Ok(None);
        }
        if (from, to) == (at, behind) {
            return Ok(Some(entry.clone()));
        }
        // Both fit: they lie within the entry, whose length does.
        let narrow = |bytes: u64| u32::try_from(bytes).unwrap_or(u32::MAX);
        let mut piece = Entry {
            chunk: entry.chunk,
            offset: entry.offset.saturating_add(narrow(from - at)),
            len: narrow(to - from),
            crc: 0,
        };
        piece.crc = (self.piece_crc)(&piece)?;
        Ok(Some(piece))
    }
}
