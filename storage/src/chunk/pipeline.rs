//! Sealing and opening under the keys of one domain: the only way content enters or leaves a stripe.
//!
//! ```text
//! seal: plaintext -> probe, zstd -> XAES-256-GCM -> envelope with CRC64
//! open: envelope -> tag -> zstd -> chunk id recomputed -> Verified
//! ```
//! [`Verified`] can be made here alone, after the tag and the id were checked (D-1); everything that answers a client
//! takes nothing else.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;
use kovcheg_format::FormatError;
use kovcheg_format::envelope::{self, Codec, EnvelopeHeader, HEADER_LEN, PLAIN_LEN_MAX, TAG_LEN};
use kovcheg_format::id::{ChunkId, DomainId, KeyId};
use kovcheg_format::record::bucket::ChunkProfile;
use zeroize::Zeroizing;

use crate::chunk::aead::{Aead, XaesKey, default_aead};
use crate::chunk::chunker::{Chunker, Gear, ProfileError};
use crate::chunk::compress::{Compressor, decompress};
use crate::chunk::digest::ChunkHasher;
use crate::chunk::random::random_bytes;
use crate::error::{StorageError, StorageResult};

/// What sealing in place made of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealed {
    /// Bytes of plaintext.
    pub plain_len: u32,
    /// Bytes of the envelope, from the start of the room.
    pub len: usize,
}

/// What an id was computed over: the two have names under different keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContentKind {
    /// A piece of an object.
    Chunk,
    /// A node of a manifest.
    Node,
}

impl ContentKind {
    fn noun(self) -> &'static str {
        match self {
            Self::Chunk => "chunk",
            Self::Node => "manifest node",
        }
    }
}

/// One sealed chunk or node, ready for a stripe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedChunk {
    /// Its name.
    pub id: ChunkId,
    /// Bytes of plaintext.
    pub plain_len: u32,
    /// The whole envelope: header, ciphertext, tag.
    pub bytes: Vec<u8>,
}

/// Plaintext whose tag and id were checked (D-1).
#[derive(Clone, PartialEq, Eq)]
pub struct Verified(Bytes);

impl Verified {
    /// The bytes, for handing on.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl Deref for Verified {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Verified({} bytes)", self.0.len())
    }
}

/// All keys of one domain, ready for use from any thread. Cheap to clone.
#[derive(Clone)]
pub struct DomainCipher {
    domain: DomainId,
    key: KeyId,
    hasher: ChunkHasher,
    gear: Gear,
    seal: XaesKey,
    aead: &'static dyn Aead,
}

impl DomainCipher {
    /// The cipher of a domain whose key `key` is `secret`. Each use gets a sub-key of its own.
    #[must_use]
    pub fn new(domain: DomainId, key: KeyId, secret: &[u8; 32]) -> Self {
        Self::with_aead(domain, key, secret, default_aead())
    }

    /// Like [`DomainCipher::new`] with a chosen implementation, for benches and comparisons.
    #[must_use]
    pub fn with_aead(domain: DomainId, key: KeyId, secret: &[u8; 32], aead: &'static dyn Aead) -> Self {
        let derive = |context| Zeroizing::new(blake3::derive_key(context, secret));
        Self {
            domain,
            key,
            hasher: ChunkHasher::new(&derive("kovcheg v1 domain content names")),
            gear: Gear::new(&derive("kovcheg v1 domain chunk boundaries")),
            seal: XaesKey::new(&derive("kovcheg v1 domain content seal")),
            aead,
        }
    }

    /// The domain.
    #[must_use]
    pub fn domain(&self) -> DomainId {
        self.domain
    }

