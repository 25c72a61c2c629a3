//! One disk: a flat set of folders and files, read and written in aligned blocks, asynchronously by [`Ticket`].
//!
//! Three implementations pass one conformance suite (`testing::conformance`): [`io_uring`](crate::disk::io_uring) with
//! O_DIRECT, [`plain`](crate::disk::plain) threads for hosts that refuse io_uring or O_DIRECT, and `testing::sim_disk`,
//! which loses power. Nobody above this module knows which one runs.

pub mod buffer;
pub mod crashsafe;
mod ending;
pub mod host;
pub mod io_uring;
pub mod open;
pub mod patient;
pub mod payload;
pub mod pieces;
pub mod plain;
mod progress;
pub mod set;
pub mod superblock;

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

pub use buffer::AlignedBuf;
pub use payload::Payload;
pub use pieces::{BufSlice, Pieces};

/// Why a disk operation failed.
#[derive(Debug, Clone, Error)]
pub enum DiskError {
    /// The operating system refused or the medium failed.
    #[error("{op} of {file} on disk {disk}: {source}")]
    Io {
        /// What was tried.
        op: &'static str,
        /// File, relative to the disk.
        file: String,
        /// Label of the disk (its path).
        disk: String,
        /// Cause.
        source: Arc<std::io::Error>,
    },
    /// No space left on the disk.
    #[error("disk {disk} is full")]
    Full {
        /// Label of the disk.
        disk: String,
    },
    /// The file is not there.
    #[error("no {file} on disk {disk}")]
    NotFound {
        /// File, relative to the disk.
        file: String,
        /// Label of the disk.
        disk: String,
    },
    /// The file is shorter than the range asked for.
    #[error("{file} on disk {disk} ends before byte {end}")]
    Short {
        /// File, relative to the disk.
        file: String,
        /// Label of the disk.
        disk: String,
        /// End of the range asked for.
        end: u64,
    },
    /// No answer within the deadline.
    #[error("no answer from the disk within {0:?}")]
    Late(Duration),
    /// The disk's threads are gone (or, simulated, the power).
    #[error("disk {disk} is closed")]
    Closed {
        /// Label of the disk.
        disk: String,
    },
}

impl DiskError {
    /// Wraps an operating-system error, telling full disks and missing files apart.
    #[must_use]
    pub fn io(op: &'static str, file: &str, disk: &str, source: std::io::Error) -> Self {
        match source.kind() {
            std::io::ErrorKind::NotFound => Self::NotFound { file: file.to_owned(), disk: disk.to_owned() },
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::Full { disk: disk.to_owned() },
            _ => Self::Io { op, file: file.to_owned(), disk: disk.to_owned(), source: Arc::new(source) },
        }
    }

    /// Whether this process or its host ran short of descriptors or memory: no fault of the disk, and it passes (R13 is about disks).
    #[must_use]
    pub fn is_shortage(&self) -> bool {
        let Self::Io { source, .. } = self else { return false };
        matches!(source.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM))
    }
}

/// Result of a disk operation.
pub type DiskResult<T> = Result<T, DiskError>;

/// A disk operation in flight. Dropping a ticket does not cancel the operation.
#[derive(Debug)]
pub struct Ticket<T> {
    answer: crossbeam_channel::Receiver<DiskResult<T>>,
    /// Set when the answer was taken; simulated disks flush only writes whose answer somebody has seen.
    #[cfg(any(test, feature = "testing"))]
    seen: Arc<std::sync::atomic::AtomicBool>,
}

/// The other end of a [`Ticket`].
#[derive(Debug)]
pub struct Promise<T> {
    answer: crossbeam_channel::Sender<DiskResult<T>>,
}

impl<T> Promise<T> {
    /// Answers. A ticket that was dropped is no error.
    pub fn fulfil(self, result: DiskResult<T>) {
        let _ = self.answer.send(result);
    }
}

impl<T> Ticket<T> {
    /// A ticket and its promise.
    #[must_use]
    pub fn new() -> (Self, Promise<T>) {
        let (sender, receiver) = crossbeam_channel::bounded(1);
        let ticket = Self {
            answer: receiver,
            #[cfg(any(test, feature = "testing"))]
            seen: Arc::default(),
        };
        (ticket, Promise { answer: sender })
    }

