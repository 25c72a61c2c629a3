//! A whole vault against power loss: what a client was told is stored is there after every cut (W-1), whole.
//!
//! Six data disks, the index and the key file lie on file systems that lose power together. Writers overwrite and remove
//! objects of their own through the handle that gateways use; the power goes at a random sync, also while the vault
//! opens. After each restart every object must be the last one acknowledged, or the one that was being written.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use kovcheg_format::id::{RequestId, TenantId};
use kovcheg_format::record::audit::Origin;
use kovcheg_format::record::bucket::{ChunkProfile, Namespace};
use kovcheg_format::superblock::FailureDomain;
use kovcheg_storage::clock::SystemClock;
use kovcheg_storage::config::EngineConfig;
use kovcheg_storage::disk::open::{DriverChoice, open_disk};
use kovcheg_storage::error::{StorageError, StorageResult};
use kovcheg_storage::handle::VaultHandle;
use kovcheg_storage::index::memory::MemoryIndex;
use kovcheg_storage::object::types::{NewBucket, NewVersion, NoObserver};
use kovcheg_storage::vault::{DiskSpec, OpenOptions, Opened, Parts, Vault};
use tokio::runtime::Runtime;

use crate::machine::{Machine, Rng};
use crate::powercut::Folder;
use crate::support::seed;

const DATA_DISKS: usize = 6;
const BUCKET: &str = "crash";
const WRITERS: u64 = 4;
/// Objects of each writer.
const KEYS: u64 = 8;
/// Largest object: several chunks and stripes under the settings below.
const OBJECT_LEN_MAX: u64 = 200_000;

/// Syncs within which the power goes: opening takes some thirty of them.
const SYNCS: u64 = 200;

/// Cuts per run: `KOVCHEG_CUTS`, or as many as fit a minute on two cores. RocksDB opens slowly on these file systems.
fn cuts(index: IndexKind) -> u64 {
    let fitting = match index {
        IndexKind::Memory => 150,
        IndexKind::Rocks => 60,
    };
    seed::number("KOVCHEG_CUTS", fitting)
}

/// Where the index is kept.
#[derive(Debug, Clone, Copy, PartialEq)]
enum IndexKind {
    /// In memory: lost at every cut, rebuilt from the disks at every start (W-2).
    Memory,
    /// RocksDB, on a file system that loses power with the disks.
    Rocks,
}

/// An object by its content: 0 is "absent", anything else the seed of length and bytes.
type Seed = u64;

/// What is known of each object: the acknowledged content, and the one tried last.
type Known = BTreeMap<String, (Seed, Seed)>;

fn content(seed: Seed) -> Vec<u8> {
    let mut rng = Rng(seed);
    // Many small objects, which go into the journal, and some large ones, which do not.
    let len = if rng.below(3) == 0 { rng.below(OBJECT_LEN_MAX) } else { rng.below(4_000) };
    (0..len).map(|_| rng.bits() as u8).collect()
}

fn origin() -> Origin {
    Origin { actor: "crash".to_owned(), address: String::new(), request: RequestId::ZERO }
}

/// Settings under which little data already fills stripes, closes segments and flushes the index.
fn config(driver: DriverChoice) -> EngineConfig {
    EngineConfig {
        profile: ChunkProfile { min: 4096, average: 8192, max: 32768 },
        stripe_payload: 64 << 10,
        segment_shard_len: 256 << 10,
        journal_shard_len: 128 << 10,
        journal_prewrite: 32 << 10,
        inline_bytes: 8 << 10,
        index_flush_bytes: 256 << 10,
        workers: 2,
        driver,
        ..EngineConfig::default()
    }
}

/// One vault on one machine.
struct Scene {
    disks: Vec<PathBuf>,
    system: PathBuf,
    index: IndexKind,
    driver: DriverChoice,
}

impl Scene {
    fn open(&self) -> StorageResult<Vault> {
        let opened = match self.index {
            IndexKind::Memory => self.open_in_memory(),
            IndexKind::Rocks => Vault::open(&OpenOptions {
                disks: self
                    .disks
                    .iter()
                    .map(|path| DiskSpec { path: path.clone(), failure_domain: FailureDomain::default() })
                    .collect(),
                index_dir: self.system.join("index"),
                key_file: self.system.join("root.key"),
                k: 4,
                m: 2,
                create: true,
                read_only: false,
                force_missing: false,
                engine: config(self.driver),
            }),
        };
        opened.map(|opened| opened.vault)
    }

