//! Streams of pieces of any length, hashed side by side.

use std::collections::VecDeque;

use bytes::{Buf as _, Bytes};

use crate::s3::md5::lanes::{Block, INITIAL, LANES_MAX, State, advance};

/// Bytes of a block.
const BLOCK: usize = size_of::<Block>();

/// MD5 of one stream, so far.
#[derive(Clone)]
pub(crate) struct Hash {
    state: State,
    /// Bytes behind the last whole block, at the start.
    tail: Block,
    tail_len: usize,
    /// Bytes hashed or in the tail.
    len: u64,
    /// Bytes not looked at yet, in order.
    pieces: VecDeque<Bytes>,
}

impl Default for Hash {
    fn default() -> Self {
        Self { state: INITIAL, tail: [0; BLOCK], tail_len: 0, len: 0, pieces: VecDeque::new() }
    }
}

impl Hash {
    /// Takes the next bytes of the stream; [`hash_all`] hashes them.
    pub(crate) fn push(&mut self, piece: Bytes) {
        self.pieces.push_back(piece);
    }

    /// The digest, of everything that was pushed.
    pub(crate) fn finish(mut self) -> [u8; 16] {
        hash_all(&mut [&mut self]);
        let len = self.len;
        let zeros = (2 * BLOCK - 9 - self.tail_len) % BLOCK;
        let mut padding = vec![0x80];
        padding.resize(1 + zeros, 0);
        padding.extend_from_slice(&len.wrapping_mul(8).to_le_bytes());
        self.push(padding.into());
        hash_all(&mut [&mut self]);
        debug_assert_eq!(self.tail_len, 0, "padding ends a block");
        let mut digest = [0; 16];
        for (place, word) in digest.as_chunks_mut::<4>().0.iter_mut().zip(self.state) {
            *place = word.to_le_bytes();
        }
        digest
    }

    /// Blocks that can be hashed without a copy; none when the stream has no whole block left. Bytes that are not a whole block
    /// move to the tail.
    fn ready(&mut self) -> usize {
        while self.tail_len < BLOCK {
            let Some(piece) = self.pieces.front_mut() else { return 0 };
            if self.tail_len == 0 && piece.len() >= BLOCK {
                return piece.len() / BLOCK;
            }
            let taken = piece.len().min(BLOCK - self.tail_len);
            if let Some(place) = self.tail.get_mut(self.tail_len..self.tail_len + taken) {
                piece.copy_to_slice(place);
            }
            self.tail_len += taken;
            self.len = self.len.wrapping_add(taken as u64);
            if piece.is_empty() {
                self.pieces.pop_front();
            }
        }
        1
    }

    /// What [`Hash::ready`] counted, and the state to move over it.
    fn lane(&mut self) -> (&mut State, &[Block]) {
        if self.tail_len == BLOCK {
            return (&mut self.state, std::slice::from_ref(&self.tail));
        }
        let blocks = self.pieces.front().map(|piece| piece.as_chunks().0).unwrap_or_default();
        (&mut self.state, blocks)
    }

    /// Forgets `count` blocks that were hashed.
    fn consume(&mut self, count: usize) {
        if self.tail_len == BLOCK {
            self.tail_len = 0;
            return;
        }
        let bytes = count * BLOCK;
        self.len = self.len.wrapping_add(bytes as u64);
        if let Some(piece) = self.pieces.front_mut() {
            piece.advance(bytes.min(piece.len()));
            if piece.is_empty() {
                self.pieces.pop_front();
            }
        }
    }
}

/// Hashes all that was pushed to these streams, up to [`LANES_MAX`] of them at a time; less than a block stays in each tail.
pub(crate) fn hash_all(streams: &mut [&mut Hash]) {
    for group in streams.chunks_mut(LANES_MAX) {
        loop {
            let mut count = usize::MAX;
            let mut active: Vec<&mut &mut Hash> = Vec::with_capacity(group.len());
            for stream in group.iter_mut() {
                match stream.ready() {
                    0 => {}
                    ready => {
                        count = count.min(ready);
                        active.push(stream);
                    }
                }
            }
            if active.is_empty() {
                break;
            }
            let mut lanes: Vec<(&mut State, &[Block])> = active.iter_mut().map(|stream| stream.lane()).collect();
            advance(&mut lanes, count);
            for stream in active {
                stream.consume(count);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert_eq, proptest};
    use s3s::crypto::{Checksum as _, Md5};

    use super::{Hash, hash_all};

    proptest! {
        /// Goal: the digest depends on the bytes alone, not on how they come or who is hashed beside them. Method: up to forty streams
        /// in pieces of any length, hashed together at any moment, against the single-stream library.
        #[test]
        fn streams_of_any_pieces(streams in vec(vec((0_usize..700, any::<bool>()), 0..12), 1..40), seed: u8) {
            let mut hashes = vec![Hash::default(); streams.len()];
            let mut contents = vec![Vec::new(); streams.len()];
            for step in 0..12 {
                let mut all = false;
                for ((pieces, hash), content) in streams.iter().zip(&mut hashes).zip(&mut contents) {
                    if let Some((len, together)) = pieces.get(step) {
                        let piece: Vec<u8> = (0..*len).map(|at| at.to_le_bytes()[0].wrapping_mul(7) ^ seed).collect();
                        content.extend_from_slice(&piece);
                        hash.push(Bytes::from(piece));
                        all |= together;
                    }
                }
                if all {
                    hash_all(&mut hashes.iter_mut().collect::<Vec<_>>());
                }
            }
            for (hash, content) in hashes.into_iter().zip(&contents) {
                prop_assert_eq!(hash.finish(), Md5::checksum(content));
            }
        }
    }

    #[test]
    fn digests_of_the_rfc() {
        // RFC 1321, appendix A.5.
        for (text, digest) in [
            ("", "d41d8cd98f00b204e9800998ecf8427e"),
            ("a", "0cc175b9c0f1b6a831c399e269772661"),
            ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
            (
                "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
                "57edf4a22be3c955ac49da2e2107b67a",
            ),
        ] {
            let mut hash = Hash::default();
            hash.push(Bytes::from(text));
            assert_eq!(hex::encode(hash.finish()), digest, "{text}");
        }
    }
}
