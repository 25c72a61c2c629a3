//! Goal: listings tell the truth: every key once, whatever else happens meanwhile, under the name it has. Method: writers and deleters
//! beside paging in every page size; keys of every character that a key may hold; deletes of a thousand.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};

use crate::support::data::Rng;
use crate::support::s3::body::Sum;
use crate::support::s3::{Call, Client, Response};
use crate::support::seed;
use crate::support::vault::Vault;

fn delete_document(keys: &[String]) -> String {
    let objects: String = keys.iter().map(|key| format!("<Object><Key>{key}</Key></Object>")).collect();
    format!("<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{objects}</Delete>")
}

/// T4: a thousand keys go in one request, with an MD5 of the document, another checksum, or neither; what is not there counts as
/// deleted; a document that is not what its checksum says deletes nothing.
#[test]
fn t04_deletes_of_many_with_md5_or_crc_or_neither() {
    let vault = Vault::start_new("T04");
    let client = vault.client();
    client.create_bucket("bkt");
    let keys: Vec<String> = (0..1000).map(|number| format!("k/{number:04}")).collect();
    let document = delete_document(&keys);
    let delete = |header: Option<(&str, String)>| {
        let mut call = Call::new("POST", "bkt", "").query("delete", "").body(document.as_bytes());
        if let Some((name, value)) = header {
            call = call.header(name, value);
        }
        client.send(&call).unwrap()
    };
    let there: Vec<&String> = keys.iter().step_by(25).collect();
    let md5 = |text: &str| STANDARD.encode(Md5::digest(text.as_bytes()));
    let wrong = [("content-md5", md5("another")), ("x-amz-checksum-crc32", Sum::Crc32.of(b"another"))];
    let right = [
        Some(("content-md5", md5(&document))),
        Some(("x-amz-checksum-crc32", Sum::Crc32.of(document.as_bytes()))),
        Some(("x-amz-checksum-crc64nvme", Sum::Crc64Nvme.of(document.as_bytes()))),
        None,
    ];
    for header in right {
        there.iter().for_each(|key| drop(client.put("bkt", key, b"x")));
        client.put("bkt", "k", b"stays");
        for (name, value) in &wrong {
            delete(Some((name, value.clone()))).expect_error(name, 400, "BadDigest");
        }
        assert_eq!(client.list("bkt", "k/", 1000).len(), there.len(), "a wrong document deletes nothing");
        let what = format!("{header:?}");
        let answer = delete(header).expect_ok(&what);
        assert_eq!(
            answer.xml_all("Key"),
            keys,
            "{what}: every key is answered as deleted, also those that were not there"
        );
        assert!(!answer.text().contains("<Error>"), "{what}");
        assert_eq!(client.list("bkt", "", 1000), ["k"], "{what}");
    }
    let more: Vec<String> = (0..=1000).map(|number| format!("k/{number:04}")).collect();
    let too_many = delete_document(&more);
    let call = Call::new("POST", "bkt", "").query("delete", "").body(too_many.as_bytes());
    client.send(&call).unwrap().expect_error("1,001 keys", 400, "MalformedXML");
}

/// Every kind of listing: of version 1 or 2, with a delimiter or without.
#[derive(Debug, Clone, Copy)]
struct Kind {
    version: u8,
    delimiter: bool,
}

const KINDS: [Kind; 4] = [
    Kind { version: 2, delimiter: false },
    Kind { version: 2, delimiter: true },
    Kind { version: 1, delimiter: false },
    Kind { version: 1, delimiter: true },
];

/// What pages of a listing hold, in their order: keys and common prefixes, each among its own.
fn walk(client: &Client, kind: Kind, page: usize, url: bool) -> (Vec<String>, Vec<String>) {
    let (mut keys, mut prefixes) = (Vec::new(), Vec::new());
    let mut next: Option<String> = None;
    loop {
        let mut call = Call::new("GET", "bkt", "").query("max-keys", page);
        if kind.version == 2 {
            call = call.query("list-type", 2);
        }
        if kind.delimiter {
            call = call.query("delimiter", "/");
        }
        if url {
            call = call.query("encoding-type", "url");
        }
        if let Some(next) = &next {
            call = call.query(if kind.version == 2 { "continuation-token" } else { "marker" }, next);
        }
        let answer = client.send(&call).unwrap().expect_ok("a page");
        let text = |name: String| if url { decoded(&name) } else { name };
        let found = answer.xml_all("Key");
        let rolled = common_prefixes(&answer);
        assert!(found.len() + rolled.len() <= page, "{kind:?}: more than {page} on a page");
        keys.extend(found.into_iter().map(text));
        prefixes.extend(rolled.into_iter().map(text));
        if answer.xml("IsTruncated").as_deref() != Some("true") {
            return (keys, prefixes);
        }
        let marker =
            if kind.version == 2 { answer.xml("NextContinuationToken") } else { answer.xml("NextMarker").map(text) };
        assert!(marker.is_some(), "a truncated page says how to go on");
        assert_ne!(next, marker, "{kind:?}: no page is answered twice");
        next = marker;
    }
}

