//! Segments: append-only files of stripes over k+m disks. Data segments hold sealed chunks; journal files and checkpoints are
//! written with the same stripes.

pub mod files;
pub mod open;
pub mod reader;
pub mod repair;
pub mod room;
pub mod spare;
pub mod store;
pub mod stripe;
