//! Goal (K-1): no plaintext, key name, tag, secret, key byte or recovery code lies on a data disk or in a log, raw, hex or
//! base64; the index folder has no key and no plaintext data. Method: known words planted everywhere a client or operator can
//! put them; a checkpoint forced, the log at its loudest; every file searched. The search itself is shown to find a planted word.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use kovcheg_format::shard::StripeKind;

use crate::support::data;
use crate::support::s3::{Call, Client, Keys, Mode};
use crate::support::shards;
use crate::support::vault::{Vault, wait_until};

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

/// Looks for many words at once: one pass over the bytes, their first three looked up in a bitmap of 2^24.
struct Search {
    words: Vec<(String, Vec<u8>)>,
    starts: Vec<u64>,
}

impl Search {
    fn new(secrets: &[(&str, Vec<u8>)]) -> Self {
        let each = secrets.iter().flat_map(|(name, secret)| forms(secret).into_iter().map(|form| (*name, form)));
        let words: Vec<(String, Vec<u8>)> = each.map(|(name, form)| (name.to_owned(), form)).collect();
        let mut starts = vec![0; (1 << 24) / 64];
        for (name, word) in &words {
            assert!(word.len() >= 8, "{name} is too short to be told from chance");
            let start = Self::start(word);
            starts[start / 64] |= 1 << (start % 64);
        }
        Self { words, starts }
    }

    fn start(bytes: &[u8]) -> usize {
        usize::from(bytes[0]) << 16 | usize::from(bytes[1]) << 8 | usize::from(bytes[2])
    }

    /// Every word that stands in `hay`, once, with its first place.
    fn find(&self, hay: &[u8]) -> Vec<(&str, &[u8], usize)> {
        let mut found: Vec<(&str, &[u8], usize)> = Vec::new();
        for at in 0..hay.len().saturating_sub(2) {
            let start = Self::start(&hay[at..]);
            if self.starts[start / 64] >> (start % 64) & 1 == 0 {
                continue;
            }
            for (name, word) in self.words.iter().filter(|(_, word)| hay[at..].starts_with(word)) {
                if !found.iter().any(|(_, known, _)| known == word) {
                    found.push((name, word, at));
                }
            }
        }
        found
    }
}

