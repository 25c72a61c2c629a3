//! Vaults of many bytes: filling them, room for them, and the kernel's count of what a process read.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Instant;

use super::data::Rng;
use super::vault::Vault;

/// 2^20 bytes.
pub const MIB: u64 = 1 << 20;
/// 2^30 bytes.
pub const GIB: u64 = 1 << 30;
/// Bytes of one object of the filling.
pub const OBJECT: u64 = 64 * MIB;
/// Clients that fill at once.
const FILLERS: usize = 4;

/// A running vault that leaves nothing behind, if there is room for `bytes` of data in it.
pub fn roomy_vault(name: &str, bytes: u64) -> Vault {
    let mut vault = Vault::prepare(name);
    vault.keep_nothing();
    let free = free_bytes(vault.folder());
    // Half as much again for parity, a little for records and index, and two GiB that belong to others.
    let needed = bytes / 2 * 3 + bytes / 8 + 2 * GIB;
    assert!(
        free >= needed,
        "{} GiB are free in {}, {} are needed: make room, name another place with KOVCHEG_TEST_DIR, or shrink the vault with \
         KOVCHEG_NIGHTLY_GIB",
        free / GIB,
        vault.folder().display(),
        needed.div_ceil(GIB)
    );
    vault.start();
    vault.client().create_bucket("bkt");
    vault
}

fn free_bytes(folder: &Path) -> u64 {
    let path = std::ffi::CString::new(folder.as_os_str().as_bytes()).unwrap();
    // SAFETY: statvfs() fills the structure it is given; the path ends with NUL and lives as long as the call.
    unsafe {
        let mut stat: libc::statvfs = std::mem::zeroed();
        assert_eq!(libc::statvfs(path.as_ptr(), &mut stat), 0, "free space of {}", folder.display());
        stat.f_bavail * stat.f_frsize
    }
}

/// Stores `bytes` of data that the vault has never seen.
pub fn fill(vault: &Vault, prefix: &str, bytes: u64, rng: &mut Rng) {
    let began = Instant::now();
    let seeds: Vec<u64> = (0..bytes.div_ceil(OBJECT)).map(|_| rng.next()).collect();
    std::thread::scope(|scope| {
        for filler in 0..FILLERS {
            let (client, seeds) = (vault.client(), &seeds);
            scope.spawn(move || {
                for (number, seed) in seeds.iter().enumerate().skip(filler).step_by(FILLERS) {
                    client.put_stream("bkt", &format!("{prefix}/{number:05}"), *seed, OBJECT);
                }
            });
        }
    });
    let took = began.elapsed();
    println!("{prefix}: {} MiB in {took:.1?}", seeds.len() as u64 * OBJECT / MIB);
}

/// Bytes a process has read: what the block layer fetched for it, and what it asked for by system calls.
#[derive(Debug, Clone, Copy)]
pub struct Read {
    /// Bytes fetched from devices.
    pub fetched: u64,
    /// Bytes asked for by system calls.
    pub asked: u64,
}

impl Read {
    /// The count of a process so far.
    pub fn of(pid: u32) -> Self {
        let text = fs::read_to_string(format!("/proc/{pid}/io")).expect("the kernel's count of bytes");
        let field = |name: &str| -> u64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a field of io");
            line.trim().parse().expect("a number")
        };
        Self { fetched: field("read_bytes:"), asked: field("rchar:") }
    }

    /// No way of reading is in neither; some are in both.
    pub fn at_most(self) -> u64 {
        self.fetched + self.asked
    }
}
