//! The parts of a running vault, wired once at opening and shared by every call.

use std::collections::HashMap;
use std::sync::Arc;

use kovcheg_format::Decode;
use kovcheg_format::id::{ChunkId, DomainId};
use kovcheg_format::manifest::Node;
use kovcheg_format::record::Record;
use kovcheg_format::record::pool::DiskState;
use kovcheg_format::record::segment::{ChunkRow, SegmentClosed};
use parking_lot::{Mutex, RwLock};

use crate::audit::signer::AuditSigner;
use crate::chunk::pipeline::{ContentKind, DomainCipher, Verified};
use crate::clock::Clock;
use crate::config::EngineConfig;
use crate::dedup::lookup::{ChunkLookup, Presence};
use crate::disk::set::DiskSet;
use crate::error::{StorageError, StorageResult};
use crate::index::Index;
use crate::journal::checkpoint::CheckpointWriter;
use crate::journal::retention_clock::RetentionClock;
use crate::journal::sequencer::{Commit, Moment, Sequencer};
use crate::keys::keyring::MetadataCipher;
use crate::object::types::Credential;
use crate::segment::reader::{SegmentReader, StripeRange};
use crate::segment::store::SegmentStore;

/// Everything a call on the vault may need.
pub struct Engine {
    /// Settings.
    pub config: EngineConfig,
    /// Wall clock.
    pub clock: Arc<dyn Clock>,
    /// Retention clock (R12).
    pub retention: Arc<RetentionClock>,
    /// The disks.
    pub disks: Arc<DiskSet>,
    /// The derived view.
    pub index: Arc<dyn Index>,
    /// Stripe reader.
    pub reader: Arc<SegmentReader>,
    /// Open data segments; `None` when read-only.
    pub store: Arc<SegmentStore>,
    /// Dedup look-up.
    pub lookup: ChunkLookup,
    /// Seals secrets that stand in the index.
    pub metadata: Arc<MetadataCipher>,
    /// Signs audit checkpoints.
    pub signer: AuditSigner,
    /// Ciphers of the domains.
    pub domains: RwLock<HashMap<DomainId, Arc<DomainCipher>>>,
    /// Sequence below which no new keyring may stand: those of this life begin at its epoch. Held while one is written.
    pub keyring_written: Mutex<u64>,
    /// The journal; `None` when the vault was opened read-only.
    pub sequencer: Option<Sequencer>,
    /// Why the vault was opened read-only.
    pub read_only: Option<String>,
    /// What an operator should mend.
    pub warnings: Mutex<Vec<String>>,
    /// Bodies on their way in.
    pub uploads: std::sync::atomic::AtomicUsize,
    /// Refusals waiting for their audit record.
    pub denials: crate::object::denial::Denials,
    /// Access key of the root credential, empty when none is set.
    pub root_access_key: RwLock<String>,
    /// Root credential that could not be stored because the vault takes no writes. As long as this process lives it is the only
    /// root: the stored one is ignored. In memory only; its secret is wiped when it goes.
    pub root_override: RwLock<Option<Credential>>,
    /// Whether the holder of the recovery kit has shown it.
    pub kit_confirmed: std::sync::atomic::AtomicBool,
}

impl Engine {
    /// Why writes are refused now, if they are (R4).
    #[must_use]
    pub fn refusal(&self) -> Option<StorageError> {
        if let Some(reason) = &self.read_only {
            return Some(StorageError::ReadOnly { reason: reason.clone() });
        }
        if let Some(error) = self.sequencer.as_ref().and_then(|sequencer| sequencer.state().stopped()) {
            return Some(StorageError::ReadOnly { reason: error.to_string() });
        }
        if self.disks.width_now().is_none() {
            let writable = self.disks.writable().len();
            let reason = format!("only {writable} disks take writes and {} are needed", self.disks.m + 1);
            return Some(StorageError::ReadOnly { reason });
        }
        None
    }

    /// Hands a commit to the journal.
    pub fn submit(&self, commit: Commit) {
        match (&self.sequencer, self.refusal()) {
            (Some(sequencer), None) => sequencer.submit(commit),
            (_, refusal) => (commit.done)(Err(refusal.unwrap_or(StorageError::Stopping("it is closed".into())))),
        }
    }

    /// Hands a commit to the journal and waits until it is durable and applied. Not for CPU workers that others wait for.
    pub fn commit(&self, mut commit: Commit) -> StorageResult<()> {
        let (answer, outcome) = crossbeam_channel::bounded(1);
        let first = std::mem::replace(&mut commit.done, Box::new(|_| ()));
        commit.done = Box::new(move |result| {
            first(result.clone());
            let _ = answer.send(result);
        });
        self.submit(commit);
        outcome.recv().unwrap_or_else(|_| Err(StorageError::Stopping("the sequencer ended".into()))).map(|_| ())
    }

