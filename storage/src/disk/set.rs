//! The disks of a pool as the running engine sees them: who is there, who takes writes, and who was fenced and why (R13).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kovcheg_format::id::{DiskId, PoolId};
use kovcheg_format::record::pool::DiskState;
use kovcheg_format::superblock::FailureDomain;
use parking_lot::RwLock;

use crate::disk::{Disk, DiskError, DiskResult, Ticket};
use crate::status::DiskStatus;

/// Bad ranges after which a disk gets no more writes (R13): far above what a healthy disk shows in its life, far below what a
/// dying one shows in an hour.
const BAD_RANGES_MAX: u64 = 4096;

/// How long a disk counts as full after a write found it so, whatever it says of its free space.
const FULL_FOR: Duration = Duration::from_secs(60);
/// How long reads go around a disk that let one wait for too long.
const LATE_FOR: Duration = Duration::from_secs(60);

/// One member of the pool.
pub struct DiskSlot {
    /// Its name.
    pub id: DiskId,
    /// Its path, or why it has none.
    pub label: String,
    /// Where it stands.
    pub failure_domain: FailureDomain,
    disk: Option<Arc<dyn Disk>>,
    state: RwLock<(DiskState, Option<String>)>,
    bad_ranges: AtomicU64,
    repaired: AtomicU64,
    /// Whether it has more than the reserve free.
    roomy: AtomicBool,
    /// When a write last found it full.
    found_full: RwLock<Option<Instant>>,
    /// When it last let a read wait for too long.
    late: RwLock<Option<Instant>>,
}

impl DiskSlot {
    /// A disk that is there.
    #[must_use]
    pub fn present(id: DiskId, disk: Arc<dyn Disk>, state: DiskState, failure_domain: FailureDomain) -> Self {
        let label = disk.label().to_owned();
        let state = RwLock::new((state, None));
        Self {
            id,
            label,
            failure_domain,
            disk: Some(disk),
            state,
            bad_ranges: AtomicU64::new(0),
            repaired: AtomicU64::new(0),
            roomy: AtomicBool::new(true),
            found_full: RwLock::new(None),
            late: RwLock::new(None),
        }
    }

    /// A member that was not found at opening.
    #[must_use]
    pub fn missing(id: DiskId) -> Self {
        Self {
            id,
            label: format!("(disk {id}, not found)"),
            failure_domain: FailureDomain::default(),
            disk: None,
            state: RwLock::new((DiskState::Missing, Some("no configured path holds it".to_owned()))),
            bad_ranges: AtomicU64::new(0),
            repaired: AtomicU64::new(0),
            roomy: AtomicBool::new(true),
            found_full: RwLock::new(None),
            late: RwLock::new(None),
        }
    }

    /// The disk, for reading: fenced disks are still read, with verification.
    #[must_use]
    pub fn readable(&self) -> Option<&Arc<dyn Disk>> {
        self.disk.as_ref()
    }

    /// The disk, for writing.
    #[must_use]
    pub fn writable(&self) -> Option<&Arc<dyn Disk>> {
        if self.state() == DiskState::Serving { self.disk.as_ref() } else { None }
    }

    /// The disk, for putting back shards that it lost: also while it is returning.
    #[must_use]
    pub fn repairable(&self) -> Option<&Arc<dyn Disk>> {
        match self.state() {
            DiskState::Serving | DiskState::Returning => self.disk.as_ref(),
            DiskState::Fenced | DiskState::Missing => None,
        }
    }

    /// Its state.
    #[must_use]
    pub fn state(&self) -> DiskState {
        self.state.read().0
    }

    /// Its state, and why.
    #[must_use]
    pub fn state_and_reason(&self) -> (DiskState, Option<String>) {
        self.state.read().clone()
    }

    /// Changes the state.
    pub fn set_state(&self, state: DiskState, reason: Option<String>) {
        *self.state.write() = (state, reason);
    }

