//! The S3 trait of `s3s`, one line per operation, and the builder of the whole service. Operations that are not here answer
//! 501 `NotImplemented` with their name.

use std::sync::Arc;

use async_trait::async_trait;
use http::{Extensions, HeaderMap, HeaderValue, Method, Uri};
use kovcheg_format::id::{RequestId, TenantId};
use kovcheg_format::record::audit::Origin;
use kovcheg_storage::handle::VaultHandle;
use kovcheg_storage::object::types::Credential;
use s3s::config::{S3Config as ProtocolConfig, StaticConfigProvider};
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput, CompleteMultipartUploadOutput,
    CopyObjectInput, CopyObjectOutput, CreateBucketInput, CreateBucketOutput, CreateMultipartUploadInput,
    CreateMultipartUploadOutput, DeleteBucketEncryptionInput, DeleteBucketEncryptionOutput, DeleteBucketInput,
    DeleteBucketLifecycleInput, DeleteBucketLifecycleOutput, DeleteBucketOutput, DeleteObjectInput, DeleteObjectOutput,
    DeleteObjectTaggingInput, DeleteObjectTaggingOutput, DeleteObjectsInput, DeleteObjectsOutput,
    GetBucketAccelerateConfigurationInput, GetBucketAccelerateConfigurationOutput, GetBucketAclInput,
    GetBucketAclOutput, GetBucketCorsInput, GetBucketCorsOutput, GetBucketEncryptionInput, GetBucketEncryptionOutput,
    GetBucketLifecycleConfigurationInput, GetBucketLifecycleConfigurationOutput, GetBucketLocationInput,
    GetBucketLocationOutput, GetBucketLoggingInput, GetBucketLoggingOutput, GetBucketNotificationConfigurationInput,
    GetBucketNotificationConfigurationOutput, GetBucketPolicyInput, GetBucketPolicyOutput, GetBucketReplicationInput,
    GetBucketReplicationOutput, GetBucketRequestPaymentInput, GetBucketRequestPaymentOutput, GetBucketTaggingInput,
    GetBucketTaggingOutput, GetBucketVersioningInput, GetBucketVersioningOutput, GetBucketWebsiteInput,
    GetBucketWebsiteOutput, GetObjectAclInput, GetObjectAclOutput, GetObjectAttributesInput, GetObjectAttributesOutput,
    GetObjectInput, GetObjectLegalHoldInput, GetObjectLegalHoldOutput, GetObjectLockConfigurationInput,
    GetObjectLockConfigurationOutput, GetObjectOutput, GetObjectRetentionInput, GetObjectRetentionOutput,
    GetObjectTaggingInput, GetObjectTaggingOutput, HeadBucketInput, HeadBucketOutput, HeadObjectInput,
    HeadObjectOutput, ListBucketsInput, ListBucketsOutput, ListMultipartUploadsInput, ListMultipartUploadsOutput,
    ListObjectVersionsInput, ListObjectVersionsOutput, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input,
    ListObjectsV2Output, ListPartsInput, ListPartsOutput, PostObjectInput, PostObjectOutput, PutBucketEncryptionInput,
    PutBucketEncryptionOutput, PutBucketLifecycleConfigurationInput, PutBucketLifecycleConfigurationOutput,
    PutBucketVersioningInput, PutBucketVersioningOutput, PutObjectInput, PutObjectLegalHoldInput,
    PutObjectLegalHoldOutput, PutObjectLockConfigurationInput, PutObjectLockConfigurationOutput, PutObjectOutput,
    PutObjectRetentionInput, PutObjectRetentionOutput, PutObjectTaggingInput, PutObjectTaggingOutput,
    UploadPartCopyInput, UploadPartCopyOutput, UploadPartInput, UploadPartOutput,
};
use s3s::host::{DomainError, SingleDomain};
use s3s::region::Region;
use s3s::route::S3Route;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::xml::{Serialize as _, Serializer};
use s3s::{Body, S3, S3Error, S3Request, S3Response, S3Result, s3_error};

