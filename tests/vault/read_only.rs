//! Goal (R4, R15): with too few disks to write, writes are answered 503 with the reason and reads go on; what has fewer than k
//! shards gets a typed error, never wrong bytes; nothing is harmed, and with the disks back writes go on. Method: disks renamed
//! away, under a running vault and while it is down; every object read, every kind of write tried.

use std::path::PathBuf;

use crate::disks_gone::filled;
use crate::support::data;
use crate::support::s3::{Call, Client, Mode};
use crate::support::seed;
use crate::support::vault::{Stored, Vault, wait_until};

/// Disks that are somewhere else.
struct Away(Vec<(PathBuf, PathBuf)>);

impl Away {
    fn take(vault: &Vault, disks: &[usize]) -> Self {
        let places = disks.iter().map(|n| (vault.disk(*n), vault.folder().join(format!("away{n}"))));
        let away = Self(places.collect());
        away.0.iter().for_each(|(from, to)| std::fs::rename(from, to).unwrap());
        away
    }

    fn bring_back(self) {
        self.0.iter().for_each(|(from, to)| std::fs::rename(to, from).unwrap());
    }
}

/// Every kind of write is refused with 503 and a reason that has `words` in it.
#[track_caller]
fn writes_are_refused(client: &Client, taken: &str, words: &str) {
    let large = data::random(1, 6 << 20);
    let writes = [
        ("small object", Call::new("PUT", "bkt", "new").body(b"x").mode(Mode::Unsigned)),
        ("large object", Call::new("PUT", "bkt", "new").body(&large).mode(Mode::Unsigned)),
        ("overwrite", Call::new("PUT", "bkt", taken).body(b"x").mode(Mode::Unsigned)),
        ("delete", Call::new("DELETE", "bkt", taken)),
        ("bucket", Call::new("PUT", "another", "")),
        ("upload", Call::new("POST", "bkt", "new").query("uploads", "")),
    ];
    for (what, call) in writes {
        let answer = client.send(&call).unwrap_or_else(|error| panic!("{what}: {error}"));
        answer.expect_error(what, 503, "ServiceUnavailable");
        let message = answer.xml("Message").expect("a message");
        assert!(message.contains(words), "{what}: 503 says why: {message}");
    }
}

/// Names and attributes are answered from the index, whatever became of the content.
#[track_caller]
fn names_are_answered(client: &Client, stored: &Stored) {
    assert_eq!(client.list("bkt", "", 1000), stored.keys());
    for (key, _, len) in &stored.0 {
        let head = client.head_object("bkt", key);
        assert_eq!((head.status, head.header("content-length")), (200, Some(len.to_string().as_str())), "HEAD {key}");
    }
}

/// The disks are back and the vault is started again: everything is there, and writes go on.
#[track_caller]
fn all_is_well(vault: &mut Vault, stored: &Stored) {
    vault.start();
    stored.check(&vault.client(), "bkt");
    assert_eq!(vault.client().list("bkt", "", 1000), stored.keys(), "a refused write left something");
    vault.client().put("bkt", "new", b"x");
    assert_eq!(vault.client().get("bkt", "new"), b"x");
}

/// Four of six disks vanish under a running vault. It finds out by itself and refuses writes before one fails: its journal was
/// not broken by the attempt. What it has open it still reads.
#[test]
fn disks_that_vanish_under_a_running_vault_stop_writes_not_reads() {
    let mut rng = seed::rng("disks_that_vanish_under_a_running_vault_stop_writes_not_reads");
    let (mut vault, stored) = filled("VANISH", &mut rng);
    let away = Away::take(&vault, &[0, 2, 3, 5]);
    wait_until("the vault to notice", || vault.ready().status != 200);
    let (ready, words) = (vault.ready().text(), "only 2 disks take writes and 3 are needed");
    assert!(ready.contains(words), "{ready}");
    let client = vault.client();
    writes_are_refused(&client, &stored.0[3].0, words);
    stored.check(&client, "bkt");
    names_are_answered(&client, &stored);
    let status = vault.status();
    assert_eq!(status["state"], "read_only", "{status}");
    assert_eq!(vault.disk_states().iter().filter(|state| *state == "fenced").count(), 4, "{status}");
    assert!(!vault.log().contains("takes no more records"), "the journal met what was to be refused: {}", vault.log());
    vault.stop();
    away.bring_back();
    all_is_well(&mut vault, &stored);
}

/// Two disks away: the vault writes on four, 2+2. A third gone: that is read from three disks, what was written before on six,
/// 4+2, gets a typed error.
#[test]
fn narrow_stripes_are_read_where_wide_ones_are_not() {
    let mut rng = seed::rng("narrow_stripes_are_read_where_wide_ones_are_not");
    let (mut vault, mut wide) = filled("NARROW", &mut rng);
    vault.stop();
    let two = Away::take(&vault, &[1, 4]);
    vault.start();
    let mut narrow = Stored::default();
    narrow.put_mix(&vault.client(), "bkt", "narrow", 24, 3 << 20, &mut rng);
    vault.stop();
    let third = Away::take(&vault, &[3]);
    let reason = vault.start_read_only();
    assert!(reason.contains("3 of 6 disks are there and 4 are needed"), "{reason}");
    let client = vault.client();
    writes_are_refused(&client, &narrow.0[0].0, "3 of 6 disks are there and 4 are needed");
    narrow.check(&client, "bkt");
    let typed = reads_are_right_or_refused(&client, &wide);
    println!("{typed} of {} objects of 4+2 stripes got a typed error with three disks", wide.0.len());
    assert!(typed * 2 > wide.0.len(), "only {typed} of {} reads were refused with three of six shards", wide.0.len());
    let all = Stored([narrow.0.clone(), wide.0.clone()].concat());
    names_are_answered(&client, &all);
    assert!(!vault.log().contains("panicked at"), "{}", vault.log());
    vault.stop();
    third.bring_back();
    two.bring_back();
    wide.0.extend(narrow.0);
    all_is_well(&mut vault, &wide);
}

/// Reads everything: each answer is whole and right, or an error with a code, or cut short after it had begun. The number of
/// errors with a code.
#[track_caller]
fn reads_are_right_or_refused(client: &Client, stored: &Stored) -> usize {
    let mut typed = 0;
    for (key, seed, len) in &stored.0 {
        match client.try_get("bkt", key) {
            Ok(answer) if answer.ok() => assert!(answer.body == data::random(*seed, *len as usize), "content of {key}"),
            Ok(answer) => {
                answer.expect_error(key, 500, "InternalError");
                typed += 1;
            }
            // Longer than what is read before the answer begins.
            Err(_) => assert!(*len > 1 << 20, "{key}: no answer for {len} bytes"),
        }
    }
    typed
}

/// Three of six gone, none of them narrow: reads fail with a typed error, writes with 503 and the reason.
#[test]
fn three_disks_gone_is_said_and_harms_nothing() {
    let mut rng = seed::rng("three_disks_gone_is_said_and_harms_nothing");
    let (mut vault, stored) = filled("THREE", &mut rng);
    vault.stop();
    let away = Away::take(&vault, &[0, 3, 5]);
    let reason = vault.start_read_only();
    assert!(reason.contains("3 of 6 disks are there and 4 are needed"), "{reason}");
    let client = vault.client();
    writes_are_refused(&client, &stored.0[0].0, "3 of 6 disks are there and 4 are needed");
    names_are_answered(&client, &stored);
    assert!(reads_are_right_or_refused(&client, &stored) > 0, "reads without k shards");
    vault.stop();
    away.bring_back();
    all_is_well(&mut vault, &stored);
}
