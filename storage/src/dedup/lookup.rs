//! Chunk look-up: a bounded locality cache before the index (R18). Damaged chunks answer "absent" (R17).

use std::collections::{HashSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use kovcheg_format::id::{ChunkId, SegmentId};
use kovcheg_format::key;
use kovcheg_format::record::segment::ChunkRow;
use parking_lot::Mutex;

use crate::dedup::damage::Damage;
use crate::error::StorageResult;
use crate::index::{Column, Index, rows};

/// Stripes whose chunk lists one hit brings into the cache: a backup seen again comes in the order of last time.
const STRIPES_AHEAD: usize = 64;

struct Cache {
    known: HashSet<ChunkId>,
    order: VecDeque<ChunkId>,
    /// Regions already loaded, so that interleaved streams do not load one region again and again.
    loaded: VecDeque<(SegmentId, u64)>,
}

/// Look-ups of one vault.
pub struct ChunkLookup {
    index: Arc<dyn Index>,
    cache: Mutex<Cache>,
    ids_max: usize,
    damage: Damage,
}

/// What a look-up says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// A durable copy that counts.
    Known,
    /// No copy.
    Absent,
    /// A copy that is known to be damaged: store it anew and let the new one win.
    Damaged,
}

impl ChunkLookup {
    /// Look-ups over `index` with room for `ids_max` chunk ids.
    #[must_use]
    pub fn new(index: Arc<dyn Index>, ids_max: usize) -> Self {
        let cache = Cache { known: HashSet::new(), order: VecDeque::new(), loaded: VecDeque::new() };
        Self { index: index.clone(), cache: Mutex::new(cache), ids_max, damage: Damage::new(index, ids_max) }
    }

    /// Whether the vault holds a chunk. Only chunks that a durable record names are in the index (R2).
    pub fn presence(&self, id: ChunkId) -> StorageResult<Presence> {
        if self.damage.holds(id)? {
            return Ok(Presence::Damaged);
        }
        if self.cache.lock().known.contains(&id) {
            return Ok(Presence::Known);
        }
        let Some(found) = self.locate(id)? else { return Ok(Presence::Absent) };
        self.load_region(&found)?;
        Ok(Presence::Known)
    }

    /// Where a chunk lies.
    pub fn locate(&self, id: ChunkId) -> StorageResult<Option<ChunkRow>> {
        Ok(rows::get(self.index.as_ref(), Column::Chunk, &key::chunk(id))?)
    }

    /// The damage that is known.
    #[must_use]
    pub fn damage(&self) -> &Damage {
        &self.damage
    }

    /// Notes that a stripe is beyond repair: every chunk whose copy that counts lies in it will be stored anew (R17).
    pub fn mark_stripe_damaged(&self, segment: SegmentId, stripe: u64) -> StorageResult<()> {
        let row = rows::get::<rows::StripeRow>(self.index.as_ref(), Column::Stripe, &key::stripe(segment, stripe))?;
        for id in row.into_iter().flat_map(|row| row.chunks) {
            if self.locate(id)?.is_some_and(|copy| (copy.segment, copy.stripe) == (segment, stripe)) {
                self.damage.note(id, segment, stripe)?;
            }
        }
        Ok(())
    }

    /// Brings the chunk lists around a hit into the cache.
    fn load_region(&self, found: &ChunkRow) -> StorageResult<()> {
        let region = (found.segment, found.stripe);
        {
            let mut cache = self.cache.lock();
            if cache.loaded.contains(&region) {
                return Ok(());
            }
            cache.loaded.push_back(region);
            while cache.loaded.len() > 256 {
                cache.loaded.pop_front();
            }
        }
        let mut ids = Vec::new();
        let mut stripes = 0;
        let from = key::stripe(found.segment, found.stripe);
        let end = key::after_prefix(&key::segment(found.segment));
        self.index.scan(Column::Stripe, &from, end.as_deref(), &mut |_, value| {
            if let Ok(stripe) = <rows::StripeRow as kovcheg_format::Decode>::from_bytes(value) {
                ids.extend(stripe.chunks);
            }
            stripes += 1;
            if stripes < STRIPES_AHEAD { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        let mut cache = self.cache.lock();
        for id in ids {
            if cache.known.insert(id) {
                cache.order.push_back(id);
            }
        }
        while cache.order.len() > self.ids_max {
            if let Some(oldest) = cache.order.pop_front() {
                cache.known.remove(&oldest);
            }
        }
        Ok(())
    }
}