use crate::config::{S3Config, XML_BYTES_MAX};
use crate::error::from_storage;
use crate::s3::auth::Gatekeeper;
use crate::s3::context::Caller;
use crate::s3::md5::Md5Pool;
use crate::s3::names::url_encode;
use crate::s3::{
    attributes, bucket, copy, lifecycle, list, locks, multipart, object, settings, tags, uploads, versions,
};

/// The vault as S3 sees it.
#[derive(Clone)]
pub struct Gateway {
    pub(crate) vault: VaultHandle,
    pub(crate) config: Arc<S3Config>,
    pub(crate) md5: Md5Pool,
}

impl Gateway {
    /// A gateway to `vault`.
    #[must_use]
    pub fn new(vault: VaultHandle, config: Arc<S3Config>) -> Self {
        let md5 = Md5Pool::new(&vault);
        Self { vault, config, md5 }
    }

    /// Who asks, for the journal.
    pub(crate) fn origin<T>(&self, req: &S3Request<T>) -> Origin {
        let access_key = req.credentials.as_ref().map(|found| found.access_key.as_str()).unwrap_or_default();
        match req.extensions.get::<Caller>() {
            Some(caller) => caller.origin(access_key),
            None => Origin { actor: access_key.to_owned(), address: String::new(), request: RequestId::ZERO },
        }
    }

    /// The credential the request was signed with.
    pub(crate) async fn credential<T>(&self, req: &S3Request<T>) -> S3Result<Credential> {
        let denied = || s3_error!(AccessDenied, "Signature is required.");
        let signed = req.credentials.as_ref().ok_or_else(denied)?;
        self.vault.credential(&signed.access_key).await.map_err(from_storage)?.ok_or_else(denied)
    }

    /// The tenant the request acts for.
    pub(crate) async fn tenant<T>(&self, req: &S3Request<T>) -> S3Result<TenantId> {
        Ok(self.credential(req).await?.tenant)
    }

    /// Path of an object as a URI reference, for answers that carry a location.
    pub(crate) fn location(&self, bucket: &str, key: &str) -> String {
        format!("/{bucket}/{}", url_encode(key))
    }
}

/// Hands an operation over to its function.
macro_rules! operations {
    ($($name:ident: $input:ty => $output:ty = $call:path;)*) => {
        /// Every operation of the gateway, by its function.
        #[cfg(test)]
        pub(crate) const OPERATIONS: &[&str] = &[$(stringify!($name)),*];

        #[async_trait]
        impl S3 for Gateway {
            $(async fn $name(&self, req: S3Request<$input>) -> S3Result<S3Response<$output>> {
                $call(self, req).await
            })*
        }
    };
}

