//! Goal (L-1, L-2): no history removes or shortens what is locked, and none refuses what S3's rules allow. Method: seeded random histories of
//! puts, copies, uploads, deletes, delete markers, locks, holds, case holds, tags, lifecycle rules, defaults, steps of the wall clock, power cuts, clean ends, lost indexes, indexes edited by hand and
//! lost disks, compared after every act with a model that restates the rules of S3 in a few lines and shares no code with the policy; the
//! retention clock itself is held against what really passed.
//!
//! `KOVCHEG_SEED` plays one history, `KOVCHEG_LOCK_ROUNDS` that many (default [`ROUNDS`]).

mod cases;
mod expiry;
mod lives;
mod rules;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kovcheg_format::id::{UploadId, VersionId};
use kovcheg_format::record::version::{RetentionMode, VersionKind};

use self::rules::{Answer, Case, Expiry, Kept, removal, retention_change};
use super::fresh;
use crate::engine::Engine;
use crate::index::memory::MemoryIndex;
use crate::object::types::{DefaultRetention, NewLock, Retention, UploadRef, VersionName, VersionQuery, VersionRef};
use crate::object::versions::list_versions;
use crate::object::{bucket, lifecycle, locks};
use crate::testing::driver::{complete, put_part};
use crate::testing::faults::Rng;
use crate::testing::locks::{
    copy_locked, create_locked_bucket, create_locked_upload, delete_version, put_locked, set_default, set_hold,
    set_retention,
};
use crate::testing::sim_disk::SimPool;
use crate::testing::world::{ManualClock, World};
use crate::vault::{Parts, Vault};

/// Histories of the usual run.
const ROUNDS: u64 = 40;
/// Acts of a history.
const ACTS: u64 = 400;

const START: u64 = 1_764_000_000_000;
const HOUR: u64 = 3600 * 1000;
const DAY: u64 = 24 * HOUR;
const BUCKET: &str = "held";
const KEYS: [&str; 3] = ["a", "a/b", "z"];

struct History {
    rng: Rng,
    world: World,
    pool: SimPool,
    clock: ManualClock,
    index: Arc<MemoryIndex>,
    vault: Option<Vault>,
    code: String,
    /// By key and age, oldest first.
    kept: Vec<Kept>,
    cases: Vec<Case>,
    rule: Option<Expiry>,
    default: DefaultRetention,
    uploads: u8,
    wall: u64,
    /// Milliseconds that the vault ran, and that it was off.
    ran: u64,
    off: u64,
    /// By how much people moved the clock.
    accepted: u64,
    /// How often.
    acceptances: u64,
    /// Whether the wall clock was ever moved.
    stepped: bool,
    /// The retention clock at the newest commit.
    committed: u64,
    /// Whether the act under way was committed.
    wrote: bool,
    log: Vec<String>,
}

type Played<T> = Result<T, String>;

impl History {
    fn new(seed: u64) -> Played<Self> {
        let mut history = Self {
            rng: Rng::new(seed),
            world: World::new("lock-model"),
            pool: SimPool::new(seed, 6),
            clock: ManualClock::new(START),
            index: fresh(),
            vault: None,
            code: String::new(),
            kept: Vec::new(),
            cases: Vec::new(),
            rule: None,
            default: DefaultRetention::default(),
            uploads: 0,
            wall: START,
            ran: 0,
            off: 0,
            accepted: 0,
            acceptances: 0,
            stepped: false,
            committed: 0,
            wrote: false,
            log: Vec::new(),
        };
        history.open(&[])?;
        create_locked_bucket(history.engine()?, BUCKET).map_err(|error| error.to_string())?;
        Ok(history)
    }

    fn engine(&self) -> Played<&Arc<Engine>> {
        self.vault.as_ref().map(Vault::engine).ok_or_else(|| "no vault".to_owned())
    }

    fn now(&self) -> Played<u64> {
        Ok(self.engine()?.retention.now().time)
    }

    fn open(&mut self, without: &[usize]) -> Played<()> {
        let disks = (0..6).filter(|disk| !without.contains(disk)).map(|disk| self.pool.disk(disk)).collect();
        let parts = self.world.parts(disks, self.index.clone());
        let opened = Vault::open_on(Parts { clock: Arc::new(self.clock.clone()), ..parts });
        let opened = opened.map_err(|error| format!("opening: {error}"))?;
        if let Some(first) = opened.first_start {
            self.code = first.recovery_code.to_string();
        }
        self.vault = Some(opened.vault);
        self.wrote = true;
        self.check_clock()
    }

