//! Goal (M-1): the memory of reads is bounded by `engine.read_memory` and one chunk for each read, not by how many there are, and
//! nobody fails or waits for another's memory. Method: 256 clients that ask for an object and do not read it, and one that does
//! meanwhile; the most resident memory the server ever had, from /proc.

use std::net::TcpStream;
use std::os::fd::AsRawFd;

use crate::support::metrics::Sample;
use crate::support::s3::Call;
use crate::support::seed;
use crate::support::vault::Vault;

const STALLED: u64 = 256;
/// `engine.read_memory` of this vault.
const READ_MEMORY: u64 = 16 << 20;
/// Longest chunk of the default profile.
const CHUNK: u64 = 256 << 10;
/// What 257 connections and their buffers may take beside it, and what the index took meanwhile.
const OTHER: u64 = 48 << 20;
const OBJECT: u64 = 24 << 20;

/// `VmHWM`: the most memory the process ever had resident, by the kernel's count.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the server's status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().expect("a number");
    kib << 10
}

/// Asks for an object and reads nothing. The small window keeps the kernel from taking the bytes in its stead.
fn stalled(vault: &Vault) -> TcpStream {
    use std::io::Write;
    let call = Call::new("GET", "bkt", "big");
    let ready = vault.client().prepare(&call);
    let mut stream = TcpStream::connect(("127.0.0.1", vault.s3_port())).expect("a connection");
    let size: libc::c_int = 4096;
    // SAFETY: the descriptor is open and the value is an int, as SO_RCVBUF takes.
    let set = unsafe {
        let length = libc::socklen_t::try_from(size_of_val(&size)).unwrap();
        libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF, (&raw const size).cast(), length)
    };
    assert_eq!(set, 0);
    stream.write_all(&ready.head).expect("a request");
    stream
}

#[test]
fn stalled_readers_hold_a_bounded_amount() {
    let mut rng = seed::rng("stalled_readers_hold_a_bounded_amount");
    let mut vault = Vault::prepare("READMEMORY");
    vault.set_config(&format!("[engine]\nread_memory = \"{} MiB\"\n", READ_MEMORY >> 20));
    vault.start();
    let client = vault.client();
    client.create_bucket("bkt");
    let seed = rng.next();
    client.put_stream("bkt", "big", seed, OBJECT);
    client.check_stream("bkt", "big", seed, OBJECT);
    // A new process, whose peak is that of reads alone.
    vault.restart();
    let client = vault.client();
    client.check_stream("bkt", "big", seed, OBJECT);
    let before = peak(vault.pid());
    let held: Vec<TcpStream> = (0..STALLED).map(|_| stalled(&vault)).collect();
    let in_flight = |sample: &&Sample| sample.name == "kovcheg_s3_requests_in_flight";
    let all = || vault.metrics().0.iter().find(in_flight).is_some_and(|sample| sample.value >= STALLED as f64);
    crate::support::vault::wait_until("all of them to be served", all);
    std::thread::sleep(std::time::Duration::from_secs(3));
    // Who reads is served although others hold all there is.
    client.check_stream("bkt", "big", seed, OBJECT);
    let used = peak(vault.pid()) - before;
    println!("resident memory: {} MiB before, {} MiB more for {STALLED} stalled reads", before >> 20, used >> 20);
    let bound = READ_MEMORY + STALLED * CHUNK + OTHER;
    assert!(used <= bound, "{} MiB, and {} MiB are the bound", used >> 20, bound >> 20);
    drop(held);
    client.check_stream("bkt", "big", seed, OBJECT);
}
