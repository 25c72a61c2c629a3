//! Goal: what is stored already costs almost nothing to store again. Method: the metric before and after, checked against
//! the shards on the disks and against the directories of their stripes.

use std::collections::BTreeSet;

use kovcheg_format::id::ChunkId;

use crate::physical::assert_metric_is_true;
use crate::support::data::{self, PAGE_LEN};
use crate::support::seed;
use crate::support::shards;
use crate::support::vault::Vault;

/// Bytes of the object that is stored twice.
const BIG: u64 = 1 << 30;
/// Most that headers, directories and padding may take of the data shards, in percent.
const OVERHEAD_PERCENT: u64 = 3;

/// The chunks that the directories of all data stripes name, each once. Their sealed bytes are what the metric counts as data, but
/// for headers, directories and padding.
#[track_caller]
fn chunks_of_directories(vault: &Vault) -> BTreeSet<ChunkId> {
    let directories = shards::directories(&vault.disks());
    let places = || directories.iter().flat_map(|directory| &directory.chunks);
    let sealed: u64 = places().map(|chunk| u64::from(chunk.sealed_len)).sum();
    let chunks: BTreeSet<ChunkId> = places().map(|chunk| chunk.id).collect();
    let data = vault.metrics().physical("data");
    println!("{} chunks in {} stripes: {sealed} bytes sealed, {data} by the metric", chunks.len(), directories.len());
    assert_eq!(chunks.len(), places().count(), "a chunk stands in two directories");
    assert!(sealed <= data, "{sealed} bytes of sealed chunks in {data} bytes of data shards");
    assert!((data - sealed) * 100 <= data * OVERHEAD_PERCENT, "{sealed} of {data} bytes are sealed chunks");
    chunks
}

#[test]
fn the_same_data_twice_adds_under_one_percent() {
    let mut rng = seed::rng("the_same_data_twice_adds_under_one_percent");
    let vault = Vault::start_new("TWICE");
    let client = vault.client();
    client.create_bucket("bkt");
    let (seed, len) = (rng.next(), BIG);
    let empty = assert_metric_is_true(&vault).total();
    client.put_stream("bkt", "first", seed, len);
    let once = assert_metric_is_true(&vault).total();
    let chunks = chunks_of_directories(&vault);
    client.put_stream("bkt", "second", seed, len);
    let twice = assert_metric_is_true(&vault).total();
    assert!(chunks == chunks_of_directories(&vault), "chunks were stored again, or others came");
    let (first, second) = (once - empty, twice - once);
    println!(
        "{len} bytes: first {first} physical bytes, again {second} ({:.3} %)",
        100.0 * second as f64 / first as f64
    );
    assert!(first >= len + len / 2, "4+2 of {len} incompressible bytes cannot be {first}");
    assert!(first < len * 8 / 5, "{first} physical bytes for {len}: overhead above 1.6");
    assert!(second * 100 < first, "again added {second} of {first} bytes");
    client.check_stream("bkt", "second", seed, len);
}

/// In one stream, shifted by a few bytes, across a restart: boundaries come from content, and what is known is known after
/// a restart too.
#[test]
fn shifted_data_is_found_again_after_a_restart() {
    let mut rng = seed::rng("shifted_data_is_found_again_after_a_restart");
    let mut vault = Vault::start_new("SHIFTED");
    let body = data::random(rng.next(), 32 << 20);
    vault.client().create_bucket("bkt");
    vault.client().put("bkt", "first", &body);
    vault.restart();
    let before = assert_metric_is_true(&vault).total();
    let mut shifted = data::random(rng.next(), 1 + rng.below(5000) as usize);
    shifted.extend_from_slice(&body);
    vault.client().put("bkt", "shifted", &shifted);
    let added = assert_metric_is_true(&vault).total() - before;
    println!("shifted: {added} physical bytes added to {} logical", shifted.len());
    assert!(added * 20 < body.len() as u64, "shifted data added {added} bytes");
    assert!(vault.client().get("bkt", "shifted") == shifted);
}

/// Pages of a database of which 1 % changed: in one range (under 10 %, the figure for a dump) and all over (printed:
/// it is what base chunks will be for).
#[test]
fn changed_pages() {
    let mut rng = seed::rng("changed_pages");
    let vault = Vault::start_new("PAGES");
    let client = vault.client();
    client.create_bucket("bkt");
    let count = (64 << 20) / PAGE_LEN;
    let seed = rng.next();
    let original = data::pages(seed, count);
    let start = assert_metric_is_true(&vault).total();
    client.put("bkt", "base", &original);
    let base = assert_metric_is_true(&vault).total() - start;
    let added = |name: &str, which: Vec<usize>| {
        let before = assert_metric_is_true(&vault).total();
        let mut changed = original.clone();
        data::change_pages(&mut changed, seed, which, 77);
        client.put("bkt", name, &changed);
        assert!(client.get("bkt", name) == changed, "{name}");
        let added = assert_metric_is_true(&vault).total() - before;
        println!("pages, 1 % changed, {name}: {:.2} % added", 100.0 * added as f64 / base as f64);
        added
    };
    let from = rng.below((count - count / 100) as u64) as usize;
    let clustered = added("clustered", (from..from + count / 100).collect());
    let scattered = added("random", (0..count / 100).map(|_| rng.below(count as u64) as usize).collect());
    assert!(clustered * 10 < base, "clustered change added {clustered} of {base}");
    assert!(scattered < base, "random change added {scattered} of {base}");
}