    /// Never backwards, and never ahead of what passed: running, off, or by people's word.
    fn check_clock(&mut self) -> Played<()> {
        let now = self.now()?;
        if now < self.committed {
            return Err(format!("the clock ran backwards: {now} after {}", self.committed));
        }
        let (shown, passed) = (now - START, self.ran + self.off);
        let credit = (1 + self.acceptances) * 7 * DAY + self.ran / 30;
        // A wall clock that was moved can have the vault believe in a longer absence, within the credit.
        if shown > self.ran + credit + self.accepted || (!self.stepped && shown > passed + self.accepted) {
            return Err(format!("the clock ran ahead: {shown} ms, {passed} passed, {} accepted", self.accepted));
        }
        // What was shown and written nowhere may be forgotten by a power cut.
        if std::mem::take(&mut self.wrote) {
            self.committed = now;
        }
        Ok(())
    }

    /// Moves the hands by hand; between lives, or while it runs.
    fn pass(&mut self, ms: u64, running: bool) {
        self.wall = self.wall.saturating_add(ms);
        if running {
            self.clock.run(ms);
            self.ran += ms;
        } else {
            self.clock.set_wall(self.wall);
            self.off += ms;
        }
    }

    fn a_while(&mut self) -> u64 {
        match self.rng.below(4) {
            0 => self.rng.below(HOUR),
            1 => self.rng.below(2 * DAY),
            2 => self.rng.below(9 * DAY),
            _ => self.rng.below(60_000),
        }
    }

    fn a_retention(&mut self) -> Played<Retention> {
        let mode = if self.rng.chance(1, 2) { RetentionMode::Compliance } else { RetentionMode::Governance };
        let now = self.now()?;
        let until = match self.rng.below(12) {
            0 => now,
            1 => self.wall,
            2 => now + 200 * 366 * DAY,
            3 => self.kept.last().map_or(now, |kept| kept.until),
            4 => self.kept.last().map_or(now, |kept| kept.until.saturating_sub(1)),
            _ => now.max(self.wall) + 1 + self.rng.below(5 * DAY),
        };
        Ok(Retention { mode, until })
    }

    fn a_lock(&mut self) -> Played<NewLock> {
        let retention = if self.rng.chance(1, 2) { Some(self.a_retention()?) } else { None };
        Ok(NewLock { retention, legal_hold: self.rng.chance(1, 8) })
    }

    /// What S3 says to a date.
    fn is_date(&self, retention: Retention) -> Played<bool> {
        let later = self.now()?.max(self.wall);
        // A hundred years have 24 or 25 leap days; dates between are not made.
        Ok(retention.until > later && retention.until < later + 36_500 * DAY + 24 * DAY)
    }

    /// A version that exists, or the current one of a key.
    fn a_target(&mut self) -> (VersionRef, Option<usize>) {
        let key = self.rng.below(3) as usize;
        let of_key: Vec<usize> = (0..self.kept.len()).filter(|at| self.kept[*at].key == key).collect();
        if of_key.is_empty() || self.rng.chance(1, 4) {
            let current = of_key.last().copied().filter(|at| !self.kept[*at].marker);
            return (VersionRef { bucket: BUCKET.into(), key: KEYS[key].into(), version: None }, current);
        }
        let at = of_key[self.rng.below(of_key.len() as u64) as usize];
        let version = Some(VersionName::Id(self.kept[at].id));
        let target = VersionRef { bucket: BUCKET.into(), key: KEYS[key].into(), version };
        (target, Some(at).filter(|at| !self.kept[*at].marker))
    }

    /// What a new version starts with.
    fn made(&self, key: usize, id: VersionId, size: u64, lock: NewLock) -> Played<Kept> {
        let later = self.now()?.max(self.wall);
        let by_default = || match self.default.mode {
            RetentionMode::None => (RetentionMode::None, 0),
            mode => (mode, later + u64::from(self.default.days) * DAY),
        };
        let (mode, until) = lock.retention.map_or_else(by_default, |asked| (asked.mode, asked.until));
        Ok(Kept { key, id, marker: false, mode, until, hold: lock.legal_hold, tagged: false, size, born: later })
    }

    fn expect(&mut self, what: String, found: &Answer, expected: &Answer) -> Played<()> {
        self.log.push(format!("{what}: {found:?}"));
        self.wrote |= *found == Answer::Done;
        if found == expected { Ok(()) } else { Err(format!("{what}: {found:?}, expected {expected:?}")) }
    }

