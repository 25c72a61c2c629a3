//! Goal: copies of objects and parts: the content by reference, everything else as asked, nothing else changed. Method: S3 calls,
//! bytes and answers compared, physical bytes taken before and after.

use std::collections::BTreeSet;

use md5::{Digest, Md5};

use crate::physical::by_metric;
use crate::support::data;
use crate::support::s3::{Call, Client, Response};
use crate::support::seed;
use crate::support::vault::Vault;

const PART: usize = 5 << 20;

fn copying<'a>(source: &str, bucket: &str, key: &str) -> Call<'a> {
    Call::new("PUT", bucket, key).header("x-amz-copy-source", source)
}

#[track_caller]
fn ok(client: &Client, call: &Call<'_>) -> Response {
    client.send(call).unwrap().expect_ok("copy")
}

#[test]
fn a_copy_has_the_content_and_lives_on_its_own() {
    let mut rng = seed::rng("a_copy_has_the_content_and_lives_on_its_own");
    let mut vault = Vault::start_new("COPY");
    let client = vault.client();
    client.create_bucket("source");
    client.create_bucket("target");
    let bodies: Vec<Vec<u8>> = [0, 1, 700, 100_000, 9 << 20].map(|len| data::random(rng.next(), len)).into();
    for (number, body) in bodies.iter().enumerate() {
        client.put("source", &format!("dir/object {number}"), body);
    }
    let before = by_metric(&vault);
    for (number, body) in bodies.iter().enumerate() {
        let source = format!("/source/dir/object%20{number}");
        let copied = ok(&client, &copying(&source, "target", &format!("copy{number}")));
        let etag = format!("\"{}\"", hex::encode(Md5::digest(body)));
        assert_eq!(copied.xml("ETag"), Some(etag.clone()));
        assert!(copied.xml("LastModified").is_some(), "{}", copied.text());
        assert_eq!(client.head_object("target", &format!("copy{number}")).header("etag"), Some(etag.as_str()));
    }
    let after = by_metric(&vault);
    assert_eq!(before.data, after.data, "a copy writes no data stripe");
    for number in 0..bodies.len() {
        client.delete("source", &format!("dir/object {number}"));
    }
    vault.restart();
    let client = vault.client();
    for (number, body) in bodies.iter().enumerate() {
        assert!(client.get("target", &format!("copy{number}")) == *body, "copy{number}");
    }
    vault.cli_json(&["verify"]);
    vault.stop();
    vault.cli_json(&["rebuild-index"]);
    vault.start();
    assert!(vault.client().get("target", "copy4") == bodies[4], "after the index was built anew");
}

#[test]
fn headers_metadata_and_tags_go_along_or_are_replaced() {
    let vault = Vault::start_new("COPYMETA");
    let client = vault.client();
    client.create_bucket("bkt");
    let put = Call::new("PUT", "bkt", "a")
        .header("content-type", "text/plain")
        .header("x-amz-meta-origin", "first")
        .header("x-amz-tagging", "kind=dump")
        .body(b"content");
    ok(&client, &put);
    // Without a directive, headers of the request say nothing.
    ok(
        &client,
        &copying("bkt/a", "bkt", "b").header("content-type", "image/png").header("x-amz-meta-origin", "second"),
    );
    let head = client.head_object("bkt", "b");
    assert_eq!(head.header("content-type"), Some("text/plain"));
    assert_eq!(head.header("x-amz-meta-origin"), Some("first"));
    assert_eq!(head.header("x-amz-tagging-count"), Some("1"));
    let replace = copying("bkt/a", "bkt", "c")
        .header("x-amz-metadata-directive", "REPLACE")
        .header("x-amz-tagging-directive", "REPLACE")
        .header("content-type", "image/png")
        .header("x-amz-meta-origin", "second");
    ok(&client, &replace);
    let head = client.head_object("bkt", "c");
    assert_eq!(head.header("content-type"), Some("image/png"));
    assert_eq!(head.header("x-amz-meta-origin"), Some("second"));
    assert_eq!(head.header("x-amz-tagging-count"), None);

    let plain = client.send(&copying("bkt/a", "bkt", "a")).unwrap();
    plain.expect_error("onto itself, nothing changed", 400, "InvalidRequest");
    let onto_itself =
        copying("bkt/a", "bkt", "a").header("x-amz-metadata-directive", "REPLACE").header("x-amz-meta-now", "1");
    ok(&client, &onto_itself);
    assert_eq!(client.head_object("bkt", "a").header("x-amz-meta-now"), Some("1"));
    assert_eq!(client.get("bkt", "a"), b"content");
    let wrong = copying("bkt/a", "bkt", "d").header("x-amz-metadata-directive", "MERGE");
    client.send(&wrong).unwrap().expect_error("an unknown directive", 400, "InvalidArgument");
}

