//! Lifecycle configuration of buckets: what S3 calls the rules. What they mean is decided below (docs/policy.md).

use http::StatusCode;
use kovcheg_format::record::lifecycle::{LifecycleRule, LifecycleTransition};
use kovcheg_format::record::version::Pair;
use s3s::dto::{
    AbortIncompleteMultipartUpload, DeleteBucketLifecycleInput, DeleteBucketLifecycleOutput, ExpirationStatus,
    GetBucketLifecycleConfigurationInput, GetBucketLifecycleConfigurationOutput, LifecycleExpiration,
    LifecycleRule as ShownRule, LifecycleRuleAndOperator, LifecycleRuleFilter, NoncurrentVersionExpiration,
    NoncurrentVersionTransition, PutBucketLifecycleConfigurationInput, PutBucketLifecycleConfigurationOutput, Tag,
    Timestamp, Transition, TransitionStorageClass,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};
use time::OffsetDateTime;

use crate::error::{coded, from_storage};
use crate::s3::headers::check_tags;
use crate::s3::range::timestamp;
use crate::s3::service::Gateway;

/// `GetBucketLifecycleConfiguration`.
pub(crate) async fn get(
    gateway: &Gateway,
    req: S3Request<GetBucketLifecycleConfigurationInput>,
) -> S3Result<S3Response<GetBucketLifecycleConfigurationOutput>> {
    let rules = gateway.vault.lifecycle(&req.input.bucket).await.map_err(from_storage)?;
    if rules.is_empty() {
        return Err(coded(
            "NoSuchLifecycleConfiguration",
            StatusCode::NOT_FOUND,
            "The bucket has no lifecycle configuration.",
        ));
    }
    let rules = Some(rules.iter().map(shown).collect());
    Ok(S3Response::new(GetBucketLifecycleConfigurationOutput { rules, ..Default::default() }))
}

/// `PutBucketLifecycleConfiguration`: in place of all rules there were. Durable when it answers.
pub(crate) async fn put(
    gateway: &Gateway,
    req: S3Request<PutBucketLifecycleConfigurationInput>,
) -> S3Result<S3Response<PutBucketLifecycleConfigurationOutput>> {
    let by = gateway.origin(&req);
    let asked = req.input.lifecycle_configuration.map(|asked| asked.rules).unwrap_or_default();
    if asked.is_empty() {
        return Err(s3_error!(MalformedXML, "There is no rule; DeleteBucketLifecycle takes them away."));
    }
    let rules = (1..).zip(asked).map(|(number, rule)| parsed(rule, number)).collect::<S3Result<Vec<_>>>()?;
    gateway.vault.set_lifecycle(by, &req.input.bucket, rules).await.map_err(from_storage)?;
    Ok(S3Response::new(PutBucketLifecycleConfigurationOutput::default()))
}

/// `DeleteBucketLifecycle`. Durable when it answers.
pub(crate) async fn delete(
    gateway: &Gateway,
    req: S3Request<DeleteBucketLifecycleInput>,
) -> S3Result<S3Response<DeleteBucketLifecycleOutput>> {
    let by = gateway.origin(&req);
    gateway.vault.set_lifecycle(by, &req.input.bucket, Vec::new()).await.map_err(from_storage)?;
    Ok(S3Response::new(DeleteBucketLifecycleOutput {}))
}

/// What a rule covers.
struct Covers {
    prefix: String,
    tags: Vec<Pair>,
    larger_than: Option<u64>,
    smaller_than: Option<u64>,
}

