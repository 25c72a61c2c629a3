//! The FUSE side: translates requests into changes of a [`Volume`](super::volume::Volume), while there is power.

use std::ffi::OsStr;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use super::State;
use super::volume::{BLOCK, Stat, Volume};

/// The kernel remembers nothing: a cut must show at once.
const TTL: Duration = Duration::ZERO;
/// Size that statfs reports, in blocks.
const BLOCKS: u64 = (64 << 30) / BLOCK;

/// One mounted file system.
pub struct LosingFs {
    state: Arc<Mutex<State>>,
    number: usize,
}

impl LosingFs {
    pub fn new(state: Arc<Mutex<State>>, number: usize) -> Self {
        Self { state, number }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("a file system panicked")
    }

    /// Does something to the volume, if there is power.
    fn with<T>(&self, act: impl FnOnce(&mut Volume) -> Result<T, Errno>) -> Result<T, Errno> {
        let mut state = self.lock();
        if state.on { act(&mut state.volumes[self.number]) } else { Err(Errno::EIO) }
    }

    /// The same for syncs, which are counted, may cut the power, and may be ignored.
    fn with_sync(&self, act: impl FnOnce(&mut Volume) -> Result<(), Errno>) -> Result<(), Errno> {
        let mut state = self.lock();
        if !state.on {
            return Err(Errno::EIO);
        }
        if state.admit_sync()? { act(&mut state.volumes[self.number]) } else { Ok(()) }
    }

    fn made(&self, folder: INodeNo, name: &OsStr, is_folder: bool) -> Result<FileAttr, Errno> {
        self.with(|volume| {
            let inode = volume.make(folder.0, name, is_folder)?;
            volume.stat(inode).map(attributes)
        })
    }
}

fn attributes(stat: Stat) -> FileAttr {
    FileAttr {
        ino: INodeNo(stat.inode),
        size: stat.len,
        blocks: stat.blocks * (BLOCK / 512),
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: if stat.is_folder { FileType::Directory } else { FileType::RegularFile },
        perm: if stat.is_folder { 0o700 } else { 0o600 },
        nlink: if stat.is_folder { 2 } else { 1 },
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: BLOCK as u32,
        flags: 0,
    }
}

fn answer(result: Result<(), Errno>, reply: ReplyEmpty) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

fn answer_entry(result: Result<FileAttr, Errno>, reply: ReplyEntry) {
    match result {
        Ok(found) => reply.entry(&TTL, &found, Generation(0)),
        Err(error) => reply.error(error),
    }
}

fn answer_attributes(result: Result<FileAttr, Errno>, reply: ReplyAttr) {
    match result {
        Ok(found) => reply.attr(&TTL, &found),
        Err(error) => reply.error(error),
    }
}

fn uncached() -> FopenFlags {
    FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_PARALLEL_DIRECT_WRITES
}

impl Filesystem for LosingFs {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // What the kernel does not have is only slower.
        let _ = config.add_capabilities(InitFlags::FUSE_ASYNC_DIO | InitFlags::FUSE_MAX_PAGES);
        let _ = config.set_max_write(1 << 20);
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.with(|volume| volume.stat(volume.lookup(parent.0, name)?));
        answer_entry(found.map(attributes), reply);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        answer_attributes(self.with(|volume| volume.stat(ino.0)).map(attributes), reply);
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let result = self.with(|volume| {
            if let Some(len) = size {
                volume.set_len(ino.0, len)?;
            }
            volume.stat(ino.0)
        });
        answer_attributes(result.map(attributes), reply);
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _mode: u32, _umask: u32, reply: ReplyEntry) {
        answer_entry(self.made(parent, name, true), reply);
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        match self.made(parent, name, false) {
            Ok(made) => reply.created(&TTL, &made, Generation(0), FileHandle(0), uncached()),
            Err(error) => reply.error(error),
        }
    }

    fn link(&self, _: &Request, ino: INodeNo, newparent: INodeNo, newname: &OsStr, reply: ReplyEntry) {
        let linked = self.with(|volume| {
            volume.link(ino.0, newparent.0, newname)?;
            volume.stat(ino.0)
        });
        answer_entry(linked.map(attributes), reply);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(self.with(|volume| volume.remove(parent.0, name, false)), reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(self.with(|volume| volume.remove(parent.0, name, true)), reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let result = if flags.is_empty() {
            self.with(|volume| volume.rename((parent.0, name), (newparent.0, newname)))
        } else {
            Err(Errno::EINVAL)
        };
        answer(result, reply);
    }

    fn open(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.with(|volume| volume.stat(ino.0)) {
            Ok(_) => reply.opened(FileHandle(0), uncached()),
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.with(|volume| volume.read(ino.0, offset, u64::from(size))) {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.with(|volume| volume.write(ino.0, offset, data)) {
            Ok(()) => reply.written(data.len() as u32),
            Err(error) => reply.error(error),
        }
    }

    fn fallocate(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let result = self.with(|volume| match mode {
            0 => {
                let len = volume.len(ino.0)?.max(offset.saturating_add(length));
                volume.set_len(ino.0, len)
            }
            libc::FALLOC_FL_KEEP_SIZE => Ok(()),
            _ => Err(Errno::EOPNOTSUPP),
        });
        answer(result, reply);
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        answer(self.with_sync(|volume| volume.sync(ino.0)), reply);
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let sync = |volume: &mut Volume| {
            volume.sync_folder(ino.0);
            Ok(())
        };
        answer(self.with_sync(sync), reply);
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let listed = self.with(|volume| {
            let mut entries = vec![(".".into(), ino.0, true), ("..".into(), ino.0, true)];
            for (name, inode) in volume.list(ino.0) {
                entries.push((name, inode, volume.stat(inode)?.is_folder));
            }
            Ok(entries)
        });
        match listed {
            Ok(entries) => {
                for (at, (name, inode, is_folder)) in entries.into_iter().enumerate().skip(offset as usize) {
                    let kind = if is_folder { FileType::Directory } else { FileType::RegularFile };
                    if reply.add(INodeNo(inode), at as u64 + 1, kind, name) {
                        break;
                    }
                }
                reply.ok();
            }
            Err(error) => reply.error(error),
        }
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(BLOCKS, BLOCKS / 2, BLOCKS / 2, 1 << 20, 1 << 20, BLOCK as u32, 255, BLOCK as u32);
    }
}