fn common_prefixes(answer: &Response) -> Vec<String> {
    answer
        .xml_all("CommonPrefixes")
        .iter()
        .filter_map(|element| element.strip_prefix("<Prefix>")?.strip_suffix("</Prefix>").map(str::to_owned))
        .collect()
}

/// Undoes percent-encoding as clients do that turn `+` into a space: a server must write neither as the other.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let pair = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&pair).unwrap(), 16).unwrap()
            }
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).expect("a key is UTF-8")
}

#[track_caller]
fn strictly_ascending(names: &[String], what: &str) {
    let wrong = names.windows(2).find(|pair| pair[0].as_bytes() >= pair[1].as_bytes());
    assert_eq!(wrong, None, "{what}: out of order, or twice");
}

/// T6: a key that lives through a whole listing is on it exactly once, and so is its folder, while others come and go around it.
#[test]
fn t06_keys_that_live_through_a_listing_are_listed_once() {
    const LIVING: usize = 90;
    let mut rng = seed::rng("t06_keys_that_live_through_a_listing_are_listed_once");
    let vault = Vault::start_new("T06");
    let client = vault.client();
    client.create_bucket("bkt");
    let living: BTreeSet<String> = (0..LIVING).map(|number| format!("{:02}/{number:03}", number % 30)).collect();
    let folders: BTreeSet<String> = living.iter().map(|key| key[..3].to_owned()).collect();
    living.iter().for_each(|key| drop(client.put("bkt", key, b"lives")));
    let done = AtomicBool::new(false);
    let seeds = [rng.next(), rng.next(), rng.next()];
    std::thread::scope(|scope| {
        for seed in seeds {
            let (client, done) = (client.clone(), &done);
            scope.spawn(move || come_and_go(&client, &mut Rng::new(seed), done));
        }
        let mut passing = 0;
        for round in 0..80 {
            let kind = KINDS[round % KINDS.len()];
            let page = if round % 8 < 4 { rng.range(1, 9) } else { rng.range(10, 60) } as usize;
            let (keys, prefixes) = walk(&client, kind, page, false);
            let what = format!("{kind:?}, pages of {page}");
            strictly_ascending(&keys, &what);
            strictly_ascending(&prefixes, &what);
            if kind.delimiter {
                let missing: Vec<_> = folders.iter().filter(|folder| !prefixes.contains(folder)).collect();
                assert!(missing.is_empty(), "{what}: {missing:?} are missing");
                passing += prefixes.len() - folders.len();
            } else {
                let missing: Vec<_> = living.iter().filter(|key| !keys.contains(key)).collect();
                assert!(missing.is_empty(), "{what}: {missing:?} are missing");
                passing += keys.len() - living.len();
            }
        }
        done.store(true, Ordering::Relaxed);
        assert!(passing > 100, "only {passing} keys came and went: the test saw no change");
    });
}

/// Puts and deletes keys between and beside those that live, in their folders and in folders of their own.
fn come_and_go(client: &Client, rng: &mut Rng, done: &AtomicBool) {
    let mut mine: Vec<String> = Vec::new();
    while !done.load(Ordering::Relaxed) {
        if mine.len() < 40 && rng.below(3) > 0 {
            let folder = if rng.below(2) == 0 {
                format!("{:02}", rng.below(30))
            } else {
                format!("{:02}~{}", rng.below(30), rng.below(9))
            };
            let key = format!("{folder}/{:03}-{:x}", rng.below(999), rng.next());
            client.put("bkt", &key, b"passes");
            mine.push(key);
        } else if !mine.is_empty() {
            let key = mine.swap_remove(rng.below(mine.len() as u64) as usize);
            client.delete("bkt", &key);
        }
    }
}

