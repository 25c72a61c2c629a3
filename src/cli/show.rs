//! Numbers and JSON for people and machines.

use std::io::Write as _;

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::error::AppError;

/// `1.5 GiB`.
#[must_use]
pub fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}

/// Milliseconds since 1970 as a time of the day, in UTC and whole seconds.
#[must_use]
pub fn moment(ms: u64) -> String {
    let at = i64::try_from(ms / 1000).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    at.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_else(|| format!("{ms} ms"))
}

/// Prints a value as JSON on stdout.
pub fn json(value: &impl Serialize) -> Result<(), AppError> {
    let text = serde_json::to_string_pretty(value);
    let text = text.map_err(|error| AppError::Machinery { what: "the answer", reason: error.to_string() })?;
    print(&format!("{text}\n"))
}

/// Prints a value as JSON, or as its text.
pub fn either<T: Serialize>(as_json: bool, value: &T, text: impl FnOnce(&T) -> String) -> Result<(), AppError> {
    if as_json { json(value) } else { print(&text(value)) }
}

/// Prints text on stdout. A reader that went away (`| head`) is no error.
pub fn print(text: &str) -> Result<(), AppError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(AppError::Io { op: "write to", path: "standard output".into(), source: error })
        }
        _ => Ok(()),
    }
}

/// Text from outside (keys, labels) without control characters, so that it cannot steer a terminal.
#[must_use]
pub fn tame(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}

/// Lines up columns: each as wide as its widest cell.
#[must_use]
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{bytes, table, tame};

    #[test]
    fn columns_line_up() {
        let rows = [vec!["ab".to_owned(), "c".to_owned()], vec!["д".to_owned(), "eee".to_owned(), "f".to_owned()]];
        assert_eq!(table(&rows), "ab  c\nд   eee  f\n");
        assert_eq!(table(&[]), "");
    }

    #[test]
    fn hostile_text_cannot_steer_a_terminal() {
        assert_eq!(tame("a\u{1b}[2Jб\n"), "a\\u{1b}[2Jб\\n");
    }

    #[test]
    fn sizes_have_binary_units() {
        assert_eq!(bytes(1536), "1.50 KiB");
    }
}
