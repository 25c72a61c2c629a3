//! A script that makes a vault write every kind of record, and the model that says what must be there after each step.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kovcheg_format::id::{ChunkId, UploadId};
use kovcheg_format::record::lifecycle::LifecycleRule;
use kovcheg_format::record::segment::ChunkRow;
use kovcheg_format::record::version::{Pair, RetentionMode};

use super::bytes;
use crate::engine::Engine;
use crate::error::{StorageError, StorageResult};
use crate::identity::access_keys::{self, NewAccessKey};
use crate::index::memory::MemoryIndex;
use crate::index::{Column, rows};
use crate::object::types::{DefaultRetention, Grant, HeldPart, NewLock, Retention, Right, UploadRef, VersionRef};
use crate::object::version;
use crate::testing::driver::{
    abort, complete, copy_object, copy_part, create_bucket, create_upload, delete, delete_bucket, delete_newest,
    keep_versions, origin, put, put_part,
};
use crate::testing::faults::{Effect, OpKind, Rng, Rule};
use crate::testing::locks::{
    create_locked_bucket, create_locked_upload, place_hold, put_locked, rule, set_default, set_hold, set_retention,
    set_rules, set_tags,
};
use crate::testing::sim_disk::SimPool;
use crate::testing::world::World;
use crate::vault::Vault;
use crate::vault::housekeeper::write_damage;

/// Everything clients can see: buckets (`b/`), objects (`b/key`), parts of open uploads (`b?upload/number`).
pub type State = BTreeMap<String, Arc<Vec<u8>>>;

