//! Goal: one fault of one disk costs nothing: no step fails that the design lets live, every acknowledged state reads back while
//! the vault runs, after reopening, and from the disks alone without one more disk; the disk whose write failed gets no more
//! (W-1, E-1, R4, R13). Method: the script, cut into its lives; each life is played once to count its operations by kind, then
//! again from the same frozen disks with exactly the n-th operation of a kind going wrong, for every kind and effect.
//!
//! `KOVCHEG_FAULT_STRIDE=1` tries every n, 4 every fourth, from where `KOVCHEG_FAULT_PHASE` has it begin; without a stride about [`CASES`]
//! cases are spread over all of them.

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use kovcheg_format::record::pool::DiskState;
use kovcheg_format::record::segment::SegmentRow;
use kovcheg_format::shard::StripeKind;
use parking_lot::Mutex;

use super::script::{State, Step, next, perform, steps};
use super::view::{difference, observe};
use super::{bytes, fresh};
use crate::engine::Engine;
use crate::error::{StorageError, StorageResult};
use crate::index::memory::MemoryIndex;
use crate::index::{Column, rows};
use crate::testing::driver::{get, put};
use crate::testing::faults::{Effect, Hit, OpKind, Rng, Rule};
use crate::testing::sim_disk::{Frozen, SimPool};
use crate::testing::world::World;
use crate::vault::Vault;

/// Cases of the usual run, in all.
const CASES: u64 = 550;
/// What can go wrong.
const FAULTS: [(OpKind, Effect); 11] = [
    (OpKind::Write, Effect::Eio),
    (OpKind::Write, Effect::Enospc),
    (OpKind::Write, Effect::Lose),
    (OpKind::Write, Effect::Misdirect),
    (OpKind::Read, Effect::Eio),
    (OpKind::Read, Effect::Flip),
    (OpKind::Sync, Effect::Eio),
    (OpKind::Create, Effect::Eio),
    (OpKind::Create, Effect::Enospc),
    (OpKind::Name, Effect::Eio),
    (OpKind::Sync, Effect::Lose),
];

/// What a life begins with, once there was one before.
struct Past {
    disks: Frozen,
    index: MemoryIndex,
    code: String,
}

/// From one opening to the next.
struct Life {
    number: usize,
    /// `None` for the first.
    past: Option<Past>,
    state: State,
    without: Vec<usize>,
    steps: Vec<Step>,
    /// Operations by kind.
    counts: [u64; OpKind::ALL.len()],
}

/// One fault to be tried.
#[derive(Debug, Clone, Copy)]
struct Case {
    life: usize,
    op: OpKind,
    effect: Effect,
    nth: u64,
}

/// A life being played.
struct Player<'a> {
    world: &'a World,
    pool: SimPool,
    index: Arc<MemoryIndex>,
    code: String,
    without: &'a [usize],
}

impl Player<'_> {
    fn open(&mut self) -> StorageResult<Vault> {
        let disks = (0..6).filter(|disk| !self.without.contains(disk)).map(|disk| self.pool.disk(disk)).collect();
        let opened = self.world.open(disks, self.index.clone())?;
        if let Some(first) = opened.first_start {
            self.code = first.recovery_code.to_string();
        }
        Ok(opened.vault)
    }

    fn counts(&self) -> [u64; OpKind::ALL.len()] {
        OpKind::ALL.map(|op| self.pool.count(op))
    }
}

fn player<'a>(life: &'a Life, world: &'a World, seed: u64) -> Player<'a> {
    let (pool, index, code) = match &life.past {
        None => (SimPool::new(seed, 6), MemoryIndex::new(), String::new()),
        Some(past) => (past.disks.thaw(seed), past.index.crash(), past.code.clone()),
    };
    Player { world, pool, index: Arc::new(index), code, without: &life.without }
}

/// Plays the script without faults and cuts it into lives.
fn lives(world: &World, seed: u64) -> Vec<Life> {
    let mut lives: Vec<Life> = Vec::new();
    let (mut past, mut state, mut without, mut left) = (None, State::new(), Vec::new(), steps(seed));
    while !left.is_empty() {
        let end = left.iter().position(|step| matches!(step, Step::Reopen(_))).unwrap_or(left.len());
        let rest = left.split_off(end);
        let counts = [0; OpKind::ALL.len()];
        let mut life = Life { number: lives.len(), past, state: state.clone(), without, steps: left, counts };
        let mut player = player(&life, world, seed);
        let before = player.counts();
        let vault = player.open().unwrap();
        for step in &life.steps {
            perform(&vault, &player.code, step).unwrap();
            state = next(&state, step);
        }
        assert_eq!(difference(&observe(vault.engine()).unwrap(), &state), "");
        vault.close().unwrap();
        let after = player.counts();
        past = Some(Past { disks: player.pool.freeze(), index: player.index.crash(), code: player.code.clone() });
        life.counts = std::array::from_fn(|kind| after[kind] - before[kind]);
        lives.push(life);
        without = match rest.first() {
            Some(Step::Reopen(without)) => without.clone(),
            _ => Vec::new(),
        };
        left = rest.into_iter().skip(1).collect();
    }
    lives
}