#[test]
fn conditions_and_sources_are_checked() {
    let vault = Vault::start_new("COPYIF");
    let client = vault.client();
    client.create_bucket("bkt");
    let etag = client.put("bkt", "a", b"content").header("etag").unwrap().to_owned();
    let with = |name: &str, value: &str| client.send(&copying("bkt/a", "bkt", "b").header(name, value)).unwrap();
    let (past, future) = ("Mon, 02 Jan 2006 15:04:05 GMT", "Fri, 01 Jan 2100 00:00:00 GMT");
    for (name, value, holds) in [
        ("x-amz-copy-source-if-match", etag.as_str(), true),
        ("x-amz-copy-source-if-match", "\"0123456789abcdef0123456789abcdef\"", false),
        ("x-amz-copy-source-if-none-match", etag.as_str(), false),
        ("x-amz-copy-source-if-none-match", "\"0123456789abcdef0123456789abcdef\"", true),
        ("x-amz-copy-source-if-modified-since", past, true),
        ("x-amz-copy-source-if-modified-since", future, false),
        ("x-amz-copy-source-if-unmodified-since", past, false),
        ("x-amz-copy-source-if-unmodified-since", future, true),
    ] {
        let answer = with(name, value);
        match holds {
            true => drop(answer.expect_ok(name)),
            false => answer.expect_error(name, 412, "PreconditionFailed"),
        }
    }
    with("if-none-match", "*").expect_error("the destination is there", 412, "PreconditionFailed");
    let error = |source: &str, status, code| {
        client.send(&copying(source, "bkt", "x")).unwrap().expect_error(source, status, code);
    };
    error("bkt/none", 404, "NoSuchKey");
    error("nobucket/a", 404, "NoSuchBucket");
    error("bkt/a?versionId=123", 400, "InvalidArgument");
    error("bkt/a?versionId=00000000000000000000000000000000", 404, "NoSuchVersion");
    error("bkt", 400, "InvalidArgument");
    error("bkt/%ff%fe", 400, "InvalidArgument");
    client.send(&copying("bkt/a", "nobucket", "x")).unwrap().expect_error("no destination", 404, "NoSuchBucket");
    ok(&client, &copying("bkt/a?versionId=null", "bkt", "x"));
    assert_eq!(client.get("bkt", "x"), b"content");
}

#[test]
fn checksums_go_along_or_are_computed() {
    let vault = Vault::start_new("COPYSUM");
    let client = vault.client();
    client.create_bucket("bkt");
    let body = data::random(7, 300_000);
    client.put("bkt", "a", &body);
    let sha = {
        use base64::Engine as _;
        use sha2::Digest as _;
        base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(&body))
    };
    let copied = ok(&client, &copying("bkt/a", "bkt", "b").header("x-amz-checksum-algorithm", "SHA256"));
    assert_eq!(copied.xml("ChecksumSHA256"), Some(sha.clone()));
    let head = |key: &str| {
        let call = Call::new("HEAD", "bkt", key).header("x-amz-checksum-mode", "ENABLED");
        client.send(&call).unwrap().header("x-amz-checksum-sha256").map(str::to_owned)
    };
    assert_eq!(head("b"), Some(sha.clone()));
    ok(&client, &copying("bkt/b", "bkt", "c"));
    assert_eq!(head("c"), Some(sha));
    let crc = ok(&client, &copying("bkt/a", "bkt", "d").header("x-amz-checksum-algorithm", "CRC64NVME"));
    assert!(crc.xml("ChecksumCRC64NVME").is_some(), "{}", crc.text());
}

