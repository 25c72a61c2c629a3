//! Recovery: bring the index up to the end of the chain, decide the tail once, and say which segments a crash left open (R3, R8).

use kovcheg_format::Decode;
use kovcheg_format::frame::{Frame, associated_data};
use kovcheg_format::id::{Epoch, Lsn, StripeHash};
use kovcheg_format::key;
use kovcheg_format::record::Record;
use kovcheg_format::record::segment::SegmentRow;
use kovcheg_format::units::TimestampMs;
use std::ops::ControlFlow;
use zeroize::Zeroizing;

use crate::error::{StorageError, StorageResult};
use crate::index::rows::{self, META_APPLIED, META_FACTS};
use crate::index::seal::{Doubt, FactSeal};
use crate::index::{Column, Index, IndexError, IndexRead};
use crate::journal::apply::{Applied, Overlay, StripePlace, apply_frame, read_applied};
use crate::journal::scan::{Chain, ChainStripe};
use crate::journal::{checkpoint, doubt};
use crate::keys::keyring::MetadataCipher;
use crate::segment::repair::{LoadedStripe, Mender};

/// What recovery found.
#[derive(Debug, Clone)]
pub struct Recovered {
    /// Newest stripe of the chain; position 0 in a new vault.
    pub last: (Lsn, StripeHash),
    /// Stripes replayed into the index.
    pub replayed: u64,
    /// Journal payload bytes read.
    pub bytes_read: u64,
    /// Whether the index was thrown away.
    pub index_discarded: bool,
    /// Why it, or one before it, was not believed, where the audit trail does not say so yet.
    pub doubt: Option<Doubt>,
    /// Retention clock in the header of the newest stripe; `None` where the vault takes no writes and it cannot be read.
    pub retention_clock: Option<TimestampMs>,
    /// Segments and journal files that were open when the last life ended.
    pub open_segments: Vec<SegmentRow>,
}

/// What replay needs.
pub struct Replay<'a> {
    /// Loads and mends stripes.
    pub mender: &'a Mender,
    /// The view to bring up to date.
    pub index: &'a dyn Index,
    /// Opens frames.
    pub cipher: &'a MetadataCipher,
    /// Tells whether the index is as it was left, and seals what is applied.
    pub seal: &'a FactSeal,
    /// The life that opens the vault.
    pub epoch: Epoch,
    /// Whether torn tails may be rewritten (not when opened read-only).
    pub may_write: bool,
}

/// Replays what the index lacks. The index is durable up to the end of the chain on return. `progress` hears the position after
/// every stripe.
pub fn recover(replay: &Replay<'_>, chain: &mut Chain, progress: &mut dyn FnMut(Lsn)) -> StorageResult<Recovered> {
    doubt::settle(replay.index, replay.epoch)?;
    let index_discarded = position(replay, chain)?;
    let mut replayed = 0;
    loop {
        let before = chain.last();
        let Some(mut found) = chain.advance_where(&|stripe| opens(replay.cipher, stripe))? else { break };
        let frame = open_frame(replay.cipher, &found)?;
        check_epochs(&frame, before, &found)?;
        // Headers name only the disks that are there; the stripe is mended by the word of the records.
        for record in &frame.records {
            if let Record::SegmentOpened(opened) = record {
                chain.learn(opened);
            }
        }
        chain.correct(&mut found);
        mend(replay, &found)?;
        replay_stripe(replay, &found, &frame)?;
        replayed += 1;
        progress(chain.last().0);
    }
    if replayed > 0 || index_discarded {
        replay.index.flush()?;
    }
    // A crash may have come after the entry was written and before the index was durable with it: replay has seen to that.
    let doubt = doubt::kept(replay.index)?;
    let open_segments = open_segments(replay.index)?;
    let retention_clock = match newest_clock(replay) {
        Err(error) if !replay.may_write => {
            tracing::warn!(%error, "the retention clock of the newest journal stripe cannot be read");
            None
        }
        other => Some(other?),
    };
    let (last, bytes_read) = (chain.last(), chain.bytes_read());
    Ok(Recovered { last, replayed, bytes_read, index_discarded, doubt, retention_clock, open_segments })
}

