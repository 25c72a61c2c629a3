//! Goal: objects of parts, of any number and size of them, with checksums or none. Method: the combinations that clients send; sizes
//! at which other servers gave up; copies as parts, so that objects far beyond the test's disk can be made.

use std::io::Write as _;
use std::net::TcpStream;

use crc_fast::{CrcAlgorithm, checksum};

use crate::support::data;
use crate::support::s3::body::Sum;
use crate::support::s3::{Body, Call, Client, Mode, Response, Sink, http};
use crate::support::vault::Vault;

const PART: usize = 5 << 20;
const MIB: u64 = 1 << 20;

/// Starts an upload that announces its checksum.
#[track_caller]
fn announce(client: &Client, key: &str, sum: Sum, kind: Option<&str>) -> String {
    let mut call = Call::new("POST", "bkt", key).query("uploads", "").header("x-amz-checksum-algorithm", sum.name());
    if let Some(kind) = kind {
        call = call.header("x-amz-checksum-type", kind);
    }
    client.send(&call).unwrap().expect_ok("create upload").xml("UploadId").expect("an upload id")
}

fn part<'a>(key: &str, upload: &str, number: usize, body: &'a [u8]) -> Call<'a> {
    Call::new("PUT", "bkt", key).query("partNumber", number).query("uploadId", upload).body(body)
}

#[track_caller]
fn head_with_sums(client: &Client, key: &str) -> Response {
    client.send(&Call::new("HEAD", "bkt", key).header("x-amz-checksum-mode", "ENABLED")).unwrap().expect_ok("head")
}

/// T3: parts carry their checksum in trailers, or none at all; the object has one either way, of its bytes or of its parts' sums.
#[test]
fn t03_uploads_with_checksums_complete_with_trailers_or_without() {
    let vault = Vault::start_new("T03");
    let client = vault.client();
    client.create_bucket("bkt");
    let bodies = [data::random(31, PART), data::random(32, 77_777)];
    let whole = bodies.concat();
    for (sum, kind, of_bytes) in [
        (Sum::Crc64Nvme, None, true),
        (Sum::Crc64Nvme, Some("FULL_OBJECT"), true),
        (Sum::Crc32, Some("FULL_OBJECT"), true),
        (Sum::Crc32, Some("COMPOSITE"), false),
        (Sum::Crc32c, None, false),
        (Sum::Sha1, Some("COMPOSITE"), false),
        (Sum::Sha256, None, false),
    ] {
        let of_parts: Vec<u8> = bodies.iter().flat_map(|body| sum.raw(body)).collect();
        let expected = if of_bytes { sum.of(&whole) } else { format!("{}-2", sum.of(&of_parts)) };
        for mode in [Mode::TrailerOf(sum), Mode::Unsigned] {
            let what = format!("{sum:?} {kind:?}, {mode:?}");
            let upload = announce(&client, "k", sum, kind);
            let mut parts = Vec::new();
            for (number, body) in (1..).zip(&bodies) {
                let stored = client.send(&part("k", &upload, number, body).mode(mode)).unwrap().expect_ok(&what);
                assert_eq!(stored.header(&sum.header()), Some(sum.of(body).as_str()), "{what}: part {number}");
                parts.push((number as u32, stored.header("etag").expect("an ETag").to_owned()));
            }
            let done = client.complete("bkt", "k", &upload, &parts).expect_ok(&what);
            let element = format!("Checksum{}", sum.name());
            assert_eq!(done.xml(&element).as_deref(), Some(expected.as_str()), "{what}: {}", done.text());
            let head = head_with_sums(&client, "k");
            assert_eq!(head.header(&sum.header()), Some(expected.as_str()), "{what}");
            let kind = if of_bytes { "FULL_OBJECT" } else { "COMPOSITE" };
            assert_eq!(head.header("x-amz-checksum-type"), Some(kind), "{what}");
            assert!(client.get("bkt", "k") == whole, "{what}");
        }
    }
    for (sum, kind) in [(Sum::Sha256, "FULL_OBJECT"), (Sum::Crc64Nvme, "COMPOSITE")] {
        let call = Call::new("POST", "bkt", "k").query("uploads", "").header("x-amz-checksum-algorithm", sum.name());
        let refused = client.send(&call.header("x-amz-checksum-type", kind)).unwrap();
        refused.expect_error(&format!("{sum:?} {kind}"), 400, "InvalidRequest");
    }
}

