//! What broke when real tools were run against other servers, each a test named after its number (`docs/clients.md` lists them): the
//! requests as those tools send them. The second (a listing that says it encodes names and does not) is also told by the AWS CLI itself,
//! the ninth (names of a certificate) by pgBackRest, in `tests/clients`.

use std::io::{BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::data;
use crate::support::s3::body::Sum;
use crate::support::s3::http::read_response;
use crate::support::s3::{Call, Client, Mode, Response, Sink};
use crate::support::vault::Vault;

#[track_caller]
fn list(client: &Client, query: &[(&str, &str)]) -> Response {
    let mut call = Call::new("GET", "bkt", "");
    call.query = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    client.send(&call).unwrap().expect_ok(&format!("{query:?}"))
}

/// O1: restic and barman send `delimiter=`, which is none. Taken for one, every pack was missing.
#[test]
fn o01_an_empty_delimiter_is_none() {
    let vault = Vault::start_new("O01");
    let client = vault.client();
    client.create_bucket("bkt");
    let keys = ["data/00/pack1", "data/01/pack2", "index/one"];
    for key in keys {
        client.put("bkt", key, b"x");
        client.create_upload("bkt", key);
    }
    for query in
        [&[("list-type", "2"), ("delimiter", "")][..], &[("delimiter", "")], &[("uploads", ""), ("delimiter", "")]]
    {
        let page = list(&client, query);
        assert_eq!(page.xml_all("Key"), keys, "{query:?}");
        assert!(!page.text().contains("CommonPrefixes"), "{query:?}: {}", page.text());
    }
}

/// O2: `aws s3 rm --recursive` deleted `a b` and left `a+b`: names were said to be encoded and were not.
#[test]
fn o02_plus_and_space_are_told_apart() {
    let vault = Vault::start_new("O02");
    let client = vault.client();
    client.create_bucket("bkt");
    for key in ["a+b", "a b", "x y+z%", "p+/k"] {
        client.put("bkt", key, key.as_bytes());
    }
    let encoded = list(&client, &[("list-type", "2"), ("encoding-type", "url"), ("delimiter", "/")]);
    assert_eq!(encoded.xml_all("Key"), ["a%20b", "a%2Bb", "x%20y%2Bz%25"]);
    assert_eq!(encoded.xml("CommonPrefixes").as_deref(), Some("<Prefix>p%2B/</Prefix>"));
    assert_eq!(encoded.xml("EncodingType").as_deref(), Some("url"));
    let plain = list(&client, &[("list-type", "2"), ("delimiter", "/")]);
    assert_eq!(plain.xml_all("Key"), ["a b", "a+b", "x y+z%"]);
    assert_eq!(plain.xml("EncodingType"), None);
    let document = b"<Delete><Quiet>true</Quiet><Object><Key>a b</Key></Object></Delete>";
    client.send(&Call::new("POST", "bkt", "").query("delete", "").body(document)).unwrap().expect_ok("delete");
    assert_eq!(client.list("bkt", "", 10), ["a+b", "p+/k", "x y+z%"]);
}

/// O3: pgBackRest lists page n+1 while it deletes page n, over two connections; a server may have restarted in between.
#[test]
fn o03_a_token_outlives_the_keys_it_was_made_from() {
    let mut vault = Vault::start_new("O03");
    let client = vault.client();
    client.create_bucket("bkt");
    let keys: Vec<String> = (0..50).map(|number| format!("archive/{number:04}")).collect();
    keys.iter().for_each(|key| drop(client.put("bkt", key, b"x")));
    let mut seen = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let client = vault.client();
        let mut query = vec![("list-type", "2"), ("max-keys", "7"), ("prefix", "archive/")];
        if let Some(token) = &token {
            query.push(("continuation-token", token));
        }
        let page = list(&client, &query);
        let found = page.xml_all("Key");
        found.iter().for_each(|key| drop(client.delete("bkt", key)));
        seen.extend(found);
        token = page.xml("NextContinuationToken");
        if token.is_none() {
            break;
        }
        if seen.len() == 21 {
            vault.restart();
        }
    }
    assert_eq!(seen, keys);
    assert!(vault.client().list("bkt", "", 10).is_empty());
}

