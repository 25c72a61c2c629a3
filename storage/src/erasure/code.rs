//! One Reed-Solomon code for each (k, m), made once: GF(2^8), systematic (`CODEC_RS_GF8` of `kovcheg_format::shard`).
//!
//! Works byte position by byte position, so that shards and equal sub-ranges of shards are the same to it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use kovcheg_format::shard::WIDTH_MAX;
use parking_lot::Mutex;
use reed_solomon_erasure::galois_8::ReedSolomon;
use thiserror::Error;

/// Bytes of each shard coded at a time: one slice of every shard of a wide stripe stays in the second-level cache while
/// each parity shard is summed up.
const SLICE_LEN: usize = 16 << 10;

/// Why shards could not be coded.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
pub enum ErasureError {
    /// No such code.
    #[error("no code of {k} data and {m} parity shards: both must be at least 1, together at most {WIDTH_MAX}")]
    Layout {
        /// Data shards.
        k: u8,
        /// Parity shards.
        m: u8,
    },
    /// Another number of shards than the code has.
    #[error("{found} shards where the code has {expected}")]
    Count {
        /// Shards given.
        found: usize,
        /// Shards of the code.
        expected: usize,
    },
    /// Shards of unequal length, or of none.
    #[error("shards are empty or of unequal length")]
    Lengths,
    /// More than m shards are missing.
    #[error("{present} shards are there and {needed} are needed")]
    TooFew {
        /// Shards there.
        present: usize,
        /// Data shards of the code.
        needed: usize,
    },
    /// The arithmetic itself failed, which shards of checked number and length do not cause.
    #[error("erasure code: {0}")]
    Arithmetic(reed_solomon_erasure::Error),
}

type Codes = Mutex<HashMap<(u8, u8), Arc<Code>>>;

/// Few in a vault: full width and the narrower ones of R4.
static CODES: LazyLock<Codes> = LazyLock::new(Mutex::default);

/// The code of k data and m parity shards.
pub struct Code {
    k: u8,
    m: u8,
    inner: ReedSolomon,
}

impl Code {
    /// The code of this layout, shared by all who ask.
    pub fn get(k: u8, m: u8) -> Result<Arc<Self>, ErasureError> {
        let layout = ErasureError::Layout { k, m };
        if k == 0 || m == 0 || k.checked_add(m).is_none_or(|width| width > WIDTH_MAX) {
            return Err(layout);
        }
        let mut codes = CODES.lock();
        if let Some(code) = codes.get(&(k, m)) {
            return Ok(code.clone());
        }
        let inner = ReedSolomon::new(k.into(), m.into()).map_err(|_| layout)?;
        let code = Arc::new(Self { k, m, inner });
        codes.insert((k, m), code.clone());
        Ok(code)
    }

    /// Data shards.
    #[must_use]
    pub fn k(&self) -> u8 {
        self.k
    }

    /// Parity shards.
    #[must_use]
    pub fn m(&self) -> u8 {
        self.m
    }

    /// Fills the m `parity` shards from the k `data` shards, all of one length. What parity held before is lost.
    pub fn encode(&self, data: &[&[u8]], parity: &mut [&mut [u8]]) -> Result<(), ErasureError> {
        check_count(data.len(), self.k.into())?;
        check_count(parity.len(), self.m.into())?;
        let len = data.first().map_or(0, |shard| shard.len());
        let equal = data.iter().all(|shard| shard.len() == len) && parity.iter().all(|shard| shard.len() == len);
        if len == 0 || !equal {
            return Err(ErasureError::Lengths);
        }
        let mut data: Vec<_> = data.iter().map(|shard| shard.chunks(SLICE_LEN)).collect();
        let mut parity: Vec<_> = parity.iter_mut().map(|shard| shard.chunks_mut(SLICE_LEN)).collect();
        for _ in 0..len.div_ceil(SLICE_LEN) {
            let from: Vec<&[u8]> = data.iter_mut().filter_map(Iterator::next).collect();
            let mut to: Vec<&mut [u8]> = parity.iter_mut().filter_map(Iterator::next).collect();
            self.inner.encode_sep(&from, &mut to).map_err(ErasureError::Arithmetic)?;
        }
        Ok(())
    }

    /// Fills in every missing shard from those that are there, data shards first, then parity. At most m may be missing;
    /// after an error those that were missing are unspecified. Shards given are believed: check their CRCs before.
    pub fn reconstruct(&self, shards: &mut [Option<Vec<u8>>]) -> Result<(), ErasureError> {
        check_count(shards.len(), usize::from(self.k) + usize::from(self.m))?;
        let (mut present, mut len) = (0, 0);
        for shard in shards.iter().flatten() {
            if shard.is_empty() || (present > 0 && shard.len() != len) {
                return Err(ErasureError::Lengths);
            }
            (present, len) = (present + 1, shard.len());
        }
        if present < self.k.into() {
            return Err(ErasureError::TooFew { present, needed: self.k.into() });
        }
        self.inner.reconstruct(shards).map_err(ErasureError::Arithmetic)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Code({}+{})", self.k, self.m)
    }
}

