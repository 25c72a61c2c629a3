//! Goal: a full vault says so and loses nothing: 507 for new data, reads and deletes go on, everything acknowledged is there; with
//! more space it goes on where it stopped. Method: six file systems of 176 MiB; objects of many sizes until the first refusal, or
//! somebody else's files until there is no byte left.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::support::data::Rng;
use crate::support::s3::{Call, Client, Mode, Response, Sink, http};
use crate::support::seed;
use crate::support::tmpfs::Tmpfs;
use crate::support::vault::{DISKS, Stored, Vault};

/// Bytes of a disk. 64 MiB stay free for records.
const DISK: u64 = 176 << 20;
/// Objects after which a test gives up waiting for the vault to be full.
const OBJECTS_MAX: u64 = 20_000;

/// A vault on small disks. They are named first, so that they are unmounted before the folder around them is removed.
pub struct Small {
    disks: Vec<Tmpfs>,
    pub vault: Vault,
}

impl Small {
    fn start(name: &str) -> Self {
        Self::start_with(name, "")
    }

    /// With these settings; it has the bucket `bkt`.
    pub fn start_with(name: &str, config: &str) -> Self {
        let mut vault = Vault::prepare(name);
        if !config.is_empty() {
            vault.set_config(config);
        }
        let disks = (0..DISKS).map(|number| Tmpfs::mount(&vault.disk(number), DISK)).collect();
        vault.start();
        vault.client().create_bucket("bkt");
        Self { disks, vault }
    }

    /// Stores objects of `len` bytes until one is refused; that answer.
    #[track_caller]
    pub fn fill(&self, stored: &mut Stored, prefix: &str, rng: &mut Rng, len: impl Fn(&mut Rng) -> u64) -> Response {
        let (client, began) = (self.vault.client(), Instant::now());
        for number in 0..OBJECTS_MAX {
            let (key, seed, len) = (format!("{prefix}/{number:05}"), rng.next(), len(rng));
            let answer = client.try_put_stream("bkt", &key, seed, len).unwrap_or_else(|error| panic!("{key}: {error}"));
            if !answer.ok() {
                println!("{prefix}: full after {number} objects, {:.1?}", began.elapsed());
                return answer;
            }
            stored.0.push((key, seed, len));
        }
        panic!("{OBJECTS_MAX} objects and the vault is not full");
    }
}

#[track_caller]
pub fn is_full(answer: &Response) {
    answer.expect_error("new data on a full vault", 507, "InsufficientStorage");
}

/// Reads, listings and deletes of a full vault.
#[track_caller]
fn goes_on(client: &Client, stored: &mut Stored) {
    stored.check(client, "bkt");
    assert_eq!(client.list("bkt", "", 1000), stored.keys());
    for _ in 0..20 {
        let (key, ..) = stored.0.swap_remove(stored.0.len() / 2);
        client.delete("bkt", &key);
    }
    assert_eq!(client.list("bkt", "", 1000), stored.keys());
}

#[test]
fn a_full_vault_says_so_and_loses_nothing() {
    let mut rng = seed::rng("a_full_vault_says_so_and_loses_nothing");
    let mut small = Small::start("FULL");
    let mut stored = Stored::default();
    is_full(&small.fill(&mut stored, "data", &mut rng, |rng| rng.range(1 << 20, 6 << 20)));
    goes_on(&small.vault.client(), &mut stored);
    let status = small.vault.status();
    assert_eq!(status["state"], "serving", "a full vault is not a broken one: {status}");
    assert!(small.vault.disk_states().iter().all(|state| state == "serving"), "a full disk was fenced: {status}");

    small.vault.kill();
    small.vault.start();
    goes_on(&small.vault.client(), &mut stored);
    is_full(&small.fill(&mut stored, "again", &mut rng, |_| 4 << 20));

    small.disks.iter().for_each(|disk| disk.resize(DISK * 2));
    let client = small.vault.client();
    for number in 0..8 {
        stored.put(&client, "bkt", &format!("more/{number}"), rng.next(), 4 << 20);
    }
    stored.check(&client, "bkt");
    small.vault.restart();
    stored.check(&small.vault.client(), "bkt");
    assert!(small.vault.logs().iter().all(|log| !fs::read_to_string(log).unwrap().contains("panicked at")));
}

