//! Buckets with what they hold and may hold, as the admin API says them.

use kovcheg_storage::object::types::BucketStatus;
use serde::{Deserialize, Serialize};

/// A bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// Id of the tenant that owns it.
    pub tenant: u32,
    /// Object versions, delete markers included.
    pub versions: u64,
    /// Bytes of all versions, noncurrent ones too, as clients count them.
    pub bytes: u64,
    /// Bytes of the parts of open uploads.
    pub upload_bytes: u64,
    /// Most bytes of both; `None` for as much as there is room for.
    pub quota_bytes: Option<u64>,
}

impl From<BucketStatus> for Bucket {
    fn from(status: BucketStatus) -> Self {
        let BucketStatus { bucket, usage, quota } = status;
        Self {
            name: bucket.name,
            tenant: bucket.tenant.0,
            versions: usage.versions,
            bytes: usage.bytes,
            upload_bytes: usage.upload_bytes,
            quota_bytes: quota,
        }
    }
}

/// A quota to be set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewQuota {
    /// The bucket.
    pub bucket: String,
    /// Most bytes; `None` takes the quota away.
    pub bytes: Option<u64>,
}
