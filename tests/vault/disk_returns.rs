//! Goal (R15): a disk that was away while the vault wrote, and came back having lost much of what it held, is brought up to
//! date, and only then counts. Method: one disk renamed away, 256 MiB written, every file of the disk cut to less than half;
//! after its return every shard it ever held lies on it again and the repairs are counted; two others are removed, and every
//! byte compared: stripes from before then have no shard to spare.

use std::collections::BTreeSet;

use crate::disks_gone::clean;
use crate::support::corrupt::{self, Harm};
use crate::support::seed;
use crate::support::shards;
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
    let held = shards::sound(&vault.disk(2));
    let away = vault.folder().join("away");
    std::fs::rename(vault.disk(2), &away).unwrap();
    vault.start();
    assert_eq!(vault.disk_states().iter().filter(|state| *state == "missing").count(), 1);
    for number in 0..8 {
        stored.put(&vault.client(), "bkt", &format!("meanwhile/{number}"), rng.next(), OBJECT);
    }
    stored.put_mix(&vault.client(), "bkt", "meanwhile/mix", 16, 2 << 20, &mut rng);
    vault.stop();

    corrupt::halve(&away, &mut rng);
    std::fs::rename(&away, vault.disk(2)).unwrap();
    let left: BTreeSet<_> = shards::sound(&vault.disk(2)).into_iter().collect();
    let lost = held.iter().filter(|shard| !left.contains(*shard)).count() as u64;
    assert!(lost * 3 > held.len() as u64, "only {lost} of {} shards were lost", held.len());
    vault.start();
    clean(&vault);
    let status = vault.status();
    assert_eq!(status["state"], "serving", "{status}");
    let repaired: u64 = status["disks"].as_array().unwrap().iter().map(repairs).sum();
    println!("{lost} of {} shards were lost, {repaired} written back", held.len());
    assert!(repaired >= lost, "{lost} shards were lost and {repaired} written back: {status}");
    vault.stop();
    let there: BTreeSet<_> = shards::sound(&vault.disk(2)).into_iter().collect();
    let lacking: Vec<_> = held.iter().filter(|shard| !there.contains(*shard)).collect();
    assert!(lacking.is_empty(), "the disk serves and lacks {lacking:?}");

    corrupt::harm(&vault.disk(0), Harm::Removed, &mut rng);
    corrupt::harm(&vault.disk(5), Harm::Removed, &mut rng);
    vault.start();
    stored.check(&vault.client(), "bkt");
}

fn repairs(disk: &serde_json::Value) -> u64 {
    disk["repaired_shards"].as_u64().expect("a count of repairs")
}

/// An empty folder at the path of a disk may be the mount point of a disk that is not mounted: it is a missing disk, said to
/// be one, nothing is written into it unasked, and the vault serves without it.
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
    assert_eq!(states.iter().filter(|state| *state == "missing").count(), 1, "{states:?}");
    stored.put_mix(&vault.client(), "bkt", "later", 8, 2 << 20, &mut rng);
    assert_eq!(std::fs::read_dir(vault.disk(4)).unwrap().count(), 0, "something was written into the empty folder");
    let status = vault.status().to_string();
    assert!(status.contains("disk4"), "status names the folder: {status}");
    stored.check(&vault.client(), "bkt");
}
