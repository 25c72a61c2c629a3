//! Goal: files and streams of every size go through awscli with its default settings and come back byte for byte. Method:
//! `aws s3 cp` in all directions, around the threshold of multipart and of 64 MiB; `ls`, `rm`, and what is not there.

use std::fs::File;
use std::process::Stdio;

use crate::support::data;
use crate::support::seed;
use crate::support::vault::Vault;
use crate::user::User;

/// From this size on awscli uploads in parts of the same size.
const PART: usize = 8 << 20;

#[test]
fn files_of_all_sizes_come_back() {
    let mut rng = seed::rng("files_of_all_sizes_come_back");
    let vault = Vault::start_new("AWSFILES");
    files_come_back(&User::of(&vault), &mut rng);
}

/// Over TLS the same commands send framed bodies with trailing checksums and no length.
#[test]
fn files_of_all_sizes_come_back_over_tls() {
    let mut rng = seed::rng("files_of_all_sizes_come_back_over_tls");
    let (_vault, user) = User::over_tls("AWSTLS");
    files_come_back(&user, &mut rng);
}

fn files_come_back(user: &User, rng: &mut data::Rng) {
    user.run(&["s3", "mb", "s3://files"]);
    for len in [0, 1, 5_000, 300_001, PART - 1, PART, PART + 1] {
        let content = data::random(rng.next(), len);
        user.file("up", &content);
        let place = format!("s3://files/of/{len}");
        user.run(&["s3", "cp", "up", &place]);
        user.run(&["s3", "cp", &place, "down"]);
        assert!(user.read("down") == content, "{len} bytes through files");
        let streamed = user.aws(&["s3", "cp", &place, "-"]).output().unwrap();
        assert!(streamed.status.success() && streamed.stdout == content, "{len} bytes to standard output");
    }
    let listed = user.run(&["s3", "ls", "s3://files", "--recursive", "--summarize"]);
    assert!(listed.contains("Total Objects: 7"), "{listed}");
    let all = 5_000 + 300_001 + 1 + 3 * PART;
    assert!(listed.contains(&format!("Total Size: {all}")), "{all} bytes: {listed}");
}

#[test]
fn a_stream_of_unknown_length_comes_back() {
    let mut rng = seed::rng("a_stream_of_unknown_length_comes_back");
    let vault = Vault::start_new("AWSSTREAM");
    let user = User::of(&vault);
    user.run(&["s3", "mb", "s3://files"]);
    for len in [0, 777, 3 * PART + 12_345] {
        let content = data::random(rng.next(), len);
        let file = user.file("stream", &content);
        // Through a pipe: awscli cannot know how long it will be.
        user.shell("cat stream | aws s3 cp - s3://files/stream");
        let back = File::create(user.home().join("back")).unwrap();
        let fetched = user.aws(&["s3", "cp", "s3://files/stream", "-"]).stdout(back).stderr(Stdio::inherit()).status();
        assert!(fetched.unwrap().success(), "{len} bytes back");
        assert!(user.read("back") == content, "{len} bytes of {}", file.display());
    }
}

#[test]
fn sixty_four_mib_go_up_in_parts_and_come_back_in_ranges() {
    let mut rng = seed::rng("sixty_four_mib_go_up_in_parts_and_come_back_in_ranges");
    let vault = Vault::start_new("AWSBIG");
    let user = User::of(&vault);
    user.run(&["s3", "mb", "s3://files"]);
    let content = data::random(rng.next(), 64 << 20);
    user.file("big", &content);
    user.run(&["s3", "cp", "big", "s3://files/big", "--only-show-errors"]);
    let head = user.json(&["s3api", "head-object", "--bucket", "files", "--key", "big"]);
    assert_eq!(head["ContentLength"], 64 << 20, "{head}");
    assert!(head["ETag"].as_str().unwrap().trim_matches('"').ends_with("-8"), "eight parts of 8 MiB: {head}");
    user.run(&["s3", "cp", "s3://files/big", "back", "--only-show-errors"]);
    assert!(user.read("back") == content, "the file that came back differs");
    // The same bytes again, to a stream, under another name: nothing new on the disks but the names.
    let before = vault.metrics().stored();
    user.shell("cat big | aws s3 cp - s3://files/again");
    let added = vault.metrics().stored() - before;
    assert!(added < 1 << 20, "{added} bytes added by the same 64 MiB");
    assert!(vault.client().get("files", "again") == content);
}

