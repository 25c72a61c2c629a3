//! Which bytes of an object a GET or HEAD is about: `Range`, `partNumber`, and the conditions that come first.

use http::header::{CONTENT_RANGE, CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderValue, StatusCode};
use kovcheg_format::record::version::VersionPut;
use s3s::dto::{ETagCondition, Range, Timestamp};
use s3s::{S3Error, S3Result, s3_error};

use crate::error::coded;

/// The slice of an object that an answer carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slice {
    /// First byte.
    pub(crate) start: u64,
    /// One after the last byte.
    pub(crate) end: u64,
    /// Bytes of the whole object.
    pub(crate) size: u64,
    /// Whether the answer is 206 with `Content-Range`.
    pub(crate) partial: bool,
}

impl Slice {
    /// Bytes in the slice.
    pub(crate) fn len(self) -> u64 {
        self.end - self.start
    }

    /// `Content-Range`, for partial answers that have bytes.
    pub(crate) fn content_range(self) -> Option<String> {
        (self.partial && self.end > self.start).then(|| format!("bytes {}-{}/{}", self.start, self.end - 1, self.size))
    }
}

fn unsatisfiable(size: u64) -> S3Error {
    let mut error = s3_error!(InvalidRange, "The requested range is not satisfiable: the object has {size} bytes.");
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    if let Ok(value) = HeaderValue::try_from(format!("bytes */{size}")) {
        headers.insert(CONTENT_RANGE, value);
    }
    error.set_headers(headers);
    error
}

/// Finds the slice.
///
/// # Errors
/// `InvalidRange` (416, with `Content-Range: bytes */size`), `InvalidPartNumber` (416), `InvalidRequest` for both at once.
pub(crate) fn slice(version: &VersionPut, range: Option<Range>, part: Option<i32>) -> S3Result<Slice> {
    let size = version.size;
    match (range, part) {
        (None, None) => Ok(Slice { start: 0, end: size, size, partial: false }),
        (Some(_), Some(_)) => Err(s3_error!(InvalidRequest, "Range and partNumber cannot be given together.")),
        (Some(range), None) => {
            let found = range.check(size).map_err(|_| unsatisfiable(size))?;
            if found.is_empty() {
                return Err(unsatisfiable(size));
            }
            Ok(Slice { start: found.start, end: found.end, size, partial: true })
        }
        (None, Some(part)) => part_slice(version, part),
    }
}

fn part_slice(version: &VersionPut, part: i32) -> S3Result<Slice> {
    let wrong = || {
        coded(
            "InvalidPartNumber",
            StatusCode::RANGE_NOT_SATISFIABLE,
            format!("The requested part number {part} is not satisfiable."),
        )
    };
    let size = version.size;
    if version.parts.is_empty() {
        return if part == 1 { Ok(Slice { start: 0, end: size, size, partial: true }) } else { Err(wrong()) };
    }
    let mut start = 0_u64;
    for mark in &version.parts {
        let end = start.checked_add(mark.len).filter(|end| *end <= size).ok_or_else(wrong)?;
        if i32::from(mark.number) == part {
            return Ok(Slice { start, end, size, partial: true });
        }
        start = end;
    }
    Err(wrong())
}

/// `If-Match`, `If-None-Match`, `If-Modified-Since`, `If-Unmodified-Since` of a read.
#[derive(Debug, Default)]
pub(crate) struct Conditions {
    pub(crate) if_match: Option<ETagCondition>,
    pub(crate) if_none_match: Option<ETagCondition>,
    pub(crate) if_modified_since: Option<Timestamp>,
    pub(crate) if_unmodified_since: Option<Timestamp>,
}

impl Conditions {
    /// Evaluates the conditions in the order of RFC 9110 §13.2.2.
    ///
    /// # Errors
    /// 412 `PreconditionFailed`, 304 `NotModified` (with the ETag).
    pub(crate) fn check(self, version: &VersionPut) -> S3Result<()> {
        let names = |condition: &ETagCondition| match condition {
            ETagCondition::Any => true,
            ETagCondition::ETag(etag) => etag.value() == version.etag,
        };
        let changed = seconds(version.created_at);
        let failed = |which: &str| s3_error!(PreconditionFailed, "The precondition {which} does not hold.");
        if let Some(condition) = &self.if_match {
            if !names(condition) {
                return Err(failed("If-Match"));
            }
        } else if self.if_unmodified_since.is_some_and(|since| changed > unix_seconds(since)) {
            return Err(failed("If-Unmodified-Since"));
        }
        let unmodified = match &self.if_none_match {
            Some(condition) => names(condition),
            None => self.if_modified_since.is_some_and(|since| changed <= unix_seconds(since)),
        };
        if unmodified { Err(not_modified(&version.etag)) } else { Ok(()) }
    }
}

fn not_modified(etag: &str) -> S3Error {
    let mut error = coded("NotModified", StatusCode::NOT_MODIFIED, "The object was not modified.");
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::try_from(format!("\"{etag}\"")) {
        headers.insert(ETAG, value);
    }
    error.set_headers(headers);
    error
}

fn seconds(milliseconds: u64) -> i64 {
    i64::try_from(milliseconds / 1000).unwrap_or(i64::MAX)
}

fn unix_seconds(at: Timestamp) -> i64 {
    time::OffsetDateTime::from(at).unix_timestamp()
}

/// A moment of the engine (milliseconds since 1970) as `s3s` sends it.
pub(crate) fn timestamp(milliseconds: u64) -> Timestamp {
    let nanos = i128::from(milliseconds) * 1_000_000;
    time::OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(time::OffsetDateTime::UNIX_EPOCH).into()
}

#[cfg(test)]
mod tests;
