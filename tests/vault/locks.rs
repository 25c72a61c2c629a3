//! Goal (L-1): through the real binary nobody removes or alters what is locked: not the root key, not a key that may bypass, not by a put, a
//! copy, an upload or a delete of many, not after a kill, a restart or a rebuilt index; and what S3 allows is allowed. Method: every operation
//! of Object Lock over S3, as the requests of backup tools have them.

use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::commands::code_of;
use crate::support::s3::{Call, Client, Response};
use crate::support::vault::{Vault, wait_until};
use crate::tenants::key;

const BUCKET: &str = "held";

/// A date some seconds ahead, as clients write it.
fn ahead(seconds: u64) -> String {
    let whole = OffsetDateTime::from(SystemTime::now() + Duration::from_secs(seconds)).replace_nanosecond(0).unwrap();
    whole.format(&Rfc3339).unwrap()
}

const DAY: u64 = 24 * 3600;

fn locked_vault(name: &str) -> (Vault, Client) {
    let vault = Vault::start_new(name);
    let client = vault.client();
    create_locked(&client, BUCKET);
    (vault, client)
}

#[track_caller]
fn create_locked(client: &Client, bucket: &str) {
    let call = Call::new("PUT", bucket, "").header("x-amz-bucket-object-lock-enabled", "true");
    client.send(&call).unwrap().expect_ok("a bucket with Object Lock");
}

fn lock_header(mode: &str, until: &str) -> [(String, String); 2] {
    [
        ("x-amz-object-lock-mode".to_owned(), mode.to_owned()),
        ("x-amz-object-lock-retain-until-date".to_owned(), until.to_owned()),
    ]
}

/// Puts a version and answers its name.
#[track_caller]
fn put(client: &Client, object: &str, body: &[u8], headers: &[(String, String)]) -> String {
    let mut call = Call::new("PUT", BUCKET, object).body(body);
    call.headers.extend_from_slice(headers);
    let answer = client.send(&call).unwrap().expect_ok("put");
    answer.header("x-amz-version-id").expect("a version").to_owned()
}

fn of_version<'a>(method: &'a str, object: &str, version: &str) -> Call<'a> {
    Call::new(method, BUCKET, object).query("versionId", version)
}

fn set_retention(client: &Client, object: &str, version: &str, document: &str, bypass: bool) -> Response {
    let mut call = of_version("PUT", object, version).query("retention", "").body(document.as_bytes());
    if bypass {
        call = call.header("x-amz-bypass-governance-retention", "true");
    }
    client.send(&call).unwrap()
}

/// A retention document, without a namespace, as some tools write it (T11).
fn retention(mode: &str, until: &str) -> String {
    format!("<Retention><Mode>{mode}</Mode><RetainUntilDate>{until}</RetainUntilDate></Retention>")
}

fn set_hold(client: &Client, object: &str, version: &str, status: &str) -> Response {
    let document = format!("<LegalHold><Status>{status}</Status></LegalHold>");
    client.send(&of_version("PUT", object, version).query("legal-hold", "").body(document.as_bytes())).unwrap()
}

fn delete(client: &Client, object: &str, version: &str, bypass: bool) -> Response {
    let mut call = of_version("DELETE", object, version);
    if bypass {
        call = call.header("x-amz-bypass-governance-retention", "true");
    }
    client.send(&call).unwrap()
}