    /// A ticket that is answered already.
    #[must_use]
    pub fn ready(result: DiskResult<T>) -> Self {
        let (ticket, promise) = Self::new();
        promise.fulfil(result);
        ticket
    }

    /// A flag that is raised when the answer is taken.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn seen(&self) -> Arc<std::sync::atomic::AtomicBool> {
        Arc::clone(&self.seen)
    }

    /// Waits for the answer, at most `deadline`.
    pub fn wait(self, deadline: Duration) -> DiskResult<T> {
        match self.answer.recv_timeout(deadline) {
            Ok(result) => {
                #[cfg(any(test, feature = "testing"))]
                self.seen.store(true, std::sync::atomic::Ordering::SeqCst);
                result
            }
            Err(crossbeam_channel::RecvTimeoutError::Timeout) => Err(DiskError::Late(deadline)),
            Err(crossbeam_channel::RecvTimeoutError::Disconnected) => {
                Err(DiskError::Closed { disk: "unknown".to_owned() })
            }
        }
    }
}

/// Space on a disk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpace {
    /// Size of the file system or device.
    pub total: u64,
    /// Bytes that can still be written.
    pub free: u64,
}

/// An open file of a disk. Offsets and lengths of `read` and `write` are multiples of 4,096.
pub trait DiskFile: Send + Sync {
    /// Starts a write of all pieces at `offset`; the file grows as needed. Not durable until [`DiskFile::sync`].
    fn write_pieces(&self, offset: u64, data: Pieces) -> Ticket<()>;

    /// [`DiskFile::write_pieces`] of one whole buffer.
    fn write(&self, offset: u64, data: Arc<AlignedBuf>) -> Ticket<()> {
        self.write_pieces(offset, data.into())
    }

    /// Starts a read of `len` bytes at `offset`. [`DiskError::Short`] when the file ends before `offset + len`.
    fn read(&self, offset: u64, len: usize) -> Ticket<AlignedBuf>;

    /// Starts a flush: when it answers, every write answered before it was started is durable, and so is the length.
    fn sync(&self) -> Ticket<()>;

    /// Length in bytes.
    fn len(&self) -> DiskResult<u64>;

    /// Whether the file has no bytes.
    fn is_empty(&self) -> DiskResult<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts or grows (with zeros) the file. Durable after [`DiskFile::sync`].
    fn set_len(&self, len: u64) -> DiskResult<()>;

    /// Asks for space up to `len`, so that writes below it need none; what is not written yet reads as zeros, and the file may be
    /// that long afterwards. Only a hint: nothing is promised, and a file system that cannot is no error.
    fn reserve(&self, _len: u64) {}
}

/// A disk. Names are relative paths of the form `folder/file` or `file`, made by this crate only, never by clients.
pub trait Disk: Send + Sync {
    /// What to call the disk in messages: its path.
    fn label(&self) -> &str;

    /// How the disk is driven: `io_uring`, `plain` or `simulated`.
    fn driver(&self) -> &'static str;

    /// Makes the folder if it is missing. Durable on return.
    fn make_folder(&self, folder: &str) -> DiskResult<()>;

    /// Makes a new, empty file; an error if it exists. Its name is durable after [`Disk::sync_folder`].
    fn create(&self, name: &str) -> DiskResult<Arc<dyn DiskFile>>;

    /// Opens an existing file for reading and writing.
    fn open(&self, name: &str) -> DiskResult<Arc<dyn DiskFile>>;

    /// Removes a file. Durable after [`Disk::sync_folder`].
    fn remove(&self, name: &str) -> DiskResult<()>;

    /// Renames a file, replacing the target. Durable after [`Disk::sync_folder`] of both folders.
    fn rename(&self, from: &str, to: &str) -> DiskResult<()>;

    /// Names of the files in a folder (without the folder), sorted. An absent folder is empty.
    fn list(&self, folder: &str) -> DiskResult<Vec<String>>;

    /// Names of the folders at the top of the disk, sorted, whoever made them.
    fn folders(&self) -> DiskResult<Vec<String>>;

    /// Makes creations, renames and removals in a folder (`""` for the top) durable.
    fn sync_folder(&self, folder: &str) -> DiskResult<()>;

    /// Size and free space.
    fn space(&self) -> DiskResult<DiskSpace>;

    /// Whether the disk is still reachable by its name (not unmounted, renamed or replaced under us).
    fn probe(&self) -> DiskResult<()>;
}
