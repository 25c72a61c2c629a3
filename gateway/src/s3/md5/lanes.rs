//! The compression function of MD5 (RFC 1321) over several independent states at once.
//!
//! One portable function over arrays; compiled for wider vector sets it becomes vector instructions, a lane for each state.
#![expect(
    clippy::indexing_slicing,
    clippy::needless_range_loop,
    reason = "arrays of constant length, indexes below it by construction"
)]

/// Bytes that one step of the function takes in.
pub(crate) type Block = [u8; 64];

/// What MD5 carries from block to block.
pub(crate) type State = [u32; 4];

/// State before the first block.
pub(crate) const INITIAL: State = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

/// Most states that move forward together.
pub(crate) const LANES_MAX: usize = 16;

/// `floor(2^32 * abs(sin(i + 1)))`, RFC 1321 §3.4.
const SINES: [u32; 64] = [
    0xd76a_a478,
    0xe8c7_b756,
    0x2420_70db,
    0xc1bd_ceee,
    0xf57c_0faf,
    0x4787_c62a,
    0xa830_4613,
    0xfd46_9501,
    0x6980_98d8,
    0x8b44_f7af,
    0xffff_5bb1,
    0x895c_d7be,
    0x6b90_1122,
    0xfd98_7193,
    0xa679_438e,
    0x49b4_0821,
    0xf61e_2562,
    0xc040_b340,
    0x265e_5a51,
    0xe9b6_c7aa,
    0xd62f_105d,
    0x0244_1453,
    0xd8a1_e681,
    0xe7d3_fbc8,
    0x21e1_cde6,
    0xc337_07d6,
    0xf4d5_0d87,
    0x455a_14ed,
    0xa9e3_e905,
    0xfcef_a3f8,
    0x676f_02d9,
    0x8d2a_4c8a,
    0xfffa_3942,
    0x8771_f681,
    0x6d9d_6122,
    0xfde5_380c,
    0xa4be_ea44,
    0x4bde_cfa9,
    0xf6bb_4b60,
    0xbebf_bc70,
    0x289b_7ec6,
    0xeaa1_27fa,
    0xd4ef_3085,
    0x0488_1d05,
    0xd9d4_d039,
    0xe6db_99e5,
    0x1fa2_7cf8,
    0xc4ac_5665,
    0xf429_2244,
    0x432a_ff97,
    0xab94_23a7,
    0xfc93_a039,
    0x655b_59c3,
    0x8f0c_cc92,
    0xffef_f47d,
    0x8584_5dd1,
    0x6fa8_7e4f,
    0xfe2c_e6e0,
    0xa301_4314,
    0x4e08_11a1,
    0xf753_7e82,
    0xbd3a_f235,
    0x2ad7_d2bb,
    0xeb86_d391,
];

/// One word of each lane.
type Row<const N: usize> = [u32; N];

/// Moves each state over its blocks: the first `count` of them.
///
/// At most [`LANES_MAX`] lanes. A lane with fewer than `count` blocks is a bug of the caller and panics.
pub(crate) fn advance(lanes: &mut [(&mut State, &[Block])], count: usize) {
    match lanes.len() {
        0 => {}
        1 => advance_n::<1>(lanes, count),
        2 => advance_n::<2>(lanes, count),
        3..=4 => advance_n::<4>(lanes, count),
        5..=8 => advance_n::<8>(lanes, count),
        _ => advance_n::<LANES_MAX>(lanes, count),
    }
}

fn advance_n<const N: usize>(lanes: &mut [(&mut State, &[Block])], count: usize) {
    assert!(lanes.len() <= N, "more lanes than a register has");
    // Lanes nobody needs repeat the first; their states are dropped.
    let blocks: [&[Block]; N] = std::array::from_fn(|lane| &lanes.get(lane).unwrap_or(&lanes[0]).1[..count]);
    let mut rows: [Row<N>; 4] =
        std::array::from_fn(|word| std::array::from_fn(|lane| lanes.get(lane).map_or(0, |(state, _)| state[word])));
    dispatch(&mut rows, &blocks);
    for (lane, (state, _)) in lanes.iter_mut().enumerate() {
        **state = std::array::from_fn(|word| rows[word][lane]);
    }
}

