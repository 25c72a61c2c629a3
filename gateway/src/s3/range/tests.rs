//! Goal: exactly the bytes asked for, or a clear refusal. Method: tables over ranges, parts and conditions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use s3s::dto::{ETag, ETagCondition, Range, Timestamp, TimestampFormat};

use super::{Conditions, slice, timestamp};
use crate::s3::fixtures::version;

type Bytes = (u64, u64, Option<String>);
type Refusal = (String, u16, String);

fn asked(size: u64, range: &str) -> Result<Bytes, Refusal> {
    let range = Range::parse(range).unwrap();
    match slice(&version(size, &[]), Some(range), None) {
        Ok(slice) => Ok((slice.start, slice.end, slice.content_range())),
        Err(error) => {
            let headers = error.headers().unwrap();
            let range = headers.get("content-range").unwrap().to_str().unwrap().to_owned();
            Err((error.code().as_str().to_owned(), error.status_code().unwrap().as_u16(), range))
        }
    }
}

#[test]
fn ranges_are_exact() {
    let ok = |start: u64, end: u64, text: &str| Ok((start, end, Some(text.to_owned())));
    assert_eq!(asked(10, "bytes=0-0"), ok(0, 1, "bytes 0-0/10"));
    assert_eq!(asked(10, "bytes=2-5"), ok(2, 6, "bytes 2-5/10"));
    assert_eq!(asked(10, "bytes=9-"), ok(9, 10, "bytes 9-9/10"));
    assert_eq!(asked(10, "bytes=2-100"), ok(2, 10, "bytes 2-9/10"));
    assert_eq!(asked(10, "bytes=-3"), ok(7, 10, "bytes 7-9/10"));
    assert_eq!(asked(10, "bytes=-100"), ok(0, 10, "bytes 0-9/10"));
}

#[test]
fn ranges_behind_the_end_are_416_with_the_size() {
    for (size, range) in [(10, "bytes=10-"), (10, "bytes=10-20"), (10, "bytes=-0"), (0, "bytes=0-"), (0, "bytes=-1")] {
        let wrong = Err(("InvalidRange".to_owned(), 416, format!("bytes */{size}")));
        assert_eq!(asked(size, range), wrong, "{range} of {size}");
    }
}

#[test]
fn without_a_range_the_answer_is_not_partial() {
    for size in [0, 10] {
        let whole = slice(&version(size, &[]), None, None).unwrap();
        assert_eq!((whole.len(), whole.partial, whole.content_range()), (size, false, None));
    }
}

#[test]
fn part_numbers_are_those_the_client_gave() {
    let object = version(12, &[(1, 5), (3, 0), (7, 7)]);
    let part = |number: i32| slice(&object, None, Some(number)).map(|slice| (slice.start, slice.end, slice.partial));
    assert_eq!(part(1).unwrap(), (0, 5, true));
    assert_eq!(part(3).unwrap(), (5, 5, true));
    assert_eq!(part(7).unwrap(), (5, 12, true));
    for wrong in [0, 2, 8, -1, 10_001] {
        let error = part(wrong).unwrap_err();
        assert_eq!(
            (error.code().as_str(), error.status_code().unwrap().as_u16()),
            ("InvalidPartNumber", 416),
            "{wrong}"
        );
    }
    let single = version(12, &[]);
    assert_eq!(slice(&single, None, Some(1)).unwrap().len(), 12);
    assert!(slice(&single, None, Some(2)).is_err());
    let both = slice(&single, Some(Range::parse("bytes=0-1").unwrap()), Some(1)).unwrap_err();
    assert_eq!(both.code().as_str(), "InvalidRequest");
}

#[test]
fn a_part_table_that_overruns_the_object_is_refused() {
    assert!(slice(&version(4, &[(1, 5)]), None, Some(1)).is_err());
    assert!(slice(&version(4, &[(1, u64::MAX), (2, 2)]), None, Some(2)).is_err());
}

fn tag(text: &str) -> Option<ETagCondition> {
    Some(ETagCondition::ETag(ETag::Strong(text.to_owned())))
}

fn at(text: &str) -> Option<Timestamp> {
    Some(Timestamp::parse(TimestampFormat::DateTime, text).unwrap())
}

fn outcome(conditions: Conditions) -> u16 {
    // The fixture was made at 2026-01-01T00:00:00.500Z and has the ETag "tag".
    match conditions.check(&version(1, &[])) {
        Ok(()) => 200,
        Err(error) => error.status_code().unwrap().as_u16(),
    }
}

#[test]
fn conditions_are_judged_in_the_order_of_the_standard() {
    let none = Conditions::default;
    let (same, earlier, later) = ("2026-01-01T00:00:00Z", "2025-12-31T23:59:59Z", "2026-01-01T00:00:01Z");
    assert_eq!(outcome(none()), 200);
    assert_eq!(outcome(Conditions { if_match: tag("tag"), ..none() }), 200);
    assert_eq!(outcome(Conditions { if_match: tag("other"), ..none() }), 412);
    assert_eq!(outcome(Conditions { if_match: Some(ETagCondition::Any), ..none() }), 200);
    assert_eq!(outcome(Conditions { if_none_match: tag("tag"), ..none() }), 304);
    assert_eq!(outcome(Conditions { if_none_match: tag("other"), ..none() }), 200);
    assert_eq!(outcome(Conditions { if_none_match: Some(ETagCondition::Any), ..none() }), 304);
    assert_eq!(outcome(Conditions { if_modified_since: at(same), ..none() }), 304, "headers have whole seconds");
    assert_eq!(outcome(Conditions { if_modified_since: at(earlier), ..none() }), 200);
    assert_eq!(outcome(Conditions { if_unmodified_since: at(same), ..none() }), 200);
    assert_eq!(outcome(Conditions { if_unmodified_since: at(earlier), ..none() }), 412);
    // ETags beat dates.
    assert_eq!(outcome(Conditions { if_match: tag("tag"), if_unmodified_since: at(earlier), ..none() }), 200);
    assert_eq!(outcome(Conditions { if_none_match: tag("other"), if_modified_since: at(later), ..none() }), 200);
    assert_eq!(outcome(Conditions { if_match: tag("other"), if_none_match: tag("tag"), ..none() }), 412);
}

#[test]
fn moments_keep_their_milliseconds_and_never_fail() {
    let mut text = Vec::new();
    timestamp(1_767_225_600_500).format(TimestampFormat::DateTime, &mut text).unwrap();
    assert_eq!(text, b"2026-01-01T00:00:00.500Z");
    let _ = timestamp(u64::MAX);
}