/// O4: s3fs and rclone make `d` and `d/` and `d/x`, and ask for the bare prefix.
#[test]
fn o04_a_name_a_folder_and_what_is_in_it_live_together() {
    let vault = Vault::start_new("O04");
    let client = vault.client();
    client.create_bucket("bkt");
    client.put("bkt", "p/q/x", b"below");
    for bare in ["p", "p/", "p/q", "p/q/", "p_$folder$"] {
        assert_eq!(client.head_object("bkt", bare).status, 404, "{bare}");
        client.try_get("bkt", bare).unwrap().expect_error(bare, 404, "NoSuchKey");
    }
    for (key, body) in [("d", &b"a file"[..]), ("d/", b""), ("d/x", b"in it"), ("d//x", b"in no name")] {
        let directory = Call::new("PUT", "bkt", key).body(body).header("content-type", "application/x-directory");
        client.send(&directory).unwrap().expect_ok(key);
    }
    for (key, body) in [("d", &b"a file"[..]), ("d/", b""), ("d/x", b"in it"), ("d//x", b"in no name")] {
        assert_eq!(client.get("bkt", key), body, "{key}");
    }
    client.delete("bkt", "d");
    client.delete("bkt", "d/");
    assert_eq!(client.list("bkt", "d", 10), ["d//x", "d/x"]);
}

/// O5: Keys are bytes, never paths: nothing is normalised, a component may be as long as the key, and what was refused is not there.
#[test]
fn o05_keys_are_opaque() {
    let vault = Vault::start_new("O05");
    let client = vault.client();
    client.create_bucket("bkt");
    let mut keys = vec!["a/../b", "b", "a//b", "a/b", "a/./b", "/a/b", "a/b/", "..", "../..", "."]
        .into_iter()
        .map(str::to_owned)
        .collect::<Vec<_>>();
    keys.extend(["k".repeat(900), format!("{}/end", "deep/".repeat(80)), "k".repeat(1024)]);
    keys.iter().for_each(|key| drop(client.put("bkt", key, key.as_bytes())));
    keys.iter().for_each(|key| assert_eq!(client.get("bkt", key), key.as_bytes()));
    client.try_put("bkt", &"k".repeat(1025), b"x").unwrap().expect_error("too long", 400, "KeyTooLongError");
    keys.sort();
    assert_eq!(client.list("bkt", "", 1000), keys);
}

/// O6: barman starts uploads without naming a checksum and sends one with each part; SDKs leave out of the completion what no part
/// was answered with.
#[test]
fn o06_checksums_of_parts_are_answered_and_compared() {
    let vault = Vault::start_new("O06");
    let client = vault.client();
    client.create_bucket("bkt");
    let bodies = [data::random(61, 5 << 20), data::random(62, 50_000)];
    for named in [false, true] {
        let mut create = Call::new("POST", "bkt", "wal").query("uploads", "");
        if named {
            create = create.header("x-amz-checksum-algorithm", "CRC32");
        }
        let upload = client.send(&create).unwrap().expect_ok("create").xml("UploadId").unwrap();
        let document = |wrong: bool| {
            let mut parts = String::new();
            for (number, body) in (1..).zip(&bodies) {
                let sum = Sum::Crc32.of(body);
                let call =
                    Call::new("PUT", "bkt", "wal").query("partNumber", number).query("uploadId", &upload).body(body);
                let stored = client.send(&call.header("x-amz-checksum-crc32", &sum)).unwrap().expect_ok("part");
                assert_eq!(stored.header("x-amz-checksum-crc32"), Some(sum.as_str()), "named: {named}");
                let etag = stored.header("etag").unwrap();
                let said = if wrong && number == 2 { Sum::Crc32.of(b"another") } else { sum };
                parts.push_str(&format!(
                    "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag><ChecksumCRC32>{said}</ChecksumCRC32></Part>"
                ));
            }
            format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>")
        };
        let complete = |document: String| {
            client.send(&Call::new("POST", "bkt", "wal").query("uploadId", &upload).body(document.as_bytes())).unwrap()
        };
        complete(document(true)).expect_error("another part's checksum", 400, "InvalidPart");
        complete(document(false)).expect_ok("complete");
        assert!(client.get("bkt", "wal") == bodies.concat());
    }
}

