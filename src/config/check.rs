//! What values can work. Every bound has its reason beside it.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Component, Path, PathBuf};

use kovcheg_format::shard::WIDTH_MAX;
use kovcheg_format::superblock::DISKS_MAX;
use kovcheg_gateway::config::S3Config;
use kovcheg_gateway::s3::admission::BODY_BYTES_MAX;

use super::Config;
use super::error::ConfigError;
use super::file::FileConfig;
use super::units::ByteSize;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// Most payload of a stripe. A shard ends at 16 MiB (`SHARD_LEN_MAX`), and a vault that has lost disks writes stripes of a single data
/// shard, which then holds all of the payload; the rest is for headers, the directory of chunks, and the records of a commit.
const PAYLOAD_MAX: u64 = 12 * MIB;
/// What a stripe must hold beside its largest chunk.
const STRIPE_OVERHEAD: u64 = 64 * KIB;
/// Longest text of a failure domain: the superblock has 16 KiB for all of it.
const DOMAIN_TEXT_MAX: usize = 255;

fn absurd(key: &'static str, value: impl Display, why: impl Into<String>) -> ConfigError {
    ConfigError::Absurd { key, value: value.to_string(), why: why.into() }
}

fn within<T: PartialOrd + Display>(key: &'static str, value: T, range: RangeInclusive<T>) -> Result<(), ConfigError> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(absurd(key, value, format!("it must lie between {} and {}", range.start(), range.end())))
}

fn size(key: &'static str, value: ByteSize, least: u64, most: u64) -> Result<(), ConfigError> {
    within(key, value, ByteSize(least)..=ByteSize(most))
}

/// Checks every value that can be judged without looking at the machine.
pub fn values(file: &FileConfig) -> Result<(), ConfigError> {
    shape(file)?;
    s3(file)?;
    engine(file)?;
    log_level(&file.log.level)
}

/// Refuses a filter with a word that is no level: taken for the name of a module, it would silence everything else.
fn log_level(text: &str) -> Result<(), ConfigError> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    // Filters by span may hold commas and equals signs of their own; the logger itself judges those.
    if text.contains(['[', '{']) {
        return Ok(());
    }
    for piece in text.split(',') {
        let level = piece.rsplit_once('=').map_or(piece, |(_, level)| level);
        if !LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level)) {
            let why = format!(
                "`{level}` is no level; write {}, alone or behind a module, as in \"info,kovcheg_storage=debug\"",
                LEVELS.join(", ")
            );
            return Err(absurd("log.level", format!("{text:?}"), why));
        }
    }
    Ok(())
}

/// Checks what only the gateway's protocol can judge: found here, and not when the first start has made a vault.
pub fn names(s3: &S3Config) -> Result<(), ConfigError> {
    use kovcheg_gateway::s3::service::{BuildError, check};
    check(s3).map_err(|error| match error {
        BuildError::Region { region } => {
            absurd("s3.region", region, "use lower-case letters, digits and dashes, as in \"us-east-1\"")
        }
        BuildError::Domain { domain, .. } => {
            absurd("s3.domain", domain, "write a host name, or nothing for path style only")
        }
    })
}

fn shape(file: &FileConfig) -> Result<(), ConfigError> {
    let vault = &file.vault;
    within("vault.k", vault.k, 1..=WIDTH_MAX - 1)?;
    if vault.m == 0 {
        return Err(absurd("vault.m", 0, "without parity the first lost disk loses data; use at least 1"));
    }
    within("vault.m", vault.m, 1..=WIDTH_MAX - vault.k)?;
    let disks = file.disk.len();
    if disks < usize::from(vault.k) + usize::from(vault.m) {
        return Err(ConfigError::TooFewDisks { disks, k: vault.k, m: vault.m });
    }
    within("disk", disks, 1..=usize::try_from(DISKS_MAX).unwrap_or(usize::MAX))?;
    for entry in &file.disk {
        if entry.path.as_os_str().is_empty() {
            return Err(absurd("disk.path", "\"\"", "every disk needs a folder"));
        }
        for (key, text) in
            [("disk.host", &entry.host), ("disk.enclosure", &entry.enclosure), ("disk.site", &entry.site)]
        {
            within(key, text.len(), 0..=DOMAIN_TEXT_MAX)?;
        }
        let country = &entry.country;
        let code = country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_uppercase());
        if !(country.is_empty() || code) {
            return Err(absurd("disk.country", country, "write two capital letters (ISO 3166-1), as in \"RU\""));
        }
    }
    for (key, path) in [
        ("vault.data_dir", &vault.data_dir),
        ("vault.index_dir", &vault.index_dir),
        ("vault.key_file", &vault.key_file),
    ] {
        if path.as_os_str().is_empty() {
            return Err(absurd(key, "\"\"", "it must name a place"));
        }
    }
    Ok(())
}

