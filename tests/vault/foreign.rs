//! Goal (R15): a disk or folder that belongs to somebody else is refused or left out, by name, and not a byte of it changes.
//! Method: disks of another vault, running or not, and folders with files, put where a vault looks for its own; everything in
//! them hashed before and after.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::corrupt::copy_tree;
use crate::support::seed;
use crate::support::shards::contents;
use crate::support::vault::{DISKS, Stored, Vault};

fn filled(name: &str) -> (Vault, Stored) {
    let mut rng = seed::rng(name);
    let vault = Vault::start_new(name);
    vault.client().create_bucket("bkt");
    let mut stored = Stored::default();
    stored.put_mix(&vault.client(), "bkt", "k", 8, 1 << 20, &mut rng);
    (vault, stored)
}

/// A configuration that lists these disks.
fn listing(disks: &[PathBuf]) -> String {
    disks.iter().map(|disk| format!("[[disk]]\npath = \"{}\"\n", disk.display())).collect()
}

/// The disks of a vault, one of them another's.
fn with_one_of(vault: &Vault, other: &Path) -> String {
    let mut disks = vault.disks();
    disks[3] = other.to_owned();
    listing(&disks)
}

/// A new vault whose configuration lists a disk of another one is not made: the disk is taken for one of the vault's own, whose key
/// is missing, and nothing is written anywhere.
#[test]
fn a_new_vault_takes_no_disk_of_another() {
    let (mut other, stored) = filled("OWNER");
    other.stop();
    let before = contents(&other.disk(2));
    let mut new = Vault::prepare("THIEF");
    new.set_config(&with_one_of(&new, &other.disk(2)));
    new.start_refused().expect_words(&["key file"]);
    assert_eq!(contents(&other.disk(2)), before, "the other vault's disk was changed");
    assert!(!new.key_file().exists(), "a key was made for a vault that was not");
    let own = (0..DISKS).filter(|number| *number != 3).map(|number| new.disk(number));
    own.for_each(|disk| assert!(contents(&disk).is_empty(), "{} was written to", disk.display()));
    other.start();
    other_is_well(&other, &stored);
}

#[track_caller]
fn other_is_well(other: &Vault, stored: &Stored) {
    stored.check(&other.client(), "bkt");
    assert!(other.disk_states().iter().all(|state| state == "serving"), "{}", other.status());
}

/// A disk of a vault that runs is locked: neither a vault that has it among its own, nor a second configuration of the same
/// disks, key and all, gets at it.
#[test]
fn two_running_vaults_share_no_disk() {
    let (running, stored) = filled("RUNNING");
    let (mut neighbour, mut kept) = filled("NEIGHBOUR");
    neighbour.stop();
    neighbour.set_config(&with_one_of(&neighbour, &running.disk(3)));
    let taken = running.disk(3).display().to_string();
    neighbour.start_refused().expect_words(&["another kovcheg uses", &taken]);

    let mut twin = Vault::prepare("TWIN");
    twin.set_config(&listing(&running.disks()));
    fs::create_dir_all(twin.data()).unwrap();
    fs::copy(running.key_file(), twin.key_file()).unwrap();
    twin.start_refused().expect_words(&["another kovcheg uses", "disk"]);

    other_is_well(&running, &stored);
    running.client().put("bkt", "after", b"the attempts");
    neighbour.set_config(&listing(&neighbour.disks()));
    neighbour.start();
    kept.put(&neighbour.client(), "bkt", "after", 1, 1000);
    kept.check(&neighbour.client(), "bkt");
}

/// Somebody's files lie where a disk of the vault should be: the disk is missing, `status` says where, and the files stay as they
/// are, whatever is written and verified meanwhile.
#[test]
fn a_foreign_folder_in_place_of_a_disk_is_left_alone() {
    let (mut vault, mut stored) = filled("FOREIGNDISK");
    vault.stop();
    let away = vault.folder().join("away");
    fs::rename(vault.disk(3), &away).unwrap();
    // Also files of the names that a disk has.
    fs::create_dir_all(vault.disk(3).join("journal")).unwrap();
    for name in ["thesis.tex", "keyring", "journal/0000000000000001"] {
        fs::write(vault.disk(3).join(name), format!("precious {name}")).unwrap();
    }
    let before = contents(&vault.disk(3));
    vault.start();
    assert_eq!(vault.disk_states().iter().filter(|state| *state == "missing").count(), 1, "{}", vault.status());
    let status = vault.status().to_string();
    assert!(status.contains("disk3 holds no superblock"), "status says what is wrong: {status}");
    let mut rng = seed::rng("a_foreign_folder_in_place_of_a_disk_is_left_alone");
    stored.put_mix(&vault.client(), "bkt", "later", 8, 2 << 20, &mut rng);
    stored.check(&vault.client(), "bkt");
    assert!(vault.cli(&["verify"]).status.success());
    vault.stop();
    assert_eq!(contents(&vault.disk(3)), before, "somebody's files were changed");
    fs::remove_dir_all(vault.disk(3)).unwrap();
    fs::rename(&away, vault.disk(3)).unwrap();
    vault.start();
    other_is_well(&vault, &stored);
}

/// A copy of a disk beside the disk itself, as a restored image may be, is refused by name.
#[test]
fn a_copy_of_a_disk_beside_it_is_refused() {
    let (mut vault, stored) = filled("COPY");
    vault.stop();
    let copy = vault.folder().join("copy");
    copy_tree(&vault.disk(1), &copy);
    vault.set_config(&with_one_of(&vault, &copy));
    vault.start_refused().expect_words(&["same disk", &copy.display().to_string()]);
    vault.set_config(&listing(&vault.disks()));
    vault.start();
    other_is_well(&vault, &stored);
}
