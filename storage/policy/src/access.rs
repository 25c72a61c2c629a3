//! What an access key may do in a bucket of its tenant.

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Right {
    /// Reading objects and their properties.
    Read,
    /// Storing objects, uploading parts, making a bucket.
    Write,
    /// Removing objects or an empty bucket.
    Delete,
    /// Listing objects, uploads and parts.
    List,
    /// Setting and clearing legal holds.
    Hold,
    /// Bypassing GOVERNANCE retention.
    Bypass,
}

impl Right {
    /// Every right.
    pub const ALL: [Self; 6] = [Self::Read, Self::Write, Self::Delete, Self::List, Self::Hold, Self::Bypass];

    /// The word for it in CLI, API and messages.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Delete => "delete",
            Self::List => "list",
            Self::Hold => "hold",
            Self::Bypass => "bypass",
        }
    }

    /// The reverse of [`Right::word`].
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|right| right.word() == word)
    }
}

/// What was granted to an access key; by default nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grant {
    /// Names of buckets; one that ends in `*` stands for all that begin so. None: no bucket.
    pub buckets: Vec<String>,
    /// Rights in those buckets. None: nothing.
    pub rights: Vec<Right>,
}

impl Grant {
    /// Whether the grant covers a right in a bucket.
    #[must_use]
    pub fn allows(&self, bucket: &str, right: Right) -> bool {
        self.rights.contains(&right) && self.covers(bucket)
    }

    /// Whether it covers any right in a bucket: enough to learn that the bucket is there, and where.
    #[must_use]
    pub fn allows_any(&self, bucket: &str) -> bool {
        !self.rights.is_empty() && self.covers(bucket)
    }

    fn covers(&self, bucket: &str) -> bool {
        self.buckets.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(beginning) => bucket.starts_with(beginning),
            None => bucket == pattern,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Grant, Right};

    fn grant(buckets: &[&str], rights: &[Right]) -> Grant {
        Grant { buckets: buckets.iter().map(|name| (*name).to_owned()).collect(), rights: rights.to_vec() }
    }

    /// Goal: a right counts in the buckets that are named and in no other; nothing is granted by default.
    #[test]
    fn grants_cover_what_they_name() {
        let cases: [(&[&str], &str, bool); 11] = [
            (&["dumps"], "dumps", true),
            (&["dumps"], "dumps2", false),
            (&["dumps"], "dump", false),
            (&["wal-*"], "wal-2026", true),
            (&["wal-*"], "wal-", true),
            (&["wal-*"], "wal", false),
            (&["wal-*"], "my-wal-1", false),
            (&["wal"], "my-wal", false),
            (&["*"], "anything", true),
            (&["a*b"], "a*b", true),
            (&[], "dumps", false),
        ];
        for (buckets, bucket, covered) in cases {
            for granted in Right::ALL {
                let grant = grant(buckets, &[granted]);
                for asked in Right::ALL {
                    assert_eq!(
                        grant.allows(bucket, asked),
                        covered && asked == granted,
                        "{buckets:?} {bucket} {asked:?}"
                    );
                }
                assert_eq!(grant.allows_any(bucket), covered, "{buckets:?} {bucket}");
            }
            assert!(!grant(buckets, &[]).allows_any(bucket), "no right is no grant");
        }
    }

    #[test]
    fn words_are_rights() {
        for right in Right::ALL {
            assert_eq!(Right::from_word(right.word()), Some(right));
        }
        assert_eq!(Right::from_word("admin"), None);
    }
}
