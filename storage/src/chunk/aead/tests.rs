//! XAES-256-GCM: published vectors, both implementations against each other, every flipped bit refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use proptest::prelude::{any, prop, prop_assert_eq, proptest};

use super::{Aead, AeadError, AwsLc, Portable, XaesKey, default_aead};

const BOTH: [&dyn Aead; 2] = [&AwsLc, &Portable];

fn sealed(aead: &dyn Aead, key: &[u8; 32], nonce: &[u8; 24], aad: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut body = plain.to_vec();
    let tag = aead.seal(&XaesKey::new(key), nonce, aad, &mut body).unwrap();
    body.extend(tag);
    body
}

#[test]
fn published_vectors() {
    // Goal: this is XAES-256-GCM and nothing near it. Method: the vectors of the specification; the two keys cover both
    // values of the bit that decides about the CMAC sub-key's carry.
    let nonce = b"ABCDEFGHIJKLMNOPQRSTUVWX";
    for aead in BOTH {
        let one = sealed(aead, &[1; 32], nonce, b"", b"XAES-256-GCM");
        assert_eq!(hex::encode(one), "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271");
        let three = sealed(aead, &[3; 32], nonce, b"c2sp.org/XAES-256-GCM", b"XAES-256-GCM");
        assert_eq!(hex::encode(three), "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d");
    }
    let salt = b"ABCDEFGHIJKL";
    let derived = XaesKey::new(&[1; 32]).derive(salt);
    assert_eq!(hex::encode(*derived), "c8612c9ed53fe43e8e005b828a1631a0bbcb6ab2f46514ec4f439fcfd0fa969b");
}

#[test]
fn accumulated_vector() {
    // Goal: lengths and keys of all kinds. Method: the specification's 10,000 messages drawn from SHAKE-128, whose
    // ciphertexts hash to one published value.
    for aead in BOTH {
        let (mut source, mut digest) = (Shake128::default(), Shake128::default());
        for _ in 0..10_000 {
            let key: [u8; 32] = source.squeeze(32).try_into().unwrap();
            let nonce: [u8; 24] = source.squeeze(24).try_into().unwrap();
            let len = usize::from(source.squeeze(1)[0]);
            let plain = source.squeeze(len);
            let len = usize::from(source.squeeze(1)[0]);
            let aad = source.squeeze(len);
            let mut body = sealed(aead, &key, &nonce, &aad, &plain);
            digest.absorb(&body);
            assert_eq!(aead.open(&XaesKey::new(&key), &nonce, &aad, &mut body).unwrap(), plain);
        }
        let found = hex::encode(digest.squeeze(32));
        assert_eq!(found, "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939", "{}", aead.name());
    }
}

#[test]
fn any_change_is_refused() {
    // Goal: D-1 rests on this. Method: flip each bit of ciphertext, tag, nonce, key and associated data in turn.
    let (key, nonce, aad) = ([7; 32], [8; 24], [9; 20]);
    for aead in BOTH {
        let body = sealed(aead, &key, &nonce, &aad, b"thirty-three bytes of a plaintext");
        let refused = |key: &[u8; 32], nonce: &[u8; 24], aad: &[u8], body: &[u8]| {
            let mut body = body.to_vec();
            assert_eq!(aead.open(&XaesKey::new(key), nonce, aad, &mut body), Err(AeadError::Tag), "{}", aead.name());
        };
        for bit in 0..body.len() * 8 {
            let mut changed = body.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            refused(&key, &nonce, &aad, &changed);
        }
        for bit in 0..32 * 8 {
            let (mut other_key, mut other_nonce, mut other_aad) = (key, nonce, aad);
            other_key[bit / 8] ^= 1 << (bit % 8);
            refused(&other_key, &nonce, &aad, &body);
            other_nonce[bit / 8 % 24] ^= 1 << (bit % 8);
            refused(&key, &other_nonce, &aad, &body);
            other_aad[bit / 8 % 20] ^= 1 << (bit % 8);
            refused(&key, &nonce, &other_aad, &body);
        }
        for len in 0..body.len() {
            refused(&key, &nonce, &aad, &body[..len]);
        }
    }
}

