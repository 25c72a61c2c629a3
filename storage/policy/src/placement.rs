//! Placement: which disks hold the shards of a new segment (R4).

use std::collections::BTreeMap;

use kovcheg_format::id::DiskId;
use kovcheg_format::shard::WIDTH_MAX;

use crate::facts::DiskFacts;
use crate::verdict::Reason;

/// Two disks whose free space differs by less than one part in `1 << FREE_STEP_BITS` count as equally free, so that the
/// seed, not a few bytes, decides between them and new segments spread over all of them.
const FREE_STEP_BITS: u32 = 3;

/// Chooses a disk for each shard of a new segment: k + m of them, or fewer when fewer take writes.
///
/// The answer holds k' + m disks with k' = min(k, writable − m); shard i goes to the i-th. Disks are taken one by one, each
/// time from the site, then host, then enclosure with the fewest shards so far, then by free space, then by `seed`. The
/// order of `disks` does not matter; a disk named twice counts once.
///
/// # Errors
/// [`Reason::TooFewDisks`] below m + 1 writable disks, [`Reason::ImpossibleWidth`] when no code has k + m shards.
pub fn place(disks: &[DiskFacts], k: u8, m: u8, seed: u64) -> Result<Vec<DiskId>, Reason> {
    let full = k.checked_add(m).filter(|width| k > 0 && *width <= WIDTH_MAX).ok_or(Reason::ImpossibleWidth)?;
    let mut left: BTreeMap<DiskId, &DiskFacts> =
        disks.iter().filter(|disk| disk.serving && disk.free > 0).map(|disk| (disk.id, disk)).collect();
    if left.len() <= usize::from(m) {
        return Err(Reason::TooFewDisks);
    }
    let width = usize::from(full).min(left.len());
    let mut shards = ShardCounts::default();
    let mut chosen = Vec::with_capacity(width);
    while chosen.len() < width {
        let best =
            left.values().min_by_key(|disk| (shards.near(disk), u64::MAX - free_step(disk.free), mix(seed, disk.id)));
        let Some(best) = best.copied() else { break };
        shards.add(best);
        left.remove(&best.id);
        chosen.push(best.id);
    }
    // Data and parity take turns on every disk: the order in which disks were taken would give the fullest disks parity
    // for ever.
    chosen.sort_unstable_by_key(|id| (mix(!seed, *id), *id));
    Ok(chosen)
}

/// Shards placed so far, by site, by host within a site, and by enclosure within a host.
#[derive(Default)]
struct ShardCounts<'a> {
    sites: BTreeMap<&'a str, u32>,
    hosts: BTreeMap<(&'a str, &'a str), u32>,
    enclosures: BTreeMap<(&'a str, &'a str, &'a str), u32>,
}

impl<'a> ShardCounts<'a> {
    fn keys(disk: &'a DiskFacts) -> (&'a str, &'a str, &'a str) {
        let domain = &disk.failure_domain;
        (&domain.site, &domain.host, &domain.enclosure)
    }

    /// Shards that would fail together with one on `disk`, the widest failure first.
    fn near(&self, disk: &'a DiskFacts) -> (u32, u32, u32) {
        let (site, host, enclosure) = Self::keys(disk);
        let count = |found: Option<&u32>| found.copied().unwrap_or(0);
        (
            count(self.sites.get(site)),
            count(self.hosts.get(&(site, host))),
            count(self.enclosures.get(&(site, host, enclosure))),
        )
    }

    fn add(&mut self, disk: &'a DiskFacts) {
        let (site, host, enclosure) = Self::keys(disk);
        *self.sites.entry(site).or_default() += 1;
        *self.hosts.entry((site, host)).or_default() += 1;
        *self.enclosures.entry((site, host, enclosure)).or_default() += 1;
    }
}

/// A number that grows with free space in steps of one eighth of a power of two.
fn free_step(free: u64) -> u64 {
    let power = free.checked_ilog2().unwrap_or(0);
    let next_bits = (free >> power.saturating_sub(FREE_STEP_BITS)) & ((1 << FREE_STEP_BITS) - 1);
    (u64::from(power) << FREE_STEP_BITS) | next_bits
}

/// A number that looks random but follows from seed and disk (SplitMix64).
fn mix(seed: u64, id: DiskId) -> u64 {
    id.0.iter().fold(seed, |state, byte| {
        let mut word = (state ^ u64::from(*byte)).wrapping_add(0x9e37_79b9_7f4a_7c15);
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    })
}

#[cfg(test)]
mod tests {
    use super::free_step;

    #[test]
    fn free_space_counts_in_steps() {
        assert!(free_step(1 << 40) > free_step(1 << 39));
        assert_eq!(free_step((1 << 40) + 1), free_step(1 << 40));
        assert!(free_step((1 << 40) + (1 << 37)) > free_step(1 << 40));
        let ascending: Vec<u64> = (1..=4096).map(free_step).collect();
        assert!(ascending.is_sorted() && free_step(0) <= free_step(1));
    }
}
