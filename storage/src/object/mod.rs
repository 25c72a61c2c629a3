//! Buckets, versions and uploads: what clients see of the vault.

pub mod types;
