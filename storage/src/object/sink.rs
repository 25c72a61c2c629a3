//! Where chunks and nodes of one upload go: dedup, seal, pack into stripes. Memory is one stripe being filled and one on its way.

use std::collections::HashSet;
use std::sync::Arc;

use kovcheg_format::Encode;
use kovcheg_format::envelope::{HEADER_LEN, TAG_LEN};
use kovcheg_format::id::{ChunkId, DomainId};
use kovcheg_format::manifest::Node;
use kovcheg_format::record::Record;
use kovcheg_format::record::segment::{CHUNK_FLAG_REPLACES, ChunkPlace, NodeAdded};

use crate::chunk::compress::Compressor;
use crate::chunk::pipeline::DomainCipher;
use crate::dedup::lookup::Presence;
use crate::engine::Engine;
use crate::error::StorageResult;
use crate::journal::sequencer::{Commit, InlineChunks};
use crate::segment::store::PlacedStripe;

/// Unnamed stripes after which the journal is told of them ahead of the commit: bounds what a long upload keeps in memory, and
/// what a broken one has to send again.
const UNNAMED_STRIPES_MAX: usize = 64;
/// Children of a node in one record.
const EDGES_PER_RECORD: usize = 1024;

/// Room beyond the payload of a full stripe for its directory, so that appending it moves nothing.
const DIRECTORY_ROOM: usize = 16 << 10;

/// Takes the chunks of one upload.
pub struct ChunkSink {
    engine: Arc<Engine>,
    cipher: Arc<DomainCipher>,
    compressor: Compressor,
    payload: Vec<u8>,
    places: Vec<ChunkPlace>,
    stripes: Vec<PlacedStripe>,
    records: Vec<Record>,
    /// Chunks of this upload that no look-up can show yet.
    fresh: HashSet<ChunkId>,
    replaced: Vec<ChunkId>,
}

/// What an upload leaves for its commit.
pub struct Filled {
    /// Stripes to be flushed and named.
    pub stripes: Vec<PlacedStripe>,
    /// Chunks that ride in the journal.
    pub inline: InlineChunks,
    /// Edges of new nodes.
    pub records: Vec<Record>,
    /// Damaged chunks that have a new copy.
    pub replaced: Vec<ChunkId>,
}

impl ChunkSink {
    /// An empty sink.
    #[must_use]
    pub fn new(engine: Arc<Engine>, cipher: Arc<DomainCipher>) -> Self {
        let compressor = Compressor::new(engine.config.zstd_level);
        Self {
            engine,
            cipher,
            compressor,
            payload: Vec::new(),
            places: Vec::new(),
            stripes: Vec::new(),
            records: Vec::new(),
            fresh: HashSet::new(),
            replaced: Vec::new(),
        }
    }

    /// Domain of the upload.
    #[must_use]
    pub fn domain(&self) -> DomainId {
        self.cipher.domain()
    }

    /// Stores a chunk unless the vault has it.
    pub fn chunk(&mut self, plain: &[u8]) -> StorageResult<ChunkId> {
        let id = self.cipher.chunk_id(plain);
        self.store(id, plain)?;
        Ok(id)
    }

    /// Stores a manifest node unless the vault has it, and notes its edges (R8).
    pub fn node(&mut self, node: &Node) -> StorageResult<ChunkId> {
        let plain = node.to_bytes();
        let id = self.cipher.node_id(&plain);
        if self.store(id, &plain)? {
            for (part, children) in node.edges().chunks(EDGES_PER_RECORD).enumerate() {
                let first = u32::try_from(part * EDGES_PER_RECORD).unwrap_or(u32::MAX);
                let edges = NodeAdded {
                    node: id,
                    domain: self.cipher.domain(),
                    level: node.level(),
                    first,
                    children: children.to_vec(),
                };
                self.records.push(edges.into());
            }
        }
        Ok(id)
    }

    /// Ends the upload: what is left becomes a short stripe, or rides in the journal when it is small (R1).
    pub fn finish(mut self) -> StorageResult<Filled> {
        let mut inline = InlineChunks::default();
        if self.stripes.is_empty() && self.payload.len() <= self.engine.config.inline_bytes {
            inline =
                InlineChunks { payload: std::mem::take(&mut self.payload), chunks: std::mem::take(&mut self.places) };
        } else {
            self.end_stripe()?;
        }
        Ok(Filled { stripes: self.stripes, inline, records: self.records, replaced: self.replaced })
    }

    /// Answers whether the chunk is new.
    fn store(&mut self, id: ChunkId, plain: &[u8]) -> StorageResult<bool> {
        if self.fresh.contains(&id) {
            return Ok(false);
        }
        let flags = match self.engine.lookup.presence(id)? {
            Presence::Known => return Ok(false),
            Presence::Absent => 0,
            Presence::Damaged => {
                self.replaced.push(id);
                CHUNK_FLAG_REPLACES
            }
        };
        let full = self.engine.config.stripe_payload as usize;
        let most = HEADER_LEN + plain.len() + TAG_LEN;
        if !self.payload.is_empty() && self.payload.len() + most > full {
            self.end_stripe()?;
        }
        if self.payload.capacity() == 0 && most > self.engine.config.inline_bytes {
            self.payload.reserve(full + DIRECTORY_ROOM);
        }
        let start = self.payload.len();
        let plain_len = self.cipher.seal_into(id, plain, &mut self.compressor, &mut self.payload)?;
        self.places.push(ChunkPlace {
            id,
            offset: u32::try_from(start).unwrap_or(u32::MAX),
            sealed_len: u32::try_from(self.payload.len() - start).unwrap_or(u32::MAX),
            plain_len,
            flags,
        });
        self.fresh.insert(id);
        Ok(true)
    }

    fn end_stripe(&mut self) -> StorageResult<()> {
        if self.places.is_empty() {
            return Ok(());
        }
        if let Some(last) = self.stripes.last_mut() {
            last.settle(&self.engine.disks);
        }
        let payload = std::mem::take(&mut self.payload);
        let places = std::mem::take(&mut self.places);
        self.stripes.push(self.engine.store.append(self.cipher.domain(), payload, places)?);
        if self.stripes.len() >= UNNAMED_STRIPES_MAX {
            self.name_stripes()?;
        }
        Ok(())
    }

    /// Tells the journal of the stripes so far; afterwards look-ups show their chunks.
    fn name_stripes(&mut self) -> StorageResult<()> {
        let mut commit = Commit::of(Box::new(|_| Ok(Vec::new())));
        commit.stripes = std::mem::take(&mut self.stripes);
        commit.records = std::mem::take(&mut self.records);
        self.engine.commit(commit)?;
        self.fresh.clear();
        Ok(())
    }
}
