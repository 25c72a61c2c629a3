//! Goal (R12, L-2): the retention clock of a whole vault is what DESIGN §5 says after power cuts, clean ends, steps of the wall clock both
//! ways, and years away; it is in every journal stripe, never runs backwards, and only the recovery kit ends a dispute. Method: a clock moved
//! by hand, lives that end cleanly or are cut off, indexes that are kept or lost.

use std::sync::Arc;

use kovcheg_format::record::Record;
use kovcheg_format::record::audit::{Action, Audit};

use super::fresh;
use crate::error::{StorageError, StorageResult};
use crate::index::memory::MemoryIndex;
use crate::journal::recover::open_frame;
use crate::journal::scan::Chain;
use crate::object::types::{NewLock, Retention};
use crate::testing::driver::{create_bucket, put};
use crate::testing::locks::{create_locked_bucket, delete_version, put_locked};
use crate::testing::sim_disk::SimPool;
use crate::testing::world::{ManualClock, World};
use crate::vault::{Opened, Parts, Vault};
use kovcheg_format::record::version::RetentionMode;
use kovcheg_policy::clock::ClockState;

const START: u64 = 1_764_000_000_000;
const MINUTE: u64 = 60 * 1000;
const DAY: u64 = 24 * 60 * MINUTE;

struct Lives {
    world: World,
    pool: SimPool,
    clock: ManualClock,
    index: Arc<MemoryIndex>,
}

impl Lives {
    fn new(name: &str, seed: u64) -> Self {
        Self { world: World::new(name), pool: SimPool::new(seed, 6), clock: ManualClock::new(START), index: fresh() }
    }

    fn opened(&self) -> StorageResult<Opened> {
        let parts = self.world.parts(self.pool.disks(), self.index.clone());
        Vault::open_on(Parts { clock: Arc::new(self.clock.clone()), ..parts })
    }

    fn open(&self) -> Vault {
        self.opened().unwrap().vault
    }

    /// The power goes, and with it what the index had not flushed.
    fn crash(&mut self, vault: Vault) {
        drop(vault);
        self.pool = self.pool.freeze().thaw(7);
        self.index = Arc::new(self.index.crash());
    }
}

fn now(vault: &Vault) -> ClockState {
    vault.engine().retention.now()
}

fn running(time: u64, credited: u64) -> ClockState {
    ClockState { time, credited, disputed: false }
}

/// The retention clock in the header of every journal stripe, and every audit record.
fn trail(vault: &Vault) -> (Vec<u64>, Vec<Audit>) {
    let engine = vault.engine();
    let mut chain = Chain::find(engine.reader.mender().clone()).unwrap();
    let (mut clocks, mut audits) = (Vec::new(), Vec::new());
    while let Some(found) = chain.advance().unwrap() {
        clocks.push(found.stripe.header.retention_clock);
        for record in open_frame(&engine.metadata, &found).unwrap().records {
            match record {
                Record::SegmentOpened(opened) => chain.learn(&opened),
                Record::Audit(audit) => audits.push(audit),
                _ => {}
            }
        }
    }
    (clocks, audits)
}

#[test]
fn it_runs_on_monotonic_time_and_time_off_is_credited() {
    let mut lives = Lives::new("clock-credit", 201);
    let vault = lives.open();
    create_bucket(vault.engine(), "ledger").unwrap();
    assert_eq!(now(&vault), running(START, 0));
    lives.clock.run(5 * MINUTE);
    // A step of the wall clock, both ways, while it runs.
    lives.clock.set_wall(START + 1000 * DAY);
    assert_eq!(now(&vault), running(START + 5 * MINUTE, 0));
    lives.clock.set_wall(START + 5 * MINUTE);
    put(vault.engine(), "ledger", "k", b"x").unwrap();
    vault.close().unwrap();
    // A day off, twice: once after a clean end, once after a cut, two minutes after the last write.
    lives.clock.set_wall(START + DAY + 5 * MINUTE);
    let vault = lives.open();
    assert_eq!(now(&vault), running(START + DAY + 5 * MINUTE, DAY));
    lives.clock.run(MINUTE);
    put(vault.engine(), "ledger", "k", b"y").unwrap();
    lives.clock.run(MINUTE / 2);
    lives.crash(vault);
    lives.clock.set_wall(START + 2 * DAY + 5 * MINUTE);
    for _ in 0..2 {
        let vault = lives.open();
        let state = now(&vault);
        assert_eq!(state.time, START + 2 * DAY + 5 * MINUTE);
        assert!((2 * DAY - 2 * MINUTE..2 * DAY).contains(&state.credited), "{state:?}");
        let (clocks, audits) = trail(&vault);
        assert!(clocks.is_sorted() && clocks[0] >= START, "{clocks:?}");
        assert_eq!(*clocks.last().unwrap(), state.time);
        let credits = audits.iter().filter(|audit| audit.action == Action::CreditClock).count();
        assert_eq!(credits, 2, "{audits:?}");
        // The same from the disks alone, without a moment passing.
        vault.close().unwrap();
        lives.index = fresh();
    }
}

