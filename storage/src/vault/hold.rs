//! Case holds as the operator places them.

use std::sync::Arc;

use crate::engine::Engine;
use crate::error::{StorageError, StorageResult};
use crate::identity::operator_origin;
use crate::journal::sequencer::Commit;
use crate::object::holds;
use crate::object::types::{CaseHold, NewCaseHold};

/// Places a case hold; durable and audited on return, and from then on nobody can release it until there are two people to.
pub fn place(engine: &Arc<Engine>, new: NewCaseHold) -> StorageResult<CaseHold> {
    if let Some(refusal) = engine.refusal() {
        return Err(refusal);
    }
    let (answer, answered) = crossbeam_channel::bounded(1);
    engine.commit(Commit::of(Box::new(move |moment| {
        let (hold, records) = holds::propose_place(moment, &new, &operator_origin())?;
        let _ = answer.send(hold);
        Ok(records)
    })))?;
    answered.try_recv().map_err(|_| StorageError::Stopping("the case hold was not decided".into()))
}
