//! Which operation of which simulated disk goes wrong, and how; and the random numbers of a simulation.

use std::time::Duration;

/// Seeded random numbers (SplitMix64): the same seed gives the same run.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// A generator.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which must not be 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.bits() % end
    }

    /// True in `part` of `whole` cases.
    pub fn chance(&mut self, part: u64, whole: u64) -> bool {
        self.below(whole) < part
    }
}

/// Kind of operation that a [`Rule`] waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpKind {
    /// `DiskFile::read`.
    Read,
    /// `DiskFile::write`.
    Write,
    /// `DiskFile::sync`, `Disk::sync_folder` and `Disk::make_folder`.
    Sync,
    /// `Disk::create`.
    Create,
    /// Every other question or change of names and lengths: open, list, rename, remove, length, truncation, free space.
    Name,
}

impl OpKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Read, Self::Write, Self::Sync, Self::Create, Self::Name];
}

/// A fault that struck.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Kind of operation.
    pub op: OpKind,
    /// Disk.
    pub disk: usize,
    /// File or folder.
    pub file: String,
}

/// What happens to the operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Fails with EIO. A failed write may have landed in part; what a failed sync should have flushed never becomes
    /// durable by a later sync.
    Eio,
    /// Fails as a full disk.
    Enospc,
    /// Create and Name: fails because the process has no descriptors left.
    Emfile,
    /// Write: answered, and never lands.
    Lose,
    /// Write: answered, and lands at another offset of the file.
    Misdirect,
    /// Read: answered with some bits flipped, this time only.
    Flip,
    /// Is done, but not answered before `SimPool::release_hung` or a reboot; whoever asked for a name or folder is held up.
    Hang,
    /// Is done, and answered after this time.
    Delay(Duration),
}

/// "The n-th such operation has this effect."
#[derive(Debug, Clone)]
pub struct Rule {
    op: OpKind,
    nth: u64,
    times: u64,
    effect: Effect,
    disk: Option<usize>,
    file: Option<String>,
    seen: u64,
}

impl Rule {
    /// The `nth` (from 1) operation of this kind from now on, on any disk and file.
    #[must_use]
    pub fn new(op: OpKind, nth: u64, effect: Effect) -> Self {
        Self { op, nth, times: 1, effect, disk: None, file: None, seen: 0 }
    }

    /// Counts operations of this disk only.
    #[must_use]
    pub fn on_disk(mut self, disk: usize) -> Self {
        self.disk = Some(disk);
        self
    }

    /// Counts operations on files whose names begin so.
    #[must_use]
    pub fn on_file(mut self, prefix: &str) -> Self {
        self.file = Some(prefix.to_owned());
        self
    }

    /// Holds for this many operations in a row.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }
}

/// The rules of a pool.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults {
    rules: Vec<Rule>,
    counts: [u64; OpKind::ALL.len()],
    hits: Vec<Hit>,
}

impl Faults {
    pub(super) fn add(&mut self, rule: Rule) {
        self.rules.push(rule);
    }

    pub(super) fn clear(&mut self) {
        self.rules.clear();
    }

    /// Operations of a kind so far.
    pub(super) fn count(&self, op: OpKind) -> u64 {
        self.counts[op as usize]
    }

    /// Faults that struck so far.
    pub(super) fn hits(&self) -> &[Hit] {
        &self.hits
    }

    /// Counts the operation with every rule it fits, and returns the first effect that is due.
    pub(super) fn meet(&mut self, op: OpKind, disk: usize, file: &str) -> Option<Effect> {
        self.counts[op as usize] += 1;
        let mut due = None;
        for rule in &mut self.rules {
            let fits = rule.op == op
                && rule.disk.is_none_or(|wanted| wanted == disk)
                && rule.file.as_deref().is_none_or(|prefix| file.starts_with(prefix));
            if fits {
                rule.seen += 1;
                if rule.seen >= rule.nth && rule.seen - rule.nth < rule.times {
                    due = due.or(Some(rule.effect));
                }
            }
        }
        if due.is_some() {
            self.hits.push(Hit { op, disk, file: file.to_owned() });
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::{Effect, Faults, OpKind, Rng, Rule};

    /// Goal: rules count only what fits them, fire at their turn and for their number of times.
    #[test]
    fn rules_fire_at_their_turn() {
        let mut faults = Faults::default();
        faults.add(Rule::new(OpKind::Write, 2, Effect::Eio).on_disk(1).on_file("segments/").times(2));
        let mut meet = |op, disk, file| faults.meet(op, disk, file);
        assert_eq!(meet(OpKind::Write, 1, "segments/a"), None, "first");
        assert_eq!(meet(OpKind::Write, 0, "segments/a"), None, "other disk");
        assert_eq!(meet(OpKind::Write, 1, "journal/a"), None, "other file");
        assert_eq!(meet(OpKind::Read, 1, "segments/a"), None, "other kind");
        assert_eq!(meet(OpKind::Write, 1, "segments/a"), Some(Effect::Eio));
        assert_eq!(meet(OpKind::Write, 1, "segments/b"), Some(Effect::Eio));
        assert_eq!(meet(OpKind::Write, 1, "segments/b"), None, "over");
    }

    /// Goal: a seed fixes the numbers.
    #[test]
    fn seeds_repeat() {
        let numbers = |seed| {
            let mut rng = Rng::new(seed);
            (0..8).map(|_| rng.below(1_000)).collect::<Vec<_>>()
        };
        assert_eq!(numbers(1), numbers(1));
        assert_ne!(numbers(1), numbers(2));
    }
}