/// T9: a COMPLIANCE version cannot be deleted, shortened, made GOVERNANCE, or replaced; while a new put to its key makes a new version.
#[test]
fn t09_a_compliance_version_stays_whatever_is_tried() {
    let (mut vault, client) = locked_vault("T09");
    let until = ahead(30 * DAY);
    let version = put(&client, "ledger", b"the only copy", &lock_header("COMPLIANCE", &until));
    let attacks = |client: &Client| {
        for bypass in [false, true] {
            delete(client, "ledger", &version, bypass).expect_error("delete", 403, "AccessDenied");
            for document in [
                retention("COMPLIANCE", &ahead(29 * DAY)),
                retention("GOVERNANCE", &ahead(60 * DAY)),
                "<Retention/>".to_owned(),
            ] {
                let answer = set_retention(client, "ledger", &version, &document, bypass);
                answer.expect_error(&document, 403, "AccessDenied");
            }
        }
        let many = format!("<Delete><Object><Key>ledger</Key><VersionId>{version}</VersionId></Object></Delete>");
        let call = Call::new("POST", BUCKET, "").query("delete", "").body(many.as_bytes());
        let answer = client.send(&call.header("x-amz-bypass-governance-retention", "true")).unwrap().expect_ok("many");
        assert_eq!(answer.xml("Code").as_deref(), Some("AccessDenied"), "{}", answer.text());
        let suspend = b"<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>";
        let answer = client.send(&Call::new("PUT", BUCKET, "").query("versioning", "").body(suspend)).unwrap();
        answer.expect_error("suspending versions", 409, "InvalidBucketState");
        client.send(&Call::new("DELETE", BUCKET, "")).unwrap().expect_error("its bucket", 409, "BucketNotEmpty");
        // Puts, copies, uploads and delete markers go on top.
        put(client, "ledger", b"newer", &[]);
        let copy = Call::new("PUT", BUCKET, "ledger").header("x-amz-copy-source", "/held/ledger");
        client.send(&copy.header("x-amz-metadata-directive", "REPLACE")).unwrap().expect_ok("a copy on top");
        let upload = client.create_upload(BUCKET, "ledger");
        let etag = client.upload_part(BUCKET, "ledger", &upload, 1, b"by upload");
        client.complete(BUCKET, "ledger", &upload, &[(1, etag)]).expect_ok("an upload on top");
        client.delete(BUCKET, "ledger");
        let kept = client.send(&of_version("GET", "ledger", &version)).unwrap().expect_ok("read");
        assert_eq!(kept.body, b"the only copy");
        assert_eq!(kept.header("x-amz-object-lock-mode"), Some("COMPLIANCE"));
        let shown = kept.header("x-amz-object-lock-retain-until-date").expect("a date");
        assert_eq!(OffsetDateTime::parse(shown, &Rfc3339).unwrap(), OffsetDateTime::parse(&until, &Rfc3339).unwrap());
    };
    attacks(&client);
    vault.kill();
    std::fs::remove_dir_all(vault.index()).unwrap();
    vault.start();
    attacks(&vault.client());
    // Extended it can be.
    let longer = retention("COMPLIANCE", &ahead(31 * DAY));
    set_retention(&vault.client(), "ledger", &version, &longer, false).expect_ok("extended");
    let refused = vault.log();
    assert!(!refused.contains("panicked"), "{refused}");
}