/// A rule as the engine knows it; one without an id is named by its number.
fn parsed(rule: ShownRule, number: u32) -> S3Result<LifecycleRule> {
    let enabled = match rule.status.as_str() {
        ExpirationStatus::ENABLED => true,
        ExpirationStatus::DISABLED => false,
        _ => return Err(s3_error!(MalformedXML, "The status of a rule is Enabled or Disabled.")),
    };
    let Covers { prefix, tags, larger_than, smaller_than } = covers(rule.prefix, rule.filter)?;
    let (expire_days, expire_date, expire_markers) = match rule.expiration {
        None => (0, 0, false),
        Some(expiration) => (
            positive(expiration.days, "Days of an expiration")?,
            expiration.date.map_or(Ok(0), date)?,
            expiration.expired_object_delete_marker.unwrap_or(false),
        ),
    };
    let (noncurrent_days, noncurrent_keep) = match rule.noncurrent_version_expiration {
        None => (0, 0),
        Some(expiration) => {
            let days = expiration
                .noncurrent_days
                .ok_or_else(|| s3_error!(MalformedXML, "An expiration of noncurrent versions has NoncurrentDays."))?;
            let keep = positive(expiration.newer_noncurrent_versions, "NewerNoncurrentVersions")?;
            (positive(Some(days), "NoncurrentDays")?, keep)
        }
    };
    let abort_days = match rule.abort_incomplete_multipart_upload {
        None => 0,
        Some(abort) => {
            let days = abort.days_after_initiation;
            let days = days.ok_or_else(|| s3_error!(MalformedXML, "An abort of uploads has DaysAfterInitiation."))?;
            positive(Some(days), "DaysAfterInitiation")?
        }
    };
    Ok(LifecycleRule {
        id: rule.id.filter(|id| !id.is_empty()).unwrap_or_else(|| format!("rule-{number}")),
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
        transitions: transitions(
            rule.transitions.unwrap_or_default(),
            rule.noncurrent_version_transitions.unwrap_or_default(),
        )?,
    })
}

/// The old `Prefix` beside the rule, or the filter; neither stands for the whole bucket.
fn covers(prefix: Option<String>, filter: Option<LifecycleRuleFilter>) -> S3Result<Covers> {
    let filter = match (prefix, filter) {
        (Some(_), Some(_)) => return Err(s3_error!(MalformedXML, "A rule has a Prefix or a Filter, and not both.")),
        (Some(prefix), None) => LifecycleRuleFilter { prefix: Some(prefix), ..Default::default() },
        (None, filter) => filter.unwrap_or_default(),
    };
    let said = [
        filter.and.is_some(),
        filter.prefix.is_some(),
        filter.tag.is_some(),
        filter.object_size_greater_than.is_some(),
        filter.object_size_less_than.is_some(),
    ];
    if said.iter().filter(|said| **said).count() > 1 {
        return Err(s3_error!(MalformedXML, "A filter has one condition; several go into And."));
    }
    let all = match filter.and {
        Some(and) => and,
        None => LifecycleRuleAndOperator {
            object_size_greater_than: filter.object_size_greater_than,
            object_size_less_than: filter.object_size_less_than,
            prefix: filter.prefix,
            tags: filter.tag.map(|tag| vec![tag]),
        },
    };
    let pair = |tag: Tag| {
        let name = tag.key.ok_or_else(|| s3_error!(MalformedXML, "A tag has a key and a value."))?;
        Ok(Pair { name, value: tag.value.unwrap_or_default() })
    };
    let tags = all.tags.unwrap_or_default().into_iter().map(pair).collect::<S3Result<Vec<_>>>()?;
    check_tags(&tags).map_err(|why| s3_error!(InvalidArgument, "The tags of a rule are not valid: {why}."))?;
    let size = |bytes: Option<i64>| {
        let wrong = || s3_error!(InvalidArgument, "Sizes of a filter are not negative.");
        bytes.map(|bytes| u64::try_from(bytes).map_err(|_| wrong())).transpose()
    };
    Ok(Covers {
        prefix: all.prefix.unwrap_or_default(),
        tags,
        larger_than: size(all.object_size_greater_than)?,
        smaller_than: size(all.object_size_less_than)?,
    })
}

fn transitions(
    current: Vec<Transition>,
    noncurrent: Vec<NoncurrentVersionTransition>,
) -> S3Result<Vec<LifecycleTransition>> {
    let class = |class: Option<TransitionStorageClass>| {
        let class = class.map(|class| class.as_str().to_owned()).filter(|class| !class.is_empty());
        class.ok_or_else(|| s3_error!(MalformedXML, "A transition has a StorageClass."))
    };
    let current = current.into_iter().map(|transition| {
        if transition.days.is_some() == transition.date.is_some() {
            return Err(s3_error!(MalformedXML, "A transition has Days or a Date, and not both."));
        }
        Ok(LifecycleTransition {
            noncurrent: false,
            days: number(transition.days, "Days of a transition")?,
            date: transition.date.map_or(Ok(0), date)?,
            keep: 0,
            class: class(transition.storage_class)?,
        })
    });
    let noncurrent = noncurrent.into_iter().map(|transition| {
        Ok(LifecycleTransition {
            noncurrent: true,
            days: number(transition.noncurrent_days, "NoncurrentDays of a transition")?,
            date: 0,
            keep: number(transition.newer_noncurrent_versions, "NewerNoncurrentVersions")?,
            class: class(transition.storage_class)?,
        })
    });
    current.chain(noncurrent).collect()
}

