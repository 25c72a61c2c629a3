//! Goal: the five ways in which S3 clients sign bodies, and presigned URLs, all store the same bytes; a body that does not
//! fit its signature or checksum stores nothing. Method: our own signer, one object per mode and size.

use crate::support::data;
use crate::support::s3::{Body, Call, Mode};
use crate::support::seed;
use crate::support::vault::Vault;

#[test]
fn t01_all_good_modes_store_the_decoded_body() {
    let mut rng = seed::rng("t01_all_good_modes_store_the_decoded_body");
    let vault = Vault::start_new("MODES");
    let client = vault.client();
    client.create_bucket("modes");
    for mode in Mode::GOOD {
        for len in [0, 1, 70_001, 140_002, 3_000_000] {
            let body = data::random(rng.next(), len);
            let key = format!("{mode:?}-{len}");
            let call = Call::new("PUT", "modes", &key).body(&body).mode(mode);
            client.send(&call).unwrap().expect_ok(&key);
            assert!(client.get("modes", &key) == body, "{key}");
            let encoding = client.head_object("modes", &key).header("content-encoding").map(str::to_owned);
            assert!(
                encoding.is_none_or(|value| !value.contains("aws-chunked")),
                "aws-chunked is no encoding of the object"
            );
        }
    }
}

#[test]
fn bodies_that_do_not_fit_store_nothing() {
    let vault = Vault::start_new("MISFITS");
    let client = vault.client();
    client.create_bucket("modes");
    for mode in [Mode::WrongTrailer, Mode::WrongChunk, Mode::WrongHash] {
        for len in [1000, 3_000_000] {
            let body = data::random(5, len);
            let response = client.send(&Call::new("PUT", "modes", "victim").body(&body).mode(mode)).unwrap();
            let code = response.code();
            let known = [
                "XAmzContentSHA256Mismatch",
                "SignatureDoesNotMatch",
                "BadDigest",
                "InvalidRequest",
                "XAmzContentChecksumMismatch",
            ];
            assert!(
                (400..500).contains(&response.status) && known.contains(&code.as_str()),
                "{mode:?}: {} {}",
                response.status,
                response.text()
            );
            assert_eq!(
                client.try_get("modes", "victim").unwrap().status,
                404,
                "{mode:?} of {len} bytes left something"
            );
        }
    }
    let wrong_md5 = Call::new("PUT", "modes", "victim").body(b"abc").header("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==");
    client.send(&wrong_md5).unwrap().expect_error("wrong Content-MD5", 400, "BadDigest");
    assert!(client.list("modes", "", 100).is_empty());
}

#[test]
fn presigned_put_and_get() {
    let vault = Vault::start_new("PRESIGN");
    let client = vault.client();
    client.create_bucket("bkt");
    let body = data::random(9, 500_000);
    let mut put = Call::new("PUT", "bkt", "by url").mode(Mode::Unsigned);
    put.body = Body::Bytes(&body);
    put.presigned = true;
    client.send(&put).unwrap().expect_ok("presigned put");
    let mut get = Call::new("GET", "bkt", "by url");
    get.presigned = true;
    assert!(client.send(&get).unwrap().expect_ok("presigned get").body == body);

    get.skew = -3600;
    let expired = client.send(&get).unwrap();
    assert_eq!((expired.status, expired.code().as_str()), (403, "AccessDenied"), "{}", expired.text());
}
