//! The sequencer: one thread that gives every change its place in the order, makes it durable and applies it.
//!
//! Two stages, so that data and journal flush side by side: the flusher makes the data stripes of waiting commits durable
//! together (R19, R2); the sequencer then puts all that are ready into one journal stripe (group commit), applies its records
//! to the index (R8) and only then answers. Whatever arrives while a flush runs goes out with the next.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use kovcheg_format::id::{DomainId, Epoch, Lsn, SegmentId, StripeHash, VersionId};
use kovcheg_format::record::Record;
use kovcheg_format::record::segment::{ChunkPlace, ChunksInlined};
use kovcheg_policy::clock::ClockState;
use parking_lot::{Mutex, RwLock};

use crate::clock::Clock;
use crate::config::EngineConfig;
use crate::error::{StorageError, StorageResult};
use crate::index::seal::FactSeal;
use crate::index::{Index, IndexRead};
use crate::journal::apply::{Overlay, StripePlace, apply_frame, apply_record};
use crate::journal::retention_clock::RetentionClock;
use crate::journal::writer::{JournalWriter, WrittenFrame};
use crate::segment::store::{PlacedStripe, SegmentStore};

/// Most commits in one journal stripe: keeps the ordinal of a version within 16 bits and a batch's memory bounded.
const COMMITS_MAX: usize = 1024;
/// Bytes of frame and inline chunks that one journal stripe takes at most: below what a single data shard holds, so that it can be
/// written at every width (R4).
const STRIPE_MAX: usize = 15 << 20;
/// Bytes of it kept for what a proposal adds: a version of 10,000 parts has 1 MiB.
const PROPOSAL_ROOM: usize = 2 << 20;
/// Bytes of a record that names a stripe, without its chunks, rounded up.
const STRIPE_RECORD_BYTES: usize = 128;
/// Bytes of a chunk's place in a record, rounded up.
const CHUNK_RECORD_BYTES: usize = 64;

/// What a proposal may look at: everything that comes before it in the order.
pub struct Moment<'a> {
    /// The index with all earlier changes, durable or riding in the same stripe.
    pub view: &'a dyn IndexRead,
    /// Position of the stripe the commit will be in.
    pub lsn: Lsn,
    /// Position of the commit within the stripe.
    pub ordinal: u16,
    /// Wall clock.
    pub now: u64,
    /// Retention clock (R12).
    pub clock: ClockState,
}

impl Moment<'_> {
    /// A version name that sorts by journal order: 48 bits of LSN, 16 of ordinal, 64 random.
    pub fn version_id(&self) -> StorageResult<VersionId> {
        let mut id = [0; 16];
        let (order, random) = id.split_at_mut(8);
        order.copy_from_slice(&((self.lsn.0 << 16) | u64::from(self.ordinal)).to_be_bytes());
        getrandom::fill(random).map_err(|error| StorageError::Operator(format!("no random numbers: {error}")))?;
        Ok(VersionId(id))
    }
}

