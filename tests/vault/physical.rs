//! Goal: the metric of physical bytes says what lies on the disks. Method: after mixed writes, the metric is compared kind
//! by kind with a walk over the shard headers of all disks, and the walk with the sizes of the files.

use crate::support::seed;
use crate::support::shards::{self, Physical};
use crate::support::vault::{Stored, Vault};

/// Times that the metric is looked at before it counts as wrong: five seconds.
const LOOKS: u32 = 25;

/// The metric, as a walk would say it.
pub fn by_metric(vault: &Vault) -> Physical {
    let scrape = vault.metrics();
    Physical { data: scrape.physical("data"), parity: scrape.physical("parity"), records: scrape.physical("records") }
}

/// Fails unless metric and disks agree: exactly per kind, while nothing is written.
#[track_caller]
pub fn assert_metric_is_true(vault: &Vault) -> Physical {
    // What the listener says may be a second old.
    let (mut metric, mut walked) = (by_metric(vault), shards::physical(&vault.disks()));
    for _ in 0..LOOKS {
        if metric == walked {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
        (metric, walked) = (by_metric(vault), shards::physical(&vault.disks()));
    }
    assert_eq!(metric, walked, "metric (left) and walk over the disks (right)");
    metric
}

#[test]
fn metric_agrees_with_the_disks() {
    let mut rng = seed::rng("metric_agrees_with_the_disks");
    let mut vault = Vault::start_new("PHYSICAL");
    vault.client().create_bucket("bkt");
    let mut stored = Stored::default();
    stored.put_mix(&vault.client(), "bkt", "k", 40, 4 << 20, &mut rng);
    let first = assert_metric_is_true(&vault);
    assert!(first.data > 0 && first.parity > 0 && first.records > 0, "{first:?}");
    let files: u64 =
        vault.disks().iter().flat_map(|disk| shards::files(disk)).map(|file| file.metadata().unwrap().len()).sum();
    assert!(first.total() <= files, "{} bytes of shards in {files} bytes of files", first.total());
    // 4+2 stores half as much parity as data; padding of small stripes makes it a little more, never less.
    assert!(first.parity * 2 >= first.data + first.records, "{first:?}");
    vault.restart();
    let second = assert_metric_is_true(&vault);
    assert!(second.data >= first.data, "data bytes went away over a restart: {first:?}, then {second:?}");
    assert!(vault.metrics().physical("index") > 0);
}
