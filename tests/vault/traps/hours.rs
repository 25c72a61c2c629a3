//! Goal: hours within one download change nothing but what may expire. Method: no test can wait for them, so both clocks of the server,
//! the wall's and the monotonic one, are put forward under it while it runs (libfaketime).

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::data;
use crate::support::s3::{Call, Client, Sink, http};
use crate::support::vault::{Vault, wait_until};

/// As long as a night.
const HOURS: i64 = 8;

/// The library that stands between a program and its clocks; Debian keeps it in a folder of the machine's architecture.
fn libfaketime() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").expect("/usr/lib").map(|entry| entry.expect("a folder").path());
    let found = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|path| path.exists());
    found.expect("libfaketime, of the package faketime")
}

/// T17: a download that broke off goes on eight hours later, on the server that began it and after a restart; one whose client fell
/// asleep gets no wrong byte; what was signed eight hours ago is worth nothing.
#[test]
fn t17_a_download_goes_on_eight_hours_later() {
    let mut vault = Vault::prepare("T17HOURS");
    let offset = vault.folder().join("clock-offset");
    fs::write(&offset, "+0").unwrap();
    vault.set_env("LD_PRELOAD", libfaketime().to_str().unwrap());
    vault.set_env("FAKETIME_TIMESTAMP_FILE", offset.to_str().unwrap());
    vault.set_env("FAKETIME_NO_CACHE", "1");
    vault.start();
    let client = vault.client();
    client.create_bucket("bkt");
    let whole = data::random(17, 24 << 20);
    let etag = client.put("bkt", "k", &whole).header("etag").unwrap().to_owned();
    let half = whole.len() / 2;
    let mut link = Call::new("GET", "bkt", "k");
    link.presigned = true;
    let link = client.prepare(&link).head;
    let follow = || http::exchange(client.port, &link, &mut |_| Ok(()), Sink::Keep).unwrap().status;
    assert_eq!(follow(), 200, "the link, when it was made");

    let mut sleepy = TcpStream::connect(("127.0.0.1", client.port)).unwrap();
    sleepy.write_all(&client.prepare(&Call::new("GET", "bkt", "k")).head).unwrap();
    let mut taken = vec![0; half];
    sleepy.read_exact(&mut taken).unwrap();

    fs::write(&offset, format!("+{HOURS}h")).unwrap();
    let refused = || client.try_get("bkt", "k").is_ok_and(|answer| answer.status == 403);
    wait_until("the server's clock is eight hours on", refused);
    client.try_get("bkt", "k").unwrap().expect_error("a client of this morning", 403, "RequestTimeTooSkewed");
    assert_eq!(follow(), 403, "the link, hours after its five minutes");

    let resume = |client: &Client| {
        let mut call = Call::new("GET", "bkt", "k").header("range", format!("bytes={half}-")).header("if-match", &etag);
        call.skew = HOURS * 3600;
        client.send(&call).unwrap().expect_ok("resumed").body
    };
    assert!(resume(&client) == whole[half..], "resumed on the server that began it");
    check_sleepy(sleepy, taken, &whole);
    vault.restart();
    assert!(resume(&vault.client()) == whole[half..], "resumed after a restart");
}

/// The server may have hung up on a client that slept, but what it sent is the beginning of the object.
fn check_sleepy(mut stream: TcpStream, mut taken: Vec<u8>, whole: &[u8]) {
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    // A reset is an end like another.
    let _ = stream.read_to_end(&mut taken);
    let start = taken.windows(4).position(|four| four == b"\r\n\r\n").expect("an empty line behind the headers") + 4;
    let body = &taken[start..];
    assert!(!body.is_empty() && whole.starts_with(body), "{} bytes that are not the object's", body.len());
}
