//! Strategies for the retention clock, for locks, and for the audit trail.

use super::*;

fields!(ClockTicked { retention_clock, wall, credited, disputed });
fields!(LegalHoldSet { bucket, key, version, on, by });
fields!(TagsSet { bucket, key, version, tags, by });
fields!(UploadLocked { upload, mode, retain_until, legal_hold });

/// A mode, and a number that is there only with one.
fn retention() -> impl Strategy<Value = (RetentionMode, u64)> {
    (RetentionMode::any(), 1..u64::MAX)
        .prop_map(|(mode, number)| (mode, if mode == RetentionMode::None { 0 } else { number }))
}

impl Any for ObjectLockSet {
    fn any() -> BoxedStrategy<Self> {
        (BucketId::any(), retention(), any::<bool>(), Origin::any())
            .prop_map(|(bucket, (mode, number), in_days, by)| {
                let lasts = if number == 0 { 0 } else { u32::try_from(number >> 32).unwrap().max(1) };
                let (days, years) = if in_days { (lasts, 0) } else { (0, lasts) };
                Self { bucket, mode, days, years, by }
            })
            .boxed()
    }
}

impl Any for RetentionSet {
    fn any() -> BoxedStrategy<Self> {
        (BucketId::any(), String::any(), VersionId::any(), retention(), Origin::any())
            .prop_map(|(bucket, key, version, (mode, retain_until), by)| Self {
                bucket,
                key,
                version,
                mode,
                retain_until,
                by,
            })
            .boxed()
    }
}

fn filled() -> impl Strategy<Value = String> {
    "[a-z/ж]{1,20}"
}

impl Any for CaseHoldPlaced {
    fn any() -> BoxedStrategy<Self> {
        let what =
            HoldScope::any().prop_flat_map(|scope| (Just(scope), filled(), VersionId::any(), filled(), String::any()));
        let told = (HoldId::any(), filled(), BucketId::any(), String::any(), u64::any(), u64::any(), Origin::any());
        (what, told)
            .prop_map(|((scope, key, version, name, value), told)| {
                let (hold, case, bucket, note, placed_at, retention_clock, by) = told;
                let keyed = [HoldScope::Prefix, HoldScope::Version].contains(&scope);
                let (key, version, tag) = (
                    if keyed { key } else { String::new() },
                    if scope == HoldScope::Version {
                        VersionId(version.0.map(|byte| byte | 1))
                    } else {
                        VersionId::ZERO
                    },
                    if scope == HoldScope::Tag {
                        Pair { name, value }
                    } else {
                        Pair { name: String::new(), value: String::new() }
                    },
                );
                Self { hold, case, bucket, scope, key, version, tag, note, placed_at, retention_clock, by }
            })
            .boxed()
    }
}

impl Any for AuditTree {
    fn any() -> BoxedStrategy<Self> {
        let hash = || <[u8; 32]>::any().prop_map(AuditHash);
        (u64::any(), Lsn::any(), hash())
            .prop_flat_map(move |(size, lsn, chain)| {
                vec(hash(), size.count_ones() as usize).prop_map(move |frontier| Self { size, lsn, chain, frontier })
            })
            .boxed()
    }
}

fields!(LifecycleTransition { noncurrent, days, date, keep, class });

impl Any for LifecycleRule {
    fn any() -> BoxedStrategy<Self> {
        let of = (String::any(), any::<bool>(), String::any(), Vec::any(), Option::any(), Option::any());
        let when = (u32::any(), u64::any(), any::<bool>(), u32::any(), u32::any(), u32::any(), Vec::any());
        (of, when)
            .prop_map(|((id, enabled, prefix, tags, larger_than, smaller_than), when)| {
                let (
                    expire_days,
                    expire_date,
                    expire_markers,
                    noncurrent_days,
                    noncurrent_keep,
                    abort_days,
                    transitions,
                ) = when;
                Self {
                    id,
                    enabled,
                    prefix,
                    tags,
                    larger_than,
                    smaller_than,
                    expire_days,
                    expire_date,
                    expire_markers,
                    noncurrent_days,
                    noncurrent_keep,
                    abort_days,
                    transitions,
                }
            })
            .boxed()
    }
}

impl Any for LifecycleSet {
    fn any() -> BoxedStrategy<Self> {
        (BucketId::any(), Vec::<LifecycleRule>::any(), Origin::any())
            .prop_map(|(bucket, mut rules, by)| {
                (0..)
                    .zip(&mut rules)
                    .for_each(|(n, rule): (u32, &mut LifecycleRule)| rule.id.push_str(&format!("#{n}")));
                Self { bucket, rules, by }
            })
            .boxed()
    }
}
