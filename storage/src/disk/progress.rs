//! How far one read or write has come: continues short ones, retries interrupted ones, and knows when to give up.
//! Shared by the drivers of real disks.

use std::io;

use kovcheg_format::units::BLOCK_LEN;

/// Times in a row that an operation may be interrupted before it counts as failed.
const INTERRUPTIONS_MAX: u32 = 1_000;
/// Times in a row that less than one block may move before the file counts as ended there.
const PARTIAL_BLOCKS_MAX: u32 = 3;

/// What to do after one attempt.
#[derive(Debug)]
pub(super) enum Step {
    /// Try again, from [`Progress::done`].
    More,
    /// Everything moved.
    Done,
    /// Nothing moved, and no error: the file ends here.
    Ended,
    /// The operating system refused.
    Failed(io::Error),
}

/// State of one read or write of `len` bytes.
#[derive(Debug)]
pub(super) struct Progress {
    len: usize,
    done: usize,
    interruptions: u32,
    partial_blocks: u32,
}

impl Progress {
    /// Nothing has moved yet.
    pub(super) fn new(len: usize) -> Self {
        Self { len, done: 0, interruptions: 0, partial_blocks: 0 }
    }

    /// Bytes that have moved, a multiple of the block size: O_DIRECT takes no other offset.
    pub(super) fn done(&self) -> usize {
        self.done
    }

    /// Bytes that have yet to move.
    pub(super) fn left(&self) -> usize {
        self.len.saturating_sub(self.done)
    }

    /// Takes the result of one attempt at the bytes from [`Progress::done`] on.
    pub(super) fn advance(&mut self, result: io::Result<usize>) -> Step {
        let moved = match result {
            Ok(moved) => moved,
            Err(error) => return self.interrupted(error),
        };
        let block = usize::try_from(BLOCK_LEN).unwrap_or(4096);
        let reached = self.done.saturating_add(moved);
        if reached >= self.len {
            self.done = self.len;
            return Step::Done;
        }
        let whole = reached - reached % block;
        if whole > self.done {
            self.done = whole;
            self.interruptions = 0;
            self.partial_blocks = 0;
            return Step::More;
        }
        self.partial_blocks += 1;
        if moved == 0 || self.partial_blocks >= PARTIAL_BLOCKS_MAX { Step::Ended } else { Step::More }
    }

    fn interrupted(&mut self, error: io::Error) -> Step {
        let again = matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock);
        self.interruptions += 1;
        if again && self.interruptions < INTERRUPTIONS_MAX { Step::More } else { Step::Failed(error) }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::{INTERRUPTIONS_MAX, Progress, Step};

    /// Goal: short moves are continued from a block boundary, by a table of one transfer.
    #[test]
    fn short_moves_continue_at_blocks() {
        let mut progress = Progress::new(12_288);
        assert!(matches!(progress.advance(Ok(5_000)), Step::More));
        assert_eq!((progress.done(), progress.left()), (4_096, 8_192));
        assert!(matches!(progress.advance(Ok(100)), Step::More), "part of a block is tried again");
        assert_eq!(progress.done(), 4_096);
        assert!(matches!(progress.advance(Err(io::ErrorKind::Interrupted.into())), Step::More));
        assert!(matches!(progress.advance(Ok(4_096)), Step::More));
        assert!(matches!(progress.advance(Ok(4_096)), Step::Done));
    }

    /// Goal: an end inside a block, an end at a block and endless interruption all come to an end.
    #[test]
    fn no_attempt_lasts_for_ever() {
        let mut progress = Progress::new(8_192);
        assert!(matches!(progress.advance(Ok(4_096)), Step::More));
        assert!(matches!(progress.advance(Ok(0)), Step::Ended));

        let mut progress = Progress::new(8_192);
        assert!(matches!(progress.advance(Ok(10)), Step::More));
        assert!(matches!(progress.advance(Ok(10)), Step::More));
        assert!(matches!(progress.advance(Ok(10)), Step::Ended));

        let mut progress = Progress::new(8_192);
        for _ in 1..INTERRUPTIONS_MAX {
            assert!(matches!(progress.advance(Err(io::ErrorKind::WouldBlock.into())), Step::More));
        }
        assert!(matches!(progress.advance(Err(io::ErrorKind::WouldBlock.into())), Step::Failed(_)));
    }

    /// Goal: a real error is never retried.
    #[test]
    fn errors_are_final() {
        let mut progress = Progress::new(4_096);
        assert!(matches!(progress.advance(Err(io::Error::from_raw_os_error(libc::EIO))), Step::Failed(_)));
    }
}