fn cases(lives: &[Life]) -> Vec<Case> {
    let all: u64 = lives.iter().flat_map(|life| FAULTS.map(|(op, _)| life.counts[op as usize])).sum();
    let asked = std::env::var("KOVCHEG_FAULT_STRIDE").ok().and_then(|text| text.parse().ok());
    let stride: u64 = asked.unwrap_or(all / CASES).max(1);
    let phase = std::env::var("KOVCHEG_FAULT_PHASE").ok().and_then(|text| text.parse().ok());
    let mut rng = Rng::new(phase.unwrap_or(all));
    let mut cases = Vec::new();
    for life in lives {
        for (op, effect) in FAULTS {
            let mut nth = 1 + rng.below(stride);
            while nth <= life.counts[op as usize] {
                cases.push(Case { life: life.number, op, effect, nth });
                nth += stride;
            }
        }
    }
    eprintln!("{} of {all} cases", cases.len());
    cases
}

/// What must be there, and what may be instead: the outcome of a step that failed is open until the next start.
struct Model {
    certain: State,
    open: Option<State>,
}

impl Model {
    fn acknowledge(&mut self, step: &Step) {
        self.certain = next(&self.certain, step);
        self.open = None;
    }

    fn fail(&mut self, step: &Step) {
        self.open.get_or_insert_with(|| next(&self.certain, step));
    }

    fn check(&self, found: StorageResult<State>, moment: &str) -> Result<(), String> {
        let found = found.map_err(|error| format!("{moment}: {error}"))?;
        if found == self.certain || self.open.as_ref() == Some(&found) {
            return Ok(());
        }
        Err(format!("{moment}: {}", difference(&found, &self.certain)))
    }
}

/// Whether a step may fail when one disk of a pool fails that can spare it: a checkpoint is given up and taken again.
fn may_fail(step: &Step) -> bool {
    matches!(step, Step::Checkpoint)
}

/// Plays a life with one fault and looks at what is left of it. Whether the fault struck, or what went wrong.
fn play(life: &Life, case: Case, shared: &World, seed: u64) -> Result<bool, String> {
    // The key file of a first start is its own.
    let own = World::new("nth-fault");
    let world = if life.past.is_some() { shared } else { &own };
    let mut player = player(life, world, seed ^ case.nth);
    player.pool.add_rule(Rule::new(case.op, case.nth, case.effect));
    let strict = life.without.len() < 2;
    let mut model = Model { certain: life.state.clone(), open: None };
    let vault = match player.open() {
        Ok(vault) => vault,
        Err(error) if strict && life.past.is_some() => return Err(format!("opening failed: {error}")),
        Err(_) => player.open().map_err(|error| format!("the second opening failed: {error}"))?,
    };
    for step in &life.steps {
        match perform(&vault, &player.code, step) {
            Ok(()) => model.acknowledge(step),
            Err(error) if strict && !may_fail(step) => return Err(format!("{step:?} failed: {error}")),
            Err(_) => {
                model.fail(step);
                if strict {
                    perform(&vault, &player.code, step).map_err(|error| format!("{step:?} failed again: {error}"))?;
                    model.acknowledge(step);
                }
            }
        }
    }
    if !strict {
        player.pool.clear_rules();
    }
    let found = observe(vault.engine());
    // Two disks away, and the third could not be opened: more than m, and a typed error is the right answer (E-1).
    let away = vault.engine().disks.slots().iter().filter(|slot| slot.readable().is_none()).count();
    if !(away > 2 && matches!(found, Err(StorageError::Damaged { .. }))) {
        Model { certain: model.certain.clone(), open: None }.check(found, "while it ran")?;
    }
    let hits = player.pool.hits();
    if let (Some(hit), true) = (hits.first(), strict) {
        check_fenced(vault.engine(), case, hit, &mut model)?;
    }
    if let Err(error) = vault.close()
        && strict
    {
        return Err(format!("closing failed: {error}"));
    }
    player.pool.clear_rules();
    let Some(hit) = player.pool.hits().first().cloned() else { return Ok(false) };
    check_after(&player, &model, &hit, case)?;
    Ok(true)
}

