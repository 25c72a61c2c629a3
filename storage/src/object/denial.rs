//! Refused attempts: each is audited, but aggregated, so that nobody can fill the disk with them.

use std::collections::HashMap;

use kovcheg_format::id::VersionId;
use kovcheg_format::record::Record;
use kovcheg_format::record::audit::{Action, Audit, Origin, Verdict};
use parking_lot::Mutex;

/// Distinct refusals kept between two writes; further ones are counted under one entry.
const DISTINCT_MAX: usize = 256;

#[derive(PartialEq, Eq, Hash, Clone)]
struct Kind {
    actor: String,
    address: String,
    bucket: String,
    reason: String,
}

struct Seen {
    first: Origin,
    key: String,
    count: u32,
}

/// Refusals since the last write.
#[derive(Default)]
pub struct Denials {
    seen: Mutex<HashMap<Kind, Seen>>,
}

impl Denials {
    /// Notes a refusal. Memory is bounded by [`DISTINCT_MAX`] entries.
    pub fn note(&self, by: Origin, bucket: &str, key: &str, reason: &str) {
        let mut seen = self.seen.lock();
        let full = seen.len() >= DISTINCT_MAX;
        let mut kind = Kind {
            actor: by.actor.clone(),
            address: by.address.clone(),
            bucket: bucket.to_owned(),
            reason: reason.to_owned(),
        };
        if full && !seen.contains_key(&kind) {
            let other = String::new();
            kind = Kind { actor: other.clone(), address: other.clone(), bucket: other, reason: "other".to_owned() };
        }
        let entry = seen.entry(kind).or_insert_with(|| Seen { first: by, key: key.to_owned(), count: 0 });
        entry.count = entry.count.saturating_add(1);
    }

    /// The audit records of everything noted since the last call.
    #[must_use]
    pub fn take(&self, now: u64) -> Vec<Record> {
        let seen = std::mem::take(&mut *self.seen.lock());
        seen.into_iter()
            .map(|(kind, seen)| {
                Audit {
                    action: Action::Denied,
                    by: seen.first,
                    bucket: kind.bucket,
                    key: seen.key,
                    version: VersionId::ZERO,
                    verdict: Verdict::Deny,
                    reasons: vec![kind.reason],
                    count: seen.count,
                    at: now,
                    retention_clock: 0,
                }
                .into()
            })
            .collect()
    }

    /// Whether nothing was noted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.seen.lock().is_empty()
    }
}
