//! The io_uring driver: one thread owns a ring that all disks of the process share and keeps up to [`UringOptions::depth`]
//! operations of each on O_DIRECT files in flight.
//!
//! One ring for all, because the shards of a stripe go to all disks at the same moment: the thread wakes once for them, not once
//! for each disk. A disk that does not answer takes its own places in the ring and no more; what is sent to it waits in its
//! lane, and the others go on.
//!
//! Requests come over a bounded channel; an eventfd that the ring polls wakes the thread. Buffers belong to the request
//! in [`InFlight`] until the kernel has answered, whether or not anybody still waits for the ticket.
//! The kernel runs a flush beside writes in flight in any order, hence a sync covers only writes answered before it.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use io_uring::{IoUring, Probe, opcode, squeue, types};
use parking_lot::Mutex;

use super::ending::Ending;
use super::host::{HostDisk, Outcome, Queue, Request};
use super::progress::{Progress, Step};
use super::{DiskError, DiskResult};

/// `user_data` of the poll on the eventfd; operations use their slot number.
const WAKE: u64 = u64::MAX;
/// Most bytes of one submission; the kernel moves at most 2 GiB - 4 KiB at a time.
const SUBMISSION_LEN_MAX: usize = 1 << 30;

/// Places in a ring.
const RING_DEPTH: u32 = 1_024;
/// Requests of one disk that may wait for its places; more than all workers ever have under way wait only on one that hangs, and
/// are refused (M-1).
const LANE_WAITING_MAX: usize = 1_024;
/// Requests that may wait besides; who comes later is blocked.
const WAITING_MAX: usize = 1_024;

/// Settings of the io_uring driver.
#[derive(Debug, Clone, Copy)]
pub struct UringOptions {
    /// Operations of one disk in flight at a time.
    pub depth: usize,
    /// Whether files bypass the page cache (O_DIRECT).
    pub direct: bool,
}

impl Default for UringOptions {
    fn default() -> Self {
        Self { depth: 64, direct: true }
    }
}

/// The ring of this process, as long as a disk uses it.
static RING: Mutex<Weak<Ring>> = Mutex::new(Weak::new());

/// Opens an existing folder as a disk with the io_uring driver. Fails with the operating system's error when the ring
/// is refused; whether O_DIRECT is, shows only when a file is opened (see `open_disk`).
pub fn open_uring(path: &Path, options: UringOptions) -> DiskResult<HostDisk> {
    let label = path.display().to_string();
    let lane = Lane::open(options).map_err(|error| DiskError::io("io_uring setup", ".", &label, error))?;
    let flags = if options.direct { libc::O_DIRECT } else { 0 };
    HostDisk::open(path, "io_uring", flags, Arc::new(lane))
}

/// Wakes the ring's thread; one write per sleep, however many requests come.
struct Alarm {
    event: File,
    raised: AtomicBool,
}

impl Alarm {
    fn new() -> io::Result<Self> {
        // SAFETY: takes no pointers.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just given us this descriptor; nobody else has it.
        let event = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
        Ok(Self { event, raised: AtomicBool::new(false) })
    }

    fn raise(&self) {
        if !self.raised.swap(true, Ordering::SeqCst) {
            // The only failure is a full counter, and then the alarm rings already.
            let _ = (&self.event).write(&1u64.to_ne_bytes());
        }
    }

    /// Silences the alarm. Whoever calls looks into the channel afterwards.
    fn clear(&self) {
        let mut count = [0; 8];
        // Nothing to read means nothing to silence.
        let _ = (&self.event).read(&mut count);
        self.raised.store(false, Ordering::SeqCst);
    }
}

/// One disk's way to the ring. Requests of a lane that the ring has no place for wait without holding up other lanes.
struct Lane {
    number: u64,
    depth: usize,
    ring: Arc<Ring>,
}

impl Lane {
    fn open(options: UringOptions) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut shared = RING.lock();
        let ring = match shared.upgrade() {
            Some(ring) => ring,
            None => {
                let ring = Arc::new(Ring::start()?);
                *shared = Arc::downgrade(&ring);
                ring
            }
        };
        Ok(Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            depth: options.depth.clamp(1, RING_DEPTH as usize),
            ring,
        })
    }
}

impl Queue for Lane {
    fn push(&self, request: Request) {
        self.ring.push(Sent { lane: self.number, depth: self.depth, request });
    }
}

/// A request on its way to the ring's thread.
struct Sent {
    lane: u64,
    depth: usize,
    request: Request,
}

/// The way to the ring's thread. Dropping it finishes what was handed over and waits for the thread, but not for long: see
/// [`Ending`].
struct Ring {
    sender: Option<Sender<Sent>>,
    alarm: Arc<Alarm>,
    ending: Ending,
}

