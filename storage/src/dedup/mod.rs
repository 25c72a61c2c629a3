//! Deduplication: has the vault this chunk already, in a copy that counts (R17)?

pub mod damage;
pub mod lookup;
