//! What the test binaries of this crate share: fixed samples, strategies, and the list of all decoders.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod decoders;
pub mod samples;
pub mod strategies;
