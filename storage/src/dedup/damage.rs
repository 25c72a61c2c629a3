//! Chunks whose copy that counts cannot be read: look-ups answer "absent" for them, so that the next upload of the same content heals
//! them (R17). What a reader finds is noted here at once and written to the journal a moment later, so that it outlives the process.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kovcheg_format::id::{ChunkId, SegmentId};
use kovcheg_format::key;
use kovcheg_format::record::segment::ChunksDamaged;
use parking_lot::Mutex;

use crate::index::{Column, Index, IndexError, IndexRead};

/// Chunks that one round of the housekeeper writes: half a MiB of journal.
const CHUNKS_PER_ROUND: usize = 16 << 10;

/// Segment and offset of a stripe.
type Place = (SegmentId, u64);

/// The damage of one vault that is known.
pub struct Damage {
    index: Arc<dyn Index>,
    /// Not in the journal yet.
    noted: Mutex<HashMap<ChunkId, Place>>,
    noted_max: usize,
    /// Whether the index may hold marks: in a sound vault a look-up does not ask for them.
    any: AtomicBool,
}

impl Damage {
    /// The damage that `index` knows, with room for `noted_max` chunks that it does not know yet.
    #[must_use]
    pub fn new(index: Arc<dyn Index>, noted_max: usize) -> Self {
        // An index that cannot be read has no say here; whoever looks up a chunk meets the error.
        let any = has_marks(index.as_ref()).unwrap_or(true);
        Self { index, noted: Mutex::default(), noted_max, any: AtomicBool::new(any) }
    }

    /// Whether the copy of a chunk is known to be damaged.
    pub fn holds(&self, id: ChunkId) -> Result<bool, IndexError> {
        if !self.any.load(Ordering::Acquire) {
            return Ok(false);
        }
        if self.noted.lock().contains_key(&id) {
            return Ok(true);
        }
        Ok(self.index.get(Column::Damaged, &key::chunk(id))?.is_some())
    }

    /// Notes that the copy of a chunk in this stripe cannot be read. Beyond the bound it is left out: the next reader comes again.
    pub fn note(&self, id: ChunkId, segment: SegmentId, stripe: u64) -> Result<(), IndexError> {
        self.any.store(true, Ordering::Release);
        if self.index.get(Column::Damaged, &key::chunk(id))?.is_some_and(|place| place == key::stripe(segment, stripe))
        {
            return Ok(());
        }
        let mut noted = self.noted.lock();
        if noted.len() < self.noted_max {
            noted.insert(id, (segment, stripe));
        }
        Ok(())
    }

    /// Forgets what was noted of a chunk: a new copy counts.
    pub fn forget(&self, id: ChunkId) {
        self.noted.lock().remove(&id);
    }

    /// Some of what is noted, as records, one for each stripe; it stays noted until [`Damage::written`].
    #[must_use]
    pub fn due(&self) -> Vec<ChunksDamaged> {
        let mut stripes: HashMap<Place, Vec<ChunkId>> = HashMap::new();
        for (id, place) in self.noted.lock().iter().take(CHUNKS_PER_ROUND) {
            stripes.entry(*place).or_default().push(*id);
        }
        let records = stripes.into_iter().map(|((segment, stripe), mut chunks)| {
            chunks.sort_unstable();
            ChunksDamaged { segment, stripe, chunks }
        });
        let mut records: Vec<ChunksDamaged> = records.collect();
        records.sort_unstable_by_key(|record| (record.segment, record.stripe));
        records
    }

    /// The records are in the index: what they say need not be kept here.
    pub fn written(&self, records: &[ChunksDamaged]) {
        let mut noted = self.noted.lock();
        for record in records {
            for id in &record.chunks {
                if noted.get(id) == Some(&(record.segment, record.stripe)) {
                    noted.remove(id);
                }
            }
        }
    }
}

fn has_marks(index: &dyn IndexRead) -> Result<bool, IndexError> {
    let mut any = false;
    index.scan(Column::Damaged, &[], None, &mut |_, _| {
        any = true;
        ControlFlow::Break(())
    })?;
    Ok(any)
}
