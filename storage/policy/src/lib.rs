//! What the vault may do: facts in, verdict with reasons out.
//!
//! This crate is pure: no I/O, no clock, no randomness; time and seeds are arguments. It decides and enforces nothing: for
//! removal that is `storage/src/object/guard.rs` alone (DESIGN §5). `docs/policy.md` has the normative tables, the files
//! in `tests/tables` are the same tables as the tests run them.
//!
//! - [`facts`]: what a decision looks at;
//! - [`verdict`]: allow or deny, with reasons; the strictest rule wins;
//! - [`access`]: what an access key may do;
//! - [`case_hold`]: which versions a case hold covers;
//! - [`clock`]: the retention clock;
//! - [`lifecycle`]: what is due by a bucket's rules;
//! - [`object_lock`]: whether a version may be removed, and its retention changed;
//! - [`period`]: when a retention of days or years ends;
//! - [`placement`]: which disks a new segment goes to;
//! - [`quota`]: whether a bucket may grow.

pub mod access;
pub mod case_hold;
pub mod clock;
pub mod facts;
pub mod lifecycle;
pub mod object_lock;
pub mod period;
pub mod placement;
pub mod quota;
pub mod verdict;

pub use verdict::{Reason, Verdict};