/// O7: rclone asks for the version it was told; of a bucket without versions that is `null`, if any.
#[test]
fn o07_the_version_null_is_the_object() {
    let vault = Vault::start_new("O07");
    let client = vault.client();
    client.create_bucket("bkt");
    let put = client.put("bkt", "k", b"content");
    assert_eq!(put.header("x-amz-version-id"), None);
    let ask = |method: &'static str, version: &str| {
        client.send(&Call::new(method, "bkt", "k").query("versionId", version)).unwrap()
    };
    assert_eq!(ask("HEAD", "null").expect_ok("head").header("content-length"), Some("7"));
    assert_eq!(ask("GET", "null").expect_ok("get").body, b"content");
    for unknown in ["3HL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY", "00000000000000000000000000000000"] {
        let answer = ask("GET", unknown);
        assert!(matches!(answer.status, 400 | 404 | 501), "{} {}", answer.status, answer.text());
    }
}

/// O8: Tools read a bucket's settings before they work: what was never set has S3's own answer, and setting what is not built is refused.
#[test]
fn o08_settings_that_were_never_set_are_answered_as_by_s3() {
    let vault = Vault::start_new("O08");
    let client = vault.client();
    client.create_bucket("bkt");
    client.put("bkt", "k", b"x");
    let ask = |bucket: &str, setting: &str| client.send(&Call::new("GET", bucket, "").query(setting, "")).unwrap();
    for (setting, code) in [
        ("policy", "NoSuchBucketPolicy"),
        ("cors", "NoSuchCORSConfiguration"),
        ("lifecycle", "NoSuchLifecycleConfiguration"),
        ("tagging", "NoSuchTagSet"),
        ("website", "NoSuchWebsiteConfiguration"),
        ("replication", "ReplicationConfigurationNotFoundError"),
        ("object-lock", "ObjectLockConfigurationNotFoundError"),
    ] {
        ask("bkt", setting).expect_error(setting, 404, code);
        ask("absent", setting).expect_error(setting, 404, "NoSuchBucket");
    }
    for (setting, words) in [
        ("versioning", &["<VersioningConfiguration"][..]),
        ("logging", &["<BucketLoggingStatus"]),
        ("notification", &["<NotificationConfiguration"]),
        ("accelerate", &["<AccelerateConfiguration"]),
        ("requestPayment", &["<RequestPaymentConfiguration", "<Payer>BucketOwner</Payer>"]),
        ("encryption", &["<ServerSideEncryptionConfiguration", "<SSEAlgorithm>AES256</SSEAlgorithm>"]),
        (
            "acl",
            &[
                "<AccessControlPolicy",
                "<ID>000000000001</ID>",
                "<Permission>FULL_CONTROL</Permission>",
                "CanonicalUser",
            ],
        ),
        ("location", &["<LocationConstraint"]),
    ] {
        let answer = ask("bkt", setting).expect_ok(setting);
        let missing = words.iter().find(|word| !answer.text().contains(**word));
        assert_eq!(missing, None, "{setting}: {}", answer.text());
        assert!(!answer.text().contains("<Status>"), "{setting} is not enabled: {}", answer.text());
        ask("absent", setting).expect_error(setting, 404, "NoSuchBucket");
        let set = client.send(&Call::new("PUT", "bkt", "").query(setting, "").body(b"<X/>")).unwrap();
        assert!(matches!((setting, set.status), ("location", _) | (_, 400 | 501)), "{setting}: {}", set.text());
    }
    let acl = client.send(&Call::new("GET", "bkt", "k").query("acl", "")).unwrap().expect_ok("acl of an object");
    assert_eq!(acl.xml_all("Permission"), ["FULL_CONTROL"]);
    let absent = client.send(&Call::new("GET", "bkt", "absent").query("acl", "")).unwrap();
    absent.expect_error("acl of no object", 404, "NoSuchKey");
}

