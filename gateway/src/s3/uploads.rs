//! `ListMultipartUploads`: a page of the engine, as S3 writes it.

use kovcheg_format::record::upload::UploadCreated;
use kovcheg_storage::object::types::{UploadMarker, UploadPage, UploadQuery};
use s3s::dto::{
    ChecksumAlgorithm, Initiator, ListMultipartUploadsInput, ListMultipartUploadsOutput, MultipartUpload, Owner,
    StorageClass,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use crate::error::from_storage;
use crate::s3::bucket::owner;
use crate::s3::checksum::{kind_of_code, name_of};
use crate::s3::list::{Encoding, most, prefixes};
use crate::s3::multipart::checksum_type;
use crate::s3::names::{parse_upload, upload_text};
use crate::s3::range::timestamp;
use crate::s3::service::Gateway;

/// Where a listing goes on: `upload-id-marker` counts beside a `key-marker` only (S3).
fn marker(key: Option<&str>, upload: Option<&str>) -> S3Result<Option<UploadMarker>> {
    let Some(key) = key.filter(|key| !key.is_empty()) else { return Ok(None) };
    let upload = upload.filter(|upload| !upload.is_empty()).map(parse_upload).transpose();
    let upload = upload.map_err(|_| s3_error!(InvalidArgument, "The upload-id-marker is not the id of an upload."))?;
    Ok(Some(UploadMarker { key: key.to_owned(), upload }))
}

/// `ListMultipartUploads`.
pub(crate) async fn list(
    gateway: &Gateway,
    req: S3Request<ListMultipartUploadsInput>,
) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
    let input = req.input;
    let encoding = Encoding::parse(input.encoding_type.as_ref())?;
    let max_uploads = most("max-uploads", input.max_uploads)?;
    let query = UploadQuery {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone().unwrap_or_default(),
        after: marker(input.key_marker.as_deref(), input.upload_id_marker.as_deref())?,
        max_uploads,
    };
    let bucket = gateway.vault.bucket(&input.bucket).await.map_err(from_storage)?;
    let UploadPage { uploads, common_prefixes, next } =
        gateway.vault.list_uploads(&input.bucket, query).await.map_err(from_storage)?;
    let owner = owner(bucket.tenant);
    Ok(S3Response::new(ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        prefix: input.prefix.as_deref().map(|text| encoding.name(text)),
        delimiter: input.delimiter.as_deref().map(|text| encoding.name(text)),
        key_marker: Some(encoding.name(input.key_marker.as_deref().unwrap_or_default())),
        upload_id_marker: Some(input.upload_id_marker.unwrap_or_default()),
        max_uploads: i32::try_from(max_uploads).ok(),
        is_truncated: Some(next.is_some()),
        next_key_marker: next.as_ref().map(|next| encoding.name(&next.key)),
        next_upload_id_marker: next.as_ref().and_then(|next| next.upload).map(upload_text),
        encoding_type: encoding.shown(),
        uploads: Some(uploads.into_iter().map(|upload| shown(upload, encoding, &owner)).collect()),
        common_prefixes: Some(prefixes(&common_prefixes, encoding)),
        ..ListMultipartUploadsOutput::default()
    }))
}

fn shown(upload: UploadCreated, encoding: Encoding, owner: &Owner) -> MultipartUpload {
    let kind = kind_of_code(upload.checksum_kind);
    MultipartUpload {
        key: Some(encoding.name(&upload.key)),
        upload_id: Some(upload_text(upload.upload)),
        initiated: Some(timestamp(upload.created_at)),
        initiator: Some(Initiator { id: Some(upload.by.actor.clone()), display_name: Some(upload.by.actor) }),
        owner: Some(owner.clone()),
        storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
        checksum_algorithm: kind.map(|kind| ChecksumAlgorithm::from_static(name_of(kind))),
        checksum_type: kind.map(|_| checksum_type(upload.full_object)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::marker;

    #[test]
    fn markers_are_read_as_s3_reads_them() {
        let id = "0a".repeat(16);
        assert_eq!(marker(None, Some(&id)).unwrap(), None, "an upload without its key is ignored");
        assert_eq!(marker(Some(""), None).unwrap(), None);
        let found = marker(Some("k"), Some(&id)).unwrap().unwrap();
        assert_eq!((found.key.as_str(), found.upload.map(|upload| upload.0)), ("k", Some([10; 16])));
        assert_eq!(marker(Some("k"), Some("")).unwrap().unwrap().upload, None);
        assert_eq!(marker(Some("k"), Some("nonsense")).unwrap_err().code().as_str(), "InvalidArgument");
    }
}
