//! `kovcheg audit list`: the newest entries, as a table.

use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;

use clap::Args;
use serde_json::Value;

use super::super::place::Place;
use super::super::show;
use crate::error::{AppError, Outcome};

/// Options of `audit list`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct ListArguments {
    #[command(flatten)]
    place: Place,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 50)]
    last: usize,
    /// Only what happened in this bucket
    #[arg(long, value_name = "BUCKET")]
    bucket: Option<String>,
    /// Only what this access key, user or worker did
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// Only entries of this kind, or audit entries of this action (docs/audit.md)
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Only what was refused
    #[arg(long)]
    denied: bool,
    /// Print the entries as lines of JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  kovcheg audit list --last 20
  kovcheg audit list --denied
  kovcheg audit list --kind DeleteVersion --bucket ledger --json

Reads the whole journal. Entries beyond the filters are in `kovcheg audit export`.";

pub fn run(arguments: &ListArguments) -> Result<Outcome, AppError> {
    let config = arguments.place.load()?;
    let mut buckets = HashMap::new();
    let mut kept: VecDeque<(String, Value)> = VecDeque::new();
    super::read(&config, |line| {
        let Ok(entry) = serde_json::from_str::<Value>(line) else { return ControlFlow::Continue(()) };
        if text(&entry, "kind") == "BucketCreated" {
            buckets.insert(number(&entry, "bucket"), text(&entry, "bucket_name").to_owned());
        }
        if fits(arguments, &buckets, &entry) {
            kept.push_back((line.to_owned(), entry));
            if kept.len() > arguments.last {
                kept.pop_front();
            }
        }
        ControlFlow::Continue(())
    })?;
    if arguments.json {
        let lines: Vec<String> = kept.into_iter().map(|(line, _)| format!("{line}\n")).collect();
        show::print(&lines.concat())?;
        return Ok(Outcome::Fine);
    }
    let mut rows = vec![["N", "RETENTION CLOCK", "WHO", "FROM", "WHAT", "WHERE", "WHY"].map(str::to_owned).to_vec()];
    rows.extend(kept.iter().map(|(_, entry)| row(entry, &buckets)));
    show::print(&show::table(&rows))?;
    Ok(Outcome::Fine)
}

fn text<'a>(entry: &'a Value, field: &str) -> &'a str {
    entry.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn number(entry: &Value, field: &str) -> u64 {
    entry.get(field).and_then(Value::as_u64).unwrap_or_default()
}

/// Audit entries know the bucket by its name, others by its number.
fn bucket<'a>(entry: &'a Value, buckets: &'a HashMap<u64, String>) -> &'a str {
    match text(entry, "bucket_name") {
        "" => buckets.get(&number(entry, "bucket")).map_or("", String::as_str),
        name => name,
    }
}

fn fits(arguments: &ListArguments, buckets: &HashMap<u64, String>, entry: &Value) -> bool {
    let is = |wanted: &Option<String>, found: &[&str]| wanted.as_deref().is_none_or(|wanted| found.contains(&wanted));
    is(&arguments.bucket, &[bucket(entry, buckets)])
        && is(&arguments.actor, &[text(entry, "actor")])
        && is(&arguments.kind, &[text(entry, "kind"), text(entry, "action")])
        && (!arguments.denied || text(entry, "verdict") == "Deny")
}

fn row(entry: &Value, buckets: &HashMap<u64, String>) -> Vec<String> {
    let kind = match text(entry, "action") {
        "" => text(entry, "kind").to_owned(),
        action => format!("{action} {}", text(entry, "verdict").to_lowercase()),
    };
    let place = match (bucket(entry, buckets), text(entry, "key")) {
        ("", key) => key.to_owned(),
        (bucket, "") => bucket.to_owned(),
        (bucket, key) => format!("{bucket}/{key}"),
    };
    let reasons = entry.get("reasons").and_then(Value::as_array);
    let why: Vec<&str> = reasons.into_iter().flatten().filter_map(Value::as_str).collect();
    let count = number(entry, "count");
    let why = if count > 1 { format!("{} ({count} times)", why.join(", ")) } else { why.join(", ") };
    let (n, clock) = (number(entry, "n").to_string(), show::moment(number(entry, "clock")));
    [n.as_str(), &clock, text(entry, "actor"), text(entry, "address"), &kind, &place, &why].map(show::tame).to_vec()
}