/// A number that is 1 or more where it is said; 0 where not.
fn positive(number: Option<i32>, what: &str) -> S3Result<u32> {
    let wrong = || s3_error!(InvalidArgument, "{what} must be a positive integer.");
    number.map_or(Ok(0), |number| u32::try_from(number).ok().filter(|number| *number > 0).ok_or_else(wrong))
}

fn number(number: Option<i32>, what: &str) -> S3Result<u32> {
    let wrong = || s3_error!(InvalidArgument, "{what} must not be negative.");
    number.map_or(Ok(0), |number| u32::try_from(number).map_err(|_| wrong()))
}

/// Milliseconds since 1970; that it is a midnight is checked below.
fn date(date: Timestamp) -> S3Result<u64> {
    let nanos = OffsetDateTime::from(date).unix_timestamp_nanos();
    let milliseconds = u64::try_from(nanos / 1_000_000).ok().filter(|milliseconds| *milliseconds > 0);
    milliseconds.ok_or_else(|| s3_error!(InvalidArgument, "A date lies after 1970."))
}

/// A rule as S3 shows it.
fn shown(rule: &LifecycleRule) -> ShownRule {
    let days = |days: u32| (days > 0).then(|| i32::try_from(days).unwrap_or(i32::MAX));
    let tags: Vec<Tag> =
        rule.tags.iter().map(|tag| Tag { key: Some(tag.name.clone()), value: Some(tag.value.clone()) }).collect();
    let expires = rule.expire_days > 0 || rule.expire_date > 0 || rule.expire_markers;
    let expiration = LifecycleExpiration {
        date: (rule.expire_date > 0).then(|| timestamp(rule.expire_date)),
        days: days(rule.expire_days),
        expired_object_delete_marker: rule.expire_markers.then_some(true),
    };
    let status = if rule.enabled { ExpirationStatus::ENABLED } else { ExpirationStatus::DISABLED };
    let (current, noncurrent) = shown_transitions(&rule.transitions);
    ShownRule {
        abort_incomplete_multipart_upload: days(rule.abort_days)
            .map(|days| AbortIncompleteMultipartUpload { days_after_initiation: Some(days) }),
        expiration: expires.then_some(expiration),
        filter: Some(shown_filter(rule, tags)),
        id: Some(rule.id.clone()),
        noncurrent_version_expiration: days(rule.noncurrent_days).map(|noncurrent| NoncurrentVersionExpiration {
            newer_noncurrent_versions: days(rule.noncurrent_keep),
            noncurrent_days: Some(noncurrent),
        }),
        noncurrent_version_transitions: (!noncurrent.is_empty()).then_some(noncurrent),
        prefix: None,
        status: ExpirationStatus::from_static(status),
        transitions: (!current.is_empty()).then_some(current),
    }
}

/// One condition stands by itself, several in `And`.
fn shown_filter(rule: &LifecycleRule, mut tags: Vec<Tag>) -> LifecycleRuleFilter {
    let size = |bytes: Option<u64>| bytes.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
    let (larger, smaller) = (size(rule.larger_than), size(rule.smaller_than));
    let prefix = Some(rule.prefix.clone()).filter(|prefix| !prefix.is_empty());
    let several =
        usize::from(prefix.is_some()) + tags.len() + usize::from(larger.is_some()) + usize::from(smaller.is_some());
    if several < 2 {
        // An empty filter is shown as one with an empty prefix, which every client reads.
        let bare = several == 0;
        return LifecycleRuleFilter {
            prefix: if bare { Some(String::new()) } else { prefix },
            tag: tags.pop(),
            object_size_greater_than: larger,
            object_size_less_than: smaller,
            ..Default::default()
        };
    }
    let and = LifecycleRuleAndOperator {
        object_size_greater_than: larger,
        object_size_less_than: smaller,
        prefix,
        tags: (!tags.is_empty()).then_some(tags),
    };
    LifecycleRuleFilter { and: Some(and), ..Default::default() }
}

