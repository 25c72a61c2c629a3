//! The audit checkpoint: a signed head of the audit tree, in the form of C2SP `tlog-checkpoint` and `signed-note`, which tools of other transparency logs read.
//!
//! ```text
//! kovcheg/<pool>
//! <size>
//! <root, base64>
//! chain <head of the chain, hex>
//! lsn <journal position>
//! clock <retention clock, milliseconds since 1970>
//!
//! — kovcheg/<pool> <base64 of key id (4 bytes) and Ed25519 signature (64 bytes)>
//! ```
//! The signature is over everything up to the empty line, the line end before it included. The key id is the beginning of SHA-256 over name, line end,
//! the byte 1 (Ed25519), public key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::audit::tree::AuditTree;
use crate::id::{AuditHash, Lsn, PoolId};
use crate::units::TimestampMs;

/// Begins the name of every signer.
const NAME: &str = "kovcheg/";
/// Begins a line with a signature: an em dash and a space.
const SIGNED: &str = "\u{2014} ";
/// `signed-note`'s number of Ed25519.
const ED25519: u8 = 1;
const SIGNATURE_LEN: usize = 64;

/// Why a note says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// It is no audit checkpoint.
    #[error("this is no audit checkpoint: {0}")]
    Malformed(&'static str),
    /// It is no public key.
    #[error("this is no public key of a vault; `kovcheg audit key` prints it")]
    Key,
    /// Nobody with that key signed it.
    #[error("this audit checkpoint is not signed by that key: it is forged, damaged, or of another vault")]
    Unsigned,
}

/// What an audit checkpoint says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The pool whose trail it is.
    pub pool: PoolId,
    /// Entries.
    pub size: u64,
    /// Root of the tree over them.
    pub root: AuditHash,
    /// Head of the chain behind them.
    pub chain: AuditHash,
    /// Journal position of the newest entry.
    pub lsn: Lsn,
    /// Retention clock when it was made.
    pub retention_clock: TimestampMs,
}

/// The public half of the key that signs a vault's audit checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifierKey {
    /// The pool.
    pub pool: PoolId,
    /// Ed25519 public key.
    pub public: [u8; 32],
}

impl Checkpoint {
    /// The head of a tree.
    #[must_use]
    pub fn of(pool: PoolId, tree: &AuditTree, retention_clock: TimestampMs) -> Self {
        let AuditTree { size, lsn, chain, .. } = *tree;
        Self { pool, size, root: tree.root(), chain, lsn, retention_clock }
    }

    /// What is signed.
    #[must_use]
    pub fn body(&self) -> String {
        let Self { pool, size, root, chain, lsn, retention_clock } = self;
        let root = STANDARD.encode(root.0);
        format!("{NAME}{pool}\n{size}\n{root}\nchain {chain}\nlsn {lsn}\nclock {retention_clock}\n")
    }

    /// The whole note, with a signature over [`Checkpoint::body`].
    #[must_use]
    pub fn note(&self, key: &VerifierKey, signature: &[u8]) -> String {
        let signed = STANDARD.encode([&key.id()[..], signature].concat());
        format!("{}\n{SIGNED}{} {signed}\n", self.body(), key.name())
    }

    /// Reads a note: what it says, and the signature by `key`, which the caller verifies over [`Checkpoint::body`].
    pub fn parse(note: &str, key: &VerifierKey) -> Result<(Self, [u8; SIGNATURE_LEN]), NoteError> {
        let malformed = NoteError::Malformed;
        let (body, signatures) = note.split_once("\n\n").ok_or(malformed("there is no empty line"))?;
        let mut lines = body.lines();
        let pool = lines.next().and_then(|line| line.strip_prefix(NAME)).and_then(pool).ok_or(malformed("no pool"))?;
        let size = lines.next().and_then(|line| line.parse().ok()).ok_or(malformed("no size"))?;
        let root = lines.next().and_then(|line| STANDARD.decode(line).ok()).and_then(hash_of);
        let root = root.ok_or(malformed("no root"))?;
        let mut field = |name: &str| lines.next().and_then(|line| line.strip_prefix(name));
        let chain = field("chain ").and_then(|text| hex::decode(text).ok()).and_then(hash_of);
        let lsn = field("lsn ").and_then(|text| text.parse().ok()).ok_or(malformed("no journal position"))?;
        let clock = field("clock ").and_then(|text| text.parse().ok()).ok_or(malformed("no retention clock"))?;
        let chain = chain.ok_or(malformed("no head of the chain"))?;
        let read = Self { pool, size, root, chain, lsn: Lsn(lsn), retention_clock: clock };
        if read.body() != format!("{body}\n") {
            return Err(malformed("it is not written as a vault writes it"));
        }
        let ours = |line: &str| {
            let signed = line.strip_prefix(SIGNED)?.strip_prefix(&key.name())?.strip_prefix(' ')?;
            let bytes = STANDARD.decode(signed).ok()?;
            let (id, signature) = bytes.split_first_chunk::<4>()?;
            signature.try_into().ok().filter(|_| *id == key.id())
        };
        let signature = signatures.lines().find_map(ours).filter(|_| read.pool == key.pool);
        Ok((read, signature.ok_or(NoteError::Unsigned)?))
    }
}