/// T14: nothing at all, an upload of one part, one whose last part is empty, one of nothing but an empty part.
#[test]
fn t14_empty_objects_and_empty_last_parts() {
    let vault = Vault::start_new("T14");
    let client = vault.client();
    client.create_bucket("bkt");
    for mode in Mode::GOOD {
        client.send(&Call::new("PUT", "bkt", "empty").mode(mode)).unwrap().expect_ok("an empty object");
        assert!(client.get("bkt", "empty").is_empty(), "{mode:?}");
        assert_eq!(client.head_object("bkt", "empty").header("content-length"), Some("0"), "{mode:?}");
    }
    for lengths in [&[0][..], &[1], &[PART], &[PART, 0], &[PART, PART, 0]] {
        let upload = client.create_upload("bkt", "parts");
        let bodies: Vec<Vec<u8>> = lengths.iter().map(|length| data::random(14, *length)).collect();
        let parts: Vec<(u32, String)> = (1..)
            .zip(&bodies)
            .map(|(number, body)| (number, client.upload_part("bkt", "parts", &upload, number, body)))
            .collect();
        client.complete("bkt", "parts", &upload, &parts).expect_ok(&format!("parts of {lengths:?}"));
        assert!(client.get("bkt", "parts") == bodies.concat(), "parts of {lengths:?}");
    }
}

/// A body sent as one single `aws-chunked` chunk, its CRC64 as trailer; the server's answer.
fn put_in_one_chunk(client: &Client, key: &str, seed: u64, len: u64) -> Response {
    let (first, trailer) = (format!("{len:x}\r\n"), "x-amz-checksum-crc64nvme");
    let tail = |sum: &str| format!("\r\n0\r\n{trailer}:{sum}\r\n\r\n");
    let mut call = Call::new("PUT", "bkt", key).mode(Mode::UnsignedTrailer);
    call.claim_decoded = Some(len);
    call.claim_length = Some(first.len() as u64 + len + tail("AAAAAAAAAAA=").len() as u64);
    let ready = client.prepare(&call);
    let mut send = |to: &mut TcpStream| {
        to.write_all(first.as_bytes())?;
        let mut digest = crc_fast::Digest::new(CrcAlgorithm::Crc64Nvme);
        let mut piece = vec![0; MIB as usize];
        let mut at = 0;
        while at < len {
            let take = (len - at).min(MIB) as usize;
            data::fill(seed, at, &mut piece[..take]);
            digest.update(&piece[..take]);
            to.write_all(&piece[..take])?;
            at += take as u64;
        }
        let sum = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, digest.finalize().to_be_bytes());
        to.write_all(tail(&sum).as_bytes())
    };
    http::exchange(client.port, &ready.head, &mut send, Sink::Keep).unwrap()
}

/// T14: a chunk beyond the 16 MiB at which parsers of hexadecimal numbers gave up.
#[test]
fn t14_one_chunk_of_20_mib() {
    let vault = Vault::start_new("T14CHUNK");
    let client = vault.client();
    client.create_bucket("bkt");
    put_in_one_chunk(&client, "k", 14, 20 * MIB).expect_ok("one chunk of 20 MiB");
    client.check_stream("bkt", "k", 14, 20 * MIB);
    let oracle = checksum(CrcAlgorithm::Crc64Nvme, &data::random(14, 20 << 20)).to_be_bytes();
    let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, oracle);
    assert_eq!(head_with_sums(&client, "k").header("x-amz-checksum-crc64nvme"), Some(text.as_str()));
}

/// T14: the largest object that S3 takes in one request, in one chunk.
#[test]
#[ignore = "stores 5 GiB; `make nightly` runs it"]
fn t14_one_chunk_of_5_gib() {
    let mut vault = Vault::start_new("T14LARGE");
    vault.keep_nothing();
    let client = vault.client();
    client.create_bucket("bkt");
    put_in_one_chunk(&client, "k", 14, 5 << 30).expect_ok("one chunk of 5 GiB");
    client.check_stream("bkt", "k", 14, 5 << 30);
    let too_large = put_in_one_chunk(&client, "too large", 14, (5 << 30) + 1);
    too_large.expect_error("one byte more", 400, "EntityTooLarge");
}