operations! {
    create_bucket: CreateBucketInput => CreateBucketOutput = bucket::create;
    head_bucket: HeadBucketInput => HeadBucketOutput = bucket::head;
    delete_bucket: DeleteBucketInput => DeleteBucketOutput = bucket::delete;
    list_buckets: ListBucketsInput => ListBucketsOutput = bucket::list;
    get_bucket_location: GetBucketLocationInput => GetBucketLocationOutput = bucket::location;
    copy_object: CopyObjectInput => CopyObjectOutput = copy::object;
    put_object: PutObjectInput => PutObjectOutput = object::put;
    get_object: GetObjectInput => GetObjectOutput = object::get;
    head_object: HeadObjectInput => HeadObjectOutput = object::head;
    delete_object: DeleteObjectInput => DeleteObjectOutput = object::delete;
    delete_objects: DeleteObjectsInput => DeleteObjectsOutput = object::delete_many;
    list_objects: ListObjectsInput => ListObjectsOutput = list::list_v1;
    list_objects_v2: ListObjectsV2Input => ListObjectsV2Output = list::list_v2;
    create_multipart_upload: CreateMultipartUploadInput => CreateMultipartUploadOutput = multipart::create;
    upload_part: UploadPartInput => UploadPartOutput = multipart::part;
    upload_part_copy: UploadPartCopyInput => UploadPartCopyOutput = copy::part;
    complete_multipart_upload: CompleteMultipartUploadInput => CompleteMultipartUploadOutput = multipart::complete;
    abort_multipart_upload: AbortMultipartUploadInput => AbortMultipartUploadOutput = multipart::abort;
    list_parts: ListPartsInput => ListPartsOutput = multipart::list;
    list_multipart_uploads: ListMultipartUploadsInput => ListMultipartUploadsOutput = uploads::list;
    get_bucket_versioning: GetBucketVersioningInput => GetBucketVersioningOutput = versions::get;
    put_bucket_versioning: PutBucketVersioningInput => PutBucketVersioningOutput = versions::set;
    list_object_versions: ListObjectVersionsInput => ListObjectVersionsOutput = versions::list;
    get_bucket_acl: GetBucketAclInput => GetBucketAclOutput = settings::bucket_acl;
    get_object_acl: GetObjectAclInput => GetObjectAclOutput = settings::object_acl;
    get_bucket_policy: GetBucketPolicyInput => GetBucketPolicyOutput = settings::policy;
    get_bucket_cors: GetBucketCorsInput => GetBucketCorsOutput = settings::cors;
    get_bucket_lifecycle_configuration:
        GetBucketLifecycleConfigurationInput => GetBucketLifecycleConfigurationOutput = lifecycle::get;
    put_bucket_lifecycle_configuration:
        PutBucketLifecycleConfigurationInput => PutBucketLifecycleConfigurationOutput = lifecycle::put;
    delete_bucket_lifecycle: DeleteBucketLifecycleInput => DeleteBucketLifecycleOutput = lifecycle::delete;
    get_bucket_tagging: GetBucketTaggingInput => GetBucketTaggingOutput = settings::tagging;
    get_bucket_website: GetBucketWebsiteInput => GetBucketWebsiteOutput = settings::website;
    get_bucket_replication: GetBucketReplicationInput => GetBucketReplicationOutput = settings::replication;
    get_object_lock_configuration:
        GetObjectLockConfigurationInput => GetObjectLockConfigurationOutput = locks::configuration;
    put_object_lock_configuration:
        PutObjectLockConfigurationInput => PutObjectLockConfigurationOutput = locks::configure;
    get_object_retention: GetObjectRetentionInput => GetObjectRetentionOutput = locks::get_retention;
    put_object_retention: PutObjectRetentionInput => PutObjectRetentionOutput = locks::set_retention;
    get_object_legal_hold: GetObjectLegalHoldInput => GetObjectLegalHoldOutput = locks::get_hold;
    get_object_attributes: GetObjectAttributesInput => GetObjectAttributesOutput = attributes::get;
    get_object_tagging: GetObjectTaggingInput => GetObjectTaggingOutput = tags::get;
    put_object_tagging: PutObjectTaggingInput => PutObjectTaggingOutput = tags::put;
    delete_object_tagging: DeleteObjectTaggingInput => DeleteObjectTaggingOutput = tags::delete;
    put_object_legal_hold: PutObjectLegalHoldInput => PutObjectLegalHoldOutput = locks::set_hold;
    get_bucket_encryption: GetBucketEncryptionInput => GetBucketEncryptionOutput = settings::encryption;
    put_bucket_encryption: PutBucketEncryptionInput => PutBucketEncryptionOutput = settings::set_encryption;
    delete_bucket_encryption:
        DeleteBucketEncryptionInput => DeleteBucketEncryptionOutput = settings::delete_encryption;
    get_bucket_logging: GetBucketLoggingInput => GetBucketLoggingOutput = settings::logging;
    get_bucket_notification_configuration:
        GetBucketNotificationConfigurationInput => GetBucketNotificationConfigurationOutput = settings::notification;
    get_bucket_accelerate_configuration:
        GetBucketAccelerateConfigurationInput => GetBucketAccelerateConfigurationOutput = settings::accelerate;
    get_bucket_request_payment: GetBucketRequestPaymentInput => GetBucketRequestPaymentOutput = settings::request_payment;
    post_object: PostObjectInput => PostObjectOutput = no_forms;
}

