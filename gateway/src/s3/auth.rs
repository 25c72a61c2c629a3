//! Who may ask: the secrets that signatures are checked with, and the checks that come before any operation.

use async_trait::async_trait;
use http::{HeaderMap, Uri};
use kovcheg_storage::error::StorageError;
use kovcheg_storage::handle::VaultHandle;
use kovcheg_storage::object::types::Credential;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::path::S3Path;
use s3s::{S3Result, s3_error};

use crate::error::from_storage;
use crate::s3::bucket::owner_id;
use crate::s3::context::Caller;
use crate::s3::headers::{refuse_framed_document, refuse_stray_copy, refuse_unsupported};
use crate::s3::hoisted::{expected_owners, refuse_ignored};
use crate::s3::locks::refuse_stray_locks;
use crate::s3::rights::{Needed, needed};

/// Checks signatures' owners and their right to a bucket. Refusals reach the audit trail in `layer`, which sees them all.
#[derive(Clone)]
pub struct Gatekeeper {
    vault: VaultHandle,
}

impl Gatekeeper {
    /// A gatekeeper of `vault`.
    #[must_use]
    pub fn new(vault: VaultHandle) -> Self {
        Self { vault }
    }

    /// Root reaches every bucket; others those of their tenant, as far as was granted. `x-amz-expected-bucket-owner` binds everybody.
    async fn check_bucket(&self, access_key: &str, asked: &Asked<'_>) -> S3Result<()> {
        let root = access_key == self.vault.root_access_key();
        if root && asked.expected_owners.is_empty() {
            return Ok(());
        }
        let credential = match root {
            true => None,
            false => self.vault.credential(access_key).await.map_err(from_storage)?,
        };
        // Before anything is said of the bucket: what was not granted is not learned.
        if !root && !credential.as_ref().is_some_and(|credential| is_granted(credential, asked)) {
            return Err(s3_error!(AccessDenied, "This access key was not granted {} in this bucket.", asked.operation));
        }
        let bucket = match self.vault.bucket(asked.bucket).await {
            Ok(bucket) => bucket,
            // The operation itself answers for a bucket that is not there, or makes it.
            Err(StorageError::NoSuchBucket(_)) => return Ok(()),
            Err(error) => return Err(from_storage(error)),
        };
        if asked.expected_owners.iter().any(|expected| *expected != owner_id(bucket.tenant)) {
            return Err(s3_error!(AccessDenied, "The bucket does not belong to the expected owner."));
        }
        match credential {
            None => Ok(()),
            Some(credential) if credential.root || credential.tenant == bucket.tenant => Ok(()),
            // Its owner answers for it: the name is taken.
            Some(_) if asked.operation == "CreateBucket" => Ok(()),
            Some(_) => Err(s3_error!(AccessDenied, "The bucket belongs to another tenant.")),
        }
    }

    /// Whether `host` names a bucket of this vault in front of a domain, while only path style is set up. Such a request
    /// must not be taken for one about the root (or for a bucket named like the key).
    async fn is_foreign_host_style(&self, headers: &HeaderMap) -> bool {
        let Some(host) = headers.get(http::header::HOST).and_then(|host| host.to_str().ok()) else {
            return false;
        };
        match bucket_of_host(host) {
            // Hosts are of any case, buckets of lower case.
            Some(name) => self.vault.bucket(&name.to_ascii_lowercase()).await.is_ok(),
            None => false,
        }
    }
}

/// What a request asks of a bucket.
struct Asked<'a> {
    operation: &'a str,
    bucket: &'a str,
    expected_owners: &'a [String],
}

fn is_granted(credential: &Credential, asked: &Asked<'_>) -> bool {
    match needed(asked.operation) {
        Needed::Right(right) => credential.may(asked.bucket, right),
        Needed::Any => credential.may_anything(asked.bucket),
        Needed::Root => credential.root,
    }
}

/// The first label of a host with at least three of them that is no address.
fn bucket_of_host(host: &str) -> Option<&str> {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if name.starts_with('[') || name.parse::<std::net::IpAddr>().is_ok() {
        return None;
    }
    let (first, rest) = name.split_once('.')?;
    (rest.contains('.') || rest == "localhost").then_some(first)
}

