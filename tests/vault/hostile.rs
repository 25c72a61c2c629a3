//! Goal: whatever a client sends, it gets a clear error, harms nothing and leaves nothing. Method: raw requests of every
//! kind of wrong; after each the vault serves, and its listing is what it was.

use md5::{Digest, Md5};

use crate::support::data;
use crate::support::s3::{Call, Client, Keys, Mode, Ready, Response, Sink, http};
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

/// Where bodies are cut: length, and bytes that are missing.
const CUTS: [(usize, usize); 4] = [(1000, 1), (1000, 999), (5_000_000, 10), (5_000_000, 2_500_000)];

/// A client that dies inside its body: the half of the connection that answers is still open, so an answer must come.
#[track_caller]
fn expect_incomplete(port: u16, call: &Call<'_>, ready: &Ready, cut: usize) {
    let what = format!("{:?}, {} {}, {cut} bytes missing", call.mode, call.method, call.path);
    let answer = http::abandon(port, &ready.head, &wire(call, ready, cut));
    answer.unwrap_or_else(|error| panic!("{what}: no answer: {error}")).expect_error(&what, 400, "IncompleteBody");
}

#[test]
fn t16_truncated_bodies_store_nothing() {
    let (vault, client) = prepared("TRUNCATED");
    for mode in Mode::GOOD {
        for (len, cut) in CUTS {
            let body = data::random(7, len);
            let call = Call::new("PUT", "bkt", "victim").body(&body).mode(mode);
            expect_incomplete(vault.s3_port(), &call, &client.prepare(&call), cut);
        }
    }
    let mut late = Call::new("PUT", "bkt", "victim").body(b"short").mode(Mode::Unsigned);
    late.claim_length = Some(50);
    expect_incomplete(vault.s3_port(), &late, &client.prepare(&late), 0);
    unharmed(&client);
}

/// The HTTP body is as long as it says, and what lies in it is cut short: only `aws-chunked`, the hash or the trailer can tell.
/// Of a signed body without trailers the last 86 bytes are its last chunk; of one with trailers, the last line ends are
/// nothing.
#[test]
fn bodies_cut_short_inside_their_framing_store_nothing() {
    let (_vault, client) = prepared("FRAMING");
    let trailers =
        &["IncompleteBody", "MalformedTrailerError", "SignatureDoesNotMatch", "InvalidRequest", "BadDigest"][..];
    for mode in [Mode::Signed, Mode::SignedChunks, Mode::SignedChunksTrailer, Mode::UnsignedTrailer] {
        for (len, cut) in CUTS.into_iter().chain([86, 85, 20, 5].map(|cut| (5_000_000, cut))) {
            let codes = match mode {
                Mode::Signed => &["XAmzContentSHA256Mismatch"],
                Mode::SignedChunksTrailer | Mode::UnsignedTrailer if cut < 5 => continue,
                Mode::SignedChunksTrailer | Mode::UnsignedTrailer if cut < 150 => trailers,
                _ => &["IncompleteBody"],
            };
            let body = data::random(7, len);
            let mut call = Call::new("PUT", "bkt", "victim").body(&body).mode(mode);
            let whole = mode.wire_len(&call.body);
            call.claim_length = Some(whole - cut as u64);
            let ready = client.prepare(&call);
            let sent = wire(&call, &ready, cut);
            let send = &mut |to: &mut std::net::TcpStream| std::io::Write::write_all(to, &sent);
            let what = format!("{mode:?}, {cut} of {whole} bytes missing inside the framing");
            let answer = http::exchange(client.port, &ready.head, send, Sink::Keep);
            let answer = answer.unwrap_or_else(|error| panic!("{what}: no answer: {error}"));
            let code = answer.code();
            let refused = (400..500).contains(&answer.status) && codes.contains(&code.as_str());
            assert!(refused, "{what}: {} {}, wanted {codes:?}", answer.status, answer.text());
        }
    }
    unharmed(&client);
}

/// A part that was cut short is no part: it is not listed, and the upload cannot be completed with it.
#[test]
fn truncated_parts_store_nothing() {
    let (vault, client) = prepared("CUTPART");
    let upload = client.create_upload("bkt", "victim");
    let body = data::random(9, 5_000_000);
    for mode in Mode::GOOD {
        for cut in [1, 10, 2_500_000] {
            let part = Call::new("PUT", "bkt", "victim").query("partNumber", 1).query("uploadId", &upload);
            let call = part.body(&body).mode(mode);
            expect_incomplete(vault.s3_port(), &call, &client.prepare(&call), cut);
        }
    }
    let listed = client.send(&Call::new("GET", "bkt", "victim").query("uploadId", &upload)).unwrap();
    assert!(listed.expect_ok("list parts").xml_all("PartNumber").is_empty(), "a part that was cut short is listed");
    let etag = format!("\"{}\"", hex::encode(Md5::digest(&body)));
    client.complete("bkt", "victim", &upload, &[(1, etag)]).expect_error("completion", 400, "InvalidPart");
    let kept = client.upload_part("bkt", "victim", &upload, 1, &body);
    client.complete("bkt", "victim", &upload, &[(1, kept)]).expect_ok("the same part, whole");
    assert!(client.get("bkt", "victim") == body);
    client.delete("bkt", "victim");
    unharmed(&client);
}

