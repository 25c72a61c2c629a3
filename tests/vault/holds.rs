//! Goal (L-1, A-1): a case hold placed from the command line holds against every S3 request, the root key's included, beside a running server
//! and without one, and after a kill and a lost index; and operators see what is held. Method: the real binary.

use crate::support::s3::{Call, Client};
use crate::support::vault::Vault;

const BUCKET: &str = "ledger";

#[track_caller]
fn is_held(client: &Client, what: &str, call: &Call<'_>) {
    let answer = client.send(call).unwrap();
    answer.expect_error(what, 403, "AccessDenied");
    assert!(answer.text().contains("case-hold"), "{what}: {}", answer.text());
}

fn tagging(value: &str) -> String {
    format!("<Tagging><TagSet><Tag><Key>person</Key><Value>{value}</Value></Tag></TagSet></Tagging>")
}

/// Everything that could take away what lies under `2025/` or carries the tag.
#[track_caller]
fn attacks(client: &Client) {
    for key in ["2025/january", "mail"] {
        is_held(client, "put", &Call::new("PUT", BUCKET, key).body(b"other"));
        is_held(client, "copy", &Call::new("PUT", BUCKET, key).header("x-amz-copy-source", "/ledger/free"));
        is_held(client, "delete", &Call::new("DELETE", BUCKET, key));
        let bypass = Call::new("DELETE", BUCKET, key).header("x-amz-bypass-governance-retention", "true");
        is_held(client, "delete with bypass", &bypass);
        is_held(client, "delete of a version", &Call::new("DELETE", BUCKET, key).query("versionId", "null"));
        let many = format!("<Delete><Object><Key>{key}</Key></Object></Delete>");
        let call = Call::new("POST", BUCKET, "").query("delete", "").body(many.as_bytes());
        let answer = client.send(&call).unwrap().expect_ok("many");
        assert_eq!(answer.xml("Code").as_deref(), Some("AccessDenied"), "{}", answer.text());
        let upload = client.create_upload(BUCKET, key);
        let etag = client.upload_part(BUCKET, key, &upload, 1, b"by upload");
        let answer = client.try_complete(BUCKET, key, &upload, &[(1, etag)]).unwrap();
        assert!(answer.text().contains("AccessDenied"), "{}", answer.text());
        client.send(&Call::new("DELETE", BUCKET, key).query("uploadId", &upload)).unwrap().expect_ok("abort");
        assert_eq!(client.get(BUCKET, key), key.as_bytes());
    }
    is_held(client, "untagging", &Call::new("DELETE", BUCKET, "mail").query("tagging", ""));
    let other = tagging("petrov");
    is_held(client, "retagging", &Call::new("PUT", BUCKET, "mail").query("tagging", "").body(other.as_bytes()));
    client.put(BUCKET, "free", b"free").expect_ok("what is not held");
}

#[test]
fn what_a_case_holds_stays_for_every_key_and_through_every_restart() {
    let mut vault = Vault::start_new("HOLDS");
    let client = vault.client();
    client.create_bucket(BUCKET);
    for key in ["2025/january", "mail", "free"] {
        client.put(BUCKET, key, key.as_bytes()).expect_ok(key);
    }
    let call = tagging("ivanov");
    client.send(&Call::new("PUT", BUCKET, "mail").query("tagging", "").body(call.as_bytes())).unwrap().expect_ok("tag");
    // Beside the server, and without one.
    let placed = vault.cli_json(&["hold", "place", "--case", "2026/77", "--bucket", BUCKET, "--prefix", "2025/"]);
    assert_eq!((placed["scope"].as_str(), placed["prefix"].as_str()), (Some("prefix"), Some("2025/")));
    vault.stop();
    vault.cli_json(&[
        "hold",
        "place",
        "--case",
        "А40/2026",
        "--bucket",
        BUCKET,
        "--tag",
        "person=ivanov",
        "--note",
        "письмо",
    ]);
    vault.start();
    let client = vault.client();
    attacks(&client);
    vault.kill();
    std::fs::remove_dir_all(vault.index()).unwrap();
    vault.start();
    attacks(&vault.client());
    // What comes is held as well.
    let client = vault.client();
    client.put(BUCKET, "2025/later", b"later").expect_ok("a new object");
    is_held(&client, "delete of what came later", &Call::new("DELETE", BUCKET, "2025/later"));
    let listed = vault.cli_json(&["hold", "list", "--bucket", BUCKET]);
    let cases: Vec<&str> = listed.as_array().unwrap().iter().filter_map(|hold| hold["case"].as_str()).collect();
    assert_eq!(cases, ["2026/77", "А40/2026"]);
    let text = vault.cli(&["hold", "list"]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("2025/*") && text.contains("tag person=ivanov") && text.contains("письмо"), "{text}");
    assert_eq!(vault.cli_json(&["verify"])["damaged"].as_array().map(Vec::len), Some(0));
}

#[test]
fn a_held_bucket_stays_and_mistakes_are_told() {
    let vault = Vault::start_new("HOLDSBUCKET");
    let client = vault.client();
    client.create_bucket(BUCKET);
    vault.cli_json(&["hold", "place", "--case", "7", "--bucket", BUCKET]);
    is_held(&client, "the bucket", &Call::new("DELETE", BUCKET, ""));
    for (wrong, said) in [
        (vec!["--case", "7", "--bucket", "absent"], "absent"),
        (vec!["--case", " ", "--bucket", BUCKET], "number"),
        (vec!["--case", "7", "--bucket", BUCKET, "--key", "absent"], "version"),
        (vec!["--case", "7", "--bucket", BUCKET, "--key", "k", "--version", "12"], "32 hex digits"),
        (vec!["--case", "7", "--bucket", BUCKET, "--tag", "x"], "NAME=VALUE"),
    ] {
        let refused = vault.cli(&[vec!["hold", "place"], wrong].concat());
        let told = String::from_utf8_lossy(&refused.stderr).to_string();
        assert!(refused.status.code() == Some(2) && told.contains(said), "{said}: {told}");
    }
    assert_eq!(vault.cli_json(&["hold", "list"]).as_array().map(Vec::len), Some(1));
}
