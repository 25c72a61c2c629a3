//! Goal: what is stored is what was sent, or nothing. Method: every checksum, right and wrong, in header and trailer; every size of
//! object; clients that wait for `100 Continue`, and clients that never learned to.

use std::io::{BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};

use crate::support::data;
use crate::support::s3::body::Sum;
use crate::support::s3::http::read_response;
use crate::support::s3::{Call, Client, Keys, Mode, Sink};
use crate::support::vault::Vault;

/// T2: a checksum that does not fit is refused by its own code, and the object that was there stays.
#[test]
fn t02_wrong_checksums_leave_the_key_as_it_was() {
    let vault = Vault::start_new("T02");
    let client = vault.client();
    client.create_bucket("bkt");
    client.put("bkt", "k", b"before");
    let body = data::random(2, 300_000);
    let put = || Call::new("PUT", "bkt", "k").body(&body);
    for sum in Sum::ALL {
        for mode in [Mode::Signed, Mode::Unsigned, Mode::SignedChunks] {
            let wrong = put().mode(mode).header(&sum.header(), sum.of(b"another body"));
            client.send(&wrong).unwrap().expect_error(&format!("{sum:?} in the header, {mode:?}"), 400, "BadDigest");
        }
        let no_sum = put().header(&sum.header(), "AAAA");
        client.send(&no_sum).unwrap().expect_error(&format!("{sum:?} of three bytes"), 400, "InvalidRequest");
    }
    let md5 = put().header("content-md5", STANDARD.encode(Md5::digest(b"another body")));
    client.send(&md5).unwrap().expect_error("Content-MD5", 400, "BadDigest");
    client.send(&put().mode(Mode::WrongTrailer)).unwrap().expect_error("trailer", 400, "BadDigest");
    client.send(&put().mode(Mode::MissingTrailer)).unwrap().expect_error("no trailer", 400, "MalformedTrailerError");
    client.send(&put().mode(Mode::WrongHash)).unwrap().expect_error("hash", 400, "XAmzContentSHA256Mismatch");
    client.send(&put().mode(Mode::WrongChunk)).unwrap().expect_error("chunk", 403, "SignatureDoesNotMatch");
    assert_eq!(client.get("bkt", "k"), b"before");

    for sum in Sum::ALL {
        let right = sum.of(&body);
        for call in [put().header(&sum.header(), &right), put().mode(Mode::TrailerOf(sum))] {
            let stored = client.send(&call).unwrap().expect_ok(sum.name());
            assert_eq!(stored.header(&sum.header()), Some(right.as_str()), "{sum:?}, {:?}", call.mode);
            let asked = Call::new("HEAD", "bkt", "k").header("x-amz-checksum-mode", "ENABLED");
            let kept = client.send(&asked).unwrap().expect_ok("head");
            assert_eq!(kept.header(&sum.header()), Some(right.as_str()), "{sum:?}, {:?}", call.mode);
            assert_eq!(kept.header("x-amz-checksum-type"), Some("FULL_OBJECT"));
        }
    }
    assert!(client.get("bkt", "k") == body);
}

/// T5: the ETag of an object put whole is its MD5, whatever its size and however it was signed; that of parts follows AWS's formula.
#[test]
fn t05_etags_are_those_of_aws() {
    let vault = Vault::start_new("T05");
    let client = vault.client();
    client.create_bucket("bkt");
    for length in [0, 1, 4096, 70_000, (5 << 20) + 1, 17 << 20] {
        let body = data::random(5, length);
        let expected = format!("\"{}\"", hex::encode(Md5::digest(&body)));
        for mode in Mode::GOOD {
            let put = client.send(&Call::new("PUT", "bkt", "k").body(&body).mode(mode)).unwrap().expect_ok("put");
            assert_eq!(put.header("etag"), Some(expected.as_str()), "{length} bytes, {mode:?}");
        }
        assert_eq!(client.head_object("bkt", "k").header("etag"), Some(expected.as_str()), "{length} bytes");
        let listed = client.send(&Call::new("GET", "bkt", "").query("list-type", 2)).unwrap().expect_ok("list");
        assert_eq!(listed.xml("ETag"), Some(expected), "{length} bytes, listed");
    }
    for lengths in [&[100][..], &[5 << 20, 0], &[5 << 20, 6 << 20, 1]] {
        let upload = client.create_upload("bkt", "parts");
        let bodies: Vec<Vec<u8>> = lengths.iter().map(|length| data::random(6, *length)).collect();
        let parts: Vec<(u32, String)> = (1..)
            .zip(&bodies)
            .map(|(number, body)| (number, client.upload_part("bkt", "parts", &upload, number, body)))
            .collect();
        let sums: Vec<u8> = bodies.iter().flat_map(Md5::digest).collect();
        let expected = format!("\"{}-{}\"", hex::encode(Md5::digest(sums)), parts.len());
        let done = client.complete("bkt", "parts", &upload, &parts).expect_ok("complete");
        assert_eq!(done.xml("ETag").as_deref(), Some(expected.as_str()));
        assert_eq!(client.head_object("bkt", "parts").header("etag"), Some(expected.as_str()));
    }
}