/// A disk that failed a write or a flush takes no more writes in this life, and the next segment does without it (R13, R4). One that
/// was full is sound.
fn check_fenced(engine: &Arc<Engine>, case: Case, hit: &Hit, model: &mut Model) -> Result<(), String> {
    let failed = matches!((case.op, case.effect), (OpKind::Write | OpKind::Sync, Effect::Eio | Effect::Enospc));
    let part_of_stripe = ["journal/", "segments/"].iter().any(|folder| hit.file.starts_with(folder));
    let label = format!("sim{}", hit.disk);
    if !failed || !part_of_stripe {
        return Ok(());
    }
    let slot = engine.disks.slots().iter().find(|slot| slot.label == label).ok_or("no slot for the disk")?;
    if (case.op, case.effect) == (OpKind::Write, Effect::Enospc) {
        let sound = slot.state() == DiskState::Serving;
        return if sound { Ok(()) } else { Err(format!("{label} is {:?} after {hit:?}", slot.state())) };
    }
    if slot.state() != DiskState::Fenced {
        return Err(format!("{label} is {:?} after {hit:?}", slot.state()));
    }
    let step = Step::Put("after-the-fault".into(), 500 + case.nth, 20_000);
    let content = bytes(500 + case.nth, 20_000);
    put(engine, "ledger", "after-the-fault", &content).map_err(|error| format!("a put after the fault: {error}"))?;
    model.acknowledge(&step);
    let mut last: Option<SegmentRow> = None;
    rows::scan::<SegmentRow>(engine.index.as_ref(), Column::Segment, &[], None, &mut |_, row| {
        if row.opened.kind == StripeKind::Journal {
            last = Some(row);
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    let opened = last.ok_or("no journal file")?.opened;
    let wide = engine.disks.writable().len().min(6);
    if opened.disks.contains(&slot.id) || opened.disks.len() != wide || opened.m != 2 {
        return Err(format!("after {hit:?} the journal goes to {} of {wide} disks", opened.disks.len()));
    }
    Ok(())
}

/// All disks with the index of before; then the disks alone, one more of them gone.
fn check_after(player: &Player<'_>, model: &Model, hit: &Hit, case: Case) -> Result<(), String> {
    let frozen = player.pool.freeze();
    let opened = player.world.open(player.pool.disks(), player.index.clone());
    let opened = opened.map_err(|error| format!("reopening: {error}"))?;
    model.check(observe(opened.vault.engine()), "after reopening")?;
    drop(opened);
    let pool = frozen.thaw(case.nth);
    let gone = (hit.disk + 1 + usize::try_from(case.nth % 5).unwrap()) % 6;
    let place = format!("without sim{gone} and index");
    let disks = (0..6).filter(|disk| *disk != gone).map(|disk| pool.disk(disk)).collect();
    let opened = player.world.open(disks, fresh()).map_err(|error| format!("{place}: {error}"))?;
    let engine = opened.vault.engine();
    model.check(observe(engine), &place)?;
    if model.certain.contains_key("ledger/") {
        let content = bytes(case.nth, 30_000);
        put(engine, "ledger", "later", &content).map_err(|error| format!("{place}, a put: {error}"))?;
        let found = get(engine, "ledger", "later").map_err(|error| format!("{place}, a get: {error}"))?;
        if found != content {
            return Err(format!("{place}: what was put differs"));
        }
    }
    Ok(())
}

#[test]
fn one_fault_of_one_disk_costs_nothing() {
    let seed = 20_261_125;
    let world = World::new("nth-fault-lives");
    let lives = lives(&world, seed);
    for life in &lives {
        eprintln!("life {} without {:?}: {:?} {:?}", life.number, life.without, OpKind::ALL, life.counts);
    }
    let cases = cases(&lives);
    let (at, struck, failures) = (AtomicUsize::new(0), AtomicU64::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(case) = cases.get(at.fetch_add(1, Ordering::Relaxed)) {
                    match play(&lives[case.life], *case, &world, seed) {
                        Ok(hit) => drop(struck.fetch_add(u64::from(hit), Ordering::Relaxed)),
                        Err(problem) => failures.lock().push((*case, problem)),
                    }
                }
            });
        }
    });
    let (failures, struck) = (failures.into_inner(), struck.into_inner());
    let mut text = String::new();
    for (case, problem) in failures.iter().take(60) {
        writeln!(text, "{case:?}: {problem}").unwrap();
    }
    assert!(failures.is_empty(), "{} of {} cases:\n{text}", failures.len(), cases.len());
    assert!(struck * 10 >= cases.len() as u64 * 9, "only {struck} of {} faults struck", cases.len());
}
