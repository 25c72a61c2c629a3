//! Goal: the code decides as the tables say, in every combination. Method: the files in tests/tables are expanded over all
//! inputs; each input must meet exactly one row of each table; docs/policy.md must hold the same rows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use std::path::Path;

use kovcheg_format::id::{BucketId, DiskId, HoldId, RequestId, VersionId};
use kovcheg_format::record::audit::Origin;
use kovcheg_format::record::hold::{CaseHoldPlaced, HoldScope};
use kovcheg_format::record::version::{Pair, RetentionMode, VersionFacts};
use kovcheg_format::superblock::FailureDomain;
use kovcheg_policy::case_hold::{HoldTarget, covers, may_set_tags};
use kovcheg_policy::facts::{DiskFacts, RemovalCause, RetentionChange, VersionRemoval};
use kovcheg_policy::object_lock::{may_remove, may_set_retention};
use kovcheg_policy::placement::place;
use kovcheg_policy::{Reason, Verdict};

const CLOCK: u64 = 1_764_000_000_000;

fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Rows of a table file, without comments.
fn rows(name: &str) -> Vec<Vec<String>> {
    let lines = text(&format!("tests/tables/{name}.txt"));
    let rows: Vec<Vec<String>> = lines
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| line.split_whitespace().map(str::to_owned).collect())
        .collect();
    assert!(rows.len() > 1, "{name} is empty");
    rows
}

/// The one row whose first cells match, `*` matching anything.
fn only_row<'a>(rows: &'a [Vec<String>], input: &[&str]) -> &'a [String] {
    let matches = |row: &&Vec<String>| input.iter().zip(*row).all(|(want, cell)| cell == "*" || cell == want);
    let found: Vec<&Vec<String>> = rows.iter().filter(matches).collect();
    assert_eq!(found.len(), 1, "{input:?} meets {found:?}");
    &found[0][input.len()..]
}

fn reasons(cell: &str) -> Vec<Reason> {
    let by_code = |code: &str| *Reason::ALL.iter().find(|reason| reason.code() == code).expect("a reason's code");
    if cell == "-" { Vec::new() } else { cell.split(',').map(by_code).collect() }
}

