//! Checkpoints: a sealed image of the index beside the journal, so that a lost index need not be replayed from the first
//! stripe (R7). A checkpoint is believed only when its rows give the digest that stands among them.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use kovcheg_format::checkpoint::{CheckpointPage, Row};
use kovcheg_format::codec::{Blob, Decode, Encode, Writer};
use kovcheg_format::id::{Lsn, PoolId, SegmentId, StripeHash};
use kovcheg_format::record::pool::CheckpointTaken;
use kovcheg_format::record::segment::SegmentOpened;
use kovcheg_format::shard::StripeKind;

use crate::clock::Clock;
use crate::error::{StorageError, StorageResult};
use crate::index::digest::SetDigest;
use crate::index::rows::{self, META_DIGEST};
use crate::index::{Batch, Change, Column, Index, IndexRead};
use crate::journal::apply::{Applied, read_applied};
use crate::journal::scan::identify;
use crate::keys::keyring::MetadataCipher;
use crate::segment::files::CHECKPOINT_FOLDER;
use crate::segment::open::OpenSegment;
use crate::segment::reader::SegmentReader;
use crate::segment::repair::Mender;
use crate::segment::store::SegmentIds;
use crate::segment::stripe::StripeHead;

/// What writing a checkpoint needs.
pub struct CheckpointWriter<'a> {
    /// Reads it back.
    pub reader: &'a SegmentReader,
    /// Names its segment.
    pub ids: &'a SegmentIds,
    /// Seals its pages.
    pub cipher: &'a MetadataCipher,
    /// Wall clock.
    pub clock: &'a dyn Clock,
    /// Bytes of rows at which a page ends.
    pub page_bytes: usize,
}

/// A checkpoint that is durable and was read back.
pub struct Written {
    /// The segment that holds it.
    pub opened: SegmentOpened,
    /// Bytes of each of its shard files.
    pub len: u64,
    /// The record that names it.
    pub taken: CheckpointTaken,
}

impl CheckpointWriter<'_> {
    /// Writes an image of `view`, flushes it, and reads every page back. `None` when the index is empty. A disk that fails is
    /// fenced and the attempt given up: the next one goes to other disks.
    pub fn write(&self, view: &dyn IndexRead) -> StorageResult<Option<Written>> {
        let Some(applied) = read_applied(view)? else { return Ok(None) };
        let mender = self.reader.mender();
        let mut segment = OpenSegment::create(&mender.disks, &mender.files, self.ids.next()?, StripeKind::Checkpoint)?;
        self.reader.register(&segment.opened);
        let mut stripes = 0;
        let mut offsets = Vec::new();
        for_each_page(view, self.page_bytes, &mut |page| {
            offsets.push(segment.next_offset);
            self.append(&mut segment, stripes, page)?;
            stripes += 1;
            Ok(())
        })?;
        let failures = segment.flush(mender.disks.deadline);
        give_up_on(mender, failures)?;
        let image = read_back(mender, self.cipher, &segment.opened, &offsets)?;
        let digest = rows::digest(view)?;
        if image.digest != digest {
            return Err(StorageError::Operator(
                "a checkpoint does not read back as the index it was made of".to_owned(),
            ));
        }
        let taken = CheckpointTaken {
            lsn: applied.lsn,
            hash: applied.hash,
            segment: segment.id(),
            stripes,
            rows: image.rows,
            digest: digest.to_bytes(),
        };
        Ok(Some(Written { len: segment.next_offset, opened: segment.opened, taken }))
    }

    fn append(&self, segment: &mut OpenSegment, number: u32, page: &CheckpointPage) -> StorageResult<()> {
        let mender = self.reader.mender();
        let payload = self.cipher.seal(&context(mender.disks.pool, segment.id(), number), &page.to_bytes());
        let head = StripeHead {
            kind: StripeKind::Checkpoint,
            epoch: self.ids.epoch(),
            lsn: Lsn(0),
            previous: StripeHash::ZERO,
            inner_len: u32::try_from(payload.len()).unwrap_or(u32::MAX),
            retention_clock: 0,
            written_at: self.clock.wall_ms(),
        };
        let mut written = segment.append(&mender.disks, &head, payload[..].into())?;
        give_up_on(mender, written.settle(mender.disks.deadline))
    }
}

/// Fills the empty `index` from the newest checkpoint that is whole. False when there is none: the index is empty then.
pub fn load(mender: &Mender, cipher: &MetadataCipher, index: &dyn Index) -> StorageResult<bool> {
    load_where(mender, cipher, index, &mut |_| Ok(true))
}

