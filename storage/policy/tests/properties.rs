//! Goal: what must hold of policy whatever the facts are. Method: proptest over all facts; failures print their seed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

use kovcheg_format::id::DiskId;
use kovcheg_format::record::version::{RetentionMode, VersionFacts};
use kovcheg_format::superblock::FailureDomain;
use kovcheg_policy::facts::{DiskFacts, RemovalCause, RetentionChange, VersionRemoval};
use kovcheg_policy::object_lock::{may_remove, may_set_retention};
use kovcheg_policy::placement::place;
use kovcheg_policy::{Reason, Verdict};
use proptest::bool::weighted;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_assume, prop_oneof, proptest};
use proptest::sample::{Index, select};

/// Requests whose times are close together, so that boundaries are met, most of them free of holds.
fn request() -> impl Strategy<Value = VersionRemoval> {
    let times = (0_u64..8, 0_u64..8, weighted(0.15));
    let holds = (weighted(0.2), prop_oneof![4 => Just(0), 1 => 1_u32..3]);
    (select(RetentionMode::ALL), times, holds, any::<bool>(), select(&RemovalCause::ALL[..])).prop_map(
        |(retention, (until, retention_clock, far), (legal_hold, case_holds), bypass_governance, cause)| {
            let retain_until = if far { u64::MAX - until } else { until };
            let facts = VersionFacts { retention, retain_until, legal_hold, case_holds, ..VersionFacts::free(0) };
            VersionRemoval { facts, bypass_governance, retention_clock, cause }
        },
    )
}

/// Up to 24 disks of two sites with four hosts of two shelves each.
fn disks() -> impl Strategy<Value = Vec<DiskFacts>> {
    let place = (0_u8..2, 0_u8..4, 0_u8..2).prop_map(|(site, host, shelf)| FailureDomain {
        host: format!("host{host}"),
        enclosure: format!("shelf{shelf}"),
        site: format!("site{site}"),
        country: "RU".into(),
    });
    let disk = (place, 0_u64..1 << 44, weighted(0.8)).prop_map(|(failure_domain, free, serving)| DiskFacts {
        id: DiskId([0; 16]),
        free,
        failure_domain,
        serving,
    });
    vec(disk, 0..24)
        .prop_map(|disks| (0..).zip(disks).map(|(index, disk)| DiskFacts { id: DiskId([index; 16]), ..disk }).collect())
}

