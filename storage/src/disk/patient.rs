//! A disk that is waited for no longer than a deadline, whatever is asked of it (R13).
//!
//! Reads, writes and flushes answer by [`Ticket`] and have a deadline of their own. What this file guards are the calls that go to
//! the operating system at once: names, folders, lengths, space. On a disk that hangs they would hold the caller for ever, and with
//! it the sequencer or the housekeeper. Here a thread of the disk makes the call and the caller waits for that thread. While a call
//! that was given up has not come back, further ones are refused at once: the disk holds up nobody twice, and keeps no more threads
//! than there were callers at that moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

use super::{AlignedBuf, Disk, DiskError, DiskFile, DiskResult, DiskSpace, Pieces, Ticket};

/// Threads that a disk keeps when nothing is asked of it.
const IDLE_MAX: usize = 2;

/// A call in the hands of a thread, which takes the way to itself along and puts it back among the idle ones.
type Job = Box<dyn FnOnce(Sender<Call>) + Send>;

struct Call {
    job: Job,
    way: Sender<Call>,
}

const WAITED_FOR: u8 = 0;
const GIVEN_UP: u8 = 1;
const ANSWERED: u8 = 2;

/// The threads of one disk, made when they are needed.
struct Patience {
    label: String,
    deadline: Duration,
    idle: Mutex<Vec<Sender<Call>>>,
    /// Calls that nobody waits for any more and that have not come back.
    stuck: AtomicUsize,
}

impl Patience {
    fn new(label: &str, deadline: Duration) -> Arc<Self> {
        Arc::new(Self { label: label.to_owned(), deadline, idle: Mutex::default(), stuck: AtomicUsize::new(0) })
    }

    /// Has a thread make a call and waits for it, at most until the deadline; then [`DiskError::Late`], and the call goes on alone.
    fn wait_for<T: Send + 'static>(
        self: &Arc<Self>,
        act: impl FnOnce() -> DiskResult<T> + Send + 'static,
    ) -> DiskResult<T> {
        if self.stuck.load(Ordering::SeqCst) > 0 {
            return Err(DiskError::Late(Duration::ZERO));
        }
        let (answer, answered) = bounded(1);
        let state = Arc::new(AtomicU8::new(WAITED_FOR));
        let (patience, seen) = (self.clone(), state.clone());
        let job = move |way| {
            let result = act();
            patience.put_back(way);
            // Nobody takes the answer of a call that was given up.
            let _ = answer.send(result);
            if seen.swap(ANSWERED, Ordering::SeqCst) == GIVEN_UP {
                patience.stuck.fetch_sub(1, Ordering::SeqCst);
                tracing::info!(disk = %patience.label, "the disk answered a call that was given up");
            }
        };
        self.hand_over(Box::new(job))?;
        self.take(&answered, &state)
    }

    fn take<T>(&self, answered: &Receiver<DiskResult<T>>, state: &AtomicU8) -> DiskResult<T> {
        match answered.recv_timeout(self.deadline) {
            Ok(result) => return result,
            Err(crossbeam_channel::RecvTimeoutError::Disconnected) => {
                return Err(DiskError::Closed { disk: self.label.clone() });
            }
            Err(crossbeam_channel::RecvTimeoutError::Timeout) => {}
        }
        self.stuck.fetch_add(1, Ordering::SeqCst);
        if state.swap(GIVEN_UP, Ordering::SeqCst) == ANSWERED {
            self.stuck.fetch_sub(1, Ordering::SeqCst);
            // It came at the last moment.
            return answered.try_recv().unwrap_or_else(|_| Err(DiskError::Closed { disk: self.label.clone() }));
        }
        tracing::warn!(disk = %self.label, deadline = ?self.deadline, "the disk does not answer");
        Err(DiskError::Late(self.deadline))
    }

    fn hand_over(&self, job: Job) -> DiskResult<()> {
        let idle = self.idle.lock().pop();
        let way = match idle {
            Some(way) => way,
            None => self.start_thread()?,
        };
        let call = Call { job, way: way.clone() };
        way.send(call).map_err(|_| DiskError::Closed { disk: self.label.clone() })
    }

    /// A thread that lives as long as somebody has the way to it. One that cannot be had is a shortage of the host.
    fn start_thread(&self) -> DiskResult<Sender<Call>> {
        let (way, calls) = bounded::<Call>(1);
        let run = move || calls.into_iter().for_each(|Call { job, way }| job(way));
        let started = std::thread::Builder::new().name("kovcheg-names".to_owned()).spawn(run);
        started.map(|_detached| way).map_err(|_| {
            let shortage = std::io::Error::from_raw_os_error(libc::ENOMEM);
            DiskError::io("start a thread", ".", &self.label, shortage)
        })
    }

    fn put_back(&self, way: Sender<Call>) {
        let mut idle = self.idle.lock();
        if idle.len() < IDLE_MAX {
            idle.push(way);
        }
    }
}

