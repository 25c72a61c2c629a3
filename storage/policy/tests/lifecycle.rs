//! Goal: what is due by lifecycle rules is what S3 says, and time alone, not another clock, brings it about. Method: each action by itself at the
//! millisecond before and at its moment; properties over all rules and facts.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use kovcheg_format::record::lifecycle::LifecycleRule;
use kovcheg_format::record::version::{Pair, VersionKind};
use kovcheg_policy::lifecycle::{Due, LifecycleFacts, due, upload_due};
use proptest::option;
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};
use proptest::sample::select;

const DAY: u64 = 24 * 3600 * 1000;
/// A noon.
const NOON: u64 = 20_000 * DAY + DAY / 2;

fn rule() -> LifecycleRule {
    LifecycleRule {
        id: "r".into(),
        enabled: true,
        prefix: String::new(),
        tags: Vec::new(),
        larger_than: None,
        smaller_than: None,
        expire_days: 0,
        expire_date: 0,
        expire_markers: false,
        noncurrent_days: 0,
        noncurrent_keep: 0,
        abort_days: 0,
        transitions: Vec::new(),
    }
}

fn object() -> LifecycleFacts<'static> {
    LifecycleFacts {
        key: "logs/a",
        size: 10,
        tags: &[],
        kind: VersionKind::Object,
        made: NOON,
        superseded: None,
        newer_noncurrent: 0,
        alone: false,
    }
}

fn tag(name: &str, value: &str) -> Pair {
    Pair { name: name.into(), value: value.into() }
}

fn said(rule: &LifecycleRule, facts: &LifecycleFacts<'_>, now: u64) -> Option<Due> {
    due(std::slice::from_ref(rule), facts, now).map(|(due, _)| due)
}

#[test]
fn days_end_at_the_next_midnight() {
    let rule = LifecycleRule { expire_days: 2, ..rule() };
    let midnight = 20_003 * DAY;
    assert_eq!(said(&rule, &object(), midnight - 1), None);
    assert_eq!(said(&rule, &object(), midnight), Some(Due::Current));
    // Made at midnight, it lasts whole days.
    let at_midnight = LifecycleFacts { made: 20_000 * DAY, ..object() };
    assert_eq!(said(&rule, &at_midnight, 20_002 * DAY - 1), None);
    assert_eq!(said(&rule, &at_midnight, 20_002 * DAY), Some(Due::Current));
}

#[test]
fn dates_count_for_current_objects_alone() {
    let rule = LifecycleRule { expire_date: NOON + 5, ..rule() };
    assert_eq!(said(&rule, &object(), NOON + 4), None);
    assert_eq!(said(&rule, &object(), NOON + 5), Some(Due::Current));
    let noncurrent = LifecycleFacts { superseded: Some(NOON), ..object() };
    assert_eq!(said(&rule, &noncurrent, u64::MAX), None);
    let marker = LifecycleFacts { kind: VersionKind::DeleteMarker, alone: true, ..object() };
    assert_eq!(said(&rule, &marker, u64::MAX), None);
}

#[test]
fn noncurrent_versions_go_by_their_successors_age_and_some_stay() {
    let rule = LifecycleRule { noncurrent_days: 1, noncurrent_keep: 2, ..rule() };
    let at = |newer_noncurrent| LifecycleFacts { made: 5, superseded: Some(NOON), newer_noncurrent, ..object() };
    let then = 20_002 * DAY;
    assert_eq!((said(&rule, &at(2), then - 1), said(&rule, &at(2), then)), (None, Some(Due::Version)));
    assert_eq!((said(&rule, &at(1), then), said(&rule, &at(9), then)), (None, Some(Due::Version)));
    assert_eq!(said(&rule, &object(), u64::MAX), None, "a current version");
    let marker = LifecycleFacts { kind: VersionKind::DeleteMarker, ..at(2) };
    assert_eq!(said(&rule, &marker, then), Some(Due::Version), "noncurrent markers too");
}

#[test]
fn a_marker_goes_when_nothing_is_under_it() {
    let marker = LifecycleFacts { kind: VersionKind::DeleteMarker, ..object() };
    let alone = LifecycleFacts { alone: true, ..marker };
    let markers = LifecycleRule { expire_markers: true, ..rule() };
    assert_eq!((said(&markers, &marker, u64::MAX), said(&markers, &alone, 0)), (None, Some(Due::Version)));
    let days = LifecycleRule { expire_days: 1, ..rule() };
    assert_eq!((said(&days, &alone, NOON), said(&days, &alone, 20_002 * DAY)), (None, Some(Due::Version)));
    assert_eq!(said(&days, &marker, u64::MAX), None);
    assert_eq!(said(&markers, &LifecycleFacts { alone: true, ..object() }, u64::MAX), None, "an object is no marker");
}

