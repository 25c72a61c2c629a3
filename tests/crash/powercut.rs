//! The real disk drivers against power loss: what was answered after a sync is there after every cut.
//!
//! Writers put numbered blocks on six mounts, sync, and only then note them as acknowledged; the power goes at a random
//! sync; after a restart every acknowledged block must be there. A run on file systems that ignore syncs must lose some:
//! otherwise this test could not fail.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kovcheg_storage::disk::crashsafe::{read_small, write_small};
use kovcheg_storage::disk::open::{DriverChoice, open_disk};
use kovcheg_storage::disk::{AlignedBuf, Disk, DiskFile, DiskResult};

use crate::machine::{Machine, Rng};
use crate::support::seed;

/// Long enough for a slow shared machine; no test measures it.
const DEADLINE: Duration = Duration::from_secs(60);
const BLOCK: u64 = 4096;
const DISKS: usize = 6;
/// Blocks of the file on each disk.
const FILE_BLOCKS: u64 = 256;

/// Cuts per run of a disk driver: `KOVCHEG_CUTS`, or these.
const CUTS: u64 = 200;

/// A folder for the mounts, removed if empty of mounts when dropped.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("kovcheg-crash-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        for entry in std::fs::read_dir(&self.0).into_iter().flatten().flatten() {
            // Not recursively: a mount that is still there must not be emptied.
            let _ = std::fs::remove_dir(entry.path());
        }
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// What one disk has acknowledged; version 0 is "never written".
#[derive(Debug, Default, Clone)]
struct Acknowledged {
    /// Acknowledged version of each block, and the newest one that was tried: what is there lies between them.
    blocks: BTreeMap<u64, (u64, u64)>,
    /// The same for the small file, where it is one of the two.
    small: (u64, u64),
    /// Files that were created.
    files: Vec<String>,
}

fn content(at: u64, version: u64) -> AlignedBuf {
    let mut rng = Rng(at << 32 | version);
    let mut buffer = AlignedBuf::zeroed(BLOCK as usize);
    for (number, piece) in buffer.chunks_mut(8).enumerate() {
        let word = match number {
            0 => at,
            1 => version,
            _ => rng.bits(),
        };
        piece.copy_from_slice(&word.to_le_bytes());
    }
    buffer
}

/// The version of a block, if it is whole.
fn version_of(at: u64, bytes: &[u8]) -> Option<u64> {
    let word = |range: std::ops::Range<usize>| bytes[range].try_into().map(u64::from_le_bytes).unwrap();
    let version = word(8..16);
    (content(at, version)[..] == *bytes).then_some(version)
}

/// Works until the power goes: rounds of some blocks written together, synced, acknowledged; now and then a file made
/// and a small file replaced.
fn work(disk: &dyn Disk, known: &mut Acknowledged, rng: &mut Rng, first_version: u64) -> DiskResult<()> {
    let file = disk.open("data")?;
    for version in first_version.. {
        let chosen: Vec<u64> = (0..1 + rng.below(8)).map(|_| rng.below(FILE_BLOCKS)).collect();
        write_round(&*file, known, &chosen, version)?;
        if rng.below(4) == 0 {
            known.small.1 = version;
            write_small(disk, "names/small", &version.to_le_bytes())?;
            known.small.0 = version;
        }
        if rng.below(4) == 0 {
            let name = format!("names/{version}");
            disk.create(&name)?;
            disk.sync_folder("names")?;
            known.files.push(name);
        }
    }
    Ok(())
}

fn write_round(file: &dyn DiskFile, known: &mut Acknowledged, chosen: &[u64], version: u64) -> DiskResult<()> {
    let mut tickets = Vec::new();
    for &at in chosen {
        known.blocks.entry(at).or_default().1 = version;
        tickets.push(file.write(at * BLOCK, Arc::new(content(at, version))));
    }
    for ticket in tickets {
        ticket.wait(DEADLINE)?;
    }
    file.sync().wait(DEADLINE)?;
    for at in chosen {
        known.blocks.entry(*at).or_default().0 = version;
    }
    Ok(())
}