impl VerifierKey {
    /// Who signs.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{NAME}{}", self.pool)
    }

    /// Tells keys of one name apart.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        let hash: [u8; 32] = Sha256::new()
            .chain_update(self.name())
            .chain_update([b'\n', ED25519])
            .chain_update(self.public)
            .finalize()
            .into();
        let [first, second, third, fourth, ..] = hash;
        [first, second, third, fourth]
    }

    /// As `signed-note` writes public keys: name, key id in hex, base64 of the byte 1 and the key, with `+` between them.
    #[must_use]
    pub fn text(&self) -> String {
        let key = STANDARD.encode([&[ED25519][..], &self.public].concat());
        format!("{}+{}+{key}", self.name(), hex::encode(self.id()))
    }

    /// The reverse of [`VerifierKey::text`].
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let read = || {
            let (name, rest) = text.trim().split_once('+')?;
            let (id, key) = rest.split_once('+')?;
            let key = STANDARD.decode(key).ok()?;
            let (kind, public) = key.split_first()?;
            let key = Self { pool: pool(name.strip_prefix(NAME)?)?, public: public.try_into().ok()? };
            (*kind == ED25519 && id == hex::encode(key.id())).then_some(key)
        };
        read().ok_or(NoteError::Key)
    }
}

fn pool(text: &str) -> Option<PoolId> {
    let mut id = [0; 16];
    hex::decode_to_slice(text, &mut id).ok().map(|()| PoolId(id))
}

fn hash_of(bytes: Vec<u8>) -> Option<AuditHash> {
    bytes.try_into().ok().map(AuditHash)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{Checkpoint, NoteError, VerifierKey};
    use crate::audit::tree::AuditTree;
    use crate::id::{Lsn, PoolId};

    fn key() -> VerifierKey {
        VerifierKey { pool: PoolId([0x10; 16]), public: [0x5a; 32] }
    }

    fn checkpoint() -> Checkpoint {
        let mut tree = AuditTree { lsn: Lsn(7), ..AuditTree::default() };
        tree.append("{}");
        Checkpoint::of(PoolId([0x10; 16]), &tree, 1_764_000_000_000)
    }

    #[test]
    fn notes_and_keys_come_back() {
        let (checkpoint, key) = (checkpoint(), key());
        let note = checkpoint.note(&key, &[9; 64]);
        assert_eq!(Checkpoint::parse(&note, &key).unwrap(), (checkpoint.clone(), [9; 64]));
        assert_eq!(VerifierKey::parse(&format!("{}\n", key.text())).unwrap(), key);
        // A witness may add its own signature.
        let cosigned = format!("{note}\u{2014} witness/1 AAAA\n");
        assert_eq!(Checkpoint::parse(&cosigned, &key).unwrap().1, [9; 64]);
    }

    #[test]
    fn what_is_changed_is_refused() {
        let (checkpoint, key) = (checkpoint(), key());
        let note = checkpoint.note(&key, &[9; 64]);
        let another = VerifierKey { public: [0x5b; 32], ..key };
        assert_eq!(Checkpoint::parse(&note, &another), Err(NoteError::Unsigned));
        let elsewhere = VerifierKey { pool: PoolId([0x11; 16]), ..key };
        assert_eq!(Checkpoint::parse(&note, &elsewhere), Err(NoteError::Unsigned));
        for (from, to) in [
            ("\n1\n", "\n01\n"),
            ("chain ", "chain  "),
            ("\n\n", "\n"),
            ("lsn 7", "lsn +7"),
            ("kovcheg/10", "kovcheg/x0"),
        ] {
            let changed = note.replacen(from, to, 1);
            assert!(matches!(Checkpoint::parse(&changed, &key), Err(NoteError::Malformed(_))), "{changed}");
        }
        for wrong in ["", "a+b", "kovcheg/10+00+AAAA", &key.text().replace('+', "-"), &key.text().to_uppercase()] {
            assert_eq!(VerifierKey::parse(wrong), Err(NoteError::Key), "{wrong}");
        }
        // Every line is read to its end, and nothing panics.
        for end in 0..note.len() {
            let _ = note.get(..end).map(|cut| Checkpoint::parse(cut, &key));
        }
    }
}
