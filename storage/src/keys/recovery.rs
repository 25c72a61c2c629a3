//! The recovery kit: a code on paper that gives the root key back when the system disk is gone (R11).
//!
//! A code is forty symbols in eight groups of five. 160 random bits come first; three symbols say which pool it belongs
//! to, so that the kit of another vault is recognised; the last group is a checksum, so that a slip of the hand is told
//! from a wrong code. With 160 random bits no slow key derivation is needed.

use kovcheg_format::codec::Blob;
use kovcheg_format::id::PoolId;
use kovcheg_format::superblock::{KeySlot, KeySlotKind};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::chunk::random::{random_bytes, random_secret};
use crate::error::StorageError;
use crate::keys::hierarchy::RootKey;
use crate::keys::sealer::Sealer;

/// Crockford's alphabet: no I, L, O, U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const SECRET_SYMBOLS: usize = 32;
const POOL_SYMBOLS: usize = 3;
const CHECK_SYMBOLS: usize = 5;
const BODY_SYMBOLS: usize = SECRET_SYMBOLS + POOL_SYMBOLS;
const SYMBOLS: usize = BODY_SYMBOLS + CHECK_SYMBOLS;
const GROUP: usize = 5;

/// Cyrillic letters that look like Latin ones on paper, for codes typed under the wrong keyboard layout.
const LOOKALIKES: &[(char, char)] = &[
    ('А', 'A'),
    ('В', 'B'),
    ('С', 'C'),
    ('Е', 'E'),
    ('Н', 'H'),
    ('К', 'K'),
    ('М', 'M'),
    ('О', '0'),
    ('Р', 'P'),
    ('Т', 'T'),
    ('Х', 'X'),
    ('З', '3'),
];

/// Why a code does not give the root key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KitError {
    /// Symbols are missing or too many.
    #[error("the recovery code has {found} of {SYMBOLS} symbols; type all eight groups")]
    Length {
        /// Symbols typed, without spaces and dashes.
        found: usize,
    },
    /// A symbol that no code has.
    #[error("symbol {position} of the recovery code is none that codes are made of; look at it again")]
    Symbol {
        /// Which, from 1, without spaces and dashes.
        position: usize,
    },
    /// The checksum does not match.
    #[error("the recovery code was mistyped: its checksum does not match; compare it with the paper")]
    Mistyped,
    /// A sound code of another pool.
    #[error("this recovery code belongs to another vault")]
    OtherPool,
    /// A sound code of this pool that does not open this slot.
    #[error("the recovery code does not open this vault; a newer kit may have replaced it")]
    WrongCode,
    /// The slot opens to something that is no root key of this pool.
    #[error("the key slot is damaged or of another vault; use the superblock of another disk")]
    Slot,
}

impl From<KitError> for StorageError {
    fn from(error: KitError) -> Self {
        Self::Operator(error.to_string())
    }
}

/// A new code for `root`, to be printed once, and the slot for every superblock of `pool`. The slot is not confirmed.
///
/// # Panics
/// When the kernel has no randomness.
#[must_use]
pub fn make_kit(root: &RootKey, pool: PoolId) -> (Zeroizing<String>, KeySlot) {
    let secret: Zeroizing<[u8; 20]> = random_secret();
    let salt = random_bytes();
    let plain = Zeroizing::new([root.bytes().as_slice(), &pool.0].concat());
    let sealed_root = Blob(sealer(&secret, &salt).seal(&salt, &plain));
    let slot = KeySlot { kind: KeySlotKind::RecoveryCode, salt, sealed_root, confirmed: false };
    (print(&secret, pool), slot)
}

/// The root key, from the slot of a superblock of `pool` and a typed code. Case, spaces, dashes, O for 0 and I or L for
/// 1 do not matter.
pub fn open_slot(slot: &KeySlot, pool: PoolId, code: &str) -> Result<RootKey, KitError> {
    let secret = parse(code, pool)?;
    let KeySlot { kind: KeySlotKind::RecoveryCode, salt, sealed_root, .. } = slot;
    let plain = sealer(&secret, salt).open(salt, &sealed_root.0).map_err(|_| KitError::WrongCode)?;
    let (root, sealed_pool) = plain.split_first_chunk::<32>().ok_or(KitError::Slot)?;
    if *sealed_pool != pool.0 {
        return Err(KitError::Slot);
    }
    Ok(RootKey::from_bytes(Zeroizing::new(*root)))
}

fn sealer(secret: &[u8; 20], salt: &[u8; 16]) -> Sealer {
    let secret = Zeroizing::new([secret.as_slice(), salt].concat());
    Sealer::derive("kovcheg v1 recovery kit seal", &secret)
}