#[test]
fn nothing_secret_is_printed() {
    // Goal: K-1 in logs. Method: the debug form of a key is its name alone.
    assert_eq!(format!("{:?}", XaesKey::new(&[0x5a; 32])), "XaesKey { .. }");
    let expected = if cfg!(feature = "portable-crypto") { "aes-gcm" } else { "aws-lc-rs" };
    assert_eq!(default_aead().name(), expected);
}

proptest! {
    /// Both implementations give the same bytes and open each other's.
    #[test]
    fn implementations_agree(
        key in any::<[u8; 32]>(),
        nonce in any::<[u8; 24]>(),
        aad in prop::collection::vec(any::<u8>(), 0..100),
        plain in prop::collection::vec(any::<u8>(), 0..5000),
    ) {
        let key = XaesKey::new(&key);
        let seal = |aead: &dyn Aead| {
            let mut body = plain.clone();
            let tag = aead.seal(&key, &nonce, &aad, &mut body).unwrap();
            body.extend(tag);
            body
        };
        let (one, other) = (seal(&AwsLc), seal(&Portable));
        prop_assert_eq!(&one, &other);
        for (opener, body) in [(BOTH[0], other), (BOTH[1], one)] {
            let mut body = body;
            prop_assert_eq!(opener.open(&key, &nonce, &aad, &mut body).unwrap(), &plain);
        }
    }
}

/// SHAKE-128 (FIPS 202), for the accumulated vector alone.
#[derive(Default)]
struct Shake128 {
    state: [u64; 25],
    at: usize,
    squeezing: bool,
}

impl Shake128 {
    const RATE: usize = 168;

    fn mix(&mut self, byte: u8) {
        self.state[self.at / 8] ^= u64::from(byte) << (self.at % 8 * 8);
    }

    fn absorb(&mut self, bytes: &[u8]) {
        assert!(!self.squeezing);
        for byte in bytes {
            self.mix(*byte);
            self.at += 1;
            if self.at == Self::RATE {
                keccak(&mut self.state);
                self.at = 0;
            }
        }
    }

    fn squeeze(&mut self, len: usize) -> Vec<u8> {
        if !self.squeezing {
            self.mix(0x1f);
            self.at = Self::RATE - 1;
            self.mix(0x80);
            self.at = Self::RATE;
            self.squeezing = true;
        }
        let mut out = Vec::with_capacity(len);
        while out.len() < len {
            if self.at == Self::RATE {
                keccak(&mut self.state);
                self.at = 0;
            }
            out.push(self.state[self.at / 8].to_le_bytes()[self.at % 8]);
            self.at += 1;
        }
        out
    }
}

fn keccak(state: &mut [u64; 25]) {
    let mut lfsr = 1_u8;
    for _ in 0..24 {
        let columns: [u64; 5] = std::array::from_fn(|x| (0..5).fold(0, |sum, y| sum ^ state[x + 5 * y]));
        for (at, lane) in state.iter_mut().enumerate() {
            *lane ^= columns[(at + 4) % 5] ^ columns[(at + 1) % 5].rotate_left(1);
        }
        let (mut x, mut y, mut lane) = (1, 0, state[1]);
        for step in 0..24_u32 {
            (x, y) = (y, (2 * x + 3 * y) % 5);
            let moved = state[x + 5 * y];
            state[x + 5 * y] = lane.rotate_left((step + 1) * (step + 2) / 2 % 64);
            lane = moved;
        }
        for row in state.as_chunks_mut::<5>().0 {
            let old = *row;
            for x in 0..5 {
                row[x] = old[x] ^ (!old[(x + 1) % 5] & old[(x + 2) % 5]);
            }
        }
        for power in 0..7 {
            if lfsr & 1 == 1 {
                state[0] ^= 1 << ((1 << power) - 1);
            }
            lfsr = (lfsr << 1) ^ if lfsr & 0x80 == 0 { 0 } else { 0x71 };
        }
    }
}
