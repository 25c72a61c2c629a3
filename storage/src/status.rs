//! What the vault says of itself: plain, serialisable, cheap to take.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use kovcheg_format::record::pool::DiskState;
use kovcheg_format::record::segment::SegmentRow;
use kovcheg_format::shard::StripeKind;
use serde::Serialize;

use crate::engine::Engine;
use crate::error::StorageResult;
use crate::index::{Column, rows};

/// Minutes between retention clock and wall clock from which on people are told.
const APART_MINUTES_MAX: u64 = 60;

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

/// The retention clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ClockStatus {
    /// Its time, milliseconds since 1970.
    pub time_ms: u64,
    /// The wall clock, milliseconds since 1970.
    pub wall_ms: u64,
    /// Time off that was credited and not regained yet, milliseconds.
    pub credited_ms: u64,
    /// Whether it stands still until people accept a time.
    pub disputed: bool,
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
    /// The retention clock.
    pub retention_clock: ClockStatus,
}

/// Bytes on disks by kind, by the word of the journal: what its segments hold, not what the file system rounds it to.
pub fn physical_bytes(engine: &Engine) -> StorageResult<PhysicalBytes> {
    let mut physical = PhysicalBytes { index: engine.index.size_bytes(), ..PhysicalBytes::default() };
    rows::scan::<SegmentRow>(engine.index.as_ref(), Column::Segment, &[], None, &mut |_, row| {
        let data = row.len * u64::from(row.opened.k);
        physical.parity += row.len * u64::from(row.opened.m);
        match row.opened.kind {
            StripeKind::Data => physical.data += data,
            StripeKind::Journal => physical.records += data,
            StripeKind::Checkpoint => physical.index += data,
        }
        ControlFlow::Continue(())
    })?;
    Ok(physical)
}

/// The vault at a glance.
#[must_use]
pub fn vault_status(engine: &Engine) -> VaultStatus {
    let refusal = engine.refusal().map(|error| error.to_string());
    let counters = rows::counters(engine.index.as_ref()).unwrap_or_default();
    let state = engine.sequencer.as_ref().map(crate::journal::sequencer::Sequencer::state);
    let applied = rows::get::<crate::journal::apply::Applied>(engine.index.as_ref(), Column::Meta, rows::META_APPLIED);
    let applied = applied.ok().flatten();
    let confirmed = engine.kit_confirmed.load(Ordering::Acquire);
    let clock = clock_status(engine);
    VaultStatus {
        state: if refusal.is_some() { "read_only" } else { "serving" }.to_owned(),
        reason: refusal,
        warnings: warnings(engine, confirmed, &clock),
        pool: engine.disks.pool.to_string(),
        epoch: applied.as_ref().map_or(0, |applied| applied.epoch.0),
        lsn: state.map_or_else(
            || applied.as_ref().map_or(0, |applied| applied.lsn.0),
            |state| state.lsn.load(Ordering::Acquire),
        ),
        k: engine.disks.k,
        m: engine.disks.m,
        disks: engine.disks.slots().iter().map(|slot| slot.status()).collect(),
        physical: physical_bytes(engine).unwrap_or_default(),
        logical_bytes: counters.logical_bytes,
        versions: counters.versions,
        buckets: counters.buckets,
        recovery_kit_confirmed: confirmed,
        retention_clock: clock,
    }
}

/// The retention clock now.
#[must_use]
pub fn clock_status(engine: &Engine) -> ClockStatus {
    let state = engine.retention.now();
    ClockStatus {
        time_ms: state.time,
        wall_ms: engine.retention.wall_ms(),
        credited_ms: state.credited,
        disputed: state.disputed,
    }
}

/// What is to be said of a clock that people should look at.
fn clock_warning(clock: &ClockStatus) -> Option<String> {
    let apart = clock.wall_ms.abs_diff(clock.time_ms) / 60_000;
    let side = if clock.wall_ms < clock.time_ms { "ahead of" } else { "behind" };
    if clock.disputed {
        return Some(format!(
            "the retention clock is disputed and stands still, {apart} minutes {side} the wall clock: no lock expires; see that the wall clock \
             is right, then run `kovcheg clock accept`"
        ));
    }
    (apart >= APART_MINUTES_MAX).then(|| {
        format!(
            "the retention clock is {apart} minutes {side} the wall clock; see `kovcheg clock status`, and if the wall clock is right and ahead, \
             run `kovcheg clock accept`"
        )
    })
}

fn warnings(engine: &Engine, confirmed: bool, clock: &ClockStatus) -> Vec<String> {
    let mut warnings = engine.warnings.lock().clone();
    let absent = engine.disks.slots().iter().filter(|slot| slot.state() != DiskState::Serving).count();
    if absent > 0 {
        let left = usize::from(engine.disks.m).saturating_sub(absent);
        warnings.push(format!("{absent} disks do not serve; {left} more may fail before data is lost"));
    }
    warnings.extend(clock_warning(clock));
    if !confirmed {
        warnings.push(
            "the recovery kit is not confirmed: losing the system disk with the key file loses the vault; run `kovcheg key confirm`"
                .to_owned(),
        );
    }
    warnings
}
