//! Building and walking manifests (R16). Building keeps one open node per level in memory, walking one path.

use kovcheg_format::id::ChunkId;
use kovcheg_format::manifest::{
    Child, Entry, INLINE_ENTRIES_MAX, LEVEL_MAX, NODE_ITEMS_MAX, NODE_ITEMS_MIN, Node, Root, id_ends_node,
};

use crate::error::{StorageError, StorageResult};

pub mod range;

/// Stores a finished node and answers its id.
pub type StoreNode<'a> = &'a mut dyn FnMut(&Node) -> StorageResult<ChunkId>;
/// Loads a node by its id.
pub type LoadNode<'a> = &'a dyn Fn(ChunkId) -> StorageResult<Node>;

/// Builds the tree over entries and sub-trees that arrive in order of content.
#[derive(Debug, Default)]
pub struct ManifestBuilder {
    entries: Vec<Entry>,
    levels: Vec<Vec<Child>>,
}

impl ManifestBuilder {
    /// Adds the next range.
    pub fn push(&mut self, entry: Entry, store: StoreNode<'_>) -> StorageResult<()> {
        let ends = entry.ends_node();
        self.entries.push(entry);
        if is_boundary(self.entries.len(), ends) {
            self.close_leaf(store)?;
        }
        Ok(())
    }

    /// Adds everything below another manifest's root (a part of an upload, the source of a copy) without touching its nodes:
    /// trees join unevenly.
    pub fn push_root(&mut self, root: &Root, store: StoreNode<'_>) -> StorageResult<()> {
        match root {
            Root::Inline(entries) => {
                for entry in entries {
                    self.push(entry.clone(), store)?;
                }
                Ok(())
            }
            Root::Tree(child) => {
                self.close_leaf(store)?;
                let level = usize::from(child.level);
                self.close_below(level, store)?;
                self.push_child(level, child.clone(), store)
            }
        }
    }

    /// Ends the manifest.
    pub fn finish(mut self, store: StoreNode<'_>) -> StorageResult<Root> {
        if self.levels.iter().all(Vec::is_empty) && self.entries.len() <= INLINE_ENTRIES_MAX {
            return Ok(Root::Inline(self.entries));
        }
        self.close_leaf(store)?;
        let mut level = 0;
        loop {
            let above = self.levels.iter().skip(level + 1).any(|children| !children.is_empty());
            let Some(children) = self.levels.get_mut(level) else {
                return Err(StorageError::Operator("a manifest without nodes; this is a bug".to_owned()));
            };
            match (children.len(), above) {
                (1, false) => {
                    let child = children.pop().ok_or(StorageError::NoSuchKey)?;
                    return Ok(Root::Tree(child));
                }
                (0, _) => {}
                _ => self.close_level(level, store)?,
            }
            level += 1;
        }
    }

    fn close_leaf(&mut self, store: StoreNode<'_>) -> StorageResult<()> {
        if self.entries.is_empty() {
            return Ok(());
        }
        let node = Node::Leaf(std::mem::take(&mut self.entries));
        let child = child_of(&node, store)?;
        self.push_child(0, child, store)
    }

    /// Closes every level under `level`, so that what follows may join at `level`.
    fn close_below(&mut self, level: usize, store: StoreNode<'_>) -> StorageResult<()> {
        for below in 0..level {
            if self.levels.get(below).is_some_and(|children| !children.is_empty()) {
                self.close_level(below, store)?;
            }
        }
        Ok(())
    }

    fn push_child(&mut self, level: usize, child: Child, store: StoreNode<'_>) -> StorageResult<()> {
        while self.levels.len() <= level {
            self.levels.push(Vec::new());
        }
        let Some(children) = self.levels.get_mut(level) else { return Ok(()) };
        let ends = id_ends_node(&child.node);
        children.push(child);
        if is_boundary(children.len(), ends) {
            self.close_level(level, store)?;
        }
        Ok(())
    }

    fn close_level(&mut self, level: usize, store: StoreNode<'_>) -> StorageResult<()> {
        let children = self.levels.get_mut(level).map(std::mem::take).unwrap_or_default();
        let above = u8::try_from(level + 1).unwrap_or(u8::MAX);
        if above > LEVEL_MAX {
            return Err(StorageError::InvalidArgument {
                what: "object",
                reason: format!("its manifest would be deeper than {LEVEL_MAX} levels"),
            });
        }
        let node = Node::Inner { level: above, children };
        let child = child_of(&node, store)?;
        self.push_child(level + 1, child, store)
    }
}

fn is_boundary(items: usize, ends: bool) -> bool {
    items >= NODE_ITEMS_MAX || (ends && items >= NODE_ITEMS_MIN)
}

fn child_of(node: &Node, store: StoreNode<'_>) -> StorageResult<Child> {
    Ok(Child { node: store(node)?, level: node.level(), len: node.len(), crc: node.crc() })
}

/// Walks the entries of a manifest from a byte position on.
pub struct ManifestWalk {
    stack: Vec<Pending>,
    skip: u64,
}

enum Pending {
    Entry(Entry),
    Node(Child),
}

impl ManifestWalk {
    /// A walk that begins with the entry that holds byte `from`.
    #[must_use]
    pub fn new(root: &Root, from: u64) -> Self {
        let stack = match root {
            Root::Inline(entries) => entries.iter().rev().cloned().map(Pending::Entry).collect(),
            Root::Tree(child) => vec![Pending::Node(child.clone())],
        };
        Self { stack, skip: from }
    }

    /// The next entry, and how many of its bytes lie before the position asked for (only ever of the first).
    pub fn next(&mut self, load: LoadNode<'_>) -> StorageResult<Option<(Entry, u64)>> {
        while let Some(pending) = self.stack.pop() {
            match pending {
                Pending::Entry(entry) => {
                    let len = u64::from(entry.len);
                    if self.skip >= len {
                        self.skip -= len;
                        continue;
                    }
                    return Ok(Some((entry, std::mem::take(&mut self.skip))));
                }
                Pending::Node(child) if self.skip >= child.len => self.skip -= child.len,
                Pending::Node(child) => self.descend(&child, load)?,
            }
        }
        Ok(None)
    }

    fn descend(&mut self, child: &Child, load: LoadNode<'_>) -> StorageResult<()> {
        let node = load(child.node)?;
        check_node(child, &node)?;
        match node {
            Node::Leaf(entries) => self.stack.extend(entries.into_iter().rev().map(Pending::Entry)),
            Node::Inner { children, .. } => self.stack.extend(children.into_iter().rev().map(Pending::Node)),
        }
        Ok(())
    }
}

/// A node must be what its parent says of it.
fn check_node(child: &Child, node: &Node) -> StorageResult<()> {
    if node.level() != child.level || node.len() != child.len || node.crc() != child.crc {
        return Err(StorageError::NotAuthentic {
            what: format!("manifest node {}", child.node),
            reason: "it does not match what its parent says of it",
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
