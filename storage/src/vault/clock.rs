//! The retention clock at the start of a life, and accepted by people (R12).

use std::sync::Arc;

use kovcheg_format::record::Record;
use kovcheg_format::record::audit::Action;
use kovcheg_policy::clock::{self, ClockState, Resumption};
use parking_lot::Mutex;

use crate::engine::Engine;
use crate::error::{StorageError, StorageResult};
use crate::identity::{operator_origin, vault_origin};
use crate::journal::retention_clock::RetentionClock;
use crate::journal::sequencer::{Commit, Moment};
use crate::object::guard::audit_of;
use crate::vault::kit;
use crate::vault::pool::FoundPool;

/// The first records of the clock in a life: what became of the time off, if anything did, and where it stands.
#[must_use]
pub fn announce(moment: &Moment<'_>, clock: &RetentionClock, outcome: Resumption) -> Vec<Record> {
    let said = match outcome {
        Resumption::Nothing => None,
        Resumption::Lagging(off) => {
            tracing::warn!(off_ms = off, "the retention clock lags behind by the time the vault was off");
            None
        }
        Resumption::Credited(off) => Some((Action::CreditClock, off)),
        Resumption::Disputed(off) => {
            tracing::error!(
                off_ms = off,
                "the retention clock is disputed: nothing expires until `kovcheg clock accept`"
            );
            Some((Action::DisputeClock, off))
        }
    };
    let by = vault_origin();
    let said = said.map(|(action, off)| audit_of(moment, action, &by, ("", ""), vec![format!("{off} ms")]).into());
    said.into_iter().chain([clock.record(clock.now()).into()]).collect()
}

/// Accepts the wall clock as the retention clock's time and ends a dispute; durable and audited on return. Until there are people, the code
/// of the recovery kit stands for two of them.
pub fn accept(engine: &Arc<Engine>, found: &FoundPool, code: &str) -> StorageResult<ClockState> {
    if let Some(refusal) = engine.refusal() {
        return Err(refusal);
    }
    kit::slot_of(found, code)?;
    let (shared, accepted) = (engine.clone(), Arc::new(Mutex::new(None)));
    let told = accepted.clone();
    engine.commit(Commit::of(Box::new(move |moment| {
        let after = clock::accept(moment.clock, moment.now);
        let reasons = vec![format!("was {}", shown(moment.clock)), format!("is {}", shown(after))];
        let audited = audit_of(moment, Action::AcceptClock, &operator_origin(), ("", ""), reasons);
        // Before the stripe is written: its header must show the new time, by which alone the next life goes on. A stripe that cannot be
        // written ends the journal, and with it whatever the clock could let go.
        shared.retention.set(after);
        *told.lock() = Some(after);
        Ok(vec![audited.into(), shared.retention.record(after).into()])
    })))?;
    let after = *accepted.lock();
    after.ok_or_else(|| StorageError::Stopping("the clock was not asked".into()))
}

fn shown(state: ClockState) -> String {
    format!("{} ms{}", state.time, if state.disputed { ", disputed" } else { "" })
}
