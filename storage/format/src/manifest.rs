//! Manifest: the Merkle tree over the chunk sequence of one object version (R16).
//!
//! Leaves list [`Entry`]s (chunk, range within it, CRC64 of that range), inner nodes list [`Child`]ren with their lengths,
//! so that a range is found in O(depth) and a copy, a compose or a ranged copy never touches data. A node is sealed and
//! stored like a chunk; its id is keyed over its bytes. A short list stands in the record itself ([`Root::Inline`]).
//! Levels count from the leaves (0); a child may lie any number of levels below its parent ("uneven joins").

use crate::checksum::crc64_combine;
use crate::codec::{Decode, Encode, Reader, Writer};
use crate::envelope::PLAIN_LEN_MAX;
use crate::error::FormatError;
use crate::id::ChunkId;
use crate::layout;
use crate::version::{NODE_VERSION, check_version};

/// Most entries of a list that stands in its record.
pub const INLINE_ENTRIES_MAX: usize = 16;
/// Most entries or children of a node.
pub const NODE_ITEMS_MAX: usize = 1024;
/// Fewest items before a content-defined boundary may end a node.
pub const NODE_ITEMS_MIN: usize = 64;
/// A node ends after an item whose id has this many zero low bits in its first byte: on average every 256 items.
pub const NODE_BOUNDARY_BITS: u32 = 8;
/// Deepest tree a reader follows.
pub const LEVEL_MAX: u8 = 16;

layout! {
    /// A range of one chunk.
    pub struct Entry {
        /// The chunk.
        pub chunk: ChunkId,
        /// First byte of the range within the chunk's plaintext.
        pub offset: u32,
        /// Bytes of the range, never 0.
        pub len: u32,
        /// CRC64-NVME of the range's plaintext.
        pub crc: u64,
    }
    check check_entry
}

layout! {
    /// A node below an inner node.
    pub struct Child {
        /// The node.
        pub node: ChunkId,
        /// Its level.
        pub level: u8,
        /// Plaintext bytes below it.
        pub len: u64,
        /// CRC64-NVME of those bytes.
        pub crc: u64,
    }
    check check_child
}

fn check_entry(entry: &Entry) -> Result<(), FormatError> {
    let end = entry.offset.checked_add(entry.len).filter(|end| *end <= PLAIN_LEN_MAX);
    if entry.len == 0 || end.is_none() {
        return Err(FormatError::Invalid { what: "manifest entry range" });
    }
    Ok(())
}

fn check_child(child: &Child) -> Result<(), FormatError> {
    if child.level > LEVEL_MAX {
        return Err(FormatError::Invalid { what: "manifest level" });
    }
    Ok(())
}

/// One node of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// Level 0.
    Leaf(Vec<Entry>),
    /// Level 1 and up.
    Inner {
        /// Above every child's level.
        level: u8,
        /// In order of content.
        children: Vec<Child>,
    },
}

/// The root of a manifest, as it stands in a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// At most [`INLINE_ENTRIES_MAX`] entries; empty for an empty object.
    Inline(Vec<Entry>),
    /// A tree.
    Tree(Child),
}

impl Entry {
    /// Whether a node may end after this entry. The id is keyed, so boundaries tell nobody anything.
    #[must_use]
    pub fn ends_node(&self) -> bool {
        id_ends_node(&self.chunk)
    }
}

/// Whether a node may end after an item with this id.
#[must_use]
pub fn id_ends_node(id: &ChunkId) -> bool {
    let [first, ..] = id.0;
    u32::from(first) & ((1 << NODE_BOUNDARY_BITS) - 1) == 0
}

impl Root {
    /// Plaintext bytes of the object.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Inline(entries) => entries.iter().map(|entry| u64::from(entry.len)).sum(),
            Self::Tree(child) => child.len,
        }
    }

    /// Whether the object is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// CRC64-NVME of the object, composed from its pieces.
    #[must_use]
    pub fn crc(&self) -> u64 {
        match self {
            Self::Inline(entries) => compose_entries(entries),
            Self::Tree(child) => child.crc,
        }
    }
}

