//! From records to rows: how the index follows the journal (R8).
//!
//! Applying is deterministic and reads nothing but the overlay. It is idempotent: applying again any run of records that
//! ends with the newest one leaves the same rows. A record that names what the index does not have (a part of an ended
//! upload) is left out and counted, the same way at every replay; a record that no writer writes is an error.

mod buckets;
#[cfg(test)]
pub(crate) mod fixtures;
mod overlay;
#[cfg(test)]
mod tests;
mod uploads;
mod usage;
mod versions;

use std::ops::ControlFlow;

use kovcheg_format::audit::entry_text;
use kovcheg_format::codec::Encode;
use kovcheg_format::id::{DiskId, DomainId, Epoch, Lsn, SegmentId, StripeHash};
use kovcheg_format::record::Record;
use kovcheg_format::record::audit::Action;
use kovcheg_format::record::identity::CredentialRemoved;
use kovcheg_format::record::pool::{DiskStateChanged, Member, MembersChanged};
use kovcheg_format::record::segment::{
    CHUNK_FLAG_REPLACES, ChunkPlace, ChunkRow, ChunksDamaged, ChunksInlined, SegmentClosed, SegmentOpened, SegmentRow,
    StripeAdded,
};
use kovcheg_format::shard::disk_len;
use kovcheg_format::units::TimestampMs;
use kovcheg_format::{key, layout};

use crate::index::rows::{self, DoubtRow, META_APPLIED, META_CLOCK, META_DOUBT, META_EPOCH, StripeRow};
use crate::index::{Column, IndexError, IndexRead};

use buckets::{
    bucket_created, bucket_deleted, case_hold_placed, lifecycle_set, object_lock_set, quota_set, versioning_set,
};
pub use overlay::Overlay;
use uploads::{part_put, upload_created, upload_ended, upload_locked};
use versions::{change_facts, change_version, version_put, version_removed};

/// Part number under which [`Column::Part`] holds the key of the upload's own row.
pub const PART_OF_UPLOAD: u16 = 0;

layout! {
    /// How far the index follows the journal.
    pub struct Applied {
        /// Epoch of the newest stripe applied.
        pub epoch: Epoch,
        /// Its position.
        pub lsn: Lsn,
        /// Its hash.
        pub hash: StripeHash,
        /// Journal file it lies in.
        pub journal: SegmentId,
        /// Offset of its shards in that file.
        pub offset: u64,
    }
}

/// How far `view` follows the journal; `None` in an empty index, and in one whose wiping was cut short.
pub fn read_applied(view: &dyn IndexRead) -> Result<Option<Applied>, IndexError> {
    rows::get(view, Column::Meta, META_APPLIED)
}

/// Where the journal stripe lies whose records are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StripePlace {
    /// Journal file.
    pub segment: SegmentId,
    /// Offset of its shards in the file.
    pub offset: u64,
    /// Data bytes of each shard.
    pub shard_len: u32,
    /// Bytes of the sealed frame at the start of the payload: offsets of inline chunks count from its end.
    pub inner_len: u32,
    /// Position in the journal.
    pub lsn: Lsn,
    /// Life of the process that wrote it.
    pub epoch: Epoch,
    /// Its hash.
    pub hash: StripeHash,
    /// The retention clock in its header, which its seal binds.
    pub retention_clock: TimestampMs,
}

impl StripePlace {
    /// The state of an index that holds everything up to and with this stripe.
    #[must_use]
    pub fn applied(&self) -> Applied {
        Applied { epoch: self.epoch, lsn: self.lsn, hash: self.hash, journal: self.segment, offset: self.offset }
    }
}

/// Applies a whole journal stripe: its records in order, then the stripe itself, whose file a record in it may have opened, then what of it is
/// an entry of the audit trail.
pub fn apply_frame(overlay: &mut Overlay<'_>, place: &StripePlace, records: &[Record]) -> Result<(), IndexError> {
    for record in records {
        apply_record(overlay, place, record)?;
    }
    // Whether the file is known shows at the row that is extended.
    extend_segment(overlay, place.segment, place.offset, place.shard_len, "journal stripe")?;
    extend_trail(overlay, place, records)
}

/// Takes the entries of a stripe into the audit tree; those of one that it holds already are left out.
fn extend_trail(overlay: &mut Overlay<'_>, place: &StripePlace, records: &[Record]) -> Result<(), IndexError> {
    let mut tree = rows::audit_tree(overlay)?.unwrap_or_default();
    if place.lsn <= tree.lsn {
        return Ok(());
    }
    let before = tree.size;
    for record in records {
        if let Some(text) = entry_text(tree.size, place.lsn, place.retention_clock, record) {
            tree.append(&text);
        }
    }
    if tree.size == before {
        return Ok(());
    }
    tree.lsn = place.lsn;
    overlay.put(Column::Audit, rows::AUDIT_TREE.to_vec(), tree.to_bytes())
}

