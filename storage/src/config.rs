//! What an operator may set about the engine. `src/config.rs` of the binary fills it; defaults here are the shipped ones.

use std::time::Duration;

use kovcheg_format::record::bucket::ChunkProfile;

use crate::chunk::chunker::DEFAULT_PROFILE;
use crate::disk::open::DriverChoice;

/// Settings of the engine.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// How buckets cut objects when they have no profile of their own.
    pub profile: ChunkProfile,
    /// Payload bytes at which a data stripe is written, where [`EngineConfig::upload_bytes`] allows it. 2 MiB makes 512 KiB shards
    /// at 4+2: fewer operations for each byte than 1 MiB (5 % of ingest), and no slower than 4.
    pub stripe_payload: u32,
    /// Bytes of each shard file at which a data segment is closed.
    pub segment_shard_len: u64,
    /// Bytes of each shard file at which a journal file is closed.
    pub journal_shard_len: u64,
    /// Bytes by which a journal file is written with zeros ahead of need, so that a commit's flush changes no file size.
    pub journal_prewrite: u64,
    /// Objects whose new sealed chunks take no more than this go into the journal stripe of their commit (R1).
    pub inline_bytes: usize,
    /// Bytes of rows at which a page of a checkpoint ends: a stripe of a quarter of that per disk at 4+2.
    pub checkpoint_page: usize,
    /// Most data segments open at once (R20).
    pub open_segments: usize,
    /// Payload bytes at which a journal stripe takes no more commits.
    pub commit_bytes: usize,
    /// Threads that chunk, hash, seal and open.
    pub workers: usize,
    /// Jobs that may wait for a worker before callers wait themselves.
    pub queue: usize,
    /// Bytes that bodies on their way in gather together: the more of them there are, the smaller their stripes (M-1).
    pub upload_bytes: usize,
    /// Bytes that reads hold together on their way to clients; when it is used up, each goes on chunk by chunk (M-1).
    pub read_bytes: usize,
    /// How long a disk may take for one operation before it is fenced (R13).
    pub io_deadline: Duration,
    /// zstd level.
    pub zstd_level: i32,
    /// Journal bytes after which the index is flushed, which bounds the replay after a crash.
    pub index_flush_bytes: u64,
    /// RocksDB block cache, bytes.
    pub index_cache_bytes: usize,
    /// RocksDB write buffers over all columns, bytes.
    pub index_write_buffer_bytes: usize,
    /// Chunk ids in the locality cache of dedup look-ups.
    pub locality_ids: usize,
    /// Time between two walks of the lifecycle worker.
    pub lifecycle_every: Duration,
    /// How disks are driven.
    pub driver: DriverChoice,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            profile: DEFAULT_PROFILE,
            stripe_payload: 2 << 20,
            segment_shard_len: 256 << 20,
            journal_shard_len: 32 << 20,
            journal_prewrite: 2 << 20,
            inline_bytes: 32 << 10,
            checkpoint_page: 1 << 20,
            open_segments: 16,
            commit_bytes: 4 << 20,
            workers: std::thread::available_parallelism().map_or(2, std::num::NonZero::get),
            queue: 256,
            upload_bytes: 96 << 20,
            read_bytes: 128 << 20,
            io_deadline: Duration::from_secs(30),
            zstd_level: 1,
            index_flush_bytes: 64 << 20,
            index_cache_bytes: 64 << 20,
            index_write_buffer_bytes: 32 << 20,
            locality_ids: 1 << 18,
            lifecycle_every: Duration::from_secs(3600),
            driver: DriverChoice::Auto,
        }
    }
}
