//! Checks an export of the audit trail line by line, and against audit checkpoints. What does not fit is named.

use crate::audit::entry::split_line;
use crate::audit::note::Checkpoint;
use crate::audit::tree::AuditTree;
use crate::id::AuditHash;

/// What an exported file shows not to be as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrailFault {
    /// A line that is no entry.
    #[error("line {line} is no entry of an export")]
    NoEntry {
        /// Counted from 1.
        line: u64,
    },
    /// An entry that belongs elsewhere.
    #[error("entry {found} stands where entry {expected} belongs: entries were removed, added or put elsewhere")]
    Misplaced {
        /// The number that comes next.
        expected: u64,
        /// The number that the line has.
        found: u64,
    },
    /// The chain does not go on.
    #[error("entry {number} was changed, or its place in the chain was")]
    Changed {
        /// Its number.
        number: u64,
    },
    /// The export is sound in itself, and another one.
    #[error(
        "the first {size} entries are not those that the audit checkpoint signed: the export was made anew, chain and all, from other entries"
    )]
    OtherTrail {
        /// Entries of the checkpoint.
        size: u64,
    },
    /// There were more.
    #[error("the export ends after {entries} entries, and the audit checkpoint signed {size}: it was cut")]
    Cut {
        /// Entries of the export.
        entries: u64,
        /// Entries of the checkpoint.
        size: u64,
    },
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct TrailCheck {
    tree: AuditTree,
    /// Audit checkpoints that were not reached yet, the largest first.
    ahead: Vec<Checkpoint>,
}

impl TrailCheck {
    /// Nothing read yet; to be compared with these checkpoints, whose signatures were verified.
    #[must_use]
    pub fn against(mut checkpoints: Vec<Checkpoint>) -> Self {
        checkpoints.sort_by_key(|checkpoint| std::cmp::Reverse(checkpoint.size));
        Self { tree: AuditTree::default(), ahead: checkpoints }
    }

    /// The tree over the entries read so far.
    #[must_use]
    pub fn tree(&self) -> &AuditTree {
        &self.tree
    }

    /// Takes the next line, without its end; the text of the entry. After a fault nothing more can be said.
    pub fn line(&mut self, line: &str) -> Result<String, TrailFault> {
        self.reached()?;
        let expected = self.tree.size;
        let no_entry = TrailFault::NoEntry { line: expected + 1 };
        let (text, chain) = split_line(line).ok_or(no_entry.clone())?;
        let found = number_of(&text).ok_or(no_entry)?;
        if found != expected {
            return Err(TrailFault::Misplaced { expected, found });
        }
        self.tree.append(&text);
        if self.tree.chain != chain {
            return Err(TrailFault::Changed { number: expected });
        }
        Ok(text)
    }

    /// At the end of the export.
    pub fn end(mut self) -> Result<AuditTree, TrailFault> {
        self.reached()?;
        match self.ahead.first() {
            Some(checkpoint) => Err(TrailFault::Cut { entries: self.tree.size, size: checkpoint.size }),
            None => Ok(self.tree),
        }
    }

    /// Compares the checkpoints of the size reached.
    fn reached(&mut self) -> Result<(), TrailFault> {
        while let Some(checkpoint) = self.ahead.pop_if(|checkpoint| checkpoint.size == self.tree.size) {
            let found: (AuditHash, AuditHash) = (self.tree.root(), self.tree.chain);
            if found != (checkpoint.root, checkpoint.chain) {
                return Err(TrailFault::OtherTrail { size: checkpoint.size });
            }
        }
        Ok(())
    }
}

