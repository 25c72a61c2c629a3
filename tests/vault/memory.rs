//! Goal (M-1): memory is bounded by configuration, not by load. Method: 64 uploads at once, each of many stripes; resident
//! memory of the server sampled from /proc throughout; at most 512 MiB.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::seed;
use crate::support::vault::Vault;

const CLIENTS: u64 = 64;
const LIMIT: u64 = 512 << 20;
/// Bytes of each upload: together far more than the limit.
const UPLOAD: u64 = 12 << 20;

/// `VmHWM`: the most memory the process ever had resident, by the kernel's count.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the server's status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().expect("a number");
    kib << 10
}

#[test]
fn sixty_four_uploads_stay_under_the_limit() {
    let mut rng = seed::rng("sixty_four_uploads_stay_under_the_limit");
    let vault = Vault::start_new("MEMORY");
    let client = vault.client();
    client.create_bucket("bkt");
    let idle = peak(vault.pid());
    let seeds: Vec<u64> = (0..CLIENTS).map(|_| rng.next()).collect();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let uploads: Vec<_> = seeds
            .iter()
            .map(|seed| {
                let client = client.clone();
                scope.spawn(move || drop(client.put_stream("bkt", &format!("{seed:x}"), *seed, UPLOAD)))
            })
            .collect();
        // Clients that stand still in the middle of a body hold a share of memory and must not hold more.
        let stalled: Vec<_> = (0..CLIENTS).map(|number| stall(&vault, number)).collect();
        uploads.into_iter().for_each(|upload| upload.join().unwrap());
        done.store(true, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(50));
        drop(stalled);
    });
    let used = peak(vault.pid());
    println!("resident memory: {} MiB at start, {} MiB at most", idle >> 20, used >> 20);
    assert!(used <= LIMIT, "{} MiB resident with {CLIENTS} uploads", used >> 20);
    for seed in seeds.iter().take(4) {
        client.check_stream("bkt", &format!("{seed:x}"), *seed, UPLOAD);
    }
}

fn stall(vault: &Vault, number: u64) -> std::net::TcpStream {
    use std::io::Write;
    let client = vault.client();
    let body = crate::support::data::random(number, 2 << 20);
    let key = format!("stalled/{number}");
    let call = crate::support::s3::Call::new("PUT", "bkt", &key).body(&body).mode(crate::support::s3::Mode::Unsigned);
    let ready = client.prepare(&call);
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", vault.s3_port())).expect("a connection");
    stream.set_write_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    let _ = stream.write_all(&ready.head).and_then(|()| stream.write_all(&body[..1 << 20]));
    stream
}
