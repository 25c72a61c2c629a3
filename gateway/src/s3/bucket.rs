//! Buckets: create, head, list, delete, location.

use kovcheg_format::id::TenantId;
use kovcheg_format::record::bucket::{BucketCreated, Namespace};
use kovcheg_storage::error::StorageError;
use kovcheg_storage::object::types::NewBucket;
use s3s::dto::{
    Bucket, BucketLocationConstraint, CreateBucketConfiguration, CreateBucketInput, CreateBucketOutput,
    DeleteBucketInput, DeleteBucketOutput, GetBucketLocationInput, GetBucketLocationOutput, HeadBucketInput,
    HeadBucketOutput, ListBucketsInput, ListBucketsOutput, Owner,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use crate::config::S3Config;
use crate::error::from_storage;
use crate::s3::names::{parse_token, token};
use crate::s3::range::timestamp;
use crate::s3::service::Gateway;

/// Most buckets of one `ListBuckets` page (S3).
const PAGE_BUCKETS_MAX: i32 = 10_000;

/// The region whose location S3 writes as an empty constraint.
const NAMELESS_REGION: &str = "us-east-1";

/// A tenant's name as S3 shows owners and as `x-amz-expected-bucket-owner` names them: twelve digits.
pub(crate) fn owner_id(tenant: TenantId) -> String {
    format!("{:012}", tenant.0)
}

/// A tenant as S3 shows owners.
pub(crate) fn owner(tenant: TenantId) -> Owner {
    Owner { id: Some(owner_id(tenant)), display_name: Some(owner_id(tenant)) }
}

fn check_configuration(config: &S3Config, asked: Option<&CreateBucketConfiguration>) -> S3Result<()> {
    let Some(asked) = asked else { return Ok(()) };
    if asked.bucket.is_some() || asked.location.is_some() {
        return Err(s3_error!(NotImplemented, "Directory buckets are not supported."));
    }
    if asked.tags.as_ref().is_some_and(|tags| !tags.is_empty()) {
        return Err(s3_error!(NotImplemented, "Tags of buckets are not supported."));
    }
    let region = asked.location_constraint.as_ref().map(BucketLocationConstraint::as_str).unwrap_or_default();
    if config.region_enforced && !region.is_empty() && region != config.region {
        return Err(s3_error!(
            InvalidLocationConstraint,
            "The location constraint {region} is not valid; this vault is in {}.",
            config.region
        ));
    }
    Ok(())
}

/// `CreateBucket`.
pub(crate) async fn create(
    gateway: &Gateway,
    req: S3Request<CreateBucketInput>,
) -> S3Result<S3Response<CreateBucketOutput>> {
    let by = gateway.origin(&req);
    check_configuration(&gateway.config, req.input.create_bucket_configuration.as_ref())?;
    let tenant = gateway.tenant(&req).await?;
    let object_lock = req.input.object_lock_enabled_for_bucket.unwrap_or(false);
    let name = req.input.bucket;
    let new = NewBucket { name: name.clone(), tenant, namespace: Namespace::Flat, profile: None, object_lock };
    match gateway.vault.create_bucket(by, new).await {
        Ok(_) => {}
        Err(StorageError::BucketExists(_)) => {
            let theirs = gateway.vault.bucket(&name).await.is_ok_and(|bucket| bucket.tenant != tenant);
            if theirs {
                return Err(s3_error!(BucketAlreadyExists, "The bucket name is taken by another owner."));
            }
            return Err(from_storage(StorageError::BucketExists(name)));
        }
        Err(error) => return Err(from_storage(error)),
    }
    Ok(S3Response::new(CreateBucketOutput { location: Some(format!("/{name}")), ..CreateBucketOutput::default() }))
}

/// `HeadBucket`.
pub(crate) async fn head(gateway: &Gateway, req: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
    gateway.vault.bucket(&req.input.bucket).await.map_err(from_storage)?;
    Ok(S3Response::new(HeadBucketOutput {
        bucket_region: Some(gateway.config.region.clone()),
        ..HeadBucketOutput::default()
    }))
}

/// `DeleteBucket`: only an empty one.
pub(crate) async fn delete(
    gateway: &Gateway,
    req: S3Request<DeleteBucketInput>,
) -> S3Result<S3Response<DeleteBucketOutput>> {
    let by = gateway.origin(&req);
    gateway.vault.delete_bucket(by, &req.input.bucket).await.map_err(from_storage)?;
    Ok(S3Response::new(DeleteBucketOutput::default()))
}

/// `GetBucketLocation`.
pub(crate) async fn location(
    gateway: &Gateway,
    req: S3Request<GetBucketLocationInput>,
) -> S3Result<S3Response<GetBucketLocationOutput>> {
    gateway.vault.bucket(&req.input.bucket).await.map_err(from_storage)?;
    let region = &gateway.config.region;
    let location_constraint = (region != NAMELESS_REGION).then(|| BucketLocationConstraint::from(region.clone()));
    Ok(S3Response::new(GetBucketLocationOutput { location_constraint }))
}

/// `ListBuckets`: those of the caller's tenant, by name.
pub(crate) async fn list(
    gateway: &Gateway,
    req: S3Request<ListBucketsInput>,
) -> S3Result<S3Response<ListBucketsOutput>> {
    let caller = gateway.credential(&req).await?;
    let input = req.input;
    let prefix = input.prefix.unwrap_or_default();
    let after = input.continuation_token.as_deref().map(parse_token).transpose()?.unwrap_or_default();
    let max = input.max_buckets.unwrap_or(PAGE_BUCKETS_MAX);
    if !(1..=PAGE_BUCKETS_MAX).contains(&max) {
        return Err(s3_error!(InvalidArgument, "max-buckets must be between 1 and {PAGE_BUCKETS_MAX}."));
    }
    let all = gateway.vault.list_buckets().await.map_err(from_storage)?;
    let elsewhere = input.bucket_region.is_some_and(|region| region != gateway.config.region);
    let mut found = all.into_iter().filter(|bucket| {
        !elsewhere
            && (caller.root || bucket.tenant == caller.tenant)
            && caller.may_anything(&bucket.name)
            && bucket.name.starts_with(&prefix)
            && bucket.name > after
    });
    let page: Vec<BucketCreated> = found.by_ref().take(usize::try_from(max).unwrap_or(usize::MAX)).collect();
    let more = found.next().is_some();
    Ok(S3Response::new(ListBucketsOutput {
        continuation_token: page.last().filter(|_| more).map(|last| token(&last.name)),
        buckets: Some(page.into_iter().map(|bucket| shown(bucket, &gateway.config)).collect()),
        owner: Some(owner(caller.tenant)),
        prefix: Some(prefix).filter(|prefix| !prefix.is_empty()),
    }))
}

fn shown(bucket: BucketCreated, config: &S3Config) -> Bucket {
    Bucket {
        name: Some(bucket.name),
        creation_date: Some(timestamp(bucket.created_at)),
        bucket_region: Some(config.region.clone()),
        ..Bucket::default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use kovcheg_format::id::TenantId;
    use s3s::S3ErrorCode;
    use s3s::dto::{BucketLocationConstraint, CreateBucketConfiguration};

    use super::{check_configuration, owner_id};
    use crate::config::S3Config;

    #[test]
    fn owners_have_twelve_digits() {
        assert_eq!(owner_id(TenantId(1)), "000000000001");
        assert_eq!(owner_id(TenantId(u32::MAX)), "004294967295");
    }

    #[test]
    fn the_region_binds_only_when_enforced() {
        let asked = CreateBucketConfiguration {
            location_constraint: Some(BucketLocationConstraint::from("eu-west-1".to_owned())),
            ..CreateBucketConfiguration::default()
        };
        let free = S3Config::default();
        assert!(check_configuration(&free, Some(&asked)).is_ok());
        let strict = S3Config { region_enforced: true, ..free };
        let error = check_configuration(&strict, Some(&asked)).unwrap_err();
        assert_eq!(error.code(), &S3ErrorCode::InvalidLocationConstraint);
        assert!(check_configuration(&strict, None).is_ok());
    }
}
