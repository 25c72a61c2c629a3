//! Goal: an entry is the same text for ever, and docs/audit.md says what is in it. Method: one entry of every kind against a golden file
//! (`KOVCHEG_BLESS=1` writes it when it is not there), and its fields against the document's table.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::path::PathBuf;

use kovcheg_format::audit::{AuditTree, entry_text, export_line, split_line};
use kovcheg_format::id::Lsn;
use kovcheg_format::record::Record;
use support::samples;

/// An export of one record of every kind.
fn trail() -> Vec<String> {
    let mut tree = AuditTree::default();
    let line = |record: &Record| {
        let text = entry_text(tree.size, Lsn(40 + tree.size), 1_764_000_000_000, record)?;
        tree.append(&text);
        Some(export_line(&text, tree.chain))
    };
    samples::records().iter().filter_map(line).collect()
}

#[test]
fn entries_are_written_as_in_the_golden_file() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/trail.v1.jsonl");
    let found: String = trail().iter().map(|line| format!("{line}\n")).collect();
    if std::env::var("KOVCHEG_BLESS").is_ok_and(|value| value == "1") && !path.exists() {
        std::fs::write(&path, &found).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).expect("a golden file"), found, "published entries never change");
}

/// The names of the fields of a JSON object, in their order.
fn fields(object: &str) -> Vec<String> {
    let (mut depth, mut quoted, mut escaped, mut text, mut names) = (0, false, false, String::new(), Vec::new());
    for character in object.chars() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => {
                quoted = !quoted;
                if quoted {
                    text.clear();
                }
            }
            _ if quoted => text.push(character),
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            ':' if depth == 1 => names.push(text.clone()),
            _ => {}
        }
    }
    names
}

#[test]
fn the_document_names_the_fields_of_every_kind() {
    let document = include_str!("../../../docs/audit.md");
    let table = document.split_once("<!-- entries -->\n").expect("the table").1;
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let documented: Vec<(String, Vec<String>)> = rows
        .map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            (cells[0].to_owned(), cells[1].split(", ").map(str::to_owned).collect())
        })
        .collect();
    let written: Vec<(String, Vec<String>)> = trail()
        .iter()
        .map(|line| {
            let text = split_line(line).unwrap().0;
            let all = fields(&text);
            assert_eq!(
                (&all[..4], all.last().unwrap().as_str()),
                (&["n", "lsn", "clock", "kind"].map(str::to_owned)[..], "record")
            );
            let kind = text.split_once("\"kind\":\"").unwrap().1.split_once('"').unwrap().0;
            (kind.to_owned(), all[4..all.len() - 1].to_vec())
        })
        .collect();
    assert_eq!(documented, written);
}

/// Goal (K-1): no secret leaves by an export, and every byte of a record is bound by its entry.
#[test]
fn sealed_secrets_are_bound_and_not_shown() {
    let text = |record: &Record| entry_text(0, Lsn(1), 0, record);
    for record in samples::records() {
        let Record::CredentialSet(mut set) = record else { continue };
        let before = text(&set.clone().into()).unwrap();
        assert!(!before.contains(&hex::encode(&set.sealed_secret.0[..8])), "{before}");
        set.sealed_secret.0[3] ^= 1;
        assert_ne!(text(&set.into()).unwrap(), before);
    }
}
