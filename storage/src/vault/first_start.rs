//! The first start: when a new vault may be made, and in which order its parts become durable.
//!
//! Superblocks of epoch 0 and the keyring come first, then the key file, then the first epoch. So a key file, or an index that
//! holds something, without any superblock proves that there is a vault whose disks are not here (their mounts are late, say): a new
//! vault in its place would take backups onto folders of the system disk and hide them when the disks come back.

use kovcheg_format::id::Epoch;
use zeroize::Zeroizing;

use crate::error::StorageResult;
use crate::index::rows::{META_APPLIED, get};
use crate::index::{Column, IndexError};
use crate::journal::apply::Applied;
use crate::keys::hierarchy::RootKey;
use crate::keys::keyring::Keyring;
use crate::vault::pool::{FoundPool, Survey, initialise};
use crate::vault::{Parts, keyrings, operator};

/// A pool that was just made.
pub struct NewPool {
    /// Its disks, all of epoch 0.
    pub found: FoundPool,
    /// Its keys.
    pub keyring: Keyring,
    /// Code of its recovery kit.
    pub recovery_code: Zeroizing<String>,
}

/// Makes a new pool when there is none and one may be made; `survey` is what is left to choose from otherwise.
pub fn make_if_new(parts: &Parts, mut survey: Survey) -> StorageResult<Result<NewPool, Survey>> {
    if !parts.create || !parts.absent.is_empty() || survey.occupied {
        return Ok(Err(survey));
    }
    let never_begun = survey.found.is_empty();
    forget_unfinished(&mut survey);
    if !survey.found.is_empty() {
        return Ok(Err(survey));
    }
    if never_begun {
        refuse_orphan(parts)?;
    }
    make(parts, survey).map(Ok)
}

fn make(parts: &Parts, survey: Survey) -> StorageResult<NewPool> {
    let now = parts.clock.wall_ms();
    // A first start that was cut off behind its key file goes on with that key.
    let saved = parts.key_file.exists();
    let root = if saved { RootKey::load(&parts.key_file)? } else { RootKey::generate() };
    let (found, recovery_code) = initialise(survey.empty, (parts.k, parts.m), &root, now)?;
    let keyring = Keyring::new_pool(now);
    keyrings::store(&found, &keyring, &root)?;
    if !saved {
        root.save(&parts.key_file)?;
    }
    Ok(NewPool { found, keyring, recovery_code })
}

/// A first start that was cut off leaves disks of epoch 0, which no vault ever wrote to: they count as empty, so that the
/// first start can be repeated. One disk of a later epoch, and nothing is forgotten.
fn forget_unfinished(survey: &mut Survey) {
    if survey.found.iter().all(|disk| disk.block.epoch == Epoch(0)) {
        survey.empty.extend(survey.found.drain(..).map(|found| (found.disk, found.block.failure_domain)));
    }
}

/// Refuses to make a vault where the rest of one says that its disks are missing.
fn refuse_orphan(parts: &Parts) -> StorageResult<()> {
    let index_used = match get::<Applied>(parts.index.as_ref(), Column::Meta, META_APPLIED) {
        Ok(applied) => applied.is_some(),
        Err(IndexError::Row { .. }) => true,
        Err(other) => return Err(other.into()),
    };
    let rest = match (parts.key_file.exists(), index_used) {
        (false, false) => return Ok(()),
        (true, _) => format!("there is a key file {}", parts.key_file.display()),
        (false, true) => "the index holds objects".to_owned(),
    };
    let paths: Vec<&str> = parts.disks.iter().map(|(disk, _)| disk.label()).collect();
    Err(operator(format!(
        "{rest}, but all disks are empty folders ({}): are the vault's disks mounted? Nothing was changed. To make a new vault here all \
         the same, move the key file and the index folder away first",
        paths.join(", ")
    )))
}
