//! Superblocks and keyrings: small files, read whole.

use kovcheg_format::keyring::{SEALED_LEN_MAX, SealedKeyring};
use kovcheg_format::superblock::{COPIES, SLOT_LEN, Superblock};
use kovcheg_format::version::MAGIC_SUPERBLOCK;

use super::report::{KeyringReport, SlotReport, SuperblockFields, SuperblockReport};

/// Bytes of a file that tell what it is: every slot of a superblock.
pub const HEAD_LEN: u64 = (COPIES * SLOT_LEN) as u64;
/// Longest keyring that is read: sealed list, header, padding.
pub const KEYRING_LEN_MAX: u64 = SEALED_LEN_MAX as u64 + 65_536;

/// Whether any slot bears the magic number: one copy is enough to be recognised by.
pub fn is_superblock(head: &[u8]) -> bool {
    head.chunks(SLOT_LEN).any(|slot| slot.starts_with(&MAGIC_SUPERBLOCK))
}

/// Every copy, and the newest sound one.
pub fn superblock(bytes: &[u8]) -> SuperblockReport {
    let copies = (0..COPIES).map(|number| {
        let slot = bytes.chunks(SLOT_LEN).nth(number).unwrap_or(&[]);
        Superblock::from_slot(slot)
    });
    let slots = copies.map(|copy| match copy {
        Ok(block) => SlotReport { sequence: Some(block.sequence), error: None },
        Err(error) => SlotReport { sequence: None, error: Some(error.to_string()) },
    });
    let newest = Superblock::from_file(bytes).ok().map(|(block, _)| fields(&block));
    SuperblockReport { slots: slots.collect(), newest }
}

fn fields(block: &Superblock) -> SuperblockFields {
    let domain = &block.failure_domain;
    SuperblockFields {
        pool: block.pool.to_string(),
        disk: block.disk.to_string(),
        sequence: block.sequence,
        generation: block.generation,
        epoch: block.epoch.0,
        k: block.k,
        m: block.m,
        created_at: block.created_at,
        members: block.members.iter().map(ToString::to_string).collect(),
        failure_domain: [domain.host.clone(), domain.enclosure.clone(), domain.site.clone(), domain.country.clone()],
        key_slots: block.key_slots.iter().map(|slot| (format!("{:?}", slot.kind), slot.confirmed)).collect(),
        features: [block.compatible, block.read_only_compatible, block.incompatible],
    }
}

/// Header and checksum; the keys stay sealed.
pub fn keyring(bytes: &[u8]) -> KeyringReport {
    match SealedKeyring::from_file(bytes) {
        Ok(ring) => KeyringReport {
            pool: Some(ring.pool.to_string()),
            sequence: Some(ring.sequence),
            sealed_len: Some(ring.sealed.len()),
            error: None,
        },
        Err(error) => KeyringReport { pool: None, sequence: None, sealed_len: None, error: Some(error.to_string()) },
    }
}
