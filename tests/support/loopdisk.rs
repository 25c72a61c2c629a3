//! A file system of its own on a loop device, which can be frozen: whatever changes it then hangs in the kernel until it is thawed, as on
//! a controller that does not answer. Needs root and loop devices; their absence is a failure, not a reason to skip.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// `FIFREEZE` and `FITHAW` of linux/fs.h.
const FREEZE: libc::c_ulong = 0xC004_5877;
const THAW: libc::c_ulong = 0xC004_5878;

/// A mounted ext4 in a file. Dropping it thaws and unmounts it.
#[derive(Debug)]
pub struct LoopDisk(PathBuf);

impl LoopDisk {
    /// Makes a file system of this size in `image` and mounts it at a new folder.
    pub fn mount(image: &Path, at: &Path, bytes: u64) -> Self {
        std::fs::create_dir_all(at).expect("a folder to mount at");
        let file = File::create(image).expect("an image");
        file.set_len(bytes).expect("an image of this size");
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(image));
        run(Command::new("mount").args(["-o", "loop"]).arg(image).arg(at));
        // Else a vault takes what mkfs put there for somebody's.
        let _ = std::fs::remove_dir(at.join("lost+found"));
        Self(at.to_owned())
    }

    /// From here on every change of it hangs.
    pub fn freeze(&self) {
        self.control(FREEZE).expect("to freeze it");
    }

    /// What hung goes on.
    pub fn thaw(&self) {
        self.control(THAW).expect("to thaw it");
    }

    fn control(&self, request: libc::c_ulong) -> std::io::Result<()> {
        let folder = File::open(&self.0)?;
        // SAFETY: both requests take a number that is not read.
        let outcome = unsafe { libc::ioctl(folder.as_raw_fd(), request as _, 0) };
        if outcome == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        // Not frozen any more: an error, and no harm.
        let _ = self.control(THAW);
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}; this test needs root and loop devices");
}
