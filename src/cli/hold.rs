//! `kovcheg hold place` and `kovcheg hold list`.

use clap::{Args, Subcommand};
use kovcheg_admin::types::{CaseHold, NewCaseHold, Tag};
use kovcheg_storage::object::holds;

use super::place::{Place, ask};
use super::show;
use crate::config::Purpose;
use crate::error::{AppError, Outcome};

/// `kovcheg hold ...`.
#[derive(Subcommand)]
pub enum HoldCommand {
    /// Hold part of a bucket for a case: what is there and what comes stays, until two people release it
    Place(PlaceArguments),
    /// List the case holds
    List(ListArguments),
}

/// Options of `hold place`.
#[derive(Args)]
#[command(after_help = PLACE_EXAMPLES)]
pub struct PlaceArguments {
    /// Number of the case
    #[arg(long, value_name = "NUMBER")]
    case: String,
    /// Bucket; all of it, unless a prefix, a tag or a key narrows it down
    #[arg(long, value_name = "BUCKET")]
    bucket: String,
    /// Only versions whose key begins so
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["tag", "key"])]
    prefix: Option<String>,
    /// Only versions that carry this tag
    #[arg(long, value_name = "NAME=VALUE", value_parser = tag, conflicts_with = "key")]
    tag: Option<Tag>,
    /// Only one version of this key
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Which version of the key, as S3 names it [default: the current one]
    #[arg(long, value_name = "VERSION", requires = "key")]
    version: Option<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    #[command(flatten)]
    place: Place,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const PLACE_EXAMPLES: &str = "\
Examples:
  kovcheg hold place --case 2026/77 --bucket ledger --prefix 2025/
  kovcheg hold place --case 2026/77 --bucket mail --tag person=ivanov --note 'letter of 12 May'
  kovcheg hold place --case 2026/77 --bucket ledger --key 2026/january.dump

A case hold cannot be released yet, by anybody: that will take two people. Look twice at what it covers.";

/// Options of `hold list`.
#[derive(Args)]
#[command(after_help = LIST_EXAMPLES)]
pub struct ListArguments {
    /// Only those on this bucket
    #[arg(long, value_name = "BUCKET")]
    bucket: Option<String>,
    #[command(flatten)]
    place: Place,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const LIST_EXAMPLES: &str = "\
Examples:
  kovcheg hold list
  kovcheg hold list --bucket ledger --json";

fn tag(text: &str) -> Result<Tag, String> {
    let (name, value) = text.split_once('=').ok_or("a tag is NAME=VALUE")?;
    Ok(Tag { name: name.to_owned(), value: value.to_owned() })
}

/// Runs one of them.
pub fn run(command: &HoldCommand) -> Result<Outcome, AppError> {
    match command {
        HoldCommand::Place(arguments) => place(arguments),
        HoldCommand::List(arguments) => list(arguments),
    }
}

fn place(arguments: &PlaceArguments) -> Result<Outcome, AppError> {
    let new = NewCaseHold {
        case: arguments.case.clone(),
        bucket: arguments.bucket.clone(),
        prefix: arguments.prefix.clone(),
        tag: arguments.tag.clone(),
        key: arguments.key.clone(),
        version: arguments.version.clone(),
        note: arguments.note.clone(),
    };
    let asked = new.clone();
    let placed = ask(
        &arguments.place.load()?,
        Purpose::Mend,
        |client| async move { client.place_case_hold(&asked).await },
        |vault| Ok(CaseHold::from(vault.place_case_hold(new.parse()?)?)),
    )?;
    show::either(arguments.json, &placed, |hold| {
        let (case, part, bucket) = (show::tame(&hold.case), show::tame(&part(hold)), show::tame(&hold.bucket));
        format!("case {case} holds {part} in {bucket}; nothing of it can be removed, and nobody can release it yet\n")
    })?;
    Ok(Outcome::Fine)
}

fn list(arguments: &ListArguments) -> Result<Outcome, AppError> {
    let bucket = arguments.bucket.as_deref();
    let found = ask(
        &arguments.place.load()?,
        Purpose::Look,
        |client| async move { client.case_holds(bucket).await },
        |vault| {
            let holds = holds::list(vault.engine().index.as_ref(), bucket)?;
            Ok(holds.into_iter().map(CaseHold::from).collect::<Vec<_>>())
        },
    )?;
    show::either(arguments.json, &found, |found| {
        let mut rows = vec![["CASE", "BUCKET", "COVERS", "SINCE", "BY", "NOTE"].map(str::to_owned).to_vec()];
        for hold in found {
            let since = show::moment(hold.placed_at_ms);
            let cells = [&hold.case, &hold.bucket, &part(hold), &since, &hold.placed_by, &hold.note];
            rows.push(cells.map(|cell| show::tame(cell)).to_vec());
        }
        show::table(&rows)
    })?;
    Ok(Outcome::Fine)
}

/// What a hold covers, in few words.
fn part(hold: &CaseHold) -> String {
    match (&hold.prefix, &hold.tag, &hold.key) {
        (Some(prefix), _, _) => format!("{prefix}*"),
        (_, Some(tag), _) => format!("tag {}={}", tag.name, tag.value),
        (_, _, Some(key)) => format!("{key} version {}", hold.version.as_deref().unwrap_or("null")),
        _ => "everything".to_owned(),
    }
}