/// The low five bits of each of `N` bytes of a BLAKE3 derivation.
fn marks<const N: usize>(context: &str, of: &[u8]) -> [u8; N] {
    let digest = Zeroizing::new(blake3::derive_key(context, of));
    let mut marks = [0; N];
    for (mark, byte) in marks.iter_mut().zip(*digest) {
        *mark = byte & 31;
    }
    marks
}

fn pool_marks(pool: PoolId) -> [u8; POOL_SYMBOLS] {
    marks("kovcheg v1 recovery kit pool", &pool.0)
}

fn check_marks(body: &[u8]) -> [u8; CHECK_SYMBOLS] {
    marks("kovcheg v1 recovery kit checksum", body)
}

fn print(secret: &[u8; 20], pool: PoolId) -> Zeroizing<String> {
    let mut symbols = Zeroizing::new(Vec::with_capacity(SYMBOLS));
    let (fives, _) = secret.as_chunks::<5>();
    for five in fives {
        let bits = five.iter().fold(0_u64, |bits, byte| (bits << 8) | u64::from(*byte));
        symbols.extend((0..8).rev().filter_map(|place| u8::try_from(bits >> (5 * place) & 31).ok()));
    }
    symbols.extend(pool_marks(pool));
    let check = check_marks(&symbols);
    symbols.extend(check);
    let mut code = Zeroizing::new(String::with_capacity(SYMBOLS + SYMBOLS / GROUP));
    for (index, symbol) in symbols.iter().enumerate() {
        if index > 0 && index % GROUP == 0 {
            code.push('-');
        }
        code.extend(ALPHABET.get(usize::from(*symbol)).copied().map(char::from));
    }
    code
}

fn parse(code: &str, pool: PoolId) -> Result<Zeroizing<[u8; 20]>, KitError> {
    let typed = code.chars().filter(|symbol| !is_separator(*symbol));
    let found = typed.clone().count();
    let mut symbols = Zeroizing::new(Vec::with_capacity(SYMBOLS));
    for (position, symbol) in (1..).zip(typed.take(SYMBOLS)) {
        symbols.push(value_of(symbol).ok_or(KitError::Symbol { position })?);
    }
    if found != SYMBOLS {
        return Err(KitError::Length { found });
    }
    let (body, check) = symbols.split_at(BODY_SYMBOLS);
    if check_marks(body) != check {
        return Err(KitError::Mistyped);
    }
    let (secret_symbols, pool_symbols) = body.split_at(SECRET_SYMBOLS);
    if pool_marks(pool) != pool_symbols {
        return Err(KitError::OtherPool);
    }
    let mut secret = Zeroizing::new([0; 20]);
    for (five, eight) in secret.chunks_exact_mut(5).zip(secret_symbols.chunks_exact(8)) {
        let bits = eight.iter().fold(0_u64, |bits, symbol| (bits << 5) | u64::from(*symbol));
        five.copy_from_slice(bits.to_be_bytes().get(3..).unwrap_or_default());
    }
    Ok(secret)
}

fn is_separator(symbol: char) -> bool {
    symbol.is_whitespace() || matches!(symbol, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '_' | '.')
}

