//! Names of the metrics this crate measures.
