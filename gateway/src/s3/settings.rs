//! Settings of buckets, as far as they can be read: what holds for every bucket of this vault, and for the rest that nothing was set.
//! Tools ask before they work, and take S3's "nothing was set" for an answer where they would take 501 for a broken server.

use http::StatusCode;
use s3s::dto::{
    DeleteBucketEncryptionInput, DeleteBucketEncryptionOutput, GetBucketAccelerateConfigurationInput,
    GetBucketAccelerateConfigurationOutput, GetBucketAclInput, GetBucketAclOutput, GetBucketCorsInput,
    GetBucketCorsOutput, GetBucketEncryptionInput, GetBucketEncryptionOutput, GetBucketLoggingInput,
    GetBucketLoggingOutput, GetBucketNotificationConfigurationInput, GetBucketNotificationConfigurationOutput,
    GetBucketPolicyInput, GetBucketPolicyOutput, GetBucketReplicationInput, GetBucketReplicationOutput,
    GetBucketRequestPaymentInput, GetBucketRequestPaymentOutput, GetBucketTaggingInput, GetBucketTaggingOutput,
    GetBucketWebsiteInput, GetBucketWebsiteOutput, GetObjectAclInput, GetObjectAclOutput, Grant, Grantee, Owner, Payer,
    Permission, PutBucketEncryptionInput, PutBucketEncryptionOutput, ServerSideEncryption,
    ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration, ServerSideEncryptionRule, Type,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use crate::error::{coded, from_storage};
use crate::s3::bucket::owner;
use crate::s3::object::find;
use crate::s3::service::Gateway;

/// Settings that no bucket has: each answers with S3's code for it, once the bucket is known to be there.
macro_rules! never_set {
    ($($(#[$doc:meta])* $name:ident: $input:ty => $output:ty = $code:literal, $what:literal;)*) => {
        $(
            $(#[$doc])*
            pub(crate) async fn $name(gateway: &Gateway, req: S3Request<$input>) -> S3Result<S3Response<$output>> {
                gateway.vault.bucket(&req.input.bucket).await.map_err(from_storage)?;
                Err(coded($code, StatusCode::NOT_FOUND, concat!("The bucket has no ", $what, ".")))
            }
        )*
    };
}

never_set! {
    /// `GetBucketPolicy`.
    policy: GetBucketPolicyInput => GetBucketPolicyOutput = "NoSuchBucketPolicy", "bucket policy";
    /// `GetBucketCors`.
    cors: GetBucketCorsInput => GetBucketCorsOutput = "NoSuchCORSConfiguration", "CORS configuration";
    /// `GetBucketTagging`.
    tagging: GetBucketTaggingInput => GetBucketTaggingOutput = "NoSuchTagSet", "tags";
    /// `GetBucketWebsite`.
    website: GetBucketWebsiteInput => GetBucketWebsiteOutput = "NoSuchWebsiteConfiguration", "website configuration";
    /// `GetBucketReplication`.
    replication: GetBucketReplicationInput => GetBucketReplicationOutput =
        "ReplicationConfigurationNotFoundError", "replication configuration";
}

/// Settings whose answer is the same for every bucket.
macro_rules! always {
    ($($(#[$doc:meta])* $name:ident: $input:ty => $output:ty = $value:expr;)*) => {
        $(
            $(#[$doc])*
            pub(crate) async fn $name(gateway: &Gateway, req: S3Request<$input>) -> S3Result<S3Response<$output>> {
                gateway.vault.bucket(&req.input.bucket).await.map_err(from_storage)?;
                Ok(S3Response::new($value))
            }
        )*
    };
}

always! {
    /// `GetBucketLogging`: none.
    logging: GetBucketLoggingInput => GetBucketLoggingOutput = GetBucketLoggingOutput::default();
    /// `GetBucketNotificationConfiguration`: none.
    notification: GetBucketNotificationConfigurationInput => GetBucketNotificationConfigurationOutput =
        GetBucketNotificationConfigurationOutput::default();
    /// `GetBucketAccelerateConfiguration`: never enabled.
    accelerate: GetBucketAccelerateConfigurationInput => GetBucketAccelerateConfigurationOutput =
        GetBucketAccelerateConfigurationOutput::default();
    /// `GetBucketRequestPayment`: nobody else pays.
    request_payment: GetBucketRequestPaymentInput => GetBucketRequestPaymentOutput =
        GetBucketRequestPaymentOutput { payer: Some(Payer::from_static(Payer::BUCKET_OWNER)) };
    /// `GetBucketEncryption`: everything is sealed with the vault's own keys, which S3 calls `AES256`.
    encryption: GetBucketEncryptionInput => GetBucketEncryptionOutput = sealed_by_default();
}

fn sealed_by_default() -> GetBucketEncryptionOutput {
    let by_default = ServerSideEncryptionByDefault {
        sse_algorithm: ServerSideEncryption::from_static(ServerSideEncryption::AES256),
        kms_master_key_id: None,
    };
    let rule = ServerSideEncryptionRule {
        apply_server_side_encryption_by_default: Some(by_default),
        blocked_encryption_types: None,
        bucket_key_enabled: None,
    };
    let configuration = ServerSideEncryptionConfiguration { rules: vec![rule] };
    GetBucketEncryptionOutput { server_side_encryption_configuration: Some(configuration) }
}

/// `PutBucketEncryption`: who asks for what holds anyway may; everything else is refused, as nobody would seal by it.
pub(crate) async fn set_encryption(
    gateway: &Gateway,
    req: S3Request<PutBucketEncryptionInput>,
) -> S3Result<S3Response<PutBucketEncryptionOutput>> {
    gateway.vault.bucket(&req.input.bucket).await.map_err(from_storage)?;
    let rules = req.input.server_side_encryption_configuration.rules;
    if rules.len() == 1 && rules.iter().all(holds_anyway) {
        return Ok(S3Response::new(PutBucketEncryptionOutput {}));
    }
    Err(s3_error!(
        NotImplemented,
        "Everything is sealed with the vault's own keys (AES256); there is no other encryption."
    ))
}

fn holds_anyway(rule: &ServerSideEncryptionRule) -> bool {
    let own = |default: &ServerSideEncryptionByDefault| {
        default.sse_algorithm.as_str() == ServerSideEncryption::AES256 && default.kms_master_key_id.is_none()
    };
    rule.apply_server_side_encryption_by_default.as_ref().is_some_and(own) && rule.bucket_key_enabled != Some(true)
}

/// `DeleteBucketEncryption`: back to the default, which is all there is.
pub(crate) async fn delete_encryption(
    gateway: &Gateway,
    req: S3Request<DeleteBucketEncryptionInput>,
) -> S3Result<S3Response<DeleteBucketEncryptionOutput>> {
    gateway.vault.bucket(&req.input.bucket).await.map_err(from_storage)?;
    Ok(S3Response::new(DeleteBucketEncryptionOutput {}))
}

/// The one grant there is: everything, to the owner.
fn all_to(owner: &Owner) -> Vec<Grant> {
    let grantee = Grantee {
        display_name: owner.display_name.clone(),
        email_address: None,
        id: owner.id.clone(),
        type_: Type::from_static(Type::CANONICAL_USER),
        uri: None,
    };
    vec![Grant { grantee: Some(grantee), permission: Some(Permission::from_static(Permission::FULL_CONTROL)) }]
}

/// `GetBucketAcl`: all to the owner.
pub(crate) async fn bucket_acl(
    gateway: &Gateway,
    req: S3Request<GetBucketAclInput>,
) -> S3Result<S3Response<GetBucketAclOutput>> {
    let owner = owner(gateway.vault.bucket(&req.input.bucket).await.map_err(from_storage)?.tenant);
    Ok(S3Response::new(GetBucketAclOutput { grants: Some(all_to(&owner)), owner: Some(owner) }))
}

/// `GetObjectAcl`: all to the owner of the bucket.
pub(crate) async fn object_acl(
    gateway: &Gateway,
    req: S3Request<GetObjectAclInput>,
) -> S3Result<S3Response<GetObjectAclOutput>> {
    let input = req.input;
    let owner = owner(gateway.vault.bucket(&input.bucket).await.map_err(from_storage)?.tenant);
    find(gateway, &input.bucket, &input.key, input.version_id.as_deref()).await?;
    let grants = Some(all_to(&owner));
    Ok(S3Response::new(GetObjectAclOutput { grants, owner: Some(owner), ..GetObjectAclOutput::default() }))
}
