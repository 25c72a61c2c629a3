//! Where chunks and nodes of one upload go: dedup, seal, pack into stripes. Memory is one stripe being filled and one on its way.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use kovcheg_format::Encode;
use kovcheg_format::envelope::{HEADER_LEN, TAG_LEN};
use kovcheg_format::id::{ChunkId, DomainId};
use kovcheg_format::manifest::Node;
use kovcheg_format::record::Record;
use kovcheg_format::record::segment::{CHUNK_FLAG_REPLACES, ChunkPlace, NodeAdded};

use crate::chunk::compress::Compressor;
use crate::chunk::pipeline::DomainCipher;
use crate::dedup::lookup::Presence;
use crate::disk::Payload;
use crate::engine::Engine;
use crate::error::StorageResult;
use crate::journal::sequencer::{Commit, InlineChunks};
use crate::segment::store::PlacedStripe;

/// Unnamed stripes after which the journal is told of them ahead of the commit: bounds what a long upload keeps in memory, and
/// what a broken one has to send again.
const UNNAMED_STRIPES_MAX: usize = 64;
/// Children of a node in one record.
const EDGES_PER_RECORD: usize = 1024;

/// Room beyond the payload of a full stripe for its directory and the padding of its shards, so that neither moves anything.
const DIRECTORY_ROOM: usize = 64 << 10;

/// Least payload at which a stripe is full, however many uploads share the memory.
const STRIPE_PAYLOAD_MIN: usize = 256 << 10;

/// Counts an upload as long as it lives.
struct Counted(Arc<Engine>);

