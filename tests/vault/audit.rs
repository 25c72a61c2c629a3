//! Goal: whatever is done through the real binary is in the audit trail, refusals too, and whatever is done to an exported trail is
//! found: by `audit verify`, and by a script that was written from docs/audit.md in another language. Method: acts over S3 and by command, an
//! export beside a server and without one, and forgeries of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::s3::{Call, Client};
use crate::support::vault::Vault;
use crate::tenants::key;

const BUCKET: &str = "ledger";

/// Files of an audit, in the vault's folder.
struct Files<'a> {
    vault: &'a Vault,
}

impl Files<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.vault.folder().join(name)
    }

    /// Runs a command that writes this file.
    #[track_caller]
    fn written(&self, command: &[&str], name: &str) -> PathBuf {
        let path = self.path(name);
        let _ = std::fs::remove_file(&path);
        let text = path.to_str().unwrap().to_owned();
        let output = self.vault.cli(&[command, &["--output", &text]].concat());
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        path
    }

    /// The public key, in a file.
    fn key(&self) -> PathBuf {
        let path = self.path("vault.pub");
        std::fs::write(&path, self.vault.cli(&["audit", "key"]).stdout).unwrap();
        path
    }
}

/// `audit verify`, which opens no vault: its exit code and what it found.
fn verify(vault: &Vault, export: &Path, notes: &[&Path], key: &Path) -> (i32, Value) {
    let mut command = vault.command();
    command.args(["audit", "verify", "--json", "--key"]).arg(key).arg(export);
    for note in notes {
        command.arg("--checkpoint").arg(note);
    }
    found(&command.output().unwrap())
}

fn found(output: &Output) -> (i32, Value) {
    let code = output.status.code().expect("an exit code");
    assert!(code < 2, "{}", String::from_utf8_lossy(&output.stderr));
    (code, serde_json::from_slice(&output.stdout).unwrap())
}

/// The auditor's own script.
fn script(export: &Path, note: &Path, key: &Path) -> (bool, String) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vault/audit.py");
    let output = Command::new("python3").arg("-B").arg(script).args([export, note, key]).output().expect("python3");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

fn lines_of(export: &Path) -> Vec<String> {
    std::fs::read_to_string(export).unwrap().lines().map(str::to_owned).collect()
}

