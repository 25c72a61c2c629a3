//! Settings of the S3 gateway: plain data, composed and validated by the binary.

use std::time::Duration;

/// Most keys of one listing page and of one `DeleteObjects` request (S3).
pub const PAGE_KEYS_MAX: usize = 1000;
/// Most parts of one `ListParts` page (S3).
pub const PAGE_PARTS_MAX: usize = 1000;
/// Most bytes of names and values of user metadata together (S3).
pub const METADATA_BYTES_MAX: usize = 2048;
/// Most bytes of an XML request body: `DeleteObjects` with 1,000 keys of 1,024 bytes, every byte escaped, needs 7 MiB.
pub const XML_BYTES_MAX: usize = 8 << 20;

/// How the S3 listener behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Config {
    /// Region named in answers. Requests signed for another region are taken unless `region_enforced`.
    pub region: String,
    /// Refuse signatures made for another region.
    pub region_enforced: bool,
    /// Base domain for virtual-hosted style (`bucket.domain`); `None` for path style only.
    pub domain: Option<String>,
    /// Most open connections. Those above are answered 503 `SlowDown` and closed.
    pub connections_max: usize,
    /// Most requests in progress, bodies included. Those above are answered 503 `SlowDown`.
    pub requests_max: usize,
    /// A request's head must be complete within this time; also how long an idle connection is kept.
    pub head_timeout: Duration,
    /// A body, in either direction, may stand still for this long.
    pub body_idle_timeout: Duration,
    /// Requests in progress at shutdown have this long to end.
    pub shutdown_deadline: Duration,
    /// Most bytes of one signed `aws-chunked` chunk: it must be held in memory until its signature was checked.
    pub signed_chunk_bytes_max: usize,
    /// Bytes of memory for large signed chunks of all requests together; a request waits for its share. At least
    /// `signed_chunk_bytes_max`.
    pub signed_chunk_memory: usize,
    /// Bytes of memory for the bodies of all requests on their way in; a request waits for its share, of at most
    /// [`BODY_BYTES_MAX`](crate::s3::admission::BODY_BYTES_MAX).
    pub body_memory: usize,
    /// Most bytes of one `PutObject` or `UploadPart` (S3: 5 GiB).
    pub put_bytes_max: u64,
    /// How much of a refused request's body is read and thrown away, so that the client gets to read the answer.
    pub drain_bytes_max: u64,
    /// For how long.
    pub drain_time_max: Duration,
}

impl Default for S3Config {
    fn default() -> Self {
        Self {
            region: "us-east-1".to_owned(),
            region_enforced: false,
            domain: None,
            connections_max: 4096,
            requests_max: 1024,
            head_timeout: Duration::from_secs(60),
            body_idle_timeout: Duration::from_secs(60),
            shutdown_deadline: Duration::from_secs(20),
            signed_chunk_bytes_max: 64 << 20,
            signed_chunk_memory: 512 << 20,
            body_memory: 512 << 20,
            put_bytes_max: 5 << 30,
            drain_bytes_max: 64 << 20,
            drain_time_max: Duration::from_secs(20),
        }
    }
}