    /// Which key of the domain this is.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        self.key
    }

    /// A chunker that cuts as this domain does.
    pub fn chunker(&self, profile: &ChunkProfile) -> Result<Chunker, ProfileError> {
        Chunker::with_gear(self.gear.clone(), profile)
    }

    /// Name of a chunk.
    #[must_use]
    pub fn chunk_id(&self, plain: &[u8]) -> ChunkId {
        self.hasher.id(plain)
    }

    /// Name of a manifest node.
    #[must_use]
    pub fn node_id(&self, plain: &[u8]) -> ChunkId {
        self.hasher.node_id(plain)
    }

    /// Name of content of either kind.
    #[must_use]
    pub fn content_id(&self, kind: ContentKind, plain: &[u8]) -> ChunkId {
        match kind {
            ContentKind::Chunk => self.chunk_id(plain),
            ContentKind::Node => self.node_id(plain),
        }
    }

    /// Compresses and seals `plain` under the name `id`, which the caller has computed from it.
    pub fn seal(&self, id: ChunkId, plain: &[u8], compressor: &mut Compressor) -> StorageResult<SealedChunk> {
        let mut bytes = vec![0; HEADER_LEN + plain.len() + TAG_LEN];
        bytes.get_mut(HEADER_LEN..HEADER_LEN + plain.len()).unwrap_or_default().copy_from_slice(plain);
        let sealed = self.seal_in_place(id, &mut bytes, compressor)?;
        bytes.truncate(sealed.len);
        Ok(SealedChunk { id, plain_len: sealed.plain_len, bytes })
    }

    /// Compresses and seals in place: `room` holds [`HEADER_LEN`] bytes of any content, the plaintext, and [`TAG_LEN`] bytes of any
    /// content; afterwards it begins with the envelope. After an error its content is unspecified.
    pub fn seal_in_place(&self, id: ChunkId, room: &mut [u8], compressor: &mut Compressor) -> StorageResult<Sealed> {
        let invalid = || StorageError::format("envelope", FormatError::Invalid { what: "plain length" });
        let (start, rest) = room.split_at_mut_checked(HEADER_LEN).ok_or_else(invalid)?;
        let end = rest.len().checked_sub(TAG_LEN).ok_or_else(invalid)?;
        let plain = rest.get_mut(..end).ok_or_else(invalid)?;
        let plain_len = checked_len(plain)?;
        let (codec, len) = match compressor.shrink(plain) {
            None => (Codec::Raw, plain.len()),
            Some(shrunk) => {
                plain.get_mut(..shrunk.len()).ok_or_else(invalid)?.copy_from_slice(shrunk);
                (Codec::Zstd, shrunk.len())
            }
        };
        let header =
            EnvelopeHeader { codec, domain: self.domain, key: self.key, plain_len, nonce: random_bytes(), base: None };
        start.copy_from_slice(&header.encode());
        let (body, behind) = rest.split_at_mut_checked(len).ok_or_else(invalid)?;
        let tag =
            self.aead.seal(&self.seal, &header.nonce, &header.associated_data(id), body).map_err(|_| invalid())?;
        behind.first_chunk_mut().map(|place| *place = tag).ok_or_else(invalid)?;
        let len = HEADER_LEN + len + TAG_LEN;
        envelope::finish(room.get_mut(..len).ok_or_else(invalid)?);
        Ok(Sealed { plain_len, len })
    }

    /// Opens an envelope read from anywhere and checks that it is the content named `id`.
    ///
    /// Errors: [`StorageError::Format`] when the bytes are no envelope of this release, [`StorageError::NotAuthentic`] when
    /// they are one but not of this domain and key, or not this content.
    pub fn open(&self, kind: ContentKind, id: ChunkId, envelope: &[u8]) -> StorageResult<Verified> {
        let refuse = |reason| StorageError::NotAuthentic { what: format!("{} {id}", kind.noun()), reason };
        let (header, sealed) = envelope::split(envelope).map_err(|source| StorageError::format("envelope", source))?;
        if header.domain != self.domain {
            return Err(refuse("it belongs to another domain"));
        }
        if header.key != self.key {
            return Err(refuse("it is sealed under another key of the domain"));
        }
        if header.base.is_some() {
            return Err(refuse("it builds on another chunk, which this release cannot do"));
        }
        let aad = header.associated_data(id);
        let mut body = sealed.to_vec();
        let opened = self.aead.open(&self.seal, &header.nonce, &aad, &mut body);
        let len = opened.map_err(|_| refuse("its tag does not match"))?.len();
        body.truncate(len);
        let plain = unpack(&header, body).ok_or_else(|| refuse("its plaintext does not decompress to its length"))?;
        if self.content_id(kind, &plain) != id {
            return Err(refuse("its content has another name"));
        }
        Ok(Verified(plain.into()))
    }
}

impl fmt::Debug for DomainCipher {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = out.debug_struct("DomainCipher");
        fields.field("domain", &self.domain).field("key", &self.key).finish_non_exhaustive()
    }
}

