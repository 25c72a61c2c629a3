//! Goal: digests are those that other programs compute, and no difference passes. Method: published values, and every way a
//! client can send one, right and wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use kovcheg_format::checksum::crc64;
use kovcheg_format::codec::Blob;
use kovcheg_format::record::version::{Checksum, ChecksumKind};
use kovcheg_storage::object::types::BodyObserver;
use proptest::prelude::{any, proptest};
use proptest::{collection, sample};
use s3s::crypto::{Checksum as _, Md5};

use super::{
    Expected, PartSum, Shown, Taken, compose, etag, join, kind_of_code, multipart_etag, name_of, parse_algorithm,
};

const BODY: &[u8] = b"123456789";

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    map
}

fn parse(pairs: &[(&str, &str)]) -> Expected {
    Expected::parse(&headers(pairs)).unwrap()
}

fn parse_error(pairs: &[(&str, &str)]) -> String {
    Expected::parse(&headers(pairs)).unwrap_err().code().as_str().to_owned()
}

/// The check values of "123456789" as published with the algorithms.
const KNOWN: [(&str, &str); 5] = [
    ("x-amz-checksum-crc32", "cbf43926"),
    ("x-amz-checksum-crc32c", "e3069283"),
    ("x-amz-checksum-crc64nvme", "ae8b14860a799888"),
    ("x-amz-checksum-sha1", "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
    ("x-amz-checksum-sha256", "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
];

fn base64_of(hexadecimal: &str) -> String {
    STANDARD.encode(hex::decode(hexadecimal).unwrap())
}

#[test]
fn every_algorithm_agrees_with_its_published_value_as_header_and_trailer() {
    for (name, value) in KNOWN {
        let right = base64_of(value);
        let as_header = parse(&[(name, &right)]);
        let taken = Taken::of(&as_header, BODY);
        let stored = as_header.compare(&taken, None).unwrap();
        assert_eq!((stored.len(), hex::encode(&stored[0].value.0).as_str(), stored[0].full_object), (1, value, true));
        let other = Taken::of(&as_header, b"123456780");
        assert_eq!(as_header.compare(&other, None).unwrap_err().code().as_str(), "BadDigest", "{name}");

        let as_trailer = parse(&[("x-amz-trailer", name)]);
        let taken = Taken::of(&as_trailer, BODY);
        assert!(as_trailer.compare(&taken, Some(&headers(&[(name, &right)]))).is_ok());
        let wrong = base64_of(&"00".repeat(value.len() / 2));
        let code =
            |trailers: Option<&HeaderMap>| as_trailer.compare(&taken, trailers).unwrap_err().code().as_str().to_owned();
        assert_eq!(code(Some(&headers(&[(name, &wrong)]))), "BadDigest", "{name}");
        assert_eq!(code(Some(&HeaderMap::new())), "MalformedTrailerError", "{name}");
        assert_eq!(code(None), "MalformedTrailerError", "{name}");
        assert_eq!(code(Some(&headers(&[(name, "AAA")]))), "InvalidRequest", "{name}");
    }
}

#[test]
fn content_md5_is_compared() {
    let right = base64_of("25f9e794323b453885f5181f1b624d0b");
    let expected = parse(&[("content-md5", &right)]);
    assert!(expected.compare(&Taken::of(&expected, BODY), None).unwrap().is_empty());
    let error = expected.compare(&Taken::of(&expected, b""), None).unwrap_err();
    assert_eq!(error.code().as_str(), "BadDigest");
    for malformed in ["", "x", "AAAA", "25f9e794323b453885f5181f1b624d0b"] {
        assert_eq!(parse_error(&[("content-md5", malformed)]), "InvalidDigest", "{malformed}");
    }
}

#[test]
fn contradicting_and_foreign_headers_are_refused() {
    let crc32 = base64_of(KNOWN[0].1);
    let sha1 = base64_of(KNOWN[3].1);
    assert_eq!(parse_error(&[(KNOWN[0].0, &crc32), (KNOWN[3].0, &sha1)]), "InvalidRequest");
    assert_eq!(parse_error(&[(KNOWN[0].0, &crc32), ("x-amz-trailer", KNOWN[0].0)]), "InvalidRequest");
    assert_eq!(parse_error(&[(KNOWN[0].0, &sha1)]), "InvalidRequest");
    assert_eq!(parse_error(&[("x-amz-trailer", "x-amz-checksum-crc32, x-amz-checksum-sha1")]), "InvalidRequest");
    assert_eq!(parse_error(&[("x-amz-trailer", "x-other")]), "InvalidRequest");
    assert_eq!(parse_error(&[("x-amz-checksum-sha512", "AAAA")]), "NotImplemented");
    assert_eq!(parse_error(&[("x-amz-trailer", "x-amz-checksum-xxhash3")]), "NotImplemented");
    let quiet = [("x-amz-checksum-algorithm", "CRC32"), ("x-amz-checksum-mode", "ENABLED")];
    assert!(parse(&quiet).is_empty(), "these say nothing about this body");
}

#[test]
fn an_algorithm_without_a_value_is_computed_and_stored() {
    let expected = parse(&[("x-amz-sdk-checksum-algorithm", "crc32c")]);
    assert!(expected.is_empty());
    let stored = expected.compare(&Taken::of(&expected, BODY), None).unwrap();
    assert_eq!((stored[0].kind, hex::encode(&stored[0].value.0)), (ChecksumKind::Crc32c, KNOWN[1].1.to_owned()));
}

#[test]
fn names_and_codes_go_both_ways() {
    for kind in ChecksumKind::ALL {
        assert_eq!(parse_algorithm(name_of(*kind)).unwrap(), *kind);
        assert_eq!(kind_of_code(kind.code()), Some(*kind));
    }
    assert_eq!(kind_of_code(0), None);
    assert_eq!(parse_algorithm("MD5").unwrap_err().code().as_str(), "NotImplemented");
}

#[test]
fn etags_follow_the_formula() {
    let empty = parse(&[]);
    assert_eq!(etag(Taken::of(&empty, b"").md5), "d41d8cd98f00b204e9800998ecf8427e");
    // printf 'd41d8cd98f00b204e9800998ecf8427e' | xxd -r -p | md5sum
    let one = ["d41d8cd98f00b204e9800998ecf8427e"];
    assert_eq!(multipart_etag(one.into_iter()).unwrap(), "59adb24ef3cdbe0297f05b395827453f-1");
    let two = ["d41d8cd98f00b204e9800998ecf8427e", "25f9e794323b453885f5181f1b624d0b"];
    let tag = multipart_etag(two.into_iter()).unwrap();
    assert!(tag.ends_with("-2") && tag.len() == 34, "{tag}");
    assert_eq!(multipart_etag(["not an md5"].into_iter()), None);
    assert_eq!(multipart_etag(["59adb24ef3cdbe0297f05b395827453f-1"].into_iter()), None);
}

#[test]
fn composed_checksums_are_checksums_of_checksums() {
    let part = |value: &str| PartSum { value: hex::decode(value).unwrap(), len: 9 };
    let whole = compose(ChecksumKind::Sha256, &[part(KNOWN[4].1), part(KNOWN[4].1)]);
    let twice = hex::decode(KNOWN[4].1.repeat(2)).unwrap();
    let expected = parse(&[("x-amz-sdk-checksum-algorithm", "SHA256")]);
    let direct = expected.compare(&Taken::of(&expected, &twice), None).unwrap();
    assert_eq!(whole, direct[0].value.0);
    assert_eq!(join(ChecksumKind::Sha256, &[part(KNOWN[4].1)]), None, "hashes cannot be joined");
}

#[test]
fn what_is_stored_is_shown_and_else_the_engines_own() {
    let stored = Checksum { kind: ChecksumKind::Crc32, full_object: false, value: Blob(vec![1, 2, 3, 4]) };
    let shown = Shown::of(&[stored], 7, 3);
    assert_eq!((shown.crc32.as_deref(), shown.crc64nvme, shown.kind), (Some("AQIDBA==-3"), None, Some("COMPOSITE")));
    let own = Shown::of(&[], crc64(BODY), 0);
    assert_eq!(own.crc64nvme, Some(base64_of(KNOWN[2].1)));
    assert_eq!(own.kind, Some("FULL_OBJECT"));
}

proptest! {
    #[test]
    fn pieces_give_what_the_whole_gives(body in collection::vec(any::<u8>(), 0..300), cut in any::<sample::Index>()) {
        let at = cut.index(body.len() + 1);
        for (header, kind) in [("CRC32", ChecksumKind::Crc32), ("CRC32C", ChecksumKind::Crc32c), ("CRC64NVME", ChecksumKind::Crc64Nvme)] {
            let expected = parse(&[("x-amz-sdk-checksum-algorithm", header)]);
            let sum = |bytes: &[u8]| {
                let value = expected.compare(&Taken::of(&expected, bytes), None).unwrap()[0].value.0.clone();
                PartSum { value, len: u64::try_from(bytes.len()).unwrap() }
            };
            let joined = join(kind, &[sum(&body[..at]), sum(&body[at..])]).unwrap();
            assert_eq!(joined, sum(&body).value, "{header}");
        }
        let expected = parse(&[]);
        let mut digests = expected.digests();
        digests.update(&body[..at]);
        digests.update(&body[at..]);
        assert_eq!(digests.finish(crc64(&body), Md5::checksum(&body)), Taken::of(&expected, &body));
    }
}
