//! kovcheg-gateway: protocols in, objects out.
//!
//! Layers, each of which may call only those above it in this list:
//! - [`config`], [`metrics`]: plain data and names;
//! - [`error`]: the only table from the engine's errors to S3's;
//! - [`stream`]: bodies with limits on time, and counters;
//! - [`s3`]: the S3 service on top of `s3s`, and the HTTP server under it.
//!
//! Nothing here reads or writes a disk: every byte goes through `kovcheg_storage::handle::VaultHandle`.

pub mod config;
pub mod error;
pub mod metrics;
pub mod s3;
pub mod stream;

/// Log targets that must stay off in every subscriber: `s3s` logs object keys, XML bodies and every client error at ERROR.
/// What an operator needs is logged by this crate itself, without keys.
pub const SILENT_LOG_TARGETS: &[&str] = &["s3s"];
