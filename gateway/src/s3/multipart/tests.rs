//! Goal: an object is made only of the parts the client means, and its checksum is the announced one. Method: tables over
//! what clients name and what is stored.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use kovcheg_format::checksum::crc64;
use kovcheg_format::codec::Blob;
use kovcheg_format::record::upload::{PartPut, UploadCreated};
use kovcheg_format::record::version::{Checksum, ChecksumKind};
use s3s::dto::{CompleteMultipartUploadInput, CompletedPart, ETag};

use super::{announced, check_whole, named_parts, object_checksum, part_number, select};
use crate::s3::fixtures::{part, upload};

const MIB: u64 = 1 << 20;

fn code<T>(result: s3s::S3Result<T>) -> String {
    result.err().expect("an error").code().as_str().to_owned()
}

fn named(parts: &[(i32, &str)]) -> Option<Vec<CompletedPart>> {
    let one = |(number, etag): &(i32, &str)| CompletedPart {
        part_number: Some(*number),
        e_tag: Some(ETag::Strong((*etag).to_owned())),
        ..CompletedPart::default()
    };
    Some(parts.iter().map(one).collect())
}

fn select_of(names: &[(i32, &str)], stored: &[PartPut]) -> s3s::S3Result<Vec<PartPut>> {
    select(&named_parts(named(names)).unwrap(), stored)
}

#[test]
fn part_numbers_have_bounds() {
    for good in [1, 2, 10_000] {
        assert_eq!(i32::from(part_number(good).unwrap()), good);
    }
    for wrong in [0, -1, 10_001, i32::MAX] {
        assert_eq!(code(part_number(wrong)), "InvalidArgument");
    }
}

#[test]
fn lists_of_parts_are_well_formed_and_ascend() {
    assert_eq!(code(named_parts(None)), "MalformedXML");
    assert_eq!(code(named_parts(Some(vec![]))), "MalformedXML");
    assert_eq!(code(named_parts(Some(vec![CompletedPart::default()]))), "MalformedXML");
    assert_eq!(code(named_parts(named(&[(2, "a"), (1, "b")]))), "InvalidPartOrder");
    assert_eq!(code(named_parts(named(&[(1, "a"), (1, "a")]))), "InvalidPartOrder");
    assert_eq!(named_parts(named(&[(1, "a"), (7, "b")])).unwrap().len(), 2);
}

#[test]
fn only_stored_parts_of_the_named_etag_are_taken() {
    let stored = [part(1, 5 * MIB, "a"), part(2, 5 * MIB, "b"), part(9, 1, "c")];
    let taken = select_of(&[(1, "a"), (9, "c")], &stored).unwrap();
    assert_eq!(taken.iter().map(|part| part.number).collect::<Vec<_>>(), [1, 9], "parts may be left out");
    assert_eq!(code(select_of(&[(1, "x")], &stored)), "InvalidPart");
    assert_eq!(code(select_of(&[(3, "a")], &stored)), "InvalidPart");
    assert_eq!(code(select_of(&[(1, "a")], &[])), "InvalidPart");
}

#[test]
fn only_the_last_part_may_be_small() {
    let stored = [part(1, 5 * MIB - 1, "a"), part(2, 0, "b")];
    assert_eq!(code(select_of(&[(1, "a"), (2, "b")], &stored)), "EntityTooSmall");
    assert!(select_of(&[(1, "a")], &stored).is_ok());
    assert!(select_of(&[(2, "b")], &stored).is_ok(), "an empty last part is a part");
}

#[test]
fn checksums_named_with_parts_must_agree() {
    let mut first = part(1, 9, "a");
    first.crc = crc64(b"123456789");
    let ask = |kind: &str, text: &str| {
        let mut list = named(&[(1, "a")]).unwrap();
        match kind {
            "crc64" => list[0].checksum_crc64nvme = Some(text.to_owned()),
            _ => list[0].checksum_crc32 = Some(text.to_owned()),
        }
        select(&named_parts(Some(list)).unwrap(), std::slice::from_ref(&first))
    };
    assert!(ask("crc64", "rosUhgp5mIg=").is_ok(), "the engine keeps CRC64-NVME of all content");
    assert_eq!(code(ask("crc64", "AAAAAAAAAAA=")), "InvalidPart");
    assert_eq!(code(ask("crc32", "y/Q5Jg==")), "InvalidPart", "none is stored");
}