impl Counted {
    fn new(engine: Arc<Engine>) -> Self {
        engine.uploads.fetch_add(1, Ordering::Relaxed);
        Self(engine)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.uploads.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Takes the chunks of one upload.
pub struct ChunkSink {
    engine: Arc<Engine>,
    cipher: Arc<DomainCipher>,
    compressor: Compressor,
    /// Sealed envelopes; behind them, room for a header and the plaintext of the chunk that is being taken in, which is sealed
    /// where it stands.
    payload: Payload,
    /// Bytes of `payload` that are sealed.
    sealed: usize,
    places: Vec<ChunkPlace>,
    stripes: Vec<PlacedStripe>,
    records: Vec<Record>,
    /// Chunks of this upload that no look-up can show yet.
    fresh: HashSet<ChunkId>,
    replaced: Vec<ChunkId>,
    _counted: Counted,
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
        let counted = Counted::new(engine.clone());
        Self {
            engine,
            cipher,
            compressor,
            payload: Payload::default(),
            sealed: 0,
            places: Vec::new(),
            stripes: Vec::new(),
            records: Vec::new(),
            fresh: HashSet::new(),
            replaced: Vec::new(),
            _counted: counted,
        }
    }

    /// Payload bytes at which a stripe is full now: an even share of the memory for uploads (M-1).
    fn stripe_payload(&self) -> usize {
        let most = self.engine.config.stripe_payload as usize;
        let share = self.engine.config.upload_bytes / self.engine.uploads.load(Ordering::Relaxed).max(1);
        share.max(STRIPE_PAYLOAD_MIN).min(most)
    }

    /// Domain of the upload.
    #[must_use]
    pub fn domain(&self) -> DomainId {
        self.cipher.domain()
    }

    /// Takes the next bytes of a chunk. A stripe that has no room for them ends before the chunk, which moves to the next: no more is
    /// gathered than was reserved (M-1), and a full stripe is never copied to make room.
    pub fn extend(&mut self, plain: &[u8]) -> StorageResult<()> {
        if plain.is_empty() {
            return Ok(());
        }
        if self.sealed > 0 && self.payload.len() + HEADER_LEN + plain.len() + TAG_LEN > self.stripe_payload() {
            self.end_stripe()?;
        }
        if self.payload.len() == self.sealed {
            self.payload.extend_zeros(HEADER_LEN);
        }
        if self.payload.len() + plain.len() > self.engine.config.inline_bytes {
            self.payload.reserve_total(self.stripe_payload() + DIRECTORY_ROOM);
        }
        self.payload.extend_from_slice(plain);
        Ok(())
    }

    /// The bytes of the chunk taken so far.
    #[must_use]
    pub fn pending(&self) -> &[u8] {
        self.payload.get(self.sealed + HEADER_LEN..).unwrap_or_default()
    }

    /// Ends the chunk and stores it unless the vault has it.
    pub fn chunk(&mut self) -> StorageResult<ChunkId> {
        let id = self.cipher.chunk_id(self.pending());
        self.store(id)?;
        Ok(id)
    }

    /// Stores a manifest node unless the vault has it, and notes its edges (R8). Between chunks only.
    pub fn node(&mut self, node: &Node) -> StorageResult<ChunkId> {
        let plain = node.to_bytes();
        let id = self.cipher.node_id(&plain);
        debug_assert!(self.pending().is_empty(), "a node in the middle of a chunk");
        self.extend(&plain)?;
        if self.store(id)? {
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
        self.payload.truncate(self.sealed);
        if self.stripes.is_empty() && self.payload.len() <= self.engine.config.inline_bytes {
            if !self.payload.is_empty() {
                self.engine.store.check_room(self.payload.len())?;
            }
            inline = InlineChunks { payload: self.payload.to_vec(), chunks: std::mem::take(&mut self.places) };
        } else {
            self.end_stripe()?;
        }
        Ok(Filled { stripes: self.stripes, inline, records: self.records, replaced: self.replaced })
    }

    /// Seals the pending plaintext under its name, or forgets it when the vault has it. Answers whether it is new.
    fn store(&mut self, id: ChunkId) -> StorageResult<bool> {
        let presence = if self.fresh.contains(&id) { Presence::Known } else { self.engine.presence(id)? };
        let flags = match presence {
            Presence::Known => {
                self.payload.truncate(self.sealed);
                return Ok(false);
            }
            Presence::Absent => 0,
            Presence::Damaged => {
                self.replaced.push(id);
                CHUNK_FLAG_REPLACES
            }
        };
        let start = self.sealed;
        self.payload.extend_zeros(TAG_LEN);
        let room = self.payload.get_mut(start..).unwrap_or_default();
        let sealed = self.cipher.seal_in_place(id, room, &mut self.compressor)?;
        self.sealed = start + sealed.len;
        self.payload.truncate(self.sealed);
        self.places.push(ChunkPlace {
            id,
            offset: u32::try_from(start).unwrap_or(u32::MAX),
            sealed_len: u32::try_from(sealed.len).unwrap_or(u32::MAX),
            plain_len: sealed.plain_len,
            flags,
        });
        self.fresh.insert(id);
        Ok(true)
    }

    /// Hands the sealed payload to the disks, in its memory; what is pending behind it moves to the next stripe's.
    fn end_stripe(&mut self) -> StorageResult<()> {
        if self.places.is_empty() {
            return Ok(());
        }
        if let Some(last) = self.stripes.last_mut() {
            last.settle(&self.engine.disks);
        }
        let places = std::mem::take(&mut self.places);
        let mut next = Payload::default();
        if let Some(pending) = self.payload.get(self.sealed..).filter(|pending| !pending.is_empty()) {
            next.reserve_total(self.stripe_payload() + DIRECTORY_ROOM);
            next.extend_from_slice(pending);
        }
        let mut full = std::mem::replace(&mut self.payload, next);
        full.truncate(std::mem::take(&mut self.sealed));
        self.stripes.push(self.engine.store.append(self.cipher.domain(), full, places)?);
        if self.stripes.len() >= UNNAMED_STRIPES_MAX {
            self.name_stripes()?;
        }
        Ok(())
    }

    /// Tells the journal of the stripes so far; afterwards look-ups show their chunks.
    fn name_stripes(&mut self) -> StorageResult<()> {
        let mut commit = Commit::empty();
        commit.stripes = std::mem::take(&mut self.stripes);
        commit.records = std::mem::take(&mut self.records);
        self.engine.commit(commit)?;
        self.fresh.clear();
        Ok(())
    }
}
