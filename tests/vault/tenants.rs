//! Goal: an access key does in the buckets of its tenant what was granted to it, and nothing else, whatever it asks for; the root key
//! does everything; keys and tenants outlive a restart and the index, and a key that is disabled or deleted is refused at once. Method:
//! keys made with the CLI beside a server and without one; every operation with every right alone, and across tenants.

use crate::support::s3::{Call, Client, Keys, Mode, Response};
use crate::support::vault::Vault;

/// An access key that was made.
pub(crate) struct Made {
    pub(crate) client: Client,
    id: String,
    secret: String,
}

/// Makes an access key with the CLI.
#[track_caller]
pub(crate) fn key(vault: &Vault, tenant: &str, buckets: &[&str], rights: &str) -> Made {
    let mut command = vec!["access-key", "create", "--tenant", tenant, "--allow", rights];
    command.extend(buckets.iter().flat_map(|bucket| ["--bucket", bucket]));
    let made = vault.cli_json(&command);
    let text = |name: &str| made[name].as_str().expect("a text").to_owned();
    let (id, secret) = (text("access_key"), text("secret_key"));
    Made { client: client(vault, &id, &secret), id, secret }
}

fn client(vault: &Vault, id: &str, secret: &str) -> Client {
    Client { port: vault.s3_port(), keys: Keys { access: id.to_owned(), secret: secret.to_owned() } }
}

const RIGHTS: [&str; 4] = ["read", "write", "delete", "list"];

/// Requests about bucket `dumps`, each with the right it needs; empty where any will do.
fn requests(upload: &str) -> Vec<(&'static str, &'static str, Call<'static>)> {
    let put = |bucket: &str, key: &str| Call::new("PUT", bucket, key).body(b"new").mode(Mode::Unsigned);
    vec![
        ("get", "read", Call::new("GET", "dumps", "object")),
        ("head", "read", Call::new("HEAD", "dumps", "object")),
        ("put", "write", put("dumps", "mine")),
        ("copy", "read write", Call::new("PUT", "dumps", "copy").header("x-amz-copy-source", "/dumps/object")),
        ("start an upload", "write", Call::new("POST", "dumps", "big").query("uploads", "")),
        ("part", "write", put("dumps", "parts").query("partNumber", 1).query("uploadId", upload)),
        ("list", "list", Call::new("GET", "dumps", "").query("list-type", 2)),
        ("list, old", "list", Call::new("GET", "dumps", "")),
        ("list uploads", "list", Call::new("GET", "dumps", "").query("uploads", "")),
        ("list parts", "list", Call::new("GET", "dumps", "parts").query("uploadId", upload)),
        ("head bucket", "", Call::new("HEAD", "dumps", "")),
        ("location", "", Call::new("GET", "dumps", "").query("location", "")),
        ("delete", "delete", Call::new("DELETE", "dumps", "spare")),
        (
            "delete many",
            "delete",
            Call::new("POST", "dumps", "")
                .query("delete", "")
                .body(b"<Delete><Object><Key>spare</Key></Object></Delete>")
                .mode(Mode::Signed),
        ),
    ]
}

#[track_caller]
fn send(client: &Client, call: &Call<'_>, what: &str) -> Response {
    client.send(call).unwrap_or_else(|error| panic!("{what}: {error}"))
}

#[test]
fn a_key_does_what_was_granted_and_nothing_else() {
    let vault = Vault::start_new("GRANTS");
    let root = vault.client();
    for bucket in ["dumps", "out", "dumps-2"] {
        root.create_bucket(bucket);
        root.put(bucket, "object", b"content");
    }
    let upload = root.create_upload("dumps", "parts");
    for granted in RIGHTS.iter().copied().chain(["read,write", "write,list,delete"]) {
        let key = key(&vault, "default", &["dumps"], granted);
        root.put("dumps", "spare", b"x");
        for (what, needed, call) in requests(&upload) {
            let answer = send(&key.client, &call, what);
            let allowed = needed.split_whitespace().all(|right| granted.split(',').any(|has| has == right));
            if allowed {
                assert!(answer.ok(), "{granted}: {what}: {} {}", answer.status, answer.text());
            } else if call.method == "HEAD" {
                assert_eq!(answer.status, 403, "{granted}: {what}");
            } else {
                answer.expect_error(&format!("{granted}: {what}"), 403, "AccessDenied");
            }
        }
        // The neighbours whose names begin alike, and all others.
        for bucket in ["dumps-2", "out", "absent"] {
            let answer = send(&key.client, &Call::new("GET", bucket, "object"), bucket);
            answer.expect_error(bucket, 403, "AccessDenied");
        }
        let listed = send(&key.client, &Call::new("GET", "", ""), "buckets").expect_ok("ListBuckets");
        assert_eq!(listed.xml_all("Name"), ["dumps"], "{granted}");
    }
    assert_eq!(root.get("dumps", "object"), b"content");
    assert_eq!(root.get("out", "object"), b"content");
}

