//! The keyring: every key of a pool but the root key, sealed as one under it (R10).

use std::fmt;

use kovcheg_format::codec::{Decode, Encode};
use kovcheg_format::envelope::NONCE_LEN;
use kovcheg_format::id::{DomainId, KeyId, PoolId};
use kovcheg_format::keyring::{KeyEntry, KeyPurpose, SealedKeyring};
use kovcheg_format::units::TimestampMs;
use kovcheg_format::{FormatError, Reader};
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

use crate::chunk::pipeline::DomainCipher;
use crate::chunk::random::random_secret;
use crate::error::{StorageError, StorageResult};
use crate::keys::hierarchy::RootKey;
use crate::keys::sealer::Sealer;

/// The metadata key of a new pool.
const FIRST_METADATA_KEY: KeyId = KeyId(1);
/// The key of a new pool's first domain.
const FIRST_DOMAIN_KEY: KeyId = KeyId(2);
/// A new pool's first domain.
const FIRST_DOMAIN: DomainId = DomainId(1);
/// Most keys in a ring: far above tenants, far below what a hostile count could make us allocate.
const KEYS_MAX: usize = 1 << 17;

/// Why a keyring does not open.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyringError {
    /// The seal does not match.
    #[error("the keyring does not open under this root key; check that the key file belongs to this vault")]
    WrongKey,
    /// The seal matches and the content makes no sense.
    #[error("the keyring holds no sound list of keys; use the copy of another disk")]
    Decode(#[source] FormatError),
}

impl From<KeyringError> for StorageError {
    fn from(error: KeyringError) -> Self {
        match error {
            KeyringError::WrongKey => Self::Operator(error.to_string()),
            KeyringError::Decode(source) => Self::format("keyring", source),
        }
    }
}

struct HeldKey {
    id: KeyId,
    purpose: KeyPurpose,
    domain: DomainId,
    created_at: TimestampMs,
    secret: Zeroizing<[u8; 32]>,
}

impl HeldKey {
    fn generate(id: KeyId, purpose: KeyPurpose, domain: DomainId, created_at: TimestampMs) -> Self {
        Self { id, purpose, domain, created_at, secret: random_secret() }
    }

    fn encode_into(&self, out: &mut Vec<u8>) {
        let Self { id, purpose, domain, created_at, secret } = self;
        let mut entry =
            KeyEntry { id: *id, purpose: *purpose, domain: *domain, created_at: *created_at, secret: **secret };
        out.extend_from_slice(&Zeroizing::new(entry.to_bytes()));
        entry.secret.zeroize();
    }
}

impl From<KeyEntry> for HeldKey {
    fn from(mut entry: KeyEntry) -> Self {
        let secret = Zeroizing::new(entry.secret);
        entry.secret.zeroize();
        let KeyEntry { id, purpose, domain, created_at, .. } = entry;
        Self { id, purpose, domain, created_at, secret }
    }
}

/// The opened keyring. Secrets are wiped when it is dropped.
pub struct Keyring {
    /// Counts rewrites; raise it before sealing a changed ring.
    pub sequence: u64,
    entries: Vec<HeldKey>,
    metadata: MetadataCipher,
    audit_seed: Zeroizing<[u8; 32]>,
    index_key: Zeroizing<[u8; 32]>,
}

impl Keyring {
    /// The keys of a new pool: a metadata key and the key of domain 1, both random.
    ///
    /// # Panics
    /// When the kernel has no randomness.
    #[must_use]
    pub fn new_pool(now: TimestampMs) -> Self {
        let metadata = HeldKey::generate(FIRST_METADATA_KEY, KeyPurpose::Metadata, DomainId(0), now);
        let domain = HeldKey::generate(FIRST_DOMAIN_KEY, KeyPurpose::Domain, FIRST_DOMAIN, now);
        Self::of(1, &metadata.secret.clone(), vec![metadata, domain])
    }

    /// Opens the ring of a pool.
    pub fn open(sealed: &SealedKeyring, root: &RootKey) -> Result<Self, KeyringError> {
        let SealedKeyring { pool, sequence, nonce, sealed } = sealed;
        let aad = SealedKeyring::associated_data(*pool, *sequence);
        let list = sealer(root, *pool).open(&aad, &[nonce, sealed.as_slice()].concat());
        let entries = decode(&list.map_err(|_| KeyringError::WrongKey)?).map_err(KeyringError::Decode)?;
        let newest = entries.iter().filter(|entry| entry.purpose == KeyPurpose::Metadata).max_by_key(|entry| entry.id);
        let missing = KeyringError::Decode(FormatError::Invalid { what: "metadata key" });
        let secret = newest.ok_or(missing)?.secret.clone();
        Ok(Self::of(*sequence, &secret, entries))
    }

