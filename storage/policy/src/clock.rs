//! The retention clock (R12, L-2): how it goes on while the vault runs, after it was off, and when people accept a time. The reasons are
//! in docs/rfcs/0003-retention-clock.md.

use kovcheg_format::units::TimestampMs;

/// Most time off that is credited without people's word, milliseconds: seven days.
pub const CREDIT_MAX_MS: u64 = 7 * 24 * 3600 * 1000;
/// Of the time that the clock runs, one part in this many is regained from the credit: a day in thirty days.
pub const REGAIN: u64 = 30;
/// An absence up to this long, milliseconds, that cannot be credited is let go: the clock lags behind and nobody is asked.
pub const LAG_MS: u64 = 10 * 60 * 1000;

/// The state of the clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClockState {
    /// Its time.
    pub time: TimestampMs,
    /// Time off that was credited and not regained yet, milliseconds.
    pub credited: u64,
    /// Whether it stands still until people accept a time.
    pub disputed: bool,
}

/// What a start makes of the time before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resumption {
    /// There was nothing to credit, or the clock was and stays disputed.
    Nothing,
    /// This much was credited.
    Credited(u64),
    /// This much was not: the clock lags behind.
    Lagging(u64),
    /// This much is not credited without people's word.
    Disputed(u64),
}

/// The clock of a vault that never had one.
#[must_use]
pub fn begin(wall: TimestampMs) -> ClockState {
    ClockState { time: wall, credited: 0, disputed: false }
}

/// The clock after it ran for some milliseconds of monotonic time.
#[must_use]
pub fn run(state: ClockState, elapsed: u64) -> ClockState {
    if state.disputed {
        return state;
    }
    ClockState {
        time: state.time.saturating_add(elapsed),
        credited: state.credited.saturating_sub(elapsed / REGAIN),
        ..state
    }
}

/// The clock after the vault was off: `state` is what it was when last seen, `seen` the wall clock at that moment, `wall` the wall clock now,
/// and `synchronised` whether the kernel vouches for it.
#[must_use]
pub fn resume(state: ClockState, seen: TimestampMs, wall: TimestampMs, synchronised: bool) -> (ClockState, Resumption) {
    // A wall clock that stepped forward before the end shows more absence than there was; the clock never goes past it.
    let due = wall.saturating_sub(seen).min(wall.saturating_sub(state.time));
    if state.disputed || due == 0 {
        return (state, Resumption::Nothing);
    }
    let credited = state.credited.saturating_add(due);
    if synchronised && credited <= CREDIT_MAX_MS {
        return (ClockState { time: state.time.saturating_add(due), credited, ..state }, Resumption::Credited(due));
    }
    if due <= LAG_MS {
        return (state, Resumption::Lagging(due));
    }
    (ClockState { disputed: true, ..state }, Resumption::Disputed(due))
}

/// The clock after people accepted the wall clock.
#[must_use]
pub fn accept(state: ClockState, wall: TimestampMs) -> ClockState {
    ClockState { time: state.time.max(wall), credited: 0, disputed: false }
}

#[cfg(test)]
mod tests {
    //! Goal: the clock behaves as DESIGN §5 says at power-off, at steps of the wall clock both ways, and beyond the bound.

    use super::{CREDIT_MAX_MS, ClockState, LAG_MS, Resumption, accept, begin, resume, run};

    const DAY: u64 = 24 * 3600 * 1000;
    const NOW: u64 = 1_764_000_000_000;

    fn state(credited: u64) -> ClockState {
        ClockState { time: NOW, credited, disputed: false }
    }

    #[test]
    fn absences_are_credited_let_go_or_disputed() {
        // Credit outstanding, the wall clock when last seen, now, whether synchronised; then: time gained, credit, what became of it.
        let cases: [(u64, u64, u64, bool, u64, u64, Resumption); 13] = [
            // Off for a day, a week, a week and a bit, a year.
            (0, NOW, NOW + DAY, true, DAY, DAY, Resumption::Credited(DAY)),
            (0, NOW, NOW + CREDIT_MAX_MS, true, CREDIT_MAX_MS, CREDIT_MAX_MS, Resumption::Credited(CREDIT_MAX_MS)),
            (0, NOW, NOW + CREDIT_MAX_MS + 1, true, 0, 0, Resumption::Disputed(CREDIT_MAX_MS + 1)),
            (0, NOW, NOW + 365 * DAY, true, 0, 0, Resumption::Disputed(365 * DAY)),
            // What was credited before counts.
            (6 * DAY, NOW, NOW + DAY, true, DAY, 7 * DAY, Resumption::Credited(DAY)),
            (6 * DAY + 1, NOW, NOW + DAY, true, 0, 6 * DAY + 1, Resumption::Disputed(DAY)),
            // Nobody vouches for the wall clock.
            (0, NOW, NOW + 60_000, false, 0, 0, Resumption::Lagging(60_000)),
            (0, NOW, NOW + LAG_MS, false, 0, 0, Resumption::Lagging(LAG_MS)),
            (0, NOW, NOW + LAG_MS + 1, false, 0, 0, Resumption::Disputed(LAG_MS + 1)),
            // The wall clock was set back by a year while the vault was off.
            (0, NOW, NOW - 365 * DAY, true, 0, 0, Resumption::Nothing),
            // It ran a day ahead before, and was put right: less than the wall clock says has passed. The reverse: the clock lags already.
            (0, NOW + DAY, NOW + DAY + 1000, true, 1000, 1000, Resumption::Credited(1000)),
            (0, NOW - DAY, NOW + 1000, true, 1000, 1000, Resumption::Credited(1000)),
            (0, NOW - DAY, NOW, true, 0, 0, Resumption::Nothing),
        ];
        for (credited, seen, wall, synchronised, gained, left, outcome) in cases {
            let disputed = matches!(outcome, Resumption::Disputed(_));
            let expected = ClockState { time: NOW + gained, credited: left, disputed };
            let found = resume(state(credited), seen, wall, synchronised);
            assert_eq!(found, (expected, outcome), "{credited} {seen} {wall} {synchronised}");
        }
    }

    #[test]
    fn a_disputed_clock_stands_still_until_it_is_accepted() {
        let (disputed, _) = resume(state(0), NOW, NOW + 30 * DAY, true);
        assert_eq!(run(disputed, DAY), disputed);
        assert_eq!(resume(disputed, NOW, NOW + 31 * DAY, true), (disputed, Resumption::Nothing), "another start");
        let accepted = accept(disputed, NOW + 31 * DAY);
        assert_eq!(accepted, begin(NOW + 31 * DAY));
        assert_eq!(run(accepted, 5).time, NOW + 31 * DAY + 5);
        assert_eq!(accept(state(3), NOW - DAY), state(0), "a wall clock that is behind takes nothing back");
    }

    #[test]
    fn credit_is_regained_at_a_day_in_thirty() {
        let after = run(state(7 * DAY), 30 * DAY);
        assert_eq!(after, ClockState { time: NOW + 30 * DAY, credited: 6 * DAY, disputed: false });
        assert_eq!(run(state(DAY), 60 * DAY).credited, 0);
    }
}
