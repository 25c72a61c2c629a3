//! What the journal knows of the disks, and does not know yet: a disk that was fenced, or that serves again. A fence outlives the
//! process: a disk that the journal last knew as fenced must prove itself by a full comparison before it counts again.

use std::ops::ControlFlow;

use kovcheg_format::id::DiskId;
use kovcheg_format::record::Record;
use kovcheg_format::record::pool::{DiskState, DiskStateChanged, Member};

use crate::engine::Engine;
use crate::error::StorageResult;
use crate::index::{Column, IndexRead, rows};

/// Disks that the journal last knew as fenced or returning: they must prove themselves before they count.
pub fn unproven(index: &dyn IndexRead) -> StorageResult<Vec<DiskId>> {
    let members = members(index)?.into_iter();
    Ok(members.filter(|member| is_unproven(member.state)).map(|member| member.disk).collect())
}

/// What the journal should know of a disk. One that is missing stays as unproven as it was.
#[must_use]
pub fn to_journal(state: DiskState, was_unproven: bool) -> DiskState {
    if state == DiskState::Missing && was_unproven { DiskState::Fenced } else { state }
}

/// Records that bring the journal up to date with the states of the disks; none when it is.
pub fn changes(engine: &Engine) -> StorageResult<Vec<Record>> {
    let members = members(engine.index.as_ref())?;
    let changed_at = engine.clock.wall_ms();
    let changed = members.iter().filter_map(|member| {
        let (state, reason) = engine.disks.slot(member.disk)?.state_and_reason();
        let (state, reason) = (to_journal(state, is_unproven(member.state)), reason.unwrap_or_default());
        (state != member.state).then(|| DiskStateChanged { disk: member.disk, state, reason, changed_at }.into())
    });
    Ok(changed.collect())
}

fn is_unproven(state: DiskState) -> bool {
    matches!(state, DiskState::Fenced | DiskState::Returning)
}

fn members(index: &dyn IndexRead) -> StorageResult<Vec<Member>> {
    let mut members = Vec::new();
    rows::scan::<Member>(index, Column::Disk, &[], None, &mut |_, member| {
        members.push(member);
        ControlFlow::Continue(())
    })?;
    Ok(members)
}
