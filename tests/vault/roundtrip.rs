//! Goal: what S3 promises about one object. Method: one vault, each call and its edge cases, bytes and headers compared.

use md5::{Digest, Md5};

use crate::support::data::{self, Rng};
use crate::support::s3::sign::sha256_hex;
use crate::support::s3::{Call, Client, Mode};
use crate::support::seed;
use crate::support::vault::{Stored, Vault};

/// Sizes around every limit that the path of a byte has: blocks, inline bytes, chunk sizes, stripes.
const SIZES: [usize; 17] = [
    0,
    1,
    4095,
    4096,
    4097,
    16_383,
    16_385,
    32_767,
    32_769,
    65_536,
    262_143,
    262_145,
    1 << 20,
    (1 << 20) + 1,
    3_000_017,
    4 << 20,
    9_999_999,
];

#[test]
fn every_size_comes_back() {
    let mut rng = seed::rng("every_size_comes_back");
    let vault = Vault::start_new("SIZES");
    let client = vault.client();
    client.create_bucket("sizes");
    let bodies: Vec<Vec<u8>> =
        SIZES.iter().flat_map(|len| [data::random(rng.next(), *len), data::compressible(rng.next(), *len)]).collect();
    for (number, body) in bodies.iter().enumerate() {
        let response = client.put("sizes", &format!("o{number}"), body);
        assert_eq!(response.header("etag"), Some(format!("\"{}\"", hex::encode(Md5::digest(body))).as_str()));
    }
    for (number, body) in bodies.iter().enumerate() {
        assert!(client.get("sizes", &format!("o{number}")) == *body, "object {number} of {} bytes differs", body.len());
    }
}

#[test]
fn headers_ranges_overwrite_delete() {
    let mut rng = seed::rng("headers_ranges_overwrite_delete");
    let vault = Vault::start_new("OBJECT");
    let client = vault.client();
    client.create_bucket("bkt");
    let body = data::random(rng.next(), 700_001);
    let put = Call::new("PUT", "bkt", "dir/a file ü+%.bin").body(&body);
    let put = put.header("content-type", "application/x-dump").header("x-amz-meta-origin", "db7");
    client.send(&put).unwrap().expect_ok("put");
    let head = client.head_object("bkt", "dir/a file ü+%.bin");
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-length"), Some("700001"));
    assert_eq!(head.header("content-type"), Some("application/x-dump"));
    assert_eq!(head.header("x-amz-meta-origin"), Some("db7"));
    assert!(head.header("x-amz-request-id").is_some_and(|id| !id.is_empty()), "every answer has a request id");
    assert!(head.header("last-modified").is_some());
    ranges(&client, &body, &mut rng);

    client.put("bkt", "dir/a file ü+%.bin", b"second");
    assert_eq!(client.get("bkt", "dir/a file ü+%.bin"), b"second");
    assert_eq!(client.delete("bkt", "dir/a file ü+%.bin").status, 204);
    client.try_get("bkt", "dir/a file ü+%.bin").unwrap().expect_error("get of a deleted key", 404, "NoSuchKey");
    assert_eq!(client.head_object("bkt", "dir/a file ü+%.bin").status, 404);
    assert_eq!(client.delete("bkt", "dir/a file ü+%.bin").status, 204, "deleting twice is no error in S3");
}

fn ranges(client: &Client, body: &[u8], rng: &mut Rng) {
    let key = "dir/a file ü+%.bin";
    let len = body.len();
    for _ in 0..20 {
        let start = rng.below(len as u64) as usize;
        let end = start + rng.below((len - start) as u64) as usize;
        let response = client.get_range("bkt", key, &format!("{start}-{end}"));
        assert_eq!(response.status, 206);
        assert_eq!(response.header("content-range"), Some(format!("bytes {start}-{end}/{len}").as_str()));
        assert!(response.body == body[start..=end], "range {start}-{end}");
    }
    assert!(client.get_range("bkt", key, "-5").body == body[len - 5..]);
    assert!(client.get_range("bkt", key, "700000-").body == body[700_000..]);
    assert!(client.get_range("bkt", key, "0-99999999").body == body);
    client.get_range("bkt", key, "700001-").expect_error("a range behind the end", 416, "InvalidRange");
}

