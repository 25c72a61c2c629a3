//! The suite, run by every implementation.

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use super::{DEADLINE, full, outlives, run};
use crate::disk::io_uring::{UringOptions, open_uring};
use crate::disk::open::{DriverChoice, open_disk};
use crate::disk::patient::PatientDisk;
use crate::disk::plain::{PlainOptions, open_plain};
use crate::disk::{AlignedBuf, Disk, DiskError};
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
const NARROW: UringOptions = UringOptions { depth: 2, direct: true };

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

/// Goal: a guarded disk is a disk like any other.
#[test]
fn disk_patient_conforms() {
    let scratch = Scratch::new("patient");
    let patient = |disk| Arc::new(PatientDisk::new(disk, DEADLINE));
    run(&*patient(uring(scratch.path(), UringOptions::default())));
    outlives(patient(uring(scratch.path(), UringOptions::default())));
    let pool = SimPool::new(1, 1);
    pool.set_capacity(0, 1 << 20);
    full(&*patient(pool.disk(0)));
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

/// A file system of its own, in memory.
struct Mount {
    at: CString,
}

impl Mount {
    fn new(at: &Path, kind: &CStr, options: &CStr) -> Self {
        let at = CString::new(at.as_os_str().as_bytes()).unwrap();
        let flags = libc::MS_NOSUID | libc::MS_NODEV;
        let (source, data) = (c"kovcheg".as_ptr(), options.as_ptr().cast());
        // SAFETY: all strings are NUL-terminated and live through the call.
        let result = unsafe { libc::mount(source, at.as_ptr(), kind.as_ptr(), flags, data) };
        let error = std::io::Error::last_os_error();
        assert_eq!(result, 0, "cannot mount a {kind:?} ({error}): this test needs root");
        Self { at }
    }
}

impl Drop for Mount {
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
        let mount = Mount::new(scratch.path(), c"tmpfs", c"size=1m");
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

/// Goal: where O_DIRECT is refused (ramfs has none), the automatic choice falls back to plain threads, which work, and the
/// explicit one fails.
#[test]
fn disk_without_direct_io_falls_back() {
    let scratch = Scratch::new("fallback");
    let _mount = Mount::new(scratch.path(), c"ramfs", c"");
    let disk = open_disk(scratch.path(), DriverChoice::Auto).unwrap();
    assert_eq!(disk.driver(), "plain");
    assert!(disk.list("").unwrap().is_empty(), "the probe leaves nothing");
    full_round(&*disk);
    let refused = open_disk(scratch.path(), DriverChoice::Uring).map(|disk| disk.driver());
    assert!(matches!(refused, Err(DiskError::Io { op: "create", .. })), "{refused:?}");
}

fn full_round(disk: &dyn Disk) {
    let file = disk.create("round").unwrap();
    file.write(0, Arc::new(AlignedBuf::from_bytes(b"there"))).wait(DEADLINE).unwrap();
    file.sync().wait(DEADLINE).unwrap();
    assert!(file.read(0, 4096).wait(DEADLINE).unwrap().starts_with(b"there"));
}
