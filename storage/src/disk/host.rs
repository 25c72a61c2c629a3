//! A mounted folder as a disk: names, folders and space, always relative to the folder as it was when opened, so that
//! nothing is ever written into what lies below an unmounted disk. Reads, writes and flushes go to a [`Queue`]: threads
//! (`plain`) or a ring (`io_uring`).

use std::ffi::{CStr, CString};
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kovcheg_format::units::BLOCK_LEN;

use super::{AlignedBuf, Disk, DiskError, DiskFile, DiskResult, DiskSpace, Pieces, Promise, Ticket};

/// Rights of files: of no interest to anyone but the vault.
const FILE_MODE: libc::mode_t = 0o600;
/// Rights of folders.
const FOLDER_MODE: libc::mode_t = 0o700;

/// One open file and what to call it.
#[derive(Debug)]
pub(super) struct HostFile {
    pub(super) file: File,
    pub(super) name: String,
    pub(super) disk: Arc<str>,
}

impl HostFile {
    fn error(&self, op: &'static str, source: io::Error) -> DiskError {
        DiskError::io(op, &self.name, &self.disk, source)
    }

    fn closed(&self) -> DiskError {
        DiskError::Closed { disk: self.disk.to_string() }
    }
}

/// A read, write or flush that waits for, or is in, the hands of the operating system.
#[derive(Debug)]
pub(super) enum Request {
    /// Writes all pieces at the offset.
    Write { file: Arc<HostFile>, offset: u64, data: Pieces, promise: Promise<()> },
    /// Fills the whole buffer from the offset.
    Read { file: Arc<HostFile>, offset: u64, buffer: AlignedBuf, promise: Promise<AlignedBuf> },
    /// Makes answered writes durable.
    Sync { file: Arc<HostFile>, promise: Promise<()> },
}

/// How a request ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// All of it was done.
    Done,
    /// The file ended, or the device took no more.
    Ended,
    /// The operating system refused.
    Failed(io::Error),
}

impl Request {
    /// Bytes to move.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Write { data, .. } => data.len(),
            Self::Read { buffer, .. } => buffer.len(),
            Self::Sync { .. } => 0,
        }
    }

    /// Answers the ticket.
    pub(super) fn finish(self, outcome: Outcome) {
        match self {
            Self::Write { file, promise, .. } => promise.fulfil(match outcome {
                Outcome::Done => Ok(()),
                Outcome::Ended => Err(file.error("write", io::ErrorKind::WriteZero.into())),
                Outcome::Failed(error) => Err(file.error("write", error)),
            }),
            Self::Read { file, offset, buffer, promise } => promise.fulfil(match outcome {
                Outcome::Done => Ok(buffer),
                Outcome::Ended => {
                    let end = offset.saturating_add(buffer.len() as u64);
                    Err(DiskError::Short { file: file.name.clone(), disk: file.disk.to_string(), end })
                }
                Outcome::Failed(error) => Err(file.error("read", error)),
            }),
            Self::Sync { file, promise } => promise.fulfil(match outcome {
                Outcome::Failed(error) => Err(file.error("sync", error)),
                Outcome::Done | Outcome::Ended => Ok(()),
            }),
        }
    }

    /// Answers that the disk lets too many requests wait already.
    pub(super) fn refuse_late(self) {
        match self {
            Self::Write { promise, .. } | Self::Sync { promise, .. } => {
                promise.fulfil(Err(DiskError::Late(Duration::ZERO)));
            }
            Self::Read { promise, .. } => promise.fulfil(Err(DiskError::Late(Duration::ZERO))),
        }
    }

    /// Answers that nobody works here any more.
    pub(super) fn refuse_closed(self) {
        match self {
            Self::Write { file, promise, .. } | Self::Sync { file, promise } => promise.fulfil(Err(file.closed())),
            Self::Read { file, promise, .. } => promise.fulfil(Err(file.closed())),
        }
    }
}

/// Takes requests and answers each, soon or late. Blocks the caller while its bound is reached.
pub(super) trait Queue: Send + Sync {
    /// Hands a request over.
    fn push(&self, request: Request);
}