/// Applies one record of the stripe at `place`.
pub fn apply_record(overlay: &mut Overlay<'_>, place: &StripePlace, record: &Record) -> Result<(), IndexError> {
    match record {
        Record::EpochStarted(epoch) => overlay.put(Column::Meta, META_EPOCH.to_vec(), epoch.to_bytes()),
        Record::MembersChanged(members) => members_changed(overlay, members),
        Record::DiskStateChanged(changed) => disk_state_changed(overlay, changed),
        Record::CheckpointTaken(taken) => overlay.put(Column::Checkpoint, key::lsn(taken.lsn), taken.to_bytes()),
        Record::ClockTicked(ticked) => overlay.put(Column::Meta, META_CLOCK.to_vec(), ticked.to_bytes()),
        Record::SegmentOpened(opened) => segment_opened(overlay, opened),
        Record::SegmentClosed(closed) => segment_closed(overlay, closed),
        Record::StripeAdded(added) => stripe_added(overlay, added),
        Record::ChunksInlined(inlined) => chunks_inlined(overlay, place, inlined),
        Record::ChunksDamaged(damaged) => chunks_damaged(overlay, damaged),
        // Audit records are read from the journal alone; what follows from them is the audit tree, by stripe.
        Record::Audit(audit) if audit.action == Action::DiscardIndex => doubt_told(overlay, place),
        // Edges are read from the journal by collection; until there is one, no row follows from them.
        Record::NodeAdded(_) | Record::Audit(_) => Ok(()),
        Record::BucketCreated(created) => bucket_created(overlay, created),
        Record::BucketDeleted(deleted) => bucket_deleted(overlay, deleted),
        Record::VersioningSet(set) => versioning_set(overlay, set),
        Record::ObjectLockSet(set) => object_lock_set(overlay, set),
        Record::CaseHoldPlaced(hold) => case_hold_placed(overlay, hold),
        Record::LifecycleSet(set) => lifecycle_set(overlay, set),
        Record::QuotaSet(set) => quota_set(overlay, set),
        Record::VersionPut(version) => version_put(overlay, version),
        Record::VersionRemoved(removed) => version_removed(overlay, removed),
        Record::RetentionSet(set) => change_facts(overlay, &key::version(set.bucket, &set.key, set.version), |facts| {
            facts.retention = set.mode;
            facts.retain_until = set.retain_until;
        }),
        Record::LegalHoldSet(set) => change_facts(overlay, &key::version(set.bucket, &set.key, set.version), |facts| {
            facts.legal_hold = set.on;
        }),
        Record::TagsSet(set) => change_version(overlay, &key::version(set.bucket, &set.key, set.version), |version| {
            version.tags.clone_from(&set.tags);
        }),
        Record::UploadCreated(upload) => upload_created(overlay, upload),
        Record::PartPut(part) => part_put(overlay, part),
        Record::UploadEnded(ended) => upload_ended(overlay, ended),
        Record::UploadLocked(locked) => upload_locked(overlay, locked),
        Record::CredentialSet(set) => {
            overlay.put(Column::Credential, set.access_key.clone().into_bytes(), set.to_bytes())
        }
        Record::CredentialRemoved(removed) => credential_removed(overlay, removed),
        Record::GrantSet(set) => overlay.put(Column::Grant, set.access_key.clone().into_bytes(), set.to_bytes()),
        Record::TenantSet(set) => overlay.put(Column::Tenant, key::tenant(set.tenant), set.to_bytes()),
    }
}

/// The trail says that an index was not believed. What an earlier life says is not about this index.
fn doubt_told(overlay: &mut Overlay<'_>, place: &StripePlace) -> Result<(), IndexError> {
    match rows::get::<DoubtRow>(overlay, Column::Meta, META_DOUBT)? {
        Some(row) if row.epoch <= place.epoch => overlay.remove(Column::Meta, META_DOUBT.to_vec()),
        _ => Ok(()),
    }
}

fn members_changed(overlay: &mut Overlay<'_>, changed: &MembersChanged) -> Result<(), IndexError> {
    let stays = |key: &[u8]| changed.members.iter().any(|member| member.disk.0.as_slice() == key);
    for gone in keys_with_prefix(overlay, Column::Disk, &[])?.into_iter().filter(|key| !stays(key)) {
        overlay.remove(Column::Disk, gone)?;
    }
    for member in &changed.members {
        overlay.put(Column::Disk, disk_key(member.disk), member.to_bytes())?;
    }
    Ok(())
}

fn disk_state_changed(overlay: &mut Overlay<'_>, changed: &DiskStateChanged) -> Result<(), IndexError> {
    let key = disk_key(changed.disk);
    let Some(mut member) = rows::get::<Member>(overlay, Column::Disk, &key)? else {
        overlay.note_orphan();
        return Ok(());
    };
    member.state = changed.state;
    overlay.put(Column::Disk, key, member.to_bytes())
}

/// A segment opens once; its row is not reset when the record comes again.
fn segment_opened(overlay: &mut Overlay<'_>, opened: &SegmentOpened) -> Result<(), IndexError> {
    let key = key::segment(opened.segment);
    if overlay.get(Column::Segment, &key)?.is_some() {
        return Ok(());
    }
    let row = SegmentRow { opened: opened.clone(), len: 0, closed: false, read_back: false };
    overlay.put(Column::Segment, key, row.to_bytes())
}