/// Form uploads would otherwise fall back to `PutObject`.
async fn no_forms(_gateway: &Gateway, _req: S3Request<PostObjectInput>) -> S3Result<S3Response<PostObjectOutput>> {
    Err(s3_error!(NotImplemented, "Uploads by HTML form are not supported."))
}

/// `GET //`, which some clients send for `ListBuckets`.
struct DoubleSlash(Gateway);

#[async_trait]
impl S3Route for DoubleSlash {
    fn is_match(&self, method: &Method, uri: &Uri, _headers: &HeaderMap, _extensions: &mut Extensions) -> bool {
        method == Method::GET && uri.path() == "//"
    }

    async fn call(&self, req: S3Request<Body>) -> S3Result<S3Response<Body>> {
        if let (Some(caller), Some(signed)) = (req.extensions.get::<Caller>(), &req.credentials) {
            caller.set_operation("ListBuckets");
            caller.set_actor(&signed.access_key);
        }
        let listed = bucket::list(&self.0, req.map_input(|_| ListBucketsInput::default())).await?.output;
        let mut xml = Vec::new();
        let mut serializer = Serializer::new(&mut xml);
        serializer.decl().and_then(|()| listed.serialize(&mut serializer)).map_err(S3Error::internal_error)?;
        let mut headers = HeaderMap::new();
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        Ok(S3Response::with_headers(Body::from(xml), headers))
    }
}

/// Why a service cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The base domain is none.
    #[error("the domain {domain} of the S3 listener is not valid: {source}")]
    Domain {
        /// As configured.
        domain: String,
        /// Cause.
        #[source]
        source: DomainError,
    },
    /// The region is none.
    #[error("the region {region} of the S3 listener is not valid; use lower-case letters, digits and dashes")]
    Region {
        /// As configured.
        region: String,
    },
}

/// Checks what `s3s` would refuse of the settings, before anything is opened or made.
///
/// # Errors
/// [`BuildError`].
pub fn check(config: &S3Config) -> Result<(), BuildError> {
    host(config)?;
    protocol(config).map(|_| ())
}

/// Builds the service. Authentication is always on: without it `s3s` would let everybody in.
///
/// # Errors
/// [`BuildError`] for settings that `s3s` refuses.
pub fn build(vault: VaultHandle, config: &Arc<S3Config>) -> Result<S3Service, BuildError> {
    let gateway = Gateway::new(vault.clone(), Arc::clone(config));
    let gatekeeper = Gatekeeper::new(vault);
    let mut builder = S3ServiceBuilder::new(gateway.clone());
    builder.set_auth(gatekeeper.clone());
    builder.set_access(gatekeeper);
    builder.set_route(DoubleSlash(gateway));
    builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(protocol(config)?))));
    if let Some(host) = host(config)? {
        builder.set_host(host);
    }
    Ok(builder.build())
}

fn host(config: &S3Config) -> Result<Option<SingleDomain>, BuildError> {
    let Some(domain) = &config.domain else { return Ok(None) };
    let host = SingleDomain::new(domain).map_err(|source| BuildError::Domain { domain: domain.clone(), source })?;
    Ok(Some(host.with_cname_fallback(false)))
}

fn protocol(config: &S3Config) -> Result<ProtocolConfig, BuildError> {
    let mut protocol = ProtocolConfig::default();
    protocol.xml_max_body_size = XML_BYTES_MAX;
    protocol.put_object_max_size = Some(config.put_bytes_max);
    protocol.aws_chunked_stream_max_chunk_size = config.signed_chunk_bytes_max;
    protocol.enable_sig_v2 = false;
    protocol.sig_v4_allowed_services = vec!["s3".to_owned()];
    // Forms are refused before `s3s` sees them; these bounds hold even if that changes.
    protocol.allow_post_signature = false;
    protocol.post_object_max_file_size = 1;
    protocol.form_max_fields_size = 64 << 10;
    protocol.form_max_field_size = 64 << 10;
    protocol.custom_route_max_body_size = Some(0);
    let region =
        Region::new(config.region.clone().into()).map_err(|_| BuildError::Region { region: config.region.clone() })?;
    protocol.expected_region = config.region_enforced.then_some(region);
    Ok(protocol)
}
