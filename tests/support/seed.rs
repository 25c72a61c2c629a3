//! The seed of a test: `KOVCHEG_SEED` when set, else from the clock. Always printed, so that a failure can be repeated.

use std::time::{SystemTime, UNIX_EPOCH};

use super::data::Rng;

/// The generator of one test, its seed printed under the test's name. Two tests with one `KOVCHEG_SEED` differ by name.
pub fn rng(test: &str) -> Rng {
    Rng::new(value(test))
}

/// The seed of one test, as [`rng`] has it.
pub fn value(test: &str) -> u64 {
    let given = std::env::var("KOVCHEG_SEED").ok();
    let seed = match &given {
        Some(text) => text.trim().parse().unwrap_or_else(|_| panic!("KOVCHEG_SEED must be a number, not {text:?}")),
        None => SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |d| d.as_nanos() as u64 & 0xffff_ffff),
    };
    println!("{test}: KOVCHEG_SEED={seed}");
    let name = test
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    seed ^ name
}

/// A whole number from the environment, or its default.
pub fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.trim().parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")),
        Err(_) => default,
    }
}