#[test]
fn removal_follows_the_tables() {
    let (retention, holds) = (rows("retention"), rows("holds"));
    let modes = [
        (RetentionMode::None, "none"),
        (RetentionMode::Governance, "governance"),
        (RetentionMode::Compliance, "compliance"),
    ];
    let untils = [(CLOCK - 1, "past"), (0, "past"), (CLOCK, "equal"), (CLOCK + 1, "future"), (u64::MAX, "future")];
    let mut tried = 0;
    for ((mode, mode_word), (until, until_word)) in modes.into_iter().flat_map(|mode| untils.map(|until| (mode, until)))
    {
        for (cause, bypass) in RemovalCause::ALL.into_iter().flat_map(|cause| [(cause, false), (cause, true)]) {
            for (legal, cases) in [false, true].into_iter().flat_map(|legal| [(legal, 0), (legal, 1), (legal, 9)]) {
                let facts = VersionFacts {
                    retention: mode,
                    retain_until: until,
                    legal_hold: legal,
                    case_holds: cases,
                    ..VersionFacts::free(CLOCK - 5)
                };
                let request = VersionRemoval { facts, bypass_governance: bypass, retention_clock: CLOCK, cause };
                let yes = |flag| if flag { "yes" } else { "no" };
                let kept = only_row(&retention, &[mode_word, until_word, cause.code(), yes(bypass)]);
                let held = only_row(&holds, &[yes(legal), ["0", "1", "many"][cases.min(2) as usize]]);
                let denials: Vec<Reason> =
                    [kept, held].iter().filter(|row| row[0] == "deny").flat_map(|row| reasons(&row[1])).collect();
                let expected = if denials.is_empty() {
                    Verdict::Allow { reasons: reasons(&kept[1]) }
                } else {
                    Verdict::Deny { reasons: denials }
                };
                assert_eq!(may_remove(&request), expected, "{request:?}");
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 3 * 5 * 8 * 6);
}

#[test]
fn changes_of_retention_follow_the_table() {
    let table = rows("retention-change");
    let modes = [
        (RetentionMode::None, "none"),
        (RetentionMode::Governance, "governance"),
        (RetentionMode::Compliance, "compliance"),
    ];
    let mut tried = 0;
    for ((mode, mode_word), (new, new_word)) in modes.into_iter().flat_map(|old| modes.map(|new| (old, new))) {
        for (until, lasts) in [(0, "no"), (CLOCK - 1, "no"), (CLOCK, "no"), (CLOCK + 9, "yes"), (u64::MAX - 1, "yes")] {
            let dates = [(until.saturating_sub(1), "earlier"), (until, "equal"), (until + 1, "later")];
            for ((date, against), bypass) in dates.into_iter().flat_map(|date| [(date, false), (date, true)]) {
                if new == RetentionMode::None && against != "earlier" {
                    continue;
                }
                let facts = VersionFacts { retention: mode, retain_until: until, ..VersionFacts::free(CLOCK - 5) };
                let retain_until = if new == RetentionMode::None { 0 } else { date };
                let change = RetentionChange {
                    facts,
                    mode: new,
                    retain_until,
                    bypass_governance: bypass,
                    retention_clock: CLOCK,
                };
                let row = only_row(&table, &[mode_word, lasts, new_word, against, if bypass { "yes" } else { "no" }]);
                let expected = match row[0].as_str() {
                    "allow" => Verdict::Allow { reasons: reasons(&row[1]) },
                    _ => Verdict::Deny { reasons: reasons(&row[1]) },
                };
                assert_eq!(may_set_retention(&change), expected, "{change:?}");
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 3 * 5 * 2 * (3 + 3 + 1));
}

fn pair(name: &str, value: &str) -> Pair {
    Pair { name: name.to_owned(), value: value.to_owned() }
}

/// A hold on `2025/`, on the tag `case=7`, or on one version, as its scope wants.
fn hold(scope: HoldScope) -> CaseHoldPlaced {
    let keyed = [HoldScope::Prefix, HoldScope::Version].contains(&scope);
    CaseHoldPlaced {
        hold: HoldId(1),
        case: "7".to_owned(),
        bucket: BucketId(1),
        scope,
        key: if keyed { "2025/".to_owned() } else { String::new() },
        version: if scope == HoldScope::Version { VersionId([1; 16]) } else { VersionId::ZERO },
        tag: if scope == HoldScope::Tag { pair("case", "7") } else { pair("", "") },
        note: String::new(),
        placed_at: CLOCK,
        retention_clock: CLOCK,
        by: Origin { actor: String::new(), address: String::new(), request: RequestId::ZERO },
    }
}

#[test]
fn case_holds_cover_what_the_table_says() {
    let table = rows("case-hold");
    let scopes = [
        (HoldScope::Bucket, "bucket"),
        (HoldScope::Prefix, "prefix"),
        (HoldScope::Tag, "tag"),
        (HoldScope::Version, "version"),
    ];
    let keys =
        [("2024/a", "outside"), ("2025", "outside"), ("a2025/", "outside"), ("2025/", "equal"), ("2025/a", "inside")];
    let versions = [(VersionId([1; 16]), "same"), (VersionId([2; 16]), "other")];
    let tags = [
        (vec![], "none"),
        (vec![pair("case", "8")], "other"),
        (vec![pair("Case", "7")], "other"),
        (vec![pair("case", "7")], "same"),
        (vec![pair("a", "b"), pair("case", "7")], "same"),
    ];
    let mut tried = 0;
    for ((scope, scope_word), (key, key_word)) in scopes.into_iter().flat_map(|scope| keys.map(|key| (scope, key))) {
        let hold = hold(scope);
        for (version, version_word) in versions {
            for (tags, tag_word) in &tags {
                let target = HoldTarget { key, version, tags };
                let covered = only_row(&table, &[scope_word, key_word, version_word, tag_word])[0] == "yes";
                assert_eq!(covers(&hold, &target), covered, "{scope_word} {target:?}");
                // Tags may change as long as the version is covered no less.
                let lost = covered && only_row(&table, &[scope_word, key_word, version_word, "none"])[0] == "no";
                let verdict = may_set_tags(std::slice::from_ref(&hold), &target, &[]);
                let expected = if lost { Verdict::deny(Reason::CaseHold) } else { Verdict::allow(Reason::StillHeld) };
                assert_eq!(verdict, expected, "{scope_word} {target:?}");
                let kept = may_set_tags(std::slice::from_ref(&hold), &target, &[pair("case", "7"), pair("x", "y")]);
                assert_eq!(kept, Verdict::allow(Reason::StillHeld), "{scope_word} {target:?}");
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 4 * 5 * 2 * 5);
}

#[test]
fn placement_follows_the_table() {
    for row in rows("placement") {
        let number = |cell: usize| row[cell].parse::<u8>().unwrap();
        let disk = |index: u8, serving| DiskFacts {
            id: DiskId([index; 16]),
            free: 1 << 40,
            failure_domain: FailureDomain::default(),
            serving,
        };
        let mut disks: Vec<DiskFacts> = (0..number(2)).map(|index| disk(index, true)).collect();
        disks.push(disk(200, false));
        disks.push(DiskFacts { free: 0, ..disk(201, true) });
        let answer = place(&disks, number(0), number(1), 7);
        let shards = answer.as_ref().map_or(0, Vec::len);
        assert_eq!(shards, usize::from(number(3)), "{row:?}");
        assert_eq!(answer.err().map_or(Vec::new(), |reason| vec![reason]), reasons(&row[4]), "{row:?}");
    }
}

/// docs/policy.md is normative: its tables have the rows that the test above ran, in the same order, and no others.
#[test]
fn the_document_has_the_same_tables() {
    let document = text("../../docs/policy.md");
    for name in ["retention", "holds", "case-hold", "retention-change", "placement"] {
        let (_, after) = document.split_once(&format!("<!-- table: {name} -->")).expect(name);
        let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
        let found: Vec<Vec<String>> = after
            .lines()
            .skip_while(|line| !line.starts_with("|-"))
            .skip(1)
            .take_while(|line| line.starts_with('|'))
            .map(cells)
            .collect();
        assert_eq!(found, rows(name), "{name}");
    }
    for reason in Reason::ALL {
        assert!(document.contains(&format!("| `{reason}` |")), "docs/policy.md does not explain {reason}");
    }
}
