//! Goal: a disk that hangs holds up each caller once and for no longer than the deadline, and is a disk again when it comes back.

use std::sync::Arc;
use std::time::Duration;

use super::{PatientDisk, within};
use crate::disk::{Disk, DiskError, DiskResult};
use crate::testing::faults::{Effect, OpKind, Rule};
use crate::testing::sim_disk::SimPool;

const SHORT: Duration = Duration::from_millis(50);

fn is_late<T>(result: &DiskResult<T>) -> bool {
    matches!(result, Err(DiskError::Late(_)))
}

/// The answer of a disk that does not hang, which a busy machine may keep for longer than the deadline. The call is made again then.
fn answer<T>(call: impl Fn() -> DiskResult<T>) -> DiskResult<T> {
    loop {
        let result = call();
        if !is_late(&result) {
            return result;
        }
        std::thread::yield_now();
    }
}

type Call = fn(&dyn Disk) -> DiskResult<()>;

const CALLS: [(&str, OpKind, Call); 9] = [
    ("create", OpKind::Create, |disk| disk.create("new").map(drop)),
    ("open", OpKind::Name, |disk| disk.open("old").map(drop)),
    ("remove", OpKind::Name, |disk| disk.remove("old")),
    ("rename", OpKind::Name, |disk| disk.rename("old", "other")),
    ("list", OpKind::Name, |disk| disk.list("").map(drop)),
    ("folders", OpKind::Name, |disk| disk.folders().map(drop)),
    ("space", OpKind::Name, |disk| disk.space().map(drop)),
    ("make_folder", OpKind::Sync, |disk| disk.make_folder("folder")),
    ("sync_folder", OpKind::Sync, |disk| disk.sync_folder("")),
];

#[test]
fn every_call_ends_by_the_deadline() {
    for (name, kind, call) in CALLS {
        let pool = SimPool::new(1, 1);
        let disk = PatientDisk::new(pool.disk(0), SHORT);
        pool.disk(0).create("old").unwrap();
        pool.add_rule(Rule::new(kind, 1, Effect::Hang));
        let first = call(&disk);
        assert!(matches!(first, Err(DiskError::Late(SHORT))), "{name}: {first:?}");
        let second = disk.list("");
        assert!(matches!(second, Err(DiskError::Late(Duration::ZERO))), "{name}: {second:?} while it hangs");
        pool.release_hung();
        answer(|| disk.list("")).unwrap();
    }
}

#[test]
fn lengths_have_a_deadline_too() {
    let pool = SimPool::new(1, 1);
    let disk = PatientDisk::new(pool.disk(0), SHORT);
    pool.disk(0).create("file").unwrap();
    let file = answer(|| disk.open("file")).unwrap();
    pool.add_rule(Rule::new(OpKind::Name, 1, Effect::Hang).times(u64::MAX));
    assert!(is_late(&file.len()));
    assert!(is_late(&file.set_len(4096)));
    file.reserve(8192);
    pool.clear_rules();
    pool.release_hung();
}

#[test]
fn many_callers_are_held_up_once_each() {
    let pool = SimPool::new(1, 1);
    let disk = Arc::new(PatientDisk::new(pool.disk(0), SHORT));
    pool.add_rule(Rule::new(OpKind::Name, 1, Effect::Hang).times(u64::MAX));
    let callers: Vec<_> = (0..16)
        .map(|_| {
            std::thread::spawn({
                let disk = disk.clone();
                move || is_late(&disk.list(""))
            })
        })
        .collect();
    assert!(callers.into_iter().all(|caller| caller.join().unwrap()));
    pool.clear_rules();
    pool.release_hung();
    answer(|| disk.list("")).unwrap();
    assert!(disk.patience.idle.lock().len() <= super::IDLE_MAX, "threads are not kept");
}

#[test]
fn a_slow_answer_is_an_answer() {
    let pool = SimPool::new(1, 1);
    let disk = PatientDisk::new(pool.disk(0), Duration::from_secs(20));
    pool.add_rule(Rule::new(OpKind::Name, 1, Effect::Delay(SHORT)));
    assert!(disk.list("").unwrap().is_empty());
}

#[test]
fn what_runs_too_long_is_given_up() {
    let (end, ended) = crossbeam_channel::bounded::<()>(1);
    let late = within("somewhere", SHORT, move || {
        let _ = ended.recv();
        Ok(())
    });
    assert!(is_late(&late));
    drop(end);
    assert!(within("somewhere", Duration::from_secs(20), || Ok(7)).unwrap() == 7);
}
