//! Goal (L-1, A-1): a full vault holds what is held, lets go what is due, and tells of both: holds, quotas, lifecycle and the audit trail find room
//! where data find none. Method: six small file systems filled until the first refusal; then acts of every kind; then a kill and a lost index.

use crate::full::{Small, is_full};
use crate::support::s3::{Call, Client};
use crate::support::seed;
use crate::support::vault::{Stored, wait_until};

const RULES: &str = "<LifecycleConfiguration><Rule><ID>past</ID><Filter><Prefix>old/</Prefix></Filter><Status>Enabled</Status>\
    <Expiration><Date>2001-01-01T00:00:00.000Z</Date></Expiration></Rule></LifecycleConfiguration>";

#[track_caller]
fn is_held(client: &Client) {
    let answer = client.send(&Call::new("DELETE", "bkt", "case/a")).unwrap();
    answer.expect_error("what a case holds", 403, "AccessDenied");
    assert_eq!(client.get("bkt", "case/a"), b"evidence");
}

#[test]
fn holds_rules_quotas_and_the_trail_go_on_in_a_full_vault() {
    let mut rng = seed::rng("holds_rules_quotas_and_the_trail_go_on_in_a_full_vault");
    let mut small = Small::start_with("FULLLOCKS", "[engine]\nlifecycle_every_s = 1\n");
    let client = small.vault.client();
    for (key, body) in [("case/a", b"evidence".as_slice()), ("old/a", b"old"), ("old/b", b"older")] {
        client.put("bkt", key, body).expect_ok(key);
    }
    let mut stored = Stored::default();
    is_full(&small.fill(&mut stored, "data", &mut rng, |rng| rng.range(1 << 20, 6 << 20)));

    small.vault.cli_json(&["hold", "place", "--case", "7", "--bucket", "bkt", "--prefix", "case/"]);
    is_held(&client);
    let call = Call::new("PUT", "bkt", "").query("lifecycle", "").body(RULES.as_bytes());
    client.send(&call).unwrap().expect_ok("rules");
    wait_until("what is due to go", || client.list("bkt", "old/", 1000).is_empty());
    small.vault.cli_json(&["bucket", "quota", "bkt", "--bytes", "1 KiB"]);
    let told = |kind: &str| {
        let told = small.vault.cli(&["audit", "list", "--kind", kind]);
        String::from_utf8(told.stdout).unwrap()
    };
    assert!(told("ExpireVersion").contains("bkt/old/b") && told("PlaceCaseHold").contains("bkt"));
    wait_until("the refusal to be told", || told("Denied").contains("case-hold"));

    small.vault.kill();
    std::fs::remove_dir_all(small.vault.index()).unwrap();
    small.vault.start();
    let client = small.vault.client();
    is_held(&client);
    stored.check(&client, "bkt");
    small.vault.cli_json(&["bucket", "quota", "bkt", "--none"]);
    is_full(&small.fill(&mut stored, "again", &mut rng, |_| 4 << 20));
    let verified = small.vault.cli_json(&["verify"]);
    assert_eq!(verified["damaged"].as_array().map(Vec::len), Some(0), "{verified}");
}