/// Decides, in journal order, which records a commit adds; an error refuses the commit and nothing of it takes effect.
pub type Proposal = Box<dyn FnOnce(&Moment<'_>) -> StorageResult<Vec<Record>> + Send>;
/// Hears once what became of a commit: its position when it is durable and applied (W-1), or why it is not.
pub type Answer = Box<dyn FnOnce(StorageResult<Lsn>) + Send>;

/// Chunks that ride in the journal stripe of their commit.
#[derive(Default)]
pub struct InlineChunks {
    /// Their envelopes, one after the other.
    pub payload: Vec<u8>,
    /// Their places in `payload`.
    pub chunks: Vec<ChunkPlace>,
}

/// A change on its way into the journal.
pub struct Commit {
    /// Data stripes that hold what the records name.
    pub stripes: Vec<PlacedStripe>,
    /// Chunks that ride along, all of one domain.
    pub inline: InlineChunks,
    /// Domain of the inline chunks.
    pub domain: DomainId,
    /// Records that hold whatever the proposal decides (edges of new manifest nodes).
    pub records: Vec<Record>,
    /// Decides the rest.
    pub propose: Proposal,
    /// Hears the outcome.
    pub done: Answer,
}

impl Commit {
    /// A commit of what `propose` decides, without content of its own.
    #[must_use]
    pub fn of(propose: Proposal) -> Self {
        Self {
            stripes: Vec::new(),
            inline: InlineChunks::default(),
            domain: DomainId(0),
            records: Vec::new(),
            propose,
            done: Box::new(|_| ()),
        }
    }

    /// A commit that is still to be filled, or decided by [`Engine::decide`](crate::engine::Engine::decide).
    #[must_use]
    pub fn empty() -> Self {
        Self::of(Box::new(|_| Ok(Vec::new())))
    }
}

/// What the engine's other threads see of the sequencer.
#[derive(Default)]
pub struct JournalState {
    /// Newest durable position.
    pub lsn: AtomicU64,
    /// Journal stripes written in this life.
    pub commits: AtomicU64,
    /// Bytes that journal stripes of this life take on each disk.
    pub bytes: AtomicU64,
    /// Commits they carried.
    pub committed: AtomicU64,
    stopped: RwLock<Option<StorageError>>,
}

impl JournalState {
    /// Why the journal takes no more records, if so.
    #[must_use]
    pub fn stopped(&self) -> Option<StorageError> {
        self.stopped.read().clone()
    }

    fn stop(&self, error: &StorageError) {
        let mut stopped = self.stopped.write();
        if stopped.is_none() {
            tracing::error!(%error, "the journal takes no more records; reads go on");
            *stopped = Some(error.clone());
        }
    }
}

/// The running threads. Dropping it ends them after what is queued.
pub struct Sequencer {
    queue: RwLock<Option<Sender<Commit>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    state: Arc<JournalState>,
}

/// Everything the sequencer works with.
pub struct SequencerParts {
    /// End of the journal.
    pub writer: JournalWriter,
    /// Data segments.
    pub store: Arc<SegmentStore>,
    /// The view.
    pub index: Arc<dyn Index>,
    /// Seals what is applied to it.
    pub seal: FactSeal,
    /// Wall clock.
    pub clock: Arc<dyn Clock>,
    /// Retention clock.
    pub retention: Arc<RetentionClock>,
}

impl Sequencer {
    /// Starts the threads.
    pub fn start(parts: SequencerParts, config: &EngineConfig) -> StorageResult<Self> {
        let state = Arc::new(JournalState::default());
        state.lsn.store(parts.writer.last().0.0, Ordering::Release);
        let (queue, incoming) = bounded::<Commit>(config.queue.max(1));
        let (ready, flushed) = bounded::<Commit>(config.queue.max(1));
        let (flush_index, index_flushes) = bounded::<()>(1);
        let store = parts.store.clone();
        let index = parts.index.clone();
        let flusher = spawn("flusher", move || flush_loop(&incoming, &ready, &store))?;
        let indexer = spawn("index-flush", move || index_loop(&index_flushes, index.as_ref()))?;
        let worker = Worker {
            parts,
            state: state.clone(),
            deferred: VecDeque::new(),
            commit_bytes: config.commit_bytes,
            flush_every: config.index_flush_bytes,
            unflushed: 0,
            flush_index,
        };
        let sequencer = spawn("sequencer", move || worker.run(&flushed))?;
        let threads = Mutex::new(vec![flusher, sequencer, indexer]);
        Ok(Self { queue: RwLock::new(Some(queue)), threads, state })
    }

    /// Hands a commit over; waits while the queue is full.
    pub fn submit(&self, commit: Commit) {
        let Some(queue) = self.queue.read().clone() else {
            return (commit.done)(Err(StorageError::Stopping("it was closed".into())));
        };
        if let Err(rejected) = queue.send(commit) {
            let error = self.state.stopped().unwrap_or(StorageError::Stopping("the sequencer ended".into()));
            (rejected.into_inner().done)(Err(error));
        }
    }

    /// Ends the threads after what is queued.
    pub fn close(&self) {
        *self.queue.write() = None;
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("a journal thread panicked");
            }
        }
    }

    /// What it is doing.
    #[must_use]
    pub fn state(&self) -> &Arc<JournalState> {
        &self.state
    }
}

