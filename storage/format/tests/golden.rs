//! Goal: no byte of a published layout ever changes unnoticed. Method: one file per type and version in tests/golden,
//! compared with what this release writes; `KOVCHEG_BLESS=1` writes files that are not there yet, never others.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::collections::BTreeSet;
use std::path::PathBuf;

use support::{decoders, samples};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Hex, 32 bytes a line; runs of zero lines become `* <lines>`, because superblocks and shards are mostly reserve.
fn to_text(bytes: &[u8]) -> String {
    let mut out = String::new();
    let mut zero_lines = 0;
    for line in bytes.chunks(32) {
        if line.len() == 32 && line.iter().all(|byte| *byte == 0) {
            zero_lines += 1;
            continue;
        }
        if zero_lines > 0 {
            out += &format!("* {zero_lines}\n");
            zero_lines = 0;
        }
        out += &hex::encode(line);
        out.push('\n');
    }
    if zero_lines > 0 {
        out += &format!("* {zero_lines}\n");
    }
    out
}

fn from_text(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("* ") {
            Some(lines) => bytes.resize(bytes.len() + 32 * lines.parse::<usize>().unwrap(), 0),
            None => bytes.extend(hex::decode(line).unwrap()),
        }
    }
    bytes
}

#[test]
fn every_type_is_written_as_its_golden_file() {
    let bless = std::env::var("KOVCHEG_BLESS").is_ok_and(|value| value == "1");
    let mut wrong = Vec::new();
    let mut expected = BTreeSet::new();
    for (name, bytes) in samples::all() {
        let file = format!("{name}.v1.hex");
        let path = folder().join(&file);
        assert!(expected.insert(file), "two samples named {name}");
        if bless && !path.exists() {
            std::fs::write(&path, to_text(&bytes)).unwrap();
        }
        match std::fs::read_to_string(&path) {
            Err(error) => wrong.push(format!("{name}: {error}")),
            Ok(text) if text != to_text(&bytes) => wrong.push(format!("{name}: other bytes; add a version instead")),
            Ok(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let found: BTreeSet<String> =
        std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(found, expected, "golden files without a sample, or samples without a file");
}

/// Goal: what older releases wrote is still read. Method: every golden file goes through its decoder.
#[test]
fn every_golden_file_is_read() {
    let decoders = decoders::all();
    for (name, bytes) in samples::all() {
        let text = std::fs::read_to_string(folder().join(format!("{name}.v1.hex"))).unwrap();
        let stored = from_text(&text);
        assert_eq!(stored.len(), bytes.len(), "{name}");
        let decoder =
            decoders.iter().filter(|(prefix, _)| name.starts_with(prefix.as_str())).max_by_key(|(p, _)| p.len());
        let (prefix, decode) = decoder.unwrap_or_else(|| panic!("no decoder for {name}"));
        assert!(decode(&stored), "{name} is refused by {prefix}");
    }
}

#[test]
fn every_kind_of_record_has_a_sample() {
    let tags: Vec<u16> = samples::records().iter().map(kovcheg_format::record::Record::tag).collect();
    let known: Vec<u16> = kovcheg_format::record::Record::TAGS.iter().map(|(tag, _)| *tag).collect();
    assert_eq!(tags, known);
}
