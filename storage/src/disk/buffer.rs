//! Memory that O_DIRECT accepts: aligned to 4 KiB, its length a multiple of 4 KiB. Large buffers are kept for the next of
//! their size: getting and zeroing fresh memory for every shard costs a tenth of ingest. They come from the kernel and go back
//! there: in the hands of malloc, those of 64 uploads left heaps of up to 800 MiB behind that nobody used (M-1).

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use kovcheg_format::units::BLOCK_LEN;
use parking_lot::Mutex;

#[expect(clippy::cast_possible_truncation, reason = "4,096 fits everywhere")]
const ALIGN: usize = BLOCK_LEN as usize;

/// Buffers from this length on are mapped by themselves.
const MAPPED_MIN: usize = 128 << 10;
/// Buffers below this are cheap to get anew.
const KEPT_MIN: usize = 32 << 10;
/// Most bytes kept for reuse.
const KEPT_MAX: usize = 32 << 20;
/// Lengths of kept buffers are rounded up to this, so that shards of about the same size share them.
const KEPT_STEP: usize = 64 << 10;

/// A 4 KiB-aligned buffer of fixed length.
pub struct AlignedBuf {
    start: NonNull<u8>,
    len: usize,
    capacity: usize,
}

/// Memory waiting for its next user; always initialised.
struct Kept {
    start: NonNull<u8>,
    capacity: usize,
}

// SAFETY: as for `AlignedBuf`, the memory has one owner.
unsafe impl Send for Kept {}

static KEPT: Mutex<(Vec<Kept>, usize)> = Mutex::new((Vec::new(), 0));

// SAFETY: the buffer owns its memory exclusively, as a `Box<[u8]>` does.
unsafe impl Send for AlignedBuf {}
// SAFETY: shared access only reads.
unsafe impl Sync for AlignedBuf {}

impl AlignedBuf {
    /// A zeroed buffer of at least `len` bytes, rounded up to 4 KiB (at least one block).
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        let len = len.max(1).next_multiple_of(ALIGN);
        let capacity = if len < KEPT_MIN { len } else { len.next_multiple_of(KEPT_STEP) };
        match get(capacity) {
            Some(start) => Self { start, len, capacity },
            None => handle_alloc_error(layout(capacity)),
        }
    }

    /// A buffer like [`AlignedBuf::zeroed`], but with whatever its memory last held: for those who write every byte.
    #[must_use]
    pub fn recycled(len: usize) -> Self {
        let len = len.max(1).next_multiple_of(ALIGN);
        let fits = |kept: &Kept| kept.capacity >= len && kept.capacity < len + KEPT_STEP;
        let mut pool = KEPT.lock();
        let (kept, bytes) = &mut *pool;
        if let Some(at) = kept.iter().rposition(fits) {
            let Kept { start, capacity } = kept.swap_remove(at);
            *bytes -= capacity;
            return Self { start, len, capacity };
        }
        drop(pool);
        Self::zeroed(len)
    }

    /// A buffer that holds `bytes`, padded with zeros to 4 KiB.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut buffer = Self::zeroed(bytes.len());
        if let Some(head) = buffer.get_mut(..bytes.len()) {
            head.copy_from_slice(bytes);
        }
        buffer
    }

    /// Address of the first byte, for the kernel.
    #[must_use]
    pub fn as_ptr(&self) -> *const u8 {
        self.start.as_ptr()
    }

    /// Address of the first byte, for the kernel to write to.
    #[must_use]
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.start.as_ptr()
    }
}

fn layout(len: usize) -> Layout {
    match Layout::from_size_align(len, ALIGN) {
        Ok(layout) => layout,
        Err(_) => unreachable!("buffer lengths are bounded far below isize::MAX"),
    }
}

/// Zeroed memory of that many bytes, more than none.
fn get(capacity: usize) -> Option<NonNull<u8>> {
    if capacity < MAPPED_MIN {
        // SAFETY: the layout has a non-zero size.
        return NonNull::new(unsafe { alloc_zeroed(layout(capacity)) });
    }
    let (rights, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: asks for new memory anywhere; pages are aligned to 4 KiB at least and zeroed.
    let mapped = unsafe { libc::mmap(std::ptr::null_mut(), capacity, rights, kind, -1, 0) };
    if mapped == libc::MAP_FAILED { None } else { NonNull::new(mapped.cast()) }
}

/// Gives memory back.
///
/// # Safety
/// It came from [`get`] with this capacity, and nobody uses it any more.
unsafe fn give_back(start: NonNull<u8>, capacity: usize) {
    if capacity < MAPPED_MIN {
        // SAFETY: allocated in `get` with the same layout, by the caller's word.
        unsafe { dealloc(start.as_ptr(), layout(capacity)) }
    } else {
        // SAFETY: mapped in `get` with the same length, by the caller's word. It cannot fail for a whole mapping.
        let _ = unsafe { libc::munmap(start.as_ptr().cast(), capacity) };
    }
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        if self.capacity >= KEPT_MIN {
            let mut pool = KEPT.lock();
            if pool.1 + self.capacity <= KEPT_MAX {
                pool.1 += self.capacity;
                pool.0.push(Kept { start: self.start, capacity: self.capacity });
                return;
            }
        }
        // SAFETY: it came from `get` with this capacity, and its one owner ends here.
        unsafe { give_back(self.start, self.capacity) }
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `start` is valid for `len` initialised bytes while `self` lives.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `&mut self` is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl std::fmt::Debug for AlignedBuf {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "AlignedBuf({} bytes)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::{ALIGN, AlignedBuf, MAPPED_MIN};

    /// Goal: every length, the empty one too, is padded with zeros to whole blocks.
    #[test]
    fn from_bytes_pads_every_length() {
        for len in [0, 1, 511, ALIGN - 1, ALIGN, ALIGN + 1, 3 * ALIGN, MAPPED_MIN - 1, MAPPED_MIN, MAPPED_MIN + 1] {
            let bytes: Vec<u8> = (0..len).map(|at| u8::try_from(at % 251).map_or(0, |byte| byte + 1)).collect();
            let buffer = AlignedBuf::from_bytes(&bytes);
            assert_eq!(buffer.len(), len.max(1).next_multiple_of(ALIGN), "length {len}");
            assert_eq!(buffer.as_ptr() as usize % ALIGN, 0, "alignment of length {len}");
            assert!(buffer.starts_with(&bytes), "content of length {len}");
            assert!(buffer.iter().skip(len).all(|&byte| byte == 0), "padding of length {len}");
        }
    }
}
