//! Goal: multipart uploads: parts in any order, replaced parts, wrong completions, abort. Method: S3 calls, bytes compared.

use md5::{Digest, Md5};

use crate::support::data;
use crate::support::s3::Call;
use crate::support::seed;
use crate::support::vault::Vault;

const PART: usize = 5 << 20;

#[test]
fn parts_in_any_order_make_one_object() {
    let mut rng = seed::rng("parts_in_any_order_make_one_object");
    let mut vault = Vault::start_new("PARTS");
    vault.client().create_bucket("bkt");
    let bodies =
        [data::random(rng.next(), PART), data::random(rng.next(), PART + 12_345), data::random(rng.next(), 999)];
    let client = vault.client();
    let upload = client.create_upload("bkt", "big");
    let mut etags = vec![(7, client.upload_part("bkt", "big", &upload, 7, &bodies[1]))];
    client.upload_part("bkt", "big", &upload, 2, b"to be replaced");
    etags.insert(0, (2, client.upload_part("bkt", "big", &upload, 2, &bodies[0])));
    // An upload survives a restart: its parts are journal records like any other.
    vault.restart();
    let client = vault.client();
    etags.push((10_000, client.upload_part("bkt", "big", &upload, 10_000, &bodies[2])));

    let listed =
        client.send(&Call::new("GET", "bkt", "big").query("uploadId", &upload)).unwrap().expect_ok("list parts");
    assert_eq!(listed.xml_all("PartNumber"), ["2", "7", "10000"]);
    assert_eq!(client.try_get("bkt", "big").unwrap().status, 404, "nothing is visible before completion");

    let done = client.complete("bkt", "big", &upload, &etags).expect_ok("complete");
    let md5s: Vec<u8> = bodies.iter().flat_map(|body| Md5::digest(body).to_vec()).collect();
    let etag = format!("\"{}-3\"", hex::encode(Md5::digest(&md5s)));
    assert_eq!(done.xml("ETag"), Some(etag.clone()));
    assert_eq!(client.head_object("bkt", "big").header("etag"), Some(etag.as_str()));
    let whole = bodies.concat();
    assert!(client.get("bkt", "big") == whole);
    let across = client.get_range("bkt", "big", &format!("{}-{}", PART - 10, PART + 10));
    assert!(across.body == whole[PART - 10..=PART + 10], "a range over the border of two parts");
}

#[test]
fn wrong_completions_are_refused_and_harm_nothing() {
    let vault = Vault::start_new("COMPLETE");
    let client = vault.client();
    client.create_bucket("bkt");
    client.put("bkt", "k", b"before");
    let upload = client.create_upload("bkt", "k");
    let first = client.upload_part("bkt", "k", &upload, 1, &data::random(1, PART));
    let second = client.upload_part("bkt", "k", &upload, 2, &data::random(2, 1000));
    let third = client.upload_part("bkt", "k", &upload, 3, &data::random(3, 1000));

    let unknown = [(1, first.clone()), (9, second.clone())];
    client.complete("bkt", "k", &upload, &unknown).expect_error("a part never sent", 400, "InvalidPart");
    let wrong = [(1, second.clone())];
    client.complete("bkt", "k", &upload, &wrong).expect_error("another part's ETag", 400, "InvalidPart");
    let backwards = [(2, second.clone()), (1, first.clone())];
    client.complete("bkt", "k", &upload, &backwards).expect_error("parts backwards", 400, "InvalidPartOrder");
    let small = [(1, first.clone()), (2, second.clone()), (3, third)];
    client.complete("bkt", "k", &upload, &small).expect_error("a small part in the middle", 400, "EntityTooSmall");
    assert_eq!(client.get("bkt", "k"), b"before");

    client.complete("bkt", "k", &upload, &[(1, first), (2, second)]).expect_ok("a good completion after bad ones");
    assert_eq!(client.get("bkt", "k").len(), PART + 1000);
}

#[test]
fn abort_forgets_the_upload() {
    let vault = Vault::start_new("ABORT");
    let client = vault.client();
    client.create_bucket("bkt");
    let upload = client.create_upload("bkt", "k");
    client.upload_part("bkt", "k", &upload, 1, &data::random(1, PART));
    let abort = || client.send(&Call::new("DELETE", "bkt", "k").query("uploadId", &upload)).unwrap();
    assert_eq!(abort().status, 204);
    let late = Call::new("PUT", "bkt", "k").query("partNumber", 2).query("uploadId", &upload).body(b"late");
    client.send(&late).unwrap().expect_error("a part after abort", 404, "NoSuchUpload");
    client.complete("bkt", "k", &upload, &[(1, format!("\"{}\"", "0f".repeat(16)))]).expect_error(
        "complete after abort",
        404,
        "NoSuchUpload",
    );
    client.send(&Call::new("DELETE", "bkt", "")).unwrap().expect_ok("an empty bucket can go");
}