    /// Counts a range that could not be read or did not match its checksum; too many fence the disk.
    pub fn count_bad_range(&self) {
        let seen = self.bad_ranges.fetch_add(1, Ordering::Relaxed) + 1;
        if seen == BAD_RANGES_MAX {
            self.fence("too many bad ranges");
        }
    }

    /// Counts a shard that was written back.
    pub fn count_repaired(&self) {
        self.repaired.fetch_add(1, Ordering::Relaxed);
    }

    /// Shards written back since start.
    #[must_use]
    pub fn repaired(&self) -> u64 {
        self.repaired.load(Ordering::Relaxed)
    }

    /// Notes whether it has more than the reserve free.
    pub fn note_free(&self, roomy: bool) {
        if self.roomy.swap(roomy, Ordering::Relaxed) && !roomy {
            tracing::warn!(disk = %self.label, "disk nearly full: new segments go elsewhere");
        }
    }

    /// Whether new segments may be placed on it: it has more than the reserve free, and no write found it full of late.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.roomy.load(Ordering::Relaxed) && self.found_full.read().is_none_or(|at| at.elapsed() >= FULL_FOR)
    }

    /// Notes that it did not answer in time: for a minute reads go around the disk, and it gets no more writes (R13).
    pub fn note_late(&self) {
        tracing::warn!(disk = %self.label, "disk does not answer: its shards count as lost for a minute");
        *self.late.write() = Some(Instant::now());
        self.fence("it did not answer in time");
    }

    /// Whether it did not answer a moment ago: whoever reads goes around it instead of waiting as well.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.late.read().is_some_and(|at| at.elapsed() < LATE_FOR)
    }

    /// Stops writes to the disk; it is still read. Logged once.
    pub fn fence(&self, reason: &str) {
        let mut state = self.state.write();
        if matches!(state.0, DiskState::Serving | DiskState::Returning) {
            tracing::error!(disk = %self.label, reason, "disk fenced: it gets no more writes; replace it");
            *state = (DiskState::Fenced, Some(reason.to_owned()));
        }
    }

    /// The slot for `status`.
    #[must_use]
    pub fn status(&self) -> DiskStatus {
        let (state, reason) = self.state.read().clone();
        let space = self.disk.as_ref().and_then(|disk| disk.space().ok());
        DiskStatus {
            label: self.label.clone(),
            id: self.id.to_string(),
            state: state_word(state).to_owned(),
            reason,
            driver: self.disk.as_ref().map_or("none", |disk| disk.driver()).to_owned(),
            total: space.map_or(0, |space| space.total),
            free: space.map_or(0, |space| space.free),
            bad_ranges: self.bad_ranges.load(Ordering::Relaxed),
            repaired: self.repaired(),
        }
    }
}

/// The word for a state in CLI, metrics and logs.
#[must_use]
pub fn state_word(state: DiskState) -> &'static str {
    match state {
        DiskState::Serving => "serving",
        DiskState::Fenced => "fenced",
        DiskState::Missing => "missing",
        DiskState::Returning => "returning",
    }
}

/// All members of a pool.
pub struct DiskSet {
    /// The pool.
    pub pool: PoolId,
    /// Data shards at full width.
    pub k: u8,
    /// Parity shards, at every width.
    pub m: u8,
    /// How long one operation may take.
    pub deadline: Duration,
    slots: Vec<Arc<DiskSlot>>,
    by_id: HashMap<DiskId, Arc<DiskSlot>>,
}

impl DiskSet {
    /// A set of members.
    #[must_use]
    pub fn new(pool: PoolId, k: u8, m: u8, deadline: Duration, slots: Vec<DiskSlot>) -> Self {
        let slots: Vec<Arc<DiskSlot>> = slots.into_iter().map(Arc::new).collect();
        let by_id = slots.iter().map(|slot| (slot.id, slot.clone())).collect();
        Self { pool, k, m, deadline, slots, by_id }
    }

    /// Every member, in the order of configuration.
    #[must_use]
    pub fn slots(&self) -> &[Arc<DiskSlot>] {
        &self.slots
    }