fn save(path: &Path, lines: &[String]) {
    std::fs::write(path, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
}

fn entries(lines: &[String]) -> Vec<Value> {
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[track_caller]
fn send(client: &Client, call: &Call<'_>) {
    let answer = client.send(call).unwrap();
    assert!(answer.ok(), "{}", answer.text());
}

/// One act of many kinds.
fn act(vault: &Vault) {
    let client = vault.client();
    let create = Call::new("PUT", BUCKET, "").header("x-amz-bucket-object-lock-enabled", "true");
    send(&client, &create);
    client.create_bucket("plain");
    client.put("plain", "k \"quoted\" я", b"one").expect_ok("put");
    client.put("plain", "k \"quoted\" я", b"two").expect_ok("overwrite");
    client.delete("plain", "k \"quoted\" я");
    let put = Call::new("PUT", BUCKET, "january").body(b"locked").header("x-amz-object-lock-legal-hold", "ON");
    let version = client.send(&put).unwrap().expect_ok("a held put").header("x-amz-version-id").unwrap().to_owned();
    let delete = Call::new("DELETE", BUCKET, "january").query("versionId", &version);
    client.send(&delete).unwrap().expect_error("a held version", 403, "AccessDenied");
    let upload = client.create_upload(BUCKET, "big");
    let etag = client.upload_part(BUCKET, "big", &upload, 1, b"a part");
    client.complete(BUCKET, "big", &upload, &[(1, etag)]).expect_ok("an upload");
    vault.cli_json(&["hold", "place", "--case", "2026/77", "--bucket", "plain", "--prefix", "p/"]);
    vault.cli_json(&["tenant", "create", "accounting"]);
    key(vault, "accounting", &["a*"], "read");
}

#[test]
fn what_was_done_is_exported_and_what_is_done_to_the_export_is_found() {
    let mut vault = Vault::start_new("AUDIT");
    act(&vault);
    let early = Files { vault: &vault }.written(&["audit", "checkpoint"], "early.note");
    vault.client().put("plain", "later", b"x").expect_ok("put");
    // Refusals are written within seconds; at the latest with the end.
    vault.stop();
    let files = Files { vault: &vault };
    let offline = lines_of(&files.written(&["audit", "export"], "offline.jsonl"));
    vault.start();
    let files = Files { vault: &vault };
    let export = files.written(&["audit", "export"], "trail.jsonl");
    let (note, key) = (files.written(&["audit", "checkpoint"], "late.note"), files.key());
    let lines = lines_of(&export);
    assert_eq!(lines[..offline.len()], offline, "a trail only grows");
    told(&vault, &lines);
    let (code, said) = verify(&vault, &export, &[&early, &note], &key);
    assert_eq!(
        (code, said["problem"].as_str(), said["entries"].as_u64()),
        (0, None, Some(lines.len() as u64)),
        "{said}"
    );
    assert!(said["signed"].as_u64() == Some(lines.len() as u64) && script(&export, &note, &key).0, "{said}");
    forgeries(&vault, &lines, &note, &key);
    proofs(&vault, &export, (&early, &note), &key);
    let listed = vault.cli(&["audit", "list", "--bucket", "plain", "--kind", "VersionPut"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert_eq!(listed.lines().count(), 4, "{listed}");
    let denied = vault.cli(&["audit", "list", "--denied", "--json"]);
    assert!(String::from_utf8(denied.stdout).unwrap().contains("legal-hold"));
}

/// Everything that was done, and nothing secret.
fn told(vault: &Vault, lines: &[String]) {
    let entries = entries(lines);
    let kinds: Vec<&str> = entries.iter().filter_map(|entry| entry["kind"].as_str()).collect();
    for kind in [
        "EpochStarted",
        "BucketCreated",
        "VersionPut",
        "VersionRemoved",
        "UploadCreated",
        "PartPut",
        "UploadEnded",
        "CaseHoldPlaced",
        "TenantSet",
        "CredentialSet",
        "GrantSet",
        "Audit",
    ] {
        assert!(kinds.contains(&kind), "no {kind} in {kinds:?}");
    }
    let actions: Vec<&str> = entries.iter().filter_map(|entry| entry["action"].as_str()).collect();
    for action in [
        "CreateBucket",
        "OverwriteVersion",
        "DeleteVersion",
        "PlaceCaseHold",
        "CreateTenant",
        "CreateAccessKey",
        "Denied",
    ] {
        assert!(actions.contains(&action), "no {action} in {actions:?}");
    }
    let put = entries.iter().find(|entry| entry["kind"] == "VersionPut").unwrap();
    assert_eq!((put["key"].as_str(), put["actor"].as_str()), (Some("k \"quoted\" я"), Some(&*vault.keys().access)));
    assert!(put["address"].as_str().unwrap().starts_with("127.0.0.1:"), "{put}");
    assert!(!lines.concat().contains(&vault.keys().secret), "the root secret is in the trail");
}

/// Every kind of forgery is named, by the binary and by the script.
fn forgeries(vault: &Vault, lines: &[String], note: &Path, key: &Path) {
    let forged = vault.folder().join("forged.jsonl");
    let at = lines.iter().position(|line| line.contains("\"kind\":\"VersionRemoved\"")).expect("a removal");
    let check = |what: &str, lines: Vec<String>, named: &str| {
        save(&forged, &lines);
        let (code, said) = verify(vault, &forged, &[note], key);
        let problem = said["problem"].as_str().unwrap_or_default().to_owned();
        assert!(code == 1 && problem.contains(named), "{what}: {said}");
        let (fits, text) = script(&forged, note, key);
        assert!(!fits, "{what}: {text}");
    };
    let with = |change: &dyn Fn(&mut Vec<String>)| {
        let mut lines = lines.to_vec();
        change(&mut lines);
        lines
    };
    let entry = format!("entry {at}");
    check("one byte", with(&|lines| lines[at] = lines[at].replacen("\"bucket\":", "\"bucket\":1", 1)), &entry);
    check("removed", with(&|lines| drop(lines.remove(at))), &entry);
    check("swapped", with(&|lines| lines.swap(at, at + 1)), &entry);
    check("cut", with(&|lines| lines.truncate(at)), "cut");
    check("twice", with(&|lines| lines.insert(at, lines[at].clone())), &format!("entry {}", at + 1));
    let anew = with(&|lines| {
        let mut tree = kovcheg_format::audit::AuditTree::default();
        for (n, line) in lines.iter_mut().enumerate() {
            let mut text = kovcheg_format::audit::split_line(line).unwrap().0;
            if n == at {
                text = text.replacen("\"key\":\"k", "\"key\":\"x", 1);
            }
            tree.append(&text);
            *line = kovcheg_format::audit::export_line(&text, tree.chain);
        }
    });
    check("made anew", anew, "not those that the audit checkpoint signed");
    // A note that nobody signed, and a key that is another's.
    let unsigned = vault.folder().join("unsigned.note");
    std::fs::write(&unsigned, std::fs::read_to_string(note).unwrap().replacen("lsn ", "lsn 1", 1)).unwrap();
    save(&forged, lines);
    let output = vault
        .command()
        .args(["audit", "verify", "--key"])
        .arg(key)
        .arg("--checkpoint")
        .arg(&unsigned)
        .arg(&forged)
        .output();
    let output = output.unwrap();
    let told = String::from_utf8_lossy(&output.stderr).to_string();
    assert!(output.status.code() == Some(2) && told.contains("not signed"), "{told}");
    assert!(!script(&forged, &unsigned, key).0);
}

/// Proofs from an export hold against the notes, and against nothing else.
fn proofs(vault: &Vault, export: &Path, (early, late): (&Path, &Path), key: &Path) {
    let size = |note: &Path| std::fs::read_to_string(note).unwrap().lines().nth(1).unwrap().to_owned();
    let (old, new) = (size(early), size(late));
    let proof = vault.folder().join("proof.json");
    let prove = |arguments: &[&str]| {
        let output = vault.command().args(["audit", "prove"]).arg(export).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let verify = |bytes: &[u8], notes: &[&Path]| {
        std::fs::write(&proof, bytes).unwrap();
        let mut command = vault.command();
        command.args(["audit", "verify", "--json", "--key"]).arg(key).arg("--proof").arg(&proof);
        for note in notes {
            command.arg("--checkpoint").arg(note);
        }
        found(&command.output().unwrap()).0
    };
    let inclusion = prove(&["--entry", "3", "--size", &new]);
    assert_eq!(verify(&inclusion, &[late]), 0);
    let consistency = prove(&["--from", &old, "--size", &new]);
    assert_eq!(verify(&consistency, &[early, late]), 0);
    let other = String::from_utf8(inclusion).unwrap().replacen("kind", "kinb", 1);
    assert_eq!(verify(other.as_bytes(), &[late]), 1);
    let mut path: Value = serde_json::from_slice(&consistency).unwrap();
    path["path"][0] = Value::String("00".repeat(32));
    assert_eq!(verify(path.to_string().as_bytes(), &[early, late]), 1);
}

/// The trail comes from the journal: a lost index changes nothing of it, and one whose tree was edited is told.
#[test]
fn the_trail_is_the_journals_and_survives_a_kill_and_a_lost_index() {
    let mut vault = Vault::start_new("AUDITINDEX");
    act(&vault);
    let files = Files { vault: &vault };
    let (before, note, key) = (
        lines_of(&files.written(&["audit", "export"], "a.jsonl")),
        files.written(&["audit", "checkpoint"], "a.note"),
        files.key(),
    );
    vault.kill();
    std::fs::remove_dir_all(vault.index()).unwrap();
    vault.start();
    let files = Files { vault: &vault };
    let after = files.written(&["audit", "export"], "b.jsonl");
    assert_eq!(lines_of(&after)[..before.len()], before);
    assert_eq!(verify(&vault, &after, &[&note], &key).0, 0);
    // A file is never overwritten, and half of one is not left behind.
    let again = vault.cli(&["audit", "export", "--output", after.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(2), "{}", String::from_utf8_lossy(&again.stderr));
    assert_eq!(lines_of(&after)[..before.len()], before);
}
