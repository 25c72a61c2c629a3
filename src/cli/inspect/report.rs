//! What an inspection found: plain data, and its words.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;

use crate::cli::show::{bytes, table, tame};

/// An inspection.
#[derive(Debug, Serialize)]
#[serde(untagged)]
#[expect(clippy::large_enum_variant, reason = "one report per run of the command")]
pub enum Report {
    /// Of one file.
    File(FileReport),
    /// Of a folder.
    Folder(FolderReport),
}

/// One file.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FileReport {
    /// A superblock.
    Superblock(SuperblockReport),
    /// A keyring.
    Keyring(KeyringReport),
    /// Shards of stripes.
    Shards(ShardsReport),
}

/// A folder.
#[derive(Debug, Default, Serialize)]
pub struct FolderReport {
    /// Files of a vault, by path.
    pub files: Vec<FolderEntry>,
    /// Files of other kinds, which were not looked at.
    pub other_files: usize,
    /// Whether there were more files than are looked at.
    pub cut: bool,
}

/// A file of a folder.
#[derive(Debug, Serialize)]
pub struct FolderEntry {
    /// Where.
    pub path: PathBuf,
    /// What.
    pub file: Option<FileReport>,
    /// Why it could not be read.
    pub error: Option<String>,
}

/// One copy in a superblock file.
#[derive(Debug, Serialize)]
pub struct SlotReport {
    /// Sequence number, when sound.
    pub sequence: Option<u64>,
    /// What is wrong with it.
    pub error: Option<String>,
}

/// A superblock file.
#[derive(Debug, Serialize)]
pub struct SuperblockReport {
    /// Every copy.
    pub slots: Vec<SlotReport>,
    /// The newest sound copy.
    pub newest: Option<SuperblockFields>,
}

/// The newest sound copy.
#[derive(Debug, Serialize)]
pub struct SuperblockFields {
    /// Pool.
    pub pool: String,
    /// Disk.
    pub disk: String,
    /// Update counter.
    pub sequence: u64,
    /// Membership counter.
    pub generation: u64,
    /// Newest epoch.
    pub epoch: u64,
    /// Data shards.
    pub k: u8,
    /// Parity shards.
    pub m: u8,
    /// Milliseconds since 1970.
    pub created_at: u64,
    /// Disks of the pool.
    pub members: Vec<String>,
    /// Machine, enclosure, site, country.
    pub failure_domain: [String; 4],
    /// What opens each key slot, and whether it was confirmed. Never what is in it.
    pub key_slots: Vec<(String, bool)>,
    /// Feature flags: compatible, read-only-compatible, incompatible.
    pub features: [u64; 3],
}

/// A keyring file; its keys stay sealed.
#[derive(Debug, Serialize)]
pub struct KeyringReport {
    /// Pool.
    pub pool: Option<String>,
    /// Rewrite counter.
    pub sequence: Option<u64>,
    /// Bytes of the sealed list.
    pub sealed_len: Option<usize>,
    /// What is wrong with it.
    pub error: Option<String>,
}

/// One stripe's shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StripeReport {
    /// Offset of the header in the file.
    pub offset: u64,
    /// `data`, `journal` or `checkpoint`.
    pub holds: String,
    /// Which shard this is.
    pub index: u8,
    /// Data shards.
    pub k: u8,
    /// Parity shards.
    pub m: u8,
    /// Epoch.
    pub epoch: u64,
    /// Position in the journal, 0 elsewhere.
    pub lsn: u64,
    /// Bytes of payload of the stripe.
    pub payload_len: u64,
    /// Bytes of data of this shard.
    pub shard_len: u32,
    /// Name of the stripe.
    pub hash: String,
    /// Name of the stripe before, in the journal.
    pub previous: String,
    /// Milliseconds since 1970.
    pub written_at: u64,
    /// Checksummed blocks of data.
    pub blocks: usize,
    /// Those whose checksum does not hold.
    pub bad_blocks: usize,
    /// Whether the file ends within it.
    pub cut: bool,
}

/// A range that is no sound stripe of this file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GapReport {
    /// Where it begins.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
    /// `unwritten` (zeros at the end), `hole` (zeros before a later stripe), `stale` (another segment's), `unreadable`.
    pub what: String,
    /// Why.
    pub reason: String,
}

/// A file of shards.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct ShardsReport {
    /// Segment, by the file's name, or else by its first stripe.
    pub segment: Option<String>,
    /// Pool of the first stripe.
    pub pool: Option<String>,
    /// Bytes of the file.
    pub file_len: u64,
    /// Stripes, sound or with bad blocks.
    pub stripe_count: u64,
    /// Stripes with bad blocks, or cut short.
    pub damaged_stripes: u64,
    /// Blocks whose checksum does not hold.
    pub bad_blocks: u64,
    /// First and last journal position.
    pub lsn_range: Option<(u64, u64)>,
    /// The first stripes; all are counted above.
    pub stripes: Vec<StripeReport>,
    /// Ranges that are no sound stripe of this file.
    pub gaps: Vec<GapReport>,
    /// Ranges above the number that is listed.
    pub gaps_unlisted: u64,
    /// Whether every checksum holds.
    pub sound: bool,
}

impl Report {
    /// Whether every checksum holds.
    pub fn is_sound(&self) -> bool {
        match self {
            Self::File(file) => file.is_sound(),
            Self::Folder(folder) => folder
                .files
                .iter()
                .all(|entry| entry.error.is_none() && entry.file.as_ref().is_none_or(FileReport::is_sound)),
        }
    }

    /// For people.
    pub fn words(&self) -> String {
        match self {
            Self::File(file) => file.words(),
            Self::Folder(folder) => folder.words(),
        }
    }
}

