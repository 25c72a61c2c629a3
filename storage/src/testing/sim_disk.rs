//! Simulated disks that share one source of misfortune.
//!
//! Fault model. A [`SimPool`] holds disks in memory; a seed fixes everything random. Operations are done in the order of
//! submission. A write is durable when a sync of its file was answered that was submitted after *the write's answer was
//! taken* (`Ticket::wait`): a sync beside a write in flight promises nothing, as on real disks. Creations, renames and
//! removals are durable after the sync of every folder they touch; a file's sync says nothing of its name. A rename is
//! atomic.
//!
//! The power can be cut at the n-th sync over all disks (folders count): before the sync has effect, half-way, or after
//! it has effect but before it is answered. From then on every operation answers `Closed`. After [`SimPool::reboot`],
//! each disk holds what is durable and of the rest nothing, everything or a random part: writes torn into blocks of
//! 4,096 or sectors of 512 bytes, each of which survives by itself, in any combination over files and disks; lengths
//! that grew without their bytes; name changes each by itself. Two writes to one place never come to lie in the wrong
//! order.
//!
//! Besides, by [`Rule`]: the n-th operation fails, is lost, misdirected, read with flipped bits, delayed or never
//! answered. A failed sync dooms what it covered: later syncs do not make it durable. And by hand: rot, full, missing,
//! emptied, truncated and stale disks.

mod ops;

use std::any::Any;
use std::sync::Arc;

use parking_lot::Mutex;

use self::ops::SimDisk;
use super::faults::{Faults, Hit, OpKind, Rng, Rule};
use super::sim_medium::Medium;
use crate::disk::Disk;

/// Size of a simulated disk unless told otherwise.
const CAPACITY: u64 = 1 << 40;

/// Where in a sync the power goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutPoint {
    /// The sync has no effect.
    Before,
    /// A part of what it covers becomes durable.
    Halfway,
    /// It has its effect, but nobody learns of it.
    After,
}

/// Told of every write as submitted: disk, file, offset, bytes.
pub type WriteHook = Box<dyn FnMut(usize, &str, u64, &[u8]) + Send>;
/// Told of every sync before it takes effect: its number, and all disks as they are then. Must not touch the pool.
pub type SyncHook = Box<dyn FnMut(u64, Frozen) + Send>;

/// All disks at one moment, power still on. Cheap to keep: bytes are shared.
#[derive(Debug, Clone)]
pub struct Frozen {
    media: Vec<Medium>,
}

impl Frozen {
    /// Cuts the power at that moment and starts again, with this seed.
    #[must_use]
    pub fn thaw(&self, seed: u64) -> SimPool {
        let pool = SimPool::with_media(seed, self.media.clone());
        pool.reboot();
        pool
    }
}

struct World {
    on: bool,
    /// Per disk: handles of an older boot are closed.
    boots: Vec<u64>,
    media: Vec<Medium>,
    missing: Vec<bool>,
    faults: Faults,
    rng: Rng,
    syncs: u64,
    cut: Option<(u64, CutPoint)>,
    write_hook: Option<WriteHook>,
    sync_hook: Option<SyncHook>,
    /// What operations that hang wait for: promises, and ends of channels.
    hung: Vec<Box<dyn Any + Send>>,
}

/// Simulated disks and their fate. Clones are the same pool.
#[derive(Clone)]
pub struct SimPool {
    world: Arc<Mutex<World>>,
}

impl SimPool {
    /// Empty disks.
    #[must_use]
    pub fn new(seed: u64, disks: usize) -> Self {
        Self::with_media(seed, vec![Medium::new(CAPACITY); disks])
    }

    fn with_media(seed: u64, media: Vec<Medium>) -> Self {
        let world = World {
            on: true,
            boots: vec![0; media.len()],
            missing: vec![false; media.len()],
            media,
            faults: Faults::default(),
            rng: Rng::new(seed),
            syncs: 0,
            cut: None,
            write_hook: None,
            sync_hook: None,
            hung: Vec::new(),
        };
        Self { world: Arc::new(Mutex::new(world)) }
    }

    /// The disk of this number, for the present boot.
    #[must_use]
    pub fn disk(&self, number: usize) -> Arc<dyn Disk> {
        let boot = self.world.lock().boots[number];
        Arc::new(SimDisk::new(Arc::clone(&self.world), boot, number))
    }

    /// All disks, for the present boot.
    #[must_use]
    pub fn disks(&self) -> Vec<Arc<dyn Disk>> {
        let count = self.world.lock().media.len();
        (0..count).map(|number| self.disk(number)).collect()
    }