#[test]
fn filters_must_all_fit() {
    let rule = LifecycleRule {
        prefix: "logs/".into(),
        tags: vec![tag("a", "1"), tag("b", "2")],
        larger_than: Some(9),
        smaller_than: Some(11),
        expire_days: 1,
        ..rule()
    };
    let tags = [tag("b", "2"), tag("c", "3"), tag("a", "1")];
    let fits = LifecycleFacts { tags: &tags, ..object() };
    assert_eq!(said(&rule, &fits, u64::MAX), Some(Due::Current));
    for other in [
        LifecycleFacts { key: "log", ..fits },
        LifecycleFacts { size: 9, ..fits },
        LifecycleFacts { size: 11, ..fits },
        LifecycleFacts { tags: &tags[..2], ..fits },
    ] {
        assert_eq!(said(&rule, &other, u64::MAX), None, "{other:?}");
    }
    let off = LifecycleRule { enabled: false, ..rule.clone() };
    assert_eq!(said(&off, &fits, u64::MAX), None);
    let marker = LifecycleFacts { kind: VersionKind::DeleteMarker, alone: true, ..fits };
    assert_eq!(said(&rule, &marker, u64::MAX), None, "a marker has neither tags nor a size");
}

#[test]
fn uploads_are_aborted_by_age_and_prefix() {
    let rules = [LifecycleRule { abort_days: 1, prefix: "logs/".into(), ..rule() }];
    assert_eq!(upload_due(&rules, "logs/a", NOON, 20_002 * DAY - 1), None);
    assert_eq!(upload_due(&rules, "logs/a", NOON, 20_002 * DAY), Some("r"));
    assert_eq!(upload_due(&rules, "log", NOON, u64::MAX), None);
    assert_eq!(upload_due(&[LifecycleRule { expire_days: 1, ..rule() }], "logs/a", NOON, u64::MAX), None);
}

fn any_rule() -> impl Strategy<Value = LifecycleRule> {
    let what = (any::<bool>(), select(vec!["", "logs/", "x"]), option::of(0_u64..20), option::of(0_u64..20));
    let when = (0_u32..4, 0_u64..6 * DAY, any::<bool>(), 0_u32..4, 0_u32..3);
    (what, when).prop_map(|((enabled, prefix, larger_than, smaller_than), when)| {
        let (expire_days, expire_date, expire_markers, noncurrent_days, noncurrent_keep) = when;
        LifecycleRule {
            enabled,
            prefix: prefix.into(),
            larger_than,
            smaller_than,
            expire_days,
            expire_date,
            expire_markers,
            noncurrent_days,
            noncurrent_keep,
            ..rule()
        }
    })
}

fn any_facts() -> impl Strategy<Value = LifecycleFacts<'static>> {
    (0_u64..20, 0_u64..4 * DAY, option::of(0_u64..4 * DAY), 0_u32..4, any::<bool>(), any::<bool>()).prop_map(
        |(size, made, superseded, newer_noncurrent, marker, alone)| LifecycleFacts {
            size,
            made,
            superseded,
            newer_noncurrent,
            alone: alone && superseded.is_none(),
            kind: if marker { VersionKind::DeleteMarker } else { VersionKind::Object },
            ..object()
        },
    )
}

proptest! {
    /// What is due stays due.
    #[test]
    fn time_takes_nothing_back(rule in any_rule(), facts in any_facts(), now in 0_u64..9 * DAY, later in 0_u64..9 * DAY) {
        if let Some(due) = said(&rule, &facts, now) {
            prop_assert_eq!(said(&rule, &facts, now + later), Some(due));
        }
    }

    /// Before a whole day has passed only dates and lone markers are due, and without a rule nothing ever is.
    #[test]
    fn nothing_is_due_on_its_first_day(rule in any_rule(), facts in any_facts(), passed in 0_u64..DAY) {
        let since = facts.superseded.unwrap_or(facts.made);
        let undated = LifecycleRule { expire_date: 0, expire_markers: false, ..rule };
        prop_assert_eq!(said(&undated, &facts, since + passed), None);
        prop_assert!(due(&[], &facts, u64::MAX).is_none());
    }

    /// More rules never have less due.
    #[test]
    fn rules_add_up(one in any_rule(), other in any_rule(), facts in any_facts(), now in 0_u64..9 * DAY) {
        let alone = said(&one, &facts, now).or_else(|| said(&other, &facts, now));
        prop_assert_eq!(due(&[one, other], &facts, now).map(|(due, _)| due), alone);
    }
}
