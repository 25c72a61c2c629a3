//! What each stage of the path of a byte can do on one core, and the serial limits that follow from it (DESIGN §8).
//!
//! The real path is then measured in the same process, and its share of those limits printed.
//!
//! Every stage walks the same data in the same chunks, on one thread, and is timed by that thread's CPU clock, so that
//! other load on the machine counts little. Figures are medians. `benches/README.md` says how to read them.

use std::hint::black_box;

use kovcheg_format::checksum::shard_block_crc;
use kovcheg_format::envelope::{HEADER_LEN, TAG_LEN};
use kovcheg_format::id::{DomainId, KeyId, SegmentId};
use kovcheg_format::shard::CRC_BLOCK_LEN;
use kovcheg_storage::chunk::aead::{Aead, AwsLc, Portable, XaesKey};
use kovcheg_storage::chunk::chunker::{Chunker, DEFAULT_PROFILE};
use kovcheg_storage::chunk::compress::{Compressor, looks_compressible};
use kovcheg_storage::chunk::pipeline::{ContentKind, DomainCipher};
use kovcheg_storage::erasure::Code;

/// Bytes every stage walks: one stripe, because on the real path each stage finds its input in the cache where the one
/// before left it. Larger data would measure memory and make the limits easy to reach.
const DATA_LEN: usize = 4 << 20;
/// Walks in one run.
const WALKS: usize = 24;
/// Runs of each stage; the median counts.
const RUNS: usize = 9;
/// Data and parity shards of a stripe.
const LAYOUT: (u8, u8) = (4, 2);
/// Bytes of one shard.
const SHARD_LEN: usize = 1 << 20;

#[path = "stages/engine.rs"]
mod engine;
#[path = "support/vault.rs"]
mod vault;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let cipher = DomainCipher::new(DomainId(1), KeyId(2), &[7; 32]);
    let chunker = cipher.chunker(&DEFAULT_PROFILE)?;
    let data = random_from(0, DATA_LEN);
    let chunks = cut(&chunker, &data);
    println!(
        "stage ceilings, one core, {} MiB of random data in {} chunks, median of {RUNS}",
        DATA_LEN >> 20,
        chunks.len()
    );

    let limits = Limits {
        chunk: stage("chunk (gear, 16/64/256 KiB)", || black_box(cut(&chunker, &data)).len()),
        hash: stage("hash (BLAKE3 keyed)", || {
            chunks.iter().map(|chunk| usize::from(black_box(cipher.chunk_id(chunk)).0[0])).sum()
        }),
        probe: stage("probe (incompressible)", || chunks.iter().filter(|chunk| looks_compressible(chunk)).count()),
        aead: aead_stage(&AwsLc, &chunks)?,
        erasure: erasure_stage(&data)?,
        crc: crc_stage(&data),
    };
    limits.print();

    println!("\nfor comparison");
    aead_stage(&Portable, &chunks)?;
    pipeline_stages(&cipher, &chunks)?;
    compression_stages();
    engine::run(&limits)
}

/// Rates in GB/s of what enters the vault.
struct Limits {
    chunk: f64,
    hash: f64,
    probe: f64,
    aead: f64,
    erasure: f64,
    crc: f64,
}

impl Limits {
    fn new_data(&self) -> f64 {
        let Self { chunk, hash, probe, aead, erasure, crc } = self;
        1.0 / (1.0 / chunk + 1.0 / hash + 1.0 / probe + 1.0 / aead + 1.0 / erasure + 1.0 / crc)
    }

    fn duplicates(&self) -> f64 {
        1.0 / (1.0 / self.chunk + 1.0 / self.hash)
    }

    fn print(&self) {
        println!("\nserial limits, one core");
        report("new data", self.new_data());
        report("duplicates", self.duplicates());
    }
}

fn aead_stage(aead: &dyn Aead, chunks: &[&[u8]]) -> Result<f64, Failure> {
    let key = XaesKey::new(&[9; 32]);
    let mut bodies: Vec<Vec<u8>> = chunks.iter().map(|chunk| chunk.to_vec()).collect();
    // The nonce repeats: this measures, and what it makes is thrown away.
    let seal = |body: &mut Vec<u8>| aead.seal(&key, &[3; 24], b"aad", body);
    for body in &mut bodies {
        seal(body)?;
    }
    Ok(stage(&format!("AEAD ({})", aead.name()), || {
        let sealed = bodies.iter_mut().map(seal);
        sealed.filter(Result::is_ok).count()
    }))
}

fn erasure_stage(data: &[u8]) -> Result<f64, Failure> {
    let (k, m) = LAYOUT;
    let code = Code::get(k, m)?;
    let mut parity = vec![vec![0; SHARD_LEN]; m.into()];
    let stripes = |parity: &mut Vec<Vec<u8>>| {
        let coded = data.chunks_exact(SHARD_LEN * usize::from(k)).map(|stripe| {
            let shards: Vec<&[u8]> = stripe.chunks_exact(SHARD_LEN).collect();
            let mut places: Vec<&mut [u8]> = parity.iter_mut().map(Vec::as_mut_slice).collect();
            code.encode(&shards, &mut places)
        });
        coded.filter(Result::is_ok).count()
    };
    Ok(stage(&format!("Reed-Solomon ({k}+{m}, 1 MiB shards)"), || stripes(&mut parity)))
}

