//! What tests of this and the outer crates share: simulated disks with faults and power cuts, and suites that every
//! implementation of a trait runs. Behind the feature `testing`; never part of the product.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

pub mod conformance;
pub mod driver;
pub mod faults;
pub mod locks;
pub mod rows;
pub mod scratch;
pub mod sim_disk;
pub mod sim_medium;
pub mod world;
