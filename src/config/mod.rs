//! `kovcheg.toml` and the command line, turned into one checked [`Config`].
//!
//! Paths: `data_dir` is relative to where the process was started; every other relative path is relative to `data_dir`.
//! The command line wins over the file, the file over the defaults. Unknown keys are refused with the nearest known one.

mod check;
pub mod error;
pub mod file;
pub mod units;
pub mod unknown;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kovcheg_format::record::bucket::ChunkProfile;
use kovcheg_format::superblock::FailureDomain;
use kovcheg_gateway::config::S3Config;
use kovcheg_gateway::s3::tls::TlsFiles;
use kovcheg_storage::config::EngineConfig;
use kovcheg_storage::vault::{DiskSpec, OpenOptions};

pub use error::ConfigError;
pub use file::{FileConfig, LogFormat, LogSection};

/// What the command line may say beside the file.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--data`.
    pub data: Option<PathBuf>,
    /// `--s3-listen`.
    pub s3_listen: Option<SocketAddr>,
    /// `--admin-listen`.
    pub admin_listen: Option<SocketAddr>,
    /// `--allow-plain-http`.
    pub allow_plain_http: bool,
    /// `--tls-cert` and `--tls-key`.
    pub tls: Option<(PathBuf, PathBuf)>,
}

/// A configuration that can work.
#[derive(Debug, Clone)]
pub struct Config {
    /// Folder of the vault.
    pub data_dir: PathBuf,
    /// Disks, by path.
    pub disks: Vec<DiskSpec>,
    /// Whether the disks were listed by the operator, not made up under `data_dir`.
    pub disks_listed: bool,
    /// Folder of the index.
    pub index_dir: PathBuf,
    /// File of the root key.
    pub key_file: PathBuf,
    /// Data shards.
    pub k: u8,
    /// Parity shards.
    pub m: u8,
    /// Open for writing with fewer disks than are safe.
    pub force_missing: bool,
    /// S3 listener.
    pub s3_listen: SocketAddr,
    /// Settings of the gateway.
    pub s3: S3Config,
    /// Certificate and key of the S3 listener; plain HTTP without them.
    pub tls: Option<TlsFiles>,
    /// Admin listener.
    pub admin_listen: SocketAddr,
    /// Settings of the engine.
    pub engine: EngineConfig,
    /// Logs.
    pub log: LogSection,
}

impl Config {
    /// Reads the file, if one was named, and checks everything.
    ///
    /// # Errors
    /// [`ConfigError`], naming the key.
    pub fn load(overrides: &Overrides) -> Result<Self, ConfigError> {
        let Some(path) = &overrides.config else { return Self::from_file(FileConfig::default(), false, overrides) };
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.clone(), source })?;
        Self::from_text(&text, path, overrides)
    }

    /// The same for text that was read already; `path` is for messages.
    ///
    /// # Errors
    /// [`ConfigError`], naming the key.
    pub fn from_text(text: &str, path: &Path, overrides: &Overrides) -> Result<Self, ConfigError> {
        let syntax = |error: toml::de::Error| ConfigError::Syntax { path: path.to_owned(), detail: error.to_string() };
        let table: toml::Table = toml::from_str(text).map_err(syntax)?;
        if let Some(found) = unknown::first_unknown(&table, &known_keys()) {
            return Err(ConfigError::UnknownKey { path: path.to_owned(), key: found.key, nearest: found.nearest });
        }
        let file: FileConfig = toml::from_str(text).map_err(syntax)?;
        Self::from_file(file, table.contains_key("disk"), overrides)
    }

    fn from_file(file: FileConfig, disks_listed: bool, overrides: &Overrides) -> Result<Self, ConfigError> {
        check::values(&file)?;
        let data_dir = overrides.data.clone().unwrap_or_else(|| file.vault.data_dir.clone());
        let s3_listen = check::address("s3.listen", &file.s3.listen, overrides.s3_listen)?;
        let admin_listen = check::address("admin.listen", &file.admin.listen, overrides.admin_listen)?;
        let tls = tls_files(&file, overrides, &data_dir)?;
        if !(overrides.allow_plain_http || file.s3.allow_plain_http) {
            if tls.is_none() {
                check::loopback("s3.listen", s3_listen)?;
            }
            check::loopback("admin.listen", admin_listen)?;
        }
        let s3 = s3_config(&file);
        check::names(&s3)?;
        let config = Self {
            disks: file.disk.iter().map(|entry| disk_spec(&data_dir, entry)).collect(),
            disks_listed,
            index_dir: data_dir.join(&file.vault.index_dir),
            key_file: data_dir.join(&file.vault.key_file),
            k: file.vault.k,
            m: file.vault.m,
            force_missing: file.vault.force_missing,
            s3_listen,
            s3,
            tls,
            admin_listen,
            engine: engine_config(&file)?,
            log: file.log,
            data_dir,
        };
        check::places(&config)?;
        Ok(config)
    }

    /// How to open this vault.
    #[must_use]
    pub fn open_options(&self, purpose: Purpose) -> OpenOptions {
        OpenOptions {
            disks: self.disks.clone(),
            index_dir: self.index_dir.clone(),
            key_file: self.key_file.clone(),
            k: self.k,
            m: self.m,
            create: purpose == Purpose::Serve,
            read_only: purpose == Purpose::Look,
            force_missing: self.force_missing,
            engine: self.engine.clone(),
        }
    }
}

