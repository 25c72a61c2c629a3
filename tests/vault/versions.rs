//! Goal: a bucket that keeps versions loses none of them to puts and deletes, names each in its answers, and shows the newest; what is
//! suspended and what a delete marker hides is as S3 has it; all of it outlives restarts and the index. Method: each rule by itself, and
//! random histories compared with a model of a few lines.

use std::collections::BTreeMap;

use crate::support::data::{self, Rng};
use crate::support::s3::{Call, Client, Keys, Response};
use crate::support::seed;
use crate::support::vault::Vault;

#[track_caller]
fn set(client: &Client, bucket: &str, status: &str) {
    let document = format!("<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>");
    let call = Call::new("PUT", bucket, "").query("versioning", "").body(document.as_bytes());
    client.send(&call).unwrap().expect_ok(status);
}

fn with_version<'a>(method: &'a str, key: &str, version: &str) -> Call<'a> {
    Call::new(method, "bkt", key).query("versionId", version)
}

/// The version that an answer names.
#[track_caller]
fn name(answer: &Response) -> String {
    answer.header("x-amz-version-id").unwrap_or_else(|| panic!("no version: {:?}", answer.headers)).to_owned()
}

fn versioned(vault: &str) -> (Vault, Client) {
    let vault = Vault::start_new(vault);
    let client = vault.client();
    client.create_bucket("bkt");
    set(&client, "bkt", "Enabled");
    (vault, client)
}

/// A version or delete marker as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listed {
    key: String,
    version: String,
    latest: bool,
    marker: bool,
}

/// All versions, in pages; by key, and of each key in the order of the listing.
fn list(client: &Client, page: usize) -> Vec<Listed> {
    let mut all = Vec::new();
    let mut after = (String::new(), String::new());
    loop {
        let mut call = Call::new("GET", "bkt", "").query("versions", "").query("max-keys", page);
        if !after.0.is_empty() {
            call = call.query("key-marker", &after.0).query("version-id-marker", &after.1);
        }
        let answer = client.send(&call).unwrap().expect_ok("versions");
        let mut found = Vec::new();
        for (element, marker) in [("Version", false), ("DeleteMarker", true)] {
            for body in answer.xml_all(element) {
                let one = Response { body: body.into_bytes(), ..answer.clone() };
                let text = |tag: &str| one.xml(tag).unwrap_or_else(|| panic!("no {tag} in {}", one.text()));
                found.push(Listed {
                    key: text("Key"),
                    version: text("VersionId"),
                    latest: text("IsLatest") == "true",
                    marker,
                });
            }
        }
        assert!(found.len() <= page);
        all.extend(found);
        if answer.xml("IsTruncated").as_deref() != Some("true") {
            break;
        }
        after = (answer.xml("NextKeyMarker").unwrap(), answer.xml("NextVersionIdMarker").unwrap_or_default());
    }
    all.sort_by(|left, right| left.key.cmp(&right.key));
    all
}

/// T10: puts, copies and completions name the version they made, also of keys that end in `/`, and each version can be read by its name.
#[test]
fn t10_answers_name_the_version_that_was_made() {
    let (mut vault, client) = versioned("T10VERSIONS");
    let mut made: Vec<(String, String, Vec<u8>)> = Vec::new();
    for key in ["k", "folder/"] {
        for round in 0..3_u8 {
            let body = data::random(round.into(), 1000 + usize::from(round));
            made.push((key.to_owned(), name(&client.put("bkt", key, &body)), body));
        }
        let (_, source, body) = made[made.len() - 3].clone();
        let from = format!("/bkt/{key}?versionId={source}");
        let copy =
            client.send(&Call::new("PUT", "bkt", "copy").header("x-amz-copy-source", from)).unwrap().expect_ok("copy");
        assert_eq!(copy.header("x-amz-copy-source-version-id"), Some(source.as_str()));
        made.push(("copy".to_owned(), name(&copy), body));
        let upload = client.create_upload("bkt", key);
        let etag = client.upload_part("bkt", key, &upload, 1, b"a part");
        let done = client.complete("bkt", key, &upload, &[(1, etag)]).expect_ok("complete");
        made.push((key.to_owned(), name(&done), b"a part".to_vec()));
    }
    for _ in 0..2 {
        let client = vault.client();
        for (key, version, body) in &made {
            let got = client.send(&with_version("GET", key, version)).unwrap().expect_ok(key);
            assert!(got.body == *body && name(&got) == *version, "{key} {version}");
            assert_eq!(name(&client.send(&with_version("HEAD", key, version)).unwrap()), *version);
        }
        assert_eq!(client.get("bkt", "k"), b"a part");
        assert_eq!(list(&client, 3).len(), made.len());
        vault.kill();
        std::fs::remove_dir_all(vault.index()).unwrap();
        vault.start();
    }
    let client = vault.client();
    let absent = client.send(&with_version("GET", "k", &"0".repeat(32))).unwrap();
    absent.expect_error("a version that is not there", 404, "NoSuchVersion");
    client.send(&with_version("GET", "k", "nonsense")).unwrap().expect_error("no name", 400, "InvalidArgument");
    client.send(&with_version("GET", "k", "null")).unwrap().expect_error("no null", 404, "NoSuchVersion");
}

