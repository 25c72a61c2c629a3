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
/// Time between two writes, and records of one: under attack one journal stripe and 16 records a minute. The first refusal after a
/// quiet minute is written at once.
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
    written_at: Option<u64>,
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
        // A clock that was set back must not silence the trail.
        let early = waiting.written_at.is_some_and(|at| (at..at.saturating_add(WRITE_EVERY_MS)).contains(&now));
        if early || waiting.seen.is_empty() {
            return Vec::new();
        }
        waiting.written_at = Some(now);
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
    fn sixteen_records_a_minute_count_everything() {
        let denials = Denials::default();
        let (mut noted, mut written, mut counted) = (0_u64, 0, 0_u64);
        for second in 0..180_u64 {
            for number in 0..100_u64 {
                noted += 1;
                denials.note(from("AK", &format!("10.0.{second}.{number}:1")), "b", "k", "AccessDenied on GET");
            }
            let records = audits(denials.due(second * 1000, 0));
            written += records.len();
            counted += records.iter().map(|audit| u64::from(audit.count)).sum::<u64>();
            assert!(denials.waiting.lock().seen.len() <= DISTINCT_MAX + 1);
        }
        assert_eq!(written, 3 * 16, "records in three minutes");
        counted += audits(denials.take(180_000, 0)).iter().map(|audit| u64::from(audit.count)).sum::<u64>();
        assert_eq!(counted, noted, "a refusal that is in no record");
    }

    #[test]
    fn a_single_refusal_is_written_at_once_and_a_clock_set_back_silences_nothing() {
        let denials = Denials::default();
        let note = || denials.note(from("AK", "10.0.0.1:1"), "b", "k", "AccessDenied on GET");
        assert_eq!(denials.due(1_000_000, 0).len(), 0);
        note();
        assert_eq!(denials.due(1_000_000, 0).len(), 1);
        note();
        assert_eq!(denials.due(1_000_000 + WRITE_EVERY_MS - 1, 0).len(), 0, "too early");
        assert_eq!(denials.due(1_000_000 + WRITE_EVERY_MS, 0).len(), 1);
        note();
        assert_eq!(denials.due(5, 0).len(), 1, "the clock was set back");
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
