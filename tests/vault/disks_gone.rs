//! Goal (E-1, W-1): any two of six disks may go, in any way, and every byte comes back. Method: one small vault filled once,
//! copied for every case; the harm is done while it is down, to the files that say whose a disk is too; the index is deleted for
//! a third of the cases.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use kovcheg_format::shard::StripeKind;

use crate::support::corrupt::{self, HARMS, Harm};
use crate::support::data::Rng;
use crate::support::seed;
use crate::support::shards;
use crate::support::vault::{DISKS, Stored, Vault};

/// Cases played at a time.
const PLAYERS: usize = 2;
/// Small files, so that a copy of the vault for every case is cheap; several segments all the same.
const SMALL: &str =
    "[engine]\nsegment_size = \"4 MiB\"\njournal_file_size = \"4 MiB\"\njournal_prewrite = \"64 KiB\"\n";

/// A running vault with a bucket that holds some objects.
pub fn filled(name: &str, rng: &mut Rng) -> (Vault, Stored) {
    let vault = Vault::start_new(name);
    vault.client().create_bucket("bkt");
    let mut stored = Stored::default();
    stored.put_mix(&vault.client(), "bkt", "mix", 40, 3 << 20, rng);
    (vault, stored)
}

/// Two disks and what happens to each.
#[derive(Debug, Clone, Copy)]
struct Case {
    disks: [usize; 2],
    harms: [Harm; 2],
    seed: u64,
}

/// Every pair under every harm done to both, and every pair under two that differ, drawn so that over the pairs every harm
/// meets every other; `KOVCHEG_BIG=1` takes all 240.
fn cases(rng: &mut Rng) -> Vec<Case> {
    let pairs: Vec<[usize; 2]> = (0..DISKS).flat_map(|a| (a + 1..DISKS).map(move |b| [a, b])).collect();
    let all: Vec<[Harm; 2]> = HARMS.iter().flat_map(|a| HARMS.iter().map(move |b| [*a, *b])).collect();
    let (same, mut differing): (Vec<[Harm; 2]>, Vec<[Harm; 2]>) = all.iter().partition(|[a, b]| a == b);
    rng.shuffle(&mut differing);
    let mut cases = Vec::new();
    for (number, disks) in pairs.into_iter().enumerate() {
        let mut harms = if seed::number("KOVCHEG_BIG", 0) == 1 { all.clone() } else { same.clone() };
        if harms.len() < all.len() {
            harms.push(differing[number % differing.len()]);
        }
        cases.extend(harms.into_iter().map(|harms| Case { disks, harms, seed: rng.next() }));
    }
    cases
}

#[test]
fn any_two_disks_harmed_in_any_way() {
    let mut rng = seed::rng("any_two_disks_harmed_in_any_way");
    let mut vault = Vault::prepare("PAIRS");
    vault.set_config(SMALL);
    vault.start();
    vault.client().create_bucket("bkt");
    let mut stored = Stored::default();
    stored.put_mix(&vault.client(), "bkt", "mix", 12, 1 << 20, &mut rng);
    // Killed, not stopped: the journal's tail is live, so that recovery works with harmed disks too.
    vault.kill();
    let (cases, next, began) = (cases(&mut rng), AtomicUsize::new(0), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..PLAYERS {
            scope.spawn(|| {
                let mut player = Vault::prepare("PAIRS");
                player.set_config(SMALL);
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    println!("{case:?}");
                    play(&mut player, vault.data(), &stored, *case);
                }
            });
        }
    });
    println!("{} cases in {:.1?}", cases.len(), began.elapsed());
}

fn play(vault: &mut Vault, image: &Path, stored: &Stored, case: Case) {
    let mut rng = Rng::new(case.seed);
    let _ = std::fs::remove_dir_all(vault.data());
    corrupt::copy_tree(image, vault.data());
    for (disk, how) in case.disks.into_iter().zip(case.harms) {
        corrupt::harm_with_names(&vault.disk(disk), how, &mut rng);
    }
    if rng.below(3) == 0 {
        std::fs::remove_dir_all(vault.index()).unwrap();
    }
    vault.start();
    stored.check(&vault.client(), "bkt");
    vault.client().put("bkt", "written with two disks harmed", b"and read back");
    assert_eq!(vault.client().get("bkt", "written with two disks harmed"), b"and read back");
    assert!(!vault.log().contains("panicked at"), "{case:?}: {}", vault.log());
    vault.kill();
}

