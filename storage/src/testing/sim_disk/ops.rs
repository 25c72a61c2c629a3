//! The operations of simulated disks: each is let in, counted, perhaps spoilt by a rule, done, and answered.

use std::io::{Error, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::super::faults::{Effect, OpKind, Rng};
use super::super::sim_medium::{Extent, Medium};
use super::{CutPoint, Frozen, World};
use crate::disk::host::check_range;
use crate::disk::{AlignedBuf, Disk, DiskError, DiskFile, DiskResult, DiskSpace, Pieces, Promise, Ticket};

/// One simulated disk in one boot.
#[derive(Clone)]
pub(super) struct SimDisk {
    world: Arc<Mutex<World>>,
    boot: u64,
    number: usize,
    label: Arc<str>,
}

struct SimFile {
    disk: SimDisk,
    name: String,
    inode: u64,
}

/// Keeps the caller of an operation that answers at once as long as the effect says.
fn hold_up(mut world: MutexGuard<'_, World>, effect: Option<Effect>) {
    match effect {
        Some(Effect::Hang) => {
            let (kept, released) = crossbeam_channel::bounded::<()>(1);
            world.hung.push(Box::new(kept));
            drop(world);
            // The other end says nothing: it is dropped when hung operations are released.
            let _ = released.recv();
        }
        Some(Effect::Delay(time)) => {
            drop(world);
            std::thread::sleep(time);
        }
        _ => {}
    }
}

/// What becomes of an operation that was let in.
enum Verdict<T> {
    Answer(DiskResult<T>),
    Late(DiskResult<T>, Duration),
    Never,
}

impl<T: Send + 'static> Verdict<T> {
    fn with(effect: Option<Effect>, result: DiskResult<T>) -> Self {
        match effect {
            Some(Effect::Hang) => Self::Never,
            Some(Effect::Delay(time)) => Self::Late(result, time),
            _ => Self::Answer(result),
        }
    }

    fn settle(self, promise: Promise<T>, world: &mut World) {
        match self {
            Self::Answer(result) => promise.fulfil(result),
            Self::Never => world.hung.push(Box::new(promise)),
            Self::Late(result, time) => {
                std::thread::spawn(move || {
                    std::thread::sleep(time);
                    promise.fulfil(result);
                });
            }
        }
    }
}

impl SimDisk {
    pub(super) fn new(world: Arc<Mutex<World>>, boot: u64, number: usize) -> Self {
        Self { world, boot, number, label: format!("sim{number}").into() }
    }

    fn error(&self, op: &'static str, name: &str, error: Error) -> DiskError {
        DiskError::io(op, name, &self.label, error)
    }

    /// Power, boot and presence.
    fn admit(&self, world: &World, op: &'static str, name: &str) -> DiskResult<()> {
        if !world.on || world.boots[self.number] != self.boot {
            return Err(DiskError::Closed { disk: self.label.to_string() });
        }
        if world.missing[self.number] {
            return Err(self.error(op, name, Error::from_raw_os_error(libc::EIO)));
        }
        Ok(())
    }

    /// A change or question of names.
    fn with<T>(
        &self,
        op: &'static str,
        name: &str,
        act: impl FnOnce(&mut Medium) -> Result<T, Error>,
    ) -> DiskResult<T> {
        let mut world = self.world.lock();
        self.admit(&world, op, name)?;
        let kind = if op == "create" { OpKind::Create } else { OpKind::Name };
        // Probes are made by a clock, not by what is done to a vault: they would make counts differ from run to run.
        let effect = if op == "probe" { None } else { world.faults.meet(kind, self.number, name) };
        let done = match effect {
            Some(Effect::Eio) => Err(Error::from_raw_os_error(libc::EIO)),
            Some(Effect::Enospc) => Err(ErrorKind::StorageFull.into()),
            Some(Effect::Emfile) => Err(Error::from_raw_os_error(libc::EMFILE)),
            _ => act(&mut world.media[self.number]),
        };
        hold_up(world, effect);
        done.map_err(|error| self.error(op, name, error))
    }