fn segment_closed(overlay: &mut Overlay<'_>, closed: &SegmentClosed) -> Result<(), IndexError> {
    let key = key::segment(closed.segment);
    let Some(mut row) = rows::get::<SegmentRow>(overlay, Column::Segment, &key)? else {
        overlay.note_orphan();
        return Ok(());
    };
    // What the journal named counts, whatever length a later record states: lengths only grow.
    row.len = row.len.max(closed.len);
    row.closed = true;
    overlay.put(Column::Segment, key, row.to_bytes())
}

fn stripe_added(overlay: &mut Overlay<'_>, added: &StripeAdded) -> Result<(), IndexError> {
    if !extend_segment(overlay, added.segment, added.offset, added.shard_len, "StripeAdded")? {
        return Ok(());
    }
    let stripe = StripeRow {
        disk_len: disk_len(added.shard_len),
        hash: added.hash,
        chunks: added.chunks.iter().map(|place| place.id).collect(),
    };
    overlay.put(Column::Stripe, key::stripe(added.segment, added.offset), stripe.to_bytes())?;
    for place in &added.chunks {
        add_chunk(overlay, place, place_row(place, added.domain, (added.segment, added.offset, added.shard_len)))?;
    }
    Ok(())
}

fn chunks_inlined(overlay: &mut Overlay<'_>, at: &StripePlace, inlined: &ChunksInlined) -> Result<(), IndexError> {
    for place in &inlined.chunks {
        let mut row = place_row(place, inlined.domain, (at.segment, at.offset, at.shard_len));
        row.offset = at.inner_len.checked_add(place.offset).ok_or(IndexError::Record {
            record: "ChunksInlined",
            reason: "a chunk lies beyond the end of its stripe",
        })?;
        add_chunk(overlay, place, row)?;
    }
    Ok(())
}

/// The first copy wins, until one comes that says the others are damaged (R17).
fn add_chunk(overlay: &mut Overlay<'_>, place: &ChunkPlace, row: ChunkRow) -> Result<(), IndexError> {
    let key = key::chunk(place.id);
    let replaces = place.flags & CHUNK_FLAG_REPLACES != 0;
    if !replaces && overlay.get(Column::Chunk, &key)?.is_some() {
        return Ok(());
    }
    if replaces {
        overlay.remove(Column::Damaged, key.clone())?;
    }
    overlay.put(Column::Chunk, key, row.to_bytes())
}

/// Marks the chunks whose copy that counts is the damaged one. Whoever wrote the record may have seen an older copy.
fn chunks_damaged(overlay: &mut Overlay<'_>, damaged: &ChunksDamaged) -> Result<(), IndexError> {
    let place = (damaged.segment, damaged.stripe);
    for id in &damaged.chunks {
        let key = key::chunk(*id);
        let counts = rows::get::<ChunkRow>(overlay, Column::Chunk, &key)?;
        if counts.is_some_and(|row| (row.segment, row.stripe) == place) {
            overlay.put(Column::Damaged, key, key::stripe(damaged.segment, damaged.stripe))?;
        }
    }
    Ok(())
}

fn place_row(place: &ChunkPlace, domain: DomainId, (segment, stripe, shard_len): (SegmentId, u64, u32)) -> ChunkRow {
    let ChunkPlace { id: _, offset, sealed_len, plain_len, flags: _ } = *place;
    ChunkRow { segment, stripe, shard_len, offset, sealed_len, plain_len, domain }
}

/// Lets the row of a segment reach over a stripe. Whether the segment is known.
fn extend_segment(
    overlay: &mut Overlay<'_>,
    segment: SegmentId,
    offset: u64,
    shard_len: u32,
    record: &'static str,
) -> Result<bool, IndexError> {
    let key = key::segment(segment);
    let Some(mut row) = rows::get::<SegmentRow>(overlay, Column::Segment, &key)? else {
        overlay.note_orphan();
        return Ok(false);
    };
    let end = offset.checked_add(disk_len(shard_len));
    let end = end.ok_or(IndexError::Record { record, reason: "a stripe lies beyond the end of all files" })?;
    row.len = row.len.max(end);
    overlay.put(Column::Segment, key, row.to_bytes())?;
    Ok(true)
}

fn credential_removed(overlay: &mut Overlay<'_>, removed: &CredentialRemoved) -> Result<(), IndexError> {
    let key = removed.access_key.as_bytes();
    if overlay.get(Column::Credential, key)?.is_none() {
        overlay.note_orphan();
        return Ok(());
    }
    overlay.remove(Column::Credential, key.to_vec())?;
    overlay.remove(Column::Grant, key.to_vec())
}

fn keys_with_prefix(overlay: &Overlay<'_>, column: Column, prefix: &[u8]) -> Result<Vec<Vec<u8>>, IndexError> {
    let mut keys = Vec::new();
    overlay.scan(column, prefix, key::after_prefix(prefix).as_deref(), &mut |key, _| {
        keys.push(key.to_vec());
        ControlFlow::Continue(())
    })?;
    Ok(keys)
}

fn disk_key(disk: DiskId) -> Vec<u8> {
    disk.0.to_vec()
}
