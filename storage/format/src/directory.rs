//! Directory of a data stripe: what lies where in its payload, so that a stripe explains itself without the journal.
//!
//! ```text
//! u32 count, count × ChunkPlace, u32 domain
//! ```
//! It stands at the end of the payload; `inner_len` of the shard header is its length. Ids are keyed, so it tells nobody
//! anything about content.

use crate::error::FormatError;
use crate::id::DomainId;
use crate::layout;
use crate::record::segment::ChunkPlace;

layout! {
    /// The chunks of one data stripe, in the order in which they lie. Offsets count from the start of the payload.
    pub struct Directory {
        /// Every chunk.
        pub chunks: Vec<ChunkPlace>,
        /// Domain of every chunk.
        pub domain: DomainId,
    }
    check check_order
}

impl Directory {
    /// Bytes of payload that the chunks take: the end of the last envelope.
    #[must_use]
    pub fn envelopes_len(&self) -> u64 {
        self.chunks.last().map_or(0, end_of)
    }
}

fn end_of(place: &ChunkPlace) -> u64 {
    u64::from(place.offset) + u64::from(place.sealed_len)
}

/// Envelopes follow one another and never overlap.
fn check_order(directory: &Directory) -> Result<(), FormatError> {
    let mut end = 0;
    for place in &directory.chunks {
        if u64::from(place.offset) < end {
            return Err(FormatError::Invalid { what: "directory order" });
        }
        end = end_of(place);
    }
    Ok(())
}