impl Ring {
    fn start() -> io::Result<Self> {
        // Each operation has at most one submission waiting, and so has the poll: the queue cannot overflow.
        let ring = IoUring::new(2 * RING_DEPTH)?;
        check_opcodes(&ring)?;
        // Where the kernel cannot start an operation at once, one of its threads does: a disk that hangs must not use them up.
        ring.submitter().register_iowq_max_workers(&mut [RING_DEPTH; 2])?;
        let (sender, receiver) = bounded(WAITING_MAX);
        let alarm = Arc::new(Alarm::new()?);
        let mut driver = Driver {
            ring,
            receiver,
            alarm: Arc::clone(&alarm),
            slots: Slots { entries: Vec::new(), free: Vec::new(), depth: RING_DEPTH as usize },
            lanes: HashMap::new(),
            polling: false,
            closing: false,
        };
        let (alive, ending) = Ending::new();
        let drive = move || {
            if let Err(error) = driver.run() {
                tracing::error!(%error, "io_uring stopped answering; its disks are closed");
            }
            drop((driver, alive));
        };
        drop(std::thread::Builder::new().name("kovcheg-uring".to_owned()).spawn(drive)?);
        Ok(Self { sender: Some(sender), alarm, ending })
    }

    fn push(&self, sent: Sent) {
        match &self.sender {
            Some(sender) => match sender.send(sent) {
                Ok(()) => self.alarm.raise(),
                Err(unsent) => unsent.into_inner().request.refuse_closed(),
            },
            None => sent.request.refuse_closed(),
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.sender = None;
        self.alarm.raise();
        self.ending.wait("io_uring");
    }
}

/// Old kernels make a ring but lack its operations.
fn check_opcodes(ring: &IoUring) -> io::Result<()> {
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe)?;
    let needed =
        [opcode::Read::CODE, opcode::Write::CODE, opcode::Writev::CODE, opcode::Fsync::CODE, opcode::PollAdd::CODE];
    if needed.into_iter().all(|code| probe.is_supported(code)) {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::Unsupported, "this kernel's io_uring lacks read, write, writev, fsync or poll"))
}

/// An operation that the kernel may be working on: its buffer must stay where it is.
struct InFlight {
    lane: u64,
    request: Request,
    progress: Progress,
    vectors: Vectors,
}

/// Where the two pieces of a write lie; stays in one place while the kernel may look.
#[derive(Default)]
struct Vectors(Option<Box<[libc::iovec; 2]>>);

// SAFETY: the pointers are to memory that the request beside them owns and nobody changes.
unsafe impl Send for Vectors {}

impl Vectors {
    /// Notes two pieces. Answers where the kernel finds them.
    fn set(&mut self, pieces: [&[u8]; 2]) -> *const libc::iovec {
        let vectors =
            pieces.map(|piece| libc::iovec { iov_base: piece.as_ptr().cast_mut().cast(), iov_len: piece.len() });
        let place = self.0.insert(Box::new(vectors));
        place.as_ptr()
    }
}

impl InFlight {
    /// The submission for what is left to do.
    fn entry(&mut self) -> squeue::Entry {
        let done = self.progress.done();
        match &mut self.request {
            Request::Write { file, offset, data, .. } => {
                let (fd, at) = (types::Fd(file.file.as_raw_fd()), offset.saturating_add(done as u64));
                let (first, second) = data.rest(done);
                if second.is_empty() || first.len() + second.len() > SUBMISSION_LEN_MAX {
                    let len = u32::try_from(first.len().min(SUBMISSION_LEN_MAX)).unwrap_or(0);
                    return opcode::Write::new(fd, first.as_ptr(), len).offset(at).build();
                }
                opcode::Writev::new(fd, self.vectors.set([first, second]), 2).offset(at).build()
            }
            Request::Read { file, offset, buffer, .. } => {
                let len = u32::try_from(self.progress.left().min(SUBMISSION_LEN_MAX)).unwrap_or(0);
                let start = buffer.as_mut_ptr().wrapping_add(done);
                opcode::Read::new(types::Fd(file.file.as_raw_fd()), start, len)
                    .offset(offset.saturating_add(done as u64))
                    .build()
            }
            Request::Sync { file, .. } => {
                opcode::Fsync::new(types::Fd(file.file.as_raw_fd())).flags(types::FsyncFlags::DATASYNC).build()
            }
        }
    }
}

/// Operations in flight, by slot number.
struct Slots {
    entries: Vec<Option<InFlight>>,
    free: Vec<usize>,
    depth: usize,
}

