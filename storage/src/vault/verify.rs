//! Verify: every shard of every stripe against its checksums, every object opened and hashed.

use std::ops::ControlFlow;
use std::sync::Arc;

use kovcheg_format::key;
use kovcheg_format::record::bucket::BucketCreated;
use kovcheg_format::record::segment::SegmentRow;
use kovcheg_format::record::version::VersionPut;
use kovcheg_format::shard::StripeKind;
use serde::Serialize;

use crate::engine::Engine;
use crate::error::{StorageError, StorageResult};
use crate::index::{Column, rows};
use crate::object::bucket;
use crate::object::get::ObjectCursor;
use crate::vault::returning::stripes_of;

/// Versions taken from the index at a time, so that memory does not grow with the vault (M-1).
const PAGE: usize = 512;

/// How far a verification is.
#[derive(Debug, Clone, Default, Serialize)]
pub struct VerifyProgress {
    /// Objects read.
    pub objects_done: u64,
    /// Objects in all, of the bucket or the vault.
    pub objects_total: u64,
    /// Bytes of objects read.
    pub bytes_done: u64,
    /// Bytes of objects in all.
    pub bytes_total: u64,
    /// Stripes checked.
    pub stripes_done: u64,
}

/// An object that could not be read.
#[derive(Debug, Clone, Serialize)]
pub struct DamagedObject {
    /// Bucket.
    pub bucket: String,
    /// Key.
    pub key: String,
    /// Why.
    pub reason: String,
}

/// What a verification found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct VerifyReport {
    /// Objects read from end to end.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Stripes checked shard by shard.
    pub stripes: u64,
    /// Stripes that more than m shards of are lost.
    pub damaged_stripes: Vec<String>,
    /// Objects that could not be read.
    pub damaged: Vec<DamagedObject>,
    /// Shards that were lost or rotten and are written back.
    pub repaired_shards: u64,
    /// Shards that lack because their disk is missing or takes no writes.
    pub lacking_shards: u64,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
}

impl VerifyReport {
    /// Whether everything that was looked at is whole.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.damaged.is_empty() && self.damaged_stripes.is_empty() && !self.interrupted
    }
}

type Report<'a> = &'a mut dyn FnMut(&VerifyProgress) -> ControlFlow<()>;

/// See [`Vault::verify`](crate::vault::Vault::verify).
pub fn verify(engine: &Arc<Engine>, only: Option<&str>, progress: Report<'_>) -> StorageResult<VerifyReport> {
    let (objects_total, bytes_total) = totals(engine, only)?;
    let mut state = VerifyProgress { objects_total, bytes_total, ..VerifyProgress::default() };
    let mut report = VerifyReport::default();
    let repaired_before = repaired(engine);
    engine.reader.forget_careful();
    if only.is_none() {
        check_stripes(engine, &mut state, &mut report, progress)?;
    }
    let buckets = match only {
        Some(name) => vec![bucket::find(engine.index.as_ref(), name)?],
        None => bucket::all(engine.index.as_ref())?,
    };
    for bucket in buckets {
        if report.interrupted {
            break;
        }
        check_bucket(engine, &bucket, &mut state, &mut report, progress)?;
    }
    report.repaired_shards = repaired(engine) - repaired_before;
    Ok(report)
}

/// Objects and bytes that will be read. Those of one bucket are counted: a scan of its rows, little beside reading them.
fn totals(engine: &Engine, only: Option<&str>) -> StorageResult<(u64, u64)> {
    let index = engine.index.as_ref();
    let Some(name) = only else {
        let counters = rows::counters(index)?;
        return Ok((counters.versions, counters.logical_bytes));
    };
    let prefix = key::bucket(bucket::find(index, name)?.bucket);
    let (mut objects, mut bytes) = (0, 0);
    let end = key::after_prefix(&prefix);
    rows::scan::<VersionPut>(index, Column::Version, &prefix, end.as_deref(), &mut |_, version| {
        objects += 1;
        bytes += version.size;
        ControlFlow::Continue(())
    })?;
    Ok((objects, bytes))
}

fn repaired(engine: &Engine) -> u64 {
    engine.disks.slots().iter().map(|slot| slot.repaired()).sum()
}

fn check_stripes(
    engine: &Engine,
    state: &mut VerifyProgress,
    report: &mut VerifyReport,
    progress: Report<'_>,
) -> StorageResult<()> {
    let mut segments = Vec::new();
    rows::scan::<SegmentRow>(engine.index.as_ref(), Column::Segment, &[], None, &mut |_, row| {
        segments.push(row);
        ControlFlow::Continue(())
    })?;
    let mender = engine.reader.mender();
    for row in segments {
        for (offset, _) in stripes_of(mender, engine.index.as_ref(), &row)? {
            match mender.load(&row.opened, offset, None) {
                Ok(Some(stripe)) => {
                    let lacking = mender.write_back(&row.opened, &stripe)?;
                    report.lacking_shards += lacking as u64;
                    report.stripes += 1;
                }
                Ok(None) if row.opened.kind != StripeKind::Data => {}
                Ok(None) => {
                    engine.lookup.mark_stripe_damaged(row.opened.segment, offset)?;
                    report.damaged_stripes.push(format!("{}:{offset}", row.opened.segment.file_name()));
                }
                Err(error @ StorageError::Damaged { .. }) => {
                    engine.lookup.mark_stripe_damaged(row.opened.segment, offset)?;
                    report.damaged_stripes.push(error.to_string());
                }
                Err(other) => return Err(other),
            }
            state.stripes_done += 1;
            if progress(state).is_break() {
                report.interrupted = true;
                return Ok(());
            }
        }
    }
    Ok(())
}

fn check_bucket(
    engine: &Arc<Engine>,
    bucket: &BucketCreated,
    state: &mut VerifyProgress,
    report: &mut VerifyReport,
    progress: Report<'_>,
) -> StorageResult<()> {
    let prefix = key::bucket(bucket.bucket);
    let end = key::after_prefix(&prefix);
    let mut from = prefix;
    loop {
        let mut page: Vec<(Vec<u8>, VersionPut)> = Vec::new();
        rows::scan::<VersionPut>(engine.index.as_ref(), Column::Version, &from, end.as_deref(), &mut |key, row| {
            page.push((key.to_vec(), row));
            if page.len() < PAGE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        from = [last.as_slice(), &[0]].concat();
        for (_, version) in page {
            let (key, size) = (version.key.clone(), version.size);
            match read_whole(engine, version, state, progress) {
                Ok(true) => {
                    report.objects += 1;
                    report.bytes += size;
                }
                Ok(false) => {
                    report.interrupted = true;
                    return Ok(());
                }
                Err(error) => {
                    report.damaged.push(DamagedObject { bucket: bucket.name.clone(), key, reason: error.to_string() })
                }
            }
            state.objects_done += 1;
        }
    }
}

/// Reads a version from end to end. False when the caller wants to stop.
fn read_whole(
    engine: &Arc<Engine>,
    version: VersionPut,
    state: &mut VerifyProgress,
    progress: Report<'_>,
) -> StorageResult<bool> {
    let size = version.size;
    let mut cursor = ObjectCursor::new(engine.clone(), Arc::new(version), 0, size)?;
    loop {
        let batch = cursor.next_batch()?;
        if progress(state).is_break() {
            return Ok(false);
        }
        if batch.is_empty() {
            return Ok(true);
        }
        state.bytes_done += batch.iter().map(|bytes| bytes.len() as u64).sum::<u64>();
    }
}
