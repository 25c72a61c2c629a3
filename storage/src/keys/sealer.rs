//! Sealing of what is not content (records, keys, kits) as one string: nonce, ciphertext, tag.

use kovcheg_format::envelope::{NONCE_LEN, TAG_LEN};
use zeroize::Zeroizing;

use crate::chunk::aead::{AeadError, XaesKey, default_aead};
use crate::chunk::random::random_bytes;

/// One key and the string form above.
#[derive(Debug, Clone)]
pub(super) struct Sealer(XaesKey);

impl Sealer {
    /// Seals with a sub-key of `secret` made for `context`, so that one secret serves several uses.
    pub(super) fn derive(context: &str, secret: &[u8]) -> Self {
        Self(XaesKey::new(&Zeroizing::new(blake3::derive_key(context, secret))))
    }

    /// Nonce, ciphertext and tag of `plain` under a fresh nonce (K-1).
    ///
    /// # Panics
    /// When the kernel has no randomness, or `plain` has 64 GiB.
    pub(super) fn seal(&self, aad: &[u8], plain: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_LEN] = random_bytes();
        let mut sealed = Vec::with_capacity(NONCE_LEN + plain.len() + TAG_LEN);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let body = sealed.get_mut(NONCE_LEN..).unwrap_or_default();
        match default_aead().seal(&self.0, &nonce, aad, body) {
            Ok(tag) => sealed.extend_from_slice(&tag),
            Err(error) => unreachable!("sealing {} bytes: {error}", plain.len()),
        }
        sealed
    }

    /// The reverse of [`Sealer::seal`].
    pub(super) fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, AeadError> {
        let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(AeadError::Tag)?;
        let mut plain = Zeroizing::new(body.to_vec());
        let len = default_aead().open(&self.0, nonce, aad, &mut plain)?.len();
        plain.truncate(len);
        Ok(plain)
    }
}
