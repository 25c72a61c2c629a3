//! The parts of a vault that was found, put together.

use std::collections::HashMap;
use std::sync::Arc;

use kovcheg_format::id::{Epoch, Lsn, StripeHash};
use parking_lot::{Mutex, RwLock};

use crate::audit::signer::AuditSigner;
use crate::dedup::lookup::ChunkLookup;
use crate::engine::Engine;
use crate::error::StorageResult;
use crate::journal::retention_clock::RetentionClock;
use crate::journal::sequencer::{Sequencer, SequencerParts};
use crate::journal::writer::JournalWriter;
use crate::keys::keyring::MetadataCipher;
use crate::segment::reader::SegmentReader;
use crate::segment::repair::Mender;
use crate::segment::store::{SegmentIds, SegmentStore};
use crate::vault::Parts;
use crate::vault::pool::FoundPool;
use crate::vault::start::Base;

/// What an engine is made of, whether it may write or not.
#[derive(Clone, Copy)]
pub struct Wiring<'a> {
    /// Disks, index and settings.
    pub parts: &'a Parts,
    /// The life.
    pub epoch: Epoch,
    /// Loads and mends stripes.
    pub mender: &'a Arc<Mender>,
    /// The retention clock.
    pub retention: &'a Arc<RetentionClock>,
    /// Seals frames.
    pub metadata: &'a Arc<MetadataCipher>,
}

/// Starts the engine's threads, or, for a vault that takes no writes, none of them. `last` is the newest stripe of the journal.
pub fn wire(wiring: &Wiring<'_>, base: &Base, last: (Lsn, StripeHash)) -> StorageResult<Engine> {
    let Wiring { parts, epoch, mender, retention, metadata } = *wiring;
    let reader = Arc::new(SegmentReader::new(mender.clone(), parts.index.clone()));
    let ids = Arc::new(match &base.read_only {
        None => SegmentIds::new(epoch),
        Some(reason) => SegmentIds::none(epoch, reason),
    });
    let store = Arc::new(SegmentStore::new(reader.clone(), ids.clone(), parts.clock.clone(), &parts.config));
    let sequencer = match base.read_only {
        Some(_) => None,
        None => {
            let (clock, retention) = (parts.clock.clone(), retention.clone());
            let clocks = (clock.clone(), retention.clone());
            let writer = JournalWriter::new(reader.clone(), ids, clocks, metadata.clone(), &parts.config, last);
            let (store, index, seal) = (store.clone(), parts.index.clone(), base.index_seal());
            let wired = SequencerParts { writer, store, index, seal, clock, retention };
            Some(Sequencer::start(wired, &parts.config)?)
        }
    };
    let mut domains = HashMap::new();
    for domain in base.keyring.domains() {
        domains.extend(base.keyring.domain(domain).map(|cipher| (domain, Arc::new(cipher))));
    }
    Ok(Engine {
        lookup: ChunkLookup::new(parts.index.clone(), parts.config.locality_ids),
        config: parts.config.clone(),
        clock: parts.clock.clone(),
        retention: retention.clone(),
        disks: mender.disks.clone(),
        index: parts.index.clone(),
        reader,
        store,
        metadata: metadata.clone(),
        signer: AuditSigner::new(mender.disks.pool, base.keyring.audit_seed())?,
        domains: RwLock::new(domains),
        keyring_written: Mutex::new(epoch.0 << 32),
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
