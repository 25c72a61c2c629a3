//! Goal: whatever happens in whatever order, what was acknowledged is what is seen, and the index says no more and no less than
//! the disks (W-1, W-2, E-1, R3, R15). Method: seeded random schedules of puts, removals, uploads, buckets, checkpoints, failing,
//! forgetful and rotten disks, disks that stay away and return, crashes between and within operations, and lost indexes, at most
//! m disks impaired at a time; after every opening everything visible is compared with the model, and the live index, row by row,
//! with one built from the disks alone.
//!
//! `KOVCHEG_SEED` plays one schedule, `KOVCHEG_MODEL_ROUNDS` that many (default [`ROUNDS`]).

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::fresh;
use super::script::{State, Step, next, perform};
use super::view::{check_rebuilt, difference, observe};
use crate::error::StorageError;
use crate::index::memory::MemoryIndex;
use crate::testing::faults::{Effect, OpKind, Rng, Rule};
use crate::testing::sim_disk::{CutPoint, SimPool};
use crate::testing::world::World;
use crate::vault::Vault;

/// Schedules of the usual run.
const ROUNDS: u64 = 120;
/// Schedules that once lost something: a tail accepted while a disk was away was not rewritten to full width; one whose disk had
/// never got its shard was lost with two other disks when that one was back.
const PAST: [u64; 4] = [500_684, 500_729, 20_261_335, 20_262_328];
/// Acts of a schedule.
const ACTS: u64 = 60;
/// Disks that may be impaired at a time: m.
const IMPAIRED_MAX: usize = 2;

struct Schedule {
    rng: Rng,
    world: World,
    pool: SimPool,
    index: Arc<MemoryIndex>,
    vault: Option<Vault>,
    state: State,
    /// Uploads by number, and whether they are open.
    uploads: u8,
    open_uploads: BTreeSet<u8>,
    parts: BTreeSet<u8>,
    bucket_there: bool,
    /// Disks that were left out at the last opening.
    missing: BTreeSet<usize>,
    /// Disks that hold less than they acknowledged, until a verification.
    decayed: BTreeSet<usize>,
    /// Disks that were fenced in this life.
    fenced: BTreeSet<usize>,
    /// Not in the schedules of [`PAST`], which were found without copies and would be others with them.
    copies: bool,
    log: Vec<String>,
}

type Played<T> = Result<T, String>;

impl Schedule {
    fn new(seed: u64) -> Played<Self> {
        let mut schedule = Self {
            rng: Rng::new(seed),
            world: World::new("random-model"),
            pool: SimPool::new(seed, 6),
            index: fresh(),
            vault: None,
            state: State::new(),
            uploads: 0,
            open_uploads: BTreeSet::new(),
            parts: BTreeSet::new(),
            bucket_there: false,
            missing: BTreeSet::new(),
            decayed: BTreeSet::new(),
            fenced: BTreeSet::new(),
            copies: !PAST.contains(&seed),
            log: Vec::new(),
        };
        schedule.open(None)?;
        schedule.step(&Step::Bucket("ledger"))?;
        Ok(schedule)
    }

    fn impaired(&self) -> BTreeSet<usize> {
        self.missing.iter().chain(&self.decayed).chain(&self.fenced).copied().collect()
    }

    /// A disk that may be impaired now.
    fn victim(&mut self) -> Option<usize> {
        let impaired = self.impaired();
        let disk = self.rng.below(6) as usize;
        let allowed = !self.missing.contains(&disk) && (impaired.contains(&disk) || impaired.len() < IMPAIRED_MAX);
        allowed.then_some(disk)
    }

    fn present(&self) -> Vec<usize> {
        (0..6).filter(|disk| !self.missing.contains(disk)).collect()
    }

    /// Opens, and compares everything. `or` is the state that may be there instead, after a crash within a step.
    fn open(&mut self, or: Option<State>) -> Played<()> {
        self.pool.clear_rules();
        self.fenced.clear();
        let disks = self.present().into_iter().map(|disk| self.pool.disk(disk)).collect();
        let opened = self.world.open(disks, self.index.clone()).map_err(|error| format!("opening: {error}"))?;
        let found = observe(opened.vault.engine()).map_err(|error| format!("after opening: {error}"))?;
        match or {
            Some(other) if found == other => self.state = other,
            _ if found == self.state => {}
            _ => return Err(format!("after opening: {}", difference(&found, &self.state))),
        }
        self.vault = Some(opened.vault);
        self.check_index()
    }

    fn check_index(&self) -> Played<()> {
        check_rebuilt(&self.world, &self.pool, &self.present(), self.index.as_ref())
    }

    /// Chooses who stays away next.
    fn reshuffle(&mut self) {
        self.missing.clear();
        while self.rng.chance(1, 3) {
            if let Some(disk) = self.victim() {
                self.missing.insert(disk);
            }
        }
    }

