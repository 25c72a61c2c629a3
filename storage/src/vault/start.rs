//! Wiring a vault at opening and letting go of it at the end; rebuilding the index.

use std::collections::HashMap;
use std::sync::Arc;

use kovcheg_format::id::{DiskId, Epoch, Lsn, StripeHash};
use kovcheg_format::keyring::SealedKeyring;
use kovcheg_format::record::Record;
use kovcheg_format::record::pool::{DiskState, EpochStarted, Member, MembersChanged};
use kovcheg_format::record::segment::{SegmentClosed, SegmentRow};
use parking_lot::{Mutex, RwLock};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::clock::SystemClock;
use crate::dedup::lookup::ChunkLookup;
use crate::disk::crashsafe::{read_small, write_small};
use crate::disk::open::open_disk;
use crate::disk::set::DiskSet;
use crate::engine::Engine;
use crate::error::StorageResult;
use crate::identity;
use crate::index::Index;
use crate::index::digest::digest_of;
use crate::index::memory::MemoryIndex;
use crate::index::rows;
use crate::journal::recover::{Recovered, Replay, recover};
use crate::journal::scan::Chain;
use crate::journal::sequencer::{Commit, Sequencer, SequencerParts};
use crate::journal::writer::JournalWriter;
use crate::keys::hierarchy::RootKey;
use crate::keys::keyring::{Keyring, MetadataCipher};
use crate::segment::files::{ShardFiles, name};
use crate::segment::reader::SegmentReader;
use crate::segment::repair::Mender;
use crate::segment::store::{SegmentIds, SegmentStore};
use crate::vault::first_start::{NewPool, make_if_new};
use crate::vault::pool::{FoundPool, choose, raise_epoch, slots, survey, write_refusal};
use crate::vault::{OpenOptions, Parts, disk_states, operator, returning};

/// File of the wrapped keys, at the top of each disk.
const KEYRING_FILE: &str = "keyring";
/// Longest keyring file.
const KEYRING_LEN_MAX: u64 = 17 << 20;

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

/// Opens paths as disks and the index folder as an index.
pub fn parts_of(options: &OpenOptions) -> StorageResult<Parts> {
    parts_with(options, open_index(options)?)
}

