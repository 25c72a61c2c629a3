//! What the vault says of itself: plain, serialisable, cheap to take.

use serde::Serialize;

/// One disk.
#[derive(Debug, Clone, Serialize)]
pub struct DiskStatus {
    /// Path.
    pub label: String,
    /// Name from its superblock, empty when it was never read.
    pub id: String,
    /// `serving`, `fenced`, `missing` or `returning`.
    pub state: String,
    /// Why it is not serving.
    pub reason: Option<String>,
    /// `io_uring`, `plain`, `simulated`.
    pub driver: String,
    /// Bytes in all.
    pub total: u64,
    /// Bytes free.
    pub free: u64,
    /// Ranges that could not be read or did not match their checksum since start.
    pub bad_ranges: u64,
    /// Shards written back since start.
    pub repaired: u64,
}

/// Bytes on disks by kind, as the journal accounts for them.
#[derive(Debug, Clone, Copy, Default, Serialize, PartialEq, Eq)]
pub struct PhysicalBytes {
    /// Data shards of segments, headers and padding included.
    pub data: u64,
    /// Parity shards of segments and journal.
    pub parity: u64,
    /// Data shards of the journal: records and inline chunks.
    pub records: u64,
    /// Files of the index (and checkpoints on disks).
    pub index: u64,
}

/// The vault at a glance.
#[derive(Debug, Clone, Serialize)]
pub struct VaultStatus {
    /// `serving` or `read_only`.
    pub state: String,
    /// Why it is read-only.
    pub reason: Option<String>,
    /// Things an operator should mend, each with what to do.
    pub warnings: Vec<String>,
    /// Pool id.
    pub pool: String,
    /// Life of the process.
    pub epoch: u64,
    /// Newest durable journal position.
    pub lsn: u64,
    /// Data shards at full width.
    pub k: u8,
    /// Parity shards.
    pub m: u8,
    /// Disks.
    pub disks: Vec<DiskStatus>,
    /// Bytes on disks.
    pub physical: PhysicalBytes,
    /// Bytes of object versions as clients see them.
    pub logical_bytes: u64,
    /// Object versions.
    pub versions: u64,
    /// Buckets.
    pub buckets: u64,
    /// Whether the recovery kit was confirmed.
    pub recovery_kit_confirmed: bool,
}
