//! Whole-vault tests: the real binary on temporary disks, spoken to through S3, one behaviour per file.
//!
//! Knobs: `KOVCHEG_SEED` repeats a run, `KOVCHEG_ROUNDS` sets the rounds of kill -9 (20), `KOVCHEG_BIG=1` takes the sizes
//! of the acceptance figures where the usual run takes smaller ones, `KOVCHEG_NIGHTLY_GIB` sets the size of the nightly vault
//! (16), `KOVCHEG_TEST_DIR` says where the disks lie.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

#[path = "../support/mod.rs"]
mod support;

mod body_modes;
mod cli;
mod commands;
mod dedup;
mod disk_returns;
mod disks_gone;
mod documents;
mod ending;
mod hostile;
mod index;
mod kill9;
mod memory;
mod multipart;
mod nightly_index;
mod operator;
mod pg;
mod physical;
mod read_memory;
mod restart;
mod root_override;
mod roundtrip;
mod secrets;
mod uploads;