#[test]
fn more_than_a_week_off_is_disputed_until_the_kit_is_shown() {
    let mut lives = Lives::new("clock-dispute", 202);
    let opened = lives.opened().unwrap();
    let code = opened.first_start.unwrap().recovery_code.to_string();
    create_locked_bucket(opened.vault.engine(), "held").unwrap();
    let lock = NewLock {
        retention: Some(Retention { mode: RetentionMode::Compliance, until: START + DAY }),
        legal_hold: false,
    };
    let locked = put_locked(opened.vault.engine(), ("held", "k"), b"x", lock).unwrap();
    let name = Some(crate::object::types::VersionName::Id(locked.version));
    opened.vault.close().unwrap();
    // A year away: by the wall clock the lock is over.
    lives.clock.set_wall(START + 365 * DAY);
    let vault = lives.open();
    let disputed = ClockState { time: START, credited: 0, disputed: true };
    assert_eq!(now(&vault), disputed);
    lives.clock.run(2 * DAY);
    let refused = delete_version(vault.engine(), ("held", "k"), name, true);
    assert!(
        matches!(&refused, Err(StorageError::Refused { reasons }) if reasons == &["compliance-retention"]),
        "{refused:?}"
    );
    // Reads and writes go on.
    assert_eq!(crate::testing::driver::get(vault.engine(), "held", "k").unwrap(), b"x");
    put(vault.engine(), "held", "other", b"y").unwrap();
    assert!(vault.handle().status().warnings.iter().any(|warning| warning.contains("clock accept")));
    lives.crash(vault);
    lives.index = fresh();
    let vault = lives.open();
    assert_eq!(now(&vault), disputed, "a dispute survives a cut and a lost index");
    let wrong = vault.accept_clock("WRONG-CODE");
    assert!(wrong.is_err() && now(&vault) == disputed);
    let accepted = vault.accept_clock(&code).unwrap();
    assert_eq!(accepted, running(START + 367 * DAY, 0));
    assert_eq!(now(&vault), accepted);
    delete_version(vault.engine(), ("held", "k"), name, false).unwrap();
    lives.crash(vault);
    let vault = lives.open();
    assert_eq!(now(&vault), accepted, "an acceptance survives a cut");
    let (clocks, audits) = trail(&vault);
    assert!(clocks.is_sorted(), "{clocks:?}");
    let of = |action| audits.iter().filter(|audit| audit.action == action).count();
    assert_eq!((of(Action::DisputeClock), of(Action::AcceptClock), of(Action::CreditClock)), (1, 1, 0));
}

#[test]
fn a_wall_clock_that_nobody_vouches_for_gives_no_credit() {
    let lives = Lives::new("clock-unsynchronised", 203);
    lives.open().close().unwrap();
    lives.clock.set_synchronised(false);
    lives.clock.set_wall(START + 9 * MINUTE);
    let vault = lives.open();
    assert_eq!(now(&vault), running(START, 0), "the clock lags by minutes and goes on");
    lives.clock.run(MINUTE);
    assert_eq!(now(&vault), running(START + MINUTE, 0));
    vault.close().unwrap();
    lives.clock.set_wall(START + 21 * MINUTE);
    assert!(now(&lives.open()).disputed);
}

#[test]
fn a_wall_clock_set_back_takes_nothing_back() {
    let lives = Lives::new("clock-back", 204);
    let vault = lives.open();
    lives.clock.run(DAY);
    vault.close().unwrap();
    lives.clock.set_wall(START - 300 * DAY);
    let vault = lives.open();
    assert_eq!(now(&vault), running(START + DAY, 0));
    lives.clock.run(MINUTE);
    vault.close().unwrap();
    // Put right again: what the wall clock shows as an absence of a year was none.
    lives.clock.set_wall(START + DAY + 2 * MINUTE);
    assert_eq!(now(&lives.open()), running(START + DAY + 2 * MINUTE, MINUTE));
}
