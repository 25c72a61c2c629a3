//! Lifecycle rules of buckets: set, shown, and carried out by the worker, through the guard (docs/rfcs/0006).

use kovcheg_format::id::{BucketId, UploadId, VersionId};
use kovcheg_format::key;
use kovcheg_format::record::Record;
use kovcheg_format::record::audit::{Action, Origin};
use kovcheg_format::record::lifecycle::{LifecycleRule, LifecycleSet, RULES_MAX};
use kovcheg_format::record::upload::UploadCreated;
use kovcheg_format::record::version::VersionPut;
use kovcheg_policy::facts::RemovalCause;
use kovcheg_policy::lifecycle::{Due, LifecycleFacts, due, upload_due};
use kovcheg_policy::period::{DAY_MS, DAYS_MAX};
use std::ops::ControlFlow;

use crate::error::{StorageError, StorageResult};
use crate::index::{Column, IndexRead, rows};
use crate::journal::sequencer::Moment;
use crate::object::guard::audit_of;
use crate::object::types::{UploadRef, VersionName};
use crate::object::version::{delete_as, newest};
use crate::object::{bucket, multipart};

/// Longest id of a rule, bytes; most noncurrent versions to keep (S3).
const ID_LEN_MAX: usize = 255;
const KEEP_MAX: u32 = 100;

/// The rules of a bucket; none where there are none.
pub fn rules(view: &dyn IndexRead, bucket: BucketId) -> StorageResult<Vec<LifecycleRule>> {
    let set: Option<LifecycleSet> = rows::get(view, Column::Lifecycle, &key::bucket(bucket))?;
    Ok(set.map_or_else(Vec::new, |set| set.rules))
}

/// Decides the rules of a bucket, in place of those it has; without any, that it has none.
pub fn propose_configure(
    moment: &Moment<'_>,
    bucket_name: &str,
    wanted: Vec<LifecycleRule>,
    by: &Origin,
) -> StorageResult<Vec<Record>> {
    check_rules(&wanted)?;
    let bucket = bucket::find(moment.view, bucket_name)?;
    let was = rules(moment.view, bucket.bucket)?.into_iter().map(|rule| format!("was {}", shown(&rule)));
    let is = wanted.iter().map(|rule| format!("is {}", shown(rule)));
    let audited = audit_of(moment, Action::SetLifecycle, by, (bucket_name, ""), was.chain(is).collect());
    Ok(vec![audited.into(), LifecycleSet { bucket: bucket.bucket, rules: wanted, by: by.clone() }.into()])
}

fn check_rules(rules: &[LifecycleRule]) -> StorageResult<()> {
    let refused = |reason: String| Err(StorageError::InvalidArgument { what: "lifecycle", reason });
    if rules.len() > RULES_MAX {
        return refused(format!("a bucket has at most {RULES_MAX} rules"));
    }
    let mut ids: Vec<&str> = rules.iter().map(|rule| rule.id.as_str()).collect();
    ids.sort_unstable();
    if let Some(twice) = ids.windows(2).find_map(|pair| pair.first().filter(|id| pair.last() == Some(*id))) {
        return refused(format!("two rules have the id {twice}"));
    }
    rules.iter().find_map(fault).map_or(Ok(()), |(rule, reason)| refused(format!("rule {}: {reason}", rule.id)))
}

