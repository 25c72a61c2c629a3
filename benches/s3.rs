//! The S3 endpoint as its clients meet it: the real binary, on loopback, timed by the CPU clock of its process.
//!
//! Figures are work for each CPU second of the server, kernel included; those of small objects also by wall clock. What the clients
//! spend is not counted, but they share the machine's cores. `benches/README.md` says how to read them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a measurement that goes wrong must end"
)]
#![allow(unused_imports, reason = "the tests of what this shares with the tests are not run here")]

use std::io::{BufReader, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use support::data;
use support::s3::http::read_response;
use support::s3::{Call, Client, Mode, Sink};
use support::vault::Vault;

#[path = "../tests/support/mod.rs"]
mod support;

/// Bytes of a large object.
const LARGE: usize = 64 << 20;
/// Large objects of one measurement.
const LARGE_OBJECTS: usize = 16;
/// Bytes of a small object.
const SMALL: usize = 4 << 10;
/// Clients of small objects, each with one connection.
const SMALL_CLIENTS: usize = 64;
/// Small objects of each client.
const SMALL_OBJECTS: usize = 250;
const BUCKET: &str = "bench";

fn main() {
    let mut vault = Vault::prepare("bench-s3");
    vault.keep_nothing();
    vault.start();
    vault.client().create_bucket(BUCKET);
    println!("large objects, {} MiB of random data each: MB for each CPU second of the server", LARGE >> 20);
    let ways = [
        (1, Mode::Unsigned, "unsigned payload"),
        (4, Mode::Unsigned, "unsigned payload"),
        (8, Mode::Unsigned, "unsigned payload"),
        (8, Mode::Signed, "SHA-256 in the header"),
        (8, Mode::UnsignedTrailer, "unsigned chunks, CRC64 behind"),
    ];
    for (way, (clients, mode, name)) in ways.into_iter().enumerate() {
        put_large(&vault, clients, mode, name, way as u64);
    }
    for clients in [1, 8] {
        get_large(&vault, clients);
    }
    println!("\nsmall objects, {} KiB each, by {SMALL_CLIENTS} clients", SMALL >> 10);
    put_small(&vault);
    get_small(&vault);
    vault.stop();
    // A process of its own: the peak of memory is that of all its life.
    vault.start();
    hold_open(&vault);
    vault.stop();
}

/// Uploads that are open at once, and those of them that are large; the others stand still, a byte now and then.
const OPEN: usize = 64;
const OPEN_LARGE: usize = 8;
const OPEN_LARGE_BYTES: u64 = 1 << 30;
const OPEN_STILL_BYTES: usize = 16 << 20;

fn hold_open(vault: &Vault) {
    let still = data::random(3, OPEN_STILL_BYTES);
    let mut open: Vec<(TcpStream, usize)> = (OPEN_LARGE..OPEN)
        .map(|number| {
            let client = vault.client();
            let key = format!("still/{number}");
            let ready = client.prepare(&Call::new("PUT", BUCKET, &key).body(&still).mode(Mode::Unsigned));
            let mut stream = TcpStream::connect(("127.0.0.1", vault.s3_port())).expect("a connection");
            stream.write_all(&ready.head).expect("a head sent");
            stream.write_all(&still[..OPEN_STILL_BYTES / 2]).expect("half a body sent");
            (stream, OPEN_STILL_BYTES / 2)
        })
        .collect();
    std::thread::scope(|scope| {
        let large: Vec<_> = (0..OPEN_LARGE as u64)
            .map(|number| {
                let client = vault.client();
                scope.spawn(move || {
                    drop(client.put_stream(BUCKET, &format!("huge/{number}"), number + 500, OPEN_LARGE_BYTES))
                })
            })
            .collect();
        while large.iter().any(|upload| !upload.is_finished()) {
            std::thread::sleep(std::time::Duration::from_secs(5));
            for (stream, at) in &mut open {
                stream.write_all(&still[*at..=*at]).expect("a byte sent");
                *at += 1;
            }
        }
    });
    let status = std::fs::read_to_string(format!("/proc/{}/status", vault.pid())).expect("the server's status");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM").trim();
    let mib = peak.trim_end_matches("kB").trim().parse::<u64>().expect("a number") >> 10;
    println!("\n{OPEN} uploads open at once, {OPEN_LARGE} of them of 1 GiB: {mib} MiB resident at most (asked: 512)");
    for (mut stream, at) in open {
        stream.write_all(&still[at..]).expect("the rest sent");
        read_response(&mut BufReader::new(&stream), false, Sink::Keep).expect("an answer").expect_ok("put");
    }
}

/// CPU seconds that a process has used, kernel included.
fn cpu_seconds(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the server's CPU time");
    // Behind the name in parentheses: fields 3 and on of proc(5); utime and stime are 14 and 15.
    let rest = text.rsplit_once(')').expect("a name").1;
    let ticks: f64 = rest.split_whitespace().skip(11).take(2).map(|field| field.parse::<f64>().unwrap()).sum();
    // SAFETY: sysconf takes no pointer.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    ticks / per_second as f64
}

/// Runs `work` on so many threads, and answers CPU seconds of the server and of the wall.
fn timed(vault: &Vault, clients: usize, work: impl Fn(usize) + Sync) -> (f64, f64) {
    let (cpu, wall) = (cpu_seconds(vault.pid()), Instant::now());
    std::thread::scope(|scope| {
        for client in 0..clients {
            let work = &work;
            scope.spawn(move || work(client));
        }
    });
    (cpu_seconds(vault.pid()) - cpu, wall.elapsed().as_secs_f64())
}

fn large_key(clients: usize, mode: Mode, number: usize) -> String {
    format!("large/{clients}-{mode:?}/{number}")
}

fn put_large(vault: &Vault, clients: usize, mode: Mode, name: &str, way: u64) {
    let each = LARGE_OBJECTS / clients;
    let seed = |client: usize, number: usize| (way + 1) * 64 + (client * each + number) as u64;
    let bodies: Vec<Vec<Vec<u8>>> = (0..clients)
        .map(|client| (0..each).map(|number| data::random(seed(client, number), LARGE)).collect())
        .collect();
    let client = vault.client();
    let (cpu, wall) = timed(vault, clients, |thread| {
        for (number, body) in bodies[thread].iter().enumerate() {
            let key = large_key(clients, mode, thread * each + number);
            let call = Call::new("PUT", BUCKET, &key).body(body).mode(mode);
            client.send(&call).expect("an answer").expect_ok("put");
        }
    });
    let megabytes = (clients * each * LARGE) as f64 / 1e6;
    println!(
        "  PUT, {clients} at a time, {name:<32} {:>6.0}   (wall clock {:>5.0} MB/s)",
        megabytes / cpu,
        megabytes / wall
    );
}

fn get_large(vault: &Vault, clients: usize) {
    let each = LARGE_OBJECTS / clients;
    let client = vault.client();
    let (cpu, wall) = timed(vault, clients, |thread| {
        for number in 0..each {
            let key = large_key(clients, Mode::Unsigned, thread * each + number);
            let mut len = 0;
            let call = Call::new("GET", BUCKET, &key);
            client.send_to(&call, Sink::Stream(&mut |piece| len += piece.len())).expect("an answer").expect_ok("get");
            assert_eq!(len, LARGE, "{key}");
        }
    });
    let megabytes = (clients * each * LARGE) as f64 / 1e6;
    let name = "whole objects";
    println!(
        "  GET, {clients} at a time, {name:<32} {:>6.0}   (wall clock {:>5.0} MB/s)",
        megabytes / cpu,
        megabytes / wall
    );
}

/// A connection that stays open.
struct Connection {
    stream: BufReader<TcpStream>,
    client: Client,
}

impl Connection {
    fn open(vault: &Vault) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", vault.s3_port())).expect("a connection");
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(stream), client: vault.client() }
    }

    fn exchange(&mut self, call: &Call<'_>, body: &[u8]) {
        let ready = self.client.prepare(call);
        let head = String::from_utf8(ready.head).unwrap().replace("connection: close\r\n", "");
        let request = [head.as_bytes(), body].concat();
        self.stream.get_mut().write_all(&request).expect("a request sent");
        read_response(&mut self.stream, false, Sink::Keep).expect("an answer").expect_ok(call.method);
    }
}

