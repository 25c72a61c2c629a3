//! Strategies for the retention clock and for locks.

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
