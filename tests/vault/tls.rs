//! Goal: S3 over TLS 1.3 with a certificate from files: taken anew without a restart, a bad one never, and what cannot work said at
//! the start. Method: the real binary and a client that trusts that one certificate.

use std::fs;
use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, StreamOwned};

use crate::support::data;
use crate::support::s3::http::{Response, Sink, read_response};
use crate::support::s3::{Call, Mode};
use crate::support::vault::{Vault, wait_until};

type Stream = BufReader<StreamOwned<ClientConnection, TcpStream>>;

fn cert(vault: &Vault) -> PathBuf {
    vault.folder().join("tls.crt")
}

fn key(vault: &Vault) -> PathBuf {
    vault.folder().join("tls.key")
}

/// Makes a pair in the folder of the test and has the vault use it.
fn with_pair(name: &str) -> Vault {
    let mut vault = Vault::prepare(name);
    make_pair(&vault);
    configure(&mut vault);
    vault
}

fn make_pair(vault: &Vault) {
    let folder = vault.folder().to_str().unwrap();
    let made = vault.command().args(["tls", "self-signed", "--replace", "--out", folder]).output().unwrap();
    assert!(made.status.success(), "{made:?}");
}

fn configure(vault: &mut Vault) {
    let (cert, key) = (cert(vault), key(vault));
    vault.set_config(&format!("[s3]\ntls_cert = {cert:?}\ntls_key = {key:?}\n"));
}

fn connect(vault: &Vault, trusted: &[u8]) -> std::io::Result<Stream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(client, TcpStream::connect(("127.0.0.1", vault.s3_port()))?);
    stream.conn.complete_io(&mut stream.sock)?;
    Ok(BufReader::new(stream))
}

fn exchange(vault: &Vault, stream: &mut Stream, call: &Call<'_>, body: &[u8]) -> std::io::Result<Response> {
    let head = String::from_utf8(vault.client().prepare(call).head).unwrap().replace("connection: close\r\n", "");
    stream.get_mut().write_all(&[head.as_bytes(), body].concat())?;
    stream.get_mut().flush()?;
    read_response(stream, false, Sink::Keep)
}

