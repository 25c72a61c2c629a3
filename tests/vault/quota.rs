//! Goal: a quota set from the command line holds against every S3 request, is told with its own error before the body is sent, survives kills and a
//! lost index, and what a bucket holds is shown. Method: the real binary.

use crate::support::s3::http::{self, Sink};
use crate::support::s3::{Call, Client, Mode};
use crate::support::vault::Vault;

const BUCKET: &str = "ledger";

#[track_caller]
fn no_room(client: &Client, call: &Call<'_>) {
    let answer = client.send(call).unwrap();
    answer.expect_error("beyond the quota", 403, "QuotaExceeded");
    assert!(answer.text().contains("quota"), "{}", answer.text());
}

fn shown(vault: &Vault) -> serde_json::Value {
    let listed = vault.cli_json(&["bucket", "list"]);
    listed.as_array().unwrap().iter().find(|bucket| bucket["name"] == BUCKET).expect("the bucket").clone()
}

#[test]
fn a_bucket_holds_what_its_quota_lets_it_hold() {
    let mut vault = Vault::start_new("QUOTA");
    let client = vault.client();
    client.create_bucket(BUCKET);
    client.create_bucket("free");
    client.put(BUCKET, "a", &[1; 60_000]).expect_ok("put");
    let set = vault.cli_json(&["bucket", "quota", BUCKET, "--bytes", "100 KiB"]);
    assert_eq!((set["quota_bytes"].as_u64(), set["bytes"].as_u64()), (Some(102_400), Some(60_000)));
    let body = vec![2; 50_000];
    let attacks = |client: &Client| {
        no_room(client, &Call::new("PUT", BUCKET, "b").body(&body));
        no_room(client, &Call::new("PUT", BUCKET, "b").header("x-amz-copy-source", "/ledger/a"));
        let upload = client.create_upload(BUCKET, "u");
        let part = Call::new("PUT", BUCKET, "u").query("partNumber", "1").query("uploadId", &upload).body(&body);
        no_room(client, &part);
        client.send(&Call::new("DELETE", BUCKET, "u").query("uploadId", &upload)).unwrap().expect_ok("abort");
        client.put(BUCKET, "a", &[3; 60_000]).expect_ok("in place of what is there");
        client.put("free", "b", &body).expect_ok("elsewhere");
    };
    attacks(&client);
    // Before the body: a client that waits to be told to go on hears it at once.
    let call = Call::new("PUT", BUCKET, "b").body(&body).mode(Mode::Unsigned).header("expect", "100-continue");
    let head = client.prepare(&call).head;
    let answer = http::exchange(client.port, &head, &mut |_| Ok(()), Sink::Keep).unwrap();
    answer.expect_error("before the body", 403, "QuotaExceeded");
    vault.kill();
    std::fs::remove_dir_all(vault.index()).unwrap();
    vault.start();
    attacks(&vault.client());
    let upload = vault.client().create_upload(BUCKET, "u");
    vault.client().upload_part(BUCKET, "u", &upload, 1, &[4; 40_000]);
    let found = shown(&vault);
    let of = |name: &str| found[name].as_u64();
    assert_eq!((of("versions"), of("bytes"), of("upload_bytes")), (Some(1), Some(60_000), Some(40_000)), "{found}");
    let text = String::from_utf8(vault.cli(&["bucket", "list"]).stdout).unwrap();
    assert!(text.contains("ledger") && text.contains("100.00 KiB") && text.contains("none"), "{text}");
    // Without a server too, and away again.
    vault.stop();
    vault.cli_json(&["bucket", "quota", BUCKET, "--none"]);
    vault.start();
    vault.client().put(BUCKET, "b", &body).expect_ok("without a quota");
    assert!(shown(&vault)["quota_bytes"].is_null());
    let told = String::from_utf8(vault.cli(&["audit", "list", "--kind", "SetQuota"]).stdout).unwrap();
    assert!(told.contains("102400 bytes") && told.contains("is none"), "{told}");
    for (wrong, code) in [(vec!["absent", "--none"], 2), (vec![BUCKET], 2), (vec![BUCKET, "--bytes", "much"], 2)] {
        let refused = vault.cli(&[vec!["bucket", "quota"], wrong.clone()].concat());
        assert_eq!(refused.status.code(), Some(code), "{wrong:?}: {}", String::from_utf8_lossy(&refused.stderr));
    }
}