/// Where any of the secrets stands in a file below `folder`, or in its name.
fn leaks(folder: &Path, secrets: &[(&str, Vec<u8>)]) -> Vec<String> {
    let search = Search::new(secrets);
    let mut found = Vec::new();
    for file in shards::files(folder) {
        let path = file.display().to_string();
        for (name, word, at) in search.find(&std::fs::read(&file).unwrap_or_default()) {
            found.push(format!("{name} as {:?} at byte {at} of {path}", String::from_utf8_lossy(word)));
        }
        found
            .extend(search.find(path.as_bytes()).into_iter().map(|(name, ..)| format!("{name} in the name of {path}")));
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

/// Bytes that small objects must put into the journal before a checkpoint is taken: 64 MiB on each disk, at k = 4.
const JOURNAL: u64 = 264 << 20;
/// Bytes of one of them: it rides in the journal by the settings below.
const INLINE: u64 = (1 << 20) - (64 << 10);
/// Everything the crates of the vault can say goes to the log.
const SETTINGS: &str = "[log]\nlevel = \"debug,kovcheg=trace,kovcheg_storage=trace,kovcheg_gateway=trace,kovcheg_admin=trace\"\n\
                        [engine]\ninline_size = \"1 MiB\"\n";

/// Makes the journal grow until a checkpoint with all that was planted lies on the data disks, and shows that it is whole: a lost
/// index is filled from it.
fn force_checkpoint(vault: &mut Vault) {
    let client = vault.client();
    std::thread::scope(|scope| {
        for filler in 0..4 {
            let client = client.clone();
            scope.spawn(move || {
                for number in (0..JOURNAL / INLINE).filter(|number| number % 4 == filler) {
                    client.put_stream("bkt", &format!("{KEY}/journal/{number}"), 1_000 + number, INLINE);
                }
            });
        }
    });
    wait_until("a checkpoint on every disk", || {
        vault.disks().iter().all(|disk| !shards::files(&disk.join("checkpoints")).is_empty())
    });
    vault.stop();
    let kind = |disk: &PathBuf| shards::walk(&disk.join("checkpoints")).first().map(|found| found.header.kind);
    assert!(
        vault.disks().iter().all(|disk| kind(disk) == Some(StripeKind::Checkpoint)),
        "no checkpoint where it belongs"
    );
    std::fs::remove_dir_all(vault.index()).unwrap();
    vault.start();
    assert!(vault.log().contains("index filled from a checkpoint"), "no whole checkpoint:\n{}", vault.log());
}

#[test]
fn nothing_known_is_found_on_disks_or_in_logs() {
    let mut vault = Vault::prepare("SECRETS");
    vault.set_config(SETTINGS);
    vault.start();
    plant(&vault);
    force_checkpoint(&mut vault);
    client_mistakes(&vault);
    vault.kill();
    vault.start();
    assert!(vault.client().get("bkt", &format!("{KEY}/1")).len() == 3 << 20);
    let verified = vault.cli(&["verify"]);
    assert!(verified.status.success());
    let confirmed = vault.cli(&["key", "confirm", "--code", &recovery_code(&vault)]);
    assert!(confirmed.status.success(), "{}", String::from_utf8_lossy(&confirmed.stderr));
    vault.stop();

    let mut secrets = vec![("content", CONTENT.as_bytes().to_vec())];
    secrets.extend(keys(&vault));
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
    assert!(vault.log().contains(" DEBUG ") || vault.log().contains(" TRACE "), "the log is not as loud as it was set");
    std::fs::write(logs.join("verify"), [verified.stdout, verified.stderr].concat()).unwrap();
    std::fs::write(logs.join("confirm"), [confirmed.stdout, confirmed.stderr].concat()).unwrap();
    let found = leaks(&logs, &secrets);
    assert!(found.is_empty(), "in logs: {found:#?}");
}

/// What clients do wrong may be told in a log, but not with their names and content.
fn client_mistakes(vault: &Vault) {
    let client = vault.client();
    let wrong = Client { keys: Keys { secret: "not the secret".into(), ..client.keys.clone() }, ..client.clone() };
    wrong.try_put("bkt", KEY, CONTENT.as_bytes()).unwrap().expect_error("secret", 403, "SignatureDoesNotMatch");
    let mut body = Call::new("PUT", "bkt", KEY).body(CONTENT.as_bytes()).mode(Mode::WrongHash);
    client.send(&body).unwrap().expect_error("hash", 400, "XAmzContentSHA256Mismatch");
    body.mode = Mode::WrongTrailer;
    client.send(&body).unwrap().expect_error("trailer", 400, "BadDigest");
}

/// The code of the recovery kit.
fn recovery_code(vault: &Vault) -> String {
    let kit = std::fs::read_to_string(vault.data().join("recovery-kit")).expect("written without a terminal");
    kit.lines().find_map(|line| line.strip_prefix("Recovery code: ")).expect("a code").trim().to_owned()
}

/// All that opens something: secrets, the root key, and the recovery code as printed, as typed by others, and as the bits it
/// stands for.
fn keys(vault: &Vault) -> Vec<(&'static str, Vec<u8>)> {
    let root = std::fs::read(vault.key_file()).expect("the key file");
    assert!(root.len() >= 32, "a key file of {} bytes", root.len());
    let mut keys = vec![("root secret", vault.keys().secret.as_bytes().to_vec())];
    keys.extend(key_material(&root).into_iter().map(|key| ("root key", key)));
    let code = recovery_code(vault);
    let symbols: String = code.chars().filter(char::is_ascii_alphanumeric).collect();
    assert_eq!(symbols.len(), 40, "eight groups of five");
    for text in [&code, &symbols, &code.to_lowercase(), &symbols.to_lowercase()] {
        keys.push(("recovery code", text.as_bytes().to_vec()));
    }
    keys.push(("bits of the recovery code", crockford(&symbols[..32])));
    keys
}

/// The bytes that symbols of Crockford's base32 stand for.
fn crockford(symbols: &str) -> Vec<u8> {
    let value =
        |symbol: char| "0123456789ABCDEFGHJKMNPQRSTVWXYZ".find(symbol).expect("a symbol of the alphabet") as u64;
    let eights: Vec<char> = symbols.chars().collect();
    let five_bytes = |eight: &[char]| {
        let bits = eight.iter().fold(0_u64, |bits, symbol| bits << 5 | value(*symbol));
        bits.to_be_bytes()[3..].to_vec()
    };
    eights.chunks(8).flat_map(five_bytes).collect()
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
