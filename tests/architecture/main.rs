//! Goal: the house stays as drawn: arrows, lengths, headers, no dead file, guarded constructors in one place. Method: the
//! sources are read as text; every checker is first shown a planted violation.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Longest file, in lines.
const FILE_LINES_MAX: usize = 500;
/// Longest function of the product, in lines.
const FUNCTION_LINES_MAX: usize = 70;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the tree").map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "no source in {folder}");
    found
}

fn product() -> Vec<(PathBuf, String)> {
    let crates = ["src", "admin/src", "gateway/src", "storage/src", "storage/format/src", "storage/policy/src"];
    crates.into_iter().flat_map(sources).collect()
}

/// Told by the path within the house: it may stand in a folder of any name.
fn is_test(path: &Path) -> bool {
    let text = path.strip_prefix(root()).unwrap_or(path).to_string_lossy();
    text.ends_with("tests.rs") || text.contains("/tests/") || text.contains("/testing/") || text.ends_with("testing.rs")
}

/// Crates of the workspace that a manifest depends on, outside `[dev-dependencies]`.
fn arrows(manifest: &str) -> BTreeSet<String> {
    let product = manifest.split("[dev-dependencies]").next().unwrap();
    let dependencies = product.split("[dependencies]").nth(1).unwrap_or("");
    dependencies
        .lines()
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['.', ' ', '=']).next().filter(|name| name.starts_with("kovcheg-")))
        .map(str::to_owned)
        .collect()
}

#[test]
fn arrows_point_down() {
    let planted = arrows("[dependencies]\nkovcheg-admin.workspace = true\n[dev-dependencies]\nkovcheg-x = {}\n");
    assert_eq!(planted, BTreeSet::from(["kovcheg-admin".to_owned()]));
    let allowed: [(&str, &[&str]); 5] = [
        ("storage/format", &[]),
        ("storage/policy", &["kovcheg-format"]),
        ("storage", &["kovcheg-format", "kovcheg-policy"]),
        ("gateway", &["kovcheg-format", "kovcheg-policy", "kovcheg-storage"]),
        ("admin", &["kovcheg-format", "kovcheg-policy", "kovcheg-storage"]),
    ];
    for (folder, allowed) in allowed {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        for name in arrows(&manifest) {
            assert!(allowed.contains(&name.as_str()), "{folder} must not depend on {name}");
        }
    }
}

#[test]
fn files_are_short_and_say_what_they_are() {
    for folder in ["src", "admin/src", "gateway/src", "storage", "tests"] {
        for (path, text) in sources(folder) {
            let lines = text.lines().count();
            assert!(lines <= FILE_LINES_MAX, "{}: {lines} lines", path.display());
            assert!(text.starts_with("//!"), "{} has no header", path.display());
        }
    }
}

/// Names and lengths of the functions of a rustfmt-ed source: from `fn` to the line that closes at its own indent.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let is_fn = ["fn ", "pub fn ", "pub(crate) fn ", "pub(super) fn ", "async fn ", "pub async fn "];
        if !is_fn.iter().any(|start| code.starts_with(start)) || code.ends_with(';') || code.ends_with('}') {
            continue;
        }
        let indent = line.len() - code.len();
        let close = format!("{}}}", " ".repeat(indent));
        if let Some(end) = lines[at..].iter().position(|line| *line == close) {
            let name = code.split("fn ").nth(1).unwrap_or("").split(['(', '<']).next().unwrap_or("").to_owned();
            found.push((name, end + 1));
        }
    }
    found
}

#[test]
fn functions_fit_a_screen() {
    let long = format!("fn long() {{\n{}}}\n", "    step();\n".repeat(80));
    assert_eq!(functions(&long), [("long".to_owned(), 82)]);
    for (path, text) in product().into_iter().filter(|(path, _)| !is_test(path)) {
        for (name, lines) in functions(&text) {
            assert!(lines <= FUNCTION_LINES_MAX, "{}: {name} has {lines} lines", path.display());
        }
    }
}

