//! Goal (K-1): no plaintext, key name, tag, secret or key byte lies on a data disk or in a log, raw, hex or base64; the
//! index folder has no key and no plaintext data. Method: known words planted everywhere a client or operator can put
//! them; every file searched. The search itself is shown to find a planted word.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use crate::support::data;
use crate::support::s3::Call;
use crate::support::shards;
use crate::support::vault::Vault;

const CONTENT: &str = "PLANTED-CONTENT-3f9c1d7e";
const KEY: &str = "PLANTED-KEYNAME-8a41be02";
const META: &str = "PLANTED-METADATA-77d0c9aa";
const TAG: &str = "PLANTED-TAG-VALUE-51e6f380";

/// The forms in which a secret would be found: raw, hex in both cases, and base64 at each of the three alignments.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![secret.to_vec(), hex::encode(secret).into_bytes(), hex::encode_upper(secret).into_bytes()];
    for shift in 0..3 {
        let padded = [vec![0; shift], secret.to_vec()].concat();
        for text in [STANDARD.encode(&padded), STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)] {
            // What depends on the neighbours is left out: the first group when shifted, the last always.
            let bytes = text.trim_end_matches('=').as_bytes();
            let core = &bytes[if shift == 0 { 0 } else { 4 }..bytes.len() / 4 * 4 - 4];
            forms.push(core.to_vec());
        }
    }
    forms.sort();
    forms.dedup();
    forms
}

fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    let first = needle.first()?;
    let mut from = 0;
    while let Some(at) = hay.get(from..)?.iter().position(|byte| byte == first) {
        let start = from + at;
        if hay[start..].starts_with(needle) {
            return Some(start);
        }
        from = start + 1;
    }
    None
}

/// Where any of the secrets stands in a file below `folder`.
fn leaks(folder: &Path, secrets: &[(&str, Vec<u8>)]) -> Vec<String> {
    let all: Vec<(&str, Vec<Vec<u8>>)> = secrets.iter().map(|(name, secret)| (*name, forms(secret))).collect();
    let mut found = Vec::new();
    for file in shards::files(folder) {
        let bytes = std::fs::read(&file).unwrap_or_default();
        let path = file.display();
        for (name, forms) in &all {
            let hit = forms.iter().find_map(|form| find(&bytes, form).map(|at| (at, form)));
            if let Some((at, form)) = hit {
                found.push(format!("{name} as {:?} at byte {at} of {path}", String::from_utf8_lossy(form)));
            }
            if forms.iter().any(|form| find(path.to_string().as_bytes(), form).is_some()) {
                found.push(format!("{name} in the name of {path}"));
            }
        }
    }
    found
}

fn plant(vault: &Vault) {
    let client = vault.client();
    client.create_bucket("bkt");
    let mut large = data::random(1, 3 << 20);
    for place in [0, 70_000, 1 << 20, large.len() - CONTENT.len()] {
        large[place..place + CONTENT.len()].copy_from_slice(CONTENT.as_bytes());
    }
    let compressible = format!("{CONTENT}\n").repeat(40_000).into_bytes();
    for (number, body) in [CONTENT.as_bytes(), &large, &compressible].into_iter().enumerate() {
        let key = format!("{KEY}/{number}");
        let put = Call::new("PUT", "bkt", &key).body(body);
        let put = put.header("x-amz-meta-planted", META).header("x-amz-tagging", format!("planted={TAG}"));
        client.send(&put).unwrap().expect_ok("put with metadata and tags");
    }
    let upload = client.create_upload("bkt", &format!("{KEY}/multipart"));
    let part = client.upload_part("bkt", &format!("{KEY}/multipart"), &upload, 1, &large);
    client.complete("bkt", &format!("{KEY}/multipart"), &upload, &[(1, part)]).expect_ok("complete");
    client.try_get("bkt", &format!("{KEY}/missing")).unwrap().expect_error("missing", 404, "NoSuchKey");
    client.try_put("nobucket", KEY, CONTENT.as_bytes()).unwrap().expect_error("no bucket", 404, "NoSuchBucket");
    client.delete("bkt", &format!("{KEY}/0"));
}

