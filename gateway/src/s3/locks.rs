//! Object Lock: the configuration of buckets, retention and legal holds of versions, and the headers that ask for them. What may be is
//! decided below (docs/policy.md); here stands what S3 calls it.

use http::{HeaderMap, StatusCode};
use kovcheg_format::record::version::{RetentionMode, VersionFacts};
use kovcheg_storage::object::types::{Credential, DefaultRetention, NewLock, Retention, Right, VersionRef};
use s3s::dto::{
    DefaultRetention as ShownDefault, GetObjectLegalHoldInput, GetObjectLegalHoldOutput,
    GetObjectLockConfigurationInput, GetObjectLockConfigurationOutput, GetObjectRetentionInput,
    GetObjectRetentionOutput, ObjectLockConfiguration, ObjectLockEnabled, ObjectLockLegalHold,
    ObjectLockLegalHoldStatus, ObjectLockMode, ObjectLockRetention, ObjectLockRetentionMode, ObjectLockRule,
    PutObjectLegalHoldInput, PutObjectLegalHoldOutput, PutObjectLockConfigurationInput,
    PutObjectLockConfigurationOutput, PutObjectRetentionInput, PutObjectRetentionOutput, Timestamp,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};
use time::OffsetDateTime;

use crate::error::{coded, from_storage};
use crate::s3::names::{check_key, parse_version};
use crate::s3::range::timestamp;
use crate::s3::service::Gateway;

/// Refuses headers about locks on operations that have none: who sends them there believes in a lock that would not be.
///
/// # Errors
/// `InvalidRequest`.
pub(crate) fn refuse_stray_locks(operation: &str, headers: &HeaderMap) -> S3Result<()> {
    let allowed = |name: &str| match name {
        "x-amz-bypass-governance-retention" => {
            matches!(operation, "DeleteObject" | "DeleteObjects" | "PutObjectRetention")
        }
        "x-amz-bucket-object-lock-enabled" => operation == "CreateBucket",
        "x-amz-bucket-object-lock-token" => false,
        name if name.starts_with("x-amz-object-lock-") => {
            matches!(operation, "PutObject" | "CopyObject" | "CreateMultipartUpload")
        }
        _ => true,
    };
    match headers.keys().map(http::HeaderName::as_str).find(|name| !allowed(name)) {
        Some(name) => Err(s3_error!(InvalidRequest, "{name} has no meaning for {operation}.")),
        None => Ok(()),
    }
}

/// Whether a request that asks to bypass GOVERNANCE retention may. Whoever may not is answered as if he had not asked.
pub(crate) async fn bypasses<T>(
    gateway: &Gateway,
    req: &S3Request<T>,
    bucket: &str,
    asked: Option<bool>,
) -> S3Result<bool> {
    Ok(asked == Some(true) && gateway.credential(req).await?.may(bucket, Right::Bypass))
}

/// What a request asks for a new version.
#[derive(Debug, Default)]
pub(crate) struct AskedLock {
    pub(crate) mode: Option<ObjectLockMode>,
    pub(crate) until: Option<Timestamp>,
    pub(crate) hold: Option<ObjectLockLegalHoldStatus>,
}

/// Takes the fields that the inputs of PUT, copy and multipart have.
macro_rules! asked_lock {
    ($input:expr) => {
        $crate::s3::locks::AskedLock {
            mode: $input.object_lock_mode.take(),
            until: $input.object_lock_retain_until_date.take(),
            hold: $input.object_lock_legal_hold_status.take(),
        }
    };
}
pub(crate) use asked_lock;

impl AskedLock {
    /// Whether nothing is asked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.mode.is_none() && self.until.is_none() && self.hold.is_none()
    }

    /// The locks, if `caller` may ask for them.
    ///
    /// # Errors
    /// `InvalidArgument` for what is no lock, `AccessDenied` for a hold without the right to it.
    pub(crate) fn parse(self, caller: &Credential, bucket: &str) -> S3Result<NewLock> {
        let retention = match (self.mode, self.until) {
            (None, None) => None,
            (Some(mode), Some(until)) => Some(retention(mode.as_str(), until)?),
            _ => {
                return Err(s3_error!(
                    InvalidArgument,
                    "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied"
                ));
            }
        };
        let legal_hold = self.hold.map_or(Ok(false), |status| is_on(&status))?;
        if legal_hold && !caller.may(bucket, Right::Hold) {
            return Err(s3_error!(AccessDenied, "This access key was not granted `hold` in this bucket."));
        }
        Ok(NewLock { retention, legal_hold })
    }
}

