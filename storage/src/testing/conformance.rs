//! One suite that every [`Disk`] passes, real or simulated: the promises of the trait, each attacked once.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use super::faults::Rng;
use crate::disk::{AlignedBuf, Disk, DiskError, DiskFile};

/// Long enough for a slow shared machine; no test measures it.
const DEADLINE: Duration = Duration::from_secs(60);
const BLOCK: u64 = 4096;

type Check = fn(&dyn Disk);

/// Runs the whole suite on an empty disk with at least 64 MiB of space; leaves files behind.
pub fn run(disk: &dyn Disk) {
    let checks: [(&str, Check); 13] = [
        ("folders", folders),
        ("names", names),
        ("hostile names", hostile_names),
        ("growth", growth),
        ("short reads", short_reads),
        ("alignment", alignment),
        ("set_len", set_len),
        ("rename replaces", rename_replaces),
        ("removed files stay open", removed_files_stay_open),
        ("concurrent writes", concurrent_writes),
        ("dropped tickets", dropped_tickets),
        ("large transfers", large_transfers),
        ("space and probe", space_and_probe),
    ];
    for (name, check) in checks {
        eprintln!("{} disk {}: {name}", disk.driver(), disk.label());
        check(disk);
    }
}

/// Bytes that tell their place: a block that lands elsewhere shows.
fn pattern(seed: u64, len: usize) -> Arc<AlignedBuf> {
    let mut rng = Rng::new(seed);
    let mut buffer = AlignedBuf::zeroed(len);
    for piece in buffer.chunks_mut(8) {
        piece.copy_from_slice(&rng.bits().to_le_bytes()[..piece.len()]);
    }
    Arc::new(buffer)
}

fn put(file: &dyn DiskFile, offset: u64, data: &Arc<AlignedBuf>) {
    file.write(offset, Arc::clone(data)).wait(DEADLINE).unwrap();
}

fn get(file: &dyn DiskFile, offset: u64, len: usize) -> AlignedBuf {
    file.read(offset, len).wait(DEADLINE).unwrap()
}

fn folders(disk: &dyn Disk) {
    assert!(disk.list("absent").unwrap().is_empty(), "an absent folder is empty");
    disk.make_folder("b").unwrap();
    disk.make_folder("a").unwrap();
    disk.make_folder("a").unwrap();
    for name in ["a/2", "a/1", "b/3", "top"] {
        disk.create(name).unwrap();
    }
    assert_eq!(disk.list("a").unwrap(), ["1", "2"]);
    assert_eq!(disk.list("b").unwrap(), ["3"]);
    assert_eq!(disk.list("").unwrap(), ["top"], "folders are not files");
    assert_eq!(disk.folders().unwrap(), ["a", "b"]);
    for folder in ["", "a", "b"] {
        disk.sync_folder(folder).unwrap();
    }
    assert!(matches!(disk.sync_folder("absent"), Err(DiskError::NotFound { .. })));
}

fn names(disk: &dyn Disk) {
    disk.make_folder("names").unwrap();
    let file = disk.create("names/x").unwrap();
    assert!(file.is_empty().unwrap());
    let again = disk.create("names/x").map(drop);
    assert!(
        matches!(&again, Err(DiskError::Io { source, .. }) if source.kind() == ErrorKind::AlreadyExists),
        "{again:?}"
    );
    for result in [
        disk.open("names/y").map(drop),
        disk.remove("names/y"),
        disk.rename("names/y", "names/z"),
        disk.create("absent/x").map(drop),
        disk.rename("names/x", "absent/x"),
    ] {
        assert!(matches!(result, Err(DiskError::NotFound { .. })), "{result:?}");
    }
    disk.remove("names/x").unwrap();
    disk.create("names/x").unwrap();
}

fn hostile_names(disk: &dyn Disk) {
    for name in ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", "./x", "nul\0"] {
        assert!(disk.create(name).is_err(), "create {name:?}");
        assert!(disk.open(name).is_err(), "open {name:?}");
        assert!(disk.remove(name).is_err(), "remove {name:?}");
        assert!(disk.rename("top", name).is_err(), "rename to {name:?}");
        assert!(disk.make_folder(name).is_err(), "folder {name:?}");
    }
}

