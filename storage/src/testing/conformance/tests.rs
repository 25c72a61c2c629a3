//! The suite, run by every implementation.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use super::{full, outlives, run};
use crate::disk::io_uring::{UringOptions, open_uring};
use crate::disk::plain::{PlainOptions, open_plain};
use crate::disk::{Disk, DiskError};
use crate::testing::scratch::Scratch;
use crate::testing::sim_disk::SimPool;

type Open = fn(&Path) -> Arc<dyn Disk>;

fn plain(path: &Path) -> Arc<dyn Disk> {
    Arc::new(open_plain(path, PlainOptions::default()).unwrap())
}

fn uring(path: &Path, options: UringOptions) -> Arc<dyn Disk> {
    Arc::new(open_uring(path, options).expect("these tests need io_uring"))
}

/// Queues far smaller than the suite's bursts: whoever comes later waits, nobody is lost.
const NARROW: UringOptions = UringOptions { depth: 2, queue: 3, direct: true };

#[test]
fn disk_sim_conforms() {
    let pool = SimPool::new(1, 2);
    run(&*pool.disk(0));
    outlives(pool.disk(0));
    pool.set_capacity(1, 1 << 20);
    full(&*pool.disk(1));
}

#[test]
fn disk_plain_conforms() {
    let scratch = Scratch::new("plain");
    run(&*plain(scratch.path()));
    outlives(plain(scratch.path()));
}

#[test]
fn disk_plain_conforms_with_one_thread() {
    let scratch = Scratch::new("plain-one");
    let disk = open_plain(scratch.path(), PlainOptions { threads: 1, queue: 1 }).unwrap();
    run(&disk);
}

#[test]
fn disk_uring_conforms() {
    let scratch = Scratch::new("uring");
    run(&*uring(scratch.path(), UringOptions::default()));
    outlives(uring(scratch.path(), UringOptions::default()));
}

#[test]
fn disk_uring_conforms_when_narrow() {
    let scratch = Scratch::new("uring-narrow");
    run(&*uring(scratch.path(), NARROW));
    outlives(uring(scratch.path(), NARROW));
}

#[test]
fn disk_uring_conforms_through_the_page_cache() {
    let scratch = Scratch::new("uring-cached");
    run(&*uring(scratch.path(), UringOptions { direct: false, ..UringOptions::default() }));
}

/// A file system of its own of 1 MiB, in memory.
struct SmallMount {
    at: CString,
}

impl SmallMount {
    fn new(at: &Path) -> Self {
        let at = CString::new(at.as_os_str().as_bytes()).unwrap();
        let flags = libc::MS_NOSUID | libc::MS_NODEV;
        // SAFETY: all strings are NUL-terminated and live through the call.
        let result = unsafe {
            libc::mount(c"kovcheg".as_ptr(), at.as_ptr(), c"tmpfs".as_ptr(), flags, c"size=1m".as_ptr().cast())
        };
        let error = std::io::Error::last_os_error();
        assert_eq!(result, 0, "cannot mount a tmpfs of 1 MiB to fill it ({error}): this test needs root");
        Self { at }
    }
}

impl Drop for SmallMount {
    fn drop(&mut self) {
        // SAFETY: the string is NUL-terminated and lives through the call.
        unsafe { libc::umount2(self.at.as_ptr(), libc::MNT_DETACH) };
    }
}

/// Goal: ENOSPC of a real file system is `Full` with every driver, and an unmounted disk is noticed.
#[test]
fn disk_full_and_unmounted() {
    let drivers: [(&str, Open); 2] = [("plain", plain), ("io_uring", |path| uring(path, UringOptions::default()))];
    for (name, open) in drivers {
        let scratch = Scratch::new("full");
        let mount = SmallMount::new(scratch.path());
        let disk = open(scratch.path());
        full(&*disk);
        disk.probe().unwrap();
        drop(mount);
        let result = disk.probe();
        assert!(matches!(result, Err(DiskError::Io { .. })), "{name}: {result:?}");
        disk.create("late").unwrap();
        assert!(!scratch.path().join("late").exists(), "{name}: wrote below the mount point");
    }
}
