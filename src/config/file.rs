//! What stands in `kovcheg.toml`: every key, with its default. Values are checked in the parent.
//!
//! Defaults of the engine and the gateway are theirs; this file only gives them names.

use std::path::PathBuf;

use kovcheg_gateway::config::S3Config;
use kovcheg_storage::config::EngineConfig;
use kovcheg_storage::disk::open::DriverChoice;
use serde::{Deserialize, Serialize};

use super::units::ByteSize;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileConfig {
    /// The vault.
    pub vault: VaultSection,
    /// S3.
    pub s3: S3Section,
    /// Health and metrics.
    pub admin: AdminSection,
    /// The engine.
    pub engine: EngineSection,
    /// Logs.
    pub log: LogSection,
    /// Disks.
    pub disk: Vec<DiskEntry>,
}

impl Default for FileConfig {
    fn default() -> Self {
        Self {
            vault: VaultSection::default(),
            s3: S3Section::default(),
            admin: AdminSection::default(),
            engine: EngineSection::default(),
            log: LogSection::default(),
            disk: (0..6).map(|number| DiskEntry::at(&format!("disk{number}"))).collect(),
        }
    }
}

/// `[vault]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VaultSection {
    /// Folder of the vault: socket, credentials file, and whatever is given by a relative path.
    pub data_dir: PathBuf,
    /// Folder of the index.
    pub index_dir: PathBuf,
    /// File of the root key.
    pub key_file: PathBuf,
    /// Data shards of a stripe.
    pub k: u8,
    /// Parity shards of a stripe.
    pub m: u8,
    /// Open for writing with fewer disks than are safe.
    pub force_missing: bool,
}

impl Default for VaultSection {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./kovcheg-data"),
            index_dir: PathBuf::from("index"),
            key_file: PathBuf::from("root.key"),
            k: 4,
            m: 2,
            force_missing: false,
        }
    }
}

/// `[[disk]]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiskEntry {
    /// Folder.
    pub path: PathBuf,
    /// Machine.
    pub host: String,
    /// Enclosure or shelf.
    pub enclosure: String,
    /// Site or data centre.
    pub site: String,
    /// ISO 3166-1 alpha-2 country.
    pub country: String,
}

impl DiskEntry {
    fn at(path: &str) -> Self {
        Self { path: PathBuf::from(path), ..Self::default() }
    }
}

/// `[s3]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3Section {
    /// Address of the S3 listener.
    pub listen: String,
    /// Whether plain HTTP may be served beyond loopback.
    pub allow_plain_http: bool,
    /// File of the certificate; empty for plain HTTP.
    pub tls_cert: PathBuf,
    /// File of its private key.
    pub tls_key: PathBuf,
    /// Region.
    pub region: String,
    /// Refuse signatures for other regions.
    pub region_enforced: bool,
    /// Base domain of virtual-hosted style; empty for path style only.
    pub domain: String,
    /// Most open connections.
    pub connections_max: usize,
    /// Most requests in progress.
    pub requests_max: usize,
    /// Seconds for a request's head.
    pub head_timeout_s: u64,
    /// Seconds a body may stand still.
    pub body_idle_timeout_s: u64,
    /// Seconds for requests in progress at shutdown.
    pub shutdown_deadline_s: u64,
    /// Most bytes of one put or part.
    pub put_size_max: ByteSize,
    /// Most bytes of one signed chunk.
    pub signed_chunk_size_max: ByteSize,
    /// Memory for large signed chunks.
    pub signed_chunk_memory: ByteSize,
    /// Memory for bodies on their way in.
    pub body_memory: ByteSize,
}

impl Default for S3Section {
    fn default() -> Self {
        let s3 = S3Config::default();
        Self {
            listen: "127.0.0.1:9000".to_owned(),
            allow_plain_http: false,
            tls_cert: PathBuf::new(),
            tls_key: PathBuf::new(),
            region: s3.region,
            region_enforced: s3.region_enforced,
            domain: s3.domain.unwrap_or_default(),
            connections_max: s3.connections_max,
            requests_max: s3.requests_max,
            head_timeout_s: s3.head_timeout.as_secs(),
            body_idle_timeout_s: s3.body_idle_timeout.as_secs(),
            shutdown_deadline_s: s3.shutdown_deadline.as_secs(),
            put_size_max: ByteSize(s3.put_bytes_max),
            signed_chunk_size_max: ByteSize(s3.signed_chunk_bytes_max as u64),
            signed_chunk_memory: ByteSize(s3.signed_chunk_memory as u64),
            body_memory: ByteSize(s3.body_memory as u64),
        }
    }
}