    fn put(&mut self, copy: bool) -> Played<()> {
        let (key, lock, size) = (self.rng.below(3) as usize, self.a_lock()?, self.rng.below(2000));
        let dated = lock.retention.map_or(Ok(true), |retention| self.is_date(retention))?;
        let mut expected = if dated { Answer::Done } else { Answer::Wrong };
        let from = self.rng.below(3) as usize;
        let source = self.kept.iter().rfind(|kept| kept.key == from).filter(|kept| !kept.marker).cloned();
        let answer = if copy {
            if source.is_none() {
                expected = Answer::Absent;
            }
            copy_locked(self.engine()?, BUCKET, (KEYS[from], KEYS[key]), lock)
        } else {
            put_locked(self.engine()?, (BUCKET, KEYS[key]), &vec![7; size as usize], lock)
        };
        let (found, version) = Answer::of(answer)?;
        self.expect(format!("put to {} (copy: {copy}) with {lock:?}", KEYS[key]), &found, &expected)?;
        if let Some(version) = version {
            let size = if copy { source.map_or(0, |source| source.size) } else { size };
            let made = self.made(key, version.version, size, lock)?;
            self.kept.push(made);
        }
        Ok(())
    }

    fn upload(&mut self) -> Played<()> {
        let (key, lock) = (self.rng.below(3) as usize, self.a_lock()?);
        self.uploads = self.uploads.wrapping_add(1);
        let upload = UploadRef { bucket: BUCKET.into(), key: KEYS[key].into(), upload: UploadId([self.uploads; 16]) };
        let dated = lock.retention.map_or(Ok(true), |retention| self.is_date(retention))?;
        let expected = if dated { Answer::Done } else { Answer::Wrong };
        let (found, opened) = Answer::of(create_locked_upload(self.engine()?, &upload, lock))?;
        self.expect(format!("upload to {} with {lock:?}", KEYS[key]), &found, &expected)?;
        if opened.is_none() {
            return Ok(());
        }
        put_part(self.engine()?, &upload, 1, "1", b"a part").map_err(|error| error.to_string())?;
        let while_open = self.a_while();
        self.pass(while_open, true);
        let version = complete(self.engine()?, &upload, &[(1, "1")]).map_err(|error| error.to_string())?;
        let made = self.made(key, version.version, 6, lock)?;
        self.kept.push(made);
        Ok(())
    }

    /// A delete without a version: always a marker.
    fn mark(&mut self) -> Played<()> {
        let key = self.rng.below(3) as usize;
        let bypass = self.rng.chance(1, 2);
        let (found, outcome) = Answer::of(delete_version(self.engine()?, (BUCKET, KEYS[key]), None, bypass))?;
        self.expect(format!("delete of {}", KEYS[key]), &found, &Answer::Done)?;
        match outcome.and_then(|outcome| outcome.name) {
            Some(VersionName::Id(id)) => {
                let (none, born) = (RetentionMode::None, self.now()?.max(self.wall));
                self.kept.push(Kept {
                    key,
                    id,
                    marker: true,
                    mode: none,
                    until: 0,
                    hold: false,
                    tagged: false,
                    size: 0,
                    born,
                });
                Ok(())
            }
            other => Err(format!("a marker named {other:?}")),
        }
    }

    fn remove(&mut self) -> Played<()> {
        if self.kept.is_empty() {
            return Ok(());
        }
        let (at, bypass, now) = (self.rng.below(self.kept.len() as u64) as usize, self.rng.chance(1, 2), self.now()?);
        let kept = self.kept[at].clone();
        let expected = removal(&kept, self.in_case(&kept), bypass, now);
        let name = Some(VersionName::Id(kept.id));
        let (found, done) = Answer::of(delete_version(self.engine()?, (BUCKET, KEYS[kept.key]), name, bypass))?;
        self.expect(format!("removal of {kept:?}, bypass {bypass}, at {now}"), &found, &expected)?;
        if done.is_some() {
            self.kept.remove(at);
        }
        Ok(())
    }

    fn retain(&mut self) -> Played<()> {
        let (target, at) = self.a_target();
        let wanted = if self.rng.chance(1, 6) { None } else { Some(self.a_retention()?) };
        let (bypass, now) = (self.rng.chance(1, 2), self.now()?);
        let expected = match (at, wanted) {
            (None, _) => Answer::Absent,
            (_, Some(wanted)) if !self.is_date(wanted)? => Answer::Wrong,
            (Some(at), wanted) => retention_change(&self.kept[at], wanted, bypass, now),
        };
        let (found, done) = Answer::of(set_retention(self.engine()?, &target, wanted, bypass))?;
        let what = format!("retention {wanted:?} of {:?}, bypass {bypass}, at {now}", at.map(|at| &self.kept[at]));
        self.expect(what, &found, &expected)?;
        if let (Some(()), Some(at)) = (done, at) {
            let kept = &mut self.kept[at];
            (kept.mode, kept.until) = wanted.map_or((RetentionMode::None, 0), |wanted| (wanted.mode, wanted.until));
        }
        Ok(())
    }

