//! Goal: whatever a client sends, it gets a clear error, harms nothing and leaves nothing. Method: raw requests of every
//! kind of wrong; after each the vault serves, and its listing is what it was.

use crate::support::data;
use crate::support::s3::{Call, Client, Keys, Mode, Response, http};
use crate::support::vault::{Vault, wait_until};

/// A vault with one bucket that holds one object.
fn prepared(name: &str) -> (Vault, Client) {
    let vault = Vault::start_new(name);
    let client = vault.client();
    client.create_bucket("bkt");
    client.put("bkt", "witness", b"still here");
    (vault, client)
}

#[track_caller]
fn unharmed(client: &Client) {
    assert_eq!(client.list("bkt", "", 1000), ["witness"]);
    assert_eq!(client.get("bkt", "witness"), b"still here");
}

#[test]
fn strangers_are_refused() {
    let (vault, client) = prepared("STRANGERS");
    let wrong = Client { keys: Keys { secret: "not the secret".into(), ..vault.keys().clone() }, ..client.clone() };
    wrong.try_get("bkt", "witness").unwrap().expect_error("wrong secret", 403, "SignatureDoesNotMatch");
    wrong.try_put("bkt", "new", b"x").unwrap().expect_error("wrong secret", 403, "SignatureDoesNotMatch");
    let unknown = Client { keys: Keys { access: "NOBODY".into(), secret: "x".into() }, ..client.clone() };
    unknown.try_get("bkt", "witness").unwrap().expect_error("unknown key", 403, "InvalidAccessKeyId");
    let anonymous = http::plain_get(vault.s3_port(), "/bkt/witness").unwrap();
    assert_eq!((anonymous.status, anonymous.code().as_str()), (403, "AccessDenied"), "{}", anonymous.text());
    for skew in [-3600, 3600] {
        let mut call = Call::new("GET", "bkt", "witness");
        call.skew = skew;
        client.send(&call).unwrap().expect_error("clock skew", 403, "RequestTimeTooSkewed");
    }
    unharmed(&client);
    let said = vault.log();
    assert!(!said.contains("not the secret") && !said.contains(&vault.keys().secret), "secrets in the log");
}

#[test]
fn unknown_names_are_named() {
    let (_vault, client) = prepared("UNKNOWN");
    client.try_get("nobucket", "k").unwrap().expect_error("unknown bucket", 404, "NoSuchBucket");
    client.try_put("nobucket", "k", b"x").unwrap().expect_error("unknown bucket", 404, "NoSuchBucket");
    client.send(&Call::new("GET", "nobucket", "").query("list-type", 2)).unwrap().expect_error(
        "list",
        404,
        "NoSuchBucket",
    );
    client.try_get("bkt", "nokey").unwrap().expect_error("unknown key", 404, "NoSuchKey");
    let call =
        Call::new("PUT", "bkt", "k").query("partNumber", 1).query("uploadId", "00000000000000000000000000000000");
    client.send(&call.body(b"x")).unwrap().expect_error("unknown upload", 404, "NoSuchUpload");
    let taken = client.send(&Call::new("PUT", "bkt", "")).unwrap();
    assert!(taken.status == 409 || taken.ok(), "a bucket of one's own, made again: {}", taken.text());
    for name in ["Upper", "a", "under_score", "192.168.0.1", "-dash"] {
        let answer = client.send(&Call::new("PUT", name, "")).unwrap();
        assert_eq!((answer.status, answer.code().as_str()), (400, "InvalidBucketName"), "{name}: {}", answer.text());
    }
    unharmed(&client);
}

#[test]
fn truncated_bodies_store_nothing() {
    let (vault, client) = prepared("TRUNCATED");
    for mode in Mode::GOOD {
        for (len, cut) in [(1000, 1), (1000, 999), (5_000_000, 10), (5_000_000, 2_500_000)] {
            let body = data::random(7, len);
            let call = Call::new("PUT", "bkt", "victim").body(&body).mode(mode);
            let ready = client.prepare(&call);
            let sent = wire(&call, &ready, cut);
            if let Ok(answer) = http::abandon(vault.s3_port(), &ready.head, &sent) {
                assert!(!answer.ok(), "{mode:?}, {cut} of {len} bytes missing, answered {}", answer.status);
            }
        }
    }
    let mut late = Call::new("PUT", "bkt", "victim").body(b"short").mode(Mode::Unsigned);
    late.claim_length = Some(50);
    let ready = client.prepare(&late);
    if let Ok(answer) = http::abandon(vault.s3_port(), &ready.head, b"short") {
        assert!(!answer.ok(), "fewer bytes than announced, answered {}", answer.status);
    }
    unharmed(&client);
}