    fn step(&mut self, step: &Step) -> Played<()> {
        self.log.push(format!("{step:?}"));
        let vault = self.vault.as_ref().ok_or("no vault")?;
        perform(vault, "", step).map_err(|error| format!("{step:?}: {error}"))?;
        self.state = next(&self.state, step);
        self.note(step);
        Ok(())
    }

    fn note(&mut self, step: &Step) {
        match step {
            Step::Upload(n) => drop(self.open_uploads.insert(*n)),
            Step::Part(n, ..) => drop(self.parts.insert(*n)),
            Step::PartCopy(n, from, _) if self.state.contains_key(&format!("ledger/{from}")) => {
                self.parts.insert(*n);
            }
            Step::Complete(n) | Step::Abort(n) => {
                self.open_uploads.remove(n);
                self.parts.remove(n);
            }
            Step::Bucket("brief") => self.bucket_there = true,
            Step::DropBucket(_) => self.bucket_there = false,
            _ => {}
        }
    }

    fn a_step(&mut self) -> Step {
        if self.copies && self.rng.chance(1, 6) {
            return self.a_copy();
        }
        let sizes = [0, 10, 3000, 7000, 20_000, 90_000, 250_000];
        let size = sizes[self.rng.below(7) as usize];
        let upload = self.open_uploads.iter().copied().next();
        match self.rng.below(12) {
            0 | 1 => Step::Delete(format!("key-{}", self.rng.below(8))),
            2 if upload.is_none() && self.uploads < 200 => {
                self.uploads += 1;
                Step::Upload(self.uploads)
            }
            2 | 3 if upload.is_some() => {
                let n = upload.unwrap();
                match self.rng.below(4) {
                    0 => Step::Abort(n),
                    1 if self.parts.contains(&n) => Step::Complete(n),
                    _ => Step::Part(n, 2, self.rng.below(20), size),
                }
            }
            4 if self.bucket_there => Step::DropBucket("brief"),
            4 => Step::Bucket("brief"),
            _ => Step::Put(format!("key-{}", self.rng.below(8)), 1 + self.rng.below(12), size),
        }
    }

    fn a_copy(&mut self) -> Step {
        let from = format!("key-{}", self.rng.below(8));
        match self.open_uploads.iter().copied().next() {
            Some(n) if self.rng.chance(1, 2) => Step::PartCopy(n, from, (self.rng.bits(), self.rng.bits())),
            _ => Step::Copy(from, format!("key-{}", self.rng.below(8))),
        }
    }

    fn act(&mut self) -> Played<()> {
        match self.rng.below(16) {
            0 => self.reopen(),
            1 => self.crash_within_a_step(),
            2 => self.crash(),
            3 => self.step(&Step::Checkpoint),
            4 => self.fail_a_disk(),
            5 => self.decay_a_disk(),
            6 => self.verify(),
            _ => {
                let step = self.a_step();
                self.step(&step)
            }
        }
    }

    fn reopen(&mut self) -> Played<()> {
        let vault = self.vault.take().ok_or("no vault")?;
        vault.close().map_err(|error| format!("closing: {error}"))?;
        self.reshuffle();
        if self.rng.chance(1, 3) {
            self.index = fresh();
        }
        self.log.push(format!("reopen without {:?}, index kept: {}", self.missing, !self.index.is_empty()));
        self.open(None)
    }

    /// The index of after a crash: gone, or as it was flushed, some batches later perhaps.
    fn crashed_index(&mut self) -> Arc<MemoryIndex> {
        let batches = self.rng.below(self.index.unflushed() as u64 + 1);
        if self.rng.chance(1, 3) { fresh() } else { Arc::new(self.index.crash_after(batches as usize)) }
    }

    /// The power goes between two operations: nothing may be lost.
    fn crash(&mut self) -> Played<()> {
        self.vault = None;
        self.pool = self.pool.freeze().thaw(self.rng.bits());
        self.index = self.crashed_index();
        self.reshuffle();
        self.log.push(format!("crash, then without {:?}", self.missing));
        self.open(None)
    }

    /// The power goes at one of the next syncs: the step under way is there or not.
    fn crash_within_a_step(&mut self) -> Played<()> {
        let point = [CutPoint::Before, CutPoint::Halfway, CutPoint::After][self.rng.below(3) as usize];
        self.pool.cut_at(self.pool.syncs() + 1 + self.rng.below(20), point);
        let step = self.a_step();
        let done = perform(self.vault.as_ref().ok_or("no vault")?, "", &step);
        self.log.push(format!("{step:?} with a cut {point:?}: {:?}", done.as_ref().err().map(ToString::to_string)));
        let after = next(&self.state, &step);
        let open = match done {
            Ok(()) => {
                self.state = after;
                None
            }
            Err(_) if self.pool.is_on() => return Err(format!("{step:?} failed though the power is on")),
            Err(_) => Some(after),
        };
        self.pool.cut();
        self.vault = None;
        self.pool.reboot();
        self.index = self.crashed_index();
        self.reshuffle();
        self.open(open)?;
        let there = |name: &str| self.state.keys().any(|key| key.starts_with(name));
        self.bucket_there = there("brief/");
        let upload = |n: u8| format!("ledger?{}", kovcheg_format::id::UploadId([n + 1; 16]));
        self.open_uploads = (1..=self.uploads).filter(|n| there(&upload(*n))).collect();
        self.parts = self.open_uploads.iter().copied().filter(|n| there(&format!("{}/2", upload(*n)))).collect();
        Ok(())
    }

