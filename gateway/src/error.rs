//! The only tables from failures to S3 error codes: the engine's errors, and errors of request bodies.
//!
//! `docs/errors.md` lists the same rows; a test compares them. What only an operator can mend is logged here, once, with
//! its cause; the client is told the code and the request id, never what lies inside the vault.

use std::error::Error;

use kovcheg_storage::error::StorageError;
use s3s::stream::aws_chunked_stream::AwsChunkedStreamError;
use s3s::stream::upload_stream::UploadStreamError;
use s3s::{BodySizeLimitExceeded, S3Error, S3ErrorCode, StdError};

use http::StatusCode;

use crate::stream::BodyError;

/// One row of the table: code, HTTP status, message for the client, and whether the cause belongs into the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// S3 error code.
    pub code: &'static str,
    /// HTTP status.
    pub status: u16,
    /// What the client reads.
    pub message: String,
    /// Whether a person should look (logged at ERROR with the cause).
    pub log: bool,
}

fn row(code: &'static str, status: u16, message: impl Into<String>) -> Row {
    Row { code, status, message: message.into(), log: false }
}

fn inner(message: &str) -> Row {
    Row { code: "InternalError", status: 500, message: message.to_owned(), log: true }
}

/// The S3 answer to an error of the engine. Exhaustive on purpose: a new error is a new row.
#[must_use]
pub fn row_of(error: &StorageError) -> Row {
    match error {
        StorageError::NoSuchBucket(_) => row("NoSuchBucket", 404, "The specified bucket does not exist."),
        StorageError::BucketExists(_) => {
            row("BucketAlreadyOwnedByYou", 409, "The bucket exists already, and you own it.")
        }
        StorageError::BucketNotEmpty(_) => {
            row("BucketNotEmpty", 409, "The bucket holds objects or open multipart uploads; remove them first.")
        }
        StorageError::NoSuchKey => row("NoSuchKey", 404, "The specified key does not exist."),
        StorageError::NoSuchVersion => row("NoSuchVersion", 404, "The specified version does not exist."),
        StorageError::DeleteMarker { asked: true, .. } => {
            row("MethodNotAllowed", 405, "The specified version is a delete marker; it can only be deleted.")
        }
        StorageError::DeleteMarker { asked: false, .. } => {
            row("NoSuchKey", 404, "The specified key does not exist: its newest version is a delete marker.")
        }
        StorageError::NoSuchUpload => row(
            "NoSuchUpload",
            404,
            "The specified multipart upload does not exist; it may have been completed or aborted.",
        ),
        StorageError::InvalidPart(number) => {
            row("InvalidPart", 400, format!("Part {number} was not uploaded, or its ETag or checksum differs."))
        }
        StorageError::InvalidPartOrder => row("InvalidPartOrder", 400, "The list of parts is not in ascending order."),
        StorageError::PartTooSmall { number, size, min } => row(
            "EntityTooSmall",
            400,
            format!("Part {number} has {size} bytes; every part but the last needs at least {min}."),
        ),
        StorageError::PreconditionFailed(which) => {
            row("PreconditionFailed", 412, format!("The precondition {which} does not hold."))
        }
        StorageError::NoObjectLock => row("InvalidRequest", 400, "Bucket is missing Object Lock Configuration"),
        StorageError::InvalidBucketState(why) => row("InvalidBucketState", 409, format!("Refused: {why}.")),
        StorageError::SourceChanged => {
            row("OperationAborted", 409, "The source of the copy is being replaced again and again; try again.")
        }
        StorageError::InvalidArgument { what, reason } => row("InvalidArgument", 400, format!("{what}: {reason}")),
        StorageError::Refused { reasons } => row("AccessDenied", 403, format!("Refused: {}.", reasons.join("; "))),
        StorageError::ReadOnly { reason } => {
            row("ServiceUnavailable", 503, format!("The vault takes no writes now; reads go on. {reason}"))
        }
        StorageError::Full(_) => {
            row("InsufficientStorage", 507, "The vault has no space left for new data; reads and deletes go on.")
        }
        StorageError::QuotaExceeded { quota, used, .. } => over_quota(*quota, *used),
        StorageError::Exhausted(_) => Row {
            log: true,
            ..row("SlowDown", 503, "The server is short of file descriptors or memory; try again later.")
        },
        StorageError::Damaged { .. } => {
            inner("Too many shards of the data are lost or unreadable; the vault's operator must look at it.")
        }
        StorageError::ChunkMissing(_) => inner("A piece of the data is missing; the vault's operator must look at it."),
        StorageError::NotAuthentic { .. } => {
            inner("The stored data did not pass its check; the vault's operator must look at it.")
        }
        StorageError::Format { .. } => {
            inner("A stored record could not be read; the vault's operator must look at it.")
        }
        StorageError::Erasure(_) => inner("The data could not be put together; the vault's operator must look at it."),
        StorageError::Disk(_) => inner("A disk of the vault failed; the vault's operator must look at it."),
        StorageError::Index(_) => inner("The vault's index failed; the vault's operator must look at it."),
        StorageError::Stopping(_) => row("ServiceUnavailable", 503, "The vault is stopping; try again later."),
        StorageError::Operator(_) => inner("The vault needs its operator."),
    }
}

