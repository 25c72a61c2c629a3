//! The real path: bodies go through the handle into a vault of six directories, timed by the CPU clock of the process.
//!
//! Everything counts that the vault spends: gathering, look-up, manifest, journal, index, and the kernel's share of writing.

use bytes::Bytes;
use kovcheg_storage::handle::VaultHandle;
use kovcheg_storage::object::types::{NewVersion, NoObserver};

use crate::vault::{BUCKET, Scratch, bucket, origin};
use crate::{Failure, Limits, cpu_seconds, random_from, report};

/// Bytes of one object.
const OBJECT_LEN: usize = 256 << 20;
/// Bytes handed over at a time, as a gateway's body stream does.
const PIECE_LEN: usize = 64 << 10;
/// Objects of new data, and as many of data that is stored already.
const OBJECTS: u64 = 5;

/// What a put cost.
struct Cost {
    cpu: f64,
    wall: f64,
}

/// Puts new and known objects, prints GB for each CPU second and the share of the serial limits.
pub fn run(limits: &Limits) -> Result<(), Failure> {
    let scratch = Scratch::new("bench")?;
    let vault = scratch.open()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let handle = vault.handle();
    let driver = vault.handle().status().disks.first().map(|disk| disk.driver.clone()).unwrap_or_default();
    println!(
        "\nreal path, {OBJECTS} objects of {} MiB each, 4+2 over six folders ({driver}), median",
        OBJECT_LEN >> 20
    );
    runtime.block_on(handle.create_bucket(origin(), bucket()))?;
    // The first object warms caches, open segments and the allocator, and is what duplicates are made of.
    let known = u64::MAX / 2;
    runtime.block_on(put(&handle, "known", known))?;
    let (mut new, mut duplicate) = (Vec::new(), Vec::new());
    for number in 0..OBJECTS {
        new.push(runtime.block_on(put(&handle, &format!("new/{number}"), (number + 1) << 40))?);
        duplicate.push(runtime.block_on(put(&handle, &format!("again/{number}"), known))?);
    }
    verdict("new data", &new, limits.new_data());
    verdict("duplicates", &duplicate, limits.duplicates());
    drop(handle);
    vault.close()?;
    Ok(())
}

fn verdict(name: &str, costs: &[Cost], limit: f64) {
    let rate_of = |seconds: f64| OBJECT_LEN as f64 / 1e9 / seconds;
    let rate = rate_of(median(costs.iter().map(|cost| cost.cpu).collect()));
    report(&format!("{name}, for each CPU second"), rate);
    println!("  {:<40} {:>7.1} %", format!("{name}, of the serial limit"), 100.0 * rate / limit);
    report(&format!("{name}, wall clock"), rate_of(median(costs.iter().map(|cost| cost.wall).collect())));
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::INFINITY)
}

/// One object, from the first byte to the durable answer: the random body that starts at `seed`.
///
/// Each piece is made when it is handed over, so that it comes from the cache, as one that was just received does. Making it is
/// not the vault's work: the time of this thread that it takes is left out.
async fn put(handle: &VaultHandle, key: &str, seed: u64) -> Result<Cost, Failure> {
    let started = std::time::Instant::now();
    let before = cpu_seconds(libc::CLOCK_PROCESS_CPUTIME_ID);
    let mut making = 0.0;
    let mut stream = handle.begin_object(origin(), BUCKET, key, Box::new(NoObserver)).await?;
    for at in (0..OBJECT_LEN).step_by(PIECE_LEN) {
        let from = cpu_seconds(libc::CLOCK_THREAD_CPUTIME_ID);
        let piece = Bytes::from(random_from(seed + (at / 8) as u64, PIECE_LEN));
        making += cpu_seconds(libc::CLOCK_THREAD_CPUTIME_ID) - from;
        stream.write(piece).await?;
    }
    let ended = stream.end().await?;
    ended.commit_object(NewVersion { etag: "bench".to_owned(), ..NewVersion::default() }).await?;
    let cpu = cpu_seconds(libc::CLOCK_PROCESS_CPUTIME_ID) - before - making;
    Ok(Cost { cpu, wall: started.elapsed().as_secs_f64() })
}