/// Puts the chain's cursor where the index stands; an index that is not on the chain (R8) or not as it was left (L-1) is wiped, and a
/// lost one filled from the newest checkpoint that is. Answers whether it was wiped.
fn position(replay: &Replay<'_>, chain: &mut Chain) -> StorageResult<bool> {
    let doubt = match rows::get::<Applied>(replay.index, Column::Meta, META_APPLIED) {
        Ok(Some(applied)) => match place(replay, chain, &applied)? {
            None => return Ok(false),
            found => found,
        },
        // Wiping and filling put rows into the other columns before the first one here: it is lost, not edited.
        Ok(None) => replay.index.get(Column::Meta, META_FACTS)?.map(|_| Doubt::Astray),
        Err(IndexError::Row { .. }) => Some(Doubt::Astray),
        Err(other) => return Err(other.into()),
    };
    if let Some(doubt) = doubt {
        tracing::error!("the index is not believed: {doubt}; it is thrown away and built anew from the journal");
        doubt::keep(replay.index, replay.epoch, doubt)?;
    }
    replay.index.wipe()?;
    // A checkpoint has no word of its own: one whose stripe the journal does not show is passed over for an older one.
    let on_chain = &mut |taken: &Applied| {
        if replay.seal.tag_doubt(replay.index)?.is_some() {
            return Ok(false);
        }
        match chain.seek(taken.journal, taken.offset, taken.lsn, taken.hash) {
            Err(StorageError::Damaged { .. }) => Ok(false),
            other => other,
        }
    };
    checkpoint::load_where(replay.mender, replay.cipher, replay.index, on_chain)?;
    if let Some(loaded) = read_applied(replay.index)? {
        learn_newest(replay, chain, &loaded)?;
    }
    Ok(doubt.is_some())
}

/// Puts the chain's cursor where an index says it stands; else says why the index is not believed.
fn place(replay: &Replay<'_>, chain: &mut Chain, applied: &Applied) -> StorageResult<Option<Doubt>> {
    match chain.seek(applied.journal, applied.offset, applied.lsn, applied.hash) {
        Ok(true) => {
            let doubt = replay.seal.doubt(replay.index)?;
            match doubt {
                Some(_) if replay.may_write => chain.rewind(),
                // A vault that takes no writes removes nothing either: it shows what it has.
                Some(doubt) => {
                    tracing::error!("the index is not believed: {doubt}; it stays while the vault takes no writes");
                    learn_newest(replay, chain, applied)?;
                    return Ok(None);
                }
                None => learn_newest(replay, chain, applied)?,
            }
            Ok(doubt)
        }
        // With too few disks to read the journal, the index is all there is to tell what is lost: it stays as it is.
        Ok(false) | Err(StorageError::Damaged { .. }) if !replay.may_write => {
            chain.trust(applied.lsn, applied.hash);
            Ok(None)
        }
        Ok(false) => Ok(Some(Doubt::Astray)),
        Err(other) => Err(other),
    }
}

/// Only once the index is known to be on the chain: that of another vault would teach it disks that are not here.
fn learn_newest(replay: &Replay<'_>, chain: &mut Chain, applied: &Applied) -> StorageResult<()> {
    if let Some(row) = rows::get::<SegmentRow>(replay.index, Column::Segment, &key::segment(applied.journal))? {
        chain.learn(&row.opened);
    }
    Ok(())
}

/// A life says which stripe it goes on from. Any other before it means that a part of the journal is lost.
fn check_epochs(frame: &Frame, before: (Lsn, StripeHash), found: &ChainStripe) -> StorageResult<()> {
    let started = frame.records.iter().filter_map(|record| match record {
        Record::EpochStarted(started) => Some(started),
        _ => None,
    });
    for started in started {
        if (started.last_lsn, started.last_hash) != before {
            return Err(StorageError::Damaged {
                segment: found.opened.segment,
                offset: found.stripe.header.offset,
                lost: usize::from(found.opened.m) + 1,
                width: found.opened.disks.len(),
                detail: format!(
                    "epoch {} goes on from journal position {}, which is not the stripe found before it; bring back the missing disks \
                     and start again",
                    started.epoch.0, started.last_lsn
                ),
            });
        }
    }
    Ok(())
}

