//! File systems that lose power: what a real disk driver must survive, and kill -9 cannot show.
//!
//! A [`Machine`] mounts several FUSE file systems whose content lives in this process, and cuts the power of all of them
//! at one moment. A cut keeps what was synced (bytes and length by fsync of the file, names by fsync of the folder) and
//! of the rest nothing, everything, or a random part in blocks of 4,096 bytes; a rename is atomic. From the cut to
//! [`Machine::restart`] every operation answers EIO. With `ignore_sync` the file systems lie: syncs are answered and do
//! nothing, and a test that then loses nothing tests nothing.
//!
//! Files are opened past the page cache (FOPEN_DIRECT_IO), so that every write reaches this process before its answer.
//! Mounting needs root and /dev/fuse; their absence is a failure, not a reason to skip.

#[path = "powercut/filesystem.rs"]
mod filesystem;
#[path = "powercut/volume.rs"]
mod volume;

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use fuser::{BackgroundSession, Config, MountOption};

use self::filesystem::LosingFs;
use self::volume::Volume;

/// Seeded random numbers (SplitMix64).
#[derive(Debug, Clone)]
pub struct Rng(pub u64);

impl Rng {
    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which must not be 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.bits() % end
    }
}

/// Everything the file systems share; one lock, so that a cut is one moment for all.
struct State {
    volumes: Vec<Volume>,
    on: bool,
    ignore_sync: bool,
    syncs: u64,
    cut_at_sync: Option<u64>,
    rng: Rng,
}

impl State {
    fn cut(&mut self) {
        if std::mem::replace(&mut self.on, false) {
            let Self { volumes, rng, .. } = self;
            volumes.iter_mut().for_each(|volume| volume.lose_power(rng));
        }
    }

    /// Counts a sync; whether it may take effect. Cuts the power instead when it is time.
    fn admit_sync(&mut self) -> Result<bool, fuser::Errno> {
        self.syncs += 1;
        if self.cut_at_sync == Some(self.syncs) {
            self.cut();
        }
        if self.on { Ok(!self.ignore_sync) } else { Err(fuser::Errno::EIO) }
    }
}

/// One mounted file system.
struct Mounted {
    path: PathBuf,
    session: Option<BackgroundSession>,
}

/// Mounted file systems with one power switch. Dropping it unmounts them.
pub struct Machine {
    state: Arc<Mutex<State>>,
    mounted: Vec<Mounted>,
}

impl Machine {
    /// Mounts `disks` empty file systems at `root/disk0`, `root/disk1`, and so on.
    pub fn start(root: &Path, disks: usize, seed: u64) -> Self {
        let state = State {
            volumes: (0..disks).map(|_| Volume::new()).collect(),
            on: true,
            ignore_sync: false,
            syncs: 0,
            cut_at_sync: None,
            rng: Rng(seed),
        };
        let mounted =
            (0..disks).map(|number| Mounted { path: root.join(format!("disk{number}")), session: None }).collect();
        let mut machine = Self { state: Arc::new(Mutex::new(state)), mounted };
        machine.mount_all();
        machine
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("a file system panicked")
    }

    fn mount_all(&mut self) {
        for (number, mounted) in self.mounted.iter_mut().enumerate() {
            std::fs::create_dir_all(&mounted.path).expect("folder to mount at");
            let mut config = Config::default();
            config.mount_options = vec![MountOption::FSName("powercut".into()), MountOption::NoAtime];
            let session = fuser::spawn_mount(LosingFs::new(Arc::clone(&self.state), number), &mounted.path, &config)
                .unwrap_or_else(|error| {
                    panic!("cannot mount a FUSE file system ({error}): this test needs root and /dev/fuse")
                });
            mounted.session = Some(session);
        }
    }

    /// Where the file systems are.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.mounted.iter().map(|mounted| mounted.path.clone()).collect()
    }

    /// Syncs so far, of files and folders, on all file systems.
    pub fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    /// From now on syncs are answered and do nothing, or are honest again.
    pub fn ignore_sync(&self, ignore: bool) {
        self.lock().ignore_sync = ignore;
    }

    /// Cuts the power now.
    pub fn cut(&self) {
        self.lock().cut();
    }

    /// Cuts the power in place of the sync of this number, counted as [`Machine::syncs`] does.
    pub fn cut_at_sync(&self, number: u64) {
        self.lock().cut_at_sync = Some(number);
    }

    /// Whether the power is on.
    pub fn is_on(&self) -> bool {
        self.lock().on
    }

    /// Cuts the power if it is still on, unmounts, and mounts again what survived. All files must be closed.
    pub fn restart(&mut self) {
        self.cut();
        for mounted in &mut self.mounted {
            unmount(&mounted.path);
            if let Some(session) = mounted.session.take() {
                end(session);
            }
        }
        let mut state = self.lock();
        state.on = true;
        state.cut_at_sync = None;
        drop(state);
        self.mount_all();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for mounted in &self.mounted {
            // Also with files open (a test failed): the mount goes when they are closed.
            let _ = umount(&mounted.path, libc::MNT_DETACH);
        }
    }
}

/// Waits for the end of an unmounted session. The kernel says "aborted" when the end found it in the middle of a request.
fn end(session: BackgroundSession) {
    match session.join() {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionAborted => panic!("a FUSE session failed: {error}"),
        _ => {}
    }
}

fn umount(path: &Path, flags: libc::c_int) -> std::io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: `path` is NUL-terminated and lives through the call.
    if unsafe { libc::umount2(path.as_ptr(), flags) } == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// The kernel closes the files of a ring a little after the ring is gone, so a busy mount is asked again.
fn unmount(path: &Path) {
    for _ in 0..1_000 {
        match umount(path, 0) {
            Ok(()) => return,
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => std::thread::sleep(Duration::from_millis(5)),
            Err(error) => panic!("cannot unmount {}: {error}", path.display()),
        }
    }
    panic!("cannot unmount {}: files on it are still open", path.display());
}
