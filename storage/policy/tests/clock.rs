//! Goal (L-2): whatever the wall clock does, the retention clock never runs backwards, and gains no more on the time that really ran than
//! the credit allows. Method: random lives, in which the vault runs, is off, and the wall clock steps both ways; failures print their seed.

use kovcheg_policy::clock::{CREDIT_MAX_MS, LAG_MS, REGAIN, Resumption, accept, begin, resume, run};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

const DAY: u64 = 24 * 3600 * 1000;
const START: u64 = 20_000 * DAY;

/// One stretch of a vault's life.
#[derive(Debug, Clone)]
enum Stretch {
    /// It runs for some milliseconds.
    Run(u64),
    /// It is off for some milliseconds; whether the kernel's clock is synchronised afterwards.
    Off(u64, bool),
    /// The wall clock steps.
    Step(i64),
}

fn stretch() -> impl Strategy<Value = Stretch> {
    let length = || prop_oneof![0..2 * LAG_MS, 0..3 * DAY, 0..400 * DAY];
    prop_oneof![
        3 => length().prop_map(Stretch::Run),
        3 => (length(), any::<bool>()).prop_map(|(length, synchronised)| Stretch::Off(length, synchronised)),
        1 => (-400 * DAY.cast_signed()..400 * DAY.cast_signed()).prop_map(Stretch::Step),
    ]
}

proptest! {
    #[test]
    fn no_wall_clock_makes_it_run_ahead(stretches in vec(stretch(), 1..40)) {
        let (mut wall, mut ran, mut credits) = (START, 0_u64, 0_u64);
        let mut clock = begin(wall);
        for stretch in stretches {
            let before = clock;
            match stretch {
                Stretch::Run(length) => {
                    wall += length;
                    ran += length;
                    clock = run(clock, length);
                    prop_assert!(clock.time == before.time + length || (clock.disputed && clock == before));
                }
                Stretch::Step(by) => wall = wall.saturating_add_signed(by),
                Stretch::Off(length, synchronised) => {
                    let seen = wall;
                    wall += length;
                    let (after, outcome) = resume(clock, seen, wall, synchronised);
                    clock = after;
                    prop_assert!(clock.time == before.time || clock.time <= wall, "ahead of the wall clock by a credit");
                    match outcome {
                        Resumption::Credited(due) => {
                            prop_assert!(synchronised && !before.disputed && due <= length);
                            prop_assert_eq!(clock.time, before.time + due);
                            credits += due;
                        }
                        Resumption::Nothing => prop_assert_eq!(clock, before),
                        Resumption::Lagging(due) => prop_assert!(clock == before && due <= LAG_MS),
                        Resumption::Disputed(_) => prop_assert!(clock.disputed && clock.time == before.time),
                    }
                }
            }
            prop_assert!(clock.time >= before.time, "backwards");
            prop_assert!(clock.disputed || !before.disputed, "only people end a dispute");
            prop_assert!(clock.credited <= CREDIT_MAX_MS);
            prop_assert!(clock.time <= START + ran + credits);
            prop_assert!(credits <= CREDIT_MAX_MS + ran / REGAIN, "more was credited than the bound and what was regained");
        }
        let accepted = accept(clock, wall);
        prop_assert!(!accepted.disputed && accepted.credited == 0 && accepted.time == clock.time.max(wall));
    }
}