    /// [`Engine::commit`] of what `decide` says; what it answered, once that is durable and applied.
    pub fn decide<T: Send + 'static>(
        &self,
        mut commit: Commit,
        decide: impl FnOnce(&Moment<'_>) -> StorageResult<(T, Vec<Record>)> + Send + 'static,
    ) -> StorageResult<T> {
        let (answer, answered) = crossbeam_channel::bounded(1);
        commit.propose = Box::new(move |moment| {
            let (value, records) = decide(moment)?;
            let _ = answer.send(value);
            Ok(records)
        });
        self.commit(commit)?;
        answered.try_recv().map_err(|_| StorageError::Stopping("nothing was decided".into()))
    }

    /// Writes a checkpoint of the index and names it in the journal; durable on return (R7). Answers whether there was
    /// anything to write.
    pub fn checkpoint(&self) -> StorageResult<bool> {
        let writer = CheckpointWriter {
            reader: &self.reader,
            ids: self.store.ids(),
            cipher: &self.metadata,
            clock: self.clock.as_ref(),
            page_bytes: self.config.checkpoint_page,
        };
        let Some(written) = writer.write(self.index.snapshot().as_ref())? else { return Ok(false) };
        let closed = SegmentClosed { segment: written.opened.segment, len: written.len };
        self.commit(Commit::of(Box::new(move |_| {
            Ok(vec![written.opened.into(), closed.into(), written.taken.into()])
        })))?;
        Ok(true)
    }

    /// The cipher of a domain.
    pub fn domain(&self, domain: DomainId) -> StorageResult<Arc<DomainCipher>> {
        self.domains.read().get(&domain).cloned().ok_or_else(|| {
            StorageError::Operator(format!("the keyring holds no key for domain {domain}; its data cannot be opened"))
        })
    }

    /// What a new upload may make of a chunk that may be there already. A copy of which too few shards lie on disks that serve does
    /// not count: an acknowledgement must not rest on it (R17, W-1).
    pub fn presence(&self, id: ChunkId) -> StorageResult<Presence> {
        let presence = self.lookup.presence(id)?;
        if presence != Presence::Known || !self.disks.is_degraded() {
            return Ok(presence);
        }
        let Some(row) = self.lookup.locate(id)? else { return Ok(Presence::Absent) };
        let opened = self.reader.shape(row.segment)?;
        let serves = |disk| self.disks.slot(disk).is_some_and(|slot| slot.state() == DiskState::Serving);
        let serving = opened.disks.iter().filter(|disk| serves(**disk)).count();
        Ok(if serving < usize::from(opened.k) { Presence::Damaged } else { Presence::Known })
    }

    /// Reads, opens and verifies one chunk or node, around lost or rotten shards if need be (D-1, E-1).
    pub fn read_chunk(&self, kind: ContentKind, id: ChunkId, cipher: &DomainCipher) -> StorageResult<Verified> {
        let row = self.lookup.locate(id)?.ok_or(StorageError::ChunkMissing(id))?;
        let range = envelope_range(&row);
        if let Ok(read) = self.reader.read_fast(&range)
            && let Some(envelope) = read.get(0, range.len)
            && let Ok(verified) = cipher.open(kind, id, &envelope)
        {
            return Ok(verified);
        }
        self.read_chunk_carefully(kind, id, &row, cipher)
    }

    /// Reads a chunk from its whole stripe, mending it. A chunk that still does not open is damaged, and so are its neighbours
    /// when the stripe is beyond repair: the next upload of the same content stores them anew (R17).
    pub fn read_chunk_carefully(
        &self,
        kind: ContentKind,
        id: ChunkId,
        row: &ChunkRow,
        cipher: &DomainCipher,
    ) -> StorageResult<Verified> {
        let opened = self.reader.read_careful(&envelope_range(row)).and_then(|bytes| cipher.open(kind, id, &bytes));
        if let Err(error) = &opened {
            self.lookup.damage().note(id, row.segment, row.stripe)?;
            if matches!(error, StorageError::Damaged { .. }) {
                self.lookup.mark_stripe_damaged(row.segment, row.stripe)?;
            }
        }
        opened
    }

    /// Loads a manifest node.
    pub fn load_node(&self, id: ChunkId, cipher: &DomainCipher) -> StorageResult<Node> {
        let bytes = self.read_chunk(ContentKind::Node, id, cipher)?;
        Node::from_bytes(&bytes).map_err(|source| StorageError::format("manifest node", source))
    }
}

/// The bytes of a chunk's envelope within its stripe.
#[must_use]
pub fn envelope_range(row: &ChunkRow) -> StripeRange {
    StripeRange {
        segment: row.segment,
        stripe: row.stripe,
        shard_len: row.shard_len,
        from: row.offset.into(),
        len: row.sealed_len as usize,
    }
}