/// A delete marker hides the object and its folder (T7), is named, and goes as it came.
#[test]
fn delete_markers_hide_and_can_be_deleted() {
    let (_vault, client) = versioned("MARKERS");
    let first = name(&client.put("bkt", "dir/k", b"first"));
    let gone = client.delete("bkt", "dir/k");
    assert_eq!(gone.header("x-amz-delete-marker"), Some("true"));
    let marker = name(&gone);
    for method in ["GET", "HEAD"] {
        let hidden = client.send(&Call::new(method, "bkt", "dir/k")).unwrap();
        assert_eq!((hidden.status, hidden.header("x-amz-delete-marker")), (404, Some("true")), "{method}");
        assert_eq!(name(&hidden), marker, "{method}");
        let named = client.send(&with_version(method, "dir/k", &marker)).unwrap();
        assert_eq!((named.status, named.header("allow")), (405, Some("DELETE")), "{method}");
        assert_eq!(named.header("x-amz-delete-marker"), Some("true"), "{method}");
    }
    assert!(client.list("bkt", "", 10).is_empty());
    let rolled = client.send(&Call::new("GET", "bkt", "").query("list-type", 2).query("delimiter", "/")).unwrap();
    assert!(!rolled.expect_ok("list").text().contains("CommonPrefixes"), "a folder of delete markers only");
    let versions = list(&client, 1000);
    let is = |listed: &Listed| (listed.version.clone(), listed.latest, listed.marker);
    assert_eq!(
        versions.iter().map(is).collect::<Vec<_>>(),
        [(first.clone(), false, false), (marker.clone(), true, true)]
    );
    let from = format!("/bkt/dir/k?versionId={marker}");
    let copy = client.send(&Call::new("PUT", "bkt", "copy").header("x-amz-copy-source", from)).unwrap();
    copy.expect_error("a copy of a delete marker", 400, "InvalidRequest");
    // To create where a marker is counts as creating where nothing is.
    let create = Call::new("PUT", "bkt", "dir/k").body(b"second").header("if-none-match", "*");
    let second = name(&client.send(&create).unwrap().expect_ok("create over a marker"));
    client.send(&create).unwrap().expect_error("again", 412, "PreconditionFailed");
    client.send(&with_version("DELETE", "dir/k", &second)).unwrap().expect_ok("the second");
    let undone = client.send(&with_version("DELETE", "dir/k", &marker)).unwrap().expect_ok("the marker");
    assert_eq!((undone.header("x-amz-delete-marker"), name(&undone)), (Some("true"), marker));
    assert_eq!(client.get("bkt", "dir/k"), b"first", "undeleted");
    // The story: a marker under a key that XML cannot carry spoilt every listing of versions.
    let spoiling = client.send(&Call::raw("DELETE", "bkt", "a%01b")).unwrap();
    spoiling.expect_error("a marker that could not be listed", 400, "InvalidArgument");
    assert_eq!(list(&client, 1000).len(), 1);
    // An absent key is marked as well, as by S3.
    let marked = client.delete("bkt", "absent");
    client.send(&Call::new("DELETE", "bkt", "")).unwrap().expect_error("versions are there", 409, "BucketNotEmpty");
    let objects: String = [("dir/k", &first), ("absent", &name(&marked))]
        .iter()
        .map(|(key, version)| format!("<Object><Key>{key}</Key><VersionId>{version}</VersionId></Object>"))
        .collect();
    let document = format!("<Delete>{objects}</Delete>");
    let call = Call::new("POST", "bkt", "").query("delete", "").body(document.as_bytes());
    let answer = client.send(&call).unwrap().expect_ok("delete versions");
    assert_eq!(answer.xml_all("VersionId"), [first, name(&marked)]);
    assert_eq!(answer.xml_all("DeleteMarkerVersionId"), [name(&marked)]);
    client.send(&Call::new("DELETE", "bkt", "")).unwrap().expect_ok("nothing is left");
}