proptest! {
    /// Time passing never turns Allow into Deny.
    #[test]
    fn time_only_frees(request in request(), later in 0_u64..8) {
        prop_assume!(may_remove(&request).is_allow());
        let retention_clock = request.retention_clock + later;
        let verdict = may_remove(&VersionRemoval { retention_clock, ..request });
        prop_assert!(verdict.is_allow());
    }

    /// L-1: a hold always denies, and bypass changes nothing about it.
    #[test]
    fn a_hold_always_denies(mut request in request(), legal: bool) {
        if legal { request.facts.legal_hold = true } else { request.facts.case_holds += 1 }
        for bypass_governance in [false, true] {
            let verdict = may_remove(&VersionRemoval { bypass_governance, ..request.clone() });
            let reason = if legal { Reason::LegalHold } else { Reason::CaseHold };
            prop_assert!(!verdict.is_allow() && verdict.reasons().contains(&reason));
        }
    }

    /// L-1, L-2: bypass never lifts COMPLIANCE; it makes a difference for GOVERNANCE and a client's delete alone.
    #[test]
    fn bypass_lifts_governance_alone(request in request()) {
        let with = may_remove(&VersionRemoval { bypass_governance: true, ..request.clone() });
        let without = may_remove(&VersionRemoval { bypass_governance: false, ..request.clone() });
        if with != without {
            prop_assert_eq!(request.facts.retention, RetentionMode::Governance);
            prop_assert_eq!(request.cause, RemovalCause::ClientDelete);
            prop_assert!(without.reasons().contains(&Reason::GovernanceRetention));
        }
        let lasts = request.facts.retain_until > request.retention_clock;
        if request.facts.retention == RetentionMode::Compliance && lasts {
            prop_assert!(with.reasons().contains(&Reason::ComplianceRetention) && !with.is_allow());
        }
    }

    /// A later retain-until, another hold or a stricter mode never turns Deny into Allow.
    #[test]
    fn stricter_facts_never_free(request in request(), more in 0_u64..8, holds in 0_u32..2, compliance: bool) {
        prop_assume!(!may_remove(&request).is_allow());
        let mut stricter = request.clone();
        stricter.facts.retain_until = stricter.facts.retain_until.saturating_add(more);
        stricter.facts.case_holds += holds;
        if compliance {
            stricter.facts.retention = RetentionMode::Compliance;
        }
        prop_assert!(!may_remove(&stricter).is_allow());
    }

    /// L-1, L-2: no change of retention that is allowed without bypass lets a version go earlier, and none at all shortens COMPLIANCE.
    #[test]
    fn no_change_frees_what_lasts(
        request in request(),
        mode in select(RetentionMode::ALL),
        until in 0_u64..8,
        bypass: bool,
        clock in 0_u64..8,
    ) {
        let retain_until = if mode == RetentionMode::None { 0 } else { until };
        let change = RetentionChange {
            facts: request.facts.clone(),
            mode,
            retain_until,
            bypass_governance: bypass,
            retention_clock: request.retention_clock,
        };
        prop_assume!(may_set_retention(&change).is_allow());
        let after = VersionFacts { retention: mode, retain_until, ..request.facts.clone() };
        let compliance = request.facts.retention == RetentionMode::Compliance;
        if !bypass || compliance {
            let later = VersionRemoval { retention_clock: request.retention_clock.max(clock), ..request.clone() };
            let then = VersionRemoval { facts: after, ..later.clone() };
            prop_assert!(!may_remove(&then).is_allow() || may_remove(&later).is_allow(), "{change:?}");
        }
    }

    /// A verdict always says why, and one denial denies.
    #[test]
    fn the_strictest_wins(first in request(), second in request()) {
        let (first, second) = (may_remove(&first), may_remove(&second));
        let both = first.clone().and(second.clone());
        prop_assert_eq!(both.is_allow(), first.is_allow() && second.is_allow());
        prop_assert!(!both.reasons().is_empty());
        if let (Verdict::Deny { reasons }, Verdict::Allow { .. }) = (&first, &second) {
            prop_assert_eq!(both.reasons(), &reasons[..]);
        }
    }

    /// R4: as wide as can be, on different writable disks; the same for the same seed, in whatever order disks are listed.
    #[test]
    fn placement_is_full_and_repeatable(disks in disks(), k in 1_u8..20, m in 0_u8..10, seed: u64, turn in any::<Index>()) {
        let writable: BTreeSet<DiskId> =
            disks.iter().filter(|disk| disk.serving && disk.free > 0).map(|disk| disk.id).collect();
        let answer = place(&disks, k, m, seed);
        if writable.len() <= usize::from(m) {
            prop_assert_eq!(answer, Err(Reason::TooFewDisks));
            return Ok(());
        }
        let chosen = answer.unwrap();
        let different: BTreeSet<DiskId> = chosen.iter().copied().collect();
        prop_assert_eq!(different.len(), chosen.len());
        prop_assert_eq!(chosen.len(), usize::from(k + m).min(writable.len()));
        prop_assert!(different.is_subset(&writable) && chosen.len() > usize::from(m));
        let mut turned = disks.clone();
        turned.rotate_left(turn.index(disks.len()));
        turned.extend(disks.first().cloned());
        prop_assert_eq!(place(&turned, k, m, seed).unwrap(), chosen);
    }

    /// Shards spread over what fails together: a site holds two more than another, or a host two more than another of the
    /// same site, only when the other has no disk left. Of disks that stand together, the emptier are taken.
    #[test]
    fn placement_spreads(disks in disks(), k in 1_u8..6, m in 0_u8..4, seed: u64) {
        let Ok(chosen) = place(&disks, k, m, seed) else { return Ok(()) };
        let writable: Vec<&DiskFacts> = disks.iter().filter(|disk| disk.serving && disk.free > 0).collect();
        let site = |disk: &DiskFacts| disk.failure_domain.site.clone();
        let host = |disk: &DiskFacts| (site(disk), disk.failure_domain.host.clone());
        let (mut by_site, mut by_host) = (BTreeMap::new(), BTreeMap::new());
        for disk in &writable {
            let taken = usize::from(chosen.contains(&disk.id));
            *by_site.entry(site(disk)).or_insert(0) += taken;
            *by_host.entry(host(disk)).or_insert(0) += taken;
        }
        for left in writable.iter().filter(|disk| !chosen.contains(&disk.id)) {
            prop_assert!(by_site.values().all(|count| *count <= by_site[&site(left)] + 1));
            let same_site = by_host.iter().filter(|((at, _), _)| *at == site(left));
            prop_assert!(same_site.clone().all(|(_, count)| *count <= by_host[&host(left)] + 1));
            let together = writable.iter().filter(|disk| disk.failure_domain == left.failure_domain);
            for taken in together.filter(|disk| chosen.contains(&disk.id)) {
                prop_assert!(left.free / 8 * 7 <= taken.free + 8, "{left:?} left for {taken:?}");
            }
        }
    }
}

/// Goal: equally free disks share the load. Method: 600 seeds over nine disks, six shards each: 400 expected on each.
#[test]
fn seeds_spread_the_load() {
    let disk = |index| DiskFacts {
        id: DiskId([index; 16]),
        free: 1 << 40,
        failure_domain: FailureDomain::default(),
        serving: true,
    };
    let disks: Vec<DiskFacts> = (0..9).map(disk).collect();
    let (mut shards, mut parity) = (BTreeMap::new(), BTreeMap::new());
    for seed in 0..600 {
        for (index, id) in place(&disks, 4, 2, seed).unwrap().into_iter().enumerate() {
            *shards.entry(id).or_insert(0) += 1;
            *parity.entry(id).or_insert(0) += usize::from(index >= 4);
        }
    }
    assert!(shards.len() == 9 && shards.values().all(|count| (330..470).contains(count)), "{shards:?}");
    assert!(parity.values().all(|count| (90..180).contains(count)), "{parity:?}");
}
