//! What the whole-vault tests share: the real binary on temporary disks, a small S3 client of our own, seeded data, and
//! ways to hurt a disk. Each test binary includes this folder with `#[path]` and uses a part of it.
#![allow(dead_code, reason = "each test binary uses a part")]

pub mod bulk;
pub mod corrupt;
pub mod data;
pub mod loopdisk;
pub mod metrics;
pub mod postgres;
pub mod s3;
pub mod seed;
pub mod shards;
pub mod tmpfs;
pub mod vault;
