//! The Kovcheg vault in one binary: composition, configuration, command line. Everything below is a crate of its own.
//!
//! - [`app`]: the composition root, the only file that names concrete types of every layer;
//! - [`config`], [`telemetry`]: settings; logs and metrics;
//! - [`control`]: the vault as its operators see it; [`advice`]: what a set-up should be warned of;
//! - [`limits`]: open files;
//! - [`folders`]: folders before the first start; [`secrets`]: keys that are made here and told once; [`signals`]: how a server is asked to end;
//! - [`cli`]: one file per command; [`error`]: how a command ends.

pub mod advice;
pub mod app;
pub mod cli;
pub mod config;
pub mod control;
pub mod error;
pub mod folders;
pub mod limits;
pub mod memory;
pub mod secrets;
pub mod signals;
pub mod telemetry;