fn small_key(client: usize, number: usize) -> String {
    format!("small/{client}/{number}")
}

fn put_small(vault: &Vault) {
    let lsn = || {
        let scrape = vault.metrics();
        scrape.0.iter().find(|sample| sample.name == "kovcheg_journal_lsn").expect("the journal's metric").value
    };
    let before = lsn();
    let (cpu, wall) = timed(vault, SMALL_CLIENTS, |thread| {
        let mut connection = Connection::open(vault);
        for number in 0..SMALL_OBJECTS {
            let body = data::random((thread * SMALL_OBJECTS + number) as u64 + (1 << 40), SMALL);
            let key = small_key(thread, number);
            connection.exchange(&Call::new("PUT", BUCKET, &key).body(&body).mode(Mode::Unsigned), &body);
        }
    });
    let count = (SMALL_CLIENTS * SMALL_OBJECTS) as f64;
    let commits = lsn() - before;
    println!(
        "  PUT, durable     {:>6.0} each CPU second, {:>6.0} each second, {:.1} each journal commit",
        count / cpu,
        count / wall,
        count / commits
    );
}

fn get_small(vault: &Vault) {
    let (cpu, wall) = timed(vault, SMALL_CLIENTS, |thread| {
        let mut connection = Connection::open(vault);
        for number in 0..SMALL_OBJECTS {
            let key = small_key(thread, number);
            connection.exchange(&Call::new("GET", BUCKET, &key), &[]);
        }
    });
    let count = (SMALL_CLIENTS * SMALL_OBJECTS) as f64;
    println!("  GET              {:>6.0} each CPU second, {:>6.0} each second", count / cpu, count / wall);
}
