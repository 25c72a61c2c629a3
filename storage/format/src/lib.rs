//! What the bytes of a Kovcheg vault mean.
//!
//! This crate is pure: no I/O, no clock, no randomness, no async, no floor of the house below it. Everything a vault
//! ever writes is encoded and decoded here, so that an offline reader (`kovcheg inspect`) can be built from it alone.
//! `docs/format.md` has the byte tables; where the two differ, that is a bug.
//!
//! Rules that hold in every file of this crate:
//! - integers are little-endian (index keys alone are big-endian, so that they sort), widths explicit, reserved bytes
//!   zero when written and checked when read;
//! - decoding treats its input as hostile: it never panics, allocates no more than a small multiple of the input, and
//!   checks magic, checksum, version and lengths before it uses a field; sums of what it returns cannot overflow;
//! - encoding refuses what decoding would refuse, so that nothing unreadable is ever written;
//! - a published layout is frozen: a change is a new `mod vN` with one pure `migrate`.

pub mod audit;
pub mod checkpoint;
pub mod checksum;
pub mod codec;
pub mod declare;
pub mod directory;
pub mod envelope;
pub mod error;
pub mod frame;
pub mod id;
pub mod key;
pub mod keyring;
pub mod manifest;
pub mod record;
pub mod shard;
pub mod superblock;
pub mod units;
pub mod version;

pub use codec::{Decode, Encode, Reader, Writer};
pub use error::FormatError;