/// What is wrong with a rule.
fn fault(rule: &LifecycleRule) -> Option<(&LifecycleRule, String)> {
    let filtered = !rule.tags.is_empty() || rule.larger_than.is_some() || rule.smaller_than.is_some();
    let expires = [rule.expire_days > 0, rule.expire_date > 0, rule.expire_markers].iter().filter(|set| **set).count();
    let acts = expires > 0 || rule.noncurrent_days > 0 || rule.abort_days > 0 || !rule.transitions.is_empty();
    let days = [rule.expire_days, rule.noncurrent_days, rule.abort_days];
    let days = days.into_iter().chain(rule.transitions.iter().map(|transition| transition.days)).max();
    let keep = rule.transitions.iter().map(|transition| transition.keep).chain([rule.noncurrent_keep]).max();
    let dates = rule.transitions.iter().map(|transition| transition.date).chain([rule.expire_date]);
    let sizes = rule.larger_than.zip(rule.smaller_than);
    let reason = if !(1..=ID_LEN_MAX).contains(&rule.id.len()) {
        format!("an id has 1 to {ID_LEN_MAX} bytes")
    } else if !acts {
        "it does nothing; at least one action must be specified".to_owned()
    } else if expires > 1 {
        "an expiration has days, a date, or expired delete markers, and no two of them".to_owned()
    } else if rule.expire_markers && filtered {
        "expired delete markers have neither tags nor sizes to ask for".to_owned()
    } else if rule.abort_days > 0 && filtered {
        "uploads have neither tags nor sizes to ask for".to_owned()
    } else if days > Some(DAYS_MAX) {
        format!("there are at most {DAYS_MAX} days")
    } else if keep > Some(KEEP_MAX) {
        format!("at most {KEEP_MAX} noncurrent versions are kept")
    } else if rule.noncurrent_keep > 0 && rule.noncurrent_days == 0 {
        "noncurrent versions are kept of those that expire after some days; say after how many".to_owned()
    } else if dates.into_iter().any(|date| date % DAY_MS != 0) {
        "a date must be at midnight UTC".to_owned()
    } else if sizes.is_some_and(|(larger, smaller)| smaller <= larger.saturating_add(1)) {
        "no size fits".to_owned()
    } else {
        return None;
    };
    Some((rule, reason))
}

/// A rule in few words.
fn shown(rule: &LifecycleRule) -> String {
    let LifecycleRule { id, enabled, prefix, tags, larger_than, smaller_than, .. } = rule;
    let mut words = vec![format!("{id}{}", if *enabled { "" } else { " (off)" })];
    words.extend((!prefix.is_empty()).then(|| format!("prefix {prefix}")));
    words.extend(tags.iter().map(|tag| format!("tag {}={}", tag.name, tag.value)));
    words.extend(larger_than.map(|bytes| format!("more than {bytes} bytes")));
    words.extend(smaller_than.map(|bytes| format!("less than {bytes} bytes")));
    let mut action = |does: bool, what: String| words.extend(does.then_some(what));
    action(rule.expire_days > 0, format!("expire after {} days", rule.expire_days));
    action(rule.expire_date > 0, format!("expire at {}", rule.expire_date));
    action(rule.expire_markers, "remove lone delete markers".to_owned());
    let keep = rule.noncurrent_keep;
    action(rule.noncurrent_days > 0, format!("noncurrent after {} days, keep {keep}", rule.noncurrent_days));
    action(rule.abort_days > 0, format!("abort uploads after {} days", rule.abort_days));
    action(!rule.transitions.is_empty(), format!("{} transitions", rule.transitions.len()));
    words.join(", ")
}

/// Something that is due, found in a snapshot of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueThing {
    /// Bucket.
    pub bucket: BucketId,
    /// Its name.
    pub bucket_name: String,
    /// Object key.
    pub key: String,
    /// The rule that says so.
    pub rule: String,
    /// What is to go.
    pub what: DueWhat,
}

/// See [`DueThing`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DueWhat {
    /// This version, as the current one.
    Current(VersionId),
    /// This version, as a noncurrent one, or as a lone marker.
    Version {
        /// Which.
        version: VersionId,
        /// When its successor was made; `None` for a lone marker.
        superseded: Option<u64>,
    },
    /// This upload.
    Upload(UploadId),
}

/// Who removes what is due.
#[must_use]
pub fn origin(rule: &str) -> Origin {
    let request = kovcheg_format::id::RequestId::ZERO;
    Origin { actor: format!("lifecycle {rule}"), address: String::new(), request }
}

/// When a version was made, as far as its age counts: by the later of both clocks.
#[must_use]
pub fn made(version: &VersionPut) -> u64 {
    version.created_at.max(version.facts.retention_clock)
}