/// The locks that a request asks for a new version, in its bucket.
pub(crate) async fn new_lock<T>(
    gateway: &Gateway,
    req: &S3Request<T>,
    bucket: &str,
    asked: AskedLock,
) -> S3Result<NewLock> {
    if asked.is_empty() {
        return Ok(NewLock::default());
    }
    asked.parse(&gateway.credential(req).await?, bucket)
}

fn mode_of(text: &str) -> S3Result<RetentionMode> {
    match text {
        ObjectLockRetentionMode::GOVERNANCE => Ok(RetentionMode::Governance),
        ObjectLockRetentionMode::COMPLIANCE => Ok(RetentionMode::Compliance),
        _ => Err(s3_error!(MalformedXML, "A retention mode is GOVERNANCE or COMPLIANCE.")),
    }
}

fn retention(mode: &str, until: Timestamp) -> S3Result<Retention> {
    let mode = mode_of(mode).map_err(|_| s3_error!(InvalidArgument, "Unknown wormMode directive."))?;
    // A part of a millisecond longer rather than shorter.
    let nanos = OffsetDateTime::from(until).unix_timestamp_nanos();
    let until = u64::try_from(nanos.saturating_add(999_999) / 1_000_000)
        .map_err(|_| s3_error!(InvalidArgument, "The retain until date must be in the future!"))?;
    Ok(Retention { mode, until })
}

fn is_on(status: &ObjectLockLegalHoldStatus) -> S3Result<bool> {
    match status.as_str() {
        ObjectLockLegalHoldStatus::ON => Ok(true),
        ObjectLockLegalHoldStatus::OFF => Ok(false),
        _ => Err(s3_error!(InvalidArgument, "A legal hold is ON or OFF.")),
    }
}

fn mode_word(mode: RetentionMode) -> Option<&'static str> {
    match mode {
        RetentionMode::None => None,
        RetentionMode::Governance => Some(ObjectLockRetentionMode::GOVERNANCE),
        RetentionMode::Compliance => Some(ObjectLockRetentionMode::COMPLIANCE),
    }
}

/// The locks of a version, as GET and HEAD show them.
pub(crate) struct ShownLock {
    pub(crate) mode: Option<ObjectLockMode>,
    pub(crate) until: Option<Timestamp>,
    pub(crate) hold: Option<ObjectLockLegalHoldStatus>,
}

impl ShownLock {
    pub(crate) fn of(facts: &VersionFacts) -> Self {
        let mode = mode_word(facts.retention);
        Self {
            mode: mode.map(ObjectLockMode::from_static),
            until: mode.map(|_| timestamp(facts.retain_until)),
            hold: facts.legal_hold.then(|| hold_status(true)),
        }
    }
}

fn hold_status(on: bool) -> ObjectLockLegalHoldStatus {
    let word = if on { ObjectLockLegalHoldStatus::ON } else { ObjectLockLegalHoldStatus::OFF };
    ObjectLockLegalHoldStatus::from_static(word)
}

/// `GetObjectLockConfiguration`.
pub(crate) async fn configuration(
    gateway: &Gateway,
    req: S3Request<GetObjectLockConfigurationInput>,
) -> S3Result<S3Response<GetObjectLockConfigurationOutput>> {
    let Some(default) = gateway.vault.object_lock(&req.input.bucket).await.map_err(from_storage)? else {
        return Err(coded(
            "ObjectLockConfigurationNotFoundError",
            StatusCode::NOT_FOUND,
            "Object Lock configuration does not exist for this bucket",
        ));
    };
    let number = |number: u32| i32::try_from(number).ok().filter(|number| *number > 0);
    let rule = mode_word(default.mode).map(|mode| ObjectLockRule {
        default_retention: Some(ShownDefault {
            mode: Some(ObjectLockRetentionMode::from_static(mode)),
            days: number(default.days),
            years: number(default.years),
        }),
    });
    let enabled = Some(ObjectLockEnabled::from_static(ObjectLockEnabled::ENABLED));
    let shown = ObjectLockConfiguration { object_lock_enabled: enabled, rule };
    Ok(S3Response::new(GetObjectLockConfigurationOutput { object_lock_configuration: Some(shown) }))
}