/// CRC64-NVME of consecutive ranges; 0 for none.
#[must_use]
pub fn compose_entries(entries: &[Entry]) -> u64 {
    entries.iter().fold(0, |crc, entry| crc64_combine(crc, entry.crc, entry.len.into()))
}

impl Node {
    /// Level of the node.
    #[must_use]
    pub fn level(&self) -> u8 {
        match self {
            Self::Leaf(_) => 0,
            Self::Inner { level, .. } => *level,
        }
    }

    /// Plaintext bytes below the node.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Leaf(entries) => entries.iter().map(|entry| u64::from(entry.len)).sum(),
            Self::Inner { children, .. } => children.iter().fold(0, |sum, child| sum.saturating_add(child.len)),
        }
    }

    /// Whether nothing lies below the node.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Refuses levels that do not fall and lengths that do not add up: a reader may descend and sum without looking.
    fn check(&self) -> Result<(), FormatError> {
        let Self::Inner { level, children } = self else { return Ok(()) };
        if *level == 0 || *level > LEVEL_MAX || children.iter().any(|child| child.level >= *level) {
            return Err(FormatError::Invalid { what: "manifest level" });
        }
        let len = children.iter().try_fold(0_u64, |sum, child| sum.checked_add(child.len));
        if len.is_none() { Err(FormatError::Invalid { what: "manifest length" }) } else { Ok(()) }
    }

    /// CRC64-NVME of the bytes below the node.
    #[must_use]
    pub fn crc(&self) -> u64 {
        match self {
            Self::Leaf(entries) => compose_entries(entries),
            Self::Inner { children, .. } => {
                children.iter().fold(0, |crc, child| crc64_combine(crc, child.crc, child.len))
            }
        }
    }

    /// Ids one edge below the node, in order, with repetitions.
    #[must_use]
    pub fn edges(&self) -> Vec<ChunkId> {
        match self {
            Self::Leaf(entries) => entries.iter().map(|entry| entry.chunk).collect(),
            Self::Inner { children, .. } => children.iter().map(|child| child.node).collect(),
        }
    }
}

impl Encode for Node {
    fn encode(&self, out: &mut Writer) {
        out.check(self.check());
        out.u16(NODE_VERSION);
        out.u8(self.level());
        out.u8(0);
        match self {
            Self::Leaf(entries) => out.list_within(limit(NODE_ITEMS_MAX), entries, "manifest entries"),
            Self::Inner { children, .. } => out.list_within(limit(NODE_ITEMS_MAX), children, "manifest children"),
        }
    }
}

impl Decode for Node {
    fn decode(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        let version = input.u16("manifest node version")?;
        check_version("manifest node", version, NODE_VERSION)?;
        let level = input.u8("manifest level")?;
        input.zeros(1, "manifest node padding")?;
        let node = if level == 0 {
            Self::Leaf(input.list(limit(NODE_ITEMS_MAX), "manifest entries")?)
        } else {
            Self::Inner { level, children: input.list(limit(NODE_ITEMS_MAX), "manifest children")? }
        };
        node.check()?;
        Ok(node)
    }
}

fn limit(items: usize) -> u32 {
    u32::try_from(items).unwrap_or(u32::MAX)
}

impl Encode for Root {
    fn encode(&self, out: &mut Writer) {
        match self {
            Self::Inline(entries) => {
                out.u8(0);
                out.list_within(limit(INLINE_ENTRIES_MAX), entries, "inline manifest");
            }
            Self::Tree(child) => {
                out.u8(1);
                child.encode(out);
            }
        }
    }
}

impl Decode for Root {
    fn decode(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        match input.u8("manifest root kind")? {
            0 => Ok(Self::Inline(input.list(limit(INLINE_ENTRIES_MAX), "inline manifest")?)),
            1 => Ok(Self::Tree(Child::decode(input)?)),
            _ => Err(FormatError::Invalid { what: "manifest root kind" }),
        }
    }
}