    fn hold(&mut self) -> Played<()> {
        let ((target, at), on) = (self.a_target(), self.rng.chance(1, 3));
        let expected = if at.is_some() { Answer::Done } else { Answer::Absent };
        let (found, _) = Answer::of(set_hold(self.engine()?, &target, on))?;
        self.expect(format!("hold {on} of {target:?}"), &found, &expected)?;
        if let Some(at) = at {
            self.kept[at].hold = on;
        }
        Ok(())
    }

    fn configure(&mut self) -> Played<()> {
        let mode = RetentionMode::ALL[self.rng.below(3) as usize];
        let days = if mode == RetentionMode::None { 0 } else { 1 + self.rng.below(4) as u32 };
        self.default = DefaultRetention { mode, days, years: 0 };
        self.log.push(format!("default {}", self.default));
        self.wrote = true;
        set_default(self.engine()?, BUCKET, self.default).map_err(|error| error.to_string())
    }

    fn act(&mut self) -> Played<()> {
        match self.rng.below(64) {
            0..16 => self.put(false),
            16..19 => self.put(true),
            19..21 => self.upload(),
            21..25 => self.mark(),
            25..38 => self.remove(),
            38..48 => self.retain(),
            48..53 => self.hold(),
            53 => self.configure(),
            54 => self.restart(),
            55 => {
                self.step_wall();
                Ok(())
            }
            56 if self.engine()?.retention.now().disputed => self.accept(),
            56 if self.rng.chance(1, 8) => self.accept(),
            57 if self.rng.chance(1, 6) => self.place_case(),
            58 | 61 | 62 => self.tag(),
            59 if self.rng.chance(1, 4) => self.set_rule(),
            60 if self.rng.chance(1, 4) => self.expire(),
            _ => {
                let ms = self.a_while() / 8;
                self.pass(ms, true);
                self.log.push(format!("{ms} ms pass"));
                Ok(())
            }
        }?;
        self.check_clock()?;
        self.compare()
    }

    /// Everything that can be seen, in the order in which it is listed.
    fn compare(&self) -> Played<()> {
        let engine = self.engine()?;
        let view = engine.index.as_ref();
        let bucket = bucket::find(view, BUCKET).map_err(|error| error.to_string())?;
        let default = locks::state(view, &bucket).map_err(|error| error.to_string())?;
        if default != Some(self.default) {
            return Err(format!("the default is {default:?}, expected {:?}", self.default));
        }
        let query = VersionQuery { max_keys: usize::MAX, ..VersionQuery::default() };
        let page = list_versions(view, bucket.bucket, &query).map_err(|error| error.to_string())?;
        let found: Vec<Kept> = page
            .versions
            .into_iter()
            .map(|(version, _)| Kept {
                key: KEYS.iter().position(|key| *key == version.key).unwrap_or(usize::MAX),
                id: version.version,
                marker: version.kind == VersionKind::DeleteMarker,
                mode: version.facts.retention,
                until: version.facts.retain_until,
                hold: version.facts.legal_hold,
                tagged: cases::is_tagged(&version.tags),
                size: version.size,
                born: lifecycle::made(&version),
            })
            .collect();
        let of = |key: usize| self.kept.iter().rev().filter(move |kept| kept.key == key).cloned();
        let expected: Vec<Kept> = (0..KEYS.len()).flat_map(of).collect();
        if found == expected { Ok(()) } else { Err(format!("listed {found:?}\nexpected {expected:?}")) }
    }
}

fn play(seed: u64) -> Played<()> {
    let mut history = History::new(seed)?;
    for act in 0..ACTS {
        if let Err(problem) = history.act() {
            let from = history.log.len().saturating_sub(40);
            return Err(format!("act {act}: {problem}\n{}", history.log[from..].join("\n")));
        }
    }
    Ok(())
}

#[test]
fn random_histories_of_locks_follow_the_rules_of_s3() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (first, rounds) = match (number("KOVCHEG_SEED"), number("KOVCHEG_LOCK_ROUNDS")) {
        (Some(seed), rounds) => (seed, rounds.unwrap_or(1)),
        (None, rounds) => (20_261_130, rounds.unwrap_or(ROUNDS)),
    };
    eprintln!("KOVCHEG_SEED={first}, {rounds} histories of {ACTS} acts");
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed) as u64;
                    if at >= rounds {
                        break;
                    }
                    let seed = first + at;
                    play(seed).unwrap_or_else(|problem| panic!("KOVCHEG_SEED={seed}: {problem}"));
                }
            });
        }
    });
}
