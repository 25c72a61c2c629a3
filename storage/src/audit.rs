//! The audit trail: read from the journal, and signed (A-1, docs/rfcs/0005). What it looks like and how it is verified is in `kovcheg_format::audit`.

pub mod signer;
pub mod trail;