    /// Counts a sync, lets it have its effect or a part of it, and cuts the power if it is time.
    fn flush(
        &self,
        world: &mut World,
        name: &str,
        effect: Option<Effect>,
        act: impl FnOnce(&mut Medium, Extent, &mut Rng) -> Result<(), Error>,
    ) -> DiskResult<()> {
        world.syncs += 1;
        let number = world.syncs;
        if let Some(mut hook) = world.sync_hook.take() {
            hook(number, Frozen { media: world.media.clone() });
            world.sync_hook = Some(hook);
        }
        let cut = world.cut.filter(|(at, _)| *at == number).map(|(_, point)| point);
        let World { media, rng, on, .. } = world;
        let medium = &mut media[self.number];
        *on = cut.is_none();
        let done = match (cut, effect) {
            (Some(CutPoint::Before), _) => Ok(()),
            (Some(CutPoint::Halfway), _) => act(medium, Extent::Part, rng),
            (_, Some(Effect::Eio)) => Err(Error::from_raw_os_error(libc::EIO)),
            (_, Some(Effect::Enospc)) => Err(ErrorKind::StorageFull.into()),
            (_, Some(Effect::Lose)) => Ok(()),
            _ => act(medium, Extent::Whole, rng),
        };
        if cut.is_some() {
            return Err(DiskError::Closed { disk: self.label.to_string() });
        }
        done.map_err(|error| self.error("sync", name, error))
    }

    fn flush_folder(
        &self,
        folder: &str,
        act: impl FnOnce(&mut Medium, Extent, &mut Rng) -> Result<(), Error>,
    ) -> DiskResult<()> {
        let mut world = self.world.lock();
        self.admit(&world, "sync folder", folder)?;
        let effect = world.faults.meet(OpKind::Sync, self.number, folder);
        let done = self.flush(&mut world, folder, effect, act);
        hold_up(world, effect);
        done
    }

    fn file(&self, name: &str, inode: u64) -> Arc<dyn DiskFile> {
        Arc::new(SimFile { disk: self.clone(), name: name.to_owned(), inode })
    }
}

impl Disk for SimDisk {
    fn label(&self) -> &str {
        &self.label
    }

    fn driver(&self) -> &'static str {
        "simulated"
    }

    fn make_folder(&self, folder: &str) -> DiskResult<()> {
        self.flush_folder(folder, |medium, extent, rng| {
            let lost = extent == Extent::Part && rng.chance(1, 2);
            if lost { Ok(()) } else { medium.make_folder(folder) }
        })
    }

    fn create(&self, name: &str) -> DiskResult<Arc<dyn DiskFile>> {
        let inode = self.with("create", name, |medium| medium.create(name))?;
        Ok(self.file(name, inode))
    }

    fn open(&self, name: &str) -> DiskResult<Arc<dyn DiskFile>> {
        let inode = self.with("open", name, |medium| medium.find(name))?;
        Ok(self.file(name, inode))
    }

    fn remove(&self, name: &str) -> DiskResult<()> {
        self.with("remove", name, |medium| medium.remove(name))
    }

    fn rename(&self, from: &str, to: &str) -> DiskResult<()> {
        self.with("rename", from, |medium| medium.rename(from, to))
    }

    fn list(&self, folder: &str) -> DiskResult<Vec<String>> {
        self.with("list", folder, |medium| Ok(medium.list(folder)))
    }

    fn folders(&self) -> DiskResult<Vec<String>> {
        self.with("list", "", |medium| Ok(medium.folders()))
    }

    fn sync_folder(&self, folder: &str) -> DiskResult<()> {
        self.flush_folder(folder, |medium, extent, rng| medium.sync_folder(folder, extent, rng))
    }

    fn space(&self) -> DiskResult<DiskSpace> {
        self.with("statvfs", ".", |medium| {
            Ok(DiskSpace { total: medium.capacity, free: medium.capacity.saturating_sub(medium.used()) })
        })
    }

    fn probe(&self) -> DiskResult<()> {
        self.with("probe", ".", |_| Ok(()))
    }
}

impl SimFile {
    fn error(&self, op: &'static str, error: Error) -> DiskError {
        self.disk.error(op, &self.name, error)
    }