    /// Syncs so far, over all disks and boots.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.world.lock().syncs
    }

    /// Cuts the power at the sync of this number (counted as [`SimPool::syncs`] does: the next is `syncs() + 1`).
    pub fn cut_at(&self, sync: u64, point: CutPoint) {
        self.world.lock().cut = Some((sync, point));
    }

    /// Cuts the power now.
    pub fn cut(&self) {
        self.world.lock().on = false;
    }

    /// Whether the power is on.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.world.lock().on
    }

    /// Starts again with what survived; old handles stay closed, a cut that is still to come is called off. Returns
    /// whether the power was off. Rules, missing disks and hooks stay.
    pub fn reboot(&self) -> bool {
        let mut world = self.world.lock();
        let World { media, rng, .. } = &mut *world;
        media.iter_mut().for_each(|medium| medium.reboot(rng));
        world.boots.iter_mut().for_each(|boot| *boot += 1);
        world.cut = None;
        world.hung.clear();
        !std::mem::replace(&mut world.on, true)
    }

    /// All disks as they are now.
    #[must_use]
    pub fn freeze(&self) -> Frozen {
        Frozen { media: self.world.lock().media.clone() }
    }

    /// Has `hook` told of every write.
    pub fn on_write(&self, hook: WriteHook) {
        self.world.lock().write_hook = Some(hook);
    }

    /// Has `hook` told of every sync.
    pub fn on_sync(&self, hook: SyncHook) {
        self.world.lock().sync_hook = Some(hook);
    }

    /// Adds a fault.
    pub fn add_rule(&self, rule: Rule) {
        self.world.lock().faults.add(rule);
    }

    /// Ends all faults by rule.
    pub fn clear_rules(&self) {
        self.world.lock().faults.clear();
    }

    /// Lets go of operations that hang: those that wait for a name or folder answer, tickets answer `Closed`.
    pub fn release_hung(&self) {
        // Not under the lock: whoever is let go comes back for it.
        let hung = std::mem::take(&mut self.world.lock().hung);
        drop(hung);
    }

    /// Operations of a kind so far, over all disks and boots.
    #[must_use]
    pub fn count(&self, op: OpKind) -> u64 {
        self.world.lock().faults.count(op)
    }

    /// The faults by rule that struck so far.
    #[must_use]
    pub fn hits(&self) -> Vec<Hit> {
        self.world.lock().faults.hits().to_vec()
    }

    /// Sets a disk's size: writes beyond fail as on a full disk.
    pub fn set_capacity(&self, disk: usize, bytes: u64) {
        self.world.lock().media[disk].capacity = bytes;
    }

    /// Unplugs a disk (every operation fails), or plugs it in again.
    pub fn set_missing(&self, disk: usize, missing: bool) {
        self.world.lock().missing[disk] = missing;
    }

    /// Flips one bit in each of all `len` bytes of a file from `offset` on, on the medium.
    pub fn rot(&self, disk: usize, file: &str, offset: u64, len: u64) {
        self.rot_some(disk, file, offset, len, len);
    }

    /// Flips one bit in each of `count` random bytes of a range of a file, on the medium.
    pub fn rot_some(&self, disk: usize, file: &str, offset: u64, len: u64, count: u64) {
        let World { media, rng, .. } = &mut *self.world.lock();
        media[disk].rot(file, offset, len, count, rng);
    }

    /// Replaces a disk by an empty one of the same size. Its open handles become closed.
    pub fn empty(&self, disk: usize) {
        let World { media, boots, .. } = &mut *self.world.lock();
        let capacity = media[disk].capacity;
        media[disk] = Medium::new(capacity);
        boots[disk] += 1;
    }

    /// Cuts every file of a disk to a random shorter length.
    pub fn truncate_files(&self, disk: usize) {
        let World { media, rng, .. } = &mut *self.world.lock();
        media[disk].truncate_files(rng);
    }

    /// A copy of a disk as it is now, for [`SimPool::put_image`].
    #[must_use]
    pub fn image(&self, disk: usize) -> Medium {
        self.world.lock().media[disk].clone()
    }

    /// Puts a copy in place of a disk: a stale disk, or another one. Its open handles become closed.
    pub fn put_image(&self, disk: usize, image: Medium) {
        let mut world = self.world.lock();
        world.media[disk] = image;
        world.boots[disk] += 1;
    }

    /// Every file of a disk with its bytes.
    #[must_use]
    pub fn files(&self, disk: usize) -> Vec<(String, Vec<u8>)> {
        self.world.lock().media[disk].files()
    }
}

#[cfg(test)]
mod tests;
