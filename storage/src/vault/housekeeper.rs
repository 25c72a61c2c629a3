//! One quiet thread: writes waiting audit records of refusals and the retention clock, notes damage and disks that changed their state, looks whether every disk is still
//! where it was, takes a checkpoint when the journal has grown enough, and once in each life removes what earlier ones left behind.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

use kovcheg_format::key;
use kovcheg_format::record::Record;
use kovcheg_format::record::pool::CheckpointTaken;
use kovcheg_format::record::segment::SegmentRow;
use kovcheg_format::shard::StripeKind;

use crate::engine::Engine;
use crate::error::StorageResult;
use crate::index::{Column, IndexRead, rows};
use crate::journal::sequencer::Commit;
use crate::vault::{disk_states, leftovers, operator};

/// Least journal between two checkpoints, bytes on each disk: less is replayed in about a second.
const CHECKPOINT_BYTES_MIN: u64 = 64 << 20;
/// Time between two attempts to take a checkpoint when the first failed: each writes and reads the whole index.
const CHECKPOINT_PAUSE: Duration = Duration::from_secs(300);
/// Time between two rounds.
const ROUND: Duration = Duration::from_secs(2);

/// The running thread; dropping it ends it.
pub struct Housekeeper {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Housekeeper {
    /// Starts the thread.
    pub fn start(engine: Arc<Engine>) -> StorageResult<Self> {
        let (stop, stopped) = bounded(1);
        let run = move || {
            let mut marks = Marks::new(engine.index.as_ref());
            let mut cleaned = false;
            while stopped.recv_timeout(ROUND) == Err(RecvTimeoutError::Timeout) {
                probe_disks(&engine);
                write_denials(&engine);
                write_damage(&engine);
                write_disk_states(&engine);
                write_clock(&engine);
                checkpoint(&engine, &mut marks);
                if !std::mem::replace(&mut cleaned, true) {
                    leftovers::remove(&engine);
                }
            }
        };
        let thread = std::thread::Builder::new().name("housekeeper".to_owned()).spawn(run);
        let thread = thread.map_err(|error| operator(format!("cannot start a thread: {error}")))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Housekeeper {
    fn drop(&mut self) {
        self.stop = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the housekeeper panicked");
        }
    }
}

/// A disk that is no longer reachable by its name (unmounted, moved, replaced) must not go on taking writes that nobody will find.
fn probe_disks(engine: &Engine) {
    for slot in engine.disks.slots() {
        if let Some(Err(error)) = slot.writable().map(|disk| disk.probe()) {
            slot.fence(&format!("it is not where it was: {error}"));
        }
    }
}

/// How much journal the newest checkpoint does not cover.
struct Marks {
    /// Bytes on each disk that earlier lives wrote after it.
    before: u64,
    /// Bytes that this life had written when it was taken.
    covered: u64,
    /// When the next attempt may be made.
    not_before: Option<Instant>,
}

impl Marks {
    fn new(index: &dyn IndexRead) -> Self {
        let before = uncovered(index).unwrap_or_else(|error| {
            tracing::warn!(%error, "it is not known how much journal the newest checkpoint does not cover");
            0
        });
        Self { before, covered: 0, not_before: None }
    }
}

/// Bytes, on each disk, of journal files that were begun after the newest checkpoint. The file that was written to at that moment is
/// left out: it is one file at most.
pub(super) fn uncovered(index: &dyn IndexRead) -> StorageResult<u64> {
    let mut from = Vec::new();
    rows::scan::<CheckpointTaken>(index, Column::Checkpoint, &[], None, &mut |_, taken| {
        from = key::segment(taken.segment);
        ControlFlow::Continue(())
    })?;
    let mut bytes = 0;
    rows::scan::<SegmentRow>(index, Column::Segment, &from, None, &mut |_, row| {
        bytes += if row.opened.kind == StripeKind::Journal { row.len } else { 0 };
        ControlFlow::Continue(())
    })?;
    Ok(bytes)
}

/// Takes a checkpoint when the journal since the last one outgrows half the size of the index (R7).
fn checkpoint(engine: &Engine, marks: &mut Marks) {
    let Some(sequencer) = engine.sequencer.as_ref().filter(|_| engine.refusal().is_none()) else { return };
    let bytes = sequencer.state().bytes.load(Ordering::Relaxed);
    let threshold = CHECKPOINT_BYTES_MIN.max(engine.index.size_bytes() / 2);
    let early = marks.not_before.is_some_and(|moment| Instant::now() < moment);
    if early || marks.before + bytes.saturating_sub(marks.covered) < threshold {
        return;
    }
    match engine.checkpoint() {
        Ok(_) => *marks = Marks { before: 0, covered: bytes, not_before: None },
        Err(error) => {
            marks.not_before = Instant::now().checked_add(CHECKPOINT_PAUSE);
            tracing::warn!(%error, "no checkpoint was taken; a rebuild of the index would read more of the journal");
        }
    }
}

fn write_disk_states(engine: &Engine) {
    if engine.refusal().is_some() {
        return;
    }
    let written = disk_states::changes(engine).and_then(|records| match records.is_empty() {
        true => Ok(()),
        false => engine.commit(Commit::of(Box::new(move |_| Ok(records)))),
    });
    if let Err(error) = written {
        tracing::warn!(%error, "a change of a disk's state is not in the journal yet");
    }
}

/// Has the journal know which chunks are damaged, a bounded number of them (R17).
pub(super) fn write_damage(engine: &Engine) {
    if engine.refusal().is_some() {
        return;
    }
    let damage = engine.lookup.damage();
    let records = damage.due();
    if records.is_empty() {
        return;
    }
    let written = records.iter().cloned().map(Record::from).collect();
    match engine.commit(Commit::of(Box::new(move |_| Ok(written)))) {
        Ok(()) => damage.written(&records),
        Err(error) => tracing::warn!(%error, "damage is not in the journal yet"),
    }
}

/// Has the journal know the retention clock, at least every minute (R12).
fn write_clock(engine: &Engine) {
    if engine.refusal().is_some() {
        return;
    }
    let Some(ticked) = engine.retention.due() else { return };
    if let Err(error) = engine.commit(Commit::of(Box::new(move |_| Ok(vec![ticked.into()])))) {
        tracing::warn!(%error, "the retention clock is not in the journal yet");
    }
}

fn write_denials(engine: &Engine) {
    if engine.denials.is_empty() || engine.refusal().is_some() {
        return;
    }
    let records = engine.denials.due(engine.clock.wall_ms(), engine.retention.now().time);
    if records.is_empty() {
        return;
    }
    if let Err(error) = engine.commit(Commit::of(Box::new(move |_| Ok(records)))) {
        tracing::error!(%error, "refusals could not be audited");
    }
}
