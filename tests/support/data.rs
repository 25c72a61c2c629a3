//! Seeded data: what clients store. Every generator gives the same bytes for the same seed.

use sha2::{Digest, Sha256};

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// SplitMix64: small, fast, good enough to make test data and choices.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// A generator.
    pub fn new(seed: u64) -> Self {
        Self(mix(seed ^ GOLDEN))
    }

    /// The next word.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// A number below `end`, which must not be 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A number in `start..end`.
    pub fn range(&mut self, start: u64, end: u64) -> u64 {
        start + self.below(end - start)
    }

    /// One of the elements.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }

    /// Puts the elements in random order.
    pub fn shuffle<T>(&mut self, of: &mut [T]) {
        for last in (1..of.len()).rev() {
            of.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

/// Fills `out` with bytes `offset..` of the endless incompressible stream of `seed`. `offset` is a multiple of 8.
pub fn fill(seed: u64, offset: u64, out: &mut [u8]) {
    assert_eq!(offset % 8, 0, "the stream is made of words");
    for (word, bytes) in out.chunks_mut(8).enumerate() {
        let at = offset / 8 + word as u64;
        let value = mix(seed.wrapping_add(at.wrapping_mul(GOLDEN))).to_le_bytes();
        bytes.copy_from_slice(&value[..bytes.len()]);
    }
}

/// The first `len` bytes of [`fill`].
pub fn random(seed: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    fill(seed, 0, &mut out);
    out
}

/// Text of words and numbers that compresses about 3:1.
pub fn compressible(seed: u64, len: usize) -> Vec<u8> {
    const WORDS: [&str; 16] = [
        "account",
        "balance",
        "archive",
        "backup",
        "customer",
        "delivery",
        "invoice",
        "ledger",
        "order",
        "payment",
        "region",
        "shipment",
        "status",
        "update",
        "vault",
        "warehouse",
    ];
    let mut rng = Rng::new(seed);
    let mut out = Vec::with_capacity(len + 32);
    while out.len() < len {
        out.extend_from_slice(rng.pick(&WORDS).as_bytes());
        out.extend_from_slice(format!("\t{}\n", rng.below(100_000)).as_bytes());
    }
    out.truncate(len);
    out
}

/// Bytes of a page of a database.
pub const PAGE_LEN: usize = 8192;

/// Pages as PostgreSQL lays them out: LSN and flags ahead, tuples with a growing key, half of their bytes random.
pub fn pages(seed: u64, count: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(count * PAGE_LEN);
    for page in 0..count {
        out.extend_from_slice(&page_bytes(seed, page as u64, 0));
    }
    out
}

fn page_bytes(seed: u64, page: u64, change: u64) -> Vec<u8> {
    let mut rng = Rng::new(seed ^ page.wrapping_mul(GOLDEN));
    let mut out = Vec::with_capacity(PAGE_LEN);
    out.extend_from_slice(&(page * PAGE_LEN as u64 + change).to_le_bytes());
    out.extend_from_slice(&[0, 0, 4, 0, 24, 0, 0, 32]);
    let mut row = 0_u64;
    while out.len() < PAGE_LEN - 128 {
        out.extend_from_slice(&(page * 64 + row).to_le_bytes());
        out.extend_from_slice(b"customer      ");
        for _ in 0..5 {
            out.extend_from_slice(&rng.next().wrapping_add(change).to_le_bytes());
        }
        row += 1;
    }
    out.resize(PAGE_LEN, 0);
    out
}

/// Rewrites the given pages as an update of their rows would.
pub fn change_pages(data: &mut [u8], seed: u64, which: impl IntoIterator<Item = usize>, change: u64) {
    for page in which {
        let place = &mut data[page * PAGE_LEN..(page + 1) * PAGE_LEN];
        place.copy_from_slice(&page_bytes(seed, page as u64, change));
    }
}

/// SHA-256.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Checks a stream of pieces against [`fill`] without holding it.
#[derive(Debug)]
pub struct StreamCheck {
    seed: u64,
    at: u64,
    tail: Vec<u8>,
    wrong: Option<u64>,
}

impl StreamCheck {
    /// Expects the stream of `seed` from its start.
    pub fn new(seed: u64) -> Self {
        Self { seed, at: 0, tail: Vec::new(), wrong: None }
    }

    /// The next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        let whole = self.tail.len() / 8 * 8;
        self.compare(whole);
    }

    fn compare(&mut self, len: usize) {
        let mut expected = vec![0; len];
        fill(self.seed, self.at, &mut expected);
        if self.wrong.is_none() && expected != self.tail[..len] {
            let place = expected.iter().zip(&self.tail).position(|(a, b)| a != b).unwrap_or(0);
            self.wrong = Some(self.at + place as u64);
        }
        self.at += len as u64;
        self.tail.drain(..len);
    }

    /// Ends; the number of bytes, or the place of the first wrong one.
    pub fn end(mut self) -> Result<u64, String> {
        self.compare(self.tail.len());
        match self.wrong {
            None => Ok(self.at),
            Some(place) => Err(format!("byte {place} of the stream with seed {} is wrong", self.seed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{PAGE_LEN, Rng, StreamCheck, change_pages, pages, random};

    #[test]
    fn stream_check_finds_one_wrong_byte() {
        let mut data = random(7, 100_003);
        let check = |data: &[u8]| {
            let mut check = StreamCheck::new(7);
            data.chunks(777).for_each(|piece| check.update(piece));
            check.end()
        };
        assert_eq!(check(&data), Ok(100_003));
        data[54_321] ^= 1;
        assert!(check(&data).unwrap_err().contains("54321"));
    }

    #[test]
    fn changing_a_page_changes_that_page_only() {
        let before = pages(3, 10);
        let mut after = before.clone();
        change_pages(&mut after, 3, [4], 9);
        let differ = |page: usize| before[page * PAGE_LEN..][..PAGE_LEN] != after[page * PAGE_LEN..][..PAGE_LEN];
        assert_eq!((0..10).filter(|page| differ(*page)).collect::<Vec<_>>(), [4]);
    }

    #[test]
    fn shuffle_keeps_the_elements() {
        let mut of: Vec<u32> = (0..50).collect();
        Rng::new(1).shuffle(&mut of);
        assert_ne!(of, (0..50).collect::<Vec<_>>());
        of.sort_unstable();
        assert_eq!(of, (0..50).collect::<Vec<_>>());
    }
}
