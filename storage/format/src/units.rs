//! Units and the alignment arithmetic that writers and readers must agree on.

/// Disks are read and written in multiples of this many bytes (O_DIRECT on 4 KiB-sector devices).
pub const BLOCK_LEN: u64 = 4096;
/// [`BLOCK_LEN`] as a length in memory.
pub const BLOCK_BYTES: usize = 4096;

/// Milliseconds since 1970-01-01T00:00:00Z by the wall clock, or of the retention clock where a field says so.
pub type TimestampMs = u64;

/// `len` rounded up to a multiple of [`BLOCK_LEN`]; `None` when that does not fit.
#[must_use]
pub fn align_block(len: u64) -> Option<u64> {
    len.checked_next_multiple_of(BLOCK_LEN)
}