#[test]
fn objects_go_over_tls_and_plain_http_is_told() {
    let mut vault = with_pair("TLS");
    vault.start();
    let trusted = fs::read(cert(&vault)).unwrap();
    let mut stream = connect(&vault, &trusted).unwrap();
    assert_eq!(stream.get_ref().conn.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    exchange(&vault, &mut stream, &Call::new("PUT", "bkt", ""), b"").unwrap().expect_ok("bucket");
    let body = data::random(3, 3 << 20);
    for mode in [Mode::Unsigned, Mode::Signed] {
        let put = Call::new("PUT", "bkt", "k").body(&body).mode(mode);
        exchange(&vault, &mut stream, &put, &body).unwrap().expect_ok("put");
        let got = exchange(&vault, &mut stream, &Call::new("GET", "bkt", "k"), b"").unwrap().expect_ok("get");
        assert!(got.body == body, "{mode:?}");
    }
    let mut plain = TcpStream::connect(("127.0.0.1", vault.s3_port())).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut said = String::new();
    plain.read_to_string(&mut said).unwrap();
    assert!(said.starts_with("HTTP/1.1 400 ") && said.contains("https://"), "{said}");
    let mut rubbish = TcpStream::connect(("127.0.0.1", vault.s3_port())).unwrap();
    rubbish.write_all(&[22, 3, 1, 255, 255, 0, 1, 2, 3]).unwrap();
    let _ = rubbish.read_to_end(&mut Vec::new());
    let after = exchange(&vault, &mut stream, &Call::new("GET", "bkt", "k"), b"").unwrap().expect_ok("after rubbish");
    assert!(after.body == body);
    vault.stop();
    let log = vault.log();
    assert!(log.contains("endpoint=https://"), "{log}");
    let secret = fs::read_to_string(key(&vault)).unwrap();
    let line = secret.lines().nth(1).unwrap();
    assert!(!log.contains(line), "the key reached the log");
}

#[test]
fn a_new_certificate_is_taken_without_a_restart_and_a_bad_one_is_not() {
    let mut vault = with_pair("TLSRENEW");
    vault.start();
    let first = fs::read(cert(&vault)).unwrap();
    let mut old = connect(&vault, &first).unwrap();
    make_pair(&vault);
    let second = fs::read(cert(&vault)).unwrap();
    assert_ne!(first, second);
    // Nobody says anything to the server: it looks by itself.
    wait_until("the new certificate", || connect(&vault, &second).is_ok());
    assert!(connect(&vault, &first).is_err(), "the old one is gone");
    exchange(&vault, &mut old, &Call::new("PUT", "bkt", ""), b"").unwrap().expect_ok("over the old connection");

    fs::write(cert(&vault), b"not a certificate").unwrap();
    // SAFETY: kill() has no memory effects; the pid is that of the running server.
    assert_eq!(unsafe { libc::kill(i32::try_from(vault.pid()).unwrap(), libc::SIGHUP) }, 0);
    wait_until("the complaint", || vault.log().contains("holds no certificate"));
    assert!(connect(&vault, &second).is_ok(), "the one in use stays");
    fs::write(cert(&vault), &second).unwrap();
    vault.restart();
    assert!(connect(&vault, &second).is_ok());
}

#[test]
fn what_cannot_work_is_said_at_the_start() {
    let mut vault = with_pair("TLSBAD");
    let good = (fs::read(cert(&vault)).unwrap(), fs::read(key(&vault)).unwrap());
    make_pair(&vault);
    let other_key = fs::read(key(&vault)).unwrap();
    let mut case = |cert_bytes: Option<&[u8]>, key_bytes: Option<&[u8]>, mode: u32, words: &[&str]| {
        for (path, bytes) in [(cert(&vault), cert_bytes), (key(&vault), key_bytes)] {
            let _ = fs::remove_file(&path);
            if let Some(bytes) = bytes {
                fs::write(&path, bytes).unwrap();
            }
        }
        if key_bytes.is_some() {
            fs::set_permissions(key(&vault), fs::Permissions::from_mode(mode)).unwrap();
        }
        vault.try_start().expect_err("it must not start").expect_words(words);
    };
    let (cert_ok, key_ok) = (Some(&good.0[..]), Some(&good.1[..]));
    case(None, key_ok, 0o600, &["tls.crt", "cannot be read"]);
    case(cert_ok, None, 0o600, &["tls.key", "cannot be read"]);
    case(Some(b""), key_ok, 0o600, &["tls.crt", "holds no certificate"]);
    case(key_ok, key_ok, 0o600, &["tls.crt", "holds no certificate"]);
    case(cert_ok, cert_ok, 0o600, &["tls.key", "holds no private key"]);
    case(cert_ok, Some(&other_key), 0o600, &["does not belong"]);
    case(cert_ok, key_ok, 0o644, &["everybody may read", "chmod 600"]);
    assert!(!vault.data().join("disk0").exists(), "nothing was made for a vault that cannot be served");
    fs::set_permissions(key(&vault), fs::Permissions::from_mode(0o640)).unwrap();
    vault.start();
    connect(&vault, &good.0).unwrap();
}

#[test]
fn a_pair_is_not_overwritten_by_mistake() {
    let vault = with_pair("TLSPAIR");
    assert_eq!(fs::metadata(key(&vault)).unwrap().permissions().mode() & 0o777, 0o600);
    let folder = vault.folder().to_str().unwrap();
    let again = vault.command().args(["tls", "self-signed", "--out", folder]).output().unwrap();
    assert!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("--replace"), "{again:?}");
    let named = [
        "tls",
        "self-signed",
        "--out",
        folder,
        "--replace",
        "--json",
        "--name",
        "vault.example.org",
        "--name",
        "10.0.0.5",
    ];
    let made = vault.command().args(named).output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!(json["names"], serde_json::json!(["vault.example.org", "10.0.0.5"]));
    let bad =
        vault.command().args(["tls", "self-signed", "--out", folder, "--replace", "--name", "ы"]).output().unwrap();
    assert!(!bad.status.success(), "{bad:?}");
}