/// O9: pgBackRest compares names of a certificate and no addresses: one that is made here has both.
#[test]
fn o09_a_certificate_made_here_has_a_name() {
    let vault = Vault::prepare("O09");
    let folder = vault.folder().to_str().unwrap();
    let made = vault.command().args(["tls", "self-signed", "--json", "--out", folder]).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let json: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    let names: Vec<&str> = json["names"].as_array().unwrap().iter().filter_map(|name| name.as_str()).collect();
    assert!(names.contains(&"localhost") && names.contains(&"127.0.0.1"), "{names:?}");
}

/// O10: SDKs over TLS send `Expect: 100-continue` and no Content-Length, only the length of what is framed: refusals that need no body
/// come before it, and the body is stored by its own length. (A full disk: `full.rs`.)
#[test]
fn o10_a_framed_body_without_a_length_is_taken_or_refused_early() {
    let vault = Vault::start_new("O10");
    let client = vault.client();
    client.create_bucket("bkt");
    let body = data::random(10, 300_000);
    for (bucket, claimed, first) in [
        ("bkt", None, "HTTP/1.1 100"),
        ("absent", None, "HTTP/1.1 404"),
        ("bkt", Some((5_u64 << 30) + 1), "HTTP/1.1 400"),
    ] {
        let mut call =
            Call::new("PUT", bucket, "k").body(&body).mode(Mode::UnsignedTrailer).header("expect", "100-continue");
        call.claim_decoded = claimed;
        let ready = client.prepare(&call);
        let head = String::from_utf8(ready.head.clone()).unwrap();
        let length = head.lines().find(|line| line.starts_with("content-length: ")).expect("a length to take away");
        let head = head.replace(length, "transfer-encoding: chunked");
        let stream = TcpStream::connect(("127.0.0.1", client.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        (&stream).write_all(head.as_bytes()).unwrap();
        let mut said = [0; 12];
        (&stream).read_exact(&mut said).unwrap();
        assert_eq!(String::from_utf8_lossy(&said), first, "{bucket}, {claimed:?}");
        if first.ends_with("100") {
            let wire = call.mode.wire(&call.body, &ready);
            for piece in wire.chunks(65_000) {
                (&stream).write_all(format!("{:x}\r\n", piece.len()).as_bytes()).unwrap();
                (&stream).write_all(piece).unwrap();
                (&stream).write_all(b"\r\n").unwrap();
            }
            (&stream).write_all(b"0\r\n\r\n").unwrap();
            let mut rest = BufReader::new(&stream);
            let mut line = String::new();
            std::io::BufRead::read_line(&mut rest, &mut line).unwrap();
            std::io::BufRead::read_line(&mut rest, &mut line).unwrap();
            read_response(&mut rest, false, Sink::Keep).unwrap().expect_ok("put");
            assert!(client.get("bkt", "k") == body);
        }
    }
}

/// O11: One pgBackRest run makes thousands of small objects, hundreds of them over one connection; each is durable when answered.
#[test]
fn o11_hundreds_of_small_puts_over_one_connection() {
    const CONNECTIONS: usize = 8;
    const PUTS: usize = 670;
    let mut vault = Vault::start_new("O11");
    let client = vault.client();
    client.create_bucket("bkt");
    std::thread::scope(|scope| {
        for connection in 0..CONNECTIONS {
            let client = client.clone();
            scope.spawn(move || {
                let stream = TcpStream::connect(("127.0.0.1", client.port)).unwrap();
                let mut answers = BufReader::new(&stream);
                for number in 0..PUTS {
                    let body = data::random(number as u64, 100 + number);
                    let call = Call::new("PUT", "bkt", &format!("{connection}/{number:04}")).body(&body);
                    let head =
                        String::from_utf8(client.prepare(&call).head).unwrap().replace("connection: close\r\n", "");
                    (&stream).write_all(&[head.as_bytes(), &body].concat()).unwrap();
                    read_response(&mut answers, false, Sink::Keep).unwrap().expect_ok("put");
                }
            });
        }
    });
    vault.kill();
    vault.start();
    let client = vault.client();
    assert_eq!(client.list("bkt", "", 1000).len(), CONNECTIONS * PUTS);
    for number in (0..PUTS).step_by(67) {
        assert!(client.get("bkt", &format!("7/{number:04}")) == data::random(number as u64, 100 + number), "{number}");
    }
}