/// T11: with Object Lock and without a rule the configuration is shown, without Object Lock it is 404.
#[test]
fn t11_the_configuration_of_object_lock_is_told_apart_from_none() {
    let (_vault, client) = locked_vault("T11");
    let ask = |bucket: &str| client.send(&Call::new("GET", bucket, "").query("object-lock", "")).unwrap();
    let configure = |bucket: &str, document: &str| {
        client.send(&Call::new("PUT", bucket, "").query("object-lock", "").body(document.as_bytes())).unwrap()
    };
    let bare = ask(BUCKET).expect_ok("no rule");
    assert_eq!(bare.xml("ObjectLockEnabled").as_deref(), Some("Enabled"));
    assert!(!bare.text().contains("Rule"), "{}", bare.text());
    let rule = |body: &str| {
        format!(
            "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>{body}\
             </DefaultRetention></Rule></ObjectLockConfiguration>"
        )
    };
    configure(BUCKET, &rule("<Mode>GOVERNANCE</Mode><Days>3</Days>")).expect_ok("a rule");
    let shown = ask(BUCKET).expect_ok("a rule");
    assert_eq!((shown.xml("Mode").as_deref(), shown.xml("Days").as_deref()), (Some("GOVERNANCE"), Some("3")));
    let version = put(&client, "by-default", b"x", &[]);
    let head = client.send(&of_version("HEAD", "by-default", &version)).unwrap();
    assert_eq!(head.header("x-amz-object-lock-mode"), Some("GOVERNANCE"));
    for (wrong, status, code) in [
        (rule("<Mode>GOVERNANCE</Mode>"), 400, "MalformedXML"),
        (rule("<Mode>GOVERNANCE</Mode><Days>1</Days><Years>1</Years>"), 400, "MalformedXML"),
        (rule("<Mode>NONE</Mode><Days>1</Days>"), 400, "MalformedXML"),
        (rule("<Days>1</Days>"), 400, "MalformedXML"),
        (rule("<Mode>COMPLIANCE</Mode><Days>0</Days>"), 400, "InvalidArgument"),
        (rule("<Mode>COMPLIANCE</Mode><Days>-1</Days>"), 400, "InvalidArgument"),
        (rule("<Mode>COMPLIANCE</Mode><Years>101</Years>"), 400, "InvalidArgument"),
        ("<ObjectLockConfiguration/>".to_owned(), 400, "MalformedXML"),
    ] {
        configure(BUCKET, &wrong).expect_error(&wrong, status, code);
    }
    assert_eq!(ask(BUCKET).xml("Days").as_deref(), Some("3"), "nothing wrong changed it");
    // A bucket without it: an error, not an empty configuration; and locks are refused there.
    client.create_bucket("plain");
    ask("plain").expect_error("no Object Lock", 404, "ObjectLockConfigurationNotFoundError");
    let mut call = Call::new("PUT", "plain", "k").body(b"x");
    call.headers.extend(lock_header("COMPLIANCE", &ahead(DAY)));
    client.send(&call).unwrap().expect_error("a lock in it", 400, "InvalidRequest");
    assert_eq!(client.try_get("plain", "k").unwrap().status, 404, "nothing was stored");
    configure("plain", &rule("<Mode>GOVERNANCE</Mode><Days>3</Days>")).expect_error(
        "unversioned",
        409,
        "InvalidBucketState",
    );
    let enable = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    client.send(&Call::new("PUT", "plain", "").query("versioning", "").body(enable)).unwrap().expect_ok("versions");
    configure("plain", &rule("<Mode>COMPLIANCE</Mode><Years>1</Years>"))
        .expect_ok("a rule for a bucket that was there");
}

