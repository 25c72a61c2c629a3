//! Small file systems in memory, one per disk, that a vault can fill. Mounting needs root, as the power cuts do; its absence is
//! a failure, not a reason to skip.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A mounted file system; dropping it unmounts it, and what it held is gone.
#[derive(Debug)]
pub struct Tmpfs(PathBuf);

impl Tmpfs {
    /// Mounts an empty file system of this size at a new folder.
    pub fn mount(at: &Path, bytes: u64) -> Self {
        std::fs::create_dir_all(at).expect("a folder to mount at");
        let mounted = mount(at, bytes, 0);
        mounted.unwrap_or_else(|error| panic!("cannot mount a tmpfs ({error}): this test needs root"));
        Self(at.to_owned())
    }

    /// Makes it larger or smaller, its content unchanged.
    pub fn resize(&self, bytes: u64) {
        mount(&self.0, bytes, libc::MS_REMOUNT).expect("another size");
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let path = text(self.0.as_os_str().as_bytes());
        // Also with files open (a test failed): the mount goes when they are closed.
        // SAFETY: `path` is NUL-terminated and lives through the call.
        let _ = unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
    }
}

fn text(bytes: &[u8]) -> CString {
    CString::new(bytes).expect("no NUL in it")
}

fn mount(at: &Path, bytes: u64, flags: libc::c_ulong) -> io::Result<()> {
    let (kind, path, options) =
        (text(b"tmpfs"), text(at.as_os_str().as_bytes()), text(format!("size={bytes},mode=0700").as_bytes()));
    // SAFETY: all texts are NUL-terminated and live through the call.
    let outcome = unsafe { libc::mount(kind.as_ptr(), path.as_ptr(), kind.as_ptr(), flags, options.as_ptr().cast()) };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