    /// The next write or flush of a disk fails: it is fenced, and nobody notices.
    fn fail_a_disk(&mut self) -> Played<()> {
        let Some(disk) = self.victim() else { return Ok(()) };
        let op = if self.rng.chance(1, 2) { OpKind::Write } else { OpKind::Sync };
        let folder = if self.rng.chance(1, 2) { "journal/" } else { "segments/" };
        self.fenced.insert(disk);
        self.log.push(format!("disk {disk} fails a {op:?} in {folder}"));
        self.pool.add_rule(Rule::new(op, 1 + self.rng.below(2), Effect::Eio).on_disk(disk).on_file(folder));
        Ok(())
    }

    /// A disk forgets or misplaces a write, or rots.
    fn decay_a_disk(&mut self) -> Played<()> {
        let Some(disk) = self.victim() else { return Ok(()) };
        self.decayed.insert(disk);
        if self.rng.chance(1, 2) {
            for (file, content) in self.pool.files(disk) {
                if ["journal/", "segments/", "checkpoints/"].iter().any(|folder| file.starts_with(folder))
                    && !content.is_empty()
                    && self.rng.chance(1, 2)
                {
                    self.pool.rot_some(disk, &file, 0, content.len() as u64, 1 + self.rng.below(3));
                }
            }
            self.log.push(format!("disk {disk} rots"));
        } else {
            let effect = if self.rng.chance(1, 2) { Effect::Lose } else { Effect::Misdirect };
            let folder = if self.rng.chance(1, 2) { "journal/" } else { "segments/" };
            self.pool.add_rule(Rule::new(OpKind::Write, 1, effect).times(2).on_disk(disk).on_file(folder));
            self.log.push(format!("disk {disk}: {effect:?} in {folder}"));
        }
        Ok(())
    }

    fn verify(&mut self) -> Played<()> {
        self.pool.clear_rules();
        let vault = self.vault.as_ref().ok_or("no vault")?;
        let report = vault.verify(None, &mut |_| ControlFlow::Continue(())).map_err(|error| error.to_string())?;
        self.log.push(format!("verify: {} repaired, {} lacking", report.repaired_shards, report.lacking_shards));
        if !report.is_clean() {
            return Err(format!("verify: {report:?}"));
        }
        // What is fenced or away was not repaired.
        let kept = |disk: &usize| self.missing.contains(disk) || self.fenced.contains(disk);
        let decayed = self.decayed.iter().copied().filter(kept).collect();
        self.decayed = decayed;
        Ok(())
    }

    fn finish(mut self) -> Played<()> {
        self.pool.clear_rules();
        let vault = self.vault.take().ok_or("no vault")?;
        let found = observe(vault.engine()).map_err(|error| format!("at the end: {error}"))?;
        if found != self.state {
            return Err(format!("at the end: {}", difference(&found, &self.state)));
        }
        self.check_index()?;
        vault.close().map_err(|error: StorageError| format!("closing: {error}"))?;
        self.index = fresh();
        self.reshuffle();
        self.open(None)
    }
}

fn play(seed: u64) -> Played<()> {
    let mut schedule = Schedule::new(seed)?;
    for _ in 0..ACTS {
        if let Err(problem) = schedule.act() {
            return Err(format!("{problem}\n{}", schedule.log.join("\n")));
        }
    }
    let log = schedule.log.join("\n");
    schedule.finish().map_err(|problem| format!("{problem}\n{log}"))
}

#[test]
fn random_schedules_keep_what_was_acknowledged() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (first, rounds) = match (number("KOVCHEG_SEED"), number("KOVCHEG_MODEL_ROUNDS")) {
        (Some(seed), rounds) => (seed, rounds.unwrap_or(1)),
        (None, rounds) => (20_261_126, rounds.unwrap_or(ROUNDS)),
    };
    eprintln!("KOVCHEG_SEED={first}, {rounds} schedules");
    let past = if number("KOVCHEG_SEED").is_none() { &PAST[..] } else { &[] };
    let seeds: Vec<u64> = past.iter().copied().chain(first..first + rounds).collect();
    let at = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(at.fetch_add(1, Ordering::Relaxed)) {
                    play(*seed).unwrap_or_else(|problem| panic!("KOVCHEG_SEED={seed}: {problem}"));
                }
            });
        }
    });
}
