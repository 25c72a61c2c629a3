//! Goal: a folder goes up by `aws s3 sync` and comes down the same, whatever its files are called. Method: a tree with
//! spaces, plus and percent signs, Cyrillic, emoji, empty and large files; synced both ways, changed, synced again.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::support::data;
use crate::support::seed;
use crate::support::shards;
use crate::support::vault::Vault;
use crate::user::User;

/// Names that some client, proxy or server has got wrong before.
const NAMES: [&str; 18] = [
    "plain",
    "empty",
    "with space",
    "a+b",
    "100%",
    "%41",
    "a%2Fb",
    "a&b=c;d",
    "what?",
    "#hash",
    "quote'and\"quote",
    "<tag>&amp;",
    "back\\slash",
    "деревня/дом",
    "e\u{301}-and-\u{e9}",
    "emoji-\u{1f5c4}",
    "deep/er/and/deeper/file.tar.gz",
    "~tilde (1) [x] {y} @!$,:",
];

fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let name = |path: &Path| path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
    shards::files(folder).iter().map(|path| (name(path), fs::read(path).unwrap())).collect()
}

#[track_caller]
fn assert_same(left: &BTreeMap<String, Vec<u8>>, right: &BTreeMap<String, Vec<u8>>) {
    assert_eq!(left.keys().collect::<Vec<_>>(), right.keys().collect::<Vec<_>>());
    for (name, content) in left {
        assert!(*content == right[name], "{name:?} differs");
    }
}

#[test]
fn o02_a_tree_goes_up_and_comes_down() {
    let mut rng = seed::rng("o02_a_tree_goes_up_and_comes_down");
    let vault = Vault::start_new("AWSSYNC");
    let user = User::of(&vault);
    user.run(&["s3", "mb", "s3://trees"]);
    for name in NAMES {
        let len = if name == "empty" { 0 } else { rng.range(1, 200_000) };
        user.file(&format!("src/{name}"), &data::random(rng.next(), len as usize));
    }
    user.file("src/large", &data::random(rng.next(), 9 << 20));
    user.run(&["s3", "sync", "src", "s3://trees/t", "--only-show-errors"]);
    let mut there = vault.client().list("trees", "t/", 5);
    there.sort();
    let here = tree(&user.home().join("src"));
    assert_eq!(there, here.keys().map(|name| format!("t/{name}")).collect::<Vec<_>>());
    user.run(&["s3", "sync", "s3://trees/t", "down", "--only-show-errors"]);
    assert_same(&here, &tree(&user.home().join("down")));

    // Nothing changed: nothing is done, in either direction.
    assert_eq!(user.run(&["s3", "sync", "src", "s3://trees/t", "--delete"]), "");
    assert_eq!(user.run(&["s3", "sync", "s3://trees/t", "down", "--delete"]), "");

    // One file changed, one gone, one new.
    let changed = user.file("src/a+b", b"changed");
    let later = SystemTime::now() + Duration::from_secs(5);
    fs::File::options().write(true).open(changed).unwrap().set_modified(later).unwrap();
    fs::remove_file(user.home().join("src/100%")).unwrap();
    user.file("src/new one", b"new");
    let told = user.run(&["s3", "sync", "src", "s3://trees/t", "--delete", "--no-progress"]);
    assert_eq!(told.lines().filter(|line| line.starts_with("upload:")).count(), 2, "{told}");
    assert_eq!(told.lines().filter(|line| line.starts_with("delete:")).count(), 1, "{told}");
    user.run(&["s3", "sync", "s3://trees/t", "down", "--delete", "--exact-timestamps", "--only-show-errors"]);
    assert_same(&tree(&user.home().join("src")), &tree(&user.home().join("down")));

    user.run(&["s3", "rm", "--recursive", "s3://trees", "--only-show-errors"]);
    assert!(vault.client().list("trees", "", 1000).is_empty(), "rm --recursive leaves nothing behind");
}

/// awscli keeps a connection on which it got a final answer where it waited for `100 Continue`, takes the next answer on it for
/// another, and waits for more until the server hangs up: a tree with an empty file took a minute, or failed with 'ETag'. An
/// empty body is asked for by nobody, so such an answer must end its connection.
#[test]
fn an_empty_file_does_not_spoil_the_connection() {
    let vault = Vault::start_new("AWSEMPTY");
    let user = User::of(&vault);
    user.run(&["configure", "set", "default.s3.max_concurrent_requests", "1"]);
    user.run(&["s3", "mb", "s3://trees"]);
    for name in ["a", "b-empty", "c", "d-empty", "e-empty", "f"] {
        user.file(&format!("src/{name}"), if name.ends_with("empty") { b"" } else { b"content" });
    }
    let output = user.aws(&["s3", "sync", "src", "s3://trees", "--debug"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("NOT sending request body"),
        "awscli no longer asks before an empty body: this tests nothing"
    );
    let spoilt = said.lines().find(|line| line.contains("Failed to parse headers"));
    assert_eq!(spoilt, None, "an answer was taken for another");
    // An error before the body is such an answer too.
    user.fails(&["s3", "sync", "src", "s3://nowhere"], &["NoSuchBucket"]);
    assert_eq!(vault.client().list("trees", "", 10).len(), 6);
}