/// `[admin]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminSection {
    /// Address of health and metrics.
    pub listen: String,
}

impl Default for AdminSection {
    fn default() -> Self {
        Self { listen: "127.0.0.1:9001".to_owned() }
    }
}

/// How disks are driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Driver {
    /// io_uring with O_DIRECT where the host grants both, else plain.
    Auto,
    /// Threads.
    Plain,
    /// io_uring with O_DIRECT or nothing.
    Uring,
}

impl From<DriverChoice> for Driver {
    fn from(choice: DriverChoice) -> Self {
        match choice {
            DriverChoice::Auto => Self::Auto,
            DriverChoice::Plain => Self::Plain,
            DriverChoice::Uring => Self::Uring,
        }
    }
}

impl From<Driver> for DriverChoice {
    fn from(driver: Driver) -> Self {
        match driver {
            Driver::Auto => Self::Auto,
            Driver::Plain => Self::Plain,
            Driver::Uring => Self::Uring,
        }
    }
}

/// `[engine]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineSection {
    /// How disks are driven.
    pub driver: Driver,
    /// Threads; 0 for one per core.
    pub workers: usize,
    /// Jobs that may wait for a worker.
    pub queue: usize,
    /// Least chunk.
    pub chunk_min: ByteSize,
    /// Chunk aimed at.
    pub chunk_average: ByteSize,
    /// Largest chunk.
    pub chunk_max: ByteSize,
    /// zstd level.
    pub zstd_level: i32,
    /// Payload of a data stripe.
    pub stripe_size: ByteSize,
    /// Shard file at which a segment closes.
    pub segment_size: ByteSize,
    /// Shard file at which a journal file closes.
    pub journal_file_size: ByteSize,
    /// Journal written ahead with zeros.
    pub journal_prewrite: ByteSize,
    /// New data of an object that goes inline.
    pub inline_size: ByteSize,
    /// Open data segments.
    pub open_segments: usize,
    /// Payload at which a commit is full.
    pub commit_size: ByteSize,
    /// Memory that bodies on their way in gather together.
    pub upload_memory: ByteSize,
    /// Memory that reads hold together on their way to clients.
    pub read_memory: ByteSize,
    /// Memory of the index' block cache.
    pub index_cache_memory: ByteSize,
    /// Memory of the index' write buffers.
    pub index_write_memory: ByteSize,
    /// Journal bytes between flushes of the index.
    pub index_flush_size: ByteSize,
    /// Chunk ids in the locality cache.
    pub locality_ids: usize,
    /// Seconds a disk may take for one operation.
    pub io_deadline_s: u64,
    /// Seconds between two walks of the lifecycle worker.
    pub lifecycle_every_s: u64,
}

impl Default for EngineSection {
    fn default() -> Self {
        let engine = EngineConfig::default();
        Self {
            driver: engine.driver.into(),
            workers: 0,
            queue: engine.queue,
            chunk_min: ByteSize(engine.profile.min.into()),
            chunk_average: ByteSize(engine.profile.average.into()),
            chunk_max: ByteSize(engine.profile.max.into()),
            zstd_level: engine.zstd_level,
            stripe_size: ByteSize(engine.stripe_payload.into()),
            segment_size: ByteSize(engine.segment_shard_len),
            journal_file_size: ByteSize(engine.journal_shard_len),
            journal_prewrite: ByteSize(engine.journal_prewrite),
            inline_size: ByteSize(engine.inline_bytes as u64),
            open_segments: engine.open_segments,
            commit_size: ByteSize(engine.commit_bytes as u64),
            upload_memory: ByteSize(engine.upload_bytes as u64),
            read_memory: ByteSize(engine.read_bytes as u64),
            index_cache_memory: ByteSize(engine.index_cache_bytes as u64),
            index_write_memory: ByteSize(engine.index_write_buffer_bytes as u64),
            index_flush_size: ByteSize(engine.index_flush_bytes),
            locality_ids: engine.locality_ids,
            io_deadline_s: engine.io_deadline.as_secs(),
            lifecycle_every_s: engine.lifecycle_every.as_secs(),
        }
    }
}

/// `text` for people, `json` for machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One line of words.
    Text,
    /// One JSON object a line.
    Json,
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSection {
    /// Level, or a filter by module.
    pub level: String,
    /// Form of the lines.
    pub format: LogFormat,
}

impl Default for LogSection {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}
