//! The copies of the keyring, one beside each superblock (R10): written together, read from whichever is newest, and put back where one
//! is lost, so that the keys survive the loss of any m disks as everything else does (W-1).

use std::path::Path;

use kovcheg_format::id::PoolId;
use kovcheg_format::keyring::SealedKeyring;

use crate::disk::Disk;
use crate::disk::crashsafe::{read_small, write_small};
use crate::engine::Engine;
use crate::error::StorageResult;
use crate::keys::hierarchy::RootKey;
use crate::keys::keyring::Keyring;
use crate::vault::pool::FoundPool;
use crate::vault::{most_disks, operator};

/// File of the wrapped keys, at the top of each disk.
const KEYRING_FILE: &str = "keyring";
/// Longest keyring file.
const KEYRING_LEN_MAX: u64 = 17 << 20;

/// Writes the keyring beside every superblock, durably.
pub fn store(found: &FoundPool, keyring: &Keyring, root: &RootKey) -> StorageResult<()> {
    let bytes = keyring.seal(found.newest.pool, root).to_file();
    for disk in &found.disks {
        write_small(disk.disk.as_ref(), KEYRING_FILE, &bytes)?;
    }
    Ok(())
}

/// Writes the keyring of a running vault; durable on more than m disks, or it is an error.
pub fn replace(engine: &Engine, found: &FoundPool, keyring: &Keyring, root: &RootKey) -> StorageResult<()> {
    let bytes = keyring.seal(found.newest.pool, root).to_file();
    most_disks::change(engine, found, "keyring", |disk| write_small(disk.disk.as_ref(), KEYRING_FILE, &bytes))
}

/// The root key in `key_file`, which must be that of the pool.
pub fn root_key(found: &FoundPool, key_file: &Path) -> StorageResult<RootKey> {
    let root = RootKey::load(key_file).map_err(|error| operator(error.to_string()))?;
    if root.check(found.newest.pool) != found.newest.key_check {
        return Err(operator(format!("{} belongs to another vault", key_file.display())));
    }
    Ok(root)
}

/// The newest keyring that any disk holds sound and that opens: opened, and as it is sealed.
pub fn load(found: &FoundPool, root: &RootKey) -> StorageResult<(Keyring, SealedKeyring)> {
    let (mut sealed, mut complaints) = (Vec::<SealedKeyring>::new(), Vec::new());
    for disk in &found.disks {
        match read(disk.disk.as_ref(), found.newest.pool) {
            Ok(ring) => sealed.push(ring),
            Err(error) => complaints.push(error),
        }
    }
    sealed.sort_by_key(|ring| std::cmp::Reverse(ring.sequence));
    for ring in sealed {
        match Keyring::open(&ring, root) {
            Ok(keyring) => return Ok((keyring, ring)),
            Err(error) => complaints.push(error.to_string()),
        }
    }
    Err(operator(format!("no disk holds a keyring that opens: {}", complaints.join("; "))))
}

/// Puts the keyring back on disks that lack it, or hold an older or rotten one; durable there on return. Where that cannot or may not
/// be done it is a complaint. A copy that claims to be newer and does not open is left for a person to look at.
pub fn mend(found: &mut FoundPool, newest: &SealedKeyring, may_write: bool) {
    for disk in &found.disks {
        let disk = disk.disk.as_ref();
        let mut complaint = match read(disk, newest.pool) {
            Ok(ring) if ring == *newest => continue,
            Ok(ring) if ring.sequence > newest.sequence => {
                found
                    .complaints
                    .push(format!("keyring on {} is newer than the others and does not open", disk.label()));
                continue;
            }
            Ok(ring) => {
                format!("keyring on {} is of sequence {}, not {}", disk.label(), ring.sequence, newest.sequence)
            }
            Err(error) => error,
        };
        if may_write {
            match write_small(disk, KEYRING_FILE, &newest.to_file()) {
                Ok(()) => {
                    tracing::warn!(complaint, "the keyring was put back");
                    continue;
                }
                Err(error) => complaint = format!("{complaint}; it cannot be put back: {error}"),
            }
        }
        tracing::error!(complaint, "a disk does not hold the keys");
        found.complaints.push(complaint);
    }
}

fn read(disk: &dyn Disk, pool: PoolId) -> Result<SealedKeyring, String> {
    let told = |error: String| format!("keyring on {}: {error}", disk.label());
    let bytes = read_small(disk, KEYRING_FILE, KEYRING_LEN_MAX).map_err(|error| told(error.to_string()))?;
    let ring = SealedKeyring::from_file(&bytes).map_err(|error| told(error.to_string()))?;
    if ring.pool == pool { Ok(ring) } else { Err(told("it is of another pool".to_owned())) }
}