    /// A member.
    #[must_use]
    pub fn slot(&self, id: DiskId) -> Option<&Arc<DiskSlot>> {
        self.by_id.get(&id)
    }

    /// Waits for a read from a member, at most the deadline, and notes when it does not come.
    pub fn wait_for<T>(&self, slot: Option<&DiskSlot>, read: Ticket<T>) -> DiskResult<T> {
        let answer = read.wait(self.deadline);
        if let (Err(DiskError::Late(_)), Some(slot)) = (&answer, slot) {
            slot.note_late();
        }
        answer
    }

    /// Members that take writes.
    #[must_use]
    pub fn writable(&self) -> Vec<Arc<DiskSlot>> {
        self.slots.iter().filter(|slot| slot.writable().is_some()).cloned().collect()
    }

    /// Every disk that does not serve, and why.
    #[must_use]
    pub fn complaints(&self) -> String {
        let idle = self.slots.iter().filter(|slot| slot.writable().is_none());
        let each = idle.map(|slot| {
            let (state, reason) = slot.state.read().clone();
            format!("{} is {}: {}", slot.label, state_word(state), reason.unwrap_or_default())
        });
        each.collect::<Vec<_>>().join("; ")
    }

    /// Data shards that new segments can have now: k, or fewer on a narrower pool (R4); `None` below m+1 writable disks.
    #[must_use]
    pub fn width_now(&self) -> Option<u8> {
        let spare = self.writable().len().checked_sub(usize::from(self.m)).filter(|k| *k > 0)?;
        Some(u8::try_from(spare).unwrap_or(u8::MAX).min(self.k))
    }

    /// Fences a disk after a failed write or a missed deadline (R13). A full disk is sound: it gets no new segments for a while. A
    /// descriptor that could not be had says nothing of the disk.
    pub fn failed_write(&self, id: DiskId, error: &DiskError) {
        let Some(slot) = self.slot(id) else { return };
        match error {
            DiskError::Full { .. } => {
                tracing::warn!(disk = %slot.label, "disk full: new segments go elsewhere");
                *slot.found_full.write() = Some(Instant::now());
            }
            error if error.is_shortage() => {}
            error => slot.fence(&error.to_string()),
        }
    }

    /// Fences a disk after a failed flush, whatever the reason: everything since the last good one is lost (R13).
    pub fn failed_flush(&self, id: DiskId, error: &DiskError) {
        if let Some(slot) = self.slot(id) {
            slot.fence(&error.to_string());
        }
    }

    /// Whether any member does not serve.
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        self.slots.iter().any(|slot| slot.state() != DiskState::Serving)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::time::Duration;

    use kovcheg_format::id::{DiskId, PoolId};
    use kovcheg_format::record::pool::DiskState;
    use kovcheg_format::superblock::FailureDomain;

    use super::{DiskSet, DiskSlot};
    use crate::disk::{DiskError, Ticket};
    use crate::testing::sim_disk::SimPool;

    /// Goal: a read that misses its deadline costs the disk its writes, whoever read, and the next readers nothing (R13).
    #[test]
    fn a_late_read_fences() {
        let id = DiskId([1; 16]);
        let disk = SimPool::new(1, 1).disk(0);
        let slot = DiskSlot::present(id, disk, DiskState::Serving, FailureDomain::default());
        let set = DiskSet::new(PoolId([2; 16]), 1, 1, Duration::from_millis(20), vec![slot]);
        let slot = set.slot(id).unwrap();
        assert!(matches!(set.wait_for(Some(slot), Ticket::ready(Ok(7))), Ok(7)));
        assert_eq!((slot.state(), slot.is_late()), (DiskState::Serving, false));
        let (never, _promise) = Ticket::<()>::new();
        assert!(matches!(set.wait_for(Some(slot), never), Err(DiskError::Late(_))));
        assert_eq!((slot.state(), slot.is_late()), (DiskState::Fenced, true));
        assert!(slot.readable().is_some() && slot.writable().is_none());
    }
}