/// A disk whose every call ends by the deadline.
pub struct PatientDisk {
    disk: Arc<dyn Disk>,
    patience: Arc<Patience>,
}

impl PatientDisk {
    /// Guards a disk. `deadline` is for one call.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>, deadline: Duration) -> Self {
        let patience = Patience::new(disk.label(), deadline);
        Self { disk, patience }
    }

    fn ask<T: Send + 'static>(&self, act: impl FnOnce(&dyn Disk) -> DiskResult<T> + Send + 'static) -> DiskResult<T> {
        let disk = self.disk.clone();
        self.patience.wait_for(move || act(disk.as_ref()))
    }

    fn guarded(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(PatientFile { file, patience: self.patience.clone() })
    }
}

impl Disk for PatientDisk {
    fn label(&self) -> &str {
        self.disk.label()
    }

    fn driver(&self) -> &'static str {
        self.disk.driver()
    }

    fn make_folder(&self, folder: &str) -> DiskResult<()> {
        let folder = folder.to_owned();
        self.ask(move |disk| disk.make_folder(&folder))
    }

    fn create(&self, name: &str) -> DiskResult<Arc<dyn DiskFile>> {
        let name = name.to_owned();
        self.ask(move |disk| disk.create(&name)).map(|file| self.guarded(file))
    }

    fn open(&self, name: &str) -> DiskResult<Arc<dyn DiskFile>> {
        let name = name.to_owned();
        self.ask(move |disk| disk.open(&name)).map(|file| self.guarded(file))
    }

    fn remove(&self, name: &str) -> DiskResult<()> {
        let name = name.to_owned();
        self.ask(move |disk| disk.remove(&name))
    }

    fn rename(&self, from: &str, to: &str) -> DiskResult<()> {
        let (from, to) = (from.to_owned(), to.to_owned());
        self.ask(move |disk| disk.rename(&from, &to))
    }

    fn list(&self, folder: &str) -> DiskResult<Vec<String>> {
        let folder = folder.to_owned();
        self.ask(move |disk| disk.list(&folder))
    }

    fn folders(&self) -> DiskResult<Vec<String>> {
        self.ask(|disk| disk.folders())
    }

    fn sync_folder(&self, folder: &str) -> DiskResult<()> {
        let folder = folder.to_owned();
        self.ask(move |disk| disk.sync_folder(&folder))
    }

    fn space(&self) -> DiskResult<DiskSpace> {
        self.ask(|disk| disk.space())
    }

    fn probe(&self) -> DiskResult<()> {
        self.ask(|disk| disk.probe())
    }
}

/// A file of a [`PatientDisk`]. What answers by ticket goes past the threads.
struct PatientFile {
    file: Arc<dyn DiskFile>,
    patience: Arc<Patience>,
}

impl PatientFile {
    fn ask<T: Send + 'static>(
        &self,
        act: impl FnOnce(&dyn DiskFile) -> DiskResult<T> + Send + 'static,
    ) -> DiskResult<T> {
        let file = self.file.clone();
        self.patience.wait_for(move || act(file.as_ref()))
    }
}

impl DiskFile for PatientFile {
    fn write_pieces(&self, offset: u64, data: Pieces) -> Ticket<()> {
        self.file.write_pieces(offset, data)
    }

    fn read(&self, offset: u64, len: usize) -> Ticket<AlignedBuf> {
        self.file.read(offset, len)
    }

    fn sync(&self) -> Ticket<()> {
        self.file.sync()
    }

    fn len(&self) -> DiskResult<u64> {
        self.ask(|file| file.len())
    }

    fn set_len(&self, len: u64) -> DiskResult<()> {
        self.ask(move |file| file.set_len(len))
    }

    fn reserve(&self, len: u64) {
        let reserved = self.ask(move |file| {
            file.reserve(len);
            Ok(())
        });
        if let Err(error) = reserved {
            tracing::debug!(%error, "nothing is reserved");
        }
    }
}

/// Runs something that may hang on a thread of its own; [`DiskError::Late`] when it does not end in time.
pub fn within<T: Send + 'static>(
    label: &str,
    deadline: Duration,
    act: impl FnOnce() -> DiskResult<T> + Send + 'static,
) -> DiskResult<T> {
    Patience::new(label, deadline).wait_for(act)
}

#[cfg(test)]
mod tests;
