//! Goal: no bytes of a disk, however broken or forged, make a decoder panic or allocate without bound. Method: a seeded
//! fuzzer over every decoder: noise, bit flips, truncations, inflated length fields and repaired checksums, with the
//! samples as seeds. `KOVCHEG_SEED` repeats a run, `KOVCHEG_FUZZ_ROUNDS` scales it. Two canaries prove that the harness sees a panic
//! and a greedy allocation.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::cast_possible_truncation, reason = "tests")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use kovcheg_format::checksum::crc64;
use support::decoders::{self, Decoder};
use support::samples;

thread_local! {
    /// Bytes in use on this thread since the last reset, and their peak.
    static IN_USE: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

struct Counting;

fn count(change: isize) {
    // During the end of a thread there is nothing left to count into, and nothing to measure.
    let _ = IN_USE.try_with(|cell| {
        let (now, peak) = cell.get();
        let now = now.saturating_add(change);
        cell.set((now, peak.max(now)));
    });
}

// SAFETY: every call goes to the system's allocator unchanged; counting touches a thread-local cell and never allocates.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: `place` came from `alloc` above with this `layout`.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocation a decoder may make for one byte of input. The worst is a list of short texts: a `Pair` takes 48 bytes in
/// memory and 8 on disk, a `Vec` doubles while it grows, and `check` encodes once more.
const BYTES_PER_BYTE: usize = 64;
/// Allocation it may make whatever the input.
const BYTES_FREE: usize = 64 << 10;

/// SplitMix64: the numbers of a run follow from its seed alone.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// What a decoder did with an input.
#[derive(Debug, PartialEq)]
enum Outcome {
    Taken,
    Refused,
    Panicked,
    Greedy(usize),
}

fn run(decode: &Decoder, input: &[u8]) -> Outcome {
    let before = IN_USE.get().0;
    IN_USE.set((before, before));
    let taken = catch_unwind(AssertUnwindSafe(|| decode(input)));
    let peak = usize::try_from(IN_USE.get().1 - before).unwrap_or(0);
    match taken {
        Err(_) => Outcome::Panicked,
        Ok(_) if peak > BYTES_FREE + BYTES_PER_BYTE * input.len() => Outcome::Greedy(peak),
        Ok(true) => Outcome::Taken,
        Ok(false) => Outcome::Refused,
    }
}

fn env_number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}

/// Numbers that break arithmetic when a reader believes them.
const NASTY: [u64; 9] = [0, 1, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX - 1, u64::MAX];

/// One broken descendant of `seed`.
fn mutate(seed: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(3) {
        if bytes.is_empty() {
            break;
        }
        let at = random.below(bytes.len().min(512));
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes.truncate(at),
            2 => {
                let cut = random.below(bytes.len());
                bytes.truncate(cut);
            }
            3 => {
                let width = [1, 2, 4, 8][random.below(4)];
                let number = NASTY[random.below(NASTY.len())].to_le_bytes();
                for (place, byte) in bytes.iter_mut().skip(at).take(width).zip(number) {
                    *place = byte;
                }
            }
            4 => {
                let len = random.below(64);
                bytes.extend(random.bytes(len));
            }
            _ => {
                let other = random.below(bytes.len());
                bytes.swap(at, other);
            }
        }
    }
    bytes
}

/// Makes the checksum right again, so that the mutation gets past it, as a forger would.
fn forge(name: &str, bytes: &mut [u8]) {
    let put = |bytes: &mut [u8], at: usize, crc: u64| {
        if let Some(place) = bytes.get_mut(at..at + 8) {
            place.copy_from_slice(&crc.to_le_bytes());
        }
    };
    match name {
        "superblock" | "superblock_file" if bytes.len() >= 16_384 => put(bytes, 16_376, crc64(&bytes[..16_376])),
        "keyring" if bytes.len() >= 76 => {
            let sealed = u32::from_le_bytes([bytes[64], bytes[65], bytes[66], bytes[67]]) as usize;
            if let Some(covered) = bytes.get(..68 + sealed) {
                put(bytes, 68 + sealed, crc64(covered));
            }
        }
        "shard" if bytes.len() >= 256 => {
            let len = u32::from_le_bytes([bytes[136], bytes[137], bytes[138], bytes[139]]) as usize;
            let table = 256 + 8 * len.div_ceil(65_536);
            if let Some(table) = bytes.get(256..table) {
                put(bytes, 248, crc64(&[&bytes[..248], table].concat()));
            }
        }
        _ => {}
    }
}

