//! What records about multipart uploads make of the rows.

use std::ops::ControlFlow;

use kovcheg_format::codec::Encode;
use kovcheg_format::key;
use kovcheg_format::record::upload::{PartPut, UploadCreated, UploadEnded, UploadLocked};

use super::{Overlay, PART_OF_UPLOAD, usage};
use crate::index::{Column, IndexError, IndexRead as _, rows};

/// Bytes of a bucket's id at the beginning of a key.
const BUCKET_ID_LEN: usize = 8;

pub(super) fn upload_created(overlay: &mut Overlay<'_>, upload: &UploadCreated) -> Result<(), IndexError> {
    if overlay.get(Column::Bucket, &key::bucket(upload.bucket))?.is_none() {
        overlay.note_orphan();
        return Ok(());
    }
    let key = key::upload(upload.bucket, &upload.key, upload.upload);
    overlay.put(Column::Part, key::part(upload.upload, PART_OF_UPLOAD), key.clone())?;
    overlay.put(Column::Upload, key, upload.to_bytes())
}

pub(super) fn upload_locked(overlay: &mut Overlay<'_>, locked: &UploadLocked) -> Result<(), IndexError> {
    if overlay.get(Column::Part, &key::part(locked.upload, PART_OF_UPLOAD))?.is_none() {
        overlay.note_orphan();
        return Ok(());
    }
    overlay.put(Column::UploadLock, key::upload_lock(locked.upload), locked.to_bytes())
}

pub(super) fn part_put(overlay: &mut Overlay<'_>, part: &PartPut) -> Result<(), IndexError> {
    if part.number == PART_OF_UPLOAD {
        return Err(IndexError::Record { record: "PartPut", reason: "a part has number 0" });
    }
    let Some(upload) = overlay.get(Column::Part, &key::part(part.upload, PART_OF_UPLOAD))? else {
        overlay.note_orphan();
        return Ok(());
    };
    let row = key::part(part.upload, part.number);
    let before: Option<PartPut> = rows::get(overlay, Column::Part, &row)?;
    // The key of an upload begins with its bucket.
    let bucket = rows::decode_bucket_id(upload.get(..BUCKET_ID_LEN).unwrap_or(&upload))?;
    usage::parts_changed(overlay, bucket, before.map_or(0, |before| before.size), part.size)?;
    overlay.put(Column::Part, row, part.to_bytes())
}

pub(super) fn upload_ended(overlay: &mut Overlay<'_>, ended: &UploadEnded) -> Result<(), IndexError> {
    let key = key::upload(ended.bucket, &ended.key, ended.upload);
    if overlay.get(Column::Upload, &key)?.is_none() {
        overlay.note_orphan();
        return Ok(());
    }
    let (mut bytes, mut gone) = (0_u64, vec![key::part(ended.upload, PART_OF_UPLOAD)]);
    let (from, to) = (key::part(ended.upload, PART_OF_UPLOAD + 1), key::after_prefix(&ended.upload.0));
    rows::scan(overlay, Column::Part, &from, to.as_deref(), &mut |row, part: PartPut| {
        bytes = bytes.saturating_add(part.size);
        gone.push(row.to_vec());
        ControlFlow::Continue(())
    })?;
    for row in gone {
        overlay.remove(Column::Part, row)?;
    }
    usage::parts_changed(overlay, ended.bucket, bytes, 0)?;
    overlay.remove(Column::UploadLock, key::upload_lock(ended.upload))?;
    overlay.remove(Column::Upload, key)
}
