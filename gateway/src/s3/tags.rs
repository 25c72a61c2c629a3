//! Tags of objects, after they were put.

use kovcheg_format::record::version::Pair;
use kovcheg_storage::object::types::{Found, VersionRef};
use s3s::dto::{
    DeleteObjectTaggingInput, DeleteObjectTaggingOutput, GetObjectTaggingInput, GetObjectTaggingOutput,
    PutObjectTaggingInput, PutObjectTaggingOutput, Tag,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use crate::error::from_storage;
use crate::s3::headers::check_tags;
use crate::s3::names::{check_key, parse_version, version_text};
use crate::s3::object::find;
use crate::s3::service::Gateway;

/// `GetObjectTagging`.
pub(crate) async fn get(
    gateway: &Gateway,
    req: S3Request<GetObjectTaggingInput>,
) -> S3Result<S3Response<GetObjectTaggingOutput>> {
    let input = req.input;
    let found = find(gateway, &input.bucket, &input.key, input.version_id.as_deref()).await?;
    let shown = |tag: &Pair| Tag { key: Some(tag.name.clone()), value: Some(tag.value.clone()) };
    let tag_set = found.tags.iter().map(shown).collect();
    Ok(S3Response::new(GetObjectTaggingOutput { tag_set, version_id: found.name().map(version_text) }))
}

/// `PutObjectTagging`: in place of all tags there were. Durable when it answers.
pub(crate) async fn put(
    gateway: &Gateway,
    req: S3Request<PutObjectTaggingInput>,
) -> S3Result<S3Response<PutObjectTaggingOutput>> {
    let malformed = || s3_error!(MalformedXML, "A tag has a key and a value.");
    let mut tags = Vec::new();
    for tag in &req.input.tagging.tag_set {
        let (name, value) = (tag.key.clone().ok_or_else(malformed)?, tag.value.clone().ok_or_else(malformed)?);
        tags.push(Pair { name, value });
    }
    check_tags(&tags).map_err(|why| s3_error!(InvalidTag, "The tags are not valid: {why}."))?;
    let (bucket, key, version) = (&req.input.bucket, &req.input.key, req.input.version_id.as_deref());
    let found = set(gateway, &req, (bucket, key, version), tags).await?;
    Ok(S3Response::new(PutObjectTaggingOutput { version_id: found.name().map(version_text) }))
}

/// `DeleteObjectTagging`. Durable when it answers.
pub(crate) async fn delete(
    gateway: &Gateway,
    req: S3Request<DeleteObjectTaggingInput>,
) -> S3Result<S3Response<DeleteObjectTaggingOutput>> {
    let (bucket, key, version) = (&req.input.bucket, &req.input.key, req.input.version_id.as_deref());
    let found = set(gateway, &req, (bucket, key, version), Vec::new()).await?;
    Ok(S3Response::new(DeleteObjectTaggingOutput { version_id: found.name().map(version_text) }))
}

async fn set<T>(
    gateway: &Gateway,
    req: &S3Request<T>,
    (bucket, key, version): (&str, &str, Option<&str>),
    tags: Vec<Pair>,
) -> S3Result<Found> {
    check_key(key)?;
    let target = VersionRef { bucket: bucket.to_owned(), key: key.to_owned(), version: parse_version(version)? };
    gateway.vault.set_tags(gateway.origin(req), target, tags).await.map_err(from_storage)
}
