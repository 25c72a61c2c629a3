//! Lifecycle: what is due by a bucket's rules (docs/rfcs/0006). Whether it may then go is another question, and the guard's.

use kovcheg_format::record::lifecycle::LifecycleRule;
use kovcheg_format::record::version::{Pair, VersionKind};
use kovcheg_format::units::TimestampMs;

use crate::period::{DAY_MS, after_days};

/// A version as lifecycle rules see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LifecycleFacts<'a> {
    /// Object key.
    pub key: &'a str,
    /// Bytes.
    pub size: u64,
    /// Tags.
    pub tags: &'a [Pair],
    /// Object or delete marker.
    pub kind: VersionKind,
    /// When it was made: the later of wall clock and retention clock at that moment.
    pub made: TimestampMs,
    /// When its successor was made, likewise; `None` for the newest version of a key.
    pub superseded: Option<TimestampMs>,
    /// Noncurrent versions of the key that are newer.
    pub newer_noncurrent: u32,
    /// Whether it is the only version of its key.
    pub alone: bool,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// The current version expires: a delete without a version.
    Current,
    /// This very version goes: a noncurrent one, or a delete marker under which there is nothing.
    Version,
}

/// What is due for a version by the retention clock, and by which rule; the first that says so.
#[must_use]
pub fn due<'a>(rules: &'a [LifecycleRule], facts: &LifecycleFacts<'_>, now: TimestampMs) -> Option<(Due, &'a str)> {
    rules.iter().find_map(|rule| by_rule(rule, facts, now).map(|due| (due, rule.id.as_str())))
}

fn by_rule(rule: &LifecycleRule, facts: &LifecycleFacts<'_>, now: TimestampMs) -> Option<Due> {
    if !covers(rule, facts) {
        return None;
    }
    let old = rule.expire_days > 0 && now >= after(facts.made, rule.expire_days);
    match (facts.superseded, facts.kind) {
        (Some(superseded), _) => {
            let old = rule.noncurrent_days > 0 && now >= after(superseded, rule.noncurrent_days);
            (old && facts.newer_noncurrent >= rule.noncurrent_keep).then_some(Due::Version)
        }
        (None, VersionKind::Object) => {
            let dated = rule.expire_date > 0 && now >= rule.expire_date;
            (old || dated).then_some(Due::Current)
        }
        (None, VersionKind::DeleteMarker) => (facts.alone && (old || rule.expire_markers)).then_some(Due::Version),
    }
}

/// A delete marker has neither tags nor a size, so no rule that asks for them covers one.
fn covers(rule: &LifecycleRule, facts: &LifecycleFacts<'_>) -> bool {
    let sized = rule.larger_than.is_some() || rule.smaller_than.is_some();
    let bare = rule.tags.is_empty() && !sized;
    rule.enabled
        && facts.key.starts_with(&rule.prefix)
        && (bare || facts.kind == VersionKind::Object)
        && rule.tags.iter().all(|tag| facts.tags.contains(tag))
        && rule.larger_than.is_none_or(|bytes| facts.size > bytes)
        && rule.smaller_than.is_none_or(|bytes| facts.size < bytes)
}

/// The rule by which an upload that was begun then is to be aborted.
#[must_use]
pub fn upload_due<'a>(rules: &'a [LifecycleRule], key: &str, begun: TimestampMs, now: TimestampMs) -> Option<&'a str> {
    let due = |rule: &&LifecycleRule| {
        rule.enabled && key.starts_with(&rule.prefix) && rule.abort_days > 0 && now >= after(begun, rule.abort_days)
    };
    rules.iter().find(due).map(|rule| rule.id.as_str())
}

/// That many days later, at the next midnight UTC, as S3 counts.
fn after(from: TimestampMs, days: u32) -> TimestampMs {
    after_days(from, days).div_ceil(DAY_MS).saturating_mul(DAY_MS)
}
