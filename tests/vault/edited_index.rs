//! Goal (L-1, A-1): whoever may write the files of the index, but has not the key, frees nothing by it: the vault finds the edit at its next start,
//! builds the index anew from the disks, says so in the trail, and refuses what the locks refuse. Method: the real binary; between two lives the
//! database is opened and edited, with its digest made right again, as somebody would who has the source of this release.

use std::ops::ControlFlow;

use kovcheg_format::codec::{Decode as _, Encode as _};
use kovcheg_format::record::version::{RetentionMode, VersionPut};
use kovcheg_storage::index::digest::digest_of;
use kovcheg_storage::index::rocks::{RocksConfig, RocksIndex};
use kovcheg_storage::index::rows::{META_DIGEST, META_FACTS};
use kovcheg_storage::index::{Batch, Change, Column, Index as _, IndexRead as _};

use crate::support::s3::{Call, Client};
use crate::support::vault::Vault;

type Attack<'a> = (&'a str, &'a dyn Fn(&RocksIndex));
type Rows = Vec<(Vec<u8>, Vec<u8>)>;

fn rows_of(index: &RocksIndex, column: Column) -> Rows {
    let mut rows = Rows::new();
    let visit = &mut |key: &[u8], value: &[u8]| {
        rows.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    };
    index.scan(column, &[], None, visit).unwrap();
    rows
}

/// Every row of a column set, or taken out.
fn edit(index: &RocksIndex, column: Column, with: impl Fn(Vec<u8>) -> Option<Vec<u8>>) {
    let rows = rows_of(index, column);
    assert!(!rows.is_empty(), "nothing to edit in {}", column.name());
    let changes = rows.into_iter().map(|(key, value)| Change { column, key, value: with(value) }).collect();
    index.apply(Batch { changes }).unwrap();
}

fn edit_digest(index: &RocksIndex) {
    let value = Some(digest_of(index).unwrap().to_bytes().to_vec());
    let change = Change { column: Column::Meta, key: META_DIGEST.to_vec(), value };
    index.apply(Batch { changes: vec![change] }).unwrap();
    index.flush().unwrap();
}

fn unlocked(row: Vec<u8>) -> Option<Vec<u8>> {
    let mut version = VersionPut::from_bytes(&row).unwrap();
    version.facts.retention = RetentionMode::None;
    version.facts.retain_until = 0;
    Some(version.to_bytes())
}

fn nothing(_: Vec<u8>) -> Option<Vec<u8>> {
    None
}

#[track_caller]
fn refuses(client: &Client, version: &str) {
    let gone = Call::new("DELETE", "held", "ledger").query("versionId", version);
    client.send(&gone).unwrap().expect_error("the locked version", 403, "AccessDenied");
    client.send(&Call::new("DELETE", "files", "case/7")).unwrap().expect_error("the held one", 403, "AccessDenied");
    client.send(&Call::new("PUT", "files", "case/7").body(b"x")).unwrap().expect_error("put", 403, "AccessDenied");
    assert_eq!(client.get("held", "ledger"), b"the only copy");
    assert_eq!(client.get("files", "case/7"), b"evidence");
    let lock = client.send(&Call::new("GET", "held", "").query("object-lock", "")).unwrap().expect_ok("the lock");
    assert_eq!((lock.xml("ObjectLockEnabled").as_deref(), lock.xml("Days").as_deref()), (Some("Enabled"), Some("7")));
}

#[test]
fn what_is_locked_is_not_freed_by_editing_the_index() {
    let mut vault = Vault::start_new("EDITED");
    let client = vault.client();
    let made = Call::new("PUT", "held", "").header("x-amz-bucket-object-lock-enabled", "true");
    client.send(&made).unwrap().expect_ok("a bucket with Object Lock");
    let default = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>\
        <Mode>GOVERNANCE</Mode><Days>7</Days></DefaultRetention></Rule></ObjectLockConfiguration>";
    let call = Call::new("PUT", "held", "").query("object-lock", "").body(default.as_bytes());
    client.send(&call).unwrap().expect_ok("a default retention");
    client.create_bucket("files");
    client.put("files", "case/7", b"evidence").expect_ok("put");
    vault.cli_json(&["hold", "place", "--case", "7", "--bucket", "files", "--prefix", "case/"]);
    let locked = Call::new("PUT", "held", "ledger")
        .body(b"the only copy")
        .header("x-amz-object-lock-mode", "COMPLIANCE")
        .header("x-amz-object-lock-retain-until-date", "2090-01-01T00:00:00Z");
    let version = client.send(&locked).unwrap().expect_ok("put").header("x-amz-version-id").unwrap().to_owned();
    refuses(&client, &version);
    let said = |vault: &Vault| {
        let told = vault.cli(&["audit", "list", "--kind", "DiscardIndex"]);
        String::from_utf8(told.stdout).unwrap().lines().filter(|line| line.contains("index-")).count()
    };
    vault.restart();
    assert_eq!(said(&vault), 0, "an index that nobody edited is believed");
    let edits: [Attack<'_>; 5] = [
        ("retention lifted", &|index| edit(index, Column::Version, unlocked)),
        ("hold taken out", &|index| edit(index, Column::CaseHold, nothing)),
        ("lock of the bucket taken out", &|index| edit(index, Column::ObjectLock, nothing)),
        ("versions taken out", &|index| edit(index, Column::Version, nothing)),
        ("all of it, and the seal", &|index| {
            edit(index, Column::Version, unlocked);
            edit(index, Column::CaseHold, nothing);
            let change = Change { column: Column::Meta, key: META_FACTS.to_vec(), value: None };
            index.apply(Batch { changes: vec![change] }).unwrap();
        }),
    ];
    for (number, (what, change)) in edits.into_iter().enumerate() {
        println!("{what}");
        if number % 2 == 0 {
            vault.stop()
        } else {
            vault.kill()
        }
        {
            let index = RocksIndex::open(&vault.index(), RocksConfig::default()).unwrap();
            change(&index);
            edit_digest(&index);
        }
        vault.start();
        assert!(vault.log().contains("the index is not believed"), "{what}: {}", vault.log());
        refuses(&vault.client(), &version);
        assert_eq!(said(&vault), number + 1, "{what}");
    }
    // The trail shows it all to whoever verifies it, and the vault goes on.
    vault.client().put("files", "free", b"free").expect_ok("put");
    assert_eq!(vault.cli_json(&["verify"])["damaged"].as_array().map(Vec::len), Some(0));
}