impl Slots {
    fn used(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    fn full(&self) -> bool {
        self.used() >= self.depth
    }

    fn put(&mut self, operation: InFlight) -> usize {
        if let Some(slot) = self.free.pop()
            && let Some(place) = self.entries.get_mut(slot)
        {
            *place = Some(operation);
            return slot;
        }
        self.entries.push(Some(operation));
        self.entries.len() - 1
    }

    fn take(&mut self, slot: usize) -> Option<InFlight> {
        let operation = self.entries.get_mut(slot)?.take()?;
        self.free.push(slot);
        Some(operation)
    }
}

impl Drop for Share {
    /// What waits here when the ring ends never reached the kernel.
    fn drop(&mut self) {
        self.waiting.drain(..).for_each(Request::refuse_closed);
    }
}

impl Drop for Slots {
    /// What is still here when the ring ends was not answered: the kernel may yet write to those buffers, so they are
    /// leaked, and the tickets are told.
    fn drop(&mut self) {
        for operation in self.entries.drain(..).flatten() {
            match operation.request {
                Request::Write { data, promise, file, .. } => {
                    std::mem::forget((data, operation.vectors));
                    promise.fulfil(Err(DiskError::Closed { disk: file.disk.to_string() }));
                }
                Request::Read { buffer, promise, file, .. } => {
                    std::mem::forget(buffer);
                    promise.fulfil(Err(DiskError::Closed { disk: file.disk.to_string() }));
                }
                request @ Request::Sync { .. } => request.refuse_closed(),
            }
        }
    }
}

/// One disk's share of the ring.
#[derive(Default)]
struct Share {
    in_flight: usize,
    waiting: VecDeque<Request>,
}

/// The thread's state.
struct Driver {
    ring: IoUring,
    receiver: Receiver<Sent>,
    alarm: Arc<Alarm>,
    slots: Slots,
    /// Lanes with anything in flight.
    lanes: HashMap<u64, Share>,
    polling: bool,
    closing: bool,
}

impl Driver {
    /// Until the queue is dropped and everything is answered, or the ring fails.
    fn run(&mut self) -> io::Result<()> {
        loop {
            self.take_requests()?;
            if self.closing && self.slots.used() == 0 {
                return Ok(());
            }
            self.poll_alarm()?;
            match self.ring.submit_and_wait(1) {
                Ok(_) => {}
                // Interrupted, or out of kernel memory until completions are taken: take them and come back.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY)) => {}
                Err(error) => return Err(error),
            }
            self.take_completions()?;
        }
    }

    fn take_requests(&mut self) -> io::Result<()> {
        while !self.closing && !self.slots.full() {
            match self.receiver.try_recv() {
                Ok(Sent { lane, depth, request }) => {
                    let share = self.lanes.entry(lane).or_default();
                    if share.in_flight < depth {
                        share.in_flight += 1;
                        self.begin(lane, request)?;
                    } else if share.waiting.len() < LANE_WAITING_MAX {
                        share.waiting.push_back(request);
                    } else {
                        request.refuse_late();
                    }
                }
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => self.closing = true,
            }
        }
        Ok(())
    }

    fn begin(&mut self, lane: u64, request: Request) -> io::Result<()> {
        let progress = Progress::new(request.len());
        self.start(InFlight { lane, request, progress, vectors: Vectors::default() })
    }

    /// An operation of a lane has ended: its place goes to the next that waits there.
    fn end(&mut self, lane: u64) -> io::Result<()> {
        let Some(share) = self.lanes.get_mut(&lane) else { return Ok(()) };
        if let Some(next) = share.waiting.pop_front() {
            return self.begin(lane, next);
        }
        share.in_flight -= 1;
        if share.in_flight == 0 {
            self.lanes.remove(&lane);
        }
        Ok(())
    }

    fn start(&mut self, mut operation: InFlight) -> io::Result<()> {
        let entry = operation.entry();
        let slot = self.slots.put(operation);
        self.push(entry.user_data(slot as u64))
    }

    fn poll_alarm(&mut self) -> io::Result<()> {
        if self.polling {
            return Ok(());
        }
        let events = u32::try_from(libc::POLLIN).unwrap_or(1);
        let entry = opcode::PollAdd::new(types::Fd(self.alarm.event.as_raw_fd()), events).build();
        self.push(entry.user_data(WAKE))?;
        self.polling = true;
        Ok(())
    }

    fn push(&mut self, entry: squeue::Entry) -> io::Result<()> {
        // SAFETY: buffers and descriptors of `entry` belong to a request in `slots` (or are the alarm's, which lives as
        // long as the driver) and stay there until its completion was taken, or are leaked.
        let pushed = unsafe { self.ring.submission().push(&entry) };
        pushed.map_err(|_| io::Error::other("submission queue overflow"))
    }

    fn take_completions(&mut self) -> io::Result<()> {
        let finished: Vec<(u64, i32)> =
            self.ring.completion().map(|entry| (entry.user_data(), entry.result())).collect();
        for (user_data, result) in finished {
            if user_data == WAKE {
                self.polling = false;
                self.alarm.clear();
                continue;
            }
            let slot = usize::try_from(user_data).unwrap_or(usize::MAX);
            if let Some(operation) = self.slots.take(slot) {
                self.complete(operation, result)?;
            }
        }
        Ok(())
    }

    fn complete(&mut self, mut operation: InFlight, result: i32) -> io::Result<()> {
        let result = usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(result.saturating_neg()));
        let outcome = match operation.progress.advance(result) {
            Step::More => return self.start(operation),
            Step::Done => Outcome::Done,
            Step::Ended => Outcome::Ended,
            Step::Failed(error) => Outcome::Failed(error),
        };
        let lane = operation.lane;
        operation.request.finish(outcome);
        self.end(lane)
    }
}
