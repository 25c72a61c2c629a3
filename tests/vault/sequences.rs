//! Goal: backup products that lock what they write find what they know from S3. Method: what is on record of the requests of Veeam and Nakivo (bug reports
//! against other servers, their own words on what they need), replayed in their order; the products themselves were never run here.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::support::s3::{Call, Client, Response};
use crate::support::vault::Vault;

const BUCKET: &str = "repository";
/// Where a repository keeps its blocks.
const BLOCKS: &str = "Veeam/Backup/repo/Clients/1/blocks/";
const DAY: u64 = 24 * 3600;
/// Blocks of a backup, and clients that write them at a time.
const SLOTS: usize = 64;
const BLOCK: usize = 1 << 20;

fn ahead(days: u64) -> String {
    let moment = OffsetDateTime::from(SystemTime::now() + Duration::from_secs(days * DAY));
    moment.replace_nanosecond(0).unwrap().format(&Rfc3339).unwrap()
}

fn ask(client: &Client, call: &Call<'_>) -> Response {
    client.send(call).unwrap().expect_ok(&call.path)
}

fn block(number: usize) -> Vec<u8> {
    let mut bytes = vec![0; BLOCK];
    bytes
        .chunks_mut(8)
        .zip(0_u64..)
        .for_each(|(piece, at)| piece.copy_from_slice(&(at ^ ((number as u64) << 40)).to_le_bytes()));
    bytes
}

/// A block with its own retention and Content-MD5; the name of its version.
fn put_locked(client: &Client, key: &str, body: &[u8], until: &str) -> String {
    let call = Call::new("PUT", BUCKET, key).body(body).header("content-md5", STANDARD.encode(Md5::digest(body)));
    let call = call.header("x-amz-object-lock-mode", "COMPLIANCE").header("x-amz-object-lock-retain-until-date", until);
    ask(client, &call).header("x-amz-version-id").expect("a version").to_owned()
}

fn delete_many(client: &Client, versions: &[(String, String)]) -> Response {
    let object = |(key, version): &(String, String)| {
        format!("<Object><Key>{key}</Key><VersionId>{version}</VersionId></Object>")
    };
    let document: String = versions.iter().map(object).collect();
    let document = format!("<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{document}</Delete>");
    let md5 = STANDARD.encode(Md5::digest(&document));
    ask(client, &Call::new("POST", BUCKET, "").query("delete", "").header("content-md5", md5).body(document.as_bytes()))
}

/// Every version under a prefix, by pages of `page`.
fn versions(client: &Client, prefix: &str, page: usize) -> Vec<(String, String)> {
    let (mut found, mut marker) = (Vec::new(), None);
    loop {
        let mut call =
            Call::new("GET", BUCKET, "").query("versions", "").query("prefix", prefix).query("max-keys", page);
        if let Some((key, version)) = &marker {
            call = call.query("key-marker", key).query("version-id-marker", version);
        }
        let answer = ask(client, &call);
        let names = answer.xml_all("VersionId").into_iter();
        found.extend(answer.xml_all("Key").into_iter().zip(names));
        if answer.xml("IsTruncated").as_deref() != Some("true") {
            return found;
        }
        marker = answer.xml("NextKeyMarker").zip(answer.xml("NextVersionIdMarker"));
        assert!(marker.is_some(), "{}", answer.text());
    }
}

