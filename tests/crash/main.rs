//! Power cuts against real drivers.
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

mod powercut;
mod vault;
