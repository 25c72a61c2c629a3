//! Goal: lifecycle rules are kept as S3 has them, and the worker of the running binary has go what is due by a date, and leaves what is locked, through
//! restarts too. Method: rules by XML; dates that have passed, since nobody waits for days; what counts in days is tested with clocks moved by hand
//! (storage/src/vault/tests/lifecycle.rs).

use crate::support::s3::{Call, Client, Response};
use crate::support::vault::{Vault, wait_until};
use crate::tenants::key;

const BUCKET: &str = "logs";

fn set(client: &Client, document: &str) -> Response {
    client.send(&Call::new("PUT", BUCKET, "").query("lifecycle", "").body(document.as_bytes())).unwrap()
}

fn ask(client: &Client) -> Response {
    client.send(&Call::new("GET", BUCKET, "").query("lifecycle", "")).unwrap()
}

fn rule(id: &str, filter: &str, action: &str) -> String {
    let status = "<Status>Enabled</Status>";
    format!(
        "<LifecycleConfiguration><Rule><ID>{id}</ID><Filter>{filter}</Filter>{status}{action}</Rule></LifecycleConfiguration>"
    )
}

const PASSED: &str = "<Expiration><Date>2001-01-01T00:00:00.000Z</Date></Expiration>";

#[test]
fn what_is_due_goes_and_what_is_locked_stays() {
    let mut vault = Vault::prepare("LIFECYCLE");
    vault.set_config("[engine]\nlifecycle_every_s = 1\n");
    vault.start();
    let client = vault.client();
    client.create_bucket(BUCKET);
    for object in ["old/a", "old/b", "new/a"] {
        client.put(BUCKET, object, object.as_bytes()).expect_ok(object);
    }
    vault.cli_json(&["hold", "place", "--case", "7", "--bucket", BUCKET, "--prefix", "old/b"]);
    ask(&client).expect_error("no rules", 404, "NoSuchLifecycleConfiguration");
    set(&client, &rule("past", "<Prefix>old/</Prefix>", PASSED)).expect_ok("rules");
    let shown = ask(&client).expect_ok("rules");
    assert_eq!((shown.xml("ID").as_deref(), shown.xml("Prefix").as_deref()), (Some("past"), Some("old/")));
    wait_until("what is due to go", || client.list(BUCKET, "", 1000) == ["new/a", "old/b"]);
    // Again after a kill, for what came meanwhile.
    vault.kill();
    vault.start();
    let client = vault.client();
    client.put(BUCKET, "old/c", b"c").expect_ok("put");
    wait_until("what came later to go", || client.list(BUCKET, "", 1000) == ["new/a", "old/b"]);
    assert_eq!(client.get(BUCKET, "old/b"), b"old/b");
    let told = vault.cli(&["audit", "list", "--kind", "ExpireVersion"]);
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("logs/old/a") && told.contains("lifecycle past"), "{told}");
    client.send(&Call::new("DELETE", BUCKET, "").query("lifecycle", "")).unwrap().expect_ok("no more rules");
    ask(&client).expect_error("no rules", 404, "NoSuchLifecycleConfiguration");
}

#[test]
fn rules_are_shown_as_they_were_set_and_mistakes_are_told() {
    let vault = Vault::start_new("LIFERULES");
    let client = vault.client();
    client.create_bucket(BUCKET);
    let and = "<And><Prefix>p/</Prefix><Tag><Key>a</Key><Value>b</Value></Tag><ObjectSizeGreaterThan>5</ObjectSizeGreaterThan></And>";
    let actions = "<Expiration><Days>30</Days></Expiration><NoncurrentVersionExpiration><NoncurrentDays>7</NoncurrentDays>\
        <NewerNoncurrentVersions>2</NewerNoncurrentVersions></NoncurrentVersionExpiration>\
        <Transition><Days>1</Days><StorageClass>GLACIER</StorageClass></Transition>";
    set(&client, &rule("all", and, actions)).expect_ok("rules");
    let shown = ask(&client).expect_ok("rules").text();
    for part in [
        "<Days>30</Days>",
        "<NoncurrentDays>7</NoncurrentDays>",
        "<NewerNoncurrentVersions>2<",
        "GLACIER",
        "<And>",
        "<Key>a</Key>",
        "Than>5<",
    ] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    // The old form, without a filter.
    let old = "<LifecycleConfiguration><Rule><Prefix>x/</Prefix><Status>Disabled</Status>\
        <AbortIncompleteMultipartUpload><DaysAfterInitiation>3</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule></LifecycleConfiguration>";
    set(&client, old).expect_ok("the old form");
    assert_eq!(ask(&client).expect_ok("rules").xml("DaysAfterInitiation").as_deref(), Some("3"));
    for (document, code) in [
        (rule("r", "", "<Expiration><Days>0</Days></Expiration>"), "InvalidArgument"),
        (rule("r", "", ""), "InvalidArgument"),
        (rule("r", "", "<Expiration><Date>2001-01-01T00:00:01.000Z</Date></Expiration>"), "InvalidArgument"),
        (
            rule(
                "r",
                "<Tag><Key>a</Key><Value>b</Value></Tag>",
                "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>",
            ),
            "InvalidArgument",
        ),
        (rule("r", "<Prefix>a</Prefix><Tag><Key>a</Key><Value>b</Value></Tag>", PASSED), "MalformedXML"),
        ("<LifecycleConfiguration/>".to_owned(), "MalformedXML"),
    ] {
        set(&client, &document).expect_error(&document, 400, code);
    }
    // Whoever may not decide over everything may not decide this.
    let tenant = key(&vault, "default", &["*"], "read,write,delete,list,hold,bypass").client;
    set(&tenant, &rule("r", "", PASSED)).expect_error("a tenant's key", 403, "AccessDenied");
    tenant.send(&Call::new("DELETE", BUCKET, "").query("lifecycle", "")).unwrap().expect_error(
        "a tenant's key",
        403,
        "AccessDenied",
    );
    ask(&tenant).expect_ok("may be read");
}