#[test]
fn an_immutable_repository_of_veeam() {
    let vault = Vault::start_new("VEEAM");
    let client = vault.client();
    ask(&client, &Call::new("PUT", BUCKET, "").header("x-amz-bucket-object-lock-enabled", "true"));
    // What is looked at before the repository is made: versions, Object Lock and no default retention; and an extension that is optional.
    assert_eq!(
        ask(&client, &Call::new("GET", BUCKET, "").query("versioning", "")).xml("Status").as_deref(),
        Some("Enabled")
    );
    let lock = ask(&client, &Call::new("GET", BUCKET, "").query("object-lock", ""));
    assert!(
        lock.xml("ObjectLockEnabled").as_deref() == Some("Enabled") && lock.xml("DefaultRetention").is_none(),
        "{}",
        lock.text()
    );
    let optional = Call::new("GET", BUCKET, ".system-d26a9498-cb7c-4a87-a44a-8ae204f5ba6c/system.xml");
    client.send(&optional).unwrap().expect_error("the optional extension", 404, "NoSuchKey");
    // One slot: 64 blocks of 1 MiB at once.
    let until = ahead(30);
    let written: Vec<(String, String)> = std::thread::scope(|scope| {
        let write = |number: usize| {
            let (client, until) = (&client, &until);
            scope.spawn(move || {
                let key = format!("{BLOCKS}{:02x}/{number}.blk", number % 7);
                let version = put_locked(client, &key, &block(number), until);
                (key, version)
            })
        };
        let slots: Vec<_> = (0..SLOTS).map(write).collect();
        slots.into_iter().map(|slot| slot.join().unwrap()).collect()
    });
    // A locked key takes a new version, as metadata of the repository does at every run.
    let meta = format!("{BLOCKS}meta.xml");
    let of_meta: Vec<(String, String)> = (0..25)
        .map(|run| (meta.clone(), put_locked(&client, &meta, format!("run {run}").as_bytes(), &until)))
        .collect();
    // Folders are listed once each, and versions by pages, each once.
    let listed = ask(
        &client,
        &Call::new("GET", BUCKET, "").query("versions", "").query("prefix", BLOCKS).query("delimiter", "/"),
    );
    let folders: Vec<String> = listed.xml_all("Prefix").into_iter().filter(|prefix| prefix != BLOCKS).collect();
    assert_eq!((folders.len(), folders.iter().collect::<BTreeSet<_>>().len()), (7, 7), "{folders:?}");
    for page in [1000, 10, 7] {
        let found = versions(&client, BLOCKS, page);
        let all: BTreeSet<&(String, String)> = written.iter().chain(&of_meta).collect();
        assert_eq!((found.len(), found.iter().collect::<BTreeSet<_>>()), (all.len(), all), "pages of {page}");
    }
    // Immutability is prolonged for the next run: documents without a namespace.
    let longer =
        format!("<Retention><Mode>COMPLIANCE</Mode><RetainUntilDate>{}</RetainUntilDate></Retention>", ahead(40));
    for (key, version) in &written {
        let call = Call::new("PUT", BUCKET, key).query("versionId", version).query("retention", "");
        ask(&client, &call.body(longer.as_bytes()));
    }
    // A checkpoint removal takes up to a thousand versions at once: what is locked is named, and stays.
    let refused = delete_many(&client, &written);
    assert_eq!(refused.xml_all("Code"), vec!["AccessDenied"; SLOTS], "{}", refused.text());
    let free =
        ask(&client, &Call::new("PUT", BUCKET, "Veeam/lock").body(b"1")).header("x-amz-version-id").unwrap().to_owned();
    let mixed = delete_many(&client, &[written[0].clone(), ("Veeam/lock".into(), free)]);
    assert_eq!((mixed.xml_all("Code").len(), mixed.xml_all("Deleted").len()), (1, 1), "{}", mixed.text());
    for (number, (key, version)) in written.iter().enumerate() {
        let read = ask(&client, &Call::new("GET", BUCKET, key).query("versionId", version));
        assert!(read.body == block(number) && read.header("x-amz-object-lock-mode") == Some("COMPLIANCE"), "{key}");
    }
}

#[test]
fn a_repository_of_nakivo() {
    let vault = Vault::start_new("NAKIVO");
    let client = vault.client();
    client.create_bucket("plain");
    // Without Object Lock the question is an error, not an empty answer.
    let lock = client.send(&Call::new("GET", "plain", "").query("object-lock", "")).unwrap();
    lock.expect_error("no Object Lock", 404, "ObjectLockConfigurationNotFoundError");
    ask(&client, &Call::new("PUT", BUCKET, "").header("x-amz-bucket-object-lock-enabled", "true"));
    // Keys that end with a slash have real versions, which are read, locked and removed by name.
    let folder = "NakivoBackup/transport/";
    let made: Vec<String> = (0..2)
        .map(|_| {
            ask(&client, &Call::new("PUT", BUCKET, folder)).header("x-amz-version-id").expect("a version").to_owned()
        })
        .collect();
    assert!(made[0] != made[1] && made.iter().all(|version| version != "null"), "{made:?}");
    let listed = versions(&client, "NakivoBackup/", 1);
    assert_eq!(listed, [(folder.to_owned(), made[1].clone()), (folder.to_owned(), made[0].clone())]);
    let until = ahead(3);
    let locked = put_locked(&client, folder, b"", &until);
    let head = ask(&client, &Call::new("HEAD", BUCKET, folder).query("versionId", &locked));
    assert_eq!(
        head.header("x-amz-object-lock-retain-until-date").map(|date| date[..10].to_owned()),
        Some(until[..10].to_owned())
    );
    let delete = |version: &str| client.send(&Call::new("DELETE", BUCKET, folder).query("versionId", version)).unwrap();
    delete(&locked).expect_error("a locked folder", 403, "AccessDenied");
    assert_eq!(delete(&made[0]).status, 204);
    assert_eq!(versions(&client, folder, 1000).len(), 2);
}
