//! What the journal does not know yet of the disks: a disk that was fenced, or that serves again.

use std::ops::ControlFlow;

use kovcheg_format::record::Record;
use kovcheg_format::record::pool::{DiskStateChanged, Member};

use crate::engine::Engine;
use crate::error::StorageResult;
use crate::index::{Column, rows};

/// Records that bring the journal up to date with the states of the disks; none when it is.
pub fn changes(engine: &Engine) -> StorageResult<Vec<Record>> {
    let mut members = Vec::new();
    rows::scan::<Member>(engine.index.as_ref(), Column::Disk, &[], None, &mut |_, member| {
        members.push(member);
        ControlFlow::Continue(())
    })?;
    let changed_at = engine.clock.wall_ms();
    let changed = members.iter().filter_map(|member| {
        let (state, reason) = engine.disks.slot(member.disk)?.state_and_reason();
        let reason = reason.unwrap_or_default();
        (state != member.state).then(|| DiskStateChanged { disk: member.disk, state, reason, changed_at }.into())
    });
    Ok(changed.collect())
}
