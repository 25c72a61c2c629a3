//! Goal: what is kept comes back as sent, and nothing that matters is ignored. Method: tables of headers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use http::{HeaderMap, HeaderName, HeaderValue};
use s3s::dto::Metadata;

use super::{Kept, metadata, parse_tags, refuse_framed_document, refuse_stray_copy, refuse_unsupported, value};

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap()))
        .collect()
}

fn refused(name: &str, value: &str) -> String {
    refuse_unsupported(&headers(&[(name, value)])).unwrap_err().code().as_str().to_owned()
}

#[test]
fn what_is_not_built_is_refused_and_never_ignored() {
    let not_built = [
        ("x-amz-server-side-encryption", "aws:kms"),
        ("x-amz-server-side-encryption", "aws:kms:dsse"),
        ("x-amz-server-side-encryption-aws-kms-key-id", "k"),
        ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
        ("x-amz-server-side-encryption-customer-key", "k"),
        ("x-amz-acl", "public-read"),
        ("x-amz-acl", "public-read-write"),
        ("x-amz-acl", "authenticated-read"),
        ("x-amz-grant-read", "id=1"),
        ("x-amz-copy-source-server-side-encryption-customer-key", "k"),
        ("x-amz-website-redirect-location", "/"),
        ("x-amz-write-offset-bytes", "1"),
        ("x-amz-mfa", "1 2"),
        ("x-amz-object-ownership", "ObjectWriter"),
    ];
    for (name, value) in not_built {
        assert_eq!(refused(name, value), "NotImplemented", "{name}: {value}");
    }
    assert_eq!(refused("x-amz-storage-class", "GLACIER"), "InvalidStorageClass");
    assert_eq!(refused("x-amz-security-token", "t"), "InvalidToken");
}

#[test]
fn headers_of_a_copy_belong_to_copies() {
    for (operation, name, is_fine) in [
        ("CopyObject", "x-amz-copy-source", true),
        ("CopyObject", "x-amz-copy-source-if-match", true),
        ("CopyObject", "x-amz-copy-source-range", false),
        ("UploadPartCopy", "x-amz-copy-source-range", true),
        ("PutObject", "x-amz-copy-source-if-match", false),
        ("CreateMultipartUpload", "x-amz-copy-source", false),
        ("GetObject", "x-amz-copy-source", false),
        ("GetObject", "x-amz-date", true),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static("/b/k"));
        assert_eq!(refuse_stray_copy(operation, &headers).is_ok(), is_fine, "{operation} {name}");
    }
}

/// The story: a broken framing around a document was answered 500.
#[test]
fn only_the_content_of_objects_is_framed() {
    for payload in ["STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"] {
        let headers = headers(&[("x-amz-content-sha256", payload)]);
        for (operation, is_fine) in [
            ("PutObject", true),
            ("UploadPart", true),
            ("CreateBucket", false),
            ("DeleteObjects", false),
            ("GetObject", false),
        ] {
            assert_eq!(refuse_framed_document(operation, &headers).is_ok(), is_fine, "{operation} {payload}");
        }
    }
    assert!(refuse_framed_document("DeleteObjects", &headers(&[("x-amz-content-sha256", "UNSIGNED-PAYLOAD")])).is_ok());
}

#[test]
fn what_says_what_holds_anyway_is_taken() {
    let taken = [
        ("x-amz-acl", "private"),
        ("x-amz-acl", "bucket-owner-full-control"),
        ("x-amz-server-side-encryption", "AES256"),
        ("x-amz-storage-class", "STANDARD"),
        ("x-amz-object-ownership", "BucketOwnerEnforced"),
        ("x-amz-date", "20260101T000000Z"),
        ("x-amz-meta-object-lock-mode", "free text"),
        ("x-amz-request-payer", "requester"),
    ];
    for (name, value) in taken {
        assert!(refuse_unsupported(&headers(&[(name, value)])).is_ok(), "{name}: {value}");
    }
}

#[test]
fn content_headers_metadata_and_tags_are_kept() {
    let request = headers(&[
        ("content-type", "text/plain; charset=utf-8"),
        ("content-encoding", "aws-chunked, gzip"),
        ("cache-control", "no-cache"),
        ("expires", "Thu, 01 Dec 2033 16:00:00 GMT"),
        ("content-length", "5"),
        ("x-amz-tagging", "team=a%20b&empty=&flag"),
    ]);
    let mut user = Metadata::default();
    user.insert("zeta".into(), "1".into());
    user.insert("alpha".into(), "ключ".into());
    let kept = Kept::collect(&request, Some(user.clone())).unwrap();
    assert_eq!(value(&kept.headers, "content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(value(&kept.headers, "content-encoding"), Some("gzip"));
    assert_eq!(value(&kept.headers, "expires"), Some("Thu, 01 Dec 2033 16:00:00 GMT"));
    assert_eq!(kept.headers.len(), 4);
    assert_eq!(kept.metadata.iter().map(|pair| pair.name.as_str()).collect::<Vec<_>>(), ["alpha", "zeta"]);
    assert_eq!(metadata(&kept.metadata).unwrap(), user);
    assert_eq!(value(&kept.tags, "team"), Some("a b"));
    assert_eq!((value(&kept.tags, "empty"), value(&kept.tags, "flag")), (Some(""), Some("")));
}

#[test]
fn aws_chunked_is_never_kept() {
    for (sent, stored) in [
        ("aws-chunked", None),
        ("AWS-Chunked", None),
        ("aws-chunked,", None),
        ("gzip", Some("gzip")),
        ("gzip,aws-chunked", Some("gzip")),
        ("aws-chunked,gzip,br", Some("gzip,br")),
    ] {
        let kept = Kept::collect(&headers(&[("content-encoding", sent)]), None).unwrap();
        assert_eq!(value(&kept.headers, "content-encoding"), stored, "{sent}");
    }
}

#[test]
fn limits_on_metadata_and_tags_hold() {
    let mut large = Metadata::default();
    large.insert("k".into(), "x".repeat(2048));
    let error = Kept::collect(&HeaderMap::new(), Some(large)).unwrap_err();
    assert_eq!(error.code().as_str(), "MetadataTooLarge");
    let eleven: Vec<String> = (0..11).map(|number| format!("k{number}=v")).collect();
    let long = format!("k={}", "v".repeat(257));
    for wrong in [eleven.join("&").as_str(), "a=1&a=2", "=v", "a=%zz", "a=%ff", &long] {
        assert_eq!(parse_tags(wrong).unwrap_err().code().as_str(), "InvalidTag", "{wrong}");
    }
    assert_eq!(parse_tags("").unwrap(), []);
}