/// Whether a source says what only unfinished or unfit code says.
fn unfit(text: &str) -> Option<&'static str> {
    // Put together here, so that this file is not its own violation.
    let words = [concat!("to", "do!("), concat!("unimple", "mented!("), concat!("FIX", "ME"), concat!("db", "g!(")];
    words.into_iter().find(|word| text.contains(word))
}

#[test]
fn nothing_is_unfinished() {
    assert!(unfit(concat!("fn f() { to", "do!() }")).is_some());
    for (path, text) in product() {
        assert_eq!(unfit(&text), None, "{}", path.display());
    }
}

#[test]
fn every_file_is_in_the_house() {
    for (path, _) in product() {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        if ["lib", "main", "mod"].contains(&stem) {
            continue;
        }
        let folder = path.parent().unwrap();
        let parents =
            [folder.join("mod.rs"), folder.join("lib.rs"), folder.join("main.rs"), folder.with_extension("rs")];
        let named = parents
            .iter()
            .filter_map(|parent| fs::read_to_string(parent).ok())
            .any(|text| text.lines().any(|line| line.trim_end().ends_with(&format!("mod {stem};"))));
        assert!(named, "{} is in no module", path.display());
    }
}

#[test]
fn guarded_things_are_made_in_one_place() {
    for (made, only) in [
        ("DeleteWarrant {", "storage/src/object/guard.rs"),
        ("Verified(", "storage/src/chunk/pipeline.rs"),
        ("VersionRemoved {", "storage/src/object/guard.rs"),
    ] {
        let mut makers = 0;
        for (path, text) in product().into_iter().filter(|(path, _)| !is_test(path)) {
            let elsewhere = !path.ends_with(only) && !path.to_string_lossy().contains("/format/src/");
            let makes =
                text.lines().filter(|line| !line.trim_start().starts_with("//")).any(|line| line.contains(made));
            assert!(!(elsewhere && makes), "{} makes {made}", path.display());
            makers += usize::from(makes && !elsewhere);
        }
        assert!(makers > 0, "{made} is made nowhere: the check looks for the wrong words");
    }
}

#[test]
fn built_invariants_are_named_in_the_code() {
    let document = fs::read_to_string(root().join("docs/invariants.md")).unwrap();
    let code: String = product().into_iter().map(|(_, text)| text).collect();
    let mut checked = 0;
    for row in document.lines().filter(|line| line.starts_with("| ") && line.trim_end().contains("| yes")) {
        let id = row.split('|').nth(1).unwrap().trim();
        assert!(code.contains(id), "invariant {id} is built and named nowhere in the code");
        checked += 1;
    }
    assert!(checked >= 6, "only {checked} built invariants in the document");
}

/// Names in backticks of a document that are those of traps: `t01_…`, `o02_…`.
fn trap_names(document: &str) -> BTreeSet<String> {
    let is_trap = |name: &&str| {
        let bytes = name.as_bytes();
        bytes.len() > 4
            && matches!(bytes[0], b't' | b'o')
            && bytes[1..3].iter().all(u8::is_ascii_digit)
            && bytes[3] == b'_'
    };
    document.split('`').skip(1).step_by(2).filter(is_trap).map(str::to_owned).collect()
}

#[test]
fn every_trap_is_a_test_and_every_test_of_one_is_listed() {
    assert_eq!(trap_names("`t01_x` t02_y `other` `o09_z`"), BTreeSet::from(["o09_z".to_owned(), "t01_x".to_owned()]));
    let listed = trap_names(&fs::read_to_string(root().join("docs/clients.md")).unwrap());
    let tests: Vec<String> = sources("tests").into_iter().map(|(_, text)| text).collect();
    let written: BTreeSet<String> = tests
        .iter()
        .flat_map(|text| text.lines())
        .filter_map(|line| line.strip_prefix("fn ")?.split('(').next())
        .flat_map(|name| trap_names(&format!("`{name}`")))
        .collect();
    assert_eq!(listed, written, "docs/clients.md and the tests");
}