#[test]
fn buckets_and_listing() {
    let vault = Vault::start_new("LISTING");
    let client = vault.client();
    client.create_bucket("listing");
    let mut keys: Vec<String> = (0..57).map(|n| format!("a/{:02}/{n:03}", n % 7)).collect();
    keys.extend(["a", "a!", "a/", "bkt", "z/ö", "z/o", "Z"].map(str::to_owned));
    for key in &keys {
        client.put("listing", key, key.as_bytes());
    }
    keys.sort();
    for page in [1000, 10, 1] {
        assert_eq!(client.list("listing", "", page), keys, "pages of {page}");
    }
    let below: Vec<&String> = keys.iter().filter(|key| key.starts_with("a/03/")).collect();
    assert_eq!(client.list("listing", "a/03/", 4).iter().collect::<Vec<_>>(), below);

    let rolled = Call::new("GET", "listing", "").query("list-type", 2).query("delimiter", "/");
    let rolled = client.send(&rolled).unwrap().expect_ok("list with delimiter");
    let prefixes: Vec<String> = rolled.xml_all("Prefix").into_iter().filter(|prefix| !prefix.is_empty()).collect();
    assert_eq!(prefixes, ["a/", "z/"]);
    assert_eq!(rolled.xml_all("Key"), ["Z", "a", "a!", "bkt"]);

    client.send(&Call::new("DELETE", "listing", "")).unwrap().expect_error("a full bucket", 409, "BucketNotEmpty");
    keys.iter().for_each(|key| drop(client.delete("listing", key)));
    assert!(client.list("listing", "", 1000).is_empty());
    client.send(&Call::new("DELETE", "listing", "")).unwrap().expect_ok("delete bucket");
    assert_eq!(client.send(&Call::new("HEAD", "listing", "")).unwrap().status, 404);
}

#[test]
fn many_clients_at_once() {
    const CLIENTS: u64 = 64;
    let mut rng = seed::rng("many_clients_at_once");
    let vault = Vault::start_new("CLIENTS");
    vault.client().create_bucket("shared");
    let seeds: Vec<u64> = (0..CLIENTS).map(|_| rng.next()).collect();
    std::thread::scope(|scope| {
        for (number, seed) in seeds.iter().enumerate() {
            let client = vault.client();
            scope.spawn(move || {
                let mut rng = Rng::new(*seed);
                let mut stored = Stored::default();
                stored.put_mix(&client, "shared", &format!("client{number}"), 8, 2 << 20, &mut rng);
                stored.check(&client, "shared");
                let same = client.get("shared", &stored.0[0].0);
                assert_eq!(sha256_hex(&same), sha256_hex(&data::random(stored.0[0].1, stored.0[0].2 as usize)));
            });
        }
    });
    assert_eq!(vault.client().list("shared", "", 1000).len(), 8 * CLIENTS as usize);
}

#[test]
fn last_of_concurrent_overwrites_is_whole() {
    let vault = Vault::start_new("OVERWRITES");
    let client = vault.client();
    client.create_bucket("bkt");
    let bodies: Vec<Vec<u8>> = (0..8).map(|n| data::random(n, 300_000 + n as usize)).collect();
    std::thread::scope(|scope| {
        for body in &bodies {
            let client = client.clone();
            scope.spawn(move || (0..5).for_each(|_| drop(client.put("bkt", "same", body))));
        }
    });
    let last = client.get("bkt", "same");
    assert!(bodies.contains(&last), "a mixture of writers, {} bytes", last.len());
}

#[test]
fn t12_conditional_create_has_one_winner() {
    let vault = Vault::start_new("CONDITION");
    let client = vault.client();
    client.create_bucket("bkt");
    let answers: Vec<u16> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16_u8)
            .map(|number| {
                let client = client.clone();
                scope.spawn(move || {
                    let body = [number; 1000];
                    let call =
                        Call::new("PUT", "bkt", "once").body(&body).mode(Mode::Unsigned).header("if-none-match", "*");
                    client.send(&call).unwrap().status
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(answers.iter().filter(|status| **status == 200).count(), 1, "{answers:?}");
    assert!(answers.iter().all(|status| matches!(status, 200 | 409 | 412)), "{answers:?}");
}
