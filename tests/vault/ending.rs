//! Goal: SIGTERM ends the server soon, whatever its clients do not do. Method: connections that never said a word, and some that stopped in
//! the middle of a request's head, on both listeners; then SIGTERM, and the time is taken.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::vault::Vault;

/// Less than the 20 s that S3 requests in progress have, and the 5 s of the admin's.
const SOON: Duration = Duration::from_secs(4);

#[test]
fn nobody_who_stands_still_holds_the_end() {
    let mut vault = Vault::start_new("ENDING");
    vault.client().create_bucket("bkt");
    let silent: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(("127.0.0.1", vault.s3_port())).unwrap()).collect();
    let mut halves = Vec::new();
    for port in [vault.s3_port(), vault.admin_port()] {
        let mut half = TcpStream::connect(("127.0.0.1", port)).unwrap();
        half.write_all(b"GET /health/live HTTP/1.1\r\nhost: ").unwrap();
        halves.push(half);
    }
    // They must have been taken before the end begins.
    std::thread::sleep(Duration::from_millis(500));
    let began = Instant::now();
    vault.stop();
    let took = began.elapsed();
    println!("ended after {took:?}");
    assert!(took < SOON, "it took {took:?}");
    drop((silent, halves));
    vault.start();
}