#[test]
fn nothing_known_is_found_on_disks_or_in_logs() {
    let mut vault = Vault::prepare("SECRETS");
    vault.set_env("RUST_LOG", "debug");
    vault.start();
    plant(&vault);
    vault.kill();
    vault.start();
    assert!(vault.client().get("bkt", &format!("{KEY}/1")).len() == 3 << 20);
    let verified = vault.cli(&["verify"]);
    assert!(verified.status.success());
    vault.stop();

    let root = std::fs::read(vault.key_file()).expect("the key file");
    assert!(root.len() >= 32, "a key file of {} bytes", root.len());
    let mut secrets =
        vec![("content", CONTENT.as_bytes().to_vec()), ("root secret", vault.keys().secret.as_bytes().to_vec())];
    secrets.extend(key_material(&root).into_iter().map(|key| ("root key", key)));
    let index = leaks(&vault.index(), &secrets);
    assert!(index.is_empty(), "the index folder: {index:#?}");
    secrets.extend([
        ("key name", KEY.as_bytes().to_vec()),
        ("metadata", META.as_bytes().to_vec()),
        ("tag", TAG.as_bytes().to_vec()),
    ]);
    for disk in vault.disks() {
        let found = leaks(&disk, &secrets);
        assert!(found.is_empty(), "on a disk: {found:#?}");
    }
    let logs = vault.folder().join("logs");
    std::fs::create_dir(&logs).unwrap();
    for (number, log) in vault.logs().iter().enumerate() {
        std::fs::copy(log, logs.join(number.to_string())).unwrap();
    }
    std::fs::write(logs.join("verify"), [verified.stdout, verified.stderr].concat()).unwrap();
    let found = leaks(&logs, &secrets);
    assert!(found.is_empty(), "in logs: {found:#?}");
}

/// The key itself out of its file: raw bytes, or the bytes of every hex or base64 word of a text.
fn key_material(file: &[u8]) -> Vec<Vec<u8>> {
    let Ok(text) = std::str::from_utf8(file) else { return file.windows(32).step_by(32).map(<[u8]>::to_vec).collect() };
    let mut keys = Vec::new();
    for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || "+/=_-".contains(c))) {
        let decoded =
            hex::decode(word).ok().or_else(|| STANDARD.decode(word).ok()).or_else(|| URL_SAFE_NO_PAD.decode(word).ok());
        keys.extend(decoded.filter(|key| key.len() >= 32));
    }
    assert!(!keys.is_empty(), "no key of 32 bytes in the text of the key file");
    keys
}

#[test]
fn secrets_files_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let vault = Vault::start_new("PRIVATE");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&vault.key_file()), 0o600, "the key file");
    assert_eq!(mode(&vault.data().join("admin.sock")), 0o600, "the admin socket");
    for entry in std::fs::read_dir(vault.data()).unwrap().flatten().filter(|entry| entry.path().is_file()) {
        assert_eq!(mode(&entry.path()) & 0o077, 0, "{} is readable by others", entry.path().display());
    }
}

#[test]
fn the_search_finds_what_is_there() {
    let folder = crate::support::vault::Folder::new("canary");
    let secret = [("canary", b"thirty-two bytes of secret words".to_vec())];
    assert!(leaks(&folder.0, &secret).is_empty());
    for (number, form) in forms(&secret[0].1).iter().enumerate() {
        let path = folder.0.join(number.to_string());
        std::fs::write(&path, [b"before ".as_slice(), form, b" after"].concat()).unwrap();
        assert_eq!(leaks(&folder.0, &secret).len(), 1, "form {number} is not found");
        std::fs::remove_file(path).unwrap();
    }
    for shift in 0..4 {
        let text = STANDARD.encode([vec![9; shift], secret[0].1.clone(), vec![7; 5]].concat());
        std::fs::write(folder.0.join("text"), text).unwrap();
        assert_eq!(leaks(&folder.0, &secret).len(), 1, "base64 behind {shift} bytes is not found");
    }
}
