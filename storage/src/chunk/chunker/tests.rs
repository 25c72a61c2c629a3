//! Cut points: deterministic, local, keyed, of the promised lengths, and the same in every release.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

use super::{ChunkProfile, Chunker, DEFAULT_PROFILE, ProfileError, Scan};

const SMALL: ChunkProfile = ChunkProfile { min: 4096, average: 16384, max: 65536 };

fn random(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn cuts(chunker: &Chunker, data: &[u8]) -> Vec<usize> {
    let (mut at, mut lengths) = (0, Vec::new());
    while let Some(len) = chunker.cut(&data[at..], true) {
        lengths.push(len);
        at += len;
    }
    assert_eq!(at, data.len());
    lengths
}

/// What the definition says, one byte at a time and from a fresh hash at every place.
fn cut_by_definition(chunker: &Chunker, window: &[u8]) -> usize {
    for len in chunker.min..window.len().min(chunker.max) {
        let limit = if len < chunker.centre { chunker.limit_below } else { chunker.limit_above };
        if window[len - 64..len].iter().fold(0, |hash, byte| chunker.gear.roll(hash, *byte)) < limit {
            return len;
        }
    }
    window.len().min(chunker.max)
}

#[test]
fn the_fast_scan_is_the_definition() {
    // Goal: unrolling and carrying the hash on change nothing. Method: compare with a byte-wise oracle, odd lengths too.
    let chunker = Chunker::new(&[7; 32], &SMALL).unwrap();
    let data = random(1, 1_000_003);
    let mut at = 0;
    while at < data.len() {
        let len = chunker.cut(&data[at..], true).unwrap();
        assert_eq!(len, cut_by_definition(&chunker, &data[at..]), "at {at}");
        at += len;
    }
}

#[test]
fn cut_points_are_frozen() {
    // Goal: no release moves a cut, or nothing would deduplicate against older data. Method: a golden list.
    let chunker = Chunker::new(&[0x42; 32], &DEFAULT_PROFILE).unwrap();
    let data = random(20, 1 << 20);
    assert_eq!(cuts(&chunker, &data), GOLDEN);
}

const GOLDEN: &[usize] = &[
    73_904, 55_374, 81_138, 54_222, 60_934, 63_217, 61_518, 77_596, 76_365, 54_085, 82_393, 90_279, 67_662, 59_217,
    86_316, 4_356,
];

#[test]
fn lengths_keep_to_the_profile() {
    // Goal: the average a bucket asks for is what it gets. Method: random data, several profiles, within 10 %.
    let profiles = [
        DEFAULT_PROFILE,
        SMALL,
        ChunkProfile { min: 4096, average: 65536, max: 1 << 20 },
        ChunkProfile { min: 100_000, average: 150_000, max: 400_000 },
        ChunkProfile { min: 65536, average: 90_000, max: 1 << 20 },
    ];
    let data = random(3, 32 << 20);
    for profile in profiles {
        let chunker = Chunker::new(&[9; 32], &profile).unwrap();
        let lengths = cuts(&chunker, &data);
        let (last, whole) = lengths.split_last().unwrap();
        assert!(whole.iter().all(|len| (profile.min as usize..=profile.max as usize).contains(len)));
        assert!(*last <= profile.max as usize);
        let average = data.len() / lengths.len();
        let asked = profile.average as usize;
        assert!(average > asked * 9 / 10 && average < asked * 11 / 10, "{profile:?} gave {average}");
    }
}

#[test]
fn constant_data_is_cut_at_the_maximum() {
    // Goal: data without content to define a cut is still bounded. Method: zeros, a key whose cuts do not fall on them.
    let chunker = Chunker::new(&[1; 32], &DEFAULT_PROFILE).unwrap();
    let lengths = cuts(&chunker, &vec![0; 1 << 20]);
    assert_eq!(lengths, [DEFAULT_PROFILE.max as usize; 4]);
}

#[test]
fn another_key_cuts_elsewhere() {
    // Goal: chunk lengths betray nothing without the key. Method: no common cut points but by chance.
    let data = random(4, 8 << 20);
    let ends = |key: u8| {
        let chunker = Chunker::new(&[key; 32], &SMALL).unwrap();
        let mut at = 0;
        cuts(&chunker, &data)
            .into_iter()
            .map(|len| {
                at += len;
                at
            })
            .collect::<std::collections::BTreeSet<_>>()
    };
    let (one, other) = (ends(1), ends(2));
    assert!(one.intersection(&other).count() <= 3, "only the end, and two by chance");
}

#[test]
fn a_short_window_asks_for_more() {
    // Goal: no cut is invented before it is known. Method: every prefix answers None or the final answer.
    let chunker = Chunker::new(&[5; 32], &SMALL).unwrap();
    let data = random(6, 70_000);
    let len = chunker.cut(&data, false).unwrap();
    for have in (0..=len + 5).step_by(97) {
        let answer = chunker.cut(&data[..have], false);
        assert!(answer.is_none() || answer == Some(len), "{have}: {answer:?}");
    }
    assert_eq!(chunker.cut(&[], true), None);
    assert_eq!(chunker.cut(&data[..10], true), Some(10));
    assert_eq!(chunker.cut(&data[..10], false), None);
}

#[test]
fn impossible_profiles_are_refused() {
    // Goal: a typed reason for each bound. Method: one profile beyond each.
    let profile = |min, average, max| Chunker::new(&[0; 32], &ChunkProfile { min, average, max }).map(|_| ());
    assert_eq!(profile(4095, 8192, 16384), Err(ProfileError::TooSmall(4095)));
    assert_eq!(profile(4096, 8192, (16 << 20) + 1), Err(ProfileError::TooLarge((16 << 20) + 1)));
    for (min, average, max) in [(8192, 8192, 16384), (4096, 16384, 16384), (16384, 8192, 65536)] {
        assert_eq!(profile(min, average, max), Err(ProfileError::Order { min, average, max }));
    }
    assert_eq!(profile(4096, 4097, 4098), Ok(()));
    assert_eq!(profile(4096, (16 << 20) - 1, 16 << 20), Ok(()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Cuts do not depend on how the bytes arrive: pieces of any length give the cuts of the whole.
    #[test]
    fn arrival_does_not_matter(seed in any::<u64>(), step in 1_usize..40_000) {
        let chunker = Chunker::new(&[3; 32], &SMALL).unwrap();
        let data = random(seed, 400_000);
        let (mut lengths, mut len, mut scan) = (Vec::new(), 0, Scan::default());
        for mut piece in data.chunks(step) {
            while let Some(end) = chunker.feed(&mut scan, piece) {
                lengths.push(len + end);
                len = 0;
                piece = &piece[end..];
            }
            len += piece.len();
            prop_assert_eq!(scan.len, len);
        }
        lengths.extend((len > 0).then_some(len));
        prop_assert_eq!(lengths, cuts(&chunker, &data));
    }

    /// An insertion changes the chunks around it; all further ones come back unchanged. About every second chunk the cuts meet again
    /// (one in 20,000 insertions took more than 16 chunks), so that 40 are not needed in a lifetime of tests.
    #[test]
    fn an_insertion_stays_local(seed in any::<u64>(), at in 0_usize..1_000_000, extra in 1_usize..5_000) {
        let chunker = Chunker::new(&[8; 32], &SMALL).unwrap();
        let data = random(seed, 2_000_000);
        let mut changed = data[..at].to_vec();
        changed.extend(random(!seed, extra));
        changed.extend(&data[at..]);
        let (before, after) = (cuts(&chunker, &data), cuts(&chunker, &changed));
        let same_head = before.iter().zip(&after).take_while(|(one, other)| one == other).count();
        let same_tail = before.iter().rev().zip(after.iter().rev()).take_while(|(one, other)| one == other).count();
        prop_assert!(before.len().saturating_sub(same_head + same_tail) <= 40, "{same_head} + {same_tail} of {}", before.len());
    }
}
