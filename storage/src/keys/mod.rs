//! Keys, from the root key down: one key file opens the keyring, the keyring holds the keys that seal (R9 to R11).
//!
//! ```text
//! root key (key file, recovery kit) -> keyring beside each superblock -> metadata key -> records, checkpoints
//!                                                                     -> domain keys  -> names, cuts, content
//! ```
//! Secrets are wiped from memory when dropped and have no debug form. Callable from any thread; only
//! [`hierarchy::RootKey::load`] and [`hierarchy::RootKey::save`] touch files.

pub mod hierarchy;
pub mod keyring;
pub mod recovery;
mod sealer;

pub use hierarchy::{KeyFileError, RootKey};
pub use keyring::{Keyring, MetadataCipher};
pub use recovery::KitError;
