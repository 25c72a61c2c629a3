//! Wiring a vault at opening and letting go of it at the end; rebuilding the index.

use std::path::Path;
use std::sync::Arc;

use kovcheg_format::id::{DiskId, Epoch};
use kovcheg_format::keyring::SealedKeyring;
use kovcheg_format::record::Record;
use kovcheg_format::record::segment::SegmentRow;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::clock::SystemClock;
use crate::disk::open::open_disks;
use crate::disk::set::DiskSet;
use crate::engine::Engine;
use crate::error::{StorageError, StorageResult};
use crate::identity;
use crate::index::digest::digest_of;
use crate::index::memory::MemoryIndex;
use crate::index::seal::FactSeal;
use crate::index::{Index, IndexError, rows};
use crate::journal::recover::{Recovered, Replay, recover};
use crate::journal::retention_clock::RetentionClock;
use crate::journal::scan::Chain;
use crate::journal::sequencer::{Commit, Moment};
use crate::keys::hierarchy::RootKey;
use crate::keys::keyring::Keyring;
use crate::segment::files::{ShardFiles, name};
use crate::segment::repair::Mender;
use crate::vault::announce::announce;
use crate::vault::epoch::{self, Begun};
use crate::vault::first_start::{NewPool, make_if_new};
use crate::vault::pool::{FoundPool, choose, slots, survey, write_refusal};
use crate::vault::returning::Gate;
use crate::vault::wiring::{Wiring, wire};
use crate::vault::{OpenOptions, Parts, disk_states, index_dir, keyrings, operator, tail};

/// A vault that serves.
pub struct Started {
    /// Its parts.
    pub engine: Arc<Engine>,
    /// Its disks as found.
    pub found: FoundPool,
    /// Code of the recovery kit, at the first start.
    pub recovery_code: Option<Zeroizing<String>>,
}

/// What a rebuild did.
#[derive(Debug, Clone, Serialize)]
pub struct RebuildReport {
    /// Journal stripes replayed.
    pub stripes: u64,
    /// Rows of the index.
    pub rows: u64,
    /// Canonical digest of the index, in hex.
    pub digest: String,
    /// Bytes of journal read.
    pub bytes_read: u64,
}

/// Opens paths as disks and the index folder as an index. One that is damaged is thrown away where that harms nothing (W-2).
pub fn parts_of(options: &OpenOptions) -> StorageResult<Parts> {
    let index = match index_dir::open(options) {
        Err(StorageError::Index(damage @ IndexError::Damaged { .. })) if !options.read_only => {
            check_replaceable(options)?;
            tracing::error!(%damage, "the index is thrown away and built anew from the data disks");
            index_dir::remove(options)?;
            index_dir::open(options)?
        }
        other => other?,
    };
    parts_with(options, index)
}

fn parts_with(options: &OpenOptions, index: Arc<dyn Index>) -> StorageResult<Parts> {
    let mut disks = Vec::new();
    let mut absent = Vec::new();
    let paths: Vec<&Path> = options.disks.iter().map(|spec| spec.path.as_path()).collect();
    let opened = open_disks(&paths, options.engine.driver, options.engine.io_deadline);
    for (spec, opened) in options.disks.iter().zip(opened) {
        match opened {
            Ok(disk) => disks.push((disk, spec.failure_domain.clone())),
            Err(error) => absent.push((spec.path.display().to_string(), error.to_string())),
        }
    }
    Ok(Parts {
        disks,
        absent,
        index,
        key_file: options.key_file.clone(),
        clock: Arc::new(SystemClock),
        k: options.k,
        m: options.m,
        create: options.create,
        read_only: options.read_only,
        force_missing: options.force_missing,
        config: options.engine.clone(),
    })
}

/// Whether the disks and keys of the vault are there, before an index is thrown away on the word that they can make it anew.
pub fn check_pool(options: &OpenOptions) -> StorageResult<()> {
    check_parts(&parts_with(options, Arc::new(MemoryIndex::new()))?)
}

/// [`check_pool`] for a vault that may be new: a first start that was cut off leaves empty disks and no key file yet, and
/// nothing that an index could tell of.
fn check_replaceable(options: &OpenOptions) -> StorageResult<()> {
    let mut parts = parts_with(options, Arc::new(MemoryIndex::new()))?;
    if !parts.key_file.exists() && survey(&parts.disks)?.found.is_empty() {
        return Ok(());
    }
    parts.create = false;
    check_parts(&parts)
}

/// [`check_pool`] of disks that are open. With too few of them the index may be all that tells what is lost.
pub fn check_parts(parts: &Parts) -> StorageResult<()> {
    let base = base(parts)?;
    match write_refusal(&base.found, parts.force_missing) {
        Some(reason) => Err(operator(format!("the index is kept, as it could not be built anew: {reason}"))),
        None => Ok(()),
    }
}