    fn open_in_memory(&self) -> StorageResult<Opened> {
        let key_file = self.system.join("root.key");
        let mut disks = Vec::new();
        for path in &self.disks {
            disks.push((open_disk(path, self.driver)?, FailureDomain::default()));
        }
        Vault::open_on(Parts {
            disks,
            absent: Vec::new(),
            index: Arc::new(MemoryIndex::default()),
            key_file,
            clock: Arc::new(SystemClock),
            k: 4,
            m: 2,
            create: true,
            read_only: false,
            force_missing: false,
            config: config(self.driver),
        })
    }
}

async fn put(handle: &VaultHandle, key: &str, seed: Seed) -> StorageResult<()> {
    let mut stream = handle.begin_object(origin(), BUCKET, key, Box::new(NoObserver)).await?;
    for piece in content(seed).chunks(50_000) {
        stream.write(piece.to_vec().into()).await?;
    }
    stream.end().await?.commit_object(NewVersion::default()).await?;
    Ok(())
}

async fn get(handle: &VaultHandle, key: &str) -> StorageResult<Option<Vec<u8>>> {
    let mut reader = match handle.open_object(BUCKET, key).await {
        Ok(reader) => reader,
        Err(StorageError::NoSuchKey) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    while let Some(piece) = reader.next().await {
        bytes.extend_from_slice(&piece?);
    }
    Ok(Some(bytes))
}

/// One writer, on its own objects, until something fails.
async fn write_until_failure(handle: VaultHandle, mut known: Known, seed: u64) -> (Known, StorageError) {
    let mut rng = Rng(seed);
    let keys: Vec<String> = known.keys().cloned().collect();
    loop {
        let key = &keys[rng.below(keys.len() as u64) as usize];
        let tried = if rng.below(6) == 0 { 0 } else { rng.bits().max(1) };
        if let Some(state) = known.get_mut(key) {
            state.1 = tried;
        }
        let outcome = match tried {
            0 => handle.delete_object(origin(), BUCKET, key, None, false).await.map(drop),
            seed => put(&handle, key, seed).await,
        };
        match outcome {
            Ok(()) => {
                known.insert(key.clone(), (tried, tried));
            }
            Err(error) => return (known, error),
        }
    }
}

/// Compares every object with what is known of it, and settles which of two it is. An error of the vault is the
/// caller's to judge.
async fn compare(handle: &VaultHandle, known: &mut Known) -> StorageResult<Result<(), String>> {
    for (key, state) in known {
        let found = get(handle, key).await?;
        let is = |seed: Seed| if seed == 0 { found.is_none() } else { found.as_ref() == Some(&content(seed)) };
        let Some(settled) = [state.0, state.1].into_iter().find(|seed| is(*seed)) else {
            let found = found.map(|bytes| bytes.len());
            return Ok(Err(format!("{key}: found length {found:?}, acknowledged and tried {state:?}")));
        };
        *state = (settled, settled);
    }
    Ok(Ok(()))
}

/// Opens, compares, writes until the power goes. `Err` is a loss.
fn life(runtime: &Runtime, scene: &Scene, machine: &Machine, known: &mut Vec<Known>, seed: u64) -> Result<(), String> {
    // An error is no loss once the power is off.
    let judge = |error: StorageError| if machine.is_on() { Err(error.to_string()) } else { Ok(()) };
    let vault = match scene.open() {
        Ok(vault) => vault,
        Err(error) => return judge(error),
    };
    let handle = vault.handle();
    for part in known.iter_mut() {
        match runtime.block_on(compare(&handle, part)) {
            Ok(result) => result?,
            Err(error) => return judge(error),
        }
    }
    let writers: Vec<_> = known
        .drain(..)
        .zip(0..)
        .map(|(part, number)| runtime.spawn(write_until_failure(handle.clone(), part, seed ^ (number << 60))))
        .collect();
    let mut first_failure = Ok(());
    for writer in writers {
        let (part, error) = runtime.block_on(writer).map_err(|error| error.to_string())?;
        known.push(part);
        first_failure = first_failure.and(judge(error));
    }
    first_failure
}

fn fresh_objects() -> Vec<Known> {
    let name = |writer, key| (format!("writer{writer}/object{key}"), (0, 0));
    (0..WRITERS).map(|writer| (0..KEYS).map(|key| name(writer, key)).collect()).collect()
}

/// Lives and cuts; `Err` says what was lost. Ends with a full verification.
fn run(name: &str, index: IndexKind, driver: DriverChoice, cuts: u64, ignore_sync: bool) -> Result<(), String> {
    let (seed, began) = (seed::value(name), Instant::now());
    let folder = Folder::new(name);
    let mut machine = Machine::start(&folder.0, DATA_DISKS + 1, seed);
    let mut disks = machine.paths();
    let system = disks.pop().expect("the last file system is that of the index");
    let scene = Scene { disks, system, index, driver };
    let runtime = Runtime::new().expect("a runtime");
    let new = NewBucket {
        name: BUCKET.into(),
        tenant: TenantId(1),
        namespace: Namespace::Flat,
        profile: None,
        object_lock: false,
    };
    let vault = scene.open().expect("a new vault");
    runtime.block_on(vault.handle().create_bucket(origin(), new)).expect("a new bucket");
    vault.close().expect("a clean end");
    machine.ignore_sync(ignore_sync);

    let mut rng = Rng(seed ^ 0x7A01);
    let mut known = fresh_objects();
    for cut in 0..cuts {
        machine.cut_at_sync(machine.syncs() + 1 + rng.below(SYNCS));
        let lived = life(&runtime, &scene, &machine, &mut known, rng.bits());
        lived.map_err(|loss| format!("{name}, cut {cut}: {loss}"))?;
        machine.restart();
    }
    let vault = scene.open().map_err(|error| format!("{name}, last start: {error}"))?;
    for part in &mut known {
        let compared = runtime.block_on(compare(&vault.handle(), part)).map_err(|error| error.to_string())?;
        compared.map_err(|loss| format!("{name}, at the end: {loss}"))?;
    }
    let report = vault.verify(None, &mut |_| std::ops::ControlFlow::Continue(())).map_err(|error| error.to_string())?;
    assert!(report.damaged.is_empty(), "{name}: {:?}", report.damaged);
    assert!(report.objects > 0, "hardly anything was acknowledged");
    vault.close().map_err(|error| error.to_string())?;
    let (objects, syncs, took) = (report.objects, machine.syncs(), began.elapsed());
    println!("{name}: {cuts} cuts, 0 lost, {objects} objects, {syncs} syncs, {took:.1?}");
    Ok(())
}

/// A first start that is cut off at any of its syncs can be repeated, and the vault it makes works. `Err` says at which
/// sync it could not.
fn first_start(name: &str, index: IndexKind) -> Result<(), String> {
    let runtime = Runtime::new().expect("a runtime");
    for nth in 1.. {
        let folder = Folder::new(name);
        let mut machine = Machine::start(&folder.0, DATA_DISKS + 1, nth);
        let mut disks = machine.paths();
        let system = disks.pop().expect("the last file system is that of the index");
        let scene = Scene { disks, system, index, driver: DriverChoice::Uring };
        machine.cut_at_sync(nth);
        let first = scene.open().and_then(Vault::close);
        let complete = machine.is_on();
        if complete {
            first.map_err(|error| format!("{name}: {error}"))?;
        }
        machine.restart();
        let story = |error: StorageError| format!("{name}, first start cut at sync {nth}, second start: {error}");
        let vault = scene.open().map_err(story)?;
        let new = NewBucket {
            name: BUCKET.into(),
            tenant: TenantId(1),
            namespace: Namespace::Flat,
            profile: None,
            object_lock: false,
        };
        runtime.block_on(vault.handle().create_bucket(origin(), new)).map_err(story)?;
        runtime.block_on(put(&vault.handle(), "first", nth)).map_err(story)?;
        vault.close().map_err(story)?;
        if complete {
            eprintln!("{name}: a first start has {} syncs", nth - 1);
            return Ok(());
        }
    }
    Ok(())
}

/// W-1 and W-2: nothing acknowledged is lost over many cuts, though the index is lost at each of them.
#[test]
fn vault_without_its_index_loses_nothing() {
    run("vault_without_its_index", IndexKind::Memory, DriverChoice::Uring, cuts(IndexKind::Memory), false).unwrap();
}

/// W-1 and R8: the same with the index on a file system that loses power, too.
#[test]
fn vault_loses_nothing() {
    run("vault_loses_nothing", IndexKind::Rocks, DriverChoice::Uring, cuts(IndexKind::Rocks), false).unwrap();
}

/// Without syncs the same run must lose something: the harness can fail.
#[test]
fn vault_without_syncs_loses() {
    let lost = run("vault_without_syncs", IndexKind::Memory, DriverChoice::Uring, 10, true);
    eprintln!("{lost:?}");
    assert!(lost.is_err(), "syncs were swallowed and nothing was lost in ten cuts");
}

/// A machine that loses power during the first start is no lost machine.
#[test]
fn first_start_can_be_cut_off_anywhere() {
    first_start("vault-first", IndexKind::Memory).unwrap();
}
