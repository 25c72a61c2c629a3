//! Page of a checkpoint: rows of the index, as they stand sealed in one checkpoint stripe.
//!
//! Rows ascend by column, then by key, within a page and from page to page, so that two checkpoints of the same index
//! have the same pages and a reader sees a lost one.

use crate::codec::{BYTES_LIMIT, Blob, Decode, Encode, Reader, Writer};
use crate::error::FormatError;
use crate::frame::RECORD_LEN_MAX;

/// Longest value of a row: the longest record body, since records are rows too. A row always fits into an envelope.
pub const VALUE_LEN_MAX: u32 = RECORD_LEN_MAX;
/// Most rows of a page.
pub const ROWS_MAX: u32 = 1 << 20;

/// One row of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Number of the column; docs/format.md has the list.
    pub column: u8,
    /// Key within the column.
    pub key: Blob,
    /// Value.
    pub value: Blob,
}

/// Rows of one stripe.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckpointPage {
    /// Ascending by column and key, each once.
    pub rows: Vec<Row>,
}

impl Encode for Row {
    fn encode(&self, out: &mut Writer) {
        out.u8(self.column);
        self.key.encode(out);
        out.var_within(VALUE_LEN_MAX, &self.value.0, "row value");
    }
}

impl Decode for Row {
    fn decode(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        let column = input.u8("row column")?;
        let key = Blob(input.var(BYTES_LIMIT, "row key")?.to_vec());
        let value = Blob(input.var(VALUE_LEN_MAX, "row value")?.to_vec());
        Ok(Self { column, key, value })
    }
}

impl Encode for CheckpointPage {
    fn encode(&self, out: &mut Writer) {
        out.check(self.check());
        out.list_within(ROWS_MAX, &self.rows, "checkpoint rows");
    }
}

impl Decode for CheckpointPage {
    fn decode(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        let page = Self { rows: input.list(ROWS_MAX, "checkpoint rows")? };
        page.check()?;
        Ok(page)
    }
}

impl CheckpointPage {
    fn check(&self) -> Result<(), FormatError> {
        if self.rows.is_sorted_by(|a, b| (a.column, &a.key.0) < (b.column, &b.key.0)) {
            return Ok(());
        }
        Err(FormatError::Invalid { what: "checkpoint row order" })
    }
}