/// Rewrites a stripe that is not at full width, before anything is served from it (R3).
fn mend(replay: &Replay<'_>, found: &ChainStripe) -> StorageResult<()> {
    if !replay.may_write || found.stripe.lost.is_empty() {
        return Ok(());
    }
    let known = found.opened.disks.iter().all(|disk| replay.mender.disks.slot(*disk).is_some());
    if known {
        replay.mender.write_back(&found.opened, &found.stripe)?;
    }
    Ok(())
}

fn replay_stripe(replay: &Replay<'_>, found: &ChainStripe, frame: &Frame) -> StorageResult<()> {
    let header = &found.stripe.header;
    let place = StripePlace {
        segment: header.segment,
        offset: header.offset,
        shard_len: header.shard_len,
        inner_len: header.inner_len,
        lsn: header.lsn,
        epoch: header.epoch,
        hash: header.hash,
        retention_clock: header.retention_clock,
    };
    let mut overlay = Overlay::sealed(replay.index, replay.seal)?;
    apply_frame(&mut overlay, &place, &frame.records)?;
    replay.index.apply(overlay.into_batch(&place.applied()))?;
    Ok(())
}

/// Whether the frame of a stripe opens.
#[must_use]
pub fn opens(cipher: &MetadataCipher, stripe: &LoadedStripe) -> bool {
    open_sealed(cipher, stripe).is_ok()
}

/// Opens and decodes the records of a journal stripe.
pub fn open_frame(cipher: &MetadataCipher, found: &ChainStripe) -> StorageResult<Frame> {
    let plain = open_sealed(cipher, &found.stripe)?;
    Frame::from_bytes(&plain).map_err(|source| StorageError::format("journal frame", source))
}

/// Opens the sealed frame of a stripe, which binds what its header says of its place in the order.
fn open_sealed(cipher: &MetadataCipher, stripe: &LoadedStripe) -> StorageResult<Zeroizing<Vec<u8>>> {
    let header = &stripe.header;
    let sealed = stripe.payload.get(..header.inner_len as usize).unwrap_or(&[]);
    let aad = associated_data(header.pool, header.epoch, header.lsn, header.previous, header.retention_clock);
    cipher.open(&aad, sealed)
}

/// The retention clock of the newest stripe, by the word of the stripe itself, whose seal binds it.
fn newest_clock(replay: &Replay<'_>) -> StorageResult<TimestampMs> {
    let Some(applied) = read_applied(replay.index)? else { return Ok(0) };
    // Never 0 instead, with which the clock would run backwards (L-2).
    let gone = || {
        let what = "the newest journal stripe is not where the index has it; run `kovcheg rebuild-index`";
        StorageError::Operator(what.to_owned())
    };
    let row: Option<SegmentRow> = rows::get(replay.index, Column::Segment, &key::segment(applied.journal))?;
    let row = row.ok_or_else(gone)?;
    let is_it = |stripe: &LoadedStripe| (stripe.header.lsn, stripe.header.hash) == (applied.lsn, applied.hash);
    let stripe = replay.mender.load_where(&row.opened, applied.offset, None, &is_it)?.ok_or_else(gone)?;
    open_sealed(replay.cipher, &stripe)?;
    Ok(stripe.header.retention_clock)
}

fn open_segments(index: &dyn IndexRead) -> StorageResult<Vec<SegmentRow>> {
    let mut open = Vec::new();
    let mut failure = None;
    index.scan(Column::Segment, &[], None, &mut |_, value| match SegmentRow::from_bytes(value) {
        Ok(row) => {
            if !row.closed {
                open.push(row);
            }
            ControlFlow::Continue(())
        }
        Err(source) => {
            failure = Some(IndexError::Row { column: "segment", source });
            ControlFlow::Break(())
        }
    })?;
    match failure {
        Some(error) => Err(error.into()),
        None => Ok(open),
    }
}