fn over_quota(quota: u64, used: u64) -> Row {
    let counted = "noncurrent versions and open uploads included";
    let message = format!(
        "The bucket holds {used} bytes of a quota of {quota}, {counted}, and this would be more. Remove some of them, or ask the vault's operator \
         for a larger quota."
    );
    row("QuotaExceeded", 403, message)
}

/// An S3 error with a code that `s3s` may not know and a status that it may not give.
#[must_use]
pub fn coded(code: &'static str, status: StatusCode, message: impl Into<String>) -> S3Error {
    let code = S3ErrorCode::from_bytes(code.as_bytes()).unwrap_or(S3ErrorCode::InternalError);
    let mut error = S3Error::with_message(code, message.into());
    error.set_status_code(status);
    error
}

/// Turns an error of the engine into the client's, and logs it if a person should look.
pub fn from_storage(error: StorageError) -> S3Error {
    let row = row_of(&error);
    if row.log {
        tracing::error!(error = %error, code = row.code, "request failed inside the vault");
    }
    coded(row.code, StatusCode::from_u16(row.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), row.message)
}

fn body(code: &'static str, message: &str) -> S3Error {
    coded(code, StatusCode::BAD_REQUEST, message)
}

/// The S3 answer to a failure of a request's body. Nothing was stored.
#[must_use]
pub fn from_body(error: &StdError) -> S3Error {
    let mut next: Option<&(dyn Error + 'static)> = Some(error.as_ref());
    let mut transport = false;
    while let Some(cause) = next {
        if let Some(known) = known_body_error(cause) {
            return known;
        }
        transport |= cause.is::<hyper::Error>() || cause.is::<std::io::Error>();
        next = cause.source();
    }
    if transport {
        return body("IncompleteBody", "The connection ended before the whole body arrived.");
    }
    tracing::error!(error = %error, "a request body failed for an unknown reason");
    coded("InternalError", StatusCode::INTERNAL_SERVER_ERROR, "The request body could not be read.")
}

fn known_body_error(cause: &(dyn Error + 'static)) -> Option<S3Error> {
    if let Some(error) = cause.downcast_ref::<BodyError>() {
        return Some(match error {
            BodyError::Idle(_) => body("RequestTimeout", "The body stood still for too long."),
            BodyError::Transport(_) => body("IncompleteBody", "The connection ended before the whole body arrived."),
            BodyError::Mismatch { code, message } => body(code, message),
        });
    }
    if let Some(error) = cause.downcast_ref::<UploadStreamError>() {
        return match error {
            UploadStreamError::Sha256Mismatch => Some(body(
                "XAmzContentSHA256Mismatch",
                "The provided x-amz-content-sha256 header does not match what was computed.",
            )),
            UploadStreamError::LengthMismatch | UploadStreamError::Incomplete => {
                Some(body("IncompleteBody", "The body does not have the number of bytes given in Content-Length."))
            }
            UploadStreamError::Underlying(_) => None,
        };
    }
    if let Some(error) = cause.downcast_ref::<AwsChunkedStreamError>() {
        return chunked_error(error);
    }
    cause
        .is::<BodySizeLimitExceeded>()
        .then(|| body("EntityTooLarge", "The body is longer than the largest object that one request may carry."))
}

fn chunked_error(error: &AwsChunkedStreamError) -> Option<S3Error> {
    match error {
        AwsChunkedStreamError::Underlying(_) => None,
        AwsChunkedStreamError::SignatureMismatch => Some(coded(
            "SignatureDoesNotMatch",
            StatusCode::FORBIDDEN,
            "The signature of a chunk or of the trailers does not match.",
        )),
        AwsChunkedStreamError::FormatError
        | AwsChunkedStreamError::TrailersTooLarge(..)
        | AwsChunkedStreamError::TooManyTrailerHeaders(..) => {
            Some(body("IncompleteBody", "The aws-chunked framing of the body is broken."))
        }
        AwsChunkedStreamError::Incomplete | AwsChunkedStreamError::LengthMismatch => Some(body(
            "IncompleteBody",
            "The body does not have the number of bytes given in x-amz-decoded-content-length.",
        )),
        AwsChunkedStreamError::ChunkMetaTooLarge(..) => {
            Some(body("IncompleteBody", "The aws-chunked framing of the body is broken."))
        }
        AwsChunkedStreamError::ChunkDataTooLarge(size, limit) => {
            Some(body("EntityTooLarge", &format!("A signed chunk has {size} bytes; the limit is {limit}.")))
        }
    }
}

#[cfg(test)]
mod tests;
