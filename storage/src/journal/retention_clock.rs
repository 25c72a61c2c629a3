//! The retention clock of a running vault (R12): monotonic time on top of the state in which it was begun, resumed or accepted. What each
//! move does is policy's ([`kovcheg_policy::clock`]); what survives is in the journal.

use std::sync::Arc;
use std::time::Duration;

use kovcheg_format::record::pool::ClockTicked;
use kovcheg_format::units::TimestampMs;
use kovcheg_policy::clock::{self, CREDIT_MAX_MS, ClockState, Resumption};
use parking_lot::Mutex;

use crate::clock::Clock;
use crate::error::StorageResult;
use crate::index::rows::META_CLOCK;
use crate::index::{Column, IndexRead, rows};

/// Longest time between two records of the clock.
pub const TICK: Duration = Duration::from_secs(60);

/// See the module. One lock, held for an addition.
pub struct RetentionClock {
    clock: Arc<dyn Clock>,
    base: Mutex<Base>,
}

#[derive(Clone, Copy)]
struct Base {
    state: ClockState,
    /// Monotonic time at that state.
    at: Duration,
    /// Monotonic time of the newest record.
    ticked: Duration,
}

impl RetentionClock {
    /// A clock that goes on from this state.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, state: ClockState) -> Self {
        let at = clock.monotonic();
        Self { clock, base: Mutex::new(Base { state, at, ticked: at }) }
    }

    /// The clock of a new life of the vault, and what became of the time off. Its time is that of `newest`, the header of the newest journal
    /// stripe, which the seal of that stripe binds; the record in the index only tells how long the vault was off, which is credited within
    /// bounds: what an index says of the time itself is not believed. `None` where the vault takes no writes and the stripe cannot be read.
    pub fn resume(
        clock: Arc<dyn Clock>,
        view: &dyn IndexRead,
        newest: Option<TimestampMs>,
    ) -> StorageResult<(Self, Resumption)> {
        let (wall, synchronised) = (clock.wall_ms(), clock.synchronised());
        let ticked: Option<ClockTicked> = rows::get(view, Column::Meta, META_CLOCK)?;
        let (state, outcome) = match (ticked, newest) {
            // Journals of builds without the clock have zeros: their vaults hold no lock.
            (None, None | Some(0)) => (clock::begin(wall), Resumption::Nothing),
            // The journal knows of a clock, and the index of no record of it: nothing is credited.
            (None, Some(time)) => {
                let spent = ClockState { time, credited: CREDIT_MAX_MS, disputed: false };
                clock::resume(spent, time, wall, synchronised)
            }
            (Some(ticked), newest) => {
                let time = newest.unwrap_or(ticked.retention_clock);
                let ran = time.saturating_sub(ticked.retention_clock);
                let then = ClockState { time, credited: ticked.credited, disputed: ticked.disputed };
                let last = ClockState { time, ..clock::run(then, ran) };
                clock::resume(last, ticked.wall.saturating_add(ran), wall, synchronised)
            }
        };
        Ok((Self::new(clock, state), outcome))
    }

    /// What it shows now.
    #[must_use]
    pub fn now(&self) -> ClockState {
        let base = *self.base.lock();
        run(base, self.clock.monotonic())
    }

    /// The wall clock now.
    #[must_use]
    pub fn wall_ms(&self) -> TimestampMs {
        self.clock.wall_ms()
    }

    /// The record of a state, at this moment of the wall clock.
    #[must_use]
    pub fn record(&self, state: ClockState) -> ClockTicked {
        ClockTicked {
            retention_clock: state.time,
            wall: self.clock.wall_ms(),
            credited: state.credited,
            disputed: state.disputed,
        }
    }

    /// The record of what it shows, when the last one is older than [`TICK`]; whoever takes it writes it.
    #[must_use]
    pub fn due(&self) -> Option<ClockTicked> {
        let now = self.clock.monotonic();
        let state = {
            let mut base = self.base.lock();
            if now.saturating_sub(base.ticked) < TICK {
                return None;
            }
            base.ticked = now;
            run(*base, now)
        };
        Some(self.record(state))
    }

    /// Goes on from a state whose record is on its way into the journal; never from an earlier time than it shows.
    pub fn set(&self, state: ClockState) {
        let at = self.clock.monotonic();
        let mut base = self.base.lock();
        let time = state.time.max(run(*base, at).time);
        *base = Base { state: ClockState { time, ..state }, at, ticked: at };
    }
}

fn run(base: Base, now: Duration) -> ClockState {
    let elapsed = u64::try_from(now.saturating_sub(base.at).as_millis()).unwrap_or(u64::MAX);
    clock::run(base.state, elapsed)
}
