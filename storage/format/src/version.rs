//! Magic numbers and the newest version of every structure this release writes.

use crate::error::FormatError;

/// First eight bytes of every copy of a superblock.
pub const MAGIC_SUPERBLOCK: [u8; 8] = *b"KOVCHEG\0";
/// First eight bytes of every shard of a stripe.
pub const MAGIC_SHARD: [u8; 8] = *b"KVSHARD\0";
/// First eight bytes of a keyring file.
pub const MAGIC_KEYRING: [u8; 8] = *b"KVKEYRNG";
/// First four bytes of a sealed envelope.
pub const MAGIC_ENVELOPE: [u8; 4] = *b"KVE1";

/// Newest superblock layout.
pub const SUPERBLOCK_VERSION: u16 = 1;
/// Newest shard header layout.
pub const SHARD_VERSION: u16 = 1;
/// Newest keyring layout.
pub const KEYRING_VERSION: u16 = 1;
/// Newest layout of manifest nodes.
pub const NODE_VERSION: u16 = 1;

/// Refuses a version that this release cannot read: 0, which nobody writes, and all above `newest`.
pub fn check_version(what: &'static str, found: u16, newest: u16) -> Result<(), FormatError> {
    if found == 0 {
        return Err(FormatError::Invalid { what });
    }
    if found > newest {
        return Err(FormatError::TooNew { what, found, known: newest });
    }
    Ok(())
}
