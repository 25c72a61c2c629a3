//! The path of a byte on the CPU: cut, named, compressed, sealed, and back.
//!
//! Pure computation without I/O: callable from any thread. [`pipeline`] joins the stages under the key of one domain;
//! every other module is one stage of it.

pub mod aead;
pub mod chunker;
pub mod compress;
pub mod digest;
pub mod pipeline;
pub(crate) mod random;