fn s3(file: &FileConfig) -> Result<(), ConfigError> {
    let s3 = &file.s3;
    // Each open connection costs a descriptor and some KiB.
    within("s3.connections_max", s3.connections_max, 1..=1_000_000)?;
    within("s3.requests_max", s3.requests_max, 1..=1_000_000)?;
    within("s3.head_timeout_s", s3.head_timeout_s, 1..=3600)?;
    within("s3.body_idle_timeout_s", s3.body_idle_timeout_s, 1..=3600)?;
    within("s3.shutdown_deadline_s", s3.shutdown_deadline_s, 0..=3600)?;
    // S3's own limits: parts need 5 MiB to be useful, one put ends at 5 GiB.
    size("s3.put_size_max", s3.put_size_max, 5 * MIB, 5 * GIB)?;
    size("s3.signed_chunk_size_max", s3.signed_chunk_size_max, 64 * KIB, GIB)?;
    size("s3.signed_chunk_memory", s3.signed_chunk_memory, s3.signed_chunk_size_max.0, 64 * GIB)?;
    size("s3.body_memory", s3.body_memory, BODY_BYTES_MAX, 64 * GIB)
}

fn engine(file: &FileConfig) -> Result<(), ConfigError> {
    let engine = &file.engine;
    within("engine.workers", engine.workers, 0..=1024)?;
    within("engine.queue", engine.queue, 1..=65_536)?;
    // A chunk must fit a stripe; below 4 KiB the index outweighs what deduplication saves.
    size("engine.chunk_min", engine.chunk_min, 4 * KIB, 16 * MIB)?;
    size("engine.chunk_average", engine.chunk_average, engine.chunk_min.0 + 1, 16 * MIB)?;
    size("engine.chunk_max", engine.chunk_max, engine.chunk_average.0 + 1, PAYLOAD_MAX - STRIPE_OVERHEAD)?;
    within("engine.zstd_level", engine.zstd_level, 1..=19)?;
    // A stripe must hold at least the largest chunk with its envelope.
    size("engine.stripe_size", engine.stripe_size, engine.chunk_max.0 + STRIPE_OVERHEAD, PAYLOAD_MAX)?;
    size("engine.segment_size", engine.segment_size, 4 * MIB, GIB)?;
    size("engine.journal_file_size", engine.journal_file_size, 4 * MIB, GIB)?;
    size("engine.journal_prewrite", engine.journal_prewrite, 64 * KIB, engine.journal_file_size.0)?;
    size("engine.inline_size", engine.inline_size, 0, MIB)?;
    within("engine.open_segments", engine.open_segments, 1..=256)?;
    // The commit that fills a stripe still rides in it, with all of its inline chunks.
    size("engine.commit_size", engine.commit_size, 64 * KIB, PAYLOAD_MAX - engine.inline_size.0)?;
    size("engine.upload_memory", engine.upload_memory, 8 * MIB, 64 * GIB)?;
    size("engine.read_memory", engine.read_memory, 8 * MIB, 64 * GIB)?;
    size("engine.index_cache_memory", engine.index_cache_memory, 8 * MIB, 1024 * GIB)?;
    size("engine.index_write_memory", engine.index_write_memory, 4 * MIB, 64 * GIB)?;
    size("engine.index_flush_size", engine.index_flush_size, MIB, 64 * GIB)?;
    within("engine.locality_ids", engine.locality_ids, 1024..=1 << 28)?;
    within("engine.io_deadline_s", engine.io_deadline_s, 1..=600)?;
    within("engine.lifecycle_every_s", engine.lifecycle_every_s, 1..=86_400)
}

