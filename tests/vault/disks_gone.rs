//! Goal (E-1, W-1): any two of six disks may go, in any way, and every byte comes back. Three gone: writes answer 503 with
//! the reason, reads a typed error, and nothing is harmed. Method: one vault filled once, copied for every pair; the harm is
//! done while it is down; the index is deleted for a third of the pairs.

use std::path::PathBuf;

use crate::support::corrupt::{self, HARMS, Harm};
use crate::support::data::Rng;
use crate::support::s3::{Call, Mode};
use crate::support::seed;
use crate::support::vault::{DISKS, Stored, Vault};

fn filled(name: &str, rng: &mut Rng) -> (Vault, Stored) {
    let vault = Vault::start_new(name);
    vault.client().create_bucket("bkt");
    let mut stored = Stored::default();
    stored.put_mix(&vault.client(), "bkt", "mix", 40, 3 << 20, rng);
    (vault, stored)
}

fn pairs() -> Vec<(usize, usize)> {
    (0..DISKS).flat_map(|a| (a + 1..DISKS).map(move |b| (a, b))).collect()
}

/// All fifteen pairs; each with two harms, so that every harm meets every other over the pairs.
#[test]
fn any_two_disks_harmed_in_any_way() {
    let mut rng = seed::rng("any_two_disks_harmed_in_any_way");
    let (mut vault, stored) = filled("PAIRS", &mut rng);
    // Killed, not stopped: the journal's tail is live, so that recovery works with harmed disks too.
    vault.kill();
    let saved = vault.folder().join("saved");
    corrupt::copy_tree(vault.data(), &saved);
    let mut kinds: Vec<(Harm, Harm)> = HARMS.iter().flat_map(|a| HARMS.iter().map(move |b| (*a, *b))).collect();
    rng.shuffle(&mut kinds);
    for ((first, second), (how_first, how_second)) in pairs().into_iter().zip(kinds) {
        println!("disk{first} {how_first:?}, disk{second} {how_second:?}");
        std::fs::remove_dir_all(vault.data()).unwrap();
        corrupt::copy_tree(&saved, vault.data());
        corrupt::harm(&vault.disk(first), how_first, &mut rng);
        corrupt::harm(&vault.disk(second), how_second, &mut rng);
        if rng.below(3) == 0 {
            std::fs::remove_dir_all(vault.index()).unwrap();
        }
        vault.start();
        stored.check(&vault.client(), "bkt");
        vault.client().put("bkt", "written with two disks harmed", b"and read back");
        assert_eq!(vault.client().get("bkt", "written with two disks harmed"), b"and read back");
        vault.stop();
    }
}

/// Damage that appears while the vault runs is found by the read that meets it, healed, and counted.
#[test]
fn damage_under_a_running_vault_is_healed_by_reads() {
    let mut rng = seed::rng("damage_under_a_running_vault_is_healed_by_reads");
    let (vault, stored) = filled("HEAL", &mut rng);
    corrupt::harm(&vault.disk(1), Harm::Sprinkled, &mut rng);
    corrupt::harm(&vault.disk(4), Harm::Sprinkled, &mut rng);
    stored.check(&vault.client(), "bkt");
    let report = vault.cli_json(&["verify"]);
    assert_eq!(report["damaged"].as_array().map(Vec::len), Some(0), "{report}");
    let status = vault.status();
    let repaired: u64 =
        status["disks"].as_array().unwrap().iter().filter_map(|disk| disk["repaired_shards"].as_u64()).sum();
    assert!(repaired > 0, "rot was read and nothing repaired: {status}");
    // All that was rotten is healed: two others may go now.
    let mut vault = vault;
    vault.stop();
    corrupt::harm(&vault.disk(0), Harm::Removed, &mut rng);
    corrupt::harm(&vault.disk(2), Harm::Removed, &mut rng);
    vault.start();
    stored.check(&vault.client(), "bkt");
}

/// R4, R15: three of six gone is more than m. Reads of what has fewer than k shards fail with a typed error, writes with 503
/// and the reason; with the disks back, everything is there and writes go on.
#[test]
fn three_disks_gone_is_said_and_harms_nothing() {
    let mut rng = seed::rng("three_disks_gone_is_said_and_harms_nothing");
    let (mut vault, stored) = filled("THREE", &mut rng);
    vault.stop();
    let away: Vec<(PathBuf, PathBuf)> =
        [0, 3, 5].iter().map(|n| (vault.disk(*n), vault.folder().join(format!("away{n}")))).collect();
    away.iter().for_each(|(from, to)| std::fs::rename(from, to).unwrap());
    let reason = vault.start_read_only();
    assert!(reason.contains("disks"), "the reason names what is missing: {reason}");
    let client = vault.client();
    let refused = client.send(&Call::new("PUT", "bkt", "new").body(b"x").mode(Mode::Unsigned)).unwrap();
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.text().contains("disk"), "503 says why: {}", refused.text());
    assert_eq!(client.send(&Call::new("DELETE", "bkt", &stored.0[0].0)).unwrap().status, 503, "a delete is a write");
    let (key, ..) = stored.0.iter().max_by_key(|(_, _, len)| *len).unwrap();
    let lost = client.send(&Call::new("GET", "bkt", key));
    assert!(lost.map_or(true, |answer| answer.status >= 500 && !answer.code().is_empty()), "a read without k shards");
    vault.stop();
    away.iter().for_each(|(from, to)| std::fs::rename(to, from).unwrap());
    vault.start();
    stored.check(&vault.client(), "bkt");
    vault.client().put("bkt", "new", b"x");
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
