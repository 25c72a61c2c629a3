//! MD5 of bodies, which is their ETag: many streams are hashed at once, each in a lane of its own (docs/rfcs/0001).
//!
//! - [`pool`]: streams, and which of them are hashed when; `hash`: moving several forward together; `lanes`: the arithmetic.

mod hash;
mod lanes;
mod pool;

pub(crate) use pool::{Md5Pool, Md5Stream};
