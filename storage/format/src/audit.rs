//! The audit trail as third parties see and verify it (A-1, docs/rfcs/0005). docs/audit.md is normative.
//!
//! - [`check`]: an export, line by line and against audit checkpoints;
//! - [`entry`]: a record as a line of text, the same at every replay;
//! - [`tree`]: chain and Merkle tree over these lines, and proofs;
//! - [`note`]: the audit checkpoint, a signed note.

pub mod check;
pub mod entry;
pub mod note;
pub mod tree;

pub use check::{TrailCheck, TrailFault};
pub use entry::{entry_text, export_line, split_line};
pub use note::{Checkpoint, NoteError, VerifierKey};
pub use tree::AuditTree;
