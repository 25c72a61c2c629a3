//! Quotas of buckets as the operator sets them.

use std::sync::Arc;

use crate::engine::Engine;
use crate::error::{StorageError, StorageResult};
use crate::identity::operator_origin;
use crate::journal::sequencer::Commit;
use crate::object::quota;
use crate::object::types::BucketStatus;

/// Sets the quota of a bucket, or, with `None`, takes it away; durable and audited on return.
pub fn set(engine: &Arc<Engine>, bucket: &str, bytes: Option<u64>) -> StorageResult<BucketStatus> {
    if let Some(refusal) = engine.refusal() {
        return Err(refusal);
    }
    let (answer, answered) = crossbeam_channel::bounded(1);
    let bucket = bucket.to_owned();
    engine.commit(Commit::of(Box::new(move |moment| {
        let (status, records) = quota::propose_set(moment, &bucket, bytes, &operator_origin())?;
        let _ = answer.send(status);
        Ok(records)
    })))?;
    answered.try_recv().map_err(|_| StorageError::Stopping("the quota was not decided".into()))
}