/// `PutObjectLockConfiguration`. Durable when it answers.
pub(crate) async fn configure(
    gateway: &Gateway,
    req: S3Request<PutObjectLockConfigurationInput>,
) -> S3Result<S3Response<PutObjectLockConfigurationOutput>> {
    let by = gateway.origin(&req);
    let malformed = |what: &str| s3_error!(MalformedXML, "{what}");
    let asked = req.input.object_lock_configuration.ok_or_else(|| malformed("There is no configuration."))?;
    if asked.object_lock_enabled.as_ref().map(ObjectLockEnabled::as_str) != Some(ObjectLockEnabled::ENABLED) {
        return Err(malformed("ObjectLockEnabled must be Enabled."));
    }
    let wanted = match asked.rule {
        None => DefaultRetention::default(),
        Some(rule) => {
            let default = rule.default_retention.ok_or_else(|| malformed("A rule has a default retention."))?;
            let mode = default.mode.ok_or_else(|| malformed("A default retention has a mode."))?;
            let mode = mode_of(mode.as_str())?;
            let (days, years) = match (default.days, default.years) {
                (Some(days), None) => (period(days)?, 0),
                (None, Some(years)) => (0, period(years)?),
                _ => return Err(malformed("A default retention has days or years, and not both.")),
            };
            DefaultRetention { mode, days, years }
        }
    };
    gateway.vault.set_object_lock(by, &req.input.bucket, wanted).await.map_err(from_storage)?;
    Ok(S3Response::new(PutObjectLockConfigurationOutput::default()))
}

fn period(number: i32) -> S3Result<u32> {
    let positive = u32::try_from(number).ok().filter(|number| *number > 0);
    positive.ok_or_else(|| s3_error!(InvalidArgument, "The default retention period must be a positive integer value."))
}

fn target(bucket: String, key: String, version: Option<&str>) -> S3Result<VersionRef> {
    check_key(&key)?;
    Ok(VersionRef { bucket, key, version: parse_version(version)? })
}

fn not_set(what: &str) -> s3s::S3Error {
    coded("NoSuchObjectLockConfiguration", StatusCode::NOT_FOUND, format!("The specified version has no {what}."))
}

/// `GetObjectRetention`.
pub(crate) async fn get_retention(
    gateway: &Gateway,
    req: S3Request<GetObjectRetentionInput>,
) -> S3Result<S3Response<GetObjectRetentionOutput>> {
    let input = req.input;
    let target = target(input.bucket, input.key, input.version_id.as_deref())?;
    let found = gateway.vault.locks_of(target).await.map_err(from_storage)?;
    let mode = mode_word(found.facts.retention).ok_or_else(|| not_set("retention"))?;
    let retention = ObjectLockRetention {
        mode: Some(ObjectLockRetentionMode::from_static(mode)),
        retain_until_date: Some(timestamp(found.facts.retain_until)),
    };
    Ok(S3Response::new(GetObjectRetentionOutput { retention: Some(retention) }))
}

/// `PutObjectRetention`; an empty document takes it away, where that may be. Durable when it answers.
pub(crate) async fn set_retention(
    gateway: &Gateway,
    mut req: S3Request<PutObjectRetentionInput>,
) -> S3Result<S3Response<PutObjectRetentionOutput>> {
    let by = gateway.origin(&req);
    let bypass = bypasses(gateway, &req, &req.input.bucket, req.input.bypass_governance_retention).await?;
    let asked = req.input.retention.take().ok_or_else(|| s3_error!(MalformedXML, "There is no retention."))?;
    let wanted = match (asked.mode, asked.retain_until_date) {
        (None, None) => None,
        (Some(mode), Some(until)) => {
            mode_of(mode.as_str())?;
            Some(retention(mode.as_str(), until)?)
        }
        _ => return Err(s3_error!(MalformedXML, "A retention has a mode and a date.")),
    };
    let input = req.input;
    let target = target(input.bucket, input.key, input.version_id.as_deref())?;
    gateway.vault.set_retention(by, target, wanted, bypass).await.map_err(from_storage)?;
    Ok(S3Response::new(PutObjectRetentionOutput::default()))
}

