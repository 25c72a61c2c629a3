//! Finds keys that mean nothing, and the known one that was probably meant.
//!
//! Which keys are known is not written down twice: it is read off the serialised defaults.

use toml::{Table, Value};

/// A key that means nothing.
#[derive(Debug, PartialEq, Eq)]
pub struct Unknown {
    /// With its table: `engine.memry`.
    pub key: String,
    /// The known key that is most like it, with its table.
    pub nearest: Option<String>,
}

/// The first key of `given` that is not in `known`. A list of tables is held against the first table of the known list.
#[must_use]
pub fn first_unknown(given: &Table, known: &Table) -> Option<Unknown> {
    let all = paths(known, "");
    walk(given, known, "", &all)
}

fn walk(given: &Table, known: &Table, prefix: &str, all: &[String]) -> Option<Unknown> {
    given.iter().find_map(|(name, value)| {
        let path = format!("{prefix}{name}");
        match (known.get(name), value) {
            (None, _) => Some(Unknown { nearest: nearest(&path, prefix, all), key: path }),
            (Some(Value::Table(known)), Value::Table(given)) => walk(given, known, &format!("{path}."), all),
            (Some(Value::Array(known)), Value::Array(given)) => {
                let Some(Value::Table(known)) = known.first() else { return None };
                let tables = given.iter().filter_map(Value::as_table);
                tables.into_iter().find_map(|given| walk(given, known, &format!("{path}."), all))
            }
            // A table where a value belongs, or the reverse, is a wrong type: the parser says so with its line.
            _ => None,
        }
    })
}

/// Every key below `table`, tables included.
#[must_use]
pub fn paths(table: &Table, prefix: &str) -> Vec<String> {
    let mut out = Vec::new();
    for (name, value) in table {
        let path = format!("{prefix}{name}");
        let inner = match value {
            Value::Table(inner) => Some(inner),
            Value::Array(items) => items.first().and_then(Value::as_table),
            _ => None,
        };
        if let Some(inner) = inner {
            out.extend(paths(inner, &format!("{path}.")));
        }
        out.push(path);
    }
    out
}

/// Prefers a key of the same table; a key that is spelt right but stands in the wrong table is found in the right one.
fn nearest(path: &str, prefix: &str, all: &[String]) -> Option<String> {
    let name = path.strip_prefix(prefix).unwrap_or(path);
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let closest = |candidates: &mut dyn Iterator<Item = &String>| {
        candidates
            .map(|candidate| (distance(name, &last(candidate)), candidate))
            .min_by_key(|(distance, _)| *distance)
            .filter(|(distance, _)| *distance <= (name.chars().count() / 2).max(2))
            .map(|(distance, candidate)| (distance, candidate.clone()))
    };
    let depth = prefix.matches('.').count();
    let beside = |path: &&String| path.starts_with(prefix) && path.matches('.').count() == depth;
    let same_table = closest(&mut all.iter().filter(beside));
    let anywhere = closest(&mut all.iter());
    match (same_table, anywhere) {
        (Some((near, here)), Some((far, there))) => Some(if far == 0 && near > 0 { there } else { here }),
        (Some((_, here)), None) => Some(here),
        (None, elsewhere) => elsewhere.map(|(_, there)| there),
    }
}

/// Levenshtein distance.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (at, a) in left.chars().enumerate() {
        let mut next = vec![at + 1];
        for ((b, diagonal), above) in right.iter().zip(row.iter()).zip(row.iter().skip(1)) {
            let insert = next.last().copied().unwrap_or_default() + 1;
            next.push((diagonal + usize::from(a != *b)).min(above + 1).min(insert));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{Unknown, distance, first_unknown};

    const KNOWN: &str =
        "[vault]\nk = 4\ndata_dir = ''\n[[disk]]\npath = ''\nhost = ''\n[s3]\nlisten = ''\nregion = ''\n";

    fn find(given: &str) -> Option<(String, Option<String>)> {
        let found = first_unknown(&given.parse().unwrap(), &KNOWN.parse().unwrap());
        found.map(|Unknown { key, nearest }| (key, nearest))
    }

    #[test]
    fn unknown_keys_are_named_with_the_nearest_known_one() {
        for (given, key, nearest) in [
            ("[s3]\nregoin = ''", "s3.regoin", Some("s3.region")),
            ("[s4]\nregion = ''", "s4", Some("s3")),
            ("[vault]\ndatadir = ''", "vault.datadir", Some("vault.data_dir")),
            ("[vault]\nregion = ''", "vault.region", Some("s3.region")),
            ("[[disk]]\npath = 'a'\n[[disk]]\npth = 'b'", "disk.pth", Some("disk.path")),
            ("listen = ''", "listen", Some("s3.listen")),
            ("[vault]\nxyzzyplugh = 1", "vault.xyzzyplugh", None),
        ] {
            let wanted = Some((key.to_owned(), nearest.map(str::to_owned)));
            assert_eq!(find(given), wanted, "{given}");
        }
    }

    #[test]
    fn known_keys_pass() {
        assert_eq!(find(KNOWN), None);
        assert_eq!(find(""), None);
        // A wrong type is not an unknown key.
        assert_eq!(find("vault = 3"), None);
    }

    #[test]
    fn distance_is_levenshtein() {
        for (left, right, far) in
            [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("ab", "ba", 2), ("ключ", "луч", 2)]
        {
            assert_eq!(distance(left, right), far, "{left} {right}");
            assert_eq!(distance(right, left), far, "{right} {left}");
        }
    }
}
