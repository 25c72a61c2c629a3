//! Goal (W-2): the index can be thrown away. Method: its folder deleted or spoilt; the vault, or `rebuild-index`, makes it
//! anew from the disks alone; digest and every byte compared.

use std::fs;

use crate::support::corrupt;
use crate::support::seed;
use crate::support::vault::{Stored, Vault};

fn filled(name: &str) -> (Vault, Stored) {
    let mut rng = seed::rng(name);
    let vault = Vault::start_new(name);
    let client = vault.client();
    client.create_bucket("bkt");
    client.create_bucket("empty");
    let mut stored = Stored::default();
    stored.put_mix(&client, "bkt", "k", 40, 2 << 20, &mut rng);
    for number in 0..5 {
        let (key, ..) = stored.0.remove(number);
        client.delete("bkt", &key);
    }
    let upload = client.create_upload("bkt", "open");
    client.upload_part("bkt", "open", &upload, 3, b"part of an open upload");
    (vault, stored)
}

#[test]
fn rebuilt_index_has_the_same_digest() {
    let (mut vault, stored) = filled("INDEX");
    vault.stop();
    let first = vault.cli_json(&["rebuild-index"]);
    let digest = first["digest"].as_str().expect("a digest").to_owned();
    assert!(digest.len() >= 32 && first["rows"].as_u64().unwrap() > 40, "{first}");
    fs::remove_dir_all(vault.index()).unwrap();
    let second = vault.cli_json(&["rebuild-index"]);
    assert_eq!(second["digest"], first["digest"], "rebuilt over the old index, and from nothing");
    assert_eq!(second["rows"], first["rows"]);
    vault.start();
    let client = vault.client();
    stored.check(&client, "bkt");
    assert_eq!(client.list("bkt", "", 1000).len(), stored.0.len());
    let listed = client.send(&crate::support::s3::Call::new("GET", "", "")).unwrap().expect_ok("list buckets");
    assert_eq!(listed.xml_all("Name"), ["bkt", "empty"]);
}

#[test]
fn lost_index_is_made_anew_at_start() {
    let (mut vault, stored) = filled("INDEXLOST");
    vault.kill();
    fs::remove_dir_all(vault.index()).unwrap();
    vault.start();
    stored.check(&vault.client(), "bkt");
    vault.client().put("bkt", "after", b"the rebuild");
    vault.restart();
    assert_eq!(vault.client().get("bkt", "after"), b"the rebuild");
}

/// An index from another moment of the same vault: restored from a copy, it must be brought forward or discarded, never
/// believed (R8).
#[test]
fn an_old_copy_of_the_index_is_not_believed() {
    let (mut vault, mut stored) = filled("INDEXOLD");
    vault.stop();
    let old = vault.folder().join("old-index");
    corrupt::copy_tree(&vault.index(), &old);
    vault.start();
    let mut rng = seed::rng("an_old_copy_of_the_index_is_not_believed");
    stored.put_mix(&vault.client(), "bkt", "later", 12, 1 << 20, &mut rng);
    let (key, ..) = stored.0.remove(0);
    vault.client().delete("bkt", &key);
    vault.kill();
    fs::remove_dir_all(vault.index()).unwrap();
    corrupt::copy_tree(&old, &vault.index());
    vault.start();
    stored.check(&vault.client(), "bkt");
    vault.client().try_get("bkt", &key).unwrap().expect_error("deleted after the copy", 404, "NoSuchKey");
}

/// The index of one vault under another: it is not on the other's chain and must be discarded (R8).
#[test]
fn an_index_of_another_vault_is_discarded() {
    let (mut vault, stored) = filled("INDEXMINE");
    let (mut other, _) = filled("INDEXOTHER");
    vault.stop();
    other.stop();
    fs::remove_dir_all(vault.index()).unwrap();
    corrupt::copy_tree(&other.index(), &vault.index());
    vault.start();
    stored.check(&vault.client(), "bkt");
    assert_eq!(vault.client().list("bkt", "", 1000).len(), stored.0.len());
}

/// What a power cut can leave where a file system keeps a rename and loses the file made before it.
fn lose_manifest(vault: &Vault) {
    let mut lost = 0;
    for file in crate::support::shards::files(&vault.index()) {
        if file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("MANIFEST")) {
            fs::remove_file(file).unwrap();
            lost += 1;
        }
    }
    assert!(lost > 0, "the index has no manifest");
}

#[test]
fn damaged_index_is_made_anew_at_start() {
    let (mut vault, stored) = filled("INDEXDAMAGED");
    vault.kill();
    lose_manifest(&vault);
    vault.start();
    stored.check(&vault.client(), "bkt");
    vault.client().put("bkt", "after", b"the rebuild");
    vault.restart();
    assert_eq!(vault.client().get("bkt", "after"), b"the rebuild");
}

/// With too few disks to build it anew, a damaged index is kept as it is: it may be all that tells what is lost.
#[test]
fn damaged_index_is_kept_while_disks_are_missing() {
    let (mut vault, stored) = filled("INDEXKEPT");
    vault.kill();
    lose_manifest(&vault);
    let away = vault.folder().join("away");
    fs::create_dir(&away).unwrap();
    for disk in 0..3 {
        fs::rename(vault.disk(disk), away.join(disk.to_string())).unwrap();
    }
    // RocksDB's own log turns over at each try.
    let kept = |vault: &Vault| {
        let mut files = crate::support::shards::files(&vault.index());
        files.retain(|file| !file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("LOG")));
        files
    };
    let before = kept(&vault);
    vault.try_start().expect_err("three disks of six, no index").expect_words(&["the index is kept"]);
    assert_eq!(before, kept(&vault));
    for disk in 0..3 {
        fs::rename(away.join(disk.to_string()), vault.disk(disk)).unwrap();
    }
    vault.start();
    stored.check(&vault.client(), "bkt");
}

#[test]
fn spoilt_index_files_lose_nothing() {
    let (mut vault, stored) = filled("INDEXSPOILT");
    vault.stop();
    for file in crate::support::shards::files(&vault.index()) {
        let len = fs::metadata(&file).unwrap().len() as usize;
        if len > 64 {
            corrupt::zero(&file, len as u64 / 2, 32.min(len / 4));
        }
    }
    if let Err(refused) = vault.try_start() {
        refused.expect_words(&["index", "rebuild-index"]);
        vault.cli_json(&["rebuild-index"]);
        vault.start();
    }
    stored.check(&vault.client(), "bkt");
}