/// Retention and holds over S3, as they are set, shown, extended, bypassed and lifted.
#[test]
fn retention_and_holds_do_what_s3_says() {
    let (mut vault, client) = locked_vault("RETENTION");
    let version = put(&client, "k", b"x", &[]);
    let ask = |client: &Client, what: &str| client.send(&of_version("GET", "k", &version).query(what, "")).unwrap();
    ask(&client, "retention").expect_error("none", 404, "NoSuchObjectLockConfiguration");
    assert_eq!(ask(&client, "legal-hold").expect_ok("hold").xml("Status").as_deref(), Some("OFF"));
    set_retention(&client, "k", &version, &retention("GOVERNANCE", &ahead(DAY)), false).expect_ok("governance");
    assert_eq!(ask(&client, "retention").expect_ok("set").xml("Mode").as_deref(), Some("GOVERNANCE"));
    delete(&client, "k", &version, false).expect_error("locked", 403, "AccessDenied");
    let shorter = retention("GOVERNANCE", &ahead(DAY / 2));
    set_retention(&client, "k", &version, &shorter, false).expect_error("shorter", 403, "AccessDenied");
    set_retention(&client, "k", &version, &shorter, true).expect_ok("shorter, bypassed");
    set_retention(&client, "k", &version, &retention("COMPLIANCE", &ahead(12)), true).expect_ok("twelve seconds");
    set_hold(&client, "k", &version, "ON").expect_ok("a hold");
    let refusal = delete(&client, "k", &version, true);
    refusal.expect_error("locked and held", 403, "AccessDenied");
    for reason in ["compliance-retention", "legal-hold"] {
        assert!(refusal.text().contains(reason), "{}", refusal.text());
    }
    vault.restart();
    let client = vault.client();
    let head = client.send(&of_version("HEAD", "k", &version)).unwrap();
    assert_eq!(head.header("x-amz-object-lock-legal-hold"), Some("ON"));
    wait_until("the date to pass", || {
        let held = delete(&client, "k", &version, true);
        held.expect_error("held", 403, "AccessDenied");
        !held.text().contains("compliance-retention")
    });
    set_hold(&client, "k", &version, "OFF").expect_ok("lifted");
    assert_eq!(delete(&client, "k", &version, false).status, 204);
    for (document, status, code) in [
        (retention("GOVERNANCE", "2001-01-01T00:00:00Z"), 400, "InvalidArgument"),
        (retention("GOVERNANCE", "9999-01-01T00:00:00Z"), 400, "InvalidArgument"),
        (retention("governance", &ahead(DAY)), 400, "MalformedXML"),
        ("<Retention><Mode>GOVERNANCE</Mode></Retention>".to_owned(), 400, "MalformedXML"),
        (retention("GOVERNANCE", "tomorrow"), 400, "MalformedXML"),
    ] {
        let version = put(&client, "wrong", b"x", &[]);
        set_retention(&client, "wrong", &version, &document, true).expect_error(&document, status, code);
    }
}

/// The locks that an upload asks for are those of its object; headers that lock nothing are refused.
#[test]
fn uploads_and_copies_carry_their_locks() {
    let (_vault, client) = locked_vault("UPLOADLOCK");
    let until = ahead(DAY);
    let mut call = Call::new("POST", BUCKET, "big").query("uploads", "").header("x-amz-object-lock-legal-hold", "ON");
    call.headers.extend(lock_header("COMPLIANCE", &until));
    let upload = client.send(&call).unwrap().expect_ok("create").xml("UploadId").unwrap();
    let etag = client.upload_part(BUCKET, "big", &upload, 1, b"part");
    let done = client.complete(BUCKET, "big", &upload, &[(1, etag)]).expect_ok("complete");
    let version = done.header("x-amz-version-id").unwrap().to_owned();
    let head = client.send(&of_version("HEAD", "big", &version)).unwrap();
    assert_eq!(
        (head.header("x-amz-object-lock-mode"), head.header("x-amz-object-lock-legal-hold")),
        (Some("COMPLIANCE"), Some("ON"))
    );
    let mut copy = Call::new("PUT", BUCKET, "copy").header("x-amz-copy-source", "/held/big");
    copy.headers.extend(lock_header("GOVERNANCE", &until));
    let copied = client.send(&copy).unwrap().expect_ok("copy").header("x-amz-version-id").unwrap().to_owned();
    let head = client.send(&of_version("HEAD", "copy", &copied)).unwrap();
    assert_eq!(
        (head.header("x-amz-object-lock-mode"), head.header("x-amz-object-lock-legal-hold")),
        (Some("GOVERNANCE"), None)
    );
    for (what, mut call, status, code) in [
        (
            "a mode without a date",
            Call::new("PUT", BUCKET, "n").body(b"x").header("x-amz-object-lock-mode", "COMPLIANCE"),
            400,
            "InvalidArgument",
        ),
        (
            "a lock of a part",
            Call::new("PUT", BUCKET, "n").query("partNumber", 1).query("uploadId", &upload).body(b"x"),
            400,
            "InvalidRequest",
        ),
        (
            "a token",
            Call::new("PUT", BUCKET, "n").body(b"x").header("x-amz-bucket-object-lock-token", "t"),
            400,
            "InvalidRequest",
        ),
    ] {
        if what == "a lock of a part" {
            call.headers.extend(lock_header("COMPLIANCE", &until));
        }
        client.send(&call).unwrap().expect_error(what, status, code);
    }
    assert_eq!(client.try_get(BUCKET, "n").unwrap().status, 404, "nothing was stored");
}