/// The number an entry begins with.
fn number_of(text: &str) -> Option<u64> {
    let (digits, _) = text.strip_prefix("{\"n\":")?.split_once(',')?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    //! Goal: whatever is done to an export is named. Method: each kind of change at every entry, with and without a chain made anew.
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "tests")]

    use super::{TrailCheck, TrailFault};
    use crate::audit::entry::export_line;
    use crate::audit::note::Checkpoint;
    use crate::audit::tree::AuditTree;
    use crate::id::PoolId;

    const SIZE: u64 = 9;

    /// An export of these keys with a chain of its own, and its tree.
    fn export(keys: &[String]) -> (Vec<String>, AuditTree) {
        let mut tree = AuditTree::default();
        let line = |(n, key): (usize, &String)| {
            let text = format!("{{\"n\":{n},\"key\":\"{key}\"}}");
            tree.append(&text);
            export_line(&text, tree.chain)
        };
        (keys.iter().enumerate().map(line).collect(), tree)
    }

    fn keys() -> Vec<String> {
        (0..SIZE).map(|n| format!("k{n}")).collect()
    }

    fn check(lines: &[String], checkpoints: &[&AuditTree]) -> Result<AuditTree, TrailFault> {
        let signed = checkpoints.iter().map(|tree| Checkpoint::of(PoolId([1; 16]), tree, 0)).collect();
        let mut check = TrailCheck::against(signed);
        for line in lines {
            check.line(line)?;
        }
        check.end()
    }

    #[test]
    fn a_whole_export_fits_every_checkpoint_of_it() {
        let (lines, tree) = export(&keys());
        let earlier: Vec<AuditTree> = (0..SIZE as usize).map(|size| export(&keys()[..size]).1).collect();
        let all: Vec<&AuditTree> = earlier.iter().chain([&tree]).collect();
        assert_eq!(check(&lines, &all).unwrap(), tree);
        assert_eq!(check(&lines, &[]).unwrap(), tree);
    }

    #[test]
    fn every_change_of_a_line_is_named() {
        let (lines, tree) = export(&keys());
        for at in 0..lines.len() {
            let number = at as u64;
            for byte in 0..lines[at].len() {
                let mut changed = lines.clone();
                let mut bytes = changed[at].clone().into_bytes();
                bytes[byte] ^= 1;
                changed[at] = String::from_utf8(bytes).unwrap();
                let fault = check(&changed, &[&tree]).unwrap_err();
                let named = match &fault {
                    TrailFault::NoEntry { line } => *line == number + 1,
                    TrailFault::Misplaced { expected, .. } => *expected == number,
                    TrailFault::Changed { number: found } => *found == number,
                    TrailFault::OtherTrail { .. } | TrailFault::Cut { .. } => false,
                };
                assert!(named, "byte {byte} of entry {at}: {fault:?}");
            }
            let mut removed = lines.clone();
            removed.remove(at);
            let expected = match number {
                8 => TrailFault::Cut { entries: 8, size: SIZE },
                _ => TrailFault::Misplaced { expected: number, found: number + 1 },
            };
            assert_eq!(check(&removed, &[&tree]), Err(expected));
            let mut doubled = lines.clone();
            doubled.insert(at, lines[at].clone());
            assert_eq!(check(&doubled, &[&tree]), Err(TrailFault::Misplaced { expected: number + 1, found: number }));
            if at > 0 {
                let mut swapped = lines.clone();
                swapped.swap(at - 1, at);
                let fault = TrailFault::Misplaced { expected: number - 1, found: number };
                assert_eq!(check(&swapped, &[&tree]), Err(fault));
            }
            let cut = TrailFault::Cut { entries: number, size: SIZE };
            assert_eq!(check(&lines[..at], &[&tree]), Err(cut));
        }
        assert_eq!(check(&["".to_owned()], &[]), Err(TrailFault::NoEntry { line: 1 }));
    }

    #[test]
    fn a_trail_that_was_made_anew_is_not_the_one_that_was_signed() {
        let (_, tree) = export(&keys());
        let (_, early) = export(&keys()[..3]);
        for at in 0..SIZE as usize {
            let mut other = keys();
            other[at].push('x');
            let (lines, _) = export(&other);
            assert!(check(&lines, &[]).is_ok(), "it is sound in itself");
            assert_eq!(check(&lines, &[&tree]), Err(TrailFault::OtherTrail { size: SIZE }));
            let size = if at < 3 { 3 } else { SIZE };
            assert_eq!(check(&lines, &[&tree, &early]), Err(TrailFault::OtherTrail { size }));
        }
    }
}
