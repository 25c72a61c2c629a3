//! One quiet thread: writes waiting audit records of refusals, notes disks that changed their state, looks whether every disk is still where it was, and takes a
//! checkpoint when the journal has grown enough.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

use crate::engine::Engine;
use crate::error::StorageResult;
use crate::journal::sequencer::Commit;
use crate::vault::{disk_states, operator};

/// Least journal between two checkpoints, bytes on each disk: less is replayed in about a second.
const CHECKPOINT_BYTES_MIN: u64 = 64 << 20;
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
            let mut checkpointed = 0;
            while stopped.recv_timeout(ROUND) == Err(RecvTimeoutError::Timeout) {
                probe_disks(&engine);
                write_denials(&engine);
                write_disk_states(&engine);
                checkpoint(&engine, &mut checkpointed);
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

/// Takes a checkpoint when the journal since the last one outgrows half the size of the index (R7).
fn checkpoint(engine: &Engine, checkpointed: &mut u64) {
    let Some(sequencer) = engine.sequencer.as_ref().filter(|_| engine.refusal().is_none()) else { return };
    let bytes = sequencer.state().bytes.load(Ordering::Relaxed);
    let threshold = CHECKPOINT_BYTES_MIN.max(engine.index.size_bytes() / 2);
    if bytes.saturating_sub(*checkpointed) < threshold {
        return;
    }
    *checkpointed = bytes;
    if let Err(error) = engine.checkpoint() {
        tracing::warn!(%error, "no checkpoint was taken; a rebuild of the index would read more of the journal");
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

fn write_denials(engine: &Engine) {
    if engine.denials.is_empty() || engine.refusal().is_some() {
        return;
    }
    let records = engine.denials.due(engine.clock.wall_ms());
    if records.is_empty() {
        return;
    }
    if let Err(error) = engine.commit(Commit::of(Box::new(move |_| Ok(records)))) {
        tracing::error!(%error, "refusals could not be audited");
    }
}