    fn of(sequence: u64, metadata: &[u8; 32], entries: Vec<HeldKey>) -> Self {
        let derived = |context| Zeroizing::new(blake3::derive_key(context, metadata));
        Self {
            sequence,
            entries,
            metadata: MetadataCipher::new(metadata),
            audit_seed: derived("kovcheg v1 audit signing"),
            index_key: derived("kovcheg v1 index seal"),
        }
    }

    /// Seals the ring for the disks of `pool`, under a fresh nonce.
    ///
    /// # Panics
    /// When the kernel has no randomness.
    #[must_use]
    pub fn seal(&self, pool: PoolId, root: &RootKey) -> SealedKeyring {
        let aad = SealedKeyring::associated_data(pool, self.sequence);
        let sealed = sealer(root, pool).seal(&aad, &encode(&self.entries));
        let (mut nonce, mut rest) = ([0; NONCE_LEN], Vec::new());
        if let Some((head, tail)) = sealed.split_first_chunk::<NONCE_LEN>() {
            nonce = *head;
            rest = tail.to_vec();
        }
        SealedKeyring { pool, sequence: self.sequence, nonce, sealed: rest }
    }

    /// What seals records and checkpoints.
    #[must_use]
    pub fn metadata(&self) -> MetadataCipher {
        self.metadata.clone()
    }

    /// What the key that signs audit checkpoints is made from: it follows from the newest metadata key.
    #[must_use]
    pub fn audit_seed(&self) -> &[u8; 32] {
        &self.audit_seed
    }

    /// What the count of facts in the index is sealed with: it follows from the newest metadata key.
    #[must_use]
    pub fn index_key(&self) -> &[u8; 32] {
        &self.index_key
    }

    /// What seals content of a domain now: its newest key. `None` when the ring has none, or it was shredded.
    #[must_use]
    pub fn domain(&self, domain: DomainId) -> Option<DomainCipher> {
        let of_domain = |entry: &&HeldKey| entry.purpose == KeyPurpose::Domain && entry.domain == domain;
        let newest = self.entries.iter().filter(of_domain).max_by_key(|entry| entry.id)?;
        Some(DomainCipher::new(domain, newest.id, &newest.secret))
    }

    /// Adds a random key for a domain of its own, whose id is answered; `None` when ids are used up. The ring's sequence becomes the
    /// next one above `at_least`: a ring that reached one disk only must never meet another one of its sequence.
    ///
    /// # Panics
    /// When the kernel has no randomness.
    pub fn add_domain(&mut self, at_least: u64, now: TimestampMs) -> Option<DomainId> {
        let domain = DomainId(self.entries.iter().map(|entry| entry.domain.0).max()?.checked_add(1)?);
        let key = KeyId(self.entries.iter().map(|entry| entry.id.0).max()?.checked_add(1)?);
        self.entries.push(HeldKey::generate(key, KeyPurpose::Domain, domain, now));
        self.sequence = self.sequence.max(at_least) + 1;
        Some(domain)
    }

    /// Its sequence: of two rings of a pool the higher one counts.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The domains that have a key.
    pub fn domains(&self) -> impl Iterator<Item = DomainId> {
        self.entries.iter().filter(|entry| entry.purpose == KeyPurpose::Domain).map(|entry| entry.domain)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.entries.iter().map(|entry| (entry.id, entry.purpose, entry.domain)).collect();
        out.debug_struct("Keyring").field("sequence", &self.sequence).field("keys", &keys).finish_non_exhaustive()
    }
}

/// Seals and opens what is not content: records of the journal, rows of checkpoints. Cheap to clone.
#[derive(Debug, Clone)]
pub struct MetadataCipher(Sealer);

impl MetadataCipher {
    fn new(secret: &[u8; 32]) -> Self {
        Self(Sealer::derive("kovcheg v1 metadata seal", secret))
    }

