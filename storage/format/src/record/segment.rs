//! Records about segments, stripes, chunks and the edges of manifest nodes; rows of the index that follow from them.

pub use v1::{
    CHUNK_FLAG_REPLACES, ChunkPlace, ChunkRow, ChunksDamaged, ChunksInlined, NodeAdded, SegmentClosed, SegmentOpened,
    SegmentRow, StripeAdded,
};

/// First published layout.
pub mod v1 {
    use crate::error::FormatError;
    use crate::id::{ChunkId, DiskId, DomainId, SegmentId, StripeHash};
    use crate::manifest::{LEVEL_MAX, NODE_ITEMS_MAX};
    use crate::shard::{StripeKind, check_codec, check_offset, check_shard_len, check_width};

    /// The new copy of a chunk wins over the one the index names, because that one is damaged (R17).
    pub const CHUNK_FLAG_REPLACES: u8 = 1;

    crate::layout! {
        /// A segment or journal file exists from here on. Also its row in the index, until it is closed.
        pub struct SegmentOpened {
            /// Its name.
            pub segment: SegmentId,
            /// What it holds.
            pub kind: StripeKind,
            /// Data shards.
            pub k: u8,
            /// Parity shards.
            pub m: u8,
            /// Erasure code.
            pub codec: u8,
            /// Disk of each shard, k+m different ones; zero where unknown.
            pub disks: Vec<DiskId>,
            /// Tier, 0 until tiers exist.
            pub tier: u8,
            /// Jurisdiction all its disks are in, 0 when not stated.
            pub jurisdiction: u16,
        }
        check check_opened
    }

    crate::layout! {
        /// A segment ends here; what lies beyond was never named and is cut off.
        pub struct SegmentClosed {
            /// The segment.
            pub segment: SegmentId,
            /// Bytes of each of its shard files that count.
            pub len: u64,
        }
    }

    crate::layout! {
        /// A segment as the index knows it.
        pub struct SegmentRow {
            /// How it was opened.
            pub opened: SegmentOpened,
            /// Bytes of each shard file that the journal names so far.
            pub len: u64,
            /// Whether it is closed.
            pub closed: bool,
            /// Whether it was read back from media since (R21).
            pub read_back: bool,
        }
    }

    crate::layout! {
        /// Where a chunk lies within its stripe.
        pub struct ChunkPlace {
            /// The chunk or node.
            pub id: ChunkId,
            /// Offset of its envelope in the stripe's payload.
            pub offset: u32,
            /// Bytes of its envelope.
            pub sealed_len: u32,
            /// Bytes of plaintext.
            pub plain_len: u32,
            /// [`CHUNK_FLAG_REPLACES`].
            pub flags: u8,
        }
        check check_place
    }

    crate::layout! {
        /// A data stripe is durable on all its shards; its directory, so that apply need not read it (R8).
        pub struct StripeAdded {
            /// The segment.
            pub segment: SegmentId,
            /// Offset of the shards in the segment's files.
            pub offset: u64,
            /// Data bytes of each shard.
            pub shard_len: u32,
            /// Hash of the stripe.
            pub hash: StripeHash,
            /// Domain of every chunk in it.
            pub domain: DomainId,
            /// Every chunk in it.
            pub chunks: Vec<ChunkPlace>,
        }
        check check_added
    }

    crate::layout! {
        /// Chunks that lie in the payload of the journal stripe that holds this record.
        pub struct ChunksInlined {
            /// Domain of every chunk.
            pub domain: DomainId,
            /// Places; offsets count from the end of the sealed frame.
            pub chunks: Vec<ChunkPlace>,
        }
    }

    crate::layout! {
        /// Edges of a manifest node that was stored for the first time. A long list is split over several records.
        pub struct NodeAdded {
            /// The node.
            pub node: ChunkId,
            /// Domain.
            pub domain: DomainId,
            /// Its level.
            pub level: u8,
            /// Position of the first child in this record among all children of the node.
            pub first: u32,
            /// Ids one edge below, in order, with repetitions.
            pub children: Vec<ChunkId>,
        }
        check check_node
    }

    crate::layout! {
        /// Copies of chunks that could not be read: look-ups answer "absent" until a new copy replaces them (R17).
        pub struct ChunksDamaged {
            /// Segment or journal file of the copies.
            pub segment: SegmentId,
            /// Offset of their stripe's shards in the segment's files.
            pub stripe: u64,
            /// The chunks and nodes. One whose copy that counts lies elsewhere is sound.
            pub chunks: Vec<ChunkId>,
        }
        check check_damaged
    }

    crate::layout! {
        /// Where a chunk is, as the index knows it.
        pub struct ChunkRow {
            /// Segment or journal file.
            pub segment: SegmentId,
            /// Offset of the stripe's shards in the segment's files.
            pub stripe: u64,
            /// Data bytes of each shard of the stripe.
            pub shard_len: u32,
            /// Offset of the envelope in the stripe's payload.
            pub offset: u32,
            /// Bytes of the envelope.
            pub sealed_len: u32,
            /// Bytes of plaintext.
            pub plain_len: u32,
            /// Domain.
            pub domain: DomainId,
        }
        check check_row
    }

    fn check_opened(opened: &SegmentOpened) -> Result<(), FormatError> {
        check_codec(opened.codec)?;
        let width = check_width(opened.k, opened.m)?;
        // Zero stands for a disk that nobody knows any more, when an index is rebuilt with disks missing.
        let unknown = opened.disks.iter().filter(|disk| **disk == DiskId::ZERO).count();
        let mut disks: Vec<DiskId> = opened.disks.iter().copied().filter(|disk| *disk != DiskId::ZERO).collect();
        disks.sort_unstable();
        disks.dedup();
        if disks.len() + unknown != usize::from(width) || opened.disks.len() != usize::from(width) {
            return Err(FormatError::Invalid { what: "disks of a segment" });
        }
        Ok(())
    }

    fn check_place(place: &ChunkPlace) -> Result<(), FormatError> {
        if place.flags & !CHUNK_FLAG_REPLACES != 0 {
            return Err(FormatError::Invalid { what: "chunk flags" });
        }
        check_envelope(place.offset, place.sealed_len)
    }

    fn check_row(row: &ChunkRow) -> Result<(), FormatError> {
        check_offset(row.stripe)?;
        check_envelope(row.offset, row.sealed_len)
    }

    /// The end of an envelope in its payload must be a number that readers can add up.
    fn check_envelope(offset: u32, sealed_len: u32) -> Result<(), FormatError> {
        match offset.checked_add(sealed_len) {
            Some(_) => Ok(()),
            None => Err(FormatError::Invalid { what: "chunk place" }),
        }
    }

    fn check_added(added: &StripeAdded) -> Result<(), FormatError> {
        check_offset(added.offset)?;
        check_shard_len(added.shard_len)
    }

    fn check_damaged(damaged: &ChunksDamaged) -> Result<(), FormatError> {
        check_offset(damaged.stripe)
    }

    fn check_node(node: &NodeAdded) -> Result<(), FormatError> {
        let end = usize::try_from(node.first).ok().and_then(|first| first.checked_add(node.children.len()));
        if node.level > LEVEL_MAX || end.is_none_or(|end| end > NODE_ITEMS_MAX) {
            return Err(FormatError::Invalid { what: "edges of a node" });
        }
        Ok(())
    }
}