/// What a vault is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To serve; a first start makes it.
    Serve,
    /// To change it offline; it must exist.
    Mend,
    /// To read it offline: no client writes and no new life begins, but what is rotten or missing is put back, and the index is brought
    /// up to date with the journal.
    Look,
}

/// Every known key, with its default.
fn known_keys() -> toml::Table {
    toml::Table::try_from(FileConfig::default()).unwrap_or_default()
}

fn disk_spec(data_dir: &Path, entry: &file::DiskEntry) -> DiskSpec {
    let failure_domain = FailureDomain {
        host: entry.host.clone(),
        enclosure: entry.enclosure.clone(),
        site: entry.site.clone(),
        country: entry.country.clone(),
    };
    DiskSpec { path: data_dir.join(&entry.path), failure_domain }
}

/// The command line's pair, relative to where the process was started, or the file's.
fn tls_files(file: &FileConfig, overrides: &Overrides, data_dir: &Path) -> Result<Option<TlsFiles>, ConfigError> {
    if let Some((cert, key)) = overrides.tls.clone() {
        return Ok(Some(TlsFiles { cert, key }));
    }
    check::both_or_neither(&file.s3.tls_cert, &file.s3.tls_key)?;
    let given = !file.s3.tls_cert.as_os_str().is_empty();
    Ok(given.then(|| TlsFiles { cert: data_dir.join(&file.s3.tls_cert), key: data_dir.join(&file.s3.tls_key) }))
}

fn s3_config(file: &FileConfig) -> S3Config {
    let s3 = &file.s3;
    S3Config {
        region: s3.region.clone(),
        region_enforced: s3.region_enforced,
        domain: (!s3.domain.is_empty()).then(|| s3.domain.clone()),
        connections_max: s3.connections_max,
        requests_max: s3.requests_max,
        head_timeout: Duration::from_secs(s3.head_timeout_s),
        body_idle_timeout: Duration::from_secs(s3.body_idle_timeout_s),
        shutdown_deadline: Duration::from_secs(s3.shutdown_deadline_s),
        put_bytes_max: s3.put_size_max.0,
        signed_chunk_bytes_max: check::memory(s3.signed_chunk_size_max),
        signed_chunk_memory: check::memory(s3.signed_chunk_memory),
        body_memory: check::memory(s3.body_memory),
        ..S3Config::default()
    }
}

fn engine_config(file: &FileConfig) -> Result<EngineConfig, ConfigError> {
    let engine = &file.engine;
    let defaults = EngineConfig::default();
    Ok(EngineConfig {
        driver: engine.driver.into(),
        workers: if engine.workers == 0 { defaults.workers } else { engine.workers },
        queue: engine.queue,
        profile: ChunkProfile {
            min: check::narrow("engine.chunk_min", engine.chunk_min)?,
            average: check::narrow("engine.chunk_average", engine.chunk_average)?,
            max: check::narrow("engine.chunk_max", engine.chunk_max)?,
        },
        zstd_level: engine.zstd_level,
        stripe_payload: check::narrow("engine.stripe_size", engine.stripe_size)?,
        segment_shard_len: engine.segment_size.0,
        journal_shard_len: engine.journal_file_size.0,
        journal_prewrite: engine.journal_prewrite.0,
        inline_bytes: check::memory(engine.inline_size),
        checkpoint_page: defaults.checkpoint_page,
        open_segments: engine.open_segments,
        commit_bytes: check::memory(engine.commit_size),
        upload_bytes: check::memory(engine.upload_memory),
        read_bytes: check::memory(engine.read_memory),
        index_cache_bytes: check::memory(engine.index_cache_memory),
        index_write_buffer_bytes: check::memory(engine.index_write_memory),
        index_flush_bytes: engine.index_flush_size.0,
        locality_ids: engine.locality_ids,
        io_deadline: Duration::from_secs(engine.io_deadline_s),
        lifecycle_every: Duration::from_secs(engine.lifecycle_every_s),
    })
}