/// An address of a listener: the command line's, or the file's, as `ADDRESS:PORT` or `localhost:PORT`.
pub fn address(key: &'static str, text: &str, given: Option<SocketAddr>) -> Result<SocketAddr, ConfigError> {
    if let Some(given) = given {
        return Ok(given);
    }
    let local = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    let text_or_local = local.as_deref().unwrap_or(text);
    let parsed = text_or_local.parse::<SocketAddr>();
    parsed.map_err(|_| absurd(key, text, "write an address and a port, as in \"127.0.0.1:9000\""))
}

/// Refuses a certificate without its key, and a key without its certificate.
pub fn both_or_neither(cert: &Path, key: &Path) -> Result<(), ConfigError> {
    match (cert.as_os_str().is_empty(), key.as_os_str().is_empty()) {
        (false, true) => Err(absurd("s3.tls_key", "\"\"", "the certificate `s3.tls_cert` needs its key")),
        (true, false) => Err(absurd("s3.tls_cert", "\"\"", "the key `s3.tls_key` needs its certificate")),
        _ => Ok(()),
    }
}

/// Refuses an address that others can reach.
pub fn loopback(key: &'static str, address: SocketAddr) -> Result<(), ConfigError> {
    let canonical = address.ip().to_canonical();
    if canonical.is_loopback() { Ok(()) } else { Err(ConfigError::PlainHttp { key, address }) }
}

/// Checks that no two things share a place that must not.
pub fn places(config: &Config) -> Result<(), ConfigError> {
    let disks: Vec<PathBuf> = config.disks.iter().map(|disk| real(&disk.path)).collect();
    for (at, disk) in disks.iter().enumerate() {
        if disks.iter().skip(at + 1).any(|other| other == disk) {
            return Err(ConfigError::DuplicateDisk(disk.clone()));
        }
    }
    let mut apart = vec![("vault.key_file", &config.key_file), ("vault.index_dir", &config.index_dir)];
    apart.extend(config.tls.as_ref().map(|tls| ("s3.tls_key", &tls.key)));
    for (key, path) in apart {
        let path = real(path);
        if let Some(disk) = disks.iter().find(|disk| path.starts_with(disk)) {
            return Err(ConfigError::OnDataDisk { key, disk: disk.clone() });
        }
    }
    // An index is thrown away and made anew: nothing else may lie in its folder.
    let index = real(&config.index_dir);
    let others = [real(&config.data_dir), real(&config.key_file)];
    if let Some(inside) = disks.iter().chain(&others).find(|place| place.starts_with(&index)) {
        return Err(ConfigError::InIndex { place: inside.clone() });
    }
    Ok(())
}

/// The path with links followed where it exists, and dots taken out where it does not.
fn real(path: &Path) -> PathBuf {
    if let Ok(found) = std::fs::canonicalize(path) {
        return found;
    }
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut out = PathBuf::new();
    for part in absolute.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            other => out.push(other),
        }
    }
    match (out.parent().map(std::fs::canonicalize), out.file_name()) {
        (Some(Ok(parent)), Some(name)) => parent.join(name),
        _ => out,
    }
}

/// A size that must fit 32 bits.
pub fn narrow(key: &'static str, value: ByteSize) -> Result<u32, ConfigError> {
    u32::try_from(value.0).map_err(|_| absurd(key, value, "it must be below 4 GiB"))
}

/// A size of memory, which a 64-bit machine can always count.
pub fn memory(value: ByteSize) -> usize {
    usize::try_from(value.0).unwrap_or(usize::MAX)
}
