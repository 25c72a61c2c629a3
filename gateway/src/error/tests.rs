//! Goal: every engine error has the code that docs/errors.md promises, and body failures keep their meaning through the
//! layers of `s3s`. Method: one value of each variant, compared with the row of the document.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use std::time::Duration;

use kovcheg_format::FormatError;
use kovcheg_format::id::{ChunkId, SegmentId};
use kovcheg_storage::disk::DiskError;
use kovcheg_storage::error::StorageError;
use kovcheg_storage::index::IndexError;
use kovcheg_storage::object::types::VersionName;
use s3s::StdError;
use s3s::stream::aws_chunked_stream::AwsChunkedStreamError;
use s3s::stream::upload_stream::UploadStreamError;

use super::{from_body, from_storage, row_of};
use crate::stream::BodyError;

fn one_of_each() -> Vec<StorageError> {
    let format = FormatError::Truncated { what: "x", missing: 1 };
    vec![
        StorageError::NoSuchBucket("b".into()),
        StorageError::BucketExists("b".into()),
        StorageError::BucketNotEmpty("b".into()),
        StorageError::NoSuchKey,
        StorageError::NoSuchVersion,
        StorageError::DeleteMarker { name: VersionName::Null, asked: true },
        StorageError::NoSuchUpload,
        StorageError::InvalidPart(3),
        StorageError::InvalidPartOrder,
        StorageError::PartTooSmall { number: 1, size: 2, min: 3 },
        StorageError::PreconditionFailed("If-None-Match"),
        StorageError::NoObjectLock,
        StorageError::InvalidBucketState("no versions"),
        StorageError::SourceChanged,
        StorageError::InvalidArgument { what: "name", reason: "no".into() },
        StorageError::Refused { reasons: vec!["legal hold".into()] },
        StorageError::ReadOnly { reason: "two disks are gone".into() },
        StorageError::Exhausted(DiskError::Full { disk: "secret detail".into() }),
        StorageError::QuotaExceeded { bucket: "b".into(), quota: 2, used: 1 },
        StorageError::Full("secret detail".into()),
        StorageError::Damaged { segment: SegmentId(1), offset: 0, lost: 3, width: 6, detail: "secret detail".into() },
        StorageError::ChunkMissing(ChunkId::ZERO),
        StorageError::NotAuthentic { what: "secret detail".into(), reason: "tag" },
        StorageError::Format { what: "secret detail", source: format.clone() },
        StorageError::Disk(DiskError::Full { disk: "secret detail".into() }),
        StorageError::Index(IndexError::Row { column: "secret detail", source: format }),
        StorageError::Stopping("secret detail".into()),
        StorageError::Operator("secret detail".into()),
    ]
}

fn variant(error: &StorageError) -> String {
    let text = format!("{error:?}");
    text.split(|character: char| !character.is_alphanumeric()).next().unwrap().to_owned()
}

#[test]
fn the_table_is_the_one_in_the_document() {
    let document = include_str!("../../../docs/errors.md");
    let section = document.split("## From the engine").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows: Vec<Vec<&str>> = section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.split('|').map(|cell| cell.trim().trim_matches('`')).collect())
        .collect();
    let errors = one_of_each();
    assert_eq!(rows.len(), errors.len(), "as many rows as variants");
    for (error, cells) in errors.iter().zip(rows) {
        let row = row_of(error);
        let logged = if row.log { "yes" } else { "" };
        let status = row.status.to_string();
        assert_eq!(cells[1..5], [variant(error).as_str(), row.code, status.as_str(), logged], "{error:?}");
    }
}

#[test]
fn status_and_code_reach_the_answer_and_details_do_not() {
    for error in one_of_each() {
        let row = row_of(&error);
        let answer = from_storage(error);
        assert_eq!(answer.code().as_str(), row.code);
        assert_eq!(answer.status_code().unwrap().as_u16(), row.status, "{}", row.code);
        assert!(!answer.message().unwrap().contains("secret detail"), "{}", row.code);
    }
}

fn code_of(error: impl Into<StdError>) -> (String, u16) {
    let answer = from_body(&error.into());
    (answer.code().as_str().to_owned(), answer.status_code().unwrap().as_u16())
}

#[test]
fn body_failures_keep_their_meaning_through_layers() {
    let idle = || Box::new(BodyError::Idle(Duration::from_secs(1)));
    let cases: Vec<(StdError, &str, u16)> = vec![
        (idle(), "RequestTimeout", 400),
        (Box::new(UploadStreamError::Underlying(idle())), "RequestTimeout", 400),
        (Box::new(AwsChunkedStreamError::Underlying(idle())), "RequestTimeout", 400),
        (Box::new(UploadStreamError::Sha256Mismatch), "XAmzContentSHA256Mismatch", 400),
        (Box::new(UploadStreamError::Incomplete), "IncompleteBody", 400),
        (Box::new(UploadStreamError::LengthMismatch), "IncompleteBody", 400),
        (Box::new(AwsChunkedStreamError::SignatureMismatch), "SignatureDoesNotMatch", 403),
        (Box::new(AwsChunkedStreamError::FormatError), "IncompleteBody", 400),
        (Box::new(AwsChunkedStreamError::Incomplete), "IncompleteBody", 400),
        (Box::new(AwsChunkedStreamError::LengthMismatch), "IncompleteBody", 400),
        (Box::new(AwsChunkedStreamError::ChunkDataTooLarge(2, 1)), "EntityTooLarge", 400),
        (Box::new(s3s::BodySizeLimitExceeded { size: 2, limit: 1 }), "EntityTooLarge", 400),
        (Box::new(std::io::Error::other("reset")), "IncompleteBody", 400),
        (Box::new(BodyError::Mismatch { code: "BadDigest", message: "no".into() }), "BadDigest", 400),
        ("something else".into(), "InternalError", 500),
    ];
    for (error, code, status) in cases {
        let shown = format!("{error:?}");
        assert_eq!(code_of(error), (code.to_owned(), status), "{shown}");
    }
}

#[test]
fn nested_framing_errors_are_not_internal() {
    // `s3s` wraps a chunk header that is too long into its own `Underlying`.
    let inner: StdError = Box::new(AwsChunkedStreamError::ChunkMetaTooLarge(2000, 1024));
    assert_eq!(code_of(AwsChunkedStreamError::Underlying(inner)).0, "IncompleteBody");
}