/// One act.
#[derive(Debug, Clone)]
pub enum Step {
    /// Makes a bucket.
    Bucket(&'static str),
    /// Removes an empty bucket.
    DropBucket(&'static str),
    /// Puts an object: key, seed of its content, bytes.
    Put(String, u64, usize),
    /// Copies an object to another key.
    Copy(String, String),
    /// Removes an object.
    Delete(String),
    /// Has the bucket `kept` keep versions.
    Keep,
    /// Puts a version there; seed of its content.
    Version(u64),
    /// Puts a delete marker there.
    Mark,
    /// Removes the newest version or marker there.
    Undo,
    /// Makes the bucket `held`, with Object Lock.
    Held,
    /// Gives it a default retention.
    HeldDefault,
    /// Puts a version there; seed of its content.
    HeldPut(u64),
    /// Extends the retention of the newest version there.
    Retain,
    /// Sets or clears the legal hold of the newest version there.
    Hold(bool),
    /// Tags the newest version there.
    Tag,
    /// Places a case hold there.
    CaseHold,
    /// Gives it a lifecycle rule by which nothing is due.
    Lifecycle,
    /// Gives the bucket `ledger` a quota that nothing comes near.
    Quota,
    /// Opens an upload there, whose object is to be locked.
    HeldUpload,
    /// Opens upload `n`.
    Upload(u8),
    /// Puts a part.
    Part(u8, u16, u64, usize),
    /// Makes the range that two numbers choose of an object part 2.
    PartCopy(u8, String, (u64, u64)),
    /// Completes upload `n` from all its parts.
    Complete(u8),
    /// Aborts upload `n`.
    Abort(u8),
    /// Sets the root credential.
    Root(String),
    /// Notes a refusal; it is written at the next close.
    Denial,
    /// A chunk is found damaged: the n-th of those the index knows.
    Damage(u64),
    /// Makes tenant `n`.
    Tenant(u8),
    /// Makes an access key of tenant `n`.
    Grant(u8),
    /// Disables the access key of tenant `n`.
    Disable(u8),
    /// Removes the access key of tenant `n`.
    Forget(u8),
    /// Shows the recovery kit.
    Kit,
    /// Takes a checkpoint.
    Checkpoint,
    /// Closes and opens, without these disks.
    Reopen(Vec<usize>),
    /// The first write of an object to this disk fails, which fences it.
    Fault(usize),
}

/// The steps: at least one record of every kind the engine writes, several lives, disks that go, return and fail.
#[must_use]
pub fn steps(seed: u64) -> Vec<Step> {
    let mut rng = Rng::new(seed);
    let mut steps = vec![Step::Root("first".into()), Step::Bucket("ledger"), Step::Bucket("brief"), Step::Kit];
    let sizes = [0, 10, 3000, 20_000, 150_000, 400_000];
    for round in 0..6_u64 {
        for n in 0..4 {
            let size = sizes[usize::try_from(rng.below(6)).unwrap()];
            // Few seeds, so that whole objects repeat; few keys, so that they are overwritten.
            steps.push(Step::Put(format!("key-{}", rng.below(6)), 1 + rng.below(8), size));
            if n == 2 {
                steps.push(Step::Delete(format!("key-{}", rng.below(6))));
                steps.push(Step::Copy(format!("key-{}", rng.below(6)), format!("copy-{round}")));
            }
        }
        let upload = u8::try_from(round).unwrap();
        steps.push(Step::Upload(upload));
        // Every part but the last needs 5 MiB: once is enough.
        if round == 0 {
            steps.push(Step::Part(upload, 1, 90, 5 << 20));
        }
        steps.push(Step::Part(upload, 2, 95, 30_000));
        if round % 2 == 1 {
            steps.push(Step::PartCopy(upload, format!("key-{}", rng.below(6)), (rng.bits(), rng.bits())));
        }
        steps.extend([Step::Denial, Step::Damage(rng.bits()), Step::Checkpoint]);
        steps.extend([Step::Tenant(upload), Step::Grant(upload)]);
        match round {
            0 => steps.extend([Step::Complete(0), Step::DropBucket("brief"), Step::Reopen(vec![])]),
            1 => steps.extend([
                Step::Abort(1),
                Step::Bucket("kept"),
                Step::Version(1),
                Step::Keep,
                Step::Version(2),
                Step::Mark,
                Step::Held,
                Step::HeldPut(4),
                Step::HeldDefault,
                Step::HeldPut(5),
                Step::Hold(true),
                Step::Reopen(vec![5]),
            ]),
            2 => steps.extend([Step::Retain, Step::Complete(2), Step::Reopen(vec![]), Step::Fault(1)]),
            3 => steps.extend([
                Step::Disable(0),
                Step::HeldUpload,
                Step::CaseHold,
                Step::Lifecycle,
                Step::Quota,
                Step::Hold(false),
                Step::Tag,
                Step::Version(3),
                Step::Undo,
                Step::Undo,
                Step::Forget(1),
                Step::Part(3, 2, 96, 40_000),
                Step::Reopen(vec![0, 2]),
            ]),
            4 => steps.extend([Step::Root("second".into()), Step::Reopen(vec![]), Step::Fault(4)]),
            _ => steps.push(Step::Complete(5)),
        }
    }
    steps
}

fn upload_ref(n: u8) -> UploadRef {
    UploadRef { bucket: "ledger".into(), key: format!("upload-{n}"), upload: UploadId([n + 1; 16]) }
}

fn range(len: u64, ends: (u64, u64)) -> (u64, u64) {
    let (one, other) = (ends.0 % (len + 1), ends.1 % (len + 1));
    (one.min(other), one.max(other))
}

/// A source that is not there makes no difference.
fn unless_missing<T>(copied: StorageResult<T>) -> StorageResult<()> {
    match copied {
        Err(StorageError::NoSuchKey) => Ok(()),
        other => other.map(drop),
    }
}

/// What a delete marker holds, in a state.
pub const MARKER: &[u8] = b"a delete marker";

/// Name of the `n`-th version in the bucket `kept`, from the oldest, in a state.
pub fn kept_name(n: usize) -> String {
    format!("kept#{n:03}")
}

fn versions_kept(state: &State) -> usize {
    state.keys().filter(|name| name.starts_with("kept#")).count()
}

fn kept(state: &State) -> String {
    kept_name(versions_kept(state))
}

fn newest_kept(state: &State) -> String {
    kept_name(versions_kept(state).saturating_sub(1))
}

/// The wall clock of the script, which is also its retention clock.
const NOW: u64 = 1_700_000_000_000;
const DAY: u64 = 24 * 3600 * 1000;
/// The default retention that the bucket `held` gets.
const HELD_DEFAULT: DefaultRetention = DefaultRetention { mode: RetentionMode::Compliance, days: 3, years: 0 };
/// Byte of the upload there.
const HELD_UPLOAD: u8 = 99;

/// Locks, in a state.
pub fn lock_text(mode: RetentionMode, until: u64, hold: bool) -> Vec<u8> {
    let days = until.saturating_sub(NOW) / DAY;
    format!("{mode:?} {until} ({days} d){}", if hold { " held" } else { "" }).into_bytes()
}

/// The versions in the bucket `held`, from the oldest, with their locks.
fn held(state: &State) -> Vec<(String, String)> {
    let text = |locks: &Arc<Vec<u8>>| String::from_utf8(locks.to_vec()).unwrap();
    state
        .iter()
        .filter(|(name, _)| name.starts_with("held#"))
        .map(|(name, locks)| (name.clone(), text(locks)))
        .collect()
}

/// The newest version in the bucket `held`.
fn held_newest() -> VersionRef {
    VersionRef { bucket: "held".into(), key: "h".into(), version: None }
}

/// The state after a step.
#[must_use]
pub fn next(state: &State, step: &Step) -> State {
    let mut state = state.clone();
    let part = |n: u8, number: u16| format!("ledger?{}/{number}", UploadId([n + 1; 16]));
    match step {
        Step::Bucket(name) => drop(state.insert(format!("{name}/"), Arc::default())),
        Step::DropBucket(name) => drop(state.remove(&format!("{name}/"))),
        Step::Put(key, seed, len) => drop(state.insert(format!("ledger/{key}"), Arc::new(bytes(*seed, *len)))),
        Step::Copy(from, to) => {
            if let Some(content) = state.get(&format!("ledger/{from}")).cloned() {
                state.insert(format!("ledger/{to}"), content);
            }
        }
        Step::PartCopy(n, from, ends) => {
            if let Some(content) = state.get(&format!("ledger/{from}")).cloned() {
                let (start, end) = range(content.len() as u64, *ends);
                let piece = content.get(start as usize..end as usize).unwrap();
                state.insert(part(*n, 2), Arc::new(piece.to_vec()));
            }
        }
        Step::Delete(key) => drop(state.remove(&format!("ledger/{key}"))),
        Step::Keep => drop(state.insert("kept!".into(), Arc::default())),
        Step::Version(seed) => drop(state.insert(kept(&state), Arc::new(bytes(*seed, 3000)))),
        Step::Mark => drop(state.insert(kept(&state), Arc::new(MARKER.to_vec()))),
        Step::Undo => drop(state.remove(&newest_kept(&state))),
        Step::Held => {
            state.insert("held/".into(), Arc::default());
            state.insert("held!".into(), Arc::default());
            state.insert("held$".into(), Arc::new(DefaultRetention::default().to_string().into_bytes()));
        }
        Step::HeldDefault => drop(state.insert("held$".into(), Arc::new(HELD_DEFAULT.to_string().into_bytes()))),
        Step::HeldPut(_) => {
            let name = format!("held#{:03}", held(&state).len());
            let has_default = state["held$"].as_slice() == HELD_DEFAULT.to_string().as_bytes();
            let until = if has_default { NOW + 3 * DAY } else { 0 };
            let mode = if has_default { HELD_DEFAULT.mode } else { RetentionMode::None };
            state.insert(name, Arc::new(lock_text(mode, until, false)));
        }
        Step::Retain | Step::Hold(_) => {
            let (name, now) = held(&state).pop().unwrap();
            let (until, hold) = match step {
                Step::Hold(on) => (if now.contains("5 d") { 5 } else { 3 }, *on),
                _ => (5, now.ends_with("held")),
            };
            state.insert(name, Arc::new(lock_text(HELD_DEFAULT.mode, NOW + until * DAY, hold)));
        }
        Step::Tag => drop(state.insert("held tags".into(), Arc::new(b"a=b".to_vec()))),
        Step::Quota => drop(state.insert("quota of ledger".into(), Arc::new((1_u64 << 40).to_be_bytes().to_vec()))),
        Step::Lifecycle => drop(state.insert("rules of held".into(), Arc::new(b"late".to_vec()))),
        Step::CaseHold => drop(state.insert("case 7 in held".into(), Arc::new(b"prefix h".to_vec()))),
        Step::HeldUpload => {
            let upload = UploadId([HELD_UPLOAD; 16]);
            state.insert(format!("ledger?{upload}/0"), Arc::default());
            state.insert(format!("locks of {upload}"), Arc::new(lock_text(HELD_DEFAULT.mode, NOW + 7 * DAY, true)));
        }
        Step::Upload(n) => drop(state.insert(part(*n, 0), Arc::default())),
        Step::Part(n, number, seed, len) => drop(state.insert(part(*n, *number), Arc::new(bytes(*seed, *len)))),
        Step::Complete(n) => {
            let parts = (1..3).filter_map(|number| state.get(&part(*n, number)));
            let whole = parts.flat_map(|part| part.iter().copied()).collect();
            (0..3).for_each(|number| drop(state.remove(&part(*n, number))));
            state.insert(format!("ledger/upload-{n}"), Arc::new(whole));
        }
        Step::Abort(n) => (0..3).for_each(|number| drop(state.remove(&part(*n, number)))),
        Step::Tenant(n) => drop(state.insert(format!("tenant t{n}"), Arc::default())),
        Step::Grant(n) => drop(state.insert(format!("access key KV{n}"), Arc::new(vec![1]))),
        Step::Disable(n) => drop(state.insert(format!("access key KV{n}"), Arc::new(vec![0]))),
        Step::Forget(n) => drop(state.remove(&format!("access key KV{n}"))),
        // The write that meets the fault.
        Step::Fault(_) => drop(state.insert("ledger/key-0".into(), Arc::new(bytes(77, 60_000)))),
        Step::Root(_) | Step::Denial | Step::Damage(_) | Step::Kit | Step::Checkpoint | Step::Reopen(_) => {}
    }
    state
}

/// Does a step on an open vault. Whoever plays the script opens and closes, and makes the faults.
pub fn perform(vault: &Vault, code: &str, step: &Step) -> StorageResult<()> {
    let engine = vault.engine();
    match step {
        Step::Bucket(name) => create_bucket(engine, name).map(drop),
        Step::DropBucket(name) => delete_bucket(engine, name),
        Step::Put(key, seed, len) => put(engine, "ledger", key, &bytes(*seed, *len)).map(drop),
        Step::Copy(from, to) => unless_missing(copy_object(engine, "ledger", from, to)),
        Step::PartCopy(n, from, ends) => unless_missing(
            version::find(engine.index.as_ref(), "ledger", from)
                .and_then(|found| copy_part(engine, from, range(found.size, *ends), &upload_ref(*n), 2, "2")),
        ),
        Step::Delete(key) => delete(engine, "ledger", key).map(drop),
        Step::Keep => keep_versions(engine, "kept"),
        Step::Version(seed) => put(engine, "kept", "k", &bytes(*seed, 3000)).map(drop),
        Step::Mark => delete(engine, "kept", "k").map(drop),
        Step::Undo => delete_newest(engine, "kept", "k").map(drop),
        Step::Held => create_locked_bucket(engine, "held").map(drop),
        Step::HeldDefault => set_default(engine, "held", HELD_DEFAULT),
        Step::HeldPut(seed) => put_locked(engine, ("held", "h"), &bytes(*seed, 500), NewLock::default()).map(drop),
        Step::Retain => {
            let longer = Retention { mode: HELD_DEFAULT.mode, until: NOW + 5 * DAY };
            set_retention(engine, &held_newest(), Some(longer), false)
        }
        Step::Hold(on) => set_hold(engine, &held_newest(), *on),
        Step::Tag => set_tags(engine, &held_newest(), vec![Pair { name: "a".into(), value: "b".into() }]),
        Step::Quota => vault.set_quota("ledger", Some(1 << 40)).map(drop),
        Step::Lifecycle => set_rules(engine, "held", vec![LifecycleRule { expire_days: 999, ..rule("late") }]),
        Step::CaseHold => place_hold(engine, "held", "7", HeldPart::Prefix("h".into())).map(drop),
        Step::HeldUpload => {
            let upload = UploadRef { bucket: "held".into(), key: "u".into(), upload: UploadId([HELD_UPLOAD; 16]) };
            let retention = Some(Retention { mode: HELD_DEFAULT.mode, until: NOW + 7 * DAY });
            create_locked_upload(engine, &upload, NewLock { retention, legal_hold: true })
        }
        Step::Upload(n) => create_upload(engine, &upload_ref(*n)).map(drop),
        Step::Part(n, number, seed, len) => {
            let etag = number.to_string();
            put_part(engine, &upload_ref(*n), *number, &etag, &bytes(*seed, *len)).map(drop)
        }
        Step::Complete(n) => {
            let parts: &[(u16, &str)] = if *n == 0 { &[(1, "1"), (2, "2")] } else { &[(2, "2")] };
            complete(engine, &upload_ref(*n), parts).map(drop)
        }
        Step::Abort(n) => abort(engine, &upload_ref(*n)),
        Step::Root(key) => vault.set_root_credential(key, "secret").map(drop),
        Step::Denial => {
            engine.denials.note(origin(), "ledger", "key", "a test");
            Ok(())
        }
        Step::Damage(n) => damage(engine, *n),
        Step::Tenant(n) => vault.create_tenant(&format!("t{n}")).map(drop),
        Step::Grant(n) => access_keys::create(engine, access_key(*n)),
        Step::Disable(n) => access_keys::set_enabled(engine, &format!("KV{n}"), false),
        Step::Forget(n) => access_keys::remove(engine, &format!("KV{n}")),
        Step::Checkpoint => engine.checkpoint().map(drop),
        Step::Kit => vault.confirm_recovery_kit(code),
        Step::Fault(_) => put(engine, "ledger", "key-0", &bytes(77, 60_000)).map(drop),
        Step::Reopen(_) => Ok(()),
    }
}

fn access_key(n: u8) -> NewAccessKey {
    NewAccessKey {
        access_key: format!("KV{n}"),
        secret: "a secret".to_owned().into(),
        tenant: format!("t{n}"),
        grant: Grant { buckets: vec!["*".to_owned()], rights: vec![Right::Read] },
        note: String::new(),
    }
}

/// Notes that a chunk is damaged, and has the journal know.
fn damage(engine: &Engine, n: u64) -> StorageResult<()> {
    let mut chunks = Vec::new();
    rows::scan::<ChunkRow>(engine.index.as_ref(), Column::Chunk, &[], None, &mut |id, row| {
        chunks.extend(<[u8; 32]>::try_from(id).map(|id| (ChunkId(id), row)));
        ControlFlow::Continue(())
    })?;
    let (id, row) = &chunks[n as usize % chunks.len()];
    engine.lookup.damage().note(*id, row.segment, row.stripe)?;
    write_damage(engine);
    Ok(())
}

/// A vault in the middle of the script.
pub struct Play {
    /// The world.
    pub world: World,
    /// The disks.
    pub pool: SimPool,
    /// Steps acknowledged so far; the first start counts as one.
    pub acknowledged: Arc<AtomicUsize>,
    vault: Option<Vault>,
    index: Arc<MemoryIndex>,
    code: String,
}

impl Play {
    /// Makes the vault: the first step of all.
    pub fn start(world: World, pool: SimPool, acknowledged: Arc<AtomicUsize>) -> Self {
        let index = Arc::new(MemoryIndex::new());
        let opened = world.open(pool.disks(), index.clone()).unwrap();
        acknowledged.store(1, Ordering::SeqCst);
        let code = opened.first_start.unwrap().recovery_code.to_string();
        Self { world, pool, acknowledged, vault: Some(opened.vault), index, code }
    }

    /// Does a step, which must succeed.
    pub fn act(&mut self, step: &Step) {
        self.pool.clear_rules();
        let mut vault = self.vault.take().unwrap();
        if let Step::Fault(disk) = step {
            self.pool.add_rule(Rule::new(OpKind::Write, 1, Effect::Eio).on_disk(*disk));
        }
        if let Step::Reopen(without) = step {
            vault.close().unwrap();
            let disks = (0..6).filter(|disk| !without.contains(disk)).map(|disk| self.pool.disk(disk)).collect();
            vault = self.world.open(disks, self.index.clone()).unwrap().vault;
        } else {
            perform(&vault, &self.code, step).unwrap();
        }
        self.vault = Some(vault);
        self.acknowledged.fetch_add(1, Ordering::SeqCst);
    }

    /// Ends cleanly; what outlives the vault.
    #[must_use]
    pub fn end(mut self) -> (World, SimPool, Arc<MemoryIndex>) {
        self.pool.clear_rules();
        self.vault.take().unwrap().close().unwrap();
        (self.world, self.pool, self.index)
    }

    /// The index, to be crashed with the disks.
    #[must_use]
    pub fn index(&self) -> &Arc<MemoryIndex> {
        &self.index
    }
}
