//! The journal: the one totally ordered, hash-chained sequence of stripes that is the truth of a vault (R1, W-2).
//!
//! [`writer`] appends one stripe and makes it durable; [`sequencer`] decides what goes into it and in which order;
//! [`apply`] turns records into rows of the index; [`scan`] reads the chain back; [`recover`] decides the tail at start;
//! [`checkpoint`] keeps an image of the index beside the journal; [`doubt`] what was found wrong with an index until the trail says so.

pub mod apply;
pub mod checkpoint;
pub mod doubt;
pub mod recover;
pub mod retention_clock;
pub mod scan;
pub mod sequencer;
pub mod writer;