impl Drop for Sequencer {
    fn drop(&mut self) {
        self.close();
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> StorageResult<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(|error| StorageError::Operator(format!("cannot start thread {name}: {error}")))
}

/// Takes what is queued, up to a batch.
fn drain<T>(incoming: &Receiver<T>, mut fits: impl FnMut(&T) -> bool) -> Option<Vec<T>> {
    let first = incoming.recv().ok()?;
    let mut more = fits(&first);
    let mut batch = vec![first];
    while more && batch.len() < COMMITS_MAX {
        let Ok(next) = incoming.try_recv() else { break };
        more = fits(&next);
        batch.push(next);
    }
    Some(batch)
}

fn flush_loop(incoming: &Receiver<Commit>, ready: &Sender<Commit>, store: &SegmentStore) {
    while let Some(mut batch) = drain(incoming, |_| true) {
        let mut stripes: Vec<&mut PlacedStripe> = batch.iter_mut().flat_map(|commit| &mut commit.stripes).collect();
        let outcome = if stripes.is_empty() { Ok(()) } else { store.flush(&mut stripes) };
        for commit in batch {
            match &outcome {
                Err(error) if !commit.stripes.is_empty() => (commit.done)(Err(error.clone())),
                _ => {
                    if let Err(rejected) = ready.send(commit) {
                        (rejected.into_inner().done)(Err(StorageError::Stopping("the sequencer ended".into())));
                    }
                }
            }
        }
    }
}

fn index_loop(flushes: &Receiver<()>, index: &dyn Index) {
    while flushes.recv().is_ok() {
        if let Err(error) = index.flush() {
            tracing::error!(%error, "index flush failed; a restart will replay more of the journal");
        }
    }
}

struct Worker {
    parts: SequencerParts,
    state: Arc<JournalState>,
    /// Commits that found no room in the stripe before, in order.
    deferred: VecDeque<Commit>,
    commit_bytes: usize,
    flush_every: u64,
    unflushed: u64,
    flush_index: Sender<()>,
}

struct Accepted {
    records: Vec<Record>,
    inline: Vec<u8>,
    answers: Vec<Answer>,
}

impl Worker {
    fn run(mut self, flushed: &Receiver<Commit>) {
        loop {
            if self.deferred.is_empty() {
                let (mut size, limit) = (0, self.commit_bytes);
                let fits = |commit: &Commit| {
                    size += known_bytes(commit);
                    size < limit
                };
                let Some(batch) = drain(flushed, fits) else { return };
                self.deferred.extend(batch);
            }
            self.take();
        }
    }

    fn take(&mut self) {
        if let Some(error) = self.state.stopped() {
            return refuse_all(&mut self.deferred, &error);
        }
        let accepted = self.decide();
        if accepted.answers.is_empty() && accepted.records.is_empty() {
            return;
        }
        let outcome = self.write(&accepted);
        if let Err(error) = &outcome {
            self.state.stop(error);
        }
        for answer in accepted.answers {
            answer(outcome.clone());
        }
    }

    /// Asks proposals in order, each seeing what the earlier ones decided, until the stripe is full; the rest waits for the next.
    fn decide(&mut self) -> Accepted {
        let index = self.parts.index.clone();
        let mut accepted = Accepted { records: Vec::new(), inline: Vec::new(), answers: Vec::new() };
        let mut preview = match Overlay::new(index.as_ref()) {
            Ok(preview) => preview,
            Err(error) => {
                refuse_all(&mut self.deferred, &error.into());
                return accepted;
            }
        };
        accepted.records = self.parts.store.take_news();
        let mut size = 0;
        let mut ordinal = 0;
        while let Some(commit) = self.deferred.pop_front() {
            let known = known_bytes(&commit);
            if known + PROPOSAL_ROOM > STRIPE_MAX {
                let reason = format!("{known} bytes of records do not fit one journal stripe");
                (commit.done)(Err(StorageError::InvalidArgument { what: "commit", reason }));
                continue;
            }
            if size + known + PROPOSAL_ROOM > STRIPE_MAX {
                self.deferred.push_front(commit);
                break;
            }
            let (lsn, now) = (self.parts.writer.next_lsn(), self.parts.clock.wall_ms());
            let clock = self.parts.retention.now();
            let moment = Moment { view: &preview, lsn, ordinal, now, clock };
            let proposed = (commit.propose)(&moment).and_then(checked);
            match proposed.and_then(|records| foresee(&mut preview, &records).map(|()| records)) {
                Err(error) => (commit.done)(Err(error)),
                Ok(records) => {
                    size += known + encoded_bytes(&records);
                    accepted.records.extend(commit.stripes.iter().map(|stripe| Record::from(stripe.record())));
                    place_inline(&mut accepted, commit.domain, commit.inline);
                    accepted.records.extend(commit.records);
                    accepted.records.extend(records);
                    accepted.answers.push(commit.done);
                }
            }
            ordinal += 1;
            if size >= self.commit_bytes || usize::from(ordinal) >= COMMITS_MAX {
                break;
            }
        }
        accepted
    }

