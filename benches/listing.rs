//! What a page of a listing costs in a small bucket and in one of a million keys, made through the engine into a real vault; and what
//! opening that vault costs.
//!
//! The limit is the page at 1,000 keys: a page must cost what it shows, however many keys lie beside it. Both are read for the first time
//! since the vault was opened, and again, out of the index' cache. `KOVCHEG_BENCH_KEYS` sets the
//! number of keys (1,000,000), `KOVCHEG_BENCH_DIR` the folder. `benches/README.md` says how to read the figures.

use std::ops::ControlFlow;
use std::time::Instant;

use kovcheg_storage::handle::VaultHandle;
use kovcheg_storage::index::Column;
use kovcheg_storage::object::types::{ListQuery, NewVersion, NoObserver};
use kovcheg_storage::vault::Vault;

use vault::{BUCKET, Scratch, bucket, origin};

#[path = "support/vault.rs"]
mod vault;

/// Keys and common prefixes of a page.
const PAGE: usize = 1_000;
/// Puts under way at a time.
const WRITERS: usize = 256;
/// Pages of one measurement; the median counts.
const PAGES: usize = 41;
/// Times that the small vault is opened anew for a first read.
const REOPENINGS: usize = 9;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let many = std::env::var("KOVCHEG_BENCH_KEYS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let scratch = Scratch::new("listing")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut vault = scratch.open()?;
    runtime.block_on(vault.handle().create_bucket(origin(), bucket()))?;
    runtime.block_on(fill(&vault.handle(), 0, PAGE))?;
    let (mut first, mut opening) = (Vec::new(), Vec::new());
    for _ in 0..REOPENINGS {
        let took;
        (vault, took) = reopened(&scratch, vault)?;
        opening.push(took);
        first.push(runtime.block_on(page(&vault.handle(), None))?);
    }
    let opening = median(opening);
    let few = Cost { first: median(first), again: runtime.block_on(visit(&vault.handle(), &vec![None; PAGES]))? };
    few.print("1,000 keys");
    let began = Instant::now();
    runtime.block_on(fill(&vault.handle(), PAGE, many))?;
    let made = (many - PAGE) as f64 / began.elapsed().as_secs_f64();
    println!("  {many} keys made through the engine, {made:.0} durable puts/s");
    let (vault, opened) = reopened(&scratch, vault)?;
    print_opening(opening, opened, many, scan_facts(&vault)?);
    let handle = vault.handle();
    let places: Vec<_> = (0..PAGES).map(|at| Some(key(at * many / PAGES))).collect();
    let cost =
        Cost { first: runtime.block_on(visit(&handle, &places))?, again: runtime.block_on(visit(&handle, &places))? };
    cost.print(&format!("{many} keys"));
    for (what, ratio) in [("for the first time", cost.first / few.first), ("again", cost.again / few.again)] {
        println!("  {:<44} {ratio:>8.2} (asked: at most 2)", format!("ratio of the two, read {what}"));
    }
    runtime.block_on(prefixes(&handle))?;
    runtime.block_on(walk(&handle, many))?;
    drop(handle);
    vault.close()?;
    Ok(())
}

/// The vault closed and opened, and the milliseconds of opening: what a page reads then lies in files, however many keys there are.
fn reopened(scratch: &Scratch, vault: Vault) -> Result<(Vault, f64), Failure> {
    vault.close()?;
    let began = Instant::now();
    let vault = scratch.open()?;
    Ok((vault, began.elapsed().as_secs_f64() * 1e3))
}

/// Milliseconds of reading the rows of all versions and doing nothing with them: what the count of facts at a start cannot be below in
/// the thread that has most to do.
fn scan_facts(vault: &Vault) -> Result<f64, Failure> {
    let (began, mut bytes) = (Instant::now(), 0);
    vault.engine().index.scan(Column::Version, &[], None, &mut |key, value| {
        bytes += key.len() + value.len();
        ControlFlow::Continue(())
    })?;
    println!("  {:<44} {:>8.1} MB", "rows of all versions", bytes as f64 / 1e6);
    Ok(began.elapsed().as_secs_f64() * 1e3)
}