/// A connection to the vault that gives up after a while.
fn connect(client: &Client) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", client.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

/// The head of a call, with a header that its signature does not cover.
fn with_unsigned(client: &Client, call: &Call<'_>, header: &str) -> Vec<u8> {
    let head = String::from_utf8(client.prepare(call).head).unwrap();
    head.replacen("\r\n\r\n", &format!("\r\n{header}\r\n\r\n"), 1).into_bytes()
}

/// T13: a client that waits for `100 Continue` gets it, or its refusal instead, and sends no body in vain.
#[test]
fn t13_expect_100_continue_is_answered_before_the_body() {
    let vault = Vault::start_new("T13");
    let client = vault.client();
    client.create_bucket("bkt");
    let body = data::random(13, 2_000_000);
    let put = |bucket: &str| Call::new("PUT", bucket, "k").body(&body);
    let signed = client.prepare(&put("bkt").header("expect", "100-continue")).head;
    let unsigned = with_unsigned(&client, &put("bkt"), "Expect: 100-continue");
    for head in [signed, unsigned] {
        let mut stream = connect(&client);
        stream.write_all(&head).unwrap();
        let mut interim = [0; 25];
        stream.read_exact(&mut interim).unwrap();
        assert_eq!(String::from_utf8_lossy(&interim), "HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(&body).unwrap();
        read_response(&mut BufReader::new(&stream), false, Sink::Keep).unwrap().expect_ok("put");
        assert!(client.get("bkt", "k") == body);
        client.delete("bkt", "k");
    }
    let stranger = Client { keys: Keys { secret: "not the secret".into(), ..client.keys.clone() }, ..client.clone() };
    for (who, bucket, status) in [(&client, "absent", 404), (&stranger, "bkt", 403)] {
        let mut stream = connect(who);
        stream.write_all(&with_unsigned(who, &put(bucket), "Expect: 100-continue")).unwrap();
        // Not a byte of the body was sent, so the refusal can only be early; `read_response` would skip a `100 Continue`.
        let mut first = [0; 12];
        stream.read_exact(&mut first).unwrap();
        assert_eq!(String::from_utf8_lossy(&first), format!("HTTP/1.1 {status}"));
    }
}

/// T13, the rest: a client that does not wait, and writes all it has before it reads, still reads why.
#[test]
fn t13_early_refusals_are_read_by_clients_that_write_first() {
    let vault = Vault::start_new("T13EARLY");
    let client = vault.client();
    client.create_bucket("bkt");
    let stranger = Client { keys: Keys { secret: "not the secret".into(), ..client.keys.clone() }, ..client.clone() };
    for length in [1_000, 3_000_000, 8_000_000] {
        let body = data::random(13, length);
        let absent = client.send(&Call::new("PUT", "absent", "k").body(&body)).unwrap();
        absent.expect_error(&format!("{length} bytes to no bucket"), 404, "NoSuchBucket");
        let refused = stranger.send(&Call::new("PUT", "bkt", "k").body(&body)).unwrap();
        refused.expect_error(&format!("{length} bytes with a wrong secret"), 403, "SignatureDoesNotMatch");
    }
    assert!(client.list("bkt", "", 10).is_empty());
}
