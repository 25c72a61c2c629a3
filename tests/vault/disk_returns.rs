//! Goal (R15): a disk that was away while the vault wrote comes back, is brought up to date, and only then counts. Method:
//! one disk renamed away, 256 MiB written, the disk returned, `status` clean, two others removed, every byte compared.

use crate::disks_gone::clean;
use crate::support::corrupt::{self, Harm};
use crate::support::seed;
use crate::support::vault::{Stored, Vault};

/// Bytes of one object; eight of them make the 256 MiB.
const OBJECT: u64 = 32 << 20;

#[test]
fn a_returning_disk_is_caught_up_before_it_counts() {
    let mut rng = seed::rng("a_returning_disk_is_caught_up_before_it_counts");
    let mut vault = Vault::start_new("RETURN");
    vault.client().create_bucket("bkt");
    let mut stored = Stored::default();
    stored.put_mix(&vault.client(), "bkt", "before", 16, 2 << 20, &mut rng);
    vault.stop();
    let away = vault.folder().join("away");
    std::fs::rename(vault.disk(2), &away).unwrap();
    vault.start();
    assert_eq!(vault.disk_states().iter().filter(|state| *state == "missing").count(), 1);
    for number in 0..8 {
        stored.put(&vault.client(), "bkt", &format!("meanwhile/{number}"), rng.next(), OBJECT);
    }
    stored.put_mix(&vault.client(), "bkt", "meanwhile/mix", 16, 2 << 20, &mut rng);
    vault.stop();
    std::fs::rename(&away, vault.disk(2)).unwrap();
    vault.start();
    clean(&vault);
    let status = vault.status();
    assert_eq!(status["state"], "serving", "{status}");
    vault.stop();
    corrupt::harm(&vault.disk(0), Harm::Removed, &mut rng);
    corrupt::harm(&vault.disk(5), Harm::Removed, &mut rng);
    vault.start();
    stored.check(&vault.client(), "bkt");
}

/// A disk that was replaced by an empty one of the same path is rebuilt, and counts.
#[test]
fn a_replaced_disk_is_not_taken_for_the_old_one() {
    let mut rng = seed::rng("a_replaced_disk_is_not_taken_for_the_old_one");
    let mut vault = Vault::start_new("REPLACE");
    vault.client().create_bucket("bkt");
    let mut stored = Stored::default();
    stored.put_mix(&vault.client(), "bkt", "k", 16, 2 << 20, &mut rng);
    vault.stop();
    corrupt::harm(&vault.disk(4), Harm::Emptied, &mut rng);
    vault.start();
    let states = vault.disk_states();
    assert!(states.iter().any(|state| state != "serving"), "an empty folder is a missing disk: {states:?}");
    let left = std::fs::read_dir(vault.disk(4)).unwrap().count();
    assert_eq!(left, 0, "an empty folder may be an unmounted disk: nothing is written into it unasked");
    stored.check(&vault.client(), "bkt");
}