/// A pool that was found or made, and its keys.
pub struct Base {
    /// Its disks.
    pub found: FoundPool,
    /// Its keys.
    pub keyring: Keyring,
    /// The keyring as it should stand on every disk; `None` at the first start, which has just written it.
    sealed: Option<SealedKeyring>,
    recovery_code: Option<Zeroizing<String>>,
    /// Why it takes no writes, if so.
    pub read_only: Option<String>,
}

impl Base {
    /// What seals the index of this pool.
    #[must_use]
    pub fn index_seal(&self) -> FactSeal {
        FactSeal::new(self.found.newest.pool, self.keyring.index_key())
    }
}

/// Finds or makes the pool and opens its keys.
fn base(parts: &Parts) -> StorageResult<Base> {
    let mut survey = match make_if_new(parts, survey(&parts.disks)?)? {
        Ok(NewPool { found, keyring, recovery_code }) => {
            return Ok(Base { found, keyring, sealed: None, recovery_code: Some(recovery_code), read_only: None });
        }
        Err(survey) => survey,
    };
    survey.complaints.extend(parts.absent.iter().map(|(path, why)| format!("{path}: {why}")));
    let found = choose(survey)?;
    let root = RootKey::load(&parts.key_file).map_err(|error| {
        let labels: Vec<&str> = found.disks.iter().map(|disk| disk.disk.label()).collect();
        operator(format!("{} belong to the vault of pool {}: {error}", labels.join(", "), found.newest.pool))
    })?;
    if root.check(found.newest.pool) != found.newest.key_check {
        return Err(operator(
            "the key file belongs to another vault; give the right one, or run `kovcheg key recover` with the recovery kit",
        ));
    }
    let (keyring, sealed) = keyrings::load(&found, &root)?;
    let read_only = if parts.read_only {
        Some("it was opened for reading only".to_owned())
    } else {
        write_refusal(&found, parts.force_missing)
    };
    Ok(Base { found, keyring, sealed: Some(sealed), recovery_code: None, read_only })
}

/// Opens everything and serves. What keeps the vault from being written, but not from being read, makes it read-only (R4).
pub fn start(parts: Parts) -> StorageResult<Started> {
    let mut base = base(&parts)?;
    for complaint in &base.found.complaints {
        tracing::error!(complaint, "a disk is not as it should be");
    }
    let seen: Vec<(DiskId, Epoch)> = base.found.disks.iter().map(|disk| (disk.block.disk, disk.block.epoch)).collect();
    let life = match base.read_only {
        None => epoch::begin(&mut base.found)?,
        Some(_) => Begun { epoch: base.found.epoch_before, refused: Vec::new() },
    };
    let mender = Arc::new(mender(&parts, &base, &seen, &life));
    let metadata = Arc::new(base.keyring.metadata());
    let (index, seal, may_write) = (parts.index.as_ref(), &base.index_seal(), base.read_only.is_none());
    let epoch = life.epoch;
    let replay = Replay { mender: &mender, index, cipher: &metadata, seal, epoch, may_write };
    let recovered = recover(&replay, &mut Chain::find(mender.clone())?, &mut |_| ())?;
    let unproven = disk_states::unproven(parts.index.as_ref())?;
    if let Some(newest) = &base.sealed {
        keyrings::mend(&mut base.found, newest, base.read_only.is_none());
    }
    if base.read_only.is_none() {
        let index = parts.index.as_ref();
        let gate = Gate { mender: &mender, index, seen: &seen, unproven: &unproven, epoch: life.epoch };
        gate.admit(&mut base.found)?;
        base.read_only = epoch::refusal(&base.found, life.epoch, parts.force_missing);
    }
    if base.read_only.is_none()
        && let Err(error) = tail::protect(&mender, parts.index.as_ref())
    {
        base.read_only = Some(read_only_reason(error)?);
    }
    if base.read_only.is_none() {
        cut_open_segments(&mender, &recovered)?;
    }
    let (retention, outcome) =
        RetentionClock::resume(parts.clock.clone(), parts.index.as_ref(), recovered.retention_clock)?;
    let retention = Arc::new(retention);
    let wiring =
        Wiring { parts: &parts, epoch: life.epoch, mender: &mender, retention: &retention, metadata: &metadata };
    let mut engine = wire(&wiring, &base, recovered.last)?;
    if engine.read_only.is_none()
        && let Err(error) = announce(&engine, &base.found, &recovered, &unproven, outcome)
    {
        let reason = read_only_reason(error)?;
        drop(engine);
        base.read_only = Some(reason);
        engine = wire(&wiring, &base, recovered.last)?;
    }
    if let Some(root) = identity::root(&engine)? {
        *engine.root_access_key.write() = root.access_key;
    }
    tracing::info!(
        epoch = life.epoch.0,
        lsn = recovered.last.0.0,
        replayed = recovered.replayed,
        replayed_bytes = recovered.bytes_read,
        read_only = engine.read_only.as_deref().unwrap_or("no"),
        "vault opened"
    );
    Ok(Started { engine: Arc::new(engine), found: base.found, recovery_code: base.recovery_code })
}