fn shown_transitions(all: &[LifecycleTransition]) -> (Vec<Transition>, Vec<NoncurrentVersionTransition>) {
    let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let class = |transition: &LifecycleTransition| Some(TransitionStorageClass::from(transition.class.clone()));
    let current = all.iter().filter(|transition| !transition.noncurrent).map(|transition| Transition {
        date: (transition.date > 0).then(|| timestamp(transition.date)),
        days: (transition.date == 0).then(|| number(transition.days)),
        storage_class: class(transition),
    });
    let noncurrent =
        all.iter().filter(|transition| transition.noncurrent).map(|transition| NoncurrentVersionTransition {
            newer_noncurrent_versions: (transition.keep > 0).then(|| number(transition.keep)),
            noncurrent_days: Some(number(transition.days)),
            storage_class: class(transition),
        });
    (current.collect(), noncurrent.collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::{
        ExpirationStatus, LifecycleExpiration, LifecycleRuleAndOperator, LifecycleRuleFilter, ShownRule, Tag,
        Transition, parsed, shown,
    };

    fn rule() -> ShownRule {
        ShownRule {
            abort_incomplete_multipart_upload: None,
            expiration: Some(LifecycleExpiration { days: Some(3), ..Default::default() }),
            filter: None,
            id: Some("r".into()),
            noncurrent_version_expiration: None,
            noncurrent_version_transitions: None,
            prefix: None,
            status: ExpirationStatus::from_static(ExpirationStatus::ENABLED),
            transitions: None,
        }
    }

    fn tag(key: &str) -> Tag {
        Tag { key: Some(key.into()), value: Some("v".into()) }
    }

    /// What is set is shown again and means the same, whichever way it was said.
    #[test]
    fn rules_come_back() {
        let filters = [
            None,
            Some(LifecycleRuleFilter::default()),
            Some(LifecycleRuleFilter { prefix: Some("p/".into()), ..Default::default() }),
            Some(LifecycleRuleFilter { tag: Some(tag("a")), ..Default::default() }),
            Some(LifecycleRuleFilter { object_size_less_than: Some(9), ..Default::default() }),
            Some(LifecycleRuleFilter {
                and: Some(LifecycleRuleAndOperator {
                    object_size_greater_than: Some(1),
                    object_size_less_than: Some(9),
                    prefix: Some("p/".into()),
                    tags: Some(vec![tag("a"), tag("b")]),
                }),
                ..Default::default()
            }),
        ];
        for filter in filters {
            let asked = ShownRule { filter, ..rule() };
            let known = parsed(asked.clone(), 1).unwrap();
            assert_eq!(parsed(shown(&known), 9).unwrap(), known, "{asked:?}");
        }
        let old = ShownRule { prefix: Some("p/".into()), id: None, ..rule() };
        let known = parsed(old, 7).unwrap();
        assert_eq!((known.prefix.as_str(), known.id.as_str()), ("p/", "rule-7"));
    }

    #[test]
    fn what_says_two_things_or_nothing_is_refused() {
        let prefix = || Some("p/".to_owned());
        let filter = |filter| Some(filter);
        for wrong in [
            ShownRule { status: ExpirationStatus::from_static("On"), ..rule() },
            ShownRule { prefix: prefix(), filter: filter(LifecycleRuleFilter::default()), ..rule() },
            ShownRule {
                filter: filter(LifecycleRuleFilter { prefix: prefix(), tag: Some(tag("a")), ..Default::default() }),
                ..rule()
            },
            ShownRule {
                filter: filter(LifecycleRuleFilter { object_size_less_than: Some(-1), ..Default::default() }),
                ..rule()
            },
            ShownRule { expiration: Some(LifecycleExpiration { days: Some(0), ..Default::default() }), ..rule() },
            ShownRule { expiration: Some(LifecycleExpiration { days: Some(-1), ..Default::default() }), ..rule() },
            ShownRule { transitions: Some(vec![Transition { days: Some(1), ..Default::default() }]), ..rule() },
        ] {
            assert!(parsed(wrong.clone(), 1).is_err(), "{wrong:?}");
        }
    }
}