    fn write(&mut self, accepted: &Accepted) -> StorageResult<Lsn> {
        let written = self.parts.writer.append(&accepted.records, &accepted.inline)?;
        self.apply(&written)?;
        self.state.lsn.store(written.place.lsn.0, Ordering::Release);
        self.state.commits.fetch_add(1, Ordering::Relaxed);
        self.state.committed.fetch_add(accepted.answers.len() as u64, Ordering::Relaxed);
        self.state.bytes.fetch_add(written.disk_len, Ordering::Relaxed);
        self.unflushed += written.disk_len;
        if self.unflushed >= self.flush_every && self.flush_index.try_send(()).is_ok() {
            self.unflushed = 0;
        }
        Ok(written.place.lsn)
    }

    fn apply(&self, written: &WrittenFrame) -> StorageResult<()> {
        let view: &dyn IndexRead = self.parts.index.as_ref();
        let mut overlay = Overlay::sealed(view, &self.parts.seal)?;
        apply_frame(&mut overlay, &written.place, &written.records)?;
        self.parts.index.apply(overlay.into_batch(&written.place.applied()))?;
        Ok(())
    }
}

fn refuse_all(commits: &mut VecDeque<Commit>, error: &StorageError) {
    for commit in commits.drain(..) {
        (commit.done)(Err(error.clone()));
    }
}

/// Bytes that a commit takes in a journal stripe, but for what its proposal adds.
fn known_bytes(commit: &Commit) -> usize {
    let named = commit.stripes.iter().map(|stripe| STRIPE_RECORD_BYTES + stripe.chunks.len() * CHUNK_RECORD_BYTES);
    let inline = commit.inline.payload.len() + commit.inline.chunks.len() * CHUNK_RECORD_BYTES;
    named.sum::<usize>() + inline + encoded_bytes(&commit.records) + STRIPE_RECORD_BYTES
}

fn encoded_bytes(records: &[Record]) -> usize {
    records.iter().map(|record| record.body().len()).sum()
}

/// Refuses records that no reader would take, before they reach the journal.
fn checked(records: Vec<Record>) -> StorageResult<Vec<Record>> {
    for record in &records {
        record.check().map_err(|source| StorageError::format("record", source))?;
    }
    Ok(records)
}

/// Lets later proposals of the batch see what an earlier one decided. Places do not matter to them.
fn foresee(preview: &mut Overlay<'_>, records: &[Record]) -> StorageResult<()> {
    let nowhere = StripePlace {
        segment: SegmentId(0),
        offset: 0,
        shard_len: 0,
        inner_len: 0,
        lsn: Lsn(0),
        epoch: Epoch(0),
        hash: StripeHash::ZERO,
        retention_clock: 0,
    };
    for record in records {
        apply_record(preview, &nowhere, record)?;
    }
    Ok(())
}

fn place_inline(accepted: &mut Accepted, domain: DomainId, mut inline: InlineChunks) {
    if inline.chunks.is_empty() {
        return;
    }
    let base = u32::try_from(accepted.inline.len()).unwrap_or(u32::MAX);
    for chunk in &mut inline.chunks {
        chunk.offset = chunk.offset.saturating_add(base);
    }
    accepted.inline.extend_from_slice(&inline.payload);
    accepted.records.push(ChunksInlined { domain, chunks: inline.chunks }.into());
}
