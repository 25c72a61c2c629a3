//! Goal: an operator sees and mends what there is, beside a running server and without one. Method: every command with
//! `--json` in both ways, their answers compared; damage planted for `verify`; `inspect` on files and garbage.

use std::os::unix::fs::FileTypeExt;

use crate::support::corrupt::{self, Harm};
use crate::support::seed;
use crate::support::shards;
use crate::support::vault::{DISKS, Stored, Vault};

#[test]
fn status_and_disks_online_and_offline() {
    let mut vault = Vault::start_new("STATUS");
    let client = vault.client();
    client.create_bucket("one");
    client.create_bucket("two");
    client.put("one", "k", &[7; 100_000]);
    assert!(std::fs::metadata(vault.data().join("admin.sock")).unwrap().file_type().is_socket());
    let online = vault.status();
    assert_eq!(
        (online["state"].as_str(), online["k"].as_u64(), online["m"].as_u64()),
        (Some("serving"), Some(4), Some(2)),
        "{online}"
    );
    assert_eq!((online["buckets"].as_u64(), online["versions"].as_u64()), (Some(2), Some(1)), "{online}");
    assert_eq!(online["logical_bytes"].as_u64(), Some(100_000));
    let disks = vault.cli_json(&["disk", "list"]);
    let disks = disks.as_array().or_else(|| disks["disks"].as_array()).expect("a list of disks");
    assert_eq!(disks.len(), DISKS);
    assert!(disks.iter().all(|disk| disk["state"] == "serving" && disk["total_bytes"].as_u64() > Some(0)), "{disks:?}");
    let text = vault.cli(&["status"]);
    assert!(text.status.success() && String::from_utf8_lossy(&text.stdout).contains("serving"));
    vault.stop();
    let offline = vault.status();
    for field in ["pool", "k", "m", "versions", "buckets", "logical_bytes"] {
        assert_eq!(online[field], offline[field], "{field}, online and offline");
    }
}

#[test]
fn verify_finds_and_repairs_rot() {
    let mut rng = seed::rng("verify_finds_and_repairs_rot");
    let mut vault = Vault::start_new("VERIFY");
    vault.client().create_bucket("bkt");
    vault.client().create_bucket("ckt");
    let mut stored = Stored::default();
    stored.put_mix(&vault.client(), "bkt", "k", 24, 3 << 20, &mut rng);
    vault.client().put("ckt", "small", b"one");
    let sound = vault.cli_json(&["verify"]);
    assert_eq!(sound["repaired_shards"].as_u64(), Some(0), "nothing to repair yet: {sound}");
    assert_eq!(sound["objects"].as_u64(), Some(25), "{sound}");
    let one = vault.cli_json(&["verify", "--bucket", "ckt"]);
    assert_eq!((one["objects"].as_u64(), one["bytes"].as_u64()), (Some(1), Some(3)), "{one}");
    assert!(!vault.cli(&["verify", "--bucket", "nobucket"]).status.success(), "verify of a bucket that is not there");

    corrupt::harm(&vault.disk(0), Harm::Sprinkled, &mut rng);
    corrupt::harm(&vault.disk(3), Harm::Sprinkled, &mut rng);
    let healed = vault.cli_json(&["verify"]);
    assert!(healed["repaired_shards"].as_u64() > Some(0), "{healed}");
    let again = vault.cli_json(&["verify"]);
    assert_eq!(again["repaired_shards"].as_u64(), Some(0), "repaired twice: {again}");

    vault.stop();
    corrupt::harm(&vault.disk(5), Harm::Sprinkled, &mut rng);
    let offline = vault.cli_json(&["verify"]);
    assert!(offline["repaired_shards"].as_u64() > Some(0), "offline: {offline}");
    assert_eq!(offline["damaged"].as_array().map(Vec::len), Some(0), "{offline}");
    vault.start();
    stored.check(&vault.client(), "bkt");
}

/// Beyond m nothing can be repaired: `verify` names the objects and its exit code says so (E-1).
#[test]
fn verify_names_what_is_lost() {
    let mut rng = seed::rng("verify_names_what_is_lost");
    let mut vault = Vault::start_new("LOST");
    vault.client().create_bucket("bkt");
    let mut stored = Stored::default();
    stored.put(&vault.client(), "bkt", "victim", rng.next(), 3 << 20);
    vault.stop();
    // All segment data of three disks zeroed; the journal stays whole, so that the vault opens.
    for disk in [0, 1, 2] {
        let found = shards::walk(&vault.disk(disk));
        for shard in found.iter().filter(|shard| shard.header.kind == kovcheg_format::shard::StripeKind::Data) {
            corrupt::zero(&shard.file, shard.header.offset, shard.header.disk_len() as usize);
        }
    }
    vault.start();
    let answer = vault.client().try_get("bkt", "victim");
    assert!(answer.map_or(true, |answer| answer.status >= 500), "a read of what is lost");
    let mut args = vec!["verify", "--json"];
    let output = vault.cli(&args);
    assert!(!output.status.success(), "verify must fail when objects are lost");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a report all the same");
    assert_eq!(report["damaged"][0]["key"], "victim", "{report}");
    args.pop();
    let text = vault.cli(&args);
    assert!(String::from_utf8_lossy(&[text.stdout, text.stderr].concat()).contains("victim"));
    vault.client().put("bkt", "new", b"all else goes on");
    assert_eq!(vault.client().get("bkt", "new"), b"all else goes on");
}

#[test]
fn inspect_reads_files_offline_without_keys() {
    let mut vault = Vault::start_new("INSPECT");
    vault.client().create_bucket("bkt");
    vault.client().put("bkt", "k", &crate::support::data::random(1, 2 << 20));
    vault.stop();
    std::fs::rename(vault.key_file(), vault.folder().join("key-away")).unwrap();
    for file in shards::files(&vault.disk(0)) {
        let kept = std::fs::read(&file).unwrap();
        let output = vault.command().arg("inspect").arg(&file).arg("--json").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{}: {said} {}", file.display(), String::from_utf8_lossy(&output.stderr));
        said.lines().for_each(|line| {
            drop(
                serde_json::from_str::<serde_json::Value>(line).or_else(|_| serde_json::from_str(&said)).expect("JSON"),
            )
        });
        assert_eq!(std::fs::read(&file).unwrap(), kept, "inspect changed {}", file.display());
    }
    let garbage = vault.folder().join("garbage");
    std::fs::write(&garbage, crate::support::data::random(2, 100_000)).unwrap();
    for path in [garbage, vault.folder().join("not-there")] {
        let output = vault.command().arg("inspect").arg(&path).output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(!output.status.success() && !said.contains("panicked"), "{}: {said}", path.display());
    }
}

#[test]
fn commands_wait_for_nobody_and_say_what_is_wrong() {
    let vault = Vault::start_new("CLI");
    let rebuild = vault.cli(&["rebuild-index"]);
    let said = String::from_utf8_lossy(&rebuild.stderr).to_lowercase();
    assert!(!rebuild.status.success() && said.contains("stop"), "rebuild-index beside a running server: {said}");
    let nonsense = vault.command().arg("frobnicate").output().unwrap();
    assert_eq!(nonsense.status.code(), Some(2), "usage errors end with 2");
    let help = vault.command().arg("--help").output().unwrap();
    let text = String::from_utf8_lossy(&help.stdout).into_owned();
    for command in ["serve", "status", "disk", "verify", "rebuild-index", "inspect", "key"] {
        assert!(text.contains(command), "help does not name {command}:\n{text}");
    }
    vault.client().create_bucket("still-serving");
}