/// T7: a common prefix is there exactly once if a key under it is, the object named like the folder included, and not otherwise.
/// (`versions.rs` has folders of delete markers.)
#[test]
fn t07_common_prefixes_are_of_living_keys_and_never_twice() {
    let vault = Vault::start_new("T07");
    let client = vault.client();
    client.create_bucket("bkt");
    for key in ["dir", "dir/", "dir/x", "dir/y", "gone/a", "gone/b", "only/", "dir0"] {
        client.put("bkt", key, b"");
    }
    client.delete("bkt", "gone/a");
    client.delete("bkt", "gone/b");
    for page in [1, 2, 1000] {
        for version in [1, 2] {
            let (keys, prefixes) = walk(&client, Kind { version, delimiter: true }, page, false);
            assert_eq!(keys, ["dir", "dir0"], "version {version}, pages of {page}");
            assert_eq!(prefixes, ["dir/", "only/"], "version {version}, pages of {page}");
        }
    }
    let within = Call::new("GET", "bkt", "").query("list-type", 2).query("prefix", "dir/").query("delimiter", "/");
    let within = client.send(&within).unwrap().expect_ok("below a folder");
    assert_eq!(within.xml_all("Key"), ["dir/", "dir/x", "dir/y"]);
    assert!(common_prefixes(&within).is_empty());
    client.delete("bkt", "only/");
    let (_, prefixes) = walk(&client, KINDS[1], 1000, false);
    assert_eq!(prefixes, ["dir/"]);
}

/// A key for every character of ASCII that a key may hold, alone and between others, and keys whose UTF-8 has every other byte.
fn awkward_keys() -> Vec<String> {
    let ascii = (1..128_u8).map(char::from).filter(|char| matches!(char, '\t' | '\n' | '\r' | ' '..));
    let mut keys: Vec<String> =
        ascii.flat_map(|char| [format!("{char}"), format!("a{char}b"), format!("{char}{char}/")]).collect();
    // First bytes of two reach C2 to DF, of three E0 to EF, of four F0 to F4; what follows them 80 to BF.
    let others = (0x80..0x800)
        .step_by(64)
        .chain(0x400..0x440)
        .chain((0x800..0xd800).step_by(4096))
        .chain([0xd000, 0xe000, 0xf000]);
    let others = others.chain((0x10000..=0x100000).step_by(0x10000)).filter_map(char::from_u32);
    keys.extend(others.map(|char| format!("u{char}")));
    keys.extend(["a%20b", "a%2Bb", "%", "%zz", "a+b c", "+", "&amp;", "]]>"].map(str::to_owned));
    keys.sort();
    keys.dedup();
    keys
}

/// T8: `encoding-type=url` gives back every key as it is, in every kind of listing; `+` is `+` and a space is a space.
#[test]
fn t08_url_encoding_round_trips_every_byte_of_a_key() {
    let vault = Vault::start_new("T08");
    let client = vault.client();
    client.create_bucket("bkt");
    let keys = awkward_keys();
    let used: BTreeSet<u8> = keys.iter().flat_map(|key| key.bytes()).collect();
    let never_utf8 = |byte: &u8| matches!(*byte, 0..=8 | 11 | 12 | 14..=31 | 0xc0 | 0xc1 | 0xf5..);
    assert_eq!(used.len() + (0..=255_u8).filter(never_utf8).count(), 256, "every byte that a key may hold is in one");
    for (number, key) in keys.iter().enumerate() {
        client.put("bkt", key, format!("{number}").as_bytes());
    }
    for kind in KINDS.into_iter().filter(|kind| !kind.delimiter) {
        for page in [1000, 7] {
            let (listed, _) = walk(&client, kind, page, true);
            assert_eq!(listed, keys, "{kind:?}, pages of {page}");
        }
    }
    let (plain, folders) = walk(&client, KINDS[1], 1000, true);
    let mut both: Vec<String> = plain.into_iter().chain(folders).collect();
    both.sort();
    let cut = |key: &String| key.split_inclusive('/').next().unwrap().to_owned();
    let expected: BTreeSet<String> = keys.iter().map(cut).collect();
    assert_eq!(both, expected.into_iter().collect::<Vec<_>>(), "keys and common prefixes");

    keys.iter().for_each(|key| drop(client.create_upload("bkt", key)));
    let uploads = Call::new("GET", "bkt", "").query("uploads", "").query("encoding-type", "url");
    let answer = client.send(&uploads).unwrap().expect_ok("uploads");
    let listed: Vec<String> = answer.xml_all("Key").iter().map(|key| decoded(key)).collect();
    assert_eq!(listed, keys, "uploads");
    for key in [" ", "a+b", "a%20b", "\t", "&amp;"] {
        let echo = Call::new("GET", "bkt", "").query("list-type", 2).query("encoding-type", "url");
        let echo = echo.query("prefix", key).query("start-after", key).query("delimiter", key);
        let echo = client.send(&echo).unwrap().expect_ok("echo");
        for element in ["Prefix", "StartAfter", "Delimiter"] {
            assert_eq!(echo.xml(element).map(|text| decoded(&text)).as_deref(), Some(key), "{element}");
        }
    }
}