fn checked_len(plain: &[u8]) -> StorageResult<u32> {
    let found = plain.len() as u64;
    match u32::try_from(found) {
        Ok(len) if len <= PLAIN_LEN_MAX => Ok(len),
        _ => {
            let source = FormatError::OverLimit { what: "plain length", found, limit: PLAIN_LEN_MAX.into() };
            Err(StorageError::format("envelope", source))
        }
    }
}

fn unpack(header: &EnvelopeHeader, body: Vec<u8>) -> Option<Vec<u8>> {
    let plain_len = header.plain_len as usize;
    match header.codec {
        Codec::Raw => (body.len() == plain_len).then_some(body),
        Codec::Zstd => decompress(header.codec, &body, plain_len, PLAIN_LEN_MAX as usize).ok(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use std::collections::HashSet;

    use kovcheg_format::envelope::{crc_is_sound, split};
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::{ChunkId, Codec, Compressor, ContentKind, DomainCipher, DomainId, HEADER_LEN, KeyId, PLAIN_LEN_MAX};
    use crate::chunk::aead::{AwsLc, Portable};
    use crate::chunk::chunker::{Chunker, DEFAULT_PROFILE};
    use crate::error::StorageError;

    fn cipher() -> DomainCipher {
        DomainCipher::new(DomainId(1), KeyId(2), &[7; 32])
    }

    fn reason(answer: Result<super::Verified, StorageError>) -> &'static str {
        match answer {
            Err(StorageError::NotAuthentic { reason, .. }) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn names_and_cuts_of_a_domain_are_frozen() {
        // Goal: no release renames or recuts stored content. Method: golden values of one secret.
        let cipher = cipher();
        assert_eq!(
            cipher.chunk_id(b"content").to_string(),
            "7ddec8d90c39a0cef2cacc74bb3208af8c2b5787717963261fa2d9cbcbb10160"
        );
        assert_eq!(
            cipher.node_id(b"content").to_string(),
            "b238ed1d4595aed1ab586bed8aee12661387dc4ab59abd50144df2eddf1735bd"
        );
        let mut data = vec![0; 1 << 20];
        blake3::Hasher::new().finalize_xof().fill(&mut data);
        let chunker: Chunker = cipher.chunker(&DEFAULT_PROFILE).unwrap();
        assert_eq!(chunker.cut(&data, true), Some(33_339));
    }

    #[test]
    fn an_envelope_of_every_release_opens() {
        // Goal: what was sealed once opens for ever. Method: an envelope kept as hex.
        let cipher = cipher();
        let plain = "kovcheg ".repeat(40).into_bytes();
        let kept = hex::decode(concat!(
            "4b56453101000000010000000200000040010000fbc389dc7acb32439676a02472948f791bc92b34414f9e5300000000",
            "8298db2cd4048cb6fd474e369dd0c581331e651f7ad5c25715827c34628c572c546fbb44a7b137b86f254c38af9bfe61",
            "37",
        ))
        .unwrap();
        assert_eq!(*cipher.open(ContentKind::Chunk, cipher.chunk_id(&plain), &kept).unwrap(), plain[..]);
    }

    #[test]
    fn what_is_not_this_content_is_refused() {
        // Goal: D-1, each check by itself. Method: another id, kind, domain, key, secret, and each byte changed.
        let (cipher, mut compressor) = (cipher(), Compressor::new(3));
        let plain = b"some plaintext of a chunk".repeat(9);
        let id = cipher.chunk_id(&plain);
        let sealed = cipher.seal(id, &plain, &mut compressor).unwrap();
        assert!(crc_is_sound(&sealed.bytes));
        assert_eq!(*cipher.open(ContentKind::Chunk, id, &sealed.bytes).unwrap(), plain[..]);

        assert_eq!(reason(cipher.open(ContentKind::Node, id, &sealed.bytes)), "its content has another name");
        assert_eq!(reason(cipher.open(ContentKind::Chunk, ChunkId([1; 32]), &sealed.bytes)), "its tag does not match");
        let other = |domain, key, secret: u8| DomainCipher::new(DomainId(domain), KeyId(key), &[secret; 32]);
        let open = |cipher: DomainCipher| reason(cipher.open(ContentKind::Chunk, id, &sealed.bytes));
        assert_eq!(open(other(9, 2, 7)), "it belongs to another domain");
        assert_eq!(open(other(1, 9, 7)), "it is sealed under another key of the domain");
        assert_eq!(open(other(1, 2, 9)), "its tag does not match");

        let crc = HEADER_LEN - 8..HEADER_LEN;
        for at in (0..sealed.bytes.len()).filter(|at| !crc.contains(at)) {
            let mut changed = sealed.bytes.clone();
            changed[at] ^= 0x10;
            assert!(cipher.open(ContentKind::Chunk, id, &changed).is_err(), "byte {at}");
        }
        for len in 0..sealed.bytes.len() {
            assert!(cipher.open(ContentKind::Chunk, id, &sealed.bytes[..len]).is_err(), "cut to {len}");
        }
    }

    #[test]
    fn content_under_a_wrong_name_does_not_open() {
        // Goal: the id is recomputed, not believed. Method: seal under a name that is not the content's; the tag holds.
        let (cipher, mut compressor) = (cipher(), Compressor::new(3));
        let id = cipher.chunk_id(b"what it should be");
        let sealed = cipher.seal(id, b"what it is", &mut compressor).unwrap();
        assert_eq!(reason(cipher.open(ContentKind::Chunk, id, &sealed.bytes)), "its content has another name");
    }

    #[test]
    fn over_long_plaintext_is_refused() {
        // Goal: nothing is sealed that a reader would refuse. Method: one byte above the limit.
        let plain = vec![0; PLAIN_LEN_MAX as usize + 1];
        let answer = cipher().seal(ChunkId::ZERO, &plain, &mut Compressor::new(1));
        assert!(matches!(answer, Err(StorageError::Format { .. })), "{answer:?}");
        let longest = &plain[1..];
        let id = cipher().chunk_id(longest);
        let sealed = cipher().seal(id, longest, &mut Compressor::new(1)).unwrap();
        assert_eq!(*cipher().open(ContentKind::Chunk, id, &sealed.bytes).unwrap(), *longest);
    }

    #[test]
    fn nonces_are_fresh_and_nothing_is_printed() {
        // Goal: K-1. Method: a thousand seals of the same content, over threads; debug forms hold no key and no content.
        let nonces = |count| {
            let (cipher, mut compressor) = (cipher(), Compressor::new(1));
            (0..count)
                .map(|_| split(&cipher.seal(ChunkId::ZERO, b"x", &mut compressor).unwrap().bytes).unwrap().0.nonce)
                .collect::<Vec<_>>()
        };
        let there = std::thread::spawn(move || nonces(500));
        let mut all = nonces(500);
        all.extend(there.join().unwrap());
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), 1000);
        assert_eq!(format!("{:?}", cipher()), "DomainCipher { domain: DomainId(1), key: KeyId(2), .. }");
        let sealed = cipher().seal(cipher().chunk_id(b"secret"), b"secret", &mut Compressor::new(1)).unwrap();
        let opened = cipher().open(ContentKind::Chunk, sealed.id, &sealed.bytes).unwrap();
        assert_eq!(format!("{opened:?}"), "Verified(6 bytes)");
    }

    proptest! {
        /// Content of any kind and compressibility comes back, whichever implementation sealed it.
        #[test]
        fn what_is_sealed_opens(plain in prop::collection::vec(any::<u8>(), 0..30_000), fold in 1_u8..=255, node: bool) {
            let plain: Vec<u8> = plain.into_iter().map(|byte| byte % fold).collect();
            let kind = if node { ContentKind::Node } else { ContentKind::Chunk };
            let one = DomainCipher::with_aead(DomainId(3), KeyId(4), &[5; 32], &AwsLc);
            let other = DomainCipher::with_aead(DomainId(3), KeyId(4), &[5; 32], &Portable);
            let id = one.content_id(kind, &plain);
            for (sealer, opener) in [(&one, &other), (&other, &one)] {
                let sealed = sealer.seal(id, &plain, &mut Compressor::new(3)).unwrap();
                prop_assert_eq!(sealed.plain_len as usize, plain.len());
                let (header, body) = split(&sealed.bytes).unwrap();
                prop_assert!(header.codec == Codec::Zstd || body.len() == plain.len() + 16);
                prop_assert_eq!(&*opener.open(kind, id, &sealed.bytes).unwrap(), &plain[..]);
                prop_assert!(crc_is_sound(&sealed.bytes));
            }
        }
    }
}