    /// Nonce, ciphertext and tag of `plain`, bound to `aad`, under a fresh random nonce (K-1).
    ///
    /// # Panics
    /// When the kernel has no randomness, or `plain` has 64 GiB.
    #[must_use]
    pub fn seal(&self, aad: &[u8], plain: &[u8]) -> Vec<u8> {
        self.0.seal(aad, plain)
    }

    /// The reverse of [`MetadataCipher::seal`]. Error: [`StorageError::NotAuthentic`].
    pub fn open(&self, aad: &[u8], sealed: &[u8]) -> StorageResult<Zeroizing<Vec<u8>>> {
        let refuse = |_| StorageError::NotAuthentic { what: "metadata".to_owned(), reason: "its tag does not match" };
        self.0.open(aad, sealed).map_err(refuse)
    }
}

fn sealer(root: &RootKey, pool: PoolId) -> Sealer {
    let secret = Zeroizing::new([root.bytes().as_slice(), &pool.0].concat());
    Sealer::derive("kovcheg v1 keyring seal", &secret)
}

/// The bytes of a `Vec<KeyEntry>`, in one buffer of the right size: one that grows leaves unwiped copies behind.
fn encode(entries: &[HeldKey]) -> Zeroizing<Vec<u8>> {
    const ENTRY_LEN: usize = 4 + 1 + 4 + 8 + 32;
    let mut list = Zeroizing::new(Vec::with_capacity(4 + entries.len() * ENTRY_LEN));
    let mut head = kovcheg_format::Writer::new();
    head.count(entries.len());
    list.extend_from_slice(head.as_slice());
    for entry in entries {
        entry.encode_into(&mut list);
    }
    list
}

