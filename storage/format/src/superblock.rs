//! Superblock: who a disk is. Several copies, the newest sound one by sequence wins (R15).
//!
//! A superblock file holds [`COPIES`] slots of [`SLOT_LEN`] bytes. An update writes slot `sequence % COPIES` and syncs,
//! then the others, so that a torn update leaves the one before it readable.

use crate::checksum::crc64;
use crate::codec::{Blob, Decode, Encode, Reader, Writer};
use crate::error::FormatError;
use crate::id::{DiskId, Epoch, PoolId};
use crate::layout;
use crate::shard::check_width;
use crate::version::{MAGIC_SUPERBLOCK, SUPERBLOCK_VERSION, check_version};

/// Slots in a superblock file.
pub const COPIES: usize = 4;
/// Bytes of one slot, CRC included.
pub const SLOT_LEN: usize = 16_384;
/// Most disks in a pool.
pub const DISKS_MAX: u32 = 128;
/// Most key slots.
pub const KEY_SLOTS_MAX: u32 = 8;
/// Longest part of a failure domain, in bytes.
pub const NAME_LEN_MAX: usize = 255;
/// Longest sealed root key: nonce, key, tag and room for providers to come.
pub const SEALED_ROOT_LEN_MAX: usize = 512;

/// Incompatible features this release understands.
pub const INCOMPATIBLE_KNOWN: u64 = 0;
/// Read-only-compatible features this release understands.
pub const READ_ONLY_KNOWN: u64 = 0;

layout! {
    #[derive(Default)]
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
    check check_failure_domain
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
    check check_key_slot
}

fn check_failure_domain(domain: &FailureDomain) -> Result<(), FormatError> {
    let longest = [&domain.host, &domain.enclosure, &domain.site, &domain.country].into_iter().map(String::len).max();
    at_most("failure domain", longest.unwrap_or(0), NAME_LEN_MAX)
}

fn check_key_slot(slot: &KeySlot) -> Result<(), FormatError> {
    at_most("sealed root key", slot.sealed_root.0.len(), SEALED_ROOT_LEN_MAX)
}

fn at_most(what: &'static str, found: usize, limit: usize) -> Result<(), FormatError> {
    if found > limit {
        return Err(FormatError::OverLimit { what, found: found as u64, limit: limit as u64 });
    }
    Ok(())
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
    /// Whether every limit holds; what passes fits into a slot. Ask before making a pool or adding a disk.
    pub fn check(&self) -> Result<(), FormatError> {
        let mut out = Writer::new();
        self.encode_fields(&mut out);
        out.into_checked().map(drop)
    }

    /// One slot of [`SLOT_LEN`] bytes.
    ///
    /// # Panics
    /// When [`Superblock::check`] refuses.
    #[must_use]
    pub fn to_slot(&self) -> Vec<u8> {
        let mut out = Writer::new();
        self.encode_fields(&mut out);
        let used = out.len();
        assert!(used <= SLOT_LEN - 8, "superblock of {used} bytes");
        out.zeros(SLOT_LEN - 8 - used);
        let crc = crc64(out.as_slice());
        out.u64(crc);
        out.into_vec()
    }

    fn encode_fields(&self, out: &mut Writer) {
        out.check(self.check_shape());
        out.raw(&MAGIC_SUPERBLOCK);
        out.u16(SUPERBLOCK_VERSION);
        out.zeros(6);
        self.pool.encode(out);
        self.disk.encode(out);
        out.u64(self.sequence);
        out.u64(self.generation);
        self.epoch.encode(out);
        out.u64(self.compatible);
        out.u64(self.read_only_compatible);
        out.u64(self.incompatible);
        out.u8(self.k);
        out.u8(self.m);
        out.zeros(6);
        out.u64(self.created_at);
        out.list_within(DISKS_MAX, &self.members, "members");
        self.failure_domain.encode(out);
        out.list_within(KEY_SLOTS_MAX, &self.key_slots, "key slots");
        out.raw(&self.key_check);
    }

    /// Refuses widths that no code has and a disk named twice (R15).
    fn check_shape(&self) -> Result<(), FormatError> {
        check_width(self.k, self.m)?;
        let mut members = self.members.clone();
        members.sort_unstable();
        members.dedup();
        if members.len() != self.members.len() {
            return Err(FormatError::Invalid { what: "superblock members" });
        }
        Ok(())
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
        check_version("superblock", input.u16("superblock version")?, SUPERBLOCK_VERSION)?;
        input.zeros(6, "superblock reserve")?;
        let pool = PoolId::decode(&mut input)?;
        let disk = DiskId::decode(&mut input)?;
        let sequence = input.u64("sequence")?;
        let generation = input.u64("generation")?;
        let epoch = Epoch::decode(&mut input)?;
        let compatible = input.u64("compatible features")?;
        let read_only_compatible = input.u64("read-only features")?;
        let incompatible = input.u64("incompatible features")?;
        let (k, m) = (input.u8("k")?, input.u8("m")?);
        input.zeros(6, "superblock reserve")?;
        let block = Self {
            pool,
            disk,
            sequence,
            generation,
            epoch,
            compatible,
            read_only_compatible,
            incompatible,
            k,
            m,
            created_at: input.u64("created at")?,
            members: input.list(DISKS_MAX, "members")?,
            failure_domain: FailureDomain::decode(&mut input)?,
            key_slots: input.list(KEY_SLOTS_MAX, "key slots")?,
            key_check: input.array("key check")?,
        };
        let rest = input.remaining();
        input.zeros(rest, "superblock reserve")?;
        block.check_shape()?;
        Ok(block)
    }

    /// The newest sound copy of a superblock file, and how many of its [`COPIES`] slots are sound.
    ///
    /// A sound slot of a newer release refuses the file, though older slots may be readable (an upgrade was torn); so do
    /// sound slots that name different disks.
    pub fn from_file(bytes: &[u8]) -> Result<(Self, usize), FormatError> {
        let mut best: Option<Self> = None;
        let mut sound = 0;
        let mut first_error = FormatError::Truncated { what: "superblock", missing: SLOT_LEN };
        for (index, slot) in bytes.chunks(SLOT_LEN).take(COPIES).enumerate() {
            match Self::from_slot(slot) {
                Ok(block) => {
                    sound += 1;
                    if best.as_ref().is_some_and(|best| (best.pool, best.disk) != (block.pool, block.disk)) {
                        return Err(FormatError::Invalid { what: "superblock copies of different disks" });
                    }
                    if best.as_ref().is_none_or(|best| block.sequence > best.sequence) {
                        best = Some(block);
                    }
                }
                Err(error @ FormatError::TooNew { .. }) => return Err(error),
                Err(error) if index == 0 => first_error = error,
                Err(_) => {}
            }
        }
        best.map(|best| (best, sound)).ok_or(first_error)
    }
}
