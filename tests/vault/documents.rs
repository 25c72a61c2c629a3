//! Goal: what a request's head says of its document, of its object and of itself is compared, honoured or refused; nothing is
//! ignored, and nothing fails after it took effect. Method: raw S3 calls, with the right value and a wrong one each.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm;
use md5::{Digest, Md5};

use crate::support::data;
use crate::support::s3::{Call, Client, Response, http};
use crate::support::vault::Vault;

const PART: usize = 5 << 20;

fn crc32c(bytes: &[u8]) -> String {
    let sum = crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes);
    STANDARD.encode(u32::try_from(sum).unwrap().to_be_bytes())
}

fn md5(bytes: &[u8]) -> String {
    STANDARD.encode(Md5::digest(bytes))
}

/// An upload of two parts that announced CRC32C; its id, the list of its parts, and the content.
fn two_parts(client: &Client, key: &str, kind: &str) -> (String, String, [Vec<u8>; 2]) {
    let call = Call::new("POST", "bkt", key).query("uploads", "").header("x-amz-checksum-algorithm", "CRC32C");
    let made = client.send(&call.header("x-amz-checksum-type", kind)).unwrap().expect_ok("create upload");
    let upload = made.xml("UploadId").unwrap();
    let bodies = [data::random(1, PART), data::random(2, 1000)];
    let mut parts = String::new();
    for (number, body) in (1..).zip(&bodies) {
        let etag = client.upload_part("bkt", key, &upload, number, body);
        parts.push_str(&format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"));
    }
    (upload, format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>"), bodies)
}

fn complete(client: &Client, key: &str, upload: &str, xml: &str, headers: &[(&str, &str)]) -> Response {
    let mut call = Call::new("POST", "bkt", key).query("uploadId", upload).body(xml.as_bytes());
    for (name, value) in headers {
        call = call.header(name, value);
    }
    client.send(&call).unwrap()
}

/// The story: the checksum header of a completion was held against the XML of the request instead of the object, so that every
/// completion with one failed.
#[test]
fn a_completion_is_compared_with_the_checksum_of_the_whole_object() {
    let vault = Vault::start_new("WHOLESUM");
    let client = vault.client();
    client.create_bucket("bkt");

    let (upload, xml, bodies) = two_parts(&client, "full", "FULL_OBJECT");
    let whole = bodies.concat();
    let (right, wrong) = (crc32c(&whole), crc32c(b"another object"));
    let document = md5(xml.as_bytes());
    complete(&client, "full", &upload, &xml, &[("x-amz-checksum-crc32c", &wrong)]).expect_error(
        "another object's sum",
        400,
        "BadDigest",
    );
    let bad_md5 = [("x-amz-checksum-crc32c", right.as_str()), ("content-md5", &md5(b"another document"))];
    complete(&client, "full", &upload, &xml, &bad_md5).expect_error("a document that changed", 400, "BadDigest");
    complete(&client, "full", &upload, &xml, &[("x-amz-checksum-sha512", "AAAA")]).expect_error(
        "a sum that nobody compares",
        501,
        "NotImplemented",
    );
    complete(&client, "full", &upload, &xml, &[("x-amz-mp-object-size", "5")]).expect_error(
        "another size",
        400,
        "InvalidRequest",
    );
    assert_eq!(client.try_get("bkt", "full").unwrap().status, 404, "nothing was made so far");
    let headers =
        [("x-amz-checksum-crc32c", right.as_str()), ("x-amz-checksum-type", "FULL_OBJECT"), ("content-md5", &document)];
    let done = complete(&client, "full", &upload, &xml, &headers).expect_ok("the right sum");
    assert_eq!(done.xml("ChecksumCRC32C").as_deref(), Some(right.as_str()));
    assert!(client.get("bkt", "full") == whole);

    let (upload, xml, bodies) = two_parts(&client, "composed", "COMPOSITE");
    let sums: Vec<u8> = bodies.iter().flat_map(|body| STANDARD.decode(crc32c(body)).unwrap()).collect();
    let right = format!("{}-2", crc32c(&sums));
    complete(&client, "composed", &upload, &xml, &[("x-amz-checksum-crc32c", &crc32c(&bodies.concat()))]).expect_error(
        "the sum of the bytes where that of the sums is meant",
        400,
        "BadDigest",
    );
    complete(&client, "composed", &upload, &xml, &[("x-amz-checksum-crc32c", &right)]).expect_ok("the sum of the sums");
}

/// The story: a wrong SHA-256 of the document was answered 500, and its Content-MD5 was not looked at.
#[test]
fn the_document_of_a_new_bucket_is_checked() {
    let vault = Vault::start_new("BUCKETDOC");
    let client = vault.client();
    let xml =
        b"<CreateBucketConfiguration><LocationConstraint>us-east-1</LocationConstraint></CreateBucketConfiguration>";
    let call = || Call::new("PUT", "bkt", "").body(xml);
    let md5_of_another = call().header("content-md5", md5(b"another"));
    client.send(&md5_of_another).unwrap().expect_error("another document's MD5", 400, "BadDigest");
    let mut altered = client.prepare(&call()).head;
    altered.extend_from_slice(&xml.to_ascii_uppercase());
    let answer =
        crate::support::s3::http::exchange(vault.s3_port(), &altered, &mut |_| Ok(()), crate::support::s3::Sink::Keep);
    answer.unwrap().expect_error("another document", 400, "XAmzContentSHA256Mismatch");
    assert_eq!(client.send(&Call::new("HEAD", "bkt", "")).unwrap().status, 404, "no bucket was made");
    client.send(&call().header("content-md5", md5(xml))).unwrap().expect_ok("the right document");
}

/// The story: more than 100 headers were answered by an empty 431.
#[test]
fn many_headers_are_taken_and_too_many_harm_nothing() {
    let vault = Vault::start_new("HEADERS");
    let client = vault.client();
    client.create_bucket("bkt");
    let with = |count: usize| {
        let mut call = Call::new("PUT", "bkt", "k").body(b"x");
        for number in 0..count {
            call = call.header(&format!("x-amz-meta-{number:03}"), number % 10);
        }
        client.send(&call)
    };
    with(120).unwrap().expect_ok("120 items of metadata");
    let head = client.head_object("bkt", "k");
    assert_eq!(head.headers.iter().filter(|(name, _)| name.starts_with("x-amz-meta-")).count(), 120);
    let beyond = with(300);
    assert!(beyond.is_ok_and(|answer| answer.status == 431), "too many");
    assert_eq!(client.get("bkt", "k"), b"x");
}

/// The story: what a tool hoists into a presigned link was silently ignored.
#[test]
fn presigned_links_are_honoured_or_refused() {
    let vault = Vault::start_new("HOISTED");
    let client = vault.client();
    client.create_bucket("bkt");
    client.put("bkt", "k", b"content");
    let ask = |method: &'static str, query: &[(&str, &str)]| {
        let mut call = Call::new(method, "bkt", "k");
        if method == "PUT" {
            call = call.body(b"changed");
        }
        call.presigned = true;
        call.query = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        client.send(&call).unwrap()
    };
    for (name, value, status, code) in [
        ("x-amz-meta-owner", "me", 501, "NotImplemented"),
        ("X-Amz-Tagging", "a=b", 501, "NotImplemented"),
        ("x-amz-checksum-crc32", "AAAAAA==", 501, "NotImplemented"),
        ("x-amz-object-lock-mode", "COMPLIANCE", 501, "NotImplemented"),
        ("X-Amz-Security-Token", "token", 400, "InvalidToken"),
        ("x-amz-expected-bucket-owner", "999999999999", 403, "AccessDenied"),
    ] {
        let answer = ask("PUT", &[(name, value)]);
        answer.expect_error(name, status, code);
        if status == 501 {
            assert!(answer.text().contains(&name.to_ascii_lowercase()), "{}", answer.text());
        }
    }
    assert_eq!(client.get("bkt", "k"), b"content");
    for query in [
        &[][..],
        &[("x-id", "GetObject"), ("x-amz-checksum-mode", "ENABLED")],
        &[("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"), ("x-amz-user-agent", "aws-sdk-js/3.1")],
        &[("x-amz-expected-bucket-owner", "000000000001")],
    ] {
        let answer = ask("GET", query).expect_ok("a link");
        assert_eq!(answer.body, b"content", "{query:?}");
    }
}

/// The story: an upload under such a key, or a delete of several keys, took effect and was then answered 500.
#[test]
fn keys_that_xml_cannot_carry_are_refused_before_anything_happens() {
    let vault = Vault::start_new("XMLKEYS");
    let client = vault.client();
    client.create_bucket("bkt");
    client.put("bkt", "a", b"x");
    for encoded in ["a%01b", "%1F", "%EF%BF%BE"] {
        let put = Call::raw("PUT", "bkt", encoded).body(b"x");
        client.send(&put).unwrap().expect_error(encoded, 400, "InvalidArgument");
        let upload = Call::raw("POST", "bkt", encoded).query("uploads", "");
        client.send(&upload).unwrap().expect_error(encoded, 400, "InvalidArgument");
        assert_eq!(client.send(&Call::raw("GET", "bkt", encoded)).unwrap().status, 404, "reading is harmless");
    }
    let delete = |xml: &str| {
        let md5 = md5(xml.as_bytes());
        let call = Call::new("POST", "bkt", "").query("delete", "").header("content-md5", md5).body(xml.as_bytes());
        client.send(&call).unwrap()
    };
    let hostile = delete("<Delete><Object><Key>a</Key></Object><Object><Key>b&#1;</Key></Object></Delete>");
    assert!((400..500).contains(&hostile.status), "{} {}", hostile.status, hostile.text());
    assert_eq!(client.get("bkt", "a"), b"x", "nothing was deleted by a request that failed");
    delete("<Delete><Object><Key>a</Key></Object></Delete>").expect_ok("without it");
    client.send(&Call::new("DELETE", "bkt", "")).unwrap().expect_ok("no upload was left behind");
    assert!(!vault.log().contains("panicked at"), "{}", vault.log());
}

/// The story: a document whose length was not told is none, its hash was not that of nothing, and that was answered 500.
#[test]
fn a_document_without_a_length_is_compared_as_none() {
    let vault = Vault::start_new("DOCNOLENGTH");
    let client = vault.client();
    client.create_bucket("bkt");
    client.put("bkt", "k", b"content");
    let document = b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>";
    for (key, query) in
        [("k", "acl"), ("k", "tagging"), ("k", "retention"), ("", "versioning"), ("", "object-lock"), ("", "")]
    {
        let mut call = Call::new("PUT", "bkt", key).body(document);
        if !query.is_empty() {
            call = call.query(query, "");
        }
        let head = String::from_utf8(client.prepare(&call).head).unwrap();
        let without: String = head.split_inclusive("\r\n").filter(|line| !line.starts_with("content-length")).collect();
        assert_ne!(head, without);
        let answer = http::abandon(client.port, without.as_bytes(), b"").unwrap();
        answer.expect_error(query, 400, "XAmzContentSHA256Mismatch");
    }
    assert_eq!(client.get("bkt", "k"), b"content");
}