/// A folder of the host, driven by a [`Queue`].
pub struct HostDisk {
    path: PathBuf,
    label: Arc<str>,
    root: File,
    driver: &'static str,
    open_flags: libc::c_int,
    queue: Arc<dyn Queue>,
}

/// A file of a [`HostDisk`]. Stays usable when its disk is dropped.
struct QueuedFile {
    file: Arc<HostFile>,
    queue: Arc<dyn Queue>,
}

impl HostDisk {
    /// Opens an existing folder; files will be opened with `open_flags` besides reading and writing.
    pub(super) fn open(
        path: &Path,
        driver: &'static str,
        open_flags: libc::c_int,
        queue: Arc<dyn Queue>,
    ) -> DiskResult<Self> {
        let label: Arc<str> = path.display().to_string().into();
        let root = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_DIRECTORY)
            .open(path)
            .map_err(|error| DiskError::io("open", ".", &label, error))?;
        Ok(Self { path: path.to_owned(), label, root, driver, open_flags, queue })
    }

    fn error(&self, op: &'static str, name: &str, source: io::Error) -> DiskError {
        DiskError::io(op, name, &self.label, source)
    }

    fn open_at(&self, name: &str, flags: libc::c_int) -> io::Result<File> {
        let path = relative(name)?;
        let flags = flags | libc::O_CLOEXEC;
        let fd = retried(|| {
            // SAFETY: `path` is NUL-terminated and lives through the call; the root is open.
            unsafe { libc::openat(self.root.as_raw_fd(), path.as_ptr(), flags, FILE_MODE) }
        })?;
        // SAFETY: the kernel has just given us this descriptor; nobody else has it.
        Ok(File::from(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    fn open_folder(&self, folder: &str) -> io::Result<File> {
        let folder = if folder.is_empty() { "." } else { folder };
        self.open_at(folder, libc::O_RDONLY | libc::O_DIRECTORY)
    }

    fn queued(&self, name: &str, flags: libc::c_int, op: &'static str) -> DiskResult<Arc<dyn DiskFile>> {
        let mut file = self.open_at(name, flags | libc::O_RDWR | self.open_flags);
        // What cannot be written can still be read (R13): a file system that its kernel made read-only, say. Writes then fail.
        if let Err(error) = &file
            && flags & libc::O_CREAT == 0
            && matches!(error.raw_os_error(), Some(libc::EROFS | libc::EACCES | libc::EPERM))
        {
            file = self.open_at(name, flags | libc::O_RDONLY | self.open_flags);
        }
        let file = file.map_err(|error| self.error(op, name, error))?;
        let file = Arc::new(HostFile { file, name: name.to_owned(), disk: Arc::clone(&self.label) });
        Ok(Arc::new(QueuedFile { file, queue: Arc::clone(&self.queue) }))
    }

    /// Names in a folder, files or folders. An absent folder is empty.
    fn entries(&self, folder: &str, folders: bool) -> DiskResult<Vec<String>> {
        let opened = match self.open_folder(folder) {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.error("list", folder, error)),
        };
        let entries = read_entries(opened).map_err(|error| self.error("list", folder, error))?;
        let mut names: Vec<String> =
            entries.into_iter().filter(|(_, is_folder)| *is_folder == folders).map(|(name, _)| name).collect();
        names.sort();
        Ok(names)
    }

    fn same_folder(&self, found: &Metadata) -> io::Result<bool> {
        let ours = self.root.metadata()?;
        Ok((ours.dev(), ours.ino()) == (found.dev(), found.ino()))
    }
}

impl Disk for HostDisk {
    fn label(&self) -> &str {
        &self.label
    }

    fn driver(&self) -> &'static str {
        self.driver
    }

    fn make_folder(&self, folder: &str) -> DiskResult<()> {
        let make = || {
            let path = relative(folder)?;
            let made = retried(|| {
                // SAFETY: `path` is NUL-terminated and lives through the call; the root is open.
                unsafe { libc::mkdirat(self.root.as_raw_fd(), path.as_ptr(), FOLDER_MODE) }
            });
            match made {
                Ok(_) => Ok(()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.open_folder(folder).map(drop),
                Err(error) => Err(error),
            }
        };
        make().map_err(|error| self.error("make folder", folder, error))?;
        // Also when it was there: whoever made it may have died before this flush.
        self.sync_folder(folder.rsplit_once('/').map_or("", |(parent, _)| parent))
    }

    fn create(&self, name: &str) -> DiskResult<Arc<dyn DiskFile>> {
        self.queued(name, libc::O_CREAT | libc::O_EXCL, "create")
    }

    fn open(&self, name: &str) -> DiskResult<Arc<dyn DiskFile>> {
        self.queued(name, 0, "open")
    }

    fn remove(&self, name: &str) -> DiskResult<()> {
        let remove = || {
            let path = relative(name)?;
            retried(|| {
                // SAFETY: `path` is NUL-terminated and lives through the call; the root is open.
                unsafe { libc::unlinkat(self.root.as_raw_fd(), path.as_ptr(), 0) }
            })
        };
        remove().map(drop).map_err(|error| self.error("remove", name, error))
    }

    fn rename(&self, from: &str, to: &str) -> DiskResult<()> {
        let rename = || {
            let (old, new) = (relative(from)?, relative(to)?);
            let root = self.root.as_raw_fd();
            retried(|| {
                // SAFETY: both paths are NUL-terminated and live through the call; the root is open.
                unsafe { libc::renameat(root, old.as_ptr(), root, new.as_ptr()) }
            })
        };
        rename().map(drop).map_err(|error| self.error("rename", from, error))
    }

    fn list(&self, folder: &str) -> DiskResult<Vec<String>> {
        self.entries(folder, false)
    }

    fn folders(&self) -> DiskResult<Vec<String>> {
        self.entries("", true)
    }

    fn sync_folder(&self, folder: &str) -> DiskResult<()> {
        self.open_folder(folder)
            .and_then(|opened| opened.sync_all())
            .map_err(|error| self.error("sync folder", folder, error))
    }

    fn space(&self) -> DiskResult<DiskSpace> {
        // SAFETY: an all-zero statvfs is a valid value of this plain C structure.
        let mut found: libc::statvfs = unsafe { std::mem::zeroed() };
        retried(|| {
            // SAFETY: `found` is a statvfs we own; the root is open.
            unsafe { libc::fstatvfs(self.root.as_raw_fd(), &raw mut found) }
        })
        .map_err(|error| self.error("statvfs", ".", error))?;
        let unit = found.f_frsize;
        Ok(DiskSpace { total: found.f_blocks.saturating_mul(unit), free: found.f_bavail.saturating_mul(unit) })
    }

    fn probe(&self) -> DiskResult<()> {
        let check = || {
            let found = std::fs::metadata(&self.path)?;
            if self.same_folder(&found)? {
                return Ok(());
            }
            Err(io::Error::other("another folder is at this path now; was the disk unmounted or replaced?"))
        };
        check().map_err(|error| self.error("probe", ".", error))
    }
}

impl DiskFile for QueuedFile {
    fn write_pieces(&self, offset: u64, data: Pieces) -> Ticket<()> {
        if let Err(error) = check_range(offset, data.len()) {
            return Ticket::ready(Err(self.file.error("write", error)));
        }
        let (ticket, promise) = Ticket::new();
        self.queue.push(Request::Write { file: Arc::clone(&self.file), offset, data, promise });
        ticket
    }

    fn read(&self, offset: u64, len: usize) -> Ticket<AlignedBuf> {
        if let Err(error) = check_range(offset, len) {
            return Ticket::ready(Err(self.file.error("read", error)));
        }
        let (ticket, promise) = Ticket::new();
        // A read that succeeds has written every byte.
        let buffer = AlignedBuf::recycled(len);
        self.queue.push(Request::Read { file: Arc::clone(&self.file), offset, buffer, promise });
        ticket
    }

    fn sync(&self) -> Ticket<()> {
        let (ticket, promise) = Ticket::new();
        self.queue.push(Request::Sync { file: Arc::clone(&self.file), promise });
        ticket
    }

    fn len(&self) -> DiskResult<u64> {
        self.file.file.metadata().map(|found| found.len()).map_err(|error| self.file.error("stat", error))
    }

    fn set_len(&self, len: u64) -> DiskResult<()> {
        self.file.file.set_len(len).map_err(|error| self.file.error("truncate", error))
    }

    fn reserve(&self, len: u64) {
        let Ok(len) = libc::off_t::try_from(len) else { return };
        // SAFETY: takes no pointers; the descriptor is open. A refusal (no space, no such call here) leaves it to the writes.
        let _ = unsafe { libc::fallocate(self.file.file.as_raw_fd(), 0, 0, len) };
    }
}

/// Refuses what O_DIRECT would refuse, so that every driver does.
pub(crate) fn check_range(offset: u64, len: usize) -> io::Result<u64> {
    let refused = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, why.to_owned()));
    let len = len as u64;
    if len == 0 {
        return refused("empty range");
    }
    if !offset.is_multiple_of(BLOCK_LEN) || !len.is_multiple_of(BLOCK_LEN) {
        return refused("offset or length is not a multiple of 4096");
    }
    match offset.checked_add(len) {
        Some(end) if i64::try_from(end).is_ok() => Ok(end),
        _ => refused("range ends beyond the largest file"),
    }
}

