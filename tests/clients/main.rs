//! Real clients against the real binary: awscli, boto3 and backup tools as their users run them, and a real PostgreSQL behind `pg_dump`.
//!
//! The clients come from the Python environment named by `KOVCHEG_CLIENTS` (`~/.cache/kovcheg-venv`), which `make test` makes.
//! They see nothing of the environment of the test but what `user` gives them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

#[path = "../support/mod.rs"]
mod support;

mod archives;
mod boto3;
mod dumps;
mod files;
mod newer;
mod readme;
mod s3api;
mod tools;
mod trees;
mod user;
