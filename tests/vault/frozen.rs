//! Goal: a disk that hangs in the kernel holds clients up once, for the deadline: it is fenced, writes and reads go on without it, status
//! and metrics answer, the vault stops when it is told to, and takes the disk back when it answers again (R4, R13). Method: one of six
//! disks is a file system of its own that is frozen under the running vault.

use std::time::Duration;

use crate::support::loopdisk::LoopDisk;
use crate::support::seed;
use crate::support::vault::{Stored, Vault, wait_until};

/// Bytes of the disk.
const DISK: u64 = 512 << 20;
/// Short, so that the test is; long enough for the five disks that work on a machine under load.
const CONFIG: &str = "[engine]\nio_deadline_s = 5\n";

/// Large and small objects, so that files are made, lengthened, written and flushed when the disk freezes.
fn meanwhile() -> impl Iterator<Item = (String, u64, u64)> {
    (0..12).map(|number| (format!("meanwhile/{number}"), number, if number % 2 == 0 { 9 << 20 } else { 900 }))
}

#[test]
fn a_frozen_disk_is_fenced_and_taken_back() {
    let mut rng = seed::rng("a_frozen_disk_is_fenced_and_taken_back");
    let mut vault = Vault::prepare("FROZEN");
    let disk = LoopDisk::mount(&vault.folder().join("image"), &vault.disk(4), DISK);
    vault.set_config(CONFIG);
    vault.start();
    let (client, mut stored) = (vault.client(), Stored::default());
    client.create_bucket("bkt");
    stored.put_mix(&client, "bkt", "before", 12, 2 << 20, &mut rng);

    disk.freeze();
    std::thread::scope(|scope| {
        for (key, seed, len) in meanwhile() {
            let client = vault.client();
            scope.spawn(move || client.put_stream("bkt", &key, seed, len));
        }
    });
    stored.0.extend(meanwhile());
    wait_until("the disk to be fenced", || vault.disk_states()[4] == "fenced");
    assert_eq!(vault.disk_states().iter().filter(|state| *state == "serving").count(), 5);
    stored.put_mix(&client, "bkt", "after", 12, 2 << 20, &mut rng);
    stored.check(&client, "bkt");
    assert_eq!(vault.metrics().get("kovcheg_disks", ("state", "fenced")), Some(1.0));

    // The process cannot go while one of its threads is in the kernel; all else of the end is done by then.
    vault.tell_to_stop();
    wait_until("the end to be announced", || vault.log().contains("closed cleanly"));
    disk.thaw();
    vault.has_stopped();

    vault.start();
    assert!(vault.disk_states().iter().all(|state| state == "serving"), "{:?}", vault.disk_states());
    stored.check(&vault.client(), "bkt");
    vault.stop();
    for gone in [0, 3] {
        std::fs::rename(vault.disk(gone), vault.folder().join(format!("gone{gone}"))).unwrap();
    }
    vault.start();
    stored.check(&vault.client(), "bkt");
    vault.stop();
}

/// The disk hangs in the call that makes a file, not in one that has a deadline by itself: no segment is open yet.
#[test]
fn a_disk_that_freezes_before_its_first_file_holds_nobody_up() {
    let mut vault = Vault::prepare("FROZENEARLY");
    let disk = LoopDisk::mount(&vault.folder().join("image"), &vault.disk(4), DISK);
    vault.set_config(CONFIG);
    vault.start();
    vault.client().create_bucket("bkt");
    disk.freeze();
    let (client, (done, stored)) = (vault.client(), std::sync::mpsc::channel());
    let writer = std::thread::spawn(move || {
        client.put_stream("bkt", "first", 7, 9 << 20);
        done.send(()).unwrap();
    });
    let acknowledged = stored.recv_timeout(Duration::from_secs(60));
    // Before anything fails: what hangs must come back.
    disk.thaw();
    writer.join().unwrap();
    assert!(acknowledged.is_ok(), "the put waited for a disk that does not answer");
    assert_eq!(vault.disk_states()[4], "fenced");
    vault.client().check_stream("bkt", "first", 7, 9 << 20);
    vault.restart();
    assert_eq!(vault.disk_states()[4], "serving");
    vault.client().check_stream("bkt", "first", 7, 9 << 20);
}