#[cfg(target_arch = "x86_64")]
fn dispatch<const N: usize>(state: &mut [Row<N>; 4], blocks: &[&[Block]; N]) {
    // Narrow rows gain nothing from wide registers.
    if N >= 4 && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") {
        // SAFETY: the processor has what the function is compiled for, as was just asked.
        unsafe { with_avx512(state, blocks) }
    } else if N >= 8 && is_x86_feature_detected!("avx2") {
        // SAFETY: as above.
        unsafe { with_avx2(state, blocks) }
    } else {
        walk(state, blocks);
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn dispatch<const N: usize>(state: &mut [Row<N>; 4], blocks: &[&[Block]; N]) {
    walk(state, blocks);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl")]
fn with_avx512<const N: usize>(state: &mut [Row<N>; 4], blocks: &[&[Block]; N]) {
    walk(state, blocks);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn with_avx2<const N: usize>(state: &mut [Row<N>; 4], blocks: &[&[Block]; N]) {
    walk(state, blocks);
}

#[inline(always)]
fn walk<const N: usize>(state: &mut [Row<N>; 4], blocks: &[&[Block]; N]) {
    let count = blocks.iter().map(|blocks| blocks.len()).min().unwrap_or(0);
    for number in 0..count {
        let mut words: [Row<N>; 16] = [[0; N]; 16];
        for lane in 0..N {
            let (block, _) = blocks[lane][number].as_chunks::<4>();
            for word in 0..16 {
                words[word][lane] = u32::from_le_bytes(block[word]);
            }
        }
        compress(state, &words);
    }
}

/// One step: `a = b + ((a + mixed + word + sine) <<< S)`, in every lane.
#[inline(always)]
fn step<const N: usize, const S: u32>(
    a: &mut Row<N>,
    b: &Row<N>,
    word: &Row<N>,
    sine: u32,
    mixed: impl Fn(usize) -> u32,
) {
    for lane in 0..N {
        let sum = a[lane].wrapping_add(mixed(lane)).wrapping_add(word[lane]).wrapping_add(sine);
        a[lane] = sum.rotate_left(S).wrapping_add(b[lane]);
    }
}

/// Sixteen steps: the function of three words, `(factor, start)` of the order in which words are taken, and the shifts.
macro_rules! round {
    ($number:literal, $words:ident, [$a:ident, $b:ident, $c:ident, $d:ident], $mix:expr, ($factor:literal, $start:literal), [$s0:literal, $s1:literal, $s2:literal, $s3:literal]) => {
        for four in 0..4 {
            let word = |nth: usize| &$words[($factor * (4 * four + nth) + $start) % 16];
            let sine = |nth: usize| SINES[16 * $number + 4 * four + nth];
            step::<N, $s0>(&mut $a, &$b, word(0), sine(0), |lane| $mix($b[lane], $c[lane], $d[lane]));
            step::<N, $s1>(&mut $d, &$a, word(1), sine(1), |lane| $mix($a[lane], $b[lane], $c[lane]));
            step::<N, $s2>(&mut $c, &$d, word(2), sine(2), |lane| $mix($d[lane], $a[lane], $b[lane]));
            step::<N, $s3>(&mut $b, &$c, word(3), sine(3), |lane| $mix($c[lane], $d[lane], $a[lane]));
        }
    };
}

#[inline(always)]
fn compress<const N: usize>(state: &mut [Row<N>; 4], words: &[Row<N>; 16]) {
    let [mut a, mut b, mut c, mut d] = *state;
    round!(0, words, [a, b, c, d], |x: u32, y: u32, z: u32| (x & y) | (!x & z), (1, 0), [7, 12, 17, 22]);
    round!(1, words, [a, b, c, d], |x: u32, y: u32, z: u32| (x & z) | (y & !z), (5, 1), [5, 9, 14, 20]);
    round!(2, words, [a, b, c, d], |x: u32, y: u32, z: u32| x ^ y ^ z, (3, 5), [4, 11, 16, 23]);
    round!(3, words, [a, b, c, d], |x: u32, y: u32, z: u32| y ^ (x | !z), (7, 0), [6, 10, 15, 21]);
    for (row, new) in state.iter_mut().zip([a, b, c, d]) {
        for lane in 0..N {
            row[lane] = row[lane].wrapping_add(new[lane]);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::cast_possible_truncation, reason = "tests")]

    use s3s::crypto::{Checksum as _, Md5};

    use super::{Block, INITIAL, LANES_MAX, State, advance};

    /// The last blocks of a message of `len` bytes that is a whole number of blocks.
    fn padding(len: usize) -> Block {
        let mut block = [0; 64];
        block[0] = 0x80;
        block[56..].copy_from_slice(&(len as u64 * 8).to_le_bytes());
        block
    }

    /// Goal: every lane is MD5, at every number of lanes. Method: lanes of different content, against the single-stream library.
    #[test]
    fn every_lane_is_md5() {
        let content = |lane: usize| -> Vec<u8> { (0..640).map(|at| (at * 31 + lane * 7 + (at >> 3)) as u8).collect() };
        for lanes in 1..=LANES_MAX {
            let contents: Vec<Vec<u8>> = (0..lanes).map(content).collect();
            let mut states = vec![INITIAL; lanes];
            let mut work: Vec<(&mut State, &[Block])> =
                states.iter_mut().zip(&contents).map(|(state, content)| (state, content.as_chunks().0)).collect();
            advance(&mut work, 10);
            let last = padding(640);
            let mut work: Vec<(&mut State, &[Block])> =
                states.iter_mut().map(|state| (state, std::slice::from_ref(&last))).collect();
            advance(&mut work, 1);
            for (state, content) in states.iter().zip(&contents) {
                let bytes: Vec<u8> = state.iter().flat_map(|word| word.to_le_bytes()).collect();
                assert_eq!(bytes, Md5::checksum(content), "{lanes} lanes");
            }
        }
    }
}
