//! Refused attempts: each is audited, but aggregated, so that nobody can fill the disk with them.
//!
//! What an attacker may choose (access key, bucket, key, port) never makes a record of its own: refusals are told apart by address
//! and reason, whose words come from closed sets. The rest of a record is an example: that of the first refusal it counts.

use std::collections::HashMap;
use std::net::SocketAddr;

use kovcheg_format::id::VersionId;
use kovcheg_format::record::Record;
use kovcheg_format::record::audit::{Action, Audit, Origin, Verdict};
use parking_lot::Mutex;

/// Distinct refusals kept between two writes; further ones are counted under one entry.
const DISTINCT_MAX: usize = 64;
/// Writes that may follow each other at once, the time after which there may be one more, and the records of one: under attack one journal
/// stripe and 16 records a minute, after the first sixteen.
const WRITES_AT_ONCE: u64 = 16;
const WRITE_EVERY_MS: u64 = 60_000;
const RECORDS_PER_WRITE: usize = 16;
/// Longest text that is taken over from a request, bytes.
const TEXT_MAX: usize = 128;

/// What refusals are told apart by.
#[derive(PartialEq, Eq, Hash, Clone)]
struct Kind {
    address: String,
    reason: String,
}

struct Seen {
    first: Origin,
    bucket: String,
    key: String,
    count: u32,
}

#[derive(Default)]
struct Waiting {
    seen: HashMap<Kind, Seen>,
    pace: Pace,
}

/// How many writes are left: a bucket of [`WRITES_AT_ONCE`] that fills by one every [`WRITE_EVERY_MS`].
struct Pace {
    left: u64,
    filled_at: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { left: WRITES_AT_ONCE, filled_at: 0 }
    }
}

impl Pace {
    /// Takes a write, if there is one.
    fn take(&mut self, now: u64) -> bool {
        // A clock that was set back must not silence the trail.
        let passed = now.checked_sub(self.filled_at).unwrap_or(WRITE_EVERY_MS);
        self.left = self.left.saturating_add(passed / WRITE_EVERY_MS).min(WRITES_AT_ONCE);
        self.filled_at = now.saturating_sub(passed % WRITE_EVERY_MS);
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }
}

/// Refusals since the last write.
#[derive(Default)]
pub struct Denials {
    waiting: Mutex<Waiting>,
}

impl Denials {
    /// Notes a refusal; `reason` is of a closed set of words. Memory is bounded by [`DISTINCT_MAX`] entries.
    pub fn note(&self, by: Origin, bucket: &str, key: &str, reason: &str) {
        let mut waiting = self.waiting.lock();
        let mut kind = Kind { address: host_of(&by.address), reason: reason.to_owned() };
        if waiting.seen.len() >= DISTINCT_MAX && !waiting.seen.contains_key(&kind) {
            kind = Kind { address: String::new(), reason: "other".to_owned() };
        }
        let entry = waiting.seen.entry(kind).or_insert_with(|| Seen {
            first: Origin { actor: cut(&by.actor).to_owned(), ..by },
            bucket: cut(bucket).to_owned(),
            key: cut(key).to_owned(),
            count: 0,
        });
        entry.count = entry.count.saturating_add(1);
    }

    /// The audit records that may be written now, most refusals first; what is left goes on counting and is in a later one.
    #[must_use]
    pub fn due(&self, now: u64, clock: u64) -> Vec<Record> {
        let mut waiting = self.waiting.lock();
        if waiting.seen.is_empty() || !waiting.pace.take(now) {
            return Vec::new();
        }
        let mut kinds: Vec<(u32, Kind)> = waiting.seen.iter().map(|(kind, seen)| (seen.count, kind.clone())).collect();
        kinds.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        kinds.truncate(RECORDS_PER_WRITE);
        let due = kinds.into_iter().filter_map(|(_, kind)| waiting.seen.remove_entry(&kind));
        due.map(|(kind, seen)| record(kind, seen, (now, clock))).collect()
    }

    /// The audit records of everything noted and not yet written: for the end of a life.
    #[must_use]
    pub fn take(&self, now: u64, clock: u64) -> Vec<Record> {
        let seen = std::mem::take(&mut self.waiting.lock().seen);
        seen.into_iter().map(|(kind, seen)| record(kind, seen, (now, clock))).collect()
    }

    /// Whether nothing was noted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.lock().seen.is_empty()
    }
}

fn record(kind: Kind, seen: Seen, (at, retention_clock): (u64, u64)) -> Record {
    Audit {
        action: Action::Denied,
        by: seen.first,
        bucket: seen.bucket,
        key: seen.key,
        version: VersionId::ZERO,
        verdict: Verdict::Deny,
        reasons: vec![kind.reason],
        count: seen.count,
        at,
        retention_clock,
    }
    .into()
}

