//! Goal: whatever a request says, signed or not, it is answered by a clear error or served; the process lives, nobody panics, no answer is
//! 500, and what is stored elsewhere is untouched. Method: requests put together at random from what S3's requests are made of (methods,
//! paths, parameters, headers, documents, framings), odd values and mutations included, most of them rightly signed, so that they reach
//! what lies behind the signature.
//!
//! `KOVCHEG_SEED` repeats a run, `KOVCHEG_FUZZ_ROUNDS` scales it.

use crate::support::data::Rng;
use crate::support::s3::body::Sum;
use crate::support::s3::{Body, Call, Client, Mode, http};
use crate::support::seed;
use crate::support::vault::Vault;

#[rustfmt::skip]
const METHODS: [&str; 7] = [
    "GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH",
];

#[rustfmt::skip]
const PARAMETERS: [&str; 48] = [
    "list-type", "prefix", "delimiter", "max-keys", "marker", "continuation-token", "start-after", "encoding-type",
    "fetch-owner", "uploads", "uploadId", "partNumber", "part-number-marker", "max-parts", "max-uploads", "key-marker",
    "upload-id-marker", "versionId", "versions", "acl", "policy", "cors", "tagging", "lifecycle", "location", "versioning",
    "delete", "attributes", "legal-hold", "retention", "object-lock", "encryption", "torrent", "restore", "select",
    "select-type", "x-id", "response-content-type", "response-content-disposition", "response-expires", "website", "logging",
    "notification", "replication", "accelerate", "requestPayment", "X-Amz-Signature", "x-amz-meta-a",
];

#[rustfmt::skip]
const HEADERS: [&str; 44] = [
    "range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "content-md5", "content-type",
    "content-encoding", "content-disposition", "cache-control", "expires", "expect", "x-amz-acl", "x-amz-storage-class",
    "x-amz-tagging", "x-amz-meta-a", "x-amz-copy-source", "x-amz-copy-source-range", "x-amz-copy-source-if-match",
    "x-amz-copy-source-if-modified-since", "x-amz-metadata-directive", "x-amz-tagging-directive", "x-amz-checksum-crc32",
    "x-amz-checksum-crc32c", "x-amz-checksum-crc64nvme", "x-amz-checksum-sha1", "x-amz-checksum-sha256",
    "x-amz-checksum-algorithm", "x-amz-checksum-type", "x-amz-checksum-mode", "x-amz-sdk-checksum-algorithm",
    "x-amz-mp-object-size", "x-amz-trailer", "x-amz-decoded-content-length", "x-amz-expected-bucket-owner",
    "x-amz-object-lock-mode", "x-amz-object-lock-retain-until-date", "x-amz-server-side-encryption", "x-amz-security-token",
    "x-amz-request-payer", "x-amz-object-attributes", "x-amz-bypass-governance-retention", "x-amz-website-redirect-location",
    "transfer-encoding",
];

#[rustfmt::skip]
const VALUES: [&str; 50] = [
    "", "0", "1", "2", "-1", "+1", "1000", "10000", "10001", "2147483648", "99999999999999999999999", "1e9", "null", "true",
    "url", "a", "a/", "/", "//", "..", "../..", "%", "%zz", "%00", "+", " ", "*", "\"\"",
    "\"d41d8cd98f00b204e9800998ecf8427e\"", "W/\"x\"", "bytes=0-0", "bytes=-1", "bytes=5-2", "bytes=0-0,2-3",
    "bytes=18446744073709551615-", "Mon, 30 Nov 2026 00:00:00 GMT", "2026-11-30T00:00:00Z", "COPY", "REPLACE", "FULL_OBJECT",
    "COMPOSITE", "ENABLED", "CRC32", "SHA256", "AAAAAA==", "/fuzz/a", "fuzz/a?versionId=null", "100-continue",
    "x-amz-checksum-crc32", "chunked",
];