/// The body as it goes over the wire, without its last `cut` bytes.
fn wire(call: &Call<'_>, ready: &Ready, cut: usize) -> Vec<u8> {
    let mut bytes = call.mode.wire(&call.body, ready);
    bytes.truncate(bytes.len() - cut);
    bytes
}

#[test]
fn over_long_bodies_store_no_more_than_announced() {
    let (_vault, client) = prepared("OVERLONG");
    // More bytes than Content-Length: HTTP ends the body there; what follows is no request and must not become one.
    let mut call = Call::new("PUT", "bkt", "victim").body(b"0123456789").mode(Mode::Signed);
    call.claim_length = Some(4);
    let answer = client.send(&call).unwrap();
    answer.expect_error("the hash covers more than was announced", 400, "XAmzContentSHA256Mismatch");
    call.mode = Mode::Unsigned;
    client.send(&call).unwrap().expect_ok("four bytes were announced and signed");
    assert_eq!(client.get("bkt", "victim"), b"0123", "bytes behind the end of the body were stored");
    client.delete("bkt", "victim");
    // aws-chunked with more, or less, payload than x-amz-decoded-content-length, the header signed as it stands.
    let body = data::random(1, 200_000);
    for mode in [Mode::SignedChunks, Mode::SignedChunksTrailer, Mode::UnsignedTrailer] {
        for claimed in [0, 1, 199_999, 200_001, 1 << 40] {
            let mut call = Call::new("PUT", "bkt", "victim").body(&body).mode(mode);
            call.claim_decoded = Some(claimed);
            let answer = client.send(&call).unwrap_or_else(|error| panic!("{mode:?}, {claimed}: no answer: {error}"));
            let expected = if claimed > 5 << 30 { "EntityTooLarge" } else { "IncompleteBody" };
            answer.expect_error(&format!("{mode:?}: 200,000 bytes, said to be {claimed}"), 400, expected);
        }
    }
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
        client.put("bkt", name, name.as_bytes());
        assert_eq!(client.get("bkt", name), name.as_bytes(), "{name:?}");
        assert_eq!(client.list("bkt", name, 10), [name], "{name:?}");
        client.delete("bkt", name);
    }
    assert!(!vault.folder().join("etc").exists() && !vault.data().join("bkt").exists(), "a key became a path");
    let longest = "k".repeat(1024);
    client.put("bkt", &longest, b"longest");
    assert_eq!(client.get("bkt", &longest), b"longest");
    client.delete("bkt", &longest);
    client.try_put("bkt", &"k".repeat(1025), b"x").unwrap().expect_error("1,025 bytes", 400, "KeyTooLongError");
    for (encoded, code) in [
        ("bad%00key", "InvalidArgument"),
        ("%00", "InvalidArgument"),
        ("bad%ff%fekey", "InvalidURI"),
        ("%C3%28", "InvalidURI"),
        ("%ED%A0%80", "InvalidURI"),
    ] {
        for method in ["PUT", "GET", "DELETE"] {
            let call = Call::raw(method, "bkt", encoded);
            let call = if method == "PUT" { call.body(b"x") } else { call };
            client.send(&call).unwrap().expect_error(&format!("{method} {encoded}"), 400, code);
        }
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

/// The story: the fuzzer named a signed header with an escape character, `s3s` put the name into its refusal, XML could not hold it, and the client
/// heard 500 for a mistake of its own.
#[test]
fn characters_that_no_answer_can_repeat_are_the_clients_mistake() {
    let (vault, client) = prepared("UNREPEATABLE");
    let bad = [
        ("max-keys", "\u{1b}"),
        ("encoding-type", "u\u{1}rl"),
        ("X-Amz-SignedHeaders", "host;x\u{1b}"),
        ("versionId", "\u{fffe}"),
    ];
    for (name, value) in bad {
        for method in ["GET", "DELETE"] {
            for key in ["", "other"] {
                let answer = client.send(&Call::new(method, "bkt", key).query(name, value)).unwrap();
                assert!(answer.status < 500, "{method} {key}?{name}: {} {}", answer.status, answer.text());
            }
        }
    }
    let mut call = Call::new("GET", "bkt", "witness");
    call.presigned = true;
    let head = String::from_utf8(client.prepare(&call).head).unwrap();
    let head = head.replacen("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders=host%3Bx%1B", 1);
    let answer = http::exchange(vault.s3_port(), head.as_bytes(), &mut |_| Ok(()), Sink::Keep).unwrap();
    answer.expect_error("a signed header that is none", 400, "InvalidArgument");
    unharmed(&client);
}