/// The name for the kernel; refuses whatever could leave the disk.
fn relative(name: &str) -> io::Result<CString> {
    let leaves = name != "." && name.split('/').any(|part| matches!(part, "" | "." | ".."));
    if leaves {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a relative name of this disk"));
    }
    CString::new(name).map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "name holds a NUL byte"))
}

/// Runs a system call again while signals interrupt it.
fn retried(mut call: impl FnMut() -> libc::c_int) -> io::Result<libc::c_int> {
    loop {
        let result = call();
        if result >= 0 {
            return Ok(result);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// An open directory stream.
struct Entries(*mut libc::DIR);

impl Drop for Entries {
    fn drop(&mut self) {
        // SAFETY: `fdopendir` gave us the stream, and this is its only close.
        unsafe { libc::closedir(self.0) };
    }
}

/// Names in an open folder (without `.` and `..`), and whether each is a folder.
fn read_entries(folder: File) -> io::Result<Vec<(String, bool)>> {
    let fd = folder.into_raw_fd();
    // SAFETY: `fd` is an open folder that the stream owns from here on.
    let stream = unsafe { libc::fdopendir(fd) };
    if stream.is_null() {
        let error = io::Error::last_os_error();
        // SAFETY: `fdopendir` failed, so the descriptor is still ours, and this is its only close.
        drop(unsafe { OwnedFd::from_raw_fd(fd) });
        return Err(error);
    }
    let stream = Entries(stream);
    let mut found = Vec::new();
    loop {
        // SAFETY: errno is a thread-local of ours; zero tells an end from an error.
        unsafe { *libc::__errno_location() = 0 };
        // SAFETY: the stream is open and used by this thread only.
        let entry = unsafe { libc::readdir64(stream.0) };
        if entry.is_null() {
            let error = io::Error::last_os_error();
            return if error.raw_os_error() == Some(0) { Ok(found) } else { Err(error) };
        }
        // SAFETY: `readdir64` returned an entry that is valid until the next call, with a NUL-terminated name.
        let (name, kind) = unsafe { (CStr::from_ptr((*entry).d_name.as_ptr()), (*entry).d_type) };
        if name.to_bytes() == b"." || name.to_bytes() == b".." {
            continue;
        }
        let is_folder = match kind {
            libc::DT_DIR => true,
            libc::DT_UNKNOWN => is_folder_at(fd, name)?,
            _ => false,
        };
        found.push((name.to_string_lossy().into_owned(), is_folder));
    }
}

/// Whether an entry of an open folder is a folder, asked of the inode.
fn is_folder_at(folder: libc::c_int, name: &CStr) -> io::Result<bool> {
    // SAFETY: an all-zero stat is a valid value of this plain C structure.
    let mut found: libc::stat = unsafe { std::mem::zeroed() };
    retried(|| {
        // SAFETY: `name` is NUL-terminated, `found` is ours, and the caller keeps the folder open.
        unsafe { libc::fstatat(folder, name.as_ptr(), &raw mut found, libc::AT_SYMLINK_NOFOLLOW) }
    })?;
    Ok(found.st_mode & libc::S_IFMT == libc::S_IFDIR)
}