fn decode(list: &[u8]) -> Result<Vec<HeldKey>, FormatError> {
    let mut input = Reader::new(list);
    let count = input.u32("number of keys")? as usize;
    if count > KEYS_MAX {
        return Err(FormatError::OverLimit { what: "number of keys", found: count as u64, limit: KEYS_MAX as u64 });
    }
    let mut entries: Vec<HeldKey> = Vec::new();
    for _ in 0..count {
        entries.push(KeyEntry::decode(&mut input)?.into());
    }
    input.finish("keyring")?;
    let mut ids: Vec<KeyId> = entries.iter().map(|entry| entry.id).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.len() != entries.len() {
        return Err(FormatError::Invalid { what: "key id" });
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use std::error::Error;

    use kovcheg_format::codec::Decode;
    use kovcheg_format::keyring::{KeyEntry, SealedKeyring};
    use zeroize::Zeroizing;

    use super::{DomainId, FormatError, HeldKey, KeyId, KeyPurpose, Keyring, KeyringError, PoolId, encode, sealer};
    use crate::chunk::compress::Compressor;
    use crate::chunk::pipeline::ContentKind;
    use crate::error::StorageError;
    use crate::keys::hierarchy::RootKey;

    const POOL: PoolId = PoolId([9; 16]);

    #[test]
    fn a_ring_opens_to_the_same_keys() {
        // Goal: what was sealed before a restart opens after it. Method: seal content and metadata with the new ring,
        // open both with the one that went through its file.
        let root = RootKey::generate();
        let ring = Keyring::new_pool(1234);
        let file = ring.seal(POOL, &root).to_file();
        let again = Keyring::open(&SealedKeyring::from_file(&file).unwrap(), &root).unwrap();
        assert_eq!(again.sequence, 1);
        assert_eq!(again.domains().collect::<Vec<_>>(), [DomainId(1)]);

        let sealed = ring.metadata().seal(b"aad", b"record");
        assert_eq!(**again.metadata().open(b"aad", &sealed).unwrap(), *b"record");
        let (one, other) = (ring.domain(DomainId(1)).unwrap(), again.domain(DomainId(1)).unwrap());
        let id = one.chunk_id(b"content");
        let sealed = one.seal(id, b"content", &mut Compressor::new(1)).unwrap();
        assert_eq!(*other.open(ContentKind::Chunk, id, &sealed.bytes).unwrap(), *b"content");
        assert_eq!(other.key_id(), KeyId(2));
        assert!(again.domain(DomainId(2)).is_none() && again.domain(DomainId(0)).is_none());
    }

    #[test]
    fn another_key_pool_or_sequence_does_not_open() {
        // Goal: no ring can be put in another's place or time. Method: change one binding at a time.
        let root = RootKey::generate();
        let sealed = Keyring::new_pool(0).seal(POOL, &root);
        let wrong = |sealed: SealedKeyring, root: &RootKey| Keyring::open(&sealed, root).map(|_| ()).unwrap_err();
        assert_eq!(wrong(sealed.clone(), &RootKey::generate()), KeyringError::WrongKey);
        assert_eq!(wrong(SealedKeyring { pool: PoolId([8; 16]), ..sealed.clone() }, &root), KeyringError::WrongKey);
        assert_eq!(wrong(SealedKeyring { sequence: 2, ..sealed.clone() }, &root), KeyringError::WrongKey);
        assert_eq!(wrong(SealedKeyring { sealed: Vec::new(), ..sealed.clone() }, &root), KeyringError::WrongKey);
        let mut changed = sealed;
        changed.sealed[3] ^= 1;
        assert_eq!(wrong(changed, &root), KeyringError::WrongKey);
        let metadata = Keyring::new_pool(0).metadata();
        let sealed = metadata.seal(b"here", b"record");
        for answer in
            [metadata.open(b"there", &sealed), metadata.open(b"here", &sealed[..20]), metadata.open(b"here", b"")]
        {
            assert!(matches!(answer, Err(StorageError::NotAuthentic { .. })));
        }
    }

    #[test]
    fn senseless_lists_are_refused() {
        // Goal: a bug of a writer is told from a wrong key. Method: seal lists that no writer makes.
        let root = RootKey::generate();
        let open = |list: &[u8]| {
            let aad = SealedKeyring::associated_data(POOL, 1);
            let sealed = sealer(&root, POOL).seal(&aad, list);
            let nonce = sealed[..24].try_into().unwrap();
            Keyring::open(&SealedKeyring { pool: POOL, sequence: 1, nonce, sealed: sealed[24..].to_vec() }, &root)
        };
        let key = |id, purpose| HeldKey::generate(KeyId(id), purpose, DomainId(0), 0);
        let good = encode(&[key(1, KeyPurpose::Metadata)]);
        assert!(open(&good).is_ok());
        let invalid = |what| Some(KeyringError::Decode(FormatError::Invalid { what }));
        assert_eq!(open(&encode(&[key(2, KeyPurpose::Domain)])).err(), invalid("metadata key"));
        let twice = [key(1, KeyPurpose::Metadata), key(1, KeyPurpose::Domain)];
        assert_eq!(open(&encode(&twice)).err(), invalid("key id"));
        for bad in [&good[..good.len() - 1], &[&good[..], &[0]].concat(), &[0xff; 4], &[]] {
            assert!(matches!(open(bad), Err(KeyringError::Decode(_))), "{bad:?}");
        }
    }

    #[test]
    fn the_list_is_that_of_the_format() {
        // Goal: an offline reader decodes the list by the format crate alone. Method: decode it as `Vec<KeyEntry>`.
        let ring = Keyring::new_pool(77);
        let list = Vec::<KeyEntry>::from_bytes(&encode(&ring.entries)).unwrap();
        let seen: Vec<_> = list.iter().map(|entry| (entry.id, entry.purpose, entry.domain, entry.created_at)).collect();
        assert_eq!(
            seen,
            [(KeyId(1), KeyPurpose::Metadata, DomainId(0), 77), (KeyId(2), KeyPurpose::Domain, DomainId(1), 77)]
        );
        assert_ne!(list[0].secret, list[1].secret);
    }

    #[test]
    fn nothing_secret_is_printed_or_repeated() {
        // Goal: K-1. Method: debug forms and errors against the secrets; equal seals differ.
        let ring = Keyring::new_pool(0);
        let printed = format!("{ring:?} {:?}", ring.metadata());
        for entry in &ring.entries {
            assert!(
                !printed.contains(&hex::encode(*entry.secret)) && !printed.contains(&format!("{:?}", *entry.secret))
            );
        }
        assert_eq!(printed.matches("Sealer").count(), 1);
        assert_ne!(ring.metadata().seal(b"", b"same"), ring.metadata().seal(b"", b"same"));
        assert!(KeyringError::WrongKey.source().is_none());
        let _: Zeroizing<Vec<u8>> = ring.metadata().open(b"", &ring.metadata().seal(b"", b"x")).unwrap();
    }
}