fn mender(parts: &Parts, base: &Base, seen: &[(DiskId, Epoch)], life: &Begun) -> Mender {
    let newest = &base.found.newest;
    let set = DiskSet::new(newest.pool, newest.k, newest.m, parts.config.io_deadline, slots(&base.found, seen));
    for (disk, reason) in &life.refused {
        if let Some(slot) = set.slot(*disk) {
            slot.fence(&format!("it does not take the epoch of this start: {reason}"));
        }
    }
    let may_repair = write_refusal(&base.found, parts.force_missing).is_none();
    Mender { disks: Arc::new(set), files: Arc::new(ShardFiles::default()), may_repair }
}

/// Why the vault is read-only after its first records could not be written; other errors end the opening.
fn read_only_reason(error: StorageError) -> StorageResult<String> {
    match error {
        StorageError::ReadOnly { reason } => Ok(reason),
        StorageError::Full(_) | StorageError::Disk(_) | StorageError::Exhausted(_) => Ok(error.to_string()),
        other => Err(other),
    }
}

/// Cuts what a crash left behind the last named stripe of each open segment (R3). Nothing that a record names is touched.
fn cut_open_segments(mender: &Mender, recovered: &Recovered) -> StorageResult<()> {
    for SegmentRow { opened, len, .. } in &recovered.open_segments {
        for slot in opened.disks.iter().filter_map(|disk| mender.disks.slot(*disk)) {
            if slot.writable().is_none() {
                continue;
            }
            let Ok(file) = mender.files.get(slot, opened.kind, opened.segment) else { continue };
            let cut = file.len().and_then(|there| {
                if there <= *len {
                    return Ok(());
                }
                file.set_len(*len)?;
                file.sync().wait(mender.disks.deadline)
            });
            if let Err(error) = cut {
                tracing::warn!(disk = %slot.label, file = %name(opened.kind, opened.segment), %error, "cannot cut");
                mender.disks.failed_write(slot.id, &error);
            }
        }
    }
    Ok(())
}

/// Ends cleanly.
pub fn finish(engine: &Arc<Engine>) -> StorageResult<()> {
    if let Some(sequencer) = &engine.sequencer {
        if engine.refusal().is_none() {
            let ending = engine.clone();
            // Segments are closed when the commit has its turn: taken before, the record that opens a segment would come behind a
            // put that is still on its way and names a stripe in it.
            let last = move |_: &Moment<'_>| {
                let mut records = ending.store.close_all();
                let clock = ending.retention.now();
                records.extend(ending.denials.take(ending.clock.wall_ms(), clock.time));
                records.push(ending.retention.record(clock).into());
                records.extend(disk_states::changes(&ending)?);
                records.extend(ending.lookup.damage().due().into_iter().map(Record::from));
                Ok(records)
            };
            match engine.commit(Commit::of(Box::new(last))) {
                // Nothing acknowledged hangs on these records: the next start finds what it finds after a crash.
                Err(error @ (StorageError::Full(_) | StorageError::ReadOnly { .. })) => {
                    tracing::warn!(%error, "the last records could not be written; the next start will look at open segments");
                }
                outcome => outcome?,
            }
        }
        sequencer.close();
    }
    engine.index.flush()?;
    Ok(())
}

/// Replays the whole journal into an empty index.
pub fn rebuild(parts: Parts, progress: &mut dyn FnMut(u64)) -> StorageResult<RebuildReport> {
    let base = base(&parts)?;
    let newest = &base.found.newest;
    let set = DiskSet::new(newest.pool, newest.k, newest.m, parts.config.io_deadline, slots(&base.found, &[]));
    let mender = Arc::new(Mender { disks: Arc::new(set), files: Arc::new(ShardFiles::default()), may_repair: false });
    let cipher = base.keyring.metadata();
    let mut chain = Chain::find(mender.clone())?;
    let seal = base.index_seal();
    let (index, epoch) = (parts.index.as_ref(), base.found.epoch_before);
    let replay = Replay { mender: &mender, index, cipher: &cipher, seal: &seal, epoch, may_write: false };
    let recovered = recover(&replay, &mut chain, &mut |lsn| progress(lsn.0))?;
    let digest = digest_of(parts.index.as_ref())?;
    let kept = rows::digest(parts.index.as_ref())?;
    if digest != kept {
        return Err(operator(
            "the rebuilt index does not match the digest kept with it; this is a bug, please report it",
        ));
    }
    parts.index.flush()?;
    Ok(RebuildReport {
        stripes: recovered.replayed,
        rows: rows::counters(parts.index.as_ref())?.rows,
        digest: hex::encode(digest.to_bytes()),
        bytes_read: recovered.bytes_read,
    })
}