/// The address without the port, which a client may choose anew for every attempt.
fn host_of(address: &str) -> String {
    address.parse::<SocketAddr>().map_or_else(|_| cut(address).to_owned(), |socket| socket.ip().to_string())
}

/// At most [`TEXT_MAX`] bytes of a text, cut at a character.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(TEXT_MAX);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    //! Goal: every refusal is counted, and nobody fills the disk with them. Method: hostile notes, the records counted.
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use kovcheg_format::id::RequestId;
    use kovcheg_format::record::Record;
    use kovcheg_format::record::audit::{Audit, Origin};

    use super::{DISTINCT_MAX, Denials, TEXT_MAX, WRITE_EVERY_MS};

    fn from(actor: &str, address: &str) -> Origin {
        Origin { actor: actor.to_owned(), address: address.to_owned(), request: RequestId::ZERO }
    }

    fn audits(records: Vec<Record>) -> Vec<Audit> {
        let audit = |record| match record {
            Record::Audit(audit) => audit,
            other => panic!("{other:?}"),
        };
        records.into_iter().map(audit).collect()
    }

    #[test]
    fn what_a_client_chooses_makes_no_record_of_its_own() {
        // The story: refusals were told apart by access key, bucket and port, so that each attempt was a record of its own.
        let denials = Denials::default();
        for number in 0..1000_u16 {
            let by = from(&format!("AK{number}"), &format!("10.0.0.1:{}", number + 1));
            denials.note(by, &format!("bucket{number}"), &format!("key{number}"), "InvalidAccessKeyId on GET");
        }
        denials.note(from("AK", "[2001:db8::1]:7"), "b", "k", "InvalidAccessKeyId on GET");
        let records = audits(denials.due(0, 0));
        assert_eq!(records.iter().map(|audit| audit.count).collect::<Vec<_>>(), [1000, 1]);
        assert_eq!(
            (records[0].by.actor.as_str(), records[0].bucket.as_str()),
            ("AK0", "bucket0"),
            "the first is shown"
        );
        assert!(denials.is_empty());
    }

    #[test]
    fn few_records_count_everything() {
        let denials = Denials::default();
        let (mut noted, mut written, mut counted) = (0_u64, 0, 0_u64);
        for second in 1_000_000..1_000_180_u64 {
            for number in 0..100_u64 {
                noted += 1;
                denials.note(from("AK", &format!("10.{}.{number}:1", second % 180)), "b", "k", "AccessDenied on GET");
            }
            let records = audits(denials.due(second * 1000, 0));
            written += records.len();
            counted += records.iter().map(|audit| u64::from(audit.count)).sum::<u64>();
            assert!(denials.waiting.lock().seen.len() <= DISTINCT_MAX + 1);
        }
        assert_eq!(written, (16 + 3) * 16, "records in three minutes: sixteen writes at once, and one a minute");
        counted += audits(denials.take(1_000_180_000, 0)).iter().map(|audit| u64::from(audit.count)).sum::<u64>();
        assert_eq!(counted, noted, "a refusal that is in no record");
    }

    #[test]
    fn sixteen_refusals_are_written_at_once_and_a_clock_set_back_silences_nothing() {
        let denials = Denials::default();
        let written = |now| {
            denials.note(from("AK", "10.0.0.1:1"), "b", "k", "AccessDenied on GET");
            denials.due(now, 0).len()
        };
        assert_eq!(denials.due(1_000_000, 0).len(), 0);
        for _ in 0..16 {
            assert_eq!(written(1_000_000), 1);
        }
        assert_eq!(written(1_000_000), 0, "the seventeenth at once");
        assert_eq!(written(1_000_000 + WRITE_EVERY_MS - 1_000_000 % WRITE_EVERY_MS), 1, "a minute later");
        assert_eq!(written(1_000_000 + WRITE_EVERY_MS), 0, "and no second one");
        assert_eq!(written(5), 1, "the clock was set back");
        assert_eq!(written(6), 0, "which does not make it run faster");
        assert_eq!((0..40).map(|_| written(100 * WRITE_EVERY_MS)).sum::<usize>(), 16, "after a quiet hour");
    }

    #[test]
    fn texts_are_cut_at_a_character() {
        let denials = Denials::default();
        let long = format!("a{}", "я".repeat(600));
        denials.note(from(&long, "nonsense"), &long, &long, "AccessDenied on PUT");
        let audit = audits(denials.take(0, 0)).remove(0);
        for text in [&audit.by.actor, &audit.bucket, &audit.key] {
            assert!(text.len() < TEXT_MAX + 1 && long.starts_with(text.as_str()), "{text}");
        }
    }
}