/// What was there before versions were kept is `null`; where they are suspended, puts and deletes replace it and nothing else.
#[test]
fn suspended_buckets_replace_the_version_null() {
    let vault = Vault::start_new("SUSPENDED");
    let client = vault.client();
    client.create_bucket("bkt");
    let state = || client.send(&Call::new("GET", "bkt", "").query("versioning", "")).unwrap().xml("Status");
    assert_eq!(state(), None);
    assert_eq!(client.put("bkt", "k", b"before").header("x-amz-version-id"), None);
    set(&client, "bkt", "Enabled");
    assert_eq!(state().as_deref(), Some("Enabled"));
    assert_eq!(name(&client.send(&Call::new("GET", "bkt", "k")).unwrap()), "null");
    let kept = name(&client.put("bkt", "k", b"kept"));
    assert_eq!(client.send(&with_version("GET", "k", "null")).unwrap().body, b"before");
    set(&client, "bkt", "Suspended");
    assert_eq!(state().as_deref(), Some("Suspended"));
    assert_eq!(name(&client.put("bkt", "k", b"after")), "null");
    assert_eq!(client.get("bkt", "k"), b"after");
    assert_eq!(client.send(&with_version("GET", "k", "null")).unwrap().body, b"after", "`before` was replaced");
    let versions = |client: &Client| list(client, 2).into_iter().map(|listed| listed.version).collect::<Vec<_>>();
    assert_eq!(versions(&client), ["null".to_owned(), kept.clone()]);
    let gone = client.delete("bkt", "k");
    assert_eq!((name(&gone).as_str(), gone.header("x-amz-delete-marker")), ("null", Some("true")));
    assert_eq!(versions(&client), [kept.clone(), "null".to_owned()], "the marker took the place of `after`");
    assert_eq!(client.send(&with_version("GET", "k", &kept)).unwrap().body, b"kept");
    client.send(&with_version("DELETE", "k", "null")).unwrap().expect_ok("the marker");
    assert_eq!(client.get("bkt", "k"), b"kept");
    for document in
        ["<VersioningConfiguration/>", "<VersioningConfiguration><Status>Off</Status></VersioningConfiguration>"]
    {
        let call = Call::new("PUT", "bkt", "").query("versioning", "").body(document.as_bytes());
        let refused = client.send(&call).unwrap();
        assert_eq!(refused.status, 400, "{document}: {}", refused.text());
    }
    assert_eq!(state().as_deref(), Some("Suspended"));
}

/// Only root decides whether versions are kept; the rest asks the rights of what it does.
#[test]
fn versions_ask_for_rights() {
    let (vault, client) = versioned("VERSIONRIGHTS");
    let version = name(&client.put("bkt", "k", b"x"));
    for (right, reads, lists, deletes) in [
        ("read", true, false, false),
        ("list", false, true, false),
        ("delete", false, false, true),
        ("write", false, false, false),
    ] {
        let made =
            vault.cli_json(&["access-key", "create", "--tenant", "default", "--allow", right, "--bucket", "bkt"]);
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        let own =
            Client { port: vault.s3_port(), keys: Keys { access: text("access_key"), secret: text("secret_key") } };
        let suspend = b"<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>";
        let call = Call::new("PUT", "bkt", "").query("versioning", "").body(suspend);
        own.send(&call).unwrap().expect_error(right, 403, "AccessDenied");
        for (call, allowed) in [
            (with_version("GET", "k", &version), reads),
            (Call::new("GET", "bkt", "").query("versions", ""), lists),
            (with_version("DELETE", "absent", &version), deletes),
        ] {
            let answer = own.send(&call).unwrap();
            assert_eq!(answer.ok(), allowed, "{right}: {} {:?}: {}", call.method, call.query, answer.text());
            assert!(allowed || answer.status == 403, "{right}");
        }
    }
    assert_eq!(client.get("bkt", "k"), b"x");
}

/// Versions of a key, by name; a delete marker has no content.
type History = Vec<(String, Option<Vec<u8>>)>;

/// What a bucket should hold: of each key its versions from the oldest to the newest.
#[derive(Default)]
struct Model {
    keys: BTreeMap<String, History>,
    state: &'static str,
}