/// The body as it goes over the wire, without its last `cut` bytes.
fn wire(call: &Call<'_>, ready: &crate::support::s3::Ready, cut: usize) -> Vec<u8> {
    let mut bytes = call.mode.wire(&call.body, ready);
    bytes.truncate(bytes.len() - cut);
    bytes
}

#[test]
fn over_long_bodies_store_no_more_than_announced() {
    let (vault, client) = prepared("OVERLONG");
    // More bytes than Content-Length: HTTP ends the body there; what follows is no request and must not become one.
    let mut call = Call::new("PUT", "bkt", "victim").body(b"0123456789").mode(Mode::Signed);
    call.claim_length = Some(4);
    let answer = client.send(&call).unwrap();
    answer.expect_error("the hash covers more than was announced", 400, "XAmzContentSHA256Mismatch");
    // aws-chunked with more payload than x-amz-decoded-content-length.
    let body = data::random(1, 5000);
    let call = Call::new("PUT", "bkt", "victim").body(&body).mode(Mode::UnsignedTrailer);
    let ready = client.prepare(&call);
    let head = String::from_utf8(ready.head.clone())
        .unwrap()
        .replace("x-amz-decoded-content-length: 5000", "x-amz-decoded-content-length: 4000");
    let answer = http::exchange(
        vault.s3_port(),
        head.as_bytes(),
        &mut |to| call.mode.write(&call.body, &ready, to),
        crate::support::s3::Sink::Keep,
    );
    assert!(answer.is_ok_and(|answer| (400..500).contains(&answer.status)), "a decoded length that lies");
    unharmed(&client);
}

/// Keys that look like paths are keys; keys that are none get an error.
#[test]
fn hostile_keys() {
    let (vault, client) = prepared("KEYS");
    let names = [
        "../../../etc/passwd",
        "..",
        "a/../b",
        "./a",
        "a//b",
        "C:\\windows",
        "%00",
        "кириллица",
        "🚢",
        "a\tb",
        "new\nline",
    ];
    for name in names {
        let answer = client.try_put("bkt", name, name.as_bytes()).unwrap();
        if answer.ok() {
            assert_eq!(client.get("bkt", name), name.as_bytes(), "{name:?}");
            client.delete("bkt", name);
        } else {
            assert!((400..500).contains(&answer.status) && !answer.code().is_empty(), "{name:?}: {}", answer.text());
        }
    }
    assert!(!vault.folder().join("etc").exists() && !vault.data().join("bkt").exists(), "a key became a path");
    let longest = "k".repeat(1024);
    client.put("bkt", &longest, b"longest");
    assert_eq!(client.get("bkt", &longest), b"longest");
    client.delete("bkt", &longest);
    client.try_put("bkt", &"k".repeat(1025), b"x").unwrap().expect_error("1,025 bytes", 400, "KeyTooLongError");
    for encoded in ["bad%00key", "bad%ff%fekey", "%C3%28"] {
        let call = Call::raw("PUT", "bkt", encoded).body(b"x");
        let answer = client.send(&call).unwrap();
        assert!((400..500).contains(&answer.status), "{encoded}: {} {}", answer.status, answer.text());
        assert!(!answer.code().is_empty(), "{encoded}: an error without a code: {}", answer.text());
    }
    unharmed(&client);
}

/// Bytes that are no HTTP, half requests, and clients that vanish leave the vault serving.
#[test]
fn garbage_and_vanishing_clients() {
    let (vault, client) = prepared("GARBAGE");
    let port = vault.s3_port();
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"GET",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PUT /b/k HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        &[0xff; 4096],
    ] {
        let answer: std::io::Result<Response> = http::abandon(port, garbage, b"");
        assert!(answer.map_or(true, |answer| answer.status >= 400), "garbage was served");
    }
    for _ in 0..50 {
        let body = data::random(3, 1 << 20);
        let call = Call::new("PUT", "bkt", "victim").body(&body).mode(Mode::Unsigned);
        let ready = client.prepare(&call);
        let _ = std::net::TcpStream::connect(("127.0.0.1", port)).map(|mut stream| {
            use std::io::Write;
            let _ = stream.write_all(&ready.head);
            let _ = stream.write_all(&body[..1 << 19]);
        });
    }
    wait_until("the vault to serve after clients vanished", || {
        client.try_get("bkt", "witness").is_ok_and(|answer| answer.ok())
    });
    unharmed(&client);
    assert!(!vault.log().contains("panicked at"), "{}", vault.log());
}