/// Opening reads and counts every fact (docs/rfcs/0007-sealed-index.md): it costs more the more there are.
fn print_opening(few: f64, many: f64, keys: usize, scan: f64) {
    println!("  {:<44} {few:>8.1} ms", "opening, 1,000 keys");
    println!("  {:<44} {many:>8.1} ms", format!("opening, {keys} keys"));
    println!("  {:<44} {scan:>8.1} ms", "limit of the difference: a scan of versions");
    println!("  {:<44} {:>8.2}", "ratio of limit and difference", scan / (many - few));
}

/// A thousand folders, each with as many keys as any other.
fn key(number: usize) -> String {
    format!("folder-{:04}/object-{number:08}", number % PAGE)
}

/// Puts empty objects of these numbers.
async fn fill(handle: &VaultHandle, from: usize, to: usize) -> Result<(), Failure> {
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let handle = handle.clone();
            tokio::spawn(async move {
                for number in (from + writer..to).step_by(WRITERS) {
                    let stream = handle.begin_object(origin(), BUCKET, &key(number), Box::new(NoObserver)).await?;
                    let new =
                        NewVersion { etag: "d41d8cd98f00b204e9800998ecf8427e".to_owned(), ..NewVersion::default() };
                    stream.end().await?.commit_object(new).await?;
                }
                Ok::<(), Failure>(())
            })
        })
        .collect();
    for writer in writers {
        writer.await??;
    }
    Ok(())
}

/// Milliseconds of a page of 1,000 keys.
struct Cost {
    /// Read for the first time since the vault was opened.
    first: f64,
    /// Read again.
    again: f64,
}

impl Cost {
    fn print(&self, bucket: &str) {
        for (what, took) in [("first read", self.first), ("read again", self.again)] {
            println!("  {:<44} {took:>8.2} ms", format!("a page in a bucket of {bucket}, {what}"));
        }
    }
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of.get(of.len() / 2).copied().unwrap_or(f64::INFINITY)
}

/// Milliseconds of the page behind a key.
async fn page(handle: &VaultHandle, after: Option<String>) -> Result<f64, Failure> {
    let began = Instant::now();
    let page = handle.list_objects(BUCKET, query("", after)).await?;
    let took = began.elapsed().as_secs_f64() * 1e3;
    if page.objects.len() < PAGE / 2 {
        return Err(format!("a page of {} keys", page.objects.len()).into());
    }
    Ok(took)
}

/// Milliseconds of a page: the median over those behind these keys, each read once.
async fn visit(handle: &VaultHandle, places: &[Option<String>]) -> Result<f64, Failure> {
    let mut took = Vec::new();
    for place in places {
        took.push(page(handle, place.clone()).await?);
    }
    Ok(median(took))
}

/// A page that rolls all keys up.
async fn prefixes(handle: &VaultHandle) -> Result<(), Failure> {
    let began = Instant::now();
    let page = handle.list_objects(BUCKET, query("/", None)).await?;
    let took = began.elapsed().as_secs_f64() * 1e3;
    println!("  {:<44} {took:>8.2} ms", format!("a page of {} common prefixes", page.common_prefixes.len()));
    Ok(())
}

/// From the first key to the last.
async fn walk(handle: &VaultHandle, many: usize) -> Result<(), Failure> {
    let (began, mut after, mut seen) = (Instant::now(), None, 0);
    loop {
        let page = handle.list_objects(BUCKET, query("", after)).await?;
        seen += page.objects.len();
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if seen != many {
        return Err(format!("{seen} keys were listed, {many} are there").into());
    }
    let rate = many as f64 / began.elapsed().as_secs_f64();
    println!("  {:<44} {rate:>8.0} keys/s (asked: 100,000)", "all pages, one after the other");
    Ok(())
}

fn query(delimiter: &str, after: Option<String>) -> ListQuery {
    ListQuery { prefix: String::new(), delimiter: delimiter.to_owned(), after, max_keys: PAGE }
}