/// Whether a request on the root asks for something that only buckets have.
fn has_bucket_query(uri: &Uri) -> bool {
    const OF_ROOT: [&str; 6] = ["x-id", "max-buckets", "prefix", "continuation-token", "bucket-region", ""];
    let keys = uri.query().unwrap_or_default().split('&').map(|pair| pair.split('=').next().unwrap_or_default());
    keys.into_iter().any(|key| !OF_ROOT.contains(&key) && !key.to_ascii_lowercase().starts_with("x-amz-"))
}

const HOST_STYLE_HINT: &str = "The Host header names a bucket, and this endpoint is set up for path style; \
    use path-style addressing, or set the domain of the S3 listener.";

#[async_trait]
impl S3Auth for Gatekeeper {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        match self.vault.credential(access_key).await.map_err(from_storage)? {
            Some(credential) => Ok(SecretKey::from(credential.secret.as_str())),
            None => Err(s3_error!(InvalidAccessKeyId, "The access key id you provided does not exist in our records.")),
        }
    }
}

#[async_trait]
impl S3Access for Gatekeeper {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let operation = cx.s3_op().name().to_owned();
        if let Some(caller) = cx.extensions_mut().get::<Caller>() {
            caller.set_operation(&operation);
        }
        let Some(access_key) = cx.credentials().map(|credentials| credentials.access_key.clone()) else {
            return Err(s3_error!(AccessDenied, "Anonymous requests are not allowed; sign the request."));
        };
        if let Some(caller) = cx.extensions_mut().get::<Caller>() {
            caller.set_actor(&access_key);
        }
        refuse_unsupported(cx.headers())?;
        refuse_stray_copy(&operation, cx.headers())?;
        refuse_stray_locks(&operation, cx.headers())?;
        refuse_framed_document(&operation, cx.headers())?;
        refuse_ignored(cx.method(), cx.uri())?;
        let expected = expected_owners(cx.headers(), cx.uri());
        match cx.s3_path() {
            S3Path::Root if has_bucket_query(cx.uri()) || self.is_foreign_host_style(cx.headers()).await => {
                Err(s3_error!(NotImplemented, "{HOST_STYLE_HINT}"))
            }
            S3Path::Root => Ok(()),
            S3Path::Bucket { bucket } => {
                let shapes = matches!(operation.as_str(), "CreateBucket" | "DeleteBucket");
                if shapes && self.is_foreign_host_style(cx.headers()).await {
                    return Err(s3_error!(NotImplemented, "{HOST_STYLE_HINT}"));
                }
                let asked = Asked { operation: &operation, bucket, expected_owners: &expected };
                self.check_bucket(&access_key, &asked).await
            }
            S3Path::Object { bucket, .. } => {
                let asked = Asked { operation: &operation, bucket, expected_owners: &expected };
                self.check_bucket(&access_key, &asked).await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Uri;

    use super::{bucket_of_host, has_bucket_query};

    #[test]
    fn addresses_and_plain_hosts_name_no_bucket() {
        for host in ["127.0.0.1:9000", "10.0.0.1", "[::1]:9000", "localhost:9000", "vault", "vault.lan", "s3.lan:9000"]
        {
            assert_eq!(bucket_of_host(host), None, "{host}");
        }
        assert_eq!(bucket_of_host("backups.s3.example.com:9000"), Some("backups"));
        assert_eq!(bucket_of_host("backups.localhost:9000"), Some("backups"));
    }

    #[test]
    fn listing_a_bucket_is_not_listing_buckets() {
        let asks = |uri: &'static str| has_bucket_query(&Uri::from_static(uri));
        for of_bucket in ["/?list-type=2", "/?location", "/?prefix=a&delimiter=%2F", "/?uploads", "/?versioning="] {
            assert!(asks(of_bucket), "{of_bucket}");
        }
        for of_root in ["/", "/?x-id=ListBuckets", "/?max-buckets=1&X-Amz-Signature=00&X-Amz-Date=x", "/?prefix=a"] {
            assert!(!asks(of_root), "{of_root}");
        }
    }
}