/// Feeds one decoder `rounds` broken inputs. Its numbers follow from the seed and its name, whatever runs beside it.
fn attack(name: &str, decode: &Decoder, seed: u64, rounds: u64) {
    let mut random = Random(seed ^ crc64(name.as_bytes()));
    let samples = samples::all();
    let seeds: Vec<&Vec<u8>> =
        samples.iter().filter(|(sample, _)| sample.starts_with(name)).map(|(_, bytes)| bytes).collect();
    let (mut taken, mut refused) = (0_u64, 0_u64);
    for round in 0..rounds {
        let len = random.below(600);
        let mut input = match seeds.get(random.below(seeds.len() + 1)) {
            Some(sample) => mutate(sample, &mut random),
            None => random.bytes(len),
        };
        if random.below(2) == 0 {
            forge(name, &mut input);
        }
        match run(decode, &input) {
            Outcome::Taken => taken += 1,
            Outcome::Refused => refused += 1,
            bad => panic!("{name}: {bad:?} in round {round} of KOVCHEG_SEED={seed} on {}", hex::encode(&input)),
        }
    }
    assert!(refused > 0, "{name}: nothing was refused, so nothing was tried");
    println!("{name}: {taken} taken, {refused} refused");
}

#[test]
fn hostile_bytes_never_panic() {
    let seed = env_number("KOVCHEG_SEED").unwrap_or_else(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        since.as_nanos() as u64
    });
    let rounds = env_number("KOVCHEG_FUZZ_ROUNDS").unwrap_or(1) * 40_000;
    println!("KOVCHEG_SEED={seed}");
    let next = AtomicUsize::new(0);
    let cores = std::thread::available_parallelism().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..cores.get() {
            scope.spawn(|| {
                let decoders = decoders::all();
                while let Some((name, decode)) = decoders.get(next.fetch_add(1, Ordering::Relaxed)) {
                    attack(name, decode, seed, rounds);
                }
            });
        }
    });
}

/// Every length of every sample: no prefix panics, and none but the whole is taken.
#[test]
fn every_truncation_is_refused() {
    let decoders = decoders::all();
    for (name, bytes) in samples::all() {
        let (prefix, decode) = decoders
            .iter()
            .filter(|(prefix, _)| name.starts_with(prefix.as_str()))
            .max_by_key(|(p, _)| p.len())
            .unwrap();
        assert_eq!(run(decode, &bytes), Outcome::Taken, "{name}");
        // Behind its CRC table a shard's front is not the decoder's, and an envelope's end is the AEAD tag's to find.
        let whole = match prefix.as_str() {
            "shard" => 256 + 2 * 8,
            "envelope" => 56 + 16,
            // One slot of four is enough.
            "superblock_file" => 16_384,
            _ => bytes.len(),
        };
        for len in (0..whole).filter(|len| whole < 4096 || len % 61 == 0) {
            assert_eq!(run(decode, &bytes[..len]), Outcome::Refused, "{name} cut to {len}");
        }
    }
}

/// The harness sees a decoder that indexes on the word of its input.
#[test]
fn canary_panic_is_caught() {
    let careless: Decoder = Box::new(|bytes| bytes[usize::from(bytes[0])] == 0);
    assert_eq!(run(&careless, &[200, 0]), Outcome::Panicked);
    assert_eq!(run(&careless, &[1, 0]), Outcome::Taken);
}

/// The harness sees a decoder that allocates on the word of its input.
#[test]
fn canary_greed_is_caught() {
    let greedy: Decoder = Box::new(|bytes| {
        let len = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
        !std::hint::black_box(Vec::<u8>::with_capacity(len)).is_empty()
    });
    assert!(matches!(run(&greedy, &[0, 0, 0, 1]), Outcome::Greedy(_)));
    assert_eq!(run(&greedy, &[1, 0, 0, 0]), Outcome::Refused);
}