/// Everything acknowledged that is not there, as text. What is there after a restart is durable, hence acknowledged
/// from now on, whether or not it was before.
fn losses(disk: &dyn Disk, known: &mut Acknowledged) -> Vec<String> {
    let mut lost = Vec::new();
    let label = disk.label();
    match disk.open("data") {
        Ok(file) => {
            for (&at, (acknowledged, tried)) in &mut known.blocks {
                let found = file.read(at * BLOCK, BLOCK as usize).wait(DEADLINE).ok();
                let version = found.as_deref().and_then(|bytes| version_of(at, bytes)).unwrap_or(0);
                if version < *acknowledged || version > *tried {
                    lost.push(format!("{label}: block {at} is {version}, acknowledged {acknowledged}, tried {tried}"));
                }
                *acknowledged = version;
            }
        }
        Err(error) => lost.push(error.to_string()),
    }
    let small = read_small(disk, "names/small", BLOCK).ok();
    let version = small.and_then(|bytes| bytes.get(..8)?.try_into().map(u64::from_le_bytes).ok()).unwrap_or(0);
    if version != known.small.0 && version != known.small.1 {
        lost.push(format!("{label}: small file is {version}, acknowledged and tried {:?}", known.small));
    }
    known.small = (version, version);
    let there = disk.list("names").unwrap_or_default();
    for name in &known.files {
        if !there.iter().any(|found| name.strip_prefix("names/") == Some(found)) {
            lost.push(format!("{label}: {name} is gone"));
        }
    }
    lost
}

fn open(path: &Path, choice: DriverChoice) -> Arc<dyn Disk> {
    open_disk(path, choice).expect("a disk on a FUSE file system")
}

fn prepare(disk: &dyn Disk) {
    disk.make_folder("names").unwrap();
    let file = disk.create("data").unwrap();
    file.set_len(FILE_BLOCKS * BLOCK).unwrap();
    file.sync().wait(DEADLINE).unwrap();
    disk.sync_folder("").unwrap();
}

/// Rounds of work and cuts; returns everything that was lost. Stops at the first loss.
fn run(name: &str, choice: DriverChoice, cuts: u64, ignore_sync: bool) -> Vec<String> {
    let (seed, began) = (seed::value(name), Instant::now());
    let folder = Folder::new(name);
    let mut machine = Machine::start(&folder.0, DISKS, seed);
    let mut rng = Rng(seed ^ 0xC075);
    let mut known = vec![Acknowledged::default(); DISKS];
    machine.paths().iter().for_each(|path| prepare(&*open(path, choice)));
    machine.ignore_sync(ignore_sync);
    let mut acknowledged = 0;
    for cut in 0..cuts {
        machine.cut_at_sync(machine.syncs() + 1 + rng.below(60));
        let seeds: Vec<u64> = (0..DISKS).map(|_| rng.bits()).collect();
        std::thread::scope(|scope| {
            for ((path, known), seed) in machine.paths().into_iter().zip(&mut known).zip(seeds) {
                scope.spawn(move || {
                    // The power may be gone before this disk is open.
                    if let Ok(disk) = open_disk(&path, choice) {
                        work(&*disk, known, &mut Rng(seed), 1 + cut * 1_000_000).expect_err("ends with the power");
                    }
                });
            }
        });
        assert!(!machine.is_on(), "cut {cut}: work ended, and the power was on");
        machine.restart();
        let paths = machine.paths();
        let lost: Vec<String> =
            paths.iter().zip(&mut known).flat_map(|(path, known)| losses(&*open(path, choice), known)).collect();
        if !lost.is_empty() {
            println!("{name}, cut {cut}: {} lost, such as {}", lost.len(), lost[0]);
            return lost;
        }
        acknowledged = known.iter().map(|known| known.blocks.len() + known.files.len()).sum();
    }
    let (syncs, took) = (machine.syncs(), began.elapsed());
    println!("{name}: {cuts} cuts, 0 of {acknowledged} lost, {syncs} syncs, {took:.1?}");
    assert!(acknowledged > DISKS * 10, "hardly anything was acknowledged");
    Vec::new()
}

/// W-1, at the level of a disk: io_uring with O_DIRECT loses nothing that was synced, over many cuts.
#[test]
fn uring_loses_nothing() {
    let lost = run("uring_loses_nothing", DriverChoice::Uring, seed::number("KOVCHEG_CUTS", CUTS), false);
    assert!(lost.is_empty(), "{lost:#?}");
}

/// The same for plain threads.
#[test]
fn plain_loses_nothing() {
    let lost = run("plain_loses_nothing", DriverChoice::Plain, seed::number("KOVCHEG_CUTS", CUTS), false);
    assert!(lost.is_empty(), "{lost:#?}");
}

/// Without syncs the same run must lose something, with each driver: the harness can fail.
#[test]
fn without_syncs_it_loses() {
    for (name, choice) in [("uring-control", DriverChoice::Uring), ("plain-control", DriverChoice::Plain)] {
        let lost = run(name, choice, 10, true);
        assert!(!lost.is_empty(), "{name}: syncs were swallowed and nothing was lost in ten cuts");
    }
}
