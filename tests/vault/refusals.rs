//! Goal: a refusal is in the audit trail when its answer arrives. Method: the real binary, killed the moment each answer is there; then
//! its trail.

use crate::support::s3::{Call, Client, Keys, http};
use crate::support::vault::Vault;

const BUCKET: &str = "held";

/// What is refused for which reason.
type Attempt<'a> = (&'a str, &'a dyn Fn(&Client));

/// Entries of refusals for this reason, in words of the trail.
fn told(vault: &Vault, reason: &str) -> usize {
    let output = vault.cli(&["audit", "list", "--kind", "Denied"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().filter(|line| line.contains(reason)).count()
}

#[test]
fn a_refusal_is_in_the_trail_when_its_answer_comes() {
    let mut vault = Vault::start_new("REFUSALS");
    let client = vault.client();
    let create = Call::new("PUT", BUCKET, "").header("x-amz-bucket-object-lock-enabled", "true");
    client.send(&create).unwrap().expect_ok("a bucket with locks");
    client.create_bucket("small");
    vault.cli_json(&["bucket", "quota", "small", "--bytes", "1 KiB"]);
    let locked = Call::new("PUT", BUCKET, "ledger")
        .body(b"the only copy")
        .header("x-amz-object-lock-mode", "COMPLIANCE")
        .header("x-amz-object-lock-retain-until-date", "2090-01-01T00:00:00Z");
    let version = client.send(&locked).unwrap().expect_ok("put").header("x-amz-version-id").unwrap().to_owned();
    let delete = || Call::new("DELETE", BUCKET, "ledger").query("versionId", &version);
    let many = format!("<Delete><Object><Key>ledger</Key><VersionId>{version}</VersionId></Object></Delete>");
    let attempts: [Attempt<'_>; 6] = [
        ("compliance-retention", &|client| {
            client.send(&delete()).unwrap().expect_error("locked", 403, "AccessDenied");
        }),
        ("compliance-retention", &|client| {
            let bypass = delete().header("x-amz-bypass-governance-retention", "true");
            client.send(&bypass).unwrap().expect_error("locked, bypassed", 403, "AccessDenied");
        }),
        ("compliance-retention", &|client| {
            let answer = client.send(&Call::new("POST", BUCKET, "").query("delete", "").body(many.as_bytes())).unwrap();
            assert_eq!(answer.xml("Code").as_deref(), Some("AccessDenied"), "{}", answer.text());
        }),
        ("QuotaExceeded", &|client| {
            let call = Call::new("PUT", "small", "k").body(&[1; 2000]);
            client.send(&call).unwrap().expect_error("beyond the quota", 403, "QuotaExceeded");
        }),
        ("SignatureDoesNotMatch", &|client| {
            let wrong = Keys { secret: "wrong".to_owned(), ..client.keys.clone() };
            let stranger = Client { keys: wrong, ..client.clone() };
            stranger.send(&Call::new("GET", BUCKET, "ledger")).unwrap().expect_error(
                "a wrong secret",
                403,
                "SignatureDoesNotMatch",
            );
        }),
        ("AccessDenied on GET", &|client| {
            http::plain_get(client.port, "/held/ledger").unwrap().expect_error("nobody", 403, "AccessDenied");
        }),
    ];
    for (reason, attempt) in attempts {
        let before = told(&vault, reason);
        attempt(&vault.client());
        vault.kill();
        vault.start();
        assert_eq!(told(&vault, reason), before + 1, "{reason}");
    }
}