#[test]
fn parts_are_copied_whole_and_by_range() {
    let mut rng = seed::rng("parts_are_copied_whole_and_by_range");
    let mut vault = Vault::start_new("COPYPART");
    let client = vault.client();
    client.create_bucket("bkt");
    let source = data::random(rng.next(), 3 * PART + 12_345);
    client.put("bkt", "source", &source);
    let small = data::random(rng.next(), 777);
    client.put("bkt", "small", &small);
    let before = by_metric(&vault);
    let upload = client.create_upload("bkt", "made");
    let part = |number: u32, source: &str, range: Option<(usize, usize)>| {
        let mut call = copying(source, "bkt", "made").query("partNumber", number).query("uploadId", &upload);
        if let Some((first, last)) = range {
            call = call.header("x-amz-copy-source-range", format!("bytes={first}-{last}"));
        }
        let etag = ok(&client, &call).xml("ETag").unwrap();
        let plain = etag.trim_matches('"');
        assert!(plain.len() == 32 && plain.bytes().all(|byte| byte.is_ascii_hexdigit()), "{etag}");
        (number, etag)
    };
    let mut expected = Vec::new();
    let mut etags = Vec::new();
    for number in 1..=6 {
        let first = rng.below(source.len() as u64 - PART as u64 - 1) as usize;
        let last = (first + PART + rng.below(PART as u64) as usize).min(source.len() - 1);
        etags.push(part(number, "bkt/source", Some((first, last))));
        expected.extend_from_slice(&source[first..=last]);
    }
    let again = part(7, "bkt/source", Some((100, 100 + PART)));
    assert_eq!(again.1, part(7, "bkt/source", Some((100, 100 + PART))).1, "the same copy has the same ETag");
    etags.push(again);
    expected.extend_from_slice(&source[100..=100 + PART]);
    etags.push(part(8, "/bkt/source", None));
    assert_eq!(etags[7].1, format!("\"{}\"", hex::encode(Md5::digest(&source))), "a whole copy keeps its MD5");
    expected.extend_from_slice(&source);
    etags.push(part(9, "bkt/small", Some((5, 5))));
    expected.push(small[5]);
    let distinct: BTreeSet<&String> = etags.iter().map(|(_, etag)| etag).collect();
    assert_eq!(distinct.len(), etags.len());
    let after = by_metric(&vault);
    assert_eq!(before.data, after.data, "nodes of a few copies ride in the journal");

    vault.kill();
    vault.start();
    let client = vault.client();
    let done = client.complete("bkt", "made", &upload, &etags).expect_ok("complete");
    client.delete("bkt", "source");
    assert!(client.get("bkt", "made") == expected, "the composed object");
    let size = expected.len();
    let range = client.get_range("bkt", "made", &format!("{}-{}", size - PART - 7, size - 1));
    assert!(range.body == expected[size - PART - 7..], "its end");
    // A copy of what was made of copies.
    let whole = ok(&client, &copying("bkt/made", "bkt", "again"));
    assert_eq!(whole.xml("ETag"), done.xml("ETag"));
    assert!(client.get("bkt", "again") == expected);
    vault.cli_json(&["verify"]);
}

#[test]
fn wrong_ranges_are_refused() {
    let vault = Vault::start_new("COPYRANGE");
    let client = vault.client();
    client.create_bucket("bkt");
    client.put("bkt", "a", &data::random(1, 1000));
    let upload = client.create_upload("bkt", "made");
    for range in
        ["bytes=0-1000", "bytes=5-4", "bytes=-5", "bytes=5-", "0-5", "bytes=0-5,7-8", "bytes= 0-5", "bytes=+0-5"]
    {
        let call = copying("bkt/a", "bkt", "made").query("partNumber", 1).query("uploadId", &upload);
        let answer = client.send(&call.header("x-amz-copy-source-range", range)).unwrap();
        answer.expect_error(range, 400, "InvalidArgument");
    }
    let call = |number: u32, upload: &str| {
        copying("bkt/a", "bkt", "made").query("partNumber", number).query("uploadId", upload)
    };
    client.send(&call(0, &upload)).unwrap().expect_error("part 0", 400, "InvalidArgument");
    let other = client.create_upload("bkt", "other");
    client.send(&call(1, &other)).unwrap().expect_error("another key's upload", 404, "NoSuchUpload");
}
