//! Superblock: who a disk is. Several copies, the newest sound one by sequence wins (R15).
//!
//! A superblock file holds [`COPIES`] slots of [`SLOT_LEN`] bytes. An update writes slot `sequence % COPIES` and syncs,
//! then the others, so that a torn update leaves the one before it readable.

use crate::checksum::crc64;
use crate::codec::{Blob, Decode, Encode, Reader, Writer};
use crate::error::FormatError;
use crate::id::{DiskId, Epoch, PoolId};
use crate::layout;
use crate::version::{MAGIC_SUPERBLOCK, SUPERBLOCK_VERSION};

/// Slots in a superblock file.
pub const COPIES: usize = 4;
/// Bytes of one slot, CRC included.
pub const SLOT_LEN: usize = 16_384;
/// Most disks in a pool.
pub const DISKS_MAX: u32 = 128;
/// Most key slots.
pub const KEY_SLOTS_MAX: u32 = 8;

/// Incompatible features this release understands.
pub const INCOMPATIBLE_KNOWN: u64 = 0;
/// Read-only-compatible features this release understands.
pub const READ_ONLY_KNOWN: u64 = 0;

layout! {
    /// Where a disk stands: copies of data must not share what can fail together.
    pub struct FailureDomain {
        /// Machine.
        pub host: String,
        /// Enclosure or shelf.
        pub enclosure: String,
        /// Site or data centre.
        pub site: String,
        /// ISO 3166-1 alpha-2 country, empty when not stated.
        pub country: String,
    }
}

crate::code! {
    /// What opens a key slot.
    pub enum KeySlotKind: u8 {
        /// The printed code of the recovery kit.
        RecoveryCode = 1,
    }
}

layout! {
    /// The root key, sealed so that one holder can open it.
    pub struct KeySlot {
        /// What opens it.
        pub kind: KeySlotKind,
        /// Salt of the key derivation.
        pub salt: [u8; 16],
        /// Nonce and sealed root key.
        pub sealed_root: Blob,
        /// Whether its holder has shown that he can open it.
        pub confirmed: bool,
    }
}

/// One slot of a superblock file, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// The pool.
    pub pool: PoolId,
    /// This disk.
    pub disk: DiskId,
    /// Counts updates of this disk's superblock.
    pub sequence: u64,
    /// Counts changes of membership of the pool.
    pub generation: u64,
    /// Newest epoch that was opened for writing.
    pub epoch: Epoch,
    /// Features a reader may ignore.
    pub compatible: u64,
    /// Features that forbid writing when unknown.
    pub read_only_compatible: u64,
    /// Features that forbid opening when unknown.
    pub incompatible: u64,
    /// Data shards of new segments at full width.
    pub k: u8,
    /// Parity shards.
    pub m: u8,
    /// When the pool was made, wall clock.
    pub created_at: u64,
    /// All disks of this generation, this one included.
    pub members: Vec<DiskId>,
    /// Where this disk stands.
    pub failure_domain: FailureDomain,
    /// Ways to the root key.
    pub key_slots: Vec<KeySlot>,
    /// BLAKE3, keyed by the root key, over the pool id: tells a wrong key file from a damaged keyring.
    pub key_check: [u8; 32],
}

impl Superblock {
    /// One slot of [`SLOT_LEN`] bytes.
    ///
    /// # Panics
    /// When members and key slots exceed their limits, which `validate` of a new pool excludes.
    #[must_use]
    pub fn to_slot(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.raw(&MAGIC_SUPERBLOCK);
        out.u16(SUPERBLOCK_VERSION);
        out.zeros(6);
        self.pool.encode(&mut out);
        self.disk.encode(&mut out);
        out.u64(self.sequence);
        out.u64(self.generation);
        out.u64(self.epoch.0);
        out.u64(self.compatible);
        out.u64(self.read_only_compatible);
        out.u64(self.incompatible);
        out.u8(self.k);
        out.u8(self.m);
        out.zeros(6);
        out.u64(self.created_at);
        out.list(&self.members);
        self.failure_domain.encode(&mut out);
        out.list(&self.key_slots);
        out.raw(&self.key_check);
        let used = out.len();
        assert!(used <= SLOT_LEN - 8, "superblock of {used} bytes");
        out.zeros(SLOT_LEN - 8 - used);
        let crc = crc64(out.as_slice());
        out.u64(crc);
        out.into_vec()
    }

    /// Decodes and checks one slot.
    pub fn from_slot(slot: &[u8]) -> Result<Self, FormatError> {
        let mut input = Reader::new(slot);
        let covered = input.raw(SLOT_LEN - 8, "superblock")?;
        let stored = input.u64("superblock checksum")?;
        let mut input = Reader::new(covered);
        if input.array::<8>("superblock magic")? != MAGIC_SUPERBLOCK {
            return Err(FormatError::BadMagic { what: "superblock" });
        }
        if crc64(covered) != stored {
            return Err(FormatError::Checksum { what: "superblock" });
        }
        let version = input.u16("superblock version")?;
        if version != SUPERBLOCK_VERSION {
            return Err(FormatError::TooNew { what: "superblock", found: version, known: SUPERBLOCK_VERSION });
        }
        input.zeros(6, "superblock reserve")?;
        let mut block = Self {
            pool: PoolId::decode(&mut input)?,
            disk: DiskId::decode(&mut input)?,
            sequence: input.u64("sequence")?,
            generation: input.u64("generation")?,
            epoch: Epoch(input.u64("epoch")?),
            compatible: input.u64("compatible features")?,
            read_only_compatible: input.u64("read-only features")?,
            incompatible: input.u64("incompatible features")?,
            k: input.u8("k")?,
            m: input.u8("m")?,
            created_at: 0,
            members: Vec::new(),
            failure_domain: FailureDomain::default(),
            key_slots: Vec::new(),
            key_check: [0; 32],
        };
        input.zeros(6, "superblock reserve")?;
        block.created_at = input.u64("created at")?;
        block.members = input.list(DISKS_MAX, "members")?;
        block.failure_domain = FailureDomain::decode(&mut input)?;
        block.key_slots = input.list(KEY_SLOTS_MAX, "key slots")?;
        block.key_check = input.array("key check")?;
        let rest = input.remaining();
        input.zeros(rest, "superblock reserve")?;
        Ok(block)
    }

    /// The newest sound copy of a superblock file, and how many of its [`COPIES`] slots are sound.
    pub fn from_file(bytes: &[u8]) -> Result<(Self, usize), FormatError> {
        let mut best: Option<Self> = None;
        let mut sound = 0;
        let mut first_error = FormatError::Truncated { what: "superblock", missing: SLOT_LEN };
        for (index, slot) in bytes.chunks(SLOT_LEN).take(COPIES).enumerate() {
            match Self::from_slot(slot) {
                Ok(block) => {
                    sound += 1;
                    if best.as_ref().is_none_or(|best| block.sequence > best.sequence) {
                        best = Some(block);
                    }
                }
                Err(error) if index == 0 => first_error = error,
                Err(_) => {}
            }
        }
        best.map(|best| (best, sound)).ok_or(first_error)
    }
}

impl Default for FailureDomain {
    fn default() -> Self {
        Self { host: String::new(), enclosure: String::new(), site: String::new(), country: String::new() }
    }
}
