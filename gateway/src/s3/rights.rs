//! Which right each operation of S3 asks for. The table is in docs/policy.md.

use kovcheg_storage::object::types::Right;

/// What an operation asks for in the bucket it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needed {
    /// This right.
    Right(Right),
    /// Any right at all: to learn that the bucket is there.
    Any,
    /// The root key.
    Root,
}

/// What an operation asks for. One that the vault does not have is answered so by itself, to everybody who may ask for anything.
pub(crate) fn needed(operation: &str) -> Needed {
    Needed::Right(match operation {
        "GetObject"
        | "HeadObject"
        | "GetObjectAcl"
        | "GetObjectRetention"
        | "GetObjectLegalHold"
        | "GetObjectTagging"
        | "GetObjectAttributes" => Right::Read,
        "PutObject"
        | "PostObject"
        | "CopyObject"
        | "CreateBucket"
        | "CreateMultipartUpload"
        | "UploadPart"
        | "UploadPartCopy"
        | "CompleteMultipartUpload"
        | "AbortMultipartUpload"
        | "PutObjectRetention"
        | "PutObjectTagging"
        | "DeleteObjectTagging" => Right::Write,
        "PutObjectLegalHold" => Right::Hold,
        "DeleteObject" | "DeleteObjects" | "DeleteBucket" => Right::Delete,
        "PutBucketVersioning"
        | "PutObjectLockConfiguration"
        | "PutBucketLifecycleConfiguration"
        | "DeleteBucketLifecycle"
        | "PutBucketEncryption"
        | "DeleteBucketEncryption" => return Needed::Root,
        "ListObjects" | "ListObjectsV2" | "ListObjectVersions" | "ListMultipartUploads" | "ListParts" => Right::List,
        _ => return Needed::Any,
    })
}

#[cfg(test)]
mod tests {
    use super::{Needed, needed};
    use crate::s3::service::OPERATIONS;

    /// Goal: an operation that is added asks for a right, or is one of those that are known to need none.
    #[test]
    fn every_operation_asks_for_a_right() {
        const FOR_ANY: [&str; 3] = ["HeadBucket", "ListBuckets", "GetObjectLockConfiguration"];
        for operation in OPERATIONS {
            let name: String = operation.split('_').map(capitalised).collect();
            let for_any = FOR_ANY.contains(&name.as_str()) || name.starts_with("GetBucket");
            assert_eq!(needed(&name) == Needed::Any, for_any, "{name}");
        }
    }

    fn capitalised(word: &str) -> String {
        let (first, rest) = word.split_at(1);
        format!("{}{rest}", first.to_ascii_uppercase())
    }
}