const DOCUMENTS: [&str; 12] = [
    "<Delete><Quiet>true</Quiet><Object><Key>a</Key><VersionId>null</VersionId></Object><Object><Key>b</Key></Object></Delete>",
    "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>\"d41d8cd98f00b204e9800998ecf8427e\"</ETag></Part><Part>\
     <ETag>x</ETag><PartNumber>2</PartNumber><ChecksumCRC32>AAAAAA==</ChecksumCRC32></Part></CompleteMultipartUpload>",
    "<CreateBucketConfiguration><LocationConstraint>us-east-1</LocationConstraint></CreateBucketConfiguration>",
    "<VersioningConfiguration><Status>Enabled</Status><MfaDelete>Disabled</MfaDelete></VersioningConfiguration>",
    "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>",
    "<LifecycleConfiguration><Rule><ID>x</ID><Status>Enabled</Status><Filter><Prefix>a</Prefix></Filter><Expiration><Days>1</Days>\
     </Expiration></Rule></LifecycleConfiguration>",
    "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>COMPLIANCE</Mode><Days>1</Days>\
     </DefaultRetention></Rule></ObjectLockConfiguration>",
    "<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2030-01-01T00:00:00Z</RetainUntilDate></Retention>",
    "<LegalHold><Status>ON</Status></LegalHold>",
    "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]><Delete><Object><Key>&b;</Key></Object></Delete>",
    "<AccessControlPolicy><Owner><ID>1</ID></Owner><AccessControlList><Grant><Permission>READ</Permission></Grant></AccessControlList>\
     </AccessControlPolicy>",
    "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"s3:*\",\"Resource\":\"*\"}]}",
];

const MODES: [Mode; 9] = [
    Mode::Signed,
    Mode::Unsigned,
    Mode::SignedChunks,
    Mode::SignedChunksTrailer,
    Mode::UnsignedTrailer,
    Mode::TrailerOf(Sum::Sha256),
    Mode::MissingTrailer,
    Mode::WrongTrailer,
    Mode::WrongChunk,
];