/// Who may what: locks are set by whoever writes, holds and bypass are rights of their own, the bucket's rule is the root key's.
#[test]
fn locks_ask_for_their_rights() {
    let (vault, root) = locked_vault("LOCKRIGHTS");
    let writer = key(&vault, "default", &[BUCKET], "read,write,delete,list").client;
    let holder = key(&vault, "default", &[BUCKET], "hold").client;
    let bypasser = key(&vault, "default", &[BUCKET], "delete,bypass").client;
    let version = put(&root, "k", b"x", &[]);
    set_retention(&writer, "k", &version, &retention("GOVERNANCE", &ahead(DAY)), false).expect_ok("by a writer");
    // The header counts for nothing without the right.
    let shorter = retention("GOVERNANCE", &ahead(DAY / 2));
    set_retention(&writer, "k", &version, &shorter, true).expect_error("shorter", 403, "AccessDenied");
    delete(&writer, "k", &version, true).expect_error("without the right", 403, "AccessDenied");
    set_hold(&writer, "k", &version, "ON").expect_error("a hold by a writer", 403, "AccessDenied");
    let held = Call::new("PUT", BUCKET, "h").body(b"x").header("x-amz-object-lock-legal-hold", "ON");
    writer.send(&held).unwrap().expect_error("a hold at put", 403, "AccessDenied");
    set_hold(&holder, "k", &version, "ON").expect_ok("by a holder");
    delete(&bypasser, "k", &version, true).expect_error("held", 403, "AccessDenied");
    set_hold(&holder, "k", &version, "OFF").expect_ok("lifted");
    delete(&holder, "k", &version, true).expect_error("by a holder", 403, "AccessDenied");
    let rule = b"<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>";
    for client in [&writer, &holder, &bypasser] {
        let answer = client.send(&Call::new("PUT", BUCKET, "").query("object-lock", "").body(rule)).unwrap();
        answer.expect_error("the rule", 403, "AccessDenied");
        client.send(&Call::new("GET", BUCKET, "").query("object-lock", "")).unwrap().expect_ok("shown to all");
    }
    delete(&bypasser, "k", &version, false).expect_error("not asked for", 403, "AccessDenied");
    assert_eq!(delete(&bypasser, "k", &version, true).status, 204);
}

/// The clock by which locks expire is shown, and accepted by nobody without the recovery kit.
#[test]
fn the_retention_clock_is_shown_and_guarded() {
    let (mut vault, _client) = locked_vault("CLOCK");
    let near = |clock: &serde_json::Value| {
        let ms = |name: &str| clock[name].as_u64().unwrap();
        assert!(ms("wall_ms").abs_diff(ms("time_ms")) < 600_000, "{clock}");
        assert_eq!(clock["disputed"], false, "{clock}");
    };
    near(&vault.cli_json(&["clock", "status", "--check"]));
    near(&vault.status()["retention_clock"]);
    let scraped = vault.metrics();
    assert!(scraped.names().contains(&"kovcheg_retention_clock_seconds"));
    let refused = vault.cli(&["clock", "accept", "--code", "AAAA-BBBB"]);
    assert_eq!(refused.status.code(), Some(2), "{}", String::from_utf8_lossy(&refused.stderr));
    let code = code_of(&vault);
    near(&vault.cli_json(&["clock", "accept", "--code", &code]));
    vault.stop();
    near(&vault.cli_json(&["clock", "status"]));
    near(&vault.cli_json(&["clock", "accept", "--code", &code]));
}
