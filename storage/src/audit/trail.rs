//! The trail itself, from the first entry on: read from the journal, not from the index, and compared with what the index says of it.

use std::ops::ControlFlow;

use kovcheg_format::audit::{AuditTree, Checkpoint, entry_text, export_line};
use kovcheg_format::record::Record;

use crate::engine::Engine;
use crate::error::{StorageError, StorageResult};
use crate::index::rows;
use crate::journal::apply::read_applied;
use crate::journal::recover::{open_frame, opens};
use crate::journal::scan::Chain;

/// How a reading ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrailEnd {
    /// The tree over the entries that were read.
    pub tree: AuditTree,
    /// Whether all were; otherwise the reader broke off.
    pub whole: bool,
}

/// Reads the trail up to where it was durable at the call, beside a running server too: `visit` gets each entry as a line of an export, without
/// its end of line. Reads the whole journal. Blocks on disks.
///
/// # Errors
/// When a stripe cannot be read; and, at the end, when the trail is not the one that the index went by.
pub fn read(engine: &Engine, visit: &mut dyn FnMut(String) -> ControlFlow<()>) -> StorageResult<TrailEnd> {
    let view = engine.index.snapshot();
    let mut tree = AuditTree::default();
    let Some(applied) = read_applied(view.as_ref())? else { return Ok(TrailEnd { tree, whole: true }) };
    let mut chain = Chain::find(engine.reader.mender().clone())?;
    while chain.last().0 < applied.lsn {
        let found = chain.advance_where(&|stripe| opens(&engine.metadata, stripe))?;
        let Some(found) = found else { return Err(differs("it ends before the position that the index has")) };
        let header = &found.stripe.header;
        let (lsn, clock) = (header.lsn, header.retention_clock);
        for record in open_frame(&engine.metadata, &found)?.records {
            if let Record::SegmentOpened(opened) = &record {
                chain.learn(opened);
            }
            let Some(text) = entry_text(tree.size, lsn, clock, &record) else { continue };
            tree.append(&text);
            tree.lsn = lsn;
            if visit(export_line(&text, tree.chain)).is_break() {
                return Ok(TrailEnd { tree, whole: false });
            }
        }
    }
    if chain.last() != (applied.lsn, applied.hash) || rows::audit_tree(view.as_ref())?.as_ref() != Some(&tree) {
        return Err(differs("it is not the one that the index went by"));
    }
    Ok(TrailEnd { tree, whole: true })
}

/// The head of the trail as it is durable now, signed. Reads one row of the index.
pub fn checkpoint(engine: &Engine) -> StorageResult<String> {
    let tree = rows::audit_tree(engine.index.as_ref())?.ok_or_else(|| differs("there is none"))?;
    let checkpoint = Checkpoint::of(engine.disks.pool, &tree, engine.retention.now().time);
    Ok(engine.signer.sign(&checkpoint))
}

fn differs(how: &str) -> StorageError {
    StorageError::Operator(format!(
        "the audit trail of the journal does not match the index: {how}; run `kovcheg rebuild-index`"
    ))
}
