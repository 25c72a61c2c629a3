//! Reed-Solomon over the shards of one stripe: k data shards, m parity shards, any k of them give back the rest (E-1).
//!
//! Pure computation without I/O: callable from any thread. Where shards lie is decided by the layer above.

pub mod code;

pub use code::{Code, ErasureError};