#[test]
fn announcements_follow_the_table_of_s3() {
    let ok = |algorithm, kind| announced(algorithm, kind).unwrap();
    assert_eq!(ok(None, None), (None, false));
    assert_eq!(ok(Some("CRC32"), None), (Some(ChecksumKind::Crc32), false));
    assert_eq!(ok(Some("CRC32C"), Some("FULL_OBJECT")), (Some(ChecksumKind::Crc32c), true));
    assert_eq!(ok(Some("CRC64NVME"), None), (Some(ChecksumKind::Crc64Nvme), true));
    assert_eq!(ok(Some("SHA256"), Some("COMPOSITE")), (Some(ChecksumKind::Sha256), false));
    for (algorithm, kind) in [("SHA1", "FULL_OBJECT"), ("CRC64NVME", "COMPOSITE"), ("CRC32", "HALF")] {
        assert_eq!(code(announced(Some(algorithm), Some(kind))), "InvalidRequest", "{algorithm} {kind}");
    }
    assert_eq!(code(announced(None, Some("COMPOSITE"))), "InvalidRequest");
    assert_eq!(code(announced(Some("SHA512"), None)), "NotImplemented");
}

fn with_sum(mut part: PartPut, kind: ChecksumKind, value: &str) -> PartPut {
    part.checksums.push(Checksum { kind, full_object: true, value: Blob(hex::decode(value).unwrap()) });
    part
}

#[test]
fn the_object_gets_the_announced_checksum() {
    let crc = |number, tag| with_sum(part(number, 9, tag), ChecksumKind::Crc32, "cbf43926");
    let parts = [crc(1, "a"), crc(2, "b")];
    let none: UploadCreated = upload(0, false);
    assert_eq!(object_checksum(&none, &parts).unwrap(), None);
    let full = object_checksum(&upload(ChecksumKind::Crc32.code(), true), &parts).unwrap().unwrap();
    // crc32(b"123456789123456789")
    assert_eq!((hex::encode(&full.value.0).as_str(), full.full_object), ("4b837ae4", true));
    let composed = object_checksum(&upload(ChecksumKind::Crc32.code(), false), &parts).unwrap().unwrap();
    assert!(!composed.full_object && composed.value != full.value);
    let missing = object_checksum(&upload(ChecksumKind::Sha256.code(), false), &parts);
    assert_eq!(code(missing), "InvalidPart");
}

#[test]
fn what_the_client_says_of_the_whole_is_compared() {
    let crc = |number, tag| with_sum(part(number, 9, tag), ChecksumKind::Crc32, "cbf43926");
    let parts = [crc(1, "a"), crc(2, "b")];
    let upload = upload(ChecksumKind::Crc32.code(), true);
    let sum = object_checksum(&upload, &parts).unwrap();
    let check = |input: CompleteMultipartUploadInput| check_whole(&input, &upload, &parts, sum.as_ref());
    let with = |change: &dyn Fn(&mut CompleteMultipartUploadInput)| {
        let mut input = CompleteMultipartUploadInput::default();
        change(&mut input);
        input
    };
    assert!(check(with(&|_| {})).is_ok());
    assert!(check(with(&|input| input.mpu_object_size = Some(18))).is_ok());
    assert_eq!(code(check(with(&|input| input.mpu_object_size = Some(17)))), "InvalidRequest");
    assert_eq!(code(check(with(&|input| input.mpu_object_size = Some(-1)))), "InvalidRequest");
    assert!(check(with(&|input| input.checksum_crc32 = Some("S4N65A==".into()))).is_ok());
    assert_eq!(code(check(with(&|input| input.checksum_crc32 = Some("AAAAAA==".into())))), "BadDigest");
    assert_eq!(code(check(with(&|input| input.checksum_crc32 = Some(String::new())))), "BadDigest");
    assert_eq!(code(check(with(&|input| input.checksum_sha256 = Some("AAAA".into())))), "BadDigest");
    let composite = s3s::dto::ChecksumType::from_static("COMPOSITE");
    assert_eq!(code(check(with(&|input| input.checksum_type = Some(composite.clone())))), "InvalidRequest");
}