fn growth(disk: &dyn Disk) {
    let file = disk.create("growth").unwrap();
    let data = pattern(1, 3 * 4096);
    put(&*file, 1 << 20, &data);
    assert_eq!(file.len().unwrap(), (1 << 20) + 3 * BLOCK);
    assert!(get(&*file, 0, 1 << 20).iter().all(|&byte| byte == 0), "the gap reads as zeros");
    assert_eq!(get(&*file, 1 << 20, 3 * 4096)[..], data[..]);
    put(&*file, 0, &data);
    assert_eq!(file.len().unwrap(), (1 << 20) + 3 * BLOCK, "writes inside do not grow");
    file.sync().wait(DEADLINE).unwrap();
    let other = disk.open("growth").unwrap();
    assert_eq!(get(&*other, BLOCK, 4096)[..], data[4096..8192], "another handle sees it");
}

fn short_reads(disk: &dyn Disk) {
    let file = disk.create("short").unwrap();
    let short = |offset, len| match file.read(offset, len).wait(DEADLINE) {
        Err(DiskError::Short { end, .. }) => assert_eq!(end, offset + len as u64),
        other => panic!("read of {len} at {offset}: {other:?}"),
    };
    short(0, 4096);
    put(&*file, 0, &pattern(2, 8192));
    short(4096, 8192);
    short(8192, 4096);
    short(1 << 40, 4096);
    file.set_len(5_000).unwrap();
    short(0, 8192);
    short(4096, 4096);
    assert_eq!(get(&*file, 0, 4096)[..], pattern(2, 8192)[..4096]);
}

fn alignment(disk: &dyn Disk) {
    let file = disk.create("alignment").unwrap();
    let data = pattern(3, 4096);
    let refused = |result: Result<(), DiskError>| {
        let invalid = matches!(&result, Err(DiskError::Io { source, .. }) if source.kind() == ErrorKind::InvalidInput);
        assert!(invalid, "{result:?}");
    };
    for offset in [1, 512, 4095, u64::MAX - 4095, i64::MAX as u64 - 4094] {
        refused(file.write(offset, Arc::clone(&data)).wait(DEADLINE));
        refused(file.read(offset, 4096).wait(DEADLINE).map(drop));
    }
    for len in [0, 1, 512, 4097] {
        refused(file.read(0, len).wait(DEADLINE).map(drop));
    }
    assert!(file.is_empty().unwrap(), "nothing was written");
}

fn set_len(disk: &dyn Disk) {
    let file = disk.create("set_len").unwrap();
    put(&*file, 0, &pattern(4, 4 * 4096));
    file.set_len(BLOCK).unwrap();
    assert_eq!(file.len().unwrap(), BLOCK);
    file.set_len(4 * BLOCK).unwrap();
    assert_eq!(get(&*file, 0, 4096)[..], pattern(4, 4 * 4096)[..4096]);
    assert!(get(&*file, BLOCK, 3 * 4096).iter().all(|&byte| byte == 0), "what was cut off does not come back");
    file.sync().wait(DEADLINE).unwrap();
}

fn rename_replaces(disk: &dyn Disk) {
    disk.make_folder("renamed").unwrap();
    let (old, new) = (disk.create("old").unwrap(), disk.create("renamed/new").unwrap());
    put(&*old, 0, &pattern(5, 4096));
    put(&*new, 0, &pattern(6, 4096));
    disk.rename("old", "renamed/new").unwrap();
    disk.sync_folder("").unwrap();
    disk.sync_folder("renamed").unwrap();
    assert!(matches!(disk.open("old").map(drop), Err(DiskError::NotFound { .. })));
    let found = disk.open("renamed/new").unwrap();
    assert_eq!(get(&*found, 0, 4096)[..], pattern(5, 4096)[..]);
    assert_eq!(get(&*new, 0, 4096)[..], pattern(6, 4096)[..], "open handles keep the replaced file");
    disk.rename("renamed/new", "renamed/new").unwrap();
    assert_eq!(disk.list("renamed").unwrap(), ["new"]);
}

fn removed_files_stay_open(disk: &dyn Disk) {
    let file = disk.create("removed").unwrap();
    disk.remove("removed").unwrap();
    put(&*file, 0, &pattern(7, 4096));
    file.sync().wait(DEADLINE).unwrap();
    assert_eq!(get(&*file, 0, 4096)[..], pattern(7, 4096)[..]);
    assert!(!disk.list("").unwrap().contains(&"removed".to_owned()));
}

