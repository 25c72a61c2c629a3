//! Goal: an operator's mistake gets a clear error of its own, harms nothing, and the right start afterwards has all data.
//! Method: each mistake made on a vault with data, the message and the exit code looked at, then undone.

use std::fs;

use crate::support::corrupt::copy_tree;
use crate::support::seed;
use crate::support::vault::{DISKS, Stored, Vault};

struct Case {
    vault: Vault,
    stored: Stored,
}

impl Case {
    fn new(name: &str) -> Self {
        let mut rng = seed::rng(name);
        let mut vault = Vault::start_new(name);
        let mut stored = Stored::default();
        vault.client().create_bucket("bkt");
        stored.put_mix(&vault.client(), "bkt", "k", 8, 1 << 20, &mut rng);
        vault.stop();
        Self { vault, stored }
    }

    /// The mistake is undone: everything is there.
    fn check(mut self) {
        self.vault.start();
        self.stored.check(&self.vault.client(), "bkt");
    }
}

#[test]
fn a_corrupt_superblock_costs_that_disk_only() {
    let mut case = Case::new("CORRUPT-SUPERBLOCK");
    let file = case.vault.disk(2).join("superblock");
    let sound = fs::read(&file).unwrap();
    fs::write(&file, vec![0x5a; sound.len()]).unwrap();
    case.vault.start();
    case.stored.check(&case.vault.client(), "bkt");
    let status = case.vault.status().to_string();
    assert!(status.contains("superblock") && status.contains("disk2"), "status names the disk: {status}");
    case.vault.stop();
    fs::write(&file, sound).unwrap();
    case.check();
}

#[test]
fn one_rotten_copy_of_a_superblock_costs_nothing() {
    let case = Case::new("ROTTEN-COPY");
    let file = case.vault.disk(0).join("superblock");
    let mut bytes = fs::read(&file).unwrap();
    bytes[..4096].fill(0xff);
    fs::write(&file, bytes).unwrap();
    case.check();
}

#[test]
fn a_wrong_key_file_is_refused() {
    let mut case = Case::new("WRONG-KEY");
    let mut other = Vault::start_new("WRONG-KEY-OTHER");
    other.stop();
    let kept = case.vault.folder().join("kept.key");
    fs::rename(case.vault.key_file(), &kept).unwrap();
    fs::copy(other.key_file(), case.vault.key_file()).unwrap();
    case.vault.start_refused().expect_words(&["key file", "another vault"]);
    fs::remove_file(case.vault.key_file()).unwrap();
    case.vault.start_refused().expect_words(&["key file", "key recover"]);
    fs::rename(&kept, case.vault.key_file()).unwrap();
    case.check();
}

#[test]
fn the_recovery_kit_brings_the_key_back() {
    let case = Case::new("RECOVERY-KIT");
    let kit = fs::read_to_string(case.vault.data().join("recovery-kit")).expect("written without a terminal");
    let code = kit.lines().find_map(|line| line.strip_prefix("Recovery code: ")).expect("a code").trim().to_owned();
    fs::remove_file(case.vault.key_file()).unwrap();
    let wrong = case.vault.cli(&["key", "recover", "--code", "00000-00000-00000-00000"]);
    assert!(!wrong.status.success() && !case.vault.key_file().exists(), "a wrong code makes no key file");
    let right = case.vault.cli(&["key", "recover", "--code", &code]);
    assert!(right.status.success(), "{}", String::from_utf8_lossy(&right.stderr));
    case.check();
}

fn kit(vault: &Vault) -> String {
    let kit = fs::read_to_string(vault.data().join("recovery-kit")).expect("written without a terminal");
    kit.lines().find_map(|line| line.strip_prefix("Recovery code: ")).expect("a code").trim().to_owned()
}

#[test]
fn a_kit_that_was_never_seen_is_made_anew() {
    let case = Case::new("RENEW-KIT");
    let old = kit(&case.vault);
    let renewed = case.vault.cli(&["key", "renew"]);
    assert!(renewed.status.success(), "{}", String::from_utf8_lossy(&renewed.stderr));
    let new = kit(&case.vault);
    assert_ne!(old, new);
    let told = [renewed.stdout, renewed.stderr].concat();
    assert!(!String::from_utf8_lossy(&told).contains(&new), "without a terminal the code stands in the file alone");
    fs::remove_file(case.vault.key_file()).unwrap();
    assert!(!case.vault.cli(&["key", "renew"]).status.success(), "no kit without the key");
    let recover = |code: &str| case.vault.cli(&["key", "recover", "--code", code]).status.success();
    assert!(!recover(&old) && !case.vault.key_file().exists(), "the old code opens nothing");
    assert!(recover(&new));
    case.check();
}

#[test]
fn two_vaults_on_one_set_of_disks_and_a_foreign_disk_are_refused() {
    let mut case = Case::new("MIXED");
    let mut other = Vault::start_new("MIXED-OTHER");
    other.stop();
    let (mine, kept) = (case.vault.disk(3), case.vault.folder().join("kept"));
    fs::rename(&mine, &kept).unwrap();
    copy_tree(&other.disk(3), &mine);
    case.vault.start_refused().expect_words(&["belongs to pool"]);
    fs::remove_dir_all(&mine).unwrap();
    copy_tree(&case.vault.disk(2), &mine);
    case.vault.start_refused().expect_words(&["same disk"]);
    fs::remove_dir_all(&mine).unwrap();
    fs::rename(&kept, &mine).unwrap();
    case.check();
}

#[test]
fn a_new_vault_takes_no_folder_with_files() {
    let mut vault = Vault::prepare("FOREIGN");
    vault.disks().iter().for_each(|disk| fs::create_dir_all(disk).unwrap());
    fs::write(vault.disk(1).join("thesis.tex"), b"precious").unwrap();
    vault.start_refused().expect_words(&["disk1", "not empty"]);
    assert_eq!(fs::read(vault.disk(1).join("thesis.tex")).unwrap(), b"precious");
}

#[test]
fn too_few_disks_refuse_writes_with_503_and_come_back() {
    let mut case = Case::new("TOO-FEW");
    let away = case.vault.folder().join("away");
    fs::create_dir_all(&away).unwrap();
    for disk in 0..3 {
        fs::rename(case.vault.disk(disk), away.join(disk.to_string())).unwrap();
    }
    let reason = case.vault.start_read_only();
    assert!(reason.contains("disks"), "{reason}");
    let put = case.vault.client().try_put("bkt", "new", b"x").unwrap();
    put.expect_error("a write with three of six disks", 503, "ServiceUnavailable");
    case.vault.stop();
    for disk in 0..3 {
        let _ = fs::remove_dir_all(case.vault.disk(disk));
        fs::rename(away.join(disk.to_string()), case.vault.disk(disk)).unwrap();
    }
    case.check();
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let mut case = Case::new("SECOND");
    case.vault.start();
    let mut command = case.vault.command();
    let data = case.vault.data().to_str().unwrap().to_owned();
    let second = command
        .args(["serve", "--data", &data, "--s3-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
        .output()
        .unwrap();
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("another kovcheg"), "{said}");
    case.stored.check(&case.vault.client(), "bkt");
    case.vault.stop();
    case.check();
}

#[test]
fn a_config_with_unknown_keys_is_refused_by_name() {
    let mut vault = Vault::prepare("UNKNOWN-KEY");
    vault.set_config("[vault]\ndata_dri = \"x\"\n");
    vault.start_refused().expect_words(&["data_dri"]);
    assert!(!vault.disk(0).exists() || fs::read_dir(vault.disk(0)).unwrap().next().is_none());
    assert_eq!(DISKS, 6);
}
