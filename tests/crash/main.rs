//! Power cuts against real drivers. `KOVCHEG_CUTS` sets their number, `KOVCHEG_SEED` repeats a run as far as threads can be
//! repeated.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    missing_docs,
    reason = "tests"
)]

#[path = "../support/powercut.rs"]
mod machine;
#[path = "../support"]
mod support {
    #![allow(dead_code, reason = "each test binary uses a part")]
    pub mod data;
    pub mod seed;
}

mod powercut;
mod vault;
