//! Goal (W-1): an acknowledged write survives kill -9; one that was not acknowledged is there whole or not at all.
//! Method: 32 writers on keys of their own, of which 24 put, overwrite and delete objects and 8 upload, replace, complete and
//! abort parts, remember what was acknowledged and what was under way; the server is killed at a random moment; after the
//! restart every key and every open upload must be in a state that the answers allow. `KOVCHEG_ROUNDS` rounds on one vault.

mod parts;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use self::parts::PartWriter;
use crate::support::data::{self, Rng};
use crate::support::s3::Client;
use crate::support::seed;
use crate::support::vault::Vault;

const WRITERS: usize = 32;
/// Those of them that upload parts.
const PART_WRITERS: usize = 8;
/// Keys of each writer: few, so that overwrites and deletes meet.
const KEYS: u64 = 6;

/// Content of a key: seed and length of the stream it holds; `None` when there is no object.
type Content = Option<(u64, u64)>;

/// What may be found under a key: the last acknowledged content, or that of the one request in flight at the kill.
#[derive(Debug, Clone, Default)]
struct Expected {
    acknowledged: Content,
    in_flight: Option<Content>,
}

struct Writer {
    number: usize,
    rng: Rng,
    keys: BTreeMap<String, Expected>,
}

impl Writer {
    fn size(&mut self) -> u64 {
        match self.rng.below(10) {
            0 => 0,
            1..=5 => self.rng.below(20_000),
            6..=8 => self.rng.below(600_000),
            _ => self.rng.range(1 << 20, 6 << 20),
        }
    }

    /// Works until the server is gone; the number of acknowledged changes.
    fn work(&mut self, client: &Client, killed: &AtomicBool, acknowledged: &AtomicU64) {
        while !killed.load(Ordering::Relaxed) {
            let key = format!("w{:02}/{}", self.number, self.rng.below(KEYS));
            let content: Content = if self.rng.below(6) == 0 { None } else { Some((self.rng.next(), self.size())) };
            self.keys.entry(key.clone()).or_default().in_flight = Some(content);
            if !self.change(client, &key, content) {
                return;
            }
            self.keys.insert(key, Expected { acknowledged: content, in_flight: None });
            acknowledged.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn change(&mut self, client: &Client, key: &str, content: Content) -> bool {
        let Some((seed, len)) = content else {
            let call = crate::support::s3::Call::new("DELETE", "bkt", key);
            return client.send(&call).is_ok_and(|answer| answer.ok());
        };
        client.try_put("bkt", key, &data::random(seed, len as usize)).is_ok_and(|answer| answer.ok())
    }

    /// Compares what is there with what may be there, and goes on from what was found.
    fn check(&mut self, client: &Client) {
        for (key, expected) in &mut self.keys {
            let found = client.try_get("bkt", key).unwrap_or_else(|error| panic!("get {key}: {error}"));
            let allowed = [Some(expected.acknowledged), expected.in_flight];
            let fits = allowed.into_iter().flatten().find(|content| match content {
                None => found.status == 404,
                Some((seed, len)) => found.ok() && found.body == data::random(*seed, *len as usize),
            });
            let Some(content) = fits else {
                panic!(
                    "{key}: {} with {} bytes is neither acknowledged nor in flight: {expected:?}",
                    found.status,
                    found.body.len()
                );
            };
            *expected = Expected { acknowledged: content, in_flight: None };
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost() {
    let rounds = seed::number("KOVCHEG_ROUNDS", 20);
    let mut rng = seed::rng("nothing_acknowledged_is_lost");
    let mut vault = Vault::start_new("KILL9");
    vault.client().create_bucket("bkt");
    let mut writers: Vec<Writer> = (PART_WRITERS..WRITERS)
        .map(|number| Writer { number, rng: Rng::new(rng.next()), keys: BTreeMap::new() })
        .collect();
    let mut uploaders: Vec<PartWriter> = (0..PART_WRITERS).map(|number| PartWriter::new(number, rng.next())).collect();
    let mut total = 0;
    for round in 0..rounds {
        let (killed, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
        let client = vault.client();
        std::thread::scope(|scope| {
            let (client, killed, acknowledged) = (&client, &killed, &acknowledged);
            for writer in &mut writers {
                scope.spawn(move || writer.work(client, killed, acknowledged));
            }
            for uploader in &mut uploaders {
                scope.spawn(move || uploader.work(client, killed, acknowledged));
            }
            // Not before something was acknowledged, then at any moment.
            let least = rng.range(1, 150);
            crate::support::vault::wait_until("acknowledged writes", || acknowledged.load(Ordering::Relaxed) >= least);
            std::thread::sleep(Duration::from_millis(rng.below(40)));
            vault.kill();
            killed.store(true, Ordering::Relaxed);
        });
        total += acknowledged.load(Ordering::Relaxed);
        vault.start();
        let client = vault.client();
        std::thread::scope(|scope| {
            let client = &client;
            for writer in &mut writers {
                scope.spawn(move || writer.check(client));
            }
            for uploader in &mut uploaders {
                scope.spawn(move || uploader.check(client));
            }
        });
        // Whatever a kill leaves of the index is as it was after some batch.
        for bad in ["panicked at", "the index is not believed"] {
            assert!(!vault.log().contains(bad), "round {round}: {}", vault.log());
        }
    }
    let [parts, completions, aborts] = uploaders
        .iter()
        .fold([0; 3], |sum: [u64; 3], uploader| std::array::from_fn(|kind| sum[kind] + uploader.acknowledged[kind]));
    println!(
        "{rounds} rounds of kill -9, {total} acknowledged changes, {parts} parts, {completions} completions and {aborts} aborts \
         among them, 0 lost"
    );
    assert!(
        parts >= rounds && completions > 0,
        "{parts} parts and {completions} completions: the uploaders hardly worked"
    );
    uploaders.iter_mut().for_each(|uploader| uploader.finish(&vault.client()));
    let report = vault.cli_json(&["verify"]);
    assert_eq!(report["damaged"].as_array().map(Vec::len), Some(0), "{report}");
}
