//! Keyring: the wrapped keys of a pool, beside each superblock and nowhere else (R10).
//!
//! ```text
//! magic "KVKEYRNG", u16 version, 6 reserved, pool id, u64 sequence, 24 nonce, u32 length, sealed list of keys, CRC64
//! ```
//! The list is sealed as one under a key derived from the root key; associated data are pool id and sequence.

use std::fmt;

use crate::checksum::crc64;
use crate::codec::{Encode, Reader, Writer};
use crate::error::FormatError;
use crate::id::{DomainId, KeyId, PoolId};
use crate::layout_codec;
use crate::version::{KEYRING_VERSION, MAGIC_KEYRING, check_version};

/// Longest sealed list.
pub const SEALED_LEN_MAX: u32 = 16 << 20;

crate::code! {
    /// What a key is for.
    pub enum KeyPurpose: u8 {
        /// Records of the journal, rows of checkpoints.
        Metadata = 1,
        /// Content of one domain: ids, chunk boundaries, sealing.
        Domain = 2,
    }
}

/// One key, as it stands inside the sealed list. Debug output leaves the secret out (K-1).
#[derive(Clone, PartialEq, Eq)]
pub struct KeyEntry {
    /// Its name.
    pub id: KeyId,
    /// What it is for.
    pub purpose: KeyPurpose,
    /// The domain it belongs to; 0 for the metadata key.
    pub domain: DomainId,
    /// When it was made, wall clock.
    pub created_at: u64,
    /// The key. Never leaves the sealed list but into memory that is wiped.
    pub secret: [u8; 32],
}

layout_codec!(KeyEntry { id: KeyId, purpose: KeyPurpose, domain: DomainId, created_at: u64, secret: [u8; 32] });

impl fmt::Debug for KeyEntry {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("KeyEntry")
            .field("id", &self.id)
            .field("purpose", &self.purpose)
            .field("domain", &self.domain)
            .field("created_at", &self.created_at)
            .finish_non_exhaustive()
    }
}

/// A keyring file as it lies on disk, its list still sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedKeyring {
    /// The pool.
    pub pool: PoolId,
    /// Counts rewrites; the highest on any disk is the newest.
    pub sequence: u64,
    /// Nonce of the seal.
    pub nonce: [u8; 24],
    /// Sealed, encoded `Vec<KeyEntry>`.
    pub sealed: Vec<u8>,
}

impl SealedKeyring {
    /// Associated data of the seal.
    #[must_use]
    pub fn associated_data(pool: PoolId, sequence: u64) -> Vec<u8> {
        let mut out = Writer::new();
        out.raw(&pool.0);
        out.u64(sequence);
        out.into_vec()
    }

    /// The bytes of the file.
    ///
    /// # Panics
    /// When the sealed list is longer than [`SEALED_LEN_MAX`]: 200,000 keys.
    #[must_use]
    pub fn to_file(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.raw(&MAGIC_KEYRING);
        out.u16(KEYRING_VERSION);
        out.zeros(6);
        self.pool.encode(&mut out);
        out.u64(self.sequence);
        out.raw(&self.nonce);
        out.var_within(SEALED_LEN_MAX, &self.sealed, "sealed keys");
        let crc = crc64(out.as_slice());
        out.u64(crc);
        out.into_vec()
    }

    /// Decodes and checks a file; bytes after its end (padding to blocks) must be zero.
    pub fn from_file(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut input = Reader::new(bytes);
        if input.array::<8>("keyring magic")? != MAGIC_KEYRING {
            return Err(FormatError::BadMagic { what: "keyring" });
        }
        // The place of length and checksum is the same in all versions: a rotten version is damage, not a newer release.
        let version = input.u16("keyring version")?;
        let mut reserve = Reader::new(input.raw(6, "keyring reserve")?);
        let pool = PoolId(input.array("keyring pool")?);
        let sequence = input.u64("keyring sequence")?;
        let nonce = input.array("keyring nonce")?;
        let sealed = input.var(SEALED_LEN_MAX, "sealed keys")?;
        let used = bytes.len() - input.remaining();
        let stored = input.u64("keyring checksum")?;
        let sound = bytes.get(..used).is_some_and(|covered| crc64(covered) == stored);
        if !sound {
            return Err(FormatError::Checksum { what: "keyring" });
        }
        check_version("keyring", version, KEYRING_VERSION)?;
        reserve.zeros(6, "keyring reserve")?;
        let rest = input.remaining();
        input.zeros(rest, "keyring padding")?;
        Ok(Self { pool, sequence, nonce, sealed: sealed.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::{KeyEntry, KeyPurpose};
    use crate::id::{DomainId, KeyId};

    /// K-1: no key byte in a log line or error message.
    #[test]
    fn debug_output_has_no_secret() {
        let entry = KeyEntry {
            id: KeyId(1),
            purpose: KeyPurpose::Domain,
            domain: DomainId(2),
            created_at: 3,
            secret: [0xab; 32],
        };
        let text = format!("{entry:?}");
        assert!(text.contains("Domain") && !text.contains("171") && !text.contains("abab"), "{text}");
    }
}
