//! Goal: a vault that ends, cleanly or not, comes back with everything it acknowledged. Method: objects of all sizes, a
//! restart, every byte compared; an upload under way survives too (see `multipart`).

use crate::support::seed;
use crate::support::vault::{Stored, Vault};

#[test]
fn clean_end_and_kill_keep_everything() {
    let mut rng = seed::rng("clean_end_and_kill_keep_everything");
    let mut vault = Vault::start_new("RESTART");
    let mut stored = Stored::default();
    vault.client().create_bucket("bkt");
    for round in 0..4 {
        stored.put_mix(&vault.client(), "bkt", &format!("r{round}"), 12, 3 << 20, &mut rng);
        if round % 2 == 0 {
            vault.stop();
        } else {
            vault.kill();
        }
        vault.start();
        stored.check(&vault.client(), "bkt");
        let mut keys: Vec<String> = stored.0.iter().map(|(key, ..)| key.clone()).collect();
        keys.sort();
        assert_eq!(vault.client().list("bkt", "", 1000), keys);
    }
    let epochs = vault.status()["epoch"].as_u64().expect("an epoch");
    assert!(epochs >= 5, "five starts, epoch {epochs}: an epoch is one life of the process");
}

#[test]
fn deletions_and_overwrites_survive_too() {
    let mut vault = Vault::start_new("DELETIONS");
    let client = vault.client();
    client.create_bucket("bkt");
    client.put("bkt", "gone", b"x");
    client.put("bkt", "changed", b"old");
    client.delete("bkt", "gone");
    client.put("bkt", "changed", b"new");
    vault.kill();
    vault.start();
    let client = vault.client();
    assert_eq!(client.list("bkt", "", 10), ["changed"]);
    assert_eq!(client.get("bkt", "changed"), b"new");
    client.try_get("bkt", "gone").unwrap().expect_error("deleted before the kill", 404, "NoSuchKey");
}

#[test]
fn sigterm_lets_requests_end() {
    let mut vault = Vault::start_new("SIGTERM");
    let client = vault.client();
    client.create_bucket("bkt");
    let acknowledged = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let client = client.clone();
                scope.spawn(move || {
                    let put = |n: &u64| client.try_put("bkt", &format!("{writer}/{n}"), &n.to_le_bytes());
                    (0..10_000_u64).take_while(|n| put(n).is_ok_and(|answer| answer.ok())).count() as u64
                })
            })
            .collect();
        crate::support::vault::wait_until("some writes", || client.list("bkt", "", 1000).len() > 40);
        vault.stop();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect::<Vec<_>>()
    });
    vault.start();
    for (writer, count) in acknowledged.iter().enumerate() {
        assert!(*count > 0 && *count < 10_000, "writer {writer} had {count} writes acknowledged");
        for n in 0..*count {
            assert_eq!(vault.client().get("bkt", &format!("{writer}/{n}")), n.to_le_bytes());
        }
    }
}
