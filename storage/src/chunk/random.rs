//! Randomness of the kernel for nonces, keys and salts (K-1).
//!
//! Nothing is buffered in the process: bytes kept in memory would be handed out twice after a virtual machine is rolled
//! back to a snapshot, while the kernel reseeds itself then. The call costs about a hundredth of sealing one chunk.

use zeroize::Zeroizing;

/// `N` fresh random bytes.
///
/// # Panics
/// When the kernel has no randomness to give: without it nothing can be sealed, and no caller can mend it.
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let filled = getrandom::fill(&mut bytes);
    assert!(filled.is_ok(), "the kernel refused randomness: {filled:?}");
    bytes
}

/// Like [`random_bytes`], for secrets: the bytes are wiped when dropped.
pub(crate) fn random_secret<const N: usize>() -> Zeroizing<[u8; N]> {
    Zeroizing::new(random_bytes())
}