impl FileReport {
    /// Whether every checksum holds.
    pub fn is_sound(&self) -> bool {
        match self {
            Self::Superblock(report) => report.newest.is_some() && report.slots.iter().all(|slot| slot.error.is_none()),
            Self::Keyring(report) => report.error.is_none(),
            Self::Shards(report) => report.sound,
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Superblock(report) => superblock_words(report),
            Self::Keyring(report) => {
                let pool = report.pool.as_ref().map(|pool| format!("pool {pool}\n")).unwrap_or_default();
                format!("{}\n{pool}", self.line())
            }
            Self::Shards(report) => shards_words(report),
        }
    }

    /// One line, for folders.
    fn line(&self) -> String {
        match self {
            Self::Superblock(report) => {
                let sound = report.slots.iter().filter(|slot| slot.error.is_none()).count();
                let of =
                    report.newest.as_ref().map(|newest| format!(", disk {}, {}+{}", newest.disk, newest.k, newest.m));
                format!("superblock: {sound} of {} copies sound{}", report.slots.len(), of.unwrap_or_default())
            }
            Self::Keyring(report) => match (&report.error, report.sequence, report.sealed_len) {
                (None, Some(sequence), Some(len)) => format!("keyring: sound, sequence {sequence}, {len} bytes sealed"),
                (error, ..) => format!("keyring: DAMAGED: {}", error.as_deref().unwrap_or("unknown")),
            },
            Self::Shards(report) => {
                let lsns = report.lsn_range.map(|(from, to)| format!(", journal {from} to {to}")).unwrap_or_default();
                let state = if report.sound { "sound" } else { "DAMAGED" };
                format!("shards: {state}, {} stripes in {}{lsns}", report.stripe_count, bytes(report.file_len))
            }
        }
    }
}

impl FolderReport {
    fn words(&self) -> String {
        let mut out = String::new();
        for entry in &self.files {
            let what = match (&entry.file, &entry.error) {
                (Some(file), _) => file.line(),
                (None, error) => format!("UNREADABLE: {}", tame(error.as_deref().unwrap_or("unknown"))),
            };
            let _ = writeln!(out, "{}  {what}", tame(&entry.path.display().to_string()));
        }
        let _ = writeln!(out, "{} files of a vault, {} others", self.files.len(), self.other_files);
        if self.cut {
            out.push_str("there are more; name a folder further down\n");
        }
        out
    }
}

fn superblock_words(report: &SuperblockReport) -> String {
    let mut out = String::new();
    for (number, slot) in report.slots.iter().enumerate() {
        let words = match (&slot.error, slot.sequence) {
            (None, Some(sequence)) => format!("sound, sequence {sequence}"),
            (error, _) => format!("DAMAGED: {}", error.as_deref().unwrap_or("unknown")),
        };
        let _ = writeln!(out, "copy {number}        {words}");
    }
    let Some(newest) = &report.newest else {
        out.push_str("no sound copy\n");
        return out;
    };
    let domain: Vec<String> = newest.failure_domain.iter().map(|part| tame(part)).collect();
    let slots: Vec<String> = newest
        .key_slots
        .iter()
        .map(|(kind, confirmed)| format!("{kind} ({})", if *confirmed { "confirmed" } else { "not confirmed" }))
        .collect();
    let rows = [
        ("pool", newest.pool.clone()),
        ("disk", newest.disk.clone()),
        ("generation", newest.generation.to_string()),
        ("epoch", newest.epoch.to_string()),
        ("stripes", format!("{} data + {} parity", newest.k, newest.m)),
        ("created at", format!("{} ms", newest.created_at)),
        ("domain", domain.join(" / ")),
        ("key slots", slots.join(", ")),
        ("features", format!("{:x} {:x} {:x}", newest.features[0], newest.features[1], newest.features[2])),
    ];
    for (name, value) in rows {
        let _ = writeln!(out, "{name:<13} {value}");
    }
    for member in &newest.members {
        let _ = writeln!(out, "{:<13} {member}", "member");
    }
    out
}

fn shards_words(report: &ShardsReport) -> String {
    let heads = ["OFFSET", "HOLDS", "SHARD", "K+M", "EPOCH", "LSN", "PAYLOAD", "DATA", "BLOCKS", "BAD", "HASH"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    rows.extend(report.stripes.iter().map(|stripe| {
        vec![
            stripe.offset.to_string(),
            stripe.holds.clone(),
            stripe.index.to_string(),
            format!("{}+{}", stripe.k, stripe.m),
            stripe.epoch.to_string(),
            stripe.lsn.to_string(),
            stripe.payload_len.to_string(),
            stripe.shard_len.to_string(),
            stripe.blocks.to_string(),
            if stripe.cut { "CUT".to_owned() } else { stripe.bad_blocks.to_string() },
            stripe.hash.chars().take(16).collect(),
        ]
    }));
    let mut out = table(&rows);
    for gap in &report.gaps {
        let _ = writeln!(out, "{} at {}: {} bytes{}", gap.what, gap.offset, gap.len, reason(&gap.reason));
    }
    if report.gaps_unlisted > 0 {
        let _ = writeln!(out, "and {} more such ranges", report.gaps_unlisted);
    }
    let listed = report.stripes.len() as u64;
    if report.stripe_count > listed {
        let _ = writeln!(out, "and {} more stripes, which were checked as well", report.stripe_count - listed);
    }
    let verdict = if report.sound { "every checksum holds" } else { "DAMAGED" };
    let _ = writeln!(
        out,
        "segment {}: {} stripes, {} damaged, {} bad blocks: {verdict}",
        report.segment.as_deref().unwrap_or("unknown"),
        report.stripe_count,
        report.damaged_stripes,
        report.bad_blocks
    );
    out
}

fn reason(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" ({})", tame(text)) }
}