fn word(rng: &mut Rng, from: &[&'static str]) -> &'static str {
    from[rng.below(from.len() as u64) as usize]
}

/// Flips, cuts out, doubles and inserts bytes.
fn mutate(bytes: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..rng.range(1, 4) {
        if bytes.is_empty() {
            return;
        }
        let at = rng.below(bytes.len() as u64) as usize;
        let end = (at + rng.range(1, 12) as usize).min(bytes.len());
        match rng.below(5) {
            0 => bytes[at] ^= 1 << rng.below(8),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            3 => bytes.insert(at, rng.next() as u8),
            _ => bytes.truncate(at),
        }
    }
}

/// A value that a header of a signed request can carry: visible, and without spaces at its ends, which signing would take away.
fn value(rng: &mut Rng, uploads: &[String]) -> String {
    match rng.below(12) {
        0 => rng.pick(uploads).clone(),
        1 => rng.next().to_string(),
        2 => "v".repeat(rng.below(3000) as usize),
        3 => format!("{}{}", word(rng, &VALUES), word(rng, &VALUES)),
        4 => (0..rng.below(20)).map(|_| char::from(rng.range(33, 126) as u8)).collect(),
        _ => word(rng, &VALUES).to_owned(),
    }
}

/// One request: its head and its body as they go over the wire.
fn request(client: &Client, rng: &mut Rng, uploads: &[String]) -> (Vec<u8>, Vec<u8>) {
    const BUCKETS: [&str; 4] = ["fuzz", "fuzz", "fuzz", "absent-bucket"];
    const KEYS: [&str; 10] = ["", "", "a", "b", "a/b", "a%2F..%2Fb", "%D1%8B", "%01", "%ff", "a//"];
    let method = if rng.below(10) == 0 { word(rng, &METHODS) } else { word(rng, &METHODS[..5]) };
    let mut call = Call::raw(method, word(rng, &BUCKETS), word(rng, &KEYS));
    if rng.below(30) == 0 {
        call.path = word(rng, &["/", "//", "/%", "/..", "/fuzz//", "*"]).to_owned();
    }
    for _ in 0..rng.below(4) {
        call = call.query(word(rng, &PARAMETERS), value(rng, uploads));
    }
    for _ in 0..rng.below(4) {
        let text = value(rng, uploads);
        call = call.header(word(rng, &HEADERS), text.trim());
    }
    let mut body = match rng.below(4) {
        0 => Vec::new(),
        1 => crate::support::data::random(rng.next(), rng.below(200_000) as usize),
        _ => word(rng, &DOCUMENTS).as_bytes().to_vec(),
    };
    if rng.below(2) == 0 {
        mutate(&mut body, rng);
    }
    call = call.mode(*rng.pick(&MODES));
    call.presigned = rng.below(12) == 0;
    call.body = if body.is_empty() { Body::Empty } else { Body::Bytes(&body) };
    if rng.below(12) == 0
        && call.headers.iter().all(|(name, _)| name != "x-amz-decoded-content-length")
        && !call.presigned
    {
        call.claim_length = Some(rng.below(300_000));
    }
    let ready = client.prepare(&call);
    let (mut head, mut wire) = (ready.head.clone(), call.mode.wire(&call.body, &ready));
    if rng.below(8) == 0 {
        mutate(&mut head, rng);
    }
    if rng.below(4) == 0 {
        mutate(&mut wire, rng);
    }
    (head, wire)
}

/// Sends requests; how many were answered with each class of status.
fn play(client: &Client, rng: &mut Rng, uploads: &[String], count: u64) -> [u64; 6] {
    let mut classes = [0; 6];
    for _ in 0..count {
        let (head, body) = request(client, rng, uploads);
        // A server may hang up on what is no HTTP, or on a head that is cut off.
        let Ok(answer) = http::abandon(client.port, &head, &body) else {
            classes[0] += 1;
            continue;
        };
        let good = answer.status < 500 || matches!(answer.status, 501 | 503 | 505);
        let document = String::from_utf8_lossy(&body[..body.len().min(2000)]);
        assert!(good, "{} {}\n{}{document}", answer.status, answer.text(), String::from_utf8_lossy(&head));
        classes[usize::from(answer.status / 100)] += 1;
    }
    classes
}

#[test]
fn no_request_harms_the_vault() {
    const PLAYERS: u64 = 4;
    let mut rng = seed::rng("no_request_harms_the_vault");
    let count = seed::number("KOVCHEG_FUZZ_ROUNDS", 1) * 1_000;
    let mut vault = Vault::start_new("FUZZ");
    let client = vault.client();
    for bucket in ["fuzz", "witness"] {
        client.create_bucket(bucket);
        client.put(bucket, "a", b"still here");
    }
    let uploads: Vec<String> = (0..4).map(|_| client.create_upload("fuzz", "a")).collect();
    let seeds: Vec<u64> = (0..PLAYERS).map(|_| rng.next()).collect();
    let classes = std::thread::scope(|scope| {
        let players: Vec<_> = seeds
            .into_iter()
            .map(|seed| {
                let (client, uploads) = (client.clone(), &uploads);
                scope.spawn(move || play(&client, &mut Rng::new(seed), uploads, count))
            })
            .collect();
        let all = players.into_iter().map(|player| player.join().unwrap());
        all.fold([0; 6], |sum, one| std::array::from_fn(|class| sum[class] + one[class]))
    });
    println!("{} requests; by class of status, hung up on first: {classes:?}", PLAYERS * count);
    assert!(classes[2] * 50 > PLAYERS * count, "nearly nothing was served, so nearly nothing was tested: {classes:?}");
    assert_eq!(client.get("witness", "a"), b"still here");
    assert_eq!(client.list("witness", "", 10), ["a"]);
    vault.restart();
    assert_eq!(vault.client().get("witness", "a"), b"still here");
    let verified = vault.cli(&["verify"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    for log in vault.logs() {
        let log = std::fs::read_to_string(log).unwrap();
        let alarm = log.lines().find(|line| line.contains(" ERROR ") || line.contains("panicked at"));
        assert_eq!(alarm, None, "an alarm in the server's log");
    }
}