/// The facts of a version that lifecycle looks at.
#[must_use]
pub fn facts(version: &VersionPut, superseded: Option<u64>, newer_noncurrent: u32, alone: bool) -> LifecycleFacts<'_> {
    LifecycleFacts {
        key: &version.key,
        size: version.size,
        tags: &version.tags,
        kind: version.kind,
        made: made(version),
        superseded,
        newer_noncurrent,
        alone,
    }
}

/// Decides what becomes of something that was due: it goes when it still is, by the rules and the versions as they are now, and the guard allows it. No
/// records when it is not due any more.
pub fn propose_expire(moment: &Moment<'_>, thing: &DueThing) -> StorageResult<Vec<Record>> {
    let rules = rules(moment.view, thing.bucket)?;
    let (bucket_name, object_key) = (thing.bucket_name.as_str(), thing.key.as_str());
    let now = moment.clock.time;
    match thing.what {
        DueWhat::Upload(upload) => {
            let found: Option<UploadCreated> =
                rows::get(moment.view, Column::Upload, &key::upload(thing.bucket, object_key, upload))?;
            let due = found.and_then(|found| upload_due(&rules, object_key, found.created_at, now));
            let Some(rule) = due else { return Ok(Vec::new()) };
            let named = UploadRef { bucket: bucket_name.to_owned(), key: object_key.to_owned(), upload };
            multipart::propose_abort(moment, &named, &origin(rule))
        }
        DueWhat::Current(version) => {
            let newest = newest(moment.view, thing.bucket, object_key)?;
            let Some(found) = newest.filter(|newest| newest.version == version) else { return Ok(Vec::new()) };
            match due(&rules, &facts(&found, None, 0, false), now) {
                Some((Due::Current, rule)) => remove(moment, thing, None, rule),
                _ => Ok(Vec::new()),
            }
        }
        DueWhat::Version { version, superseded } => {
            let row = rows::get(moment.view, Column::Version, &key::version(thing.bucket, object_key, version))?;
            let Some(found): Option<VersionPut> = row else { return Ok(Vec::new()) };
            let keep = rules.iter().map(|rule| rule.noncurrent_keep).max().unwrap_or_default();
            let stands = standing(moment.view, &found, keep)?;
            let superseded = superseded.map(|then| stands.successor.unwrap_or(then)).filter(|_| stands.newer > 0);
            let looked = facts(&found, superseded, stands.newer.saturating_sub(1), stands.newer == 0 && stands.last);
            // What lay alone and does not any more is due as neither.
            let as_found = superseded.is_some() || looked.alone;
            match due(&rules, &looked, now) {
                Some((Due::Version, rule)) if as_found => remove(moment, thing, Some(VersionName::of(&found)), rule),
                _ => Ok(Vec::new()),
            }
        }
    }
}

/// Where a version stands among those of its key. Others may have come and gone since it was found to be due.
struct Standing {
    /// Versions that are newer, counted to no more than one above what was asked for.
    newer: u32,
    /// When its successor was made, if the count came so far.
    successor: Option<u64>,
    /// Whether no older one follows, as far as the count came.
    last: bool,
}

fn standing(view: &dyn IndexRead, version: &VersionPut, enough: u32) -> StorageResult<Standing> {
    let from = key::versions_of(version.bucket, &version.key);
    let (mut newer, mut successor, mut met, mut last) = (0_u32, None, false, true);
    rows::scan(view, Column::Version, &from, key::after_prefix(&from).as_deref(), &mut |_, other: VersionPut| {
        let is_it = other.version == version.version;
        if met || (!is_it && newer > enough) {
            last = false;
            return ControlFlow::Break(());
        }
        met = is_it;
        if !met {
            newer += 1;
            successor = Some(made(&other));
        }
        ControlFlow::Continue(())
    })?;
    Ok(Standing { newer, successor: successor.filter(|_| met), last })
}

fn remove(moment: &Moment<'_>, thing: &DueThing, name: Option<VersionName>, rule: &str) -> StorageResult<Vec<Record>> {
    let place = (thing.bucket_name.as_str(), thing.key.as_str());
    let outcome = delete_as(moment, place, name, (RemovalCause::Lifecycle, false), &origin(rule));
    outcome.map(|(_, records)| records)
}