fn value_of(symbol: char) -> Option<u8> {
    let upper = symbol.to_uppercase().next()?;
    let latin = LOOKALIKES.iter().find(|(cyrillic, _)| *cyrillic == upper).map_or(upper, |(_, latin)| *latin);
    let meant = match latin {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    let place = ALPHABET.iter().position(|letter| char::from(*letter) == meant)?;
    u8::try_from(place).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::{ALPHABET, Blob, KeySlot, KitError, PoolId, RootKey, make_kit, open_slot, parse, print};

    const POOL: PoolId = PoolId([5; 16]);

    fn kit() -> (RootKey, String, KeySlot) {
        let root = RootKey::generate();
        let (code, slot) = make_kit(&root, POOL);
        (root, code.to_string(), slot)
    }

    #[test]
    fn the_code_gives_the_key_back() {
        // Goal: what a person types from paper works. Method: the code as printed, and in the ways people type.
        let (root, code, slot) = kit();
        assert_eq!(code.len(), 47);
        assert!(code.split('-').all(|group| group.len() == 5) && code.split('-').count() == 8);
        assert!(!slot.confirmed);
        let cyrillic = code.replace('A', "А").replace('E', "е").replace('0', "О").replace('X', "х");
        for typed in [
            code.clone(),
            code.to_lowercase(),
            code.replace('-', " "),
            code.replace('-', ""),
            format!("  {}\n", code.replace('-', "\u{2013}")),
            code.replace('0', "O").replace('1', "I"),
            code.replace('0', "o").replace('1', "l"),
            cyrillic,
        ] {
            assert_eq!(open_slot(&slot, POOL, &typed).unwrap().bytes(), root.bytes(), "{typed}");
        }
    }

    #[test]
    fn every_slip_of_the_hand_is_told_from_a_wrong_code() {
        // Goal: "compare with the paper", not "wrong code". Method: each other symbol at each place, each swap of
        // neighbours; 25 bits of checksum let none of them through.
        let (_, code, slot) = kit();
        let places: Vec<usize> = (0..code.len()).filter(|at| code.as_bytes()[*at] != b'-').collect();
        let typed =
            |bytes: Vec<u8>| open_slot(&slot, POOL, &String::from_utf8(bytes).unwrap()).map(|_| ()).unwrap_err();
        for at in &places {
            for symbol in ALPHABET.iter().filter(|symbol| **symbol != code.as_bytes()[*at]) {
                let mut bytes = code.clone().into_bytes();
                bytes[*at] = *symbol;
                assert_eq!(typed(bytes), KitError::Mistyped);
            }
        }
        for pair in places.windows(2) {
            let mut bytes = code.clone().into_bytes();
            bytes.swap(pair[0], pair[1]);
            if bytes != code.as_bytes() {
                assert_eq!(typed(bytes), KitError::Mistyped);
            }
        }
    }

    #[test]
    fn each_mistake_has_its_own_error() {
        // Goal: the operator learns what to do. Method: one mistake of each kind.
        let (root, code, slot) = kit();
        let open = |slot: &KeySlot, pool, code: &str| open_slot(slot, pool, code).map(|_| ()).unwrap_err();
        assert_eq!(open(&slot, POOL, ""), KitError::Length { found: 0 });
        assert_eq!(open(&slot, POOL, &code[..44]), KitError::Length { found: 37 });
        assert_eq!(open(&slot, POOL, &format!("{code}7")), KitError::Length { found: 41 });
        assert_eq!(open(&slot, POOL, &code.replacen('-', "-U", 1)), KitError::Symbol { position: 6 });
        assert_eq!(open(&slot, POOL, &code.replacen('-', "-Ж", 1)), KitError::Symbol { position: 6 });
        let (newer, newer_slot) = make_kit(&root, POOL);
        assert_eq!(open(&slot, POOL, &newer), KitError::WrongCode);
        assert_eq!(open(&newer_slot, POOL, &code), KitError::WrongCode);
        let (foreign, foreign_slot) = make_kit(&root, PoolId([6; 16]));
        assert_eq!(open(&slot, POOL, &foreign), KitError::OtherPool);
        assert_eq!(open(&foreign_slot, POOL, &foreign), KitError::OtherPool);

        let mut bad = slot.clone();
        bad.sealed_root.0[30] ^= 1;
        assert_eq!(open(&bad, POOL, &code), KitError::WrongCode);
        assert_eq!(open(&KeySlot { sealed_root: Blob(Vec::new()), ..slot.clone() }, POOL, &code), KitError::WrongCode);
        let secret = parse(&code, POOL).unwrap();
        for plain in [&[0; 10][..], &[0; 32], &[0; 48]] {
            let sealed_root = Blob(super::sealer(&secret, &slot.salt).seal(&slot.salt, plain));
            assert_eq!(open(&KeySlot { sealed_root, ..slot.clone() }, POOL, &code), KitError::Slot);
        }
    }

    #[test]
    fn codes_and_slots_are_frozen() {
        // Goal: a kit on paper opens its vault in ten years. Method: a golden code, and a slot kept from today.
        let secret = std::array::from_fn(|at| u8::try_from(at * 11).unwrap());
        assert_eq!(*print(&secret, POOL), "005HC-89C6X-14TP3-3DSWR-93WTM-PRBQH-PHBMN-E8B01");
        let slot = KeySlot {
            kind: super::KeySlotKind::RecoveryCode,
            salt: [3; 16],
            sealed_root: Blob(
                hex::decode(concat!(
                    "abd5085bf5e8eed49b0ae89ccbecfe8d478d6703ced7bce64d5451ac51e5656b21854e9d6fca4fb6eac75b3d76f66806",
                    "1b360659e3a9751342b13994963c0464a196f7177c82401af1a7076c551aaafe5afc13bfd94b53fe",
                ))
                .unwrap(),
            ),
            confirmed: true,
        };
        assert_eq!(
            open_slot(&slot, POOL, "005HC-89C6X-14TP3-3DSWR-93WTM-PRBQH-PHBMN-E8B01").unwrap().bytes(),
            &[0x77; 32]
        );
    }

    proptest! {
        /// Any secret survives printing and typing, and hostile input never panics.
        #[test]
        fn codes_round_trip(secret in any::<[u8; 20]>(), pool in any::<[u8; 16]>(), noise in any::<String>()) {
            prop_assert_eq!(*parse(&print(&secret, PoolId(pool)), PoolId(pool)).unwrap(), secret);
            let _ = parse(&noise, PoolId(pool));
        }
    }
}