fn check_count(found: usize, expected: usize) -> Result<(), ErasureError> {
    if found == expected { Ok(()) } else { Err(ErasureError::Count { found, expected }) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use std::sync::Arc;

    use proptest::prelude::{Just, Strategy, any, prop, prop_assert_eq, proptest};

    use super::{Code, ErasureError, SLICE_LEN};

    fn random(seed: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
        bytes
    }

    fn stripe(k: u8, m: u8, len: usize, seed: u64) -> Vec<Vec<u8>> {
        let mut shards: Vec<Vec<u8>> = (0..k).map(|index| random(seed ^ u64::from(index), len)).collect();
        // Parity starts out as garbage: encoding must not add to it.
        let mut parity = vec![vec![0xa5; len]; m.into()];
        let data: Vec<&[u8]> = shards.iter().map(Vec::as_slice).collect();
        let mut places: Vec<&mut [u8]> = parity.iter_mut().map(Vec::as_mut_slice).collect();
        Code::get(k, m).unwrap().encode(&data, &mut places).unwrap();
        shards.extend(parity);
        shards
    }

    #[test]
    fn parity_is_frozen() {
        // Goal: stripes of today are readable for ever. Method: golden parity of a small and of a full-width stripe.
        let digest = |shards: &[Vec<u8>]| blake3::hash(&shards.concat()).to_hex()[..32].to_string();
        assert_eq!(digest(&stripe(4, 2, 1000, 1)[4..]), "363c4503dc77d404ba4049e8136ce74e");
        assert_eq!(digest(&stripe(3, 2, 1000, 1)[3..]), "9fc33ccf2980b551e5f98c80edc05102");
        assert_eq!(digest(&stripe(24, 8, 40_000, 1)[24..]), "ba0e5554cb1baa2e98d064e9ca766cff");
    }

    #[test]
    fn every_loss_of_two_of_six_is_made_good() {
        // Goal: E-1 for the default layout. Method: all pairs.
        let whole = stripe(4, 2, SLICE_LEN + 77, 5);
        for one in 0..6 {
            for other in 0..6 {
                let mut shards: Vec<_> = whole.iter().cloned().map(Some).collect();
                (shards[one], shards[other]) = (None, None);
                Code::get(4, 2).unwrap().reconstruct(&mut shards).unwrap();
                assert_eq!(shards.into_iter().flatten().collect::<Vec<_>>(), whole, "{one} {other}");
            }
        }
    }

    #[test]
    fn impossible_requests_are_refused() {
        // Goal: a typed error for each. Method: one request beyond each bound.
        for (k, m) in [(0, 2), (4, 0), (31, 2), (255, 255), (0, 0)] {
            assert_eq!(Code::get(k, m).unwrap_err(), ErasureError::Layout { k, m });
        }
        assert!(Code::get(1, 1).is_ok() && Code::get(30, 2).is_ok());
        assert!(Arc::ptr_eq(&Code::get(4, 2).unwrap(), &Code::get(4, 2).unwrap()));

        let code = Code::get(2, 1).unwrap();
        let (one, short) = ([1_u8; 8], [2_u8; 7]);
        let encode = |data: &[&[u8]], len: usize| code.encode(data, &mut [&mut vec![0; len][..]]);
        assert_eq!(encode(&[&one], 8), Err(ErasureError::Count { found: 1, expected: 2 }));
        assert_eq!(encode(&[&one, &short], 8), Err(ErasureError::Lengths));
        assert_eq!(encode(&[&one, &one], 7), Err(ErasureError::Lengths));
        assert_eq!(encode(&[&[], &[]], 0), Err(ErasureError::Lengths));
        assert_eq!(code.encode(&[&one, &one], &mut []), Err(ErasureError::Count { found: 0, expected: 1 }));

        let mut shards = [Some(vec![1; 8]), None, None];
        assert_eq!(code.reconstruct(&mut shards), Err(ErasureError::TooFew { present: 1, needed: 2 }));
        assert_eq!(shards, [Some(vec![1; 8]), None, None]);
        assert_eq!(code.reconstruct(&mut [Some(vec![1; 8]), Some(vec![2; 7]), None]), Err(ErasureError::Lengths));
        assert_eq!(code.reconstruct(&mut [None, None]), Err(ErasureError::Count { found: 2, expected: 3 }));
    }

    fn layouts() -> impl Strategy<Value = (u8, u8, Vec<usize>)> {
        (1_u8..=16, 1_u8..=16).prop_flat_map(|(k, m)| {
            let width = usize::from(k) + usize::from(m);
            let lost = prop::sample::subsequence((0..width).collect::<Vec<_>>(), 0..=usize::from(m));
            (Just(k), Just(m), lost)
        })
    }

    proptest! {
        /// Any loss of at most m shards is made good, of whole shards and of any sub-range of them.
        #[test]
        fn any_loss_of_m_is_made_good((k, m, lost) in layouts(), len in 1_usize..3000, seed in any::<u64>(), from in 0_usize..3000) {
            let whole = stripe(k, m, len, seed);
            let from = from % len;
            for range in [0..len, from..len] {
                let part: Vec<Vec<u8>> = whole.iter().map(|shard| shard[range.clone()].to_vec()).collect();
                let mut shards: Vec<_> = part.iter().cloned().map(Some).collect();
                for index in &lost {
                    shards[*index] = None;
                }
                Code::get(k, m).unwrap().reconstruct(&mut shards).unwrap();
                prop_assert_eq!(shards.into_iter().flatten().collect::<Vec<_>>(), part);
            }
        }
    }
}
