//! Sealing: XAES-256-GCM (C2SP, c2sp.org/XAES-256-GCM) in two implementations that give the same bytes.
//!
//! A 24-byte nonce drawn at random never repeats in practice, so no counter has to survive a crash (R9, K-1). Its first
//! half and the key give a fresh AES-256-GCM key by a CMAC in counter mode; its second half is that key's nonce.
//! AWS-LC is the hot path; `aes-gcm` is the portable one (feature `portable-crypto`) and the oracle of the tests.

use std::fmt;
use std::sync::Arc;

use aes::Aes256;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes_gcm::Aes256Gcm;
use aes_gcm::aead::AeadInOut;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use kovcheg_format::envelope::{NONCE_LEN, TAG_LEN};
use thiserror::Error;
use zeroize::Zeroizing;

/// Bytes of the nonce that go into the key; the rest is the nonce of AES-GCM.
const SALT_LEN: usize = 12;

/// Why sealing or opening failed. Says no more on purpose: what a tag failed on is nobody's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AeadError {
    /// The plaintext is longer than AES-GCM takes.
    #[error("cannot seal a plaintext of this length")]
    Length,
    /// The tag does not match: wrong key, nonce, associated data or ciphertext.
    #[error("the tag does not match")]
    Tag,
}

/// A 256-bit key with its AES schedule and CMAC sub-key, made once and used for every chunk. Cheap to clone.
#[derive(Clone)]
pub struct XaesKey(Arc<Schedule>);

struct Schedule {
    cipher: Aes256,
    /// K1 of CMAC.
    subkey: Zeroizing<[u8; 16]>,
}

impl XaesKey {
    /// The schedule of `key`.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        let cipher = Aes256::new(&(*key).into());
        let mut block = aes::Block::default();
        cipher.encrypt_block(&mut block);
        let doubled = u128::from_be_bytes(block.into());
        let carry = if doubled >> 127 == 0 { 0 } else { 0x87 };
        let subkey = Zeroizing::new(((doubled << 1) ^ carry).to_be_bytes());
        Self(Arc::new(Schedule { cipher, subkey }))
    }

    /// The AES-256-GCM key for nonces that begin with `salt`.
    fn derive(&self, salt: &[u8; SALT_LEN]) -> Zeroizing<[u8; 32]> {
        let mut derived = Zeroizing::new([0; 32]);
        let (halves, _) = derived.as_chunks_mut::<16>();
        for (counter, half) in (1_u8..).zip(halves) {
            let mut block = [0; 16];
            block[..4].copy_from_slice(&[0, counter, b'X', 0]);
            block[4..].copy_from_slice(salt);
            let block = u128::from_ne_bytes(block) ^ u128::from_ne_bytes(*self.0.subkey);
            let mut block = aes::Block::from(block.to_ne_bytes());
            self.0.cipher.encrypt_block(&mut block);
            *half = block.into();
        }
        derived
    }
}

impl fmt::Debug for XaesKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("XaesKey").finish_non_exhaustive()
    }
}

/// An implementation of XAES-256-GCM. All give the same bytes.
pub trait Aead: Send + Sync {
    /// Turns `body` from plaintext into ciphertext and returns the tag. Never call it twice with one nonce.
    fn seal(
        &self,
        key: &XaesKey,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        body: &mut [u8],
    ) -> Result<[u8; TAG_LEN], AeadError>;

    /// Turns ciphertext and tag in `body` into plaintext and returns where it stands. After an error `body` is garbage.
    fn open<'a>(
        &self,
        key: &XaesKey,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        body: &'a mut [u8],
    ) -> Result<&'a mut [u8], AeadError>;

    /// Name for logs and benches.
    fn name(&self) -> &'static str;
}

/// The implementation of this build.
#[must_use]
pub fn default_aead() -> &'static dyn Aead {
    if cfg!(feature = "portable-crypto") { &Portable } else { &AwsLc }
}

/// AES-GCM of AWS-LC.
#[derive(Debug, Clone, Copy, Default)]
pub struct AwsLc;

/// AES-GCM of the `aes-gcm` crate.
#[derive(Debug, Clone, Copy, Default)]
pub struct Portable;

fn split_nonce(nonce: &[u8; NONCE_LEN]) -> ([u8; SALT_LEN], [u8; NONCE_LEN - SALT_LEN]) {
    let (mut salt, mut rest) = ([0; SALT_LEN], [0; NONCE_LEN - SALT_LEN]);
    salt.copy_from_slice(&nonce[..SALT_LEN]);
    rest.copy_from_slice(&nonce[SALT_LEN..]);
    (salt, rest)
}

impl AwsLc {
    fn key(key: &XaesKey, salt: &[u8; SALT_LEN]) -> Result<LessSafeKey, AeadError> {
        let derived = key.derive(salt);
        let unbound = UnboundKey::new(&AES_256_GCM, &*derived).map_err(|_| AeadError::Length)?;
        Ok(LessSafeKey::new(unbound))
    }
}

impl Aead for AwsLc {
    fn seal(
        &self,
        key: &XaesKey,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        body: &mut [u8],
    ) -> Result<[u8; TAG_LEN], AeadError> {
        let (salt, rest) = split_nonce(nonce);
        let tag = Self::key(key, &salt)?
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(rest), Aad::from(aad), body)
            .map_err(|_| AeadError::Length)?;
        tag.as_ref().try_into().map_err(|_| AeadError::Length)
    }

    fn open<'a>(
        &self,
        key: &XaesKey,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        body: &'a mut [u8],
    ) -> Result<&'a mut [u8], AeadError> {
        let (salt, rest) = split_nonce(nonce);
        Self::key(key, &salt)?
            .open_in_place(Nonce::assume_unique_for_key(rest), Aad::from(aad), body)
            .map_err(|_| AeadError::Tag)
    }

    fn name(&self) -> &'static str {
        "aws-lc-rs"
    }
}

impl Aead for Portable {
    fn seal(
        &self,
        key: &XaesKey,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        body: &mut [u8],
    ) -> Result<[u8; TAG_LEN], AeadError> {
        let (salt, rest) = split_nonce(nonce);
        let tag = Aes256Gcm::new(&(*key.derive(&salt)).into())
            .encrypt_inout_detached(&rest.into(), aad, body.into())
            .map_err(|_| AeadError::Length)?;
        Ok(tag.into())
    }

    fn open<'a>(
        &self,
        key: &XaesKey,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        body: &'a mut [u8],
    ) -> Result<&'a mut [u8], AeadError> {
        let (salt, rest) = split_nonce(nonce);
        let (cipher, tag) = body.split_last_chunk_mut::<TAG_LEN>().ok_or(AeadError::Tag)?;
        Aes256Gcm::new(&(*key.derive(&salt)).into())
            .decrypt_inout_detached(&rest.into(), aad, (&mut *cipher).into(), &(*tag).into())
            .map_err(|_| AeadError::Tag)?;
        Ok(cipher)
    }

    fn name(&self) -> &'static str {
        "aes-gcm"
    }
}

#[cfg(test)]
mod tests;