fn parts_with(options: &OpenOptions, index: Arc<dyn Index>) -> StorageResult<Parts> {
    let mut disks = Vec::new();
    let mut absent = Vec::new();
    for spec in &options.disks {
        match open_disk(&spec.path, options.engine.driver) {
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

#[cfg(feature = "rocks")]
fn open_index(options: &OpenOptions) -> StorageResult<Arc<dyn Index>> {
    use crate::index::rocks::{RocksConfig, RocksIndex};
    let config = RocksConfig {
        cache_bytes: options.engine.index_cache_bytes,
        write_buffer_bytes: options.engine.index_write_buffer_bytes,
        ..RocksConfig::default()
    };
    Ok(Arc::new(RocksIndex::open(&options.index_dir, config)?))
}

#[cfg(not(feature = "rocks"))]
fn open_index(_options: &OpenOptions) -> StorageResult<Arc<dyn Index>> {
    Err(operator("this build has no index on disk (feature `rocks`); it can only be tested"))
}

/// Whether the disks and keys of the vault are there, before an index is thrown away on the word that they can make it anew.
pub fn check_pool(options: &OpenOptions) -> StorageResult<()> {
    base(&parts_with(options, Arc::new(MemoryIndex::new()))?).map(drop)
}

/// Removes the index; nothing is lost with it (W-2). A folder that holds anything else is left alone.
#[cfg(feature = "rocks")]
pub fn remove_index(options: &OpenOptions) -> StorageResult<()> {
    Ok(crate::index::rocks::remove(&options.index_dir)?)
}

/// Builds without an index on disk have none to remove.
#[cfg(not(feature = "rocks"))]
pub fn remove_index(options: &OpenOptions) -> StorageResult<()> {
    open_index(options).map(drop)
}

struct Base {
    found: FoundPool,
    keyring: Keyring,
    recovery_code: Option<Zeroizing<String>>,
    read_only: Option<String>,
}

/// Finds or makes the pool and opens its keys.
fn base(parts: &Parts) -> StorageResult<Base> {
    let survey = match make_if_new(parts, survey(&parts.disks)?)? {
        Ok(NewPool { found, keyring, recovery_code }) => {
            return Ok(Base { found, keyring, recovery_code: Some(recovery_code), read_only: None });
        }
        Err(survey) => survey,
    };
    let mut found = choose(survey)?;
    found.complaints.extend(parts.absent.iter().map(|(path, why)| format!("{path}: {why}")));
    let root = RootKey::load(&parts.key_file)?;
    if root.check(found.newest.pool) != found.newest.key_check {
        return Err(operator(
            "the key file belongs to another vault; give the right one, or run `kovcheg key recover` with the recovery kit",
        ));
    }
    let keyring = load_keyring(&found, &root)?;
    let read_only = if parts.read_only {
        Some("it was opened for reading only".to_owned())
    } else {
        write_refusal(&found, parts.force_missing)
    };
    Ok(Base { found, keyring, recovery_code: None, read_only })
}

/// Writes the keyring beside every superblock, durably.
pub fn store_keyring(found: &FoundPool, keyring: &Keyring, root: &RootKey) -> StorageResult<()> {
    let bytes = keyring.seal(found.newest.pool, root).to_file();
    for disk in &found.disks {
        write_small(disk.disk.as_ref(), KEYRING_FILE, &bytes)?;
    }
    Ok(())
}

/// The newest keyring that any disk holds sound and that opens.
fn load_keyring(found: &FoundPool, root: &RootKey) -> StorageResult<Keyring> {
    let mut sealed: Vec<SealedKeyring> = Vec::new();
    let mut complaints = Vec::new();
    for disk in &found.disks {
        let read = read_small(disk.disk.as_ref(), KEYRING_FILE, KEYRING_LEN_MAX).map_err(|error| error.to_string());
        match read.and_then(|bytes| SealedKeyring::from_file(&bytes).map_err(|error| error.to_string())) {
            Ok(ring) if ring.pool == found.newest.pool => sealed.push(ring),
            Ok(_) => complaints.push(format!("the keyring on {} is of another pool", disk.disk.label())),
            Err(error) => complaints.push(format!("keyring on {}: {error}", disk.disk.label())),
        }
    }
    sealed.sort_by_key(|ring| std::cmp::Reverse(ring.sequence));
    for ring in &sealed {
        match Keyring::open(ring, root) {
            Ok(keyring) => return Ok(keyring),
            Err(error) => complaints.push(error.to_string()),
        }
    }
    Err(operator(format!("no disk holds a keyring that opens: {}", complaints.join("; "))))
}

/// Opens everything and serves.
pub fn start(parts: Parts) -> StorageResult<Started> {
    let mut base = base(&parts)?;
    for complaint in &base.found.complaints {
        tracing::error!(complaint, "a disk is not as it should be");
    }
    let seen: Vec<(DiskId, Epoch)> = base.found.disks.iter().map(|disk| (disk.block.disk, disk.block.epoch)).collect();
    let epoch = match base.read_only {
        None => raise_epoch(&mut base.found)?,
        Some(_) => base.found.epoch_before,
    };
    let newest = &base.found.newest;
    let set = DiskSet::new(newest.pool, newest.k, newest.m, parts.config.io_deadline, slots(&base.found, &seen));
    let may_repair = write_refusal(&base.found, parts.force_missing).is_none();
    let mender = Arc::new(Mender { disks: Arc::new(set), files: Arc::new(ShardFiles::default()), may_repair });
    let metadata = Arc::new(base.keyring.metadata());
    let recovered = replay(&mender, parts.index.as_ref(), &metadata, base.read_only.is_none())?;
    if base.read_only.is_none() {
        cut_open_segments(&mender, &recovered)?;
        returning::catch_up(&mender, parts.index.as_ref(), &seen)?;
    }
    let engine = Arc::new(wire(parts, &base, epoch, &mender, metadata, recovered.last)?);
    if let Some(root) = identity::root(&engine)? {
        *engine.root_access_key.write() = root.access_key;
    }
    if engine.read_only.is_none() {
        announce(&engine, &base.found, epoch, &recovered)?;
    }
    tracing::info!(
        epoch = epoch.0,
        lsn = recovered.last.0.0,
        replayed = recovered.replayed,
        replayed_bytes = recovered.bytes_read,
        read_only = engine.read_only.as_deref().unwrap_or("no"),
        "vault opened"
    );
    Ok(Started { engine, found: base.found, recovery_code: base.recovery_code })
}

fn replay(
    mender: &Arc<Mender>,
    index: &dyn Index,
    cipher: &MetadataCipher,
    may_write: bool,
) -> StorageResult<Recovered> {
    let mut chain = Chain::find(mender.clone())?;
    recover(&Replay { mender, index, cipher, may_write }, &mut chain, &mut |_| ())
}

fn wire(
    parts: Parts,
    base: &Base,
    epoch: Epoch,
    mender: &Arc<Mender>,
    metadata: Arc<MetadataCipher>,
    last: (Lsn, StripeHash),
) -> StorageResult<Engine> {
    let reader = Arc::new(SegmentReader::new(mender.clone(), parts.index.clone()));
    let ids = Arc::new(match &base.read_only {
        None => SegmentIds::new(epoch),
        Some(reason) => SegmentIds::none(epoch, reason),
    });
    let store = Arc::new(SegmentStore::new(reader.clone(), ids.clone(), parts.clock.clone(), &parts.config));
    let sequencer = match base.read_only {
        Some(_) => None,
        None => {
            let clock = parts.clock.clone();
            let writer = JournalWriter::new(reader.clone(), ids, clock.clone(), metadata.clone(), &parts.config, last);
            let wired = SequencerParts { writer, store: store.clone(), index: parts.index.clone(), clock };
            Some(Sequencer::start(wired, &parts.config)?)
        }
    };
    let mut domains = HashMap::new();
    for domain in base.keyring.domains() {
        domains.extend(base.keyring.domain(domain).map(|cipher| (domain, Arc::new(cipher))));
    }
    Ok(Engine {
        lookup: ChunkLookup::new(parts.index.clone(), parts.config.locality_ids),
        config: parts.config,
        clock: parts.clock,
        disks: mender.disks.clone(),
        index: parts.index,
        reader,
        store,
        metadata,
        domains,
        sequencer,
        read_only: base.read_only.clone(),
        warnings: Mutex::new(warnings(base)),
        uploads: std::sync::atomic::AtomicUsize::new(0),
        denials: crate::object::denial::Denials::default(),
        root_access_key: RwLock::new(String::new()),
        root_override: RwLock::new(None),
        kit_confirmed: std::sync::atomic::AtomicBool::new(kit_confirmed(&base.found)),
    })
}

fn warnings(base: &Base) -> Vec<String> {
    base.found.complaints.clone()
}

fn kit_confirmed(found: &FoundPool) -> bool {
    found.newest.key_slots.iter().any(|slot| slot.confirmed)
}

/// The first records of a life: which stripe is the last that counts, who is here, which segments ended with the life before.
fn announce(engine: &Engine, found: &FoundPool, epoch: Epoch, recovered: &Recovered) -> StorageResult<()> {
    let started = EpochStarted {
        epoch,
        last_lsn: recovered.last.0,
        last_hash: recovered.last.1,
        release: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: engine.clock.wall_ms(),
        retention_clock: 0,
    };
    let mut records: Vec<Record> = vec![started.into()];
    let members = found.newest.members.iter().map(|disk| member(engine, *disk)).collect();
    records.push(MembersChanged { generation: found.newest.generation, members }.into());
    records.extend(
        recovered.open_segments.iter().map(|row| SegmentClosed { segment: row.opened.segment, len: row.len }.into()),
    );
    engine.commit(Commit::of(Box::new(move |_| Ok(records))))
}

fn member(engine: &Engine, disk: DiskId) -> Member {
    let state = engine.disks.slot(disk).map_or(DiskState::Missing, |slot| slot.state());
    Member { disk, state, tier: 0, jurisdiction: 0 }
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
pub fn finish(engine: &Engine) -> StorageResult<()> {
    if let Some(sequencer) = &engine.sequencer {
        if engine.refusal().is_none() {
            let mut records = engine.store.close_all();
            records.extend(engine.denials.take(engine.clock.wall_ms()));
            records.extend(disk_states::changes(engine)?);
            if !records.is_empty() {
                engine.commit(Commit::of(Box::new(move |_| Ok(records))))?;
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
    let replay = Replay { mender: &mender, index: parts.index.as_ref(), cipher: &cipher, may_write: false };
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