impl Model {
    fn add(&mut self, key: &str, version: &str, content: Option<Vec<u8>>) {
        let versions = self.keys.entry(key.to_owned()).or_default();
        if self.state != "Enabled" {
            versions.retain(|(name, _)| name != "null");
        }
        versions.push((version.to_owned(), content));
    }

    #[track_caller]
    fn check(&self, client: &Client, page: usize) {
        let mut expected = Vec::new();
        for (key, versions) in &self.keys {
            for (at, (version, content)) in versions.iter().enumerate().rev() {
                let (latest, marker) = (at + 1 == versions.len(), content.is_none());
                expected.push(Listed { key: key.clone(), version: version.clone(), latest, marker });
            }
        }
        // Markers and versions come in lists of their own, so only their order among themselves is told.
        let apart = |all: &[Listed]| {
            let (markers, versions): (Vec<_>, Vec<_>) = all.iter().cloned().partition(|listed| listed.marker);
            (markers, versions)
        };
        assert_eq!(apart(&list(client, page)), apart(&expected), "pages of {page}");
        let shown = |(key, versions): (&String, &History)| {
            versions.last().and_then(|(_, content)| content.as_ref()).map(|_| key.clone())
        };
        assert_eq!(client.list("bkt", "", page), self.keys.iter().filter_map(shown).collect::<Vec<_>>());
        for (key, versions) in &self.keys {
            for (version, content) in versions {
                let got = client.send(&with_version("GET", key, version)).unwrap();
                match content {
                    Some(content) => assert!(got.body == *content, "{key} {version}: {} {}", got.status, got.text()),
                    None => assert_eq!(got.status, 405, "{key} {version}"),
                }
            }
            let current = versions.last().and_then(|(_, content)| content.clone());
            let got = client.try_get("bkt", key).unwrap();
            assert_eq!(got.ok().then_some(got.body), current, "{key}");
        }
    }
}

#[test]
fn random_histories_are_those_of_the_model() {
    let mut rng = seed::rng("random_histories_are_those_of_the_model");
    let mut vault = Vault::start_new("VERSIONMODEL");
    vault.client().create_bucket("bkt");
    let mut model = Model { state: "Off", ..Model::default() };
    for step in 0..400 {
        let client = vault.client();
        let key = (*rng.pick(&["a", "a/b", "b", "ы"])).to_owned();
        match rng.below(20) {
            0 if step > 40 => {
                model.state = if model.state == "Enabled" { "Suspended" } else { "Enabled" };
                set(&client, "bkt", model.state);
            }
            1..=9 => put(&client, &mut model, &key, &mut rng),
            10..=13 => delete(&client, &mut model, &key),
            14..=18 => delete_version(&client, &mut model, &key, &mut rng),
            _ if step % 7 == 0 => {
                vault.kill();
                vault.start();
            }
            _ => model.check(&client, 1 + rng.below(5) as usize),
        }
    }
    model.check(&vault.client(), 1000);
    vault.stop();
    std::fs::remove_dir_all(vault.index()).unwrap();
    vault.start();
    model.check(&vault.client(), 1000);
    assert!(vault.cli(&["verify"]).status.success());
}

fn put(client: &Client, model: &mut Model, key: &str, rng: &mut Rng) {
    let body = data::random(rng.next(), rng.below(3000) as usize);
    let answer = client.put("bkt", key, &body);
    let version = answer.header("x-amz-version-id").map(str::to_owned);
    assert_eq!(version.is_none(), model.state == "Off");
    let version = version.unwrap_or_else(|| "null".to_owned());
    assert_eq!(version == "null", model.state != "Enabled");
    model.add(key, &version, Some(body));
}

fn delete(client: &Client, model: &mut Model, key: &str) {
    let answer = client.delete("bkt", key);
    if model.state == "Off" {
        model.keys.remove(key);
        assert_eq!(answer.header("x-amz-version-id"), None);
    } else {
        assert_eq!(answer.header("x-amz-delete-marker"), Some("true"));
        model.add(key, &name(&answer), None);
    }
}

fn delete_version(client: &Client, model: &mut Model, key: &str, rng: &mut Rng) {
    let Some(versions) = model.keys.get_mut(key) else { return };
    let (version, content) = versions.remove(rng.below(versions.len() as u64) as usize);
    if versions.is_empty() {
        model.keys.remove(key);
    }
    let answer = client.send(&with_version("DELETE", key, &version)).unwrap().expect_ok("delete a version");
    assert_eq!(answer.header("x-amz-delete-marker").is_some(), content.is_none());
}
