//! Frame: the sequence of records of one journal stripe, before sealing.
//!
//! ```text
//! u32 count, then per record: u16 tag, u16 version, u32 length, body
//! ```
//! On disk the frame is sealed under the metadata key (`docs/format.md`, "Journal stripe") and stands at the start of the
//! stripe's payload; the inline chunks that its records name follow.

use crate::codec::{Decode, Encode, Reader, Writer};
use crate::error::FormatError;
use crate::id::{Epoch, Lsn, PoolId, StripeHash};
use crate::record::Record;
use crate::units::TimestampMs;

/// Bytes that sealing adds to a frame: nonce before, tag after.
pub const SEAL_OVERHEAD: usize = 24 + 16;
/// Bytes of the associated data.
pub const AAD_LEN: usize = 16 + 8 + 8 + 32 + 8;
/// Most records in one frame.
pub const RECORDS_MAX: u32 = 1 << 20;
/// Longest body of one record.
pub const RECORD_LEN_MAX: u32 = 8 << 20;

/// The records of one journal stripe, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frame {
    /// Applied in this order; an audit record stands before its effect (R14).
    pub records: Vec<Record>,
}

/// Associated data that bind a sealed frame to its pool, its place in the journal, the stripe before it and the
/// retention clock of its header. The header itself has no more than a keyless CRC, so without this whoever holds a
/// disk could turn the retention clock forward (L-2) or put a stripe behind another history (A-1).
#[must_use]
pub fn associated_data(
    pool: PoolId,
    epoch: Epoch,
    lsn: Lsn,
    previous: StripeHash,
    retention_clock: TimestampMs,
) -> [u8; AAD_LEN] {
    let mut out = Writer::new();
    out.raw(&pool.0);
    out.u64(epoch.0);
    out.u64(lsn.0);
    out.raw(&previous.0);
    out.u64(retention_clock);
    let mut aad = [0; AAD_LEN];
    aad.copy_from_slice(out.as_slice());
    aad
}

impl Encode for Frame {
    fn encode(&self, out: &mut Writer) {
        out.count_within(RECORDS_MAX, self.records.len(), "frame record count");
        for record in &self.records {
            out.u16(record.tag());
            out.u16(record.version());
            out.nested(RECORD_LEN_MAX, "record body", |body| record.encode_body(body));
        }
    }
}

impl Decode for Frame {
    fn decode(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        let count = input.u32("frame record count")?;
        if count > RECORDS_MAX {
            return Err(FormatError::OverLimit {
                what: "frame record count",
                found: count.into(),
                limit: RECORDS_MAX.into(),
            });
        }
        let mut records = Vec::new();
        for _ in 0..count {
            let tag = input.u16("record tag")?;
            let version = input.u16("record version")?;
            let body = input.var(RECORD_LEN_MAX, "record body")?;
            records.push(Record::decode_body(tag, version, body)?);
        }
        Ok(Self { records })
    }
}