/// Damage that appears while the vault runs is found by the read that meets it, healed, and counted, before anybody verifies;
/// what no read met, `verify` heals.
#[test]
fn damage_under_a_running_vault_is_healed_by_reads() {
    let mut rng = seed::rng("damage_under_a_running_vault_is_healed_by_reads");
    let (mut vault, stored) = filled("HEAL", &mut rng);
    let [rotten, intact] = by_data(&vault);
    rotten.iter().for_each(|disk| corrupt::harm(&vault.disk(*disk), Harm::Sprinkled, &mut rng));
    stored.check(&vault.client(), "bkt");
    let status = vault.status();
    let repaired = repaired(&status);
    println!("{repaired} shards repaired by reads");
    assert!(repaired > 0, "rot was read and nothing repaired: {status}");
    let report = vault.cli_json(&["verify"]);
    assert_eq!(report["damaged"].as_array().map(Vec::len), Some(0), "{report}");
    // All that was rotten is healed: two others may go now.
    vault.stop();
    intact.iter().for_each(|disk| corrupt::harm(&vault.disk(*disk), Harm::Removed, &mut rng));
    vault.start();
    stored.check(&vault.client(), "bkt");
}

/// The two disks with most bytes of data shards and the two after them. What is read comes from data shards, and ids drawn anew
/// for every vault say where these lie: two disks named beforehand may hold nothing but parity.
fn by_data(vault: &Vault) -> [[usize; 2]; 2] {
    let held = |disk: usize| -> u64 {
        let shards = shards::walk(&vault.disk(disk)).into_iter().map(|found| found.header);
        shards.filter(|head| head.kind == StripeKind::Data && head.index < head.k).map(|head| head.disk_len()).sum()
    };
    let mut disks: Vec<usize> = (0..DISKS).collect();
    disks.sort_by_cached_key(|disk| std::cmp::Reverse(held(*disk)));
    [[disks[0], disks[1]], [disks[2], disks[3]]]
}

/// Shards written back, by the count of `status`.
fn repaired(status: &serde_json::Value) -> u64 {
    let disks = status["disks"].as_array().expect("a list of disks");
    disks.iter().map(|disk| disk["repaired_shards"].as_u64().expect("a count of repairs")).sum()
}

/// R4: a vault on four of six disks writes narrower stripes; when the two come back, these too outlive any two.
#[test]
fn written_on_four_disks_survives_two_more() {
    let mut rng = seed::rng("written_on_four_disks_survives_two_more");
    let (mut vault, mut stored) = filled("FOUR", &mut rng);
    vault.stop();
    let away = [1, 2].map(|n| (vault.disk(n), vault.folder().join(format!("away{n}"))));
    away.iter().for_each(|(from, to)| std::fs::rename(from, to).unwrap());
    vault.start();
    stored.put_mix(&vault.client(), "bkt", "narrow", 12, 2 << 20, &mut rng);
    stored.check(&vault.client(), "bkt");
    vault.kill();
    away.iter().for_each(|(from, to)| std::fs::rename(to, from).unwrap());
    vault.start();
    stored.check(&vault.client(), "bkt");
    clean(&vault);
    vault.stop();
    corrupt::harm(&vault.disk(3), Harm::Removed, &mut rng);
    corrupt::harm(&vault.disk(5), Harm::Emptied, &mut rng);
    vault.start();
    stored.check(&vault.client(), "bkt");
}

/// Waits until `status` has every disk serving.
pub fn clean(vault: &Vault) {
    crate::support::vault::wait_until("all disks to serve again", || {
        vault.disk_states().iter().all(|state| state == "serving")
    });
}