/// `GetObjectLegalHold`.
pub(crate) async fn get_hold(
    gateway: &Gateway,
    req: S3Request<GetObjectLegalHoldInput>,
) -> S3Result<S3Response<GetObjectLegalHoldOutput>> {
    let input = req.input;
    let target = target(input.bucket, input.key, input.version_id.as_deref())?;
    let found = gateway.vault.locks_of(target).await.map_err(from_storage)?;
    let status = Some(hold_status(found.facts.legal_hold));
    Ok(S3Response::new(GetObjectLegalHoldOutput { legal_hold: Some(ObjectLockLegalHold { status }) }))
}

/// `PutObjectLegalHold`. Durable when it answers.
pub(crate) async fn set_hold(
    gateway: &Gateway,
    mut req: S3Request<PutObjectLegalHoldInput>,
) -> S3Result<S3Response<PutObjectLegalHoldOutput>> {
    let by = gateway.origin(&req);
    let status = req.input.legal_hold.take().and_then(|hold| hold.status);
    let status = status.ok_or_else(|| s3_error!(MalformedXML, "A legal hold has a status."))?;
    let on = is_on(&status).map_err(|_| s3_error!(MalformedXML, "A legal hold is ON or OFF."))?;
    let input = req.input;
    let target = target(input.bucket, input.key, input.version_id.as_deref())?;
    gateway.vault.set_legal_hold(by, target, on).await.map_err(from_storage)?;
    Ok(S3Response::new(PutObjectLegalHoldOutput::default()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use http::{HeaderMap, HeaderValue};
    use s3s::dto::{Timestamp, TimestampFormat};

    use super::{refuse_stray_locks, retention};

    #[test]
    fn headers_about_locks_belong_where_they_lock() {
        for (operation, name, is_fine) in [
            ("PutObject", "x-amz-object-lock-mode", true),
            ("CopyObject", "x-amz-object-lock-retain-until-date", true),
            ("CreateMultipartUpload", "x-amz-object-lock-legal-hold", true),
            ("UploadPart", "x-amz-object-lock-mode", false),
            ("CompleteMultipartUpload", "x-amz-object-lock-mode", false),
            ("CreateBucket", "x-amz-bucket-object-lock-enabled", true),
            ("PutObject", "x-amz-bucket-object-lock-enabled", false),
            ("PutObjectLockConfiguration", "x-amz-bucket-object-lock-token", false),
            ("DeleteObject", "x-amz-bypass-governance-retention", true),
            ("DeleteObjects", "x-amz-bypass-governance-retention", true),
            ("PutObjectRetention", "x-amz-bypass-governance-retention", true),
            ("PutObject", "x-amz-bypass-governance-retention", false),
            ("GetObject", "x-amz-meta-object-lock-mode", true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static("x"));
            assert_eq!(refuse_stray_locks(operation, &headers).is_ok(), is_fine, "{operation} {name}");
        }
    }

    #[test]
    fn dates_are_kept_to_the_next_millisecond() {
        for (text, until) in [
            ("2030-01-01T00:00:00Z", Some(1_893_456_000_000)),
            ("2030-01-01T00:00:00.001Z", Some(1_893_456_000_001)),
            ("2030-01-01T00:00:00.0010000001Z", Some(1_893_456_000_001)),
            ("2030-01-01T00:00:00.000000001Z", Some(1_893_456_000_001)),
            ("1969-12-31T00:00:00Z", None),
        ] {
            let date = Timestamp::parse(TimestampFormat::DateTime, text).unwrap();
            assert_eq!(retention("COMPLIANCE", date).ok().map(|found| found.until), until, "{text}");
        }
        let date = Timestamp::parse(TimestampFormat::DateTime, "2030-01-01T00:00:00Z").unwrap();
        assert!(retention("compliance", date).is_err());
    }
}