/// Copies a range of an object as parts `numbers` of an upload, by several clients at once; their ETags.
fn copy_parts(
    client: &Client,
    key: &str,
    upload: &str,
    source: &str,
    numbers: std::ops::RangeInclusive<u32>,
) -> Vec<(u32, String)> {
    const CLIENTS: usize = 8;
    let all: Vec<u32> = numbers.collect();
    let copy = |number: u32| {
        let call = Call::new("PUT", "bkt", key).query("partNumber", number).query("uploadId", upload);
        let answer = client.send(&call.header("x-amz-copy-source", source)).unwrap().expect_ok("copy a part");
        (number, answer.xml("ETag").expect("an ETag"))
    };
    std::thread::scope(|scope| {
        let share = all.len().div_ceil(CLIENTS);
        let workers: Vec<_> = all
            .chunks(share)
            .map(|numbers| scope.spawn(|| numbers.iter().map(|number| copy(*number)).collect::<Vec<_>>()))
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}

/// T14: the most parts that S3 allows, and T20: what they make is larger than one copy may be, 5 GiB.
#[test]
fn t14_t20_10000_parts_make_an_object_too_large_to_be_copied_whole() {
    let vault = Vault::start_new("T20");
    let client = vault.client();
    client.create_bucket("bkt");
    let (source, last) = (data::random(20, PART), data::random(21, 4321));
    client.put("bkt", "source", &source);
    let upload = client.create_upload("bkt", "large");
    let mut parts = copy_parts(&client, "large", &upload, "/bkt/source", 1..=9999);
    parts.push((10_000, client.upload_part("bkt", "large", &upload, 10_000, &last)));
    let beyond = client.send(&part("large", &upload, 10_001, b"x")).unwrap();
    beyond.expect_error("part 10,001", 400, "InvalidArgument");
    client.complete("bkt", "large", &upload, &parts).expect_ok("10,000 parts");

    let size = 9999 * PART as u64 + 4321;
    assert_eq!(client.head_object("bkt", "large").header("content-length"), Some(size.to_string().as_str()));
    let tail = client.get_range("bkt", "large", "-4322").expect_ok("the last bytes");
    assert_eq!(tail.body, [&source[PART - 1..], &last].concat());
    let by_number = |number: u32| {
        client.send(&Call::new("GET", "bkt", "large").query("partNumber", number)).unwrap().expect_ok("a part")
    };
    assert!(by_number(7777).body == source);
    let last_part = by_number(10_000);
    assert!(last_part.body == last);
    assert_eq!(last_part.header("x-amz-mp-parts-count"), Some("10000"));

    let whole = client.send(&Call::new("PUT", "bkt", "copy").header("x-amz-copy-source", "/bkt/large")).unwrap();
    whole.expect_error("more than 5 GiB in one copy", 400, "InvalidRequest");
    assert_eq!(client.try_get("bkt", "copy").unwrap().status, 404);
    let upload = client.create_upload("bkt", "copy");
    let range = Call::new("PUT", "bkt", "copy").query("partNumber", 1).query("uploadId", &upload);
    let range = range.header("x-amz-copy-source", "/bkt/large").header("x-amz-copy-source-range", "bytes=0-5368709119");
    let etag = client.send(&range).unwrap().expect_ok("5 GiB as a part").xml("ETag").expect("an ETag");
    client.complete("bkt", "copy", &upload, &[(1, etag)]).expect_ok("a copy in parts");
    let end = client.get_range("bkt", "copy", "-5242880").expect_ok("its end");
    assert!(end.body == source, "5 GiB are 1,024 of the source");
}

/// A body of a stream, for what is too large to hold.
#[test]
fn t14_one_request_of_300_mib_without_a_framing() {
    let vault = Vault::start_new("T14PLAIN");
    let client = vault.client();
    client.create_bucket("bkt");
    let mut put = Call::new("PUT", "bkt", "k").mode(Mode::Unsigned);
    put.body = Body::Stream { seed: 3, len: 300 * MIB };
    client.send(&put).unwrap().expect_ok("300 MiB");
    client.check_stream("bkt", "k", 3, 300 * MIB);
}