/// [`load`] of a checkpoint whose place in the journal is accepted.
pub fn load_where(
    mender: &Mender,
    cipher: &MetadataCipher,
    index: &dyn Index,
    on_chain: &mut dyn FnMut(&Applied) -> StorageResult<bool>,
) -> StorageResult<bool> {
    let mut names = BTreeSet::new();
    for disk in mender.disks.slots().iter().filter_map(|slot| slot.readable()) {
        let found = disk.list(CHECKPOINT_FOLDER).unwrap_or_default();
        names.extend(found.iter().filter_map(|name| SegmentId::from_file_name(name)));
    }
    for segment in names.into_iter().rev() {
        let Some((opened, _)) = identify(mender, segment, StripeKind::Checkpoint) else { continue };
        let filled = fill(mender, cipher, &opened, index).and_then(|whole| match read_applied(index)? {
            Some(applied) if whole => on_chain(&applied),
            _ => Ok(false),
        });
        match filled {
            Ok(true) => {
                tracing::info!(segment = %segment.file_name(), "index filled from a checkpoint");
                return Ok(true);
            }
            Ok(false)
            | Err(StorageError::Damaged { .. } | StorageError::NotAuthentic { .. } | StorageError::Format { .. }) => {
                tracing::warn!(segment = %segment.file_name(), "this checkpoint is not whole or not on the chain; an older one is tried");
                index.wipe()?;
            }
            Err(other) => return Err(other),
        }
    }
    Ok(false)
}

/// Rows that tell how far the index goes are put last: a load that is cut short leaves an index that is empty to everyone.
fn fill(mender: &Mender, cipher: &MetadataCipher, opened: &SegmentOpened, index: &dyn Index) -> StorageResult<bool> {
    let mut last = Batch::default();
    let mut digest = SetDigest::default();
    let (mut offset, mut number) = (0, 0);
    while let Some(stripe) = mender.load(opened, offset, None)? {
        let page = open_page(mender, cipher, opened, number, &stripe.payload)?;
        let mut batch = Batch::default();
        for row in page.rows {
            let Some(column) = Column::from_code(row.column) else { return Ok(false) };
            let to = if column == Column::Meta { &mut last } else { &mut batch };
            if column != Column::Meta {
                digest.add(column, &row.key.0, &row.value.0);
            }
            to.changes.push(Change { column, key: row.key.0, value: Some(row.value.0) });
        }
        index.apply(batch)?;
        offset += stripe.header.disk_len();
        number += 1;
    }
    let kept = last.changes.iter().find(|change| change.key == META_DIGEST).and_then(|change| change.value.as_deref());
    if kept != Some(digest.to_bytes().as_slice()) {
        return Ok(false);
    }
    index.apply(last)?;
    Ok(true)
}

struct Image {
    digest: SetDigest,
    rows: u64,
}

fn read_back(
    mender: &Arc<Mender>,
    cipher: &MetadataCipher,
    opened: &SegmentOpened,
    offsets: &[u64],
) -> StorageResult<Image> {
    let mut image = Image { digest: SetDigest::default(), rows: 0 };
    for (number, offset) in (0..).zip(offsets) {
        let stripe = mender.load(opened, *offset, None)?.ok_or_else(|| {
            StorageError::Operator(format!("stripe {offset} of a checkpoint that was just written is not there"))
        })?;
        for row in open_page(mender, cipher, opened, number, &stripe.payload)?.rows {
            image.rows += 1;
            if let Some(column) = Column::from_code(row.column).filter(|column| *column != Column::Meta) {
                image.digest.add(column, &row.key.0, &row.value.0);
            }
        }
    }
    Ok(image)
}

fn open_page(
    mender: &Mender,
    cipher: &MetadataCipher,
    opened: &SegmentOpened,
    number: u32,
    payload: &[u8],
) -> StorageResult<CheckpointPage> {
    let plain = cipher.open(&context(mender.disks.pool, opened.segment, number), payload)?;
    CheckpointPage::from_bytes(&plain).map_err(|source| StorageError::format("checkpoint page", source))
}

/// Associated data that bind a page to its pool, its checkpoint and its place in it.
fn context(pool: PoolId, segment: SegmentId, number: u32) -> Vec<u8> {
    let mut out = Writer::new();
    out.raw(&pool.0);
    out.u64(segment.0);
    out.u32(number);
    out.into_vec()
}

fn give_up_on(mender: &Mender, failures: crate::segment::open::Failures) -> StorageResult<()> {
    let first = failures.first().map(|(_, error)| error.clone());
    for (disk, error) in failures {
        mender.disks.failed_write(disk, &error);
    }
    first.map_or(Ok(()), |error| Err(error.into()))
}

/// Cuts all rows of the index into pages.
fn for_each_page(
    view: &dyn IndexRead,
    page_bytes: usize,
    take: &mut dyn FnMut(&CheckpointPage) -> StorageResult<()>,
) -> StorageResult<()> {
    let mut page = CheckpointPage::default();
    let mut bytes = 0;
    let mut outcome = Ok(());
    for column in Column::ALL {
        view.scan(column, &[], None, &mut |key, value| {
            bytes += key.len() + value.len();
            page.rows.push(Row { column: column.code(), key: Blob(key.to_vec()), value: Blob(value.to_vec()) });
            if bytes < page_bytes {
                return ControlFlow::Continue(());
            }
            bytes = 0;
            outcome = take(&std::mem::take(&mut page));
            if outcome.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        outcome.clone()?;
    }
    if page.rows.is_empty() { Ok(()) } else { take(&page) }
}