    fn do_write(
        &self,
        world: &mut World,
        effect: Option<Effect>,
        offset: u64,
        data: &Arc<AlignedBuf>,
        seen: Arc<AtomicBool>,
    ) -> DiskResult<()> {
        let World { media, rng, .. } = world;
        let medium = &mut media[self.disk.number];
        let offset = match effect {
            Some(Effect::Lose) => return Ok(()),
            Some(Effect::Enospc) => return Err(self.error("write", ErrorKind::StorageFull.into())),
            Some(Effect::Misdirect) => {
                let blocks = (medium.len(self.inode).max(offset) / 4096).max(1);
                (offset / 4096 + 1 + rng.below(blocks)) % (blocks + 1) * 4096
            }
            Some(Effect::Eio) => {
                if rng.chance(1, 2) {
                    // The answer to a full disk is the same error here.
                    let _ = medium.write(self.inode, offset, data, seen);
                }
                return Err(self.error("write", Error::from_raw_os_error(libc::EIO)));
            }
            _ => offset,
        };
        medium.write(self.inode, offset, data, seen).map_err(|error| self.error("write", error))
    }

    fn do_read(&self, world: &mut World, effect: Option<Effect>, offset: u64, len: usize) -> DiskResult<AlignedBuf> {
        if matches!(effect, Some(Effect::Eio)) {
            return Err(self.error("read", Error::from_raw_os_error(libc::EIO)));
        }
        let World { media, rng, .. } = world;
        let end = offset + len as u64;
        let mut buffer = media[self.disk.number].read(self.inode, offset, len).ok_or_else(|| DiskError::Short {
            file: self.name.clone(),
            disk: self.disk.label.to_string(),
            end,
        })?;
        if matches!(effect, Some(Effect::Flip)) {
            let at = rng.below(len as u64) as usize;
            buffer[at] ^= 1 << rng.below(8);
        }
        Ok(buffer)
    }
}

impl DiskFile for SimFile {
    fn write_pieces(&self, offset: u64, data: Pieces) -> Ticket<()> {
        let data = data.to_buffer();
        if let Err(error) = check_range(offset, data.len()) {
            return Ticket::ready(Err(self.error("write", error)));
        }
        let mut world = self.disk.world.lock();
        if let Err(error) = self.disk.admit(&world, "write", &self.name) {
            return Ticket::ready(Err(error));
        }
        if let Some(hook) = &mut world.write_hook {
            hook(self.disk.number, &self.name, offset, &data);
        }
        let effect = world.faults.meet(OpKind::Write, self.disk.number, &self.name);
        let (ticket, promise) = Ticket::new();
        let result = self.do_write(&mut world, effect, offset, &data, ticket.seen());
        Verdict::with(effect, result).settle(promise, &mut world);
        ticket
    }

    fn read(&self, offset: u64, len: usize) -> Ticket<AlignedBuf> {
        if let Err(error) = check_range(offset, len) {
            return Ticket::ready(Err(self.error("read", error)));
        }
        let mut world = self.disk.world.lock();
        if let Err(error) = self.disk.admit(&world, "read", &self.name) {
            return Ticket::ready(Err(error));
        }
        let effect = world.faults.meet(OpKind::Read, self.disk.number, &self.name);
        let (ticket, promise) = Ticket::new();
        let result = self.do_read(&mut world, effect, offset, len);
        Verdict::with(effect, result).settle(promise, &mut world);
        ticket
    }

    fn sync(&self) -> Ticket<()> {
        let mut world = self.disk.world.lock();
        if let Err(error) = self.disk.admit(&world, "sync", &self.name) {
            return Ticket::ready(Err(error));
        }
        let effect = world.faults.meet(OpKind::Sync, self.disk.number, &self.name);
        let (ticket, promise) = Ticket::new();
        let result = self.disk.flush(&mut world, &self.name, effect, |medium, extent, rng| {
            medium.sync(self.inode, extent, rng);
            Ok(())
        });
        if matches!(effect, Some(Effect::Eio | Effect::Enospc)) {
            world.media[self.disk.number].doom(self.inode);
        }
        Verdict::with(effect, result).settle(promise, &mut world);
        ticket
    }

    fn len(&self) -> DiskResult<u64> {
        self.disk.with("stat", &self.name, |medium| Ok(medium.len(self.inode)))
    }

    /// As a file system may do it: the file is that long at once, and after a cut it may be or not.
    fn reserve(&self, len: u64) {
        if self.len().is_ok_and(|now| now < len)
            && let Err(error) = self.set_len(len)
        {
            tracing::debug!(%error, "nothing is reserved");
        }
    }

    fn set_len(&self, len: u64) -> DiskResult<()> {
        self.disk.with("truncate", &self.name, |medium| {
            medium.set_len(self.inode, len);
            Ok(())
        })
    }
}
