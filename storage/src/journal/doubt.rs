//! What was found wrong with an index, kept until the audit trail says it. Between the two lie the wiping and the building anew,
//! minutes in a large vault: a crash there must not swallow the entry.

use kovcheg_format::codec::Encode;
use kovcheg_format::id::Epoch;

use crate::index::rows::{self, DoubtRow, META_DOUBT};
use crate::index::seal::Doubt;
use crate::index::{Batch, Change, Column, Index, IndexError, IndexRead};

/// Keeps a doubt that the life of `epoch` found, in place of any before it. Durable on return; wiping leaves it. It goes with the
/// `DiscardIndex` entry of this life or a later one.
pub fn keep(index: &dyn Index, epoch: Epoch, doubt: Doubt) -> Result<(), IndexError> {
    let value = DoubtRow { epoch, doubt: doubt.number() }.to_bytes();
    index.apply(Batch {
        changes: vec![Change { column: Column::Meta, key: META_DOUBT.to_vec(), value: Some(value) }],
    })?;
    index.flush()
}

/// The doubt that no entry tells of yet.
pub fn kept(view: &dyn IndexRead) -> Result<Option<Doubt>, IndexError> {
    let row: Option<DoubtRow> = rows::get(view, Column::Meta, META_DOUBT)?;
    Ok(row.map(|row| Doubt::of_number(row.doubt)))
}

/// Puts right a row that no life up to that of `epoch` has written: it would be told again at every start.
pub fn settle(index: &dyn Index, epoch: Epoch) -> Result<(), IndexError> {
    match rows::get::<DoubtRow>(index, Column::Meta, META_DOUBT) {
        Ok(Some(row)) if row.epoch > epoch => keep(index, epoch, Doubt::of_number(row.doubt)),
        Ok(_) => Ok(()),
        Err(IndexError::Row { .. }) => keep(index, epoch, Doubt::Edited),
        Err(other) => Err(other),
    }
}
