//! Goal: write conditions mean what S3 says or are refused. Method: a table.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use s3s::dto::{ETag, ETagCondition, ObjectIdentifier};

use super::{delete_error, parts_count, precondition};
use crate::error::from_storage;
use crate::s3::fixtures::version;
use kovcheg_storage::error::StorageError;

#[test]
fn write_conditions() {
    let tag = || Some(ETagCondition::ETag(ETag::Strong("abc".into())));
    let any = || Some(ETagCondition::Any);
    let none = precondition(None, None).unwrap();
    assert!(!none.must_not_exist && none.etag.is_none());
    assert!(precondition(None, any()).unwrap().must_not_exist);
    assert_eq!(precondition(tag(), None).unwrap().etag.as_deref(), Some("abc"));
    for (if_match, if_none_match) in [(any(), None), (None, tag())] {
        let error = precondition(if_match, if_none_match).unwrap_err();
        assert_eq!(error.code().as_str(), "NotImplemented");
    }
}

#[test]
fn the_number_of_parts_is_told_only_when_a_part_is_asked_for() {
    let multipart = version(10, &[(1, 5), (2, 5)]);
    assert_eq!(parts_count(&multipart, None), None);
    assert_eq!(parts_count(&multipart, Some(1)), Some(2));
    assert_eq!(parts_count(&version(10, &[]), Some(1)), None);
}

#[test]
fn failed_deletes_name_key_and_code() {
    let object = ObjectIdentifier {
        key: "k".into(),
        version_id: Some("null".into()),
        e_tag: None,
        last_modified_time: None,
        size: None,
    };
    let error = delete_error(object, &from_storage(StorageError::Refused { reasons: vec!["hold".into()] }));
    assert_eq!((error.key.as_deref(), error.code.as_deref()), (Some("k"), Some("AccessDenied")));
    assert_eq!(error.version_id.as_deref(), Some("null"));
    assert!(error.message.unwrap().contains("hold"));
}
