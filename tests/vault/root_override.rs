//! Goal: in a vault that takes no writes, too, the root credential of the environment wins: whoever holds the replaced one reads
//! nothing. Method: three of six disks away, a start with new keys, both pairs tried; the disks back, nothing was written.

use crate::support::s3::{Client, Keys};
use crate::support::vault::Vault;

#[test]
fn a_replaced_root_reads_nothing_from_a_read_only_vault() {
    let mut vault = Vault::start_new("OVERRIDE");
    let old = vault.keys().clone();
    vault.client().create_bucket("bkt");
    vault.client().put("bkt", "k", b"content");
    vault.stop();
    let away: Vec<_> = [1, 2, 4].map(|disk| (vault.disk(disk), vault.folder().join(format!("away{disk}")))).into();
    away.iter().for_each(|(disk, away)| std::fs::rename(disk, away).unwrap());

    let new = Keys { access: "NEWROOT".to_owned(), secret: "new-secret-0123456789abcdef".to_owned() };
    vault.set_env("KOVCHEG_ROOT_ACCESS_KEY", &new.access);
    vault.set_env("KOVCHEG_ROOT_SECRET_KEY", &new.secret);
    vault.start_read_only();
    let as_of = |vault: &Vault, keys: &Keys| Client { port: vault.s3_port(), keys: keys.clone() };
    let list = |client: &Client| {
        let call = crate::support::s3::Call::new("GET", "bkt", "").query("list-type", 2);
        client.send(&call).unwrap()
    };
    list(&as_of(&vault, &old)).expect_error("the replaced root", 403, "InvalidAccessKeyId");
    assert_eq!(list(&as_of(&vault, &new)).expect_ok("the new root").xml_all("Key"), ["k"]);
    let log = vault.log();
    assert!(log.contains("memory") && log.contains("NEWROOT"), "the log says so: {log}");
    assert!(!log.contains(&new.secret), "a secret in the log");
    vault.stop();

    away.iter().for_each(|(disk, away)| std::fs::rename(away, disk).unwrap());
    vault.set_env("KOVCHEG_ROOT_ACCESS_KEY", "");
    vault.set_env("KOVCHEG_ROOT_SECRET_KEY", "");
    vault.start();
    assert_eq!(as_of(&vault, &old).get("bkt", "k"), b"content", "nothing was stored");
    list(&as_of(&vault, &new)).expect_error("it went with its process", 403, "InvalidAccessKeyId");
}