/// Small objects ride in the journal, which has its own reserve: they too are refused before it is used up, so that deletes and
/// the records of a clean end still find room.
#[test]
fn small_objects_do_not_use_up_the_reserve() {
    let mut rng = seed::rng("small_objects_do_not_use_up_the_reserve");
    let mut small = Small::start("FULLSMALL");
    let mut stored = Stored::default();
    is_full(&small.fill(&mut stored, "data", &mut rng, |_| 8 << 20));
    is_full(&small.fill(&mut stored, "small", &mut rng, |_| 30 << 10));
    goes_on(&small.vault.client(), &mut stored);
    small.vault.restart();
    goes_on(&small.vault.client(), &mut stored);
}

/// SDKs wait for `100 Continue` before they send a body, over TLS one without a length: a full vault refuses before it asks for any.
#[test]
fn o10_a_full_vault_refuses_before_the_body() {
    let mut rng = seed::rng("o10_a_full_vault_refuses_before_the_body");
    let small = Small::start("FULLEARLY");
    let mut stored = Stored::default();
    is_full(&small.fill(&mut stored, "data", &mut rng, |_| 8 << 20));
    let client = small.vault.client();
    let body = vec![1; 1 << 20];
    let upload = client.create_upload("bkt", "parts");
    let put = Call::new("PUT", "bkt", "k");
    let part = Call::new("PUT", "bkt", "parts").query("partNumber", 1).query("uploadId", &upload);
    for call in [put, part] {
        let ready = client.prepare(&call.body(&body).mode(Mode::UnsignedTrailer).header("expect", "100-continue"));
        let head = String::from_utf8(ready.head).unwrap();
        let length = head.lines().find(|line| line.starts_with("content-length: ")).expect("a length to take away");
        let head = head.replace(length, "transfer-encoding: chunked");
        let answer = http::exchange(client.port, head.as_bytes(), &mut |_| Ok(()), Sink::Keep).unwrap();
        is_full(&answer);
    }
    goes_on(&client, &mut stored);
}

/// Somebody else fills the disks to the last byte, the reserve too. Writes are refused, not half done; reads go on; once the space
/// is back, a start has everything that was acknowledged, and takes writes.
#[test]
fn disks_filled_by_others_lose_nothing() {
    let mut rng = seed::rng("disks_filled_by_others_lose_nothing");
    let mut small = Small::start("FILLEDBYOTHERS");
    let mut stored = Stored::default();
    stored.put_mix(&small.vault.client(), "bkt", "before", 24, 4 << 20, &mut rng);
    let ballast: Vec<PathBuf> = small.vault.disks().iter().map(|disk| disk.join("ballast")).collect();
    ballast.iter().for_each(|file| fill_up(file));
    let answer = small.fill(&mut stored, "small", &mut rng, |rng| rng.below(30 << 10));
    assert!(matches!(answer.status, 503 | 507), "{} {}", answer.status, answer.text());
    let client = small.vault.client();
    let large = client.try_put_stream("bkt", "large", 1, 8 << 20).unwrap();
    assert!(matches!(large.status, 503 | 507), "{} {}", large.status, large.text());
    stored.check(&client, "bkt");
    assert_eq!(client.list("bkt", "small", 1000).len(), stored.0.iter().filter(|o| o.0.starts_with("small")).count());

    small.vault.kill();
    ballast.iter().for_each(|file| fs::remove_file(file).unwrap());
    small.vault.start();
    let client = small.vault.client();
    stored.check(&client, "bkt");
    stored.put_mix(&client, "bkt", "after", 12, 4 << 20, &mut rng);
    stored.check(&client, "bkt");
    assert!(small.vault.logs().iter().all(|log| !fs::read_to_string(log).unwrap().contains("panicked at")));
}

/// Writes zeros to a file until nothing more fits.
fn fill_up(path: &Path) {
    let mut file = File::create(path).unwrap();
    let zeros = vec![0; 64 << 10];
    while file.write_all(&zeros).is_ok() {}
}
