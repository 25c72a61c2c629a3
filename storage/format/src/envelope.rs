//! Sealed envelope: one compressed and encrypted chunk or manifest node, as it lies in a stripe.
//!
//! ```text
//! offset len  field
//!      0   4  magic "KVE1"
//!      4   1  codec (0 raw, 1 zstd)
//!      5   1  flags (bit 0: a base chunk id follows the header; R22)
//!      6   2  reserved, zero
//!      8   4  domain
//!     12   4  key id
//!     16   4  plain length
//!     20  24  nonce
//!     44   4  reserved, zero
//!     48   8  CRC64-NVME over the whole envelope with this field zero
//!     56  32  base chunk id, when flag bit 0 is set
//!      …   n  ciphertext
//!      …  16  AEAD tag
//! ```

use crate::checksum::crc64_of;
use crate::codec::{Reader, Writer};
use crate::error::FormatError;
use crate::id::{ChunkId, DomainId, KeyId};
use crate::version::MAGIC_ENVELOPE;

/// Bytes of the header without a base chunk id.
pub const HEADER_LEN: usize = 56;
/// Bytes of the AEAD tag.
pub const TAG_LEN: usize = 16;
/// Bytes of the nonce (XAES-256-GCM).
pub const NONCE_LEN: usize = 24;
/// Longest plaintext of one envelope: 16 MiB, far above the largest chunk and node.
pub const PLAIN_LEN_MAX: u32 = 16 << 20;
/// Bytes of the associated data.
pub const AAD_LEN: usize = 4 + 32 + 1 + 4 + 32;

const CRC_AT: usize = 48;
const FLAG_BASE: u8 = 1;

crate::code! {
    /// How the plaintext was compressed.
    pub enum Codec: u8 {
        /// Stored as it is.
        Raw = 0,
        /// One zstd frame.
        Zstd = 1,
    }
}

/// The header of an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnvelopeHeader {
    /// How the plaintext was compressed.
    pub codec: Codec,
    /// Domain whose key seals it.
    pub domain: DomainId,
    /// The key within the domain.
    pub key: KeyId,
    /// Bytes of plaintext before compression.
    pub plain_len: u32,
    /// Fresh random nonce.
    pub nonce: [u8; NONCE_LEN],
    /// Chunk whose plaintext is the zstd prefix, if any (R22).
    pub base: Option<ChunkId>,
}

impl EnvelopeHeader {
    /// Bytes of this header.
    #[must_use]
    pub fn len(&self) -> usize {
        HEADER_LEN + if self.base.is_some() { 32 } else { 0 }
    }

    /// Never true; here because clippy asks for it beside `len`.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The header's bytes with a zero CRC; ciphertext and tag follow, then [`finish`] sets the CRC.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.raw(&MAGIC_ENVELOPE);
        out.u8(self.codec.code());
        out.u8(if self.base.is_some() { FLAG_BASE } else { 0 });
        out.zeros(2);
        out.u32(self.domain.0);
        out.u32(self.key.0);
        out.u32(self.plain_len);
        out.raw(&self.nonce);
        out.zeros(4 + 8);
        if let Some(base) = self.base {
            out.raw(&base.0);
        }
        out.into_vec()
    }

    /// Associated data: domain, chunk id, codec, plain length, base (zero if none). Never a location (R9).
    #[must_use]
    pub fn associated_data(&self, id: ChunkId) -> [u8; AAD_LEN] {
        let mut out = Writer::new();
        out.u32(self.domain.0);
        out.raw(&id.0);
        out.u8(self.codec.code());
        out.u32(self.plain_len);
        out.raw(&self.base.unwrap_or(ChunkId::ZERO).0);
        let mut aad = [0; AAD_LEN];
        aad.copy_from_slice(out.as_slice());
        aad
    }
}

/// Sets the CRC of a complete envelope, whatever stood in its place.
///
/// # Panics
/// When `envelope` is shorter than a header: a bug of the caller.
pub fn finish(envelope: &mut [u8]) {
    let crc = computed_crc(envelope);
    let place = envelope.get_mut(CRC_AT..HEADER_LEN);
    assert!(place.is_some() && crc.is_some(), "an envelope shorter than its header");
    if let (Some(place), Some(crc)) = (place, crc) {
        place.copy_from_slice(&crc.to_le_bytes());
    }
}

/// Whether the CRC of an envelope holds. Needs no key; says nothing about authenticity.
#[must_use]
pub fn crc_is_sound(envelope: &[u8]) -> bool {
    match (envelope.get(CRC_AT..HEADER_LEN), computed_crc(envelope)) {
        (Some(stored), Some(computed)) => stored == computed.to_le_bytes(),
        _ => false,
    }
}

/// CRC over the whole envelope with the CRC's own place taken as zero.
fn computed_crc(envelope: &[u8]) -> Option<u64> {
    let (before, after) = (envelope.get(..CRC_AT)?, envelope.get(HEADER_LEN..)?);
    Some(crc64_of(&[before, &[0; HEADER_LEN - CRC_AT], after]))
}

/// Splits an envelope into header and ciphertext with tag. The CRC is left to [`crc_is_sound`]: opening checks the tag.
pub fn split(envelope: &[u8]) -> Result<(EnvelopeHeader, &[u8]), FormatError> {
    let mut input = Reader::new(envelope);
    if input.array::<4>("envelope magic")? != MAGIC_ENVELOPE {
        return Err(FormatError::BadMagic { what: "envelope" });
    }
    let codec = crate::codec::Decode::decode(&mut input)?;
    let flags = input.u8("envelope flags")?;
    if flags & !FLAG_BASE != 0 {
        return Err(FormatError::Invalid { what: "envelope flags" });
    }
    input.zeros(2, "envelope reserve")?;
    let domain = DomainId(input.u32("domain")?);
    let key = KeyId(input.u32("key id")?);
    let plain_len = input.u32("plain length")?;
    if plain_len > PLAIN_LEN_MAX {
        return Err(FormatError::OverLimit {
            what: "plain length",
            found: plain_len.into(),
            limit: PLAIN_LEN_MAX.into(),
        });
    }
    let nonce = input.array("nonce")?;
    input.zeros(4, "envelope reserve")?;
    input.u64("envelope checksum")?;
    let base = if flags & FLAG_BASE == 0 { None } else { Some(ChunkId(input.array("base chunk")?)) };
    let body = input.raw(input.remaining(), "ciphertext")?;
    if body.len() < TAG_LEN {
        return Err(FormatError::Truncated { what: "ciphertext", missing: TAG_LEN - body.len() });
    }
    if codec == Codec::Raw && body.len() - TAG_LEN != plain_len as usize {
        return Err(FormatError::Invalid { what: "ciphertext length" });
    }
    Ok((EnvelopeHeader { codec, domain, key, plain_len, nonce, base }, body))
}
