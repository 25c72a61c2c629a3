//! Signs audit checkpoints, and verifies them, which needs no vault.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use kovcheg_format::audit::{Checkpoint, NoteError, VerifierKey};
use kovcheg_format::id::PoolId;

use crate::error::{StorageError, StorageResult};

/// The key that signs the audit checkpoints of a pool (Ed25519). It has no debug form.
pub struct AuditSigner {
    pair: Ed25519KeyPair,
    key: VerifierKey,
}

impl AuditSigner {
    /// The key that follows from a seed.
    pub fn new(pool: PoolId, seed: &[u8; 32]) -> StorageResult<Self> {
        let refused = || StorageError::Operator("the audit signing key cannot be made".to_owned());
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| refused())?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| refused())?;
        Ok(Self { pair, key: VerifierKey { pool, public } })
    }

    /// The public half.
    #[must_use]
    pub fn verifier(&self) -> VerifierKey {
        self.key
    }

    /// The signed note of an audit checkpoint.
    #[must_use]
    pub fn sign(&self, checkpoint: &Checkpoint) -> String {
        checkpoint.note(&self.key, self.pair.sign(checkpoint.body().as_bytes()).as_ref())
    }
}

/// What a signed note says, when the holder of `key` signed it.
pub fn verify_note(note: &str, key: &VerifierKey) -> Result<Checkpoint, NoteError> {
    let (checkpoint, signature) = Checkpoint::parse(note, key)?;
    let public = UnparsedPublicKey::new(&ED25519, key.public);
    public.verify(checkpoint.body().as_bytes(), &signature).map_err(|_| NoteError::Unsigned)?;
    Ok(checkpoint)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use kovcheg_format::audit::{AuditTree, Checkpoint, NoteError};
    use kovcheg_format::id::PoolId;

    use super::{AuditSigner, verify_note};

    /// The public key of RFC 8032's first test (section 7.1), and notes of which any byte was changed.
    #[test]
    fn a_note_is_believed_only_as_it_was_signed() {
        let seed = hex::decode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").unwrap();
        let signer = AuditSigner::new(PoolId([7; 16]), &seed.try_into().unwrap()).unwrap();
        let key = signer.verifier();
        assert_eq!(hex::encode(key.public), "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        let mut tree = AuditTree::default();
        tree.append("an entry");
        let checkpoint = Checkpoint::of(PoolId([7; 16]), &tree, 5);
        let note = signer.sign(&checkpoint);
        assert_eq!(verify_note(&note, &key), Ok(checkpoint));
        for at in 0..note.len() {
            let mut bytes = note.clone().into_bytes();
            *bytes.get_mut(at).unwrap() ^= 1;
            let Ok(changed) = String::from_utf8(bytes) else { continue };
            assert!(verify_note(&changed, &key).is_err(), "byte {at}: {changed}");
        }
        let other = AuditSigner::new(PoolId([7; 16]), &[1; 32]).unwrap();
        assert_eq!(verify_note(&note, &other.verifier()), Err(NoteError::Unsigned));
    }
}
