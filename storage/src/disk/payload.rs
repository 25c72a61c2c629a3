//! Bytes that are gathered in memory disks take as it is: grows like a vector, and becomes an [`AlignedBuf`] without a copy.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::AlignedBuf;

/// Gathered bytes. Memory behind them holds whatever it held last and is never shown.
#[derive(Debug, Default)]
pub struct Payload {
    memory: Option<AlignedBuf>,
    len: usize,
}

impl Payload {
    /// Bytes that fit without new memory.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.memory.as_deref().map_or(0, <[u8]>::len)
    }

    /// Makes room for `len` bytes in all.
    pub fn reserve_total(&mut self, len: usize) {
        if len <= self.capacity() {
            return;
        }
        let mut larger = AlignedBuf::recycled(len);
        if let Some(kept) = larger.get_mut(..self.len) {
            kept.copy_from_slice(self);
        }
        self.memory = Some(larger);
    }

    /// Appends `bytes`.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.grow(bytes.len()).copy_from_slice(bytes);
    }

    /// Appends `count` zeros.
    pub fn extend_zeros(&mut self, count: usize) {
        self.grow(count).fill(0);
    }

    /// Shortens to `len` bytes; longer ones stay as they are.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// The memory, zeros behind the bytes up to `len`, which is at least their number.
    #[must_use]
    pub fn into_shared(mut self, len: usize) -> Arc<AlignedBuf> {
        self.extend_zeros(len.saturating_sub(self.len));
        Arc::new(self.memory.unwrap_or_else(|| AlignedBuf::zeroed(len)))
    }

    /// Appends `count` bytes of any content.
    fn grow(&mut self, count: usize) -> &mut [u8] {
        let (from, to) = (self.len, self.len + count);
        if to > self.capacity() {
            self.reserve_total(to.max(self.capacity() * 2));
        }
        self.len = to;
        self.memory.as_deref_mut().and_then(|memory| memory.get_mut(from..to)).unwrap_or_default()
    }
}

impl From<&[u8]> for Payload {
    fn from(bytes: &[u8]) -> Self {
        let mut payload = Self::default();
        payload.extend_from_slice(bytes);
        payload
    }
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.memory.as_deref().and_then(|memory| memory.get(..self.len)).unwrap_or_default()
    }
}

impl DerefMut for Payload {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.memory.as_deref_mut().and_then(|memory| memory.get_mut(..self.len)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::Payload;

    proptest! {
        /// Goal: it is a vector to whoever looks. Method: random growth and cuts beside a real one; then the padding is zeros,
        /// though the memory held something else.
        #[test]
        fn behaves_like_a_vector(steps in prop::collection::vec((0_u8..3, 0_usize..70_000, any::<u8>()), 1..12), padding in 0_usize..9000) {
            let (mut payload, mut model) = (Payload::default(), Vec::new());
            for (what, len, byte) in steps {
                match what {
                    0 => { payload.extend_from_slice(&vec![byte; len]); model.extend(vec![byte; len]); }
                    1 => { payload.extend_zeros(len); model.resize(model.len() + len, 0); }
                    _ => { payload.truncate(len); model.truncate(len); }
                }
                prop_assert_eq!(&*payload, &model[..]);
            }
            model.resize(model.len() + padding, 0);
            let shared = payload.into_shared(model.len());
            prop_assert!(shared.starts_with(&model));
        }
    }
}