#[test]
fn tls_is_spoken_with_a_certificate_the_user_trusts() {
    let mut rng = seed::rng("tls_is_spoken_with_a_certificate_the_user_trusts");
    let mut vault = Vault::prepare("AWSTLS");
    let folder = vault.folder().to_owned();
    let out = folder.to_str().unwrap();
    assert!(vault.command().args(["tls", "self-signed", "--out", out]).status().unwrap().success());
    let (cert, key) = (folder.join("tls.crt"), folder.join("tls.key"));
    vault.set_config(&format!("[s3]\ntls_cert = {cert:?}\ntls_key = {key:?}\n"));
    vault.start();
    let mut user = User::of(&vault);
    user.set("AWS_ENDPOINT_URL", format!("https://localhost:{}", vault.s3_port()));
    let stranger = user.aws(&["s3", "mb", "s3://files"]).output().unwrap();
    assert!(!stranger.status.success(), "a certificate that nobody trusts");
    user.set("AWS_CA_BUNDLE", cert.to_str().unwrap());
    user.run(&["s3", "mb", "s3://files"]);
    // Over TLS awscli signs no payload and sends its checksum behind it.
    for len in [0, 100_000, 2 * PART + 7] {
        let content = data::random(rng.next(), len);
        user.file("up", &content);
        user.run(&["s3", "cp", "up", "s3://files/k"]);
        user.shell("cat up | aws s3 cp - s3://files/streamed");
        for place in ["s3://files/k", "s3://files/streamed"] {
            user.run(&["s3", "cp", place, "down"]);
            assert!(user.read("down") == content, "{len} bytes from {place}");
        }
    }
}

#[test]
fn objects_are_copied_and_moved_within_the_vault() {
    let mut rng = seed::rng("objects_are_copied_and_moved_within_the_vault");
    let vault = Vault::start_new("AWSCOPY");
    let user = User::of(&vault);
    user.run(&["s3", "mb", "s3://one"]);
    user.run(&["s3", "mb", "s3://two"]);
    // The larger one is copied as parts by range.
    let (small, large) = (data::random(rng.next(), 70_001), data::random(rng.next(), 2 * PART + 5));
    user.file("small", &small);
    user.file("large", &large);
    for name in ["small", "large"] {
        user.run(&["s3", "cp", name, &format!("s3://one/{name}")]);
        user.run(&["s3", "cp", &format!("s3://one/{name}"), &format!("s3://two/copy of {name}")]);
        user.run(&["s3", "mv", &format!("s3://one/{name}"), &format!("s3://two/moved/{name}")]);
    }
    assert_eq!(user.run(&["s3", "ls", "s3://one", "--recursive"]), "");
    user.run(&["s3", "sync", "s3://two/moved", "s3://one/synced"]);
    let client = vault.client();
    for (name, content) in [("small", &small), ("large", &large)] {
        assert!(client.get("two", &format!("copy of {name}")) == *content, "copy of {name}");
        assert!(client.get("two", &format!("moved/{name}")) == *content, "moved/{name}");
        assert!(client.get("one", &format!("synced/{name}")) == *content, "synced/{name}");
    }
}

#[test]
fn listings_and_removals_say_what_is_there() {
    let vault = Vault::start_new("AWSLS");
    let user = User::of(&vault);
    user.run(&["s3", "mb", "s3://one"]);
    user.run(&["s3", "mb", "s3://two"]);
    let client = vault.client();
    for key in ["a/1", "a/2", "a/b/3", "ab/4", "a b/5", "a+b/6", "a", "top"] {
        client.put("one", key, key.as_bytes());
    }
    let buckets = user.run(&["s3", "ls"]);
    assert_eq!(names(&buckets), ["one", "two"]);
    let top = user.run(&["s3", "ls", "s3://one"]);
    for line in ["PRE a/", "PRE a b/", "PRE a+b/", "PRE ab/"] {
        assert!(top.contains(line), "no {line:?} in {top}");
    }
    assert_eq!(names(&user.run(&["s3", "ls", "s3://one/a/", "--recursive"])), ["a/1", "a/2", "a/b/3"]);
    user.run(&["s3", "rm", "--recursive", "s3://one/a/"]);
    assert_eq!(client.list("one", "", 1000), ["a", "a b/5", "a+b/6", "ab/4", "top"]);
    user.run(&["s3", "rm", "s3://one/a b/5"]);
    assert_eq!(client.list("one", "a", 1000), ["a", "a+b/6", "ab/4"]);
    user.fails(&["s3", "rb", "s3://one"], &["BucketNotEmpty"]);
    user.run(&["s3", "rm", "--recursive", "s3://one"]);
    assert!(client.list("one", "", 1000).is_empty());
    user.run(&["s3", "rb", "s3://one"]);
    assert_eq!(names(&user.run(&["s3", "ls"])), ["two"]);

    user.fails(&["s3", "ls", "s3://one"], &["NoSuchBucket"]);
    user.fails(&["s3", "cp", "s3://two/nothing", "nothing"], &["404"]);
    user.file("f", b"f");
    user.fails(&["s3", "cp", "f", "s3://one/f"], &["NoSuchBucket"]);
    assert!(!user.home().join("nothing").exists(), "a failed download leaves no file");
}

/// Last words of the lines of a listing: dates and sizes stand before them.
fn names(listing: &str) -> Vec<&str> {
    listing.lines().filter_map(|line| line.rsplit(' ').next()).collect()
}
