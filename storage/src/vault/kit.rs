//! The recovery kit: confirmed by its holder, or used to bring the key file back (R11).

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use kovcheg_format::record::audit::Action;
use kovcheg_format::superblock::{FailureDomain, Superblock};
use zeroize::Zeroizing;

use crate::disk::Disk;
use crate::disk::open::{DriverChoice, open_disk};
use crate::disk::superblock::{self, SuperblockError};
use crate::engine::Engine;
use crate::error::StorageResult;
use crate::identity::operator_origin;
use crate::journal::sequencer::Commit;
use crate::keys::recovery::{make_kit, open_slot};
use crate::object::guard::audit;
use crate::vault::lock::VaultLock;
use crate::vault::pool::{FoundDisk, FoundPool, choose, survey};
use crate::vault::{OpenOptions, keyrings, most_disks, operator};

/// What is changed on the disks here.
const WHAT: &str = "recovery kit";

/// Checks the code against the key slots and remembers on every disk that it was shown; durable on return, audited.
pub fn confirm(engine: &Engine, found: &FoundPool, code: &str) -> StorageResult<()> {
    if let Some(refusal) = engine.refusal() {
        return Err(refusal);
    }
    let at = slot_of(found, code)?;
    let by = operator_origin();
    engine
        .commit(Commit::of(Box::new(move |moment| Ok(vec![audit(moment, Action::ConfirmRecoveryKit, &by, "", "")]))))?;
    let confirm = |block: &mut Superblock| {
        if let Some(slot) = block.key_slots.get_mut(at) {
            slot.confirmed = true;
        }
    };
    most_disks::change(engine, found, WHAT, |disk| change_on(disk, &confirm))?;
    engine.kit_confirmed.store(true, Ordering::Release);
    Ok(())
}

/// Makes a new kit for the root key in `key_file` and puts it into every superblock in place of those before, unconfirmed; audited.
/// The code is in no other place than the answer. When this fails half-way, kits may be mixed: do it again.
pub fn renew(engine: &Engine, found: &FoundPool, key_file: &Path) -> StorageResult<Zeroizing<String>> {
    if let Some(refusal) = engine.refusal() {
        return Err(refusal);
    }
    let root = keyrings::root_key(found, key_file)?;
    let by = operator_origin();
    engine.commit(Commit::of(Box::new(move |moment| Ok(vec![audit(moment, Action::MakeRecoveryKit, &by, "", "")]))))?;
    let (code, slot) = make_kit(&root, found.newest.pool);
    let renew = |block: &mut Superblock| block.key_slots = vec![slot.clone()];
    most_disks::change(engine, found, WHAT, |disk| change_on(disk, &renew))?;
    engine.kit_confirmed.store(false, Ordering::Release);
    Ok(code)
}

fn change_on(disk: &FoundDisk, change: &dyn Fn(&mut Superblock)) -> Result<(), SuperblockError> {
    let mut block = superblock::read(disk.disk.as_ref())?.block;
    block.sequence += 1;
    change(&mut block);
    superblock::update(disk.disk.as_ref(), &block)
}

/// Opens the root key with the recovery kit and writes it to a new key file (0600, durable on return). Takes the vault's exclusive
/// lock: superblocks are not read while somebody writes them.
pub fn recover_key(options: &OpenOptions, code: &str) -> StorageResult<()> {
    let _lock = VaultLock::take(options)?;
    let opened: Vec<(Arc<dyn Disk>, FailureDomain)> = options
        .disks
        .iter()
        .filter_map(|disk| open_disk(&disk.path, DriverChoice::Plain).ok())
        .map(|disk| (disk, FailureDomain::default()))
        .collect();
    let found = choose(survey(&opened)?)?;
    let at = slot_of(&found, code)?;
    let slot = found.newest.key_slots.get(at).ok_or_else(|| operator("the key slot is gone"))?;
    let root = open_slot(slot, found.newest.pool, code).map_err(|error| operator(error.to_string()))?;
    if root.check(found.newest.pool) != found.newest.key_check {
        return Err(operator("the code opens its slot, but the key in it is not this vault's; try another disk"));
    }
    root.save(&options.key_file).map_err(|error| operator(error.to_string()))
}

/// The first key slot that the code opens, or why none does.
pub(super) fn slot_of(found: &FoundPool, code: &str) -> StorageResult<usize> {
    let mut complaint = "the vault has no recovery kit".to_owned();
    for (at, slot) in found.newest.key_slots.iter().enumerate() {
        match open_slot(slot, found.newest.pool, code) {
            Ok(_) => return Ok(at),
            Err(error) => complaint = error.to_string(),
        }
    }
    Err(operator(complaint))
}
