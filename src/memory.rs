//! What the allocator gives back to the system.

/// Blocks up to this come from memory that the process keeps, bytes: a batch of a read, a stripe.
#[cfg(target_env = "gnu")]
const KEPT_BLOCK_BYTES: libc::c_int = 4 << 20;
/// Free memory at the end of a heap from which on it is given back, bytes.
#[cfg(target_env = "gnu")]
const GIVEN_BACK_BYTES: libc::c_int = 64 << 20;

/// Has the allocator keep what is freed and asked for again a moment later: mapped anew for each batch of a read, it comes page by page,
/// zeroed, which took 5 % of the CPU time of reads. Before threads are started. Other allocators than glibc's are left as they are.
pub fn keep_what_is_freed() {
    #[cfg(target_env = "gnu")]
    for (parameter, value) in [(libc::M_MMAP_THRESHOLD, KEPT_BLOCK_BYTES), (libc::M_TRIM_THRESHOLD, GIVEN_BACK_BYTES)] {
        // SAFETY: mallopt takes two numbers, and keeps the old ones when it refuses them.
        if unsafe { libc::mallopt(parameter, value) } == 0 {
            tracing::debug!(parameter, "the allocator does not take this setting");
        }
    }
}
