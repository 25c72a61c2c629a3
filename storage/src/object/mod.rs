//! Buckets, versions and uploads: what clients see of the vault.

pub mod bucket;
pub mod copy;
pub mod denial;
pub mod get;
pub mod guard;
pub mod holds;
pub mod lifecycle;
pub mod list;
pub mod locks;
pub mod manifest;
pub mod multipart;
pub mod names;
mod paging;
pub mod put;
pub mod quota;
pub mod sink;
pub mod tags;
pub mod types;
pub mod uploads;
pub mod version;
pub mod versioning;
pub mod versions;