#[test]
fn tenants_do_not_see_each_other_and_outlive_the_index() {
    let mut vault = Vault::start_new("TENANTS");
    for name in ["bank", "shop"] {
        let tenant = vault.cli_json(&["tenant", "create", name]);
        assert_eq!(tenant["name"], name);
    }
    let (bank, shop) =
        (key(&vault, "bank", &["*"], "read,write,delete,list"), key(&vault, "shop", &["*"], "read,write,delete,list"));
    bank.client.create_bucket("ledger");
    bank.client.put("ledger", "day", b"of the bank");
    for (what, _, call) in [
        ("get", "", Call::new("GET", "ledger", "day")),
        ("put", "", Call::new("PUT", "ledger", "day").body(b"forged").mode(Mode::Unsigned)),
        ("delete", "", Call::new("DELETE", "ledger", "day")),
        ("list", "", Call::new("GET", "ledger", "").query("list-type", 2)),
        ("delete bucket", "", Call::new("DELETE", "ledger", "")),
    ] {
        send(&shop.client, &call, what).expect_error(what, 403, "AccessDenied");
    }
    send(&shop.client, &Call::new("PUT", "ledger", ""), "its name").expect_error("taken", 409, "BucketAlreadyExists");
    shop.client.create_bucket("stock");
    let copy = Call::new("PUT", "stock", "stolen").header("x-amz-copy-source", "/ledger/day");
    send(&shop.client, &copy, "copy").expect_error("copy", 403, "AccessDenied");
    let buckets = |client: &Client| send(client, &Call::new("GET", "", ""), "buckets").xml_all("Name");
    assert_eq!((buckets(&bank.client), buckets(&shop.client)), (vec!["ledger".to_owned()], vec!["stock".to_owned()]));
    assert_eq!(buckets(&vault.client()), ["ledger", "stock"], "root sees all");
    assert_eq!(vault.client().get("ledger", "day"), b"of the bank");

    vault.stop();
    let named = |found: serde_json::Value| -> Vec<String> {
        found.as_array().unwrap().iter().map(|tenant| tenant["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(named(vault.cli_json(&["tenant", "list"])), ["default", "bank", "shop"]);
    let late = key(&vault, "bank", &["ledger"], "read");
    std::fs::remove_dir_all(vault.index()).unwrap();
    for disk in [1, 4] {
        std::fs::rename(vault.disk(disk), vault.folder().join(format!("gone{disk}"))).unwrap();
    }
    vault.start();
    for made in [&bank, &late] {
        assert_eq!(client(&vault, &made.id, &made.secret).get("ledger", "day"), b"of the bank");
    }
    let shop = client(&vault, &shop.id, &shop.secret);
    send(&shop, &Call::new("GET", "ledger", "day"), "get").expect_error("another life", 403, "AccessDenied");
}

#[test]
fn a_key_that_is_disabled_or_deleted_is_refused_at_once() {
    let vault = Vault::start_new("KEYLIFE");
    vault.client().create_bucket("dumps");
    let made = key(&vault, "default", &["dumps"], "write");
    let put = || send(&made.client, &Call::new("PUT", "dumps", "object").body(b"x").mode(Mode::Unsigned), "put");
    assert!(put().ok());
    vault.cli_json(&["access-key", "disable", &made.id]);
    put().expect_error("disabled", 403, "InvalidAccessKeyId");
    vault.cli_json(&["access-key", "enable", &made.id]);
    assert!(put().ok());
    vault.cli_json(&["access-key", "delete", &made.id]);
    put().expect_error("deleted", 403, "InvalidAccessKeyId");
    let listed = vault.cli_json(&["access-key", "list"]);
    let ids: Vec<&str> = listed.as_array().unwrap().iter().map(|key| key["access_key"].as_str().unwrap()).collect();
    assert_eq!(ids, [vault.keys().access.as_str()], "only root is left");
    assert!(!listed.to_string().contains("secret"), "{listed}");
    for (command, words) in [
        (vec!["access-key", "disable", &made.id], "no access key"),
        (vec!["access-key", "delete", &vault.keys().access], "root key"),
        (vec!["access-key", "create", "--bucket", "dumps", "--allow", "everything"], "no right"),
        (vec!["access-key", "create", "--bucket", "I/N"], "no name of a bucket"),
        (vec!["access-key", "create", "--bucket", "dumps", "--tenant", "nobody"], "no tenant nobody"),
        (vec!["tenant", "create", "default"], "already"),
        (vec!["tenant", "create", "Not Plain"], "a-z"),
    ] {
        let refused = vault.cli(&command);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(2) && said.contains(words), "{command:?}: {said}");
    }
    assert!(!vault.log().contains(&made.secret), "the secret is in the log");
}
