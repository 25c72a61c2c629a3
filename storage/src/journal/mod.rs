//! (being built)

pub mod apply;