/// CRCs of all shards of every stripe: (k + m) / k bytes are summed for each byte that enters.
fn crc_stage(data: &[u8]) -> f64 {
    let (k, m) = LAYOUT;
    let again = data.len() / usize::from(k) * usize::from(m);
    let sum = |bytes: &[u8]| -> u64 {
        let blocks = (0..).zip(bytes.chunks(CRC_BLOCK_LEN));
        blocks.map(|(block, bytes)| shard_block_crc(SegmentId(1), 0, 0, block, bytes) & 1).sum()
    };
    stage("shard CRC64 (all k+m shards)", || usize::from(sum(data) + sum(data.get(..again).unwrap_or(data)) > 0))
}

fn pipeline_stages(cipher: &DomainCipher, chunks: &[&[u8]]) -> Result<(), Failure> {
    let mut compressor = Compressor::new(3);
    let ids: Vec<_> = chunks.iter().map(|chunk| cipher.chunk_id(chunk)).collect();
    let mut sealed = Vec::new();
    for (id, chunk) in ids.iter().zip(chunks) {
        sealed.push(cipher.seal(*id, chunk, &mut compressor)?);
    }
    let mut rooms: Vec<Vec<u8>> = chunks.iter().map(|chunk| vec![0; HEADER_LEN + chunk.len() + TAG_LEN]).collect();
    stage("seal (copy, probe, AEAD, envelope, CRC64)", || {
        let sealed = ids.iter().zip(chunks).zip(&mut rooms).map(|((id, chunk), room)| {
            room.get_mut(HEADER_LEN..HEADER_LEN + chunk.len()).unwrap_or_default().copy_from_slice(chunk);
            cipher.seal_in_place(*id, room, &mut compressor)
        });
        sealed.filter(Result::is_ok).count()
    });
    stage("open (AEAD, id recomputed)", || {
        sealed.iter().filter(|sealed| cipher.open(ContentKind::Chunk, sealed.id, &sealed.bytes).is_ok()).count()
    });
    Ok(())
}

fn compression_stages() {
    let text: Vec<u8> = (0_u64..)
        .flat_map(|row| format!("{row}\t{:016x}\tname {}\t2026-01-{:02}\n", mix(row), row % 977, row % 28).into_bytes())
        .take(DATA_LEN)
        .collect();
    for level in [1, 3] {
        let mut compressor = Compressor::new(level);
        let mut out = Vec::new();
        let mut total = 0;
        let rate = measure(1, || {
            total = 0;
            for chunk in text.chunks(64 << 10) {
                out.clear();
                compressor.compress(chunk, &mut out);
                total += out.len();
            }
            total
        });
        let ratio = text.len() as f64 / total as f64;
        report(&format!("zstd {level} on rows of text (ratio {ratio:.1})"), rate);
    }
}

fn stage(name: &str, run: impl FnMut() -> usize) -> f64 {
    let rate = measure(RUNS, run);
    report(name, rate);
    rate
}

fn report(name: &str, rate: f64) {
    println!("  {name:<40} {rate:>7.2} GB/s");
}

/// GB a CPU second of this thread, the median of `runs` after one to warm up.
fn measure(runs: usize, mut run: impl FnMut() -> usize) -> f64 {
    black_box(run());
    let mut times: Vec<f64> = (0..runs)
        .map(|_| {
            let start = cpu_seconds(libc::CLOCK_THREAD_CPUTIME_ID);
            for _ in 0..WALKS {
                black_box(run());
            }
            cpu_seconds(libc::CLOCK_THREAD_CPUTIME_ID) - start
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let median = times.get(runs / 2).copied().unwrap_or(f64::INFINITY);
    (DATA_LEN * WALKS) as f64 / 1e9 / median
}

fn cut<'a>(chunker: &Chunker, data: &'a [u8]) -> Vec<&'a [u8]> {
    let (mut rest, mut chunks) = (data, Vec::new());
    while let Some((chunk, after)) = chunker.cut(rest, true).and_then(|len| rest.split_at_checked(len)) {
        chunks.push(chunk);
        rest = after;
    }
    chunks
}

/// SplitMix64: the n-th of a sequence that passes for random.
fn mix(n: u64) -> u64 {
    let mut word = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// `len` random bytes; other `seed`s (2^32 apart or more) give others.
fn random_from(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len.next_multiple_of(8));
    for n in (seed..).take(len.div_ceil(8)) {
        bytes.extend_from_slice(&mix(n).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

fn cpu_seconds(clock: libc::clockid_t) -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec of this stack frame; both clocks exist on every Linux.
    let answer = unsafe { libc::clock_gettime(clock, &raw mut time) };
    assert_eq!(answer, 0, "the CPU clock cannot be read");
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
