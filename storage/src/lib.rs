//! The engine of a Kovcheg vault: synchronous, thread-owned, below every protocol.
//!
//! Layers, each of which may call only those above it in this list:
//! - `clock`, `error`, `config`, `metrics`: plain data;
//! - [`disk`]: files on one disk, asynchronous by ticket; superblocks;
//! - [`keys`], [`chunk`], [`erasure`]: keys, the path of a byte, Reed-Solomon;
//! - [`index`]: the derived view;
//! - [`segment`]: stripes of sealed chunks on the disks of the pool;
//! - [`journal`]: the one order of records, recovery, checkpoints;
//! - [`dedup`], [`object`]: chunk look-up; buckets, versions, uploads, the guard;
//! - [`vault`]: opening and closing; [`handle`]: the one bridge to async code.

pub mod audit;
pub mod chunk;
pub mod clock;
pub mod config;
pub mod dedup;
pub mod disk;
pub mod engine;
pub mod erasure;
pub mod error;
pub mod handle;
pub mod identity;
pub mod index;
pub mod journal;
pub mod keys;
pub mod lifecycle;
pub mod metrics;
pub mod object;
pub mod segment;
pub mod status;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod vault;
pub mod workers;
