//! The first records of a life.

use kovcheg_format::id::DiskId;
use kovcheg_format::record::Record;
use kovcheg_format::record::audit::Action;
use kovcheg_format::record::pool::{DiskState, EpochStarted, Member, MembersChanged};
use kovcheg_format::record::segment::SegmentClosed;
use kovcheg_policy::clock::Resumption;

use crate::engine::Engine;
use crate::error::StorageResult;
use crate::identity::vault_origin;
use crate::journal::recover::Recovered;
use crate::journal::sequencer::Commit;
use crate::object::guard::audit_of;
use crate::vault::pool::FoundPool;
use crate::vault::{clock, disk_states};

/// Writes which stripe is the last that counts, who is here, which segments ended with the life before, why the index was not believed,
/// and what became of the time off. Durable on return.
pub fn announce(
    engine: &Engine,
    found: &FoundPool,
    recovered: &Recovered,
    unproven: &[DiskId],
    outcome: Resumption,
) -> StorageResult<()> {
    let retention = engine.retention.clone();
    let started = EpochStarted {
        epoch: engine.store.ids().epoch(),
        last_lsn: recovered.last.0,
        last_hash: recovered.last.1,
        release: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: engine.clock.wall_ms(),
        retention_clock: retention.now().time,
    };
    let mut records: Vec<Record> = vec![started.into()];
    let members = found.newest.members.iter().map(|disk| member(engine, *disk, unproven)).collect();
    records.push(MembersChanged { generation: found.newest.generation, members }.into());
    records.extend(
        recovered.open_segments.iter().map(|row| SegmentClosed { segment: row.opened.segment, len: row.len }.into()),
    );
    let doubt = recovered.doubt;
    engine.commit(Commit::of(Box::new(move |moment| {
        let why = doubt.map(|doubt| vec![doubt.code().to_owned()]);
        let discarded = why.map(|why| audit_of(moment, Action::DiscardIndex, &vault_origin(), ("", ""), why));
        records.extend(discarded.map(Record::from));
        records.extend(clock::announce(moment, &retention, outcome));
        Ok(records)
    })))
}

fn member(engine: &Engine, disk: DiskId, unproven: &[DiskId]) -> Member {
    let state = engine.disks.slot(disk).map_or(DiskState::Missing, |slot| slot.state());
    let state = disk_states::to_journal(state, unproven.contains(&disk));
    Member { disk, state, tier: 0, jurisdiction: 0 }
}
