//! The lifecycle worker: finds what is due by the rules of buckets, and has it decided in the journal (docs/rfcs/0006).

mod walk;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

use crate::engine::Engine;
use crate::error::{StorageError, StorageResult};
use crate::journal::sequencer::Commit;
use crate::lifecycle::walk::Walk;
use crate::object::lifecycle::{DueThing, origin, propose_expire};

/// How long after the start of the vault the first walk begins, at most.
const FIRST_AFTER: Duration = Duration::from_secs(60);

/// What a walk did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expired {
    /// Things that were due and went: versions, markers, uploads, and current versions that are under a delete marker now.
    pub gone: u64,
    /// Versions that were due and are locked or held: they are left.
    pub kept: u64,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
}

/// Walks every bucket that has rules, once, and has go what is due. `stopped` is asked between pages. Blocks on disks.
pub fn run(engine: &Arc<Engine>, stopped: &dyn Fn() -> bool) -> StorageResult<Expired> {
    let mut done = Expired::default();
    if engine.refusal().is_some() {
        return Ok(done);
    }
    let view = engine.index.snapshot();
    for (bucket, name, rules) in walk::buckets(view.as_ref())? {
        let now = engine.retention.now().time;
        let mut walk = Walk::of(view.as_ref(), (bucket, &name), &rules, now);
        loop {
            if stopped() {
                return Ok(Expired { interrupted: true, ..done });
            }
            let Some(page) = walk.page()? else { break };
            done.kept += page.kept;
            expire(engine, page.due, &mut done)?;
        }
    }
    Ok(done)
}

/// Hands a page to the journal as one batch of commits, and waits for all of them.
fn expire(engine: &Arc<Engine>, due: Vec<DueThing>, done: &mut Expired) -> StorageResult<()> {
    let (answer, answers) = bounded(due.len().max(1));
    let mut waiting = 0;
    for thing in due {
        let (answer, decided) = (answer.clone(), Arc::new(parking_lot::Mutex::new(false)));
        let (proposed, asked) = (decided.clone(), thing.clone());
        let mut commit = Commit::of(Box::new(move |moment| {
            let records = propose_expire(moment, &asked)?;
            *proposed.lock() = !records.is_empty();
            Ok(records)
        }));
        commit.done = Box::new(move |outcome| {
            let gone = *decided.lock();
            let _ = answer.send((outcome.map(|_| gone), thing));
        });
        engine.submit(commit);
        waiting += 1;
    }
    for (outcome, thing) in answers.iter().take(waiting) {
        match outcome {
            Ok(gone) => done.gone += u64::from(gone),
            Err(StorageError::Refused { reasons }) => {
                done.kept += 1;
                engine.denials.note(origin(&thing.rule), &thing.bucket_name, &thing.key, &reasons.join("; "));
            }
            // Another request was faster.
            Err(StorageError::NoSuchBucket(_) | StorageError::NoSuchUpload) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The running thread; dropping it ends it, between two pages.
pub struct LifecycleWorker {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl LifecycleWorker {
    /// Starts the thread, which walks every `every`.
    pub fn start(engine: Arc<Engine>, every: Duration) -> StorageResult<Self> {
        let (stop, stopped) = bounded::<()>(1);
        let run = move || {
            let mut wait = every.min(FIRST_AFTER);
            while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                wait = every;
                let ended = || stopped.try_recv() != Err(crossbeam_channel::TryRecvError::Empty);
                match run(&engine, &ended) {
                    Ok(done) if done == Expired::default() => {}
                    Ok(done) => tracing::info!(gone = done.gone, kept = done.kept, "lifecycle"),
                    Err(error) => tracing::warn!(%error, "lifecycle could not go on; it begins again the next time"),
                }
            }
        };
        let thread = std::thread::Builder::new().name("lifecycle".to_owned()).spawn(run);
        let thread = thread.map_err(|error| StorageError::Operator(format!("cannot start a thread: {error}")))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for LifecycleWorker {
    fn drop(&mut self) {
        self.stop = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the lifecycle worker panicked");
        }
    }
}
