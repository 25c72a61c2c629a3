//! Whole-vault tests: the real binary on temporary disks, spoken to through S3, one behaviour per file.
//!
//! Knobs: `KOVCHEG_SEED` repeats a run, `KOVCHEG_ROUNDS` sets the rounds of kill -9 (20), `KOVCHEG_BIG=1` plays all cases of two
//! harmed disks where the usual run plays 75, `KOVCHEG_NIGHTLY_GIB` sets the size of the nightly vault (16), `KOVCHEG_TEST_DIR`
//! says where the disks lie, `KOVCHEG_FUZZ_ROUNDS` scales the requests put together at random.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

#[path = "../support/mod.rs"]
mod support;

mod audit;
mod body_modes;
mod cli;
mod commands;
mod copy;
mod dedup;
mod disk_returns;
mod disks_gone;
mod documents;
mod edited_index;
mod ending;
mod fair;
mod foreign;
mod frozen;
mod full;
mod full_locks;
mod fuzz;
mod holds;
mod hostile;
mod index;
mod kill9;
mod lifecycle;
mod locks;
mod make_run;
mod memory;
mod multipart;
mod nightly_index;
mod observed;
mod operator;
mod pg;
mod physical;
mod quota;
mod read_memory;
mod read_only;
mod refusals;
mod restart;
mod root_override;
mod roundtrip;
mod secrets;
mod sequences;
mod start_after_crash;
mod tags;
mod tenants;
mod tls;
mod traps;
mod uploads;
mod versions;