/// 64 writes in flight from each of four threads, of mixed lengths, then everything read at once.
fn concurrent_writes(disk: &dyn Disk) {
    let file = disk.create("concurrent").unwrap();
    let plan: Vec<(u64, usize)> = (0..256).map(|at| (at * 16 * BLOCK, (1 + at as usize % 16) * 4096)).collect();
    std::thread::scope(|scope| {
        for part in plan.chunks(64) {
            let file = &file;
            scope.spawn(move || {
                let tickets: Vec<_> =
                    part.iter().map(|&(offset, len)| file.write(offset, pattern(offset, len))).collect();
                tickets.into_iter().for_each(|ticket| ticket.wait(DEADLINE).unwrap());
            });
        }
    });
    file.sync().wait(DEADLINE).unwrap();
    let reads: Vec<_> = plan.iter().map(|&(offset, len)| (offset, len, file.read(offset, len))).collect();
    for (offset, len, ticket) in reads {
        assert_eq!(ticket.wait(DEADLINE).unwrap()[..], pattern(offset, len)[..], "at {offset}");
    }
}

/// Buffers must live until the device is done with them, even when nobody waits.
fn dropped_tickets(disk: &dyn Disk) {
    let file = disk.create("dropped").unwrap();
    for at in 0..128 {
        drop(file.write(at * 8 * BLOCK, pattern(at, 8 * 4096)));
        drop(file.read(at * 8 * BLOCK, 8 * 4096));
        drop(file.sync());
    }
    // Queues are finite and first-come: once these have been answered, so have most of the others.
    for at in 0..128 {
        put(&*file, at * 8 * BLOCK, &pattern(at, 8 * 4096));
    }
    for at in 0..128 {
        assert_eq!(get(&*file, at * 8 * BLOCK, 8 * 4096)[..], pattern(at, 8 * 4096)[..], "at {at}");
    }
}

fn large_transfers(disk: &dyn Disk) {
    let file = disk.create("large").unwrap();
    let data = pattern(8, 16 << 20);
    put(&*file, BLOCK, &data);
    file.sync().wait(DEADLINE).unwrap();
    assert!(get(&*file, BLOCK, 16 << 20)[..] == data[..], "16 MiB in one operation");
}

fn space_and_probe(disk: &dyn Disk) {
    disk.probe().unwrap();
    let space = disk.space().unwrap();
    assert!(space.free > 0 && space.free <= space.total, "{space:?}");
}

/// Fills a small disk: the answer is `Full` and nothing else, what was answered stays readable, and space that was
/// freed can be used again.
pub fn full(disk: &dyn Disk) {
    let file = disk.create("filler").unwrap();
    let mut written = 0;
    let error = loop {
        match file.write(written * 16 * BLOCK, pattern(written, 16 * 4096)).wait(DEADLINE) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 100_000, "this disk does not fill up");
    };
    assert!(matches!(error, DiskError::Full { .. }), "{error:?}");
    assert!(written > 0, "not even one write fits");
    for at in 0..written {
        assert_eq!(get(&*file, at * 16 * BLOCK, 16 * 4096)[..], pattern(at, 16 * 4096)[..], "at {at}");
    }
    disk.remove("filler").unwrap();
    drop(file);
    let file = disk.create("after").unwrap();
    put(&*file, 0, &pattern(9, 4096));
    file.sync().wait(DEADLINE).unwrap();
}

/// A file goes on working when its disk is dropped, and nothing hangs when it goes, too, with work in flight.
pub fn outlives(disk: Arc<dyn Disk>) {
    let file = disk.create("outlives").unwrap();
    drop(disk);
    put(&*file, 0, &pattern(10, 4096));
    assert_eq!(get(&*file, 0, 4096)[..], pattern(10, 4096)[..]);
    let tickets: Vec<_> = (0..32).map(|at| file.write(at * 256 * BLOCK, pattern(at, 256 * 4096))).collect();
    drop(file);
    tickets.into_iter().for_each(|ticket| ticket.wait(DEADLINE).unwrap());
}

#[cfg(test)]
mod tests;
